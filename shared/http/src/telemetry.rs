//! What an instance tells of its work: lines of the log, metrics, and traces.
//!
//! Lines and metrics go to standard output, where Lambda takes both to CloudWatch: a metric is a line in the embedded
//! metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! Traces go to a collector by OTLP, where one is named. Metrics are counted through the facade of `metrics`, so whoever
//! counts needs to know nothing of this, and where nobody reads them, as on the local stack, counting is nothing.
//!
//! No dimension of a metric has more than a few values: each value is a metric of its own, and is paid for.

use std::time::Duration;

use metrics::{Unit, counter, describe_histogram, histogram};
use metrics_cloudwatch_embedded::Collector;
use roster_core::alert::Alert;
use roster_store::Units;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::env::{Env, EnvError};
use crate::traces::Traces;

/// Where an instance's metrics and traces are kept until an invocation ends, for Lambda freezes it then.
pub struct Telemetry {
    metrics: Option<&'static Collector>,
    traces: Option<Traces>,
}

impl Telemetry {
    /// Logs JSON lines to standard output, from the level that `LOG_LEVEL` names, or else `info`; counts metrics in the
    /// namespace `METRICS_NAMESPACE`, and sends traces to the collector `OTEL_EXPORTER_OTLP_ENDPOINT`, where they are
    /// named. It is for a whole process, and for its beginning.
    ///
    /// # Errors
    /// [`EnvError`] when the collector's address is none.
    pub fn begin(env: &Env) -> Result<Self, EnvError> {
        const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let traces = match env.optional(ENDPOINT) {
            Some(endpoint) => Some(Traces::to(endpoint).map_err(|_| EnvError::Invalid {
                name: ENDPOINT,
                expected: "the http or https URL of an OTLP collector, without /v1/traces",
            })?),
            None => None,
        };
        let directives = directives(env.optional("LOG_LEVEL").unwrap_or("info"));
        let logged = || EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = fmt::layer().json().flatten_event(true).with_span_list(false).with_filter(logged());
        let spans = traces.as_ref().map(|traces| traces.layer().with_filter(logged().or(filter_fn(is_call))));
        let layers = tracing_subscriber::registry().with(lines).with(spans);
        // Whoever logs already, as a test does, goes on.
        let _ = layers.try_init();
        let metrics = env.optional("METRICS_NAMESPACE").and_then(|namespace| {
            let builder = metrics_cloudwatch_embedded::Builder::new().cloudwatch_namespace(namespace.to_owned());
            builder.init().inspect_err(|error| tracing::warn!(%error, "nothing is counted")).ok()
        });
        if let Some(collector) = metrics {
            describe_histogram!("Latency", Unit::Milliseconds, "");
            describe_histogram!("RevisionAge", Unit::Seconds, "");
            describe_histogram!("SyncLag", Unit::Seconds, "");
            collector.set_property("function", env.optional("_HANDLER").unwrap_or_default());
        }
        Ok(Self { metrics, traces })
    }

    /// Hands over what an invocation left, which consumed so many units. It is the last thing before Lambda may freeze
    /// the process; what cannot be handed over is logged and lost.
    pub(crate) async fn flush(&self, consumed: Units) {
        if let Some(collector) = self.metrics {
            // Once an invocation: a line takes at most a hundred values of a metric.
            histogram!("ReadUnits").record(consumed.read);
            histogram!("WriteUnits").record(consumed.write);
            if let Err(error) = collector.flush(std::io::stdout().lock()) {
                tracing::error!(%error, "metrics could not be written");
            }
        }
        if let Some(traces) = &self.traces {
            traces.flush().await;
        }
    }
}

/// Whether something is the span of a call to DynamoDB, which the SDK makes below the level that is logged of it: it has
/// the operation's name, and no key, body or header.
fn is_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("aws_sdk_dynamodb::operation")
}

/// What is logged at a level: of libraries no more than `info`, for below it they tell bodies and headers, and with them
/// tokens and notes. Whoever names a target means what they say.
fn directives(levels: &str) -> String {
    let expand = |part: &str| match part.parse::<Level>() {
        Ok(level) => format!("{},roster={level}", level.min(Level::INFO)),
        Err(_) => part.to_owned(),
    };
    levels.split(',').map(expand).collect::<Vec<_>>().join(",")
}

/// Counts an answer.
pub(crate) fn count_answer(status: http::StatusCode, took: Duration) {
    let class = match status.as_u16() {
        ..400 => "success",
        400..500 => "client_error",
        _ => "server_error",
    };
    counter!("Requests", "Outcome" => class).increment(1);
    histogram!("Latency").record(took.as_secs_f64() * 1000.0);
}

/// Counts an alert that was raised.
pub fn count_alert(alert: &Alert) {
    counter!("Alerts", "Severity" => alert.severity.name()).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_tell_no_more_than_info() {
        let told = ["error", "warn", "info", "debug", "TRACE", "debug,dynoxide=error"].map(directives);
        let expected = [
            "ERROR,roster=ERROR",
            "WARN,roster=WARN",
            "INFO,roster=INFO",
            "INFO,roster=DEBUG",
            "INFO,roster=TRACE",
            "INFO,roster=DEBUG,dynoxide=error",
        ];
        assert_eq!(told, expected);
        for directives in expected {
            assert!(EnvFilter::try_new(directives).is_ok(), "{directives}");
        }
    }
}
