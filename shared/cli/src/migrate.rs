//! `roster migrate`: an old table, one column a field, as files of the catalogue, with a proof that nothing is lost.

mod found;
mod report;
mod row;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use roster_core::document::{Document, Problem};
use roster_core::file;
use roster_core::meta::Capability;
use roster_core::validate::{self, Proposal, SourcedModel};
use serde_json::Value;

use crate::Json;
use crate::fitting::{self, Candidate};
use crate::output::Failure;
use report::{FileReport, Outcome, Report, RowProblem};
use row::{Field, Origin};
use table::{Row, Table, bounded, shorten};

/// What `roster migrate` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The old table: one column a field, one row a model
    #[arg(long, value_name = "FILE")]
    from_columns: PathBuf,
    /// How the table is written; otherwise its name or its first character says so
    #[arg(long, value_enum)]
    format: Option<table::Format>,
    /// The catalogue to write to
    #[arg(long, value_name = "DIR", default_value = "catalog")]
    out: PathBuf,
    /// The provider of the rows that name none
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// What the table's prices per million tokens are in
    #[arg(long, value_enum, default_value = "thousandths")]
    price_unit: PriceUnit,
    /// Read the capability OLD as NEW; repeat it for others
    #[arg(long, value_name = "OLD=NEW", value_parser = mapping)]
    map_capability: Vec<(String, String)>,
    /// Replace files that are there with another content
    #[arg(long)]
    force: bool,
    /// Write the rows that can be migrated even if others cannot
    #[arg(long)]
    partial: bool,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

/// What prices are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PriceUnit {
    /// Thousandths of a US dollar, as in the catalogue
    Thousandths,
    /// US dollars: multiplied by 1000, exactly
    Dollars,
}

/// What the columns mean.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The column that holds the model's id: a table with `model_id` has a key of its own in `id`.
    id_column: &'static str,
    price_unit: PriceUnit,
    provider: Option<String>,
    /// Capabilities by another name.
    capabilities: BTreeMap<String, String>,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected OLD=NEW")?;
    row::named::<Capability>(new, "capability")?;
    Ok((old.to_owned(), new.to_owned()))
}

/// A row that has become a file, on paper.
struct Planned<'a> {
    row: &'a Row,
    sourced: Arc<SourcedModel>,
    text: String,
    fields: Vec<Field>,
    /// The file on disk.
    target: PathBuf,
    outcome: Outcome,
}

impl Candidate for Planned<'_> {
    fn sourced(&self) -> &Arc<SourcedModel> {
        &self.sourced
    }
}

impl Planned<'_> {
    fn id(&self) -> &str {
        self.sourced.model.id.as_str()
    }
}

/// Migrates a table.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let output = arguments.json.output();
    let name = arguments.from_columns.display().to_string();
    let bytes = fs::read(&arguments.from_columns).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let report = migrate(arguments, &bytes)?;
    output.report(&report, |report| report::tell(report, output))?;
    if report.complete { Ok(()) } else { Err(Failure::reported()) }
}

fn migrate(arguments: &Arguments, bytes: &[u8]) -> Result<Report, Failure> {
    let name = arguments.from_columns.display().to_string();
    let table = table::read(&name, bytes, arguments.format).map_err(Failure::new)?;
    let rules = rules(arguments, &table)?;
    let mut migration = Migration { name, arguments, rules, problems: Vec::new(), lost: Vec::new() };
    for (row, line, message) in &table.broken {
        migration.problems.push(migration.broken(*row, *line, message));
    }
    let mut planned = migration.plan(&table);
    migration.check_targets(&mut planned);
    let (mut planned, conflicting): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|plan| plan.outcome != Outcome::Conflicting);
    migration.check_across(&table, &mut planned)?;
    let is_written = !arguments.dry_run && (arguments.partial || migration.is_clean());
    if is_written {
        migration.write(&mut planned);
    }
    let mut report = Report {
        complete: migration.is_clean(),
        written: is_written,
        rows: table.rows.len() + table.broken.len(),
        fields: report::fields(planned.iter().flat_map(|plan| &plan.fields)),
        notes: [&table.notes[..], &migration.notes(&planned)].concat(),
        files: planned.into_iter().chain(conflicting).map(FileReport::from).collect(),
        problems: migration.problems,
        lost: migration.lost,
    };
    report.files.sort_by_key(|file| file.row);
    report.problems.sort_by_key(|problem| (problem.row.is_none(), problem.row));
    Ok(report)
}

