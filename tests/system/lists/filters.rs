//! Lists: every filter and every sort, alone and together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address};
use tests::shop::Shop;

use crate::support::lists::{of, shop_with_clock};

async fn product(shop: &Shop, sku: &str, name: &str, amount: i64, currency: &str, more: Value) -> String {
    let mut fields = json!({ "sku": sku, "name": name, "price": { "amount": amount, "currency": currency } });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    shop.product_with(fields).await.id()
}

/// Six products, each a second after the one before it.
async fn shelf() -> (InProcess, Vec<String>) {
    let (shop, _, ids) = shelf_with_clock().await;
    (shop, ids)
}

/// The same, at 2027-01-15T08:00:06Z, with its clock.
async fn shelf_with_clock() -> (InProcess, impl Fn(), Vec<String>) {
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
    (shop, tick, ids)
}

/// Second of the minute in which shops with a clock begin.
fn at(second: u32) -> String {
    format!("2027-01-15T08:00:{second:02}Z")
}

#[tokio::test]
async fn products_are_filtered_by_each_parameter_and_by_several() {
    let (shop, _) = shelf().await;
    for (query, staff, anyone) in [
        ("", "F-6 E-5 MUG-BLUE_1 C-3 B-2 A-1", "F-6 MUG-BLUE_1 B-2 A-1"),
        ("?status=draft", "C-3", ""),
        ("?status=archived", "E-5", ""),
        ("?status=draft,active", "F-6 MUG-BLUE_1 C-3 B-2 A-1", "F-6 MUG-BLUE_1 B-2 A-1"),
        ("?status=archived,draft,archived", "E-5 C-3", ""),
        ("?status=archived,active&currency=EUR&max_price=200&sort=price", "F-6 B-2", "F-6 B-2"),
        ("?status=draft,archived&sort=name&in_stock=true", "C-3", ""),
        ("?status=draft,active&q=apple&sort=name", "B-2 MUG-BLUE_1", "B-2 MUG-BLUE_1"),
        ("?status=draft,archived&sku=C-3", "C-3", ""),
        ("?status=active,archived&sku=C-3", "", ""),
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
async fn products_are_filtered_and_sorted_by_their_last_change() {
    let (shop, tick, ids) = shelf_with_clock().await;
    let (admin, ada) = (shop.admin(), shop.customer().await);
    admin.put(&format!("/products/{}", ids[1]), json!({ "name": "Apple juice" })).await.expect(200);
    tick();
    admin.put(&format!("/products/{}/stock", ids[0]), json!({ "delta": 1 })).await.expect(200);
    tick();
    // Holds, their ends and shipping move no product.
    let held = ada.orders(&[(&ids[3], 1)]).await.expect(201).id();
    ada.moves(&held, "cancelled").await.expect(200);
    let sent = ada.orders(&[(&ids[5], 1)]).await.expect(201).id();
    for step in ["paid", "shipped", "delivered"] {
        admin.moves(&sent, step).await.expect(200);
    }
    for (query, staff, anyone) in [
        ("sort=updated_at".to_owned(), "C-3 MUG-BLUE_1 E-5 F-6 B-2 A-1", "MUG-BLUE_1 F-6 B-2 A-1"),
        ("sort=-updated_at".to_owned(), "A-1 B-2 F-6 E-5 MUG-BLUE_1 C-3", "A-1 B-2 F-6 MUG-BLUE_1"),
        (
            "sort=-updated_at&status=draft,active".to_owned(),
            "A-1 B-2 F-6 MUG-BLUE_1 C-3",
            "A-1 B-2 F-6 MUG-BLUE_1",
        ),
        ("sort=-updated_at&currency=EUR".to_owned(), "A-1 B-2 F-6 E-5 C-3", "A-1 B-2 F-6"),
        ("sort=updated_at&currency=EUR&min_price=200&in_stock=true".to_owned(), "C-3 A-1", "A-1"),
        ("sort=updated_at&currency=GBP".to_owned(), "", ""),
        (format!("updated_from={}&sort=updated_at", at(5)), "F-6 B-2 A-1", "F-6 B-2 A-1"),
        (format!("updated_from={}", at(5)), "F-6 B-2 A-1", "F-6 B-2 A-1"),
        (format!("updated_from={}&sort=name", at(6)), "B-2 A-1", "B-2 A-1"),
        (format!("updated_to={}", at(5)), "E-5 MUG-BLUE_1 C-3", "MUG-BLUE_1"),
        (format!("updated_to={}&sort=-updated_at", at(5)), "E-5 MUG-BLUE_1 C-3", "MUG-BLUE_1"),
        (format!("updated_from={}&updated_to={}", at(3), at(6)), "F-6 E-5 MUG-BLUE_1", "F-6 MUG-BLUE_1"),
        (format!("updated_from={}&updated_to={}", at(6), at(3)), "", ""),
        (format!("updated_from={}", at(8)), "", ""),
        (format!("updated_from={}&status=archived,draft&currency=EUR", at(4)), "E-5", ""),
        (format!("updated_from={}&currency=EUR&in_stock=true&sort=-price", at(4)), "A-1 F-6", "A-1 F-6"),
        (format!("q=banana&updated_from={}&sort=updated_at", at(5)), "F-6 A-1", "F-6 A-1"),
        (format!("q=banana&updated_to={}", at(5)), "E-5", ""),
        ("q=banana&sort=-updated_at&currency=EUR".to_owned(), "A-1 F-6 E-5", "A-1 F-6"),
        (format!("sku=B-2&updated_from={}", at(6)), "B-2", "B-2"),
        (format!("sku=B-2&updated_to={}", at(6)), "", ""),
    ] {
        let list = format!("/products?{query}");
        assert_eq!(of(&admin, &list, "sku").await.join(" "), staff, "{list}");
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
    for sort in ["created_at", "updated_at", "name", "price"] {
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

/// Five orders of two people, each a second after the one before it, and what happened to them since.
struct Book {
    shop: InProcess,
    ada: Person,
    bob: Person,
    mug: String,
    cup: String,
    orders: Vec<Answer>,
}

impl Book {
    /// Places orders 0 to 4 and changes 2, 1, 4 and 3, each at a second of its own.
    async fn open() -> Self {
        let (shop, tick) = shop_with_clock().await;
        let (admin, ada, bob) = (shop.admin(), shop.customer().await, shop.customer().await);
        let mug = shop.product_with(json!({ "sku": "MUG-1", "stock": 100 })).await.id();
        let cup = shop.product_with(json!({ "sku": "CUP-1", "stock": 100 })).await.id();
        let mut orders = Vec::new();
        for (place, person, lines) in [
            (0, &ada, vec![(&mug, 3)]),
            (1, &bob, vec![(&mug, 1), (&cup, 1)]),
            (2, &ada, vec![(&cup, 2)]),
            (3, &ada, vec![(&mug, 1)]),
            (4, &bob, vec![(&cup, 5)]),
        ] {
            let item =
                |(product, quantity): (&String, i64)| json!({ "product_id": product, "quantity": quantity });
            let items: Vec<Value> = lines.into_iter().map(item).collect();
            let mut order = json!({ "items": items, "shipping_address": address() });
            if place < 2 {
                order["external_number"] = json!(format!("SHOP-{place}"));
            }
            orders.push(person.post("/orders", order).await.expect(201));
            tick();
        }
        let path = |place: usize| format!("/orders/{}", orders[place].id());
        let pays = async |place: usize, payment: Value| {
            admin.post(&format!("{}/payments", path(place)), payment).await.expect(201);
        };
        let ships = async |place: usize, number: &str| {
            let parcel = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": number } });
            admin.put(&path(place), parcel).await.expect(200);
        };
        // A part of it.
        pays(2, json!({ "amount": 400, "reference": "pi-2" })).await;
        tick();
        // The same reference of another provider.
        pays(1, json!({ "amount": 1_000, "reference": "pi-2", "provider": "bank" })).await;
        ships(1, "T-1").await;
        tick();
        pays(4, json!({ "amount": 2_500, "reference": "pi-4" })).await;
        admin.moves(&orders[4].id(), "cancelled").await.expect(200);
        tick();
        pays(3, json!({ "amount": 500, "reference": "pi-3" })).await;
        ships(3, "T-3").await;
        tick();
        // An item keeps the SKU of the time of ordering.
        admin.put(&format!("/products/{mug}"), json!({ "sku": "MUG-2" })).await.expect(200);
        Self { shop, ada, bob, mug, cup, orders }
    }

    /// Wants these orders, by their places, of the list as staff and as Ada see it.
    async fn assert_lists(&self, query: &str, staff: &str, adas: &str) {
        let list = format!("/orders?{query}");
        let place = |id: &String| self.orders.iter().position(|order| order.id() == *id).unwrap().to_string();
        for (person, expected) in [(&self.shop.admin(), staff), (&self.ada, adas)] {
            let seen = of(person, &list, "id").await;
            assert_eq!(seen.iter().map(place).collect::<String>(), expected, "{list}");
        }
    }
}

#[tokio::test]
async fn orders_are_filtered_by_payment_parcel_number_and_sku() {
    let book = Book::open().await;
    let (mug, number) = (&book.mug, book.orders[0].text("number"));
    for (query, staff, adas) in [
        ("status=shipped,cancelled".to_owned(), "431", "3"),
        ("status=placed,shipped,placed&sort=created_at".to_owned(), "0123", "023"),
        ("payment_status=unpaid".to_owned(), "0", "0"),
        ("payment_status=partial".to_owned(), "2", "2"),
        ("payment_status=paid".to_owned(), "31", "3"),
        ("payment_status=refund_due".to_owned(), "4", ""),
        ("payment_status=refunded,partially_refunded".to_owned(), "", ""),
        ("payment_status=partial,refund_due".to_owned(), "42", "2"),
        ("payment_status=refund_due,partial&sort=created_at".to_owned(), "24", "2"),
        ("payment_status=refund_due,partial&sort=total".to_owned(), "24", "2"),
        ("payment_status=refund_due,partial&sort=-updated_at".to_owned(), "42", "2"),
        ("payment_status=partial,unpaid&sort=created_at".to_owned(), "02", "02"),
        ("payment_status=unpaid,paid&sort=updated_at".to_owned(), "013", "03"),
        ("payment_status=partial&status=placed,paid".to_owned(), "2", "2"),
        ("payment_status=partial&status=paid".to_owned(), "", ""),
        (format!("payment_status=partial,refund_due&product_id={}", book.cup), "42", "2"),
        (format!("payment_status=refund_due&user_id={}", book.bob.id), "4", ""),
        (format!("payment_status=partial,refund_due&created_to={}", at(3)), "2", "2"),
        ("payment_reference=pi-2".to_owned(), "21", "2"),
        ("payment_reference=pi-2&sort=created_at".to_owned(), "12", "2"),
        ("payment_reference=pi-2&sort=-updated_at".to_owned(), "12", "2"),
        ("payment_reference=pi-2&status=placed".to_owned(), "2", "2"),
        ("payment_reference=pi-2&tracking_number=T-1".to_owned(), "1", ""),
        ("payment_reference=pi-2&tracking_number=T-3".to_owned(), "", ""),
        ("payment_reference=pi-4".to_owned(), "4", ""),
        ("payment_reference=pi".to_owned(), "", ""),
        ("payment_reference=pi-2%2F".to_owned(), "", ""),
        ("payment_reference=pi-2%2Fbank".to_owned(), "", ""),
        ("payment_reference=pi-.".to_owned(), "", ""),
        ("payment_reference=.*".to_owned(), "", ""),
        ("tracking_number=T-3".to_owned(), "3", "3"),
        ("tracking_number=T-1".to_owned(), "1", ""),
        ("tracking_number=t-3".to_owned(), "", ""),
        ("tracking_number=T-3&payment_status=paid&sort=total".to_owned(), "3", "3"),
        ("tracking_number=T-3&sku=CUP-1".to_owned(), "", ""),
        ("external_number=SHOP-0".to_owned(), "0", "0"),
        ("external_number=SHOP-1".to_owned(), "1", ""),
        ("external_number=shop-0".to_owned(), "", ""),
        ("external_number=SHOP-1&status=paid".to_owned(), "", ""),
        ("external_number=SHOP-1&status=paid,shipped&payment_status=paid&sku=CUP-1".to_owned(), "1", ""),
        (format!("external_number=SHOP-0&user_id={}", book.ada.id), "0", "0"),
        (format!("external_number=SHOP-0&user_id={}", book.bob.id), "", ""),
        (format!("external_number=SHOP-0&updated_from={}", at(1)), "", ""),
        (format!("external_number=SHOP-0&number={number}"), "0", "0"),
        (format!("external_number=SHOP-1&number={number}"), "", ""),
        (format!("number={number}&payment_status=unpaid,paid&sku=MUG-1"), "0", "0"),
        (format!("number={number}&payment_reference=pi-2"), "", ""),
        ("sku=MUG-1".to_owned(), "310", "30"),
        ("sku=MUG-1&sort=-updated_at".to_owned(), "310", "30"),
        ("sku=CUP-1&sort=updated_at".to_owned(), "214", "2"),
        ("sku=MUG-2".to_owned(), "", ""),
        ("sku=mug-1".to_owned(), "", ""),
        ("sku=MUG-1&payment_status=unpaid".to_owned(), "0", "0"),
        (format!("sku=CUP-1&product_id={mug}"), "1", ""),
        (format!("sku=CUP-1&user_id={}&status=placed", book.ada.id), "2", "2"),
    ] {
        book.assert_lists(&query, staff, adas).await;
    }
    for bad in [
        "status=paid,void",
        "status=paid,",
        "payment_status=open",
        "payment_status=paid,%20unpaid",
        "return_status=open",
        "external_number=a%20b",
        "payment_reference=%20",
        "tracking_number=%20",
        "sku=%20",
        "email=ada",
        "updated_from=now",
        "updated_to=2026-11-22",
    ] {
        book.ada.get(&format!("/orders?{bad}")).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn orders_are_filtered_by_their_returns() {
    let book = Book::open().await;
    let admin = book.shop.admin();
    // Orders 3 and 1 are shipped, with one unit and with two.
    let path = |place: usize| format!("/orders/{}", book.orders[place].id());
    let asks = async |place: usize| {
        let item = json!({ "id": book.orders[place]["items"][0]["id"], "quantity": 1 });
        admin.post(&format!("{}/returns", path(place)), json!({ "items": [item] })).await.expect(201).id()
    };
    let moves = async |place: usize, id: &str, to: Value| {
        admin.put(&format!("{}/returns/{id}", path(place)), to).await.expect(200);
    };
    let (of_one, of_three) = (asks(1).await, asks(3).await);
    book.assert_lists("return_status=requested", "31", "3").await;
    book.assert_lists("return_status=requested&sort=created_at", "13", "3").await;
    book.assert_lists("return_status=requested&sort=-total", "13", "3").await;
    book.assert_lists("return_status=none", "420", "20").await;
    let received = json!([{ "id": book.orders[1]["items"][0]["id"], "received": 1, "restocked": 1 }]);
    moves(1, &of_one, json!({ "status": "received", "items": received })).await;
    for (query, staff, adas) in [
        ("return_status=requested".to_owned(), "3", "3"),
        ("return_status=partial".to_owned(), "1", ""),
        ("return_status=returned".to_owned(), "", ""),
        ("return_status=requested,partial".to_owned(), "31", "3"),
        ("return_status=partial,requested&sort=total".to_owned(), "31", "3"),
        ("return_status=none,partial&sort=created_at".to_owned(), "0124", "02"),
        ("return_status=partial&payment_status=paid&status=shipped".to_owned(), "1", ""),
        ("return_status=partial&payment_status=refund_due".to_owned(), "", ""),
        (format!("return_status=partial,requested&user_id={}", book.bob.id), "1", ""),
        (format!("return_status=partial,requested&created_to={}", at(3)), "1", ""),
    ] {
        book.assert_lists(&query, staff, adas).await;
    }
    // A return that was cancelled leaves no mark. One of all units is of the whole order.
    moves(3, &of_three, json!({ "status": "cancelled" })).await;
    book.assert_lists("return_status=none", "4320", "320").await;
    admin.moves(&book.orders[3].id(), "returned").await.expect(200);
    book.assert_lists("return_status=returned", "3", "3").await;
    book.assert_lists("return_status=none,requested", "420", "20").await;
}

#[tokio::test]
async fn orders_are_filtered_by_the_email_of_their_user() {
    let book = Book::open().await;
    let Book { shop, ada, bob, .. } = &book;
    let (adas, bobs) = (&ada.email, &bob.email);
    for (query, staff, own) in [
        (format!("email={adas}"), "320", "320"),
        (format!("email={}", adas.to_uppercase()), "320", "320"),
        (format!("email={bobs}"), "41", ""),
        ("email=nobody@example.com".to_owned(), "", ""),
        (format!("email={bobs}&user_id={}", bob.id), "41", ""),
        (format!("email={bobs}&user_id={}", ada.id), "", ""),
        (format!("email={adas}&user_id={}", ada.id), "320", "320"),
        (format!("email={bobs}&status=cancelled,paid"), "4", ""),
        (format!("email={adas}&payment_status=partial,refund_due&sort=total"), "2", "2"),
        (format!("email={adas}&sort=-updated_at"), "320", "320"),
        (format!("email={adas}&product_id={}", book.mug), "30", "30"),
        (format!("email={bobs}&external_number=SHOP-1"), "1", ""),
        (format!("email={adas}&external_number=SHOP-1"), "", ""),
    ] {
        book.assert_lists(&query, staff, own).await;
    }
    // Another customer's address answers as one that nobody has.
    let (known, unknown) = (format!("/orders?email={bobs}"), "/orders?email=nobody@example.com");
    assert_eq!(ada.get(&known).await.expect(200).body, ada.get(unknown).await.expect(200).body);
    for person in [ada, &shop.admin()] {
        let refused = person.get("/orders?email=ada@").await.problem(400, "invalid-query");
        assert!(
            refused.text("detail").starts_with("`email` must be an e-mail address"),
            "{:#}",
            refused.body
        );
    }
    // Nobody has the address of a deleted user.
    shop.admin().delete(&format!("/users/{}", bob.id)).await.expect(204);
    book.assert_lists(&format!("email={bobs}"), "", "").await;
    book.assert_lists(&format!("user_id={}", bob.id), "41", "").await;
}

#[tokio::test]
async fn orders_are_filtered_and_sorted_by_their_last_change() {
    let book = Book::open().await;
    let Book { ada, mug, cup, .. } = &book;
    for (query, staff, adas) in [
        ("sort=updated_at".to_owned(), "02143", "023"),
        ("sort=-updated_at".to_owned(), "34120", "320"),
        ("sort=-updated_at&status=shipped,cancelled".to_owned(), "341", "3"),
        (format!("sort=updated_at&user_id={}", ada.id), "023", "023"),
        (format!("sort=-updated_at&user_id={}&status=placed", ada.id), "20", "20"),
        (format!("sort=updated_at&product_id={cup}"), "214", "2"),
        (format!("sort=-updated_at&product_id={mug}&user_id={}", ada.id), "30", "30"),
        (format!("sort=updated_at&created_from={}", at(2)), "243", "23"),
        (format!("sort=updated_at&updated_from={}", at(6)), "143", "3"),
        (format!("sort=-updated_at&updated_from={}&updated_to={}", at(5), at(8)), "412", "2"),
        (format!("updated_from={}", at(6)), "431", "3"),
        (format!("updated_to={}", at(5)), "0", "0"),
        (format!("updated_from={}&updated_to={}", at(6), at(8)), "41", ""),
        (format!("updated_from={}&updated_to={}", at(8), at(6)), "", ""),
        (format!("updated_from={}", at(9)), "", ""),
        (format!("updated_from={}&status=placed,shipped&sort=created_at", at(5)), "123", "23"),
        (format!("updated_from={}&user_id={}&sort=total", at(5), ada.id), "32", "32"),
        (format!("updated_from={}&product_id={cup}", at(6)), "41", ""),
        (format!("updated_from={}&created_to={}", at(6), at(4)), "31", "3"),
    ] {
        book.assert_lists(&query, staff, adas).await;
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
        ("?role=staff,admin".to_owned(), vec![&staff.id, &shop.admin().id]),
        ("?role=customer,staff,customer&status=active".to_owned(), vec![&ada.id, &staff.id]),
        ("?status=active,disabled&role=customer".to_owned(), vec![&bob.id, &ada.id]),
        (format!("?email={upper}&role=staff,customer&status=disabled,active"), vec![&ada.id]),
        (format!("?email={upper}&role=staff,admin"), vec![]),
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
    for bad in [
        "email=ada",
        "status=deleted",
        "status=active,deleted",
        "role=root",
        "role=staff,",
        "sort=name",
        "updated_from=now",
        "updated_to=2026-11-22",
    ] {
        staff.get(&format!("/users?{bad}")).await.problem(400, "invalid-query");
    }
    ada.get("/users?email=admin@example.com").await.problem(403, "forbidden");
}

#[tokio::test]
async fn users_are_filtered_and_sorted_by_their_last_change() {
    let (shop, tick) = shop_with_clock().await;
    tick();
    let staff = shop.staff().await;
    tick();
    let ada = shop.customer().await;
    tick();
    let bob = shop.customer().await;
    tick();
    let admin = shop.admin();
    admin.put(&format!("/users/{}", ada.id), json!({ "name": "Countess" })).await.expect(200);
    tick();
    admin.put(&format!("/users/{}", bob.id), json!({ "status": "disabled" })).await.expect(200);
    let name = |id: &String| {
        let all = [("admin", &admin.id), ("staff", &staff.id), ("ada", &ada.id), ("bob", &bob.id)];
        all.into_iter().find(|(_, other)| *other == id).unwrap().0
    };
    for (query, found) in [
        ("sort=created_at".to_owned(), "admin staff ada bob"),
        ("sort=updated_at".to_owned(), "admin staff ada bob"),
        ("sort=-updated_at".to_owned(), "bob ada staff admin"),
        ("sort=-updated_at&role=staff,customer".to_owned(), "bob ada staff"),
        ("sort=updated_at&role=customer&status=active,disabled".to_owned(), "ada bob"),
        (format!("updated_from={}", at(4)), "bob ada"),
        (format!("updated_from={}&sort=updated_at", at(4)), "ada bob"),
        (format!("updated_to={}", at(4)), "staff admin"),
        (format!("updated_from={}&updated_to={}&sort=created_at", at(1), at(5)), "staff ada"),
        (format!("updated_from={}&updated_to={}&role=admin,customer", at(0), at(5)), "ada admin"),
        (format!("updated_from={}&updated_to={}", at(5), at(4)), ""),
        (format!("updated_from={}", at(6)), ""),
        (format!("email={}&updated_from={}", ada.email, at(4)), "ada"),
        (format!("email={}&updated_to={}", ada.email, at(4)), ""),
    ] {
        let seen = of(&staff, &format!("/users?{query}"), "id").await;
        assert_eq!(seen.iter().map(name).collect::<Vec<_>>().join(" "), found, "{query}");
    }
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
        "sort=updated_at&",
        "sort=price&status=active,draft&",
        "sort=price&updated_from=2020-01-01T00:00:00Z&",
        "sort=price&updated_to=2030-01-01T00:00:00Z&",
    ] {
        let refused = admin.get(&format!("/products?{other}cursor={cursor}")).await;
        refused.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn a_cursor_of_orders_or_users_belongs_to_every_filter() {
    let book = Book::open().await;
    let admin = book.shop.admin();
    let email = format!("email={}", book.ada.email);
    let of_orders = [
        "sort=updated_at",
        "sort=-updated_at",
        "sort=-total",
        "status=placed,shipped",
        "payment_status=paid",
        "payment_status=paid,unpaid",
        "return_status=none",
        "payment_reference=pi-2",
        "tracking_number=T-1",
        "external_number=SHOP-0",
        "sku=MUG-1",
        "updated_from=2020-01-01T00:00:00Z",
        "updated_to=2030-01-01T00:00:00Z",
        &email,
    ];
    let of_users = [
        "sort=created_at",
        "sort=updated_at",
        "sort=-updated_at",
        "role=customer,staff",
        "status=active,disabled",
        "updated_from=2020-01-01T00:00:00Z",
        "updated_to=2030-01-01T00:00:00Z",
        &email,
    ];
    for (list, others) in [("/orders", &of_orders[..]), ("/users", &of_users[..])] {
        let cursor = admin.get(&format!("{list}?limit=1")).await.expect(200).text("next_cursor");
        admin.get(&format!("{list}?cursor={cursor}")).await.expect(200);
        for other in others {
            let refused = admin.get(&format!("{list}?{other}&cursor={cursor}")).await;
            refused.problem(400, "invalid-query");
        }
    }
    // And the other way round: a cursor of a lookup is good for that list alone.
    let looked_up = "/orders?payment_reference=pi-2";
    let cursor = admin.get(&format!("{looked_up}&limit=1")).await.expect(200).text("next_cursor");
    let last = admin.get(&format!("{looked_up}&cursor={cursor}")).await.expect(200);
    assert_eq!((last.data().len(), &last["next_cursor"]), (1, &Value::Null));
    admin.get(&format!("/orders?cursor={cursor}")).await.problem(400, "invalid-query");
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
        "/products?sort=updated_at",
        "/products?sort=-updated_at&status=active,draft",
        "/orders",
        "/orders?sort=total&status=placed",
        "/orders?sort=updated_at",
        "/orders?sort=-updated_at&status=placed,paid&updated_from=2020-01-01T00:00:00Z",
        "/orders?payment_status=refund_due,partial",
        "/orders?return_status=requested,partial",
        "/users?role=customer",
        "/users?sort=-updated_at&role=customer,admin",
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
    assert!(count >= 18, "{count}");
}
