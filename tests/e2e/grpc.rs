//! The calls between functions: the same results and the same errors as over REST, for whoever calls.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;
use std::time::Duration;

use proto::common::v1 as common;
use proto::orders::v1 as orders;
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::products::v1::product_service_client::ProductServiceClient;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::person::Person;
use tests::shop::{InProcess, Shop, order_of};
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

/// A message on behalf of a caller.
pub(crate) fn by<T>(caller: Caller, message: T) -> Request<T> {
    let deadline = Clock::system().now().after(Duration::from_secs(20));
    metadata::request(message, &Context::new(caller, deadline))
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
    let Some(common::Address { line1, line2, city, region, postal_code, country }) = address else {
        return Value::Null;
    };
    json!({
        "line1": line1, "line2": line2, "city": city, "region": region,
        "postal_code": postal_code, "country": country,
    })
}

/// A message in the words of REST: the two must say the same.
pub(crate) fn order_json(order: orders::Order) -> Value {
    let item = |item: orders::OrderItem| {
        json!({
            "product_id": item.product_id, "sku": item.sku, "name": item.name, "quantity": item.quantity,
            "unit_price": money(item.unit_price), "total": money(item.total),
        })
    };
    let change = |change: orders::StatusChange| {
        json!({
            "at": time(change.at), "from": change.from, "to": change.to, "by": change.by, "reason": change.reason,
        })
    };
    let payment = order.payment.unwrap_or_default();
    let tracking = order.tracking.unwrap_or_default();
    json!({
        "id": order.id, "number": order.number, "user_id": order.user_id, "status": order.status,
        "items": order.items.into_iter().map(item).collect::<Vec<_>>(),
        "total": money(order.total),
        "shipping_address": address_json(order.shipping_address),
        "note": order.note, "metadata": order.metadata,
        "payment": {
            "reference": payment.reference, "method": payment.method, "refund_reference": payment.refund_reference,
        },
        "tracking": { "carrier": tracking.carrier, "number": tracking.number },
        "history": order.history.into_iter().map(change).collect::<Vec<_>>(),
        "expires_at": time(order.expires_at), "version": order.version,
        "created_at": time(order.created_at), "updated_at": time(order.updated_at),
    })
}

fn new_order(product: &str, quantity: i64) -> orders::CreateOrderRequest {
    let item = orders::NewOrderItem { product_id: Some(product.to_owned()), quantity: Some(quantity) };
    orders::CreateOrderRequest {
        items: vec![item],
        shipping_address: Some(wire_address()),
        ..orders::CreateOrderRequest::default()
    }
}

#[tokio::test]
async fn an_order_is_the_same_over_both_faces() {
    let shop = Shop::open_in_process().await;
    let mug = shop.product(10).await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let (as_ada, as_staff) = (caller(&ada, Role::Customer), caller(&staff, Role::Staff));
    let mut client = to_orders(&shop);

    let request = orders::CreateOrderRequest {
        note: Some("Ring".to_owned()),
        metadata: [("$ne".to_owned(), "a.b".to_owned())].into(),
        ..new_order(&mug, 2)
    };
    let made = client.create_order(by(as_ada, request)).await.unwrap().into_inner();
    let id = made.id.clone();
    let read = ada.get(&format!("/orders/{id}")).await.expect(200);
    assert_eq!(order_json(made), read.body);
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));

    // Made over REST, changed and read over gRPC.
    let order = ada.post("/orders", order_of(&mug, 1)).await.expect(201);
    let paid = orders::UpdateOrderRequest {
        id: order.id(),
        status: Some("paid".to_owned()),
        reason: Some("in cash".to_owned()),
        payment: Some(orders::Payment { reference: Some("pi".to_owned()), ..orders::Payment::default() }),
        ..orders::UpdateOrderRequest::default()
    };
    let paid = client.update_order(by(as_staff, paid)).await.unwrap().into_inner();
    let path = format!("/orders/{}", order.id());
    assert_eq!(order_json(paid), staff.get(&path).await.expect(200).body);
    let shipped = orders::UpdateOrderRequest {
        id: order.id(),
        status: Some("shipped".to_owned()),
        tracking: Some(orders::Tracking { carrier: Some("DHL".to_owned()), number: Some("1".to_owned()) }),
        ..orders::UpdateOrderRequest::default()
    };
    client.update_order(by(as_staff, shipped)).await.unwrap();
    assert_eq!(shop.stock(&mug).await, (9, 2, 7));
    for status in ["delivered", "returned"] {
        let restock = (status == "returned").then_some(true);
        let change = orders::UpdateOrderRequest {
            id: order.id(),
            status: Some(status.to_owned()),
            restock,
            ..orders::UpdateOrderRequest::default()
        };
        client.update_order(by(as_staff, change)).await.unwrap();
    }
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
    // The owner, the staff and other functions see it, each as they may.
    let get = |caller| {
        let mut client = client.clone();
        let request = by(caller, orders::GetOrderRequest { id: order.id() });
        async move { client.get_order(request).await }
    };
    let seen = ada.get(&path).await.expect(200);
    assert_eq!(seen["history"][4]["by"], "staff");
    assert_eq!(order_json(get(as_ada).await.unwrap().into_inner()), seen.body);
    let seen = staff.get(&path).await.expect(200);
    assert_eq!(order_json(get(as_staff).await.unwrap().into_inner()), seen.body);
    assert_eq!(order_json(get(Caller::System).await.unwrap().into_inner()), seen.body);
    assert_eq!(refused(get(Caller::Anonymous).await), unauthenticated());
    assert_eq!(refused(get(Caller::User { id: UserId::new(), role: Role::Customer }).await), not_found());
}

