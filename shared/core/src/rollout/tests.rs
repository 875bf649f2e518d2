use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::audit;
use crate::command::Command;
use crate::effective;
use crate::evaluate::evaluate;
use crate::measure::{CONFIDENCE_PARTS, Measured, Sketch};
use crate::model::tests::model;
use crate::policy::Policy;
use crate::record::{HistoryEntry, Record};
use crate::status::{self, Status, tests::stepped};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

fn at(seconds: i64) -> Timestamp {
    // Not a whole minute, as a commit's time seldom is.
    Timestamp::from_second(1_796_083_217 + seconds).unwrap()
}

fn canaried(versions: &serde_json::Value) -> Model {
    let mut model = model("m");
    model.versions = serde_json::from_value(versions.clone()).unwrap();
    model
}

fn two() -> Model {
    canaried(&json!([{"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"}]))
}

/// The status of a model whose canary has taken over, from a version that ends so many days later or is laid aside.
pub(crate) fn promoted(model: &Model, now: Timestamp, days: Option<u64>) -> RolloutStatus {
    let attempt = Attempt { grace_days: days, ..Attempt::of(model, &Policy::default()).unwrap() };
    let last = RolloutStatus { step: attempt.steps.len(), ..attempt.begun(now) };
    attempt.advanced(&last, "so it is", now)
}

/// Results of one minute: how many, and how many of them failed.
#[derive(Clone, Copy, Debug)]
struct Minute {
    results: u64,
    failures: u64,
}

/// A version's results by the minute, as the store keeps them: summed up from the first, so that any range is a
/// difference.
struct Traffic(Vec<Minute>);

impl Traffic {
    fn of(minutes: impl Fn(i64) -> Minute) -> Self {
        let sum = |sum: &mut Minute, minute: i64| {
            let Minute { results, failures } = minutes(minute);
            *sum = Minute { results: sum.results + results, failures: sum.failures + failures };
            Some(*sum)
        };
        Self((0..7 * 24 * 60).scan(Minute { results: 0, failures: 0 }, sum).collect())
    }

    /// The sum of the minutes that begin before a time.
    fn until(&self, time: Timestamp) -> Minute {
        let first = at(0).as_second().div_euclid(MINUTE);
        let minutes = usize::try_from((time.as_second() + MINUTE - 1).div_euclid(MINUTE) - first).unwrap_or(0);
        let last = minutes.min(self.0.len()).checked_sub(1);
        last.map_or(Minute { results: 0, failures: 0 }, |last| self.0[last])
    }

    fn measured(&self, from: Timestamp, until: Timestamp) -> Measured {
        let (before, all) = (self.until(from), self.until(until.max(from)));
        let (results, failures) = (all.results - before.results, all.failures - before.failures);
        let mut latency = Sketch::default();
        latency.add(Sketch::bucket(800.0), results);
        Measured {
            samples: results,
            successes: results - failures,
            latency,
            confidences: results,
            confidence_parts: results * CONFIDENCE_PARTS,
            ..Measured::default()
        }
    }
}

/// What the controller does once a minute: `(hours since the begin, told)` for each step.
fn week(traffic: &Traffic, policy: &Policy) -> Vec<(i64, String)> {
    let model = two();
    let attempt = Attempt::of(&model, policy).unwrap();
    let mut status: Option<RolloutStatus> = None;
    let mut told = Vec::new();
    for minute in 0..7 * 24 * 60 {
        let now = at(minute * MINUTE);
        let window = policy.evaluation.window_start(now);
        let (step_from, window_from) = match &status {
            Some(status) => (status.step_counts_from(), window.max(status.counts_from())),
            None => (now, now),
        };
        let step = evaluate(&traffic.measured(step_from, now), &attempt.limits);
        let recent = evaluate(&traffic.measured(window_from, now), &attempt.limits);
        let seen = Seen { step: &step, window: &recent, refusal: None };
        if let Some(next) = attempt.next(status.as_ref(), seen, now) {
            told.push((minute / 60, next.told()));
            status = Some(next);
        }
    }
    told
}

