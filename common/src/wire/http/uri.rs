//! Request targets, percent-encoding and authorities (RFC 3986; RFC 9112, section 3.2).
//!
//! ```text
//!     /download/a%20b?x=1        origin-form: path and query        example.org:8080, [::1]:8080      authority
//! ```
//!
//! A path is the percent-encoding of the bytes of a path on disk. It is decoded once; what comes out is for somebody else to split and
//! validate. Nothing is normalised: a `..` that arrives stays one, and is refused there.
//!
//! Format notes:
//! - Decoding: an escape that isn't `%` and two hexadecimal digits is an error, `+` is a plus, bytes that need no escape may have one.
//! - Encoding: everything but the unreserved characters and `/` is escaped, with upper-case digits. More could stay (RFC 3986, 3.3), but
//!   then two encoders would write two forms of one path; so there is one form, and comparing it is comparing paths.
//! - In a query, `+` is a plus as well. Forms of browsers write blanks that way, and no form of ours does.

use super::fields::parse_decimal;
use std::fmt;

/// Why a target, or a part of it, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriError {
    /// A `%` without two hexadecimal digits after it.
    BadEscape {
        /// Where, in bytes.
        offset: usize,
    },
    /// The query, decoded, is not UTF-8.
    NotUtf8,
    /// Not a path with an optional query: a URI with a host, `*`, or a fragment.
    NotOriginForm,
}

impl UriError {
    /// The status a server answers with.
    pub fn status(&self) -> u16 {
        400
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UriError::BadEscape { offset } => write!(f, "bad percent-escape at byte {offset}"),
            UriError::NotUtf8 => f.write_str("the query is not UTF-8"),
            UriError::NotOriginForm => f.write_str("the request target must be a path"),
        }
    }
}

impl std::error::Error for UriError {}

/// Decodes percent-escapes, once.
pub fn percent_decode(text: &str) -> Result<Vec<u8>, UriError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            out.push(escaped_byte(bytes, at).ok_or(UriError::BadEscape { offset: at })?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    Ok(out)
}

fn escaped_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16);
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

/// Encodes the bytes of a path. Unreserved characters (`A-Z a-z 0-9 - . _ ~`) and `/` stay.
pub fn percent_encode_path(path: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(path.len());
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend(['%', char::from(digits[0]), char::from(digits[1])]);
        }
    }
    out
}

/// The path and the query of a request target, both still encoded.
pub fn split_target(target: &str) -> Result<(&str, Option<&str>), UriError> {
    if !target.starts_with('/') || target.contains('#') {
        return Err(UriError::NotOriginForm);
    }
    Ok(match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    })
}

/// The names and values of a query, decoded, in order. A name without `=` has an empty value.
pub fn query_pairs(query: &str) -> Result<Vec<(String, String)>, UriError> {
    let decode = |text| String::from_utf8(percent_decode(text)?).map_err(|_| UriError::NotUtf8);
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
    pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

/// The host and the port of an authority. No user, no escapes, nothing after the port; brackets around IPv6 are kept.
///
/// ```text
/// authority = ( reg-name / IPv4address / "[" IPv6address "]" ) [ ":" port ]
/// ```
pub fn parse_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(u16::try_from(parse_decimal(digits)?).ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding() {
        for (text, want) in [
            ("", &b""[..]),
            ("/a/b", b"/a/b"),
            ("%41%7e%7E", b"A~~"),
            ("a+b", b"a+b"),
            ("%ff%00", b"\xff\0"),
            ("%2e%2e%2f", b"../"),
            ("%252e", b"%2e"),
            ("%c0%af", b"\xc0\xaf"),
            ("a;b\\", b"a;b\\"),
            ("ä", "ä".as_bytes()),
        ] {
            assert_eq!(percent_decode(text).as_deref(), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn attacks() {
        for (text, offset) in [
            ("%", 0),
            ("a%4", 1),
            ("%zz", 0),
            ("%4g", 0),
            ("%+4", 0),
            ("% 4", 0),
            ("%%41", 0),
            ("a%4ä", 1),
            ("%u0041", 0),
        ] {
            assert_eq!(percent_decode(text), Err(UriError::BadEscape { offset }), "{text:?}");
        }
        for target in ["", "*", "a", "http://a/b", "a:80", "/a#b", "/a?b#c", "?a"] {
            assert_eq!(split_target(target), Err(UriError::NotOriginForm), "{target:?}");
        }
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded = percent_encode_path(&all);
        assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)));
        assert_eq!(percent_decode(&encoded), Ok(all));
        assert_eq!(percent_encode_path("/a b/ä?#%+".as_bytes()), "/a%20b/%C3%A4%3F%23%25%2B");
    }

    #[test]
    fn targets() {
        assert_eq!(split_target("/"), Ok(("/", None)));
        assert_eq!(split_target("//a/../%2e?b?c"), Ok(("//a/../%2e", Some("b?c"))));
        assert_eq!(split_target("/a?"), Ok(("/a", Some(""))));
    }

    #[test]
    fn queries() {
        let pairs = |query| {
            let pairs = query_pairs(query)?;
            Ok(pairs.into_iter().map(|(name, value)| format!("{name}>{value}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(pairs(""), Ok(String::new()));
        assert_eq!(pairs("a=1&b&c=&&=d&a=2=3"), Ok("a>1 b> c> >d a>2=3".into()));
        assert_eq!(pairs("%61=%26%3D+"), Ok("a>&=+".into()));
        assert_eq!(pairs("a=%ff"), Err(UriError::NotUtf8));
        assert_eq!(pairs("a=%f"), Err(UriError::BadEscape { offset: 0 }));
    }

    #[test]
    fn authorities() {
        for (text, want) in [
            ("a", Some(("a", None))),
            ("a.b-c:8080", Some(("a.b-c", Some(8080)))),
            ("1.2.3.4:0", Some(("1.2.3.4", Some(0)))),
            ("[::1]", Some(("[::1]", None))),
            ("[fe80::1]:65535", Some(("[fe80::1]", Some(65535)))),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:+80", None),
            ("a:65536", None),
            ("a:80:80", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[a]", None),
            ("[]", None),
            ("a]", None),
            ("u@a", None),
            ("a/b", None),
            ("a b", None),
            ("a,b", None),
            ("a%41", None),
            ("ä", None),
        ] {
            assert_eq!(parse_authority(text), want, "{text:?}");
        }
    }
}
