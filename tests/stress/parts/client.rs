//! A client of the campaign: its operations on parts of orders, their faults, and what it learns from the answers.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tests::person::Person;
use tests::proxy::{Command, Moment};

use super::Market;
use super::account::{Book, Entry, Said, left, list, number, returnable, units};
use crate::clients::{Ask, Known, Reply, Terminal};
use crate::process::{Fault, Mishap};

/// Percentage of the tries that have a fault.
const FAULTS: u32 = 30;

/// Largest quantity that an edit gives an item.
const MOST: i64 = 9;

/// Operation of a client on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Some units.
    Ship,
    ShipRest,
    ShipInShort,
    /// Two requests at once under one key.
    ShipTwiceAtOnce,
    /// Another tracking number.
    Track,
    Deliver,
    DeliverInShort,
    CancelFulfillment,
    CancelFulfillmentTwiceAtOnce,
    /// Some units.
    CancelUnits,
    CancelRest,
    CancelInShort,
    /// Two requests at once under one key.
    CancelTwiceAtOnce,
    CancelByOwner,
    /// By staff.
    SendBack,
    SendBackByOwner,
    /// Two requests at once under one key.
    SendBackTwiceAtOnce,
    ReturnInShort,
    Approve,
    Reject,
    /// Some of the units, some of which go on hand.
    Receive,
    /// All units, none of which goes on hand.
    ReceiveAll,
    ReceiveTwiceAtOnce,
    GiveUp,
    GiveUpByOwner,
    Pay,
    Edit,
    RefundReturn,
}

use Operation::{
    Approve, CancelByOwner, CancelFulfillment, CancelFulfillmentTwiceAtOnce, CancelInShort, CancelRest,
    CancelTwiceAtOnce, CancelUnits, Deliver, DeliverInShort, Edit, GiveUp, GiveUpByOwner, Pay, Receive,
    ReceiveAll, ReceiveTwiceAtOnce, RefundReturn, Reject, ReturnInShort, SendBack, SendBackByOwner,
    SendBackTwiceAtOnce, Ship, ShipInShort, ShipRest, ShipTwiceAtOnce, Track,
};

/// Operations and how often each is chosen, where it is possible.
pub(super) const MIX: [(Operation, u32); 28] = [
    (Ship, 20),
    (ShipRest, 2),
    (ShipInShort, 1),
    (ShipTwiceAtOnce, 6),
    (Track, 5),
    (Deliver, 12),
    (DeliverInShort, 4),
    (CancelFulfillment, 12),
    (CancelFulfillmentTwiceAtOnce, 5),
    (CancelUnits, 8),
    (CancelRest, 1),
    (CancelInShort, 1),
    (CancelTwiceAtOnce, 3),
    (CancelByOwner, 4),
    (SendBack, 8),
    (SendBackByOwner, 12),
    (SendBackTwiceAtOnce, 4),
    (ReturnInShort, 2),
    (Approve, 12),
    (Reject, 6),
    (Receive, 16),
    (ReceiveAll, 4),
    (ReceiveTwiceAtOnce, 6),
    (GiveUp, 5),
    (GiveUpByOwner, 5),
    (Pay, 8),
    (Edit, 6),
    (RefundReturn, 6),
];

impl Operation {
    /// True if an order has what the operation is about. Others may be faster.
    fn is_possible(self, order: &Value) -> bool {
        let status = order["status"].as_str().unwrap_or_default();
        let has = |list_of: &str, statuses: &[&str]| {
            let of = |part: &Value| part["status"].as_str().is_some_and(|status| statuses.contains(&status));
            list(order, list_of).iter().any(of)
        };
        match self {
            Track => !list(order, "fulfillments").is_empty(),
            Deliver | CancelFulfillment | CancelFulfillmentTwiceAtOnce => has("fulfillments", &["shipped"]),
            DeliverInShort => status == "shipped",
            ShipInShort => status == "paid",
            SendBack | SendBackByOwner | SendBackTwiceAtOnce => {
                list(order, "items").iter().any(|item| returnable(order, item) > 0)
            }
            ReturnInShort => ["shipped", "delivered"].contains(&status),
            Approve | Reject | GiveUpByOwner => has("returns", &["requested"]),
            Receive | ReceiveAll | ReceiveTwiceAtOnce => has("returns", &["approved"]),
            GiveUp => has("returns", &["requested", "approved"]),
            RefundReturn => has("returns", &["received"]),
            Pay | Edit => status == "placed",
            Ship | ShipRest | ShipTwiceAtOnce | CancelUnits | CancelRest | CancelInShort
            | CancelTwiceAtOnce | CancelByOwner => ["placed", "paid"].contains(&status),
        }
    }

