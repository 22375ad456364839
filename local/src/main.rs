//! `cargo local`: the whole system on this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use local::bench::rows::Row;
use local::containers::{self, Owners, SecretsOptions};
use local::cost;
use local::cost::assumptions::Assumptions;
use local::error::CommandError;
use local::run::{self, Options};
use local::terminal::eprint_ignoring_epipe;
use local::{bench, check, env, events, lambda, sam, seed, settings};

/// Runs the whole system on this machine: MongoDB, all functions behind one HTTP port, and demo data.
///
/// Once it is ready, open /docs in a browser to read and try the API.
///
/// MongoDB comes from MONGO_URI, else from a `mongod` on the PATH, else from a download that is cached.
/// Secrets and the first admin come from JWT_SECRET, ADMIN_EMAIL and ADMIN_PASSWORD, else they are generated
/// once and kept with the data. The data is closed to other users of this machine, and MongoDB asks for a
/// password. Ctrl-C stops everything.
#[derive(Parser)]
#[command(
    name = "cargo local",
    bin_name = "cargo local",
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
struct Arguments {
    /// Port to listen on, at 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,

    #[command(flatten)]
    shop: Shop,

    /// Print the waterfall of each request: its calls and commands of MongoDB, with their durations
    #[arg(long)]
    trace: bool,

    /// Docker network whose containers can reach MongoDB, which then also listens at the network's gateway
    #[arg(long, value_name = "NAME")]
    docker_network: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  cargo local                       Run it on port 8080, and keep the data in .oms/
  cargo local --ephemeral --port 0  Run a fresh one on a free port, and leave nothing behind
  cargo local --trace               Print the calls and commands that each request causes
  cargo local check                 Ask whether products and orders agree
  cargo local seed --orders 100000  Fill the running one with a large shop
  cargo local cost --orders 50000   Print what a month of such a shop costs on AWS
  cargo local lambda                Run the programs that are deployed, under cargo-lambda";

/// Data of a run.
#[derive(Args)]
struct Shop {
    /// Folder that keeps the data between runs [default: OMS_DATA, else .oms in the checkout]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Start with a new database, and remove it at the end
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,

