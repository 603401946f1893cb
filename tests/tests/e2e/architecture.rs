//! Which module may use which, read from the sources: the arrows of the architecture point one way.
//!
//! A source is first broken into tokens, so that comments and texts can't be mistaken for code. Then every path that begins with `crate`,
//! `common`, `self` or `super`, be it in a `use` or in an expression, is resolved to the module that it leads to.
//!
//! Tests inside a module are left out: they may build on anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `common` may use beside itself. To make a test pass, change the code and not this table; whoever does change it
/// says why in ARCHITECTURE.md. `wire/sha256` is part of `wire`, with one right more.
const COMMON: &str = "
    limits:
    threads:
    wire:          limits
    wire/sha256:   limits sys::sha256_x86
    tree:          limits wire
    sync:          limits wire tree
    protocol:      limits wire tree sync
    sys:           limits
    disk:          limits wire tree sync sys threads
    net:           limits wire sys threads
    cli:           limits wire sys
    engine:        limits wire tree sync protocol sys disk net threads
    client:        limits wire tree sync protocol sys disk net threads cli engine
";

/// What no part of the programs may use, whatever else it does.
const NEVER: &str = "
    server:        common::engine
    server/hub:    crate::store
    server/store:  common::net
    client_a:      common::disk common::sys
    client_b:      common::disk common::sys
";

/// Lines of one file, without its tests. Longer ones want to be two.
const FILE_LINES: usize = 800;

/// Modules that have the sources of a crate.
const CRATES: [&str; 4] = ["common", "server", "client_a", "client_b"];

// ---- Sources ----------------------------------------------------------------------------------------------------------------------------

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files beneath a directory with one of these extensions, without what building leaves behind.
fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", ".filesync", "box", "run"].contains(&name.as_str()) {
            found.extend(files(&path, extensions));
        } else if path.is_file() && extensions.iter().any(|extension| name.ends_with(extension)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// One source file of a crate.
struct Source {
    /// Relative to the repository.
    path: String,
    /// Crate and modules, as in `common/wire/http/head`; a crate's root is the crate alone.
    module: String,
    text: String,
    tokens: Vec<Token>,
}

/// The sources of all crates, but for files that are tests as a whole.
fn sources() -> Vec<Source> {
    let (sources, _) = sources_and_tests();
    sources
}

/// The sources of all crates, and files among them that are tests as a whole.
fn sources_and_tests() -> (Vec<Source>, Vec<Source>) {
    let root = repository();
    let mut sources = Vec::new();
    for name in CRATES {
        let directory = root.join(name).join("src");
        for path in files(&directory, &[".rs"]) {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(&directory).unwrap().with_extension("");
            let inside = inside.to_string_lossy();
            let inside = inside.strip_suffix("/mod").unwrap_or(&inside);
            let module =
                if ["lib", "main"].contains(&inside) { name.to_owned() } else { format!("{name}/{inside}") };
            let tokens = tokens(&text);
            let path = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            sources.push(Source { path, module, text, tokens });
        }
    }
    let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    sources.into_iter().partition(|source| !tests.iter().any(|test| is_within(&source.module, test)))
}

fn is_within(module: &str, ancestor: &str) -> bool {
    module.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
}

/// The modules that a source declares as tests kept in a file of their own: `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.in_tests
            && token.text == "mod"
            && source.tokens.get(at + 2).is_some_and(|next| next.text == ";")
        {
            modules.push(format!("{}/{}", source.module, source.tokens[at + 1].text));
        }
    }
    modules
}

// ---- Tokens -----------------------------------------------------------------------------------------------------------------------------

/// A word, a mark (`::` counts as one), or `"` for any text or character.
#[derive(Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
    /// Part of an item marked `#[cfg(test)]`.
    in_tests: bool,
    /// How many `mod name { ... }` it stands in.
    inline_modules: usize,
}

fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (piece, behind) = rest.split_at(token_length(rest, first));
        let is_comment = piece.starts_with("//") || piece.starts_with("/*");
        if !is_comment && !first.is_whitespace() {
            let is_text = piece.len() > 1 && piece.ends_with(['"', '\'', '#']);
            let text = if is_text { "\"" } else { piece };
            tokens.push(Token { text: text.to_owned(), line, in_tests: false, inline_modules: 0 });
        }
        line += piece.matches('\n').count();
        rest = behind;
    }
    mark_tests(&mut tokens);
    mark_inline_modules(&mut tokens);
    tokens
}

