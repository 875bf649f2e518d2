//! New versions take over or are taken back by what is measured of them alone, whoever else is at work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roster_core::ModelId;
use roster_core::record::Record;
use roster_core::rollout::RolloutState;
use roster_core::status::Status;
use roster_http::Role;
use roster_notice::Targets;
use roster_store::Store;
use roster_store::models::RecordWrite;
use roster_tests::events::Events;
use roster_tests::proxy::{Death, Dying, Proxy};
use roster_tests::repository::model;
use roster_tests::stack::{Answer, TestStack, token};
use serde_json::{Value, json};

const ID: &str = "p/one";
const MINUTE: i64 = 60;

fn events(store: Store, now: Timestamp) -> Events {
    Events::new(store, Targets::default(), now)
}

/// A stack that follows `p/one`, with a canary beside its active version, and a clock that is hours behind: results may
/// be told for a day.
struct Rollout {
    stack: TestStack,
    events: Events,
    batches: AtomicU64,
}

fn canaried(change: impl FnOnce(&mut Value)) -> Value {
    model(ID, |value| {
        value["versions"] = json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"}]);
        value["rollout"] = json!({"version": "2.0.0", "steps": [
            {"weightPercent": 5, "holdHours": 1}, {"weightPercent": 50, "holdHours": 1},
            {"weightPercent": 100, "holdHours": 0},
        ]});
        change(value);
    })
}

impl Rollout {
    async fn new() -> Self {
        let stack = TestStack::new().await;
        stack.repository.put(&canaried(|_| {}));
        stack.repository.commit("Bring out 2.0.0 (#7)");
        stack.sync().await;
        // Within a minute, so that what is told of a second before is of the same minute.
        let begin = (Timestamp::now().as_second() - 12 * 60 * MINUTE).div_euclid(MINUTE) * MINUTE + 17;
        let events = events(stack.store.clone(), Timestamp::from_second(begin).unwrap());
        Self { stack, events, batches: AtomicU64::new(0) }
    }

    /// Tells results of the canary, as they are now, of which so many failed; answers once they are counted.
    async fn results(&self, count: usize, failures: usize) {
        let at = self.events.now() - SignedDuration::from_secs(1);
        let result = |n: usize| {
            let outcome =
                if n < failures { json!({"success": false, "error": "timeout"}) } else { json!({"success": true}) };
            let mut result = json!({"model": ID, "version": "2.0.0", "latencyMs": 800 + n % 50, "confidence": 0.9,
                                    "inputTokens": 1000, "outputTokens": 200, "at": at});
            result.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
            result
        };
        let results: Vec<Value> = (0..count).map(result).collect();
        let id = self.batches.fetch_add(1, Ordering::SeqCst).to_string();
        let body = json!({"id": id, "results": results}).to_string();
        let caller = token("meter", &[Role::Service]);
        let answer = self.stack.send("POST /v1/inferences", &caller, &[], Some(&body)).await;
        assert_eq!((answer.status, &answer.json()["counted"]), (202, &json!(count)), "{}", answer.text);
    }

    fn pass(&self, minutes: i64) {
        self.events.pass(SignedDuration::from_mins(minutes));
    }

    /// What the controller does now, in words.
    async fn evaluate(&self) -> Vec<String> {
        let outcome = self.events.call("evaluate-rollouts").await.unwrap();
        assert_eq!(outcome["left"], 0, "{outcome}");
        let steps = outcome["steps"].as_array().unwrap().iter();
        steps.map(|step| step["told"].as_str().unwrap().to_owned()).collect()
    }

    /// A minute passes, with results in it, and the controller looks.
    async fn minute(&self, count: usize, failures: usize) -> Vec<String> {
        self.pass(1);
        self.results(count, failures).await;
        self.evaluate().await
    }

    async fn resolve(&self, key: &str) -> Answer {
        let body = json!({"model": ID, "key": key}).to_string();
        self.stack.send("POST /v1/resolve", "", &[], Some(&body)).await
    }

