//! Plans against the tables: what merging a change would do to what is live, with the hash that its run will have.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use roster_core::{Model, ModelId};
use roster_git::{CommitId, GitError};

use crate::read::{Scope, read};
use crate::reconcile::{Judged, Options, Reconciler, Session, SyncError};
use crate::report::PlanReport;

/// Where references stand that a change may be asked for by.
const NAMESPACES: [&str; 4] = ["refs/heads/", "refs/tags/", "refs/pull/", "refs/merge-requests/"];
/// Lookups along chains of replacements: the rules refuse circles, and nobody reads a longer chain.
const MAX_ROUNDS: usize = 20;

/// A change that is not merged yet, as its repository names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A commit, by its whole id.
    Commit(CommitId),
    /// A reference, by its whole name: `refs/pull/7/merge` is what merging the pull request 7 would give.
    Reference(String),
}

impl FromStr for Change {
    type Err = String;

    /// Reads the whole id of a commit, the whole name of a reference, or the name of a branch.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(commit) = text.parse() {
            return Ok(Self::Commit(commit));
        }
        let name = if text.starts_with("refs/") { text.to_owned() } else { format!("refs/heads/{text}") };
        match NAMESPACES.iter().any(|namespace| name.len() > namespace.len() && name.starts_with(namespace)) {
            true => Ok(Self::Reference(name)),
            false => Err(format!("\"{text}\" is neither the whole id of a commit nor below {}", NAMESPACES.join(", "))),
        }
    }
}

impl Reconciler {
    /// What the run of a merge would do that gets from what is live to a change's tree in one step. Nothing is written,
    /// and no lease is taken: a sync at work meanwhile makes another plan of it.
    ///
    /// Whether the commit is signed is not judged: a merge is another commit than the one that a forge made to try it.
    ///
    /// # Errors
    /// [`SyncError`] when the repository or the tables fail, or the change is not in the repository.
    pub async fn plan(&self, options: &Options, change: &Change) -> Result<PlanReport, SyncError> {
        let wanted = change.clone();
        let head = self.repo.with(move |repository| match wanted {
            Change::Reference(name) => repository.fetch_reference(&name),
            Change::Commit(id) => {
                repository.refresh()?;
                repository.resolve(&id.to_string())
            }
        });
        let head = head.await?;
        let mut session = self.session(&self.store, options).await?;
        session.is_preview = true;
        let now = (self.clock)();
        let judged = self.judge(&mut session, head, now).await?;
        let hash = self.plan_hash(&session, head, &judged.plan).await?;
        let live = self.looked_up(&session, &judged).await?;
        let Judged { asked, problems, plan, holds, .. } = judged;
        Ok(PlanReport {
            base: session.base.map(|base| base.to_string()),
            head: head.to_string(),
            revision: session.revision(),
            problems,
            warnings: Vec::new(),
            plan,
            holds,
            hash,
            at: now,
            live,
            next_policy: asked.read.policy.map(Option::unwrap_or_default),
            policy: session.policy,
        })
    }

    /// The live models that a review looks up: those on the way of a replacement; with another policy, also all that
    /// have a file.
    async fn looked_up(&self, session: &Session, judged: &Judged) -> Result<BTreeMap<ModelId, Model>, SyncError> {
        let mut live = BTreeMap::new();
        if let Some(base) = session.base.filter(|_| judged.asked.read.policy.is_some()) {
            let whole = self.repo.with(move |repository| match read(repository, &Scope::Whole, base) {
                // After a rewrite the old commit may be gone.
                Err(GitError::MissingObject { .. }) => Ok(None),
                read => read.map(Some),
            });
            let present = whole.await?.map(|whole| whole.proposal.present).unwrap_or_default();
            live.extend(present.iter().map(|sourced| (sourced.model.id.clone(), sourced.model.clone())));
        }
        let replacement = |model: &Model| model.meta.legacy_replacement_model_id.clone();
        let mut next: BTreeSet<ModelId> =
            judged.plan.steps.iter().filter_map(|step| replacement(&step.after)).collect();
        let mut asked = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            next.retain(|id| asked.insert(id.clone()));
            if next.is_empty() {
                break;
            }
            let records = session.store.records(next.iter()).await?;
            next = records.values().filter_map(|record| replacement(&record.spec)).collect();
            live.extend(records.into_iter().map(|(id, record)| (id, record.spec)));
        }
        Ok(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_as_repositories_name_them() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(id.parse(), Ok(Change::Commit(id.parse().unwrap())));
        for (text, name) in [
            ("main", "refs/heads/main"),
            ("team/prices", "refs/heads/team/prices"),
            ("refs/heads/main", "refs/heads/main"),
            ("refs/pull/7/merge", "refs/pull/7/merge"),
            ("refs/merge-requests/7/merge", "refs/merge-requests/7/merge"),
        ] {
            assert_eq!(text.parse(), Ok(Change::Reference(name.to_owned())));
        }
        for text in ["refs/pull/", "refs/notes/x", "refs/replace/x", ""] {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
    }
}
