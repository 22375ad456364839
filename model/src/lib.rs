//! A model of the protocol of orders and stock, searched exhaustively; ARCHITECTURE.md says what the
//! protocol is for. It takes no part in the running system.
//!
//! ```text
//! explorer     walks through every state of any model, and tells the shortest way to a bad one
//! guards       what each part of the protocol is there for: each can be left out, and must then be missed
//! scenario     who wants what, and how often: the bound of a search
//! state        what is on disk, in flight and in the memory of whoever runs
//! stock        the one atomic step of the products function
//! steps        the rules, and every step that anybody can take; made of
//!   placing      the saga of placing an order
//!   deciding     decisions, changes of items, and the tasks that follow
//!   recovering   what Reconcile does, step by step and to its end
//! invariants   what must be true at every moment, and once Reconcile has run
//! walk         a model of its own: how Reconcile walks through the holds and remembers how far it came
//! ```

pub mod explorer;
pub mod guards;
pub mod invariants;
pub mod placing;
pub mod scenario;
pub mod state;
pub mod steps;
pub mod stock;
pub mod walk;

mod deciding;
mod recovering;
