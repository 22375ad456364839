//! Trace of a request: W3C Trace Context, and X-Ray's ID of it.
//!
//! Valid `traceparent` and `tracestate` headers of a client are continued. Otherwise a new trace begins:
//! malformed headers are not an error of the request. On Lambda every invocation has an X-Ray ID. A trace
//! that begins there takes over that ID, so that both systems show the same one.
//!
//! [`spans`] records the spans whose IDs are here.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use http::HeaderMap;

use super::spans;

/// W3C header with the trace ID, the ID of the caller's span, and flags.
pub const TRACEPARENT: &str = "traceparent";
/// W3C header with data of tracing systems.
pub const TRACESTATE: &str = "tracestate";

/// Length of a `traceparent` of version 00.
const PARENT_LENGTH: usize = 55;

/// Flags of version 00: sampled, and random trace ID. Others must not be passed on.
const FLAGS: u8 = SAMPLED | RANDOM;
const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;

/// Limits of `tracestate`: the size that must be passed on at least. A larger one is dropped.
const MAX_STATE: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;

/// Maximum length of an X-Ray header: longer than Lambda's own, lineage included.
const MAX_XRAY: usize = 512;

/// Trace with this function's span, for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    /// Span of the caller, if the caller has sent one.
    parent: Option<u64>,
    flags: u8,
    state: Option<Arc<str>>,
    xray: Option<XRay>,
}

/// X-Ray's trace header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct XRay {
    /// Header as Lambda sent it: `Root=…;Parent=…;Sampled=…`.
    header: Arc<str>,
    /// Place of the value of `Root` in the header.
    root: Range<usize>,
    /// The same as a number, which is a trace ID of W3C.
    id: u128,
    /// Value of `Parent`: the segment of this invocation.
    parent: Option<u64>,
    /// True: X-Ray keeps this trace.
    is_sampled: bool,
}

impl Trace {
    /// Begins a new trace, of which no spans are recorded: that of work without a request.
    pub fn begin() -> Self {
        Self { id: rand::random(), span: new_span(), parent: None, flags: RANDOM, state: None, xray: None }
    }

    /// Continues the trace of `headers`, else that of `xray`, the X-Ray header of this invocation. Otherwise begins a
    /// new one, whose spans are recorded if the recorder samples it. The span is always new.
    pub fn of(headers: &HeaderMap, xray: Option<&str>) -> Self {
        let xray = xray.and_then(XRay::parse);
        let begun = match xray {
            Some(xray) => {
                let flags = if xray.is_sampled { SAMPLED } else { 0 };
                Self { id: xray.id, flags, xray: Some(xray), ..Self::begin() }
            }
            None => Self::begin(),
        };
        let mut parents = headers.get_all(TRACEPARENT).iter();
        // Two of them contradict each other.
        let parent = match (parents.next(), parents.next()) {
            (Some(parent), None) => parent.to_str().ok().and_then(parse_parent),
            _ => None,
        };
        match parent {
            Some((id, span, flags)) => Self { id, parent: Some(span), flags, state: state(headers), ..begun },
            None if begun.xray.is_none() && spans::begins_sampled(begun.id) => {
                Self { flags: begun.flags | SAMPLED, ..begun }
            }
            None => begun,
        }
    }

    /// Trace of a request that a client has sent. Its flag asks for spans, and the recorder's ratio decides: otherwise
    /// clients could have all their requests recorded.
    pub(crate) fn of_client(self) -> Self {
        let is_kept = self.parent.is_none() || spans::samples_asked();
        let flags = if is_kept { self.flags } else { self.flags & !SAMPLED };
        Self { flags, ..self }
    }

    /// The trace below this function's span: for a call, whose span is new.
    pub(crate) fn child(&self) -> Self {
        let span = new_span();
        let xray = self.xray.as_ref().map(|xray| xray.below(span));
        Self { span, parent: Some(self.span), xray, ..self.clone() }
    }

    /// Trace ID as a number.
    pub(super) fn number(&self) -> u128 {
        self.id
    }

    /// ID of this function's span.
    pub(super) fn span(&self) -> u64 {
        self.span
    }

    /// ID of the caller's span, if the caller has sent one.
    pub(super) fn parent_span(&self) -> Option<u64> {
        self.parent
    }

    /// Returns true if the flags say that the spans of this trace are recorded.
    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Place in X-Ray's trace: its ID as a number, and the segment of this invocation. `None` if X-Ray does not keep
    /// the trace.
    pub(super) fn xray_place(&self) -> Option<(u128, u64)> {
        let xray = self.xray.as_ref().filter(|xray| xray.is_sampled)?;
        Some((xray.id, xray.parent?))
    }

    /// Trace ID: 32 hexadecimal digits.
    pub fn id(&self) -> impl fmt::Display + use<> {
        let id = self.id;
        fmt::from_fn(move |f| write!(f, "{id:032x}"))
    }

    /// `traceparent` for outgoing calls.
    pub fn parent(&self) -> String {
        let mut parent = String::with_capacity(PARENT_LENGTH);
        // Writing to a string does not fail.
        let _ = write!(parent, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags);
        parent
    }

