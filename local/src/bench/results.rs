//! Measurements: medians, the spread of their ratio to the floor, and the goal.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rows::Row;
use crate::error::CommandError;

/// Results of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Day of the measurement, such as `2026-11-30`.
    pub date: String,
    /// Commit of the programs.
    pub commit: String,
    /// Machine: processor, number of cores, and load at the beginning and the end.
    pub machine: String,
    /// Version of MongoDB.
    pub mongodb: String,
    /// Rows that were measured.
    pub rows: Vec<Measured>,
}

/// Result of a row.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Row.
    pub row: Row,
    /// Case of a row that has several, such as an endpoint; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub case: String,
    /// Median of the functions.
    pub ours: f64,
    /// Median of the floor.
    pub floor: f64,
    /// Median of the ratios of pairs.
    pub ratio: f64,
    /// First quartile of these ratios.
    pub low: f64,
    /// Third quartile of these ratios.
    pub high: f64,
    /// Number of pairs.
    pub pairs: usize,
}

impl Measured {
    /// Sums up pairs of a row: the functions, and the floor right before or after them.
    ///
    /// # Panics
    /// There is no pair.
    pub fn of(row: Row, pairs: &[(f64, f64)]) -> Self {
        let ratios = sorted(pairs.iter().map(|(ours, floor)| ours / floor));
        let at = |quarter: usize| ratios[(ratios.len() - 1) * quarter / 4];
        let median = |values: Vec<f64>| values[(values.len() - 1) / 2];
        Self {
            row,
            case: String::new(),
            ours: median(sorted(pairs.iter().map(|(ours, _)| *ours))),
            floor: median(sorted(pairs.iter().map(|(_, floor)| *floor))),
            ratio: at(2),
            low: at(1),
            high: at(3),
            pairs: pairs.len(),
        }
    }

    /// The same as a case of its row.
    #[must_use]
    pub fn of_case(self, case: impl Into<String>) -> Self {
        Self { case: case.into(), ..self }
    }

    /// Name of the row, and of the case if it has several.
    pub fn name(&self) -> String {
        format!("{} {}", self.row.name(), self.case).trim_end().to_owned()
    }

    /// Verdict on the goal: `met`, `missed`, or nothing for a row without a goal.
    pub fn verdict(&self) -> &'static str {
        match self.row.description().goal {
            Some(goal) if goal.is_met(self.ratio) => "met",
            Some(_) => "missed",
            None => "",
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

impl Results {
    /// Reads a file of results.
    ///
    /// # Errors
    /// The file cannot be read, or is no such file.
    pub fn read(file: &Path) -> Result<Self, CommandError> {
        let failed =
            |error: &dyn std::fmt::Display| CommandError::new(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error))
    }

    /// The results as JSON.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The committed results.
    ///
    /// # Errors
    /// The committed file is damaged.
    pub fn committed() -> Result<Self, CommandError> {
        let text = include_str!("../../bench/measured.json");
        serde_json::from_str(text)
            .map_err(|error| CommandError::new(format!("local/bench/measured.json: {error}")))
    }

    /// The results as a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = "| row | functions | floor | ratio | quartiles | goal | |\n".to_owned();
        text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        for measured in &self.rows {
            let description = measured.row.description();
            let goal = description.goal.map(|goal| goal.to_string()).unwrap_or_default();
            let unit = description.unit;
            let quartiles = match measured.pairs {
                1 => String::new(),
                _ => format!("{:.2} to {:.2}", measured.low, measured.high),
            };
            let _ = writeln!(
                text,
                "| {} | {:.0} {unit} | {:.0} {unit} | {:.2} | {quartiles} | {goal} | {} |",
                measured.name(),
                measured.ours,
                measured.floor,
                measured.ratio,
                measured.verdict()
            );
        }
        let _ = writeln!(
            text,
            "\nMeasured on {} at {}, {}, MongoDB {}.",
            self.date, self.commit, self.machine, self.mongodb
        );
        text
    }

