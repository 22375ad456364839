//! Headers in an envelope: pairs of name and value, read where they stand in it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tonic::Status;

use super::{garbled, readable};
use crate::rpc::metadata;
use crate::runtime::trace;

/// Pairs for which there is room before their number is known. Calls between functions have no more.
const USUAL: usize = 12;

/// Names in calls and answers of functions that are not HTTP's own. Any other one is copied.
static NAMES: [HeaderName; 10] = [
    HeaderName::from_static(metadata::CALLER),
    HeaderName::from_static(metadata::FUNCTION),
    HeaderName::from_static(metadata::DEADLINE),
    HeaderName::from_static(metadata::REQUEST_ID),
    HeaderName::from_static(metadata::SOURCE),
    HeaderName::from_static(trace::TRACEPARENT),
    HeaderName::from_static(trace::TRACESTATE),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-timeout"),
];

/// Pairs of an envelope.
pub(crate) struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

/// Text of an envelope, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Pairs<'_> {
    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(Text(name), Text(value))| (&**name, &**value))
    }

    /// Converts them to headers, whose values share one buffer.
    ///
    /// # Errors
    /// `INTERNAL` for an invalid name or value of a header.
    pub(super) fn into_headers(self) -> Result<HeaderMap, Status> {
        let mut headers = HeaderMap::try_with_capacity(self.0.len()).map_err(garbled)?;
        let mut values = Vec::with_capacity(self.iter().map(|(_, value)| value.len()).sum());
        self.iter().for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
        let mut values = Bytes::from(values);
        for (name, value) in self.iter() {
            let name =
                name_of(name).ok_or_else(|| garbled(format_args!("{name:?} is not a valid header name")))?;
            let value = values.split_to(value.len());
            let value = HeaderValue::from_maybe_shared(value)
                .map_err(|_| garbled(format_args!("the header {name} has an invalid value")))?;
            headers.append(name, value);
        }
        readable(headers)
    }
}

fn name_of(name: &str) -> Option<HeaderName> {
    let known = NAMES.iter().find(|known| known.as_str() == name);
    known.cloned().or_else(|| name.parse().ok())
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::with_capacity(USUAL);
        while let Some(pair) = elements.next_element()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
