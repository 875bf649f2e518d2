//! Everything about one model.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use jiff::Timestamp;
use roster_core::Price;
use roster_core::end_of_life::days_left;
use roster_core::price::Prices;
use roster_core::version::{Move, VersionStatus};
use roster_http::Reply;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::Signed;
use super::api::{ApiError, segment};
use super::chart::{self, Bars, Since};
use super::page::{self, Failure, Page};
use super::show::{self, FieldChange, Line};

/// Replacements that are followed: a longer chain is no help to anybody.
const MAX_CHAIN: usize = 8;

#[derive(Template)]
#[template(path = "model.html")]
struct View {
    page: Page,
    id: String,
    name: String,
    state: &'static str,
    is_removed: bool,
    owner: String,
    owner_link: String,
    overridden_until: String,
    facts: Vec<(&'static str, String)>,
    capabilities: Vec<String>,
    access: Vec<(String, &'static str)>,
    chain: Vec<Link>,
    intervals: Vec<Interval>,
    price_chart: Option<chart::Prices>,
    versions: Vec<Version>,
    version_charts: Vec<Bars>,
    rollout: Option<Rollout>,
    history: Vec<Entry>,
    older: String,
    /// All of it, as JSON.
    document: String,
}

struct Link {
    id: String,
    name: String,
    state: &'static str,
}

struct Interval {
    from: String,
    to: String,
    input: String,
    output: String,
    others: String,
    why: String,
    is_scheduled: bool,
}

struct Version {
    number: String,
    status: String,
    weight: u64,
    samples: String,
    latency: String,
    errors: String,
    cost: String,
    end_of_life: String,
    can_be_active: bool,
    can_retire: bool,
    can_deprecate: bool,
}

/// How far a rollout is.
pub(crate) struct Rollout {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) stable: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) since: String,
    pub(crate) is_held: bool,
    pub(crate) is_under_way: bool,
}

struct Entry {
    what: String,
    at: String,
    who: String,
    why: String,
    commit: String,
    commit_link: String,
    pull_request: String,
    pull_request_link: String,
    lines: Vec<Line>,
}

/// A record of the API, as far as pages show it.
#[derive(Deserialize)]
pub(crate) struct Record {
    pub(crate) model: Value,
    #[serde(default)]
    pub(crate) computed: Vec<String>,
    pub(crate) origin: Value,
    #[serde(default)]
    pub(crate) removed: bool,
    #[serde(default, rename = "override")]
    overridden: Option<Value>,
    #[serde(default)]
    access: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Records {
    pub(crate) models: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    display_name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    capabilities: Vec<String>,
    context_length: Option<u64>,
    max_output_tokens: Option<u64>,
    input_cost_per_million_tokens: Option<Price>,
    output_cost_per_million_tokens: Option<Price>,
    credits_per_1k_tokens: Option<u64>,
    required_tier: String,
    tier_restriction_mode: String,
    #[serde(default)]
    allowed_tiers: Vec<String>,
    legacy_replacement_model_id: Option<String>,
    deprecation_notice: Option<String>,
    sunset_date: Option<Timestamp>,
    #[serde(default)]
    internal_notes: String,
    #[serde(default)]
    compliance_tags: Vec<String>,
}

#[derive(Deserialize)]
struct History {
    entries: Vec<HistoryEntry>,
    #[serde(rename = "nextCursor")]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct HistoryEntry {
    change: Change,
    #[serde(default)]
    changes: Vec<FieldChange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(default)]
    operations: Vec<Value>,
    actor: String,
    #[serde(default)]
    reason: String,
    at: Timestamp,
    #[serde(default)]
    commit: Option<String>,
    #[serde(default)]
    pull_request: Option<u64>,
}

#[derive(Deserialize)]
struct PriceHistory {
    intervals: Vec<PriceInterval>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceInterval {
    from: Timestamp,
    to: Option<Timestamp>,
    input_cost_per_million_tokens: Option<Price>,
    output_cost_per_million_tokens: Option<Price>,
    prices: Option<Prices>,
    #[serde(default)]
    is_scheduled: bool,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Value>,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Deserialize)]
