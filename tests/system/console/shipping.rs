//! Shipping many orders, and packing slips.

use form_urlencoded::Serializer;
use futures::future::join;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{PASSWORD, address};
use tests::shop::order_of;

use super::{Browser, ORDERS, Page, Site};

const PATH: &str = "/console/shipping";
const SLIPS: &str = "/console/slips";

/// Text that leaves an attribute and begins a script, wherever it is not escaped.
const EVIL: &str = "\"'><script>alert(1)</script>&lt;";

#[track_caller]
fn assert_harmless(page: &Page) {
    for raw in ["<script>", "\"'>"] {
        assert!(!page.text.contains(raw), "{raw} in\n{}", page.text);
    }
}

/// A paid order for units of a new product.
struct Paid {
    id: String,
    number: String,
    product: String,
    /// ID of its item.
    item: Value,
}

impl Paid {
    async fn of(site: &Site, units: i64) -> Self {
        Self::with(site, units, json!({}), json!({})).await
    }

    /// The same, with fields of the product and of the order.
    async fn with(site: &Site, units: i64, product: Value, order: Value) -> Self {
        let mut of_product = json!({ "stock": 10 });
        merge(&mut of_product, product);
        let product = site.shop.product_with(of_product).await.id();
        let mut body = order_of(&product, units);
        body["user_id"] = json!(site.shop.customer().await.id);
        merge(&mut body, order);
        let placed = site.shop.admin().post("/orders", body).await.expect(201);
        site.shop.admin().moves(&placed.id(), "paid").await.expect(200);
        let item = placed["items"][0]["id"].clone();
        Self { id: placed.id(), number: placed.text("number"), product, item }
    }

    /// Ships some of its units by the API.
    async fn ships(&self, site: &Site, units: i64) {
        let items = json!({ "items": [{ "id": self.item, "quantity": units }] });
        let path = format!("/orders/{}/fulfillments", self.id);
        site.shop.admin().post(&path, items).await.expect(201);
    }
}

/// Puts fields over those of another object.
fn merge(object: &mut Value, fields: Value) {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
}

/// An order as the API has it.
async fn seen(site: &Site, id: &str) -> Answer {
    site.shop.admin().get(&format!("/orders/{id}")).await.expect(200)
}

/// Trackings of the fulfillments of an order.
async fn parcels(site: &Site, id: &str) -> Vec<Value> {
    let order = seen(site, id).await;
    let fulfillments = order["fulfillments"].as_array().unwrap();
    fulfillments.iter().map(|it| it["tracking"].clone()).collect()
}

/// Sends lines to be previewed, with a carrier for those without one.
async fn preview(browser: &mut Browser, lines: &str, carrier: &str) -> Page {
    let page = browser.get(PATH).await.expect(200);
    browser.submit(&page, PATH, &[("lines", lines), ("carrier", carrier)]).await
}

/// Order numbers that the form of a preview would ship.
fn to_be_shipped(preview: &Page) -> Vec<String> {
    let fields = preview.form(PATH).into_iter();
    fields.filter_map(|(name, _)| name.strip_prefix("ship-").map(str::to_owned)).collect()
}

/// Lines in the last form of a page.
fn lines_again(page: &Page) -> String {
    let fields = page.forms(PATH).pop().unwrap();
    let lines = fields.into_iter().find(|(name, _)| name == "lines");
    lines.map(|(_, text)| text.trim().to_owned()).unwrap_or_default()
}

