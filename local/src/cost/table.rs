//! The bill as a text for a terminal.

use super::assumptions::Assumptions;
use super::bill::{Bill, Inputs, Line};
use super::money::{Money, with_commas};

/// Decimal places of a month's cost.
const MONTH_PLACES: u32 = 2;

/// Decimal places of an order's cost.
const ORDER_PLACES: u32 = 8;

/// Cells of a row. The first three are aligned to the left, the others to the right.
type Row = [String; 6];

/// Columns that are aligned to the left.
const LEFT: usize = 3;

/// Space between two columns.
const GAP: &str = "  ";

/// Writes the bill with its assumptions.
pub fn text(bill: &Bill, inputs: &Inputs, assumptions: &Assumptions) -> String {
    let rows = rows(bill);
    let mut widths = [0; 6];
    for row in rows.iter().flatten() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rule = "─".repeat(widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1));
    let rows = rows.iter().map(|row| row.as_ref().map_or_else(|| rule.clone(), |row| aligned(row, &widths)));
    let table = rows.collect::<Vec<_>>().join("\n");
    format!("{}\n\n{table}\n\n{}\n", heading(bill, inputs), notes(inputs, assumptions))
}

fn heading(bill: &Bill, inputs: &Inputs) -> String {
    let prices = &inputs.prices;
    format!(
        "{} orders a month; {} at list prices of {} in {}",
        with_commas(u128::from(bill.orders)),
        bill.currency,
        prices.region,
        prices.date
    )
}

/// Rows of the table; `None` is a rule.
fn rows(bill: &Bill) -> Vec<Option<Row>> {
    let total = bill.total();
    let row = |part: &str, name: &str, quantity: &str, month: Money| {
        let order = match bill.orders {
            0 => "–".to_owned(),
            orders => month.times(1, u128::from(orders)).rounded(ORDER_PLACES),
        };
        let share = month.per_mille_of(total);
        let share = format!("{}.{} %", share / 10, share % 10);
        Some([
            part.to_owned(),
            name.to_owned(),
            quantity.to_owned(),
            month.rounded(MONTH_PLACES),
            order,
            share,
        ])
    };
    let mut rows =
        vec![Some(["part", "item", "quantity", "a month", "an order", "share"].map(str::to_owned)), None];
    let (database, others): (Vec<&Line>, Vec<&Line>) =
        bill.lines.iter().partition(|line| line.part == super::bill::Part::Database);
    let mut last = None;
    let mut push = |rows: &mut Vec<Option<Row>>, line: &Line| {
        let part = if last == Some(line.part) { "" } else { line.part.name() };
        rows.push(row(part, &line.name, &line.quantity, line.month));
        last = Some(line.part);
    };
    others.into_iter().for_each(|line| push(&mut rows, line));
    rows.push(None);
    rows.push(row("total", "without the database", "", bill.total_without_database()));
    database.into_iter().for_each(|line| push(&mut rows, line));
    rows.push(None);
    rows.push(row("total", "", "", total));
    rows
}

fn aligned(row: &Row, widths: &[usize; 6]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, &width))| match column < LEFT {
        true => format!("{cell:<width$}"),
        false => format!("{cell:>width$}"),
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

fn notes(inputs: &Inputs, assumptions: &Assumptions) -> String {
    let Assumptions {
        lists_per_order,
        reads_per_order,
        sign_ins_per_order,
        order_reads_per_order,
        mongodb_latency,
        journal_latency,
        invoke_latency,
        cold_starts,
        ..
    } = assumptions;
    let measured = &inputs.measurements;
    format!(
        "For each order: pages of products {lists_per_order}, products {reads_per_order}, sign-ins \
         {sign_ins_per_order}, reads of the order {order_reads_per_order}.\n\
         Latencies: MongoDB {mongodb_latency} ms, and {journal_latency} ms for a write; a call between functions \
         {invoke_latency} ms. Cold starts: {cold_starts} in 1,000.\n\
         Measured on {} at {}, {}.",
        measured.date, measured.commit, measured.machine
    )
}
