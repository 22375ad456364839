//! Budgets of the functions as they are deployed: crates, sizes, instructions and allocations.
//!
//! ```sh
//! cargo build --release -p orders -p products -p users -p docs -p console
//! cargo run --example budgets -- target/release
//! ```
//! It prints each quantity beside its budget in `tests/budgets.json`, and fails if one has grown by more than its
//! tolerance, or is missing. With `--update` it writes the file instead. With `--only crates` it needs no programs.
//!
//! valgrind counts, so that other work on the machine changes little. The functions run on the small Lambda.
//! `maintenance` has no budget: no client waits for it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made is of no use"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::Method;
use mongod::Mongod;
use rustix::process::{Pid, Signal, kill_process};
use tests::lambda::Options;
use tests::on_lambda::OnLambda;
use tests::shop::order_of;
use uuid::Uuid;

/// Functions whose packages have budgets.
const FUNCTIONS: [&str; 5] = ["orders", "products", "users", "docs", "console"];

/// Orders of each process: connections are open then, and keys known.
const WARM: u64 = 32;

/// Requests that are counted. As before them, every 32nd order folds the journal of its product.
const COUNTED: u64 = 64;

/// Units that the products have: enough for all orders.
const STOCK: i64 = 1_000_000;

/// Budget of each quantity.
type Budgets = BTreeMap<String, u64>;

/// Command line.
#[derive(Parser)]
struct Arguments {
    /// Folder of the programs.
    #[arg(default_value = "target/release")]
    programs: PathBuf,
    /// Kinds of quantities; all if there is none.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// Writes the budgets instead of checking them.
    #[arg(long)]
    update: bool,
}

