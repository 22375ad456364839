//! A shop whose reads of a majority can stand still, as they do on a new primary until it knows what is on a majority.
//! Writes are acknowledged meanwhile.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::time::Duration;

use mongodb::bson::doc;
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::mongo_tap::Tap;
use uuid::Uuid;

/// The shop.
pub(crate) struct Lagging {
    pub(crate) shop: InProcess,
    pub(crate) tap: Tap,
    app_name: String,
}

impl Lagging {
    /// Opens a shop, whose reads show the latest state until [`Self::stands_still`].
    pub(crate) async fn open() -> Self {
        let server = mongod::shared_for_tests().await.unwrap();
        let port = server.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
        let (tap, app_name) = (Tap::to(port).await, format!("lagging-{}", Uuid::new_v4().simple()));
        let shop = InProcess::open_at(&tap.uri(&app_name), Clock::system()).await;
        Self { shop, tap, app_name }
    }

    /// From now on reads of a majority show the state of this moment.
    pub(crate) async fn stands_still(&self) {
        let answer = self.shop.database.run_command(doc! { "ping": 1 }).await.unwrap();
        self.tap.shows(answer.get_timestamp("operationTime").unwrap());
    }

    /// From now on no commit of a transaction is done in time.
    pub(crate) async fn delays_commits(&self, by: Duration) {
        let data = doc! {
            "failCommands": ["commitTransaction"],
            "appName": &self.app_name,
            "blockConnection": true,
            "blockTimeMS": i32::try_from(by.as_millis()).unwrap(),
        };
        let delay = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data };
        self.shop.database.client().database("admin").run_command(delay).await.unwrap();
    }
}
