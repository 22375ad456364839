//! Calls of lists: the same filters and sorts as over REST.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use proto::common::v1 as common;
use proto::orders::v1 as orders;
use proto::products::v1 as products;
use proto::users::v1 as users;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::rpc::convert::timestamp;
use shared::values::clock::{Clock, Timestamp};
use tests::in_process::InProcess;
use tests::person::Person;
use tests::shop::order_of;
use tonic::{Code, Status};

use crate::support::grpc::{
    by, caller, order_json_for, product_json, to_orders, to_products, to_users, user_json,
};
use crate::support::lists::shop_with_clock_at;

/// Answer of a list: its elements and the next cursor, or the error.
type Listed = Result<(Vec<Value>, Option<String>), Status>;

/// Walks a list over both faces, by pages of two, and wants the same of each page. How many elements it has.
async fn assert_same(
    person: &Person,
    path: &str,
    call: impl AsyncFn(Option<common::PageRequest>) -> Listed,
) -> usize {
    let (mut cursor, mut count) = (None::<String>, 0);
    loop {
        let next = cursor.as_deref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let over_rest = person.get(&format!("{path}&limit=2{next}")).await.expect(200);
        let page = common::PageRequest { limit: Some(2), cursor };
        let (data, next) = call(Some(page)).await.unwrap();
        assert_eq!(data, over_rest.data(), "{path}");
        assert_eq!(next.as_deref(), over_rest["next_cursor"].as_str(), "{path}");
        count += data.len();
        assert!(count < 100, "{path} does not end");
        if next.is_none() {
            return count;
        }
        cursor = next;
    }
}

/// Both faces refuse this: as invalid, with a message that begins with the field.
async fn assert_refused(person: &Person, path: &str, field: &str, listed: Listed) {
    let status = listed.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{path}");
    let error = Error::from(status);
    assert_eq!(error.kind(), Kind::InvalidQuery, "{path}");
    let told = error.detail();
    assert!(told.starts_with(&format!("`{field}` ")), "{path}: {told}");
    let over_rest = person.get(path).await.problem(400, "invalid-query").text("detail");
    // A time is a message there and text here, so that what is wrong with it is not the same.
    let is_time = field.ends_with("_from") || field.ends_with("_to");
    if !is_time {
        assert_eq!(told, over_rest, "{path}");
    }
    assert!(over_rest.starts_with(&format!("`{field}` ")), "{path}: {over_rest}");
}

