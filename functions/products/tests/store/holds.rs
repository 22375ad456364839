//! Queries of other functions about holds.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use mongodb::bson::{Document, doc};
use products::holds::{AuditedHolds, HoldList, HoldPosition, HoldWalk};
use products::stock::{DeclarationKind, Stock, StockChange};
use products::store::ProductStore;
use shared::mongo;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};

use crate::Fixture;

fn walk(limit: usize) -> HoldWalk {
    HoldWalk { ended: false, min_age: Duration::ZERO, after: None, limit }
}

/// Reads all holds, in pages of this length.
async fn walked(fixture: &Fixture, first: HoldWalk) -> Vec<HoldPosition> {
    let (mut all, mut walk) = (Vec::<HoldPosition>::new(), first);
    loop {
        let HoldList { holds: page, now, .. } = fixture.store.list_holds(&walk).await.unwrap();
        assert!(page.len() <= walk.limit);
        assert!(page.iter().all(|position| position.at <= now));
        all.extend(&page);
        let Some(last) = page.last() else { return all };
        walk.after = Some((last.at, Some(last.order)));
    }
}

/// Puts a hold of so many units of each product, as if it had been written at that time.
async fn put(fixture: &Fixture, products: &[ProductId], order: OrderId, quantity: i64, at: Timestamp) {
    let items: Vec<Document> =
        products.iter().map(|product| doc! { "p": mongo::uuid(*product), "q": quantity }).collect();
    let hold = doc! {
        "_id": mongo::uuid(order), "r": 1_i64, "items": items, "live": quantity > 0, "at": mongo::date(at),
        "writer": products::store::SCHEMA.version,
    };
    fixture.collection("stock_holds").insert_one(hold).await.unwrap();
    let ids: Vec<_> = products.iter().map(|product| mongo::uuid(*product)).collect();
    let reserved = doc! { "$inc": { "reserved": quantity } };
    fixture.collection("stock").update_many(doc! { "_id": { "$in": ids } }, reserved).await.unwrap();
}

async fn database_clock(fixture: &Fixture) -> Timestamp {
    fixture.store.list_holds(&walk(1)).await.unwrap().now
}

#[tokio::test]
async fn pages_list_each_order_once_sorted_by_time() {
    let fixture = Fixture::new().await;
    let products = fixture.products([9_000, 9_000, 9_000]).await;
    let now = database_clock(&fixture).await;
    let mut expected = HashSet::new();
    // Years, hours and milliseconds apart; three orders a time; some on several products.
    for place in 0..60_u64 {
        let age = [400 * 86_400_000, 7_200_000, 3_600_000 + place / 3, 200_000]
            [usize::try_from(place % 4).unwrap()];
        let at = now.before(Duration::from_millis(age));
        let order = OrderId::new();
        put(&fixture, &products[..1 + usize::try_from(place % 3).unwrap()], order, 1, at).await;
        put(&fixture, &products[..1], OrderId::new(), 0, at).await;
        expected.insert((at.millis(), order));
    }
    let mut orders = Vec::new();
    for limit in [1, 2, 7, 59, 60, 61, 1_000] {
        let all = walked(&fixture, walk(limit)).await;
        let keys: Vec<_> = all.iter().map(|it| (it.at.millis(), it.order.uuid())).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "limit {limit}");
        let visited: HashSet<_> = all.iter().map(|it| (it.at.millis(), it.order)).collect();
        assert_eq!(visited, expected, "limit {limit}");
        orders = all;
    }
    // From any cursor on, with the order and without.
    for (place, position) in orders.iter().enumerate() {
        let after = HoldWalk { after: Some((position.at, Some(position.order))), ..walk(7) };
        assert_eq!(walked(&fixture, after).await, orders[place + 1..]);
        let from = HoldWalk { after: Some((position.at, None)), ..walk(7) };
        let first = orders.iter().position(|it| it.at == position.at).unwrap();
        assert_eq!(walked(&fixture, from).await, orders[first..]);
    }
    let ended = walked(&fixture, HoldWalk { ended: true, ..walk(13) }).await;
    assert_eq!(ended.len(), 60);
    assert!(ended.iter().all(|it| !orders.contains(it)));
    fixture.assert_sound().await;
}

#[tokio::test]
async fn only_holds_of_the_minimum_age_are_listed() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(100).await;
    let now = database_clock(&fixture).await;
    let (old, new) = (OrderId::new(), OrderId::new());
    put(&fixture, &[mug], old, 1, now.before(Duration::from_secs(120))).await;
    fixture.hold(new, 1, &[(mug, 1)]).await.unwrap();
    fixture.fold().await;
    let visited = async |seconds| {
        let walk = HoldWalk { min_age: Duration::from_secs(seconds), ..walk(10) };
        walked(&fixture, walk).await.iter().map(|it| it.order).collect::<Vec<_>>()
    };
    assert_eq!(visited(0).await, [old, new]);
    assert_eq!(visited(60).await, [old]);
    assert_eq!(visited(120).await, [old]);
    assert!(visited(3_600).await.is_empty());
}

