//! The audit: what changed and what was refused, how grave it was, and whether the history is whole.

mod report;
mod severity;
mod verify;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::canonical;
use crate::diff::FieldChange;
use crate::guard::Hold;
use crate::model::ModelId;
use crate::plan::Operation;
use crate::record::HistoryEntry;

pub use report::{Errors, Gap, PolicyViolations, Report, ReportBuilder};
pub use severity::{Severity, UnknownSeverity};
pub use verify::{Finding, verify};

/// What happened that changed no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The guard, or whom the model belongs to, refused a write by the API.
    WriteRefused,
    /// The guard holds a plan for approval.
    PlanHeld,
    /// A held plan was approved.
    Approved,
    /// A commit has mistakes, and was not applied.
    CommitRejected,
    /// A sync did not get through.
    SyncFailed,
    /// The sync is held by hand.
    HoldPlaced,
    /// A hold by hand was ended before its time.
    HoldEnded,
    /// A record was changed by something else than Roster, or put right again after that.
    TableEdited,
    /// A notice did not reach who was to get it, and is tried no more.
    NoticeUndelivered,
    /// Measurements or policy let a version that was to take over go no further.
    VersionRefused,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::WriteRefused,
        Self::PlanHeld,
        Self::Approved,
        Self::CommitRejected,
        Self::SyncFailed,
        Self::HoldPlaced,
        Self::HoldEnded,
        Self::TableEdited,
        Self::NoticeUndelivered,
        Self::VersionRefused,
    ];

    /// The kind's name in reports and tables; in the audit it stands where a change has its operations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteRefused => "write_refused",
            Self::PlanHeld => "plan_held",
            Self::Approved => "approved",
            Self::CommitRejected => "commit_rejected",
            Self::SyncFailed => "sync_failed",
            Self::HoldPlaced => "hold_placed",
            Self::HoldEnded => "hold_ended",
            Self::TableEdited => "table_edited",
            Self::NoticeUndelivered => "notice_undelivered",
            Self::VersionRefused => "version_refused",
        }
    }

    /// Whether it says what a commit is, which every look at the same commit finds anew.
    fn is_verdict(self) -> bool {
        matches!(self, Self::PlanHeld | Self::CommitRejected)
    }
}

/// Something that changed no model, and is worth keeping all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it, or tried to: a commit's author, or a token's subject.
    pub actor: String,
    /// Which way it came: `git`, `api` or `clock`, as of a change.
    pub source: String,
    /// What is to be said of it, in lower case.
    pub message: String,
    /// The model, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<ModelId>,
    /// The commit, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The pull request of that commit, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// The revision that was live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The run or request that tells it.
    pub correlation_id: String,
    /// The rules that were broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
}

impl AuditEvent {
    /// An event that names nothing but what happened, when, by whom and which way it came.
    #[must_use]
    pub fn new(kind: EventKind, at: Timestamp, actor: &str, source: &str, message: String) -> Self {
        Self {
            kind,
            at,
            actor: actor.to_owned(),
            source: source.to_owned(),
            message,
            model_id: None,
            commit: None,
            pull_request: None,
            revision: None,
            correlation_id: String::new(),
            holds: Vec::new(),
        }
    }

