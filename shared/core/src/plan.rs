//! From what is to what should be: lifecycle operations in order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::diff::{self, FieldChange};
use crate::model::{Model, ModelId};
use crate::record::{Origin, Record};
use crate::rollout::{self, RolloutStatus};
use crate::version::{Version, VersionStatus};

/// One step in a model's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "operation", content = "version")]
pub enum Operation {
    /// The id appears for the first time.
    Create,
    /// A file takes over a model that the API made.
    Adopt,
    /// It is made something else than its file says, for a time.
    PlaceOverride,
    /// Its file counts again.
    EndOverride,
    /// An archived model, or a removed file, comes back.
    Unarchive,
    /// It is no longer on its way out.
    UnmarkLegacy,
    /// Something about it changes: its name, prices, limits, access or description.
    UpdateMeta,
    /// A scheduled price begins.
    ApplyPrice,
    /// The other names that lead to it change.
    RenameAlias,
    /// A version appears.
    RegisterVersion(semver::Version),
    /// A version takes part of the traffic.
    SetCanary(semver::Version),
    /// A version takes the traffic.
    Activate(semver::Version),
    /// A version is on its way out.
    Deprecate(semver::Version),
    /// A version is gone.
    Retire(semver::Version),
    /// It can, or can no longer, be used.
    SetAvailability,
    /// It is on its way out.
    MarkLegacy,
    /// It is hidden, or its file is removed.
    Archive,
}

impl Operation {
    /// The operation's name in reports and tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::PlaceOverride => "place_override",
            Self::EndOverride => "end_override",
            Self::Unarchive => "unarchive",
            Self::UnmarkLegacy => "unmark_legacy",
            Self::UpdateMeta => "update_meta",
            Self::ApplyPrice => "apply_price",
            Self::RenameAlias => "rename_alias",
            Self::RegisterVersion(_) => "register_version",
            Self::SetCanary(_) => "set_canary",
            Self::Activate(_) => "activate",
            Self::Deprecate(_) => "deprecate",
            Self::Retire(_) => "retire",
            Self::SetAvailability => "set_availability",
            Self::MarkLegacy => "mark_legacy",
            Self::Archive => "archive",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::RegisterVersion(version)
            | Self::SetCanary(version)
            | Self::Activate(version)
            | Self::Deprecate(version)
            | Self::Retire(version) => write!(f, " {version}"),
            _ => Ok(()),
        }
    }
}

/// On whose behalf models change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The repository's: what it describes is its own from then on.
    Git,
    /// The admin API's, on models that it owns.
    Api,
    /// The admin API's, for a time, on a model that the repository owns.
    Override,
}

/// What one model shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// A file describes it.
    Present(Box<Model>),
    /// Its file is gone.
    Absent,
}

/// What happens to one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The model.
    pub id: ModelId,
    /// What is done, in order; never empty.
    pub operations: Vec<Operation>,
    /// The fields that change.
    pub changes: Vec<FieldChange>,
    /// The spec now; absent for a new model.
    #[serde(skip)]
    pub before: Option<Model>,
    /// How far the version is now that comes.
    #[serde(skip)]
    pub rollout: Option<RolloutStatus>,
    /// Whether the model's file was gone before.
    #[serde(skip)]
    pub was_tombstone: bool,
    /// The spec afterwards.
    #[serde(skip)]
    pub after: Model,
    /// Whether the model's file is gone afterwards.
    pub tombstone: bool,
}

impl Step {
    /// Its versions now and afterwards, a version that took over by its rollout among them; none now of a new model, and
    /// of one whose file was gone.
    #[must_use]
    pub fn settled_versions(&self) -> (Vec<Version>, Vec<Version>) {
        let settled = |model: &Model| rollout::settled(model, self.rollout.as_ref()).versions.clone();
        let before = self.before.as_ref().filter(|_| !self.was_tombstone);
        (before.map(settled).unwrap_or_default(), settled(&self.after))
    }
}

