//! Sign-in, sessions and forged forms.

use std::sync::atomic::Ordering;

use form_urlencoded::byte_serialize;
use http::Method;
use serde_json::json;
use shared::http::base_path::BasePath;
use shared::http::edge::Edge;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::support::sign_in::WRONG;
use tests::support::users::path;

use super::{Browser, ORDERS, Page, SIGN_IN, SIGN_OUT, Site, filled};
use crate::support::clock::hand_moved_clock;

const MINUTE: i64 = 60 * 1000;
const HOUR: i64 = 60 * MINUTE;

/// Page whose form needs no order.
const COUNTING: &str = "/console/stock";

/// Path of the sign-in page that leads to another page.
fn sign_in_for(next: &str) -> String {
    format!("{SIGN_IN}?next={}", encoded(next))
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Asserts that the browser has no session, and keeps no cookie of one.
async fn assert_signed_out(browser: &mut Browser) {
    browser.get(ORDERS).await.leads_to(&sign_in_for(ORDERS));
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn staff_and_admins_sign_in_to_the_orders() {
    let site = Site::open().await;
    for person in [site.shop.staff().await, site.shop.admin()] {
        let mut browser = site.browser();
        let answer = browser.sign_in(&person.email, PASSWORD).await;
        answer.leads_to(ORDERS);
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.split("; ").any(|it| it == attribute), "{cookie}");
        }
        browser.get(ORDERS).await.expect(200).shows(&person.email);
        browser.get("/console").await.leads_to(ORDERS);
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_the_form() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    let mut browser = site.browser();
    for (email, password) in [(&*staff.email, WRONG), ("nobody@example.com", PASSWORD)] {
        let page = browser.sign_in(email, password).await.expect(403);
        page.shows("Wrong e-mail address or password");
        let form = page.form(SIGN_IN);
        for (name, value) in [("email", email), ("password", "")] {
            assert!(form.contains(&(name.to_owned(), value.to_owned())), "{form:?}");
        }
        assert!(!page.has(password));
        assert_signed_out(&mut browser).await;
    }
}

#[tokio::test]
async fn a_customer_gets_no_session() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let mut browser = site.browser();
    let page = browser.sign_in(&ada.email, PASSWORD).await.expect(403);
    page.shows("The console is for staff.");
    assert_eq!(page.header("set-cookie"), None);
    assert_signed_out(&mut browser).await;
}

#[tokio::test]
async fn every_page_leads_to_the_sign_in_and_back() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    let order = site.shop.order_in("placed").await.1;
    for next in [
        ORDERS,
        "/console/orders?status=paid&sku=a%20b",
        &format!("{ORDERS}/{order}"),
        "/console/products",
        &format!("/console/products/{}", site.shop.product(1).await),
    ] {
        let mut browser = site.browser();
        browser.get(next).await.leads_to(&sign_in_for(next));
        let page = browser.get(&sign_in_for(next)).await.expect(200);
        let credentials = [("email", &*staff.email), ("password", PASSWORD)];
        browser.submit(&page, SIGN_IN, &credentials).await.leads_to(next);
        browser.get(next).await.expect(200);
    }
    // A form cannot be sent again after the sign-in.
    let notes = format!("{ORDERS}/{order}/notes");
    site.browser().post(&notes, &[]).await.leads_to(&sign_in_for(&format!("{ORDERS}/{order}")));
    site.browser().post(SIGN_OUT, &[]).await.leads_to(SIGN_IN);
}

#[tokio::test]
async fn a_sign_in_leads_to_no_other_site() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    for next in [
        "https://evil.example/console/",
        "//evil.example/console/",
        "/\\evil.example",
        "/console//evil.example",
        "/console/\\evil.example",
        "/console/../evil.example",
        "javascript:alert('evil.example')",
        "/console/\r\nLocation: https://evil.example",
        "/console/sign-out",
        "/docs",
    ] {
        let mut browser = site.browser();
        let page = browser.get(&sign_in_for(next)).await.expect(200);
        assert!(!page.text.contains("evil.example"), "{next}");
        let credentials = [("email", &*staff.email), ("password", PASSWORD)];
        browser.submit(&page, SIGN_IN, &credentials).await.leads_to(ORDERS);
        // Also if the field itself is forged.
        let fields = filled(page.form(SIGN_IN), &[credentials[0], credentials[1], ("next", next)]);
        browser.post(SIGN_IN, &fields).await.leads_to(ORDERS);
    }
}

