//! What results are about and what they cost, by the catalogue.

use std::collections::HashMap;

use jiff::Timestamp;
use roster_core::Model;
use roster_core::inference::{Batch, Inference, Part, Refusal};
use roster_core::lifecycle;
use roster_core::quote::{self, Dollars, Usage};
use roster_core::view::View;
use roster_core::window::Subject;
use roster_store::reader::Snapshot;

/// Counts results by one revision of the catalogue.
pub(crate) struct Counting<'s> {
    snapshot: &'s Snapshot,
    now: Timestamp,
    /// The models that were looked up, by the names that results have for them.
    known: HashMap<String, Option<(&'s View, Model)>>,
}

impl<'s> Counting<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, now: Timestamp) -> Self {
        Self { snapshot, now, known: HashMap::new() }
    }

    /// What a batch counts, part by part.
    pub(crate) fn parts(mut self, batch: &Batch) -> Vec<Part> {
        batch.parts().into_iter().map(|places| self.part(batch, places)).collect()
    }

    fn part(&mut self, batch: &Batch, places: std::ops::Range<usize>) -> Part {
        let mut part = Part::default();
        for (at, result) in places.clone().zip(&batch.results[places]) {
            match self.subject(result) {
                Ok((subject, time, cost)) => {
                    part.tally.counted += 1;
                    part.windows.count(&subject, time, result, cost);
                }
                Err(refusal) => part.tally.refused.entry(refusal).or_default().push(at),
            }
        }
        part
    }

    /// Whom a result is about, when it was, and what it cost where that is known.
    fn subject(&mut self, result: &Inference) -> Result<(Subject, Timestamp, Option<Dollars>), Refusal> {
        let at = result.at.unwrap_or(self.now);
        Refusal::check_time(at, self.now)?;
        let snapshot = self.snapshot;
        // An archived model was called before it was archived, or by somebody who should not: either is what happened.
        let look_up = || snapshot.get(&result.model).and_then(|view| Some((view, snapshot.spec(view)?)));
        let known = self.known.entry(result.model.clone()).or_insert_with(look_up);
        let (view, spec) = known.as_ref().ok_or(Refusal::UnknownModel)?;
        let version = match &result.version {
            None if spec.versions.is_empty() => None,
            None => Some(view.active_version.as_ref().ok_or(Refusal::NoActiveVersion)?),
            named => named.as_ref(),
        };
        let entry = version.map(|version| spec.versions.iter().find(|entry| entry.version == *version));
        let entry = entry.map(|found| found.ok_or(Refusal::UnknownVersion)).transpose()?;
        let own = entry.and_then(|entry| entry.overrides.as_ref());
        let usage = match (result.input_tokens, result.output_tokens) {
            // Who does not say the tokens does not say that there were none.
            (None, None) => None,
            (input, output) => {
                let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
                Some(Usage { input, output, ..Usage::default() })
            }
        };
        let prices = lifecycle::version_prices_at(&spec.meta, own, at);
        let cost = usage.and_then(|usage| quote::quote(&usage, &prices).ok()).map(|quote| quote.cost_usd);
        Ok((Subject { model: view.id.clone(), version: version.cloned() }, at, cost))
    }
}
