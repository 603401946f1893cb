//! JSON (RFC 8259), strictly and in bounded memory.
//!
//! ```text
//!     bytes -> input (a window) -> scalar (strings, numbers, words) -> reader (grammar, a stack) -> value
//!                                                                                     bytes <- writer
//! ```
//!
//! Strategy: a pull reader. The caller says what it expects next and gets it, so a list of a million files needs the memory of one.
//! Nothing recurses: nesting lives on a stack of our own, [`JSON_DEPTH`] high.
//!
//! What the RFC leaves open is closed here, since two readers that understand a text differently are an attack waiting:
//! - A key that comes twice in an object is refused, at every level, also in values nobody looks at.
//! - Numbers are exact integers from `i64::MIN` to `u64::MAX`. A fraction, an exponent, `-0` or anything larger is refused with an error
//!   of its own, never rounded.
//! - Text is UTF-8 without a byte order mark; an escaped surrogate without its partner is refused. Whatever can't be a Rust `String`
//!   (a file's name may be any bytes) has to travel in another form.
//! - Depth, keys, strings and whole values have limits, named in [`limits`](crate::limits).

mod input;
mod reader;
mod scalar;
#[cfg(test)]
mod suite;
mod value;
mod writer;

use std::error::Error;
use std::fmt;
use std::io;

use crate::limits::{JSON_DEPTH, JSON_KEY_BYTES, JSON_KEYS, JSON_STRING_BYTES, JSON_VALUE_BYTES};

pub use reader::{Reader, parse};
pub use value::{Number, Value};
pub use writer::Writer;

/// What is wrong, and where.
#[derive(Debug)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Where in the text, in bytes from its beginning.
    pub offset: u64,
}

/// What can be wrong with a JSON text, or with getting at it.
#[derive(Debug)]
pub enum JsonErrorKind {
    /// The source failed; nothing is known about the text.
    Io(io::Error),
    /// The text stops before its value is complete.
    UnexpectedEnd,
    /// A byte the grammar has no place for.
    UnexpectedByte(u8),
    /// Something follows the value.
    Trailing,
    /// The value is of another type than the caller asked for.
    WrongType {
        /// What the caller asked for.
        wanted: &'static str,
    },
    /// The caller asked for something that can't be next whatever the text says: a defect of the program, not of the text.
    OutOfTurn,
    /// A control byte stands in a string without an escape.
    ControlByte(u8),
    /// A backslash with nothing after it that makes an escape.
    BadEscape,
    /// `\uD800` to `\uDFFF` without its partner.
    LoneSurrogate,
    /// The string that begins here is not UTF-8.
    NotUtf8,
    /// The number that begins here is not an integer that u64 or i64 holds.
    NotExactInteger,
    /// A key came for the second time in one object.
    DuplicateKey(String),
    /// Nested deeper than [`JSON_DEPTH`].
    TooDeep,
    /// More than [`JSON_KEYS`] keys in one object.
    TooManyKeys,
    /// More than [`JSON_KEY_BYTES`] bytes of keys in all open objects.
    KeysTooLong,
    /// A string or key longer than [`JSON_STRING_BYTES`].
    StringTooLong,
    /// A value to read as a whole has more than [`JSON_VALUE_BYTES`] of text.
    ValueTooLong,
}

impl JsonError {
    /// Whether the text is innocent: the source failed, and the same text may be fine another time.
    pub fn is_io(&self) -> bool {
        matches!(self.kind, JsonErrorKind::Io(_))
    }

    /// Whether the text is correct as far as it was read, but more than this program takes.
    pub fn is_limit(&self) -> bool {
        use JsonErrorKind::*;
        matches!(self.kind, TooDeep | TooManyKeys | KeysTooLong | StringTooLong | ValueTooLong)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON: {} at byte {}", self.kind, self.offset)
    }
}

impl fmt::Display for JsonErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "can't read on ({error})"),
            Self::UnexpectedEnd => write!(f, "unexpected end"),
            Self::UnexpectedByte(byte) => write!(f, "unexpected '{}'", byte.escape_ascii()),
            Self::Trailing => write!(f, "something follows the value"),
            Self::WrongType { wanted } => write!(f, "not {wanted}"),
            Self::OutOfTurn => write!(f, "read out of turn (a defect of this program)"),
            Self::ControlByte(byte) => write!(f, "control byte 0x{byte:02x} in a string"),
            Self::BadEscape => write!(f, "bad escape"),
            Self::LoneSurrogate => write!(f, "lone surrogate"),
            Self::NotUtf8 => write!(f, "string that is not UTF-8"),
            Self::NotExactInteger => write!(f, "not an exact integer"),
            Self::DuplicateKey(key) => write!(f, "duplicate key {key:?}"),
            Self::TooDeep => write!(f, "nested deeper than {JSON_DEPTH}"),
            Self::TooManyKeys => write!(f, "more than {JSON_KEYS} keys in an object"),
            Self::KeysTooLong => write!(f, "more than {JSON_KEY_BYTES} bytes of keys"),
            Self::StringTooLong => write!(f, "string of more than {JSON_STRING_BYTES} bytes"),
            Self::ValueTooLong => write!(f, "value of more than {JSON_VALUE_BYTES} bytes"),
        }
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            JsonErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
