//! Limits of what one customer may do: open orders, and requests a minute.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::{join, join_all};
use http::Method;
use mongodb::bson::{Bson, DateTime, Document, doc};
use orders::CustomerLimits;
use proto::orders::v1::order_service_client::OrderServiceClient;
use serde_json::json;
use shared::auth::Role;
use shared::error::{Error, Kind};
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, UserId};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address};
use tests::shop::order_of;
use tonic::Code;

use crate::support::aging::{Aging, HOUR, MINUTE};
use crate::support::branch::{Branch, Line};
use crate::support::clock::hand_moved_clock;
use crate::support::grpc::{by, caller, channel, new_order};
use crate::support::instance::Instance;

fn open_orders(most: u32) -> CustomerLimits {
    CustomerLimits { max_open_orders: most, ..CustomerLimits::NONE }
}

fn rate(most: u32) -> CustomerLimits {
    CustomerLimits { requests_per_minute: most, ..CustomerLimits::NONE }
}

fn user_id(person: &Person) -> mongodb::bson::Uuid {
    mongo::uuid(person.id.parse::<UserId>().unwrap())
}

/// Slots of the open orders of a customer, sorted.
async fn slots(shop: &InProcess, customer: &Person) -> Vec<i64> {
    let open = doc! { "user_id": user_id(customer), "status": "placed" };
    let found = shop.database.collection::<Document>("orders").find(open).await.unwrap();
    let found: Vec<Document> = found.try_collect().await.unwrap();
    let slots: BTreeSet<i64> = found.iter().filter_map(|order| order.get_i64("open_slot").ok()).collect();
    slots.into_iter().collect()
}

/// Separates what was placed from what was refused for the limit. There is nothing else.
#[track_caller]
fn placed(answers: Vec<Answer>, limit: u32) -> Vec<String> {
    let mut placed = Vec::new();
    for answer in answers {
        if answer.status == 201 {
            placed.push(answer.id());
        } else {
            assert_eq!(answer.problem(409, "too-many-open-orders")["limit"], limit);
        }
    }
    placed
}

#[tokio::test]
async fn of_fifty_orders_at_once_as_many_as_the_limit_get_through() {
    const LIMIT: u32 = 20;
    let shop = InProcess::open().await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    let instances: Vec<Person> = join_all((0..3).map(|_| async {
        Instance::with_limits(&shop, open_orders(LIMIT), Clock::system()).await.seen_by(&ada)
    }))
    .await;
    let answers = join_all((0..50).map(|place| {
        let (person, mug) = (&instances[place % 3], &mug);
        async move { person.orders(&[(mug, 1)]).await }
    }))
    .await;
    let orders = placed(answers, LIMIT);
    assert_eq!(orders.len(), 20);
    // Those that lost their slot after the hold have released it.
    assert_eq!(shop.stock(&mug).await, (100, 20, 80));
    assert_eq!(slots(&shop, &ada).await, (0..20).collect::<Vec<_>>());

    // What is paid or cancelled makes room for as many.
    shop.admin().moves(&orders[3], "paid").await.expect(200);
    ada.moves(&orders[7], "cancelled").await.expect(200);
    let again = join_all((0..10).map(|place| {
        let (person, mug) = (&instances[place % 3], &mug);
        async move { person.orders(&[(mug, 1)]).await }
    }))
    .await;
    assert_eq!(placed(again, LIMIT).len(), 2);
    assert_eq!(shop.stock(&mug).await, (100, 21, 79));
}

#[tokio::test]
async fn orders_without_a_slot_count_for_the_limit() {
    let shop = InProcess::open().await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    // Placed while there was no limit, or by an earlier build.
    for _ in 0..3 {
        ada.orders(&[(&mug, 1)]).await.expect(201);
    }
    let limited = Instance::with_limits(&shop, open_orders(5), Clock::system()).await.seen_by(&ada);
    let answers = join_all((0..12).map(|_| async { limited.orders(&[(&mug, 1)]).await })).await;
    assert_eq!(placed(answers, 5).len(), 2);
    let lower = Instance::with_limits(&shop, open_orders(2), Clock::system()).await.seen_by(&ada);
    assert_eq!(placed(vec![lower.orders(&[(&mug, 1)]).await], 2), [] as [String; 0]);
    assert_eq!(shop.stock(&mug).await, (100, 5, 95));
}

