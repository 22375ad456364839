//! Store of users on a real MongoDB: indexes, conditional writes, pages, and the guard of the last admin.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use futures::future::join_all;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use shared::auth::{Epoch, Role};
use shared::error::Kind;
use shared::input::page::PageRequest;
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;
use users::credentials::{Password, PasswordHash};
use users::listing::Listing;
use users::store::{Inserted, UserStore, Written};
use users::user::{Email, NewUser, Status, User};

/// Time of creation of users that share one.
const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Creates an empty store on a database of its own.
async fn store() -> (UserStore, Database) {
    let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
    let connected = shared::mongo::connect(uri, "tests").await.unwrap_or_else(|error| panic!("{error:?}"));
    let database = connected.client().database(&UserId::new().to_string());
    let store = UserStore::new(&database);
    store.ensure_schema().await.unwrap_or_else(|error| panic!("{error:?}"));
    (store, database)
}

/// Builds a user without storing it.
fn user(email: &str, role: Role, at: Timestamp) -> User {
    let email = Email::parse(email.to_owned()).unwrap_or_else(|error| panic!("{error}"));
    let password = Password::entered("nobody looks at this");
    let name = "Somebody".to_owned();
    NewUser { email, password, name, phone: None, address: None, role }.into_user(UserId::new(), at)
}

/// Any hash: these tests do not sign in.
fn hash() -> PasswordHash {
    PasswordHash::stored("$argon2id$".to_owned())
}

/// Stores a user.
async fn stored(store: &UserStore, email: &str, role: Role) -> User {
    let user = user(email, role, AT);
    let inserted = store.insert(&user, &hash(), None).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(inserted, Inserted::Done);
    user
}

/// Changes a user and raises the version.
fn next(user: &User, change: impl FnOnce(&mut User)) -> User {
    let mut next = User { version: user.version + 1, ..user.clone() };
    change(&mut next);
    next
}

