//! Cost of the queries of Reconcile where there is much: how many keys and documents MongoDB looks at, for every
//! command that the jobs have sent.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use local::seed::{self, Amounts};
use mongod::{Data, Mongod, Options};
use mongodb::Database;
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use proto::orders::v1 as wire;
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::holds::{StoredHold, insert_holds};
use tests::in_process::InProcess;

use crate::campaign::{Campaign, is_long, tell};
use crate::profile::{Profiler, Query};
use crate::recovery;

/// Number of orders that each job finds.
const DUE: i64 = 250;

/// Holds without an order: pages of them for which no document is found. There the planner has nothing to choose by.
const HOLDS: usize = 1_200;

/// Orders that are set aside, and not due.
const SET_ASIDE: usize = 10_000;

/// The most keys, and documents, that a query of a job looks at: those of a page of 500 holds, each looked up.
const MOST: i64 = 1_100;

/// Collections whose queries are bounded. A journal is read whole.
const BOUNDED: [&str; 4] = ["orders", "stock_holds", "reconcile_progress", "reconcile_set_aside"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_query_of_a_job_costs_what_is_on_its_page_however_much_there_is() {
    let mut campaign = Campaign::begin("jobs");
    let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| ())).await.unwrap().unwrap();
    let server = Mongod::start(Options::new(binary, Data::Ephemeral)).await.unwrap();
    let shop = InProcess::open_at(server.uri(), Clock::system()).await;
    let orders = if is_long() { 300_000 } else { 20_000 };
    let amounts = Amounts { products: orders / 20, orders, users: 1_000 };
    let say = |line: &str| tell(&format!("{line}\n"));
    seed::fill(&shop.database, amounts, None, &mut campaign.chance(), &say).await.unwrap();
    leave_work(&shop.database).await;

    let profiler = Profiler::of(server.uri(), &shop.database).await;
    let mut jobs: BTreeMap<String, i64> = BTreeMap::new();
    let mut queries = Vec::new();
    for _ in 0..4 {
        profiler
            .begin_at(&[
                "orders",
                "products",
                "stock",
                "stock_holds",
                "reconcile_progress",
                "reconcile_set_aside",
            ])
            .await;
        let healed: wire::ReconcileResponse = recovery::reconciles(&shop).await.unwrap();
        queries.extend(profiler.end().await);
        for job in healed.jobs {
            *jobs.entry(job.job).or_default() += job.done;
        }
    }
    for job in ["tasks", "changes", "expiry", "folding", "holds", "pruning"] {
        campaign.holds(jobs.get(job).is_some_and(|done| *done > 0), || {
            format!("{job} has done nothing: {jobs:?}")
        });
    }
    campaign.cases = queries.len();
    judge(&queries, &mut campaign);
    drop(shop);
    server.stop().await;
    campaign.end();
}

/// Prints the dearest query of each kind, and notes what is not as it should be.
fn judge(queries: &[Query], campaign: &mut Campaign) {
    let mut dearest: BTreeMap<(String, String), (i64, i64, usize)> = BTreeMap::new();
    for query in queries {
        let Query { keys, documents, collection, plan, command, .. } = query;
        let (kind, _) = command.iter().next().unwrap();
        let entry = dearest.entry((format!("{kind} {collection}"), plan.clone())).or_default();
        *entry = (entry.0.max(*keys), entry.1.max(*documents), entry.2 + 1);
        campaign.holds(!plan.contains("COLLSCAN"), || format!("it reads all of {collection}: {command}"));
        if BOUNDED.contains(&collection.as_str()) {
            campaign.holds(*keys <= MOST && *documents <= MOST, || {
                format!("{keys} keys and {documents} documents of {collection}, {plan}: {command}")
            });
            campaign.holds(!query.sorts || collection == "reconcile_set_aside", || {
                format!("it sorts {collection} in memory: {command}")
            });
        }
    }
    tell("\n| command | plan | most keys | most documents | times |\n| --- | --- | --- | --- | --- |\n");
    for ((command, plan), (keys, documents, times)) in dearest {
        tell(&format!("| {command} | {plan} | {keys} | {documents} | {times} |\n"));
    }
}

/// Leaves work for each job, among much that is none.
async fn leave_work(database: &Database) {
    let orders = database.collection::<Document>("orders");
    let old = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_600_000 * 3);
    let some = async |status: &str, skip: u64| -> Vec<Bson> {
        let found =
            orders.find(doc! { "status": status }).projection(doc! { "_id": 1 }).skip(skip).limit(DUE);
        let found: Vec<Document> = found.await.unwrap().try_collect().await.unwrap();
        found.into_iter().map(|it| it.get("_id").unwrap().clone()).collect()
    };
    let sets = async |ids: &[Bson], fields: Document| {
        let set = doc! { "$set": fields };
        orders.update_many(doc! { "_id": { "$in": ids.to_vec() } }, set).await.unwrap();
    };
    let task = doc! { "revision": 1_000_i64, "kind": "release" };
    let with_tasks = some("cancelled", 0).await;
    sets(&with_tasks, doc! { "tasks": [task], "updated_at": old }).await;
    sets(&some("paid", 0).await, doc! { "changing": true, "updated_at": old }).await;
    sets(&some("paid", 300).await, doc! { "status": "placed", "expires_at": old }).await;
    let without_order = some("paid", 100).await;
    orders.delete_many(doc! { "_id": { "$in": &without_order[..50] } }).await.unwrap();
    leave_holds(database, old).await;
    let void = |_| {
        doc! {
            "_id": mongo::uuid(OrderId::new()), "status": "void", "tasks": [], "version": 2_i64, "updated_at": old,
            "task_ended_at": old,
        }
    };
    orders.insert_many((0..DUE).map(void)).await.unwrap();
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    let aside = |(order, due): (bson::Uuid, DateTime)| {
        doc! {
            "job": "tasks", "order": order, "reason": "failed", "attempts": 1_i64, "due": due, "since": old,
        }
    };
    let mut set_aside: Vec<(bson::Uuid, DateTime)> =
        (0..SET_ASIDE).map(|_| (mongo::uuid(OrderId::new()), later)).collect();
    for id in &with_tasks[..50] {
        let Bson::Binary(id) = id else { panic!("{id}") };
        set_aside.push((id.to_uuid().unwrap(), old));
    }
    let all = database.collection::<Document>("reconcile_set_aside");
    all.insert_many(set_aside.into_iter().map(aside)).await.unwrap();
}

/// Leaves holds without an order, older than all others.
async fn leave_holds(database: &Database, at: DateTime) {
    let products = database.collection::<Document>("products");
    let found = products.find(doc! {}).projection(doc! { "_id": 1 }).limit(40).await.unwrap();
    let found: Vec<Document> = found.try_collect().await.unwrap();
    let count = HOLDS / found.len();
    let stock = database.collection::<Document>("stock");
    let mut holds = Vec::new();
    for product in found {
        let Some(Bson::Binary(id)) = product.get("_id") else { panic!("{product}") };
        let id = id.to_uuid().unwrap();
        let raised = doc! { "$inc": { "on_hand": i64::try_from(count).unwrap() } };
        stock.update_one(doc! { "_id": id }, raised).await.unwrap();
        holds.extend((0..count).map(|_| StoredHold::new(id, at)));
    }
    insert_holds(database, &holds).await;
}
