//! The API as whoever is signed in may use it.

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_MATCH, LINK};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use roster_http::Reply;
use roster_http::client::{Call, Client, ClientError, Connections};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::guard::guarded;
use crate::write::SEGMENT;

/// A client of the API with a session's token.
pub(crate) struct Api(Client);

/// What the API did.
pub(crate) struct Done {
    /// Names a record as it is now; empty where the answer is of none.
    pub(crate) etag: String,
    pub(crate) message: String,
    pub(crate) data: Value,
}

/// Why the API did not.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The token is not good any more.
    SignedOut,
    /// The API says no.
    Refused(Box<Refused>),
    /// The API is out of reach, or answers something else than it promises.
    Unreachable,
}

/// A problem of the API.
#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) request_id: String,
    #[serde(default)]
    pub(crate) errors: Vec<Mistake>,
}

/// A mistake in what was sent, and its place.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mistake {
    #[serde(default)]
    pub(crate) pointer: String,
    #[serde(default)]
    pub(crate) detail: String,
}

/// A change that is asked for.
pub(crate) struct Change<'c> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'c str, &'c str)>,
    pub(crate) body: Value,
    /// What the record must be; empty for anything.
    pub(crate) etag: &'c str,
    /// Under which it is done once; empty for none.
    pub(crate) key: &'c str,
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        tracing::error!(%error, "the API does not answer");
        Self::Unreachable
    }
}

/// An id as one segment of a path.
pub(crate) fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

impl Api {
    /// A client.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`] for an address that is none.
    pub(crate) fn new(connections: &Connections, url: &str, token: &str) -> Result<Self, ApiError> {
        Ok(Self(Client::over(connections, url, token)?))
    }

    /// What a route answers, without the envelope of admins' answers.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ApiError> {
        let call = Call { method: Method::GET, path, query, headers: HeaderMap::new(), body: Bytes::new() };
        Ok(self.read(call).await?.1)
    }

    /// The same, with the tag of the answer.
    pub(crate) async fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<(String, T), ApiError> {
        let call = Call { method: Method::GET, path, query: &[], headers: HeaderMap::new(), body: Bytes::new() };
        self.read(call).await
    }

    async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<(String, T), ApiError> {
        let path = call.path.to_owned();
        let done = self.call(call).await?;
        let read = serde_json::from_value(done.data);
        let value = read.map_err(|error| {
            tracing::error!(%error, path, "the API answers something that the dashboard cannot read");
            ApiError::Unreachable
        })?;
        Ok((done.etag, value))
    }

    /// Asks for a change.
    pub(crate) async fn change(&self, change: &Change<'_>) -> Result<Done, ApiError> {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let more = [(IF_MATCH, change.etag), (HeaderName::from_static("idempotency-key"), change.key)];
        let more = more.into_iter().filter(|(_, value)| !value.is_empty());
        headers.extend(more.filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))));
        let body = if change.body.is_null() { Bytes::new() } else { change.body.to_string().into() };
        self.call(Call { method: change.method.clone(), path: &change.path, query: &change.query, headers, body }).await
    }

    /// Sends a document as it is.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Done, ApiError> {
        let answer = self.0.call(call).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !answer.status.is_success() {
            return Err(refused(answer.status, body));
        }
        let etag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        let message = body["message"].as_str().unwrap_or_default().to_owned();
        let data = match body {
            Value::Object(mut members) if members.contains_key("data") && members.contains_key("status") => {
                members.remove("data").unwrap_or_default()
            }
            whole => whole,
        };
        Ok(Done { etag, message, data })
    }

    /// A file of the API, handed on as it is.
    pub(crate) async fn file(&self, path: &str, query: &[(String, String)]) -> Result<Reply, ApiError> {
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let call = Call { method: Method::GET, path, query: &query, headers: HeaderMap::new(), body: Bytes::new() };
        let answer = self.0.call(call).await?;
        if !answer.status.is_success() {
            return Err(refused(answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()));
        }
        let mut reply = guarded(Reply { body: answer.body, ..Reply::empty(StatusCode::OK) });
        for name in [CONTENT_TYPE, CONTENT_DISPOSITION, LINK] {
            reply.headers.extend(answer.headers.get(&name).map(|value| (name, value.clone())));
        }
        Ok(reply)
    }
}

fn refused(status: StatusCode, body: Value) -> ApiError {
    if status == StatusCode::UNAUTHORIZED {
        return ApiError::SignedOut;
    }
    let read: Result<Refused, _> = serde_json::from_value(body);
    match read {
        Ok(refused) => ApiError::Refused(Box::new(Refused { status: status.as_u16(), ..refused })),
        Err(_) => ApiError::Unreachable,
    }
}
