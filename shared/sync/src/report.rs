//! What became of each commit, and of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use roster_core::guard::Hold;
use roster_core::plan::Plan;
use roster_core::review::Review;
use roster_core::{Model, ModelId, Policy, Problem};
use roster_store::Units;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::overrides::EndedOverride;

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It would be applied: a dry run.
    Planned,
    /// The guard holds it for approval. Nothing changed.
    Held,
    /// It is published.
    Applied,
    /// It has mistakes. Nothing changed.
    Rejected,
    /// It asks for nothing that is not so already.
    Unchanged,
}

impl State {
    /// Whether the catalogue says what the commit says.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Planned | Self::Applied | Self::Unchanged)
    }

    /// The state's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Held => "held",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What became of one commit.
#[derive(Clone, Debug, Serialize)]
pub struct CommitReport {
    /// What became of it.
    pub state: State,
    /// The published revision afterwards; 0 before the first.
    pub revision: u64,
    /// The commit.
    pub commit: String,
    /// When it was committed.
    #[serde(skip)]
    pub committed_at: Timestamp,
    /// The first line of its message.
    pub subject: String,
    /// The pull request that its message names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// The digest of what is published afterwards.
    pub digest: String,
    /// How many lifecycle operations it asks for.
    pub operations: usize,
    /// How many files it touches.
    pub files: usize,
    /// What it would do, or did.
    #[serde(skip)]
    pub plan: Plan,
    /// A name for that plan on this state, for approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// Every mistake, when it is rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Every reason to hold it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Who approved of it, where it had to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The commits before it that were jumped over: what they ask for is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
    /// What it cost.
    pub consumed: Units,
    /// How long it took.
    pub seconds: f64,
}

/// Mistakes and reasons that the record of a commit keeps: an item has at most 400 KB.
const KEPT: usize = 100;

/// What the steps of a kept plan may take, in bytes.
const KEPT_PLAN_BYTES: usize = 64 * 1024;

impl CommitReport {
    /// The report as it is kept: with the first mistakes, reasons and steps only.
    #[must_use]
    pub fn kept(&self) -> Value {
        let mut report = Self { plan: Plan::default(), ..self.clone() };
        report.problems.truncate(KEPT);
        report.holds.truncate(KEPT);
        report.superseded.truncate(KEPT);
        let mut kept = json!(report);
        kept["plan"] = within(&self.plan, KEPT_PLAN_BYTES);
        kept
    }
}

/// What the steps of an answered plan may take, in bytes.
const TOLD_PLAN_BYTES: usize = 1024 * 1024;

/// What a change would do, before it is merged.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// The commit that is live, or is taken as live; none before the first sync.
    pub base: Option<String>,
    /// The commit that is judged.
    pub head: String,
    /// The published revision that the hash names.
    pub revision: u64,
    /// Every mistake; with any, nothing is planned.
    pub problems: Vec<Problem>,
    /// What is not known where it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The steps, one a model.
    pub plan: Plan,
    /// Every reason for which the guard would hold it.
    pub holds: Vec<Hold>,
    /// A name for the plan.
    pub hash: String,
    /// When it was judged.
    #[serde(skip)]
    pub at: Timestamp,
    /// The live models that a review looks up.
    #[serde(skip)]
    pub live: BTreeMap<ModelId, Model>,
    /// The policy in force.
    #[serde(skip)]
    pub policy: Policy,
    /// The policy that comes with it, where its file changes.
    #[serde(skip)]
    pub next_policy: Option<Policy>,
}

impl PlanReport {
    /// The plan as a reviewer reads it.
    #[must_use]
    pub fn review(&self) -> Review<'_> {
        Review {
            base: self.base.as_deref().unwrap_or("nothing"),
            head: &self.head,
            revision: self.revision,
            hash: &self.hash,
            problems: &self.problems,
            unknown: &self.warnings,
            plan: &self.plan,
            holds: &self.holds,
            policy: &self.policy,
            next_policy: self.next_policy.as_ref(),
            live: &self.live,
            now: self.at,
        }
    }

    /// The plan as it is answered: with the first mistakes, reasons and steps only, and as a reviewer reads it.
    #[must_use]
    pub fn told(&self) -> Value {
        let mut told = json!({"base": self.base, "head": self.head, "revision": self.revision, "hash": self.hash});
        told["problems"] = json!(&self.problems[..self.problems.len().min(KEPT)]);
        told["holds"] = json!(&self.holds[..self.holds.len().min(KEPT)]);
        told["plan"] = within(&self.plan, TOLD_PLAN_BYTES);
        told["operations"] = json!(self.plan.operations().count());
        told["markdown"] = json!(self.review().markdown());
        told
    }
}

/// A plan with its first steps, and how many more there are.
fn within(plan: &Plan, max_bytes: usize) -> Value {
    let mut bytes = 0;
    let steps = plan.steps.iter().map(|step| json!(step)).take_while(|step| {
        bytes += step.to_string().len();
        bytes <= max_bytes
    });
    let steps: Vec<Value> = steps.collect();
    let more = plan.steps.len() - steps.len();
    json!({"steps": steps, "moreSteps": more})
}

/// What became of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// What became of the branch's tip.
    pub state: State,
    /// The published revision afterwards; 0 before the first.
    pub revision: u64,
    /// The tip.
    pub commit: String,
    /// The digest of what is published afterwards.
    pub digest: String,
    /// How many commits were looked at.
    pub commits: usize,
    /// How many operations were applied, or planned by a dry run.
    pub operations: usize,
    /// How many commits were rejected.
    pub rejected: usize,
    /// How many commits were held.
    pub held: usize,
    /// The overrides that ended because they were over, or would in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<EndedOverride>,
    /// Every mistake of the tip, when it is rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Every reason, when the tip is held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// What it cost, taking the lease and looking included.
    pub consumed: Units,
    /// How long it took.
    pub seconds: f64,
}
