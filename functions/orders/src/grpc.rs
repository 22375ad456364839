//! The gRPC face of orders: convert, call the service, convert.

use std::sync::Arc;
use std::time::Duration;

use proto::orders::v1 as wire;
use proto::orders::v1::order_service_server::OrderService as Rpc;
use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::RequestKey;
use shared::rpc::convert;
use shared::rpc::metadata::context_of;
use shared::values::ids::{self, OrderId};
use tonic::{Request, Response, Status};

use crate::forms::{
    CreateCancellationForm, CreateFulfillmentForm, CreateOrderForm, CreatePaymentForm, CreateRefundForm,
    CreateReturnForm, UpdateFulfillmentForm, UpdateOrderForm, UpdateRefundForm, UpdateReturnForm,
};
use crate::listing::Listing;
use crate::service::OrderService;
use crate::service::reconcile::{JobReport, JobState, ReconcileReport, Shard};
use crate::store::{Job, SetAsideMark};
use crate::views::{
    fulfillment_message, message, payment_message, refund_message, refund_preview_message, return_message,
    violation,
};

/// gRPC service that tonic's server calls.
#[derive(Clone)]
pub struct Grpc(Arc<OrderService>);

impl Grpc {
    /// The face of this service.
    pub fn new(orders: Arc<OrderService>) -> Self {
        Self(orders)
    }
}

#[tonic::async_trait]
impl Rpc for Grpc {
    async fn create_order(
        &self,
        request: Request<wire::CreateOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let new = CreateOrderForm::from(request.into_inner()).check()?;
        let made = self.0.place(&context, new, key).await?;
        Ok(made.into_rpc(|order| message(order, context.caller)))
    }

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let id = order_id(request.into_inner().id)?;
        Ok(Response::new(message(self.0.get(&context, id).await?, context.caller)))
    }

    async fn update_order(
        &self,
        request: Request<wire::UpdateOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        let request = request.into_inner();
        let id = order_id(request.id.clone())?;
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateOrderForm::from_message(request)?.check()?;
        Ok(Response::new(message(self.0.update(&context, id, &if_match, change).await?, context.caller)))
    }

    async fn create_payment(
        &self,
        mut request: Request<wire::CreatePaymentRequest>,
    ) -> Result<Response<wire::Payment>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of the request that a key names.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let mut request = request.into_inner();
        let order = std::mem::take(&mut request.order_id);
        let new = CreatePaymentForm::from(request).check()?;
        let made = self.0.create_payment(&context, order_id(order)?, &if_match, new, &key).await?;
        Ok(made.into_rpc(|recorded| payment_message(recorded.entry, context.caller)))
    }

    async fn create_refund(
        &self,
        mut request: Request<wire::CreateRefundRequest>,
    ) -> Result<Response<wire::Refund>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of the request that a key names.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let mut request = request.into_inner();
        let order = std::mem::take(&mut request.order_id);
        let new = CreateRefundForm::from(request).check()?;
        let made = self.0.create_refund(&context, order_id(order)?, &if_match, new, &key).await?;
        Ok(made.into_rpc(|recorded| refund_message(recorded.entry, context.caller)))
    }

    async fn preview_refund(
        &self,
        request: Request<wire::PreviewRefundRequest>,
    ) -> Result<Response<wire::RefundPreview>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner().refund.unwrap_or_default();
        let order = std::mem::take(&mut request.order_id);
        let if_match = IfMatch::of_call(request.expected_version);
        let new = CreateRefundForm::from(request).check()?;
        let refund = self.0.preview_refund(&context, order_id(order)?, &if_match, &new).await?;
        Ok(Response::new(refund_preview_message(refund)))
    }

    async fn update_refund(
        &self,
        request: Request<wire::UpdateRefundRequest>,
    ) -> Result<Response<wire::Refund>, Status> {
        let context = context_of(&request)?;
        let wire::UpdateRefundRequest { order_id: order, refund_id, reference, expected_version } =
            request.into_inner();
        let reference = UpdateRefundForm { reference }.check()?;
        let order = order_id(order)?;
        let refund = ids::parse(refund_id).map_err(|_| Error::not_found("refund"))?;
        let if_match = IfMatch::of_call(expected_version);
        let recorded = self.0.update_refund(&context, order, refund, &if_match, &reference).await?;
        Ok(Response::new(refund_message(recorded.entry, context.caller)))
    }

    async fn create_fulfillment(
        &self,
        mut request: Request<wire::CreateFulfillmentRequest>,
    ) -> Result<Response<wire::Fulfillment>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of the request that a key names.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let mut request = request.into_inner();
        let order = std::mem::take(&mut request.order_id);
        let new = CreateFulfillmentForm::from(request).check()?;
        let made = self.0.create_fulfillment(&context, order_id(order)?, &if_match, new, &key).await?;
        Ok(made.into_rpc(|recorded| fulfillment_message(recorded.entry, context.caller)))
    }

    async fn update_fulfillment(
        &self,
        request: Request<wire::UpdateFulfillmentRequest>,
    ) -> Result<Response<wire::Fulfillment>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let (order, fulfillment) =
            (std::mem::take(&mut request.order_id), std::mem::take(&mut request.fulfillment_id));
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateFulfillmentForm::from(request).check()?;
        let order = order_id(order)?;
        let fulfillment = ids::parse(fulfillment).map_err(|_| Error::not_found("fulfillment"))?;
        let recorded = self.0.update_fulfillment(&context, order, fulfillment, &if_match, change).await?;
        Ok(Response::new(fulfillment_message(recorded.entry, context.caller)))
    }

    async fn create_cancellation(
        &self,
        mut request: Request<wire::CreateCancellationRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of the request that a key names.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let mut request = request.into_inner();
        let order = std::mem::take(&mut request.order_id);
        let new = CreateCancellationForm::from(request).check()?;
        let made = self.0.create_cancellation(&context, order_id(order)?, &if_match, new, &key).await?;
        Ok(made.into_rpc(|order| message(order, context.caller)))
    }

    async fn create_return(
        &self,
        mut request: Request<wire::CreateReturnRequest>,
    ) -> Result<Response<wire::Return>, Status> {
        let context = context_of(&request)?;
        // `If-Match` is no part of the request that a key names.
        let if_match = IfMatch::of_call(request.get_mut().expected_version.take());
        let key = RequestKey::of_call(&context, request.metadata(), request.get_ref())?;
        let mut request = request.into_inner();
        let order = std::mem::take(&mut request.order_id);
        let new = CreateReturnForm::from(request).check()?;
        let made = self.0.create_return(&context, order_id(order)?, &if_match, new, &key).await?;
        Ok(made.into_rpc(|recorded| return_message(recorded.entry, context.caller)))
    }

    async fn update_return(
        &self,
        request: Request<wire::UpdateReturnRequest>,
    ) -> Result<Response<wire::Return>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let (order, return_id) =
            (std::mem::take(&mut request.order_id), std::mem::take(&mut request.return_id));
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateReturnForm::from(request).check()?;
        let order = order_id(order)?;
        let return_id = ids::parse(return_id).map_err(|_| Error::not_found("return"))?;
        let recorded = self.0.update_return(&context, order, return_id, &if_match, change).await?;
        Ok(Response::new(return_message(recorded.entry, context.caller)))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let page = convert::page(request.page.take())?;
        let page = self.0.list(&context, Listing::from_message(request)?, page).await?;
        let page = convert::bounded(page.map(|order| message(order, context.caller)));
        Ok(Response::new(wire::ListOrdersResponse { data: page.data, next_cursor: page.next_cursor }))
    }

    async fn reconcile(
        &self,
        request: Request<wire::ReconcileRequest>,
    ) -> Result<Response<wire::ReconcileResponse>, Status> {
        let context = context_of(&request)?;
        let wire::ReconcileRequest { shard, shards } = request.into_inner();
        let report = self.0.reconcile(&context, Shard::new(shard, shards)?).await?;
        Ok(Response::new(reconciled(&report)))
    }

    async fn get_jobs(
        &self,
        request: Request<wire::GetJobsRequest>,
    ) -> Result<Response<wire::GetJobsResponse>, Status> {
        let context = context_of(&request)?;
        let jobs = self.0.jobs(&context).await?.into_iter().map(job_state).collect();
        Ok(Response::new(wire::GetJobsResponse { jobs }))
    }

    async fn check_consistency(
        &self,
        request: Request<wire::CheckConsistencyRequest>,
    ) -> Result<Response<wire::CheckConsistencyResponse>, Status> {
        let context = context_of(&request)?;
        let wire::CheckConsistencyRequest { limit, cursor } = request.into_inner();
        let checked = self.0.check_consistency(&context, limit, cursor).await?;
        Ok(Response::new(wire::CheckConsistencyResponse {
            checked: Some(wire::CheckedDocuments { orders: checked.orders, products: checked.products }),
            violations: checked.violations.into_iter().map(violation).collect(),
            next_cursor: checked.next_cursor,
        }))
    }
}

