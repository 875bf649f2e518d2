//! The local stack with toy functions under the deployed template.

mod data_dir;
mod gateway;
mod pump;
mod stack;
mod streams;
mod support;
