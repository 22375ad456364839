//! A client of the campaign: its requests, their faults, and what it learns from the answers.

use std::time::Duration;

use futures::future::join;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use shared::values::clock::Clock;
use tests::proxy::{Command, Moment};

use super::Market;
use super::account::{Book, Entry, Said, number, of_payment_tag, payment_tag};
use crate::clients::{Ask, Known, Reply, Terminal};
use crate::process::{Fault, Mishap};

/// Percentage of the tries that have a fault.
const FAULTS: u32 = 40;

/// Largest payment beyond what is due, and refund beyond what is left.
const BEYOND: i64 = 300;

/// Largest quantity of an item.
const MOST: i64 = 6;

/// Operation of a client on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    PayDue,
    PayPart,
    /// With the reference and the amount of a payment of the order.
    PayAgain,
    /// With the reference of a payment of the order, and another amount.
    PayAnotherAmount,
    /// Two requests at once under one key.
    PayTwiceAtOnce,
    /// One reference for two orders at once.
    PayTwoOrders,
    PayInShort,
    RefundAmount,
    RefundItem,
    RefundShipping,
    /// Two requests at once under one key.
    RefundTwiceAtOnce,
    RefundInShort,
    SetReference,
    Cancel,
    /// With a payment deadline that passes soon.
    Expire,
    Edit,
    /// Some units of an item.
    Ship,
    CancelFulfillment,
    /// Some units of an item.
    CancelUnits,
    /// Some units of an item.
    Return,
    Receive,
    /// Of what a return has brought back.
    RefundReturn,
}

/// Operations and how often each is chosen.
pub(super) const MIX: [(Operation, u32); 22] = [
    (Operation::PayDue, 8),
    (Operation::PayPart, 16),
    (Operation::PayAgain, 8),
    (Operation::PayAnotherAmount, 5),
    (Operation::PayTwiceAtOnce, 8),
    (Operation::PayTwoOrders, 5),
    (Operation::PayInShort, 6),
    (Operation::RefundAmount, 10),
    (Operation::RefundItem, 10),
    (Operation::RefundShipping, 4),
    (Operation::RefundTwiceAtOnce, 6),
    (Operation::RefundInShort, 6),
    (Operation::SetReference, 6),
    (Operation::Cancel, 4),
    (Operation::Expire, 4),
    (Operation::Edit, 14),
    (Operation::Ship, 8),
    (Operation::CancelFulfillment, 4),
    (Operation::CancelUnits, 8),
    (Operation::Return, 5),
    (Operation::Receive, 5),
    (Operation::RefundReturn, 5),
];

impl Operation {
    /// Number of writes of the order that it sends to MongoDB, at most.
    fn writes(self) -> usize {
        match self {
            Self::Edit => 3,
            _ if self.moves_stock() => 2,
            _ => 1,
        }
    }

    /// True for one that calls products.
    fn moves_stock(self) -> bool {
        matches!(
            self,
            Self::Cancel
                | Self::CancelUnits
                | Self::CancelFulfillment
                | Self::Edit
                | Self::Receive
                | Self::Ship
        )
    }

    /// Draws the fault of a try, if it has one.
    fn draw_fault(self, chance: &mut StdRng) -> Option<Fault> {
        if !chance.random_ratio(FAULTS, 100) {
            return None;
        }
        let moment = if chance.random_bool(0.5) { Moment::Before } else { Moment::After };
        if self.moves_stock() && chance.random_ratio(1, 3) {
            return Some(Fault::Call(Mishap::Lost(moment)));
        }
        let command = if chance.random_ratio(1, 4) {
            Command { name: "find orders".to_owned(), number: 1 }
        } else {
            let number = chance.random_range(1..=self.writes());
            Command { name: "update orders".to_owned(), number }
        };
        Some(match chance.random_range(0..6) {
            0 => Fault::Answer,
            1 | 2 => Fault::Cut(command, moment),
            _ => Fault::Crash(command, moment),
        })
    }
}

/// Units of an item that are cancelled or shipped.
fn gone(item: &Value) -> i64 {
    number(&item["cancelled"]) + number(&item["shipped"])
}

/// A client, with a process of its own.
pub(super) struct Client<'a> {
    market: &'a Market<'a>,
    terminal: Terminal<'a, Operation>,
}

impl<'a> Client<'a> {
    pub(super) async fn open(market: &'a Market<'a>, name: usize, chance: StdRng) -> Self {
        Self { market, terminal: Terminal::open(market.shop, &market.notes, name, chance).await }
    }

