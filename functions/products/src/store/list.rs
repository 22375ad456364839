//! Lists of products: the index for each combination of filters and sort, and the fields stored for them.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position, SortType};
use shared::mongo::keyset::{IndexScan, SortKey, conjunction};
use shared::mongo::unreadable::{self, Unreadable, readable};
use shared::mongo::{self, Index};
use shared::values::ids::ProductId;

use super::{PRODUCTS, ProductDocument, ProductStore, STOCK, counts, read_counts, shown};
use crate::listing::{Listing, SortBy};
use crate::product::{Product, Status};
use crate::words::{FOLDING, words};

/// Number of products with a word above which the list is scanned in its order. Fewer are all read and
/// sorted.
const RARE: u32 = 5_000;

/// Number of words of a search whose frequency is checked.
const PROBES: usize = 3;

/// Fields of a product for lists, beside `in_stock`. `name_key` is a stored key and not a collation. Every
/// query and the index would have to name a collation, and it would decide about IDs too.
pub(super) fn listed_by(name: &str, description: Option<&str>, sku: &str) -> Document {
    let mut all = words(name);
    all.extend(words(description.unwrap_or_default()));
    all.extend(words(sku));
    let words: Vec<String> = all.into_iter().collect();
    doc! { "name_key": name.to_lowercase(), "words": words, "folding": FOLDING }
}

/// Indexes for lists: one for each sort, for all products and for those of a currency, which also serves a
/// range of prices. Availability and status come before the sort in all of them. A list without such a filter
/// merges up to six partitions.
pub(super) fn indexes() -> Vec<Index> {
    let all = |field: &str| doc! { "in_stock": 1, "status": 1, field: 1, "_id": 1 };
    let priced = |field: &str| doc! { "price.currency": 1, "in_stock": 1, "status": 1, field: 1, "_id": 1 };
    vec![
        Index::plain("listed_newest", all("created_at")),
        Index::plain("listed_name", all("name_key")),
        Index::plain("listed_price", all("price.amount")),
        Index::plain("currency_newest", priced("created_at")),
        Index::plain("currency_name", priced("name_key")),
        Index::plain("currency_price", priced("price.amount")),
        Index::plain("words", doc! { "words": 1, "_id": 1 }),
    ]
}

impl ProductStore {
    /// Reads a page of a list, of products in these statuses.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list(
        &self,
        listing: &Listing,
        statuses: &[Status],
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<Product>, Error> {
        let scan = index_scan(listing, statuses);
        let found = if let Some(sku) = &listing.sku {
            // At most one product, and so no page after it.
            let filter = doc! { "$and": [{ "sku": sku.as_str() }, all_filters(listing, &scan)] };
            match after {
                Some(_) => PageRows::nothing(),
                None => {
                    let found = self.stored().find_one(filter).projection(shown()).await?;
                    PageRows::only(found)
                }
            }
        } else if listing.words.is_some() {
            self.search(listing, scan, page, after).await?
        } else {
            scan.page(&self.stored(), page, after, shown()).await?
        };
        self.with_counts(found).await
    }

    /// Reads the products of a page, with their counts.
    async fn with_counts(&self, found: PageRows<RawDocumentBuf>) -> Result<PageRows<Product>, Error> {
        let ids = found.data.iter().filter_map(unreadable::id_of).map(ProductId::from_uuid);
        let ids: Vec<bson::Uuid> = ids.map(mongo::uuid).collect();
        let mut stocks = HashMap::new();
        if !ids.is_empty() {
            let all = self.stored_stocks();
            let found = all.find(doc! { "_id": { "$in": ids } }).projection(counts()).await?;
            let found: Vec<RawDocumentBuf> = found.try_collect().await?;
            stocks.extend(found.iter().filter_map(|stock| read_counts(stock).ok()));
        }
        let read = |product: RawDocumentBuf| {
            let id = unreadable::id_of(&product);
            let stock = id.and_then(|id| stocks.get(&ProductId::from_uuid(id)));
            ProductDocument::read(product, *stock.ok_or(Unreadable { collection: STOCK, id })?)
        };
        Ok(readable(found, read))
    }