struct Usage {
    groups: Vec<Value>,
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let (visit, api) = (&signed.visit, &signed.api);
    let id = visit.query("id");
    let base = format!("/admin/models/{}", segment(id));
    let (history_path, prices_path, versions_path) =
        (format!("{base}/history"), format!("{base}/prices"), format!("{base}/versions"));
    let (before, no_query) = (visit.query("before"), &[][..]);
    let mut history_query = vec![("limit", "20")];
    history_query.extend(Some(("cursor", before)).filter(|(_, cursor)| !cursor.is_empty()));
    let usage_query = [("group_by", "version"), ("model", id)];
    let (record, history, prices, versions, usage) = tokio::join!(
        api.get::<Record>(&base, no_query),
        api.get::<History>(&history_path, &history_query),
        api.get::<PriceHistory>(&prices_path, &[("limit", "100")]),
        api.get::<Versions>(&versions_path, no_query),
        api.get::<Usage>("/admin/analytics", &usage_query),
    );
    let record = record?;
    let meta: Meta = serde_json::from_value(record.model["meta"].clone()).map_err(|error| {
        tracing::error!(%error, id, "a model cannot be shown");
        Failure::Api(ApiError::Unreachable)
    })?;
    let (history, prices, versions, usage) = (history?, prices?, versions?, usage?);
    let chain = chain(signed, id, meta.legacy_replacement_model_id.as_deref()).await?;
    let now = visit.request.now;
    let repository = record.origin["repository"].as_str().unwrap_or_default();
    let is_git = record.origin["source"] == "git";
    let text = |key: &str| record.origin[key].as_str().unwrap_or_default();
    let (rows, version_charts) = told(&versions.versions, &usage.groups);
    let mut since: Vec<Since> = prices.intervals.iter().map(PriceInterval::since).collect();
    since.reverse();
    let view = View {
        page: signed.page(meta.display_name.clone(), "catalogue"),
        id: id.to_owned(),
        name: meta.display_name.clone(),
        state: state(&record.model),
        is_removed: record.removed,
        owner: match is_git {
            true => format!("Git: {} at {}", text("path"), show::commit(text("commit"))),
            false => format!("API: made by {}", text("subject")),
        },
        owner_link: show::link(repository, "commit", text("commit")),
        overridden_until: record
            .overridden
            .map(|terms| show::moment_of(terms["until"].as_str().unwrap_or_default()))
            .unwrap_or_default(),
        facts: facts(&record.model, &meta, &record.computed, now),
        access: record.access.iter().map(|(tier, status)| (tier.replace('_', " "), access(status))).collect(),
        capabilities: meta.capabilities.iter().map(|name| name.replace('_', " ")).collect(),
        chain,
        price_chart: chart::Prices::of(&since, now),
        intervals: prices.intervals.iter().map(PriceInterval::shown).collect(),
        rollout: versions.status.as_ref().map(|status| Rollout::of(id, status)),
        versions: rows,
        version_charts,
        older: history.next_cursor.map(|cursor| older(signed, id, &cursor)).unwrap_or_default(),
        document: serde_json::to_string_pretty(&record.model).unwrap_or_default(),
        history: history.entries.iter().map(|entry| Entry::of(entry, repository)).collect(),
    };
    Ok(page::html(visit, StatusCode::OK, &view))
}

fn older(signed: &Signed<'_>, id: &str, cursor: &str) -> String {
    let pairs = [("id", id), ("before", cursor)];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{}/model?{query}", signed.visit.root)
}

/// A model's state in one word.
fn state(model: &Value) -> &'static str {
    let is = |key: &str| model[key] == true;
    show::state(is("isArchived"), is("isLegacy"), is("isAvailable"))
}

fn access(status: &str) -> &'static str {
    match status {
        "allowed" => "may use it",
        "upgrade_required" => "after an upgrade",
        _ => "may not use it",
    }
}

