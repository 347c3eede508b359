//! Checks of the sources, in `src/` and `simulator/src/`:
//!
//! - No file imports another one in a circle, also not inside a folder. A file that declares another one imports it.
//! - Imports have the direction that ARCHITECTURE.md states.
//! - The decisions and the words of the domain use no crate of AWS, no runtime and no log.
//! - No file is longer than 500 lines, without its unit tests.
//! - The map in `lib.rs` names every file beside it.
//!
//! A file is a module: `aws/guard.rs` is `aws::guard`. A path leads to the file that its longest beginning names. So
//! `crate::aws::guard::Guard` is `aws/guard.rs`, and `crate::aws::Guard`, a name that `aws.rs` exports again, is `aws.rs`.
//! The reader below reads text, and not what macros make of it. It refuses the forms that it does not understand.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

/// The text of each file of a crate, by its path below `src`.
type Sources = BTreeMap<String, String>;

/// The most lines of a file, without its unit tests.
const MOST_LINES: usize = 500;

/// What the files of each room may import from other rooms. A room is a file of `src/` with the folder of its name.
const MAY_IMPORT: [(&str, &[&str]); 11] = [
    ("main", &["lib"]),
    ("lib", &["aws", "config", "event", "flow", "handler", "metrics", "model", "outcome", "policy"]),
    ("handler", &["aws", "config", "event", "flow", "metrics", "model", "outcome", "policy"]),
    ("flow", &["aws", "config", "model", "outcome", "policy"]),
    ("aws", &["config", "model", "policy"]),
    ("config", &["model", "policy"]),
    ("policy", &["model"]),
    ("event", &["model"]),
    ("metrics", &["model", "outcome"]),
    ("outcome", &["model"]),
    ("model", &[]),
];

/// The rooms that decide or name things, and the crates that they may use.
const MAY_USE: [(&str, &[&str]); 2] = [("model", &["std"]), ("policy", &["humantime", "sha2", "std"])];

/// First words of a path that are no crate: types and tools of the language.
const NO_CRATES: [&str; 20] = [
    "bool", "char", "clippy", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "rustdoc", "rustfmt", "str",
    "u128", "u16", "u32", "u64", "u8", "usize",
];

/// The line before a file's unit tests, which are its end.
const UNIT_TESTS: &str = "\n#[cfg(test)]\n";

fn sources_in(directory: &str) -> Sources {
    fn collect(root: &Path, directory: &Path, sources: &mut Sources) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                collect(root, &path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let (root, mut sources) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), Sources::new());
    collect(&root, &root, &mut sources);
    sources
}

/// A file's text without its unit tests.
fn without_tests(text: &str) -> &str {
    text.split_once(UNIT_TESTS).map_or(text, |(code, _)| code)
}

/// Whether everything behind the first unit test is modules of unit tests.
fn ends_with_tests(text: &str) -> bool {
    text.split(UNIT_TESTS).skip(1).all(|tests| {
        let mut lines = tests.lines().skip_while(|line| line.starts_with(['#', '/']));
        lines.next().is_some_and(|line| line.contains("mod ") && line.ends_with(" {"))
            && lines.any(|line| line == "}")
            && lines.all(str::is_empty)
    })
}

