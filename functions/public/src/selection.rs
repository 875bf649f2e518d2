//! Which models a listing asks for, and in which order.

use std::borrow::Cow;

use jiff::Timestamp;
use roster_core::Price;
use roster_core::finder::{Bits, Finder, Phrase, Ranks, Views as _};
use roster_core::lifecycle::Stage;
use roster_core::meta::Capability;
use roster_core::tier::{AccessStatus, Tier};
use roster_core::view::{Fields, SortField, SortValue, View};
use roster_http::fingerprint::fingerprint;
use roster_http::{Cursor, Problem, Query, Request};
use roster_store::AsOf;
use roster_store::reader::Snapshot;
use serde::Serialize;

use crate::facets::Facet;

const DEFAULT_LIMIT: usize = 100;
pub(crate) const MAX_LIMIT: usize = 1000;

/// What a model must be like. The default takes every model that is not archived.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Selection<'q> {
    /// Who serves it.
    pub(crate) provider: Option<&'q str>,
    /// What it can do, all of it; sorted.
    pub(crate) capabilities: Vec<Capability>,
    /// Who may use it.
    pub(crate) tier: Option<Tier>,
    /// Whether it can be used now.
    pub(crate) available: Option<bool>,
    /// Whether it is marked legacy.
    pub(crate) legacy: Option<bool>,
    /// The least context length.
    pub(crate) min_context: Option<u64>,
    /// The highest input cost.
    pub(crate) max_input_cost: Option<Price>,
    /// The highest output cost.
    pub(crate) max_output_cost: Option<Price>,
    /// What its id, aliases, names and description are searched for.
    pub(crate) q: Option<Phrase>,
    /// Whether archived and removed models count too.
    pub(crate) archived: bool,
}

/// An order by a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sort {
    pub(crate) field: SortField,
    pub(crate) is_descending: bool,
}

/// A request for one page of a listing.
#[derive(Debug)]
pub(crate) struct Listing<'q> {
    /// Which models.
    pub(crate) selection: Selection<'q>,
    /// In which order; without one the best finds come first, or else models are by id.
    pub(crate) sort: Option<Sort>,
    /// What is told of each; without them all of it.
    pub(crate) fields: Option<Fields>,
    /// What is counted.
    pub(crate) facets: Vec<Facet>,
    /// How many on a page.
    pub(crate) limit: usize,
    /// Where the page begins; absent for the first one.
    pub(crate) cursor: Option<Cursor>,
    /// The point in the past that is shown.
    pub(crate) as_of: Option<AsOf>,
    /// The point in the past since which only changes are asked for.
    pub(crate) changed_since: Option<AsOf>,
    /// The fingerprint of selection and order: equal for equal ones, however they were written.
    pub(crate) filters: String,
}

/// The models of a snapshot that a listing asks for.
#[derive(Debug)]
pub(crate) struct Matching<'s> {
    snapshot: &'s Snapshot,
    /// Their positions.
    pub(crate) found: Cow<'s, Bits>,
    ranks: Option<Ranks>,
}

