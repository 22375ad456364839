//! Model of the protocol between orders and stock, searched exhaustively. See docs/testing.md for its
//! purpose.
//!
//! No part of the running system depends on it.
//!
//! ```text
//! explorer     search through every state of any model; returns the shortest path to a violation
//! guards       parts of the protocol that can be left out; a search must then find a violation
//! scenario     requests and their numbers: the bound of a search
//! state        everything on disk, in flight, and in the memory of running processes
//! stock        the one atomic step of the products function
//! steps        the rules, and every possible step; made of
//!   placing      the saga of placing an order
//!   deciding     decisions, changes of items, and the tasks that follow
//!   recovering   the steps of Reconcile, one by one and to its end
//! invariants   conditions at every moment, and conditions once Reconcile has run
//! walk         a model of its own: how Reconcile walks through the holds and saves its position
//! journal      a model of its own: how stock, journal and holds make one declaration
//! money        a model of its own: payments and refunds of orders, beside all that ends or changes these
//! parts        a model of its own: what is shipped, cancelled and sent back in parts, and the stock that follows
//! progress     a model of its own: how the jobs of Reconcile share a budget, beside things that always fail
//! ```

pub mod explorer;
pub mod guards;
pub mod invariants;
pub mod journal;
pub mod money;
pub mod parts;
pub mod placing;
pub mod progress;
pub mod scenario;
pub mod state;
pub mod steps;
pub mod stock;
pub mod walk;

mod deciding;
mod recovering;
