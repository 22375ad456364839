//! The words in which each function describes its part of the API for the OpenAPI 3.1 document: operations, and what
//! all of them have in common. [`values`] has the schemas of what they carry.
//!
//! Limits, enumerations and problem types are taken from where the code has them. What cannot be taken, a test sends
//! requests about (`tests/e2e/openapi.rs`).

use http::{Method, StatusCode};
use type_safe_id::StaticType;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr, Required};

use crate::auth::Access;
use crate::error::Kind;
use crate::input::page::{DEFAULT_LIMIT, MAX_LIMIT};

pub mod schemas;
pub mod values;

/// A schema, or the name of one.
pub type Shape = RefOr<Schema>;

/// What one function describes.
#[derive(Default)]
pub struct Part {
    /// Its operations, in the order in which they are read.
    pub operations: Vec<Operation>,
    /// Its schemas, by their names.
    pub schemas: Vec<(String, Shape)>,
}

impl Part {
    /// Adds an operation.
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Adds a schema that others, and operations, name.
    pub fn schema(mut self, name: impl Into<String>, schema: impl Into<Shape>) -> Self {
        self.schemas.push((name.into(), schema.into()));
        self
    }
}

/// An answer that is no problem.
pub struct Success {
    /// The status.
    pub status: StatusCode,
    /// What it means.
    pub description: &'static str,
    /// The media types and schemas that its body may have.
    pub bodies: Vec<(&'static str, Shape)>,
    /// Names in `components/headers`.
    pub headers: Vec<&'static str>,
}

/// A method of a path.
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path, as in the route table.
    pub path: &'static str,
    /// What generated clients call it: the handler's name in camel case.
    pub id: &'static str,
    /// Under which heading it is read.
    pub tag: &'static str,
    /// Who may; `None` where no token is looked at.
    pub access: Option<Access>,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What there is to know about it (CommonMark).
    pub description: &'static str,
    /// What it takes beside the body.
    pub parameters: Vec<RefOr<Parameter>>,
    /// The name of the body's schema.
    pub body: Option<&'static str>,
    /// What it answers if all is well.
    pub successes: Vec<Success>,
    /// What else it answers.
    pub problems: Vec<Kind>,
}

impl Operation {
    /// An operation whose route looks at the caller's token.
    pub fn new(method: Method, path: &'static str, id: &'static str, access: Access) -> Self {
        let operation =
            Self::open(method, path, id).problem(Kind::Unauthenticated).problem(Kind::Unavailable);
        let operation = match access {
            Access::Anyone | Access::SignedIn => operation,
            Access::Staff | Access::Admin => operation.problem(Kind::Forbidden),
        };
        Self { access: Some(access), ..operation }
    }

    /// An operation that is the same for everybody.
    pub fn open(method: Method, path: &'static str, id: &'static str) -> Self {
        let (tag, access, summary, description) = ("", None, "", "");
        let parameters = vec![parameter_ref("RequestId"), parameter_ref("TraceParent")];
        let (body, successes, problems) = (None, Vec::new(), vec![Kind::MalformedRequest, Kind::Internal]);
        Self { method, path, id, tag, access, summary, description, parameters, body, successes, problems }
    }

    /// Under which heading it is read, what it does, and what there is to know about it.
    pub fn says(self, tag: &'static str, summary: &'static str, description: &'static str) -> Self {
        Self { tag, summary, description, ..self }
    }

    /// What else it answers.
    pub fn problem(mut self, kind: Kind) -> Self {
        if !self.problems.contains(&kind) {
            self.problems.push(kind);
        }
        self
    }

    /// The same for several.
    pub fn problems(self, kinds: &[Kind]) -> Self {
        kinds.iter().fold(self, |operation, kind| operation.problem(*kind))
    }

