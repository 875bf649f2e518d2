//! `POST /admin/models/{id}/rollout/pause`: a rollout goes no further before somebody resumes it.

use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::rollouts::{self, Step};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    rollouts::hold(app, &request, Step::Pause).await
}
