//! Schemas of the docs function in the OpenAPI document, and of all problems, from the catalogue.

use shared::error::Kind;
use shared::http::base_path::BasePath;
use shared::openapi::values::{Fields, integer, list, matching, named, one_of, problem_name, text};
use shared::openapi::{ApiPart, ApiSchema};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};

use crate::problems::{COMMON, Member, ProblemType};

/// The schemas of this function.
pub fn part() -> ApiPart {
    let part = schemas(ApiPart::default());
    Kind::ALL.into_iter().fold(part, |part, kind| part.schema(problem_name(kind), problem(kind)))
}

fn schemas(part: ApiPart) -> ApiPart {
    part.schema(
        "Index",
        ObjectBuilder::new().description(Some("Paths by name.")).additional_properties(Some(text())),
    )
    .schema("Health", Fields::shown("Alive.").has("status", one_of(["ok"]), "Always the same."))
    .schema("OpenApi", open_api())
    .schema("ProblemType", problem_type())
    .schema(
        "ProblemTypes",
        Fields::shown("All types of problems.").has("data", list(named("ProblemType")), "By status."),
    )
}

fn open_api() -> ApiSchema {
    let anything =
        || ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    Fields::shown("An OpenAPI document.")
        .has("openapi", matching(r"^3\.1\."), "The version of OpenAPI.")
        .has("info", anything(), "What it is about.")
        .has("paths", anything(), "Its paths.")
        .into()
}

fn problem_type() -> ApiSchema {
    let member = Fields::shown("A member of a problem.")
        .has("name", text(), "`items[].product_id` is one of each element.")
        .has("type", one_of(["string", "integer", "array"]), "Its type in JSON.")
        .has("meaning", text(), "What it says.");
    let header = Fields::shown("A header of an answer.").has("name", text(), "Its name.").has(
        "meaning",
        text(),
        "What it says.",
    );
    let example =
        ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    Fields::shown("A type of problem.")
        .has("type", reference(&Kind::ALL), "The `type` of its problems.")
        .has("title", text(), "The `title` of its problems.")
        .has("status", integer(400, 599), "The HTTP status.")
        .has("meaning", text(), "When it is answered.")
        .has("what_to_do", text(), "What whoever meets it can do.")
        .has("members", list(member), "What its problems have beside the members of all problems.")
        .has("headers", list(header), "What its answers have beside the headers of all answers.")
        .has("example", example, "A problem of this type.")
        .into()
}

fn reference(kinds: &[Kind]) -> ObjectBuilder {
    let references: Vec<String> = kinds.iter().map(|kind| kind.reference()).collect();
    one_of(references.iter().map(String::as_str))
}

/// The schema of the problems of a kind.
fn problem(kind: Kind) -> ApiSchema {
    let ProblemType { title, status, meaning, members, .. } = ProblemType::of(kind, &BasePath::default());
    let fields = COMMON.iter().fold(Fields::shown(meaning), |fields, member| match member.name {
        "type" => fields.has("type", reference(&[kind]), member.meaning),
        "title" => fields.has("title", one_of([title]), member.meaning),
        "status" => {
            let status = i64::from(status);
            fields.has("status", integer(status, status), member.meaning)
        }
        name => fields.has(name, text(), member.meaning),
    });
    members_at("", &members, fields).into()
}

/// Members at a place in a problem, which is empty or ends in `[].`.
fn members_at(place: &str, members: &[Member], fields: Fields) -> Fields {
    members.iter().fold(fields, |fields, member| match member.name.strip_prefix(place) {
        Some(name) if !name.contains('.') => {
            let below = format!("{}[].", member.name);
            let shape: ApiSchema = match member.r#type {
                "integer" => integer(0, i64::MAX).into(),
                "array" if members.iter().any(|other| other.name.starts_with(&below)) => {
                    list(members_at(&below, members, Fields::shown(member.meaning))).into()
                }
                "array" => list(text()).into(),
                _ => text().into(),
            };
            fields.has(name, shape, member.meaning)
        }
        _ => fields,
    })
}
