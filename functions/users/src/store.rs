//! Users in MongoDB. With the modules below it, the only place of this function that knows BSON.
//!
//! - [`sessions`]: families of refresh tokens
//! - [`revocations`]: what ends access tokens, and the authority that a write relies on
//! - [`counts`]: counts for rate limits
//! - [`networks`]: networks from which users have signed in

use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use mongodb::results::InsertOneResult;
use mongodb::{ClientSession, Database};
use serde::{Deserialize, Serialize};
use shared::auth::{Epoch, Role};
use shared::error::{Error, Kind};
use shared::http::idempotency::KeyRecord;
use shared::http::idempotency::key_store::KeyStore;
use shared::mongo::changes::changes;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::unreadable::{StoredDocument, Unreadable};
use shared::mongo::{self, ANY_WRITER, Index, Schema, SchemaStep, TxOutcome};
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;
use shared::values::text::Name;

use crate::credentials::PasswordHash;
use crate::limits::Phone;
use crate::user::{Status, User};
use counts::Counts;
use networks::Networks;
use revocations::Authority;
use sessions::Sessions;
use shared::values::email::Email;

pub mod counts;
pub mod networks;
pub mod revocations;
pub mod sessions;

mod bulk;
mod list;

/// Schema of this build. Raise its version with every change of `ensure_schema`, of the rules or of documents.
pub const SCHEMA: Schema = Schema { function: "users", version: 7, lowest_writer: ANY_WRITER };

const USERS: &str = "users";

/// Guard documents: a transaction writes one, so that no two of its kind run at once.
const GUARDS: &str = "user_guards";

const KEYS: &str = "user_keys";

/// Status of a deleted user, of which only the ID is left.
const DELETED: &str = "deleted";

/// User on disk.
#[derive(Debug, Serialize, Deserialize)]
struct UserDocument {
    _id: bson::Uuid,
    email: String,
    /// E-mail address in lower case; unique.
    email_key: String,
    password_hash: String,
    name: String,
    phone: Option<String>,
    address: Option<Address>,
    role: String,
    status: String,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
    /// Raised by writes that end the user's sessions, and never written otherwise.
    #[serde(default, skip_serializing)]
    epoch: i64,
}

impl UserDocument {
    fn of(user: &User, hash: &PasswordHash) -> Self {
        Self {
            _id: mongo::uuid(user.id),
            email: user.email.as_str().to_owned(),
            email_key: user.email.key(),
            password_hash: hash.as_str().to_owned(),
            name: user.name.clone(),
            phone: user.phone.clone(),
            address: user.address.clone(),
            role: user.role.name().to_owned(),
            status: user.status.name().to_owned(),
            version: user.version,
            created_at: mongo::date(user.created_at),
            updated_at: mongo::date(user.updated_at),
            epoch: 0,
        }
    }
}

/// User with password hash and epoch.
#[derive(Clone, Debug)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// Hash of the password.
    pub hash: PasswordHash,
    /// Current epoch: sessions of an earlier one are revoked.
    pub epoch: Epoch,
}

impl StoredUser {
    /// Reads a user.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    fn read(document: impl StoredDocument) -> Result<Self, Unreadable> {
        let unreadable = Unreadable::of(USERS, &document);
        let document: UserDocument = Unreadable::or_read(USERS, document)?;
        let names = (Role::from_stored(&document.role), Status::from_stored(&document.status));
        let (Ok(role), Ok(status)) = names else { return Err(unreadable) };
        Ok(Self {
            user: User {
                id: mongo::id(document._id),
                email: Email::from_stored(document.email),
                name: document.name,
                phone: document.phone,
                address: document.address,
                role,
                status,
                version: document.version,
                created_at: mongo::timestamp(document.created_at),
                updated_at: mongo::timestamp(document.updated_at),
            },
            hash: PasswordHash::stored(document.password_hash),
            epoch: Epoch(document.epoch),
        })
    }
}

