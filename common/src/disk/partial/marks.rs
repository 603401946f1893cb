//! Marks of a partial file: how far it is durable, each with its own proof.
//!
//! ```text
//!     filesync-partial-1 5368709120       the form, and the length of the whole in bytes
//!     8388608 0f3a…                       the first 8388608 bytes have this SHA-256
//!     16777216 77c2…
//! ```
//!
//! A mark is believed only as far as the content bears it out. So nothing depends on the order in which the disk wrote the two files: a
//! mark that came too early, was torn, or speaks of bytes that have changed since is no mark, and neither is any after it.

use std::io::{self, BufRead, ErrorKind, Read};

use crate::limits::COPY_BUFFER_BYTES;
use crate::wire::http::fields::parse_decimal;
use crate::wire::sha256::{Hash, Sha256};

const FORM: &str = "filesync-partial-1";
/// Longest line with its end in bytes: two words, of at most 20 digits and 64, and what is between and behind them.
const LINE_BYTES: u64 = 20 + 1 + 64 + 1;

/// "The first `offset` bytes have this hash."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) hash: Hash,
}

/// How much of a partial file is what it is said to be.
#[derive(Debug)]
pub(super) struct Proven {
    /// Over the proven bytes.
    pub(super) hasher: Sha256,
    /// How many they are.
    pub(super) offset: u64,
    /// How long the marks are that prove it, in bytes: what is beyond is to be cut off.
    pub(super) marks_bytes: u64,
    /// Length of the whole in bytes.
    pub(super) length: u64,
}

/// The first line.
pub(super) fn head_line(length: u64) -> String {
    format!("{FORM} {length}\n")
}

/// The line of a mark.
pub(super) fn mark_line(mark: &Mark) -> String {
    format!("{} {}\n", mark.offset, mark.hash)
}

/// Reads content as far as marks go, and says how far they are true. `None`: the marks are not even marks.
///
/// # Errors
/// Those of reading either.
pub(super) fn prove(content: &mut dyn Read, marks: &mut dyn BufRead) -> io::Result<Option<Proven>> {
    let Some(head) = line(marks)? else { return Ok(None) };
    let Some(length) = parse_head(&head) else { return Ok(None) };
    let mut proven = Proven { hasher: Sha256::new(), offset: 0, marks_bytes: head.len() as u64 + 1, length };
    let mut hasher = Sha256::new();
    while let Some(line) = line(marks)? {
        let Some(mark) = parse_mark(&line) else { break };
        if mark.offset <= proven.offset || length < mark.offset {
            break;
        }
        let is_there = hash_exactly(content, mark.offset - proven.offset, &mut hasher)?;
        if !is_there || hasher.clone().finish() != mark.hash {
            break;
        }
        proven.hasher = hasher.clone();
        proven.offset = mark.offset;
        proven.marks_bytes += line.len() as u64 + 1;
    }
    Ok(Some(proven))
}

/// The next whole line without its end; `None` if there is none, or it is too long to be one of ours.
fn line(marks: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    marks.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8(line).ok()),
        _ => Ok(None),
    }
}

fn parse_head(line: &str) -> Option<u64> {
    parse_decimal(line.strip_prefix(FORM)?.strip_prefix(' ')?)
}

fn parse_mark(line: &str) -> Option<Mark> {
    let (offset, hash) = line.split_once(' ')?;
    Some(Mark { offset: parse_decimal(offset)?, hash: Hash::parse(hash)? })
}

/// Whether there were so many bytes.
fn hash_exactly(content: &mut dyn Read, mut left: u64, hasher: &mut Sha256) -> io::Result<bool> {
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    while 0 < left {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match content.read(&mut buffer[..wanted]) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                left -= count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sha256::sha256;

    const CONTENT: &[u8] = b"0123456789";

    fn mark(offset: u64, bytes: &[u8]) -> String {
        mark_line(&Mark { offset, hash: sha256(bytes) })
    }

    /// How far these marks prove this content, and how many of their bytes do it.
    fn proven(content: &[u8], marks: &str) -> Option<(u64, u64)> {
        let proven = prove(&mut &content[..], &mut marks.as_bytes()).unwrap()?;
        let prefix = &content[..usize::try_from(proven.offset).unwrap()];
        assert_eq!((proven.hasher.finish(), proven.length), (sha256(prefix), 10), "{marks:?}");
        Some((proven.offset, proven.marks_bytes))
    }

    #[test]
    fn marks_count_as_far_as_they_are_true() {
        let head = head_line(10);
        let (three, seven) = (mark(3, b"012"), mark(7, b"0123456"));
        let end = |lines: &[&str]| lines.concat().len() as u64;
        let both = [&*head, &three, &seven];
        assert_eq!(proven(CONTENT, &both.concat()), Some((7, end(&both))));
        assert_eq!(proven(CONTENT, &head), Some((0, end(&[&head]))));
        assert_eq!(proven(b"012", &both.concat()), Some((3, end(&both[..2]))), "content is lost");
        assert_eq!(proven(b"0123x56789", &both.concat()), Some((3, end(&both[..2]))), "content has changed");
        assert_eq!(proven(b"x123456789", &both.concat()), Some((0, end(&both[..1]))));
        for torn in 1..seven.len() {
            let marks = [&*head, &three, &seven[..torn]].concat();
            assert_eq!(proven(CONTENT, &marks), Some((3, end(&both[..2]))), "{torn}");
        }
    }

    #[test]
    fn what_is_no_mark_ends_them() {
        let head = head_line(10);
        let start = head.len() as u64;
        for line in [
            mark(0, b""),
            mark(11, b"0123456789x"),
            "3\n".into(),
            "+3 x\n".into(),
            "\n".into(),
            "\u{0}\n".into(),
            format!("{}\n", "9".repeat(500)),
        ] {
            let marks = [&head, &*line, &mark(7, b"0123456")].concat();
            assert_eq!(proven(CONTENT, &marks), Some((0, start)), "{line:?}");
        }
        for marks in
            ["", "filesync-partial-1 10", "filesync-partial-2 10\n", "filesync-partial-1 -1\n", "x\n"]
        {
            assert_eq!(proven(CONTENT, marks), None, "{marks:?}");
        }
    }
}
