//! What runs by itself, at a time that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use roster_events::{App, FUNCTIONS};
use roster_http::function::{Host as _, Hosted};
use roster_notice::Targets;
use roster_store::Store;
use serde_json::{Value, json};

/// The functions of `roster_events` with a clock of their own, in whole seconds.
pub struct Events {
    host: Hosted<App>,
    now: Arc<AtomicI64>,
}

impl Events {
    /// The functions on a store, from `now` on.
    #[must_use]
    pub fn new(store: Store, targets: Targets, now: Timestamp) -> Self {
        let now = Arc::new(AtomicI64::new(now.as_second()));
        let time = now.clone();
        let clock = Arc::new(move || at(&time));
        Self { host: Hosted::new(App::with(store, targets, clock), FUNCTIONS), now }
    }

    /// What the clock says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        at(&self.now)
    }

    /// Lets time pass.
    pub fn pass(&self, time: SignedDuration) {
        self.now.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// Calls a function as its schedule does.
    ///
    /// # Errors
    /// What the function failed with.
    pub async fn call(&self, function: &str) -> Result<Value, String> {
        let outcome = self.host.event(function, json!({"source": "test"})).expect("a function of this name");
        outcome.await.map_err(|error| error.to_string())
    }
}

fn at(now: &AtomicI64) -> Timestamp {
    Timestamp::from_second(now.load(Ordering::SeqCst)).expect("a time that exists")
}
