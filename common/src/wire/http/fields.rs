//! Fields: the `name: value` lines of heads and trailers (RFC 9110, section 5; RFC 9112, section 5).
//!
//! ```text
//!     field-line = field-name ":" OWS field-value OWS CR LF
//!     field-name = 1*tchar
//! ```
//!
//! A section is parsed line by line from the start of the buffer each time more bytes have come; `HEAD_BYTES` bounds the repetition.
//!
//! Format notes:
//! - A line ends with CR LF and nothing else. Accepting a bare LF or CR is what lets two readers see different lines.
//! - No blank between name and colon, no line that continues the one before it (obs-fold, section 5.2): both are refused.
//! - Names compare without case, so they are kept and written in lower case.
//! - Bytes from 0x80 up have no agreed meaning. In requests they are refused: no request of ours needs one, and what is left is
//!   ASCII, hence `str`. In responses, where a proxy may have added them, they are taken in as UTF-8, replaced where they aren't.

use super::head::HeadError;
use crate::limits::{HEAD_BYTES, HEAD_FIELDS};
use std::fmt;

/// An ordered list of fields. Names are in lower case.
///
/// All of them are one text: a message has ten and more, and two strings for each would be most of what it takes to read or write it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Each name, and behind it its value.
    text: String,
    list: Vec<Ends>,
}

/// Where the name of a field ends in the text, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    name: usize,
    value: usize,
}

/// Room for the fields of usual messages, and in bytes for their text.
const USUAL_FIELDS: usize = 16;
const USUAL_TEXT: usize = 512;

/// Shows everything but credentials, because what has a `Debug` ends up in a log.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&str, &str)| match name {
            "authorization" => format!("{name}: ..."),
            _ => format!("{name}: {value}"),
        };
        f.debug_list().entries(self.iter().map(shown)).finish()
    }
}

impl Fields {
    /// No fields.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Adds a field at the end. Nothing is checked here: the writer refuses what can't be written.
    pub fn push(&mut self, name: &str, value: impl AsRef<str>) {
        if self.list.is_empty() {
            self.text.reserve(USUAL_TEXT);
            self.list.reserve(USUAL_FIELDS);
        }
        let start = self.text.len();
        self.text.push_str(name);
        self.text[start..].make_ascii_lowercase();
        let name = self.text.len();
        self.text.push_str(value.as_ref());
        self.list.push(Ends { name, value: self.text.len() });
    }

