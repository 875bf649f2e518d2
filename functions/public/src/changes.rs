//! What a client that keeps a copy of a listing has to change in it.

use jiff::Timestamp;
use roster_core::finder::Views as _;
use roster_core::lifecycle::Stage;
use roster_core::tier::Tier;
use roster_core::view::View;
use roster_store::reader::Snapshot;
use serde::Serialize;

use crate::lookup::replacement_in_use;
use crate::page::{MAX_MODEL_BYTES, Page, cursor};
use crate::selection::{Listing, Selection};

/// What is said of a model that is gone: two ids of 200 characters, and little around them.
const MAX_GONE_BYTES: usize = 512;

/// A model that is in the listing no more.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Gone<'s> {
    id: &'s str,
    #[serde(flatten)]
    why: Why,
    replacement_model_id: Option<&'s str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// Nothing describes it any more.
    Removed(True),
    /// It is archived, or past its sunset.
    Archived(True),
    /// It does not match the filters any more.
    Unmatched(True),
}

/// The value of a member that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct True;

impl Serialize for True {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

enum Change<'s> {
    Shown(&'s View),
    Gone(Gone<'s>),
}

#[derive(Debug, Serialize)]
struct Tail<'t> {
    /// What is in the listing no more.
    gone: Vec<Gone<'t>>,
    /// How many changes there are, on all pages.
    total: usize,
    user_tier: Tier,
    /// The revision to ask from next time.
    revision: u64,
    commit: Option<&'t str>,
    next_cursor: Option<String>,
}

/// The body of a page of what changed from one snapshot to another, up to a time.
pub(crate) fn body(then: &Snapshot, now: &Snapshot, listing: &Listing<'_>, tier: Tier, time: Timestamp) -> Vec<u8> {
    let changes = changes(then, now, &listing.selection, tier, time);
    let total = changes.len();
    let (mut page, mut gone, mut last, mut bytes) = (Page::whole([]), Vec::new(), None, 0);
    for (id, change) in changes.into_iter().skip_while(|(id, _)| *id <= listing.after()) {
        bytes += match &change {
            Change::Shown(view) => view.max_len() + 1,
            Change::Gone(_) => MAX_GONE_BYTES,
        };
        if page.views.len() + gone.len() == listing.limit || last.is_some() && bytes > MAX_MODEL_BYTES {
            page.has_next = true;
            break;
        }
        match change {
            Change::Shown(view) => page.views.push(view),
            Change::Gone(model) => gone.push(model),
        }
        last = Some(id);
    }
    let next = last.filter(|_| page.has_next);
    let tail = Tail {
        gone,
        total,
        user_tier: tier,
        revision: now.revision,
        commit: now.commit.as_deref(),
        next_cursor: next.map(|last| cursor(now, last).encode(&listing.filters)),
    };
    page.render(listing.fields, tier, &tail)
}

/// The changes by id. Whoever applies them to any state of the listing since `then` has it as it is now.
fn changes<'s>(
    then: &'s Snapshot,
    now: &'s Snapshot,
    selection: &Selection<'_>,
    tier: Tier,
    time: Timestamp,
) -> Vec<(&'s str, Change<'s>)> {
    let mut changes = Vec::new();
    for id in now.ids_unlike(then) {
        let counts = |snapshot: &Snapshot| selection.archived || snapshot.tombstone(id.as_str()).is_none();
        let of = |snapshot: &'s Snapshot| {
            shown(snapshot, id.as_str()).filter(|view| counts(snapshot) && selection.takes(view))
        };
        let (before, after) = (of(then), of(now));
        // What time alone has changed since then may have been told in between, and be taken back by now.
        let has_moved = shown(then, id.as_str()).and_then(|view| view.next_change).is_some_and(|at| at <= time);
        let change = match (before, after) {
            (Some(before), Some(after)) if before.shows_same(after, tier) && !has_moved => continue,
            (_, Some(after)) => Change::Shown(after),
            (Some(_), None) => Change::Gone(gone(now, id.as_str())),
            (None, None) if has_moved => Change::Gone(gone(now, id.as_str())),
            (None, None) => continue,
        };
        changes.push((id.as_str(), change));
    }
    changes
}

/// The model with an id, live or removed.
fn shown<'s>(snapshot: &'s Snapshot, id: &str) -> Option<&'s View> {
    snapshot.position(id).map(|position| snapshot.view(position))
}

fn gone<'s>(now: &'s Snapshot, id: &'s str) -> Gone<'s> {
    let view = shown(now, id);
    let why = match view {
        Some(_) if now.tombstone(id).is_some() => Why::Removed(True),
        None => Why::Removed(True),
        Some(view) if view.stage == Stage::Archived => Why::Archived(True),
        Some(_) => Why::Unmatched(True),
    };
    let replacement = view.and_then(|view| replacement_in_use(view, |name| shown(now, name)));
    Gone { id, why, replacement_model_id: replacement.map(roster_core::ModelId::as_str) }
}
