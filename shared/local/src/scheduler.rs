//! Schedules, as EventBridge keeps them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::hosts::{Callee, Hosts};
use crate::stack::StackError;
use crate::stop::{Stop, Tasks};
use crate::template::{Schedule, Template};

/// Calls functions by the template's schedules, each the first time after one interval.
pub struct Scheduler(Tasks);

impl Scheduler {
    /// Starts all schedules.
    ///
    /// # Errors
    /// [`StackError::Host`].
    pub fn start(template: &Template, hosts: &Hosts) -> Result<Self, StackError> {
        let mut tasks = Tasks::new();
        for function in &template.functions {
            for schedule in &function.schedules {
                let (callee, schedule) = (hosts.callee(function)?, schedule.clone());
                tasks.spawn(|stop| keep(callee, schedule, stop));
            }
        }
        Ok(Self(tasks))
    }

    /// Stops, and waits for the calls under way.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// A call that takes longer than the interval puts the next one off: two never overlap.
async fn keep(callee: Callee, schedule: Schedule, stop: Stop) {
    let mut ticks =
        tokio::time::interval_at(Instant::now() + schedule.every, schedule.every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = callee.event(event(&schedule.name, Timestamp::now())).await {
            tracing::error!(function = &*callee.name, %error, "a scheduled call failed");
        }
    }
}

fn event(rule: &str, now: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": format!("{:x}", now.as_nanosecond()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": "us-east-1",
        "resources": [format!("arn:aws:events:us-east-1:000000000000:rule/{rule}")],
        "detail": {},
    })
}
