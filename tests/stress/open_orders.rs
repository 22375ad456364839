//! A product with very many open orders, a million in full size. It is bought and cancelled as one without any,
//! Reconcile finds what is due among them, and the consistency check comes to its end.

use std::time::{Duration, Instant};

use mongodb::bson::{self, DateTime, Document, doc};
use tests::holds::{StoredHold, insert_holds};
use tests::person::Person;

use crate::backlog::{Backlog, stored};
use crate::campaign::{Campaign, is_long, tell};
use crate::recovery;

/// Orders that are due to expire.
const DUE: usize = 500;

/// Holds without an order.
const ORPHANS: usize = 100;

/// Number of orders that are inserted at once.
const BATCH: usize = 10_000;

/// Number of orders that are placed and cancelled.
const BOUGHT: usize = 200;

/// Maximum number of calls of Reconcile.
const RUNS: usize = 300;

/// Time that went by since the orders were placed: Reconcile and the check look at them.
const AGE: Duration = Duration::from_secs(1_200);

/// Times of placing and cancelling, sorted.
#[derive(Default)]
struct Times {
    placed: Vec<Duration>,
    cancelled: Vec<Duration>,
}

impl Times {
    async fn buy(&mut self, buyer: &Person, product: &str) {
        let begun = Instant::now();
        let order = buyer.orders(&[(product, 1)]).await.expect(201).id();
        self.placed.push(begun.elapsed());
        let begun = Instant::now();
        buyer.moves(&order, "cancelled").await.expect(200);
        self.cancelled.push(begun.elapsed());
    }
}

/// Prints the median and the 99th percentile of both, and their ratio.
fn compare(name: &str, mut busy: Vec<Duration>, mut quiet: Vec<Duration>) {
    busy.sort_unstable();
    quiet.sort_unstable();
    let at = |times: &[Duration], percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1_000.0;
    let row = |percent| (at(&busy, percent), at(&quiet, percent), at(&busy, percent) / at(&quiet, percent));
    for percent in [50, 99] {
        let (busy, quiet, ratio) = row(percent);
        tell(&format!("{name}, p{percent}: {busy:.1} ms, without open orders {quiet:.1} ms: {ratio:.2} x\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_product_with_many_open_orders_is_like_any_other() {
    let mut campaign = Campaign::begin("open orders");
    let mut backlog = Backlog::open().await;
    let (busy, quiet) = (backlog.shop.product(2_000_000).await, backlog.shop.product(2_000_000).await);
    campaign.cases = if is_long() { 1_000_000 } else { 5_000 };
    let age = i64::try_from(AGE.as_millis()).unwrap();
    let old = DateTime::from_millis(DateTime::now().timestamp_millis() - age);
    let fields = doc! { "updated_at": old };
    let of_busy = std::slice::from_ref(&busy);
    let mut left = campaign.cases;
    while left > 0 {
        let count = left.min(BATCH);
        // They are due in a day.
        backlog.add_held(count, of_busy, -86_400, &fields, old).await;
        left -= count;
    }
    let due = backlog.add_held(DUE, of_busy, 60, &fields, old).await;
    let orphans: Vec<StoredHold> = (0..ORPHANS).map(|_| StoredHold::new(stored(&busy), old)).collect();
    insert_holds(backlog.database(), &orphans).await;

    let buyer = backlog.shop.customer().await;
    let (mut of_busy, mut of_quiet) = (Times::default(), Times::default());
    for _ in 0..BOUGHT {
        of_busy.buy(&buyer, &busy).await;
        of_quiet.buy(&buyer, &quiet).await;
    }
    compare("place", of_busy.placed, of_quiet.placed);
    compare("cancel", of_busy.cancelled, of_quiet.cancelled);

    let ids: Vec<bson::Uuid> = orphans.iter().map(|hold| hold.order).collect();
    let mut last = String::new();
    let mut is_done = false;
    while !is_done && backlog.runs < RUNS {
        let finished = match backlog.reconciles().await {
            Ok(healed) => {
                last = format!("{healed:?}");
                healed.finished
            }
            Err(status) => {
                last = status.to_string();
                false
            }
        };
        let live = doc! { "_id": { "$in": &ids }, "live": true };
        let holds = backlog.database().collection::<Document>("stock_holds");
        let orphans = holds.count_documents(live).await.unwrap();
        let due = backlog.left(&due).await;
        tell(&format!(
            "run {}: {due} due, {orphans} without an order, {:?} in all\n",
            backlog.runs, backlog.took
        ));
        is_done = finished && due == 0 && orphans == 0;
    }
    campaign.holds(is_done, || format!("Reconcile comes to no end: {last}"));
    campaign.healed_in(backlog.took);

    let begun = Instant::now();
    let (violations, checked) = recovery::check(&backlog.shop).await;
    tell(&format!("{checked} orders checked in {:.1} s\n", begun.elapsed().as_secs_f64()));
    campaign
        .holds(checked >= i64::try_from(campaign.cases + DUE).unwrap(), || format!("only {checked} checked"));
    campaign.finds(violations);
    campaign.end();
}
