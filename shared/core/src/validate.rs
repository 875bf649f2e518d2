//! The rules of a catalogue: of one file, and across all of them. Every mistake is reported at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::catalogue::{Catalogue, CorruptEntry};
use crate::document::{Document, Problem};
use crate::model::{Model, ModelId};
#[cfg(feature = "schema")]
use crate::version::VersionStatus;

/// The directory of the catalogue in its repository.
pub const CATALOG: &str = "catalog";
/// The policy's file.
pub const POLICY_PATH: &str = "catalog/policy.json";
const MODELS: &str = "catalog/models/";
/// Ids that no model has: below `/admin/models/` they are the names of lists and of whole catalogues.
#[cfg(feature = "schema")]
const RESERVED_IDS: [&str; 4] = ["archived", "export", "import", "legacy"];

/// What a file below `catalog/` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// A model, or something that should be one.
    Model,
    /// The policy.
    Policy,
    /// Nothing that is synced: schemas, guides.
    Other,
}

/// What a path in the repository stands for.
#[must_use]
pub fn role(path: &str) -> FileRole {
    // A file, a link or a submodule in the place of the directory itself is a mistake, too.
    if path.starts_with(MODELS) || path == MODELS.trim_end_matches('/') || path == CATALOG {
        FileRole::Model
    } else if path == POLICY_PATH {
        FileRole::Policy
    } else {
        FileRole::Other
    }
}

/// A model with the file that describes it.
#[derive(Clone, Debug)]
pub struct SourcedModel {
    /// The file.
    pub document: Document,
    /// The model.
    pub model: Model,
}

/// Reads a model's file and checks every rule that looks at this file alone.
///
/// # Errors
/// Every mistake in the file.
#[cfg(feature = "schema")]
pub fn read_model(path: &str, bytes: &[u8]) -> Result<SourcedModel, Vec<Problem>> {
    if let Some(problem) = model_path_problem(path) {
        return Err(vec![problem]);
    }
    let document = Document::parse(path, bytes)?;
    let paths = path_problems(&document);
    match (read_body(document), paths) {
        (Ok(sourced), paths) if paths.is_empty() => Ok(sourced),
        (read, paths) => Err(read.err().into_iter().flatten().chain(paths).collect()),
    }
}

/// Reads a model that has no file, and checks every rule that looks at this document alone.
///
/// # Errors
/// Every mistake in the document.
#[cfg(feature = "schema")]
pub fn read_body(document: Document) -> Result<SourcedModel, Vec<Problem>> {
    let problems = crate::schema::problems(crate::schema::Kind::Model, &document);
    if !problems.is_empty() {
        return Err(problems);
    }
    let model: Model = typed(&document, Some("$schema"))?;
    let problems = model_problems(&document, &model);
    if problems.is_empty() { Ok(SourcedModel { document, model }) } else { Err(problems) }
}

/// Reads the policy.
///
/// # Errors
/// Every mistake in the file.
#[cfg(feature = "schema")]
pub fn read_policy(path: &str, bytes: &[u8]) -> Result<crate::Policy, Vec<Problem>> {
    let document = Document::parse(path, bytes)?;
    let problems = crate::schema::problems(crate::schema::Kind::Policy, &document);
    if !problems.is_empty() {
        return Err(problems);
    }
    let policy: crate::Policy = typed(&document, Some("$schema"))?;
    let problems: Vec<Problem> =
        policy.problems().into_iter().map(|(pointer, message)| document.problem(&pointer, message)).collect();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// A document as a type; `skip` names a key that the type does not have.
#[cfg(feature = "schema")]
fn typed<T: serde::de::DeserializeOwned>(document: &Document, skip: Option<&str>) -> Result<T, Vec<Problem>> {
    let mut value = document.value().clone();
    if let (Some(key), Some(map)) = (skip, value.as_object_mut()) {
        map.remove(key);
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer: String = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                serde_path_to_error::Segment::Seq { index } => Some(format!("/{index}")),
                serde_path_to_error::Segment::Map { key } => Some(format!("/{}", crate::document::escape(key))),
                _ => None,
            })
            .collect();
        vec![document.problem(&pointer, error.inner().to_string())]
    })
}

