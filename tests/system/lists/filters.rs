//! Lists: every filter and every sort, alone and together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::in_process::InProcess;
use tests::shop::Shop;

use crate::support::lists::{of, shop_with_clock};

async fn product(shop: &Shop, sku: &str, name: &str, amount: i64, currency: &str, more: Value) -> String {
    let mut fields = json!({ "sku": sku, "name": name, "price": { "amount": amount, "currency": currency } });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    shop.product_with(fields).await.id()
}

/// Six products, each a second after the one before it.
async fn shelf() -> (InProcess, Vec<String>) {
    let (shop, tick) = shop_with_clock().await;
    let mut ids = Vec::new();
    for (sku, name, amount, currency, more) in [
        ("A-1", "banana", 300, "EUR", json!({ "stock": 1 })),
        ("B-2", "Apple", 100, "EUR", json!({ "description": "Crème brûlée, not really" })),
        ("C-3", "Éclair", 200, "EUR", json!({ "stock": 5, "status": "draft" })),
        ("MUG-BLUE_1", "apple pie", 300, "USD", json!({ "stock": 2 })),
        ("E-5", "Banana split", 300, "EUR", json!({ "status": "archived" })),
        ("F-6", "cherry", 50, "EUR", json!({ "stock": 9, "description": "With cream and a BANANA" })),
    ] {
        ids.push(product(&shop, sku, name, amount, currency, more).await);
        tick();
    }
    (shop, ids)
}

#[tokio::test]
async fn products_are_filtered_by_each_parameter_and_by_several() {
    let (shop, _) = shelf().await;
    for (query, staff, anyone) in [
        ("", "F-6 E-5 MUG-BLUE_1 C-3 B-2 A-1", "F-6 MUG-BLUE_1 B-2 A-1"),
        ("?status=draft", "C-3", ""),
        ("?status=archived", "E-5", ""),
        ("?sku=C-3", "C-3", ""),
        ("?sku=A-1", "A-1", "A-1"),
        ("?sku=a-1", "", ""),
        ("?sku=A-1&currency=USD", "", ""),
        ("?sku=A-1&q=banana&in_stock=true&currency=EUR&min_price=300&max_price=300", "A-1", "A-1"),
        ("?currency=USD", "MUG-BLUE_1", "MUG-BLUE_1"),
        ("?currency=EUR&min_price=200", "E-5 C-3 A-1", "A-1"),
        ("?currency=EUR&max_price=100", "F-6 B-2", "F-6 B-2"),
        ("?currency=EUR&min_price=100&max_price=200&sort=price", "B-2 C-3", "B-2"),
        ("?currency=EUR&min_price=200&max_price=100", "", ""),
        ("?in_stock=true", "F-6 MUG-BLUE_1 C-3 A-1", "F-6 MUG-BLUE_1 A-1"),
        ("?in_stock=false", "E-5 B-2", "B-2"),
        ("?in_stock=false&status=archived&currency=EUR", "E-5", ""),
        ("?sort=created_at", "A-1 B-2 C-3 MUG-BLUE_1 E-5 F-6", "A-1 B-2 MUG-BLUE_1 F-6"),
        ("?sort=name", "B-2 MUG-BLUE_1 A-1 E-5 F-6 C-3", "B-2 MUG-BLUE_1 A-1 F-6"),
        ("?sort=-name", "C-3 F-6 E-5 A-1 MUG-BLUE_1 B-2", "F-6 A-1 MUG-BLUE_1 B-2"),
        ("?q=banana", "F-6 E-5 A-1", "F-6 A-1"),
        ("?q=BANANA%20cream&sort=price", "F-6", "F-6"),
        ("?q=creme%20BRULEE", "B-2", "B-2"),
        ("?q=eclair", "C-3", ""),
        ("?q=%C3%89CLAIR&sort=name", "C-3", ""),
        ("?q=mug", "MUG-BLUE_1", "MUG-BLUE_1"),
        ("?q=blue_1%20apple", "MUG-BLUE_1", "MUG-BLUE_1"),
        ("?q=mug-blue", "MUG-BLUE_1", "MUG-BLUE_1"),
        ("?q=banan", "", ""),
        ("?q=banana%20pie", "", ""),
        ("?q=banana&in_stock=true&sort=-price", "A-1 F-6", "A-1 F-6"),
    ] {
        let list = format!("/products{query}");
        assert_eq!(of(&shop.admin(), &list, "sku").await.join(" "), staff, "{list}");
        assert_eq!(of(&shop.anyone(), &list, "sku").await.join(" "), anyone, "{list}");
    }
}

