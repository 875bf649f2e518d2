//! Puts the catalogue that is bundled with the functions where the crate includes it.
//!
//! It is the document that `ROSTER_SNAPSHOT` names, else what the workspace's `catalog/` holds. A mistake in it
//! fails the build, so that it cannot fail a function. The text is not compressed: the deployed archive is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use roster_core::bundle::{self, Bundle};
use serde_json::Value;

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={}", message.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ROSTER_SNAPSHOT");
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../..");
    let bundle = match env::var("ROSTER_SNAPSHOT").ok().filter(|name| !name.is_empty()) {
        // A relative path is one from the workspace's root, wherever cargo was called.
        Some(name) => {
            let file = workspace.join(&name);
            println!("cargo::rerun-if-changed={}", file.display());
            let text = fs::read(file).map_err(|error| format!("ROSTER_SNAPSHOT {name}: {error}"))?;
            Bundle::parse(&text).map_err(|error| format!("ROSTER_SNAPSHOT {name}: {error}"))?
        }
        None => read_catalogue(&workspace.join("catalog"))?,
    };
    let text = bundle.to_json().map_err(|error| error.to_string())?;
    let out = Path::new(&variable("OUT_DIR")?).join("snapshot.json");
    fs::write(&out, text).map_err(|error| format!("{}: {error}", out.display()))
}

/// The catalogue as it lies on disk; an empty one where there is none.
fn read_catalogue(directory: &Path) -> Result<Bundle, String> {
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut files = Vec::new();
    if directory.join("models").is_dir() {
        list(&directory.join("models"), &mut files)?;
    }
    let models =
        files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")).map(|file| {
            let place = file.display().to_string();
            bundle::read(&place, document(file)?).map_err(|error| error.to_string())
        });
    let models = models.collect::<Result<_, String>>()?;
    let file = directory.join("policy.json");
    let policy = match file.is_file() {
        true => Some(bundle::read("catalog/policy.json", document(&file)?).map_err(|error| error.to_string())?),
        false => None,
    };
    Bundle::new(models, policy).map_err(|error| format!("catalog: {error}"))
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        match path.is_dir() {
            true => list(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

fn document(file: &Path) -> Result<Value, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read(file).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}
