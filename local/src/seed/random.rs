//! Random choices, some more frequent than others, random times, and IDs of those times.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use shared::values::clock::Timestamp;
use uuid::Uuid;

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Draws an index below `count`, which is at least one. Small indexes are much more frequent, like
/// bestsellers and frequent buyers.
pub(super) fn favourite(count: usize, rng: &mut StdRng) -> usize {
    let share = rng.random::<f64>().powi(3);
    // Below `count`, since the share is below one; rounding does no harm to a choice.
    ((share * count as f64) as usize).min(count.saturating_sub(1))
}

/// Draws one element, all equally likely.
pub(super) fn one_of<T: Copy>(some: &[T], rng: &mut StdRng) -> Option<T> {
    let place = rng.random_range(0..some.len().max(1));
    some.get(place).copied()
}

/// Returns true in so many of a hundred cases.
pub(super) fn percent(times: u32, rng: &mut StdRng) -> bool {
    rng.random_range(0..100) < times
}

/// Draws a time between two others.
pub(super) fn between(from: Timestamp, to: Timestamp, rng: &mut StdRng) -> Timestamp {
    from.after(to.since(from).mul_f64(rng.random()))
}

/// Creates an ID of a given time (UUID version 7, like all IDs here).
pub(super) fn id(at: Timestamp, rng: &mut StdRng) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rng.random()).into_uuid()
}

/// Draws a mark of letters and digits that is unique in practice.
pub(super) fn mark(rng: &mut StdRng) -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..12).filter_map(|_| one_of(LETTERS, rng)).map(char::from).collect()
}

/// Draws a password independently of the seed, so that it stays unknown.
pub(super) fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}
