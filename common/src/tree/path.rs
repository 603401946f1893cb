//! A relative path inside a box or a folder, checked once where it enters and trusted from then on.
//!
//! ```text
//!     docs/2026/plan.txt         names joined by '/', each 1 to 255 bytes of anything but NUL and '/'
//! ```
//!
//! A path is bytes: Linux knows no other encoding, so names that are not UTF-8 live. Nothing is ever normalised into validity: what is
//! not already in the one accepted form is refused. The reserved name `.filesync` is refused at every depth, so that a synced folder
//! that holds another synced folder never carries that one's private records.
//!
//! Paths are ordered as bytes, which is also the order of a complete list in `POST /sync`. Note that in this order `a-b` stands between
//! `a` and `a/b`; what is below a directory is still one contiguous range ([`Path::descendants`]).

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::limits::{NAME_BYTES, PATH_BYTES};

/// Name of the private directory at the root of a box or folder; no path may contain it.
pub const RESERVED_NAME: &[u8] = b".filesync";

/// A checked relative path. Cloning is cheap: clones share the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<[u8]>);

/// Why bytes are not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// No bytes at all.
    Empty,
    /// A leading `/`.
    Absolute,
    /// An empty name: `a//b` or a trailing `/`.
    EmptyName,
    /// A name `.` or `..`.
    DotName,
    /// A NUL byte.
    Nul,
    /// A name of more than [`NAME_BYTES`] bytes.
    NameTooLong,
    /// More than [`PATH_BYTES`] bytes in all.
    TooLong,
    /// A name that is [`RESERVED_NAME`].
    Reserved,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Empty => write!(f, "the path is empty"),
            PathError::Absolute => write!(f, "the path is absolute"),
            PathError::EmptyName => write!(f, "the path has an empty name in it"),
            PathError::DotName => write!(f, "the path has a name '.' or '..' in it"),
            PathError::Nul => write!(f, "the path has a NUL byte in it"),
            PathError::NameTooLong => write!(f, "a name in the path is longer than {NAME_BYTES} bytes"),
            PathError::TooLong => write!(f, "the path is longer than {PATH_BYTES} bytes"),
            PathError::Reserved => write!(f, "the name .filesync is reserved"),
        }
    }
}

impl std::error::Error for PathError {}

impl Path {
    /// Checks the bytes of a path.
    ///
    /// # Errors
    /// The first rule of [`PathError`] that the bytes break.
    pub fn new(bytes: &[u8]) -> Result<Path, PathError> {
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        if PATH_BYTES < bytes.len() {
            return Err(PathError::TooLong);
        }
        if bytes[0] == b'/' {
            return Err(PathError::Absolute);
        }
        for name in bytes.split(|&byte| byte == b'/') {
            check_name(name)?;
        }
        Ok(Path(Arc::from(bytes)))
    }

    /// The path of `name` inside this directory.
    ///
    /// # Errors
    /// The name, or the whole, breaks a rule of [`PathError`].
    pub fn join(&self, name: &[u8]) -> Result<Path, PathError> {
        check_name(name)?;
        if PATH_BYTES <= self.0.len() + name.len() {
            return Err(PathError::TooLong);
        }
        Ok(Path([&self.0, b"/".as_slice(), name].concat().into()))
    }

