//! Schema step: collections, indexes and validators for a build, and the first admin.

use std::sync::Arc;

use mongodb::Database;
use shared::error::Error;
use shared::mongo::{self, Schema};
use shared::rpc::services::Services;
use shared::runtime::config::{ConfigErrors, MONGO_URI, Variable, Variables};
use shared::runtime::secrets::{self, SecretSource};
use shared::values::clock::Clock;

use crate::environment::TaskName;
use crate::keys;

/// E-mail address of the first admin.
pub const ADMIN_EMAIL: Variable =
    Variable::new("ADMIN_EMAIL", "e-mail address of the first admin, who is made if there is none");

/// Password of the first admin.
pub const ADMIN_PASSWORD: Variable =
    Variable::secret("ADMIN_PASSWORD", "password of the first admin; required with `ADMIN_EMAIL`");

/// Name of the step in MongoDB's log.
const APP_NAME: &str = "schema";

/// Schemas of a build of all functions.
#[derive(Clone, Copy, Debug)]
pub struct Schemas {
    /// Of the users function.
    pub users: Schema,
    /// Of the products function.
    pub products: Schema,
    /// Of the orders function.
    pub orders: Schema,
}

impl Default for Schemas {
    /// Those of this build.
    fn default() -> Self {
        Self { users: users::store::SCHEMA, products: products::store::SCHEMA, orders: orders::store::SCHEMA }
    }
}

/// Creates collections, indexes and validators in MongoDB; safe to repeat.
///
/// # Errors
/// If MongoDB refuses or does not answer.
pub async fn ensure_schema(database: &Database) -> Result<(), Error> {
    ensure_schemas(database, Schemas::default()).await
}

/// Runs the schema step of a build with other schemas.
///
/// # Errors
/// If MongoDB refuses or does not answer.
pub async fn ensure_schemas(database: &Database, schemas: Schemas) -> Result<(), Error> {
    users::store::UserStore::with_schema(database, schemas.users).ensure_schema().await?;
    products::store::ProductStore::with_schema(database, schemas.products).ensure_schema().await?;
    orders::store::OrderStore::with_schema(database, schemas.orders).ensure_schema().await
}

/// Requirement of a first admin in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAdmin {
    /// It has to.
    Required,
    /// Without one the step makes none.
    Optional,
}

/// Schema step of a database, and of its first admin.
#[derive(Clone)]
pub struct Step {
    mongo_uri: Arc<dyn SecretSource>,
    admin: Option<Admin>,
    clock: Clock,
}

/// First admin of a database.
#[derive(Clone)]
struct Admin {
    email: String,
    password: Arc<dyn SecretSource>,
}

impl Step {
    /// Reads the [variables](TaskName::variables) of the task.
    ///
    /// # Errors
    /// Everything that is missing or malformed.
    pub fn read(variables: Variables, first_admin: FirstAdmin, clock: Clock) -> Result<Self, ConfigErrors> {
        let mut variables = variables.declared(TaskName::Schema.variables());
        let mut services = Services::new(clock.clone());
        let mongo_uri = secrets::read(&mut variables, &mut services, MONGO_URI.name, secrets::mongo_uri);
        let mut names = [ADMIN_EMAIL, ADMIN_PASSWORD].into_iter().flat_map(|admin| admin.names());
        let is_named = names.any(|name| variables.is_set(&name));
        let admin = if is_named || first_admin == FirstAdmin::Required {
            Admin::read(&mut variables, &mut services)
        } else {
            None
        };
        let Some(mongo_uri) = mongo_uri else { return Err(variables.misconfigured()) };
        variables.check()?;
        Ok(Self { mongo_uri, admin, clock })
    }

    /// Creates a step of the database at this URI, without an admin.
    #[cfg(test)]
    pub(crate) fn of_database(mongo_uri: Arc<dyn SecretSource>) -> Self {
        Self { mongo_uri, admin: None, clock: Clock::system() }
    }

    /// Prepares the database, and makes the first admin if there is none. May run at any time, any number of times.
    ///
    /// # Errors
    /// If a secret cannot be read or is invalid, or MongoDB refuses or does not answer.
    pub async fn run(&self) -> Result<Database, Error> {
        let uri = self.mongo_uri.current().await?;
        let database = mongo::connect_with(&uri, APP_NAME).await?;
        ensure_schema(&database).await?;
        if let Some(admin) = &self.admin {
            admin.ensure(&database, &self.clock).await?;
        }
        Ok(database)
    }
}

impl Admin {
    fn read(variables: &mut Variables, services: &mut Services) -> Option<Self> {
        let email = variables.required(ADMIN_EMAIL.name, |value| Ok(value.to_owned()));
        let password = secrets::read(variables, services, ADMIN_PASSWORD.name, secrets::not_blank);
        Some(Self { email: email?, password: password? })
    }

    async fn ensure(&self, database: &Database, clock: &Clock) -> Result<(), Error> {
        let password = self.password.current().await?;
        let users = users::app(users::Dependencies {
            database: database.clone(),
            // The creation of an admin signs nothing.
            keys: keys::untrusted(clock.clone())?,
            rate_limit_per_address: 0,
            clock: clock.clone(),
        });
        users.service.ensure_admin(&self.email, password.expose()).await
    }
}
