//! Notices on their way out: each stays here until everybody who is to get it has it, or it is given up.
//!
//! A notice comes in once, by a mark that outlives it. It is claimed before it is sent, and a claim already says when
//! to try again: so a sender that dies has lost nothing, and two senders do not send the same at once.

use std::collections::BTreeSet;

use jiff::Timestamp;
use roster_core::audit::AuditEvent;
use roster_core::notice::Notice;
use roster_core::{ModelId, canonical};

use crate::client::{Store, StoreError};
use crate::history::event_item;
use crate::item::{Builder, Item, ItemReader, key};
use crate::transaction::{Action, Condition};

const PK: &str = "outbox";
/// For how long it is remembered that a notice was posted, in seconds. A stream comes again for a day at most.
const MARK_SECONDS: i64 = 30 * 86_400;
/// For how long a notice that was given up is kept, in seconds.
const DEAD_SECONDS: i64 = 30 * 86_400;

/// A notice that somebody has yet to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The notice's id.
    pub id: String,
    /// Its `type`.
    pub kind: String,
    /// What is sent, the same each time.
    pub body: String,
    /// Since when it is here.
    pub posted_at: Timestamp,
    /// When to try it next.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: u64,
    /// Who need not be tried any more.
    pub settled: BTreeSet<String>,
}

