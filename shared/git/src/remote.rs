use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io, iter};

use gix::bstr::{BString, ByteSlice};
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::{Transport, http};
use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
use gix::refspec::parse;
use gix::refspec::parse::Operation;
use gix::remote::Direction::Fetch;
use gix::remote::fetch::{Outcome, Prepare, RefMap, Tags, refs::update::Mode};
use gix::remote::ref_map;

use crate::location::HttpPlace;
use crate::repository::open_at;
use crate::{BoxError, GitError};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may stay silent, before its answer or within it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Every fetch adds a pack; above this many, a new clone is cheaper than looking through them.
const MAX_PACKS: usize = 50;
/// The file that marks a clone of which something could not be read.
const SPOILT: &str = "spoilt";
/// What a clone mirrors.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// Where references stand that the server may no longer have; those of pull requests are fetched one by one, and stay
/// until the next fetch.
const MIRRORED: [&str; 4] = ["refs/heads/", "refs/tags/", "refs/pull/", "refs/merge-requests/"];

/// A bare clone of a repository that is served over HTTP. It can be lost at any time: whatever is
/// wrong with it, a new clone is the cure.
pub(crate) struct RemoteClone {
    place: HttpPlace,
    path: PathBuf,
}

impl RemoteClone {
    pub(crate) fn new(place: HttpPlace, cache_dir: &Path) -> Result<Self, GitError> {
        let name = place.directory_name().map_err(|error| cache_error(cache_dir, error))?;
        Ok(Self { path: cache_dir.join(name), place })
    }

    pub(crate) fn open_or_clone(&self) -> Result<gix::Repository, GitError> {
        match open_at(&self.path) {
            Ok(git) if !self.is_spoilt() => Ok(git),
            _ => self.clone_anew(None),
        }
    }

    /// Has the next look make another clone, in whichever process: a fetch does not bring again what is there, though
    /// it cannot be read.
    pub(crate) fn spoil(&self) {
        // Where that cannot be kept, the next look finds the same again.
        let _ = fs::write(self.path.join(SPOILT), "");
    }

    fn is_spoilt(&self) -> bool {
        self.path.join(SPOILT).exists()
    }

    /// Brings the clone up to date, with one more reference where it is named, and answers it with caches emptied.
    pub(crate) fn fetch(&self, git: &gix::Repository, more: Option<&str>) -> Result<gix::Repository, GitError> {
        if self.is_spoilt() || pack_count(git).is_ok_and(|packs| packs > MAX_PACKS) {
            return self.clone_anew(more);
        }
        match self.fetch_into(git, more) {
            // A lock or a half-written file that a killed process left behind would fail every time.
            Err(GitError::Fetch { .. }) => self.clone_anew(more),
            fetched => {
                fetched?;
                self.open()
            }
        }
    }

    fn open(&self) -> Result<gix::Repository, GitError> {
        open_at(&self.path).map_err(|error| cache_error(&self.path, error))
    }

    /// Clones beside the final place and then moves there, so that a clone is whole or absent.
    fn clone_anew(&self, more: Option<&str>) -> Result<gix::Repository, GitError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| cache_error(&path, error)
        };
        let aside = sibling(&self.path, "new");
        fs::create_dir_all(&aside).map_err(at(&aside))?;
        let cloned =
            init(&aside).map_err(|error| cache_error(&aside, error)).and_then(|git| self.fetch_into(&git, more));
        if let Err(error) = cloned {
            // The first failure is the one to report.
            let _ = fs::remove_dir_all(&aside);
            return Err(error);
        }
        if self.path.exists() {
            let old = sibling(&self.path, "old");
            fs::rename(&self.path, &old).map_err(at(&self.path))?;
            fs::remove_dir_all(&old).map_err(at(&old))?;
        }
        if let Err(error) = fs::rename(&aside, &self.path) {
            // Another process was faster; its clone is as good as this one.
            let _ = fs::remove_dir_all(&aside);
            return self.open().map_err(|_| cache_error(&self.path, error));
        }
        self.open()
    }

    /// Makes the references of `git` equal to the server's.
    fn fetch_into(&self, git: &gix::Repository, more: Option<&str>) -> Result<(), GitError> {
        let options = self.transport_options()?;
        let challenged = Cell::new(false);
        let remote = self.remote(git, more).map_err(|error| self.failed(error))?;
        let prepared = remote
            .connect(Fetch)
            .and_then(|connection| {
                // Names HEAD without storing it, so that the server tells which branch it is.
                let head = parse("HEAD".into(), Operation::Fetch)?.to_owned();
                connection
                    .with_transport_options(Box::new(options))
                    .with_credentials(|_| {
                        // The credentials were sent with the request: the server wants others.
                        challenged.set(true);
                        Ok(None)
                    })
                    .prepare_fetch(Discard, ref_map::Options { extra_refspecs: vec![head], ..Default::default() })
            })
            .map_err(|error| self.refused(error, challenged.get()))?;
        receive(git, prepared).map_err(|error| self.failed(error))
    }

    fn remote<'git>(&self, git: &'git gix::Repository, more: Option<&str>) -> Result<gix::Remote<'git>, gix::Error> {
        let more = more.map(|reference| format!("+{reference}:{reference}"));
        let refspecs = REFSPECS.into_iter().chain(more.as_deref());
        git.remote_at_without_url_rewrite(self.place.url())?.with_fetch_tags(Tags::None).with_refspecs(refspecs, Fetch)
    }

    /// A header rather than credentials on request: it saves a round trip, works for servers that
    /// answer 404 to strangers, and is never sent along a redirect.
    fn transport_options(&self) -> Result<http::Options, GitError> {
        let backend = http::reqwest::Options {
            configure_client: Some(Box::new(|client| {
                Ok(client.connect_timeout(CONNECT_TIMEOUT).timeout(READ_TIMEOUT))
            })),
            configure_request: None,
        };
        Ok(http::Options {
            extra_headers: self.place.authorization()?.into_iter().collect(),
            backend: Some(Arc::new(Mutex::new(backend))),
            ..Default::default()
        })
    }

    /// The error of a server that was asked for its references and did not list them.
    fn refused(&self, error: gix::Error, challenged: bool) -> GitError {
        let url = self.place.url();
        let status = http_status(&error);
        if challenged || status == Some(401) {
            return match self.place.has_credentials() {
                true => GitError::TokenRejected { url, status: 401 },
                false => GitError::TokenRequired { url },
            };
        }
        match status {
            Some(403) if self.place.has_credentials() => GitError::TokenRejected { url, status: 403 },
            Some(404 | 410) => GitError::RemoteNotFound { url },
            Some(status) => GitError::Refused { url, status },
            None if mentions(&error, "refusing to follow redirect") => {
                GitError::Redirected { url, source: error.into() }
            }
            None if error.is_retryable() => GitError::Unreachable { url, source: error.into() },
            None => self.failed(error),
        }
    }

    fn failed(&self, error: gix::Error) -> GitError {
        GitError::Fetch { url: self.place.url(), source: error.into() }
    }
}

