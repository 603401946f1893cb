//! Numbers, times and names as a person reads them, and nobody can abuse them.
//!
//! Names come from other machines and may hold anything: ESC sequences that repaint a terminal, line breaks that forge a line of a log,
//! marks that turn the direction of writing. What is shown has none of these.

use std::fmt::Write;
use std::time::Duration;

use crate::wire::http::date::{Civil, civil_from_unix};

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

// ---- Numbers ----------------------------------------------------------------------------------------------------------------

/// A number of bytes with one decimal, in units of 1024: `4.1 GiB`; below 1 KiB all of it: `812 B`.
pub fn size(bytes: u64) -> String {
    let mut unit = 0;
    // 1023.95 and more would be shown as 1024.0: that is 1.0 of the next unit.
    while unit + 1 < UNITS.len() && 10 * 1024 <= tenths(bytes, unit) {
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths(bytes, unit) / 10, tenths(bytes, unit) % 10, UNITS[unit]),
    }
}

/// A speed: `12.3 MiB/s`. What took no time at all has no speed that could be told, and counts as one millisecond.
pub fn rate(bytes: u64, time: Duration) -> String {
    let per_second = u128::from(bytes) * 1000 / time.as_millis().max(1);
    format!("{}/s", size(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// A time span in its two largest units: `0.4 s`, `45 s`, `3 m 07 s`, `1 h 02 m`, `2 d 03 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..10 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} m {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {:02} m", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// Tenths of a unit, rounded to the nearest.
fn tenths(bytes: u64, unit: usize) -> u128 {
    let one = 1u128 << (10 * unit);
    (u128::from(bytes) * 10 + one / 2) / one
}

// ---- Time -------------------------------------------------------------------------------------------------------------------

/// Seconds since 1970 as UTC (ISO 8601, RFC 3339): `2026-11-22T15:04:05Z`.
pub fn utc(seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil_from_unix(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

// ---- Names ------------------------------------------------------------------------------------------------------------------

/// A name, made safe to show and still telling every byte: backslash is `\\`, and what can't be shown is `\n`, `\r`, `\t` or `\xNN`
/// (as `$'...'` of the shell takes it).
pub fn escape_for_terminal(name: &[u8]) -> String {
    escape(name, "\\\\")
}

/// The same for text that has backslashes of its own, because names in it are escaped already.
pub fn defuse(text: &[u8]) -> String {
    escape(text, "\\")
}

fn escape(bytes: &[u8], backslash: &str) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.push_str(backslash),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                _ if is_unshowable(character) => {
                    push_hex(&mut out, character.encode_utf8(&mut [0; 4]).as_bytes())
                }
                _ => out.push(character),
            }
        }
        push_hex(&mut out, chunk.invalid());
    }
    out
}

/// Control characters, and those that are invisible or rearrange their neighbours.
fn is_unshowable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1075, "1.0 KiB"),
            (1076, "1.1 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 52, "1023.9 KiB"),
            (1024 * 1024 - 51, "1.0 MiB"),
            (1024 * 1024, "1.0 MiB"),
            (4_402_341_478, "4.1 GiB"),
            (1 << 60, "1.0 EiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn rates() {
        for (bytes, milliseconds, want) in [
            (0, 0, "0 B/s"),
            (1024, 1000, "1.0 KiB/s"),
            (1024, 500, "2.0 KiB/s"),
            (1, 0, "1000 B/s"),
            (u64::MAX, 1, "16.0 EiB/s"),
            (5, 1_000_000, "0 B/s"),
        ] {
            assert_eq!(rate(bytes, Duration::from_millis(milliseconds)), want);
        }
    }

    #[test]
    fn durations() {
        for (milliseconds, want) in [
            (0, "0.0 s"),
            (449, "0.4 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1 m 00 s"),
            (187_000, "3 m 07 s"),
            (3_599_999, "59 m 59 s"),
            (3_720_000, "1 h 02 m"),
            (86_399_000, "23 h 59 m"),
            (183_600_000, "2 d 03 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), want);
        }
        assert!(duration(Duration::MAX).ends_with(" h"));
    }

    #[test]
    fn times() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_359_845, "2026-11-22T15:04:05Z"),
            (i64::from(i32::MAX), "2038-01-19T03:14:07Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), want, "{seconds}");
        }
        utc(i64::MIN);
        utc(i64::MAX);
    }

    /// Day after day through four centuries and their neighbours, against counting.

    #[test]
    fn names() {
        for (name, want) in [
            (&b""[..], ""),
            (b"plain name.txt", "plain name.txt"),
            ("Grüße/日本語/🎉".as_bytes(), "Grüße/日本語/🎉"),
            (b"a\\b", "a\\\\b"),
            (b"a\nb\rc\td", "a\\nb\\rc\\td"),
            (b"\\n", "\\\\n"),
            (b"\xFF\xC3", "\\xff\\xc3"),
            (b"a\xE2\x82b", "a\\xe2\\x82b"),
        ] {
            assert_eq!(escape_for_terminal(name), want);
        }
    }

    #[test]
    fn attacks() {
        for (name, want) in [
            (&b"\x1B[2J\x1B]0;owned\x07"[..], "\\x1b[2J\\x1b]0;owned\\x07"),
            (b"\x7F\0", "\\x7f\\x00"),
            ("\u{9B}31m".as_bytes(), "\\xc2\\x9b31m"),
            (b"\x9B31m", "\\x9b31m"),
            ("txt.\u{202E}exe".as_bytes(), "txt.\\xe2\\x80\\xaeexe"),
            ("a\u{2028}b\u{200B}\u{FEFF}".as_bytes(), "a\\xe2\\x80\\xa8b\\xe2\\x80\\x8b\\xef\\xbb\\xbf"),
            ("\u{E0041}".as_bytes(), "\\xf3\\xa0\\x81\\x81"),
        ] {
            assert_eq!(escape_for_terminal(name), want);
            assert_eq!(defuse(name), want);
            assert_eq!(defuse(escape_for_terminal(name).as_bytes()), want, "twice is once");
        }
    }

    /// Every pair of bytes can be told from every other.
    #[test]
    fn escaping_loses_nothing() {
        let mut seen = std::collections::HashSet::new();
        for pair in 0..=u16::MAX {
            assert!(seen.insert(escape_for_terminal(&pair.to_be_bytes())), "{pair:04x}");
        }
    }
}
