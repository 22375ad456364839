//! Knowledge of an order's parts, from the answers of its clients, and its comparison with the order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::values::ids::UserId;

use crate::clients::Known;

/// Units by the ID of their item.
pub(super) type Units = BTreeMap<String, i64>;

/// Lists of an order, by the path at which entries are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Book {
    Fulfillments,
    Cancellations,
    Returns,
    Refunds,
}

impl Book {
    const ALL: [Self; 4] = [Self::Fulfillments, Self::Cancellations, Self::Returns, Self::Refunds];

    /// Path below an order.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Fulfillments => "fulfillments",
            Self::Cancellations => "cancellations",
            Self::Returns => "returns",
            Self::Refunds => "refunds",
        }
    }
}

/// Answer to a request that adds an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is there, with this ID, and these units if the answer has them.
    Done(String, Option<Units>),
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// Entry that was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    known: Known,
    id: Option<String>,
    /// Units that were sent or answered.
    units: Option<Units>,
    /// True for a change of the order's status. It has no key, so each try may add one.
    is_short: bool,
}

impl Entry {
    /// Creates an entry that is about to be sent.
    pub(super) fn sent(units: Option<Units>) -> Self {
        Self { units, ..Self::default() }
    }

    /// Creates an entry of a short form that is about to be sent.
    pub(super) fn sent_in_short() -> Self {
        Self { is_short: true, ..Self::default() }
    }

    /// Records the answers to its requests, which had one key. Returns contradictions between them.
    pub(super) fn learn(&mut self, answers: &[Said]) -> (Known, Vec<String>) {
        let mut wrong = Vec::new();
        for said in answers {
            let Said::Done(id, units) = said else { continue };
            let known = self.id.get_or_insert_with(|| id.clone());
            if *known != *id {
                wrong.push(format!("answered as {known} and as {id}"));
            }
            let Some(units) = units else { continue };
            let known = self.units.get_or_insert_with(|| units.clone());
            if *known != *units {
                wrong.push(format!("of {known:?}, and answered with {units:?}"));
            }
        }
        let is_done = answers.iter().any(|said| matches!(said, Said::Done(..)));
        self.known = match is_done {
            true => Known::Acknowledged,
            false if answers.contains(&Said::Unknown) => Known::Unknown,
            false => Known::Refused,
        };
        (self.known, wrong)
    }
}

/// Tries to give a part a status.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    is_acknowledged: bool,
    is_possible: bool,
}

/// Everything that clients sent and were answered about the parts of an order.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// ID of the order.
    pub(super) id: String,
    pub(super) owner: UserId,
    /// True if a cancellation of the whole order was acknowledged.
    pub(super) is_cancelled: bool,
    /// True if all fulfillments may have been delivered at once.
    pub(super) is_delivered: bool,
    /// Entries by list and tag.
    entries: BTreeMap<(Book, String), Entry>,
    /// By the ID of a part, and the status.
    tries: BTreeMap<(String, String), Tries>,
    /// Acknowledged corrections of tracking, by the ID of a fulfillment.
    corrections: BTreeMap<String, usize>,
    /// Units that came back and that are on hand again, by the ID of a return, as they were answered.
    received: BTreeMap<String, (Units, Units)>,
}

impl Account {
    /// Creates the account of a new order.
    pub(super) fn of(id: String, owner: UserId) -> Self {
        Self {
            id,
            owner,
            is_cancelled: false,
            is_delivered: false,
            entries: BTreeMap::new(),
            tries: BTreeMap::new(),
            corrections: BTreeMap::new(),
            received: BTreeMap::new(),
        }
    }

    /// Records an entry before it is sent.
    pub(super) fn expect(&mut self, book: Book, tag: &str, entry: Entry) {
        self.entries.insert((book, tag.to_owned()), entry);
    }

    /// Records the answers about an entry. Returns contradictions.
    pub(super) fn learn(&mut self, book: Book, tag: &str, said: &[Said]) -> (Known, Vec<String>) {
        let entry = self.entries.entry((book, tag.to_owned())).or_default();
        let (known, wrong) = entry.learn(said);
        (known, wrong.into_iter().map(|wrong| format!("{tag} was {wrong}")).collect())
    }

    /// Records a try to give a part a status.
    pub(super) fn attempt(&mut self, part: &str, status: &str, known: Known) {
        let tries = self.tries.entry((part.to_owned(), status.to_owned())).or_default();
        tries.is_acknowledged |= known == Known::Acknowledged;
        tries.is_possible |= known != Known::Refused;
    }

