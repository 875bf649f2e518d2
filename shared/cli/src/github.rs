//! GitHub, as the variables that GitHub Actions sets name it.

use roster_github::{GitHub, Repository};

use crate::output::Failure;

/// The repository that `GITHUB_REPOSITORY` names, by `GITHUB_TOKEN` and `GITHUB_API_URL`.
pub(crate) fn client() -> Result<GitHub, Failure> {
    // A token is never an argument, which others on the machine could see.
    let variable = |name: &str| std::env::var(name).ok();
    let repository = variable("GITHUB_REPOSITORY")
        .ok_or_else(|| Failure::new("GITHUB_REPOSITORY is not set: it names the repository, as owner/name"))?;
    Ok(GitHub::from_env(variable, Repository::parse(&repository)?)?)
}
