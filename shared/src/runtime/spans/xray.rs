//! Spans as X-Ray's own subsegments, sent to the daemon that Lambda runs beside the function.
//!
//! Spans of an event go when its last one has ended, before the answer: in one datagram if they fit. Sending never
//! blocks, and spans that the daemon does not take are lost.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json, json};

use super::{Ended, Kind, Recorder, Sampling, Sink, Span, Tree, Trees, Value, XRayPlace};
use crate::runtime::config::Variables;

/// Address of the daemon: Lambda sets it.
const DAEMON: &str = "AWS_XRAY_DAEMON_ADDRESS";

/// First line of each datagram.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";

/// Largest datagram that the daemon takes, in bytes.
const LARGEST: usize = 64_000;

/// Recorder of the traces that X-Ray keeps.
///
/// # Errors
/// Message if there is no daemon.
pub fn recorder(variables: &mut Variables) -> Result<Recorder, String> {
    let daemon = variables.optional(DAEMON, |text| Ok(text.to_owned()));
    let address = daemon.as_deref().and_then(address).ok_or(format!("{DAEMON} is no address of a daemon"))?;
    let sink = XRay::to(address).map_err(|error| format!("no socket for X-Ray: {error}"))?;
    Ok(Recorder::new(Sampling::XRay).to(sink))
}

/// Address for UDP: `HOST:PORT`, or the one behind `udp:`.
fn address(text: &str) -> Option<SocketAddr> {
    let parts = || text.split_ascii_whitespace();
    parts().find_map(|part| part.strip_prefix("udp:")).or(parts().next())?.parse().ok()
}

/// Sink that sends to the daemon.
struct XRay {
    socket: UdpSocket,
    trees: Trees,
}

impl XRay {
    fn to(daemon: SocketAddr) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(daemon)?;
        Ok(Self { socket, trees: Trees::default() })
    }

    fn send(&self, document: &Json) -> bool {
        let datagram = format!("{HEADER}{document}");
        let fits = datagram.len() <= LARGEST;
        if fits {
            // A daemon that is away or busy costs the span.
            let _ = self.socket.send(datagram.as_bytes());
        }
        fits
    }

    fn send_tree(&self, mut tree: Tree) {
        let Some(root) = tree.spans.pop() else { return };
        let below = || tree.spans.iter().filter_map(|span| Some((span, span.xray?)));
        let Some(place) = root.xray else { return };
        let mut document = independent(&root, place);
        document["subsegments"] = below().map(|(span, _)| subsegment(span)).collect();
        if !self.send(&document) {
            self.send(&independent(&root, place));
            for (span, place) in below() {
                self.send(&independent(span, place));
            }
        }
    }
}

impl Sink for XRay {
    fn begin(&self, id: u64, parent: Option<u64>) {
        self.trees.begin(id, parent);
    }

    fn end(&self, span: Span) {
        match self.trees.end(span) {
            Ended::Tree(tree) => self.send_tree(tree),
            Ended::Late(span) => {
                if let Some(place) = span.xray {
                    self.send(&independent(&span, place));
                }
            }
            Ended::Kept => {}
        }
    }
}

/// Document of a subsegment that is sent on its own.
fn independent(span: &Span, place: XRayPlace) -> Json {
    let XRayPlace { trace, parent } = place;
    let mut document = subsegment(span);
    document["type"] = "subsegment".into();
    document["trace_id"] = format!("1-{:08x}-{:024x}", trace >> 96, trace & ((1 << 96) - 1)).into();
    document["parent_id"] = format!("{parent:016x}").into();
    document
}

