//! Calls about holds, for functions alone: the walk, holds of orders, folding, pruning, and the audits.

use proto::products::v1 as wire;
use serde_json::json;
use shared::auth::{Caller, Role};
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::in_process::InProcess;

use crate::support::grpc::{by, forbidden, invalid, refused, to_products};

#[tokio::test]
async fn only_functions_may_ask_about_holds() {
    let shop = InProcess::open().await;
    let mut client = to_products(&shop);
    let admin = Caller::User { id: UserId::new(), role: Role::Admin };
    for caller in [Caller::Anonymous, admin] {
        let list = wire::ListHoldsRequest { limit: 1, ..Default::default() };
        assert_eq!(refused(client.list_holds(by(caller, list)).await), forbidden());
        assert_eq!(
            refused(client.get_holds(by(caller, wire::GetHoldsRequest::default())).await),
            forbidden()
        );
        let prune = wire::PruneHoldsRequest::default();
        assert_eq!(refused(client.prune_holds(by(caller, prune)).await), forbidden());
        let fold = wire::FoldJournalsRequest { after: None, limit: 1 };
        assert_eq!(refused(client.fold_journals(by(caller, fold)).await), forbidden());
        let oldest = wire::GetOldestEntryRequest {};
        assert_eq!(refused(client.get_oldest_entry(by(caller, oldest)).await), forbidden());
        let audit = wire::AuditStockRequest { after: None, limit: 1 };
        assert_eq!(refused(client.audit_stock(by(caller, audit)).await), forbidden());
        let audit = wire::AuditHoldsRequest { after: None, limit: 1 };
        assert_eq!(refused(client.audit_holds(by(caller, audit)).await), forbidden());
    }
}

#[tokio::test]
async fn a_hold_is_walked_over_told_ended_and_forgotten() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(5).await, shop.product(7).await);
    let mut client = to_products(&shop);
    let ada = shop.customer().await;
    let order = ada.orders(&[(&mug, 2), (&pot, 1)]).await.expect(201).id();
    // An order of several products has its hold at once; folding takes the entries out of the journals.
    shop.fold(&Clock::system()).await.unwrap();
    let get = || wire::GetHoldsRequest { order_ids: vec![order.clone(), OrderId::new().to_string()] };
    let mut holds = client.get_holds(by(Caller::System, get())).await.unwrap().into_inner().holds;
    holds.sort_by_key(|hold| -hold.quantity);
    let told: Vec<_> =
        holds.iter().map(|hold| (hold.order_id.as_str(), hold.product_id.as_str(), hold.quantity)).collect();
    assert_eq!(told, [(order.as_str(), mug.as_str(), 2), (&order, &pot, 1)]);
    assert!(holds.iter().all(|hold| hold.revision == 1 && hold.at == holds[0].at));

    let mut list = async |ended, after| {
        let request = wire::ListHoldsRequest { ended, min_age: 0, after, limit: 10 };
        client.list_holds(by(Caller::System, request)).await.unwrap().into_inner()
    };
    let position = wire::HoldPosition { at: holds[0].at, order_id: Some(order.clone()) };
    let page = list(false, None).await;
    assert_eq!(page.holds, std::slice::from_ref(&position));
    assert!(page.now.unwrap().seconds >= holds[0].at.unwrap().seconds);
    assert!(list(true, None).await.holds.is_empty());
    assert!(list(false, Some(position.clone())).await.holds.is_empty());
    let before = wire::HoldPosition { order_id: None, ..position.clone() };
    assert_eq!(list(false, Some(before)).await.holds, [position]);
    ada.moves(&order, "cancelled").await.expect(200);
    shop.fold(&Clock::system()).await.unwrap();
    assert!(list(false, None).await.holds.is_empty());
    let ended = list(true, None).await.holds;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].order_id.as_deref(), Some(order.as_str()));

    let mut prune = async |min_age| {
        let request = wire::PruneHoldsRequest { order_ids: vec![order.clone()], min_age };
        client.prune_holds(by(Caller::System, request)).await.unwrap().into_inner().pruned
    };
    assert_eq!((prune(3_600).await, prune(0).await, prune(0).await), (0, 1, 0));
    assert!(client.get_holds(by(Caller::System, get())).await.unwrap().into_inner().holds.is_empty());
}

#[tokio::test]
async fn an_audit_has_counts_the_sum_of_the_ledger_and_live_holds() {
    let shop = InProcess::open().await;
    let mug = shop.product(5).await;
    shop.product(0).await;
    let stock = format!("/products/{mug}/stock");
    shop.admin().put(&stock, json!({ "delta": 4 })).await.expect(200);
    let order = shop.customer().await.orders(&[(&mug, 2)]).await.expect(201).id();
    let mut client = to_products(&shop);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = wire::AuditStockRequest { after, limit: 1 };
        let page = client.audit_stock(by(Caller::System, request)).await.unwrap().into_inner();
        assert_eq!(page.products.len(), 1);
        after = Some(page.products[0].product_id.clone());
        seen.extend(page.products);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen.len(), 2);
    assert!(seen[0].product_id < seen[1].product_id);
    let audited = seen.iter().find(|it| it.product_id == mug).unwrap();
    assert_eq!((audited.on_hand, audited.reserved, audited.ledger), (9, 2, 9));
    assert_eq!((audited.held, audited.oldest_entry.is_some()), (2, true));
    shop.fold(&Clock::system()).await.unwrap();
    let audit = wire::AuditStockRequest { after: None, limit: 10 };
    let page = client.audit_stock(by(Caller::System, audit)).await.unwrap().into_inner();
    assert!(page.products.iter().all(|it| it.oldest_entry.is_none()));
    assert_eq!(page.products.iter().map(|it| it.held).sum::<i64>(), 2);
    let audit = wire::AuditHoldsRequest { after: None, limit: 10 };
    let page = client.audit_holds(by(Caller::System, audit)).await.unwrap().into_inner();
    let held: Vec<_> = page.holds.iter().map(|it| (&it.order_id, &it.product_id, it.quantity)).collect();
    assert_eq!(held, [(&order, &mug, 2)]);
    assert_eq!((page.last.as_ref(), page.more), (Some(&order), false));
}

