//! Reconcile on a bad day: unreadable orders, locked products, a long backlog. Everything else goes on.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, doc};
use shared::mongo;
use shared::values::ids::OrderId;
use tests::holds::{StoredHold, insert_holds};

use crate::support::aging::{Aging, HOUR, MINUTE, SECOND, stored_product};
use crate::support::branch::Line;

#[tokio::test]
async fn a_hundred_unreadable_orders_do_not_keep_another_unpaid() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let good = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    let unreadable: Vec<OrderId> = (0..100).map(|_| OrderId::new()).collect();
    // They are due before it.
    let due = DateTime::from_millis(aging.clock.now().millis());
    aging.bare_orders(&unreadable, &doc! { "status": "placed", "items": 7, "expires_at": due }).await;
    aging.ages(25 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.set_aside), (1, 100));
    assert_eq!(aging.status(&good).await, "cancelled");
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_time_that_is_a_list_of_times_stops_no_job() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let good = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    aging.ages(25 * HOUR).await;
    let bad: Vec<OrderId> = (0..3).map(|_| OrderId::new()).collect();
    let past = DateTime::from_millis(0);
    let fields = doc! { "status": "placed", "expires_at": [past, 7] };
    aging.bare_orders(&bad[..1], &fields).await;
    let fields = doc! { "status": "cancelled", "updated_at": [past], "tasks": [{ "kind": "release", "revision": 2_i64 }] };
    aging.bare_orders(&bad[1..2], &fields).await;
    aging.bare_orders(&bad[2..], &doc! { "status": "placed", "updated_at": [past], "changing": true }).await;
    let mut hold = StoredHold::new(stored_product(&mug), past).document();
    hold.insert("at", vec![past]);
    let holds = aging.shop.database.collection::<Document>("stock_holds");
    holds.insert_one(hold).bypass_document_validation(true).await.unwrap();
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.finished), (1, true), "{healed:?}");
    assert_eq!(aging.status(&good).await, "cancelled");
}

#[tokio::test]
async fn an_order_that_mongodb_refuses_to_store_stops_nothing() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let bad = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.ages(SECOND).await;
    let good = ada.orders(&[(&mug, 2)]).await.expect(201).id();
    // Its cancellation would be one entry too many.
    aging.sets(&bad, doc! { "history": full_history(&aging, &bad).await }).await;
    aging.ages(25 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.set_aside, healed.finished), (1, 1, true));
    assert_eq!(aging.status(&good).await, "cancelled");
}

/// As many entries as the history of an order may have.
async fn full_history(aging: &Aging, order: &str) -> Vec<Bson> {
    let order = aging.stored(order).await.unwrap();
    vec![order.get_array("history").unwrap()[0].clone(); 1_000]
}

#[tokio::test]
async fn an_order_with_a_note_that_is_too_long_expires() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.sets(&order, doc! { "note": "x".repeat(2_001) }).await;
    aging.ages(25 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.set_aside, healed.finished), (1, 0, true));
}

#[tokio::test]
async fn a_locked_product_keeps_no_other_from_its_release() {
    let aging = Aging::open().await;
    let staff = aging.shop.staff().await;
    let (locked, free, unpaid) =
        (aging.shop.product(10).await, aging.shop.product(10).await, aging.shop.product(10).await);
    let late = staff.orders(&[(&unpaid, 2)]).await.expect(201).id();
    aging.ages(24 * HOUR).await;
    let staff = aging.again(&staff).await;
    let mut left = Vec::new();
    for product in [&locked, &locked, &locked, &free] {
        let order = staff.orders(&[(product, 2)]).await.expect(201).id();
        let task = doc! { "revision": 2_i64, "kind": "release" };
        let cancelled = doc! { "status": "cancelled", "expires_at": null, "version": 2_i64, "tasks": [task] };
        aging.sets(&order, cancelled).await;
        left.push(order);
    }
    aging.ages(MINUTE).await;

    let mut foreign = aging.shop.database.client().start_session().await.unwrap();
    foreign.start_transaction().await.unwrap();
    let stock = aging.shop.database.collection::<Document>("stock");
    let id = doc! { "_id": stored_product(&locked) };
    let name = doc! { "$set": { "foreign": true } };
    stock.update_one(id, name).session(&mut foreign).await.unwrap();

    let healed = aging.reconciles().await;
    assert_eq!((healed.tasks_done, healed.orders_expired), (1, 1), "{healed:?}");
    assert_eq!((aging.stock(&free).await, aging.stock(&unpaid).await), ((10, 0, 10), (10, 0, 10)));
    assert_eq!(aging.status(&late).await, "cancelled");

    // What is locked is done once it is free, and not before it is due again.
    foreign.abort_transaction().await.unwrap();
    aging.ages(2 * MINUTE).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.tasks_done, healed.finished), (3, true), "{healed:?}");
    assert_eq!(aging.stock(&locked).await, (10, 0, 10));
}

