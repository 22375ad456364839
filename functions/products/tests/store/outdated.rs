//! Reads that show an older state than the latest, as those of a new primary do for a moment.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join;
use mongod::{Data, Mongod, Options};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};

use crate::Fixture;

/// Server of its own, whose majority does not see what is written while that is switched off.
async fn own_server() -> (Mongod, Fixture) {
    let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| {})).await.unwrap().unwrap();
    let options = Options::new(binary, Data::Ephemeral).parameter("enableTestCommands", "1");
    let server = Mongod::start(options).await.unwrap();
    let fixture = Fixture::at(server.uri()).await;
    (server, fixture)
}

/// Lets the majority see what is written, or not.
async fn majority_sees(fixture: &Fixture, sees: bool) {
    let mode = if sees { "off" } else { "alwaysOn" };
    let admin = fixture.database.client().database("admin");
    admin.run_command(doc! { "configureFailPoint": "disableSnapshotting", "mode": mode }).await.unwrap();
}

/// Reads the reserved count of a product, as of this read concern.
async fn reserved(fixture: &Fixture, product: ProductId, concern: ReadConcern) -> i64 {
    let stock = fixture.database.collection::<Document>("stock");
    let found = stock.find_one(doc! { "_id": mongo::uuid(product) }).read_concern(concern).await;
    found.unwrap().unwrap().get_i64("reserved").unwrap()
}

/// Makes a change that the majority does not see yet, and then another one, which must rest on the first.
async fn after_unseen<T>(
    fixture: &Fixture,
    product: ProductId,
    unseen: impl Future<Output = ()>,
    then: impl Future<Output = T>,
) -> T {
    let before = reserved(fixture, product, ReadConcern::local()).await;
    majority_sees(fixture, false).await;
    let decided = async {
        while reserved(fixture, product, ReadConcern::local()).await == before {
            tokio::task::yield_now().await;
        }
        assert_eq!(reserved(fixture, product, ReadConcern::majority()).await, before);
        // It ends only once the majority sees it, or at once if it rests on what the majority sees now.
        let mut then = Box::pin(then.fuse());
        let early = tokio::time::timeout(Duration::from_millis(700), &mut then).await;
        majority_sees(fixture, true).await;
        match early {
            Ok(early) => early,
            Err(_) => then.await,
        }
    };
    let both = tokio::time::timeout(Duration::from_secs(60), join(unseen, decided));
    let ((), answer) = both.await.unwrap();
    answer
}

#[tokio::test]
async fn no_refusal_rests_on_an_older_state() {
    let (_server, fixture) = own_server().await;
    let mug = fixture.product(1).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    fixture.hold(first, 1, &[(mug, 1)]).await.unwrap();
    let release = async { drop(fixture.hold(first, 2, &[]).await.unwrap()) };
    let items = [(mug, 1)];
    let held = after_unseen(&fixture, mug, release, fixture.hold(second, 1, &items)).await;
    held.unwrap();
    assert_eq!(fixture.stock(mug).await, (1, 1));
}

#[tokio::test]
async fn no_release_rests_on_an_older_state() {
    let (_server, fixture) = own_server().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    // It does not learn in time that it was written, and finds the release.
    let hold = async { drop(fixture.hold(order, 1, &[(mug, 2)]).await) };
    let released = after_unseen(&fixture, mug, hold, fixture.hold(order, 2, &[])).await;
    released.unwrap();
    assert_eq!(fixture.stock(mug).await, (9, 0));
}

/// A migration leaves no entry and no mark, so no condition of a write would find out.
#[tokio::test]
async fn no_change_passes_over_a_hold_that_was_copied() {
    let (_server, fixture) = own_server().await;
    let mug = fixture.product(9).await;
    let order = OrderId::new();
    let copied = async {
        let now = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
        let hold = doc! {
            "_id": mongo::uuid(order), "r": 1_i64, "items": [{ "p": mongo::uuid(mug), "q": 2_i64 }], "live": true,
            "at": DateTime::now(), "writer": products::store::SCHEMA.version,
        };
        let holds = fixture.collection("stock_holds");
        holds.insert_one(hold).write_concern(now.clone()).await.unwrap();
        let held = doc! { "$inc": { "reserved": 2_i64 } };
        let of_mug = doc! { "_id": mongo::uuid(mug) };
        fixture.collection("stock").update_one(of_mug, held).write_concern(now).await.unwrap();
    };
    let items = [(mug, 1)];
    let changed = after_unseen(&fixture, mug, copied, fixture.hold(order, 2, &items)).await;
    changed.unwrap();
    assert_eq!(fixture.stock(mug).await, (9, 1));
}
