//! Temporary folders with unique names.

use std::{
    fs, io, mem,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Creates a new folder inside `parent` that only this user may enter.
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

/// Folder that is removed on drop.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Creates a folder inside `parent`, whose name begins with `prefix`.
    ///
    /// # Errors
    /// Any error of the file system.
    pub(crate) fn inside(parent: &Path, prefix: &str) -> io::Result<Self> {
        make_unique(parent, prefix).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps the folder; the caller takes over its removal.
    pub(crate) fn keep(mut self) -> PathBuf {
        mem::take(&mut self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // A drop cannot report an error.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
