//! Whether a commit may be applied, by who signed it.

use jiff::Timestamp;
use roster_core::document::{Document, Problem};
use roster_core::policy::SignaturePolicy;
use roster_core::{Policy, validate};
use roster_git::{CommitId, GitError, Repository, SignatureKind};
use roster_signature::{AllowedKeys, KeyProblem, verify};

/// What rejects a commit under a rule for signatures.
///
/// The rule is that of the policy in force before the commit, so one that turns it off, or allows another key, is
/// itself judged by it. Before a first sync the default policy is in force, which requires nothing: the first commit
/// brings the rule that the next ones are judged by.
///
/// Each commit that is applied by itself is judged by itself. Where a run jumps over several, to the tip, the tip's
/// signature counts alone; and since a commit is a whole tree, a signed commit also speaks for what unsigned ones
/// before it changed. In a merge it is the merge commit that counts, not the commits that it merges.
pub(crate) fn problem(
    repository: &Repository,
    id: CommitId,
    rule: &SignaturePolicy,
    now: Timestamp,
) -> Result<Option<Problem>, GitError> {
    if !rule.required {
        return Ok(None);
    }
    let said = match AllowedKeys::parse(&rule.ssh_keys, &rule.gpg_keys) {
        Ok(allowed) => {
            verify(repository.signature(id)?.as_ref(), &allowed, now).err().map(|problem| problem.to_string())
        }
        // A policy with such keys is not taken; this one is of a version of Roster that took them.
        Err(problems) => {
            problems.first().map(|first| format!("cannot be judged: a key of the policy in force {first}"))
        }
    };
    Ok(said.map(|said| Problem::of_commit(format!("commit {id} {said}"))))
}

/// Reads the policy, and the keys in it: a rule with keys that can sign nothing would shut everybody out.
///
/// # Errors
/// Every mistake in the file.
pub fn read_policy(path: &str, bytes: &[u8]) -> Result<Policy, Vec<Problem>> {
    let policy = validate::read_policy(path, bytes)?;
    match AllowedKeys::parse(&policy.signatures.ssh_keys, &policy.signatures.gpg_keys) {
        Ok(_) => Ok(policy),
        Err(problems) => {
            let document = Document::parse(path, bytes)?;
            let place = |KeyProblem { kind, at, message }: KeyProblem| {
                let list = if kind == SignatureKind::Ssh { "sshKeys" } else { "gpgKeys" };
                document.problem(&format!("/signatures/{list}/{at}"), message)
            };
            Err(problems.into_iter().map(place).collect())
        }
    }
}