fn rules(arguments: &Arguments, table: &Table) -> Result<Rules, Failure> {
    let mut capabilities = BTreeMap::new();
    for (old, new) in &arguments.map_capability {
        if capabilities.insert(old.clone(), new.clone()).is_some_and(|other| other != *new) {
            return Err(Failure::new(format!("--map-capability {old}={new}: {old:?} is mapped to another already")));
        }
    }
    let has_model_id = table.rows.iter().any(|row| row.cells.contains_key("model_id"));
    Ok(Rules {
        id_column: if has_model_id { "model_id" } else { "id" },
        price_unit: arguments.price_unit,
        provider: arguments.provider.clone(),
        capabilities,
    })
}

/// One run: what was asked for, and what has been found wrong so far.
struct Migration<'a> {
    /// The table's file, for messages.
    name: String,
    arguments: &'a Arguments,
    rules: Rules,
    problems: Vec<RowProblem>,
    lost: Vec<RowProblem>,
}

impl Migration<'_> {
    fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.lost.is_empty()
    }

    fn id_of(&self, row: &Row) -> Option<String> {
        let id = row.cells.get(self.rules.id_column)?;
        Some(id.as_str().map_or_else(|| id.to_string(), |id| id.trim().to_owned()))
    }

    fn broken(&self, row: usize, line: usize, message: &str) -> RowProblem {
        let message = bounded(message, 1000).into_owned();
        RowProblem { file: self.name.clone(), line, row: Some(row), id: None, message }
    }

    fn problem(&self, row: &Row, message: &str) -> RowProblem {
        RowProblem { id: self.id_of(row), ..self.broken(row.number, row.line, message) }
    }

    /// The rows that can be files, each proved to say all that its row says.
    fn plan<'t>(&mut self, table: &'t Table) -> Vec<Planned<'t>> {
        let shared = self.shared_ids(table);
        let unusable: HashSet<Option<usize>> = shared.iter().map(|problem| problem.row).collect();
        self.problems.extend(shared);
        let mut planned = Vec::new();
        for row in &table.rows {
            match plan(row, &self.rules, &self.arguments.out) {
                Ok(plan) => {
                    let lost = self.lost(row, plan.sourced.document.value());
                    if lost.is_empty() && !unusable.contains(&Some(row.number)) {
                        planned.push(plan);
                    }
                    self.lost.extend(lost);
                }
                Err(messages) => {
                    let problems: Vec<_> = messages.iter().map(|message| self.problem(row, message)).collect();
                    self.problems.extend(problems);
                }
            }
        }
        planned
    }

    /// Rows whose ids are equal, or differ only by letter case: none of them is migrated.
    fn shared_ids(&self, table: &Table) -> Vec<RowProblem> {
        let mut by_id: BTreeMap<String, Vec<(&Row, String)>> = BTreeMap::new();
        for row in &table.rows {
            if let Some(id) = self.id_of(row) {
                by_id.entry(id.to_ascii_lowercase()).or_default().push((row, id));
            }
        }
        let shared = by_id.values().filter(|rows| rows.len() > 1);
        let pairs = shared.flat_map(|rows| rows.iter().zip(rows.iter().cycle().skip(1)));
        pairs
            .map(|((row, id), (other, other_id))| {
                let message = match id == other_id {
                    true => format!("row {} has the same id: keep one of them", other.number),
                    false => format!(
                        "the id differs from {:?} of row {} only by letter case: keep one of them",
                        shorten(other_id),
                        other.number
                    ),
                };
                self.problem(row, &message)
            })
            .collect()
    }

    /// The values of a row that a document does not say.
    fn lost(&self, row: &Row, document: &Value) -> Vec<RowProblem> {
        let lost = row.cells.iter().filter(|(column, value)| !found::is_in(document, column, value, &self.rules));
        lost.map(|(column, value)| {
            let value = value.to_string();
            self.problem(row, &format!("column {} = {} is nowhere in the output", shorten(column), shorten(&value)))
        })
        .collect()
    }

    /// Finds out what writing the files would do to what is there.
    fn check_targets(&mut self, planned: &mut [Planned<'_>]) {
        let mut rows: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for plan in planned.iter() {
            rows.entry(plan.target.clone()).or_default().push(plan.row.number);
        }
        for plan in planned {
            // Two ids may share a file, and the file of one may be a directory of another.
            let other = plan.target.ancestors().find_map(|path| {
                let other = rows.get(path)?.iter().find(|row| **row != plan.row.number)?;
                Some((path, other))
            });
            let found = match other {
                Some((path, row)) => Err(format!("{}: is the file of row {row}: rename one of them", path.display())),
                None => outcome(plan, self.arguments.force),
            };
            plan.outcome = found.unwrap_or_else(|message| {
                self.problems.push(self.problem(plan.row, &message));
                Outcome::Conflicting
            });
        }
    }

    /// Checks the catalogue that would result, and takes out what does not fit into it.
    fn check_across(&mut self, table: &Table, planned: &mut Vec<Planned<'_>>) -> Result<(), Failure> {
        let before = match self.arguments.out.join("models").is_dir() {
            true => crate::validate::read_all(&self.arguments.out)?.0,
            false => Proposal::default(),
        };
        let is_partial = self.arguments.partial;
        // When one row stops all, a reference to it is no mistake of its own.
        let all: Vec<String> = table.rows.iter().filter_map(|row| self.id_of(row)).collect();
        let awaited = |planned: &[Planned<'_>]| {
            let ids: HashSet<&str> = planned.iter().map(Planned::id).collect();
            all.iter().filter(|id| !is_partial && !ids.contains(id.as_str())).cloned().collect()
        };
        let mut refused = Vec::new();
        let others = fitting::retain(&before, planned, awaited, |plan, problems| {
            refused.extend(problems.iter().map(|problem| (plan.row, in_document(problem))));
        })?;
        let refused: Vec<_> = refused.iter().map(|(row, message)| self.problem(row, message)).collect();
        self.problems.extend(refused);
        self.problems.extend(others.into_iter().map(RowProblem::from));
        Ok(())
    }

    /// Writes the files, and looks for every value in what can be read of them afterwards.
    fn write(&mut self, planned: &mut [Planned<'_>]) {
        for plan in planned {
            match write(plan).and_then(|()| read_back(plan)) {
                Ok(document) => self.lost.extend(self.lost(plan.row, document.value())),
                Err(message) => {
                    plan.outcome = Outcome::Failed;
                    self.problems.push(self.problem(plan.row, &message));
                }
            }
        }
    }

    /// What is no mistake, but should be known.
    fn notes(&self, planned: &[Planned<'_>]) -> Vec<String> {
        let fields = || planned.iter().flat_map(|plan| &plan.fields);
        let unknown: BTreeSet<&str> =
            fields().filter_map(|field| field.name.strip_prefix("providerMetadata.")).collect();
        let used: BTreeSet<&String> = fields()
            .filter_map(|field| if let Origin::Converted(how) = &field.origin { Some(how) } else { None })
            .flatten()
            .collect();
        let kept =
            unknown.into_iter().map(|column| format!("column {column} is unknown: kept as it is in providerMetadata"));
        let unused = self.rules.capabilities.iter().filter(|(old, new)| !used.contains(&format!("{old} to {new}")));
        let unused =
            unused.map(|(old, new)| format!("--map-capability {old}={new}: no row that is migrated has {old}"));
        kept.chain(unused).collect()
    }
}

/// Makes a row's file, and checks it as `roster validate` does.
fn plan<'a>(row: &'a Row, rules: &Rules, out: &Path) -> Result<Planned<'a>, Vec<String>> {
    let (model, fields) = row::model(row, rules)?;
    let path = file::path(&model);
    let text = file::text(&model, &path).map_err(|error| vec![error.to_string()])?;
    let sourced = validate::read_model(&path, text.as_bytes())
        .map_err(|problems| problems.into_iter().map(|problem| in_document(&problem)).collect::<Vec<String>>())?;
    let target = out.join(path.strip_prefix("catalog/").unwrap_or(&path));
    Ok(Planned { row, sourced: Arc::new(sourced), text, fields, target, outcome: Outcome::Created })
}

