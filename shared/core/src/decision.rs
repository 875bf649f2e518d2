//! Whether a version may take the traffic: one answer for the plan of a pull request, the sync, the API and a rollout.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::decimal::Exact;
use crate::effective::{self, EffectiveVersion};
use crate::evaluate::{self, Report, Verdict};
use crate::guard::Hold;
use crate::measure::Measured;
use crate::model::Model;
use crate::plan::{Plan, Step};
use crate::policy::Policy;
use crate::rollout::{RolloutState, RolloutStatus};
use crate::version::{self, VersionStatus};

/// What was measured within this time before a decision speaks for a version.
pub const EVIDENCE: SignedDuration = SignedDuration::from_hours(24);
/// Places that a mean cost is told with.
const PLACES: u32 = 9;

/// What a version is refused by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It is on its way out, or gone.
    Lifecycle,
    /// Its results break a threshold, or are too few to say.
    Evaluation,
    /// Its requests cost too much.
    Cost,
}

/// Why a version may not take the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "contract", schemars(rename = "VersionRefusal"))]
pub struct Refusal {
    /// What refuses it.
    pub rule: Rule,
    /// Why, in lower case.
    pub message: String,
}

/// Whether a version may take the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub struct Decision {
    /// Whether it may.
    pub approved: bool,
    /// Every reason against it.
    pub refusals: Vec<Refusal>,
    /// The version to use instead, where it is refused and there is one.
    pub instead: Option<semver::Version>,
}

/// What was measured of a version, against the thresholds of its rollout, else of policy.
#[must_use]
pub fn report(model: &Model, number: &semver::Version, measured: &Measured, policy: &Policy) -> Report {
    let own = model.rollout.as_ref().filter(|rollout| rollout.version == *number);
    let thresholds = own.and_then(|rollout| rollout.thresholds.as_ref());
    evaluate::evaluate(measured, &evaluate::limits(&policy.evaluation, thresholds))
}

/// Decides on one of a model's versions as they are now.
#[must_use]
pub fn decide(
    versions: &[EffectiveVersion],
    number: &semver::Version,
    report: &Report,
    measured: &Measured,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let is_other = |version: &&EffectiveVersion| version.version != *number;
    let mut others = versions.iter().filter(is_other);
    let active = others.find(|version| version.status == VersionStatus::Active);
    let mut refusals = Vec::new();
    let mut refuse = |rule: Rule, message: String| refusals.push(Refusal { rule, message });
    if let Some(message) = leaving(versions.iter().find(|version| version.version == *number), now) {
        refuse(Rule::Lifecycle, format!("version {number} {message}"));
    }
    if policy.versions.enforce_performance_thresholds {
        match (report.verdict, active) {
            (Verdict::Failed, _) => {
                refuse(Rule::Evaluation, format!("version {number} does not measure up: {}", report.told()));
            }
            (Verdict::InsufficientData, Some(other)) => {
                let message =
                    format!("version {number} cannot take the place of {} yet: {}", other.version, report.told());
                refuse(Rule::Evaluation, message);
            }
            _ => {}
        }
    }
    if let (Some(cost), Some(limit)) = (measured.mean_cost_usd(), policy.versions.max_cost_per_request)
        && cost > limit.amount()
    {
        let cost = Exact::rounded(cost, PLACES);
        let message = format!("a request of version {number} costs {cost} US dollars on average, more than {limit}");
        refuse(Rule::Cost, message);
    }
    let is_usable =
        |version: &&EffectiveVersion| version.version.pre.is_empty() && leaving(Some(version), now).is_none();
    let newest = || versions.iter().filter(is_other).filter(is_usable).max_by_key(|version| &version.version);
    let instead = active.or_else(newest).filter(|_| !refusals.is_empty()).map(|version| version.version.clone());
    Decision { approved: refusals.is_empty(), refusals, instead }
}

/// The activations of a plan that are decided on: of versions that would take the place of another.
///
/// Going back is not, to a lower version than the active one or to one that is deprecated: it has had the traffic, and a
/// rollback must not wait for results that nobody sends it. Neither is a version that has taken over already, which a
/// commit writes down. What was rolled back is, whichever way it comes.
pub fn activations(plan: &Plan) -> impl Iterator<Item = (&Step, &semver::Version)> {
    plan.steps.iter().filter_map(|step| Some((step, decided(step)?)))
}

