//! The docs function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::clock::Clock;
use shared::run::{self, Function};

fn main() -> ExitCode {
    run::function("docs", 50050, async |variables| {
        variables.check()?;
        Ok(Function { router: docs::app(Clock::system()).router, entrance: None })
    })
}
