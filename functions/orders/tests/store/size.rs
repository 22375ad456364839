//! Sizes of the largest orders on disk, and of their lists.

use mongodb::bson::Document;
use orders::limits::{
    ItemReason, Label, MAX_CANCELLATIONS, MAX_DISCOUNTS_OR_TAXES, MAX_FULFILLMENTS, MAX_ITEMS,
    MAX_PART_ITEMS, MAX_PAYMENTS, MAX_REFUNDS, MAX_RETURNS, Note, Provider, Reference, TrackingUrl,
};
use orders::listing::Listing;
use orders::order::{
    Cancellation, Change, Discount, Fulfillment, FulfillmentStatus, HistoryEntry, Item, ItemAmounts,
    ItemQuantity, Order, Payment, Rate, Refund, Return, ReturnItem, ReturnStatus, Tax, Tracking,
};
use orders::store::Inserted;
use shared::http::idempotency::RequestFingerprint;
use shared::input::page::PageRequest;
use shared::values::ids::{CancellationId, FulfillmentId, PaymentId, ProductId, RefundId, ReturnId, UserId};
use shared::values::text::{MAX_SKU, Name, Reason};

use crate::{NOW, order, store, stored};

/// The most bytes of an order with many parts and texts of a usual length.
const USUAL: usize = 256 * 1024;

/// The most bytes of any order: a third of what MongoDB stores.
const LARGEST: usize = 16 * 1024 * 1024 / 3;

/// Counts and texts of an order.
struct Filling {
    /// Items in each list of parts.
    rows: usize,
    /// Cancellations, and payments.
    others: (usize, usize),
    /// Discounts and taxes of each item.
    amounts: usize,
    /// Entries of the history without and with a reason.
    history: (usize, usize),
    /// Text for which so many characters are allowed.
    text: fn(usize) -> String,
}

/// Many parts, with texts as they are written.
const MANY: Filling = Filling {
    rows: 250,
    others: (10, 2),
    amounts: 0,
    history: (250, 50),
    text: |longest| "x".repeat((longest / 5).min(60)),
};

/// All that the rules allow. A history has no more entries, and fewer of them have a reason.
const ALL: Filling = Filling {
    rows: MAX_PART_ITEMS,
    others: (MAX_CANCELLATIONS, MAX_PAYMENTS),
    amounts: MAX_DISCOUNTS_OR_TAXES,
    history: (650, 350),
    text: |longest| "\u{1f600}".repeat(longest),
};

impl Filling {
    fn text(&self, longest: usize) -> String {
        (self.text)(longest)
    }

    /// Text of visible ASCII characters.
    fn ascii(&self, longest: usize) -> String {
        "x".repeat(self.text(longest).chars().count())
    }

    fn item(&self) -> Item {
        let discount = Discount { label: self.text(Label::MAX), amount: 1 };
        let tax = Tax {
            label: self.text(Label::MAX),
            rate: Rate::from_stored("0.123456".to_owned()),
            amount: 1,
            included: true,
        };
        let amounts = ItemAmounts { discounts: vec![discount; self.amounts], taxes: vec![tax; self.amounts] };
        let (sku, name) = (self.ascii(MAX_SKU), self.text(Name::MAX));
        let unit_price = order(0).items[0].unit_price;
        Item { product_id: ProductId::new(), sku, name, unit_price, quantity: 10_000, amounts }
    }

    /// Items of one of `parts`: the same number in each.
    fn units(&self, order: &Order, parts: usize) -> Vec<ItemQuantity> {
        let item = |item: &Item| ItemQuantity { id: order.item_id(item), quantity: 1 };
        order.items.iter().take(self.rows / parts).map(item).collect()
    }

