//! What a change would do, as the API tells it.

use serde_json::Value;

use super::show::{self, FieldChange, Line};

/// The answer to a dry run.
pub(crate) struct Plan {
    pub(crate) message: String,
    pub(crate) path: String,
    pub(crate) operations: Vec<String>,
    pub(crate) holds: Vec<String>,
    pub(crate) lines: Vec<Line>,
    /// Whether it would do anything.
    pub(crate) is_change: bool,
}

impl Plan {
    /// The plan in the answer to a dry run.
    pub(crate) fn of(message: String, data: &Value) -> Self {
        let list = |key: &str| data[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let changes: Vec<FieldChange> = serde_json::from_value(data["changes"].clone()).unwrap_or_default();
        Self {
            message,
            path: data["path"].as_str().unwrap_or_default().to_owned(),
            operations: list("operations").iter().map(show::operation).collect(),
            holds: list("holds").iter().map(|hold| show::value(&hold["message"])).collect(),
            lines: data["diff"].as_str().map_or_else(|| show::changes(&changes), show::difference),
            is_change: !list("operations").is_empty(),
        }
    }
}