#[test]
fn a_good_version_takes_over_in_two_days() {
    let told = week(&Traffic::of(|_| Minute { results: 10, failures: 0 }), &Policy::default());
    assert_eq!(
        told,
        [
            (0, "the rollout of 2.0.0 goes on: begins: step 1 of 3 is 5% of the traffic for 24 hours".to_owned()),
            (
                24,
                "the rollout of 2.0.0 goes on: 14400 results keep every threshold: step 2 of 3 is 50% of the traffic \
                 for 24 hours"
                    .to_owned()
            ),
            (
                48,
                "the rollout of 2.0.0 goes on: 14400 results keep every threshold: step 3 of 3 is 100% of the traffic \
                 for 0 hours"
                    .to_owned()
            ),
            (48, "2.0.0 took over from 1.0.0: 50 results keep every threshold: it takes the traffic".to_owned()),
        ]
    );
}

#[test]
fn a_bad_version_is_gone_within_minutes() {
    let told = week(
        &Traffic::of(|minute| Minute { results: 30, failures: u64::from(minute % 2 == 0) * 9 }),
        &Policy::default(),
    );
    assert_eq!(told.len(), 2, "it is not tried again: {told:?}");
    assert_eq!(told[1].0, 0, "within the first hour");
    assert!(told[1].1.starts_with("2.0.0 was rolled back to 1.0.0: an error rate of 0.15"), "{told:?}");
}

/// Over the whole of its step it would pass still; the last hour says that it does not any more.
#[test]
fn a_version_that_fails_slowly_is_found_by_its_last_hour() {
    let slowly = |minute: i64| Minute {
        results: 100,
        failures: u64::try_from(minute / 60).unwrap().saturating_sub(24).min(100),
    };
    let told = week(&Traffic::of(slowly), &Policy::default());
    assert_eq!(told.len(), 3, "{told:?}");
    assert!((29..=31).contains(&told[2].0), "{told:?}");
    assert!(told[2].1.contains("was rolled back to 1.0.0: an error rate of 0.05"), "{told:?}");
    let hours = told[2].0;
    let step = Traffic::of(slowly).measured(at(24 * HOUR), at(hours * HOUR));
    assert_eq!(evaluate(&step, &Policy::default().evaluation).verdict, Verdict::Passed);
}

#[test]
fn too_few_results_are_waited_for() {
    // Nothing for two days, and then a result every ten minutes.
    let rare = |minute: i64| Minute { results: u64::from(minute > 48 * 60 && minute % 10 == 0), failures: 0 };
    let told = week(&Traffic::of(rare), &Policy::default());
    let states: Vec<(i64, &str)> = told.iter().map(|(hours, told)| (*hours, told.as_str())).collect();
    assert_eq!(states[1], (24, "the rollout of 2.0.0 waits: 0 of the 50 results needed"));
    assert_eq!((states[2].0, states.len()), (56, 6), "{states:?}");
    assert!(states[2].1.contains("50 results keep every threshold: step 2 of 3"), "{states:?}");
}

