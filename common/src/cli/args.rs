//! The command line, in two stages: here it becomes options that exist, typed but not understood; each program resolves them later.
//!
//! ```text
//!     --name VALUE   --name=VALUE   --flag   -n   -nv   -vv   DIR   --   everything after is no option
//!     FILESYNC_NAME=VALUE           FILESYNC_FLAG=1           (the command line beats the environment)
//!     --ignore A --ignore B         FILESYNC_IGNORE=A<newline>B          where an option may have several values
//! ```
//!
//! Strategy: a table of [`Spec`]s a program, one pass over the arguments, one over the table for the environment. Arguments are bytes:
//! paths need not be UTF-8.
//!
//! What other tools guess is an error here, since a guess may cost files: an unknown option, an abbreviated one, a value given twice, a
//! value for a flag, and `--box --once`, where a value has most likely been forgotten (`--box=--once` is there for who means it).
//! Only flags have short forms; `-` alone is an argument like any other.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::format::escape_for_terminal;

/// Most edits between what was given and what is suggested.
const TYPING_ERRORS: usize = 2;

/// One option of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Given or not, and how often.
    Flag { short: Option<char> },
    /// A flag that asks about the program. Not looked for in the environment: `FILESYNC_VERSION` may well be set to a version there.
    Query { short: char },
    /// Followed by a value.
    Value,
    /// Followed by a value, and may be given again; in the environment one value a line.
    Values,
}

impl Spec {
    /// A flag without a short form: `--once`. The name is without dashes.
    pub const fn flag(name: &'static str) -> Self {
        Self { name, kind: Kind::Flag { short: None } }
    }

    /// A flag with a short form: `--dry-run`, `-n`.
    pub const fn short_flag(name: &'static str, short: char) -> Self {
        Self { name, kind: Kind::Flag { short: Some(short) } }
    }

    /// A flag that asks about the program itself: `--help`, `-h`.
    pub const fn query(name: &'static str, short: char) -> Self {
        Self { name, kind: Kind::Query { short } }
    }

    /// An option with a value: `--box DIR`.
    pub const fn value(name: &'static str) -> Self {
        Self { name, kind: Kind::Value }
    }

    /// An option with a value that may be given more than once: `--ignore PATTERN`.
    pub const fn values(name: &'static str) -> Self {
        Self { name, kind: Kind::Values }
    }

    fn short(&self) -> Option<char> {
        match self.kind {
            Kind::Flag { short } => short,
            Kind::Query { short } => Some(short),
            Kind::Value | Kind::Values => None,
        }
    }
}

/// Why a command line can't be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No option has this name.
    UnknownOption {
        /// As it was given, dashes included.
        given: OsString,
        /// The option it looks like.
        nearest: Option<&'static str>,
    },
    /// The option needs a value.
    MissingValue(&'static str),
    /// The flag takes none.
    UnexpectedValue(&'static str),
    /// The option has two values.
    GivenTwice(&'static str),
    /// The value of the option is not one it takes.
    BadValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: OsString,
        /// What it takes: `a number from 1 to 64`.
        wanted: String,
    },
    /// An argument that nothing is to be done with.
    UnexpectedArgument(OsString),
    /// An argument that must be there, as the usage names it: `DIR`.
    MissingArgument(&'static str),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { given, nearest } => {
                write!(f, "unknown option {}", shown(given))?;
                nearest.map_or(Ok(()), |name| write!(f, "; did you mean --{name}?"))
            }
            Self::MissingValue(name) => {
                write!(f, "--{name} needs a value (one that begins with -- as --{name}=VALUE)")
            }
            Self::UnexpectedValue(name) => write!(f, "--{name} takes no value"),
            Self::GivenTwice(name) => write!(f, "--{name} is given twice"),
            Self::BadValue { option, value, wanted } => {
                write!(f, "--{option} (or {}): '{}' is not {wanted}", variable(option), shown(value))
            }
            Self::UnexpectedArgument(given) => write!(f, "unexpected argument '{}'", shown(given)),
            Self::MissingArgument(name) => write!(f, "{name} is missing"),
        }
    }
}