#[tokio::test]
async fn ties_of_a_sort_are_in_the_order_of_ids_in_its_direction() {
    let (shop, tick) = shop_with_clock().await;
    let mut ids = Vec::new();
    for place in 0..9 {
        let status = ["active", "draft", "archived"][place % 3];
        let more = json!({ "stock": place % 2, "status": status });
        ids.push(product(&shop, &format!("S-{place}"), "Same", 5, "EUR", more).await);
    }
    tick();
    ids.sort();
    for sort in ["created_at", "name", "price"] {
        assert_eq!(of(&shop.admin(), &format!("/products?sort={sort}"), "id").await, ids);
        let mut back = of(&shop.admin(), &format!("/products?sort=-{sort}&currency=EUR"), "id").await;
        back.reverse();
        assert_eq!(back, ids, "-{sort}");
        assert_eq!(of(&shop.admin(), &format!("/products?sort={sort}&q=same"), "id").await, ids);
    }
}

#[tokio::test]
async fn a_search_takes_any_text_and_never_an_operator() {
    let (shop, _) = shelf().await;
    let stars = "*".repeat(100);
    for none in [
        stars.as_str(),
        "%00",
        "%E2%98%95",
        ".*",
        "%5E.*%24",
        "%7B%22%24ne%22%3Anull%7D",
        "$where",
        "%22%22",
        "%FF",
        "%EF%BF%BD",
        "%20",
    ] {
        let found = shop.admin().get(&format!("/products?q={none}")).await.expect(200);
        assert_eq!(found.body, json!({ "data": [], "next_cursor": null }), "{none}");
    }
    for bad in ["q=", &format!("q={}", "a".repeat(101)), "q[$ne]=a", "q=a&q=b"] {
        shop.admin().get(&format!("/products?{bad}")).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn in_stock_follows_holds_shipping_and_counts() {
    let shop = InProcess::open().await;
    let ada = shop.customer().await;
    let (mug, cup) = (shop.product(2).await, shop.product(1).await);
    let in_stock = async || {
        let mut there = of(&shop.anyone(), "/products?in_stock=true", "id").await;
        let gone = of(&shop.anyone(), "/products?in_stock=false", "id").await;
        assert_eq!(there.len() + gone.len(), 2);
        there.sort();
        there
    };
    let sorted = |mut ids: Vec<&String>| {
        ids.sort();
        ids.into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(in_stock().await, sorted(vec![&mug, &cup]));
    // A hold of one line, and one of several.
    let first = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    assert_eq!(in_stock().await, sorted(vec![&cup]));
    ada.moves(&first, "cancelled").await.expect(200);
    assert_eq!(in_stock().await, sorted(vec![&mug, &cup]));
    let second = ada.orders(&[(&mug, 2), (&cup, 1)]).await.expect(201).id();
    assert_eq!(in_stock().await, Vec::<String>::new());
    for step in ["paid", "shipped"] {
        shop.admin().moves(&second, step).await.expect(200);
    }
    assert_eq!(in_stock().await, Vec::<String>::new());
    shop.admin().put(&format!("/products/{mug}/stock"), json!({ "on_hand": 1 })).await.expect(200);
    assert_eq!(in_stock().await, sorted(vec![&mug]));
    shop.admin().put(&format!("/products/{mug}/stock"), json!({ "delta": -1 })).await.expect(200);
    assert_eq!(in_stock().await, Vec::<String>::new());
    // And a change of the rest does not touch it.
    shop.admin().put(&format!("/products/{mug}"), json!({ "name": "Beaker" })).await.expect(200);
    assert_eq!(in_stock().await, Vec::<String>::new());
    assert_eq!(of(&shop.anyone(), "/products?q=beaker", "id").await, [mug]);
    assert_eq!(of(&shop.anyone(), "/products?q=mug", "id").await, [cup]);
}

#[tokio::test]
async fn orders_are_filtered_by_each_parameter_and_by_several() {
    let (shop, tick) = shop_with_clock().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let (mug, cup) = (shop.product(1_000).await, shop.product(1_000).await);
    let mut orders = Vec::new();
    for (person, lines) in [
        (&ada, vec![(mug.as_str(), 3)]),
        (&bob, vec![(mug.as_str(), 1), (cup.as_str(), 1)]),
        (&ada, vec![(cup.as_str(), 2)]),
        (&ada, vec![(mug.as_str(), 1)]),
        (&bob, vec![(cup.as_str(), 5)]),
    ] {
        orders.push(person.orders(&lines).await.expect(201));
        tick();
    }
    shop.admin().moves(&orders[2].id(), "paid").await.expect(200);
    shop.admin().moves(&orders[4].id(), "paid").await.expect(200);
    // What was never an order is in no list.
    let voids = shop.database.collection::<Document>("orders");
    let void = doc! {
        "_id": mongodb::bson::Uuid::new(), "status": "void", "tasks": [], "version": 2_i64,
        "updated_at": mongodb::bson::DateTime::from_millis(0),
    };
    voids.insert_one(void).await.unwrap();
    let number = orders[1].text("number");
    let at = |place: usize| orders[place].text("created_at");
    let (ada_id, bob_id) = (&ada.id, &bob.id);
    for (query, staff, hers) in [
        (String::new(), "43210", "320"),
        ("?sort=created_at".to_owned(), "01234", "023"),
        ("?sort=-total".to_owned(), "40", "0"),
        ("?status=paid".to_owned(), "42", "2"),
        ("?status=placed&sort=created_at".to_owned(), "013", "03"),
        (format!("?user_id={ada_id}"), "320", "320"),
        (format!("?user_id={bob_id}"), "41", ""),
        (format!("?user_id={bob_id}&status=paid&sort=total"), "4", ""),
        (format!("?product_id={mug}"), "310", "30"),
        (format!("?product_id={cup}&status=paid"), "42", "2"),
        (format!("?product_id={cup}&user_id={ada_id}"), "2", "2"),
        (format!("?product_id={cup}&user_id={bob_id}&sort=total"), "14", ""),
        (format!("?number={number}"), "1", ""),
        (format!("?number={}", number.to_lowercase().replace('-', "")), "1", ""),
        (format!("?number={number}&status=paid"), "", ""),
        (format!("?number={number}&user_id={bob_id}&product_id={mug}"), "1", ""),
        ("?number=0000-0000".to_owned(), "", ""),
        (format!("?created_from={}", at(2)), "432", "32"),
        (format!("?created_to={}", at(2)), "10", "0"),
        (format!("?created_from={}&created_to={}", at(1), at(3)), "21", "2"),
        (format!("?created_from={}&created_to={}", at(3), at(1)), "", ""),
        (format!("?created_from={}&sort=total&user_id={ada_id}", at(2)), "32", "32"),
    ] {
        // Of the two lists by total, only those of one amount each are named here.
        let expected = |short: &str| -> Vec<String> {
            short.chars().map(|place| orders[place.to_digit(10).unwrap() as usize].id()).collect()
        };
        let list = format!("/orders{query}");
        let mut seen = of(&shop.admin(), &list, "id").await;
        let mut own = of(&ada, &list, "id").await;
        if query == "?sort=-total" {
            seen.truncate(2);
            own.truncate(1);
        }
        assert_eq!(seen, expected(staff), "{list}");
        assert_eq!(own, expected(hers), "{list}");
    }
    for bad in [
        "number=1",
        "created_from=now",
        "created_to=2026-11-22",
        "product_id=mug",
        "sort=name",
        "status=void",
    ] {
        ada.get(&format!("/orders?{bad}")).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn users_are_filtered_by_role_status_and_email() {
    let shop = InProcess::open().await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    shop.admin().put(&format!("/users/{}", bob.id), json!({ "status": "disabled" })).await.expect(200);
    let gone = shop.customer().await;
    shop.admin().delete(&format!("/users/{}", gone.id)).await.expect(204);
    let upper = ada.email.to_uppercase();
    for (query, found) in [
        (String::new(), vec![&staff.id, &bob.id, &ada.id, &shop.admin().id]),
        ("?role=customer".to_owned(), vec![&bob.id, &ada.id]),
        ("?status=disabled".to_owned(), vec![&bob.id]),
        ("?role=customer&status=active".to_owned(), vec![&ada.id]),
        (format!("?email={upper}"), vec![&ada.id]),
        (format!("?email={upper}&role=staff"), vec![]),
        (format!("?email={}", gone.email), vec![]),
    ] {
        let seen = of(&staff, &format!("/users{query}"), "id").await;
        let mut seen: Vec<&String> = seen.iter().collect();
        let mut found = found;
        seen.sort();
        found.sort();
        assert_eq!(seen, found, "{query}");
    }
    for bad in ["email=ada", "status=deleted", "role=root", "sort=name"] {
        staff.get(&format!("/users?{bad}")).await.problem(400, "invalid-query");
    }
    ada.get("/users?email=admin@example.com").await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_cursor_belongs_to_its_sort_and_every_filter() {
    let (shop, _) = shelf().await;
    let admin = shop.admin();
    let cursor = admin.get("/products?sort=price&limit=1").await.expect(200).text("next_cursor");
    admin.get(&format!("/products?sort=price&cursor={cursor}&limit=50")).await.expect(200);
    for other in [
        "",
        "sort=-price&",
        "sort=name&",
        "sort=created_at&",
        "sort=price&q=a&",
        "sort=price&currency=EUR&",
        "sort=price&in_stock=true&",
        "sort=price&status=active&",
        "sort=price&sku=A-1&",
    ] {
        let refused = admin.get(&format!("/products?{other}cursor={cursor}")).await;
        refused.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn every_sort_sees_unchanged_products_once_beside_changes() {
    let shop = InProcess::open().await;
    let mut still = Vec::new();
    for place in 0..12 {
        let status = ["active", "draft"][place % 2];
        let more = json!({ "stock": 3, "status": status });
        still.push(product(&shop, &format!("W-{place}"), "Walk", 5, "EUR", more).await);
    }
    let moving = shop.product(1).await;
    for sort in ["created_at", "-created_at", "name", "-name", "price", "-price"] {
        let (mut seen, mut path, mut turn) = (Vec::new(), format!("/products?limit=3&sort={sort}"), 0);
        loop {
            let answer = shop.admin().get(&path).await.expect(200);
            seen.extend(answer.data().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            let Some(cursor) = answer["next_cursor"].as_str() else { break };
            path = format!("/products?limit=3&sort={sort}&cursor={cursor}");
            // One comes, one moves about, and those that stand still by the sort change their status and stock.
            shop.product(0).await;
            let price = json!({ "amount": turn * 3, "currency": "EUR" });
            let moves = json!({ "name": format!("{turn}"), "price": price });
            shop.admin().put(&format!("/products/{moving}"), moves).await.expect(200);
            for id in &still {
                let status = ["archived", "active", "draft"][usize::try_from(turn).unwrap() % 3];
                shop.admin().put(&format!("/products/{id}"), json!({ "status": status })).await.expect(200);
                let stock = json!({ "on_hand": turn % 2 });
                shop.admin().put(&format!("/products/{id}/stock"), stock).await.expect(200);
            }
            turn += 1;
            assert!(turn < 40, "the walk by {sort} does not end");
        }
        for id in &still {
            assert_eq!(seen.iter().filter(|seen| *seen == id).count(), 1, "{sort}");
        }
    }
}

#[tokio::test]
async fn every_list_runs_along_its_index_without_a_sort() {
    let (shop, _) = shelf().await;
    let ada = shop.customer().await;
    ada.orders(&[(&shop.product(9).await, 1)]).await.expect(201);
    shop.database.run_command(doc! { "profile": 2 }).await.unwrap();
    let admin = shop.admin();
    for list in [
        "/products?sort=name",
        "/products?currency=EUR&sort=-price&min_price=1",
        "/products?in_stock=true&status=active",
        "/orders",
        "/orders?sort=total&status=placed",
        "/users?role=customer",
    ] {
        let answer = admin.get(&format!("{list}{}limit=1", if list.contains('?') { '&' } else { '?' })).await;
        let answer = answer.expect(200);
        if let Some(cursor) = answer["next_cursor"].as_str() {
            let mark = if list.contains('?') { '&' } else { '?' };
            admin.get(&format!("{list}{mark}limit=1&cursor={cursor}")).await.expect(200);
        }
    }
    shop.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = shop.database.collection::<Document>("system.profile");
    let looked = doc! { "command.find": { "$in": ["products", "orders", "users"] }, "command.sort": { "$exists": true } };
    let mut finds = profile.find(looked).await.unwrap();
    let mut count = 0;
    while finds.advance().await.unwrap() {
        let find: Document = finds.deserialize_current().unwrap();
        let number = |field: &str| {
            find.get(field).and_then(|it| it.as_i32().map(i64::from).or(it.as_i64())).unwrap_or(0)
        };
        assert!(!find.get_bool("hasSortStage").unwrap_or(false), "{find:#?}");
        // A page of one, one more, and at most two keys for each of up to 21 pieces.
        assert!(number("keysExamined") <= 2 + 2 * 21, "{find:#?}");
        assert!(number("docsExamined") <= 3, "{find:#?}");
        count += 1;
    }
    assert!(count >= 9, "{count}");
}
