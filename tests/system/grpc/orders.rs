//! Calls of the orders function: the same results and errors as over REST.

use proto::common::v1 as common;
use proto::orders::v1 as orders;
use serde_json::json;
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::in_process::InProcess;
use tests::shop::order_of;
use tonic::Code;

use crate::support::grpc::{
    by, caller, forbidden, invalid, mask, new_item, new_order, not_found, order_json, order_json_for, plain,
    refused, to_orders, unauthenticated, wire_address,
};

#[tokio::test]
async fn an_order_is_the_same_over_both_faces() {
    let shop = InProcess::open().await;
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
    assert_eq!(order_json_for(as_ada, made), read.body);
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));

    // Made over REST, changed and read over gRPC.
    let order = ada.post("/orders", order_of(&mug, 1)).await.expect(201);
    let paid = orders::UpdateOrderRequest {
        id: order.id(),
        status: Some("paid".to_owned()),
        reason: Some("in cash".to_owned()),
        payment: Some(orders::PaymentReferences { reference: Some("pi".to_owned()), ..Default::default() }),
        ..orders::UpdateOrderRequest::default()
    };
    let paid = client.update_order(by(as_staff, paid)).await.unwrap().into_inner();
    let path = format!("/orders/{}", order.id());
    assert_eq!(order_json(paid), staff.get(&path).await.expect(200).body);
    let shipped = orders::UpdateOrderRequest {
        id: order.id(),
        status: Some("shipped".to_owned()),
        tracking: Some(orders::Tracking {
            carrier: Some("DHL".to_owned()),
            number: Some("1".to_owned()),
            ..orders::Tracking::default()
        }),
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
    // The owner and the staff see it, each as they may.
    let get = |caller| {
        let mut client = client.clone();
        let request = by(caller, orders::GetOrderRequest { id: order.id() });
        async move { client.get_order(request).await }
    };
    let seen = ada.get(&path).await.expect(200);
    let last = seen["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["to"], &last["by"]), (&json!("returned"), &json!("staff")));
    assert_eq!(order_json_for(as_ada, get(as_ada).await.unwrap().into_inner()), seen.body);
    let seen = staff.get(&path).await.expect(200);
    assert_eq!(order_json(get(as_staff).await.unwrap().into_inner()), seen.body);
    assert_eq!(refused(get(Caller::Anonymous).await), unauthenticated());
    assert_eq!(refused(get(Caller::User { id: UserId::new(), role: Role::Customer }).await), not_found());
}

#[tokio::test]
async fn orders_are_listed_over_grpc_as_over_rest() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let (as_ada, as_admin) = (caller(&ada, Role::Customer), caller(&shop.admin(), Role::Admin));
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
    let listed: Vec<_> = first.data.into_iter().map(|order| order_json_for(as_ada, order)).collect();
    assert_eq!(listed, rest.data());
    assert_eq!(first.next_cursor.as_deref(), rest["next_cursor"].as_str());
    let second =
        client.list_orders(by(as_ada, request(page(2, first.next_cursor)))).await.unwrap().into_inner();
    assert_eq!((second.data.len(), second.next_cursor), (1, None));

    let all = client.list_orders(by(as_admin, request(None))).await.unwrap().into_inner();
    assert_eq!(all.data.len(), 4);
    let cancelled = orders::ListOrdersRequest {
        status: Some("cancelled".to_owned()),
        ..orders::ListOrdersRequest::default()
    };
    let cancelled = client.list_orders(by(as_admin, cancelled)).await.unwrap().into_inner();
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
async fn what_staff_hand_in_is_the_same_over_both_faces() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let (ada, staff) = (shop.customer().await, shop.staff().await);
    let (as_ada, as_staff) = (caller(&ada, Role::Customer), caller(&staff, Role::Staff));
    let mut client = to_orders(&shop);
    let text = |text: &str| Some(text.to_owned());
    let tax = |amount: i64, included: bool| orders::NewTax {
        label: text("VAT"),
        rate: text("0.19"),
        amount: Some(amount),
        included: Some(included),
    };
    let item = orders::NewOrderItem {
        discounts: vec![orders::NewDiscount { label: text("Sale"), amount: Some(100) }],
        taxes: vec![tax(171, false)],
        ..new_item(&mug, 2)
    };
    let shipping =
        orders::NewShipping { label: text("Express"), amount: Some(490), taxes: vec![tax(78, true)] };
    let address = common::Address {
        name: text("Ada"),
        company: text("Engines Ltd"),
        phone: text("+49 228 1"),
        ..wire_address()
    };
    let request = orders::CreateOrderRequest {
        items: vec![item],
        shipping: Some(shipping),
        billing_address: Some(address),
        external_number: text("SHOP-1"),
        internal_note: text("Call first"),
        user_id: Some(ada.id.clone()),
        ..new_order(&mug, 2)
    };
    let answer = client.create_order(by(as_ada, request.clone())).await;
    assert_eq!(refused(answer), forbidden());
    let made = client.create_order(by(as_staff, request.clone())).await.unwrap().into_inner();
    let id = made.id.clone();
    let path = format!("/orders/{id}");
    let seen = staff.get(&path).await.expect(200);
    assert_eq!(order_json(made), seen.body);
    assert_eq!((&seen["totals"]["total"], &seen["internal_note"]), (&json!(1561), &json!("Call first")));
    assert_eq!(seen["billing_address"]["company"], "Engines Ltd");
    let get = orders::GetOrderRequest { id: id.clone() };
    let as_she_sees_it = client.get_order(by(as_ada, get)).await.unwrap().into_inner();
    assert_eq!(order_json_for(as_ada, as_she_sees_it), ada.get(&path).await.expect(200).body);

    let mut again = request.clone();
    again.note = text("Again");
    let answer = client.create_order(by(as_staff, again)).await;
    assert_eq!(refused(answer), plain(Code::AlreadyExists, Kind::ExternalNumberTaken));
    let mut wrong = request;
    wrong.external_number = text("SHOP 2");
    wrong.items[0].taxes[0].rate = text("19 %");
    wrong.shipping.as_mut().unwrap().label = None;
    let answer = client.create_order(by(as_staff, wrong)).await;
    assert_eq!(refused(answer), invalid(&["/items/0/taxes/0/rate", "/shipping/label", "/external_number"]));
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));

    // A mask clears them; the shipping together with the items.
    let none = || orders::UpdateOrderRequest { id: id.clone(), ..orders::UpdateOrderRequest::default() };
    let alone = orders::UpdateOrderRequest { update_mask: mask(&["shipping"]), ..none() };
    assert_eq!(refused(client.update_order(by(as_staff, alone)).await), invalid(&["/shipping"]));
    let notes = mask(&["billing_address", "internal_note"]);
    let cleared = orders::UpdateOrderRequest { update_mask: notes, ..none() };
    let cleared = client.update_order(by(as_staff, cleared)).await.unwrap().into_inner();
    assert_eq!((cleared.billing_address, cleared.internal_note, cleared.version), (None, None, 2));
    let bare = orders::UpdateOrderRequest {
        items: Some(orders::NewOrderItems { items: vec![new_item(&mug, 2)] }),
        update_mask: mask(&["shipping"]),
        ..none()
    };
    let bare = client.update_order(by(as_staff, bare)).await.unwrap().into_inner();
    assert_eq!((bare.shipping.clone(), bare.version), (None, 4));
    assert_eq!(order_json(bare), staff.get(&path).await.expect(200).body);
}

