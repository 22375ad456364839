//! Calls about fulfillments, cancellations and returns: the same results and errors as over REST.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use proto::orders::v1 as orders;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::values::ids::{ItemId, UserId};
use tests::in_process::InProcess;
use tests::person::Person;
use tonic::{Code, Response, Status};

use super::versions::outdated;
use crate::support::grpc::{
    by, caller, forbidden, fulfillment_json, invalid, not_found, order_json_for, plain, refund_json, refused,
    return_json, to_orders, unauthenticated, was_replayed, with_key,
};

/// An order for units of one product, of which 10 are on hand.
struct Fixture {
    shop: InProcess,
    ada: Person,
    staff: Person,
    mug: String,
    order: String,
    item: String,
}

impl Fixture {
    /// Places the order.
    async fn placed(quantity: i64) -> Self {
        let shop = InProcess::open().await;
        let mug = shop.product(10).await;
        let (ada, staff) = (shop.customer().await, shop.staff().await);
        let order = ada.orders(&[(&mug, quantity)]).await.expect(201);
        let item = order["items"][0]["id"].as_str().unwrap().to_owned();
        let order = order.id();
        Self { shop, ada, staff, mug, order, item }
    }

    /// Places the order and pays it, which makes it version 2.
    async fn paid(quantity: i64) -> Self {
        let fixture = Self::placed(quantity).await;
        fixture.staff.moves(&fixture.order, "paid").await.expect(200);
        fixture
    }

    fn as_ada(&self) -> Caller {
        caller(&self.ada, Role::Customer)
    }

    fn as_staff(&self) -> Caller {
        caller(&self.staff, Role::Staff)
    }

    /// The order over REST, as this person sees it.
    async fn seen_by(&self, person: &Person) -> Value {
        person.get(&format!("/orders/{}", self.order)).await.expect(200).body
    }

    async fn stock(&self) -> (i64, i64, i64) {
        self.shop.stock(&self.mug).await
    }

    fn units(&self, quantity: i64) -> orders::NewItemQuantity {
        orders::NewItemQuantity { id: Some(self.item.clone()), quantity: Some(quantity) }
    }

    fn fulfillment(&self, quantity: i64) -> orders::CreateFulfillmentRequest {
        orders::CreateFulfillmentRequest {
            order_id: self.order.clone(),
            items: Some(orders::NewItemQuantities { items: vec![self.units(quantity)] }),
            ..Default::default()
        }
    }

    fn fulfillment_change(&self, fulfillment: &str, status: &str) -> orders::UpdateFulfillmentRequest {
        orders::UpdateFulfillmentRequest {
            order_id: self.order.clone(),
            fulfillment_id: fulfillment.to_owned(),
            status: Some(status.to_owned()),
            ..Default::default()
        }
    }

    fn cancellation(&self, quantity: i64) -> orders::CreateCancellationRequest {
        orders::CreateCancellationRequest {
            order_id: self.order.clone(),
            items: Some(orders::NewItemQuantities { items: vec![self.units(quantity)] }),
            ..Default::default()
        }
    }

    fn new_return(&self, quantity: i64) -> orders::CreateReturnRequest {
        let id = Some(self.item.clone());
        let item = orders::NewReturnItem { id, quantity: Some(quantity), reason: Some("chipped".to_owned()) };
        orders::CreateReturnRequest { order_id: self.order.clone(), items: vec![item], ..Default::default() }
    }

    fn return_change(&self, return_id: &str, status: &str) -> orders::UpdateReturnRequest {
        orders::UpdateReturnRequest {
            order_id: self.order.clone(),
            return_id: return_id.to_owned(),
            status: Some(status.to_owned()),
            ..Default::default()
        }
    }

    /// Makes each call as this caller. All of them must be refused.
    async fn refusals(
        &self,
        as_caller: Caller,
        fulfillment: &str,
        return_id: &str,
    ) -> [(Code, Kind, Vec<String>); 5] {
        let mut client = to_orders(&self.shop);
        let delivered = self.fulfillment_change(fulfillment, "delivered");
        let approved = self.return_change(return_id, "approved");
        [
            refused(client.create_fulfillment(by(as_caller, self.fulfillment(1))).await),
            refused(client.update_fulfillment(by(as_caller, delivered)).await),
            refused(client.create_cancellation(by(as_caller, self.cancellation(1))).await),
            refused(client.create_return(by(as_caller, self.new_return(1))).await),
            refused(client.update_return(by(as_caller, approved)).await),
        ]
    }
}

