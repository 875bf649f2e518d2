//! One entry of another catalogue, taken apart key by key; what is left over is kept.

use std::collections::BTreeMap;

use roster_core::ModelId;
use roster_core::document::escape;
use roster_core::meta::Capability;
use serde_json::{Map, Value, json};

use crate::number::{self, Read, Unit, kept, shorten};
use crate::{Imported, Skipped};

/// The most characters of a name, and of a description.
const MAX_NAME: usize = 255;
const MAX_DESCRIPTION: usize = 5000;

pub(crate) const INPUT: &str = "/meta/inputCostPerMillionTokens";
pub(crate) const OUTPUT: &str = "/meta/outputCostPerMillionTokens";
pub(crate) const TIERS: &str = "/meta/prices/tiers";

/// An entry on its way to an [`Imported`].
pub(crate) struct Entry {
    key: String,
    /// What nobody has asked for yet.
    left: Map<String, Value>,
    said: BTreeMap<String, Value>,
    extra: Map<String, Value>,
    notes: Vec<String>,
    capabilities: Vec<Capability>,
}

impl Entry {
    pub(crate) fn new(key: &str, left: Map<String, Value>) -> Self {
        let (said, extra) = (BTreeMap::new(), Map::new());
        Self { key: key.to_owned(), left, said, extra, notes: Vec::new(), capabilities: Vec::new() }
    }

    /// A reason why this entry is no model.
    pub(crate) fn skipped(&self, kind: &'static str, reason: impl Into<String>) -> Skipped {
        Skipped::new(&self.key, kind, reason)
    }

