//! A shop whose functions are processes on a small Lambda, on a database of its own.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use local::backend;
use mongodb::Database;
use shared::auth::Signer;
use shared::values::clock::Clock;
use users::tokens::KeyRing;
use uuid::Uuid;

use crate::JWT_SECRET;
use crate::lambda::{Lambda, Options, Settings, programs};
use crate::person::PASSWORD;
use crate::shop::Shop;

/// A shop on a small Lambda, without products or customers.
pub struct OnLambda {
    shop: Shop,
    /// The small Lambda that runs its functions.
    pub lambda: Lambda,
    /// Their database.
    pub database: Database,
}

impl Deref for OnLambda {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl DerefMut for OnLambda {
    fn deref_mut(&mut self) -> &mut Shop {
        &mut self.shop
    }
}

impl OnLambda {
    /// Opens a shop whose functions are as in the template.
    pub async fn open() -> Self {
        Self::open_with(Options::default(), |functions| functions).await
    }

    /// The same, with a Lambda or functions that differ from those of the template.
    pub async fn open_with(options: Options, differ: impl FnOnce(Vec<Settings>) -> Vec<Settings>) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_at(uri, options, differ).await
    }

    /// The same, on another MongoDB server: a connection string without a database.
    pub async fn open_at(
        uri: &str,
        options: Options,
        differ: impl FnOnce(Vec<Settings>) -> Vec<Settings>,
    ) -> Self {
        Self::open_programs(programs::of_workspace, uri, options, differ).await
    }

    /// The same, with the programs that `program` has for the names of functions.
    pub async fn open_programs(
        program: impl Fn(&str) -> PathBuf + Send + 'static,
        uri: &str,
        options: Options,
        differ: impl FnOnce(Vec<Settings>) -> Vec<Settings>,
    ) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let uri = uri.replacen("/?", &format!("/{name}?"), 1);
        let database =
            shared::mongo::connect(&uri, "tests").await.unwrap_or_else(|error| panic!("{error:?}"));
        backend::ensure_schema(&database).await.unwrap_or_else(|error| panic!("{error:?}"));
        let email = "admin@example.com";
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let (clock, keys) = (Clock::system(), KeyRing::fixed(signer, Clock::system()));
        let users = users::app(users::Dependencies {
            database: database.clone(),
            keys,
            rate_limit_per_address: 0,
            clock,
        });
        let made = users.service.ensure_admin(email, PASSWORD).await;
        made.unwrap_or_else(|error| panic!("{error:?}"));

        // Cargo may have to link the programs: the runtime of the test must go on.
        let functions = move || Lambda::functions_of(program, &uri, JWT_SECRET);
        let functions = tokio::task::spawn_blocking(functions).await;
        let functions = functions.unwrap_or_else(|error| panic!("{error}"));
        let lambda = Lambda::start(differ(functions), options).await;
        let lambda = lambda.unwrap_or_else(|error| panic!("no port: {error}"));
        Self::on(lambda, database).await
    }

    /// Opens a shop on a Lambda that runs already, whose schema step has made the tests' admin.
    pub async fn on(lambda: Lambda, database: Database) -> Self {
        let shop = Shop::with_admin(lambda.url.clone(), "admin@example.com", PASSWORD).await;
        Self { shop, lambda, database }
    }
}
