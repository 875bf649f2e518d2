//! Alerts: kept in the runtime table, newest first, until nobody has to know of them any more; and which versions in
//! use do not measure up, so that each breach is told once.

use jiff::Timestamp;
use roster_core::ModelId;
use roster_core::alert::Alert;
use roster_core::audit::Severity;
use roster_core::notice::Notice;

use crate::client::{Store, StoreError};
use crate::item::{Builder, Item, ItemReader, key};
use crate::rollouts::seconds;
use crate::transaction::{Action, Condition};

const PK: &str = "alert";
const BREACH_PK: &str = "breach";

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

/// That a version in use does not measure up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The model.
    pub model: ModelId,
    /// The version.
    pub version: semver::Version,
    /// When that was first seen.
    pub since: Timestamp,
}

impl Breach {
    fn sort_key(&self) -> String {
        format!("{}#{}", self.model, self.version)
    }

    fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = ItemReader::new(item);
        let corrupt = |message: String| reader.corrupt(message);
        let (model, version) =
            reader.text("sk")?.split_once('#').ok_or_else(|| corrupt("sk: names no version".to_owned()))?;
        Ok(Self {
            model: ModelId::parse(model).map_err(|error| corrupt(format!("sk: {error}")))?,
            version: version.parse().map_err(|error| corrupt(format!("sk: {error}")))?,
            since: reader.text("since")?.parse().map_err(|error| corrupt(format!("since: {error}")))?,
        })
    }
}

impl Store {
    /// The breaches that are told of and not over.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn breaches(&self) -> Result<Vec<Breach>, StoreError> {
        self.partition_items(&self.tables.runtime, BREACH_PK).await?.iter().map(Breach::read).collect()
    }

    /// Remembers a breach and tells it, unless it is known; answers whether it was not. The alert is kept for so many
    /// days.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn begin_breach(
        &self,
        breach: &Breach,
        told: (&Alert, &Notice),
        alert_days: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let item =
            Builder::keyed(BREACH_PK).text("sk", breach.sort_key()).text("since", breach.since.to_string()).build();
        let unknown = Condition { expression: "attribute_not_exists(pk)", values: Item::new() };
        let mark = Action::put("breach", &self.tables.runtime, item, Some(unknown))?;
        self.tell_breach(mark, Some(told), alert_days, now).await
    }

    /// Forgets a breach, and tells that it is over where somebody is to know; answers whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn end_breach(
        &self,
        breach: &Breach,
        told: Option<(&Alert, &Notice)>,
        alert_days: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = Builder::default().text(":since", breach.since.to_string()).build();
        let same = Condition { expression: "since = :since", values };
        let item = key(BREACH_PK, Some(&breach.sort_key()));
        let mark = Action::delete("breach", &self.tables.runtime, item, Some(same))?;
        self.tell_breach(mark, told, alert_days, now).await
    }

    async fn tell_breach(
        &self,
        mark: Action,
        told: Option<(&Alert, &Notice)>,
        alert_days: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut actions = vec![mark];
        if let Some((alert, notice)) = told {
            actions.push(self.alert_action(alert, now, alert_days)?);
            actions.extend(self.notice_actions(notice, now)?);
        }
        match self.transact(&actions).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

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

    /// The action that keeps an alert for so many days.
    pub(crate) fn alert_action(&self, alert: &Alert, now: Timestamp, days: u64) -> Result<Action, StoreError> {
        let item = Builder::keyed(PK)
            .text("sk", format!("{:.6}#{}", alert.at, alert.id))
            .text("severity", alert.severity.name())
            .text("modelId", alert.model_id.as_str())
            .number("expiresAt", now.as_second().saturating_add(seconds(days)))
            .json("alert", alert)?
            .build();
        Action::put("alert", &self.tables.runtime, item, None)
    }
}
