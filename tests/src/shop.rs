//! The shop that a test is about, as its users see it. Without a target it is one in this process, on a fresh database
//! and behind a real socket.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::person::{PASSWORD, Person, address};
use crate::target::{Target, target};

/// The whole system, as its users see it.
pub struct Shop {
    /// URL of the shop, such as `http://127.0.0.1:PORT`.
    pub base: String,
    http: reqwest::Client,
    admin: Person,
}

impl Shop {
    /// Opens a shop that has an admin: on the target, whose products, users and orders are not those of the
    /// test alone, else in process.
    pub async fn open() -> Self {
        match target() {
            None => Self::in_this_process().await,
            Some(target) => {
                let Target { base, admin_email, admin_password } = target;
                let mut shop = Self::with_admin(base.clone(), admin_email, admin_password).await;
                // The test's own: whatever it does to its admin, the others go on.
                shop.admin = shop.person("admin").await;
                shop
            }
        }
    }

    #[cfg(feature = "in-process")]
    async fn in_this_process() -> Self {
        crate::in_process::InProcess::open().await.shop
    }

    #[cfg(not(feature = "in-process"))]
    async fn in_this_process() -> Self {
        panic!("OMS_TARGET is required: this build cannot open a shop in process")
    }

    pub(crate) async fn with_admin(base: String, email: &str, password: &str) -> Self {
        let http = reqwest::Client::new();
        let mut admin = Person::anyone(http.clone(), &base).signs_in(email, password).await;
        admin.id = admin.own_id();
        Self { base, http, admin }
    }

    /// Somebody without a token.
    pub fn anyone(&self) -> Person {
        Person::anyone(self.http.clone(), &self.base)
    }

    /// The first admin.
    pub fn admin(&self) -> Person {
        self.admin.clone()
    }

    /// Has the first admin sign in again: an access token ends after 15 minutes.
    pub async fn admin_signs_in_again(&mut self) {
        let admin = self.anyone().signs_in(&self.admin.email, PASSWORD).await;
        self.admin.token = admin.token;
    }

    /// A new customer, who has signed in.
    pub async fn customer(&self) -> Person {
        self.person("customer").await
    }

    /// A new member of the staff, who has signed in.
    pub async fn staff(&self) -> Person {
        self.person("staff").await
    }

    /// A new user of this role, who has signed in.
    pub async fn person(&self, role: &str) -> Person {
        let email = new_email();
        let user = json!({ "email": email, "password": PASSWORD, "name": "Somebody", "role": role });
        let user = self.admin.post("/users", user).await.expect(201);
        let mut person = self.anyone().signs_in(&email, PASSWORD).await;
        person.id = user.id();
        person
    }

    /// A new active product at 5.00 EUR, with so many pieces on hand. Its ID.
    pub async fn product(&self, on_hand: i64) -> String {
        self.product_with(json!({ "stock": on_hand })).await.id()
    }

    /// A new product, with some fields of its own.
    pub async fn product_with(&self, fields: Value) -> Answer {
        let mut product = json!({
            "sku": new_sku(),
            "name": "Mug",
            "price": { "amount": 500, "currency": "EUR" },
        });
        if let (Some(product), Value::Object(fields)) = (product.as_object_mut(), fields) {
            product.extend(fields);
        }
        self.admin.post("/products", product).await.expect(201)
    }

    /// On hand, reserved and available of a product, as staff see it.
    pub async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let answer = self.admin.get(&format!("/products/{product}")).await.expect(200);
        let count = |field: &str| answer["stock"][field].as_i64().unwrap_or(-1);
        (count("on_hand"), count("reserved"), count("available"))
    }

    /// A new order of a new customer for one piece of a new product, walked to a status by the admin.
    pub async fn order_in(&self, status: &str) -> (Person, String) {
        let customer = self.customer().await;
        let product = self.product(10).await;
        let order = customer.orders(&[(&product, 1)]).await.expect(201).id();
        for step in steps_to(status) {
            self.admin.moves(&order, step).await.expect(200);
        }
        (customer, order)
    }
}

/// The changes that lead to a status. `paid, cancelled` is a cancelled order that was paid.
pub fn steps_to(status: &str) -> &'static [&'static str] {
    match status {
        "paid" => &["paid"],
        "shipped" => &["paid", "shipped"],
        "delivered" => &["paid", "shipped", "delivered"],
        "returned" => &["paid", "shipped", "delivered", "returned"],
        "refunded" => &["paid", "shipped", "delivered", "returned", "refunded"],
        "cancelled" => &["cancelled"],
        "paid, cancelled" => &["paid", "cancelled"],
        _ => &[],
    }
}

/// The body of an order.
pub fn order_of(product: &str, quantity: i64) -> Value {
    json!({ "items": [{ "product_id": product, "quantity": quantity }], "shipping_address": address() })
}

/// An e-mail address that nobody has.
pub fn new_email() -> String {
    format!("{}@example.com", Uuid::new_v4().simple())
}

/// A SKU that no product has.
pub fn new_sku() -> String {
    format!("SKU-{}", Uuid::new_v4().simple())
}