    /// Records an acknowledged correction of tracking.
    pub(super) fn correct(&mut self, fulfillment: &str) {
        *self.corrections.entry(fulfillment.to_owned()).or_default() += 1;
    }

    /// Records an answered return that was received. Returns a contradiction to earlier answers.
    pub(super) fn receive(&mut self, answered: &Value) -> Option<String> {
        let id = text(&answered["id"]).to_owned();
        let units = received_units(answered);
        let known = self.received.entry(id).or_insert_with(|| units.clone());
        (*known != units).then(|| format!("received as {known:?}, and then as {units:?}"))
    }
}

/// A number that must be there.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Elements of a list.
pub(super) fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Units of a list of items. `None`: there is no list.
pub(super) fn units(of: &Value, field: &str) -> Option<Units> {
    let items = of["items"].as_array()?;
    Some(items.iter().map(|item| (text(&item["id"]).to_owned(), number(&item[field]))).collect())
}

fn received_units(returned: &Value) -> (Units, Units) {
    let of = |field| units(returned, field).unwrap_or_default();
    (of("received"), of("restocked"))
}

/// Units of an item that are neither cancelled nor shipped.
pub(super) fn left(item: &Value) -> i64 {
    number(&item["quantity"]) - number(&item["cancelled"]) - number(&item["shipped"])
}

/// Units of an item that are with the customer, and in no return.
pub(super) fn returnable(order: &Value, item: &Value) -> i64 {
    let in_returns = |it: &&Value| ["requested", "approved"].contains(&text(&it["status"]));
    let open = list(order, "returns").iter().filter(in_returns);
    number(&item["shipped"]) - number(&item["returned"]) - sum_of(open, item, "quantity")
}

/// Sum over the items of parts that are this item.
pub(super) fn sum_of<'a>(parts: impl Iterator<Item = &'a Value>, item: &Value, field: &str) -> i64 {
    let of_item = parts.flat_map(|part| list(part, "items")).filter(|it| it["id"] == item["id"]);
    of_item.map(|it| number(&it[field])).sum()
}

/// Fulfillments that are not cancelled.
fn live(order: &Value) -> impl Iterator<Item = &Value> {
    list(order, "fulfillments").iter().filter(|it| it["status"] != "cancelled")
}

fn was_cancelled(order: &Value) -> bool {
    list(order, "history").iter().any(|entry| entry["event"] == "status" && entry["to"] == "cancelled")
}

/// Violations in an order by itself, at any moment.
pub(super) fn unsound(order: &Value) -> Vec<String> {
    let mut wrong = check_counters(order);
    wrong.extend(check_statuses(order));
    wrong.extend(check_history(order));
    wrong
}

/// Compares the counters with the parts.
fn check_counters(order: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let of_status = |status: &'static [&'static str]| {
        list(order, "returns").iter().filter(move |it| status.contains(&text(&it["status"])))
    };
    for item in list(order, "items") {
        let of = |field: &str| number(&item[field]);
        let shipped = sum_of(live(order), item, "quantity");
        let returned = sum_of(of_status(&["received"]), item, "received");
        let returning = sum_of(of_status(&["requested", "approved"]), item, "quantity");
        let counts = [of("cancelled"), of("shipped"), of("returned"), of("refunded")];
        let is_within = counts.iter().all(|count| (0..=of("quantity")).contains(count));
        if !is_within || left(item) < 0 || of("returned") > of("shipped") {
            wrong.push(format!("counters beyond the quantity: {item}"));
        }
        if (of("shipped"), of("returned")) != (shipped, returned) {
            wrong.push(format!("{shipped} shipped and {returned} returned by the parts, and {item}"));
        }
        if returned + returning > shipped {
            wrong.push(format!("{shipped} shipped, {returned} returned, {returning} in open returns"));
        }
    }
    for item in list(order, "returns").iter().flat_map(|it| list(it, "items")) {
        let [quantity, received, restocked] =
            ["quantity", "received", "restocked"].map(|field| number(&item[field]));
        if !(0 <= restocked && restocked <= received && received <= quantity) {
            wrong.push(format!("{restocked} restocked of {received} received of {quantity}"));
        }
    }
    wrong
}

