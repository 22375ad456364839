//! Products in the console: the list, one product with its stock and its forms, and counting many.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::person::Person;
use tests::shop::new_sku;
use tests::support::products::ledger;

use super::{Page, Site};

mod counting;

const PRODUCTS: &str = "/console/products";

/// Markup that must stay text.
const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Path of a product's page.
fn path(product: &str) -> String {
    format!("{PRODUCTS}/{product}")
}

/// Path of the form that sets the units on hand.
fn counted(product: &str) -> String {
    format!("{PRODUCTS}/{product}/stock")
}

/// Path of the form that adds units.
fn moved(product: &str) -> String {
    format!("{PRODUCTS}/{product}/stock/delta")
}

/// Value of a field in the form with this action.
fn value(page: &Page, action: &str, name: &str) -> String {
    let found = page.form(action).into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// Moves the stock of a product by the API, as somebody else does.
async fn moves_stock(person: &Person, product: &str, delta: i64) {
    person.put(&format!("/products/{product}/stock"), json!({ "delta": delta })).await.expect(200);
}

/// A paid order for units of a product, and the ID of its item.
async fn paid_order(site: &Site, product: &str, units: i64) -> (String, Value) {
    let order = site.shop.customer().await.orders(&[(product, units)]).await.expect(201);
    site.shop.admin().moves(&order.id(), "paid").await.expect(200);
    (order.id(), order["items"][0]["id"].clone())
}

/// Asserts that no text of a person has become markup.
#[track_caller]
fn assert_safe(page: &Page) {
    assert!(page.has(EVIL), "{}", page.text);
    for markup in ["<script>", "<img src=x", "=x onerror=alert(1)>"] {
        assert!(!page.text.contains(markup), "{markup} in {}", page.text);
    }
}

#[tokio::test]
async fn the_units_on_hand_are_explained_in_words_and_numbers() {
    let site = Site::open().await;
    let staff = site.shop.staff().await;
    let mut browser = site.signed_in(&staff).await;
    let product = site.shop.product(70).await;
    let (order, item) = paid_order(&site, &product, 20).await;
    let units = |quantity: i64| json!({ "items": [{ "id": item, "quantity": quantity }] });
    let below = |rest: &str| format!("/orders/{order}/{rest}");
    let mut last = String::new();
    for quantity in [12, 5, 3] {
        last = staff.post(&below("fulfillments"), units(quantity)).await.expect(201).id();
    }
    let undone = below(&format!("fulfillments/{last}"));
    staff.put(&undone, json!({ "status": "cancelled" })).await.expect(200);
    let back = staff.post(&below("returns"), units(2)).await.expect(201).id();
    let items = json!([{ "id": item, "received": 2, "restocked": 2 }]);
    let received = json!({ "status": "received", "items": items });
    staff.put(&below(&format!("returns/{back}")), received).await.expect(200);
    // Two forms of the page itself.
    let page = browser.get(&path(&product)).await.expect(200);
    page.shows("55 on hand: 70 at first, 20 shipped, 3 back from cancelled fulfillments, 2 returned.");
    let broken = [("delta", "-9"), ("reason", "broken in transit")];
    let sent = browser.submit(&page, &moved(&product), &broken).await;
    sent.leads_to(&format!("{}?done=moved", path(&product)));
    let page = browser.get(&path(&product)).await.expect(200);
    let sent = browser.submit(&page, &counted(&product), &[("on_hand", "47")]).await;
    sent.leads_to(&format!("{}?done=counted", path(&product)));

    let page = browser.get(&format!("{}?done=counted", path(&product))).await.expect(200);
    page.shows("The units on hand are set.");
    page.shows(
        "47 on hand: 70 at first, 20 shipped, 3 back from cancelled fulfillments, 2 returned, 1 counted up, \
         9 counted down.",
    );
    for cell in [">+70<", ">-12<", ">-5<", ">-3<", ">+3<", ">+2<", ">-9<", ">+1<", ">broken in transit<"] {
        assert!(page.text.contains(cell), "no {cell} in {}", page.text);
    }
    for text in [staff.id.as_str(), "system", "initial", "unshipped"] {
        assert!(page.text.contains(&format!(">{text}<")), "no {text} in {}", page.text);
    }
    assert_eq!(page.link(&order), format!("/console/orders/{order}"));
    page.shows("3 left to ship in these orders; 3 reserved.");
    assert_eq!(site.shop.stock(&product).await, (47, 3, 44));
}

#[tokio::test]
async fn a_long_ledger_is_explained_from_an_earlier_balance() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(100).await;
    for _ in 0..54 {
        moves_stock(&site.shop.admin(), &product, -1).await;
    }
    let page = browser.get(&path(&product)).await.expect(200);
    // The first five of 55 changes are on the next page.
    assert!(page.text.contains("46 on hand: from 96 on <time"), "{}", page.text);
    page.shows(", 50 counted down.");
    assert!(!page.text.contains(">initial<") && !page.has_link("Newest changes"));
    let older = page.link("Older changes");
    let older = browser.get(older.trim_end_matches("#ledger")).await.expect(200);
    assert!(older.text.contains(">initial<"), "{}", older.text);
    assert!(
        !older.has("46 on hand: ") && older.has_link("Newest changes") && !older.has_link("Older changes")
    );
}

