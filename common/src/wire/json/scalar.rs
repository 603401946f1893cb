//! Strings, numbers and the three words of JSON (RFC 8259, sections 3, 6 and 7).
//!
//! Format notes:
//! - The only escapes are `\" \\ \/ \b \f \n \r \t` and `\u` with exactly four hexadecimal digits; std's `from_str_radix` would accept
//!   `\u+041`.
//! - A character beyond U+FFFF is escaped as two surrogates, the high one first. Escapes are whole characters, so raw bytes before and
//!   after one can't join to a character: checking UTF-8 once at the end of the string is enough.
//! - A number has no leading zero and no leading `+`, and digits on both sides of its point. The syntax is checked to the end even when it
//!   is clear that the number won't do, so that `1.` is reported as bad syntax and `1.5` as not exact.

use std::io::Read;

use super::input::Input;
use super::{JsonError, JsonErrorKind, Number, Value};
use crate::limits::JSON_STRING_BYTES;

/// A value that is neither object nor array.
pub(super) fn scalar<R: Read>(input: &mut Input<R>) -> Result<Value, JsonError> {
    match input.peek_some()? {
        b'"' => string(input).map(Value::String),
        b'-' | b'0'..=b'9' => number(input).map(Value::Number),
        b't' => word(input, b"true", Value::Bool(true)),
        b'f' => word(input, b"false", Value::Bool(false)),
        b'n' => word(input, b"null", Value::Null),
        byte => Err(input.error(JsonErrorKind::UnexpectedByte(byte))),
    }
}

fn word<R: Read>(input: &mut Input<R>, letters: &[u8], value: Value) -> Result<Value, JsonError> {
    for &letter in letters {
        input.expect(letter)?;
    }
    Ok(value)
}

// ---- Strings ----------------------------------------------------------------------------------------------------------------

/// `string = %x22 *char %x22`
pub(super) fn string<R: Read>(input: &mut Input<R>) -> Result<String, JsonError> {
    let offset = input.offset();
    let mut bytes = Vec::new();
    input.expect(b'"')?;
    loop {
        take_plain(input, &mut bytes)?;
        match input.peek_some()? {
            b'"' => break input.consume(1),
            b'\\' => push_char(input, &mut bytes)?,
            byte => return Err(input.error(JsonErrorKind::ControlByte(byte))),
        }
    }
    String::from_utf8(bytes).map_err(|_| JsonError { kind: JsonErrorKind::NotUtf8, offset })
}

/// Everything up to the next quote, backslash or control byte, a window at a time.
fn take_plain<R: Read>(input: &mut Input<R>, bytes: &mut Vec<u8>) -> Result<(), JsonError> {
    loop {
        let window = input.window()?;
        let special = window.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0x00..=0x1F));
        let plain = &window[..special.unwrap_or(window.len())];
        let (length, room) = (plain.len(), JSON_STRING_BYTES - bytes.len());
        if room < length {
            // The error is at the first byte too many, wherever the window ends.
            input.consume(room);
            return Err(input.error(JsonErrorKind::StringTooLong));
        }
        bytes.extend_from_slice(plain);
        input.consume(length);
        if special.is_some() || length == 0 {
            return Ok(());
        }
    }
}

fn push_char<R: Read>(input: &mut Input<R>, bytes: &mut Vec<u8>) -> Result<(), JsonError> {
    let character = escape(input)?;
    if JSON_STRING_BYTES < bytes.len() + character.len_utf8() {
        return Err(input.error(JsonErrorKind::StringTooLong));
    }
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

fn escape<R: Read>(input: &mut Input<R>) -> Result<char, JsonError> {
    let offset = input.offset();
    input.expect(b'\\')?;
    Ok(match input.take()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(input, offset),
        _ => return Err(JsonError { kind: JsonErrorKind::BadEscape, offset }),
    })
}