    /// Works until all operations are begun.
    pub(super) async fn work(mut self) {
        while let Some(place) = self.market.next(&mut self.terminal.chance) {
            self.terminal.begin();
            let (operation, _) =
                *MIX.choose_weighted(&mut self.terminal.chance, |(_, weight)| *weight).unwrap();
            let known = self.act(operation, place).await;
            self.market.notes.count(operation, known);
        }
    }

    async fn act(&mut self, operation: Operation, place: usize) -> Known {
        match operation {
            Operation::PayDue | Operation::PayPart | Operation::PayTwiceAtOnce => {
                self.pay(operation, place).await
            }
            Operation::PayAgain => self.pay_again(place).await,
            Operation::PayAnotherAmount => self.pay_another_amount(place).await,
            Operation::PayTwoOrders => self.pay_two_orders(place).await,
            Operation::PayInShort => self.pay_in_short(place).await,
            Operation::RefundAmount | Operation::RefundTwiceAtOnce => {
                self.refund_amount(operation, place).await
            }
            Operation::RefundItem => self.refund_item(place).await,
            Operation::RefundShipping => {
                self.refund(Operation::RefundShipping, place, json!({ "shipping": true }), None).await
            }
            Operation::RefundInShort => self.refund_in_short(place).await,
            Operation::SetReference => self.set_reference(place).await,
            Operation::Cancel => self.cancel(place).await,
            Operation::Expire => self.expire(place).await,
            Operation::Edit => self.edit(place).await,
            Operation::Ship => self.ship(place).await,
            Operation::CancelFulfillment => self.cancel_fulfillment(place).await,
            Operation::CancelUnits => self.cancel_units(place).await,
            Operation::Return => self.send_back(place).await,
            Operation::Receive => self.receive(place).await,
            Operation::RefundReturn => self.refund_return(place).await,
        }
    }

    /// A payment of what is due, or of a part of it; of something if nothing is due.
    async fn pay(&mut self, operation: Operation, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let amount = match number(&order["totals"]["due"]) {
            0 => self.terminal.chance.random_range(1..=BEYOND),
            due if operation == Operation::PayDue => due,
            due => self.terminal.chance.random_range(1..=due),
        };
        let provider = self.terminal.chance.random_bool(0.5).then_some("stripe");
        let reference = self.terminal.fresh("pi");
        let is_keyed = operation == Operation::PayTwiceAtOnce || self.terminal.chance.random_bool(0.5);
        let key = is_keyed.then(|| self.terminal.fresh("key"));
        let tag = payment_tag(provider, &reference);
        self.market.expect(place, Book::Payments, &tag, Some(amount));
        let body = json!({ "amount": amount, "reference": reference, "provider": provider });
        let ask = Ask::post(self.path(place, "/payments"), key, body);
        let replies = match operation {
            Operation::PayTwiceAtOnce => self.insist_twice(operation, &ask).await,
            _ => vec![self.insist(operation, &ask).await],
        };
        // Money is never refused.
        let said: Vec<Said> = replies.iter().map(|reply| self.said(operation, reply, &[])).collect();
        self.market.learn(place, Book::Payments, &tag, &said)
    }

    /// A payment that is recorded: its answer is that one.
    async fn pay_again(&mut self, place: usize) -> Known {
        let Some((tag, there)) = self.acknowledged(place, Book::Payments) else {
            return self.pay(Operation::PayPart, place).await;
        };
        let (provider, reference) = of_payment_tag(&tag);
        let body = json!({ "amount": there.amount, "reference": reference, "provider": provider });
        let ask = Ask::post(self.path(place, "/payments"), None, body);
        let reply = self.insist(Operation::PayAgain, &ask).await;
        if let Some(answer) = reply.answer.as_ref().filter(|answer| answer.status.is_success()) {
            self.market.notes.holds(answer.status == 200 && answer.is_replayed(), || {
                format!("{tag} again: {} without a replay", answer.status)
            });
        }
        let said = self.said(Operation::PayAgain, &reply, &[]);
        match said {
            Said::Unknown => Known::Unknown,
            said => self.market.learn(place, Book::Payments, &tag, &[said]),
        }
    }

    async fn pay_another_amount(&mut self, place: usize) -> Known {
        let Some((tag, there)) = self.acknowledged(place, Book::Payments) else {
            return self.pay(Operation::PayPart, place).await;
        };
        let (provider, reference) = of_payment_tag(&tag);
        let amount = there.amount.unwrap_or_default() + 1;
        let body = json!({ "amount": amount, "reference": reference, "provider": provider });
        let ask = Ask::post(self.path(place, "/payments"), None, body);
        let reply = self.insist(Operation::PayAnotherAmount, &ask).await;
        match self.said(Operation::PayAnotherAmount, &reply, &["payment-reference-taken"]) {
            Said::Done { id, .. } => {
                self.market.notes.finds([format!("{tag} again with another amount is {id}")]);
                Known::Acknowledged
            }
            Said::Refused => Known::Refused,
            Said::Unknown => Known::Unknown,
        }
    }

