//! Forms of the page and their handlers: count, add or take away, edit.

use axum::extract::Path;
use maud::{Markup, html};
use proto::common::v1::Money;
use proto::products::v1::{Product, UpdateProductRequest, UpdateStockRequest};
use shared::error::{Error, Kind};
use shared::input::validation::ValidationErrors;

use super::Shown;
use super::field::{Form, Inputs, Sent, hidden};
use crate::amount::{parse_amount, typed};
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::products;
use crate::texts::product as texts;

/// Renders the forms, one of them with what was sent.
pub(super) fn cards(visit: &Visit, product: &Product, sent: Option<&Sent<'_>>) -> Markup {
    html! {
        (count_card(visit, product, Inputs::of(Form::Count, sent)))
        (add_card(visit, product, Inputs::of(Form::Add, sent)))
        (edit_card(visit, product, Inputs::of(Form::Edit, sent)))
    }
}

fn count_card(visit: &Visit, product: &Product, inputs: Inputs<'_>) -> Markup {
    let on_hand = product.stock.unwrap_or_default().on_hand;
    let fields = html! {
        (version(product, inputs))
        (hidden("seen", &inputs.basis("seen", on_hand)))
        (inputs.units("on_hand", texts::COUNTED, false))
        (inputs.reason())
        div.actions { button { (texts::COUNT_BUTTON) } }
    };
    card(texts::COUNT, Some(texts::COUNT_HINT), &visit.form(&action(product, "/stock"), fields))
}

fn add_card(visit: &Visit, product: &Product, inputs: Inputs<'_>) -> Markup {
    let fields = html! {
        (version(product, inputs))
        (inputs.units("delta", texts::DELTA, true))
        (inputs.reason())
        div.actions { button { (texts::MOVE_BUTTON) } }
    };
    card(texts::MOVE, Some(texts::MOVE_HINT), &visit.form(&action(product, "/stock/delta"), fields))
}

fn edit_card(visit: &Visit, product: &Product, inputs: Inputs<'_>) -> Markup {
    let Money { amount, currency } = product.price.clone().unwrap_or_default();
    let price = typed(amount, &currency);
    let fields = html! {
        (version(product, inputs))
        (hidden("currency", &currency))
        (inputs.name(&product.name))
        (inputs.price(&currency, &price))
        (inputs.status(&product.status))
        div.actions { button { (texts::EDIT_BUTTON) } }
    };
    card(texts::EDIT, None, &visit.form(&action(product, ""), fields))
}

fn card(title: &str, hint: Option<&str>, form: &Markup) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            @if let Some(hint) = hint { p.muted { (hint) } }
            (form)
        }
    }
}

/// Version of the product, which a change must meet.
fn version(product: &Product, inputs: Inputs<'_>) -> Markup {
    hidden("version", &inputs.basis("version", product.version))
}

/// Path of a form, below that of the page.
fn action(product: &Product, below: &str) -> String {
    format!("{}{below}", products::path(&product.id))
}

/// Sets the units on hand.
pub(super) async fn count(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let changed = set_units(&visit, &id, &fields).await;
    answer(&visit, &id, Form::Count, &fields, changed).await
}

/// Adds units to those on hand, or takes some away.
pub(super) async fn add(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let changed = add_units(&visit, &id, &fields).await;
    answer(&visit, &id, Form::Add, &fields, changed).await
}

/// Changes the product itself.
pub(super) async fn edit(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let changed = save(&visit, &id, &fields).await;
    answer(&visit, &id, Form::Edit, &fields, changed).await
}

