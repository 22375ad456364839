//! Environment variables of a function. All missing or malformed ones are reported at once.

use std::fmt;

/// Source of values.
type Source = Box<dyn Fn(&str) -> Option<String>>;

/// Declaration of an environment variable of a function: a row of its table.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// A secret may also be in a file, by `NAME_FILE`, or in Secrets Manager, by `NAME_ARN`.
    pub is_secret: bool,
    /// Its meaning and its default, for operators.
    pub description: &'static str,
}

impl Variable {
    /// Declares a variable.
    pub const fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, is_secret: false, description }
    }

    /// Declares a secret.
    pub const fn secret(name: &'static str, description: &'static str) -> Self {
        Self { name, is_secret: true, description }
    }

    /// All names that are read for it.
    pub fn names(&self) -> Vec<String> {
        let elsewhere: &[&str] = if self.is_secret { &["_FILE", "_ARN"] } else { &[] };
        [""].iter().chain(elsewhere).map(|suffix| format!("{}{suffix}", self.name)).collect()
    }
}

/// Connection to MongoDB.
pub const MONGO_URI: Variable = Variable::secret(
    "MONGO_URI",
    "connection string of a replica set, `mongodb://` or `mongodb+srv://`. The database is its path, else `oms`",
);

/// Address of the products function.
pub const PRODUCT_SERVICE_URL: Variable = Variable::new(
    "PRODUCT_SERVICE_URL",
    "`lambda:FUNCTION` on Lambda; `http://HOST:PORT` or `HOST:PORT` for gRPC over HTTP/2",
);

/// Address of the orders function.
pub const ORDER_SERVICE_URL: Variable =
    Variable::new("ORDER_SERVICE_URL", "as `PRODUCT_SERVICE_URL`, for the orders function");

/// Address of the users function.
pub const USER_SERVICE_URL: Variable =
    Variable::new("USER_SERVICE_URL", "as `PRODUCT_SERVICE_URL`, for the users function");

/// Origins for CORS.
pub const CORS_ALLOWED_ORIGINS: Variable = Variable::new(
    "CORS_ALLOWED_ORIGINS",
    "origins whose pages may read answers, comma-separated and exactly as browsers write them, such as \
     `https://shop.example.com,http://localhost:5173`; `*` is all; absent is none",
);

/// Namespace of the metrics on Lambda.
pub const METRICS_NAMESPACE: Variable = Variable::new(
    "METRICS_NAMESPACE",
    "namespace of the [metrics](#metrics) in CloudWatch, such as `oms/shop`; on Lambda alone. Absent: no metrics",
);

/// Switch of X-Ray's spans.
pub const XRAY_SPANS: Variable = Variable::new(
    "XRAY_SPANS",
    "`true`: [spans](#traces) of requests, calls and commands of MongoDB for X-Ray; on Lambda alone. `false` by default",
);

/// Path before all paths of the API.
pub const BASE_PATH: Variable = Variable::new(
    "BASE_PATH",
    "path before all paths of the API, such as `/v1`: [the name of a stage, or the key of a domain's \
     mapping](#behind-a-path-a-domain-or-cloudfront). Absent is none",
);

/// Secret of CloudFront.
pub const EDGE_SECRET: Variable = Variable::secret(
    "EDGE_SECRET",
    "sent by [CloudFront](#cloudfront) in the header `x-origin-verify`; 32 to 256 visible ASCII characters. If it is \
     set, REST requests without it are 403, and `CloudFront-Viewer-Address` has the client's address",
);

/// Another secret of CloudFront.
pub const EDGE_SECRET_PREVIOUS: Variable = Variable::secret(
    "EDGE_SECRET_PREVIOUS",
    "another secret that is accepted, while `EDGE_SECRET` is [exchanged](#cloudfront)",
);

/// Port of an ordinary service.
pub const PORT: Variable = Variable::new("PORT", "the port; 0 takes a free one");

/// Address of an ordinary service.
pub const LISTEN_ADDRESS: Variable =
    Variable::new("LISTEN_ADDRESS", "the IP address to listen on; 127.0.0.1 by default");

/// Secret that functions on sockets share.
pub const CALLERS_SECRET: Variable = Variable::secret(
    "CALLERS_SECRET",
    "signs and checks the calls between functions: 32 random bytes or more, the same for all of them. Required where a \
     function is called by `http://`. Without it calls of other functions are refused",
);

/// Another secret that functions on sockets believe.
pub const CALLERS_SECRET_PREVIOUS: Variable = Variable::secret(
    "CALLERS_SECRET_PREVIOUS",
    "another secret that is believed and does not sign, while `CALLERS_SECRET` is [exchanged](#the-secret-of-calls)",
);

/// Switch of gRPC's reflection.
pub const GRPC_REFLECTION: Variable =
    Variable::new("GRPC_REFLECTION", "`1` turns gRPC's reflection on; off by default");

/// Format of log lines.
pub const LOG_FORMAT: Variable =
    Variable::new("LOG_FORMAT", "`json` for one JSON object per line; `text` by default");

/// Port of the metrics.
pub const METRICS_PORT: Variable = Variable::new(
    "METRICS_PORT",
    "port on which `GET /metrics` answers in Prometheus' text format; none by default. Do not publish it",
);

