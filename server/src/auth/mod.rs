//! Who may speak to the server, and what they may do: whoever holds its key, or a token that was signed for them. It never runs open.
//!
//! ```text
//!     Authorization: Bearer KEY       the whole box                              key.rs
//!     Authorization: Bearer TOKEN     what the token says: a folder, to read     tokens.rs, keyring.rs, revoked.rs
//!                                     or to write, until then
//!     anything else                   401, and after a few of them 429           throttle.rs
//! ```
//!
//! What comes of it is a [`Grant`]. One that rests on a token is asked for again where something takes long: a stream, an upload.

mod key;
mod keyring;
mod revoked;
mod secrets;
mod throttle;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::cli::log::Log;
use common::protocol::{Allowance, Problem, ProblemKind, path_from_wire};
use common::threads::lock;
use common::wire::http::fields::Fields;
use common::wire::jwt::{Claims, Scope, looks_like};

use crate::answer::Answer;
use crate::realm::Realm;

pub(crate) use self::key::{Key, KeySource};
pub(crate) use self::keyring::Keyring;
pub(crate) use self::secrets::random_name;
use self::throttle::{Failure, Throttle};
pub(crate) use self::tokens::{Book, Tokens, wall_clock};

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
    /// It shows wrong ones all the time; the next may come after this time.
    TooOften(Duration),
    /// Its token has ended.
    Expired,
    /// Its token was ended.
    Revoked,
    /// Nobody can tell: what is known of tokens can't be read.
    Unknown,
}

/// What somebody may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) dialect: Dialect,
    /// Where.
    pub(crate) realm: Realm,
    pub(crate) scope: Scope,
    /// How much may be there when he has written.
    pub(crate) allowed: Allowance,
    /// The token that says so; `None` for who has the key.
    token: Option<Token>,
}

#[derive(Clone)]
struct Token {
    text: String,
    /// For whom it is.
    subject: String,
}

/// Without what it is.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What is needed to judge who may come in.
#[derive(Debug)]
pub(crate) struct Auth {
    key: Key,
    tokens: Tokens,
    throttle: Mutex<Throttle>,
    log: Log,
}

impl Auth {
    /// Guards with this key and these tokens.
    pub(crate) fn new(key: Key, tokens: Tokens, log: Log) -> Auth {
        Auth { key, tokens, throttle: Mutex::default(), log }
    }

    /// What a request that comes from this address may do.
    ///
    /// Without a scheme a key counts only for a request that does not accept an event stream: that is how the original's clients are known.
    pub(crate) fn check(&self, fields: &Fields, peer: IpAddr) -> Result<Grant, Denied> {
        let (shown, dialect) = match credentials(fields) {
            Ok(credentials) => credentials,
            Err(denied) => return Err(self.count(denied, peer)),
        };
        if self.key.is(shown) {
            let allowed = Allowance::default();
            return Ok(Grant { dialect, realm: Realm::default(), scope: Scope::Write, allowed, token: None });
        }
        let claims = match looks_like(shown) {
            true => self.tokens.verify(shown),
            false => Err(Denied::Wrong),
        };
        let granted = claims.and_then(|claims| {
            Ok(Grant {
                dialect,
                realm: realm(&claims)?,
                scope: claims.scope,
                allowed: Allowance { bytes: claims.quota_bytes, entries: claims.quota_entries },
                token: Some(Token { text: shown.to_owned(), subject: claims.sub }),
            })
        });
        granted.map_err(|denied| self.count(denied, peer))
    }

    /// Whether what was granted still is.
    pub(crate) fn check_again(&self, grant: &Grant) -> Result<(), Denied> {
        match &grant.token {
            None => Ok(()),
            Some(Token { text, .. }) => self.tokens.verify(text).map(drop),
        }
    }

    /// Only what is wrong looks like guessing: a token that has ended was one.
    fn count(&self, denied: Denied, peer: IpAddr) -> Denied {
        if denied != Denied::Wrong {
            return denied;
        }
        match lock(&self.throttle).fail(peer, Instant::now()) {
            Failure::Counted => denied,
            Failure::Throttled { after, is_first } => {
                if is_first {
                    self.log.warn(format!("{peer} shows one wrong key after the other, and is throttled"));
                }
                Denied::TooOften(after)
            }
        }
    }
}

fn credentials(fields: &Fields) -> Result<(&str, Dialect), Denied> {
    let Ok(Some(value)) = fields.unique("authorization") else {
        return Err(if fields.get("authorization").is_some() { Denied::Wrong } else { Denied::Missing });
    };
    match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok((key.trim_ascii(), Dialect::Filesync))
        }
        Some(_) => Err(Denied::Wrong),
        None if fields.has_token("accept", "text/event-stream") => Err(Denied::Wrong),
        None => Ok((value, Dialect::Original)),
    }
}

fn realm(claims: &Claims) -> Result<Realm, Denied> {
    match &claims.root {
        None => Ok(Realm::default()),
        Some(root) => path_from_wire(root).map(Realm::below).map_err(|_| Denied::Wrong),
    }
}

impl Grant {
    /// Everything in this realm, for a test.
    #[cfg(test)]
    pub(crate) fn of_a_test(realm: Realm) -> Grant {
        let allowed = Allowance::default();
        Grant { dialect: Dialect::Filesync, realm, scope: Scope::Write, allowed, token: None }
    }

