//! Overrides: they are left alone while they last, and end by themselves.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use roster_core::audit::{AuditEvent, EventKind};
use roster_core::diff::FieldChange;
use roster_core::plan::{Asker, Operation, Step};
use roster_core::propose::{self, Before, Blueprint};
use roster_core::record::{ChangeNote, GitOrigin, Origin, Override, OverrideTerms, Record};
use roster_core::validate::{self, Proposal, SourcedModel};
use roster_core::{ModelId, file};
use roster_store::models::RecordWrite;
use roster_store::{Manifest, Publication};
use serde::Serialize;

use crate::read::{ReadCommit, Scope};
use crate::reconcile::{Reconciler, Session, SyncError, days, judge, short};

/// Who ends what is over.
const CLOCK: &str = "clock";

/// An override that ended, or in a dry run would end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedOverride {
    /// The model.
    pub id: ModelId,
    /// Whose override it was, why and until when.
    #[serde(rename = "override")]
    pub terms: OverrideTerms,
    /// What is done to the model.
    pub operations: Vec<Operation>,
    /// The fields that change.
    pub changes: Vec<FieldChange>,
}

impl Reconciler {
    /// Brings the models whose override is over back to what their files say, each as a change of its own.
    ///
    /// The guard does not judge it: what a file says has passed it, and an override must end.
    pub(crate) async fn end_overrides(
        &self,
        session: &mut Session,
        over: &[ModelId],
    ) -> Result<Vec<EndedOverride>, SyncError> {
        let mut ended = Vec::new();
        // Without a head everything is made anew, and what is overridden with it.
        if session.head.is_none() {
            return Ok(ended);
        }
        let now = (self.clock)();
        let mut records = session.store.records(over).await?;
        for id in over {
            match records.remove(id) {
                Some(Record { origin: Origin::Git(origin), overridden: Some(overridden), .. })
                    if overridden.terms.until > now =>
                {
                    tracing::debug!(model = %id, path = origin.path, "the override was replaced by a longer one");
                }
                Some(record) if record.overridden.is_some() => {
                    ended.extend(self.end_override(session, record, now).await?);
                }
                _ => {
                    if let Some(lease) = &session.lease {
                        session.store.forget_override(lease, id).await?;
                    }
                }
            }
        }
        Ok(ended)
    }

    /// One of them; `None` when what the file says breaks a rule by now, which the audit is told.
    async fn end_override(
        &self,
        session: &mut Session,
        record: Record,
        now: Timestamp,
    ) -> Result<Option<EndedOverride>, SyncError> {
        let (Some(Override { terms, spec, .. }), Origin::Git(origin)) = (&record.overridden, &record.origin) else {
            return Ok(None);
        };
        let (id, terms) = (spec.id.clone(), terms.clone());
        let Blueprint { problems, plan, next, .. } = self.judge_end(session, &record, spec, origin, now).await?;
        let (Some(step), Some(next)) = (plan.steps.into_iter().next(), next) else {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            self.tell_stuck(session, &id, &first, now).await;
            return Ok(None);
        };
        let ended = EndedOverride { id, terms, operations: step.operations.clone(), changes: step.changes.clone() };
        let Some(lease) = session.lease.clone() else { return Ok(Some(ended)) };
        let Some(head) = session.head.clone() else { return Ok(None) };
        let manifest = Manifest { revision: head.revision + 1, roots: next.roots, published_at: now, ..head.clone() };
        let note = note(&step, &ended.terms, manifest.revision, &session.options.correlation_id, now);
        let write = RecordWrite {
            read_seq: Some(record.seq),
            record: Record::after(Some(&record), &step, record.origin.clone(), note),
        };
        session.store.put_chunks(&next.fresh, None).await?;
        let publication = Publication {
            previous: Some(&head),
            next: &manifest,
            retention_seconds: days(session.policy.retention.revision_days),
            // What a run left half way is for the commits to finish.
            half_way: std::collections::BTreeSet::new(),
        };
        session.store.publish(&lease, &[write], &publication).await?;
        next.fresh.into_iter().for_each(|(id, node)| session.nodes.insert(id, node));
        session.head = Some(manifest);
        Ok(Some(ended))
    }

    async fn judge_end(
        &self,
        session: &mut Session,
        record: &Record,
        spec: &roster_core::Model,
        origin: &GitOrigin,
        now: Timestamp,
    ) -> Result<Blueprint, SyncError> {
        let text = file::text(spec, &origin.path).map_err(|error| SyncError::Internal(error.to_string()))?;
        let sourced = match validate::read_model(&origin.path, text.as_bytes()) {
            Ok(sourced) => sourced,
            Err(problems) => {
                return Ok(Blueprint { problems, plan: Default::default(), holds: Vec::new(), next: None });
            }
        };
        let in_place = [spec.id.clone()].into();
        let proposal = Proposal { present: vec![Arc::new(sourced)], in_place, ..Proposal::default() };
        let records = HashMap::from([(spec.id.clone(), record.clone())]);
        let asked = propose::Asked { proposal: &proposal, problems: &[], policy_changes: false, asker: Asker::Git };
        let (roots, policy) = (session.roots(), session.policy.clone());
        let before = Before { roots: &roots, policy: &policy, records: &records, api_models: 0 };
        judge(session, asked, before, now).await
    }

    /// Keeps for the audit that an override cannot end; the same again within the hour is no news.
    async fn tell_stuck(&self, session: &Session, id: &ModelId, why: &str, now: Timestamp) {
        tracing::error!(model = %id, why, "an override is over and cannot end");
        if session.lease.is_none() {
            return;
        }
        let hour = now.as_second() - now.as_second().rem_euclid(3600);
        let at = Timestamp::from_second(hour).unwrap_or(now);
        let message = short(&format!("the override of {id} is over and cannot end: {why}"));
        let event = AuditEvent::new(EventKind::SyncFailed, at, CLOCK, CLOCK, message);
        session.store.tell(&AuditEvent { model_id: Some(id.clone()), ..event }).await;
    }
}

/// Leaves models alone that are overridden while their file is what it was: what is live is asked for.
///
/// Where everything is read anew, a file may be there only because it is looked at; else it is there because it
/// changed, and counts again.
pub(crate) fn leave_alone(read: &mut ReadCommit, records: &mut HashMap<ModelId, Record>, scope: &Scope) {
    for sourced in &mut read.proposal.present {
        let Some(record) = records.get_mut(&sourced.model.id) else { continue };
        let blob = read.blobs.get(&sourced.model.id).map(|(_, blob)| blob.to_string());
        let is_same = |overridden: &mut Override| {
            blob.as_ref() == Some(&overridden.blob) || *scope == Scope::Whole && sourced.model == overridden.spec
        };
        // Without its override the record is what is asked for, so that there is nothing to do.
        if record.overridden.take_if(is_same).is_some() {
            let document = sourced.document.clone();
            *sourced = Arc::new(SourcedModel { document, model: record.spec.clone() });
        }
    }
}

fn note(step: &Step, terms: &OverrideTerms, revision: u64, correlation_id: &str, now: Timestamp) -> ChangeNote {
    ChangeNote {
        operations: step.operations.clone(),
        actor: CLOCK.to_owned(),
        reason: short(&format!("the override of {} is over: {}", terms.actor, terms.reason)),
        source: CLOCK.to_owned(),
        at: terms.until,
        applied_at: now,
        commit: None,
        pull_request: None,
        revision,
        correlation_id: correlation_id.to_owned(),
    }
}
