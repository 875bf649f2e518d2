//! One model by its id or alias, and what to use instead of an archived one.

use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use roster_core::ModelId;
use roster_core::lifecycle::Stage;
use roster_core::view::{self, View};
use roster_http::{Caller, Problem};
use roster_store::reader::Snapshot;

/// The model that a name leads to, for this caller.
///
/// # Errors
/// 404 when there is none; 410 with its replacement when it is archived and the caller is no admin.
pub(crate) fn find<'s>(snapshot: &'s Snapshot, name: &str, caller: &Caller) -> Result<&'s View, Problem> {
    let view = any(snapshot, name)
        .ok_or_else(|| Problem::not_found(format!("no model has the id or alias \"{name}\"")).with("model_id", name))?;
    if view.stage != Stage::Archived || caller.is_admin() {
        return Ok(view);
    }
    let replacement = replacement_in_use(view, |name| any(snapshot, name));
    let detail = match replacement {
        Some(id) => format!("model {} is archived: use {id} instead", view.id),
        None => format!("model {} is archived, and no replacement of it is in use", view.id),
    };
    Err(Problem::new(StatusCode::GONE, "archived", "Model archived", detail)
        .with("model_id", view.id.as_str())
        .with("replacement_model_id", replacement.map(ModelId::as_str))
        .with_headers(replacement.into_iter().filter_map(successor).collect()))
}

/// What a reply says of the end of a model: since when it is deprecated (RFC 9745), when it stops being served
/// (RFC 8594), and what to use instead.
///
/// Nothing that is published says when a model was marked legacy. That the revision which shows it is as old as its
/// publication is true all the same: the model is deprecated at least since then. The history has the exact time.
pub(crate) fn lifecycle_headers(snapshot: &Snapshot, view: &View) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: Option<String>| {
        let value = value.and_then(|value| HeaderValue::try_from(value).ok());
        headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
    };
    let is_published = snapshot.bundle.is_none();
    set("deprecation", (view.is_legacy && is_published).then(|| format!("@{}", snapshot.published_at.as_second())));
    set("sunset", view.sunset.and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()));
    if view.is_legacy || view.sunset.is_some() {
        headers.extend(replacement_in_use(view, |name| any(snapshot, name)).and_then(successor));
    }
    headers
}

/// The link to a model that takes another one's place. Every character of an id may stand in a path as it is.
fn successor(id: &ModelId) -> Option<(HeaderName, HeaderValue)> {
    let link = HeaderValue::try_from(format!("</v1/models/{id}>; rel=\"successor-version\""));
    link.ok().map(|link| (LINK, link))
}

fn any<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s View> {
    snapshot.get(name).or_else(|| snapshot.tombstone(name))
}

/// The last model in the chain of replacements that is in use.
pub(crate) fn replacement_in_use<'v>(view: &'v View, find: impl Fn(&str) -> Option<&'v View>) -> Option<&'v ModelId> {
    let chain = view::replacements(view, find);
    chain.into_iter().rev().find(|view| view.stage != Stage::Archived).map(|view| &view.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::view_of;
    use serde_json::json;

    /// The replacement of `a` in chains that are written `a>b` for archived and `a:b` for models in use.
    fn replacement(models: &[&str]) -> Option<String> {
        let views: Vec<View> = models
            .iter()
            .map(|model| {
                let (id, to) = model.split_once(['>', ':']).unwrap();
                let to = Some(to).filter(|to| !to.is_empty());
                view_of(json!({
                    "id": id, "isArchived": model.contains('>'), "meta": {"legacyReplacementModelId": to},
                }))
            })
            .collect();
        replacement_in_use(&views[0], |id| views.iter().find(|view| view.id.as_str() == id)).map(ToString::to_string)
    }

    #[test]
    fn the_chain_is_followed_to_its_last_model_in_use() {
        assert_eq!(replacement(&["a>"]), None);
        assert_eq!(replacement(&["a>b", "b:"]).as_deref(), Some("b"));
        assert_eq!(replacement(&["a>b", "b>c", "c:"]).as_deref(), Some("c"));
        assert_eq!(replacement(&["a>b", "b:c", "c:"]).as_deref(), Some("c"));
        assert_eq!(replacement(&["a>b", "b:c", "c>"]).as_deref(), Some("b"));
        assert_eq!(replacement(&["a>b", "b>"]), None);
        assert_eq!(replacement(&["a>b"]), None);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(replacement(&["a>a"]), None);
        assert_eq!(replacement(&["a>b", "b>a"]), None);
        assert_eq!(replacement(&["a>b", "b:c", "c:b"]).as_deref(), Some("c"));
    }
}
