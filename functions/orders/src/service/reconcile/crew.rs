//! Several orders at work at once, none beside another with the same product.

use std::collections::{HashMap, HashSet, VecDeque};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use shared::error::Error;
use shared::values::ids::ProductId;

use super::turn::Turn;

/// Number of orders at work at once: fewer than MongoDB connections in the pool.
const PLACES: usize = 8;

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

/// Works on all pieces, while the turn lasts. `act` gets a piece and the standing of its
/// products. Returns true if all were begun; each of those has ended.
///
/// # Errors
/// The first error of `ended`. What is at work then is dropped.
pub(super) async fn each<T, R, F>(
    pieces: Vec<Piece<T>>,
    turn: Turn,
    stuck: &mut StuckProducts,
    act: impl Fn(T, Standing) -> F,
    mut ended: impl FnMut(R) -> Result<(), Error>,
) -> Result<bool, Error>
where
    F: Future<Output = (R, Reaction)>,
{
    let mut waiting = VecDeque::from(pieces);
    let mut busy: HashSet<ProductId> = HashSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < PLACES && !turn.is_over() {
            let free = |piece: &Piece<T>| piece.products.iter().all(|product| !busy.contains(product));
            let Some(piece) = waiting.iter().position(free).and_then(|next| waiting.remove(next)) else {
                break;
            };
            let Piece { products, item } = piece;
            busy.extend(&products);
            let acting = act(item, stuck.standing(&products));
            running.push(async move { (products, acting.await) });
        }
        let Some((products, (result, reaction))) = running.next().await else {
            return Ok(waiting.is_empty());
        };
        for product in &products {
            busy.remove(product);
        }
        stuck.note(&products, reaction);
        ended(result)?;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

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
        assert!(each(pieces, turn, &mut StuckProducts::default(), act, |()| Ok(())).await.unwrap());
        most.get()
    }

    #[tokio::test]
    async fn orders_of_one_product_are_at_work_one_by_one() {
        let product = ProductId::new();
        assert_eq!(most_at_once((0..20).map(|item| piece(&[product], item)).collect()).await, 1);
        let distinct = (0..20).map(|item| piece(&[ProductId::new()], item)).collect();
        assert_eq!(most_at_once(distinct).await, PLACES);
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
        let mut seen = Vec::new();
        let turn = Turn::begin(Duration::from_secs(60));
        let note = |result| {
            seen.push(result);
            Ok(())
        };
        each(pieces, turn, &mut StuckProducts::default(), act, note).await.unwrap();
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
        assert!(!each(pieces, turn, &mut StuckProducts::default(), act, |()| Ok(())).await.unwrap());
    }
}
