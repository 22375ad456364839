//! The template as data, with CloudFormation's functions in their long form: `{"Ref": "Orders"}`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use serde_yaml_ng::Value as Yaml;

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A template of SAM.
#[derive(Clone)]
pub(crate) struct Template(pub(crate) Json);

/// A function of the template, with what `Globals` adds.
#[derive(Clone, Copy)]
pub(crate) struct FunctionResource<'a> {
    template: &'a Template,
    /// Logical ID of the resource.
    pub(crate) id: &'a str,
    /// The resource.
    pub(crate) resource: &'a Json,
}

/// A route of an API Gateway.
pub(crate) struct Event {
    /// Method, or `ANY`.
    pub(crate) method: String,
    /// Path; `None` is whatever no other route has.
    pub(crate) path: Option<String>,
}

impl Template {
    /// Reads `template.yaml`.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
        Self(long_form(&serde_yaml_ng::from_str(&text).unwrap()))
    }

    /// Resources of a type, by logical ID.
    pub(crate) fn resources(&self, kind: &str) -> impl Iterator<Item = (&str, &Json)> {
        let all = self.0["Resources"].as_object().into_iter().flatten();
        all.filter(move |(_, resource)| resource["Type"] == kind).map(|(id, it)| (id.as_str(), it))
    }

    /// All functions.
    pub(crate) fn functions(&self) -> impl Iterator<Item = FunctionResource<'_>> {
        let all = self.resources("AWS::Serverless::Function");
        all.map(|(id, resource)| FunctionResource { template: self, id, resource })
    }

    /// Function whose program and handler these are.
    pub(crate) fn function(&self, binary: &str, handler: &str) -> Option<FunctionResource<'_>> {
        self.functions().find(|it| it.binary() == binary && it.property("Handler") == handler)
    }

    /// Looks mappings up, where the keys are literal.
    pub(crate) fn resolved(&self, value: &Json) -> Json {
        let Some(keys) = value.get("Fn::FindInMap").and_then(Json::as_array) else { return value.clone() };
        match keys.iter().map(Json::as_str).collect::<Vec<_>>()[..] {
            [Some(map), Some(first), Some(second)] => self.0["Mappings"][map][first][second].clone(),
            _ => value.clone(),
        }
    }
}

impl<'a> FunctionResource<'a> {
    /// Name of its program, which is that of its package.
    pub(crate) fn binary(self) -> &'a str {
        self.resource["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap_or_default()
    }

    /// Own properties.
    pub(crate) fn properties(self) -> &'a Json {
        &self.resource["Properties"]
    }

    /// Value of a property, of its own or of `Globals`.
    pub(crate) fn property(self, name: &str) -> Json {
        let globals = &self.template.0["Globals"]["Function"];
        let value = self.properties().get(name).or_else(|| globals.get(name));
        value.map_or(Json::Null, |value| self.template.resolved(value))
    }

    /// Timeout in seconds.
    pub(crate) fn timeout(self) -> u64 {
        // Lambda's own default is 3 s.
        self.property("Timeout").as_u64().unwrap_or(3)
    }

    /// Variables of its environment.
    pub(crate) fn variables(self) -> BTreeMap<String, Json> {
        let places = [&self.template.0["Globals"]["Function"], self.properties()];
        let variables = places.into_iter().filter_map(|it| it["Environment"]["Variables"].as_object());
        variables.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Routes of the API.
    pub(crate) fn events(self) -> Vec<Event> {
        let events = self.properties()["Events"].as_object().into_iter().flat_map(|it| it.values());
        let text = |event: &Json, name: &str| event["Properties"][name].as_str().map(str::to_owned);
        let http = events.filter(|event| event["Type"] == "HttpApi");
        http.map(|event| Event {
            method: text(event, "Method").unwrap_or("ANY".to_owned()),
            path: text(event, "Path"),
        })
        .collect()
    }

    /// Statements of its role, without those that all roles have.
    pub(crate) fn statements(self) -> Vec<Json> {
        let role = self.properties()["Role"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        statements(&self.template.0["Resources"][role])
    }
}

/// Statements of a role, also those under a condition.
pub(crate) fn statements(role: &Json) -> Vec<Json> {
    let policies = role["Properties"]["Policies"].as_array().into_iter().flatten();
    let listed = policies.filter_map(|it| it["PolicyDocument"]["Statement"].as_array()).flatten();
    listed.map(|it| it.get("Fn::If").map_or(it, |branches| &branches[1]).clone()).collect()
}

/// Elements of a value that may be a list or a single one.
pub(crate) fn listed(value: &Json) -> Vec<Json> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// Name that a `Ref` has.
pub(crate) fn reference(value: &Json) -> Option<&str> {
    value.get("Ref").and_then(Json::as_str)
}

/// All names below a value that `Ref` has, without pseudo parameters.
pub(crate) fn references(value: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(value, &mut |it| {
        found.extend(reference(it).filter(|name| !name.starts_with("AWS::")).map(str::to_owned));
    });
    found
}

/// Text of a `Fn::Sub`, in either of its forms.
pub(crate) fn substituted(value: &Json) -> Option<&str> {
    let sub = value.get("Fn::Sub")?;
    sub.as_str().or_else(|| sub[0].as_str())
}

/// Calls `each` with a value and with all values below it.
pub(crate) fn visit<'a>(value: &'a Json, each: &mut impl FnMut(&'a Json)) {
    each(value);
    match value {
        Json::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Json::Object(members) => members.values().for_each(|member| visit(member, each)),
        _ => {}
    }
}

/// Replaces tags such as `!Ref`.
fn long_form(value: &Yaml) -> Json {
    match value {
        Yaml::Tagged(tagged) => {
            let (tag, value) = (tagged.tag.to_string(), long_form(&tagged.value));
            match tag.as_str() {
                "!Ref" => json!({ "Ref": value }),
                "!Condition" => json!({ "Condition": value }),
                "!GetAtt" => {
                    let text = value.as_str().unwrap();
                    let (id, attribute) = text.split_once('.').unwrap();
                    json!({ "Fn::GetAtt": [id, attribute] })
                }
                other => {
                    let name = format!("Fn::{}", other.trim_start_matches('!'));
                    Json::Object(Map::from_iter([(name, value)]))
                }
            }
        }
        Yaml::Sequence(items) => Json::Array(items.iter().map(long_form).collect()),
        Yaml::Mapping(members) => Json::Object(
            members
                .iter()
                .map(|(name, member)| (name.as_str().unwrap().to_owned(), long_form(member)))
                .collect(),
        ),
        scalar => serde_json::to_value(scalar).unwrap(),
    }
}
