//! Search: which models have all words of a phrase, and how well they fit it.

use std::collections::HashMap;

use serde::Serialize;

use super::{Bits, Views, positions};
use crate::model::ModelId;
use crate::view::View;

/// The longest phrase, in characters.
const MAX_CHARS: usize = 200;
/// The most words of a phrase.
const MAX_WORDS: usize = 8;

/// What is searched for: every word has to begin a word of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Phrase {
    text: String,
    words: Vec<String>,
}

impl Phrase {
    /// Reads a phrase.
    ///
    /// # Errors
    /// What is wrong with it, after the parameter's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX_CHARS {
            return Err(format!("is longer than {MAX_CHARS} characters"));
        }
        let mut words: Vec<String> = words(text).collect();
        words.sort_unstable();
        words.dedup();
        match words.len() {
            0 => Err("has no letter and no digit: name a word, or leave it out".to_owned()),
            1..=MAX_WORDS => Ok(Self { text: text.trim().to_lowercase(), words }),
            _ => Err(format!("has more than {MAX_WORDS} words")),
        }
    }

    /// Whether a model fits, and how well: the smaller the better.
    fn rank(&self, view: &View, is_named: bool) -> u8 {
        let names = std::iter::once(&view.id).chain(&view.aliases).map(ModelId::folded);
        let best = names.map(|name| match name.strip_prefix(self.text.as_str()) {
            Some("") => EXACT,
            Some(_) => PREFIX,
            None => DESCRIBED,
        });
        best.min().unwrap_or(DESCRIBED).min(if is_named { NAMED } else { DESCRIBED })
    }
}

/// The phrase is the id or an alias.
const EXACT: u8 = 1;
/// The id or an alias begins with the phrase.
const PREFIX: u8 = 2;
/// Every word is one of the names.
const NAMED: u8 = 3;
/// Some word is in the description only.
const DESCRIBED: u8 = 4;

/// What a phrase found.
#[derive(Debug)]
pub struct Ranks {
    /// The models.
    pub found: Bits,
    /// How well each of them fits, by position.
    ranks: Vec<u8>,
}

impl Ranks {
    /// Positions that were found, the best first, then by id.
    #[must_use]
    pub fn order(&self, among: &Bits) -> Vec<u32> {
        let mut order: Vec<u32> = among.starting_at(0).filter(|position| self.found.contains(*position)).collect();
        order.sort_by_key(|position| self.ranks[*position as usize]);
        order
    }
}

/// The words of all models, sorted, each with the models that have it.
#[derive(Debug)]
pub(super) struct Words {
    /// All words in one text, and where each ends.
    text: Box<str>,
    ends: Box<[u32]>,
    /// The models of all words, and where those of each word end. The last bit says that a name has the word.
    models: Box<[u32]>,
    models_ends: Box<[u32]>,
}

impl Words {
    pub(super) fn of(views: &impl Views) -> Self {
        let mut found: HashMap<String, Vec<u32>> = HashMap::new();
        for position in positions(views) {
            let view = views.view(position);
            let mut note = |text: &str, is_name: u32| {
                for word in words(text) {
                    let models = found.entry(word).or_default();
                    // Names come first, so what is there already says at least as much.
                    if models.last().is_none_or(|last| last >> 1 != position) {
                        models.push(position << 1 | is_name);
                    }
                }
            };
            let names = std::iter::once(&view.id).chain(&view.aliases);
            names.for_each(|name| note(name.as_str(), 1));
            note(&view.name, 1);
            note(&view.display_name(), 1);
            note(&view.description(), 0);
        }
        let mut found: Vec<(String, Vec<u32>)> = found.into_iter().collect();
        found.sort_unstable();
        let (mut text, mut ends, mut models, mut models_ends) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        let place = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        for (word, with_word) in found {
            text.push_str(&word);
            ends.push(place(text.len()));
            models.extend(with_word);
            models_ends.push(place(models.len()));
        }
        Self { text: text.into(), ends: ends.into(), models: models.into(), models_ends: models_ends.into() }
    }