#[tokio::test]
async fn the_errors_of_orders_carry_the_whole_problem() {
    let shop = InProcess::open().await;
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
    let shop = InProcess::open().await;
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
    // Named and not set clears what is optional; here it is empty already.
    let named = orders::UpdateOrderRequest { update_mask: mask(&["metadata"]), ..none() };
    let order = client.update_order(by(as_staff, named)).await.unwrap().into_inner();
    assert_eq!((order.version, order.metadata.len()), (4, 0));
    // What must be there cannot be cleared.
    for field in ["status", "shipping_address", "items"] {
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

#[tokio::test]
async fn staff_choose_when_an_order_expires_over_grpc() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let (staff, ada) = (shop.staff().await, shop.customer().await);
    let (as_staff, as_ada) = (caller(&staff, Role::Staff), caller(&ada, Role::Customer));
    let mut client = to_orders(&shop);
    let at = |hours: i64| {
        Some(proto::Timestamp { seconds: Clock::system().now().seconds() + hours * 3_600, nanos: 0 })
    };
    let until = |expires_at, never_expires| orders::CreateOrderRequest {
        expires_at,
        never_expires,
        ..new_order(&mug, 1)
    };
    let never = client.create_order(by(as_staff, until(None, true))).await.unwrap().into_inner();
    assert_eq!(never.expires_at, None);
    let soon = at(2);
    let made = client.create_order(by(as_staff, until(soon, false))).await.unwrap().into_inner();
    assert_eq!(made.expires_at, soon);
    let no_time = Some(proto::Timestamp { seconds: i64::MAX, nanos: -1 });
    for bad in [at(-1), at(181 * 24), no_time] {
        assert_eq!(
            refused(client.create_order(by(as_staff, until(bad, false))).await),
            invalid(&["/expires_at"])
        );
    }
    for request in [until(soon, false), until(None, true)] {
        assert_eq!(refused(client.create_order(by(as_ada, request)).await), forbidden());
    }

    let none =
        || orders::UpdateOrderRequest { id: never.id.clone(), ..orders::UpdateOrderRequest::default() };
    let set = orders::UpdateOrderRequest { expires_at: soon, ..none() };
    let moved = client.update_order(by(as_staff, set)).await.unwrap().into_inner();
    assert_eq!((moved.expires_at, moved.version), (soon, 2));
    let cleared = orders::UpdateOrderRequest { update_mask: mask(&["expires_at"]), ..none() };
    let cleared = client.update_order(by(as_staff, cleared)).await.unwrap().into_inner();
    assert_eq!((cleared.expires_at, cleared.version), (None, 3));
}
