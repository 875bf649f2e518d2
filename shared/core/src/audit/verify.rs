//! Whether a model's history is whole: replayed from nothing, it must end in what the table holds.

use std::fmt;

use serde_json::{Value, json};

use crate::diff::{self, FieldChange, Mismatch};
use crate::model::ModelId;
use crate::record::{HistoryEntry, Record};

/// Something that a whole history does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Entries are missing that later ones follow.
    Missing {
        /// The model.
        model: ModelId,
        /// The first missing seq.
        from: u64,
        /// The last missing seq.
        to: u64,
    },
    /// The newest entries are missing. A stream that is behind looks the same.
    Behind {
        /// The model.
        model: ModelId,
        /// The first missing seq.
        from: u64,
        /// The model's own seq.
        to: u64,
    },
    /// An entry is newer than the model. So it is, too, when the model changed after it was read.
    Ahead {
        /// The model.
        model: ModelId,
        /// The entry's seq.
        seq: u64,
        /// The model's own seq.
        last: u64,
    },
    /// There is history of a model that the table does not have.
    Unknown {
        /// The model.
        model: ModelId,
        /// The newest entry's seq.
        seq: u64,
    },
    /// An entry comes twice, or after a later one.
    Repeated {
        /// The model.
        model: ModelId,
        /// The entry's seq.
        seq: u64,
    },
    /// An entry of another model is among the model's own.
    Foreign {
        /// The model.
        model: ModelId,
        /// The entry's seq.
        seq: u64,
        /// The model that the entry names.
        other: ModelId,
    },
    /// An entry says that a field was something else than the entries before it made of it.
    Old {
        /// The model.
        model: ModelId,
        /// The entry's seq.
        seq: u64,
        /// The field (RFC 6901).
        path: String,
        /// What it was, by the entries before.
        found: Option<Value>,
        /// What it was, by the entry.
        told: Option<Value>,
    },
    /// A field of the model is something else than its history made of it.
    State {
        /// The model.
        model: ModelId,
        /// The model's own seq.
        seq: u64,
        /// The field (RFC 6901).
        path: String,
        /// What it is in the table.
        found: Option<Value>,
        /// What it is by the history.
        told: Option<Value>,
    },
    /// The last entry tells who, when or why otherwise than the model does.
    Note {
        /// The model.
        model: ModelId,
        /// The entry's seq.
        seq: u64,
    },
}

impl Finding {
    /// The model.
    #[must_use]
    pub fn model(&self) -> &ModelId {
        match self {
            Self::Missing { model, .. }
            | Self::Behind { model, .. }
            | Self::Ahead { model, .. }
            | Self::Unknown { model, .. }
            | Self::Repeated { model, .. }
            | Self::Foreign { model, .. }
            | Self::Old { model, .. }
            | Self::State { model, .. }
            | Self::Note { model, .. } => model,
        }
    }

    /// The entry's seq; the first of several.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Missing { from: seq, .. }
            | Self::Behind { from: seq, .. }
            | Self::Ahead { seq, .. }
            | Self::Unknown { seq, .. }
            | Self::Repeated { seq, .. }
            | Self::Foreign { seq, .. }
            | Self::Old { seq, .. }
            | Self::State { seq, .. }
            | Self::Note { seq, .. } => *seq,
        }
    }

    /// The field, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Old { path, .. } | Self::State { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether it may be gone at the next look, because a change is on its way from one table to the other.
    #[must_use]
    pub fn may_settle(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Ahead { .. } | Self::Unknown { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model();
        match self {
            Self::Missing { from, to, .. } if from == to => write!(f, "model {model}: seq {from} is missing"),
            Self::Missing { from, to, .. } => write!(f, "model {model}: seqs {from} to {to} are missing"),
            Self::Behind { from, to, .. } if from == to => {
                write!(f, "model {model}: seq {from}, the newest, is missing")
            }
            Self::Behind { from, to, .. } => write!(f, "model {model}: seqs {from} to {to}, the newest, are missing"),
            Self::Ahead { seq, last, .. } => {
                write!(f, "model {model}: seq {seq} is newer than the model, which is at seq {last}")
            }
            Self::Unknown { seq, .. } => write!(f, "model {model}: history up to seq {seq}, but no such model"),
            Self::Repeated { seq, .. } => write!(f, "model {model}: seq {seq} comes twice, or too late"),
            Self::Foreign { seq, other, .. } => write!(f, "model {model}: seq {seq} is an entry of model {other}"),
            Self::Old { seq, path, found, told, .. } => write!(
                f,
                "model {model}, seq {seq}: {path} was {}, and not {} as the entry says",
                shown(found.as_ref()),
                shown(told.as_ref())
            ),
            Self::State { seq, path, found, told, .. } => write!(
                f,
                "model {model}, seq {seq}: {path} is {}, and {} by its history",
                shown(found.as_ref()),
                shown(told.as_ref())
            ),
            Self::Note { seq, .. } => {
                write!(f, "model {model}, seq {seq}: the entry and the model differ on who, when or why")
            }
        }
    }
}