fn tracking(number: &str) -> Option<orders::Tracking> {
    Some(orders::Tracking {
        carrier: Some("DHL".to_owned()),
        number: Some(number.to_owned()),
        url: Some(format!("https://example.com/parcels/{number}")),
    })
}

#[tokio::test]
async fn parts_of_an_order_are_the_same_over_both_faces() {
    let fixture = Fixture::placed(4).await;
    let (ada, staff) = (&fixture.ada, &fixture.staff);
    let (as_ada, as_staff) = (fixture.as_ada(), fixture.as_staff());
    let mut client = to_orders(&fixture.shop);

    // The owner cancels a unit while the order is placed.
    let cancellation =
        orders::CreateCancellationRequest { reason: Some("too many".to_owned()), ..fixture.cancellation(1) };
    let order = client.create_cancellation(by(as_ada, cancellation)).await.unwrap().into_inner();
    assert_eq!((order.status.as_str(), order.items[0].cancelled), ("placed", 1));
    assert_eq!(order_json_for(as_ada, order), fixture.seen_by(ada).await);
    assert_eq!(fixture.stock().await, (10, 3, 7));

    staff.moves(&fixture.order, "paid").await.expect(200);
    let request = orders::CreateFulfillmentRequest { tracking: tracking("T-1"), ..fixture.fulfillment(1) };
    let parcel = client.create_fulfillment(by(as_staff, request)).await.unwrap().into_inner();
    let id = parcel.id.clone();
    let seen = fixture.seen_by(staff).await;
    assert_eq!(fulfillment_json(parcel), seen["fulfillments"][0]);
    assert_eq!((&seen["status"], &seen["fulfillment_status"]), (&json!("paid"), &json!("partial")));
    assert_eq!(fixture.stock().await, (9, 2, 7));

    let change = || orders::UpdateFulfillmentRequest {
        tracking: tracking("T-2"),
        ..fixture.fulfillment_change(&id, "delivered")
    };
    let delivered = client.update_fulfillment(by(as_staff, change())).await.unwrap().into_inner();
    let seen = fixture.seen_by(staff).await;
    assert_eq!(fulfillment_json(delivered.clone()), seen["fulfillments"][0]);
    assert_eq!(seen["tracking"]["number"], "T-2");
    // Both are what it has already.
    let again = client.update_fulfillment(by(as_staff, change())).await.unwrap().into_inner();
    assert_eq!((again, fixture.seen_by(staff).await), (delivered, seen));

    let asked = client.create_return(by(as_ada, fixture.new_return(1))).await.unwrap().into_inner();
    let id = asked.id.clone();
    assert_eq!(asked.status, "requested");
    assert_eq!(return_json(asked), fixture.seen_by(ada).await["returns"][0]);
    let approved = fixture.return_change(&id, "approved");
    let approved = client.update_return(by(as_staff, approved)).await.unwrap().into_inner();
    assert_eq!(return_json(approved), fixture.seen_by(staff).await["returns"][0]);
    let item = orders::ReceivedItem { id: Some(fixture.item.clone()), received: Some(1), restocked: Some(1) };
    let received = orders::UpdateReturnRequest {
        items: Some(orders::ReceivedItems { items: vec![item] }),
        ..fixture.return_change(&id, "received")
    };
    let received = client.update_return(by(as_staff, received)).await.unwrap().into_inner();
    assert_eq!(return_json(received), fixture.seen_by(staff).await["returns"][0]);
    assert_eq!(fixture.stock().await, (10, 2, 8));

    // Without an amount it is what came back.
    let refund = orders::CreateRefundRequest {
        order_id: fixture.order.clone(),
        return_id: Some(id.clone()),
        ..Default::default()
    };
    let refund = client.create_refund(by(as_staff, refund)).await.unwrap().into_inner();
    assert_eq!((refund.amount, refund.items[0].quantity), (500, 1));
    assert_eq!(refund.return_id, Some(id));
    assert_eq!(refund_json(refund), fixture.seen_by(staff).await["refunds"][0]);

    // Without items it is what is left.
    let rest = orders::CreateFulfillmentRequest { items: None, ..fixture.fulfillment(1) };
    let rest = client.create_fulfillment(by(as_staff, rest)).await.unwrap().into_inner();
    assert_eq!((rest.items[0].quantity, rest.tracking), (2, None));
    assert_eq!(fixture.seen_by(ada).await["status"], "shipped");
    assert_eq!(fixture.stock().await, (8, 0, 8));
    let mistake = fixture.fulfillment_change(&rest.id, "cancelled");
    client.update_fulfillment(by(as_staff, mistake)).await.unwrap();
    assert_eq!(fixture.seen_by(ada).await["status"], "paid");
    assert_eq!(fixture.stock().await, (10, 2, 8));

    for (person, as_person) in [(ada, as_ada), (staff, as_staff)] {
        let get = orders::GetOrderRequest { id: fixture.order.clone() };
        let order = client.get_order(by(as_person, get)).await.unwrap().into_inner();
        assert_eq!(order_json_for(as_person, order), fixture.seen_by(person).await);
    }
}

