//! Knowledge of an order's money, from the answers of its clients, and its comparison with the order.
//!
//! Nothing is computed from prices: sums are those of the lists, and the total is the one that was answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::clients::Known;

/// Answer to a request that records an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is recorded.
    Done {
        /// ID of the entry.
        id: String,
        /// Amount of the entry.
        amount: i64,
    },
    /// It is not recorded.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// Payment or refund that was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Knowledge of its request.
    pub(super) known: Known,
    /// ID that was answered.
    pub(super) id: Option<String>,
    /// Amount that was sent or answered.
    pub(super) amount: Option<i64>,
    /// Reference that was acknowledged for a refund.
    pub(super) reference: Option<String>,
}

impl Entry {
    /// Creates an entry that is about to be sent.
    pub(super) fn sent(amount: Option<i64>) -> Self {
        Self { amount, ..Self::default() }
    }

    /// Records the answers to its requests, which had one key. Returns contradictions between them.
    pub(super) fn learn(&mut self, answers: &[Said]) -> Vec<String> {
        let mut wrong = Vec::new();
        for said in answers {
            let Said::Done { id, amount } = said else { continue };
            let known = self.id.get_or_insert_with(|| id.clone());
            if *known != *id {
                wrong.push(format!("answered as {known} and as {id}"));
            }
            let known = *self.amount.get_or_insert(*amount);
            if known != *amount {
                wrong.push(format!("answered with the amount {amount}, not {known}"));
            }
        }
        let is_done = answers.iter().any(|said| matches!(said, Said::Done { .. }));
        self.known = match is_done {
            true => Known::Acknowledged,
            false if answers.contains(&Said::Unknown) => Known::Unknown,
            false => Known::Refused,
        };
        wrong
    }
}

/// List of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Book {
    Payments,
    Refunds,
}

/// Everything that clients sent and were answered about the money of an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// ID of the order.
    pub(super) id: String,
    /// Payments by [`payment_tag`].
    pub(super) payments: BTreeMap<String, Entry>,
    /// Refunds by [`refund_tag`].
    pub(super) refunds: BTreeMap<String, Entry>,
    /// True if a cancellation was acknowledged.
    pub(super) is_cancelled: bool,
}

