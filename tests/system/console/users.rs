//! Users in the console: the list, the page of one, and creating and deleting one.

use serde_json::{Value, json};
use tests::person::{PASSWORD, Person};
use tests::shop::new_email;

use super::{Browser, Page, Site, filled};

const USERS: &str = "/console/users";
const NEW: &str = "/console/users/new";

/// A password that nobody has yet.
const NEW_PASSWORD: &str = "seven quiet purple lanterns";

/// Markup that must stay text.
const EVIL: &str = "\"><script>alert(1)</script>";

/// Path of a user's page.
fn path(user: &str) -> String {
    format!("{USERS}/{user}")
}

/// A browser in which the first admin has signed in.
async fn admin(site: &Site) -> Browser {
    site.signed_in(&site.shop.admin()).await
}

/// Field of a user, as the API shows it to the admin.
async fn seen(site: &Site, user: &str, field: &str) -> Value {
    site.shop.admin().get(&format!("/users/{user}")).await.expect(200)[field].clone()
}

/// Changes a user by the API, as somebody else does.
async fn changes(site: &Site, user: &str, change: Value) {
    site.shop.admin().put(&format!("/users/{user}"), change).await.expect(200);
}

/// True if the page has a link to the page of this person.
fn lists(page: &Page, person: &Person) -> bool {
    page.attributes("a", "href").contains(&path(&person.id))
}

/// Value of a field in the form with this action.
fn value(page: &Page, action: &str, name: &str) -> String {
    let found = page.form(action).into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

#[tokio::test]
async fn a_list_of_users_is_searched() {
    let site = Site::open().await;
    let (ada, ben) = (site.shop.customer().await, site.shop.staff().await);
    let mut browser = site.staff().await;
    let page = browser.get(&format!("{USERS}?email={}", ada.email.to_uppercase())).await.expect(200);
    assert!(lists(&page, &ada) && !lists(&page, &ben), "{}", page.text);
    assert_eq!(value(&page, USERS, "email"), ada.email.to_uppercase());
    let page = browser.get(&format!("{USERS}?email={}", new_email())).await.expect(200);
    page.shows("No user matches these filters.");
    assert_eq!(page.link("Show all users"), USERS);
}

#[tokio::test]
async fn users_are_filtered_by_role_status_and_time() {
    let site = Site::open().await;
    let (ada, ben) = (site.shop.customer().await, site.shop.staff().await);
    changes(&site, &ben.id, json!({ "status": "disabled" })).await;
    let mut browser = site.staff().await;
    for (filter, has_ada, has_ben) in [
        ("role=customer", true, false),
        ("role=staff&role=admin", false, true),
        ("role=staff&role=customer", true, true),
        ("status=disabled", false, true),
        ("status=active&status=disabled", true, true),
        ("role=staff&status=active", false, false),
        ("updated_from=2000-01-01T00%3A00", true, true),
        ("updated_to=2000-01-01", false, false),
        ("sort=-updated_at", true, true),
    ] {
        let page = browser.get(&format!("{USERS}?{filter}")).await.expect(200);
        assert_eq!((lists(&page, &ada), lists(&page, &ben)), (has_ada, has_ben), "{filter}");
    }
    let page = browser.get(&format!("{USERS}?role=staff&sort=created_at")).await.expect(200);
    assert_eq!(value(&page, USERS, "role"), "staff");
    assert_eq!(value(&page, USERS, "sort"), "created_at");
}

#[tokio::test]
async fn a_filter_of_users_that_is_none_is_kept() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    for (name, bad, fault) in [
        ("email", "ada", "`email` must be an e-mail address"),
        ("updated_from", "yesterday", "`updated_from` must be a date"),
        ("updated_to", "0", "`updated_to` must be a date"),
    ] {
        let page = browser.get(&format!("{USERS}?{name}={bad}")).await.expect(400);
        page.shows(fault);
        assert_eq!(value(&page, USERS, name), bad);
    }
}