impl<'q> Listing<'q> {
    /// Reads a request's query.
    ///
    /// # Errors
    /// 400 with every parameter that cannot be used, or 403 when one is not for this caller.
    pub(crate) fn read(request: &'q Request) -> Result<Self, Problem> {
        let mut query = Query::of(request);
        let mut selection = Selection {
            provider: query.text("provider"),
            capabilities: query.many("capability", capability),
            tier: query.one("tier", str::parse),
            available: query.flag("available"),
            legacy: query.flag("legacy"),
            q: query.one("q", Phrase::parse),
            min_context: query.one("min_context", tokens),
            max_input_cost: query.one("max_input_cost", str::parse),
            max_output_cost: query.one("max_output_cost", str::parse),
            archived: query.flag("includeArchived").unwrap_or(false),
        };
        let sort = query.one("sort", Sort::parse);
        let fields = query.one("fields", Fields::parse);
        let facets = query.one("facets", Facet::parse_list).unwrap_or_default();
        let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let cursor = query.text("cursor");
        let changed_since = query.one("changed_since", moment);
        let as_of = query.one("as_of", moment);
        query.finish()?;
        if selection.archived && !request.caller.is_admin() {
            return Err(Problem::forbidden("includeArchived is for admins"));
        }
        if changed_since.is_some() {
            let others = [
                ("q", selection.q.is_some()),
                ("sort", sort.is_some()),
                ("facets", !facets.is_empty()),
                ("as_of", as_of.is_some()),
            ];
            if let Some((name, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
                let detail = format!("{name} does not go with changed_since: changes are by id, up to now");
                return Err(Problem::bad_parameter(name, detail));
            }
        }
        selection.capabilities.sort_unstable();
        selection.capabilities.dedup();
        // Names, numbers and flags always encode.
        let text = serde_json::to_string(&(&selection, sort)).unwrap_or_default();
        let filters = match &changed_since {
            None => fingerprint([text.as_str()]),
            Some(since) => fingerprint([text.as_str(), &format!("{since:?}")]),
        };
        let cursor = cursor.map(|text| Cursor::decode(text, &filters)).transpose()?;
        Ok(Self { selection, sort, fields, facets, limit, cursor, as_of, changed_since, filters })
    }

    /// Whether its pages are by id.
    pub(crate) fn is_by_id(&self) -> bool {
        self.sort.is_none() && self.selection.q.is_none()
    }

    /// The last id of the page before; empty for the first page.
    pub(crate) fn after(&self) -> &str {
        self.cursor.as_ref().map_or("", |cursor| &cursor.after)
    }

    /// What the page depends on besides the snapshot and the caller's tier.
    pub(crate) fn key(&self) -> String {
        format!("{} {} {} {:?} {:?}", self.filters, self.limit, self.after(), self.fields, self.facets)
    }

    /// The models of a snapshot that it asks for.
    pub(crate) fn matching<'s>(&self, snapshot: &'s Snapshot) -> Matching<'s> {
        let finder = snapshot.finder();
        let ranks = self.selection.q.as_ref().map(|phrase| finder.search(snapshot, phrase));
        let mut found = self.selection.found(snapshot, finder);
        if let Some(ranks) = &ranks {
            found.to_mut().keep(&ranks.found);
        }
        Matching { snapshot, found, ranks }
    }
}

impl Sort {
    fn parse(text: &str) -> Result<Self, String> {
        let (is_descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        let field = SortField::ALL.into_iter().find(|field| field.name() == name);
        let names = || SortField::ALL.map(SortField::name).join(", ");
        let unknown =
            || format!("\"{name}\" has no order: sort by {}, with a - before it for the largest first", names());
        field.map(|field| Self { field, is_descending }).ok_or_else(unknown)
    }
}

impl<'s> Matching<'s> {
    /// The models in the order that a listing asks for, after the page before.
    pub(crate) fn after(&self, listing: &Listing<'_>) -> Box<dyn Iterator<Item = &'s View> + '_> {
        let snapshot = self.snapshot;
        let last = Some(listing.after()).filter(|id| !id.is_empty()).and_then(|id| snapshot.position(id));
        let order: Cow<'s, [u32]> = match (listing.sort, &self.ranks) {
            (Some(Sort { field, is_descending }), _) => snapshot.finder().order(snapshot, field, is_descending).into(),
            (None, Some(ranks)) => ranks.order(&self.found).into(),
            (None, None) => {
                let first = last.map_or(0, |last| last + 1);
                return Box::new(self.found.starting_at(first).map(move |position| snapshot.view(position)));
            }
        };
        let first = last.and_then(|last| order.iter().position(|position| *position == last)).map_or(0, |at| at + 1);
        let rest = (first..order.len()).map(move |at| order[at]);
        let matching = rest.filter(|position| self.found.contains(*position));
        Box::new(matching.map(move |position| snapshot.view(position)))
    }
}