/// A mistake of a document that is nowhere yet: its line would mislead.
pub(crate) fn in_document(problem: &Problem) -> String {
    match problem.pointer.as_str() {
        "" => problem.message.clone(),
        pointer => format!("{pointer}: {}", problem.message),
    }
}

/// What writing the file would do to what is there.
fn outcome(plan: &Planned<'_>, force: bool) -> Result<Outcome, String> {
    let target = plan.target.display();
    let unreadable = |error: std::io::Error| format!("{target}: {error}");
    match fs::symlink_metadata(&plan.target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Outcome::Created),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if !metadata.is_file() => return Err(format!("{target}: is there and is no plain file")),
        Ok(_) => {}
    }
    let there = fs::read(&plan.target).map_err(unreadable)?;
    if there == plan.text.as_bytes() {
        return Ok(Outcome::Unchanged);
    }
    // A file may hold the model that has the provider in its id: replacing that would lose a model.
    let model = validate::read_model(plan.sourced.document.path(), &there).map(|sourced| sourced.model);
    match model {
        Ok(model) if model.id != plan.sourced.model.id => {
            Err(format!("{target}: holds the model {:?}", model.id.as_str()))
        }
        _ if force => Ok(Outcome::Replaced),
        _ => Err(format!("{target}: is there with another content: compare them, or replace it with --force")),
    }
}

