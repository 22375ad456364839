//! Route of cancellations.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::conditional::{self, IfMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, ResponseSpec, RouteSpec};
use shared::input::json;
use shared::runtime::context::Context;
use shared::values::ids::OrderKind;

use super::Service;
use super::fulfillments::TAG;
use crate::forms::CreateCancellationForm;
use crate::views::OrderJson;

pub(super) static CREATE_CANCELLATION: RouteSpec =
    RouteSpec::post("/orders/{id}/cancellations", "createCancellation")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .request_body("NewCancellation")
        .idempotent()
        .if_match()
        .tag(TAG)
        .summary("Cancel units of an order")
        .description(
            "Units that are not shipped and not wanted any more; without `items` all that are left. For staff while the \
             order is `placed` or `paid`, for the owner while it is `placed`. Their hold ends, and `totals.cancelled` \
             grows.\n\nAll units of an order make it `cancelled`. The last ones that were left, with the rest shipped, \
             make it `shipped`. An order has at most 50 cancellations.",
        )
        .responses(&[
            ResponseSpec::json(StatusCode::CREATED, "Order", "The order as it stands now.").headers(&["ETag"])
        ])
        .problems(&[
            Kind::Forbidden,
            Kind::QuantityExceeded,
            Kind::InvalidTransition,
            Kind::TooManyRequests,
        ]);

pub(super) async fn create_cancellation(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    IdempotentJson(form, key): IdempotentJson<CreateCancellationForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let made = orders.create_cancellation(&context, id.require()?, &if_match, new, &key).await?;
    Ok(made.into_response(|order| {
        let version = order.version;
        let order = OrderJson::of(order, context.caller);
        conditional::with_etag(version, json::answer(StatusCode::CREATED, &order))
    }))
}