#[tokio::test]
async fn an_admin_edits_a_user() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let page = browser.get(&path).await.expect(200);
    assert_eq!(page.link("Orders of this user"), format!("/console/orders?user_id={}", ada.id));
    let email = new_email();
    let fields = [
        ("name", "Ada L."),
        ("email", &*email),
        ("phone", "+49 228 1"),
        ("address/line1", "1 Way"),
        ("address/city", "Bonn"),
        ("address/country", "de"),
    ];
    browser.submit(&page, &path, &fields).await.leads_to(&format!("{path}?done=saved"));
    assert_eq!(seen(&site, &ada.id, "name").await, "Ada L.");
    assert_eq!(seen(&site, &ada.id, "email").await, *email);
    assert_eq!(seen(&site, &ada.id, "phone").await, "+49 228 1");
    assert_eq!(seen(&site, &ada.id, "address").await["country"], "DE");
    let page = browser.get(&format!("{path}?done=saved")).await.expect(200);
    page.shows("The user is saved.");
    // Empty fields clear what may be absent.
    let none = [("phone", ""), ("address/line1", ""), ("address/city", ""), ("address/country", "")];
    browser.submit(&page, &path, &none).await.expect(303);
    assert_eq!(seen(&site, &ada.id, "phone").await, Value::Null);
    assert_eq!(seen(&site, &ada.id, "address").await, Value::Null);
}

#[tokio::test]
async fn a_user_that_somebody_else_changed_is_asked_again() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let page = browser.get(&path).await.expect(200);
    changes(&site, &ada.id, json!({ "name": "Theirs" })).await;
    let refused = browser.submit(&page, &path, &[("name", "Mine")]).await.expect(412);
    refused.shows("It was changed since you opened this page");
    refused.shows("Theirs");
    assert_eq!(value(&refused, &path, "name"), "Mine");
    assert_eq!(seen(&site, &ada.id, "name").await, "Theirs");
    browser.submit(&refused, &path, &[]).await.leads_to(&format!("{path}?done=saved"));
    assert_eq!(seen(&site, &ada.id, "name").await, "Mine");
}

#[tokio::test]
async fn a_refused_edit_of_a_user_keeps_its_fields() {
    let site = Site::open().await;
    let (ada, ben) = (site.shop.customer().await, site.shop.customer().await);
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let page = browser.get(&path).await.expect(200);
    let bad = [
        ("name", ""),
        ("email", "ada"),
        ("phone", "1"),
        ("address/line1", "1 Way"),
        ("address/country", "XX"),
    ];
    let refused = browser.submit(&page, &path, &bad).await.expect(422);
    for (name, typed) in bad {
        assert_eq!(value(&refused, &path, name), typed, "{name}");
    }
    refused.shows("must be an ISO 3166-1 alpha-2 code");
    assert_eq!(refused.attributes("input", "aria-invalid").len(), 5, "{}", refused.text);
    // The address of somebody else is told as such.
    let taken = [("name", "Ada L."), ("email", &*ben.email)];
    let refused = browser.submit(&page, &path, &taken).await.expect(409);
    assert_eq!(value(&refused, &path, "name"), "Ada L.");
    assert_eq!(seen(&site, &ada.id, "name").await, "Somebody");
}

#[tokio::test]
async fn staff_see_others_and_change_themselves_alone() {
    let site = Site::open().await;
    let (ada, ben) = (site.shop.customer().await, site.shop.staff().await);
    let mut browser = site.signed_in(&ben).await;
    let (others, own) = (path(&ada.id), path(&ben.id));
    let list = browser.get(USERS).await.expect(200);
    assert!(!list.has_link("Create a user"), "{}", list.text);
    let page = browser.get(&others).await.expect(200);
    page.shows("Only admins may change other users.");
    for form in ["", "/access", "/password", "/delete"] {
        assert!(page.forms(&format!("{others}{form}")).is_empty(), "{form}");
    }
    browser.get(&format!("{others}/delete")).await.expect(403);
    browser.get(NEW).await.expect(403);

    // A form of their own page, sent to that of somebody else.
    let page = browser.get(&own).await.expect(200);
    assert!(page.forms(&format!("{own}/access")).is_empty(), "{}", page.text);
    let version = seen(&site, &ada.id, "version").await.to_string();
    let forged = filled(page.form(&own), &[("name", "Forged"), ("role", "admin"), ("version", &*version)]);
    for form in ["", "/access", "/delete"] {
        browser.post(&format!("{others}{form}"), &forged).await.expect(403);
    }
    browser.post(&format!("{own}/access"), &forged).await.expect(403);
    browser.post(NEW, &forged).await.expect(403);
    assert_eq!(seen(&site, &ada.id, "name").await, "Somebody");
    assert_eq!(seen(&site, &ben.id, "role").await, "staff");

    browser.submit(&page, &own, &[("name", "Ben")]).await.leads_to(&format!("{own}?done=saved"));
    assert_eq!(seen(&site, &ben.id, "name").await, "Ben");
}

