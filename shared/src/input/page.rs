//! Pages of a list, with opaque keyset cursors that belong to one caller, filter and sort.
//!
//! A hash without a key seals each cursor against mistakes and mixing. Anybody can compute that hash, and gains nothing
//! by it. A cursor is only a position; the filters and the caller of the request decide on the content of the list.
//! Its value must have the type of the sort. So a forged cursor leads to a place that its author may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Serialize;
use uuid::Uuid;

use crate::error::Error;
use crate::input::query::{Query, invalid};
use crate::values::clock::Timestamp;

/// Most elements of a page.
pub const MAX_LIMIT: i64 = 100;

/// Elements of a page when the client sends no limit.
pub const DEFAULT_LIMIT: i64 = 20;

/// Limit and cursor of a request.
#[derive(Clone, Debug)]
pub struct PageRequest {
    limit: i64,
    cursor: Option<String>,
}

/// Value that a list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// Point in time.
    Time(Timestamp),
    /// Amount, or number of an entry in the ledger.
    Integer(i64),
    /// Text, in the order of its bytes.
    Text(String),
}

/// Type of the values that a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in SortValue")]
pub enum SortType {
    Time,
    Integer,
    Text,
}

/// Sort of a list, ties by ID in the same direction. The default is descending: newest first.
#[derive(Clone, Copy, Debug)]
pub struct Sort<By> {
    /// Property that is sorted by.
    pub by: By,
    /// Largest first.
    pub descending: bool,
}

impl<By> Sort<By> {
    /// Smallest first.
    pub const fn ascending(by: By) -> Self {
        Self { by, descending: false }
    }

    /// Largest first.
    pub const fn descending(by: By) -> Self {
        Self { by, descending: true }
    }
}

impl<By: Default> Default for Sort<By> {
    fn default() -> Self {
        Self::descending(By::default())
    }
}

/// Position of an element in a list, by its sort value and ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Value of the sort.
    pub value: SortValue,
    /// ID, which breaks ties.
    pub id: Uuid,
}

/// Elements that a store returns for a page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRows<T> {
    /// Elements, at most as many as the limit.
    pub data: Vec<T>,
    /// Position of each element; none where it cannot be named.
    positions: Vec<Option<Position>>,
    /// Position that the next page begins after, if there is a next page.
    ///
    /// It is the last element, or the place where a search stopped without filling the page.
    pub next: Option<Position>,
    stuck: bool,
}

impl<T> PageRows<T> {
    /// Empty page, with no page after it.
    pub fn nothing() -> Self {
        Self { data: Vec::new(), positions: Vec::new(), next: None, stuck: false }
    }

    /// Page of the only element that there is, if any.
    pub fn only(element: Option<T>) -> Self {
        Self {
            positions: element.iter().map(|_| None).collect(),
            data: element.into_iter().collect(),
            next: None,
            stuck: false,
        }
    }

    /// Page without the elements that have no position: they are at no place of the list, or at several. Returns
    /// their number, too.
    pub fn positioned(self) -> (Self, usize) {
        let all = self.data.len();
        let rows = self.data.into_iter().zip(self.positions);
        let (data, positions): (Vec<T>, Vec<_>) = rows.filter(|(_, position)| position.is_some()).unzip();
        let left_out = all - data.len();
        (Self { data, positions, ..self }, left_out)
    }

    /// True if more elements follow, and none of these has a position from which the next page could begin.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Page with its elements in another form, without those that have none. The next page begins at the same
    /// place.
    pub fn filter_map<U>(self, mut form: impl FnMut(T) -> Option<U>) -> PageRows<U> {
        let rows = self.data.into_iter().zip(self.positions);
        let (data, positions) =
            rows.filter_map(|(element, position)| Some((form(element)?, position))).unzip();
        PageRows { data, positions, next: self.next, stuck: self.stuck }
    }
}

impl SortValue {
    fn is(&self, of: SortType) -> bool {
        matches!(
            (self, of),
            (Self::Time(_), SortType::Time)
                | (Self::Integer(_), SortType::Integer)
                | (Self::Text(_), SortType::Text)
        )
    }
}

/// Page as clients see it.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// Elements.
    pub data: Vec<T>,
    /// Cursor to the next page; `None` on the last.
    pub next_cursor: Option<String>,
    /// Positions from which the next page could begin.
    #[serde(skip)]
    ends: Ends,
}

/// Positions of a page's elements. A page that is cut at one of them has a cursor there.
#[derive(Clone, Debug)]
struct Ends {
    positions: Vec<Option<Position>>,
    scope: String,
}

