//! A real Git server: pushes over HTTP to `git http-backend`, whose hook delivers signed webhooks to the gateway.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use roster_tests::forge::{Delivery, SECRET, TestForge};
use roster_tests::repository::model;
use roster_tests::stack::{TestStack, unconnected};
use serde_json::{Value, json};

const PUSHES: u64 = 12;

/// A stack that follows a forge, whose pushes are told to its webhook.
async fn following(forge: &TestForge) -> TestStack {
    let (url, cache) = (forge.url(), forge.cache().display().to_string());
    let stack = TestStack::with(&[("REPOSITORY", &url), ("GIT_CACHE", &cache), ("WEBHOOK_SECRET", SECRET)]).await;
    forge.adopt(&stack.repository);
    forge.tell(&webhook(&stack), "github");
    stack
}

fn webhook(stack: &TestStack) -> String {
    format!("{}/hooks/github", stack.url())
}

/// Merges a price, as a developer who pushes to the forge.
fn merge(stack: &TestStack, price: u64, reference: &str) -> String {
    stack.repository.put(&model("acme/one", |value| value["meta"]["inputCostPerMillionTokens"] = json!(price)));
    let commit = stack.repository.commit(&format!("price {price}"));
    stack.repository.git(&["push", "--quiet", "origin", &format!("HEAD:{reference}")]);
    commit
}

async fn price(stack: &TestStack) -> Value {
    let listed = stack.send("GET /v1/models?provider=acme", "", &[], None).await.json();
    listed["models"][0]["input_cost_per_million_tokens"].clone()
}

/// Waits until clients see a price, and answers when they did, since 1970.
async fn until_visible(stack: &TestStack, expected: u64) -> Duration {
    let patient = Instant::now() + Duration::from_secs(60);
    while price(stack).await != expected {
        assert!(Instant::now() < patient, "{expected} is not visible: {:?}", stack.store.wishes().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn last(forge: &TestForge) -> Delivery {
    forge.deliveries().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_visible_by_its_webhook_alone() {
    let forge = TestForge::new();
    let stack = following(&forge).await;
    let (mut visible, mut answered) = (Vec::new(), Vec::new());
    for price in 100..100 + PUSHES {
        let commit = merge(&stack, price, "refs/heads/main");
        let seen = until_visible(&stack, price).await;
        let delivery = last(&forge);
        assert_eq!((delivery.commit, delivery.status), (commit, 202));
        assert_eq!(delivery.answer["status"], "accepted", "{}", delivery.answer);
        visible.push(seen.saturating_sub(delivery.began));
        answered.push(delivery.took);
    }
    for (what, times) in [("from merge to visible", &mut visible), ("the webhook's answer", &mut answered)] {
        times.sort();
        println!(
            "{what}, {PUSHES} pushes, debug build: median {:.0?}, longest {:.0?}",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    // Each push was one delivery, and each delivery caused one look at most.
    assert_eq!(forge.deliveries().len() as u64, PUSHES);
    stack.settle().await;
    let wishes = stack.store.wishes().await.unwrap();
    assert_eq!((wishes.wished, wishes.is_open()), (PUSHES, false));
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_branches_are_ignored_until_they_are_merged() {
    let forge = TestForge::new();
    let stack = following(&forge).await;
    merge(&stack, 100, "refs/heads/main");
    until_visible(&stack, 100).await;
    stack.settle().await;
    let before = stack.store.wishes().await.unwrap();
    for reference in ["refs/heads/topic", "refs/tags/main"] {
        merge(&stack, 101, reference);
        let reason = format!("{reference} is not the branch main");
        assert_eq!(last(&forge).answer, json!({"status": "ignored", "reason": reason}));
    }
    stack.settle().await;
    assert_eq!(stack.store.wishes().await.unwrap(), before);
    assert_eq!(price(&stack).await, 100);
    stack.repository.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    until_visible(&stack, 101).await;
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_and_gitea_are_heard_too() {
    let forge = TestForge::new();
    let stack = following(&forge).await;
    for (price, name) in [(100, "gitlab"), (101, "gitea")] {
        forge.tell(&webhook(&stack), name);
        merge(&stack, price, "refs/heads/main");
        until_visible(&stack, price).await;
        assert_eq!(last(&forge).answer["status"], "accepted", "{name}");
    }
    stack.close().await;
}

/// A delivery that is lost is found by the next poll, and the template polls every minute.
#[tokio::test(flavor = "multi_thread")]
async fn one_poll_finds_what_no_delivery_told() {
    let (template, _) = unconnected();
    let sync = template.functions.iter().find(|function| function.name == "sync").unwrap();
    assert_eq!(sync.schedules.iter().map(|schedule| schedule.every).collect::<Vec<_>>(), [Duration::from_secs(60)]);

    let forge = TestForge::new();
    let stack = following(&forge).await;
    merge(&stack, 100, "refs/heads/main");
    until_visible(&stack, 100).await;
    stack.settle().await;
    forge.tell_nobody();
    let before = stack.store.wishes().await.unwrap();
    for price in [101, 102] {
        let commit = merge(&stack, price, "refs/heads/main");
        stack.settle().await;
        assert_eq!(self::price(&stack).await, price - 1, "nobody was told of it");
        assert_eq!(stack.sync().await["commit"], json!(commit));
        assert_eq!(self::price(&stack).await, price);
    }
    assert_eq!(stack.store.wishes().await.unwrap(), before);
    assert_eq!(forge.deliveries().len(), 1);
    stack.close().await;
}
