//! The command line of the server, resolved: what is to be done, with every value understood and every default filled in.

mod account;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use common::cli::args::{Parsed, Spec, UsageError, parse, parse_choice, parse_text};
use common::cli::log::{Format, Level};
use common::net::endpoint::parse_socket_path;

use crate::account::{NewToken, Revocation};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Keeps a folder, the box, in sync with the folders of any number of clients.

Usage: server [OPTIONS]
       server verify --box DIR      compare every byte of the box with what the server knows of it, and change nothing; not while
                                    a server runs on it. Prints a line for each difference, and exits with 1 if there is one
       server token --box DIR --client NAME [--root FOLDER] [--read-only] [--expires 30d]
                    [--quota-bytes 10G] [--quota-entries 100000]
                                    print a signed token for a client, which may be kept to one folder of the box, to reading, and to
                                    writing no more than that there are so many bytes and entries in it
       server revoke --box DIR (--client NAME | --id ID)
                                    end all tokens that a client was given so far, or one; a server that runs heeds it at once
       server rotate --box DIR      sign with a new key from now on; tokens of the one before stay valid until the next time

Options:
  --listen HOST:PORT         where to listen [default: 127.0.0.1:8080]; port 0 takes a free one; may be given again
  --listen unix:PATH         the same with a Unix socket
  --socket-mode 600|660      who may connect to it: its owner, or its group too [default: 600]
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
    Spec::values("listen"),
    Spec::value("socket-mode"),
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

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `HOST:PORT`, not looked up yet.
    Tcp(String),
    /// A file.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to do it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen, at least one.
    pub(crate) listen: Vec<Address>,
    /// The mode of Unix sockets.
    pub(crate) socket_mode: u16,
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
    let listen = match parsed.values("listen") {
        [] => vec![from_env("SERVER_ADDRESS").unwrap_or_else(|| DEFAULT_LISTEN.into())],
        given => given.to_vec(),
    };
    let modes = [("600", 0o600), ("660", 0o660)];
    // Its value must not show up in a message, so bytes that are no text become text that is no key.
    let api_key = from_env("API_KEY").map(|key| key.to_string_lossy().into_owned());
    let formats = [("text", Format::Text), ("json", Format::Json)];
    Ok(Config {
        listen: listen.iter().map(|value| listen_address(value)).collect::<Result<_, _>>()?,
        socket_mode: match parsed.value("socket-mode") {
            Some(mode) => parse_choice("socket-mode", mode, &modes)?,
            None => 0o600,
        },
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

/// A socket's path, or `HOST:PORT` with a port that is a number. Whether the host exists is found out when it is listened on.
fn listen_address(value: &OsStr) -> Result<Address, UsageError> {
    let text = parse_text("listen", value)?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let address = match (text.strip_prefix("unix:"), text.rsplit_once(':')) {
        (Some(path), _) => parse_socket_path(path).map(|path| Address::Unix(path.to_owned())),
        (None, Some((host, port))) if !host.is_empty() && is_port(port) => {
            Some(Address::Tcp(text.to_owned()))
        }
        _ => None,
    };
    address.ok_or_else(|| UsageError::BadValue {
        option: "listen",
        value: value.to_owned(),
        wanted: "HOST:PORT, as in 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080, or unix:PATH".to_owned(),
    })
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

    fn tcp(address: &str) -> Address {
        Address::Tcp(address.into())
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
        assert_eq!(config.listen, [tcp("127.0.0.1:8080")]);
        assert_eq!(config.socket_mode, 0o600);
        assert_eq!(config.box_dir, PathBuf::from("./box"));
        assert_eq!((config.api_key, config.fsync, config.force), (None, true, false));
        assert_eq!((config.level, config.format), (Level::Info, Format::Text));
    }

    #[test]
    fn the_command_line_beats_the_environment() {
        let env = [("SERVER_ADDRESS", "0.0.0.0:1"), ("FILESYNC_BOX", "/b"), ("FILESYNC_NO_FSYNC", "1")];
        let from_env = config(&[], &env);
        assert_eq!((from_env.listen, from_env.fsync), (vec![tcp("0.0.0.0:1")], false));
        assert_eq!(from_env.box_dir, PathBuf::from("/b"));
        let both = config(&["--listen=[::1]:0", "--box", "x", "-vv", "--log-format", "json"], &env);
        assert_eq!(
            (both.listen, both.level, both.format),
            (vec![tcp("[::1]:0")], Level::Debug, Format::Json)
        );
        let option = config(&[], &[("FILESYNC_LISTEN", "h:2"), ("SERVER_ADDRESS", "h:1")]);
        assert_eq!(option.listen, [tcp("h:2")]);
        let several = config(&["--listen", "h:1", "--listen=unix:a b", "--socket-mode=660"], &env);
        assert_eq!(several.listen, [tcp("h:1"), Address::Unix("a b".into())]);
        assert_eq!(several.socket_mode, 0o660);
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
        for address in
            ["", "8080", ":8080", "localhost", "localhost:", "localhost:+80", "h:65536", "h:80/", "unix:"]
        {
            assert!(read_with(&[&format!("--listen={address}")], &[]).is_err(), "{address:?}");
        }
        assert!(read_with(&[&format!("--listen=unix:{}", "x".repeat(200))], &[]).is_err());
        assert!(read_with(&["--socket-mode=777"], &[]).is_err());
    }

    #[test]
    fn the_key_does_not_show() {
        let config = config(&[], &[("API_KEY", "correct-horse-battery")]);
        assert!(!format!("{config:?}").contains("horse"));
    }
}
