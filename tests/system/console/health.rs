//! Health of the shop: the consistency check, documents that cannot be read, and the jobs of Reconcile.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ::console::session::SealKey;
use mongodb::bson::{self, Document, doc};
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::server::RpcServer;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::OrderId;
use tests::in_process::InProcess;
use tokio::net::TcpListener;
use tonic::Code;

use super::{Browser, Page, SIGN_IN, Site};
use crate::support::aging::{HOUR, MINUTE, stored_id, stored_product};
use crate::support::branch::{Branch, Line};

const PATH: &str = "/console/health";

/// A browser in which the shop's admin has signed in.
async fn admin(site: &Site) -> Browser {
    site.signed_in(&site.shop.admin()).await
}

/// A site whose clock a test moves. Journals are folded before it moves.
struct Aged {
    site: Site,
    clock: Clock,
    now: Arc<AtomicI64>,
}

impl Aged {
    async fn open() -> Self {
        let now = Arc::new(AtomicI64::new(Clock::system().now().millis()));
        let hand = now.clone();
        let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
        Self { site: Site::of(InProcess::open_with_clock(clock.clone()).await), clock, now }
    }

    async fn ages(&self, millis: i64) {
        self.site.shop.fold(&self.clock).await.unwrap();
        self.now.fetch_add(millis, Ordering::SeqCst);
    }
}

/// Changes a document, past everything that guards it.
async fn damage(site: &Site, collection: &str, id: bson::Uuid, fields: Document) {
    let all = site.shop.database.collection::<Document>(collection);
    let set = all.update_one(doc! { "_id": id }, doc! { "$set": fields });
    assert_eq!(set.bypass_document_validation(true).await.unwrap().matched_count, 1);
}

/// Number of badges with this word.
fn badges(page: &Page, state: &str) -> usize {
    let class = format!("badge badge-{state}");
    page.attributes("span", "class").into_iter().filter(|it| *it == class).count()
}

#[tokio::test]
async fn a_shop_that_is_well_is_checked_on_one_page() {
    let site = Site::open().await;
    let mug = site.shop.product(10).await;
    site.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201);
    let page = admin(&site).await.get(PATH).await.expect(200);
    page.shows("All was checked, and nothing is wrong: 1 product and 1 order.");
    page.shows("All documents of this page of the check can be read.");
    assert!(!page.has_link("Check the next"), "{}", page.text);
    assert_eq!(page.link("Check from the beginning"), PATH);
    assert_eq!(page.current(), ["Health"]);
    assert_eq!([badges(&page, "on_time"), badges(&page, "behind")], [6, 0], "{}", page.text);
    assert!(!page.has("Set aside by"), "{}", page.text);
}

#[tokio::test]
async fn a_violation_leads_to_its_order_and_its_product() {
    let aged = Aged::open().await;
    let site = &aged.site;
    let mug = site.shop.product(10).await;
    let order = site.shop.customer().await.orders(&[(&mug, 3)]).await.expect(201).id();
    aged.ages(10 * MINUTE).await;
    let holds = site.shop.database.collection::<Document>("stock_holds");
    let deleted = holds.delete_one(doc! { "_id": stored_id(&order) }).await.unwrap();
    assert_eq!(deleted.deleted_count, 1);
    damage(site, "stock", stored_product(&mug), doc! { "reserved": 0_i64 }).await;
    let mut browser = admin(site).await;
    let page = browser.get(PATH).await.expect(200);
    page.shows("All was checked: 1 product and 1 order. There is 1 violation.");
    for text in ["Units are left to ship, and none is held", "order-without-hold", "3 left, and none held"] {
        page.shows(text);
    }
    let paths = [format!("/console/orders/{order}"), format!("/console/products/{mug}")];
    assert_eq!([page.link(&order), page.link(&mug)], paths);
    for path in paths {
        browser.get(&path).await.expect(200);
    }
}

#[tokio::test]
async fn documents_that_cannot_be_read_are_named() {
    let site = Site::open().await;
    let (mug, pot) = (site.shop.product(10).await, site.shop.product(10).await);
    let order = site.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201).id();
    damage(&site, "orders", stored_id(&order), doc! { "items": 7 }).await;
    damage(&site, "products", stored_product(&pot), doc! { "name": 7 }).await;
    let page = admin(&site).await.get(PATH).await.expect(200);
    page.shows("All was checked: 2 products and 1 order. There are 2 violations.");
    for id in [&order, &pot] {
        assert!(page.text.contains(&format!("<code>{id}</code>")), "{id} in {}", page.text);
        // They have no page.
        assert!(!page.has_link(id), "{}", page.text);
    }
    page.shows("a field is missing or has another type");
    assert!(!page.has(&mug), "{}", page.text);
}

