//! Time and notices: each effect of time is once in the history, whatever the schedule does and whoever dies; and
//! each notice arrives, signed, whoever fails to take it at first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use roster_core::notice::{Kind, Notice};
use roster_core::plan::Operation;
use roster_core::status::{self, Status};
use roster_core::{Policy, end_of_life};
use roster_notice::{Targets, Topic, Webhook};
use roster_store::Store;
use roster_store::audit::{AuditRange, Order};
use roster_tests::events::Events;
use roster_tests::proxy::{Death, Dying, Proxy};
use roster_tests::receiver::{Received, Receiver};
use roster_tests::repository::{TestRepository, model};
use roster_tests::stack::TestStack;
use roster_tests::tables::TestTables;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const DAY: i64 = 86_400;

/// Sends what is due, with pauses, until the outbox is empty; answers how often.
async fn send_all(events: &Events, store: &Store) -> usize {
    for round in 0..200 {
        if outbox(store).await.is_empty() {
            return round;
        }
        events.pass(SignedDuration::from_mins(30));
        events.call("notify").await.unwrap();
    }
    panic!("the outbox does not empty");
}

async fn outbox(store: &Store) -> Vec<roster_store::Pending> {
    store.due_notices("9000-01-01T00:00:00Z".parse().unwrap(), 10_000).await.unwrap()
}

fn webhooks(url: &str) -> Targets {
    Targets::new(None, Webhook::parse_all(url, SECRET).unwrap())
}

