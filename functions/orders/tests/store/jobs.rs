//! Tasks of orders, and what the jobs of Reconcile keep.

use std::time::Duration;

use futures::future::join_all;
use mongodb::bson::{self, Bson, Document, doc};
use orders::order::{Order, Task, TaskKind, Transition};
use orders::products::HoldCursor;
use orders::store::{Job, LONGEST_DELAY, Reason, SetAside, SetAsideMark, Stored, Unfinished, Written};
use shared::mongo;
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use crate::parts::fulfills;
use crate::{NOW, apply_all, decide, order, pay, ship, store, stored};

#[tokio::test]
async fn a_task_removed_during_another_decision_stays_removed() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let shipped = apply_all(&store, order, vec![pay(), ship()]).await;
    assert_eq!(shipped.tasks, [Task::new(3, TaskKind::Move)]);
    // Decided while the task was there, written after its removal.
    let delivered = decide(&shipped, Some(Transition::Deliver), None);
    store.finish(shipped.id, 3, NOW).await.unwrap();
    assert_eq!(store.write(&shipped, &delivered).await.unwrap(), Written::Done);
    let found = store.find(shipped.id).await.unwrap().unwrap();
    assert_eq!((found.tasks.len(), found.version), (0, 4));
    assert_eq!(found.history, delivered.order.history);

    // And the other way round: only that task is removed, not later ones.
    let returned = decide(&found, Some(Transition::Return { restock: true }), None);
    assert_eq!(store.write(&found, &returned).await.unwrap(), Written::Done);
    store.finish(shipped.id, 3, NOW).await.unwrap();
    let found = store.find(shipped.id).await.unwrap().unwrap();
    assert_eq!((&found.tasks, found.tasks[0].revision), (&returned.order.tasks, 5));
    // It has what was shipped before it.
    assert_eq!(found.tasks[0].before.len(), found.items.len());
    assert_eq!(found.history, returned.order.history);
}

