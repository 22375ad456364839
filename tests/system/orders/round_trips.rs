//! Cost of placing an order: commands to MongoDB, waits for the journal, and calls.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::future::join_all;
use http::Method;
use orders::CustomerLimits;
use serde_json::{Value, json};
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::mongo_tap::{Command, Tap};
use tests::person::{Person, address};

use crate::support::branch::{Branch, Line};

/// A shop at the end of a tapped line, which has placed orders before: signing keys are known, connections are open.
struct Warm {
    shop: InProcess,
    tap: Tap,
    branch: Branch,
    customer: Person,
}

impl Warm {
    async fn open() -> Self {
        Self::with_limits(CustomerLimits::NONE).await
    }

    async fn with_limits(limits: CustomerLimits) -> Self {
        let server = mongod::shared_for_tests().await.unwrap();
        let port = server.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
        let tap = Tap::to(port).await;
        let shop = InProcess::open_at(&tap.uri("round-trips"), Clock::system()).await;
        let branch = Branch::with_limits(&shop, limits, Clock::system()).await;
        let customer = shop.customer().await;
        let warm = Self { shop, tap, branch, customer };
        for key in [None, Some("warm")] {
            warm.places(2, key).await;
        }
        warm
    }

    /// Places an order of so many lines. What it took: the commands, and the calls.
    async fn places(&self, lines: usize, key: Option<&str>) -> (Vec<Command>, Vec<String>) {
        let products = join_all((0..lines).map(|_| self.shop.product(10))).await;
        self.places_of(&products, key).await
    }

    /// The same, of one piece of each of these products.
    async fn places_of(&self, products: &[String], key: Option<&str>) -> (Vec<Command>, Vec<String>) {
        let items: Vec<Value> =
            products.iter().map(|product| json!({ "product_id": product, "quantity": 1 })).collect();
        let mut request = self.branch.request(&self.customer, Method::POST, "/orders");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.branch.line(Line::Works);
        self.tap.heard();
        let answer = request.json(&json!({ "items": items, "shipping_address": address() })).send().await;
        assert_eq!(answer.unwrap().status(), 201);
        (self.tap.heard(), self.branch.arrived())
    }

    /// Places an order, and compares its commands with these steps. Reads of one step are sent at once.
    async fn takes(&self, lines: usize, key: Option<&str>, steps: &[&[&str]]) {
        let (heard, called) = self.places(lines, key).await;
        let names: Vec<&str> = heard.iter().map(|command| command.name.as_str()).collect();
        assert_eq!(names, steps.concat());
        assert_eq!(heard.iter().filter(|command| command.waits_for_journal).count(), 2, "{heard:?}");
        assert_eq!(called, ["HoldStock"]);
    }
}

/// Looks up a key.
const KEY: &[&str] = &["find"];

/// Reads the products and the hold, at once.
const READS: &[&str] = &["find", "find"];

#[tokio::test]
async fn an_order_of_one_item_is_three_round_trips_and_two_waits() {
    let steps = [READS, &["findAndModify"], &["insert"]];
    Warm::open().await.takes(1, None, &steps).await;
}

#[tokio::test]
async fn with_a_key_it_asks_once_more_and_waits_no_longer() {
    let steps = [KEY, READS, &["findAndModify"], &["insert"]];
    assert!(steps.len() <= 4);
    Warm::open().await.takes(1, Some("k"), &steps).await;
}

#[tokio::test]
async fn an_order_of_twenty_items_is_six_round_trips_with_a_key() {
    let warm = Warm::open().await;
    let held: [&[&str]; 5] = [READS, &["update"], &["update"], &["commitTransaction"], &["insert"]];
    warm.takes(20, None, &held).await;
    let steps = [&[KEY], &held[..]].concat();
    assert!(steps.len() <= 7);
    warm.takes(20, Some("k"), &steps).await;
}

#[tokio::test]
async fn the_reads_of_a_hold_are_sent_at_once() {
    let warm = Warm::open().await;
    let mug = warm.shop.product(10).await;
    // Neither is answered before both are sent.
    warm.tap.gathers("find", 2);
    warm.places_of(&[mug], None).await;
}

#[tokio::test]
async fn what_comes_again_asks_once_and_neither_waits_nor_calls() {
    let warm = Warm::open().await;
    let mug = warm.shop.product(10).await;
    let body = json!({ "items": [{ "product_id": mug, "quantity": 1 }], "shipping_address": address() });
    let send = async || {
        let request = warm.branch.request(&warm.customer, Method::POST, "/orders");
        let answer = request.header("idempotency-key", "k").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    };
    send().await;
    warm.branch.line(Line::Works);
    warm.tap.heard();
    send().await;
    let look = Command { name: "find".to_owned(), waits_for_journal: false };
    assert_eq!((warm.tap.heard(), warm.branch.arrived()), (vec![look], Vec::new()));
}

/// The limits of a customer are read with the key, before the call, and a request is counted while products holds.
#[tokio::test]
async fn limits_of_a_customer_take_reads_at_once_and_no_journal() {
    let warm = Warm::with_limits(CustomerLimits::default()).await;
    for (key, reads) in [(None, 4), (Some("k"), 5)] {
        let (heard, called) = warm.places(1, key).await;
        let names: Vec<&str> = heard.iter().map(|command| command.name.as_str()).collect();
        let (last, before) = names.split_last().unwrap();
        let mut before = before.to_vec();
        before.sort_unstable();
        let expected = [&vec!["find"; reads][..], &["findAndModify", "update"]].concat();
        assert_eq!((before, *last), (expected, "insert"));
        assert_eq!(heard.iter().filter(|command| command.waits_for_journal).count(), 2, "{heard:?}");
        assert_eq!(called, ["HoldStock"]);
    }
}
