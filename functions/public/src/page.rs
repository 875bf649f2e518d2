//! One page of a listing, put together from bytes that were rendered with the revision.

use roster_core::tier::Tier;
use roster_core::view::{Fields, View};
use roster_http::{Cursor, MAX_JSON_BYTES};
use roster_store::reader::Snapshot;
use serde::Serialize;

use crate::facets::{self, Facets};
use crate::selection::{Listing, Matching};

/// What the models of a page may take, with room for what stands around them.
pub(crate) const MAX_MODEL_BYTES: usize = MAX_JSON_BYTES - 4096;

/// The models of a page.
#[derive(Debug)]
pub(crate) struct Page<'s> {
    /// The models, in the listing's order.
    pub(crate) views: Vec<&'s View>,
    /// Whether there are more.
    pub(crate) has_next: bool,
}

/// What a page says after its models.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub(crate) struct Tail<'t> {
    /// How many models match, on all pages.
    total: usize,
    user_tier: Tier,
    revision: u64,
    commit: Option<&'t str>,
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facets: Option<Facets<'t>>,
}

/// The body of a page.
pub(crate) fn body(snapshot: &Snapshot, listing: &Listing<'_>, tier: Tier) -> Vec<u8> {
    let matching = listing.matching(snapshot);
    let page = Page::of_matching(&matching, listing);
    let facets =
        (!listing.facets.is_empty()).then(|| facets::count(snapshot.finder(), &matching.found, &listing.facets));
    let tail = Tail {
        total: matching.found.len(),
        user_tier: tier,
        revision: snapshot.revision,
        commit: snapshot.commit.as_deref(),
        next_cursor: page.next(snapshot).map(|cursor| cursor.encode(&listing.filters)),
        facets,
    };
    page.render(listing.fields, tier, &tail)
}

impl<'s> Page<'s> {
    /// The page that a listing asks for.
    pub(crate) fn of(snapshot: &'s Snapshot, listing: &Listing<'_>) -> Self {
        Self::of_matching(&listing.matching(snapshot), listing)
    }

    fn of_matching(matching: &Matching<'s>, listing: &Listing<'_>) -> Self {
        Self::cut(matching.after(listing), listing.limit)
    }

    /// A page with all that there is.
    pub(crate) fn whole(views: impl IntoIterator<Item = &'s View>) -> Self {
        Self { views: views.into_iter().collect(), has_next: false }
    }

    /// The first models of a list: as many as the limit, or fewer where they are too large for one answer.
    pub(crate) fn cut(matching: impl Iterator<Item = &'s View>, limit: usize) -> Self {
        let mut views = Vec::with_capacity(limit);
        let mut bytes = 0;
        for view in matching {
            bytes += view.max_len() + 1;
            if views.len() == limit || !views.is_empty() && bytes > MAX_MODEL_BYTES {
                return Self { views, has_next: true };
            }
            views.push(view);
        }
        Self { views, has_next: false }
    }

    /// Where the next page begins, if there is one.
    fn next(&self, snapshot: &Snapshot) -> Option<Cursor> {
        self.last_before_next().map(|after| cursor(snapshot, after))
    }

    /// The last id, if there is a next page.
    pub(crate) fn last_before_next(&self) -> Option<&'s str> {
        self.views.last().filter(|_| self.has_next).map(|view| view.id.as_str())
    }

    /// The page, and after its models what the tail says.
    pub(crate) fn render(&self, fields: Option<Fields>, tier: Tier, tail: &impl Serialize) -> Vec<u8> {
        const HEAD: &[u8] = b"{\"models\":[";
        // Strings and numbers always encode.
        let after_models = serde_json::to_vec(tail).unwrap_or_default();
        let models: usize = self.views.iter().map(|view| view.max_len() + 1).sum();
        let mut body = Vec::with_capacity(HEAD.len() + models + 1 + after_models.len());
        body.extend_from_slice(HEAD);
        for (at, view) in self.views.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            match fields {
                None => view.write(tier, &mut body),
                Some(fields) => view.write_fields(fields, tier, &mut body),
            }
        }
        body.extend_from_slice(b"],");
        // The tail is an object of its own: without its brace it goes on with this one.
        body.extend_from_slice(after_models.strip_prefix(b"{").unwrap_or_default());
        body
    }
}