impl Error for UsageError {}

fn shown(text: &OsStr) -> String {
    escape_for_terminal(text.as_bytes())
}

// ---- Parsing ----------------------------------------------------------------------------------------------------------------

/// What the command line and the environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    specs: &'static [Spec],
    /// For each spec what was found of it.
    found: Vec<Found>,
    positional: Vec<OsString>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    count: usize,
    values: Vec<OsString>,
}

/// Reads the arguments, without the program's own name, and then the environment for what they leave open.
pub fn parse(
    specs: &'static [Spec],
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Parsed, UsageError> {
    let mut parsed = Parsed { specs, found: vec![Found::default(); specs.len()], positional: Vec::new() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--" => parsed.positional.extend(args.by_ref()),
            [b'-', b'-', long @ ..] => parsed.take_long(&arg, long, &mut args)?,
            [b'-', cluster @ ..] if !cluster.is_empty() => parsed.take_cluster(&arg, cluster)?,
            _ => parsed.positional.push(arg),
        }
    }
    parsed.take_environment(env)?;
    Ok(parsed)
}

impl Parsed {
    /// Whether the program has an option of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.specs.iter().any(|spec| spec.name == name)
    }

    /// Whether the flag is set.
    pub fn flag(&self, name: &str) -> bool {
        0 < self.count(name)
    }

    /// How often the flag was given.
    pub fn count(&self, name: &str) -> usize {
        self.found(name).map_or(0, |found| found.count)
    }

    /// The value of the option.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.values(name).first().map(OsString::as_os_str)
    }

    /// All values of an option that may have more than one, in order.
    pub fn values(&self, name: &str) -> &[OsString] {
        self.found(name).map_or(&[], |found| &found.values)
    }

    /// What is no option, in order.
    pub fn positional(&self) -> &[OsString] {
        &self.positional
    }

    /// The only argument there is, called `name` in the usage.
    pub fn only_argument(&self, name: &'static str) -> Result<&OsStr, UsageError> {
        match &self.positional[..] {
            [] => Err(UsageError::MissingArgument(name)),
            [only] => Ok(only),
            [_, unexpected, ..] => Err(UsageError::UnexpectedArgument(unexpected.clone())),
        }
    }

    /// Makes sure that there is no argument.
    pub fn no_argument(&self) -> Result<(), UsageError> {
        self.positional.first().map_or(Ok(()), |given| Err(UsageError::UnexpectedArgument(given.clone())))
    }

    fn found(&self, name: &str) -> Option<&Found> {
        let index = self.specs.iter().position(|spec| spec.name == name);
        debug_assert!(index.is_some(), "--{name} is not in the table");
        self.found.get(index?)
    }

    /// `long` is `arg` without its dashes.
    fn take_long(
        &mut self,
        arg: &OsStr,
        long: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        let (name, value) = match long.iter().position(|&byte| byte == b'=') {
            Some(at) => (&long[..at], Some(OsStr::from_bytes(&long[at + 1..]).to_os_string())),
            None => (long, None),
        };
        let Some(index) = self.specs.iter().position(|spec| spec.name.as_bytes() == name) else {
            let given = OsStr::from_bytes(&arg.as_bytes()[..2 + name.len()]).to_os_string();
            let nearest = nearest(name, self.specs.iter().map(|spec| spec.name));
            return Err(UsageError::UnknownOption { given, nearest });
        };
        let Spec { name, kind } = self.specs[index];
        let found = &mut self.found[index];
        found.count += 1;
        match (kind, value) {
            (Kind::Flag { .. } | Kind::Query { .. }, None) => return Ok(()),
            (Kind::Flag { .. } | Kind::Query { .. }, Some(_)) => {
                return Err(UsageError::UnexpectedValue(name));
            }
            (Kind::Value, _) if 1 < found.count => return Err(UsageError::GivenTwice(name)),
            (Kind::Value | Kind::Values, Some(value)) => found.values.push(value),
            (Kind::Value | Kind::Values, None) => {
                let value = rest.next().filter(|value| !value.as_bytes().starts_with(b"--"));
                found.values.push(value.ok_or(UsageError::MissingValue(name))?);
            }
        }
        Ok(())
    }

    /// `cluster` is `arg` without its dash: one or more short flags.
    fn take_cluster(&mut self, arg: &OsStr, cluster: &[u8]) -> Result<(), UsageError> {
        for &byte in cluster {
            let short = Some(char::from(byte));
            match self.specs.iter().position(|spec| byte.is_ascii() && spec.short() == short) {
                Some(index) => self.found[index].count += 1,
                None => {
                    // `-once`: a dash is missing rather than four flags.
                    let nearest = nearest(cluster, self.specs.iter().map(|spec| spec.name));
                    return Err(UsageError::UnknownOption { given: arg.to_os_string(), nearest });
                }
            }
        }
        Ok(())
    }

    fn take_environment(&mut self, env: impl Fn(&str) -> Option<OsString>) -> Result<(), UsageError> {
        let asked =
            |(spec, found): (&Spec, &Found)| matches!(spec.kind, Kind::Query { .. }) && 0 < found.count;
        if self.specs.iter().zip(&self.found).any(asked) {
            // Whoever asks for help gets it, whatever the environment holds.
            return Ok(());
        }
        for (spec, found) in self.specs.iter().zip(&mut self.found) {
            if 0 < found.count || matches!(spec.kind, Kind::Query { .. }) {
                continue;
            }
            let Some(value) = env(&variable(spec.name)) else { continue };
            match spec.kind {
                Kind::Value | Kind::Values if value.is_empty() => {}
                Kind::Value => *found = Found { count: 1, values: vec![value] },
                Kind::Values => {
                    let lines = value.as_bytes().split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                    found.values = lines.map(|line| OsStr::from_bytes(line).to_os_string()).collect();
                    found.count = found.values.len();
                }
                Kind::Flag { .. } | Kind::Query { .. } => found.count = usize::from(truth(spec.name, value)?),
            }
        }
        Ok(())
    }
}

