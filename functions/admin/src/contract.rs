//! What admins may count on, function by function: the part of the OpenAPI document that neither routes nor registries
//! say.

use roster_contract::schemas::{
    commit, count, flag, list, nullable, object, one_of, text, time, with_keys, with_optional,
};
use roster_contract::{Endpoint, Schemas};
use roster_core::ModelId;
use roster_core::alert::Alert;
use roster_core::audit::{AuditEntry, Report, Severity};
use roster_core::decision::Decision;
use roster_core::diff::FieldChange;
use roster_core::evaluate;
use roster_core::guard::Hold;
use roster_core::measure::Summary;
use roster_core::meta::Capability;
use roster_core::plan::Operation;
use roster_core::price::{Price, Prices};
use roster_core::quote::{Dollars, Line, MAX_TOKENS};
use roster_core::record::{Archival, ChangeNote, GitOrigin, HistoryEntry, OverrideTerms};
use roster_core::rollout::RolloutStatus;
use roster_core::status::Status;
use roster_core::tier::{AccessStatus, Tier};
use roster_core::usage::{GroupBy, Told};
use roster_core::version::VersionStatus;
use roster_exchange::Format;
use serde_json::{Value, json};

use crate::{analytics, export_audit, list_alerts, list_audit, listing, model_history, model_prices};

/// What `v` in a path is.
const VERSION: &str = "The version's number.";

/// The functions of this artifact by name.
#[must_use]
pub fn endpoints(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let status = schemas.of::<AccessStatus>();
    let access = object(Tier::ALL.map(|tier| (tier.name(), status.clone())));
    let record = with_keys(record(schemas), [("access", access)]);
    let shown = schemas.named("RecordWithAccess", record);
    let shown = schemas.success(shown);
    let new = schemas.part_with_reason("NewModel", "Model", &["id"]);
    let copy = schemas.part_with_reason("Copy", "Model", &["id"]);
    let version = schemas.part_with_reason("NewVersion", "ModelVersion", &["version"]);
    let (model_patch, meta_patch) = (schemas.patch_of("Model"), schemas.patch_of("ModelMeta"));
    let reason = reason(schemas, "Reason", []);
    let legacy = self::reason(
        schemas,
        "Legacy",
        [
            ("replacementModelId", nullable(text())),
            ("deprecationNotice", nullable(text())),
            ("sunsetDate", nullable(time())),
        ],
    );
    let number = schemas.part_of_model("ModelSemver");
    let days = json!({"type": ["integer", "null"], "minimum": 0, "maximum": 36_500});
    let deprecation = self::reason(
        schemas,
        "DeprecateVersion",
        [("replacementVersion", nullable(number.clone())), ("endOfLife", nullable(time())), ("gracePeriodDays", days)],
    );
    let rollback = self::reason(schemas, "RollBack", [("version", nullable(number.clone()))]);
    let mut change = |summary, body: &Value| write(schemas, Endpoint::new(summary).body(body.clone(), false), 200);
    let mut all = vec![
        ("edit-model", change("Keys of a model's document change, by a JSON Merge Patch (RFC 7396)", &model_patch)),
        ("edit-meta", change("Keys of its meta change, by a JSON Merge Patch (RFC 7396)", &meta_patch)),
        ("mark-legacy", change("The model is on its way out", &legacy)),
        ("unmark-legacy", change("It is no longer on its way out", &reason)),
        ("archive-model", change("It is hidden from clients and cannot be used; this takes a reason", &reason)),
        ("unarchive-model", change("It is back, available, and as legacy as it was", &reason)),
        ("rollback-model", change("A version that had the traffic has it again; this takes a reason", &rollback)),
    ];
    let of_version = [
        ("activate-version", "The version takes the traffic, if policy and measurements allow it", &reason),
        ("deprecate-version", "It still answers, until its end of life; this takes a reason", &deprecation),
        ("retire-version", "It does not answer any more; this takes a reason", &reason),
    ];
    for (name, summary, body) in of_version {
        all.push((name, change(summary, body).path("v", number.clone(), VERSION)));
    }
    all = all.into_iter().map(|(name, endpoint)| (name, modes(endpoint))).collect();
    // Taking back a rollout at once is nothing that could be tried.
    all.iter_mut().filter(|(name, _)| *name != "rollback-model").for_each(|(_, endpoint)| {
        *endpoint = foreseen(std::mem::take(endpoint));
    });
    let holds = [
        ("pause-rollout", "A rollout goes no further before somebody resumes it; this takes a reason"),
        ("resume-rollout", "A rollout that was paused by hand goes on, and its step begins anew; this takes a reason"),
    ];
    for (name, summary) in holds {
        all.push((name, change(summary, &reason)));
    }
    all.push(("end-override", change("The model's file counts again, before the override ends by itself", &reason)));
    let creations = [
        ("create-model", "A new model, which the API owns", new),
        ("duplicate-model", "A new model from another one, with the keys of the body set otherwise", copy),
        ("register-version", "A version of a model appears, inactive unless the body says otherwise", version),
    ];
    for (name, summary, body) in creations {
        all.push((name, foreseen(modes(write(schemas, Endpoint::new(summary).body(body, true), 201)))));
    }
    all.push((
        "get-record",
        Endpoint::new("Everything about one model, with the tag that If-Match takes")
            .answers(200, "The record.", shown)
            .answers_header(200, "ETag", true, "Names the record as it is."),
    ));
    all.push(("model-prices", model_prices(schemas)));
    all.push(("import-models", import_models(schemas)));
    all.push(("export-models", export_models(schemas)));
    all.push(("backup", backup()));
    all.extend(versions(schemas));
    all.push(("version-evaluation", version_evaluation(schemas)));
    all.push(("analytics", analytics(schemas)));
    all.push(("list-alerts", list_alerts(schemas)));
    all.extend(lists(schemas));
    all.extend(audit(schemas));
    all
}