#[test]
fn what_policy_refuses_waits() {
    let policy = Policy::default();
    let attempt = Attempt::of(&two(), &policy).unwrap();
    let steady = Traffic::of(|_| Minute { results: 10, failures: 0 });
    let report = evaluate(&steady.measured(at(0), at(25 * HOUR)), &attempt.limits);
    let begun = attempt.begun(at(0));
    let seen = Seen { step: &report, window: &report, refusal: Some("a request costs too much") };
    assert_eq!(attempt.next(Some(&begun), seen, at(24 * HOUR - 1)), None);
    let paused = attempt.next(Some(&begun), seen, at(24 * HOUR)).unwrap();
    assert_eq!((paused.state, paused.reason.as_str()), (RolloutState::Paused, "a request costs too much"));
    assert_eq!(attempt.next(Some(&paused), seen, at(25 * HOUR)), None, "it is news once");
    let goes_on = attempt.next(Some(&paused), Seen { refusal: None, ..seen }, at(25 * HOUR)).unwrap();
    assert_eq!((goes_on.state, goes_on.step, goes_on.since), (RolloutState::Running, 1, at(25 * HOUR)));
    let back = goes_on.rolled_back(&two(), "sue: an incident", at(26 * HOUR)).unwrap().unwrap();
    assert_eq!(
        (back.rolled_back(&two(), "again", at(27 * HOUR)).unwrap(), attempt.next(Some(&back), seen, at(99 * HOUR))),
        (None, None)
    );
}

#[test]
fn what_is_paused_by_hand_stays_where_it_is_and_is_safe() {
    let attempt = Attempt::of(&two(), &Policy::default()).unwrap();
    let begun = attempt.begun(at(0));
    let (good, bad) =
        (Traffic::of(|_| Minute { results: 100, failures: 0 }), Traffic::of(|_| Minute { results: 100, failures: 90 }));
    let report = |traffic: &Traffic| evaluate(&traffic.measured(at(0), at(26 * HOUR)), &attempt.limits);
    let (good, bad) = (report(&good), report(&bad));
    let seen = |report| Seen { step: report, window: report, refusal: None };
    assert_eq!(attempt.next(Some(&begun), seen(&good), at(26 * HOUR)).unwrap().step, 1, "its hold is over");
    let paused = begun.paused("sue", "the weekend", at(HOUR)).unwrap();
    assert_eq!((paused.state, paused.step, paused.paused_by.as_deref()), (RolloutState::Paused, 0, Some("sue")));
    assert_eq!(paused.paused("bob", "again", at(2 * HOUR)), None);
    assert_eq!(attempt.next(Some(&paused), seen(&good), at(26 * HOUR)), None);
    let back = attempt.next(Some(&paused), seen(&bad), at(26 * HOUR)).unwrap();
    assert_eq!((back.state, back.paused_by), (RolloutState::RolledBack, None));
    let resumed = paused.resumed("monday", at(26 * HOUR)).unwrap();
    assert_eq!((resumed.state, resumed.step, resumed.since), (RolloutState::Running, 0, at(26 * HOUR)));
    assert_eq!((resumed.resumed("again", at(27 * HOUR)), begun.resumed("never paused", at(HOUR))), (None, None));
    assert_eq!(attempt.next(Some(&resumed), seen(&good), at(49 * HOUR)), None, "its hold begins anew");
    assert_eq!(attempt.next(Some(&resumed), seen(&good), at(51 * HOUR)).unwrap().step, 1);
}

#[test]
fn results_of_an_earlier_attempt_do_not_count() {
    let begun = Attempt::of(&two(), &Policy::default()).unwrap().begun(at(0));
    let from = begun.counts_from();
    assert_eq!((from.as_second() % 60, from > begun.started_at), (0, true));
    let exact = RolloutStatus { started_at: from, since: from, ..begun };
    assert_eq!((exact.counts_from(), exact.step_counts_from()), (from, from));
}

