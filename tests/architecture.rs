//! The structure of the sources in `src/` and `simulator/src/`, which `syn` reads:
//!
//! - No file imports another one in a circle, also not inside a folder.
//! - Imports between the rooms of the router have the directions of [`ROOMS`], and use only the crates there.
//! - Every file is declared by the file above it: `aws/guard.rs` by `aws.rs`.
//! - No file is longer than [`MOST_LINES`], without its unit tests.
//! - The map in `lib.rs` names every file beside it.
//!
//! An import is a path in a `use`, in code, in a macro or in an attribute. A path leads to the file that its longest beginning
//! names: `crate::aws::guard::Guard` to `aws/guard.rs`, and `crate::aws::Guard`, which `aws.rs` exports again, to `aws.rs`.
//! `mod guard;` is no import. So `aws.rs` may hold what the files in `aws/` share, if it imports nothing from those that use it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, mem};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, ItemMod, UseTree};

/// The text of each file of a crate, by its path below `src/`.
type Sources = BTreeMap<String, String>;

/// Each file with each file or crate that it imports, and one of the paths that lead there.
type Imports = BTreeMap<(String, String), String>;

/// The words of a path: `["crate", "aws", "Guard"]`.
type Words = Vec<String>;

/// For each room, the other rooms and the crates that it may import. A room is a file of `src/` with the folder of its name.
const ROOMS: [(&str, &[&str], &[&str]); 12] = [
    ("main", &["lib"], ANY),
    ("lib", &["aws", "config", "handler", "outcome"], ANY),
    ("handler", &["aws", "config", "event", "flow", "metrics", "model", "outcome", "page", "policy"], ANY),
    ("flow", &["aws", "config", "model", "outcome", "policy"], ANY),
    ("aws", &["config", "model", "policy"], ANY),
    ("config", &["model", "policy"], ANY),
    ("event", &["model"], ANY),
    ("metrics", &["model", "outcome"], ANY),
    ("outcome", &["model", "policy"], ANY),
    ("page", &["config", "event", "model", "outcome", "policy"], ANY),
    ("policy", &["model"], &["humantime", "sha2", "std"]),
    ("model", &[], &["std"]),
];

/// Any crate.
const ANY: &[&str] = &["any"];

/// First words of paths that are types and tools of the language, and no crates.
const NO_CRATES: [&str; 18] = [
    "bool", "char", "clippy", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32",
    "u64", "u128", "usize",
];

/// The most lines of a file, without its unit tests.
const MOST_LINES: usize = 500;

/// What one file names, outside of its unit tests.
#[derive(Default)]
struct Names {
    modules: Vec<String>,
    paths: Vec<Words>,
    /// The path of each name that a `use` gives.
    given: BTreeMap<String, Words>,
    /// The beginning of the path in a `use`, while that is read.
    beginning: Words,
}

impl Names {
    /// Keeps a path, unless it is a single word. That is a name of the file itself, or one that a `use` gives.
    fn keep(&mut self, path: Words) {
        self.paths.extend((path.len() > 1).then_some(path));
    }
}

