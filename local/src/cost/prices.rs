//! List prices: one row per item that is billed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::File;
use super::money::Money;
use crate::error::CommandError;

/// Thing with a price.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Lambda on Graviton: memory times billed duration.
    LambdaArm64Compute,
    /// Lambda on x86: memory times billed duration.
    LambdaX86Compute,
    /// Lambda: an invocation, from outside or by another function.
    LambdaRequest,
    /// API Gateway's HTTP API: a request of at most 512 KB.
    HttpApiRequest,
    /// CloudWatch Logs: taking in lines.
    LogIngestion,
    /// CloudWatch Logs: keeping lines, compressed.
    LogStorage,
    /// CloudWatch: a custom metric with one combination of dimensions.
    Metric,
    /// CloudWatch: a metric that an alarm watches.
    AlarmMetric,
    /// CloudWatch: a dashboard.
    Dashboard,
    /// X-Ray: a trace that is recorded.
    Trace,
    /// EventBridge Scheduler: a call.
    ScheduledCall,
    /// Secrets Manager: a secret.
    Secret,
    /// Secrets Manager: a call.
    SecretCall,
    /// Transfer to clients without CloudFront.
    TransferOut,
    /// Transfer between the functions and MongoDB in the same region, each way.
    TransferToDatabase,
    /// CloudFront: a request over HTTPS.
    CloudfrontRequest,
    /// CloudFront: transfer to clients.
    CloudfrontTransfer,
    /// WAF: a web ACL.
    WebAcl,
    /// WAF: a rule in a web ACL.
    WebAclRule,
    /// WAF: a request that is inspected.
    WebAclRequest,
    /// MongoDB Atlas: an M10 cluster, three nodes.
    AtlasM10,
    /// MongoDB Atlas: an M20 cluster, three nodes.
    AtlasM20,
    /// MongoDB Atlas: an M30 cluster, three nodes.
    AtlasM30,
    /// MongoDB Atlas: an M40 cluster, three nodes.
    AtlasM40,
    /// MongoDB Atlas: an M50 cluster, three nodes.
    AtlasM50,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::LambdaArm64Compute,
        Self::LambdaX86Compute,
        Self::LambdaRequest,
        Self::HttpApiRequest,
        Self::LogIngestion,
        Self::LogStorage,
        Self::Metric,
        Self::AlarmMetric,
        Self::Dashboard,
        Self::Trace,
        Self::ScheduledCall,
        Self::Secret,
        Self::SecretCall,
        Self::TransferOut,
        Self::TransferToDatabase,
        Self::CloudfrontRequest,
        Self::CloudfrontTransfer,
        Self::WebAcl,
        Self::WebAclRule,
        Self::WebAclRequest,
        Self::AtlasM10,
        Self::AtlasM20,
        Self::AtlasM30,
        Self::AtlasM40,
        Self::AtlasM50,
    ];

    /// Unit in which it is billed. A GB is 2³⁰ bytes, a month 730 hours.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::LambdaArm64Compute | Self::LambdaX86Compute => "GB-second",
            Self::LambdaRequest | Self::HttpApiRequest | Self::CloudfrontRequest | Self::WebAclRequest => {
                "request"
            }
            Self::LogIngestion | Self::TransferOut | Self::TransferToDatabase | Self::CloudfrontTransfer => {
                "GB"
            }
            Self::LogStorage => "GB-month",
            Self::Metric | Self::AlarmMetric => "metric-month",
            Self::Dashboard => "dashboard-month",
            Self::Trace => "trace",
            Self::ScheduledCall | Self::SecretCall => "call",
            Self::Secret => "secret-month",
            Self::WebAcl => "ACL-month",
            Self::WebAclRule => "rule-month",
            Self::AtlasM10 | Self::AtlasM20 | Self::AtlasM30 | Self::AtlasM40 | Self::AtlasM50 => "hour",
        }
    }

    /// Name in the file.
    fn name(self) -> String {
        let name = serde_json::to_value(self).unwrap_or_default();
        name.as_str().unwrap_or_default().to_owned()
    }
}

/// Row of a price list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    item: Item,
    /// Price of `per` units.
    price: Money,
    /// Number of units that the price is for.
    per: u64,
    /// Unit, for readers; [`Item::unit`].
    unit: String,
    /// Code of the currency, ISO 4217.
    currency: String,
    region: String,
    /// Year and month of the price, such as `2025-06`.
    date: String,
}

/// File of prices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    /// Text for readers.
    #[serde(rename = "note")]
    _note: Option<String>,
    prices: Vec<Row>,
}

/// List prices of all items, in one currency and for one region.
#[derive(Clone, Debug)]
pub struct PriceList {
    rows: BTreeMap<Item, Row>,
    /// Code of the currency, ISO 4217.
    pub currency: String,
    /// Region of the provider.
    pub region: String,
    /// Date of the oldest price.
    pub date: String,
}

impl PriceList {
    /// Reads a price list.
    ///
    /// # Errors
    /// A row is missing, double or wrong; the error names it.
    pub(super) fn read(file: &File) -> Result<Self, CommandError> {
        let PriceFile { prices, .. } = file.parse()?;
        let Some(Row { currency, region, .. }) = prices.first().cloned() else {
            return Err(file.error("`prices` has no row"));
        };
        let mut list = Self { rows: BTreeMap::new(), currency, region, date: String::new() };
        for (place, row) in prices.into_iter().enumerate() {
            list.check(&row).map_err(|problem| file.error(format!("`prices[{place}].{problem}")))?;
            if list.date.is_empty() || row.date < list.date {
                list.date.clone_from(&row.date);
            }
            list.rows.insert(row.item, row);
        }
        let missing: Vec<String> =
            Item::ALL.into_iter().filter(|item| !list.rows.contains_key(item)).map(Item::name).collect();
        if !missing.is_empty() {
            return Err(file.error(format!("`prices` has no row with the item {}", missing.join(", "))));
        }
        Ok(list)
    }

    fn check(&self, row: &Row) -> Result<(), String> {
        if self.rows.contains_key(&row.item) {
            return Err(format!("item`: {} has a row already", row.item.name()));
        }
        if row.per == 0 {
            return Err("per`: must be 1 or more; got 0".to_owned());
        }
        for (field, value, expected) in [
            ("unit", &row.unit, row.item.unit()),
            ("currency", &row.currency, &self.currency),
            ("region", &row.region, &self.region),
        ] {
            if value != expected {
                return Err(format!("{field}`: must be {expected}; got `{value}`"));
            }
        }
        if !is_month(&row.date) {
            return Err(format!("date`: must be a year and a month such as 2025-06; got `{}`", row.date));
        }
        Ok(())
    }

    /// Price of `quantity / parts` units.
    pub fn of(&self, item: Item, quantity: u128, parts: u128) -> Money {
        let row = self.rows.get(&item);
        row.map(|row| row.price.times(quantity, u128::from(row.per).saturating_mul(parts)))
            .unwrap_or_default()
    }
}

fn is_month(text: &str) -> bool {
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
}
