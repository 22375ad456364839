//! Parts of an order together: the statuses that they lead to, the history that they leave, and the rules that all of
//! them share.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;

use http::{Method, header};
use serde_json::{Value, json};
use shared::values::ids::ItemId;
use tests::answer::Answer;
use tests::person::Person;
use tests::shop::{Shop, steps_to};
use tests::support::conditional::{outdated, send_if};
use tests::support::idempotency::{keyed, replayed};
use tests::support::products::ledger;

use super::payments::{new_reference, pay};

/// An order for units of one product, with its people.
pub(super) struct OneOrder {
    pub(super) owner: Person,
    pub(super) staff: Person,
    pub(super) product: String,
    pub(super) id: String,
    /// ID of its item.
    pub(super) item: Value,
}

impl OneOrder {
    /// An order of new people for so many units at 500, all that there are, walked to a status.
    pub(super) async fn of(shop: &Shop, status: &str, units: i64) -> Self {
        let (owner, staff) = (shop.customer().await, shop.staff().await);
        Self::of_people(shop, &owner, &staff, status, units).await
    }

    /// The same, of these people.
    pub(super) async fn of_people(
        shop: &Shop,
        owner: &Person,
        staff: &Person,
        status: &str,
        units: i64,
    ) -> Self {
        let product = shop.product(units).await;
        let order = owner.orders(&[(&product, units)]).await.expect(201);
        for step in steps_to(status) {
            staff.moves(&order.id(), step).await.expect(200);
        }
        let item = order["items"][0]["id"].clone();
        Self { owner: owner.clone(), staff: staff.clone(), product, id: order.id(), item }
    }

    /// A path below that of the order.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/orders/{}{rest}", self.id)
    }

    /// The order as its owner sees it.
    pub(super) async fn seen(&self) -> Answer {
        self.owner.get(&self.path("")).await.expect(200)
    }

    /// A body that names so many units.
    pub(super) fn units(&self, quantity: i64) -> Value {
        json!({ "items": [{ "id": self.item, "quantity": quantity }] })
    }

    /// Ships so many units.
    pub(super) async fn ship(&self, quantity: i64) -> Answer {
        self.staff.post(&self.path("/fulfillments"), self.units(quantity)).await
    }

    /// Has somebody cancel so many units.
    pub(super) async fn cancel(&self, person: &Person, quantity: i64) -> Answer {
        person.post(&self.path("/cancellations"), self.units(quantity)).await
    }

    /// Has somebody ask for the return of so many units.
    pub(super) async fn ask(&self, person: &Person, quantity: i64) -> Answer {
        person.post(&self.path("/returns"), self.units(quantity)).await
    }

    /// Has staff change a part: `kind` is `fulfillments` or `returns`.
    pub(super) async fn change(&self, kind: &str, id: &str, change: Value) -> Answer {
        self.staff.put(&self.path(&format!("/{kind}/{id}")), change).await
    }

    /// Receives a return: so many units came back, and so many of them are on hand again.
    pub(super) async fn receive(&self, id: &str, received: i64, restocked: i64) -> Answer {
        let items = json!([{ "id": self.item, "received": received, "restocked": restocked }]);
        self.change("returns", id, json!({ "status": "received", "items": items })).await
    }

    /// Status, and the statuses of shipping and returns.
    pub(super) async fn statuses(&self) -> [String; 3] {
        let seen = self.seen().await;
        ["status", "fulfillment_status", "return_status"].map(|name| seen.text(name))
    }

    /// Units that are cancelled, shipped, returned and refunded.
    pub(super) async fn counters(&self) -> [i64; 4] {
        let seen = self.seen().await;
        ["cancelled", "shipped", "returned", "refunded"].map(|name| seen["items"][0][name].as_i64().unwrap())
    }
}

/// Entries of a history: event, from, to, by, subject and reason.
pub(super) fn entries(order: &Answer) -> Vec<Value> {
    let entry =
        |it: &Value| json!([it["event"], it["from"], it["to"], it["by"], it["subject"], it["reason"]]);
    order["history"].as_array().unwrap().iter().map(entry).collect()
}

/// True for statuses of shipping, returns and payment that an order can have together.
///
/// Units are shipped once an order is paid, and its payable amount never rises afterwards: so with shipped units it is
/// never `unpaid` or `partial` again. Units that returns need stay shipped: so without shipped units there are none.
fn is_reachable(shipping: &str, returns: &str, payment: &str) -> bool {
    if shipping == "unfulfilled" {
        return returns == "none";
    }
    !["unpaid", "partial"].contains(&payment)
}

