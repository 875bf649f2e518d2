//! What an admin asks to be done to one model, as the document that the model shall be.
//!
//! A command makes a document and nothing else: the document is validated, planned and guarded as a catalogue file
//! is. Asking for what is so already makes the document that is there.

mod versions;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::document::{Document, Problem};
use crate::model::Model;
use crate::policy::Policy;
use crate::rollout::{self, RolloutStatus};
use crate::validate::{self, SourcedModel};

pub use versions::VersionError;

/// What is to be done to a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The whole document is given: a new model.
    Create(Document),
    /// A copy of another model, under another id and with some keys set otherwise (RFC 7396).
    Duplicate(Map<String, Value>),
    /// The whole document is given, in the place of the one that is there: an import.
    Replace(Document),
    /// Some keys of the document change (RFC 7396).
    Edit(Map<String, Value>),
    /// Some keys of its `meta` change (RFC 7396).
    EditMeta(Map<String, Value>),
    /// It is on its way out: `replacementModelId`, `deprecationNotice` and `sunsetDate` are set where given.
    MarkLegacy(Map<String, Value>),
    /// It is no longer on its way out.
    UnmarkLegacy,
    /// It is hidden and cannot be used.
    Archive,
    /// It is back, available, and as legacy as it was.
    Unarchive,
    /// It is what its file says again: the model that is given is the one that the file describes.
    EndOverride,
    /// A version of it appears, as one of the document's `versions`; inactive where no status is given.
    RegisterVersion(Map<String, Value>),
    /// A version takes the traffic. What had it before is deprecated or inactive, by policy.
    ActivateVersion(semver::Version),
    /// A version is on its way out, for a reason: `replacementVersion`, and `endOfLife` or `gracePeriodDays`.
    DeprecateVersion(semver::Version, String, Map<String, Value>),
    /// A version is gone.
    RetireVersion(semver::Version),
    /// A version that had the traffic has it again: this one, or the last stable one.
    RollbackVersion(Option<semver::Version>),
}

/// Why a command makes no document.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    /// Every mistake, each with its place in the body that the command was read from.
    Invalid(Vec<Problem>),
    /// The model's versions do not go that way.
    Versions(VersionError),
}

impl From<Vec<Problem>> for Unfit {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Invalid(problems)
    }
}

impl From<VersionError> for Unfit {
    fn from(error: VersionError) -> Self {
        Self::Versions(error)
    }
}

/// The keys of [`Command::MarkLegacy`], with the keys of `meta` that they set.
const LEGACY_KEYS: [(&str, &str); 3] = [
    ("replacementModelId", "legacyReplacementModelId"),
    ("deprecationNotice", "deprecationNotice"),
    ("sunsetDate", "sunsetDate"),
];

/// Keys that an edit cannot change, with what can.
const OWN_COMMANDS: [(&str, &str); 3] = [
    ("id", "an id never changes: duplicate the model under the other id, and archive this one"),
    ("isLegacy", "use mark-legacy or unmark-legacy"),
    ("isArchived", "use archive or unarchive, which ask for the reason"),
];

