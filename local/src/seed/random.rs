//! What is left to chance: choices, of which some are more frequent than others, times, and IDs of those times.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use shared::values::clock::Timestamp;
use uuid::Uuid;

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A place among so many, at least one: the first are much more frequent than the last, as with what sells well and
/// who buys much.
pub(super) fn favourite(count: usize, chance: &mut StdRng) -> usize {
    let share = chance.random::<f64>().powi(3);
    // Below `count`, since the share is below one; rounding is harmless for what is no more than a choice.
    ((share * count as f64) as usize).min(count.saturating_sub(1))
}

/// One of some, all as frequent.
pub(super) fn one_of<T: Copy>(some: &[T], chance: &mut StdRng) -> Option<T> {
    let place = chance.random_range(0..some.len().max(1));
    some.get(place).copied()
}

/// Whether something happens that happens so many times in a hundred.
pub(super) fn percent(times: u32, chance: &mut StdRng) -> bool {
    chance.random_range(0..100) < times
}

/// Some time between two others.
pub(super) fn between(from: Timestamp, to: Timestamp, chance: &mut StdRng) -> Timestamp {
    from.after(to.since(from).mul_f64(chance.random()))
}

/// An ID that was made at a time, as all of ours are (UUID version 7).
pub(super) fn id(at: Timestamp, chance: &mut StdRng) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &chance.random()).into_uuid()
}

/// A few letters and digits, which nobody else has got.
pub(super) fn mark(chance: &mut StdRng) -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..12).filter_map(|_| one_of(LETTERS, chance)).map(char::from).collect()
}

/// A password that nobody knows, whatever the seed of the rest is.
pub(super) fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}
