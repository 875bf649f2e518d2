//! What ops do: approve what is held, hold, see what became of commits, and find what somebody changed by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use roster_http::Role;
use roster_store::Approval;
use roster_sync::{Options, State};
use roster_tests::repository::{TestRepository, model};
use roster_tests::stack::{TestStack, token};
use roster_tests::tables::{TestTables, reconciler};
use serde_json::{Value, json};

async fn as_super(stack: &TestStack, line: &str, body: &Value) -> roster_tests::stack::Answer {
    stack.send(line, &token("sue", &[Role::SuperAdmin]), &[], Some(&body.to_string())).await
}

fn priced(price: u64) -> Value {
    model("p/one", |value| value["meta"]["inputCostPerMillionTokens"] = json!(price))
}

/// The hash of the newest plan that is held.
async fn held_hash(stack: &TestStack) -> String {
    let runs = stack.admin("GET /admin/sync/runs", &Value::Null).await.json();
    let newest = &runs["data"]["runs"][0];
    assert_eq!(newest["state"], "held", "{newest}");
    assert!(newest["plan"]["steps"][0]["changes"].is_array(), "{newest}");
    newest["plan_hash"].as_str().unwrap().to_owned()
}

async fn price(stack: &TestStack) -> Value {
    stack.send("GET /v1/models/p/one", "", &[], None).await.json()["input_cost_per_million_tokens"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_passes_once_it_is_approved() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(100));
    stack.repository.commit("add one");
    stack.sync().await;
    stack.repository.put(&priced(100_000));
    stack.repository.commit("a price");
    assert_eq!(stack.sync().await["state"], "held");
    assert_eq!(price(&stack).await, 100);
    let hash = held_hash(&stack).await;
    let body = json!({"planHash": hash, "reason": "it is so"});
    assert_eq!(stack.admin("POST /admin/sync/approve", &body).await.status, 403, "an admin cannot approve");
    let unknown = json!({"planHash": "0".repeat(64), "reason": "it is so"});
    assert_eq!(as_super(&stack, "POST /admin/sync/approve", &unknown).await.status, 404);
    let without = json!({"planHash": hash, "reason": " "});
    assert_eq!(as_super(&stack, "POST /admin/sync/approve", &without).await.status, 422);
    let approved = as_super(&stack, "POST /admin/sync/approve", &body).await;
    assert_eq!(approved.status, 202, "{}", approved.text);
    // Nobody calls the sync: the approval has the branch looked at.
    stack.settle().await;
    assert_eq!(price(&stack).await, 100_000);
    let again = as_super(&stack, "POST /admin/sync/approve", &body).await;
    assert_eq!(again.status, 404, "what is applied is not held");
    stack.settle().await;
    let audit = stack.admin("GET /admin/audit?operation=approved", &Value::Null).await.json();
    assert_eq!(audit["data"]["entries"][0]["actor"], "sue");
    let held = stack.admin("GET /admin/audit?operation=plan_held", &Value::Null).await.json();
    assert_eq!(held["data"]["entries"][0]["holds"][0]["rule"], "price_factor");
    stack.close().await;
}