#[tokio::test]
async fn the_walk_over_holds_continues_where_it_was_stopped() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10_000).await;
    let orders: Vec<OrderId> = (0..2_000).map(|_| OrderId::new()).collect();
    aging.bare_orders(&orders, &doc! { "status": "paid" }).await;
    // All of them within two minutes.
    let begin = DateTime::now().timestamp_millis() - 10 * MINUTE;
    let at = |place: usize| DateTime::from_millis(begin + i64::try_from(place).unwrap() * 50);
    let hold = |(place, order): (usize, &OrderId)| StoredHold {
        order: mongo::uuid(*order),
        ..StoredHold::new(stored_product(&mug), at(place))
    };
    let holds: Vec<StoredHold> = orders.iter().enumerate().map(hold).collect();
    insert_holds(&aging.shop.database, &holds).await;

    // A run gets two pages of 500 holds.
    let branch = aging.branch().await;
    let mut ends = 0;
    for _ in 0..3 {
        branch.line(Line::Answers("ListHolds", 2));
        aging.reconciles_at(&branch).await;
        ends += usize::from(is_at_its_end(&aging, begin + 2 * MINUTE).await);
    }
    assert_eq!(ends, 1, "the third run comes to the end, and none before it");
}

/// True if the walk over holds has passed this time.
async fn is_at_its_end(aging: &Aging, millis: i64) -> bool {
    let positions = aging.shop.database.collection::<Document>("reconcile_progress");
    let position = positions.find_one(doc! { "_id": "holds" }).await.unwrap().unwrap();
    position.get_datetime("at").unwrap().timestamp_millis() > millis
}

#[tokio::test]
async fn a_repaired_order_is_settled_at_its_next_attempt() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.sets(&order, doc! { "currency": 7 }).await;
    aging.ages(25 * HOUR).await;
    for minutes in [1, 2, 4] {
        let healed = aging.reconciles().await;
        let expiry = healed.jobs.iter().find(|job| job.job == "expiry").unwrap();
        assert_eq!((expiry.set_aside, expiry.unreadable, expiry.finished), (1, 1, true));
        assert!(expiry.oldest_due_seconds.unwrap() >= 3_600);
        // Not due yet, and so not tried.
        aging.ages(minutes * MINUTE - 1).await;
        assert_eq!(aging.reconciles().await.set_aside, 0);
        aging.ages(1).await;
    }
    aging.sets(&order, doc! { "currency": "EUR" }).await;
    assert_eq!(aging.reconciles().await.orders_expired, 1);
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
    let set_aside = aging.shop.database.collection::<Document>("reconcile_set_aside");
    assert_eq!(set_aside.count_documents(doc! {}).await.unwrap(), 0);
    let healed = aging.reconciles().await;
    assert!(healed.jobs.is_empty() && healed.finished, "{healed:?}");
}

