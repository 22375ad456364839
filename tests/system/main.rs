//! Tests that look into a shop in this process: its database, its clock, its limits, and the calls between functions.
//!
//! Tests that expect whole lists, the last admin, or fixed e-mail addresses and SKUs are here too: they need a shop
//! that no other test uses.

mod auth {
    mod limits;
    mod sessions;
    mod sign_in;
}

mod conditional {
    mod requests;
}

mod conventions {
    mod base_path;
    mod browsers;
    mod checks;
    mod limits;
    mod messages;
    pub(crate) mod problems;
    mod sizes;
}

mod grpc {
    mod catalog;
    mod holds;
    mod lists;
    mod orders;
    mod parts;
    mod stock;
    mod versions;
}

mod idempotency {
    mod orders;
    mod products;
    mod users;
}

mod lists {
    mod bounds;
    mod filters;
    mod large_orders;
    mod pages;
    mod parcels;
    mod schema;
    mod search;
    mod times;
    mod walks;
}

mod orders {
    mod consistency;
    mod customer_limits;
    mod faults;
    mod jobs;
    mod placing;
    mod providers;
    mod race;
    mod reconcile;
    mod reconcile_bad_days;
    mod returns_window;
    mod round_trips;
}

mod products {
    mod catalog;
    mod input;
    mod ledger;
}

mod security {
    mod authority;
    mod callers;
    mod fuzz;
    mod operators;
    mod redaction;
    mod token_attacks;
}

mod socket {
    mod binaries;
    pub(crate) mod client;
    pub(crate) mod listeners;
    pub(crate) mod services;
    mod trust;
}

mod stored {
    mod later_fields;
    mod poison;
    pub(crate) mod rules;
}

mod support {
    pub(crate) mod aging;
    pub(crate) mod branch;
    pub(crate) mod clock;
    pub(crate) mod grpc;
    pub(crate) mod instance;
    pub(crate) mod lagging;
    pub(crate) mod lists;
}

mod users {
    mod accounts;
    mod changes;
    mod input;
    mod last_admin;
}

mod builds;
mod console;
mod openapi;
mod outdated_reads;
mod schema;
mod traces;