    /// True for two requests at once.
    fn is_doubled(self) -> bool {
        matches!(
            self,
            ShipTwiceAtOnce
                | CancelFulfillmentTwiceAtOnce
                | CancelTwiceAtOnce
                | SendBackTwiceAtOnce
                | ReceiveTwiceAtOnce
        )
    }

    /// Number of writes of the order that it sends to MongoDB, at most.
    fn writes(self) -> usize {
        match self {
            Edit => 3,
            _ if self.moves_stock() => 2,
            _ => 1,
        }
    }

    /// True for one that calls products.
    fn moves_stock(self) -> bool {
        !matches!(
            self,
            Track
                | Deliver
                | DeliverInShort
                | SendBack
                | SendBackByOwner
                | SendBackTwiceAtOnce
                | Approve
                | Reject
                | GiveUp
                | GiveUpByOwner
                | Pay
                | RefundReturn
        )
    }

    /// Draws the fault of a try, if it has one.
    fn draw_fault(self, chance: &mut StdRng) -> Option<Fault> {
        if !chance.random_ratio(FAULTS, 100) {
            return None;
        }
        let moment = if chance.random_bool(0.5) { Moment::Before } else { Moment::After };
        if self.moves_stock() && chance.random_bool(0.5) {
            return Some(match chance.random_range(0..6) {
                0 => Fault::Call(Mishap::Lost(moment)),
                1 => Fault::Call(Mishap::Doubled),
                2 => Fault::Call(Mishap::Late),
                3 => Fault::Calls(Mishap::Lost(moment)),
                _ => Fault::Calls(Mishap::Late),
            });
        }
        let command = if chance.random_ratio(1, 5) {
            Command { name: "find orders".to_owned(), number: 1 }
        } else {
            let number = chance.random_range(1..=self.writes());
            Command { name: "update orders".to_owned(), number }
        };
        Some(match chance.random_range(0..6) {
            0 => Fault::Answer,
            1 => Fault::Cut(command, moment),
            _ => Fault::Crash(command, moment),
        })
    }
}

/// A client, with a process of its own.
pub(super) struct Client<'a> {
    market: &'a Market<'a>,
    pub(super) terminal: Terminal<'a, Operation>,
}

impl<'a> Client<'a> {
    pub(super) async fn open(market: &'a Market<'a>, name: usize, chance: StdRng) -> Self {
        Self { market, terminal: Terminal::open(market.shop, &market.notes, name, chance).await }
    }

    /// Works until all operations of the round are begun.
    pub(super) async fn work(&mut self) {
        while let Some(place) = self.market.next(&mut self.terminal.chance) {
            self.terminal.begin();
            let Some(order) = self.look(place).await else { continue };
            let possible: Vec<_> = MIX.iter().filter(|(it, _)| it.is_possible(&order)).collect();
            let chosen = possible.choose_weighted(&mut self.terminal.chance, |(_, weight)| *weight);
            // An order that has ended has none.
            let Ok((operation, _)) = chosen else { continue };
            let known = self.act(*operation, place, &order).await;
            self.market.notes.count(*operation, known);
        }
    }

    async fn act(&mut self, operation: Operation, place: usize, order: &Value) -> Known {
        match operation {
            Ship | ShipRest | ShipTwiceAtOnce => self.ship(operation, place, order).await,
            CancelUnits | CancelRest | CancelTwiceAtOnce | CancelByOwner => {
                self.cancel_units(operation, place, order).await
            }
            SendBack | SendBackByOwner | SendBackTwiceAtOnce => self.send_back(operation, place, order).await,
            RefundReturn => {
                let id = self.part(order, "returns", &["received"]);
                let refusals = ["amount-exceeded"];
                self.record(operation, place, Book::Refunds, json!({ "return_id": id }), None, &refusals)
                    .await
            }
            Track => self.track(place, order).await,
            Deliver => {
                let id = self.part(order, "fulfillments", &["shipped"]);
                self.change_part(operation, place, Book::Fulfillments, id, json!({ "status": "delivered" }))
                    .await
            }
            CancelFulfillment | CancelFulfillmentTwiceAtOnce => {
                let id = self.part(order, "fulfillments", &["shipped"]);
                self.change_part(operation, place, Book::Fulfillments, id, json!({ "status": "cancelled" }))
                    .await
            }
            Approve | Reject | GiveUp | GiveUpByOwner => {
                let statuses: &[&str] =
                    if operation == GiveUp { &["requested", "approved"] } else { &["requested"] };
                let id = self.part(order, "returns", statuses);
                let body = match operation {
                    Approve => json!({ "status": "approved" }),
                    Reject => json!({ "status": "rejected", "reason": "worn" }),
                    _ => json!({ "status": "cancelled" }),
                };
                self.change_part(operation, place, Book::Returns, id, body).await
            }
            Receive | ReceiveAll | ReceiveTwiceAtOnce => self.receive(operation, place, order).await,
            ShipInShort => self.ship_in_short(place).await,
            ReturnInShort => self.return_in_short(place).await,
            DeliverInShort => {
                let (known, _) = self.change(operation, place, json!({ "status": "delivered" }), &[]).await;
                self.market.account(place).is_delivered |= known != Known::Refused;
                known
            }
            CancelInShort => {
                let (known, _) = self.change(operation, place, json!({ "status": "cancelled" }), &[]).await;
                self.market.account(place).is_cancelled |= known == Known::Acknowledged;
                known
            }
            Pay => {
                let reference = self.terminal.fresh("pi");
                let body =
                    json!({ "status": "paid", "payment": { "reference": reference, "method": "card" } });
                self.change(operation, place, body, &[]).await.0
            }
            Edit => self.edit(place, order).await,
        }
    }