#[tokio::test]
async fn a_mark_of_a_time_that_never_comes_keeps_no_order_back() {
    for due in
        [Bson::DateTime(DateTime::MAX), "x".into(), Bson::Array(vec![DateTime::MAX.into()]), Bson::Null]
    {
        let aging = Aging::open().await;
        let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
        let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
        aging.sets(&order, doc! { "currency": 7 }).await;
        aging.ages(25 * HOUR).await;
        assert_eq!(aging.reconciles().await.set_aside, 1);
        let marks = aging.shop.database.collection::<Document>("reconcile_set_aside");
        let damaged = marks.update_one(doc! {}, doc! { "$set": { "due": &due } });
        damaged.bypass_document_validation(true).await.unwrap();
        aging.sets(&order, doc! { "currency": "EUR" }).await;
        let healed = aging.reconciles().await;
        assert_eq!((healed.orders_expired, healed.finished), (1, true), "{due}: {healed:?}");
        assert_eq!(marks.count_documents(doc! {}).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_position_that_lies_ahead_leaves_no_hold_behind() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    let id = mongo::uuid(order.parse::<OrderId>().unwrap());
    let orders = aging.shop.database.collection::<Document>("orders");
    orders.delete_one(doc! { "_id": id }).await.unwrap();
    aging.ages(HOUR).await;
    let positions = aging.shop.database.collection::<Document>("reconcile_progress");
    let ahead = doc! { "_id": "holds", "at": DateTime::MAX, "order": null };
    positions.insert_one(ahead).await.unwrap();
    let healed = aging.reconciles().await;
    assert_eq!((healed.holds_ended, healed.finished), (1, true), "{healed:?}");
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_task_of_a_newer_build_waits_and_stops_nothing() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let [newer, due] =
        [ada.orders(&[(&mug, 3)]).await, ada.orders(&[(&mug, 2)]).await].map(|it| it.expect(201).id());
    let task = doc! { "revision": 1_i64, "kind": "split" };
    aging.sets(&newer, doc! { "tasks": [task] }).await;
    let shown = ada.get(&format!("/orders/{newer}")).await.expect(200);
    assert_eq!(shown["status"], "placed");
    aging.ages(25 * HOUR).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.tasks_done, healed.finished), (2, 0, true), "{healed:?}");
    assert_eq!(
        (aging.status(&newer).await, aging.status(&due).await),
        ("cancelled".into(), "cancelled".into())
    );
    let stored = aging.stored(&newer).await.unwrap();
    let kinds: Vec<&str> = stored
        .get_array("tasks")
        .unwrap()
        .iter()
        .filter_map(|task| task.as_document()?.get_str("kind").ok())
        .collect();
    assert_eq!(kinds, ["split", "release"]);
    assert_eq!(aging.stock(&mug).await, (10, 3, 7));
}

#[tokio::test]
async fn a_mark_of_an_order_that_is_settled_otherwise_is_cleared() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    let history = aging.stored(&order).await.unwrap().get_array("history").unwrap().clone();
    aging.sets(&order, doc! { "history": full_history(&aging, &order).await }).await;
    aging.ages(25 * HOUR).await;
    assert_eq!(aging.reconciles().await.set_aside, 1);
    aging.sets(&order, doc! { "history": history }).await;
    let admin = aging.again(&aging.shop.admin()).await;
    admin.moves(&order, "paid").await.expect(200);
    aging.ages(MINUTE).await;
    let healed = aging.reconciles().await;
    assert_eq!((healed.orders_expired, healed.set_aside), (0, 0));
    let set_aside = aging.shop.database.collection::<Document>("reconcile_set_aside");
    assert_eq!(set_aside.count_documents(doc! {}).await.unwrap(), 0);
    assert_eq!(aging.status(&order).await, "paid");
}

#[tokio::test]
async fn while_products_is_away_unpaid_orders_are_cancelled() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.ages(25 * HOUR).await;
    let branch = aging.branch().await;
    branch.line(Line::Away(tonic::Code::Unavailable));
    let healed = aging.reconciles_at(&branch).await;
    assert_eq!((healed.orders_expired, healed.finished), (1, false));
    assert_eq!(aging.status(&order).await, "cancelled");
    aging.ages(31 * SECOND).await;
    // Its release is left, and set aside.
    let healed = aging.reconciles_at(&branch).await;
    assert_eq!((healed.tasks_done, healed.set_aside), (0, 1));
    branch.line(Line::Works);
    aging.ages(MINUTE).await;
    let healed = aging.reconciles_at(&branch).await;
    assert_eq!((healed.tasks_done, healed.finished), (1, true));
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn each_shard_does_its_orders_and_all_do_all() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(100).await);
    for _ in 0..12 {
        ada.orders(&[(&mug, 1)]).await.expect(201);
    }
    aging.ages(25 * HOUR).await;
    let mut expired = 0;
    for shard in 0..4 {
        let healed = aging.reconciles_shard(shard, 4).await.unwrap();
        assert!(healed.finished && healed.set_aside == 0, "{healed:?}");
        // None is left for a second call.
        assert_eq!(aging.reconciles_shard(shard, 4).await.unwrap().orders_expired, 0);
        expired += healed.orders_expired;
    }
    assert_eq!((expired, aging.stock(&mug).await), (12, (100, 0, 100)));
    let refused = aging.reconciles_shard(4, 4).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_damaged_hold_does_not_stop_the_walk() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    let old = DateTime::from_millis(DateTime::now().timestamp_millis() - 10 * MINUTE);
    let held = || StoredHold::new(stored_product(&mug), old);
    insert_holds(&aging.shop.database, &[held(), held(), held()]).await;
    let holds = aging.shop.database.collection::<Document>("stock_holds");
    let found: Vec<Document> = holds.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    // An ID that is none cannot be set: the document is another one.
    holds.delete_one(found[0].clone()).await.unwrap();
    let mut nameless = found[0].clone();
    nameless.insert("_id", "x");
    holds.insert_one(nameless).bypass_document_validation(true).await.unwrap();
    let timeless = holds.update_one(found[1].clone(), doc! { "$set": { "at": "x" } });
    timeless.bypass_document_validation(true).await.unwrap();
    let healed = aging.reconciles().await;
    assert_eq!((healed.holds_ended, healed.finished), (1, true), "{healed:?}");
    assert_eq!(aging.stock(&mug).await, (10, 2, 8));
}

