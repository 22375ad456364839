//! Demo data: a coffee and tea dealer with 30 products, a few customers, and orders in every status and in parts.
//!
//! It is loaded through the API, as users would.

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::error::CommandError;
use crate::settings::Settings;

/// E-mail address of the demo staff user.
pub const STAFF: &str = "staff@example.com";

/// E-mail address of a demo customer who has orders.
pub const CUSTOMER: &str = "ada@example.com";

/// Password of all demo users.
///
/// It is published so that the README's tour can be pasted. It is no secret: the users are only created where
/// MongoDB is on this machine, or by the containers' profile `demo`, which no deployment has.
pub const PASSWORD: &str = "coffee and tea";

/// Presence of the demo data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    /// The demo users can sign in.
    Present,
    /// It was not requested, or the database was not empty.
    Absent,
}

/// Loads the demo data, unless there are products already.
///
/// # Errors
/// If the API refuses a request.
pub async fn load(router: Router, settings: &Settings) -> Result<Demo, CommandError> {
    let api = Api { router };
    let anonymous = Session(None);
    let is_empty =
        api.get(&anonymous, "/products?limit=1").await?["data"].as_array().is_none_or(Vec::is_empty);
    if !is_empty {
        return Ok(if api.sign_in(STAFF, PASSWORD).await.is_ok() { Demo::Present } else { Demo::Absent });
    }
    let Ok(admin) = api.sign_in(&settings.admin_email, &settings.admin_password).await else {
        // An admin with a changed password uses this database for other things than demo data.
        return Ok(Demo::Absent);
    };
    api.post(&admin, "/users", user(STAFF, "Grace Hopper", Some("staff"))).await?;
    let staff = api.sign_in(STAFF, PASSWORD).await?;
    let mut customers = Vec::new();
    for (email, name) in [
        (CUSTOMER, "Ada Lovelace"),
        ("alan@example.com", "Alan Turing"),
        ("edsger@example.com", "Edsger Dijkstra"),
        ("barbara@example.com", "Barbara Liskov"),
    ] {
        let made = api.post(&anonymous, "/users", user(email, name, None)).await?;
        customers.push((api.sign_in(email, PASSWORD).await?, text(&made, "id")?));
    }
    let products = api.stock_the_shelves(&staff).await?;
    for (index, status) in STATES.into_iter().enumerate() {
        let (customer, _) = &customers[index % customers.len()];
        let items = [&products[index], &products[index + 9]];
        api.order_until(customer, &staff, &items, status).await?;
    }
    let (ada, customer) = &customers[0];
    api.order_by_phone(&staff, customer, &products).await?;
    api.order_in_two_parcels(ada, &staff, &products).await?;
    let (alan, _) = &customers[1];
    api.order_sent_back_in_part(alan, &staff, &products).await?;
    let (edsger, _) = &customers[2];
    api.order_with_a_cancelled_unit(edsger, &staff, &products).await?;
    Ok(Demo::Present)
}

/// Order that was cancelled before its money came.
const PAID_LATE: &str = "cancelled, and paid late";

/// Order of which a part of the money went back.
const PARTLY_REFUNDED: &str = "delivered, and partly refunded";

/// Final status of each order: every status, some twice; one order is cancelled after payment, others before.
const STATES: [&str; 10] = [
    "placed",
    "paid",
    "shipped",
    "delivered",
    "cancelled",
    "returned",
    "refunded",
    "paid and cancelled",
    PAID_LATE,
    PARTLY_REFUNDED,
];

