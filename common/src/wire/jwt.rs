//! Signed tokens: JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, under HMAC-SHA256 and nothing else.
//!
//! ```text
//!     eyJhbGciOiJI...  .  eyJzdWIiOiJs...  .  dBjftJeZ4CVP...
//!     header              claims              HMAC-SHA256 of all in front of the second dot
//!     {"alg":"HS256","typ":"JWT","kid":"0c4a..."}
//!                         {"sub":"laptop","root":"photos","scope":"read","iat":1790000000,"exp":1792592000,"jti":"7f3a..."}
//! ```
//!
//! Format notes:
//! - The token does not choose how it is checked: the algorithm is pinned (RFC 8725, 3.1), `none` and any other are refused before a key
//!   is looked up. So is `crit`: whatever it names, this reader does not know it (RFC 7515, 4.1.11).
//! - Base64url is strict, unused bits included, so no token has a second text; JSON is strict, so no member comes
//!   twice (RFC 7519, section 4, leaves the choice).
//! - Claims are read only once the code is right. Header parameters and claims that are not known here are passed over, as both RFCs want it.
//! - Times are whole seconds. `exp` and `iat` are required, `nbf` is heeded. Clocks may differ by [`TOKEN_LEEWAY`].

use std::error::Error;
use std::fmt;

use super::base64::{decode_url, encode_url};
use super::hmac::{hmac_sha256, is_equal};
use super::json::{self, Value, Writer};
use crate::limits::{CLIENT_ID_BYTES, TOKEN_BYTES, TOKEN_LEEWAY, TOKEN_LIFE_LONGEST};

/// What a token is signed with: as long as its code (RFC 7518, 3.2).
pub type SigningKey = [u8; 32];

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it was given to.
    pub sub: String,
    /// The folder that it is confined to, in the form that paths have on the wire; `None`: none.
    pub root: Option<String>,
    /// What it allows.
    pub scope: Scope,
    /// The most bytes that there may be where it writes; `None`: any number.
    pub quota_bytes: Option<u64>,
    /// The most entries, likewise.
    pub quota_entries: Option<u64>,
    /// When it was issued, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// Its own name, by which it can be revoked.
    pub jti: String,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To read.
    Read,
    /// To read and to write.
    Write,
}

impl Scope {
    /// Its word in a token.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
        }
    }

    fn from_word(word: &str) -> Option<Scope> {
        [Scope::Read, Scope::Write].into_iter().find(|scope| scope.word() == word)
    }
}

/// Why a token is none, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// Longer than [`TOKEN_BYTES`].
    TooLong,
    /// Not three parts of strict base64url with dots between them.
    Form,
    /// The header is not a JSON object that says `HS256` and `JWT`, and names a key, and nothing critical.
    Header,
    /// No key has the name that the header gives.
    UnknownKey,
    /// The code is not that of this text under that key.
    Code,
    /// The text is genuine, and this claim is missing or not what it has to be.
    Claim(&'static str),
    /// It is genuine, and has ended.
    Expired,
    /// It is genuine, and has not begun.
    NotYet,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwtError::TooLong => write!(f, "the token is longer than {TOKEN_BYTES} bytes"),
            JwtError::Form => f.write_str("the token is not three parts of base64url"),
            JwtError::Header => f.write_str("the header of the token is not one of HS256 with a key's name"),
            JwtError::UnknownKey => f.write_str("no key has the name that the token gives"),
            JwtError::Code => f.write_str("the token is not signed with its key"),
            JwtError::Claim(name) => write!(f, "the token's claim {name} is not as it has to be"),
            JwtError::Expired => f.write_str("the token has expired"),
            JwtError::NotYet => f.write_str("the token is not valid yet"),
        }
    }
}

impl Error for JwtError {}