/// A path below `catalog/models/` as its provider and the two ids that it may hold.
fn parts(path: &str) -> Option<(&str, [&str; 2])> {
    let whole = path.strip_prefix(MODELS)?.strip_suffix(".json")?;
    let (provider, rest) = whole.split_once('/')?;
    Some((provider, [whole, rest]))
}

/// The mistakes of a path that can hold no model.
#[must_use]
pub fn model_path_problem(path: &str) -> Option<Problem> {
    match parts(path) {
        None => Some(Problem::of_file(path, "a model belongs in catalog/models/<provider>/<id>.json")),
        Some((provider, [_, rest])) => [provider, rest].into_iter().find_map(|part| {
            ModelId::parse(part).err().map(|error| Problem::of_file(path, format!("the path holds no id: {error}")))
        }),
    }
}

/// The mistake of a new model's id that is the name of something else in the admin API.
#[cfg(feature = "schema")]
pub(crate) fn reserved_id_problem(document: &Document) -> Option<Problem> {
    let id = document.value().get("id")?.as_str().filter(|id| RESERVED_IDS.contains(id))?;
    let message =
        format!("\"{id}\" is no model's id: /admin/models/{id} is something else in the admin API; choose another id");
    Some(document.problem("/id", message))
}

#[cfg(feature = "schema")]
fn path_problems(document: &Document) -> Vec<Problem> {
    let path = document.path();
    let Some((provider, [whole, rest])) = parts(path) else { return Vec::new() };
    let text = |key: &str| document.value().get(key).and_then(serde_json::Value::as_str);
    let mut problems: Vec<Problem> = reserved_id_problem(document).into_iter().collect();
    if let Some(id) = text("id").filter(|id| *id != whole && *id != rest) {
        let message = format!("id \"{id}\" fights its path: here it is \"{rest}\" or \"{whole}\"");
        problems.push(document.problem("/id", message));
    }
    if let Some(named) = text("provider").filter(|named| *named != provider) {
        let message = format!("provider \"{named}\" fights its path: here it is \"{provider}\"");
        problems.push(document.problem("/provider", message));
    }
    problems
}

/// The rules of one model that a schema cannot say.
#[cfg(feature = "schema")]
fn model_problems(document: &Document, model: &Model) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |pointer: &str, message: String| problems.push(document.problem(pointer, message));
    if model.is_archived && model.is_available {
        problem("/isAvailable", "an archived model cannot be available: set isAvailable to false".to_owned());
    }
    let mut names = std::collections::HashSet::from([model.id.folded()]);
    for (at, alias) in model.aliases.iter().enumerate() {
        if !names.insert(alias.folded()) {
            problem(&format!("/aliases/{at}"), format!("alias \"{alias}\" is already a name of this model"));
        }
    }
    if let Some(prices) = &model.meta.prices
        && let Some(at) = prices.tiers.windows(2).position(|pair| pair[1].above_tokens <= pair[0].above_tokens)
    {
        let message = "price tiers must rise: each aboveTokens is larger than the one before";
        problem(&format!("/meta/prices/tiers/{}/aboveTokens", at + 1), message.to_owned());
    }
    if let Some(at) = model.meta.price_schedule.windows(2).position(|pair| pair[1].from <= pair[0].from) {
        let message = "scheduled prices must be in order of time, each later than the one before";
        problem(&format!("/meta/priceSchedule/{}/from", at + 1), message.to_owned());
    }
    let mut numbers = std::collections::HashSet::new();
    let (mut active, mut canary) = (None, None);
    for (at, version) in model.versions.iter().enumerate() {
        let number = &version.version;
        if !numbers.insert(number) {
            problem(&format!("/versions/{at}/version"), format!("version {number} is listed twice"));
        }
        let status = version.status;
        let only = match status {
            VersionStatus::Active => &mut active,
            VersionStatus::Canary => &mut canary,
            _ => continue,
        };
        if let Some((_, other)) = only.replace((at, number)) {
            let message = format!("versions {other} and {number} are both {status}: at most one can be");
            problem(&format!("/versions/{at}/status"), message);
        }
    }
    if let (Some((at, canary)), None) = (canary, active) {
        let message = format!("canary {canary} has no active version beside it, which takes the rest of the traffic");
        problem(&format!("/versions/{at}/status"), message);
    }
    for (at, version) in model.versions.iter().enumerate() {
        let replacement = version.deprecation.as_ref().and_then(|deprecation| deprecation.replacement_version.as_ref());
        if let Some(replacement) = replacement.filter(|replacement| !numbers.contains(replacement)) {
            let pointer = format!("/versions/{at}/deprecation/replacementVersion");
            problem(&pointer, format!("replacement version {replacement} is not listed"));
        }
    }
    if let Some(rollout) = &model.rollout {
        match model.versions.iter().find(|version| version.version == rollout.version).map(|version| version.status) {
            None => problem("/rollout/version", format!("version {} is not listed", rollout.version)),
            Some(VersionStatus::Deprecated | VersionStatus::Retired) => {
                let message = format!("version {} is on its way out and cannot be rolled out", rollout.version);
                problem("/rollout/version", message);
            }
            Some(_) => {}
        }
        if let Some(at) = rollout.steps.windows(2).position(|pair| pair[1].weight_percent <= pair[0].weight_percent) {
            let message = "rollout steps must rise: each weight is larger than the one before";
            problem(&format!("/rollout/steps/{}/weightPercent", at + 1), message.to_owned());
        }
    }
    problems
}

