//! Alerts as metrics: lines of the log in the embedded metric format, which CloudWatch counts by itself
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use std::io::Write as _;

use roster_core::alert::Alert;
use serde_json::{Value, json};

/// Where metrics are counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Absent where nobody reads the log for them, as on the local stack.
    namespace: Option<String>,
}

impl Metrics {
    pub(crate) fn new(namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned) }
    }

    /// Counts an alert.
    pub(crate) fn count(&self, alert: &Alert) {
        let Some(namespace) = &self.namespace else { return };
        // A line of its own: inside a log record CloudWatch would not find it.
        if let Err(error) = writeln!(std::io::stdout().lock(), "{}", line(namespace, alert)) {
            tracing::error!(%error, alert = alert.id, "an alert could not be counted");
        }
    }
}

/// The model is no dimension: every value of one is a metric of its own, and is paid for.
fn line(namespace: &str, alert: &Alert) -> Value {
    json!({
        "_aws": {
            "Timestamp": alert.at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [["Severity"], ["Severity", "Kind"]],
                "Metrics": [{"Name": "Alerts", "Unit": "Count"}],
            }],
        },
        "Severity": alert.severity,
        "Kind": alert.kind,
        "Alerts": 1,
        "alertId": alert.id,
        "modelId": alert.model_id,
        "version": alert.version,
        "message": alert.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every dimension and metric must be a member at the top, and there are at most 30 dimensions a set.
    #[test]
    fn a_line_has_what_the_format_asks_for() {
        let alert: Alert = serde_json::from_value(json!({
            "id": "msg_1", "kind": "rollout.rolled_back", "severity": "critical", "at": "2026-12-01T00:00:00Z",
            "modelId": "acme/one", "version": "2.0.0", "message": "it failed",
        }))
        .unwrap();
        let line = line("Roster/dev", &alert);
        assert_eq!(line["_aws"]["Timestamp"], 1_796_083_200_000_i64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Roster/dev");
        for dimension in directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap()) {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
        assert_eq!(
            (&line[directive["Metrics"][0]["Name"].as_str().unwrap()], &line["Severity"]),
            (&json!(1), &json!("critical"))
        );
    }
}
