//! What commands do to the versions of a model. Each makes legal moves only, and none leaves a model without the active
//! version that it had.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::command::{Unfit, problem, unknown_key};
use crate::document::Problem;
use crate::model::Model;
use crate::policy::Policy;
use crate::version::{self, Ended, IllegalMove, Move, Version, VersionStatus};

/// The keys of a version that is registered.
const VERSION_KEYS: [&str; 5] = ["version", "status", "releaseDate", "overrides", "deprecation"];
/// The keys of a deprecation.
const DEPRECATION_KEYS: [&str; 3] = ["replacementVersion", "endOfLife", "gracePeriodDays"];
/// A century: nobody plans further.
const MAX_GRACE_DAYS: u64 = 36_500;
const DAY: i64 = 86_400;

/// Why the versions of a model do not go where a command wants them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// There is no such version.
    #[error("the model has no version {0}")]
    Absent(semver::Version),
    /// A version has the number already.
    #[error("version {version} is registered already and is {status}: a number never stands for something else")]
    Taken {
        /// The number.
        version: semver::Version,
        /// Where that version is in its life.
        status: VersionStatus,
    },
    /// The version cannot make the move.
    #[error("version {0}: {1}")]
    Illegal(semver::Version, IllegalMove),
    /// The version takes the traffic, and nothing would take it afterwards.
    #[error("version {0} is the active one, and nothing would take its place: activate another, or roll back")]
    InUse(semver::Version),
    /// Only a rollback leads back to a version that is deprecated.
    #[error("version {0} is deprecated: POST …/rollback leads back to it")]
    OnlyBack(semver::Version),
    /// The version stopped answering.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// There is nothing to go back from.
    #[error("no version of the model is active: activate one")]
    NoneActive,
    /// There is nothing to go back to.
    #[error("no other version of the model can be gone back to: none is deprecated and still answers")]
    NoneStable,
}

/// The place in the body of a mistake in a version's entry.
pub(super) fn place(pointer: &str) -> String {
    let entry = pointer.strip_prefix("/versions/").map(|rest| rest.split_once('/').map_or("", |(_, key)| key));
    match entry.map(|entry| entry.strip_prefix("deprecation/").unwrap_or(entry)) {
        None => pointer.to_owned(),
        Some("") => String::new(),
        Some(key) => format!("/{key}"),
    }
}

/// The change that adds a version behind the others.
pub(super) fn register(model: &Model, entry: &Map<String, Value>) -> Result<Map<String, Value>, Unfit> {
    let unknown = entry.keys().filter(|key| !VERSION_KEYS.contains(&key.as_str()));
    let mut problems: Vec<Problem> = unknown.map(|key| unknown_key(key, &VERSION_KEYS)).collect();
    let number = match entry.get("version") {
        None => Err(problem("/version", "a version needs its number, such as 2.0.0")),
        Some(Value::String(text)) => version::parse(text).map_err(|why| problem("/version", why)),
        Some(other) => Err(problem("/version", format!("a version's number is a text such as \"2.0.0\", not {other}"))),
    };
    let number = match number {
        Ok(number) if problems.is_empty() => number,
        number => {
            problems.extend(number.err());
            return Err(problems.into());
        }
    };
    if let Some(taken) = version::find(&model.versions, &number) {
        return Err(VersionError::Taken { version: number, status: taken.status }.into());
    }
    let mut entry = entry.clone();
    entry.entry("status").or_insert_with(|| VersionStatus::Inactive.name().into());
    let mut versions: Vec<Value> = model.versions.iter().map(|version| json!(version)).collect();
    versions.push(Value::Object(entry));
    Ok(Map::from_iter([("versions".to_owned(), Value::Array(versions))]))
}