    /// Do not load demo data into an empty database
    #[arg(long)]
    no_demo: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Creates collections, indexes and the first admin (ADMIN_EMAIL, ADMIN_PASSWORD) in the database of
    /// MONGO_URI; safe to repeat
    ///
    /// With MONGO_KEY_FILE it also sets up a new MongoDB that has this key: a replica set of one, the user oms with
    /// the password in MONGO_URI, and the users orders, products and users with those in ORDERS_MONGO_URI,
    /// PRODUCTS_MONGO_URI and USERS_MONGO_URI
    Schema,
    /// Generates the secrets of the system in containers that are missing, each in a file for those who need it
    Secrets {
        /// Folder of the files
        folder: PathBuf,

        /// Host and port of MongoDB, as the services reach it
        #[arg(long, value_name = "HOST:PORT", default_value = "mongodb:27017")]
        mongodb: String,

        /// Print this secret instead
        #[arg(long, value_name = "NAME")]
        show: Option<String>,
    },
    /// Loads the demo data into the database of MONGO_URI, if it is empty. The password of the demo users is published
    Demo,
    /// Checks that products and orders agree, and lists each violation; exits with 1 if there is any
    ///
    /// It checks the database of MONGO_URI, else that of a running `cargo local`.
    Check {
        /// Folder that keeps the data [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Fills the database with a large shop: products with stock and its ledger, users, and orders in every
    /// status
    ///
    /// It fills the database of MONGO_URI, else that of a running `cargo local`. Each run adds more.
    ///
    /// The users can sign in with the password of the demo users. `check` finds no violation afterwards. Two
    /// cores load some thousands of orders a second, and fewer beside other work.
    #[command(alias = "load")]
    Seed {
        /// Folder that keeps the data [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// Number of products
        #[arg(long, value_name = "N", default_value = "1000", value_parser = amount)]
        products: NonZeroUsize,

        /// Number of orders for these products
        #[arg(long, value_name = "N", default_value = "10000", value_parser = amount)]
        orders: NonZeroUsize,

        /// Number of users who have these orders
        #[arg(long, value_name = "N", default_value = "1000", value_parser = amount)]
        users: NonZeroUsize,

        /// Allow a database on another machine; its users get a random password that is not shown
        #[arg(long)]
        remote: bool,
    },
    /// Prints what a shop costs on AWS in a month, by part
    ///
    /// It computes the bill from measurements of the functions, the facts of template.yaml, and list prices. Prices
    /// change: compare those in the file with the provider's, or give a file of your own.
    Cost {
        #[command(flatten)]
        assumptions: Box<Assumptions>,

        /// File of prices [default: local/cost/prices.json, as this program was built with]
        #[arg(long, value_name = "FILE")]
        prices: Option<PathBuf>,

        /// File of measurements [default: local/cost/measured.json, as this program was built with]
        #[arg(long, value_name = "FILE")]
        measured: Option<PathBuf>,

        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Measures the functions beside floors of the same run, and prints the ratios with their goals
    ///
    /// It builds the programs as they are deployed, and runs them as Lambda does, with a MongoDB of its own. Nothing else
    /// should run meanwhile. It takes some minutes.
    Bench {
        /// Row to measure, again for more [default: all but fastify-cpu, which needs Node.js, go-latency, go-cpu
        /// and go-rate, which need Go, growth, which loads a large shop, and small-cpu, which needs control groups]
        #[arg(long, value_name = "ROW")]
        only: Vec<Row>,

        /// Measure with fewer repetitions
        #[arg(long)]
        quick: bool,

        /// File to write the results to
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,

        /// File to draw the results in
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,

        /// File of earlier results, to compare with
        #[arg(long, value_name = "FILE")]
        compare: Option<PathBuf>,
    },
    /// Runs MongoDB and the deployed programs under `cargo lambda watch`; needs cargo-lambda
    Lambda {
        /// Port to listen on, at 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = env::LAMBDA_PORT)]
        port: u16,

        #[command(flatten)]
        shop: Shop,

        /// Maximum number of instances of each function
        #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        concurrency: u16,
    },
    /// Runs MongoDB and the output of `sam build` in containers under `sam local start-api`; needs the SAM
    /// CLI, cargo-lambda and Docker
    Sam {
        /// Port to listen on, at 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = sam::PORT)]
        port: u16,

        #[command(flatten)]
        shop: Shop,
    },
    /// Prints the environment for `cargo lambda watch`, for MONGO_URI or else for a running `cargo local`
    ///
    /// It contains secrets, and is meant for a shell: eval "$(cargo local env)"
    Env {
        /// Folder that keeps the data and the secrets [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// For `sam local` instead: write local/env.json, which contains secrets, and print the variables
        /// that its command lines need
        #[arg(long)]
        sam: bool,

        /// Port of `cargo lambda watch` [default: 9000], or of `sam local start-lambda` [default: 3001]
        #[arg(long)]
        port: Option<u16>,

        /// Docker network of the containers of `sam local`
        #[arg(long, value_name = "NAME", default_value = env::DOCKER_NETWORK, requires = "sam")]
        docker_network: String,
    },
    /// Writes the OpenAPI document of the whole API
    #[cfg(feature = "openapi")]
    Openapi {
        /// File to write [default: the one that the docs function is built with]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Writes sample events for `cargo lambda invoke`, with an access token that is valid for 15 minutes
    Events {
        /// Folder that keeps the data and the secrets [default: OMS_DATA, else .oms in the checkout]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,

        /// Folder to write to [default: events beside the data]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let traces = match traces(&arguments) {
        Ok(traces) => traces,
        Err(failure) => return failed(&failure),
    };
    let recorder = traces.recorder;
    shared::runtime::telemetry::init_text(recorder);
    let outcome = match arguments.command {
        Some(Command::Schema) => containers::prepare().await,
        Some(Command::Secrets { folder, show: Some(name), .. }) => containers::show(&folder, &name),
        Some(Command::Secrets { folder, mongodb, .. }) => {
            let owners = Owners::OF_IMAGES;
            containers::generate(&SecretsOptions { folder, host: mongodb, owners })
        }
        Some(Command::Demo) => containers::load_demo().await,
        Some(Command::Check { data }) => check::run(data).await,
        Some(Command::Seed { data, products, orders, users, remote }) => {
            let amounts =
                seed::Amounts { products: products.get(), orders: orders.get(), users: users.get() };
            seed::run(seed::Options { data, amounts, remote }).await
        }
        Some(Command::Cost { assumptions, prices, measured, json }) => {
            cost::run(cost::Options { prices, measured, assumptions: *assumptions, json })
        }
        Some(Command::Bench { only, quick, json, svg, compare }) => {
            bench::run(bench::Options { only, quick, json, svg, compare }).await
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
    if let Some(exporter) = traces.exporter {
        // It waits for the collector, and this thread has to serve its requests.
        let _ = tokio::task::spawn_blocking(move || exporter.finish()).await;
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &CommandError) -> ExitCode {
    eprint_ignoring_epipe(format_args!("cargo local: {failure}"));
    ExitCode::FAILURE
}

/// Spans of a run: to the terminal, and to the collector of `OTEL_EXPORTER_OTLP_ENDPOINT`.
fn traces(arguments: &Arguments) -> Result<settings::Traces, CommandError> {
    match arguments.command {
        None => settings::traces(arguments.trace),
        // The programs of other commands have variables of their own.
        Some(_) => Ok(settings::Traces::default()),
    }
}

fn options(port: u16, shop: Shop, docker_network: Option<String>) -> Options {
    let Shop { data, ephemeral, no_demo } = shop;
    Options { port, data, ephemeral, demo: !no_demo, mongo_uri: mongo_uri(), docker_network }
}

fn mongo_uri() -> Option<String> {
    settings::set_variable("MONGO_URI")
}

/// Parses a number of things to load.
fn amount(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "it must be a whole number, 1 or more")
}