/// Products: SKU, name, description, price in cents, units on hand.
const PRODUCTS: [(&str, &str, &str, i64, i64); 30] = [
    ("MUG-BLUE", "Blue mug", "Stoneware, 300 ml. Survives the dishwasher.", 1299, 120),
    ("MUG-RED", "Red mug", "Stoneware, 300 ml. The blue one's sister.", 1299, 80),
    ("MUG-TRAVEL", "Travel mug", "Steel, 400 ml, and a lid that closes.", 2499, 60),
    ("CUP-ESPRESSO", "Espresso cup", "Porcelain, 60 ml, thick walls.", 899, 200),
    ("CUP-CAPPUCCINO", "Cappuccino cup", "Porcelain, 180 ml, with a saucer.", 1199, 150),
    ("GLASS-LATTE", "Latte glass", "Double-walled, 350 ml.", 1499, 90),
    ("BEAN-ETHIOPIA-250", "Coffee from Yirgacheffe, 250 g", "Floral, lemon, washed. Light roast.", 1190, 75),
    ("BEAN-COLOMBIA-250", "Coffee from Huila, 250 g", "Caramel and red apple. Medium roast.", 990, 110),
    ("BEAN-BRAZIL-1000", "Coffee from Cerrado, 1 kg", "Nuts and chocolate, for espresso.", 2690, 45),
    ("BEAN-DECAF-250", "Decaf from Sumatra, 250 g", "For late evenings.", 1090, 40),
    ("TEA-ASSAM-100", "Assam, 100 g", "Malty; takes milk well.", 690, 60),
    ("TEA-DARJEELING-100", "Darjeeling first flush, 100 g", "Spring, in a tin.", 1590, 25),
    ("TEA-SENCHA-100", "Sencha, 100 g", "Green; water of 70 °C, please.", 1290, 35),
    ("TEA-GENMAICHA-100", "Genmaicha, 100 g", "Green tea with roasted rice.", 990, 30),
    ("TEA-ROOIBOS-100", "Rooibos, 100 g", "No tea at all, and no caffeine.", 490, 90),
    ("TEA-MINT-50", "Peppermint, 50 g", "Whole leaves.", 390, 85),
    ("POT-TEA-1L", "Teapot, 1 l", "Glass, with a strainer of steel.", 3490, 20),
    ("POT-IRON", "Tea pot of cast iron, 0.8 l", "Enamelled inside; keeps warm.", 5990, 12),
    ("KETTLE-GOOSENECK", "Gooseneck kettle", "Sets the temperature to a degree.", 8990, 15),
    ("GRINDER-HAND", "Hand grinder", "Steel burrs, 36 clicks.", 7990, 18),
    ("GRINDER-ELECTRIC", "Electric grinder", "Flat burrs, from filter to espresso.", 24900, 7),
    ("DRIPPER-01", "Dripper 01", "Porcelain, for one or two cups.", 1990, 55),
    ("FILTER-01-100", "Paper filters 01, 100 pieces", "White, without a taste.", 590, 300),
    ("PRESS-1L", "French press, 1 l", "Steel, double-walled.", 4490, 22),
    ("MOKA-6", "Moka pot, 6 cups", "Aluminium, as on your grandmother's stove.", 3290, 33),
    ("AEROPRESS", "Air press", "For travellers, and for the impatient.", 3490, 41),
    ("SCALE-01", "Scale with a timer", "0.1 g, 2 kg, USB-C.", 4990, 16),
    ("TAMPER-58", "Tamper, 58 mm", "Beech and steel.", 3900, 28),
    ("PITCHER-350", "Milk pitcher, 350 ml", "A spout that can draw a swan.", 1890, 37),
    ("CLEANER-500", "Machine cleaner, 500 g", "Once a week. Really.", 1490, 65),
];

fn user(email: &str, name: &str, role: Option<&str>) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": name, "address": address(), "role": role })
}

fn address() -> Value {
    json!({ "line1": "1 Analytical Way", "city": "London", "postal_code": "EC1A 1AA", "country": "GB" })
}

/// Access token of a user, or none for an anonymous client.
struct Session(Option<String>);

/// Client of the API in this process.
struct Api {
    router: Router,
}

impl Api {
    async fn stock_the_shelves(&self, staff: &Session) -> Result<Vec<String>, CommandError> {
        let mut ids = Vec::new();
        for (sku, name, description, amount, stock) in PRODUCTS {
            let kind = sku.split('-').next().unwrap_or(sku).to_lowercase();
            let product = json!({
                "sku": sku,
                "name": name,
                "description": description,
                "price": { "amount": amount, "currency": "EUR" },
                "stock": stock,
                "attributes": { "kind": kind },
            });
            let made = self.post(staff, "/products", product).await?;
            ids.push(text(&made, "id")?);
        }
        Ok(ids)
    }

    /// Places an order and moves it to a status.
    async fn order_until(
        &self,
        customer: &Session,
        staff: &Session,
        products: &[&String],
        status: &str,
    ) -> Result<(), CommandError> {
        let items: Vec<(&String, usize)> =
            products.iter().enumerate().map(|(index, id)| (*id, index + 1)).collect();
        let placed = self.place(customer, &items).await?;
        let id = text(&placed, "id")?;
        let path = format!("/orders/{id}");
        for (step, change) in steps(status, &text(&placed, "number")?) {
            let who = if step == "cancelled" && status != "paid and cancelled" { customer } else { staff };
            self.send(who, "PUT", &path, Some(change)).await?;
        }
        let money = match status {
            PAID_LATE => {
                let reference = format!("transfer of {id}");
                Some(("payments", json!({ "amount": 1000, "reference": reference, "provider": "bank" })))
            }
            PARTLY_REFUNDED => Some(("refunds", json!({ "amount": 500, "reason": "a chipped cup" }))),
            _ => None,
        };
        if let Some((entries, body)) = money {
            self.post(staff, &format!("{path}/{entries}"), body).await?;
        }
        Ok(())
    }

