//! Answers about returns.

use proto::orders::v1 as wire;
use serde::Serialize;
use shared::auth::Caller;
use shared::rpc::convert;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::{ItemKind, ReturnKind};

#[cfg(feature = "openapi")]
use super::Actor;
use crate::order::{Return, ReturnItem, ReturnStatus, actor_label};

/// A return: units of an order that are sent back together.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Return))]
pub(crate) struct ReturnJson {
    /// ID of the return.
    #[cfg_attr(feature = "openapi", schema(value_type = ReturnKind))]
    id: String,
    /// Status of the return.
    status: ReturnStatus,
    /// Items that are sent back.
    items: Vec<ReturnItemJson>,
    /// Reason given with the request.
    reason: Option<String>,
    /// Time at which it was recorded.
    requested_at: Timestamp,
    /// Time at which it was approved or rejected; null until then.
    decided_at: Option<Timestamp>,
    /// Time at which it was received; null until then.
    received_at: Option<Timestamp>,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
}

/// An item that is sent back.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ReturnItem))]
struct ReturnItemJson {
    /// ID of the item.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    id: String,
    /// Units that were asked for.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    quantity: i64,
    /// Reason why this item is sent back.
    reason: Option<String>,
    /// Units that came back; 0 until it is received.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    received: i64,
    /// Units among them that are on hand again.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    restocked: i64,
}

impl ReturnJson {
    /// The return as this caller may see it.
    pub(crate) fn of(returned: Return, caller: Caller) -> Self {
        Self {
            id: returned.id.to_string(),
            status: returned.status,
            items: returned.items.into_iter().map(ReturnItemJson::from).collect(),
            reason: returned.reason,
            requested_at: returned.requested_at,
            decided_at: returned.decided_at,
            received_at: returned.received_at,
            by: actor_label(returned.by, caller),
        }
    }
}

impl From<ReturnItem> for ReturnItemJson {
    fn from(item: ReturnItem) -> Self {
        let ReturnItem { id, quantity, reason, received, restocked } = item;
        Self { id: id.to_string(), quantity, reason, received, restocked }
    }
}

/// The message for a return, as this caller may see it.
pub(crate) fn return_message(returned: Return, caller: Caller) -> wire::Return {
    let item = |item: ReturnItem| {
        let ReturnItem { id, quantity, reason, received, restocked } = item;
        wire::ReturnItem { id: id.to_string(), quantity, reason, received, restocked }
    };
    wire::Return {
        id: returned.id.to_string(),
        status: returned.status.name().to_owned(),
        items: returned.items.into_iter().map(item).collect(),
        reason: returned.reason,
        requested_at: Some(convert::timestamp(returned.requested_at)),
        decided_at: returned.decided_at.map(convert::timestamp),
        received_at: returned.received_at.map(convert::timestamp),
        by: actor_label(returned.by, caller),
    }
}
