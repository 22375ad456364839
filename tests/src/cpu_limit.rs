//! A program whose processes get a part of one processor, by a control group of Linux: as on Lambda, where the memory
//! size decides about it.

use std::fs::{create_dir, remove_dir, remove_file, write};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

/// Memory size with which a function has one processor, in MB:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const ONE_PROCESSOR: u64 = 1_769;

/// Period in which a group may use its part, in microseconds. AWS does not document Lambda's.
const PERIOD: u64 = 20_000;

/// Attempts to remove a group, whose processes may be ending.
const ATTEMPTS: usize = 100;

/// Program with a control group of its own. Dropped, both are removed.
#[derive(Debug)]
pub struct CpuLimit {
    group: PathBuf,
    script: PathBuf,
}

impl CpuLimit {
    /// Makes a group with the processor of this memory size, and a script that joins it and becomes `program`.
    ///
    /// # Errors
    /// This machine has no controller of processors, or this user may not make a group in it.
    pub fn new(program: &Path, megabytes: u64) -> io::Result<Self> {
        let name = format!("oms-{}", Uuid::new_v4().simple());
        let root = Path::new("/sys/fs/cgroup");
        let is_v2 = root.join("cgroup.controllers").exists();
        let group = if is_v2 { root.join(&name) } else { root.join("cpu").join(&name) };
        if is_v2 {
            // Most often it is on already. If it cannot be turned on, the group has no limit to set.
            let _ = write(root.join("cgroup.subtree_control"), "+cpu");
        }
        create_dir(&group)?;
        let limit = Self { group, script: std::env::temp_dir().join(name) };
        let quota = PERIOD * megabytes / ONE_PROCESSOR;
        if is_v2 {
            write(limit.group.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        } else {
            write(limit.group.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            write(limit.group.join("cpu.cfs_quota_us"), quota.to_string())?;
        }
        let (procs, program) = (limit.group.join("cgroup.procs"), program.display());
        let text = format!("#!/bin/sh\necho $$ > '{}'\nexec '{program}' \"$@\"\n", procs.display());
        let mut script = std::fs::OpenOptions::new();
        let mut script = script.write(true).create_new(true).mode(0o700).open(&limit.script)?;
        io::Write::write_all(&mut script, text.as_bytes())?;
        Ok(limit)
    }

    /// Script to start instead of the program.
    pub fn program(&self) -> &Path {
        &self.script
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        // It may not have been written.
        let _ = remove_file(&self.script);
        for _ in 0..ATTEMPTS {
            if remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
