//! `POST /admin/models/import`: models of another catalogue, which the API owns; what Git owns is told and left alone.

use http::StatusCode;
use roster_core::tier::Tier;
use roster_exchange::{Format, Options};
use roster_http::{Problem, Query, Reply, Request};

use crate::App;
use crate::body::{header_reason, invalid, reason_problem};
use crate::imports::{self, Import};

/// The most bytes of a file. Lambda takes 6 MB, and what is no text comes to it a third longer.
const MAX_BYTES: usize = 4 * 1024 * 1024;

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let mut query = Query::of(&request);
    let from = query.one("from", |name| {
        Format::from_name(name)
            .ok_or_else(|| format!("\"{name}\" is no format: litellm, models.dev, openrouter, roster, csv"))
    });
    let tier = query.one("tier", str::parse::<Tier>).unwrap_or(Tier::Free);
    let is_dry_run = query.flag("dry_run").unwrap_or(false);
    let after = query.number("after", 0..=1_000_000).unwrap_or(0);
    query.finish()?;
    let format = from.ok_or_else(|| Problem::bad_parameter("from", "is missing: whose file the body is"))?;
    if request.body.len() > MAX_BYTES {
        return Err(Problem::payload_too_large(MAX_BYTES));
    }
    if format != Format::Csv {
        request.check_content_type()?;
    }
    let reason = header_reason(&request)?;
    if let Some(message) = reason_problem(&reason) {
        return Err(Problem::bad_parameter("X-Reason", message));
    }
    let reason = if reason.is_empty() { format!("import from {}", format.name()) } else { reason };
    let reading = roster_exchange::read(format, &request.body)
        .map_err(|error| invalid(&[roster_core::command::problem("", format!("the body is {error}"))]))?;
    let options = Options { tier, ..Options::default() };
    let import = Import { format, options, is_dry_run, after, reason };
    let data = imports::run(app, &request, &import, reading).await?;
    Ok(Reply::success(StatusCode::OK, if is_dry_run { "nothing was written" } else { "imported" }, data))
}
