//! The calls that functions make of each other, as they come to the Invoke API: to be counted, and to be sent again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::fault::Kind;

/// A call of a function by another one.
#[derive(Clone, Debug)]
pub struct Call {
    /// Function that was called.
    pub function: String,
    /// The gRPC method, such as `HoldStock`.
    pub method: String,
    /// Payload, byte for byte.
    pub payload: Bytes,
}

/// The calls since somebody asked for them; none are kept before that.
#[derive(Debug, Default)]
pub(crate) struct Recording(Mutex<Option<Vec<Call>>>);

impl Recording {
    /// Begins anew.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Vec::new());
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().clone().unwrap_or_default()
    }

    pub(crate) fn note(&self, function: &str, kind: &Kind, payload: &Bytes) {
        if let (Some(calls), Kind::Call(path)) = (self.lock().as_mut(), kind) {
            let method = path.rsplit('/').next().unwrap_or_default().to_owned();
            calls.push(Call { function: function.to_owned(), method, payload: payload.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
