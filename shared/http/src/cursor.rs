//! Cursors: where the next page of a listing begins, and in which revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

const VERSION: u8 = 2;
/// An id has at most 200 characters; no cursor of ours is longer.
const MAX_CHARS: usize = 1024;

/// The place after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The revision that every page of the listing is read from.
    pub revision: u64,
    /// The bundled catalogue that they are read from instead, by its digest: every bundle has revision 0.
    pub bundle: Option<String>,
    /// Since when time alone has not changed that revision: every page shows it as it was when the listing began.
    pub at: Timestamp,
    /// The last id of the page before.
    pub after: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token<'t> {
    v: u8,
    revision: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    bundle: Option<std::borrow::Cow<'t, str>>,
    #[serde(default, skip_serializing_if = "is_beginning")]
    at: Timestamp,
    #[serde(borrow)]
    after: std::borrow::Cow<'t, str>,
    #[serde(borrow)]
    view: std::borrow::Cow<'t, str>,
}

/// Whether nothing was changed by time alone.
fn is_beginning(at: &Timestamp) -> bool {
    *at == Timestamp::UNIX_EPOCH
}

impl Cursor {
    /// The cursor as clients carry it; it is good for listings with the same fingerprint of filters only.
    #[must_use]
    pub fn encode(&self, view: &str) -> String {
        let token = Token {
            v: VERSION,
            revision: self.revision,
            bundle: self.bundle.as_deref().map(Into::into),
            at: self.at,
            after: self.after.as_str().into(),
            view: view.into(),
        };
        // Strings and numbers always encode.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// What is said of a cursor that was made for other parameters.
    #[must_use]
    pub fn of_another_listing() -> Problem {
        bad_cursor("the cursor belongs to a listing with other parameters")
    }

    /// Reads a cursor of a listing with this fingerprint of filters.
    ///
    /// # Errors
    /// 400 `bad-cursor` when it is not one of ours, or was made for other filters.
    pub fn decode(text: &str, view: &str) -> Result<Self, Problem> {
        let malformed = || bad_cursor("the cursor is malformed or of another version");
        let json = Some(text).filter(|text| text.len() <= MAX_CHARS).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let json = json.ok_or_else(malformed)?;
        let token: Token<'_> = serde_json::from_slice(&json).map_err(|_| malformed())?;
        if token.v != VERSION {
            return Err(malformed());
        }
        if token.view != view {
            return Err(Self::of_another_listing());
        }
        Ok(Self {
            revision: token.revision,
            bundle: token.bundle.map(std::borrow::Cow::into_owned),
            at: token.at,
            after: token.after.into_owned(),
        })
    }
}

fn bad_cursor(reason: &str) -> Problem {
    let detail = format!("{reason}: start again without it");
    Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", "Bad cursor", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_versions_and_other_filters_are_refused() {
        let kind = |text: &str| {
            let reply = Cursor::decode(text, "v").unwrap_err().into_reply("r");
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            (body["type"].as_str().unwrap().to_owned(), body["detail"].as_str().unwrap().to_owned())
        };
        let other = Cursor { revision: 1, bundle: None, at: Timestamp::UNIX_EPOCH, after: "m".to_owned() }.encode("w");
        assert_eq!(kind(&other).0, "urn:roster:problem:bad-cursor");
        assert_eq!(kind(&other).1, "the cursor belongs to a listing with other parameters: start again without it");
        let older = URL_SAFE_NO_PAD.encode(br#"{"v":1,"revision":1,"after":"m","view":"v"}"#);
        let longer = URL_SAFE_NO_PAD.encode(br#"{"v":2,"revision":1,"after":"m","view":"v","x":0}"#);
        for text in ["", "%", "e30", &older, &longer, &"A".repeat(1_000_000)] {
            assert_eq!(kind(text).1, "the cursor is malformed or of another version: start again without it");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_encoding(
            revision: u64,
            at in 0i64..4_000_000_000,
            bundle in proptest::option::of("[0-9a-f]{40}"),
            after in "\\PC{0,100}",
            view in "[0-9a-f]{32}",
        ) {
            let at = Timestamp::from_second(at).unwrap();
            let cursor = Cursor { revision, bundle, at, after };
            prop_assert_eq!(Cursor::decode(&cursor.encode(&view), &view).ok(), Some(cursor));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Cursor::decode(&text, "v");
        }

        #[test]
        fn no_content_panics(bytes: Vec<u8>) {
            prop_assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode(bytes), "v").is_err());
        }

        #[test]
        fn a_truncated_cursor_is_refused(cut in 1usize..60) {
            let text = Cursor { revision: 12, bundle: None, at: Timestamp::UNIX_EPOCH, after: "openai/gpt-5".to_owned() }.encode("v");
            prop_assert!(Cursor::decode(&text[..text.len().saturating_sub(cut)], "v").is_err());
        }
    }
}
