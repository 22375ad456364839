//! What callers send about orders, in JSON or protobuf, until it is checked.

use std::collections::{BTreeMap, HashSet};

use proto::orders::v1 as wire;
use serde::Deserialize;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::{Patch, ValidationErrors};
use shared::rpc::convert;
use shared::values::address::AddressForm;
use shared::values::ids;
#[cfg(feature = "openapi")]
use shared::values::ids::{ProductKind, UserKind};
#[cfg(feature = "openapi")]
use shared::values::text::StringMap;
use shared::values::text::{self, Reason};

use crate::limits::{ExpiresAt, ExternalNumber, MAX_ITEMS, Note, Quantity, Reference, TrackingUrl};
use crate::order::{Details, NewItem, NewOrder, OrderChange, Tracking, Transition};
use crate::status::Status;

mod amounts;
mod cancellations;
mod fulfillments;
mod payments;
mod quantities;
mod returns;

pub use amounts::{DiscountForm, ShippingForm, TaxForm};
#[cfg(feature = "openapi")]
use amounts::{NewDiscounts, NewTaxes};
pub use cancellations::CreateCancellationForm;
pub use fulfillments::{CreateFulfillmentForm, NewTrackingForm, UpdateFulfillmentForm};
pub use payments::{CreatePaymentForm, CreateRefundForm, UpdateRefundForm};
pub use quantities::ItemQuantityForm;
pub use returns::{CreateReturnForm, NewReturnItemForm, ReceivedItemForm, UpdateReturnForm};

/// Items of an order.
#[cfg(feature = "openapi")]
type NewItems = shared::openapi::schemas::List<NewItemForm, 1, MAX_ITEMS>;

/// An order to be placed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewOrder))]
pub struct CreateOrderForm {
    /// Distinct products, all in one currency.
    #[cfg_attr(feature = "openapi", schema(value_type = NewItems))]
    pub items: Option<Vec<NewItemForm>>,
    /// Address to which it is shipped.
    #[cfg_attr(feature = "openapi", schema(value_type = AddressForm))]
    pub shipping_address: Option<AddressForm>,
    /// Address of the invoice, if it is another.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AddressForm>))]
    pub billing_address: Option<AddressForm>,
    /// Shipping and its amount. For staff.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ShippingForm>))]
    pub shipping: Option<ShippingForm>,
    /// Number of the order at another system, unique.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ExternalNumber>))]
    pub external_number: Option<String>,
    /// Note for the shop.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub note: Option<String>,
    /// Note of the shop, which customers never see. For staff.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub internal_note: Option<String>,
    /// User whose order it is; by default the caller. For staff.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<UserKind>))]
    pub user_id: Option<String>,
    /// Data of your own, of 16 KiB in all.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<StringMap>))]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Time at which it is cancelled if unpaid, up to 180 days ahead; null is never. For staff.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ExpiresAt>))]
    pub expires_at: Patch<String>,
}

impl Fingerprinted for CreateOrderForm {}

/// A product, and its quantity.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewItem))]
pub struct NewItemForm {
    /// An active product; each product stands in one item.
    #[cfg_attr(feature = "openapi", schema(value_type = ProductKind))]
    pub product_id: Option<String>,
    /// Units.
    #[cfg_attr(feature = "openapi", schema(value_type = Quantity))]
    pub quantity: Option<i64>,
    /// Discounts on all units; by default none. For staff.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<NewDiscounts>))]
    pub discounts: Option<Vec<DiscountForm>>,
    /// Taxes on all units; by default none. For staff.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<NewTaxes>))]
    pub taxes: Option<Vec<TaxForm>>,
}

impl CreateOrderForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewOrder, Error> {
        let mut errors = ValidationErrors::default();
        let items = check_items(&mut errors, self.items);
        let shipping_address = errors.required_part("/shipping_address", self.shipping_address);
        let billing_address = errors.part("/billing_address", self.billing_address);
        let shipping = errors.part("/shipping", self.shipping);
        let external_number =
            errors.optional("/external_number", self.external_number, ExternalNumber::parse);
        let note = errors.optional("/note", self.note, Note::parse);
        let internal_note = errors.optional("/internal_note", self.internal_note, Note::parse);
        let user_id = errors.optional("/user_id", self.user_id, ids::parse);
        let metadata = text::string_map(&mut errors, "/metadata", self.metadata.unwrap_or_default());
        let expires_at = errors.nullable("/expires_at", self.expires_at, ExpiresAt::parse);
        match shipping_address {
            Some(shipping_address) if errors.is_empty() => Ok(NewOrder {
                items,
                shipping_address,
                billing_address,
                shipping,
                external_number,
                note,
                internal_note,
                user_id,
                metadata,
                expires_at,
            }),
            _ => Err(errors.into_error()),
        }
    }
}