impl Store {
    /// Posts a notice, unless it was posted before; answers whether it was not.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn post(&self, notice: &Notice, now: Timestamp) -> Result<bool, StoreError> {
        self.post_once(self.notice_actions(notice, now)?).await
    }

    /// The actions that post a notice, void when it was posted before.
    pub(crate) fn notice_actions(&self, notice: &Notice, now: Timestamp) -> Result<[Action; 2], StoreError> {
        let mark = Builder::keyed(format!("notice#{}", notice.id))
            .text("sk", "posted")
            .number("expiresAt", now.as_second().saturating_add(MARK_SECONDS));
        let unknown = Condition { expression: "attribute_not_exists(pk)", values: Item::new() };
        self.marked_actions(notice, mark.build(), unknown, now)
    }

    /// Posts the notice that a model's sunset is near, unless the same one or one of a nearer window was posted
    /// before; answers whether it was not.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn post_sunset(
        &self,
        notice: &Notice,
        (model, sunset, window): (&ModelId, Timestamp, u64),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let subject = canonical::sha256_hex(format!("{model}\n{sunset}").as_bytes());
        // Who went back behind the sunset and comes again, if only by a clock, is told nothing twice.
        let expires = sunset.max(now).as_second().saturating_add(MARK_SECONDS);
        let mark = Builder::keyed(format!("notice#{}", &subject[..32]))
            .text("sk", "sunset")
            .number("windowDays", window)
            .number("expiresAt", expires);
        let values = Builder::default().number(":window", window).build();
        let nearer = Condition { expression: "attribute_not_exists(pk) OR windowDays > :window", values };
        self.post_once(self.marked_actions(notice, mark.build(), nearer, now)?).await
    }

    fn marked_actions(
        &self,
        notice: &Notice,
        mark: Item,
        condition: Condition,
        now: Timestamp,
    ) -> Result<[Action; 2], StoreError> {
        let item = Builder::keyed(PK)
            .text("sk", notice.id.as_str())
            .text("kind", notice.kind.name())
            .text("body", notice.body())
            .number("postedAt", now.as_millisecond())
            .number("dueAt", now.as_millisecond())
            .number("attempts", 0)
            .json("settled", &BTreeSet::<String>::new())?
            .build();
        Ok([
            Action::put("notice", &self.tables.runtime, mark, Some(condition))?,
            Action::put("outbox", &self.tables.runtime, item, None)?,
        ])
    }

    async fn post_once(&self, actions: [Action; 2]) -> Result<bool, StoreError> {
        match self.transact(&actions).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(what)) if what == "notice" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Posts a notice of what has happened already, whether or not it can be: that it cannot is logged.
    pub async fn notify(&self, notice: &Notice, now: Timestamp) {
        if let Err(error) = self.post(notice, now).await {
            tracing::error!(%error, kind = notice.kind.name(), "a notice could not be posted");
        }
    }

    /// The notices in the outbox that are due, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn due_notices(&self, now: Timestamp, limit: usize) -> Result<Vec<Pending>, StoreError> {
        let values = Builder::default().text(":pk", PK).number(":now", now.as_millisecond()).build();
        let query = self
            .client
            .query()
            .table_name(&self.tables.runtime)
            .key_condition_expression("pk = :pk")
            .filter_expression("dueAt <= :now")
            .consistent_read(true)
            .set_expression_attribute_values(Some(values));
        self.query_items(query, limit).await?.iter().map(read).collect()
    }

    /// The notices in the outbox, due or not, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn waiting_notices(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        self.last_items(&self.tables.runtime, PK, None, limit).await?.iter().map(read).collect()
    }

    /// The notices of these ids that are in the outbox.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or an item cannot be read.
    pub async fn pending_notices(&self, ids: &[&str]) -> Result<Vec<Pending>, StoreError> {
        let keys = ids.iter().map(|id| key(PK, Some(id))).collect();
        self.get_items(&self.tables.runtime, keys, true).await?.iter().map(read).collect()
    }

    /// Claims a notice for one try, and says when the next one is due; answers whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn claim_notice(&self, pending: &Pending, next: Timestamp) -> Result<bool, StoreError> {
        let values = Builder::default()
            .number(":seen", pending.attempts)
            .number(":next", next.as_millisecond())
            .number(":one", 1)
            .build();
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(key(PK, Some(&pending.id))))
            .update_expression("SET dueAt = :next, attempts = attempts + :one")
            .condition_expression("attempts = :seen")
            .set_expression_attribute_values(Some(values));
        Ok(self.update_item_if(update).await?.is_ok())
    }

    /// Remembers who need not be tried any more.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn settle_notice(&self, id: &str, settled: &BTreeSet<String>) -> Result<(), StoreError> {
        let values = Builder::default().json(":settled", settled)?.build();
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.runtime)
            .set_key(Some(key(PK, Some(id))))
            .update_expression("SET settled = :settled")
            .condition_expression("attribute_exists(pk)")
            .set_expression_attribute_values(Some(values));
        self.update_item_if(update).await.map(drop)
    }

    /// Takes a notice that is done with out of the outbox.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer.
    pub async fn remove_notice(&self, id: &str) -> Result<(), StoreError> {
        self.delete_item(&self.tables.runtime, key(PK, Some(id))).await
    }

    /// Lays a notice aside that somebody did not get, and tells the audit.
    ///
    /// # Errors
    /// [`StoreError`] when a table does not answer.
    pub async fn give_up_notice(
        &self,
        pending: &Pending,
        target: &str,
        event: &AuditEvent,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let item = Builder::keyed("undelivered")
            .text("sk", format!("{}#{target}", pending.id))
            .text("kind", pending.kind.as_str())
            .text("body", pending.body.as_str())
            .text("error", event.message.as_str())
            .number("expiresAt", now.as_second().saturating_add(DEAD_SECONDS))
            .build();
        let actions = [
            Action::put("undelivered", &self.tables.runtime, item, None)?,
            Action::put("event", &self.tables.history, event_item(event)?, None)?,
        ];
        self.transact(&actions).await
    }
}

fn read(item: &Item) -> Result<Pending, StoreError> {
    let reader = ItemReader::new(item);
    let time = |name: &str| -> Result<Timestamp, StoreError> {
        let millis = i64::try_from(reader.number(name)?).map_err(|error| reader.corrupt(error.to_string()))?;
        Timestamp::from_millisecond(millis).map_err(|error| reader.corrupt(format!("{name}: {error}")))
    };
    Ok(Pending {
        id: reader.text("sk")?.to_owned(),
        kind: reader.text("kind")?.to_owned(),
        body: reader.text("body")?.to_owned(),
        posted_at: time("postedAt")?,
        due_at: time("dueAt")?,
        attempts: reader.number("attempts")?,
        settled: reader.json("settled")?,
    })
}
