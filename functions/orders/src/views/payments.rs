//! Answers about money: payments, refunds and sums.

use proto::orders::v1 as wire;
use serde::Serialize;
use shared::auth::Caller;
use shared::rpc::convert;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::{PaymentKind, RefundKind, ReturnKind};

#[cfg(feature = "openapi")]
use super::Actor;
use super::quantities::{ItemQuantityJson, item_quantity};
use crate::order::{Payment, Refund, Totals, actor_label};

/// A payment of an order, or of a part of it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Payment))]
pub(crate) struct PaymentJson {
    /// ID of the payment.
    #[cfg_attr(feature = "openapi", schema(value_type = PaymentKind))]
    id: String,
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// Reference at the payment provider, unique within the provider.
    reference: String,
    /// Method of the payment.
    method: Option<String>,
    /// Payment provider.
    provider: Option<String>,
    /// Time at which it was recorded.
    created_at: Timestamp,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
}

/// A refund of payments, or of a part of them.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Refund))]
pub(crate) struct RefundJson {
    /// ID of the refund.
    #[cfg_attr(feature = "openapi", schema(value_type = RefundKind))]
    id: String,
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// Refunded items; none for a refund by amount.
    items: Vec<ItemQuantityJson>,
    /// True if it refunds the shipping.
    shipping: bool,
    /// Reason for the refund.
    reason: Option<String>,
    /// Reference at the payment provider.
    reference: Option<String>,
    /// Payment that is refunded; null is any.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PaymentKind>))]
    payment_id: Option<String>,
    /// Return that is refunded, if it is of one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ReturnKind>))]
    return_id: Option<String>,
    /// Time at which it was recorded.
    created_at: Timestamp,
    /// A user, `system`, or `staff` where a customer looks.
    #[cfg_attr(feature = "openapi", schema(value_type = Actor))]
    by: String,
}

/// A refund that is not recorded.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefundPreview))]
pub(crate) struct RefundPreviewJson {
    /// Minor units of the order's currency.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    amount: i64,
    /// Items that it would refund.
    items: Vec<ItemQuantityJson>,
    /// True if it would refund the shipping.
    shipping: bool,
}

/// Sums of an order, in minor units of its currency.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Totals))]
pub(super) struct TotalsJson {
    /// Prices of all items.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    items: i64,
    /// Discounts.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    discounts: i64,
    /// Shipping, without its taxes.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    shipping: i64,
    /// Taxes that are not included in prices.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    tax: i64,
    /// Taxes that are included in prices.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    tax_included: i64,
    /// `items - discounts + shipping + tax`.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    total: i64,
    /// Part of the total that is cancelled.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    cancelled: i64,
    /// Sum of all payments.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    paid: i64,
    /// Sum of all refunds.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    refunded: i64,
    /// Amount that is still to be paid.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    due: i64,
    /// Amount that is still to be refunded.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    refund_due: i64,
}

impl PaymentJson {
    /// The payment as this caller may see it.
    pub(crate) fn of(payment: Payment, caller: Caller) -> Self {
        Self {
            id: payment.id.to_string(),
            amount: payment.amount,
            reference: payment.reference,
            method: payment.method,
            provider: payment.provider,
            created_at: payment.created_at,
            by: actor_label(payment.by, caller),
        }
    }
}

impl RefundJson {
    /// The refund as this caller may see it.
    pub(crate) fn of(refund: Refund, caller: Caller) -> Self {
        Self {
            id: refund.id.to_string(),
            amount: refund.amount,
            items: refund.items.into_iter().map(ItemQuantityJson::from).collect(),
            shipping: refund.shipping,
            reason: refund.reason,
            reference: refund.reference,
            payment_id: refund.payment_id.map(|id| id.to_string()),
            return_id: refund.return_id.map(|id| id.to_string()),
            created_at: refund.created_at,
            by: actor_label(refund.by, caller),
        }
    }
}

impl From<Refund> for RefundPreviewJson {
    fn from(refund: Refund) -> Self {
        let items = refund.items.into_iter().map(ItemQuantityJson::from).collect();
        Self { amount: refund.amount, items, shipping: refund.shipping }
    }
}

impl From<Totals> for TotalsJson {
    fn from(totals: Totals) -> Self {
        let Totals { items, discounts, shipping, tax, tax_included, total, .. } = totals;
        let Totals { cancelled, paid, refunded, due, refund_due, .. } = totals;
        Self {
            items,
            discounts,
            shipping,
            tax,
            tax_included,
            total,
            cancelled,
            paid,
            refunded,
            due,
            refund_due,
        }
    }
}

/// The message for a payment, as this caller may see it.
pub(crate) fn payment_message(payment: Payment, caller: Caller) -> wire::Payment {
    wire::Payment {
        id: payment.id.to_string(),
        amount: payment.amount,
        reference: payment.reference,
        method: payment.method,
        provider: payment.provider,
        created_at: Some(convert::timestamp(payment.created_at)),
        by: actor_label(payment.by, caller),
    }
}

/// The message for a refund, as this caller may see it.
pub(crate) fn refund_message(refund: Refund, caller: Caller) -> wire::Refund {
    wire::Refund {
        id: refund.id.to_string(),
        amount: refund.amount,
        items: refund.items.into_iter().map(item_quantity).collect(),
        shipping: refund.shipping,
        reason: refund.reason,
        reference: refund.reference,
        payment_id: refund.payment_id.map(|id| id.to_string()),
        return_id: refund.return_id.map(|id| id.to_string()),
        created_at: Some(convert::timestamp(refund.created_at)),
        by: actor_label(refund.by, caller),
    }
}

/// The message for a refund that is not recorded.
pub(crate) fn refund_preview_message(refund: Refund) -> wire::RefundPreview {
    let items = refund.items.into_iter().map(item_quantity).collect();
    wire::RefundPreview { amount: refund.amount, items, shipping: refund.shipping }
}

/// The message for the sums of an order.
pub(super) fn totals_message(totals: Totals) -> wire::Totals {
    let Totals { items, discounts, shipping, tax, tax_included, total, .. } = totals;
    let Totals { cancelled, paid, refunded, due, refund_due, .. } = totals;
    wire::Totals {
        items,
        discounts,
        shipping,
        tax,
        tax_included,
        total,
        cancelled,
        paid,
        refunded,
        due,
        refund_due,
    }
}
