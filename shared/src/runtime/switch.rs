//! Switches of what a process measures.

use std::sync::atomic::{AtomicBool, Ordering};

/// Switch of an output: true once it was asked for.
pub(super) struct Switch(AtomicBool);

impl Switch {
    pub(super) const fn off() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(super) fn turn_on(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
