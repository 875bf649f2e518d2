//! A plan as the reviewer of a pull request reads it: GitHub-flavoured Markdown, within a comment's length, the
//! gravest first.
//!
//! A comment is public, and most of its words are a stranger's. So every text of the catalogue is made harmless
//! (`text`), and internal notes are never shown.

mod prices;
mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::diff::{self, FieldChange};
use crate::document::Problem;
use crate::guard::Hold;
use crate::lifecycle::{self, Stage};
use crate::meta::Capability;
use crate::model::{Model, ModelId};
use crate::plan::{Operation, Plan, Step};
use crate::policy::Policy;
use crate::tier::{self, Tier};
use crate::version::{Version, VersionStatus};
use prices::{Move, date, percent, shown};
use text::{code, counted, fitting, plain, shorten};

/// The first line of every review, by which its comment is found again.
pub const MARKER: &str = "<!-- roster-plan -->";

/// The most characters of a review. GitHub takes 65,536 in a comment; the rest is left to whoever posts it.
pub const MAX_CHARS: usize = 60_000;

/// Characters for the guard's reasons, for warnings and for a change of policy, each.
const SECTION_CHARS: usize = 8_000;
/// Characters for the details of one model, and as many for its table of prices.
const MODEL_CHARS: usize = 4_000;
/// Kept for the line that counts the models that are left out.
const REST_CHARS: usize = 1_000;
/// Characters shown of a value.
const VALUE_CHARS: usize = 120;
/// Models shown of a chain of replacements.
const CHAIN: usize = 10;
/// Models named in a list of many.
const NAMED: usize = 10;

/// What is reviewed.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    /// The commit that is taken as live.
    pub base: &'a str,
    /// The commit that is judged.
    pub head: &'a str,
    /// The live revision that the hash names.
    pub revision: u64,
    /// The plan's hash.
    pub hash: &'a str,
    /// Every mistake; with any, there is no plan.
    pub problems: &'a [Problem],
    /// What is not known where the plan is made.
    pub unknown: &'a [String],
    /// What would be done.
    pub plan: &'a Plan,
    /// Every reason to hold it.
    pub holds: &'a [Hold],
    /// The policy in force.
    pub policy: &'a Policy,
    /// The policy that comes with the commit, where its file changes.
    pub next_policy: Option<&'a Policy>,
    /// Every model that is live.
    pub live: &'a BTreeMap<ModelId, Model>,
    /// The time that sunsets and schedules are compared with.
    pub now: Timestamp,
}

