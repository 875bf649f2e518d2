//! Conditional requests (RFC 9110, section 13).

use http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};

use roster_core::tier::Tier;
use roster_core::view::View;

use crate::fingerprint::fingerprint;
use crate::reply::Reply;
use crate::request::Request;

/// A strong entity tag, known before the body is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a representation that depends on these parts and nothing else.
    #[must_use]
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        Self(fingerprint(parts))
    }

    /// The tag of one model as callers of a tier see it: the same in every revision that does not change it.
    #[must_use]
    pub fn of_model(view: &View, tier: Tier) -> Self {
        Self::of(["model", &view.fingerprint, view.access(tier).name()])
    }

    /// The 304 that the request gets when its client has this representation already.
    #[must_use]
    pub fn not_modified(&self, request: &Request) -> Option<Reply> {
        self.is_known_to(request).then(|| Reply::empty(StatusCode::NOT_MODIFIED).with_etag(self))
    }

    /// The tag as it stands in a header, quotes included.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// Whether one of these tags is what a request's `If-Match` asks for; so it is when the request has none.
    ///
    /// The comparison is the strong one (RFC 9110, section 13.1.1): a tag marked as weak never matches.
    #[must_use]
    pub fn any_matches(tags: &[Self], request: &Request) -> bool {
        let mut fields = request.headers.get_all(IF_MATCH).into_iter().peekable();
        if fields.peek().is_none() {
            return true;
        }
        fields.filter_map(|field| field.to_str().ok()).any(|field| {
            field.trim() == "*"
                || tags.iter().any(|tag| {
                    let quoted = tag.quoted();
                    field.match_indices(&quoted).any(|(at, _)| !field[..at].ends_with("W/"))
                })
        })
    }

    fn is_known_to(&self, request: &Request) -> bool {
        let fields = request.headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|field| field.to_str().ok());
        // The comparison is the weak one: a gateway that compresses may have marked the tag as weak.
        fields.into_iter().any(|field| field.trim() == "*" || opaque_tags(field).any(|tag| tag == self.0))
    }

    fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.quoted()).ok()
    }
}

impl Reply {
    /// The reply as one that may be kept, and must be checked before every use. It depends on who asks.
    #[must_use]
    pub fn with_etag(mut self, etag: &ETag) -> Self {
        self.headers.extend(etag.to_header().map(|value| (ETAG, value)));
        self.with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            .with_header(VARY, HeaderValue::from_static("Authorization, Accept-Encoding"))
    }
}

/// The tags of a list, without quotes and weakness; what follows the first malformed one is left out.
fn opaque_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let tag = rest.trim_start_matches([' ', '\t', ',']);
        let (opaque, after) = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.split_once('"')?;
        rest = after;
        Some(opaque)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::get;

    fn is_304(etag: &ETag, fields: &[&str]) -> bool {
        let mut request = get("/");
        for field in fields {
            request.headers.append(IF_NONE_MATCH, HeaderValue::from_str(field).unwrap());
        }
        etag.not_modified(&request).is_some()
    }

    #[test]
    fn if_none_match() {
        let etag = ETag::of(["12", "free"]);
        let quoted = format!("\"{}\"", etag.0);
        assert!(is_304(&etag, &[&quoted]));
        assert!(is_304(&etag, &[&format!("W/{quoted}")]));
        assert!(is_304(&etag, &[&format!("\"a, b\" , {quoted}")]));
        assert!(is_304(&etag, &["\"a\"", &quoted]));
        assert!(is_304(&etag, &["*"]));
        for other in ["\"a\"", "", "\"", "W/", &etag.0, &format!("x{quoted}"), &format!("w/{quoted}")] {
            assert!(!is_304(&etag, &[other]), "{other}");
        }
        assert!(!is_304(&etag, &[]));
        assert_ne!(etag, ETag::of(["13", "free"]));
    }

    #[test]
    fn if_match() {
        let (tag, other) = (ETag::of(["12"]), ETag::of(["13"]));
        let matches = |field: Option<&str>| {
            let mut request = get("/");
            request.headers.extend(field.map(|field| (IF_MATCH, HeaderValue::from_str(field).unwrap())));
            ETag::any_matches(std::slice::from_ref(&tag), &request)
        };
        assert!(matches(None) && matches(Some("*")) && matches(Some(&tag.quoted())));
        assert!(matches(Some(&format!("{}, {}", other.quoted(), tag.quoted()))));
        for no in [other.quoted(), format!("W/{}", tag.quoted()), tag.0.clone(), String::new()] {
            assert!(!matches(Some(&no)), "{no}");
        }
    }

    #[test]
    fn a_304_has_the_headers_of_the_200_and_no_body() {
        let etag = ETag::of(["12"]);
        let mut request = get("/");
        request.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        let reply = etag.not_modified(&request).unwrap();
        assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
        assert!(reply.body.is_empty());
        assert_eq!(reply.headers, Reply::empty(StatusCode::OK).with_etag(&etag).headers);
        assert_eq!(reply.headers[VARY], "Authorization, Accept-Encoding");
    }
}
