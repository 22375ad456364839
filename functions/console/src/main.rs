//! The console function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use console::environment::Environment;
use shared::runtime::run;
use shared::values::clock::Clock;

fn main() -> ExitCode {
    run::function("console", console::PORT, |variables| {
        let environment = Environment::read(variables, Clock::system())?;
        Ok(move || environment.clone().build())
    })
}
