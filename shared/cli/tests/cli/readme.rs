//! The tour of the README, run by copy and paste: each command in one shell beside `roster dev` on this catalogue, each
//! answer compared with the one that the README shows.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use roster_tests::repository::TestRepository;

use super::Dev;

const README: &str = include_str!("../../../../README.md");
/// Stands in the shell's output before what a command printed.
const MARK: char = '\u{1e}';

/// A command with what the README says it prints.
struct Example {
    command: String,
    shown: String,
}

/// The examples of a section, in order. A block of `sh` prepares and shows nothing.
fn examples(section: &str) -> Vec<Example> {
    let text = README.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut examples: Vec<Example> = Vec::new();
    let mut fence = "";
    for line in text.lines() {
        match (fence, line.strip_prefix("```")) {
            ("", Some(language)) => {
                fence = if language.is_empty() { "text" } else { language };
                if fence == "sh" {
                    examples.push(Example { command: String::new(), shown: String::new() });
                }
            }
            (_, Some(_)) => fence = "",
            ("sh", None) => {
                let command = &mut examples.last_mut().unwrap().command;
                command.push_str(line);
                command.push('\n');
            }
            ("console", None) => match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example { command: format!("{command}\n"), shown: String::new() });
                }
                // A command goes on after a backslash.
                (None, Some(last)) if last.shown.is_empty() && last.command.ends_with("\\\n") => {
                    last.command.push_str(line);
                    last.command.push('\n');
                }
                (None, Some(last)) => last.shown.push_str(line),
                (None, None) => panic!("an answer before any command: {line}"),
            },
            _ => {}
        }
    }
    examples
}

/// Whether a text is what is shown of it: `…` stands for anything, and space for itself or nothing.
fn is_shown(text: &str, shown: &str) -> bool {
    let packed = |text: &str| text.split_whitespace().collect::<String>();
    let (text, shown) = (packed(text), packed(shown));
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return text == shown };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn what_is_left_out_stands_for_anything() {
    for (text, shown) in [("{\"a\": 1}\n", "{\"a\":1}"), ("abcabd", "a…ab…"), ("ab", "…"), ("a b\nc", "a…c")] {
        assert!(is_shown(text, shown), "{text} {shown}");
    }
    for (text, shown) in [("ab", "a"), ("ab", "b…"), ("ab", "…a"), ("ab", "a…ab"), ("", "a…")] {
        assert!(!is_shown(text, shown), "{text} {shown}");
    }
}

#[test]
fn the_tour_runs_by_copy_and_paste() {
    let repository = TestRepository::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copied = Command::new("cp").arg("-R").arg(root.join("catalog")).arg(repository.path()).status().unwrap();
    assert!(copied.success());
    let commit = repository.commit("Begin");
    let dev = Dev::start(&repository, &repository.path().join(".roster"));
    dev.wait_for(&commit);

    let binary = Path::new(env!("CARGO_BIN_EXE_roster"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let examples = examples("The API");
    let script: String = examples.iter().map(|example| format!("printf '{MARK}'\n{}", example.command)).collect();
    let script = script.replace("127.0.0.1:9000", &dev.address).replace("target/debug/roster", "roster");
    let mut shell = Command::new("bash")
        .current_dir(repository.path())
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let printed = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
    dev.stop();

    let answers: Vec<&str> = printed.split(MARK).skip(1).collect();
    assert_eq!(answers.len(), examples.len(), "{printed}");
    let other: Vec<String> = examples
        .iter()
        .zip(answers)
        .filter(|(example, answer)| !is_shown(answer, &example.shown))
        .map(|(example, answer)| format!("$ {}{answer}\nbut the README shows\n{}\n", example.command, example.shown))
        .collect();
    assert!(other.is_empty(), "{} of {} differ\n{}", other.len(), examples.len(), other.join("\n"));
}
