//! The docs function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::clock::Clock;
use shared::run::{self, Function};

fn main() -> ExitCode {
    run::function("docs", 50050, |variables| {
        variables.check()?;
        let function = Function { router: docs::app(Clock::system()).router, entrance: None };
        Ok(move || std::future::ready(Ok(function.clone())))
    })
}