/// Kind of quantity.
#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// Crates that a function is built of.
    Crates,
    /// Compressed programs, in KiB.
    Size,
    /// Instructions and allocations of starts and requests.
    Work,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Crates, Self::Size, Self::Work];

    /// Kind of the quantity with this name.
    fn of(name: &str) -> Self {
        match name {
            name if name.ends_with(".crates") => Self::Crates,
            name if name.ends_with(".kib") => Self::Size,
            _ => Self::Work,
        }
    }

    /// Measures its quantities.
    async fn measure(self, programs: &Path) -> Budgets {
        match self {
            Self::Crates => FUNCTIONS.map(crates).into(),
            Self::Size => FUNCTIONS.map(|function| size(programs, function)).into(),
            Self::Work => {
                let mut all = work(programs, "orders").await;
                all.extend(work(programs, "products").await);
                all
            }
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { programs, only, update } = Arguments::parse();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.json");
    let text = std::fs::read_to_string(&file).expect("the file of budgets");
    let mut budgets: Budgets = serde_json::from_str(&text).expect("budgets");
    let kinds = if only.is_empty() { Kind::ALL.to_vec() } else { only };
    let mut exceeded = 0;
    for kind in kinds {
        let quantities = kind.measure(&programs).await;
        for name in budgets.keys().filter(|name| Kind::of(name) == kind && !quantities.contains_key(*name)) {
            println!("{name:36}      missing");
            exceeded += 1;
        }
        for (name, measured) in quantities {
            assert!(measured > 0, "{name} was not measured");
            let budget = budgets.get(&name).copied().unwrap_or(0);
            let most = budget + budget * tolerance(&name) / 100;
            let verdict = if measured > most { "  EXCEEDED" } else { "" };
            println!("{name:36} {measured:>12}  budget {budget:>12}, at most {most:>12}{verdict}");
            exceeded += usize::from(measured > most);
            budgets.insert(name, measured);
        }
    }
    if update {
        let text = serde_json::to_string_pretty(&budgets).unwrap() + "\n";
        std::fs::write(file, text).expect("the file cannot be written");
        return ExitCode::SUCCESS;
    }
    if exceeded > 0 {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let again = format!("cargo run --example budgets -- {} --update", arguments.join(" "));
        println!("{exceeded} budgets exceeded, or missing. Where that is worth it: {again}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Percent by which a quantity may grow. A start waits for MongoDB and its threads, so that it varies more.
fn tolerance(name: &str) -> u64 {
    match Kind::of(name) {
        Kind::Crates => 0,
        Kind::Size => 2,
        Kind::Work if name.contains(".start.") => 10,
        Kind::Work => 5,
    }
}

fn crates(function: &str) -> (String, u64) {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = ["tree", "--quiet", "--package", function, "--edges", "normal", "--prefix", "none"];
    let tree = Command::new(cargo).args(arguments).args(["--format", "{p}", "--no-dedupe"]).output();
    let tree = String::from_utf8(tree.expect("cargo").stdout).unwrap();
    let crates: std::collections::BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    assert!(crates.len() > 1, "cargo tree says nothing of {function}");
    (format!("{function}.crates"), count(crates.len()))
}

fn size(programs: &Path, function: &str) -> (String, u64) {
    let gzip = Command::new("gzip").args(["-9", "-c"]).arg(programs.join(function)).output().expect("gzip");
    assert!(gzip.status.success(), "no program {function} in {}", programs.display());
    (format!("{function}.zip.kib"), count(gzip.stdout.len() / 1024))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

/// Instructions and allocations of a process.
#[derive(Clone, Copy)]
struct Work {
    instructions: u64,
    allocations: u64,
}

impl Work {
    /// Work of each of so many requests, by which this process has done more than another one.
    fn each_beyond(self, base: Self, requests: u64) -> Self {
        let each = |more: u64, base: u64| more.saturating_sub(base) / requests;
        Self {
            instructions: each(self.instructions, base.instructions),
            allocations: each(self.allocations, base.allocations),
        }
    }

    /// Work without that of so many requests.
    fn without(self, each: Self, requests: u64) -> Self {
        Self {
            instructions: self.instructions.saturating_sub(each.instructions * requests),
            allocations: self.allocations.saturating_sub(each.allocations * requests),
        }
    }
}

/// Measures a function: its start, an order, and for products a read. Each is the difference of two processes, of which
/// one has answered more requests.
async fn work(programs: &Path, function: &'static str) -> Budgets {
    let programs = std::fs::canonicalize(programs).expect("the folder of the programs");
    let server = mongod::start_for_tests().await.expect("a MongoDB");
    let count = async |orders, reads| process(&server, &programs, function, orders, reads).await;
    let base = count(WARM, 0).await;
    let order = count(WARM + COUNTED, 0).await.each_beyond(base, COUNTED);
    let mut all = vec![("start", base.without(order, WARM)), ("order", order)];
    if function == "products" {
        all.push(("product", count(WARM, COUNTED).await.each_beyond(base, COUNTED)));
    }
    server.stop().await;
    let quantities = all.into_iter().flat_map(|(name, work)| {
        [
            (format!("{function}.{name}.instructions"), work.instructions),
            (format!("{function}.{name}.allocations"), work.allocations),
        ]
    });
    quantities.collect()
}

/// Counts the work of a process of this function that answers so many requests.
async fn process(server: &Mongod, programs: &Path, function: &'static str, orders: u64, reads: u64) -> Work {
    let folder = std::env::temp_dir().join(format!("oms-budgets-{}", Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    let counted = counted_program(&folder, &programs.join(function));
    let programs = programs.to_owned();
    let program = move |name: &str| if name == function { counted.clone() } else { programs.join(name) };
    let shop = OnLambda::open_programs(program, server.uri(), Options::default(), |it| it).await;
    let (customer, product) = (shop.customer().await, shop.product(STOCK).await);
    for _ in 0..orders {
        let key = Uuid::new_v4().to_string();
        customer.send_keyed(Method::POST, "/orders", &key, &order_of(&product, 1)).await.expect(201);
    }
    for _ in 0..reads {
        customer.get(&format!("/products/{product}")).await.expect(200);
    }
    let environments = shop.lambda.environments(function);
    let [environment] = &environments[..] else { panic!("{} processes of {function}", environments.len()) };
    // valgrind writes when its process ends.
    let pid = Pid::from_raw(environment.pid()).expect("a process ID");
    kill_process(pid, Signal::TERM).expect("a process");
    let counts = written(&folder.join("counts")).await;
    drop(shop);
    std::fs::remove_dir_all(&folder).unwrap();
    Work { instructions: instructions(&counts), allocations: allocations(&counts) }
}

/// Reads a file of valgrind once it is complete.
async fn written(file: &Path) -> String {
    for _ in 0..600 {
        let counts = std::fs::read_to_string(file).unwrap_or_default();
        if counts.lines().last().is_some_and(|line| line.starts_with("totals: ")) {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("valgrind has not written {}", file.display());
}

/// Path of valgrind. Functions have no PATH.
fn valgrind() -> String {
    let found = Command::new("sh").args(["-c", "command -v valgrind"]).output().expect("a shell");
    assert!(found.status.success(), "valgrind is not installed");
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// Writes a program that runs this one under valgrind.
fn counted_program(folder: &Path, program: &Path) -> PathBuf {
    let script = folder.join("function");
    let valgrind = valgrind();
    let text = format!(
        "#!/bin/sh\nexec '{valgrind}' --tool=callgrind --compress-strings=no --callgrind-out-file='{}/counts' '{}'\n",
        folder.display(),
        program.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

fn instructions(counts: &str) -> u64 {
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|number| number.trim().parse().ok()).expect("a total")
}

/// Counts the calls of the C library's functions that allocate.
fn allocations(counts: &str) -> u64 {
    let mut allocates = false;
    let mut all = 0;
    for line in counts.lines() {
        if let Some(called) = line.strip_prefix("cfn=") {
            allocates =
                matches!(called, "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc");
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| allocates) {
            all += calls.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            allocates = false;
        }
    }
    all
}