#[tokio::test]
async fn later_holds_have_times_not_before_the_pages_now() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(100).await;
    for _ in 0..20 {
        let now = fixture.store.list_holds(&walk(100)).await.unwrap().now;
        let order = OrderId::new();
        fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
        assert!(fixture.store.find_holds(&[order]).await.unwrap()[0].at >= now);
        let now = fixture.store.list_holds(&walk(100)).await.unwrap().now;
        fixture.fold().await;
        assert!(fixture.store.find_holds(&[order]).await.unwrap()[0].at >= now);
    }
}

#[tokio::test]
async fn holds_of_orders_are_found_live_or_ended() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([50, 50]).await;
    let (both, ended, other) = (OrderId::new(), OrderId::new(), OrderId::new());
    fixture.hold(both, 3, &[(cup, 2), (mug, 1)]).await.unwrap();
    fixture.hold(ended, 1, &[(cup, 4)]).await.unwrap();
    fixture.hold(ended, 2, &[]).await.unwrap();
    fixture.hold(other, 1, &[(mug, 7)]).await.unwrap();
    let mut found = fixture.store.find_holds(&[both, ended, OrderId::new()]).await.unwrap();
    found.sort_by_key(|hold| hold.quantity);
    let kept: Vec<_> =
        found.iter().map(|hold| (hold.order, hold.product, hold.quantity, hold.revision)).collect();
    assert_eq!(kept, [(ended, cup, 0, 2), (both, mug, 1, 3), (both, cup, 2, 3)]);
    assert_eq!(found[1].at, found[2].at, "a declaration has one time");
    assert!(fixture.store.find_holds(&[]).await.unwrap().is_empty());
    let again = fixture.store.find_holds(&[both]).await.unwrap();
    fixture.hold(both, 4, &[(cup, 2)]).await.unwrap();
    let later = fixture.store.find_holds(&[both]).await.unwrap();
    assert!(later.iter().all(|hold| hold.revision == 4 && hold.at >= again[0].at));
}

#[tokio::test]
async fn pruning_deletes_old_ended_holds_of_these_orders_alone() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([50, 50]).await;
    let now = database_clock(&fixture).await;
    let [old, young, live, other] = [OrderId::new(), OrderId::new(), OrderId::new(), OrderId::new()];
    let ago = |seconds| now.before(Duration::from_secs(seconds));
    put(&fixture, &[cup, mug], old, 0, ago(4_000)).await;
    put(&fixture, &[cup, mug], other, 0, ago(4_000)).await;
    put(&fixture, &[cup], young, 0, ago(3_000)).await;
    put(&fixture, &[cup], live, 3, ago(4_000)).await;
    let orders = [old, young, live, OrderId::new()];
    let prune =
        async |orders: &[OrderId]| fixture.store.prune_holds(orders, Duration::from_secs(3_600)).await;
    assert_eq!(prune(&[]).await.unwrap(), 0);
    assert_eq!(prune(&orders).await.unwrap(), 1);
    assert_eq!(prune(&orders).await.unwrap(), 0);
    let left = fixture.store.find_holds(&[old, young, live, other]).await.unwrap();
    let left: HashSet<_> = left.iter().map(|hold| hold.order).collect();
    assert_eq!(left, HashSet::from([young, live, other]));
    assert_eq!((fixture.stock(cup).await, fixture.stock(mug).await), ((50, 3), (50, 0)));
}

#[tokio::test]
async fn pruning_beside_new_declarations_keeps_live_holds() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(1_000).await;
    let orders: Vec<OrderId> = (0..20).map(|_| OrderId::new()).collect();
    for order in &orders {
        fixture.hold(*order, 1, &[(mug, 1)]).await.unwrap();
        fixture.hold(*order, 2, &[]).await.unwrap();
    }
    fixture.fold().await;
    let declared = join_all(orders.iter().map(async |order| {
        fixture.hold(*order, 3, &[(mug, 2)]).await.unwrap();
    }));
    let pruned = join_all((0..5).map(|_| fixture.store.prune_holds(&orders, Duration::ZERO)));
    futures::future::join(declared, pruned).await;
    // In either sequence the hold of revision 3 stands.
    let left = fixture.store.find_holds(&orders).await.unwrap();
    assert_eq!(left.len(), 20);
    assert!(left.iter().all(|hold| (hold.quantity, hold.revision) == (2, 3)));
    assert_eq!(fixture.stock(mug).await, (1_000, 40));
}

#[tokio::test]
async fn a_build_that_is_fenced_out_prunes_nothing() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    fixture.hold(order, 1, &[(mug, 1)]).await.unwrap();
    fixture.hold(order, 2, &[]).await.unwrap();
    fixture.fold().await;
    let later = products::store::SCHEMA.version + 1;
    let later = doc! { "$set": { "version": later, "lowest_writer": later } };
    fixture.collection("schema").update_one(doc! { "_id": "products" }, later).await.unwrap();
    let older = ProductStore::new(&fixture.database);
    assert!(older.prune_holds(&[order], Duration::ZERO).await.is_err());
    assert_eq!(fixture.all("stock_holds").await.len(), 1);
}

