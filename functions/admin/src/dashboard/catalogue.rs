//! The catalogue: a table of models, searched, filtered and sorted by the address.

use std::collections::{BTreeMap, HashMap};

use askama::Template;
use http::StatusCode;
use jiff::Timestamp;
use roster_core::Price;
use roster_core::end_of_life::days_left;
use roster_core::tier::Tier;
use roster_http::Reply;
use serde::Deserialize;

use super::api::ApiError;
use super::page::{self, Failure, Page};
use super::{Signed, form, show};

/// The models of a page.
const LIMIT: &str = "50";
/// What the ids of one request may take of its address: API Gateway takes some 10 KB of line and headers.
const MAX_IDS_BYTES: usize = 4_000;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct View {
    page: Page,
    q: String,
    filters: Vec<Filter>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    total: String,
    revision: u64,
    next: String,
    first: String,
}

/// A choice above the table.
struct Filter {
    name: &'static str,
    label: &'static str,
    options: Vec<(String, String, bool)>,
}

struct Column {
    label: &'static str,
    /// Where sorting by it leads; empty where it has no order.
    href: String,
    /// As ARIA says it: ascending, descending, none.
    order: &'static str,
    is_number: bool,
}

struct Row {
    id: String,
    name: String,
    provider: String,
    state: &'static str,
    tier: String,
    input: String,
    output: String,
    context: String,
    versions: String,
    owner: String,
    sunset: String,
    is_near: bool,
}

#[derive(Deserialize)]
struct Listing {
    models: Vec<Listed>,
    total: u64,
    revision: u64,
    next_cursor: Option<String>,
    #[serde(default)]
    facets: Facets,
}

#[derive(Default, Deserialize)]
struct Facets {
    #[serde(default)]
    provider: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    display_name: String,
    provider: String,
    is_available: bool,
    is_legacy: bool,
    is_archived: bool,
    required_tier: String,
    input_cost_per_million_tokens: Option<Price>,
    output_cost_per_million_tokens: Option<Price>,
    context_length: Option<u64>,
    legacy_info: LegacyInfo,
}