fn init(path: &Path) -> Result<gix::Repository, gix::Error> {
    gix::ThreadSafeRepository::init_opts(
        path,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        gix::open::Options::isolated(),
    )?;
    open_at(path)
}

fn receive(git: &gix::Repository, prepared: Prepare<'_, '_, Box<dyn Transport + Send>>) -> Result<(), gix::Error> {
    // Before the fetch: a deleted branch `a` is in the way of a new branch `a/b`.
    prune(git, prepared.ref_map())?;
    let outcome = prepared.receive(Discard, &AtomicBool::new(false))?;
    reject_partial_update(&outcome)?;
    follow_head(git, &outcome.ref_map)
}

/// Removes what the server no longer has.
fn prune(git: &gix::Repository, ref_map: &RefMap) -> Result<(), gix::Error> {
    let kept: BTreeSet<&[u8]> = ref_map.remote_refs.iter().map(|reference| reference.unpack().0.as_bytes()).collect();
    for prefix in MIRRORED {
        for reference in git.references()?.prefixed(prefix)? {
            let reference = reference?;
            if !kept.contains(reference.name().as_bstr().as_bytes()) {
                reference.delete()?;
            }
        }
    }
    Ok(())
}

/// A fetch succeeds as a whole even where it left a reference behind.
fn reject_partial_update(outcome: &Outcome) -> Result<(), gix::Error> {
    use gix::remote::fetch::Status;

    let (Status::NoPackReceived { update_refs, .. } | Status::Change { update_refs, .. }) = &outcome.status;
    for (mapping, update) in iter::zip(&outcome.ref_map.mappings, &update_refs.updates) {
        let (Mode::RejectedSourceObjectNotFound { .. }
        | Mode::RejectedTagUpdate
        | Mode::RejectedNonFastForward
        | Mode::RejectedCurrentlyCheckedOut { .. }) = &update.mode
        else {
            continue;
        };
        let name = mapping.local.as_ref().map_or(BString::default(), Clone::clone);
        return Err(gix::error::message!("reference {name} was not updated: {}", update.mode).into());
    }
    Ok(())
}

/// Makes `HEAD` name the branch, or the commit, that it names on the server.
fn follow_head(git: &gix::Repository, ref_map: &RefMap) -> Result<(), gix::Error> {
    let head = ref_map.remote_refs.iter().find_map(|reference| match reference {
        Ref::Symbolic { full_ref_name, target, .. } | Ref::Unborn { full_ref_name, target }
            if full_ref_name == "HEAD" =>
        {
            Some(gix::refs::FullName::try_from(target.clone()).map(Target::Symbolic))
        }
        Ref::Direct { full_ref_name, object } if full_ref_name == "HEAD" => Some(Ok(Target::Object(*object))),
        _ => None,
    });
    let Some(new) = head.transpose().map_err(gix::Error::from_error)? else {
        return Ok(());
    };
    if git.try_find_reference("HEAD")?.is_some_and(|head| head.target() == new.to_ref()) {
        return Ok(());
    }
    git.edit_reference(RefEdit {
        change: Change::Update { log: LogChange::default(), expected: PreviousValue::Any, new },
        name: gix::refs::FullName::try_from("HEAD").map_err(gix::Error::from_error)?,
        deref: false,
    })?;
    Ok(())
}

/// gix tells the status of a failed request in words only.
fn http_status(error: &gix::Error) -> Option<u16> {
    error
        .iter_errors()
        .find_map(|cause| cause.to_string().strip_prefix("Received HTTP status ")?.get(..3)?.parse().ok())
}

fn mentions(error: &gix::Error, text: &str) -> bool {
    error.iter_errors().any(|cause| cause.to_string().contains(text))
}

fn pack_count(git: &gix::Repository) -> io::Result<usize> {
    let files = fs::read_dir(git.objects.store_ref().path().join("pack"))?;
    Ok(files.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "pack")).count())
}

/// A path beside `path` that no other process uses.
fn sibling(path: &Path, label: &str) -> PathBuf {
    let unique = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos());
    path.with_extension(format!("{label}-{}-{unique}", std::process::id()))
}

fn cache_error(path: &Path, source: impl Into<BoxError>) -> GitError {
    GitError::Cache { path: path.to_owned(), source: source.into() }
}
