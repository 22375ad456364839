//! IDs of the parts of an order, derived from it: repeats of a request derive the same ones.

use ring::digest::{self, SHA256};
use shared::http::idempotency::RequestKey;
use shared::values::ids::{ItemId, OrderId, ProductId, StaticType, TypeSafeId, UserId};

/// Derives the ID of an item. An order has each product in one item, so an item keeps its ID while its product
/// stays.
pub fn of_item(order: OrderId, product: ProductId) -> ItemId {
    derive(order, &[b"product", product.uuid().as_bytes()])
}

/// Derives the ID of the entry that a request makes.
pub fn of_request<T: StaticType>(order: OrderId, by: Option<UserId>, key: &RequestKey) -> TypeSafeId<T> {
    let by = by.map(|user| user.uuid().into_bytes()).unwrap_or_default();
    derive(order, &[b"request", &by, key.key.as_str().as_bytes()])
}

/// Derives the ID of the entry that is made with this version of the order.
pub fn of_version<T: StaticType>(order: OrderId, version: i64) -> TypeSafeId<T> {
    derive(order, &[b"version", &version.to_be_bytes()])
}

/// UUIDv8 of a SHA-256. All parts but the last have a length of their own, so different parts never meet.
fn derive<T: StaticType>(order: OrderId, parts: &[&[u8]]) -> TypeSafeId<T> {
    let mut hash = digest::Context::new(&SHA256);
    hash.update(T::TYPE.as_bytes());
    hash.update(b" ");
    hash.update(order.uuid().as_bytes());
    for part in parts {
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    TypeSafeId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use shared::http::idempotency::{IdempotencyKey, RequestFingerprint};
    use shared::values::ids::{PaymentId, RefundId};

    use super::*;

    #[test]
    fn an_item_has_one_id_in_its_order() {
        let (order, product) = (OrderId::new(), ProductId::new());
        assert_eq!(of_item(order, product), of_item(order, product));
        assert_ne!(of_item(order, product), of_item(OrderId::new(), product));
        assert_ne!(of_item(order, product), of_item(order, ProductId::new()));
    }

    #[test]
    fn a_key_makes_one_entry_of_an_order_and_a_caller() {
        let key = |text: &[u8]| {
            let fingerprint = RequestFingerprint::from_stored(&[]);
            RequestKey::of_client(IdempotencyKey::parse(text).unwrap(), fingerprint)
        };
        let (order, ada) = (OrderId::new(), Some(UserId::new()));
        let id: PaymentId = of_request(order, ada, &key(b"a"));
        assert_eq!(id, of_request(order, ada, &key(b"a")));
        for other in [
            of_request(order, ada, &key(b"b")),
            of_request(order, Some(UserId::new()), &key(b"a")),
            of_request(OrderId::new(), ada, &key(b"a")),
            of_version(order, 2),
        ] {
            assert_ne!(id, other);
        }
        let refund: RefundId = of_request(order, ada, &key(b"a"));
        assert_ne!(refund.uuid(), id.uuid());
    }
}
