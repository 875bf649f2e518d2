//! Making and changing a model: the form, what it would do, and doing it.

use askama::Template;
use http::{Method, StatusCode};
use roster_http::Reply;
use serde_json::{Value, json};

use super::api::{ApiError, Change, Mistake, segment};
use super::form::{self, Field, Form};
use super::model::Record;
use super::outcome::{Outcome, outcomes};
use super::page::{self, Failure, Page};
use super::plan::Plan;
use super::{Signed, oidc, show};

#[derive(Template)]
#[template(path = "edit.html")]
struct FormView {
    page: Page,
    /// The model that changes; empty for a new one.
    id: String,
    etag: String,
    is_git: bool,
    path: String,
    fields: Vec<Field>,
    /// What no field is the place of.
    errors: Vec<String>,
    /// The fields that are wrong, by their ids.
    wrong: Vec<(String, String)>,
    reason: String,
    reason_mistake: String,
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewView {
    page: Page,
    id: String,
    etag: String,
    is_git: bool,
    document: String,
    /// The body that asks the API for it: what was foreseen is what is done, and the same again when the form is sent twice.
    change: String,
    reason: String,
    key: String,
    plan: Plan,
}

/// What is edited.
struct Subject {
    /// Empty for a new model.
    id: String,
    etag: String,
    is_git: bool,
    path: String,
    /// The document as it is.
    base: Value,
}

impl Subject {
    /// The model of this id.
    async fn read(signed: &Signed<'_>, id: &str) -> Result<Self, ApiError> {
        let (etag, record): (String, Record) = signed.api.get_tagged(&format!("/admin/models/{}", segment(id))).await?;
        let mut base = record.model;
        // What policy fills in is nobody's to write.
        for pointer in &record.computed {
            if let Some((parent, key)) = pointer.rsplit_once('/')
                && let Some(object) = base.pointer_mut(parent).and_then(Value::as_object_mut)
            {
                object.remove(key);
            }
        }
        let path = record.origin["path"].as_str().unwrap_or_default().to_owned();
        Ok(Self { id: id.to_owned(), etag, is_git: record.origin["source"] == "git", path, base })
    }

    /// A model that there is not yet.
    fn new(is_git: bool) -> Self {
        Self { id: String::new(), etag: String::new(), is_git, path: String::new(), base: json!({}) }
    }

    fn shown(
        self,
        signed: &Signed<'_>,
        document: &Value,
        mistakes: &[Mistake],
        longer: &[&str],
        reason: &str,
    ) -> FormView {
        let title = if self.id.is_empty() { "New model".to_owned() } else { format!("Edit {}", self.id) };
        let fields = form::fields(document, mistakes, longer, !self.id.is_empty());
        let of_reason = mistakes.iter().find(|mistake| mistake.pointer == "/reason");
        let reason_mistake = of_reason.map(|mistake| mistake.detail.clone()).unwrap_or_default();
        let own =
            Some(("reason".to_owned(), format!("Reason: {reason_mistake}"))).filter(|_| !reason_mistake.is_empty());
        FormView {
            page: signed.page(title, "catalogue"),
            wrong: form::wrong(&fields).into_iter().chain(own).collect(),
            fields,
            reason_mistake,
            errors: form::elsewhere(mistakes),
            id: self.id,
            etag: self.etag,
            is_git: self.is_git,
            path: self.path,
            reason: reason.to_owned(),
        }
    }

    /// The request that makes the model what a document says.
    fn change<'c>(
        &self,
        document: &Value,
        reason: &str,
        query: Vec<(&'c str, &'c str)>,
        etag: &'c str,
        key: &'c str,
    ) -> Change<'c> {
        let (method, path, mut body) = match self.id.as_str() {
            "" => (Method::POST, "/admin/models".to_owned(), document.clone()),
            id => (Method::PATCH, format!("/admin/models/{}", segment(id)), form::patch(&self.base, document)),
        };
        body["reason"] = reason.into();
        Change { method, path, query, body, etag, key }
    }
}

pub(crate) async fn page(signed: &Signed<'_>) -> Result<Reply, Failure> {
    let visit = &signed.visit;
    let subject = match (visit.query("id"), visit.query("copy")) {
        ("", "") => Subject { base: blank(), ..Subject::new(true) },
        ("", copied) => {
            let source = Subject::read(signed, copied).await?;
            Subject { base: copy(source.base), ..Subject::new(source.is_git) }
        }
        (id, _) => Subject::read(signed, id).await?,
    };
    let document = subject.base.clone();
    Ok(page::html(visit, StatusCode::OK, &subject.shown(signed, &document, &[], &[], "")))
}

