//! Assumptions about a shop and its surroundings: the options of `cargo local cost`.

use std::fmt;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use super::prices::Item;

/// Highest number of orders a month.
const MOST_ORDERS: u64 = 1_000_000_000;

/// Highest number of requests for one order.
const MOST_REQUESTS: u64 = 100_000;

/// Longest latency, in microseconds: 10 s.
const LONGEST: u64 = 10_000_000;

/// Month of a shop, and where its parts are.
#[derive(Args, Clone, Debug)]
pub struct Assumptions {
    /// Orders a month, each placed, paid and shipped
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.orders, value_parser = at_most(MOST_ORDERS))]
    pub orders: u64,

    /// Pages of the product list that clients read for one order
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.lists_per_order, value_parser = at_most(MOST_REQUESTS))]
    pub lists_per_order: u64,

    /// Products that clients read for one order
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.reads_per_order, value_parser = at_most(MOST_REQUESTS))]
    pub reads_per_order: u64,

    /// Sign-ins for one order
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.sign_ins_per_order, value_parser = at_most(MOST_REQUESTS))]
    pub sign_ins_per_order: u64,

    /// Times that an order is read
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.order_reads_per_order, value_parser = at_most(MOST_REQUESTS))]
    pub order_reads_per_order: u64,

    /// Requests a month for paths that do not exist, as scanners send them
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.unknown_paths, value_parser = at_most(MOST_ORDERS))]
    pub unknown_paths: u64,

    /// Network time of a round trip to MongoDB
    #[arg(long, value_name = "MS", default_value_t = Self::DEFAULT.mongodb_latency)]
    pub mongodb_latency: Latency,

    /// Further time of a write until a majority of MongoDB's nodes has it in its journals
    #[arg(long, value_name = "MS", default_value_t = Self::DEFAULT.journal_latency)]
    pub journal_latency: Latency,

    /// Time that Lambda adds to a call between functions
    #[arg(long, value_name = "MS", default_value_t = Self::DEFAULT.invoke_latency)]
    pub invoke_latency: Latency,

    /// Invocations in 1,000 that start a new environment
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.cold_starts, value_parser = at_most(1_000))]
    pub cold_starts: u64,

    /// Time of a cold start beside its processor time: connections, secrets
    #[arg(long, value_name = "MS", default_value_t = Self::DEFAULT.init_latency)]
    pub init_latency: Latency,

    /// Processor of the functions
    #[arg(long, value_enum, default_value_t = Self::DEFAULT.architecture)]
    pub architecture: Architecture,

    /// Cluster of MongoDB Atlas
    #[arg(long, value_enum, default_value_t = Self::DEFAULT.cluster)]
    pub cluster: Cluster,

    /// Custom metrics: combinations of name and dimensions
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.metrics, value_parser = at_most(MOST_REQUESTS))]
    pub metrics: u64,

    /// Put CloudFront in front
    #[arg(long)]
    pub cloudfront: bool,

    /// Rules of a web ACL (WAF) at CloudFront; 0 is no web ACL
    #[arg(long, value_name = "N", default_value_t = Self::DEFAULT.waf_rules, requires = "cloudfront", value_parser = at_most(1_000))]
    pub waf_rules: u64,
}

impl Assumptions {
    /// Defaults of the options.
    pub const DEFAULT: Self = Self {
        orders: 1_000_000,
        lists_per_order: 10,
        reads_per_order: 20,
        sign_ins_per_order: 1,
        order_reads_per_order: 2,
        unknown_paths: 100_000,
        mongodb_latency: Latency::from_millis(1),
        journal_latency: Latency::from_millis(3),
        invoke_latency: Latency::from_millis(5),
        cold_starts: 2,
        init_latency: Latency::from_millis(200),
        architecture: Architecture::Arm64,
        cluster: Cluster::M30,
        metrics: 58,
        cloudfront: false,
        waf_rules: 0,
    };
}

/// Parser of whole numbers up to this one.
fn at_most(most: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(..=most)
}

/// Time in milliseconds, with up to three decimal places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Latency {
    /// The time, in microseconds.
    pub microseconds: u64,
}

impl Latency {
    const fn from_millis(millis: u64) -> Self {
        Self { microseconds: millis * 1_000 }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.microseconds / 1_000, self.microseconds % 1_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Latency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "must be milliseconds, 0 to 10000, such as 1 or 0.5";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str| {
            let is_short =
                (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_short.then(|| digits.parse::<u64>().ok()).flatten()
        };
        if !(1..=3).contains(&fraction.len()) {
            return Err(PROBLEM);
        }
        let (Some(millis), Some(micros)) = (number(whole), number(&format!("{fraction:0<3}"))) else {
            return Err(PROBLEM);
        };
        let microseconds = millis * 1_000 + micros;
        if microseconds > LONGEST { Err(PROBLEM) } else { Ok(Self { microseconds }) }
    }
}

/// Processor of the functions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Architecture {
    /// Graviton
    Arm64,
    /// Intel and AMD
    #[value(name = "x86_64")]
    X86,
}

impl Architecture {
    /// Item that is billed for its computing.
    pub fn item(self) -> Item {
        match self {
            Self::Arm64 => Item::LambdaArm64Compute,
            Self::X86 => Item::LambdaX86Compute,
        }
    }
}

/// Cluster of MongoDB Atlas, three nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Cluster {
    /// 2 GB of memory, shared processors: for trials
    M10,
    /// 4 GB of memory, shared processors: for small shops
    M20,
    /// 8 GB of memory, 2 processors: the smallest for production
    M30,
    /// 16 GB of memory, 4 processors
    M40,
    /// 32 GB of memory, 8 processors
    M50,
}

impl Cluster {
    /// Item that is billed for it.
    pub fn item(self) -> Item {
        match self {
            Self::M10 => Item::AtlasM10,
            Self::M20 => Item::AtlasM20,
            Self::M30 => Item::AtlasM30,
            Self::M40 => Item::AtlasM40,
            Self::M50 => Item::AtlasM50,
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_read_in_milliseconds_and_written_so() {
        for (text, microseconds) in
            [("0", 0), ("1", 1_000), ("0.5", 500), ("12.345", 12_345), ("10000", LONGEST)]
        {
            let latency: Latency = text.parse().unwrap();
            assert_eq!(latency.microseconds, microseconds);
            assert_eq!(latency.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_latency_is_refused() {
        for text in ["", "-1", "1.", ".5", "1.2345", "10001", "1e3", "1 ms", "99999999999999999999"] {
            assert!(text.parse::<Latency>().is_err(), "{text}");
        }
    }
}