    /// Searches for products that have all words. If one of the words is rare, reads all its products, and
    /// sorts them. Otherwise scans the list in its order. Then one product in twenty or more has the word, or
    /// the products are so many that a page must end.
    async fn search(
        &self,
        listing: &Listing,
        mut scan: IndexScan,
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        let mut words: Vec<&String> = listing.words.iter().flatten().collect();
        if words.is_empty() {
            return Ok(PageRows::nothing());
        }
        // Long words are rarer than short ones.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        for word in words.iter().take(PROBES) {
            if self.is_rare(word).await? {
                let after = doc! { "$or": scan.sort_key.between(after, None) };
                let filter = conjunction(vec![doc! { "words": *word }, all_filters(listing, &scan), after]);
                let documents = self.stored();
                let find = |condition: Document| {
                    documents
                        .find(conjunction(vec![filter.clone(), condition]))
                        .sort(scan.sort_key.sort())
                        .limit(page.fetch())
                        // Larger than the page. When a sort fills a batch of the default 101, MongoDB does not
                        // know that it is the last. Another round trip would be needed.
                        .batch_size(u32::try_from(page.fetch() + 1).unwrap_or(u32::MAX))
                        .hint(Hint::Name("words".to_owned()))
                        .projection(shown())
                        .read_concern(ReadConcern::snapshot())
                };
                return scan.sort_key.rows(PRODUCTS, page, find).await;
            }
        }
        scan.filter = conjunction(vec![with_words(listing), scan.filter]);
        scan.page(&self.stored(), page, after, shown()).await
    }

    async fn is_rare(&self, word: &str) -> Result<bool, Error> {
        let documents = self.documents();
        let one_more = documents
            .find_one(doc! { "words": word })
            .sort(doc! { "_id": 1 })
            .skip(u64::from(RARE))
            .projection(doc! { "_id": 1 })
            .hint(Hint::Name("words".to_owned()));
        Ok(one_more.await?.is_none())
    }
}

fn index_scan(listing: &Listing, statuses: &[Status]) -> IndexScan {
    let statuses = statuses.iter().map(|status| status.name().into()).collect();
    let available = match listing.in_stock {
        Some(available) => vec![available.into()],
        None => vec![true.into(), false.into()],
    };
    let mut partitions = vec![("in_stock", available), ("status", statuses)];
    if let Some(currency) = listing.currency {
        partitions.insert(0, ("price.currency", vec![currency.code().into()]));
    }
    let mut prices = Document::new();
    if let Some(least) = listing.min_price {
        prices.insert("$gte", least);
    }
    if let Some(most) = listing.max_price {
        prices.insert("$lte", most);
    }
    let of_all = listing.currency.is_none();
    let (field, of, index) = match listing.sort.by {
        SortBy::CreatedAt => {
            ("created_at", SortType::Time, if of_all { "listed_newest" } else { "currency_newest" })
        }
        SortBy::Name => ("name_key", SortType::Text, if of_all { "listed_name" } else { "currency_name" }),
        SortBy::Price => {
            ("price.amount", SortType::Integer, if of_all { "listed_price" } else { "currency_price" })
        }
    };
    let (range, filter) = match listing.sort.by {
        SortBy::Price => (prices, Document::new()),
        _ if prices.is_empty() => (Document::new(), Document::new()),
        _ => (Document::new(), doc! { "price.amount": prices }),
    };
    let sort_key = SortKey { field, of, descending: listing.sort.descending };
    IndexScan { index, partitions, sort_key, range, filter }
}

/// Combines all filters of a listing, without a sort.
fn all_filters(listing: &Listing, scan: &IndexScan) -> Document {
    let mut all = vec![with_words(listing), scan.filter.clone()];
    all.extend(scan.partitions.iter().map(|(field, values)| doc! { *field: { "$in": values.clone() } }));
    if !scan.range.is_empty() {
        all.push(doc! { scan.sort_key.field: scan.range.clone() });
    }
    conjunction(all)
}

fn with_words(listing: &Listing) -> Document {
    match &listing.words {
        Some(words) if !words.is_empty() => {
            let words: Vec<&String> = words.iter().collect();
            doc! { "words": { "$all": words } }
        }
        // A search without a word finds nothing.
        Some(_) => doc! { "words": { "$in": [] } },
        None => Document::new(),
    }
}