fn check_items(errors: &mut ValidationErrors, items: Option<Vec<NewItemForm>>) -> Vec<NewItem> {
    let Some(items) = items else {
        errors.add("/items", "is required");
        return Vec::new();
    };
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        errors.add("/items", format!("must have 1 to {MAX_ITEMS} items; got {}", items.len()));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut wanted = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        errors.nested(format_args!("/items/{place}"), |errors| {
            let product = errors.required("/product_id", item.product_id, ids::parse);
            let quantity = errors.required("/quantity", item.quantity, Quantity::parse);
            if product.is_some_and(|product| !seen.insert(product)) {
                errors.add("/product_id", "is in another item already; add up the quantities");
            }
            let amounts = amounts::check_item_amounts(errors, item.discounts, item.taxes);
            if let (Some(product_id), Some(quantity)) = (product, quantity) {
                wanted.push(NewItem { product_id, quantity, amounts });
            }
        });
    }
    wanted
}

impl From<wire::CreateOrderRequest> for CreateOrderForm {
    fn from(request: wire::CreateOrderRequest) -> Self {
        Self {
            items: Some(item_forms(request.items)),
            shipping_address: request.shipping_address.map(convert::address_form),
            billing_address: request.billing_address.map(convert::address_form),
            shipping: request.shipping.map(ShippingForm::from),
            external_number: request.external_number,
            note: request.note,
            internal_note: request.internal_note,
            user_id: request.user_id,
            metadata: Some(request.metadata),
            expires_at: Patch::from_masked(request.expires_at.map(time_form), request.never_expires),
        }
    }
}

fn item_forms(items: Vec<wire::NewOrderItem>) -> Vec<NewItemForm> {
    let form = |item: wire::NewOrderItem| NewItemForm {
        product_id: item.product_id,
        quantity: item.quantity,
        discounts: Some(item.discounts.into_iter().map(DiscountForm::from).collect()),
        taxes: Some(item.taxes.into_iter().map(TaxForm::from).collect()),
    };
    items.into_iter().map(form).collect()
}

/// Time of a message as text, which is checked as that of a body. One that is no time is no text of a time, either.
fn time_form(time: proto::Timestamp) -> String {
    convert::bound(time).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Fields to change. An absent field stays as it is; null clears an optional one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OrderChange))]
pub struct UpdateOrderForm {
    /// Status to change to.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Status))]
    pub status: Patch<String>,
    /// Reason for the change of status; belongs to `status`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reason>))]
    pub reason: Option<String>,
    /// With `returned`: whether the units are on hand again; by default not.
    pub restock: Option<bool>,
    /// All items, while it is placed; not together with `status`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = NewItems))]
    pub items: Patch<Vec<NewItemForm>>,
    /// Address to which it is shipped, as a whole.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = AddressForm))]
    pub shipping_address: Patch<AddressForm>,
    /// Address of the invoice, as a whole; null is none. For staff.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AddressForm>))]
    pub billing_address: Patch<AddressForm>,
    /// Shipping and its amount, beside `items`; null is none. For staff.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ShippingForm>))]
    pub shipping: Patch<ShippingForm>,
    /// Note for the shop.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub note: Patch<String>,
    /// Note of the shop, which customers never see. For staff.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub internal_note: Patch<String>,
    /// Data of your own, as a whole, of 16 KiB in all.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<StringMap>))]
    pub metadata: Patch<BTreeMap<String, String>>,
    /// Time at which it is cancelled if unpaid, up to 180 days ahead; null is never.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ExpiresAt>))]
    pub expires_at: Patch<String>,
    /// With `paid` and `refunded`.
    pub payment: Option<PaymentForm>,
    /// With `shipped`.
    pub tracking: Option<TrackingForm>,
}

/// Payment or refund of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentChange))]
pub struct PaymentForm {
    /// Reference of the payment; `paid` needs it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub reference: Option<String>,
    /// With `paid`: method of the payment, such as `card`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub method: Option<String>,
    /// Reference of the refund; `refunded` needs it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub refund_reference: Option<String>,
}