impl Review<'_> {
    /// The review as Markdown: at most [`MAX_CHARS`] characters, verdict, summary and hash always among them.
    #[must_use]
    pub fn markdown(&self) -> String {
        let footer = self.footer();
        if !self.problems.is_empty() {
            return format!("{}\n\n{footer}", self.rejection());
        }
        let models = self.models();
        let mut out = self.verdict();
        out.push_str(&format!("\n\n{}", self.summary(&models)));
        if let Some(section) = self.policy_section() {
            out.push_str(&format!("\n\n{section}"));
        }
        let warnings: Vec<String> = self.warnings(&models);
        if !warnings.is_empty() {
            out.push_str(&format!("\n\n#### Warnings\n\n{}", list(warnings, SECTION_CHARS, "warning")));
        }
        let mut left = MAX_CHARS.saturating_sub(chars(&out) + chars(&footer) + REST_CHARS);
        let mut rest = models.iter();
        while let Some(model) = rest.as_slice().first() {
            let section = format!("\n\n{}", self.model_section(model));
            let Some(after) = left.checked_sub(chars(&section)) else { break };
            left = after;
            out.push_str(&section);
            rest.next();
        }
        let rest = rest.as_slice();
        if !rest.is_empty() {
            let more = if rest.len() == models.len() { "" } else { " more" };
            let models = if rest.len() == 1 { "model" } else { "models" };
            out.push_str(&format!("\n\nAnd {}{more} {models}: {}.", rest.len(), kinds_of(rest)));
        }
        format!("{out}\n\n{footer}")
    }

    /// The policy afterwards.
    fn policy_after(&self) -> &Policy {
        self.next_policy.unwrap_or(self.policy)
    }

    fn changes_policy(&self) -> bool {
        self.next_policy.is_some_and(|next| next != self.policy)
    }

    fn rejection(&self) -> String {
        let problems = self.problems.iter().map(|problem| {
            let mut place = shorten(&problem.file, 4 * VALUE_CHARS);
            if problem.line > 0 {
                place.push_str(&format!(":{}:{}", problem.line, problem.column));
            }
            let pointer = if problem.pointer.is_empty() {
                String::new()
            } else {
                code(&shorten(&problem.pointer, 2 * VALUE_CHARS)) + ": "
            };
            // Such a message may quote what it refuses.
            let message = match problem.pointer.starts_with("/meta/internalNotes") {
                true => "not valid; internal notes are not quoted here: `roster validate` says why".to_owned(),
                false => plain(&shorten(&problem.message, 4 * VALUE_CHARS)),
            };
            format!("- {}: {pointer}{message}", code(&place))
        });
        format!(
            "{MARKER}\n### Roster plan: rejected\n\n**{} in the catalogue.** Merging it would change nothing: what is \
             live keeps serving until every mistake is mended.\n\n{}",
            counted(self.problems.len(), "mistake"),
            list(problems, MAX_CHARS - 4 * REST_CHARS, "mistake")
        )
    }

    /// The title, and what merging it comes to.
    fn verdict(&self) -> String {
        if self.holds.is_empty() {
            let title = match self.plan.steps.is_empty() && !self.changes_policy() {
                true => "changes nothing",
                false => "would be applied",
            };
            return format!("{MARKER}\n### Roster plan: {title}");
        }
        let holds =
            self.holds.iter().map(|hold| format!("- {}: {}", code(&hold.rule), plain(&shorten(&hold.message, 500))));
        let mut out = format!(
            "{MARKER}\n### Roster plan: held for approval\n\n**The guard holds it for {}.** Merging it would change \
             nothing until it is approved.\n\n{}\n\nTo approve exactly this plan, end the message of the merge with \
             the trailer `Roster-Approve: {}`, or let a super_admin approve that hash. Another plan, or another live \
             revision, has another hash.",
            counted(self.holds.len(), "reason"),
            list(holds, SECTION_CHARS, "reason"),
            self.hash
        );
        if self.revision == 0 {
            // Nothing is held as long as nothing is live.
            out.push_str(" **This hash approves nothing**: it was made without the live revision.");
        }
        out
    }

    fn footer(&self) -> String {
        let (base, head) = (code(&shorten(self.base, VALUE_CHARS)), code(&shorten(self.head, VALUE_CHARS)));
        if !self.problems.is_empty() {
            return format!("---\nNo plan, from {base} to {head}");
        }
        format!("---\nPlan `{}`, from {base} to {head}, on revision {}", self.hash, self.revision)
    }

    fn summary(&self, models: &[Reviewed<'_>]) -> String {
        let mut out = match models.len() {
            0 => "**No model changes.**".to_owned(),
            count => format!("**{}**: {}.", counted(count, "model"), kinds_of(models)),
        };
        if self.changes_policy() {
            out.push_str(" **The policy changes.**");
        }
        out
    }

    /// Every model that changes, the gravest first.
    fn models(&self) -> Vec<Reviewed<'_>> {
        let mut models: Vec<Reviewed<'_>> = self.plan.steps.iter().map(|step| self.reviewed(step)).collect();
        models.sort_by_key(|model| (Reverse(model.gravity), &model.step.id));
        models
    }

    fn reviewed<'s>(&self, step: &'s Step) -> Reviewed<'s> {
        let before = step.before.as_ref();
        let was_live = before.is_some_and(|before| !step.was_tombstone && is_live(before, self.now));
        let stays_live = !step.tombstone && is_live(&step.after, self.now);
        let uses_before =
            |t: Tier| was_live && before.is_some_and(|before| tier::may_use(&before.meta, t, self.policy));
        let uses_after = |t: Tier| stays_live && tier::may_use(&step.after.meta, t, self.policy_after());
        let tiers = |wanted: &dyn Fn(Tier) -> bool| Tier::ALL.into_iter().filter(|&t| wanted(t)).collect::<Vec<_>>();
        let moves = prices::moves(before.map(|before| &before.meta), &step.after.meta);
        let mut reviewed = Reviewed {
            step,
            kinds: BTreeSet::new(),
            others: other_changes(step, &moves),
            moves,
            lost: tiers(&|t| uses_before(t) && !uses_after(t)),
            gained: tiers(&|t| !uses_before(t) && uses_after(t)),
            leaves: was_live && !stays_live,
            stays_live,
            gravity: (0, Decimal::ZERO),
        };
        reviewed.kinds = reviewed.kinds();
        reviewed.gravity = reviewed.gravity();
        reviewed
    }

    fn warnings(&self, models: &[Reviewed<'_>]) -> Vec<String> {
        let mut warnings: Vec<String> = self.unknown.iter().map(|unknown| format!("{}.", plain(unknown))).collect();
        if self.changes_policy() && self.policy_after().guard != self.policy.guard {
            warnings.push("What the guard holds changes; this plan is still judged by the limits before.".to_owned());
        }
        let window = self.policy_after().lifecycle.warning_window_days.iter().max().copied().unwrap_or(0);
        for model in models {
            let (id, after) = (code(model.step.id.as_str()), &model.step.after);
            let mut warn = |text: String| warnings.push(format!("{id} {text}"));
            let protected_before = model.step.before.as_ref().is_some_and(|before| before.protected);
            if protected_before && !after.protected {
                warn("is no longer protected.".to_owned());
            } else if protected_before {
                warn(format!("is protected: {}.", model.words()));
            }
            let dearer: Vec<String> = model
                .moves
                .iter()
                .filter(|change| change.more_than_doubles())
                .map(|change| format!("{} {}", change.label(), change.change()))
                .collect();
            if !dearer.is_empty() && model.stays_live {
                warn(format!("becomes more than twice as dear: {}.", named(&dearer)));
            }
            if model.kinds.contains(&Kind::SwitchedOff) {
                warn("can no longer be used: it is switched off.".to_owned());
            }
            if let Some(sunset) = after.meta.sunset_date.filter(|_| !model.step.tombstone && !after.is_archived) {
                let seconds = sunset.as_second().saturating_sub(self.now.as_second());
                if sunset <= self.now {
                    warn(format!("has a sunset that has passed, {}: clients lose it at once.", date(sunset)));
                } else if u64::try_from(seconds).is_ok_and(|seconds| seconds <= window.saturating_mul(86_400)) {
                    warn(format!("has its sunset {} ({}).", in_days(days_left(sunset, self.now)), date(sunset)));
                }
            }
            if after.is_legacy && model.stays_live {
                let meta = &after.meta;
                match (&meta.legacy_replacement_model_id, meta.sunset_date) {
                    (None, None) => warn("is legacy without a replacement and without a sunset.".to_owned()),
                    (None, Some(_)) => warn("is legacy without a replacement.".to_owned()),
                    (Some(_), None) => warn("is legacy without a sunset.".to_owned()),
                    (Some(_), Some(_)) => {}
                }
            }
            if model.changes_notes() {
                warn("comes with internal notes that change; they are not shown here.".to_owned());
            }
        }
        warnings.into_iter().map(|warning| format!("- {warning}")).collect()
    }

    fn model_section(&self, model: &Reviewed<'_>) -> String {
        let step = model.step;
        let mut out = format!("##### {}: {}", code(step.id.as_str()), model.words());
        let mut lines = if step.before.is_none() { self.introduction(model) } else { Vec::new() };
        lines.extend(self.lifecycle_lines(model));
        lines.extend(access_lines(model));
        lines.extend(alias_line(step));
        lines.extend(version_lines(step));
        lines.extend(model.others.iter().map(|change| format!("{}: {}", path(change), field(change))));
        if model.changes_notes() {
            lines.push("internal notes changed (not shown)".to_owned());
        }
        if !lines.is_empty() {
            let lines = lines.into_iter().map(|line| format!("- {line}"));
            out.push_str(&format!("\n\n{}", list(lines, MODEL_CHARS, "line")));
        }
        let rows = self.price_rows(model);
        if !rows.is_empty() {
            let (rows, left_out) = fitting(rows, MODEL_CHARS);
            let head = "| dollars per million tokens (as in the file) | before | after | change |";
            out.push_str(&format!("\n\n{head}\n| --- | ---: | ---: | ---: |\n{}", rows.join("\n")));
            if left_out > 0 {
                out.push_str(&format!("\n\nAnd {}.", counted(left_out, "more price")));
            }
        }
        out
    }

    /// What a new model is.
    fn introduction(&self, model: &Reviewed<'_>) -> Vec<String> {
        let (step, meta) = (model.step, &model.step.after.meta);
        let brief = |text: &str| plain(&shorten(text, VALUE_CHARS));
        let capabilities: Vec<String> = meta.capabilities.iter().map(capability).collect();
        let mut what =
            format!("{}, by {}: {}", brief(&meta.display_name), brief(&step.after.provider), capabilities.join(", "));
        if let Some(tokens) = meta.context_length {
            what.push_str(&format!("; {tokens} tokens of context"));
        }
        let now = prices::moves(None, meta).into_iter().filter(|price| price.from.is_none());
        let mut known: Vec<String> = now.map(|price| format!("{} {}", price.label(), shown(price.new))).collect();
        for (name, price) in
            [("input", meta.input_cost_per_million_tokens), ("output", meta.output_cost_per_million_tokens)]
        {
            if price.is_none() {
                known.push(format!("{name} unknown"));
            }
        }
        let credits = prices::credits(meta, self.policy_after(), self.now);
        let credits = credits.map_or_else(|| "unknown".to_owned(), |credits| credits.to_string());
        let mut lines = vec![
            what,
            format!(
                "dollars per million tokens (as in the file): {}; credits per 1k tokens: {credits}",
                known.join(", ")
            ),
        ];
        if step.after.protected {
            lines.push("protected".to_owned());
        }
        lines
    }

    fn lifecycle_lines(&self, model: &Reviewed<'_>) -> Vec<String> {
        let (step, after) = (model.step, &model.step.after);
        let before = step.before.as_ref().map(|before| &before.meta);
        let mut lines = Vec::new();
        if step.operations.contains(&Operation::Adopt) {
            lines.push("was made by the API; from now on its file owns it".to_owned());
        }
        if step.operations.contains(&Operation::EndOverride) {
            lines.push("was overridden by the API; its file counts again".to_owned());
        }
        if step.tombstone {
            lines.push("its file is removed: the id stays reserved, and its history is kept".to_owned());
        } else if step.was_tombstone {
            let archived = if after.is_archived { ", and it stays archived" } else { "" };
            lines.push(format!("its file is back{archived}"));
        }
        if step.operations.contains(&Operation::Unarchive) && !after.is_archived && !after.is_available {
            lines.push("is switched off".to_owned());
        }
        let replacement = after.meta.legacy_replacement_model_id.as_ref();
        let replacement_before = before.and_then(|before| before.legacy_replacement_model_id.as_ref());
        let goes = model.leaves || model.kinds.contains(&Kind::MarkedLegacy);
        match (replacement_before, replacement) {
            (_, Some(first)) if goes || replacement_before != Some(first) => {
                lines.push(format!("replaced by {}", self.chain(&step.id, first)));
            }
            (Some(old), None) => lines.push(format!("no replacement any more (it was {})", code(old.as_str()))),
            (None, None) if model.leaves => lines.push("no replacement: clients are told of none".to_owned()),
            _ => {}
        }
        let sunset_before = before.and_then(|before| before.sunset_date);
        match (sunset_before, after.meta.sunset_date) {
            (old, Some(new)) if old != Some(new) => {
                let was = old.map(|old| format!(" (it was {})", date(old))).unwrap_or_default();
                lines.push(format!("sunset {}, {}{was}", date(new), in_days(days_left(new, self.now))));
            }
            (Some(old), None) => lines.push(format!("no sunset any more (it was {})", date(old))),
            (Some(_), Some(same)) if goes => {
                lines.push(format!("sunset {}, {}", date(same), in_days(days_left(same, self.now))));
            }
            _ => {}
        }
        lines
    }

    /// The way from a model's first replacement to the last one, as it will be.
    fn chain(&self, id: &ModelId, first: &ModelId) -> String {
        let mut names: Vec<String> = Vec::new();
        let mut seen = BTreeSet::from([id]);
        let mut next = Some(first);
        let mut end = "";
        while let Some(id) = next {
            names.push(code(id.as_str()));
            if !seen.insert(id) {
                end = " (a circle)";
                break;
            }
            let (model, tombstone) = match self.plan.steps.binary_search_by(|step| step.id.cmp(id)) {
                Ok(at) => (Some(&self.plan.steps[at].after), self.plan.steps[at].tombstone),
                Err(_) => (self.live.get(id), false),
            };
            next = model.and_then(|model| model.meta.legacy_replacement_model_id.as_ref());
            end = match model {
                None => " (unknown here)",
                Some(model) if tombstone || !is_live(model, self.now) => " (archived)",
                Some(_) => "",
            };
        }
        if names.len() > CHAIN {
            let last = names.split_off(names.len() - 1);
            names.truncate(CHAIN - 2);
            names.push("…".to_owned());
            names.extend(last);
        }
        format!("{}{end}", names.join(" → "))
    }

    /// Rows of the table: each price that changes, and the credits where they follow.
    fn price_rows(&self, model: &Reviewed<'_>) -> Vec<String> {
        let (step, after) = (model.step, &model.step.after.meta);
        let row = |change: &Move| {
            format!("| {} | {} | {} | {} |", change.label(), shown(change.old), shown(change.new), change.change())
        };
        let Some(before) = step.before.as_ref().map(|before| &before.meta) else {
            // The prices of a new model stand in its introduction.
            return model.moves.iter().filter(|change| change.from.is_some()).map(row).collect();
        };
        let mut rows: Vec<String> = model.moves.iter().map(row).collect();
        let old = prices::credits(before, self.policy, self.now);
        let new = prices::credits(after, self.policy_after(), self.now);
        if model.stays_live && (old != new || !rows.is_empty() && new.is_some()) {
            let change = match (old, new) {
                (Some(old), Some(new)) if old == new => "same".to_owned(),
                (Some(old), Some(new)) => percent(old.into(), new.into()).unwrap_or_default(),
                (None, _) => "new".to_owned(),
                (_, None) => "removed".to_owned(),
            };
            let shown = |credits: Option<u64>| credits.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
            rows.push(format!("| credits per 1k tokens | {} | {} | {change} |", shown(old), shown(new)));
        }
        rows
    }

    /// What another policy says, and what it does to models that no file changes.
    fn policy_section(&self) -> Option<String> {
        let next = self.next_policy.filter(|_| self.changes_policy())?;
        let json = |policy: &Policy| serde_json::to_value(policy).unwrap_or_default();
        let changes = diff::fields(&json(self.policy), &json(next));
        let lines = changes.iter().map(|change| format!("- {}: {}", path(change), field(change)));
        let mut out = format!("#### Policy\n\n{}", list(lines, SECTION_CHARS / 2, "change"));
        let touched: BTreeSet<&ModelId> = self.plan.steps.iter().map(|step| &step.id).collect();
        let others = || self.live.values().filter(|model| !touched.contains(&model.id) && is_live(model, self.now));
        let credits = |model: &Model, policy| prices::credits(&model.meta, policy, self.now);
        let dearer = others().filter(|model| credits(model, next) > credits(model, self.policy)).count();
        let cheaper = others().filter(|model| credits(model, next) < credits(model, self.policy)).count();
        let loses = |model: &&Model| {
            let lost = |&t: &Tier| tier::may_use(&model.meta, t, self.policy) && !tier::may_use(&model.meta, t, next);
            Tier::ALL.iter().any(lost)
        };
        let losing: Vec<String> = others().filter(loses).map(|model| code(model.id.as_str())).collect();
        let mut effects = Vec::new();
        if dearer + cheaper > 0 {
            effects.push(format!("- credits rise for {} and fall for {cheaper}", counted(dearer, "model")));
        }
        if !losing.is_empty() {
            effects.push(format!("- a tier loses access to {}", named(&losing)));
        }
        if !effects.is_empty() {
            out.push_str(&format!("\n\nOf the models that no file changes:\n\n{}", effects.join("\n")));
        }
        Some(out)
    }
}

