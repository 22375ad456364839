//! Bodies about returns.

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::ValidationErrors;
#[cfg(feature = "openapi")]
use shared::values::ids::ItemKind;
use shared::values::ids::{self, ItemId};
use shared::values::integer::Integer;
use shared::values::text::Reason;

use super::quantities::{ItemForm, check_items};
#[cfg(feature = "openapi")]
use crate::limits::MAX_ITEMS;
use crate::limits::{ItemReason, Quantity};
use crate::order::{NewReturn, NewReturnItem, ReceivedItem, ReturnChange, ReturnStatus};

/// Units of an item that came back, perhaps none.
type ReceivedUnits = Integer<0, { Quantity::MAX }>;

/// Items to be sent back.
#[cfg(feature = "openapi")]
type NewReturnItems = shared::openapi::schemas::List<NewReturnItemForm, 1, MAX_ITEMS>;

/// Items that came back.
#[cfg(feature = "openapi")]
type ReceivedItems = shared::openapi::schemas::List<ReceivedItemForm, 1, MAX_ITEMS>;

/// A return to record.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewReturn))]
pub struct CreateReturnForm {
    /// Items to be sent back, with the quantity of each.
    #[cfg_attr(feature = "openapi", schema(value_type = NewReturnItems))]
    pub items: Option<Vec<NewReturnItemForm>>,
    /// Reason for the return.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
}

impl Fingerprinted for CreateReturnForm {}

/// An item to be sent back, and its quantity.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewReturnItem))]
pub struct NewReturnItemForm {
    /// Item of the order; each item stands once.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    pub id: Option<String>,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(value_type = Quantity))]
    pub quantity: Option<i64>,
    /// Reason why this item is sent back.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ItemReason>))]
    pub reason: Option<String>,
}

impl ItemForm for NewReturnItemForm {
    type Checked = NewReturnItem;

    fn check(self, errors: &mut ValidationErrors) -> (Option<ItemId>, Option<NewReturnItem>) {
        let id = errors.required("/id", self.id, ids::parse);
        let quantity = errors.required("/quantity", self.quantity, Quantity::parse);
        let reason = errors.optional("/reason", self.reason, ItemReason::parse);
        (id, id.zip(quantity).map(|(id, quantity)| NewReturnItem { id, quantity, reason }))
    }
}

impl CreateReturnForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewReturn, Error> {
        let mut errors = ValidationErrors::default();
        let items = errors.required("/items", self.items, Ok);
        let items = items.map(|items| check_items(&mut errors, items)).unwrap_or_default();
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        errors.check()?;
        Ok(NewReturn { items, reason })
    }
}

impl From<wire::CreateReturnRequest> for CreateReturnForm {
    fn from(request: wire::CreateReturnRequest) -> Self {
        let item = |item: wire::NewReturnItem| {
            let wire::NewReturnItem { id, quantity, reason } = item;
            NewReturnItemForm { id, quantity, reason }
        };
        Self { items: Some(request.items.into_iter().map(item).collect()), reason: request.reason }
    }
}

/// Change of a return: the decision about it, its arrival, or its end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ReturnChange))]
pub struct UpdateReturnForm {
    /// Status to change to.
    #[cfg_attr(feature = "openapi", schema(value_type = ReturnStatus))]
    pub status: Option<String>,
    /// With `received`: items that came back; by default all units, and none of them on hand again.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ReceivedItems>))]
    pub items: Option<Vec<ReceivedItemForm>>,
    /// Reason for the change; `rejected` needs it, and `cancelled` may have one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
}

/// An item that came back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ReceivedItem))]
pub struct ReceivedItemForm {
    /// Item of the return; each item stands once.
    #[cfg_attr(feature = "openapi", schema(value_type = ItemKind))]
    pub id: Option<String>,
    /// Units that came back, at most as many as were asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = ReceivedUnits))]
    pub received: Option<i64>,
    /// Units among them that are on hand again.
    #[cfg_attr(feature = "openapi", schema(value_type = ReceivedUnits))]
    pub restocked: Option<i64>,
}

impl ItemForm for ReceivedItemForm {
    type Checked = ReceivedItem;

    fn check(self, errors: &mut ValidationErrors) -> (Option<ItemId>, Option<ReceivedItem>) {
        let id = errors.required("/id", self.id, ids::parse);
        let received = errors.required("/received", self.received, ReceivedUnits::parse);
        let restocked = errors.required("/restocked", self.restocked, ReceivedUnits::parse);
        let units = received.zip(restocked);
        if let Some((received, restocked)) = units
            && restocked > received
        {
            errors.add("/restocked", format!("must be at most `received`: {received}; got {restocked}"));
        }
        let item = |(id, (received, restocked))| ReceivedItem { id, received, restocked };
        (id, id.zip(units).map(item))
    }
}

impl UpdateReturnForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<ReturnChange, Error> {
        let mut errors = ValidationErrors::default();
        let names_items = self.items.is_some();
        let status = errors.required("/status", self.status, |name| ReturnStatus::parse(&name));
        let items = self.items.map(|items| check_items(&mut errors, items));
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        let Some(status) = status else {
            return Err(errors.into_error());
        };
        if names_items && status != ReturnStatus::Received {
            errors.add("/items", "belongs to a change of status to received");
        }
        errors.check()?;
        Ok(ReturnChange { status, items, reason })
    }
}