/// The place after a model, in a listing of a snapshot.
pub(crate) fn cursor(snapshot: &Snapshot, after: &str) -> Cursor {
    let bundle = snapshot.bundle.as_deref().map(str::to_owned);
    Cursor { revision: snapshot.revision, bundle, at: snapshot.epoch(), after: after.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Selection;
    use crate::testing::{view, view_of};
    use serde_json::{Value, json};

    fn tail(page: &Page<'_>) -> Tail<'static> {
        let next_cursor = page.last_before_next().map(str::to_owned);
        Tail { total: 3, user_tier: Tier::Free, revision: 7, commit: Some("c0ffee"), next_cursor, facets: None }
    }

    fn render(page: &Page<'_>) -> Vec<u8> {
        page.render(None, Tier::Free, &tail(page))
    }

    fn ids<'p>(page: &Page<'p>) -> Vec<&'p str> {
        page.views.iter().map(|view| view.id.as_str()).collect()
    }

    #[test]
    fn a_page_byte_for_byte() {
        let views = ["a", "b", "c"].map(view);
        let page = Page::cut(views.iter(), 2);
        let mut models = Vec::new();
        views[0].write(Tier::Free, &mut models);
        models.push(b',');
        views[1].write(Tier::Free, &mut models);
        let expected = format!(
            r#"{{"models":[{}],"total":3,"user_tier":"free","revision":7,"commit":"c0ffee","next_cursor":"b"}}"#,
            String::from_utf8(models).unwrap()
        );
        let body = render(&page);
        assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
        assert!(serde_json::from_slice::<Value>(&body).is_ok());
    }

    #[test]
    fn a_page_without_models() {
        let page = Page::cut([].iter(), 10);
        let tail = Tail { total: 0, user_tier: Tier::Free, revision: 0, commit: None, next_cursor: None, facets: None };
        let expected = r#"{"models":[],"total":0,"user_tier":"free","revision":0,"commit":null,"next_cursor":null}"#;
        assert_eq!(page.render(None, Tier::Free, &tail), expected.as_bytes());
    }

    #[test]
    fn the_last_page_says_so() {
        let views = ["a", "b", "c"].map(view);
        assert!(Page::cut(views.iter(), 2).last_before_next().is_some());
        assert!(Page::cut(views.iter(), 3).last_before_next().is_none());
        assert!(Page::cut(views.iter(), 4).last_before_next().is_none());
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_to_answer() {
        let description = "\"".repeat(5000);
        let views: Vec<View> = (0..1000)
            .map(|n| view_of(json!({"id": format!("m{n:04}"), "meta": {"description": description}})))
            .collect();
        let page = Page::cut(views.iter(), 1000);
        assert!(page.views.len() < 1000);
        assert_eq!(ids(&page).last(), page.last_before_next().as_ref());
        let body = String::from_utf8(render(&page)).unwrap();
        assert!(body.len() <= MAX_JSON_BYTES);
        assert!(serde_json::to_string(&body).unwrap().len() <= 6 * 1024 * 1024);
    }

    #[test]
    fn a_page_costs_a_handful_of_allocations_at_any_size() {
        let views: Vec<View> = (0..5000).map(|n| view(&format!("m{n:04}"))).collect();
        let selection = Selection { legacy: Some(false), ..Selection::default() };
        let allocations = |limit: usize| {
            let counted = allocation_counter::measure(|| {
                let page = Page::cut(views.iter().filter(|view| selection.takes(view)), limit);
                assert_eq!(page.views.len(), limit);
                let body = render(&page);
                assert_eq!(body.len().min(limit), limit);
            });
            counted.count_total
        };
        // As many for a thousand models as for fifty: nothing is serialised for a model.
        assert_eq!(allocations(50), allocations(1000));
        assert!(allocations(50) <= 12, "{}", allocations(50));
    }
}
