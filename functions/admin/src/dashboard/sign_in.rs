//! Signing in and out.

use askama::Template;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue, StatusCode};
use roster_http::Reply;

use super::form::Form;
use super::guard::guarded;
use super::oidc::{Attempt, OidcError};
use super::page::{self, Failure, Page};
use super::session::{SESSION, Session, cookie, set_cookie};
use super::{SignIn, Visit, see_other};

/// The cookie with an attempt to sign in.
const ATTEMPT: &str = "roster_attempt";
/// The cookie with where somebody wanted to go.
const NEXT: &str = "roster_next";
/// How long an attempt may take, in seconds.
const ATTEMPT_SECONDS: u32 = 600;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct View {
    page: Page,
    with_provider: bool,
    error: String,
}

/// The page that says how to sign in.
pub(crate) fn page(visit: &Visit<'_>) -> Reply {
    show(visit, StatusCode::OK, String::new())
}

fn show(visit: &Visit<'_>, status: StatusCode, error: String) -> Reply {
    let page = Page::new(visit, "Sign in".to_owned(), "", None);
    let with_provider = matches!(visit.app.dashboard.sign_in, SignIn::Provider(_));
    page::html(visit, status, &View { page, with_provider, error })
}

/// Has somebody sign in who wants to see a page, and takes them there afterwards.
pub(crate) fn first(visit: &Visit<'_>) -> Reply {
    let location = format!("{}/sign-in", visit.root);
    // A part of a page cannot be exchanged for another page: the browser goes there as a whole.
    if visit.request.headers.contains_key("hx-request") {
        let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/"));
        return guarded(Reply::empty(StatusCode::NO_CONTENT))
            .with_header(HeaderName::from_static("hx-redirect"), location);
    }
    let mut reply = see_other(&location);
    let next = form_urlencoded::byte_serialize(visit.url().as_bytes()).collect::<String>();
    if visit.request.method == http::Method::GET {
        reply.headers.extend(set_cookie(visit, NEXT, &next, Some(ATTEMPT_SECONDS)).map(|set| (SET_COOKIE, set)));
    }
    reply
}

/// Signs somebody in with a token that they pasted.
pub(crate) async fn with_token(visit: &Visit<'_>) -> Reply {
    if !matches!(visit.app.dashboard.sign_in, SignIn::Token) {
        return page::failed(visit, None, &Failure::NotFound);
    }
    match Form::read(visit.request) {
        Ok(form) => enter(visit, form.get("token").trim()).await,
        Err(failure) => page::failed(visit, None, &failure),
    }
}

/// Sends somebody to the provider.
pub(crate) async fn with_provider(visit: &Visit<'_>) -> Reply {
    let SignIn::Provider(provider) = &visit.app.dashboard.sign_in else { return page::not_found(visit) };
    let Ok(attempt) = Attempt::new() else {
        return page::failed(visit, None, &Failure::Problem(StatusCode::INTERNAL_SERVER_ERROR));
    };
    match provider.authorization(&visit.app.dashboard.connections, &attempt, &return_url(visit)).await {
        Ok(location) => {
            let mut reply = see_other(&location);
            let kept = set_cookie(visit, ATTEMPT, &attempt.kept(), Some(ATTEMPT_SECONDS));
            reply.headers.extend(kept.map(|set| (SET_COOKIE, set)));
            reply
        }
        Err(error) => refused(visit, &error),
    }
}

/// Where the provider sends people back to.
fn return_url(visit: &Visit<'_>) -> String {
    format!("{}/ui/sign-in/return", visit.api_url)
}

/// Signs somebody in who comes back from the provider.
pub(crate) async fn returned(visit: &Visit<'_>) -> Reply {
    let SignIn::Provider(provider) = &visit.app.dashboard.sign_in else { return page::not_found(visit) };
    let attempt = cookie(visit.request, ATTEMPT).and_then(Attempt::parse);
    let Some(attempt) = attempt.filter(|attempt| attempt.state == visit.query("state")) else {
        let error = "this sign-in was not begun here, or took too long: begin again";
        return show(visit, StatusCode::BAD_REQUEST, error.to_owned());
    };
    if !provider.is(visit.query("iss")) {
        return show(visit, StatusCode::BAD_REQUEST, "this answer is another issuer's: begin again".to_owned());
    }
    if !visit.query("error").is_empty() {
        let told = [visit.query("error_description"), visit.query("error")];
        let told = told.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        return refused(visit, &OidcError::Refused(told.to_owned()));
    }
    let connections = &visit.app.dashboard.connections;
    match provider.token(connections, &attempt, visit.query("code"), &return_url(visit)).await {
        Ok(token) => enter(visit, &token).await,
        Err(error) => refused(visit, &error),
    }
}

fn refused(visit: &Visit<'_>, error: &OidcError) -> Reply {
    tracing::warn!(%error, "nobody was signed in");
    let status = match error {
        OidcError::Refused(_) => StatusCode::FORBIDDEN,
        OidcError::Provider(..) => StatusCode::BAD_GATEWAY,
    };
    show(visit, status, error.to_string())
}

async fn enter(visit: &Visit<'_>, token: &str) -> Reply {
    let session = match Session::begin(visit, token).await {
        Ok(Some(session)) => session,
        Ok(None) => {
            let error = "this is no token that is good now: roster dev prints some when it starts";
            return show(visit, StatusCode::UNAUTHORIZED, error.to_owned());
        }
        Err(problem) => return page::failed(visit, None, &Failure::Problem(problem.status())),
    };
    if !session.caller.is_admin() {
        let error = format!("{} is no admin: the dashboard takes the role admin or super_admin", session.name());
        return show(visit, StatusCode::FORBIDDEN, error);
    }
    let Some(kept) = set_cookie(visit, SESSION, &session.token, None) else {
        let error = "the token is longer than the 4,096 characters of a cookie: have the issuer put less into it";
        return show(visit, StatusCode::BAD_REQUEST, error.to_owned());
    };
    let next = cookie(visit.request, NEXT).unwrap_or_default();
    let next = form_urlencoded::parse(next.as_bytes()).next().map(|(next, _)| next.into_owned()).unwrap_or_default();
    // Nothing leads from here to another site.
    let is_ours = next == visit.root
        || next.starts_with(&format!("{}?", visit.root))
        || next.starts_with(&format!("{}/", visit.root));
    let mut reply = see_other(if is_ours { &next } else { &visit.root });
    reply.headers.append(SET_COOKIE, kept);
    for name in [ATTEMPT, NEXT] {
        reply.headers.extend(set_cookie(visit, name, "", Some(0)).map(|set| (SET_COOKIE, set)));
    }
    reply
}

/// Signs somebody out.
pub(crate) fn out(visit: &Visit<'_>) -> Reply {
    let mut reply = see_other(&format!("{}/sign-in", visit.root));
    reply.headers.extend(set_cookie(visit, SESSION, "", Some(0)).map(|set| (SET_COOKIE, set)));
    reply
}