    /// The same list with one more field: [`push`](Fields::push) for chains.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Fields {
        self.push(name, value);
        self
    }

    /// The first value of a field. `name` may be in any case, here and below.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The value of a field that may stand once at most: 400 when it is repeated.
    pub fn unique(&self, name: &str) -> Result<Option<&str>, HeadError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(HeadError::Repeated { name: name.to_owned() }),
        }
    }

    /// Every value of a field, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// The elements of a comma-separated field over all its lines (RFC 9110, section 5.6.1), without blanks around them and without
    /// empty ones. Not for values that may hold a comma within quotes.
    pub fn elements<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(trim).filter(|element| !element.is_empty())
    }

    /// Whether a comma-separated field holds this token, in any case: `has_token("connection", "close")`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().scan(0, |start, ends| {
            let name = &self.text[*start..ends.name];
            *start = ends.value;
            Some((name, &self.text[ends.name..ends.value]))
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Appends the field lines and the empty line that ends them.
    ///
    /// Whatever put CR, LF or NUL into a value (a file's name, a query) stops here, so no caller can be talked into writing a field,
    /// or a response, of somebody else's making.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), HeadError> {
        if HEAD_FIELDS < self.len() {
            return Err(HeadError::TooManyFields);
        }
        for (name, value) in self.iter() {
            if !is_token(name.as_bytes()) {
                return Err(HeadError::Unwritable { what: "field name" });
            }
            if !value.bytes().all(is_text) {
                return Err(HeadError::Unwritable { what: "field value" });
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// What to do with bytes from 0x80 up in values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObsText {
    Refuse,
    Accept,
}

/// The fields that start at `at`, to the empty line, and where that line ends.
pub(super) fn parse_fields(
    input: &[u8],
    mut at: usize,
    obs_text: ObsText,
) -> Result<Option<(Fields, usize)>, HeadError> {
    let mut fields = Fields::new();
    while let Some((line, next)) = parse_line(input, at)? {
        if line.is_empty() {
            return Ok(Some((fields, next)));
        }
        if fields.len() == HEAD_FIELDS {
            return Err(HeadError::TooManyFields);
        }
        parse_field(line, at, obs_text, &mut fields)?;
        at = next;
    }
    Ok(None)
}

/// The line that starts at `at`, without its CR LF, and where the next one starts.
///
/// Control bytes are refused as soon as they are seen, complete line or not: whoever speaks TLS to us need not wait for a timeout.
pub(super) fn parse_line(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, HeadError> {
    let section = &input[..input.len().min(HEAD_BYTES)];
    for (offset, &byte) in section.iter().enumerate().skip(at) {
        match byte {
            b'\r' => match section.get(offset + 1) {
                Some(b'\n') => return Ok(Some((&section[at..offset], offset + 2))),
                Some(_) => return Err(HeadError::Malformed { offset: offset + 1, expected: "LF after CR" }),
                None => break,
            },
            b'\n' => return Err(HeadError::Malformed { offset, expected: "CR before LF" }),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(HeadError::Malformed { offset, expected: "no control bytes" }),
        }
    }
    if input.len() < HEAD_BYTES { Ok(None) } else { Err(HeadError::TooLarge) }
}

/// One field line, added to those before it; `at` is where it stands in the head.
fn parse_field(line: &[u8], at: usize, obs_text: ObsText, fields: &mut Fields) -> Result<(), HeadError> {
    let malformed = |offset, expected| HeadError::Malformed { offset: at + offset, expected };
    let colon = line.iter().position(|&byte| !is_tchar(byte)).unwrap_or(line.len());
    if colon == 0 || line.get(colon) != Some(&b':') {
        return Err(malformed(colon, "a field name and a colon"));
    }
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if obs_text == ObsText::Refuse
        && let Some(index) = value.iter().position(|byte| !byte.is_ascii())
    {
        return Err(malformed(colon + 1 + index, "ASCII"));
    }
    fields.push(&String::from_utf8_lossy(name), trim(&String::from_utf8_lossy(value)));
    Ok(())
}

/// Without OWS (blanks and tabs) at both ends. `str::trim` would take line separators and more.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// ```text
/// token = 1*tchar
/// ```
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_tchar(byte))
}

