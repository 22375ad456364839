//! What a page of each list costs where there is much: how many keys and documents MongoDB looks at, for the very
//! queries that the stores have sent. Times are told, and nothing is asserted of them.
//!
//! `OMS_LISTS_AT=mongodb://HOST:PORT/DATABASE?…` measures what `cargo local load` has left there, instead of loading;
//! `OMS_LISTS=TEXT` only lists that have this in their path and query.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use local::backend;
use local::seed::{self, Amounts};
use mongod::{Data, Mongod, Options};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use rand::seq::SliceRandom as _;
use shared::input::page::Position;
use uuid::Uuid;

use crate::campaign::{Campaign, is_long, tell};
use crate::lists::{Busiest, Kind, List, Who, expected};
use crate::profile::{Plan, Profiler, Query};

/// The page that is compared with the first.
const DEEP: usize = 1_000;

/// Length of those pages, in lists that have so many.
const LIMIT: usize = 20;

/// Pages walked of a list with combined filters: in the short form, and in full.
const PAGES: [usize; 2] = [20, 100];

/// The most keys that a page of a list with combined filters looks at.
const MOST: i64 = 5_000;

/// If so many documents match a filter with an index of its own, or fewer, a page reads them all and sorts.
const FEW: i64 = 5_000;

/// Number of words of a search whose frequency is asked.
const PROBES: i64 = 3;

/// The most statuses, or other known values, that stand before the bounds of a lookup in its index.
const STRETCHES: i64 = 7;

/// Number of timings of a page.
const TIMES: usize = 9;

/// Cost of a page.
#[derive(Clone, Debug, Default)]
struct Cost {
    keys: i64,
    documents: i64,
    /// Violation, if there is one.
    faults: Vec<String>,
    is_sorted: bool,
    scans: i64,
}

/// A list that was measured.
struct Row {
    list: List,
    limit: usize,
    first: Cost,
    /// Which page is compared with the first: the thousandth or the last; of combined filters and searches the dearest.
    page: usize,
    then: Cost,
    /// Time of the first page, in multiples of reading an element by its ID.
    floors: f64,
    /// Time of the other page, in multiples of the first.
    ratio: f64,
}

/// Lists of a short run, by chance.
const SHORT: usize = 60;

/// The data, and whoever measures in it.
struct Measuring {
    database: Database,
    profiler: Profiler,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn a_page_of_any_list_costs_what_is_on_it_or_a_bounded_number_of_keys_wherever_it_begins() {
    let mut campaign = Campaign::begin("lists");
    let (server, uri) = match std::env::var("OMS_LISTS_AT") {
        Ok(uri) => (None, uri),
        Err(_) => {
            let binary =
                tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| ())).await.unwrap().unwrap();
            // Its own: so much data is in the way of other campaigns.
            let server = Mongod::start(Options::new(binary, Data::Ephemeral)).await.unwrap();
            let uri = server.uri().to_owned();
            (Some(server), uri)
        }
    };
    let database = shared::mongo::connect(&uri, "tests").await.unwrap();
    if server.is_some() {
        let amounts = if is_long() {
            Amounts { products: 100_000, orders: 1_000_000, users: 20_000 }
        } else {
            // So many that some words are in more products than a search reads, and a list has a thousand pages.
            Amounts { products: 12_000, orders: 30_000, users: 2_000 }
        };
        backend::ensure_schema(&database).await.unwrap();
        let say = |line: &str| tell(&format!("{line}\n"));
        seed::fill(&database, amounts, None, &mut campaign.chance(), &say).await.unwrap();
        // No loaded order has a number at another system.
        let numbered = doc! { "$set": { "external_number": "SHOP-1" } };
        let orders = database.collection::<Document>("orders");
        orders.update_one(doc! { "number": { "$exists": true } }, numbered).await.unwrap();
    }

    let profiler = Profiler::of(&uri, &database).await;
    let mut lists = Busiest::of(&database).await.lists();
    let only = std::env::var("OMS_LISTS").unwrap_or_default();
    lists.retain(|list| format!("{}?{}", list.path, list.query).contains(&only));
    if !is_long() {
        lists.shuffle(&mut campaign.chance());
        lists.truncate(SHORT);
    }
    let measuring = Measuring { database, profiler };
    tell(
        "\n| list | limit | keys | documents | page | keys | documents | sort | first page / one by ID | page / first |\n",
    );
    tell("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for list in lists {
        let row = match list.kind {
            Kind::Indexed | Kind::One => measuring.indexed(list, &mut campaign).await,
            Kind::Combined | Kind::Lookup | Kind::Search => measuring.walked(list, &mut campaign).await,
        };
        campaign.cases += 1;
        row.tell();
        row.judge(&mut campaign);
    }
    drop(measuring);
    if let Some(server) = server {
        server.stop().await;
    }
    campaign.end();
}

