//! What follows a fault: time goes by, Reconcile heals, and the consistency check looks at everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::Database;
use mongodb::bson::{Document, doc};
use proto::orders::v1 as wire;
use proto::orders::v1::order_service_client::OrderServiceClient;
use shared::auth::{Caller, Role};
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use tests::holds;
use tests::in_process::InProcess;
use tonic::Status;

/// So much goes by at a time: more than anything that Reconcile and the check wait for, but the hour of what is
/// remembered.
const A_WHILE: Duration = Duration::from_secs(600);

/// Maximum number of calls of Reconcile until nothing is left to do.
const ROUNDS: usize = 20;

/// Maximum time of a call.
const PATIENCE: Duration = Duration::from_secs(25);

/// Lets a minute go by for what is on disk, the pause between two calls of the schedule, and as much more as the next
/// thing that was set aside has to wait.
pub(crate) async fn a_minute_goes_by(shop: &InProcess, database: &Database) {
    let set_aside = database.collection::<Document>("reconcile_set_aside");
    let next = set_aside.find_one(doc! { "due": { "$exists": true } }).sort(doc! { "due": 1 }).await.unwrap();
    let next = next.map_or(0, |next| next.get_datetime("due").unwrap().timestamp_millis());
    let wait = next - Clock::system().now().millis();
    goes_by(shop, database, wait.max(60_000)).await;
}

/// Lets time go by for what is on disk: every time that recovery goes by becomes an earlier one, the watermark's too.
pub(crate) async fn a_while_goes_by(shop: &InProcess, database: &Database) {
    goes_by(shop, database, i64::try_from(A_WHILE.as_millis()).unwrap()).await;
}

async fn goes_by(shop: &InProcess, database: &Database, millis: i64) {
    // What is not folded now is folded by Reconcile.
    drop(shop.fold(&Clock::system()).await);
    holds::age(database, millis).await;
    let earlier = |time: &str| doc! { "$subtract": [time, millis] };
    let moves = async |collection: &str, filter: Document, set: Document| {
        let documents = database.collection::<Document>(collection);
        // A document may be one that MongoDB would refuse today.
        let moved = documents.update_many(filter, vec![doc! { "$set": set }]);
        moved.bypass_document_validation(true).await.unwrap();
    };
    moves("orders", doc! {}, doc! { "updated_at": earlier("$updated_at") }).await;
    let ended = doc! { "task_ended_at": { "$exists": true } };
    moves("orders", ended, doc! { "task_ended_at": earlier("$task_ended_at") }).await;
    moves("reconcile_progress", doc! {}, doc! { "at": earlier("$at") }).await;
    let due = doc! { "due": { "$exists": true } };
    moves("reconcile_set_aside", due, doc! { "due": earlier("$due"), "since": earlier("$since") }).await;
}

/// Calls Reconcile once, as the schedule does.
///
/// # Errors
/// Answer of a call that was stopped.
pub(crate) async fn reconciles(shop: &InProcess) -> Result<wire::ReconcileResponse, Status> {
    let (mut orders, context) = to_orders(shop);
    let request = metadata::request(wire::ReconcileRequest::default(), &context);
    Ok(orders.reconcile(request).await?.into_inner())
}

/// Lets time go by and calls Reconcile until it has come to its end with nothing set aside, so often that what it
/// leaves to itself is done too. How long the calls took in all; an error if there is no end.
pub(crate) async fn heals(shop: &InProcess, database: &Database) -> Result<Duration, String> {
    let mut took = Duration::ZERO;
    let mut last = String::new();
    for _ in 0..ROUNDS {
        a_while_goes_by(shop, database).await;
        let begun = Instant::now();
        let healed = reconciles(shop).await;
        took += begun.elapsed();
        match healed {
            Ok(healed) => {
                // What was folded just now is a hold that is too young for the walk.
                let folding = healed.jobs.iter().filter(|job| job.job == "folding");
                let folded: i64 = folding.map(|job| job.done).sum();
                let busy =
                    healed.tasks_done + healed.changes_ended + healed.holds_ended + healed.set_aside + folded;
                let left = healed.jobs.iter().any(|job| job.oldest_due_seconds.is_some());
                if healed.finished && busy == 0 && !left {
                    return Ok(took);
                }
                last = format!("{healed:?}");
            }
            Err(status) => last = status.to_string(),
        }
    }
    Err(format!("Reconcile comes to no end: {last}"))
}

/// What the consistency check reports over all pages, once everything is old enough to be looked at.
pub(crate) async fn violations(shop: &InProcess, database: &Database) -> Vec<String> {
    a_while_goes_by(shop, database).await;
    check(shop).await.0
}

/// Violations that the consistency check reports over all pages, and the number of orders that it has looked at.
pub(crate) async fn check(shop: &InProcess) -> (Vec<String>, i64) {
    let (mut found, mut orders_seen) = (Vec::new(), 0);
    let mut cursor = None;
    let admin = shop.people(Role::Admin, 1).pop().and_then(|admin| admin.token).unwrap_or_default();
    loop {
        let (mut orders, _) = to_orders(shop);
        let request = wire::CheckConsistencyRequest { limit: Some(500), cursor };
        let page = match orders.check_consistency(with_token(&admin, request)).await {
            Ok(page) => page.into_inner(),
            Err(status) => return (vec![format!("the check has failed: {status}")], orders_seen),
        };
        orders_seen += page.checked.map_or(0, |checked| checked.orders);
        found.extend(page.violations.iter().map(|violation| format!("{violation:?}")));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (found, orders_seen);
        }
    }
}

/// A message with an access token.
fn with_token<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Ok(bearer) = format!("Bearer {token}").parse() {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

fn to_orders(shop: &InProcess) -> (OrderServiceClient<Channel>, Context) {
    let channel = Channel::new(Arc::new(shop.backend.orders.rpc.clone()), Clock::system());
    let deadline = Clock::system().now().after(PATIENCE);
    (OrderServiceClient::new(channel), Context::new(Caller::System, deadline))
}
