//! Bodies about cancellations.

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::ValidationErrors;
use shared::values::text::Reason;

#[cfg(feature = "openapi")]
use super::quantities::ItemQuantities;
use super::quantities::{ItemQuantityForm, check_items, quantity_forms};
use crate::order::NewCancellation;

/// A cancellation of units to record.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewCancellation))]
pub struct CreateCancellationForm {
    /// Items to cancel, with the quantity of each; by default all units that are left.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ItemQuantities>))]
    pub items: Option<Vec<ItemQuantityForm>>,
    /// Reason for the cancellation.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
}

impl Fingerprinted for CreateCancellationForm {}

impl CreateCancellationForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewCancellation, Error> {
        let mut errors = ValidationErrors::default();
        let items = self.items.map(|items| check_items(&mut errors, items));
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        errors.check()?;
        Ok(NewCancellation { items, reason })
    }
}

impl From<wire::CreateCancellationRequest> for CreateCancellationForm {
    fn from(request: wire::CreateCancellationRequest) -> Self {
        Self { items: request.items.map(|items| quantity_forms(items.items)), reason: request.reason }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::values::ids::example_of;

    use super::*;

    fn cancellation(body: Value) -> Result<NewCancellation, Error> {
        serde_json::from_value::<CreateCancellationForm>(body).unwrap().check()
    }

    fn places(checked: Result<NewCancellation, Error>) -> Vec<String> {
        checked.unwrap_err().errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn without_items_all_that_is_left_is_meant() {
        assert_eq!(cancellation(json!({})).unwrap().items, None);
        assert_eq!(cancellation(json!({ "items": null })).unwrap().items, None);
        let message = wire::CreateCancellationRequest::default();
        assert_eq!(CreateCancellationForm::from(message).check().unwrap().items, None);
    }

    #[test]
    fn an_empty_list_never_means_all() {
        assert_eq!(places(cancellation(json!({ "items": [] }))), ["/items"]);
        let items = Some(wire::NewItemQuantities::default());
        let message = wire::CreateCancellationRequest { items, ..Default::default() };
        assert_eq!(places(CreateCancellationForm::from(message).check()), ["/items"]);
    }

    #[test]
    fn every_bad_item_is_named() {
        let item = json!({ "id": example_of("item"), "quantity": 1 });
        let items = json!([item, { "id": example_of("product"), "quantity": 0 }, item]);
        let expected = ["/items/1/id", "/items/1/quantity", "/items/2/id"];
        assert_eq!(places(cancellation(json!({ "items": items }))), expected);
    }

    #[test]
    fn a_bad_reason_is_named() {
        assert_eq!(places(cancellation(json!({ "reason": "x".repeat(501) }))), ["/reason"]);
        assert_eq!(cancellation(json!({ "reason": null })).unwrap().reason, None);
    }
}
