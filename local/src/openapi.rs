//! `cargo openapi`: the one OpenAPI document of the whole API, from what each function says of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::auth::Access;
use shared::error::Kind;
use shared::http::routes::{ResponseSpec, RouteSpec};
use shared::input::json::MAX_BODY;
use shared::openapi::values::{self, matching, named, one_of, problem_name};
use shared::openapi::{ApiPart, ApiSchema};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, OneOfBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
};

use crate::error::CommandError;
use crate::gateway::Function;
use crate::run::checkout;
use crate::terminal::print_ignoring_epipe;

/// Introduction of the document.
const INTRODUCTION: &str = include_str!("../openapi/introduction.md");

const JSON: &str = "application/json";
const PROBLEM_JSON: &str = "application/problem+json";
const SCHEME: &str = "bearer";

/// Examples recorded by a test (`tests/system/openapi.rs`).
#[derive(Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Examples {
    /// Successful exchanges, by the ID of the operation.
    pub exchanges: BTreeMap<String, Vec<Exchange>>,
    /// A problem of each type, by the last segment of the type.
    pub problems: BTreeMap<String, Value>,
}

impl Examples {
    /// Those of the checkout.
    fn recorded() -> Result<Self, CommandError> {
        let (path, _) = files();
        let failed = |error: String| CommandError::new(format!("{} cannot be read: {error}", shown(&path)));
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

/// A request and its answer.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
pub struct Exchange {
    /// Key of the example.
    pub name: String,
    /// Summary of the example.
    pub summary: String,
    /// The body of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<Value>,
}

/// Paths of the recorded examples and of the document.
pub fn files() -> (PathBuf, PathBuf) {
    let root = checkout();
    (root.join("local/openapi/examples.json"), root.join("functions/docs/openapi.json"))
}

/// Writes the document to a file, by default to where the docs function has it from.
///
/// # Errors
/// The document cannot be made or written.
pub fn run(to: Option<PathBuf>) -> Result<(), CommandError> {
    let to = to.unwrap_or_else(|| files().1);
    let text = text()?;
    std::fs::write(&to, text)
        .map_err(|error| CommandError::new(format!("{} cannot be written: {error}", to.display())))?;
    print_ignoring_epipe(shown(&to));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(checkout()).unwrap_or(path).display().to_string()
}

/// The document as it stands in its file.
///
/// # Errors
/// The recorded examples cannot be read.
pub fn text() -> Result<String, CommandError> {
    let document = serde_json::to_value(document()?).map_err(|error| CommandError::new(error.to_string()))?;
    Ok(format!("{document:#}\n"))
}

/// Parts of the functions, in reading order.
pub fn parts() -> [ApiPart; 4] {
    [orders::openapi::part(), products::openapi::part(), users::openapi::part(), docs::openapi::part()]
}

fn document() -> Result<OpenApi, CommandError> {
    let examples = Examples::recorded()?;
    let mut components = components(&examples);
    let mut paths = PathsBuilder::new().build();
    for part in parts() {
        components.schemas.extend(part.schemas);
    }
    for spec in Function::ALL.into_iter().flat_map(Function::specs) {
        let item = PathItem::new(method(&spec.method), describe(spec, &examples));
        match paths.paths.get_mut(spec.path) {
            Some(path) => path.merge_operations(item),
            None => drop(paths.paths.insert(spec.path.to_owned(), item)),
        }
    }
    let info = InfoBuilder::new()
        .title("Order management")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION));
    let document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .tags(Some(tags()))
        .paths(paths)
        .components(Some(components));
    Ok(document.build())
}

fn tags() -> impl Iterator<Item = utoipa::openapi::Tag> {
    let tags = [
        ("Sign-in", "Access tokens, for whoever has a password."),
        ("Orders", "From placing to delivery, return and refund."),
        ("Payments", "Payments of an order, and refunds."),
        ("Fulfillment", "Parcels of an order, and cancellations of units that are not shipped."),
        ("Returns", "Units of an order that are sent back."),
        ("Products", "What can be ordered, and how much of it there is."),
        ("Users", "Customers, staff and admins."),
        ("Around", "What stands around the API."),
    ];
    tags.into_iter().map(|(name, says)| TagBuilder::new().name(name).description(Some(says)).build())
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// Access as a sentence.
fn who_may(access: Access) -> &'static str {
    match access {
        Access::Public => "Anyone; no token is looked at.",
        Access::Anyone => "Anyone; a token that is sent must be good.",
        Access::SignedIn => "Every user who has signed in.",
        Access::Staff => "Staff and admins.",
        Access::Admin => "Admins.",
    }
}

