//! Shares of a run: the time of a job's turn, and the orders of a shard.

use std::time::Duration;

use shared::error::Error;
use shared::input::validation::ValidationErrors;
use shared::values::ids::OrderId;
use tokio::time::Instant;

use crate::store::Job;

/// Maximum time of a call to products. A call about a locked product would otherwise take the whole run.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum time of an order, its set-aside apart: a call to products, and some writes.
const ORDER_TIMEOUT: Duration = Duration::from_secs(3);

/// Minimum of that: a call to products in full. Otherwise what needs just a little less would fail again and again.
const LEAST_ORDER_TIMEOUT: Duration = Duration::from_millis(2_200);

/// Shortest turn that is worth beginning.
pub(super) const LEAST_TURN: Duration = Duration::from_secs(3);

/// Maximum number of shards.
const MAX_SHARDS: i64 = 64;

/// Turn of a job: no order is begun after a while, so that the last one has its full time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    last_start: Instant,
    end: Instant,
}

impl Turn {
    /// Begins a turn of this length. It is over at once if an order would not have its time.
    pub(super) fn begin(length: Duration) -> Self {
        let now = Instant::now();
        let last = (length / 2).clamp(LEAST_ORDER_TIMEOUT, ORDER_TIMEOUT).min(length);
        Self { last_start: now + (length - last), end: now + length }
    }

    /// True if no order may begin any more.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.last_start
    }

    /// Maximum time of an order.
    pub(super) fn order_timeout(self) -> Duration {
        self.end - self.last_start
    }
}

/// Part of the orders, chosen by a hash of their IDs. Runs of different shards may go on at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Default for Shard {
    /// Shard of all orders.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// Builds a shard: this one of so many. The default is the first of one, which has all orders.
    ///
    /// # Errors
    /// 422 unless it is one of 1 to 64.
    pub fn new(index: Option<i64>, count: Option<i64>) -> Result<Self, Error> {
        let (index, count) = (index.unwrap_or(0), count.unwrap_or(1));
        let mut errors = ValidationErrors::default();
        if !(1..=MAX_SHARDS).contains(&count) {
            errors.add("/shards", format!("must be 1 to {MAX_SHARDS}"));
        } else if !(0..count).contains(&index) {
            errors.add("/shard", format!("must be 0 to {}", count - 1));
        }
        match (u64::try_from(index), u64::try_from(count)) {
            (Ok(index), Ok(count)) if errors.is_empty() => Ok(Self { index, count }),
            _ => Err(errors.into_error()),
        }
    }

    /// True if the order belongs to this shard.
    pub(super) fn has(self, order: OrderId) -> bool {
        // FNV-1a. IDs may begin with a time, so their bytes are mixed; every build must do it alike.
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = order.uuid().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix);
        (hash ^ (hash >> 32)) % self.count == self.index
    }

    /// True for the shard that also does the work that has no order.
    pub(super) fn is_first(self) -> bool {
        self.index == 0
    }

    /// Name of a job's position in this shard.
    pub(super) fn position(self, job: Job) -> String {
        let (name, index, count) = (job.name(), self.index, self.count);
        if count == 1 { name.to_owned() } else { format!("{name} {index}/{count}") }
    }
}

#[cfg(test)]
mod tests {
    use shared::runtime::context::DEFAULT_TIMEOUT;

    use super::super::MARGIN;
    use super::*;

    #[test]
    fn every_order_is_in_just_one_shard_and_all_have_some() {
        let shards: Vec<Shard> = (0..4).map(|index| Shard::new(Some(index), Some(4)).unwrap()).collect();
        let mut sizes = [0; 4];
        for _ in 0..4_000 {
            let order = OrderId::new();
            let having: Vec<usize> = (0..4).filter(|place| shards[*place].has(order)).collect();
            assert_eq!(having.len(), 1);
            sizes[having[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (800..1_200).contains(size)), "{sizes:?}");
    }

    #[test]
    fn without_shards_all_orders_belong_to_one() {
        let all = Shard::new(None, None).unwrap();
        assert!((0..100).all(|_| all.has(OrderId::new())));
        assert_eq!(all.position(Job::Holds), "holds");
        assert_eq!(Shard::new(Some(1), Some(2)).unwrap().position(Job::Holds), "holds 1/2");
    }

    #[test]
    fn a_shard_that_cannot_be_is_refused() {
        for (index, count) in [(0, 0), (0, 65), (2, 2), (-1, 2), (0, i64::MIN)] {
            assert!(Shard::new(Some(index), Some(count)).is_err(), "{index} of {count}");
        }
    }

    #[tokio::test]
    async fn the_last_order_of_a_turn_has_its_full_time() {
        let turn = Turn::begin(Duration::from_secs(10));
        assert_eq!(turn.order_timeout(), ORDER_TIMEOUT);
        assert!(!turn.is_over() && turn.end - turn.last_start == ORDER_TIMEOUT);
        assert_eq!(Turn::begin(Duration::from_secs(5)).order_timeout(), Duration::from_millis(2_500));
        assert!(Turn::begin(Duration::ZERO).is_over());
    }

    #[tokio::test]
    async fn an_order_has_time_for_a_call_or_does_not_begin() {
        let jobs = u32::try_from(Job::ALL.len()).unwrap();
        let busy = (DEFAULT_TIMEOUT - MARGIN) / jobs;
        for length in [busy, LEAST_TURN] {
            let turn = Turn::begin(length);
            assert!(!turn.is_over() && turn.order_timeout() > CALL_TIMEOUT, "{length:?}");
        }
        assert!(Turn::begin(CALL_TIMEOUT).is_over());
    }
}