    /// The same, by a token that is none any more.
    #[cfg(test)]
    pub(crate) fn of_a_token_that_ended(realm: Realm) -> Grant {
        let token = Some(Token { text: "a.b.c".to_owned(), subject: "somebody".to_owned() });
        Grant { token, ..Grant::of_a_test(realm) }
    }

    /// By which name a client is known that calls itself so. An id is what a client says of itself; whom a token is for is not. So nobody
    /// can speak in the name of a client with another token, and several machines may share one. An id has no slash in it.
    pub(crate) fn identity(&self, id: &str) -> String {
        match &self.token {
            Some(Token { subject, .. }) => format!("{subject}/{id}"),
            None => id.to_owned(),
        }
    }

    /// Whether it lasts as long as the server runs.
    pub(crate) fn is_lasting(&self) -> bool {
        self.token.is_none()
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::Missing => "send Authorization: Bearer KEY",
            Denied::Wrong => "the key is not valid here",
            Denied::TooOften(_) => "wrong keys come from this address all the time",
            Denied::Expired => "the token has expired",
            Denied::Revoked => "the token was revoked",
            Denied::Unknown => "the server can't check tokens now; its log tells more",
        })
    }
}

impl Denied {
    /// The status, and what to do about it (RFC 6750, section 3).
    pub(crate) fn answer(self) -> Answer {
        let kind = match self {
            Denied::Missing | Denied::Wrong | Denied::Expired | Denied::Revoked => ProblemKind::Unauthorized,
            Denied::TooOften(_) => ProblemKind::TooManyAttempts,
            Denied::Unknown => ProblemKind::Busy,
        };
        let answer = Answer::problem(&Problem::new(kind, self.to_string()));
        let invalid = |description: &str| {
            format!("{CHALLENGE}, error=\"invalid_token\", error_description=\"{description}\"")
        };
        match self {
            Denied::Missing => answer.with("www-authenticate", CHALLENGE),
            Denied::Wrong | Denied::Expired | Denied::Revoked => {
                answer.with("www-authenticate", invalid(&self.to_string()))
            }
            // A second that has begun has to end.
            Denied::TooOften(after) => answer.with("retry-after", (after.as_secs() + 1).to_string()),
            Denied::Unknown => answer.with("retry-after", "5"),
        }
    }
}

/// What is answered to who may read and wants to write (RFC 6750, section 3.1).
pub(crate) fn insufficient_scope(detail: &str) -> Answer {
    Answer::problem(&Problem::new(ProblemKind::InsufficientScope, detail))
        .with("www-authenticate", format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"write\""))
}

const CHALLENGE: &str = "Bearer realm=\"filesync\"";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::testing::Workshop;
    use common::limits::FAILURES;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
            ("Bearer a.b.c", "*/*", Err(Denied::Wrong)),
            ("", "*/*", Err(Denied::Wrong)),
        ] {
            // Each has a server of its own, so that nobody is throttled.
            let workshop = Workshop::new();
            let fields = Fields::new().with("authorization", authorization).with("accept", accept);
            let granted = workshop.service.auth.check(&fields, PEER).map(|grant| grant.dialect);
            assert_eq!(granted, want, "{authorization:?} {accept:?}");
        }
        let workshop = Workshop::new();
        let check = |fields: &Fields| workshop.service.auth.check(fields, PEER).err();
        assert_eq!(check(&Fields::new()), Some(Denied::Missing));
        let key = "correct-horse-battery";
        let twice = Fields::new().with("authorization", key).with("authorization", key);
        assert_eq!(check(&twice), Some(Denied::Wrong));
    }

    #[test]
    fn wrong_keys_are_throttled_and_right_ones_never() {
        let workshop = Workshop::new();
        let check = |authorization: &str| {
            let fields = Fields::new().with("authorization", authorization);
            workshop.service.auth.check(&fields, PEER).err()
        };
        for _ in 0..FAILURES {
            assert_eq!(check("Bearer wrong"), Some(Denied::Wrong));
        }
        let Some(Denied::TooOften(after)) = check("Bearer wrong") else { panic!("it is throttled") };
        assert!(!after.is_zero());
        assert_eq!(check("Bearer correct-horse-battery"), None);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let wrong = Fields::new().with("authorization", "Bearer wrong");
        assert_eq!(workshop.service.auth.check(&wrong, elsewhere).err(), Some(Denied::Wrong));
        assert_eq!(workshop.service.auth.check(&Fields::new(), PEER).err(), Some(Denied::Missing));
    }

    #[test]
    fn a_refusal_says_what_is_wanted() {
        let answer = |denied: Denied| {
            let answer = denied.answer();
            let field = |name| answer.fields.get(name).unwrap_or("").to_owned();
            (answer.status, field("www-authenticate"), field("retry-after"))
        };
        let invalid = |words| {
            format!("Bearer realm=\"filesync\", error=\"invalid_token\", error_description=\"{words}\"")
        };
        for (denied, want) in [
            (Denied::Missing, (401, "Bearer realm=\"filesync\"".into(), "")),
            (Denied::Wrong, (401, invalid("the key is not valid here"), "")),
            (Denied::Expired, (401, invalid("the token has expired"), "")),
            (Denied::Revoked, (401, invalid("the token was revoked"), "")),
            (Denied::TooOften(Duration::from_millis(5900)), (429, String::new(), "6")),
            (Denied::Unknown, (503, String::new(), "5")),
        ] {
            let (status, challenge, retry_after) = want;
            assert_eq!(answer(denied), (status, challenge, retry_after.to_owned()), "{denied:?}");
        }
    }
}