#[tokio::test]
async fn a_sign_out_ends_the_session_of_older_cookies_too() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    // A copy may read for up to a minute, until all functions know of the end. Its refresh token is void at once,
    // which shows when the access token has ended.
    for later in [MINUTE, 15 * MINUTE] {
        let mut browser = site.staff().await;
        let page = browser.get(ORDERS).await.expect(200);
        let mut copy = browser.clone();
        let signed_out = browser.submit(&page, SIGN_OUT, &[]).await;
        signed_out.leads_to(SIGN_IN);
        // The back button would show pages that the browser has kept in memory.
        assert_eq!(signed_out.header("clear-site-data"), Some("\"cache\""));
        assert!(browser.cookies.is_empty());
        assert_signed_out(&mut browser).await;
        now.fetch_add(later, Ordering::SeqCst);
        copy.get(ORDERS).await.leads_to(&sign_in_for(ORDERS));
    }
}

#[tokio::test]
async fn a_sign_out_ends_an_idle_session_too() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    let page = browser.get(ORDERS).await.expect(200);
    // A copy of the cookie is used, so its session lives on.
    let mut copy = browser.clone();
    for later in [HOUR, 11 * HOUR] {
        now.fetch_add(later, Ordering::SeqCst);
        copy.get(ORDERS).await.leads_to(ORDERS);
    }
    browser.submit(&page, SIGN_OUT, &[]).await.leads_to(SIGN_IN);
    assert!(browser.cookies.is_empty());
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    assert_signed_out(&mut copy).await;
}

#[tokio::test]
async fn a_sign_in_ends_the_session_before_it() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let staff = site.shop.staff().await;
    let mut browser = site.signed_in(&staff).await;
    let mut copy = browser.clone();
    // A refused one ends nothing.
    browser.sign_in(&staff.email, WRONG).await.expect(403);
    browser.get(ORDERS).await.expect(200);
    browser.sign_in(&staff.email, PASSWORD).await.leads_to(ORDERS);
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    assert_signed_out(&mut copy).await;
    browser.get(ORDERS).await.leads_to(ORDERS);
    browser.get(ORDERS).await.expect(200);
}

#[tokio::test]
async fn a_page_near_the_end_of_the_token_is_asked_for_again() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    now.fetch_add(14 * MINUTE + 1_000, Ordering::SeqCst);
    // The handler would answer 400.
    let path = "/console/orders?limit=0&other=a%20b";
    let answer = browser.get(path).await;
    answer.leads_to(path);
    assert!(answer.header("set-cookie").is_some_and(|cookie| !cookie.ends_with("Max-Age=0")));
    let answer = browser.get(path).await.expect(400);
    assert_eq!(answer.header("set-cookie"), None);
}

#[tokio::test]
async fn a_form_near_the_end_of_the_token_is_sent_again() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    let page = browser.get(COUNTING).await.expect(200);
    now.fetch_add(14 * MINUTE + 1_000, Ordering::SeqCst);
    let answer = browser.submit(&page, COUNTING, &[]).await.expect(307);
    assert_eq!(answer.header("location"), Some(COUNTING));
    assert!(answer.header("set-cookie").is_some_and(|cookie| !cookie.ends_with("Max-Age=0")));
    // The browser sends the same form with the new cookie. It has no lines.
    let answer = browser.submit(&page, COUNTING, &[]).await.expect(422);
    assert_eq!(answer.header("set-cookie"), None);
    browser.get(ORDERS).await.expect(200);
}

#[tokio::test]
async fn a_session_goes_on_until_it_is_not_used_for_hours() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    let first = browser.cookies.clone();
    // Nothing is sealed anew while the access token is good.
    now.fetch_add(13 * MINUTE, Ordering::SeqCst);
    browser.get(ORDERS).await.expect(200);
    assert_eq!(browser.cookies, first);
    // In its last minute, and after its end, it is exchanged.
    for later in [MINUTE + MINUTE / 2, 15 * MINUTE, 12 * HOUR - 1] {
        let before = browser.cookies.clone();
        now.fetch_add(later, Ordering::SeqCst);
        browser.get(ORDERS).await.leads_to(ORDERS);
        assert_ne!(browser.cookies, before, "{later}");
        browser.get(ORDERS).await.expect(200);
    }
    now.fetch_add(12 * HOUR, Ordering::SeqCst);
    assert_signed_out(&mut browser).await;
}

