//! What `mongod` said before it ended.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// How much of the end of the log is looked at, in bytes.
const TAIL: u64 = 256 * 1024;
const LINES: usize = 8;

/// The log of one run. The file stays open, so that it can be read even when its folder is already gone.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    /// Where this run begins: the file is appended to, run after run.
    start: u64,
}

impl Log {
    /// Opens, or makes, `mongod.log` in the data folder, and locks it.
    ///
    /// The lock is shared with whoever has this file as its output, and ends with the last of them: as long as
    /// a server that was started from here runs, no other is, and their logs do not mix.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] while another server runs; else whatever the file system answers.
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

    /// The file once more, to be the output of a child.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub(crate) fn output(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The lines of this run that tell the most: its errors if it has any, else its last ones.
    ///
    /// A `mongod` that gives up still logs every step of its shutdown, and the reason stands far above the end.
    pub(crate) fn last_words(&self) -> Vec<String> {
        let tail = self.tail();
        let lines: Vec<&str> = tail.lines().filter(|line| !line.trim().is_empty()).collect();
        let severe: Vec<&str> = lines.iter().copied().filter(|line| is_severe(line)).collect();
        let told = if severe.is_empty() { &lines } else { &severe };
        told.iter().skip(told.len().saturating_sub(LINES)).map(|line| shorten(line)).collect()
    }

    /// Whether this run logged `text`.
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
                // A log that cannot be read has nothing to say: it only ever explains another error.
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Errors and fatal lines, and what is no log line at all: the loader's or the shell's complaint.
fn is_severe(line: &str) -> bool {
    !line.starts_with('{') || line.contains(r#""s":"E""#) || line.contains(r#""s":"F""#)
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
