//! Traces: a span a request and in it one a call to DynamoDB, sent to a collector by OTLP once the request is answered.
//!
//! The SDK's own processors send in the background, which stands still while Lambda has the process frozen. So spans
//! are kept here until the invocation ends, and sent then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// Spans that are kept at most: what more an invocation makes is not sent.
const MAX_SPANS: usize = 2_048;
/// How long a collector may take; a request waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    ended: Ended,
    exporter: SpanExporter,
}

impl Traces {
    /// Traces for the collector at a URL, which is asked for nothing yet.
    ///
    /// # Errors
    /// When it is no URL.
    pub(crate) fn to(endpoint: &str) -> Result<Self, ExporterBuildError> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()?;
        let resource = Resource::builder().with_service_name("roster").build();
        exporter.set_resource(&resource);
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(ended.clone()).build();
        Ok(Self { provider, ended, exporter })
    }

    /// What makes spans of `tracing` the collector's.
    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        // Where in the source a span is made is nobody's business outside.
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("roster")).with_location(false)
    }

    /// Sends what has ended. What a collector does not take is lost.
    pub(crate) async fn flush(&self) {
        let spans = self.ended.take();
        if spans.is_empty() {
            return;
        }
        if let Err(error) = self.exporter.export(spans).await {
            tracing::warn!(%error, "traces could not be sent");
        }
    }
}

/// The trace that a request is part of, where it says so (<https://www.w3.org/TR/trace-context/>).
pub(crate) fn parent(headers: &HeaderMap) -> Option<Context> {
    let names_one = headers.contains_key("traceparent");
    names_one.then(|| TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers)))
}

/// The spans that have ended and are not sent.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl Ended {
    fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if span.span_context.is_sampled() && spans.len() < MAX_SPANS {
            spans.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceContextExt as _;

    #[test]
    fn a_request_continues_the_trace_that_it_names() {
        let told = |text: &'static str| {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), text.parse().unwrap())]);
            parent(&headers).map(|context| context.span().span_context().trace_id().to_string())
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(told("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(trace));
        assert_eq!(told("nonsense").as_deref(), Some("00000000000000000000000000000000"), "a trace of its own");
        assert!(parent(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_collector_has_an_address() {
        assert!(Traces::to("http://127.0.0.1:4318/").is_ok());
        assert!(Traces::to("nowhere in particular").is_err());
    }
}
