//! The page of one order: each form is sent as a browser sends it, and its effect is read from the API.

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::person::{Person, address};

use super::{Browser, ORDERS, Page, Site, filled};

mod offers;
mod parts;
mod refusals;

/// An order for units of one product, and its page in the browser of a member of staff.
struct Desk {
    site: Site,
    browser: Browser,
    owner: Person,
    staff: Person,
    product: String,
    order: String,
    /// ID of its item.
    item: String,
}

impl Desk {
    /// An order for so many units at EUR 5.00, of a product with 10.
    async fn of(units: i64) -> Self {
        Self::with(json!({}), json!({}), units).await
    }

    /// The same, walked to a status.
    async fn in_status(status: &str, units: i64) -> Self {
        let desk = Self::of(units).await;
        for step in tests::shop::steps_to(status) {
            desk.staff.moves(&desk.order, step).await.expect(200);
        }
        desk
    }

    /// The same, with fields of the product and of the order. Staff place it for its owner.
    async fn with(product: Value, order: Value, units: i64) -> Self {
        let site = Site::open().await;
        let (owner, staff) = (site.shop.customer().await, site.shop.staff().await);
        let mut of_product = json!({ "stock": 10 });
        merge(&mut of_product, product);
        let product = site.shop.product_with(of_product).await.id();
        let mut body = json!({
            "items": [{ "product_id": product, "quantity": units }],
            "shipping_address": address(),
            "user_id": owner.id,
        });
        merge(&mut body, order);
        let placed = staff.post("/orders", body).await.expect(201);
        let item = placed["items"][0]["id"].as_str().unwrap().to_owned();
        let browser = site.signed_in(&staff).await;
        Self { order: placed.id(), site, browser, owner, staff, product, item }
    }

    /// Path of the page, and of those below it.
    fn path(&self, rest: &str) -> String {
        format!("{ORDERS}/{}{rest}", self.order)
    }

    /// Name of a field for units of the item.
    fn field(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.item)
    }

    /// The order as the API has it.
    async fn seen(&self) -> Answer {
        self.staff.get(&format!("/orders/{}", self.order)).await.expect(200)
    }

    /// ID of the latest part: `kind` is `fulfillments`, `returns` or `refunds`.
    async fn latest(&self, kind: &str) -> String {
        let parts = self.seen().await[kind].as_array().unwrap().clone();
        parts.last().unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn page(&mut self) -> Page {
        let path = self.path("");
        self.browser.get(&path).await.expect(200)
    }

    /// Fills in the first form of this path on the page as it is now.
    async fn send(&mut self, rest: &str, fields: &[(&str, &str)]) -> Page {
        let (page, path) = (self.page().await, self.path(rest));
        self.browser.submit(&page, &path, fields).await
    }

    /// Fills in the form of this path in which a field has this value.
    async fn send_where(&mut self, rest: &str, of: (&str, &str), fields: &[(&str, &str)]) -> Page {
        let (page, path) = (self.page().await, self.path(rest));
        let form = form_where(&page, &path, of);
        self.browser.post(&path, &filled(form, fields)).await
    }

    /// Follows a form that was taken. The page says so.
    async fn follow(&mut self, answer: &Page, done: &str, text: &str) -> Page {
        let path = self.path(&format!("?done={done}"));
        answer.leads_to(&path);
        let page = self.browser.get(&path).await.expect(200);
        page.shows(text);
        page
    }

    /// Pays what is due.
    async fn pay(&mut self) {
        let answer = self.send("/payments", &[("reference", "pi_1")]).await;
        self.follow(&answer, "payment", "The payment is recorded.").await;
    }

    /// Ships so many units.
    async fn ship(&mut self, units: &str) -> Page {
        let field = self.field("units");
        self.send("/fulfillments", &[(&field, units)]).await
    }
}

/// Puts fields over those of another object.
fn merge(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
    }
}

/// Fields of the form with this action in which a field has this value.
#[track_caller]
fn form_where(page: &Page, action: &str, (name, value): (&str, &str)) -> Vec<(String, String)> {
    let is_it = |form: &Vec<(String, String)>| form.iter().any(|(of, is)| of == name && is == value);
    let form = page.forms(action).into_iter().find(is_it);
    form.unwrap_or_else(|| panic!("no form {action} with {name}={value} in\n{}", page.text))
}

/// Value of a field in the fields of a form.
#[track_caller]
fn value(form: &[(String, String)], name: &str) -> String {
    let field = form.iter().find(|(of, _)| of == name);
    field.unwrap_or_else(|| panic!("no {name} in {form:?}")).1.clone()
}

