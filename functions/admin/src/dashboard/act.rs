//! Actions: what each does is shown before it is done, for one model or for several.

use std::time::{Duration, Instant};

use askama::Template;
use http::{Method, StatusCode};
use roster_http::Reply;
use serde_json::{Map, Value};

use super::api::{ApiError, Change, segment};
use super::form::Form;
use super::model::Records;
use super::outcome::{Outcome, outcomes, told};
use super::page::{self, Failure, Page};
use super::plan::Plan;
use super::{Signed, oidc};

/// How long a page goes on with further models: the gateway gives up after 29 seconds, and one change may take 20.
const PATIENCE: Duration = Duration::from_secs(8);
/// The models that are looked at together.
const AT_ONCE: usize = 8;
/// The most models of one action: a page of the catalogue.
const MAX_MODELS: usize = 50;

/// What can be done.
struct Act {
    /// Its name in addresses.
    name: &'static str,
    /// What the page is called.
    title: &'static str,
    /// What the button says.
    verb: &'static str,
    target: Target,
    inputs: &'static [Input],
    is_for_super: bool,
}

/// What an action is done to, and how it is asked for.
#[derive(Clone, Copy)]
enum Target {
    /// A model's document, by a route below it: a pull request where Git owns the model.
    Model(&'static str),
    /// One of its versions, by a route below that.
    Version(&'static str),
    /// What a rollout made of a model, at once and whosever it is.
    Rollout(&'static str),
    /// An override.
    Override,
    /// The sync.
    Sync(Verb, &'static str),
}

/// A method of the routes of the sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Post,
    Delete,
}

/// What an action asks for besides a reason.
struct Input {
    /// The key of the API's body.
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    is_required: bool,
}

const NO_INPUTS: &[Input] = &[];

const fn act(name: &'static str, title: &'static str, verb: &'static str, target: Target) -> Act {
    Act { name, title, verb, target, inputs: NO_INPUTS, is_for_super: false }
}

impl Act {
    /// Whether the API takes a reason: looking and releasing have none.
    fn asks_reason(&self) -> bool {
        !matches!(self.name, "sync" | "release")
    }
}

static ACTS: &[Act] = &[
    act("archive", "Archive", "Archive", Target::Model("archive")),
    act("unarchive", "Restore", "Restore", Target::Model("unarchive")),
    Act {
        inputs: &[
            Input {
                name: "replacementModelId",
                label: "Replacement (id of a model)",
                kind: "text",
                is_required: false,
            },
            Input { name: "sunsetDate", label: "Sunset (day, UTC)", kind: "date", is_required: false },
            Input { name: "deprecationNotice", label: "Deprecation notice", kind: "text", is_required: false },
        ],
        ..act("mark-legacy", "Mark as legacy", "Mark as legacy", Target::Model("mark-legacy"))
    },
    act("unmark-legacy", "Unmark legacy", "Unmark legacy", Target::Model("unmark-legacy")),
    act("promote", "Promote a version", "Promote", Target::Version("activate")),
    Act {
        inputs: &[
            Input { name: "replacementVersion", label: "Replacement version", kind: "text", is_required: false },
            Input { name: "endOfLife", label: "End of life (day, UTC)", kind: "date", is_required: false },
        ],
        ..act("deprecate", "Deprecate a version", "Deprecate", Target::Version("deprecate"))
    },
    act("retire", "Retire a version", "Retire", Target::Version("retire")),
    act("roll-back", "Roll back", "Roll back", Target::Rollout("rollback")),
    act("pause", "Pause a rollout", "Pause", Target::Rollout("rollout/pause")),
    act("resume", "Resume a rollout", "Resume", Target::Rollout("rollout/resume")),
    act("end-override", "End an override", "End it", Target::Override),
    act("sync", "Look at the branch", "Look now", Target::Sync(Verb::Post, "/admin/sync")),
    Act {
        inputs: &[Input { name: "until", label: "Until (UTC)", kind: "datetime-local", is_required: true }],
        ..act("hold", "Hold the sync", "Hold", Target::Sync(Verb::Post, "/admin/sync/hold"))
    },
    act("release", "Release the sync", "Release", Target::Sync(Verb::Delete, "/admin/sync/hold")),
    Act {
        inputs: &[Input { name: "planHash", label: "Hash of the plan", kind: "text", is_required: true }],
        is_for_super: true,
        ..act("approve", "Approve a held plan", "Approve", Target::Sync(Verb::Post, "/admin/sync/approve"))
    },
];

#[derive(Template)]
#[template(path = "act.html")]
struct View {
    page: Page,
    act: &'static Act,
    what: String,
    version: String,
    subjects: Vec<Subject>,
    inputs: Vec<(&'static Input, String)>,
    reason: String,
    asks_reason: bool,
    asks_approval: bool,
    key: String,
    verb: String,
    error: String,
    can_act: bool,
}

/// A model that an action is done to.
struct Subject {
    id: String,
    name: String,
    is_git: bool,
    plan: Option<Plan>,
    error: String,
}

fn find(name: &str) -> Result<&'static Act, Failure> {
    ACTS.iter().find(|act| act.name == name).ok_or(Failure::NotFound)
}

/// An action with what it is done to.
struct Asked<'a> {
    act: &'static Act,
    ids: Vec<&'a str>,
    version: &'a str,
    reason: &'a str,
    /// Values of the inputs, as people wrote them.
    inputs: Vec<(&'static Input, &'a str)>,
    key: &'a str,
    approves: bool,
}

impl Asked<'_> {
    /// The keys of the body, as the API takes them.
    fn body(&self, reason: &str) -> Value {
        let inputs = self.inputs.iter().map(|(input, value)| {
            let value = match input.kind {
                "date" if !value.is_empty() => format!("{value}T00:00:00Z"),
                // A browser leaves the seconds out where they are none.
                "datetime-local" if value.len() == 16 => format!("{value}:00Z"),
                "datetime-local" if !value.is_empty() => format!("{value}Z"),
                _ => (*value).to_owned(),
            };
            (input.name, value)
        });
        said(inputs.chain([("reason", reason.to_owned())]))
    }

    fn change<'c>(&self, id: &str, query: Vec<(&'c str, &'c str)>, reason: &str, key: &'c str) -> Change<'c> {
        let below = format!("/admin/models/{}", segment(id));
        let (method, path) = match self.act.target {
            Target::Model(route) | Target::Rollout(route) => (Method::POST, format!("{below}/{route}")),
            Target::Version(route) => (Method::POST, format!("{below}/versions/{}/{route}", segment(self.version))),
            Target::Override => (Method::DELETE, format!("{below}/override")),
            Target::Sync(Verb::Post, path) => (Method::POST, path.to_owned()),
            Target::Sync(Verb::Delete, path) => (Method::DELETE, path.to_owned()),
        };
        let body = if self.act.asks_reason() { self.body(reason) } else { Value::Null };
        Change { method, path, query, body, etag: "", key }
    }

    fn is_spec(&self) -> bool {
        matches!(self.act.target, Target::Model(_) | Target::Version(_))
    }

    /// Whether it is of models.
    fn is_of_models(&self) -> bool {
        !matches!(self.act.target, Target::Sync(..))
    }

    async fn subject(&self, signed: &Signed<'_>, id: &str) -> Result<Subject, ApiError> {
        let found: Records = signed.api.get("/admin/models", &[("id", id)]).await?;
        let Some(record) = found.models.first() else {
            let error = format!("no model has the id \"{id}\"");
            return Ok(Subject { id: id.to_owned(), name: String::new(), is_git: false, plan: None, error });
        };
        let name = record.model["meta"]["displayName"].as_str().unwrap_or_default().to_owned();
        let is_git = record.origin["source"] == "git";
        let mut subject = Subject { id: id.to_owned(), name, is_git, plan: None, error: String::new() };
        if self.is_spec() {
            let mut query = vec![("dry_run", "true")];
            query.extend(is_git.then_some(("mode", "propose")));
            let reason = if self.reason.trim().is_empty() { "to see what it does" } else { self.reason };
            match signed.api.change(&self.change(id, query, reason, "")).await {
                Ok(done) => subject.plan = Some(Plan::of(done.message, &done.data)),
                Err(ApiError::SignedOut) => return Err(ApiError::SignedOut),
                Err(error) => subject.error = told(&error),
            }
        }
        Ok(subject)
    }
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let visit = &signed.visit;
    let act = find(visit.query("act"))?;
    let asked = Asked {
        act,
        ids: visit.queries("id"),
        version: visit.query("version"),
        reason: visit.query("reason"),
        inputs: act.inputs.iter().map(|input| (input, visit.query(input.name))).collect(),
        key: "",
        approves: false,
    };
    shown(signed, &asked, StatusCode::OK, String::new()).await
}

