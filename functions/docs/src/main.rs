//! The docs function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::runtime::run::{self, ServiceApp};
use shared::values::clock::Clock;

fn main() -> ExitCode {
    run::function("docs", docs::PORT, |variables| {
        let router = docs::environment::read(variables)?.around(docs::app(Clock::system()).router);
        let function = ServiceApp::new(router);
        Ok(move || std::future::ready(Ok(function.clone())))
    })
}
