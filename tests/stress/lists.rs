//! The lists that the campaign [`explains`](crate::explains) measures: each filter, with `status` and with others, in
//! each order.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{self, Document, doc};
use orders::store::OrderStore;
use products::product::Status;
use products::store::ProductStore;
use shared::input::page::{PageRequest, Position, SortType};
use shared::input::query::Query;
use shared::mongo;
use shared::mongo::keyset::SortKey;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId, UserId};
use users::store::UserStore;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

/// Cost limits of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An index knows all of it: a page costs its elements, wherever it begins.
    Indexed,
    /// Some filters are looked up in the documents: a page looks at a bounded part of the list.
    Combined,
    /// One element is looked up.
    One,
    /// A filter has an index of its own: a page reads its few documents and sorts them, or is as if combined.
    Lookup,
    /// Words are looked for.
    Search,
}

/// Caller of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Admin,
    Anyone,
    Customer(UserId),
}

/// A list.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// The path without parameters.
    pub(crate) path: &'static str,
    /// The parameters, but for `limit` and `cursor`.
    pub(crate) query: String,
    pub(crate) kind: Kind,
    pub(crate) who: Who,
    /// For a search, what the list must have, as a query and a sort without any of the lists' own code.
    pub(crate) expected: Option<(Document, Document)>,
    /// One of its collection.
    one: Uuid,
}

impl List {
    /// A page of it by the store's own code: the IDs that are on it, and where the next one begins.
    pub(crate) async fn page(
        &self,
        database: &Database,
        limit: usize,
        after: Option<&Position>,
    ) -> (Vec<Uuid>, Option<Position>) {
        let page = PageRequest::new(Some(i64::try_from(limit).unwrap()), None).unwrap();
        let query = Some(self.query.as_str()).filter(|query| !query.is_empty());
        match self.path {
            "/orders" => {
                let listing = Query::parse(query, &orders::http::LIST_ORDERS.query_names());
                let listing = orders::listing::Listing::from_query(&listing.unwrap()).unwrap();
                let of = match self.who {
                    Who::Customer(user) => Some(user),
                    Who::Admin | Who::Anyone => listing.user_id,
                };
                let found = OrderStore::new(database).list(&listing, of, &page, after).await.unwrap();
                (found.data.iter().map(|it| it.id.uuid()).collect(), found.next)
            }
            "/products" => {
                let listing = Query::parse(query, &products::http::LIST_PRODUCTS.query_names());
                let listing = products::listing::Listing::from_query(&listing.unwrap()).unwrap();
                let mut statuses = match self.who {
                    Who::Anyone => vec![Status::Active],
                    Who::Admin | Who::Customer(_) => Status::ALL.to_vec(),
                };
                statuses.retain(|status| listing.status.as_ref().is_none_or(|asked| asked.contains(status)));
                let store = ProductStore::new(database);
                let found = store.list(&listing, &statuses, &page, after).await.unwrap();
                (found.data.iter().map(|it| it.id.uuid()).collect(), found.next)
            }
            _ => {
                let listing = Query::parse(query, &users::http::LIST_USERS.query_names());
                let listing = users::listing::Listing::from_query(&listing.unwrap()).unwrap();
                let found = UserStore::new(database).list(&listing, &page, after).await.unwrap();
                (found.data.iter().map(|it| it.id.uuid()).collect(), found.next)
            }
        }
    }

    /// One element of such a list, read by its ID: what a page is compared with.
    pub(crate) async fn one(&self, database: &Database) {
        match self.path {
            "/orders" => {
                drop(OrderStore::new(database).find(OrderId::from_uuid(self.one)).await.unwrap().unwrap())
            }
            "/products" => {
                drop(
                    ProductStore::new(database).find(ProductId::from_uuid(self.one)).await.unwrap().unwrap(),
                );
            }
            _ => drop(UserStore::new(database).find(UserId::from_uuid(self.one)).await.unwrap().unwrap()),
        }
    }

    /// Number of lookups of a search beside its words: by the last change, or by a currency in that order.
    pub(crate) fn other_lookups(&self) -> i64 {
        let is_by_change = self.sorted_by().field == "updated_at";
        let asks = if is_by_change { "currency=" } else { "updated_" };
        i64::from(self.query.split('&').any(|it| it.starts_with(asks)))
    }

