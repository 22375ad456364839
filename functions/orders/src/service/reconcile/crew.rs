//! Several orders at work at once, none of a part beside another with the same product.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use shared::error::Error;
use shared::values::ids::ProductId;
use tokio::sync::Semaphore;

use super::turn::Turn;

/// Number of orders at work at once: fewer than MongoDB connections in the pool.
const PLACES: usize = 9;

/// Maximum number of places of one part of a job. So what is tried again leaves places to the rest, and the rest to
/// it, even if none of its orders is answered.
const MOST_PLACES: usize = 7;

/// Number of calls in a row without an answer after which a product counts as stuck.
const STALLS: u32 = 2;

/// Reaction of products to a call about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// There was no call, or it failed at once.
    None,
    /// It was answered.
    Answered,
    /// It was not answered in time.
    Stalled,
}

/// Standing of an order's products in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// None is known to be stuck.
    Free,
    /// One is stuck. It may be one that shares its orders with the one that is locked.
    Suspect,
    /// All products of an order that was not answered are among them: this one would not be answered either.
    Stuck,
}

/// Products whose calls are not answered, as known in this run. Another transaction may have locked them.
///
/// No further order of theirs is tried in the run: each would occupy a place until its call times out.
#[derive(Debug, Default)]
pub(super) struct StuckProducts {
    stalls: HashMap<ProductId, u32>,
    /// Products of the orders that were not answered.
    sets: Vec<HashSet<ProductId>>,
}

impl StuckProducts {
    fn note(&mut self, products: &[ProductId], reaction: Reaction) {
        match reaction {
            Reaction::None => {}
            Reaction::Answered => {
                for product in products {
                    self.stalls.remove(product);
                }
                self.sets.retain(|set| !set.iter().all(|product| products.contains(product)));
            }
            Reaction::Stalled => {
                for product in products {
                    *self.stalls.entry(*product).or_default() += 1;
                }
                self.sets.push(products.iter().copied().collect());
            }
        }
    }

    fn standing(&self, products: &[ProductId]) -> Standing {
        let is_stuck = |product| self.stalls.get(product).is_some_and(|stalls| *stalls >= STALLS);
        if !products.iter().any(is_stuck) {
            return Standing::Free;
        }
        let has_all = |set: &HashSet<ProductId>| set.iter().all(|product| products.contains(product));
        if self.sets.iter().any(has_all) { Standing::Stuck } else { Standing::Suspect }
    }
}

/// Order to work on.
#[derive(Debug)]
pub(super) struct Piece<T> {
    /// Its products.
    pub(super) products: Vec<ProductId>,
    /// The order.
    pub(super) item: T,
}

/// Places of a run and its stuck products. The two parts of a job share them.
#[derive(Debug)]
pub(super) struct Crew {
    places: Semaphore,
    stuck: Mutex<StuckProducts>,
}

impl Default for Crew {
    fn default() -> Self {
        Self { places: Semaphore::new(PLACES), stuck: Mutex::default() }
    }
}

impl Crew {
    fn stuck(&self) -> MutexGuard<'_, StuckProducts> {
        // Its counts stay usable even if a holder panicked.
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on all pieces of a part, while the turn lasts. `act` gets a piece and the standing of its
    /// products. Returns true if all were begun; each of those has ended.
    ///
    /// # Errors
    /// The first error of `ended`. What is at work then is dropped.
    pub(super) async fn work_on<T, R, F>(
        &self,
        pieces: Vec<Piece<T>>,
        turn: Turn,
        act: impl Fn(T, Standing) -> F,
        ended: impl Fn(R) -> Result<(), Error>,
    ) -> Result<bool, Error>
    where
        F: Future<Output = (R, Reaction)>,
    {
        let mut waiting = VecDeque::from(pieces);
        let mut busy: HashSet<ProductId> = HashSet::new();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < MOST_PLACES && !turn.is_over() {
                let Ok(place) = self.places.try_acquire() else { break };
                let free = |piece: &Piece<T>| piece.products.iter().all(|product| !busy.contains(product));
                let Some(piece) = waiting.iter().position(free).and_then(|next| waiting.remove(next)) else {
                    break;
                };
                let Piece { products, item } = piece;
                busy.extend(&products);
                let acting = act(item, self.stuck().standing(&products));
                running.push(async move {
                    let (result, reaction) = acting.await;
                    drop(place);
                    (products, result, reaction)
                });
            }
            let Some((products, result, reaction)) = running.next().await else {
                return Ok(waiting.is_empty());
            };
            for product in &products {
                busy.remove(product);
            }
            self.stuck().note(&products, reaction);
            ended(result)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use futures::future::{Either, select};

    use super::*;

    fn piece(products: &[ProductId], item: usize) -> Piece<usize> {
        Piece { products: products.to_vec(), item }
    }

    /// Works on pieces that take a millisecond each. Returns the number of pieces at work at once.
    async fn most_at_once(pieces: Vec<Piece<usize>>) -> usize {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let act = |_, _| async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::time::sleep(Duration::from_millis(1)).await;
            now.set(now.get() - 1);
            ((), Reaction::Answered)
        };
        let turn = Turn::begin(Duration::from_secs(60));
        assert!(Crew::default().work_on(pieces, turn, act, |()| Ok(())).await.unwrap());
        most.get()
    }