/// How many bytes the token, comment or run of blanks at the start of `rest` has.
fn token_length(rest: &str, first: char) -> usize {
    let end_of = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if first.is_whitespace() {
        end_of(char::is_whitespace)
    } else if let Some(length) = text_length(rest) {
        length
    } else if is_word(first) {
        end_of(is_word)
    } else if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    }
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let opens = rest[at..].starts_with("/*");
        let closes = rest[at..].starts_with("*/");
        match (opens, closes) {
            (true, _) => depth += 1,
            (_, true) => depth -= 1,
            _ => {}
        }
        at += if opens || closes { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string or character in any of its forms; `None` if there is none at the start of `rest`.
fn text_length(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""]
        .into_iter()
        .find(|prefix| rest.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with(['"', '\'', '#'])))?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.find(|c| c != '#')?;
        let quoted = body[hashes..].strip_prefix('"')?;
        let closing = format!("\"{}", "#".repeat(hashes));
        return Some(prefix.len() + hashes + 1 + quoted.find(&closing)? + closing.len());
    }
    let quote = body.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    // A quote that opens no character is a lifetime's: 'a, but not 'a' and not '\n'.
    if quote == '\'' && !body[1..].starts_with('\\') && body.chars().nth(2) != Some('\'') {
        return None;
    }
    let mut escaped = false;
    let mut bytes = body.bytes().enumerate().skip(1);
    let end = bytes.find(|&(_, byte)| {
        let ends = byte == quote as u8 && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    Some(prefix.len() + end?.0 + 1)
}

/// Marks every item behind `#[cfg(test)]`: up to its `;`, or to the end of its braces.
fn mark_tests(tokens: &mut [Token]) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_mark = |window: &[Token]| window.iter().map(|token| token.text.as_str()).eq(MARK);
    let starts: Vec<usize> = (0..tokens.len().saturating_sub(MARK.len()))
        .filter(|&at| is_mark(&tokens[at..at + MARK.len()]))
        .collect();
    for start in starts {
        let mut depth = 0;
        for token in &mut tokens[start..] {
            token.in_tests = true;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && [";", "}"].contains(&token.text.as_str()) {
                break;
            }
        }
    }
}

/// `super` means another module inside `mod name { ... }`.
fn mark_inline_modules(tokens: &mut [Token]) {
    let mut depth = 0;
    let mut modules: Vec<usize> = Vec::new();
    for at in 0..tokens.len() {
        match tokens[at].text.as_str() {
            "{" => {
                depth += 1;
                if 2 <= at && tokens[at - 2].text == "mod" {
                    modules.push(depth);
                }
            }
            "}" => {
                modules.pop_if(|module| *module == depth);
                depth -= 1;
            }
            _ => {}
        }
        tokens[at].inline_modules = modules.len();
    }
}

// ---- Uses -------------------------------------------------------------------------------------------------------------------------------

/// One place where a source names another module.
#[derive(Debug, PartialEq)]
struct Use {
    line: usize,
    /// From the crate on, as in `common::wire::json`.
    target: String,
}

/// Every module that `source` names outside of its tests.
fn uses(source: &Source) -> Vec<Use> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let starts_path = text(at + 1) == "::" && (at == 0 || text(at - 1) != "::");
        if token.in_tests || !starts_path {
            continue;
        }
        let home = source.module.replace('/', "::");
        let (base, next) = match token.text.as_str() {
            "crate" => (home.split("::").next().unwrap_or_default().to_owned(), at + 2),
            "common" => ("common".to_owned(), at + 2),
            "self" => (home, at + 2),
            "super" => {
                let supers = (0..).take_while(|step| text(at + 2 * step) == "super").count();
                let mut names: Vec<&str> = home.split("::").collect();
                names.truncate(names.len().saturating_sub(supers.saturating_sub(token.inline_modules)));
                (names.join("::"), at + 2 * supers)
            }
            _ => continue,
        };
        for path in paths(tokens, next) {
            found.push(Use { line: token.line, target: format!("{base}::{path}") });
        }
    }
    found
}

/// The one path, or the group of paths in braces, that goes on at a token.
fn paths(tokens: &[Token], start: usize) -> Vec<String> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if text(start) != "{" {
        let behind = if text(start + 1) == "::" { paths(tokens, start + 2) } else { Vec::new() };
        let name = text(start);
        return match behind.as_slice() {
            [] => vec![name.to_owned()],
            paths => paths.iter().map(|path| format!("{name}::{path}")).collect(),
        };
    }
    let (mut found, mut depth) = (Vec::new(), 0);
    for at in start.. {
        match text(at) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 1 && ["{", ","].contains(&text(at)) && text(at + 1) != "}" {
            found.extend(paths(tokens, at + 1));
        }
        if depth == 0 || text(at).is_empty() {
            break;
        }
    }
    found
}

