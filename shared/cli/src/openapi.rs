//! `roster openapi`: the contract, from the template, the registries and the types.

use std::path::PathBuf;

use clap::Args;
use roster_contract::{Operation, Schemas, breaks, closed, document, may_break};
use roster_http::{Access, Function, Handler};
use roster_local::{LocalValues, Template};
use serde_json::Value;

use crate::output::Failure;

/// What `roster openapi` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Close every object, so that a test finds what an answer has and the document has not
    #[arg(long)]
    closed: bool,
    /// Print nothing, and fail when the document breaks what a released one promised and its version may not
    #[arg(long, value_name = "FILE", conflicts_with = "closed")]
    against: Option<PathBuf>,
}

/// Prints the document, or checks it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let document = generated()?;
    if let Some(file) = &arguments.against {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", file.display()));
        let text = std::fs::read(file).map_err(|error| failed(&error))?;
        let released: Value = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        return check(&released, &document).map_err(Failure::new);
    }
    let document = if arguments.closed { closed(document) } else { document };
    print(&document)
}

#[expect(clippy::print_stdout, reason = "the document is what is asked for")]
fn print(document: &Value) -> Result<(), Failure> {
    println!("{}", pretty(document).map_err(|error| Failure::new(error.to_string()))?);
    Ok(())
}

fn pretty(document: &Value) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(document)
}

/// The document of this code.
fn generated() -> Result<Value, Failure> {
    let template = Template::load(&LocalValues::default())?;
    let mut schemas = Schemas::default();
    let mut endpoints = roster_public::contract::endpoints(&mut schemas);
    endpoints.extend(roster_admin::contract::endpoints(&mut schemas));
    endpoints.extend(roster_gitops::contract::endpoints(&mut schemas));
    let mut access = requests(roster_public::FUNCTIONS);
    access.extend(requests(roster_admin::FUNCTIONS));
    access.extend(requests(roster_gitops::FUNCTIONS));
    access.extend(requests(roster_events::FUNCTIONS));
    let operations = template.functions.iter().flat_map(|function| {
        let access = access.iter().find(|(name, _)| *name == function.name).map(|(_, access)| *access);
        function.routes.iter().filter_map(move |route| {
            let (method, path) = (route.method.to_string(), route.path.to_string());
            Some(Operation { method, path, function: function.name.clone(), access: access? })
        })
    });
    let operations: Vec<Operation> = operations.collect();
    document(env!("CARGO_PKG_VERSION"), &operations, &endpoints, schemas).map_err(Failure::new)
}

/// The functions of a registry that take requests, with whom they are for.
fn requests<App>(functions: &[Function<App>]) -> Vec<(&'static str, Access)> {
    let access = |function: &Function<App>| match function.handler {
        Handler::Http(access, _) | Handler::Foreign(access, ..) => Some((function.name, access)),
        Handler::Pages(_) | Handler::Event(_) => None,
    };
    functions.iter().filter_map(access).collect()
}

fn check(released: &Value, document: &Value) -> Result<(), String> {
    let version = |document: &Value| document["info"]["version"].as_str().unwrap_or_default().to_owned();
    let found = breaks(released, document);
    if found.is_empty() || may_break(&version(released), &version(document)) {
        return Ok(());
    }
    Err(format!(
        "this breaks what version {} promised, and {} may not: raise the major version (before 1.0 the minor one), or \
         take it back\n  {}",
        version(released),
        version(document),
        found.join("\n  "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../openapi.json");
    const RELEASED: &str = include_str!("../../../docs/openapi/v0.json");

    #[test]
    fn the_file_is_what_the_code_says() {
        let document = pretty(&generated().unwrap()).unwrap() + "\n";
        assert!(document == GOLDEN, "openapi.json is old: cargo run -p roster -- openapi > new && mv new openapi.json");
    }

    #[test]
    fn nothing_that_was_released_is_broken() {
        let released: Value = serde_json::from_str(RELEASED).unwrap();
        check(&released, &generated().unwrap()).unwrap();
    }

    #[test]
    fn a_break_needs_another_version() {
        let released = generated().unwrap();
        let mut broken = released.clone();
        broken["paths"].as_object_mut().unwrap().remove("/health");
        let told = check(&released, &broken).unwrap_err();
        assert!(told.ends_with("\n  GET /health: the operation is gone"), "{told}");
        broken["info"]["version"] = "0.1.1".into();
        assert!(check(&released, &broken).is_err());
        broken["info"]["version"] = "0.2.0".into();
        assert_eq!(check(&released, &broken), Ok(()));
    }
}
