//! The name under which the loser of a conflict lives on.
//!
//! ```text
//!     plan.txt    ->    plan (conflict laptop 2026-11-22 150405).txt
//! ```
//!
//! The time is for people; it decides nothing. The extension stays, so that the copy opens with the same program. A name that is a
//! conflict name already loses its old mark first: conflict names never nest. What does not fit in 255 bytes is cut from the stem, at a
//! boundary between characters.

use crate::limits::NAME_BYTES;
use crate::tree::{Path, PathError};

const MARK: &[u8] = b" (conflict ";
/// Longest client name in a conflict name, in bytes: enough to tell machines apart, and most of the name stays the user's.
const CLIENT_BYTES: usize = 40;
/// Longest extension that is kept, dot included; what is longer is no extension but part of the name.
const EXTENSION_BYTES: usize = 32;

/// The path for the loser at `path`: made by `client`, at `time` (as `YYYY-MM-DD HHMMSS`), `attempt` counted from 1 for the case that the
/// name is taken.
///
/// # Errors
/// The resulting path is longer than a path may be.
pub fn conflict_path(path: &Path, client: &str, time: &str, attempt: u32) -> Result<Path, PathError> {
    let (stem, extension) = split_extension(path.name());
    let stem = strip_mark(stem);
    let client = clean(client);
    let mark = match attempt {
        0 | 1 => format!(" (conflict {client} {time})"),
        _ => format!(" (conflict {client} {time} {attempt})"),
    };
    let room = NAME_BYTES - mark.len() - extension.len();
    let name = [cut(stem, room), mark.as_bytes(), extension].concat();
    Path::child(path.parent().as_ref(), &name)
}

/// Whether a name has the mark of a conflict name.
pub fn is_conflict_name(name: &[u8]) -> bool {
    let (stem, _) = split_extension(name);
    strip_mark(stem).len() < stem.len()
}

/// The path that a conflict copy is a copy of; `None` if it is no conflict copy.
pub fn conflict_original(copy: &Path) -> Option<Path> {
    let (stem, extension) = split_extension(copy.name());
    let original = strip_mark(stem);
    if original.len() == stem.len() {
        return None;
    }
    Path::child(copy.parent().as_ref(), &[original, extension].concat()).ok()
}

/// A name under which a conflict copy may stay for good, as `plan (2).txt`; `number` is counted from 2.
///
/// # Errors
/// The resulting path is longer than a path may be.
pub fn settled_path(original: &Path, number: u32) -> Result<Path, PathError> {
    let (stem, extension) = split_extension(original.name());
    let mark = format!(" ({number})");
    let room = NAME_BYTES - mark.len() - extension.len();
    Path::child(original.parent().as_ref(), &[cut(stem, room), mark.as_bytes(), extension].concat())
}

/// `plan.txt` is `plan` and `.txt`; a leading dot (`.profile`) begins a name, not an extension.
fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if 0 < dot && name.len() - dot <= EXTENSION_BYTES && !name[dot..].contains(&b' ') => {
            name.split_at(dot)
        }
        _ => (name, b""),
    }
}

/// Takes ` (conflict WHO YYYY-MM-DD HHMMSS)` off the end, however often it stands there.
fn strip_mark(mut stem: &[u8]) -> &[u8] {
    while stem.ends_with(b")") {
        match stem.windows(MARK.len()).rposition(|window| window == MARK) {
            Some(start) if 0 < start => stem = &stem[..start],
            _ => break,
        }
    }
    stem
}

/// A client's name as it may stand in a file name: no separator, no control character, no parenthesis, not too long.
fn clean(client: &str) -> String {
    let mut clean = String::new();
    for character in client.chars().filter(|c| !c.is_control() && !"/\\()".contains(*c)) {
        if CLIENT_BYTES < clean.len() + character.len_utf8() {
            break;
        }
        clean.push(character);
    }
    match clean.trim() {
        "" => "client".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// At most `room` bytes from the front, not ending inside a UTF-8 sequence if there is a boundary close by.
fn cut(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    let is_boundary = |&at: &usize| stem[at] & 0b1100_0000 != 0b1000_0000;
    let boundary = (room.saturating_sub(3)..=room).rev().find(is_boundary).unwrap_or(room);
    &stem[..boundary]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-22 150405";

    fn name(from: &[u8], client: &str, attempt: u32) -> Vec<u8> {
        let path = conflict_path(&Path::new(from).unwrap(), client, TIME, attempt).unwrap();
        assert!(is_conflict_name(path.name()), "{path}");
        path.as_bytes().to_vec()
    }

    #[test]
    fn forms() {
        for (from, want) in [
            ("plan.txt", "plan (conflict laptop 2026-11-22 150405).txt"),
            ("a/b/plan", "a/b/plan (conflict laptop 2026-11-22 150405)"),
            (".profile", ".profile (conflict laptop 2026-11-22 150405)"),
            ("a.tar.gz", "a.tar (conflict laptop 2026-11-22 150405).gz"),
            ("Mr. Smith", "Mr. Smith (conflict laptop 2026-11-22 150405)"),
        ] {
            assert_eq!(name(from.as_bytes(), "laptop", 1), want.as_bytes());
            assert!(!is_conflict_name(from.as_bytes()));
        }
        assert_eq!(name(b"p.txt", "laptop", 2), b"p (conflict laptop 2026-11-22 150405 2).txt");
        assert_eq!(name(b"p", "../x\n()", 1), b"p (conflict ..x 2026-11-22 150405)");
        assert_eq!(name(b"p", "", 1), b"p (conflict client 2026-11-22 150405)");
    }

    #[test]
    fn originals_are_found_again() {
        for original in ["plan.txt", "a/b/plan", ".profile", "a.tar.gz", "Mr. Smith"] {
            let original = Path::new(original.as_bytes()).unwrap();
            let copy = conflict_path(&original, "laptop", TIME, 1).unwrap();
            assert_eq!(conflict_original(&copy), Some(original.clone()));
            assert_eq!(conflict_original(&original), None);
        }
        let original = Path::new(b"a/plan.txt").unwrap();
        assert_eq!(settled_path(&original, 2).unwrap().to_string(), "a/plan (2).txt");
        assert_eq!(settled_path(&Path::new(&[b'x'; 255]).unwrap(), 2).unwrap().name().len(), 255);
    }

    #[test]
    fn never_nests() {
        let once = name(b"plan.txt", "laptop", 1);
        assert_eq!(name(&once, "laptop", 1), once);
        assert_eq!(name(&once, "desk", 1), b"plan (conflict desk 2026-11-22 150405).txt");
    }

    #[test]
    fn fits_whatever_the_parts() {
        for stem in [
            vec![b'x'; 255],
            "\u{e9}".repeat(127).into_bytes(),
            "\u{1f980}".repeat(63).into_bytes(),
            vec![0xff; 255],
        ] {
            let out = name(&stem, &"client".repeat(20), 12345);
            assert!(out.len() <= NAME_BYTES, "{}", out.len());
            assert_eq!(std::str::from_utf8(&stem).is_ok(), std::str::from_utf8(&out).is_ok());
        }
        let extension = [vec![b'x'; 230], b".markdown".to_vec()].concat();
        assert!(name(&extension, "laptop", 1).ends_with(b").markdown"));
    }
}
