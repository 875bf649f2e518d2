use std::fmt;
use std::path::Path;

use gix::ObjectId;
use gix::objs::Kind;
use gix::refs::Category;

use crate::location::Place;
use crate::remote::RemoteClone;
use crate::{BlobId, BoxError, CommitId, GitError, Location};

/// Enough for every tree of a catalogue with thousands of files.
const OBJECT_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A repository to read from; cheap to keep between runs.
pub struct Repository {
    git: gix::Repository,
    location: Location,
    /// For a repository that is not on this machine, the clone that stands in for it.
    clone: Option<RemoteClone>,
}

/// What came of reading a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Blob {
    /// The whole content.
    Content(Vec<u8>),
    /// The file is larger than was allowed and was not read.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

impl Repository {
    /// Opens a path or `file://` URL in place: a repository, bare or not, or a worktree of one.
    ///
    /// An `http(s)://` URL is cloned into `cache_dir`, bare and whole; a clone that is there from
    /// an earlier run is taken as it is, to be brought up to date by [`refresh`](Self::refresh).
    pub fn open(location: &Location, cache_dir: &Path) -> Result<Self, GitError> {
        let (git, clone) = match &location.0 {
            Place::Path(path) => {
                let git = open_at(path)
                    .map_err(|error| GitError::NotARepository { path: path.clone(), source: error.into() })?;
                (git, None)
            }
            Place::Http(place) => {
                let clone = RemoteClone::new(place.clone(), cache_dir)?;
                (clone.open_or_clone()?, Some(clone))
            }
        };
        Ok(Self { git, location: location.clone(), clone })
    }

    /// Fetches what is new over `http(s)`, and forgets what is cached of references and packs, so
    /// that commits made since and a `git gc` in between are seen.
    pub fn refresh(&mut self) -> Result<(), GitError> {
        self.refresh_with(None)
    }

    /// Refreshes, and answers the commit that a reference points at, by the whole name of the reference.
    ///
    /// A clone mirrors branches and tags. Any other reference, such as `refs/pull/7/merge`, is fetched with them when
    /// it is named here, and is there until the next refresh.
    pub fn fetch_reference(&mut self, reference: &str) -> Result<CommitId, GitError> {
        // Nothing that `rev-parse` would compute with is the name of a reference.
        if let Err(error) = gix::refs::FullName::try_from(reference) {
            return Err(GitError::UnknownRevision {
                repository: self.name(),
                revision: reference.to_owned(),
                source: error.into(),
            });
        }
        let is_mirrored = reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/");
        self.refresh_with((!is_mirrored).then_some(reference))?;
        self.resolve(reference)
    }

    fn refresh_with(&mut self, more: Option<&str>) -> Result<(), GitError> {
        if let Some(clone) = &self.clone {
            self.git = clone.fetch(&self.git, more)?;
            return Ok(());
        }
        let path = self.git.git_dir().to_owned();
        self.git = open_at(&path).map_err(|error| GitError::NotARepository { path, source: error.into() })?;
        Ok(())
    }

