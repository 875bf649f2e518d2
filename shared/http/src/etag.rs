//! Conditional requests (RFC 9110, section 13).

use http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};

use roster_core::tier::Tier;
use roster_core::view::View;

use crate::encoding::Coding;
use crate::fingerprint::fingerprint;
use crate::reply::Reply;
use crate::request::Request;

/// A strong entity tag, known before the body is made.
///
/// A body that is sent compressed has the tag with the coding's name (RFC 9110, section 8.8.3.3). Whichever of them
/// a client brings back, it has the same representation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        Self::of(["model", view.fingerprint(), view.access(tier).name()])
    }

    /// The 304 that the request gets when its client has this representation already.
    #[must_use]
    pub fn not_modified(&self, request: &Request) -> Option<Reply> {
        let known = self.known_to(request)?;
        let reply = Reply::empty(StatusCode::NOT_MODIFIED).with_etag(self);
        let encoded = known.and_then(|coding| encoded(reply.headers.get(ETAG)?, coding));
        Some(match encoded {
            Some(tag) => reply.with_header(ETAG, tag),
            None => reply,
        })
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
            let is_one =
                |(is_weak, opaque): (bool, &str)| !is_weak && tags.iter().any(|tag| tag.coding_of(opaque).is_some());
            field.trim() == "*" || entity_tags(field).any(is_one)
        })
    }

    /// The coding of the representation that the client has; the outer `None` when it has another or none.
    fn known_to(&self, request: &Request) -> Option<Option<Coding>> {
        let mut fields = request.headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|field| field.to_str().ok());
        // The comparison is the weak one: a gateway that compresses may have marked the tag as weak.
        fields.find_map(|field| {
            let mut tags = entity_tags(field);
            if field.trim() == "*" { Some(None) } else { tags.find_map(|(_, opaque)| self.coding_of(opaque)) }
        })
    }

    /// Which coding a tag names of this representation; the outer `None` when it names another one.
    fn coding_of(&self, opaque: &str) -> Option<Option<Coding>> {
        let suffix = opaque.strip_prefix(self.0.as_str())?;
        let named = |coding: &Coding| suffix.strip_prefix('-') == Some(coding.name());
        if suffix.is_empty() { Some(None) } else { Coding::ALL.into_iter().find(named).map(Some) }
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

/// A tag for a compressed body.
pub(crate) fn encoded(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let opaque = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::try_from(format!("{opaque}-{}\"", coding.name())).ok()
}

/// The tags of a list, each with whether it is weak; what follows the first malformed one is left out.
fn entity_tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let tag = rest.trim_start_matches([' ', '\t', ',']);
        let weak = tag.strip_prefix("W/");
        let (opaque, after) = weak.unwrap_or(tag).strip_prefix('"')?.split_once('"')?;
        rest = after;
        Some((weak.is_some(), opaque))
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
        assert!(is_304(&etag, &[&format!("\"{}-gzip\"", etag.0)]) && !is_304(&etag, &[&format!("\"{}-br\"", etag.0)]));
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
        assert!(matches(Some(&format!("\"{}-zstd\"", tag.0))));
        for no in [other.quoted(), format!("W/{}", tag.quoted()), tag.0.clone(), String::new()] {
            assert!(!matches(Some(&no)), "{no}");
        }
    }

    #[test]
    fn a_304_names_the_representation_that_its_client_has() {
        let etag = ETag::of(["12"]);
        let mut request = get("/");
        let tag = HeaderValue::try_from(format!("\"{}-zstd\"", etag.0)).unwrap();
        request.headers.insert(IF_NONE_MATCH, tag.clone());
        assert_eq!(etag.not_modified(&request).unwrap().headers[ETAG], tag);
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