/// The lines of a table, as name and words.
fn table(text: &str) -> BTreeMap<String, Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, words) = line.split_once(':').expect("a line is `name: words`");
            (name.to_owned(), words.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}

/// The most special line of a table that is about `module`.
fn rule<'t>(table: &'t BTreeMap<String, Vec<String>>, module: &str) -> Option<(&'t str, &'t [String])> {
    let lines = table.iter().filter(|(name, _)| is_within(module, name));
    lines.max_by_key(|(name, _)| name.len()).map(|(name, words)| (name.as_str(), words.as_slice()))
}

#[test]
fn the_arrows_in_common_point_one_way() {
    let table = table(COMMON);
    let mut broken = Vec::new();
    for source in sources() {
        let Some(module) = source.module.strip_prefix("common/") else { continue };
        let Some((_, allowed)) = rule(&table, module) else {
            broken.push(format!("{}: its module is not in the table", source.path));
            continue;
        };
        let layer = module.split('/').next().unwrap_or_default();
        for Use { line, target } in uses(&source) {
            let target = target.trim_start_matches("common::");
            let is_allowed =
                is_within(target, layer) || allowed.iter().any(|allowed| is_within(target, allowed));
            if !is_allowed {
                broken.push(format!("{}:{line}: {module} may not use {target}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_programs_keep_to_their_own() {
    let table = table(NEVER);
    let mut broken = Vec::new();
    for source in sources() {
        let lines = table.iter().filter(|(name, _)| is_within(&source.module, name));
        let forbidden: Vec<String> =
            lines.flat_map(|(_, words)| words).map(|word| word.replace("crate", "server")).collect();
        for Use { line, target } in uses(&source) {
            if forbidden.iter().any(|forbidden| is_within(&target, forbidden)) {
                broken.push(format!("{}:{line}: {} may never use {target}", source.path, source.module));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_is_unsafe_or_foreign_stays_in_sys() {
    let mut broken = Vec::new();
    for source in sources() {
        for token in &source.tokens {
            let is_foreign = ["unsafe", "extern"].contains(&token.text.as_str());
            if is_foreign && !is_within(&source.module, "common/sys") {
                broken.push(format!("{}:{}: `{}` outside of sys", source.path, token.line, token.text));
            }
        }
    }
    let tests = repository().join("tests");
    let is_elsewhere =
        |path: &&PathBuf| !["preload", "system"].iter().any(|place| path.starts_with(tests.join(place)));
    for path in files(&tests, &[".rs"]).iter().filter(is_elsewhere) {
        for token in tokens(&fs::read_to_string(path).unwrap()) {
            if ["unsafe", "extern"].contains(&token.text.as_str()) {
                broken.push(format!(
                    "{}:{}: `{}` outside of preload and system",
                    path.display(),
                    token.line,
                    token.text
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

// ---- Bounds -----------------------------------------------------------------------------------------------------------------------------

/// The names of all constants that are public in `limits`.
fn bounds() -> BTreeSet<String> {
    let limits = fs::read_to_string(repository().join("common/src/limits.rs")).unwrap();
    let words: Vec<String> = tokens(&limits).into_iter().map(|token| token.text).collect();
    let names = words.windows(3).filter(|words| words[0] == "pub" && words[1] == "const");
    names.map(|words| words[2].clone()).collect()
}

/// That a test names a bound does not say that it reaches it; but what no test names, none reaches. Whoever adds a bound also writes a
/// test that fails if it is not kept: beside the code that keeps it, because only there it can be had without a flood.
#[test]
fn every_bound_is_kept_somewhere_and_tested() {
    let (sources, tests) = sources_and_tests();
    let beside = files(&repository().join("common/tests"), &[".rs"]);
    let beside: Vec<Token> =
        beside.iter().flat_map(|path| tokens(&fs::read_to_string(path).unwrap())).collect();
    let of_sources = sources.iter().filter(|source| source.module != "common/limits");
    let (of_tests, kept): (Vec<&Token>, Vec<&Token>) =
        of_sources.flat_map(|source| &source.tokens).partition(|token| token.in_tests);
    let of_tests = of_tests.into_iter().chain(tests.iter().flat_map(|source| &source.tokens)).chain(&beside);
    let kept: BTreeSet<&str> = kept.into_iter().map(|token| token.text.as_str()).collect();
    let tested: BTreeSet<&str> = of_tests.map(|token| token.text.as_str()).collect();
    let bounds = bounds();
    assert!(100 < bounds.len(), "there are more: {bounds:?}");
    let without = |named: &BTreeSet<&str>| -> Vec<&String> {
        bounds.iter().filter(|bound| !named.contains(bound.as_str())).collect()
    };
    assert!(without(&kept).is_empty(), "used nowhere: {:?}", without(&kept));
    assert!(without(&tested).is_empty(), "named by no test: {:?}", without(&tested));
}

// ---- Files ------------------------------------------------------------------------------------------------------------------------------

#[test]
fn the_workspace_has_no_packages_but_its_own() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert_eq!(names, ["client_a", "client_b", "common", "server"]);
    assert!(!lock.contains("source = "), "a package comes from somewhere else");
}

#[test]
fn every_source_begins_with_what_it_is_and_stays_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let tests: BTreeSet<usize> =
            source.tokens.iter().filter(|token| token.in_tests).map(|token| token.line).collect();
        let first_test = tests.first().copied().unwrap_or(usize::MAX);
        let lines = source.text.lines().count().min(first_test.saturating_sub(1));
        if FILE_LINES < lines {
            broken.push(format!("{}: {lines} lines without its tests, more than {FILE_LINES}", source.path));
        }
    }
    for path in files(&repository(), &[".rs"]) {
        if !fs::read_to_string(&path).unwrap().starts_with("//! ") {
            broken.push(format!("{}: does not begin with a `//!` that says what it is", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Nothing names a place that exists on one machine only. What a reader's machine has anyway (`/tmp`, `/etc`) is no such place.
#[test]
fn nothing_names_a_place_on_somebodys_machine() {
    const PLACES: [&str; 4] = ["work", "root", "tmp/wt", "tmp/target"];
    let mut broken = Vec::new();
    for path in files(&repository(), &[".rs", ".toml", ".md", ".lock", "run", "test"]) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            for place in PLACES {
                let names_it = line.match_indices(&format!("/{place}")).any(|(at, found)| {
                    let is_absolute =
                        !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c));
                    is_absolute && line[at + found.len()..].starts_with(['/', '-'])
                });
                if names_it {
                    broken.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

// ---- The test's own tests ---------------------------------------------------------------------------------------------------------------

fn uses_of(module: &str, text: &str) -> Vec<String> {
    let source =
        Source { path: String::new(), module: module.to_owned(), text: String::new(), tokens: tokens(text) };
    uses(&source).into_iter().map(|found| found.target).collect()
}

#[test]
fn uses_are_found_in_every_form() {
    for (text, targets) in [
        ("use crate::wire::json;", vec!["common::wire::json"]),
        (
            "use crate::{wire::json::{Value, Writer}, tree::Path,};",
            vec!["common::wire::json::Value", "common::wire::json::Writer", "common::tree::Path"],
        ),
        ("fn f() { crate::sys::sync(); }", vec!["common::sys::sync"]),
        ("use super::root::Root;", vec!["common::disk::root::Root"]),
        ("use super::super::wire;", vec!["common::wire"]),
        (
            "mod inner { use super::x; use super::super::y; }",
            vec!["common::disk::stage::x", "common::disk::y"],
        ),
        ("use std::fs; use common::net;", vec!["common::net"]),
        ("// use crate::a;\n/* use crate::b; /* nested */ use crate::c; */ let x = \"crate::d\";", vec![]),
        (
            "let x = r#\"\" crate::e \"#; let c = '\"'; let l: &'a str = b\"\\\"crate::f\"; use crate::g;",
            vec!["common::g"],
        ),
        ("#[cfg(test)]\nmod tests { use crate::h; }\nuse crate::i;", vec!["common::i"]),
        ("#[cfg(test)]\nuse crate::j;\nuse crate::k;", vec!["common::k"]),
    ] {
        assert_eq!(uses_of("common/disk/stage", text), targets, "{text}");
    }
}

#[test]
fn the_most_special_rule_counts() {
    let table = table(COMMON);
    assert_eq!(rule(&table, "wire/sha256").map(|(name, _)| name), Some("wire/sha256"));
    assert_eq!(rule(&table, "wire/sha256_fast").map(|(name, _)| name), Some("wire"));
    assert_eq!(rule(&table, "nowhere"), None);
}