/// A model's record, as every answer about one shows it.
fn record(schemas: &mut Schemas) -> Value {
    let git = schemas.extended::<GitOrigin>("FromGit", [("source", json!({"const": "git"}))]);
    let api = object([("source", json!({"const": "api"})), ("subject", text())]);
    let record = object([
        ("model", schemas.model()),
        ("computed", list(text())),
        ("origin", json!({"anyOf": [git, api]})),
        ("seq", count()),
        ("removed", flag()),
        ("archived", nullable(schemas.of::<Archival>())),
        ("createdAt", time()),
        ("change", schemas.of::<ChangeNote>()),
    ]);
    let more = [("override", schemas.of::<OverrideTerms>()), ("status", schemas.of::<Status>())];
    with_optional(record, more)
}

/// A body with a reason and these keys.
fn reason<'k>(schemas: &mut Schemas, name: &str, keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let reason = json!({"type": ["string", "null"], "maxLength": 1000, "description": "Why; or by X-Reason."});
    let until = json!({"type": "string", "format": "date-time", "description": "The end of an override."});
    let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let schema = with_optional(with_optional(none, [("reason", reason), ("until", until)]), keys);
    schemas.named(name, schema)
}

/// What every endpoint that changes something takes and answers.
fn write(schemas: &mut Schemas, endpoint: Endpoint, status: u16) -> Endpoint {
    let steps = [
        ("operations", list(schemas.of::<Operation>())),
        ("changes", list(schemas.of::<FieldChange>())),
        ("revision", count()),
    ];
    let changed = with_keys(record(schemas), steps);
    let holds = list(schemas.of::<Hold>());
    let changed = schemas.named("Changed", with_optional(changed, [("approved", holds.clone())]));
    let unchanged = object([("path", text()), ("operations", list(json!({}))), ("changes", list(json!({})))]);
    let proposal = object([
        ("branch", text()),
        ("path", text()),
        ("diff", text()),
        ("created", flag()),
        ("operations", list(schemas.of::<Operation>())),
        ("changes", list(schemas.of::<FieldChange>())),
        ("holds", holds),
    ]);
    let proposal = schemas.named("Proposal", with_optional(proposal, [("url", text())]));
    let foreseen = object([
        ("operations", list(schemas.of::<Operation>())),
        ("changes", list(schemas.of::<FieldChange>())),
        ("holds", list(schemas.of::<Hold>())),
    ]);
    let foreseen = schemas.named("Foreseen", with_optional(foreseen, [("path", text()), ("diff", text())]));
    let nothing = schemas.named("NothingToPropose", unchanged);
    let taken_back = [
        ("operations", list(schemas.of::<Operation>())),
        ("rollout", schemas.of::<RolloutStatus>()),
        ("revision", count()),
    ];
    let taken_back = with_keys(record(schemas), taken_back);
    let taken_back = schemas.named("RolloutTakenBack", taken_back);
    let done = schemas.success(json!({"anyOf": [changed.clone(), nothing, foreseen, taken_back]}));
    let proposed = schemas.success(proposal);
    let mut endpoint = endpoint
        .header("X-Reason", "Why, where the body does not say it.")
        .header("Idempotency-Key", "The same request under the same key is done once.")
        .header("If-Match", "The tag that the model must have.")
        .answers(200, "It is so now, or was already.", done)
        .answers(202, "A proposal is open.", proposed);
    if status == 201 {
        endpoint = endpoint.answers(201, "It is made.", schemas.success(changed)).answers_header(
            201,
            "Location",
            true,
            "Where the model is.",
        );
    }
    for status in if status == 201 { vec![200, 201] } else { vec![200] } {
        endpoint = endpoint.answers_header(status, "ETag", false, "Names the record as it is now.").answers_header(
            status,
            "Idempotent-Replayed",
            false,
            "That the answer is the first request's.",
        );
    }
    endpoint.refuses(&[404, 409, 412, 501, 502])
}

