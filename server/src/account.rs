//! `server token`, `server revoke` and `server rotate`: who may speak to a server, changed beside it while it runs.
//!
//! ```text
//!     server token --client NAME ...       signs a token, and prints it: the only copy there is
//!     server revoke --client NAME          ends all tokens that this client was given so far
//!     server revoke --id ID                ends one
//!     server rotate                        makes a new key to sign with; the one before the last is forgotten, with its tokens
//! ```
//!
//! All of them change files in `.filesync/tokens` of the box, one process at a time; the server looks at them with each token that it is
//! shown. The token alone goes to stdout, so that it can be put into a file without ever being seen.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use common::cli::exit::Exit;
use common::cli::format::{size, utc};
use common::disk::{Lock, LockError, PRIVATE_DIRECTORY, Root};
use common::limits::{REVOCATIONS, TOKEN_LEEWAY};
use common::protocol::{Allowance, path_to_wire};
use common::sys::user::effective_id;
use common::tree::Path;
use common::wire::jwt::{self, Claims, Scope};

use crate::auth::{Book, Keyring, random_name, wall_clock};

/// What a new token is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewToken {
    pub(crate) box_dir: PathBuf,
    pub(crate) client: String,
    pub(crate) root: Option<Path>,
    pub(crate) scope: Scope,
    pub(crate) allowed: Allowance,
    pub(crate) life: Duration,
}

/// What is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The token of this id.
    Token(String),
    /// All tokens that this client was given so far.
    Client(String),
}

/// `server token`.
pub(crate) fn token(new: &NewToken) -> Exit {
    run(mint(new))
}

/// `server revoke`.
pub(crate) fn revoke(box_dir: &FilePath, what: &Revocation) -> Exit {
    run(end(box_dir, what))
}

/// `server rotate`.
pub(crate) fn rotate(box_dir: &FilePath) -> Exit {
    run(turn(box_dir))
}

/// What a command has to say.
#[derive(Debug)]
struct Said {
    /// For stdout.
    result: Option<String>,
    /// For people.
    words: String,
}

/// Why it was not done.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    words: String,
}

fn failed(words: impl Display) -> Failure {
    Failure { exit: Exit::Failed, words: words.to_string() }
}

fn run(done: Result<Said, Failure>) -> Exit {
    let (exit, words) = match done {
        Ok(Said { result, words }) => {
            let printed = result.map_or(Ok(()), |result| writeln!(io::stdout(), "{result}"));
            match printed {
                Ok(()) => (Exit::Agreement, words),
                Err(error) => (Exit::Failed, format!("can't print the token: {error}")),
            }
        }
        Err(Failure { exit, words }) => (exit, words),
    };
    let _ = writeln!(io::stderr(), "server: {words}");
    exit
}

fn mint(new: &NewToken) -> Result<Said, Failure> {
    let mut desk = Desk::open(&new.box_dir)?;
    let now = wall_clock();
    let iat = now.max(desk.book.revoked.issue_from(&new.client));
    if now + TOKEN_LEEWAY.as_secs() < iat {
        let until = shown(iat - 1);
        return Err(failed(format!(
            "the tokens of {} are revoked up to {until}, which is yet to come; was the clock wrong then, or is it now?",
            new.client
        )));
    }
    let claims = Claims {
        sub: new.client.clone(),
        root: new.root.as_ref().map(path_to_wire),
        scope: new.scope,
        quota_bytes: new.allowed.bytes,
        quota_entries: new.allowed.entries,
        iat,
        exp: iat.saturating_add(new.life.as_secs()),
        jti: random_name().map_err(failed)?,
    };
    let (name, key) = desk.keyring()?.signing();
    let token = jwt::mint(name, key, &claims).map_err(failed)?;
    let does = match new.scope {
        Scope::Read => "reads",
        Scope::Write => "reads and writes",
    };
    let place = new.root.as_ref().map_or("everything".to_owned(), |root| format!("what is in {root}"));
    let words = format!(
        "the token {} lets {} in until {}; it {does} {place}{}. To end it before: server revoke --box {} --id {}",
        claims.jti,
        new.client,
        shown(claims.exp),
        bound(new.allowed),
        new.box_dir.display(),
        claims.jti
    );
    Ok(Said { result: Some(token), words })
}

/// Up to how much, in words.
fn bound(Allowance { bytes, entries }: Allowance) -> String {
    match (bytes.map(size), entries) {
        (None, None) => String::new(),
        (Some(bytes), None) => format!(", up to {bytes}"),
        (None, Some(entries)) => format!(", up to {entries} entries"),
        (Some(bytes), Some(entries)) => format!(", up to {bytes} and {entries} entries"),
    }
}

fn end(box_dir: &FilePath, what: &Revocation) -> Result<Said, Failure> {
    let mut desk = Desk::open(box_dir)?;
    let now = wall_clock();
    let (done, words) = match what {
        Revocation::Token(id) => {
            (desk.book.revoked.revoke_token(id, now), format!("the token {id} is revoked"))
        }
        Revocation::Client(name) => (
            desk.book.revoked.revoke_client(name, now),
            format!("all tokens of {name} that were issued up to now are revoked"),
        ),
    };
    done.map_err(|_| {
        failed(format!(
            "{REVOCATIONS} are revoked already; server rotate, done twice, ends all tokens there are"
        ))
    })?;
    desk.book
        .write_revoked(&desk.private)
        .map_err(|error| failed(format!("nothing was revoked: {error}")))?;
    Ok(Said { result: None, words })
}

