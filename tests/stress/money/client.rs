//! A client of the campaign: its requests, their faults, and what it learns from the answers.

use std::time::Duration;

use futures::future::join;
use http::Method;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use shared::auth::Role;
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::person::Person;
use tests::proxy::{Command, Moment};

use super::Market;
use super::account::{Book, Entry, Known, Said, number, of_payment_tag, payment_tag};
use super::process::{Fault, Process};

/// Percentage of the tries that have a fault.
const FAULTS: u32 = 40;

/// Number of tries of a request that can have a fault.
const FAULTY_TRIES: usize = 2;

/// Number of tries of a request.
const TRIES: usize = 10;

/// Number of operations after which a client takes another access token: one ends after 15 minutes.
const TOKEN: usize = 50;

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
}

/// Operations and how often each is chosen.
pub(super) const MIX: [(Operation, u32); 16] = [
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
];

impl Operation {
    /// Number of writes of the order that it sends to MongoDB, at most.
    fn writes(self) -> usize {
        match self {
            Self::Edit => 3,
            Self::Cancel => 2,
            _ => 1,
        }
    }
}

/// Request that can be sent again.
struct Ask {
    method: Method,
    path: String,
    key: Option<String>,
    body: Option<Value>,
}

impl Ask {
    fn put(path: String, body: Value) -> Self {
        Self { method: Method::PUT, path, key: None, body: Some(body) }
    }

    fn post(path: String, key: Option<String>, body: Value) -> Self {
        Self { method: Method::POST, path, key, body: Some(body) }
    }

    async fn send(&self, person: Person) -> Result<Answer, String> {
        let mut request = person.request(self.method.clone(), &self.path);
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        person.outcome(request).await
    }
}

/// Last answer to a request, if the client has waited for one that says anything.
pub(super) struct Reply {
    /// Answer; none if the client gave up.
    pub(super) answer: Option<Answer>,
    /// True if an earlier try may have taken effect.
    pub(super) was_lost: bool,
}

/// A client, with a process of its own.
pub(super) struct Client<'a> {
    market: &'a Market<'a>,
    name: usize,
    /// Number of names that it has made.
    made: usize,
    person: Person,
    process: Process,
    chance: StdRng,
}

impl<'a> Client<'a> {
    pub(super) async fn open(market: &'a Market<'a>, name: usize, chance: StdRng) -> Self {
        let person = market.shop.people(Role::Staff, 1).remove(0);
        let process = Process::start(market.shop).await;
        Self { market, name, made: 0, person, process, chance }
    }

    /// Works until all operations are begun.
    pub(super) async fn work(mut self) {
        let mut done = 0;
        while let Some(place) = self.market.next(&mut self.chance) {
            let (operation, _) = *MIX.choose_weighted(&mut self.chance, |(_, weight)| *weight).unwrap();
            let known = self.act(operation, place).await;
            self.market.count(operation, known);
            done += 1;
            if done % TOKEN == 0 {
                self.person = self.market.shop.people(Role::Staff, 1).remove(0);
            }
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
        }
    }

