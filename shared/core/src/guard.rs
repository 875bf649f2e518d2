//! What holds a plan for approval. Limits compare with what is live.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lifecycle::{self, Stage};
use crate::model::Model;
use crate::plan::{Plan, Step};
use crate::policy::Policy;
use crate::price::Price;
use crate::tier;
use crate::version;

/// What is live before the plan.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Models in the catalogue, archived ones included.
    pub models: u64,
    /// Whether the commit brings another policy.
    pub policy_changes: bool,
}

/// Why a plan is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The rule, by a stable name.
    pub rule: String,
    /// What broke it and by how much, in lower case.
    pub message: String,
}

/// Every reason to hold a plan; none for a plan that may be applied.
#[must_use]
pub fn holds(plan: &Plan, live: Live, policy: &Policy, now: Timestamp) -> Vec<Hold> {
    // Nothing live can be harmed by a first sync.
    if plan.steps.is_empty() && !live.policy_changes || live.models == 0 {
        return Vec::new();
    }
    let mut holds = Vec::new();
    let mut hold = |rule: &str, message: String| holds.push(Hold { rule: rule.to_owned(), message });
    let guard = &policy.guard;
    for freeze in guard.freezes.iter().filter(|freeze| freeze.from <= now && now < freeze.until) {
        hold("freeze", format!("frozen until {}: {}", freeze.until, freeze.reason));
    }
    let archived = plan.steps.iter().filter(|step| archives(step, now)).count() as u64;
    if archived > guard.max_archived_models {
        hold("archived_models", format!("archives {archived} models, more than {}", guard.max_archived_models));
    }
    if archived >= guard.archived_percent_floor && archived * 100 > live.models * guard.max_archived_percent {
        hold(
            "archived_percent",
            format!("archives {archived} of {} models, more than {} percent", live.models, guard.max_archived_percent),
        );
    }
    let removed = plan.steps.iter().filter(|step| step.tombstone && step.before.is_some()).count() as u64;
    let added =
        plan.steps.iter().filter(|step| !step.tombstone && (step.before.is_none() || step.was_tombstone)).count();
    if guard.hold_on_empty_tree && removed >= live.models && added == 0 {
        hold("empty_tree", format!("leaves no model of {}", live.models));
    }
    for step in &plan.steps {
        let Some(before) = step.before.as_ref().filter(|before| !step.was_tombstone && !before.is_archived) else {
            continue;
        };
        if before.protected && archives(step, now) {
            hold("protected", format!("archives {}, which is protected", step.id));
        }
        if step.tombstone || lifecycle::stage(&step.after, now) == Stage::Archived {
            continue;
        }
        for message in price_moves(step, before, guard.max_price_factor, now) {
            hold("price_factor", message);
        }
        let (versions, versions_after) = step.settled_versions();
        for message in version::illegal_moves(&versions, &versions_after) {
            hold("version_move", format!("{}, {message}", step.id));
        }
        if guard.hold_on_tier_loss {
            let lost: Vec<&str> = policy
                .tiers
                .iter()
                .filter(|&&t| tier::may_use(&before.meta, t, policy) && !tier::may_use(&step.after.meta, t, policy))
                .map(|t| t.name())
                .collect();
            if !lost.is_empty() {
                hold("tier_loss", format!("takes {} away from {}", step.id, lost.join(", ")));
            }
        }
    }
    holds
}

/// Whether a step takes a model from clients: by archiving it, by removing its file, or by a sunset that has passed.
fn archives(step: &Step, now: Timestamp) -> bool {
    let was_live = |before: &Model| !step.was_tombstone && lifecycle::stage(before, now) != Stage::Archived;
    step.before.as_ref().is_some_and(was_live)
        && (step.tombstone || lifecycle::stage(&step.after, now) == Stage::Archived)
}

fn price_moves(step: &Step, before: &Model, factor: u64, now: Timestamp) -> Vec<String> {
    let (old, new) = (lifecycle::prices_at(&before.meta, now), lifecycle::prices_at(&step.after.meta, now));
    let pairs = [("input", old.input, new.input), ("output", old.output, new.output)];
    pairs
        .into_iter()
        .filter_map(|(name, old, new)| Some((name, old?, new?)))
        .filter(|&(_, old, new)| moves_too_far(old, new, factor))
        .map(|(name, old, new)| {
            format!("moves the {name} price of {} from {old} to {new}, by more than a factor of {factor}", step.id)
        })
        .collect()
}