#[tokio::test]
async fn one_who_is_no_staff_any_more_is_signed_out() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let admin = site.shop.admin();
    let mut browsers = Vec::new();
    for change in [json!({ "role": "customer" }), json!({ "status": "disabled" })] {
        let staff = site.shop.staff().await;
        let mut browser = site.signed_in(&staff).await;
        browser.get(ORDERS).await.expect(200);
        admin.put(&path(&staff), change).await.expect(200);
        now.fetch_add(MINUTE, Ordering::SeqCst);
        browser.get(ORDERS).await.leads_to(&sign_in_for(ORDERS));
        browsers.push(browser);
    }
    // The cookie goes when the access token has ended too.
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    for browser in &mut browsers {
        assert_signed_out(browser).await;
    }
}

#[tokio::test]
async fn a_cookie_that_was_changed_is_no_session() {
    let site = Site::open().await;
    let browser = site.staff().await;
    let (name, value) = browser.cookies.first_key_value().unwrap();
    let last = value.len() - 1;
    let changed = [0, value.len() / 2, last].map(|place| {
        let other = if value[place..].starts_with('A') { "B" } else { "A" };
        format!("{}{other}{}", &value[..place], &value[place + 1..])
    });
    // Sealed by another process, whose key is another one.
    let foreign = Site::open().await.staff().await.cookies.remove(name).unwrap();
    let others = [foreign, value[..last].to_owned(), format!("{value}A"), "A".repeat(5_000)];
    for bad in changed.into_iter().chain(others) {
        let mut thief = site.browser();
        thief.cookies.insert(name.clone(), bad.clone());
        thief.get(ORDERS).await.leads_to(&sign_in_for(ORDERS));
        // It stays, since another environment may open it. A sign-out clears it.
        assert_eq!(thief.cookies.get(name), Some(&bad));
        thief.post(SIGN_OUT, &[]).await.leads_to(&format!("{SIGN_IN}?signed-out=here"));
        assert!(thief.cookies.is_empty());
    }
}

#[tokio::test]
async fn a_form_without_the_token_of_its_session_is_refused() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    let (mut browser, mut other) = (site.signed_in(&staff).await, site.signed_in(&staff).await);
    let good = browser.get(COUNTING).await.expect(200).form(COUNTING);
    let of_other = other.get(COUNTING).await.expect(200).form(COUNTING);
    let without = good.iter().filter(|(name, _)| name != "csrf").cloned().collect();
    for fields in [vec![], without, filled(good.clone(), &[("csrf", "")]), of_other.clone()] {
        assert_ne!(fields, good);
        let page = browser.post(COUNTING, &fields).await.expect(403);
        page.shows("The form belongs to another session. This time nothing was changed.");
        browser.get(ORDERS).await.expect(200);
    }
    // Without lines.
    browser.post(COUNTING, &good).await.expect(422);
    // A link or an image cannot send a form.
    browser.get(SIGN_OUT).await.expect(405);
    // A sign-out is taken also from a page of the session before.
    browser.post(SIGN_OUT, &of_other).await.leads_to(SIGN_IN);
    assert_signed_out(&mut browser).await;
    other.get(ORDERS).await.expect(200);
}

