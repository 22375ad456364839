//! What MongoDB says of the queries that a request has sent: its profiler's count, and the plan of the very same query.

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{FindOptions, Hint, ReadPreference, SelectionCriteria};
use shared::input::page::Position;
use shared::mongo::keyset::SortKey;
use uuid::Uuid;

/// Maximum size of the profile: thousands of queries.
const ROOM: i64 = 64 << 20;

/// Fields that are not part of a query, and that `explain` does not take.
const AROUND: [&str; 6] = ["lsid", "$clusterTime", "$db", "$readPreference", "readConcern", "txnNumber"];

/// Notes the queries that the functions send.
pub(crate) struct Profiler {
    /// Over a client of its own, whose queries are not noted.
    database: Database,
}

/// A query, and what it took.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The command as it was sent.
    pub(crate) command: Document,
    /// Keys of indexes that were looked at.
    pub(crate) keys: i64,
    /// Documents that were.
    pub(crate) documents: i64,
    /// True if MongoDB has sorted in memory.
    pub(crate) sorts: bool,
    /// Collection.
    pub(crate) collection: String,
    /// The indexes that were used.
    pub(crate) plan: String,
}

/// Plan of a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Number of index ranges that are scanned.
    pub(crate) scans: i64,
    /// For each sort in memory how many documents it keeps, if that is limited.
    pub(crate) sorts: Vec<Option<i64>>,
    /// True if a whole collection is read.
    pub(crate) reads_all: bool,
    /// Keys that were looked at, when it was done again for this.
    pub(crate) keys: i64,
}

impl Profiler {
    /// Of a database, over this connection string.
    pub(crate) async fn of(uri: &str, database: &Database) -> Self {
        let client = shared::mongo::connect(uri, "explains").await.unwrap();
        Self { database: client.client().database(database.name()) }
    }

    /// From now on queries to the lists are noted.
    pub(crate) async fn begin(&self) {
        self.begin_at(&["orders", "products", "users"]).await;
    }

    /// From now on commands to these collections are noted.
    pub(crate) async fn begin_at(&self, collections: &[&str]) {
        self.profile(doc! { "profile": 0 }).await;
        self.database.collection::<Document>("system.profile").drop().await.unwrap();
        let room = self.database.create_collection("system.profile").capped(true).size(ROOM.unsigned_abs());
        room.await.unwrap();
        let noted: Vec<String> =
            collections.iter().map(|it| format!("{}.{it}", self.database.name())).collect();
        let filter = doc! {
            "appName": "tests",
            "ns": { "$in": noted },
            // Whose sessions have ended is asked now and then, by whichever request comes along.
            "command.filter.revoked_at": { "$exists": false },
        };
        self.profile(doc! { "profile": 1, "filter": filter }).await;
    }

    /// Entries in the order of execution.
    pub(crate) async fn end(&self) -> Vec<Query> {
        self.profile(doc! { "profile": 0 }).await;
        let profile = self.database.collection::<Document>("system.profile");
        let noted: Vec<Document> =
            profile.find(doc! {}).sort(doc! { "$natural": 1 }).await.unwrap().try_collect().await.unwrap();
        noted.iter().map(query).collect()
    }

    async fn profile(&self, command: Document) {
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        self.database.run_command(command).selection_criteria(primary).await.unwrap();
    }

    /// Number of elements in a list, up to a limit.
    pub(crate) async fn length(&self, query: &Query, most: usize) -> usize {
        self.like(query, 0, most).await.len()
    }

    /// Position behind a number of elements.
    pub(crate) async fn position(&self, query: &Query, before: usize, sorted_by: SortKey) -> Position {
        let document = RawDocumentBuf::try_from(&self.like(query, before - 1, 1).await[0]).unwrap();
        sorted_by.position(&document).unwrap()
    }

    /// The IDs of so many elements after so many others.
    pub(crate) async fn ids(&self, query: &Query, skip: usize, limit: usize) -> Vec<Uuid> {
        let found = self.like(query, skip, limit).await;
        let id = |it: &Document| match it.get("_id") {
            Some(Bson::Binary(id)) => Uuid::from_bytes(id.to_uuid().unwrap().bytes()),
            other => panic!("an ID {other:?}"),
        };
        found.iter().map(id).collect()
    }

    /// The documents of the same filter, order and index.
    async fn like(&self, query: &Query, skip: usize, limit: usize) -> Vec<Document> {
        let part = |name: &str| query.command.get_document(name).ok().cloned();
        let options = FindOptions::builder()
            .sort(part("sort"))
            .hint(query.command.get_str("hint").ok().map(|hint| Hint::Name(hint.to_owned())))
            .skip(u64::try_from(skip).unwrap())
            .limit(i64::try_from(limit).unwrap())
            .projection(doc! {
                "_id": 1, "created_at": 1, "updated_at": 1, "total": 1, "name_key": 1, "price": 1,
            })
            .build();
        let collection = self.database.collection::<Document>(query.command.get_str("find").unwrap());
        let found = collection.find(part("filter").unwrap_or_default()).with_options(options).await;
        found.unwrap().try_collect().await.unwrap()
    }

    /// Plan of this query by `explain`, which runs it once more.
    pub(crate) async fn explain(&self, query: &Query) -> Plan {
        let mut command = query.command.clone();
        for field in AROUND {
            command.remove(field);
        }
        let explain = doc! { "explain": command, "verbosity": "executionStats" };
        let told = self.database.run_command(explain).await.unwrap();
        let mut plan =
            Plan { keys: count(&told, &["executionStats", "totalKeysExamined"]), ..Plan::default() };
        plan.read(told.get_document("queryPlanner").unwrap().get_document("winningPlan").unwrap());
        plan
    }
}

impl Plan {
    /// Adds a stage and all below it.
    fn read(&mut self, stage: &Document) {
        match stage.get_str("stage") {
            Ok("IXSCAN") => self.scans += 1,
            Ok("SORT") => self.sorts.push(stage.get("limitAmount").and_then(whole)),
            Ok("COLLSCAN") => self.reads_all = true,
            _ => {}
        }
        for below in stage.values() {
            match below {
                Bson::Document(below) => self.read(below),
                Bson::Array(below) => below.iter().filter_map(Bson::as_document).for_each(|it| self.read(it)),
                _ => {}
            }
        }
    }
}

fn query(noted: &Document) -> Query {
    Query {
        command: noted.get_document("command").unwrap().clone(),
        keys: count(noted, &["keysExamined"]),
        documents: count(noted, &["docsExamined"]),
        sorts: noted.get_bool("hasSortStage").unwrap_or(false),
        collection: noted.get_str("ns").unwrap().split_once('.').unwrap().1.to_owned(),
        plan: noted.get_str("planSummary").unwrap_or_default().to_owned(),
    }
}

/// A count that is nested like this; 0 where there is none.
fn count(document: &Document, path: &[&str]) -> i64 {
    let (last, above) = path.split_last().unwrap();
    let document = above.iter().try_fold(document, |at, field| at.get_document(field).ok());
    document.and_then(|document| document.get(last)).and_then(whole).unwrap_or(0)
}

fn whole(value: &Bson) -> Option<i64> {
    value.as_i64().or(value.as_i32().map(i64::from))
}
