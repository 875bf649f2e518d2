//! Models of other catalogues as ours, and ours as theirs: exact, whole, and without a word that is lost.
//!
//! Pure, as `core` is. What a file says becomes, entry by entry, an [`Imported`] or a [`Skipped`] with its reason;
//! [`merge`] lays an import over the model that is there, and leaves alone what people have edited by hand.

mod entries;
mod entry;
mod litellm;
mod merge;
mod models_dev;
mod number;
mod openrouter;
mod pointer;
mod roster;
mod table;

use std::collections::{BTreeMap, HashMap};

use roster_core::{Model, ModelId};
use serde::Serialize;
use serde_json::{Map, Value};

pub use merge::{Kept, Merged, Options, merge};

/// How a catalogue is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LiteLLM's `model_prices_and_context_window.json`: dollars a token, as floats.
    LiteLlm,
    /// The `api.json` of models.dev: dollars for a million tokens.
    ModelsDev,
    /// The answer of OpenRouter's `/api/v1/models`: dollars a token, as texts. It is only read.
    OpenRouter,
    /// Our own documents, in a list or under `models`.
    Roster,
    /// Our own documents as a table, one column a key.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::LiteLlm, Self::ModelsDev, Self::OpenRouter, Self::Roster, Self::Csv];

    /// The format's name in commands, queries and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::ModelsDev => "models.dev",
            Self::OpenRouter => "openrouter",
            Self::Roster => "roster",
            Self::Csv => "csv",
        }
    }

    /// The format that a name stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What a file of another catalogue says. Every entry is in one of the two lists.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The entries that can be models, in the file's order.
    pub models: Vec<Imported>,
    /// The entries that cannot.
    pub skipped: Vec<Skipped>,
}

/// An entry that can be a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The entry's name in its file.
    pub key: String,
    /// The id of a new model: the provider and, after a slash, the rest. The same whatever else there is.
    pub id: ModelId,
    /// Who serves it.
    pub provider: String,
    /// The id without the provider: a model that is there may be called so.
    pub rest: String,
    /// What is said, by its place in our document.
    pub said: BTreeMap<String, Value>,
    /// What is said and has no place in our document.
    pub extra: Map<String, Value>,
    /// The whole document, where the entry carries one.
    pub document: Option<Value>,
    /// What is odd, or has no place of its own.
    pub notes: Vec<String>,
}

impl Imported {
    /// Whether a model that is there is this one: its provider is the same, and so is a name of it.
    #[must_use]
    pub fn is(&self, model: &Model) -> bool {
        let is_name = |name: &ModelId| *name == self.id || name.as_str() == self.rest;
        match self.document {
            Some(_) => model.id == self.id,
            None => model.provider == self.provider && std::iter::once(&model.id).chain(&model.aliases).any(is_name),
        }
    }
}

/// An entry that is no model, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The entry's name in its file.
    pub key: String,
    /// What kind of reason it is, for counting.
    pub kind: &'static str,
    /// The reason.
    pub reason: String,
}

impl Skipped {
    /// A skipped entry.
    #[must_use]
    pub fn new(key: &str, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { key: key.to_owned(), kind, reason: reason.into() }
    }
}

/// Why a file as a whole cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It is not what its format is.
    #[error("not {}: {message}", shape(*.format))]
    Shape {
        /// The format it should have.
        format: Format,
        /// What is wrong.
        message: String,
    },
    /// The format is only read.
    #[error("{} is only read: there are roster, models.dev, litellm and csv", .0.name())]
    OnlyRead(Format),
    /// A model cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A row cannot be written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

fn shape(format: Format) -> &'static str {
    match format {
        Format::LiteLlm => "LiteLLM's object of models by name",
        Format::ModelsDev => "the object of providers by name that models.dev has",
        Format::OpenRouter => "OpenRouter's object with the list \"data\"",
        Format::Roster => "a list of models, or an object with the list \"models\"",
        Format::Csv => "a table with the columns of roster export --to csv",
    }
}

