//! The keys that tokens are signed with: one for new tokens, and the one before it, so that a key can be replaced while tokens of the old
//! one are still in use. They never leave the machine; that sets them apart from the key that clients show.
//!
//! ```text
//!     .filesync/tokens/keys      0c4a91...e7 5b2f...      name and 32 bytes in hex: signs, and is taken
//!                                77d013...20 c90e...      the one before: is taken
//! ```

use std::fmt;
use std::io;

use common::wire::jwt::SigningKey;
use common::wire::sha256::Hash;

use super::secrets::{random, random_name};

/// What the file has to look like.
pub(super) const WANTED: &str = "each of its one or two lines has to be a name and 64 hexadecimal digits; it was written by hand or damaged";

/// One or two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyring {
    signing: Named,
    before: Option<Named>,
}

#[derive(Clone, PartialEq, Eq)]
struct Named {
    name: String,
    key: SigningKey,
}

/// Without the key.
impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring with one new key.
    pub(crate) fn make() -> io::Result<Keyring> {
        Ok(Keyring { signing: Named::make()?, before: None })
    }

    /// With a new key in front. The one that was there before the last is gone, and with it all tokens of its.
    pub(crate) fn rotated(self) -> io::Result<Keyring> {
        Ok(Keyring { signing: Named::make()?, before: Some(self.signing) })
    }

    /// Reads the file.
    pub(crate) fn parse(text: &str) -> Option<Keyring> {
        let mut lines = text.strip_suffix('\n')?.split('\n').map(Named::parse);
        let keyring = Keyring {
            signing: lines.next()??,
            before: lines.next().map_or(Some(None), |line| line.map(Some))?,
        };
        let is_clear = keyring.before.as_ref().is_none_or(|before| before.name != keyring.signing.name);
        (lines.next().is_none() && is_clear).then_some(keyring)
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let line = |Named { name, key }: &Named| format!("{name} {}\n", Hash(*key));
        [Some(&self.signing), self.before.as_ref()].into_iter().flatten().map(line).collect()
    }

    /// The key for new tokens, and its name.
    pub(crate) fn signing(&self) -> (&str, &SigningKey) {
        (&self.signing.name, &self.signing.key)
    }

    /// The key of this name.
    pub(crate) fn named(&self, name: &str) -> Option<SigningKey> {
        let keys = [Some(&self.signing), self.before.as_ref()];
        keys.into_iter().flatten().find(|key| key.name == name).map(|key| key.key)
    }
}

impl Named {
    fn make() -> io::Result<Named> {
        Ok(Named { name: random_name()?, key: random()? })
    }

    fn parse(line: &str) -> Option<Named> {
        let (name, key) = line.split_once(' ')?;
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain.then_some(Named { name: name.to_owned(), key: Hash::parse(key)?.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_taken_and_the_newer_signs() {
        let first = Keyring::make().unwrap();
        let (name, key) = (first.signing().0.to_owned(), *first.signing().1);
        let second = first.clone().rotated().unwrap();
        assert_ne!(second.signing(), (name.as_str(), &key));
        assert_eq!(second.named(&name), Some(key));
        let third = second.clone().rotated().unwrap();
        assert_eq!(third.named(&name), None);
        assert!(third.named(second.signing().0).is_some() && third.named("").is_none());
        for keyring in [first, second, third] {
            let text = keyring.text();
            assert_eq!(Keyring::parse(&text), Some(keyring.clone()));
            for end in 0..text.len() {
                assert_ne!(Keyring::parse(&text[..end]), Some(keyring.clone()), "prefix of {end} bytes");
            }
            assert!(!format!("{keyring:?}").contains(&Hash(*keyring.signing().1).to_string()));
        }
    }

    #[test]
    fn what_is_no_keyring() {
        let key = "5b".repeat(32);
        assert!(Keyring::parse(&format!("a {key}\nb {key}\n")).is_some());
        for text in [
            String::new(),
            "\n".into(),
            format!("a {key}"),
            format!("a {key}\n\n"),
            format!("a {key}\na {key}\n"),
            format!("a {key}\nb {key}\nc {key}\n"),
            format!("a  {key}\n"),
            format!(" {key}\n"),
            format!("a {}\n", &key[2..]),
            format!("a {key}00\n"),
            format!("a {}\n", key.to_uppercase()),
            format!("a.b {key}\n"),
        ] {
            assert_eq!(Keyring::parse(&text), None, "{text:?}");
        }
    }
}
