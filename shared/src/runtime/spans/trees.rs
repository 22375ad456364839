//! Spans of one request in this process, together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Span;

/// Most spans of a request that are kept until its end. A request has some ten, and Reconcile hundreds.
const MOST_SPANS: usize = 1_000;

/// Collects the spans below each root: a span whose parent is not in this process.
#[derive(Default)]
pub struct Trees(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// Root of each span that has begun.
    roots: HashMap<u64, u64>,
    /// Trees by their roots.
    trees: HashMap<u64, Tree>,
}

/// Finished spans of one root.
#[derive(Debug, Default)]
pub struct Tree {
    /// Spans, in the order in which they ended: the root is the last one.
    pub spans: Vec<Span>,
    /// Number of spans that are not there, since they were too many.
    pub left_out: usize,
    /// Spans that have begun.
    begun: Vec<u64>,
}

/// Consequence of the end of a span.
#[derive(Debug)]
pub enum Ended {
    /// It was a root, and the tree is complete.
    Tree(Tree),
    /// It is kept until its root ends.
    Kept,
    /// Its root has ended before.
    Late(Span),
}

impl Trees {
    /// Notes a span that begins.
    pub fn begin(&self, id: u64, parent: Option<u64>) {
        let open = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let root = parent.and_then(|parent| open.roots.get(&parent).copied()).unwrap_or(id);
        open.roots.insert(id, root);
        open.trees.entry(root).or_default().begun.push(id);
    }

    /// Takes a span that has ended. A span that did not begin is a leaf below its parent.
    pub fn end(&self, span: Span) -> Ended {
        let open = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |id: u64| open.roots.get(&id).copied();
        let Some(root) = known(span.id).or_else(|| known(span.parent?)) else { return Ended::Late(span) };
        let is_root = span.id == root;
        let Some(tree) = open.trees.get_mut(&root) else { return Ended::Late(span) };
        if is_root || tree.spans.len() < MOST_SPANS {
            tree.spans.push(span);
        } else {
            tree.left_out += 1;
        }
        if !is_root {
            return Ended::Kept;
        }
        let tree = open.trees.remove(&root).unwrap_or_default();
        for id in &tree.begun {
            open.roots.remove(id);
        }
        Ended::Tree(tree)
    }
}