/// Validation rule for users. A deleted user has no other fields.
fn valid_user() -> Document {
    let mut rule = json_schema::documents(
        &[
            ("_id", json_schema::bytes()),
            ("status", json_schema::one_of(["active", "disabled", DELETED])),
            ("version", json_schema::whole(1)),
            ("created_at", json_schema::date()),
            ("updated_at", json_schema::date()),
        ],
        &[
            ("email", json_schema::text(Email::MAX)),
            ("email_key", json_schema::text(Email::MAX)),
            ("password_hash", json_schema::text(500)),
            ("name", json_schema::text(Name::MAX)),
            ("phone", json_schema::or_null(json_schema::text(Phone::MAX))),
            ("address", json_schema::or_null(json_schema::address())),
            ("role", json_schema::one_of(Role::ALL.map(Role::name))),
            ("epoch", json_schema::whole(0)),
            ("revoked_at", json_schema::date()),
            ("was_staff", json_schema::boolean()),
            ("authority_uses", json_schema::whole(0)),
        ],
    );
    let personal = ["email", "email_key", "password_hash", "name", "phone", "address", "role"];
    let there = |is: bool| personal.into_iter().map(move |it| (it.to_owned(), doc! { "$exists": is }.into()));
    let (mut living, mut deleted): (Document, Document) = (there(true).collect(), there(false).collect());
    living.insert("status", doc! { "$ne": DELETED });
    deleted.insert("status", DELETED);
    rule.insert("$or", vec![living, deleted]);
    rule
}

fn valid_guard() -> Document {
    json_schema::documents(&[("_id", json_schema::text(40)), ("changes", json_schema::whole(1))], &[])
}

/// Result of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The user was inserted.
    Done,
    /// The e-mail address is taken by another user.
    EmailTaken,
    /// The idempotency key was used before.
    KeyTaken,
    /// The caller does not have the authority any more.
    NoAuthority,
}

/// Result of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The write is done.
    Done,
    /// A concurrent write was faster: read again.
    Outdated,
    /// The write would leave no active admin.
    LastAdmin,
    /// The caller does not have the authority any more.
    NoAuthority,
}

/// Next version of a user, and what its write must do besides.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// User as read.
    pub before: &'a User,
    /// User at the next version.
    pub user: &'a User,
    /// Password hash, if it is a new one.
    pub new_hash: Option<&'a PasswordHash>,
    /// False when the change would lose an active admin.
    pub keeps_admin: bool,
    /// Role before, if this revokes all tokens of the user.
    pub ends_sessions_of: Option<Role>,
    /// Authority that the change relies on; `None` for users who change themselves, since the version says that
    /// nothing of theirs has changed.
    pub authority: Option<Authority>,
}

/// Store of users.
#[derive(Clone)]
pub struct UserStore {
    database: FencedDatabase,
    users: FencedCollection<UserDocument>,
    keys: KeyStore,
    sessions: Sessions,
    counts: Counts,
    networks: Networks,
}

impl UserStore {
    /// Creates a store over this database.
    pub fn new(database: &Database) -> Self {
        Self::with_schema(database, SCHEMA)
    }

    /// Creates the store of a build with another schema.
    pub fn with_schema(database: &Database, schema: Schema) -> Self {
        let database = FencedDatabase::new(database, schema);
        Self {
            users: database.collection(USERS),
            keys: KeyStore::new(&database, KEYS),
            sessions: Sessions::new(&database),
            counts: Counts::new(&database),
            networks: Networks::new(&database),
            database,
        }
    }

    /// Idempotency keys of answered requests.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Families of refresh tokens.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Counts for rate limits.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Networks from which users have signed in.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Creates collections and indexes. It may run again at any time.
    ///
    /// # Errors
    /// Fails when MongoDB refuses or is unavailable.
    pub async fn ensure_schema(&self) -> Result<(), Error> {
        let mut indexes = list::indexes();
        let email = Index::unique("email", doc! { "email_key": 1 });
        indexes.push(email.only(doc! { "email_key": { "$exists": true } }));
        indexes.extend(revocations::indexes());
        let users = mongo::Collection {
            name: USERS,
            indexes,
            obsolete: vec!["newest", "role_newest"],
            validator: valid_user(),
            append_only: false,
        };
        let guards = mongo::Collection {
            name: GUARDS,
            indexes: Vec::new(),
            obsolete: Vec::new(),
            validator: valid_guard(),
            append_only: false,
        };
        let mut keys = KeyStore::collection(KEYS);
        keys.indexes.push(Index::plain("made", doc! { "made": 1 }));
        let (sessions, networks) = (Sessions::collection(), Networks::collection());
        let [attempts, addresses] = Counts::collections();
        let all = [&users, &guards, &keys, &sessions, &networks, &attempts, &addresses];
        let Some(step) = SchemaStep::begin(&self.database, &all).await? else { return Ok(()) };
        for collection in all {
            step.ensure(collection).await?;
        }
        step.end().await
    }

