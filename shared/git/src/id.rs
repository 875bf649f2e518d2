use std::fmt;
use std::str::FromStr;

use gix::ObjectId;

use crate::GitError;

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) ObjectId);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = GitError;

            fn from_str(input: &str) -> Result<Self, GitError> {
                ObjectId::from_hex(input.as_bytes())
                    .map(Self)
                    .map_err(|_| GitError::InvalidId { input: input.to_owned() })
            }
        }
    };
}

object_id! {
    /// The object id of a commit, shown as full hexadecimal.
    CommitId
}

object_id! {
    /// The object id of a tree, shown as full hexadecimal.
    TreeId
}

object_id! {
    /// The object id of a file's content, shown as full hexadecimal.
    BlobId
}