#[tokio::test]
async fn a_long_check_goes_on_and_adds_up() {
    let site = Site::open().await;
    let orders = site.shop.database.collection::<Document>("orders");
    let bare = (0..301).map(|_| doc! { "_id": mongo::uuid(OrderId::new()), "status": "placed" });
    orders.insert_many(bare).bypass_document_validation(true).await.unwrap();
    let mut browser = admin(&site).await;
    let first = browser.get(PATH).await.expect(200);
    first.shows("Checked so far: 0 products and 300 orders. There are 300 violations.");
    first.shows("The rest is not checked yet.");
    assert!(!first.has("earlier page"), "{}", first.text);
    let last = browser.get(&first.link("Check the next")).await.expect(200);
    last.shows("All was checked: 0 products and 301 orders. There are 301 violations.");
    last.shows("300 of them are on earlier pages.");
    assert!(!last.has_link("Check the next"), "{}", last.text);
}

#[tokio::test]
async fn a_cursor_that_is_none_leads_to_the_beginning() {
    let site = Site::open().await;
    let mut browser = admin(&site).await;
    let page = browser.get(&format!("{PATH}?cursor=x&products=7&violations=2")).await.expect(400);
    page.shows("`cursor` is not valid");
    assert!(!page.has_link("Go on with the check") && !page.has("7 products"), "{}", page.text);
    browser.get(&page.link("Check from the beginning")).await.expect(200);
    // Counts are believed beside a cursor alone.
    let page = browser.get(&format!("{PATH}?products=7&violations=2")).await.expect(200);
    page.shows("All was checked, and nothing is wrong: 0 products and 0 orders.");
}

#[tokio::test]
async fn a_job_that_is_behind_is_shown_to_staff() {
    let aged = Aged::open().await;
    let site = &aged.site;
    let mug = site.shop.product(10).await;
    let staff = site.shop.staff().await;
    site.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201);
    aged.ages(25 * HOUR).await;
    let mut browser = site.signed_in(&staff).await;
    let page = browser.get(PATH).await.expect(200);
    page.shows("1 h 0 min");
    assert_eq!([badges(&page, "on_time"), badges(&page, "behind")], [5, 1], "{}", page.text);
    page.shows("Only admins may run this check.");
    assert!(!page.has("All was checked"), "{}", page.text);
    site.shop.backend.reconcile().await.unwrap();
    site.shop.fold(&aged.clock).await.unwrap();
    let page = browser.get(PATH).await.expect(200);
    assert_eq!([badges(&page, "on_time"), badges(&page, "behind")], [6, 0], "{}", page.text);
}

#[tokio::test]
async fn orders_that_are_set_aside_are_listed_with_reasons() {
    let aged = Aged::open().await;
    let site = &aged.site;
    let mug = site.shop.product(10).await;
    let staff = site.shop.staff().await;
    let order = site.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201).id();
    damage(site, "orders", stored_id(&order), doc! { "items": 7 }).await;
    aged.ages(25 * HOUR).await;
    site.shop.backend.reconcile().await.unwrap();
    let page = site.signed_in(&staff).await.get(PATH).await.expect(200);
    page.shows("Set aside by expiry");
    page.shows("It cannot be read");
    assert!(page.text.contains(&format!("<code>{order}</code>")), "{}", page.text);
    assert_eq!(badges(&page, "behind"), 1, "{}", page.text);
}

#[tokio::test]
async fn the_health_is_shown_to_staff_and_admins_alone() {
    let site = Site::open().await;
    let ada = site.shop.customer().await;
    let mut browser = site.browser();
    browser.sign_in(&ada.email, tests::person::PASSWORD).await.expect(403);
    for mut browser in [browser, site.browser()] {
        let page = browser.get(PATH).await.expect(303);
        assert!(page.header("location").unwrap().starts_with(SIGN_IN), "{:?}", page.headers);
    }
}

#[tokio::test]
async fn what_products_does_not_tell_leaves_the_rest() {
    let mut site = Site::open().await;
    let mug = site.shop.product(10).await;
    site.shop.customer().await.orders(&[(&mug, 1)]).await.expect(201);
    let branch = Branch::of(&site.shop).await;
    site.base = console_of(&site.shop, branch.rpc.clone()).await;
    let mut browser = admin(&site).await;
    branch.line(Line::Away(Code::Unavailable));
    let page = browser.get(PATH).await.expect(200);
    page.shows("Products does not answer, so the check cannot go on.");
    page.shows("Not known: products does not answer");
    assert_eq!([badges(&page, "on_time"), badges(&page, "unknown")], [3, 3], "{}", page.text);
    page.shows("Nothing was read yet.");
    assert!(!page.has("10.0.0.7"), "{}", page.text);
    branch.line(Line::Works);
    let page = browser.get(&page.link("Check from the beginning")).await.expect(200);
    page.shows("All was checked, and nothing is wrong: 1 product and 1 order.");
    assert_eq!(badges(&page, "on_time"), 6, "{}", page.text);
}

/// Opens a console of a shop with another orders function. Returns its URL.
async fn console_of(shop: &InProcess, orders: RpcServer) -> String {
    let clock = Clock::system();
    let channel = |rpc: &RpcServer| Channel::new(Arc::new(rpc.clone()), clock.clone());
    let app = ::console::app(::console::Dependencies {
        users: channel(&shop.backend.users.rpc),
        products: channel(&shop.backend.products.rpc),
        orders: channel(&orders),
        seal: SealKey::random(),
        origin: ::console::OwnOrigin::OfHost,
        clock: clock.clone(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, app.router)));
    base
}
