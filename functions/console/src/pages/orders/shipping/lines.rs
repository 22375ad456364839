//! Lines of parcels: an order number, a tracking number, and maybe carrier and URL.

use proto::orders::v1::Tracking;
use shared::error::Error;
use shared::values::text::Line as LineRule;

use crate::pages::pasted::{self, SEPARATORS};
use crate::texts::shipping as texts;

/// Rule for a carrier and a tracking number, as the API has it.
pub(super) type Reference = LineRule<1, 100>;

/// Rule for a URL here. The API says more of it.
type Url = LineRule<1, 2_000>;

/// Line of a parcel.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Number of the line in the text, from 1.
    pub(super) line: usize,
    /// Order number, as it was typed.
    pub(super) number: String,
    /// Tracking of the parcel, or the line's problem.
    pub(super) parcel: Result<Tracking, String>,
}

/// Reads lines; empty ones are left out. `carrier` is for lines without one.
///
/// # Errors
/// 422 for no line at all, and for too many.
pub(super) fn read(text: &str, carrier: Option<&str>) -> Result<Vec<Line>, Error> {
    let numbered = pasted::lines(text)?.into_iter();
    let mut lines: Vec<Line> = numbered.map(|(line, text)| read_line(line, text, carrier)).collect();
    let names: Vec<(usize, String)> = lines.iter().map(|line| (line.line, canonical(&line.number))).collect();
    let repeated = pasted::repeated(names.iter().map(|(line, name)| (*line, name.as_str())));
    for (line, (_, name)) in lines.iter_mut().zip(&names) {
        if let Some(same) = repeated.get(name) {
            line.parcel = Err(texts::on_several_lines(same));
        }
    }
    Ok(lines)
}

fn read_line(line: usize, text: &str, carrier: Option<&str>) -> Line {
    // The first separator of a line is the one of all its values, so that others may be in them. The URL is the rest.
    let separator = text.chars().find(|character| SEPARATORS.contains(character)).unwrap_or('\t');
    let mut values = text.splitn(4, separator).map(str::trim);
    let number = values.next().unwrap_or_default().to_owned();
    let mut value = || values.next().filter(|value| !value.is_empty());
    let (tracking, own_carrier, url) = (value(), value(), value());
    Line { line, number, parcel: parcel(tracking, own_carrier.or(carrier), url) }
}

/// Tracking of these values.
fn parcel(number: Option<&str>, carrier: Option<&str>, url: Option<&str>) -> Result<Tracking, String> {
    let number = number.ok_or_else(|| texts::NO_TRACKING_NUMBER.to_owned())?;
    let number = Reference::parse(number.to_owned()).map_err(|rule| texts::bad_tracking_number(&rule))?;
    let carrier = carrier.ok_or_else(|| texts::NO_CARRIER.to_owned())?;
    let carrier = Reference::parse(carrier.to_owned()).map_err(|rule| texts::bad_carrier(&rule))?;
    let url = url.map(|url| Url::parse(url.to_owned()).map_err(|rule| texts::bad_url(&rule))).transpose()?;
    if url.as_deref().is_some_and(|url| !url.starts_with("https://")) {
        return Err(texts::NO_URL.to_owned());
    }
    Ok(Tracking { carrier: Some(carrier), number: Some(number), url })
}

/// True for two ways to type one order number.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

/// Order number in one form: people type it in any case, without its dash, and with letters that look like digits.
fn canonical(number: &str) -> String {
    let upper = number.to_uppercase().replace(['I', 'L'], "1").replace('O', "0");
    upper.chars().filter(|character| *character != '-').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcels(text: &str, carrier: Option<&str>) -> Vec<Result<Tracking, String>> {
        read(text, carrier).unwrap().into_iter().map(|line| line.parcel).collect()
    }

    fn tracking(number: &str, carrier: &str, url: Option<&str>) -> Result<Tracking, String> {
        let url = url.map(str::to_owned);
        Ok(Tracking { carrier: Some(carrier.to_owned()), number: Some(number.to_owned()), url })
    }

    #[test]
    fn a_line_has_numbers_and_maybe_carrier_and_url() {
        let url = "https://a.example/?b=1,2;3";
        let text = format!("A\t1\tDHL, Express\t{url}\r\n\nB;2;DHL;{url}\nC , 3\nD,4,,\nE\t5\t\t{url}");
        let expected = [
            tracking("1", "DHL, Express", Some(url)),
            tracking("2", "DHL", Some(url)),
            tracking("3", "UPS", None),
            tracking("4", "UPS", None),
            tracking("5", "UPS", Some(url)),
        ];
        assert_eq!(parcels(&text, Some("UPS")), expected);
        let numbers: Vec<_> = read(&text, None).unwrap().into_iter().map(|it| (it.line, it.number)).collect();
        let expected = [(1_usize, "A"), (3, "B"), (4, "C"), (5, "D"), (6, "E")];
        assert_eq!(numbers, expected.map(|(line, number)| (line, number.to_owned())));
    }

    #[test]
    fn a_bad_parcel_is_a_problem_of_its_line() {
        let long = "x".repeat(101);
        let (long_number, long_carrier) = (format!("A;{long};DHL"), format!("A;1;{long}"));
        for (line, problem) in [
            ("A", texts::NO_TRACKING_NUMBER),
            ("A;", texts::NO_TRACKING_NUMBER),
            ("A;;DHL", texts::NO_TRACKING_NUMBER),
            ("A;1", texts::NO_CARRIER),
            ("A;1;;", texts::NO_CARRIER),
            ("A;1;DHL;http://a.example", texts::NO_URL),
            ("A;1;DHL;javascript:alert(1)", texts::NO_URL),
            ("A;1\u{7};DHL", "The tracking number must not contain the control character U+0007."),
            (long_number.as_str(), "The tracking number must have 1 to 100 characters; got 101."),
            (long_carrier.as_str(), "The carrier must have 1 to 100 characters; got 101."),
        ] {
            assert_eq!(parcels(line, None), [Err(problem.to_owned())], "{line}");
        }
    }

    #[test]
    fn an_order_number_is_the_same_however_it_is_typed() {
        for typed in ["4F7K-9201", "4f7k9201", "4f7k-92ol", "4F7K92OI"] {
            assert!(is_same(typed, "4F7K-9201"), "{typed}");
        }
        for other in ["", "-", "4F7K-9202", "4F7K-920", "4F7K-92010"] {
            assert!(!is_same(other, "4F7K-9201"), "{other}");
        }
    }

    #[test]
    fn an_order_on_several_lines_is_a_problem_of_each() {
        let twice = || Err("This order is on lines 1, 3.".to_owned());
        let text = "4F7K-92Q1;1;DHL\n4F7K-92Q2;2;DHL\n4f7k92ql;x";
        assert_eq!(parcels(text, None), [twice(), tracking("2", "DHL", None), twice()]);
    }
}
