//! Job that moves entries of journals into the holds of their orders.

use shared::error::Error;
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;

use super::turn::Turn;
use super::{Run, locked};
use crate::products::JOURNALS_PER_PAGE;
use crate::store::Job;

/// Factor by which the pages become smaller after a failed one.
const SHRINKING: i64 = 25;

/// Number of products of a page in which the next journal is looked for, to pass over it.
const PASSED: i64 = 100;

/// Progress over the journals. Each run begins at the first product, and its turns continue.
#[derive(Debug)]
pub(super) struct Folding {
    /// Last product.
    after: Option<ProductId>,
    /// Maximum number of products in the next page.
    limit: i64,
    /// Time of the oldest entry that is left.
    oldest: Option<Timestamp>,
}

impl Default for Folding {
    fn default() -> Self {
        Self { after: None, limit: JOURNALS_PER_PAGE, oldest: None }
    }
}

impl Folding {
    /// Time of the oldest entry that is left in the products so far.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    fn note_left(&mut self, oldest: Option<Timestamp>) {
        self.oldest = self.oldest.into_iter().chain(oldest).min();
    }
}

impl Run<'_> {
    /// Folds the journals of all products, page by page. Journals have no order, so the first shard has all.
    ///
    /// A page that fails is tried again in smaller ones. A product that fails alone is passed over, so that it
    /// does not stop those behind it.
    pub(super) async fn fold(&self, turn: Turn) -> Result<bool, Error> {
        let worker = self.worker;
        if !worker.shard.is_first() {
            return Ok(true);
        }
        while !turn.is_over() {
            let (after, limit) = {
                let folding = locked(&self.folding);
                (folding.after, folding.limit)
            };
            let products = &worker.service.products;
            let (last, more) = match products.fold_journals(&worker.call_context(), after, limit).await {
                Ok(page) => {
                    self.change(Job::Folding, |it| {
                        it.done += page.folded;
                        it.set_aside += page.failed;
                    });
                    let mut folding = locked(&self.folding);
                    folding.note_left(page.oldest);
                    folding.limit = JOURNALS_PER_PAGE;
                    (page.last, page.more)
                }
                Err(error) if limit > 1 => {
                    let causes = error.causes();
                    tracing::warn!(causes, limit, "a page of journals is not folded yet: {error}");
                    locked(&self.folding).limit = (limit / SHRINKING).max(1);
                    continue;
                }
                Err(error) => self.pass_over_journal(after, &error).await?,
            };
            match last {
                Some(last) if more => locked(&self.folding).after = Some(last),
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Finds the next product that has a journal, and counts it as failed. Returns the last product to continue
    /// after, and whether more follow.
    async fn pass_over_journal(
        &self,
        after: Option<ProductId>,
        error: &Error,
    ) -> Result<(Option<ProductId>, bool), Error> {
        let worker = self.worker;
        let (products, more) = worker.service.products.audit(&worker.call_context(), after, PASSED).await?;
        let failed = products.iter().position(|product| product.unreadable || product.oldest_entry.is_some());
        let failed = failed.and_then(|place| Some((products.get(place)?, place + 1 == products.len())));
        let Some((product, is_last)) = failed else {
            return Ok((products.last().map(|product| product.id), more));
        };
        let (id, causes) = (product.id, error.causes());
        tracing::warn!(product = %id, causes, "a journal is not folded: {error}");
        self.change(Job::Folding, |it| it.set_aside += 1);
        locked(&self.folding).note_left(product.oldest_entry);
        Ok((Some(id), more || !is_last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_of_all_pages_is_kept() {
        let at = |millis| Timestamp::from_millis(millis);
        let mut folding = Folding::default();
        folding.note_left(None);
        assert_eq!(folding.oldest(), None);
        for millis in [5, 3, 4] {
            folding.note_left(Some(at(millis)));
        }
        folding.note_left(None);
        assert_eq!(folding.oldest(), Some(at(3)));
    }
}