/// What a commit does to the catalogue: one step a model, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// All operations of all steps.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.steps.iter().flat_map(|step| &step.operations)
    }

    /// A name for exactly this plan on exactly this state; what an approval names.
    ///
    /// # Errors
    /// Whatever `serde_json` says when a step cannot be written as JSON.
    pub fn hash(&self, base: Option<&str>, tree: Option<&str>, revision: u64) -> Result<String, serde_json::Error> {
        let text = canonical::to_string(&serde_json::json!({
            "base": base, "tree": tree, "revision": revision, "steps": self.steps,
        }))?;
        Ok(canonical::sha256_hex(text.as_bytes()))
    }
}

/// What it takes to bring one model to what it shall be; `None` when it is so already.
#[must_use]
pub fn step(id: &ModelId, current: Option<&Record>, desired: &Desired, asker: Asker) -> Option<Step> {
    let before = current.map(|record| &record.spec);
    let was_tombstone = current.is_some_and(|record| record.tombstone);
    let (after, tombstone) = match (desired, current) {
        (Desired::Present(model), _) => (model.as_ref().clone(), false),
        (Desired::Absent, None) => return None,
        // What the API owns has no file that could be removed.
        (Desired::Absent, Some(Record { origin: Origin::Api(_), .. })) => return None,
        (Desired::Absent, Some(record)) if record.tombstone => return None,
        (Desired::Absent, Some(record)) => {
            let spec = record.described().clone();
            (Model { is_archived: true, is_available: false, ..spec }, true)
        }
    };
    let mut operations = match before {
        None => vec![Operation::Create],
        Some(before) => between(before, was_tombstone, &after, tombstone),
    };
    let is_back = |record: &Record| {
        let ends = record.status.sunset_reached.is_some() && record.status.kept(&after).sunset_reached.is_none();
        ends && record.is_archived() && !after.is_archived && !tombstone
    };
    // A sunset that was reached and is moved away, by which the specs alone show no return.
    if current.is_some_and(is_back) && !operations.contains(&Operation::Unarchive) {
        operations.insert(0, Operation::Unarchive);
    }
    if asker == Asker::Git && !tombstone && matches!(current, Some(Record { origin: Origin::Api(_), .. })) {
        operations.insert(0, Operation::Adopt);
    }
    let is_overridden = current.is_some_and(|record| record.overridden.is_some());
    match asker {
        Asker::Git if is_overridden => operations.insert(0, Operation::EndOverride),
        // One that is there already gets other terms.
        Asker::Override if is_overridden || !operations.is_empty() => operations.insert(0, Operation::PlaceOverride),
        _ => {}
    }
    if operations.is_empty() {
        return None;
    }
    let json = |model: Option<&Model>| match model {
        Some(model) => serde_json::to_value(model).unwrap_or_default(),
        None => serde_json::Value::Object(serde_json::Map::new()),
    };
    Some(Step {
        id: id.clone(),
        operations,
        changes: diff::fields(&json(before), &json(Some(&after))),
        before: before.cloned(),
        rollout: current.and_then(|record| record.status.rollout.clone()),
        was_tombstone,
        after,
        tombstone,
    })
}

fn between(before: &Model, was_tombstone: bool, after: &Model, tombstone: bool) -> Vec<Operation> {
    let mut operations = Vec::new();
    let was_archived = before.is_archived || was_tombstone;
    let archived = after.is_archived || tombstone;
    if was_archived && !archived || was_tombstone && !tombstone {
        operations.push(Operation::Unarchive);
    }
    if before.is_legacy && !after.is_legacy {
        operations.push(Operation::UnmarkLegacy);
    }
    if details(before, after) != details(after, after) {
        operations.push(Operation::UpdateMeta);
    }
    if before.aliases != after.aliases {
        operations.push(Operation::RenameAlias);
    }
    operations.extend(version_moves(&before.versions, &after.versions));
    if before.is_available != after.is_available && was_archived == archived {
        operations.push(Operation::SetAvailability);
    }
    if !before.is_legacy && after.is_legacy {
        operations.push(Operation::MarkLegacy);
    }
    if !was_archived && archived || !was_tombstone && tombstone {
        operations.push(Operation::Archive);
    }
    operations
}

