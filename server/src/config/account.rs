//! The command lines of `server token`, `revoke` and `rotate`. Each has options of its own, and its word comes first.
//!
//! Nothing but the box is taken from the environment: a token is given to somebody, and not to whoever is around.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use common::cli::args::{
    Parsed, Spec, UsageError, parse, parse_duration, parse_size, parse_text, parse_u64_in,
};
use common::limits::{CLIENT_ID_BYTES, TOKEN_LIFE_LONGEST};
use common::protocol::Allowance;
use common::tree::Path;
use common::wire::jwt::Scope;

use super::{Command, DEFAULT_BOX};
use crate::account::{NewToken, Revocation};

const BOX: Spec = Spec::value("box");
const HELP: Spec = Spec::query("help", 'h');
const TOKEN: &[Spec] = &[
    BOX,
    HELP,
    Spec::value("client"),
    Spec::value("root"),
    Spec::flag("read-only"),
    Spec::value("quota-bytes"),
    Spec::value("quota-entries"),
    Spec::value("expires"),
];
const REVOKE: &[Spec] = &[BOX, HELP, Spec::value("client"), Spec::value("id")];
const ROTATE: &[Spec] = &[BOX, HELP];

/// How long a token lives unless told otherwise.
const DEFAULT_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads what comes after the word.
pub(super) type Reader =
    fn(&mut dyn Iterator<Item = OsString>, &dyn Fn(&str) -> Option<OsString>) -> Result<Command, UsageError>;

/// What the first word asks for, if it is one of these.
pub(super) fn command_of(word: &OsString) -> Option<Reader> {
    match word.to_str()? {
        "token" => Some(|args, env| read(TOKEN, args, env, token)),
        "revoke" => Some(|args, env| read(REVOKE, args, env, revoke)),
        "rotate" => Some(|args, env| read(ROTATE, args, env, |parsed| Ok(Command::Rotate(box_dir(parsed))))),
        _ => None,
    }
}

fn read(
    options: &'static [Spec],
    args: &mut dyn Iterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
    resolve: impl FnOnce(&Parsed) -> Result<Command, UsageError>,
) -> Result<Command, UsageError> {
    let parsed = parse(options, args, |name| env(name).filter(|_| name == "FILESYNC_BOX"))?;
    if parsed.flag("help") {
        return Ok(Command::Help);
    }
    parsed.no_argument()?;
    resolve(&parsed)
}

fn token(parsed: &Parsed) -> Result<Command, UsageError> {
    let client = parsed.value("client").ok_or(UsageError::MissingArgument("--client NAME"))?;
    Ok(Command::Token(NewToken {
        box_dir: box_dir(parsed),
        client: client_name(client)?,
        root: parsed.value("root").map(folder).transpose()?,
        scope: if parsed.flag("read-only") { Scope::Read } else { Scope::Write },
        allowed: allowance(parsed)?,
        life: parsed.value("expires").map_or(Ok(DEFAULT_LIFE), life)?,
    }))
}

fn allowance(parsed: &Parsed) -> Result<Allowance, UsageError> {
    let entries = |value| parse_u64_in("quota-entries", value, 1..=u64::MAX);
    Ok(Allowance {
        bytes: parsed.value("quota-bytes").map(|value| parse_size("quota-bytes", value)).transpose()?,
        entries: parsed.value("quota-entries").map(entries).transpose()?,
    })
}

fn revoke(parsed: &Parsed) -> Result<Command, UsageError> {
    let what = match (parsed.value("client"), parsed.value("id")) {
        (Some(client), None) => Revocation::Client(client_name(client)?),
        (None, Some(id)) => Revocation::Token(token_id(id)?),
        (None, None) => return Err(UsageError::MissingArgument("--client NAME or --id ID")),
        (Some(_), Some(_)) => return Err(UsageError::UnexpectedArgument("--id".into())),
    };
    Ok(Command::Revoke { box_dir: box_dir(parsed), what })
}

fn box_dir(parsed: &Parsed) -> PathBuf {
    parsed.value("box").unwrap_or(OsStr::new(DEFAULT_BOX)).into()
}

fn client_name(value: &OsStr) -> Result<String, UsageError> {
    let name = parse_text("client", value)?;
    let is_name = (1..=CLIENT_ID_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(bad(
            "client",
            value,
            format!("a name of 1 to {CLIENT_ID_BYTES} bytes without control characters"),
        )),
    }
}

