//! Bodies about fulfillments.

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::{Form, Patch, ValidationErrors};

#[cfg(feature = "openapi")]
use super::quantities::ItemQuantities;
use super::quantities::{ItemQuantityForm, check_items, quantity_forms};
use crate::limits::{Reference, TrackingUrl};
use crate::order::{FulfillmentChange, FulfillmentStatus, NewFulfillment, Tracking};

/// Tracking of a parcel.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewTracking))]
pub struct NewTrackingForm {
    /// Carrier.
    #[cfg_attr(feature = "openapi", schema(value_type = Reference))]
    pub carrier: Option<String>,
    /// Tracking number.
    #[cfg_attr(feature = "openapi", schema(value_type = Reference))]
    pub number: Option<String>,
    /// Address at which the parcel can be followed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<TrackingUrl>))]
    pub url: Option<String>,
}

impl Form for NewTrackingForm {
    type Checked = Tracking;

    fn check(self, errors: &mut ValidationErrors) -> Option<Tracking> {
        let carrier = errors.required("/carrier", self.carrier, Reference::parse);
        let number = errors.required("/number", self.number, Reference::parse);
        let url = errors.optional("/url", self.url, TrackingUrl::parse);
        Some(Tracking { carrier: carrier?, number: number?, url })
    }
}

impl From<wire::Tracking> for NewTrackingForm {
    fn from(tracking: wire::Tracking) -> Self {
        let wire::Tracking { carrier, number, url } = tracking;
        Self { carrier, number, url }
    }
}

/// A fulfillment to record.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewFulfillment))]
pub struct CreateFulfillmentForm {
    /// Items to ship, with the quantity of each; by default all units that are left.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ItemQuantities>))]
    pub items: Option<Vec<ItemQuantityForm>>,
    /// Tracking of the parcel.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<NewTrackingForm>))]
    pub tracking: Option<NewTrackingForm>,
}

impl Fingerprinted for CreateFulfillmentForm {}

impl CreateFulfillmentForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewFulfillment, Error> {
        let mut errors = ValidationErrors::default();
        let items = self.items.map(|items| check_items(&mut errors, items));
        let tracking = errors.part("/tracking", self.tracking);
        errors.check()?;
        Ok(NewFulfillment { items, tracking })
    }
}

impl From<wire::CreateFulfillmentRequest> for CreateFulfillmentForm {
    fn from(request: wire::CreateFulfillmentRequest) -> Self {
        Self {
            items: request.items.map(|items| quantity_forms(items.items)),
            tracking: request.tracking.map(NewTrackingForm::from),
        }
    }
}

/// Change of a fulfillment: of its status, its tracking, or both.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FulfillmentChange))]
pub struct UpdateFulfillmentForm {
    /// Status to change to.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = FulfillmentStatus))]
    pub status: Patch<String>,
    /// Tracking of the parcel, as a whole.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = NewTrackingForm))]
    pub tracking: Patch<NewTrackingForm>,
}

impl UpdateFulfillmentForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<FulfillmentChange, Error> {
        let mut errors = ValidationErrors::default();
        let status = errors.change("/status", self.status, |name| FulfillmentStatus::parse(&name));
        let tracking = errors.change_part("/tracking", self.tracking);
        errors.check()?;
        Ok(FulfillmentChange { status, tracking })
    }
}

