//! A fault at every command that an operation sends to MongoDB: a documented answer, and the right state in the end.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::mongo_tap::Command;
use tokio::time::timeout;

use crate::campaign::{Campaign, is_long};
use crate::fault::{Fault, Saboteur};
use crate::operations::{Answered, OPERATIONS, Operation, Prepared};
use crate::recovery;

/// After how long a fault that lasts is lifted at the latest: sooner than the functions give up on what they try
/// again, so that both are met, giving up and going on.
const LASTS: Duration = Duration::from_millis(700);

/// Of how many commands of one operation a short campaign has a fault.
const PLACES: usize = 5;

/// The faults of a campaign: all of them, or one at each command, in an order left to chance.
fn chosen(commands: &[Command], chance: &mut StdRng) -> Vec<Fault> {
    let mut all = Fault::all(commands);
    if is_long() {
        return all;
    }
    all.shuffle(chance);
    let mut places: Vec<usize> = (0..commands.len()).collect();
    places.shuffle(chance);
    places.truncate(PLACES);
    let at = |place: &usize| {
        let here: Vec<Fault> = all.iter().filter(|fault| fault.place == *place).copied().collect();
        here.choose(chance).copied()
    };
    places.iter().filter_map(at).collect()
}

/// A fault during an operation, what follows, and what is found then.
struct Case<'a> {
    saboteur: &'a Saboteur,
    shop: &'a InProcess,
    fault: Fault,
    prepared: Prepared,
}

impl Case<'_> {
    /// Does the operation while the fault happens. How often it has happened.
    async fn acts(&self, commands: &[Command]) -> (Answered, usize) {
        let struck = self.saboteur.begins(self.fault, commands).await;
        let mut acting = std::pin::pin!(self.prepared.act(self.shop));
        match timeout(LASTS, &mut acting).await {
            Ok(answered) => (answered, self.saboteur.ends(struck).await),
            Err(_) => {
                let struck = self.saboteur.ends(struck).await;
                (acting.await, struck)
            }
        }
    }

    async fn heals(&self, campaign: &mut Campaign) -> Vec<String> {
        match recovery::heals(self.shop, &self.shop.database).await {
            Ok(took) => campaign.healed_in(took),
            Err(violation) => return vec![violation],
        }
        recovery::violations(self.shop, &self.shop.database).await
    }

    /// Everything that must never be, found on the way.
    async fn run(&self, commands: &[Command], campaign: &mut Campaign, heals_first: bool) -> Vec<String> {
        let mut found = Vec::new();
        let (first, struck) = self.acts(commands).await;
        campaign.faults += struck;
        if let Answered::Wrong(wrong) = &first {
            found.push(wrong.clone());
        }
        if struck == 0 {
            found.push("the fault has met no command".to_owned());
        }
        if heals_first {
            found.extend(self.heals(campaign).await);
            let is_done = matches!(first, Answered::Done(_));
            found.extend(self.prepared.faults_on_disk(self.shop, is_done).await);
        }
        let again = self.prepared.act(self.shop).await;
        match (&first, &again) {
            (Answered::Done(first), Answered::Done(again)) if first != again => {
                found.push(format!("first {first:?}, and then {again:?}"));
            }
            (_, Answered::Done(_)) => {}
            (_, again) => found.push(format!("again, without a fault: {again:?}")),
        }
        found.extend(self.heals(campaign).await);
        found.extend(self.prepared.faults_on_disk(self.shop, true).await);
        found
    }
}

async fn faults_at_every_command_of(operation: Operation, campaign: &mut Campaign, chance: &mut StdRng) {
    let saboteur = Saboteur::of_the_shared_server().await;
    let shop = InProcess::open_at(&saboteur.uri(), Clock::system()).await;
    // The first has keys to fetch, connections to open, and no watermark; the second shows what is usual.
    let mut commands = Vec::new();
    for _ in 0..2 {
        let prepared = operation.prepare(&shop).await;
        saboteur.tap.heard();
        assert!(matches!(prepared.act(&shop).await, Answered::Done(_)), "{operation:?}");
        commands = saboteur.tap.heard();
        recovery::heals(&shop, &shop.database).await.unwrap();
    }
    for fault in chosen(&commands, chance) {
        let prepared = operation.prepare(&shop).await;
        let case = Case { saboteur: &saboteur, shop: &shop, fault, prepared };
        let found = case.run(&commands, campaign, chance.random()).await;
        campaign.cases += 1;
        let name = &commands[fault.place].name;
        campaign.finds(found.into_iter().map(|it| format!("{operation:?}, {name}, {fault:?}: {it}")));
    }
}

#[tokio::test]
#[ignore = "a campaign: see main.rs"]
async fn whatever_command_meets_a_fault_the_answer_is_documented_and_all_is_right_in_the_end() {
    let mut campaign = Campaign::begin("commands");
    let mut chance = campaign.chance();
    for operation in OPERATIONS {
        faults_at_every_command_of(operation, &mut campaign, &mut chance).await;
    }
    campaign.end();
}
