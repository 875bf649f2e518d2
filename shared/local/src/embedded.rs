//! The embedded DynamoDB: dynoxide, served on a port of its own.

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How often what has expired is removed. DynamoDB takes its time too.
const SWEEP: Duration = Duration::from_secs(10);

/// A DynamoDB in this process. Dropped, it stops as soon as the last request is answered.
#[derive(Debug)]
pub struct Embedded {
    endpoint: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Why the embedded DynamoDB does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The database cannot be opened.
    #[error("the embedded DynamoDB cannot open its data: {0}")]
    Open(String),
    /// Its port or its thread cannot be had.
    #[error("the embedded DynamoDB cannot start: {0}")]
    Start(#[from] std::io::Error),
}

impl Embedded {
    /// Serves a database file, which is made when it does not exist.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub fn file(path: &Path) -> Result<Self, EmbeddedError> {
        Self::file_with(path, ())
    }

    /// Serves a database that ends with the process.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub fn memory() -> Result<Self, EmbeddedError> {
        Self::serve(Database::memory().map_err(|error| EmbeddedError::Open(error.to_string()))?, ())
    }

    /// As [`Self::file`], and holds `guard` until the file is closed.
    pub(crate) fn file_with(path: &Path, guard: impl Send + 'static) -> Result<Self, EmbeddedError> {
        let open = |error: &dyn std::fmt::Display| EmbeddedError::Open(format!("{}: {error}", path.display()));
        let database = Database::new(&path.to_string_lossy()).map_err(|error| open(&error))?;
        keep_streams_short(path).map_err(|error| open(&error))?;
        Self::serve(database, guard)
    }

    /// dynoxide answers synchronously, behind one lock: on a thread of its own it holds up nobody else.
    fn serve(database: Database, guard: impl Send + 'static) -> Result<Self, EmbeddedError> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let sweeper = tokio::spawn(sweep(database.clone()));
            let stopped = async {
                let _ = stopped.await;
            };
            let served = match TcpListener::from_std(listener) {
                Ok(listener) => dynoxide::server::serve_with_shutdown(listener, database, stopped).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(message) = served {
                tracing::error!(message, "the embedded DynamoDB failed");
            }
            sweeper.abort();
        };
        let thread = thread::Builder::new().name("dynamodb".to_owned()).spawn(move || {
            runtime.block_on(serve);
            // Tasks hold the database until the runtime is gone; only then is the file free.
            drop(runtime);
            drop(guard);
        })?;
        Ok(Self { endpoint, stop, thread })
    }

    /// Where it answers, tables and streams alike.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops it, and waits until its file is closed.
    pub async fn shutdown(self) {
        let _ = self.stop.send(());
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the embedded DynamoDB's thread panicked");
        }
    }
}

/// Stream records are kept for a day, as DynamoDB keeps them, and found by an index: without it, every write to
/// a table with a stream reads all the records there ever were, and a replay slows down with its length.
fn keep_streams_short(path: &Path) -> rusqlite::Result<()> {
    let file = rusqlite::Connection::open(path)?;
    file.execute_batch(
        "CREATE INDEX IF NOT EXISTS roster_stream_position
             ON _stream_records (table_name, CAST(sequence_number AS INTEGER), shard_id);
         DELETE FROM _stream_records WHERE created_at < unixepoch() - 86400;",
    )
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        match database.sweep_ttl() {
            Ok(0) => {}
            Ok(items) => tracing::debug!(items, "expired items removed"),
            Err(error) => tracing::warn!(%error, "expired items could not be removed"),
        }
    }
}
