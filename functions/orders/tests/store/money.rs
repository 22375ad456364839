//! Payments, refunds and amounts, also of older builds.

use mongodb::bson::{Document, doc};
use orders::order::{
    Decision, NewItem, NewRefund, Order, OrderChange, Origin, PaymentStatus, Recording, RefundOf, Transition,
};
use orders::store::{OrderStore, SCHEMA, Written};
use shared::auth::{Caller, Role};
use shared::http::idempotency::RequestKey;
use shared::input::validation::Patch;
use shared::mongo::{self, Schema};
use shared::runtime::context::InvocationId;
use shared::values::clock::Timestamp;
use shared::values::ids::UserId;

use crate::{NOW, apply_all, decide, listed, order, order_with_amounts, pay, pay_as, ship, store};

/// Schema version of the last build that knows no amounts.
const WITHOUT_AMOUNTS: i32 = 10;

/// Decides as staff about a refund of this amount.
fn refund(order: &Order, amount: i64) -> Decision {
    let new = NewRefund {
        of: RefundOf::Amount(amount),
        reason: None,
        reference: None,
        payment_id: None,
        return_id: None,
    };
    let caller = Caller::User { id: UserId::new(), role: Role::Staff };
    let key = RequestKey::of_invocation(InvocationId::new());
    match order.clone().record_refund(new, Origin { caller, key: &key, now: NOW }).unwrap() {
        Recording::New(decision, _) => *decision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_payment_of_a_build_without_payments_is_read_and_refunded() {
    let (database, store) = store().await;
    let order = order(7);
    store.insert(&order).await.unwrap();
    let paid = apply_all(&store, order, vec![pay()]).await;
    // As that build leaves it: a reference and a history of statuses, and neither payments nor events.
    let orders = database.collection::<Document>("orders");
    let with_id = doc! { "_id": mongo::uuid(paid.id) };
    let history = vec![doc! { "$arrayElemAt": ["$history", 0] }, doc! { "$arrayElemAt": ["$history", 2] }];
    let older = vec![doc! { "$unset": ["payments", "refunds"] }, doc! { "$set": { "history": history } }];
    orders.update_one(with_id.clone(), older).await.unwrap();

    let found = store.find(paid.id).await.unwrap().unwrap();
    let [payment] = &found.payments[..] else { panic!("{found:?}") };
    assert_eq!((payment.amount, payment.reference.as_str()), (found.total(), "pi"));
    assert_eq!((payment.created_at, payment.by), (paid.payments[0].created_at, paid.payments[0].by));
    assert_eq!(found.payment_status(), PaymentStatus::Paid);
    // Nothing kept its reference apart from others, so another order may have it.
    let other = crate::order(8);
    store.insert(&other).await.unwrap();
    apply_all(&store, other, vec![pay()]).await;
    let refunded = refund(&found, 1);
    assert_eq!(store.write(&found, &refunded).await.unwrap(), Written::Done);
    let again = store.find(paid.id).await.unwrap().unwrap();
    assert_eq!((&again, again.totals().refunded), (&refunded.order, 1));
    let stored = orders.find_one(with_id).await.unwrap().unwrap();
    assert_eq!(stored.get_array("payments").unwrap().len(), 1);
}

#[tokio::test]
async fn amounts_are_stored_and_may_be_taken_away() {
    let (_, store) = store().await;
    let order = order_with_amounts(7);
    store.insert(&order).await.unwrap();
    assert_eq!(store.find(order.id).await.unwrap(), Some(order.clone()));
    // Fewer units, and neither discounts nor taxes nor shipping any more.
    let change = OrderChange {
        items: Some(vec![NewItem::new(order.items[0].product_id, 1)]),
        shipping: Patch::Null,
        internal_note: Patch::Null,
        billing_address: Patch::Null,
        ..OrderChange::default()
    };
    let staff = Caller::User { id: UserId::new(), role: Role::Staff };
    let intent = order.clone().begin_item_change(&change, staff, NOW).unwrap().unwrap();
    assert_eq!(store.write(&order, &intent).await.unwrap(), Written::Done);
    let edited = intent.order.clone().complete_item_change(change, &[], NOW).unwrap();
    assert_eq!(store.write(&intent.order, &edited).await.unwrap(), Written::Done);
    let found = store.find(order.id).await.unwrap().unwrap();
    assert_eq!((found.total(), found.shipping.as_ref()), (1_000_000_000_000, None));
    assert_eq!(found, edited.order);
}

#[tokio::test]
async fn an_older_build_cannot_change_an_order_with_amounts() {
    let (database, store) = store().await;
    let older = Schema { version: WITHOUT_AMOUNTS, ..SCHEMA };
    let older = OrderStore::with_schema(&database, older);
    let plain = order(7);
    older.insert(&plain).await.unwrap();
    apply_all(&older, plain, vec![pay()]).await;
    // Nor one whose address has a name, which that build would leave at another address.
    let mut named = order(9);
    named.shipping_address.name = Some("Ada".to_owned());
    for dear in [order_with_amounts(8), named] {
        store.insert(&dear).await.unwrap();
        older.write(&dear, &decide(&dear, None, Some("Knock"))).await.unwrap_err();
        assert_eq!(store.find(dear.id).await.unwrap(), Some(dear));
    }
}

#[tokio::test]
async fn orders_of_older_builds_are_found_after_an_upgrade() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    let [paid, refundable, plain] = [order(7), order(8), order(9)];
    for order in [&paid, &refundable, &plain] {
        store.insert(order).await.unwrap();
    }
    let of = |reference: &str| Some(Transition::Pay { reference: reference.to_owned(), method: None });
    apply_all(&store, paid.clone(), vec![of("a.b/c")]).await;
    apply_all(&store, refundable.clone(), vec![of("a"), Some(Transition::Cancel)]).await;
    // As builds leave them that know neither payments nor statuses of payment.
    let no_events = doc! { "$filter": {
        "input": "$history", "cond": { "$eq": [{ "$type": "$$this.event" }, "missing"] },
    } };
    let forget = |writer: Document| {
        vec![
            doc! { "$unset": ["payments", "refunds", "payment_status"] },
            doc! { "$set": {
                "history": no_events.clone(), "writer": writer,
            } },
        ]
    };
    orders.update_many(doc! {}, forget(doc! { "$literal": WITHOUT_AMOUNTS })).await.unwrap();
    assert_eq!(listed(&store, "payment_status=refund_due").await, []);
    assert_eq!(store.upgrade_outdated(|| false).await.unwrap(), 3);
    assert_eq!(listed(&store, "payment_status=refund_due").await, [refundable.id]);
    assert_eq!(listed(&store, "payment_reference=a").await, [refundable.id]);
    assert_eq!(listed(&store, "payment_reference=a.b/c").await, [paid.id]);
    assert_eq!(listed(&store, "payment_reference=a.b").await, []);
    assert_eq!(listed(&store, "payment_status=unpaid,paid&sort=total").await.len(), 2);
    assert_eq!(store.upgrade_outdated(|| false).await.unwrap(), 0);
    // Each is read as it was, and its time of change is the same.
    let found = store.find(paid.id).await.unwrap().unwrap();
    assert_eq!(
        (found.payments.len(), found.version, found.updated_at),
        (1, 2, Timestamp::from_millis(NOW.millis() + 1))
    );

    // Those from before fences are upgraded by the schema step, once.
    orders.update_many(doc! {}, forget(doc! { "$literal": 0 })).await.unwrap();
    orders.update_many(doc! {}, doc! { "$unset": { "writer": "" } }).await.unwrap();
    let schema = database.collection::<Document>("schema");
    schema.update_one(doc! { "_id": "orders" }, doc! { "$unset": { "migrated": "" } }).await.unwrap();
    // One that cannot be read keeps no other from its turn.
    orders
        .update_one(doc! { "_id": mongo::uuid(plain.id) }, doc! { "$set": { "items": 7 } })
        .bypass_document_validation(true)
        .await
        .unwrap();
    store.ensure_schema().await.unwrap();
    assert_eq!(listed(&store, "payment_status=refund_due").await, [refundable.id]);
}

#[tokio::test]
async fn returned_orders_of_older_builds_are_found() {
    let (database, store) = store().await;
    let orders = database.collection::<Document>("orders");
    let order = order(7);
    store.insert(&order).await.unwrap();
    let whole = vec![pay_as("pi-7"), ship(), Some(Transition::Return { restock: true })];
    apply_all(&store, order.clone(), whole).await;
    assert_eq!(listed(&store, "return_status=returned").await, [order.id]);
    // As builds leave it that do not store the status of returns, and as those that know no parts.
    for (writer, fields) in
        [(12, &["return_status"][..]), (11, &["returns", "fulfillments", "return_status"])]
    {
        let fields: Vec<String> = fields.iter().copied().map(str::to_owned).collect();
        let older = vec![doc! { "$unset": fields }, doc! { "$set": { "writer": { "$literal": writer } } }];
        orders.update_many(doc! {}, older).await.unwrap();
        assert_eq!(listed(&store, "return_status=returned").await, []);
        assert_eq!(store.upgrade_outdated(|| false).await.unwrap(), 1);
        assert_eq!(listed(&store, "return_status=returned").await, [order.id]);
        assert_eq!(listed(&store, "return_status=none").await, []);
    }
}

#[tokio::test]
async fn a_reference_is_stored_for_one_order() {
    let (_, store) = store().await;
    let (one, other) = (order(7), order(8));
    store.insert(&one).await.unwrap();
    store.insert(&other).await.unwrap();
    apply_all(&store, one, vec![pay()]).await;
    let pays = decide(&other, pay(), None);
    assert_eq!(store.write(&other, &pays).await.unwrap(), Written::ReferenceTaken);
    assert_eq!(store.find(other.id).await.unwrap(), Some(other));
}