#[test]
fn an_attempt_is_of_the_version_by_its_commit() {
    let id = Attempt::id_of(&two()).unwrap();
    assert_eq!(id.len(), ID_CHARS);
    let of = |change: fn(&mut Model)| {
        let mut model = two();
        change(&mut model);
        Attempt::id_of(&model)
    };
    assert_eq!(of(|m| m.meta.input_cost_per_million_tokens = None), Some(id.clone()), "a price says nothing new of it");
    assert_eq!(of(|m| m.versions.reverse()), Some(id.clone()));
    assert_ne!(of(|m| m.versions[1].release_date = Some(at(0))), Some(id.clone()));
    assert_ne!(of(|m| m.versions[0].version = "1.0.1".parse().unwrap()), Some(id.clone()));
    assert_eq!(of(|m| m.versions[1].status = VersionStatus::Inactive), None);
    assert_eq!(of(|m| m.versions[0].status = VersionStatus::Deprecated), None);
    let rollout = json!({"version": "2.0.0", "steps": [{"weightPercent": 10, "holdHours": 1}]});
    let mut own = two();
    own.rollout = serde_json::from_value(rollout.clone()).unwrap();
    assert_ne!(Attempt::id_of(&own), Some(id.clone()));
    assert_eq!(Attempt::of(&own, &Policy::default()).unwrap().weight_percent(0), 10);
    let mut left_over = two();
    left_over.rollout = serde_json::from_value(rollout).unwrap();
    left_over.rollout.as_mut().unwrap().version = "1.0.0".parse().unwrap();
    assert_eq!(Attempt::id_of(&left_over), Some(id), "a rollout of another version");
}

#[test]
fn what_took_over_stays_whatever_is_said_of_it() {
    let spec = canaried(&json!([
        {"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"},
        {"version": "3.0.0", "status": "inactive"},
    ]));
    let promoted = self::promoted(&spec, at(0), Some(90));
    let mut said = spec.clone();
    said.versions[1].release_date = Some(at(0));
    let steps = json!({"version": "2.0.0", "steps": [{"weightPercent": 10, "holdHours": 1}]});
    said.rollout = serde_json::from_value(steps).unwrap();
    assert!(promoted.is_of(&said));
    let settled = settled(&said, Some(&promoted));
    let told: Vec<VersionStatus> = settled.versions.iter().map(|version| version.status).collect();
    assert_eq!(told, [VersionStatus::Deprecated, VersionStatus::Active, VersionStatus::Inactive]);
    assert_eq!((settled.versions[0].end_of_life(), &settled.rollout), (promoted.stable_end_of_life, &None));
    // Rolled back it is blocked by what is said of it now, whichever version is active beside it.
    let back = promoted.rolled_back(&said, "asked", at(HOUR)).unwrap().unwrap();
    assert_eq!((back.is_of(&said), back.is_of(&spec)), (true, false));
    let mut other = said.clone();
    (other.versions[0].status, other.versions[2].status) = (VersionStatus::Deprecated, VersionStatus::Active);
    assert_eq!((back.is_of(&other), promoted.is_of(&other)), (true, false));
}

#[test]
fn nothing_leads_back_to_a_version_that_ended() {
    let promoted = self::promoted(&two(), at(0), Some(90));
    let end = promoted.stable_end_of_life.unwrap();
    assert!(promoted.rolled_back(&two(), "late", end - SignedDuration::from_secs(1)).unwrap().is_some());
    let refused = promoted.rolled_back(&two(), "too late", end).unwrap_err();
    assert_eq!(refused.to_string(), format!("version 1.0.0 reached its end of life on {end}: it can only be retired"));
    // What is active still is not brought back, and a canary can be stopped at any time.
    let mut ended = two();
    ended.versions[0].deprecation = serde_json::from_value(json!({"endOfLife": at(0)})).unwrap();
    let begun = Attempt::of(&ended, &Policy::default()).unwrap().begun(at(0));
    assert!(begun.rolled_back(&ended, "stop it", at(HOUR)).unwrap().is_some());
}

/// The versions at a step, by its weight.
fn at_weight(weight: u8) -> Vec<EffectiveVersion> {
    let mut policy = Policy::default();
    policy.rollout.steps = vec![RolloutStep { weight_percent: weight, hold_hours: 1 }];
    let begun = Attempt::of(&two(), &policy).unwrap().begun(at(0));
    effective::versions(&two(), Some(&begun), &policy, at(0))
}

