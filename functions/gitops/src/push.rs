//! What a delivery says, as far as it matters: which branch of which repository moved.

use std::borrow::Cow;

use serde::Deserialize;

/// A push event of any forge. Everything else in it is passed over without a copy: it can be large, and nothing of
/// it is believed. Branch and commits are read from the repository.
#[derive(Deserialize)]
pub(crate) struct Push<'b> {
    #[serde(borrow, rename = "ref")]
    reference: Cow<'b, str>,
    #[serde(borrow)]
    repository: Option<Names<'b>>,
    /// GitLab's word for what the repository belongs to.
    #[serde(borrow)]
    project: Option<Names<'b>>,
}

/// What a repository is called, in the words of GitHub and Gitea, and of GitLab.
#[derive(Default, Deserialize)]
struct Names<'b> {
    #[serde(borrow)]
    html_url: Option<Cow<'b, str>>,
    #[serde(borrow)]
    clone_url: Option<Cow<'b, str>>,
    #[serde(borrow)]
    homepage: Option<Cow<'b, str>>,
    #[serde(borrow)]
    git_http_url: Option<Cow<'b, str>>,
    #[serde(borrow)]
    web_url: Option<Cow<'b, str>>,
    #[serde(borrow)]
    full_name: Option<Cow<'b, str>>,
    #[serde(borrow)]
    path_with_namespace: Option<Cow<'b, str>>,
}

impl Push<'_> {
    /// Why this push is none of ours, if so.
    pub(crate) fn other_than(&self, repository: &str, branch: &str) -> Option<String> {
        if self.reference.strip_prefix("refs/heads/") != Some(branch) {
            return Some(format!("{} is not the branch {branch}", self.reference));
        }
        let ours = Address::parse(repository)?;
        let said: Vec<&Names<'_>> = self.repository.iter().chain(&self.project).collect();
        let urls: Vec<&str> = said.iter().flat_map(|names| names.urls()).collect();
        // A name without a host could be of any forge, so it counts only where no address is given.
        let is_ours = match urls.is_empty() {
            true => said.iter().filter_map(|names| names.path()).any(|path| path == ours.path),
            false => urls.iter().filter_map(|url| Address::parse(url)).any(|address| address == ours),
        };
        let named = || urls.first().copied().or_else(|| said.iter().find_map(|names| names.path()));
        (!is_ours).then(|| format!("{} is not the repository", named().unwrap_or("a nameless repository")))
    }
}

impl Names<'_> {
    fn urls(&self) -> impl Iterator<Item = &str> {
        [&self.html_url, &self.clone_url, &self.homepage, &self.git_http_url, &self.web_url]
            .into_iter()
            .filter_map(|url| url.as_deref().filter(|url| !url.is_empty()))
    }

    fn path(&self) -> Option<&str> {
        self.full_name.as_deref().or(self.path_with_namespace.as_deref())
    }
}

/// Where a repository is, without what two ways of writing the same place differ in.
#[derive(Debug, PartialEq, Eq)]
struct Address<'u> {
    host: String,
    path: &'u str,
}

impl<'u> Address<'u> {
    /// `None` for a path on this machine, which no forge knows by any name.
    fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if scheme.eq_ignore_ascii_case("file") {
            return None;
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let default_port = if scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
        let host = host.strip_suffix(default_port).unwrap_or(&host).to_owned();
        let path = path.trim_matches('/');
        Some(Self { host, path: path.strip_suffix(".git").unwrap_or(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OURS: &str = "https://token@GitHub.com/acme/roster.git/";

    fn other_than(repository: &str, push: &serde_json::Value) -> Option<String> {
        let text = push.to_string();
        serde_json::from_str::<Push<'_>>(&text).unwrap().other_than(repository, "main")
    }

    fn push(repository: serde_json::Value) -> serde_json::Value {
        json!({"ref": "refs/heads/main", "repository": repository, "commits": [{"id": "x", "added": ["a\nb"]}]})
    }

    #[test]
    fn a_repository_has_many_spellings() {
        for ours in [
            push(json!({"html_url": "https://github.com/acme/roster", "full_name": "acme/roster"})),
            push(json!({"clone_url": "http://ann:pw@GITHUB.COM:80/acme/roster.git"})),
            push(json!({"html_url": "https:\u{2f}\u{2f}github.com:443\u{2f}acme/roster/"})),
            push(json!({"html_url": "https://mirror.example/x", "clone_url": "https://github.com/acme/roster.git"})),
            push(json!({"full_name": "acme/roster"})),
            // GitLab's.
            json!({"ref": "refs/heads/main", "object_kind": "push",
                "repository": {"homepage": "https://github.com/acme/roster", "url": "git@github.com:acme/roster.git"},
                "project": {"path_with_namespace": "acme/roster"}}),
            json!({"ref": "refs/heads/main", "project": {"web_url": "https://github.com/acme/roster"}}),
        ] {
            assert_eq!(other_than(OURS, &ours), None, "{ours}");
        }
    }

    #[test]
    fn another_repository_is_named() {
        for (other, name) in [
            (push(json!({"html_url": "https://github.com/acme/other"})), "https://github.com/acme/other"),
            (push(json!({"html_url": "https://github.com/Acme/roster"})), "https://github.com/Acme/roster"),
            (
                push(json!({"html_url": "https://ghe.example/acme/roster", "full_name": "acme/roster"})),
                "https://ghe.example/acme/roster",
            ),
            (push(json!({"html_url": "https://github.com:8443/acme/roster"})), "https://github.com:8443/acme/roster"),
            (push(json!({"full_name": "acme/other"})), "acme/other"),
            (push(json!({})), "a nameless repository"),
            (push(json!(null)), "a nameless repository"),
        ] {
            assert_eq!(other_than(OURS, &other), Some(format!("{name} is not the repository")), "{other}");
        }
    }

    #[test]
    fn a_repository_on_this_machine_has_any_name() {
        for repository in [".", "/srv/catalogue", "file:///srv/catalogue", "../a:b"] {
            assert_eq!(other_than(repository, &push(json!({"html_url": "https://github.com/acme/other"}))), None);
            assert_eq!(other_than(repository, &push(json!(null))), None);
        }
    }

    #[test]
    fn other_branches_and_tags_are_named() {
        for reference in ["refs/heads/other", "refs/heads/main/x", "refs/tags/main", "main", ""] {
            let reason = other_than(".", &json!({"ref": reference}));
            assert_eq!(reason, Some(format!("{reference} is not the branch main")));
        }
    }

    #[test]
    fn what_is_no_push_is_an_error() {
        for text in ["", "{}", "[]", r#"{"ref": 1}"#, r#"{"ref": "x", "repository": "y"}"#, r#"{"ref": "x"}}"#] {
            assert!(serde_json::from_str::<Push<'_>>(text).is_err(), "{text}");
        }
    }
}