#[tokio::test]
async fn an_empty_list_of_units_is_invalid_and_never_all_of_them() {
    let fixture = Fixture::paid(2).await;
    let as_staff = fixture.as_staff();
    let mut client = to_orders(&fixture.shop);
    let none = Some(orders::NewItemQuantities::default());
    let request = orders::CreateFulfillmentRequest { items: none.clone(), ..fixture.fulfillment(1) };
    assert_eq!(refused(client.create_fulfillment(by(as_staff, request)).await), invalid(&["/items"]));
    let request = orders::CreateCancellationRequest { items: none, ..fixture.cancellation(1) };
    assert_eq!(refused(client.create_cancellation(by(as_staff, request)).await), invalid(&["/items"]));
    assert_eq!(fixture.stock().await, (10, 2, 8));

    client.create_fulfillment(by(as_staff, fixture.fulfillment(2))).await.unwrap();
    let request = orders::CreateReturnRequest { items: Vec::new(), ..fixture.new_return(1) };
    assert_eq!(refused(client.create_return(by(as_staff, request)).await), invalid(&["/items"]));
    let id = client.create_return(by(as_staff, fixture.new_return(2))).await.unwrap().into_inner().id;
    let request = orders::UpdateReturnRequest {
        items: Some(orders::ReceivedItems::default()),
        ..fixture.return_change(&id, "received")
    };
    assert_eq!(refused(client.update_return(by(as_staff, request)).await), invalid(&["/items"]));
    let seen = fixture.seen_by(&fixture.staff).await;
    assert_eq!((&seen["returns"][0]["status"], &seen["version"]), (&json!("approved"), &json!(4)));
    assert_eq!(fixture.stock().await, (8, 0, 8));
}

