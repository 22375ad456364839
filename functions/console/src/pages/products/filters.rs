//! Filters of the list of products: as parameters of its URL, and as a request to the API.

use form_urlencoded::Serializer;
use proto::common::v1::PageRequest;
use proto::products::v1::ListProductsRequest;
use shared::error::Error;
use shared::input::query;

use crate::amount::parse_amount;
use crate::http::Query;
use crate::texts::products as texts;

/// Path of the list.
pub(super) const PATH: &str = "/console/products";

/// Products on a page.
const LIMIT: i64 = 50;

/// Parameters with one value, but for those of the page.
const SINGLE: [&str; 6] = ["q", "sku", "currency", "min_price", "max_price", "in_stock"];

/// Parameters that select no products.
const PAGING: [&str; 2] = ["sort", "cursor"];

/// Parameters of the list that have a value, by the API's names. Prices are decimals of their currency, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters(Vec<(&'static str, String)>);

impl Filters {
    /// Filters of a URL. Forms send empty fields, too; they count as absent.
    pub(super) fn from_query(query: &Query) -> Self {
        // Checkboxes repeat their name; the API wants commas.
        let statuses: Vec<&str> =
            query.all("status").map(str::trim).filter(|value| !value.is_empty()).collect();
        let single = SINGLE.into_iter().chain(PAGING).map(|name| {
            let value = query.get(name).unwrap_or_default().trim();
            (name, value.to_owned())
        });
        let all = std::iter::once(("status", statuses.join(","))).chain(single);
        Self(all.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// True if this is one of a filter's values.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|values| values.split(',').any(|one| one == value))
    }

    /// True if all products are selected.
    pub(super) fn are_none(&self) -> bool {
        self.0.iter().all(|(name, _)| PAGING.contains(name))
    }

    /// Path of the first page.
    pub(super) fn first_page(&self) -> String {
        self.path(None)
    }

    /// Path of the page of a cursor.
    pub(super) fn page_at(&self, cursor: &str) -> String {
        self.path(Some(cursor))
    }

    fn path(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, _)| *name != "cursor"));
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        match query.finish().as_str() {
            "" => PATH.to_owned(),
            query => format!("{PATH}?{query}"),
        }
    }

    /// Request for the page.
    ///
    /// # Errors
    /// 400 for a price that cannot be read. All else is checked by the products function.
    pub(super) fn request(&self) -> Result<ListProductsRequest, Error> {
        let text = |name: &str| self.get(name).map(str::to_owned);
        let flags = [("true", true), ("false", false)];
        Ok(ListProductsRequest {
            page: Some(PageRequest { limit: Some(LIMIT), cursor: text("cursor") }),
            status: text("status"),
            q: text("q"),
            sku: text("sku"),
            currency: self.currency(),
            min_price: self.price("min_price")?,
            max_price: self.price("max_price")?,
            in_stock: query::optional("in_stock", self.get("in_stock"), |flag| query::one_of(&flags, flag))?,
            sort: text("sort"),
            updated_from: None,
            updated_to: None,
        })
    }

    /// Currency in capitals, as the API wants it.
    fn currency(&self) -> Option<String> {
        self.get("currency").map(str::to_ascii_uppercase)
    }

    /// Price in minor units. Without its currency, the number of decimals is not known.
    fn price(&self, name: &str) -> Result<Option<i64>, Error> {
        query::optional(name, self.get(name), |text| match self.currency() {
            Some(currency) => parse_amount(text, &currency),
            None => Err(texts::NEEDS_CURRENCY.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(parameters: &[(&'static str, &str)]) -> Filters {
        Filters(parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    #[test]
    fn a_path_has_all_parameters_and_one_cursor() {
        let some = filters(&[("q", "a&b \"c\""), ("cursor", "one")]);
        assert_eq!(some.page_at("two"), "/console/products?q=a%26b+%22c%22&cursor=two");
        assert_eq!(some.first_page(), "/console/products?q=a%26b+%22c%22");
        assert_eq!(filters(&[("cursor", "one")]).first_page(), "/console/products");
    }

    #[test]
    fn prices_are_decimals_of_their_currency() {
        let prices = |currency, price| {
            let all = [("currency", currency), ("min_price", price), ("max_price", price)];
            let request = filters(&all).request().unwrap();
            (request.currency.unwrap(), request.min_price.unwrap(), request.max_price.unwrap())
        };
        assert_eq!(prices("eur", "12.5"), ("EUR".to_owned(), 1_250, 1_250));
        assert_eq!(prices("JPY", "500"), ("JPY".to_owned(), 500, 500));
        assert_eq!(prices("KWD", "1.234"), ("KWD".to_owned(), 1_234, 1_234));
    }

    #[test]
    fn a_price_that_cannot_be_compared_is_named() {
        for (bad, expected) in [
            (vec![("min_price", "5")], "`min_price` needs a currency"),
            (vec![("currency", "EUR"), ("max_price", "1,5")], "`max_price` must be an amount in EUR"),
            (vec![("in_stock", "yes")], "`in_stock` must be one of true, false."),
        ] {
            let error = filters(&bad).request().unwrap_err();
            assert!(error.detail().starts_with(expected), "{}", error.detail());
        }
    }

    #[test]
    fn sort_and_cursor_select_nothing() {
        assert!(filters(&[]).are_none());
        assert!(filters(&[("sort", "name"), ("cursor", "one")]).are_none());
        assert!(!filters(&[("in_stock", "false")]).are_none());
        assert!(filters(&[("status", "draft,active")]).has("status", "active"));
        assert!(!filters(&[("status", "draft,active")]).has("status", "archived"));
    }
}
