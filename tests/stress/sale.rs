//! A sale: 64 buyers of one hot product, of whom some cancel, and some buy other products with it. Staff correct its
//! count meanwhile, and Reconcile runs. It is sold to the last piece, and no request is answered 503.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use mongodb::bson::{Bson, Document, doc};
use orders::entry_id;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::auth::Role;
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address, to};

use crate::campaign::{Campaign, is_long, tell};
use crate::recovery;

const BUYERS: usize = 64;

/// Number of products that are bought beside the hot one.
const OTHERS: usize = 16;

/// Percentage of buyers who cancel, and of orders with several items.
const SHARE: u32 = 30;

/// Pause between two corrections of the count.
const CORRECTED_EVERY: Duration = Duration::from_millis(50);

/// Pause between two runs of Reconcile.
const RECONCILED_EVERY: Duration = Duration::from_secs(1);

/// Times of requests by their kind, and answers that should not be.
#[derive(Default)]
struct Noted {
    times: BTreeMap<&'static str, Vec<Duration>>,
    wrong: Vec<String>,
}

/// Sale in progress.
struct Sale<'a> {
    shop: &'a InProcess,
    hot: &'a str,
    others: &'a [String],
    noted: Mutex<Noted>,
    is_over: AtomicBool,
}

impl Sale<'_> {
    fn note(&self, kind: &'static str, took: Duration) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.times.entry(kind).or_default().push(took);
    }

    fn finds(&self, wrong: String) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).wrong.push(wrong);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Sends a request, and notes its time. `None` if its answer is none of these.
    async fn sends(
        &self,
        kind: &'static str,
        person: &Person,
        (method, path): (Method, &str),
        body: Value,
        expected: &[u16],
    ) -> Option<Answer> {
        let begun = Instant::now();
        let answer = person.outcome(person.request(method, path).json(&body)).await;
        self.note(kind, begun.elapsed());
        match answer {
            Ok(answer) if expected.contains(&answer.status.as_u16()) => Some(answer),
            Ok(answer) => {
                self.finds(format!("{kind}: {} {}", answer.status, answer.body));
                None
            }
            Err(lost) => {
                self.finds(format!("{kind}: {lost}"));
                None
            }
        }
    }

    /// Items of an order: one of the hot product, and with it perhaps one to three of others, in any order.
    fn cart(&self, chance: &mut StdRng) -> Vec<Value> {
        let mut products = vec![self.hot];
        if chance.random_ratio(SHARE, 100) {
            let count = chance.random_range(1..=3);
            let others = rand::seq::index::sample(chance, self.others.len(), count);
            products.extend(others.into_iter().map(|other| self.others[other].as_str()));
            let place = chance.random_range(0..products.len());
            products.swap(0, place);
        }
        products.into_iter().map(|product| json!({ "product_id": product, "quantity": 1 })).collect()
    }

    /// Buys until the hot product is sold out. The number of orders.
    async fn buys(&self, buyer: &Person, mut chance: StdRng) -> usize {
        let mut orders = 0;
        loop {
            let items = self.cart(&mut chance);
            let kind = if items.len() == 1 { "one item" } else { "several items" };
            let order = json!({ "items": items, "shipping_address": address() });
            let answer = self.sends(kind, buyer, (Method::POST, "/orders"), order, &[201, 409]).await;
            orders += 1;
            let Some(answer) = answer else { return orders };
            if answer.status == 409 {
                answer.problem(409, "insufficient-stock");
                return orders;
            }
            if chance.random_ratio(SHARE, 100) {
                let path = format!("/orders/{}", answer.id());
                let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
                if items.len() > 1 && chance.random_bool(0.5) {
                    let item = &items[chance.random_range(0..items.len())]["id"];
                    let (path, body) = (
                        format!("{path}/cancellations"),
                        json!({ "items": [{ "id": item, "quantity": 1 }] }),
                    );
                    self.sends("cancel an item", buyer, (Method::POST, &path), body, &[201]).await;
                } else {
                    self.sends("cancel", buyer, (Method::PUT, &path), to("cancelled"), &[200]).await;
                }
            }
        }
    }

    /// Corrects the count of the hot product until the sale is over, up and down.
    async fn corrects(&self, staff: &Person) {
        let path = format!("/products/{}/stock", self.hot);
        while !self.is_over() {
            for delta in [1, -1] {
                let delta = json!({ "delta": delta });
                // There may be none left to take away.
                self.sends("count", staff, (Method::PUT, &path), delta, &[200, 409]).await;
                tokio::time::sleep(CORRECTED_EVERY).await;
            }
        }
    }

    async fn reconciles(&self) {
        while !self.is_over() {
            let begun = Instant::now();
            if let Err(status) = recovery::reconciles(self.shop).await {
                self.finds(format!("Reconcile: {status}"));
            }
            self.note("Reconcile", begun.elapsed());
            tokio::time::sleep(RECONCILED_EVERY).await;
        }
    }

    /// Prints the times of each kind of request.
    fn tells(&self) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        tell("\n| request | count | p50 | p99 | max |\n| --- | --- | --- | --- | --- |\n");
        for (kind, times) in &mut noted.times {
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_millis();
            tell(&format!("| {kind} | {} | {} ms | {} ms | {} ms |\n", times.len(), at(50), at(99), at(100)));
        }
    }
}

