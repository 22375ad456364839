//! `cargo local check`: compares all products with all orders, and lists the violations.

use std::path::PathBuf;

use proto::orders::v1::Violation;
use shared::auth::Signer;
use shared::values::clock::Clock;

use crate::backend::{Backend, BackendConfig};
use crate::database::connect;
use crate::env::running;
use crate::error::CommandError;
use crate::settings::{self, Settings};
use crate::terminal::{print_ignoring_epipe, report};

/// Checks the database of `MONGO_URI`, else that of a running `cargo local`.
///
/// # Errors
/// If there is a violation, or the data cannot be read.
pub async fn run(data: Option<PathBuf>) -> Result<(), CommandError> {
    let (_, uri) = running(data).await?;
    let database = connect(&uri).await?;
    // A check signs nothing, so any secret will do.
    let signer = Signer::from_secret(&Settings::random()?.jwt_secret).map_err(CommandError::new)?;
    let backend = Backend::build(BackendConfig {
        database,
        signer,
        payment_window: settings::payment_window()?,
        return_window: settings::return_window()?,
        limits: settings::customer_limits()?,
        rate_limit_per_address: 0,
        clock: Clock::system(),
    });
    let (mut orders, mut products, mut violations, mut cursor) = (0, 0, 0, None);
    loop {
        let page = backend.check_consistency(cursor).await?;
        let checked = page.checked.unwrap_or_default();
        orders += checked.orders;
        products += checked.products;
        violations += page.violations.len();
        for violation in &page.violations {
            print_ignoring_epipe(line(violation));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        report(&format!("{products} products and {orders} orders so far"));
    }
    let counts = format!("{products} products and {orders} orders");
    if violations > 0 {
        let violations =
            if violations == 1 { "1 violation".into() } else { format!("{violations} violations") };
        return Err(CommandError::new(format!("{counts}: {violations}"))
            .advice("Each line above is a bug or a change by hand; nothing was repaired."));
    }
    print_ignoring_epipe(format_args!("{counts}: nothing is wrong"));
    Ok(())
}

fn line(violation: &Violation) -> String {
    let Violation { kind, order_id, product_id, detail } = violation;
    let ids = [product_id, order_id].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    format!("{kind}  {ids}  {detail}")
}
