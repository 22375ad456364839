//! Lists of products: the index for each combination of filters and sort, and the fields stored for them.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position};
use shared::mongo::keyset::{IndexScan, Lookup, SortKey, conjunction, times_between};
use shared::mongo::unreadable::{self, Unreadable, readable};
use shared::mongo::{self, Index};
use shared::values::ids::ProductId;

use super::{ProductDocument, ProductStore, STOCK, counts, read_counts, shown};
use crate::listing::{Listing, SortBy};
use crate::product::{Product, Status};
use crate::words::{FOLDING, words};

/// Number of words of a search whose frequency is checked.
const PROBES: usize = 3;

/// Index on the products by the time of their last change.
const LISTED_UPDATED: &str = "listed_updated";

/// Index on the products of a currency by the time of their creation.
const CURRENCY_NEWEST: &str = "currency_newest";

const CURRENCY: &str = "price.currency";
const AMOUNT: &str = "price.amount";
const UPDATED_AT: &str = "updated_at";

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
/// merges up to six partitions. By the last change there is one for all products alone, since each change writes
/// to it.
pub(super) fn indexes() -> Vec<Index> {
    let all = |field: &str| doc! { "in_stock": 1, "status": 1, field: 1, "_id": 1 };
    let priced = |field: &str| doc! { CURRENCY: 1, "in_stock": 1, "status": 1, field: 1, "_id": 1 };
    vec![
        Index::plain("listed_newest", all("created_at")),
        Index::plain(LISTED_UPDATED, all(UPDATED_AT)),
        Index::plain("listed_name", all("name_key")),
        Index::plain("listed_price", all(AMOUNT)),
        Index::plain(CURRENCY_NEWEST, priced("created_at")),
        Index::plain("currency_name", priced("name_key")),
        Index::plain("currency_price", priced(AMOUNT)),
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
            let filter =
                conjunction(vec![doc! { "sku": sku.as_str() }, with_words(listing), scan.conditions()]);
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
            let lookup = lookup_beside(listing, &scan);
            scan.page_by(lookup.as_slice(), &self.stored(), page, after, shown()).await?
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

    /// Searches for products that have all words: by one of them that few products have, by another filter that few
    /// match, or along the list. Then one product in twenty or more has the word, or the products are so many that a
    /// page must end.
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
        let lookup = |word: &&String| Lookup { index: "words", condition: doc! { "words": *word } };
        let mut lookups: Vec<Lookup> = words.iter().take(PROBES).map(lookup).collect();
        lookups.extend(lookup_beside(listing, &scan));
        scan.filter = conjunction(vec![with_words(listing), scan.filter]);
        scan.page_by(&lookups, &self.stored(), page, after, shown()).await
    }
}

/// Builds the index scan of a list, without its words.
fn index_scan(listing: &Listing, statuses: &[Status]) -> IndexScan {
    let statuses = statuses.iter().map(|status| status.name().into()).collect();
    let available = match listing.in_stock {
        Some(available) => vec![available.into()],
        None => vec![true.into(), false.into()],
    };
    let (field, of_all, of_currency) = match listing.sort.by {
        SortBy::CreatedAt => ("created_at", "listed_newest", Some(CURRENCY_NEWEST)),
        SortBy::UpdatedAt => (UPDATED_AT, LISTED_UPDATED, None),
        SortBy::Name => ("name_key", "listed_name", Some("currency_name")),
        SortBy::Price => (AMOUNT, "listed_price", Some("currency_price")),
    };
    let mut index = of_all;
    let mut partitions = vec![("in_stock", available), ("status", statuses)];
    let mut filter = Vec::new();
    match (listing.currency, of_currency) {
        (Some(currency), Some(of_currency)) => {
            index = of_currency;
            partitions.insert(0, (CURRENCY, vec![currency.code().into()]));
        }
        (Some(currency), None) => filter.push(doc! { CURRENCY: currency.code() }),
        (None, _) => {}
    }
    let mut range = Document::new();
    for (bounded, bounds) in [
        (AMOUNT, priced_between(listing)),
        (UPDATED_AT, times_between(listing.updated_from, listing.updated_to)),
    ] {
        if bounded == field {
            range = bounds;
        } else if !bounds.is_empty() {
            filter.push(doc! { bounded: bounds });
        }
    }
    let sort_key = SortKey { field, of: listing.sort.by.of(), descending: listing.sort.descending };
    IndexScan { index, partitions, sort_key, range, filter: conjunction(filter) }
}

/// Lookup by a filter that the index of the list does not have, but another one.
fn lookup_beside(listing: &Listing, scan: &IndexScan) -> Option<Lookup> {
    let updated = times_between(listing.updated_from, listing.updated_to);
    let mut condition = Document::new();
    for (field, values) in scan.partitions.iter().filter(|(field, _)| *field != CURRENCY) {
        condition.insert(*field, doc! { "$in": values.clone() });
    }
    let index = match (listing.sort.by, listing.currency) {
        (SortBy::UpdatedAt, currency) => {
            condition.insert(CURRENCY, currency?.code());
            CURRENCY_NEWEST
        }
        _ if updated.is_empty() => return None,
        _ => {
            condition.insert(UPDATED_AT, updated);
            LISTED_UPDATED
        }
    };
    Some(Lookup { index, condition })
}

fn priced_between(listing: &Listing) -> Document {
    let mut range = Document::new();
    if let Some(least) = listing.min_price {
        range.insert("$gte", least);
    }
    if let Some(most) = listing.max_price {
        range.insert("$lte", most);
    }
    range
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