/// What a new model begins with.
fn blank() -> Value {
    json!({"isAvailable": true, "meta": {"capabilities": ["text"], "requiredTier": "free", "tierRestrictionMode": "minimum"}})
}

/// What of a model another one begins with: names are its own, and so is its life.
fn copy(mut document: Value) -> Value {
    if let Some(document) = document.as_object_mut() {
        ["id", "aliases", "versions", "rollout"].iter().for_each(|key| {
            document.remove(*key);
        });
        document.insert("isLegacy".to_owned(), false.into());
        document.insert("isArchived".to_owned(), false.into());
        document.insert("isAvailable".to_owned(), true.into());
        if let Some(meta) = document.get_mut("meta").and_then(Value::as_object_mut) {
            ["legacyReplacementModelId", "deprecationNotice", "sunsetDate"].iter().for_each(|key| {
                meta.remove(*key);
            });
        }
    }
    document
}

pub(crate) async fn submit(signed: &Signed<'_>, form: &Form) -> Result<Reply, Failure> {
    let (id, reason, step) = (form.get("id"), form.get("reason"), form.get("step"));
    let subject = match id {
        "" => Subject::new(form.get("owner") != "api"),
        id => Subject::read(signed, id).await?,
    };
    // The form says which state of the model it was made of.
    let subject = Subject { etag: form.get("etag").to_owned(), ..subject };
    let written: Option<Value> = serde_json::from_str(form.get("document")).ok().filter(Value::is_object);
    let document = written.unwrap_or_else(|| form::document(form, &subject.base));
    let show_form = |subject: Subject, status, mistakes: &[Mistake], longer: &[&str]| {
        page::html(&signed.visit, status, &subject.shown(signed, &document, mistakes, longer, reason))
    };
    if let Some(pointer) = step.strip_prefix("add:") {
        return Ok(show_form(subject, StatusCode::OK, &[], &[pointer]));
    }
    if step == "back" {
        return Ok(show_form(subject, StatusCode::OK, &[], &[]));
    }
    if reason.trim().is_empty() {
        let mistake =
            Mistake { pointer: "/reason".to_owned(), detail: "say why, for who reads the history".to_owned() };
        return Ok(show_form(subject, StatusCode::UNPROCESSABLE_ENTITY, &[mistake], &[]));
    }
    let is_git = subject.is_git;
    let mut query: Vec<(&str, &str)> = is_git.then_some(("mode", "propose")).into_iter().collect();
    if step == "submit" {
        query.extend((form.get("approve") == "on").then_some(("approve", "true")));
        let foreseen: Option<Value> = serde_json::from_str(form.get("change")).ok().filter(Value::is_object);
        let body = foreseen.ok_or(Failure::Form("it has lost what it was to change: begin again"))?;
        let change = Change { body, ..subject.change(&document, reason, query, &subject.etag, form.get("key")) };
        let name = if id.is_empty() { show::value(&document["id"]) } else { id.to_owned() };
        return match signed.api.change(&change).await {
            Ok(done) => {
                let outcome = Outcome::done(&signed.visit.root, &name, &done, !is_git);
                Ok(outcomes(signed, if is_git { "Proposed" } else { "Applied" }, vec![outcome], Vec::new()))
            }
            Err(error) => retold(error, |mistakes, status| show_form(subject, status, &mistakes, &[])),
        };
    }
    query.push(("dry_run", "true"));
    let change = subject.change(&document, reason, query, &subject.etag, "");
    match signed.api.change(&change).await {
        Ok(done) => {
            let view = PreviewView {
                page: signed.page("What this does", "catalogue"),
                id: id.to_owned(),
                etag: subject.etag.clone(),
                is_git,
                document: document.to_string(),
                change: change.body.to_string(),
                reason: reason.to_owned(),
                key: oidc::random().unwrap_or_default(),
                plan: Plan::of(done.message, &done.data),
            };
            Ok(page::html(&signed.visit, StatusCode::OK, &view))
        }
        Err(error) => retold(error, |mistakes, status| show_form(subject, status, &mistakes, &[])),
    }
}

/// A refusal on the form that was sent, each mistake beside its field.
fn retold(error: ApiError, show: impl FnOnce(Vec<Mistake>, StatusCode) -> Reply) -> Result<Reply, Failure> {
    match error {
        ApiError::Refused(refused) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            let whole = Mistake { pointer: String::new(), detail: format!("{}: {}", refused.title, refused.detail) };
            let mistakes = if refused.errors.is_empty() { vec![whole] } else { refused.errors };
            Ok(show(mistakes, status))
        }
        error => Err(error.into()),
    }
}
