//! What a campaign tells: a line of a table, and how to run again what has failed.

use std::fmt::Debug;
use std::sync::Once;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Number of passes of a long run.
const LONG: u64 = 5;

/// The seed when nobody asks for another one. CI asks for that of its commit.
const SEED: u64 = 1;

/// A short run goes through every third case, beginning with another one for another seed.
const SHARE: u64 = 3;

/// Progress and findings of a campaign.
pub(crate) struct Report {
    name: &'static str,
    test: &'static str,
    only: Option<String>,
    /// Number of cases so far, run or not.
    seen: u64,
    cases: usize,
    faults: usize,
    longest_to_heal: Option<Duration>,
    violations: Vec<String>,
}

impl Report {
    /// Of a campaign, and the test that it is.
    pub(crate) fn of(name: &'static str, test: &'static str) -> Self {
        let only = variable("OMS_CASE");
        Self { name, test, only, seen: 0, cases: 0, faults: 0, longest_to_heal: None, violations: Vec::new() }
    }

    /// True if a case is to be run: the one that was asked for, each one in a long run, else a part of them. If so it is
    /// counted.
    pub(crate) fn runs(&mut self, case: &str) -> bool {
        self.runs_one_of(SHARE, case)
    }

    /// The same where a short run goes through one of so many. `OMS_SHARE` asks for another number.
    pub(crate) fn runs_one_of(&mut self, share: u64, case: &str) -> bool {
        let share = number("OMS_SHARE").unwrap_or(if is_long() { 1 } else { share });
        let runs = match &self.only {
            Some(only) => only == case,
            None => (self.seen + seeds().start).is_multiple_of(share),
        };
        self.seen += 1;
        self.cases += usize::from(runs);
        runs
    }

    /// So many faults were made.
    pub(crate) fn faults(&mut self, faults: usize) {
        self.faults += faults;
    }

    /// It took so long to heal.
    pub(crate) fn healed(&mut self, took: Duration) {
        self.longest_to_heal = self.longest_to_heal.max(Some(took));
    }

    /// Something that must not be.
    pub(crate) fn violation(&mut self, seed: u64, case: &str, what: impl Into<String>) {
        let (test, what, long) = (self.test, what.into(), u8::from(is_long()));
        self.violations.push(format!(
            "{what}\n    again: OMS_LONG={long} OMS_SEED={seed} OMS_CASE='{case}' \
             cargo test --test faults {test}"
        ));
    }

    /// Notes a difference.
    pub(crate) fn compare<T: PartialEq + Debug>(
        &mut self,
        seed: u64,
        case: &str,
        what: &str,
        is: &T,
        shall: &T,
    ) {
        if is != shall {
            self.violation(seed, case, format!("{what}: {is:#?}, and not {shall:#?}"));
        }
    }

    /// Prints the line, and fails when there were violations, or no case at all.
    #[expect(clippy::print_stdout, reason = "whoever asks for it with --nocapture wants to see the table")]
    pub(crate) fn ends(self) {
        static HEAD: Once = Once::new();
        HEAD.call_once(|| {
            println!("| campaign | cases | faults | violations | longest time to heal |");
            println!("| --- | --- | --- | --- | --- |");
        });
        let Self { name, only, cases, faults, longest_to_heal, violations, .. } = self;
        let longest = longest_to_heal.map(|took| format!("{} ms", took.as_millis()));
        let (violated, longest) = (violations.len(), longest.unwrap_or_else(|| "nothing to heal".to_owned()));
        println!("| {name} | {cases} | {faults} | {violated} | {longest} |");
        assert!(violations.is_empty(), "{name}:\n{}", violations.join("\n"));
        // A case that is asked for by name is of one campaign, and the others have none.
        assert!(cases > 0 || only.is_some(), "{name}: no case");
    }
}

/// The seeds to go through: one, or several in a long run of all cases.
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let seed = number("OMS_SEED").unwrap_or(SEED);
    match is_long() && variable("OMS_CASE").is_none() {
        true => seed..seed + LONG,
        false => seed..seed + 1,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|value| value.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// True if a long run is wanted.
pub(crate) fn is_long() -> bool {
    std::env::var("OMS_LONG").is_ok_and(|long| long == "1")
}

/// The choices of a case: the same whether it runs alone or after others.
pub(crate) fn choices(seed: u64, case: &str) -> StdRng {
    let of_case = case.bytes().fold(seed, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    StdRng::seed_from_u64(of_case)
}