/// What takes a model's place, and what takes that one's.
async fn chain(signed: &Signed<'_>, id: &str, replacement: Option<&str>) -> Result<Vec<Link>, ApiError> {
    let (mut chain, mut seen) = (Vec::new(), vec![id.to_owned()]);
    let mut next = replacement.map(str::to_owned);
    while let Some(id) = next.take().filter(|id| !seen.contains(id) && chain.len() < MAX_CHAIN) {
        let found: Records = signed.api.get("/admin/models", &[("id", &id)]).await?;
        let Some(record) = found.models.first() else { break };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        next = text(&record.model["meta"]["legacyReplacementModelId"]);
        let name = text(&record.model["meta"]["displayName"]).unwrap_or_default();
        chain.push(Link { id: id.clone(), name, state: state(&record.model) });
        seen.push(id);
    }
    Ok(chain)
}

fn facts(model: &Value, meta: &Meta, computed: &[String], now: Timestamp) -> Vec<(&'static str, String)> {
    let text = |key: &str| model[key].as_str().unwrap_or_default().to_owned();
    let names = |value: &Value| {
        let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let credits = meta.credits_per_1k_tokens.map(|credits| match computed.is_empty() {
        true => credits.to_string(),
        false => format!("{credits}, computed from the prices"),
    });
    let tiers = match meta.tier_restriction_mode.as_str() {
        "whitelist" => format!("one of {}", meta.allowed_tiers.join(", ")),
        "exact" => format!("exactly {}", meta.required_tier),
        _ => format!("{} and above", meta.required_tier),
    };
    let sunset =
        meta.sunset_date.map(|sunset| format!("{}, {}", show::moment(sunset), show::days(days_left(sunset, now))));
    let facts = [
        ("Provider", text("provider")),
        ("Name at the provider", text("name")),
        ("Aliases", names(&model["aliases"])),
        ("Description", meta.description.clone()),
        ("Context", meta.context_length.map(|tokens| format!("{} tokens", show::grouped(tokens))).unwrap_or_default()),
        (
            "Longest answer",
            meta.max_output_tokens.map(|tokens| format!("{} tokens", show::grouped(tokens))).unwrap_or_default(),
        ),
        ("Input", per_million(meta.input_cost_per_million_tokens)),
        ("Output", per_million(meta.output_cost_per_million_tokens)),
        ("Credits for 1,000 tokens", credits.unwrap_or_default()),
        ("For tiers", tiers),
        (
            "Protected",
            if model["protected"] == true { "removing or archiving it is held".to_owned() } else { String::new() },
        ),
        ("Sunset", sunset.unwrap_or_default()),
        ("Deprecation notice", meta.deprecation_notice.clone().unwrap_or_default()),
        ("Compliance tags", meta.compliance_tags.join(", ")),
        ("Internal notes", meta.internal_notes.clone()),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn per_million(price: Option<Price>) -> String {
    price.map_or_else(|| "unknown".to_owned(), |price| format!("{} per million tokens", show::dollars(price)))
}

impl PriceInterval {
    fn since(&self) -> Since {
        Since {
            from: self.from,
            input: self.input_cost_per_million_tokens,
            output: self.output_cost_per_million_tokens,
        }
    }

    fn shown(&self) -> Interval {
        let others = self.prices.as_ref().and_then(|prices| serde_json::to_value(prices).ok()).unwrap_or_default();
        let others = others.as_object().into_iter().flatten().filter_map(|(name, value)| {
            let price: Price = serde_json::from_value(value.clone()).ok()?;
            Some(format!("{name} {}", show::dollars(price)))
        });
        Interval {
            from: show::moment(self.from),
            to: self.to.map(show::moment).unwrap_or_default(),
            input: show::price(self.input_cost_per_million_tokens),
            output: show::price(self.output_cost_per_million_tokens),
            others: others.collect::<Vec<_>>().join(", "),
            why: self.reason.clone(),
            is_scheduled: self.is_scheduled,
        }
    }
}

/// A number as it was written.
fn number(value: &Value) -> Option<Decimal> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

fn told(versions: &[Value], usage: &[Value]) -> (Vec<Version>, Vec<Bars>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |version: &Value| usage.iter().find(|group| group["version"] == version["version"]);
    let percent = |rate: Decimal| format!("{}%", (rate * Decimal::ONE_HUNDRED).round_dp(2).normalize());
    let measured = |version: &Value, keys: [&str; 2]| {
        let group = of(version)?;
        let value = if keys[1].is_empty() { &group[keys[0]] } else { &group[keys[0]][keys[1]] };
        number(value)
    };
    let cost = |value: Decimal| format!("${}", value.round_dp(6).normalize());
    let millis = |value: Decimal| format!("{} ms", value.round());
    let rows = versions.iter().map(|version| {
        let status = text(&version["effectiveStatus"]);
        let latency =
            ["p50", "p95", "p99"].map(|key| measured(version, ["latencyMs", key]).map(millis).unwrap_or_default());
        Version {
            number: text(&version["version"]),
            weight: version["weightPercent"].as_u64().unwrap_or_default(),
            samples: measured(version, ["samples", ""]).map(|count| count.to_string()).unwrap_or_default(),
            latency: if latency[0].is_empty() { String::new() } else { latency.join(" / ") },
            errors: measured(version, ["errorRate", ""]).map(percent).unwrap_or_default(),
            cost: measured(version, ["meanCostUsd", ""]).map(cost).unwrap_or_default(),
            end_of_life: version["endOfLife"].as_str().map(show::moment_of).unwrap_or_default(),
            can_be_active: may_become(&status, VersionStatus::Active),
            can_deprecate: may_become(&status, VersionStatus::Deprecated),
            can_retire: may_become(&status, VersionStatus::Retired),
            status,
        }
    });
    let rows: Vec<Version> = rows.collect();
    let chart = |title, keys: [&str; 2], words: &dyn Fn(Decimal) -> String| {
        let values: Vec<_> = versions
            .iter()
            .map(|version| {
                let value = measured(version, keys);
                (text(&version["version"]), value, value.map_or_else(|| "no results".to_owned(), words))
            })
            .collect();
        Bars::of(title, &values)
    };
    let traffic: Vec<_> = versions
        .iter()
        .map(|version| {
            let weight = version["weightPercent"].as_u64().unwrap_or_default();
            (text(&version["version"]), Some(Decimal::from(weight)), format!("{weight}%"))
        })
        .collect();
    let charts = [
        Bars::of("Share of the traffic", &traffic).filter(|_| !versions.is_empty()),
        chart("Latency, median", ["latencyMs", "p50"], &millis),
        chart("Latency, 95th percentile", ["latencyMs", "p95"], &millis),
        chart("Latency, 99th percentile", ["latencyMs", "p99"], &millis),
        chart("Error rate", ["errorRate", ""], &percent),
        chart("Mean cost of a request", ["meanCostUsd", ""], &cost),
    ];
    (rows, charts.into_iter().flatten().collect())
}

/// Whether an admin may move a version so. The active one only leaves for another.
fn may_become(status: &str, to: VersionStatus) -> bool {
    let status = VersionStatus::ALL.into_iter().find(|one| one.name() == status);
    status.is_some_and(|from| from != VersionStatus::Active && Move::new(from, to).is_ok())
}

impl Rollout {
    pub(crate) fn of(model: &str, status: &Value) -> Self {
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        let state = text("state");
        Self {
            model: model.to_owned(),
            version: text("version"),
            stable: text("stable"),
            reason: text("reason"),
            since: show::moment_of(&text("since")),
            is_held: status["pausedBy"].is_string(),
            is_under_way: ["running", "paused"].contains(&state.as_str()),
            state: state.replace('_', " "),
        }
    }
}

impl Entry {
    fn of(entry: &HistoryEntry, repository: &str) -> Self {
        let change = &entry.change;
        let commit = change.commit.as_deref().unwrap_or_default();
        let number = change.pull_request.map(|number| number.to_string()).unwrap_or_default();
        Self {
            what: change.operations.iter().map(show::operation).collect::<Vec<_>>().join(", "),
            at: show::moment(change.at),
            who: show::author(&change.actor).to_owned(),
            why: change.reason.clone(),
            commit: show::commit(commit),
            commit_link: show::link(repository, "commit", commit),
            pull_request_link: show::link(repository, "pull", &number),
            pull_request: number,
            lines: show::changes(&entry.changes),
        }
    }
}