async fn shown(signed: &Signed<'_>, asked: &Asked<'_>, status: StatusCode, error: String) -> Result<Reply, Failure> {
    let act = asked.act;
    let mut subjects = Vec::new();
    for ids in asked.ids[..asked.ids.len().min(MAX_MODELS)].chunks(AT_ONCE) {
        subjects.extend(futures::future::try_join_all(ids.iter().map(|id| asked.subject(signed, id))).await?);
    }
    let is_lonely = asked.is_of_models() && subjects.is_empty();
    let proposes = asked.is_spec() && subjects.iter().any(|subject| subject.is_git);
    let applies = !asked.is_spec() || subjects.iter().any(|subject| !subject.is_git);
    let does_something =
        !asked.is_spec() || subjects.iter().any(|subject| subject.plan.as_ref().is_some_and(|plan| plan.is_change));
    let verb = match (proposes, applies) {
        (true, false) if subjects.len() == 1 => "Open pull request".to_owned(),
        (true, false) => format!("Open {} pull requests", subjects.len()),
        (true, true) => format!("{} what the API owns, and open pull requests for the rest", act.verb),
        (false, _) => act.verb.to_owned(),
    };
    let may = !act.is_for_super || signed.session.is_super();
    let error = match () {
        () if is_lonely => "No model is chosen: go back, and tick some.".to_owned(),
        () if !may => "This is for the role super_admin.".to_owned(),
        () => error,
    };
    let view = View {
        page: signed.page(act.title, ""),
        what: match asked.version {
            "" => act.title.to_owned(),
            version => format!("{}: {version}", act.title),
        },
        version: asked.version.to_owned(),
        inputs: asked.inputs.iter().map(|(input, value)| (*input, (*value).to_owned())).collect(),
        reason: asked.reason.to_owned(),
        asks_reason: act.asks_reason(),
        asks_approval: signed.session.is_super()
            && subjects
                .iter()
                .any(|subject| !subject.is_git && subject.plan.as_ref().is_some_and(|plan| !plan.holds.is_empty())),
        key: oidc::random().unwrap_or_default(),
        can_act: may && !is_lonely && does_something,
        verb,
        error,
        subjects,
        act,
    };
    Ok(page::html(&signed.visit, status, &view))
}

