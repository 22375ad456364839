//! The frame of every page, and the components that pages share.

use maud::{DOCTYPE, Markup, html};
use proto::common::v1::{Address, Money};
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::values::clock::Timestamp;
use time::OffsetDateTime;

use crate::amount::decimals;
use crate::{assets, http, texts};

/// Entry of the navigation that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Orders.
    Orders,
    /// Products.
    Products,
    /// Users.
    Users,
    /// Health of the shop.
    Health,
    /// No entry.
    None,
}

/// Entries of the navigation.
const PLACES: [(Place, &str, &str); 4] = [
    (Place::Orders, http::START, texts::ORDERS),
    (Place::Products, "/console/products", texts::PRODUCTS),
    (Place::Users, "/console/users", texts::USERS),
    (Place::Health, "/console/health", texts::HEALTH),
];

/// Renders a document. Navigation and account are for signed-in users.
pub(crate) fn frame(
    base_path: &BasePath,
    title: &str,
    signed_in: Option<(Place, Markup)>,
    body: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(texts::LANGUAGE) {
            head {
                meta charset="utf-8";
                title { (title) " · " (texts::CONSOLE) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href=(base_path.of(assets::icon())) type="image/svg+xml";
                link rel="stylesheet" href=(base_path.of(assets::styles()));
                @if signed_in.is_some() {
                    meta name="htmx-config" content=(assets::HTMX_CONFIG);
                    @for script in assets::scripts() {
                        script defer src=(base_path.of(&script.path)) integrity=(script.integrity) {}
                    }
                }
            }
            body {
                a.skip href="#content" { (texts::SKIP) }
                header.bar {
                    a.brand href=(base_path.of(http::START)) {
                        img src=(base_path.of(assets::icon())) alt="" width="24" height="24";
                        span { (texts::CONSOLE) }
                    }
                    @if let Some((here, account)) = &signed_in {
                        nav.places aria-label=(texts::NAVIGATION) {
                            @for (place, path, name) in PLACES {
                                a href=(base_path.of(path)) aria-current=[(place == *here).then_some("page")] {
                                    (name)
                                }
                            }
                        }
                        (account)
                    }
                }
                main #content tabindex="-1" { (body) }
            }
        }
    }
}

/// Renders an amount of minor units: `EUR 12.34`, `JPY 500`, `KWD 1.234`.
pub(crate) fn money(amount: i64, currency: &str) -> Markup {
    html! { span.money { (amount_text(amount, currency)) } }
}

/// Renders money; a dash if it is absent.
pub(crate) fn money_of(money: Option<&Money>) -> Markup {
    match money {
        Some(it) => self::money(it.amount, &it.currency),
        None => html! { (texts::NONE) },
    }
}

/// Amount with its currency, as text. An unknown currency has no decimals.
pub(crate) fn amount_text(amount: i64, currency: &str) -> String {
    let digits = decimals(currency);
    let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    let unit = 10_u64.saturating_pow(u32::try_from(digits).unwrap_or(0));
    if digits == 0 {
        return format!("{currency} {sign}{amount}");
    }
    let (whole, rest) = (amount / unit, amount % unit);
    format!("{currency} {sign}{whole}.{rest:0width$}", width = digits)
}

/// Renders a time as `1 Dec 2026, 09:30 UTC`, with the exact one in its title; a dash if it is absent.
pub(crate) fn time(at: Option<&proto::Timestamp>) -> Markup {
    let Some(at) = at else { return html! { (texts::NONE) } };
    let millis = at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000);
    let exact = Timestamp::from_millis(millis).to_string();
    html! { time datetime=(exact) title=(exact) { (time_text(at.seconds).as_deref().unwrap_or(&exact)) } }
}

/// Time for reading. `None` beyond the years that have one.
fn time_text(seconds: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let month: String = at.month().to_string().chars().take(3).collect();
    Some(format!("{} {month} {}, {:02}:{:02} UTC", at.day(), at.year(), at.hour(), at.minute()))
}

/// Renders a status as a word with a colour. The word alone says it.
pub(crate) fn badge(status: &str) -> Markup {
    html! { span class={ "badge badge-" (status) } { (status.replace('_', " ")) } }
}

/// Renders a refusal: title, detail, and the fault of each field.
pub(crate) fn problem(error: &Error) -> Markup {
    html! {
        div.problem role="alert" {
            p { strong { (error.kind().title()) } }
            (explanation(error))
        }
    }
}

/// Title of a page that shows a refusal.
pub(crate) fn title_of_refusal(title: &str) -> String {
    texts::order::refused(title)
}

/// True if it is unknown whether a change was made that has this error.
pub(crate) fn is_unknown(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Internal)
}

/// Renders what to do about a change of unknown outcome. `is_once`: the key of its form is one of the change, too.
pub(crate) fn unknown(error: &Error, is_once: bool) -> Markup {
    html! {
        @if is_unknown(error) {
            p { (if is_once { texts::order::UNKNOWN_ONCE } else { texts::order::UNKNOWN }) }
        }
    }
}

