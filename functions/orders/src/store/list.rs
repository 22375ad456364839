//! Lists of orders: the index for each combination of filters and sort.

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};
use shared::error::Error;
use shared::input::page::{PageRequest, PageRows, Position, SortType};
use shared::mongo::keyset::{IndexScan, Lookup, SortKey, conjunction, times_between};
use shared::mongo::unreadable::readable;
use shared::mongo::{self, Index};
use shared::values::ids::UserId;

use super::documents::{OrderDocument, starts_with_reference};
use super::{EXTERNAL_NUMBER_INDEX, NUMBER_INDEX, OrderStore, PAYMENT_INDEX};
use crate::listing::{Listing, SortBy};
use crate::number::Number;
use crate::order::{Order, OrderReturnStatus, PaymentStatus};
use crate::status::Status;

/// Index on the orders of a user by status.
pub(super) const BY_USER: &str = "user_status_newest";

const BY_PRODUCT: &str = "product_status_newest";
const BY_UPDATE: &str = "status_updated";
const BY_SKU: &str = "item_sku";
const BY_TRACKING: &str = "tracking_number";
const BY_PARCEL: &str = "parcel_number";
const BY_PAYMENT_STATUS: &str = "payment_status_newest";
const BY_RETURN_STATUS: &str = "return_status_newest";

/// Field with the tracking number of the latest fulfillment.
const LATEST_NUMBER: &str = "tracking.number";

/// Field with the tracking numbers of all fulfillments.
const ANY_NUMBER: &str = "fulfillments.tracking.number";

/// Statuses of payment that few orders have. The index has these alone, since most orders are paid in full and cost it
/// nothing.
const INDEXED_PAYMENTS: [PaymentStatus; 4] = [
    PaymentStatus::Partial,
    PaymentStatus::PartiallyRefunded,
    PaymentStatus::Refunded,
    PaymentStatus::RefundDue,
];

/// Statuses of returns that few orders have. The index has these alone.
const INDEXED_RETURNS: [OrderReturnStatus; 3] =
    [OrderReturnStatus::Requested, OrderReturnStatus::Partial, OrderReturnStatus::Returned];

/// Indexes for lists: for all orders, for a user's and for a product's, one for each sort. Status comes
/// before the sort in all of them, and a list of all statuses merges seven partitions. Voids have a status of
/// their own, which no list names.
///
/// Values that few orders have are looked up in indexes of their own.
pub(super) fn indexes() -> Vec<Index> {
    let newest = |mut keys: Document| {
        keys.extend(doc! { "status": 1, "created_at": -1, "_id": -1 });
        keys
    };
    let total = |mut keys: Document| {
        keys.extend(doc! { "status": 1, "total": -1, "_id": -1 });
        keys
    };
    let payments = INDEXED_PAYMENTS.map(PaymentStatus::name).to_vec();
    let returns = INDEXED_RETURNS.map(OrderReturnStatus::name).to_vec();
    vec![
        Index::plain("status_newest", newest(doc! {})),
        Index::plain("status_total", total(doc! {})),
        Index::plain(BY_UPDATE, doc! { "status": 1, "updated_at": -1, "_id": -1 }),
        Index::plain(BY_USER, newest(doc! { "user_id": 1 })),
        Index::plain("user_status_total", total(doc! { "user_id": 1 })),
        Index::plain(BY_PRODUCT, newest(doc! { "items.product_id": 1 })),
        Index::plain("product_status_total", total(doc! { "items.product_id": 1 })),
        Index::plain(BY_SKU, doc! { "items.sku": 1, "_id": 1 }),
        Index::plain(BY_TRACKING, doc! { LATEST_NUMBER: 1, "_id": 1 })
            .only(doc! { LATEST_NUMBER: { "$exists": true } }),
        Index::plain(BY_PARCEL, doc! { ANY_NUMBER: 1, "_id": 1 })
            .only(doc! { ANY_NUMBER: { "$exists": true } }),
        Index::plain(BY_PAYMENT_STATUS, doc! { "payment_status": 1, "created_at": -1, "_id": -1 })
            .only(doc! { "payment_status": { "$in": payments } }),
        Index::plain(BY_RETURN_STATUS, doc! { "return_status": 1, "created_at": -1, "_id": -1 })
            .only(doc! { "return_status": { "$in": returns } }),
    ]
}

impl OrderStore {
    /// Reads a page of a list: of one user's orders, or of all.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn list(
        &self,
        listing: &Listing,
        of: Option<UserId>,
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<Order>, Error> {
        let scan = index_scan(listing, of);
        let found = if listing.number.is_some() {
            self.only(NUMBER_INDEX, &scan, after).await?
        } else if listing.external_number.is_some() {
            self.only(EXTERNAL_NUMBER_INDEX, &scan, after).await?
        } else if let Some(parcel) = parcel(listing)
            && self.has_few(&parcel).await?
        {
            self.page_of_parcel(listing, of, &parcel, page, after).await?
        } else {
            let lookups = lookups(listing, of);
            scan.page_by(&lookups, &self.stored(), page, after, Document::new()).await?
        };
        Ok(readable(found, OrderDocument::read))
    }

