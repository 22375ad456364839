//! The functions as they are on Lambda: built from their environment as `main` does it, given the events that
//! Lambda gives, calling each other through its Invoke API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod addresses;
mod bounds;
mod calls;
mod cloud;
mod consistency;
mod console;
mod docs;
mod edge;
mod entrances;
mod freezing;
mod journey;
mod kills;
mod lambda;
mod readiness;
mod receiver;
mod redaction;
mod repeats;
mod roles;
mod rotation;
mod schema;
mod schema_resource;
mod signals;
mod smoke;
mod traces;
