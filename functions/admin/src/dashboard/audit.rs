//! What was done, by whom and why.

use askama::Template;
use http::StatusCode;
use roster_http::Reply;
use serde::Deserialize;
use serde_json::Value;

use super::Signed;
use super::page::{self, Failure, Page};
use super::show::{self, FieldChange, Line};

/// The filters, as the API has them, with their labels.
const FILTERS: [(&str, &str, &str); 7] = [
    ("model", "Model", "text"),
    ("actor", "Actor", "text"),
    ("operation", "Operation", "text"),
    ("severity", "At least", "severity"),
    ("source", "Source", "source"),
    ("from", "From", "date"),
    ("to", "Before", "date"),
];

#[derive(Template)]
#[template(path = "audit.html")]
struct View {
    page: Page,
    filters: Vec<Filter>,
    entries: Vec<Entry>,
    next: String,
    csv: String,
}

struct Filter {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    value: String,
    options: Vec<(&'static str, bool)>,
}

struct Entry {
    at: String,
    who: String,
    what: String,
    model: String,
    severity: String,
    source: String,
    why: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timeline {
    entries: Vec<Value>,
    next_cursor: Option<String>,
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let asked = asked(signed);
    let mut query = asked.clone();
    query.push(("limit", "50"));
    query.extend(Some(("cursor", signed.visit.query("cursor"))).filter(|(_, cursor)| !cursor.is_empty()));
    let timeline: Timeline = signed.api.get("/admin/audit", &query).await?;
    let address = |path: &str, more: Option<(&str, &str)>| {
        let pairs = asked.iter().copied().chain(more);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{}/{path}?{query}", signed.visit.root)
    };
    let view = View {
        filters: filters(signed),
        entries: timeline.entries.iter().map(Entry::of).collect(),
        next: timeline.next_cursor.map(|cursor| address("audit", Some(("cursor", &cursor)))).unwrap_or_default(),
        csv: address("audit.csv", None),
        page: signed.page("Audit", "audit"),
    };
    Ok(page::html(&signed.visit, StatusCode::OK, &view))
}

/// The same as a file for a spreadsheet.
pub(crate) async fn file(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let mut query: Vec<(String, String)> = vec![("format".to_owned(), "csv".to_owned())];
    query.extend(asked(signed).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(signed.api.file("/admin/audit/export", &query).await?)
}

fn asked<'s>(signed: &'s Signed<'_>) -> Vec<(&'static str, &'s str)> {
    let values = FILTERS.map(|(name, ..)| (name, signed.visit.query(name).trim()));
    values.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn filters(signed: &Signed<'_>) -> Vec<Filter> {
    let filters = FILTERS.map(|(name, label, kind)| {
        let value = signed.visit.query(name).to_owned();
        let names: &[&'static str] = match kind {
            "severity" => &["info", "warning", "critical"],
            "source" => &["git", "api", "clock", "rollout"],
            _ => &[],
        };
        let options = names.iter().map(|name| (*name, *name == value)).collect();
        Filter { name, label, kind, value, options }
    });
    filters.into()
}

impl Entry {
    fn of(entry: &Value) -> Self {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let operations: Vec<String> =
            entry["operations"].as_array().into_iter().flatten().map(show::operation).collect();
        let changes: Vec<FieldChange> = serde_json::from_value(entry["changes"].clone()).unwrap_or_default();
        let what = if operations.is_empty() { text("type").replace('_', " ") } else { operations.join(", ") };
        Self {
            at: show::moment_of(&text("at")),
            who: show::author(&text("actor")).to_owned(),
            what,
            model: text("modelId"),
            severity: text("severity"),
            source: text("source"),
            why: [text("reason"), text("message")].into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
            lines: show::changes(&changes),
        }
    }
}
