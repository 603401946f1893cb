//! The command line of the server, resolved: what is to be done, with every value understood and every default filled in.

mod account;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use common::cli::args::{Parsed, Spec, UsageError, parse, parse_choice, parse_text};
use common::cli::log::{Format, Level};

use crate::account::{NewToken, Revocation};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Keeps a folder, the box, in sync with the folders of any number of clients.

Usage: server [OPTIONS]
       server verify --box DIR      compare every byte of the box with what the server knows of it, and change nothing; not while
                                    a server runs on it. Prints a line for each difference, and exits with 1 if there is one
       server token --box DIR --client NAME [--root FOLDER] [--read-only] [--expires 30d]
                                    print a signed token for a client, which may be kept to one folder of the box, and to reading
       server revoke --box DIR (--client NAME | --id ID)
                                    end all tokens that a client was given so far, or one; a server that runs heeds it at once
       server rotate --box DIR      sign with a new key from now on; tokens of the one before stay valid until the next time

Options:
  --listen HOST:PORT         where to listen [default: 127.0.0.1:8080]; port 0 takes a free one
  --box DIR                  the folder that is served [default: ./box]
  --no-fsync                 answer before content has reached the disk: faster, but a power failure may take the last changes
  --log-format text|json     how log lines look [default: text]
  -v, --verbose              log every request
  -q, --quiet                log warnings and errors only; -qq errors only
  --force                    go on although most of the box seems to be gone
  -h, --help                 print this
  -V, --version              print the version

Every option can be set in the environment: --no-fsync is FILESYNC_NO_FSYNC=1. An option beats the environment.
  API_KEY                    the key that clients have to show; without it one is made in DIR/.filesync/key
  SERVER_ADDRESS             same as --listen

Exit codes: 0 done; 1 failed; 2 usage; 4 most of the box is missing, see --force; 8 the box is in use by another server;
            128+N ended by signal N.
";

/// Where the server listens unless told otherwise: nobody but this machine can connect.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_BOX: &str = "./box";

const OPTIONS: &[Spec] = &[
    Spec::value("listen"),
    Spec::value("box"),
    Spec::flag("no-fsync"),
    Spec::value("log-format"),
    Spec::short_flag("verbose", 'v'),
    Spec::short_flag("quiet", 'q'),
    Spec::flag("force"),
    Spec::query("help", 'h'),
    Spec::query("version", 'V'),
];

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve the box until a signal comes.
    Serve(Config),
    /// Compare the box in this folder with its index.
    Verify(PathBuf),
    /// Sign a token.
    Token(NewToken),
    /// End tokens.
    Revoke { box_dir: PathBuf, what: Revocation },
    /// Sign with a new key.
    Rotate(PathBuf),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// How to do it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `HOST:PORT`, not looked up yet.
    pub(crate) listen: String,
    pub(crate) box_dir: PathBuf,
    pub(crate) api_key: Option<String>,
    pub(crate) fsync: bool,
    pub(crate) force: bool,
    pub(crate) level: Level,
    pub(crate) format: Format,
}

/// Without the key.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("box_dir", &self.box_dir)
            .field("fsync", &self.fsync)
            .field("force", &self.force)
            .finish_non_exhaustive()
    }
}

/// Reads arguments and environment.
pub(crate) fn read(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut args = args.into_iter().peekable();
    if let Some(command) = args.peek().and_then(account::command_of) {
        return command(&mut args.skip(1), &env);
    }
    let parsed = parse(OPTIONS, args, &env)?;
    if parsed.flag("help") {
        return Ok(Command::Help);
    }
    if parsed.flag("version") {
        return Ok(Command::Version);
    }
    let config = resolve(&parsed, &env)?;
    match parsed.positional() {
        [command] if command == "verify" => Ok(Command::Verify(config.box_dir)),
        _ => parsed.no_argument().map(|()| Command::Serve(config)),
    }
}

