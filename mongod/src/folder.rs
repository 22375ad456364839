//! Temporary folders with a name of their own.

use std::{
    fs, io, mem,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Makes a folder inside `parent` that did not exist before, and that only this user may enter.
fn make_unique(parent: &Path, prefix: &str) -> io::Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let folder = parent.join(format!("{prefix}{}-{count}-{nanos:x}", process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A folder that is removed when this is dropped.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// # Errors
    /// Whatever the file system answers.
    pub(crate) fn inside(parent: &Path, prefix: &str) -> io::Result<Self> {
        make_unique(parent, prefix).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves the folder to somebody else to remove.
    pub(crate) fn keep(mut self) -> PathBuf {
        mem::take(&mut self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Nobody is left to be told.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
