//! `GET /ui`, `GET` and `POST /ui/{path+}`: the pages for admins and ops.
//!
//! The dashboard is a client of the API: each page asks it with the token of whoever is signed in, so that no rule, no
//! role and no limit is decided here a second time. It reads and writes no table, and is granted none.

mod act;
mod api;
mod assets;
mod audit;
mod catalogue;
mod chart;
mod edit;
mod form;
mod guard;
mod import;
mod model;
mod oidc;
mod operations;
mod outcome;
mod page;
mod plan;
mod session;
mod show;
mod sign_in;

use http::{Method, StatusCode};
use roster_http::client::Connections;
use roster_http::env::EnvError;
use roster_http::{Env, Problem, Reply, Request};

use crate::App;
use api::{Api, ApiError};
use guard::guarded;
use oidc::Provider;
use page::{Failure, Page};
use session::Session;

/// What the dashboard keeps between requests.
pub(crate) struct Dashboard {
    connections: Connections,
    sign_in: SignIn,
}

/// How people sign in.
enum SignIn {
    /// With a token that they paste: where tokens are for development.
    Token,
    /// With the issuer of the tokens.
    Provider(Provider),
}

impl Dashboard {
    /// A dashboard that signs people in as the environment says: with the issuer once `OIDC_CLIENT_ID` is set, else with
    /// a pasted token.
    ///
    /// # Errors
    /// [`EnvError`] when a variable cannot be used.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let sign_in = Provider::from_env(env)?.map_or(SignIn::Token, SignIn::Provider);
        Ok(Self { connections: Connections::default(), sign_in })
    }
}

/// A request for a page.
pub(crate) struct Visit<'v> {
    app: &'v App,
    request: &'v Request,
    /// Where the API is.
    api_url: &'v str,
    /// The path that the pages are below: `/prod/ui`, say.
    root: String,
}

impl Visit<'_> {
    /// The scheme and the host.
    fn origin(&self) -> &str {
        let host = self.api_url.find("://").map_or(0, |at| at + 3);
        let end = self.api_url[host..].find('/').map_or(self.api_url.len(), |at| host + at);
        &self.api_url[..end]
    }

    /// The page's own address, with its query.
    fn url(&self) -> String {
        let path = self.request.path_parameter("path");
        let slash = if path.is_empty() { "" } else { "/" };
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.request.query).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{slash}{path}{mark}{query}", self.root)
    }

    fn query(&self, name: &str) -> &str {
        self.request.query.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
    }

    fn queries(&self, name: &str) -> Vec<&str> {
        self.request.query.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// A visit by somebody who is signed in.
pub(crate) struct Signed<'v> {
    visit: Visit<'v>,
    session: Session,
    api: Api,
}

impl Signed<'_> {
    /// What stands around a page.
    fn page(&self, title: impl Into<String>, section: &'static str) -> Page {
        Page::new(&self.visit, title.into(), section, Some(&self.session))
    }
}

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    let Some(api_url) = request.api_url.clone() else {
        tracing::error!("the gateway does not say where it is");
        return Err(Problem::internal());
    };
    let prefix = &api_url[Visit { app, request: &request, api_url: &api_url, root: String::new() }.origin().len()..];
    let visit = Visit { app, request: &request, api_url: &api_url, root: format!("{prefix}/ui") };
    let path = request.path_parameter("path");
    if let Some(name) = path.strip_prefix("assets/") {
        return Ok(assets::reply(name).unwrap_or_else(|| page::not_found(&visit)));
    }
    let is_write = request.method == Method::POST;
    if is_write && !session::is_from_here(&visit) {
        return Ok(page::failed(&visit, None, &Failure::Foreign));
    }
    match (is_write, path) {
        (false, "sign-in") => return Ok(sign_in::page(&visit)),
        (true, "sign-in") => return Ok(sign_in::with_token(&visit).await),
        (false, "sign-in/provider") => return Ok(sign_in::with_provider(&visit).await),
        (false, "sign-in/return") => return Ok(sign_in::returned(&visit).await),
        _ => {}
    }
    let session = match Session::of(&visit).await {
        Ok(Some(session)) => session,
        Ok(None) => return Ok(sign_in::first(&visit)),
        Err(problem) => return Ok(page::failed(&visit, None, &Failure::Problem(problem.status()))),
    };
    let api = match Api::new(&app.dashboard.connections, &api_url, &session.token) {
        Ok(api) => api,
        Err(error) => return Ok(page::failed(&visit, Some(&session), &error.into())),
    };
    let signed = Signed { visit, session, api };
    let reply = if is_write { write(&signed, path).await } else { read(&signed, path).await };
    Ok(reply.unwrap_or_else(|failure| match failure {
        Failure::Api(ApiError::SignedOut) => sign_in::first(&signed.visit),
        failure => page::failed(&signed.visit, Some(&signed.session), &failure),
    }))
}

async fn read(signed: &Signed<'_>, path: &str) -> Result<Reply, Failure> {
    match path {
        "" => catalogue::page(signed).await,
        "model" => model::page(signed).await,
        "edit" => edit::page(signed).await,
        "act" => act::page(signed).await,
        "operations" => operations::page(signed).await,
        "audit" => audit::page(signed).await,
        "import" => Ok(import::page(signed)),
        "export" => Ok(signed.api.file("/admin/models/export", &signed.visit.request.query).await?),
        "audit.csv" => audit::file(signed).await,
        _ => Err(Failure::NotFound),
    }
}

async fn write(signed: &Signed<'_>, path: &str) -> Result<Reply, Failure> {
    let form = form::Form::read(signed.visit.request)?;
    if form.get("csrf") != signed.session.csrf {
        return Err(Failure::Foreign);
    }
    match path {
        "sign-out" => Ok(sign_in::out(&signed.visit)),
        "edit" => edit::submit(signed, &form).await,
        "act" => act::submit(signed, &form).await,
        "import" => import::submit(signed, &form).await,
        _ => Err(Failure::NotFound),
    }
}

/// A page that was moved to.
fn see_other(location: &str) -> Reply {
    let location = http::HeaderValue::try_from(location).unwrap_or(http::HeaderValue::from_static("/"));
    guarded(Reply::empty(StatusCode::SEE_OTHER)).with_header(http::header::LOCATION, location)
}
