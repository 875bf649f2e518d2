//! Inference results as services report them: a batch whose every field is checked, and what a result counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::measure::Sketch;
use crate::window::{Grain, Windows};

/// The most results of a batch.
pub const MAX_RESULTS: usize = 500;
/// The largest batch in bytes: what so many results of ordinary length take, twice over.
pub const MAX_BYTES: usize = 512 * 1024;
/// Results that are older than this are refused: the windows that they belong to have been judged.
pub const LATE: SignedDuration = SignedDuration::from_hours(24);
/// Results may be ahead by as much as clocks differ.
pub const FUTURE: SignedDuration = SignedDuration::from_mins(5);

/// The most characters of a batch's id.
pub(crate) const MAX_ID: usize = 200;
/// The most characters of a model's name.
pub(crate) const MAX_NAME: usize = 200;
/// No call takes longer than a day.
pub(crate) const MAX_LATENCY_MS: f64 = 86_400_000.0;
/// A hundred times what any context takes.
pub(crate) const MAX_TOKENS: u64 = 100_000_000;
/// More mistakes are not told at once.
const MAX_MISTAKES: usize = 100;
/// The most windows that one part of a batch may touch: a transaction takes 100 items, and one remembers the part.
const MAX_WINDOWS: usize = 99;
/// The most latency buckets of one part: an update takes an expression of 4 KB.
const MAX_BUCKETS: usize = 250;

/// A batch of results that is counted once, however often it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What its sender calls it.
    pub id: String,
    /// The results.
    pub results: Vec<Inference>,
}

/// The result of one call of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The model's id or alias.
    pub model: String,
    /// The version that answered; the active one where none is named.
    pub version: Option<semver::Version>,
    /// Why it was no success.
    pub outcome: Result<(), ErrorKind>,
    /// How long it took.
    pub latency_ms: f64,
    /// How sure the answer is of itself, from 0 to 1.
    pub confidence: Option<f64>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// When it was; when it was reported where it does not say so.
    pub at: Option<Timestamp>,
}

/// Why a call was no success. The list is closed, so that what is counted by kind stays small and comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No answer in time.
    Timeout,
    /// The provider's limit for the caller.
    RateLimited,
    /// The provider had too much to do.
    Overloaded,
    /// The provider did not answer, or with an error of its own.
    Unavailable,
    /// The provider refused the request as it was.
    InvalidRequest,
    /// The provider did not accept the credentials.
    Unauthorized,
    /// The prompt was longer than the model takes.
    ContextLength,
    /// A filter stopped the prompt or the answer.
    ContentFilter,
    /// The answer could not be used.
    InvalidOutput,
    /// The caller gave up.
    Cancelled,
    /// Anything else, and what is not said.
    Other,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::ContextLength,
        Self::ContentFilter,
        Self::InvalidOutput,
        Self::Cancelled,
        Self::Other,
    ];

    /// The kind's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::InvalidRequest => "invalid_request",
            Self::Unauthorized => "unauthorized",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
            Self::InvalidOutput => "invalid_output",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }
}

/// Why a result is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "contract", schemars(rename = "InferenceRefusal"))]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It is too old to be counted.
    Late,
    /// It is further ahead than clocks differ.
    Future,
    /// No model has that name.
    UnknownModel,
    /// The model has no such version.
    UnknownVersion,
    /// It names no version, and the model has versions of which none is active.
    NoActiveVersion,
}

impl Refusal {
    /// Whether a time is one that is counted now.
    ///
    /// # Errors
    /// [`Refusal::Late`] or [`Refusal::Future`].
    pub fn check_time(at: Timestamp, now: Timestamp) -> Result<(), Self> {
        let age = now.duration_since(at);
        if age > LATE {
            return Err(Self::Late);
        }
        if age < -FUTURE { Err(Self::Future) } else { Ok(()) }
    }

    /// What the sender is told.
    #[must_use]
    pub fn told(self, result: &Inference) -> String {
        let Inference { model, version, at, .. } = result;
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let version = version.as_ref().map(ToString::to_string).unwrap_or_default();
        match self {
            Self::Late => format!("at {at} is more than {} hours ago: report results as they come", LATE.as_hours()),
            Self::Future => format!("at {at} is more than {} minutes ahead: check the clock", FUTURE.as_mins()),
            Self::UnknownModel => format!("no model has the id or alias \"{model}\""),
            Self::UnknownVersion => format!("model {model} has no version {version}: register it first"),
            Self::NoActiveVersion => format!("no version of model {model} is active: name the version"),
        }
    }
}

/// What became of the results of a batch, or of a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many were counted.
    pub counted: u64,
    /// The others, each by its place in the batch.
    pub refused: BTreeMap<Refusal, Vec<usize>>,
}

