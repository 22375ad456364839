//! Durations and spans of commands.
//!
//! For an event of a command the driver parses it and its answer: that takes more memory than all else of a request. So
//! commands are observed where a span or a label needs their names. Elsewhere, as on Lambda, a command takes the time
//! that it has a connection.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::command::CommandEvent;
use mongodb::options::{ClientOptions, ServerAddress};

use super::kind_name;
use crate::runtime::{metrics, spans};

/// Observes the commands of a client, if they are measured or recorded.
pub(super) fn observe(options: &mut ClientOptions) {
    if spans::is_on() || metrics::has_labels() {
        options.command_event_handler = Some(EventHandler::callback(|event| observe_command(&event)));
    } else if metrics::is_on() {
        let in_use = InUse::default();
        let record = move |event| {
            if let Some(time) = in_use.ended(event, Instant::now()) {
                metrics::COMMANDS.record([metrics::OTHER, metrics::OTHER], time);
            }
        };
        options.cmap_event_handler = Some(EventHandler::callback(record));
    }
}

/// Connections of a client that have a command. The driver takes one for each, and gives it back with its answer.
#[derive(Default)]
struct InUse(Mutex<Vec<Connection>>);

struct Connection {
    address: ServerAddress,
    /// Number among those to this address.
    id: u32,
    since: Instant,
}

impl InUse {
    /// Notes an event. Returns the time that a command took, if one has ended.
    fn ended(&self, event: CmapEvent, now: Instant) -> Option<Duration> {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (address, id) = match event {
            CmapEvent::ConnectionCheckedOut(event) => {
                connections.push(Connection { address: event.address, id: event.connection_id, since: now });
                return None;
            }
            CmapEvent::ConnectionCheckedIn(event) => (event.address, event.connection_id),
            // One that is dropped without its pool is not given back.
            CmapEvent::ConnectionClosed(event) => (event.address, event.connection_id),
            _ => return None,
        };
        let place = connections.iter().position(|it| it.id == id && it.address == address)?;
        Some(now.duration_since(connections.swap_remove(place).since))
    }
}

/// Measures a command, and records its span. The driver calls it in the task that sends the command.
fn observe_command(event: &CommandEvent) {
    let (name, outcome, time, request, error) = match event {
        CommandEvent::Started(event) => {
            if spans::is_on() {
                let field = match event.command_name.as_str() {
                    "getMore" => "collection",
                    name => name,
                };
                let collection = event.command.get_str(field).ok();
                spans::command_sent(event.request_id, name_of(&event.command_name), collection);
            }
            return;
        }
        CommandEvent::Succeeded(event) => (&event.command_name, "ok", event.duration, event.request_id, None),
        CommandEvent::Failed(event) => {
            (&event.command_name, "failed", event.duration, event.request_id, Some(&event.failure))
        }
        _ => return,
    };
    metrics::COMMANDS.record([name_of(name), outcome], time);
    if spans::is_on() {
        spans::command_ended(request, time, error.map(code_or_kind));
    }
}

/// Name of a command: `other` for one that this project does not send.
fn name_of(name: &str) -> &'static str {
    const NAMES: [&str; 9] = [
        "find",
        "aggregate",
        "insert",
        "update",
        "findAndModify",
        "delete",
        "getMore",
        "commitTransaction",
        "abortTransaction",
    ];
    NAMES.into_iter().find(|known| *known == name).unwrap_or("other")
}

/// Code of an error, or its kind if it has none.
fn code_or_kind(error: &MongoError) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => error.code.to_string(),
        _ => kind_name(error),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{self, doc};
    use serde::de::DeserializeOwned;

    use super::*;

    fn event<T: DeserializeOwned>(id: i32) -> T {
        bson::deserialize_from_document(doc! { "connectionId": id, "reason": "poolClosed" }).unwrap()
    }

    #[test]
    fn a_command_takes_the_time_that_it_has_a_connection() {
        let (in_use, start) = (InUse::default(), Instant::now());
        let mut millis = 0;
        let mut ended = |event| {
            millis += 1;
            in_use.ended(event, start + Duration::from_millis(millis))
        };
        assert_eq!(ended(CmapEvent::ConnectionCheckedOut(event(1))), None);
        assert_eq!(ended(CmapEvent::ConnectionCheckedOut(event(2))), None);
        assert_eq!(ended(CmapEvent::ConnectionCheckedIn(event(1))), Some(Duration::from_millis(2)));
        assert_eq!(ended(CmapEvent::ConnectionClosed(event(1))), None);
        assert_eq!(ended(CmapEvent::ConnectionClosed(event(2))), Some(Duration::from_millis(3)));
        assert_eq!(ended(CmapEvent::ConnectionCheckedIn(event(3))), None);
        assert_eq!(in_use.0.lock().unwrap().len(), 0);
    }
}