/// Whether two prices are further apart than a factor; from or to nothing is further than any.
pub(crate) fn moves_too_far(old: Price, new: Price, factor: u64) -> bool {
    let (low, high) =
        if old.amount() <= new.amount() { (old.amount(), new.amount()) } else { (new.amount(), old.amount()) };
    low.checked_mul(factor.into()).is_some_and(|limit| high > limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;
    use crate::plan::Operation;
    use crate::tier::Tier;

    fn step(before: Option<Model>, after: Option<Model>) -> Step {
        let any = before.clone().or(after.clone()).unwrap();
        let operations = match (&before, &after) {
            (None, _) => vec![Operation::Create],
            (_, None) => vec![Operation::Archive],
            (_, Some(after)) if after.is_archived => vec![Operation::Archive],
            _ => vec![Operation::UpdateMeta],
        };
        Step {
            id: any.id.clone(),
            operations,
            changes: Vec::new(),
            tombstone: after.is_none(),
            rollout: None,
            was_tombstone: false,
            after: after.unwrap_or(any),
            before,
        }
    }

    fn rules(steps: Vec<Step>, live: u64) -> Vec<String> {
        let policy = Policy {
            guard: crate::policy::GuardPolicy {
                freezes: vec![crate::policy::Freeze {
                    from: "2026-12-24T00:00:00Z".parse().unwrap(),
                    until: "2027-01-02T00:00:00Z".parse().unwrap(),
                    reason: "holidays".to_owned(),
                }],
                ..Default::default()
            },
            ..Policy::default()
        };
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        holds(&Plan { steps }, Live { models: live, policy_changes: false }, &policy, now)
            .into_iter()
            .map(|hold| hold.rule)
            .collect()
    }

    fn removals(count: u32) -> Vec<Step> {
        (0..count).map(|n| step(Some(model(&format!("m{n}"))), None)).collect()
    }

    #[test]
    fn archives_are_limited_in_number_and_share() {
        assert_eq!(rules(removals(1), 3), [""; 0]);
        assert_eq!(rules(removals(3), 30), [""; 0]);
        assert_eq!(rules(removals(3), 29), ["archived_percent"]);
        assert_eq!(rules(removals(51), 1000), ["archived_models"]);
        assert_eq!(rules(removals(5), 5), ["archived_percent", "empty_tree"]);
        assert_eq!(rules(removals(1), 1), ["empty_tree"]);
    }

    #[test]
    fn prices_are_limited_in_their_move() {
        let priced = |input: Option<&str>| {
            let mut model = model("m");
            model.meta.input_cost_per_million_tokens = input.map(|text| text.parse().unwrap());
            model
        };
        let check = |old, new| rules(vec![step(Some(priced(old)), Some(priced(new)))], 100);
        assert_eq!(check(Some("100"), Some("1000")), [""; 0]);
        assert_eq!(check(Some("100"), Some("1000.01")), ["price_factor"]);
        assert_eq!(check(Some("1000"), Some("99.9")), ["price_factor"]);
        assert_eq!(check(Some("1000"), Some("0")), ["price_factor"]);
        assert_eq!(check(Some("0"), Some("0.1")), ["price_factor"]);
        assert_eq!(check(Some("0"), Some("0.00")), [""; 0]);
        assert_eq!(check(None, Some("1000")), [""; 0]);
        assert_eq!(check(Some("1000"), None), [""; 0]);
    }

    /// A commit is never rejected for where its versions go, so that every revert can be applied.
    #[test]
    fn illegal_moves_are_held() {
        let moved = |from: &str, to: &str| {
            let with = |text: &str| Model { versions: crate::version::tests::versions(text), ..model("m") };
            rules(vec![step(Some(with(from)), Some(with(to)))], 100)
        };
        assert_eq!(moved("1.0.0 active, 2.0.0 canary", "1.0.0 deprecated, 2.0.0 active"), [""; 0]);
        assert_eq!(moved("1.0.0 active, 2.0.0 canary", "1.0.0 retired, 2.0.0 active"), ["version_move"]);
        assert_eq!(moved("1.0.0 deprecated, 2.0.0 active", "1.0.0 retired, 2.0.0 deprecated"), ["version_move"]);
    }

    #[test]
    fn tiers_and_protection_and_freezes() {
        let mut dear = model("m");
        dear.meta.required_tier = Tier::Pro;
        assert_eq!(rules(vec![step(Some(model("m")), Some(dear.clone()))], 100), ["tier_loss"]);
        assert_eq!(rules(vec![step(Some(dear), Some(model("m")))], 100), [""; 0]);
        let protected = Model { protected: true, ..model("m") };
        assert_eq!(rules(vec![step(Some(protected.clone()), None)], 100), ["protected"]);
        let archived = Model { is_archived: true, ..protected.clone() };
        assert_eq!(rules(vec![step(Some(protected), Some(archived))], 100), ["protected"]);
        assert_eq!(rules(removals(100), 0), [""; 0], "a first sync is not held");
        let policy = Policy {
            guard: crate::policy::GuardPolicy {
                freezes: vec![crate::policy::Freeze {
                    from: "2026-11-01T00:00:00Z".parse().unwrap(),
                    until: "2026-12-01T00:00:00Z".parse().unwrap(),
                    reason: "audit".to_owned(),
                }],
                ..Default::default()
            },
            ..Policy::default()
        };
        let plan = Plan { steps: removals(1) };
        let at = |now: &str| holds(&plan, Live { models: 100, policy_changes: false }, &policy, now.parse().unwrap());
        assert_eq!(at("2026-11-21T00:00:00Z")[0].message, "frozen until 2026-12-01T00:00:00Z: audit");
        assert_eq!(at("2026-12-01T00:00:00Z"), []);
        let only_policy = Live { models: 100, policy_changes: true };
        let frozen = holds(&Plan::default(), only_policy, &policy, "2026-11-21T00:00:00Z".parse().unwrap());
        assert_eq!(frozen.len(), 1, "a freeze is for the policy, too");
    }

    /// What time would make of a change at once is judged as the change itself.
    #[test]
    fn time_is_no_way_around() {
        let mut sunset = Model { protected: true, ..model("m") };
        let before = sunset.clone();
        sunset.meta.sunset_date = Some("2026-11-20T00:00:00Z".parse().unwrap());
        assert_eq!(rules(vec![step(Some(before), Some(sunset))], 100), ["protected"]);
        let mut given_away = model("m");
        given_away.meta.price_schedule =
            serde_json::from_str(r#"[{"from":"2020-01-01T00:00:00Z","inputCostPerMillionTokens":0}]"#).unwrap();
        assert_eq!(rules(vec![step(Some(model("m")), Some(given_away))], 100), ["price_factor"]);
    }
}
