//! Bodies that were answered lately, by their tag: whoever asks the same again costs no more than a look.
//!
//! A tag names all that its body depends on, so what is kept is never out of date.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use roster_http::{ETag, Encodings, Reply};

/// All bodies together, as they are; compressed ones come on top with about a fifth.
const MAX_BYTES: usize = 12 * 1024 * 1024;

/// The bodies that an app keeps.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_tag: HashMap<ETag, (Bytes, Encodings)>,
    /// The oldest first.
    tags: VecDeque<ETag>,
    bytes: usize,
}

impl Bodies {
    /// The reply with the body that a tag names, which is made where it is not kept.
    pub(crate) fn reply(&self, etag: &ETag, make: impl FnOnce() -> Vec<u8>) -> Reply {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).by_tag.get(etag).cloned();
        let (body, encodings) = known.unwrap_or_else(|| {
            let made = (Bytes::from(make()), Encodings::default());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(etag, &made);
            made
        });
        Reply { encodings, ..Reply::json(StatusCode::OK, body) }.with_etag(etag)
    }
}

impl Kept {
    fn keep(&mut self, etag: &ETag, made: &(Bytes, Encodings)) {
        let bytes = made.0.len();
        // One body shall not push out all others.
        if bytes > MAX_BYTES / 4 || self.by_tag.insert(etag.clone(), made.clone()).is_some() {
            return;
        }
        self.tags.push_back(etag.clone());
        self.bytes += bytes;
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.tags.pop_front()
        {
            self.bytes -= self.by_tag.remove(&oldest).map_or(0, |(body, _)| body.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_not_made_again() {
        let bodies = Bodies::default();
        let (one, other) = (ETag::of(["1"]), ETag::of(["2"]));
        assert_eq!(bodies.reply(&one, || b"one".to_vec()).body, "one");
        assert_eq!(bodies.reply(&one, || unreachable!()).body, "one");
        assert_eq!(bodies.reply(&other, || b"other".to_vec()).body, "other");
    }

    #[test]
    fn the_oldest_goes_first() {
        let bodies = Bodies::default();
        let tag = |n: usize| ETag::of([n.to_string().as_str()]);
        let megabyte = || vec![b'x'; 1024 * 1024];
        for n in 0..13 {
            bodies.reply(&tag(n), megabyte);
        }
        let kept = bodies.0.lock().unwrap();
        assert_eq!((kept.bytes, kept.tags.len(), kept.by_tag.len()), (MAX_BYTES, 12, 12));
        assert!(!kept.by_tag.contains_key(&tag(0)) && kept.by_tag.contains_key(&tag(12)));
        drop(kept);
        bodies.reply(&tag(13), || vec![b'x'; 4 * 1024 * 1024]);
        assert_eq!(bodies.0.lock().unwrap().bytes, MAX_BYTES);
    }
}
