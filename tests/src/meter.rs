//! Readings of processes: processor time and memory, as Linux counts them. And where they were taken.

use std::process::Command;
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Document, doc};

/// Time over which MongoDB's own work is measured.
const IDLE: Duration = Duration::from_secs(5);

/// Processor time of the threads of a process, in microseconds. Zero for a process that is gone.
pub fn process_cpu(pid: i32) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let nanoseconds = threads.filter_map(Result::ok).map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    });
    nanoseconds.sum::<u64>() / 1_000
}

/// Peak of the memory of a process, in KiB.
///
/// # Panics
/// The process is gone.
pub fn peak_memory(pid: i32) -> u64 {
    of_status(pid, "VmHWM:")
}

/// Resident memory of a process, in KiB.
///
/// # Panics
/// The process is gone.
pub fn resident_memory(pid: i32) -> u64 {
    of_status(pid, "VmRSS:")
}

fn of_status(pid: i32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    size.unwrap_or_else(|| panic!("the process {pid} is gone"))
}

/// Processor time that the MongoDB of this database has taken, in microseconds.
///
/// # Panics
/// MongoDB does not answer.
pub async fn mongodb_cpu(database: &Database) -> u64 {
    let status = database.client().database("admin").run_command(doc! { "serverStatus": 1 }).await;
    let status: Document = status.unwrap_or_else(|error| panic!("{error}"));
    let time = |field: &str| {
        let micros = status.get_document("extra_info").ok()?.get(field)?;
        u64::try_from(micros.as_i64().or(micros.as_i32().map(i64::from))?).ok()
    };
    match (time("user_time_us"), time("system_time_us")) {
        (Some(user), Some(system)) => user + system,
        _ => panic!("MongoDB does not report its processor time"),
    }
}

/// Microseconds of processor time that MongoDB takes in a second without requests.
///
/// # Panics
/// MongoDB does not answer.
pub async fn idle_mongodb_cpu(database: &Database) -> u64 {
    let before = mongodb_cpu(database).await;
    tokio::time::sleep(IDLE).await;
    (mongodb_cpu(database).await - before) / IDLE.as_secs()
}

/// Commit of this checkout, abbreviated. Empty without git.
pub fn commit() -> String {
    let git = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    git.map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned()).unwrap_or_default()
}

/// Processor, and number of cores.
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// Load of the last minute.
pub fn load_average() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}
