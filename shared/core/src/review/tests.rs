use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::guard::{self, Live};
use crate::model::tests::model;
use crate::plan::{self, Asker, Desired};
use crate::record::{ChangeNote, GitOrigin, Origin, Record};
use crate::status::Status;

const BASE: &str = "1111111111111111111111111111111111111111";
const HEAD: &str = "2222222222222222222222222222222222222222";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A catalogue that changes: what is live, and one step a model.
struct Pull {
    live: BTreeMap<ModelId, Model>,
    plan: Plan,
    policy: Policy,
    next_policy: Option<Policy>,
}

impl Pull {
    /// What `change` makes of some models; those it takes out lose their file.
    fn new(live: Vec<Model>, change: impl FnOnce(&mut BTreeMap<String, Model>)) -> Self {
        let named = |model: &Model| (model.id.to_string(), model.clone());
        let mut after: BTreeMap<String, Model> = live.iter().map(named).collect();
        change(&mut after);
        let ids: BTreeSet<ModelId> =
            live.iter().map(|model| model.id.clone()).chain(after.values().map(|model| model.id.clone())).collect();
        let live: BTreeMap<ModelId, Model> = live.into_iter().map(|model| (model.id.clone(), model)).collect();
        let step = |id: &ModelId| {
            let desired =
                after.get(id.as_str()).map_or(Desired::Absent, |model| Desired::Present(Box::new(model.clone())));
            plan::step(id, live.get(id).cloned().map(record).as_ref(), &desired, Asker::Git)
        };
        let plan = Plan { steps: ids.iter().filter_map(step).collect() };
        Self { live, plan, policy: Policy::default(), next_policy: None }
    }

    fn markdown(&self) -> String {
        let live = Live { models: self.live.len() as u64, policy_changes: self.next_policy.is_some() };
        let holds = guard::holds(&self.plan, live, &self.policy, now());
        let hash = self.plan.hash(Some(BASE), Some("tree"), 7).unwrap();
        self.review(&hash, &[], &holds).markdown()
    }

    fn review<'a>(&'a self, hash: &'a str, problems: &'a [Problem], holds: &'a [Hold]) -> Review<'a> {
        Review {
            base: BASE,
            head: HEAD,
            revision: 7,
            hash,
            problems,
            unknown: &[],
            plan: &self.plan,
            holds,
            policy: &self.policy,
            next_policy: self.next_policy.as_ref(),
            live: &self.live,
            now: now(),
        }
    }
}

fn record(spec: Model) -> Record {
    let text = String::new;
    let origin = Origin::Git(GitOrigin {
        repository: text(),
        path: text(),
        blob: text(),
        commit: text(),
        pull_request: None,
        author: text(),
    });
    let change = ChangeNote {
        operations: Vec::new(),
        actor: text(),
        reason: text(),
        source: text(),
        at: now(),
        applied_at: now(),
        commit: None,
        pull_request: None,
        revision: 7,
        correlation_id: text(),
    };
    let status = Status::default();
    let (tombstone, created_at) = (false, now());
    Record { spec, status, origin, seq: 1, tombstone, change, archived: None, overridden: None, created_at }
}

fn models(names: &[&str]) -> Vec<Model> {
    names.iter().map(|name| model(&format!("acme/{name}"))).collect()
}

fn price(text: &str) -> Option<crate::Price> {
    Some(text.parse().unwrap())
}

fn id(text: &str) -> Option<ModelId> {
    Some(ModelId::parse(text).unwrap())
}