#[tokio::test]
async fn an_own_password_needs_the_current_one() {
    let site = Site::open().await;
    let ben = site.shop.staff().await;
    let (mut browser, own) = (site.signed_in(&ben).await, path(&ben.id));
    let form = format!("{own}/password");
    let page = browser.get(&own).await.expect(200);
    page.shows("A new password ends all of your sessions");
    let refused = browser.submit(&page, &form, &[("password", NEW_PASSWORD)]).await.expect(422);
    refused.shows("is required to change");
    assert!(!refused.text.contains(NEW_PASSWORD), "{}", refused.text);
    let both = [("password", NEW_PASSWORD), ("current_password", PASSWORD)];
    browser.submit(&refused, &form, &both).await.leads_to(&format!("{own}?done=password"));
    site.browser().sign_in(&ben.email, NEW_PASSWORD).await.expect(303);
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_of_the_user() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let form = format!("{path}/password");
    let page = browser.get(&path).await.expect(200);
    page.shows("A new password ends all sessions of this user at once.");
    let refused = browser.submit(&page, &form, &[("password", "too-short-x")]).await.expect(422);
    assert!(!refused.text.contains("too-short-x"), "{}", refused.text);
    ada.get(&format!("/users/{}", ada.id)).await.expect(200);
    let sent = browser.submit(&refused, &form, &[("password", NEW_PASSWORD)]).await;
    sent.leads_to(&format!("{path}?done=password"));
    ada.get(&format!("/users/{}", ada.id)).await.expect(401);
    site.shop.anyone().signs_in(&ada.email, NEW_PASSWORD).await;
}

#[tokio::test]
async fn an_admin_changes_role_and_status() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let form = format!("{path}/access");
    let page = browser.get(&path).await.expect(200);
    page.shows("A change of role or status ends all sessions");
    let fields = [("role", "staff"), ("status", "disabled")];
    browser.submit(&page, &form, &fields).await.leads_to(&format!("{path}?done=access"));
    assert_eq!(seen(&site, &ada.id, "role").await, "staff");
    assert_eq!(seen(&site, &ada.id, "status").await, "disabled");
    ada.get(&format!("/users/{}", ada.id)).await.expect(401);
    // The same form again is one of an old page.
    browser.submit(&page, &form, &[("role", "admin")]).await.expect(412);
    assert_eq!(seen(&site, &ada.id, "role").await, "staff");
}

#[tokio::test]
async fn a_user_is_deleted_after_a_confirmation() {
    let site = Site::open().await;
    let (ada, order) = site.shop.order_in("placed").await;
    let (mut browser, path) = (admin(&site).await, path(&ada.id));
    let form = format!("{path}/delete");
    let link = browser.get(&path).await.expect(200).link("Delete this user…");
    assert_eq!(link, form);
    let page = browser.get(&link).await.expect(200);
    page.shows("This cannot be undone.");
    page.shows("Their orders stay");
    page.shows(&ada.email);
    assert_eq!(page.link("Keep this user"), path);

    changes(&site, &ada.id, json!({ "name": "Theirs" })).await;
    let refused = browser.submit(&page, &form, &[]).await.expect(412);
    refused.shows("Theirs");
    refused.shows("Do you still want to delete it?");
    assert_eq!(seen(&site, &ada.id, "name").await, "Theirs");

    let done = format!("{USERS}?done=deleted");
    browser.submit(&refused, &form, &[]).await.leads_to(&done);
    browser.get(&done).await.expect(200).shows("The user is deleted.");
    browser.get(&path).await.expect(404);
    browser.submit(&refused, &form, &[]).await.expect(404);
    site.shop.admin().get(&format!("/users/{}", ada.id)).await.expect(404);
    site.shop.admin().get(&format!("/orders/{order}")).await.expect(200);
}

