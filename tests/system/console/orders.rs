//! The list of orders: views, filters, pages and search.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use form_urlencoded::Serializer;
use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address};
use tests::shop::order_of;

use super::{Browser, ORDERS, Page, Site, filled};
use crate::support::clock::hand_moved_clock;

/// IDs of the orders that a page lists, sorted.
fn listed(page: &Page) -> Vec<String> {
    let targets = page.attributes("a", "href");
    let ids = targets.iter().filter_map(|target| target.strip_prefix("/console/orders/"));
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

fn sorted(ids: &[&String]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
    ids.sort_unstable();
    ids
}

/// Path of the list with these parameters.
fn path(parameters: &[(&str, &str)]) -> String {
    format!("{ORDERS}?{}", Serializer::new(String::new()).extend_pairs(parameters).finish())
}

async fn search(browser: &mut Browser, text: &str) -> Page {
    browser.get(&path(&[("q", text)])).await
}

fn order_page(id: &str) -> String {
    format!("{ORDERS}/{id}")
}

#[tokio::test]
async fn each_saved_view_shows_its_orders() {
    let site = Site::open().await;
    let admin = site.shop.admin();
    let overdue = site.shop.order_in("paid").await.1;
    let stored = site.shop.database.collection::<Document>("orders");
    let id = mongo::uuid(overdue.parse::<OrderId>().unwrap());
    let three_days_ago = mongo::date(Clock::system().now().before(Duration::from_secs(3 * 24 * 60 * 60)));
    stored.update_one(doc! { "_id": id }, doc! { "$set": { "created_at": three_days_ago } }).await.unwrap();
    let mut browser = site.staff().await;
    let mut orders = Vec::new();
    for status in ["placed", "paid", "shipped", "delivered", "cancelled", "paid, cancelled"] {
        orders.push(site.shop.order_in(status).await.1);
    }
    let [placed, paid, shipped, delivered, cancelled, to_refund] = orders.as_slice() else {
        panic!("{orders:?}");
    };
    let item = admin.get(&format!("/orders/{delivered}")).await.expect(200)["items"][0]["id"].clone();
    let wish = json!({ "items": [{ "id": item, "quantity": 1 }] });
    admin.post(&format!("/orders/{delivered}/returns"), wish).await.expect(201);
    let page = browser.get(ORDERS).await.expect(200);
    for (view, expected) in [
        ("All", vec![&overdue, placed, paid, shipped, delivered, cancelled, to_refund]),
        ("To pay", vec![placed]),
        ("To pack", vec![&overdue, paid]),
        ("Overdue", vec![&overdue]),
        ("Returns asked for", vec![delivered]),
        ("On the way", vec![shipped]),
        ("Refund due", vec![to_refund]),
        ("Cancelled", vec![cancelled, to_refund]),
    ] {
        let shown = browser.get(&page.link(view)).await.expect(200);
        assert_eq!(listed(&shown), sorted(&expected), "{view}");
        assert_eq!(shown.current(), ["Orders", view]);
        // The view says what is filtered, so the form is closed.
        assert!(!shown.has_attribute("details", "open"), "{view}");
    }
    let narrower = browser.get(&path(&[("status", "paid"), ("sku", "MUG")])).await.expect(200);
    assert_eq!(narrower.current(), ["Orders"]);
    assert!(narrower.has_attribute("details", "open"));
}

/// A shop with two orders. One has all that can be searched, and is a minute younger.
struct Two {
    site: Site,
    ada: Person,
    full: Answer,
    bare: String,
    product: String,
}

impl Two {
    async fn open() -> Self {
        let (clock, now) = hand_moved_clock();
        let site = Site::of(InProcess::open_with_clock(clock).await);
        let bare = site.shop.order_in("placed").await.1;
        now.fetch_add(60_000, Ordering::SeqCst);
        let ada = site.shop.customer().await;
        let product = site.shop.product_with(json!({ "stock": 9, "sku": "MUG-RED" })).await.id();
        let mut order = order_of(&product, 2);
        order["external_number"] = json!("WEB/1001");
        let full = ada.post("/orders", order).await.expect(201);
        let order = format!("/orders/{}", full.id());
        for change in [
            json!({ "status": "paid", "payment": { "reference": "pi_1001" } }),
            json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "JD0146" } }),
        ] {
            site.shop.admin().put(&order, change).await.expect(200);
        }
        let wish = json!({ "items": [{ "id": full["items"][0]["id"], "quantity": 1 }] });
        site.shop.admin().post(&format!("{order}/returns"), wish).await.expect(201);
        Self { site, ada, full, bare, product }
    }
}