pub(super) fn activate(
    model: &mut Model,
    number: &semver::Version,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), VersionError> {
    match found(model, number)?.status {
        VersionStatus::Active => return Ok(()),
        VersionStatus::Deprecated => return Err(VersionError::OnlyBack(number.clone())),
        _ => {}
    }
    let to = match policy.versions.deprecate_old_versions_on_new_deployment {
        true => VersionStatus::Deprecated,
        false => VersionStatus::Inactive,
    };
    let old = leave(model, to)?;
    if let Some(old) = old.filter(|_| to == VersionStatus::Deprecated) {
        let deprecation = old.deprecation.get_or_insert_default();
        deprecation.reason.get_or_insert_with(|| format!("version {number} takes its place"));
        deprecation.replacement_version = Some(number.clone());
        if deprecation.end_of_life.is_none() {
            deprecation.end_of_life = days_after(now, policy.versions.default_grace_period_days);
        }
    }
    lay_canary_aside(model, number)?;
    go(model, number, VersionStatus::Active)
}

pub(super) fn deprecate(
    model: &mut Model,
    number: &semver::Version,
    reason: &str,
    keys: &Map<String, Value>,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Unfit> {
    let asked = Asked::read(keys, now)?;
    let version = found(model, number)?;
    let is_new = version.status != VersionStatus::Deprecated;
    match version.status {
        VersionStatus::Active => return Err(VersionError::InUse(number.clone()).into()),
        VersionStatus::Deprecated => {}
        _ => go(model, number, VersionStatus::Deprecated)?,
    }
    let deprecation = found(model, number)?.deprecation.get_or_insert_default();
    if !reason.trim().is_empty() && (is_new || deprecation.reason.is_none()) {
        deprecation.reason = Some(reason.to_owned());
    }
    let Asked { replacement, end, grace_days } = asked;
    deprecation.replacement_version = replacement.or_else(|| deprecation.replacement_version.take());
    let days =
        grace_days.or_else(|| deprecation.end_of_life.is_none().then_some(policy.versions.default_grace_period_days));
    if let Some(end) = end.or_else(|| days_after(now, days?)) {
        deprecation.end_of_life = Some(end);
    }
    Ok(())
}

pub(super) fn retire(model: &mut Model, number: &semver::Version) -> Result<(), VersionError> {
    match found(model, number)?.status {
        VersionStatus::Retired => Ok(()),
        VersionStatus::Active => Err(VersionError::InUse(number.clone())),
        _ => go(model, number, VersionStatus::Retired),
    }
}

/// What is gone back from is inactive: it did not come to its end, and may be tried again.
pub(super) fn roll_back(
    model: &mut Model,
    number: Option<&semver::Version>,
    now: Timestamp,
) -> Result<(), VersionError> {
    let active = version::active(&model.versions).ok_or(VersionError::NoneActive)?.version.clone();
    let number = match number {
        Some(number) => number.clone(),
        None => last_stable(&model.versions, &active, now).ok_or(VersionError::NoneStable)?.version.clone(),
    };
    if number == active {
        return Ok(());
    }
    if let Some(end) = found(model, &number)?.end_of_life().filter(|&end| end <= now) {
        return Err(Ended { version: number, end }.into());
    }
    leave(model, VersionStatus::Inactive)?;
    lay_canary_aside(model, &number)?;
    go(model, &number, VersionStatus::Active)?;
    found(model, &number)?.deprecation = None;
    Ok(())
}

/// The version that most likely had the traffic last: the newest that is deprecated and still answers, else the newest
/// one below the active one that was laid aside.
fn last_stable<'v>(versions: &'v [Version], active: &semver::Version, now: Timestamp) -> Option<&'v Version> {
    let newest = |status: VersionStatus| {
        let is_usable = move |version: &&Version| {
            let is_left =
                status == VersionStatus::Deprecated || version.version < *active && version.version.pre.is_empty();
            version.status == status && is_left && version.end_of_life().is_none_or(|end| end > now)
        };
        versions.iter().filter(is_usable).max_by_key(|version| &version.version)
    };
    newest(VersionStatus::Deprecated).or_else(|| newest(VersionStatus::Inactive))
}

fn found<'m>(model: &'m mut Model, number: &semver::Version) -> Result<&'m mut Version, VersionError> {
    let found = model.versions.iter_mut().find(|version| version.version == *number);
    found.ok_or_else(|| VersionError::Absent(number.clone()))
}