fn turn(box_dir: &FilePath) -> Result<Said, Failure> {
    let mut desk = Desk::open(box_dir)?;
    let rotated = match desk.book.keyring.take() {
        Some(keyring) => keyring.rotated(),
        None => Keyring::make(),
    };
    desk.book.keyring = Some(rotated.map_err(failed)?);
    desk.write_keys()?;
    let words = "new tokens are signed with a new key; those of the key before are valid until the next rotation, and older ones not any more";
    Ok(Said { result: None, words: words.to_owned() })
}

fn shown(seconds: u64) -> String {
    utc(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// What another user writes here, the server could not read.
fn require_owner(private: &Root) -> Result<(), Failure> {
    let owner = std::fs::metadata(private.path()).map_err(failed)?.uid();
    match owner == effective_id() {
        true => Ok(()),
        false => Err(failed(format!(
            "{} belongs to the user {owner}: run this as that user",
            private.path().display()
        ))),
    }
}

/// The files of a box that say who may come in, for one process at a time.
struct Desk {
    private: Root,
    book: Book,
    _lock: Lock,
}

impl Desk {
    fn open(box_dir: &FilePath) -> Result<Desk, Failure> {
        let at = |error: io::Error| failed(format!("can't open the box {}: {error}", box_dir.display()));
        let root = Root::open(box_dir).map_err(at)?;
        if !root.has_private_directory().map_err(at)? {
            return Err(failed(format!(
                "{} is not a box: it becomes one when a server is started on it",
                box_dir.display()
            )));
        }
        let private = root.sub_root(PRIVATE_DIRECTORY).map_err(at)?;
        require_owner(&private)?;
        let tokens = private.sub_root(b"tokens").map_err(at)?;
        let lock = Lock::take(&tokens).map_err(|error| match error {
            LockError::Held(holder) => Failure {
                exit: Exit::FolderInUse,
                words: format!("{holder} is changing the tokens of {}; try again", box_dir.display()),
            },
            LockError::Io(error) => at(error),
        })?;
        let book = Book::read(&private).map_err(failed)?;
        Ok(Desk { private, book, _lock: lock })
    }

    /// The keys, made if there are none.
    fn keyring(&mut self) -> Result<&Keyring, Failure> {
        if self.book.keyring.is_none() {
            self.book.keyring = Some(Keyring::make().map_err(failed)?);
            self.write_keys()?;
        }
        self.book.keyring.as_ref().ok_or_else(|| failed("there is no key to sign with"))
    }

    fn write_keys(&self) -> Result<(), Failure> {
        self.book
            .write_keys(&self.private)
            .map_err(|error| failed(format!("the keys can't be written: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn new_token(scratch: &Scratch) -> NewToken {
        NewToken {
            box_dir: scratch.path().to_owned(),
            client: "the laptop".into(),
            root: Some(Path::new(b"photos/a b").unwrap()),
            scope: Scope::Read,
            allowed: Allowance { bytes: Some(1 << 30), entries: Some(7) },
            life: Duration::from_secs(60),
        }
    }

    #[test]
    fn what_is_minted_can_be_read() {
        let scratch = Scratch::new("account");
        let new = new_token(&scratch);
        assert_eq!(mint(&new).unwrap_err().exit, Exit::Failed, "no server was ever started there");
        std::fs::create_dir(scratch.path().join(".filesync")).unwrap();
        let said = mint(&new).unwrap();
        let token = said.result.unwrap();
        let verify = |token: &str| {
            let book = Desk::open(scratch.path()).unwrap().book;
            let claims = jwt::verify(token, |name| book.keyring.as_ref()?.named(name), wall_clock());
            claims.ok().filter(|claims| !book.revoked.has(claims))
        };
        let claims = verify(&token).unwrap();
        assert_eq!(claims.root.as_deref(), Some("photos/a%20b"));
        assert_eq!((claims.exp - claims.iat, claims.scope), (60, Scope::Read));
        assert_eq!((claims.quota_bytes, claims.quota_entries), (Some(1 << 30), Some(7)));
        assert!(said.words.contains("up to 1.0 GiB and 7 entries"), "{}", said.words);
        assert!(said.words.contains(&claims.jti) && !said.words.contains(&token));

        end(scratch.path(), &Revocation::Token(claims.jti)).unwrap();
        assert_eq!(verify(&token), None);
        let second = mint(&new).unwrap().result.unwrap();
        assert!(verify(&second).is_some());
        end(scratch.path(), &Revocation::Client("the laptop".into())).unwrap();
        assert_eq!(verify(&second), None);
        let third = mint(&new).unwrap().result.unwrap();
        assert!(verify(&third).is_some(), "issued in the very second of the revocation");
        turn(scratch.path()).unwrap();
        assert!(verify(&third).is_some());
        turn(scratch.path()).unwrap();
        assert_eq!(verify(&third), None);
    }

    #[test]
    fn one_at_a_time() {
        let scratch = Scratch::new("account");
        std::fs::create_dir(scratch.path().join(".filesync")).unwrap();
        let desk = Desk::open(scratch.path()).unwrap();
        assert_eq!(mint(&new_token(&scratch)).unwrap_err().exit, Exit::FolderInUse);
        drop(desk);
        assert!(mint(&new_token(&scratch)).is_ok());
    }
}