    /// The commit that a revision names, in any form that `git rev-parse` takes: a branch, a tag, a
    /// full or short object id, `HEAD`, `main~2`.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, GitError> {
        let id = self.git.rev_parse_single(revision).map_err(|error| GitError::UnknownRevision {
            repository: self.name(),
            revision: revision.to_owned(),
            source: error.into(),
        })?;
        let object = self.try_find(id.detach())?.ok_or_else(|| self.missing(id.detach()))?;
        let object = object.peel_tags_to_end().map_err(|error| self.corrupt(id.detach(), error))?;
        self.expect_kind(object.id, object.kind, Kind::Commit)?;
        Ok(CommitId(object.id))
    }

    /// The commit a branch points at. This reads one reference and no object, so it is cheap to
    /// poll, and sees what `git` commits, packs or deletes without a [`refresh`](Self::refresh).
    pub fn branch_tip(&self, branch: &str) -> Result<CommitId, GitError> {
        let unknown = || GitError::UnknownBranch { repository: self.name(), branch: branch.to_owned() };
        let unreadable = |error: gix::Error| self.unreadable(&format!("branch `{branch}`"), error);

        let name = Category::LocalBranch.to_full_name(branch).map_err(|_| unknown())?;
        let reference = self.git.try_find_reference(name.as_ref()).map_err(unreadable)?;
        let mut reference = reference.ok_or_else(unknown)?;
        let id = match reference.try_id() {
            Some(id) => id.detach(),
            None => reference.follow_to_object().map_err(unreadable)?.detach(),
        };
        Ok(CommitId(id))
    }

    /// Reads a file, after asking for its size: one larger than `max_bytes` is not loaded.
    pub fn blob(&self, id: BlobId, max_bytes: u64) -> Result<Blob, GitError> {
        let header = self.git.try_find_header(id.0).map_err(|error| self.corrupt(id.0, error))?;
        let header = header.ok_or_else(|| self.missing(id.0))?;
        self.expect_kind(id.0, header.kind(), Kind::Blob)?;
        if header.size() > max_bytes {
            return Ok(Blob::TooLarge { bytes: header.size() });
        }
        Ok(Blob::Content(self.find_object(id.0, Kind::Blob)?.detach().data))
    }

    pub(crate) fn git(&self) -> &gix::Repository {
        &self.git
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn name(&self) -> String {
        self.location.to_string()
    }

    pub(crate) fn knows(&self, id: CommitId) -> bool {
        self.git.has_object(id.0)
    }

    pub(crate) fn is_shallow(&self) -> bool {
        self.git.is_shallow().unwrap_or(false)
    }

    pub(crate) fn is_shallow_boundary(&self, id: CommitId) -> Result<bool, GitError> {
        let boundary = self.git.shallow_commits().map_err(|error| self.unreadable("the shallow boundary", error))?;
        Ok(boundary.is_some_and(|boundary| boundary.contains(&id.0)))
    }

    pub(crate) fn find_commit(&self, id: CommitId) -> Result<gix::Commit<'_>, GitError> {
        self.find_object(id.0, Kind::Commit).map(gix::Object::into_commit)
    }

    pub(crate) fn find_object(&self, id: ObjectId, kind: Kind) -> Result<gix::Object<'_>, GitError> {
        let object = self.try_find(id)?.ok_or_else(|| self.missing(id))?;
        self.expect_kind(id, object.kind, kind)?;
        Ok(object)
    }

    pub(crate) fn corrupt(&self, id: ObjectId, source: impl Into<BoxError>) -> GitError {
        self.spoil_clone();
        GitError::CorruptObject { repository: self.name(), id: id.to_string(), source: source.into() }
    }

    pub(crate) fn unreadable(&self, what: &str, source: impl Into<BoxError>) -> GitError {
        self.spoil_clone();
        GitError::Read { repository: self.name(), what: what.to_owned(), source: source.into() }
    }

    pub(crate) fn unwritable(&self, what: &str, source: impl Into<BoxError>) -> GitError {
        GitError::Write { repository: self.name(), what: what.to_owned(), source: source.into() }
    }

    fn try_find(&self, id: ObjectId) -> Result<Option<gix::Object<'_>>, GitError> {
        self.git.try_find_object(id).map_err(|error| self.corrupt(id, error))
    }

    fn missing(&self, id: ObjectId) -> GitError {
        self.spoil_clone();
        GitError::MissingObject { repository: self.name(), id: id.to_string() }
    }

    /// Whatever is wrong with a clone, another one is the cure.
    fn spoil_clone(&self) {
        if let Some(clone) = &self.clone {
            clone.spoil();
        }
    }

    fn expect_kind(&self, id: ObjectId, actual: Kind, expected: Kind) -> Result<(), GitError> {
        if actual == expected {
            return Ok(());
        }
        Err(GitError::WrongKind {
            repository: self.name(),
            id: id.to_string(),
            expected: match expected {
                Kind::Tree => "tree",
                Kind::Blob => "blob",
                Kind::Commit => "commit",
                Kind::Tag => "tag",
            },
            actual: actual.to_string(),
        })
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("location", &self.location).finish_non_exhaustive()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(content) => write!(f, "Content({} bytes)", content.len()),
            Self::TooLarge { bytes } => write!(f, "TooLarge({bytes} bytes)"),
        }
    }
}

/// Only the repository's own configuration counts: what is read from it must not depend on the
/// user, nor on a `GIT_DIR` that a hook left in the environment.
///
/// An object is what its id says: `refs/replace` would put another tree in the place of one that a
/// signed commit names.
pub(crate) fn open_at(path: &Path) -> Result<gix::Repository, gix::Error> {
    let options = gix::open::Options::isolated().config_overrides(["core.useReplaceRefs=false"]);
    let mut git = gix::open_opts(path, options)?;
    git.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
    Ok(git)
}