/// What follows `\u`: one unit, or two and another `\u` between them. `offset` is that of the backslash.
fn unicode_escape<R: Read>(input: &mut Input<R>, offset: u64) -> Result<char, JsonError> {
    let lone = || JsonError { kind: JsonErrorKind::LoneSurrogate, offset };
    let unit = four_digits(input)?;
    if !(0xD800..=0xDBFF).contains(&unit) {
        // Only surrogates are no characters, and a low one must not come first.
        return char::from_u32(unit).ok_or_else(lone);
    }
    for wanted in *b"\\u" {
        if input.peek_some()? != wanted {
            return Err(lone());
        }
        input.consume(1);
    }
    let low = four_digits(input)?;
    if !(0xDC00..=0xDFFF).contains(&low) {
        return Err(lone());
    }
    char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)).ok_or_else(lone)
}

fn four_digits<R: Read>(input: &mut Input<R>) -> Result<u32, JsonError> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = match input.peek_some()? {
            byte @ b'0'..=b'9' => byte - b'0',
            byte @ b'a'..=b'f' => byte - b'a' + 10,
            byte @ b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(input.error(JsonErrorKind::BadEscape)),
        };
        input.consume(1);
        unit = unit << 4 | u32::from(digit);
    }
    Ok(unit)
}

// ---- Numbers ----------------------------------------------------------------------------------------------------------------

/// `number = [ minus ] int [ frac ] [ exp ]`
fn number<R: Read>(input: &mut Input<R>) -> Result<Number, JsonError> {
    let offset = input.offset();
    let sign = sign(input)?;
    let magnitude = integer(input)?;
    let tail = [fraction(input)?, exponent(input)?];
    let exact = match (magnitude, tail) {
        (Some(magnitude), [Tail::Absent, Tail::Absent]) => sign.apply(magnitude),
        _ => None,
    };
    exact.ok_or(JsonError { kind: JsonErrorKind::NotExactInteger, offset })
}

enum Sign {
    Plus,
    Minus,
}

impl Sign {
    fn apply(self, magnitude: u64) -> Option<Number> {
        match self {
            Self::Plus => Some(Number::Unsigned(magnitude)),
            Self::Minus if magnitude == 0 => None,
            Self::Minus => 0i64.checked_sub_unsigned(magnitude).map(Number::Negative),
        }
    }
}

/// Whether a part that may be missing is there.
enum Tail {
    Absent,
    Present,
}

fn sign<R: Read>(input: &mut Input<R>) -> Result<Sign, JsonError> {
    if input.peek()? != Some(b'-') {
        return Ok(Sign::Plus);
    }
    input.consume(1);
    Ok(Sign::Minus)
}

/// `int = zero / ( digit1-9 *DIGIT )`; `None` if u64 does not hold it.
fn integer<R: Read>(input: &mut Input<R>) -> Result<Option<u64>, JsonError> {
    if input.peek_some()? != b'0' {
        return digits(input);
    }
    input.consume(1);
    match input.peek()? {
        Some(byte @ b'0'..=b'9') => Err(input.error(JsonErrorKind::UnexpectedByte(byte))),
        _ => Ok(Some(0)),
    }
}

/// `frac = decimal-point 1*DIGIT`
fn fraction<R: Read>(input: &mut Input<R>) -> Result<Tail, JsonError> {
    if input.peek()? != Some(b'.') {
        return Ok(Tail::Absent);
    }
    input.consume(1);
    digits(input).map(|_| Tail::Present)
}

/// `exp = e [ minus / plus ] 1*DIGIT`
fn exponent<R: Read>(input: &mut Input<R>) -> Result<Tail, JsonError> {
    let Some(b'e' | b'E') = input.peek()? else {
        return Ok(Tail::Absent);
    };
    input.consume(1);
    if let Some(b'+' | b'-') = input.peek()? {
        input.consume(1);
    }
    digits(input).map(|_| Tail::Present)
}

/// `1*DIGIT`; `None` if u64 does not hold them.
fn digits<R: Read>(input: &mut Input<R>) -> Result<Option<u64>, JsonError> {
    let first = input.peek_some()?;
    if !first.is_ascii_digit() {
        return Err(input.error(JsonErrorKind::UnexpectedByte(first)));
    }
    let mut value = Some(0u64);
    while let Some(byte @ b'0'..=b'9') = input.peek()? {
        value = value.and_then(|value| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
        input.consume(1);
    }
    Ok(value)
}