/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// ```
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a value of ours may be made of: visible ASCII, blank, tab.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// `1*DIGIT` as a number: no sign, no blanks, no overflow. The standard library's parser would accept `+5`.
pub fn parse_decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0u64, |number, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::check_every_cut;
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&[(&str, &str)], HeadError>) {
        let want =
            want.map(|list| list.iter().fold(Fields::new(), |all, (name, value)| all.with(name, *value)));
        check_every_cut(|input| parse_fields(input, 0, ObsText::Refuse), input.as_bytes(), &want);
    }

    #[test]
    fn sections() {
        check("\r\n", Ok(&[]));
        check("a:b\r\n\r\n", Ok(&[("a", "b")]));
        check("A-B: \t c d \t\r\nx:\r\n\r\n", Ok(&[("a-b", "c d"), ("x", "")]));
        check("a: 1\r\nA: 2\r\n\r\n", Ok(&[("a", "1"), ("a", "2")]));
        check("a: b: c\r\n\r\n", Ok(&[("a", "b: c")]));
    }

    #[test]
    fn names_are_found_in_any_case() {
        let fields = Fields::new().with("Sync-Cursor", "5f0c1b22a9d04e67-1042");
        for name in ["sync-cursor", "Sync-Cursor", "SYNC-CURSOR"] {
            assert_eq!(fields.get(name), Some("5f0c1b22a9d04e67-1042"), "{name}");
        }
    }

    #[test]
    fn attacks() {
        let malformed = |offset, expected| Err(HeadError::Malformed { offset, expected });
        let colon = "a field name and a colon";
        check("a : b\r\n\r\n", malformed(1, colon));
        check("a\t: b\r\n\r\n", malformed(1, colon));
        check(" a: b\r\n\r\n", malformed(0, colon));
        check("a: b\r\n c\r\n\r\n", malformed(6, colon));
        check(": b\r\n\r\n", malformed(0, colon));
        check("a\r\n\r\n", malformed(1, colon));
        check("a(: b\r\n\r\n", malformed(1, colon));
        check("ä: b\r\n\r\n", malformed(0, colon));
        check("a: ä\r\n\r\n", malformed(3, "ASCII"));
        check("a: b\n\r\n", malformed(4, "CR before LF"));
        check("a: b\r\r\n\r\n", malformed(5, "LF after CR"));
        check("a: b\rc: d\r\n\r\n", malformed(5, "LF after CR"));
        check("a: b\r\n\n", malformed(6, "CR before LF"));
        check("a: \0\r\n\r\n", malformed(3, "no control bytes"));
        check("a: \x0b\r\n\r\n", malformed(3, "no control bytes"));
        check("a: \x7f\r\n\r\n", malformed(3, "no control bytes"));
    }

    #[test]
    fn limits() {
        let many = |count| "a:b\r\n".repeat(count) + "\r\n";
        assert_eq!(
            parse_fields(many(HEAD_FIELDS).as_bytes(), 0, ObsText::Refuse).unwrap().unwrap().0.len(),
            100
        );
        check(&many(HEAD_FIELDS + 1), Err(HeadError::TooManyFields));

        let long = |bytes: usize| format!("a:{}\r\n\r\n", "x".repeat(bytes - 6));
        assert!(parse_fields(long(HEAD_BYTES).as_bytes(), 0, ObsText::Refuse).unwrap().is_some());
        assert_eq!(
            parse_fields(long(HEAD_BYTES + 1).as_bytes(), 0, ObsText::Refuse),
            Err(HeadError::TooLarge)
        );
        assert_eq!(parse_fields(&[b'a'; HEAD_BYTES], 0, ObsText::Refuse), Err(HeadError::TooLarge));
    }

    #[test]
    fn responses_may_hold_other_bytes() {
        let (fields, _) = parse_fields(b"a: \xc3\xa4\xff\r\n\r\n", 0, ObsText::Accept).unwrap().unwrap();
        assert_eq!(fields.get("a"), Some("ä\u{fffd}"));
    }

    #[test]
    fn lookups() {
        let fields = Fields::new().with("A", "1, close ,").with("b", "2").with("a", "x");
        assert_eq!(fields.get("a"), Some("1, close ,"));
        assert_eq!(fields.unique("b"), Ok(Some("2")));
        assert_eq!(fields.unique("c"), Ok(None));
        assert_eq!(fields.unique("a"), Err(HeadError::Repeated { name: "a".into() }));
        assert_eq!(fields.elements("a").collect::<Vec<_>>(), ["1", "close", "x"]);
        assert!(
            fields.has_token("a", "Close") && fields.has_token("a", "X") && !fields.has_token("a", "clos")
        );
    }

    #[test]
    fn writing_refuses_what_reading_would() {
        let encode = |name, value: &str| {
            let mut out = Vec::new();
            Fields::new().with(name, value).encode(&mut out).map(|()| out)
        };
        assert_eq!(encode("A", "b\tc"), Ok(b"a: b\tc\r\n\r\n".to_vec()));
        for value in ["a\r\nx-evil: 1", "a\n", "a\r", "\0", "\x7f", "ä"] {
            assert_eq!(encode("a", value), Err(HeadError::Unwritable { what: "field value" }), "{value:?}");
        }
        for name in ["", "a b", "a:", "a\r\n", "ä"] {
            assert_eq!(encode(name, ""), Err(HeadError::Unwritable { what: "field name" }), "{name:?}");
        }
    }

    #[test]
    fn credentials_stay_out_of_logs() {
        let shown = format!("{:?}", Fields::new().with("Authorization", "Bearer secret").with("a", "b"));
        assert_eq!(shown, r#"["authorization: ...", "a: b"]"#);
    }

    #[test]
    fn decimals() {
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("0018"), Some(18));
        assert_eq!(parse_decimal("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+5", "-5", " 5", "5 ", "0x5", "5,5", "1_0", "٣", "18446744073709551616"] {
            assert_eq!(parse_decimal(text), None, "{text:?}");
        }
    }
}
