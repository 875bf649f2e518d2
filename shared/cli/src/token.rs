//! `roster token`: a token for the local stack, signed with the secret of its data directory.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use roster_core::tier::Tier;
use roster_http::auth::{Role, issue_dev_token};
use roster_local::DataDir;
use serde_json::json;

use crate::Json;
use crate::output::Failure;

/// What `roster token` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A role: admin, super_admin or service; may be repeated
    #[arg(long, value_parser = role)]
    role: Vec<Role>,
    /// The tier: free, pro, pro_max, enterprise_pro, enterprise_max or perpetual
    #[arg(long)]
    tier: Option<Tier>,
    /// Whom the token is for
    #[arg(long, default_value = "dev")]
    sub: String,
    /// How many hours the token is good for
    #[arg(long, default_value_t = 12)]
    hours: u32,
    /// The data directory of the stack that shall take the token
    #[arg(long, default_value = ".roster")]
    data: PathBuf,
    #[command(flatten)]
    json: Json,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| "expected admin, super_admin or service".to_owned())
}

/// Prints a token.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let secret = DataDir::create(&arguments.data)?.dev_secret()?;
    let roles = arguments.role.iter().copied().collect();
    let hours = Duration::from_secs(u64::from(arguments.hours) * 3600);
    let token = issue(&secret, &arguments.sub, &roles, arguments.tier, hours)?;
    let output = arguments.json.output();
    output.report(&json!({"token": token}), |_| output.line(&token))
}

/// A token from now on.
pub(crate) fn issue(
    secret: &str,
    subject: &str,
    roles: &BTreeSet<Role>,
    tier: Option<Tier>,
    ttl: Duration,
) -> Result<String, Failure> {
    Ok(issue_dev_token(secret, subject, roles, tier, ttl, Timestamp::now())?)
}
