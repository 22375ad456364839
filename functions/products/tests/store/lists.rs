//! Lists of products: several statuses, and the time of the last change.

use products::http::LIST_PRODUCTS;
use products::listing::Listing;
use products::product::{Product, Status};
use products::store::Inserted;
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::values::clock::Timestamp;

use crate::{Fixture, NOW, new_key, new_product};

/// Walks a list as staff see it, in pages of this length. Returns the names.
async fn walk(fixture: &Fixture, query: &str, limit: i64) -> String {
    let query = Query::parse(Some(query), &LIST_PRODUCTS.query_names()).unwrap();
    let listing = Listing::from_query(&query).unwrap();
    let statuses = listing.status.clone().unwrap_or_else(|| Status::ALL.to_vec());
    let page = PageRequest::new(Some(limit), None).unwrap();
    let (mut names, mut after) = (String::new(), None);
    loop {
        let found = fixture.store.list(&listing, &statuses, &page, after.as_ref()).await.unwrap();
        names.extend(found.data.into_iter().map(|product| product.name));
        after = found.next;
        if after.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn lists_are_filtered_and_sorted_by_the_last_change() {
    let fixture = Fixture::new().await;
    let at = |millis: i64| Timestamp::from_millis(NOW.millis() + millis);
    let mut skus = Vec::new();
    for (place, name, currency, status, updated) in [
        (0, "a", "EUR", Status::Active, 40),
        (1, "b", "EUR", Status::Draft, 10),
        (2, "c", "USD", Status::Active, 30),
        (3, "d", "EUR", Status::Archived, 20),
        (4, "e", "EUR", Status::Active, 50),
    ] {
        let product = new_product(currency, place % 2);
        let (created_at, updated_at) = (at(place), at(updated));
        let product = Product { name: name.to_owned(), status, created_at, updated_at, ..product };
        let inserted = fixture.store.insert(&product, "somebody", &new_key()).await.unwrap();
        assert_eq!(inserted, Inserted::Done);
        skus.push(product.sku);
    }
    let (from, to) = (format!("updated_from={}", at(20)), format!("updated_to={}", at(50)));
    let sku = skus[0].as_str();
    for (query, expected) in [
        (String::new(), "edcba"),
        ("status=active,draft".to_owned(), "ecba"),
        ("status=draft,archived,draft".to_owned(), "db"),
        ("sort=updated_at".to_owned(), "bdcae"),
        ("sort=-updated_at".to_owned(), "eacdb"),
        ("sort=-updated_at&currency=EUR".to_owned(), "eadb"),
        ("sort=updated_at&currency=GBP".to_owned(), ""),
        ("sort=updated_at&currency=EUR&max_price=499".to_owned(), ""),
        ("sort=updated_at&currency=EUR&min_price=500&status=active,archived".to_owned(), "dae"),
        ("sort=updated_at&in_stock=true".to_owned(), "bd"),
        (format!("sort=updated_at&{from}&{to}"), "dca"),
        (format!("sort=-updated_at&{from}&{to}&currency=EUR"), "ad"),
        (format!("{from}&{to}"), "dca"),
        (format!("{from}&currency=EUR&status=active,draft&in_stock=false"), "ea"),
        (format!("sort=-name&{to}"), "dcba"),
        (format!("sort=name&currency=EUR&{from}"), "ade"),
        (format!("updated_from={}&updated_to={}", at(50), at(20)), ""),
        (format!("q=product&sort=-name&{from}&status=active"), "eca"),
        ("q=product&sort=updated_at&currency=EUR".to_owned(), "bdae"),
        (format!("sku={sku}&{from}&{to}&status=draft,active"), "a"),
        (format!("sku={sku}&updated_from={}", at(41)), ""),
        (format!("sku={sku}&status=draft,archived"), ""),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(walk(&fixture, &query, limit).await, expected, "{query}");
        }
    }
}
