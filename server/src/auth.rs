//! Who may speak to the server: whoever holds its key. The server never runs open.
//!
//! ```text
//!     API_KEY in the environment          at least 16 characters, unless nobody but this machine can connect
//!     .filesync/key in the box            otherwise: 32 random bytes in hex, made at the first start, readable by its owner only
//! ```
//!
//! Keys are compared by their hashes, all bytes of them: how long it takes tells nothing about how much of a guess was right.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};

use common::disk::{RenameMode, Root, Stat};
use common::limits::{KEY_FILE_BYTES, KEY_LENGTH_MIN};
use common::protocol::{Problem, ProblemKind};
use common::tree::Path;
use common::wire::http::fields::Fields;
use common::wire::sha256::{Hash, sha256};

use crate::answer::Answer;

/// Name of the key file in the private directory, and of the one it is made as.
const KEY_FILE: &[u8] = b"key";
const NEW_KEY_FILE: &[u8] = b"key.new";

/// How a client spoke when it showed its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `Authorization: Bearer KEY`: the protocol.
    Filesync,
    /// `Authorization: KEY`: the original's clients.
    Original,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It shows no key.
    Missing,
    /// It shows a wrong one.
    Wrong,
}

/// The key, as far as it is needed to recognise it.
#[derive(Clone)]
pub(crate) struct Auth {
    digest: Hash,
}

/// Where the key came from: to be told at the start, so that whoever runs the server finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// `API_KEY`.
    Environment,
    /// The key file of an earlier start.
    File,
    /// The key file, made just now.
    NewFile,
}

/// Why there is no key to start with.
#[derive(Debug)]
pub(crate) enum KeyError {
    /// `API_KEY` is too short for a server that others can reach.
    TooShort,
    /// The key, from wherever, has bytes that can't stand in a header field.
    NotVisible,
    /// The group or others may read the key file.
    Exposed { mode: u16 },
    /// The key file can't be read or made.
    Io(io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::TooShort => write!(
                f,
                "API_KEY has less than {KEY_LENGTH_MIN} characters, too few for a server that others can reach; choose a longer one, or unset it and the server makes a key file"
            ),
            KeyError::NotVisible => f.write_str(
                "the key must be one word of visible ASCII characters, from API_KEY or .filesync/key",
            ),
            KeyError::Exposed { mode } => write!(
                f,
                "others may read the key file .filesync/key (mode {mode:o}); if nobody has, chmod 600 it, else remove it and a new one is made"
            ),
            KeyError::Io(error) => write!(f, "the key file .filesync/key can't be read or made: {error}"),
        }
    }
}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> KeyError {
        KeyError::Io(error)
    }
}

/// Without the digest: short keys can be found from it.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// Takes the key from `API_KEY` if it is set and not empty, else from the key file, which is made if there is none.
    pub(crate) fn load(
        api_key: Option<&str>,
        private: &Root,
        loopback: bool,
    ) -> Result<(Auth, KeySource), KeyError> {
        match api_key.filter(|key| !key.is_empty()) {
            Some(key) if key.len() < KEY_LENGTH_MIN && !loopback => Err(KeyError::TooShort),
            Some(key) => Ok((Auth::new(key)?, KeySource::Environment)),
            None => {
                let (key, source) = read_or_make(private)?;
                Ok((Auth::new(&key)?, source))
            }
        }
    }

    /// Guards with this key.
    pub(crate) fn new(key: &str) -> Result<Auth, KeyError> {
        match !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Auth { digest: sha256(key.as_bytes()) }),
            false => Err(KeyError::NotVisible),
        }
    }

    /// Whether a request shows the key, and how.
    ///
    /// Without a scheme it counts only for a request that does not accept an event stream: that is how the original's clients are known.
    pub(crate) fn check(&self, fields: &Fields) -> Result<Dialect, Denied> {
        let Ok(Some(value)) = fields.unique("authorization") else {
            return Err(if fields.get("authorization").is_some() { Denied::Wrong } else { Denied::Missing });
        };
        let (key, dialect) = match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => {
                (key.trim_ascii(), Dialect::Filesync)
            }
            Some(_) => return Err(Denied::Wrong),
            None if fields.has_token("accept", "text/event-stream") => return Err(Denied::Wrong),
            None => (value, Dialect::Original),
        };
        if self.is_key(key.as_bytes()) { Ok(dialect) } else { Err(Denied::Wrong) }
    }

    fn is_key(&self, shown: &[u8]) -> bool {
        let differences = self.digest.0.iter().zip(sha256(shown).0).map(|(a, b)| a ^ b);
        // `black_box` keeps the optimiser from leaving the loop at the first difference.
        differences.fold(0, |all, difference| black_box(all | difference)) == 0
    }
}