/// Redirects to the changed product, or shows the form again with the reason for its refusal.
async fn answer(
    visit: &Visit,
    id: &str,
    form: Form,
    fields: &Fields,
    changed: Result<Product, Error>,
) -> Answer {
    let error = match changed {
        Ok(product) => {
            let done = match form {
                Form::Count => "counted",
                Form::Add => "moved",
                Form::Edit => "saved",
            };
            return Ok(visit.redirect(&format!("{}?done={done}", products::path(&product.id))));
        }
        Err(error) => error,
    };
    let visit = visit.after(&error, fields);
    let note = html! {
        (layout::problem(&error))
        // An edit has no key.
        (layout::unknown(&error, form != Form::Edit))
    };
    // The product as it is now, beside the fields as they were sent.
    let (title, body) = match Shown::fetch(&visit, id, None).await {
        Ok(shown) => {
            let sent = Sent { form, fields, error: &error };
            let body = shown.body(&visit, &note, Some(&sent));
            (shown.product.name, body)
        }
        // Without the product there is no form to show, but its outcome must be told.
        Err(_) if layout::is_unknown(&error) => {
            let title = error.kind().title().to_owned();
            let body = html! { h1 { (title) } (note) };
            (title, body)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(visit.refused(&error, &title, Place::Products, body))
}

async fn set_units(visit: &Visit, id: &str, fields: &Fields) -> Result<Product, Error> {
    let on_hand = required_units(fields, "on_hand")?;
    let request = UpdateStockRequest { on_hand: Some(on_hand), ..stock_request(id, fields)? };
    if let Some(seen) = fields.number("seen")?
        && let Some(now) = moved_since(visit, &request, seen).await?
    {
        return Err(Error::new(Kind::VersionMismatch, texts::moved_since(seen, now)));
    }
    update_stock(visit, request, fields).await
}

/// Units on hand now, if a count is not for them: neither those that were seen nor those that were counted.
///
/// The version stays the same when an order is shipped: so a count may be of units that have left since. A count for
/// another version is left to the products function, which may know its key.
pub(crate) async fn moved_since(
    visit: &Visit,
    count: &UpdateStockRequest,
    seen: i64,
) -> Result<Option<i64>, Error> {
    let product = super::product(visit, &count.id).await?;
    let now = product.stock.unwrap_or_default().on_hand;
    let is_same = count.expected_version == Some(product.version);
    Ok(Some(now).filter(|_| is_same && now != seen && count.on_hand != Some(now)))
}

async fn add_units(visit: &Visit, id: &str, fields: &Fields) -> Result<Product, Error> {
    let delta = required_units(fields, "delta")?;
    let request = UpdateStockRequest { delta: Some(delta), ..stock_request(id, fields)? };
    update_stock(visit, request, fields).await
}

async fn update_stock(visit: &Visit, request: UpdateStockRequest, fields: &Fields) -> Result<Product, Error> {
    let sent = visit.products().update_stock(visit.request_once(request, fields)).await;
    Ok(sent.map_err(|status| in_words(status.into()))?.into_inner())
}

async fn save(visit: &Visit, id: &str, fields: &Fields) -> Result<Product, Error> {
    let currency = fields.get("currency").unwrap_or_default();
    let mut errors = ValidationErrors::default();
    let name = errors.required("/name", fields.get("name"), |name| Ok(name.to_owned()));
    let amount = errors.required("/price", fields.get("price"), |text| parse_amount(text, currency));
    errors.check()?;
    let request = UpdateProductRequest {
        id: id.to_owned(),
        name,
        price: amount.map(|amount| Money { amount, currency: currency.to_owned() }),
        status: fields.get("status").map(str::to_owned),
        expected_version: Some(expected_version(fields)?),
        ..Default::default()
    };
    let sent = visit.products().update_product(visit.request(request)).await;
    Ok(sent.map_err(|status| in_words(status.into()))?.into_inner())
}

/// Request with all that the two forms for stock share.
fn stock_request(id: &str, fields: &Fields) -> Result<UpdateStockRequest, Error> {
    Ok(UpdateStockRequest {
        id: id.to_owned(),
        on_hand: None,
        delta: None,
        reason: fields.get("reason").map(str::to_owned),
        expected_version: Some(expected_version(fields)?),
    })
}

/// Number of units in a field that must not be empty.
fn required_units(fields: &Fields, name: &str) -> Result<i64, Error> {
    let mut errors = ValidationErrors::default();
    let units = errors.required(&format!("/{name}"), fields.number(name)?, Ok);
    units.ok_or_else(|| errors.into_error())
}

/// Version that the page showed. No product has version 0: a form without a version changes nothing.
fn expected_version(fields: &Fields) -> Result<i64, Error> {
    Ok(fields.number("version")?.unwrap_or(0))
}

/// Error with a detail for people instead of programs.
fn in_words(error: Error) -> Error {
    match error.kind() {
        Kind::VersionMismatch => Error::new(Kind::VersionMismatch, texts::STALE),
        Kind::IdempotencyKeyReused => Error::new(Kind::IdempotencyKeyReused, texts::SENT_BEFORE),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required_and_whole() {
        let fields = Fields::of("/x", "on_hand=47&delta=-3&seen=&bad=4.5");
        assert_eq!(required_units(&fields, "on_hand").unwrap(), 47);
        assert_eq!(required_units(&fields, "delta").unwrap(), -3);
        for (name, expected) in [("seen", "/seen is required."), ("bad", "/bad must be a whole number.")] {
            assert_eq!(required_units(&fields, name).unwrap_err().detail(), expected);
        }
    }

    #[test]
    fn a_form_without_a_version_changes_nothing() {
        assert_eq!(expected_version(&Fields::of("/x", "version=7")).unwrap(), 7);
        assert_eq!(expected_version(&Fields::of("/x", "")).unwrap(), 0);
        assert!(expected_version(&Fields::of("/x", "version=x")).is_err());
    }

    #[test]
    fn a_stale_page_is_explained_in_words() {
        let stale = in_words(Error::new(Kind::VersionMismatch, "`If-Match` …"));
        assert!(stale.detail().starts_with("It was changed since you opened this page"));
        assert_eq!(stale.kind(), Kind::VersionMismatch);
        let other = in_words(Error::new(Kind::StockBelowReserved, "5 on hand, 3 reserved."));
        assert_eq!(other.detail(), "5 on hand, 3 reserved.");
    }
}
