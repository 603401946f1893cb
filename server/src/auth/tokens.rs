//! The signed tokens of a box: the files that say what they are signed with and which of them were revoked, as a running server reads
//! them, and as the commands beside it change them.
//!
//! ```text
//!     server token, revoke, rotate  --lock-->  .filesync/tokens/{keys,revoked}  <--looks for each token--  server
//! ```
//!
//! The files are replaced, never written into, so one that looks as it did holds what it held: the server looks at them with each token
//! that it is shown, and reads them when they changed. So what was revoked is refused from the next request on, without a restart. If they
//! can't be read, no token is taken, and none is called wrong either: that would send clients home that did nothing wrong.

use std::fmt;
use std::io;
use std::sync::RwLock;
use std::time::{SystemTime, UNIX_EPOCH};

use common::cli::log::Log;
use common::disk::{Fingerprint, RenameMode, Root};
use common::limits::{KEY_FILE_BYTES, REVOKED_FILE_BYTES};
use common::threads::{read, write};
use common::tree::Path;
use common::wire::jwt::{self, Claims, JwtError};

use super::Denied;
use super::keyring::{self, Keyring};
use super::revoked::{self, Revoked};
use super::secrets::{self, SecretError};

const KEYS: &[u8] = b"tokens/keys";
const REVOKED: &[u8] = b"tokens/revoked";

/// What the files hold.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    /// `None`: no token was ever minted.
    pub(crate) keyring: Option<Keyring>,
    pub(crate) revoked: Revoked,
}

/// One of the files, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct BookError {
    file: &'static [u8],
    error: SecretError,
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".filesync/{} is of no use: {}", self.file.escape_ascii(), self.error)
    }
}

impl Book {
    /// Reads the files in this private directory. What is not there is empty.
    pub(crate) fn read(private: &Root) -> Result<Book, BookError> {
        let keys = text(private, KEYS, KEY_FILE_BYTES)?;
        let keyring = keys.map(|text| parsed(Keyring::parse(&text), KEYS, keyring::WANTED)).transpose()?;
        let revoked = text(private, REVOKED, REVOKED_FILE_BYTES)?.unwrap_or_default();
        let revoked = parsed(Revoked::parse(&revoked), REVOKED, revoked::WANTED)?;
        Ok(Book { keyring, revoked })
    }

    /// Writes the keys. The directory must be there.
    pub(crate) fn write_keys(&self, private: &Root) -> io::Result<()> {
        match &self.keyring {
            Some(keyring) => secrets::write(private, &path(KEYS), &keyring.text(), RenameMode::Replace),
            None => Ok(()),
        }
    }

    /// Writes what was revoked. The directory must be there.
    pub(crate) fn write_revoked(&self, private: &Root) -> io::Result<()> {
        secrets::write(private, &path(REVOKED), &self.revoked.text(), RenameMode::Replace)
    }

    fn verify(&self, token: &str, now: u64) -> Result<Claims, Denied> {
        let Some(keyring) = &self.keyring else { return Err(Denied::Wrong) };
        let claims = jwt::verify(token, |name| keyring.named(name), now).map_err(|error| match error {
            JwtError::Expired => Denied::Expired,
            _ => Denied::Wrong,
        })?;
        if self.revoked.has(&claims) { Err(Denied::Revoked) } else { Ok(claims) }
    }
}

/// The tokens, for a running server.
pub(crate) struct Tokens {
    private: Root,
    log: Log,
    known: RwLock<Known>,
}

/// What was read.
struct Known {
    /// What the files looked like; `None` if they could not be read, and have to be tried again.
    prints: Option<Prints>,
    /// `None`: they could not be read, which was said.
    book: Option<Book>,
}

type Prints = [Option<Fingerprint>; 2];

/// Without the keys.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("private", &self.private).finish_non_exhaustive()
    }
}

impl Tokens {
    /// The tokens of the box with this private directory.
    ///
    /// # Errors
    /// The files are there and can't be used.
    pub(crate) fn open(private: Root, log: Log) -> Result<Tokens, BookError> {
        // If they are changed in between they look different the next time.
        let prints = prints(&private).unwrap_or_default();
        let book = Book::read(&private)?;
        Ok(Tokens { private, log, known: RwLock::new(Known { prints: Some(prints), book: Some(book) }) })
    }

    /// What a token says, if it is one that is valid now.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Denied> {
        let now = wall_clock();
        let prints = prints(&self.private).map_err(|_| Denied::Unknown)?;
        {
            let known = read(&self.known);
            if known.prints == Some(prints) {
                return known.verify(token, now);
            }
        }
        let mut known = write(&self.known);
        *known = match Book::read(&self.private) {
            Ok(book) => Known { prints: Some(prints), book: Some(book) },
            Err(error) => {
                if known.book.is_some() {
                    self.log.error(format!("{error}; until that is mended, no token is taken"));
                }
                Known { prints: None, book: None }
            }
        };
        known.verify(token, now)
    }
}

impl Known {
    fn verify(&self, token: &str, now: u64) -> Result<Claims, Denied> {
        self.book.as_ref().ok_or(Denied::Unknown)?.verify(token, now)
    }
}

/// Seconds since 1970.
pub(crate) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn prints(private: &Root) -> io::Result<Prints> {
    let stat = |file| private.stat(&path(file));
    Ok([stat(KEYS)?, stat(REVOKED)?].map(|found| found.map(|stat| stat.print)))
}

