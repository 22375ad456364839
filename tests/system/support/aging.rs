//! A shop whose clock a test moves, and what it has on disk.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mongodb::bson::{self, Document, doc};
use proto::orders::v1 as wire;
use proto::orders::v1::order_service_client::OrderServiceClient;
use shared::auth::Caller;
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::server::RpcServer;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};
use tests::holds;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tonic::Status;

use super::branch::Branch;
use super::grpc::by_at;

pub(crate) const SECOND: i64 = 1_000;

pub(crate) const MINUTE: i64 = 60 * SECOND;

pub(crate) const HOUR: i64 = 60 * MINUTE;

/// A shop whose clock a test moves; MongoDB's own goes with it as far as the times of holds are concerned.
pub(crate) struct Aging {
    pub(crate) shop: InProcess,
    pub(crate) clock: Clock,
    now: Arc<AtomicI64>,
}

impl Aging {
    pub(crate) async fn open() -> Self {
        let now = Arc::new(AtomicI64::new(Clock::system().now().millis()));
        let hand = now.clone();
        let clock = Clock::from_fn(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
        Self { shop: InProcess::open_with_clock(clock.clone()).await, clock, now }
    }

    /// An orders function beside the shop's, whose line to products can be cut.
    pub(crate) async fn branch(&self) -> Branch {
        Branch::with_clock(&self.shop, self.clock.clone()).await
    }

    /// So many milliseconds go by. Journals are folded at their beginning.
    pub(crate) async fn ages(&self, millis: i64) {
        self.shop.fold(&self.clock).await.unwrap();
        self.ages_unfolded(millis).await;
    }

    /// The same, but entries stay in their journals.
    pub(crate) async fn ages_unfolded(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
        holds::age(&self.shop.database, millis).await;
        let earlier = |time: &str| doc! { "$subtract": [time, millis] };
        // Positions among holds are times of the database, those among orders are times of the functions.
        let among_holds = doc! { "_id": { "$in": ["holds", "pruning"] } };
        let positions = self.shop.database.collection::<Document>("reconcile_progress");
        positions.update_many(among_holds, vec![doc! { "$set": { "at": earlier("$at") } }]).await.unwrap();
    }

    pub(crate) async fn reconciles(&self) -> wire::ReconcileResponse {
        self.reconciles_for(Caller::System).await.unwrap()
    }

    pub(crate) async fn reconciles_for(&self, caller: Caller) -> Result<wire::ReconcileResponse, Status> {
        self.asks(&self.shop.backend.orders.rpc, caller, wire::ReconcileRequest::default()).await
    }

    /// Reconcile of a branch, whose line to products may be cut.
    pub(crate) async fn reconciles_at(&self, branch: &Branch) -> wire::ReconcileResponse {
        self.asks(&branch.rpc, Caller::System, wire::ReconcileRequest::default()).await.unwrap()
    }

    /// Reconcile of one shard of so many.
    pub(crate) async fn reconciles_shard(
        &self,
        shard: i64,
        shards: i64,
    ) -> Result<wire::ReconcileResponse, Status> {
        let request = wire::ReconcileRequest { shard: Some(shard), shards: Some(shards) };
        self.asks(&self.shop.backend.orders.rpc, Caller::System, request).await
    }

    async fn asks(
        &self,
        orders: &RpcServer,
        caller: Caller,
        request: wire::ReconcileRequest,
    ) -> Result<wire::ReconcileResponse, Status> {
        let channel = Channel::new(Arc::new(orders.clone()), self.clock.clone());
        let request = by_at(self.clock.now(), caller, request);
        Ok(OrderServiceClient::new(channel).reconcile(request).await?.into_inner())
    }

    /// Somebody whose access token may have run out.
    pub(crate) async fn again(&self, person: &Person) -> Person {
        self.shop.anyone().signs_in(&person.email, PASSWORD).await
    }

    pub(crate) async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let found = self.shop.database.collection::<Document>("stock");
        let found = found.find_one(doc! { "_id": stored_product(product) }).await.unwrap().unwrap();
        let (on_hand, reserved) = (found.get_i64("on_hand").unwrap(), found.get_i64("reserved").unwrap());
        (on_hand, reserved, on_hand - reserved)
    }

    /// Number of orders with a hold of a product, ended ones too, once its journal is folded.
    pub(crate) async fn marks(&self, product: &str) -> u64 {
        self.shop.fold(&self.clock).await.unwrap();
        let holds = self.shop.database.collection::<Document>("stock_holds");
        holds.count_documents(doc! { "items.p": stored_product(product) }).await.unwrap()
    }

    /// An order on disk.
    pub(crate) async fn stored(&self, order: &str) -> Option<Document> {
        let orders = self.shop.database.collection::<Document>("orders");
        orders.find_one(doc! { "_id": stored_id(order) }).await.unwrap()
    }

    /// Status of an order on disk.
    pub(crate) async fn status(&self, order: &str) -> String {
        self.stored(order).await.unwrap().get_str("status").unwrap().to_owned()
    }

    /// Changes an order on disk, past the function.
    pub(crate) async fn sets(&self, order: &str, fields: Document) {
        let orders = self.shop.database.collection::<Document>("orders");
        // Past what MongoDB itself would refuse: a document may also be damaged.
        let set = orders.update_one(doc! { "_id": stored_id(order) }, doc! { "$set": fields });
        let set = set.bypass_document_validation(true).await.unwrap();
        assert_eq!(set.matched_count, 1);
    }

    /// Inserts orders that are nothing but there.
    pub(crate) async fn bare_orders(&self, ids: &[OrderId], fields: &Document) {
        let bare = |id: &OrderId| {
            let mut order = doc! { "_id": mongo::uuid(*id) };
            order.extend(fields.clone());
            order
        };
        let orders = self.shop.database.collection::<Document>("orders");
        orders.insert_many(ids.iter().map(bare)).bypass_document_validation(true).await.unwrap();
    }

    pub(crate) async fn count(&self, filter: Document) -> u64 {
        self.shop.database.collection::<Document>("orders").count_documents(filter).await.unwrap()
    }
}

pub(crate) fn stored_product(product: &str) -> bson::Uuid {
    mongo::uuid(product.parse::<ProductId>().unwrap())
}

pub(crate) fn stored_id(order: &str) -> bson::Uuid {
    mongo::uuid(order.parse::<OrderId>().unwrap())
}
