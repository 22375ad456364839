//! Parser of `.http` files: requests between lines `###`, `@variables`, `# @name`, and `{{references}}`.
//!
//! References name variables, or parts of requests and answers. Anything else of the format is an error.
//!
//! <https://marketplace.visualstudio.com/items?itemName=humao.rest-client>

use std::collections::BTreeMap;

use serde_json::Value;

/// File of requests.
pub(crate) struct Collection {
    variables: BTreeMap<String, String>,
    /// In the order of the file.
    pub(crate) steps: Vec<Step>,
}

/// Request with its expected answer.
pub(crate) struct Step {
    /// Title behind `###`.
    pub(crate) title: String,
    /// Name for later references.
    pub(crate) name: Option<String>,
    /// Request, with references in it.
    pub(crate) request: Request,
    /// `# expect 200`
    pub(crate) expected_status: u16,
    /// `# expect $.path = JSON`
    pub(crate) expected_values: Vec<(String, String)>,
}

/// Request as written, or as sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// In capitals.
    pub(crate) method: String,
    /// Absolute.
    pub(crate) url: String,
    /// In their order.
    pub(crate) headers: Vec<(String, String)>,
    /// Empty for none.
    pub(crate) body: String,
}

impl Request {
    /// Changes all texts of the request.
    pub(crate) fn map(&self, change: &impl Fn(&str) -> String) -> Self {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), change(value))).collect();
        Self { method: self.method.clone(), url: change(&self.url), headers, body: change(&self.body) }
    }
}

/// Request with its answer.
pub(crate) struct Exchange {
    /// Request as sent.
    pub(crate) request: Request,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Headers of the answer, in their order.
    pub(crate) headers: Vec<(String, String)>,
    /// Body of the answer.
    pub(crate) body: String,
}

impl Collection {
    /// Reads a file.
    pub(crate) fn parse(text: &str) -> Self {
        let mut variables = BTreeMap::new();
        let mut steps = Vec::new();
        let mut blocks = text.split("\n###");
        // Only variables and comments stand before the first request.
        for line in blocks.next().unwrap_or_default().lines().filter(|line| !is_comment(line)) {
            let (name, value) = variable(line).unwrap_or_else(|| panic!("no variable: {line}"));
            assert!(variables.insert(name, value).is_none(), "twice: {line}");
        }
        for block in blocks {
            steps.push(Step::parse(block));
        }
        Self { variables, steps }
    }

    /// Replaces the value of a variable of the file.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let variable = self.variables.get_mut(name).unwrap_or_else(|| panic!("no variable {name}"));
        value.clone_into(variable);
    }

    /// Resolves all references of the text.
    pub(crate) fn resolve(
        &self,
        text: &str,
        answered: &BTreeMap<String, Exchange>,
    ) -> Result<String, String> {
        let Some((before, rest)) = text.split_once("{{") else { return Ok(text.to_owned()) };
        let (reference, after) = rest.split_once("}}").ok_or_else(|| format!("{{{{ without end: {text}"))?;
        let value = match reference.split_once('.') {
            None if reference == "$guid" => uuid::Uuid::new_v4().to_string(),
            None => {
                let value =
                    self.variables.get(reference).ok_or_else(|| format!("no variable {reference}"))?;
                self.resolve(value, answered)?
            }
            Some((name, part)) => {
                let exchange = answered.get(name).ok_or_else(|| format!("{name} was not sent before"))?;
                referred(exchange, part).ok_or_else(|| format!("{reference} is not there"))?
            }
        };
        Ok(format!("{before}{value}{}", self.resolve(after, answered)?))
    }
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#') || line.starts_with("//")
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix('@')?.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

impl Step {
    fn parse(block: &str) -> Self {
        let (title, rest) = block.split_once('\n').unwrap_or((block, ""));
        let mut step = Self {
            title: title.trim().to_owned(),
            name: None,
            request: Request::default(),
            expected_status: 0,
            expected_values: Vec::new(),
        };
        let mut lines = rest.lines();
        for line in lines.by_ref() {
            if let Some(said) = line.strip_prefix("# @name ") {
                step.name = Some(said.trim().to_owned());
            } else if let Some(said) = line.strip_prefix("# expect ") {
                step.expect(said);
            } else if !is_comment(line) {
                let (method, url) = line.split_once(' ').unwrap_or_else(|| panic!("no request line: {line}"));
                assert!(method.bytes().all(|byte| byte.is_ascii_uppercase()), "no method: {line}");
                (step.request.method, step.request.url) = (method.to_owned(), url.trim().to_owned());
                break;
            }
        }
        assert!(!step.request.method.is_empty(), "{}: no request", step.title);
        assert!(step.expected_status != 0, "{}: no line `# expect STATUS`", step.title);
        for line in lines.by_ref().take_while(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line}"));
            step.request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        step.request.body = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        step
    }

    fn expect(&mut self, said: &str) {
        match said.split_once(" = ") {
            Some((path, value)) => self.expected_values.push((path.to_owned(), value.to_owned())),
            None => {
                self.expected_status = said.trim().parse().unwrap_or_else(|_| panic!("no status: {said}"))
            }
        }
    }
}

/// Resolves `request.headers.NAME`, `response.body.$.path` and the like.
fn referred(exchange: &Exchange, part: &str) -> Option<String> {
    let (side, part) = part.split_once('.')?;
    let (headers, body) = match side {
        "request" => (&exchange.request.headers, &exchange.request.body),
        "response" => (&exchange.headers, &exchange.body),
        _ => return None,
    };
    let (kind, part) = part.split_once('.')?;
    match (kind, part) {
        ("body", "*") => Some(body.clone()),
        ("body", path) => match at(&serde_json::from_str(body).ok()?, path)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        },
        ("headers", wanted) => {
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
        }
        _ => None,
    }
}

/// Returns the value at a path such as `$.items[0].id`.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = value;
    for part in path.strip_prefix("$.")?.split('.') {
        let mut pieces = part.split('[');
        value = value.get(pieces.next()?)?;
        for index in pieces {
            value = value.get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
        }
    }
    Some(value)
}
