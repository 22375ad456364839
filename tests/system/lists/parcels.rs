//! Lookups of orders by the tracking numbers of their parcels.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::Person;

use crate::support::lists::{of, shop_with_clock};

/// Three paid orders for 5, 4 and 3 units, each a second after the one before it. The second one is Bob's.
struct Parcels {
    shop: InProcess,
    ada: Person,
    bob: Person,
    orders: Vec<Answer>,
}

impl Parcels {
    async fn open() -> Self {
        let (shop, tick) = shop_with_clock().await;
        let (ada, bob) = (shop.customer().await, shop.customer().await);
        let mug = shop.product_with(json!({ "sku": "MUG-1", "stock": 100 })).await.id();
        let mut orders = Vec::new();
        for (person, quantity) in [(&ada, 5), (&bob, 4), (&ada, 3)] {
            let order = person.orders(&[(&mug, quantity)]).await.expect(201);
            shop.admin().moves(&order.id(), "paid").await.expect(200);
            orders.push(order);
            tick();
        }
        Self { shop, ada, bob, orders }
    }

    /// Ships a unit of an order. Path of the fulfillment.
    async fn ships(&self, place: usize, number: &str) -> String {
        let order = &self.orders[place];
        let items = json!([{ "id": order["items"][0]["id"], "quantity": 1 }]);
        let body = json!({ "items": items, "tracking": parcel(number) });
        let path = format!("/orders/{}/fulfillments", order.id());
        let fulfillment = self.shop.admin().post(&path, body).await.expect(201);
        format!("{path}/{}", fulfillment.id())
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

fn parcel(number: &str) -> Value {
    json!({ "carrier": "DHL", "number": number, "url": format!("https://example.com/parcels/{number}") })
}

#[tokio::test]
async fn an_order_is_found_by_the_number_of_each_of_its_parcels() {
    let parcels = Parcels::open().await;
    // The number of two parcels of an order is the number of other orders' parcels, too.
    for (place, number) in [(0, "T-1"), (0, "T-2"), (0, "T-2"), (1, "T-2"), (2, "T-2"), (2, "T-3")] {
        parcels.ships(place, number).await;
    }
    let bob = &parcels.bob.id;
    let reference = format!("pi_{}", parcels.orders[0].id());
    for (query, staff, adas) in [
        ("tracking_number=T-1".to_owned(), "0", "0"),
        ("tracking_number=T-2".to_owned(), "210", "20"),
        ("tracking_number=T-2&sort=created_at".to_owned(), "012", "02"),
        ("tracking_number=T-2&sort=-total".to_owned(), "012", "02"),
        ("tracking_number=T-3".to_owned(), "2", "2"),
        ("tracking_number=t-3".to_owned(), "", ""),
        ("tracking_number=T-".to_owned(), "", ""),
        ("tracking_number=T-2&status=paid".to_owned(), "210", "20"),
        ("tracking_number=T-2&status=shipped".to_owned(), "", ""),
        ("tracking_number=T-2&sku=MUG-1".to_owned(), "210", "20"),
        ("tracking_number=T-2&sku=MUG-2".to_owned(), "", ""),
        (format!("tracking_number=T-2&user_id={bob}"), "1", ""),
        (format!("tracking_number=T-1&user_id={bob}"), "", ""),
        (format!("tracking_number=T-2&payment_reference={reference}"), "0", "0"),
    ] {
        parcels.assert_lists(&query, staff, adas).await;
    }
}

#[tokio::test]
async fn an_order_is_found_by_the_corrected_number_of_a_parcel() {
    let parcels = Parcels::open().await;
    let admin = parcels.shop.admin();
    let first = parcels.ships(0, "T-1").await;
    let second = parcels.ships(0, "T-2").await;
    admin.put(&first, json!({ "tracking": parcel("T-9") })).await.expect(200);
    for (number, found) in [("T-1", ""), ("T-9", "0"), ("T-2", "0")] {
        parcels.assert_lists(&format!("tracking_number={number}"), found, found).await;
    }
    // A parcel that was recorded by mistake is still found.
    admin.put(&second, json!({ "status": "cancelled" })).await.expect(200);
    for (number, found) in [("T-9", "0"), ("T-2", "0")] {
        parcels.assert_lists(&format!("tracking_number={number}"), found, found).await;
    }
}
