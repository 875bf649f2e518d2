//! Configuration: the environment variables that `template.yaml` gives to a function.

use std::collections::BTreeMap;

/// A function's environment. In Lambda the process's own; in the local stack what the template says.
#[derive(Clone, Debug, Default)]
pub struct Env(BTreeMap<String, String>);

/// A variable that is missing or cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable's value cannot be used; the value itself is not told, for it may be a secret.
    #[error("environment variable {name} is not {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl Env {
    /// The process's own environment.
    #[must_use]
    pub fn from_process() -> Self {
        let utf8 = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(utf8).collect())
    }

    /// A required variable; an empty one counts as missing.
    ///
    /// # Errors
    /// [`EnvError::Missing`].
    pub fn required(&self, name: &'static str) -> Result<&str, EnvError> {
        self.optional(name).ok_or(EnvError::Missing(name))
    }

    /// An optional variable; an empty one counts as missing.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number, or its default.
    ///
    /// # Errors
    /// [`EnvError::Invalid`].
    pub fn number(&self, name: &'static str, default: u64) -> Result<u64, EnvError> {
        let parse = |value: &str| value.parse().map_err(|_| EnvError::Invalid { name, expected: "a whole number" });
        self.optional(name).map_or(Ok(default), parse)
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}
