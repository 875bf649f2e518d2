//! Changes by the API, without HTTP.

use jiff::Timestamp;
use roster_core::command::Command;
use roster_core::document::Document;
use roster_core::{ModelId, canonical};
use roster_edit::{Answered, Done, Edit, Editor, Refusal, Target};
use roster_store::edits::{Answer, IdempotencyKey};
use serde_json::{Value, json};

/// Makes a model.
///
/// # Errors
/// Whatever the editor says.
pub async fn create(editor: &Editor, model: &Value, key: Option<&str>) -> Result<Answered, Refusal> {
    let document = Document::parse("", model.to_string().as_bytes()).expect("a document");
    apply(editor, Target::New, Command::Create(document), key).await
}

/// Sets keys of a model's `meta`.
///
/// # Errors
/// Whatever the editor says.
pub async fn edit_meta(editor: &Editor, id: &str, meta: &Value, key: Option<&str>) -> Result<Answered, Refusal> {
    let target = Target::Existing(ModelId::parse(id).expect("an id"));
    let meta = meta.as_object().expect("an object").clone();
    apply(editor, target, Command::EditMeta(meta), key).await
}

async fn apply(editor: &Editor, target: Target, command: Command, key: Option<&str>) -> Result<Answered, Refusal> {
    let request = canonical::sha256_hex(format!("{target:?} {command:?}").as_bytes());
    let edit = Edit {
        target,
        command,
        actor: "ann",
        reason: "a test",
        correlation_id: "edit",
        now: Timestamp::now(),
        approves: true,
        key: key.map(|key| IdempotencyKey { id: key.to_owned(), request }),
        precondition: &|_, _| true,
        overrides_until: None,
    };
    editor.apply(&edit, &answer).await
}

fn answer(done: &Done<'_>) -> Answer {
    let operations = done.step.map_or(json!([]), |step| json!(step.operations));
    let body = json!({"seq": done.record.seq, "revision": done.revision, "operations": operations});
    Answer { status: 200, etag: String::new(), body: body.to_string() }
}
