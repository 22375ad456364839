//! How far a load is, and how fast it gets on.

use std::time::{Duration, Instant};

use super::Amounts;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(2);

/// Counts what is written, and tells it now and then.
pub(super) struct Progress<'a> {
    tell: &'a (dyn Fn(&str) + Sync),
    begun: Instant,
    told: Instant,
    /// When something was counted last.
    counted: Instant,
    kinds: Vec<Kind>,
}

/// How much there is of a kind of documents so far, and how long that took.
struct Kind {
    name: &'static str,
    count: usize,
    took: Duration,
}

impl<'a> Progress<'a> {
    pub(super) fn begin(tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        let now = Instant::now();
        Self { tell, begun: now, told: now, counted: now, kinds: Vec::new() }
    }

    /// So many more of a kind, of so many in all.
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
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = self.counted;
        (self.tell)(&format!("{} of {all} {name}, {} a second", kind.count, rate(kind.count, kind.took)));
    }

    /// Tells what was loaded in all.
    pub(super) fn end(self, all: Amounts) {
        let Amounts { products, orders, users } = all;
        let took = self.begun.elapsed();
        (self.tell)(&format!(
            "loaded {products} products, {orders} orders and {users} users in {:.1} s, {} documents a second",
            took.as_secs_f64(),
            rate(products + orders + users, took)
        ));
    }
}

fn rate(count: usize, time: Duration) -> u128 {
    count as u128 * 1_000 / time.as_millis().max(1)
}