impl Account {
    /// Creates the account of a new order.
    pub(super) fn of(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// Entries of a list.
    pub(super) fn entries(&mut self, book: Book) -> &mut BTreeMap<String, Entry> {
        match book {
            Book::Payments => &mut self.payments,
            Book::Refunds => &mut self.refunds,
        }
    }
}

/// Name of a payment in its account: provider and reference.
pub(super) fn payment_tag(provider: Option<&str>, reference: &str) -> String {
    format!("{} {reference}", provider.unwrap_or("-"))
}

/// Provider and reference of a payment with this name.
pub(super) fn of_payment_tag(tag: &str) -> (Option<&str>, &str) {
    let (provider, reference) = tag.split_once(' ').unwrap_or(("-", tag));
    (Some(provider).filter(|provider| *provider != "-"), reference)
}

fn tag_of_payment(payment: &Value) -> String {
    payment_tag(payment["provider"].as_str(), payment["reference"].as_str().unwrap_or_default())
}

/// Name of a refund in its account: its reason, which each client chooses anew. The short form has a reference alone.
fn refund_tag(refund: &Value) -> String {
    let tag = refund["reason"].as_str().or_else(|| refund["reference"].as_str());
    tag.unwrap_or_default().to_owned()
}

/// A number that must be there.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn list<'a>(order: &'a Value, field: &str) -> &'a [Value] {
    order[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Violations in an order, whose clients know this much of its money.
pub(super) fn violations(order: &Value, account: &Account) -> Vec<String> {
    let mut wrong = unsound(order);
    wrong.extend(check_entries("payment", list(order, "payments"), tag_of_payment, &account.payments));
    wrong.extend(check_entries("refund", list(order, "refunds"), refund_tag, &account.refunds));
    let status = order["status"].as_str().unwrap_or_default();
    if account.is_cancelled && !["cancelled", "refunded"].contains(&status) {
        wrong.push(format!("cancelled, and is {status}"));
    }
    wrong
}

/// Violations in an order by itself, at any moment.
pub(super) fn unsound(order: &Value) -> Vec<String> {
    let mut wrong = check_sums(order);
    wrong.extend(check_refunds(order));
    wrong.extend(check_history(order));
    wrong
}

/// References that two payments have, over all orders.
pub(super) fn doubled_references(orders: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut places: BTreeMap<String, &Value> = BTreeMap::new();
    for order in orders {
        for payment in list(order, "payments") {
            let tag = tag_of_payment(payment);
            if let Some(other) = places.insert(tag.clone(), &order["id"]) {
                wrong.push(format!("the reference {tag} stands in {other} and in {}", order["id"]));
            }
        }
    }
    wrong
}

/// Compares the entries of a list with those that were sent.
fn check_entries(
    what: &str,
    found: &[Value],
    tag: impl Fn(&Value) -> String,
    sent: &BTreeMap<String, Entry>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut times, mut ids) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    for entry in found {
        let tag = tag(entry);
        if !ids.insert(entry["id"].as_str()) {
            wrong.push(format!("two entries of {what} have the ID {}", entry["id"]));
        }
        match sent.get(&tag) {
            None => wrong.push(format!("{what} {tag} was never sent")),
            Some(Entry { known: Known::Refused, .. }) => {
                wrong.push(format!("{what} {tag} was refused, and is there"));
            }
            Some(sent) => {
                if sent.id.as_ref().is_some_and(|id| entry["id"] != *id) {
                    wrong.push(format!("{what} {tag} was {:?}, and is {}", sent.id, entry["id"]));
                }
                if sent.amount.is_some_and(|amount| entry["amount"] != amount) {
                    wrong.push(format!(
                        "{what} {tag} was of {:?}, and is of {}",
                        sent.amount, entry["amount"]
                    ));
                }
                if sent.reference.as_ref().is_some_and(|reference| entry["reference"] != *reference) {
                    let (was, is) = (&sent.reference, &entry["reference"]);
                    wrong.push(format!("{what} {tag} had the reference {was:?}, and has {is}"));
                }
            }
        }
        *times.entry(tag).or_default() += 1;
    }
    for (tag, times) in times.iter().filter(|(_, times)| **times > 1) {
        wrong.push(format!("{what} {tag} stands {times} times"));
    }
    let acknowledged = sent.iter().filter(|(_, entry)| entry.known == Known::Acknowledged);
    for (tag, entry) in acknowledged.filter(|(tag, _)| !times.contains_key(*tag)) {
        wrong.push(format!("{what} {tag} was acknowledged, and is lost: {entry:?}"));
    }
    wrong
}

/// Compares the sums with the lists, and the status with the sums.
fn check_sums(order: &Value) -> Vec<String> {
    let sum = |field: &str| list(order, field).iter().map(|entry| number(&entry["amount"])).sum::<i64>();
    let (paid, refunded) = (sum("payments"), sum("refunds"));
    let total = number(&order["total"]["amount"]);
    let status = order["status"].as_str().unwrap_or_default();
    let was_cancelled = || {
        list(order, "history").iter().any(|entry| entry["event"] == "status" && entry["to"] == "cancelled")
    };
    let is_cancelled = status == "cancelled" || (status == "refunded" && was_cancelled());
    // The amount of some units follows from prices, so it is taken as it is.
    let of_units = number(&order["totals"]["cancelled"]).clamp(0, total);
    let has_cancelled = list(order, "items").iter().any(|item| number(&item["cancelled"]) > 0);
    let cancelled = match (is_cancelled, has_cancelled) {
        (true, _) => total,
        (false, true) => of_units,
        (false, false) => 0,
    };
    let payable = total - cancelled;

    let mut wrong = Vec::new();
    for (name, expected) in [
        ("total", total),
        ("cancelled", cancelled),
        ("paid", paid),
        ("refunded", refunded),
        ("due", (payable - paid).max(0)),
        ("refund_due", (paid - refunded - payable).max(0)),
    ] {
        if order["totals"][name] != expected {
            wrong.push(format!("`{name}` is {}, and should be {expected}", order["totals"][name]));
        }
    }
    let part = |name: &str| number(&order["totals"][name]);
    let parts = part("items") - part("discounts") + part("shipping") + part("tax");
    if parts != total {
        wrong.push(format!("the total is {total}, and its parts are {parts}"));
    }
    if refunded > paid {
        wrong.push(format!("{refunded} refunded of {paid} paid"));
    }
    let fits = match status {
        "placed" => paid < payable,
        "paid" => paid >= payable,
        "cancelled" => paid == 0 || refunded < paid,
        "refunded" => refunded > 0,
        _ => true,
    };
    if !fits {
        wrong.push(format!("{status} with {payable} payable, {paid} paid, {refunded} refunded"));
    }
    wrong
}

/// Compares refunds with the payments and the items that they name.
fn check_refunds(order: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let refunds = list(order, "refunds");
    for payment in list(order, "payments") {
        let of_it = refunds.iter().filter(|refund| refund["payment_id"] == payment["id"]);
        let refunded: i64 = of_it.map(|refund| number(&refund["amount"])).sum();
        if refunded > number(&payment["amount"]) {
            wrong.push(format!("{refunded} refunded of the payment {payment}"));
        }
    }
    let named: Vec<&Value> = refunds.iter().flat_map(|refund| list(refund, "items")).collect();
    let items = list(order, "items");
    for item in items {
        let of_it = named.iter().filter(|named| named["id"] == item["id"]);
        let units: i64 = of_it.map(|named| number(&named["quantity"])).sum();
        if item["refunded"] != units || units > number(&item["quantity"]) {
            wrong.push(format!("refunds have {units} units of {item}"));
        }
    }
    for named in named.iter().filter(|named| !items.iter().any(|item| item["id"] == named["id"])) {
        wrong.push(format!("refunded units of no item: {named}"));
    }
    wrong
}

/// Compares the history with the lists. The reference of a refund is an entry of its own.
fn check_history(order: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (field, event, most) in [("payments", "payment", 1), ("refunds", "refund", 2)] {
        for entry in list(order, field) {
            let about = |it: &&Value| it["event"] == event && it["subject"] == entry["id"];
            let times = list(order, "history").iter().filter(about).count();
            if !(1..=most).contains(&times) {
                wrong.push(format!("the history has {event} {} {times} times", entry["id"]));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A paid order with a refund of one unit, and what its clients know of it.
    fn paid_order() -> (Value, Account) {
        let order = json!({
            "id": "order_1",
            "status": "paid",
            "items": [{ "id": "item_1", "quantity": 2, "cancelled": 0, "refunded": 1 }],
            "total": { "amount": 1000, "currency": "EUR" },
            "totals": {
                "items": 1200, "discounts": 400, "shipping": 150, "tax": 50, "tax_included": 0, "total": 1000,
                "cancelled": 0, "paid": 1000, "refunded": 500, "due": 0, "refund_due": 0,
            },
            "payments": [{ "id": "payment_1", "amount": 1000, "reference": "pi_1", "provider": null }],
            "refunds": [{
                "id": "refund_1",
                "amount": 500,
                "items": [{ "id": "item_1", "quantity": 1 }],
                "reason": "refund-1",
                "reference": null,
                "payment_id": "payment_1",
            }],
            "history": [
                { "event": "status", "from": null, "to": "placed", "subject": null },
                { "event": "payment", "from": null, "to": null, "subject": "payment_1" },
                { "event": "status", "from": "placed", "to": "paid", "subject": null },
                { "event": "refund", "from": null, "to": null, "subject": "refund_1" },
            ],
        });
        let mut account = Account::of("order_1".to_owned());
        for (book, tag, id, amount) in
            [(Book::Payments, "- pi_1", "payment_1", 1000), (Book::Refunds, "refund-1", "refund_1", 500)]
        {
            let mut entry = Entry::sent(Some(amount));
            assert_eq!(entry.learn(&[Said::Done { id: id.to_owned(), amount }]), [""; 0]);
            account.entries(book).insert(tag.to_owned(), entry);
        }
        (order, account)
    }

    /// Adds an entry to a list of the order.
    fn add(order: &mut Value, field: &str, entry: Value) {
        order[field].as_array_mut().unwrap().push(entry);
    }

    fn again(order: &mut Value, field: &str) {
        let entry = order[field][0].clone();
        add(order, field, entry);
    }

    #[test]
    fn the_check_finds_nothing_in_a_sound_order() {
        let (order, account) = paid_order();
        assert_eq!(violations(&order, &account), [""; 0]);
        assert_eq!(doubled_references(&[order]), [""; 0]);
    }

    #[test]
    fn the_check_finds_each_damage() {
        type Damage = fn(&mut Value, &mut Account);
        let damages: [(&str, Damage); 18] = [
            ("stands 2 times", |order, _| again(order, "payments")),
            ("`paid` is 1000, and should be 2000", |order, _| again(order, "payments")),
            ("have the ID \"payment_1\"", |order, _| again(order, "payments")),
            ("1500 refunded of 1000 paid", |order, _| order["refunds"][0]["amount"] = json!(1500)),
            ("1500 refunded of the payment", |order, _| order["refunds"][0]["amount"] = json!(1500)),
            ("refunds have 3 units", |order, _| order["refunds"][0]["items"][0]["quantity"] = json!(3)),
            ("units of no item", |order, _| order["items"] = json!([])),
            ("placed with 1000 payable, 1000 paid", |order, _| order["status"] = json!("placed")),
            ("paid with 1001 payable, 1000 paid", |order, _| order["total"]["amount"] = json!(1001)),
            ("`cancelled` is 1, and should be 0", |order, _| order["totals"]["cancelled"] = json!(1)),
            ("`cancelled` is 1001, and should be 1000", |order, _| {
                order["items"][0]["cancelled"] = json!(1);
                order["totals"]["cancelled"] = json!(1001);
            }),
            ("`due` is 1, and should be 0", |order, _| order["totals"]["due"] = json!(1)),
            ("its parts are 1001", |order, _| order["totals"]["tax"] = json!(51)),
            ("was acknowledged, and is lost", |order, _| order["payments"] = json!([])),
            ("was never sent", |_, account| account.refunds.clear()),
            ("was refused, and is there", |_, account| {
                let refund = Entry { known: Known::Refused, ..Entry::default() };
                account.refunds.insert("refund-1".to_owned(), refund);
            }),
            ("cancelled, and is paid", |_, account| account.is_cancelled = true),
            ("the history has payment \"payment_1\" 0 times", |order, _| order["history"] = json!([])),
        ];
        for (expected, damage) in damages {
            let (mut order, mut account) = paid_order();
            damage(&mut order, &mut account);
            let found = violations(&order, &account);
            assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn a_reference_in_two_orders_is_found() {
        let (one, _) = paid_order();
        let mut other = one.clone();
        other["payments"][0]["provider"] = json!("stripe");
        assert_eq!(doubled_references(&[one.clone(), other.clone()]), [""; 0]);
        add(&mut other, "payments", one["payments"][0].clone());
        assert_eq!(doubled_references(&[one, other]).len(), 1);
    }

    #[test]
    fn answers_under_one_key_must_agree() {
        let done = |id: &str, amount| Said::Done { id: id.to_owned(), amount };
        let learn = |answers: &[Said]| {
            let mut entry = Entry::sent(Some(5));
            let wrong = entry.learn(answers).len();
            (entry.known, wrong)
        };
        assert_eq!(learn(&[done("a", 5), Said::Refused]), (Known::Acknowledged, 0));
        assert_eq!(learn(&[done("a", 5), done("b", 5)]), (Known::Acknowledged, 1));
        assert_eq!(learn(&[done("a", 6)]), (Known::Acknowledged, 1));
        assert_eq!(learn(&[Said::Unknown, Said::Refused]), (Known::Unknown, 0));
        assert_eq!(learn(&[Said::Refused]), (Known::Refused, 0));
    }
}