#[tokio::test]
async fn a_task_is_removed_once_and_raises_no_version() {
    let (_, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let cancelled = apply_all(&store, order, vec![Some(Transition::Cancel)]).await;
    assert_eq!(cancelled.tasks, [Task::new(2, TaskKind::Release)]);
    for _ in 0..3 {
        store.finish(cancelled.id, 2, NOW).await.unwrap();
        let found = store.find(cancelled.id).await.unwrap().unwrap();
        assert_eq!(found, Order { tasks: Vec::new(), ..cancelled.clone() });
    }
    // An order that does not exist is no error.
    store.finish(OrderId::new(), 2, NOW).await.unwrap();
    // A later change still finds its version.
    let found = store.find(cancelled.id).await.unwrap().unwrap();
    assert_eq!(store.write(&found, &decide(&found, None, Some("done"))).await.unwrap(), Written::Done);
}

#[tokio::test]
async fn tasks_up_to_a_revision_are_removed_in_one_write() {
    let (database, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let mut order = apply_all(&store, order, vec![pay()]).await;
    for number in ["A", "B", "C"] {
        let decision = fulfills(&order, Some(&[(0, 1)]), number);
        assert_eq!(store.write(&order, &decision).await.unwrap(), Written::Done);
        order = decision.order;
    }
    let revisions = |order: &Order| -> Vec<i64> { order.tasks.iter().map(|task| task.revision).collect() };
    assert_eq!(revisions(&order), [3, 4, 5]);
    let later = NOW.after(Duration::from_secs(1));
    for (revision, left) in [(4, &[5][..]), (3, &[5]), (5, &[])] {
        store.finish(order.id, revision, later).await.unwrap();
        let found = store.find(order.id).await.unwrap().unwrap();
        assert_eq!((revisions(&found), found.version), (left.to_vec(), order.version));
        let ended = *stored(&database, order.id).await.get_datetime("task_ended_at").unwrap();
        assert_eq!(mongo::timestamp(ended), later);
    }
    // The task of a void is removed likewise.
    let id = OrderId::new();
    let Stored::Void(void) = store.insert_void(id, NOW).await.unwrap() else { panic!("an order") };
    assert_eq!(void.tasks, [Task::new(2, TaskKind::Release)]);
    store.finish(id, 2, NOW).await.unwrap();
    match &store.find_many(&[id]).await.unwrap()[..] {
        [(_, Ok(Stored::Void(void)))] => assert_eq!(void.tasks, []),
        found => panic!("{found:?}"),
    }
}

#[tokio::test]
async fn holds_deferred_by_an_older_build_are_set_aside() {
    let (database, store) = store().await;
    let deferred = database.collection::<Document>("reconcile_set_aside");
    let old = [OrderId::new(), OrderId::new()];
    let document = |id: &OrderId| doc! { "_id": mongo::uuid(*id), "tried": mongo::date(NOW) };
    deferred.insert_many(old.iter().map(document)).bypass_document_validation(true).await.unwrap();
    assert_eq!(store.find_set_aside(Job::Holds, NOW, None, 10).await.unwrap(), []);
    for _ in 0..2 {
        store.ensure_schema().await.unwrap();
        let mut found = store.find_set_aside(Job::Holds, NOW, None, 10).await.unwrap();
        found.sort_by_key(|it| it.order != old[0]);
        assert_eq!(found, old.map(|order| SetAside { order, attempts: 1, due: NOW }));
    }
    assert_eq!(store.oldest_set_aside(Job::Holds).await.unwrap(), Some(NOW));
}

#[tokio::test]
async fn an_order_is_set_aside_for_one_job_until_it_is_due() {
    let (_, store) = store().await;
    let (order, later) = (OrderId::new(), NOW.after(Duration::from_secs(60)));
    for attempts in [1, 2] {
        let written = store.set_aside(Job::Tasks, order, Reason::Refused, attempts, NOW, later).await;
        written.unwrap();
    }
    assert_eq!(store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap(), []);
    let found = store.find_set_aside(Job::Tasks, later, None, 10).await.unwrap();
    assert_eq!(found, [SetAside { order, attempts: 2, due: later }]);
    let among = async |job| store.set_aside_among(job, NOW, &[order, OrderId::new()]).await.unwrap();
    assert_eq!((among(Job::Tasks).await, among(Job::Expiry).await), (vec![order], Vec::new()));
    store.clear_set_aside(Job::Tasks, order).await.unwrap();
    assert_eq!(among(Job::Tasks).await, []);
}

#[tokio::test]
async fn marks_that_cannot_be_read_keep_no_order_back() {
    let (database, store) = store().await;
    let marks = database.collection::<Document>("reconcile_set_aside");
    let order = OrderId::new();
    let mark = doc! {
        "job": "tasks", "order": mongo::uuid(order), "reason": "failed", "attempts": "x", "due": "x", "since": 7,
    };
    marks
        .insert_many([mark, doc! { "job": "tasks", "order": 7, "due": mongo::date(NOW) }])
        .bypass_document_validation(true)
        .await
        .unwrap();
    assert_eq!(store.set_aside_among(Job::Tasks, NOW, &[order]).await.unwrap(), []);
    assert_eq!(store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap(), []);
    assert_eq!(store.oldest_set_aside(Job::Tasks).await.unwrap(), None);
    // A new mark takes its place.
    store.set_aside(Job::Tasks, order, Reason::Failed, 1, NOW, NOW).await.unwrap();
    let found = store.find_set_aside(Job::Tasks, NOW, None, 10).await.unwrap();
    assert_eq!(found, [SetAside { order, attempts: 1, due: NOW }]);
}

#[tokio::test]
async fn a_mark_that_would_never_be_due_is_due_now() {
    let (database, store) = store().await;
    let marks = database.collection::<Document>("reconcile_set_aside");
    let date = |at: Timestamp| Bson::from(mongo::date(at));
    let hour = NOW.after(LONGEST_DELAY);
    let ahead = date(hour.after(Duration::from_millis(1)));
    let never = [
        Bson::Null,
        "x".into(),
        Bson::Int64(7),
        Bson::Array(Vec::new()),
        Bson::Array(vec![ahead.clone(), 7.into()]),
        doc! { "at": date(NOW) }.into(),
        Bson::MaxKey,
        Bson::DateTime(bson::DateTime::MAX),
        ahead,
    ];
    let waiting = [hour, NOW.after(Duration::from_millis(1))].map(date);
    let mark = |(order, due): (&OrderId, &Bson)| {
        doc! {
            "job": "tasks", "order": mongo::uuid(*order), "reason": "failed", "attempts": 1_i64, "due": due,
            "since": mongo::date(NOW),
        }
    };
    let orders: Vec<OrderId> = (0..never.len() + waiting.len()).map(|_| OrderId::new()).collect();
    let dues: Vec<&Bson> = never.iter().chain(&waiting).collect();
    let all: Vec<Document> = orders.iter().zip(dues).map(mark).collect();
    marks.insert_many(all).bypass_document_validation(true).await.unwrap();
    let mut among = store.set_aside_among(Job::Tasks, NOW, &orders).await.unwrap();
    among.sort_unstable();
    let (bad, mut good) = (orders[..never.len()].to_vec(), orders[never.len()..].to_vec());
    good.sort_unstable();
    assert_eq!(among, good);
    store.correct_set_aside(Job::Holds, NOW, 100).await.unwrap();
    // A few at a time.
    for _ in 0..never.len() {
        store.correct_set_aside(Job::Tasks, NOW, 1).await.unwrap();
    }
    let found = store.find_set_aside(Job::Tasks, NOW, None, 100).await.unwrap();
    assert!(found.iter().all(|it| bad.contains(&it.order) && it.due == NOW), "{found:?}");
    let missing: Vec<&Bson> = bad
        .iter()
        .zip(&never)
        .filter(|(order, _)| found.iter().all(|it| it.order != **order))
        .map(|(_, due)| due)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn a_position_that_cannot_be_read_is_none() {
    let (database, store) = store().await;
    let position = HoldCursor { at: NOW, order: Some(OrderId::new()) };
    store.save_position("tasks", position).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), Some(position));
    let positions = database.collection::<Document>("reconcile_progress");
    let damaged = positions.update_one(doc! { "_id": "tasks" }, doc! { "$set": { "at": "x" } });
    damaged.bypass_document_validation(true).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), None);
    // Nor is one that lies ahead: nothing would follow it.
    let ahead = HoldCursor { at: NOW.after(Duration::from_millis(1)), ..position };
    store.save_position("tasks", ahead).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), None);
    store.save_position("tasks", position).await.unwrap();
    assert_eq!(store.position("tasks", NOW).await.unwrap(), Some(position));
}