/// Makes the active version another, for one that takes its place.
fn leave(model: &mut Model, to: VersionStatus) -> Result<Option<&mut Version>, VersionError> {
    let Some(old) = version::active(&model.versions).map(|active| active.version.clone()) else { return Ok(None) };
    go(model, &old, to)?;
    found(model, &old).map(Some)
}

/// Takes the canary out of the way of another version, beside which it would begin anew and take over again.
fn lay_canary_aside(model: &mut Model, number: &semver::Version) -> Result<(), VersionError> {
    let is_other = |version: &&Version| version.status == VersionStatus::Canary && version.version != *number;
    let canary = model.versions.iter().find(is_other).map(|canary| canary.version.clone());
    canary.map_or(Ok(()), |canary| go(model, &canary, VersionStatus::Inactive))
}

/// Moves a version. Its rollout is over with the canary.
fn go(model: &mut Model, number: &semver::Version, to: VersionStatus) -> Result<(), VersionError> {
    let version = found(model, number)?;
    let legal = Move::new(version.status, to).map_err(|illegal| VersionError::Illegal(number.clone(), illegal))?;
    version.status = legal.to();
    model.rollout.take_if(|rollout| rollout.version == *number && to != VersionStatus::Inactive);
    Ok(())
}

/// The end of a grace period, to the second; none beyond all time.
fn days_after(now: Timestamp, days: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(days).ok()?.checked_mul(DAY)?;
    Timestamp::from_second(now.as_second().checked_add(seconds)?).ok()
}

/// What is asked for with a deprecation.
#[derive(Debug, Default)]
struct Asked {
    replacement: Option<semver::Version>,
    end: Option<Timestamp>,
    grace_days: Option<u64>,
}

impl Asked {
    fn read(keys: &Map<String, Value>, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let unknown = keys.keys().filter(|key| !DEPRECATION_KEYS.contains(&key.as_str()));
        let mut problems: Vec<Problem> = unknown.map(|key| unknown_key(key, &DEPRECATION_KEYS)).collect();
        let text = |key: &str| match keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(problem(&format!("/{key}"), format!("expected a text, found {other}"))),
        };
        let mut asked = Self::default();
        let mut note = |read: Result<(), Problem>| problems.extend(read.err());
        note(text("replacementVersion").and_then(|text| {
            let parsed = text.map(version::parse).transpose();
            asked.replacement = parsed.map_err(|why| problem("/replacementVersion", why))?;
            Ok(())
        }));
        note(text("endOfLife").and_then(|text| {
            let parsed = text.map(str::parse::<Timestamp>).transpose();
            asked.end = parsed.map_err(|_| problem("/endOfLife", "expected a time of RFC 3339"))?;
            match asked.end.filter(|&end| end <= now) {
                Some(end) => Err(problem("/endOfLife", format!("{end} has passed: retire the version instead"))),
                None => Ok(()),
            }
        }));
        let days = keys.get("gracePeriodDays").filter(|days| !days.is_null()).map(Option::<u64>::deserialize);
        note(match days.map(|days| days.ok().flatten().filter(|days| *days <= MAX_GRACE_DAYS)) {
            Some(None) => Err(problem("/gracePeriodDays", format!("expected a whole number up to {MAX_GRACE_DAYS}"))),
            Some(Some(_)) if keys.contains_key("endOfLife") => {
                Err(problem("/gracePeriodDays", "give either an end of life or a grace period"))
            }
            days => {
                asked.grace_days = days.flatten();
                Ok(())
            }
        });
        if problems.is_empty() { Ok(asked) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::model::tests::model;
    use crate::rollout::tests::promoted;
    use crate::version::tests::versions;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00.5Z".parse().unwrap()
    }

    fn with(text: &str) -> Model {
        Model { versions: versions(text), ..model("m") }
    }

    fn number(text: &str) -> semver::Version {
        text.parse().unwrap()
    }

    fn statuses(model: &Model) -> String {
        let told = model.versions.iter().map(|version| format!("{} {}", version.version, version.status));
        told.collect::<Vec<_>>().join(", ")
    }

    fn done(command: &Command, model: &Model) -> Result<Model, Unfit> {
        command.desired(Some(model), &Policy::default(), now()).map(|sourced| sourced.model)
    }