/// What happens to a model, in the order in which a reviewer wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Removed,
    Archived,
    LosesAccess,
    SwitchedOff,
    Repriced,
    MarkedLegacy,
    GainsAccess,
    SwitchedOn,
    Unarchived,
    UnmarkedLegacy,
    Adopted,
    Created,
    Versions,
    Aliases,
    Edited,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Archived => "archived",
            Self::LosesAccess => "taken from a tier",
            Self::SwitchedOff => "switched off",
            Self::Repriced => "repriced",
            Self::MarkedLegacy => "marked legacy",
            Self::GainsAccess => "opened to a tier",
            Self::SwitchedOn => "switched on",
            Self::Unarchived => "unarchived",
            Self::UnmarkedLegacy => "no longer legacy",
            Self::Adopted => "adopted from the API",
            Self::Created => "created",
            Self::Versions => "moved to other versions",
            Self::Aliases => "given other aliases",
            Self::Edited => "edited",
        }
    }
}

/// A step with what follows from it.
struct Reviewed<'s> {
    step: &'s Step,
    kinds: BTreeSet<Kind>,
    moves: Vec<Move>,
    /// The changes that have no words of their own.
    others: Vec<&'s FieldChange>,
    lost: Vec<Tier>,
    gained: Vec<Tier>,
    /// Whether clients lose it as a whole.
    leaves: bool,
    stays_live: bool,
    gravity: (u8, Decimal),
}

