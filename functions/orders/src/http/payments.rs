//! Routes of payments and refunds.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::conditional::{self, IfMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PartId, PathId, ResponseSpec, RouteSpec};
use shared::input::json::{self, Json};
use shared::runtime::context::Context;
use shared::values::ids::{OrderKind, RefundKind};

use super::Service;
use crate::forms::{CreatePaymentForm, CreateRefundForm, UpdateRefundForm};
use crate::views::{PaymentJson, RefundJson, RefundPreviewJson};

const TAG: &str = "Payments";

pub(super) static CREATE_PAYMENT: RouteSpec = RouteSpec::post("/orders/{id}/payments", "createPayment")
    .access(Access::SignedIn)
    .id::<OrderKind>()
    .request_body("NewPayment")
    .idempotent()
    .if_match()
    .tag(TAG)
    .summary("Record a payment")
    .description(
        "For staff, and for what receives a payment provider's webhooks. Money is recorded in any status of the \
         order: late, twice, or for a cancelled order. What is too much shows as `totals.refund_due`.\n\nWhen the \
         payments reach the payable amount, a `placed` order becomes `paid` at once.\n\n`reference` is unique within \
         `provider`. The same order, amount and reference again is 200 with `Idempotency-Replayed: true`, and \
         changes nothing. So a webhook may be delivered any number of times, in any order.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::CREATED, "Payment", "The payment, recorded.").headers(&["ETag"]),
        ResponseSpec::json(StatusCode::OK, "Payment", "The payment, which was recorded before.").headers(&["ETag"]),
    ])
    .problems(&[Kind::Forbidden, Kind::PaymentReferenceTaken, Kind::AmountExceeded]);

pub(super) async fn create_payment(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    IdempotentJson(form, key): IdempotentJson<CreatePaymentForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let made = orders.create_payment(&context, id.require()?, &if_match, new, &key).await?;
    Ok(made.into_response(|recorded| {
        let status = if recorded.was_known { StatusCode::OK } else { StatusCode::CREATED };
        let payment = PaymentJson::of(recorded.entry, context.caller);
        conditional::with_etag(recorded.version, json::answer(status, &payment))
    }))
}

pub(super) static CREATE_REFUND: RouteSpec = RouteSpec::post("/orders/{id}/refunds", "createRefund")
    .access(Access::SignedIn)
    .id::<OrderKind>()
    .request_body("NewRefund")
    .idempotent()
    .if_match()
    .tag(TAG)
    .summary("Record a refund")
    .description(
        "For staff: of an `amount`, of `items` and `shipping`, or of the units that a return received and that are not \
         refunded yet. The first two may name a return, too. Send an `Idempotency-Key`, so that a request of \
         which the answer is lost can be sent again without a second refund. Record it here first, then ask the \
         payment provider for it, and give its reference afterwards.\n\nRefunds are never more than what was paid, \
         however many requests run at once. Refunding every unit of an item, in any portions, gives its total \
         exactly.\n\nWhen all that was paid is refunded, a `cancelled` or `returned` order becomes `refunded`.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::CREATED, "Refund", "The refund, recorded.").headers(&["ETag"])
    ])
    .problems(&[Kind::Forbidden, Kind::AmountExceeded]);

pub(super) async fn create_refund(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    IdempotentJson(form, key): IdempotentJson<CreateRefundForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let made = orders.create_refund(&context, id.require()?, &if_match, new, &key).await?;
    Ok(made.into_response(|recorded| {
        let refund = RefundJson::of(recorded.entry, context.caller);
        conditional::with_etag(recorded.version, json::answer(StatusCode::CREATED, &refund))
    }))
}

pub(super) static PREVIEW_REFUND: RouteSpec =
    RouteSpec::post("/orders/{id}/refunds/preview", "previewRefund")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .request_body("NewRefund")
        .if_match()
        .tag(TAG)
        .summary("Preview a refund")
        .description("For staff: the amount of the refund that the same body would record. Nothing changes.")
        .responses(&[ResponseSpec::json(StatusCode::OK, "RefundPreview", "The refund, not recorded.")])
        .problems(&[Kind::Forbidden, Kind::AmountExceeded]);

pub(super) async fn preview_refund(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    Json(form): Json<CreateRefundForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let refund = orders.preview_refund(&context, id.require()?, &if_match, &new).await?;
    Ok(json::answer(StatusCode::OK, &RefundPreviewJson::from(refund)))
}

pub(super) static UPDATE_REFUND: RouteSpec =
    RouteSpec::put("/orders/{id}/refunds/{refund_id}", "updateRefund")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .part_id::<RefundKind>("refund_id")
        .request_body("RefundChange")
        .if_match()
        .tag(TAG)
        .summary("Give a refund its reference")
        .description("For staff, once: a refund with another reference is 409.")
        .responses(&[ResponseSpec::json(StatusCode::OK, "Refund", "The refund.").headers(&["ETag"])])
        .problems(&[Kind::Forbidden, Kind::InvalidTransition]);

pub(super) async fn update_refund(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    PartId(refund): PartId<RefundKind>,
    Json(form): Json<UpdateRefundForm>,
) -> Result<Response, Error> {
    let reference = form.check()?;
    let (id, refund) = (id.require()?, refund.require()?);
    let recorded = orders.update_refund(&context, id, refund, &if_match, &reference).await?;
    let refund = RefundJson::of(recorded.entry, context.caller);
    Ok(conditional::with_etag(recorded.version, json::answer(StatusCode::OK, &refund)))
}