    /// How many of two hundred keys get which version.
    async fn shares(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for key in 0..200 {
            let answer = self.resolve(&format!("user-{key}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            *shares.entry(answer.json()["version"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        shares
    }

    async fn record(&self) -> Record {
        let id = ModelId::parse(ID).unwrap();
        self.stack.store.records([&id]).await.unwrap().remove(&id).unwrap()
    }

    async fn state(&self) -> Option<RolloutState> {
        self.record().await.status.rollout.map(|status| status.state)
    }

    async fn get(&self, line: &str) -> Value {
        let answer = self.stack.admin(&format!("GET {line}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["data"].clone()
    }

    async fn alerts(&self, query: &str) -> Vec<String> {
        let data = self.get(&format!("/admin/alerts{query}")).await;
        let told = |alert: &Value| {
            format!(
                "{} {}: {}",
                alert["severity"].as_str().unwrap(),
                alert["kind"].as_str().unwrap(),
                alert["message"].as_str().unwrap()
            )
        };
        data["alerts"].as_array().unwrap().iter().map(told).collect()
    }

    async fn promote(&self) {
        self.evaluate().await;
        for _ in 0..4 {
            self.pass(30);
            self.minute(100, 0).await;
            self.pass(30);
            self.minute(100, 0).await;
        }
        assert_eq!(self.state().await, Some(RolloutState::Promoted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_promoted_by_measurements_alone() {
    let rollout = Rollout::new().await;
    assert_eq!(rollout.shares().await, BTreeMap::from([("1.0.0".to_owned(), 200)]), "it did not begin yet");
    let digest = rollout.stack.store.head(true).await.unwrap().unwrap().roots.digest();
    let begun = "the rollout of 2.0.0 goes on: begins: step 1 of 3 is 5% of the traffic for 1 hours";
    assert_eq!(rollout.evaluate().await, [begun]);
    let shares = rollout.shares().await;
    assert!((2..=25).contains(&shares["2.0.0"]), "{shares:?}");
    let first = rollout.resolve("user-1").await.json();
    assert_eq!((&first["drawn_by"], &first["rollout"]["state"]), (&json!("key"), &json!("running")));
    assert_eq!(first["rollout"]["weight_percent"], 5);
    let anonymous =
        rollout.stack.send("POST /v1/resolve", "", &[], Some(&json!({"model": ID}).to_string())).await.json();
    let known = token("ann", &[]);
    let known =
        rollout.stack.send("POST /v1/resolve", &known, &[], Some(&json!({"model": ID}).to_string())).await.json();
    assert_eq!((&anonymous["drawn_by"], &known["drawn_by"]), (&json!("request"), &json!("subject")));
    assert_eq!(known["version"], rollout.resolve("ann").await.json()["version"], "a subject is a key");

    assert_eq!(rollout.minute(100, 2).await, [""; 0], "the hour is not over");
    rollout.pass(60);
    let told = rollout.minute(10, 0).await;
    assert!(told[0].contains("110 results keep every threshold: step 2 of 3 is 50% of the traffic"), "{told:?}");
    let shares = rollout.shares().await;
    assert!((70..=130).contains(&shares["2.0.0"]), "{shares:?}");
    // Too few results are waited for: nobody is told before the window has passed.
    rollout.pass(59);
    assert_eq!(rollout.minute(1, 0).await.len(), 1);
    assert_eq!(rollout.state().await, Some(RolloutState::Paused));
    assert_eq!(rollout.minute(1, 0).await, [""; 0], "that it waits is news once");
    let told = rollout.minute(100, 0).await;
    assert!(told[0].contains("step 3 of 3 is 100% of the traffic for 0 hours"), "{told:?}");
    let told = rollout.minute(100, 0).await;
    assert!(told[0].starts_with("2.0.0 took over from 1.0.0: "), "{told:?}");
    assert_eq!(rollout.shares().await, BTreeMap::from([("2.0.0".to_owned(), 200)]));
    assert_eq!(rollout.minute(100, 100).await, [""; 0], "it is over");
    assert_eq!(rollout.stack.store.head(true).await.unwrap().unwrap().roots.digest(), digest);

    // The failures after it are those of a version in use, and told where its turn comes.
    let mut alerts = rollout.alerts("").await;
    alerts.retain(|alert| alert.contains(" rollout."));
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    assert!(alerts[0].starts_with("info rollout.promoted: 2.0.0 took over"), "{alerts:?}");
    assert!(alerts[1].starts_with("warning rollout.paused: the rollout of 2.0.0 waits: 11 of the 50"), "{alerts:?}");
    assert_eq!(rollout.alerts("?severity=warning&limit=1").await, alerts[1..]);
    assert_eq!(rollout.alerts("?model=p%2Fother").await, [""; 0]);
    assert_eq!(
        rollout.alerts(&format!("?since={}", rollout.events.now() + SignedDuration::from_hours(1))).await,
        [""; 0]
    );

    // A poll changes nothing of it, and neither does a commit that says nothing of the version.
    assert_eq!(rollout.stack.sync().await["state"], "unchanged");
    rollout.stack.repository.put(&canaried(|value| value["meta"]["inputCostPerMillionTokens"] = json!(1300)));
    rollout.stack.repository.commit("dearer");
    assert_eq!(rollout.stack.sync().await["state"], "applied");
    assert_eq!(rollout.resolve("any").await.json()["version"], "2.0.0");
    // The old version retires at its end, once.
    let record = rollout.record().await;
    let end = record.status.rollout.as_ref().unwrap().stable_end_of_life.unwrap();
    let later = events(rollout.stack.store.clone(), end);
    for _ in 0..2 {
        later.call("lifecycle-clock").await.unwrap();
    }
    let retired = rollout.record().await;
    assert_eq!(
        (retired.seq, retired.status.versions_retired.values().collect::<Vec<_>>()),
        (record.seq + 1, vec![&end])
    );
    assert_eq!(retired.change.operations[0].to_string(), "retire 1.0.0");
    // The file says at last what is so.
    rollout.stack.repository.put(&canaried(|value| {
        value["versions"] =
            json!([{"version": "1.0.0", "status": "deprecated"}, {"version": "2.0.0", "status": "active"}]);
        value.as_object_mut().unwrap().remove("rollout");
    }));
    rollout.stack.repository.commit("2.0.0 it is");
    assert_eq!(rollout.stack.sync().await["state"], "applied", "what is so already is not decided on");
    assert_eq!(rollout.resolve("any").await.json()["version"], "2.0.0");
    rollout.stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_pins_the_stable_version_until_a_new_commit() {
    let rollout = Rollout::new().await;
    rollout.evaluate().await;
    rollout.pass(1);
    let told = rollout.minute(100, 12).await;
    assert!(
        told[0].starts_with("2.0.0 was rolled back to 1.0.0: an error rate of 0.12 of 100 results breaks 0.05"),
        "{told:?}"
    );
    assert_eq!(rollout.shares().await, BTreeMap::from([("1.0.0".to_owned(), 200)]));
    let answer = rollout.resolve("user-1").await.json();
    assert_eq!((&answer["rollout"]["is_blocked"], &answer["weight_percent"]), (&json!(true), &json!(100)));
    assert!(!answer.to_string().contains("breaks 0.05"), "why is for those who run it: {answer}");
    let alerts = rollout.alerts("?severity=critical").await;
    assert!(
        alerts.len() == 1 && alerts[0].starts_with("critical rollout.rolled_back: 2.0.0 was rolled back"),
        "{alerts:?}"
    );
    let audit =
        rollout.get(&format!("/admin/audit?from={}", rollout.events.now() - SignedDuration::from_hours(1))).await;
    let entries = audit["entries"].as_array().unwrap();
    let is_told = |operation: &str, severity: &str| {
        entries.iter().any(|entry| entry["operations"].to_string().contains(operation) && entry["severity"] == severity)
    };
    assert!(is_told("version_refused", "warning") && is_told("activate", "critical"), "{entries:?}");

    // The file is to say it too.
    assert_eq!(rollout.stack.event("propose-reverts").await, json!({"done": 1}));
    let branches = rollout.stack.repository.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    let proposal = branches.lines().find(|branch| *branch != "main").expect("a proposal");
    let file = rollout.stack.repository.git(&["show", &format!("{proposal}:catalog/models/p/one.json")]);
    let file: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(
        (&file["versions"][1]["status"], &file["versions"][0]["status"]),
        (&json!("inactive"), &json!("active"))
    );

    // Neither time nor a poll brings it back; what is published can be lost, and it stays away.
    rollout.pass(300);
    assert_eq!(rollout.minute(100, 0).await, [""; 0]);
    assert_eq!(rollout.stack.sync().await["state"], "unchanged");
    rollout.stack.lose_published().await;
    rollout.stack.sync().await;
    assert_eq!(rollout.resolve("user-1").await.json()["version"], "1.0.0");
    assert_eq!(rollout.evaluate().await.len(), 1, "it is shown again");
    assert_eq!(rollout.resolve("user-1").await.json()["rollout"]["is_blocked"], true);
    assert_eq!(rollout.alerts("").await.len(), 1, "and told once");

    // A commit that says the version anew does; what was measured before counts for nothing.
    let again = canaried(|value| value["versions"][1]["releaseDate"] = json!("2026-11-01T00:00:00Z"));
    rollout.stack.repository.put(&again);
    rollout.stack.repository.commit("Mend 2.0.0");
    rollout.stack.sync().await;
    assert_eq!((rollout.state().await, rollout.resolve("user-1").await.json()["rollout"].clone()), (None, Value::Null));
    assert!(rollout.evaluate().await[0].contains("begins"));
    rollout.pass(1);
    assert_eq!(rollout.minute(100, 0).await, [""; 0]);
    assert_eq!(rollout.state().await, Some(RolloutState::Running));
    rollout.stack.close().await;
}

/// The record is right: what is published beside it and said by none goes, and the next look begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_record_says_is_published_no_longer() {
    let rollout = Rollout::new().await;
    rollout.evaluate().await;
    let lease = rollout.stack.store.acquire_lease("test", Timestamp::now(), Duration::from_secs(60)).await.unwrap();
    let (lease, before) = (lease.unwrap(), rollout.record().await);
    let record = Record { seq: before.seq + 1, status: Status::default(), ..before.clone() };
    let write = RecordWrite { record, read_seq: Some(before.seq) };
    rollout.stack.store.restore(&lease, &write).await.unwrap();
    rollout.stack.store.release_lease(&lease).await.unwrap();
    rollout.pass(61);
    assert_eq!(rollout.minute(100, 0).await, [""; 0]);
    assert_eq!(rollout.resolve("any").await.json()["rollout"], Value::Null);
    assert!(rollout.evaluate().await[0].contains("begins"));
    assert_eq!(rollout.state().await, Some(RolloutState::Running));
    rollout.stack.close().await;
}

/// Every time that a version is taken back its file is to say it, also while the branch is ahead of what is live.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_is_proposed_as_often_as_it_is_asked_for() {
    let rollout = Rollout::new().await;
    let stack = &rollout.stack;
    let proposal = || {
        let branches = stack.repository.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        branches.lines().find(|branch| *branch != "main").map(str::to_owned)
    };
    let fail = async || {
        assert!(rollout.evaluate().await[0].contains("begins"));
        rollout.pass(1);
        assert!(rollout.minute(100, 50).await[0].contains("was rolled back"));
    };
    let mended = |value: &mut Value| value["versions"][1]["releaseDate"] = json!("2026-11-01T00:00:00Z");
    let again = async || {
        for spec in [canaried(mended), canaried(|_| {})] {
            stack.repository.put(&spec);
            stack.repository.commit("try it again");
            assert_eq!(stack.sync().await["state"], "applied");
        }
    };
    fail().await;
    assert_eq!(stack.event("propose-reverts").await, json!({"done": 1}));
    stack.repository.git(&["branch", "--quiet", "-D", &proposal().expect("a first proposal")]);
    assert_eq!((stack.event("propose-reverts").await, proposal()), (json!({"done": 0}), None));

    // The version is said in another way, and as before again: that is the same attempt. What cannot be proposed waits.
    again().await;
    fail().await;
    stack.repository.put(&canaried(|value| value["meta"]["description"] = json!("said anew")));
    stack.repository.commit("describe it");
    for _ in 0..2 {
        let failed = stack.try_event("propose-reverts").await.unwrap_err();
        assert!(failed.contains("reverts wait to be proposed: p/one"), "{failed}");
        assert_eq!(proposal(), None);
    }
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(stack.event("propose-reverts").await, json!({"done": 1}));
    stack.repository.git(&["branch", "--quiet", "-D", &proposal().expect("a second proposal")]);

    // Where it is tried anew, what became of it before is nobody's wish.
    again().await;
    fail().await;
    again().await;
    assert!(rollout.evaluate().await[0].contains("begins"));
    assert_eq!((stack.event("propose-reverts").await, proposal()), (json!({"done": 1}), None));
    rollout.stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_take_back_what_was_promoted() {
    let rollout = Rollout::new().await;
    rollout.promote().await;
    let versions = "POST /admin/models/p%2Fone/versions";
    let retire = rollout.stack.admin(&format!("{versions}/2.0.0/retire"), &json!({"reason": "why not"})).await;
    assert!(retire.status == 409 && retire.text.contains("2.0.0 is the active one"), "{}", retire.text);
    let path = "POST /admin/models/p%2Fone/rollback";
    assert_eq!(rollout.stack.admin(path, &json!({})).await.status, 422, "a reason is needed");
    let unknown = rollout.stack.admin(&format!("{path}?colour=red"), &json!({"reason": "a slip"})).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    let back = rollout.stack.admin(path, &json!({"reason": "customers complain"})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(back.json()["data"]["rollout"]["state"], "rolled_back");
    assert_eq!(rollout.shares().await, BTreeMap::from([("1.0.0".to_owned(), 200)]));
    let record = rollout.record().await;
    assert_eq!((record.change.actor.as_str(), record.change.source.as_str()), ("ann", "api"));
    assert!(
        record.change.reason.ends_with("2.0.0 was rolled back to 1.0.0: customers complain"),
        "{:?}",
        record.change
    );
    let again = rollout.stack.admin(path, &json!({"reason": "again"})).await;
    assert_eq!((again.status, &again.json()["data"]["operations"]), (200, &json!([])), "{}", again.text);
    assert_eq!(rollout.record().await.seq, record.seq);
    let activate = format!("{versions}/2.0.0/activate?mode=propose");
    let proposed = rollout.stack.admin(&activate, &json!({"reason": "once more"})).await;
    assert!(proposed.json()["data"]["holds"].to_string().contains("2.0.0 is blocked until"), "{}", proposed.text);
    rollout.stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_pause_a_rollout_and_resume_it() {
    let rollout = Rollout::new().await;
    let (pause, resume) = ("POST /admin/models/p%2Fone/rollout/pause", "POST /admin/models/p%2Fone/rollout/resume");
    let early = rollout.stack.admin(pause, &json!({"reason": "too early"})).await;
    assert!(early.status == 409 && early.text.contains("no rollout of model p/one is under way"), "{}", early.text);
    rollout.evaluate().await;
    assert_eq!(rollout.stack.admin(pause, &json!({})).await.status, 422, "a reason is needed");
    assert_eq!(
        rollout.stack.admin("POST /admin/models/nobody/rollout/pause", &json!({"reason": "x"})).await.status,
        404
    );
    let paused = rollout.stack.admin(pause, &json!({"reason": "the weekend"})).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let status = &paused.json()["data"]["rollout"];
    assert_eq!((&status["state"], &status["pausedBy"], &status["step"]), (&json!("paused"), &json!("ann"), &json!(0)));
    let shares = rollout.shares().await;
    let again = rollout.stack.admin(pause, &json!({"reason": "again"})).await;
    assert_eq!((again.status, &again.json()["data"]["operations"]), (200, &json!([])), "{}", again.text);
    rollout.pass(30);
    rollout.minute(100, 0).await;
    rollout.pass(60);
    assert_eq!(rollout.minute(100, 0).await, [""; 0], "its hold is over, and it stays");
    assert_eq!(rollout.shares().await, shares);
    let resumed = rollout.stack.admin(resume, &json!({"reason": "monday"})).await;
    assert_eq!(
        (resumed.status, &resumed.json()["data"]["rollout"]["state"]),
        (200, &json!("running")),
        "{}",
        resumed.text
    );
    let (first, second) = (rollout.stack.admin(resume, &json!({"reason": "again"})).await, rollout.record().await);
    assert!(first.text.contains("nobody paused the rollout"), "{}", first.text);
    assert_eq!((second.change.actor.as_str(), second.change.source.as_str()), ("ann", "api"));
    assert_eq!(rollout.alerts("").await, [""; 0], "whoever pauses knows");
    rollout.stack.close().await;
}

/// A client that repeats its request gets the first answer, whatever has become of the model since.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_rollback_is_answered_as_the_first() {
    let rollout = Rollout::new().await;
    rollout.promote().await;
    let back = async |key: &str, reason: &str, tag: &str| {
        let headers = [("idempotency-key", key), ("if-match", tag)];
        let body = json!({"reason": reason}).to_string();
        let caller = token("ann", &[Role::Admin]);
        rollout.stack.send("POST /admin/models/p%2Fone/rollback", &caller, &headers, Some(&body)).await
    };
    let stale = back("one", "customers complain", "\"1-1\"").await;
    assert_eq!(stale.status, 412, "{}", stale.text);
    let stale = back("one", "customers complain", "\"1-1\"").await;
    assert_eq!((stale.status, stale.headers.get("idempotent-replayed").map(String::as_str)), (412, Some("true")));
    let before = rollout.record().await.seq;
    let first = back("two", "customers complain", "*").await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (200, None), "{}", first.text);
    // The file says the version anew, and it is on its way again.
    rollout.stack.repository.put(&canaried(|value| {
        value["versions"][1]["releaseDate"] = json!("2026-11-01T00:00:00Z");
    }));
    rollout.stack.repository.commit("Mend 2.0.0");
    rollout.stack.sync().await;
    assert!(rollout.evaluate().await[0].contains("begins"));
    let again = back("two", "customers complain", "*").await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.headers.get("idempotent-replayed").map(String::as_str), Some("true"));
    assert_eq!((rollout.state().await, rollout.record().await.seq), (Some(RolloutState::Running), before + 3));
    let other = back("two", "another reason", "*").await;
    assert_eq!((other.status, &other.json()["type"]), (422, &json!("urn:roster:problem:key-reused")));
    let (one, two) = tokio::join!(back("three", "not again", "*"), back("three", "not again", "*"));
    assert_eq!((one.status, two.status, &one.text), (200, 200, &two.text));
    assert_eq!(rollout.record().await.seq, before + 4);
    let none = [back("four", "not again", "*").await, back("four", "not again", "*").await];
    assert_eq!((&none[0].json()["data"]["operations"], &none[0].text), (&json!([]), &none[1].text));
    rollout.stack.close().await;
}

/// What is in use is held against the thresholds, too: a breach is told once, and once more when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_use_that_fails_is_told_once() {
    let rollout = Rollout::new().await;
    rollout.promote().await;
    // Each model has its turn once in five minutes.
    let look = async |failures: usize| {
        let mut told = Vec::new();
        for _ in 0..5 {
            rollout.pass(1);
            rollout.results(60, failures).await;
            let other = events(rollout.stack.store.clone(), rollout.events.now());
            let calls = tokio::join!(rollout.events.call("evaluate-rollouts"), other.call("evaluate-rollouts"));
            for outcome in [calls.0.unwrap(), calls.1.unwrap()] {
                assert_eq!(outcome["steps"], json!([]), "{outcome}");
                told.extend(
                    outcome["breaches"].as_array().unwrap().iter().map(|told| told.as_str().unwrap().to_owned()),
                );
            }
        }
        told
    };
    assert_eq!(look(0).await, [""; 0]);
    rollout.pass(61);
    let told = look(30).await;
    assert!(
        told.len() == 1 && told[0].starts_with("2.0.0 takes the traffic and does not measure up: an error rate of 0.5"),
        "{told:?}"
    );
    assert_eq!(look(30).await, [""; 0], "it is known");
    assert_eq!(rollout.stack.store.breaches().await.unwrap().len(), 1);
    assert_eq!(rollout.shares().await, BTreeMap::from([("2.0.0".to_owned(), 200)]), "nobody else is there");
    let alerts = rollout.alerts("?severity=critical").await;
    assert_eq!(alerts, [format!("critical version.failing: {}", told[0])]);
    // Too few results say nothing, not even that it is over.
    rollout.pass(61);
    rollout.results(1, 0).await;
    rollout.pass(5);
    assert_eq!(rollout.evaluate().await, [""; 0]);
    assert_eq!(rollout.stack.store.breaches().await.unwrap().len(), 1);
    let told = look(0).await;
    assert!(told.len() == 1 && told[0].starts_with("2.0.0 did not measure up since 20"), "{told:?}");
    assert_eq!(rollout.alerts("?severity=info&limit=1").await, [format!("info version.recovered: {}", told[0])]);
    assert_eq!(rollout.stack.store.breaches().await.unwrap(), []);
    // What is in use no more is nobody's breach; and one that comes again is told again.
    rollout.pass(61);
    assert_eq!(look(30).await.len(), 1);
    let back = rollout.stack.admin("POST /admin/models/p%2Fone/rollback", &json!({"reason": "it fails"})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    rollout.evaluate().await;
    assert_eq!(rollout.stack.store.breaches().await.unwrap(), []);
    rollout.stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_taken_back_to_a_version_that_ended() {
    let rollout = Rollout::new().await;
    let policy = json!({"versions": {"defaultGracePeriodDays": 0}});
    rollout.stack.repository.write("catalog/policy.json", policy.to_string());
    rollout.stack.repository.commit("old versions end at once");
    assert_eq!(rollout.stack.sync().await["state"], "applied");
    rollout.promote().await;
    let back =
        rollout.stack.admin("POST /admin/models/p%2Fone/rollback", &json!({"reason": "customers complain"})).await;
    assert!(back.status == 409 && back.text.contains("version 1.0.0 reached its end of life on"), "{}", back.text);
    assert_eq!(rollout.shares().await, BTreeMap::from([("2.0.0".to_owned(), 200)]));
    rollout.stack.close().await;
}

/// Two instances, a sync and people at once, and instances that die: each step is made once, and what is shown is what
/// the records say.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_meets_makes_each_step_once() {
    let rollout = Rollout::new().await;
    for round in 0..4 {
        let other = events(rollout.stack.store.clone(), rollout.events.now());
        rollout.stack.repository.put(&canaried(|value| value["meta"]["description"] = json!(format!("round {round}"))));
        rollout.stack.repository.commit("describe it");
        let (one, two, synced) = tokio::join!(
            rollout.events.call("evaluate-rollouts"),
            other.call("evaluate-rollouts"),
            rollout.stack.try_event("sync"),
        );
        for outcome in [one, two] {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        drop(synced);
        let proxy = Proxy::start(rollout.stack.endpoint(), Dying::after(i64::from(round), Death::AfterEffect)).await;
        let dying = events(rollout.stack.store_at(&proxy.url), rollout.events.now());
        let _ = dying.call("evaluate-rollouts").await;
        let outcome = rollout.stack.try_event("sync").await;
        assert!(outcome.is_ok(), "{outcome:?}");
        rollout.evaluate().await;
        let versions = rollout.get("/admin/models/p%2Fone/versions").await;
        let weights = versions["versions"].as_array().unwrap().iter();
        assert_eq!(weights.map(|version| version["weightPercent"].as_u64().unwrap()).sum::<u64>(), 100);
        let shown = rollout.resolve("any").await.json();
        assert_eq!(shown["rollout"]["state"].as_str(), rollout.state().await.map(RolloutState::name), "{shown}");
        rollout.pass(31);
        rollout.results(100, 0).await;
        rollout.pass(31);
    }
    let history = rollout.stack.store.history(&ModelId::parse(ID).unwrap(), None, 1000).await.unwrap();
    let reasons: Vec<&str> = history.iter().map(|entry| entry.change.reason.as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| reason.contains("begins")).count(), 1, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| reason.contains("step 2 of 3")).count(), 1, "{reasons:?}");
    rollout.stack.close().await;
}
