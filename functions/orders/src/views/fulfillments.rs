//! Answers about fulfillments and tracking.

use proto::orders::v1 as wire;
use serde::Serialize;
use shared::auth::Caller;
use shared::rpc::convert;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::FulfillmentKind;

#[cfg(feature = "openapi")]
use super::Actor;
use super::quantities::{ItemQuantityJson, item_quantity};
use crate::order::{Fulfillment, FulfillmentStatus, Tracking, actor_label};

/// A fulfillment: units of an order that left the warehouse together.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Fulfillment))]
pub(crate) struct FulfillmentJson {
    /// ID of the fulfillment.
    #[cfg_attr(feature = "openapi", schema(value_type = FulfillmentKind))]
    id: String,
    /// Shipped items.
    items: Vec<ItemQuantityJson>,
    /// Tracking of the parcel; null without one.
    tracking: Option<FulfillmentTrackingJson>,
    /// Status of the fulfillment.
    status: FulfillmentStatus,
    /// Time at which it was recorded.
    shipped_at: Timestamp,
    /// Time at which it was delivered; null until then.
    delivered_at: Option<Timestamp>,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
}

/// Tracking of the parcel of a fulfillment.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FulfillmentTracking))]
struct FulfillmentTrackingJson {
    /// Carrier.
    carrier: String,
    /// Tracking number.
    number: String,
    /// Address at which the parcel can be followed.
    url: Option<String>,
}

/// Tracking of an order: that of its latest fulfillment. All is null where there is none.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Tracking))]
pub(super) struct TrackingJson {
    /// Carrier.
    carrier: Option<String>,
    /// Tracking number.
    number: Option<String>,
    /// Address at which the parcel can be followed.
    url: Option<String>,
}

impl FulfillmentJson {
    /// The fulfillment as this caller may see it.
    pub(crate) fn of(fulfillment: Fulfillment, caller: Caller) -> Self {
        Self {
            id: fulfillment.id.to_string(),
            items: fulfillment.items.into_iter().map(ItemQuantityJson::from).collect(),
            tracking: fulfillment.tracking.map(FulfillmentTrackingJson::from),
            status: fulfillment.status,
            shipped_at: fulfillment.shipped_at,
            delivered_at: fulfillment.delivered_at,
            by: actor_label(fulfillment.by, caller),
        }
    }
}

impl From<Tracking> for FulfillmentTrackingJson {
    fn from(tracking: Tracking) -> Self {
        let Tracking { carrier, number, url } = tracking;
        Self { carrier, number, url }
    }
}

impl TrackingJson {
    /// The tracking of an order.
    pub(super) fn of(tracking: Option<&Tracking>) -> Self {
        Self {
            carrier: tracking.map(|tracking| tracking.carrier.clone()),
            number: tracking.map(|tracking| tracking.number.clone()),
            url: tracking.and_then(|tracking| tracking.url.clone()),
        }
    }
}

/// The message for a fulfillment, as this caller may see it.
pub(crate) fn fulfillment_message(fulfillment: Fulfillment, caller: Caller) -> wire::Fulfillment {
    wire::Fulfillment {
        id: fulfillment.id.to_string(),
        items: fulfillment.items.into_iter().map(item_quantity).collect(),
        tracking: fulfillment.tracking.as_ref().map(tracking_message),
        status: fulfillment.status.name().to_owned(),
        shipped_at: Some(convert::timestamp(fulfillment.shipped_at)),
        delivered_at: fulfillment.delivered_at.map(convert::timestamp),
        by: actor_label(fulfillment.by, caller),
    }
}

/// The message for tracking.
pub(super) fn tracking_message(tracking: &Tracking) -> wire::Tracking {
    wire::Tracking {
        carrier: Some(tracking.carrier.clone()),
        number: Some(tracking.number.clone()),
        url: tracking.url.clone(),
    }
}
