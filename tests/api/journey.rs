//! From sign-up to a refunded order: what the whole is for.

use tests::person::PASSWORD;
use tests::shop::{Shop, new_email};

use serde_json::json;

#[tokio::test]
async fn a_customer_signs_up_and_an_order_goes_its_whole_way() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;

    let email = new_email();
    let user = json!({ "email": email.to_uppercase(), "password": PASSWORD, "name": "Ada" });
    let user = shop.anyone().post("/users", user).await.expect(201);
    assert_eq!(user.header("location"), Some(format!("/users/{}", user.id()).as_str()));
    assert_eq!((user.text("role"), user.text("status")), ("customer".to_owned(), "active".to_owned()));
    let ada = shop.anyone().signs_in(&email, PASSWORD).await;

    let order = ada.orders(&[(&mug, 3)]).await.expect(201);
    let id = order.id();
    assert_eq!(order.header("location"), Some(format!("/orders/{id}").as_str()));
    assert_eq!(order["total"], json!({ "amount": 1500, "currency": "EUR" }));
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));

    let staff = shop.staff().await;
    for (status, stock) in [
        ("paid", (10, 3, 7)),
        ("shipped", (7, 0, 7)),
        ("delivered", (7, 0, 7)),
        ("returned", (7, 0, 7)),
        ("refunded", (7, 0, 7)),
    ] {
        let order = staff.moves(&id, status).await.expect(200);
        assert_eq!(order.text("status"), status);
        assert_eq!(shop.stock(&mug).await, stock, "{status}");
    }

    let order = ada.get(&format!("/orders/{id}")).await.expect(200);
    assert_eq!(order["version"], 6);
    assert_eq!(
        order["payment"],
        json!({ "reference": format!("pi_{id}"), "method": "card", "refund_reference": "re_1" })
    );
    // Payment, parcel, delivery, return and refund each come before the status that they lead to.
    let history = order["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let events: Vec<_> = history.iter().filter_map(|change| change["event"].as_str()).collect();
    let parts = ["payment", "fulfillment", "fulfillment", "return", "refund"];
    let expected: Vec<_> = parts.into_iter().flat_map(|part| [part, "status"]).collect();
    assert_eq!((events.first(), &events[1..]), (Some(&"status"), &expected[..]));
    assert_eq!(history[0]["by"], json!(user.id()));
    assert!(history[1..].iter().all(|change| change["by"] == "staff"), "{history:?}");
}

#[tokio::test]
async fn of_a_hundred_customers_for_ten_pieces_just_ten_get_one() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let customers = futures::future::join_all((0..100).map(|_| shop.customer())).await;
    let lines = [(mug.as_str(), 1)];
    let answers = futures::future::join_all(customers.iter().map(|customer| customer.orders(&lines)));
    let (mut placed, mut refused) = (0, 0);
    for answer in answers.await {
        if answer.status == 201 {
            placed += 1;
        } else {
            let refusal = answer.problem(409, "insufficient-stock");
            let shortage = json!([{ "product_id": mug, "requested": 1, "available": 0 }]);
            assert_eq!(refusal["items"], shortage);
            refused += 1;
        }
    }
    assert_eq!((placed, refused), (10, 90));
    assert_eq!(shop.stock(&mug).await, (10, 10, 0));
}
