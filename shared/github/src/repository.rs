//! The name of a repository, out of whatever people write for it.

use std::fmt;

use crate::GitHubError;

/// A repository of GitHub, or of a GitHub Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    host: String,
    owner: String,
    name: String,
}

impl Repository {
    /// The repository that `owner/name` names, or its URL: `https://host/owner/name.git`,
    /// `ssh://git@host/owner/name.git` or `git@host:owner/name.git`. Credentials in the URL are left out.
    ///
    /// # Errors
    /// [`GitHubError::Invalid`] when it names none.
    pub fn parse(text: &str) -> Result<Self, GitHubError> {
        // The text is not repeated: it may hold a password.
        let invalid = || GitHubError::Invalid("the repository is neither owner/name nor a URL with both".to_owned());
        let (host, path) = host_and_path(text.trim()).ok_or_else(invalid)?;
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let (owner, name) = path.split_once('/').ok_or_else(invalid)?;
        let is_word = |word: &str, more: &str| {
            let is_in = |character: char| character.is_ascii_alphanumeric() || more.contains(character);
            !word.is_empty() && word.len() <= 100 && word.chars().all(is_in)
        };
        let is_host = is_word(host, "-.:") && !host.starts_with([':', '-', '.']);
        if !is_host || !is_word(owner, "-_") || !is_word(name, "-_.") || matches!(name, "." | "..") {
            return Err(invalid());
        }
        Ok(Self { host: host.to_ascii_lowercase(), owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Where it is: `github.com`, unless a URL said otherwise.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

fn host_and_path(text: &str) -> Option<(&str, &str)> {
    let without_user = |authority| match str::rsplit_once(authority, '@') {
        Some((_, host)) => host,
        None => authority,
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        let (authority, path) = rest.split_once('/')?;
        let host = without_user(authority);
        return match scheme {
            "https" | "http" => Some((host, path)),
            // The port is that of SSH and says nothing of the API.
            "ssh" | "git+ssh" => Some((host.split_once(':').map_or(host, |(host, _)| host), path)),
            _ => None,
        };
    }
    match text.split_once(':') {
        Some((authority, path)) => Some((without_user(authority), path.trim_start_matches('/'))),
        None => Some(("github.com", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_repository() {
        for text in [
            "acme/models",
            "https://github.com/acme/models",
            "https://github.com/acme/models.git",
            "https://github.com/acme/models/",
            "https://x-access-token:secret@github.com/acme/models.git",
            "https://GitHub.com/acme/models",
            "ssh://git@github.com/acme/models.git",
            "ssh://git@github.com:22/acme/models.git",
            "git@github.com:acme/models.git",
            "git@github.com:/acme/models",
            "github.com:acme/models",
            " acme/models\n",
        ] {
            let repository = Repository::parse(text).unwrap();
            assert_eq!((repository.host(), repository.owner(), repository.name()), ("github.com", "acme", "models"));
            assert_eq!(repository.to_string(), "acme/models");
        }
        let other = Repository::parse("https://git.example.com:8443/a-b_c/d.e_f").unwrap();
        assert_eq!((other.host(), other.to_string().as_str()), ("git.example.com:8443", "a-b_c/d.e_f"));
    }

    #[test]
    fn what_names_no_repository_is_refused_and_not_repeated() {
        for text in [
            "",
            "models",
            "/acme/models",
            "a/b/c",
            "acme/..",
            "acme/mo dels",
            "acme/models?x",
            "ac.me/models",
            "https://github.com/acme",
            "https://user:hunter2@github.com/acme/models/pull/7",
            "ftp://github.com/acme/models",
            "file:///srv/models",
            "/srv/models.git",
            "https:///acme/models",
            "git@:acme/models",
        ] {
            let error = Repository::parse(text).unwrap_err().to_string();
            assert_eq!(error, "the repository is neither owner/name nor a URL with both", "{text}");
        }
    }
}