#[tokio::test]
async fn an_admin_creates_a_user_once() {
    let site = Site::open().await;
    let mut browser = admin(&site).await;
    let email = new_email();
    let page = browser.get(NEW).await.expect(200);
    let bad = [("name", "Ada"), ("email", "ada"), ("password", "too-short-x"), ("role", "staff")];
    let refused = browser.submit(&page, NEW, &bad).await.expect(422);
    assert_eq!(value(&refused, NEW, "name"), "Ada");
    assert_eq!(value(&refused, NEW, "email"), "ada");
    assert_eq!(value(&refused, NEW, "role"), "staff");
    assert!(!refused.text.contains("too-short-x"), "{}", refused.text);

    let form = filled(refused.form(NEW), &[("email", &*email), ("password", NEW_PASSWORD)]);
    let created = browser.post(NEW, &form).await.expect(303);
    let again = browser.post(NEW, &form).await.expect(303);
    assert_eq!(created.header("location"), again.header("location"));
    let page = browser.get(created.header("location").unwrap()).await.expect(200);
    page.shows("The user is created.");
    page.shows(&email);
    site.shop.anyone().signs_in(&email, NEW_PASSWORD).await;

    // Another form cannot have the same address.
    let page = browser.get(NEW).await.expect(200);
    let taken = [("name", "Eve"), ("email", &*email), ("password", NEW_PASSWORD)];
    let refused = browser.submit(&page, NEW, &taken).await.expect(409);
    assert_eq!(value(&refused, NEW, "name"), "Eve");
}

#[tokio::test]
async fn texts_of_users_are_escaped() {
    let site = Site::open().await;
    let mut browser = admin(&site).await;
    let short = "\"><script>x";
    let address = json!({
        "name": EVIL, "company": EVIL, "phone": short, "line1": EVIL, "line2": EVIL, "city": EVIL,
        "region": EVIL, "postal_code": short, "country": "DE",
    });
    let email = new_email();
    let user = json!({
        "email": email, "password": PASSWORD, "name": EVIL, "phone": short, "address": address,
    });
    let path = path(&site.shop.admin().post("/users", user).await.expect(201).id());
    let page = browser.get(&path).await.expect(200);
    let sent = browser.submit(&page, &path, &[("phone", EVIL), ("address/country", "\">")]).await;
    let refused = sent.expect(422);
    let asked = browser.get(&format!("{path}/delete")).await.expect(200);
    let list = browser.get(&format!("{USERS}?email={email}")).await.expect(200);
    let searched = browser.get(&format!("{USERS}?email=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")).await;
    for page in [page, refused, asked, list, searched.expect(400)] {
        page.shows(EVIL);
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
}

#[tokio::test]
async fn an_order_leads_to_the_page_of_its_customer() {
    let site = Site::open().await;
    let (ada, order) = site.shop.order_in("placed").await;
    let mut browser = site.staff().await;
    let page = browser.get(&format!("/console/orders/{order}")).await.expect(200);
    assert!(lists(&page, &ada), "{}", page.text);
}

#[tokio::test]
async fn a_user_that_there_is_not_is_a_page_of_its_own() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    for id in ["user_00000000000000000000000000", "x", "%3Cscript%3E"] {
        let page = browser.get(&path(id)).await.expect(404);
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
    let page = browser.get(&format!("{USERS}?done=Buy+now")).await.expect(200);
    assert!(!page.has("Buy now"), "{}", page.text);
}