/// Everything that a section can tell, in one plan that is not held.
fn mixed() -> Pull {
    let mut live =
        models(&["dear", "edited", "going", "last", "next", "opened", "plain", "removed", "untold", "versions"]);
    live[0].meta.prices =
        serde_json::from_value(json!({"cacheRead": 125, "tiers": [{"aboveTokens": 200_000, "input": 2500}]})).unwrap();
    live[0].meta.output_cost_per_million_tokens = None;
    live[1].meta.internal_notes = "planted-secret".to_owned();
    live[3].is_archived = true;
    live[3].is_available = false;
    live[4].meta.legacy_replacement_model_id = id("acme/last");
    live[5].meta.required_tier = Tier::ProMax;
    live[9].versions = serde_json::from_value(json!([
        {"version": "1.0.0", "status": "active"}, {"version": "2.0.0", "status": "testing"},
    ]))
    .unwrap();
    Pull::new(live, |all| {
        let edit = |all: &mut BTreeMap<String, Model>, name: &str, change: &dyn Fn(&mut Model)| {
            change(all.get_mut(&format!("acme/{name}")).unwrap());
        };
        edit(all, "dear", &|model| {
            model.meta.input_cost_per_million_tokens = price("3000.50");
            model.meta.output_cost_per_million_tokens = price("12000");
            model.meta.prices = serde_json::from_value(
                json!({"cacheWrite": 75, "tiers": [{"aboveTokens": 200_000, "input": 2400, "output": 15000}]}),
            )
            .unwrap();
            model.meta.price_schedule =
                serde_json::from_value(json!([{"from": "2027-01-01T00:00:00Z", "inputCostPerMillionTokens": 1000}]))
                    .unwrap();
        });
        edit(all, "edited", &|model| {
            model.meta.internal_notes = "planted-secret, too".to_owned();
            model.meta.description = "A model\nof | two <lines>".to_owned();
            model.aliases = vec![ModelId::parse("ed").unwrap()];
            model.protected = true;
        });
        edit(all, "going", &|model| {
            model.is_legacy = true;
            model.meta.legacy_replacement_model_id = id("acme/next");
            model.meta.sunset_date = Some("2026-12-11T00:00:00Z".parse().unwrap());
            model.meta.deprecation_notice = Some("Use next.".to_owned());
        });
        edit(all, "opened", &|model| model.meta.required_tier = Tier::Pro);
        edit(all, "untold", &|model| {
            model.is_available = false;
            model.is_legacy = true;
        });
        edit(all, "versions", &|model| {
            model.versions = serde_json::from_value(json!([
                {"version": "1.0.0", "status": "deprecated", "deprecation": {"replacementVersion": "2.0.0"}},
                {"version": "2.0.0", "status": "active"}, {"version": "3.0.0", "status": "canary"},
            ]))
            .unwrap();
        });
        all.remove("acme/removed");
        let mut new = model("acme/new");
        new.meta.display_name = "New *and* @shiny".to_owned();
        new.meta.output_cost_per_million_tokens = None;
        new.meta.required_tier = Tier::EnterprisePro;
        all.insert("acme/new".to_owned(), new);
    })
}

#[test]
fn a_mixed_plan() {
    let text = mixed().markdown();
    assert!(!text.contains("planted-secret"));
    insta::assert_snapshot!(text);
}

