//! Base64 and base64url (RFC 4648, sections 4 and 5), strictly.
//!
//! ```text
//!     bytes       |  M: 4D  |  a: 61  |  n: 6E  |        three bytes are four digits of six bits;
//!     digits      |  T   |   W   |   F   |   u  |        two are three digits (`TWE=`), one is two (`TQ==`)
//! ```
//!
//! Every byte string has exactly one text, and `decode` refuses all others, so that comparing texts is comparing bytes. Format notes:
//! - The last digit of `TWE=` has two bits, of `TQ==` four, that mean nothing: they must be zero (section 3.5), or `TR==` would do too.
//! - Standard text must be padded with `=`; base64url as JWT uses it (RFC 7515, section 2) must not be.
//! - No white space, no line breaks (section 3.3), no digit of the other alphabet.

use std::error::Error;
use std::fmt;

/// Why a text is not Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Error {
    /// Neither a digit of the alphabet nor padding in its place.
    BadByte {
        /// Where in the text, in bytes.
        offset: usize,
    },
    /// The text stops where no text can: a digit or its padding is missing.
    BadLength {
        /// The length of the text.
        offset: usize,
    },
    /// Bits of the last digit that carry nothing are set.
    UnusedBits {
        /// Where that digit is.
        offset: usize,
    },
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadByte { offset } => write!(f, "not a Base64 digit at byte {offset}"),
            Self::BadLength { offset } => write!(f, "Base64 stops short at byte {offset}"),
            Self::UnusedBits { offset } => {
                write!(f, "unused bits of the Base64 digit at byte {offset} are set")
            }
        }
    }
}

impl Error for Base64Error {}

/// Bytes as padded Base64.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Alphabet::Standard.encode(bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The bytes of padded Base64.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_ref();
    if !text.len().is_multiple_of(4) {
        return Err(Base64Error::BadLength { offset: text.len() });
    }
    // At most two, so that a third `=` is met as a bad digit.
    let padding = text.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    Alphabet::Standard.decode(&text[..text.len() - padding])
}

/// Bytes as base64url without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    Alphabet::Url.encode(bytes)
}

/// The bytes of base64url without padding.
pub fn decode_url(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    Alphabet::Url.decode(text.as_ref())
}

/// The two alphabets differ in their last two digits.
#[derive(Clone, Copy)]
enum Alphabet {
    Standard,
    Url,
}

impl Alphabet {
    fn encode(self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for group in bytes.chunks(3) {
            let bits =
                group.iter().enumerate().fold(0, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
            for digit in 0..=group.len() {
                text.push(self.letter((bits >> (18 - 6 * digit) & 0x3F) as u8));
            }
        }
        text
    }

    /// Decodes text whose padding, if it must have any, has been taken off.
    fn decode(self, text: &[u8]) -> Result<Vec<u8>, Base64Error> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for (index, group) in text.chunks(4).enumerate() {
            let start = index * 4;
            let mut bits = 0;
            for (at, &letter) in group.iter().enumerate() {
                let digit = self.digit(letter).ok_or(Base64Error::BadByte { offset: start + at })?;
                bits |= u32::from(digit) << (18 - 6 * at);
            }
            if group.len() == 1 {
                return Err(Base64Error::BadLength { offset: text.len() });
            }
            let [_, decoded @ ..] = bits.to_be_bytes();
            let (decoded, unused) = decoded.split_at(group.len() - 1);
            if unused.iter().any(|&byte| byte != 0) {
                return Err(Base64Error::UnusedBits { offset: text.len() - 1 });
            }
            bytes.extend_from_slice(decoded);
        }
        Ok(bytes)
    }

    fn letter(self, digit: u8) -> char {
        char::from(match (digit, self) {
            (0..=25, _) => b'A' + digit,
            (26..=51, _) => b'a' + (digit - 26),
            (52..=61, _) => b'0' + (digit - 52),
            (62, Self::Standard) => b'+',
            (62, Self::Url) => b'-',
            (_, Self::Standard) => b'/',
            (_, Self::Url) => b'_',
        })
    }

