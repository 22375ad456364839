//! Log lines that explain why `mongod` ended.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Number of bytes read from the end of the log.
const TAIL: u64 = 256 * 1024;
const LINES: usize = 8;

/// Log of one run. The file stays open, so that it can be read after its folder was removed.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    /// Offset at which this run begins: the file is appended to, run after run.
    start: u64,
}

impl Log {
    /// Opens or creates `mongod.log` in the data folder, and locks it.
    ///
    /// The lock is shared with every process that has this file as its output, and ends with the last of
    /// them. So at most one server that was started from here runs, and logs do not mix.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] while another server runs; else any error of the file system.
    pub(crate) fn open(folder: &Path) -> Result<Self, TryLockError> {
        let path = folder.join("mongod.log");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = file.map_err(TryLockError::Error)?;
        file.try_lock()?;
        let start = file.metadata().map_err(TryLockError::Error)?.len();
        Ok(Self { file, path, start })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Duplicates the file handle, for the output of a child process.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub(crate) fn output(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Returns the most telling lines of this run: its errors if it has any, else its last lines.
    ///
    /// A `mongod` that fails still logs every step of its shutdown, so the reason stands far above the end.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let tail = self.tail();
        let lines: Vec<&str> = tail.lines().filter(|line| !line.trim().is_empty()).collect();
        let severe: Vec<&str> = lines.iter().copied().filter(|line| is_severe(line)).collect();
        let chosen = if severe.is_empty() { &lines } else { &severe };
        chosen.iter().skip(chosen.len().saturating_sub(LINES)).map(|line| shorten(line)).collect()
    }

    /// Returns true if this run logged `text`.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.tail().contains(text)
    }

    fn tail(&self) -> String {
        let end = self.file.metadata().map_or(self.start, |metadata| metadata.len());
        let mut position = self.start.max(end.saturating_sub(TAIL));
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while position < end {
            match self.file.read_at(&mut buffer, position) {
                Ok(read @ 1..) => {
                    bytes.extend_from_slice(&buffer[..read]);
                    position += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The log only ever explains another error, so a failure to read it is ignored.
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Selects errors, fatal lines, and lines that are not `mongod`'s: complaints of the loader or the shell.
fn is_severe(line: &str) -> bool {
    !line.starts_with('{') || line.contains(r#""s":"E""#) || line.contains(r#""s":"F""#)
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