#[tokio::test]
async fn unfinished_work_is_found_page_by_page_in_order() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    let mut expected = Vec::new();
    for place in 0..10 {
        let order = order(place);
        store.insert(&order).await.unwrap();
        // Some at the same time.
        let at = mongo::date(NOW.after(Duration::from_secs(place / 3)));
        let due = doc! { "$set": { "expires_at": at } };
        orders.update_one(doc! { "_id": mongo::uuid(order.id) }, due).await.unwrap();
        expected.push((place / 3, order.id.uuid()));
    }
    // No order can have such an ID.
    let foreign = doc! { "_id": "x", "status": "placed", "expires_at": mongo::date(NOW) };
    orders.insert_one(foreign).bypass_document_validation(true).await.unwrap();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let until = NOW.after(Duration::from_secs(60));
        let page = store.find_unfinished(Unfinished::Payment, until, after, 2).await.unwrap();
        let Some((last, ..)) = page.last() else { break };
        after = Some(*last);
        found.extend(page.iter().map(|(_, order, _)| order.uuid()));
    }
    assert_eq!(found, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    assert_eq!(store.oldest_unfinished(Unfinished::Payment, NOW).await.unwrap(), Some(NOW));
    let before = NOW.before(Duration::from_secs(1));
    assert_eq!(store.oldest_unfinished(Unfinished::Payment, before).await.unwrap(), None);
}