/// A value for a message: a description of 5000 characters would drown it.
fn shown(value: Option<&Value>) -> String {
    const CHARS: usize = 60;
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= CHARS { text } else { text.chars().take(CHARS).chain("…".chars()).collect() }
}

/// Replays a model's history, oldest first, and answers everything that is wrong with it; nothing for a whole one.
///
/// Whole means: the seqs are 1 to the record's own; each change begins where the ones before it ended; and the last
/// one ends, digit for digit, in the record. Behind a missing entry only seqs are checked, for nobody knows what it
/// did. Who changed something, when and why is known from the entry alone, except for the last one.
#[must_use]
pub fn verify(record: &Record, entries: &[HistoryEntry]) -> Vec<Finding> {
    let model = &record.spec.id;
    let mut findings = Vec::new();
    // The tombstone is a field beside those of the spec, as entries have it.
    let mut state = Some(json!({ "tombstone": false }));
    let mut next = 1;
    let mut last = None;
    for entry in entries {
        let seq = entry.seq;
        if entry.model_id != *model {
            findings.push(Finding::Foreign { model: model.clone(), seq, other: entry.model_id.clone() });
            continue;
        }
        if seq > record.seq {
            findings.push(Finding::Ahead { model: model.clone(), seq, last: record.seq });
            continue;
        }
        if seq < next {
            findings.push(Finding::Repeated { model: model.clone(), seq });
            continue;
        }
        if seq > next {
            findings.push(Finding::Missing { model: model.clone(), from: next, to: seq - 1 });
            state = None;
        }
        next = seq + 1;
        last = Some(entry);
        if let Some(state) = &mut state {
            findings.extend(replay(state, entry));
        }
    }
    if next <= record.seq {
        findings.push(Finding::Behind { model: model.clone(), from: next, to: record.seq });
        return findings;
    }
    if last.is_some_and(|last| last.change != record.change) {
        findings.push(Finding::Note { model: model.clone(), seq: record.seq });
    }
    if let Some(state) = &state {
        let mut held = record.state().unwrap_or_default();
        held["tombstone"] = record.tombstone.into();
        findings.extend(diff::fields(state, &held).into_iter().map(|FieldChange { path, old, new }| Finding::State {
            model: model.clone(),
            seq: record.seq,
            path,
            found: new,
            told: old,
        }));
    }
    findings
}