impl PageRequest {
    /// Reads `limit` and `cursor`.
    ///
    /// # Errors
    /// 400 for a limit that is not 1 to 100.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        let limit = match query.get("limit") {
            Some(text) => Some(text.parse().map_err(|_| bad_limit(MAX_LIMIT))?),
            None => None,
        };
        Self::new(limit, query.get("cursor").map(str::to_owned))
    }

    /// Request of a list with the usual limits.
    ///
    /// # Errors
    /// 400 for a limit that is not 1 to 100.
    pub fn new(limit: Option<i64>, cursor: Option<String>) -> Result<Self, Error> {
        Self::within(limit, cursor, DEFAULT_LIMIT, MAX_LIMIT)
    }

    /// Request of a list with limits of its own.
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

    /// Most elements of this page.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// Cursor to the elements after this position.
    pub fn cursor_at(&self, position: &Position, scope: &str) -> String {
        encode(position, scope)
    }

    /// Number of elements to fetch: one more than the page has, which shows whether another page follows.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Position that the page begins after.
    ///
    /// `scope` is everything that a cursor is bound to: list, caller, filters and sort.
    ///
    /// # Errors
    /// 400 for a cursor that is malformed or of another scope.
    pub fn after(&self, scope: &str, of: SortType) -> Result<Option<Position>, Error> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        decode(cursor, scope).filter(|position| position.value.is(of)).map(Some).ok_or_else(|| {
            invalid("`cursor` is not valid for this list, caller, filters and sort. Start again without it.")
        })
    }

    /// Cuts up to [`Self::fetch`] elements down to the page. `position` is that of an element, if it has one.
    /// `cut` says that fewer were fetched although there may be more.
    ///
    /// The next page begins after the last element that has a position. If none has one, the page is stuck.
    pub fn found<T>(
        &self,
        mut fetched: Vec<T>,
        cut: bool,
        position: impl Fn(&T) -> Option<Position>,
    ) -> PageRows<T> {
        let length = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = cut || fetched.len() > length;
        fetched.truncate(length);
        let positions: Vec<_> = fetched.iter().map(position).collect();
        let next = if more { positions.iter().rev().flatten().next().cloned() } else { None };
        let stuck = more && next.is_none();
        PageRows { data: fetched, positions, next, stuck }
    }

    /// Page of these elements, with its cursor.
    pub fn page<T>(&self, found: PageRows<T>, scope: &str) -> Page<T> {
        Page {
            data: found.data,
            next_cursor: found.next.map(|position| encode(&position, scope)),
            ends: Ends { positions: found.positions, scope: scope.to_owned() },
        }
    }
}

impl<T> Page<T> {
    /// Same page with its elements in another form.
    pub fn map<U>(self, form: impl FnMut(T) -> U) -> Page<U> {
        let Self { data, next_cursor, ends } = self;
        Page { data: data.into_iter().map(form).collect(), next_cursor, ends }
    }

    /// Same page with its elements in a form that may fail.
    ///
    /// # Errors
    /// Error of the first element that fails.
    pub fn try_map<U, E>(self, form: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let Self { data, next_cursor, ends } = self;
        Ok(Page { data: data.into_iter().map(form).collect::<Result<_, E>>()?, next_cursor, ends })
    }

    /// Same page, ended early where the sizes of its elements would exceed `most`. It keeps one element at
    /// least.
    pub fn within(mut self, most: usize, size: impl Fn(&T) -> usize) -> Self {
        let mut total = 0_usize;
        let fits = |element: &&T| {
            total = total.saturating_add(size(element));
            total <= most
        };
        let fitting = self.data.iter().take_while(fits).count().max(1);
        // A page can end only where the next one can begin.
        let Ends { positions, scope } = &self.ends;
        let end = (1..=fitting).rev().find_map(|end| Some((end, positions.get(end - 1)?.as_ref()?)));
        if let Some((end, position)) = end
            && fitting < self.data.len()
        {
            self.next_cursor = Some(encode(position, scope));
            self.data.truncate(end);
            self.ends.positions.truncate(end);
        }
        self
    }
}

fn bad_limit(most: i64) -> Error {
    invalid(format!("`limit` must be an integer from 1 to {most}."))
}

/// First byte of a cursor. Its format can change, and cursors of the old format are then refused.
const VERSION: u8 = 2;

const SEAL_LENGTH: usize = 8;

/// Longest cursor that is decoded. A name of 200 characters fits in lower case, too.
const LONGEST: usize = 4_096;