impl Selection<'_> {
    /// The models of a snapshot that match, the search aside.
    fn found<'s>(&self, snapshot: &'s Snapshot, finder: &'s Finder) -> Cow<'s, Bits> {
        let mut found = Cow::Borrowed(if self.archived { &finder.all } else { &finder.visible });
        let only = |found: &mut Cow<'s, Bits>, some: Option<&Bits>| match some {
            Some(some) => found.to_mut().keep(some),
            None => *found = Cow::Owned(Bits::none(snapshot.count())),
        };
        if let Some(provider) = self.provider {
            only(&mut found, finder.providers.get(provider));
        }
        for capability in &self.capabilities {
            only(&mut found, finder.capabilities.get(capability));
        }
        if let Some(tier) = self.tier {
            only(&mut found, finder.tiers.get(tier as usize));
        }
        for (asked, those) in [(self.available, &finder.available), (self.legacy, &finder.legacy)] {
            match asked {
                Some(true) => found.to_mut().keep(those),
                Some(false) => found.to_mut().remove(those),
                None => {}
            }
        }
        for (field, least, most) in self.ranges() {
            found.to_mut().keep(&finder.within(snapshot, field, least, most));
        }
        found
    }

    /// Whether a model matches, the search aside.
    pub(crate) fn takes(&self, view: &View) -> bool {
        (self.archived || view.stage != Stage::Archived)
            && self.provider.is_none_or(|provider| *view.provider == *provider)
            && self.capabilities.iter().all(|capability| view.capabilities.contains(capability))
            && self.tier.is_none_or(|tier| view.access(tier) == AccessStatus::Allowed)
            && self.available.is_none_or(|available| view.is_available == available)
            && self.legacy.is_none_or(|legacy| view.is_legacy == legacy)
            && self.ranges().all(|(field, least, most)| {
                view.value(field).is_some_and(|value| {
                    least.is_none_or(|least| least <= value) && most.is_none_or(|most| value <= most)
                })
            })
    }

    /// The fields with a limit, and their least and largest value. What is unknown is within no limits.
    fn ranges(&self) -> impl Iterator<Item = (SortField, Option<SortValue>, Option<SortValue>)> + use<> {
        let money = |price: Price| SortValue::Number(price.amount());
        let context = self.min_context.map(|least| SortValue::Number(least.into()));
        [
            (SortField::ContextLength, context, None),
            (SortField::InputCost, None, self.max_input_cost.map(money)),
            (SortField::OutputCost, None, self.max_output_cost.map(money)),
        ]
        .into_iter()
        .filter(|(_, least, most)| least.is_some() || most.is_some())
    }
}

fn capability(name: &str) -> Result<Capability, String> {
    Capability::from_name(name).ok_or_else(|| format!("\"{name}\" is no capability"))
}

fn tokens(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no whole number of tokens"))
}