impl Reviewed<'_> {
    fn kinds(&self) -> BTreeSet<Kind> {
        let step = self.step;
        let Some(before) = &step.before else { return BTreeSet::from([Kind::Created]) };
        let mut kinds = BTreeSet::new();
        let mut add = |kind: Kind, is_so: bool| is_so.then(|| kinds.insert(kind));
        let does = |operation: Operation| step.operations.contains(&operation);
        add(Kind::Removed, step.tombstone);
        add(Kind::Archived, !step.tombstone && (does(Operation::Archive) || self.leaves));
        add(Kind::LosesAccess, !self.lost.is_empty() && !self.leaves);
        add(Kind::GainsAccess, !self.gained.is_empty() && !does(Operation::Unarchive));
        add(Kind::SwitchedOff, does(Operation::SetAvailability) && !step.after.is_available);
        add(Kind::SwitchedOn, does(Operation::SetAvailability) && step.after.is_available);
        add(Kind::Repriced, !self.moves.is_empty());
        add(Kind::MarkedLegacy, does(Operation::MarkLegacy));
        add(Kind::UnmarkedLegacy, does(Operation::UnmarkLegacy));
        add(Kind::Unarchived, does(Operation::Unarchive));
        add(Kind::Adopted, does(Operation::Adopt));
        add(Kind::Versions, before.versions != step.after.versions);
        add(Kind::Aliases, before.aliases != step.after.aliases);
        add(Kind::Edited, self.changes_notes() || self.others.iter().any(|change| !self.explains(&change.path)));
        if kinds.is_empty() {
            // Another sunset or replacement has a line, but no word.
            kinds.insert(Kind::Edited);
        }
        kinds
    }

    /// Whether a change is the detail of something that has a word.
    fn explains(&self, path: &str) -> bool {
        match path {
            "/meta/requiredTier" | "/meta/tierRestrictionMode" | "/meta/allowedTiers" => {
                !self.lost.is_empty() || !self.gained.is_empty()
            }
            "/meta/deprecationNotice" => self.step.operations.contains(&Operation::MarkLegacy),
            "/meta/creditsPer1kTokens" => !self.moves.is_empty(),
            _ => false,
        }
    }

    fn gravity(&self) -> (u8, Decimal) {
        let factor = self.moves.iter().map(Move::factor).max().unwrap_or(Decimal::ONE);
        let is = |kind: Kind| self.kinds.contains(&kind);
        if self.leaves {
            let protected = self.step.before.as_ref().is_some_and(|before| before.protected);
            (9, if protected { Decimal::ONE } else { Decimal::ZERO })
        } else if is(Kind::LosesAccess) {
            (8, self.lost.len().into())
        } else if factor > Decimal::TWO && self.stays_live {
            (7, factor)
        } else if is(Kind::SwitchedOff) {
            (6, factor)
        } else if is(Kind::MarkedLegacy) {
            (5, factor)
        } else if is(Kind::Repriced) && !is(Kind::Created) {
            (4, factor)
        } else if is(Kind::GainsAccess) || is(Kind::Unarchived) || is(Kind::Adopted) {
            (3, factor)
        } else if is(Kind::Created) {
            (2, Decimal::ZERO)
        } else {
            (1, Decimal::ZERO)
        }
    }

    fn words(&self) -> String {
        self.kinds.iter().map(|kind| kind.words()).collect::<Vec<_>>().join(", ")
    }

    fn changes_notes(&self) -> bool {
        let before = self.step.before.as_ref().map_or("", |before| before.meta.internal_notes.as_str());
        before != self.step.after.meta.internal_notes
    }
}