fn resolve(parsed: &Parsed, env: &impl Fn(&str) -> Option<OsString>) -> Result<Config, UsageError> {
    let from_env = |name| env(name).filter(|value| !value.is_empty());
    let listen = parsed.value("listen").map(OsStr::to_owned).or_else(|| from_env("SERVER_ADDRESS"));
    // Its value must not show up in a message, so bytes that are no text become text that is no key.
    let api_key = from_env("API_KEY").map(|key| key.to_string_lossy().into_owned());
    let formats = [("text", Format::Text), ("json", Format::Json)];
    Ok(Config {
        listen: listen_address(listen.as_deref().unwrap_or(OsStr::new(DEFAULT_LISTEN)))?,
        box_dir: parsed.value("box").unwrap_or(OsStr::new(DEFAULT_BOX)).into(),
        api_key,
        fsync: !parsed.flag("no-fsync"),
        force: parsed.flag("force"),
        level: Level::chosen(parsed.count("quiet"), parsed.count("verbose")),
        format: match parsed.value("log-format") {
            Some(format) => parse_choice("log-format", format, &formats)?,
            None => Format::Text,
        },
    })
}

/// `HOST:PORT` with a port that is a number. Whether the host exists is found out when it is listened on.
fn listen_address(value: &OsStr) -> Result<String, UsageError> {
    let text = parse_text("listen", value)?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && is_port(port) => Ok(text.to_owned()),
        _ => Err(UsageError::BadValue {
            option: "listen",
            value: value.to_owned(),
            wanted: "HOST:PORT, as in 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(args: &[&str], env: &[(&str, &str)]) -> Result<Command, UsageError> {
        let lookup = |name: &str| {
            env.iter().find_map(|(known, value)| (*known == name).then(|| OsString::from(value)))
        };
        read(args.iter().map(OsString::from), lookup)
    }

    fn config(args: &[&str], env: &[(&str, &str)]) -> Config {
        match read_with(args, env) {
            Ok(Command::Serve(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let config = config(&[], &[("API_KEY", "")]);
        assert_eq!(config.listen, "127.0.0.1:8080");
        assert_eq!(config.box_dir, PathBuf::from("./box"));
        assert_eq!((config.api_key, config.fsync, config.force), (None, true, false));
        assert_eq!((config.level, config.format), (Level::Info, Format::Text));
    }

    #[test]
    fn the_command_line_beats_the_environment() {
        let env = [("SERVER_ADDRESS", "0.0.0.0:1"), ("FILESYNC_BOX", "/b"), ("FILESYNC_NO_FSYNC", "1")];
        let from_env = config(&[], &env);
        assert_eq!((from_env.listen.as_str(), from_env.fsync), ("0.0.0.0:1", false));
        assert_eq!(from_env.box_dir, PathBuf::from("/b"));
        let both = config(&["--listen=[::1]:0", "--box", "x", "-vv", "--log-format", "json"], &env);
        assert_eq!((both.listen.as_str(), both.level, both.format), ("[::1]:0", Level::Debug, Format::Json));
        let option = config(&[], &[("FILESYNC_LISTEN", "h:2"), ("SERVER_ADDRESS", "h:1")]);
        assert_eq!(option.listen, "h:2");
    }

    #[test]
    fn commands() {
        assert_eq!(read_with(&["-h", "nonsense"], &[("FILESYNC_FORCE", "perhaps")]), Ok(Command::Help));
        assert_eq!(read_with(&["-V"], &[]), Ok(Command::Version));
        assert_eq!(read_with(&["verify", "--box", "b"], &[]), Ok(Command::Verify("b".into())));
        for args in [&["serve"][..], &["verify", "b"], &["--bax", "b"], &["--box"]] {
            assert!(read_with(args, &[]).is_err(), "{args:?}");
        }
    }

    #[test]
    fn addresses_that_are_none() {
        for address in ["", "8080", ":8080", "localhost", "localhost:", "localhost:+80", "h:65536", "h:80/"] {
            assert!(read_with(&[&format!("--listen={address}")], &[]).is_err(), "{address:?}");
        }
    }

    #[test]
    fn the_key_does_not_show() {
        let config = config(&[], &[("API_KEY", "correct-horse-battery")]);
        assert!(!format!("{config:?}").contains("horse"));
    }
}