/// The ways in which a change may be asked for.
fn modes(endpoint: Endpoint) -> Endpoint {
    endpoint
        .query("approve", flag(), "Does what the guard holds, with a reason; for super_admin.")
        .query("mode", one_of(&["propose", "override"]), "As a pull request, or for a time; at once without it.")
        .query("until", time(), "The end of an override, within seven days.")
}

/// A change that can be asked about before it is made.
fn foreseen(endpoint: Endpoint) -> Endpoint {
    endpoint.query("dry_run", flag(), "Tells what it would do, and what the guard would hold; nothing is written.")
}

fn lists(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let summaries = [
        "The records of the models that are named, or of all of them, removed ones too",
        "Models on their way out",
        "Models that are hidden, with who hid them, when and why",
        "Models and versions that end soon, the soonest first",
    ];
    let [all_records, all_legacy, all_archived, all_warnings] =
        summaries.map(|summary| listed(schemas, Endpoint::new(summary)));
    let (record, id) = (record(schemas), schemas.of::<ModelId>());
    let record = schemas.named("Record", record);
    let records =
        object([("models", list(record)), ("total", count()), ("revision", count()), ("nextCursor", nullable(text()))]);
    let days = json!({"type": "integer", "minimum": 0, "maximum": 36_500});
    let entry = entry(schemas);
    let mut archived = entry.clone();
    archived["properties"]["archived"] = nullable(schemas.of::<Archival>());
    archived["properties"]["isRemoved"] = flag();
    let severity = schemas.of::<Severity>();
    let warning = with_optional(
        entry.clone(),
        [
            ("endsAt", time()),
            ("hasPassed", flag()),
            ("severity", severity.clone()),
            ("subject", one_of(&["model", "version"])),
            ("version", text()),
            ("replacementVersion", nullable(text())),
            ("replacementIsMissing", flag()),
            ("replacementIsGoing", flag()),
            ("replacementSunsetDate", nullable(time())),
        ],
    );
    let mut page = |name: &str, key: &str, entry: Value| {
        let entry = schemas.named(name, entry);
        let page = [("total", count()), ("revision", count()), ("nextCursor", nullable(text()))];
        object(page.into_iter().chain([(key, list(entry))]))
    };
    let (legacy, archived) = (page("LegacyModel", "models", entry), page("ArchivedModel", "models", archived));
    let mut warnings = page("EndWarning", "warnings", warning);
    warnings["properties"]["withinDays"] = count();
    warnings["properties"]["versionsWithinDays"] = count();
    vec![
        (
            "list-records",
            all_records.many("id", id, "These models only.").answers(200, "A page.", schemas.success(records)),
        ),
        (
            "list-legacy",
            all_legacy
                .query("sunset_within_days", days.clone(), "Those that are gone within so many days.")
                .query("has_replacement", flag(), "Whether something replaces them.")
                .answers(200, "A page.", schemas.success(legacy)),
        ),
        (
            "list-archived",
            all_archived.query("legacy", flag(), "Whether they were on their way out.").answers(
                200,
                "A page.",
                schemas.success(archived),
            ),
        ),
        (
            "list-warnings",
            all_warnings
                .query("severity", severity, "How grave.")
                .query("within_days", days, "How soon; else as policy says.")
                .answers(200, "A page.", schemas.success(warnings)),
        ),
    ]
}

