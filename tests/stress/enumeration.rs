//! Whoever measures how long a sign-in takes does not learn whether there is such a user.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tests::in_process::InProcess;
use tests::shop::new_email;

use crate::campaign::{Campaign, is_long};

/// Kinds of users who sign in, always with a wrong password.
const KINDS: [&str; 3] = ["a user", "nobody", "a disabled user"];

/// Pairs that are compared.
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// How far apart the distributions may be, in standard deviations of the rank sum: by chance they are that far apart
/// once in some fifteen thousand comparisons.
const FAR_APART: f64 = 4.0;

/// How much longer the one may take than the other in the middle, beside what is measured at all.
const LONGER: f64 = 0.05;

/// Rounds of a short run. After the first stage it goes on only if it sees half of a leak, which few runs without one
/// do. So it finds as much as if it always went through all rounds: the last test below simulates that.
const STAGES: [usize; 2] = [220, 700];

/// Difference between two kinds.
struct Difference {
    deviations: f64,
    longer: f64,
}

impl Difference {
    fn of(one: &[Duration], other: &[Duration]) -> Self {
        let longer = (median(one) - median(other)).abs() / median(other);
        Self { deviations: rank_sum(one, other), longer }
    }

    /// True if it is this part of a leak. With many attempts a difference is found that nobody could use, and a median
    /// wanders by chance: a leak is both.
    fn is_leak(&self, part: f64) -> bool {
        self.deviations.abs() >= FAR_APART * part && self.longer >= LONGER * part
    }
}

/// Many attempts, one of each kind after the other in an order that is left to chance: whatever else the machine does
/// meanwhile, it does to all of them.
#[tokio::test]
#[ignore = "a campaign"]
async fn how_long_a_sign_in_takes_does_not_tell_whether_there_is_such_a_user() {
    let mut campaign = Campaign::begin("enumeration");
    let mut chance = campaign.chance();
    let shop = InProcess::open().await;
    let (known, disabled) = (shop.customer().await, shop.customer().await);
    let status = json!({ "status": "disabled" });
    shop.admin().put(&format!("/users/{}", disabled.id), status).await.expect(200);
    let attempts = shop.database.collection::<Document>("user_attempts");

    let stages: &[usize] = if is_long() { &[4_000] } else { &STAGES };
    let mut stages = stages.iter().copied().peekable();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0.. {
        if stages.next_if_eq(&round).is_some() {
            let differ =
                PAIRS.iter().any(|&(one, other)| Difference::of(&times[one], &times[other]).is_leak(0.5));
            if stages.peek().is_none() || !differ {
                break;
            }
        }
        if round % 9 == 0 {
            // What is locked is refused sooner, known or not; that is no secret.
            attempts.delete_many(doc! {}).await.unwrap();
        }
        let mut order = [0, 1, 2];
        order.shuffle(&mut chance);
        for kind in order {
            let email = [known.email.clone(), new_email(), disabled.email.clone()][kind].clone();
            let begun = Instant::now();
            let answer =
                shop.anyone().post("/auth", json!({ "email": email, "password": "a wrong password" })).await;
            // The first round opens connections.
            if round > 0 {
                times[kind].push(begun.elapsed());
            }
            campaign
                .holds(answer.status == 401, || format!("{} was answered {}", KINDS[kind], answer.status));
            campaign.cases += 1;
        }
    }

    for (kind, times) in KINDS.iter().zip(&times) {
        crate::campaign::tell(&format!("{kind}: {:.2} ms in the middle\n", median(times) * 1e3));
    }
    for (one, other) in PAIRS {
        let difference = Difference::of(&times[one], &times[other]);
        let Difference { deviations, longer } = difference;
        let figures = format!("{deviations:.2} deviations, {:.1} % apart", longer * 100.0);
        let pair = format!("{} and {}", KINDS[one], KINDS[other]);
        crate::campaign::tell(&format!("{pair}: {figures}\n"));
        campaign.holds(!difference.is_leak(1.0), || format!("{pair} can be told apart: {figures}"));
    }
    campaign.end();
}

/// In seconds.
fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].as_secs_f64()
}

/// The rank sum test of Wilcoxon, Mann and Whitney: by how many standard deviations the ranks of `one` among both are
/// away from where they would be if both were of one distribution.
fn rank_sum(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<_> =
        one.iter().map(|time| (time, true)).chain(other.iter().map(|time| (time, false))).collect();
    all.sort_unstable();
    let ranks: f64 =
        (1_u32..).zip(&all).filter(|(_, (_, is_one))| *is_one).map(|(rank, _)| f64::from(rank)).sum();
    let [n, m] = [one, other].map(|times| f64::from(u32::try_from(times.len()).unwrap()));
    let expected = n * (n + m + 1.0) / 2.0;
    (ranks - expected) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[test]
fn the_rank_sum_tells_what_differs_from_what_does_not() {
    let times =
        |offset: u64| -> Vec<_> { (0..500).map(|it| Duration::from_micros(it * 7 + offset)).collect() };
    assert!(rank_sum(&times(0), &times(3)).abs() < 1.0);
    assert!(rank_sum(&times(0), &times(700)) < -FAR_APART);
}

#[test]
fn the_first_stage_goes_on_for_nearly_every_leak() {
    let mut chance = StdRng::seed_from_u64(1);
    // A sum of uniform numbers is near enough to a normal one: 60 ms, and a tenth of that as its deviation.
    let mut attempt = |longer: f64| {
        let noise = (0..12).map(|_| chance.random::<f64>()).sum::<f64>() - 6.0;
        Duration::from_secs_f64(0.060 * (1.0 + longer + 0.1 * noise))
    };
    let mut attempts = |longer: f64| (0..STAGES[0]).map(|_| attempt(longer)).collect::<Vec<_>>();
    let mut goes_on = |longer: f64| {
        let runs = (0..200).filter(|_| Difference::of(&attempts(longer), &attempts(0.0)).is_leak(0.5));
        runs.count()
    };
    let (leaks, none) = (goes_on(LONGER), goes_on(0.0));
    assert!(leaks >= 190, "only {leaks} of 200 runs with a leak go on");
    assert!(none <= 20, "{none} of 200 runs without a leak go on");
}