#[tokio::test]
async fn a_product_without_movements_or_orders_is_explained() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(0).await;
    let page = browser.get(&path(&product)).await.expect(200);
    for text in ["0 on hand: nothing was ever on hand.", "There are no changes yet.", "No open order needs"] {
        page.shows(text);
    }
    browser.get(&path("product_nonsense")).await.expect(404);
}

#[tokio::test]
async fn a_count_on_a_stale_page_keeps_its_fields() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(10).await;
    let (page, action) = (browser.get(&path(&product)).await.expect(200), counted(&product));
    moves_stock(&site.shop.admin(), &product, 5).await;
    let fields = [("on_hand", "47"), ("reason", "shelf <3>")];
    let again = browser.submit(&page, &action, &fields).await.expect(412);
    again.shows("It was changed since you opened this page, by somebody else or by sending this form twice.");
    again.shows("15 on hand: 10 at first, 5 counted up.");
    assert_eq!(value(&again, &action, "on_hand"), "47");
    assert_eq!(value(&again, &action, "reason"), "shelf <3>");
    assert_eq!(value(&again, &moved(&product), "reason"), "");
    assert_eq!(site.shop.stock(&product).await.0, 15);
    browser.submit(&again, &action, &[]).await.expect(303);
    assert_eq!(site.shop.stock(&product).await.0, 47);
}

#[tokio::test]
async fn a_count_from_before_a_parcel_left_is_asked_again() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(10).await;
    let order = paid_order(&site, &product, 2).await.0;
    let (page, action) = (browser.get(&path(&product)).await.expect(200), counted(&product));
    site.shop.admin().moves(&order, "shipped").await.expect(200);
    let again = browser.submit(&page, &action, &[("on_hand", "9")]).await.expect(412);
    again.shows("10 were on hand when you opened this page, and 8 are now");
    assert_eq!(site.shop.stock(&product).await.0, 8);
    browser.submit(&again, &action, &[]).await.expect(303);
    assert_eq!(site.shop.stock(&product).await.0, 9);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_moves_stock_once() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(10).await;
    let page = browser.get(&path(&product)).await.expect(200);
    for _ in 0..2 {
        browser.submit(&page, &moved(&product), &[("delta", "5")]).await.expect(303);
    }
    assert_eq!(site.shop.stock(&product).await.0, 15);
    let other = browser.submit(&page, &moved(&product), &[("delta", "6")]).await.expect(422);
    other.shows("This form was sent before with other values.");
    assert_eq!(ledger(&site.shop.admin(), &product).await.len(), 2);
}

