//! Lists of orders between two times, as clients write them: offsets, and a plus in a URL.

use crate::support::lists::{of, shop_with_clock};

/// 2027-01-15T08:00:00Z, 08:00:01Z and 08:00:02Z are when the orders are placed.
#[tokio::test]
async fn a_time_may_have_an_offset_in_which_a_plus_is_percent_encoded() {
    let (shop, tick) = shop_with_clock().await;
    let (ada, mug) = (shop.customer().await, shop.product(9).await);
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(ada.orders(&[(&mug, 1)]).await.expect(201));
        tick();
    }
    assert_eq!(orders[1].text("created_at"), "2027-01-15T08:00:01.000Z");
    let ids: Vec<String> = orders.iter().rev().map(tests::answer::Answer::id).collect();
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
        // By pages of two: the link to the next page has the time as it must be written, too.
        let from = of(&ada, &format!("/orders?created_from={moment}"), "id").await;
        assert_eq!(from, ids[..2], "{moment}");
        let to = of(&ada, &format!("/orders?created_to={moment}&sort=created_at"), "id").await;
        assert_eq!(to, ids[2..], "{moment}");
    }
    let long_ago = of(&ada, "/orders?created_from=2026-01-01T00:00:00%2B02:00", "id").await;
    assert_eq!(long_ago, ids);
}

#[tokio::test]
async fn a_plus_that_became_a_space_is_refused_with_its_right_form() {
    let (shop, _) = shop_with_clock().await;
    let ada = shop.customer().await;
    for name in ["created_from", "created_to"] {
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
            let refused = ada.get(&format!("/orders?{name}={bad}")).await.problem(400, "invalid-query");
            let detail = refused.text("detail");
            assert!(detail.starts_with(&format!("`{name}` must be a time of RFC 3339")), "{bad}: {detail}");
            assert!(detail.contains("2026-11-22T19:22:33.007Z"), "{bad}: {detail}");
            assert!(detail.ends_with("a + in an offset is written %2B."), "{bad}: {detail}");
        }
    }
}