impl Command {
    /// The model that it is done to. What is said of versions is said of those that are there, a version that took over
    /// by its rollout among them; anything else leaves them as they are written.
    #[must_use]
    pub fn base<'m>(&self, model: &'m Model, rollout: Option<&RolloutStatus>) -> Cow<'m, Model> {
        if self.is_of_version() { rollout::settled(model, rollout) } else { Cow::Borrowed(model) }
    }

    /// The document that a model shall be, checked by every rule that looks at one model alone.
    ///
    /// `model` is the model as it is ([`Command::base`]), or for a duplicate the one that is copied; a new model has none.
    ///
    /// # Errors
    /// [`Unfit`] when there is no such document, or it has mistakes.
    pub fn desired(&self, model: Option<&Model>, policy: &Policy, now: Timestamp) -> Result<SourcedModel, Unfit> {
        let desired = match (self, model) {
            (Self::Create(document), _) => validate::read_body(document.clone())?,
            (_, None) => return Err(vec![problem("", "there is no model to do this to")].into()),
            (Self::Replace(document), Some(model)) if document.value()["id"] != model.id.as_str() => {
                return Err(vec![document.problem("/id", "an id never changes")].into());
            }
            (Self::Replace(document), Some(_)) => validate::read_body(document.clone())?,
            (command, Some(model)) => {
                let document = command.changed(model, policy, now)?;
                let bytes = serde_json::to_vec(&document).map_err(|error| vec![problem("", error.to_string())])?;
                validate::read_body(Document::parse("", &bytes)?).map_err(|problems| self.placed(problems))?
            }
        };
        if matches!(self, Self::Create(_) | Self::Duplicate(_))
            && let Some(reserved) = validate::reserved_id_problem(&desired.document)
        {
            return Err(self.placed(vec![reserved]).into());
        }
        let sunset = desired.model.meta.sunset_date.filter(|&sunset| sunset <= now);
        let before = model.filter(|_| !matches!(self, Self::Duplicate(_)));
        if let Some(sunset) = sunset.filter(|_| before.is_none_or(|model| model.meta.sunset_date != sunset)) {
            let message = format!("{sunset} has passed: a sunset is in the future");
            return Err(self.placed(vec![problem("/meta/sunsetDate", message)]).into());
        }
        Ok(desired)
    }

    /// Mistakes with their places in the body instead of the document, for mistakes that the body brought.
    #[must_use]
    pub fn placed(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let place = |pointer: &str| match (self, pointer.strip_prefix("/meta")) {
            (Self::EditMeta(_), Some(rest)) => rest.to_owned(),
            (Self::MarkLegacy(_), Some(rest)) => LEGACY_KEYS
                .iter()
                .find(|(_, key)| rest.strip_prefix('/') == Some(key))
                .map_or(pointer.to_owned(), |(name, _)| format!("/{name}")),
            _ if self.is_of_version() => versions::place(pointer),
            _ => pointer.to_owned(),
        };
        let has_text = matches!(self, Self::Create(_) | Self::Replace(_));
        let problems = problems.into_iter().map(|problem| Problem { pointer: place(&problem.pointer), ..problem });
        // A document that was put together has no lines that its author knows.
        let without_line = |problem| if has_text { problem } else { Problem { line: 0, column: 0, ..problem } };
        problems.map(without_line).collect()
    }

    fn is_of_version(&self) -> bool {
        matches!(
            self,
            Self::RegisterVersion(_)
                | Self::ActivateVersion(_)
                | Self::DeprecateVersion(..)
                | Self::RetireVersion(_)
                | Self::RollbackVersion(_)
        )
    }

    fn changed(&self, model: &Model, policy: &Policy, now: Timestamp) -> Result<Value, Unfit> {
        let mut model = model.clone();
        let mut patch = match self {
            Self::Create(_) | Self::Replace(_) | Self::EndOverride => Map::new(),
            Self::Duplicate(overrides) => {
                if !overrides.contains_key("id") {
                    return Err(vec![problem("/id", "the copy needs an id of its own")].into());
                }
                // Names cannot be shared, and where the copy is in its life is its own story.
                model.aliases.clear();
                model.versions.clear();
                model.rollout = None;
                (model.is_available, model.is_archived, model.protected) = (true, false, false);
                clear_legacy(&mut model);
                overrides.clone()
            }
            Self::Edit(patch) => {
                let refused = OWN_COMMANDS.iter().filter(|(key, _)| patch.contains_key(*key));
                let refused: Vec<Problem> =
                    refused.map(|(key, instead)| problem(&format!("/{key}"), *instead)).collect();
                if !refused.is_empty() {
                    return Err(refused.into());
                }
                patch.clone()
            }
            Self::EditMeta(patch) => Map::from_iter([("meta".to_owned(), Value::Object(patch.clone()))]),
            Self::MarkLegacy(keys) => {
                let known = |key: &str| LEGACY_KEYS.iter().find(|(name, _)| *name == key);
                let unknown = keys.keys().filter(|key| known(key).is_none());
                let unknown: Vec<Problem> = unknown.map(|key| unknown_key(key, &LEGACY_KEYS.map(|(k, _)| k))).collect();
                if !unknown.is_empty() {
                    return Err(unknown.into());
                }
                model.is_legacy = true;
                let meta = keys.iter().filter_map(|(key, value)| Some((known(key)?.1.to_owned(), value.clone())));
                Map::from_iter([("meta".to_owned(), Value::Object(meta.collect()))])
            }
            Self::UnmarkLegacy => {
                clear_legacy(&mut model);
                Map::new()
            }
            Self::Archive => {
                (model.is_archived, model.is_available) = (true, false);
                Map::new()
            }
            Self::Unarchive => {
                if let Some(sunset) = model.meta.sunset_date.filter(|&sunset| sunset <= now) {
                    let message = format!(
                        "its sunset passed on {sunset}: clear it with unmark-legacy, or set a later one, first"
                    );
                    return Err(vec![problem("", message)].into());
                }
                if model.is_archived {
                    (model.is_archived, model.is_available) = (false, true);
                }
                Map::new()
            }
            Self::RegisterVersion(entry) => versions::register(&model, entry)?,
            Self::ActivateVersion(number) => {
                versions::activate(&mut model, number, policy, now)?;
                Map::new()
            }
            Self::DeprecateVersion(number, reason, keys) => {
                versions::deprecate(&mut model, number, reason, keys, policy, now)?;
                Map::new()
            }
            Self::RetireVersion(number) => {
                versions::retire(&mut model, number)?;
                Map::new()
            }
            Self::RollbackVersion(number) => {
                versions::roll_back(&mut model, number.as_ref(), now)?;
                Map::new()
            }
        };
        // A schema reference is a file's own.
        patch.remove("$schema");
        let mut document = serde_json::to_value(&model).map_err(|error| vec![problem("", error.to_string())])?;
        json_patch::merge(&mut document, &Value::Object(patch));
        // A merge patch takes away what it sets to null; of the prices that every model has it says that they are unknown.
        if let Some(meta) = document.get_mut("meta").and_then(Value::as_object_mut) {
            for price in ["inputCostPerMillionTokens", "outputCostPerMillionTokens"] {
                meta.entry(price).or_insert(Value::Null);
            }
        }
        Ok(document)
    }
}

