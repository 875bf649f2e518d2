//! How a new version takes over: step by step while it measures up, and back to the stable one once it does not.
//!
//! The spec says which version is to come and how ([`crate::version::Rollout`]); nothing here changes it. What became
//! of it is a [`RolloutStatus`] beside the spec, in neither the digest nor the drift, and holds for one [`Attempt`]:
//! this version by this commit. So a poll does not bring back what was rolled back, and a commit that says the version
//! or its rollout anew does. What has taken over has done so for as long as the spec still asks for it: whoever decides
//! on versions starts from the [`settled`] model.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::canonical;
use crate::effective::EffectiveVersion;
use crate::evaluate::{self, Report, Verdict};
use crate::model::{Model, ModelId};
use crate::plan::Operation;
use crate::policy::{EvaluationPolicy, Policy};
use crate::record::{ChangeNote, Record};
use crate::version::{self, Ended, Rollout, RolloutStep, Version, VersionStatus};

/// The parts that keys are dealt to: a weight is exact to a hundredth of a percent.
const PARTS: u64 = 10_000;
/// Digits of an attempt's id.
const ID_CHARS: usize = 16;
/// A reason has at most this many characters, as those of other changes.
const REASON_CHARS: usize = 500;

/// One try to bring out a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A name for this version by this commit: of its entry, its rollout, and the version that it comes beside.
    pub id: String,
    /// The version that comes.
    pub version: semver::Version,
    /// The version that it comes beside, which takes the rest.
    pub stable: semver::Version,
    /// The steps, in order.
    pub steps: Vec<RolloutStep>,
    /// What it must measure up to.
    pub limits: EvaluationPolicy,
    /// Days for which the stable version goes on once this one has taken over; `None` where it is just laid aside.
    grace_days: Option<u64>,
}

/// What became of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// The version takes its step's share.
    Running,
    /// It does, and stays there until enough is known to go on.
    Paused,
    /// It has taken over.
    Promoted,
    /// It takes nothing, and is blocked for as long as the spec says what it says.
    RolledBack,
}

impl RolloutState {
    /// The state's name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// How far a rollout is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The attempt that it is of; beside another one it says nothing.
    pub attempt: String,
    /// The version that comes.
    pub version: semver::Version,
    /// The version that it comes beside.
    pub stable: semver::Version,
    /// What became of it.
    pub state: RolloutState,
    /// The step, from 0.
    pub step: usize,
    /// Since when the attempt is under way: nothing that was measured before counts.
    pub started_at: Timestamp,
    /// Since when it is at its step.
    pub since: Timestamp,
    /// Since when it is in its state.
    pub changed_at: Timestamp,
    /// When the stable version stops answering, once this one has taken over and policy lets that one go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_end_of_life: Option<Timestamp>,
    /// Who paused it by hand: then it goes no further before somebody resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<String>,
    /// Why it is so.
    pub reason: String,
}

/// What is known of a version at a step.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    /// What was measured since the step began.
    pub step: &'s Report,
    /// What was measured in policy's last minutes, so that a version that turns bad late is not carried by its past.
    pub window: &'s Report,
    /// Why policy lets the version go no further, where it does not.
    pub refusal: Option<&'s str>,
}

impl Attempt {
    /// The attempt that a model's spec asks for: there is one while a version is a canary beside an active one.
    #[must_use]
    pub fn of(model: &Model, policy: &Policy) -> Option<Self> {
        let (canary, stable) = sides(model)?;
        let rollout = rollout_of(model, canary);
        let steps = rollout.map_or(&policy.rollout.steps, |rollout| &rollout.steps);
        let versions = &policy.versions;
        Some(Self {
            id: Self::id_of(model)?,
            version: canary.version.clone(),
            stable: stable.version.clone(),
            steps: steps.clone(),
            limits: evaluate::limits(&policy.evaluation, rollout.and_then(|rollout| rollout.thresholds.as_ref())),
            grace_days: versions.deprecate_old_versions_on_new_deployment.then_some(versions.default_grace_period_days),
        })
    }