fn reconciled(report: &ReconcileReport) -> wire::ReconcileResponse {
    let job = |job: &JobReport| wire::JobReport {
        job: job.job.name().to_owned(),
        done: job.done,
        set_aside: job.set_aside,
        unreadable: job.unreadable,
        oldest_due_seconds: job.oldest_due.map(whole_seconds),
        finished: job.finished,
    };
    wire::ReconcileResponse {
        tasks_done: report.of(Job::Tasks).done,
        changes_ended: report.of(Job::Changes).done,
        holds_ended: report.of(Job::Holds).done,
        orders_expired: report.of(Job::Expiry).done,
        tombstones_pruned: report.tombstones_pruned,
        voids_pruned: report.voids_pruned,
        set_aside: report.set_aside(),
        finished: report.finished(),
        jobs: report.jobs.iter().filter(|job| !job.is_idle()).map(job).collect(),
    }
}

fn job_state(state: JobState) -> wire::JobState {
    wire::JobState {
        job: state.job.name().to_owned(),
        oldest_due_seconds: state.oldest_due.map(whole_seconds),
        incomplete: state.incomplete,
        set_aside: state.set_aside.into_iter().map(set_aside_order).collect(),
    }
}

fn set_aside_order(mark: SetAsideMark) -> wire::SetAsideOrder {
    wire::SetAsideOrder {
        order_id: mark.order.to_string(),
        reason: mark.reason.name().to_owned(),
        attempts: mark.attempts,
        due_at: mark.due.map(convert::timestamp),
    }
}

fn whole_seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}

fn order_id(text: String) -> Result<OrderId, Error> {
    ids::parse(text).map_err(|_| Error::not_found("order"))
}