#[tokio::test]
async fn orders_are_listed_over_grpc_as_over_rest() {
    let shop = Shop::open_in_process().await;
    let mug = shop.product(10).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let as_ada = caller(&ada, Role::Customer);
    let mut client = to_orders(&shop);
    for _ in 0..3 {
        ada.orders(&[(&mug, 1)]).await.expect(201);
    }
    let his = bob.orders(&[(&mug, 1)]).await.expect(201).id();
    bob.moves(&his, "cancelled").await.expect(200);

    let page = |limit, cursor| Some(common::PageRequest { limit: Some(limit), cursor });
    let request = |page| orders::ListOrdersRequest { page, ..orders::ListOrdersRequest::default() };
    let first = client.list_orders(by(as_ada, request(page(2, None)))).await.unwrap().into_inner();
    let rest = ada.get("/orders?limit=2").await.expect(200);
    assert_eq!(first.data.into_iter().map(order_json).collect::<Vec<_>>(), rest.data());
    assert_eq!(first.next_cursor.as_deref(), rest["next_cursor"].as_str());
    let second =
        client.list_orders(by(as_ada, request(page(2, first.next_cursor)))).await.unwrap().into_inner();
    assert_eq!((second.data.len(), second.next_cursor), (1, None));

    let all = client.list_orders(by(Caller::System, request(None))).await.unwrap().into_inner();
    assert_eq!(all.data.len(), 4);
    let cancelled = orders::ListOrdersRequest {
        status: Some("cancelled".to_owned()),
        ..orders::ListOrdersRequest::default()
    };
    let cancelled = client.list_orders(by(Caller::System, cancelled)).await.unwrap().into_inner();
    assert_eq!(cancelled.data.into_iter().map(|order| order.id).collect::<Vec<_>>(), [his]);
    let bobs =
        orders::ListOrdersRequest { user_id: Some(bob.id.clone()), ..orders::ListOrdersRequest::default() };
    assert!(client.list_orders(by(as_ada, bobs)).await.unwrap().into_inner().data.is_empty());

    let bad_query = || plain(Code::InvalidArgument, Kind::InvalidQuery);
    for limit in [0, -1, 101, i64::MAX] {
        assert_eq!(refused(client.list_orders(by(as_ada, request(page(limit, None)))).await), bad_query());
    }
    for cursor in ["", "x"] {
        let request = request(page(2, Some(cursor.to_owned())));
        assert_eq!(refused(client.list_orders(by(as_ada, request)).await), bad_query());
    }
    for (status, user_id) in [(Some("void"), None), (None, Some("x"))] {
        let request = orders::ListOrdersRequest {
            page: None,
            status: status.map(str::to_owned),
            user_id: user_id.map(str::to_owned),
            ..Default::default()
        };
        assert_eq!(refused(client.list_orders(by(as_ada, request)).await), bad_query());
    }
    assert_eq!(refused(client.list_orders(by(Caller::Anonymous, request(None))).await), unauthenticated());
}

