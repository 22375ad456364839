//! Declaration of a route as plain data. The router, the OpenAPI document and the tests read the same row.

use http::{Method, StatusCode};
use type_safe_id::StaticType;

use crate::auth::Access;
use crate::error::Kind;
use crate::input::page::{DEFAULT_LIMIT, MAX_LIMIT};

/// A row of a route table: a method of a path, with all that is declared about it.
#[derive(Debug)]
pub struct RouteSpec {
    /// HTTP method. A GET also answers HEAD.
    pub method: Method,
    /// Path with parameters in braces: `/orders/{id}`.
    pub path: &'static str,
    /// Name of the operation in the OpenAPI document and in generated clients.
    pub operation_id: &'static str,
    /// Callers that are let in.
    pub access: Access,
    /// Limit that a request counts against.
    pub rate: RateClass,
    /// Limit of API Gateway for all clients together.
    pub throttle: Throttle,
    /// Parameter in the path.
    pub path_parameter: Option<Parameter>,
    /// Second parameter in the path: the ID of a part of the resource.
    pub part_parameter: Option<Parameter>,
    /// Query parameters, without those of a page.
    pub query: &'static [Parameter],
    /// Limits of a page; the route then takes `limit` and `cursor`.
    pub page: Option<PageLimits>,
    /// Schema of the request body.
    pub request_body: Option<&'static str>,
    /// Fields of the body that every caller may write whom the access lets in. Any other field of a PUT has rows
    /// of its own in the permission matrix.
    pub ordinary_fields: &'static [&'static str],
    /// Reads `Idempotency-Key`.
    pub idempotent: bool,
    /// Reads `If-Match`.
    pub if_match: bool,
    /// Reads `If-None-Match`.
    pub if_none_match: bool,
    /// Heading in the document.
    pub tag: &'static str,
    /// Effect in a few words.
    pub summary: &'static str,
    /// Details in CommonMark.
    pub description: &'static str,
    /// Responses of success, without 304.
    pub responses: &'static [ResponseSpec],
    /// Problems that do not follow from the other members.
    pub problems: &'static [Kind],
}

/// Limit that requests of a route count against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateClass {
    /// No limit.
    Unlimited,
    /// Requests from one network address, together with all other routes of this class.
    PerAddress,
    /// The same, but requests of admins have no limit and do not count.
    PerAddressButAdmins,
}

/// Limit of API Gateway for all requests of a route, whoever sends them. template.yaml has the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// The limit of most routes.
    Default,
    /// A lower one, for routes that cost most or invite guessing.
    Tight,
}

/// Limits of the `limit` parameter of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Elements of a page by default.
    pub default: i64,
    /// Elements of the longest page.
    pub max: i64,
}

/// A parameter in the path or the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Values that it takes.
    pub value: ParameterValue,
    /// Its meaning, for readers of the document.
    pub description: &'static str,
}

impl Parameter {
    /// Declares a parameter.
    pub const fn new(name: &'static str, value: ParameterValue, description: &'static str) -> Self {
        Self { name, value, description }
    }
}

/// Values of a parameter, as its schema shows them.
#[derive(Clone, Copy, Debug)]
pub enum ParameterValue {
    /// Text of so many characters.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters, if there is a limit.
        max: Option<usize>,
    },
    /// One line of text, as [`crate::values::text::Line`].
    Line {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// Text of this pattern.
    Pattern {
        /// Regular expression of ECMAScript.
        pattern: fn() -> String,
        /// Bounds of the length, where the pattern does not show them.
        length: (Option<usize>, Option<usize>),
    },
    /// One of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// One or several of these words, with commas between.
    SomeOf(fn() -> Vec<&'static str>),
    /// One of these sorts; the first is the default.
    Sort(fn() -> Vec<&'static str>),
    /// ID of this kind, such as `order`.
    Id(&'static str),
    /// Integer within these bounds.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// Time of RFC 3339.
    Time,
    /// Value of this schema in the document.
    Schema(&'static str),
}

impl ParameterValue {
    /// ID of this kind.
    pub const fn id<T: StaticType>() -> Self {
        Self::Id(T::TYPE)
    }
}

/// A response of success.
#[derive(Clone, Copy, Debug)]
pub struct ResponseSpec {
    /// HTTP status.
    pub status: StatusCode,
    /// Meaning of the response.
    pub description: &'static str,
    /// Body that has a schema.
    pub body: Option<ResponseBody>,
    /// Media types of other bodies, which are plain text to the document.
    pub also: &'static [&'static str],
    /// Headers by their names in the document.
    pub headers: &'static [&'static str],
}

/// A response body that has a schema.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBody {
    /// Media type.
    pub media_type: &'static str,
    /// Schema of the body, or of an element of the page.
    pub schema: &'static str,
    /// A page of elements of that schema.
    pub is_page: bool,
}

const JSON: &str = "application/json";

impl ResponseSpec {
    /// A response with a JSON body.
    pub const fn json(status: StatusCode, schema: &'static str, description: &'static str) -> Self {
        Self::body(status, JSON, schema, description)
    }

    /// A response with a body of another media type.
    pub const fn body(
        status: StatusCode,
        media_type: &'static str,
        schema: &'static str,
        description: &'static str,
    ) -> Self {
        let body = Some(ResponseBody { media_type, schema, is_page: false });
        Self { status, description, body, also: &[], headers: &[] }
    }

    /// 200 with a page of elements.
    pub const fn page(element: &'static str, description: &'static str) -> Self {
        let body = Some(ResponseBody { media_type: JSON, schema: element, is_page: true });
        Self { status: StatusCode::OK, description, body, also: &[], headers: &["Link"] }
    }

    /// A response without a body.
    pub const fn empty(status: StatusCode, description: &'static str) -> Self {
        Self { status, description, body: None, also: &[], headers: &[] }
    }

    /// Adds media types that have no schema.
    pub const fn also_as(mut self, media_types: &'static [&'static str]) -> Self {
        self.also = media_types;
        self
    }

    /// Sets the headers.
    pub const fn headers(mut self, names: &'static [&'static str]) -> Self {
        self.headers = names;
        self
    }
}