/// Compares the statuses with the counters.
fn check_statuses(order: &Value) -> Vec<String> {
    let items = list(order, "items");
    let is_left = items.iter().any(|item| left(item) > 0);
    let is_shipped = items.iter().any(|item| number(&item["shipped"]) > 0);
    let is_delivered = live(order).all(|it| it["status"] == "delivered");
    let is_back = items.iter().all(|item| number(&item["returned"]) >= number(&item["shipped"]));
    let status = text(&order["status"]);
    let fits = match status {
        "placed" => is_left && !is_shipped,
        "paid" => is_left,
        "shipped" => !is_left && is_shipped && !is_delivered && !is_back,
        "delivered" => !is_left && is_shipped && is_delivered && !is_back,
        "returned" => !is_left && is_shipped && is_back,
        "cancelled" => !is_left && !is_shipped,
        _ => status == "refunded" && !is_left,
    };
    let fulfillment = match (is_shipped, is_left) {
        (false, _) => "unfulfilled",
        (true, true) => "partial",
        (true, false) if is_delivered => "delivered",
        (true, false) => "shipped",
    };
    let has_come_back = items.iter().any(|item| number(&item["returned"]) > 0);
    let is_returning = items.iter().any(|item| {
        let with_customer = number(&item["shipped"]) - number(&item["returned"]);
        returnable(order, item) < with_customer
    });
    let returned = match (has_come_back, is_returning) {
        (true, _) if is_back => "returned",
        (_, true) => "requested",
        (true, false) => "partial",
        (false, false) => "none",
    };
    let mut wrong = Vec::new();
    if !fits || order["fulfillment_status"] != fulfillment || order["return_status"] != returned {
        wrong.push(format!(
            "{status}, {} and {}, and by its units {fulfillment} and {returned}: {items:?}",
            order["fulfillment_status"], order["return_status"]
        ));
    }
    wrong
}

/// Changes of parts in the history: part, status before, and status after.
fn changes(order: &Value) -> impl Iterator<Item = (&str, &Value, &str)> {
    let of_part = |entry: &&Value| entry["event"] == "fulfillment" || entry["event"] == "return";
    let changes = list(order, "history").iter().filter(of_part);
    changes.map(|entry| (text(&entry["subject"]), &entry["from"], text(&entry["to"])))
}

/// Compares the history with the lists: each part is added once, and reaches each status once.
fn check_history(order: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut reached: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut added: BTreeMap<&str, usize> = BTreeMap::new();
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for (part, from, to) in changes(order) {
        if from.is_null() {
            *added.entry(part).or_default() += 1;
        } else if from != to {
            *reached.entry((part, to)).or_default() += 1;
        }
        last.insert(part, to);
    }
    for ((part, to), times) in reached.iter().filter(|(_, times)| **times > 1) {
        wrong.push(format!("{part} became {to} {times} times"));
    }
    for part in list(order, "fulfillments").iter().chain(list(order, "returns")) {
        let id = text(&part["id"]);
        if added.get(id) != Some(&1) || last.get(id) != Some(&text(&part["status"])) {
            wrong.push(format!("the history has {:?} times and {:?}: {part}", added.get(id), last.get(id)));
        }
    }
    wrong
}

/// Violations in an order, whose clients know this much of its parts. Nothing is under way.
pub(super) fn violations(order: &Value, account: &Account) -> Vec<String> {
    let mut wrong = unsound(order);
    for book in Book::ALL {
        wrong.extend(check_entries(order, account, book));
    }
    wrong.extend(check_cancelled(order, account));
    wrong.extend(check_tries(order, account));
    wrong.extend(check_received(order, account));
    let status = text(&order["status"]);
    if account.is_cancelled && !["cancelled", "refunded"].contains(&status) {
        wrong.push(format!("cancelled, and is {status}"));
    }
    wrong
}

/// Entry of a list as the order has it: its tag, its ID, and its units where it shows them.
struct Found<'a> {
    tag: &'a str,
    id: &'a str,
    units: Option<Units>,
}

/// Entries of a list. A cancellation stands in the history alone.
fn found(order: &Value, book: Book) -> Vec<Found<'_>> {
    let of = |tag: fn(&Value) -> &str, has_units: bool| {
        let entry = move |it| Found {
            tag: tag(it),
            id: text(&it["id"]),
            units: units(it, "quantity").filter(|_| has_units),
        };
        list(order, book.path()).iter().map(entry).collect()
    };
    match book {
        Book::Fulfillments => of(|it| text(&it["tracking"]["carrier"]), true),
        Book::Returns => of(|it| text(&it["reason"]), true),
        Book::Refunds => of(|it| text(&it["reason"]), false),
        Book::Cancellations => {
            let all = list(order, "history").iter().filter(|entry| entry["event"] == "cancellation");
            all.map(|it| Found { tag: text(&it["reason"]), id: text(&it["subject"]), units: None }).collect()
        }
    }
}

