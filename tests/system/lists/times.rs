//! Lists between two times, as clients write them: offsets, and a plus in a URL.

use crate::support::lists::{of, shop_with_clock};

/// 2027-01-15T08:00:00Z, 08:00:01Z and 08:00:02Z are when the orders are placed, and products and users added.
#[tokio::test]
async fn a_time_may_have_an_offset_in_which_a_plus_is_percent_encoded() {
    let (shop, tick) = shop_with_clock().await;
    let admin = shop.admin();
    let (mut orders, mut products, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let (ada, mug) = (shop.customer().await, shop.product(9).await);
        orders.push(ada.orders(&[(&mug, 1)]).await.expect(201));
        products.push(mug);
        users.push(ada.id);
        tick();
    }
    assert_eq!(orders[1].text("created_at"), "2027-01-15T08:00:01.000Z");
    assert_eq!(orders[1].text("updated_at"), "2027-01-15T08:00:01.000Z");
    let orders: Vec<String> = orders.iter().rev().map(tests::answer::Answer::id).collect();
    products.reverse();
    users.reverse();
    let lists = [
        ("/orders?created", "sort=created_at", &orders),
        ("/orders?updated", "sort=updated_at", &orders),
        ("/products?updated", "sort=updated_at", &products),
        ("/users?role=customer&updated", "sort=updated_at", &users),
    ];
    for moment in [
        "2027-01-15T08:00:01Z",
        "2027-01-15T08:00:01.000Z",
        "2027-01-15T08%3A00%3A01Z",
        "2027-01-15T10:00:01%2B02:00",
        "2027-01-15T10%3a00%3a01%2b02%3a00",
        "2027-01-15T08:00:01%2B00:00",
        "2027-01-15T08:00:01-00:00",
        "2027-01-15T13:45:01%2B05:45",
        "2027-01-14T22:00:01-10:00",
        "2027-01-15T08:00:00.9990001Z",
    ] {
        for (list, sort, ids) in lists {
            // By pages of two: the link to the next page has the time as it must be written, too.
            let from = of(&admin, &format!("{list}_from={moment}"), "id").await;
            assert_eq!(from, ids[..2], "{list}_from={moment}");
            let to = of(&admin, &format!("{list}_to={moment}&{sort}"), "id").await;
            assert_eq!(to, ids[2..], "{list}_to={moment}");
        }
    }
    for (list, _, ids) in lists {
        let long_ago = of(&admin, &format!("{list}_from=2026-01-01T00:00:00%2B02:00"), "id").await;
        assert_eq!(&long_ago, ids, "{list}");
    }
}

#[tokio::test]
async fn a_plus_that_became_a_space_is_refused_with_its_right_form() {
    let (shop, _) = shop_with_clock().await;
    let admin = shop.admin();
    for (list, name) in [
        ("/orders", "created_from"),
        ("/orders", "created_to"),
        ("/orders", "updated_from"),
        ("/orders", "updated_to"),
        ("/products", "updated_from"),
        ("/products", "updated_to"),
        ("/users", "updated_from"),
        ("/users", "updated_to"),
    ] {
        for bad in [
            "2026-01-01T00:00:00+02:00",
            "2026-01-01T00:00:00%2002:00",
            "2026-01-01T00:00:00%252B02:00",
            "2026-01-01T00:00:00%2B0200",
            "2026-01-01T00:00:00%2B24:00",
            "2026-01-01T00:00:00%2B02",
            "2026-01-01T00:00:00",
            "%2B2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z+",
        ] {
            let refused = admin.get(&format!("{list}?{name}={bad}")).await.problem(400, "invalid-query");
            let detail = refused.text("detail");
            assert!(detail.starts_with(&format!("`{name}` must be a time of RFC 3339")), "{bad}: {detail}");
            assert!(detail.contains("2026-11-22T19:22:33.007Z"), "{bad}: {detail}");
            assert!(detail.ends_with("a + in an offset is written %2B."), "{bad}: {detail}");
        }
    }
}
