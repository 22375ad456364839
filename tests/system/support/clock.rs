//! A clock that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use shared::values::clock::{Clock, Timestamp};

/// A clock that stands still until a test moves it, and its hand: milliseconds since 1970.
pub(crate) fn hand_moved_clock() -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let hand = now.clone();
    (Clock::from_fn(move || Timestamp::from_millis(now.load(Ordering::SeqCst))), hand)
}
