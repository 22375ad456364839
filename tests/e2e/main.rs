//! The end-to-end tests: the whole system over HTTP, in the language of the shop.

mod auth;
mod bodies;
mod conventions;
mod grpc;
mod grpc_catalog;
mod grpc_stock;
mod journey;
mod last_admin;
mod lists;
mod orders;
mod orders_edit;
mod orders_faults;
mod orders_input;
mod orders_input_change;
mod orders_race;
mod paths;
mod products;
mod products_input;
mod raw;
mod stock;
mod transitions;
mod users;
mod users_changes;
mod users_input;
mod users_values;
