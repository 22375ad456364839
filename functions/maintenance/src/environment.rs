//! Tasks, and their environment variables.

use shared::runtime::config::{BASE_PATH, EDGE_SECRET, METRICS_NAMESPACE, MONGO_URI, Variable, XRAY_SPANS};

use crate::schema::{ADMIN_EMAIL, ADMIN_PASSWORD};

/// New versions of the functions.
pub(crate) const ORDERS_VERSION: Variable = Variable::new(
    "ORDERS_VERSION",
    "ARN of the new version of the orders function, which the smoke test invokes",
);
pub(crate) const PRODUCTS_VERSION: Variable =
    Variable::new("PRODUCTS_VERSION", "as `ORDERS_VERSION`, of the products function");
pub(crate) const USERS_VERSION: Variable =
    Variable::new("USERS_VERSION", "as `ORDERS_VERSION`, of the users function");
pub(crate) const DOCS_VERSION: Variable =
    Variable::new("DOCS_VERSION", "as `ORDERS_VERSION`, of the docs function");
pub(crate) const CONSOLE_VERSION: Variable =
    Variable::new("CONSOLE_VERSION", "as `ORDERS_VERSION`, of the console");

/// Address of the orders function.
pub(crate) const ORDER_SERVICE_URL: Variable =
    Variable::new("ORDER_SERVICE_URL", "`lambda:FUNCTION`, the orders function that checks each page");

/// Name of a task: the `Handler` of its function in the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskName {
    /// Schema step as a custom resource of CloudFormation.
    Schema,
    /// Smoke test as a hook of CodeDeploy.
    Smoke,
    /// Consistency check by a schedule.
    Consistency,
}

impl TaskName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Schema, Self::Smoke, Self::Consistency];

    /// Value of `_HANDLER`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Smoke => "smoke",
            Self::Consistency => "consistency",
        }
    }

    /// Environment variables of the task.
    pub const fn variables(self) -> &'static [Variable] {
        match self {
            Self::Schema => &[MONGO_URI, ADMIN_EMAIL, ADMIN_PASSWORD, METRICS_NAMESPACE, XRAY_SPANS],
            Self::Smoke => &[
                ORDERS_VERSION,
                PRODUCTS_VERSION,
                USERS_VERSION,
                DOCS_VERSION,
                CONSOLE_VERSION,
                BASE_PATH,
                EDGE_SECRET,
                METRICS_NAMESPACE,
                XRAY_SPANS,
            ],
            Self::Consistency => &[ORDER_SERVICE_URL, METRICS_NAMESPACE, XRAY_SPANS],
        }
    }

    /// Rule for `_HANDLER`.
    ///
    /// # Errors
    /// Message with the names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|task| task.name() == text);
        known.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
