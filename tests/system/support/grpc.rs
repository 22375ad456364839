//! Calls to the functions, and their messages as the JSON that REST answers.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;
use std::time::Duration;

use proto::common::v1 as common;
use proto::orders::v1 as orders;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::products::v1 as products;
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::users::v1 as users;
use proto::users::v1::user_service_client::UserServiceClient;
use serde_json::{Value, json};
use shared::auth::{Caller, Role, Signer};
use shared::error::{Error, Kind};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::{Clock, Timestamp};
use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tests::person::Person;
use tonic::{Code, Request, Response, Status};

pub(crate) fn channel(rpc: impl Invoke + 'static) -> Channel {
    Channel::new(Arc::new(rpc), Clock::system())
}

pub(crate) fn to_orders(shop: &InProcess) -> OrderServiceClient<Channel> {
    OrderServiceClient::new(channel(shop.backend.orders.rpc.clone()))
}

pub(crate) fn to_products(shop: &InProcess) -> ProductServiceClient<Channel> {
    ProductServiceClient::new(channel(shop.backend.products.rpc.clone()))
}

/// A message on behalf of a caller: of a function by metadata, of a user by an access token.
pub(crate) fn by<T>(caller: Caller, message: T) -> Request<T> {
    by_at(Clock::system().now(), caller, message)
}