/// Reads a catalogue.
///
/// # Errors
/// [`ExchangeError::Shape`] when the file is none of its format.
pub fn read(format: Format, bytes: &[u8]) -> Result<Reading, ExchangeError> {
    let shape = |message: String| ExchangeError::Shape { format, message };
    let mut reading = match format {
        Format::LiteLlm => litellm::read(bytes).map_err(|error| shape(error.to_string()))?,
        Format::ModelsDev => models_dev::read(bytes).map_err(|error| shape(error.to_string()))?,
        Format::OpenRouter => openrouter::read(bytes).map_err(|error| shape(error.to_string()))?,
        Format::Roster => roster::read(bytes).map_err(|error| shape(error.to_string()))?,
        Format::Csv => table::read(bytes).map_err(shape)?,
    };
    reading.skip_repeated();
    Ok(reading)
}

/// Writes a catalogue, such that [`read`] finds the same models in it.
///
/// # Errors
/// [`ExchangeError`] when the format is only read, or a model cannot be written.
pub fn write(format: Format, models: &[Model]) -> Result<Vec<u8>, ExchangeError> {
    match format {
        Format::LiteLlm => Ok(litellm::write(models)?),
        Format::ModelsDev => Ok(models_dev::write(models)?),
        Format::OpenRouter => Err(ExchangeError::OnlyRead(format)),
        Format::Roster => Ok(roster::write(models)?),
        Format::Csv => table::write(models),
    }
}

impl Reading {
    /// How many entries the file has.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.models.len() + self.skipped.len()
    }

    /// Takes an entry that was read, or says why it is none.
    fn add(&mut self, read: Result<Imported, Skipped>) {
        match read {
            Ok(imported) => self.models.push(imported),
            Err(skipped) => self.skipped.push(skipped),
        }
    }

    /// Of entries with one id, letter case aside, the first counts.
    fn skip_repeated(&mut self) {
        let mut first: HashMap<String, (String, ModelId)> = HashMap::new();
        let models = std::mem::take(&mut self.models);
        for imported in models {
            match first.get(&imported.id.folded()) {
                None => {
                    first.insert(imported.id.folded(), (imported.key.clone(), imported.id.clone()));
                    self.models.push(imported);
                }
                Some((key, id)) => {
                    let how =
                        if *id == imported.id { "is also that of" } else { "but for letter case is also that of" };
                    let reason = format!("the id \"{}\" {how} the entry \"{key}\" before it", imported.id);
                    self.skipped.push(Skipped::new(&imported.key, "repeated", reason));
                }
            }
        }
    }
}

/// The key under which an entry of another format carries our whole document.
const CARRIED: &str = "roster";

/// An entry with the whole document that it carries, and with what its other keys say otherwise than we wrote them.
///
/// `again` reads what we would write for the document: only what differs from that has been changed since.
fn carried(
    key: &str,
    read: Result<Imported, Skipped>,
    document: Value,
    again: impl FnOnce(&Model) -> Option<BTreeMap<String, Value>>,
) -> Result<Imported, Skipped> {
    let invalid = |error: serde_json::Error| {
        Skipped::new(key, "malformed", format!("what it carries under \"{CARRIED}\" is no model: {error}"))
    };
    let model: Model = serde_json::from_value(document).map_err(invalid)?;
    let mut imported = whole(key, &model).map_err(invalid)?;
    if let (Ok(read), Some(written), Some(document)) = (read, again(&model), &mut imported.document) {
        for (place, value) in read.said.into_iter().filter(|(place, value)| written.get(place) != Some(value)) {
            imported.notes.push(format!("{place} differs from what it carries under \"{CARRIED}\": taken"));
            pointer::set(document, &place, value);
        }
    }
    Ok(imported)
}

/// An entry that is a whole document of ours.
fn whole(key: &str, model: &Model) -> Result<Imported, serde_json::Error> {
    Ok(Imported {
        key: key.to_owned(),
        id: model.id.clone(),
        provider: model.provider.clone(),
        rest: model.id.to_string(),
        said: BTreeMap::new(),
        extra: Map::new(),
        document: Some(serde_json::to_value(model)?),
        notes: Vec::new(),
    })
}