/// Brings the state to what it is after an entry.
fn replay(state: &mut Value, entry: &HistoryEntry) -> Vec<Finding> {
    let mut findings = Vec::new();
    for change in &entry.changes {
        let Err(Mismatch { found }) = diff::apply(state, change) else { continue };
        // What the entry made of the field counts from here on, so that one mistake is one finding.
        let _ = diff::apply(state, &FieldChange { old: found.clone(), ..change.clone() });
        findings.push(Finding::Old {
            model: entry.model_id.clone(),
            seq: entry.seq,
            path: change.path.clone(),
            found,
            told: change.old.clone(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::model::tests::model;
    use crate::plan::Operation;
    use crate::record::{ChangeNote, Origin};
    use crate::status::Status;
    use proptest::prelude::*;

    /// The records that a model was, and its history.
    fn history(states: &[(Model, bool)]) -> (Record, Vec<HistoryEntry>) {
        let mut old: Option<Record> = None;
        let mut entries = Vec::new();
        for (seq, (spec, tombstone)) in (1..).zip(states) {
            let at = "2026-01-01T00:00:00Z".parse().unwrap();
            let new = Record {
                archived: None,
                overridden: None,
                spec: spec.clone(),
                status: Status::default(),
                origin: Origin::Api("ada".to_owned()),
                seq,
                tombstone: *tombstone,
                change: ChangeNote {
                    operations: vec![Operation::UpdateMeta],
                    actor: "ada".to_owned(),
                    reason: format!("step {seq}"),
                    source: "api".to_owned(),
                    at,
                    applied_at: at,
                    commit: None,
                    pull_request: None,
                    revision: seq,
                    correlation_id: String::new(),
                },
                created_at: at,
            };
            let entry = HistoryEntry::between(old.as_ref(), &new).unwrap();
            // As it comes back from the table.
            entries.push(serde_json::from_str(&crate::canonical::to_string(&entry).unwrap()).unwrap());
            old = Some(new);
        }
        (old.unwrap(), entries)
    }

    fn priced(text: &str) -> (Model, bool) {
        let mut model = model("a/b");
        model.meta.input_cost_per_million_tokens = text.parse().ok();
        (model, false)
    }

    fn told(record: &Record, entries: &[HistoryEntry]) -> Vec<String> {
        verify(record, entries).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn findings_name_model_seq_and_path() {
        let path = "/meta/inputCostPerMillionTokens";
        let (record, entries) = history(&[priced("1"), priced("1.0"), priced("1.00"), priced("null"), priced("2")]);
        assert_eq!(told(&record, &entries), [""; 0]);
        let without = |seqs: &[u64]| -> Vec<HistoryEntry> {
            entries.iter().filter(|entry| !seqs.contains(&entry.seq)).cloned().collect()
        };
        assert_eq!(told(&record, &without(&[2])), ["model a/b: seq 2 is missing"]);
        assert_eq!(
            told(&record, &without(&[1, 3, 4])),
            ["model a/b: seq 1 is missing", "model a/b: seqs 3 to 4 are missing"]
        );
        assert_eq!(told(&record, &without(&[5])), ["model a/b: seq 5, the newest, is missing"]);
        assert_eq!(told(&record, &[]), ["model a/b: seqs 1 to 5, the newest, are missing"]);
        let behind = Record { seq: 4, ..record.clone() };
        let ahead = verify(&behind, &entries);
        assert_eq!(ahead[0].to_string(), "model a/b: seq 5 is newer than the model, which is at seq 4");
        assert!(ahead[0].may_settle() && verify(&record, &without(&[5]))[0].may_settle());
        assert!(!verify(&record, &without(&[4]))[0].may_settle());

        let mut wrong = entries.clone();
        wrong[2].changes[0].old = Some(serde_json::from_str("1.000").unwrap());
        assert_eq!(
            told(&record, &wrong),
            [format!("model a/b, seq 3: {path} was 1.0, and not 1.000 as the entry says")]
        );
        let mut wrong = entries.clone();
        wrong[4].changes[0].new = Some(json!(3));
        assert_eq!(told(&record, &wrong), [format!("model a/b, seq 5: {path} is 2, and 3 by its history")]);
        let mut wrong = entries.clone();
        wrong[4].change.actor = "eve".to_owned();
        assert_eq!(told(&record, &wrong), ["model a/b, seq 5: the entry and the model differ on who, when or why"]);
        let mut wrong = entries.clone();
        wrong[1].model_id = ModelId::parse("a/c").unwrap();
        assert_eq!(told(&record, &wrong)[0], "model a/b: seq 2 is an entry of model a/c");
        let removed = Record { tombstone: true, ..record };
        assert_eq!(told(&removed, &entries), ["model a/b, seq 5: /tombstone is true, and false by its history"]);
        let unknown = Finding::Unknown { model: removed.spec.id.clone(), seq: 5 };
        assert_eq!(unknown.to_string(), "model a/b: history up to seq 5, but no such model");
        assert_eq!(shown(Some(&json!("x".repeat(100)))).chars().count(), 61);
    }

    fn states() -> impl Strategy<Value = (Model, bool)> {
        let price = prop::sample::select(vec!["0", "1", "1.0", "1.00", "null"]);
        let cache = prop::option::of(prop::option::of(prop::sample::select(vec!["5", "5.0"])));
        let metadata = prop::collection::btree_map("[a/~]{1,2}", 0u8..3, 0..3);
        let alias = prop::collection::vec("[ab]", 0..2);
        (price, cache, metadata, alias, any::<bool>(), any::<bool>()).prop_map(
            |(price, cache, metadata, aliases, is_legacy, tombstone)| {
                let (mut model, _) = priced(price);
                model.meta.prices = cache.map(|cache| crate::price::Prices {
                    cache_read: cache.and_then(|text| text.parse().ok()),
                    ..Default::default()
                });
                let nested: serde_json::Map<_, _> =
                    metadata.into_iter().map(|(key, n)| (key, json!({ "n": n }))).collect();
                model.meta.provider_metadata = nested;
                model.aliases = aliases.iter().map(|alias| ModelId::parse(alias).unwrap()).collect();
                model.is_legacy = is_legacy;
                (model, tombstone)
            },
        )
    }

    #[derive(Clone, Debug)]
    enum Mutation {
        Drop,
        Double,
        Swap,
        SwapContents,
        Renumber,
        New,
        Old,
        Path,
        Forget,
        Tell,
    }

    /// Spoils a history; answers whether that changed it.
    fn spoil(
        entries: &mut Vec<HistoryEntry>,
        mutation: &Mutation,
        at: prop::sample::Index,
        field: prop::sample::Index,
    ) -> bool {
        let before = entries.clone();
        let at = at.index(entries.len());
        let other = field.index(entries.len());
        let count = entries[at].changes.len();
        let changed = (count > 0).then(|| field.index(count));
        match (mutation, changed) {
            (Mutation::Drop, _) => drop(entries.remove(at)),
            (Mutation::Double, _) => entries.insert(at, entries[at].clone()),
            (Mutation::Swap, _) => entries.swap(at, other),
            (Mutation::SwapContents, _) => {
                let (one, two) = (entries[at].changes.clone(), entries[other].changes.clone());
                // Changes of different fields can be made in either order: nobody could tell.
                let differ = |one: &FieldChange| two.iter().any(|two| two.path == one.path && two != one);
                if one.iter().any(differ) {
                    (entries[other].changes, entries[at].changes) = (one, two);
                }
            }
            (Mutation::Renumber, _) => entries[at].seq += 1,
            (Mutation::New, Some(field)) => entries[at].changes[field].new = Some(json!("spoilt")),
            (Mutation::Old, Some(field)) => entries[at].changes[field].old = Some(json!("spoilt")),
            (Mutation::Path, Some(field)) => entries[at].changes[field].path.push('x'),
            (Mutation::Forget, Some(field)) => drop(entries[at].changes.remove(field)),
            // Only what the record tells, too, can be checked.
            (Mutation::Tell, _) => entries.last_mut().unwrap().change.reason.push('!'),
            (_, None) => {}
        }
        *entries != before
    }

    proptest! {
        #[test]
        fn a_whole_history_is_whole_and_a_spoilt_one_is_not(
            states in prop::collection::vec(states(), 1..8),
            mutation in prop::sample::select(vec![
                Mutation::Drop, Mutation::Double, Mutation::Swap, Mutation::SwapContents, Mutation::Renumber,
                Mutation::New, Mutation::Old, Mutation::Path, Mutation::Forget, Mutation::Tell,
            ]),
            at: prop::sample::Index,
            field: prop::sample::Index,
        ) {
            let (record, mut entries) = history(&states);
            prop_assert_eq!(verify(&record, &entries), []);
            if spoil(&mut entries, &mutation, at, field) {
                prop_assert_ne!(verify(&record, &entries), []);
            }
        }
    }
}
