//! The layers of `src/`: dependencies point downwards only.
//!
//! The sources are parsed as tokens, so that comments and strings are ignored but the arguments of
//! macros are not. Paths are resolved by their text: `super` and `self` by the location of the file
//! and its inline modules; `use` trees are expanded.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The layers, lowest first. A file may refer to its own layer and to lower ones.
const LAYERS: [&str; 12] = [
    "config",
    "telemetry",
    "redaction",
    "inventory",
    "proxmox",
    "ansible",
    "live_status",
    "runs",
    "operations",
    "http",
    "generate",
    "cli",
];

/// Libraries that only some layers may use.
const RESTRICTED: [(&[&str], &[&str]); 4] = [
    (&["axum"], &["http"]),
    (&["hyper", "server"], &["http"]),
    (&["hyper_util"], &["http"]),
    (&["utoipa"], &["http", "operations", "generate"]),
];

/// The maximum number of lines of a source file.
const MAX_LINES: usize = 600;

/// An absolute path in a source file: `["crate", "http", "App"]`, `["axum", "Router"]`.
#[derive(Debug, PartialEq)]
struct Reference {
    line: usize,
    path: Vec<String>,
}

/// The paths of a source that start at the crate, at one of its modules, or at a restricted
/// library. `module` is the source's own path, such as `["crate", "runs", "store"]`.
fn references(source: &str, module: &[&str]) -> Vec<Reference> {
    let tokens: TokenStream = source.parse().expect("the source has valid tokens");
    let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
    let mut found = Vec::new();
    visit(tokens, &module, &mut found);
    found
}

fn visit(tokens: TokenStream, module: &[String], found: &mut Vec<Reference>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at..] {
            [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..]
                if word == "mod" && body.delimiter() == Delimiter::Brace =>
            {
                let inner = [module, &[name.to_string()]].concat();
                visit(body.stream(), &inner, found);
                at += 3;
                continue;
            }
            [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
                if hash.as_char() == '#' && attribute.delimiter() == Delimiter::Bracket =>
            {
                visit_attribute(attribute.stream(), module, found);
                at += 2;
                continue;
            }
            [TokenTree::Group(group), ..] => visit(group.stream(), module, found),
            [TokenTree::Ident(word), rest @ ..] => {
                if let Some(start) = start_of_path(&word.to_string(), rest, module) {
                    let line = word.span().start().line;
                    at += 1 + follow(rest, start, line, found);
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Visits an attribute, including paths in strings, which serde accepts. Documentation is skipped.
fn visit_attribute(tokens: TokenStream, module: &[String], found: &mut Vec<Reference>) {
    let first = tokens.clone().into_iter().next();
    if !matches!(first, Some(TokenTree::Ident(name)) if name == "doc") {
        visit_strings(tokens.clone(), module, found);
        visit(tokens, module, found);
    }
}

fn visit_strings(tokens: TokenStream, module: &[String], found: &mut Vec<Reference>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => visit_strings(group.stream(), module, found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let Ok(path) = text.trim_matches('"').parse() else { continue };
                let mut named = Vec::new();
                if !text.contains(' ') {
                    visit(path, module, &mut named);
                }
                let line = literal.span().start().line;
                found.extend(named.into_iter().map(|reference| Reference { line, ..reference }));
            }
            _ => {}
        }
    }
}

/// The absolute start of a path that begins with `word`, if it leads to a layer or a restricted
/// library.
fn start_of_path(word: &str, rest: &[TokenTree], module: &[String]) -> Option<Vec<String>> {
    if RESTRICTED.iter().any(|(library, _)| library[0] == word) {
        return Some(vec![word.to_owned()]);
    }
    let renamed = matches!(rest, [TokenTree::Ident(word), ..] if word == "as");
    if !renamed && !is_separator(rest) {
        return None;
    }
    match word {
        "crate" => Some(module[..1].to_vec()),
        "self" => Some(module.to_vec()),
        "super" => Some(parent(module)),
        _ => None,
    }
}

fn parent(module: &[String]) -> Vec<String> {
    module[..module.len().saturating_sub(1).max(1)].to_vec()
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && second.as_char() == ':')
}

/// Follows a path from `start` through the next segments and records it: as one path, or one for
/// each leaf of a `use` tree. Returns the number of its tokens.
fn follow(
    tokens: &[TokenTree],
    start: Vec<String>,
    line: usize,
    found: &mut Vec<Reference>,
) -> usize {
    let mut path = start;
    let mut at = 0;
    while is_separator(&tokens[at..]) {
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(segment)) => enter(&mut path, &segment.to_string()),
            Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                follow_tree(tree.stream(), &path, found);
                return at + 3;
            }
            // `*`, or the generic arguments of a type, which may contain other paths.
            _ => {
                at += 2;
                break;
            }
        }
        at += 3;
    }
    found.push(Reference { line, path });
    at
}

