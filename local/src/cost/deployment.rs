//! Facts of the deployment that are billed: an extract of `template.yaml`, kept by a test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::File;
use crate::error::CommandError;
use crate::gateway::Function;

/// Facts of `template.yaml` with its default parameters.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Memory of each function, in MB.
    pub memory_mb: BTreeMap<Function, u64>,
    /// True if the functions record traces (X-Ray, active).
    pub traces: bool,
    /// Characters of the format of an access log's line, about as many as a line has; 0 without access logs.
    pub access_log_bytes: u64,
    /// Metrics that alarms watch. An alarm for anomalies counts as three.
    pub alarm_metrics: u64,
    /// Dashboards.
    pub dashboards: u64,
    /// Secrets that a deployment must have.
    pub secrets: u64,
    /// Calls of Reconcile in an hour.
    pub reconciles_per_hour: u64,
}

impl Deployment {
    /// Reads the committed extract.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn committed() -> Result<Self, CommandError> {
        let (name, text) =
            ("local/cost/deployment.json".to_owned(), include_str!("../../cost/deployment.json"));
        File { name, text: text.to_owned() }.parse()
    }
}
