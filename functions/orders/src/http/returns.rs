//! Routes of returns.

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
use shared::values::ids::{OrderKind, ReturnKind};

use super::Service;
use crate::forms::{CreateReturnForm, UpdateReturnForm};
use crate::views::ReturnJson;

const TAG: &str = "Returns";

pub(super) static CREATE_RETURN: RouteSpec = RouteSpec::post("/orders/{id}/returns", "createReturn")
    .access(Access::SignedIn)
    .id::<OrderKind>()
    .request_body("NewReturn")
    .idempotent()
    .if_match()
    .tag(TAG)
    .summary("Ask for a return")
    .description(
        "The owner asks for it once the units are delivered, within 14 days unless the shop has set another time. Staff \
         record one at any time for shipped units, and theirs is `approved`.\n\nOpen and received returns together have \
         at most the units that were shipped. An order has at most 50 returns, and its owner \
         asks only while it has fewer than 25.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::CREATED, "Return", "The return, recorded.").headers(&["ETag"])
    ])
    .problems(&[Kind::QuantityExceeded, Kind::InvalidTransition]);

pub(super) async fn create_return(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    IdempotentJson(form, key): IdempotentJson<CreateReturnForm>,
) -> Result<Response, Error> {
    let new = form.check()?;
    let made = orders.create_return(&context, id.require()?, &if_match, new, &key).await?;
    Ok(made.into_response(|recorded| {
        let returned = ReturnJson::of(recorded.entry, context.caller);
        conditional::with_etag(recorded.version, json::answer(StatusCode::CREATED, &returned))
    }))
}

pub(super) static UPDATE_RETURN: RouteSpec =
    RouteSpec::put("/orders/{id}/returns/{return_id}", "updateReturn")
        .access(Access::SignedIn)
        .id::<OrderKind>()
        .part_id::<ReturnKind>("return_id")
        .request_body("ReturnChange")
        .if_match()
        .tag(TAG)
        .summary("Decide about a return, or receive it")
        .description(
            "| from | to | who | what else |\n| --- | --- | --- | --- |\n| `requested` | `approved` | staff | |\n| \
             `requested` | `rejected` | staff | `reason` required |\n| `approved` | `received` | staff | `items`: units \
             that came back, and those among them that are on hand again; without it all came back, and none is on hand \
             |\n| `requested` | `cancelled` | the owner, staff | `reason` |\n| `approved` | `cancelled` | staff | `reason` \
             |\n\nThe status that it has already is 200, and nothing changes. When all that was shipped came back, the \
             order becomes `returned`. Record a refund with its `return_id`.",
        )
        .responses(&[
            ResponseSpec::json(StatusCode::OK, "Return", "The return as it stands now.").headers(&["ETag"])
        ])
        .problems(&[Kind::Forbidden, Kind::InvalidTransition]);

pub(super) async fn update_return(
    State(orders): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<OrderKind>,
    PartId(return_id): PartId<ReturnKind>,
    Json(form): Json<UpdateReturnForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    let (id, return_id) = (id.require()?, return_id.require()?);
    let recorded = orders.update_return(&context, id, return_id, &if_match, change).await?;
    let returned = ReturnJson::of(recorded.entry, context.caller);
    Ok(conditional::with_etag(recorded.version, json::answer(StatusCode::OK, &returned)))
}
