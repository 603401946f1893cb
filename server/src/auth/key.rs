//! The key: who has it may do everything. It is made for boxes of one person, who copies it to the machines that are to sync.
//!
//! ```text
//!     API_KEY in the environment          at least 16 characters, unless nobody but this machine can connect
//!     .filesync/key in the box            otherwise: 32 random bytes in hex, made at the first start, readable by its owner only
//! ```

use std::fmt;

use common::disk::{RenameMode, Root};
use common::limits::{KEY_FILE_BYTES, KEY_LENGTH_MIN};
use common::tree::Path;
use common::wire::hmac::is_equal;
use common::wire::sha256::{Hash, sha256};

use super::secrets::{self, SecretError, random};

/// Name of the key file in the private directory.
const KEY_FILE: &[u8] = b"key";

/// The key, as far as it is needed to recognise it.
#[derive(Clone)]
pub(crate) struct Key {
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
    /// The key file is of no use.
    File(SecretError),
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
            KeyError::File(error) => write!(f, "the key file .filesync/key is of no use: {error}"),
        }
    }
}

impl From<SecretError> for KeyError {
    fn from(error: SecretError) -> KeyError {
        KeyError::File(error)
    }
}

/// Without the digest: short keys can be found from it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// Takes the key from `API_KEY` if it is set and not empty, else from the key file, which is made if there is none.
    pub(crate) fn load(
        api_key: Option<&str>,
        private: &Root,
        loopback: bool,
    ) -> Result<(Key, KeySource), KeyError> {
        match api_key.filter(|key| !key.is_empty()) {
            Some(key) if key.len() < KEY_LENGTH_MIN && !loopback => Err(KeyError::TooShort),
            Some(key) => Ok((Key::new(key)?, KeySource::Environment)),
            None => {
                let (key, source) = read_or_make(private)?;
                Ok((Key::new(&key)?, source))
            }
        }
    }

    /// This key.
    pub(crate) fn new(key: &str) -> Result<Key, KeyError> {
        match !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Key { digest: sha256(key.as_bytes()) }),
            false => Err(KeyError::NotVisible),
        }
    }

    /// Whether what somebody shows is the key. The hashes are compared, all bytes of them, so that how long it takes tells nothing about
    /// how much of a guess was right.
    pub(crate) fn is(&self, shown: &str) -> bool {
        is_equal(&self.digest.0, &sha256(shown.as_bytes()).0)
    }
}

fn read_or_make(private: &Root) -> Result<(String, KeySource), KeyError> {
    let name = Path::new(KEY_FILE).expect("the name of the key file is a path");
    if let Some(text) = secrets::read(private, &name, KEY_FILE_BYTES)? {
        return Ok((text.trim_ascii_end().to_owned(), KeySource::File));
    }
    let key = Hash(random().map_err(SecretError::Io)?).to_string();
    secrets::write(private, &name, &format!("{key}\n"), RenameMode::NoReplace).map_err(SecretError::Io)?;
    Ok((key, KeySource::NewFile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn keys_that_can_not_be_sent_are_no_keys() {
        for key in ["", "two words", "tab\t", "ü"] {
            assert!(Key::new(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_private() {
        let scratch = Scratch::new("key");
        let private = Root::open(scratch.path()).unwrap();
        let (first, source) = read_or_make(&private).unwrap();
        assert_eq!((first.len(), source), (64, KeySource::NewFile));
        assert_eq!(read_or_make(&private).unwrap(), (first, KeySource::File));
        private.set_mode(&Path::new(KEY_FILE).unwrap(), 0o640).unwrap();
        let exposed = |error| matches!(error, Err(KeyError::File(SecretError::Exposed { mode: 0o640 })));
        assert!(exposed(read_or_make(&private)));
        assert!(matches!(Key::load(Some("short"), &private, false), Err(KeyError::TooShort)));
        assert_eq!(Key::load(Some("short"), &private, true).unwrap().1, KeySource::Environment);
    }

    #[test]
    fn a_key_that_others_could_try_has_a_least_length() {
        let scratch = Scratch::new("key");
        let private = Root::open(scratch.path()).unwrap();
        let load = |length: usize, loopback| Key::load(Some(&"k".repeat(length)), &private, loopback);
        assert!(matches!(load(KEY_LENGTH_MIN - 1, false), Err(KeyError::TooShort)));
        assert!(load(KEY_LENGTH_MIN, false).is_ok() && load(1, true).is_ok());
    }

    #[test]
    fn a_key_file_has_a_longest_length() {
        let scratch = Scratch::new("key");
        let private = Root::open(scratch.path()).unwrap();
        let name = Path::new(KEY_FILE).unwrap();
        let load = |length: u64| {
            let key = "k".repeat(usize::try_from(length).unwrap());
            secrets::write(&private, &name, &key, RenameMode::Replace).unwrap();
            Key::load(None, &private, false)
        };
        assert!(load(KEY_FILE_BYTES).is_ok());
        let too_long = load(KEY_FILE_BYTES + 1);
        assert!(matches!(too_long, Err(KeyError::File(SecretError::Malformed(_)))), "{too_long:?}");
    }
}
