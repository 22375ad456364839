//! Sample of a payment provider, which delivers its webhooks one to five times, late and in any order. It leaves out
//! disputes.
//!
//! It stands in for a real provider in tests and in `local/examples/provider.rs`. `docs/payment-providers.md` has the
//! rules that the handler follows.
//!
//! - [`Provider`]: books of the provider, and the events of its webhooks
//! - [`Plan`]: deliveries of events
//! - [`webhook`]: handler of the events, which records money on orders

use std::iter::repeat_n;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

pub mod webhook;

/// Maximum number of deliveries of an event.
pub const MAX_DELIVERIES: usize = 5;

/// Payment provider with its books.
#[derive(Debug)]
pub struct Provider {
    name: String,
    ids: StdRng,
    captures: Vec<Capture>,
    refunds: Vec<Refund>,
}

/// Money that the provider took from a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// ID at the provider, which is the reference of the payment.
    pub id: String,
    /// Order that the customer paid.
    pub order: String,
    /// Minor units of the order's currency.
    pub amount: i64,
}

/// Money that the provider gave back, or failed to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// ID at the provider, which is the reference of the refund.
    pub id: String,
    /// Order that was paid.
    pub order: String,
    /// Minor units of the order's currency.
    pub amount: i64,
    /// Refund that the shop asked for; none for one that began at the provider.
    pub refund_id: Option<String>,
    /// Idempotency key of the shop's request.
    pub key: Option<String>,
    /// False if the money did not go back.
    pub succeeded: bool,
}

/// Request of the shop to give money back.
#[derive(Clone, Copy, Debug)]
pub struct RefundRequest<'a> {
    /// Order that was paid.
    pub order: &'a str,
    /// Minor units of the order's currency.
    pub amount: i64,
    /// ID of the refund that the shop has recorded.
    pub refund_id: &'a str,
    /// Idempotency key.
    pub key: &'a str,
}

impl Provider {
    /// Creates a provider with empty books, which draws its IDs from `ids`.
    pub fn new(name: impl Into<String>, ids: StdRng) -> Self {
        Self { name: name.into(), ids, captures: Vec::new(), refunds: Vec::new() }
    }

    /// Name, which is the `provider` of its payments.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes money from a customer. Returns the event.
    pub fn capture(&mut self, order: &str, amount: i64) -> Value {
        let id = self.new_id("cap");
        let data = json!({ "id": id, "order_id": order, "amount": amount, "method": "card" });
        self.captures.push(Capture { id, order: order.to_owned(), amount });
        self.event("payment.captured", data)
    }

    /// Gives money back for the shop. Returns the event; none if the key was used before.
    pub fn refund(&mut self, request: RefundRequest) -> Option<Value> {
        self.settle_for_shop(request, true)
    }

    /// Fails to give money back for the shop, like a refund to a closed account. Returns as [`Self::refund`].
    pub fn fail_refund(&mut self, request: RefundRequest) -> Option<Value> {
        self.settle_for_shop(request, false)
    }

    /// Gives money back without the shop, as somebody asked for at the provider's dashboard. Returns the event.
    pub fn refund_at_dashboard(&mut self, order: &str, amount: i64) -> Value {
        let id = self.new_id("re");
        self.settle(Refund {
            id,
            order: order.to_owned(),
            amount,
            refund_id: None,
            key: None,
            succeeded: true,
        })
    }

    /// Captures of an order.
    pub fn captures_of(&self, order: &str) -> impl Iterator<Item = &Capture> {
        self.captures.iter().filter(move |capture| capture.order == order)
    }

    /// Refunds of an order whose money went back.
    pub fn refunds_of(&self, order: &str) -> impl Iterator<Item = &Refund> {
        self.refunds.iter().filter(move |refund| refund.order == order && refund.succeeded)
    }