/// Renders the detail of an error, or the fault of each field.
pub(crate) fn explanation(error: &Error) -> Markup {
    html! {
        @if error.errors().is_empty() {
            p { (error.detail()) }
        } @else {
            ul {
                @for fault in error.errors() { li { (place(&fault.pointer)) " " (fault.detail) } }
            }
        }
    }
}

/// Renders the place of a value: `items › 1 › quantity` of `/items/0/quantity`.
fn place(pointer: &str) -> Markup {
    let words: Vec<String> = pointer.split('/').filter(|word| !word.is_empty()).map(word).collect();
    html! {
        @if words.is_empty() { (texts::FORM) } @else { strong { (words.join(" › ")) } }
    }
}

/// Word of a pointer. Elements of a list are counted from 1.
fn word(word: &str) -> String {
    match word.parse::<u64>() {
        Ok(index) => index.saturating_add(1).to_string(),
        Err(_) => word.replace('_', " "),
    }
}

/// Renders an address, a line for each of its parts.
pub(crate) fn address(address: &Address) -> Markup {
    let postal_code = address.postal_code.as_deref().unwrap_or_default();
    let city = format!("{postal_code} {}", address.city);
    let lines = [
        address.name.as_deref(),
        address.company.as_deref(),
        Some(address.line1.as_str()),
        address.line2.as_deref(),
        Some(city.trim()),
        address.region.as_deref(),
        Some(address.country.as_str()),
        address.phone.as_deref(),
    ];
    html! {
        address {
            @for line in lines.into_iter().flatten() { (line) br; }
        }
    }
}

/// Renders the outcome of a form.
pub(crate) fn done(text: &str) -> Markup {
    html! { p.done role="status" { (text) } }
}

/// Renders an input with its label.
pub(crate) fn field(label: &str, input: Markup) -> Markup {
    html! { label.field { span { (label) } " " (input) } }
}

#[cfg(test)]
mod tests {
    use shared::input::validation::{FieldError, NamedBy};

    use super::*;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        for (amount, currency, expected) in [
            (1234, "EUR", "EUR 12.34"),
            (5, "EUR", "EUR 0.05"),
            (-5, "EUR", "EUR -0.05"),
            (0, "EUR", "EUR 0.00"),
            (500, "JPY", "JPY 500"),
            (1234, "KWD", "KWD 1.234"),
            (7, "KWD", "KWD 0.007"),
            (i64::MIN, "JPY", "JPY -9223372036854775808"),
            (i64::MAX, "EUR", "EUR 92233720368547758.07"),
            (12, "???", "??? 12"),
        ] {
            assert_eq!(amount_text(amount, currency), expected);
        }
        assert_eq!(money_of(None).into_string(), "–");
        let money = Money { amount: 1234, currency: "EUR".to_owned() };
        assert_eq!(money_of(Some(&money)).into_string(), "<span class=\"money\">EUR 12.34</span>");
    }

    #[test]
    fn a_time_is_read_in_utc_and_exact_in_its_title() {
        let at = proto::Timestamp { seconds: 1_796_117_400, nanos: 7_000_000 };
        let exact = "2026-12-01T09:30:00.007Z";
        assert_eq!(
            time(Some(&at)).into_string(),
            format!("<time datetime=\"{exact}\" title=\"{exact}\">1 Dec 2026, 09:30 UTC</time>")
        );
        assert_eq!(time(None).into_string(), "–");
        let never = proto::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(time(Some(&never)).into_string().contains("9999-12-31"));
    }

    #[test]
    fn a_badge_says_its_status_in_words() {
        let badge = badge("partially_shipped").into_string();
        assert_eq!(badge, "<span class=\"badge badge-partially_shipped\">partially shipped</span>");
    }

    #[test]
    fn a_problem_names_each_field_and_is_escaped() {
        let fault = FieldError::new("/items/0/unit_price", "must be <1>", NamedBy::Code);
        let problem = problem(&Error::validation(vec![fault])).into_string();
        assert!(problem.contains("<strong>items › 1 › unit price</strong> must be &lt;1&gt;"), "{problem}");
        let plain = super::problem(&Error::new(Kind::Forbidden, "a & b")).into_string();
        assert!(plain.contains("<p>a &amp; b</p>") && plain.contains("role=\"alert\""), "{plain}");
    }

    #[test]
    fn an_unknown_outcome_has_its_advice() {
        for (kind, is_once, expected) in [
            (
                Kind::Unavailable,
                true,
                "<p>It is unknown whether this was done. Sending the same form again is safe.</p>",
            ),
            (Kind::Internal, false, "<p>Reload the page to see whether it was done.</p>"),
            (Kind::Forbidden, true, ""),
        ] {
            assert_eq!(unknown(&Error::new(kind, "x"), is_once).into_string(), expected);
        }
    }

    #[test]
    fn the_page_of_the_navigation_is_marked() {
        let shown = |here| frame(&BasePath::default(), "T", Some((here, html! {})), &html! {}).into_string();
        assert!(shown(Place::Orders).contains("href=\"/console/orders\" aria-current=\"page\""));
        assert!(!shown(Place::None).contains("aria-current"));
        let signed_out = frame(&BasePath::default(), "T", None, &html! {}).into_string();
        assert!(!signed_out.contains("<nav") && !signed_out.contains("<script"));
    }
}