/// Encodes version, ID, type and value, and a seal over these and the scope.
fn encode(position: &Position, scope: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(position.id.into_bytes());
    match &position.value {
        SortValue::Time(at) => {
            bytes.push(0);
            bytes.extend(at.millis().to_be_bytes());
        }
        SortValue::Integer(number) => {
            bytes.push(1);
            bytes.extend(number.to_be_bytes());
        }
        SortValue::Text(text) => {
            bytes.push(2);
            bytes.extend(text.as_bytes());
        }
    }
    let seal = seal(&bytes, scope);
    bytes.extend(seal);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, scope: &str) -> Option<Position> {
    if cursor.len() > LONGEST {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (position, sealed) = bytes.split_last_chunk::<SEAL_LENGTH>()?;
    if *sealed != seal(position, scope) {
        return None;
    }
    let (&version, rest) = position.split_first()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (&tag, value) = rest.split_first()?;
    if version != VERSION {
        return None;
    }
    let integer = || value.try_into().ok().map(i64::from_be_bytes);
    let value = match tag {
        0 => SortValue::Time(Timestamp::from_millis(integer()?)),
        1 => SortValue::Integer(integer()?),
        2 => SortValue::Text(std::str::from_utf8(value).ok()?.to_owned()),
        _ => return None,
    };
    Some(Position { value, id: Uuid::from_bytes(*id) })
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

    fn value() -> impl Strategy<Value = SortValue> {
        prop_oneof![
            any::<i64>().prop_map(|millis| SortValue::Time(Timestamp::from_millis(millis))),
            any::<i64>().prop_map(SortValue::Integer),
            ".{0,200}".prop_map(SortValue::Text),
        ]
    }

    fn at(millis: i64, bits: u128) -> Position {
        Position { value: SortValue::Time(Timestamp::from_millis(millis)), id: Uuid::from_u128(bits) }
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(value in value(), bits: u128, scope in ".*") {
            let position = Position { value, id: Uuid::from_u128(bits) };
            prop_assert_eq!(decode(&encode(&position, &scope), &scope), Some(position));
        }

        #[test]
        fn a_cursor_of_another_scope_is_refused(bits: u128, scope in ".*", other in ".*") {
            prop_assume!(scope != other);
            prop_assert_eq!(decode(&encode(&at(7, bits), &scope), &other), None);
        }

        #[test]
        fn arbitrary_text_is_no_cursor(text in ".*") {
            prop_assert_eq!(decode(&text, "orders"), None);
        }

        #[test]
        fn arbitrary_bytes_under_a_forged_seal_never_panic(mut bytes: Vec<u8>) {
            bytes.extend(seal(&bytes, "orders"));
            let cursor = URL_SAFE_NO_PAD.encode(&bytes);
            if let Some(position) = decode(&cursor, "orders") {
                prop_assert_eq!(encode(&position, "orders"), cursor);
            }
        }

        #[test]
        fn a_changed_cursor_is_refused(bits: u128, place in 0..34_usize, flip in 1..=255u8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(encode(&at(7, bits), "orders")).unwrap();
            prop_assert_eq!(bytes.len(), 34);
            bytes[place] ^= flip;
            prop_assert_eq!(decode(&URL_SAFE_NO_PAD.encode(bytes), "orders"), None);
        }
    }

    #[test]
    fn a_position_is_of_the_type_of_its_sort() {
        let request = |cursor| PageRequest::new(None, Some(cursor)).unwrap();
        let forged = encode(&Position { value: SortValue::Text("$gt".to_owned()), id: Uuid::nil() }, "s");
        assert!(request(forged.clone()).after("s", SortType::Text).is_ok());
        for of in [SortType::Time, SortType::Integer] {
            assert!(request(forged.clone()).after("s", of).is_err());
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let request = PageRequest::new(Some(2), None).unwrap();
        assert!(request.found(vec![1, 2], false, |_| Some(at(0, 0))).next.is_none());
        let found = request.found(vec![1, 2, 3], false, |_| Some(at(0, 0)));
        assert_eq!(found.data, [1, 2]);
        assert!(request.page(found, "s").next_cursor.is_some());
    }

    #[test]
    fn a_page_goes_on_after_the_last_element_that_has_a_position() {
        let request = PageRequest::new(Some(3), None).unwrap();
        let found = request.found(vec![1, 2, 0, 4], false, |&it| (it != 0).then(|| at(it, 0)));
        assert_eq!((&found.data[..], found.next.clone()), (&[1, 2, 0][..], Some(at(2, 0))));
        assert!(!found.is_stuck());
        assert_eq!(found.positioned().1, 1);
    }

    #[test]
    fn a_page_without_any_position_is_stuck_unless_it_is_the_last() {
        let request = PageRequest::new(Some(2), None).unwrap();
        assert!(request.found(vec![1, 2, 3], false, |_| None).is_stuck());
        assert!(request.found(vec![1], true, |_| None).is_stuck());
        assert!(!request.found(vec![1, 2], false, |_| None).is_stuck());
    }

    #[test]
    fn a_page_of_too_many_bytes_ends_early_and_has_a_cursor() {
        let request = PageRequest::new(Some(4), None).unwrap();
        let page = || {
            let found = request.found(vec![5_i64, 6, 7, 8], false, |&it| Some(at(it, 0)));
            request.page(found, "s")
        };
        for (most, kept) in [(0, 1), (11, 2), (25, 3), (26, 4)] {
            let page = page().within(most, |&size| usize::try_from(size).unwrap());
            assert_eq!(page.data.len(), kept, "{most}");
            let after = page.next_cursor.map(|cursor| decode(&cursor, "s").unwrap());
            assert_eq!(after, (kept < 4).then(|| at(page.data[kept - 1], 0)), "{most}");
        }
    }

    #[test]
    fn a_limit_is_one_to_a_hundred() {
        for bad in [0, -1, 101, i64::MAX] {
            assert!(PageRequest::new(Some(bad), None).is_err());
        }
        assert!(PageRequest::new(Some(100), None).is_ok());
    }
}