/// Compares the entries of a list with those that were sent.
fn check_entries(order: &Value, account: &Account, book: Book) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut times, mut ids) = (BTreeMap::<&str, usize>::new(), BTreeSet::new());
    for Found { tag, id, units } in found(order, book) {
        if !ids.insert(id) {
            wrong.push(format!("two of {book:?} have the ID {id}"));
        }
        *times.entry(tag).or_default() += 1;
        let Some(sent) = account.entries.get(&(book, tag.to_owned())) else {
            wrong.push(format!("{tag} was never sent"));
            continue;
        };
        if sent.known == Known::Refused {
            wrong.push(format!("{tag} was refused, and is there"));
        }
        if sent.is_short {
            continue;
        }
        if sent.id.as_ref().is_some_and(|known| known != id) {
            wrong.push(format!("{tag} was {:?}, and is {id}", sent.id));
        }
        if let (Some(known), Some(units)) = (&sent.units, &units)
            && known != units
        {
            wrong.push(format!("{tag} was of {known:?}, and is of {units:?}"));
        }
    }
    for ((_, tag), sent) in account.entries.iter().filter(|((of, _), _)| *of == book) {
        let times = times.get(tag.as_str()).copied().unwrap_or_default();
        if times > 1 && !sent.is_short {
            wrong.push(format!("{tag} stands {times} times"));
        }
        if times == 0 && sent.known == Known::Acknowledged {
            wrong.push(format!("{tag} was acknowledged, and is lost: {sent:?}"));
        }
    }
    wrong
}

/// Compares the cancelled units with the cancellations, where these named their units.
fn check_cancelled(order: &Value, account: &Account) -> Vec<String> {
    let mut wrong = Vec::new();
    let there = found(order, Book::Cancellations);
    let sent = there.iter().map(|it| account.entries.get(&(Book::Cancellations, it.tag.to_owned())));
    let sent: Option<Vec<&Units>> = sent.map(|entry| entry.and_then(|it| it.units.as_ref())).collect();
    let Some(sent) = sent.filter(|_| !was_cancelled(order)) else { return wrong };
    for item in list(order, "items") {
        let units: i64 = sent.iter().filter_map(|units| units.get(text(&item["id"]))).sum();
        if item["cancelled"] != units {
            wrong.push(format!("cancellations have {units} units of {item}"));
        }
    }
    wrong
}

/// Compares the statuses that parts had with the tries to give them these.
fn check_tries(order: &Value, account: &Account) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut reached, mut corrections) = (BTreeSet::new(), BTreeMap::<&str, usize>::new());
    for (part, from, to) in changes(order) {
        if from.is_null() {
            continue;
        }
        if from == to {
            *corrections.entry(part).or_default() += 1;
            continue;
        }
        let key = (part.to_owned(), to.to_owned());
        let is_possible = account.tries.get(&key).is_some_and(|tries| tries.is_possible);
        if !(is_possible || to == "delivered" && account.is_delivered) {
            wrong.push(format!("{part} is {to}, and nobody has asked for it with success"));
        }
        reached.insert(key);
    }
    let acknowledged = account.tries.iter().filter(|(_, tries)| tries.is_acknowledged);
    for ((part, to), _) in acknowledged.filter(|(key, _)| !reached.contains(*key)) {
        wrong.push(format!("{part} was acknowledged as {to}, which is lost"));
    }
    for (part, acknowledged) in &account.corrections {
        let there = corrections.get(part.as_str()).copied().unwrap_or_default();
        if there < *acknowledged {
            wrong.push(format!("{acknowledged} corrections of {part} were acknowledged, {there} are there"));
        }
    }
    wrong
}