    /// Sort of the list.
    pub(crate) fn sorted_by(&self) -> SortKey {
        let sort = self.query.split('&').find_map(|it| it.strip_prefix("sort=")).unwrap_or("-created_at");
        let (field, of) = match sort.trim_start_matches('-') {
            "total" => ("total", SortType::Integer),
            "name" => ("name_key", SortType::Text),
            "price" => ("price.amount", SortType::Integer),
            "updated_at" => ("updated_at", SortType::Time),
            _ => ("created_at", SortType::Time),
        };
        SortKey { field, of, descending: sort.starts_with('-') }
    }
}

fn list(path: &'static str, kind: Kind, query: impl Into<String>) -> List {
    List { path, query: query.into(), kind, who: Who::Admin, expected: None, one: Uuid::nil() }
}

/// The values that most documents have, which are the longest lists.
pub(crate) struct Busiest {
    user: UserId,
    product: ProductId,
    /// A product that this user has ordered.
    product_of_user: ProductId,
    order: Uuid,
    number: String,
    /// Number at another system; none if the orders have none.
    external_number: Option<String>,
    /// Reference of a payment.
    reference: String,
    /// Number of a parcel.
    tracking: String,
    /// SKU of the product that most orders have.
    ordered_sku: String,
    sku: String,
    email: String,
    /// Words that the most products have, the most frequent first.
    words: Vec<(String, i64)>,
}

