//! A campaign: its seed, its size, and the line that it has in the table at the end.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Progress and findings of a campaign.
pub(crate) struct Campaign {
    name: &'static str,
    seed: u64,
    begun: Instant,
    /// Number of tries: orders, keys, or operations under a fault.
    pub(crate) cases: usize,
    /// Number of faults of the database, or of answers that it was too busy (503).
    pub(crate) faults: usize,
    /// Longest time until all was well again.
    pub(crate) longest_to_heal: Duration,
    violations: Vec<String>,
    ended: bool,
}

/// True if campaigns have their full size.
pub(crate) fn is_long() -> bool {
    std::env::var("OMS_LONG").is_ok_and(|long| long == "1")
}

impl Campaign {
    /// Begins one, with the seed that `OMS_SEED` names, or another one each time.
    pub(crate) fn begin(name: &'static str) -> Self {
        let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = match std::env::var("OMS_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => u64::from(since().subsec_nanos()),
        };
        Self {
            name,
            seed,
            begun: Instant::now(),
            cases: 0,
            faults: 0,
            longest_to_heal: Duration::ZERO,
            violations: Vec::new(),
            ended: false,
        }
    }

    /// The source of all that is left to chance. What runs at once is still in the hands of the scheduler.
    pub(crate) fn chance(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// Notes how long it took until all was well.
    pub(crate) fn healed_in(&mut self, time: Duration) {
        self.longest_to_heal = self.longest_to_heal.max(time);
    }

    /// Notes what must never be.
    pub(crate) fn finds(&mut self, violations: impl IntoIterator<Item = String>) {
        self.violations.extend(violations);
    }

    /// Notes it if this does not hold.
    pub(crate) fn holds(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.violations.push(otherwise());
        }
    }

    /// Prints the line of the table, and fails if anything was found.
    pub(crate) fn end(mut self) {
        self.ended = true;
        let row = format!(
            "\n| campaign | cases | faults | violations | longest to heal | took |\n\
             | --- | --- | --- | --- | --- | --- |\n\
             | {} | {} | {} | {} | {:.2} s | {:.0} s |\n",
            self.name,
            self.cases,
            self.faults,
            self.violations.len(),
            self.longest_to_heal.as_secs_f64(),
            self.begun.elapsed().as_secs_f64(),
        );
        tell(&row);
        assert!(
            self.violations.is_empty(),
            "{}, run it again with OMS_SEED={}:\n{}",
            self.name,
            self.seed,
            self.violations.join("\n")
        );
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if !self.ended {
            tell(&format!("{} has stopped; run it again with OMS_SEED={}\n", self.name, self.seed));
        }
    }
}

/// Standard output belongs to the tests' runner, which keeps it for itself.
pub(crate) fn tell(text: &str) {
    // A closed standard error is no failure.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
