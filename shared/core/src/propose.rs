//! From what is asked for to what would be done: validate, plan, guard. The same for a commit, for the plan of a
//! pull request and for a call of the admin API.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// The records of the models that are touched, or all of them.
    pub records: &'a HashMap<ModelId, Record>,
    /// How many of the published models the API owns: no commit can remove them.
    pub api_models: u64,
}

/// Judges what is asked for against what is live.
///
/// # Errors
/// [`EditError::Missing`] with the nodes to load before asking again.
pub fn propose(asked: Asked<'_>, before: Before<'_>, nodes: &Nodes, now: Timestamp) -> Result<Blueprint, EditError> {
    let Asked { proposal, asker, .. } = asked;
    if let Some(restored) = restored(proposal, before, nodes)? {
        let mut nodes = nodes.clone();
        restored.fresh.iter().for_each(|(id, node)| nodes.insert(*id, node.clone()));
        let mut blueprint = propose(asked, Before { roots: &restored.roots, ..before }, &nodes, now)?;
        if let Some(next) = &mut blueprint.next {
            next.fresh.extend(restored.fresh);
        }
        return Ok(blueprint);
    }
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
        let path = (asker != Asker::Api).then(|| sourced.document.path().into());
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
    let next = catalogue::edit(nodes, before.roots, &changes)?;
    let plan = Plan { steps: steps.into_values().collect() };
    let holds = guard::holds(
        &plan,
        Live {
            models: before.roots.models.count.saturating_sub(before.api_models),
            policy_changes: asked.policy_changes,
        },
        before.policy,
        now,
    );
    Ok(Blueprint { problems, plan, holds, next: Some(next) })
}

/// The trees with every model that the API owns, where the records know of some that are not published: what was
/// published may have been lost. `None` when all of them are there.
fn restored(proposal: &Proposal, before: Before<'_>, nodes: &Nodes) -> Result<Option<NextRoots>, EditError> {
    let present: BTreeSet<&ModelId> = proposal.present.iter().map(|sourced| &sourced.model.id).collect();
    let owned = before
        .records
        .iter()
        .filter(|(id, record)| matches!(record.origin, Origin::Api(_)) && !record.tombstone && !present.contains(id));
    let changes: BTreeMap<ModelId, Change<'_>> = owned
        .map(|(id, record)| (id.clone(), Change::Present { model: &record.spec, path: None, in_place: false }))
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let next = catalogue::edit(nodes, before.roots, &changes)?;
    Ok((next.roots != *before.roots).then_some(next))
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