impl From<wire::UpdateReturnRequest> for UpdateReturnForm {
    fn from(request: wire::UpdateReturnRequest) -> Self {
        let item = |item: wire::ReceivedItem| {
            let wire::ReceivedItem { id, received, restocked } = item;
            ReceivedItemForm { id, received, restocked }
        };
        let items = request.items.map(|items| items.items.into_iter().map(item).collect());
        Self { status: request.status, items, reason: request.reason }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::values::ids::example_of;

    use super::*;

    fn new(body: Value) -> Result<NewReturn, Error> {
        serde_json::from_value::<CreateReturnForm>(body).unwrap().check()
    }

    fn change(body: Value) -> Result<ReturnChange, Error> {
        serde_json::from_value::<UpdateReturnForm>(body).unwrap().check()
    }

    fn places<T: std::fmt::Debug>(checked: Result<T, Error>) -> Vec<String> {
        checked.unwrap_err().errors().iter().map(|error| error.pointer.clone()).collect()
    }

    /// Change to received, with these units of an item.
    fn received(received: i64, restocked: i64) -> Value {
        let item = json!({ "id": example_of("item"), "received": received, "restocked": restocked });
        json!({ "status": "received", "items": [item] })
    }

    #[test]
    fn a_return_names_its_items() {
        for bad in [json!({}), json!({ "items": null }), json!({ "items": [] })] {
            assert_eq!(places(new(bad.clone())), ["/items"], "{bad}");
        }
        assert_eq!(places(CreateReturnForm::from(wire::CreateReturnRequest::default()).check()), ["/items"]);
    }

    #[test]
    fn every_bad_item_of_a_return_is_named() {
        let item = example_of("item");
        let items = json!([
            { "id": item, "quantity": 1, "reason": "x".repeat(101) },
            { "id": "x", "quantity": 0 },
            { "id": item, "quantity": 10_001, "reason": " " },
            {},
        ]);
        let expected = [
            "/items/0/reason",
            "/items/1/id",
            "/items/1/quantity",
            "/items/2/quantity",
            "/items/2/reason",
            "/items/2/id",
            "/items/3/id",
            "/items/3/quantity",
        ];
        assert_eq!(places(new(json!({ "items": items }))), expected);
    }

    #[test]
    fn a_return_and_each_of_its_items_may_have_a_reason() {
        let item = json!({ "id": example_of("item"), "quantity": 2, "reason": "too small" });
        let checked = new(json!({ "items": [item], "reason": "does not fit" })).unwrap();
        assert_eq!(checked.reason.as_deref(), Some("does not fit"));
        assert_eq!(checked.items[0].reason.as_deref(), Some("too small"));
        assert_eq!(places(new(json!({ "items": [item], "reason": "x".repeat(501) }))), ["/reason"]);
    }

    #[test]
    fn a_change_of_a_return_needs_a_known_status() {
        for name in ["requested", "approved", "received", "cancelled"] {
            assert_eq!(change(json!({ "status": name })).unwrap().status.name(), name);
        }
        for bad in [json!({}), json!({ "status": null }), json!({ "status": "returned" })] {
            assert_eq!(places(change(bad.clone())), ["/status"], "{bad}");
        }
    }

    #[test]
    fn every_change_may_have_a_reason() {
        for status in ReturnStatus::ALL.map(ReturnStatus::name) {
            let checked = change(json!({ "status": status, "reason": "worn" })).unwrap();
            assert_eq!(checked.reason.as_deref(), Some("worn"), "{status}");
        }
        assert_eq!(places(change(json!({ "status": "rejected", "reason": " " }))), ["/reason"]);
    }

    #[test]
    fn items_belong_to_received_alone() {
        for status in ["requested", "approved", "cancelled"] {
            let mut bad = received(1, 0);
            bad["status"] = json!(status);
            assert_eq!(places(change(bad)), ["/items"], "{status}");
        }
        assert_eq!(places(change(json!({ "status": "received", "items": [] }))), ["/items"]);
        let items = Some(wire::ReceivedItems::default());
        let status = Some("received".to_owned());
        let message = wire::UpdateReturnRequest { status, items, ..Default::default() };
        assert_eq!(places(UpdateReturnForm::from(message).check()), ["/items"]);
        assert!(change(json!({ "status": "received" })).unwrap().items.is_none());
    }

    #[test]
    fn no_more_is_restocked_than_came_back() {
        for (units, restocked) in [(0, 0), (2, 0), (2, 2), (10_000, 10_000)] {
            let items = change(received(units, restocked)).unwrap().items.unwrap();
            assert_eq!((items[0].received, items[0].restocked), (units, restocked));
        }
        assert_eq!(places(change(received(1, 2))), ["/items/0/restocked"]);
        assert_eq!(places(change(received(-1, 0))), ["/items/0/received"]);
        assert_eq!(places(change(received(10_001, 0))), ["/items/0/received"]);
        assert_eq!(places(change(received(1, -1))), ["/items/0/restocked"]);
    }

    #[test]
    fn an_item_comes_back_once() {
        let item = json!({ "id": example_of("item"), "received": 1, "restocked": 0 });
        let twice = json!({ "status": "received", "items": [item, item, {}] });
        let expected = ["/items/1/id", "/items/2/id", "/items/2/received", "/items/2/restocked"];
        assert_eq!(places(change(twice)), expected);
    }
}