    fn settle_for_shop(&mut self, request: RefundRequest, succeeded: bool) -> Option<Value> {
        let RefundRequest { order, amount, refund_id, key } = request;
        if self.refunds.iter().any(|refund| refund.key.as_deref() == Some(key)) {
            return None;
        }
        let (order, refund_id, key) = (order.to_owned(), Some(refund_id.to_owned()), Some(key.to_owned()));
        let id = self.new_id("re");
        Some(self.settle(Refund { id, order, amount, refund_id, key, succeeded }))
    }

    fn settle(&mut self, refund: Refund) -> Value {
        let kind = if refund.succeeded { "refund.succeeded" } else { "refund.failed" };
        let data = json!({
            "id": refund.id,
            "order_id": refund.order,
            "amount": refund.amount,
            "refund_id": refund.refund_id,
        });
        self.refunds.push(refund);
        self.event(kind, data)
    }

    fn event(&mut self, kind: &str, data: Value) -> Value {
        json!({ "id": self.new_id("evt"), "type": kind, "data": data })
    }

    fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{:016x}", self.ids.random::<u64>())
    }
}

/// Deliveries of events, one to five of each.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Deliveries that come soon.
    pub prompt: Vec<Value>,
    /// Deliveries that come after other things have happened to the orders.
    pub late: Vec<Value>,
}

impl Plan {
    /// Draws deliveries of events. At least one delivery of each is prompt.
    pub fn draw(events: &[Value], rng: &mut StdRng) -> Self {
        let mut plan = Self::default();
        for event in events {
            plan.prompt.push(event.clone());
            for _ in 1..rng.random_range(1..=MAX_DELIVERIES) {
                let is_late = rng.random_bool(0.5);
                let deliveries = if is_late { &mut plan.late } else { &mut plan.prompt };
                deliveries.push(event.clone());
            }
        }
        plan.prompt.shuffle(rng);
        plan.late.shuffle(rng);
        plan
    }

    /// Adds events of which all deliveries are late, and draws the order of all late ones anew.
    pub fn delay(&mut self, events: &[Value], rng: &mut StdRng) {
        for event in events {
            let count = rng.random_range(1..=MAX_DELIVERIES);
            self.late.extend(repeat_n(event, count).cloned());
        }
        self.late.shuffle(rng);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn each_event_is_delivered_one_to_five_times() {
        let mut rng = StdRng::seed_from_u64(7);
        let events: Vec<Value> = (0..100).map(|event| json!({ "id": event })).collect();
        let (prompt, delayed) = events.split_at(50);
        let mut plan = Plan::draw(prompt, &mut rng);
        plan.delay(delayed, &mut rng);
        let count = |deliveries: &[Value], event: &Value| deliveries.iter().filter(|it| *it == event).count();
        for event in &events {
            let (prompt_ones, late_ones) = (count(&plan.prompt, event), count(&plan.late, event));
            assert!((1..=MAX_DELIVERIES).contains(&(prompt_ones + late_ones)), "{event}");
            assert_eq!(prompt_ones > 0, prompt.contains(event), "{event}");
        }
        let again = Plan::draw(prompt, &mut StdRng::seed_from_u64(7));
        assert_eq!(again.prompt, plan.prompt);
    }

    #[test]
    fn a_provider_refunds_once_for_a_key() {
        let mut provider = Provider::new("acme", StdRng::seed_from_u64(7));
        provider.capture("order_1", 1000);
        let request = RefundRequest { order: "order_1", amount: 400, refund_id: "refund_1", key: "refund_1" };
        let event = provider.refund(request).unwrap();
        assert_eq!(
            (&event["type"], &event["data"]["refund_id"]),
            (&json!("refund.succeeded"), &json!("refund_1"))
        );
        assert_eq!(provider.refund(request), None);
        assert_eq!(
            provider.fail_refund(RefundRequest { key: "other", ..request }).unwrap()["type"],
            "refund.failed"
        );
        let refunded: Vec<i64> = provider.refunds_of("order_1").map(|refund| refund.amount).collect();
        assert_eq!(refunded, [400]);
    }
}