#[tokio::test]
async fn each_filter_shows_the_orders_that_match() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    let (full, number) = (two.full.id(), two.full.text("number"));
    let (undashed, email) = (number.replace('-', "").to_lowercase(), two.ada.email.to_uppercase());
    let (user, product) = (two.ada.id.as_str(), two.product.as_str());
    for filter in [
        vec![("status", "shipped")],
        vec![("status", "shipped"), ("status", "delivered")],
        vec![("status", "delivered,shipped")],
        vec![("payment_status", "paid"), ("payment_status", "partial")],
        vec![("return_status", "requested")],
        vec![("return_status", "partial"), ("return_status", "requested")],
        vec![("user_id", user)],
        vec![("product_id", product)],
        vec![("number", number.as_str())],
        vec![("number", undashed.as_str())],
        vec![("external_number", "WEB/1001")],
        vec![("payment_reference", "pi_1001")],
        vec![("tracking_number", "JD0146")],
        vec![("email", email.as_str())],
        vec![("sku", " MUG-RED ")],
        vec![("created_from", "2027-01-15T08:01")],
        vec![("created_from", "2027-01-15T09:01:00+01:00")],
        vec![("updated_from", "2027-01-15T08:00:00.001Z")],
        vec![("status", "shipped"), ("sku", "MUG-RED"), ("number", ""), ("created_to", "2027-01-16")],
    ] {
        let page = browser.get(&path(&filter)).await.expect(200);
        assert_eq!(listed(&page), [full.as_str()], "{filter:?}");
    }
    for filter in [
        ("status", "placed"),
        ("payment_status", "unpaid"),
        ("created_to", "2027-01-15T08:01"),
        ("updated_to", "2027-01-15T08:01"),
    ] {
        let page = browser.get(&path(&[filter])).await.expect(200);
        assert_eq!(listed(&page), [two.bare.as_str()], "{filter:?}");
    }
    let none = browser.get(&path(&[("status", "placed"), ("sku", "MUG-RED")])).await.expect(200);
    assert_eq!(listed(&none), Vec::<String>::new());
    none.shows("No order matches these filters.");
    assert_eq!(listed(&browser.get(&none.link("Show all orders")).await.expect(200)).len(), 2);
}

#[tokio::test]
async fn the_form_of_filters_keeps_what_is_sent() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    let page = browser.get(ORDERS).await.expect(200);
    let sent = [("sku", "MUG-RED"), ("created_from", "2027-01-15T08:00"), ("sort", "total")];
    // All other fields are sent as well, and empty.
    let mut fields = filled(page.forms(ORDERS).pop().unwrap(), &sent);
    assert!(fields.len() > 10, "{fields:?}");
    fields.extend(["paid", "shipped"].map(|status| ("status".to_owned(), status.to_owned())));
    let query = Serializer::new(String::new()).extend_pairs(&fields).finish();
    let page = browser.get(&format!("{ORDERS}?{query}")).await.expect(200);
    assert_eq!(listed(&page), [two.full.id()]);
    let kept: BTreeSet<_> = page.forms(ORDERS).pop().unwrap().into_iter().collect();
    let sent: BTreeSet<_> = fields.into_iter().collect();
    assert_eq!(kept, sent);
}

#[tokio::test]
async fn an_order_is_found_by_whatever_is_known_of_it() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    let (full, number) = (two.full.id(), two.full.text("number"));
    for text in [
        number.clone(),
        number.to_lowercase(),
        number.replace('-', ""),
        format!("  {number} "),
        full.clone(),
        two.ada.email.clone(),
        two.ada.email.to_uppercase(),
        "WEB/1001".to_owned(),
        "pi_1001".to_owned(),
        "JD0146".to_owned(),
        "MUG-RED".to_owned(),
    ] {
        search(&mut browser, &text).await.leads_to(&order_page(&full));
    }
    for text in ["WEB/1002", "0000-0000", "nobody@example.com", "@", "order_1", &"x".repeat(300), "☕"] {
        let page = search(&mut browser, text).await.expect(200);
        assert_eq!(listed(&page), Vec::<String>::new(), "{text}");
        page.shows(&format!("No order has “{text}” as its"));
        assert_eq!(page.link("Show all orders"), ORDERS);
    }
    // An empty search is the list.
    assert_eq!(listed(&search(&mut browser, " ").await.expect(200)).len(), 2);
}