    /// `tracestate` for outgoing calls.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// X-Ray's trace ID, `1-` and two hexadecimal numbers, if there is one.
    pub fn xray_id(&self) -> Option<&str> {
        self.xray.as_ref().map(XRay::root)
    }

    /// X-Ray header for outgoing calls.
    pub fn xray_header(&self) -> Option<&str> {
        self.xray.as_ref().map(|xray| &*xray.header)
    }
}

/// ID of a new span: any number but 0.
pub(super) fn new_span() -> u64 {
    rand::random::<u64>().max(1)
}

/// Parses a `traceparent` into trace ID, span ID and flags. An unknown version may add fields at the end, and is read
/// like version 00.
fn parse_parent(text: &str) -> Option<(u128, u64, u8)> {
    let (known, more) = text.split_at_checked(PARENT_LENGTH)?;
    let mut fields = known.split('-');
    let version: u8 = hex(fields.next()?, 2)?.try_into().ok()?;
    let id = hex(fields.next()?, 32)?;
    let span: u64 = hex(fields.next()?, 16)?.try_into().ok()?;
    let flags: u8 = hex(fields.next()?, 2)?.try_into().ok()?;
    let ended = more.is_empty() || (version > 0 && more.starts_with('-'));
    let valid = fields.next().is_none() && version != 0xff && id != 0 && span != 0 && ended;
    valid.then_some((id, span, flags & FLAGS))
}

/// Parses exactly this many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok())?
}

/// Joins all `tracestate` headers, if they are valid and short.
fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut members = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        members.extend(value.to_str().ok()?.split(',').map(|it| it.trim_matches([' ', '\t'])));
    }
    members.retain(|member| !member.is_empty());
    let state = members.join(",");
    let fits = (1..=MAX_STATE).contains(&state.len()) && members.len() <= MAX_STATE_MEMBERS;
    (fits && members.into_iter().all(is_state_member)).then(|| state.into())
}

fn is_state_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let in_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let begins = key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    begins
        && key.len() <= 256
        && key.bytes().all(in_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(in_value)
}

/// Place of a part in a text.
fn place(part: &str, text: &str) -> Range<usize> {
    let begin = text.find(part).unwrap_or_default();
    begin..begin + part.len()
}

impl XRay {
    /// Value of `Root`.
    fn root(&self) -> &str {
        self.header.get(self.root.clone()).unwrap_or_default()
    }

    /// Parses a header. The trace ID is in W3C form: the two numbers of the root joined.
    fn parse(header: &str) -> Option<Self> {
        if header.len() > MAX_XRAY || !header.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let field =
            |name: &str| header.split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let root = field("Root")?;
        let (time, unique) = root.strip_prefix("1-")?.split_once('-')?;
        let id = hex(time, 8)? << 96 | hex(unique, 24)?;
        let parent = field("Parent").and_then(|parent| hex(parent, 16)?.try_into().ok());
        let is_sampled = field("Sampled") == Some("1");
        let xray = Self { header: header.into(), root: place(root, header), id, parent, is_sampled };
        (id != 0).then_some(xray)
    }