/// Path of the slips of these orders.
fn slips(ids: &[&str]) -> String {
    let pairs = ids.iter().map(|id| ("order", *id));
    format!("{SLIPS}?{}", Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// Number of slips on a page.
fn count(page: &Page) -> usize {
    page.attributes("article", "class").iter().filter(|class| *class == "slip").count()
}

#[tokio::test]
async fn only_lines_without_a_problem_are_shipped() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (one, two) = (Paid::of(&site, 2).await, Paid::of(&site, 2).await);
    let (twice, bare) = (Paid::of(&site, 1).await, Paid::of(&site, 1).await);
    let (placed, shipped) = (site.shop.order_in("placed").await.1, site.shop.order_in("shipped").await.1);
    let (placed, shipped) = (seen(&site, &placed).await, seen(&site, &shipped).await);
    let lines = [
        format!("{}\t0034-1\tDHL\thttps://dhl.example/?a=1,2;3", one.number),
        format!("{};0034-2", two.number.to_lowercase().replace('-', "")),
        format!("{},3,DHL", placed.text("number")),
        format!("{},4,DHL", shipped.text("number")),
        "0000-0000;5".to_owned(),
        "no number;6".to_owned(),
        format!("{};7", twice.number),
        format!("{};8", twice.number),
        bare.number.clone(),
        ";9".to_owned(),
    ];
    let lines = lines.join("\n");
    let page = preview(&mut browser, &lines, "UPS").await.expect(200);
    for text in [
        "It is not paid yet.",
        "It is shipped already.",
        "No order has this number.",
        "This order is on lines 7, 8.",
        "No tracking number follows the order number.",
        "Nothing is shipped yet.",
        "Ship 2 orders",
        "2 × Mug",
        "Bonn",
    ] {
        page.shows(text);
    }
    assert_eq!(to_be_shipped(&page), [one.number.as_str(), two.number.as_str()]);
    // What was typed can be corrected below.
    assert_eq!(lines_again(&page), lines);
    assert_eq!(seen(&site, &one.id).await["status"], "paid");

    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    assert_eq!(answer.text.matches("Shipped: 2 units.").count(), 2, "{}", answer.text);
    // The others stay, to be corrected.
    let others: Vec<&str> = lines.lines().skip(2).collect();
    assert_eq!(lines_again(&answer), others.join("\n"));
    let parcel = parcels(&site, &one.id).await.remove(0);
    let expected = json!({ "carrier": "DHL", "number": "0034-1", "url": "https://dhl.example/?a=1,2;3" });
    assert_eq!(parcel, expected);
    let parcel = parcels(&site, &two.id).await.remove(0);
    assert_eq!((&parcel["carrier"], &parcel["number"]), (&json!("UPS"), &json!("0034-2")));
    for (id, status) in [(&one.id, "shipped"), (&two.id, "shipped"), (&twice.id, "paid"), (&bare.id, "paid")]
    {
        assert_eq!(seen(&site, id).await["status"], status);
    }
}

#[tokio::test]
async fn a_bad_parcel_is_a_problem_of_its_line() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let order = Paid::of(&site, 1).await;
    let long = "x".repeat(101);
    let (number, carrier) = (format!("{long};DHL"), format!("1;{long}"));
    for (rest, problem) in [
        ("", "No tracking number follows the order number."),
        ("1", "The carrier is missing"),
        ("1;DHL;http://dhl.example", "The URL must begin with https://."),
        (number.as_str(), "The tracking number must have 1 to 100 characters; got 101."),
        (carrier.as_str(), "The carrier must have 1 to 100 characters; got 101."),
    ] {
        let page = preview(&mut browser, &format!("{};{rest}", order.number), "").await.expect(200);
        page.shows(problem);
        page.shows("Every line has a problem, so there is nothing to ship.");
        // The form to correct the lines is the only one.
        assert_eq!(page.forms(PATH).len(), 1, "{rest}");
    }
}

#[tokio::test]
async fn a_refused_line_stands_beside_those_that_are_shipped() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (good, cancelled) = (Paid::of(&site, 1).await, Paid::of(&site, 1).await);
    let bad_url = Paid::of(&site, 1).await;
    let lines =
        format!("{};1;DHL\n{};2;DHL\n{};3;DHL;https://a b", good.number, cancelled.number, bad_url.number);
    let page = preview(&mut browser, &lines, "").await.expect(200);
    site.shop.admin().moves(&cancelled.id, "cancelled").await.expect(200);
    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    answer.shows("Shipped: 1 unit.");
    answer.shows("Not shipped: this order was changed since the preview.");
    answer.shows("must be an https URL");
    let expected = format!("{}\t2\tDHL\n{}\t3\tDHL\thttps://a b", cancelled.number, bad_url.number);
    assert_eq!(lines_again(&answer), expected);
    for (id, status) in [(&good.id, "shipped"), (&cancelled.id, "cancelled"), (&bad_url.id, "paid")] {
        assert_eq!(seen(&site, id).await["status"], status);
    }
}

