//! What the functions' sources declare: the rows of their route tables, and the fields of their forms. What is to hold
//! for each of them asks here which there are, so that a new one cannot be forgotten.

use std::path::{Path, PathBuf};

/// The functions, by the names of their folders.
pub const FUNCTIONS: [&str; 4] = ["orders", "products", "users", "docs"];

/// A row of a route table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Whose.
    pub function: String,
    /// Such as `PUT`.
    pub method: String,
    /// With names in braces, as in the table.
    pub path: String,
    /// Who may, by the name of the variant of `Access`.
    pub access: String,
}

impl Route {
    /// Method and path, with `{id}` for whatever the table calls a parameter.
    pub fn name(&self) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { "{id}" } else { part });
        format!("{} {}", self.method, parts.collect::<Vec<_>>().join("/"))
    }
}

fn source(function: &str, file: &str) -> String {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions").join(function).join("src").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of all route tables: `.route(Method::GET, "/orders", …, Access::SignedIn)`.
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for function in FUNCTIONS {
        let code = source(function, "http.rs");
        let rows = code.split(".route(Method::").skip(1);
        let before = routes.len();
        for row in rows {
            let part = |from: &str, until: &[char]| {
                let (_, rest) = row.split_once(from)?;
                Some(rest[..rest.find(until)?].to_owned())
            };
            let route = || {
                Some(Route {
                    function: function.to_owned(),
                    method: row[..row.find(',')?].to_owned(),
                    path: part("\"", &['"'])?,
                    access: part("Access::", &[')', ',', ' ', '\n'])?,
                })
            };
            routes
                .push(route().unwrap_or_else(|| panic!("{function}: a row that cannot be read: {row:.120}")));
        }
        assert!(routes.len() > before, "{function} has no routes");
    }
    routes
}

/// The fields of a form, by their names in JSON.
pub fn fields_of(function: &str, form: &str) -> Vec<String> {
    let code = source(function, "forms.rs");
    let Some((_, rest)) = code.split_once(&format!("pub struct {form} {{")) else {
        panic!("{function} has no form {form}")
    };
    let body = rest.split_once("\n}").map_or("", |(body, _)| body);
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    let fields: Vec<String> = fields.map(|(name, _)| name.to_owned()).collect();
    assert!(!fields.is_empty(), "{form} of {function} has no fields");
    fields
}

/// All forms that are the body of a request: those whose names end in `Form` and that a handler takes.
pub fn bodies() -> Vec<(&'static str, String)> {
    let mut bodies = Vec::new();
    for function in FUNCTIONS {
        let code = source(function, "http.rs");
        for part in code.split("Json<").skip(1) {
            let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
            if name.ends_with("Form") && !bodies.contains(&(function, name.clone())) {
                bodies.push((function, name));
            }
        }
    }
    bodies
}

/// The names of the parameters that lists take, of all functions.
pub fn parameters() -> Vec<String> {
    let mut names = Vec::new();
    for function in FUNCTIONS {
        let code = source(function, "http.rs");
        for call in code.split("Query::parse(").skip(1) {
            let list =
                call.split_once("&[").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
            names.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    names
}