/// How many models there are of each kind; a model counts under everything that happens to it.
fn kinds_of(models: &[Reviewed<'_>]) -> String {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for kind in models.iter().flat_map(|model| &model.kinds) {
        *counts.entry(*kind).or_default() += 1;
    }
    counts.iter().map(|(kind, count)| format!("{count} {}", kind.words())).collect::<Vec<_>>().join(", ")
}

/// The changes that nothing else tells.
fn other_changes<'s>(step: &'s Step, moves: &[Move]) -> Vec<&'s FieldChange> {
    const TOLD: [&str; 10] = [
        "/isAvailable",
        "/isLegacy",
        "/isArchived",
        "/aliases",
        "/versions",
        "/meta/inputCostPerMillionTokens",
        "/meta/outputCostPerMillionTokens",
        "/meta/legacyReplacementModelId",
        "/meta/sunsetDate",
        "/meta/internalNotes",
    ];
    // All of a new model is a change; its introduction says what matters.
    if step.before.is_none() {
        return Vec::new();
    }
    // A schedule that comes to the same prices has no row.
    let is_scheduled = moves.iter().any(|change| change.from.is_some());
    let is_told = |path: &str| {
        TOLD.contains(&path)
            || path == "/meta/prices"
            || path.starts_with("/meta/prices/")
            || path == "/meta/priceSchedule" && is_scheduled
    };
    step.changes.iter().filter(|change| !is_told(&change.path)).collect()
}