/// A model with everything taken from `after` that an operation other than `update_meta` explains.
fn details(model: &Model, after: &Model) -> Model {
    let mut plain = Model {
        is_available: after.is_available,
        is_legacy: after.is_legacy,
        is_archived: after.is_archived,
        aliases: after.aliases.clone(),
        ..model.clone()
    };
    if model.is_legacy != after.is_legacy {
        plain.meta.legacy_replacement_model_id.clone_from(&after.meta.legacy_replacement_model_id);
        plain.meta.deprecation_notice.clone_from(&after.meta.deprecation_notice);
        plain.meta.sunset_date = after.meta.sunset_date;
    }
    // A version's move has an operation of its own; what else changes of it is a detail.
    if version_moves(&model.versions, &after.versions).next().is_some() {
        plain.versions.clone_from(&after.versions);
    }
    plain
}

fn version_moves<'v>(before: &'v [Version], after: &'v [Version]) -> impl Iterator<Item = Operation> + 'v {
    after.iter().flat_map(|version| {
        let number = &version.version;
        let old = before.iter().find(|other| other.version == *number).map(|other| other.status);
        let registered = old.is_none().then(|| Operation::RegisterVersion(number.clone()));
        let moved = (old != Some(version.status)).then_some(version.status).and_then(|status| match status {
            VersionStatus::Canary => Some(Operation::SetCanary(number.clone())),
            VersionStatus::Active => Some(Operation::Activate(number.clone())),
            VersionStatus::Deprecated => Some(Operation::Deprecate(number.clone())),
            VersionStatus::Retired => Some(Operation::Retire(number.clone())),
            VersionStatus::Inactive | VersionStatus::Testing => None,
        });
        registered.into_iter().chain(moved)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use crate::record::{ChangeNote, GitOrigin, Override, OverrideTerms};
    use crate::status::Status;

    fn record(spec: Model, tombstone: bool, origin: Origin) -> Record {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let change = ChangeNote {
            operations: vec![Operation::Create],
            actor: String::new(),
            reason: String::new(),
            source: "git".to_owned(),
            at,
            applied_at: at,
            commit: None,
            pull_request: None,
            revision: 1,
            correlation_id: String::new(),
        };
        let status = Status::default();
        Record { spec, status, origin, seq: 1, tombstone, change, archived: None, overridden: None, created_at: at }
    }

    fn git() -> Origin {
        let text = String::new;
        Origin::Git(GitOrigin {
            repository: text(),
            path: text(),
            blob: text(),
            commit: text(),
            pull_request: None,
            author: text(),
        })
    }

    fn names(before: &Model, change: impl FnOnce(&mut Model)) -> Vec<String> {
        let mut after = before.clone();
        change(&mut after);
        let step = step(
            &before.id,
            Some(&record(before.clone(), false, git())),
            &Desired::Present(Box::new(after)),
            Asker::Git,
        );
        step.map_or(Vec::new(), |step| step.operations.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn operations_say_what_changed() {
        let plain = model("m");
        assert_eq!(names(&plain, |_| {}), [""; 0]);
        assert_eq!(names(&plain, |m| m.meta.input_cost_per_million_tokens = None), ["update_meta"]);
        assert_eq!(names(&plain, |m| m.is_available = false), ["set_availability"]);
        assert_eq!(names(&plain, |m| m.aliases = vec![ModelId::parse("x").unwrap()]), ["rename_alias"]);
        assert_eq!(
            names(&plain, |m| {
                m.is_legacy = true;
                m.meta.deprecation_notice = Some("soon".to_owned());
            }),
            ["mark_legacy"]
        );
        assert_eq!(
            names(&plain, |m| {
                m.is_archived = true;
                m.is_available = false;
            }),
            ["archive"]
        );
        let mut legacy = model("m");
        legacy.is_legacy = true;
        assert_eq!(names(&legacy, |m| m.is_legacy = false), ["unmark_legacy"]);
        assert_eq!(names(&legacy, |m| m.meta.deprecation_notice = Some("later".to_owned())), ["update_meta"]);
    }

    #[test]
    fn versions_move_one_by_one() {
        let mut before = model("m");
        before.versions =
            serde_json::from_str(r#"[{"version":"1.0.0","status":"active"},{"version":"2.0.0","status":"testing"}]"#)
                .unwrap();
        let moved = names(&before, |m| {
            m.versions = serde_json::from_str(
                r#"[{"version":"1.0.0","status":"deprecated"},{"version":"2.0.0","status":"active"},
                    {"version":"3.0.0","status":"canary"}]"#,
            )
            .unwrap();
        });
        assert_eq!(moved, ["deprecate 1.0.0", "activate 2.0.0", "register_version 3.0.0", "set_canary 3.0.0"]);
    }

    #[test]
    fn a_removed_file_is_an_archive_and_its_return_an_unarchive() {
        let live = record(model("m"), false, git());
        let removed = step(&live.spec.id, Some(&live), &Desired::Absent, Asker::Git).unwrap();
        assert_eq!(removed.operations, [Operation::Archive]);
        assert!(removed.tombstone && removed.after.is_archived && !removed.after.is_available);
        let grave = record(removed.after, true, git());
        assert_eq!(step(&live.spec.id, Some(&grave), &Desired::Absent, Asker::Git), None);
        let back = step(&live.spec.id, Some(&grave), &Desired::Present(Box::new(model("m"))), Asker::Git).unwrap();
        assert_eq!(back.operations, [Operation::Unarchive]);
        assert_eq!(back.after, model("m"));
        let archived = Model { is_archived: true, is_available: false, ..model("m") };
        let back = step(&live.spec.id, Some(&grave), &Desired::Present(Box::new(archived)), Asker::Git).unwrap();
        assert_eq!(back.operations, [Operation::Unarchive], "the tombstone goes even when the model stays archived");
    }

    #[test]
    fn a_file_adopts_what_the_api_made() {
        let owned = record(model("m"), false, Origin::Api("ann".to_owned()));
        let adopted = step(&owned.spec.id, Some(&owned), &Desired::Present(Box::new(model("m"))), Asker::Git).unwrap();
        assert_eq!(adopted.operations, [Operation::Adopt]);
        assert_eq!(step(&owned.spec.id, Some(&owned), &Desired::Absent, Asker::Git), None);
        let edited = Model { name: "other".to_owned(), ..model("m") };
        let edited = step(&owned.spec.id, Some(&owned), &Desired::Present(Box::new(edited)), Asker::Api).unwrap();
        assert_eq!(edited.operations, [Operation::UpdateMeta]);
        assert_eq!(step(&owned.spec.id, None, &Desired::Absent, Asker::Git), None);
    }

    #[test]
    fn an_override_is_placed_and_ends_with_what_the_file_says() {
        let file = record(model("m"), false, git());
        let mut other = model("m");
        other.meta.description = "for now".to_owned();
        let present = |model: &Model| Desired::Present(Box::new(model.clone()));
        let of = |current: &Record, desired: &Desired, asker| {
            step(&current.spec.id, Some(current), desired, asker).map(|step| (step.operations, step.after))
        };
        assert_eq!(of(&file, &present(&model("m")), Asker::Override), None, "nothing to override");
        let placed = of(&file, &present(&other), Asker::Override).unwrap();
        assert_eq!(placed.0, [Operation::PlaceOverride, Operation::UpdateMeta]);

        let terms = OverrideTerms {
            actor: "sue".to_owned(),
            reason: "an incident".to_owned(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            until: "2026-01-02T00:00:00Z".parse().unwrap(),
        };
        let overridden = Some(Override { terms, blob: String::new(), spec: model("m") });
        let live = Record { spec: other.clone(), overridden, ..file };
        assert_eq!(of(&live, &present(&other), Asker::Override).unwrap().0, [Operation::PlaceOverride], "other terms");
        let ended = of(&live, &present(&model("m")), Asker::Git).unwrap();
        assert_eq!(ended, (vec![Operation::EndOverride, Operation::UpdateMeta], model("m")));
        let same = of(&live, &present(&other), Asker::Git).unwrap();
        assert_eq!(same, (vec![Operation::EndOverride], other), "a commit says what the override said");
        let gone = of(&live, &Desired::Absent, Asker::Git).unwrap();
        assert_eq!(gone.0, [Operation::EndOverride, Operation::UpdateMeta, Operation::Archive]);
        assert_eq!(gone.1.meta.description, "", "what is remembered is what the file said");
    }
}