    /// The event's id, a fingerprint of its parts: the same event told twice is one.
    ///
    /// A commit that is held or rejected is so at every look, so such an event is the same whenever, by whichever run
    /// and on whichever revision it is told. Any other event is one of its time and its correlation id.
    #[must_use]
    pub fn id(&self) -> String {
        let repeats = self.kind.is_verdict() && self.commit.is_some();
        let occasion = (!repeats).then(|| json!([self.at.to_string(), self.revision, self.correlation_id]));
        let holds: Vec<_> = self.holds.iter().map(|hold| json!([hold.rule, hold.message])).collect();
        let parts = json!([
            self.kind.name(),
            self.actor,
            self.source,
            self.message,
            self.model_id.as_ref().map(ModelId::as_str),
            self.commit,
            self.pull_request,
            holds,
            occasion
        ]);
        let mut id = canonical::sha256_hex(parts.to_string().as_bytes());
        id.truncate(32);
        id
    }
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditEntry {
    /// A change of a model.
    Change(HistoryEntry),
    /// Something else that happened.
    Event(AuditEvent),
}

impl AuditEntry {
    /// The columns of [`Self::csv_row`], as the first line of a CSV file.
    ///
    /// `operations` and `holds` are lists, parted by `; `; `changes` is JSON, a list of `{path, old, new}`.
    pub const CSV_HEADER: &'static str = "type,id,at,severity,operations,modelId,seq,actor,source,reason,commit,pullRequest,revision,correlationId,holds,changes\r\n";

    /// What the entry is called: `<model>#<seq>` for a change, and the event's id.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Change(entry) => format!("{}#{}", entry.model_id, entry.seq),
            Self::Event(event) => event.id(),
        }
    }

    /// When it was applied or happened, by our own clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Change(entry) => entry.change.applied_at,
            Self::Event(event) => event.at,
        }
    }

    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> &str {
        match self {
            Self::Change(entry) => &entry.change.actor,
            Self::Event(event) => &event.actor,
        }
    }

    /// Which way it came: `git`, `api` or `clock`.
    #[must_use]
    pub fn source(&self) -> &str {
        match self {
            Self::Change(entry) => &entry.change.source,
            Self::Event(event) => &event.source,
        }
    }

    /// How grave it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Change(entry) => Severity::of_change(entry),
            Self::Event(event) => Severity::of_event(event.kind),
        }
    }

    /// The names of what was done; the kind of an event.
    #[must_use]
    pub fn operations(&self) -> Vec<&'static str> {
        match self {
            Self::Change(entry) => entry.change.operations.iter().map(Operation::name).collect(),
            Self::Event(event) => vec![event.kind.name()],
        }
    }

    /// The model, where it is about one.
    #[must_use]
    pub fn model_id(&self) -> Option<&ModelId> {
        match self {
            Self::Change(entry) => Some(&entry.model_id),
            Self::Event(event) => event.model_id.as_ref(),
        }
    }

    /// The model's `seq` after the change; events have none.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Change(entry) => Some(entry.seq),
            Self::Event(_) => None,
        }
    }

    /// The commit, where there is one.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Change(entry) => entry.change.commit.as_deref(),
            Self::Event(event) => event.commit.as_deref(),
        }
    }

    /// The pull request, where known.
    #[must_use]
    pub fn pull_request(&self) -> Option<u64> {
        match self {
            Self::Change(entry) => entry.change.pull_request,
            Self::Event(event) => event.pull_request,
        }
    }

    /// The revision that shows a change; the one that was live at an event.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        match self {
            Self::Change(entry) => Some(entry.change.revision),
            Self::Event(event) => event.revision,
        }
    }

    /// The run or request that did it.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        match self {
            Self::Change(entry) => &entry.change.correlation_id,
            Self::Event(event) => &event.correlation_id,
        }
    }

    /// Why it was done; an event's message.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Change(entry) => &entry.change.reason,
            Self::Event(event) => &event.message,
        }
    }

    /// The fields that changed; none of an event.
    #[must_use]
    pub fn changes(&self) -> &[FieldChange] {
        match self {
            Self::Change(entry) => &entry.changes,
            Self::Event(_) => &[],
        }
    }

    /// The rules that were broken; none by a change.
    #[must_use]
    pub fn holds(&self) -> &[Hold] {
        match self {
            Self::Change(_) => &[],
            Self::Event(event) => &event.holds,
        }
    }

    /// The entry as a row of CSV (RFC 4180, line end included), in the columns of [`Self::CSV_HEADER`].
    ///
    /// # Errors
    /// Whatever `serde_json` says when the changes cannot be written as JSON.
    pub fn csv_row(&self) -> Result<String, serde_json::Error> {
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let operations = match self {
            Self::Change(entry) => entry.change.operations.iter().map(ToString::to_string).collect(),
            Self::Event(event) => vec![event.kind.name().to_owned()],
        };
        let holds: Vec<String> = self.holds().iter().map(|hold| format!("{}: {}", hold.rule, hold.message)).collect();
        let cells = [
            self.kind(),
            &self.id(),
            &self.at().to_string(),
            self.severity().name(),
            &operations.join("; "),
            self.model_id().map_or("", ModelId::as_str),
            &number(self.seq()),
            self.actor(),
            self.source(),
            self.reason(),
            self.commit().unwrap_or_default(),
            &number(self.pull_request()),
            &number(self.revision()),
            self.correlation_id(),
            &holds.join("; "),
            &serde_json::to_string(self.changes())?,
        ];
        Ok(cells.map(csv_cell).join(",") + "\r\n")
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Change(_) => "change",
            Self::Event(_) => "event",
        }
    }
}

