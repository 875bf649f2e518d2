//! Compressed replies (RFC 9110, sections 8.4 and 12.5.3), for every function.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::etag;
use crate::problem::Problem;
use crate::reply::Reply;

/// A smaller body gains nothing worth the work.
const MIN_BYTES: usize = 1024;
/// Both make a fifth of a page of models, in a few milliseconds for the largest.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

/// A coding that we write, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn encode(self, body: &[u8]) -> std::io::Result<Bytes> {
        Ok(match self {
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL)?.into(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
                encoder.write_all(body)?;
                encoder.finish()?.into()
            }
        })
    }
}

/// What a body was compressed to before, where it is kept and answered again.
#[derive(Clone, Debug, Default)]
pub struct Encodings(Arc<[OnceLock<Bytes>; Coding::ALL.len()]>);

/// Which codings a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Accepted {
    best: Option<Coding>,
    /// Whether it takes the body as it is.
    identity: bool,
}

/// The reply as its client takes it.
pub(crate) fn apply(method: &Method, request: &HeaderMap, mut reply: Reply) -> Result<Reply, Problem> {
    let is_text = |value: &HeaderValue| value.to_str().is_ok_and(|kind| kind.contains("json") || kind.contains("text"));
    let is_encodable = reply.headers.get(CONTENT_TYPE).is_some_and(is_text);
    if reply.body.is_empty() || !is_encodable || reply.headers.contains_key(CONTENT_ENCODING) {
        return Ok(reply);
    }
    let names_it = |value: &HeaderValue| value.to_str().is_ok_and(|names| names.contains("Accept-Encoding"));
    if !reply.headers.get_all(VARY).iter().any(names_it) {
        reply.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    let accepted = accepted(request);
    let is_worth_it = reply.body.len() >= MIN_BYTES || !accepted.identity;
    match accepted.best.filter(|_| is_worth_it) {
        Some(coding) => Ok(encoded(reply, coding)),
        // A change that was made is told, whatever its client takes.
        None if !accepted.identity && (method == Method::GET || method == Method::HEAD) => Err(not_acceptable()),
        None => Ok(reply),
    }
}

fn encoded(mut reply: Reply, coding: Coding) -> Reply {
    let kept = reply.encodings.0.get(coding as usize);
    let body = match kept.and_then(OnceLock::get) {
        Some(body) => body.clone(),
        None => match coding.encode(&reply.body) {
            Ok(body) => kept.map_or_else(|| body.clone(), |kept| kept.get_or_init(|| body.clone()).clone()),
            Err(error) => {
                tracing::error!(%error, "a reply could not be compressed");
                return reply;
            }
        },
    };
    reply.body = body;
    if let Some(tag) = reply.headers.get(ETAG).and_then(|tag| etag::encoded(tag, coding)) {
        reply.headers.insert(ETAG, tag);
    }
    reply.with_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name()))
}

fn accepted(request: &HeaderMap) -> Accepted {
    let fields = request.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    let listed: Vec<(&str, u16)> = fields.flat_map(|field| field.split(',')).filter_map(weighed).collect();
    let weight =
        |name: &str| listed.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
    let any = weight("*");
    let identity = weight("identity").or(any.filter(|any| *any == 0));
    // The first of those with the largest weight; what is taken as it is only where that was asked for.
    let mut best: Option<(Coding, u16)> = None;
    for coding in Coding::ALL {
        let weight = weight(coding.name()).or(any).unwrap_or(0);
        if weight > best.map_or(0, |(_, best)| best) && weight >= identity.unwrap_or(0) {
            best = Some((coding, weight));
        }
    }
    Accepted { best: best.map(|(coding, _)| coding), identity: identity != Some(0) }
}