/// An approval names one plan on one state: on any other it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_approval_does_nothing() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(100));
    stack.repository.commit("add one");
    stack.sync().await;
    stack.repository.put(&priced(100_000));
    stack.repository.commit("a price");
    stack.sync().await;
    let hash = held_hash(&stack).await;
    let body = json!({"planHash": hash, "reason": "it is so"});
    // Before the look that an approval asks for, the catalogue moves on: here nothing asks for one.
    let (reason, actor) = ("it is so".to_owned(), "sue".to_owned());
    let approval = Approval { plan_hash: hash, actor, reason, at: Timestamp::now() };
    stack.store.put_approval(&approval).await.unwrap();
    assert_eq!(stack.admin("POST /admin/models", &model("a/one", |_| {})).await.status, 201);
    assert_eq!(stack.sync().await["state"], "held");
    assert_eq!(price(&stack).await, 100);
    let stale = as_super(&stack, "POST /admin/sync/approve", &body).await;
    assert_eq!((stale.status, &stale.json()["type"]), (409, &json!("urn:roster:problem:stale-plan")));
    let body = json!({"planHash": held_hash(&stack).await, "reason": "still"});
    assert_eq!(as_super(&stack, "POST /admin/sync/approve", &body).await.status, 202);
    stack.settle().await;
    // Another commit asks for something else: the approval was for the one before.
    stack.repository.put(&priced(20_000_000));
    stack.repository.commit("another price");
    stack.sync().await;
    assert_eq!(price(&stack).await, 100_000, "what was approved is applied, and no more");
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trailer_approves_of_the_plan_that_it_names() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(100));
    stack.repository.commit("add one");
    stack.sync().await;
    stack.repository.put(&priced(100_000));
    stack.repository.commit(&format!("a price\n\nRoster-Approve: {}", "0".repeat(64)));
    assert_eq!(stack.sync().await["state"], "held", "a trailer of another plan");
    let hash = held_hash(&stack).await;
    stack.repository.git(&["commit", "--amend", "-q", "-m", &format!("a price\n\nRoster-Approve: {hash}")]);
    assert_eq!(stack.sync().await["state"], "applied");
    assert_eq!(price(&stack).await, 100_000);
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_holds_until_it_ends() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(100));
    stack.repository.commit("add one");
    stack.sync().await;
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    for until in [
        later.checked_sub(SignedDuration::from_hours(2)).unwrap(),
        later.checked_add(SignedDuration::from_hours(24 * 31)).unwrap(),
    ] {
        let body = json!({"reason": "audit", "until": until});
        assert_eq!(stack.admin("POST /admin/sync/hold", &body).await.status, 422);
    }
    let held = stack.admin("POST /admin/sync/hold", &json!({"reason": "audit", "until": later})).await;
    assert_eq!(held.status, 200, "{}", held.text);
    stack.repository.put(&priced(101));
    stack.repository.commit("a price");
    assert_eq!(stack.sync().await["holds"][0]["rule"], "hold");
    assert_eq!(price(&stack).await, 100);
    let released = stack.send("DELETE /admin/sync/hold", &token("ann", &[Role::Admin]), &[], None).await;
    assert_eq!(released.status, 200, "{}", released.text);
    stack.settle().await;
    assert_eq!(price(&stack).await, 101, "the end of the hold has the branch looked at");
    // One that ends by itself.
    let soon = Timestamp::now().checked_add(SignedDuration::from_millis(300)).unwrap();
    stack.admin("POST /admin/sync/hold", &json!({"reason": "a moment", "until": soon})).await;
    stack.repository.put(&priced(102));
    stack.repository.commit("a price");
    while stack.sync().await["state"] != "applied" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(Timestamp::now() >= soon, "not before its end");
    stack.close().await;
}

/// A freeze of the policy begins and ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_holds_until_it_ends() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        Timestamp::from_second(NOW.load(Ordering::SeqCst)).unwrap()
    }
    let at = |text: &str| NOW.store(text.parse::<Timestamp>().unwrap().as_second(), Ordering::SeqCst);
    let (repository, tables) = (TestRepository::new(), TestTables::embedded().await);
    let freeze = json!({"from": "2026-12-24T00:00:00Z", "until": "2027-01-02T00:00:00Z", "reason": "holidays"});
    repository.write("catalog/policy.json", json!({"guard": {"freezes": [freeze]}}).to_string());
    repository.put(&priced(100));
    repository.commit("add one");
    let reconciler = reconciler(tables.store.clone(), repository.path(), clock);
    let options = Options::follow("main");
    let sync = async || reconciler.run(&options, |_, _, _| {}).await.unwrap();
    at("2026-12-23T23:59:00Z");
    assert_eq!(sync().await.state, State::Applied);
    repository.put(&priced(101));
    repository.commit("before it");
    assert_eq!(sync().await.state, State::Applied);
    for (now, state) in [
        ("2026-12-24T00:00:00Z", State::Held),
        ("2027-01-01T23:59:59Z", State::Held),
        ("2027-01-02T00:00:00Z", State::Applied),
    ] {
        if now.starts_with("2026") {
            repository.put(&priced(102));
            repository.commit("within it");
        }
        at(now);
        let run = sync().await;
        assert_eq!(run.state, state, "{now}");
        let told = "frozen until 2027-01-02T00:00:00Z: holidays";
        assert_eq!(run.holds.first().map(|hold| hold.message.as_str()), (state == State::Held).then_some(told));
    }
    tables.check_history().await;
    tables.close().await;
}