#[tokio::test]
async fn fewer_units_than_are_reserved_are_refused() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(10).await;
    site.shop.customer().await.orders(&[(&product, 4)]).await.expect(201);
    let detail = "10 on hand, 4 reserved: `on_hand` must be at least 4 (`delta` at least -6).";
    for (action, name, units) in [(counted(&product), "on_hand", "3"), (moved(&product), "delta", "-7")] {
        let page = browser.get(&path(&product)).await.expect(200);
        let refused = browser.submit(&page, &action, &[(name, units)]).await.expect(409);
        refused.shows(detail);
        assert_eq!(value(&refused, &action, name), units);
    }
    for (action, name, units, fault) in [
        (counted(&product), "on_hand", "", "is required"),
        (counted(&product), "on_hand", "4.5", "must be a whole number"),
        (counted(&product), "on_hand", "-1", "must be 0 to 1000000000; got -1"),
        (moved(&product), "delta", "0", "and not 0; got 0"),
    ] {
        let page = browser.get(&path(&product)).await.expect(200);
        let refused = browser.submit(&page, &action, &[(name, units)]).await.expect(422);
        refused.shows(fault);
        assert!(refused.has_attribute("input", "aria-invalid"), "{fault}");
    }
    assert_eq!(site.shop.stock(&product).await, (10, 4, 6));
}

#[tokio::test]
async fn a_price_is_edited_in_the_form_of_its_currency() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let price = json!({ "amount": 1_234, "currency": "KWD" });
    let product = site.shop.product_with(json!({ "price": price })).await.id();
    let (page, action) = (browser.get(&path(&product)).await.expect(200), path(&product));
    page.shows("KWD 1.234");
    assert_eq!(value(&page, &action, "price"), "1.234");
    let bad = [("name", "Cup"), ("price", "2,5")];
    let refused = browser.submit(&page, &action, &bad).await.expect(422);
    refused.shows("must be an amount in KWD, such as 1.234");
    assert_eq!([value(&refused, &action, "name"), value(&refused, &action, "price")], ["Cup", "2,5"]);
    let good = [("price", "2.5"), ("status", "archived")];
    browser.submit(&refused, &action, &good).await.leads_to(&format!("{action}?done=saved"));
    let seen = site.shop.admin().get(&format!("/products/{product}")).await.expect(200);
    assert_eq!(seen["price"], json!({ "amount": 2_500, "currency": "KWD" }));
    assert_eq!((&seen["name"], &seen["status"]), (&json!("Cup"), &json!("archived")));

    // The page from before knows an older version.
    let stale = browser.submit(&page, &action, &[("name", "Pot")]).await.expect(412);
    stale.shows("It was changed since you opened this page, by somebody else or by sending this form twice.");
    assert_eq!(value(&stale, &action, "name"), "Pot");
    stale.shows("KWD 2.500");
}

#[tokio::test]
async fn a_correction_on_a_stale_page_keeps_what_others_changed() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let product = site.shop.product(10).await;
    let (page, action) = (browser.get(&path(&product)).await.expect(200), path(&product));
    let at = format!("/products/{product}");
    site.shop.admin().put(&at, json!({ "name": "Cup" })).await.expect(200);
    let refused = browser.submit(&page, &action, &[("price", "2,5")]).await.expect(422);
    assert!(refused.text.contains("<title>Error: "), "{}", refused.text);
    assert_eq!(value(&refused, &action, "version"), value(&page, &action, "version"));
    let stale = browser.submit(&refused, &action, &[("price", "2.50")]).await.expect(412);
    assert_ne!(value(&stale, &action, "version"), value(&page, &action, "version"));
    assert_eq!(site.shop.admin().get(&at).await.expect(200)["name"], "Cup");
}