#[tokio::test]
async fn several_results_stand_by_how_they_were_found() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    let admin = two.site.shop.admin();
    // Another order, whose external number is the tracking number of the first one.
    let mut order = order_of(&two.product, 1);
    order["external_number"] = json!("JD0146");
    let second = two.ada.post("/orders", order).await.expect(201).id();
    let both = sorted(&[&two.full.id(), &second]);

    let page = search(&mut browser, "JD0146").await.expect(200);
    assert_eq!(listed(&page), both);
    let places = ["With this external number", "With this tracking number"].map(|text| page.text.find(text));
    assert!(places[0].is_some() && places[0] < places[1], "{}", page.text);
    assert!(!page.has("With this SKU"));

    for (text, heading) in
        [("MUG-RED", "With this SKU"), (&*two.ada.email, "Of the customer with this e-mail address")]
    {
        let page = search(&mut browser, text).await.expect(200);
        assert_eq!(listed(&page), both);
        page.shows(heading);
    }
    // Found twice, it is one order still.
    let paid = json!({ "status": "paid", "payment": { "reference": "WEB/1001" } });
    let mut order = order_of(&two.product, 1);
    order["external_number"] = json!("one-of-two-kinds");
    let third = two.ada.post("/orders", order).await.expect(201).id();
    let twice = json!({ "status": "paid", "payment": { "reference": "one-of-two-kinds" } });
    admin.put(&format!("/orders/{third}"), twice).await.expect(200);
    search(&mut browser, "one-of-two-kinds").await.leads_to(&order_page(&third));
    // Of two kinds and two orders, both are shown.
    admin.put(&format!("/orders/{second}"), paid).await.expect(200);
    assert_eq!(listed(&search(&mut browser, "WEB/1001").await.expect(200)), both);
}

#[tokio::test]
async fn more_results_than_a_page_lead_to_the_list() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product_with(json!({ "stock": 30, "sku": "MUG" })).await.id();
    let ada = site.shop.customer().await;
    for _ in 0..21 {
        ada.orders(&[(&product, 1)]).await.expect(201);
    }
    let page = search(&mut browser, "MUG").await.expect(200);
    assert_eq!(listed(&page).len(), 20);
    assert_eq!(page.link("Show all of them"), path(&[("sku", "MUG")]));
}

#[tokio::test]
async fn a_bad_filter_is_explained_above_the_form() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    for (name, value) in [
        ("number", "4F7K"),
        ("external_number", "a b"),
        ("email", "ada"),
        ("user_id", "7"),
        ("product_id", "order_01h455vb4pex5vsknk084sn02q"),
        ("created_from", "today"),
        ("updated_to", "2026-02-30"),
        ("limit", "101"),
    ] {
        let page = browser.get(&path(&[(name, value), ("sku", "MUG-RED")])).await.expect(400);
        page.shows(&format!("`{name}` must"));
        assert!(page.text.contains("role=\"alert\""));
        assert!(page.text.find("role=\"alert\"") < page.text.find("<details"), "{name}");
        let kept = page.forms(ORDERS).pop().unwrap();
        for (name, value) in [(name, value), ("sku", "MUG-RED")] {
            assert!(kept.contains(&(name.to_owned(), value.to_owned())), "{name}: {kept:?}");
        }
        assert!(page.has_attribute("details", "open"));
        assert_eq!(listed(&page), Vec::<String>::new());
    }
    for (name, value) in [("status", "void"), ("payment_status", "open"), ("sort", "price"), ("cursor", "x")]
    {
        browser.get(&path(&[(name, value)])).await.expect(400).shows(&format!("`{name}`"));
    }
    // What is no filter is no matter.
    assert_eq!(listed(&browser.get(&path(&[("utm_source", "mail")])).await.expect(200)).len(), 2);
}