#[tokio::test]
async fn a_fold_of_one_product_names_it_and_leaves_the_next() {
    let shop = InProcess::open().await;
    let mut products = [shop.product(5).await, shop.product(5).await];
    products.sort_unstable();
    let ada = shop.customer().await;
    let orders = [
        ada.orders(&[(&products[0], 1)]).await.expect(201).id(),
        ada.orders(&[(&products[1], 1)]).await.expect(201).id(),
    ];
    let mut client = to_products(&shop);
    let mut fold = async |after| {
        let request = wire::FoldJournalsRequest { after, limit: 1 };
        client.fold_journals(by(Caller::System, request)).await.unwrap().into_inner()
    };
    let first = fold(None).await;
    assert_eq!((first.folded, first.failed, first.oldest, first.more), (1, 0, None, true));
    assert_eq!(first.last.as_ref(), Some(&products[0]));
    let second = fold(first.last).await;
    assert_eq!((second.folded, second.failed, second.more), (1, 0, false));
    assert_eq!(fold(None).await.folded, 0);
    let mut client = to_products(&shop);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = wire::AuditHoldsRequest { after, limit: 1 };
        let page = client.audit_holds(by(Caller::System, request)).await.unwrap().into_inner();
        seen.extend(page.holds.into_iter().map(|hold| hold.order_id));
        after = page.last;
        if !page.more {
            break;
        }
    }
    let mut orders = orders.to_vec();
    orders.sort_unstable();
    assert_eq!(seen, orders);
}

#[tokio::test]
async fn what_is_wrong_with_such_a_call_is_told() {
    let shop = InProcess::open().await;
    let mut client = to_products(&shop);
    let list = |limit, min_age| wire::ListHoldsRequest { limit, min_age, ..Default::default() };
    for (request, pointers) in [
        (list(0, 0), vec!["/limit"]),
        (list(1_001, 0), vec!["/limit"]),
        (list(-1, -1), vec!["/min_age", "/limit"]),
        (list(1, i64::MAX), vec!["/min_age"]),
        (
            wire::ListHoldsRequest { after: Some(wire::HoldPosition::default()), ..list(1, 0) },
            vec!["/after/at"],
        ),
        (
            wire::ListHoldsRequest {
                after: Some(wire::HoldPosition {
                    at: Some(proto::Timestamp { seconds: i64::MAX, nanos: 0 }),
                    order_id: Some("x".to_owned()),
                }),
                ..list(1, 0)
            },
            vec!["/after/at", "/after/order_id"],
        ),
    ] {
        assert_eq!(refused(client.list_holds(by(Caller::System, request)).await), invalid(&pointers));
    }
    let product = ProductId::new().to_string();
    let get = |order_ids| wire::GetHoldsRequest { order_ids };
    let refusal =
        client.get_holds(by(Caller::System, get(vec![OrderId::new().to_string(), product.clone()])));
    assert_eq!(refused(refusal.await), invalid(&["/order_ids/1"]));
    let many = vec![OrderId::new().to_string(); 1_001];
    assert_eq!(
        refused(client.get_holds(by(Caller::System, get(many.clone()))).await),
        invalid(&["/order_ids"])
    );
    let prune = wire::PruneHoldsRequest { order_ids: many, min_age: -1 };
    let refusal = client.prune_holds(by(Caller::System, prune)).await;
    assert_eq!(refused(refusal), invalid(&["/order_ids", "/min_age"]));
    for limit in [0, 5_001, i64::MIN] {
        let audit = wire::AuditStockRequest { after: Some(OrderId::new().to_string()), limit };
        let refusal = client.audit_stock(by(Caller::System, audit)).await;
        assert_eq!(refused(refusal), invalid(&["/after", "/limit"]));
        let audit = wire::AuditHoldsRequest { after: Some(product.clone()), limit };
        let refusal = client.audit_holds(by(Caller::System, audit)).await;
        assert_eq!(refused(refusal), invalid(&["/after", "/limit"]));
    }
    for limit in [0, 1_001, i64::MIN] {
        let fold = wire::FoldJournalsRequest { after: Some(OrderId::new().to_string()), limit };
        let refusal = client.fold_journals(by(Caller::System, fold)).await;
        assert_eq!(refused(refusal), invalid(&["/after", "/limit"]));
    }
}
