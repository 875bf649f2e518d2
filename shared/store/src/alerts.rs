//! Alerts: kept in the runtime table, newest first, until nobody has to know of them any more.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::alert::Alert;
use roster_core::audit::Severity;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader};
use crate::transaction::Action;

const PK: &str = "alert";

/// Which alerts are asked for.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Those of this severity.
    pub severity: Option<Severity>,
    /// Those of this model.
    pub model: Option<ModelId>,
    /// Those from this time on.
    pub since: Option<Timestamp>,
}

/// An alert, with what it is kept under: what [`Store::alerts`] goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAlert {
    /// Its key.
    pub key: String,
    /// The alert.
    pub alert: Alert,
}

impl Store {
    /// The alerts that are kept, newest first, at most `limit` older than the one under the key `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an alert cannot be read.
    pub async fn alerts(
        &self,
        filter: &AlertFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeptAlert>, StoreError> {
        // No key is below a space, and none above a tilde.
        let since = filter.since.map_or_else(|| " ".to_owned(), |since| format!("{since:.6}"));
        let before = before.filter(|key| !key.is_empty()).unwrap_or("~");
        // The table takes no range that ends before it begins.
        if *since > *before {
            return Ok(Vec::new());
        }
        let mut values = Builder::default().text(":pk", PK).text(":since", since).text(":before", before);
        let mut filters = Vec::new();
        if let Some(severity) = filter.severity {
            values = values.text(":severity", severity.name());
            filters.push("severity = :severity");
        }
        if let Some(model) = &filter.model {
            values = values.text(":model", model.as_str());
            filters.push("modelId = :model");
        }
        let query = self
            .client
            .query()
            .table_name(&self.tables.runtime)
            .key_condition_expression("pk = :pk AND sk BETWEEN :since AND :before")
            .set_filter_expression(Some(filters.join(" AND ")).filter(|text| !text.is_empty()))
            .set_expression_attribute_values(Some(values.build()))
            .scan_index_forward(false);
        // Both ends of a range count, and the one before was told already.
        let items = self.query_items(query, limit + 1).await?;
        let read = |item: &Item| {
            let reader = ItemReader::new(item);
            Ok(KeptAlert { key: reader.text("sk")?.to_owned(), alert: reader.json("alert")? })
        };
        let kept: Result<Vec<KeptAlert>, StoreError> = items.iter().map(read).collect();
        let mut kept = kept?;
        kept.retain(|kept| kept.key != before);
        kept.truncate(limit);
        Ok(kept)
    }

    pub(crate) fn alert_action(&self, alert: &Alert, now: Timestamp, kept_seconds: i64) -> Result<Action, StoreError> {
        let item = Builder::keyed(PK)
            .text("sk", format!("{:.6}#{}", alert.at, alert.id))
            .text("severity", alert.severity.name())
            .text("modelId", alert.model_id.as_str())
            .number("expiresAt", now.as_second().saturating_add(kept_seconds))
            .json("alert", alert)?
            .build();
        Action::put("alert", &self.tables.runtime, item, None)
    }
}
