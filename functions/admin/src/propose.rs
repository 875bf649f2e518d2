//! `?mode=propose`: the change as a pull request that changes the model's file, for people to review.

use http::StatusCode;
use roster_core::plan::Step;
use roster_core::validate::read_model;
use roster_core::{canonical, file};
use roster_edit::{Draft, Edit};
use roster_http::{Problem, Reply};
use serde_json::json;
use similar::TextDiff;

use crate::App;
use crate::proposals::{BaseFile, Change, Opened};
use crate::write;

/// The most characters of a title: what `git log --oneline` shows whole.
const MAX_TITLE: usize = 72;

/// A change of a file, before it is proposed.
struct Prepared {
    draft: Draft,
    step: Step,
    /// The file as the branch has it; `None` when it is new.
    base: Option<BaseFile>,
    /// What it is to hold.
    content: String,
    diff: String,
}

/// The change of the file that a change of a model is; or the answer that there is none.
async fn prepare(app: &App, edit: &Edit<'_>, done: &str) -> Result<Result<Prepared, Reply>, Problem> {
    let mut draft = app.editor.draft(edit).await.map_err(write::problem)?;
    let Some(step) = draft.step.take() else {
        let message = format!("model {} is {done} already: there is nothing to propose", draft.after.id);
        let data = json!({"path": draft.path, "operations": [], "changes": []});
        return Ok(Err(Reply::success(StatusCode::OK, &message, data)));
    };
    let base = app.proposals.file(&draft.path).await?;
    let old = is_as_known(&draft, base.as_ref(), app.proposals.base())?;
    let content = file::text(&draft.after, &draft.path).map_err(|error| write::problem(error.into()))?;
    let diff = difference(&old, &content, &draft.path);
    Ok(Ok(Prepared { draft, step, base, content, diff }))
}

/// What [`make`] would propose; nothing is.
pub(crate) async fn foresee(app: &App, edit: &Edit<'_>, done: &str) -> Result<Reply, Problem> {
    let Prepared { draft, step, diff, .. } = match prepare(app, edit, done).await? {
        Ok(prepared) => prepared,
        Err(nothing) => return Ok(nothing),
    };
    let message =
        format!("model {} would be {done} once it is proposed and merged: nothing was written", draft.after.id);
    let data = json!({
        "path": draft.path, "diff": diff, "operations": step.operations, "changes": step.changes, "holds": draft.holds,
    });
    Ok(Reply::success(StatusCode::OK, &message, data))
}

/// Proposes a change and answers where it is. The same change is the same proposal, so that asking twice opens one.
pub(crate) async fn make(app: &App, edit: &Edit<'_>, done: &str) -> Result<Reply, Problem> {
    let Prepared { draft, step, base, content, diff } = match prepare(app, edit, done).await? {
        Ok(prepared) => prepared,
        Err(nothing) => return Ok(nothing),
    };
    let id = &draft.after.id;
    let (title, body) = words(edit, id.as_str(), done);
    let opened = app.proposals.open(Change {
        branch: branch(id.as_str(), &draft.path, &content),
        title,
        body,
        author: edit.actor.to_owned(),
        at: edit.now,
        path: draft.path.clone(),
        content,
        expected: base.map(|base| base.blob),
    });
    let Opened { url, branch, created } = opened.await?;
    let place = url.as_deref().unwrap_or(&branch);
    let message = match created {
        true => format!("model {id} is {done} once {place} is merged"),
        false => format!("model {id} is {done} once {place} is merged: it was proposed before, nothing changed"),
    };
    let mut data = json!({
        "branch": branch, "path": draft.path, "diff": diff, "created": created,
        "operations": step.operations, "changes": step.changes, "holds": draft.holds,
    });
    if let Some(url) = url {
        data["url"] = url.into();
    }
    Ok(Reply::success(StatusCode::ACCEPTED, &message, data))
}

/// The text of the file on the branch, if it says what the tables say.
fn is_as_known(draft: &Draft, base: Option<&BaseFile>, branch: &str) -> Result<String, Problem> {
    let model = base.map(|base| read_model(&draft.path, &base.content).map(|sourced| sourced.model).ok());
    if model != draft.before.clone().map(Some) {
        let path = &draft.path;
        let detail = format!(
            "{path} on branch {branch} does not say what is live: a sync is to come, or a commit is held or rejected. \
             GET /admin/drift tells which; propose anew afterwards"
        );
        let problem = Problem::new(StatusCode::CONFLICT, "branch-moved", "Branch moved", detail);
        return Err(problem.with("path", path.as_str()));
    }
    Ok(base.map(|base| String::from_utf8_lossy(&base.content).into_owned()).unwrap_or_default())
}

fn difference(old: &str, new: &str, path: &str) -> String {
    let from = if old.is_empty() { "/dev/null".to_owned() } else { format!("a/{path}") };
    TextDiff::from_lines(old, new).unified_diff().header(&from, &format!("b/{path}")).to_string()
}

/// A branch of this change and of no other one.
fn branch(id: &str, path: &str, content: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = id.chars().map(word).take(60).collect();
    let digest = canonical::sha256_hex(format!("{path}\0{content}").as_bytes());
    format!("{}{}-{}", roster_github::BRANCHES, slug.trim_matches('-'), &digest[..12])
}

/// The title, and the text below it. The last paragraph is ours: what a reason holds is no trailer of the commit.
fn words(edit: &Edit<'_>, id: &str, done: &str) -> (String, String) {
    let reason = edit.reason.trim();
    let first = reason.lines().next().unwrap_or_default();
    let title = match first.chars().count() {
        1..=MAX_TITLE => first.to_owned(),
        _ => format!("{id}: {done}"),
    };
    let actor: String = edit.actor.chars().filter(|c| !c.is_control()).collect();
    let told = format!("Model {id} is {done}.\n\nProposed-by: {actor}");
    (title, if reason.is_empty() { told } else { format!("{reason}\n\n{told}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_that_of_one_change() {
        let name = branch("openai/GPT-5:x", "p", "c");
        assert!(name.starts_with("roster/openai-gpt-5-x-"), "{name}");
        assert_eq!(name, branch("openai/GPT-5:x", "p", "c"));
        assert_ne!(name, branch("openai/GPT-5:x", "p", "d"));
        assert_eq!(branch("~a", "p", "c").matches('-').count(), 1);
    }

    #[test]
    fn a_new_file_has_no_old_side() {
        assert_eq!(difference("", "a\n", "f"), "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n");
    }
}