    #[tokio::test]
    async fn orders_of_one_product_are_at_work_one_by_one() {
        let product = ProductId::new();
        assert_eq!(most_at_once((0..20).map(|item| piece(&[product], item)).collect()).await, 1);
        let distinct = (0..20).map(|item| piece(&[ProductId::new()], item)).collect();
        assert_eq!(most_at_once(distinct).await, MOST_PLACES);
    }

    #[tokio::test]
    async fn a_product_without_answers_is_stuck_after_two_calls() {
        let (locked, free) = (ProductId::new(), ProductId::new());
        let pieces = (0..6_usize)
            .map(|item| piece(&[if item.is_multiple_of(2) { locked } else { free }], item))
            .collect();
        let act = |item: usize, standing| async move {
            let reaction = if item.is_multiple_of(2) { Reaction::Stalled } else { Reaction::Answered };
            ((item, standing), reaction)
        };
        let seen = RefCell::new(Vec::new());
        let turn = Turn::begin(Duration::from_secs(60));
        let note = |result| {
            seen.borrow_mut().push(result);
            Ok(())
        };
        Crew::default().work_on(pieces, turn, act, note).await.unwrap();
        let mut seen = seen.into_inner();
        seen.sort_unstable();
        let (free, stuck) = (Standing::Free, Standing::Stuck);
        assert_eq!(seen, [(0, free), (1, free), (2, free), (3, free), (4, stuck), (5, free)]);
    }

    #[tokio::test]
    async fn an_answer_frees_a_product_that_was_stuck() {
        let product = [ProductId::new()];
        let mut stuck = StuckProducts::default();
        for _ in 0..STALLS {
            stuck.note(&product, Reaction::Stalled);
        }
        stuck.note(&product, Reaction::None);
        assert_eq!(stuck.standing(&product), Standing::Stuck);
        stuck.note(&product, Reaction::Answered);
        assert_eq!(stuck.standing(&product), Standing::Free);
    }

    #[test]
    fn a_product_is_only_suspect_for_its_company() {
        let (locked, innocent) = (ProductId::new(), ProductId::new());
        let mut stuck = StuckProducts::default();
        for _ in 0..STALLS {
            stuck.note(&[locked, innocent], Reaction::Stalled);
        }
        assert_eq!(stuck.standing(&[locked, innocent]), Standing::Stuck);
        assert_eq!(stuck.standing(&[innocent]), Standing::Suspect);
        stuck.note(&[innocent], Reaction::Answered);
        assert_eq!(stuck.standing(&[innocent]), Standing::Free);
        assert_eq!(stuck.standing(&[locked]), Standing::Suspect);
    }

    #[tokio::test]
    async fn nothing_begins_after_the_turn() {
        let turn = Turn::begin(Duration::ZERO);
        let act = |_, _| async { ((), Reaction::Answered) };
        let pieces = vec![piece(&[], 0)];
        assert!(!Crew::default().work_on(pieces, turn, act, |()| Ok(())).await.unwrap());
    }

    #[tokio::test]
    async fn a_part_without_answers_leaves_places_to_the_other() {
        let crew = Crew::default();
        let turn = Turn::begin(Duration::from_secs(60));
        let pieces = || (0..100).map(|item| piece(&[ProductId::new()], item)).collect();
        let done = Cell::new(0);
        let stalls = |_, _| std::future::pending::<((), Reaction)>();
        let answers = |_, _| async {
            tokio::task::yield_now().await;
            ((), Reaction::Answered)
        };
        let count = |()| {
            done.set(done.get() + 1);
            Ok(())
        };
        let stuck = std::pin::pin!(crew.work_on(pieces(), turn, stalls, |()| Ok(())));
        let healthy = std::pin::pin!(crew.work_on(pieces(), turn, answers, count));
        let Either::Right((all_begun, _)) = select(stuck, healthy).await else {
            panic!("nothing was answered")
        };
        assert!(all_begun.unwrap());
        assert_eq!(done.get(), 100);
    }
}
