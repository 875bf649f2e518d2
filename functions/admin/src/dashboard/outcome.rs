//! What became of what was asked for.

use askama::Template;
use http::StatusCode;
use roster_http::Reply;

use super::Signed;
use super::api::{ApiError, Done};
use super::page::{self, Page};

/// What became of a change of a model.
pub(crate) struct Outcome {
    name: String,
    message: String,
    link: String,
    link_text: String,
    is_bad: bool,
}

#[derive(Template)]
#[template(path = "outcome.html")]
struct OutcomeView {
    page: Page,
    heading: String,
    outcomes: Vec<Outcome>,
    /// Where the models are done that were not reached.
    rest: String,
}

impl Outcome {
    /// What the API did.
    pub(crate) fn done(root: &str, name: &str, done: &Done, is_live: bool) -> Self {
        let url = done.data["url"].as_str().unwrap_or_default();
        let (link, link_text) = match (url.starts_with("https://"), is_live) {
            (true, _) => (url.to_owned(), "the pull request".to_owned()),
            (false, true) if !name.is_empty() => (model_page(root, name), "the model".to_owned()),
            _ => (String::new(), String::new()),
        };
        Self { name: name.to_owned(), message: done.message.clone(), link, link_text, is_bad: false }
    }

    pub(crate) fn refused(name: &str, error: &ApiError) -> Self {
        let message = told(error);
        Self { name: name.to_owned(), message, link: String::new(), link_text: String::new(), is_bad: true }
    }
}

fn model_page(root: &str, id: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("id", id).finish();
    format!("{root}/model?{query}")
}

/// An error in a line.
pub(crate) fn told(error: &ApiError) -> String {
    match error {
        ApiError::Refused(refused) => format!("{}: {}", refused.title, refused.detail),
        ApiError::SignedOut => "the session has ended: sign in again".to_owned(),
        ApiError::Unreachable => "the API does not answer: try again".to_owned(),
    }
}

/// The page that says what was done.
pub(crate) fn outcomes(signed: &Signed<'_>, heading: &str, outcomes: Vec<Outcome>, rest: Vec<(&str, &str)>) -> Reply {
    let status = match outcomes.iter().any(|outcome| outcome.is_bad) {
        true => StatusCode::CONFLICT,
        false => StatusCode::OK,
    };
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest.iter().copied()).finish();
    let rest = if rest.is_empty() { String::new() } else { format!("{}/act?{query}", signed.visit.root) };
    let page = signed.page(heading, "");
    page::html(&signed.visit, status, &OutcomeView { page, heading: heading.to_owned(), outcomes, rest })
}
