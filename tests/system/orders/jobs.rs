//! State of the jobs of Reconcile between its runs, as staff ask for it.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;

use mongodb::bson::doc;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{GetJobsRequest, GetJobsResponse, JobState};
use shared::auth::{Caller, Role};
use shared::rpc::channel::Channel;
use shared::rpc::convert;
use shared::rpc::server::RpcServer;
use shared::values::ids::UserId;
use tonic::{Code, Response, Status};

use crate::support::aging::{Aging, HOUR, MINUTE};
use crate::support::branch::Line;
use crate::support::grpc::{by_at, forbidden, refused, unauthenticated};

/// Asks an orders function for the state of the jobs.
async fn ask(
    aging: &Aging,
    orders: &RpcServer,
    role: Option<Role>,
) -> Result<Response<GetJobsResponse>, Status> {
    let caller = role.map_or(Caller::Anonymous, |role| Caller::User { id: UserId::new(), role });
    let channel = Channel::new(Arc::new(orders.clone()), aging.clock.clone());
    OrderServiceClient::new(channel).get_jobs(by_at(aging.clock.now(), caller, GetJobsRequest {})).await
}

/// State of the jobs at an orders function, as staff see it.
async fn jobs_at(aging: &Aging, orders: &RpcServer) -> Vec<JobState> {
    ask(aging, orders, Some(Role::Staff)).await.unwrap().into_inner().jobs
}

async fn jobs(aging: &Aging) -> Vec<JobState> {
    jobs_at(aging, &aging.shop.backend.orders.rpc).await
}

/// State of one job.
fn of<'a>(jobs: &'a [JobState], name: &str) -> &'a JobState {
    jobs.iter().find(|job| job.job == name).unwrap()
}

/// Jobs that have something due.
fn due(jobs: &[JobState]) -> Vec<&str> {
    jobs.iter().filter(|job| job.oldest_due_seconds.is_some()).map(|job| job.job.as_str()).collect()
}

#[tokio::test]
async fn nothing_is_due_in_a_shop_that_is_well() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    aging.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201);
    aging.shop.fold(&aging.clock).await.unwrap();
    let jobs = jobs(&aging).await;
    let names: Vec<&str> = jobs.iter().map(|job| job.job.as_str()).collect();
    assert_eq!(names, ["tasks", "changes", "expiry", "folding", "holds", "pruning"]);
    assert_eq!(due(&jobs), [""; 0]);
    assert!(jobs.iter().all(|job| !job.incomplete && job.set_aside.is_empty()), "{jobs:?}");
}

#[tokio::test]
async fn each_job_tells_the_age_of_what_is_due() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    let ada = aging.shop.customer().await;
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    aging.sets(&order, doc! { "items": 7 }).await;
    aging.ages(25 * HOUR).await;
    let before = jobs(&aging).await;
    assert_eq!(due(&before), ["expiry", "holds"]);
    // It expires after a day, and the hold is walked over after two minutes.
    assert_eq!(of(&before, "expiry").oldest_due_seconds, Some(3_600));
    assert!(of(&before, "holds").oldest_due_seconds.unwrap() >= 25 * 3_600 - 120, "{before:?}");

    assert_eq!(aging.reconciles().await.set_aside, 1);
    let after = jobs(&aging).await;
    assert_eq!(due(&after), ["expiry"]);
    let [mark] = &of(&after, "expiry").set_aside[..] else { unreachable!("{after:?}") };
    assert_eq!((&mark.order_id, mark.reason.as_str(), mark.attempts), (&order, "unreadable", 1));
    assert!(convert::trusted_time(mark.due_at).unwrap() > aging.clock.now());
}

#[tokio::test]
async fn an_entry_of_a_journal_and_a_mark_are_due_too() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    let ada = aging.shop.customer().await;
    ada.orders(&[(&mug, 1)]).await.expect(201);
    aging.ages_unfolded(10 * MINUTE).await;
    let unfolded = jobs(&aging).await;
    assert_eq!(due(&unfolded), ["folding"]);
    assert!(of(&unfolded, "folding").oldest_due_seconds.unwrap() >= 600, "{unfolded:?}");

    let ada = aging.again(&ada).await;
    let cancelled = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    ada.moves(&cancelled, "cancelled").await.expect(200);
    aging.ages(2 * HOUR).await;
    let jobs = jobs(&aging).await;
    let pruning = of(&jobs, "pruning").oldest_due_seconds.unwrap();
    assert!((3_600..3_700).contains(&pruning), "{jobs:?}");
}

#[tokio::test]
async fn jobs_in_orders_are_known_without_products() {
    let aging = Aging::open().await;
    let mug = aging.shop.product(10).await;
    aging.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201);
    let branch = aging.branch().await;
    aging.ages(25 * HOUR).await;
    branch.line(Line::Away(Code::Unavailable));
    let jobs = jobs_at(&aging, &branch.rpc).await;
    let incomplete: Vec<&str> =
        jobs.iter().filter(|job| job.incomplete).map(|job| job.job.as_str()).collect();
    assert_eq!(incomplete, ["folding", "holds", "pruning"]);
    assert_eq!(due(&jobs), ["expiry"]);
}

#[tokio::test]
async fn jobs_are_told_to_staff_and_admins_alone() {
    let aging = Aging::open().await;
    let orders = &aging.shop.backend.orders.rpc;
    assert_eq!(refused(ask(&aging, orders, None).await), unauthenticated());
    assert_eq!(refused(ask(&aging, orders, Some(Role::Customer)).await), forbidden());
    for role in [Role::Staff, Role::Admin] {
        assert_eq!(ask(&aging, orders, Some(role)).await.unwrap().into_inner().jobs.len(), 6);
    }
}