/// The same at this time.
pub(crate) fn by_at<T>(now: Timestamp, caller: Caller, message: T) -> Request<T> {
    let context = Context::new(caller, now.after(Duration::from_secs(20)));
    let mut request = metadata::request(message, &context);
    if let Caller::User { id, role } = caller {
        let token = Signer::from_secret(JWT_SECRET).unwrap().access_token(id, role, now).unwrap();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// A message that says in the metadata that a user calls, as functions of earlier builds could.
pub(crate) fn claiming<T>(caller: Caller, message: T) -> Request<T> {
    let mut request = by(Caller::Anonymous, message);
    let metadata = request.metadata_mut();
    if let Caller::User { id, role } = caller {
        metadata.insert("oms-caller", id.to_string().parse().unwrap());
        metadata.insert("oms-caller-role", role.name().parse().unwrap());
    }
    request
}

pub(crate) fn caller(person: &Person, role: Role) -> Caller {
    Caller::User { id: person.id.parse().unwrap(), role }
}

/// The error of a call: its code, its kind, and the places that it names.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (Code, Kind, Vec<String>) {
    let status = answer.unwrap_err();
    let code = status.code();
    let error = Error::from(status);
    assert_eq!(error.kind().code(), code);
    (code, error.kind(), error.errors().iter().map(|fault| fault.pointer.clone()).collect())
}

pub(crate) fn invalid(pointers: &[&str]) -> (Code, Kind, Vec<String>) {
    (Code::InvalidArgument, Kind::Validation, pointers.iter().map(|pointer| (*pointer).to_owned()).collect())
}

pub(crate) fn plain(code: Code, kind: Kind) -> (Code, Kind, Vec<String>) {
    (code, kind, Vec::new())
}

pub(crate) fn unauthenticated() -> (Code, Kind, Vec<String>) {
    plain(Code::Unauthenticated, Kind::Unauthenticated)
}

pub(crate) fn forbidden() -> (Code, Kind, Vec<String>) {
    plain(Code::PermissionDenied, Kind::Forbidden)
}

pub(crate) fn not_found() -> (Code, Kind, Vec<String>) {
    plain(Code::NotFound, Kind::NotFound)
}

pub(crate) fn mask(paths: &[&str]) -> Option<proto::FieldMask> {
    Some(proto::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

pub(crate) fn wire_address() -> common::Address {
    common::Address {
        line1: "1 Way".to_owned(),
        city: "Bonn".to_owned(),
        postal_code: Some("53111".to_owned()),
        country: "DE".to_owned(),
        ..common::Address::default()
    }
}

pub(crate) fn money(money: Option<common::Money>) -> Value {
    let money = money.unwrap();
    json!({ "amount": money.amount, "currency": money.currency })
}

/// Times in a message have the milliseconds that JSON shows.
pub(crate) fn time(time: Option<proto::Timestamp>) -> Value {
    let Some(time) = time else { return Value::Null };
    let millis = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000;
    json!(shared::values::clock::Timestamp::from_millis(millis))
}

pub(crate) fn address_json(address: Option<common::Address>) -> Value {
    let Some(address) = address else { return Value::Null };
    let common::Address { name, company, phone, line1, line2, city, region, postal_code, country } = address;
    json!({
        "name": name, "company": company, "phone": phone, "line1": line1, "line2": line2, "city": city,
        "region": region, "postal_code": postal_code, "country": country,
    })
}

/// A message in the words of REST, as this caller sees it. To customers there is no internal note.
pub(crate) fn order_json_for(caller: Caller, order: orders::Order) -> Value {
    let mut order = order_json(order);
    if let Some(fields) = order.as_object_mut().filter(|_| !caller.is_staff()) {
        assert_eq!(fields.remove("internal_note"), Some(Value::Null));
    }
    order
}

fn taxes_json(taxes: Vec<orders::Tax>) -> Vec<Value> {
    let tax = |orders::Tax { label, rate, amount, included }| json!({ "label": label, "rate": rate, "amount": amount, "included": included });
    taxes.into_iter().map(tax).collect()
}

fn shipping_json(shipping: Option<orders::Shipping>) -> Value {
    let Some(orders::Shipping { label, amount, taxes, total }) = shipping else { return Value::Null };
    json!({ "label": label, "amount": amount, "taxes": taxes_json(taxes), "total": total })
}

/// A message in the words of REST, as staff see it: the two must say the same.
pub(crate) fn order_json(order: orders::Order) -> Value {
    let discount = |discount: orders::Discount| json!({ "label": discount.label, "amount": discount.amount });
    let item = |item: orders::OrderItem| {
        json!({
            "id": item.id, "cancelled": item.cancelled, "shipped": item.shipped, "returned": item.returned,
            "refunded": item.refunded, "product_id": item.product_id, "sku": item.sku, "name": item.name,
            "quantity": item.quantity,
            "unit_price": money(item.unit_price), "total": money(item.total),
            "discounts": item.discounts.into_iter().map(discount).collect::<Vec<_>>(),
            "taxes": taxes_json(item.taxes),
        })
    };
    let change = |change: orders::HistoryEntry| {
        json!({
            "at": time(change.at), "event": change.event, "from": change.from, "to": change.to, "by": change.by,
            "reason": change.reason, "subject": change.subject,
        })
    };
    let totals = order.totals.unwrap();
    let payment = order.payment.unwrap_or_default();
    let tracking = order.tracking.unwrap_or_default();
    json!({
        "id": order.id, "number": order.number, "user_id": order.user_id, "status": order.status,
        "items": order.items.into_iter().map(item).collect::<Vec<_>>(),
        "total": money(order.total),
        "shipping_address": address_json(order.shipping_address),
        "billing_address": address_json(order.billing_address),
        "shipping": shipping_json(order.shipping), "external_number": order.external_number,
        "note": order.note, "internal_note": order.internal_note, "metadata": order.metadata,
        "totals": {
            "items": totals.items, "discounts": totals.discounts, "shipping": totals.shipping, "tax": totals.tax,
            "tax_included": totals.tax_included, "total": totals.total, "cancelled": totals.cancelled,
            "paid": totals.paid, "refunded": totals.refunded, "due": totals.due, "refund_due": totals.refund_due,
        },
        "payment_status": order.payment_status,
        "payments": order.payments.into_iter().map(payment_json).collect::<Vec<_>>(),
        "refunds": order.refunds.into_iter().map(refund_json).collect::<Vec<_>>(),
        "payment": {
            "reference": payment.reference, "method": payment.method, "refund_reference": payment.refund_reference,
        },
        "fulfillment_status": order.fulfillment_status,
        "fulfillments": order.fulfillments.into_iter().map(fulfillment_json).collect::<Vec<_>>(),
        "return_status": order.return_status,
        "returns": order.returns.into_iter().map(return_json).collect::<Vec<_>>(),
        "tracking": tracking_json(tracking),
        "history": order.history.into_iter().map(change).collect::<Vec<_>>(),
        "expires_at": time(order.expires_at), "version": order.version,
        "created_at": time(order.created_at), "updated_at": time(order.updated_at),
    })
}

/// A payment in the words of REST.
pub(crate) fn payment_json(payment: orders::Payment) -> Value {
    json!({
        "id": payment.id, "amount": payment.amount, "reference": payment.reference, "method": payment.method,
        "provider": payment.provider, "created_at": time(payment.created_at), "by": payment.by,
    })
}

fn quantities_json(items: Vec<orders::ItemQuantity>) -> Vec<Value> {
    let item = |item: orders::ItemQuantity| json!({ "id": item.id, "quantity": item.quantity });
    items.into_iter().map(item).collect()
}

fn tracking_json(orders::Tracking { carrier, number, url }: orders::Tracking) -> Value {
    json!({ "carrier": carrier, "number": number, "url": url })
}

/// A refund in the words of REST.
pub(crate) fn refund_json(refund: orders::Refund) -> Value {
    json!({
        "id": refund.id, "amount": refund.amount, "items": quantities_json(refund.items),
        "shipping": refund.shipping, "reason": refund.reason, "reference": refund.reference,
        "payment_id": refund.payment_id, "return_id": refund.return_id, "created_at": time(refund.created_at),
        "by": refund.by,
    })
}

/// A fulfillment in the words of REST.
pub(crate) fn fulfillment_json(fulfillment: orders::Fulfillment) -> Value {
    json!({
        "id": fulfillment.id, "items": quantities_json(fulfillment.items),
        "tracking": fulfillment.tracking.map(tracking_json), "status": fulfillment.status,
        "shipped_at": time(fulfillment.shipped_at), "delivered_at": time(fulfillment.delivered_at),
        "by": fulfillment.by,
    })
}

/// A return in the words of REST.
pub(crate) fn return_json(returned: orders::Return) -> Value {
    let item = |item: orders::ReturnItem| {
        json!({
            "id": item.id, "quantity": item.quantity, "reason": item.reason, "received": item.received,
            "restocked": item.restocked,
        })
    };
    json!({
        "id": returned.id, "status": returned.status,
        "items": returned.items.into_iter().map(item).collect::<Vec<_>>(), "reason": returned.reason,
        "requested_at": time(returned.requested_at), "decided_at": time(returned.decided_at),
        "received_at": time(returned.received_at), "by": returned.by,
    })
}

pub(crate) fn new_item(product: &str, quantity: i64) -> orders::NewOrderItem {
    orders::NewOrderItem {
        product_id: Some(product.to_owned()),
        quantity: Some(quantity),
        ..orders::NewOrderItem::default()
    }
}

pub(crate) fn new_order(product: &str, quantity: i64) -> orders::CreateOrderRequest {
    orders::CreateOrderRequest {
        items: vec![new_item(product, quantity)],
        shipping_address: Some(wire_address()),
        ..orders::CreateOrderRequest::default()
    }
}

pub(crate) fn to_users(shop: &InProcess) -> UserServiceClient<Channel> {
    UserServiceClient::new(channel(shop.backend.users.rpc.clone()))
}

/// A request for a draft, with every field.
pub(crate) fn draft_product() -> products::CreateProductRequest {
    products::CreateProductRequest {
        sku: Some("MUG".to_owned()),
        name: Some("Mug".to_owned()),
        description: Some("Blue".to_owned()),
        price: Some(common::Money { amount: 500, currency: "EUR".to_owned() }),
        stock: Some(7),
        attributes: [("a.b".to_owned(), "$c".to_owned())].into(),
        status: Some("draft".to_owned()),
        max_per_order: Some(5),
    }
}

pub(crate) fn product_json(product: products::Product) -> Value {
    let stock = product.stock.unwrap();
    json!({
        "id": product.id, "sku": product.sku, "name": product.name, "description": product.description,
        "price": money(product.price), "attributes": product.attributes, "status": product.status,
        "max_per_order": product.max_per_order,
        "stock": { "on_hand": stock.on_hand, "reserved": stock.reserved, "available": stock.available },
        "version": product.version,
        "created_at": time(product.created_at), "updated_at": time(product.updated_at),
    })
}

pub(crate) fn user_json(user: users::User) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "phone": user.phone,
        "address": address_json(user.address), "role": user.role, "status": user.status, "version": user.version,
        "created_at": time(user.created_at), "updated_at": time(user.updated_at),
    })
}

/// A request with a key in its metadata.
pub(crate) fn with_key<T>(mut request: Request<T>, key: &str) -> Request<T> {
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

pub(crate) fn was_replayed<T>(response: &Response<T>) -> bool {
    response.metadata().get("idempotency-replayed").is_some_and(|said| said == "true")
}