/// Follows each item of `{…}` in a `use` tree below `base`.
fn follow_tree(tokens: TokenStream, base: &[String], found: &mut Vec<Reference>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    for item in tokens.split(is_comma) {
        let mut path = base.to_vec();
        match item {
            [] => {}
            [TokenTree::Ident(segment), rest @ ..] => {
                enter(&mut path, &segment.to_string());
                follow(rest, path, segment.span().start().line, found);
            }
            [TokenTree::Group(tree), ..] => follow_tree(tree.stream(), base, found),
            [other, ..] => found.push(Reference { line: other.span().start().line, path }),
        }
    }
}

fn enter(path: &mut Vec<String>, segment: &str) {
    match segment {
        "self" => {}
        "super" => *path = parent(path),
        name => path.push(name.to_owned()),
    }
}

/// The reason why a file of `layer` may not contain this reference. `None` if it may.
fn violation(layer: &str, reference: &Reference) -> Option<String> {
    let path = &reference.path;
    let shown = path.join("::");
    if path[0] != "crate" {
        // `use hyper as h` or `use hyper::*` would reach `hyper::server` too.
        let (library, layers) = RESTRICTED
            .iter()
            .find(|(library, _)| library.iter().zip(path).all(|(ours, theirs)| ours == theirs))?;
        let allowed = layers.contains(&layer);
        return (!allowed).then(|| {
            format!("{shown}: only {} may name {}", layers.join(", "), library.join("::"))
        });
    }
    let height = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let own = height(layer).expect("the layer is one of LAYERS");
    let Some(named) = path.get(1) else {
        return Some("the root of the crate, through which every layer can be named".to_owned());
    };
    match height(named) {
        Some(height) if height <= own => None,
        Some(_) => Some(format!("{shown}: {named} is above {layer}")),
        None => Some(format!("{shown}: {named} is not a layer")),
    }
}

