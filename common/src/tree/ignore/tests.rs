//! Tables, attacks, and a slow matcher that is obviously right to compare with.

use std::time::{Duration, Instant};

use super::*;

fn rules(text: &str) -> Rules {
    Rules::parse([("rules", text.as_bytes())]).unwrap()
}

fn path(text: &str) -> Path {
    Path::new(text.as_bytes()).unwrap()
}

/// A path that ends with `/` is a directory.
fn ignores(rules: &Rules, text: &str) -> bool {
    rules.ignore(&path(text.trim_end_matches('/')), text.ends_with('/'))
}

/// Rules, then paths that they ignore, then paths that they don't.
#[track_caller]
fn check(text: &str, ignored: &str, synced: &str) {
    let rules = rules(text);
    for path in ignored.split_whitespace() {
        assert!(ignores(&rules, path), "{text:?} ignores {path}");
    }
    for path in synced.split_whitespace() {
        assert!(!ignores(&rules, path), "{text:?} does not ignore {path}");
    }
}

#[test]
fn lines() {
    check("", "", "a a/b");
    check("\n\n   \n#a\n # b\n", "", "a #a # #b");
    check("a\r\nb\r\n", "a b", "c");
    check("\u{feff}a", "a", "b");
    check("\\#a", "#a", "a \\#a");
    check("a#b", "a#b", "a");
    check("\\!a", "!a", "a");
    check("a!b", "a!b", "a");
    check("!", "", "! a");
    check("a   ", "a", "b");
    check("a\t", "", "a");
    let spaces = rules("a\\ \nb\\  \nc d ");
    for (name, ignored) in [("a ", true), ("a", false), ("b ", true), ("b  ", false), ("c d", true)] {
        assert_eq!(spaces.ignore(&path(name), false), ignored, "{name:?}");
    }
}

#[test]
fn slashes() {
    // None: at any depth. At the end: directories only. At the start or in the middle: from the root.
    check("a", "a a/ b/a b/a/ c/b/a a/x b/a/x/y", "b aa b/aa");
    check("a/", "a/ b/a/ a/x b/a/x", "a b/a b");
    check("/a", "a a/ a/x", "b/a b/a/");
    check("/a/", "a/ a/x", "a b/a/ b/a/x");
    check("a/b", "a/b a/b/ a/b/x", "a a/ b c/a/b");
    check("/a/b", "a/b a/b/x", "c/a/b b");
    check("a/b/", "a/b/ a/b/x", "a/b c/a/b/");
    check("/", "", "a a/ a/b");
    check("//a", "", "a b/a");
    check("a//b", "", "a/b a");
    check("a//", "", "a a/ a/b");
}

#[test]
fn wildcards() {
    check("*", "a .a a/b", "");
    check("*.o", "x.o .o a/x.o x.o/", "x.oo xo x.o.c");
    check("a*b", "ab axb axxb", "a b axbx a/b");
    check("a*b*c", "abc axbxc abbc abcbc", "acb ab abcx");
    check("***", "a a/b", "");
    check("a?", "ab x/ab", "a abc a/b");
    check("/*", "a a/b", "");
    check("/*.c", "x.c", "a/x.c");
    check("a/*", "a/b a/b/c", "a a/ b");
    check("a/*/c", "a/b/c a/b/c/d", "a/c a/b/b/c");
    check("a/?", "a/b", "a/bb a");
}

#[test]
fn two_stars() {
    check("**/a", "a b/a c/b/a a/x", "b ba");
    check("**/a/b", "a/b c/a/b", "a b a/c/b");
    check("a/**", "a/b a/b/c a/b/", "a a/ b/a/c");
    check("a/**/", "a/b/ a/b/c", "a/ a/b");
    check("a/**/b", "a/b a/x/b a/x/y/b a/b/c", "a ab a/bb xa/b c/a/b");
    check("**/a/**/b/**", "a/b/x c/a/c/b/x/y", "a/b a/b/ b/a/x");
    check("**", "a a/b", "");
    check("**/", "a/ a/b", "a");
    check("/**", "a a/b", "");
    check("**/**", "a a/b", "");
    check("a/**/**/b", "a/b a/x/b", "a");
    check("a/***/b", "a/b a/x/y/b", "a");
    // Not a whole name: ordinary stars.
    check("a**b/c", "ab/c axxb/c", "a/b/c ax/xb/c");
    check("a/**b", "a/b a/xb", "a/x/b");
    check("a/b**", "a/b a/bx", "a/c/b");
    check("a/\\**", "a/* a/*b", "a/b a/b/c");
}

