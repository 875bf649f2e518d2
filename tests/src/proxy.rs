//! Proxies before DynamoDB: one dies at a chosen write, before it takes effect or after; one holds a call back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// When the fatal write is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// DynamoDB never sees it.
    BeforeEffect,
    /// DynamoDB does it, and the answer is lost.
    AfterEffect,
}

/// A running proxy.
pub struct DyingProxy {
    /// Where it answers.
    pub url: String,
    writes_left: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl DyingProxy {
    /// Lets `writes` writes through to `upstream`, then dies for good.
    pub async fn start(upstream: &str, writes: i64, death: Death) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let writes_left = Arc::new(AtomicI64::new(writes));
        let left = writes_left.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, left) = (upstream.clone(), left.clone());
                tokio::spawn(async move {
                    let _ = serve(client, &upstream, &left, death).await;
                });
            }
        });
        Self { url, writes_left, task }
    }

    /// Whether the fatal write came.
    #[must_use]
    pub fn died(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) < 0
    }
}

impl Drop for DyingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy that holds back the first call of one operation, until it is told to go on.
pub struct HoldingProxy {
    /// Where it answers.
    pub url: String,
    hold: Arc<Hold>,
    task: tokio::task::JoinHandle<()>,
}

struct Hold {
    operation: String,
    is_over: AtomicBool,
    reached: Notify,
    released: Notify,
}

impl HoldingProxy {
    /// Lets everything through to `upstream` but the first call of `operation`.
    pub async fn start(upstream: &str, operation: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let hold = Arc::new(Hold {
            operation: format!(".{operation}\r\n"),
            is_over: AtomicBool::new(false),
            reached: Notify::new(),
            released: Notify::new(),
        });
        let shared = hold.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, hold) = (upstream.clone(), shared.clone());
                tokio::spawn(async move {
                    let _ = pass(client, &upstream, &hold).await;
                });
            }
        });
        Self { url, hold, task }
    }

    /// Waits until the call is held back.
    pub async fn reached(&self) {
        self.hold.reached.notified().await;
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.hold.released.notify_one();
    }
}

impl Drop for HoldingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, upstream: &str, hold: &Hold) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    while let Some(request) = message(&mut client).await? {
        if contains(&request, hold.operation.as_bytes()) && !hold.is_over.swap(true, Ordering::SeqCst) {
            hold.reached.notify_one();
            hold.released.notified().await;
        }
        server.write_all(&request).await?;
        let Some(response) = message(&mut server).await? else { return Ok(()) };
        client.write_all(&response).await?;
    }
    Ok(())
}

async fn serve(mut client: TcpStream, upstream: &str, left: &AtomicI64, death: Death) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    while let Some(request) = message(&mut client).await? {
        let is_write = ["TransactWriteItems", "PutItem", "BatchWriteItem", "UpdateItem", "DeleteItem"]
            .iter()
            .any(|operation| contains(&request, format!(".{operation}\r\n").as_bytes()));
        let before = if is_write { left.fetch_sub(1, Ordering::SeqCst) } else { left.load(Ordering::SeqCst) };
        let fatal = is_write && before == 0;
        if before < 0 || fatal && death == Death::BeforeEffect {
            return Ok(());
        }
        server.write_all(&request).await?;
        let Some(response) = message(&mut server).await? else { return Ok(()) };
        if fatal {
            return Ok(());
        }
        client.write_all(&response).await?;
    }
    Ok(())
}

/// One HTTP/1.1 message with a `Content-Length`, as DynamoDB and its clients send them.
pub(crate) async fn message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let length = length.unwrap_or_else(|| panic!("a message without a length: {head}"));
        while bytes.len() < end + 4 + length {
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk[..read]);
        }
        return Ok(Some(bytes));
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
