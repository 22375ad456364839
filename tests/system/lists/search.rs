//! Lists: a search with more matches than MongoDB may sort, so that the walk follows an index.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, doc};
use serde_json::{Value, json};
use shared::mongo;
use shared::mongo::keyset::MAX_SCANNED;
use shared::values::ids::ProductId;
use tests::in_process::InProcess;
use tests::person::Person;

/// More than a search sorts at once.
const MANY: usize = 5_200;

/// A shop with so many mugs. Of a thousand in a row one is dear; of seven one is a draft, of three one is out of stock.
async fn shop_of_mugs() -> InProcess {
    let shop = InProcess::open().await;
    let first = shop.product_with(json!({ "name": "Mug 0", "sku": "MUG-0", "stock": 0 })).await.id();
    let products = shop.database.collection::<Document>("products");
    let first: ProductId = first.parse().unwrap();
    let written = products.find_one(doc! { "_id": mongo::uuid(first) }).await.unwrap().unwrap();
    let made = written.get_datetime("created_at").unwrap().timestamp_millis();
    let mugs = (1..MANY).map(|place| {
        let mut mug = written.clone();
        let number = place.to_string();
        mug.insert("_id", mongo::uuid(ProductId::new()));
        mug.insert("sku", format!("MUG-{number}"));
        mug.insert("name", format!("Mug {number}"));
        mug.insert("name_key", format!("mug {number}"));
        mug.insert("words", vec!["mug".to_owned(), number]);
        mug.insert("status", if place % 7 == 0 { "draft" } else { "active" });
        mug.insert("in_stock", place % 3 != 0);
        // Three of each price and five of each time, in different orders.
        let dear = place % 1_000 == 999;
        let price = if dear { 1_000_000 } else { i64::try_from(place * 7_919 % MANY / 3).unwrap() };
        mug.insert("price", doc! { "amount": price, "currency": "EUR" });
        let later = i64::try_from(place / 5).unwrap();
        mug.insert("created_at", bson::DateTime::from_millis(made + later));
        mug
    });
    let mugs: Vec<Document> = mugs.collect();
    let stocks = shop.database.collection::<Document>("stock");
    let stock = stocks.find_one(doc! { "_id": mongo::uuid(first) }).await.unwrap().unwrap();
    let of_mug = |mug: &Document| {
        let on_hand = i64::from(mug.get_bool("in_stock").unwrap());
        let mut stock = stock.clone();
        stock.extend(doc! { "_id": mug.get("_id"), "on_hand": on_hand });
        stock
    };
    stocks.insert_many(mugs.iter().map(of_mug)).await.unwrap();
    products.insert_many(mugs).await.unwrap();
    shop
}

/// Walks to the end. Pages may be short, but are no more than each product could have filled.
async fn walk(person: &Person, list: &str) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..MANY {
        let page = person.get(&format!("{list}&limit=100{cursor}")).await.expect(200);
        assert!(page.data().len() <= 100);
        seen.extend_from_slice(page.data());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
    panic!("{list} does not end");
}

/// Position of a product in a list, as text that sorts alike.
fn key(product: &Value, sort: &str) -> (i64, String, String) {
    let text = |field: &str| product[field].as_str().unwrap().to_lowercase();
    match sort.trim_start_matches('-') {
        "price" => (product["price"]["amount"].as_i64().unwrap(), String::new(), text("id")),
        field => (0, text(field), text("id")),
    }
}

#[tokio::test]
async fn a_search_of_many_finds_each_once_by_every_sort() {
    let shop = shop_of_mugs().await;
    let (admin, anyone) = (shop.admin(), shop.anyone());
    let drafts = (MANY - 1) / 7;
    for (person, sort, count) in
        [(&admin, "-created_at", MANY), (&anyone, "name", MANY - drafts), (&admin, "-price", MANY)]
    {
        let seen = walk(person, &format!("/products?q=MUG&sort={sort}")).await;
        let ids: BTreeSet<&str> = seen.iter().map(|product| product["id"].as_str().unwrap()).collect();
        assert_eq!((seen.len(), ids.len()), (count, count), "{sort}");
        for pair in seen.windows(2) {
            let rising = key(&pair[0], sort) < key(&pair[1], sort);
            assert_eq!(rising, !sort.starts_with('-'), "{sort}: {pair:#?}");
        }
    }
}

#[tokio::test]
async fn few_matches_among_many_are_found_in_bounded_pages() {
    let shop = shop_of_mugs().await;
    let admin = shop.admin();
    shop.database.run_command(doc! { "profile": 2 }).await.unwrap();
    // None of these orders knows which are dear, so that nearly all pages are empty.
    for sort in ["name", "-created_at"] {
        let list = format!("/products?q=mug&currency=EUR&min_price=1000000&sort={sort}");
        let mut dear: Vec<String> =
            walk(&admin, &list).await.iter().map(|mug| mug["sku"].as_str().unwrap().to_owned()).collect();
        dear.sort();
        assert_eq!(dear, ["MUG-1999", "MUG-2999", "MUG-3999", "MUG-4999", "MUG-999"], "{sort}");
    }
    let few = walk(&admin, "/products?q=mug%204321&in_stock=true").await;
    assert_eq!(few.iter().map(|mug| &mug["sku"]).collect::<Vec<_>>(), ["MUG-4321"]);
    // A page of those that nearly all match is full, and reads no more than any other.
    assert_eq!(admin.get("/products?q=mug&limit=100").await.expect(200).data().len(), 100);
    shop.database.run_command(doc! { "profile": 0 }).await.unwrap();

    let profile = shop.database.collection::<Document>("system.profile");
    let finds = profile.find(doc! { "command.find": "products" }).await.unwrap();
    let finds: Vec<Document> = finds.try_collect().await.unwrap();
    let number = |find: &Document, field: &str| {
        find.get(field).and_then(|it| it.as_i32().map(i64::from).or(it.as_i64())).unwrap_or(0)
    };
    // Where to stop, and up to there: with a key or two for each stretch of the index.
    let scan = i64::from(MAX_SCANNED) + 100;
    for find in &finds {
        // How many products have a word is asked of the index of words alone, as far as it matters.
        let counts = find.get_document("command").unwrap().contains_key("skip")
            && find.get_str("planSummary").unwrap().contains("words");
        let most = if counts { (5_001, 1) } else { (scan, scan) };
        let read = (number(find, "keysExamined"), number(find, "docsExamined"));
        assert!(read.0 <= most.0 && read.1 <= most.1, "{read:?}: {find:#?}");
    }
    assert!(finds.len() >= 15, "{}", finds.len());
}
