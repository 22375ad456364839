//! The template as data, with CloudFormation's functions in their long form: `{"Ref": "Orders"}`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use serde_yaml_ng::Value as Yaml;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A template of SAM.
#[derive(Clone)]
pub struct Template(pub Json);

/// A function of the template, with what `Globals` adds.
#[derive(Clone, Copy)]
pub struct FunctionResource<'a> {
    template: &'a Template,
    /// Logical ID of the resource.
    pub id: &'a str,
    /// The resource.
    pub resource: &'a Json,
}

/// A route of an API Gateway.
pub struct Event {
    /// Method, or `ANY`.
    pub method: String,
    /// Path; `None` is whatever no other route has.
    pub path: Option<String>,
}

impl Template {
    /// Reads `template.yaml`.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
        Self(long_form(&serde_yaml_ng::from_str(&text).unwrap()))
    }

    /// Resources of a type, by logical ID.
    pub fn resources(&self, kind: &str) -> impl Iterator<Item = (&str, &Json)> {
        let all = self.0["Resources"].as_object().into_iter().flatten();
        all.filter(move |(_, resource)| resource["Type"] == kind).map(|(id, it)| (id.as_str(), it))
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = FunctionResource<'_>> {
        let all = self.resources("AWS::Serverless::Function");
        all.map(|(id, resource)| FunctionResource { template: self, id, resource })
    }

    /// Function whose program and handler these are.
    pub fn function(&self, binary: &str, handler: &str) -> Option<FunctionResource<'_>> {
        self.functions().find(|it| it.binary() == binary && it.property("Handler") == handler)
    }

    /// Looks mappings up, where the keys are literal.
    pub fn resolved(&self, value: &Json) -> Json {
        let Some(keys) = value.get("Fn::FindInMap").and_then(Json::as_array) else { return value.clone() };
        match keys.iter().map(Json::as_str).collect::<Vec<_>>()[..] {
            [Some(map), Some(first), Some(second)] => self.0["Mappings"][map][first][second].clone(),
            _ => value.clone(),
        }
    }
}

impl<'a> FunctionResource<'a> {
    /// Name of its program, which is that of its package.
    pub fn binary(self) -> &'a str {
        self.resource["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap_or_default()
    }

    /// Handler, by which a program with several tasks chooses one.
    pub fn handler(self) -> String {
        self.property("Handler").as_str().unwrap_or_default().to_owned()
    }

    /// Own properties.
    pub fn properties(self) -> &'a Json {
        &self.resource["Properties"]
    }

    /// Value of a property, of its own or of `Globals`.
    pub fn property(self, name: &str) -> Json {
        let globals = &self.template.0["Globals"]["Function"];
        let value = self.properties().get(name).or_else(|| globals.get(name));
        value.map_or(Json::Null, |value| self.template.resolved(value))
    }

    /// Timeout in seconds.
    pub fn timeout(self) -> u64 {
        // Lambda's own default is 3 s.
        self.property("Timeout").as_u64().unwrap_or(3)
    }

    /// Variables of its environment.
    pub fn variables(self) -> BTreeMap<String, Json> {
        let places = [&self.template.0["Globals"]["Function"], self.properties()];
        let variables = places.into_iter().filter_map(|it| it["Environment"]["Variables"].as_object());
        variables.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Routes of the API.
    pub fn events(self) -> Vec<Event> {
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
    pub fn statements(self) -> Vec<Json> {
        let role = self.properties()["Role"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        statements(&self.template.0["Resources"][role])
    }
}

/// Statements of a role, also those under a condition.
pub fn statements(role: &Json) -> Vec<Json> {
    let policies = role["Properties"]["Policies"].as_array().into_iter().flatten();
    let listed = policies.filter_map(|it| it["PolicyDocument"]["Statement"].as_array()).flatten();
    listed.map(|it| it.get("Fn::If").map_or(it, |branches| &branches[1]).clone()).collect()
}

/// Elements of a value that may be a list or a single one.
pub fn listed(value: &Json) -> Vec<Json> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// Name that a `Ref` has.
pub fn reference(value: &Json) -> Option<&str> {
    value.get("Ref").and_then(Json::as_str)
}

/// All names below a value that `Ref` has, without pseudo parameters.
pub fn references(value: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(value, &mut |it| {
        found.extend(reference(it).filter(|name| !name.starts_with("AWS::")).map(str::to_owned));
    });
    found
}

/// Text of a `Fn::Sub`, in either of its forms.
pub fn substituted(value: &Json) -> Option<&str> {
    let sub = value.get("Fn::Sub")?;
    sub.as_str().or_else(|| sub[0].as_str())
}

/// Calls `each` with a value and with all values below it.
pub fn visit<'a>(value: &'a Json, each: &mut impl FnMut(&'a Json)) {
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
            members.iter().map(|(name, member)| (name.as_str().unwrap().to_owned(), long_form(member))).collect(),
        ),
        scalar => serde_json::to_value(scalar).unwrap(),
    }
}
