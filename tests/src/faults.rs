//! What DynamoDB may do to any call, and a local one never does: throttling, errors, conflicts, lost requests and
//! answers, unprocessed items, stale and slow reads.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::proxy::{Behaviour, Message, Upstream};

/// How long a slow read may take at most, in milliseconds.
const SLOW_MS: u64 = 60;

/// How many calls an outage swallows: more than the SDK tries, so that callers see it.
const OUTAGE: u64 = 20;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `ThrottlingException`.
    Throttled,
    /// `ProvisionedThroughputExceededException`.
    ThroughputExceeded,
    /// `RequestLimitExceeded`.
    LimitExceeded,
    /// `InternalServerError`, of a call that had no effect.
    ServerError,
    /// `TransactionCanceledException`, for another transaction is in the way of one item, or its table is throttled; for
    /// a write of one item `TransactionConflictException`.
    Conflict,
    /// `TransactionInProgressException`: the same transaction is under way.
    InProgress,
    /// The connection breaks before DynamoDB has the request.
    RequestLost,
    /// DynamoDB does it, and the connection breaks before the answer.
    AnswerLost,
    /// A part of a batch is done, the rest is handed back.
    Unprocessed,
    /// An eventually consistent read answers what it answered before.
    Stale,
    /// A read takes its time.
    Slow,
    /// Nothing gets through, for several calls.
    Outage,
}

impl Fault {
    /// Every kind that befalls a call alone.
    const SINGLE: [Self; 11] = [
        Self::Throttled,
        Self::ThroughputExceeded,
        Self::LimitExceeded,
        Self::ServerError,
        Self::Conflict,
        Self::InProgress,
        Self::RequestLost,
        Self::AnswerLost,
        Self::Unprocessed,
        Self::Stale,
        Self::Slow,
    ];

    /// Whether DynamoDB does this to such a call.
    fn befalls(self, call: &Message) -> bool {
        match self {
            Self::Conflict => ["TransactWriteItems", "PutItem", "UpdateItem", "DeleteItem"].contains(&call.operation()),
            Self::InProgress => call.operation() == "TransactWriteItems",
            Self::Unprocessed => ["BatchWriteItem", "BatchGetItem"].contains(&call.operation()),
            Self::Stale => call.operation() == "GetItem" && call.json()["ConsistentRead"] != true,
            Self::Slow => !call.is_write(),
            _ => true,
        }
    }
}

/// Breaks calls at random.
///
/// Of each operation, whether the n-th call is broken and how follows from the seed, so a seed that failed fails again
/// as far as the calls come in the same order.
pub struct Faults {
    seed: u64,
    permille: u64,
    outages: u64,
    /// The faults that come first, call by call of one operation, whatever the seed says.
    script: Mutex<HashMap<&'static str, Vec<Fault>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: BTreeMap<String, u64>,
    injected: BTreeMap<Fault, u64>,
    retries: u64,
    /// The calls that the present outage will swallow.
    outage: u64,
    answers: HashMap<Vec<u8>, Message>,
}

impl Faults {
    /// Breaks that many of a thousand calls.
    #[must_use]
    pub fn random(seed: u64, permille: u64) -> Self {
        Self { seed, permille, outages: 0, script: Mutex::default(), seen: Mutex::default() }
    }

    /// Besides, begins an outage at that many of a thousand calls.
    #[must_use]
    pub fn with_outages(self, permille: u64) -> Self {
        Self { outages: permille, ..self }
    }

    /// Breaks the first calls of one operation, each in one way, and no others.
    #[must_use]
    pub fn scripted(operation: &'static str, faults: &[Fault]) -> Self {
        let script = HashMap::from([(operation, faults.iter().rev().copied().collect())]);
        Self { script: Mutex::new(script), ..Self::random(0, 0) }
    }

    /// How often each fault was injected.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.seen().injected.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What befalls a call, and the chances for its details.
    fn draw(&self, call: &Message) -> (Option<Fault>, Rng) {
        let mut seen = self.seen();
        let count = seen.calls.entry(call.operation().to_owned()).or_default();
        *count += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, call.operation(), *count).hash(&mut hasher);
        let mut rng = Rng::with_seed(hasher.finish());
        let is_first = call.header("amz-sdk-request").is_none_or(|attempt| attempt.starts_with("attempt=1"));
        seen.retries += u64::from(!is_first);
        if seen.outage == 0 && rng.u64(0..1000) < self.outages {
            seen.outage = OUTAGE;
        }
        if seen.outage > 0 {
            seen.outage -= 1;
            return (Some(Fault::Outage), rng);
        }
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let scripted = script.get_mut(call.operation()).and_then(Vec::pop);
        let fault = scripted.or_else(|| {
            let possible: Vec<Fault> = Fault::SINGLE.into_iter().filter(|fault| fault.befalls(call)).collect();
            (rng.u64(0..1000) < self.permille).then(|| possible[rng.usize(0..possible.len())])
        });
        (fault, rng)
    }
}

