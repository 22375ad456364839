//! The docs function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::runtime::run::{self, ServiceApp};
use shared::values::clock::Clock;

fn main() -> ExitCode {
    run::function("docs", docs::PORT, |variables| {
        let edge = docs::environment::read(variables)?;
        let app = docs::app(Clock::system());
        Ok(move || {
            let (edge, app) = (edge.clone(), app.clone());
            async move {
                edge.open().await?;
                Ok(ServiceApp::new(edge.around(app.router)))
            }
        })
    })
}