fn access_lines(model: &Reviewed<'_>) -> Vec<String> {
    let names = |tiers: &[Tier]| match tiers.len() == Tier::ALL.len() {
        true => "every tier".to_owned(),
        false => tiers.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", "),
    };
    let mut lines = Vec::new();
    if !model.lost.is_empty() {
        lines.push(format!("loses access: {}", names(&model.lost)));
    }
    if !model.gained.is_empty() {
        lines.push(format!("gains access: {}", names(&model.gained)));
    } else if model.step.before.is_none() {
        lines.push("no tier has access".to_owned());
    }
    lines
}

fn alias_line(step: &Step) -> Option<String> {
    let before = step.before.as_ref().map_or(&[][..], |before| &before.aliases);
    let after = &step.after.aliases;
    let names = |all: &[ModelId], others: &[ModelId]| -> Vec<String> {
        all.iter().filter(|id| !others.contains(id)).map(|id| code(id.as_str())).collect()
    };
    let (added, removed) = (names(after, before), names(before, after));
    let told = |verb: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{verb} {}", named(&names)));
    let parts: Vec<String> = [told("added", added), told("removed", removed)].into_iter().flatten().collect();
    match parts.is_empty() {
        true => (before != after.as_slice()).then(|| "aliases in another order".to_owned()),
        false => Some(format!("aliases: {}", parts.join("; "))),
    }
}

