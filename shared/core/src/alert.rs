//! Alerts: what somebody should know of now, graded by how soon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::Severity;
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
    let alert = Alert {
        id: notice.id.clone(),
        kind: kind.name().to_owned(),
        severity,
        at: status.changed_at,
        model_id: model.clone(),
        version: status.version.clone(),
        message,
    };
    Some((alert, notice))
}