/// Collector of spans.
pub const OTEL_EXPORTER_OTLP_ENDPOINT: Variable = Variable::new(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "base URL of a collector of [spans](#traces), such as `http://127.0.0.1:4318`; OTLP over HTTP. Absent: no spans",
);

/// Ratio of recorded traces.
pub const OTEL_TRACES_SAMPLER_ARG: Variable = Variable::new(
    "OTEL_TRACES_SAMPLER_ARG",
    "part of the traces that begin here whose spans are recorded, from 0 to 1; 1 by default",
);

/// Variables of the process around a function on Lambda.
pub const OF_LAMBDA: [Variable; 2] = [METRICS_NAMESPACE, XRAY_SPANS];

/// Variables of the process around a function that is an ordinary service.
pub const OF_SERVICES: &[Variable] = &[
    PORT,
    LISTEN_ADDRESS,
    CALLERS_SECRET,
    CALLERS_SECRET_PREVIOUS,
    GRPC_REFLECTION,
    LOG_FORMAT,
    METRICS_PORT,
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_TRACES_SAMPLER_ARG,
];

/// Variables that Lambda or an emulator sets for every function begin like this.
const OF_AWS: &str = "AWS_";

/// Reader of environment variables that collects the problems.
pub struct Variables {
    source: Source,
    declared: Option<&'static [Variable]>,
    problems: Vec<String>,
}

/// All problems of the environment. Values are never repeated, as they may be secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl Variables {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        Self::from_fn(|name| std::env::var(name).ok())
    }

    /// Reads the variables from `source`.
    pub fn from_fn(source: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { source: Box::new(source), declared: None, problems: Vec::new() }
    }

    /// From now on refuses to read a variable that neither this table nor [`OF_SERVICES`] has.
    pub fn declared(self, table: &'static [Variable]) -> Self {
        Self { declared: Some(table), ..self }
    }

    /// The value, unless it is empty.
    fn value(&mut self, name: &str) -> Option<String> {
        let is_declared = |table: &[Variable]| table.iter().any(|it| it.names().iter().any(|it| it == name));
        let of_process = name.starts_with(OF_AWS) || is_declared(OF_SERVICES);
        if !of_process && self.declared.is_some_and(|table| !is_declared(table)) {
            self.problem(format!("{name} is read and not declared"));
        }
        (self.source)(name).filter(|value| !value.is_empty())
    }

    /// Reads a required variable with `parse`. `None` if that failed; the problem is recorded.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.value(name);
        if value.is_none() {
            self.problem(format!("{name} is required"));
        }
        self.parsed(name, value, parse)
    }

    /// Reads a variable that may be absent or empty, with `parse`.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.value(name);
        self.parsed(name, value, parse)
    }

    /// Reads a variable with `parse`; absent or empty means `default`. `None` if that failed; the problem is
    /// recorded.
    pub fn or<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.value(name) {
            None => Some(default),
            value => self.parsed(name, value, parse),
        }
    }

    /// Returns true if a variable is set and not empty.
    pub fn is_set(&self, name: &str) -> bool {
        (self.source)(name).is_some_and(|value| !value.is_empty())
    }

    /// Records a problem. A variable that is read twice has its problem once.
    pub fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&value?) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.problem(format!("{name}: {problem}"));
                None
            }
        }
    }

    /// Checks that there are no problems.
    ///
    /// # Errors
    /// All problems, if any.
    pub fn check(self) -> Result<(), ConfigErrors> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.misconfigured()) }
    }

    /// Converts the recorded problems to an error.
    pub fn misconfigured(self) -> ConfigErrors {
        ConfigErrors(self.problems)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid environment: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// Rule for [`Variables`]: a switch.
///
/// # Errors
/// Message with the two values.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Rule for [`Variables`]: a whole number of seconds above 0.
///
/// # Errors
/// Message that says so.
pub fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(std::time::Duration::from_secs(seconds)),
        _ => Err("must be a whole number of seconds above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once_without_values() {
        let mut variables =
            Variables::from_fn(|name| (name == "ORDER_PAYMENT_WINDOW").then(|| "-5 secret".to_owned()));
        assert_eq!(variables.required("MONGO_URI", |uri| Ok(uri.to_owned())), None);
        assert_eq!(variables.optional("ORDER_PAYMENT_WINDOW", seconds), None);
        assert_eq!(variables.optional("NOT_THERE", seconds), None);
        let text = variables.misconfigured().to_string();
        assert!(text.contains("MONGO_URI is required; ORDER_PAYMENT_WINDOW: must be"), "{text}");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn a_variable_outside_of_the_table_is_a_problem() {
        static TABLE: [Variable; 2] = [Variable::secret("MONGO_URI", ""), Variable::new("PLACE", "")];
        let mut variables = Variables::from_fn(|_| Some("x".to_owned())).declared(&TABLE);
        let text = |value: &str| Ok(value.to_owned());
        for name in ["MONGO_URI", "MONGO_URI_FILE", "MONGO_URI_ARN", "PLACE", "AWS_REGION", "PORT"] {
            assert!(variables.required(name, text).is_some(), "{name}");
        }
        assert!(variables.problems.is_empty());
        variables.optional("PLACE_ARN", text);
        assert_eq!(variables.problems, ["PLACE_ARN is read and not declared"]);
    }
}