#[tokio::test]
async fn an_order_lives_its_whole_life_in_the_browser() {
    let mut desk = Desk::of(3).await;
    let (units, path) = (desk.field("units"), desk.path(""));
    let page = desk.page().await;
    page.shows(&format!("Order {}", desk.seen().await.text("number")));
    assert_eq!(value(&page.form(&format!("{path}/payments")), "amount"), "15.00");
    desk.pay().await;
    assert_eq!(desk.seen().await["payments"][0]["amount"], 1_500);

    let parcel =
        [(units.as_str(), "2"), ("carrier", "DHL"), ("number", "0034"), ("url", "https://dhl.example/0034")];
    let answer = desk.send("/fulfillments", &parcel).await;
    let page = desk.follow(&answer, "fulfillment", "The fulfillment is recorded.").await;
    assert!(page.text.contains("href=\"https://dhl.example/0034\""), "{}", page.text);
    // The form begins with all that is left.
    assert_eq!(value(&page.form(&format!("{path}/fulfillments")), &units), "1");
    let answer = desk.send("/fulfillments", &[]).await;
    desk.follow(&answer, "fulfillment", "The fulfillment is recorded.").await;
    let shipped = desk.seen().await;
    assert_eq!(
        (&shipped["status"], &shipped["fulfillments"][1]["tracking"]),
        (&json!("shipped"), &Value::Null)
    );

    let rest = format!("/fulfillments/{}", desk.latest("fulfillments").await);
    let corrected = [("carrier", "GLS"), ("number", "77"), ("url", "")];
    let answer = desk.send_where(&rest, ("change", "tracking"), &corrected).await;
    desk.follow(&answer, "tracking", "The tracking is corrected.").await;
    let tracking = json!({ "carrier": "GLS", "number": "77", "url": null });
    assert_eq!(desk.seen().await["fulfillments"][1]["tracking"], tracking);
    for place in 0..2_usize {
        let id = desk.seen().await["fulfillments"][place]["id"].as_str().unwrap().to_owned();
        let answer = desk.send_where(&format!("/fulfillments/{id}"), ("change", "delivered"), &[]).await;
        desk.follow(&answer, "delivered", "The fulfillment is delivered.").await;
    }
    assert_eq!(desk.seen().await["status"], "delivered");

    let answer = desk.send("/returns", &[(&units, "2"), ("reason", "too small")]).await;
    desk.follow(&answer, "return", "The return is recorded.").await;
    let rest = format!("/returns/{}", desk.latest("returns").await);
    let (received, restocked) = (desk.field("received"), desk.field("restocked"));
    let form = form_where(&desk.page().await, &desk.path(&rest), ("status", "received"));
    assert_eq!((value(&form, &received), value(&form, &restocked)), ("2".to_owned(), "0".to_owned()));
    let short = [(received.as_str(), "1"), (restocked.as_str(), "1")];
    let answer = desk.send_where(&rest, ("status", "received"), &short).await;
    desk.follow(&answer, "return-received", "The return is received.").await;
    assert_eq!(desk.seen().await["items"][0]["returned"], 1);
    assert_eq!(desk.site.shop.stock(&desk.product).await, (8, 0, 8));

    let preview =
        desk.send_where("/refunds/preview", ("of", "return"), &[("reason", "too small")]).await.expect(200);
    preview.shows("EUR 5.00");
    preview.shows("1 × Mug");
    assert_eq!(desk.seen().await["refunds"], json!([]));
    let confirm = desk.path("/refunds");
    let answer = desk.browser.submit(&preview, &confirm, &[]).await;
    desk.follow(&answer, "refund", "The refund is recorded.").await;
    let refund = desk.seen().await["refunds"][0].clone();
    assert_eq!(
        (&refund["amount"], &refund["reason"], &refund["reference"]),
        (&json!(500), &json!("too small"), &Value::Null)
    );
    let rest = format!("/refunds/{}", desk.latest("refunds").await);
    let answer = desk.send(&rest, &[("reference", "re_1")]).await;
    let page = desk.follow(&answer, "refund-reference", "The reference of the refund is recorded.").await;
    assert_eq!(desk.seen().await["refunds"][0]["reference"], "re_1");
    // The timeline tells all of it.
    for text in
        ["Order placed", "Payment recorded", "Fulfillment 2: tracking corrected", "Fulfillment 1 delivered"]
    {
        page.shows(text);
    }
    for text in
        ["Order delivered", "Return 1 recorded by staff", "Return 1 received", "Refund got its reference"]
    {
        page.shows(text);
    }
}

