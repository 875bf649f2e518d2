//! From what a commit asks for to what would be done: validate, plan, guard. Used by every sync and every plan.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use roster_core::catalogue::{self, Catalogue, Change, EditError, NextRoots, Roots};
use roster_core::guard::{self, Hold, Live};
use roster_core::plan::{self, Desired, Plan};
use roster_core::record::{Origin, Record};
use roster_core::tree::Nodes;
use roster_core::{ModelId, Policy, Problem, validate};

use crate::read::ReadCommit;

/// What a commit would do, and whether it may.
#[derive(Debug)]
pub(crate) struct Blueprint {
    /// Every mistake; with any, the rest is empty.
    pub problems: Vec<Problem>,
    /// The steps.
    pub plan: Plan,
    /// Every reason to hold the plan.
    pub holds: Vec<Hold>,
    /// The trees afterwards, and their new nodes; `None` with mistakes.
    pub next: Option<NextRoots>,
}

/// What is live before a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// The trees.
    pub roots: &'a Roots,
    /// The policy in force: a commit that loosens the guard is itself judged by the old one.
    pub policy: &'a Policy,
    /// The records of the models that the commit touches.
    pub records: &'a HashMap<ModelId, Record>,
}

/// Judges a commit against what is live.
///
/// # Errors
/// [`EditError::Missing`] with the nodes to load before asking again.
pub(crate) fn propose(
    read: &ReadCommit,
    before: Before<'_>,
    nodes: &Nodes,
    now: Timestamp,
) -> Result<Blueprint, EditError> {
    let problems = problems(read, before.roots, nodes)?;
    if !problems.is_empty() {
        return Ok(Blueprint { problems, plan: Plan::default(), holds: Vec::new(), next: None });
    }
    let mut steps = BTreeMap::new();
    for sourced in &read.proposal.present {
        let model = &sourced.model;
        let desired = Desired::Present(Box::new(model.clone()));
        if let Some(step) = plan::step(&model.id, before.records.get(&model.id), &desired) {
            steps.insert(model.id.clone(), step);
        }
    }
    for id in read.proposal.absent.keys() {
        if let Some(step) = plan::step(id, before.records.get(id), &Desired::Absent) {
            steps.insert(id.clone(), step);
        }
    }
    let mut changes = BTreeMap::new();
    for sourced in &read.proposal.present {
        let model = &sourced.model;
        let path = Some(sourced.document.path().into());
        let in_place = read.proposal.in_place.contains(&model.id);
        changes.insert(model.id.clone(), Change::Present { model, path, in_place });
    }
    for id in read.proposal.absent.keys() {
        let record = before.records.get(id).filter(|record| matches!(record.origin, Origin::Git(_)));
        match (steps.get(id), record) {
            (Some(step), _) => changes.insert(id.clone(), Change::Tombstone(&step.after)),
            (None, Some(record)) => changes.insert(id.clone(), Change::Tombstone(&record.spec)),
            (None, None) => None,
        };
    }
    let next = catalogue::edit(nodes, before.roots, &changes)?;
    let plan = Plan { steps: steps.into_values().collect() };
    let holds = guard::holds(
        &plan,
        Live { models: before.roots.models.count, policy_changes: read.policy.is_some() },
        before.policy,
        now,
    );
    Ok(Blueprint { problems, plan, holds, next: Some(next) })
}

/// Every mistake of a commit, in its files and across them.
fn problems(read: &ReadCommit, roots: &Roots, nodes: &Nodes) -> Result<Vec<Problem>, EditError> {
    let catalogue = Catalogue::new(nodes, roots);
    let across = validate::problems(&read.proposal, &catalogue);
    catalogue.complete()?;
    let mut problems = read.problems.clone();
    problems.extend(across?);
    problems.sort();
    problems.dedup();
    Ok(problems)
}