impl Behaviour for Faults {
    async fn answer(&self, call: Message, upstream: &mut Upstream) -> Option<Message> {
        let (fault, mut rng) = self.draw(&call);
        let is_repeatable = Fault::Stale.befalls(&call);
        let earlier = is_repeatable.then(|| self.seen().answers.get(&call.body).cloned()).flatten();
        // Nothing is stale that was never answered.
        let fault = fault.filter(|fault| *fault != Fault::Stale || earlier.is_some());
        if let Some(fault) = fault {
            *self.seen().injected.entry(fault).or_default() += 1;
        }
        let answer = match fault {
            None => upstream.call(&call).await?,
            Some(Fault::Throttled) => refusal("ThrottlingException"),
            Some(Fault::ThroughputExceeded) => refusal("ProvisionedThroughputExceededException"),
            Some(Fault::LimitExceeded) => refusal("RequestLimitExceeded"),
            Some(Fault::ServerError) => Message::answer("500 Internal Server Error", &error("InternalServerError")),
            Some(Fault::Conflict) => conflict(&call, &mut rng),
            Some(Fault::InProgress) => refusal("TransactionInProgressException"),
            Some(Fault::RequestLost | Fault::Outage) => return None,
            Some(Fault::AnswerLost) => {
                upstream.call(&call).await?;
                return None;
            }
            Some(Fault::Unprocessed) => in_part(&call, upstream, &mut rng).await?,
            Some(Fault::Stale) => earlier?,
            Some(Fault::Slow) => {
                tokio::time::sleep(Duration::from_millis(rng.u64(1..=SLOW_MS))).await;
                upstream.call(&call).await?
            }
        };
        if is_repeatable && fault.is_none() {
            self.seen().answers.insert(call.body, answer.clone());
        }
        Some(answer)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen();
        let (calls, injected): (u64, u64) = (seen.calls.values().sum(), seen.injected.values().sum());
        write!(
            f,
            "seed {}: {injected} faults in {calls} calls, {} of them retries of the SDK;",
            self.seed, seen.retries
        )?;
        seen.injected.iter().try_for_each(|(fault, count)| write!(f, " {fault:?} {count}"))
    }
}

fn error(kind: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "injected"})
}

fn refusal(kind: &str) -> Message {
    Message::answer("400 Bad Request", &error(kind))
}

/// One of the items cannot be written now.
fn conflict(call: &Message, rng: &mut Rng) -> Message {
    const REASONS: [&str; 4] =
        ["TransactionConflict", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    let body = call.json();
    let Some(actions) = body["TransactItems"].as_array() else { return refusal("TransactionConflictException") };
    let (at, reason) = (rng.usize(0..actions.len()), REASONS[rng.usize(0..REASONS.len())]);
    let code = |place: usize| if place == at { reason } else { "None" };
    let mut refused = error("TransactionCanceledException");
    refused["CancellationReasons"] = (0..actions.len()).map(|place| json!({"Code": code(place)})).collect();
    Message::answer("400 Bad Request", &refused)
}

/// Has the first few items of a batch done, perhaps none, and hands the others back.
async fn in_part(call: &Message, upstream: &mut Upstream, rng: &mut Rng) -> Option<Message> {
    let mut done = call.json();
    let (mut left, mut is_empty) = (json!({}), true);
    for (table, request) in done["RequestItems"].as_object_mut()? {
        let mut rest = request.clone();
        let (items, rest_items) = match request.is_array() {
            true => (request.as_array_mut()?, rest.as_array_mut()?),
            false => (request["Keys"].as_array_mut()?, rest["Keys"].as_array_mut()?),
        };
        let kept = rng.usize(0..items.len());
        items.truncate(kept);
        rest_items.drain(..kept);
        is_empty &= kept == 0;
        left[table] = rest;
    }
    let (answer, mut body) = match is_empty {
        true => (Message::answer("200 OK", &json!({})), json!({"Responses": {}})),
        false => {
            let answer = upstream.call(&call.with_body(&done)).await?;
            let body = answer.json();
            (answer, body)
        }
    };
    let key = if call.is_write() { "UnprocessedItems" } else { "UnprocessedKeys" };
    body[key] = left;
    Some(answer.with_body(&body))
}