    /// The id of that attempt, which no policy changes.
    #[must_use]
    pub fn id_of(model: &Model) -> Option<String> {
        let (canary, stable) = sides(model)?;
        Self::id_beside(model, canary, &stable.version)
    }

    fn id_beside(model: &Model, canary: &Version, stable: &semver::Version) -> Option<String> {
        let parts = serde_json::json!({ "version": canary, "rollout": rollout_of(model, canary), "stable": stable });
        let mut id = canonical::sha256_hex(canonical::to_string(&parts).ok()?.as_bytes());
        id.truncate(ID_CHARS);
        Some(id)
    }

    /// The share of the traffic at a step, in percent.
    #[must_use]
    pub fn weight_percent(&self, step: usize) -> u8 {
        self.steps.get(step).map_or(0, |step| step.weight_percent.min(100))
    }

    /// The status once what was seen is taken into account; `None` where it stays as it is. What became of the model so
    /// far ([`RolloutStatus::is_of`]) is `status`.
    #[must_use]
    pub fn next(&self, status: Option<&RolloutStatus>, seen: Seen<'_>, now: Timestamp) -> Option<RolloutStatus> {
        let Some(status) = status else { return Some(self.begun(now)) };
        if !status.is_open() {
            return None;
        }
        let is_failed = |report: &&Report| report.verdict == Verdict::Failed;
        if let Some(failed) = [seen.step, seen.window].into_iter().find(is_failed) {
            return Some(status.moved(RolloutState::RolledBack, failed.told(), now));
        }
        if status.paused_by.is_some() {
            return None;
        }
        let hold = self.steps.get(status.step).map_or(0, |step| i64::from(step.hold_hours));
        if now < later(status.since, SignedDuration::from_hours(hold)) {
            return None;
        }
        let obstacle = match (seen.step.verdict, seen.refusal) {
            (Verdict::Passed, None) => return Some(self.advanced(status, &seen.step.told(), now)),
            (Verdict::Passed, Some(refusal)) => refusal.to_owned(),
            _ => seen.step.told(),
        };
        // A step that just began has had no time to be measured. And what it waits for changes all the time; that it
        // waits is news once.
        let is_early = now < later(status.since, self.limits.window());
        let is_news = status.state == RolloutState::Running && !is_early;
        is_news.then(|| status.moved(RolloutState::Paused, obstacle, now))
    }

    fn begun(&self, now: Timestamp) -> RolloutStatus {
        RolloutStatus {
            attempt: self.id.clone(),
            version: self.version.clone(),
            stable: self.stable.clone(),
            state: RolloutState::Running,
            step: 0,
            started_at: now,
            since: now,
            changed_at: now,
            stable_end_of_life: None,
            paused_by: None,
            reason: format!("begins: {}", self.told_step(0)),
        }
    }

    fn advanced(&self, status: &RolloutStatus, why: &str, now: Timestamp) -> RolloutStatus {
        let step = status.step + 1;
        if step < self.steps.len() {
            let moved = status.moved(RolloutState::Running, format!("{why}: {}", self.told_step(step)), now);
            return RolloutStatus { step, since: now, ..moved };
        }
        let end = self.grace_days.map(|days| {
            let hours = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24).min(i64::from(i32::MAX));
            later(now, SignedDuration::from_hours(hours))
        });
        let moved = status.moved(RolloutState::Promoted, format!("{why}: it takes the traffic"), now);
        RolloutStatus { stable_end_of_life: end, ..moved }
    }

    fn told_step(&self, step: usize) -> String {
        let hours = self.steps.get(step).map_or(0, |step| step.hold_hours);
        format!(
            "step {} of {} is {}% of the traffic for {hours} hours",
            step + 1,
            self.steps.len(),
            self.weight_percent(step)
        )
    }
}

impl RolloutStatus {
    /// The first instant of which results count for the attempt.
    ///
    /// Results are kept by the minute: those of the minute in which the attempt began may be an earlier one's.
    #[must_use]
    pub fn counts_from(&self) -> Timestamp {
        let seconds = self.started_at.as_second() + i64::from(self.started_at.subsec_nanosecond() > 0);
        let minute = seconds + (-seconds).rem_euclid(60);
        Timestamp::from_second(minute).unwrap_or(self.started_at)
    }

