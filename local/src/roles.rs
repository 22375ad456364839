//! Roles of MongoDB: the least that each function may do, and the schema step.

use std::collections::BTreeMap;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use serde::Deserialize;

/// Error code of a role that is not there.
const ROLE_NOT_FOUND: i32 = 31;

/// Error code of a user that is not there.
const USER_NOT_FOUND: i32 = 11;

/// Error code of a role that is there already.
const ROLE_EXISTS: i32 = 51_002;

/// Error code of a user that is there already.
const USER_EXISTS: i32 = 51_003;

/// Role as `mongodb-roles.json` has it.
#[derive(Debug, Deserialize)]
pub struct Role {
    /// Name, such as `oms_orders`.
    pub role: String,
    /// Actions by collection. Without a name it is every collection of the database.
    pub collections: BTreeMap<String, Vec<String>>,
}

impl Role {
    /// Reads all roles.
    ///
    /// # Errors
    /// If the file is not valid.
    pub fn all() -> Result<Vec<Self>, serde_json::Error> {
        serde_json::from_str(include_str!("../mongodb-roles.json"))
    }

    /// Name of the user that has it, such as `orders`.
    pub fn user(&self) -> &str {
        self.role.strip_prefix("oms_").unwrap_or(&self.role)
    }

    /// Makes the role in a database, or changes it to what it is now.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn make(&self, database: &Database) -> mongodb::error::Result<()> {
        let privilege = |(collection, actions): (&String, &Vec<String>)| {
            doc! { "resource": { "db": database.name(), "collection": collection }, "actions": actions }
        };
        let privileges: Vec<Document> = self.collections.iter().map(privilege).collect();
        let none: Vec<Bson> = Vec::new();
        let rest = doc! { "privileges": privileges, "roles": none };
        update_or_create(database, "Role", ROLE_NOT_FOUND, &self.role, rest).await
    }

    /// Makes the user with this role alone in a database, or gives it this password.
    ///
    /// # Errors
    /// Error of the driver if MongoDB refuses or is unavailable.
    pub async fn make_user(&self, database: &Database, password: &str) -> mongodb::error::Result<()> {
        let rest = doc! { "pwd": password, "roles": [&self.role] };
        update_or_create(database, "User", USER_NOT_FOUND, self.user(), rest).await
    }
}

/// Runs the command `update…`, and `create…` if there is nothing to update. Another process may do the same at once.
async fn update_or_create(
    database: &Database,
    kind: &str,
    not_found: i32,
    name: &str,
    rest: Document,
) -> mongodb::error::Result<()> {
    let run = async |verb: &str| {
        let mut command = doc! { format!("{verb}{kind}"): name };
        command.extend(rest.clone());
        database.run_command(command).await.map(drop)
    };
    match run("update").await {
        Err(error) if has_code(&error, &[not_found]) => {}
        updated => return updated,
    }
    match run("create").await {
        Err(error) if has_code(&error, &[ROLE_EXISTS, USER_EXISTS]) => run("update").await,
        created => created,
    }
}

fn has_code(error: &mongodb::error::Error, codes: &[i32]) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(it) if codes.contains(&it.code))
}