fn text(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

#[tokio::test]
async fn orders_are_filtered_and_sorted_over_grpc_as_over_rest() {
    // About now: the deadline of a call is a time.
    let (shop, tick) = shop_with_clock_at(Clock::system().now()).await;
    let (ada, bob, staff) = (shop.customer().await, shop.customer().await, shop.staff().await);
    let mug = shop.product_with(json!({ "sku": "MUG-1", "stock": 100 })).await.id();
    let cup = shop.product(100).await;
    let mut made = Vec::new();
    for (place, person, product, quantity) in
        [(0, &ada, &mug, 3), (1, &bob, &mug, 1), (2, &ada, &cup, 2), (3, &ada, &mug, 1), (4, &bob, &cup, 5)]
    {
        let mut order = order_of(product, quantity);
        order["external_number"] = json!(format!("SHOP-{place}"));
        made.push(person.post("/orders", order).await.expect(201));
        tick();
    }
    shop.admin().moves(&made[2].id(), "paid").await.expect(200);
    shop.admin().moves(&made[2].id(), "shipped").await.expect(200);
    let reference = format!("pi_{}", made[2].id());
    let email = bob.email.to_uppercase();
    let client = to_orders(&shop);
    let list = async |caller: Caller, request: orders::ListOrdersRequest| -> Listed {
        let page = client.clone().list_orders(by(caller, request)).await?.into_inner();
        Ok((page.data.into_iter().map(|order| order_json_for(caller, order)).collect(), page.next_cursor))
    };
    let none = orders::ListOrdersRequest::default;
    let placed_at = |place: usize| Timestamp::parse(&made[place].text("created_at")).unwrap();
    let (second, fourth) = (placed_at(1), placed_at(3));
    let number = made[3].text("number");
    let loose = number.to_lowercase().replace('-', "");
    for (query, request, for_staff, for_ada) in [
        (format!("product_id={mug}"), orders::ListOrdersRequest { product_id: text(&mug), ..none() }, 3, 2),
        (format!("user_id={}", bob.id), orders::ListOrdersRequest { user_id: text(&bob.id), ..none() }, 2, 0),
        (format!("number={loose}"), orders::ListOrdersRequest { number: text(&loose), ..none() }, 1, 1),
        (
            format!("number={number}&status=paid"),
            orders::ListOrdersRequest { number: text(&number), status: text("paid"), ..none() },
            0,
            0,
        ),
        (
            format!("created_from={}", made[1].text("created_at")),
            orders::ListOrdersRequest { created_from: Some(timestamp(second)), ..none() },
            4,
            2,
        ),
        (
            format!("created_to={}", made[3].text("created_at")),
            orders::ListOrdersRequest { created_to: Some(timestamp(fourth)), ..none() },
            3,
            2,
        ),
        // A nanosecond later is the next millisecond.
        (
            format!("created_from={}000001Z&sort=total", made[1].text("created_at").trim_end_matches('Z')),
            orders::ListOrdersRequest {
                created_from: Some(proto::Timestamp {
                    nanos: timestamp(second).nanos + 1,
                    ..timestamp(second)
                }),
                sort: text("total"),
                ..none()
            },
            3,
            2,
        ),
        (
            "sort=created_at".to_owned(),
            orders::ListOrdersRequest { sort: text("created_at"), ..none() },
            5,
            3,
        ),
        ("sort=-total".to_owned(), orders::ListOrdersRequest { sort: text("-total"), ..none() }, 5, 3),
        (
            "sort=-updated_at".to_owned(),
            orders::ListOrdersRequest { sort: text("-updated_at"), ..none() },
            5,
            3,
        ),
        (
            "status=placed,shipped".to_owned(),
            orders::ListOrdersRequest { status: text("placed,shipped"), ..none() },
            5,
            3,
        ),
        (
            "payment_status=unpaid,partial".to_owned(),
            orders::ListOrdersRequest { payment_status: text("unpaid,partial"), ..none() },
            4,
            2,
        ),
        (
            "return_status=none,requested".to_owned(),
            orders::ListOrdersRequest { return_status: text("none,requested"), ..none() },
            5,
            3,
        ),
        (
            "payment_status=paid&sort=updated_at".to_owned(),
            orders::ListOrdersRequest { payment_status: text("paid"), sort: text("updated_at"), ..none() },
            1,
            1,
        ),
        (
            format!("payment_reference={reference}"),
            orders::ListOrdersRequest { payment_reference: text(&reference), ..none() },
            1,
            1,
        ),
        (
            "tracking_number=0034".to_owned(),
            orders::ListOrdersRequest { tracking_number: text("0034"), ..none() },
            1,
            1,
        ),
        (
            "external_number=SHOP-1".to_owned(),
            orders::ListOrdersRequest { external_number: text("SHOP-1"), ..none() },
            1,
            0,
        ),
        (format!("email={email}"), orders::ListOrdersRequest { email: text(&email), ..none() }, 2, 0),
        (
            "email=nobody@example.com".to_owned(),
            orders::ListOrdersRequest { email: text("nobody@example.com"), ..none() },
            0,
            0,
        ),
        ("sku=MUG-1".to_owned(), orders::ListOrdersRequest { sku: text("MUG-1"), ..none() }, 3, 2),
        (
            format!("sku=MUG-1&email={email}&status=placed"),
            orders::ListOrdersRequest {
                sku: text("MUG-1"),
                email: text(&email),
                status: text("placed"),
                ..none()
            },
            1,
            0,
        ),
        // The third order changed after all others were placed.
        (
            format!("updated_from={}", made[3].text("created_at")),
            orders::ListOrdersRequest { updated_from: Some(timestamp(fourth)), ..none() },
            3,
            2,
        ),
        (
            format!("updated_to={}&sort=updated_at", made[3].text("created_at")),
            orders::ListOrdersRequest {
                updated_to: Some(timestamp(fourth)),
                sort: text("updated_at"),
                ..none()
            },
            2,
            1,
        ),
        (
            format!("sort=total&product_id={cup}&status=placed&user_id={}", bob.id),
            orders::ListOrdersRequest {
                sort: text("total"),
                product_id: text(&cup),
                status: text("placed"),
                user_id: text(&bob.id),
                ..none()
            },
            1,
            0,
        ),
    ] {
        let path = format!("/orders?{query}");
        for (person, role, count) in [(&staff, Role::Staff, for_staff), (&ada, Role::Customer, for_ada)] {
            let call = async |page| {
                list(caller(person, role), orders::ListOrdersRequest { page, ..request.clone() }).await
            };
            assert_eq!(assert_same(person, &path, call).await, count, "{path}");
        }
    }
    let never = proto::Timestamp { seconds: 253_402_300_800, nanos: 0 };
    let odd = proto::Timestamp { seconds: 0, nanos: -1 };
    for (query, field, request) in [
        ("status=void", "status", orders::ListOrdersRequest { status: text("void"), ..none() }),
        ("status=paid,", "status", orders::ListOrdersRequest { status: text("paid,"), ..none() }),
        (
            "payment_status=paid,open",
            "payment_status",
            orders::ListOrdersRequest { payment_status: text("paid,open"), ..none() },
        ),
        (
            "return_status=open",
            "return_status",
            orders::ListOrdersRequest { return_status: text("open"), ..none() },
        ),
        (
            "external_number=a%20b",
            "external_number",
            orders::ListOrdersRequest { external_number: text("a b"), ..none() },
        ),
        (
            "payment_reference=%20",
            "payment_reference",
            orders::ListOrdersRequest { payment_reference: text(" "), ..none() },
        ),
        (
            "tracking_number=%20",
            "tracking_number",
            orders::ListOrdersRequest { tracking_number: text(" "), ..none() },
        ),
        ("sku=%20", "sku", orders::ListOrdersRequest { sku: text(" "), ..none() }),
        ("email=ada", "email", orders::ListOrdersRequest { email: text("ada"), ..none() }),
        ("user_id=ada", "user_id", orders::ListOrdersRequest { user_id: text("ada"), ..none() }),
        ("product_id=mug", "product_id", orders::ListOrdersRequest { product_id: text("mug"), ..none() }),
        ("number=4F7K", "number", orders::ListOrdersRequest { number: text("4F7K"), ..none() }),
        ("sort=price", "sort", orders::ListOrdersRequest { sort: text("price"), ..none() }),
        (
            "created_from=now",
            "created_from",
            orders::ListOrdersRequest { created_from: Some(never), ..none() },
        ),
        ("created_to=now", "created_to", orders::ListOrdersRequest { created_to: Some(odd), ..none() }),
        (
            "updated_from=now",
            "updated_from",
            orders::ListOrdersRequest { updated_from: Some(never), ..none() },
        ),
        ("updated_to=now", "updated_to", orders::ListOrdersRequest { updated_to: Some(odd), ..none() }),
    ] {
        let listed = list(caller(&ada, Role::Customer), request).await;
        assert_refused(&ada, &format!("/orders?{query}"), field, listed).await;
    }
}

#[tokio::test]
async fn products_are_filtered_and_searched_over_grpc_as_over_rest() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    for (sku, name, amount, currency, stock, status) in [
        ("A-1", "Crème brûlée", 500, "EUR", 0, "active"),
        ("B-2", "banana cream", 100, "EUR", 3, "active"),
        ("C-3", "Cream", 300, "USD", 3, "active"),
        ("D-4", "Cream of bananas", 900, "EUR", 1, "draft"),
        ("E-5", "Mug", 300, "EUR", 1, "active"),
    ] {
        let price = json!({ "amount": amount, "currency": currency });
        let product = json!({ "sku": sku, "name": name, "price": price, "stock": stock, "status": status });
        shop.product_with(product).await;
    }
    let client = to_products(&shop);
    let list = async |caller: Caller, request: products::ListProductsRequest| -> Listed {
        let page = client.clone().list_products(by(caller, request)).await?.into_inner();
        Ok((page.data.into_iter().map(product_json).collect(), page.next_cursor))
    };
    let none = products::ListProductsRequest::default;
    let long_ago = timestamp(Timestamp::parse("2020-01-01T00:00:00Z").unwrap());
    for (query, request, for_staff, for_anyone) in [
        ("q=CREAM", products::ListProductsRequest { q: text("CREAM"), ..none() }, 3, 2),
        ("q=creme%20brulee", products::ListProductsRequest { q: text("creme brulee"), ..none() }, 1, 1),
        ("q=*", products::ListProductsRequest { q: text("*"), ..none() }, 0, 0),
        ("sku=D-4", products::ListProductsRequest { sku: text("D-4"), ..none() }, 1, 0),
        ("sku=E-5", products::ListProductsRequest { sku: text("E-5"), ..none() }, 1, 1),
        ("currency=EUR", products::ListProductsRequest { currency: text("EUR"), ..none() }, 4, 3),
        ("in_stock=true", products::ListProductsRequest { in_stock: Some(true), ..none() }, 4, 3),
        ("in_stock=false", products::ListProductsRequest { in_stock: Some(false), ..none() }, 1, 1),
        ("sort=name", products::ListProductsRequest { sort: text("name"), ..none() }, 5, 4),
        ("sort=-price", products::ListProductsRequest { sort: text("-price"), ..none() }, 5, 4),
        ("sort=updated_at", products::ListProductsRequest { sort: text("updated_at"), ..none() }, 5, 4),
        (
            "status=draft,active&sort=-updated_at",
            products::ListProductsRequest {
                status: text("draft,active"),
                sort: text("-updated_at"),
                ..none()
            },
            5,
            4,
        ),
        (
            "updated_from=2020-01-01T00:00:00Z&sort=name",
            products::ListProductsRequest { updated_from: Some(long_ago), sort: text("name"), ..none() },
            5,
            4,
        ),
        (
            "updated_to=2020-01-01T00:00:00Z",
            products::ListProductsRequest { updated_to: Some(long_ago), ..none() },
            0,
            0,
        ),
        (
            "currency=EUR&min_price=300&max_price=900&sort=price",
            products::ListProductsRequest {
                currency: text("EUR"),
                min_price: Some(300),
                max_price: Some(900),
                sort: text("price"),
                ..none()
            },
            3,
            2,
        ),
        (
            "q=cream&in_stock=true&status=active&currency=EUR&max_price=100&sort=-name",
            products::ListProductsRequest {
                q: text("cream"),
                in_stock: Some(true),
                status: text("active"),
                currency: text("EUR"),
                max_price: Some(100),
                sort: text("-name"),
                ..none()
            },
            1,
            1,
        ),
    ] {
        let path = format!("/products?{query}");
        let (as_staff, anyone) = (caller(&staff, Role::Staff), shop.anyone());
        for (person, who, count) in [(&staff, as_staff, for_staff), (&anyone, Caller::Anonymous, for_anyone)]
        {
            let call =
                async |page| list(who, products::ListProductsRequest { page, ..request.clone() }).await;
            assert_eq!(assert_same(person, &path, call).await, count, "{path}");
        }
    }
    let never = proto::Timestamp { seconds: 253_402_300_800, nanos: 0 };
    let long = "a".repeat(101);
    let search = format!("q={long}");
    let price = |min_price, max_price, currency: &str| products::ListProductsRequest {
        min_price,
        max_price,
        currency: (!currency.is_empty()).then(|| currency.to_owned()),
        ..none()
    };
    for (query, field, request) in [
        (search.as_str(), "q", products::ListProductsRequest { q: text(&long), ..none() }),
        ("sku=a%20b", "sku", products::ListProductsRequest { sku: text("a b"), ..none() }),
        ("status=void", "status", products::ListProductsRequest { status: text("void"), ..none() }),
        ("currency=eur", "currency", price(None, None, "eur")),
        ("min_price=5", "min_price", price(Some(5), None, "")),
        ("max_price=5", "max_price", price(None, Some(5), "")),
        ("currency=EUR&min_price=-1", "min_price", price(Some(-1), None, "EUR")),
        ("currency=EUR&max_price=1000000000001", "max_price", price(None, Some(1_000_000_000_001), "EUR")),
        ("sort=total", "sort", products::ListProductsRequest { sort: text("total"), ..none() }),
        ("status=active,", "status", products::ListProductsRequest { status: text("active,"), ..none() }),
        (
            "updated_from=now",
            "updated_from",
            products::ListProductsRequest { updated_from: Some(never), ..none() },
        ),
        ("updated_to=now", "updated_to", products::ListProductsRequest { updated_to: Some(never), ..none() }),
    ] {
        let listed = list(Caller::Anonymous, request).await;
        assert_refused(&shop.anyone(), &format!("/products?{query}"), field, listed).await;
    }
}

