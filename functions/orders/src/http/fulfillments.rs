//! Routes of fulfillments.

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
use shared::values::ids::{FulfillmentKind, OrderKind};

use super::Service;
use crate::forms::{CreateFulfillmentForm, UpdateFulfillmentForm};
use crate::views::FulfillmentJson;

pub(super) const TAG: &str = "Fulfillment";

pub(super) static CREATE_FULFILLMENT: RouteSpec =
    RouteSpec::post("/orders/{id}/fulfillments", "createFulfillment")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .request_body("NewFulfillment")
        .idempotent()
        .if_match()
        .tag(TAG)
        .summary("Record a fulfillment")
        .description(
            "For staff, while the order is `paid`: units that leave the warehouse together, such as those of a parcel. \
             Without `items` it has all units that are left. Just these units leave the stock; the rest stays held.\n\n\
             With its last units the order becomes `shipped`. An order has at most 50 fulfillments.",
        )
        .responses(&[ResponseSpec::json(StatusCode::CREATED, "Fulfillment", "The fulfillment, recorded.")
            .headers(&["ETag"])])
        .problems(&[Kind::Forbidden, Kind::QuantityExceeded, Kind::InvalidTransition]);

pub(super) async fn create_fulfillment(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    IdempotentJson(form, key): IdempotentJson<CreateFulfillmentForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let made = orders.create_fulfillment(&context, id.require()?, &if_match, new, &key).await?;
    Ok(made.into_response(|recorded| {
        let fulfillment = FulfillmentJson::of(recorded.entry, context.caller);
        conditional::with_etag(recorded.version, json::answer(StatusCode::CREATED, &fulfillment))
    }))
}

pub(super) static UPDATE_FULFILLMENT: RouteSpec =
    RouteSpec::put("/orders/{id}/fulfillments/{fulfillment_id}", "updateFulfillment")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .part_id::<FulfillmentKind>("fulfillment_id")
        .request_body("FulfillmentChange")
        .if_match()
        .tag(TAG)
        .summary("Change a fulfillment")
        .description(
            "For staff: `tracking`, `status`, or both; what the body does not name stays as it is. Tracking may be corrected \
             at any time.\n\n| from | to | what else \
             |\n| --- | --- | --- |\n| `shipped` | `delivered` | the last one makes the order `delivered` |\n| `shipped` | \
             `cancelled` | for one recorded by mistake: its units are on hand and held again, and a `shipped` order is \
             `paid` again |\n\nThe status that it has already is 200, and nothing changes. It cannot be cancelled while \
             returns need its units.",
        )
        .responses(&[ResponseSpec::json(StatusCode::OK, "Fulfillment", "The fulfillment as it stands now.")
            .headers(&["ETag"])])
        .problems(&[Kind::Forbidden, Kind::QuantityExceeded, Kind::InvalidTransition]);

pub(super) async fn update_fulfillment(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    PartId(fulfillment): PartId<FulfillmentKind>,
    Json(form): Json<UpdateFulfillmentForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    let (id, fulfillment) = (id.require()?, fulfillment.require()?);
    let recorded = orders.update_fulfillment(&context, id, fulfillment, &if_match, change).await?;
    let fulfillment = FulfillmentJson::of(recorded.entry, context.caller);
    Ok(conditional::with_etag(recorded.version, json::answer(StatusCode::OK, &fulfillment)))
}
