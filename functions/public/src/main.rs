//! The `public` artifact: Lambda's `_HANDLER` names the function.

use jiff::Timestamp;
use roster_http::{Env, Telemetry, lambda};
use roster_public::{App, FUNCTIONS};

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let env = Env::from_process();
    let telemetry = Telemetry::begin(&env)?;
    let app = App::from_env(&env).await?;
    if env.optional("_HANDLER").is_some_and(roster_public::reads_catalogue) {
        app.warm(Timestamp::now()).await;
    }
    lambda::run(FUNCTIONS, app, &env, &telemetry).await
}
