//! The whole system on the small Lambda of the tests, for the portable tests or any other command that takes its
//! target from the environment:
//!
//! ```sh
//! cargo run --example small_lambda -- cargo test --test api
//! ```
//! With `--freeze` before the command every function is frozen between two requests. Without a command it says its
//! variables, and runs until its standard input ends.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "it is a program for a terminal")]

use std::io::Read as _;
use std::process::{Command, ExitCode};

use tests::lambda::Options;
use tests::on_lambda::OnLambda;
use tests::person::PASSWORD;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let freezes = arguments.next_if(|argument| argument == "--freeze").is_some();
    let shop = OnLambda::open_with(Options { freezes, ..Options::default() }, |functions| functions).await;
    let variables = [
        ("OMS_TARGET", shop.base.clone()),
        ("OMS_EMULATOR", "small-lambda".to_owned()),
        ("OMS_ADMIN_EMAIL", shop.admin().email),
        ("OMS_ADMIN_PASSWORD", PASSWORD.to_owned()),
    ];
    let Some(program) = arguments.next() else {
        for (name, value) in variables {
            println!("{name}='{value}'");
        }
        let wait = || std::io::stdin().read_to_end(&mut Vec::new());
        // Whatever comes, an error too, ends it.
        let _ = tokio::task::spawn_blocking(wait).await;
        return ExitCode::SUCCESS;
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables);
    for name in local::cargo::own_variables() {
        command.env_remove(name);
    }
    let run = tokio::task::spawn_blocking(move || command.status());
    let status = run.await.expect("a thread").expect("the command cannot be run");
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