fn text(private: &Root, file: &'static [u8], most: u64) -> Result<Option<String>, BookError> {
    secrets::read(private, &path(file), most).map_err(|error| BookError { file, error })
}

fn parsed<T>(parsed: Option<T>, file: &'static [u8], wanted: &'static str) -> Result<T, BookError> {
    parsed.ok_or(BookError { file, error: SecretError::Malformed(wanted) })
}

fn path(file: &[u8]) -> Path {
    Path::new(file).expect("the names of these files are paths")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use common::cli::log::{Format, Level};
    use common::limits::{CLIENT_ID_BYTES, REVOCATIONS, TOKEN_LEEWAY};
    use common::wire::jwt::Scope;

    fn mint(book: &Book, jti: &str, exp: u64) -> String {
        let (name, key) = book.keyring.as_ref().unwrap().signing();
        let claims = Claims {
            sub: "laptop".into(),
            root: None,
            scope: Scope::Write,
            quota_bytes: None,
            quota_entries: None,
            iat: exp - 3600,
            exp,
            jti: jti.into(),
        };
        jwt::mint(name, key, &claims).unwrap()
    }

    #[test]
    fn a_running_server_follows_the_files() {
        let scratch = Scratch::new("tokens");
        let private = Root::open(scratch.path()).unwrap();
        let log = Log::new(Level::Error, Format::Text);
        let tokens = Tokens::open(private.try_clone().unwrap(), log).unwrap();
        let ends = wall_clock() + 1800;

        private.sub_root(b"tokens").unwrap();
        let mut book = Book { keyring: Some(Keyring::make().unwrap()), revoked: Revoked::default() };
        let (one, other) = (mint(&book, "1", ends), mint(&book, "2", ends));
        assert_eq!(tokens.verify(&one), Err(Denied::Wrong), "no token was ever minted");
        book.write_keys(&private).unwrap();
        assert_eq!(tokens.verify(&one).map(|claims| claims.jti), Ok("1".into()));
        assert_eq!(
            tokens.verify(&mint(&book, "3", wall_clock() - TOKEN_LEEWAY.as_secs())),
            Err(Denied::Expired)
        );

        book.revoked.revoke_token("1", wall_clock()).unwrap();
        book.write_revoked(&private).unwrap();
        assert_eq!(tokens.verify(&one), Err(Denied::Revoked));
        assert!(tokens.verify(&other).is_ok());

        book.keyring = Some(book.keyring.unwrap().rotated().unwrap());
        book.write_keys(&private).unwrap();
        assert!(tokens.verify(&other).is_ok(), "of the key before");
        book.keyring = Some(book.keyring.unwrap().rotated().unwrap());
        book.write_keys(&private).unwrap();
        assert_eq!(tokens.verify(&other), Err(Denied::Wrong), "of a key that is gone");

        let newest = mint(&book, "4", ends);
        for file in [KEYS, REVOKED] {
            private.set_mode(&path(file), 0o644).unwrap();
            assert_eq!(tokens.verify(&newest), Err(Denied::Unknown));
            private.set_mode(&path(file), 0o600).unwrap();
            assert!(tokens.verify(&newest).is_ok());
            let text = std::fs::read(scratch.path().join(str::from_utf8(file).unwrap())).unwrap();
            secrets::write(&private, &path(file), "damaged\n", RenameMode::Replace).unwrap();
            assert_eq!(tokens.verify(&newest), Err(Denied::Unknown));
            assert!(Tokens::open(private.try_clone().unwrap(), log).is_err());
            secrets::write(&private, &path(file), str::from_utf8(&text).unwrap(), RenameMode::Replace)
                .unwrap();
            assert!(tokens.verify(&newest).is_ok());
        }
    }

    #[test]
    fn the_longest_files_that_are_written_are_read_and_no_longer_ones() {
        let scratch = Scratch::new("tokens");
        let private = Root::open(scratch.path()).unwrap();
        private.sub_root(b"tokens").unwrap();
        let mut keyring = Keyring::make().unwrap();
        for _ in 0..3 {
            keyring = keyring.rotated().unwrap();
        }
        let mut revoked = Revoked::default();
        for number in 0..REVOCATIONS {
            revoked.revoke_client(&format!("{number:0CLIENT_ID_BYTES$}"), u64::MAX).unwrap();
        }
        let book = Book { keyring: Some(keyring), revoked };
        book.write_keys(&private).unwrap();
        book.write_revoked(&private).unwrap();
        assert_eq!(Book::read(&private).unwrap().revoked, book.revoked);
        for (file, most) in [(KEYS, KEY_FILE_BYTES), (REVOKED, REVOKED_FILE_BYTES)] {
            let before = text(&private, file, most).unwrap().unwrap();
            assert!(before.len() as u64 <= most);
            let long = "\n".repeat(usize::try_from(most).unwrap() + 1);
            secrets::write(&private, &path(file), &long, RenameMode::Replace).unwrap();
            let error = Book::read(&private).unwrap_err().to_string();
            assert!(error.ends_with("longer than such a file can be"), "{error}");
            secrets::write(&private, &path(file), &before, RenameMode::Replace).unwrap();
        }
    }
}