/// Tracking of a parcel. `shipped` needs carrier and number.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TrackingChange))]
pub struct TrackingForm {
    /// Carrier.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub carrier: Option<String>,
    /// Tracking number.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Reference>))]
    pub number: Option<String>,
    /// Address at which the parcel can be followed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<TrackingUrl>))]
    pub url: Option<String>,
}

/// Paths that an `update_mask` may name.
const UPDATABLE: [&str; 13] = [
    "status",
    "reason",
    "restock",
    "items",
    "shipping_address",
    "billing_address",
    "shipping",
    "note",
    "internal_note",
    "metadata",
    "expires_at",
    "payment",
    "tracking",
];

impl UpdateOrderForm {
    /// Fields that every caller of the route may write.
    pub const ORDINARY: &[&str] = &["reason", "items", "shipping_address", "note"];

    /// # Errors
    /// 422 with every error that does not depend on the order.
    pub fn check(self) -> Result<OrderChange, Error> {
        let mut errors = ValidationErrors::default();
        let named = self.status.is_present();
        let status = errors.change("/status", self.status, |name| Status::parse(&name));
        let reason = errors.optional("/reason", self.reason, Reason::parse);
        let items = match self.items {
            Patch::Absent => None,
            Patch::Null => {
                errors.add("/items", "cannot be null; omit it to keep its value");
                None
            }
            Patch::Value(items) => {
                if named {
                    errors.add("/items", "cannot be changed together with the status; send two requests");
                }
                Some(check_items(&mut errors, Some(items)))
            }
        };
        let payment = self.payment.map(|payment| {
            errors.nested("/payment", |errors| PaymentForm {
                reference: errors.optional("/reference", payment.reference, Reference::parse),
                method: errors.optional("/method", payment.method, Reference::parse),
                refund_reference: errors.optional(
                    "/refund_reference",
                    payment.refund_reference,
                    Reference::parse,
                ),
            })
        });
        let tracking = self.tracking.map(|tracking| {
            errors.nested("/tracking", |errors| TrackingForm {
                carrier: errors.optional("/carrier", tracking.carrier, Reference::parse),
                number: errors.optional("/number", tracking.number, Reference::parse),
                url: errors.optional("/url", tracking.url, TrackingUrl::parse),
            })
        });
        let metadata = text::string_map_change(&mut errors, "/metadata", self.metadata);
        let shipping_address = errors.change_part("/shipping_address", self.shipping_address);
        let billing_address = errors.nullable_part("/billing_address", self.billing_address);
        if self.shipping.is_present() && items.is_none() {
            errors.add("/shipping", "is changed together with `items`; send these, too");
        }
        let shipping = errors.nullable_part("/shipping", self.shipping);
        let note = errors.nullable("/note", self.note, Note::parse);
        let internal_note = errors.nullable("/internal_note", self.internal_note, Note::parse);
        if named && self.expires_at.is_present() {
            errors.add("/expires_at", "cannot be changed together with the status; send two requests");
        }
        let expires_at = errors.nullable("/expires_at", self.expires_at, ExpiresAt::parse);
        let details = Details {
            reference: payment.as_ref().and_then(|payment| payment.reference.clone()),
            method: payment.as_ref().and_then(|payment| payment.method.clone()),
            refund_reference: payment.as_ref().and_then(|payment| payment.refund_reference.clone()),
            carrier: tracking.as_ref().and_then(|tracking| tracking.carrier.clone()),
            tracking_number: tracking.as_ref().and_then(|tracking| tracking.number.clone()),
            tracking_url: tracking.as_ref().and_then(|tracking| tracking.url.clone()),
        };
        let transition = transition(status, payment, tracking, self.restock);
        if !named && reason.is_some() {
            errors.add("/reason", "belongs to a change of status");
        }
        // Alone these are a fault only when the order does not have the status already; without a status there
        // is none that it could have, and beside other errors they are reported, too.
        if let Err(more) = &transition
            && (!named || (status.is_some() && !errors.is_empty()))
        {
            errors.merge(more);
        }
        errors.check()?;
        let transition = if status.is_none() { Ok(None) } else { transition };
        Ok(OrderChange {
            status,
            transition,
            details,
            reason,
            shipping_address,
            billing_address,
            shipping,
            note,
            internal_note,
            metadata,
            expires_at,
            items,
        })
    }