#[tokio::test]
async fn a_form_of_another_origin_is_refused() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    let mut browser = site.signed_in(&staff).await;
    let form = browser.get(ORDERS).await.expect(200).form(SIGN_OUT);
    let sign_in = site.browser().get(SIGN_IN).await.expect(200).form(SIGN_IN);
    let sign_in = filled(sign_in, &[("email", &staff.email), ("password", PASSWORD)]);
    let lookalike = format!("{}0", site.base);
    for origin in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", lookalike.as_str())],
        vec![("origin", site.base.as_str()), ("origin", "https://evil.example")],
        vec![("sec-fetch-site", "cross-site")],
        vec![],
    ] {
        let mut stranger = site.browser();
        for (browser, path, form) in [(&mut browser, SIGN_OUT, &form), (&mut stranger, SIGN_IN, &sign_in)] {
            let page = browser.send(Method::POST, path, Some(form), &origin).await.expect(403);
            page.shows("The form was not sent from a page of this console.");
        }
        assert!(stranger.cookies.is_empty(), "{origin:?}");
        browser.get(ORDERS).await.expect(200);
    }
    // An old browser may send no origin, if it says that the page is of the same one.
    let same = [("sec-fetch-site", "same-origin")];
    browser.send(Method::POST, SIGN_OUT, Some(&form), &same).await.leads_to(SIGN_IN);
}

#[tokio::test]
async fn below_a_base_path_every_link_has_it() {
    const BASE: &str = "/shop/v1";
    let edge = Edge::default().with_base_path(BasePath::parse(BASE).unwrap());
    let site = Site::of(InProcess::open_behind(edge).await);
    let order = site.shop.order_in("placed").await.1;
    let (sign_in, orders) = (format!("{BASE}{SIGN_IN}"), format!("{BASE}{ORDERS}"));
    let mut browser = site.browser();
    browser.get(&orders).await.leads_to(&format!("{sign_in}?next={}", encoded(ORDERS)));
    let page = browser.get(&sign_in).await.expect(200);
    let admin = site.shop.admin();
    let credentials = [("email", &*admin.email), ("password", PASSWORD)];
    browser.submit(&page, &sign_in, &credentials).await.leads_to(&orders);
    for path in [&orders, &format!("{orders}/{order}"), &format!("{BASE}/console/products")] {
        let page = browser.get(path).await.expect(200);
        for (element, attribute) in [("a", "href"), ("link", "href"), ("img", "src"), ("form", "action")] {
            for target in page.attributes(element, attribute).iter().filter(|it| !it.starts_with('#')) {
                assert!(target.starts_with("/shop/v1/console"), "{path}: {target}");
            }
        }
    }
    browser.get(ORDERS).await.expect(404);
}

/// Headers of every answer.
const SECURITY: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

#[track_caller]
fn assert_secured(page: &Page) {
    for (name, value) in SECURITY {
        let values: Vec<_> = page.headers.get_all(name).into_iter().collect();
        assert_eq!(values, [value], "{name} of {}", page.request);
    }
    assert!(page.headers.contains_key("x-request-id"), "{}", page.request);
    // The policy would forbid them: they would be without effect.
    for inline in ["<script>", "<style", " style=\"", " onclick=\"", "javascript:"] {
        assert!(!page.text.contains(inline), "{inline} in {}", page.request);
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let site = Site::open().await;
    let (mut browser, mut stranger) = (site.staff().await, site.browser());
    let order = format!("{ORDERS}/{}", site.shop.order_in("shipped").await.1);
    let product = format!("/console/products/{}", site.shop.product(1).await);
    for (path, status) in [
        (SIGN_IN, 200),
        ("/console", 303),
        (ORDERS, 200),
        ("/console/orders?q=nothing", 200),
        ("/console/orders?limit=0", 400),
        (&*order, 200),
        ("/console/orders/order_01h455vb4pex5vsknk084sn02q", 404),
        ("/console/products", 200),
        (&*product, 200),
        ("/console/nothing", 404),
        ("/console/assets/nothing.css", 404),
        (SIGN_OUT, 405),
    ] {
        assert_secured(&browser.get(path).await.expect(status));
    }
    assert_secured(&browser.post(ORDERS, &[]).await.expect(405));
    assert_secured(&browser.post(COUNTING, &[]).await.expect(403));
    assert_secured(&stranger.get(ORDERS).await.expect(303));
    assert_secured(&stranger.sign_in("nobody@example.com", PASSWORD).await.expect(403));

    // The files of the pages need no session, and are the only ones that may be kept.
    let page = stranger.get(SIGN_IN).await.expect(200);
    let files = page.attributes("link", "href");
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let file = stranger.get(&file).await.expect(200);
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert!(file.header("cache-control").is_some_and(|value| value.contains("immutable")));
    }
}