/// A change to the catalogue: the files that are new or different, and those that are gone.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Files that describe a model now.
    pub present: Vec<Arc<SourcedModel>>,
    /// Models whose file is gone, with the path it had. An id that another file describes now is not absent.
    pub absent: BTreeMap<ModelId, String>,
    /// Every path that changed, present or gone: what the catalogue says of these is void.
    pub touched: BTreeSet<String>,
    /// Models whose file was at the same path before: names that they had already need no look at the index.
    pub in_place: BTreeSet<ModelId>,
    /// Ids that files with mistakes may describe: nothing more is said of references to them.
    pub unreadable: BTreeSet<String>,
}

/// The ids that a file may describe, by its path.
#[must_use]
pub fn possible_ids(path: &str) -> Vec<String> {
    parts(path).map_or(Vec::new(), |(_, ids)| ids.map(str::to_owned).to_vec())
}

/// Checks a change against the rules that look across models.
///
/// Ask [`Catalogue::complete`] afterwards whether the answer can be used.
///
/// # Errors
/// [`CorruptEntry`] when what is published cannot be read.
pub fn problems(proposal: &Proposal, catalogue: &Catalogue<'_>) -> Result<Vec<Problem>, CorruptEntry> {
    let by_id: HashMap<&str, &SourcedModel> =
        proposal.present.iter().map(|sourced| (sourced.model.id.as_str(), sourced.as_ref())).collect();
    let mut problems = Vec::new();
    check_names(proposal, &by_id, catalogue, &mut problems)?;
    let target = |id: &str| -> Result<Option<Model>, CorruptEntry> {
        match by_id.get(id) {
            Some(sourced) => Ok(Some(sourced.model.clone())),
            None if proposal.absent.contains_key(id) => Ok(None),
            None => catalogue.model(id),
        }
    };
    // Models whose replacements are known to end: chains share their ends.
    let mut ending: HashSet<ModelId> = HashSet::new();
    for sourced in &proposal.present {
        let model = &sourced.model;
        let Some(replacement) = &model.meta.legacy_replacement_model_id else { continue };
        let mut problem = |message: String| {
            problems.push(sourced.document.problem("/meta/legacyReplacementModelId", message));
        };
        match target(replacement.as_str())? {
            _ if *replacement == model.id => problem(format!("model \"{}\" replaces itself", model.id)),
            None if proposal.unreadable.contains(replacement.as_str()) => {}
            None => problem(format!("replacement \"{replacement}\" does not exist: name the id of a model")),
            Some(found) if found.is_archived => {
                problem(format!("replacement \"{replacement}\" is archived: name a model that is in use"));
            }
            Some(found) => {
                let mut chain = vec![model.id.clone(), replacement.clone()];
                let mut seen: HashSet<ModelId> = chain.iter().cloned().collect();
                let mut next = found.meta.legacy_replacement_model_id;
                let mut ends = true;
                while let Some(id) = next.filter(|id| !ending.contains(id)) {
                    chain.push(id.clone());
                    if !seen.insert(id.clone()) {
                        let names: Vec<&str> = chain.iter().map(ModelId::as_str).collect();
                        problem(format!("replacements go in a circle: {}", shorten(&names)));
                        ends = false;
                        break;
                    }
                    next = target(id.as_str())?.and_then(|model| model.meta.legacy_replacement_model_id);
                }
                if ends {
                    ending.extend(chain);
                }
            }
        }
    }
    let archived = proposal.present.iter().filter(|sourced| sourced.model.is_archived);
    let gone = proposal.absent.iter().map(|(id, path)| (id, Problem::of_file(path, "")));
    for (id, at) in gone.chain(archived.map(|s| (&s.model.id, s.document.problem("/isArchived", "")))) {
        let unchanged =
            |other: &String| !by_id.contains_key(other.as_str()) && !proposal.absent.contains_key(other.as_str());
        for other in catalogue.replaced_by(id.as_str()).into_iter().filter(unchanged) {
            let message = format!(
                "\"{id}\" is the replacement of \"{other}\": give \"{other}\" another first, or in the same change"
            );
            problems.push(Problem { message, ..at.clone() });
        }
    }
    problems.sort();
    problems.dedup();
    Ok(problems)
}

