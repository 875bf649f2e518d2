//! A proxy before DynamoDB, and what it can do to calls: die at a write, hold one back, or break some of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A running proxy.
pub struct Proxy<B> {
    /// Where it answers.
    pub url: String,
    /// What it does to calls.
    pub behaviour: Arc<B>,
    task: tokio::task::JoinHandle<()>,
}

/// What a proxy does to calls.
pub trait Behaviour: Send + Sync + 'static {
    /// The answer to a call; `None` drops the connection.
    fn answer(&self, call: Message, upstream: &mut Upstream) -> impl Future<Output = Option<Message>> + Send;
}

/// The way to DynamoDB, of one connection.
pub struct Upstream(TcpStream);

/// One HTTP/1.1 message with a `Content-Length`, as DynamoDB and its clients send them.
#[derive(Clone, Debug)]
pub struct Message {
    head: String,
    /// What it says, JSON.
    pub body: Vec<u8>,
}

impl<B: Behaviour> Proxy<B> {
    /// Stands before `upstream` on a port of its own.
    pub async fn start(upstream: &str, behaviour: B) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let behaviour = Arc::new(behaviour);
        let shared = behaviour.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, behaviour) = (upstream.clone(), shared.clone());
                tokio::spawn(async move { serve(client, &upstream, &*behaviour).await });
            }
        });
        Self { url, behaviour, task }
    }
}

impl<B> Drop for Proxy<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, upstream: &str, behaviour: &impl Behaviour) -> Option<()> {
    let mut upstream = Upstream(TcpStream::connect(upstream).await.ok()?);
    loop {
        let call = Message::read(&mut client).await?;
        let answer = behaviour.answer(call, &mut upstream).await?;
        answer.write(&mut client).await?;
    }
}

impl Upstream {
    /// Has DynamoDB answer.
    pub async fn call(&mut self, call: &Message) -> Option<Message> {
        call.write(&mut self.0).await?;
        Message::read(&mut self.0).await
    }
}

impl Message {
    /// An answer that DynamoDB did not give.
    #[must_use]
    pub fn answer(status: &str, body: &Value) -> Self {
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 0");
        Self { head, body: Vec::new() }.with_body(body)
    }

    /// The same message with something else to say.
    #[must_use]
    pub fn with_body(&self, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let head = self.head.lines().filter_map(|line| match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("content-length") => {
                Some(format!("content-length: {}", body.len()))
            }
            // The checksum was of the other body; an answer may do without.
            Some((name, _)) if name.eq_ignore_ascii_case("x-amz-crc32") => None,
            _ => Some(line.to_owned()),
        });
        Self { head: head.collect::<Vec<_>>().join("\r\n"), body }
    }

    /// What it says.
    ///
    /// # Panics
    /// When that is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The operation that a call asks for, as `PutItem`.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.header("x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default()
    }

    /// Whether a call changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let writes = ["TransactWriteItems", "PutItem", "BatchWriteItem", "UpdateItem", "DeleteItem"];
        writes.contains(&self.operation())
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header and its value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    pub(crate) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            read_more(stream, &mut bytes).await?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut message = Self { head, body: bytes.split_off(end + 4) };
        let length = message.header("content-length").and_then(|length| length.parse::<usize>().ok());
        let length = length.unwrap_or_else(|| panic!("a message without a length: {}", message.head));
        while message.body.len() < length {
            read_more(stream, &mut message.body).await?;
        }
        Some(message)
    }

    async fn write(&self, stream: &mut TcpStream) -> Option<()> {
        let bytes = [self.head.as_bytes(), b"\r\n\r\n", &self.body].concat();
        stream.write_all(&bytes).await.ok()
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 * 1024];
    let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&chunk[..read]);
    Some(())
}

/// When the fatal write is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// DynamoDB never sees it.
    BeforeEffect,
    /// DynamoDB does it, and the answer is lost.
    AfterEffect,
}

/// Dies at a write, for good.
pub struct Dying {
    writes_left: AtomicI64,
    death: Death,
}

impl Dying {
    /// Lets `writes` writes through.
    #[must_use]
    pub fn after(writes: i64, death: Death) -> Self {
        Self { writes_left: writes.into(), death }
    }

    /// Whether the fatal write came.
    #[must_use]
    pub fn died(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) < 0
    }
}

impl Behaviour for Dying {
    async fn answer(&self, call: Message, upstream: &mut Upstream) -> Option<Message> {
        let before = self.writes_left.fetch_sub(i64::from(call.is_write()), Ordering::SeqCst);
        let is_fatal = call.is_write() && before == 0;
        if before < 0 || is_fatal && self.death == Death::BeforeEffect {
            return None;
        }
        upstream.call(&call).await.filter(|_| !is_fatal)
    }
}

/// Holds back one call of one operation, until it is told to go on.
pub struct Holding {
    operation: &'static str,
    calls_left: AtomicI64,
    reached: Notify,
    released: Notify,
}

impl Holding {
    /// Lets everything through but the call of `operation` that comes after `calls` others.
    #[must_use]
    pub fn after(calls: i64, operation: &'static str) -> Self {
        let (reached, released) = (Notify::new(), Notify::new());
        Self { operation, calls_left: calls.into(), reached, released }
    }

    /// Waits until the call is held back.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.released.notify_one();
    }
}

impl Behaviour for Holding {
    async fn answer(&self, call: Message, upstream: &mut Upstream) -> Option<Message> {
        if call.operation() == self.operation && self.calls_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.reached.notify_one();
            self.released.notified().await;
        }
        upstream.call(&call).await
    }
}