impl Busiest {
    pub(crate) async fn of(database: &Database) -> Self {
        let user = top(database, "orders", vec![], "$user_id").await;
        let product = top(database, "orders", vec![doc! { "$unwind": "$items" }], "$items.product_id").await;
        let own = vec![doc! { "$match": { "user_id": user } }, doc! { "$unwind": "$items" }];
        let product_of_user = top(database, "orders", own, "$items.product_id").await;
        let some = |collection: &str, field: &'static str| {
            let collection = database.collection::<Document>(collection);
            async move {
                let found = collection.find_one(doc! { field: { "$exists": true } }).await.unwrap().unwrap();
                found.get_str(field).unwrap().to_owned()
            }
        };
        let orders = database.collection::<Document>("orders");
        let numbered = orders.find_one(doc! { "external_number": { "$type": "string" } }).await.unwrap();
        let external_number = numbered.map(|order| order.get_str("external_number").unwrap().to_owned());
        let paid = orders.find_one(doc! { "payments.0": { "$exists": true } }).await.unwrap().unwrap();
        let payment = paid.get_array("payments").unwrap()[0].as_document().unwrap();
        let shipped =
            orders.find_one(doc! { "tracking.number": { "$exists": true } }).await.unwrap().unwrap();
        let parcel = shipped.get_document("tracking").unwrap();
        let order = top(database, "orders", vec![doc! { "$limit": 1 }], "$_id").await;
        let words = vec![
            doc! { "$unwind": "$words" },
            doc! { "$group": { "_id": "$words", "count": { "$sum": 1_i64 } } },
            doc! { "$match": { "count": { "$gt": 1_i64 } } },
            doc! { "$sort": { "count": -1, "_id": 1 } },
        ];
        let products = database.collection::<Document>("products");
        let ordered = products.find_one(doc! { "_id": product }).await.unwrap().unwrap();
        let words = products.aggregate(words).allow_disk_use(true).await;
        let words: Vec<Document> = words.unwrap().try_collect().await.unwrap();
        let word = |it: &Document| (it.get_str("_id").unwrap().to_owned(), it.get_i64("count").unwrap());
        Self {
            user: mongo::id(user),
            product: mongo::id(product),
            product_of_user: mongo::id(product_of_user),
            order: Uuid::from_bytes(order.bytes()),
            number: some("orders", "number").await,
            external_number,
            reference: payment.get_str("reference").unwrap().to_owned(),
            tracking: parcel.get_str("number").unwrap().to_owned(),
            ordered_sku: ordered.get_str("sku").unwrap().to_owned(),
            sku: some("products", "sku").await,
            email: some("users", "email").await,
            words: words.iter().map(word).collect(),
        }
    }

    /// All lists that are measured.
    pub(crate) fn lists(&self) -> Vec<List> {
        let mut lists =
            [self.orders(), self.orders_looked_up(), self.products(), self.searches(), self.users()].concat();
        for list in &mut lists {
            list.one = match list.path {
                "/orders" => self.order,
                "/products" => self.product.uuid(),
                _ => self.user.uuid(),
            };
        }
        lists
    }

    fn orders(&self) -> Vec<List> {
        use Kind::{Combined, Indexed, One};
        let Self { user, product, product_of_user, number, .. } = self;
        let of = |kind, query: String| list("/orders", kind, query);
        let (from, to) = a_year();
        let year = format!("created_from={from}&created_to={to}");
        let mut lists = Vec::new();
        for sort in ["-created_at", "created_at", "total", "-total"] {
            lists.push(of(Indexed, format!("sort={sort}")));
            lists.push(of(Indexed, format!("user_id={user}&sort={sort}")));
            lists.push(of(Indexed, format!("product_id={product}&sort={sort}")));
        }
        for sort in ["updated_at", "-updated_at"] {
            lists.push(of(Indexed, format!("sort={sort}")));
            lists.push(of(Indexed, format!("status=delivered&sort={sort}")));
            lists.push(of(Indexed, format!("status=placed,paid,shipped&sort={sort}")));
            lists.push(of(Indexed, format!("updated_from={from}&sort={sort}")));
            lists.push(of(
                Indexed,
                format!("updated_from={from}&updated_to={to}&status=paid,delivered&sort={sort}"),
            ));
        }
        for sort in ["-created_at", "total"] {
            lists.push(of(Indexed, format!("status=cancelled,returned,refunded&sort={sort}")));
            lists.push(of(Indexed, format!("user_id={user}&status=shipped,delivered&sort={sort}")));
        }
        for sort in ["-created_at", "created_at"] {
            for status in ["refund_due", "refund_due,partial", "refunded"] {
                lists.push(of(Indexed, format!("payment_status={status}&sort={sort}")));
            }
        }
        lists.push(of(Indexed, format!("payment_status=refund_due,refunded&{year}")));
        for sort in ["-created_at", "created_at"] {
            for status in ["requested", "requested,partial", "returned"] {
                lists.push(of(Indexed, format!("return_status={status}&sort={sort}")));
            }
        }
        lists.push(of(Indexed, format!("return_status=returned&{year}")));
        for status in ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"] {
            lists.push(of(Indexed, format!("status={status}")));
            lists.push(of(Indexed, format!("status={status}&sort=total")));
        }
        for filter in [format!("user_id={user}"), format!("product_id={product}")] {
            for sort in ["-created_at", "total"] {
                lists.push(of(Indexed, format!("{filter}&status=delivered&sort={sort}")));
                lists.push(of(Indexed, format!("{filter}&status=refunded&sort={sort}")));
            }
            lists.push(of(Indexed, format!("{filter}&{year}")));
            lists.push(of(Indexed, format!("{filter}&{year}&status=delivered")));
            lists.push(of(Combined, format!("{filter}&{year}&sort=total")));
        }
        lists.push(of(Indexed, format!("created_from={from}")));
        lists.push(of(Indexed, format!("created_to={to}")));
        for sort in ["-created_at", "created_at"] {
            lists.push(of(Indexed, format!("{year}&sort={sort}")));
            lists.push(of(Indexed, format!("{year}&status=delivered&sort={sort}")));
        }
        for sort in ["total", "-total"] {
            lists.push(of(Combined, format!("{year}&sort={sort}")));
            lists.push(of(Combined, format!("{year}&status=cancelled&sort={sort}")));
        }
        let both = format!("user_id={user}&product_id={product_of_user}");
        for more in ["", "&status=delivered", "&sort=-total"] {
            lists.push(of(Combined, format!("{both}{more}")));
        }
        lists.push(of(Combined, format!("{both}&status=delivered&{year}&sort=total")));
        // Few are of one hour, and in the order of totals they are anywhere: most pages find nothing.
        let hour = from.after(Duration::from_secs(3_600));
        lists.push(of(Combined, format!("created_from={from}&created_to={hour}&sort=-total")));
        // No index has these statuses of payment, or none has them beside the other filter.
        for filter in ["paid", "unpaid", "paid,refund_due", "refund_due&status=cancelled"] {
            lists.push(of(Combined, format!("payment_status={filter}")));
        }
        lists.push(of(Combined, "payment_status=unpaid&sort=-updated_at".to_owned()));
        for filter in ["none", "none,requested", "returned&payment_status=refund_due"] {
            lists.push(of(Combined, format!("return_status={filter}")));
        }
        lists.push(of(Combined, format!("user_id={user}&payment_status=refund_due")));
        lists.push(of(One, format!("number={number}")));
        lists.push(of(One, format!("number={number}&status=delivered")));
        lists.push(of(One, format!("number={number}&status=paid,delivered&updated_from={from}")));
        let external_number = self.external_number.as_deref().unwrap_or("none");
        lists.push(of(One, format!("external_number={external_number}")));
        lists.push(of(One, format!("external_number={external_number}&payment_status=paid&user_id={user}")));
        lists.push(List { who: Who::Customer(*user), ..of(Indexed, String::new()) });
        lists.push(List {
            who: Who::Customer(*user),
            ..of(Indexed, "status=delivered&sort=total".to_owned())
        });
        lists
    }

    /// Orders by filters that have an index of their own.
    fn orders_looked_up(&self) -> Vec<List> {
        let Self { user, product, reference, tracking, ordered_sku: sku, .. } = self;
        let of = |query: String| list("/orders", Kind::Lookup, query);
        let (from, to) = a_year();
        // More than are read at once, and fewer.
        let year = format!("updated_from={from}&updated_to={to}");
        let hour = format!("updated_from={from}&updated_to={}", from.after(Duration::from_secs(3_600)));
        let mut lists = Vec::new();
        for changed in [&year, &hour] {
            for sort in ["-created_at", "created_at", "total", "-total"] {
                lists.push(of(format!("{changed}&sort={sort}")));
            }
            lists.push(of(format!("{changed}&status=delivered,cancelled")));
            lists.push(of(format!("{changed}&user_id={user}")));
            lists.push(of(format!("{changed}&product_id={product}&sort=total")));
            lists.push(of(format!("{changed}&payment_status=paid")));
        }
        for status in ["refund_due", "refunded"] {
            for sort in ["total", "-total", "updated_at", "-updated_at"] {
                lists.push(of(format!("payment_status={status}&sort={sort}")));
            }
        }
        for sort in ["-total", "updated_at"] {
            lists.push(of(format!("return_status=returned&sort={sort}")));
        }
        for sort in ["updated_at", "-updated_at"] {
            lists.push(of(format!("user_id={user}&sort={sort}")));
            lists.push(of(format!("user_id={user}&status=delivered&updated_from={from}&sort={sort}")));
            lists.push(of(format!("product_id={product}&sort={sort}")));
            lists.push(of(format!("product_id={product}&status=paid,cancelled&sort={sort}")));
            lists.push(of(format!("sku={sku}&sort={sort}")));
        }
        for sort in ["-created_at", "total"] {
            lists.push(of(format!("sku={sku}&sort={sort}")));
            lists.push(of(format!("sku={sku}&status=delivered&sort={sort}")));
        }
        lists.push(of("sku=NONE".to_owned()));
        for found in [format!("payment_reference={reference}"), format!("tracking_number={tracking}")] {
            for more in ["", "&sort=total", "&status=delivered,refunded&sort=-updated_at"] {
                lists.push(of(format!("{found}{more}")));
            }
        }
        let own = of("sort=-updated_at".to_owned());
        lists.push(List { who: Who::Customer(*user), ..own });
        lists
    }

    fn products(&self) -> Vec<List> {
        use Kind::{Combined, Indexed, Lookup, One};
        let of = |kind, query: String| list("/products", kind, query);
        let (from, to) = a_month();
        let mut lists = Vec::new();
        for sort in ["updated_at", "-updated_at"] {
            lists.push(of(Indexed, format!("sort={sort}")));
            lists.push(List { who: Who::Anyone, ..of(Indexed, format!("sort={sort}")) });
            lists.push(of(Indexed, format!("status=active,draft&sort={sort}")));
            lists.push(of(Indexed, format!("in_stock=true&sort={sort}")));
            lists.push(of(Indexed, format!("updated_from={from}&sort={sort}")));
            lists.push(of(Indexed, format!("updated_from={from}&updated_to={to}&status=active&sort={sort}")));
            for currency in ["EUR", "CHF"] {
                lists.push(of(Lookup, format!("currency={currency}&sort={sort}")));
            }
            let prices = "currency=EUR&min_price=2000&max_price=4000";
            lists.push(of(Lookup, format!("{prices}&status=active,draft&sort={sort}")));
        }
        for sort in ["-created_at", "name", "-price"] {
            lists.push(of(Indexed, format!("status=active,draft&sort={sort}")));
            lists.push(of(Lookup, format!("updated_from={from}&sort={sort}")));
            lists.push(of(Lookup, format!("updated_from={from}&updated_to={to}&sort={sort}")));
            lists.push(of(Lookup, format!("updated_from={from}&updated_to={to}&currency=EUR&sort={sort}")));
        }
        lists.push(of(Lookup, format!("updated_from={from}&updated_to={to}&status=active&in_stock=false")));
        for sort in ["-created_at", "created_at", "name", "-name", "price", "-price"] {
            lists.push(of(Indexed, format!("sort={sort}")));
            lists.push(List { who: Who::Anyone, ..of(Indexed, format!("sort={sort}")) });
            lists.push(of(Indexed, format!("currency=EUR&sort={sort}")));
        }
        for filter in ["status=active", "status=draft", "in_stock=true", "in_stock=false"] {
            for sort in ["-created_at", "name", "price"] {
                lists.push(of(Indexed, format!("{filter}&sort={sort}")));
            }
        }
        lists.push(of(Indexed, "in_stock=true&status=active".to_owned()));
        lists.push(of(Indexed, "currency=EUR&in_stock=true".to_owned()));
        lists.push(of(Indexed, "currency=EUR&in_stock=true&status=active&sort=name".to_owned()));
        lists.push(of(Indexed, "currency=EUR&status=active".to_owned()));
        for sort in ["price", "-price"] {
            for range in ["min_price=2000", "max_price=4000", "min_price=2000&max_price=4000"] {
                lists.push(of(Indexed, format!("currency=EUR&{range}&sort={sort}")));
            }
            let range = "min_price=2000&max_price=4000";
            lists.push(of(Indexed, format!("currency=EUR&{range}&status=active&sort={sort}")));
        }
        for sort in ["-created_at", "name"] {
            lists.push(of(Combined, format!("currency=EUR&min_price=2000&max_price=4000&sort={sort}")));
            let all = "currency=EUR&min_price=2000&max_price=2200&status=active&in_stock=true";
            lists.push(of(Combined, format!("{all}&sort={sort}")));
        }
        lists.push(of(Combined, "currency=EUR&min_price=100000000".to_owned()));
        lists.push(of(One, format!("sku={}", self.sku)));
        lists.push(of(One, format!("sku={}&status=active", self.sku)));
        lists.push(of(One, format!("sku={}&status=draft,archived&updated_from={from}", self.sku)));
        lists
    }

    /// Words that few products have, that more than 5,000 have, and both together.
    fn searches(&self) -> Vec<List> {
        let common: Vec<&str> =
            self.words.iter().filter(|(_, count)| *count > 5_000).map(|(word, _)| word.as_str()).collect();
        let few: Vec<&str> =
            self.words.iter().filter(|(_, count)| *count <= 5_000).map(|(word, _)| word.as_str()).collect();
        let (all, last) = (common[0], common[common.len() - 1]);
        let (many, rare) = (few[0], few[few.len() - 1]);
        let (from, _) = a_month();
        let changed = format!("&updated_from={from}");
        let sorts: [(&str, Document); 7] = [
            ("-created_at", doc! { "created_at": -1, "_id": -1 }),
            ("created_at", doc! { "created_at": 1, "_id": 1 }),
            ("name", doc! { "name_key": 1, "_id": 1 }),
            ("-name", doc! { "name_key": -1, "_id": -1 }),
            ("price", doc! { "price.amount": 1, "_id": 1 }),
            ("-price", doc! { "price.amount": -1, "_id": -1 }),
            ("-updated_at", doc! { "updated_at": -1, "_id": -1 }),
        ];
        let mut lists = Vec::new();
        let mut search = |words: &[&str], more: &str, filter: Document, (sort, order): &(&str, Document)| {
            let mut all = doc! { "words": { "$all": words } };
            all.extend(filter);
            let query = format!("q={}{more}&sort={sort}", words.join("%20"));
            let expected = Some((all, order.clone()));
            lists.push(List { expected, ..list("/products", Kind::Search, query) });
        };
        for sort in &sorts {
            search(&[last], "", doc! {}, sort);
            search(&[many], "", doc! {}, sort);
        }
        for words in [&[all][..], &[rare], &[all, last], &[all, many], &[many, all, last], &[rare, all]] {
            search(words, "", doc! {}, &sorts[0]);
        }
        for words in [last, many] {
            search(&[words], "&status=active", doc! { "status": "active" }, &sorts[0]);
            search(&[words], "&in_stock=false", doc! { "in_stock": false }, &sorts[2]);
            search(&[words], "&currency=GBP", doc! { "price.currency": "GBP" }, &sorts[4]);
            let prices = doc! { "price.currency": "EUR", "price.amount": { "$gte": 2_000_i64 } };
            search(&[words], "&currency=EUR&min_price=2000", prices, &sorts[2]);
            let later = || doc! { "updated_at": { "$gte": mongo::date(from) } };
            search(&[words], &changed, later(), &sorts[0]);
            search(&[words], &changed, later(), &sorts[6]);
        }
        lists
    }

    fn users(&self) -> Vec<List> {
        let of = |kind, query: &str| list("/users", kind, query);
        let mut lists: Vec<List> = [
            "",
            "role=customer",
            "role=staff",
            "status=active",
            "status=disabled",
            "role=customer&status=active",
            "role=customer&status=disabled",
            "role=staff&status=active",
            "role=staff,admin",
            "role=customer,staff&status=disabled,active&sort=created_at",
            "sort=updated_at",
            "sort=-updated_at",
            "role=customer&sort=-updated_at",
            "role=staff,admin&status=active,disabled&sort=updated_at",
        ]
        .into_iter()
        .map(|query| of(Kind::Indexed, query))
        .collect();
        let (from, to) = a_month();
        let changed = format!("updated_from={from}&updated_to={to}");
        for sort in ["updated_at", "-updated_at"] {
            lists.push(of(Kind::Indexed, &format!("{changed}&sort={sort}")));
        }
        for more in ["", "&sort=created_at", "&role=staff&status=active"] {
            lists.push(of(Kind::Lookup, &format!("{changed}{more}")));
        }
        lists.push(of(Kind::One, &format!("email={}", self.email)));
        lists.push(of(Kind::One, &format!("email={}&role=customer", self.email)));
        lists.push(of(Kind::One, &format!("email={}&role=customer,staff&{changed}", self.email)));
        lists
    }
}