pub(crate) async fn submit(signed: &Signed<'_>, form: &Form) -> Result<Reply, Failure> {
    let act = find(form.get("act"))?;
    let asked = Asked {
        act,
        ids: form.all("id"),
        version: form.get("version"),
        reason: form.get("reason"),
        inputs: act.inputs.iter().map(|input| (input, form.get(input.name))).collect(),
        key: form.get("key"),
        approves: form.get("approve") == "on",
    };
    if form.get("step") == "show" {
        return shown(signed, &asked, StatusCode::OK, String::new()).await;
    }
    if act.asks_reason() && asked.reason.trim().is_empty() {
        let error = "Reason: say why, for who reads the history.".to_owned();
        return shown(signed, &asked, StatusCode::UNPROCESSABLE_ENTITY, error).await;
    }
    let started = Instant::now();
    let (mut done, mut rest) = (Vec::new(), Vec::new());
    if !asked.is_of_models() {
        done.push(match signed.api.change(&asked.change("", Vec::new(), asked.reason, "")).await {
            Ok(answer) => Outcome::done(&signed.visit.root, "", &answer, true),
            Err(ApiError::SignedOut) => return Err(ApiError::SignedOut.into()),
            Err(error) => Outcome::refused("", &error),
        });
    }
    for id in asked.ids.iter().take(MAX_MODELS) {
        if started.elapsed() > PATIENCE {
            rest.push(("id", *id));
            continue;
        }
        done.push(one(signed, &asked, id).await);
    }
    if !rest.is_empty() {
        rest.extend([("act", act.name), ("reason", asked.reason)]);
    }
    Ok(outcomes(signed, act.title, done, rest))
}

/// Does it to one model. Whatever happens is told in its line, for others may have been done before.
async fn one(signed: &Signed<'_>, asked: &Asked<'_>, id: &str) -> Outcome {
    let attempt = async {
        let found: Records = signed.api.get("/admin/models", &[("id", id)]).await?;
        let is_git = found.models.first().is_some_and(|record| record.origin["source"] == "git");
        let proposes = is_git && asked.is_spec();
        let mut query = Vec::new();
        query.extend(proposes.then_some(("mode", "propose")));
        query.extend(asked.approves.then_some(("approve", "true")));
        // Every model has its own answer under the page's key.
        let key = if asked.key.is_empty() { String::new() } else { format!("{}-{}", asked.key, segment(id)) };
        let key = if key.len() <= 255 { key } else { String::new() };
        let done = signed.api.change(&asked.change(id, query, asked.reason, &key)).await?;
        Ok(Outcome::done(&signed.visit.root, id, &done, !proposes))
    };
    attempt.await.unwrap_or_else(|error| Outcome::refused(id, &error))
}

/// An object of the pairs whose values say something.
fn said<'k>(pairs: impl IntoIterator<Item = (&'k str, String)>) -> Value {
    let said = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(said.map(|(key, value)| (key.to_owned(), value.into())).collect::<Map<_, _>>())
}