/// The version of a step that is decided on.
fn decided(step: &Step) -> Option<&semver::Version> {
    let (before, after) = step.settled_versions();
    let (old, new) = (&version::active(&before)?.version, &version::active(&after)?.version);
    let was = version::find(&before, new).map(|version| version.status);
    let is_back = new < old || was == Some(VersionStatus::Deprecated);
    let is_blocked = |status: &RolloutStatus| {
        status.state == RolloutState::RolledBack && status.version == *new && status.is_of(&until_applied(step))
    };
    let is_decided = old != new && (!is_back || step.rollout.as_ref().is_some_and(is_blocked));
    version::find(&step.after.versions, new).filter(|_| is_decided).map(|version| &version.version)
}

/// Why the guard holds an activation.
#[must_use]
pub fn holds(step: &Step, number: &semver::Version, measured: &Measured, policy: &Policy, now: Timestamp) -> Vec<Hold> {
    let model = until_applied(step);
    let report = report(&model, number, measured, policy);
    let versions = effective::versions(&model, step.rollout.as_ref(), policy, now);
    let Decision { refusals, instead, .. } = decide(&versions, number, &report, measured, policy, now);
    let instead = instead.map(|instead| format!("; {instead} can be used instead")).unwrap_or_default();
    let hold = |refusal: Refusal| Hold {
        rule: "version_decision".to_owned(),
        message: format!("{}: {}{instead}", step.id, refusal.message),
    };
    refusals.into_iter().map(hold).collect()
}

/// What a step says of its versions, where they are until it is applied. A rollout that ends with the step is theirs
/// until then.
fn until_applied(step: &Step) -> Model {
    let before = step.before.as_ref();
    let versions = before.map_or(&[][..], |before| &before.versions);
    let mut model = step.after.clone();
    for version in &mut model.versions {
        let was = version::find(versions, &version.version);
        version.status = was.map_or(VersionStatus::Inactive, |was| was.status);
    }
    model.rollout = model.rollout.or_else(|| before.and_then(|before| before.rollout.clone()));
    model
}