#[test]
fn weights_are_exact_and_keys_stay() {
    const KEYS: u32 = 100_000;
    let id = ModelId::parse("acme/one").unwrap();
    let canary = "2.0.0".parse().unwrap();
    let gets_canary = |weight: u8| -> Vec<bool> {
        let versions = at_weight(weight);
        (0..KEYS).map(|key| version_for(&versions, &id, &format!("user-{key}")).unwrap().version == canary).collect()
    };
    let mut before = vec![false; KEYS as usize];
    for weight in [1, 5, 25, 50, 75, 99, 100] {
        let got = gets_canary(weight);
        let share = got.iter().filter(|got| **got).count() as f64 / f64::from(KEYS) * 100.0;
        assert!((share - f64::from(weight)).abs() < 0.5, "{weight}%: {share}");
        assert!(before.iter().zip(&got).all(|(before, got)| *got || !before), "who is in stays in at {weight}%");
        assert_eq!(got, gets_canary(weight), "the same key gets the same version");
        before = got;
    }
    assert!(before.into_iter().all(|got| got), "100% is everybody");
    // Another model meets other callers first.
    let versions = at_weight(5);
    let other = ModelId::parse("acme/two").unwrap();
    let both = (0..KEYS).filter(|key| {
        let key = format!("user-{key}");
        [&id, &other].into_iter().all(|id| version_for(&versions, id, &key).unwrap().version == canary)
    });
    assert!((150..350).contains(&both.count()), "5% of 5% are 250");
}

#[test]
fn a_rollout_is_part_of_the_history() {
    let policy = Policy::default();
    let mut records = vec![stepped(None, two())];
    let step = |records: &mut Vec<Record>, status: RolloutStatus| {
        let by = Mover { actor: CONTROLLER, source: CONTROLLER, correlation_id: "" };
        let now = status.changed_at;
        let next = after(records.last().unwrap(), status, by, 2, now);
        records.push(next);
    };
    let attempt = Attempt::of(&two(), &policy).unwrap();
    let begun = attempt.begun(at(0));
    step(&mut records, begun.clone());
    let promoted = attempt.advanced(&RolloutStatus { step: 2, ..begun }, "so it is", at(48 * HOUR));
    assert_eq!(
        promoted.operations().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["activate 2.0.0", "deprecate 1.0.0"]
    );
    let end = promoted.stable_end_of_life.unwrap();
    assert_eq!(end, at(48 * HOUR + 90 * 24 * HOUR));
    step(&mut records, promoted);
    // Time retires the old one, once.
    let last = records.last().unwrap();
    assert_eq!(status::due(last, &policy, end - SignedDuration::from_secs(1)), None);
    let effect = status::due(last, &policy, end).unwrap();
    let retired = status::after(last, &effect, 9, end);
    assert_eq!(retired.change.operations, [Operation::Retire("1.0.0".parse().unwrap())]);
    assert_eq!(status::due(&retired, &policy, end + SignedDuration::from_hours(9_000)), None);
    records.push(retired);
    // A price changes: all of it stays.
    let mut dearer = two();
    dearer.meta.input_cost_per_million_tokens = None;
    let priced = stepped(records.last(), dearer);
    assert_eq!(priced.status, records.last().unwrap().status);
    records.push(priced);
    let pairs = std::iter::once((None, &records[0])).chain(records.windows(2).map(|two| (Some(&two[0]), &two[1])));
    let entries: Vec<HistoryEntry> = pairs.map(|(old, new)| HistoryEntry::between(old, new).unwrap()).collect();
    let last = records.last().unwrap();
    assert_eq!(audit::verify(last, &entries), []);
    assert_eq!(Status::replayed(&entries), last.status);
    // The file says what has become of it: it is a status no more.
    let said =
        canaried(&json!([{"version": "1.0.0", "status": "deprecated"}, {"version": "2.0.0", "status": "active"}]));
    assert!(stepped(Some(last), said).status.is_empty());
}