    async fn ship(&mut self, operation: Operation, place: usize, order: &Value) -> Known {
        let mut body = json!({});
        if operation != ShipRest {
            body["items"] = self.some(order, left);
        }
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.record(operation, place, Book::Fulfillments, body, None, &refusals).await
    }

    async fn cancel_units(&mut self, operation: Operation, place: usize, order: &Value) -> Known {
        let mut body = json!({});
        if operation != CancelRest {
            body["items"] = self.some(order, left);
        }
        let by = (operation == CancelByOwner).then(|| self.market.owner(place));
        let refusals: &[&str] = match by {
            // While the order is paid.
            Some(_) => &["invalid-transition", "quantity-exceeded", "forbidden"],
            None => &["invalid-transition", "quantity-exceeded"],
        };
        self.record(operation, place, Book::Cancellations, body, by, refusals).await
    }

    async fn send_back(&mut self, operation: Operation, place: usize, order: &Value) -> Known {
        let body = json!({ "items": self.some(order, |item| returnable(order, item)) });
        let by = (operation == SendBackByOwner).then(|| self.market.owner(place));
        // Before their delivery units cannot be returned by the owner.
        let refusals = ["invalid-transition", "quantity-exceeded"];
        self.record(operation, place, Book::Returns, body, by, &refusals).await
    }

    async fn track(&mut self, place: usize, order: &Value) -> Known {
        let Some(fulfillment) = list(order, "fulfillments").choose(&mut self.terminal.chance) else {
            return Known::Refused;
        };
        // The carrier is what tells fulfillments apart.
        let (carrier, number) = (&fulfillment["tracking"]["carrier"], self.terminal.fresh("number"));
        let url = format!("https://example.com/{number}");
        let body = json!({ "tracking": { "carrier": carrier, "number": number, "url": url } });
        let id = fulfillment["id"].as_str().unwrap_or_default();
        let ask = Ask::put(self.path(place, &format!("/fulfillments/{id}")), body);
        let reply = self.insist(Track, &ask).await;
        let (known, _) = self.known(Track, &reply, &["quantity-exceeded"]);
        if known == Known::Acknowledged {
            self.market.account(place).correct(id);
        }
        known
    }

    async fn receive(&mut self, operation: Operation, place: usize, order: &Value) -> Known {
        let id = self.part(order, "returns", &["approved"]);
        let mut body = json!({ "status": "received" });
        if operation != ReceiveAll {
            let returned = list(order, "returns").iter().find(|it| it["id"] == id);
            let items = returned.map(|it| list(it, "items")).unwrap_or_default().iter().map(|item| {
                let received = self.terminal.chance.random_range(0..=number(&item["quantity"]));
                let restocked = self.terminal.chance.random_range(0..=received);
                json!({ "id": item["id"], "received": received, "restocked": restocked })
            });
            body["items"] = items.collect();
        }
        self.change_part(operation, place, Book::Returns, id, body).await
    }