#[test]
fn brackets() {
    for (pattern, taken) in [
        ("[a-c]", "abc"),
        ("[!a-c]", "de]-![^\\z"),
        ("[^a-c]", "de]-![^\\z"),
        ("[abz]", "abz"),
        ("[]]", "]"),
        ("[]a]", "]a"),
        ("[!]]", "abcdez-![^\\"),
        ("[a-]", "a-"),
        ("[-a]", "a-"),
        ("[a-c-e]", "abc-e"),
        ("[c-a]", "c"),
        ("[\\]]", "]"),
        ("[\\a-c]", "abc"),
        ("[a-\\c]", "abc"),
        ("[a\\-c]", "a-c"),
        ("[\\\\]", "\\"),
        ("[a!]", "a!"),
        ("[a^]", "a^"),
        ("[[:alpha:]]", "abcdez"),
        ("[![:alpha:]]", "]-![^\\"),
        ("[[:alpha:]-]", "abcdez-"),
        ("[[:upper:]z]", "z"),
        ("[[:punct:]]", "]-![^\\"),
        ("[[:nothing:]]", ""),
        ("[[a]", "[a"),
        ("[[]", "["),
        ("[a", ""),
        ("[", ""),
        ("[]", ""),
        ("[!]", ""),
        ("[[:alpha:]", ""),
        ("[[:alpha]", "[a"),
        ("\\", ""),
        ("a\\", ""),
        ("\\a", "a"),
        ("\\\\", "\\"),
        ("\\[", "["),
    ] {
        let rules = rules(pattern);
        for byte in "abcdez]-![^\\".chars() {
            let ignored = rules.ignore(&path(&byte.to_string()), false);
            assert_eq!(ignored, taken.contains(byte), "{pattern} and {byte}");
        }
    }
    // A slash in brackets makes it a path from the root, and takes nothing.
    check("a[/x]b", "axb", "a/b c/axb");
    check("a[!x]b", "ayb", "a/b");
}