impl Visit<'_> for Names {
    /// Leaves out what is there for unit tests only.
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs[..],
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        let says_test = |it: &Attribute| it.parse_args::<Ident>().is_ok_and(|word| word == "test");
        if !attributes.iter().any(|it| it.path().is_ident("cfg") && says_test(it)) {
            visit::visit_item(self, item);
        }
    }

    /// Keeps a declared module. Its text is in a file of its own.
    fn visit_item_mod(&mut self, module: &ItemMod) {
        self.modules.push(module.ident.to_string());
    }

    /// Keeps each path of a `use`, and the name that it gives.
    fn visit_use_tree(&mut self, tree: &UseTree) {
        let (last, name) = match tree {
            UseTree::Path(part) => {
                self.beginning.push(part.ident.to_string());
                self.visit_use_tree(&part.tree);
                self.beginning.pop();
                return;
            }
            UseTree::Group(_) => return visit::visit_use_tree(self, tree),
            UseTree::Glob(_) => return self.paths.push(self.beginning.clone()),
            UseTree::Name(end) => (&end.ident, &end.ident),
            UseTree::Rename(end) => (&end.ident, &end.rename),
        };
        let path = [&self.beginning[..], &[last.to_string()]].concat();
        let name = if name == "self" { self.beginning.last().unwrap().clone() } else { name.to_string() };
        self.given.insert(name, path.clone());
        self.paths.push(path);
    }

    /// Keeps a path of code.
    fn visit_path(&mut self, path: &syn::Path) {
        self.keep(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// Finds the paths in what a macro or an attribute gets: names with `::` between them.
    fn visit_token_stream(&mut self, tokens: &TokenStream) {
        let (mut path, mut colons) = (Words::new(), 0);
        for token in tokens.clone() {
            let is_colon = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == ':');
            let continues = is_colon || (colons == 2 && matches!(token, TokenTree::Ident(_)));
            if !continues {
                self.keep(mem::take(&mut path));
            }
            colons = if is_colon { colons + 1 } else { 0 };
            match token {
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Group(group) => self.visit_token_stream(&group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        self.keep(path);
    }
}

/// The file of a module: `aws/guard.rs` of `aws::guard`.
fn file_of(module: &[String]) -> String {
    if module.is_empty() { "lib.rs".to_owned() } else { format!("{}.rs", module.join("/")) }
}

/// The file or the crate to which a path in `module` leads. A name of the language leads to neither.
fn target(sources: &Sources, module: &[String], path: &[String]) -> Option<String> {
    let first = path[0].as_str();
    let is_child = sources.contains_key(&file_of(&[module, &path[..1]].concat()));
    if !is_child && !["crate", "self", "super"].contains(&first) {
        // A name with a capital letter is a type, which this file has or imports.
        let is_crate = !first.starts_with(char::is_uppercase) && !NO_CRATES.contains(&first);
        return is_crate.then(|| first.to_owned());
    }
    let mut target = if first == "crate" { Words::new() } else { module.to_vec() };
    for word in path {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => _ = target.pop(),
            _ => target.push(word.clone()),
        }
    }
    while !sources.contains_key(&file_of(&target)) {
        target.pop();
    }
    Some(file_of(&target))
}

/// Reads the files of the crate `name`: what they import, and the faults of their declarations.
fn read(name: &str, sources: &Sources) -> (Imports, Vec<String>) {
    let (mut imports, mut declared) = (Imports::new(), BTreeSet::from(["lib.rs".to_owned(), "main.rs".to_owned()]));
    for (file, text) in sources {
        let mut names = Names::default();
        names.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")));
        let words = file.trim_end_matches(".rs").split('/').filter(|word| !["lib", "main"].contains(word));
        let module: Words = words.map(str::to_owned).collect();
        // The program calls the library by its name.
        names.given.extend((file == "main.rs").then(|| (name.to_owned(), vec!["crate".to_owned()])));
        for mut path in names.paths {
            // A name that a `use` gives stands for the path there, which may begin with such a name too.
            for _ in 0..2 {
                path = names.given.get(&path[0]).map_or(path.clone(), |start| [start, &path[1..]].concat());
            }
            if let Some(target) = target(sources, &module, &path).filter(|target| target != file) {
                imports.insert((file.clone(), target), path.join("::"));
            }
        }
        declared.extend(names.modules.into_iter().map(|child| file_of(&[&module[..], &[child]].concat())));
    }
    let files: BTreeSet<String> = sources.keys().cloned().collect();
    let undeclared = files.difference(&declared).map(|file| format!("the file above {file} does not declare it"));
    let without_file = declared.difference(&files).map(|file| format!("a module has no file of its own: {file}"));
    (imports, undeclared.chain(without_file).collect())
}

/// Follows the imports of the last file of `way` to the first circle. `done` are the files that were followed before.
fn circle<'a>(imports: &'a Imports, way: &[&'a str], done: &mut BTreeSet<&'a str>) -> Option<String> {
    let (last, before) = way.split_last().unwrap();
    if let Some(start) = before.iter().position(|file| file == last) {
        return Some(format!("a circle: {}", way[start..].join(" → ")));
    }
    let mut next = imports.keys().filter(|(from, _)| from == last);
    if done.insert(last) { next.find_map(|(_, to)| circle(imports, &[way, &[to]].concat(), done)) } else { None }
}

/// Imports that no entry of `ROOMS` allows.
fn directions(imports: &Imports) -> Vec<String> {
    let room = |file: &str| file.split(['/', '.']).next().unwrap().to_owned();
    let is_allowed = |from: &str, to: &str| {
        let entry = ROOMS.iter().find(|(name, ..)| *name == room(from));
        entry.is_some_and(|(name, rooms, crates)| {
            let allowed = if to.ends_with(".rs") { [*rooms, &[name]].concat() } else { crates.to_vec() };
            allowed == ANY || allowed.contains(&room(to).as_str())
        })
    };
    let wrong = imports.iter().filter(|((from, to), _)| !is_allowed(from, to));
    wrong.map(|((from, to), path)| format!("{from} must not import {to} ({path})")).collect()
}

/// Files that are too long, and files beside `lib.rs` that its map does not name.
fn sizes_and_map(sources: &Sources) -> Vec<String> {
    let code = |text: &str| text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let long = sources.iter().map(|(file, text)| (file, code(text))).filter(|(_, lines)| *lines > MOST_LINES);
    let long = long.map(|(file, lines)| format!("{file} has {lines} lines, without its unit tests"));
    let map: String = sources["lib.rs"].lines().filter(|line| line.starts_with("//!")).collect();
    let names = sources.keys().map(|file| file.trim_end_matches(".rs")).filter(|name| !name.contains('/'));
    let unnamed = names.filter(|name| !["lib", "main"].contains(name) && !map.contains(&format!("`{name}`")));
    long.chain(unnamed.map(|name| format!("the map in lib.rs does not name `{name}`"))).collect()
}

/// All faults of the crate `name`. The simulator's files have no rooms.
fn faults(name: &str, sources: &Sources) -> Vec<String> {
    let (imports, declarations) = read(name, sources);
    let mut done = BTreeSet::new();
    let circle = sources.keys().find_map(|file| circle(&imports, &[file], &mut done));
    let directions = if name == "simulator" { vec![] } else { directions(&imports) };
    [circle.into_iter().collect(), directions, sizes_and_map(sources), declarations].concat()
}

/// Reads the files in `directory` and in the folders in it.
fn sources_in(directory: &Path) -> Sources {
    let mut sources = Sources::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            sources.extend(sources_in(&path).into_iter().map(|(file, text)| (format!("{name}/{file}"), text)));
        } else if name.ends_with(".rs") {
            sources.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    sources
}

#[test]
fn the_sources_have_the_structure_that_is_documented() {
    for (name, directory) in [("drift_router", "src"), ("simulator", "simulator/src")] {
        let faults = faults(name, &sources_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)));
        assert!(faults.is_empty(), "in {directory}:\n{}", faults.join("\n"));
    }
}

