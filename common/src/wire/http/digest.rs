//! `Repr-Digest` (RFC 9530), as far as SHA-256 goes.
//!
//! ```text
//!     Repr-Digest: sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, md5=:...:
//!                  ^key    ^ byte sequence: base64 between colons
//! ```
//!
//! The value is a dictionary of structured fields (RFC 8941, section 3.2), of which this is the part that digests need.
//!
//! Format notes:
//! - Digests by other algorithms are ignored (section 2), but they have to be well-formed.
//! - A comma at the end is an error; blanks and tabs may stand around commas only.
//!
//! Deviations: the last of several members with one key would win, and parameters after a member would be skipped. Neither makes
//! sense for a digest, and both are refused.

use super::fields::{Fields, trim};
use crate::wire::base64;
use std::fmt;

/// The key of SHA-256.
const SHA_256: &str = "sha-256";

/// Why a digest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// Not a dictionary of byte sequences.
    Malformed,
    /// An algorithm stands there twice.
    Repeated,
    /// A SHA-256 that has not 32 bytes.
    WrongLength,
}

impl DigestError {
    /// The status a server answers with.
    pub fn status(&self) -> u16 {
        400
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestError::Malformed => "malformed repr-digest",
            DigestError::Repeated => "repr-digest names an algorithm twice",
            DigestError::WrongLength => "a sha-256 digest must have 32 bytes",
        })
    }
}

impl std::error::Error for DigestError {}

/// The value of `Repr-Digest` for a SHA-256.
pub fn format_digest(hash: &[u8; 32]) -> String {
    format!("{SHA_256}=:{}:", base64::encode(hash))
}

/// The SHA-256 of a message's `Repr-Digest`, from its head or from its trailers; `None` if there is none by this algorithm.
pub fn repr_digest(fields: &Fields) -> Result<Option<[u8; 32]>, DigestError> {
    // Lines of one field are one list (RFC 9110, section 5.3).
    let lines: Vec<&str> = fields.all("repr-digest").collect();
    parse_digest(&lines.join(", "))
}

/// The SHA-256 of a value of `Repr-Digest`; `None` if there is none by this algorithm.
pub fn parse_digest(value: &str) -> Result<Option<[u8; 32]>, DigestError> {
    if trim(value).is_empty() {
        return Ok(None);
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut found = None;
    for member in value.split(',') {
        let (key, bytes) = parse_member(trim(member)).ok_or(DigestError::Malformed)?;
        if seen.contains(&key) {
            return Err(DigestError::Repeated);
        }
        seen.push(key);
        if key == SHA_256 {
            found = Some(bytes.try_into().map_err(|_| DigestError::WrongLength)?);
        }
    }
    Ok(found)
}

/// ```text
/// key "=" ":" base64 ":"
/// ```
fn parse_member(member: &str) -> Option<(&str, Vec<u8>)> {
    let (key, value) = member.split_once('=')?;
    let encoded = value.strip_prefix(':')?.strip_suffix(':')?;
    if is_key(key) { Some((key, base64::decode(encoded).ok()?)) } else { None }
}

/// ```text
/// key = ( lcalpha / "*" ) *( lcalpha / DIGIT / "_" / "-" / "." / "*" )
/// ```
fn is_key(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
    let other = |byte: u8| first(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte);
    text.bytes().next().is_some_and(first) && text.bytes().all(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes 0 to 31.
    const TEXT: &str = "sha-256=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:";

    fn hash() -> [u8; 32] {
        std::array::from_fn(|index| index as u8)
    }

    #[test]
    fn digests() {
        assert_eq!(format_digest(&hash()), TEXT);
        for value in [TEXT, &format!("md5=:AA==:,{TEXT}"), &format!(" {TEXT}\t, \tx*=:: ")] {
            assert_eq!(parse_digest(value), Ok(Some(hash())), "{value:?}");
        }
        for value in ["", " ", "sha-512=:AA==:", "md5=:AA==:, sha=::"] {
            assert_eq!(parse_digest(value), Ok(None), "{value:?}");
        }
        for end in 1..TEXT.len() {
            assert_eq!(parse_digest(&TEXT[..end]), Err(DigestError::Malformed), "{end}");
        }
        assert_eq!(parse_digest(&format!("{TEXT}trailing")), Err(DigestError::Malformed));
    }

    #[test]
    fn attacks() {
        for (value, want) in [
            (format!("{TEXT},"), DigestError::Malformed),
            (format!(",{TEXT}"), DigestError::Malformed),
            (format!("{TEXT};a=b"), DigestError::Malformed),
            (TEXT.replace("sha", "SHA"), DigestError::Malformed),
            (TEXT.replace("=:A", "= :A"), DigestError::Malformed),
            (TEXT.replace("8=:", "8:"), DigestError::Malformed),
            (TEXT.replace("AAEC", "AA\tC"), DigestError::Malformed),
            (format!("{TEXT}, {TEXT}"), DigestError::Repeated),
            (format!("{TEXT}, a=::, a=::"), DigestError::Repeated),
            (format!("{TEXT}, sha-512"), DigestError::Malformed),
            (format!("{TEXT}, sha-512=5"), DigestError::Malformed),
            ("sha-256=::".into(), DigestError::WrongLength),
            ("sha-256=:AA==:".into(), DigestError::WrongLength),
            ("=::".into(), DigestError::Malformed),
        ] {
            assert_eq!(parse_digest(&value), Err(want), "{value:?}");
        }
    }

    #[test]
    fn lines_are_one_list() {
        let fields = Fields::new().with("repr-digest", "md5=::").with("repr-digest", TEXT);
        assert_eq!(repr_digest(&fields), Ok(Some(hash())));
        assert_eq!(
            repr_digest(&Fields::new().with("repr-digest", TEXT).with("repr-digest", "")),
            Err(DigestError::Malformed)
        );
        assert_eq!(repr_digest(&Fields::new()), Ok(None));
    }
}