impl RouteSpec {
    /// A GET route.
    pub const fn get(path: &'static str, operation_id: &'static str) -> Self {
        Self::new(Method::GET, path, operation_id)
    }

    /// A POST route.
    pub const fn post(path: &'static str, operation_id: &'static str) -> Self {
        Self::new(Method::POST, path, operation_id)
    }

    /// A PUT route.
    pub const fn put(path: &'static str, operation_id: &'static str) -> Self {
        Self::new(Method::PUT, path, operation_id)
    }

    /// A DELETE route.
    pub const fn delete(path: &'static str, operation_id: &'static str) -> Self {
        Self::new(Method::DELETE, path, operation_id)
    }

    /// Admits admins alone until [`Self::access`] says otherwise.
    const fn new(method: Method, path: &'static str, operation_id: &'static str) -> Self {
        Self {
            method,
            path,
            operation_id,
            access: Access::Admin,
            rate: RateClass::Unlimited,
            throttle: Throttle::Default,
            path_parameter: None,
            part_parameter: None,
            query: &[],
            page: None,
            request_body: None,
            ordinary_fields: &[],
            idempotent: false,
            if_match: false,
            if_none_match: false,
            tag: "",
            summary: "",
            description: "",
            responses: &[],
            problems: &[],
        }
    }