    /// The first instant of which results count for its step.
    #[must_use]
    pub fn step_counts_from(&self) -> Timestamp {
        self.counts_from().max(self.since)
    }

    /// Whether it says something of what a model's spec asks for.
    ///
    /// Open ones are of their attempt alone. What has taken over stays so while the spec has it as the canary beside
    /// the version that it took over from, whatever else it says of it. And what was rolled back is blocked until its
    /// entry or its rollout changes, whichever version is active meanwhile.
    #[must_use]
    pub fn is_of(&self, model: &Model) -> bool {
        let Some((canary, stable)) = sides(model).filter(|(canary, _)| canary.version == self.version) else {
            return false;
        };
        let is_attempt = |stable| Attempt::id_beside(model, canary, stable).as_ref() == Some(&self.attempt);
        match self.state {
            RolloutState::Promoted => stable.version == self.stable,
            RolloutState::RolledBack => is_attempt(&self.stable),
            RolloutState::Running | RolloutState::Paused => is_attempt(&stable.version),
        }
    }

    /// Whether the attempt is under way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, RolloutState::Running | RolloutState::Paused)
    }

    /// The status after somebody paused it: the version keeps its share, and a breach still takes that away. `None` where
    /// it was paused by hand before.
    #[must_use]
    pub fn paused(&self, actor: &str, reason: &str, now: Timestamp) -> Option<Self> {
        let paused = || self.moved(RolloutState::Paused, reason.to_owned(), now);
        self.paused_by.is_none().then(|| Self { paused_by: Some(actor.to_owned()), ..paused() })
    }

    /// The status after somebody resumed it: its step begins anew. `None` where nobody had paused it.
    #[must_use]
    pub fn resumed(&self, reason: &str, now: Timestamp) -> Option<Self> {
        let running = || self.moved(RolloutState::Running, reason.to_owned(), now);
        self.paused_by.is_some().then(|| Self { since: now, ..running() })
    }

    /// The status after somebody rolled it back; `None` where it was rolled back before. It blocks the version as the
    /// model's spec has it now, which may say something else of it than when it took over.
    ///
    /// # Errors
    /// [`Ended`] when it took over from a version that has reached its end of life since.
    pub fn rolled_back(&self, model: &Model, reason: &str, now: Timestamp) -> Result<Option<Self>, Ended> {
        if self.state == RolloutState::RolledBack {
            return Ok(None);
        }
        let settled = settled(model, Some(self));
        let stable = version::find(&settled.versions, &self.stable).filter(|_| self.state == RolloutState::Promoted);
        if let Some(end) = stable.and_then(Version::end_of_life).filter(|&end| end <= now) {
            return Err(Ended { version: self.stable.clone(), end });
        }
        let attempt = Attempt::id_of(model).unwrap_or_else(|| self.attempt.clone());
        Ok(Some(Self { attempt, ..self.moved(RolloutState::RolledBack, reason.to_owned(), now) }))
    }

    /// The operations by which a model's history tells the step to this status from the one before.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        match self.state {
            RolloutState::Running | RolloutState::Paused => vec![Operation::SetCanary(self.version.clone())],
            RolloutState::Promoted => {
                let deprecated = self.stable_end_of_life.map(|_| Operation::Deprecate(self.stable.clone()));
                std::iter::once(Operation::Activate(self.version.clone())).chain(deprecated).collect()
            }
            RolloutState::RolledBack => vec![Operation::Activate(self.stable.clone())],
        }
    }

    /// The step to this status in a line for people.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { version, stable, reason, .. } = self;
        let told = match self.state {
            RolloutState::Running => format!("the rollout of {version} goes on: {reason}"),
            RolloutState::Paused => format!("the rollout of {version} waits: {reason}"),
            RolloutState::Promoted => format!("{version} took over from {stable}: {reason}"),
            RolloutState::RolledBack => format!("{version} was rolled back to {stable}: {reason}"),
        };
        told.chars().take(REASON_CHARS).collect()
    }

    fn moved(&self, state: RolloutState, reason: String, now: Timestamp) -> Self {
        let reason = reason.chars().take(REASON_CHARS).collect();
        Self { state, changed_at: now, reason, stable_end_of_life: None, paused_by: None, ..self.clone() }
    }
}

