//! Store of users on a real MongoDB: indexes, conditional writes, pages, and the guard of the last admin.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use futures::future::join_all;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use shared::auth::revocation::Cutoffs;
use shared::auth::{Epoch, Role, TokenOrigin};
use shared::error::{Error, Kind};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::values::clock::Timestamp;
use shared::values::email::Email;
use shared::values::ids::UserId;
use users::credentials::{Password, PasswordHash};
use users::http::LIST_USERS;
use users::listing::Listing;
use users::refresh_token::RefreshToken;
use users::store::revocations::{Authority, MAX_DELETED};
use users::store::sessions::MAX_ENDED_CUSTOMERS;
use users::store::{Change, Inserted, UserStore, Written};
use users::user::{NewUser, Status, User};

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
    let inserted = store.insert(&user, &hash(), None, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(inserted, Inserted::Done);
    user
}

/// Replaces a customer, or a user who keeps the sessions.
async fn replace(
    store: &UserStore,
    user: &User,
    keeps_admin: bool,
    ends_sessions: bool,
) -> Result<Written, Error> {
    let ends_sessions_of = ends_sessions.then_some(user.role);
    let before = before(store, user).await;
    let change =
        Change { before: &before, user, new_hash: None, keeps_admin, ends_sessions_of, authority: None };
    store.write(change).await
}

