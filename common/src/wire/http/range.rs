//! Byte ranges (RFC 9110, section 14).
//!
//! ```text
//!     Range: bytes=0-499         the first 500                   Content-Range: bytes 0-499/1234
//!     Range: bytes=500-          all from 500
//!     Range: bytes=-500          the last 500
//!     Range: bytes=9999-         416                             Content-Range: bytes */1234
//! ```
//!
//! Format notes:
//! - Positions on the wire are inclusive; in here ranges end before `end_exclusive`, and the difference is made in this file alone.
//! - A `Range` that isn't understood is ignored, never an error (section 14.2). That goes for several ranges, too: overlapping ones make
//!   a small request into a large answer, and who continues a download asks for one.
//! - A last position beyond the end means the end, also where it takes more than 64 bits.

use super::fields::parse_decimal;

/// What a `Range` field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// Nothing that can be honoured: answer with everything.
    Ignore,
    /// One part, not empty: 206.
    Part {
        /// The first byte.
        start: u64,
        /// The byte after the last one, at most the length.
        end_exclusive: u64,
    },
    /// Bytes that aren't there: 416.
    Unsatisfiable,
}

/// What a `Content-Range` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// The body is this part.
    Part {
        /// The first byte.
        start: u64,
        /// The byte after the last one.
        end_exclusive: u64,
        /// The length of the whole, if the sender knows it.
        length: Option<u64>,
    },
    /// The answer to a range that could not be satisfied.
    Unsatisfied {
        /// The length of the whole.
        length: u64,
    },
}

/// What the value of `Range` means for a representation of `length` bytes.
pub fn parse_range(value: &str, length: u64) -> RangeRequest {
    let Some((first, last)) = split_range(value) else { return RangeRequest::Ignore };
    match (saturating(first), saturating(last)) {
        (Some(start), end) => {
            let end = end.unwrap_or(u64::MAX);
            if end < start {
                return RangeRequest::Ignore;
            }
            part(start, end.saturating_add(1).min(length))
        }
        (None, Some(0)) => RangeRequest::Unsatisfiable,
        // The last bytes of nothing are nothing, which no Content-Range can say; the whole is the same.
        (None, Some(_)) if length == 0 => RangeRequest::Ignore,
        (None, Some(suffix)) => part(length.saturating_sub(suffix), length),
        (None, None) => RangeRequest::Ignore,
    }
}

fn part(start: u64, end_exclusive: u64) -> RangeRequest {
    if start < end_exclusive {
        RangeRequest::Part { start, end_exclusive }
    } else {
        RangeRequest::Unsatisfiable
    }
}

/// ```text
/// "bytes=" ( *DIGIT "-" *DIGIT )
/// ```
fn split_range(value: &str) -> Option<(&str, &str)> {
    let (unit, range) = value.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (unit.eq_ignore_ascii_case("bytes") && digits(first) && digits(last)).then_some((first, last))
}

/// The number that digits stand for, or the largest one if that is too small; `None` if there are none.
fn saturating(digits: &str) -> Option<u64> {
    if digits.is_empty() { None } else { Some(parse_decimal(digits).unwrap_or(u64::MAX)) }
}

/// The value of `Content-Range` for a part that is not empty.
pub fn content_range(start: u64, end_exclusive: u64, length: u64) -> String {
    debug_assert!(start < end_exclusive && end_exclusive <= length, "{start}..{end_exclusive} of {length}");
    format!("bytes {start}-{}/{length}", end_exclusive.saturating_sub(1))
}

/// The value of `Content-Range` for a 416.
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}

/// Parses the value of `Content-Range`; `None` if it is malformed, contradicts itself or is not about bytes.
pub fn parse_content_range(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, length) = rest.split_once('/')?;
    if range == "*" {
        return Some(ContentRange::Unsatisfied { length: parse_decimal(length)? });
    }
    let (first, last) = range.split_once('-')?;
    let (start, end_exclusive) = (parse_decimal(first)?, parse_decimal(last)?.checked_add(1)?);
    let length = if length == "*" { None } else { Some(parse_decimal(length)?) };
    let consistent = start < end_exclusive && length.is_none_or(|length| end_exclusive <= length);
    consistent.then_some(ContentRange::Part { start, end_exclusive, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, length: u64, want: Option<(u64, u64)>) {
        let want = match want {
            Some((start, end_exclusive)) => RangeRequest::Part { start, end_exclusive },
            None => RangeRequest::Unsatisfiable,
        };
        assert_eq!(parse_range(value, length), want, "{value:?} of {length}");
    }

    #[test]
    fn ranges() {
        check("bytes=0-0", 10, Some((0, 1)));
        check("bytes=0-9", 10, Some((0, 10)));
        check("Bytes=3-", 10, Some((3, 10)));
        check("bytes=-3", 10, Some((7, 10)));
        check("bytes=-30", 10, Some((0, 10)));
        check("bytes=5-99", 10, Some((5, 10)));
        check("bytes=10-", 10, None);
        check("bytes=10-20", 10, None);
        check("bytes=-0", 10, None);
        check("bytes=0-", 0, None);
        assert_eq!(parse_range("bytes=-5", 0), RangeRequest::Ignore);
    }

    #[test]
    fn attacks() {
        check("bytes=0-18446744073709551615", 10, Some((0, 10)));
        check("bytes=0-18446744073709551616", 10, Some((0, 10)));
        check("bytes=18446744073709551615-", 10, None);
        check("bytes=18446744073709551616-18446744073709551617", 10, None);
        check("bytes=-18446744073709551616", 10, Some((0, 10)));
        check("bytes=0-18446744073709551615", u64::MAX, Some((0, u64::MAX)));
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-",
            "bytes=5",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=0-,0-",
            "bytes=0-1,",
            "bytes= 0-1",
            "bytes=0 -1",
            "bytes=+0-1",
            "bytes=--1",
            "bytes=0x0-1",
            "rows=0-1",
            "bytes 0-1",
            "bytes=٣-",
        ] {
            assert_eq!(parse_range(value, 10), RangeRequest::Ignore, "{value:?}");
        }
    }

    #[test]
    fn content_ranges() {
        let part = ContentRange::Part { start: 0, end_exclusive: 10, length: Some(20) };
        assert_eq!(parse_content_range(&content_range(0, 10, 20)), Some(part));
        assert_eq!(parse_content_range(&unsatisfied_range(7)), Some(ContentRange::Unsatisfied { length: 7 }));
        let unknown = ContentRange::Part { start: 5, end_exclusive: 6, length: None };
        assert_eq!(parse_content_range("bytes 5-5/*"), Some(unknown));
        for value in [
            "",
            "bytes",
            "bytes */*",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-/10",
            "bytes -1/10",
            "bytes 0-1",
            "bytes=0-1/2",
            "rows 0-1/2",
            "bytes  0-1/2",
            "bytes 0-1/+2",
        ] {
            assert_eq!(parse_content_range(value), None, "{value:?}");
        }
    }
}
