//! The maintenance function on Lambda: one task, which `_HANDLER` names.

use std::process::ExitCode;
use std::sync::Arc;

use maintenance::NAME;
use maintenance::task::Task;
use shared::runtime::run;
use shared::values::clock::Clock;

fn main() -> ExitCode {
    run::task(NAME, |variables| {
        let task = Arc::new(Task::read(variables, Clock::system())?);
        Ok(move |event| {
            let task = task.clone();
            async move { task.run(event).await }
        })
    })
}