#[tokio::test]
async fn the_errors_of_parts_name_each_place() {
    let fixture = Fixture::paid(2).await;
    let as_staff = fixture.as_staff();
    let mut client = to_orders(&fixture.shop);
    let items = |items: Vec<orders::NewItemQuantity>| Some(orders::NewItemQuantities { items });
    let unknown = orders::NewItemQuantity { id: Some(ItemId::new().to_string()), quantity: Some(1) };
    for (items, pointers) in [
        (items(vec![fixture.units(1), fixture.units(1)]), ["/items/1/id"].as_slice()),
        (
            items(vec![fixture.units(0), Default::default()]),
            &["/items/0/quantity", "/items/1/id", "/items/1/quantity"],
        ),
        (items(vec![fixture.units(1), unknown]), &["/items/1/id"]),
    ] {
        let request = orders::CreateFulfillmentRequest { items: items.clone(), ..fixture.fulfillment(1) };
        assert_eq!(refused(client.create_fulfillment(by(as_staff, request)).await), invalid(pointers));
        let request = orders::CreateCancellationRequest { items, ..fixture.cancellation(1) };
        assert_eq!(refused(client.create_cancellation(by(as_staff, request)).await), invalid(pointers));
    }
    let plain_url = tracking("T-1").map(|of| orders::Tracking { url: Some("http://a".to_owned()), ..of });
    let request = orders::CreateFulfillmentRequest { tracking: plain_url, ..fixture.fulfillment(1) };
    let answer = client.create_fulfillment(by(as_staff, request)).await;
    assert_eq!(refused(answer), invalid(&["/tracking/url"]));

    let parcel = client.create_fulfillment(by(as_staff, fixture.fulfillment(1))).await.unwrap().into_inner();
    let nothing =
        orders::UpdateFulfillmentRequest { status: None, ..fixture.fulfillment_change(&parcel.id, "") };
    let same = client.update_fulfillment(by(as_staff, nothing)).await.unwrap().into_inner();
    assert_eq!(same, parcel);
    let returned = fixture.fulfillment_change(&parcel.id, "returned");
    assert_eq!(refused(client.update_fulfillment(by(as_staff, returned)).await), invalid(&["/status"]));
    let id = client.create_return(by(as_staff, fixture.new_return(1))).await.unwrap().into_inner().id;
    let item = orders::ReceivedItem { id: Some(fixture.item.clone()), received: Some(1), restocked: Some(2) };
    let received = orders::UpdateReturnRequest {
        items: Some(orders::ReceivedItems { items: vec![item] }),
        ..fixture.return_change(&id, "received")
    };
    let answer = client.update_return(by(as_staff, received)).await;
    assert_eq!(refused(answer), invalid(&["/items/0/restocked"]));

    // Of the wrong status, with those that could follow.
    let status =
        client.update_return(by(as_staff, fixture.return_change(&id, "requested"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let error = Error::from(status);
    assert_eq!(error.kind(), Kind::InvalidTransition);
    assert_eq!(error.member("from"), Some(&json!("approved")));
    assert_eq!(error.member("allowed"), Some(&json!(["received", "cancelled"])));
}

/// The answer, which must be refused since fewer units are left.
#[track_caller]
fn exceeds<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, items: &Value) {
    let status = answer.unwrap_err();
    let error = Error::from(status.clone());
    assert_eq!(error.member("items"), Some(items));
    let expected = plain(Code::FailedPrecondition, Kind::QuantityExceeded);
    assert_eq!(refused(Err::<Response<T>, _>(status)), expected);
}

#[tokio::test]
async fn more_units_than_are_left_are_refused_with_what_is_left() {
    let fixture = Fixture::paid(3).await;
    let as_staff = fixture.as_staff();
    let mut client = to_orders(&fixture.shop);
    let items =
        |requested: i64, left: i64| json!([{ "id": fixture.item, "requested": requested, "left": left }]);
    let parcel = client.create_fulfillment(by(as_staff, fixture.fulfillment(1))).await.unwrap().into_inner();
    exceeds(client.create_fulfillment(by(as_staff, fixture.fulfillment(3))).await, &items(3, 2));
    exceeds(client.create_cancellation(by(as_staff, fixture.cancellation(3))).await, &items(3, 2));
    exceeds(client.create_return(by(as_staff, fixture.new_return(2))).await, &items(2, 1));
    // A return needs its unit.
    client.create_return(by(as_staff, fixture.new_return(1))).await.unwrap();
    let cancelled = fixture.fulfillment_change(&parcel.id, "cancelled");
    exceeds(client.update_fulfillment(by(as_staff, cancelled)).await, &items(1, 0));
    assert_eq!(fixture.seen_by(&fixture.staff).await["version"], 4);
    assert_eq!(fixture.stock().await, (9, 2, 7));
}

#[tokio::test]
async fn a_part_is_changed_at_the_version_that_is_expected() {
    let fixture = Fixture::paid(3).await;
    let as_staff = fixture.as_staff();
    let mut client = to_orders(&fixture.shop);

    let new = |version| orders::CreateFulfillmentRequest {
        expected_version: Some(version),
        ..fixture.fulfillment(1)
    };
    outdated(client.create_fulfillment(by(as_staff, new(1))).await, 2);
    let parcel = client.create_fulfillment(by(as_staff, new(2))).await.unwrap().into_inner();
    let delivered = |version| orders::UpdateFulfillmentRequest {
        expected_version: Some(version),
        ..fixture.fulfillment_change(&parcel.id, "delivered")
    };
    outdated(client.update_fulfillment(by(as_staff, delivered(2))).await, 3);
    client.update_fulfillment(by(as_staff, delivered(3))).await.unwrap();
    let new = |version| orders::CreateCancellationRequest {
        expected_version: Some(version),
        ..fixture.cancellation(1)
    };
    outdated(client.create_cancellation(by(as_staff, new(3))).await, 4);
    let order = client.create_cancellation(by(as_staff, new(4))).await.unwrap().into_inner();
    assert_eq!(order.version, 5);
    let new =
        |version| orders::CreateReturnRequest { expected_version: Some(version), ..fixture.new_return(1) };
    outdated(client.create_return(by(as_staff, new(4))).await, 5);
    let id = client.create_return(by(as_staff, new(5))).await.unwrap().into_inner().id;
    let received = |version| orders::UpdateReturnRequest {
        expected_version: Some(version),
        ..fixture.return_change(&id, "received")
    };
    outdated(client.update_return(by(as_staff, received(5))).await, 6);
    client.update_return(by(as_staff, received(6))).await.unwrap();
    assert_eq!(fixture.seen_by(&fixture.staff).await["version"], 7);
}

#[tokio::test]
async fn calls_under_one_key_record_a_part_once() {
    let fixture = Fixture::paid(6).await;
    let as_staff = fixture.as_staff();
    let mut client = to_orders(&fixture.shop);
    let reused = || plain(Code::InvalidArgument, Kind::IdempotencyKeyReused);

    let keyed = |quantity| with_key(by(as_staff, fixture.fulfillment(quantity)), "parcel");
    let first = client.create_fulfillment(keyed(1)).await.unwrap();
    assert!(!was_replayed(&first));
    // The version that it expects is no part of the request.
    let again = orders::CreateFulfillmentRequest { expected_version: Some(99), ..fixture.fulfillment(1) };
    let again = client.create_fulfillment(with_key(by(as_staff, again), "parcel")).await.unwrap();
    assert!(was_replayed(&again));
    assert_eq!(again.into_inner(), first.into_inner());
    assert_eq!(refused(client.create_fulfillment(keyed(2)).await), reused());

    let keyed = |quantity| with_key(by(as_staff, fixture.cancellation(quantity)), "cancellation");
    let first = client.create_cancellation(keyed(1)).await.unwrap();
    let again = client.create_cancellation(keyed(1)).await.unwrap();
    assert_eq!((was_replayed(&first), was_replayed(&again)), (false, true));
    assert_eq!(again.into_inner(), first.into_inner());
    assert_eq!(refused(client.create_cancellation(keyed(2)).await), reused());

    let keyed = |quantity| with_key(by(as_staff, fixture.new_return(quantity)), "return");
    let first = client.create_return(keyed(1)).await.unwrap();
    let again = client.create_return(keyed(1)).await.unwrap();
    assert_eq!((was_replayed(&first), was_replayed(&again)), (false, true));
    assert_eq!(again.into_inner(), first.into_inner());
    assert_eq!(refused(client.create_return(keyed(2)).await), reused());

    let seen = fixture.seen_by(&fixture.staff).await;
    let item = &seen["items"][0];
    assert_eq!((&item["shipped"], &item["cancelled"]), (&json!(1), &json!(1)));
    assert_eq!(seen["returns"].as_array().map(Vec::len), Some(1));
    assert_eq!(fixture.stock().await, (9, 4, 5));
}

#[tokio::test]
async fn the_owner_may_not_do_what_is_for_staff() {
    let fixture = Fixture::paid(3).await;
    let (as_ada, as_staff) = (fixture.as_ada(), fixture.as_staff());
    let mut client = to_orders(&fixture.shop);
    let parcel = client.create_fulfillment(by(as_staff, fixture.fulfillment(2))).await.unwrap().into_inner();
    // The owner may ask once the units are delivered.
    let early = client.create_return(by(as_ada, fixture.new_return(1))).await;
    assert_eq!(refused(early), plain(Code::FailedPrecondition, Kind::InvalidTransition));
    let delivered = || fixture.fulfillment_change(&parcel.id, "delivered");
    client.update_fulfillment(by(as_staff, delivered())).await.unwrap();
    let id = client.create_return(by(as_ada, fixture.new_return(1))).await.unwrap().into_inner().id;

    assert_eq!(refused(client.create_fulfillment(by(as_ada, fixture.fulfillment(1))).await), forbidden());
    assert_eq!(refused(client.update_fulfillment(by(as_ada, delivered())).await), forbidden());
    assert_eq!(refused(client.create_cancellation(by(as_ada, fixture.cancellation(1))).await), forbidden());
    let approved = fixture.return_change(&id, "approved");
    assert_eq!(refused(client.update_return(by(as_ada, approved)).await), forbidden());
    let cancelled = fixture.return_change(&id, "cancelled");
    let cancelled = client.update_return(by(as_ada, cancelled)).await.unwrap().into_inner();
    assert_eq!(return_json(cancelled), fixture.seen_by(&fixture.ada).await["returns"][0]);

    // Others do not see the order.
    let stranger = Caller::User { id: UserId::new(), role: Role::Customer };
    for (as_caller, refusal) in [(Caller::Anonymous, unauthenticated()), (stranger, not_found())] {
        let refusals = fixture.refusals(as_caller, &parcel.id, &id).await;
        assert!(refusals.iter().all(|it| *it == refusal), "{refusals:?}");
    }
    for unknown in ["", "x", parcel.id.as_str(), id.as_str()] {
        if unknown != parcel.id {
            let change = fixture.fulfillment_change(unknown, "delivered");
            assert_eq!(refused(client.update_fulfillment(by(as_staff, change)).await), not_found());
        }
        if unknown != id {
            let change = fixture.return_change(unknown, "approved");
            assert_eq!(refused(client.update_return(by(as_staff, change)).await), not_found());
        }
    }
    let elsewhere = Fixture { order: "x".to_owned(), ..fixture };
    let refusals = elsewhere.refusals(as_staff, &parcel.id, &id).await;
    assert!(refusals.iter().all(|it| *it == not_found()), "{refusals:?}");
}