    /// # Errors
    /// 422 for a mask that names other fields.
    pub fn from_message(request: wire::UpdateOrderRequest) -> Result<Self, Error> {
        let mask = convert::mask(request.update_mask, &UPDATABLE)?;
        let named = |field: &str| mask.iter().any(|path| path == field);
        let address = request.shipping_address.map(convert::address_form);
        let billing_address = request.billing_address.map(convert::address_form);
        let shipping = request.shipping.map(ShippingForm::from);
        let metadata = request.metadata.map(|map| map.entries);
        Ok(Self {
            status: Patch::from_masked(request.status, named("status")),
            reason: request.reason,
            restock: request.restock,
            items: Patch::from_masked(request.items.map(|items| item_forms(items.items)), named("items")),
            shipping_address: Patch::from_masked(address, named("shipping_address")),
            billing_address: Patch::from_masked(billing_address, named("billing_address")),
            shipping: Patch::from_masked(shipping, named("shipping")),
            note: Patch::from_masked(request.note, named("note")),
            internal_note: Patch::from_masked(request.internal_note, named("internal_note")),
            metadata: Patch::from_masked(metadata, named("metadata")),
            expires_at: Patch::from_masked(request.expires_at.map(time_form), named("expires_at")),
            payment: request.payment.map(|payment| PaymentForm {
                reference: payment.reference,
                method: payment.method,
                refund_reference: payment.refund_reference,
            }),
            tracking: request.tracking.map(|tracking| TrackingForm {
                carrier: tracking.carrier,
                number: tracking.number,
                url: tracking.url,
            }),
        })
    }
}

/// Transition to a status: its required fields must be there, and those of other statuses absent.
fn transition(
    status: Option<Status>,
    payment: Option<PaymentForm>,
    tracking: Option<TrackingForm>,
    restock: Option<bool>,
) -> Result<Option<Transition>, ValidationErrors> {
    let mut errors = ValidationErrors::default();
    if restock.is_some() && status != Some(Status::Returned) {
        errors.add("/restock", "belongs to a change of status to returned");
    }
    if tracking.is_some() && status != Some(Status::Shipped) {
        errors.add("/tracking", "belongs to a change of status to shipped");
    }
    if payment.is_some() && !matches!(status, Some(Status::Paid | Status::Refunded)) {
        errors.add("/payment", "belongs to a change of status to paid or refunded");
    }
    let transition = match status {
        // An order is placed by POST /orders alone; the state machine says so.
        // No client can name an unknown one.
        None | Some(Status::Placed | Status::Unknown(_)) => None,
        Some(Status::Paid) => pay(&mut errors, payment),
        Some(Status::Shipped) => ship(&mut errors, tracking),
        Some(Status::Delivered) => Some(Transition::Deliver),
        Some(Status::Cancelled) => Some(Transition::Cancel),
        Some(Status::Returned) => Some(Transition::Return { restock: restock.unwrap_or(false) }),
        Some(Status::Refunded) => refund(&mut errors, payment),
    };
    if errors.is_empty() { Ok(transition) } else { Err(errors) }
}

fn pay(errors: &mut ValidationErrors, payment: Option<PaymentForm>) -> Option<Transition> {
    let Some(payment) = payment else {
        errors.add("/payment", "is required for paid: {\"reference\": …}");
        return None;
    };
    if payment.refund_reference.is_some() {
        errors.add("/payment/refund_reference", "belongs to a change of status to refunded");
    }
    let reference = errors.required("/payment/reference", payment.reference, Ok)?;
    Some(Transition::Pay { reference, method: payment.method })
}

fn ship(errors: &mut ValidationErrors, tracking: Option<TrackingForm>) -> Option<Transition> {
    let Some(tracking) = tracking else {
        errors.add("/tracking", "is required for shipped: {\"carrier\": …, \"number\": …}");
        return None;
    };
    let carrier = errors.required("/tracking/carrier", tracking.carrier, Ok);
    let number = errors.required("/tracking/number", tracking.number, Ok);
    Some(Transition::Ship(Tracking { carrier: carrier?, number: number?, url: tracking.url }))
}

fn refund(errors: &mut ValidationErrors, payment: Option<PaymentForm>) -> Option<Transition> {
    let Some(payment) = payment else {
        errors.add("/payment", "is required for refunded: {\"refund_reference\": …}");
        return None;
    };
    for (pointer, value) in [("/payment/reference", &payment.reference), ("/payment/method", &payment.method)]
    {
        if value.is_some() {
            errors.add(pointer, "belongs to a change of status to paid");
        }
    }
    let reference = errors.required("/payment/refund_reference", payment.refund_reference, Ok)?;
    Some(Transition::Refund { reference })
}