#[tokio::test]
async fn an_audit_has_each_product_once_with_its_sums() {
    let fixture = Fixture::new().await;
    let mut all = fixture.products([5, 0, 9, 7]).await;
    all.sort_by_key(|product| product.uuid());
    let [order, ended] = [OrderId::new(), OrderId::new()];
    fixture.count(all[1], StockChange::Set(6)).await;
    fixture.hold(order, 1, &[(all[1], 2)]).await.unwrap();
    fixture.hold(ended, 1, &[(all[1], 1)]).await.unwrap();
    fixture.declare(ended, 2, DeclarationKind::Ship, &[(all[1], 1)]).await.unwrap();
    for limit in [1, 2, 3, 4, 5_000] {
        let (mut seen, mut more) = (Vec::new(), true);
        while more {
            let after = seen.last().map(|it: &products::holds::AuditedProduct| it.product);
            let (page, next) = fixture.store.audit(after, limit).await.unwrap();
            assert!((1..=limit).contains(&i64::try_from(page.len()).unwrap()));
            seen.extend(page);
            more = next;
        }
        assert_eq!(seen.iter().map(|it| it.product).collect::<Vec<_>>(), all, "{limit}");
        assert_eq!(seen[1].stock, Stock { on_hand: 5, reserved: 2 });
        assert!(seen.iter().all(|it| it.ledger == it.stock.on_hand && it.held == it.stock.reserved));
        assert_eq!(seen[1].oldest_entry.is_some(), limit < 5_000);
        if limit == 3 || limit == 4 {
            // What is folded counts the same.
            let [first, ..] = fixture.store.find_holds(&[order]).await.unwrap()[..] else { panic!("none") };
            assert!(limit == 4 || seen[1].oldest_entry <= Some(first.at));
        }
        if limit == 4 {
            fixture.fold().await;
        }
    }
    assert_eq!(fixture.store.audit(Some(all[3]), 10).await.unwrap(), (Vec::new(), false));
}

#[tokio::test]
async fn an_audit_shows_what_is_wrong_as_it_is() {
    let fixture = Fixture::new().await;
    let mug = fixture.product(5).await;
    let wrong = doc! { "$set": { "on_hand": 8_i64, "reserved": 1_i64 } };
    fixture.collection("stock").update_one(doc! { "_id": mongo::uuid(mug) }, wrong).await.unwrap();
    let (page, _) = fixture.store.audit(None, 10).await.unwrap();
    assert_eq!((page[0].stock, page[0].ledger), (Stock { on_hand: 8, reserved: 1 }, 5));
    assert_eq!(page[0].held, 0);
}

#[tokio::test]
async fn an_audit_of_holds_has_each_live_hold_once() {
    let fixture = Fixture::new().await;
    let [cup, mug] = fixture.products([50, 50]).await;
    let mut live = Vec::new();
    for place in 0..7 {
        let order = OrderId::new();
        let items = &[(cup, 1), (mug, 2)][..1 + place % 2];
        fixture.hold(order, 1, items).await.unwrap();
        fixture.fold().await;
        match place {
            // Its end is in the journal alone.
            2 => drop(fixture.hold(order, 2, &[]).await.unwrap()),
            _ => live.push((order, items.len())),
        }
    }
    live.sort_by_key(|(order, _)| order.uuid());
    for limit in [1, 2, 5, 100] {
        let (mut after, mut seen, mut more) = (None, Vec::new(), true);
        while more {
            let AuditedHolds { holds: page, last, more: next, .. } =
                fixture.store.audit_holds(after, limit).await.unwrap();
            assert!(page.iter().all(|hold| hold.quantity > 0));
            seen.extend(page.iter().map(|hold| hold.order));
            (after, more) = (last, next && last.is_some());
        }
        let expected: Vec<_> = live.iter().flat_map(|(order, items)| vec![*order; *items]).collect();
        assert_eq!(seen, expected, "{limit}");
    }
}

#[tokio::test]
async fn an_audit_beside_changes_reads_one_snapshot() {
    let fixture = Fixture::new().await;
    let [mug, pot] = fixture.products([500, 500]).await;
    let changes = join_all((0..4).map(|_| async {
        for _ in 0..15 {
            let (order, items) = (OrderId::new(), [(mug, 1), (pot, 2)]);
            fixture.hold(order, 1, &items).await.unwrap();
            fixture.declare(order, 2, DeclarationKind::Ship, &items).await.unwrap();
            fixture.count(mug, StockChange::Move(1)).await;
        }
    }));
    let audits = async {
        for round in 0..40 {
            if round % 4 == 0 {
                fixture.fold().await;
            }
            for audited in fixture.store.audit(None, 10).await.unwrap().0 {
                let sums = (audited.ledger, audited.held);
                assert_eq!(sums, (audited.stock.on_hand, audited.stock.reserved));
            }
        }
    };
    futures::future::join(changes, audits).await;
    assert_eq!(fixture.stock(pot).await, (380, 0));
}
