//! Which browsers' pages may call.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};

use crate::env::Env;
use crate::reply::Reply;
use crate::request::Request;

/// The origins whose pages may read replies.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// The origins of `ALLOWED_ORIGINS`, parted by commas; `*` is every one, none is none.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        let origins = env.optional("ALLOWED_ORIGINS").unwrap_or_default().split(',').map(str::trim);
        Self { origins: origins.filter(|origin| !origin.is_empty()).filter_map(|text| text.parse().ok()).collect() }
    }

    /// The answer to a browser that asks before it sends a request; `None` for any other request.
    #[must_use]
    pub fn preflight(&self, request: &Request) -> Option<Reply> {
        let asks = request.method == Method::OPTIONS && request.headers.contains_key("access-control-request-method");
        let origin = request.headers.get(ORIGIN).filter(|_| asks)?;
        let reply = self.apply(Some(origin), Reply::empty(StatusCode::NO_CONTENT));
        if !reply.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return Some(reply);
        }
        let allowed = |value| HeaderValue::from_static(value);
        Some(
            reply
                .with_header(ACCESS_CONTROL_ALLOW_METHODS, allowed("GET, POST, PUT, PATCH, DELETE"))
                .with_header(
                    ACCESS_CONTROL_ALLOW_HEADERS,
                    allowed("Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Reason"),
                )
                .with_header(ACCESS_CONTROL_MAX_AGE, allowed("3600")),
        )
    }

    /// A reply as pages of this origin may read it.
    #[must_use]
    pub fn apply(&self, origin: Option<&HeaderValue>, mut reply: Reply) -> Reply {
        if self.origins.is_empty() {
            return reply;
        }
        let allowed = match origin {
            _ if self.origins.iter().any(|allowed| allowed == "*") => HeaderValue::from_static("*"),
            origin => {
                // Also without an origin: a cache must not hand this reply to a page of one.
                reply.headers.append(VARY, HeaderValue::from_static("Origin"));
                match origin.filter(|origin| self.origins.contains(origin)) {
                    Some(origin) => origin.clone(),
                    None => return reply,
                }
            }
        };
        let exposed = HeaderValue::from_static(
            "Content-Location, ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, \
             Warning, X-Next-Cursor, X-Roster-Source",
        );
        reply.with_header(ACCESS_CONTROL_ALLOW_ORIGIN, allowed).with_header(ACCESS_CONTROL_EXPOSE_HEADERS, exposed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::get;

    fn cors(origins: &str) -> Cors {
        Cors::from_env(&Env::from_iter([("ALLOWED_ORIGINS".to_owned(), origins.to_owned())]))
    }

    fn allowed(origins: &str, origin: Option<&'static str>) -> (Option<String>, Option<String>) {
        let reply = cors(origins).apply(origin.map(HeaderValue::from_static).as_ref(), Reply::empty(StatusCode::OK));
        let text = |name| reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text(ACCESS_CONTROL_ALLOW_ORIGIN), text(VARY))
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        let vary = Some("Origin".to_owned());
        let listed = "https://a.example, https://b.example";
        assert_eq!(allowed(listed, Some("https://b.example")), (Some("https://b.example".to_owned()), vary.clone()));
        assert_eq!(allowed(listed, Some("https://c.example")), (None, vary.clone()));
        assert_eq!(allowed(listed, None), (None, vary));
        assert_eq!(allowed("*", Some("https://c.example")), (Some("*".to_owned()), None));
        assert_eq!(allowed("", Some("https://c.example")), (None, None));
    }

    #[test]
    fn preflights() {
        let mut request = get("/v1/models");
        request.method = Method::OPTIONS;
        request.headers.insert(ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(cors("*").preflight(&request).is_none(), "an OPTIONS request that asks for nothing");
        request.headers.insert("access-control-request-method", HeaderValue::from_static("GET"));
        let reply = cors("https://a.example").preflight(&request).unwrap();
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(
            reply.headers[ACCESS_CONTROL_ALLOW_HEADERS],
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Reason"
        );
        assert_eq!(
            reply.headers[ACCESS_CONTROL_EXPOSE_HEADERS],
            "Content-Location, ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, \
             Warning, X-Next-Cursor, X-Roster-Source"
        );
        let refused = cors("https://b.example").preflight(&request).unwrap();
        assert!(!refused.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    }
}