/// Why a version takes no traffic, as the rest of a sentence about it.
fn leaving(version: Option<&EffectiveVersion>, now: Timestamp) -> Option<String> {
    let Some(version) = version else { return Some("is not registered".to_owned()) };
    match (version.status, version.end_of_life, &version.blocked) {
        (_, Some(end), _) if end <= now => Some(format!("reached its end of life on {end}")),
        (VersionStatus::Retired, ..) => Some("is retired: nothing follows".to_owned()),
        (VersionStatus::Deprecated, ..) => Some("is deprecated: only a rollback leads back to it".to_owned()),
        (_, _, Some(why)) => Some(format!("is blocked until its entry or its rollout changes: {why}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sketch;
    use crate::model::tests::model;
    use crate::plan::{Asker, Desired, step};
    use crate::quote::Dollars;
    use crate::record::Record;
    use crate::rollout::tests::promoted;
    use crate::status::tests::stepped;
    use crate::version::tests::versions;

    fn now() -> Timestamp {
        "2026-11-26T00:00:00Z".parse().unwrap()
    }

    /// Results of which `percent` are successes, each for a tenth of a cent.
    fn measured(samples: u64, percent: u64) -> Measured {
        let mut latency = Sketch::default();
        latency.add(Sketch::bucket(100.0), samples);
        let cent: crate::Price = "1000000".parse().unwrap();
        let mut cost_usd = Dollars::default();
        (0..samples).for_each(|_| cost_usd = cost_usd.saturating_add(Dollars::per_token(cent)));
        Measured { samples, successes: samples * percent / 100, latency, cost_usd, ..Measured::default() }
    }

    fn decided(model: &Model, number: &str, measured: &Measured, policy: &Policy) -> (Vec<String>, Option<String>) {
        let number = number.parse().unwrap();
        let report = report(model, &number, measured, policy);
        let versions = effective::versions(model, None, policy, now());
        let decision = decide(&versions, &number, &report, measured, policy, now());
        assert_eq!(decision.approved, decision.refusals.is_empty());
        let messages = decision.refusals.into_iter().map(|refusal| refusal.message).collect();
        (messages, decision.instead.map(|instead| instead.to_string()))
    }

    fn with(text: &str) -> Model {
        Model { versions: versions(text), ..model("m") }
    }

    #[test]
    fn a_version_is_refused_by_its_results() {
        let (live, policy) = (with("1.0.0 active, 2.0.0 canary"), Policy::default());
        assert_eq!(decided(&live, "2.0.0", &measured(50, 100), &policy), (vec![], None));
        let few = "version 2.0.0 cannot take the place of 1.0.0 yet: 49 of the 50 results needed";
        assert_eq!(decided(&live, "2.0.0", &measured(49, 100), &policy), (vec![few.into()], Some("1.0.0".into())));
        let (refusals, instead) = decided(&live, "2.0.0", &measured(50, 90), &policy);
        assert!(
            refusals[0].starts_with("version 2.0.0 does not measure up: an error rate of 0.1 of 50"),
            "{refusals:?}"
        );
        assert_eq!((refusals.len(), instead.as_deref()), (1, Some("1.0.0")));
        let first = with("1.0.0 inactive, 2.0.0 testing");
        assert_eq!(decided(&first, "2.0.0", &Measured::default(), &policy), (vec![], None), "nobody's place");
        let mut lenient = Policy::default();
        lenient.versions.enforce_performance_thresholds = false;
        assert_eq!(decided(&live, "2.0.0", &measured(50, 90), &lenient), (vec![], None));
        let mut own = live.clone();
        own.rollout = serde_json::from_str(
            r#"{"version":"2.0.0","steps":[],"thresholds":{"minSamplesForEvaluation":5,"maxErrorRate":0.2,"minSuccessRate":0.8}}"#,
        )
        .unwrap();
        assert_eq!(decided(&own, "2.0.0", &measured(10, 90), &policy), (vec![], None), "by its rollout's thresholds");
    }

    #[test]
    fn a_version_is_refused_by_its_cost() {
        let live = with("1.0.0 active, 2.0.0 canary");
        let mut policy = Policy::default();
        policy.versions.max_cost_per_request = Some("0.001".parse().unwrap());
        assert_eq!(decided(&live, "2.0.0", &measured(100, 100), &policy), (vec![], None));
        let dear = Measured { unpriced: 50, ..measured(100, 100) };
        let why = "a request of version 2.0.0 costs 0.002 US dollars on average, more than 0.001";
        assert_eq!(decided(&live, "2.0.0", &dear, &policy), (vec![why.into()], Some("1.0.0".into())));
        let unknown = Measured { cost_usd: Dollars::default(), unpriced: 100, ..measured(100, 100) };
        assert_eq!(decided(&live, "2.0.0", &unknown, &policy).0, [""; 0], "an unknown price is not a high one");
    }

    #[test]
    fn what_leaves_takes_no_traffic() {
        let mut live = with("0.9.0 retired, 1.0.0 deprecated, 1.1.0-beta.1 inactive, 1.5.0 inactive, 2.0.0 inactive");
        live.versions[4].deprecation = serde_json::from_str(r#"{"endOfLife":"2026-11-26T00:00:00Z"}"#).unwrap();
        let why = |number: &str| decided(&live, number, &measured(50, 100), &Policy::default());
        let of = |text: &str, instead: &str| (vec![text.to_owned()], Some(instead.to_owned()));
        assert_eq!(why("0.9.0"), of("version 0.9.0 is retired: nothing follows", "1.5.0"));
        assert_eq!(why("1.0.0"), of("version 1.0.0 is deprecated: only a rollback leads back to it", "1.5.0"));
        assert_eq!(why("2.0.0"), of("version 2.0.0 reached its end of life on 2026-11-26T00:00:00Z", "1.5.0"));
        assert_eq!(why("3.0.0"), of("version 3.0.0 is not registered", "1.5.0"));
        assert_eq!(why("1.5.0"), (vec![], None));

        let mut blocked = effective::versions(&with("1.0.0 active, 2.0.0 inactive"), None, &Policy::default(), now());
        blocked[1].blocked = Some("too slow".into());
        let number = "2.0.0".parse().unwrap();
        let enough = measured(50, 100);
        let report = report(&live, &number, &enough, &Policy::default());
        let told = decide(&blocked, &number, &report, &enough, &Policy::default(), now());
        assert_eq!(told.refusals[0].rule, Rule::Lifecycle);
        assert!(told.refusals[0].message.ends_with("until its entry or its rollout changes: too slow"), "{told:?}");
    }

    fn plan(live: &Record, to: Model) -> Plan {
        let step = step(&live.spec.id, Some(live), &Desired::Present(Box::new(to)), Asker::Api);
        Plan { steps: step.into_iter().collect() }
    }

    /// What holds a plan when nothing was measured.
    fn held(plan: &Plan) -> String {
        let held = activations(plan)
            .flat_map(|(step, number)| holds(step, number, &Measured::default(), &Policy::default(), now()))
            .map(|hold| format!("{} {}", hold.rule, hold.message));
        held.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_took_over_is_not_decided_again_and_what_was_rolled_back_is() {
        let mut live = stepped(None, with("1.0.0 active, 2.0.0 canary, 3.0.0 inactive"));
        let steps = r#"{"version":"2.0.0","steps":[{"weightPercent":5,"holdHours":1}]}"#;
        live.spec.rollout = serde_json::from_str(steps).unwrap();
        let promoted = self::promoted(&live.spec, now(), None);
        let back = promoted.rolled_back(&live.spec, "too slow", now()).unwrap();
        let written = || with("1.0.0 inactive, 2.0.0 active, 3.0.0 inactive");
        assert!(held(&plan(&live, written())).contains("0 of the 50 results needed"), "it has not taken over");
        live.status.rollout = Some(promoted);
        assert_eq!(held(&plan(&live, written())), "", "a commit writes down what is so");
        let third = held(&plan(&live, with("1.0.0 inactive, 2.0.0 deprecated, 3.0.0 active")));
        assert!(third.contains("3.0.0 cannot take the place of 2.0.0 yet"), "{third}");
        assert_eq!(held(&plan(&live, with("1.0.0 active, 2.0.0 inactive, 3.0.0 inactive"))), "", "a way back");
        live.status.rollout = back;
        let blocked = held(&plan(&live, written()));
        assert!(blocked.contains("2.0.0 is blocked until its entry or its rollout changes: too slow"), "{blocked}");
        let mut mended = written();
        mended.versions[1].release_date = Some(now());
        assert!(!held(&plan(&live, mended)).contains("blocked"), "its entry changed");
        // A version with a lower number than the active one can be one that was rolled back, too.
        let mut lower = stepped(None, with("1.0.0 canary, 2.0.0 active"));
        let begun = self::promoted(&lower.spec, now(), None);
        lower.status.rollout = begun.rolled_back(&lower.spec, "too slow", now()).unwrap();
        assert!(held(&plan(&lower, with("1.0.0 active, 2.0.0 inactive"))).contains("blocked"));
    }

    #[test]
    fn only_what_takes_anothers_place_is_decided() {
        let plan = |from: &str, to: &str| plan(&stepped(None, with(from)), with(to));
        let held = |from: &str, to: &str| held(&plan(from, to));
        let few = "version_decision m: version 2.0.0 cannot take the place of 1.0.0 yet: 0 of the 50 results needed; \
                   1.0.0 can be used instead";
        assert_eq!(held("1.0.0 active, 2.0.0 canary", "1.0.0 deprecated, 2.0.0 active"), few);
        assert_eq!(held("1.0.0 active", "1.0.0 deprecated, 2.0.0 active"), few, "registered and activated at once");
        assert_eq!(held("1.0.0 deprecated, 2.0.0 active", "1.0.0 active, 2.0.0 inactive"), "", "a rollback");
        assert_eq!(held("1.0.0 inactive, 2.0.0 active", "1.0.0 active, 2.0.0 inactive"), "", "one that was laid aside");
        assert_eq!(held("2.0.0 testing", "2.0.0 active"), "", "the first one");
        assert_eq!(held("1.0.0 active, 2.0.0 testing", "1.0.0 active, 2.0.0 canary"), "");
    }
}
