//! Progress of a load, and its speed.

use std::time::{Duration, Instant};

use super::Amounts;

/// Interval between reports.
const EVERY: Duration = Duration::from_secs(2);

/// Counter of written documents that reports now and then.
pub(super) struct Progress<'a> {
    report: &'a (dyn Fn(&str) + Sync),
    begun: Instant,
    reported: Instant,
    /// Time of the last count.
    counted: Instant,
    kinds: Vec<Kind>,
}

/// Number of documents of a kind, and the time that they took.
struct Kind {
    name: &'static str,
    count: usize,
    took: Duration,
}

impl<'a> Progress<'a> {
    pub(super) fn begin(report: &'a (dyn Fn(&str) + Sync)) -> Self {
        let now = Instant::now();
        Self { report, begun: now, reported: now, counted: now, kinds: Vec::new() }
    }

    /// Adds documents of a kind; `all` is the target.
    pub(super) fn of(&mut self, name: &'static str, more: usize, all: usize) {
        let place = match self.kinds.iter().position(|kind| kind.name == name) {
            Some(place) => place,
            None => {
                self.kinds.push(Kind { name, count: 0, took: Duration::ZERO });
                self.kinds.len() - 1
            }
        };
        let Some(kind) = self.kinds.get_mut(place) else { return };
        kind.count += more;
        kind.took += self.counted.elapsed();
        self.counted = Instant::now();
        if self.reported.elapsed() < EVERY {
            return;
        }
        self.reported = self.counted;
        (self.report)(&format!("{} of {all} {name}, {} a second", kind.count, rate(kind.count, kind.took)));
    }

    /// Reports the total.
    pub(super) fn end(self, all: Amounts) {
        let Amounts { products, orders, users } = all;
        let took = self.begun.elapsed();
        (self.report)(&format!(
            "loaded {products} products, {orders} orders and {users} users in {:.1} s, {} documents a second",
            took.as_secs_f64(),
            rate(products + orders + users, took)
        ));
    }
}

fn rate(count: usize, time: Duration) -> u128 {
    count as u128 * 1_000 / time.as_millis().max(1)
}