    async fn ship_in_short(&mut self, place: usize) -> Known {
        let tag = self.terminal.fresh("parcel");
        self.market.account(place).expect(Book::Fulfillments, &tag, Entry::sent_in_short());
        let body = json!({ "status": "shipped", "tracking": { "carrier": tag, "number": "1" } });
        let (known, order) = self.change(ShipInShort, place, body, &["quantity-exceeded"]).await;
        let there =
            |order: &Value| list(order, "fulfillments").iter().any(|it| it["tracking"]["carrier"] == tag);
        let is_there = order.is_some_and(|order| there(&order));
        self.learn_in_short(place, Book::Fulfillments, &tag, known, is_there)
    }

    async fn return_in_short(&mut self, place: usize) -> Known {
        let tag = self.terminal.fresh("return");
        self.market.account(place).expect(Book::Returns, &tag, Entry::sent_in_short());
        let restock = self.terminal.chance.random_bool(0.5);
        let body = json!({ "status": "returned", "restock": restock, "reason": tag });
        let (known, order) = self.change(ReturnInShort, place, body, &["quantity-exceeded"]).await;
        let there = |order: &Value| list(order, "returns").iter().any(|it| it["reason"] == tag);
        let is_there = order.is_some_and(|order| there(&order));
        self.learn_in_short(place, Book::Returns, &tag, known, is_there)
    }

    /// Records the answer about an entry of a short form. An order that had the status already is answered without it.
    fn learn_in_short(&self, place: usize, book: Book, tag: &str, known: Known, is_there: bool) -> Known {
        let said = match known {
            Known::Acknowledged if is_there => Said::Done(String::new(), None),
            Known::Refused => Said::Refused,
            Known::Acknowledged | Known::Unknown => Said::Unknown,
        };
        self.market.learn(place, book, tag, &[said]);
        known
    }

    /// Another quantity of one item.
    async fn edit(&mut self, place: usize, order: &Value) -> Known {
        let items = list(order, "items");
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
        let refusals = ["order-not-editable", "insufficient-stock"];
        self.change(Edit, place, json!({ "items": items }), &refusals).await.0
    }

    /// Items of which units are left, with some units of each. One in eight has a unit too many.
    fn some(&mut self, order: &Value, left: impl Fn(&Value) -> i64) -> Value {
        let items = list(order, "items");
        let mut there: Vec<&Value> = items.iter().filter(|item| left(item) > 0).collect();
        if there.is_empty() {
            // It has been faster than this client.
            there.extend(items.first());
        }
        let count = self.terminal.chance.random_range(1..=there.len().max(1));
        let chosen: Vec<&Value> = there.choose_multiple(&mut self.terminal.chance, count).copied().collect();
        let items = chosen.into_iter().map(|item| {
            let is_beyond = self.terminal.chance.random_ratio(1, 8);
            let most = left(item).max(1);
            let quantity = if is_beyond { most + 1 } else { self.terminal.chance.random_range(1..=most) };
            json!({ "id": item["id"], "quantity": quantity })
        });
        items.collect()
    }

    /// ID of a part of the order in one of these statuses; empty if there is none.
    fn part(&mut self, order: &Value, of: &str, statuses: &[&str]) -> String {
        let ids = list(order, of).iter().filter_map(|part| {
            let is_so = part["status"].as_str().is_some_and(|status| statuses.contains(&status));
            part["id"].as_str().filter(|_| is_so)
        });
        let ids: Vec<&str> = ids.collect();
        ids.choose(&mut self.terminal.chance).copied().unwrap_or_default().to_owned()
    }

    /// Adds an entry to a list of the order, under a tag and a key that no other has.
    async fn record(
        &mut self,
        operation: Operation,
        place: usize,
        book: Book,
        mut body: Value,
        by: Option<Person>,
        refusals: &[&str],
    ) -> Known {
        let (tag, key) = (self.terminal.fresh(book.path()), self.terminal.fresh("key"));
        match book {
            Book::Fulfillments => body["tracking"] = json!({ "carrier": tag, "number": "1" }),
            Book::Cancellations | Book::Returns | Book::Refunds => body["reason"] = json!(tag),
        }
        self.market.account(place).expect(book, &tag, Entry::sent(units(&body, "quantity")));
        let mut ask = Ask::post(self.path(place, &format!("/{}", book.path())), Some(key), body);
        if let Some(by) = by {
            ask = ask.by(by);
        }
        let replies = self.send(operation, &ask).await;
        let said: Vec<Said> =
            replies.iter().map(|reply| self.said(operation, book, &tag, reply, refusals)).collect();
        self.market.learn(place, book, &tag, &said)
    }