    /// Order of this number, with all lists filled.
    fn order(&self, number: u64) -> Order {
        let mut order = order(number);
        order.items = (0..MAX_ITEMS).map(|_| self.item()).collect();
        order.note = Some(self.text(Note::MAX));
        order.internal_note = Some(self.text(Note::MAX));
        let (by, request) = (Some(UserId::new()), Some(RequestFingerprint::from_stored(&[7; 32])));
        let (cancellations, payments) = self.others;
        let reason = || Some(self.text(Reason::MAX));
        let url = || format!("https://{}", self.ascii(TrackingUrl::MAX - 8));
        let fulfillment = |_| Fulfillment {
            id: FulfillmentId::new(),
            items: self.units(&order, MAX_FULFILLMENTS),
            tracking: Some(Tracking {
                carrier: self.text(Reference::MAX),
                number: self.text(Reference::MAX),
                url: Some(url()),
            }),
            status: FulfillmentStatus::Delivered,
            shipped_at: NOW,
            delivered_at: Some(NOW),
            by,
            request,
        };
        let cancellation = |_| Cancellation {
            id: CancellationId::new(),
            items: self.units(&order, cancellations),
            reason: reason(),
            created_at: NOW,
            by,
            request,
        };
        let returned = |of: ItemQuantity| ReturnItem {
            id: of.id,
            quantity: of.quantity,
            reason: Some(self.text(ItemReason::MAX)),
            received: 1,
            restocked: 1,
        };
        let entry = |_| Return {
            id: ReturnId::new(),
            status: ReturnStatus::Received,
            items: self.units(&order, MAX_RETURNS).into_iter().map(returned).collect(),
            reason: reason(),
            requested_at: NOW,
            decided_at: Some(NOW),
            received_at: Some(NOW),
            by,
            request,
        };
        let refund = |_| Refund {
            id: RefundId::new(),
            amount: 1,
            items: self.units(&order, MAX_REFUNDS),
            shipping: false,
            reason: reason(),
            reference: Some(self.text(Reference::MAX)),
            payment_id: Some(PaymentId::new()),
            return_id: Some(ReturnId::new()),
            created_at: NOW,
            by,
            request,
        };
        // The references of all orders differ.
        let payment = |place: usize| Payment {
            id: PaymentId::new(),
            amount: 1,
            reference: format!("{number:04}{place:04}{}", self.text(Reference::MAX - 8)),
            method: Some(self.text(Reference::MAX)),
            provider: Some(self.ascii(Provider::MAX)),
            created_at: NOW,
            by,
            request,
        };
        let (without, with) = self.history;
        let changed = |place: usize| HistoryEntry {
            at: NOW,
            change: Change::Return {
                id: ReturnId::new(),
                from: Some(ReturnStatus::Requested),
                to: ReturnStatus::Approved,
            },
            by,
            reason: reason().filter(|_| place < with),
        };
        let fulfillments = (0..MAX_FULFILLMENTS).map(fulfillment).collect();
        let cancellations = (0..cancellations).map(cancellation).collect();
        let returns = (0..MAX_RETURNS).map(entry).collect();
        let refunds = (0..MAX_REFUNDS).map(refund).collect();
        let payments = (0..payments).map(payment).collect();
        let history = (0..without + with).map(changed).collect();
        Order { fulfillments, cancellations, returns, refunds, payments, history, ..order }
    }
}

fn bytes(document: &Document) -> usize {
    document.to_vec().unwrap().len()
}

#[tokio::test]
async fn an_order_has_a_bounded_size_on_disk() {
    let (database, store) = store().await;
    for (number, filling, most) in [(1, MANY, USUAL), (2, ALL, LARGEST)] {
        let order = filling.order(number);
        // MongoDB takes it: no rule is narrower.
        assert_eq!(store.insert(&order).await.unwrap(), Inserted::Done);
        let size = bytes(&stored(&database, order.id).await);
        assert!(size < most, "{size} bytes of {most}");
        assert_eq!(store.find(order.id).await.unwrap(), Some(order));
    }
}

#[tokio::test]
async fn a_page_of_orders_with_many_parts_ends_early() {
    let (_, store) = store().await;
    for number in 0..30 {
        assert_eq!(store.insert(&MANY.order(number)).await.unwrap(), Inserted::Done);
    }
    let page = PageRequest::new(Some(100), None).unwrap();
    let first = store.list(&Listing::default(), None, &page, None).await.unwrap();
    assert!((10..30).contains(&first.data.len()), "{}", first.data.len());
    let rest = store.list(&Listing::default(), None, &page, first.next.as_ref()).await.unwrap();
    assert_eq!((first.data.len() + rest.data.len(), rest.next), (30, None));
}
