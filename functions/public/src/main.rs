//! The `public` artifact: Lambda's `_HANDLER` names the function.

use jiff::Timestamp;
use roster_http::{Env, Telemetry, lambda};
use roster_public::{App, FUNCTIONS};
use tracing::Instrument as _;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let env = Env::from_process();
    let telemetry = Telemetry::begin(&env)?;
    let app = App::from_env(&env).await?;
    if let Some(function) = env.optional("_HANDLER").filter(|name| roster_public::reads_catalogue(name)) {
        app.warm(Timestamp::now()).instrument(tracing::error_span!("start", function)).await;
    }
    lambda::run(FUNCTIONS, app, &env, &telemetry).await
}