#[tokio::test]
async fn staff_are_never_refused_and_their_orders_count() {
    let shop = InProcess::open_with_limits(Clock::system(), open_orders(2)).await;
    let mug = shop.product(100).await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let mut hers = order_of(&mug, 1);
    hers["user_id"] = json!(ada.id);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    for _ in 0..4 {
        staff.post("/orders", hers.clone()).await.expect(201);
        staff.orders(&[(&mug, 1)]).await.expect(201);
    }
    assert_eq!(slots(&shop, &ada).await, [0, 1]);
    assert_eq!(placed(vec![ada.orders(&[(&mug, 1)]).await], 2), [] as [String; 0]);
}

#[tokio::test]
async fn an_earlier_build_that_pays_an_order_frees_its_slot() {
    let shop = InProcess::open_with_limits(Clock::system(), open_orders(1)).await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    assert_eq!(slots(&shop, &ada).await, [0]);
    // It knows no slots, so it leaves the field.
    let this = doc! { "_id": mongo::uuid(order.parse::<OrderId>().unwrap()) };
    let orders = shop.database.collection::<Document>("orders");
    orders.update_one(this.clone(), doc! { "$set": { "status": "paid" } }).await.unwrap();
    ada.orders(&[(&mug, 1)]).await.expect(201);

    let paid = orders.find_one(this).await.unwrap().unwrap();
    assert_eq!(paid.get_i64("open_slot").unwrap(), 0);
    shop.admin().moves(&order, "cancelled").await.expect(200);
}

#[tokio::test]
async fn a_refusal_at_the_limit_holds_nothing() {
    let shop = InProcess::open().await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    let branch = Branch::with_limits(&shop, open_orders(1), Clock::system()).await;
    let send = async || branch.send(&ada, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!(send().await.0, 201);
    branch.line(Line::Works);
    let (status, _, problem) = send().await;
    assert_eq!((status, &problem["limit"]), (409, &json!(1)));
    assert_eq!(branch.arrived(), [] as [String; 0]);
}

#[tokio::test]
async fn a_repeat_at_the_limit_is_answered_with_its_order() {
    let shop = InProcess::open_with_limits(Clock::system(), open_orders(1)).await;
    let mug = shop.product(100).await;
    for _ in 0..5 {
        let ada = shop.customer().await;
        let body = order_of(&mug, 1);
        let send = async |key: &str| ada.send_keyed(Method::POST, "/orders", key, &body).await;
        let (one, other) = join(send("a"), send("a")).await;
        let order = one.expect(201).id();
        assert_eq!(other.expect(201).id(), order);
        assert_eq!(send("a").await.expect(201).id(), order);
        send("b").await.problem(409, "too-many-open-orders");
        ada.moves(&order, "cancelled").await.expect(200);
        // The same request, which was refused, is tried anew.
        assert_ne!(send("b").await.expect(201).id(), order);
    }
}

#[tokio::test]
async fn cancellations_of_units_count_for_the_rate_and_no_repeats() {
    let (clock, hand) = hand_moved_clock();
    let shop = InProcess::open_with_limits(clock, rate(3)).await;
    let mug = shop.product(100).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let order = ada.orders(&[(&mug, 9)]).await.expect(201);
    let path = format!("/orders/{}/cancellations", order.id());
    let one = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 1 }] });
    let cancel = async |key: &str| ada.send_keyed(Method::POST, &path, key, &one).await;
    for key in ["a", "a", "a", "b", "b"] {
        cancel(key).await.expect(201);
    }
    cancel("c").await.problem(429, "too-many-requests");
    ada.post(&path, one.clone()).await.problem(429, "too-many-requests");
    cancel("a").await.expect(201);
    bob.post(&path, one.clone()).await.problem(404, "not-found");
    staff.post(&path, one.clone()).await.expect(201);
    assert_eq!(shop.stock(&mug).await, (100, 6, 94));
    hand.fetch_add(60_000, Ordering::SeqCst);
    cancel("c").await.expect(201);
    assert_eq!(shop.stock(&mug).await, (100, 5, 95));
}

