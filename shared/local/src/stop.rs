//! Asking tasks to stop, and waiting until they have.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// A task's side: whether it should stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Resolves once the task should stop.
    pub(crate) async fn requested(&self) {
        // An error means that nobody is left who could ask: stop too.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits; `false` when the task should stop instead.
    pub(crate) async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.requested() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }
}

/// Tasks that stop together. Dropped, they are ended wherever they wait.
#[derive(Debug)]
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { stop: watch::Sender::new(false), tasks: JoinSet::new() }
    }

    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(&mut self, task: impl FnOnce(Stop) -> F) {
        self.tasks.spawn(task(Stop(self.stop.subscribe())));
    }

    /// Stops the tasks, each at the next place where it can.
    pub(crate) async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the local stack failed");
            }
        }
    }
}
