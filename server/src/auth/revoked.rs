//! Tokens that were ended before their time: single ones by their name, or all that a client was given so far. Pure.
//!
//! ```text
//!     .filesync/tokens/revoked   token 1790000000 7f3ac1...        this one
//!                                client 1790000000 the laptop      all of this client's that were issued up to then
//! ```
//!
//! A token lives for a time that has a bound, so what was revoked is forgotten after that: the list does not grow for ever.

use std::collections::BTreeMap;

use common::limits::{REVOCATIONS, TOKEN_LEEWAY, TOKEN_LIFE_LONGEST};
use common::wire::jwt::Claims;

/// What the file has to look like.
pub(super) const WANTED: &str = "each of its lines has to be `token SECONDS NAME` or `client SECONDS NAME`; it was written by hand or damaged";

/// What was revoked, and when, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    tokens: BTreeMap<String, u64>,
    clients: BTreeMap<String, u64>,
}

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Revoked {
    /// Reads the file.
    pub(crate) fn parse(text: &str) -> Option<Revoked> {
        let mut revoked = Revoked::default();
        for line in text.split_terminator('\n') {
            let (what, rest) = line.split_once(' ')?;
            let (time, name) = rest.split_once(' ')?;
            let is_number = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
            let time = time.parse().ok().filter(|_| is_number && !name.is_empty())?;
            let list = match what {
                "token" => &mut revoked.tokens,
                "client" => &mut revoked.clients,
                _ => return None,
            };
            list.insert(name.to_owned(), time);
        }
        (text.is_empty() || text.ends_with('\n')).then_some(revoked)
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let tokens = self.tokens.iter().map(|(name, time)| format!("token {time} {name}\n"));
        let clients = self.clients.iter().map(|(name, time)| format!("client {time} {name}\n"));
        tokens.chain(clients).collect()
    }

    /// Ends the token of this name.
    pub(crate) fn revoke_token(&mut self, name: &str, now: u64) -> Result<(), Full> {
        self.forget_old(now);
        self.tokens.insert(name.to_owned(), now);
        self.check_room()
    }

    /// Ends all tokens that this client was given up to now.
    pub(crate) fn revoke_client(&mut self, name: &str, now: u64) -> Result<(), Full> {
        self.forget_old(now);
        // A clock that was put back must not give a life back to what was revoked.
        let until = self.clients.get(name).map_or(now, |until| now.max(*until));
        self.clients.insert(name.to_owned(), until);
        self.check_room()
    }

    /// Whether a token was revoked.
    pub(crate) fn has(&self, claims: &Claims) -> bool {
        self.tokens.contains_key(&claims.jti)
            || self.clients.get(&claims.sub).is_some_and(|until| claims.iat <= *until)
    }

    /// When a new token of this client's is to be issued, at the earliest, so that it is not among those that were revoked.
    pub(crate) fn issue_from(&self, client: &str) -> u64 {
        self.clients.get(client).map_or(0, |until| until.saturating_add(1))
    }

    fn forget_old(&mut self, now: u64) {
        // A token may have been issued so much later than it was revoked, by a clock that goes differently.
        let memory = (TOKEN_LIFE_LONGEST + TOKEN_LEEWAY * 2).as_secs();
        let is_recent = |_: &String, time: &mut u64| now <= time.saturating_add(memory);
        self.tokens.retain(is_recent);
        self.clients.retain(is_recent);
    }

    fn check_room(&self) -> Result<(), Full> {
        if self.tokens.len() + self.clients.len() <= REVOCATIONS { Ok(()) } else { Err(Full) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::jwt::Scope;

    const NOW: u64 = 1_790_000_000;

    fn claims(sub: &str, jti: &str, iat: u64) -> Claims {
        let (sub, jti) = (sub.to_owned(), jti.to_owned());
        Claims {
            sub,
            root: None,
            scope: Scope::Write,
            quota_bytes: None,
            quota_entries: None,
            iat,
            exp: iat + 1,
            jti,
        }
    }

    #[test]
    fn one_token_or_all_of_a_client() {
        let mut revoked = Revoked::default();
        revoked.revoke_token("t1", NOW).unwrap();
        revoked.revoke_client("the laptop", NOW).unwrap();
        for (claims, want) in [
            (claims("phone", "t1", NOW - 5), true),
            (claims("phone", "t2", NOW - 5), false),
            (claims("the laptop", "t3", NOW - 5), true),
            (claims("the laptop", "t3", NOW), true),
            (claims("the laptop", "t3", NOW + 1), false),
            (claims("the", "t3", NOW), false),
        ] {
            assert_eq!(revoked.has(&claims), want, "{claims:?}");
        }
        assert_eq!((revoked.issue_from("the laptop"), revoked.issue_from("phone")), (NOW + 1, 0));
        revoked.revoke_client("the laptop", NOW - 3600).unwrap();
        assert!(revoked.has(&claims("the laptop", "t3", NOW)), "the clock was put back");
        assert_eq!(Revoked::parse(&revoked.text()), Some(revoked));
    }

    #[test]
    fn what_no_token_can_outlive_is_forgotten() {
        let mut revoked = Revoked::default();
        revoked.revoke_token("old", NOW).unwrap();
        let later = NOW + (TOKEN_LIFE_LONGEST + TOKEN_LEEWAY * 2).as_secs() + 1;
        revoked.revoke_token("new", later - 1).unwrap();
        assert_eq!(revoked.tokens.len(), 2);
        revoked.revoke_token("new", later).unwrap();
        assert_eq!(revoked.tokens.len(), 1);
    }

    #[test]
    fn the_list_has_a_bound() {
        let mut revoked = Revoked::default();
        for number in 0..REVOCATIONS {
            revoked.revoke_token(&number.to_string(), NOW).unwrap();
        }
        assert_eq!(revoked.clone().revoke_client("a", NOW), Err(Full));
        assert_eq!(revoked.revoke_token("0", NOW), Ok(()));
    }

    #[test]
    fn what_is_no_list() {
        assert_eq!(Revoked::parse(""), Some(Revoked::default()));
        for text in [
            "token 1 a",
            "\n",
            "token 1 a\n\n",
            "token 1\n",
            "token 1 \n",
            "token  1 a\n",
            "token +1 a\n",
            "token 18446744073709551616 a\n",
            "user 1 a\n",
            "token a 1\n",
            "token 1 a\ntoken 1",
        ] {
            assert_eq!(Revoked::parse(text), None, "{text:?}");
        }
    }
}
