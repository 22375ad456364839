//! Lines of a count of many products: a SKU, a separator, and the units on hand.

use shared::error::Error;

use crate::pages::pasted::{self, SEPARATORS};
use crate::texts::products as texts;

/// Line of a count.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Number of the line in the text, from 1.
    pub(super) number: usize,
    pub(super) sku: String,
    /// Units on hand, or the line's problem.
    pub(super) count: Result<i64, String>,
}

/// Reads lines; empty ones are left out. No SKU has a separator in it.
///
/// # Errors
/// 422 for no line at all, and for too many.
pub(super) fn read(text: &str) -> Result<Vec<Line>, Error> {
    let numbered = pasted::lines(text)?.into_iter();
    let mut lines: Vec<Line> = numbered.map(|(number, line)| read_line(number, line)).collect();
    let repeated = pasted::repeated(lines.iter().map(|line| (line.number, line.sku.as_str())));
    for line in &mut lines {
        if let Some(same) = repeated.get(&line.sku) {
            line.count = Err(texts::on_several_lines(same));
        }
    }
    Ok(lines)
}

fn read_line(number: usize, line: &str) -> Line {
    let (sku, count) = match line.split_once(SEPARATORS) {
        Some((sku, count)) => (sku, read_count(count)),
        None => (line, Err(texts::NO_SEPARATOR.to_owned())),
    };
    Line { number, sku: sku.trim().to_owned(), count }
}

/// Reads digits alone: a sign or a decimal point is more likely a mistake.
fn read_count(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| texts::no_count(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, SKU and count of a line.
    type Read = (usize, String, Result<i64, String>);

    fn counts(text: &str) -> Vec<Read> {
        let lines = read(text).unwrap();
        lines.into_iter().map(|line| (line.number, line.sku, line.count)).collect()
    }

    fn line(number: usize, sku: &str, count: Result<i64, &str>) -> Read {
        (number, sku.to_owned(), count.map_err(str::to_owned))
    }

    #[test]
    fn a_line_has_a_sku_and_a_count() {
        let expected =
            [line(1, "MUG", Ok(47)), line(2, "POT", Ok(0)), line(4, "HAT.1", Ok(7)), line(5, "CUP", Ok(12))];
        assert_eq!(counts("MUG\t47\nPOT , 0\r\n\n HAT.1;007 \nCUP,12"), expected);
    }

    #[test]
    fn a_count_that_is_no_whole_number_is_a_problem() {
        for bad in ["", "-1", "+1", "1.5", "1,000", "ten", "1 2", "٣", "99999999999999999999"] {
            let expected = format!("“{bad}” is not a whole number from 0.");
            assert_eq!(counts(&format!("MUG;{bad}")), [line(1, "MUG", Err(expected.as_str()))]);
        }
        let expected = "No tab, comma or semicolon follows the SKU.";
        assert_eq!(counts("MUG 47"), [line(1, "MUG 47", Err(expected))]);
    }

    #[test]
    fn a_sku_on_several_lines_is_a_problem_of_each() {
        let twice = Err("This SKU is on lines 1, 3.");
        let expected = [line(1, "MUG", twice), line(2, "POT", Ok(2)), line(3, "MUG", twice)];
        assert_eq!(counts("MUG;1\nPOT;2\nMUG;x"), expected);
    }
}
