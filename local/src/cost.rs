//! `cargo local cost`: the monthly bill of a shop on AWS.
//!
//! - [`measurements`]: use of processor, memory, network and log by each operation, measured
//! - [`deployment`]: facts of `template.yaml` that are billed
//! - [`prices`]: list prices
//! - [`assumptions`]: the shop's traffic, latencies and options
//! - [`bill`]: the computation
//! - [`table`]: the bill as text
//! - [`money`]: exact amounts
//! - `file`: input files

use std::path::{Path, PathBuf};

use crate::error::CommandError;
use crate::terminal::print_ignoring_epipe;
use assumptions::Assumptions;
use bill::{Bill, Inputs};
use deployment::Deployment;
use file::File;
use measurements::Measurements;
use prices::PriceList;

pub mod assumptions;
pub mod bill;
pub mod deployment;
mod file;
pub mod measurements;
pub mod money;
pub mod prices;
pub mod table;

/// Options of the command.
pub struct Options {
    /// File of prices in place of the committed one.
    pub prices: Option<PathBuf>,
    /// File of measurements in place of the committed one.
    pub measured: Option<PathBuf>,
    /// Assumptions.
    pub assumptions: Assumptions,
    /// True: JSON instead of a table.
    pub json: bool,
}

/// Prints the bill.
///
/// # Errors
/// A file cannot be read, or has something missing or wrong.
pub fn run(options: Options) -> Result<(), CommandError> {
    let Options { prices, measured, assumptions, json } = options;
    let inputs = inputs(prices.as_deref(), measured.as_deref())?;
    let bill = Bill::compute(&inputs, &assumptions);
    if json {
        let bill =
            serde_json::to_string_pretty(&bill).map_err(|error| CommandError::new(error.to_string()))?;
        print_ignoring_epipe(bill);
    } else {
        print_ignoring_epipe(table::text(&bill, &inputs, &assumptions).trim_end());
    }
    Ok(())
}

/// Reads what a bill is computed from; `None` is the committed file.
///
/// # Errors
/// A file cannot be read, or has something missing or wrong.
pub fn inputs(prices: Option<&Path>, measured: Option<&Path>) -> Result<Inputs, CommandError> {
    let prices = open(prices, "local/cost/prices.json", include_str!("../cost/prices.json"))?;
    let measured = open(measured, "local/cost/measured.json", include_str!("../cost/measured.json"))?;
    Ok(Inputs {
        prices: PriceList::read(&prices)?,
        measurements: Measurements::read(&measured)?,
        deployment: Deployment::committed()?,
    })
}

fn open(path: Option<&Path>, name: &str, committed: &str) -> Result<File, CommandError> {
    let Some(path) = path else { return Ok(File { name: name.to_owned(), text: committed.to_owned() }) };
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(File { name, text }),
        Err(error) => Err(CommandError::new(format!("{name}: {error}"))),
    }
}
