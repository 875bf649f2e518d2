//! What every page has: the frame around it, its headers, and the pages that say what went wrong.

use askama::Template;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use roster_core::canonical::sha256_hex;
use roster_http::Reply;

use super::api::ApiError;
use super::guard::guarded;
use super::session::Session;
use super::{Visit, assets};

/// Stands in a page for the digest of it, in quotes that no value has: theirs are escaped.
const VERSION: &str = "@version@";
/// The header with which a page asks whether it is old.
const LIVE: &str = "x-live";

/// The frame of a page.
pub(crate) struct Page {
    /// The path that the pages are below.
    pub(crate) root: String,
    pub(crate) title: String,
    /// Which part of the dashboard it is in.
    pub(crate) section: &'static str,
    /// Its own address.
    pub(crate) url: String,
    /// Who is signed in; empty for nobody.
    pub(crate) user: String,
    pub(crate) is_super: bool,
    pub(crate) csrf: String,
    pub(crate) version: &'static str,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
    pub(crate) htmx: &'static str,
    pub(crate) icon: &'static str,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The API did not do what was asked.
    Api(ApiError),
    /// There is no such page.
    NotFound,
    /// Another site sent the form, or an old page did.
    Foreign,
    /// The form cannot be read, and why.
    Form(&'static str),
    /// Something else went wrong.
    Problem(StatusCode),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

#[derive(Template)]
#[template(path = "failed.html")]
struct View {
    page: Page,
    heading: String,
    detail: String,
    request_id: String,
}

impl Page {
    pub(crate) fn new(visit: &Visit<'_>, title: String, section: &'static str, session: Option<&Session>) -> Self {
        Self {
            root: visit.root.clone(),
            title,
            section,
            url: visit.url(),
            user: session.map(|session| session.name().to_owned()).unwrap_or_default(),
            is_super: session.is_some_and(Session::is_super),
            csrf: session.map(|session| session.csrf.clone()).unwrap_or_default(),
            version: VERSION,
            style: assets::name("style.css"),
            script: assets::name("app.js"),
            htmx: assets::name("htmx.js"),
            icon: assets::name("icon.svg"),
        }
    }
}

/// A page, or that it has not changed since it was seen.
pub(crate) fn html(visit: &Visit<'_>, status: StatusCode, view: &impl Template) -> Reply {
    let text = match view.render() {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            return guarded(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
        }
    };
    let version = &sha256_hex(text.as_bytes())[..16];
    if visit.request.header(LIVE) == Some(version) {
        return guarded(Reply::empty(StatusCode::NO_CONTENT));
    }
    let text = text.replacen(&format!("\"X-Live\": \"{VERSION}\""), &format!("\"X-Live\": \"{version}\""), 1);
    let reply = Reply { body: text.into(), ..Reply::empty(status) };
    guarded(reply).with_header(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
}

/// The page that says that there is none.
pub(crate) fn not_found(visit: &Visit<'_>) -> Reply {
    failed(visit, None, &Failure::NotFound)
}

/// The page that says what went wrong, and what to do.
pub(crate) fn failed(visit: &Visit<'_>, session: Option<&Session>, failure: &Failure) -> Reply {
    let told = |status, heading: &str, detail: &str| (status, heading.to_owned(), detail.to_owned());
    let mut request_id = visit.request.request_id.clone();
    let (status, heading, detail) = match failure {
        Failure::Api(ApiError::Refused(refused)) => {
            request_id.clone_from(&refused.request_id);
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, refused.title.clone(), refused.detail.clone())
        }
        Failure::Api(ApiError::Unreachable | ApiError::SignedOut) => told(
            StatusCode::BAD_GATEWAY,
            "The API does not answer",
            "Try again: what it has done already is not done twice.",
        ),
        Failure::NotFound => told(StatusCode::NOT_FOUND, "No such page", "The catalogue is where everything begins."),
        Failure::Foreign => told(
            StatusCode::FORBIDDEN,
            "Not from here",
            "The form is of another site, or of a page from before you signed in: open the page anew, and send it again.",
        ),
        Failure::Form(why) => told(StatusCode::BAD_REQUEST, "The form cannot be read", why),
        Failure::Problem(status) => {
            told(*status, "Something went wrong", "Try again; it is logged under the request's id.")
        }
    };
    let page = Page::new(visit, heading.clone(), "", session);
    html(visit, status, &View { page, heading, detail, request_id })
}
