//! Typed IDs (TypeID): a prefix that names the kind, and 128 bits in base32. An order ID can never be
//! mistaken for a product ID.

pub use type_safe_id::{StaticType, TypeSafeId};

macro_rules! kind {
    ($(#[$doc:meta])* $kind:ident, $id:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind;

        impl StaticType for $kind {
            const TYPE: &'static str = $prefix;
        }

        #[doc = concat!("`", $prefix, "_…`")]
        pub type $id = TypeSafeId<$kind>;
    };
}

kind!(
    /// Kind of order IDs.
    OrderKind, OrderId, "order"
);
kind!(
    /// Kind of product IDs.
    ProductKind, ProductId, "product"
);
kind!(
    /// Kind of user IDs.
    UserKind, UserId, "user"
);
kind!(
    /// Kind of the IDs of an order's items.
    ItemKind, ItemId, "item"
);
kind!(
    /// Kind of the IDs of payments.
    PaymentKind, PaymentId, "payment"
);
kind!(
    /// Kind of the IDs of refunds.
    RefundKind, RefundId, "refund"
);
kind!(
    /// Kind of the IDs of fulfillments.
    FulfillmentKind, FulfillmentId, "fulfillment"
);
kind!(
    /// Kind of the IDs of cancellations.
    CancellationKind, CancellationId, "cancellation"
);
kind!(
    /// Kind of the IDs of returns.
    ReturnKind, ReturnId, "return"
);

/// Rule for [`crate::input::validation::ValidationErrors`]: an ID of the right kind.
///
/// # Errors
/// Message that names the kind and shows an example.
pub fn parse<T: StaticType>(text: String) -> Result<TypeSafeId<T>, String> {
    text.parse().map_err(|_| format!("must be an ID of type {}, such as {}", T::TYPE, example::<T>()))
}

/// Example of an ID of this kind, for messages and documentation.
pub fn example<T: StaticType>() -> String {
    example_of(T::TYPE)
}

/// Example of an ID of the kind of this name.
pub fn example_of(kind: &str) -> String {
    format!("{kind}_01h455vb4pex5vsknk084sn02q")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_id_is_read_again(bits: u128) {
            let id = OrderId::from_uuid(uuid::Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
        }

        #[test]
        fn arbitrary_text_is_refused_and_never_panics(text in ".*") {
            if let Ok(id) = parse::<OrderKind>(text.clone()) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let product = ProductId::new().to_string();
        assert!(parse::<OrderKind>(product).unwrap_err().starts_with("must be an ID of type order"));
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        for bad in [
            "",
            "order_",
            "order",
            "order_01h455vb4pex5vsknk084sn02",
            "order_81h455vb4pex5vsknk084sn02q",
            "order_01H455VB4PEX5VSKNK084SN02Q",
            "order_01h455vb4pex5vsknk084sn02qq",
            "order_01h455vb4pex5vsknk084sn02\0",
            " order_01h455vb4pex5vsknk084sn02q",
            "order_ö1h455vb4pex5vsknk084sn02q",
        ] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad:?}");
        }
    }
}
