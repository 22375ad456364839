//! Schemas of the collections: writes that MongoDB itself refuses.

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use products::store::ProductStore;
use serde_json::json;
use tests::in_process::InProcess;
use tests::shop::order_of;

/// Something is in every collection.
async fn lived_in() -> InProcess {
    let shop = InProcess::open().await;
    let (customer, admin) = (shop.customer().await, shop.admin());
    let product = shop.product(5).await;
    let count = json!({ "delta": 2, "reason": "found behind the shelf" });
    let path = format!("/products/{product}/stock");
    admin.send_keyed(http::Method::PUT, &path, "a-count", &count).await.expect(200);
    customer.send_keyed(http::Method::POST, "/orders", "an-order", &order_of(&product, 2)).await.expect(201);
    let folded = ProductStore::new(&shop.database).fold_journals(None, 100).await;
    assert!(folded.is_ok_and(|it| it.folded == 1));
    let user = json!({ "email": "bob@example.com", "password": tests::person::PASSWORD, "name": "Bob" });
    shop.anyone().send_keyed(http::Method::POST, "/users", "a-sign-up", &user).await.expect(201);
    shop.admin().put(&format!("/users/{}", customer.id), json!({ "role": "admin" })).await.expect(200);
    shop.admin().put(&format!("/users/{}", customer.id), json!({ "role": "customer" })).await.expect(200);
    shop
}

/// Changes one document, as somebody at a shell would.
async fn write(database: &Database, collection: &str, update: &Document) -> Result<i64, String> {
    let updated = database.collection::<Document>(collection).update_one(doc! {}, update.clone()).await;
    match updated {
        Ok(result) => Ok(i64::try_from(result.matched_count).unwrap_or(-1)),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn nothing_that_cannot_be_is_written_past_the_functions() {
    let shop = lived_in().await;
    let long = "x".repeat(20_000);
    let many: Vec<Bson> = (0..1_001).map(|_| doc! { "revision": 1_i64, "kind": "ship" }.into()).collect();
    let refused = [
        (
            "products",
            vec![
                doc! { "$set": { "status": "sold" } },
                doc! { "$set": { "price.amount": -1_i64 } },
                doc! { "$set": { "price": 5_i64 } },
                doc! { "$unset": { "sku": "" } },
                doc! { "$set": { "name": &long } },
                doc! { "$set": { "version": 0_i64 } },
                doc! { "$set": { "created_at": "today" } },
                doc! { "$set": { "attributes": { "$where": "1" } } },
            ],
        ),
        (
            "stock",
            vec![
                doc! { "$set": { "on_hand": -1_i64 } },
                doc! { "$set": { "on_hand": 1_i64 } },
                doc! { "$inc": { "reserved": 100_i64 } },
                doc! { "$set": { "reserved": -1_i64 } },
                doc! { "$set": { "on_hand": 7.5 } },
                doc! { "$set": { "on_hand": "7" } },
                doc! { "$set": { "folds": -1_i64 } },
                doc! { "$unset": { "folds": "" } },
                doc! { "$set": { "movements": null } },
                doc! { "$set": { "moved_at": "today" } },
                doc! { "$set": { "pending": {} } },
                doc! { "$unset": { "folded": "" } },
            ],
        ),
        (
            "stock_holds",
            vec![
                doc! { "$set": { "r": -1_i64 } },
                doc! { "$set": { "r": "1" } },
                doc! { "$set": { "items": {} } },
                doc! { "$unset": { "items": "" } },
                doc! { "$set": { "live": null } },
                doc! { "$unset": { "at": "" } },
                doc! { "$set": { "at": 1_i64 } },
            ],
        ),
        (
            "stock_movements",
            vec![
                doc! { "$set": { "on_hand": -1_i64 } },
                doc! { "$set": { "reserved": 100_i64 } },
                doc! { "$set": { "number": 0_i64 } },
                doc! { "$unset": { "by": "" } },
                doc! { "$set": { "delta": "2" } },
            ],
        ),
        (
            "orders",
            vec![
                doc! { "$set": { "status": "lost" } },
                doc! { "$set": { "items": [] } },
                doc! { "$set": { "items.0.quantity": 0_i64 } },
                doc! { "$set": { "items.0.unit_price": -1_i64 } },
                doc! { "$set": { "total": -1_i64 } },
                doc! { "$unset": { "user_id": "" } },
                doc! { "$set": { "history": [] } },
                doc! { "$set": { "history.0.to": "gone" } },
                doc! { "$set": { "tasks": many } },
                doc! { "$push": { "tasks": { "revision": 1_i64, "kind": "burn" } } },
                doc! { "$set": { "note": 7_i64 } },
                doc! { "$set": { "shipping_address": null } },
                doc! { "$set": { "placed_under.key": &long } },
                doc! { "$set": { "version": 0_i64 } },
                // Of a void no order is left.
                doc! { "$set": { "status": "void", "tasks": {} } },
            ],
        ),
        (
            "users",
            vec![
                doc! { "$set": { "role": "root" } },
                doc! { "$set": { "status": "gone" } },
                doc! { "$set": { "status": "deleted" } },
                doc! { "$unset": { "email_key": "" } },
                doc! { "$unset": { "password_hash": "" } },
                doc! { "$set": { "email": { "$ne": "x" } } },
                doc! { "$set": { "address": "somewhere" } },
                doc! { "$set": { "version": "1" } },
            ],
        ),
        ("user_guards", vec![doc! { "$set": { "changes": 0_i64 } }, doc! { "$unset": { "changes": "" } }]),
        (
            "user_sessions",
            vec![
                doc! { "$unset": { "token": "" } },
                doc! { "$set": { "ended_at": "today" } },
                doc! { "$set": { "others": vec![0; 20] } },
            ],
        ),
        ("user_networks", vec![doc! { "$set": { "known": "all" } }, doc! { "$unset": { "expires_at": "" } }]),
        ("user_keys", vec![doc! { "$set": { "made": "user" } }, doc! { "$unset": { "at": "" } }]),
        ("product_keys", vec![doc! { "$set": { "fingerprint": "x" } }, doc! { "$set": { "at": 1_i64 } }]),
    ];
    let mut tried = 0;
    for (collection, updates) in refused {
        // A change of nothing is taken, so that what is refused is refused for what it says.
        let harmless = doc! { "$set": { "further": "what later versions have" } };
        assert_eq!(write(&shop.database, collection, &harmless).await, Ok(1), "{collection}");
        for update in updates {
            let said = write(&shop.database, collection, &update).await;
            let is_refused = said.as_ref().is_err_and(|said| said.contains("Document failed validation"));
            // The server has a word of its own for a path through what is no object.
            assert!(is_refused, "{collection} {update:.200}: {said:?}");
            tried += 1;
        }
    }
    assert!(tried >= 60, "{tried}");
}

#[tokio::test]
async fn every_collection_says_what_its_documents_are_like() {
    let shop = lived_in().await;
    let collections: Vec<_> = match shop.database.list_collections().await {
        Ok(cursor) => cursor.try_collect().await.unwrap_or_default(),
        Err(error) => unreachable!("{error}"),
    };
    assert!(collections.len() >= 11, "{}", collections.len());
    for collection in collections.iter().filter(|it| it.name != "schema" && !it.name.starts_with("system.")) {
        let validator = collection.options.validator.clone().unwrap_or_default().to_string();
        // A fence may be around it.
        assert!(validator.contains("$jsonSchema"), "{} takes anything: {validator}", collection.name);
    }
}