#[tokio::test]
async fn placing_changing_items_and_cancelling_count_for_the_rate() {
    let (clock, hand) = hand_moved_clock();
    let shop = InProcess::open_with_limits(clock.clone(), rate(3)).await;
    let other = Instance::with_limits(&shop, rate(3), clock).await;
    let mug = shop.product(100).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let body = order_of(&mug, 1);
    let order = ada.send_keyed(Method::POST, "/orders", "first", &body).await.expect(201).id();
    let path = format!("/orders/{order}");
    let more = json!({ "items": [{ "product_id": mug, "quantity": 2 }] });
    ada.put(&path, more.clone()).await.expect(200);
    // What is not limited does not count.
    for _ in 0..4 {
        ada.put(&path, json!({ "note": "Ring", "shipping_address": address() })).await.expect(200);
        ada.get("/orders").await.expect(200);
    }
    ada.moves(&order, "cancelled").await.expect(200);

    for person in [&ada, &other.seen_by(&ada)] {
        let refused = person.orders(&[(&mug, 1)]).await.problem(429, "too-many-requests");
        assert_eq!(refused.header("retry-after"), Some("60"));
        person.put(&path, more.clone()).await.problem(429, "too-many-requests");
        person.moves(&order, "cancelled").await.problem(429, "too-many-requests");
        // A repeat under a key that was answered is no request for anything new.
        let again = person.send_keyed(Method::POST, "/orders", "first", &body).await.expect(201);
        assert_eq!(again.id(), order);
        person.put(&path, json!({ "note": "Knock" })).await.problem(409, "order-not-editable");
        person.put(&format!("/orders/{}", OrderId::new()), more.clone()).await.problem(404, "not-found");
    }
    bob.orders(&[(&mug, 1)]).await.expect(201);
    for _ in 0..5 {
        staff.orders(&[(&mug, 1)]).await.expect(201);
    }
    // Refusals do not extend the window, and the next one begins with its first request.
    hand.fetch_add(59_999, Ordering::SeqCst);
    let refused = ada.orders(&[(&mug, 1)]).await.problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    hand.fetch_add(1, Ordering::SeqCst);
    for _ in 0..3 {
        ada.orders(&[(&mug, 1_000)]).await.problem(409, "insufficient-stock");
    }
    // Those that were refused for another reason count.
    ada.orders(&[(&mug, 1)]).await.problem(429, "too-many-requests");
}

#[tokio::test]
async fn a_damaged_count_neither_locks_out_nor_lets_all_pass() {
    let shop = InProcess::open_with_limits(Clock::system(), rate(2)).await;
    let mug = shop.product(100).await;
    let ada = shop.customer().await;
    let counts = shop.database.collection::<Document>("order_rates");
    let this = doc! { "_id": user_id(&ada) };
    let far: Bson = DateTime::from_millis(253_402_300_799_999).into();
    for (field, damaged) in [
        ("count", Bson::from("many")),
        ("count", Bson::Null),
        ("count", doc! { "a": 1 }.into()),
        ("count", 1e300.into()),
        ("ends_at", "never".into()),
        ("ends_at", Bson::Null),
        ("ends_at", far),
    ] {
        counts.delete_one(this.clone()).await.unwrap();
        for _ in 0..2 {
            ada.orders(&[(&mug, 1)]).await.expect(201);
        }
        ada.orders(&[(&mug, 1)]).await.problem(429, "too-many-requests");
        let damage = doc! { "$set": { field: damaged.clone() } };
        counts.update_one(this.clone(), damage).bypass_document_validation(true).await.unwrap();
        for _ in 0..2 {
            ada.orders(&[(&mug, 1)]).await.expect(201);
        }
        ada.orders(&[(&mug, 1)]).await.problem(429, "too-many-requests");
    }
}

