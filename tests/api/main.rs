//! Portable tests: the API as its clients see it, against any target.
//!
//! Without `OMS_TARGET` each test opens a shop of its own in this process. With it all run against that system, whose
//! products, users and orders they share with others. Folders follow the resources of the API.

mod auth {
    mod limits;
    mod sessions;
    mod sign_in;
}

mod conditional {
    mod race;
    mod requests;
}

mod conventions {
    mod bodies;
    mod browsers;
    mod checks;
    mod messages;
    mod paths;
    mod problems;
}

mod idempotency {
    mod orders;
    mod products;
    mod users;
}

mod lists {
    mod pages;
}

mod orders {
    mod amounts;
    mod cancellations;
    mod consistency;
    mod edit;
    mod expiry;
    mod external_number;
    mod fulfillments;
    pub(crate) mod input;
    mod input_change;
    mod items;
    mod parts;
    mod payments;
    mod placing;
    mod refunds;
    mod returns;
    mod transitions;
}

mod products {
    mod catalog;
    mod input;
    mod ledger;
    mod max_per_order;
    mod stock;
}

mod users {
    mod accounts;
    mod changes;
    mod input;
}

mod docs;
mod journey;
mod permissions;