impl Tally {
    /// Adds what became of other results.
    pub fn merge(&mut self, other: Self) {
        self.counted += other.counted;
        for (refusal, places) in other.refused {
            self.refused.entry(refusal).or_default().extend(places);
        }
    }

    /// Each refused result with the reason, in the order of the batch.
    #[must_use]
    pub fn refusals(&self) -> Vec<(usize, Refusal)> {
        let all = self.refused.iter().flat_map(|(&refusal, places)| places.iter().map(move |&at| (at, refusal)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    }
}

/// A part of a batch, counted: what becomes known together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What became of its results.
    pub tally: Tally,
    /// What they add to each window.
    pub windows: Windows,
}

/// A mistake: its place in the body (RFC 6901), and what is wrong.
pub type Mistake = (String, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch<'b> {
    #[serde(default)]
    id: Option<Value>,
    #[serde(borrow, default)]
    results: Option<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawResult {
    model: Option<Value>,
    version: Option<Value>,
    success: Option<Value>,
    latency_ms: Option<Value>,
    confidence: Option<Value>,
    input_tokens: Option<Value>,
    output_tokens: Option<Value>,
    error: Option<Value>,
    at: Option<Value>,
}

impl Batch {
    /// Reads a body that is JSON.
    ///
    /// # Errors
    /// Every mistake, as far as there are not very many, with its place.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let raw: Option<RawBatch<'_>> = mistakes.take("", object(bytes));
        let Some(RawBatch { id, results }) = raw else { return Err(mistakes.0) };
        let id = mistakes.field("/id", id, |id: String| match id.chars().count() {
            1..=MAX_ID => Ok(id),
            length => Err(format!("has {length} characters: an id has 1 to {MAX_ID}")),
        });
        let id = mistakes.required("/id", id);
        let raw: Option<Vec<&RawValue>> =
            results.and_then(|raw| mistakes.take("/results", serde_json::from_str(raw.get())));
        let raw = raw.unwrap_or_default();
        if !(1..=MAX_RESULTS).contains(&raw.len()) && mistakes.0.iter().all(|(pointer, _)| pointer != "/results") {
            mistakes.add("/results", format!("holds {} results: a batch has 1 to {MAX_RESULTS}", raw.len()));
        }
        let results: Vec<_> =
            raw.iter().take(MAX_RESULTS).enumerate().filter_map(|(at, raw)| result(at, raw, &mut mistakes)).collect();
        match id.filter(|_| mistakes.0.is_empty()) {
            Some(id) => Ok(Self { id, results }),
            None => Err(mistakes.0),
        }
    }

    /// Where the batch is cut, so that each part fits into one transaction. It depends on nothing but the batch: who
    /// sends it again, to whichever instance and however much later, has it cut alike.
    #[must_use]
    pub fn parts(&self) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut windows, mut buckets) = (0, BTreeSet::new(), BTreeSet::new());
        for (at, result) in self.results.iter().enumerate() {
            let of = |grain: Grain| (&result.model, &result.version, grain, result.at.map(|at| grain.start(at)));
            windows.extend(Grain::ALL.map(of));
            buckets.insert(Sketch::bucket(result.latency_ms));
            if windows.len() > MAX_WINDOWS || buckets.len() > MAX_BUCKETS {
                parts.push(start..at);
                start = at;
                windows = Grain::ALL.map(of).into();
                buckets = [Sketch::bucket(result.latency_ms)].into();
            }
        }
        parts.push(start..self.results.len());
        parts
    }
}