#[tokio::test]
async fn lines_that_are_sent_again_are_shipped_once() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let order = Paid::of(&site, 2).await;
    let page = preview(&mut browser, &format!("{};1;DHL", order.number), "").await.expect(200);
    // As by a double click, and then as when the page with the answers is reloaded.
    let mut other = browser.clone();
    let (one, two) = join(browser.submit(&page, PATH, &[]), other.submit(&page, PATH, &[])).await;
    let again = browser.submit(&page, PATH, &[]).await;
    for answer in [one, two, again] {
        answer.expect(200).shows("Shipped: 2 units.");
    }
    assert_eq!(parcels(&site, &order.id).await.len(), 1);
    assert_eq!(site.shop.stock(&order.product).await, (8, 0, 8));
}

#[tokio::test]
async fn an_order_that_changed_since_the_preview_is_asked_again() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (changed, same) = (Paid::of(&site, 3).await, Paid::of(&site, 1).await);
    let lines = format!("{};1;DHL\n{};2;DHL", changed.number, same.number);
    let page = preview(&mut browser, &lines, "").await.expect(200);
    page.shows("3 × Mug");
    changed.ships(&site, 1).await;
    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    answer.shows("Not shipped: this order was changed since the preview.");
    answer.shows("Shipped: 1 unit.");
    assert_eq!(parcels(&site, &changed.id).await.len(), 1);
    let page = browser.submit(&answer, PATH, &[]).await.expect(200);
    page.shows("2 × Mug");
    assert_eq!(to_be_shipped(&page), [changed.number.as_str()]);
    browser.submit(&page, PATH, &[]).await.expect(200).shows("Shipped: 2 units.");
    assert_eq!(seen(&site, &changed.id).await["status"], "shipped");
}

#[tokio::test]
async fn lines_that_cannot_be_shipped_at_all_are_refused() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    preview(&mut browser, " ", "").await.expect(422).shows("must have at least one line");
    let many: String = (0..201).map(|line| format!("ORDER-{line};1\n")).collect();
    let refused = preview(&mut browser, &many, "UPS").await.expect(422);
    refused.shows("must have at most 200 lines; got 201");
    refused.shows("ORDER-200;1");
    assert!(refused.form(PATH).contains(&("carrier".to_owned(), "UPS".to_owned())));
    let page = browser.get(PATH).await.expect(200);
    let forged = [("confirmed", "yes"), ("ship-4F7K-92QX", "order_1")];
    browser.submit(&page, PATH, &forged).await.expect(422).shows("does not come from a preview");
}

#[tokio::test]
async fn what_is_pasted_or_written_stays_text() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let mut to = address();
    for field in ["name", "company", "line1", "line2", "city", "region"] {
        to[field] = json!(format!("{EVIL}{field}"));
    }
    let shipping = json!({ "label": format!("{EVIL}label"), "amount": 100 });
    let fields = json!({ "shipping_address": to, "note": format!("{EVIL}note"), "shipping": shipping });
    let order = Paid::with(&site, 1, json!({ "name": format!("{EVIL}product") }), fields).await;

    let slip = browser.get(&slips(&[&order.id, EVIL])).await.expect(200);
    assert_harmless(&slip);
    for place in ["name", "company", "line1", "line2", "city", "region", "note", "label", "product"] {
        slip.shows(&format!("{EVIL}{place}"));
    }
    let lines = format!("{}\t{EVIL}1\t{EVIL}2\n{EVIL}\t1\tDHL\n4F7K\t1\tDHL\tx{EVIL}", order.number);
    let page = preview(&mut browser, &lines, EVIL).await.expect(200);
    assert_harmless(&page);
    page.shows(&format!("{EVIL}name, {EVIL}city"));
    page.shows(&format!("1 × {EVIL}product"));
    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    assert_harmless(&answer);
    answer.shows("Shipped: 1 unit.");
    let parcel = parcels(&site, &order.id).await.remove(0);
    assert_eq!(parcel["number"], format!("{EVIL}1"));
    assert_eq!(parcel["carrier"], format!("{EVIL}2"));
}

