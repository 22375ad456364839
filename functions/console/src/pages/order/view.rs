//! Heading, facts, items and addresses of an order.

use maud::{Markup, html};
use proto::orders::v1::OrderItem;
use proto::users::v1::User;

use super::{Item, Page};
use crate::layout;
use crate::pages::users;
use crate::texts::order as texts;

/// Columns of the items: their headings, and true for numbers.
const COLUMNS: [(&str, bool); 9] = [
    (texts::ITEM, false),
    (texts::ORDERED, true),
    (texts::CANCELLED, true),
    (texts::SHIPPED, true),
    (texts::RETURNED, true),
    (texts::REFUNDED, true),
    (texts::LEFT, true),
    (texts::UNIT_PRICE, true),
    (texts::TOTAL, true),
];

impl Page<'_> {
    pub(super) fn heading(&self) -> Markup {
        let order = self.order;
        html! {
            h1 { (texts::title(&order.number)) }
            p.states {
                (state(texts::STATUS, &order.status)) " "
                (state(texts::PAYMENT_STATUS, &order.payment_status)) " "
                (state(texts::FULFILLMENT_STATUS, &order.fulfillment_status))
                @if order.return_status != "none" {
                    " " (state(texts::RETURN_STATUS, &order.return_status))
                }
            }
        }
    }

    pub(super) fn facts(&self, customer: Option<&User>) -> Markup {
        let order = self.order;
        let orders_of = self.visit.path(&format!("/console/orders?user_id={}", order.user_id));
        let page_of = self.visit.path(&users::path(&order.user_id));
        html! {
            section aria-labelledby="facts" {
                h2 #facts { (texts::FACTS) }
                dl.facts {
                    dt { (texts::ID) }
                    dd { code { (order.id) } }
                    dt { (texts::PLACED) }
                    dd { (layout::time(order.created_at.as_ref())) }
                    dt { (texts::UPDATED) }
                    dd { (layout::time(order.updated_at.as_ref())) }
                    @if order.status == "placed" {
                        dt { (texts::EXPIRES) }
                        dd {
                            @match &order.expires_at {
                                Some(at) => { (layout::time(Some(at))) }
                                None => { (texts::NEVER) }
                            }
                        }
                    }
                    dt { (texts::CUSTOMER) }
                    dd {
                        @if let Some(customer) = customer {
                            a href=(page_of) { bdi { (customer.name) } } ", " (customer.email) br;
                        }
                        code { (order.user_id) } " "
                        a href=(orders_of) { (texts::ORDERS_OF_CUSTOMER) }
                    }
                    (optional(texts::EXTERNAL_NUMBER, order.external_number.as_deref()))
                    (optional(texts::NOTE, order.note.as_deref()))
                    (optional(texts::INTERNAL_NOTE, order.internal_note.as_deref()))
                    @for (name, value) in &order.metadata {
                        dt { code { (name) } }
                        dd.lines { (value) }
                    }
                }
            }
        }
    }

    pub(super) fn item_table(&self) -> Markup {
        html! {
            section aria-labelledby="items" {
                h2 #items { (texts::ITEMS) }
                table.list {
                    thead {
                        tr {
                            @for (heading, is_number) in COLUMNS {
                                th scope="col" class=[is_number.then_some("number")] { (heading) }
                            }
                        }
                    }
                    tbody { @for item in &self.items { (self.item(item)) } }
                }
            }
        }
    }

    fn item(&self, Item { item, left, .. }: &Item<'_>) -> Markup {
        let product = self.visit.path(&format!("/console/products/{}", item.product_id));
        let units = [
            (texts::ORDERED, item.quantity),
            (texts::CANCELLED, item.cancelled),
            (texts::SHIPPED, item.shipped),
            (texts::RETURNED, item.returned),
            (texts::REFUNDED, item.refunded),
            (texts::LEFT, *left),
        ];
        html! {
            tr {
                td data-label=(texts::ITEM) {
                    a href=(product) { (item.name) } " " code { (item.sku) }
                    (self.amounts(item))
                }
                @for (label, units) in units { td.number data-label=(label) { (units) } }
                td.number data-label=(texts::UNIT_PRICE) { (layout::money_of(item.unit_price.as_ref())) }
                td.number data-label=(texts::TOTAL) { (layout::money_of(item.total.as_ref())) }
            }
        }
    }

    /// Renders the discounts and taxes of an item.
    fn amounts(&self, item: &OrderItem) -> Markup {
        let currency = self.currency();
        html! {
            @for discount in &item.discounts {
                br;
                span.muted { (texts::discount(&discount.label)) ": " (layout::money(discount.amount, currency)) }
            }
            @for tax in &item.taxes {
                br;
                span.muted {
                    (texts::tax(&tax.label, &tax.rate, tax.included)) ": " (layout::money(tax.amount, currency))
                }
            }
        }
    }

    pub(super) fn addresses(&self) -> Markup {
        let (shipping, billing) = (&self.order.shipping_address, &self.order.billing_address);
        html! {
            section aria-labelledby="addresses" {
                h2 #addresses { (texts::ADDRESSES) }
                div.cards {
                    section.card {
                        h3 { (texts::SHIPPING_ADDRESS) }
                        @if let Some(address) = shipping { (layout::address(address)) }
                    }
                    section.card {
                        h3 { (texts::BILLING_ADDRESS) }
                        @match billing {
                            Some(address) => { (layout::address(address)) }
                            None => { p.muted { (texts::SAME_ADDRESS) } }
                        }
                    }
                }
            }
        }
    }
}

/// Renders a status with what it is of: several may have the same word.
fn state(label: &str, status: &str) -> Markup {
    html! { span { span.muted { (label) } " " (layout::badge(status)) } }
}

/// Renders a fact that may be absent.
fn optional(label: &str, text: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = text {
            dt { (label) }
            dd.lines { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::common::v1::Address;

    use super::*;

    #[test]
    fn an_address_has_a_line_for_each_part() {
        let address = Address {
            line1: "1 <Way>".to_owned(),
            city: "Bonn".to_owned(),
            postal_code: Some("53111".to_owned()),
            country: "DE".to_owned(),
            name: Some("Ada".to_owned()),
            ..Address::default()
        };
        let expected = "<address>Ada<br>1 &lt;Way&gt;<br>53111 Bonn<br>DE<br></address>";
        assert_eq!(layout::address(&address).into_string(), expected);
        let bare = Address { postal_code: None, ..address };
        assert!(layout::address(&bare).into_string().contains("<br>Bonn<br>"));
    }
}