/// A failure is among the runs, once an hour, and ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_among_the_runs() {
    let stack = TestStack::new().await;
    stack.repository.put(&priced(100));
    stack.repository.commit("add one");
    stack.sync().await;
    let (git, aside) = (stack.repository.path().join(".git"), stack.repository.path().join("aside"));
    std::fs::rename(&git, &aside).unwrap();
    for _ in 0..3 {
        assert!(stack.try_event("sync").await.unwrap_err().contains("is not a git repository"));
    }
    std::fs::rename(&aside, &git).unwrap();
    assert_eq!(stack.sync().await["state"], "unchanged");
    let runs = stack.admin("GET /admin/sync/runs", &Value::Null).await.json()["data"]["runs"].clone();
    let states: Vec<&Value> = runs.as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert_eq!(states, ["failed", "applied"], "{runs}");
    assert!(runs[0]["message"].as_str().unwrap().contains("is not a git repository"), "{runs}");
    assert!(runs[1]["consumed"]["write"].is_number() && runs[1]["seconds"].is_number(), "{runs}");
    stack.close().await;
}

/// Somebody edits the table: it is seen, told, and put right, and the history stays whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_by_hand_is_found_and_put_right() {
    let stack = TestStack::new().await;
    for id in ["p/one", "p/two", "p/three"] {
        stack.repository.put(&model(id, |_| {}));
    }
    stack.repository.commit("add three");
    stack.sync().await;
    stack.settle().await;
    let clean = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!((&clean["data"]["drift"], &clean["data"]["models"]), (&json!([]), &json!(3)));
    let before = stack.store.all_records().await.unwrap();
    stack.edit_spec("p/one", |spec| spec["meta"]["inputCostPerMillionTokens"] = json!(1)).await;
    stack.edit_spec("p/two", |spec| spec["isAvailable"] = json!(false)).await;
    stack.remove_record("p/three").await;
    let drift = stack.admin("GET /admin/drift", &Value::Null).await.json();
    let told: Vec<String> = drift["data"]["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|drift| format!("{} {} {}", drift["id"], drift["kind"], drift["changes"][0]["path"]))
        .collect();
    assert_eq!(
        told,
        [
            r#""p/one" "edited" "/meta/inputCostPerMillionTokens""#,
            r#""p/three" "missing" "/id""#,
            r#""p/two" "edited" "/isAvailable""#
        ]
    );
    let healed = stack.event("check-drift").await;
    assert_eq!(healed["healed"], 3, "{healed}");
    let sorted = |mut records: Vec<roster_core::record::Record>| {
        records.sort_by(|one, other| one.spec.id.cmp(&other.spec.id));
        records
    };
    assert_eq!(sorted(stack.store.all_records().await.unwrap()), sorted(before));
    assert_eq!(stack.event("check-drift").await["healed"], 0, "the second time changes nothing");
    stack.settle().await;
    let audit = stack.admin("GET /admin/audit?operation=table_edited", &Value::Null).await.json();
    assert!(audit["data"]["entries"].as_array().unwrap().len() >= 4, "two edits, and three put right: {audit}");
    // What the tip asks for and is not applied is drift, too, of another kind.
    stack.repository.put(&model("p/one", |value| value["isAvailable"] = json!(false)));
    stack.repository.commit("switch one off");
    let pending = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!(pending["data"]["drift"][0]["kind"], "pending");
    stack.sync().await;
    let clean = stack.admin("GET /admin/drift", &Value::Null).await.json();
    assert_eq!(clean["data"]["drift"], json!([]));
    stack.close().await;
}
