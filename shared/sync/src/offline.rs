//! Plans without tables: what one revision of a repository would do to a catalogue that is at another.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use roster_core::catalogue::{self, Change, EditError, Roots};
use roster_core::propose::{Before, propose};
use roster_core::record::{ChangeNote, GitOrigin, Origin, Record};
use roster_core::status::Status;
use roster_core::tree::Nodes;
use roster_core::validate::CATALOG;
use roster_core::{ModelId, decision};
use roster_git::{Commit, CommitId, Repository};

use crate::read::{ReadCommit, Scope, read};
use crate::reconcile::SyncError;
use crate::report::PlanReport;

/// Plans the way from `base` to `head` as if exactly `base` were live, published as `revision`.
///
/// The hash is that of the run that gets to `head`'s catalogue in one step from `base`: it names the catalogue's tree
/// and not the commit, so a merge and a squash of `head` have it, too. What a table holds beyond `base` is not known
/// here: a file that takes over a model of the API, or brings back one whose file was removed before `base`, has another
/// plan there, which [`Reconciler::plan`](crate::Reconciler::plan) makes.
///
/// # Errors
/// [`SyncError`] when the repository cannot be read.
pub fn plan_between(
    repository: &Repository,
    base: CommitId,
    head: CommitId,
    revision: u64,
    now: Timestamp,
) -> Result<PlanReport, SyncError> {
    let mut live = read(repository, &Scope::Whole, base)?;
    let records = records_of(&live, &repository.commit(base)?);
    let mut nodes = Nodes::default();
    let mut roots = Roots::empty();
    let changes: BTreeMap<ModelId, Change<'_>> = live
        .proposal
        .present
        .iter()
        .map(|sourced| {
            let path = Some(sourced.document.path().into());
            (sourced.model.id.clone(), Change::Present { model: &sourced.model, path, in_place: false })
        })
        .collect();
    // Every node is made here, so none can be missing.
    let next = catalogue::edit(&nodes, &roots, &changes)?;
    next.fresh.into_iter().for_each(|(id, node)| nodes.insert(id, node));
    roots = next.roots;
    let policy = live.policy.take().flatten().unwrap_or_default();
    let change = read(repository, &Scope::Since(vec![base]), head)?;
    let before = Before { roots: &roots, policy: &policy, records: &records, api_models: 0 };
    let blueprint = propose(change.asked(), before, &nodes, now)?;
    let tree = repository.subtree(head, CATALOG)?.map(|tree| tree.to_string());
    let hash = blueprint.plan.hash(Some(&base.to_string()), tree.as_deref(), revision).map_err(EditError::Json)?;
    let unknown = decision::activations(&blueprint.plan).map(|(step, version)| {
        format!("{}: what was measured of version {version} is not known here, and may hold its activation", step.id)
    });
    Ok(PlanReport {
        base: Some(base.to_string()),
        head: head.to_string(),
        revision,
        warnings: unknown.collect(),
        problems: blueprint.problems,
        plan: blueprint.plan,
        holds: blueprint.holds,
        hash,
        at: now,
        live: live.proposal.present.iter().map(|sourced| (sourced.model.id.clone(), sourced.model.clone())).collect(),
        next_policy: change.policy.map(Option::unwrap_or_default),
        policy,
    })
}

/// The records that a table would hold, were exactly this commit live.
fn records_of(live: &ReadCommit, commit: &Commit) -> HashMap<ModelId, Record> {
    let record = |id: &ModelId, path: &str, spec: &roster_core::Model| {
        let author = commit.author_name.clone();
        let origin = Origin::Git(GitOrigin {
            repository: String::new(),
            path: path.to_owned(),
            blob: live.blobs.get(id).map(|(_, blob)| blob.to_string()).unwrap_or_default(),
            commit: commit.id.to_string(),
            pull_request: commit.pull_request,
            author: author.clone(),
        });
        let change = ChangeNote {
            operations: Vec::new(),
            actor: author,
            reason: commit.subject.clone(),
            source: "git".to_owned(),
            at: commit.committed_at,
            applied_at: commit.committed_at,
            commit: Some(commit.id.to_string()),
            pull_request: commit.pull_request,
            revision: 0,
            correlation_id: String::new(),
        };
        Record {
            spec: spec.clone(),
            status: Status::default(),
            origin,
            seq: 1,
            tombstone: false,
            change,
            archived: None,
            overridden: None,
            created_at: commit.committed_at,
        }
    };
    let present = live.proposal.present.iter();
    present
        .map(|sourced| (sourced.model.id.clone(), record(&sourced.model.id, sourced.document.path(), &sourced.model)))
        .collect()
}