/// Signs claims with the key of this name.
///
/// # Errors
/// The claims are none that [`verify`] would take: [`JwtError::Claim`] or [`JwtError::TooLong`].
pub fn mint(name: &str, key: &SigningKey, claims: &Claims) -> Result<String, JwtError> {
    check(claims)?;
    let mut header = Writer::new();
    header
        .begin_object()
        .field_str("alg", ALGORITHM)
        .field_str("typ", TYPE)
        .field_str("kid", name)
        .end_object();
    let mut body = Writer::new();
    body.begin_object().field_str("sub", &claims.sub);
    if let Some(root) = &claims.root {
        body.field_str("root", root);
    }
    body.field_str("scope", claims.scope.word());
    for (name, most) in [(QUOTA_BYTES, claims.quota_bytes), (QUOTA_ENTRIES, claims.quota_entries)] {
        if let Some(most) = most {
            body.field_u64(name, most);
        }
    }
    body.field_u64("iat", claims.iat).field_u64("exp", claims.exp).field_str("jti", &claims.jti).end_object();
    let signed = format!("{}.{}", encode_url(&header.finish()), encode_url(&body.finish()));
    let code = encode_url(&hmac_sha256(key, signed.as_bytes()));
    let token = format!("{signed}.{code}");
    if token.len() <= TOKEN_BYTES { Ok(token) } else { Err(JwtError::TooLong) }
}

/// Whether a text has the form of a token, so that it is worth telling why it is none.
pub fn looks_like(text: &str) -> bool {
    text.bytes().filter(|&byte| byte == b'.').count() == 2
}

/// Reads a token, if it is one, signed with a key of ours, and valid `now` (in seconds since 1970).
///
/// # Errors
/// See [`JwtError`].
pub fn verify(
    token: &str,
    key_named: impl FnOnce(&str) -> Option<SigningKey>,
    now: u64,
) -> Result<Claims, JwtError> {
    if TOKEN_BYTES < token.len() {
        return Err(JwtError::TooLong);
    }
    let (signed, code) = token.rsplit_once('.').ok_or(JwtError::Form)?;
    let (header, body) = signed.split_once('.').ok_or(JwtError::Form)?;
    let [header, body, code] = [header, body, code].map(|part| decode_url(part).map_err(|_| JwtError::Form));
    let (header, body, code) = (header?, body?, code?);
    let code = <[u8; 32]>::try_from(code).map_err(|_| JwtError::Form)?;
    let key = key_named(&key_name(&header)?).ok_or(JwtError::UnknownKey)?;
    if !is_equal(&hmac_sha256(&key, signed.as_bytes()), &code) {
        return Err(JwtError::Code);
    }
    let body = json::parse(&body).map_err(|_| JwtError::Claim("as a whole"))?;
    let claims = read_claims(&body)?;
    check(&claims)?;
    check_times(&claims, not_before(&body)?, now)?;
    Ok(claims)
}

const ALGORITHM: &str = "HS256";
const TYPE: &str = "JWT";
const QUOTA_BYTES: &str = "quota_bytes";
const QUOTA_ENTRIES: &str = "quota_entries";

/// The name of the key, from a header that is in order.
fn key_name(header: &[u8]) -> Result<String, JwtError> {
    let header = json::parse(header).map_err(|_| JwtError::Header)?;
    let text = |name| header.get(name).and_then(Value::as_str);
    let is_in_order = text("alg") == Some(ALGORITHM)
        && header.get("typ").is_none_or(|typ| typ.as_str() == Some(TYPE))
        && header.get("crit").is_none();
    match text("kid") {
        Some(name) if is_in_order => Ok(name.to_owned()),
        _ => Err(JwtError::Header),
    }
}

fn read_claims(body: &Value) -> Result<Claims, JwtError> {
    let text = |name: &'static str| {
        let text = body.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or(JwtError::Claim(name))
    };
    let number = |name: &'static str| body.get(name).and_then(Value::as_u64).ok_or(JwtError::Claim(name));
    let quota = |name| body.get(name).map(|_| number(name)).transpose();
    Ok(Claims {
        sub: text("sub")?,
        root: body.get("root").map(|_| text("root")).transpose()?,
        scope: Scope::from_word(&text("scope")?).ok_or(JwtError::Claim("scope"))?,
        quota_bytes: quota(QUOTA_BYTES)?,
        quota_entries: quota(QUOTA_ENTRIES)?,
        iat: number("iat")?,
        exp: number("exp")?,
        jti: text("jti")?,
    })
}

fn not_before(body: &Value) -> Result<u64, JwtError> {
    body.get("nbf").map_or(Ok(0), |time| time.as_u64().ok_or(JwtError::Claim("nbf")))
}

