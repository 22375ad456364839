//! Lists that refresh by themselves: the requests that their script sends.

use std::sync::atomic::Ordering;

use http::Method;
use tests::in_process::InProcess;

use super::{Browser, ORDERS, Page, Site};
use crate::support::clock::hand_moved_clock;

const PRODUCTS: &str = "/console/products";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Tag of the list that a page shows.
fn shown_tag(page: &Page) -> String {
    page.attributes("div", "data-tag").concat()
}

/// Asks for a list as its script does, if it is another than that of this tag.
async fn poll(browser: &mut Browser, path: &str, tag: &str) -> Page {
    let headers = [("hx-request", "true"), ("if-none-match", tag)];
    browser.send(Method::GET, path, None, &headers).await
}

#[tokio::test]
async fn a_list_is_sent_again_only_after_a_change() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (_, order) = site.shop.order_in("placed").await;
    for path in [ORDERS, PRODUCTS] {
        let page = browser.get(path).await.expect(200);
        let tag = shown_tag(&page);
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        assert_eq!(page.header("vary"), Some("hx-request"));
        // Keys of forms are new in each page, and no part of the tag.
        assert_eq!(shown_tag(&browser.get(path).await.expect(200)), tag);
        let answer = poll(&mut browser, path, &tag).await.expect(304);
        assert_eq!((answer.text.as_str(), answer.header("etag")), ("", Some(tag.as_str())));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let tag = shown_tag(&browser.get(ORDERS).await.expect(200));
    site.shop.admin().moves(&order, "paid").await.expect(200);
    let answer = poll(&mut browser, ORDERS, &tag).await.expect(200);
    assert!(answer.attributes("tr", "id").contains(&order), "{}", answer.text);
    let newer = answer.header("etag").unwrap().to_owned();
    assert_ne!(newer, tag);
    poll(&mut browser, ORDERS, &newer).await.expect(304);
}

#[tokio::test]
async fn a_poll_is_answered_by_the_list_alone() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(5).await;
    let answer = poll(&mut browser, PRODUCTS, "\"other\"").await.expect(200);
    assert!(answer.attributes("tr", "id").contains(&product), "{}", answer.text);
    for part in ["<html", "<main", "<nav class=\"places\"", "<form", "<script", "csrf"] {
        assert!(!answer.text.contains(part), "{part} in {}", answer.text);
    }
    assert_eq!(answer.header("vary"), Some("hx-request"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_list_polls_its_own_filters() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let path = "/console/orders?status=paid&sort=created_at";
    let page = browser.get(path).await.expect(200);
    let own = page.attributes("div", "hx-get").concat();
    assert_eq!(own, path);
    poll(&mut browser, &own, &shown_tag(&page)).await.expect(304);
}

#[tokio::test]
async fn a_poll_is_never_led_to_the_sign_in() {
    let site = Site::open().await;
    let answer = poll(&mut site.browser(), ORDERS, "\"other\"").await.expect(401);
    assert_eq!((answer.header("location"), answer.text.as_str()), (None, ""));
}

#[tokio::test]
async fn polls_alone_do_not_keep_a_session() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    // A token is exchanged near its end, and the poll repeated with the new cookie.
    for _ in 0..47 {
        now.fetch_add(15 * MINUTE, Ordering::SeqCst);
        let before = browser.cookies.clone();
        poll(&mut browser, ORDERS, "\"other\"").await.leads_to(ORDERS);
        assert_ne!(browser.cookies, before);
        poll(&mut browser, ORDERS, "\"other\"").await.expect(200);
    }
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    poll(&mut browser, ORDERS, "\"other\"").await.expect(401);
}

#[tokio::test]
async fn a_page_between_polls_keeps_a_session() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    for _ in 0..2 {
        // The poll exchanges the token, so the page has a good one. It notes its use all the same.
        now.fetch_add(11 * HOUR, Ordering::SeqCst);
        poll(&mut browser, ORDERS, "\"other\"").await.leads_to(ORDERS);
        browser.get(ORDERS).await.leads_to(ORDERS);
        browser.get(ORDERS).await.expect(200);
    }
}

#[tokio::test]
async fn a_session_outlives_a_lost_answer_of_a_page() {
    let (clock, now) = hand_moved_clock();
    let site = Site::of(InProcess::open_with_clock(clock).await);
    let mut browser = site.staff().await;
    now.fetch_add(14 * MINUTE + 1_000, Ordering::SeqCst);
    // A copy gets the new cookie. The browser still has the old one when it polls.
    browser.clone().get(ORDERS).await.leads_to(ORDERS);
    now.fetch_add(3_000, Ordering::SeqCst);
    poll(&mut browser, ORDERS, "\"other\"").await.leads_to(ORDERS);
    now.fetch_add(15 * MINUTE, Ordering::SeqCst);
    browser.get(ORDERS).await.leads_to(ORDERS);
    browser.get(ORDERS).await.expect(200);
}

#[tokio::test]
async fn scripts_are_own_files_of_signed_in_pages() {
    let site = Site::open().await;
    let mut browser = site.browser();
    assert!(!browser.get(super::SIGN_IN).await.expect(200).text.contains("<script"));
    let page = site.staff().await.get(ORDERS).await.expect(200);
    let paths = page.attributes("script", "src");
    assert_eq!((paths.len(), page.attributes("script", "integrity").len()), (3, 3));
    for path in paths {
        let script = browser.get(&path).await.expect(200);
        assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(script.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
}
