//! One packing slip: the address, and the units that are left to ship. It has no prices and no internal note.

use maud::{Markup, html};
use proto::orders::v1::Order;

use super::super::shipping::left;
use super::super::table;
use crate::http::Visit;
use crate::layout;
use crate::texts::slips as texts;

/// Renders the slip of an order.
pub(super) fn slip(visit: &Visit, order: &Order) -> Markup {
    let heading = format!("slip-{}", order.id);
    html! {
        article.slip aria-labelledby=(heading) {
            h2 id=(heading) {
                a href=(visit.path(&table::path(&order.id))) { (texts::heading(&order.number)) }
            }
            (content(order))
        }
    }
}

fn content(order: &Order) -> Markup {
    html! {
        div.slip-facts {
            div {
                h3 { (texts::RECIPIENT) }
                @if let Some(address) = &order.shipping_address { (layout::address(address)) }
            }
            dl.facts {
                dt { (texts::PLACED) }
                dd { (layout::time(order.created_at.as_ref())) }
                @if let Some(shipping) = &order.shipping {
                    dt { (texts::SHIPPING) }
                    dd { (shipping.label) }
                }
            }
        }
        (items(order))
        @if let Some(note) = &order.note {
            h3 { (texts::NOTE) }
            p.lines { (note) }
        }
    }
}

fn items(order: &Order) -> Markup {
    let all = left::items(order).map(|(_, units)| units).fold(0, i64::saturating_add);
    html! {
        table.slip-items {
            thead {
                tr {
                    th scope="col" { span.visually-hidden { (texts::PACKED) } }
                    th scope="col" { (texts::SKU) }
                    th scope="col" { (texts::NAME) }
                    th.number scope="col" { (texts::UNITS) }
                }
            }
            tbody {
                @for (item, units) in left::items(order) {
                    tr {
                        // To be ticked on paper.
                        td { span.tick aria-hidden="true" {} }
                        td { code { (item.sku) } }
                        td { (item.name) }
                        td.number { (units) }
                    }
                }
            }
            // As a body of its own: a foot would be repeated on each sheet of a long slip.
            tbody {
                tr {
                    th scope="row" colspan="3" { (texts::IN_ALL) }
                    td.number { (all) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::common::v1::{Address, Money};
    use proto::orders::v1::{OrderItem, Shipping};

    use super::*;

    fn order() -> Order {
        let item = |sku: &str, quantity, cancelled, shipped| OrderItem {
            sku: sku.to_owned(),
            name: "<b>Mug</b>".to_owned(),
            quantity,
            cancelled,
            shipped,
            unit_price: Some(Money { amount: 500, currency: "EUR".to_owned() }),
            ..Default::default()
        };
        Order {
            items: vec![item("LEFT", 9, 1, 3), item("GONE", 2, 0, 2), item("ALL", 4, 0, 0)],
            shipping_address: Some(Address {
                name: Some("Ada <i>".to_owned()),
                line1: "1 Way".to_owned(),
                city: "Bonn".to_owned(),
                postal_code: Some("53111".to_owned()),
                country: "DE".to_owned(),
                ..Default::default()
            }),
            shipping: Some(Shipping { label: "Express".to_owned(), amount: 700, ..Default::default() }),
            note: Some("ring <twice>".to_owned()),
            internal_note: Some("never print".to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn a_slip_has_the_units_that_are_left_and_no_price() {
        let slip = content(&order()).into_string();
        for part in [
            ">LEFT<",
            "<td class=\"number\">5</td>",
            "<td class=\"number\">4</td>",
            "<td class=\"number\">9</td>",
            "&lt;b&gt;Mug&lt;/b&gt;",
            "Express",
            "<address>Ada &lt;i&gt;<br>1 Way<br>53111 Bonn<br>DE<br></address>",
            "ring &lt;twice&gt;",
        ] {
            assert!(slip.contains(part), "{part} in {slip}");
        }
        for absent in ["GONE", "EUR", "500", "700", "never print"] {
            assert!(!slip.contains(absent), "{absent} in {slip}");
        }
    }

    #[test]
    fn a_slip_without_a_note_has_no_heading_for_it() {
        let slip = content(&Order { note: None, ..order() }).into_string();
        assert!(!slip.contains(texts::NOTE), "{slip}");
    }
}