/// What has to be so at any time.
fn check(claims: &Claims) -> Result<(), JwtError> {
    let Claims { sub, root, iat, exp, jti, .. } = claims;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let rules = [
        ("sub", (1..=CLIENT_ID_BYTES).contains(&sub.len()) && !sub.chars().any(char::is_control)),
        ("root", root.as_ref().is_none_or(|root| !root.is_empty())),
        ("jti", (1..=CLIENT_ID_BYTES).contains(&jti.len()) && jti.bytes().all(is_plain)),
        ("exp", exp.checked_sub(*iat).is_some_and(|life| (1..=TOKEN_LIFE_LONGEST.as_secs()).contains(&life))),
    ];
    match rules.into_iter().find(|(_, is_kept)| !is_kept) {
        None => Ok(()),
        Some((name, _)) => Err(JwtError::Claim(name)),
    }
}

fn check_times(claims: &Claims, not_before: u64, now: u64) -> Result<(), JwtError> {
    let leeway = TOKEN_LEEWAY.as_secs();
    if now.saturating_add(leeway) < claims.iat.max(not_before) {
        return Err(JwtError::NotYet);
    }
    if claims.ends_at() <= now { Err(JwtError::Expired) } else { Ok(()) }
}

impl Claims {
    /// The first second in which the token is not taken any more, leeway included.
    pub fn ends_at(&self) -> u64 {
        self.exp.saturating_add(TOKEN_LEEWAY.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SigningKey = [7; 32];
    const NOW: u64 = 1_790_000_000;

    fn claims() -> Claims {
        Claims {
            sub: "the laptop".into(),
            root: Some("photos/a%20b".into()),
            scope: Scope::Read,
            quota_bytes: Some(10 << 30),
            quota_entries: Some(u64::MAX),
            iat: NOW,
            exp: NOW + 3600,
            jti: "7f3a".into(),
        }
    }

    fn read_at(token: &str, now: u64) -> Result<Claims, JwtError> {
        verify(token, |name| (name == "k1").then_some(KEY), now)
    }

    fn read(token: &str) -> Result<Claims, JwtError> {
        read_at(token, NOW)
    }

    /// Signed as it should be, whatever it says.
    fn signed(header: &str, body: &str) -> String {
        let signed = format!("{}.{}", encode_url(header.as_bytes()), encode_url(body.as_bytes()));
        let code = encode_url(&hmac_sha256(&KEY, signed.as_bytes()));
        format!("{signed}.{code}")
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#;
    const BODY: &str = r#"{"sub":"a","scope":"write","iat":1790000000,"exp":1790003600,"jti":"1"}"#;

    /// RFC 7515, appendix A.1: the code of the RFC's own example is what it is there. As a token it lacks the name of a key.
    #[test]
    fn the_example_of_the_rfc() {
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19\
                     yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = decode_url(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        );
        let (text, code) = token.rsplit_once('.').unwrap();
        assert_eq!(encode_url(&hmac_sha256(&key.unwrap(), text.as_bytes())), code);
        assert_eq!(read(token), Err(JwtError::Header));
    }

    #[test]
    fn round_trip() {
        for claims in [
            claims(),
            Claims { quota_bytes: None, quota_entries: Some(0), ..claims() },
            Claims { root: None, scope: Scope::Write, sub: "ü\"\\".into(), ..claims() },
            Claims { exp: NOW + TOKEN_LIFE_LONGEST.as_secs(), ..claims() },
        ] {
            let token = mint("k1", &KEY, &claims).unwrap();
            assert!(looks_like(&token));
            assert_eq!(read(&token), Ok(claims));
        }
        assert!(!looks_like("correct-horse-battery") && !looks_like("a.b") && !looks_like("a.b.c.d"));
    }

    /// Every byte replaced by some others, every prefix, and something added: nothing but the text itself is a token.
    #[test]
    fn whoever_touches_it_breaks_it() {
        let token = mint("k1", &KEY, &claims()).unwrap();
        for at in 0..token.len() {
            assert!(read(&token[..at]).is_err(), "prefix of {at} bytes");
            for other in *b"AQgw09-_.=+/ \n" {
                let mut bytes = token.clone().into_bytes();
                if bytes[at] != other {
                    bytes[at] = other;
                    let text = String::from_utf8(bytes).unwrap();
                    assert!(read(&text).is_err(), "{} at {at}", char::from(other));
                }
            }
        }
        for trailing in ["=", ".", "A", " ", "\n", ".e30"] {
            assert!(read(&format!("{token}{trailing}")).is_err(), "trailing {trailing:?}");
            assert!(read(&format!("{trailing}{token}")).is_err(), "leading {trailing:?}");
        }
    }

    #[test]
    fn headers_that_are_refused_although_signed() {
        assert!(read(&signed(HEADER, BODY)).is_ok());
        assert!(read(&signed(r#"{"kid":"k1","alg":"HS256","new":[1]}"#, BODY)).is_ok());
        for header in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"alg":"none","kid":"k1"}"#,
            r#"{"alg":"None","kid":"k1"}"#,
            r#"{"alg":"hs256","kid":"k1"}"#,
            r#"{"alg":"HS512","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"k1"}"#,
            r#"{"alg":["HS256"],"kid":"k1"}"#,
            r#"{"alg":null,"kid":"k1"}"#,
            r#"{"typ":"JWT","kid":"k1"}"#,
            r#"{"alg":"HS256","alg":"HS256","kid":"k1"}"#,
            r#"{"alg":"HS256","alg":"none","kid":"k1"}"#,
            r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#,
            r#"{"alg":"HS256","typ":1,"kid":"k1"}"#,
            r#"{"alg":"HS256","kid":"k1","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","kid":"k1","crit":[]}"#,
            r#"{"alg":"HS256","kid":"k1","crit":null}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":1}"#,
            r#"{"alg":"HS256","kid":"k1"} x"#,
            "{\"alg\":\"HS256\",\"kid\":\"k1\",\"x\":1.5}",
        ] {
            assert_eq!(read(&signed(header, BODY)), Err(JwtError::Header), "{header}");
        }
        let other = signed(r#"{"alg":"HS256","kid":"k2"}"#, BODY);
        assert_eq!(read(&other), Err(JwtError::UnknownKey));
        assert_eq!(verify(&signed(HEADER, BODY), |_| Some([8; 32]), NOW), Err(JwtError::Code));
    }

    #[test]
    fn claims_that_are_refused_although_signed() {
        let whole = JwtError::Claim("as a whole");
        let with = |from: &str, to: &str| BODY.replace(from, to);
        for (body, error) in [
            (String::new(), whole.clone()),
            ("x".into(), whole.clone()),
            (with("{", r#"{"jti":"2","#), whole.clone()),
            (with("{", r#"{"new":{"a":1,"a":1},"#), whole.clone()),
            (with("1790003600", "1790003600.5"), whole.clone()),
            (with("1790003600", "1e400"), whole.clone()),
            (with("1790003600", "18446744073709551616"), whole),
            ("[]".into(), JwtError::Claim("sub")),
            (with(r#""sub":"a","#, ""), JwtError::Claim("sub")),
            (with(r#""a""#, "5"), JwtError::Claim("sub")),
            (with(r#""a""#, r#""""#), JwtError::Claim("sub")),
            (with(r#""a""#, r#""a\nb""#), JwtError::Claim("sub")),
            (with(r#""a""#, &format!("\"{}\"", "a".repeat(129))), JwtError::Claim("sub")),
            (with(r#""scope":"write","#, ""), JwtError::Claim("scope")),
            (with("write", "write read"), JwtError::Claim("scope")),
            (with("write", "Write"), JwtError::Claim("scope")),
            (with(r#""write""#, r#"["write"]"#), JwtError::Claim("scope")),
            (with("{", r#"{"root":null,"#), JwtError::Claim("root")),
            (with("{", r#"{"root":"","#), JwtError::Claim("root")),
            (with("{", r#"{"root":["a"],"#), JwtError::Claim("root")),
            (with(r#","exp":1790003600"#, ""), JwtError::Claim("exp")),
            (with("1790003600", r#""1790003600""#), JwtError::Claim("exp")),
            (with("1790003600", "-1"), JwtError::Claim("exp")),
            (with("1790003600", "null"), JwtError::Claim("exp")),
            (with("1790003600", "1790000000"), JwtError::Claim("exp")),
            (with("1790003600", "18446744073709551615"), JwtError::Claim("exp")),
            (with("1790003600", "9223372036854775808"), JwtError::Claim("exp")),
            (with(r#""iat":1790000000,"#, ""), JwtError::Claim("iat")),
            (with("1790000000", "true"), JwtError::Claim("iat")),
            (with("1790000000", "0"), JwtError::Claim("exp")),
            (with(r#","jti":"1""#, ""), JwtError::Claim("jti")),
            (with(r#""jti":"1""#, r#""jti":"a b""#), JwtError::Claim("jti")),
            (with(r#""jti":"1""#, r#""jti":1"#), JwtError::Claim("jti")),
            (with("{", r#"{"nbf":"1","#), JwtError::Claim("nbf")),
            (with("{", r#"{"quota_bytes":null,"#), JwtError::Claim("quota_bytes")),
            (with("{", r#"{"quota_bytes":-1,"#), JwtError::Claim("quota_bytes")),
            (with("{", r#"{"quota_entries":"9","#), JwtError::Claim("quota_entries")),
        ] {
            assert_eq!(read(&signed(HEADER, &body)), Err(error), "{body}");
        }
    }

    #[test]
    fn a_token_has_its_time() {
        let token = mint("k1", &KEY, &claims()).unwrap();
        let (end, leeway) = (NOW + 3600, TOKEN_LEEWAY.as_secs());
        for (now, want) in [
            (NOW - leeway - 1, Err(JwtError::NotYet)),
            (NOW - leeway, Ok(())),
            (end - 1, Ok(())),
            (end, Ok(())),
            (end + leeway - 1, Ok(())),
            (end + leeway, Err(JwtError::Expired)),
            (0, Err(JwtError::NotYet)),
            (u64::MAX, Err(JwtError::Expired)),
        ] {
            assert_eq!(read_at(&token, now).map(drop), want, "{now}");
        }
        let later = signed(HEADER, &BODY.replace('{', r#"{"nbf":1790000061,"#));
        assert_eq!(read_at(&later, NOW), Err(JwtError::NotYet));
        assert!(read_at(&later, NOW + 1).is_ok());
        assert!(read(&signed(HEADER, &BODY.replace('{', r#"{"nbf":0,"#))).is_ok());
    }

    #[test]
    fn forms_that_are_none() {
        let token = signed(HEADER, BODY);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, body, code] = parts[..] else { panic!("three parts") };
        for text in [
            "",
            ".",
            "..",
            "...",
            header,
            &format!("{header}.{body}"),
            &format!("{header}.{body}."),
            &format!("{header}..{code}"),
            &format!(".{body}.{code}"),
            &format!("{header}.{body}.{code}."),
            &format!("{header}.{body}.{code}.{code}"),
            &format!("{header}=.{body}.{code}"),
            &format!("{header}.{body}.{code}="),
            &format!("{header}.{body}.{}", &code[..code.len() - 1]),
            &format!("{header} .{body}.{code}"),
            r#"{"protected":"e30","payload":"e30","signature":""}"#,
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_token_has_a_longest_length() {
        let long = |length: usize| Claims { root: Some("a".repeat(length)), ..claims() };
        assert!(mint("k1", &KEY, &long(2000)).is_ok());
        assert_eq!(mint("k1", &KEY, &long(TOKEN_BYTES)), Err(JwtError::TooLong));
        let token =
            signed(HEADER, &BODY.replace('{', &format!("{{\"new\":\"{}\",", "a".repeat(TOKEN_BYTES))));
        assert_eq!(read(&token), Err(JwtError::TooLong));
        assert_eq!(read(&".".repeat(TOKEN_BYTES + 1)), Err(JwtError::TooLong));
    }

    #[test]
    fn what_would_be_refused_is_not_minted() {
        for (claims, name) in [
            (Claims { sub: String::new(), ..claims() }, "sub"),
            (Claims { root: Some(String::new()), ..claims() }, "root"),
            (Claims { jti: "a.b".into(), ..claims() }, "jti"),
            (Claims { exp: NOW, ..claims() }, "exp"),
            (Claims { exp: NOW + TOKEN_LIFE_LONGEST.as_secs() + 1, ..claims() }, "exp"),
        ] {
            assert_eq!(mint("k1", &KEY, &claims), Err(JwtError::Claim(name)));
        }
    }
}