    /// The header for what this span causes.
    fn below(&self, span: u64) -> Self {
        let parent = format!("Parent={span:016x}");
        let fields =
            self.header.split(';').map(|it| if it.starts_with("Parent=") { parent.as_str() } else { it });
        let header = fields.collect::<Vec<_>>().join(";");
        Self { root: place(self.root(), &header), header: header.into(), parent: Some(span), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    const XRAY_ID: &str = "5759e988bd862e3fe1be46a994272793";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn id_of(parent: &str) -> String {
        Trace::of(&headers(&[(TRACEPARENT, parent)]), None).id().to_string()
    }

    #[test]
    fn a_valid_parent_is_continued_with_a_new_span() {
        let trace = Trace::of(&headers(&[(TRACEPARENT, PARENT)]), None);
        assert_eq!(trace.id().to_string(), ID);
        let parent = trace.parent();
        assert!(parent.starts_with(&format!("00-{ID}-")) && parent.ends_with("-01"), "{parent}");
        assert_ne!(parent, PARENT);
        assert_eq!(id_of(&parent), ID, "the outgoing header is valid itself");
    }

    #[test]
    fn a_call_is_below_the_span_of_the_function() {
        let trace = Trace::of(&headers(&[(TRACEPARENT, PARENT)]), Some(&format!("{XRAY};Lineage=1:a:2")));
        assert_eq!(trace.parent_span(), Some(0x00f0_67aa_0ba9_02b7));
        let call = trace.child();
        assert_eq!((call.id, call.flags, call.parent_span()), (trace.id, trace.flags, Some(trace.span())));
        assert!(call.span() != trace.span() && call.parent().contains(&format!("{:016x}", call.span())));
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        let header = format!("{root};Parent={:016x};Sampled=1;Lineage=1:a:2", call.span());
        assert_eq!(call.xray_header(), Some(header.as_str()));
    }

    #[test]
    fn without_a_recorder_a_new_trace_is_not_sampled() {
        let trace = Trace::of(&HeaderMap::new(), None);
        assert!(trace.parent().ends_with("-02") && !trace.is_sampled());
    }

    #[test]
    fn only_known_flags_are_kept() {
        for (sent, kept) in
            [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")]
        {
            let parent = format!("00-{ID}-00f067aa0ba902b7-{sent}");
            let trace = Trace::of(&headers(&[(TRACEPARENT, &parent)]), None);
            assert_eq!(trace.parent()[53..], *kept);
        }
    }

    #[test]
    fn an_invalid_parent_is_ignored() {
        let upper = PARENT.to_uppercase();
        for bad in [
            "",
            "x",
            &PARENT[..54],
            &format!("{PARENT}0"),
            &format!("{PARENT}-00"),
            &format!("{PARENT} "),
            &upper,
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replacen("00-", "0g-", 1),
            &PARENT.replacen("4bf9", "4Bf9", 1),
            &PARENT.replacen("4bf9", "+bf9", 1),
            &PARENT.replacen(ID, &"0".repeat(32), 1),
            &PARENT.replacen("00f067aa0ba902b7", &"0".repeat(16), 1),
            &PARENT.replace('-', "_"),
            &format!("{PARENT},{PARENT}"),
            &format!("00-{ID}-00f067aa0ba902b-701"),
            &"ü".repeat(28),
        ] {
            assert_ne!(id_of(bad), ID, "{bad}");
            assert_eq!(id_of(bad).len(), 32);
        }
        let twice = headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]);
        assert_ne!(Trace::of(&twice, None).id().to_string(), ID);
    }

    #[test]
    fn a_future_version_is_read_and_continued_as_version_00() {
        for future in [PARENT.replacen("00-", "01-", 1), PARENT.replacen("00-", "cc-", 1) + "-what-ever"] {
            let trace = Trace::of(&headers(&[(TRACEPARENT, &future)]), None);
            assert_eq!(trace.id().to_string(), ID, "{future}");
            assert!(trace.parent().starts_with("00-"));
        }
        assert_ne!(id_of(&(PARENT.replacen("00-", "01-", 1) + "x")), ID);
    }

    #[test]
    fn only_a_valid_and_small_state_of_a_valid_parent_is_kept() {
        let state = |values: &[&str]| {
            let mut all = headers(&[(TRACEPARENT, PARENT)]);
            for value in values {
                all.append(TRACESTATE, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            Trace::of(&all, None).state().map(str::to_owned)
        };
        assert_eq!(state(&["congo=t61rcWkgMzE"]).as_deref(), Some("congo=t61rcWkgMzE"));
        assert_eq!(state(&["a=1 , 2@b=x y", "", ",c=3"]).as_deref(), Some("a=1,2@b=x y,c=3"));
        let (many, long) = (vec!["a=1"; 33].join(","), format!("a={}", "x".repeat(257)));
        let large = (0..3).map(|key| format!("k{key}={}", "x".repeat(200))).collect::<Vec<_>>().join(",");
        for bad in
            ["", ",", "a", "=1", "a=", "A=1", "a b=1", "a=1=2", "a=ü", "_a=1", "a=\t1", &many, &long, &large]
        {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        let orphan = headers(&[(TRACEPARENT, "00-bad"), (TRACESTATE, "a=1")]);
        assert_eq!(Trace::of(&orphan, None).state(), None);
    }

    #[test]
    fn without_a_parent_the_trace_has_the_id_that_x_ray_knows() {
        let trace = Trace::of(&HeaderMap::new(), Some(XRAY));
        assert_eq!(trace.id().to_string(), XRAY_ID);
        assert_eq!(trace.xray_id(), Some("1-5759e988-bd862e3fe1be46a994272793"));
        assert_eq!(trace.xray_header(), Some(XRAY));
        assert!(trace.parent().ends_with("-01"));
        let unsampled =
            Trace::of(&HeaderMap::new(), Some(&XRAY.replace("Sampled=1", "Sampled=0;Lineage=1:a:2")));
        assert!(unsampled.parent().ends_with("-00"));
    }

    #[test]
    fn with_a_parent_both_ids_are_known() {
        let trace = Trace::of(&headers(&[(TRACEPARENT, PARENT)]), Some(XRAY));
        assert_eq!(trace.id().to_string(), ID);
        assert_eq!(trace.xray_id(), Some("1-5759e988-bd862e3fe1be46a994272793"));
    }

    #[test]
    fn an_invalid_x_ray_header_is_ignored() {
        for bad in [
            "",
            "Root=",
            "Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-5759e988bd862e3fe1be46a994272793",
            "Root=1-00000000-000000000000000000000000",
            "Root=1-5759e988-cc56xmpl46db7ae02d4da47e",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=a\nb",
            &format!("{XRAY};Lineage={}", "a".repeat(512)),
        ] {
            let trace = Trace::of(&HeaderMap::new(), Some(bad));
            assert_eq!((trace.xray_id(), trace.xray_header()), (None, None), "{bad}");
            assert_ne!(trace.id, Trace::of(&HeaderMap::new(), Some(bad)).id);
        }
    }
}