    /// Places an order with discount, taxes and shipping for a customer, and pays it.
    async fn order_by_phone(
        &self,
        staff: &Session,
        customer: &str,
        products: &[String],
    ) -> Result<(), CommandError> {
        let (cups, (_, _, _, price, _)) = (4, PRODUCTS[3]);
        let discount = price * cups / 10;
        let base = price * cups - discount;
        let order = json!({
            "user_id": customer,
            "items": [{
                "product_id": products[3],
                "quantity": cups,
                "discounts": [{ "label": "Four for the office, 10 %", "amount": discount }],
                "taxes": [vat_within(base)],
            }],
            "shipping": { "label": "Standard", "amount": 490, "taxes": [vat_within(490)] },
            "shipping_address": address(),
            "billing_address": {
                "company": "Analytical Engines Ltd", "line1": "1 Works Road", "city": "London",
                "postal_code": "EC1A 1AA", "country": "GB",
            },
            "external_number": "PHONE-2041",
            "internal_note": "Ordered by phone.",
        });
        let placed = self.post(staff, "/orders", order).await?;
        let path = format!("/orders/{}", text(&placed, "id")?);
        let payment = json!({ "reference": format!("pi_{}", text(&placed, "number")?), "method": "invoice" });
        self.send(staff, "PUT", &path, Some(json!({ "status": "paid", "payment": payment }))).await.map(drop)
    }

    /// Ships an order in two parcels. The tracking of the first one is corrected, and it is delivered.
    async fn order_in_two_parcels(
        &self,
        customer: &Session,
        staff: &Session,
        products: &[String],
    ) -> Result<(), CommandError> {
        let (path, placed) = self.paid(customer, staff, &[(&products[1], 2), (&products[16], 1)]).await?;
        let parcels = format!("{path}/fulfillments");
        let mugs = json!([{ "id": text(&placed["items"][0], "id")?, "quantity": 2 }]);
        let tracking = |number: &str| json!({ "carrier": "Royal Mail", "number": number });
        let first = json!({ "items": mugs, "tracking": tracking("RM 4102 7731 5GB") });
        let first = self.post(staff, &parcels, first).await?;
        let mut rest = tracking("RM 4102 7799 1GB");
        rest["url"] = "https://parcels.example/RM410277991GB".into();
        self.post(staff, &parcels, json!({ "tracking": rest })).await?;
        let first = format!("{parcels}/{}", text(&first, "id")?);
        let corrected = json!({ "tracking": tracking("RM 4102 7713 5GB") });
        self.send(staff, "PUT", &first, Some(corrected)).await?;
        self.send(staff, "PUT", &first, Some(json!({ "status": "delivered" }))).await.map(drop)
    }

    /// Delivers an order of which the customer wants to return two units. One comes back, goes on sale again, and is
    /// refunded.
    async fn order_sent_back_in_part(
        &self,
        customer: &Session,
        staff: &Session,
        products: &[String],
    ) -> Result<(), CommandError> {
        let (path, placed) = self.paid(customer, staff, &[(&products[4], 4)]).await?;
        let item = text(&placed["items"][0], "id")?;
        let parcels = format!("{path}/fulfillments");
        let parcel = self.post(staff, &parcels, json!({})).await?;
        let parcel = format!("{parcels}/{}", text(&parcel, "id")?);
        self.send(staff, "PUT", &parcel, Some(json!({ "status": "delivered" }))).await?;
        let two = json!({ "id": item, "quantity": 2, "reason": "smaller than it looks" });
        let asked = json!({ "items": [two], "reason": "does not fit under our machine" });
        let asked = self.post(customer, &format!("{path}/returns"), asked).await?;
        let id = text(&asked, "id")?;
        let returned = format!("{path}/returns/{id}");
        self.send(staff, "PUT", &returned, Some(json!({ "status": "approved" }))).await?;
        let one = json!({ "id": item, "received": 1, "restocked": 1 });
        let received = json!({ "status": "received", "items": [one] });
        self.send(staff, "PUT", &returned, Some(received)).await?;
        self.post(staff, &format!("{path}/refunds"), json!({ "return_id": id })).await.map(drop)
    }

