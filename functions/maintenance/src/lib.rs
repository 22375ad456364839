//! The maintenance function: tasks around a deployment of the others. Each is a Lambda function with the same
//! program; `_HANDLER` selects the task.
//!
//! - [`schema`]: the schema step, which prepares a database for this build; `cargo local schema` runs it too
//! - [`custom_resource`]: the schema step as a resource of CloudFormation
//! - [`smoke`]: a journey through new versions before they get traffic, as a hook of CodeDeploy
//! - [`consistency`]: the whole consistency check, by a schedule
//! - [`environment`]: the tasks, and their environment variables
//! - [`task`]: the task of a process, built from its environment
//! - `bounded`: work that ends in time, also by a panic
//!
//! The schema step uses the stores of the other functions. The other tasks know them by their interfaces alone.

#[cfg(feature = "lambda")]
mod bounded;
#[cfg(feature = "lambda")]
pub mod consistency;
#[cfg(feature = "lambda")]
pub mod custom_resource;
pub mod environment;
mod keys;
pub mod schema;
#[cfg(feature = "lambda")]
pub mod smoke;
#[cfg(feature = "lambda")]
pub mod task;

/// Name of the function, as its calls and its log have it.
pub const NAME: &str = "maintenance";