/// A quoted cell that no spreadsheet takes for a formula.
///
/// As OWASP has it (CSV Injection): whatever begins like one gets a single quote before it.
fn csv_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

impl Serialize for AuditEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Line {
            r#type: self.kind(),
            id: self.id(),
            at: self.at(),
            decided_at: match self {
                Self::Change(entry) => Some(entry.change.at),
                Self::Event(_) => None,
            },
            severity: self.severity(),
            operations: match self {
                Self::Change(entry) => Operations::Change(&entry.change.operations),
                Self::Event(event) => Operations::Event([Happened { operation: event.kind }]),
            },
            model_id: self.model_id(),
            seq: self.seq(),
            actor: self.actor(),
            source: self.source(),
            reason: self.reason(),
            commit: self.commit(),
            pull_request: self.pull_request(),
            revision: self.revision(),
            correlation_id: self.correlation_id(),
            holds: self.holds(),
            changes: self.changes(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
struct Happened {
    operation: EventKind,
}

#[derive(Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Operations<'e> {
    Change(&'e [Operation]),
    Event([Happened; 1]),
}

/// An entry on the wire: changes and events alike.
#[derive(Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "contract", schemars(rename = "AuditEntry"))]
struct Line<'e> {
    r#type: &'static str,
    id: String,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<Timestamp>,
    severity: Severity,
    operations: Operations<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'e ModelId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    actor: &'e str,
    source: &'e str,
    reason: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_request: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    correlation_id: &'e str,
    holds: &'e [Hold],
    changes: &'e [FieldChange],
}

#[cfg(feature = "contract")]
impl schemars::JsonSchema for AuditEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Line::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Line::json_schema(generator)
    }
}

/// Which entries are asked for; what is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Entries about this model.
    pub model: Option<ModelId>,
    /// Entries of this actor: the whole name, or the address that a commit's author has in angle brackets.
    pub actor: Option<String>,
    /// Entries with this operation, or events of this kind.
    pub operation: Option<String>,
    /// Entries that are at least this grave.
    pub severity: Option<Severity>,
    /// Entries that came this way.
    pub source: Option<String>,
    /// Entries of this time or later.
    pub from: Option<Timestamp>,
    /// Entries before this time.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Whether an entry is asked for.
    #[must_use]
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        fn allows<T>(wanted: Option<&T>, fits: impl FnOnce(&T) -> bool) -> bool {
            wanted.is_none_or(fits)
        }
        allows(self.model.as_ref(), |model| entry.model_id() == Some(model))
            && allows(self.actor.as_ref(), |actor| is_actor(entry.actor(), actor))
            && allows(self.operation.as_ref(), |operation| entry.operations().contains(&operation.as_str()))
            && allows(self.severity.as_ref(), |&severity| entry.severity() >= severity)
            && allows(self.source.as_ref(), |source| entry.source() == source)
            && allows(self.from.as_ref(), |&from| from <= entry.at())
            && allows(self.to.as_ref(), |&to| entry.at() < to)
    }
}