#[tokio::test]
async fn a_form_that_is_sent_twice_has_one_effect() {
    let mut desk = Desk::of(3).await;
    let units = desk.field("units");
    let page = desk.page().await;
    let payments = desk.path("/payments");
    let form = filled(page.form(&payments), &[("reference", "pi_1"), ("amount", "5.00")]);
    for _ in 0..2 {
        desk.browser.post(&payments, &form).await.leads_to(&desk.path("?done=payment"));
    }
    assert_eq!(desk.seen().await["payments"].as_array().unwrap().len(), 1);
    desk.send("/payments", &[("reference", "pi_2"), ("amount", "10.00")]).await.expect(303);

    for (rest, kind, done, given) in [
        ("/cancellations", "", "units-cancelled", [(units.as_str(), "1")]),
        ("/fulfillments", "fulfillments", "fulfillment", [(units.as_str(), "2")]),
        ("/returns", "returns", "return", [(units.as_str(), "1")]),
    ] {
        let path = desk.path(rest);
        let form = filled(desk.page().await.form(&path), &given);
        for _ in 0..2 {
            desk.browser.post(&path, &form).await.leads_to(&desk.path(&format!("?done={done}")));
        }
        if !kind.is_empty() {
            assert_eq!(desk.seen().await[kind].as_array().unwrap().len(), 1, "{kind}");
        }
    }
    assert_eq!(desk.seen().await["items"][0]["cancelled"], 1);

    let preview = desk.send_where("/refunds/preview", ("of", "amount"), &[("amount", "5")]).await.expect(200);
    let refunds = desk.path("/refunds");
    for _ in 0..2 {
        desk.browser.submit(&preview, &refunds, &[]).await.leads_to(&desk.path("?done=refund"));
    }
    assert_eq!(desk.seen().await["refunds"].as_array().unwrap().len(), 1);

    // These have no key. The version of the page lets them pass once.
    let note = desk.path("/notes");
    let form = filled(desk.page().await.form(&note), &[("internal_note", "call back")]);
    desk.browser.post(&note, &form).await.leads_to(&desk.path("?done=note"));
    let version = desk.seen().await["version"].clone();
    desk.browser.post(&note, &form).await.expect(412);
    assert_eq!(desk.seen().await["version"], version);
}

#[tokio::test]
async fn texts_of_customers_are_escaped() {
    let script = "<script>alert(\"&\")</script>";
    let at = json!({ "line1": script, "city": script, "country": "DE", "name": script });
    let order = json!({ "note": script, "shipping_address": at, "metadata": { script: script } });
    let mut desk = Desk::with(json!({ "name": script }), order, 2).await;
    desk.pay().await;
    desk.send("/fulfillments", &[("carrier", script), ("number", script)]).await.expect(303);
    let item = json!({ "id": desk.item, "quantity": 1, "reason": script });
    let back = json!({ "items": [item], "reason": script });
    desk.staff.post(&format!("/orders/{}/returns", desk.order), back).await.expect(201);
    let refund = json!({ "amount": 1, "reason": script, "reference": script });
    desk.staff.post(&format!("/orders/{}/refunds", desk.order), refund).await.expect(201);
    desk.send("/notes", &[("internal_note", &format!("</textarea>{script}"))]).await.expect(303);
    let page = desk.page().await;
    page.shows(script);
    // A refusal repeats what was sent.
    let sent = format!("\">{script}");
    let refused = desk.send("/payments", &[("amount", &sent), ("reference", &sent)]).await.expect(422);
    refused.shows(&sent);
    for page in [page, refused] {
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
}

#[tokio::test]
async fn an_order_that_there_is_not_is_a_page_of_its_own() {
    let desk = Desk::of(1).await;
    let mut browser = desk.browser.clone();
    for id in ["order_00000000000000000000000000", "x", "%3Cscript%3E"] {
        let page = browser.get(&format!("{ORDERS}/{id}")).await.expect(404);
        page.shows("Order not found.");
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
}

#[tokio::test]
async fn only_known_words_are_shown_as_done() {
    let mut desk = Desk::of(1).await;
    let done = desk.path("?done=payment");
    desk.browser.get(&done).await.expect(200).shows("The payment is recorded.");
    for word in ["", "x", "Buy+now"] {
        let path = desk.path(&format!("?done={word}"));
        let page = desk.browser.get(&path).await.expect(200);
        assert!(!page.text.contains("role=\"status\"") && !page.has("Buy now"), "{}", page.text);
    }
}