#[tokio::test]
async fn a_slip_has_what_is_left_to_ship_and_no_price() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let notes = json!({ "note": "ring twice", "internal_note": "a difficult customer" });
    let order = Paid::with(&site, 7, json!({ "sku": "MUG-BLUE" }), notes).await;
    order.ships(&site, 2).await;
    let other = Paid::of(&site, 1).await;
    let page = browser.get(&slips(&[&order.id, &other.id, &order.id])).await.expect(200);
    for text in [&*order.number, &*other.number, "MUG-BLUE", "1 Way", "53111 Bonn", "ring twice"] {
        page.shows(text);
    }
    assert!(page.text.contains("<td class=\"number\">5</td>"), "{}", page.text);
    assert!(!page.has("a difficult customer") && !page.has("EUR"), "{}", page.text);
    assert_eq!(count(&page), 2);
    page.shows("each of its 2 slips begins on a new sheet");
}

#[tokio::test]
async fn orders_without_a_slip_are_named() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (placed, shipped) = (site.shop.order_in("placed").await.1, site.shop.order_in("shipped").await.1);
    let unknown = "order_01h455vb4pex5vsknk084sn02q";
    let order = Paid::of(&site, 1).await;
    let ids = [&*placed, &*shipped, unknown, "x", &*order.id];
    let page = browser.get(&slips(&ids)).await.expect(200);
    for text in ["It is not paid yet.", "It is shipped already.", "Order not found.", unknown] {
        page.shows(text);
    }
    assert_eq!(count(&page), 1);
    let page = browser.get(&slips(&ids[..4])).await.expect(200);
    page.shows("There is nothing to print.");
    assert_eq!(count(&page), 0);
}

#[tokio::test]
async fn slips_are_of_1_to_50_orders() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    browser.get(SLIPS).await.expect(400).shows("Choose at least one order in the list.");
    let ids: Vec<String> = (0..51).map(|id| format!("order_{id}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let refused = browser.get(&slips(&ids)).await.expect(400);
    refused.shows("Slips are made for at most 50 orders at once; 51 are chosen.");
    let page = browser.get(&slips(&ids[..50])).await.expect(200);
    assert_eq!(page.text.matches("Order not found.").count(), 50);
}

#[tokio::test]
async fn orders_are_chosen_in_the_list() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (one, two) = (Paid::of(&site, 1).await, Paid::of(&site, 1).await);
    let placed = site.shop.order_in("placed").await.1;
    let list = browser.get(ORDERS).await.expect(200);
    assert_eq!(list.link("Ship many orders"), PATH);
    // The form has a button alone: checkboxes of the rows name it as theirs.
    assert!(list.form(SLIPS).is_empty());
    assert!(list.attributes("form", "id").contains(&"slips".to_owned()));
    assert_eq!(list.attributes("input", "form"), vec!["slips"; 3]);
    let values = list.attributes("input", "value");
    assert!([&one.id, &two.id, &placed].into_iter().all(|id| values.contains(id)), "{values:?}");

    let all = list.link("Packing slips of all 2 orders on this page that are to pack");
    let page = browser.get(&all).await.expect(200);
    assert_eq!(count(&page), 2);
    assert!(!page.has("It is not paid yet."));
    let page = browser.get(&format!("{ORDERS}/{}", one.id)).await.expect(200);
    assert_eq!(page.link("Packing slip"), slips(&[&one.id]));
    let page = browser.get(&format!("{ORDERS}/{placed}")).await.expect(200);
    assert!(!page.has_link("Packing slip"));
    let unpaid = browser.get(&format!("{ORDERS}?status=placed")).await.expect(200);
    assert!(!unpaid.has("that are to pack") && !unpaid.has("that is to pack"));
}

#[tokio::test]
async fn both_pages_are_for_staff() {
    let site = Site::open().await;
    let order = Paid::of(&site, 1).await;
    let customer = site.shop.customer().await;
    let mut browser = site.browser();
    browser.sign_in(&customer.email, PASSWORD).await.expect(403);
    for path in [PATH, SLIPS, &*slips(&[&order.id])] {
        let answer = browser.get(path).await.expect(303);
        let location = answer.header("location").unwrap_or_default();
        assert!(location.starts_with("/console/sign-in"), "{path}: {location}");
        assert!(!answer.has(&order.number));
    }
    let lines = [("lines", format!("{};1;DHL", order.number)), ("confirmed", "yes".to_owned())];
    let lines = lines.map(|(name, value)| (name.to_owned(), value));
    browser.post(PATH, &lines).await.expect(303);
    assert_eq!(seen(&site, &order.id).await["status"], "paid");
}