#[tokio::test]
async fn products_are_found_by_what_their_url_says() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let names = ["Blue mug", "Blue pot", "Red hat"];
    for (sku, name, amount, currency, stock, status) in [
        ("MUG-1", "Blue mug", 1_250, "EUR", 3, "active"),
        ("POT-2", "Blue pot", 900, "EUR", 0, "draft"),
        ("HAT-3", "Red hat", 500, "JPY", 1, "active"),
    ] {
        let price = json!({ "amount": amount, "currency": currency });
        let product = json!({ "sku": sku, "name": name, "price": price, "stock": stock, "status": status });
        site.shop.product_with(product).await;
    }
    for (query, expected) in [
        ("", "Blue mug, Blue pot, Red hat"),
        ("q=blue", "Blue mug, Blue pot"),
        ("sku=POT-2", "Blue pot"),
        ("status=draft", "Blue pot"),
        ("status=draft&status=active", "Blue mug, Blue pot, Red hat"),
        ("currency=eur&min_price=10&max_price=12.50", "Blue mug"),
        ("currency=JPY&max_price=500", "Red hat"),
        ("in_stock=true&q=&sku=&currency=&sort=", "Blue mug, Red hat"),
        ("in_stock=false", "Blue pot"),
        ("q=green", ""),
    ] {
        let page = browser.get(&format!("{PRODUCTS}?{query}")).await.expect(200);
        let listed: Vec<&str> = names.into_iter().filter(|name| page.has_link(name)).collect();
        assert_eq!(listed.join(", "), expected, "{query}");
        let is_open = !query.is_empty() && !query.starts_with("q=");
        assert_eq!(page.has_attribute("details", "open"), is_open, "{query}");
    }
    let page = browser.get(&format!("{PRODUCTS}?sort=price&currency=EUR")).await.expect(200);
    assert!(page.text.find("Blue pot") < page.text.find("Blue mug"), "{}", page.text);
    for (bad, expected) in [
        ("min_price=5", "`min_price` needs a currency"),
        ("currency=EUR&max_price=1,5", "`max_price` must be an amount in EUR"),
        ("sku=a%20b", "`sku` must have 1 to 64 characters"),
        ("cursor=x", "cursor"),
    ] {
        let page = browser.get(&format!("{PRODUCTS}?{bad}")).await.expect(400);
        page.shows(expected);
        assert_eq!(page.forms(PRODUCTS).len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_its_page_ends() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let products = join_all((0..52).map(|_| site.shop.product(1))).await;
    let first = browser.get(&format!("{PRODUCTS}?in_stock=true&sort=created_at")).await.expect(200);
    assert!(!first.has_link("First page"));
    let second = browser.get(&first.link("More")).await.expect(200);
    assert!(!second.has_link("More"));
    let shown = |page: &Page| products.iter().filter(|id| page.text.contains(id.as_str())).count();
    assert_eq!([shown(&first), shown(&second)], [50, 2]);
    assert_eq!(second.link("First page"), format!("{PRODUCTS}?in_stock=true&sort=created_at"));
}

#[tokio::test]
async fn texts_of_people_are_never_markup() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let sku = new_sku();
    let product = json!({
        "sku": sku, "name": EVIL, "description": EVIL, "attributes": { "<script>k": EVIL }, "stock": 5,
    });
    let product = site.shop.product_with(product).await.id();
    let evil = json!({ "delta": 1, "reason": EVIL });
    site.shop.admin().put(&format!("/products/{product}/stock"), evil).await.expect(200);
    assert_safe(&browser.get(PRODUCTS).await.expect(200));
    let page = browser.get(&path(&product)).await.expect(200);
    assert_safe(&page);
    let refused = [("on_hand", EVIL), ("reason", EVIL)];
    assert_safe(&browser.submit(&page, &counted(&product), &refused).await.expect(422));
    let refused = [("name", EVIL), ("price", EVIL), ("currency", EVIL)];
    assert_safe(&browser.submit(&page, &path(&product), &refused).await.expect(422));
    let query = "q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E";
    assert_safe(&browser.get(&format!("{PRODUCTS}?{query}")).await.expect(200));
    let page = browser.get(counting::PATH).await.expect(200);
    let lines = format!("{sku};7\n{EVIL};1\nMUG;{EVIL}");
    assert_safe(
        &browser.submit(&page, counting::PATH, &[("lines", &lines), ("reason", EVIL)]).await.expect(200),
    );
}
