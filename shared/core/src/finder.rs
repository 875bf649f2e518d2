//! Answers to what listings ask of a catalogue, prepared once for all requests.
//!
//! Models are known by their position: the place by id among all of a catalogue, archived and removed ones
//! included. A set of them is a row of bits, so that filters are combined 64 models at a time, and an order is a
//! list of positions. Orders and the words are made when they are first asked for.

mod bits;
mod words;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::lifecycle::Stage;
use crate::meta::Capability;
use crate::tier::{AccessStatus, Tier};
use crate::view::{SortField, SortValue, View};

pub use bits::Bits;
use words::Words;
pub use words::{Phrase, Ranks};

/// Views by position, ascending by id.
pub trait Views {
    /// How many there are.
    fn count(&self) -> usize;
    /// The view at a position below the count.
    fn view(&self, position: u32) -> &View;
    /// Whether the model at a position is no more than remembered.
    fn is_removed(&self, position: u32) -> bool;
}

/// What is prepared of one catalogue.
#[derive(Debug)]
pub struct Finder {
    /// Every model.
    pub all: Bits,
    /// Those that are neither archived nor removed.
    pub visible: Bits,
    /// Those that can be used now.
    pub available: Bits,
    /// Those that are marked legacy.
    pub legacy: Bits,
    /// By who serves them.
    pub providers: BTreeMap<Box<str>, Bits>,
    /// By what they can do.
    pub capabilities: BTreeMap<Capability, Bits>,
    /// By what a tier may use, in the order of [`Tier::ALL`].
    pub tiers: [Bits; 6],
    orders: [[OnceLock<Vec<u32>>; 2]; SortField::ALL.len()],
    words: OnceLock<Words>,
}

impl Finder {
    /// Prepares what every listing needs.
    #[must_use]
    pub fn of(views: &impl Views) -> Self {
        let count = views.count();
        let none = || Bits::none(count);
        let mut finder = Self {
            all: none(),
            visible: none(),
            available: none(),
            legacy: none(),
            providers: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            tiers: Tier::ALL.map(|_| none()),
            orders: Default::default(),
            words: OnceLock::new(),
        };
        for position in positions(views) {
            let view = views.view(position);
            finder.all.insert(position);
            if view.stage != Stage::Archived && !views.is_removed(position) {
                finder.visible.insert(position);
            }
            if view.is_available {
                finder.available.insert(position);
            }
            if view.is_legacy {
                finder.legacy.insert(position);
            }
            match finder.providers.get_mut(&*view.provider) {
                Some(provider) => provider.insert(position),
                None => finder.providers.entry(view.provider.clone()).or_insert_with(none).insert(position),
            }
            for capability in &view.capabilities {
                finder.capabilities.entry(*capability).or_insert_with(none).insert(position);
            }
            for tier in Tier::ALL.into_iter().filter(|&tier| view.access(tier) == AccessStatus::Allowed) {
                finder.tiers[tier as usize].insert(position);
            }
        }
        finder
    }

    /// Every position, by the value of a field, up or down. Unknown values come last both ways; ties are by id.
    pub fn order(&self, views: &impl Views, field: SortField, is_descending: bool) -> &[u32] {
        self.orders[field as usize][usize::from(is_descending)].get_or_init(|| {
            let mut keys: Vec<(Option<SortValue>, u32)> =
                positions(views).map(|position| (views.view(position).value(field), position)).collect();
            keys.sort_unstable_by(|(one, at), (other, beside)| {
                let by_value = match (one, other) {
                    (Some(one), Some(other)) if is_descending => other.cmp(one),
                    (Some(one), Some(other)) => one.cmp(other),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                };
                by_value.then(at.cmp(beside))
            });
            keys.into_iter().map(|(_, position)| position).collect()
        })
    }

    /// The models whose value of a field is known and within both limits.
    pub fn within(
        &self,
        views: &impl Views,
        field: SortField,
        least: Option<SortValue>,
        most: Option<SortValue>,
    ) -> Bits {
        let order = self.order(views, field, false);
        let value = |position: &u32| views.view(*position).value(field);
        let is_below = |position: &u32| value(position).is_some_and(|value| least.is_some_and(|least| value < least));
        let is_up_to = |position: &u32| value(position).is_some_and(|value| most.is_none_or(|most| value <= most));
        let (from, until) = (order.partition_point(is_below), order.partition_point(is_up_to));
        let mut found = Bits::none(views.count());
        order.get(from..until).unwrap_or_default().iter().for_each(|&position| found.insert(position));
        found
    }

    /// The models that a phrase finds, and how well.
    pub fn search(&self, views: &impl Views, phrase: &Phrase) -> Ranks {
        self.words.get_or_init(|| Words::of(views)).search(views, phrase)
    }
}

/// The positions of all views.
fn positions(views: &impl Views) -> std::ops::Range<u32> {
    // A catalogue of more models would not fit in memory by far.
    0..u32::try_from(views.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use crate::policy::Policy;

    impl Views for Vec<View> {
        fn count(&self) -> usize {
            self.len()
        }

        fn view(&self, position: u32) -> &View {
            &self[position as usize]
        }

        fn is_removed(&self, _: u32) -> bool {
            false
        }
    }

    fn views(prices: &[Option<&str>]) -> Vec<View> {
        let render = |(at, price): (usize, &Option<&str>)| {
            let mut model = model(&format!("m{at}"));
            model.meta.input_cost_per_million_tokens = price.map(|price| price.parse().unwrap());
            View::render(&model, &"".into(), None, &Policy::default(), jiff::Timestamp::UNIX_EPOCH).unwrap()
        };
        prices.iter().enumerate().map(render).collect()
    }

    #[test]
    fn unknown_values_come_last_and_ties_are_by_id() {
        let views = views(&[Some("10"), None, Some("2.0"), Some("10.0"), Some("2"), None]);
        let finder = Finder::of(&views);
        assert_eq!(finder.order(&views, SortField::InputCost, false), [2, 4, 0, 3, 1, 5]);
        assert_eq!(finder.order(&views, SortField::InputCost, true), [0, 3, 2, 4, 1, 5]);
    }

    #[test]
    fn limits_are_part_of_the_range_and_unknown_is_in_none() {
        let views = views(&[Some("10"), None, Some("2.0"), Some("10.01"), Some("0")]);
        let finder = Finder::of(&views);
        let amount = |text: &str| Some(SortValue::Number(text.parse().unwrap()));
        let within =
            |least, most| finder.within(&views, SortField::InputCost, least, most).starting_at(0).collect::<Vec<_>>();
        assert_eq!(within(None, amount("10")), [0, 2, 4]);
        assert_eq!(within(amount("2"), None), [0, 2, 3]);
        assert_eq!(within(amount("2.00"), amount("10.000")), [0, 2]);
        assert_eq!(within(amount("5"), amount("3")), [0; 0]);
    }
}