/// Walks an order for three units, of which some or all are shipped, until its returns have this status.
async fn walk_to(it: &OneOrder, shipping: &str, returns: &str) {
    let shipped = if shipping == "partial" { 2 } else { 3 };
    let parcel = it.ship(shipped).await.expect(201).id();
    if shipping == "delivered" {
        it.change("fulfillments", &parcel, json!({ "status": "delivered" })).await.expect(200);
    }
    let units = match returns {
        "none" => return,
        "returned" => shipped,
        _ => 1,
    };
    let back = it.ask(&it.staff, units).await.expect(201).id();
    if returns != "requested" {
        it.receive(&back, units, 0).await.expect(200);
    }
}

#[tokio::test]
async fn all_statuses_that_can_be_had_together_are_reached() {
    let shop = Shop::open().await;
    let (owner, staff) = (shop.customer().await, shop.staff().await);
    let mut seen = BTreeSet::new();
    let shippings = ["unfulfilled", "partial", "shipped", "delivered"];
    let returns = ["none", "requested", "partial", "returned"];
    for (shipping, back) in shippings.iter().flat_map(|shipping| returns.map(|back| (*shipping, back))) {
        if !is_reachable(shipping, back, "paid") {
            continue;
        }
        let it = OneOrder::of_people(&shop, &owner, &staff, "placed", 3).await;
        let mut look = async || {
            let order = it.seen().await;
            seen.insert(
                ["fulfillment_status", "return_status", "payment_status"].map(|name| order.text(name)),
            );
        };
        if shipping == "unfulfilled" {
            look().await;
        }
        pay(&staff, &it.id, 1_000).await.expect(201);
        if shipping == "unfulfilled" {
            look().await;
        }
        pay(&staff, &it.id, 500).await.expect(201);
        if shipping != "unfulfilled" {
            walk_to(&it, shipping, back).await;
        }
        look().await;
        // A little is paid back, more comes in than is to be paid, and at last all is paid back.
        let refunds = it.path("/refunds");
        staff.post(&refunds, json!({ "amount": 1 })).await.expect(201);
        look().await;
        pay(&staff, &it.id, 7).await.expect(201);
        look().await;
        staff.post(&refunds, json!({ "amount": 1_506 })).await.expect(201);
        look().await;
    }
    let payments = ["unpaid", "partial", "paid", "partially_refunded", "refunded", "refund_due"];
    let all = shippings.iter().flat_map(|shipping| returns.map(|back| (*shipping, back)));
    let all = all.flat_map(|(shipping, back)| payments.map(|payment| [shipping, back, payment]));
    let reachable = all.filter(|[shipping, back, payment]| is_reachable(shipping, back, payment));
    let expected: BTreeSet<[String; 3]> = reachable.map(|names| names.map(str::to_owned)).collect();
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 6 + 3 * 4 * 4);
}

