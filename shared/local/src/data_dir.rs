//! The directory that a local stack keeps its data in, and who of several processes has it open.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roster_store::tables::create_missing;
use roster_store::{Store, StoreError};
use tokio::net::TcpStream;

use crate::embedded::{Embedded, EmbeddedError};
use crate::template::Template;

/// How long the process that has the directory may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A directory with the tables, the development secret, and how far streams are read.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Why there is no local DynamoDB.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The secret is not what this crate writes.
    #[error("{}: not a secret of 64 hexadecimal digits; remove it to get a new one", .0.display())]
    Secret(PathBuf),
    /// Another process has the directory, and cannot be reached.
    #[error("{}: in use by another process whose DynamoDB does not answer{at}; end it, or use another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process's endpoint, where it has told one.
        at: String,
    },
    /// The embedded DynamoDB does not run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

impl DataDir {
    /// The directory, which is made when it does not exist.
    ///
    /// # Errors
    /// [`LocalError::File`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, LocalError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret that development tokens are signed with; the first caller makes it.
    ///
    /// # Errors
    /// [`LocalError::File`] and [`LocalError::Secret`].
    pub fn dev_secret(&self) -> Result<String, LocalError> {
        let path = self.path.join("dev-secret");
        let secret = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_secret(&path)?,
            read => read.map_err(at(&path))?,
        };
        if secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(secret);
        }
        Err(LocalError::Secret(path))
    }

    /// Two first callers agree on one secret: a link appears whole, and only once.
    fn make_secret(&self, path: &Path) -> Result<String, LocalError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::from).map_err(at(path))?;
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let draft = self.path.join(format!("dev-secret.{}", std::process::id()));
        write_private(&draft, &secret).map_err(at(&draft))?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).map_err(at(&draft))?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path).map_err(at(path)),
            linked => linked.map(|()| secret).map_err(at(path)),
        }
    }

    /// The DynamoDB on this directory's data: embedded here, or that of the process that has it open.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn open(&self) -> Result<DynamoDb, LocalError> {
        let (lock, endpoint) = (self.path.join("lock"), self.path.join("endpoint"));
        let patient = Instant::now() + PATIENCE;
        loop {
            if let Some(lock) = try_lock(&lock).map_err(at(&lock))? {
                return self.embed(lock, &endpoint);
            }
            let told = read_if_any(&endpoint).map_err(at(&endpoint))?;
            if let Some(endpoint) = &told
                && answers(endpoint).await
            {
                return Ok(DynamoDb { endpoint: endpoint.clone(), embedded: None, is_owner: false });
            }
            if Instant::now() > patient {
                let at = told.map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
                return Err(LocalError::InUse { path: self.path.clone(), at });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn embed(&self, lock: File, endpoint: &Path) -> Result<DynamoDb, LocalError> {
        // What an owner that was killed left behind would lead others astray.
        match fs::remove_file(endpoint) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(endpoint)(error)),
            _ => {}
        }
        let embedded = Embedded::file_with(&self.path.join("dynamodb.sqlite"), lock)?;
        write_whole(endpoint, embedded.endpoint().as_bytes()).map_err(at(endpoint))?;
        Ok(DynamoDb { endpoint: embedded.endpoint().to_owned(), embedded: Some(embedded), is_owner: true })
    }
}

/// A DynamoDB for the local stack.
#[derive(Debug)]
pub struct DynamoDb {
    endpoint: String,
    embedded: Option<Embedded>,
    is_owner: bool,
}

impl DynamoDb {
    /// One in memory.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub fn memory() -> Result<Self, EmbeddedError> {
        let embedded = Embedded::memory()?;
        Ok(Self { endpoint: embedded.endpoint().to_owned(), embedded: Some(embedded), is_owner: true })
    }

    /// One that runs elsewhere, as DynamoDB Local does.
    #[must_use]
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), embedded: None, is_owner: true }
    }

    /// Where it answers, tables and streams alike.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it is for this process to follow its streams and to keep its schedules; not when
    /// another process has the data directory, and does that.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.is_owner
    }

    /// The store on it, with every table of the template.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store(&self, template: &Template) -> Result<Store, StoreError> {
        let store = Store::local(&self.endpoint, template.table_names.clone());
        let specs: Vec<_> = template.tables.iter().map(|table| table.spec.clone()).collect();
        create_missing(&store, &specs).await?;
        Ok(store)
    }

    /// Closes it; the data directory is free afterwards.
    pub async fn shutdown(self) {
        if let Some(embedded) = self.embedded {
            embedded.shutdown().await;
        }
    }
}

/// Writes a file so that a reader, or a restart after a crash, sees all of it or what was before.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, content)?;
    fs::rename(&draft, path)
}

pub(crate) fn read_if_any(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn write_private(path: &Path, content: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content.as_bytes())
}

/// The lock, or `None` when another process, or another opener in this one, holds it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn answers(endpoint: &str) -> bool {
    let Some(address) = endpoint.strip_prefix("http://") else { return false };
    TcpStream::connect(address).await.is_ok()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}
