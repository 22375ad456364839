//! The docs function on Lambda.

use shared::clock::Clock;
use shared::lambda::{self, Error, Function};
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_for_lambda();
    let app = docs::app(Clock::system());
    lambda::run(Function { router: app.router, entrance: None }).await
}
