//! Store of orders on a real MongoDB: the guarantees of its conditional writes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "these are tests: what fails there fails the test")]

mod jobs;
mod lists;
mod money;
mod parts;
mod size;
mod writes;

use std::collections::BTreeMap;

use mongodb::Database;
use mongodb::bson::{self, Document, doc};
use orders::listing::Listing;
use orders::number::Number;
use orders::order::{
    Decision, Discount, Item, ItemAmounts, NewOrder, Order, OrderChange, PlacementContext, Rate, Shipping,
    Tax, Tracking, Transition,
};
use orders::store::{OrderStore, Written};
use shared::auth::{Caller, Role};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::input::validation::Patch;
use shared::mongo;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId, UserId};
use shared::values::money::{Currency, Money};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);

/// Creates a store on a database of its own.
pub(crate) async fn store() -> (Database, OrderStore) {
    let uri = mongod::shared_for_tests().await.unwrap();
    let client = shared::mongo::connect(uri, "tests").await.unwrap();
    let database =
        client.client().database(&format!("test_{}", bson::Uuid::new().to_string().replace('-', "")));
    let store = OrderStore::new(&database);
    store.ensure_schema().await.unwrap();
    (database, store)
}

pub(crate) fn address(line1: &str) -> Address {
    Address {
        name: None,
        company: None,
        phone: None,
        line1: line1.to_owned(),
        line2: None,
        city: "Bonn".to_owned(),
        region: Some("NRW".to_owned()),
        postal_code: None,
        country: "DE".to_owned(),
    }
}

pub(crate) fn order_at(number: u64, user: UserId, now: Timestamp) -> Order {
    let currency = Currency::parse("EUR".to_owned()).unwrap();
    let item = |amount, quantity| Item {
        product_id: ProductId::new(),
        sku: "MUG".to_owned(),
        name: "Mug $ne ☕".to_owned(),
        unit_price: Money::new(amount, currency).unwrap(),
        quantity,
        amounts: ItemAmounts::default(),
    };
    let new = NewOrder {
        note: Some("Ring".to_owned()),
        // MongoDB would take these for operators and paths, if they were keys of a document.
        metadata: BTreeMap::from(
            ["$ne", "a.b", "$set", "_id", ""].map(|key| (key.to_owned(), "$x".to_owned())),
        ),
        ..NewOrder::new(Vec::new(), address("1 Way"))
    };
    let items = vec![item(1_000_000_000_000, 7), item(0, 10_000)];
    let placing = PlacementContext {
        id: OrderId::new(),
        number: Number::from_bits(number),
        user_id: user,
        by: user,
        under: None,
        at: now,
        expires_at: Timestamp::from_millis(now.millis() + 1),
        open_slot: None,
    };
    Order::place(placing, new, items).unwrap()
}

pub(crate) fn order(number: u64) -> Order {
    order_at(number, UserId::new(), NOW)
}

/// An order with discounts, taxes and shipping.
pub(crate) fn order_with_amounts(number: u64) -> Order {
    let tax = Tax {
        label: "VAT".to_owned(),
        rate: Rate::from_stored("0.19".to_owned()),
        amount: 19,
        included: true,
    };
    let mut order = order(number);
    order.items[0].amounts = ItemAmounts {
        discounts: vec![Discount { label: "$ne".to_owned(), amount: 5 }],
        taxes: vec![tax.clone()],
    };
    order.shipping = Some(Shipping { label: "Standard".to_owned(), amount: 119, taxes: vec![tax] });
    order.billing_address = Some(address("2 Way"));
    order.external_number = Some("PO-1".to_owned());
    order.internal_note = Some("Call first.".to_owned());
    order
}

pub(crate) fn staff() -> Caller {
    Caller::User { id: UserId::new(), role: Role::Staff }
}

/// Decides as staff about an order.
pub(crate) fn decide(order: &Order, transition: Option<Transition>, note: Option<&str>) -> Decision {
    let change = OrderChange {
        status: transition.as_ref().map(Transition::to),
        transition: Ok(transition),
        note: note.map_or(Patch::Absent, |note| Patch::Value(note.to_owned())),
        ..OrderChange::default()
    };
    let later = Timestamp::from_millis(NOW.millis() + order.version);
    order.clone().decide(change, staff(), later).unwrap().unwrap()
}

pub(crate) fn pay() -> Option<Transition> {
    pay_as("pi")
}

pub(crate) fn pay_as(reference: &str) -> Option<Transition> {
    Some(Transition::Pay { reference: reference.to_owned(), method: None })
}

pub(crate) fn ship() -> Option<Transition> {
    Some(Transition::Ship(parcel("1")))
}

/// Tracking of a parcel with this number.
pub(crate) fn parcel(number: &str) -> Tracking {
    Tracking { carrier: "DHL".to_owned(), number: number.to_owned(), url: None }
}

/// Applies and writes the transitions, one after the other.
pub(crate) async fn apply_all(
    store: &OrderStore,
    mut order: Order,
    transitions: Vec<Option<Transition>>,
) -> Order {
    for transition in transitions {
        let decision = decide(&order, transition, None);
        assert_eq!(store.write(&order, &decision).await.unwrap(), Written::Done);
        order = decision.order;
    }
    order
}

/// Page of a list by this query.
pub(crate) async fn listed(store: &OrderStore, query: &str) -> Vec<OrderId> {
    let query = Query::parse(Some(query), &orders::http::LIST_ORDERS.query_names()).unwrap();
    let listing = Listing::from_query(&query).unwrap();
    let page = PageRequest::from_query(&query).unwrap();
    let found = store.list(&listing, None, &page, None).await.unwrap();
    found.data.iter().map(|order| order.id).collect()
}

/// Stored document of an order.
pub(crate) async fn stored(database: &Database, order: OrderId) -> Document {
    let orders = database.collection::<Document>("orders");
    orders.find_one(doc! { "_id": mongo::uuid(order) }).await.unwrap().unwrap()
}