fn result(at: usize, raw: &RawValue, mistakes: &mut Mistakes) -> Option<Inference> {
    let before = mistakes.0.len();
    let raw: RawResult = mistakes.take(&format!("/results/{at}"), object(raw.get().as_bytes()))?;
    let pointer = |key: &str| format!("/results/{at}/{key}");
    let model = mistakes.field(&pointer("model"), raw.model, |name: String| match name.chars().count() {
        1..=MAX_NAME => Ok(name),
        _ => Err(format!("is no model's id or alias: those have 1 to {MAX_NAME} characters")),
    });
    let version = mistakes.field(&pointer("version"), raw.version, |version: String| {
        let version = version.parse::<semver::Version>();
        version.map_err(|error| format!("is no semantic version such as 1.4.0: {error}"))
    });
    let success = mistakes.field(&pointer("success"), raw.success, Ok::<bool, String>);
    let latency_ms = mistakes.field(&pointer("latencyMs"), raw.latency_ms, |ms| within(ms, MAX_LATENCY_MS));
    let confidence = mistakes.field(&pointer("confidence"), raw.confidence, |confidence| within(confidence, 1.0));
    let tokens = |tokens: serde_json::Number| {
        let whole = tokens.as_u64().filter(|tokens| *tokens <= MAX_TOKENS);
        whole.ok_or_else(|| format!("is {tokens}: a whole number from 0 to {MAX_TOKENS} is possible"))
    };
    let input_tokens = mistakes.field(&pointer("inputTokens"), raw.input_tokens, tokens);
    let output_tokens = mistakes.field(&pointer("outputTokens"), raw.output_tokens, tokens);
    let error = mistakes.field(&pointer("error"), raw.error, |name: String| {
        let kind = ErrorKind::ALL.into_iter().find(|kind| kind.name() == name);
        let names = || ErrorKind::ALL.map(ErrorKind::name).join(", ");
        kind.ok_or_else(|| format!("\"{name}\" is no kind of error: those are {}", names()))
    });
    let time = mistakes.field(&pointer("at"), raw.at, |at: String| {
        at.parse::<Timestamp>().map_err(|_| format!("\"{at}\" is no time such as 2026-11-21T10:00:00Z"))
    });
    if success == Some(true) && error.is_some() {
        mistakes.add(pointer("error"), "a success has no error");
    }
    let model = mistakes.required(&pointer("model"), model);
    let success = mistakes.required(&pointer("success"), success);
    let latency_ms = mistakes.required(&pointer("latencyMs"), latency_ms);
    let (model, success, latency_ms) = (model?, success?, latency_ms?);
    let outcome = if success { Ok(()) } else { Err(error.unwrap_or(ErrorKind::Other)) };
    let result = Inference { model, version, outcome, latency_ms, confidence, input_tokens, output_tokens, at: time };
    (mistakes.0.len() == before).then_some(result)
}

/// An object as a type. Without a look at its first character, a list of the fields' values would do.
fn object<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, serde_json::Error> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(serde::de::Error::custom("is no object"));
    }
    serde_json::from_slice(bytes)
}

fn within(value: f64, most: f64) -> Result<f64, String> {
    if (0.0..=most).contains(&value) { Ok(value) } else { Err(format!("is {value}: from 0 to {most} is possible")) }
}

