//! A model's versions as admins see them.

use std::sync::Arc;

use jiff::Timestamp;
use roster_core::effective::{self, EffectiveVersion};
use roster_core::end_of_life::days_left;
use roster_core::record::Record;
use roster_core::version::{self, Version};
use roster_core::{Model, Policy};
use roster_http::{Problem, Request};
use serde_json::{Value, json};

use crate::{App, write};

/// The version that the path names.
///
/// # Errors
/// 404 when that is no version's number, with the reason.
pub(crate) fn number(request: &Request) -> Result<semver::Version, Problem> {
    version::parse(request.path_parameter("v")).map_err(Problem::not_found)
}

/// A model's versions at a time.
pub(crate) struct Versions {
    pub(crate) record: Record,
    pub(crate) policy: Arc<Policy>,
    /// As they are, in the order of the spec.
    pub(crate) effective: Vec<EffectiveVersion>,
}

impl Versions {
    /// Those of the model that the path names.
    ///
    /// # Errors
    /// 404 when there is no such model.
    pub(crate) async fn read(app: &App, request: &Request) -> Result<Self, Problem> {
        let id = write::model_id(request)?;
        let policy = app.policies.current(&app.store).await?;
        let Some(record) = app.store.records([&id]).await?.remove(&id) else {
            return Err(write::absent(app, &id, request.now).await);
        };
        let effective = effective::versions(&record.spec, record.status.rollout.as_ref(), &policy, request.now);
        Ok(Self { record, policy, effective })
    }

    pub(crate) fn model(&self) -> &Model {
        &self.record.spec
    }

    /// One of them, as it is written and as it is.
    ///
    /// # Errors
    /// 404 when there is no such version.
    pub(crate) fn get(&self, number: &semver::Version) -> Result<(&Version, &EffectiveVersion), Problem> {
        let mut both = self.model().versions.iter().zip(&self.effective);
        both.find(|(version, _)| version.version == *number).ok_or_else(|| {
            let id = &self.model().id;
            Problem::not_found(format!("model {id} has no version {number}")).with("version", json!(number))
        })
    }
}

/// A version as it is written, and as a rollout and time have made it.
pub(crate) fn shown(version: &Version, effective: &EffectiveVersion, now: Timestamp) -> Value {
    let mut shown = json!(version);
    shown["effectiveStatus"] = json!(effective.status);
    shown["weightPercent"] = effective.weight_percent.into();
    shown["endOfLife"] = json!(effective.end_of_life);
    shown["daysToEndOfLife"] = json!(effective.end_of_life.map(|end| days_left(end, now)));
    shown["replacementVersion"] = json!(effective.replacement);
    shown["blocked"] = json!(effective.blocked);
    shown
}
