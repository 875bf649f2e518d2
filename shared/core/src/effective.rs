//! What a model's versions are at a time: the spec, with what a rollout and time have made of it.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::Model;
use crate::policy::Policy;
use crate::rollout::{self, Attempt, RolloutState, RolloutStatus};
use crate::version::{Version, VersionStatus};

/// A version as it is at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct EffectiveVersion {
    /// The version.
    pub version: semver::Version,
    /// Where it is in its life.
    pub status: VersionStatus,
    /// The share of the traffic that it takes, in percent.
    pub weight_percent: u8,
    /// When it stops answering.
    pub end_of_life: Option<Timestamp>,
    /// The version to use instead.
    pub replacement: Option<semver::Version>,
    /// Why it is blocked: it was rolled back.
    pub blocked: Option<Box<str>>,
    /// When time alone retires it, or did.
    pub retires_at: Option<Timestamp>,
}

impl EffectiveVersion {
    fn of(version: &Version) -> Self {
        let deprecation = version.deprecation.as_ref();
        Self {
            version: version.version.clone(),
            status: version.status,
            weight_percent: 0,
            end_of_life: version.end_of_life(),
            replacement: deprecation.and_then(|deprecation| deprecation.replacement_version.clone()),
            blocked: None,
            retires_at: None,
        }
    }
}

/// A model's versions at `now`, in the order of the spec. A status that is of something else says nothing here.
#[must_use]
pub fn versions(
    model: &Model,
    rollout: Option<&RolloutStatus>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<EffectiveVersion> {
    let settled = rollout::settled(model, rollout);
    let mut versions: Vec<EffectiveVersion> = settled.versions.iter().map(EffectiveVersion::of).collect();
    let mut canary_weight = 0;
    if let Some(status) = rollout.filter(|status| status.is_of(model))
        && let Some(canary) = versions.iter_mut().find(|version| version.version == status.version)
    {
        match status.state {
            RolloutState::Running | RolloutState::Paused => {
                let weight = |attempt: Attempt| attempt.weight_percent(status.step);
                canary_weight = Attempt::of(model, policy).map_or(0, weight);
                canary.weight_percent = canary_weight;
            }
            RolloutState::RolledBack => {
                canary.status = VersionStatus::Inactive;
                canary.blocked = Some(status.reason.as_str().into());
            }
            // That is settled.
            RolloutState::Promoted => {}
        }
    }
    for version in &mut versions {
        match version.status {
            VersionStatus::Active => version.weight_percent = 100 - canary_weight,
            VersionStatus::Deprecated if policy.versions.enable_automatic_retirement => {
                version.retires_at = version.end_of_life;
                if version.end_of_life.is_some_and(|end| end <= now) {
                    version.status = VersionStatus::Retired;
                }
            }
            _ => {}
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn shown(model: &Model, status: Option<&RolloutStatus>, policy: &Policy, now: &str) -> Vec<String> {
        let versions = versions(model, status, policy, at(now));
        let told = |version: &EffectiveVersion| {
            let name = serde_json::to_value(version.status).unwrap();
            format!("{} {} {}", version.version, name.as_str().unwrap(), version.weight_percent)
        };
        versions.iter().map(told).collect()
    }

    #[test]
    fn a_status_of_this_attempt_counts_and_no_other() {
        let mut model = model("m");
        model.versions =
            serde_json::from_str(r#"[{"version":"1.0.0","status":"active"},{"version":"2.0.0","status":"canary"}]"#)
                .unwrap();
        let now = "2026-12-01T00:00:00Z";
        let mut policy = Policy::default();
        let mut status = RolloutStatus {
            attempt: Attempt::id_of(&model).unwrap(),
            version: "2.0.0".parse().unwrap(),
            stable: "1.0.0".parse().unwrap(),
            state: RolloutState::Running,
            step: 1,
            started_at: at(now),
            since: at(now),
            changed_at: at(now),
            stable_end_of_life: None,
            paused_by: None,
            reason: "so it is".to_owned(),
        };
        assert_eq!(shown(&model, None, &policy, now), ["1.0.0 active 100", "2.0.0 canary 0"], "it did not begin yet");
        assert_eq!(shown(&model, Some(&status), &policy, now), ["1.0.0 active 50", "2.0.0 canary 50"]);
        let other = RolloutStatus { attempt: "other".to_owned(), ..status.clone() };
        assert_eq!(shown(&model, Some(&other), &policy, now), ["1.0.0 active 100", "2.0.0 canary 0"]);
        status.state = RolloutState::RolledBack;
        assert_eq!(shown(&model, Some(&status), &policy, now), ["1.0.0 active 100", "2.0.0 inactive 0"]);
        assert_eq!(versions(&model, Some(&status), &policy, at(now))[1].blocked.as_deref(), Some("so it is"));
        status.state = RolloutState::Promoted;
        assert_eq!(shown(&model, Some(&status), &policy, now), ["1.0.0 inactive 0", "2.0.0 active 100"]);
        status.stable_end_of_life = Some(at("2027-03-01T00:00:00Z"));
        assert_eq!(shown(&model, Some(&status), &policy, now), ["1.0.0 deprecated 0", "2.0.0 active 100"]);
        assert_eq!(versions(&model, Some(&status), &policy, at(now))[0].replacement, "2.0.0".parse().ok());
        let later = "2027-03-01T00:00:00Z";
        assert_eq!(shown(&model, Some(&status), &policy, later), ["1.0.0 retired 0", "2.0.0 active 100"]);
        policy.versions.enable_automatic_retirement = false;
        assert_eq!(shown(&model, Some(&status), &policy, later), ["1.0.0 deprecated 0", "2.0.0 active 100"]);
    }
}
