//! Counting many products in the console.

use futures::future::join_all;
use serde_json::json;
use tests::shop::new_sku;
use tests::support::products::ledger;

use super::super::Browser;
use super::{Page, Site, moves_stock, paid_order};

pub(super) const PATH: &str = "/console/stock";

/// A new product with units on hand: its SKU and its ID.
async fn product(site: &Site, on_hand: i64) -> (String, String) {
    let sku = new_sku();
    let product = site.shop.product_with(json!({ "sku": sku, "stock": on_hand })).await;
    (sku, product.id())
}

/// Sends lines to be previewed.
async fn preview(browser: &mut Browser, lines: &str) -> Page {
    let page = browser.get(PATH).await.expect(200);
    browser.submit(&page, PATH, &[("lines", lines), ("reason", "stocktaking")]).await
}

/// SKUs that the form of a preview would count.
fn to_be_counted(preview: &Page) -> Vec<String> {
    let fields = preview.form(PATH).into_iter();
    fields.filter_map(|(name, _)| name.strip_prefix("count-").map(str::to_owned)).collect()
}

#[tokio::test]
async fn only_lines_without_a_problem_are_counted() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (mug, mug_id) = product(&site, 10).await;
    let (pot, pot_id) = product(&site, 5).await;
    let (hat, hat_id) = product(&site, 7).await;
    let (cup, cup_id) = product(&site, 3).await;
    site.shop.customer().await.orders(&[(&pot_id, 4)]).await.expect(201);
    let lines = format!("{mug}\t12\n{pot};3\n{hat},7x\nNO-SUCH;1\nno sku;1\n{cup};1\n{cup};2\n{hat}");
    let page = preview(&mut browser, &lines).await.expect(200);
    for problem in [
        "4 are reserved for orders, so at least as many must be on hand.",
        "No product has this SKU.",
        "This SKU is on lines 6, 7.",
        "This SKU is on lines 3, 8.",
        "Nothing is changed yet.",
        "Count 1 product",
    ] {
        page.shows(problem);
    }
    assert!(page.text.contains(">+2<"), "{}", page.text);
    assert_eq!(to_be_counted(&page), [mug.as_str()]);
    // What was typed can be corrected below.
    let forms = page.forms(PATH);
    let lines_again = forms.iter().flatten().find(|(name, _)| name == "lines");
    assert_eq!(lines_again.map(|(_, text)| text.trim()), Some(lines.as_str()));
    assert_eq!(site.shop.stock(&mug_id).await.0, 10);

    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    answer.shows("Counted: 12 on hand.");
    let stock = [&mug_id, &pot_id, &hat_id, &cup_id].map(|id| site.shop.stock(id));
    let stock: Vec<i64> = join_all(stock).await.into_iter().map(|stock| stock.0).collect();
    assert_eq!(stock, [12, 5, 7, 3]);
    let newest = ledger(&site.shop.admin(), &mug_id).await.remove(0);
    assert_eq!((&newest["delta"], &newest["reason"]), (&json!(2), &json!("stocktaking")));
}

#[tokio::test]
async fn a_count_that_is_not_whole_is_a_problem_of_its_line() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let (mug, _) = product(&site, 10).await;
    for bad in ["", "-1", "1.5", "1,000", "ten"] {
        let page = preview(&mut browser, &format!("{mug};{bad}")).await.expect(200);
        page.shows(&format!("“{bad}” is not a whole number from 0."));
        page.shows("Every line has a problem, so there is nothing to count.");
        // The form to correct the lines is the only one.
        assert_eq!(page.forms(PATH).len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn lines_that_are_sent_again_are_counted_once() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let ((mug, mug_id), (pot, pot_id)) = (product(&site, 10).await, product(&site, 10).await);
    let page = preview(&mut browser, &format!("{mug};12\n{pot};9")).await.expect(200);
    assert_eq!(to_be_counted(&page), [mug, pot]);
    browser.submit(&page, PATH, &[]).await.expect(200).shows("Counted: 12 on hand.");
    moves_stock(&site.shop.admin(), &mug_id, 1).await;
    // As when the page with the answers is reloaded.
    let again = browser.submit(&page, PATH, &[]).await.expect(200);
    again.shows("Counted: 13 on hand.");
    again.shows("Counted: 9 on hand.");
    assert_eq!(site.shop.stock(&mug_id).await.0, 13);
    assert_eq!(ledger(&site.shop.admin(), &pot_id).await.len(), 2);
}

#[tokio::test]
async fn a_line_that_changed_since_the_preview_is_not_counted() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let ((mug, mug_id), (pot, pot_id)) = (product(&site, 10).await, product(&site, 10).await);
    let page = preview(&mut browser, &format!("{mug};12\n{pot};9")).await.expect(200);
    moves_stock(&site.shop.admin(), &mug_id, 1).await;
    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    answer.shows("Not counted: somebody else has changed this product since the preview.");
    answer.shows("Counted: 9 on hand.");
    assert_eq!((site.shop.stock(&mug_id).await.0, site.shop.stock(&pot_id).await.0), (11, 9));
}

#[tokio::test]
async fn a_line_whose_units_were_shipped_since_the_preview_is_not_counted() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    let ((mug, mug_id), (pot, pot_id)) = (product(&site, 10).await, product(&site, 10).await);
    let order = paid_order(&site, &mug_id, 2).await.0;
    let page = preview(&mut browser, &format!("{mug};10\n{pot};9")).await.expect(200);
    site.shop.admin().moves(&order, "shipped").await.expect(200);
    let answer = browser.submit(&page, PATH, &[]).await.expect(200);
    answer.shows("Not counted. Since the preview, units left or came; count again.");
    answer.shows("Counted: 9 on hand.");
    assert_eq!((site.shop.stock(&mug_id).await.0, site.shop.stock(&pot_id).await.0), (8, 9));
}

#[tokio::test]
async fn lines_that_cannot_be_previewed_are_refused() {
    let site = Site::open().await;
    let mut browser = site.staff().await;
    preview(&mut browser, " ").await.expect(422).shows("must have at least one line");
    let many: String = (0..201).map(|line| format!("SKU-{line};1\n")).collect();
    let refused = preview(&mut browser, &many).await.expect(422);
    refused.shows("must have at most 200 lines; got 201");
    refused.shows("SKU-200;1");
    let page = browser.get(PATH).await.expect(200);
    let forged = [("confirmed", "yes"), ("count-MUG", "1")];
    browser.submit(&page, PATH, &forged).await.expect(422).shows("does not come from a preview");
}