impl Measuring {
    /// The first page and the thousandth, else the last: of 20 elements, or fewer so that there are a thousand.
    async fn indexed(&self, list: List, campaign: &mut Campaign) -> Row {
        let queries = self.queries(&list, LIMIT, None).await;
        // The list without a place where it begins: the whole of it.
        let whole = queries.last().unwrap();
        let length = self.profiler.length(whole, DEEP * LIMIT).await;
        let limit = (length / DEEP).clamp(1, LIMIT);
        let deep = length.div_ceil(limit).clamp(1, DEEP);
        let begin = match (deep - 1) * limit {
            0 => None,
            before => Some(self.profiler.position(whole, before, list.sorted_by()).await),
        };
        let first = self.sum(limit, &self.queries(&list, limit, None).await).await;
        let then = self.sum(limit, &self.queries(&list, limit, begin.as_ref()).await).await;
        let (ids, _) = list.page(&self.database, limit, begin.as_ref()).await;
        let there = self.profiler.ids(whole, (deep - 1) * limit, limit).await;
        campaign.holds(ids == there, || format!("{list:?} skips or repeats something before page {deep}"));
        self.row(list, limit, first, deep, then, begin.as_ref()).await
    }

    /// Queries to MongoDB for a page.
    async fn queries(&self, list: &List, limit: usize, begin: Option<&Position>) -> Vec<Query> {
        self.profiler.begin().await;
        list.page(&self.database, limit, begin).await;
        self.profiler.end().await
    }

    /// The first page and the dearest of all, or of as many as are walked. A search has neither more nor less than it
    /// should.
    async fn walked(&self, list: List, campaign: &mut Campaign) -> Row {
        let pages = PAGES[usize::from(is_long())];
        let (limit, most) = if list.kind == Kind::Search { (100, usize::MAX) } else { (LIMIT, pages) };
        let mut begins: Vec<Option<Position>> = vec![None];
        let mut seen: Vec<Uuid> = Vec::new();
        self.profiler.begin().await;
        let is_whole = loop {
            let begin = begins.last().unwrap().as_ref();
            let (ids, next) = list.page(&self.database, limit, begin).await;
            campaign.holds(ids.len() <= limit, || format!("{list:?}: a page of {}", ids.len()));
            seen.extend(ids);
            match next {
                None => break true,
                Some(_) if begins.len() == most => break false,
                next => begins.push(next),
            }
        };
        let pages = by_page(self.profiler.end().await, limit);
        assert_eq!(pages.len(), begins.len(), "{list:?}");
        let different: HashSet<&Uuid> = seen.iter().collect();
        campaign.holds(different.len() == seen.len(), || format!("{list:?} repeats elements"));
        if let Some((filter, sort)) = list.expected.clone() {
            let expected = expected(&self.database, filter, sort).await;
            campaign.holds(is_whole && seen == expected, || {
                format!("{list:?} has {} elements, and should have {}", seen.len(), expected.len())
            });
        }
        let keys = |place: &usize| pages[*place].iter().map(|query| query.keys).sum::<i64>();
        let dearest = (0..pages.len()).max_by_key(keys).unwrap();
        let first = self.sum(limit, &pages[0]).await;
        let then = self.sum(limit, &pages[dearest]).await;
        self.row(list, limit, first, dearest + 1, then, begins[dearest].as_ref()).await
    }

    async fn row(
        &self,
        list: List,
        limit: usize,
        first: Cost,
        page: usize,
        then: Cost,
        begin: Option<&Position>,
    ) -> Row {
        let of = |begin| {
            let list = &list;
            move || list.page(&self.database, limit, begin)
        };
        let floor = time(|| list.one(&self.database)).await;
        let at_first = time(of(None)).await;
        let at_then = time(of(begin)).await;
        let (floors, ratio) = (at_first.div_duration_f64(floor), at_then.div_duration_f64(at_first));
        Row { list, limit, first, page, then, floors, ratio }
    }