    /// The path of `name` inside `directory`, or at the root if there is none.
    ///
    /// # Errors
    /// As [`Path::join`].
    pub fn child(directory: Option<&Path>, name: &[u8]) -> Result<Path, PathError> {
        match directory {
            Some(directory) => directory.join(name),
            None if name.contains(&b'/') => Err(PathError::EmptyName),
            None => Path::new(name),
        }
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last name.
    pub fn name(&self) -> &[u8] {
        match self.last_slash() {
            Some(slash) => &self.0[slash + 1..],
            None => &self.0,
        }
    }

    /// The directory that holds this path; `None` at the root.
    pub fn parent(&self) -> Option<Path> {
        self.last_slash().map(|slash| Path(Arc::from(&self.0[..slash])))
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// Whether this path lies below `directory`, at any depth.
    pub fn is_below(&self, directory: &Path) -> bool {
        self.0.len() > directory.0.len() + 1
            && self.0.starts_with(&directory.0)
            && self.0[directory.0.len()] == b'/'
    }

    /// The range, in the order of paths, of all that lies below this directory.
    pub fn descendants(&self) -> Descendants {
        Descendants { first: [&self.0, b"/".as_slice()].concat(), after: [&self.0, b"0".as_slice()].concat() }
    }

    /// The same path seen from below `directory`, if it lies there.
    pub fn strip(&self, directory: &Path) -> Option<Path> {
        self.is_below(directory).then(|| Path(Arc::from(&self.0[directory.0.len() + 1..])))
    }

    /// The path that this one becomes when the directory `from` above it is renamed to `to`.
    pub fn rebase(&self, from: &Path, to: &Path) -> Option<Path> {
        let rest = self.strip(from)?;
        Path::new(&[to.as_bytes(), b"/", rest.as_bytes()].concat()).ok()
    }

    fn last_slash(&self) -> Option<usize> {
        self.0.iter().rposition(|&byte| byte == b'/')
    }
}

impl Borrow<[u8]> for Path {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// For people: valid UTF-8 as it is, control characters and other bytes escaped, so that a name can't forge a line of a log.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character.is_control() {
                    true => write!(f, "{}", character.escape_default())?,
                    false => write!(f, "{character}")?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// What lies below a directory, as a range of paths: from `directory/` up to, but without, `directory0` (`0` follows `/` in ASCII).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descendants {
    first: Vec<u8>,
    after: Vec<u8>,
}

impl Descendants {
    /// The first key, as bytes, that is beyond the range.
    pub fn after(&self) -> &[u8] {
        &self.after
    }
}

impl RangeBounds<[u8]> for Descendants {
    fn start_bound(&self) -> Bound<&[u8]> {
        Bound::Excluded(&self.first)
    }

    fn end_bound(&self) -> Bound<&[u8]> {
        Bound::Excluded(&self.after)
    }
}

fn check_name(name: &[u8]) -> Result<(), PathError> {
    match name {
        b"" => Err(PathError::EmptyName),
        b"." | b".." => Err(PathError::DotName),
        _ if name == RESERVED_NAME => Err(PathError::Reserved),
        _ if name.contains(&0) => Err(PathError::Nul),
        _ if name.contains(&b'/') => Err(PathError::EmptyName),
        _ if NAME_BYTES < name.len() => Err(PathError::NameTooLong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn accepted_as_they_are() {
        let deepest = [b"a/".repeat((PATH_BYTES - 1) / 2).as_slice(), b"a"].concat();
        assert_eq!(deepest.len(), PATH_BYTES);
        for bytes in [
            b"a".as_slice(),
            b"a/b/c",
            b"...",
            b"a\nb",
            b"\xff\xfe",
            b" ",
            b"a\\b",
            b"%2e",
            b".filesync2",
            b"x.filesync",
            "\u{e9}/e\u{301}".as_bytes(),
            &[b'n'; NAME_BYTES],
            &deepest,
        ] {
            assert_eq!(Path::new(bytes).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn attacks() {
        let long = vec![b'a'; NAME_BYTES + 1];
        let deep = [b"a/".repeat((PATH_BYTES - 1) / 2).as_slice(), b"ab"].concat();
        for (bytes, error) in [
            (b"".as_slice(), PathError::Empty),
            (b"/", PathError::Absolute),
            (b"/etc/passwd", PathError::Absolute),
            (b"a//b", PathError::EmptyName),
            (b"a/", PathError::EmptyName),
            (b".", PathError::DotName),
            (b"..", PathError::DotName),
            (b"a/../b", PathError::DotName),
            (b"a/.", PathError::DotName),
            (b"a\0b", PathError::Nul),
            (b".filesync", PathError::Reserved),
            (b".filesync/key", PathError::Reserved),
            (b"a/.filesync/b", PathError::Reserved),
            (&long, PathError::NameTooLong),
            (&deep, PathError::TooLong),
        ] {
            assert_eq!(Path::new(bytes), Err(error), "{}", bytes.escape_ascii());
        }
        let a = Path::new(b"a").unwrap();
        assert_eq!(a.join(b"b/c"), Err(PathError::EmptyName));
        assert_eq!(a.join(b".."), Err(PathError::DotName));
        assert_eq!(Path::child(None, b"a/b"), Err(PathError::EmptyName));
    }

    #[test]
    fn parts() {
        let path = Path::new(b"a/b/c.txt").unwrap();
        assert_eq!(path.name(), b"c.txt");
        assert_eq!(path.parent(), Some(Path::new(b"a/b").unwrap()));
        assert_eq!(Path::new(b"a").unwrap().parent(), None);
        assert_eq!(path.names().collect::<Vec<_>>(), [b"a".as_slice(), b"b", b"c.txt"]);
        assert_eq!(path.strip(&Path::new(b"a").unwrap()), Some(Path::new(b"b/c.txt").unwrap()));
        assert_eq!(path.strip(&Path::new(b"a/b/c.txt").unwrap()), None);
    }

    #[test]
    fn descendants_are_one_range() {
        let tree: BTreeSet<Path> = ["a", "a!", "a-b", "a/b", "a/b/c", "a/\u{10ffff}", "a0", "ab"]
            .map(|p| Path::new(p.as_bytes()).unwrap())
            .into();
        let a = Path::new(b"a").unwrap();
        let below: Vec<_> = tree.range::<[u8], _>(a.descendants()).map(|p| p.to_string()).collect();
        assert_eq!(below, ["a/b", "a/b/c", "a/\u{10ffff}"]);
        assert!(tree.iter().all(|path| path.is_below(&a) == below.contains(&path.to_string())));
    }

    #[test]
    fn display_cannot_forge_a_line() {
        let path = Path::new(b"caf\xc3\xa9\n\x1b[2J\xff").unwrap();
        assert_eq!(path.to_string(), "caf\u{e9}\\n\\u{1b}[2J\\xff");
    }
}