/// What may happen to a model's versions.
#[derive(Clone, Debug)]
enum Turn {
    /// The controller looks, so many hours later, and sees results of this verdict.
    Tick(u16, Verdict, Verdict, bool),
    /// Somebody rolls back what runs.
    RollBack,
    /// Somebody asks the API for something else of the versions.
    Command(Command),
    /// A commit moves a version, if what it makes is legal.
    Commit(usize, VersionStatus),
    /// A commit says something else of a version, or behind the last one of the rollout.
    Say(usize),
    /// A commit says something else of the model.
    Price,
}

/// What the API may be asked for of a version, be there one or not.
fn commands() -> impl Strategy<Value = Command> {
    let number = || prop::sample::select(vec!["0.9.0", "1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0"]);
    let number = || number().prop_map(|number| number.parse::<semver::Version>().unwrap());
    let entry = (number(), prop::sample::select(VersionStatus::ALL.to_vec()))
        .prop_map(|(number, status)| json!({"version": number, "status": status}).as_object().unwrap().clone());
    prop_oneof![
        1 => entry.prop_map(Command::RegisterVersion),
        2 => number().prop_map(Command::ActivateVersion),
        1 => number().prop_map(|number| Command::DeprecateVersion(number, "so".to_owned(), Map::new())),
        1 => number().prop_map(Command::RetireVersion),
        2 => prop::option::of(number()).prop_map(Command::RollbackVersion),
    ]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    use VersionStatus::{Active, Canary, Deprecated, Inactive, Retired, Testing};
    let verdict =
        prop_oneof![5 => Just(Verdict::Passed), 1 => Just(Verdict::Failed), 1 => Just(Verdict::InsufficientData)];
    let moved = prop::sample::select(vec![Inactive, Testing, Canary, Active, Deprecated, Retired]);
    let turn = prop_oneof![
        6 => (0_u16..3000, verdict.clone(), verdict, prop::bool::weighted(0.2))
            .prop_map(|(hours, step, window, refused)| Turn::Tick(hours, step, window, refused)),
        1 => Just(Turn::RollBack),
        3 => commands().prop_map(Turn::Command),
        4 => (0_usize..4, moved).prop_map(|(at, status)| Turn::Commit(at, status)),
        2 => (0_usize..5).prop_map(Turn::Say),
        1 => Just(Turn::Price),
    ];
    prop::collection::vec(turn, 1..40)
}

/// Whether the rules across a model's versions let it be: one active version, and at most one canary beside it.
fn is_legal(model: &Model) -> bool {
    let count = |status| model.versions.iter().filter(|version| version.status == status).count();
    count(VersionStatus::Active) == 1 && count(VersionStatus::Canary) <= 1
}