#[test]
fn a_held_plan() {
    let mut live = models(&["a", "b", "c", "d", "e"]);
    live[2].protected = true;
    let mut pull = Pull::new(live, |all| {
        all.get_mut("acme/a").unwrap().meta.input_cost_per_million_tokens = price("99000");
        all.get_mut("acme/b").unwrap().meta.required_tier = Tier::ProMax;
        let gone = all.get_mut("acme/c").unwrap();
        (gone.is_archived, gone.is_available) = (true, false);
        gone.meta.legacy_replacement_model_id = id("acme/a");
        all.get_mut("acme/d").unwrap().meta.sunset_date = Some("2026-11-20T00:00:00Z".parse().unwrap());
    });
    let freeze =
        json!([{"from": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z", "reason": "audit, ask @ann"}]);
    pull.policy.guard.freezes = serde_json::from_value(freeze).unwrap();
    let mut next = pull.policy.clone();
    next.guard.max_price_factor = 100;
    next.credits.margin = "3".parse().unwrap();
    next.tiers.swap(0, 1);
    pull.next_policy = Some(next);
    insta::assert_snapshot!(pull.markdown());
}

#[test]
fn an_invalid_commit() {
    let problem = |line: usize, column: usize, pointer: &str, message: &str| Problem {
        file: "catalog/models/acme/a.json".to_owned(),
        line,
        column,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
    };
    let problems = [
        problem(0, 0, "", "300002 bytes, but a catalogue file has at most 262144"),
        problem(16, 5, "/meta/inputCostPerMillionTokens", "-1 is below the minimum of 0"),
        problem(3, 3, "/name", "unknown name \"<b>@ann</b>|`x`\""),
        problem(20, 5, "/meta/internalNotes", "expected string, found [\"planted-secret\"]"),
    ];
    let pull = Pull::new(Vec::new(), |_| {});
    insta::assert_snapshot!(pull.review("", &problems, &[]).markdown());

    let many: Vec<Problem> =
        (0..5_000).map(|line| problem(line, 1, "/meta", "unknown key \"contextLenght\"")).collect();
    let text = pull.review("", &many, &[]).markdown();
    assert!(chars(&text) <= MAX_CHARS, "{}", chars(&text));
    assert!(text.contains("5000 mistakes") && text.contains(" more mistakes\n") && text.contains(HEAD));
}

#[test]
fn nothing_to_do() {
    let pull = Pull::new(models(&["a"]), |_| {});
    let text = pull.markdown();
    assert!(
        text.starts_with("<!-- roster-plan -->\n### Roster plan: changes nothing\n\n**No model changes.**"),
        "{text}"
    );
    let with_policy = Pull { next_policy: Some(Policy::default()), ..pull };
    assert_eq!(with_policy.markdown(), text, "a policy that says the same is no change");
}

#[test]
fn five_thousand_models_with_the_gravest_first() {
    let names: Vec<String> = (0..5_000).map(|n| format!("{n:04}")).collect();
    let live = models(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let pull = Pull::new(live, |all| {
        for (n, model) in all.values_mut().enumerate() {
            let meta = &mut model.meta;
            match n {
                4_990.. => model.is_archived = true,
                4_980.. => meta.required_tier = Tier::Perpetual,
                4_970.. => meta.input_cost_per_million_tokens = price("5000"),
                _ => meta.output_cost_per_million_tokens = price("10001"),
            }
        }
    });
    let text = pull.markdown();
    assert!((MAX_CHARS - 4_000..=MAX_CHARS).contains(&chars(&text)), "{}", chars(&text));
    let hash = pull.plan.hash(Some(BASE), Some("tree"), 7).unwrap();
    assert!(text.contains("held for approval") && text.ends_with("on revision 7"), "{text}");
    assert_eq!(text.matches(&hash).count(), 2, "for the trailer, and at the end");
    assert!(text.contains("**5000 models**: 10 archived, 10 taken from a tier, 4980 repriced."), "{text}");
    let shown: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("##### `acme/")?.split_once('`')).map(|(id, _)| id).collect();
    let order: Vec<&str> = (4_990..5_000)
        .chain(4_980..4_990)
        .chain(4_970..4_980)
        .chain(0..4_970)
        .map(|n: usize| names[n].as_str())
        .collect();
    assert!(shown.len() > 40, "{}", shown.len());
    assert_eq!(shown, order[..shown.len()]);
    let left_out = 5_000 - shown.len();
    assert!(text.contains(&format!("And {left_out} more models: {left_out} repriced.")), "{text}");
}

#[test]
fn a_chain_is_followed_to_its_end() {
    let mut live = models(&["a", "b", "c", "d"]);
    live[1].meta.legacy_replacement_model_id = id("acme/c");
    live[2].meta.legacy_replacement_model_id = id("acme/d");
    let replaced = |live: &[Model], by: &str, change: &dyn Fn(&mut BTreeMap<String, Model>)| {
        let pull = Pull::new(live.to_vec(), |all| {
            change(all);
            all.get_mut("acme/a").unwrap().meta.legacy_replacement_model_id = id(by);
        });
        let text = pull.markdown();
        let line = text.lines().find_map(|line| line.strip_prefix("- replaced by ")).unwrap();
        line.replace("acme/", "").replace('`', "")
    };
    assert_eq!(replaced(&live, "acme/b", &|_| {}), "b → c → d");
    assert_eq!(replaced(&live, "acme/none", &|_| {}), "none (unknown here)");
    assert_eq!(
        replaced(&live, "acme/b", &|all| all.get_mut("acme/d").unwrap().is_archived = true),
        "b → c → d (archived)"
    );
    let removed = |all: &mut BTreeMap<String, Model>| drop(all.remove("acme/d"));
    assert_eq!(replaced(&live, "acme/b", &removed), "b → c → d (archived)");
    let circle = |all: &mut BTreeMap<String, Model>| {
        all.get_mut("acme/d").unwrap().meta.legacy_replacement_model_id = id("acme/b");
    };
    assert_eq!(replaced(&live, "acme/b", &circle), "b → c → d → b (a circle)");
    let names: Vec<String> = (0..30).map(|n| format!("m{n:02}")).collect();
    let mut long = models(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for n in 0..29 {
        long[n].meta.legacy_replacement_model_id = Some(long[n + 1].id.clone());
    }
    long.push(model("acme/a"));
    assert_eq!(replaced(&long, "acme/m00", &|_| {}), "m00 → m01 → m02 → m03 → m04 → m05 → m06 → m07 → … → m29");
}

/// A commit that takes nothing away from anybody, and does not come from the table of a live revision, says so.
#[test]
fn a_hash_without_a_revision_approves_nothing() {
    let pull = Pull::new(models(&["a"]), |_| {});
    let holds = [Hold { rule: "freeze".to_owned(), message: "frozen".to_owned() }];
    let with = |revision: u64| Review { revision, ..pull.review("abc", &[], &holds) }.markdown();
    assert!(with(0).contains("approves nothing") && !with(1).contains("approves nothing"));
}

/// However much there is of everything, and however long its escapes are.
#[test]
fn nothing_makes_it_too_long() {
    let names: Vec<String> = (0..80).map(|n| format!("{}{n:03}", "m".repeat(190))).collect();
    let long = "@|".repeat(500);
    let mut live = models(&names.iter().map(String::as_str).collect::<Vec<_>>());
    live.iter_mut().for_each(|model| model.protected = true);
    let mut pull = Pull::new(live, |all| {
        for model in all.values_mut() {
            let metadata = (0..20).map(|n| (format!("{n}{long}"), long.clone().into()));
            model.meta.provider_metadata = metadata.collect();
            model.meta.display_name.clone_from(&long);
            model.is_legacy = true;
            model.aliases = (0..20).map(|n| ModelId::parse(&format!("{}{n}", "a".repeat(150))).unwrap()).collect();
            let tiers: Vec<Value> = (1..100).map(|tokens| json!({"aboveTokens": tokens, "input": 9_999_999})).collect();
            model.meta.prices = serde_json::from_value(json!({ "tiers": tiers })).unwrap();
            model.meta.input_cost_per_million_tokens = price("99000");
        }
    });
    let mut next = Policy::default();
    let freeze = crate::policy::Freeze { from: now(), until: now(), reason: long.clone() };
    next.guard.freezes = vec![freeze; 500];
    next.tiers.reverse();
    pull.next_policy = Some(next);
    let text = pull.markdown();
    assert!((40_000..=MAX_CHARS).contains(&chars(&text)), "{}", chars(&text));
    assert!(text.contains("more reasons\n") && text.contains("more warnings\n") && text.ends_with("on revision 7"));
    let hold = Hold { rule: "freeze".to_owned(), message: long.clone() };
    let problem = Problem { pointer: long.clone(), line: 1, ..Problem::of_file(&long, long.clone()) };
    let problems = vec![problem; 500];
    for text in [
        pull.review("abc", &[], &vec![hold; 500]).markdown(),
        Review { base: &long, head: &long, ..pull.review("abc", &problems, &[]) }.markdown(),
    ] {
        assert!(chars(&text) <= MAX_CHARS, "{}", chars(&text));
    }
}

/// Texts that would do something if they were Markdown or HTML.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "<script>",
            "</",
            "<!--",
            "-->",
            "`",
            "``",
            "|",
            "\\|",
            "\\",
            "\n",
            "\r\n",
            "@ann",
            "@",
            "#12",
            "GH-1",
            "&lt;",
            "&#64;",
            "- ",
            "1. ",
            "](http://x.example)",
            "![",
            "https://x.example",
            "www.x.example",
            "a@b.example",
            "**",
            "_",
            "~~~",
            "$x$",
            "\t",
            "\u{202e}",
            "\u{2028}",
            "b6d1853b6d1853",
            "planted",
            " ",
            "x",
            "### ",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// The text outside of code spans, as a browser shows it; `None` when a span is not closed.
fn outside_code(line: &str) -> Option<String> {
    let parts: Vec<&str> = line.split('`').collect();
    let mut text: String = parts.iter().step_by(2).map(|part| format!("{part}\u{0}")).collect();
    while let Some(start) = text.find("&#") {
        let end = start + text[start..].find(';')?;
        let c = char::from_u32(text[start + 2..end].parse().ok()?)?;
        // A character that stands for nothing else any more, so that decoding ends.
        let shown = if c == '&' { 'ⓐ' } else { c };
        text.replace_range(start..=end, &shown.to_string());
    }
    (parts.len() % 2 == 1).then_some(text)
}

fn check_harmless(markdown: &str) -> Result<(), TestCaseError> {
    const BEGINNINGS: [&str; 13] = [
        "###",
        "- ",
        "| ",
        "**",
        "To approve",
        "And ",
        "Of the models",
        "---",
        "Plan `",
        "No plan",
        "#### ",
        "##### ",
        "=",
    ];
    let body = markdown.strip_prefix(MARKER).unwrap();
    prop_assert!(!body.contains(['<', '\r', '\u{2028}', '\u{202e}']), "{}", body);
    for line in body.lines() {
        prop_assert!(line.is_empty() || BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)), "{}", line);
        prop_assert_eq!(line.matches('|').count(), if line.starts_with('|') { 5 } else { 0 }, "{}", line);
        let Some(text) = outside_code(line) else { return Err(TestCaseError::fail(format!("open code: {line}"))) };
        let chars: Vec<char> = text.chars().collect();
        for pair in chars.windows(2) {
            prop_assert!(!(pair[0] == '@' && (pair[1].is_alphanumeric() || pair[1] == '_')), "mention: {}", line);
            prop_assert!(!(pair[0] == '#' && pair[1].is_numeric()), "reference: {}", line);
        }
        prop_assert!(!text.contains("://") && !text.to_lowercase().contains("www."), "link: {}", line);
        prop_assert!(!text.to_lowercase().contains("gh-1"), "reference: {}", line);
        let is_commit = |word: &str| word.len() > 6 && word.chars().all(|c| c.is_ascii_hexdigit());
        prop_assert!(!text.split(|c: char| !c.is_alphanumeric()).any(is_commit), "commit: {}", line);
    }
    prop_assert!(chars(markdown) <= MAX_CHARS);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_does_anything(
        texts in prop::collection::vec(hostile(), 12),
        name in "[A-Za-z0-9~][A-Za-z0-9._:@+~-]{0,12}",
    ) {
        let mut live = models(&["a", "b"]);
        live[0].meta.description.clone_from(&texts[0]);
        let mut pull = Pull::new(live, |all| {
            let a = all.get_mut("acme/a").unwrap();
            a.name.clone_from(&texts[1]);
            a.meta.display_name.clone_from(&texts[2]);
            a.meta.description.clone_from(&texts[3]);
            a.meta.deprecation_notice = Some(texts[4].clone());
            a.meta.provider_metadata.insert(texts[5].clone(), texts[6].clone().into());
            a.meta.internal_notes = "planted-secret".to_owned();
            a.meta.input_cost_per_million_tokens = price("7000");
            a.meta.legacy_replacement_model_id = id(&name);
            let mut new = model(&name);
            new.meta.display_name.clone_from(&texts[7]);
            new.provider.clone_from(&texts[8]);
            all.insert(name.clone(), new);
        });
        let mut next = Policy::default();
        next.guard.freezes = vec![crate::policy::Freeze { from: now(), until: now(), reason: texts[9].clone() }];
        pull.next_policy = Some(next);
        let holds = [Hold { rule: "freeze".to_owned(), message: texts[10].clone() }];
        let text = pull.review("abc", &[], &holds).markdown();
        prop_assert!(!text.contains("planted-secret"));
        check_harmless(&text)?;
        let problem = Problem { line: 1, pointer: texts[10].clone(), ..Problem::of_file(&texts[11], texts[0].clone()) };
        check_harmless(&pull.review("abc", &[problem], &[]).markdown())?;
    }
}