#[derive(Deserialize)]
struct LegacyInfo {
    sunset_date: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Records {
    models: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    model: FoundModel,
    origin: Origin,
}

#[derive(Deserialize)]
struct FoundModel {
    id: String,
    #[serde(default)]
    versions: Vec<FoundVersion>,
}

#[derive(Deserialize)]
struct FoundVersion {
    version: String,
    status: String,
}

#[derive(Deserialize)]
struct Origin {
    source: String,
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let visit = &signed.visit;
    let state = visit.query("state");
    let mut query = vec![("limit", LIMIT), ("facets", "provider")];
    for name in ["q", "provider", "capability", "tier", "sort", "cursor"] {
        query.extend(Some((name, visit.query(name).trim())).filter(|(_, value)| !value.is_empty()));
    }
    query.extend(match state {
        "active" => Some(("legacy", "false")),
        "legacy" => Some(("legacy", "true")),
        "all" => Some(("includeArchived", "true")),
        _ => None,
    });
    let listing: Listing = signed.api.get("/v1/models", &query).await?;
    let records = records(signed, listing.models.iter().map(|model| model.id.as_str())).await?;
    let now = visit.request.now;
    let rows = listing.models.iter().map(|model| Row::of(model, records.get(&model.id), now)).collect();
    let page = signed.page("Catalogue", "catalogue");
    let view = View {
        q: visit.query("q").to_owned(),
        filters: filters(signed, &listing.facets),
        columns: columns(signed),
        rows,
        total: show::counted(listing.total, "model"),
        revision: listing.revision,
        next: listing.next_cursor.map(|cursor| address(signed, "cursor", &cursor)).unwrap_or_default(),
        first: if visit.query("cursor").is_empty() { String::new() } else { address(signed, "cursor", "") },
        page,
    };
    Ok(page::html(visit, StatusCode::OK, &view))
}

/// The records of models, which say whose they are and which versions they have.
async fn records(signed: &Signed<'_>, ids: impl Iterator<Item = &str>) -> Result<HashMap<String, Found>, ApiError> {
    let mut parts: Vec<Vec<(&str, &str)>> = Vec::new();
    let mut bytes = MAX_IDS_BYTES;
    for id in ids {
        // Percent-encoding makes three characters of one at most.
        let length = id.len() * 3 + 4;
        bytes += length;
        if bytes > MAX_IDS_BYTES {
            parts.push(vec![("limit", "200")]);
            bytes = length;
        }
        if let Some(part) = parts.last_mut() {
            part.push(("id", id));
        }
    }
    let asked = parts.iter().map(|part| signed.api.get::<Records>("/admin/models", part));
    let found = futures::future::try_join_all(asked).await?;
    Ok(found.into_iter().flat_map(|page| page.models).map(|found| (found.model.id.clone(), found)).collect())
}

impl Row {
    fn of(model: &Listed, found: Option<&Found>, now: Timestamp) -> Self {
        let left = model.legacy_info.sunset_date.map(|sunset| days_left(sunset, now));
        let versions = found.map(|found| found.model.versions.as_slice()).unwrap_or_default();
        let active = versions.iter().find(|version| version.status == "active");
        let canary = versions.iter().find(|version| version.status == "canary");
        let told = [
            active.map(|version| version.version.clone()),
            canary.map(|version| format!("{} canary", version.version)),
        ];
        Self {
            id: model.id.clone(),
            name: model.display_name.clone(),
            provider: model.provider.clone(),
            state: show::state(model.is_archived, model.is_legacy, model.is_available),
            tier: model.required_tier.clone(),
            input: show::price(model.input_cost_per_million_tokens),
            output: show::price(model.output_cost_per_million_tokens),
            context: model.context_length.map(show::grouped).unwrap_or_default(),
            versions: match versions.len() {
                0 => String::new(),
                count if told.iter().all(Option::is_none) => count.to_string(),
                _ => told.into_iter().flatten().collect::<Vec<_>>().join(", "),
            },
            owner: found.map_or("", |found| if found.origin.source == "git" { "Git" } else { "API" }).to_owned(),
            sunset: left.map(show::days).unwrap_or_default(),
            is_near: left.is_some_and(|days| days <= 30),
        }
    }
}

fn filters(signed: &Signed<'_>, facets: &Facets) -> Vec<Filter> {
    let visit = &signed.visit;
    let filter = |name, label, all: &str, options: Vec<(String, String)>| {
        let chosen = visit.query(name);
        let options = std::iter::once((String::new(), all.to_owned())).chain(options);
        let options = options.map(|(value, text)| {
            let is_chosen = value == chosen;
            (value, text, is_chosen)
        });
        Filter { name, label, options: options.collect() }
    };
    let same = |name: &str| (name.to_owned(), name.replace('_', " "));
    let mut providers: Vec<(String, String)> =
        facets.provider.iter().map(|(name, count)| (name.clone(), format!("{name} ({count})"))).collect();
    let chosen = visit.query("provider");
    // What is chosen can be unchosen, also where nothing is left of it.
    if !chosen.is_empty() && !facets.provider.contains_key(chosen) {
        providers.push((chosen.to_owned(), chosen.to_owned()));
    }
    let states = [("active", "active only"), ("legacy", "legacy only"), ("all", "all, archived too")];
    let states = states.map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec();
    vec![
        filter("provider", "Provider", "every provider", providers),
        filter("capability", "Can do", "anything", form::choices("capability").iter().map(|name| same(name)).collect()),
        filter("tier", "For tier", "every tier", Tier::ALL.iter().map(|one| same(one.name())).collect()),
        filter("state", "State", "not archived", states),
    ]
}

fn columns(signed: &Signed<'_>) -> Vec<Column> {
    let sorted = signed.visit.query("sort");
    let column = |label, field: &str, is_number| {
        let (order, next) = match sorted.strip_prefix('-') {
            _ if field.is_empty() => ("none", String::new()),
            None if sorted == field => ("ascending", format!("-{field}")),
            Some(name) if name == field => ("descending", String::new()),
            _ => ("none", field.to_owned()),
        };
        let href = if field.is_empty() { String::new() } else { address(signed, "sort", &next) };
        Column { label, href, order, is_number }
    };
    vec![
        column("Model", "", false),
        column("Provider", "", false),
        column("State", "", false),
        column("Tier", "", false),
        column("Input", "input_cost_per_million_tokens", true),
        column("Output", "output_cost_per_million_tokens", true),
        column("Context", "context_length", true),
        column("Versions", "", false),
        column("Owner", "", false),
        column("Sunset", "sunset_date", false),
    ]
}

/// This page's address with another value of one parameter; a new order begins on the first page.
fn address(signed: &Signed<'_>, name: &str, value: &str) -> String {
    let visit = &signed.visit;
    let kept = visit.request.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let kept = kept.filter(|(other, value)| *other != name && *other != "cursor" && !value.is_empty());
    let pairs = kept.chain(Some((name, value)).filter(|(_, value)| !value.is_empty()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { visit.root.clone() } else { format!("{}?{query}", visit.root) }
}