proptest! {
    /// However the controller, commits and people meet, exactly one version takes the traffic, with at most a canary's
    /// share beside it; and the history replays into what is.
    #[test]
    fn one_version_takes_the_traffic_whatever_happens(turns in turns()) {
        let policy = Policy::default();
        let first = canaried(&json!([
            {"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "canary"},
            {"version": "3.0.0", "status": "inactive"}, {"version": "0.9.0", "status": "deprecated",
             "deprecation": {"endOfLife": "2027-02-01T00:00:00Z"}},
        ]));
        let mut records = vec![stepped(None, first)];
        let mut hours = 0;
        for turn in turns {
            let last = records.last().unwrap();
            let now = at(hours * HOUR);
            let kept = last.status.rollout.clone();
            let is_said = matches!(turn, Turn::Say(_) | Turn::Price);
            let active = |record: &Record| {
                let versions = effective::versions(&record.spec, record.status.rollout.as_ref(), &policy, now);
                versions.into_iter().find(|version| version.status == VersionStatus::Active)
            };
            let before = active(last).map(|version| version.version);
            match turn {
                Turn::Tick(passed, step, window, refused) => {
                    hours += i64::from(passed);
                    let now = at(hours * HOUR);
                    let report = |verdict| Report { verdict, samples: 0, min_samples: 0, checks: Vec::new() };
                    let (step, window) = (report(step), report(window));
                    let seen = Seen { step: &step, window: &window, refusal: refused.then_some("no") };
                    let next = Attempt::of(&last.spec, &policy).and_then(|attempt| attempt.next(kept.as_ref(), seen, now));
                    if let Some(next) = next {
                        let mut record = last.clone();
                        record.seq += 1;
                        record.status.rollout = Some(next);
                        records.push(record);
                    }
                    while let Some(effect) = status::due(records.last().unwrap(), &policy, now) {
                        records.push(status::after(records.last().unwrap(), &effect, 1, now));
                    }
                }
                Turn::RollBack => {
                    let back = kept.and_then(|status| status.rolled_back(&last.spec, "asked", now).unwrap_or_default());
                    if let Some(back) = back {
                        let mut record = last.clone();
                        record.seq += 1;
                        record.status.rollout = Some(back);
                        records.push(record);
                    }
                }
                Turn::Command(command) => {
                    let base = command.base(&last.spec, kept.as_ref());
                    // What it makes of the versions must pass the rules of a commit, too: the sync applies its file.
                    if let Ok(desired) = command.desired(Some(&base), &policy, now) {
                        prop_assert!(is_legal(&desired.model), "{:?} makes {:?}", command, desired.model.versions);
                        if desired.model != last.spec {
                            records.push(stepped(Some(last), desired.model));
                        }
                    }
                }
                Turn::Commit(..) | Turn::Say(_) | Turn::Price => {
                    let mut spec = last.spec.clone();
                    match turn {
                        Turn::Commit(at, to) => {
                            // The version that was active makes room, as in a commit that a person writes.
                            if to == VersionStatus::Active {
                                let active = spec.versions.iter_mut().find(|other| other.status == VersionStatus::Active);
                                active.unwrap().status = VersionStatus::Deprecated;
                            }
                            spec.versions[at].status = to;
                        }
                        Turn::Say(4) => {
                            let says = json!({"version": "2.0.0", "steps": [{"weightPercent": 10, "holdHours": 1}]});
                            let said = spec.rollout.take();
                            spec.rollout = said.is_none().then(|| serde_json::from_value(says).unwrap());
                        }
                        Turn::Say(at) => spec.versions[at].release_date = Some(now),
                        _ => spec.meta.context_length = spec.meta.context_length.map(|length| length + 1),
                    }
                    if is_legal(&spec) && spec != last.spec {
                        records.push(stepped(Some(last), spec));
                    }
                }
            }
            let last = records.last().unwrap();
            if is_said {
                prop_assert_eq!(active(last).map(|version| version.version), before, "nobody moved a version");
            }
            let now = at(hours * HOUR);
            let versions = effective::versions(&last.spec, last.status.rollout.as_ref(), &policy, now);
            let active = versions.iter().filter(|version| version.status == VersionStatus::Active).count();
            prop_assert_eq!(active, 1, "{:?}", versions);
            prop_assert_eq!(versions.iter().map(|version| u32::from(version.weight_percent)).sum::<u32>(), 100);
            prop_assert!(versions.iter().filter(|version| version.weight_percent > 0).count() <= 2);
            prop_assert!(last.status.rollout.as_ref().is_none_or(|status| status.is_of(&last.spec)));
        }
        let pairs = std::iter::once((None, &records[0])).chain(records.windows(2).map(|two| (Some(&two[0]), &two[1])));
        let entries: Vec<HistoryEntry> = pairs.map(|(old, new)| HistoryEntry::between(old, new).unwrap()).collect();
        prop_assert_eq!(audit::verify(records.last().unwrap(), &entries), []);
        prop_assert_eq!(&Status::replayed(&entries), &records.last().unwrap().status);
    }
}