    /// Cancels one unit of an order that is paid. Its money is due for refund.
    async fn order_with_a_cancelled_unit(
        &self,
        customer: &Session,
        staff: &Session,
        products: &[String],
    ) -> Result<(), CommandError> {
        let (path, placed) = self.paid(customer, staff, &[(&products[5], 3)]).await?;
        let one = json!({ "id": text(&placed["items"][0], "id")?, "quantity": 1 });
        let broken = json!({ "items": [one], "reason": "broke when it was packed" });
        self.post(staff, &format!("{path}/cancellations"), broken).await.map(drop)
    }

    /// Places an order of these products and units, and pays it. Returns its path, and the order as it was placed.
    async fn paid(
        &self,
        customer: &Session,
        staff: &Session,
        items: &[(&String, usize)],
    ) -> Result<(String, Value), CommandError> {
        let placed = self.place(customer, items).await?;
        let path = format!("/orders/{}", text(&placed, "id")?);
        for (_, change) in steps("paid", &text(&placed, "number")?) {
            self.send(staff, "PUT", &path, Some(change)).await?;
        }
        Ok((path, placed))
    }

    /// Places an order of these products and units.
    async fn place(&self, customer: &Session, items: &[(&String, usize)]) -> Result<Value, CommandError> {
        let item = |(id, quantity): &(&String, usize)| json!({ "product_id": id, "quantity": quantity });
        let items: Vec<Value> = items.iter().map(item).collect();
        self.post(customer, "/orders", json!({ "items": items, "shipping_address": address() })).await
    }

    async fn sign_in(&self, email: &str, password: &str) -> Result<Session, CommandError> {
        let answer =
            self.post(&Session(None), "/auth", json!({ "email": email, "password": password })).await?;
        Ok(Session(Some(text(&answer, "access_token")?)))
    }

    async fn get(&self, session: &Session, path: &str) -> Result<Value, CommandError> {
        self.send(session, "GET", path, None).await
    }

    async fn post(&self, session: &Session, path: &str, body: Value) -> Result<Value, CommandError> {
        self.send(session, "POST", path, Some(body)).await
    }

    async fn send(
        &self,
        session: &Session,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CommandError> {
        let failed = |what: String| CommandError::new(format!("demo data: {method} {path}: {what}"));
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &session.0 {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| failed(error.to_string()))?;
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let bytes =
            to_bytes(response.into_body(), usize::MAX).await.map_err(|error| failed(error.to_string()))?;
        if !status.is_success() {
            return Err(failed(format!("{status} {}", String::from_utf8_lossy(&bytes))));
        }
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }
}

/// Tax of 19 % that an amount in cents includes.
fn vat_within(amount: i64) -> Value {
    json!({ "label": "VAT", "rate": "0.19", "amount": (amount * 19 + 59) / 119, "included": true })
}

/// Lists the changes that lead an order of this number to a status.
fn steps(status: &str, number: &str) -> Vec<(&'static str, Value)> {
    let payment = json!({ "reference": format!("pi_{number}"), "method": "card" });
    let paid = ("paid", json!({ "status": "paid", "payment": payment }));
    let tracking = json!({ "carrier": "DHL", "number": "00340434161094042557" });
    let shipped = ("shipped", json!({ "status": "shipped", "tracking": tracking }));
    let delivered = ("delivered", json!({ "status": "delivered" }));
    let returned = ("returned", json!({ "status": "returned", "restock": true, "reason": "too blue" }));
    let refund = json!({ "refund_reference": format!("re_{number}") });
    let refunded = ("refunded", json!({ "status": "refunded", "payment": refund }));
    let cancelled = ("cancelled", json!({ "status": "cancelled", "reason": "changed my mind" }));
    match status {
        "paid" => vec![paid],
        "shipped" => vec![paid, shipped],
        "delivered" | PARTLY_REFUNDED => vec![paid, shipped, delivered],
        "returned" => vec![paid, shipped, delivered, returned],
        "refunded" => vec![paid, shipped, delivered, returned, refunded],
        "cancelled" | PAID_LATE => vec![cancelled],
        "paid and cancelled" => vec![paid, cancelled],
        _ => Vec::new(),
    }
}

fn text(answer: &Value, field: &str) -> Result<String, CommandError> {
    let text = answer[field].as_str().map(str::to_owned);
    text.ok_or_else(|| CommandError::new(format!("demo data: an answer without {field}")))
}