fn is_actor(actor: &str, wanted: &str) -> bool {
    let address = || actor.strip_suffix('>')?.rsplit_once('<').map(|(_, address)| address);
    actor == wanted || address() == Some(wanted)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    /// An entry of model `m` with these operations and changes.
    pub(crate) fn entry(seq: u64, operations: Value, changes: Value) -> HistoryEntry {
        serde_json::from_value(json!({
            "modelId": "m", "seq": seq, "changes": changes,
            "change": {
                "operations": operations, "actor": "Ada <ada@example.com>", "reason": "cheaper (#7)", "source": "git",
                "at": "2026-11-21T09:00:00Z", "appliedAt": "2026-11-21T10:00:00Z", "commit": "c0ffee", "pullRequest": 7, "revision": 3, "correlationId": "run",
            },
        }))
        .unwrap()
    }

    pub(crate) fn event(kind: EventKind) -> AuditEvent {
        AuditEvent {
            kind,
            at: "2026-11-21T11:00:00Z".parse().unwrap(),
            actor: "ada".to_owned(),
            source: "api".to_owned(),
            message: "=HYPERLINK(\"evil\")".to_owned(),
            model_id: Some(ModelId::parse("m").unwrap()),
            commit: None,
            pull_request: None,
            revision: Some(3),
            correlation_id: "request".to_owned(),
            holds: vec![Hold { rule: "protected".to_owned(), message: "archives m, which is protected".to_owned() }],
        }
    }

    fn repriced() -> AuditEntry {
        let prices: Value =
            serde_json::from_str(r#"[{"path":"/meta/inputCostPerMillionTokens","old":1.50,"new":1.5}]"#).unwrap();
        let operations = json!([{"operation": "update_meta"}, {"operation": "activate", "version": "2.0.0"}]);
        AuditEntry::Change(entry(4, operations, prices))
    }

    #[test]
    fn entries_as_json() {
        assert_eq!(
            serde_json::to_string(&repriced()).unwrap(),
            concat!(
                r#"{"type":"change","id":"m#4","at":"2026-11-21T10:00:00Z","decidedAt":"2026-11-21T09:00:00Z","severity":"info","#,
                r#""operations":[{"operation":"update_meta"},{"operation":"activate","version":"2.0.0"}],"#,
                r#""modelId":"m","seq":4,"actor":"Ada <ada@example.com>","source":"git","reason":"cheaper (#7)","#,
                r#""commit":"c0ffee","pullRequest":7,"revision":3,"correlationId":"run","holds":[],"#,
                r#""changes":[{"path":"/meta/inputCostPerMillionTokens","old":1.50,"new":1.5}]}"#,
            )
        );
        let event = AuditEntry::Event(event(EventKind::WriteRefused));
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({
                "type": "event", "id": event.id(), "at": "2026-11-21T11:00:00Z", "severity": "warning",
                "operations": [{"operation": "write_refused"}], "modelId": "m", "actor": "ada", "source": "api",
                "reason": "=HYPERLINK(\"evil\")", "revision": 3, "correlationId": "request",
                "holds": [{"rule": "protected", "message": "archives m, which is protected"}], "changes": [],
            })
        );
    }

    #[test]
    fn entries_as_rows() {
        assert_eq!(
            repriced().csv_row().unwrap(),
            concat!(
                r#""change","m#4","2026-11-21T10:00:00Z","info","update_meta; activate 2.0.0","m","4","#,
                r#""Ada <ada@example.com>","git","cheaper (#7)","c0ffee","7","3","run","","#,
                r#""[{""path"":""/meta/inputCostPerMillionTokens"",""old"":1.50,""new"":1.5}]""#,
                "\r\n"
            )
        );
        let event = AuditEntry::Event(event(EventKind::WriteRefused));
        let row = event.csv_row().unwrap();
        assert!(row.contains(r#","'=HYPERLINK(""evil"")","#), "{row}");
        assert!(row.contains(r#","protected: archives m, which is protected","[]""#), "{row}");
        let columns = AuditEntry::CSV_HEADER.split(',').count();
        assert_eq!(row.matches("\",\"").count() + 1, columns);
        for text in ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "＝1"] {
            assert_eq!(csv_cell(text), format!("\"'{text}\""));
        }
        assert_eq!(csv_cell("a, \"b\"\r\nc=d"), "\"a, \"\"b\"\"\r\nc=d\"");
    }

    #[test]
    fn an_event_told_twice_is_one() {
        let told = event(EventKind::WriteRefused);
        assert_eq!(told.id(), told.clone().id());
        assert_eq!(told.id().len(), 32);
        let other = |change: &dyn Fn(&mut AuditEvent), event: &AuditEvent| {
            let mut other = event.clone();
            change(&mut other);
            other.id() != event.id()
        };
        let later = |event: &mut AuditEvent| {
            event.at = "2026-11-22T11:00:00Z".parse().unwrap();
            event.correlation_id = "later".to_owned();
            event.revision = Some(4);
        };
        assert!(other(&later, &told));
        assert!(other(&|event| event.correlation_id = "later".to_owned(), &told));
        assert!(other(&|event| event.kind = EventKind::SyncFailed, &told));
        assert!(other(&|event| event.holds.clear(), &told));
        let held = AuditEvent { commit: Some("c0ffee".to_owned()), ..event(EventKind::PlanHeld) };
        assert!(!other(&later, &held), "every look at a held commit finds it held");
        assert!(other(&|event| event.commit = Some("decaf".to_owned()), &held));
        assert!(other(&|event| event.message.push('!'), &held));
        let failed = AuditEvent { commit: Some("c0ffee".to_owned()), ..event(EventKind::SyncFailed) };
        assert!(other(&later, &failed), "every failure is one of its own");
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<AuditEvent>(&text).unwrap(), told);
    }

    #[test]
    fn filters_take_what_fits_all_of_them() {
        let (change, event) = (repriced(), AuditEntry::Event(event(EventKind::WriteRefused)));
        let takes = |filter: Filter| (filter.takes(&change), filter.takes(&event));
        let all = Filter::default;
        let text = |text: &str| Some(text.to_owned());
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(takes(all()), (true, true));
        assert_eq!(takes(Filter { model: ModelId::parse("m").ok(), ..all() }), (true, true));
        assert_eq!(takes(Filter { model: ModelId::parse("n").ok(), ..all() }), (false, false));
        assert_eq!(takes(Filter { actor: text("ada@example.com"), ..all() }), (true, false));
        assert_eq!(takes(Filter { actor: text("Ada <ada@example.com>"), ..all() }), (true, false));
        assert_eq!(takes(Filter { actor: text("ada"), ..all() }), (false, true));
        assert_eq!(takes(Filter { operation: text("activate"), ..all() }), (true, false));
        assert_eq!(takes(Filter { operation: text("write_refused"), ..all() }), (false, true));
        assert_eq!(takes(Filter { severity: Some(Severity::Info), ..all() }), (true, true));
        assert_eq!(takes(Filter { severity: Some(Severity::Warning), ..all() }), (false, true));
        assert_eq!(takes(Filter { source: text("git"), ..all() }), (true, false));
        assert_eq!(takes(Filter { from: time("2026-11-21T11:00:00Z"), ..all() }), (false, true));
        assert_eq!(takes(Filter { to: time("2026-11-21T11:00:00Z"), ..all() }), (true, false));
        let both = Filter { source: text("git"), severity: Some(Severity::Critical), ..all() };
        assert_eq!(takes(both), (false, false));
    }

    #[test]
    fn kinds_have_one_name() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