    /// True if both lookups of a tracking number find few orders.
    async fn has_few(&self, [latest, any]: &[Lookup; 2]) -> Result<bool, Error> {
        let stored = self.stored();
        let (latest, any) = futures::try_join!(latest.finds_few(&stored), any.finds_few(&stored))?;
        Ok(latest && any)
    }

    /// Reads a page of the orders with a tracking number. MongoDB plans each branch of the query on its own, and a hint
    /// would name one index for both. Each branch has an equality that its index alone has, and few orders match it.
    async fn page_of_parcel(
        &self,
        listing: &Listing,
        of: Option<UserId>,
        parcel: &[Lookup; 2],
        page: &PageRequest,
        after: Option<&Position>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        // The branches have the number. Beside it the same condition would only be one more way to plan.
        let rest = index_scan(&Listing { tracking_number: None, ..listing.clone() }, of);
        let later = match &rest.sort_key.between(after, None)[..] {
            [all] => all.clone(),
            ranges => doc! { "$or": ranges },
        };
        let stored = self.stored();
        let find = |condition: Document| {
            let branch = |lookup: &Lookup| {
                let all = [&lookup.condition, &rest.conditions(), &later, &condition];
                conjunction(all.into_iter().cloned().collect())
            };
            stored
                .find(doc! { "$or": Vec::from(parcel.each_ref().map(branch)) })
                .sort(rest.sort_key.sort())
                .limit(page.fetch())
                // As for other lookups: larger than the page, so that it is the last batch.
                .batch_size(u32::try_from(page.fetch().saturating_add(1)).unwrap_or(u32::MAX))
                .read_concern(ReadConcern::snapshot())
        };
        rest.sort_key.rows(stored.name(), page, find).await
    }

    /// Finds the order with a unique value, if the other filters match. It reads one key, whatever they are.
    async fn only(
        &self,
        index: &str,
        scan: &IndexScan,
        after: Option<&Position>,
    ) -> Result<PageRows<RawDocumentBuf>, Error> {
        // There is no page after the only one.
        if after.is_some() {
            return Ok(PageRows::nothing());
        }
        let found = self.stored().find_one(scan.conditions()).hint(Hint::Name(index.to_owned())).await?;
        Ok(PageRows::only(found))
    }
}

/// Builds the index scan of a list, with all of its filters.
fn index_scan(listing: &Listing, of: Option<UserId>) -> IndexScan {
    let user: Option<Bson> = of.map(|user| mongo::uuid(user).into());
    let product: Option<Bson> = listing.product_id.map(|product| mongo::uuid(product).into());
    let mut partitions = Vec::new();
    let mut filters = vec![details(listing)];
    filters.extend(parcel(listing).map(|parcel| doc! { "$or": Vec::from(parcel.map(|it| it.condition)) }));
    let (mut of_user, mut of_product) = (user.clone(), product.clone());
    let index = match (&user, &product, listing.sort.by) {
        (None, None, SortBy::CreatedAt) if all_in(&listing.payment_statuses, &INDEXED_PAYMENTS) => {
            BY_PAYMENT_STATUS
        }
        (None, None, SortBy::CreatedAt) if all_in(&listing.return_statuses, &INDEXED_RETURNS) => {
            BY_RETURN_STATUS
        }
        (None, None, SortBy::CreatedAt) => "status_newest",
        (None, None, SortBy::Total) => "status_total",
        (_, _, SortBy::UpdatedAt) => BY_UPDATE,
        (Some(_), _, by) => {
            partitions.extend(of_user.take().map(|user| ("user_id", vec![user])));
            if matches!(by, SortBy::Total) { "user_status_total" } else { BY_USER }
        }
        (None, Some(_), by) => {
            partitions.extend(of_product.take().map(|product| ("items.product_id", vec![product])));
            if matches!(by, SortBy::Total) { "product_status_total" } else { BY_PRODUCT }
        }
    };
    filters.extend(of_user.map(|user| doc! { "user_id": user }));
    filters.extend(of_product.map(|product| doc! { "items.product_id": product }));
    // Each is a partition of the index that has it, and else a filter.
    let named = if listing.statuses.is_empty() { Vec::new() } else { statuses(listing) };
    let by_status = [
        (BY_PAYMENT_STATUS, "payment_status", names(&listing.payment_statuses, PaymentStatus::name)),
        (BY_RETURN_STATUS, "return_status", return_statuses(listing)),
    ];
    if by_status.iter().any(|(its, ..)| *its == index) {
        filters.extend((!named.is_empty()).then(|| doc! { "status": { "$in": named } }));
    } else {
        partitions.push(("status", statuses(listing)));
    }
    for (its, field, values) in by_status {
        if its == index {
            partitions.push((field, values));
        } else if !values.is_empty() {
            filters.push(doc! { field: { "$in": values } });
        }
    }
    let (field, of) = match listing.sort.by {
        SortBy::CreatedAt => ("created_at", SortType::Time),
        SortBy::UpdatedAt => ("updated_at", SortType::Time),
        SortBy::Total => ("total", SortType::Integer),
    };
    let mut range = Document::new();
    for (name, from, to) in [
        ("created_at", listing.created_from, listing.created_to),
        ("updated_at", listing.updated_from, listing.updated_to),
    ] {
        let times = times_between(from, to);
        if name == field {
            range = times;
        } else if !times.is_empty() {
            filters.push(doc! { name: times });
        }
    }
    let sort_key = SortKey { field, of, descending: listing.sort.descending };
    IndexScan { index, partitions, sort_key, range, filter: conjunction(filters) }
}

