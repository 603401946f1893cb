//! A point in a box's history: `epoch-seq`, as in `5f0c1b22a9d04e67-1042`.
//!
//! The epoch is 64 random bits in hex; it is new whenever a history cannot be continued. The seq counts changes within it.

use std::fmt;

/// Which history of a box.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// Up to where in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The history.
    pub epoch: Epoch,
    /// The last change that is included; 0 is before the first.
    pub seq: u64,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a cursor (16 hex digits, a hyphen, a number)")
    }
}

impl std::error::Error for CursorError {}

impl Epoch {
    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// It is not 16 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Epoch, CursorError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 16 || !text.bytes().all(is_hex) {
            return Err(CursorError);
        }
        u64::from_str_radix(text, 16).map(Epoch).map_err(|_| CursorError)
    }
}

impl Cursor {
    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// Anything else: a sign, a space, a leading zero, a number beyond 64 bits.
    pub fn parse(text: &str) -> Result<Cursor, CursorError> {
        let (epoch, seq) = text.split_once('-').ok_or(CursorError)?;
        let is_canonical = !seq.is_empty()
            && seq.bytes().all(|byte| byte.is_ascii_digit())
            && (seq == "0" || !seq.starts_with('0'));
        if !is_canonical {
            return Err(CursorError);
        }
        Ok(Cursor { epoch: Epoch::parse(epoch)?, seq: seq.parse().map_err(|_| CursorError)? })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (epoch, seq, text) in [
            (0, 0, "0000000000000000-0"),
            (0x5f0c_1b22_a9d0_4e67, 1042, "5f0c1b22a9d04e67-1042"),
            (u64::MAX, u64::MAX, "ffffffffffffffff-18446744073709551615"),
        ] {
            let cursor = Cursor { epoch: Epoch(epoch), seq };
            assert_eq!(cursor.to_string(), text);
            assert_eq!(Cursor::parse(text), Ok(cursor));
        }
    }

    #[test]
    fn attacks() {
        for text in [
            "",
            "-",
            "0000000000000000",
            "0000000000000000-",
            "0000000000000000-01",
            "0000000000000000-+1",
            "0000000000000000--1",
            "0000000000000000- 1",
            "0000000000000000-18446744073709551616",
            "000000000000000-1",
            "+000000000000000-1",
            "FFFFFFFFFFFFFFFF-1",
            "0000000000000000-1\n",
        ] {
            assert_eq!(Cursor::parse(text), Err(CursorError), "{text:?}");
        }
    }
}
