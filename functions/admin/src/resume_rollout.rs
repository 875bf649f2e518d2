//! `POST /admin/models/{id}/rollout/resume`: a rollout goes on, and its step begins anew.

use roster_http::{Problem, Reply, Request};

use crate::App;
use crate::rollouts::{self, Step};

pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, Problem> {
    rollouts::hold(app, &request, Step::Resume).await
}
