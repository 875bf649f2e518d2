use gix::bstr::ByteSlice;
use jiff::Timestamp;

use crate::{BoxError, CommitId, GitError, Repository};

/// The most of a message that is kept. Trailers and pull request numbers are read from all of it.
const MESSAGE_BYTES: usize = 16 * 1024;

/// One commit with its attribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The commit's object id.
    pub id: CommitId,
    /// Who wrote the change. Bytes that are not UTF-8 are replaced.
    pub author_name: String,
    /// The author's address. Bytes that are not UTF-8 are replaced.
    pub author_email: String,
    /// When the change was written.
    pub authored_at: Timestamp,
    /// When the change was committed, for a merge when it was merged.
    pub committed_at: Timestamp,
    /// The first paragraph of the message on one line.
    pub subject: String,
    /// The message, cut after 16 KiB.
    pub message: String,
    /// The number of the pull or merge request, as GitHub, GitLab, Gitea and Azure write it.
    pub pull_request: Option<u64>,
    /// Whether it has more than one parent.
    pub is_merge: bool,
    trailers: Vec<(String, String)>,
}

impl Commit {
    /// The values of a trailer such as `Reviewed-by`, in order; the key's case does not matter.
    pub fn trailer(&self, key: &str) -> Vec<&str> {
        self.trailers
            .iter()
            .filter(|(token, _)| token.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

impl Repository {
    /// Reads a commit and its attribution.
    pub fn commit(&self, id: CommitId) -> Result<Commit, GitError> {
        let object = self.find_commit(id)?;
        read(id, &object).map_err(|source| self.corrupt(id.0, source))
    }
}

fn read(id: CommitId, object: &gix::Commit<'_>) -> Result<Commit, BoxError> {
    let decoded = object.decode()?;
    let author = decoded.author()?.trim();
    let committer = decoded.committer()?;

    let mut message = decoded.message.to_str_lossy().trim().to_owned();
    let subject = subject(&message);
    let pull_request = pull_request(&subject, &message);
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    Ok(Commit {
        id,
        author_name: author.name.to_str_lossy().into_owned(),
        author_email: author.email.to_str_lossy().into_owned(),
        authored_at: timestamp(author.seconds()),
        committed_at: timestamp(committer.seconds()),
        subject,
        message,
        pull_request,
        is_merge: decoded.parents.len() > 1,
        trailers: decoded
            .message_trailers()
            .map(|trailer| (trailer.token.to_str_lossy().into_owned(), trailer.value.to_str_lossy().into_owned()))
            .collect(),
    })
}

/// Git stores any number; one outside the calendar becomes its nearest end.
fn timestamp(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

fn subject(message: &str) -> String {
    let first_paragraph = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    let mut subject = first_paragraph.collect::<Vec<_>>().join(" ");
    subject.truncate(subject.floor_char_boundary(MESSAGE_BYTES));
    subject
}

fn pull_request(subject: &str, message: &str) -> Option<u64> {
    merged_by_host(subject)
        .or_else(|| at_end_of_subject(subject))
        .or_else(|| message.lines().find_map(gitlab_reference))
}

/// `Merge pull request #12 from …` (GitHub), `Merge pull request 'title' (#12) from …` (Gitea),
/// `Merged PR 12: …` (Azure).
fn merged_by_host(subject: &str) -> Option<u64> {
    if let Some(rest) = subject.strip_prefix("Merge pull request ") {
        let number = rest.strip_prefix('#').or_else(|| rest.rsplit_once("(#").map(|(_, number)| number));
        return number.and_then(leading_number);
    }
    subject.strip_prefix("Merged PR ").and_then(leading_number)
}

/// `Title (#12)`; a squashed revert ends in its own number: `Revert "Title (#12)" (#13)`.
fn at_end_of_subject(subject: &str) -> Option<u64> {
    let (_, number) = subject.strip_suffix(')')?.rsplit_once("(#")?;
    whole_number(number)
}

/// `See merge request group/project!12`.
fn gitlab_reference(line: &str) -> Option<u64> {
    let (_, number) = line.trim().strip_prefix("See merge request ")?.rsplit_once('!')?;
    whole_number(number)
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_request_numbers() {
        for (message, expected) in [
            ("Merge pull request #123 from x/y\n\nTitle (#5)", Some(123)),
            ("Merge pull request 'Title (#1)' (#42) from x/y into main", Some(42)),
            ("Merged PR 77: title", Some(77)),
            ("Title (#123)", Some(123)),
            ("Revert \"Title (#12)\" (#13)", Some(13)),
            ("Revert \"Title (#12)\"", None),
            ("Fix (#12) and more", None),
            ("Merge branch 'x' into 'main'\n\nTitle\n\nSee merge request group/sub/proj!45", Some(45)),
            ("Title\n\nsaid See merge request group/proj!45", None),
            ("Merge pull request", None),
            ("Merge pull request #", None),
            ("Title (#)", None),
            ("Title (#+1)", None),
            ("Title (#99999999999999999999999)", None),
            ("", None),
        ] {
            assert_eq!(pull_request(&subject(message), message), expected, "{message:?}");
        }
    }

    #[test]
    fn a_subject_is_one_line() {
        assert_eq!(subject("a long\nsubject\n\nbody"), "a long subject");
        assert_eq!(subject(""), "");
    }

    #[test]
    fn times_outside_the_calendar_are_its_ends() {
        assert_eq!(timestamp(i64::MAX), Timestamp::MAX);
        assert_eq!(timestamp(i64::MIN), Timestamp::MIN);
        assert_eq!(timestamp(0), Timestamp::UNIX_EPOCH);
    }
}