    /// Meaning of the answer for a new entry. Any other refusal than these is a violation.
    fn said(&self, operation: Operation, book: Book, tag: &str, reply: &Reply, refusals: &[&str]) -> Said {
        let answer = match &reply.answer {
            None => return Said::Unknown,
            Some(answer) if answer.status == 201 => answer,
            Some(answer) => {
                self.market.notes.expects(operation, answer, refusals);
                return Said::Refused;
            }
        };
        match book {
            Book::Fulfillments | Book::Returns => Said::Done(answer.id(), units(&answer.body, "quantity")),
            Book::Refunds => Said::Done(answer.id(), None),
            Book::Cancellations => {
                self.market.see(&answer.body);
                let of_it = |it: &&Value| it["event"] == "cancellation" && it["reason"] == tag;
                let Some(entry) = list(&answer.body, "history").iter().find(of_it) else {
                    self.market.notes.finds([format!("answered without {tag}: {:#}", answer.body)]);
                    return Said::Unknown;
                };
                Said::Done(entry["subject"].as_str().unwrap_or_default().to_owned(), None)
            }
        }
    }

    /// Gives a part another status, by the owner where the operation says so.
    async fn change_part(
        &mut self,
        operation: Operation,
        place: usize,
        book: Book,
        id: String,
        body: Value,
    ) -> Known {
        let status = body["status"].as_str().unwrap_or_default().to_owned();
        let mut ask = Ask::put(self.path(place, &format!("/{}/{id}", book.path())), body);
        let mut refusals = vec!["invalid-transition", "quantity-exceeded"];
        if operation == GiveUpByOwner {
            ask = ask.by(self.market.owner(place));
            // Once it is approved.
            refusals.push("forbidden");
        }
        let mut all = Known::Refused;
        for reply in self.send(operation, &ask).await {
            let (known, part) = self.known(operation, &reply, &refusals);
            self.market.account(place).attempt(&id, &status, known);
            if let Some(part) = part {
                self.market.notes.holds(part["id"] == *id && part["status"] == *status, || {
                    format!("{operation:?} of {id} answered {part:#}")
                });
                if status == "received" {
                    let wrong = self.market.account(place).receive(part);
                    self.market.notes.finds(wrong.map(|wrong| format!("{id} was {wrong}")));
                }
            }
            all = match (all, known) {
                (Known::Acknowledged, _) | (_, Known::Acknowledged) => Known::Acknowledged,
                (Known::Unknown, _) | (_, Known::Unknown) => Known::Unknown,
                (Known::Refused, Known::Refused) => Known::Refused,
            };
        }
        all
    }

    /// Changes the order itself. Returns the order as it was answered.
    async fn change(
        &mut self,
        operation: Operation,
        place: usize,
        body: Value,
        refusals: &[&str],
    ) -> (Known, Option<Value>) {
        let ask = Ask::put(self.path(place, ""), body);
        let reply = self.insist(operation, &ask).await;
        let refusals: Vec<&str> = refusals.iter().copied().chain(["invalid-transition"]).collect();
        let (known, order) = self.known(operation, &reply, &refusals);
        if let Some(order) = order {
            self.market.see(order);
        }
        (known, order.cloned())
    }

    /// Meaning of the answer to a request without a key: a refusal says nothing about an earlier try. With the body of a
    /// success.
    fn known<'r>(
        &self,
        operation: Operation,
        reply: &'r Reply,
        refusals: &[&str],
    ) -> (Known, Option<&'r Value>) {
        match &reply.answer {
            None => (Known::Unknown, None),
            Some(answer) if answer.status == 200 => (Known::Acknowledged, Some(&answer.body)),
            Some(answer) => {
                self.market.notes.expects(operation, answer, refusals);
                (if reply.was_lost { Known::Unknown } else { Known::Refused }, None)
            }
        }
    }

    /// Sends a request, or two at once.
    async fn send(&mut self, operation: Operation, ask: &Ask) -> Vec<Reply> {
        let draw = |chance: &mut StdRng| operation.draw_fault(chance);
        if operation.is_doubled() {
            return self.terminal.insist_twice(operation, ask, draw).await;
        }
        vec![self.terminal.insist(operation, ask, draw).await]
    }

    async fn insist(&mut self, operation: Operation, ask: &Ask) -> Reply {
        self.terminal.insist(operation, ask, |chance| operation.draw_fault(chance)).await
    }

    /// Reads the order without a fault. `None`: it could not be read, which is a violation.
    async fn look(&mut self, place: usize) -> Option<Value> {
        let order = self.terminal.look(self.path(place, "")).await?;
        self.market.see(&order);
        Some(order)
    }

    fn path(&self, place: usize, below: &str) -> String {
        format!("/orders/{}{below}", self.market.account(place).id)
    }
}