#[tokio::test]
async fn a_whole_life_of_an_order_stands_in_its_history() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    let (ada, staff) = (json!(it.owner.id), json!(it.staff.id));
    let tracking = |number: &str| json!({ "carrier": "DHL", "number": number });
    let mut one = it.units(1);
    one["tracking"] = tracking("1");
    let first = it.staff.post(&it.path("/fulfillments"), one).await.expect(201).id();
    it.change("fulfillments", &first, json!({ "tracking": tracking("2") })).await.expect(200);
    let mut one = it.units(1);
    one["reason"] = json!("out of stock");
    it.staff.post(&it.path("/cancellations"), one).await.expect(201);
    // Its money goes back before the return's: a refund of anything lowers what is due.
    let mut cancelled = it.units(1);
    cancelled["reason"] = json!("out of stock");
    let of_cancelled = it.staff.post(&it.path("/refunds"), cancelled).await.expect(201).id();
    let second = it.staff.post(&it.path("/fulfillments"), json!({})).await.expect(201).id();
    for parcel in [&first, &second] {
        it.change("fulfillments", parcel, json!({ "status": "delivered" })).await.expect(200);
    }
    let mut two = it.units(2);
    two["reason"] = json!("too small");
    let back = it.owner.post(&it.path("/returns"), two).await.expect(201).id();
    it.change("returns", &back, json!({ "status": "approved" })).await.expect(200);
    it.receive(&back, 1, 1).await.expect(200);
    let refund = json!({ "return_id": back, "reason": "came back" });
    let refund = it.staff.post(&it.path("/refunds"), refund).await.expect(201);
    assert_eq!((&refund["amount"], &refund["items"][0]["quantity"]), (&json!(500), &json!(1)));
    let refund = refund.id();

    let order = it.staff.get(&it.path("")).await.expect(200);
    let payment = &order["payments"][0]["id"];
    let cancellation = order["history"][5]["subject"].clone();
    assert!(cancellation.as_str().unwrap().starts_with("cancellation_"), "{cancellation}");
    let expected = [
        json!(["status", null, "placed", ada, null, null]),
        json!(["payment", null, null, staff, payment, null]),
        json!(["status", "placed", "paid", staff, null, null]),
        json!(["fulfillment", null, "shipped", staff, first, null]),
        json!(["fulfillment", "shipped", "shipped", staff, first, null]),
        json!(["cancellation", null, null, staff, cancellation, "out of stock"]),
        json!(["refund", null, null, staff, of_cancelled, "out of stock"]),
        json!(["fulfillment", null, "shipped", staff, second, null]),
        json!(["status", "paid", "shipped", "system", null, null]),
        json!(["fulfillment", "shipped", "delivered", staff, first, null]),
        json!(["fulfillment", "shipped", "delivered", staff, second, null]),
        json!(["status", "shipped", "delivered", "system", null, null]),
        json!(["return", null, "requested", ada, back, "too small"]),
        json!(["return", "requested", "approved", staff, back, null]),
        json!(["return", "approved", "received", staff, back, null]),
        json!(["refund", null, null, staff, refund, "came back"]),
    ];
    assert_eq!(entries(&order), expected);
    // Each request is one version, whatever entries it leaves.
    assert_eq!(order["version"], 13);
    assert_eq!(it.statuses().await, ["delivered", "delivered", "partial"]);
    assert_eq!(it.counters().await, [1, 3, 1, 2]);
    let totals = ["cancelled", "paid", "refunded", "refund_due"].map(|name| &order["totals"][name]);
    assert_eq!(totals, [500, 2_000, 1_000, 0]);
    assert_eq!(order["payment_status"], "partially_refunded");
    assert_eq!(shop.stock(&it.product).await, (2, 0, 2));
}

#[tokio::test]
async fn customers_see_their_own_parts_and_those_of_staff() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "delivered", 3).await;
    let asked = it.ask(&it.owner, 1).await.expect(201);
    assert_eq!(asked["by"], json!(it.owner.id));
    let made = it.ask(&it.staff, 1).await.expect(201);
    assert_eq!(made["by"], json!(it.staff.id));
    let cells = |order: &Answer| {
        let parts = [&order["fulfillments"][0], &order["returns"][0], &order["returns"][1]];
        parts.map(|part| part["by"].clone())
    };
    let (ada, staff) = (json!(it.owner.id), json!(it.staff.id));
    assert_eq!(cells(&it.seen().await), [json!("staff"), ada.clone(), json!("staff")]);
    assert_eq!(cells(&it.staff.get(&it.path("")).await.expect(200)), [staff.clone(), ada, staff]);
    // They stand in lists as in the order itself.
    let listed = it.owner.get("/orders").await.expect(200);
    let order = it.seen().await;
    for field in ["fulfillments", "returns", "fulfillment_status", "return_status", "items", "tracking"] {
        assert_eq!(listed.data()[0][field], order[field], "{field}");
    }
}

/// Sends a change for a version that has gone by, which is refused, and for the latest one, which then goes up by one.
async fn change_version(
    person: &Person,
    (method, path): (Method, &str),
    body: &Value,
    version: &mut i64,
) -> Answer {
    let tag = |version: i64| format!("\"{version}\"");
    let stale = tag(*version - 1);
    let refused =
        send_if(person, method.clone(), path, (header::IF_MATCH, &[stale.as_str()]), Some(body)).await;
    outdated(refused, *version);
    let latest = tag(*version);
    let answer = send_if(person, method, path, (header::IF_MATCH, &[latest.as_str()]), Some(body)).await;
    *version += 1;
    assert!(answer.status.is_success(), "{}: {:#}", answer.request, answer.body);
    assert_eq!(answer.header("etag"), Some(tag(*version).as_str()), "{}", answer.request);
    answer
}

