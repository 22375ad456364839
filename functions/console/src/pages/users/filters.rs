//! Filters of the list of users: as parameters of its URL, and as a request to the API.

use form_urlencoded::Serializer;
use proto::common::v1::PageRequest;
use proto::users::v1::ListUsersRequest;
use shared::error::Error;
use shared::input::query;
use shared::rpc::convert;
use shared::values::clock::Timestamp;

use crate::http::Query;
use crate::texts::users as texts;

/// Path of the list.
pub(super) const PATH: &str = "/console/users";

/// Users on a page.
const LIMIT: i64 = 50;

/// Filters that may have several values.
const SEVERAL: [&str; 2] = ["role", "status"];

/// Filters with one value.
const SINGLE: [&str; 3] = ["email", "updated_from", "updated_to"];

/// Parameters that select no users.
const PAGING: [&str; 2] = ["sort", "cursor"];

/// Parameters of the list that have a value, by the API's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters(Vec<(&'static str, String)>);

impl Filters {
    /// Filters of a URL. Forms send empty fields, too; they count as absent.
    pub(super) fn from_query(query: &Query) -> Self {
        // Checkboxes repeat their name; the API wants commas.
        let several = SEVERAL.into_iter().map(|name| (name, query.all(name).collect::<Vec<_>>().join(",")));
        let single = SINGLE.into_iter().chain(PAGING);
        let single = single.map(|name| (name, query.get(name).unwrap_or_default().to_owned()));
        Self(several.chain(single).filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// True if this is one of a filter's values.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|values| values.split(',').any(|one| one == value))
    }

    /// True if all users are selected.
    pub(super) fn are_none(&self) -> bool {
        self.0.iter().all(|(name, _)| PAGING.contains(name))
    }

    /// Path of the first page.
    pub(super) fn first_page(&self) -> String {
        self.path(None)
    }

    /// Path of the page of a cursor.
    pub(super) fn page_at(&self, cursor: &str) -> String {
        self.path(Some(cursor))
    }

    fn path(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, _)| *name != "cursor"));
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        match query.finish().as_str() {
            "" => PATH.to_owned(),
            query => format!("{PATH}?{query}"),
        }
    }

    /// Request for the page.
    ///
    /// # Errors
    /// 400 for a time that is none. All else is checked by the users function.
    pub(super) fn request(&self) -> Result<ListUsersRequest, Error> {
        let text = |name: &str| self.get(name).map(str::to_owned);
        let time = |name: &str| {
            Ok::<_, Error>(query::optional(name, self.get(name), moment)?.map(convert::timestamp))
        };
        Ok(ListUsersRequest {
            page: Some(PageRequest { limit: Some(LIMIT), cursor: text("cursor") }),
            role: text("role"),
            status: text("status"),
            email: text("email"),
            updated_from: time("updated_from")?,
            updated_to: time("updated_to")?,
            sort: text("sort"),
        })
    }
}

/// Parses a time in UTC: of a field for dates and times, a date alone, or RFC 3339.
fn moment(text: &str) -> Result<Timestamp, String> {
    let forms = ["", "Z", ":00Z", "T00:00:00Z"];
    let time = forms.into_iter().find_map(|rest| Timestamp::parse(&format!("{text}{rest}")));
    time.ok_or_else(|| texts::NO_TIME.to_owned())
}

/// Value of a field for dates and times (`datetime-local`). `None` if the text is no time.
pub(super) fn field_value(text: &str) -> Option<String> {
    let time = moment(text).ok()?.to_string();
    let time = time.trim_end_matches('Z');
    let time = time.strip_suffix(".000").unwrap_or(time);
    Some(time.strip_suffix(":00").unwrap_or(time).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(query: &str) -> Filters {
        Filters::from_query(&Query::parse(query))
    }

    #[test]
    fn a_path_has_all_parameters_and_one_cursor() {
        let some = filters("role=staff&role=admin&email=a%2Bb%40example.com&status=&cursor=one");
        let first = "/console/users?role=staff%2Cadmin&email=a%2Bb%40example.com";
        assert_eq!(some.first_page(), first);
        assert_eq!(some.page_at("two"), format!("{first}&cursor=two"));
        assert_eq!(filters("cursor=one&done=deleted").first_page(), PATH);
    }

    #[test]
    fn a_request_has_each_filter() {
        let query = "role=staff&role=admin&status=disabled&email=Ada%40example.com&updated_from=1970-01-02\
                     &updated_to=1970-01-02T00%3A01&sort=updated_at";
        let request = filters(query).request().unwrap();
        assert_eq!(request.role.as_deref(), Some("staff,admin"));
        assert_eq!(request.status.as_deref(), Some("disabled"));
        assert_eq!(request.email.as_deref(), Some("Ada@example.com"));
        assert_eq!(request.updated_from.map(|time| time.seconds), Some(86_400));
        assert_eq!(request.updated_to.map(|time| time.seconds), Some(86_460));
        assert_eq!(request.sort.as_deref(), Some("updated_at"));
    }

    #[test]
    fn a_time_that_cannot_be_read_is_named() {
        let error = filters("updated_from=yesterday").request().unwrap_err();
        assert!(error.detail().starts_with("`updated_from` must be a date"), "{}", error.detail());
        assert_eq!(field_value("yesterday"), None);
        assert_eq!(field_value("1970-01-02").as_deref(), Some("1970-01-02T00:00"));
    }

    #[test]
    fn sort_and_cursor_select_nothing() {
        assert!(filters("").are_none() && filters("sort=created_at&cursor=one").are_none());
        assert!(!filters("role=staff").are_none());
        assert!(filters("role=staff,admin").has("role", "admin"));
        assert!(!filters("role=staff,admin").has("role", "customer"));
    }
}
