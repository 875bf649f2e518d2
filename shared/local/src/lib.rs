//! The local stack: what AWS does with `template.yaml`, in one process, or with a process a function.
//!
//! It reads the same template, so what is served, scheduled and streamed here is what is deployed.
//! It knows no function: who starts it passes the hosts in.

pub mod data_dir;
pub mod embedded;
pub mod filter;
pub mod gateway;
pub mod hosts;
pub mod lambda;
mod proxy_event;
pub mod pump;
pub mod router;
pub mod scheduler;
pub mod stack;
mod stop;
pub mod template;

pub use data_dir::{DataDir, DynamoDb, LocalError};
pub use embedded::Embedded;
pub use gateway::Gateway;
pub use hosts::Hosts;
pub use lambda::{Lambda, LambdaOptions};
pub use pump::Pump;
pub use scheduler::Scheduler;
pub use stack::{Stack, StackError, StackOptions};
pub use template::{LocalValues, Template, TemplateError};