#[tokio::test]
async fn all_pages_are_reached_by_their_links() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (product, ada) = (site.shop.product(9).await, site.shop.customer().await);
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(ada.orders(&[(&product, 1)]).await.expect(201).id());
    }
    for (sort, next) in [("", "Older"), ("total", "Next page")] {
        let first = path(&[("sort", sort), ("limit", "2"), ("user_id", ada.id.as_str())]);
        let mut page = browser.get(&first).await.expect(200);
        assert!(!page.has_link("First page"));
        let mut seen = listed(&page);
        while page.has_link(next) {
            page = browser.get(&page.link(next)).await.expect(200);
            seen.extend(listed(&page));
            let again = browser.get(&page.link("First page")).await.expect(200);
            assert!(!again.has_link("First page") && again.has_link(next));
            assert!(page.has_attribute("details", "open"));
        }
        seen.sort_unstable();
        assert_eq!(seen, sorted(&placed.iter().collect::<Vec<_>>()), "{sort}");
    }
}

#[tokio::test]
async fn a_row_says_what_an_order_is() {
    let two = Two::open().await;
    let mut browser = two.site.staff().await;
    let page = browser.get(&path(&[("status", "shipped")])).await.expect(200);
    for text in
        [&*two.full.text("number"), "15 Jan 2027, 08:01 UTC", "EUR 10.00", "badge-shipped", "badge-paid"]
    {
        page.shows(text);
    }
    let columns = page.attributes("td", "data-label");
    assert_eq!(columns.len(), 9);
    let scopes = page.attributes("th", "scope");
    assert_eq!(scopes, vec!["col"; 9]);
    assert!(page.text.contains("<caption"));
    let of_ada = browser.get(&path(&[("user_id", two.ada.id.as_str())])).await.expect(200);
    assert!(of_ada.attributes("a", "href").contains(&path(&[("user_id", two.ada.id.as_str())])));
}

#[tokio::test]
async fn a_shop_without_orders_says_so() {
    let site = Site::open().await;
    let page = site.staff().await.get(ORDERS).await.expect(200);
    page.shows("There are no orders yet.");
    assert!(!page.has_link("Show all orders") && !page.has_link("Older"));
}

/// Text that leaves an attribute and begins a script, wherever it is not escaped.
const EVIL: &str = "\"'><script>alert(1)</script>&lt;";

/// A text of its own for each place, so that a page shows which of them it has.
fn evil(place: &str) -> String {
    format!("{EVIL}{place}")
}

#[track_caller]
fn assert_harmless(page: &Page) {
    for raw in ["<script>", "\"'>"] {
        assert!(!page.text.contains(raw), "{raw} in\n{}", page.text);
    }
}

#[tokio::test]
async fn what_users_write_is_text_on_every_page() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (admin, ada) = (site.shop.admin(), site.shop.customer().await);
    let product = json!({ "stock": 9, "name": evil("product"), "description": evil("description") });
    let product = site.shop.product_with(product).await.id();
    let mut to = address();
    for field in ["name", "company", "line1", "line2", "city", "region"] {
        to[field] = json!(evil(field));
    }
    let mut order = order_of(&product, 2);
    order["user_id"] = json!(ada.id);
    order["shipping_address"] = to;
    order["note"] = json!(evil("note"));
    order["internal_note"] = json!(evil("internal"));
    order["metadata"] = json!({ "gift<b>": evil("metadata") });
    order["external_number"] = json!(evil("external"));
    order["shipping"] = json!({ "label": evil("shipping"), "amount": 100 });
    let order = admin.post("/orders", order).await.expect(201);
    let api = format!("/orders/{}", order.id());
    let payment = json!({ "reference": evil("reference"), "method": evil("method") });
    let paid = json!({ "status": "paid", "payment": payment, "reason": evil("reason") });
    admin.put(&api, paid).await.expect(200);
    let tracking = json!({ "carrier": evil("carrier"), "number": evil("tracking") });
    admin.put(&api, json!({ "status": "shipped", "tracking": tracking })).await.expect(200);

    let list = browser.get(ORDERS).await.expect(200);
    assert_eq!(listed(&list), [order.id()]);
    assert_harmless(&list);
    let page = browser.get(&order_page(&order.id())).await.expect(200);
    assert_harmless(&page);
    for place in ["product", "name", "line1", "city", "note", "internal", "metadata", "external", "carrier"] {
        page.shows(&evil(place));
    }
    // What stands in the URL comes back in the form and in links.
    for name in ["q", "sku", "external_number", "email", "number", "created_from", "sort", "limit", "cursor"]
    {
        assert_harmless(&browser.get(&path(&[(name, EVIL)])).await);
    }
    assert_harmless(&browser.get(&path(&[(EVIL, EVIL), ("status", EVIL)])).await);
    assert_harmless(&browser.get(&format!("{ORDERS}/%22%27%3E%3Cscript%3E")).await);
}