    pub(super) fn search(&self, views: &impl Views, phrase: &Phrase) -> Ranks {
        const NAME: u8 = 2;
        let mut fits: Option<Vec<u8>> = None;
        for word in &phrase.words {
            let mut has = vec![0u8; views.count()];
            for at in self.beginning_with(word) {
                for model in self.models_of(at) {
                    let here = &mut has[(model >> 1) as usize];
                    *here = (*here).max(1 + (model & 1) as u8);
                }
            }
            // A model fits as badly as its worst word does.
            fits = Some(match fits {
                None => has,
                Some(before) => before.into_iter().zip(has).map(|(one, other)| one.min(other)).collect(),
            });
        }
        let mut ranks = fits.unwrap_or_default();
        let mut found = Bits::none(views.count());
        for (position, fit) in (0..).zip(&mut ranks).filter(|(_, fit)| **fit > 0) {
            found.insert(position);
            *fit = phrase.rank(views.view(position), *fit == NAME);
        }
        Ranks { found, ranks }
    }

    /// The words that begin with a text.
    fn beginning_with(&self, prefix: &str) -> std::ops::Range<usize> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.word(middle) < prefix { low = middle + 1 } else { high = middle }
        }
        let beyond = (low..self.ends.len()).find(|at| !self.word(*at).starts_with(prefix));
        low..beyond.unwrap_or(self.ends.len())
    }

    fn word(&self, at: usize) -> &str {
        &self.text[span(&self.ends, at)]
    }

    fn models_of(&self, at: usize) -> &[u32] {
        &self.models[span(&self.models_ends, at)]
    }
}

/// Where a part lies, of parts that are known by their ends.
fn span(ends: &[u32], at: usize) -> std::ops::Range<usize> {
    let start = at.checked_sub(1).map_or(0, |before| ends[before] as usize);
    start..ends[at] as usize
}

/// The words of a text: runs of letters and digits, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finder::Finder;
    use crate::model::tests::model;
    use crate::policy::Policy;

    fn views() -> Vec<View> {
        let render = |(id, alias, display_name, description): &(&str, &str, &str, &str)| {
            let mut model = model(id);
            model.aliases = ModelId::parse(alias).into_iter().collect();
            (model.meta.display_name, model.meta.description) = ((*display_name).to_owned(), (*description).to_owned());
            View::render(&model, &"".into(), None, &Policy::default(), jiff::Timestamp::UNIX_EPOCH).unwrap()
        };
        [
            ("anthropic/claude", "", "Claude", "Better than GPT-5 at some things"),
            ("gpt-5", "gpt-5-latest", "GPT-5", "Reasons"),
            ("gpt-5-mini", "", "GPT-5 mini", "Small"),
            ("openai/gpt-5", "", "GPT-5", "By way of another"),
            ("ÜBER".trim_start_matches('Ü'), "", "Übermodell", "Größer"),
        ]
        .iter()
        .map(render)
        .collect()
    }

    fn found(text: &str) -> Vec<String> {
        let views = views();
        let finder = Finder::of(&views);
        let ranks = finder.search(&views, &Phrase::parse(text).unwrap());
        ranks.order(&finder.all).iter().map(|position| views[*position as usize].id.to_string()).collect()
    }

    #[test]
    fn the_best_comes_first() {
        assert_eq!(found("gpt-5"), ["gpt-5", "gpt-5-mini", "openai/gpt-5", "anthropic/claude"]);
        assert_eq!(found("GPT 5"), ["gpt-5", "gpt-5-mini", "openai/gpt-5", "anthropic/claude"]);
        assert_eq!(found("gpt-5-latest"), ["gpt-5"]);
        assert_eq!(found("openai"), ["openai/gpt-5"]);
    }

    #[test]
    fn every_word_has_to_begin_a_word() {
        assert_eq!(found("5 min"), ["gpt-5-mini"]);
        assert_eq!(found("claude thing"), ["anthropic/claude"]);
        assert_eq!(found("laude"), [""; 0]);
        assert_eq!(found("claude mini"), [""; 0]);
        assert_eq!(found("über grö"), ["BER"]);
    }

    #[test]
    fn phrases_have_limits() {
        assert!(Phrase::parse("").is_err() && Phrase::parse(" -/ ").is_err());
        assert!(Phrase::parse("a b c d e f g h").is_ok() && Phrase::parse("a b c d e f g h i").is_err());
        assert!(Phrase::parse(&"a".repeat(200)).is_ok() && Phrase::parse(&"a".repeat(201)).is_err());
        assert_eq!(Phrase::parse("b a b").unwrap().words, ["a", "b"]);
    }
}