    /// Sets the callers that are let in.
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the fields of the body whose rule is the access alone.
    pub const fn ordinary_fields(mut self, names: &'static [&'static str]) -> Self {
        self.ordinary_fields = names;
        self
    }

    /// Sets the limit that requests count against.
    pub const fn rate(mut self, rate: RateClass) -> Self {
        self.rate = rate;
        self
    }

    /// Lowers the limit of API Gateway.
    pub const fn throttled_tightly(mut self) -> Self {
        self.throttle = Throttle::Tight;
        self
    }

    /// Declares the ID in the path.
    pub const fn id<T: StaticType>(self) -> Self {
        self.path_parameter(Parameter::new("id", ParameterValue::id::<T>(), "The ID of the resource."))
    }

    /// Declares the parameter in the path.
    pub const fn path_parameter(mut self, parameter: Parameter) -> Self {
        self.path_parameter = Some(parameter);
        self
    }

    /// Declares the ID of a part of the resource, the second one in the path.
    pub const fn part_id<T: StaticType>(mut self, name: &'static str) -> Self {
        self.part_parameter =
            Some(Parameter::new(name, ParameterValue::id::<T>(), "The ID of the part of the resource."));
        self
    }

    /// Declares query parameters; a page's are declared by [`Self::paged`].
    pub const fn query(mut self, parameters: &'static [Parameter]) -> Self {
        self.query = parameters;
        self
    }

    /// Adds `limit` and `cursor` with the limits of most lists.
    pub const fn paged(self) -> Self {
        self.paged_within(DEFAULT_LIMIT, MAX_LIMIT)
    }

    /// Adds `limit` and `cursor`.
    pub const fn paged_within(mut self, default: i64, max: i64) -> Self {
        self.page = Some(PageLimits { default, max });
        self
    }

    /// Sets the schema of the request body.
    pub const fn request_body(mut self, schema: &'static str) -> Self {
        self.request_body = Some(schema);
        self
    }

    /// Reads `Idempotency-Key`.
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Reads `If-Match`: the request changes one version of a resource.
    pub const fn if_match(mut self) -> Self {
        self.if_match = true;
        self
    }

    /// Reads `If-None-Match`: 304 where the client has the latest version.
    pub const fn if_none_match(mut self) -> Self {
        self.if_none_match = true;
        self
    }

    /// Sets the heading that the operation stands under.
    pub const fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Sets the summary.
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Sets the description (CommonMark).
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Sets the responses of success.
    pub const fn responses(mut self, responses: &'static [ResponseSpec]) -> Self {
        self.responses = responses;
        self
    }

    /// Sets the problems that do not follow from the other members.
    pub const fn problems(mut self, kinds: &'static [Kind]) -> Self {
        self.problems = kinds;
        self
    }

    /// Method and path: `POST /products`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Path with this value of each of its parameters.
    pub fn path_of(&self, value: impl std::fmt::Display) -> String {
        let mut path = String::new();
        let mut rest = self.path;
        while let Some((before, parameter)) = rest.split_once('{') {
            path.push_str(&format!("{before}{value}"));
            rest = parameter.split_once('}').map_or("", |(_, after)| after);
        }
        path + rest
    }

    /// Names of all query parameters.
    pub fn query_names(&self) -> Vec<&'static str> {
        let page = if self.page.is_some() { PAGE.as_slice() } else { &[] };
        self.query.iter().map(|parameter| parameter.name).chain(page.iter().copied()).collect()
    }

    /// All problems that a request can meet, in the order of [`Kind::ALL`].
    pub fn all_problems(&self) -> Vec<Kind> {
        let can_meet = |kind: &Kind| match kind {
            Kind::MalformedRequest | Kind::Internal => true,
            Kind::Unauthenticated | Kind::Unavailable => self.access != Access::Public,
            Kind::Forbidden => matches!(self.access, Access::Staff | Access::Admin),
            Kind::NotFound => self.path_parameter.is_some(),
            Kind::InvalidQuery => !self.query.is_empty() || self.page.is_some(),
            Kind::RequestTimeout | Kind::PayloadTooLarge | Kind::UnsupportedMediaType | Kind::Validation => {
                self.request_body.is_some()
            }
            Kind::IdempotencyKeyReused => self.idempotent,
            Kind::VersionMismatch => self.if_match,
            Kind::TooManyRequests => self.rate != RateClass::Unlimited,
            _ => false,
        };
        Kind::ALL.into_iter().filter(|kind| can_meet(kind) || self.problems.contains(kind)).collect()
    }
}

/// Query parameters of a page.
const PAGE: [&str; 2] = ["limit", "cursor"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::ids::ProductKind;

    static MOVEMENTS: RouteSpec = RouteSpec::get("/products/{id}/stock/movements", "listStockMovements")
        .access(Access::Staff)
        .id::<ProductKind>()
        .query(&[Parameter::new("q", ParameterValue::Boolean, "A filter.")])
        .paged();

    #[test]
    fn a_path_is_made_from_the_row() {
        assert_eq!(MOVEMENTS.path_of(7), "/products/7/stock/movements");
        assert_eq!(RouteSpec::post("/orders", "placeOrder").path_of(7), "/orders");
        assert_eq!(MOVEMENTS.name(), "GET /products/{id}/stock/movements");
    }

    #[test]
    fn the_parameters_of_a_page_follow_the_others() {
        assert_eq!(MOVEMENTS.query_names(), ["q", "limit", "cursor"]);
        assert!(RouteSpec::get("/orders", "listOrders").query_names().is_empty());
    }

    #[test]
    fn problems_follow_from_the_row() {
        let mut expected = vec![Kind::MalformedRequest, Kind::InvalidQuery, Kind::Unauthenticated];
        expected.extend([Kind::Forbidden, Kind::NotFound, Kind::Unavailable, Kind::Internal]);
        let mut found = MOVEMENTS.all_problems();
        found.sort_by_key(|kind| kind.slug());
        expected.sort_by_key(|kind| kind.slug());
        assert_eq!(found, expected);
        let public = RouteSpec::get("/health", "health").access(Access::Public);
        assert_eq!(public.all_problems(), [Kind::MalformedRequest, Kind::Internal]);
    }

    #[test]
    fn a_row_without_access_is_for_admins() {
        assert_eq!(RouteSpec::get("/", "index").access, Access::Admin);
    }
}
