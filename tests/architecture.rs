//! Checks in the sources that imports have the direction that ARCHITECTURE.md states.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the lowest to the highest. A module imports only modules before it in this list.
const ORDER: [&str; 13] = [
    "model",
    "parameters",
    "config",
    "event",
    "policy",
    "outcome",
    "metrics",
    "aws",
    "reconcile",
    "retrain",
    "heartbeat",
    "job",
    "handler",
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.extension() {
            Some(extension) if extension == "rs" => vec![path],
            _ if path.is_dir() => sources(&path),
            _ => vec![],
        })
        .collect()
}

/// What each module imports: modules of this crate and other crates, by name.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(&src) {
        let module = path.strip_prefix(&src).unwrap().with_extension("");
        let module = module.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        // Unit tests are at the end of a file.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found = imports.entry(module).or_default();
        for line in lines {
            found.extend(line.split("crate::").skip(1).map(first_word));
            // `use crate::{one, other}`: list each import on its own line, so that this test finds it.
            assert!(!line.contains("crate::{"), "{}: {line}", path.display());
            found.extend(line.strip_prefix("use ").map(first_word));
        }
    }
    imports
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn no_import_points_upwards_or_in_a_circle() {
    let imports = imports();
    let modules: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = ORDER.into_iter().chain(["lib", "main"]).collect();
    assert_eq!(modules, expected, "every module has its place in the order");
    for (position, module) in ORDER.iter().enumerate() {
        for imported in &imports[*module] {
            if let Some(other) = ORDER.iter().position(|name| name == imported) {
                assert!(other < position || imported == module, "{module} imports {imported}, which stands above it");
            }
        }
    }
}

#[test]
fn the_domain_and_the_decisions_know_no_aws_crate() {
    let imports = imports();
    assert_eq!(imports["model"], BTreeSet::from(["std".to_owned()]));
    let decisions: BTreeSet<String> =
        ["crate", "humantime", "model", "parameters", "sha2", "std"].map(str::to_owned).into();
    assert_eq!(imports["policy"], decisions);
    assert!(!imports["event"].contains("policy"), "an event states facts, policy judges them");
}
