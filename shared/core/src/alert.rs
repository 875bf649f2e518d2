//! Alerts: what somebody should know of now, graded by how soon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::Severity;
use crate::evaluate::{Report, Verdict};
use crate::model::ModelId;
use crate::notice::{Kind, Notice};
use crate::rollout::{RolloutState, RolloutStatus};

/// Something about a version that somebody should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// A fingerprint of what it tells of; that of its notice, too.
    pub id: String,
    /// What it is about: the `type` of its notice.
    pub kind: String,
    /// How soon somebody has to act.
    pub severity: Severity,
    /// When that happened.
    pub at: Timestamp,
    /// The model.
    pub model_id: ModelId,
    /// The version.
    pub version: semver::Version,
    /// What happened, and why.
    pub message: String,
}

/// What a rollout's step to a status alerts of, and the notice that tells it outside. That it goes on is in the history
/// only.
#[must_use]
pub fn of_rollout(model: &ModelId, status: &RolloutStatus) -> Option<(Alert, Notice)> {
    let (kind, severity) = match status.state {
        RolloutState::Running => return None,
        RolloutState::Paused => (Kind::RolloutPaused, Severity::Warning),
        RolloutState::Promoted => (Kind::RolloutPromoted, Severity::Info),
        RolloutState::RolledBack => (Kind::RolloutRolledBack, Severity::Critical),
    };
    let subject = [model.as_str(), &status.attempt, &status.changed_at.to_string()];
    let message = status.told();
    let data = json!({
        "modelId": model,
        "version": status.version,
        "stableVersion": status.stable,
        "stableEndOfLife": status.stable_end_of_life,
        "step": status.step,
        "severity": severity,
        "message": message,
        "reason": status.reason,
    });
    let notice = Notice::new(kind, &subject, status.changed_at, data);
    Some((of_notice(&notice, severity, model, &status.version, message), notice))
}

/// What it alerts of that the version in use breaks a threshold, or keeps them all again; and the notice that tells it
/// outside. `since` is when the breach was first seen.
#[must_use]
pub fn of_breach(
    model: &ModelId,
    version: &semver::Version,
    since: Timestamp,
    report: &Report,
    now: Timestamp,
) -> (Alert, Notice) {
    let (kind, severity, message) = match report.verdict {
        Verdict::Failed => {
            let message = format!("{version} takes the traffic and does not measure up: {}", report.told());
            (Kind::VersionFailing, Severity::Critical, message)
        }
        Verdict::Passed | Verdict::InsufficientData => {
            let message = format!("{version} did not measure up since {since}, and does again: {}", report.told());
            (Kind::VersionRecovered, Severity::Info, message)
        }
    };
    let subject = [model.as_str(), &version.to_string(), &since.to_string()];
    let data = json!({
        "modelId": model,
        "version": version,
        "since": since,
        "severity": severity,
        "message": message,
        "checks": report.checks,
    });
    let notice = Notice::new(kind, &subject, now, data);
    (of_notice(&notice, severity, model, version, message), notice)
}

fn of_notice(
    notice: &Notice,
    severity: Severity,
    model: &ModelId,
    version: &semver::Version,
    message: String,
) -> Alert {
    Alert {
        id: notice.id.clone(),
        kind: notice.kind.name().to_owned(),
        severity,
        at: notice.at,
        model_id: model.clone(),
        version: version.clone(),
        message,
    }
}