/// Who takes a rollout a step further.
#[derive(Clone, Copy, Debug)]
pub struct Mover<'m> {
    /// The controller, or the subject of a token.
    pub actor: &'m str,
    /// Which way it came.
    pub source: &'m str,
    /// The call or request that does it.
    pub correlation_id: &'m str,
}

/// The controller.
pub const CONTROLLER: &str = "rollout";

/// The record once its rollout is at a status, which `revision` will show.
#[must_use]
pub fn after(record: &Record, status: RolloutStatus, by: Mover<'_>, revision: u64, now: Timestamp) -> Record {
    let change = ChangeNote {
        operations: status.operations(),
        actor: by.actor.to_owned(),
        reason: status.told(),
        source: by.source.to_owned(),
        at: now,
        applied_at: now,
        commit: None,
        pull_request: None,
        revision,
        correlation_id: by.correlation_id.to_owned(),
    };
    let mut after = Record { seq: record.seq + 1, change, ..record.clone() };
    after.status.rollout = Some(status);
    after
}

/// A model's spec with a promotion written into it: the version that took over is active, and the one before it is
/// deprecated or inactive, as policy had it then. It is the spec itself where nothing has taken over.
#[must_use]
pub fn settled<'m>(model: &'m Model, status: Option<&RolloutStatus>) -> Cow<'m, Model> {
    let is_promoted = |status: &&RolloutStatus| status.state == RolloutState::Promoted && status.is_of(model);
    let Some(status) = status.filter(is_promoted) else { return Cow::Borrowed(model) };
    let mut settled = model.clone();
    settled.rollout.take_if(|rollout| rollout.version == status.version);
    for version in &mut settled.versions {
        if version.version == status.version {
            version.status = VersionStatus::Active;
        } else if version.version == status.stable {
            version.status = VersionStatus::Inactive;
            if let Some(end) = status.stable_end_of_life {
                version.status = VersionStatus::Deprecated;
                version.deprecation.get_or_insert_default().replaced_by(&status.version, end);
            }
        }
    }
    Cow::Owned(settled)
}

/// The version that a key gets. The same key gets the same version while weights stay, and one that has the canary
/// keeps it while the canary's weight grows.
#[must_use]
pub fn version_for<'v>(versions: &'v [EffectiveVersion], model: &ModelId, key: &str) -> Option<&'v EffectiveVersion> {
    let part = part_of(model, key);
    let of = |status: VersionStatus| versions.iter().find(move |version| version.status == status);
    let takes = |canary: &&EffectiveVersion| part < u64::from(canary.weight_percent) * (PARTS / 100);
    of(VersionStatus::Canary).filter(takes).or_else(|| of(VersionStatus::Active))
}

/// The part that a key is dealt to. It follows from model and key alone, so that another attempt meets the same callers
/// first, and those of another model are others.
fn part_of(model: &ModelId, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(model.as_str());
    // No id has a line break in it, so no two pairs are one text.
    hash.update("\n");
    hash.update(key);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first) % PARTS
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// The version that comes, and the one that it comes beside.
fn sides(model: &Model) -> Option<(&Version, &Version)> {
    let of = |status: VersionStatus| model.versions.iter().find(move |version| version.status == status);
    of(VersionStatus::Canary).zip(of(VersionStatus::Active))
}

/// The rollout of a version; one that names another version is left over from that.
fn rollout_of<'m>(model: &'m Model, version: &Version) -> Option<&'m Rollout> {
    model.rollout.as_ref().filter(|rollout| rollout.version == version.version)
}

#[cfg(test)]
pub(crate) mod tests;