/// Units of a product in the orders that are placed, without cancelled ones.
async fn ordered(shop: &InProcess, product: &str) -> i64 {
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    let orders = shop.database.collection::<Document>("orders");
    let of_product = doc! { "status": "placed", "items.product_id": id };
    let fields = doc! { "items": 1, "cancellations": 1 };
    let mut found = orders.find(of_product).projection(fields).await.unwrap();
    let mut units = 0;
    while found.advance().await.unwrap() {
        let order = found.deserialize_current().unwrap();
        let Some(Bson::Binary(order_id)) = order.get("_id") else { panic!("{order}") };
        let order_id: OrderId = mongo::id(order_id.to_uuid().unwrap());
        let item = Bson::from(mongo::uuid(entry_id::of_item(order_id, product.parse().unwrap())));
        units += quantity(order.get_array("items").unwrap(), "product_id", &Bson::from(id));
        let cancellations = order.get_array("cancellations").into_iter().flatten();
        for cancellation in cancellations.filter_map(Bson::as_document) {
            units -= quantity(cancellation.get_array("items").unwrap(), "id", &item);
        }
    }
    units
}

/// Sum of the quantities of elements with this ID.
fn quantity(elements: &[Bson], field: &str, id: &Bson) -> i64 {
    let elements = elements.iter().filter_map(Bson::as_document);
    elements.filter(|it| it.get(field) == Some(id)).map(|it| it.get_i64("quantity").unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_hot_product_is_sold_to_the_last_piece_without_a_503() {
    let mut campaign = Campaign::begin("sale");
    let mut chance = campaign.chance();
    let pieces = if is_long() { 100_000 } else { 600 };
    let shop = InProcess::open().await;
    let hot = shop.product(pieces).await;
    let others = join_all((0..OTHERS).map(|_| shop.product(pieces))).await;
    let (buyers, staff) = (shop.people(Role::Customer, BUYERS), shop.people(Role::Staff, 1));
    let sale = Sale {
        shop: &shop,
        hot: &hot,
        others: &others,
        noted: Mutex::default(),
        is_over: AtomicBool::new(false),
    };

    let bought = async {
        let all = buyers.iter().map(|buyer| sale.buys(buyer, StdRng::seed_from_u64(chance.random())));
        let orders: usize = join_all(all.collect::<Vec<_>>()).await.into_iter().sum();
        sale.is_over.store(true, Ordering::SeqCst);
        orders
    };
    let (orders, (), ()) = tokio::join!(bought, sale.corrects(&staff[0]), sale.reconciles());
    campaign.cases = orders;
    let (on_hand, reserved, available) = shop.stock(&hot).await;
    campaign.holds(reserved + available == on_hand && available >= 0, || {
        format!("oversold: {reserved} of {on_hand}")
    });
    sale.tells();
    let Noted { times, wrong } = sale.noted.into_inner().unwrap_or_else(PoisonError::into_inner);
    for kind in ["one item", "several items", "cancel", "cancel an item", "count", "Reconcile"] {
        campaign.holds(times.contains_key(kind), || format!("no request of the kind {kind}"));
    }
    campaign.faults = wrong.iter().filter(|it| it.contains(": 503")).count();
    campaign.finds(wrong);
    let healed = recovery::heals(&shop, &shop.database).await;
    campaign.healed_in(healed.unwrap());
    // What was cancelled, or freed by Reconcile, after others were refused.
    let (_, _, available) = shop.stock(&hot).await;
    for _ in 0..available {
        buyers[0].orders(&[(&hot, 1)]).await.expect(201);
    }
    buyers[0].orders(&[(&hot, 1)]).await.problem(409, "insufficient-stock");
    for product in others.iter().chain([&hot]) {
        let (on_hand, reserved, available) = shop.stock(product).await;
        let ordered = ordered(&shop, product).await;
        campaign.holds(reserved == ordered && reserved + available == on_hand, || {
            format!("{product}: {ordered} ordered, {reserved} reserved of {on_hand}")
        });
    }
    let (on_hand, reserved, _) = shop.stock(&hot).await;
    campaign.holds(reserved == on_hand, || format!("not sold out: {reserved} of {on_hand}"));
    campaign.finds(recovery::violations(&shop, &shop.database).await);
    campaign.end();
}