/// The moves of versions, and what else changes of each.
fn version_lines(step: &Step) -> Vec<String> {
    let before = step.before.as_ref().map_or(&[][..], |before| &before.versions);
    let moves = step.operations.iter().filter_map(|operation| match operation {
        Operation::RegisterVersion(version) => Some((version, "is registered")),
        Operation::SetCanary(version) => Some((version, "takes part of the traffic")),
        Operation::Activate(version) => Some((version, "takes the traffic")),
        Operation::Deprecate(version) => Some((version, "is on its way out")),
        Operation::Retire(version) => Some((version, "is gone")),
        _ => None,
    });
    let told = |version: &semver::Version| code(&version.to_string());
    let mut lines: Vec<String> = moves.map(|(version, what)| format!("version {} {what}", told(version))).collect();
    let json = |version: &Version| serde_json::to_value(version).unwrap_or_default();
    for after in &step.after.versions {
        let number = told(&after.version);
        let Some(before) = before.iter().find(|before| before.version == after.version) else {
            if step.before.is_none() {
                lines.push(format!("version {number}: {}", field_value(json(after).get("status"))));
            }
            continue;
        };
        let changes = diff::fields(&json(before), &json(after));
        let moved = !matches!(after.status, VersionStatus::Inactive | VersionStatus::Testing);
        let untold = changes.iter().filter(|change| !(moved && change.path == "/status"));
        lines.extend(untold.map(|change| format!("version {number} {}: {}", path(change), field(change))));
    }
    let gone = before.iter().filter(|before| step.after.versions.iter().all(|after| after.version != before.version));
    lines.extend(gone.map(|gone| format!("version {} is no longer listed", told(&gone.version))));
    lines
}