/// The mistakes of a body, at most [`MAX_MISTAKES`].
#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < MAX_MISTAKES {
            self.0.push((pointer.into(), message.into()));
        }
    }

    fn take<T>(&mut self, pointer: &str, read: Result<T, serde_json::Error>) -> Option<T> {
        read.map_err(|error| {
            let message = error.to_string();
            // The line is that of the part, not of the body.
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            self.add(pointer, message);
        })
        .ok()
    }

    /// A field's value, where it is there and can be used.
    fn field<R: DeserializeOwned, T>(
        &mut self,
        pointer: &str,
        value: Option<Value>,
        check: impl FnOnce(R) -> Result<T, String>,
    ) -> Option<T> {
        let read: R = self.take(pointer, serde_json::from_value(value?))?;
        check(read).map_err(|message| self.add(pointer, message)).ok()
    }

    fn required<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && self.0.iter().all(|(other, _)| other != pointer) {
            self.add(pointer, "is required");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn mistakes(body: &Value) -> Vec<String> {
        let mistakes = Batch::read(body.to_string().as_bytes()).expect_err("mistakes");
        mistakes.into_iter().map(|(pointer, message)| format!("{pointer}: {message}")).collect()
    }

    fn result_with(key: &str, value: Value) -> Value {
        let mut result = json!({"model": "a/b", "success": false, "latencyMs": 12.5});
        result[key] = value;
        json!({"id": "x", "results": [result]})
    }

    #[test]
    fn a_batch_is_read() {
        let body = json!({"id": "b-1", "results": [
            {"model": "a/b", "version": "1.0.0", "success": true, "latencyMs": 812, "confidence": 0.93,
             "inputTokens": 10, "outputTokens": 0, "error": null, "at": "2026-11-26T02:00:00+01:00"},
            {"model": "b", "success": false, "latencyMs": 0.25},
        ]});
        let batch = Batch::read(body.to_string().as_bytes()).unwrap();
        assert_eq!(batch.id, "b-1");
        assert_eq!(batch.results[0].version, Some(semver::Version::new(1, 0, 0)));
        assert_eq!(batch.results[0].at, "2026-11-26T01:00:00Z".parse().ok());
        assert_eq!((batch.results[0].outcome, batch.results[1].outcome), (Ok(()), Err(ErrorKind::Other)));
        assert_eq!((batch.results[1].input_tokens, batch.results[1].latency_ms), (None, 0.25));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let told = mistakes(&json!({"id": "", "results": [
            {"model": 7, "success": "yes", "latencyMs": -1, "confidence": 1.5, "inputTokens": 1.5, "outputTokens": -3},
            {"model": "a", "version": "latest", "success": true, "latencyMs": 1, "error": "timeout", "at": "now"},
            {"model": "a", "success": false, "latencyMs": 1, "error": "weather", "tokens": 5},
            {"model": "a", "success": false, "error": "weather"},
            5,
            ["a", null, true, 1, null, null, null, null, null],
        ]}));
        insta::assert_snapshot!(told.join("\n"), @r#"
        /id: has 0 characters: an id has 1 to 200
        /results/0/model: invalid type: number, expected a string
        /results/0/success: invalid type: string "yes", expected a boolean
        /results/0/latencyMs: is -1: from 0 to 86400000 is possible
        /results/0/confidence: is 1.5: from 0 to 1 is possible
        /results/0/inputTokens: is 1.5: a whole number from 0 to 100000000 is possible
        /results/0/outputTokens: is -3: a whole number from 0 to 100000000 is possible
        /results/1/version: is no semantic version such as 1.4.0: unexpected character 'l' while parsing major version number
        /results/1/at: "now" is no time such as 2026-11-21T10:00:00Z
        /results/1/error: a success has no error
        /results/2: unknown field `tokens`, expected one of `model`, `version`, `success`, `latencyMs`, `confidence`, `inputTokens`, `outputTokens`, `error`, `at`
        /results/3/error: "weather" is no kind of error: those are timeout, rate_limited, overloaded, unavailable, invalid_request, unauthorized, context_length, content_filter, invalid_output, cancelled, other
        /results/3/latencyMs: is required
        /results/4: is no object
        /results/5: is no object
        "#);
        assert_eq!(mistakes(&json!({"id": "x"})), ["/results: holds 0 results: a batch has 1 to 500"]);
        assert_eq!(mistakes(&json!({"id": "x", "results": "y"})).len(), 1);
        assert_eq!(mistakes(&json!(["x", []])), [": is no object"]);
    }

    #[test]
    fn a_key_is_not_given_twice() {
        let body = br#"{"id": "x", "results": [{"model": "a", "model": "b", "success": true, "latencyMs": 1}]}"#;
        assert_eq!(Batch::read(body), Err(vec![("/results/0".to_owned(), "duplicate field `model`".to_owned())]));
    }

    #[test]
    fn limits_are_inside() {
        for (key, good, bad) in [
            ("latencyMs", json!(0), json!(86_400_000.5)),
            ("latencyMs", json!(86_400_000), json!(-0.1)),
            ("confidence", json!(1), json!(1.001)),
            ("inputTokens", json!(100_000_000), json!(100_000_001)),
        ] {
            assert!(Batch::read(result_with(key, good).to_string().as_bytes()).is_ok(), "{key}");
            assert_eq!(mistakes(&result_with(key, bad)).len(), 1, "{key}");
        }
        let many =
            |count| json!({"id": "x", "results": vec![result_with("model", json!("a"))["results"][0].clone(); count]});
        assert!(Batch::read(many(MAX_RESULTS).to_string().as_bytes()).is_ok());
        assert_eq!(mistakes(&many(501)), ["/results: holds 501 results: a batch has 1 to 500"]);
    }

    #[test]
    fn times_are_counted_to_their_very_limits() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let check = |seconds: i64| Refusal::check_time(now + SignedDuration::from_secs(seconds), now);
        assert_eq!([check(-86_400), check(0), check(300)], [Ok(()); 3]);
        assert_eq!((check(-86_401), check(301)), (Err(Refusal::Late), Err(Refusal::Future)));
    }

    proptest! {
        /// Every result is in one part, and a part fits into a transaction.
        #[test]
        fn parts_are_whole_and_fit(
            results in prop::collection::vec((0_u8..40, 0_i64..100_000, -1.0_f64..6.0), 1..500),
        ) {
            let result = |&(model, at, latency): &(u8, i64, f64)| Inference {
                model: format!("m{model}"),
                version: None,
                outcome: Ok(()),
                latency_ms: 10_f64.powf(latency),
                confidence: None,
                input_tokens: None,
                output_tokens: None,
                at: (at % 3 != 0).then(|| Timestamp::from_second(1_800_000_000 + at).unwrap()),
            };
            let batch = Batch { id: "x".to_owned(), results: results.iter().map(result).collect() };
            let parts = batch.parts();
            let places: Vec<usize> = parts.iter().cloned().flatten().collect();
            prop_assert_eq!(places, (0..results.len()).collect::<Vec<_>>());
            for part in parts {
                let mut windows = Windows::default();
                for result in &batch.results[part] {
                    let subject = crate::window::Subject { model: crate::ModelId::parse(&result.model).unwrap(), version: None };
                    let at = result.at.unwrap_or(Timestamp::from_second(1_800_050_000).unwrap());
                    windows.count(&subject, at, result, None);
                }
                prop_assert!(windows.iter().count() <= MAX_WINDOWS);
                prop_assert!(windows.iter().all(|(_, measured)| measured.latency.buckets().count() <= MAX_BUCKETS));
            }
        }
    }
}