    /// A text in its path.
    pub fn segment(self, name: &str, schema: impl Into<Shape>, description: &str) -> Self {
        let segment = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(schema));
        self.parameter(segment.build()).problem(Kind::NotFound)
    }

    /// The ID in its path.
    pub fn id<T: StaticType>(self) -> Self {
        self.segment("id", values::id_of::<T>(), &format!("The ID of the {}.", T::TYPE))
    }

    fn parameter(mut self, parameter: impl Into<RefOr<Parameter>>) -> Self {
        self.parameters.push(parameter.into());
        self
    }

    /// A parameter of its query.
    pub fn query(self, name: &str, schema: impl Into<Shape>, description: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema));
        self.parameter(parameter.build()).problem(Kind::InvalidQuery)
    }

    /// A list: which page of it, and where the next one is.
    pub fn pages(self, element: &str, description: &'static str) -> Self {
        let mut operation = self.pages_of(DEFAULT_LIMIT, MAX_LIMIT);
        let page = values::page(values::named(element));
        operation.successes.push(Success {
            status: StatusCode::OK,
            description,
            bodies: vec![("application/json", page)],
            headers: vec!["Link"],
        });
        operation
    }

    /// The parameters of a list with these limits.
    pub fn pages_of(self, default: i64, most: i64) -> Self {
        let limit = values::integer(1, most).default(Some(default.into()));
        self.query("limit", limit, "The most elements that the page has.").query(
            "cursor",
            values::opaque(),
            "Where the page begins: the `next_cursor` of the page before, with the same filters and sort.",
        )
    }

    /// A body of this schema.
    pub fn takes(self, schema: &'static str) -> Self {
        let problems =
            [Kind::MalformedRequest, Kind::PayloadTooLarge, Kind::UnsupportedMediaType, Kind::Validation];
        Self { body: Some(schema), ..self.problems(&problems) }
    }

    /// An answer that is no problem.
    pub fn answers(self, status: StatusCode, schema: &str, description: &'static str) -> Self {
        self.answers_as(status, "application/json", schema, description)
    }

    /// The same in another media type.
    pub fn answers_as(
        mut self,
        status: StatusCode,
        media_type: &'static str,
        schema: &str,
        description: &'static str,
    ) -> Self {
        let bodies = vec![(media_type, values::named(schema))];
        self.successes.push(Success { status, description, bodies, headers: Vec::new() });
        self
    }

    /// An answer without a body.
    pub fn answers_empty(mut self, status: StatusCode, description: &'static str) -> Self {
        self.successes.push(Success { status, description, bodies: Vec::new(), headers: Vec::new() });
        self
    }

    /// Another media type of the answer that was named last.
    pub fn or_as(mut self, media_type: &'static str) -> Self {
        if let Some(success) = self.successes.last_mut() {
            success.bodies.push((media_type, values::text().into()));
        }
        self
    }

    /// A header of the answers that were named until here.
    pub fn with_header(mut self, name: &'static str) -> Self {
        for success in &mut self.successes {
            success.headers.push(name);
        }
        self
    }

    /// A header of the answer that was named last.
    pub fn heading(mut self, name: &'static str) -> Self {
        if let Some(success) = self.successes.last_mut() {
            success.headers.push(name);
        }
        self
    }

    /// What clients may keep, and ask whether there is a newer one.
    pub fn kept(self) -> Self {
        self.with_header("Cache-Control").with_header("Vary").with_header("ETag").unless_known()
    }

    /// It may be sent again under an `Idempotency-Key`.
    pub fn keyed(self) -> Self {
        self.parameter(parameter_ref("IdempotencyKey"))
            .with_header("Idempotency-Replayed")
            .problems(&[Kind::MalformedRequest, Kind::IdempotencyKeyReused])
    }

    /// It changes one version of something.
    pub fn of_version(self) -> Self {
        self.parameter(parameter_ref("IfMatch")).problem(Kind::VersionMismatch)
    }

    /// It shows nothing that the client has already.
    pub fn unless_known(self) -> Self {
        let operation = self.parameter(parameter_ref("IfNoneMatch"));
        operation
            .answers_empty(StatusCode::NOT_MODIFIED, "`If-None-Match` names what is there.")
            .heading("ETag")
    }
}

fn parameter_ref(name: &str) -> RefOr<Parameter> {
    RefOr::Ref(Ref::new(format!("#/components/parameters/{name}")))
}
