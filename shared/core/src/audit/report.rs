//! The compliance report: who did what, what was refused, and whether anything is missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::audit::{AuditEntry, EventKind, Severity};
use crate::model::ModelId;

/// What happened in a stretch of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Changes and events together.
    pub entries: u64,
    /// Changes of models.
    pub changes: u64,
    /// Everything else.
    pub events: u64,
    /// The time of the first entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The time of the last entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Entries by operation or kind; a change with two operations counts under both.
    pub by_operation: BTreeMap<&'static str, u64>,
    /// Entries by who did it.
    pub by_actor: BTreeMap<String, u64>,
    /// Entries by how grave they are.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Entries by the way they came.
    pub by_source: BTreeMap<String, u64>,
    /// What went wrong.
    pub errors: Errors,
    /// What was refused or held.
    pub policy_violations: PolicyViolations,
    /// Held plans that were approved.
    pub approvals: u64,
    /// How often the sync was held by hand.
    pub holds: u64,
    /// Models that changed.
    pub models_touched: u64,
    /// Entries that do not exist, between others of their models that do.
    pub gaps: Vec<Gap>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// Commits with mistakes.
    pub commit_rejected: u64,
    /// Syncs that did not get through.
    pub sync_failed: u64,
    /// Records that something else than Roster changed, and that were put right.
    pub table_edited: u64,
    /// Notices that did not reach who was to get them.
    pub notice_undelivered: u64,
}

/// What was refused or held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyViolations {
    /// Writes by the API that were refused.
    pub write_refused: u64,
    /// Plans that were held for approval.
    pub plan_held: u64,
    /// Versions that were to take over and were let go no further.
    pub version_refused: u64,
    /// How often each rule was broken.
    pub by_rule: BTreeMap<String, u64>,
}

/// An entry that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The model.
    pub model_id: ModelId,
    /// The entry's seq.
    pub seq: u64,
}

/// Makes a [`Report`] of entries that come one at a time, in any order.
#[derive(Clone, Debug, Default)]
pub struct ReportBuilder {
    report: Report,
    seqs: BTreeMap<ModelId, BTreeSet<u64>>,
}

impl ReportBuilder {
    /// Counts an entry.
    pub fn add(&mut self, entry: &AuditEntry) {
        let report = &mut self.report;
        report.entries += 1;
        report.first = Some(report.first.map_or(entry.at(), |first| first.min(entry.at())));
        report.last = report.last.max(Some(entry.at()));
        for operation in entry.operations().into_iter().collect::<BTreeSet<_>>() {
            *report.by_operation.entry(operation).or_default() += 1;
        }
        count(&mut report.by_actor, entry.actor());
        count(&mut report.by_source, entry.source());
        *report.by_severity.entry(entry.severity()).or_default() += 1;
        match entry {
            AuditEntry::Change(entry) => {
                report.changes += 1;
                self.seqs.entry(entry.model_id.clone()).or_default().insert(entry.seq);
            }
            AuditEntry::Event(event) => {
                report.events += 1;
                match event.kind {
                    EventKind::WriteRefused => report.policy_violations.write_refused += 1,
                    EventKind::PlanHeld => report.policy_violations.plan_held += 1,
                    EventKind::Approved => report.approvals += 1,
                    EventKind::CommitRejected => report.errors.commit_rejected += 1,
                    EventKind::SyncFailed => report.errors.sync_failed += 1,
                    EventKind::TableEdited => report.errors.table_edited += 1,
                    EventKind::NoticeUndelivered => report.errors.notice_undelivered += 1,
                    EventKind::HoldPlaced => report.holds += 1,
                    EventKind::VersionRefused => report.policy_violations.version_refused += 1,
                    EventKind::HoldEnded => {}
                }
                // An approval names the rules it overrules; it breaks none.
                if event.kind != EventKind::Approved {
                    for hold in &event.holds {
                        count(&mut report.policy_violations.by_rule, &hold.rule);
                    }
                }
            }
        }
    }

    /// The entries that were not counted between others of their models that were.
    ///
    /// They may exist all the same: a change by Git has its commit's time, which need not rise with `seq`.
    #[must_use]
    pub fn candidates(&self) -> Vec<(ModelId, u64)> {
        let mut candidates = Vec::new();
        for (model, seqs) in &self.seqs {
            let between = seqs.iter().zip(seqs.iter().skip(1)).flat_map(|(low, high)| low + 1..*high);
            candidates.extend(between.map(|seq| (model.clone(), seq)));
        }
        candidates
    }

    /// The report; the candidates that do not exist are its gaps.
    #[must_use]
    pub fn finish(self, existing: &HashSet<(ModelId, u64)>) -> Report {
        let missing = self.candidates().into_iter().filter(|candidate| !existing.contains(candidate));
        let gaps = missing.map(|(model_id, seq)| Gap { model_id, seq }).collect();
        Report { gaps, models_touched: self.seqs.len() as u64, ..self.report }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{entry, event};
    use serde_json::json;

    #[test]
    fn a_report_counts_what_happened() {
        let mut builder = ReportBuilder::default();
        for seq in [9, 3, 5] {
            let operations = json!([{"operation": "update_meta"}, {"operation": "mark_legacy"}]);
            builder.add(&AuditEntry::Change(entry(seq, operations, json!([]))));
        }
        for kind in EventKind::ALL {
            builder.add(&AuditEntry::Event(event(kind)));
        }
        let m = ModelId::parse("m").unwrap();
        let candidates: Vec<u64> = builder.candidates().into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(candidates, [4, 6, 7, 8]);
        let existing = HashSet::from([(m.clone(), 4), (m, 7)]);
        assert_eq!(
            serde_json::to_value(builder.finish(&existing)).unwrap(),
            json!({
                "entries": 13, "changes": 3, "events": 10,
                "first": "2026-11-21T10:00:00Z", "last": "2026-11-21T11:00:00Z",
                "byOperation": {
                    "update_meta": 3, "mark_legacy": 3,
                    "write_refused": 1, "plan_held": 1, "approved": 1, "commit_rejected": 1, "sync_failed": 1,
                    "hold_placed": 1, "hold_ended": 1, "table_edited": 1, "notice_undelivered": 1,
                    "version_refused": 1,
                },
                "byActor": {"Ada <ada@example.com>": 3, "ada": 10},
                "bySeverity": {"warning": 10, "critical": 3},
                "bySource": {"git": 3, "api": 10},
                "errors": {"commitRejected": 1, "syncFailed": 1, "tableEdited": 1, "noticeUndelivered": 1},
                "policyViolations": {"writeRefused": 1, "planHeld": 1, "versionRefused": 1, "byRule": {"protected": 9}},
                "approvals": 1, "holds": 1, "modelsTouched": 1,
                "gaps": [{"modelId": "m", "seq": 6}, {"modelId": "m", "seq": 8}],
            })
        );
        let nothing = ReportBuilder::default().finish(&HashSet::new());
        assert_eq!(nothing, Report::default());
    }
}