/// The environment variable of an option: `token-file` is `FILESYNC_TOKEN_FILE`.
pub fn variable(option: &str) -> String {
    format!("FILESYNC_{}", option.to_ascii_uppercase().replace('-', "_"))
}

fn truth(option: &'static str, value: OsString) -> Result<bool, UsageError> {
    match value.as_bytes() {
        b"1" | b"true" | b"yes" => Ok(true),
        b"0" | b"false" | b"no" | b"" => Ok(false),
        _ => Err(UsageError::BadValue { option, value, wanted: "1, true, yes, 0, false or no".into() }),
    }
}

// ---- Suggestions ------------------------------------------------------------------------------------------------------------

/// The candidate that what was given is most likely a misspelling of: at most two edits, and fewer for short words.
pub fn nearest(given: &[u8], candidates: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let distances = candidates.into_iter().map(|name| (edits(given, name.as_bytes()), name));
    let alike = distances.filter(|(edits, name)| *edits <= TYPING_ERRORS.min(name.len() / 2));
    alike.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// How many bytes have to be inserted, removed or replaced to make one from the other (Levenshtein), row by row.
fn edits(from: &[u8], to: &[u8]) -> usize {
    // More than that is far apart whatever they hold; and arguments may be long.
    if TYPING_ERRORS < from.len().abs_diff(to.len()) {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, &byte) in from.iter().enumerate() {
        // The entry up and to the left of the one being computed.
        let mut diagonal = at;
        row[0] = at + 1;
        for (column, &other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

// ---- Values -----------------------------------------------------------------------------------------------------------------

/// A number in a range, of digits and nothing else: std's parser would take `+5`.
pub fn parse_u64_in(
    option: &'static str,
    value: &OsStr,
    range: RangeInclusive<u64>,
) -> Result<u64, UsageError> {
    digits(value.as_bytes())
        .filter(|number| range.contains(number))
        .ok_or_else(|| bad(option, value, &format!("a number from {} to {}", range.start(), range.end())))
}

/// A time span with its unit: `90s`, `5m`, `12h`, `30d`.
pub fn parse_duration(option: &'static str, value: &OsStr) -> Result<Duration, UsageError> {
    let seconds = value.as_bytes().split_last().and_then(|(unit, number)| {
        let unit = match unit {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => 24 * 60 * 60,
            _ => return None,
        };
        digits(number)?.checked_mul(unit)
    });
    let wanted = "a time span such as 90s, 5m, 12h or 30d";
    seconds.map(Duration::from_secs).ok_or_else(|| bad(option, value, wanted))
}

/// A number of bytes, in units of 1024 if it says so: `4096`, `512K`, `100M`, `10G`, `2T`.
pub fn parse_size(option: &'static str, value: &OsStr) -> Result<u64, UsageError> {
    let (number, unit) = match value.as_bytes() {
        [number @ .., b'K'] => (number, 1 << 10),
        [number @ .., b'M'] => (number, 1 << 20),
        [number @ .., b'G'] => (number, 1 << 30),
        [number @ .., b'T'] => (number, 1 << 40),
        number => (number, 1),
    };
    let bytes = digits(number).and_then(|number| number.checked_mul(unit)).filter(|bytes| 0 < *bytes);
    bytes.ok_or_else(|| bad(option, value, "a number of bytes such as 4096, 512K, 100M, 10G or 2T"))
}

/// Text, where bytes in general won't do.
pub fn parse_text<'a>(option: &'static str, value: &'a OsStr) -> Result<&'a str, UsageError> {
    value.to_str().ok_or_else(|| bad(option, value, "UTF-8"))
}

/// One of a few words, and what it stands for.
pub fn parse_choice<T: Copy>(
    option: &'static str,
    value: &OsStr,
    choices: &[(&str, T)],
) -> Result<T, UsageError> {
    let chosen = choices.iter().find(|(word, _)| value == *word);
    chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        bad(option, value, &words.join(" or "))
    })
}

fn bad(option: &'static str, value: &OsStr, wanted: &str) -> UsageError {
    UsageError::BadValue { option, value: value.to_os_string(), wanted: wanted.to_string() }
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    static SPECS: &[Spec] = &[
        Spec::query("help", 'h'),
        Spec::query("version", 'V'),
        Spec::short_flag("verbose", 'v'),
        Spec::short_flag("dry-run", 'n'),
        Spec::flag("once"),
        Spec::value("box"),
        Spec::value("token-file"),
        Spec::values("ignore"),
    ];

    fn run(line: &str, env: &[(&str, &str)]) -> Result<Parsed, UsageError> {
        let args = line.split_whitespace().map(OsString::from);
        parse(SPECS, args, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    /// Everything that is set, in the order of the table, then the arguments.
    fn summary(parsed: &Parsed) -> String {
        let mut words = Vec::new();
        for spec in SPECS {
            match (parsed.count(spec.name), parsed.values(spec.name)) {
                (0, _) => {}
                (count, []) => words.push(format!("{}*{count}", spec.name)),
                (_, values) => {
                    words.extend(values.iter().map(|value| format!("{}={}", spec.name, shown(value))));
                }
            }
        }
        words.extend(parsed.positional().iter().map(|word| shown(word)));
        words.join(" ")
    }

    #[test]
    fn lines() {
        for (line, want) in [
            ("", ""),
            ("DIR", "DIR"),
            ("--once DIR", "once*1 DIR"),
            ("DIR --once", "once*1 DIR"),
            ("--once --once", "once*2"),
            ("-n", "dry-run*1"),
            ("-vnv", "verbose*2 dry-run*1"),
            ("-v --verbose -vv", "verbose*4"),
            ("--box x", "box=x"),
            ("--box=x", "box=x"),
            ("--box=", "box="),
            ("--box=a=b", "box=a=b"),
            ("--box=--once", "box=--once"),
            ("--box -n", "box=-n"),
            ("--box -", "box=-"),
            ("-", "-"),
            ("-- --once -n --", "--once -n --"),
            ("--once -- DIR", "once*1 DIR"),
            ("--box x --token-file y a b", "box=x token-file=y a b"),
            ("-hV", "help*1 version*1"),
            ("--ignore a", "ignore=a"),
            ("--ignore a --box x --ignore=b --ignore a", "box=x ignore=a ignore=b ignore=a"),
        ] {
            assert_eq!(run(line, &[]).map(|parsed| summary(&parsed)), Ok(want.to_string()), "{line}");
        }
    }

    #[test]
    fn refused_lines() {
        for (line, want) in [
            ("--onec", "unknown option --onec; did you mean --once?"),
            ("--onec=1", "unknown option --onec; did you mean --once?"),
            ("--dryrun", "unknown option --dryrun; did you mean --dry-run?"),
            ("--tokn-fil x", "unknown option --tokn-fil; did you mean --token-file?"),
            ("--bax x", "unknown option --bax; did you mean --box?"),
            ("--ob x", "unknown option --ob"),
            ("--something", "unknown option --something"),
            ("--Once", "unknown option --Once; did you mean --once?"),
            ("--on", "unknown option --on; did you mean --once?"),
            ("--=x", "unknown option --"),
            ("-x", "unknown option -x"),
            ("-nx", "unknown option -nx"),
            ("-once", "unknown option -once; did you mean --once?"),
            ("-é", "unknown option -é"),
            ("--once=yes", "--once takes no value"),
            ("--help=", "--help takes no value"),
            ("--box", "--box needs a value (one that begins with -- as --box=VALUE)"),
            ("--box --once", "--box needs a value (one that begins with -- as --box=VALUE)"),
            ("--box a --box=a", "--box is given twice"),
            ("--ignore a --ignore", "--ignore needs a value (one that begins with -- as --ignore=VALUE)"),
            ("--ignore --ignore a", "--ignore needs a value (one that begins with -- as --ignore=VALUE)"),
        ] {
            assert_eq!(run(line, &[]).map_err(|error| error.to_string()), Err(want.to_string()), "{line}");
        }
    }

    #[test]
    fn environment() {
        for (line, name, value, want) in [
            ("", "FILESYNC_BOX", "e", Ok("box=e")),
            ("--box o", "FILESYNC_BOX", "e", Ok("box=o")),
            ("", "FILESYNC_BOX", "", Ok("")),
            ("", "FILESYNC_TOKEN_FILE", "t", Ok("token-file=t")),
            ("", "FILESYNC_ONCE", "1", Ok("once*1")),
            ("", "FILESYNC_ONCE", "true", Ok("once*1")),
            ("", "FILESYNC_DRY_RUN", "yes", Ok("dry-run*1")),
            ("-v", "FILESYNC_VERBOSE", "1", Ok("verbose*1")),
            ("--once", "FILESYNC_ONCE", "no", Ok("once*1")),
            ("", "FILESYNC_ONCE", "0", Ok("")),
            ("", "FILESYNC_ONCE", "false", Ok("")),
            ("", "FILESYNC_ONCE", "no", Ok("")),
            ("", "FILESYNC_ONCE", "", Ok("")),
            (
                "",
                "FILESYNC_ONCE",
                "on",
                Err("--once (or FILESYNC_ONCE): 'on' is not 1, true, yes, 0, false or no"),
            ),
            ("--help", "FILESYNC_ONCE", "on", Ok("help*1")),
            ("", "FILESYNC_IGNORE", "a", Ok("ignore=a")),
            ("", "FILESYNC_IGNORE", "a\n*.o\n\nb\n", Ok("ignore=a ignore=*.o ignore=b")),
            ("", "FILESYNC_IGNORE", "\n", Ok("")),
            ("", "FILESYNC_IGNORE", "", Ok("")),
            ("--ignore o", "FILESYNC_IGNORE", "a\nb", Ok("ignore=o")),
            ("", "FILESYNC_VERSION", "1.2", Ok("")),
            ("", "BOX", "e", Ok("")),
        ] {
            let got =
                run(line, &[(name, value)]).map(|parsed| summary(&parsed)).map_err(|error| error.to_string());
            assert_eq!(got, want.map(String::from).map_err(String::from), "{line} with {name}={value}");
        }
    }

    #[test]
    fn arguments_are_bytes() {
        let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let parsed = parse(SPECS, [odd(b"--box=\xFF"), odd(b"\xFE\n")], |_| None).unwrap();
        assert_eq!(parsed.value("box").unwrap().as_bytes(), b"\xFF");
        assert_eq!(parsed.only_argument("DIR").unwrap().as_bytes(), b"\xFE\n");
        for (arg, want) in [
            (&b"--\xFF\x1B[2J"[..], "unknown option --\\xff\\x1b[2J"),
            (b"-\xFF", "unknown option -\\xff"),
            (b"-n\0", "unknown option -n\\x00"),
        ] {
            assert_eq!(parse(SPECS, [odd(arg)], |_| None).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn arguments_counted() {
        let one = run("a", &[]).unwrap();
        assert_eq!(one.only_argument("DIR").unwrap(), "a");
        assert_eq!(one.no_argument().unwrap_err().to_string(), "unexpected argument 'a'");
        let two = run("a b", &[]).unwrap();
        assert_eq!(two.only_argument("DIR").unwrap_err().to_string(), "unexpected argument 'b'");
        let none = run("", &[]).unwrap();
        assert_eq!(none.only_argument("DIR").unwrap_err().to_string(), "DIR is missing");
        none.no_argument().unwrap();
    }

    #[test]
    fn distances() {
        for (from, to, want) in [
            ("", "", 0),
            ("", "ab", 2),
            ("once", "once", 0),
            ("onec", "once", 2),
            ("onc", "once", 1),
            ("oonce", "once", 1),
            ("unse", "once", 2),
            ("abcd", "dcba", 4),
            ("a", "abcd", usize::MAX),
        ] {
            assert_eq!(edits(from.as_bytes(), to.as_bytes()), want, "{from} {to}");
            assert_eq!(edits(to.as_bytes(), from.as_bytes()), want, "{to} {from}");
        }
    }

    #[test]
    fn numbers() {
        let parse = |text: &str| parse_u64_in("workers", OsStr::new(text), 1..=64).ok();
        for (text, want) in [("1", Some(1)), ("64", Some(64)), ("007", Some(7))] {
            assert_eq!(parse(text), want);
        }
        for text in ["", "0", "65", "+5", "-5", " 5", "5 ", "5.0", "0x5", "٥", "18446744073709551617", "1_0"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(
            parse_u64_in("workers", OsStr::new("x"), 1..=64).unwrap_err().to_string(),
            "--workers (or FILESYNC_WORKERS): 'x' is not a number from 1 to 64"
        );
    }

    #[test]
    fn sizes() {
        let parse = |text: &str| parse_size("quota-bytes", OsStr::new(text)).ok();
        for (text, want) in [
            ("1", 1),
            ("4096", 4096),
            ("512K", 512 << 10),
            ("100M", 100 << 20),
            ("10G", 10 << 30),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Some(want), "{text}");
        }
        for text in ["", "0", "0G", "K", "1k", "1KB", "1KiB", "1 K", "1.5G", "-1", "+1", "16777216T", "1P"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        let parse = |text: &str| parse_duration("expires", OsStr::new(text)).ok().map(|time| time.as_secs());
        for (text, want) in [("90s", 90), ("5m", 300), ("12h", 43_200), ("30d", 2_592_000), ("0s", 0)] {
            assert_eq!(parse(text), Some(want));
        }
        for text in ["", "s", "30", "+1d", "1.5h", "1 d", "1D", "1w", "1dd", "18446744073709551615d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_and_choices() {
        assert_eq!(parse_text("name", OsStr::new("ü")), Ok("ü"));
        assert!(parse_text("name", OsStr::from_bytes(b"\xFF")).is_err());
        let choices = [("text", 1), ("json", 2)];
        assert_eq!(parse_choice("log-format", OsStr::new("json"), &choices), Ok(2));
        assert_eq!(
            parse_choice("log-format", OsStr::new("xml"), &choices).unwrap_err().to_string(),
            "--log-format (or FILESYNC_LOG_FORMAT): 'xml' is not text or json"
        );
    }
}
