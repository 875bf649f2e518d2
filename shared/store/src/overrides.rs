//! Overrides: one item each, so that whoever ends those that are over need not look at every model.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::plan::Operation;
use roster_core::record::Record;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};
use crate::lease::Lease;
use crate::transaction::Action;

const PK: &str = "override";

impl Store {
    /// The models whose override is over by `now`, for one query of a partition that is empty at most times.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn overrides_over(&self, now: Timestamp) -> Result<Vec<ModelId>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.runtime)
            .key_condition_expression("pk = :pk")
            .set_expression_attribute_values(Some(Builder::default().text(":pk", PK).build()));
        let mut over = Vec::new();
        for item in self.query_items(query, usize::MAX).await? {
            let reader = ItemReader::new(&item);
            let until: Timestamp =
                reader.text("until")?.parse().map_err(|error| reader.corrupt(format!("until: {error}")))?;
            if until <= now {
                over.push(ModelId::parse(reader.text("sk")?).map_err(|error| reader.corrupt(error.to_string()))?);
            }
        }
        Ok(over)
    }

    /// Forgets the item of a model that is not overridden any more: something else than Roster ended that.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is lost.
    pub async fn forget_override(&self, lease: &Lease, id: &ModelId) -> Result<(), StoreError> {
        let delete = Action::delete("override", &self.tables.runtime, override_key(id), None)?;
        self.transact(&[self.fence_action(lease)?, delete]).await
    }

    /// What a record's change does to its item: it comes and goes with the override.
    pub(crate) fn override_action(&self, record: &Record) -> Result<Option<Action>, StoreError> {
        let (id, table) = (&record.spec.id, &self.tables.runtime);
        if let Some(overridden) = &record.overridden {
            let item = Builder::keyed(PK).text("sk", id.as_str()).text("until", overridden.terms.until.to_string());
            return Action::put("override", table, item.build(), None).map(Some);
        }
        let ends = record.change.operations.contains(&Operation::EndOverride);
        ends.then(|| Action::delete("override", table, override_key(id), None)).transpose()
    }
}

fn override_key(id: &ModelId) -> Item {
    key(PK, Some(id.as_str()))
}
