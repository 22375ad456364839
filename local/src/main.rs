//! `cargo local`: the whole order system on this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use local::run::{self, Options};
use local::terminal::eprint_ignoring_epipe;
use local::{check, env, events, lambda, sam, schema, seed};

/// Runs the whole order system on this machine: MongoDB, all functions behind one HTTP port, demo data.
///
/// Once it is ready, /docs is a page to read and try the API in.
///
/// MongoDB comes from MONGO_URI, else a `mongod` on the PATH, else one that is fetched once into a cache
/// folder. Secrets and the first admin come from JWT_SECRET, ADMIN_EMAIL and ADMIN_PASSWORD, else they are
/// made once and kept with the data. Ctrl-C stops everything.
#[derive(Parser)]
#[command(
    name = "cargo local",
    bin_name = "cargo local",
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
struct Arguments {
    /// The port to listen on, at 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,

    #[command(flatten)]
    shop: Shop,

    /// Let the containers of this Docker network reach MongoDB too: it also listens at the network's gateway
    #[arg(long, value_name = "NAME")]
    docker_network: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  cargo local                       Run it on port 8080, and keep the data in .oms/
  cargo local --ephemeral --port 0  Run a fresh one on a free port, and leave nothing behind
  cargo local check                 Ask whether products and orders agree
  cargo local seed --orders 100000  Fill the running one with a large shop
  cargo local lambda                Run the programs that are deployed, under cargo-lambda";

/// Which data a run has.
#[derive(Args)]
struct Shop {
    /// The folder that keeps the data between runs [default: OMS_DATA, else .oms in the checkout]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Start with a fresh database, which is gone at the end
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,

    /// Load no demo data into an empty database
    #[arg(long)]
    no_demo: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Makes collections, indexes and the first admin (ADMIN_EMAIL, ADMIN_PASSWORD) in the database of
    /// MONGO_URI; may be run again at any time
    Schema,
    /// Compares all products with all orders, in the database of MONGO_URI, else in that of a `cargo local` that
    /// is running, and lists what is wrong; exits with 1 if anything is
    Check {
        /// The folder that keeps the data [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Adds a large shop of the past years to the database of MONGO_URI, else to that of a `cargo local` that is
    /// running: products with stock and its ledger, users, and orders in every status; again adds more
    ///
    /// Users can sign in with the password of the demo users. `check` finds nothing wrong once it has ended. Two
    /// cores load some thousands of orders a second, and fewer beside other work.
    #[command(alias = "load")]
    Seed {
        /// The folder that keeps the data [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// How many products
        #[arg(long, value_name = "N", default_value = "1000")]
        products: NonZeroUsize,

        /// How many orders, of these products
        #[arg(long, value_name = "N", default_value = "10000")]
        orders: NonZeroUsize,

        /// How many users, who have these orders
        #[arg(long, value_name = "N", default_value = "1000")]
        users: NonZeroUsize,

        /// Load a database that is on another machine, too; its users get a password that nobody knows
        #[arg(long)]
        remote: bool,
    },
    /// Runs MongoDB and the functions' own programs under `cargo lambda watch`, which has to be installed
    Lambda {
        /// The port to listen on, at 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = env::LAMBDA_PORT)]
        port: u16,

        #[command(flatten)]
        shop: Shop,

        /// How many instances of a function there may be at a time
        #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        concurrency: u16,
    },
    /// Runs MongoDB and what `sam build` makes of the functions under `sam local start-api`, in containers; the
    /// SAM CLI, cargo-lambda and Docker have to be installed
    Sam {
        /// The port to listen on, at 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = sam::PORT)]
        port: u16,

        #[command(flatten)]
        shop: Shop,
    },
    /// Prints what `cargo lambda watch` needs in its environment; for MONGO_URI, else for the MongoDB of a
    /// `cargo local` that is running
    Env {
        /// The folder that keeps the data and the secrets [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// For `sam local` instead: writes local/env.json, which has secrets, and prints what else its command
        /// lines need
        #[arg(long)]
        sam: bool,

        /// The port of `cargo lambda watch` [default: 9000], or of `sam local start-lambda` [default: 3001]
        #[arg(long)]
        port: Option<u16>,

        /// The Docker network of the containers of `sam local`
        #[arg(long, value_name = "NAME", default_value = env::DOCKER_NETWORK, requires = "sam")]
        docker_network: String,
    },
    /// Writes the OpenAPI document of the whole API
    #[cfg(feature = "openapi")]
    Openapi {
        /// The file to write [default: the one that the docs function is built with]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Writes samples for `cargo lambda invoke` with an access token in them, good for 15 minutes
    Events {
        /// The folder that keeps the data and the secrets [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// The folder to write to [default: events beside the data]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    shared::runtime::telemetry::init_text();
    let outcome = match arguments.command {
        Some(Command::Schema) => schema::run().await,
        Some(Command::Check { data }) => check::run(data).await,
        Some(Command::Seed { data, products, orders, users, remote }) => {
            let amounts =
                seed::Amounts { products: products.get(), orders: orders.get(), users: users.get() };
            seed::run(seed::Options { data, amounts, remote }).await
        }
        Some(Command::Lambda { port, shop, concurrency }) => {
            lambda::run(lambda::Options { run: options(port, shop, None), concurrency }).await
        }
        Some(Command::Sam { port, shop }) => sam::run(sam::Options { run: options(port, shop, None) }).await,
        Some(Command::Env { data, sam: true, port, docker_network }) => {
            env::run_for_sam(data, port.unwrap_or(env::SAM_LAMBDA_PORT), &docker_network).await
        }
        Some(Command::Env { data, port, .. }) => env::run(data, port.unwrap_or(env::LAMBDA_PORT)).await,
        #[cfg(feature = "openapi")]
        Some(Command::Openapi { to }) => local::openapi::run(to),
        Some(Command::Events { data, to }) => events::run(data, to),
        None => run::run(options(arguments.port, arguments.shop, arguments.docker_network)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint_ignoring_epipe(format_args!("cargo local: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn options(port: u16, shop: Shop, docker_network: Option<String>) -> Options {
    let Shop { data, ephemeral, no_demo } = shop;
    Options { port, data, ephemeral, demo: !no_demo, mongo_uri: mongo_uri(), docker_network }
}

fn mongo_uri() -> Option<String> {
    std::env::var("MONGO_URI").ok().filter(|uri| !uri.is_empty())
}