fn write(plan: &Planned<'_>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", plan.target.display());
    match plan.outcome {
        Outcome::Unchanged | Outcome::Conflicting | Outcome::Failed => Ok(()),
        Outcome::Replaced => fs::write(&plan.target, &plan.text).map_err(failed),
        Outcome::Created => {
            if let Some(directory) = plan.target.parent() {
                fs::create_dir_all(directory).map_err(failed)?;
            }
            let mut file = fs::File::create_new(&plan.target).map_err(failed)?;
            file.write_all(plan.text.as_bytes()).map_err(failed)
        }
    }
}

fn read_back(plan: &Planned<'_>) -> Result<Document, String> {
    let bytes = fs::read(&plan.target).map_err(|error| format!("{}: {error}", plan.target.display()))?;
    let document = Document::parse(plan.sourced.document.path(), &bytes);
    document.map_err(|problems| problems.iter().map(in_document).collect::<Vec<_>>().join("; "))
}

impl From<Planned<'_>> for FileReport {
    fn from(plan: Planned<'_>) -> Self {
        Self { row: plan.row.number, id: plan.sourced.model.id.clone(), path: plan.target, outcome: plan.outcome }
    }
}

impl From<Problem> for RowProblem {
    fn from(problem: Problem) -> Self {
        Self { message: in_document(&problem), file: problem.file, line: problem.line, row: None, id: None }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;
    use roster_core::tier::Tier;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// Migrates a table to a directory.
    fn migrate_to(out: &Path, file: &str, bytes: &[u8], options: &[&str]) -> Result<Report, Failure> {
        let out = out.to_str().unwrap();
        let arguments = [&["migrate", "--from-columns", file, "--out", out], options].concat();
        migrate(&Command::parse_from(arguments).arguments, bytes)
    }

    fn told(problems: &[RowProblem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    fn files(out: &TempDir) -> usize {
        let models = out.path().join("models/p");
        if models.is_dir() { fs::read_dir(models).unwrap().count() } else { 0 }
    }

    /// A table of rerankers, which need little else.
    fn rows(cells: &[Value]) -> Vec<u8> {
        let rows = cells.iter().map(|cells| {
            let mut row = json!({"provider": "p", "capabilities": "rerank"});
            row.as_object_mut().unwrap().extend(cells.as_object().unwrap().clone());
            row
        });
        serde_json::to_vec(&rows.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn rows_that_share_an_id_are_told_all_at_once() {
        let out = TempDir::new().unwrap();
        let table =
            rows(&[json!({"id": "m"}), json!({"id": "M"}), json!({"id": "x y"}), json!({"id": "n"}), json!({})]);
        let report = migrate_to(out.path(), "t.json", &table, &[]).unwrap();
        let told = told(&report.problems);
        assert_eq!(told.len(), 4, "{told:#?}");
        assert_eq!(
            told[0],
            "t.json:1: row 1 (m): the id differs from \"M\" of row 2 only by letter case: keep one of them"
        );
        assert!(told[2].starts_with("t.json:1: row 3 (x y): column id: \"x y\" is not a model id"));
        assert_eq!(told[3], "t.json:1: row 5: column id: the row has no value, and there is none to stand in for it");
        assert_eq!((report.complete, report.written, files(&out)), (false, false, 0));
        let report = migrate_to(out.path(), "t.json", &table, &["--partial"]).unwrap();
        assert_eq!((report.complete, report.written, files(&out)), (false, true, 1), "row 4 alone");
    }

    #[test]
    fn a_file_that_is_there_stays_unless_forced() {
        let out = TempDir::new().unwrap();
        let outcome = |description: &str, options: &[&str]| {
            let table = rows(&[json!({"id": "m", "description": description})]);
            let report = migrate_to(out.path(), "t.json", &table, options).unwrap();
            (report.files[0].outcome, report.complete)
        };
        assert_eq!(outcome("1", &["--dry-run"]), (Outcome::Created, true));
        assert_eq!(files(&out), 0);
        assert_eq!(outcome("1", &[]), (Outcome::Created, true));
        assert_eq!(outcome("1", &[]), (Outcome::Unchanged, true));
        assert_eq!(outcome("2", &[]), (Outcome::Conflicting, false));
        assert_eq!(outcome("2", &["--partial"]), (Outcome::Conflicting, false));
        assert_eq!(outcome("1", &[]), (Outcome::Unchanged, true), "it stayed");
        assert_eq!(outcome("2", &["--force"]), (Outcome::Replaced, true));
        assert_eq!(outcome("2", &[]), (Outcome::Unchanged, true));

        // `models/p/m.json` may hold the model `p/m`, which is another.
        let file = out.path().join("models/p/m.json");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"m\"", "\"p/m\"")).unwrap();
        assert_eq!(outcome("2", &["--force"]), (Outcome::Conflicting, false));
    }

    #[test]
    fn the_whole_catalogue_is_checked() {
        let out = TempDir::new().unwrap();
        let there = rows(&[json!({"id": "old", "aliases": "taken"})]);
        assert!(migrate_to(out.path(), "t.json", &there, &[]).unwrap().complete);
        let table = rows(&[
            json!({"id": "a", "replacement_model_id": "old"}),
            json!({"id": "taken"}),
            json!({"id": "b", "replacement_model_id": "taken"}),
            json!({"id": "c", "replacement_model_id": "none"}),
            json!({"id": "d", "capabilities": "text"}),
            json!({"id": "e", "is_archived": true, "is_available": true}),
            json!({"id": "f.json"}),
            json!({"id": "f.json.json/g"}),
            json!({"id": "p/h"}),
            json!({"id": "h"}),
        ]);
        let report = migrate_to(out.path(), "t.json", &table, &[]).unwrap();
        let told = told(&report.problems).join("\n");
        for part in [
            "row 2 (taken): /id: \"taken\" is already a name of model \"old\"",
            "row 4 (c): /meta/legacyReplacementModelId: replacement \"none\" does not exist",
            "row 5 (d): /meta: required key \"contextLength\" is missing",
            "row 6 (e): /isAvailable: an archived model cannot be available",
            "models/p/f.json.json: is the file of row 7: rename one of them",
            "row 9 (p/h):",
            "models/p/h.json: is the file of row 9: rename one of them",
        ] {
            assert!(told.contains(part), "{part} not in\n{told}");
        }
        assert_eq!(report.problems.len(), 7, "row 3 is no mistake of its own\n{told}");
        let report = migrate_to(out.path(), "t.json", &table, &["--partial"]).unwrap();
        assert_eq!(report.problems.len(), 8, "row 3 cannot be written without row 2");
        let (proposal, _, problems) = crate::validate::read_all(out.path()).unwrap();
        assert_eq!((proposal.present.len(), problems), (3, Vec::new()));
        assert_eq!(crate::validate::across(&proposal).unwrap(), []);
    }

    #[test]
    fn a_key_of_the_table_beside_model_id_is_kept() {
        let out = TempDir::new().unwrap();
        let table = rows(&[json!({"id": 7, "model_id": "m"})]);
        let report = migrate_to(out.path(), "t.json", &table, &["--map-capability", "x=text"]).unwrap();
        assert!(report.complete);
        assert_eq!(
            report.notes,
            [
                "column id is unknown: kept as it is in providerMetadata",
                "--map-capability x=text: no row that is migrated has x"
            ]
        );
        let text = fs::read_to_string(out.path().join("models/p/m.json")).unwrap();
        assert!(text.contains("\"providerMetadata\": {\n      \"id\": 7\n"), "{text}");
    }

    #[test]
    fn numbers_that_serde_json_hides_in_objects_are_missed() {
        let out = TempDir::new().unwrap();
        let table = br#"[{"id":"m","provider":"p","capabilities":"rerank","x":{"$serde_json::private::Number":"1"}}]"#;
        let report = migrate_to(out.path(), "t.json", table, &[]).unwrap();
        assert!(!report.complete);
        assert!(told(&report.lost)[0].contains("row 1 (m): column x = "), "{report:?}");
        assert_eq!(files(&out), 0);
    }

    const COLUMNS: [(&str, &str); 22] = [
        ("id", "/id"),
        ("provider", "/provider"),
        ("name", "/name"),
        ("display_name", "/meta/displayName"),
        ("description", "/meta/description"),
        ("version", "/meta/version"),
        ("capabilities", "/meta/capabilities"),
        ("context_length", "/meta/contextLength"),
        ("max_output_tokens", "/meta/maxOutputTokens"),
        ("input_cost_per_million_tokens", "/meta/inputCostPerMillionTokens"),
        ("output_cost_per_million_tokens", "/meta/outputCostPerMillionTokens"),
        ("credits_per_1k_tokens", "/meta/creditsPer1kTokens"),
        ("required_tier", "/meta/requiredTier"),
        ("tier_restriction_mode", "/meta/tierRestrictionMode"),
        ("allowed_tiers", "/meta/allowedTiers"),
        ("is_deprecated", "/isLegacy"),
        ("aliases", "/aliases"),
        ("is_available", "/isAvailable"),
        ("is_archived", "/isArchived"),
        ("sunset_date", "/meta/sunsetDate"),
        ("deprecation_notice", "/meta/deprecationNotice"),
        ("vendor, note", "/meta/providerMetadata/vendor, note"),
    ];

    /// Text that is there: blanks and the words for nothing are not.
    fn present() -> impl Strategy<Value = String> {
        "[ -~äß€\\n]{0,39}[!-~]".prop_filter("stands for no value", |text| !table::is_absent(text))
    }

    fn list_of(items: &'static [&'static str]) -> impl Strategy<Value = String> {
        let some = proptest::sample::subsequence(items, 1..=items.len());
        let forms = prop_oneof![Just(("{", ",", "}")), Just(("", " ", "")), Just(("", ", ", "")), Just(("", "|", ""))];
        (some, forms).prop_map(|(items, (open, between, close))| format!("{open}{}{close}", items.join(between)))
    }

    fn truth() -> impl Strategy<Value = String> {
        proptest::sample::select(&["true", "FALSE", "t", "f", "1", "0", "yes", "no"][..]).prop_map(str::to_owned)
    }

    fn decimal() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{1,9}", "[0-9]{1,9}\\.[0-9]{1,9}", "[1-9]e[0-5]", "0\\.0{0,6}[1-9]"].prop_map(String::from)
    }

    /// A value that a column can have, none in some rows where the format allows it.
    fn cell(column: &'static str) -> BoxedStrategy<String> {
        let legal = match column {
            "id" | "provider" => return "[a-z0-9~][A-Za-z0-9._:@+~-]{0,12}".boxed(),
            "capabilities" => return list_of(&["rerank", "vision", "tools", "embedding"]).boxed(),
            "is_archived" => return Just("f".to_owned()).boxed(),
            "name" | "display_name" | "description" | "version" | "deprecation_notice" => present().boxed(),
            "context_length" | "max_output_tokens" | "credits_per_1k_tokens" => "[1-9][0-9]{0,9}(\\.0)?".boxed(),
            "input_cost_per_million_tokens" | "output_cost_per_million_tokens" => decimal().boxed(),
            "required_tier" => proptest::sample::select(&Tier::ALL[..]).prop_map(|tier| tier.to_string()).boxed(),
            "tier_restriction_mode" => {
                proptest::sample::select(&["minimum", "exact", "whitelist"][..]).prop_map(str::to_owned).boxed()
            }
            "allowed_tiers" => list_of(&["free", "pro", "pro_max", "enterprise_pro", "perpetual"]).boxed(),
            "is_deprecated" | "is_available" => truth().boxed(),
            "aliases" => list_of(&["one/alias", "Another:free", "~third"]).boxed(),
            "sunset_date" => "20[2-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-1])(:[0-5][0-9])?)?)?".boxed(),
            _ => present().boxed(),
        };
        prop_oneof![1 => Just("\\N".to_owned()), 3 => legal].boxed()
    }

    fn legal_row() -> impl Strategy<Value = Vec<String>> {
        COLUMNS.iter().map(|(column, _)| cell(column)).collect::<Vec<_>>()
    }

    fn csv_of(header: &[String], rows: &[Vec<String>]) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        writer.write_record(header).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }

    fn any_cell() -> impl Strategy<Value = String> {
        let known = COLUMNS.map(|(column, _)| cell(column));
        prop_oneof![4 => proptest::strategy::Union::new(known), 1 => any::<String>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn a_legal_row_is_found_again_and_a_gap_is_noticed(row in legal_row(), as_json: bool) {
            let out = TempDir::new().unwrap();
            let header = COLUMNS.map(|(column, _)| column.to_owned());
            let options = ["--price-unit", "dollars", "--map-capability", "tools=function_calling"];
            let report = if as_json {
                let cells: serde_json::Map<String, Value> =
                    header.iter().cloned().zip(row.iter().map(|text| Value::from(text.as_str()))).collect();
                migrate_to(out.path(), "t.jsonl", &serde_json::to_vec(&cells).unwrap(), &options)
            } else {
                migrate_to(out.path(), "t.csv", &csv_of(&header, std::slice::from_ref(&row)), &options)
            };
            let report = report.unwrap();
            prop_assert!(report.complete, "{:?} {:?}", report.problems, report.lost);
            let path = &report.files[0].path;
            prop_assert_eq!(path, &out.path().join(format!("models/{}/{}.json", row[1], row[0])));
            let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let arguments = Command::parse_from([&["migrate", "--from-columns", "t"][..], &options].concat()).arguments;
            let rules = rules(&arguments, &Table::default()).unwrap();
            for ((column, pointer), text) in COLUMNS.iter().zip(&row).filter(|(_, text)| !table::is_absent(text)) {
                let there = document.pointer(pointer);
                prop_assert!(there.is_some(), "{} in {}", pointer, document);
                let value = Value::from(text.as_str());
                prop_assert!(found::is_in(&document, column, &value, &rules), "{} {}", column, text);
                for other in [Value::Null, json!("other"), json!(123_456_789_012_345_u64), json!([])] {
                    let mut spoiled = document.clone();
                    *spoiled.pointer_mut(pointer).unwrap() = other;
                    prop_assert!(!found::is_in(&spoiled, column, &value, &rules), "{} {}", column, text);
                }
            }
        }

        #[test]
        fn a_success_leaves_nothing_out(
            dropped in proptest::sample::subsequence(COLUMNS[2..].to_vec(), 0..6),
            strange in any::<String>(),
            cells in proptest::collection::vec(proptest::collection::vec((any::<usize>(), any_cell()), 0..3), 1..4),
            legal in proptest::collection::vec(legal_row(), 1..3),
        ) {
            let out = TempDir::new().unwrap();
            let options = ["--provider", "q", "--map-capability", "tools=function_calling"];
            let kept = COLUMNS.iter().filter(|column| !dropped.contains(column));
            let names: Vec<String> = kept.map(|(column, _)| (*column).to_owned()).chain([strange]).collect();
            // Legal rows with a strange value here and there.
            let rows: Vec<Vec<String>> = legal.iter().zip(cells.iter().cycle()).map(|(row, cells)| {
                let at = |column: &str| COLUMNS.iter().position(|(name, _)| *name == column);
                let legal = names.iter().map(|name| at(name).map_or_else(String::new, |at| row[at].clone()));
                let mut row: Vec<String> = legal.collect();
                for (at, cell) in cells {
                    let at = at % row.len();
                    row[at].clone_from(cell);
                }
                row
            }).collect();
            if let Ok(report) = migrate_to(out.path(), "t.csv", &csv_of(&names, &rows), &options) {
                prop_assert_eq!(report.complete, report.problems.is_empty() && report.lost.is_empty());
                if report.complete {
                    prop_assert_eq!(report.files.len(), rows.len());
                    for (row, file) in rows.iter().zip(&report.files) {
                        let text = fs::read_to_string(&file.path).unwrap();
                        for (name, cell) in names.iter().zip(row).filter(|(_, cell)| !table::is_absent(cell)) {
                            let is_text = name.contains("name") || name.contains("notice") || name == "description";
                            let quoted = serde_json::to_string(cell).unwrap();
                            prop_assert!(!is_text || text.contains(&quoted), "{} {}", name, text);
                            let known = COLUMNS.iter().any(|(column, _)| column == name);
                            prop_assert!(known || text.contains(&quoted), "{} {}", name, text);
                        }
                    }
                    let again = migrate_to(out.path(), "t.csv", &csv_of(&names, &rows), &options).unwrap();
                    prop_assert!(again.complete && again.files.iter().all(|file| file.outcome == Outcome::Unchanged));
                } else {
                    prop_assert!(!out.path().join("models").exists());
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[\\[\\]{}\",:\\\\\na-d0-9idn. -]{0,60}") {
            let out = TempDir::new().unwrap();
            for bytes in [&bytes[..], text.as_bytes()] {
                for format in [&["--dry-run"][..], &["--format", "csv"], &["--format", "json"]] {
                    if let Ok(report) = migrate_to(out.path(), "t", bytes, format) {
                        prop_assert!(!report.complete, "nothing here is a model");
                    }
                }
            }
        }
    }
}