    /// One reference for this order and its neighbour, at once: one of them is paid.
    async fn pay_two_orders(&mut self, place: usize) -> Known {
        let operation = Operation::PayTwoOrders;
        let places = [place, (place + 1) % self.market.accounts.len()];
        let (reference, amount) = (self.terminal.fresh("pi"), self.terminal.chance.random_range(1..=BEYOND));
        let tag = payment_tag(None, &reference);
        let asks = places.map(|place| {
            self.market.expect(place, Book::Payments, &tag, Some(amount));
            let body = json!({ "amount": amount, "reference": reference });
            Ask::post(self.path(place, "/payments"), None, body)
        });
        let there = asks[1].send(self.terminal.sender(&asks[1]));
        let (here, there) = join(self.insist(operation, &asks[0]), there).await;
        let replies = [here, self.market.notes.reply(there)];
        let said = replies.map(|reply| self.said(operation, &reply, &["payment-reference-taken"]));
        let done = said.iter().filter(|said| matches!(said, Said::Done { .. })).count();
        self.market.notes.holds(done == 1 || done == 0 && said.contains(&Said::Unknown), || {
            format!("{tag} in two orders: {said:?}")
        });
        self.market.learn(places[1], Book::Payments, &tag, &said[1..]);
        self.market.learn(places[0], Book::Payments, &tag, &said[..1])
    }

    async fn pay_in_short(&mut self, place: usize) -> Known {
        let reference = self.terminal.fresh("pi");
        let tag = payment_tag(None, &reference);
        self.market.expect(place, Book::Payments, &tag, None);
        let body = json!({ "status": "paid", "payment": { "reference": reference, "method": "card" } });
        let ask = Ask::put(self.path(place, ""), body);
        let reply = self.insist(Operation::PayInShort, &ask).await;
        let said = self.said_in_short(Operation::PayInShort, &reply, "payments", &reference);
        self.market.learn(place, Book::Payments, &tag, &[said])
    }