    fn digit(self, letter: u8) -> Option<u8> {
        match (letter, self) {
            (b'A'..=b'Z', _) => Some(letter - b'A'),
            (b'a'..=b'z', _) => Some(letter - b'a' + 26),
            (b'0'..=b'9', _) => Some(letter - b'0' + 52),
            (b'+', Self::Standard) | (b'-', Self::Url) => Some(62),
            (b'/', Self::Standard) | (b'_', Self::Url) => Some(63),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There and back in both alphabets; every shorter or longer text is refused or means something else.
    #[track_caller]
    fn check(bytes: &[u8], text: &str) {
        assert_eq!(encode(bytes), text);
        assert_eq!(decode(text), Ok(bytes.to_vec()));
        let url = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        assert_eq!(encode_url(bytes), url);
        assert_eq!(decode_url(&url), Ok(bytes.to_vec()));
        for end in 0..text.len() {
            assert_ne!(decode(&text[..end]), Ok(bytes.to_vec()), "prefix of {end} bytes");
        }
        for trailing in ["=", "A", "\n", " ", "AAAA", "====", "\0"] {
            assert_ne!(decode(format!("{text}{trailing}")), Ok(bytes.to_vec()), "trailing {trailing:?}");
            assert_ne!(decode_url(format!("{url}{trailing}")), Ok(bytes.to_vec()), "trailing {trailing:?}");
        }
    }

    #[test]
    fn vectors_of_the_rfc() {
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg==");
        check(b"fooba", "Zm9vYmE=");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xFB, 0xEF, 0xFF], "++//");
        check(&[0xFF, 0xFE], "//4=");
    }

    /// Every value of one, two and (sampled) three bytes survives.
    #[test]
    fn small_inputs_exhausted() {
        for n in (0..1u32 << 16).chain((1 << 16..1 << 24).step_by(97)) {
            let [_, bytes @ ..] = n.to_be_bytes();
            for bytes in [&bytes[..1], &bytes[..2], &bytes[..]] {
                assert_eq!(decode(encode(bytes)).unwrap(), bytes);
                assert_eq!(decode_url(encode_url(bytes)).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn attacks() {
        use Base64Error::*;
        for (text, error) in [
            ("Zg", BadLength { offset: 2 }),
            ("Zg=", BadLength { offset: 3 }),
            ("Z", BadLength { offset: 1 }),
            ("=", BadLength { offset: 1 }),
            ("====", BadByte { offset: 0 }),
            ("Z===", BadByte { offset: 1 }),
            ("Zg==Zg==", BadByte { offset: 2 }),
            ("Z=g=", BadByte { offset: 1 }),
            ("Zh==", UnusedBits { offset: 1 }),
            ("Zm9=", UnusedBits { offset: 2 }),
            ("Zm9vYg==\n", BadLength { offset: 9 }),
            ("Zm9v\nYg=", BadByte { offset: 4 }),
            (" Zg=", BadByte { offset: 0 }),
            ("Zm-_", BadByte { offset: 2 }),
            ("Zm\0v", BadByte { offset: 2 }),
            ("Zmé=", BadLength { offset: 5 }),
        ] {
            assert_eq!(decode(text), Err(error), "{text:?}");
        }
        for (text, error) in [
            ("Z", BadLength { offset: 1 }),
            ("Zm9vY", BadLength { offset: 5 }),
            ("Zg==", BadByte { offset: 2 }),
            ("Zh", UnusedBits { offset: 1 }),
            ("Zm9", UnusedBits { offset: 2 }),
            ("Zm+/", BadByte { offset: 2 }),
            ("Zg\n", BadByte { offset: 2 }),
        ] {
            assert_eq!(decode_url(text), Err(error), "{text:?}");
        }
    }

    /// Of all four-digit endings, exactly one means a given byte.
    #[test]
    fn one_text_for_one_value() {
        let letters: Vec<char> = (0..64).map(|digit| Alphabet::Standard.letter(digit)).collect();
        let meanings = letters.iter().filter(|letter| decode(format!("Z{letter}==")).is_ok()).count();
        assert_eq!(meanings, 4, "Z and two bits");
    }
}