/// A chain of names, its middle left out when it is long.
fn shorten(names: &[&str]) -> String {
    match names {
        [first @ .., last] if names.len() > 12 => format!("{} -> … -> {last}", first[..10].join(" -> ")),
        _ => names.join(" -> "),
    }
}

/// Ids and aliases are unique among all ids and aliases, letter case aside.
fn check_names(
    proposal: &Proposal,
    by_id: &HashMap<&str, &SourcedModel>,
    catalogue: &Catalogue<'_>,
    problems: &mut Vec<Problem>,
) -> Result<(), CorruptEntry> {
    let mut claimed: HashMap<String, &SourcedModel> = HashMap::new();
    for sourced in &proposal.present {
        let before = match proposal.in_place.contains(&sourced.model.id) {
            true => catalogue.model(sourced.model.id.as_str())?,
            false => None,
        };
        if catalogue.is_incomplete() {
            continue;
        }
        let names = std::iter::once((String::from("/id"), &sourced.model.id));
        let aliases = sourced.model.aliases.iter().enumerate().map(|(at, alias)| (format!("/aliases/{at}"), alias));
        for (pointer, name) in names.chain(aliases) {
            let folded = name.folded();
            let taken_in_change = claimed.get(&folded).filter(|other| !std::ptr::eq(**other, sourced.as_ref()));
            let is_old = |before: &Model| before.id == *name || before.aliases.contains(name);
            let holder = match taken_in_change {
                Some(other) => Some((other.model.id.clone(), Some(other.document.path().to_owned()))),
                None if before.as_ref().is_some_and(is_old) => None,
                None => catalogue
                    .holder(&folded)?
                    .map(|holder| (holder.id, holder.path.map(|path| path.to_string())))
                    .filter(|(id, path)| match path {
                        // The catalogue's word on a changed file is void.
                        Some(path) => {
                            !proposal.touched.contains(path) && !by_id.contains_key(id.as_str())
                                || !proposal.touched.contains(path) && *id == sourced.model.id
                        }
                        // A file adopts the model of the API that has its id.
                        None => !by_id.contains_key(id.as_str()),
                    }),
            };
            match holder {
                Some((id, path)) => {
                    let owner = path.map_or("the API".to_owned(), |path| path);
                    let message = if id == *name {
                        format!("\"{name}\" is already the id of a model, in {owner}")
                    } else if id.folded() == folded {
                        format!("\"{name}\" differs from model \"{id}\" only by letter case, in {owner}")
                    } else {
                        format!("\"{name}\" is already a name of model \"{id}\", in {owner}")
                    };
                    problems.push(sourced.document.problem(&pointer, message));
                }
                None => {
                    claimed.insert(folded, sourced);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "schema")]
mod tests {
    use super::*;
    use crate::catalogue::{self, Change, Roots};
    use crate::tree::Nodes;

    fn file(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::to_value(crate::model::tests::model(id)).unwrap();
        change(&mut value);
        serde_json::to_vec_pretty(&value).unwrap()
    }

    fn read(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> Result<SourcedModel, Vec<String>> {
        read_model(&format!("catalog/models/p/{id}.json"), &file(id, change))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn messages(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        read(id, change).map_or_else(|problems| problems, |_| Vec::new())
    }

    #[test]
    fn one_file_reports_everything_at_once() {
        let found = messages("m", |value| {
            value["id"] = "other".into();
            value["colour"] = "red".into();
            value["meta"]["capabilities"] = serde_json::json!([]);
            value["meta"]["inputCostPerMillionTokens"] = (-5).into();
            value["meta"]["requiredTier"] = "gold".into();
            value["meta"].as_object_mut().unwrap().remove("displayName");
        });
        let all = found.join("\n");
        for part in
            ["unknown key \"colour\"", "fights its path", "-5", "/meta/capabilities", "\"gold\"", "\"displayName\""]
        {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert!(found.iter().all(|line| line.starts_with("catalog/models/p/m.json:")), "{all}");
    }

    #[test]
    fn rules_of_one_model() {
        assert_eq!(messages("m", |_| {}), [""; 0]);
        let one = |change: fn(&mut serde_json::Value), part: &str| {
            let found = messages("m", change);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(part), "{found:?}");
        };
        one(|v| v["isArchived"] = true.into(), "/isAvailable: an archived model cannot be available");
        one(|v| v["aliases"] = serde_json::json!(["x", "X"]), "/aliases/1: alias \"X\" is already");
        one(
            |v| v["meta"]["prices"] = serde_json::json!({"tiers": [{"aboveTokens": 2}, {"aboveTokens": 1}]}),
            "/meta/prices/tiers/1/aboveTokens",
        );
        one(
            |v| {
                v["versions"] = serde_json::json!([{"version": "1.0.0", "status": "active"}, {"version": "1.1.0", "status": "active"}]);
            },
            "/versions/1/status: versions 1.0.0 and 1.1.0 are both active",
        );
        one(
            |v| {
                v["versions"] = serde_json::json!([
                    {"version": "1.0.0", "status": "active"},
                    {"version": "1.1.0", "status": "canary"}, {"version": "1.2.0", "status": "canary"},
                ]);
            },
            "/versions/2/status: versions 1.1.0 and 1.2.0 are both canary",
        );
        one(
            |v| v["versions"] = serde_json::json!([{"version": "1.1.0", "status": "canary"}]),
            "/versions/0/status: canary 1.1.0 has no active version beside it",
        );
        one(
            |v| v["versions"] = serde_json::json!([{"version": "latest", "status": "active"}]),
            "/versions/0/version: \"latest\" is no version: a name stands for another version tomorrow; write",
        );
    }

    #[test]
    fn paths_that_hold_no_model() {
        for path in
            ["catalog/models/m.json", "catalog/models/p/m.yaml", "catalog/models/p/-m.json", "catalog/models/p /m.json"]
        {
            assert_eq!(read_model(path, &file("m", |_| {})).unwrap_err().len(), 1, "{path}");
        }
        let nested = file("p/q/m", |value| value["provider"] = "p".into());
        assert!(read_model("catalog/models/p/q/m.json", &nested).is_ok());
        let short = file("q/m", |value| value["provider"] = "p".into());
        assert!(read_model("catalog/models/p/q/m.json", &short).is_ok());
    }

    #[test]
    fn names_of_the_admin_api_are_no_ids() {
        let found = messages("legacy", |_| {});
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("/id: \"legacy\" is no model's id: /admin/models/legacy is something else"),
            "{found:?}"
        );
        assert_eq!(messages("legacy-2", |_| {}), [""; 0]);
        let nested = file("p/legacy", |_| {});
        assert!(read_model("catalog/models/p/legacy.json", &nested).is_ok(), "only the whole id is in the way");
    }

    /// A catalogue of models, each with its replacement.
    fn published(models: &[(&str, Option<&str>)]) -> (Nodes, Roots) {
        let roots = Roots::empty();
        let mut nodes = Nodes::default();
        let models: Vec<Model> = models
            .iter()
            .map(|(id, replacement)| {
                let mut model = crate::model::tests::model(id);
                model.meta.legacy_replacement_model_id = replacement.map(|r| ModelId::parse(r).unwrap());
                model
            })
            .collect();
        let changes = models
            .iter()
            .map(|m| {
                (
                    m.id.clone(),
                    Change::Present {
                        model: m,
                        path: Some(format!("catalog/models/p/{}.json", m.id).into()),
                        in_place: false,
                    },
                )
            })
            .collect();
        let next = catalogue::edit(&nodes, &roots, &changes).unwrap();
        next.fresh.into_iter().for_each(|(id, node)| nodes.insert(id, node));
        (nodes, next.roots)
    }

    fn check(live: &[(&str, Option<&str>)], present: Vec<SourcedModel>, absent: &[&str]) -> Vec<String> {
        let (nodes, roots) = published(live);
        let catalogue = Catalogue::new(&nodes, &roots);
        let path = |id: &str| format!("catalog/models/p/{id}.json");
        let proposal = Proposal {
            touched: present
                .iter()
                .map(|s| s.document.path().to_owned())
                .chain(absent.iter().map(|id| path(id)))
                .collect(),
            absent: absent.iter().map(|id| (ModelId::parse(id).unwrap(), path(id))).collect(),
            present: present.into_iter().map(Arc::new).collect(),
            unreadable: BTreeSet::new(),
            in_place: BTreeSet::new(),
        };
        let found = problems(&proposal, &catalogue).unwrap();
        catalogue.complete().unwrap();
        found.iter().map(|problem| problem.message.clone()).collect()
    }

    fn replaced(id: &str, by: &str) -> SourcedModel {
        read(id, |value| value["meta"]["legacyReplacementModelId"] = by.into()).unwrap()
    }

    #[test]
    fn replacements_lead_to_a_model_in_use() {
        let live = [("a", None), ("b", Some("a"))];
        assert_eq!(check(&live, vec![replaced("c", "b")], &[]), [""; 0]);
        assert_eq!(check(&live, vec![replaced("c", "c")], &[]), ["model \"c\" replaces itself"]);
        assert!(check(&live, vec![replaced("c", "none")], &[])[0].contains("does not exist"));
        assert_eq!(check(&live, vec![replaced("a", "b")], &[]), ["replacements go in a circle: a -> b -> a"]);
        let archived = read("d", |value| {
            value["isArchived"] = true.into();
            value["isAvailable"] = false.into();
        });
        assert!(check(&live, vec![replaced("c", "d"), archived.unwrap()], &[])[0].contains("is archived"));
        assert!(check(&live, vec![], &["a"])[0].contains("\"a\" is the replacement of \"b\""));
        assert_eq!(check(&live, vec![], &["a", "b"]), [""; 0]);
        assert_eq!(check(&live, vec![read("b", |_| {}).unwrap()], &["a"]), [""; 0]);
    }

    #[test]
    fn names_are_unique_letter_case_aside() {
        let live = [("gpt", None), ("other", None)];
        let alias = |id: &str, alias: &str| read(id, |value| value["aliases"] = serde_json::json!([alias])).unwrap();
        assert!(check(&live, vec![read("GPT", |_| {}).unwrap()], &[])[0].contains("only by letter case"));
        assert_eq!(check(&live, vec![read("GPT", |_| {}).unwrap()], &["gpt"]), [""; 0], "a rename by case");
        let taken = check(&live, vec![alias("new", "gpt")], &[]);
        assert_eq!(taken, ["\"gpt\" is already the id of a model, in catalog/models/p/gpt.json"]);
        assert_eq!(check(&live, vec![alias("new", "gpt")], &["gpt"]), [""; 0]);
        assert_eq!(check(&live, vec![alias("gpt", "g")], &[]), [""; 0]);
        assert!(!check(&live, vec![alias("x", "same"), alias("y", "same")], &[]).is_empty());
        let twice = read_model("catalog/models/p/p/gpt.json", &file("p/gpt", |_| {}));
        assert_eq!(check(&live, vec![twice.unwrap()], &[]), [""; 0]);
    }

    #[test]
    fn one_id_in_two_files() {
        let both = |path: &str| read_model(path, &file("p/x", |_| {})).unwrap();
        let found = check(&[], vec![both("catalog/models/p/x.json"), both("catalog/models/p/p/x.json")], &[]);
        assert_eq!(found, ["\"p/x\" is already the id of a model, in catalog/models/p/x.json"]);
    }
}