/// What the lists say of each model.
fn entry(schemas: &mut Schemas) -> Value {
    let id = schemas.of::<ModelId>();
    object([
        ("id", id.clone()),
        ("displayName", text()),
        ("provider", text()),
        ("capabilities", list(schemas.of::<Capability>())),
        ("isLegacy", flag()),
        ("isAvailable", flag()),
        ("deprecationNotice", nullable(text())),
        ("sunsetDate", nullable(time())),
        ("daysLeft", json!({"type": ["integer", "null"]})),
        ("legacyReplacementModelId", nullable(id.clone())),
        ("replacementChain", list(id.clone())),
        ("replacementInUse", nullable(id)),
    ])
}

fn model_prices(schemas: &mut Schemas) -> Endpoint {
    let cost = nullable(schemas.of::<Price>());
    let interval = object([
        ("from", time()),
        ("to", nullable(time())),
        ("inputCostPerMillionTokens", cost.clone()),
        ("outputCostPerMillionTokens", cost),
        ("prices", nullable(schemas.of::<Prices>())),
        ("isArchived", flag()),
        ("isScheduled", flag()),
        ("seq", count()),
        ("actor", text()),
        ("reason", text()),
        ("source", text()),
        ("commit", nullable(commit())),
        ("pullRequest", nullable(count())),
        ("revision", nullable(count())),
    ]);
    let page = object([
        ("intervals", list(schemas.named("PriceIntervalWithChange", interval))),
        ("nextCursor", nullable(time())),
    ]);
    let limit = json!({"type": "integer", "minimum": 1, "maximum": model_prices::MAX_LIMIT});
    Endpoint::new("Every price that a model had and is going to have, newest first, with who set it and why")
        .query("limit", limit, "The most intervals of an answer.")
        .query("cursor", time(), "Where the next page begins, as the page before said.")
        .answers(200, "A page.", schemas.success(page))
        .refuses(&[422])
}

fn import_models(schemas: &mut Schemas) -> Endpoint {
    let id = schemas.of::<ModelId>();
    let kept = object([("place", text()), ("stays", json!({})), ("upstream", json!({})), ("why", text())]);
    let model = object([
        ("key", text()),
        ("id", id),
        ("outcome", one_of(&["created", "updated", "unchanged"])),
        ("kept", list(kept)),
        ("notes", list(text())),
    ]);
    let skipped = object([("key", text()), ("kind", text()), ("reason", text())]);
    let formats = Format::ALL.map(Format::name);
    let imported = object([
        ("from", one_of(&formats)),
        ("dryRun", flag()),
        ("entries", count()),
        ("created", count()),
        ("updated", count()),
        ("unchanged", count()),
        ("models", list(schemas.named("ImportedModel", model))),
        ("skipped", list(schemas.named("SkippedEntry", skipped))),
        ("next", nullable(count())),
    ]);
    let after = json!({"type": "integer", "minimum": 0, "maximum": 1_000_000});
    Endpoint::new("Models of another catalogue, which the API then owns")
        .required_query("from", one_of(&formats), "Whose file the body is.")
        .query("tier", schemas.of::<Tier>(), "Who may use new models; free without it.")
        .query("dry_run", flag(), "Whether nothing is written.")
        .query("after", after, "How many entries were done before, as `next` said.")
        .header("X-Reason", "Why.")
        .body(json!({"type": ["object", "array"]}), true)
        .body_as("text/csv", text(), true)
        .answers(200, "What became of each entry.", schemas.success(imported))
}

fn export_models(schemas: &mut Schemas) -> Endpoint {
    let formats: Vec<&str> =
        Format::ALL.into_iter().filter(|format| *format != Format::OpenRouter).map(Format::name).collect();
    let id = schemas.of::<ModelId>();
    listed(schemas, Endpoint::new("All models in one file, or in pages that a Link joins"))
        .many("id", id, "These models only.")
        .query("to", one_of(&formats), "Whose file is made; roster without it.")
        .answers(200, "The file.", json!({"type": ["object", "array"]}))
        .answers_as(200, "The file.", "text/csv", text())
        .answers_header(200, "Content-Disposition", true, "The name of the file.")
        .answers_header(200, "X-Roster-Revision", true, "The revision whose models they are.")
        .answers_header(200, "Link", false, "Where the next page is.")
        .answers_header(200, "X-Next-Cursor", false, "Where the next page begins.")
}

