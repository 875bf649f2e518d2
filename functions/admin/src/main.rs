//! The `admin` artifact: Lambda's `_HANDLER` names the function.

use roster_admin::{App, FUNCTIONS};
use roster_http::{Env, Telemetry, lambda};

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let env = Env::from_process();
    let telemetry = Telemetry::begin(&env)?;
    lambda::run(FUNCTIONS, App::from_env(&env).await?, &env, &telemetry).await
}
