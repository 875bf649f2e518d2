//! A set of positions, one bit each.

/// A set of positions below a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits(Box<[u64]>);

impl Bits {
    /// The empty set.
    #[must_use]
    pub fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    /// Adds a position below the count.
    pub fn insert(&mut self, position: u32) {
        self.0[position as usize / 64] |= 1 << (position % 64);
    }

    /// Whether a position is in the set.
    #[must_use]
    pub fn contains(&self, position: u32) -> bool {
        self.0.get(position as usize / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// Keeps what is in another set too.
    pub fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Removes what is in another set.
    pub fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// How many are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many are in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).map(|(word, other)| (word & other).count_ones() as usize).sum()
    }

    /// The positions from one on, ascending.
    pub fn starting_at(&self, first: u32) -> impl Iterator<Item = u32> {
        let at = first as usize / 64;
        let beginning = self.0.get(at).map(|word| word & (u64::MAX << (first % 64)));
        let rest = self.0.iter().skip(at + 1).copied();
        (at..).zip(beginning.into_iter().chain(rest)).flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                word &= word.wrapping_sub(1);
                (bit < 64).then(|| u32::try_from(at * 64).unwrap_or(u32::MAX) + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn bits(of: &BTreeSet<u32>) -> Bits {
        let mut bits = Bits::none(300);
        of.iter().for_each(|position| bits.insert(*position));
        bits
    }

    proptest! {
        #[test]
        fn bits_are_a_set(
            one in prop::collection::btree_set(0u32..300, 0..200),
            other in prop::collection::btree_set(0u32..300, 0..200),
            first in 0u32..400,
        ) {
            let (mut kept, beside) = (bits(&one), bits(&other));
            prop_assert_eq!(kept.starting_at(first).collect::<Vec<_>>(), one.range(first..).copied().collect::<Vec<_>>());
            prop_assert_eq!((kept.len(), kept.common(&beside)), (one.len(), one.intersection(&other).count()));
            prop_assert!((0..400).all(|position| kept.contains(position) == one.contains(&position)));
            let mut dropped = kept.clone();
            kept.keep(&beside);
            dropped.remove(&beside);
            prop_assert_eq!(kept, bits(&one.intersection(&other).copied().collect()));
            prop_assert_eq!(dropped.is_empty(), one.is_subset(&other));
            prop_assert_eq!(dropped, bits(&one.difference(&other).copied().collect()));
        }
    }
}