    /// Inserts a user, and the key of the request if it has one, both or none. With `authority`, only while that
    /// caller has it.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn insert(
        &self,
        user: &User,
        hash: &PasswordHash,
        key_record: Option<&KeyRecord>,
        authority: Option<Authority>,
    ) -> Result<Inserted, Error> {
        if key_record.is_none() && authority.is_none() {
            let write = self.users.insert_one(UserDocument::of(user, hash))?;
            return inserted(mongo::bounded_write(write).await).map_err(Error::from);
        }
        let inserted = mongo::transaction(&self.database, |session| {
            let (store, document, key_record) =
                (self.clone(), UserDocument::of(user, hash), key_record.copied());
            let (id, now) = (user.id, user.created_at);
            Box::pin(async move {
                if !store.exercise(&mut *session, authority).await? {
                    return Ok(TxOutcome::Commit(Inserted::NoAuthority));
                }
                let added = inserted(store.users.insert_one(document)?.session(&mut *session).await)?;
                if added != Inserted::Done {
                    return Ok(TxOutcome::Abort(added));
                }
                let Some(key_record) = key_record else { return Ok(TxOutcome::Commit(added)) };
                let kept = store.keys.keep(session, &key_record, id, now).await?;
                Ok(if kept { TxOutcome::Commit(added) } else { TxOutcome::Abort(Inserted::KeyTaken) })
            })
        });
        Ok(inserted.await?)
    }

    /// Finds a user by ID.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find(&self, id: UserId) -> Result<Option<StoredUser>, Error> {
        self.find_one(doc! { "_id": mongo::uuid(id), "status": { "$ne": DELETED } }).await
    }

    /// Finds a user by e-mail address, in any case.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<StoredUser>, Error> {
        self.find_one(doc! { "email_key": email.to_ascii_lowercase() }).await
    }

    /// True if there is an active admin.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn has_active_admin(&self) -> Result<bool, Error> {
        let users = self.users.clone_with_type::<Document>();
        Ok(users.find_one(active_admins()).projection(doc! { "_id": 1 }).await?.is_some())
    }

    async fn find_one(&self, filter: Document) -> Result<Option<StoredUser>, Error> {
        let users = self.users.clone_with_type::<RawDocumentBuf>();
        Ok(users.find_one(filter).await?.map(StoredUser::read).transpose()?)
    }

    /// Stores a new hash of the same password, unless the password was changed meanwhile. It does not raise
    /// the version.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn rehash(&self, stored: &StoredUser, hash: &PasswordHash) -> Result<(), Error> {
        let same = doc! { "_id": mongo::uuid(stored.user.id), "password_hash": stored.hash.as_str() };
        let update = doc! { "$set": { "password_hash": hash.as_str() } };
        mongo::bounded_write(self.users.update_one(same, update)).await?;
        Ok(())
    }

    /// Writes the next version of a user. It sets only what has changed: a field of a later build stays.
    ///
    /// # Errors
    /// 409 for a taken e-mail address.
    pub async fn write(&self, change: Change<'_>) -> Result<Written, Error> {
        let Change { before, user, new_hash, keeps_admin, ends_sessions_of, authority } = change;
        let filter = doc! { "_id": mongo::uuid(before.id), "version": before.version };
        let document = |user, hash| bson::serialize_to_document(&UserDocument::of(user, hash));
        let unchanged = PasswordHash::stored(String::new());
        let old = document(before, &unchanged).map_err(Error::internal)?;
        let new = document(user, new_hash.unwrap_or(&unchanged)).map_err(Error::internal)?;
        let mut fields = changes(&old, &new);
        let mut update = Document::new();
        if let Some(role) = ends_sessions_of {
            fields.insert("revoked_at", mongo::date(user.updated_at));
            if role != Role::Customer || user.role != Role::Customer {
                fields.insert("was_staff", true);
            }
            update.insert("$inc", doc! { "epoch": 1_i64 });
        }
        update.insert("$set", fields);
        let written = if keeps_admin && authority.is_none() {
            let written = mongo::bounded_write(self.users.update_one(filter, update)).await;
            written.map(|it| if it.matched_count == 1 { Written::Done } else { Written::Outdated })
        } else {
            let id = user.id;
            let written = mongo::transaction(&self.database, |session| {
                let (store, filter, update) = (self.clone(), filter.clone(), update.clone());
                Box::pin(async move {
                    if !store.exercise(&mut *session, authority).await? {
                        return Ok(TxOutcome::Commit(Written::NoAuthority));
                    }
                    if keeps_admin {
                        return store.update_with(session, filter, update).await;
                    }
                    store.replace_admin(session, id, filter, update).await
                })
            });
            written.await
        };
        match written {
            Err(error) if mongo::is_duplicate_key(&error) => {
                match mongo::confirmed(self.find_by_email(user.email.as_str())).await? {
                    Some(_) => Err(email_taken()),
                    None => Ok(Written::Outdated),
                }
            }
            written => Ok(written?),
        }
    }

    /// Deletes all personal data of a user at this version, in other collections too. The ID stays, and is
    /// never used again. With `authority`, only while that caller has it.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn delete(
        &self,
        user: &User,
        now: Timestamp,
        authority: Option<Authority>,
    ) -> Result<Written, Error> {
        let deleted = mongo::transaction(&self.database, |session| {
            let (store, user) = (self.clone(), user.clone());
            Box::pin(async move {
                if !store.exercise(&mut *session, authority).await? {
                    return Ok(TxOutcome::Commit(Written::NoAuthority));
                }
                store.delete_all_of(session, &user, now).await
            })
        });
        Ok(deleted.await?)
    }

    async fn delete_all_of(
        &self,
        session: &mut ClientSession,
        user: &User,
        now: Timestamp,
    ) -> mongodb::error::Result<TxOutcome<Written>> {
        let filter = doc! { "_id": mongo::uuid(user.id), "version": user.version };
        let mut gone =
            doc! { "status": DELETED, "updated_at": mongo::date(now), "revoked_at": mongo::date(now) };
        if user.role != Role::Customer {
            gone.insert("was_staff", true);
        }
        let update = doc! {
            "$set": gone,
            "$inc": { "version": 1_i64, "epoch": 1_i64 },
            "$unset": {
                "email": "", "email_key": "", "password_hash": "", "name": "", "phone": "", "address": "", "role": "",
                "authority_uses": "",
            },
        };
        let written = if user.is_active_admin() {
            self.replace_admin(&mut *session, user.id, filter, update).await?
        } else {
            self.update_with(&mut *session, filter, update).await?
        };
        if !matches!(written, TxOutcome::Commit(Written::Done)) {
            return Ok(written);
        }
        self.sessions.forget_with(&mut *session, user.id).await?;
        self.networks.forget_with(&mut *session, user.id).await?;
        self.counts.forget_attempts_with(&mut *session, user.id, &user.email.key()).await?;
        self.keys.blank(session, user.id).await?;
        Ok(TxOutcome::Commit(Written::Done))
    }

    async fn update_with(
        &self,
        session: &mut ClientSession,
        filter: Document,
        update: Document,
    ) -> mongodb::error::Result<TxOutcome<Written>> {
        let result = self.users.update_one(filter, update).session(session).await?;
        Ok(if result.matched_count == 1 {
            TxOutcome::Commit(Written::Done)
        } else {
            TxOutcome::Abort(Written::Outdated)
        })
    }

    /// Runs an update after which `id` is no active admin, if another one remains. Two concurrent ones, each
    /// relying on the other's admin, conflict at the guard: one runs again and sees the result of the other.
    async fn replace_admin(
        &self,
        session: &mut ClientSession,
        id: UserId,
        filter: Document,
        update: Document,
    ) -> mongodb::error::Result<TxOutcome<Written>> {
        let guards: FencedCollection<Document> = self.database.collection(GUARDS);
        guards
            .update_one(doc! { "_id": "admins" }, vec![one_more_change()])
            .upsert(true)
            .session(&mut *session)
            .await?;
        let mut others = active_admins();
        others.insert("_id", doc! { "$ne": mongo::uuid(id) });
        let users = self.users.clone_with_type::<Document>();
        if users.find_one(others).projection(doc! { "_id": 1 }).session(&mut *session).await?.is_none() {
            return Ok(TxOutcome::Commit(Written::LastAdmin));
        }
        self.update_with(session, filter, update).await
    }
}

/// Update that counts a change, whatever the guard has been made to hold.
fn one_more_change() -> Document {
    let good = doc! { "$and": [
        { "$isNumber": "$changes" }, { "$gte": ["$changes", 0] }, { "$lt": ["$changes", i64::from(i32::MAX)] },
    ] };
    let before = doc! { "$cond": [good, "$changes", 0_i64] };
    doc! { "$set": { "changes": { "$toLong": { "$add": [before, 1_i64] } } } }
}

fn active_admins() -> Document {
    doc! { "role": Role::Admin.name(), "status": Status::Active.name() }
}

fn inserted(result: mongodb::error::Result<InsertOneResult>) -> mongodb::error::Result<Inserted> {
    match result {
        Ok(_) => Ok(Inserted::Done),
        Err(error) if mongo::is_duplicate_key(&error) => Ok(Inserted::EmailTaken),
        Err(error) => Err(error),
    }
}

/// Conflict error (409) for a taken e-mail address.
pub fn email_taken() -> Error {
    Error::new(Kind::EmailTaken, "Another user has this `email` (case is ignored).")
}
