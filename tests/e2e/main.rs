//! The end-to-end tests: the whole system over HTTP, in the language of the shop.

mod auth;
mod conventions;
mod journey;
mod orders;
mod products;
mod users;
