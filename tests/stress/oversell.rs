//! Oversell: 64 clients ask for more than there is, of hot and cold products in any order of lines. What was promised
//! is never more than what is there, and in the end it is all of it.

use futures::StreamExt as _;
use futures::stream;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use serde_json::{Value, json};
use shared::auth::Role;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address};

use crate::campaign::{Campaign, is_long};
use crate::recovery;

const PRODUCTS: usize = 100;
const CLIENTS: usize = 64;

/// Number of repeats of an order that was answered 503.
const TRIES: usize = 10;

/// A line: which of the products, and how many pieces.
type Line = (usize, i64);

/// One to four lines of different products. The first product is in every third order; the lines are in any order,
/// so that two orders often name the same products the other way round.
fn cart(chance: &mut StdRng) -> Vec<Line> {
    let count = chance.random_range(1..=4);
    let mut products = sample(chance, PRODUCTS, count).into_vec();
    if chance.random_ratio(1, 3) && !products.contains(&0) {
        let place = chance.random_range(0..count);
        products[place] = 0;
    }
    products.into_iter().map(|product| (product, chance.random_range(1..=3))).collect()
}

/// Orders until the answer is no 503. How often it was is counted as well.
async fn orders(person: &Person, key: &str, lines: &[(&str, i64)]) -> (Answer, usize) {
    let items: Vec<Value> =
        lines.iter().map(|(product, count)| json!({ "product_id": product, "quantity": count })).collect();
    let body = json!({ "items": items, "shipping_address": address() });
    for refused in 0..TRIES {
        let request = person.request(http::Method::POST, "/orders").header("idempotency-key", key);
        let answer = person.outcome(request.json(&body)).await.unwrap();
        if answer.status != 503 {
            return (answer, refused);
        }
        answer.expect(503);
    }
    panic!("an order was answered 503 {TRIES} times");
}

/// Quantity of each product that these answers promised.
fn promised<'a>(answers: impl IntoIterator<Item = &'a (Answer, Vec<Line>)>) -> Vec<i64> {
    let mut promised = vec![0; PRODUCTS];
    for (answer, lines) in answers {
        for &(product, quantity) in lines.iter().filter(|_| answer.status == 201) {
            promised[product] += quantity;
        }
    }
    promised
}

/// Orders of one piece until there is none left. How many there were.
async fn buys_the_rest(shop: &InProcess, person: &Person, product: &str) -> i64 {
    let (_, _, available) = shop.stock(product).await;
    for _ in 0..available {
        person.orders(&[(product, 1)]).await.expect(201);
    }
    person.orders(&[(product, 1)]).await.problem(409, "insufficient-stock");
    available
}

#[tokio::test]
#[ignore = "a campaign: see main.rs"]
async fn of_what_64_clients_ask_for_not_one_piece_too_many_is_promised_and_the_last_one_is() {
    let mut campaign = Campaign::begin("oversell");
    let mut chance = campaign.chance();
    let carts: Vec<Vec<Line>> =
        (0..if is_long() { 10_000 } else { 1_000 }).map(|_| cart(&mut chance)).collect();
    let mut wanted = vec![0; PRODUCTS];
    for (product, quantity) in carts.iter().flatten() {
        wanted[*product] += quantity;
    }
    // Half of what is asked for, more or less.
    let stock: Vec<i64> = wanted.iter().map(|wanted| wanted * chance.random_range(30..=70) / 100).collect();

    let shop = InProcess::open().await;
    let products: Vec<String> =
        stream::iter(&stock).map(|count| shop.product(*count)).buffered(8).collect().await;
    let clients = shop.people(Role::Customer, CLIENTS);
    let answers: Vec<(Answer, Vec<Line>)> = stream::iter(carts.into_iter().enumerate())
        .map(|(place, cart)| {
            let (client, products) = (&clients[place % CLIENTS], &products);
            async move {
                let lines: Vec<(&str, i64)> =
                    cart.iter().map(|(product, count)| (products[*product].as_str(), *count)).collect();
                let (answer, refused) = orders(client, &place.to_string(), &lines).await;
                ((answer, cart), refused)
            }
        })
        .buffer_unordered(CLIENTS)
        .map(|(answered, refused)| {
            campaign.faults += refused;
            answered
        })
        .collect()
        .await;
    campaign.cases = answers.len();
    let promised = promised(&answers);
    let mut short = 0;
    for (answer, _) in answers {
        if answer.status != 201 {
            answer.problem(409, "insufficient-stock");
            short += 1;
        }
    }
    campaign.holds(short > campaign.cases / 10, || format!("only {short} orders met a shortage"));

    for (product, id) in products.iter().enumerate() {
        let (on_hand, promised) = (stock[product], promised[product]);
        let there = shop.stock(id).await;
        campaign.holds(there == (on_hand, promised, on_hand - promised) && promised <= on_hand, || {
            format!("{promised} of {on_hand} were promised, and the stock is {there:?}")
        });
    }
    let rest = stream::iter(products.iter().enumerate())
        .map(|(place, product)| buys_the_rest(&shop, &clients[place % CLIENTS], product))
        .buffer_unordered(CLIENTS)
        .fold(0, async |all, bought| all + bought)
        .await;
    campaign.cases += usize::try_from(rest).unwrap();
    for (product, on_hand) in products.iter().zip(stock) {
        let there = shop.stock(product).await;
        campaign.holds(there == (on_hand, on_hand, 0), || format!("not sold out: {there:?} of {on_hand}"));
    }
    let healed = recovery::heals(&shop, &shop.database).await;
    campaign.healed_in(healed.unwrap());
    campaign.finds(recovery::violations(&shop, &shop.database).await);
    campaign.end();
}