    /// Short table of Markdown, of the rows that a user notices.
    pub fn summary(&self) -> String {
        const ROWS: [Row; 4] = [Row::OrderLatency, Row::OrderCpu, Row::ProductCpu, Row::Init];
        let mut text = "| | functions | floor |\n| --- | --- | --- |\n".to_owned();
        for row in ROWS {
            let title = row.description().title;
            let _ = match self.rows.iter().find(|measured| measured.row == row) {
                Some(Measured { ours, floor, .. }) => {
                    writeln!(text, "| {title} | {:.1} ms | {:.1} ms |", ours / 1_000.0, floor / 1_000.0)
                }
                None => writeln!(text, "| {title} | not measured | |"),
            };
        }
        let machine = self.machine.split(", load").next().unwrap_or_default();
        let _ = writeln!(text, "\nMeasured on {}, {machine}.", self.date);
        text
    }

    /// The results as a table, with the ratios of an earlier run.
    pub fn table(&self, earlier: Option<&Self>) -> String {
        let mut text = String::new();
        let before = |name: &str| earlier?.rows.iter().find(|it| it.name() == name);
        let longest = self.rows.iter().map(|measured| measured.name().chars().count()).max();
        let width = longest.unwrap_or_default().max(18);
        let column = if earlier.is_some() { "earlier" } else { "" };
        let _ = writeln!(
            text,
            "{:width$} {:>12} {:>12} {:>7}  {:13} {:>6}  {:6}  {column}",
            "row", "functions", "floor", "ratio", "quartiles", "goal", ""
        );
        for measured in &self.rows {
            let description = measured.row.description();
            let goal = description.goal.map(|goal| goal.to_string()).unwrap_or_default();
            let quantity = |value: f64| format!("{value:.0} {}", description.unit);
            let quartiles = match measured.pairs {
                1 => String::new(),
                _ => format!("{:.2} to {:.2}", measured.low, measured.high),
            };
            let earlier = before(&measured.name())
                .map(|it| format!("{:.2} ({:+.0} %)", it.ratio, (measured.ratio / it.ratio - 1.0) * 100.0));
            let line = format!(
                "{:width$} {:>12} {:>12} {:>7.2}  {quartiles:13} {goal:>6}  {:6}  {}",
                measured.name(),
                quantity(measured.ours),
                quantity(measured.floor),
                measured.ratio,
                measured.verdict(),
                earlier.unwrap_or_default()
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let _ = writeln!(
            text,
            "\nMeasured on {} at {}, {}, MongoDB {}.",
            self.date, self.commit, self.machine, self.mongodb
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(ratio: f64) -> Results {
        let pairs: Vec<(f64, f64)> = (1..=5).map(|it| (ratio * f64::from(it), f64::from(it))).collect();
        Results {
            date: "2026-11-30".to_owned(),
            commit: "abc".to_owned(),
            machine: "a machine".to_owned(),
            mongodb: "6.0.5".to_owned(),
            rows: vec![
                Measured::of(Row::OrderCpu, &pairs),
                Measured::of(Row::OrderRate, &[(1.0, 2.0)]),
                Measured::of(Row::Growth, &pairs).of_case("GET /orders"),
            ],
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_pairs() {
        let pairs = [(10.0, 10.0), (30.0, 10.0), (20.0, 10.0), (40.0, 10.0), (900.0, 10.0)];
        let measured = Measured::of(Row::OrderCpu, &pairs);
        assert_eq!((measured.ours, measured.floor), (30.0, 10.0));
        assert_eq!((measured.low, measured.ratio, measured.high), (2.0, 3.0, 4.0));
    }

    #[test]
    fn a_table_has_verdicts_and_earlier_ratios() {
        let table = results(2.0).table(Some(&results(1.0)));
        let line = |place: usize| {
            let line = table.lines().nth(place).unwrap_or_default();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line(1), "order-cpu 6 µs 3 µs 2.00 2.00 to 2.00 ≤ 2.5 met 1.00 (+100 %)");
        assert_eq!(line(2), "order-rate 1 1/s 2 1/s 0.50 ≥ 0.6 missed 0.50 (+0 %)");
        assert_eq!(line(3), "growth GET /orders 6 µs 3 µs 2.00 2.00 to 2.00 ≤ 1.3 missed 1.00 (+100 %)");
    }

    #[test]
    fn a_file_of_results_is_read_as_it_was_written() {
        let read: Results = serde_json::from_str(&results(2.0).json()).expect("results");
        assert_eq!(read.rows, results(2.0).rows);
    }
}
