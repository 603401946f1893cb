//! Log lines on stderr: one event, one line, one write.
//!
//! ```text
//!     2026-11-22T15:04:05Z warn  cannot read notes/a.txt: permission denied
//!     {"time":"2026-11-22T15:04:05Z","level":"warn","message":"cannot read notes/a.txt: permission denied"}
//! ```
//!
//! Messages hold names from other machines. Whatever could end a line, repaint a terminal or is not UTF-8 is escaped here, so no caller
//! can forget it; a caller that shows a name escapes it with [`escape_for_terminal`](super::format::escape_for_terminal) so that it can
//! be read back exactly, and that is left as it is.
//!
//! A log that can't be written is no reason to stop syncing: errors of stderr, such as a broken pipe, are ignored.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::format::{defuse, utc};
use crate::wire::json::Writer;

/// How much a line matters; the first matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something asked for is not done.
    Error,
    /// Something is not as it should be, but goes on.
    Warn,
    /// What is being done.
    Info,
    /// How it is being done.
    Debug,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: an object a line.
    Json,
}

/// Whether lines have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Levels in colour.
    On,
    /// Nothing but text.
    Off,
}

/// Writes log lines to stderr, from any thread.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    level: Level,
    format: Format,
    colour: Colour,
}

impl Level {
    /// From how often `-q` and `-v` were given: `info` without either, and each takes one step.
    pub fn chosen(quiet: usize, verbose: usize) -> Self {
        match (quiet, verbose) {
            _ if quiet == verbose => Self::Info,
            _ if quiet < verbose => Self::Debug,
            _ if quiet == verbose + 1 => Self::Warn,
            _ => Self::Error,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Parameters of the terminal's "select graphic rendition": red, yellow, green, grey.
    fn colour_code(self) -> &'static str {
        match self {
            Self::Error => "31",
            Self::Warn => "33",
            Self::Info => "32",
            Self::Debug => "90",
        }
    }
}

impl Colour {
    /// Whether stderr shows colours and nobody objects.
    pub fn of_stderr() -> Self {
        let [no_color, term] = ["NO_COLOR", "TERM"].map(env::var_os);
        Self::decide(io::stderr().is_terminal(), no_color.as_deref(), term.as_deref())
    }

    /// Colours are for terminals that can do them, unless `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub fn decide(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        let unable = term.is_some_and(|name| name == "dumb");
        if terminal && !unwanted && !unable { Self::On } else { Self::Off }
    }
}

impl Log {
    /// A log of lines up to `level`, in colour if stderr has any.
    pub fn new(level: Level, format: Format) -> Self {
        Self { level, format, colour: Colour::of_stderr() }
    }

    /// Whether such lines are written at all; for messages that cost something to make.
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Something asked for is not done: what, which path, why, and what to do.
    pub fn error(&self, message: impl AsRef<[u8]>) {
        self.write(Level::Error, message);
    }

    /// Something is not as it should be, but goes on.
    pub fn warn(&self, message: impl AsRef<[u8]>) {
        self.write(Level::Warn, message);
    }

    /// What is being done.
    pub fn info(&self, message: impl AsRef<[u8]>) {
        self.write(Level::Info, message);
    }

    /// How it is being done.
    pub fn debug(&self, message: impl AsRef<[u8]>) {
        self.write(Level::Debug, message);
    }

    /// One line, if its level is wanted.
    pub fn write(&self, level: Level, message: impl AsRef<[u8]>) {
        if self.enabled(level) {
            let line = self.line(now(), level, message.as_ref());
            // Nobody is left to be told.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }

    /// The line at a time in seconds since 1970, its line break included.
    fn line(&self, time: i64, level: Level, message: &[u8]) -> String {
        let (time, name, message) = (utc(time), level.name(), defuse(message));
        match (self.format, self.colour) {
            (Format::Text, Colour::Off) => format!("{time} {name:5} {message}\n"),
            (Format::Text, Colour::On) => {
                format!("{time} \x1B[{}m{name:5}\x1B[0m {message}\n", level.colour_code())
            }
            (Format::Json, _) => json_line(&time, name, &message),
        }
    }
}

fn json_line(time: &str, level: &str, message: &str) -> String {
    let mut json = Writer::new();
    json.begin_object()
        .field_str("time", time)
        .field_str("level", level)
        .field_str("message", message)
        .end_object();
    let mut line = String::from_utf8_lossy(&json.finish()).into_owned();
    line.push('\n');
    line
}

/// A clock before 1970 or after the year 292 billion is as good as 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    const NOON: i64 = 1_795_359_845;

    fn log(format: Format, colour: Colour) -> Log {
        Log { level: Level::Info, format, colour }
    }

    #[test]
    fn lines() {
        let text = log(Format::Text, Colour::Off);
        assert_eq!(text.line(NOON, Level::Warn, b"a: b"), "2026-11-22T15:04:05Z warn  a: b\n");
        assert_eq!(text.line(NOON, Level::Error, b""), "2026-11-22T15:04:05Z error \n");
        let colour = log(Format::Text, Colour::On);
        assert_eq!(colour.line(NOON, Level::Info, b"x"), "2026-11-22T15:04:05Z \x1B[32minfo \x1B[0m x\n");
        assert_eq!(
            log(Format::Json, Colour::On).line(NOON, Level::Debug, b"say \"x\""),
            "{\"time\":\"2026-11-22T15:04:05Z\",\"level\":\"debug\",\"message\":\"say \\\"x\\\"\"}\n"
        );
    }

    #[test]
    fn nothing_can_be_injected() {
        for message in [
            &b"a\n2026-11-22T15:04:05Z error forged"[..],
            b"a\r\nb",
            b"\x1B[2J",
            b"\xFF\x9B",
            "\u{85}\u{2028}".as_bytes(),
            b"\",\"level\":\"error\"}\n{\"",
            b"\0",
        ] {
            for format in [Format::Text, Format::Json] {
                let line = log(format, Colour::Off).line(NOON, Level::Info, message);
                let body = line.strip_suffix('\n').unwrap();
                assert!(!body.chars().any(|c| c.is_control() || c == '\u{2028}'), "{body:?}");
            }
            let line = log(Format::Json, Colour::Off).line(NOON, Level::Info, message);
            let object = parse(line.as_bytes()).unwrap();
            assert_eq!(object.get("level").unwrap().as_str(), Some("info"));
            assert_eq!(object.get("message").unwrap().as_str(), Some(&defuse(message)[..]));
        }
    }

    #[test]
    fn levels() {
        for (quiet, verbose, want) in [
            (0, 0, Level::Info),
            (0, 1, Level::Debug),
            (0, 9, Level::Debug),
            (1, 0, Level::Warn),
            (2, 0, Level::Error),
            (9, 0, Level::Error),
            (1, 1, Level::Info),
            (2, 1, Level::Warn),
        ] {
            assert_eq!(Level::chosen(quiet, verbose), want, "-q {quiet} times, -v {verbose} times");
        }
        let log = log(Format::Text, Colour::Off);
        assert!(log.enabled(Level::Error) && log.enabled(Level::Info) && !log.enabled(Level::Debug));
    }

    #[test]
    fn colours() {
        let decide = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Colour::decide(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(decide(true, None, None), Colour::On);
        assert_eq!(decide(true, Some(""), Some("xterm")), Colour::On);
        assert_eq!(decide(true, Some("0"), Some("xterm")), Colour::Off);
        assert_eq!(decide(true, None, Some("dumb")), Colour::Off);
        assert_eq!(decide(false, None, Some("xterm")), Colour::Off);
    }
}
