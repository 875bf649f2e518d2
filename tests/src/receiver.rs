//! Somebody who is sent requests, keeps them, and answers as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::Message;

/// A running receiver.
pub struct Receiver {
    /// Where it answers.
    pub url: String,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    received: Vec<Received>,
    first: VecDeque<u16>,
    then: u16,
    body: String,
}

/// A request, and how it was answered.
#[derive(Clone, Debug)]
pub struct Received {
    /// The headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// The status of the answer.
    pub status: u16,
}

impl Receiver {
    /// Answers with the statuses `first`, one a request, and `then` with another one; always with this body.
    pub async fn start(first: &[u16], then: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let first = first.iter().copied().collect();
        let shared = Arc::new(Mutex::new(Shared { received: Vec::new(), first, then, body: body.to_owned() }));
        let own = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = own.clone();
                tokio::spawn(async move { serve(client, &shared).await });
            }
        });
        Self { url, shared, task }
    }

    /// What came so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().expect("the requests").received.clone()
    }

    /// Waits until so many requests came.
    pub async fn wait_for(&self, count: usize) {
        while self.received().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, shared: &Mutex<Shared>) -> Option<()> {
    loop {
        let request = Message::read(&mut client).await?;
        let headers = request.headers().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let answer = {
            let mut shared = shared.lock().expect("the requests");
            let status = shared.first.pop_front().unwrap_or(shared.then);
            shared.received.push(Received { headers, body, status });
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{}", shared.body.len(), shared.body)
        };
        client.write_all(answer.as_bytes()).await.ok()?;
    }
}
