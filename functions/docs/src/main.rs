//! The docs function: on Lambda, or as an ordinary service.

use std::process::ExitCode;

use shared::http::routes::Cors;
use shared::runtime::run::{self, ServiceApp};
use shared::values::clock::Clock;

fn main() -> ExitCode {
    run::function("docs", 50050, |mut variables| {
        let cors = variables.or("CORS_ALLOWED_ORIGINS", Cors::default(), Cors::parse);
        variables.check()?;
        let router = cors.unwrap_or_default().around(docs::app(Clock::system()).router);
        let function = ServiceApp { router, rpc: None };
        Ok(move || std::future::ready(Ok(function.clone())))
    })
}