/// The Rust files below a folder, relative to it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The module path of a file, from its location in `src/`: `["crate", "runs", "store"]`.
fn module_of(file: &Path) -> Vec<&str> {
    let names = file.iter().map(|name| name.to_str().unwrap().trim_end_matches(".rs"));
    let mut module: Vec<&str> = std::iter::once("crate").chain(names).collect();
    if module.last() == Some(&"mod") {
        module.pop();
    }
    module
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn each_layer_depends_only_on_the_layers_below() {
    let mut violations = Vec::new();
    let mut layers = Vec::new();
    let mut count = 0;
    for file in sources(&src()) {
        let relative = file.strip_prefix(src()).unwrap();
        // The root declares the layers, and the binary is above all of them.
        if [Path::new("lib.rs"), Path::new("main.rs")].contains(&relative) {
            continue;
        }
        let module = module_of(relative);
        assert!(LAYERS.contains(&module[1]), "{} is in no layer", relative.display());
        layers.push(module[1].to_owned());
        for reference in references(&fs::read_to_string(&file).unwrap(), &module) {
            count += 1;
            if let Some(reason) = violation(module[1], &reference) {
                violations.push(format!("src/{}:{}: {reason}", relative.display(), reference.line));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    layers.dedup();
    layers.sort_by_key(|name| LAYERS.iter().position(|layer| layer == name));
    assert_eq!(layers, LAYERS, "each layer has sources");
    assert!(count > 100, "only {count} paths were found");
}

#[test]
fn no_source_file_is_too_long() {
    for file in sources(&src()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
    }
}

/// The paths found in a source of the module `runs::worker`.
fn found(source: &str) -> Vec<String> {
    let references = references(source, &["crate", "runs", "worker"]);
    references.iter().map(|reference| reference.path.join("::")).collect()
}

#[test]
fn paths_are_found_in_expressions_types_and_patterns() {
    assert_eq!(found("fn f() { let x = 1 + crate::http::limit(2); }"), ["crate::http::limit"]);
    assert_eq!(
        found("fn f(x: Vec<super::Run>) -> Option<crate::config::Limits> {}"),
        ["crate::runs::Run", "crate::config::Limits"]
    );
    assert_eq!(
        found("impl crate::a::T for X { const C: u8 = if let crate::b::P { y: self::z } = v {}; }"),
        ["crate::a::T", "crate::b::P", "crate::runs::worker::z"]
    );
    assert_eq!(found("crate::a::X::<crate::b::Y>::new()"), ["crate::a::X", "crate::b::Y"]);
}

#[test]
fn use_trees_are_expanded() {
    assert_eq!(
        found("use crate::{config::{self, Limits}, http::{App, body::*}, cli as c};"),
        [
            "crate::config",
            "crate::config::Limits",
            "crate::http::App",
            "crate::http::body",
            "crate::cli",
        ]
    );
    assert_eq!(
        found("use {super::{log::Log, State}, crate::{{http::App}}};"),
        ["crate::runs::log::Log", "crate::runs::State", "crate::http::App"]
    );
    assert_eq!(
        found("pub use crate::http::App; pub(crate) use super::*;"),
        ["crate::http::App", "crate::runs"]
    );
}

#[test]
fn super_is_resolved_by_file_and_inline_modules() {
    assert_eq!(found("use super::super::http::App;"), ["crate::http::App"]);
    assert_eq!(found("use self::super::super::http;"), ["crate::http"]);
    assert_eq!(
        found(
            "mod tests { use super::*; mod deep { use super::super::super::State; } } use super::State;"
        ),
        ["crate::runs::worker", "crate::runs::State", "crate::runs::State"]
    );
    assert_eq!(module_of(Path::new("runs/store/mod.rs")), ["crate", "runs", "store"]);
    assert_eq!(module_of(Path::new("runs/store/sqlite.rs")), ["crate", "runs", "store", "sqlite"]);
}

#[test]
fn macros_count_and_comments_and_strings_do_not() {
    assert_eq!(
        found("info!(x = %crate::http::App::name(), \"crate::cli\");"),
        ["crate::http::App::name"]
    );
    assert_eq!(found("macro_rules! m { () => { $crate::http::f() }; }"), ["crate::http::f"]);
    assert_eq!(found("#[serde(with = \"super::text\")] struct S;"), ["crate::runs::text"]);
    assert_eq!(found("#[allow(dead_code, reason = \"crate::cli needs axum\")] struct S;"), [""; 0]);
    let nothing = "//! [`crate::cli`]\n/// See crate::cli.\n/* super::super::cli */ pub(crate) fn f(\
        &self) { \"crate::cli\"; r#\"crate::cli\"#; std::fs::read; }";
    assert_eq!(found(nothing), [""; 0]);
}

#[test]
fn lines_are_those_of_the_source() {
    let references =
        references("use std::fs;\nuse crate::{\n    config,\n    http,\n};\n", &["crate", "runs"]);
    assert_eq!(references.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn only_lower_layers_and_allowed_libraries_pass() {
    let passes = |layer: &str, source: &str| {
        let references = references(source, &["crate", layer]);
        assert!(!references.is_empty(), "{source}");
        references.iter().all(|reference| violation(layer, reference).is_none())
    };
    assert!(passes("runs", "use crate::{config, ansible::copy, runs::State};"));
    assert!(!passes("runs", "use crate::{config, http::App};"));
    assert!(!passes("runs", "pub use crate::operations::Method;"));
    assert!(!passes("config", "use super::telemetry;"));
    assert!(passes("http", "use axum::Router; use hyper::server::conn;"));
    assert!(!passes("runs", "fn f() { ::axum::serve() }"));
    assert!(passes("proxmox", "hyper::ext::ReasonPhrase"));
    assert!(!passes("proxmox", "use hyper::{ext, server::conn};"));
    assert!(!passes("cli", "use hyper as library;"));
    assert!(!passes("live_status", "#[derive(utoipa::ToSchema)] struct Guest;"));
    // An alias of the root would hide the layer that a path refers to.
    assert!(!passes("cli", "use crate as root;"));
    assert!(!passes("cli", "use super::*;"));
    assert!(!passes("cli", "use crate::{self as root};"));
    // The root re-exports nothing.
    assert!(!passes("cli", "crate::App"));
}
