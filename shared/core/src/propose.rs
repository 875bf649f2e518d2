//! From what is asked for to what would be done: validate, plan, guard. The same for a commit, for the plan of a
//! pull request and for a call of the admin API.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::catalogue::{self, Catalogue, Change, EditError, NextRoots, Roots};
use crate::document::Problem;
use crate::guard::{self, Hold, Live};
use crate::model::ModelId;
use crate::plan::{self, Asker, Desired, Plan};
use crate::policy::Policy;
use crate::record::{Origin, Record};
use crate::tree::Nodes;
use crate::validate::{self, Proposal};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The models that are to be there, and those that are not.
    pub proposal: &'a Proposal,
    /// Mistakes that are known already, those of single files.
    pub problems: &'a [Problem],
    /// Whether another policy comes with it.
    pub policy_changes: bool,
    /// On whose behalf.
    pub asker: Asker,
}

/// What would be done, and whether it may.
#[derive(Debug)]
pub struct Blueprint {
    /// Every mistake; with any, the rest is empty.
    pub problems: Vec<Problem>,
    /// The steps.
    pub plan: Plan,
    /// Every reason to hold the plan.
    pub holds: Vec<Hold>,
    /// The trees afterwards, and their new nodes; `None` with mistakes.
    pub next: Option<NextRoots>,
}

/// What is live before.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The trees.
    pub roots: &'a Roots,
    /// The policy in force: a change that loosens the guard is itself judged by the old one.
    pub policy: &'a Policy,
    /// The records of the models that are touched.
    pub records: &'a HashMap<ModelId, Record>,
}

/// Judges what is asked for against what is live.
///
/// # Errors
/// [`EditError::Missing`] with the nodes to load before asking again.
pub fn propose(asked: Asked<'_>, before: Before<'_>, nodes: &Nodes, now: Timestamp) -> Result<Blueprint, EditError> {
    let Asked { proposal, asker, .. } = asked;
    let problems = problems(asked, before.roots, nodes)?;
    if !problems.is_empty() {
        return Ok(Blueprint { problems, plan: Plan::default(), holds: Vec::new(), next: None });
    }
    let mut steps = BTreeMap::new();
    for sourced in &proposal.present {
        let model = &sourced.model;
        let desired = Desired::Present(Box::new(model.clone()));
        if let Some(step) = plan::step(&model.id, before.records.get(&model.id), &desired, asker) {
            steps.insert(model.id.clone(), step);
        }
    }
    for id in proposal.absent.keys() {
        if let Some(step) = plan::step(id, before.records.get(id), &Desired::Absent, asker) {
            steps.insert(id.clone(), step);
        }
    }
    let mut changes = BTreeMap::new();
    for sourced in &proposal.present {
        let model = &sourced.model;
        let path = (asker == Asker::Git).then(|| sourced.document.path().into());
        let in_place = proposal.in_place.contains(&model.id);
        changes.insert(model.id.clone(), Change::Present { model, path, in_place });
    }
    for id in proposal.absent.keys() {
        let record = before.records.get(id).filter(|record| matches!(record.origin, Origin::Git(_)));
        match (steps.get(id), record) {
            (Some(step), _) => changes.insert(id.clone(), Change::Tombstone(&step.after)),
            (None, Some(record)) => changes.insert(id.clone(), Change::Tombstone(&record.spec)),
            (None, None) => None,
        };
    }
    if before.roots.models.count == 0 {
        // Nothing is published, which may be a loss: what the API owns is published again with the rest.
        for (id, record) in before.records.iter().filter(|(_, record)| matches!(record.origin, Origin::Api(_))) {
            let again = Change::Present { model: &record.spec, path: None, in_place: false };
            changes.entry(id.clone()).or_insert(again);
        }
    }
    let next = catalogue::edit(nodes, before.roots, &changes)?;
    let plan = Plan { steps: steps.into_values().collect() };
    let holds = guard::holds(
        &plan,
        Live { models: before.roots.models.count, policy_changes: asked.policy_changes },
        before.policy,
        now,
    );
    Ok(Blueprint { problems, plan, holds, next: Some(next) })
}

/// Every mistake, in single files and across models.
fn problems(asked: Asked<'_>, roots: &Roots, nodes: &Nodes) -> Result<Vec<Problem>, EditError> {
    let catalogue = Catalogue::new(nodes, roots);
    let across = validate::problems(asked.proposal, &catalogue);
    catalogue.complete()?;
    let mut problems = asked.problems.to_vec();
    problems.extend(across?);
    problems.sort();
    problems.dedup();
    Ok(problems)
}