/// A year, of the two in which orders were placed.
fn a_year() -> (Timestamp, Timestamp) {
    let now = Clock::system().now();
    (now.before(DAY * 500), now.before(DAY * 135))
}

/// A month of the year in which all products and users were added.
fn a_month() -> (Timestamp, Timestamp) {
    let now = Clock::system().now();
    (now.before(DAY * 800), now.before(DAY * 770))
}

/// The value that the most documents have.
async fn top(database: &Database, collection: &str, mut stages: Vec<Document>, field: &str) -> bson::Uuid {
    stages.push(doc! { "$group": { "_id": field, "count": { "$sum": 1_i64 } } });
    stages.push(doc! { "$sort": { "count": -1 } });
    stages.push(doc! { "$limit": 1 });
    let collection = database.collection::<Document>(collection);
    let found = collection.aggregate(stages).allow_disk_use(true).await;
    let found: Vec<Document> = found.unwrap().try_collect().await.unwrap();
    id(&found[0])
}

fn id(document: &Document) -> bson::Uuid {
    match document.get("_id") {
        Some(bson::Bson::Binary(id)) => id.to_uuid().unwrap(),
        other => panic!("an ID {other:?}"),
    }
}

/// The IDs of what a list must have, in its order.
pub(crate) async fn expected(database: &Database, filter: Document, sort: Document) -> Vec<Uuid> {
    let products = database.collection::<Document>("products");
    let found = products.find(filter).sort(sort).projection(doc! { "_id": 1 }).allow_disk_use(true).await;
    let found: Vec<Document> = found.unwrap().try_collect().await.unwrap();
    found.iter().map(|it| Uuid::from_bytes(id(it).bytes())).collect()
}
