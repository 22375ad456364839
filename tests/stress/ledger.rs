//! A ledger with very many movements, ten million in full size. The consistency check verifies it once, page by page,
//! and then reads the new movements alone.

use std::time::{Duration, Instant};

use http::Method;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReadConcern;
use serde_json::{Value, json};
use shared::mongo;
use shared::values::ids::ProductId;
use tests::answer::Answer;
use tests::in_process::InProcess;

use crate::campaign::{Campaign, is_long, tell};
use crate::profile::Profiler;

/// Movements that the server makes with one command.
const BATCH: i64 = 100_000;

/// Changes of the count after all is verified.
const NEW: i64 = 50;

/// Most keys of movements that a check reads: the new ones of both products, and the end of each ledger.
const MOST: i64 = 2 * NEW + 10;

/// Maximum number of checks until the ledger is verified.
const CHECKS: usize = 500;

/// Number of checks whose median time is compared.
const COMPARED: usize = 21;

/// Adds movements of one unit each to a product, and the units to its stock.
async fn grow(shop: &InProcess, product: &str, count: i64) {
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    let stocks = shop.database.collection::<Document>("stock");
    let stock = stocks.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let writer = stock.get_i32("writer").map(i64::from).or_else(|_| stock.get_i64("writer")).unwrap();
    let (first, on_hand) = (stock.get_i64("movements").unwrap(), stock.get_i64("on_hand").unwrap());
    let mut done = 0;
    while done < count {
        let end = count.min(done + BATCH);
        let numbers = doc! { "$range": [i32::try_from(done + 1).unwrap(), i32::try_from(end + 1).unwrap()] };
        let movement = doc! {
            "_id": 0, "product": id, "at": DateTime::now(), "delta": { "$literal": 1_i64 }, "reason": null, "order": null,
            "number": { "$add": ["$n", first] }, "on_hand": { "$add": ["$n", on_hand] },
            "reserved": { "$literal": 0_i64 }, "by": "system",
            "writer": { "$literal": writer },
        };
        let made = vec![
            doc! { "$documents": [{}] },
            doc! { "$project": { "n": numbers } },
            doc! { "$unwind": "$n" },
            doc! { "$project": movement },
            doc! { "$merge": { "into": "stock_movements", "whenMatched": "fail" } },
        ];
        shop.database.aggregate(made).read_concern(ReadConcern::local()).await.unwrap();
        done = end;
    }
    let counted = doc! { "$inc": { "movements": count, "on_hand": count } };
    stocks.update_one(doc! { "_id": id }, counted).await.unwrap();
}

/// Reads the first page of the consistency check, which has both products. It may be 503.
async fn check(shop: &InProcess) -> Answer {
    let admin = shop.admin();
    admin.outcome(admin.request(Method::GET, "/orders/consistency?limit=10")).await.unwrap()
}

/// Checks until a check is done with the ledgers, and returns its violations.
async fn check_all(shop: &InProcess, campaign: &mut Campaign) -> Vec<String> {
    for _ in 0..CHECKS {
        let answer = check(shop).await;
        // A check that runs out of time has saved how far it came.
        if answer.status != 503 {
            return violations(&answer.expect(200));
        }
        campaign.faults += 1;
    }
    vec![format!("{CHECKS} checks have not verified the ledger")]
}

fn violations(page: &Answer) -> Vec<String> {
    page["violations"].as_array().unwrap().iter().map(Value::to_string).collect()
}

/// Median time of a check.
async fn median(shop: &InProcess) -> Duration {
    let mut times = Vec::new();
    for _ in 0..COMPARED {
        let begun = Instant::now();
        check(shop).await.expect(200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[COMPARED / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_check_reads_the_new_movements_of_a_long_ledger_alone() {
    let mut campaign = Campaign::begin("ledger");
    let shop = InProcess::open().await;
    let (long, short) = (shop.product(5).await, shop.product(5).await);
    let before = median(&shop).await;
    // More than the audit adds up in one step.
    let count = if is_long() { 10_000_000 } else { 250_000 };
    campaign.cases = usize::try_from(count).unwrap();
    let begun = Instant::now();
    grow(&shop, &long, count).await;
    tell(&format!("{count} movements in {:.1} s\n", begun.elapsed().as_secs_f64()));

    let begun = Instant::now();
    let found = check_all(&shop, &mut campaign).await;
    campaign.finds(found);
    campaign.healed_in(begun.elapsed());
    tell(&format!(
        "verified in {:.1} s, {} checks ran out of time\n",
        begun.elapsed().as_secs_f64(),
        campaign.faults
    ));

    let staff = shop.staff().await;
    for product in [&long, &short] {
        for _ in 0..NEW {
            staff.put(&format!("/products/{product}/stock"), json!({ "delta": 1 })).await.expect(200);
        }
    }
    let profiler = Profiler::of(mongod::shared_for_tests().await.unwrap(), &shop.database).await;
    profiler.begin_at(&["stock_movements"]).await;
    let found = violations(&check(&shop).await.expect(200));
    let queries = profiler.end().await;
    campaign.finds(found);
    let keys: i64 = queries.iter().map(|query| query.keys).sum();
    tell(&format!("{keys} keys of movements read in {} queries\n", queries.len()));
    campaign.holds(!queries.is_empty(), || "no query of movements was noted".to_owned());
    campaign.holds(keys <= MOST, || format!("{keys} keys read for {} new movements", 2 * NEW));
    let after = median(&shop).await;
    tell(&format!(
        "a check takes {:.1} ms, without movements {:.1} ms: {:.2} x\n",
        after.as_secs_f64() * 1_000.0,
        before.as_secs_f64() * 1_000.0,
        after.as_secs_f64() / before.as_secs_f64(),
    ));

    // A movement by hand: the sum of the rest is no longer the count, and all is added up again.
    let id = mongo::uuid(long.parse::<ProductId>().unwrap());
    let last = doc! { "product": id, "number": count + NEW + 1 };
    let movements = shop.database.collection::<Document>("stock_movements");
    let changed = movements.update_one(last, doc! { "$inc": { "delta": 1_i64 } }).await.unwrap();
    campaign.holds(changed.modified_count == 1, || "the last movement is not there".to_owned());
    let found = check_all(&shop, &mut campaign).await;
    campaign.holds(found.iter().any(|it| it.contains(&long)), || {
        format!("a changed movement is not found: {found:?}")
    });
    campaign.end();
}
