//! A server for the tests of several processes. Prints its connection string, and ends when its standard input does.
//!
//! `.config/mongod.sh` runs it for `cargo nextest run`.

use std::{error::Error, io, io::Write};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mongod = runtime.block_on(mongod::start_for_tests())?;
    writeln!(io::stdout(), "{}", mongod.uri())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    runtime.block_on(mongod.stop());
    Ok(())
}