#[tokio::test]
async fn the_schema_step_may_run_again_and_concurrently() {
    let (store, database) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    store.ensure_schema().await.unwrap();
    for done in join_all((0..4).map(|_| store.ensure_schema())).await {
        done.unwrap();
    }
    assert_eq!(store.find(ada.id).await.unwrap().unwrap().user, ada);
    let mut indexes = database.collection::<Document>("users").list_index_names().await.unwrap();
    indexes.sort_unstable();
    assert_eq!(indexes, ["_id_", "email", "listed_newest", "revoked"]);
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_address_in_any_case() {
    let (store, _) = store().await;
    let mut ada = user("Ada@Example.com", Role::Staff, Timestamp::from_millis(1_800_000_000_007));
    ada.phone = Some("+49 30 1 ☕".to_owned());
    ada.status = Status::Disabled;
    store.insert(&ada, &hash(), None).await.unwrap();
    assert_eq!(store.find(ada.id).await.unwrap().unwrap().user, ada);
    for email in ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"] {
        let found = store.find_by_email(email).await.unwrap().unwrap();
        assert_eq!((found.user, found.hash), (ada.clone(), hash()));
    }
    for other in ["ad@example.com", "ada@example.com.", "", "a\0", ".*", "{\"$ne\": null}"] {
        assert!(store.find_by_email(other).await.unwrap().is_none(), "{other:?}");
    }
    assert!(store.find(UserId::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_index_lets_one_user_have_an_e_mail_address() {
    let (store, _) = store().await;
    let ada = stored(&store, "Ada@example.com", Role::Customer).await;
    let bob = stored(&store, "bob@example.com", Role::Admin).await;
    let refused = store.insert(&user("aDA@example.com", Role::Customer, AT), &hash(), None).await;
    assert_eq!(refused.unwrap(), Inserted::EmailTaken);
    let email = || Email::parse("ADA@example.com".to_owned()).unwrap();
    // In both kinds of write: alone, and in the transaction that guards the last admin.
    let renamed = next(&bob, |bob| bob.email = email());
    assert_eq!(store.replace(&renamed, &hash(), true, false).await.unwrap_err().kind(), Kind::EmailTaken);
    stored(&store, "root@example.com", Role::Admin).await;
    let demoted = next(&renamed, |bob| bob.role = Role::Customer);
    let demoted = User { version: 2, ..demoted };
    assert_eq!(store.replace(&demoted, &hash(), false, false).await.unwrap_err().kind(), Kind::EmailTaken);
    assert_eq!(store.find(bob.id).await.unwrap().unwrap().user, bob);

    // The address is free again after deletion; any number of users may be deleted.
    for gone in [ada, stored(&store, "carol@example.com", Role::Customer).await] {
        assert_eq!(store.delete(&gone, AT).await.unwrap(), Written::Done);
    }
    assert_eq!(store.replace(&renamed, &hash(), true, false).await.unwrap(), Written::Done);
}

#[tokio::test]
async fn a_write_at_an_old_version_changes_nothing() {
    let (store, _) = store().await;
    stored(&store, "root@example.com", Role::Admin).await;
    for (email, role) in [("ada@example.com", Role::Customer), ("bob@example.com", Role::Admin)] {
        let first = stored(&store, email, role).await;
        let second = next(&first, |user| user.name = "Second".to_owned());
        assert_eq!(store.replace(&second, &hash(), true, false).await.unwrap(), Written::Done);
        // The same again, in both kinds of write.
        for keeps_admin in [true, false] {
            let late = next(&first, |user| user.name = "Late".to_owned());
            assert_eq!(store.replace(&late, &hash(), keeps_admin, false).await.unwrap(), Written::Outdated);
        }
        assert_eq!(store.delete(&first, AT).await.unwrap(), Written::Outdated);
        assert_eq!(store.find(first.id).await.unwrap().unwrap().user, second);

        assert_eq!(store.delete(&second, AT).await.unwrap(), Written::Done);
        assert_eq!(store.delete(&second, AT).await.unwrap(), Written::Outdated);
        let late = next(&second, |user| user.name = "Late".to_owned());
        assert_eq!(store.replace(&late, &hash(), true, false).await.unwrap(), Written::Outdated);
        assert!(store.find(first.id).await.unwrap().is_none());
    }
    // A user who never existed.
    let nobody = next(&user("nobody@example.com", Role::Customer, AT), |_| {});
    assert_eq!(store.replace(&nobody, &hash(), true, false).await.unwrap(), Written::Outdated);
}

#[tokio::test]
async fn of_many_writes_at_one_version_one_is_done() {
    let (store, _) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    let hash = hash();
    let writes: Vec<_> =
        (0..8).map(|number| next(&ada, |user| user.name = format!("Writer {number}"))).collect();
    let results = join_all(writes.iter().map(|user| store.replace(user, &hash, true, false))).await;
    let done: Vec<_> = results
        .into_iter()
        .zip(&writes)
        .filter(|(result, _)| *result.as_ref().unwrap() == Written::Done)
        .map(|(_, user)| user)
        .collect();
    assert_eq!(done.len(), 1);
    assert_eq!(&store.find(ada.id).await.unwrap().unwrap().user, done[0]);
}

/// Reads the whole list in pages of this length.
async fn pages(store: &UserStore, role: Option<Role>, limit: i64) -> Vec<User> {
    let request = PageRequest::new(Some(limit), None).unwrap_or_else(|error| panic!("{error:?}"));
    let listing = Listing { role, ..Listing::default() };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = store.list(&listing, &request, after.as_ref()).await;
        let found = found.unwrap_or_else(|error| panic!("{error:?}"));
        all.extend(found.data);
        after = found.next;
        if after.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn pages_are_newest_first_and_repeat_and_skip_no_user() {
    let (store, _) = store().await;
    let mut all = Vec::new();
    for number in 0..12_i64 {
        // Three at each time: ties everywhere, also at the end of a page.
        let at = Timestamp::from_millis(AT.millis() + number / 3);
        let role = if number % 2 == 0 { Role::Customer } else { Role::Staff };
        let user = user(&format!("{number}@example.com"), role, at);
        store.insert(&user, &hash(), None).await.unwrap();
        all.push(user);
    }
    let gone = all.remove(5);
    store.delete(&gone, AT).await.unwrap();
    all.sort_by_key(|user| std::cmp::Reverse((user.created_at, user.id.uuid())));
    for limit in [1, 2, 3, 5, 11, 100] {
        assert_eq!(pages(&store, None, limit).await, all, "{limit}");
        let staff: Vec<_> = all.iter().filter(|user| user.role == Role::Staff).cloned().collect();
        assert_eq!(pages(&store, Some(Role::Staff), limit).await, staff, "{limit}");
    }
    assert!(pages(&store, Some(Role::Admin), 2).await.is_empty());
}

#[tokio::test]
async fn of_two_admins_who_resign_at_once_one_stays() {
    // Each round on a new database, without a guard document.
    for round in 0..8 {
        let (store, _) = store().await;
        let ada = stored(&store, "ada@example.com", Role::Admin).await;
        let bob = stored(&store, "bob@example.com", Role::Admin).await;
        let hash = hash();
        let demoted = next(&ada, |ada| ada.role = Role::Customer);
        let disabled = next(&bob, |bob| bob.status = Status::Disabled);
        let (adas, bobs) = if round % 2 == 0 {
            futures::join!(
                store.replace(&demoted, &hash, false, false),
                store.replace(&disabled, &hash, false, false)
            )
        } else {
            futures::join!(store.delete(&ada, AT), store.replace(&disabled, &hash, false, false))
        };
        let mut results = [adas.unwrap(), bobs.unwrap()];
        results.sort_by_key(|result| *result != Written::Done);
        assert_eq!(results, [Written::Done, Written::LastAdmin]);
        assert!(store.has_active_admin().await.unwrap());
    }
}

#[tokio::test]
async fn of_many_admins_who_resign_at_once_one_stays() {
    let (store, database) = store().await;
    let mut admins = Vec::new();
    for number in 0..5 {
        admins.push(stored(&store, &format!("{number}@example.com"), Role::Admin).await);
    }
    // Neither counts as an active admin: one is disabled, one is staff.
    let mut disabled = user("disabled@example.com", Role::Admin, AT);
    disabled.status = Status::Disabled;
    store.insert(&disabled, &hash(), None).await.unwrap();
    stored(&store, "staff@example.com", Role::Staff).await;

    let results = join_all(admins.iter().map(|admin| store.delete(admin, AT))).await;
    let stayed = results.into_iter().filter(|result| *result.as_ref().unwrap() == Written::LastAdmin);
    assert_eq!(stayed.count(), 1);
    let active = doc! { "role": "admin", "status": "active" };
    assert_eq!(database.collection::<Document>("users").count_documents(active).await.unwrap(), 1);
}

#[tokio::test]
async fn too_many_revocations_are_covered_by_time() {
    let (store, database) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    let since = AT.before(std::time::Duration::from_secs(1200));
    assert_eq!(store.revoked_since(since).await.unwrap().users().count(), 0);
    let renamed = next(&ada, |ada| ada.name = "Ada".to_owned());
    assert_eq!(store.replace(&renamed, &hash(), true, false).await.unwrap(), Written::Done);
    assert_eq!(store.revoked_since(since).await.unwrap().users().count(), 0);
    for (epoch, ends) in [(1, true), (2, true), (2, false)] {
        let stored = store.find(ada.id).await.unwrap().unwrap();
        let changed = next(&stored.user, |ada| ada.name = format!("Ada {}", stored.user.version));
        assert_eq!(store.replace(&changed, &hash(), true, ends).await.unwrap(), Written::Done);
        assert_eq!(store.find(ada.id).await.unwrap().unwrap().epoch, Epoch(epoch));
        let revoked = store.revoked_since(since).await.unwrap();
        assert_eq!(revoked.users().collect::<Vec<_>>(), [(ada.id, Epoch(epoch))]);
        assert!(store.revoked_since(changed.updated_at).await.unwrap().users().next().is_none());
    }

    // 5,002 in all: her revocation is covered by time, as is any in the moment after it.
    let many = (1..=5_001).map(|millis| {
        let at = mongodb::bson::DateTime::from_millis(AT.millis() + millis);
        let id = shared::mongo::uuid(UserId::new());
        doc! { "_id": id, "status": "deleted", "version": 2_i64, "epoch": 1_i64, "revoked_at": at,
        "created_at": at, "updated_at": at }
    });
    database.collection::<Document>("users").insert_many(many).await.unwrap();
    let revoked = store.revoked_since(since).await.unwrap();
    assert_eq!(revoked.users().count(), 5_000);
    assert_eq!(revoked.everyone(), Some(Timestamp::from_millis(AT.millis() + 1)));
    assert!(revoked.users().all(|(user, _)| user != ada.id));
}