impl From<wire::UpdateFulfillmentRequest> for UpdateFulfillmentForm {
    fn from(request: wire::UpdateFulfillmentRequest) -> Self {
        Self {
            status: Patch::from_masked(request.status, false),
            tracking: Patch::from_masked(request.tracking.map(NewTrackingForm::from), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::values::ids::{ItemId, example_of};

    use super::*;

    fn fulfillment(body: Value) -> Result<NewFulfillment, Error> {
        serde_json::from_value::<CreateFulfillmentForm>(body).unwrap().check()
    }

    fn change(body: Value) -> Result<FulfillmentChange, Error> {
        serde_json::from_value::<UpdateFulfillmentForm>(body).unwrap().check()
    }

    fn places<T: std::fmt::Debug>(checked: Result<T, Error>) -> Vec<String> {
        checked.unwrap_err().errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn without_items_all_that_is_left_is_meant() {
        assert_eq!(fulfillment(json!({})).unwrap().items, None);
        assert_eq!(fulfillment(json!({ "items": null })).unwrap().items, None);
        let message = wire::CreateFulfillmentRequest::default();
        assert_eq!(CreateFulfillmentForm::from(message).check().unwrap().items, None);
    }

    #[test]
    fn an_empty_list_never_means_all() {
        assert_eq!(places(fulfillment(json!({ "items": [] }))), ["/items"]);
        let items = Some(wire::NewItemQuantities::default());
        let message = wire::CreateFulfillmentRequest { items, ..Default::default() };
        assert_eq!(places(CreateFulfillmentForm::from(message).check()), ["/items"]);
    }

    #[test]
    fn a_list_has_100_items_at_most() {
        let items = |count: usize| {
            let item = |_| json!({ "id": ItemId::new().to_string(), "quantity": 1 });
            json!({ "items": (0..count).map(item).collect::<Vec<_>>() })
        };
        assert_eq!(fulfillment(items(100)).unwrap().items.unwrap().len(), 100);
        assert_eq!(places(fulfillment(items(101))), ["/items"]);
    }

    #[test]
    fn every_bad_item_is_named() {
        let item = example_of("item");
        let items = json!([
            { "id": item, "quantity": 1 },
            { "id": example_of("product"), "quantity": 0 },
            { "id": item, "quantity": 2 },
            {},
        ]);
        let expected =
            ["/items/1/id", "/items/1/quantity", "/items/2/id", "/items/3/id", "/items/3/quantity"];
        assert_eq!(places(fulfillment(json!({ "items": items }))), expected);
    }

    #[test]
    fn tracking_has_a_carrier_and_a_number() {
        let tracking = json!({ "carrier": "DHL", "number": "1", "url": "https://dhl.example/1" });
        let tracking = fulfillment(json!({ "tracking": tracking })).unwrap().tracking.unwrap();
        assert_eq!((tracking.carrier, tracking.number), ("DHL".to_owned(), "1".to_owned()));
        assert_eq!(tracking.url.as_deref(), Some("https://dhl.example/1"));
        assert_eq!(places(fulfillment(json!({ "tracking": {} }))), ["/tracking/carrier", "/tracking/number"]);
        assert_eq!(places(change(json!({ "tracking": { "carrier": "DHL" } }))), ["/tracking/number"]);
    }

    #[test]
    fn the_url_of_a_parcel_is_https_and_of_2000_characters() {
        let with = |url: &str| change(json!({ "tracking": { "carrier": "DHL", "number": "1", "url": url } }));
        let longest = format!("https://a/{}", "x".repeat(1_990));
        for good in ["https://a", "https://dhl.example:8443/a?b=[c]#d", longest.as_str()] {
            assert_eq!(with(good).unwrap().tracking.unwrap().url.as_deref(), Some(good));
        }
        let too_long = format!("{longest}x");
        let without_host = ["https://", "https:///a", "https://@", "https://a:x/", "https://\"><script>"];
        let others =
            ["", "http://a", "HTTPS://a", "a", "javascript:alert(1)", "https://a b", "https://a/<b>"];
        for bad in without_host.into_iter().chain(others).chain([too_long.as_str()]) {
            assert_eq!(places(with(bad)), ["/tracking/url"], "{bad}");
        }
    }

    #[test]
    fn a_field_that_a_change_does_not_name_stays() {
        let message = wire::UpdateFulfillmentRequest::default();
        for nothing in [change(json!({})), UpdateFulfillmentForm::from(message).check()] {
            let nothing = nothing.unwrap();
            assert_eq!((nothing.status, nothing.tracking), (None, None));
        }
        let delivered = change(json!({ "status": "delivered" })).unwrap();
        assert_eq!((delivered.status, delivered.tracking), (Some(FulfillmentStatus::Delivered), None));
    }

    #[test]
    fn neither_a_status_nor_tracking_is_cleared() {
        assert_eq!(places(change(json!({ "status": null, "tracking": null }))), ["/status", "/tracking"]);
    }

    #[test]
    fn a_fulfillment_has_one_of_three_statuses() {
        for name in ["shipped", "delivered", "cancelled"] {
            assert_eq!(change(json!({ "status": name })).unwrap().status.unwrap().name(), name);
        }
        for bad in ["", "returned", "Shipped"] {
            assert_eq!(places(change(json!({ "status": bad }))), ["/status"], "{bad}");
        }
    }
}
