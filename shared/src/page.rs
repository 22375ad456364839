//! Pages of a list: keyset cursors that are opaque and belong to one caller, filter and sort.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Serialize;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::query::{Query, invalid};

/// The longest page.
pub const MAX_LIMIT: i64 = 100;

/// How long a page is when the client does not say.
pub const DEFAULT_LIMIT: i64 = 20;

/// Which page a client asks for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    limit: i64,
    cursor: Option<String>,
}

/// Where a page ends: the sort's value and the ID of its last element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What the list is sorted by.
    pub at: Timestamp,
    /// Breaks ties.
    pub id: Uuid,
}

/// A page.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// The elements.
    pub data: Vec<T>,
    /// Asks for the page after this one; `None` on the last.
    pub next_cursor: Option<String>,
}

impl PageRequest {
    /// # Errors
    /// 400 for a limit that is not 1 to 100.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        let limit = match query.get("limit") {
            Some(text) => Some(text.parse().map_err(|_| bad_limit(MAX_LIMIT))?),
            None => None,
        };
        Self::new(limit, query.get("cursor").map(str::to_owned))
    }

    /// # Errors
    /// 400 for a limit that is not 1 to 100.
    pub fn new(limit: Option<i64>, cursor: Option<String>) -> Result<Self, Error> {
        Self::within(limit, cursor, DEFAULT_LIMIT, MAX_LIMIT)
    }

    /// A page of what has other limits than most lists.
    ///
    /// # Errors
    /// 400 for a limit that is not 1 to `most`.
    pub fn within(
        limit: Option<i64>,
        cursor: Option<String>,
        default: i64,
        most: i64,
    ) -> Result<Self, Error> {
        let limit = limit.unwrap_or(default);
        if (1..=most).contains(&limit) { Ok(Self { limit, cursor }) } else { Err(bad_limit(most)) }
    }

    /// How long the page may be.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// A cursor to what comes after this position.
    pub fn cursor_at(&self, position: Position, scope: &str) -> String {
        encode(position, scope)
    }

    /// How many elements to fetch: one more than a page has, to learn whether there is another page.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// After which element the page begins. `scope` is all that a cursor is bound to: the list, the caller,
    /// the filters and the sort.
    ///
    /// # Errors
    /// 400 for a cursor that is not ours, or of another scope.
    pub fn after(&self, scope: &str) -> Result<Option<Position>, Error> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        decode(cursor, scope).map(Some).ok_or_else(|| {
            invalid("`cursor` does not belong to this list with these filters; begin again without it.")
        })
    }

    /// Makes the page of what was fetched.
    pub fn page<T>(&self, mut fetched: Vec<T>, scope: &str, position: impl Fn(&T) -> Position) -> Page<T> {
        let length = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = fetched.len() > length;
        fetched.truncate(length);
        let next_cursor = match fetched.last() {
            Some(last) if more => Some(encode(position(last), scope)),
            _ => None,
        };
        Page { data: fetched, next_cursor }
    }
}

impl<T> Page<T> {
    /// The same page with its elements in another form.
    pub fn map<U>(self, form: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(form).collect(), next_cursor: self.next_cursor }
    }
}

fn bad_limit(most: i64) -> Error {
    invalid(format!("`limit` must be an integer of 1 to {most}."))
}

/// The first byte of a cursor: its form can change, and an old one is then refused.
const VERSION: u8 = 1;

/// Version, milliseconds, ID, and a seal over these and the scope.
const CURSOR_LENGTH: usize = 1 + 8 + 16 + SEAL_LENGTH;
const SEAL_LENGTH: usize = 8;

fn encode(position: Position, scope: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(position.at.millis().to_be_bytes());
    bytes.extend(position.id.into_bytes());
    let seal = seal(&bytes, scope);
    bytes.extend(seal);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, scope: &str) -> Option<Position> {
    let bytes: [u8; CURSOR_LENGTH] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
    let (position, sealed) = bytes.split_at(CURSOR_LENGTH - SEAL_LENGTH);
    let (version, rest) = position.split_first()?;
    if *version != VERSION || sealed != seal(position, scope) {
        return None;
    }
    let (at, id) = rest.split_first_chunk()?;
    Some(Position { at: Timestamp::from_millis(i64::from_be_bytes(*at)), id: Uuid::from_slice(id).ok()? })
}

fn seal(position: &[u8], scope: &str) -> [u8; SEAL_LENGTH] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(position);
    hash.update(scope.as_bytes());
    let mut seal = [0; SEAL_LENGTH];
    seal.copy_from_slice(&hash.finish().as_ref()[..SEAL_LENGTH]);
    seal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(millis: i64, bits: u128, scope in ".*") {
            let position = Position { at: Timestamp::from_millis(millis), id: Uuid::from_u128(bits) };
            prop_assert_eq!(decode(&encode(position, &scope), &scope), Some(position));
        }

        #[test]
        fn a_cursor_of_another_scope_is_refused(bits: u128, scope in ".*", other in ".*") {
            prop_assume!(scope != other);
            let position = Position { at: Timestamp::from_millis(7), id: Uuid::from_u128(bits) };
            prop_assert_eq!(decode(&encode(position, &scope), &other), None);
        }

        #[test]
        fn arbitrary_text_is_no_cursor(text in ".*") {
            prop_assert_eq!(decode(&text, "orders"), None);
        }

        #[test]
        fn a_changed_cursor_is_refused(bits: u128, place in 0..CURSOR_LENGTH, flip in 1..=255u8) {
            let position = Position { at: Timestamp::from_millis(7), id: Uuid::from_u128(bits) };
            let mut bytes = URL_SAFE_NO_PAD.decode(encode(position, "orders")).unwrap();
            bytes[place] ^= flip;
            prop_assert_eq!(decode(&URL_SAFE_NO_PAD.encode(bytes), "orders"), None);
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let request = PageRequest::new(Some(2), None).unwrap();
        let position = |_: &i32| Position { at: Timestamp::from_millis(0), id: Uuid::nil() };
        assert!(request.page(vec![1, 2], "s", position).next_cursor.is_none());
        let page = request.page(vec![1, 2, 3], "s", position);
        assert_eq!(page.data, [1, 2]);
        assert!(page.next_cursor.is_some());
    }

    #[test]
    fn a_limit_is_one_to_a_hundred() {
        for bad in [0, -1, 101, i64::MAX] {
            assert!(PageRequest::new(Some(bad), None).is_err());
        }
        assert!(PageRequest::new(Some(100), None).is_ok());
    }
}