#[tokio::test]
async fn each_change_of_a_part_is_one_version_of_the_order() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 5).await;
    let mut version = 2;
    let (shipping, returns) = (it.path("/fulfillments"), it.path("/returns"));
    let first = change_version(&it.staff, (Method::POST, &shipping), &it.units(1), &mut version).await;
    let cancelled = json!({ "status": "cancelled" });
    let of_first = format!("{shipping}/{}", first.id());
    change_version(&it.staff, (Method::PUT, &of_first), &cancelled, &mut version).await;
    let cancellations = it.path("/cancellations");
    let order = change_version(&it.staff, (Method::POST, &cancellations), &it.units(1), &mut version)
        .await
        .expect(201);
    assert_eq!(order["version"], version);
    let second = change_version(&it.staff, (Method::POST, &shipping), &json!({}), &mut version).await;
    let of_second = format!("{shipping}/{}", second.id());
    // Both changes of one request, and the status of the order that follows, are one version.
    let both = json!({ "status": "delivered", "tracking": { "carrier": "DHL", "number": "1" } });
    change_version(&it.staff, (Method::PUT, &of_second), &both, &mut version).await;
    let asked = change_version(&it.owner, (Method::POST, &returns), &it.units(4), &mut version).await;
    let of_return = format!("{returns}/{}", asked.id());
    let approved = json!({ "status": "approved" });
    change_version(&it.staff, (Method::PUT, &of_return), &approved, &mut version).await;
    let received = json!({ "status": "received" });
    change_version(&it.staff, (Method::PUT, &of_return), &received, &mut version).await;
    assert_eq!(it.seen().await["version"], version);
    // A part that has its status already has its version too.
    let again = it.staff.put(&of_return, received.clone()).await.expect(200);
    assert_eq!(again.header("etag"), Some(format!("\"{version}\"").as_str()));
    let stale = send_if(&it.staff, Method::PUT, &of_return, (header::IF_MATCH, &["\"1\""]), Some(&received));
    outdated(stale.await, version);
}

#[tokio::test]
async fn a_part_is_made_once_under_one_key() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 4).await;
    it.ship(2).await.expect(201);
    for (route, person, version) in
        [("/fulfillments", &it.staff, 4), ("/returns", &it.staff, 5), ("/cancellations", &it.staff, 6)]
    {
        let (path, one) = (it.path(route), it.units(1));
        let first = keyed(person, Method::POST, &path, "k", &one).await.expect(201);
        let again = keyed(person, Method::POST, &path, "k", &one).await.expect(201);
        assert_eq!((replayed(&first), replayed(&again), &again.body), (false, true, &first.body), "{route}");
        let two = it.units(2);
        keyed(person, Method::POST, &path, "k", &two).await.problem(422, "idempotency-key-reused");
        assert_eq!(it.seen().await["version"], version, "{route}");
    }
    assert_eq!(it.statuses().await, ["shipped", "shipped", "requested"]);
    assert_eq!(it.counters().await, [1, 3, 0, 0]);
    assert_eq!(shop.stock(&it.product).await, (1, 0, 1));
}

#[tokio::test]
async fn units_that_are_none_of_the_order_are_refused() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 3).await;
    it.ship(2).await.expect(201);
    let other = OneOrder::of_people(&shop, &it.owner, &it.staff, "paid", 1).await;
    let before = it.seen().await;
    let unit = |id: &Value, quantity: i64| json!({ "id": id, "quantity": quantity });
    let many: Vec<Value> = (0..101).map(|_| unit(&json!(ItemId::new().to_string()), 1)).collect();
    for route in ["/fulfillments", "/cancellations", "/returns"] {
        for (items, pointers) in [
            (json!([]), &["/items"][..]),
            (json!(many), &["/items"]),
            (json!([unit(&json!(ItemId::new().to_string()), 1)]), &["/items/0/id"]),
            (json!([unit(&it.item, 1), unit(&other.item, 1)]), &["/items/1/id"]),
            (json!([unit(&json!(it.product), 1)]), &["/items/0/id"]),
            (json!([unit(&json!("x"), 0)]), &["/items/0/id", "/items/0/quantity"]),
            (json!([unit(&it.item, 1), unit(&it.item, 1)]), &["/items/1/id"]),
            (json!([unit(&it.item, 0)]), &["/items/0/quantity"]),
            (json!([unit(&it.item, -1)]), &["/items/0/quantity"]),
            (json!([unit(&it.item, 10_001)]), &["/items/0/quantity"]),
            (json!([{ "id": it.item, "quantity": "1" }]), &["/items/0/quantity"]),
            (json!([{ "id": it.item, "quantity": 1, "sku": "A" }]), &["/items/0/sku"]),
            (json!([{}]), &["/items/0/id", "/items/0/quantity"]),
            (json!("all"), &["/items"]),
        ] {
            it.staff.post(&it.path(route), json!({ "items": items })).await.faults_at(pointers);
        }
        let mut unknown = it.units(1);
        unknown["status"] = json!("shipped");
        it.staff.post(&it.path(route), unknown).await.faults_at(&["/status"]);
    }
    assert_eq!(it.seen().await.body, before.body);
}