    /// A payment of what is due, or of a part of it; of something if nothing is due.
    async fn pay(&mut self, operation: Operation, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let amount = match number(&order["totals"]["due"]) {
            0 => self.chance.random_range(1..=BEYOND),
            due if operation == Operation::PayDue => due,
            due => self.chance.random_range(1..=due),
        };
        let provider = self.chance.random_bool(0.5).then_some("stripe");
        let reference = self.fresh("pi");
        let is_keyed = operation == Operation::PayTwiceAtOnce || self.chance.random_bool(0.5);
        let key = is_keyed.then(|| self.fresh("key"));
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
            self.market.holds(answer.status == 200 && answer.is_replayed(), || {
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
                self.market.finds([format!("{tag} again with another amount is {id}")]);
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
        let (reference, amount) = (self.fresh("pi"), self.chance.random_range(1..=BEYOND));
        let tag = payment_tag(None, &reference);
        let asks = places.map(|place| {
            self.market.expect(place, Book::Payments, &tag, Some(amount));
            let body = json!({ "amount": amount, "reference": reference });
            Ask::post(self.path(place, "/payments"), None, body)
        });
        let there = asks[1].send(self.person.clone());
        let (here, there) = join(self.insist(operation, &asks[0]), there).await;
        let replies = [here, self.market.reply(there)];
        let said = replies.map(|reply| self.said(operation, &reply, &["payment-reference-taken"]));
        let done = said.iter().filter(|said| matches!(said, Said::Done { .. })).count();
        self.market.holds(done == 1 || done == 0 && said.contains(&Said::Unknown), || {
            format!("{tag} in two orders: {said:?}")
        });
        self.market.learn(places[1], Book::Payments, &tag, &said[1..]);
        self.market.learn(places[0], Book::Payments, &tag, &said[..1])
    }

    async fn pay_in_short(&mut self, place: usize) -> Known {
        let reference = self.fresh("pi");
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
        let amount = if left < 1 || self.chance.random_ratio(1, 4) {
            left + self.chance.random_range(1..=BEYOND)
        } else {
            self.chance.random_range(1..=left)
        };
        let payments = order["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_one = self.chance.random_ratio(1, 3);
        let payment = payments.choose(&mut self.chance).filter(|_| of_one).map(|payment| &payment["id"]);
        let mut body = json!({ "amount": amount });
        if let Some(payment) = payment {
            body["payment_id"] = payment.clone();
        }
        self.refund(operation, place, body, Some(amount)).await
    }

    async fn refund_item(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(item) = items.choose(&mut self.chance) else { return Known::Unknown };
        let item = json!({ "id": item["id"], "quantity": self.chance.random_range(1..=2) });
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
        let (tag, key) = (self.fresh("refund"), self.fresh("key"));
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
        let reference = self.fresh("re");
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
        let reference = self.fresh("re");
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
        let soon = Duration::from_millis(self.chance.random_range(200..1_500));
        let body = json!({ "expires_at": Clock::system().now().after(soon) });
        // When it is sent again, the time may have passed.
        self.change(Operation::Expire, place, body, &["order-not-editable", "validation"]).await
    }

    /// Another quantity of one item.
    async fn edit(&mut self, place: usize) -> Known {
        let Some(order) = self.look(place).await else { return Known::Unknown };
        let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let changed = self.chance.random_range(0..items.len().max(1));
        let quantity = self.chance.random_range(1..=MOST);
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
                self.market.expects(operation, &answer, refusals);
                Known::Refused
            }
        }
    }

    /// Reads the order without a fault. `None`: it could not be read, which is a violation.
    async fn look(&mut self, place: usize) -> Option<Value> {
        let ask = Ask { method: Method::GET, path: self.path(place, ""), key: None, body: None };
        let mut last = "503".to_owned();
        for _ in 0..TRIES {
            let request = ask.send(self.person.at(&self.process.base));
            let answer = self.process.send(self.market.shop, request, None).await.answer;
            match self.market.reply(answer).answer {
                Some(answer) if answer.status == 200 => {
                    self.market.see(&answer.body);
                    return Some(answer.body);
                }
                Some(answer) => last = format!("{}: {:#}", answer.status, answer.body),
                // 503: a line that was cut may not be there again.
                None => {}
            }
        }
        self.market.finds([format!("{} answered {last}", ask.path)]);
        None
    }

    /// Sends a request again until it is answered. Some clients give up before.
    async fn insist(&mut self, operation: Operation, ask: &Ask) -> Reply {
        let mut was_lost = false;
        for number in 0..TRIES {
            let fault = (number < FAULTY_TRIES).then(|| self.draw_fault(operation)).flatten();
            let request = ask.send(self.person.at(&self.process.base));
            let sent = self.process.send(self.market.shop, request, fault.as_ref()).await;
            if let Some(fault) = fault.filter(|_| sent.is_struck) {
                self.market.strike(&fault);
            }
            match sent.answer {
                Ok(answer) if answer.status != 503 => return Reply { answer: Some(answer), was_lost },
                Ok(answer) => {
                    answer.problem(503, "unavailable");
                }
                Err(lost) if !sent.is_struck => self.market.finds([lost]),
                Err(_) => {}
            }
            was_lost = true;
            if self.chance.random_ratio(1, 10) {
                return Reply { answer: None, was_lost };
            }
        }
        self.market.finds([format!("{operation:?} has no answer after {TRIES} tries")]);
        Reply { answer: None, was_lost }
    }

    /// Sends a request twice at once: to the client's process, and to the shop.
    async fn insist_twice(&mut self, operation: Operation, ask: &Ask) -> Vec<Reply> {
        let there = ask.send(self.person.clone());
        let (here, there) = join(self.insist(operation, ask), there).await;
        vec![here, self.market.reply(there)]
    }

    /// Draws the fault of a try, if it has one.
    fn draw_fault(&mut self, operation: Operation) -> Option<Fault> {
        if !self.chance.random_ratio(FAULTS, 100) {
            return None;
        }
        let moment = if self.chance.random_bool(0.5) { Moment::Before } else { Moment::After };
        // These call products.
        let calls = matches!(operation, Operation::Cancel | Operation::Edit);
        if calls && self.chance.random_ratio(1, 3) {
            return Some(Fault::Call(moment));
        }
        let command = if self.chance.random_ratio(1, 4) {
            Command { name: "find orders".to_owned(), number: 1 }
        } else {
            let number = self.chance.random_range(1..=operation.writes());
            Command { name: "update orders".to_owned(), number }
        };
        Some(match self.chance.random_range(0..6) {
            0 => Fault::Answer,
            1 | 2 => Fault::Cut(command, moment),
            _ => Fault::Crash(command, moment),
        })
    }

    /// Meaning of the answer for a new entry. Any other refusal than these is a violation.
    fn said(&self, operation: Operation, reply: &Reply, refusals: &[&str]) -> Said {
        match &reply.answer {
            None => Said::Unknown,
            Some(answer) if answer.status.is_success() => {
                Said::Done { id: answer.id(), amount: number(&answer["amount"]) }
            }
            Some(answer) => {
                self.market.expects(operation, answer, refusals);
                Said::Refused
            }
        }
    }

    /// Meaning of the answer for a short form: it is the order, and has the entry with this reference. A refusal says
    /// nothing about an earlier try.
    fn said_in_short(&self, operation: Operation, reply: &Reply, list: &str, reference: &str) -> Said {
        let Some(answer) = &reply.answer else { return Said::Unknown };
        if !answer.status.is_success() {
            self.market.expects(operation, answer, &["invalid-transition"]);
            return if reply.was_lost { Said::Unknown } else { Said::Refused };
        }
        self.market.see(&answer.body);
        let entries = answer[list].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry["reference"] == reference) else {
            self.market.finds([format!("{operation:?} answered without {reference}: {:#}", answer.body)]);
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
        all.choose(&mut self.chance).cloned()
    }

    fn path(&self, place: usize, below: &str) -> String {
        format!("/orders/{}{below}", self.market.account(place).id)
    }

    /// Makes a unique name.
    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}-{}", self.name, self.made)
    }
}