/// The user as stored, at the version before this one.
async fn before(store: &UserStore, user: &User) -> User {
    let stored = store.find(user.id).await.unwrap_or_else(|error| panic!("{error:?}"));
    User { version: user.version - 1, ..stored.map_or_else(|| user.clone(), |stored| stored.user) }
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
    assert_eq!(indexes, ["_id_", "email", "listed_newest", "listed_updated", "revoked", "revoked_by_kind"]);
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_address_in_any_case() {
    let (store, _) = store().await;
    let mut ada = user("Ada@Example.com", Role::Staff, Timestamp::from_millis(1_800_000_000_007));
    ada.phone = Some("+49 30 1 ☕".to_owned());
    ada.status = Status::Disabled;
    store.insert(&ada, &hash(), None, None).await.unwrap();
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
    let refused = store.insert(&user("aDA@example.com", Role::Customer, AT), &hash(), None, None).await;
    assert_eq!(refused.unwrap(), Inserted::EmailTaken);
    let email = || Email::parse("ADA@example.com".to_owned()).unwrap();
    // In both kinds of write: alone, and in the transaction that guards the last admin.
    let renamed = next(&bob, |bob| bob.email = email());
    assert_eq!(replace(&store, &renamed, true, false).await.unwrap_err().kind(), Kind::EmailTaken);
    stored(&store, "root@example.com", Role::Admin).await;
    let demoted = next(&renamed, |bob| bob.role = Role::Customer);
    let demoted = User { version: 2, ..demoted };
    assert_eq!(replace(&store, &demoted, false, false).await.unwrap_err().kind(), Kind::EmailTaken);
    assert_eq!(store.find(bob.id).await.unwrap().unwrap().user, bob);

    // The address is free again after deletion; any number of users may be deleted.
    for gone in [ada, stored(&store, "carol@example.com", Role::Customer).await] {
        assert_eq!(store.delete(&gone, AT, None).await.unwrap(), Written::Done);
    }
    assert_eq!(replace(&store, &renamed, true, false).await.unwrap(), Written::Done);
}

#[tokio::test]
async fn a_write_at_an_old_version_changes_nothing() {
    let (store, _) = store().await;
    stored(&store, "root@example.com", Role::Admin).await;
    for (email, role) in [("ada@example.com", Role::Customer), ("bob@example.com", Role::Admin)] {
        let first = stored(&store, email, role).await;
        let second = next(&first, |user| user.name = "Second".to_owned());
        assert_eq!(replace(&store, &second, true, false).await.unwrap(), Written::Done);
        // The same again, in both kinds of write.
        for keeps_admin in [true, false] {
            let late = next(&first, |user| user.name = "Late".to_owned());
            assert_eq!(replace(&store, &late, keeps_admin, false).await.unwrap(), Written::Outdated);
        }
        assert_eq!(store.delete(&first, AT, None).await.unwrap(), Written::Outdated);
        assert_eq!(store.find(first.id).await.unwrap().unwrap().user, second);

        assert_eq!(store.delete(&second, AT, None).await.unwrap(), Written::Done);
        assert_eq!(store.delete(&second, AT, None).await.unwrap(), Written::Outdated);
        let late = next(&second, |user| user.name = "Late".to_owned());
        assert_eq!(replace(&store, &late, true, false).await.unwrap(), Written::Outdated);
        assert!(store.find(first.id).await.unwrap().is_none());
    }
    // A user who never existed.
    let nobody = next(&user("nobody@example.com", Role::Customer, AT), |_| {});
    assert_eq!(replace(&store, &nobody, true, false).await.unwrap(), Written::Outdated);
}

#[tokio::test]
async fn of_many_writes_at_one_version_one_is_done() {
    let (store, _) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    let writes: Vec<_> =
        (0..8).map(|number| next(&ada, |user| user.name = format!("Writer {number}"))).collect();
    let results = join_all(writes.iter().map(|user| replace(&store, user, true, false))).await;
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
async fn pages(store: &UserStore, query: &str, limit: i64) -> Vec<User> {
    let query = Query::parse(Some(query), &LIST_USERS.query_names());
    let listing = query.and_then(|query| Listing::from_query(&query));
    let listing = listing.unwrap_or_else(|error| panic!("{error:?}"));
    let request = PageRequest::new(Some(limit), None).unwrap_or_else(|error| panic!("{error:?}"));
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
        store.insert(&user, &hash(), None, None).await.unwrap();
        all.push(user);
    }
    let gone = all.remove(5);
    store.delete(&gone, AT, None).await.unwrap();
    all.sort_by_key(|user| std::cmp::Reverse((user.created_at, user.id.uuid())));
    for limit in [1, 2, 3, 5, 11, 100] {
        assert_eq!(pages(&store, "", limit).await, all, "{limit}");
        let staff: Vec<_> = all.iter().filter(|user| user.role == Role::Staff).cloned().collect();
        assert_eq!(pages(&store, "role=staff", limit).await, staff, "{limit}");
    }
    assert!(pages(&store, "role=admin", 2).await.is_empty());
}

#[tokio::test]
async fn lists_are_filtered_and_sorted_by_the_last_change() {
    let (store, _) = store().await;
    let at = |millis: i64| Timestamp::from_millis(AT.millis() + millis);
    for (place, role, status, updated) in [
        (0, Role::Customer, Status::Active, 40),
        (1, Role::Staff, Status::Disabled, 10),
        (2, Role::Admin, Status::Active, 30),
        (3, Role::Customer, Status::Active, 20),
    ] {
        let user = user(&format!("{place}@example.com"), role, at(place));
        let user = User { status, updated_at: at(updated), ..user };
        store.insert(&user, &hash(), None, None).await.unwrap();
    }
    let (from, to) = (format!("updated_from={}", at(20)), format!("updated_to={}", at(40)));
    for (query, expected) in [
        (String::new(), "3210"),
        ("role=customer,admin".to_owned(), "320"),
        ("role=staff,admin,staff&status=active,disabled".to_owned(), "21"),
        ("status=disabled".to_owned(), "1"),
        ("sort=created_at".to_owned(), "0123"),
        ("sort=updated_at".to_owned(), "1320"),
        ("sort=-updated_at".to_owned(), "0231"),
        ("sort=-updated_at&role=customer,staff".to_owned(), "031"),
        (format!("sort=updated_at&{from}"), "320"),
        (format!("sort=-updated_at&{from}&{to}"), "23"),
        (format!("{from}&{to}"), "32"),
        (format!("sort=created_at&{from}&status=active&role=customer"), "03"),
        (format!("sort=created_at&{to}"), "123"),
        (format!("updated_from={}&updated_to={}", at(40), at(20)), ""),
        (format!("email=0@example.com&{from}&role=staff,customer"), "0"),
        (format!("email=0@example.com&{to}"), ""),
        (format!("email=0@example.com&{from}&role=staff,admin"), ""),
    ] {
        for limit in [1, 3, 100] {
            let found = pages(&store, &query, limit).await;
            let places: String = found.iter().filter_map(|user| user.email.as_str().chars().next()).collect();
            assert_eq!(places, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn of_two_admins_who_resign_at_once_one_stays() {
    // Each round on a new database, without a guard document.
    for round in 0..8 {
        let (store, _) = store().await;
        let ada = stored(&store, "ada@example.com", Role::Admin).await;
        let bob = stored(&store, "bob@example.com", Role::Admin).await;
        let demoted = next(&ada, |ada| ada.role = Role::Customer);
        let disabled = next(&bob, |bob| bob.status = Status::Disabled);
        let (adas, bobs) = if round % 2 == 0 {
            futures::join!(replace(&store, &demoted, false, false), replace(&store, &disabled, false, false))
        } else {
            futures::join!(store.delete(&ada, AT, None), replace(&store, &disabled, false, false))
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
    store.insert(&disabled, &hash(), None, None).await.unwrap();
    stored(&store, "staff@example.com", Role::Staff).await;

    let results = join_all(admins.iter().map(|admin| store.delete(admin, AT, None))).await;
    let stayed = results.into_iter().filter(|result| *result.as_ref().unwrap() == Written::LastAdmin);
    assert_eq!(stayed.count(), 1);
    let active = doc! { "role": "admin", "status": "active" };
    assert_eq!(database.collection::<Document>("users").count_documents(active).await.unwrap(), 1);
}

/// Time from which all revocations of these tests count.
const SINCE: Timestamp = Timestamp::from_millis(1_800_000_000_000 - 1_200_000);

#[tokio::test]
async fn a_write_that_ends_sessions_revokes_until_it_is_old() {
    let (store, _) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    assert_eq!(store.revoked_since(SINCE).await.unwrap().users().count(), 0);
    let renamed = next(&ada, |ada| ada.name = "Ada".to_owned());
    assert_eq!(replace(&store, &renamed, true, false).await.unwrap(), Written::Done);
    assert_eq!(store.revoked_since(SINCE).await.unwrap().users().count(), 0);
    for (epoch, ends) in [(1, true), (2, true), (2, false)] {
        let stored = store.find(ada.id).await.unwrap().unwrap();
        let changed = next(&stored.user, |ada| ada.name = format!("Ada {}", stored.user.version));
        assert_eq!(replace(&store, &changed, true, ends).await.unwrap(), Written::Done);
        assert_eq!(store.find(ada.id).await.unwrap().unwrap().epoch, Epoch(epoch));
        let revoked = store.revoked_since(SINCE).await.unwrap();
        assert_eq!(revoked.users().collect::<Vec<_>>(), [(ada.id, Epoch(epoch))]);
        assert!(store.revoked_since(changed.updated_at).await.unwrap().users().next().is_none());
    }
}

/// Ends the sessions of a customer, of staff who stay, of staff who are demoted, and of staff who are deleted.
async fn four_revoked(store: &UserStore) -> [UserId; 4] {
    let mut users = Vec::new();
    for (number, role) in [Role::Customer, Role::Staff, Role::Staff, Role::Staff].into_iter().enumerate() {
        users.push(stored(store, &format!("{number}@example.com"), role).await);
    }
    let [customer, staff, demoted, deleted] = users.try_into().unwrap_or_else(|_| panic!("not four"));
    for (before, after) in [
        (&customer, next(&customer, |_| {})),
        (&staff, next(&staff, |_| {})),
        (&demoted, next(&demoted, |user| user.role = Role::Customer)),
    ] {
        let ends_sessions_of = Some(before.role);
        let change = Change {
            before,
            user: &after,
            new_hash: Some(&hash()),
            keeps_admin: true,
            ends_sessions_of,
            authority: None,
        };
        assert_eq!(store.write(change).await.unwrap_or_else(|error| panic!("{error:?}")), Written::Done);
    }
    // One who was staff and goes as a customer is still listed with the staff.
    let demoted_then_deleted = store.find(demoted.id).await.unwrap_or_else(|error| panic!("{error:?}"));
    for gone in [&deleted, &demoted_then_deleted.unwrap_or_else(|| panic!("nobody")).user] {
        let written = store.delete(gone, AT, None).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(written, Written::Done);
    }
    [customer.id, staff.id, demoted.id, deleted.id]
}

/// Revokes so many users of a kind, each a millisecond after the one before.
async fn revoke_many(database: &Database, count: i64, kind: Document) {
    let many = (1..=count).map(|millis| {
        let at = mongodb::bson::DateTime::from_millis(AT.millis() + millis);
        let id = UserId::new();
        let mut user = doc! {
            "_id": shared::mongo::uuid(id), "version": 2_i64, "epoch": 1_i64, "revoked_at": at, "created_at": at,
            "updated_at": at,
        };
        if !kind.get_str("status").is_ok_and(|status| status == "deleted") {
            let email = format!("{id}@example.com");
            user.extend(doc! { "email": &email, "email_key": email, "password_hash": "", "name": "A",
                "phone": mongodb::bson::Bson::Null, "address": mongodb::bson::Bson::Null });
        }
        user.extend(kind.clone());
        user
    });
    let users = database.collection::<Document>("users");
    users.insert_many(many).await.unwrap_or_else(|error| panic!("{error:?}"));
}

#[tokio::test]
async fn any_number_of_deleted_customers_crowds_out_nobody() {
    let (store, database) = store().await;
    let four = four_revoked(&store).await;
    let many = i64::try_from(MAX_DELETED).unwrap();
    revoke_many(&database, many + 1, doc! { "status": "deleted" }).await;
    let revoked = store.revoked_since(SINCE).await.unwrap();
    assert_eq!(revoked.users().count(), MAX_DELETED + 4);
    for user in four {
        assert!(revoked.users().any(|(listed, _)| listed == user));
    }
    assert_eq!(revoked.cutoffs(), Cutoffs::default());
}

#[tokio::test]
async fn too_many_revocations_are_covered_by_time_for_their_kind_alone() {
    let after = |millis| Some(Timestamp::from_millis(AT.millis() + millis));
    for (kind, cutoffs, left_out) in [
        (
            doc! { "status": "active", "role": "customer" },
            Cutoffs { customers: after(1), staff: None },
            vec![0],
        ),
        (
            doc! { "status": "disabled", "role": "staff", "was_staff": true },
            Cutoffs { customers: None, staff: after(1) },
            vec![1, 2, 3],
        ),
    ] {
        let (store, database) = store().await;
        let four = four_revoked(&store).await;
        revoke_many(&database, 5_001, kind).await;
        let revoked = store.revoked_since(SINCE).await.unwrap();
        assert_eq!(revoked.cutoffs(), cutoffs);
        for (number, user) in four.into_iter().enumerate() {
            assert_eq!(
                revoked.users().any(|(listed, _)| listed == user),
                !left_out.contains(&number),
                "{number}"
            );
        }
    }
}

/// Adds so many ended sessions, each a millisecond after the one before.
async fn end_many(database: &Database, count: i64, staff: bool) {
    let many = (1..=count).map(|millis| {
        let at = mongodb::bson::DateTime::from_millis(AT.millis() + millis);
        let [id, user] = [UserId::new(), UserId::new()].map(shared::mongo::uuid);
        doc! { "_id": id, "user": user, "epoch": 0_i64, "token": shared::mongo::binary(&[]), "signed_in_at": at,
        "expires_at": at, "staff": staff, "ended_at": at }
    });
    let sessions = database.collection::<Document>("user_sessions");
    sessions.insert_many(many).await.unwrap_or_else(|error| panic!("{error:?}"));
}

#[tokio::test]
async fn ended_sessions_of_customers_crowd_out_none_of_staff() {
    let (store, database) = store().await;
    let [customer, staff] = [Role::Customer, Role::Staff].map(|role| (UserId::new(), role));
    let mut ended = Vec::new();
    for (user, role) in [customer, staff] {
        let token = RefreshToken::first().unwrap();
        store.sessions().begin(&token, user, role, Epoch(0), AT).await.unwrap();
        assert!(!store.sessions().has_ended(user, token.family().session()).await.unwrap());
        assert!(store.sessions().end(token.family(), AT).await.unwrap());
        assert!(!store.sessions().end(token.family(), AT).await.unwrap(), "it has ended before");
        assert!(store.sessions().has_ended(user, token.family().session()).await.unwrap());
        ended.push(token.family().session());
    }
    let listed = async || store.revoked_since(SINCE).await.unwrap();
    let sessions: Vec<_> = listed().await.sessions().collect();
    assert!(sessions.len() == 2 && ended.iter().all(|session| sessions.contains(session)));
    end_many(&database, i64::try_from(MAX_ENDED_CUSTOMERS).unwrap(), false).await;
    let revoked = listed().await;
    assert_eq!(
        (revoked.sessions().count(), revoked.cutoffs()),
        (MAX_ENDED_CUSTOMERS + 1, Cutoffs::default())
    );
    assert!(revoked.sessions().any(|session| session == ended[1]));
    end_many(&database, 5_000, true).await;
    let revoked = listed().await;
    assert_eq!(revoked.sessions().count(), MAX_ENDED_CUSTOMERS + 5_000);
    assert_eq!(revoked.cutoffs(), Cutoffs { customers: None, staff: Some(AT) });
}

#[tokio::test]
async fn thirty_thousand_ended_sessions_crowd_out_no_other_customer() {
    let (store, database) = store().await;
    let (token, ada) = (RefreshToken::first().unwrap(), UserId::new());
    store.sessions().begin(&token, ada, Role::Customer, Epoch(0), AT).await.unwrap();
    assert!(store.sessions().end(token.family(), AT).await.unwrap());
    end_many(&database, 30_000, false).await;
    let revoked = store.revoked_since(SINCE).await.unwrap();
    assert!(revoked.sessions().any(|session| session == token.family().session()));
    assert_eq!(revoked.cutoffs(), Cutoffs::default());
}

#[tokio::test]
async fn an_epoch_rises_once_for_sign_ins_at_the_same_time() {
    let (store, _) = store().await;
    let ada = stored(&store, "ada@example.com", Role::Customer).await;
    let read = store.find(ada.id).await.unwrap().unwrap();
    let raised = join_all((0..8).map(|_| store.raise_epoch(&read, AT))).await;
    assert_eq!(raised.into_iter().filter(|raised| *raised.as_ref().unwrap()).count(), 1);
    assert_eq!(store.find(ada.id).await.unwrap().unwrap().epoch, Epoch(1));
    // What has begun in the new epoch stays.
    let tokens = [RefreshToken::first().unwrap(), RefreshToken::first().unwrap()];
    for (token, epoch) in tokens.iter().zip([Epoch(0), Epoch(1)]) {
        store.sessions().begin(token, ada.id, Role::Customer, epoch, AT).await.unwrap();
    }
    store.sessions().forget(ada.id, Epoch(0)).await.unwrap();
    let [old, new] = tokens.each_ref().map(|token| store.sessions().find(token.family(), AT));
    assert!(old.await.unwrap().is_none() && new.await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_is_changed_on_an_authority_that_has_ended() {
    let (store, _) = store().await;
    let root = stored(&store, "root@example.com", Role::Admin).await;
    let eve = stored(&store, "eve@example.com", Role::Admin).await;
    let victim = stored(&store, "victim@example.com", Role::Customer).await;
    let token = RefreshToken::first().unwrap();
    store.sessions().begin(&token, eve.id, Role::Admin, Epoch(0), AT).await.unwrap();
    let of = |epoch, session| {
        Some(Authority::new(eve.id, Role::Admin, Some(TokenOrigin { epoch: Epoch(epoch), session })))
    };
    let session = Some(token.family().session());
    let mut version = victim.clone();
    let mut changes = async |authority| {
        let new = user(&format!("{}@example.com", UserId::new()), Role::Admin, AT);
        let inserted = store.insert(&new, &hash(), None, authority).await.unwrap();
        let changed = next(&version, |user| user.name.push('.'));
        let change = Change {
            before: &version,
            user: &changed,
            new_hash: None,
            keeps_admin: true,
            ends_sessions_of: None,
            authority,
        };
        let written = store.write(change).await.unwrap();
        if written == Written::Done {
            version = changed;
        }
        (inserted, written)
    };
    let (done, refused) = ((Inserted::Done, Written::Done), (Inserted::NoAuthority, Written::NoAuthority));
    for good in [of(0, None), of(0, session), Some(Authority::new(eve.id, Role::Admin, None))] {
        assert_eq!(changes(good).await, done);
    }
    for bad in [of(1, None), Some(Authority::new(eve.id, Role::Staff, None))] {
        assert_eq!(changes(bad).await, refused);
    }
    store.sessions().end(token.family(), AT).await.unwrap();
    assert_eq!((changes(of(0, session)).await, changes(of(0, None)).await), (refused, done));
    // A new password, and then another role.
    let same = next(&eve, |_| {});
    assert_eq!(replace(&store, &same, true, true).await.unwrap(), Written::Done);
    assert_eq!((changes(of(0, None)).await, changes(of(1, None)).await), (refused, done));
    let disabled = next(&same, |eve| eve.status = Status::Disabled);
    assert_eq!(replace(&store, &disabled, false, true).await.unwrap(), Written::Done);
    for bad in [of(0, None), of(1, None), of(2, None), Some(Authority::new(eve.id, Role::Admin, None))] {
        assert_eq!(changes(bad).await, refused);
        let victim = store.find(victim.id).await.unwrap().unwrap().user;
        assert_eq!(store.delete(&victim, AT, bad).await.unwrap(), Written::NoAuthority);
        assert_eq!(store.delete(&root, AT, bad).await.unwrap(), Written::NoAuthority);
    }
}

/// Name by which the server knows the connections whose commits take long.
const SLOW: &str = "slow commits";

#[tokio::test]
async fn nobody_becomes_admin_by_one_whose_demotion_is_done() {
    let (store, database) = store().await;
    let uri = mongod::shared_for_tests().await.unwrap();
    let slow = shared::mongo::connect(uri, SLOW).await.unwrap().client().database(database.name());
    let slow = UserStore::new(&slow);
    stored(&store, "root@example.com", Role::Admin).await;
    let eve = stored(&store, "eve@example.com", Role::Admin).await;
    let authority = Some(Authority::new(eve.id, Role::Admin, Some(TokenOrigin::default())));
    let admins = async || {
        let users = database.collection::<Document>("users");
        users.count_documents(doc! { "role": "admin", "status": "active" }).await.unwrap()
    };

    // A transaction that has read what it relies on, and has not committed yet.
    let admin = database.client().database("admin");
    let block = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": {
        "failCommands": ["commitTransaction"], "appName": SLOW, "blockConnection": true, "blockTimeMS": 700,
    } };
    let before = admin.run_command(block).await.unwrap().get_i32("count").unwrap_or_default();
    let heir = user("heir@example.com", Role::Admin, AT);
    let hash = hash();
    let makes = slow.insert(&heir, &hash, None, authority);
    let demotes = async {
        let entered = doc! {
            "waitForFailPoint": "failCommand", "timesEntered": before + 1, "maxTimeMS": 10_000,
        };
        admin.run_command(entered).await.unwrap();
        let demoted = next(&eve, |eve| eve.role = Role::Customer);
        assert_eq!(replace(&store, &demoted, false, true).await.unwrap(), Written::Done);
        admins().await
    };
    let (made, known) = futures::join!(makes, demotes);
    assert_eq!(made.unwrap(), Inserted::Done);
    assert_eq!(known, 2, "the demotion was done before what relies on it");
    assert_eq!(admins().await, 2);
    let another = user("another@example.com", Role::Admin, AT);
    assert_eq!(slow.insert(&another, &hash, None, authority).await.unwrap(), Inserted::NoAuthority);
}