#[tokio::test]
async fn parts_of_others_and_unknown_parts_are_not_found() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 3).await;
    let parcel = it.ship(2).await.expect(201).id();
    let back = it.ask(&it.staff, 1).await.expect(201).id();
    let other = OneOrder::of_people(&shop, &it.owner, &it.staff, "paid", 1).await;
    let (stranger, anyone) = (shop.customer().await, shop.anyone());
    let (one, cancelled) = (it.units(1), json!({ "status": "cancelled" }));
    for (method, rest, body) in [
        (Method::POST, "/fulfillments".to_owned(), &one),
        (Method::POST, "/cancellations".to_owned(), &one),
        (Method::POST, "/returns".to_owned(), &one),
        (Method::PUT, format!("/fulfillments/{parcel}"), &cancelled),
        (Method::PUT, format!("/returns/{back}"), &cancelled),
    ] {
        let path = it.path(&rest);
        stranger.send(method.clone(), &path, Some(body.clone())).await.problem(404, "not-found");
        anyone.send(method.clone(), &path, Some(body.clone())).await.problem(401, "unauthenticated");
        anyone.send(Method::GET, &path, None).await.problem(405, "method-not-allowed");
        if method == Method::PUT {
            let elsewhere = other.path(&rest);
            it.staff.put(&elsewhere, body.clone()).await.problem(404, "not-found");
            // An unknown part is so in each version.
            let stale = (header::IF_MATCH, &["\"1\""][..]);
            send_if(&it.staff, method, &elsewhere, stale, Some(body)).await.problem(404, "not-found");
        }
    }
    // An ID of another kind is none.
    for rest in [format!("/fulfillments/{back}"), format!("/returns/{parcel}"), "/returns/x".to_owned()] {
        it.staff.put(&it.path(&rest), cancelled.clone()).await.problem(404, "not-found");
    }
    assert_eq!(it.seen().await["version"], 4);
}

#[tokio::test]
async fn the_ledger_tells_what_was_shipped_and_came_back() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 5).await;
    it.ship(2).await.expect(201);
    let parcel = it.ship(3).await.expect(201).id();
    it.change("fulfillments", &parcel, json!({ "status": "cancelled" })).await.expect(200);
    it.ship(1).await.expect(201);
    let back = it.ask(&it.staff, 2).await.expect(201).id();
    it.receive(&back, 2, 1).await.expect(200);
    // What is neither shipped nor put back moves nothing.
    it.cancel(&it.staff, 1).await.expect(201);
    let ledger = ledger(&it.staff, &it.product).await;
    let row = |entry: &Value| json!([entry["delta"], entry["on_hand"], entry["reason"], entry["order_id"]]);
    let rows: Vec<Value> = ledger.iter().map(row).collect();
    let expected = [
        json!([1, 3, "returned", it.id]),
        json!([-1, 2, "shipped", it.id]),
        json!([3, 3, "unshipped", it.id]),
        json!([-3, 0, "shipped", it.id]),
        json!([-2, 3, "shipped", it.id]),
        json!([5, 5, "initial", null]),
    ];
    assert_eq!(rows, expected);
    let sum: i64 = ledger.iter().map(|entry| entry["delta"].as_i64().unwrap()).sum();
    // One unit is left in the order.
    assert_eq!(shop.stock(&it.product).await, (sum, 1, sum - 1));
}

#[tokio::test]
async fn the_parcels_of_an_order_are_found_by_their_numbers() {
    let shop = Shop::open().await;
    let it = OneOrder::of(&shop, "paid", 2).await;
    let numbers = [new_reference(), new_reference()];
    for number in &numbers {
        let mut one = it.units(1);
        one["tracking"] = json!({ "carrier": "DHL", "number": number });
        it.staff.post(&it.path("/fulfillments"), one).await.expect(201);
    }
    for number in &numbers {
        let found = it.owner.get(&format!("/orders?tracking_number={number}")).await.expect(200);
        let ids: Vec<&Value> = found.data().iter().map(|order| &order["id"]).collect();
        assert_eq!(ids, [&json!(it.id)], "{number}");
    }
}