/// Lookups of a tracking number: that of the order, which older builds store alone, and those of all fulfillments.
fn parcel(listing: &Listing) -> Option<[Lookup; 2]> {
    let number = listing.tracking_number.as_ref()?;
    let lookup = |index, field: &str| Lookup { index, condition: doc! { field: number } };
    Some([lookup(BY_TRACKING, LATEST_NUMBER), lookup(BY_PARCEL, ANY_NUMBER)])
}

/// Filters that have an index in another order than the list's, the most selective first: at most two, since each may
/// read [`Lookup`]'s limit of keys to see whether few orders match. A tracking number is asked about before them, and
/// counts as one.
fn lookups(listing: &Listing, of: Option<UserId>) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    if let Some(reference) = &listing.payment_reference {
        let condition = starts_with_reference(reference);
        lookups.push(Lookup { index: PAYMENT_INDEX, condition });
    }
    let is_by_update = matches!(listing.sort.by, SortBy::UpdatedAt);
    let with_status =
        |field: &str, value: Bson| doc! { field: value, "status": { "$in": statuses(listing) } };
    if let Some(user) = of {
        // All others are of the whole shop, and a user has a few orders of it.
        if is_by_update {
            let condition = with_status("user_id", mongo::uuid(user).into());
            lookups.push(Lookup { index: BY_USER, condition });
        }
        return lookups;
    }
    if let Some(sku) = &listing.sku {
        lookups.push(Lookup { index: BY_SKU, condition: doc! { "items.sku": sku } });
    }
    // Of several statuses MongoDB does not see that the partial index has them all.
    if !matches!(listing.sort.by, SortBy::CreatedAt) {
        if let [status] = listing.payment_statuses[..]
            && INDEXED_PAYMENTS.contains(&status)
        {
            let condition = doc! { "payment_status": status.name() };
            lookups.push(Lookup { index: BY_PAYMENT_STATUS, condition });
        }
        if let [status] = listing.return_statuses[..]
            && INDEXED_RETURNS.contains(&status)
        {
            let condition = doc! { "return_status": status.name() };
            lookups.push(Lookup { index: BY_RETURN_STATUS, condition });
        }
    }
    if let Some(product) = listing.product_id.filter(|_| is_by_update) {
        let condition = with_status("items.product_id", mongo::uuid(product).into());
        lookups.push(Lookup { index: BY_PRODUCT, condition });
    }
    let changed = times_between(listing.updated_from, listing.updated_to);
    if !changed.is_empty() && !is_by_update {
        let condition = with_status("updated_at", changed.into());
        lookups.push(Lookup { index: BY_UPDATE, condition });
    }
    lookups.truncate(if listing.tracking_number.is_some() { 1 } else { 2 });
    lookups
}

/// Filters that no index of a list has.
fn details(listing: &Listing) -> Document {
    let Listing { external_number, payment_reference, sku, .. } = listing;
    let number = listing.number.as_ref().map(Number::to_string);
    let equal = [
        ("number", number.as_ref()),
        ("external_number", external_number.as_ref()),
        ("payments.reference", payment_reference.as_ref()),
        ("items.sku", sku.as_ref()),
    ];
    equal.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))).collect()
}

/// True if statuses are asked for, and an index has the orders of all of them.
fn all_in<T: PartialEq>(asked: &[T], indexed: &[T]) -> bool {
    !asked.is_empty() && asked.iter().all(|status| indexed.contains(status))
}

/// Stored statuses of returns that a list has. An order without returns stores none.
fn return_statuses(listing: &Listing) -> Vec<Bson> {
    let mut values = names(&listing.return_statuses, OrderReturnStatus::name);
    values.extend(listing.return_statuses.contains(&OrderReturnStatus::None).then_some(Bson::Null));
    values
}

/// Names of the statuses that a list has: never that of voids.
fn statuses(listing: &Listing) -> Vec<Bson> {
    names(if listing.statuses.is_empty() { &Status::ALL } else { &listing.statuses }, Status::name)
}

fn names<T: Copy>(values: &[T], name: impl Fn(T) -> &'static str) -> Vec<Bson> {
    values.iter().map(|value| name(*value).into()).collect()
}