#[tokio::test]
async fn one_process_at_a_time_has_the_lease_of_reconcile() {
    let (_, store) = store().await;
    let (first, second) = (store.lease_of_reconcile(), store.lease_of_reconcile());
    let long = Duration::from_secs(60);
    for (lease, has) in [(&first, true), (&second, false), (&first, true)] {
        assert_eq!(lease.take(long).await.unwrap(), has);
    }
    // The first one is gone: nothing renews its lease.
    assert!(first.take(Duration::ZERO).await.unwrap());
    assert!(second.take(long).await.unwrap());
    assert!(!first.take(long).await.unwrap());
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_has_the_lease() {
    let (_, store) = store().await;
    let leases: Vec<_> = (0..20).map(|_| store.lease_of_reconcile()).collect();
    let taken = join_all(leases.iter().map(|lease| lease.take(Duration::from_secs(60)))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn a_damaged_lease_is_taken_over() {
    let (database, store) = store().await;
    let leases = database.collection::<Document>("leases");
    let long = Duration::from_secs(60);
    assert!(store.lease_of_reconcile().take(long).await.unwrap());
    let far = bson::DateTime::from_millis(253_402_300_799_000);
    let damages = [
        doc! { "$set": { "until": far } },
        doc! { "$set": { "until": "soon" } },
        doc! { "$set": { "until": Bson::Null, "holder": 7 } },
        doc! { "$unset": { "until": "", "holder": "" } },
    ];
    for damage in damages {
        let damaged = leases.update_one(doc! {}, damage.clone()).bypass_document_validation(true).await;
        assert_eq!(damaged.unwrap().modified_count, 1);
        let (next, other) = (store.lease_of_reconcile(), store.lease_of_reconcile());
        assert!(next.take(long).await.unwrap(), "{damage}");
        assert!(!other.take(long).await.unwrap(), "{damage}");
    }
    // A damaged holder is nobody, until the end.
    leases
        .update_one(doc! {}, doc! { "$set": { "holder": "somebody" } })
        .bypass_document_validation(true)
        .await
        .unwrap();
    assert!(!store.lease_of_reconcile().take(long).await.unwrap());
}

#[tokio::test]
async fn orders_that_a_job_has_set_aside_are_listed_due_or_not() {
    let (database, store) = store().await;
    let [first, second, other] = [OrderId::new(), OrderId::new(), OrderId::new()];
    let later = NOW.after(Duration::from_secs(60));
    for (job, order, reason, attempts, due) in [
        (Job::Tasks, second, Reason::Refused, 2, later),
        (Job::Tasks, first, Reason::Unreadable, 1, NOW),
        (Job::Expiry, other, Reason::TooSlow, 1, NOW),
    ] {
        store.set_aside(job, order, reason, attempts, NOW, due).await.unwrap();
    }
    let mark = |order, reason, attempts, due| {
        let (due, since) = (Some(due), Some(NOW));
        SetAsideMark { order, reason, attempts, due, since }
    };
    let list = async |job, limit| store.list_set_aside(job, limit).await.unwrap();
    let expected = [mark(first, Reason::Unreadable, 1, NOW), mark(second, Reason::Refused, 2, later)];
    assert_eq!(list(Job::Tasks, 10).await, expected);
    assert_eq!(list(Job::Tasks, 1).await, expected[..1]);
    assert_eq!(list(Job::Holds, 10).await, []);
    // A damaged mark says as much as can be read.
    let damaged = doc! {
        "job": "holds", "order": mongo::uuid(first), "reason": "eclipse", "attempts": "x", "due": "x", "since": 7,
    };
    let marks = database.collection::<Document>("reconcile_set_aside");
    let nameless = doc! { "job": "holds", "order": 7, "due": mongo::date(NOW) };
    marks.insert_many([damaged, nameless]).bypass_document_validation(true).await.unwrap();
    let (due, since) = (None, None);
    let readable = SetAsideMark { order: first, reason: Reason::Failed, attempts: 1, due, since };
    assert_eq!(list(Job::Holds, 10).await, [readable]);
}

#[tokio::test]
async fn the_last_position_is_that_of_a_shard_that_runs() {
    let (_, store) = store().await;
    let at = |seconds| HoldCursor { at: NOW.after(Duration::from_secs(seconds)), order: None };
    let last = async || store.last_position(Job::Holds, at(10).at).await.unwrap();
    assert_eq!(last().await, None);
    store.save_position("holds", at(0)).await.unwrap();
    assert_eq!(last().await, Some(at(0)));
    for (name, seconds) in
        [("holds", 1), ("holds 0/2", 3), ("holds 1/2", 2), ("pruning", 5), ("holds 1/4", 11), ("holdings", 6)]
    {
        store.save_position(name, at(seconds)).await.unwrap();
    }
    assert_eq!(last().await, Some(at(2)));
}