/// A coding with its weight in thousandths; `None` for what is malformed.
fn weighed(item: &str) -> Option<(&str, u16)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    match parts.next() {
        None => Some((name, 1000)),
        Some(parameter) => {
            let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
            let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if fraction.len() > 3 || !is_digits(fraction) || !matches!(whole, "0" | "1") {
                return None;
            }
            let thousandths: u16 = format!("{whole}{fraction:0<3}").parse().ok()?;
            (thousandths <= 1000).then_some((name, thousandths))
        }
    }
}

fn not_acceptable() -> Problem {
    let detail = "Accept-Encoding takes no coding that is written here: allow gzip, zstd or identity";
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not acceptable", detail)
        .with_header(VARY, HeaderValue::from_static("Accept-Encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn headers(field: Option<&str>) -> HeaderMap {
        field.map(|field| (ACCEPT_ENCODING, HeaderValue::from_str(field).unwrap())).into_iter().collect()
    }

    #[test]
    fn the_best_coding_that_is_taken() {
        use Coding::{Gzip, Zstd};
        for (field, best, identity) in [
            (None, None, true),
            (Some(""), None, true),
            (Some("gzip"), Some(Gzip), true),
            (Some("gzip, deflate, br, zstd"), Some(Zstd), true),
            (Some("GZIP;q=0.5, zstd; q=0.4"), Some(Gzip), true),
            (Some("*"), Some(Zstd), true),
            (Some("*;q=0"), None, false),
            (Some("*;q=0, gzip"), Some(Gzip), false),
            (Some("gzip;q=0"), None, true),
            (Some("identity;q=0"), None, false),
            (Some("identity;q=0, *"), Some(Zstd), false),
            (Some("identity, gzip;q=0.9"), None, true),
            (Some("identity;q=0.5, gzip;q=0.9"), Some(Gzip), true),
            (Some("gzip;q=2, zstd;q=0.1234, br"), None, true),
        ] {
            assert_eq!(accepted(&headers(field)), Accepted { best, identity }, "{field:?}");
        }
    }

    fn answer(method: Method, field: Option<&str>, bytes: usize) -> Result<Reply, Problem> {
        let reply = Reply::json(StatusCode::OK, vec![b'x'; bytes]).with_header(ETAG, HeaderValue::from_static("\"t\""));
        apply(&method, &headers(field), reply)
    }

    #[test]
    fn each_encoding_has_a_tag_of_its_own() {
        for (field, tag) in [(None, "\"t\""), (Some("gzip"), "\"t-gzip\""), (Some("zstd"), "\"t-zstd\"")] {
            let reply = answer(Method::GET, field, 5000).unwrap();
            assert_eq!(reply.headers[ETAG], tag);
            assert_eq!(reply.headers[VARY], "Accept-Encoding");
            assert_eq!(reply.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap()), field);
            let mut body = Vec::new();
            match field {
                None => body.extend_from_slice(&reply.body),
                Some("gzip") => {
                    flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut body).map(drop).unwrap();
                }
                Some(_) => body = zstd::bulk::decompress(&reply.body, 5000).unwrap(),
            }
            assert_eq!(body, vec![b'x'; 5000]);
        }
    }

    #[test]
    fn small_bodies_go_as_they_are_where_they_may() {
        assert!(!answer(Method::GET, Some("gzip"), 100).unwrap().headers.contains_key(CONTENT_ENCODING));
        let forced = answer(Method::GET, Some("gzip, identity;q=0"), 100).unwrap();
        assert_eq!(forced.headers[CONTENT_ENCODING], "gzip");
        assert_eq!(answer(Method::GET, Some("identity;q=0"), 100).unwrap_err().status(), StatusCode::NOT_ACCEPTABLE);
        assert!(answer(Method::POST, Some("identity;q=0"), 100).is_ok());
    }

    #[test]
    fn what_is_kept_is_compressed_once() {
        let kept = Encodings::default();
        let reply = || Reply { encodings: kept.clone(), ..Reply::json(StatusCode::OK, vec![b'x'; 5000]) };
        let [one, other] = [(); 2].map(|()| apply(&Method::GET, &headers(Some("zstd")), reply()).unwrap().body);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }
}