fn backup() -> Endpoint {
    Endpoint::new("The whole catalogue with its history, line by line, in pages that a Link joins")
        .query(
            "cursor",
            json!({"type": "string", "minLength": 1}),
            "Where the next page begins, as the page before said.",
        )
        .answers_as(200, "A page.", "application/jsonl", text())
        .answers_header(200, "Content-Disposition", true, "The name of the file.")
        .answers_header(200, "X-Roster-Revision", true, "The revision whose models they are.")
        .answers_header(200, "Link", false, "Where the next page is.")
        .answers_header(200, "X-Next-Cursor", false, "Where the next page begins.")
        .refuses(&[404, 410])
}

fn versions(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let number = schemas.part_of_model("ModelSemver");
    let as_it_is = [
        ("effectiveStatus", schemas.of::<VersionStatus>()),
        ("weightPercent", percent()),
        ("endOfLife", nullable(time())),
        ("daysToEndOfLife", json!({"type": ["integer", "null"]})),
        ("replacementVersion", nullable(number.clone())),
        ("blocked", nullable(text())),
    ];
    let shown = schemas.part_with_keys("ShownVersion", "ModelVersion", as_it_is.clone());
    let measured = [
        ("meta", schemas.part_of_model("ModelMeta")),
        ("evaluation", schemas.of::<evaluate::Report>()),
        ("measured", schemas.of::<Summary>()),
    ];
    let side = schemas.part_with_keys("MeasuredVersion", "ModelVersion", as_it_is.into_iter().chain(measured));
    let all = object([
        ("versions", list(shown.clone())),
        ("rollout", nullable(schemas.part_of_model("ModelRollout"))),
        ("status", nullable(schemas.of::<RolloutStatus>())),
    ]);
    let both = object([("a", side.clone()), ("b", side), ("differences", list(schemas.of::<FieldChange>()))]);
    let evaluation = schemas.of::<evaluate::Report>();
    let decision = schemas.extended::<Decision>("VersionDecision", [("evaluation", evaluation)]);
    let cost = object([
        ("components", list(schemas.of::<Line>())),
        ("costUsd", schemas.of::<Dollars>()),
        ("credits", count()),
        ("at", time()),
    ]);
    let tokens = || json!({"type": "integer", "minimum": 0, "maximum": MAX_TOKENS});
    vec![
        (
            "list-versions",
            Endpoint::new("Every version of a model, as it is written and as it is").answers(
                200,
                "The versions.",
                schemas.success(all),
            ),
        ),
        (
            "active-version",
            Endpoint::new("The version that takes the traffic").answers(200, "The version.", schemas.success(shown)),
        ),
        (
            "compare-versions",
            Endpoint::new("What two versions are and what was measured of them, side by side")
                .required_query("a", number.clone(), "The one.")
                .required_query("b", number.clone(), "The other.")
                .answers(200, "Both.", schemas.success(both)),
        ),
        (
            "version-decision",
            Endpoint::new("Whether a version may take the traffic now, and what to use instead")
                .path("v", number.clone(), VERSION)
                .answers(200, "The decision.", schemas.success(decision)),
        ),
        (
            "estimate-version",
            Endpoint::new("What a call of a version costs now")
                .path("v", number, VERSION)
                .query("input_tokens", tokens(), "Tokens of the prompt.")
                .query("output_tokens", tokens(), "Tokens of the answer.")
                .answers(200, "The cost.", schemas.success(cost))
                .refuses(&[422]),
        ),
    ]
}

fn version_evaluation(schemas: &mut Schemas) -> Endpoint {
    let number = schemas.part_of_model("ModelSemver");
    let evaluation = object([
        ("modelId", schemas.of::<ModelId>()),
        ("version", number.clone()),
        ("since", time()),
        ("until", time()),
        ("report", schemas.of::<evaluate::Report>()),
        ("measured", schemas.of::<Summary>()),
    ]);
    let some = json!({"type": "string", "minLength": 1});
    Endpoint::new("What the results of a version say, threshold by threshold")
        .path("v", number, VERSION)
        .query("since", some.clone(), "The first moment or day; a day before `until` without it.")
        .query("until", some, "The first moment or day after it; now without it.")
        .answers(200, "The evaluation.", schemas.success(evaluation))
}