mod can_it_fail {
    use super::*;

    /// A small router without a fault.
    const ROUTER: [(&str, &str); 10] = [
        ("main.rs", "use drift_router::Router;"),
        (
            "lib.rs",
            "//! `handler` `policy` `aws` `config` `model`\nmod aws; mod config; mod handler; mod model; mod policy;",
        ),
        ("handler.rs", "use crate::{aws::{self, Guard}, policy}; fn f() { policy::plan::plan() }"),
        ("policy.rs", "mod plan; fn age() {}"),
        ("policy/plan.rs", "use super::age; use crate::model as m; use sha2::Digest; fn f() { u8::MAX + m::X }"),
        ("aws.rs", "mod guard; mod stage; pub(crate) use self::guard::Guard;"),
        ("aws/guard.rs", "use super::stage::Stage; use crate::policy::plan;"),
        ("aws/stage.rs", "// super::guard\n#[cfg(test)] mod tests { use crate::aws::guard; }"),
        ("config.rs", "#[cfg(test)] use crate::handler; #[cfg(test)] fn f() { crate::handler::f() }"),
        ("model.rs", "use std::time; fn f() { time::x() }"),
    ];

    #[test]
    fn every_rule_finds_every_form() {
        const BESIDE: &str = "a circle: aws/guard.rs → aws/stage.rs → aws/guard.rs";
        const ABOVE: &str = "a circle: aws.rs → aws/guard.rs → aws/stage.rs → aws.rs";
        const BELOW: &str = "a circle: policy/plan.rs → policy.rs → policy/plan.rs";
        const TWO: &str = "main.rs must not import policy.rs (crate::policy)\n\
                           main.rs must not import policy/plan.rs (crate::policy::plan::x)";
        let empty = "\n".repeat(MOST_LINES);
        let (most, too_many) = (format!("{empty}#[cfg(test)]\nmod tests {{}}"), format!("{empty}struct S;"));
        for (file, text, fault) in [
            ("model.rs", "", ""),
            ("aws/stage.rs", "use super::guard::*;", BESIDE),
            ("aws/stage.rs", "use super::super::{aws::{guard::{self}}, model};", BESIDE),
            ("aws/stage.rs", "use crate::aws::guard as g;", BESIDE),
            ("aws/stage.rs", "fn f() { use crate::model; super::guard::f::<u8>() }", BESIDE),
            ("aws/stage.rs", "fn f(x: self::super::guard::X) {}", BESIDE),
            ("aws/stage.rs", "fn f() { format!(\"{}\", [crate::aws::guard::X]) }", BESIDE),
            ("aws/stage.rs", "#[derive(super::guard::X)] struct S;", BESIDE),
            ("aws/stage.rs", "use crate::{model as m, aws::Guard};", ABOVE),
            ("aws/stage.rs", "use super::*;", ABOVE),
            ("policy.rs", "mod plan; use self::plan::Plan;", BELOW),
            ("policy.rs", "mod plan; pub use plan::Plan;", BELOW),
            ("policy.rs", "mod plan; fn f() { plan::x() }", BELOW),
            ("policy.rs", "mod plan; use crate::policy as p; fn f() { p::plan::x() }", BELOW),
            ("main.rs", "use drift_router::policy as p; fn f() { p::plan::x() }", TWO),
            ("model.rs", "use crate::config::X;", "model.rs must not import config.rs (crate::config::X)"),
            ("model.rs", "use aws_types as a; fn f() { a::x() }", "model.rs must not import aws_types (aws_types::x)"),
            ("model.rs", "fn f() { tracing::info!() }", "model.rs must not import tracing (tracing::info)"),
            ("model.rs", "#[derive(serde::De)] struct S;", "model.rs must not import serde (serde::De)"),
            ("model/time.rs", "", "the file above model/time.rs does not declare it"),
            ("model.rs", "mod time {}", "a module has no file of its own: model/time.rs"),
            ("model.rs", &most, ""),
            ("model.rs", &too_many, "model.rs has 501 lines, without its unit tests"),
            ("lib.rs", &ROUTER[1].1.replace("`model`", ""), "the map in lib.rs does not name `model`"),
        ] {
            let files = ROUTER.into_iter().chain([(file, text)]);
            let sources = files.map(|(file, text)| (file.to_owned(), text.to_owned())).collect();
            assert_eq!(faults("drift_router", &sources).join("\n"), fault, "{file}: {text}");
        }
    }
}