/// The words of a file, without its comments, strings and unit tests: names, `::`, and every other character for itself.
fn words(text: &str) -> Vec<String> {
    let code: Vec<char> = without_tests(text).chars().chain(['\n'; 2]).collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..code.len()).find(|at| code[*at..].starts_with(&end)).map_or(code.len(), |at| at + end.len())
    };
    // Whether a string in which nothing is escaped begins here: r"…" or r#"…"#.
    let is_raw = |at: usize| code[at] == 'r' && code[at + 1..].iter().find(|c| **c != '#') == Some(&'"');
    let (mut words, mut at) = (Vec::new(), 0);
    while at < code.len() - 1 {
        match (code[at], code[at + 1]) {
            ('/', '/') => at = find(at, "\n"),
            ('/', '*') => at = find(at, "*/"),
            ('"', _) => {
                at += 1;
                while code[at] != '"' {
                    at += if code[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            ('r', '"' | '#') if is_raw(at) => {
                let fences = code[at + 1..].iter().take_while(|c| **c == '#').count();
                at = find(at + fences + 2, &format!("\"{}", "#".repeat(fences)));
            }
            ('\'', '\\') => at = find(at + 3, "'"),
            ('\'', _) if code[at + 2] == '\'' => at += 3,
            (':', ':') => {
                words.push("::".to_owned());
                at += 2;
            }
            (c, _) if is_name(c) && !(matches!(c, 'b' | 'c') && is_raw(at + 1)) => {
                let name: String = code[at..].iter().copied().take_while(|c| is_name(*c)).collect();
                at += name.chars().count();
                words.push(name);
            }
            (c, _) => {
                words.extend((!c.is_whitespace()).then(|| c.to_string()));
                at += 1;
            }
        }
    }
    words
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads the tree of one `use`: pairs of the name that it gives, and the path of that name. Returns the place behind it.
fn use_tree(words: &[String], mut at: usize, prefix: &[String], found: &mut Vec<(String, Vec<String>)>) -> usize {
    let mut path = prefix.to_vec();
    let mut alias = None;
    loop {
        match words[at].as_str() {
            "{" => {
                at += 1;
                while words[at] != "}" {
                    at = use_tree(words, at, &path, found);
                    at += usize::from(words[at] == ",");
                }
                return at + 1;
            }
            "," | ";" | "}" => {
                if path.len() > 1 {
                    path.retain(|word| word != "*");
                    path = path
                        .iter()
                        .enumerate()
                        .filter(|(n, word)| *n == 0 || *word != "self")
                        .map(|(_, w)| w.clone())
                        .collect();
                }
                let name = alias.or(path.last().cloned()).unwrap();
                found.push((name, path));
                return at;
            }
            "::" => at += 1,
            "as" => {
                alias = Some(words[at + 1].clone());
                at += 2;
            }
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
}

/// What the files of a crate import.
#[derive(Default)]
struct Imports {
    /// For each file and each file that it imports: the path that leads there.
    files: BTreeMap<(String, String), String>,
    /// Each file with each crate that it uses.
    crates: BTreeSet<(String, String)>,
    /// The forms that the reader does not understand.
    faults: Vec<String>,
}

impl Imports {
    /// Reads all files of the crate `name`.
    fn of(name: &str, sources: &Sources) -> Self {
        let mut imports = Self::default();
        for (file, text) in sources {
            imports.read(name, sources, file, text);
        }
        for file in sources.keys().filter(|file| !["lib.rs", "main.rs"].contains(&file.as_str())) {
            let parent = file.rsplit_once('/').map_or("lib.rs".to_owned(), |(folder, _)| format!("{folder}.rs"));
            if !imports.files.contains_key(&(parent.clone(), file.clone())) {
                imports.faults.push(format!("{parent} does not declare {file}"));
            }
        }
        imports
    }

    fn read(&mut self, crate_name: &str, sources: &Sources, file: &str, text: &str) {
        let module: Vec<String> = match file.strip_suffix(".rs").unwrap() {
            "lib" => vec![],
            path => path.split('/').map(str::to_owned).collect(),
        };
        let is_file = |path: &[String]| sources.contains_key(&format!("{}.rs", path.join("/")));
        if !ends_with_tests(text) {
            self.faults.push(format!("{file}: something other than unit tests stands behind them"));
        }
        let words = words(text);
        let mut paths = Vec::new();
        let mut names = BTreeMap::new();
        let mut at = 0;
        while at < words.len() {
            let (before, word) = (at.checked_sub(1).map_or("", |at| &words[at]), words[at].as_str());
            let after = |n: usize| words.get(at + n).map_or("", String::as_str);
            match word {
                "mod" if after(2) == ";" => paths.push(vec!["self".to_owned(), after(1).to_owned()]),
                "mod" => self.faults.push(format!("{file}: the module {} has no file of its own", after(1))),
                "path" if before == "[" && after(1) == "=" => {
                    self.faults.push(format!("{file}: a module has another path than its own"))
                }
                "include" if after(1) == "!" => self.faults.push(format!("{file}: code is included from elsewhere")),
                "extern" if after(1) == "crate" => {
                    self.faults.push(format!("{file}: `extern crate` may rename a crate"))
                }
                "cfg" if after(2) == "test" => self.faults.push(format!("{file}: `cfg(test)` before the unit tests")),
                "use" if after(1) != "<" => {
                    let mut found = Vec::new();
                    at = use_tree(&words, at + 1, &[], &mut found);
                    paths.extend(found.iter().map(|(_, path)| path.clone()));
                    names.extend(found);
                    continue;
                }
                _ if is_name(word) && after(1) == "::" && is_name(after(2)) && !["::", "."].contains(&before) => {
                    let mut path = vec![word.to_owned()];
                    while words[at + 1] == "::" && is_name(&words[at + 2]) {
                        path.push(words[at + 2].clone());
                        at += 2;
                    }
                    paths.push(path);
                }
                _ => {}
            }
            at += 1;
        }
        for path in paths {
            let written = path.join("::");
            let mut path = path;
            // A name that an import gives stands for the import's path.
            for _ in 0..3 {
                let is_child = is_file(&[&module[..], &path[..1]].concat());
                match names.get(&path[0]).filter(|_| !is_child) {
                    Some(target) => path = [target, &path[1..]].concat(),
                    None => break,
                }
            }
            let supers = path.iter().take_while(|word| *word == "super").count();
            let rest = &path[1..];
            let absolute = match path[0].as_str() {
                "crate" if file == "main.rs" => [&module[..], rest].concat(),
                "crate" => rest.to_vec(),
                "self" => [&module[..], rest].concat(),
                "super" => [&module[..module.len() - supers], &path[supers..]].concat(),
                name if file == "main.rs" && name == crate_name => rest.to_vec(),
                _ if is_file(&[&module[..], &path[..1]].concat()) => [&module[..], &path[..]].concat(),
                // A type's own names.
                name if name.starts_with(char::is_uppercase) || NO_CRATES.contains(&name) => continue,
                name => {
                    self.crates.insert((file.to_owned(), name.to_owned()));
                    continue;
                }
            };
            let longest = (1..=absolute.len()).rev().map(|length| &absolute[..length]).find(|path| is_file(path));
            let target = longest.map_or("lib.rs".to_owned(), |path| format!("{}.rs", path.join("/")));
            if target != file {
                self.files.entry((file.to_owned(), target)).or_insert(written);
            }
        }
    }
}

/// The shortest circle through each file that is in one.
fn circles(imports: &Imports) -> Vec<String> {
    let mut circles = BTreeMap::new();
    for start in imports.files.keys().map(|(from, _)| from) {
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = way[way.len() - 1];
            for (_, to) in imports.files.keys().filter(|(from, _)| from == last) {
                let way = [&way[..], &[to]].concat();
                if to == start {
                    let names: Vec<&str> = way.iter().map(|file| file.as_str()).collect();
                    let members: BTreeSet<&str> = names.iter().copied().collect();
                    circles.entry(members).or_insert(format!("a circle: {}", names.join(" → ")));
                    ways.clear();
                    break;
                }
                if seen.insert(to) {
                    ways.push_back(way);
                }
            }
        }
    }
    circles.into_values().collect()
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn allowed<'a>(rules: &[(&str, &'a [&'a str])], room: &str) -> Option<&'a [&'a str]> {
    rules.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed)
}

/// Imports that point upwards, and files that have no place.
fn directions(imports: &Imports, sources: &Sources) -> Vec<String> {
    let homeless = sources.keys().filter(|file| allowed(&MAY_IMPORT, room(file)).is_none());
    let mut faults: Vec<String> = homeless.map(|file| format!("{file} has no place in MAY_IMPORT")).collect();
    for ((from, to), path) in imports.files.iter().filter(|((from, to), _)| room(from) != room(to)) {
        if !allowed(&MAY_IMPORT, room(from)).is_some_and(|allowed| allowed.contains(&room(to))) {
            faults.push(format!("{from} must not import {to} ({path})"));
        }
    }
    faults
}

/// Crates that the decisions must not use.
fn crates(imports: &Imports) -> Vec<String> {
    let is_forbidden = |file: &str, name: &str| allowed(&MAY_USE, room(file)).is_some_and(|all| !all.contains(&name));
    let forbidden = imports.crates.iter().filter(|(file, name)| is_forbidden(file, name));
    forbidden.map(|(file, name)| format!("{file} must not use the crate {name}")).collect()
}

fn lengths(sources: &Sources) -> Vec<String> {
    let lengths = sources.iter().map(|(file, text)| (file, without_tests(text).lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MOST_LINES);
    long.map(|(file, lines)| format!("{file} has {lines} lines, without its unit tests")).collect()
}

/// Files beside `lib.rs` that its map does not name.
fn map(sources: &Sources) -> Vec<String> {
    let map: String = sources["lib.rs"].lines().filter(|line| line.starts_with("//!")).collect();
    let files = sources.keys().filter_map(|file| file.strip_suffix(".rs")).filter(|file| !file.contains('/'));
    let missing = files.filter(|file| !["lib", "main"].contains(file) && !map.contains(&format!("`{file}`")));
    missing.map(|file| format!("the map in lib.rs does not name `{file}`")).collect()
}

/// All faults of the router's sources.
fn faults_of_the_router(sources: &Sources) -> Vec<String> {
    let imports = Imports::of("drift_router", sources);
    let found =
        [circles(&imports), directions(&imports, sources), crates(&imports), lengths(sources), map(sources)].concat();
    [imports.faults, found].concat()
}

/// All faults of the simulator's sources. Its files have no rooms.
fn faults_of_the_simulator(sources: &Sources) -> Vec<String> {
    let imports = Imports::of("simulator", sources);
    let found = [circles(&imports), lengths(sources), map(sources)].concat();
    [imports.faults, found].concat()
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_router_has_the_structure_that_is_documented() {
    assert_none(&faults_of_the_router(&sources_in("src")));
}

#[test]
fn the_simulator_has_the_structure_that_is_documented() {
    assert_none(&faults_of_the_simulator(&sources_in("simulator/src")));
}

mod can_it_fail {
    use super::*;

    /// A small router without a fault, with these files replaced or added.
    fn router_with(changed: &[(&str, &str)]) -> Sources {
        let files = [
            ("main.rs", "use drift_router::{Config, Router};"),
            (
                "lib.rs",
                "//! `handler` `flow` `policy` `aws` `config` `event` `model`\n\
                 mod aws; mod config; mod event; mod flow; mod handler; mod model; mod policy; pub use crate::handler::Router;",
            ),
            ("handler.rs", "use crate::{event::{self, Event}, flow}; fn f() { flow::retrain::start(event::parse()) }"),
            ("flow.rs", "mod retrain; pub(crate) use self::retrain::start;"),
            ("flow/retrain.rs", "use crate::aws::{self, Guard}; use crate::policy::plan::Plan;"),
            ("policy.rs", "pub(crate) mod plan; pub(crate) mod verdict;"),
            ("policy/plan.rs", "use super::verdict::Verdict; use crate::model as words; use humantime::parse_rfc3339;"),
            ("policy/verdict.rs", "use std::fmt; fn f(x: impl Fn() + use<>) -> u8 { fmt::x(); u8::MAX }"),
            ("aws.rs", "mod guard; mod stage; pub(crate) use guard::Guard;"),
            ("aws/guard.rs", "use super::stage::Stage; #[tokio::test] fn f() { aws_sdk_eventbridge::x() }"),
            (
                "aws/stage.rs",
                "use crate::policy;\n// crate::aws::Guard\nconst C: (&str, &str, char) = (\"super::guard\", r#\"a\" use super::guard\"#, '\"');",
            ),
            ("config.rs", "use crate::model::Mode; /* crate::aws::Guard */ fn f<'a>(x: &'a str) {}"),
            ("event.rs", "use crate::model::Time;\n#[cfg(test)]\nmod tests {\n    use crate::policy::plan::Plan;\n}"),
            ("model.rs", "use std::time::Duration;"),
        ];
        let all = files.iter().chain(changed);
        all.map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
    }

    /// Asserts that the change gives exactly these faults.
    #[track_caller]
    fn assert_faults(changed: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(faults_of_the_router(&router_with(changed)), expected);
    }

    #[test]
    fn a_router_without_a_fault_passes() {
        assert_faults(&[], &[]);
    }

    #[test]
    fn circles_are_found() {
        let circle = ["a circle: aws/guard.rs → aws/stage.rs → aws/guard.rs"];
        assert_faults(&[("aws/stage.rs", "use super::guard::Guard;")], &circle);
        assert_faults(&[("aws/stage.rs", "use super::{super::aws::guard as g, super::model};")], &circle);
        assert_faults(&[("aws/stage.rs", "fn f() { crate::aws::guard::x() }")], &circle);
        let longer = ["a circle: aws.rs → aws/stage.rs → aws.rs", circle[0]];
        assert_faults(&[("aws/stage.rs", "use crate::aws; fn f() { aws::guard::x() }")], &longer);
        // A child imports from the file that declares it: by its name, by a name that is exported again, or all names.
        let circle = ["a circle: aws.rs → aws/guard.rs → aws.rs"];
        for import in ["use super::Aws;", "use crate::aws::Stage;", "use super::*;", "use crate::{aws, model};"] {
            assert_faults(&[("aws/guard.rs", import)], &circle);
        }
        // A name that lib.rs exports.
        let faults = faults_of_the_router(&router_with(&[("flow.rs", "mod retrain; use crate::Router;")]));
        assert!(faults.contains(&"a circle: flow.rs → lib.rs → flow.rs".to_owned()), "{faults:?}");
    }

    #[test]
    fn upward_imports_are_found() {
        for (file, import, expected) in [
            (
                "policy/verdict.rs",
                "use crate::event::Event;",
                "policy/verdict.rs must not import event.rs (crate::event::Event)",
            ),
            (
                "policy/verdict.rs",
                "fn f() { crate::config::x() }",
                "policy/verdict.rs must not import config.rs (crate::config::x)",
            ),
            ("aws/stage.rs", "use crate::event;", "aws/stage.rs must not import event.rs (crate::event)"),
            ("event.rs", "use super::policy::plan;", "event.rs must not import policy/plan.rs (super::policy::plan)"),
            (
                "main.rs",
                "use drift_router::model::Mode;",
                "main.rs must not import model.rs (drift_router::model::Mode)",
            ),
        ] {
            assert_faults(&[(file, import)], &[expected]);
        }
        let higher = [("model.rs", "use crate::policy::plan::Plan;")];
        let faults = faults_of_the_router(&router_with(&higher));
        assert!(faults.contains(&"model.rs must not import policy/plan.rs (crate::policy::plan::Plan)".to_owned()));
    }

    #[test]
    fn crates_of_aws_the_runtime_and_the_log_are_found() {
        let found = |file: &str, code: &str, name: &str| {
            assert_faults(&[(file, code)], &[&format!("{file} must not use the crate {name}")]);
        };
        found("policy/verdict.rs", "use aws_sdk_sagemaker::Client;", "aws_sdk_sagemaker");
        found("policy/verdict.rs", "async fn f() { tokio::time::sleep(x).await }", "tokio");
        found("policy/verdict.rs", "fn f() { tracing::info!(\"x\") }", "tracing");
        found("policy/verdict.rs", "use tokio::time; fn f() { time::sleep() }", "tokio");
        found("model.rs", "#[derive(serde::Serialize)] struct S;", "serde");
    }

    #[test]
    fn long_files_and_files_outside_of_the_map_are_found() {
        let tests = format!("\n#[cfg(test)]\nmod tests {{{}}}\n", "\n".repeat(1000));
        let long = "\n".repeat(MOST_LINES);
        assert_faults(&[("model.rs", &format!("{long}{tests}"))], &[]);
        assert_faults(
            &[("model.rs", &format!("{long}\n{tests}"))],
            &["model.rs has 501 lines, without its unit tests"],
        );
        let lib = "//! `handler` `flow` `policy` `aws` `config` `event`\n\
                   mod aws; mod config; mod event; mod flow; mod handler; mod model; mod policy;";
        assert_faults(&[("lib.rs", lib)], &["the map in lib.rs does not name `model`"]);
    }

    #[test]
    fn what_the_reader_does_not_understand_is_a_fault() {
        for (code, expected) in [
            ("mod inner {}", "model.rs: the module inner has no file of its own"),
            ("fn f() {}\n    #[cfg(test)]\n    fn g() {}", "model.rs: `cfg(test)` before the unit tests"),
            (
                "\n#[cfg(test)]\nmod tests {\n}\nfn f() {\n}",
                "model.rs: something other than unit tests stands behind them",
            ),
            ("#[path = \"x.rs\"]\nmod x;", "model.rs: a module has another path than its own"),
            ("include!(\"x.rs\");", "model.rs: code is included from elsewhere"),
            ("extern crate std as s;", "model.rs: `extern crate` may rename a crate"),
        ] {
            assert_faults(&[("model.rs", code)], &[expected]);
        }
        assert_faults(&[("model/forgotten.rs", "")], &["model.rs does not declare model/forgotten.rs"]);
        let faults = faults_of_the_router(&router_with(&[("page.rs", "")]));
        assert!(faults.contains(&"page.rs has no place in MAY_IMPORT".to_owned()), "{faults:?}");
    }
}