/// Compares the returns that were received with the answers about them.
fn check_received(order: &Value, account: &Account) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, answered) in &account.received {
        let there = list(order, "returns").iter().find(|it| it["id"] == *id);
        let there = there.filter(|it| it["status"] == "received").map(received_units);
        if there.as_ref() != Some(answered) {
            wrong.push(format!("{id} was received as {answered:?}, and is {there:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fulfillment(id: &str, units: i64, status: &str) -> Value {
        let items = json!([{ "id": "item_1", "quantity": units }]);
        json!({ "id": id, "items": items, "status": status, "tracking": { "carrier": format!("tag of {id}") } })
    }

    /// A paid order of six units: one cancelled, two shipped, two in a cancelled fulfillment; one is back. And its account.
    fn order() -> (Value, Account) {
        let change = |event: &str, subject: &str, from: Value, to: &str| json!({ "event": event, "subject": subject, "from": from, "to": to });
        let returned = json!({
            "id": "return_1",
            "status": "received",
            "reason": "tag of return_1",
            "items": [{ "id": "item_1", "quantity": 2, "received": 1, "restocked": 1 }],
        });
        let order = json!({
            "id": "order_1",
            "status": "paid",
            "fulfillment_status": "partial",
            "return_status": "partial",
            "items": [{
                "id": "item_1", "quantity": 6, "cancelled": 1, "shipped": 2, "returned": 1, "refunded": 0,
            }],
            "fulfillments": [
                fulfillment("fulfillment_1", 2, "delivered"),
                fulfillment("fulfillment_2", 2, "cancelled"),
            ],
            "returns": [returned],
            "refunds": [],
            "history": [
                change("fulfillment", "fulfillment_1", Value::Null, "shipped"),
                change("fulfillment", "fulfillment_2", Value::Null, "shipped"),
                change("fulfillment", "fulfillment_1", json!("shipped"), "shipped"),
                change("fulfillment", "fulfillment_2", json!("shipped"), "cancelled"),
                change("fulfillment", "fulfillment_1", json!("shipped"), "delivered"),
                change("return", "return_1", Value::Null, "approved"),
                change("return", "return_1", json!("approved"), "received"),
                { "event": "cancellation", "subject": "cancellation_1", "reason": "one" },
            ],
        });
        let mut account = Account::of("order_1".to_owned(), UserId::new());
        let units = |units: i64| Some(Units::from([("item_1".to_owned(), units)]));
        for (book, tag, id, quantity) in [
            (Book::Fulfillments, "tag of fulfillment_1", "fulfillment_1", 2),
            (Book::Fulfillments, "tag of fulfillment_2", "fulfillment_2", 2),
            (Book::Returns, "tag of return_1", "return_1", 2),
            (Book::Cancellations, "one", "cancellation_1", 1),
        ] {
            account.expect(book, tag, Entry::sent(units(quantity)));
            let (known, wrong) = account.learn(book, tag, &[Said::Done(id.to_owned(), units(quantity))]);
            assert_eq!((known, wrong), (Known::Acknowledged, Vec::new()));
        }
        account.attempt("fulfillment_1", "delivered", Known::Unknown);
        account.attempt("fulfillment_2", "cancelled", Known::Acknowledged);
        account.attempt("return_1", "received", Known::Acknowledged);
        account.correct("fulfillment_1");
        assert_eq!(account.receive(&order["returns"][0]), None);
        (order, account)
    }

    #[test]
    fn the_check_finds_nothing_in_sound_parts() {
        let (order, account) = order();
        assert_eq!(violations(&order, &account), [""; 0]);
    }

    #[test]
    fn the_check_finds_each_damage_of_parts() {
        type Damage = fn(&mut Value, &mut Account);
        let damages: [(&str, Damage); 14] = [
            ("counters beyond the quantity", |order, _| order["items"][0]["cancelled"] = json!(5)),
            ("2 shipped and 1 returned by the parts", |order, _| order["items"][0]["shipped"] = json!(3)),
            ("in open returns", |order, _| order["returns"][0]["items"][0]["received"] = json!(3)),
            ("restocked of", |order, _| order["returns"][0]["items"][0]["restocked"] = json!(2)),
            ("shipped, \"partial\"", |order, _| order["status"] = json!("shipped")),
            ("became cancelled 2 times", |order, _| {
                let entry = order["history"][3].clone();
                order["history"].as_array_mut().unwrap().push(entry);
            }),
            ("was never sent", |order, _| order["fulfillments"][0]["tracking"]["carrier"] = json!("x")),
            ("was acknowledged, and is lost", |order, _| order["returns"] = json!([])),
            ("stands 2 times", |order, _| {
                let again = fulfillment("fulfillment_1", 2, "cancelled");
                order["fulfillments"].as_array_mut().unwrap().push(again);
            }),
            ("was refused, and is there", |_, account| {
                account.learn(Book::Cancellations, "one", &[Said::Refused]);
            }),
            ("cancellations have 2 units", |_, account| {
                let units = Some(Units::from([("item_1".to_owned(), 2)]));
                account.expect(Book::Cancellations, "one", Entry::sent(units));
            }),
            ("nobody has asked for it", |_, account| account.tries.clear()),
            ("2 corrections of fulfillment_1", |_, account| account.correct("fulfillment_1")),
            ("cancelled, and is paid", |_, account| account.is_cancelled = true),
        ];
        for (expected, damage) in damages {
            let (mut order, mut account) = order();
            damage(&mut order, &mut account);
            let found = violations(&order, &account);
            assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
        }
    }
}
