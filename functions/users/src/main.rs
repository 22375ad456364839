//! The users function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::clock::Clock;
use shared::run;
use users::environment::Environment;

fn main() -> ExitCode {
    run::function("users", 50053, |variables| {
        let environment = Environment::read(variables, Clock::system())?;
        Ok(move || environment.clone().build())
    })
}