/// What a receiver makes of a request, by the reference implementation: the id and the body.
fn verified(request: &Received) -> (String, Value) {
    let id = &request.headers["webhook-id"];
    let at: i64 = request.headers["webhook-timestamp"].parse().unwrap();
    let reference = standardwebhooks::Webhook::new(SECRET).unwrap();
    let signature = reference.sign(id, at, request.body.as_bytes()).unwrap();
    assert_eq!(request.headers["webhook-signature"], signature);
    // The reference takes no message whose time is not its own: those that are sent again are sent later here.
    if at.abs_diff(Timestamp::now().as_second()) < 60 {
        let mut headers = http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, request.headers[name].parse().unwrap());
        }
        reference.verify(request.body.as_bytes(), &headers).unwrap();
    }
    (id.clone(), serde_json::from_str(&request.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_at_first_gets_everything_in_the_end() {
    let receiver = Receiver::start(&[500, 503, 302, 429], 204, "").await;
    let stack = TestStack::with(&[("NOTICE_WEBHOOK_URLS", &receiver.url), ("NOTICE_WEBHOOK_SECRET", SECRET)]).await;
    stack.repository.put(&model("p/m", |value| value["meta"]["internalNotes"] = json!("margin is thin")));
    stack.repository.commit("a model");
    stack.sync().await;
    receiver.wait_for(2).await;
    stack.repository.put(&model("p/m", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["inputCostPerMillionTokens"] = serde_json::from_str("1000.50").unwrap();
    }));
    stack.repository.commit("legacy and cheaper");
    stack.sync().await;
    stack.repository.write("catalog/models/p/bad.json", "{}");
    stack.repository.commit("no model");
    stack.sync().await;
    // Created, applied; legacy, cheaper, applied; rejected: six, each tried once by now.
    receiver.wait_for(6).await;
    stack.settle().await;
    let events = Events::new(stack.store.clone(), webhooks(&receiver.url), Timestamp::now());
    send_all(&events, &stack.store).await;

    let received = receiver.received();
    let mut arrived: BTreeMap<String, u32> = BTreeMap::new();
    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for request in &received {
        let (id, body) = verified(request);
        assert_eq!(bodies.entry(id.clone()).or_insert_with(|| body.clone()), &body, "the same each time");
        *arrived.entry(id).or_default() += u32::from(request.status == 204);
    }
    assert_eq!(received.len(), 10, "four of them were in vain");
    assert!(arrived.values().all(|&count| count == 1), "{arrived:?}");
    let mut kinds: Vec<&str> = bodies.values().map(|body| body["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = ["model.created", "model.legacy", "price.changed", "sync.applied", "sync.applied", "sync.rejected"];
    assert_eq!(kinds, expected);
    let price = bodies.values().find(|body| body["type"] == "price.changed").unwrap();
    assert_eq!(
        price["data"]["changes"].to_string(),
        r#"[{"new":1000.50,"old":1250,"percent":-19.96,"price":"inputCostPerMillionTokens"}]"#
    );
    assert!(received.iter().all(|request| !request.body.contains("thin")));
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_and_a_webhook_fail_each_for_itself() {
    let answer = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
    let sns = Receiver::start(&[], 200, answer).await;
    let receiver = Receiver::start(&[500], 200, "").await;
    let tables = TestTables::embedded().await;
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    let topic = Topic::local(&sns.url, "arn:aws:sns:us-east-1:000000000000:roster-test-notices");
    let targets = Targets::new(Some(topic), Webhook::parse_all(&receiver.url, SECRET).unwrap());
    let events = Events::new(tables.store.clone(), targets, now);
    let notice = Notice::new(Kind::SyncFailed, &["x"], now, json!({"error": "a & b"}));
    assert!(tables.store.post(&notice, now).await.unwrap());
    assert!(!tables.store.post(&notice, now).await.unwrap(), "it is there");
    send_all(&events, &tables.store).await;
    assert!(!tables.store.post(&notice, now).await.unwrap(), "it was there");
    assert_eq!((sns.received().len(), receiver.received().len()), (1, 2));
    let form = &sns.received()[0].body;
    let fields: BTreeMap<String, String> = reqwest::Url::parse(&format!("http://x/?{form}"))
        .unwrap()
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    assert_eq!((fields["Action"].as_str(), fields["Message"].as_str()), ("Publish", notice.body().as_str()));
    assert!(fields.values().any(|value| value == "sync.failed") && fields.values().any(|value| *value == notice.id));
    tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_given_up_and_told() {
    let tables = TestTables::embedded().await;
    let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    for (status, least, most) in [(410, 1, 1), (500, 15, 30)] {
        let receiver = Receiver::start(&[], status, "").await;
        let events = Events::new(tables.store.clone(), webhooks(&receiver.url), now);
        let notice = Notice::new(Kind::SyncFailed, &[&status.to_string()], now, json!({}));
        tables.store.post(&notice, now).await.unwrap();
        send_all(&events, &tables.store).await;
        let tries = receiver.received().len();
        assert!((least..=most).contains(&tries), "{status}: {tries}");
        let range =
            AuditRange { from: now, to: events.now() + SignedDuration::from_hours(1), order: Order::NewestFirst };
        let page = tables.store.audit_page(&range, None, 10, 31).await.unwrap();
        let told: Vec<String> = page.entries.iter().map(|entry| entry.reason().to_owned()).collect();
        let words = format!("in {tries} tries");
        assert!(told.iter().any(|told| told.starts_with("sync.failed did not reach webhook") && told.contains(&words)));
        assert!(events.now() < now + SignedDuration::from_hours(24 * 5), "it ends");
    }
    tables.close().await;
}

/// What happens to a catalogue while its clock runs.
#[derive(Clone, Debug)]
enum Turn {
    /// The clock function runs, so many minutes after the last time, or before.
    Tick(i64),
    /// It runs twice at once, as two instances.
    Double(i64),
    /// It dies at a write.
    Crash(i64, u8, bool),
    /// A commit moves a model's sunset, in days from now.
    Sunset(u8, Option<i16>),
    /// A commit schedules two prices, in days from now.
    Price(u8, i16),
    /// A commit removes a model's file, or brings it back.
    Toggle(u8),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let minutes = prop_oneof![4 => Just(1i64), 2 => -3i64..3, 4 => 60i64..60 * 24 * 40];
    let slot = 0u8..3;
    let turn = prop_oneof![
        3 => minutes.clone().prop_map(Turn::Tick),
        2 => minutes.clone().prop_map(Turn::Double),
        3 => (minutes, 0u8..5, any::<bool>()).prop_map(|(time, writes, late)| Turn::Crash(time, writes, late)),
        3 => (slot.clone(), prop::option::weighted(0.85, -5i16..120)).prop_map(|(slot, days)| Turn::Sunset(slot, days)),
        2 => (slot.clone(), -5i16..60).prop_map(|(slot, days)| Turn::Price(slot, days)),
        1 => slot.prop_map(Turn::Toggle),
    ];
    prop::collection::vec(turn, 6..24)
}

/// Plays turns, and checks after each that nothing is told or done twice, and nothing published moved by itself.
async fn play(turns: &[Turn]) {
    let tables = TestTables::embedded().await;
    let repository = TestRepository::new();
    let mut files: Vec<Value> = (0..3).map(|slot| model(&format!("p/m{slot}"), |_| {})).collect();
    files.iter().for_each(|file| repository.put(file));
    repository.put(&model("p/stays", |_| {}));
    repository.commit("start");
    tables.sync(&repository).await;
    let start: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let events = Events::new(tables.store.clone(), Targets::default(), start);
    let mut told: Vec<(String, Timestamp, u64)> = Vec::new();
    let mut latest = start;
    for turn in turns.iter().chain([&Turn::Tick(1), &Turn::Tick(0)]) {
        let before = tables.digest().await;
        let days = |days: i16| (events.now() + SignedDuration::from_secs(i64::from(days) * DAY)).to_string();
        let mut commits = false;
        let mut is_whole = false;
        match turn {
            Turn::Tick(minutes) => {
                events.pass(SignedDuration::from_mins(*minutes));
                is_whole = events.call("lifecycle-clock").await.unwrap()["state"] != "busy";
            }
            Turn::Double(minutes) => {
                events.pass(SignedDuration::from_mins(*minutes));
                let other = Events::new(tables.store.clone(), Targets::default(), events.now());
                let (one, two) = tokio::join!(events.call("lifecycle-clock"), other.call("lifecycle-clock"));
                drop((one.unwrap(), two.unwrap()));
            }
            Turn::Crash(minutes, writes, late) => {
                events.pass(SignedDuration::from_mins(*minutes));
                let death = if *late { Death::AfterEffect } else { Death::BeforeEffect };
                let proxy = Proxy::start(tables.endpoint(), Dying::after(i64::from(*writes), death)).await;
                let dying = Events::new(tables.store_at(&proxy.url), Targets::default(), events.now());
                let _ = dying.call("lifecycle-clock").await;
            }
            Turn::Sunset(slot, moved) => {
                let file = &mut files[usize::from(*slot)];
                file["meta"]["sunsetDate"] = moved.map_or(Value::Null, |moved| days(moved).into());
                repository.put(file);
                commits = true;
            }
            Turn::Price(slot, from) => {
                let file = &mut files[usize::from(*slot)];
                file["meta"]["priceSchedule"] = json!([
                    {"from": days(*from), "inputCostPerMillionTokens": 1000 + i64::from(*from)},
                    {"from": days(*from + 3), "outputCostPerMillionTokens": 7},
                ]);
                repository.put(file);
                commits = true;
            }
            Turn::Toggle(slot) => {
                let file = &files[usize::from(*slot)];
                let id = file["id"].as_str().unwrap();
                if repository.model_path(id).exists() {
                    repository.remove(id);
                } else {
                    repository.put(file);
                }
                commits = true;
            }
        }
        if commits {
            repository.commit("turn");
            tables.sync(&repository).await;
            let (again, _) = tables.sync_with(&repository, |options| options.guard = false).await.unwrap();
            assert_eq!(again.consumed.write, 0.0, "a second sync writes nothing");
        } else {
            assert_eq!(tables.digest().await, before, "time is no part of the digest");
        }
        latest = latest.max(events.now());
        for pending in outbox(&tables.store).await {
            let body: Value = serde_json::from_str(&pending.body).unwrap();
            let (data, window) = (&body["data"], body["data"]["windowDays"].as_u64().unwrap());
            let sunset: Timestamp = data["sunsetDate"].as_str().unwrap().parse().unwrap();
            let key = (data["modelId"].as_str().unwrap().to_owned(), sunset, window);
            let nearer =
                told.iter().filter(|(id, at, _)| (id, at) == (&key.0, &key.1)).map(|(_, _, window)| *window).min();
            assert!(nearer.is_none_or(|nearer| nearer > window), "{key:?} after {nearer:?}");
            told.push(key);
            tables.store.remove_notice(&pending.id).await.unwrap();
        }
        if is_whole {
            for record in tables.records().await {
                assert_eq!(status::due(&record, &Policy::default(), events.now()), None, "{record:?}");
                let Some(sunset) = record.spec.meta.sunset_date.filter(|_| !record.is_archived()) else { continue };
                if let Some(window) = end_of_life::window(&[90, 60, 30, 7], sunset, events.now()) {
                    let id = record.spec.id.as_str();
                    assert!(
                        told.iter().any(|(other, at, told)| (other.as_str(), *at) == (id, sunset) && *told <= window)
                    );
                }
            }
        }
    }
    tables.check_history().await;
    for record in tables.records().await {
        let mut history = tables.history(record.spec.id.as_str()).await;
        history.reverse();
        for at in 0..history.len() {
            let (entry, before, after) =
                (&history[at], Status::replayed(&history[..at]), Status::replayed(&history[..=at]));
            let is_clock = entry.change.source == "clock";
            let old: BTreeSet<_> = before.prices_applied.iter().collect();
            let new: BTreeSet<_> = after.prices_applied.iter().collect();
            let effects = new.difference(&old).count()
                + usize::from(after.sunset_reached.is_some() && after.sunset_reached != before.sunset_reached);
            assert_eq!(effects, usize::from(is_clock), "one effect is one entry: {entry:?}");
            if is_clock {
                assert!(matches!(entry.change.operations[..], [Operation::Archive | Operation::ApplyPrice]));
                assert!(entry.change.at <= latest);
            }
        }
    }
    tables.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn time_does_everything_once(turns in turns()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(play(&turns));
    }
}

/// A clock that is put back after a commit must not have the commit overlooked.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back() {
    play(&[Turn::Tick(1), Turn::Sunset(0, Some(0)), Turn::Tick(-1), Turn::Tick(2033), Turn::Sunset(2, Some(29))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sunset_runs_its_course() {
    let stack = TestStack::new().await;
    let now = Timestamp::now();
    let sunset = now + SignedDuration::from_secs(20 * DAY);
    let owned = json!({
        "id": "api/m", "name": "m", "provider": "api", "isAvailable": true, "isLegacy": false, "isArchived": false,
        "meta": model("p/m", |_| {})["meta"],
    });
    assert_eq!(stack.admin("POST /admin/models", &owned).await.status, 201);
    stack.repository.put(&model("p/m", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["sunsetDate"] = json!(sunset.to_string());
        value["meta"]["legacyReplacementModelId"] = json!("p/next");
    }));
    stack.repository.put(&model("p/next", |value| {
        value["isLegacy"] = json!(true);
        value["meta"]["sunsetDate"] = json!((sunset + SignedDuration::from_secs(50 * DAY)).to_string());
    }));
    stack.repository.commit("on their way out");
    stack.sync().await;
    let marked = json!({"sunsetDate": (now + SignedDuration::from_secs(3 * DAY)).to_string(), "reason": "old"});
    assert_eq!(stack.admin("POST /admin/models/api%2Fm/mark-legacy", &marked).await.status, 200);

    let warnings = async |query: &str| {
        let answer = stack.admin(&format!("GET /admin/warnings{query}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["data"].clone()
    };
    let all = warnings("").await;
    let seen = |data: &Value| -> Vec<String> {
        let all = data["warnings"].as_array().unwrap().iter();
        all.map(|warning| format!("{} {} {}", warning["id"], warning["severity"], warning["daysLeft"])).collect()
    };
    assert_eq!(
        seen(&all),
        [r#""api/m" "critical" 3"#, r#""p/m" "warning" 20"#, r#""p/next" "info" 70"#],
        "the soonest first"
    );
    assert_eq!(all["warnings"][0]["replacementIsMissing"], true);
    assert_eq!(all["warnings"][1]["replacementInUse"], "p/next");
    assert_eq!(all["warnings"][1]["replacementIsGoing"], true);
    assert_eq!((&all["total"], &all["withinDays"]), (&json!(3), &json!(90)));
    assert_eq!(seen(&warnings("?within_days=30&provider=p").await), [r#""p/m" "warning" 20"#]);
    assert_eq!(seen(&warnings("?severity=info").await), [r#""p/next" "info" 70"#]);
    let first = warnings("?limit=2").await;
    let next = format!("?limit=2&cursor={}", first["nextCursor"].as_str().unwrap());
    assert_eq!(seen(&warnings(&next).await), [r#""p/next" "info" 70"#]);
    assert_eq!(stack.admin("GET /admin/warnings?severity=loud", &Value::Null).await.status, 400);

    let events = Events::new(stack.store.clone(), Targets::default(), now + SignedDuration::from_secs(4 * DAY));
    let done = events.call("lifecycle-clock").await.unwrap();
    assert_eq!((&done["effects"], &done["notices"]), (&json!(1), &json!(2)), "{done}");
    let idle = events.call("lifecycle-clock").await.unwrap();
    assert_eq!(idle["state"], "idle");
    let record = stack.admin("GET /admin/models/api%2Fm", &Value::Null).await.json();
    assert_eq!(record["data"]["change"]["source"], "clock", "{record}");
    assert_eq!(record["data"]["model"]["isArchived"], false, "the spec stays what was asked for");
    assert!(record["data"]["status"]["sunsetReached"].is_string());
    assert_eq!(record["data"]["archived"]["actor"], "clock");
    // Drift knows nothing of it, and who moves the sunset away has the model back.
    assert_eq!(stack.event("check-drift").await["drift"], json!([]));
    let back = stack.admin("POST /admin/models/api%2Fm/unmark-legacy", &json!({"reason": "kept"})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    let record = stack.admin("GET /admin/models/api%2Fm", &Value::Null).await.json();
    assert_eq!((&record["data"]["status"], &record["data"]["archived"]), (&Value::Null, &Value::Null));
    stack.close().await;
}