    /// Total cost of the queries of one page, with the rules that none may break.
    async fn sum(&self, limit: usize, queries: &[Query]) -> Cost {
        let mut cost = Cost::default();
        if queries.is_empty() {
            cost.faults.push("no query was noted".to_owned());
        }
        for query in queries {
            if !query.command.contains_key("find") {
                cost.faults.push(format!("it is no find: {}", query.command));
                continue;
            }
            let Plan { scans, sorts, reads_all, keys } = self.profiler.explain(query).await;
            cost.keys += query.keys.max(keys);
            cost.documents += query.documents;
            cost.scans += scans;
            cost.is_sorted |= query.sorts || !sorts.is_empty();
            let most = i64::try_from(limit).unwrap() + 1;
            if reads_all {
                cost.faults.push("it reads the whole collection".to_owned());
            }
            if sorts.iter().any(|kept| kept.is_none_or(|kept| kept > most)) {
                cost.faults.push(format!("it sorts more than a page: {sorts:?}"));
            }
            if query.documents > FEW {
                cost.faults.push(format!("it reads {} documents", query.documents));
            }
        }
        cost
    }
}

/// Median time of a call.
async fn time<F: Future>(work: impl Fn() -> F) -> Duration {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        work().await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[TIMES / 2]
}

impl Row {
    fn name(&self) -> String {
        let List { path, query, who, .. } = &self.list;
        let who = match who {
            Who::Admin => "",
            Who::Anyone => " (anyone)",
            Who::Customer(_) => " (own)",
        };
        // IDs and times are longer than all else.
        let short: Vec<String> = query
            .split('&')
            .map(|it| match it.split_once('=') {
                Some((name, value)) if value.len() > 20 || name == "number" => format!("{name}=…"),
                _ => it.to_owned(),
            })
            .collect();
        format!("{path} {}{who}", short.join(" "))
    }

    fn tell(&self) {
        let Self { limit, first, page, then, floors, ratio, .. } = self;
        let sort = if first.is_sorted || then.is_sorted { "of a page" } else { "none" };
        tell(&format!(
            "| {} | {limit} | {} | {} | {page} | {} | {} | {sort} | {floors:.1} | {ratio:.1} |\n",
            self.name(),
            first.keys,
            first.documents,
            then.keys,
            then.documents
        ));
    }

    /// Notes what is not as it should be.
    fn judge(&self, campaign: &mut Campaign) {
        let name = self.name();
        let length = i64::try_from(self.limit).unwrap() + 1;
        for (page, cost) in [(1, &self.first), (self.page, &self.then)] {
            campaign.finds(cost.faults.iter().map(|fault| format!("{name}, page {page}: {fault}")));
            let Cost { keys, scans, is_sorted, .. } = *cost;
            // To ask whether few documents match. Each range has a key where it begins and one that shows its end.
            let probe = FEW + 1 + 2 * STRETCHES;
            let most = match self.list.kind {
                Kind::Indexed => length + 2 * scans,
                Kind::One => 1,
                Kind::Combined => MOST,
                Kind::Lookup => probe + MOST + 2 * STRETCHES,
                Kind::Search => (PROBES + self.list.other_lookups()) * probe + MOST + 2 * STRETCHES,
            };
            campaign.holds(keys <= most, || format!("{name}, page {page}: {keys} keys, more than {most}"));
            let may_sort = matches!(self.list.kind, Kind::Lookup | Kind::Search);
            campaign.holds(!is_sorted || may_sort, || format!("{name}, page {page}: it sorts in memory"));
        }
        if self.list.kind == Kind::Indexed {
            let most = self.first.keys + 2 * self.then.scans;
            campaign.holds(self.then.keys <= most, || {
                let (then, first) = (self.then.keys, self.first.keys);
                format!("{name}: page {} costs {then} keys, and the first {first}", self.page)
            });
        }
    }
}

/// The queries of each page: the last of a page asks for one element more than is on it.
fn by_page(queries: Vec<Query>, limit: usize) -> Vec<Vec<Query>> {
    let fetch = i64::try_from(limit).unwrap() + 1;
    let (mut pages, mut page) = (Vec::new(), Vec::new());
    for query in queries {
        let is_last = query.command.get_i64("limit").is_ok_and(|limit| limit == fetch);
        page.push(query);
        if is_last {
            pages.push(std::mem::take(&mut page));
        }
    }
    assert!(page.is_empty(), "queries of no page: {page:?}");
    pages
}
