//! What fits into a catalogue, judged by the rules that look across all of its models.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use roster_core::Problem;
use roster_core::validate::{Proposal, SourcedModel};

use crate::output::Failure;

/// A file that is about to be written.
pub(crate) trait Candidate {
    /// What it says.
    fn sourced(&self) -> &Arc<SourcedModel>;
}

/// Takes out of the candidates what does not fit, and tells `refused` why; the problems that are no candidate's own
/// are answered. `awaited` names ids that are not there and are no mistake to name.
pub(crate) fn retain<C: Candidate>(
    before: &Proposal,
    candidates: &mut Vec<C>,
    awaited: impl Fn(&[C]) -> Vec<String>,
    mut refused: impl FnMut(&C, &[Problem]),
) -> Result<Vec<Problem>, Failure> {
    // What is wrong already is not the candidates' doing.
    let known: BTreeSet<Problem> = crate::validate::across(before)?.into_iter().collect();
    loop {
        let ours: HashSet<&str> = candidates.iter().map(|one| one.sourced().document.path()).collect();
        let others = before.present.iter().filter(|sourced| !ours.contains(sourced.document.path())).cloned();
        let mut after = Proposal { unreadable: before.unreadable.clone(), ..Proposal::default() };
        after.present = others.chain(candidates.iter().map(|one| one.sourced().clone())).collect();
        after.unreadable.extend(awaited(candidates));
        let mut found: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
        for problem in crate::validate::across(&after)?.into_iter().filter(|problem| !known.contains(problem)) {
            found.entry(problem.file.clone()).or_default().push(problem);
        }
        let count = candidates.len();
        candidates.retain(|one| {
            let of_this = found.remove(one.sourced().document.path()).unwrap_or_default();
            if !of_this.is_empty() {
                refused(one, &of_this);
            }
            of_this.is_empty()
        });
        // Without a model, others may lose their replacement: the rest is looked at again.
        if candidates.len() == count {
            return Ok(found.into_values().flatten().collect());
        }
    }
}