/// Reads a point in the past.
pub(crate) fn moment(text: &str) -> Result<AsOf, String> {
    let is_commit = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit {
        return Ok(AsOf::Commit(text.to_ascii_lowercase()));
    }
    if let Ok(revision) = text.parse() {
        return Ok(AsOf::Revision(revision));
    }
    let time = text.parse::<Timestamp>().map(AsOf::Time);
    time.map_err(|_| format!("\"{text}\" is no revision, no time such as 2026-11-25T12:00:00Z, and no full commit id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{get, view_of};
    use roster_http::{Caller, Role};
    use serde_json::json;

    fn takes(target: &str, view: &View) -> bool {
        let admin = Caller { roles: [Role::Admin].into(), ..Caller::default() };
        let request = Request { caller: admin, ..get(target) };
        Listing::read(&request).unwrap().selection.takes(view)
    }

    #[test]
    fn every_filter_filters() {
        let view = view_of(json!({
            "id": "m", "provider": "p", "isLegacy": true,
            "meta": {"capabilities": ["text", "code"], "requiredTier": "pro"},
        }));
        for target in [
            "/",
            "/?provider=p",
            "/?capability=text",
            "/?capability=code&capability=text",
            "/?tier=pro",
            "/?tier=perpetual",
            "/?available=true",
            "/?legacy=true",
            "/?includeArchived=true",
            "/?min_context=1000",
            "/?max_input_cost=1250.0&max_output_cost=1e4",
            "/?provider=p&capability=text&tier=pro&available=true&legacy=true",
        ] {
            assert!(takes(target, &view), "{target}");
        }
        for target in [
            "/?provider=P",
            "/?capability=vision",
            "/?capability=text&capability=vision",
            "/?tier=free",
            "/?available=false",
            "/?legacy=false",
            "/?provider=p&legacy=false",
            "/?min_context=1001",
            "/?max_input_cost=1249.9999",
            "/?max_output_cost=0",
        ] {
            assert!(!takes(target, &view), "{target}");
        }
    }

    #[test]
    fn archived_models_are_for_admins_that_ask() {
        let view = view_of(json!({"id": "m", "isArchived": true}));
        assert!(!takes("/", &view));
        assert!(!takes("/?includeArchived=false", &view));
        assert!(takes("/?includeArchived=true", &view));
        let problem = Listing::read(&get("/?includeArchived=true")).unwrap_err();
        assert_eq!(problem.status(), http::StatusCode::FORBIDDEN);
        assert!(Listing::read(&get("/?includeArchived=false")).is_ok());
    }

    #[test]
    fn mistakes_are_refused() {
        for target in [
            "/?tier=gold",
            "/?capability=flying",
            "/?limit=0",
            "/?limit=1001",
            "/?limit=-1",
            "/?available=1",
            "/?cursor=x",
            "/?offset=10",
            "/?provider=a&provider=b",
            "/?q=",
            "/?q=--",
            "/?min_context=-1",
            "/?max_input_cost=-1",
            "/?max_output_cost=cheap",
            "/?sort=name",
            "/?sort=--credits_per_1k_tokens",
            "/?fields=",
            "/?fields=id,price",
            "/?facets=name",
            "/?as_of=yesterday",
            "/?as_of=2026-11-25",
            "/?as_of=c0ffee",
            "/?changed_since=-1",
            "/?changed_since=1&q=gpt",
            "/?changed_since=1&sort=sunset_date",
            "/?changed_since=1&facets=tier",
            "/?changed_since=1&as_of=1",
        ] {
            let problem = Listing::read(&get(target)).unwrap_err();
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST, "{target}");
        }
    }

    #[test]
    fn equal_selections_have_equal_fingerprints() {
        let filters = |target: &str| Listing::read(&get(target)).unwrap().filters;
        assert_eq!(filters("/?capability=text&capability=code"), filters("/?capability=code&capability=text&limit=5"));
        assert_eq!(filters("/?includeArchived=false"), filters("/"));
        assert_ne!(filters("/?available=true"), filters("/?legacy=true"));
        assert_ne!(filters("/?sort=sunset_date"), filters("/?sort=-sunset_date"));
        assert_ne!(filters("/?changed_since=1"), filters("/?changed_since=2"));
        assert_eq!(filters("/?q=GPT-5"), filters("/?q=gpt-5&fields=id&facets=tier&as_of=1"));
    }

    #[test]
    fn points_in_the_past() {
        assert_eq!(moment("12"), Ok(AsOf::Revision(12)));
        assert_eq!(moment("2026-11-25T13:00:00+01:00"), Ok(AsOf::Time("2026-11-25T12:00:00Z".parse().unwrap())));
        let commit = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(moment(commit), Ok(AsOf::Commit(commit.to_ascii_lowercase())));
        assert_eq!(moment(&"1".repeat(40)), Ok(AsOf::Commit("1".repeat(40))));
    }
}