#[test]
fn classes() {
    let members = |class: &str| -> String {
        let rules = rules(&format!("[[:{class}:]]"));
        let bytes = (1..=255).filter(|byte| ![b'/', b'.'].contains(byte));
        bytes
            .filter(|byte| rules.ignore(&Path::new(&[*byte]).unwrap(), false))
            .map(|byte| byte.escape_ascii().to_string())
            .collect()
    };
    assert_eq!(members("digit"), "0123456789");
    assert_eq!(members("xdigit"), "0123456789ABCDEFabcdef");
    assert_eq!(members("upper"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    assert_eq!(members("lower"), "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(members("alpha"), members("upper") + &members("lower"));
    assert_eq!(members("alnum"), members("digit") + &members("alpha"));
    assert_eq!(members("blank"), "\\t ");
    assert_eq!(members("space"), "\\t\\n\\x0b\\x0c\\r ");
    assert_eq!(members("punct"), "!\\\"#$%&\\'()*+,-:;<=>?@[\\\\]^_`{|}~");
    assert_eq!(members("print"), format!(" {}", members("graph")));
    assert_eq!(members("graph").len(), members("alnum").len() + members("punct").len());
    assert!(members("cntrl").starts_with("\\x01") && members("cntrl").ends_with("\\x7f"));
}

#[test]
fn the_last_rule_that_matches_decides() {
    check("*.o\n!keep.o", "a.o b/a.o", "keep.o b/keep.o");
    check("!keep.o\n*.o", "a.o keep.o", "");
    check("a\n!a\na", "a", "");
    check("*\n!*/\n!*.txt", "a b/a", "a/ a.txt b/a.txt b/c/");
    // But what is in an ignored directory stays ignored.
    check("a/\n!a/b", "a/ a/b", "a");
    check("a/*\n!a/b", "a/c", "a/ a/b a/b/c");
    check("/*\n!/a\n/a/*\n!/a/b", "b a/c", "a/ a/b a/b/c");
    check("build\n!build/", "build", "build/ build/x");
}

#[test]
fn sources_in_order() {
    let parse = |first: &'static str, second: &'static str| {
        Rules::parse([("first", first.as_bytes()), ("second", second.as_bytes())]).unwrap()
    };
    assert!(!ignores(&parse("a", "!a"), "a"));
    assert!(ignores(&parse("!a", "a"), "a"));
    let rules = parse("# first\n\n*.o\n", "b*\n");
    let deciding = |text: &str| match rules.verdict(&path(text), false) {
        Verdict::Ignored { rule } => rule.to_string(),
        Verdict::Synced => "-".to_owned(),
    };
    assert_eq!(deciding("x.o"), "first:3: *.o");
    assert_eq!(deciding("b.o"), "second:1: b*");
    assert_eq!(deciding("build/x.o"), "second:1: b*");
    assert_eq!(deciding(".syncignore"), "built in:1: /.syncignore");
    assert_eq!(deciding("sub/.syncignore"), "-");
    assert_eq!(deciding("x"), "-");
    assert!(!ignores(&parse("", "!.syncignore"), ".syncignore"));
}

#[test]
fn rules_that_say_the_same_have_the_same_digest() {
    assert_eq!(rules("a\nb").digest(), rules("# two\na  \n\nb\r\n").digest());
    let same = Rules::parse([("x", b"a".as_slice()), ("y", b"b")]).unwrap();
    assert_eq!(rules("a\nb").digest(), same.digest());
    for other in ["", "a", "b\na", "ab", "a\nb\nb", "a\n!b", "a\nb/"] {
        assert_ne!(rules("a\nb").digest(), rules(other).digest(), "{other:?}");
    }
}

#[test]
fn names_are_bytes() {
    let rules = Rules::parse([("rules", b"\xff*\n[\x80-\xfe]\n\x01".as_slice())]).unwrap();
    for (name, ignored) in
        [(b"\xff".as_slice(), true), (b"\xffa", true), (b"\x80", true), (b"a", false), (b"\x01", true)]
    {
        assert_eq!(rules.ignore(&Path::new(name).unwrap(), false), ignored, "{}", name.escape_ascii());
    }
    let Verdict::Ignored { rule } = rules.verdict(&Path::new(b"\x01").unwrap(), false) else { panic!() };
    assert_eq!(rule.to_string(), "rules:3: \\u{1}");
}

#[test]
fn attacks() {
    let error = |text: &[u8]| Rules::parse([("rules", text)]).unwrap_err().to_string();
    let many = "a\n".repeat(IGNORE_RULES);
    assert_eq!(error(many.as_bytes()), format!("rules:{IGNORE_RULES}: there are more than 1000 rules"));
    let long = "a".repeat(IGNORE_PATTERN_BYTES + 1);
    assert_eq!(error(long.as_bytes()), "rules:1: the pattern is longer than 1024 bytes");
    let deep = "a/".repeat(IGNORE_PATTERN_NAMES) + "a";
    assert_eq!(error(deep.as_bytes()), "rules:1: the pattern has more than 62 names");
    let comments = "#".repeat(IGNORE_BYTES);
    assert_eq!(error(comments.as_bytes()), "rules:1: the rules are longer than 65536 bytes");
    check(&("a/".repeat(61) + "a"), &("a/".repeat(61) + "a"), "a a/a");
}

#[test]
fn hostile_patterns_cost_bounded_time() {
    // Each of these takes the age of the universe where every star is tried in every place.
    let names = "a".repeat(250);
    let deep = "a/".repeat(2047) + "a";
    let started = Instant::now();
    check(&("*a".repeat(500) + "b"), "", &names);
    check(&("**/a/".repeat(30) + "b"), "", &deep);
    check(&("*/".repeat(61) + "b"), "", &deep);
    check(&("*a".repeat(100) + "b\n").repeat(20), "", &names);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

// ---- A slow matcher ---------------------------------------------------------------------------------------------------------------------

/// Whether a pattern matches a text, by trying everything, straight from the manual's words. `at_start`: the pattern's position is the
/// begin of a name.
fn slow(pattern: &[u8], text: &[u8], at_start: bool) -> bool {
    let goes_on = |rest: &[u8]| !text.is_empty() && slow(rest, &text[1..], false);
    match pattern {
        [] => text.is_empty(),
        // "A leading `**` followed by a slash means match in all directories"; "a slash followed by two consecutive asterisks then a
        // slash matches zero or more directories".
        [b'*', b'*', b'/', rest @ ..] if at_start => {
            let after_each_slash = (0..text.len()).filter(|at| text[*at] == b'/').map(|at| &text[at + 1..]);
            std::iter::once(text).chain(after_each_slash).any(|text| slow(rest, text, true))
        }
        // "A trailing `/**` matches everything inside."
        [b'*', b'*'] if at_start => !text.is_empty(),
        // "An asterisk matches anything except a slash." Two that are nothing else are two of these.
        [b'*', rest @ ..] => {
            let stop = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
            (0..=stop).any(|taken| slow(rest, &text[taken..], false))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|&byte| byte != b'/') && goes_on(rest),
        [b'/', rest @ ..] => text.first() == Some(&b'/') && slow(rest, &text[1..], true),
        [byte, rest @ ..] => text.first() == Some(byte) && goes_on(rest),
    }
}

fn slowly_ignores(pattern: &str, text: &str, is_directory: bool) -> bool {
    if pattern.starts_with('!') || pattern.is_empty() {
        return false;
    }
    let (bare, directory_only) = pattern.strip_suffix('/').map_or((pattern, false), |bare| (bare, true));
    let is_anchored = bare.contains('/');
    let bare = bare.strip_prefix('/').unwrap_or(bare);
    // The path itself, and everything above it, which are directories.
    let ends = text.match_indices('/').map(|(at, _)| (at, true)).chain([(text.len(), is_directory)]);
    ends.into_iter().any(|(end, is_directory)| {
        let (whole, name) = (&text[..end], text[..end].rsplit('/').next().unwrap_or_default());
        let against = if is_anchored { whole } else { name };
        (is_directory || !directory_only) && slow(bare.as_bytes(), against.as_bytes(), true)
    })
}

/// All texts of up to `length` characters out of `vocabulary`.
fn texts(vocabulary: &str, length: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut begin = 0;
    for _ in 0..length {
        let end = all.len();
        for at in begin..end {
            all.extend(
                vocabulary.chars().map(|character| format!("{}{character}", all[at])).collect::<Vec<_>>(),
            );
        }
        begin = end;
    }
    all
}

#[test]
fn every_short_pattern_is_as_the_slow_matcher_has_it() {
    let paths: Vec<String> =
        texts("ab/", 5).into_iter().filter(|text| Path::new(text.as_bytes()).is_ok()).collect();
    let mut compared = 0;
    for pattern in texts("a*/?", 6) {
        // Three stars in a row are for the tables: the manual has no words for them.
        if pattern.contains("***") {
            continue;
        }
        let rules = rules(&pattern);
        for text in &paths {
            for is_directory in [false, true] {
                let expected = slowly_ignores(&pattern, text, is_directory);
                assert_eq!(
                    rules.ignore(&path(text), is_directory),
                    expected,
                    "pattern {pattern:?}, path {text:?}, directory: {is_directory}"
                );
                compared += 1;
            }
        }
    }
    assert!(500_000 < compared, "{compared}");
}
