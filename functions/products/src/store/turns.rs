//! Turns to write to stocks, within a process. They save conflicts inside MongoDB; nothing else depends on them.
//!
//! A turn covers all lines that its request needs, and waits without holding any of them. So those that wait for a hot
//! product hold up no others. Turns are given in the order of arrival, except that one whose lines are busy is passed
//! over. The one that waits longest is not, after a while: its lines are then kept for it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Time for which a request may be passed over.
const PASSED_OVER: Duration = Duration::from_millis(100);

/// Lines and those that wait for them.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    taken: HashSet<usize>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    lines: Vec<usize>,
    since: Instant,
    begin: oneshot::Sender<()>,
}

/// Turn, until it is dropped. Before it begins, it is a place among those that wait.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    id: u64,
    lines: Vec<usize>,
}

impl Turns {
    /// Waits for the turn of these lines. Without a line it begins at once.
    pub(super) async fn take(&self, lines: Vec<usize>) -> Turn<'_> {
        let (begin, begun) = oneshot::channel();
        let turn = {
            let mut state = self.lock();
            let id = state.next;
            state.next += 1;
            let waiting = Waiting { id, lines: lines.clone(), since: Instant::now(), begin };
            state.waiting.push_back(waiting);
            state.begin();
            Turn { turns: self, id, lines }
        };
        // The sender is kept until the turn begins or is dropped.
        let _ = begun.await;
        turn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins all turns that can begin.
    fn begin(&mut self) {
        let mut kept: HashSet<usize> = HashSet::new();
        let now = Instant::now();
        for waiting in std::mem::take(&mut self.waiting) {
            let is_free = |line: &usize| !self.taken.contains(line) && !kept.contains(line);
            if waiting.lines.iter().all(is_free) {
                self.taken.extend(&waiting.lines);
                // One that is gone gives its lines back when it is dropped.
                let _ = waiting.begin.send(());
                continue;
            }
            // For the one that waits longest alone: those of all would hold up too many others.
            if kept.is_empty() && now.duration_since(waiting.since) >= PASSED_OVER {
                kept.extend(&waiting.lines);
            }
            self.waiting.push_back(waiting);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        match state.waiting.iter().position(|waiting| waiting.id == self.id) {
            // It may have had lines kept for it.
            Some(place) => drop(state.waiting.remove(place)),
            None => {
                for line in &self.lines {
                    state.taken.remove(line);
                }
            }
        }
        state.begin();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    fn wants<'a>(turns: &'a Turns, lines: &[usize]) -> BoxFuture<'a, Turn<'a>> {
        let mut turn = turns.take(lines.to_vec()).boxed();
        assert!(turn.as_mut().now_or_never().is_none(), "{lines:?}");
        turn
    }

    fn has<'a>(turns: &'a Turns, lines: &[usize]) -> Turn<'a> {
        turns.take(lines.to_vec()).now_or_never().unwrap()
    }

    #[tokio::test]
    async fn turns_of_a_line_are_in_the_order_of_arrival() {
        let turns = Turns::default();
        let first = has(&turns, &[1]);
        let (second, mut third) = (wants(&turns, &[1]), wants(&turns, &[1]));
        drop(first);
        let second = second.now_or_never().unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_that_waits_for_a_busy_line_holds_no_other() {
        let turns = Turns::default();
        let busy = has(&turns, &[1]);
        let several = wants(&turns, &[1, 2]);
        drop(has(&turns, &[2]));
        drop(busy);
        assert!(several.now_or_never().is_some());
        assert!(turns.lock().taken.is_empty());
    }

    #[tokio::test]
    async fn one_that_was_passed_over_for_long_has_its_lines_kept() {
        let turns = Turns::default();
        let busy = has(&turns, &[1]);
        let several = wants(&turns, &[1, 2]);
        tokio::time::sleep(PASSED_OVER).await;
        let late = wants(&turns, &[2]);
        drop(busy);
        drop(several.now_or_never().unwrap());
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_that_gives_up_leaves_nothing_behind() {
        let turns = Turns::default();
        let busy = has(&turns, &[1]);
        drop(wants(&turns, &[1, 2]));
        let granted = wants(&turns, &[1]);
        drop(busy);
        // It has its turn, and never looks.
        drop(granted);
        drop(has(&turns, &[1, 2]));
        assert!(turns.lock().taken.is_empty() && turns.lock().waiting.is_empty());
    }
}