/// Damages the only entry in the journal of a product: MongoDB refuses a hold of such a revision.
async fn damage_journal(aging: &Aging, product: &str) {
    let stock = aging.shop.database.collection::<Document>("stock");
    let id = doc! { "_id": stored_product(product), "pending": { "$size": 1 } };
    let damaged = stock.update_one(id, doc! { "$set": { "pending.0.r": -1_i64 } });
    assert_eq!(damaged.bypass_document_validation(true).await.unwrap().modified_count, 1);
}

/// Kinds of violations of products on the first page of the check.
async fn kinds_of_products(aging: &Aging) -> Vec<(String, String)> {
    let page = aging.again(&aging.shop.admin()).await.get("/orders/consistency").await.expect(200);
    let told = |violation: &serde_json::Value| {
        let text = |name: &str| violation[name].as_str().unwrap_or_default().to_owned();
        (text("kind"), text("product_id"))
    };
    page["violations"].as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn a_journal_that_cannot_be_folded_is_reported_alone() {
    let aging = Aging::open().await;
    let ada = aging.shop.customer().await;
    let mut products =
        [aging.shop.product(10).await, aging.shop.product(10).await, aging.shop.product(10).await];
    products.sort_unstable();
    for product in &products {
        ada.orders(&[(product, 1)]).await.expect(201);
    }
    // Pages are sorted by product.
    let [first, bad, last] = &products;
    damage_journal(&aging, bad).await;
    aging.ages_unfolded(2 * MINUTE).await;
    let healed = aging.reconciles().await;
    let folding = healed.jobs.iter().find(|job| job.job == "folding").unwrap();
    assert_eq!((folding.done, folding.set_aside, folding.finished), (2, 1, true), "{healed:?}");
    assert!(folding.oldest_due_seconds.unwrap() >= 120, "{healed:?}");
    assert_eq!((aging.marks(first).await, aging.marks(bad).await, aging.marks(last).await), (1, 0, 1));
    assert_eq!(kinds_of_products(&aging).await, []);

    aging.ages_unfolded(2 * MINUTE).await;
    let overdue = ("journal-overdue".to_owned(), bad.clone());
    assert_eq!(kinds_of_products(&aging).await, [overdue]);
    let stock = aging.shop.database.collection::<Document>("stock");
    let repaired = doc! { "$set": { "pending.0.r": 1_i64 } };
    stock.update_one(doc! { "_id": stored_product(bad) }, repaired).await.unwrap();
    let healed = aging.reconciles().await;
    let folding = healed.jobs.iter().find(|job| job.job == "folding").unwrap();
    assert_eq!((folding.done, folding.set_aside, folding.oldest_due_seconds), (1, 0, None), "{healed:?}");
    assert_eq!(kinds_of_products(&aging).await, []);
}

#[tokio::test]
async fn only_the_first_shard_folds_journals() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    let holds = aging.shop.database.collection::<Document>("stock_holds");
    for (shard, expected) in [(1, 0), (0, 1)] {
        assert!(aging.reconciles_shard(shard, 2).await.unwrap().finished);
        assert_eq!(holds.count_documents(doc! {}).await.unwrap(), expected, "shard {shard}");
    }
}

#[tokio::test]
async fn while_journals_cannot_be_folded_the_other_jobs_go_on() {
    let aging = Aging::open().await;
    let (ada, mug) = (aging.shop.customer().await, aging.shop.product(10).await);
    let order = ada.orders(&[(&mug, 3)]).await.expect(201).id();
    aging.ages(25 * HOUR).await;
    let branch = aging.branch().await;
    branch.line(Line::Answers("FoldJournals", 0));
    let healed = aging.reconciles_at(&branch).await;
    assert_eq!(healed.orders_expired, 1, "{healed:?}");
    assert_eq!(aging.status(&order).await, "cancelled");
    assert_eq!(aging.stock(&mug).await, (10, 0, 10));
    branch.line(Line::Works);
    assert!(aging.reconciles_at(&branch).await.finished);
}
