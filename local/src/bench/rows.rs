//! Rows of the table: a quantity of the functions, its floor, and the goal for their ratio.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Row of the table.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Processor time of all functions for an order.
    OrderCpu,
    /// Processor time of MongoDB for an order.
    OrderMongodbCpu,
    /// Time until an order is answered, with one client.
    OrderLatency,
    /// Orders a second with eight clients.
    OrderRate,
    /// Processor time for a product.
    ProductCpu,
    /// Processor time for a page of products.
    ProductListCpu,
    /// Processor time for a page of orders.
    OrderListCpu,
    /// Time from the start of orders to its first wait for an event.
    Init,
    /// Time from the start of all functions to the answer of an order.
    FirstOrder,
    /// Peak of the memory of a function.
    PeakMemory,
    /// Memory after a million requests.
    MemoryGrowth,
    /// Compressed size of a function.
    PackageSize,
    /// Processor time of all functions for an order, beside a function of Node.js.
    FastifyCpu,
    /// Time until an order is answered, with one client, beside functions in Go.
    GoLatency,
    /// Processor time of all functions for an order, beside functions in Go.
    GoCpu,
    /// Orders a second with eight clients, beside functions in Go.
    GoRate,
    /// Processor time of functions and MongoDB for each endpoint of a large shop.
    Growth,
    /// Times with the processor that small memory sizes have.
    SmallCpu,
}

/// Goal for the ratio to the floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Highest ratio.
    AtMost(f64),
    /// Lowest ratio.
    AtLeast(f64),
}

impl Goal {
    /// Returns true for a ratio that meets the goal.
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// Description of a row.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Quantity that is measured.
    pub title: &'static str,
    /// Unit of the quantity and of its floor.
    pub unit: &'static str,
    /// Floor.
    pub floor: &'static str,
    /// Goal, if the row has one.
    pub goal: Option<Goal>,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::OrderCpu,
        Self::OrderMongodbCpu,
        Self::OrderLatency,
        Self::OrderRate,
        Self::ProductCpu,
        Self::ProductListCpu,
        Self::OrderListCpu,
        Self::Init,
        Self::FirstOrder,
        Self::PeakMemory,
        Self::MemoryGrowth,
        Self::PackageSize,
        Self::FastifyCpu,
        Self::GoLatency,
        Self::GoCpu,
        Self::GoRate,
        Self::Growth,
        Self::SmallCpu,
    ];

    /// True if the row is measured only when it is named: it needs more than Rust, or many minutes.
    pub fn is_extra(self) -> bool {
        matches!(
            self,
            Self::FastifyCpu | Self::GoLatency | Self::GoCpu | Self::GoRate | Self::Growth | Self::SmallCpu
        )
    }

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderCpu => "order-cpu",
            Self::OrderMongodbCpu => "order-mongodb-cpu",
            Self::OrderLatency => "order-latency",
            Self::OrderRate => "order-rate",
            Self::ProductCpu => "product-cpu",
            Self::ProductListCpu => "product-list-cpu",
            Self::OrderListCpu => "order-list-cpu",
            Self::Init => "init",
            Self::FirstOrder => "first-order",
            Self::PeakMemory => "peak-memory",
            Self::MemoryGrowth => "memory-growth",
            Self::PackageSize => "package-size",
            Self::FastifyCpu => "fastify-cpu",
            Self::GoLatency => "go-latency",
            Self::GoCpu => "go-cpu",
            Self::GoRate => "go-rate",
            Self::Growth => "growth",
            Self::SmallCpu => "small-cpu",
        }
    }

    /// Description of the row.
    pub fn description(self) -> Description {
        use Goal::{AtLeast, AtMost};
        const WRITES: &str = "a function that makes the two writes, and nothing else";
        const FINDS: &str = "a function that finds the same documents, and nothing else";
        const GO: &str = "two functions in Go that do the same for an order of one item";
        let row = |title, unit, floor, goal| Description { title, unit, floor, goal };
        match self {
            Self::OrderCpu => {
                row("CPU of orders, products and users per order", "µs", WRITES, Some(AtMost(2.5)))
            }
            Self::OrderMongodbCpu => row("CPU of MongoDB per order", "µs", WRITES, Some(AtMost(1.3))),
            Self::OrderLatency => row("time of an order, 1 client", "µs", WRITES, None),
            Self::OrderRate => row("orders a second, 8 clients", "1/s", WRITES, Some(AtLeast(0.6))),
            Self::ProductCpu => row("CPU per product, with a token", "µs", FINDS, Some(AtMost(2.0))),
            Self::ProductListCpu => row("CPU per page of 20 products", "µs", FINDS, Some(AtMost(2.0))),
            Self::OrderListCpu => row("CPU per page of 20 orders", "µs", FINDS, Some(AtMost(2.0))),
            Self::Init => row(
                "start of orders until it waits for an event",
                "µs",
                "a function that connects to MongoDB, and sends a query",
                Some(AtMost(1.0)),
            ),
            Self::FirstOrder => row(
                "start of all functions until an order is answered",
                "µs",
                "start of a function that makes the two writes, and a call of a running one",
                Some(AtMost(1.5)),
            ),
            Self::PeakMemory => {
                row("peak memory of orders, products and docs", "KiB", "10 MB", Some(AtMost(1.0)))
            }
            Self::MemoryGrowth => row(
                "memory of products after 10^6 requests",
                "KiB",
                "its memory after 10^4 requests",
                Some(AtMost(1.02)),
            ),
            Self::PackageSize => row("largest function, compressed", "KiB", "3.5 MB", Some(AtMost(1.0))),
            Self::FastifyCpu => row(
                "CPU of orders, products and users per order",
                "µs",
                "a function with Fastify on Node.js that makes the two writes, and nothing else",
                Some(AtMost(0.35)),
            ),
            Self::GoLatency => row("time of an order, 1 client", "µs", GO, Some(AtMost(0.8))),
            Self::GoCpu => row("CPU of orders, products and users per order", "µs", GO, None),
            Self::GoRate => row("orders a second, 8 clients", "1/s", GO, Some(AtLeast(1.3))),
            Self::Growth => row(
                "CPU of functions and MongoDB per request, 10^6 orders and 10^5 products",
                "µs",
                "the same functions with 1,000 orders and 40 products",
                Some(AtMost(1.3)),
            ),
            Self::SmallCpu => row(
                "time with the CPU of a memory size, 1 client",
                "µs",
                "the floor of order-latency, product-cpu or init, with the same CPU",
                None,
            ),
        }
    }
}

/// Table of all rows in Markdown.
pub fn markdown() -> String {
    let mut text = "| row | functions | floor |\n| --- | --- | --- |\n".to_owned();
    for row in Row::ALL {
        let Description { title, floor, .. } = row.description();
        text.push_str(&format!("| {} | {title} | {floor} |\n", row.name()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_rows_are_those_of_files_and_options() {
        for row in Row::ALL {
            let option = row.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(option.as_deref(), Some(row.name()));
            assert_eq!(serde_json::to_value(row).ok(), Some(row.name().into()));
        }
    }
}