#[tokio::test]
async fn both_limits_are_the_same_over_grpc() {
    let shop = InProcess::open().await;
    let mug = shop.product(100).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let refused = async |limits: CustomerLimits, person: &Person| {
        let instance = Instance::with_limits(&shop, limits, Clock::system()).await;
        let mut client = OrderServiceClient::new(channel(instance.backend.orders.rpc.clone()));
        let as_customer = caller(person, Role::Customer);
        client.create_order(by(as_customer, new_order(&mug, 1))).await.unwrap();
        let status = client.create_order(by(as_customer, new_order(&mug, 1))).await.unwrap_err();
        (status.code(), Error::from(status))
    };
    let (code, error) = refused(open_orders(1), &ada).await;
    assert_eq!((code, error.kind()), (Code::FailedPrecondition, Kind::TooManyOpenOrders));
    assert_eq!(error.member("limit"), Some(&json!(1)));
    let (code, error) = refused(rate(1), &bob).await;
    assert_eq!((code, error.kind()), (Code::ResourceExhausted, Kind::TooManyRequests));
}

#[tokio::test]
async fn who_places_and_cancels_in_a_loop_is_refused_alone() {
    let shop = InProcess::open_with_limits(Clock::system(), CustomerLimits::default()).await;
    let mug = shop.product(2).await;
    let (mallory, ada) = (shop.customer().await, shop.customer().await);
    let mut orders = 0;
    loop {
        let placed = mallory.orders(&[(&mug, 1)]).await;
        if placed.status == 429 {
            break;
        }
        let order = placed.expect(201).id();
        orders += 1;
        let cancelled = mallory.moves(&order, "cancelled").await;
        if cancelled.status == 429 {
            break;
        }
        cancelled.expect(200);
    }
    assert!(orders <= 30, "{orders} orders and as many cancellations");
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    ada.moves(&order, "cancelled").await.expect(200);
    ada.orders(&[(&mug, 1)]).await.expect(201);
}

#[tokio::test]
async fn all_of_a_shop_in_one_order_is_free_after_the_window() {
    let aging = Aging::open().await;
    let shop = &aging.shop;
    let limits = CustomerLimits::default();
    let branch = Branch::with_limits(shop, limits, aging.clock.clone()).await;
    let products = join_all((0..100).map(|_| shop.product(3))).await;
    let items: Vec<_> =
        products.iter().map(|product| json!({ "product_id": product, "quantity": 3 })).collect();
    let all = json!({ "items": items, "shipping_address": address() });
    let (mallory, ada) = (shop.customer().await, shop.customer().await);
    let send = async |body| branch.send(&mallory, Method::POST, "/orders", body).await;
    let (status, _, order) = send(all.clone()).await;
    assert_eq!(status, 201, "{order:#}");
    // There is nothing left for a second order, and what is left of the rate goes by.
    let refused = join_all((0..5).map(|_| send(all.clone()))).await;
    assert!(refused.iter().all(|(status, ..)| *status == 409));
    assert_eq!(aging.stock(&products[99]).await, (3, 3, 0));
    aging.ages(HOUR + MINUTE).await;
    let done = aging.reconciles().await;
    assert_eq!(done.orders_expired, 1, "{done:?}");
    for product in [&products[0], &products[99]] {
        assert_eq!(aging.stock(product).await, (3, 0, 3));
    }
    aging.again(&ada).await.orders(&[(&products[0], 3)]).await.expect(201);
}

#[tokio::test]
async fn an_order_that_never_expires_stays_beside_those_that_do() {
    let aging = Aging::open().await;
    let shop = &aging.shop;
    let mug = shop.product(10).await;
    let staff = shop.staff().await;
    let until = async |expires_at: serde_json::Value| {
        let mut order = order_of(&mug, 1);
        order["expires_at"] = expires_at;
        staff.post("/orders", order).await.expect(201).id()
    };
    let hours = |hours: u64| json!(aging.clock.now().after(Duration::from_secs(hours * 3_600)));
    let (never, soon, late) = (until(json!(null)).await, until(hours(1)).await, until(hours(100 * 24)).await);
    aging.ages(2 * HOUR).await;
    assert_eq!(aging.reconciles().await.orders_expired, 1);
    aging.ages(179 * 24 * HOUR).await;
    assert_eq!(aging.reconciles().await.orders_expired, 1);
    let statuses = [aging.status(&never).await, aging.status(&soon).await, aging.status(&late).await];
    assert_eq!(statuses, ["placed", "cancelled", "cancelled"]);
    assert_eq!(aging.stock(&mug).await, (10, 1, 9));
}