fn analytics(schemas: &mut Schemas) -> Endpoint {
    let day = || json!({"type": "string", "format": "date"});
    let groupings = GroupBy::ALL.map(GroupBy::name);
    let usage = schemas.of::<Told>();
    let told = object([
        ("from", day()),
        ("to", day()),
        ("groupBy", one_of(&groupings)),
        ("total", usage.clone()),
        ("groups", list(usage)),
        ("groupCount", count()),
    ]);
    let limit = json!({"type": "integer", "minimum": 1, "maximum": analytics::MAX_LIMIT});
    Endpoint::new("Usage, cost, latency and errors by model, version, provider or day")
        .query("from", day(), "The first day; the thirtieth up to the last one without it.")
        .query("to", day(), "The last day; today without it.")
        .query("group_by", one_of(&groupings), "What is put together; model without it.")
        .query("model", schemas.of::<ModelId>(), "Results of this model.")
        .query("version", schemas.part_of_model("ModelSemver"), "Results of this version.")
        .query("provider", json!({"type": "string", "minLength": 1}), "Results of the models of this provider.")
        .query("limit", limit, "The most groups of an answer.")
        .answers(200, "What was measured.", schemas.success(told))
        .refuses(&[422])
}

fn list_alerts(schemas: &mut Schemas) -> Endpoint {
    let page = object([("alerts", list(schemas.of::<Alert>())), ("nextCursor", nullable(text()))]);
    Endpoint::new("What somebody should know of now, newest first")
        .pages(list_alerts::MAX_LIMIT)
        .query("severity", schemas.of::<Severity>(), "How grave.")
        .query("model", schemas.of::<ModelId>(), "Alerts about this model.")
        .query("since", json!({"type": "string", "minLength": 1}), "The first moment or day.")
        .answers(200, "A page.", schemas.success(page))
}

/// A share of the traffic.
fn percent() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 100})
}

/// What every list of models takes.
fn listed(schemas: &mut Schemas, endpoint: Endpoint) -> Endpoint {
    endpoint
        .query("provider", json!({"type": "string", "minLength": 1}), "Who serves it.")
        .many("capability", schemas.of::<Capability>(), "What it can do, all of it.")
        .pages(listing::MAX_LIMIT)
        .refuses(&[410])
}

fn audit(schemas: &mut Schemas) -> Vec<(&'static str, Endpoint)> {
    let (id, severity) = (schemas.of::<ModelId>(), schemas.of::<Severity>());
    let stretch = |endpoint: Endpoint| {
        let some = json!({"type": "string", "minLength": 1});
        endpoint
            .query("model", id.clone(), "Entries about this model.")
            .query("actor", some.clone(), "Entries of this actor.")
            .query("operation", some.clone(), "Entries with this operation, or of this kind.")
            .query("severity", severity.clone(), "Entries that are at least this grave.")
            .query("source", some.clone(), "Entries that came this way: git, api or clock.")
            .query("from", some.clone(), "The first moment or day.")
            .query("to", some, "The first moment or day after it.")
            .query("view", one_of(&["recent", "critical"]), "A choice that is asked for often.")
    };
    let page = object([
        ("entries", list(schemas.of::<AuditEntry>())),
        ("from", time()),
        ("to", time()),
        ("nextCursor", nullable(text())),
    ]);
    let report = object([("from", time()), ("to", time()), ("report", schemas.of::<Report>())]);
    let history = object([("entries", list(schemas.of::<HistoryEntry>())), ("nextCursor", nullable(text()))]);
    vec![
        (
            "model-history",
            Endpoint::new("Every change of a model, newest first").pages(model_history::MAX_LIMIT).answers(
                200,
                "A page.",
                schemas.success(history),
            ),
        ),
        (
            "list-audit",
            stretch(Endpoint::new("What was done to which model by whom, when and why, newest first"))
                .pages(list_audit::MAX_LIMIT)
                .answers(200, "A page.", schemas.success(page)),
        ),
        (
            "report-audit",
            stretch(Endpoint::new("What was done in a stretch of time, in numbers"))
                .answers(200, "The report.", schemas.success(report))
                .refuses(&[422]),
        ),
        (
            "export-audit",
            stretch(Endpoint::new("The audit as a file, oldest first, in pages"))
                .pages(export_audit::MAX_LIMIT)
                .query("format", one_of(&["jsonl", "csv"]), "JSON Lines, or CSV.")
                .answers_as(200, "A page.", "application/jsonl", text())
                .answers_as(200, "A page.", "text/csv", text())
                .answers_header(200, "Content-Disposition", true, "The name of the file.")
                .answers_header(200, "Link", false, "Where the next page is.")
                .answers_header(200, "X-Next-Cursor", false, "Where the next page begins."),
        ),
    ]
}
