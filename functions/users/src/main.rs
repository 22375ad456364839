//! The users function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::runtime::run;
use shared::values::clock::Clock;
use users::environment::Environment;

fn main() -> ExitCode {
    run::function("users", users::PORT, |variables| {
        let environment = Environment::read(variables, Clock::system())?;
        Ok(move || environment.clone().build())
    })
}