/// A change's place.
fn path(change: &FieldChange) -> String {
    code(&shorten(&change.path, VALUE_CHARS))
}

/// A change's values.
fn field(change: &FieldChange) -> String {
    let texts = [&change.old, &change.new].map(|value| value.as_ref().map(Value::to_string));
    // Two long texts that begin alike are told apart further on.
    let same = match &texts {
        [Some(old), Some(new)] => old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    let shown = |text: Option<String>| match text {
        None => "nothing".to_owned(),
        Some(text) if same > VALUE_CHARS / 2 && text.chars().count() > VALUE_CHARS => {
            let rest: String = text.chars().skip(same - VALUE_CHARS / 4).collect();
            code(&format!("…{}", shorten(&rest, VALUE_CHARS)))
        }
        Some(text) => code(&shorten(&text, VALUE_CHARS)),
    };
    let [old, new] = texts.map(shown);
    format!("{old} → {new}")
}

fn field_value(value: Option<&Value>) -> String {
    code(&shorten(value.and_then(Value::as_str).unwrap_or_default(), VALUE_CHARS))
}

fn capability(capability: &Capability) -> String {
    let name = serde_json::to_value(capability).unwrap_or_default();
    name.as_str().unwrap_or_default().replace('_', " ")
}

/// Lines up to a number of characters, with a last one that counts the others.
fn list(lines: impl IntoIterator<Item = String>, chars: usize, noun: &str) -> String {
    let (mut lines, left_out) = fitting(lines, chars);
    if left_out > 0 {
        lines.push(format!("- and {}", counted(left_out, &format!("more {noun}"))));
    }
    lines.join("\n")
}

/// The first few of some names, and how many more there are.
fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

fn is_live(model: &Model, now: Timestamp) -> bool {
    lifecycle::stage(model, now) != Stage::Archived
}

/// Whole days until a time; below zero when it has passed.
fn days_left(time: Timestamp, now: Timestamp) -> i64 {
    (time.as_second() - now.as_second()).div_euclid(86_400)
}

fn in_days(days: i64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        2.. => format!("in {days} days"),
        -1 => "within the last day".to_owned(),
        -2 => "1 day ago".to_owned(),
        _ => format!("{} days ago", -days - 1),
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests;