fn clear_legacy(model: &mut Model) {
    model.is_legacy = false;
    model.meta.legacy_replacement_model_id = None;
    model.meta.deprecation_notice = None;
    model.meta.sunset_date = None;
}

/// A key that a body does not have.
#[must_use]
pub fn unknown_key(key: &str, known: &[&str]) -> Problem {
    let known = match known {
        [] => "there are none here".to_owned(),
        names => format!("the known ones are {}", names.join(", ")),
    };
    problem(&format!("/{}", crate::document::escape(key)), format!("unknown key \"{key}\": {known}"))
}

/// A mistake at a place of a body.
#[must_use]
pub fn problem(pointer: &str, message: impl Into<String>) -> Problem {
    Problem { pointer: pointer.to_owned(), ..Problem::of_file("", message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn done(command: &Command, model: &Model) -> Model {
        command.desired(Some(model), &Policy::default(), now()).unwrap().model
    }

    fn mistakes(command: &Command, model: &Model) -> Vec<String> {
        let unfit = command.desired(Some(model), &Policy::default(), now()).unwrap_err();
        let Unfit::Invalid(problems) = unfit else { panic!("{unfit:?}") };
        problems.into_iter().map(|problem| format!("{} {}", problem.pointer, problem.message)).collect()
    }

    #[test]
    fn legacy_and_back() {
        let keys =
            json!({"replacementModelId": "n", "deprecationNotice": "soon", "sunsetDate": "2026-12-01T00:00:00Z"});
        let legacy = done(&Command::MarkLegacy(map(keys)), &model("m"));
        assert!(legacy.is_legacy);
        assert_eq!(legacy.meta.legacy_replacement_model_id.as_ref().unwrap().as_str(), "n");
        let again = done(&Command::MarkLegacy(Map::new()), &legacy);
        assert_eq!(again, legacy, "what is not named stays");
        let cleared = done(&Command::MarkLegacy(map(json!({"sunsetDate": null}))), &legacy);
        assert_eq!(cleared.meta.sunset_date, None);
        assert_eq!(done(&Command::UnmarkLegacy, &legacy), model("m"));
    }

    #[test]
    fn archived_and_back_as_legacy_as_before() {
        let legacy = done(&Command::MarkLegacy(map(json!({"deprecationNotice": "soon"}))), &model("m"));
        let archived = done(&Command::Archive, &legacy);
        assert!(archived.is_archived && !archived.is_available && archived.is_legacy);
        assert_eq!(done(&Command::Archive, &archived), archived);
        assert_eq!(done(&Command::Unarchive, &archived), legacy);
        let off = Model { is_available: false, ..model("m") };
        assert_eq!(done(&Command::Unarchive, &off), off, "what was not archived is not made available");
        let mut over = archived;
        over.meta.sunset_date = Some("2026-11-20T00:00:00Z".parse().unwrap());
        assert!(mistakes(&Command::Unarchive, &over)[0].contains("its sunset passed on 2026-11-20T00:00:00Z"));
    }

    #[test]
    fn mistakes_name_their_place_in_the_body() {
        let told = |keys: Value| mistakes(&Command::MarkLegacy(map(keys)), &model("m"));
        assert_eq!(
            told(json!({"sunsetDate": "2026-11-21T00:00:00Z"})),
            ["/sunsetDate 2026-11-21T00:00:00Z has passed: a sunset is in the future"]
        );
        assert_eq!(
            told(json!({"sunset": 1})),
            ["/sunset unknown key \"sunset\": the known ones are replacementModelId, deprecationNotice, sunsetDate"]
        );
        let told = told(json!({"sunsetDate": "soon", "deprecationNotice": 7}));
        assert!(told[0].starts_with("/deprecationNotice ") && told[1].starts_with("/sunsetDate "), "{told:?}");
        let told = mistakes(&Command::EditMeta(map(json!({"displayName": "", "colour": "red"}))), &model("m"));
        assert!(told.iter().any(|line| line.starts_with("/displayName ")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("/colour ")), "{told:?}");
        let told = mistakes(&Command::Edit(map(json!({"isArchived": true, "id": "x"}))), &model("m"));
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn edits_follow_merge_patch_and_keep_every_digit() {
        let patch = r#"{"inputCostPerMillionTokens": 570.0000000000001, "description": "d", "complianceTags": ["a"]}"#;
        let edited = done(&Command::EditMeta(serde_json::from_str(patch).unwrap()), &model("m"));
        assert_eq!(edited.meta.input_cost_per_million_tokens.unwrap().to_string(), "570.0000000000001");
        let back = done(&Command::EditMeta(map(json!({"description": null, "complianceTags": null}))), &edited);
        assert_eq!((back.meta.description.as_str(), back.meta.compliance_tags.len()), ("", 0));
        let unknown = done(&Command::EditMeta(map(json!({"inputCostPerMillionTokens": null}))), &edited);
        assert_eq!(unknown.meta.input_cost_per_million_tokens, None);
        assert_eq!(unknown.meta.output_cost_per_million_tokens, edited.meta.output_cost_per_million_tokens);
    }

    #[test]
    fn no_new_model_is_called_like_a_list() {
        let copy = Command::Duplicate(map(json!({"id": "archived"})));
        let told = mistakes(&copy, &model("m"));
        assert!(told[0].starts_with("/id \"archived\" is no model's id"), "{told:?}");
        assert_eq!(done(&Command::Edit(map(json!({"name": "n"}))), &model("archived")).name, "n", "an old one stays");
    }

    #[test]
    fn a_copy_starts_its_own_life() {
        let mut source = done(&Command::MarkLegacy(map(json!({"deprecationNotice": "soon"}))), &model("m"));
        source.aliases = vec![crate::ModelId::parse("also").unwrap()];
        let copy = done(&Command::Duplicate(map(json!({"id": "n", "meta": {"displayName": "N"}}))), &source);
        let mut expected = Model { id: crate::ModelId::parse("n").unwrap(), ..model("m") };
        expected.meta.display_name = "N".to_owned();
        assert_eq!(copy, expected);
        assert_eq!(mistakes(&Command::Duplicate(Map::new()), &source), ["/id the copy needs an id of its own"]);
    }
}