fn token_id(value: &OsStr) -> Result<String, UsageError> {
    let id = parse_text("id", value)?;
    let is_id =
        (1..=CLIENT_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match is_id {
        true => Ok(id.to_owned()),
        false => Err(bad("id", value, "the id of a token, as `server token` tells it".to_owned())),
    }
}

/// A shell that completes the name of a folder leaves a slash behind it.
fn folder(value: &OsStr) -> Result<Path, UsageError> {
    let bytes = value.as_bytes();
    Path::new(bytes.strip_suffix(b"/").unwrap_or(bytes)).map_err(|error| {
        bad("root", value, format!("the path of a folder in the box, relative to it ({error})"))
    })
}

fn life(value: &OsStr) -> Result<Duration, UsageError> {
    let life = parse_duration("expires", value)?;
    match (Duration::from_secs(1)..=TOKEN_LIFE_LONGEST).contains(&life) {
        true => Ok(life),
        false => {
            let days = TOKEN_LIFE_LONGEST.as_secs() / (24 * 3600);
            Err(bad("expires", value, format!("a time span from 1s to {days}d")))
        }
    }
}

fn bad(option: &'static str, value: &OsStr, wanted: String) -> UsageError {
    UsageError::BadValue { option, value: value.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(args: &[&str], env: &[(&str, &str)]) -> Result<Command, UsageError> {
        let lookup = |name: &str| {
            env.iter().find_map(|(known, value)| (*known == name).then(|| OsString::from(value)))
        };
        super::super::read(args.iter().map(OsString::from), lookup)
    }

    #[test]
    fn what_can_be_asked_for() {
        let new = NewToken {
            box_dir: "b".into(),
            client: "the laptop".into(),
            root: Some(Path::new(b"photos/2026").unwrap()),
            scope: Scope::Read,
            allowed: Allowance { bytes: Some(10 << 30), entries: Some(100_000) },
            life: Duration::from_secs(7200),
        };
        let args = [
            "token",
            "--box=b",
            "--client",
            "the laptop",
            "--root",
            "photos/2026/",
            "--read-only",
            "--quota-bytes=10G",
            "--quota-entries",
            "100000",
            "--expires=2h",
        ];
        assert_eq!(read_with(&args, &[]), Ok(Command::Token(new)));
        let plain = NewToken {
            box_dir: "./box".into(),
            client: "a".into(),
            root: None,
            scope: Scope::Write,
            allowed: Allowance::default(),
            life: DEFAULT_LIFE,
        };
        assert_eq!(read_with(&["token", "--client=a"], &[]), Ok(Command::Token(plain)));
        let what = Revocation::Client("a".into());
        let env = [("FILESYNC_BOX", "e"), ("FILESYNC_ID", "7f"), ("FILESYNC_CLIENT", "x")];
        assert_eq!(
            read_with(&["revoke", "--client=a"], &env),
            Ok(Command::Revoke { box_dir: "e".into(), what })
        );
        let what = Revocation::Token("7f".into());
        assert_eq!(
            read_with(&["revoke", "--id", "7f"], &[]),
            Ok(Command::Revoke { box_dir: "./box".into(), what })
        );
        assert_eq!(read_with(&["rotate", "--box", "b"], &[]), Ok(Command::Rotate("b".into())));
        assert_eq!(read_with(&["token", "-h"], &[]), Ok(Command::Help));
    }

    #[test]
    fn what_can_not() {
        for args in [
            &["token"][..],
            &["token", "--client="],
            &["token", "--client=a\nb"],
            &["token", "--client=a", "--root="],
            &["token", "--client=a", "--root=/etc"],
            &["token", "--client=a", "--root=../x"],
            &["token", "--client=a", "--root=.filesync"],
            &["token", "--client=a", "--root=a//b"],
            &["token", "--client=a", "--expires=0s"],
            &["token", "--client=a", "--expires=401d"],
            &["token", "--client=a", "--expires=30"],
            &["token", "--client=a", "--quota-bytes=0"],
            &["token", "--client=a", "--quota-bytes=10GB"],
            &["token", "--client=a", "--quota-entries=10K"],
            &["token", "--client=a", "--quota-entries=0"],
            &["token", "--client=a", "--id=7f"],
            &["token", "--client=a", "more"],
            &["revoke"],
            &["revoke", "--client=a", "--id=7f"],
            &["revoke", "--id=a b"],
            &["revoke", "--client=a", "--read-only"],
            &["rotate", "--client=a"],
            &["--box=b", "token", "--client=a"],
        ] {
            assert!(read_with(args, &[]).is_err(), "{args:?}");
        }
    }
}