#[tokio::test]
async fn the_errors_of_orders_carry_the_whole_problem() {
    let shop = Shop::open_in_process().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let as_ada = caller(&ada, Role::Customer);
    let mut client = to_orders(&shop);

    let answer = client.create_order(by(as_ada, orders::CreateOrderRequest::default())).await;
    assert_eq!(refused(answer), invalid(&["/items", "/shipping_address"]));
    let mut request = new_order(&mug, 0);
    request.shipping_address = Some(common::Address { country: "de".to_owned(), ..wire_address() });
    request.note = Some("a\0b".to_owned());
    request.metadata.insert("a".repeat(41), String::new());
    let long = format!("/metadata/{}", "a".repeat(41));
    let answer = client.create_order(by(as_ada, request)).await;
    assert_eq!(refused(answer), invalid(&["/items/0/quantity", "/shipping_address/country", "/note", &long]));
    let unknown = new_order(&ProductId::new().to_string(), 1);
    assert_eq!(refused(client.create_order(by(as_ada, unknown)).await), invalid(&["/items/0/product_id"]));
    assert_eq!(
        refused(client.create_order(by(Caller::Anonymous, new_order(&mug, 1))).await),
        unauthenticated()
    );
    let for_other =
        orders::CreateOrderRequest { user_id: Some(UserId::new().to_string()), ..new_order(&mug, 1) };
    assert_eq!(refused(client.create_order(by(as_ada, for_other.clone())).await), forbidden());
    let admin = caller(&shop.admin(), Role::Admin);
    assert_eq!(refused(client.create_order(by(admin, for_other)).await), invalid(&["/user_id"]));

    let status = client.create_order(by(as_ada, new_order(&mug, 11))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let error = Error::from(status);
    assert_eq!(error.kind(), Kind::InsufficientStock);
    let shortage = json!([{ "product_id": mug, "requested": 11, "available": 10 }]);
    assert_eq!(error.member("items"), Some(&shortage));

    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let change = |status: &str| orders::UpdateOrderRequest {
        id: order.clone(),
        status: Some(status.to_owned()),
        ..orders::UpdateOrderRequest::default()
    };
    assert_eq!(refused(client.update_order(by(as_ada, change("paid"))).await), invalid(&["/payment"]));
    assert_eq!(refused(client.update_order(by(as_ada, change("void"))).await), invalid(&["/status"]));
    let status = client.update_order(by(as_ada, change("delivered"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let error = Error::from(status);
    assert_eq!(error.kind(), Kind::InvalidTransition);
    assert_eq!(error.member("allowed"), Some(&json!(["cancelled"])));
    assert_eq!(error.member("from"), Some(&json!("placed")));
    for id in ["", "x", &OrderId::new().to_string()] {
        let get = orders::GetOrderRequest { id: id.to_owned() };
        assert_eq!(refused(client.get_order(by(as_ada, get)).await), not_found());
        let change =
            orders::UpdateOrderRequest { id: id.to_owned(), ..orders::UpdateOrderRequest::default() };
        assert_eq!(refused(client.update_order(by(as_ada, change)).await), not_found());
    }
    assert_eq!(shop.stock(&mug).await, (10, 1, 9));
}

#[tokio::test]
async fn a_mask_clears_what_it_names_and_is_not_set() {
    let shop = Shop::open_in_process().await;
    let mug = shop.product(10).await;
    let staff = shop.staff().await;
    let as_staff = caller(&staff, Role::Staff);
    let mut body = order_of(&mug, 1);
    body["note"] = json!("Ring");
    body["metadata"] = json!({ "a": "b" });
    let id = staff.post("/orders", body).await.expect(201).id();
    let mut client = to_orders(&shop);
    let none = || orders::UpdateOrderRequest { id: id.clone(), ..orders::UpdateOrderRequest::default() };

    // Neither set nor named: nothing changes.
    let order = client.update_order(by(as_staff, none())).await.unwrap().into_inner();
    assert_eq!((order.version, order.note.as_deref()), (1, Some("Ring")));
    let named = orders::UpdateOrderRequest { update_mask: mask(&["note"]), ..none() };
    let order = client.update_order(by(as_staff, named)).await.unwrap().into_inner();
    assert_eq!((order.version, order.note), (2, None));
    // Set and not named is changed all the same.
    let set = orders::UpdateOrderRequest { note: Some("Knock".to_owned()), update_mask: mask(&[]), ..none() };
    let order = client.update_order(by(as_staff, set)).await.unwrap().into_inner();
    assert_eq!((order.version, order.note.as_deref()), (3, Some("Knock")));
    // An empty map is one, other than none at all.
    let emptied = orders::UpdateOrderRequest { metadata: Some(common::StringMap::default()), ..none() };
    let order = client.update_order(by(as_staff, emptied)).await.unwrap().into_inner();
    assert_eq!((order.version, order.metadata.len()), (4, 0));
    // What must be there cannot be cleared.
    for field in ["status", "metadata", "shipping_address", "items"] {
        let named = orders::UpdateOrderRequest { update_mask: mask(&[field]), ..none() };
        let answer = client.update_order(by(as_staff, named)).await;
        assert_eq!(refused(answer), invalid(&[&format!("/{field}")]));
    }
    for unknown in ["version", "nonsense", "", "shipping_address.line1"] {
        let named = orders::UpdateOrderRequest { update_mask: mask(&["note", unknown]), ..none() };
        assert_eq!(refused(client.update_order(by(as_staff, named)).await), invalid(&["/update_mask"]));
    }
    assert_eq!(staff.get(&format!("/orders/{id}")).await["version"], 4);
}
