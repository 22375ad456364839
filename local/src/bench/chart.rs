//! Chart of results: for each row with a goal, how far its ratio is from the goal.

use std::fmt::Write as _;

use super::results::{Measured, Results};
use super::rows::Goal;

/// Width of names, in pixels.
const NAMES: f64 = 330.0;

/// Length of a bar that reaches its goal, in pixels.
const GOAL: f64 = 240.0;

/// Longest bar, as a multiple of the goal.
const LONGEST: f64 = 2.0;

const ROW_HEIGHT: f64 = 30.0;

/// Draws the rows that have a goal. A bar that does not pass the line meets its goal.
pub fn svg(results: &Results) -> String {
    let shares: Vec<(&Measured, f64)> =
        results.rows.iter().filter_map(|row| Some((row, share(row)?))).collect();
    let height = (shares.len() as f64 + 1.5) * ROW_HEIGHT;
    let width = NAMES + GOAL * LONGEST + 90.0;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"14\">\n\
         <title>Ratios to their floors, beside the goals</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    for (place, (row, share)) in shares.iter().enumerate() {
        let y = (place as f64 + 0.5) * ROW_HEIGHT;
        let length = share.min(LONGEST) * GOAL;
        let color = if *share <= 1.0 { "#2a7d4f" } else { "#b3541e" };
        let description = row.row.description();
        let goal = description.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let title = format!("{} {}", description.title, row.case);
        let baseline = y + 19.0;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#222\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{}\" width=\"{length:.1}\" height=\"20\" fill=\"{color}\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline}\" fill=\"#222\">{:.2} ({goal})</text>",
            NAMES - 10.0,
            title.trim_end(),
            y + 4.0,
            NAMES + length.max(GOAL) + 8.0,
            row.ratio
        );
    }
    let _ = writeln!(
        text,
        "<line x1=\"{0}\" x2=\"{0}\" y1=\"8\" y2=\"{1}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{0}\" y=\"{2}\" text-anchor=\"middle\" fill=\"#222\">goal</text>\n</svg>",
        NAMES + GOAL,
        height - ROW_HEIGHT,
        height - 10.0
    );
    text
}

/// Share of the goal that a row uses up: above 1 it is missed.
fn share(row: &Measured) -> Option<f64> {
    match row.row.description().goal? {
        Goal::AtMost(most) => Some(row.ratio / most),
        Goal::AtLeast(least) => Some(least / row.ratio),
    }
}
