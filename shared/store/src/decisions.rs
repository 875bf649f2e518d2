//! What only measurements can hold: versions that take the place of others.

use jiff::Timestamp;
use roster_core::guard::Hold;
use roster_core::measure::Measured;
use roster_core::plan::Plan;
use roster_core::{ModelId, Policy, decision};

use crate::client::{Store, StoreError};

impl Store {
    /// What speaks for a version, or against it, when somebody decides on it now.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a window cannot be read.
    pub async fn evidence(
        &self,
        model: &ModelId,
        version: &semver::Version,
        now: Timestamp,
    ) -> Result<Measured, StoreError> {
        let from = now.saturating_sub(decision::EVIDENCE).unwrap_or(Timestamp::MIN);
        self.measured(model, version, from, now).await
    }

    /// Why the guard holds the activations of a plan; nothing is read for a plan without any.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or a window cannot be read.
    pub async fn decision_holds(&self, plan: &Plan, policy: &Policy, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
        let mut holds = Vec::new();
        for (step, version) in decision::activations(plan) {
            let measured = self.evidence(&step.id, version, now).await?;
            holds.extend(decision::holds(step, version, &measured, policy, now));
        }
        Ok(holds)
    }
}