fn describe(spec: &RouteSpec, examples: &Examples) -> utoipa::openapi::path::Operation {
    let exchanges = examples.exchanges.get(spec.operation_id).map_or([].as_slice(), Vec::as_slice);
    let description = format!("{}\n\n**Who may:** {}", spec.description, who_may(spec.access));
    let mut builder = OperationBuilder::new()
        .tag(spec.tag)
        .summary(Some(spec.summary))
        .description(Some(description.trim_start()))
        .operation_id(Some(spec.operation_id))
        .responses(responses(spec, exchanges, examples))
        .extensions(Some(ExtensionsBuilder::new().add("x-access", spec.access.name()).build()));
    if let Some(schema) = spec.request_body {
        let sent = exchanges.iter().filter_map(|exchange| Some((exchange, exchange.request.clone()?)));
        let content = content(named(schema), sent);
        let body = RequestBodyBuilder::new()
            .description(Some(format!("At most {} KiB.", MAX_BODY / 1024)))
            .content(JSON, content)
            .required(Some(Required::True));
        builder = builder.request_body(Some(body.build()));
    }
    let token = || SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []);
    builder = match spec.access {
        Access::Public => builder.securities(Some([])),
        Access::Anyone => builder.securities(Some([SecurityRequirement::default(), token()])),
        Access::SignedIn | Access::Staff | Access::Admin => builder.securities(Some([token()])),
    };
    let mut described = builder.build();
    described.parameters = Some(shared::openapi::parameters(spec));
    described
}

fn content<'a>(schema: ApiSchema, examples: impl Iterator<Item = (&'a Exchange, Value)>) -> Content {
    let examples = examples.map(|(exchange, value)| {
        let example = ExampleBuilder::new().summary(exchange.summary.as_str()).value(Some(value)).build();
        (exchange.name.clone(), RefOr::T(example))
    });
    ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build()
}

fn responses(spec: &RouteSpec, exchanges: &[Exchange], examples: &Examples) -> utoipa::openapi::Responses {
    let mut responses = ResponsesBuilder::new();
    for success in spec.responses {
        let mut response = response(success, exchanges);
        if spec.idempotent {
            let replayed = "Idempotency-Replayed";
            response = response.header_ref(replayed, header(replayed));
        }
        responses = responses.response(success.status.as_str(), response.build());
    }
    if spec.if_none_match {
        let known = "`If-None-Match` names what is there.";
        let known = ResponseSpec::empty(StatusCode::NOT_MODIFIED, known).headers(&["ETag"]);
        responses = responses.response(known.status.as_str(), response(&known, &[]).build());
    }
    let mut by_status: BTreeMap<StatusCode, Vec<Kind>> = BTreeMap::new();
    for kind in spec.all_problems() {
        by_status.entry(kind.status()).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let response: RefOr<Response> = match kinds.as_slice() {
            [only] => Ref::from_response_name(problem_name(*only)).into(),
            several => problem(several, examples).into(),
        };
        responses = responses.response(status.as_str(), response);
    }
    responses.build()
}

fn response(success: &ResponseSpec, exchanges: &[Exchange]) -> ResponseBuilder {
    let status = success.status.as_u16();
    let mut response =
        ResponseBuilder::new().description(success.description).header_ref(REQUEST_ID, header(REQUEST_ID));
    for name in success.headers {
        response = response.header_ref(*name, header(name));
    }
    let bodies = success.body.map(|body| (body.media_type, shared::openapi::body(body))).into_iter();
    let bodies = bodies.chain(success.also.iter().map(|media_type| (*media_type, values::text().into())));
    for (media_type, schema) in bodies {
        let received = exchanges.iter().filter(|it| it.status == status && media_type.ends_with("json"));
        let received = received.filter_map(|exchange| Some((exchange, exchange.answer.clone()?)));
        response = response.content(media_type, content(schema, received));
    }
    response
}

const REQUEST_ID: &str = "X-Request-Id";

fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// An answer that is a problem of one of these kinds.
fn problem(kinds: &[Kind], examples: &Examples) -> Response {
    let schemas = kinds.iter().map(|kind| named(&problem_name(*kind)));
    let schema: ApiSchema = match kinds {
        [only] => named(&problem_name(*only)),
        _ => schemas.fold(OneOfBuilder::new(), OneOfBuilder::item).into(),
    };
    let received = kinds.iter().filter(|kind| examples.problems.contains_key(kind.slug()));
    let examples = received.map(|kind| {
        let name = problem_name(*kind);
        let example: RefOr<utoipa::openapi::example::Example> =
            RefOr::Ref(Ref::new(format!("#/components/examples/{name}")));
        (kind.slug().to_owned(), example)
    });
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let mut response = ResponseBuilder::new()
        .description(format!("{}.", titles.join(". Or: ")))
        .header_ref(REQUEST_ID, header(REQUEST_ID))
        .content(PROBLEM_JSON, content);
    for (kind, name) in [
        (Kind::Unauthenticated, "WWW-Authenticate"),
        (Kind::MethodNotAllowed, "Allow"),
        (Kind::TooManyRequests, "Retry-After"),
        (Kind::Unavailable, "Retry-After"),
    ] {
        if kinds.contains(&kind) {
            response = response.header_ref(name, header(name));
        }
    }
    response.build()
}

/// Components that operations share: problems, headers, parameters and values.
fn components(examples: &Examples) -> Components {
    let mut components = ComponentsBuilder::new();
    for kind in Kind::ALL {
        let name = problem_name(kind);
        components = components.response(&name, problem(&[kind], examples));
        if let Some(example) = examples.problems.get(kind.slug()) {
            let example = ExampleBuilder::new().summary(kind.title()).value(Some(example.clone())).build();
            components = components.example(name, example);
        }
    }
    for (name, schema, says) in headers() {
        components = components
            .header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(says)).build());
    }
    for (name, parameter) in parameters() {
        components = components.parameter(name, parameter);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The `access_token` of `POST /auth`: good for 15 minutes."));
    let bearer = RefOr::T(SecurityScheme::Http(bearer.build()));
    components.security_scheme(SCHEME, bearer).schemas_from_iter(values::common()).build()
}

fn headers() -> Vec<(&'static str, ApiSchema, &'static str)> {
    let tag = || ApiSchema::from(matching("^\".*\"$"));
    vec![
        (
            REQUEST_ID,
            request_id(),
            "The request's ID: yours, or a new one. It stands in every line of our log.",
        ),
        ("Location", matching("^/").into(), "Where it is; relative."),
        ("ETag", tag(), "What is shown: for users, products and orders, the `version` in quotes."),
        ("Link", matching("^<[^>]+>; rel=\"next\"$").into(), "The next page, if there is one; relative."),
        (
            "Idempotency-Replayed",
            one_of(["true"]).into(),
            "The request had been answered before; else absent.",
        ),
        ("Retry-After", values::whole(1).into(), "After how many seconds another try makes sense."),
        ("WWW-Authenticate", one_of(["Bearer"]).into(), "How to sign in."),
        ("Allow", values::text().into(), "Which methods the path has."),
        ("Cache-Control", values::text().into(), "How long it may be kept."),
        ("Vary", values::text().into(), "What of the request the answer depends on."),
    ]
}

fn request_id() -> ApiSchema {
    matching("^[A-Za-z0-9._=-]{1,128}$").min_length(Some(1)).max_length(Some(128)).into()
}

fn parameters() -> Vec<(&'static str, Parameter)> {
    let key = matching("^[!-~]{1,255}$").min_length(Some(1)).max_length(Some(255));
    let parameter = |name: &str, schema: ApiSchema, says: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .schema(Some(schema))
            .description(Some(says))
            .build()
    };
    vec![
        (
            "RequestId",
            parameter(
                REQUEST_ID,
                values::text().into(),
                "An ID of yours for this request, of 1 to 128 of `A-Z a-z 0-9 . _ -`; others are replaced.",
            ),
        ),
        (
            "TraceParent",
            parameter(
                "traceparent",
                values::text().into(),
                "The trace that this request belongs to (W3C Trace Context).",
            ),
        ),
        (
            "IdempotencyKey",
            parameter(
                "Idempotency-Key",
                key.into(),
                "What you call this request: sent again under the same key, it has no second effect.",
            ),
        ),
        (
            "IfMatch",
            parameter(
                "If-Match",
                values::text().into(),
                "The `ETag`s of which one must still be there, else 412; `*` for any.",
            ),
        ),
        (
            "IfNoneMatch",
            parameter(
                "If-None-Match",
                values::text().into(),
                "The `ETag`s that you have already: 304 for one of them.",
            ),
        ),
    ]
}