fn subsegment(span: &Span) -> Json {
    let start = since_epoch(span.start);
    let end = start + span.duration;
    let mut document = json!({
        "id": format!("{:016x}", span.id),
        "name": name(&span.name),
        "start_time": start.as_secs_f64(),
        "end_time": end.as_secs_f64(),
    });
    let number = |name| match span.attribute(name) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let status = number("http.response.status_code");
    let is_call = span.kind == Kind::Client && span.attribute("rpc.method").is_some();
    if is_call {
        // So that the map of services leads from here to the function that was called.
        document["namespace"] = "remote".into();
    }
    if let Some(status) = status {
        document["http"] = json!({ "response": { "status": status } });
    }
    if span.is_failed {
        document["fault"] = true.into();
    }
    if status.is_some_and(|status| (400..500).contains(&status)) {
        document["error"] = true.into();
    }
    if status == Some(429) {
        document["throttle"] = true.into();
    }
    let annotations: Map<String, Json> = span
        .attributes
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => Json::from(&**text),
                Value::Number(number) => Json::from(*number),
            };
            // Their names are letters, digits and underscores.
            (name.replace(['.', '-'], "_"), value)
        })
        .collect();
    document["annotations"] = annotations.into();
    document
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Name without the characters that X-Ray does not take: `/orders/{id}` is `/orders/:id`.
fn name(name: &str) -> String {
    name.replace('{', ":").replace('}', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_has_an_address_for_udp() {
        let expected: SocketAddr = "127.0.0.1:2000".parse().unwrap();
        for text in ["127.0.0.1:2000", "tcp:127.0.0.2:2001 udp:127.0.0.1:2000"] {
            assert_eq!(address(text), Some(expected));
        }
        for bad in ["", "localhost", "127.0.0.1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    fn span(id: u64, parent: u64) -> Span {
        Span {
            trace: 7,
            id,
            parent: Some(parent),
            xray: Some(XRayPlace { trace: 0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793, parent }),
            kind: Kind::Client,
            name: "find orders".into(),
            start: UNIX_EPOCH + Duration::from_millis(1_500),
            duration: Duration::from_millis(250),
            attributes: vec![("db.operation.name", "find".into())],
            is_failed: false,
        }
    }

    fn received(socket: &UdpSocket) -> Json {
        let mut bytes = vec![0; 65_536];
        let length = socket.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        serde_json::from_str(text.strip_prefix(HEADER).unwrap()).unwrap()
    }

    #[test]
    fn the_spans_of_an_event_are_one_document() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sink = XRay::to(daemon.local_addr().unwrap()).unwrap();
        sink.begin(1, Some(99));
        sink.end(span(2, 1));
        let root = Span {
            kind: Kind::Server,
            name: "GET /orders/{id}".into(),
            attributes: vec![("http.response.status_code", 503.into())],
            is_failed: true,
            ..span(1, 0x53)
        };
        sink.end(root);
        sink.end(span(3, 1));
        let expected = json!({
            "id": "0000000000000001",
            "name": "GET /orders/:id",
            "start_time": 1.5,
            "end_time": 1.75,
            "http": { "response": { "status": 503 } },
            "fault": true,
            "annotations": { "http_response_status_code": 503 },
            "type": "subsegment",
            "trace_id": "1-5759e988-bd862e3fe1be46a994272793",
            "parent_id": "0000000000000053",
            "subsegments": [{
                "id": "0000000000000002",
                "name": "find orders",
                "start_time": 1.5,
                "end_time": 1.75,
                "annotations": { "db_operation_name": "find" },
            }],
        });
        assert_eq!(received(&daemon), expected);
        let late = received(&daemon);
        assert_eq!(
            (&late["id"], &late["parent_id"]),
            (&json!("0000000000000003"), &json!("0000000000000001"))
        );
    }

    #[test]
    fn many_spans_of_an_event_go_one_by_one() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sink = XRay::to(daemon.local_addr().unwrap()).unwrap();
        sink.begin(1, None);
        let name: String = "x".repeat(20_000);
        for id in 2..6 {
            sink.end(Span { name: name.clone().into(), ..span(id, 1) });
        }
        sink.end(span(1, 9));
        let ids: Vec<Json> = (0..5).map(|_| received(&daemon)["id"].take()).collect();
        let expected = [1, 2, 3, 4, 5].map(|id| json!(format!("{id:016x}")));
        assert_eq!(ids, expected);
    }
}
