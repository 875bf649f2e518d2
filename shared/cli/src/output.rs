//! What the command says: text for people, JSON for programs, and how it fails.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// How results are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether somebody watches: progress is drawn for people only.
    pub(crate) fn is_watched(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// One line on standard output. A reader that went away is no failure.
    #[expect(clippy::unused_self, reason = "said through the output, whatever its form")]
    pub(crate) fn line(self, text: impl Display) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A result: as one line of JSON, or as `text` tells it.
    pub(crate) fn report<T: Serialize>(self, result: &T, text: impl FnOnce(&T)) -> Result<(), Failure> {
        if self.json {
            self.line(serde_json::to_string(result).map_err(Failure::new)?);
        } else {
            text(result);
        }
        Ok(())
    }
}

/// A number with its noun: `1 commit`, `2 commits`.
pub(crate) fn counted(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Why the command exits with a code other than 0.
#[derive(Debug)]
pub(crate) struct Failure(Option<String>);

impl Failure {
    /// A failure with its message.
    pub(crate) fn new(message: impl Display) -> Self {
        Self(Some(message.to_string()))
    }

    /// A failure that the report has told already.
    pub(crate) fn reported() -> Self {
        Self(None)
    }

    /// What is left to say.
    pub(crate) fn message(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