#[tokio::test]
async fn users_are_filtered_over_grpc_as_over_rest() {
    let shop = InProcess::open().await;
    let (staff, ada, bob) = (shop.staff().await, shop.customer().await, shop.customer().await);
    shop.admin().put(&format!("/users/{}", bob.id), json!({ "status": "disabled" })).await.expect(200);
    let client = to_users(&shop);
    let list = async |caller: Caller, request: users::ListUsersRequest| -> Listed {
        let page = client.clone().list_users(by(caller, request)).await?.into_inner();
        Ok((page.data.into_iter().map(user_json).collect(), page.next_cursor))
    };
    let none = users::ListUsersRequest::default;
    let email = ada.email.to_uppercase();
    let long_ago = timestamp(Timestamp::parse("2020-01-01T00:00:00Z").unwrap());
    for (query, request, count) in [
        ("role=customer".to_owned(), users::ListUsersRequest { role: text("customer"), ..none() }, 2),
        ("status=active".to_owned(), users::ListUsersRequest { status: text("active"), ..none() }, 3),
        (
            "role=customer&status=disabled".to_owned(),
            users::ListUsersRequest { role: text("customer"), status: text("disabled"), ..none() },
            1,
        ),
        (format!("email={email}"), users::ListUsersRequest { email: text(&email), ..none() }, 1),
        (
            format!("email={email}&role=staff"),
            users::ListUsersRequest { email: text(&email), role: text("staff"), ..none() },
            0,
        ),
        ("role=staff,admin".to_owned(), users::ListUsersRequest { role: text("staff,admin"), ..none() }, 2),
        (
            "status=active,disabled&sort=updated_at".to_owned(),
            users::ListUsersRequest { status: text("active,disabled"), sort: text("updated_at"), ..none() },
            4,
        ),
        (
            "role=customer&sort=-updated_at".to_owned(),
            users::ListUsersRequest { role: text("customer"), sort: text("-updated_at"), ..none() },
            2,
        ),
        (
            "updated_from=2020-01-01T00:00:00Z".to_owned(),
            users::ListUsersRequest { updated_from: Some(long_ago), ..none() },
            4,
        ),
        (
            "updated_to=2020-01-01T00:00:00Z&sort=created_at".to_owned(),
            users::ListUsersRequest { updated_to: Some(long_ago), sort: text("created_at"), ..none() },
            0,
        ),
    ] {
        let path = format!("/users?{query}");
        let call = async |page| {
            list(caller(&staff, Role::Staff), users::ListUsersRequest { page, ..request.clone() }).await
        };
        assert_eq!(assert_same(&staff, &path, call).await, count, "{path}");
        // Who may not list users may not by a filter either.
        let as_ada = list(caller(&ada, Role::Customer), request).await.unwrap_err();
        assert_eq!(as_ada.code(), Code::PermissionDenied, "{path}");
    }
    let never = proto::Timestamp { seconds: 253_402_300_800, nanos: 0 };
    for (query, field, request) in [
        ("role=root", "role", users::ListUsersRequest { role: text("root"), ..none() }),
        ("role=staff,", "role", users::ListUsersRequest { role: text("staff,"), ..none() }),
        (
            "status=active,deleted",
            "status",
            users::ListUsersRequest { status: text("active,deleted"), ..none() },
        ),
        ("sort=name", "sort", users::ListUsersRequest { sort: text("name"), ..none() }),
        ("updated_from=now", "updated_from", users::ListUsersRequest { updated_from: Some(never), ..none() }),
        ("updated_to=now", "updated_to", users::ListUsersRequest { updated_to: Some(never), ..none() }),
        ("status=deleted", "status", users::ListUsersRequest { status: text("deleted"), ..none() }),
        ("email=ada", "email", users::ListUsersRequest { email: text("ada"), ..none() }),
    ] {
        let listed = list(caller(&staff, Role::Staff), request).await;
        assert_refused(&staff, &format!("/users?{query}"), field, listed).await;
    }
}
