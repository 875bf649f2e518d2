//! Importing another catalogue: first what would happen, then that.

use askama::Template;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use roster_core::tier::Tier;
use roster_exchange::Format;
use roster_http::Reply;
use roster_http::client::Call;
use serde_json::Value;

use super::Signed;
use super::api::ApiError;
use super::form::Form;
use super::page::{self, Failure, Page};
use super::show;

#[derive(Template)]
#[template(path = "import.html")]
struct View {
    page: Page,
    formats: Vec<(&'static str, bool)>,
    tiers: Vec<(&'static str, bool)>,
    text: String,
    reason: String,
    error: String,
    result: Option<Told>,
}

/// What the API tells of an import.
struct Told {
    is_dry_run: bool,
    created: String,
    updated: String,
    unchanged: String,
    models: Vec<(String, String)>,
    skipped: Vec<(String, String)>,
    /// How many models are still to come; empty at the end.
    next: String,
}

pub(crate) fn page(signed: &Signed<'_>) -> Reply {
    show_form(signed, StatusCode::OK, None, String::new(), None)
}

fn show_form(
    signed: &Signed<'_>,
    status: StatusCode,
    form: Option<&Form>,
    error: String,
    result: Option<Told>,
) -> Reply {
    let get = |name: &str| form.map(|form| form.get(name)).unwrap_or_default();
    let view = View {
        page: signed.page("Import", "import"),
        formats: Format::ALL.map(|format| (format.name(), format.name() == get("from"))).to_vec(),
        tiers: Tier::ALL.map(|tier| (tier.name(), tier.name() == get("tier"))).to_vec(),
        text: get("text").to_owned(),
        reason: get("reason").to_owned(),
        error,
        result,
    };
    page::html(&signed.visit, status, &view)
}

pub(crate) async fn submit(signed: &Signed<'_>, form: &Form) -> Result<Reply, Failure> {
    let is_dry_run = form.get("step") != "import";
    let refused =
        |error: &str| Ok(show_form(signed, StatusCode::UNPROCESSABLE_ENTITY, Some(form), error.to_owned(), None));
    if form.get("text").trim().is_empty() {
        return refused("Catalogue: choose a file, or paste its text.");
    }
    if !is_dry_run && form.get("reason").trim().is_empty() {
        return refused("Reason: say why, for who reads the history.");
    }
    let dry_run = if is_dry_run { "true" } else { "false" };
    let mut query = vec![("from", form.get("from")), ("tier", form.get("tier")), ("dry_run", dry_run)];
    query.extend(Some(("after", form.get("after"))).filter(|(_, after)| !after.is_empty()));
    let kind = if form.get("from") == "csv" { "text/csv" } else { "application/json" };
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let reason = HeaderValue::from_bytes(form.get("reason").trim().as_bytes());
    let Ok(reason) = reason else { return refused("Reason: it is one line of text.") };
    if !reason.is_empty() {
        headers.insert(HeaderName::from_static("x-reason"), reason);
    }
    let body = Bytes::from(form.get("text").to_owned());
    let call = Call { method: Method::POST, path: "/admin/models/import", query: &query, headers, body };
    match signed.api.call(call).await {
        Ok(done) => {
            Ok(show_form(signed, StatusCode::OK, Some(form), String::new(), Some(Told::of(&done.data, is_dry_run))))
        }
        Err(ApiError::Refused(refused)) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Ok(show_form(signed, status, Some(form), format!("{}: {}", refused.title, refused.detail), None))
        }
        Err(error) => Err(error.into()),
    }
}

impl Told {
    fn of(data: &Value, is_dry_run: bool) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = |key: &str, one: &str, other: &str| {
            let list = data[key].as_array().into_iter().flatten();
            list.map(|entry| (text(&entry[one]), text(&entry[other]))).collect()
        };
        Self {
            is_dry_run,
            created: show::value(&data["created"]),
            updated: show::value(&data["updated"]),
            unchanged: show::value(&data["unchanged"]),
            models: pairs("models", "id", "outcome"),
            skipped: pairs("skipped", "key", "reason"),
            next: data["next"].as_u64().map(|next| next.to_string()).unwrap_or_default(),
        }
    }
}