    /// A refund of a part of what is left, in all or of one payment, and sometimes of more.
    async fn refund_amount(&mut self, operation: Operation, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let left = number(&order["totals"]["paid"]) - number(&order["totals"]["refunded"]);
        let amount = if left < 1 || self.terminal.chance.random_ratio(1, 4) {
            left + self.terminal.chance.random_range(1..=BEYOND)
        } else {
            self.terminal.chance.random_range(1..=left)
        };
        let payments = order["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_one = self.terminal.chance.random_ratio(1, 3);
        let payment = payments.choose(&mut self.terminal.chance).filter(|_| of_one);
        let mut body = json!({ "amount": amount });
        if let Some(payment) = payment {
            body["payment_id"] = payment["id"].clone();
        }
        self.refund(operation, place, body, Some(amount)).await
    }

    async fn refund_item(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(item) = items.choose(&mut self.terminal.chance) else { return Known::Unknown };
        let item = json!({ "id": item["id"], "quantity": self.terminal.chance.random_range(1..=2) });
        self.refund(Operation::RefundItem, place, json!({ "items": [item] }), None).await
    }

    /// Records a refund. Its reason is one that no other refund has.
    async fn refund(
        &mut self,
        operation: Operation,
        place: usize,
        mut body: Value,
        amount: Option<i64>,
    ) -> Known {
        let (tag, key) = (self.terminal.fresh("refund"), self.terminal.fresh("key"));
        body["reason"] = json!(tag);
        self.market.expect(place, Book::Refunds, &tag, amount);
        let ask = Ask::post(self.path(place, "/refunds"), Some(key), body);
        let replies = match operation {
            Operation::RefundTwiceAtOnce => self.insist_twice(operation, &ask).await,
            _ => vec![self.insist(operation, &ask).await],
        };
        let said: Vec<Said> = replies
            .iter()
            .map(|reply| self.said(operation, reply, &["amount-exceeded", "validation"]))
            .collect();
        self.market.learn(place, Book::Refunds, &tag, &said)
    }

    async fn refund_in_short(&mut self, place: usize) -> Known {
        let reference = self.terminal.fresh("re");
        self.market.expect(place, Book::Refunds, &reference, None);
        let body = json!({ "status": "refunded", "payment": { "refund_reference": reference } });
        let ask = Ask::put(self.path(place, ""), body);
        let reply = self.insist(Operation::RefundInShort, &ask).await;
        let said = self.said_in_short(Operation::RefundInShort, &reply, "refunds", &reference);
        self.market.learn(place, Book::Refunds, &reference, &[said])
    }

    /// A reference for a refund, which can have one already.
    async fn set_reference(&mut self, place: usize) -> Known {
        let Some((tag, Entry { id: Some(id), .. })) = self.acknowledged(place, Book::Refunds) else {
            return self.refund_amount(Operation::RefundAmount, place).await;
        };
        let reference = self.terminal.fresh("re");
        let ask = Ask::put(self.path(place, &format!("/refunds/{id}")), json!({ "reference": reference }));
        let reply = self.insist(Operation::SetReference, &ask).await;
        let said = self.said(Operation::SetReference, &reply, &["invalid-transition"]);
        match said {
            Said::Done { .. } => {
                self.market.refer(place, &tag, reference);
                Known::Acknowledged
            }
            Said::Refused => Known::Refused,
            Said::Unknown => Known::Unknown,
        }
    }

    async fn cancel(&mut self, place: usize) -> Known {
        let body = json!({ "status": "cancelled" });
        let known = self.change(Operation::Cancel, place, body, &["invalid-transition"]).await;
        if known == Known::Acknowledged {
            self.market.account(place).is_cancelled = true;
        }
        known
    }

    async fn expire(&mut self, place: usize) -> Known {
        let soon = Duration::from_millis(self.terminal.chance.random_range(200..1_500));
        let body = json!({ "expires_at": Clock::system().now().after(soon) });
        // When it is sent again, the time may have passed.
        self.change(Operation::Expire, place, body, &["order-not-editable", "validation"]).await
    }

    /// Another quantity of one item.
    async fn edit(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let changed = self.terminal.chance.random_range(0..items.len().max(1));
        let quantity = self.terminal.chance.random_range(1..=MOST);
        let items: Vec<Value> = items
            .iter()
            .enumerate()
            .map(|(number, item)| {
                let quantity = if number == changed { json!(quantity) } else { item["quantity"].clone() };
                json!({ "product_id": item["product_id"], "quantity": quantity })
            })
            .collect();
        self.change(Operation::Edit, place, json!({ "items": items }), &["order-not-editable"]).await
    }

    async fn ship(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let body = self.units(&order, |item| number(&item["quantity"]) - gone(item));
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.record(Operation::Ship, place, "/fulfillments", body, &refusals).await
    }

    async fn cancel_units(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let body = self.units(&order, |item| number(&item["quantity"]) - gone(item));
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.record(Operation::CancelUnits, place, "/cancellations", body, &refusals).await
    }

    async fn send_back(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let body = self.units(&order, |item| number(&item["shipped"]) - number(&item["returned"]));
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.record(Operation::Return, place, "/returns", body, &refusals).await
    }

    async fn cancel_fulfillment(&mut self, place: usize) -> Known {
        let Some(id) = self.part(place, "fulfillments", "shipped").await else {
            return self.ship(place).await;
        };
        let (path, body) = (format!("/fulfillments/{id}"), json!({ "status": "cancelled" }));
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.change_part(Operation::CancelFulfillment, place, &path, body, &refusals).await
    }

    async fn receive(&mut self, place: usize) -> Known {
        let Some(id) = self.part(place, "returns", "approved").await else {
            return self.send_back(place).await;
        };
        let (path, body) = (format!("/returns/{id}"), json!({ "status": "received" }));
        self.change_part(Operation::Receive, place, &path, body, &["invalid-transition"]).await
    }

    async fn refund_return(&mut self, place: usize) -> Known {
        let Some(id) = self.part(place, "returns", "received").await else {
            return self.receive(place).await;
        };
        self.refund(Operation::RefundReturn, place, json!({ "return_id": id }), None).await
    }

    /// Body with some units of an item of which any are left, or else with one unit too many.
    fn units(&mut self, order: &Value, left: impl Fn(&Value) -> i64) -> Value {
        let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let with_units: Vec<&Value> = items.iter().filter(|item| left(item) > 0).collect();
        let item = with_units.choose(&mut self.terminal.chance).copied().unwrap_or(&items[0]);
        let quantity = self.terminal.chance.random_range(1..=left(item).max(1));
        json!({ "items": [{ "id": item["id"], "quantity": quantity }] })
    }

    /// ID of a part of the order in this status.
    async fn part(&mut self, place: usize, list: &str, status: &str) -> Option<String> {
        let order = self.look(place).await?;
        let parts = order[list].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts: Vec<&str> =
            parts.iter().filter(|it| it["status"] == status).filter_map(|it| it["id"].as_str()).collect();
        parts.choose(&mut self.terminal.chance).map(|id| (*id).to_owned())
    }

    /// Records a part of the order.
    async fn record(
        &mut self,
        operation: Operation,
        place: usize,
        below: &str,
        body: Value,
        refusals: &[&str],
    ) -> Known {
        let ask = Ask::post(self.path(place, below), Some(self.terminal.fresh("key")), body);
        let reply = self.insist(operation, &ask).await;
        self.known(operation, &reply, refusals)
    }

    /// Changes a part of the order.
    async fn change_part(
        &mut self,
        operation: Operation,
        place: usize,
        below: &str,
        body: Value,
        refusals: &[&str],
    ) -> Known {
        let ask = Ask::put(self.path(place, below), body);
        let reply = self.insist(operation, &ask).await;
        self.known(operation, &reply, refusals)
    }

    fn known(&self, operation: Operation, reply: &Reply, refusals: &[&str]) -> Known {
        match &reply.answer {
            None => Known::Unknown,
            Some(answer) if answer.status.is_success() => Known::Acknowledged,
            Some(answer) => {
                self.market.notes.expects(operation, answer, refusals);
                Known::Refused
            }
        }
    }

    /// Changes the order itself.
    async fn change(&mut self, operation: Operation, place: usize, body: Value, refusals: &[&str]) -> Known {
        let ask = Ask::put(self.path(place, ""), body);
        match self.insist(operation, &ask).await.answer {
            None => Known::Unknown,
            Some(answer) if answer.status == 200 => {
                self.market.see(&answer.body);
                Known::Acknowledged
            }
            Some(answer) => {
                self.market.notes.expects(operation, &answer, refusals);
                Known::Refused
            }
        }
    }

    /// Reads the order without a fault. `None`: it could not be read, which is a violation.
    async fn look(&mut self, place: usize) -> Option<Value> {
        let order = self.terminal.look(self.path(place, "")).await?;
        self.market.see(&order);
        Some(order)
    }

    async fn insist(&mut self, operation: Operation, ask: &Ask) -> Reply {
        self.terminal.insist(operation, ask, |chance| operation.draw_fault(chance)).await
    }

    async fn insist_twice(&mut self, operation: Operation, ask: &Ask) -> Vec<Reply> {
        self.terminal.insist_twice(operation, ask, |chance| operation.draw_fault(chance)).await
    }

    /// Meaning of the answer for a new entry. Any other refusal than these is a violation.
    fn said(&self, operation: Operation, reply: &Reply, refusals: &[&str]) -> Said {
        match &reply.answer {
            None => Said::Unknown,
            Some(answer) if answer.status.is_success() => {
                Said::Done { id: answer.id(), amount: number(&answer["amount"]) }
            }
            Some(answer) => {
                self.market.notes.expects(operation, answer, refusals);
                Said::Refused
            }
        }
    }

    /// Meaning of the answer for a short form: it is the order, and has the entry with this reference. A refusal says
    /// nothing about an earlier try.
    fn said_in_short(&self, operation: Operation, reply: &Reply, list: &str, reference: &str) -> Said {
        let Some(answer) = &reply.answer else { return Said::Unknown };
        if !answer.status.is_success() {
            self.market.notes.expects(operation, answer, &["invalid-transition"]);
            return if reply.was_lost { Said::Unknown } else { Said::Refused };
        }
        self.market.see(&answer.body);
        let entries = answer[list].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry["reference"] == reference) else {
            let wrong = format!("{operation:?} answered without {reference}: {:#}", answer.body);
            self.market.notes.finds([wrong]);
            return Said::Unknown;
        };
        let id = entry["id"].as_str().unwrap_or_default().to_owned();
        Said::Done { id, amount: number(&entry["amount"]) }
    }

    /// An entry of the order that was acknowledged.
    fn acknowledged(&mut self, place: usize, book: Book) -> Option<(String, Entry)> {
        let all: Vec<(String, Entry)> = {
            let mut account = self.market.account(place);
            let entries = account.entries(book).iter();
            let known = entries.filter(|(_, entry)| entry.known == Known::Acknowledged);
            known.map(|(tag, entry)| (tag.clone(), entry.clone())).collect()
        };
        all.choose(&mut self.terminal.chance).cloned()
    }

    fn path(&self, place: usize, below: &str) -> String {
        format!("/orders/{}{below}", self.market.account(place).id)
    }
}