    /// Takes a key out of the entry.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.left.remove(key)
    }

    /// Takes an object out of the entry; anything else stays.
    pub(crate) fn take_object(&mut self, key: &str) -> Map<String, Value> {
        match self.left.get_mut(key) {
            Some(Value::Object(map)) => {
                let map = std::mem::take(map);
                self.left.remove(key);
                map
            }
            _ => Map::new(),
        }
    }

    /// A text of the entry, which stays in it.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.left.get(key).and_then(Value::as_str)
    }

    /// Whether a flag is set, which stays in the entry if it says no.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        let is_set = self.left.get(key) == Some(&Value::Bool(true));
        if is_set {
            self.left.remove(key);
        }
        is_set
    }

    pub(crate) fn can(&mut self, capability: Capability) {
        if !self.capabilities.contains(&capability) {
            self.capabilities.push(capability);
        }
    }

    pub(crate) fn say(&mut self, place: &str, value: Value) {
        self.said.insert(place.to_owned(), value);
    }

    /// What is said of a place.
    pub(crate) fn said(&self, place: &str) -> Option<&Value> {
        self.said.get(place)
    }

    /// The keys that begin and end so.
    pub(crate) fn keys_with(&self, beginning: &str, end: &str) -> Vec<String> {
        let is_so =
            |key: &&String| key.len() > beginning.len() + end.len() && key.starts_with(beginning) && key.ends_with(end);
        self.left.keys().filter(is_so).cloned().collect()
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Keeps what has no place in our documents. What is a price, and what says something, is noted.
    pub(crate) fn keep(&mut self, name: &str, value: Value, is_price: bool) {
        if value.is_null() {
            return;
        }
        if is_price {
            self.note(format!("{name} has no field here: kept in providerMetadata"));
        }
        let value = kept(value, is_price);
        if let Some((above, below)) = name.split_once('.')
            && let Value::Object(object) = self.extra.entry(above).or_insert_with(|| json!({}))
        {
            object.insert(below.to_owned(), value);
        } else {
            self.extra.insert(name.to_owned(), value);
        }
    }

    /// Says a price, or notes why it is unknown and keeps what was said instead.
    pub(crate) fn price(&mut self, name: &str, value: Value, place: &str, unit: Unit) {
        if let Some(price) = self.part(name, value, unit) {
            self.say(place, price);
        }
    }

    /// A price that is a part of something, in our unit.
    pub(crate) fn part(&mut self, name: &str, value: Value, unit: Unit) -> Option<Value> {
        match number::price(&value, unit) {
            Read::Known(number, odd) => {
                self.notes.extend(odd.map(|odd| format!("{name} {odd}")));
                Some(Value::Number(number))
            }
            Read::Absent => None,
            Read::Unknown(why) => {
                self.note(format!("{name} {why}"));
                self.keep(name, kept(value, true), false);
                None
            }
        }
    }

    /// Says a price of the entry itself.
    pub(crate) fn own_price(&mut self, key: &str, place: &str, unit: Unit) {
        if self.said(place).is_none()
            && let Some(value) = self.take(key)
        {
            self.price(key, value, place, unit);
        }
    }

    /// Says a count, or notes why it is unknown and keeps what was said instead.
    pub(crate) fn count(&mut self, name: &str, value: Value, place: &str) {
        match number::count(&value) {
            Ok(count) => {
                if let Some(count) = count {
                    self.say(place, count.into());
                }
            }
            Err(why) => {
                self.note(format!("{name} {why}"));
                self.keep(name, kept(value, false), false);
            }
        }
    }

    /// Says prices for long prompts, in ascending order.
    pub(crate) fn tiers(&mut self, mut tiers: Vec<Value>) {
        tiers.sort_by_key(|tier| tier["aboveTokens"].as_u64());
        if !tiers.is_empty() {
            self.say(TIERS, tiers.into());
        }
    }

    /// Says a name or a description, cut to what there is room for.
    pub(crate) fn words(&mut self, key: &str, place: &str) {
        let Some(Value::String(text)) = self.left.get(key) else { return };
        let text = text.trim().to_owned();
        self.left.remove(key);
        let most = if place == "/meta/description" { MAX_DESCRIPTION } else { MAX_NAME };
        let cut: String = text.chars().take(most).collect();
        if cut.len() < text.len() {
            self.note(format!("{key} is longer than {most} characters: cut"));
        }
        if !cut.is_empty() {
            self.say(place, cut.into());
        }
    }

    /// Says when the model ends, by a day.
    pub(crate) fn sunset(&mut self, key: &str) {
        let Some(value) = self.take(key) else { return };
        let Value::String(day) = &value else { return self.keep(key, value, false) };
        let first_moment = |day: jiff::civil::Date| format!("{day}T00:00:00Z");
        let at = day.parse::<jiff::Timestamp>().map(|at| at.to_string());
        match at.or_else(|_| day.parse().map(first_moment)) {
            Ok(at) => self.say("/meta/sunsetDate", at.into()),
            Err(_) => {
                self.note(format!("{key} is no day ({}): unknown", shorten(day)));
                self.keep(key, value, false);
            }
        }
    }

    /// The entry as an import, called `rest` at its provider.
    pub(crate) fn imported(
        mut self,
        provider: &str,
        rest: &str,
        is_price: impl Fn(&str) -> bool,
    ) -> Result<Imported, Skipped> {
        let bad = |error: roster_core::model::InvalidId| Skipped::new(&self.key, "illegal-id", error.to_string());
        let id = ModelId::parse(&format!("{provider}/{rest}")).map_err(bad)?;
        if provider.contains('/') {
            let reason = format!("the provider \"{provider}\" has a slash in it, and is a directory's name here");
            return Err(self.skipped("illegal-id", reason));
        }
        if self.capabilities.is_empty() {
            return Err(self.skipped("no-capability", "says nothing of what the model can do"));
        }
        for (key, value) in std::mem::take(&mut self.left) {
            let is_price = is_price(&key);
            self.keep(&key, value, is_price);
        }
        let capabilities = serde_json::to_value(&self.capabilities).unwrap_or_default();
        self.say("/meta/capabilities", capabilities);
        self.said.entry("/name".to_owned()).or_insert_with(|| rest.into());
        let Self { key, said, extra, notes, .. } = self;
        Ok(Imported {
            key,
            id,
            provider: provider.to_owned(),
            rest: rest.to_owned(),
            said,
            extra,
            document: None,
            notes,
        })
    }
}

/// A place in our `providerMetadata`.
pub(crate) fn metadata(key: &str) -> String {
    format!("/meta/providerMetadata/{}", escape(key))
}