impl Denied {
    /// 401, and what to do about it.
    pub(crate) fn answer(self) -> Answer {
        let (detail, challenge) = match self {
            Denied::Missing => ("send Authorization: Bearer KEY", "Bearer realm=\"filesync\""),
            Denied::Wrong => {
                ("the key is not valid here", "Bearer realm=\"filesync\", error=\"invalid_token\"")
            }
        };
        let problem = Problem::new(ProblemKind::Unauthorized, detail);
        Answer::problem(&problem).with("www-authenticate", challenge)
    }
}

fn read_or_make(private: &Root) -> Result<(String, KeySource), KeyError> {
    let name = Path::new(KEY_FILE).expect("the name of the key file is a path");
    match private.open_file(&name) {
        Ok(file) => Ok((read_key(&file)?, KeySource::File)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((make_key(private, &name)?, KeySource::NewFile))
        }
        Err(error) => Err(error.into()),
    }
}

fn read_key(file: &File) -> Result<String, KeyError> {
    let mode = Stat::of_file(file)?.mode;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { mode });
    }
    let mut text = String::new();
    file.take(KEY_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text.trim_ascii_end().to_owned())
}

/// Made aside and renamed: a crash must not leave a key file with half a key.
fn make_key(private: &Root, name: &Path) -> Result<String, KeyError> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let key = Hash(random).to_string();
    let new = Path::new(NEW_KEY_FILE).expect("the name of the new key file is a path");
    match private.remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = private.create_new(&new, 0o600)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    Root::rename((private, &new), (private, name), RenameMode::NoReplace)?;
    private.sync_dir(None)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::http::fields::Fields;

    const KEY: &str = "correct-horse-battery";

    fn check(authorization: &str, accept: &str) -> Result<Dialect, Denied> {
        let fields = Fields::new().with("authorization", authorization).with("accept", accept);
        Auth::new(KEY).unwrap().check(&fields)
    }

    #[test]
    fn who_is_let_in() {
        for (authorization, accept, want) in [
            ("Bearer correct-horse-battery", "*/*", Ok(Dialect::Filesync)),
            ("bearer  correct-horse-battery", "text/event-stream", Ok(Dialect::Filesync)),
            ("correct-horse-battery", "*/*", Ok(Dialect::Original)),
            ("correct-horse-battery", "text/event-stream", Err(Denied::Wrong)),
            ("Bearer correct-horse-batter", "*/*", Err(Denied::Wrong)),
            ("Bearer correct-horse-batterys", "*/*", Err(Denied::Wrong)),
            ("Bearer", "*/*", Err(Denied::Wrong)),
            ("Bearer ", "*/*", Err(Denied::Wrong)),
            ("Basic correct-horse-battery", "*/*", Err(Denied::Wrong)),
            ("", "*/*", Err(Denied::Wrong)),
        ] {
            assert_eq!(check(authorization, accept), want, "{authorization:?} {accept:?}");
        }
        let auth = Auth::new(KEY).unwrap();
        assert_eq!(auth.check(&Fields::new()), Err(Denied::Missing));
        let twice = Fields::new().with("authorization", KEY).with("authorization", KEY);
        assert_eq!(auth.check(&twice), Err(Denied::Wrong));
    }

    #[test]
    fn a_refusal_says_what_is_wanted() {
        let challenge = |denied: Denied| denied.answer().fields.get("www-authenticate").map(str::to_owned);
        assert_eq!(challenge(Denied::Missing).unwrap(), "Bearer realm=\"filesync\"");
        assert_eq!(challenge(Denied::Wrong).unwrap(), "Bearer realm=\"filesync\", error=\"invalid_token\"");
    }

    #[test]
    fn keys_that_can_not_be_sent_are_no_keys() {
        for key in ["", "two words", "tab\t", "ü"] {
            assert!(Auth::new(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_private() {
        let dir = std::env::temp_dir().join(format!("filesync-key-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let private = Root::open(&dir).unwrap();
        let (first, source) = read_or_make(&private).unwrap();
        assert_eq!((first.len(), source), (64, KeySource::NewFile));
        assert_eq!(read_or_make(&private).unwrap(), (first, KeySource::File));
        private.set_mode(&Path::new(KEY_FILE).unwrap(), 0o640).unwrap();
        assert!(matches!(read_or_make(&private), Err(KeyError::Exposed { mode: 0o640 })));
        assert!(matches!(Auth::load(Some("short"), &private, false), Err(KeyError::TooShort)));
        assert_eq!(Auth::load(Some("short"), &private, true).unwrap().1, KeySource::Environment);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