    fn refused(command: &Command, model: &Model) -> String {
        match done(command, model).unwrap_err() {
            Unfit::Versions(error) => error.to_string(),
            Unfit::Invalid(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn versions_are_registered_once_and_at_the_end() {
        let register = |value: Value| Command::RegisterVersion(map(value));
        let live = with("1.0.0 active");
        let entry = json!({"version": "2.0.0", "releaseDate": "2026-11-01T00:00:00Z", "overrides": {"inputCostPerMillionTokens": 570.10}});
        let registered = done(&register(entry), &live).unwrap();
        assert_eq!(statuses(&registered), "1.0.0 active, 2.0.0 inactive");
        assert_eq!(
            refused(&register(json!({"version": "1.0.0"})), &live),
            "version 1.0.0 is registered already and is active: a number never stands for something else"
        );
        for (entry, told) in [
            (json!({}), "/version: a version needs its number, such as 2.0.0"),
            (json!({"version": 2}), "/version: a version's number is a text such as \"2.0.0\", not 2"),
            (
                json!({"version": "latest"}),
                "/version: \"latest\" is no version: a name stands for another version tomorrow",
            ),
            (
                json!({"version": "2.0.0", "colour": 1}),
                "/colour: unknown key \"colour\": the known ones are version, status",
            ),
            (json!({"version": "2.0.0", "status": "live"}), "/status: \"live\" is not one of"),
            (json!({"version": "2.0.0", "status": "active"}), "/status: versions 1.0.0 and 2.0.0 are both active"),
            (
                json!({"version": "2.0.0", "overrides": {"contextLength": 0}}),
                "/overrides/contextLength: 0 is not above 0",
            ),
        ] {
            let said = refused(&register(entry), &live);
            assert!(said.starts_with(told), "{said}");
        }
    }

    #[test]
    fn what_is_activated_takes_the_place_of_another() {
        let live = with("1.0.0 active, 2.0.0 canary");
        let activate = Command::ActivateVersion(number("2.0.0"));
        let mut with_rollout = live.clone();
        with_rollout.rollout =
            serde_json::from_str(r#"{"version":"2.0.0","steps":[{"weightPercent":5,"holdHours":1}]}"#).unwrap();
        let after = done(&activate, &with_rollout).unwrap();
        assert_eq!((statuses(&after).as_str(), &after.rollout), ("1.0.0 deprecated, 2.0.0 active", &None));
        let deprecation = after.versions[0].deprecation.clone().unwrap();
        assert_eq!(deprecation.end_of_life, "2027-02-24T12:00:00Z".parse().ok(), "in 90 days, by policy");
        assert_eq!(deprecation.replacement_version, Some(number("2.0.0")));
        assert_eq!(done(&activate, &after).unwrap(), after, "it is so already");
        let mut policy = Policy::default();
        policy.versions.deprecate_old_versions_on_new_deployment = false;
        let laid_aside = activate.desired(Some(&live), &policy, now()).unwrap().model;
        assert_eq!(statuses(&laid_aside), "1.0.0 inactive, 2.0.0 active");
        assert_eq!(
            refused(&Command::ActivateVersion(number("1.0.0")), &after),
            "version 1.0.0 is deprecated: POST …/rollback leads back to it"
        );
        assert_eq!(refused(&Command::ActivateVersion(number("9.0.0")), &after), "the model has no version 9.0.0");
    }

    #[test]
    fn a_rollback_undoes_an_activation() {
        let after = done(&Command::ActivateVersion(number("2.0.0")), &with("1.0.0 active, 2.0.0 inactive")).unwrap();
        let back = done(&Command::RollbackVersion(None), &after).unwrap();
        assert_eq!(back, with("1.0.0 active, 2.0.0 inactive"));
        assert_eq!(done(&Command::RollbackVersion(Some(number("1.0.0"))), &after).unwrap(), back);
        assert_eq!(done(&Command::RollbackVersion(Some(number("1.0.0"))), &back).unwrap(), back, "it is so already");
        let none = "no other version of the model can be gone back to: none is deprecated and still answers";
        assert_eq!(refused(&Command::RollbackVersion(None), &back), none);
        assert_eq!(
            refused(&Command::RollbackVersion(None), &with("1.0.0 testing")),
            "no version of the model is active: activate one"
        );
        let aside = with("0.9.0 inactive, 1.0.0 inactive, 1.5.0-rc.1 inactive, 2.0.0 active, 3.0.0 inactive");
        assert_eq!(done(&Command::RollbackVersion(None), &aside).unwrap().versions[1].status, VersionStatus::Active);
        let mut over = after;
        over.versions[0].deprecation.as_mut().unwrap().end_of_life = "2026-11-26T12:00:00Z".parse().ok();
        assert_eq!(refused(&Command::RollbackVersion(None), &over), none);
        let ended = "version 1.0.0 reached its end of life on 2026-11-26T12:00:00Z: it can only be retired";
        assert_eq!(refused(&Command::RollbackVersion(Some(number("1.0.0"))), &over), ended);
    }

    #[test]
    fn commands_start_from_what_took_over() {
        let live = with("0.9.0 inactive, 1.0.0 active, 2.0.0 canary, 3.0.0 inactive");
        let status = promoted(&live, now(), Some(90));
        let after = |command: Command| {
            let base = command.base(&live, Some(&status)).into_owned();
            assert_eq!(illegal_after(&base, &command), Vec::<String>::new());
            statuses(&done(&command, &base).unwrap())
        };
        let refused = |command: Command| refused(&command, &command.base(&live, Some(&status)));
        let in_use =
            "version 2.0.0 is the active one, and nothing would take its place: activate another, or roll back";
        assert_eq!(refused(Command::RetireVersion(number("2.0.0"))), in_use);
        assert_eq!(refused(Command::DeprecateVersion(number("2.0.0"), "so".to_owned(), Map::new())), in_use);
        assert_eq!(
            after(Command::RetireVersion(number("1.0.0"))),
            "0.9.0 inactive, 1.0.0 retired, 2.0.0 active, 3.0.0 inactive"
        );
        assert_eq!(
            after(Command::ActivateVersion(number("3.0.0"))),
            "0.9.0 inactive, 1.0.0 deprecated, 2.0.0 deprecated, 3.0.0 active"
        );
        assert_eq!(
            after(Command::RollbackVersion(Some(number("0.9.0")))),
            "0.9.0 active, 1.0.0 deprecated, 2.0.0 inactive, 3.0.0 inactive"
        );
        let canary = json!({"version": "4.0.0", "status": "canary"});
        assert!(after(Command::RegisterVersion(map(canary))).ends_with("2.0.0 active, 3.0.0 inactive, 4.0.0 canary"));
        let edit = Command::Edit(map(json!({"name": "other"})));
        assert_eq!(*edit.base(&live, Some(&status)), live, "what is not of versions leaves them as they are written");
    }

    #[test]
    fn a_canary_does_not_come_beside_another_than_it_was_meant_for() {
        let live = with("0.9.0 inactive, 1.0.0 active, 2.0.0 canary, 3.0.0 inactive");
        let after = |command: Command| {
            assert_eq!(illegal_after(&live, &command), Vec::<String>::new());
            statuses(&done(&command, &live).unwrap())
        };
        assert_eq!(
            after(Command::ActivateVersion(number("3.0.0"))),
            "0.9.0 inactive, 1.0.0 deprecated, 2.0.0 inactive, 3.0.0 active"
        );
        assert_eq!(
            after(Command::RollbackVersion(Some(number("0.9.0")))),
            "0.9.0 active, 1.0.0 inactive, 2.0.0 inactive, 3.0.0 inactive"
        );
    }

    fn illegal_after(model: &Model, command: &Command) -> Vec<String> {
        version::illegal_moves(&model.versions, &done(command, model).unwrap().versions)
    }

    #[test]
    fn deprecations_say_until_when() {
        let live = with("1.0.0 canary, 2.0.0 active");
        let deprecate = |keys: Value| Command::DeprecateVersion(number("1.0.0"), "too slow".to_owned(), map(keys));
        let end = |keys: Value| {
            let after = done(&deprecate(keys), &live).unwrap();
            let deprecation = after.versions[0].deprecation.clone().unwrap();
            assert_eq!(deprecation.reason.as_deref(), Some("too slow"));
            deprecation.end_of_life.unwrap().to_string()
        };
        assert_eq!(end(json!({})), "2027-02-24T12:00:00Z");
        assert_eq!(end(json!({"gracePeriodDays": 7})), "2026-12-03T12:00:00Z");
        assert_eq!(
            end(json!({"endOfLife": "2026-12-24T00:00:00+01:00", "replacementVersion": "2.0.0"})),
            "2026-12-23T23:00:00Z"
        );
        let after = done(&deprecate(json!({"gracePeriodDays": 7})), &live).unwrap();
        assert_eq!(done(&deprecate(json!({})), &after).unwrap(), after, "asked again it stays");
        for (keys, told) in [
            (json!({"gracePeriodDays": 1.5}), "/gracePeriodDays: expected a whole number up to 36500"),
            (
                json!({"gracePeriodDays": 1, "endOfLife": "2027-01-01T00:00:00Z"}),
                "/gracePeriodDays: give either an end of life or",
            ),
            (json!({"endOfLife": "2026-11-26T12:00:00Z"}), "/endOfLife: 2026-11-26T12:00:00Z has passed: retire"),
            (json!({"endOfLife": "soon"}), "/endOfLife: expected a time of RFC 3339"),
            (json!({"replacementVersion": "v2"}), "/replacementVersion: \"v2\" is no version"),
            (json!({"replacementVersion": "3.0.0"}), "/replacementVersion: replacement version 3.0.0 is not listed"),
            (json!({"sunset": 1}), "/sunset: unknown key"),
        ] {
            let said = refused(&deprecate(keys), &live);
            assert!(said.starts_with(told), "{said}");
        }
        let active = Command::DeprecateVersion(number("2.0.0"), String::new(), Map::new());
        assert!(
            refused(&active, &live).starts_with("version 2.0.0 is the active one, and nothing would take its place")
        );
        let retire = |text: &str| Command::RetireVersion(number(text));
        assert_eq!(statuses(&done(&retire("1.0.0"), &after).unwrap()), "1.0.0 retired, 2.0.0 active");
        assert!(refused(&retire("2.0.0"), &after).contains("nothing would take its place"));
        let gone = done(&retire("1.0.0"), &after).unwrap();
        assert!(
            refused(&Command::ActivateVersion(number("1.0.0")), &gone).contains("nothing follows; register another")
        );
    }

    fn command() -> impl Strategy<Value = Command> {
        let number = || (1_u64..5).prop_map(|major| semver::Version::new(major, 0, 0));
        let status = prop::sample::select(VersionStatus::ALL.to_vec());
        prop_oneof![
            (number(), status).prop_map(|(number, status)| {
                Command::RegisterVersion(map(json!({"version": number, "status": status})))
            }),
            number().prop_map(Command::ActivateVersion),
            number().prop_map(|number| Command::DeprecateVersion(number, "so".to_owned(), Map::new())),
            number().prop_map(Command::RetireVersion),
            prop::option::of(number()).prop_map(Command::RollbackVersion),
        ]
    }

    proptest! {
        /// Whatever is asked for in whatever order: never two active versions, and none where there was one.
        #[test]
        fn a_model_keeps_its_active_version(commands in prop::collection::vec((command(), 0_i64..200), 1..40), deprecates: bool) {
            let mut policy = Policy::default();
            policy.versions.deprecate_old_versions_on_new_deployment = deprecates;
            let (mut live, mut at) = (model("m"), now());
            for (command, days) in commands {
                at = days_after(at, days.unsigned_abs()).unwrap();
                let had_one = version::active(&live.versions).is_some();
                if let Ok(after) = command.desired(Some(&live), &policy, at) {
                    let illegal = version::illegal_moves(&live.versions, &after.model.versions);
                    prop_assert_eq!(illegal, Vec::<String>::new(), "{:?}", command);
                    live = after.model;
                }
                let active = live.versions.iter().filter(|version| version.status == VersionStatus::Active).count();
                prop_assert!(active == 1 || active == 0 && !had_one, "{}", statuses(&live));
            }
        }
    }
}
