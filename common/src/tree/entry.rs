//! What is known of the thing at a path: its content, which is its identity, and its metadata, which is not.
//!
//! Two versions are the same version when kind and hash are equal; that identity is what an entity tag carries (RFC 9110, 8.8.3):
//!
//! ```text
//!     "9f86d081884c7d65...15b0f00a08"      a file: SHA-256 of its content
//!     "link-2c26b46b68ff...e730a33ae"      a symbolic link: SHA-256 of its target
//!     "dir"                                a directory
//! ```

use std::fmt;

use crate::wire::sha256::Hash;

/// Entity tag (without quotes) of every directory.
pub const ETAG_DIRECTORY: &str = "dir";
const ETAG_LINK_PREFIX: &str = "link-";

/// The kinds of things that sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link, carried as a link and never followed.
    Symlink,
    /// A directory.
    Directory,
}

impl Kind {
    /// The word used in JSON and in the field `File-Kind`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Symlink => "symlink",
            Kind::Directory => "dir",
        }
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Kind> {
        [Kind::File, Kind::Symlink, Kind::Directory].into_iter().find(|kind| kind.word() == word)
    }
}

/// The identity of a version: equal content is the same version, whatever its name, time or owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A file of `size` bytes.
    File {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of the content.
        hash: Hash,
    },
    /// A symbolic link whose target has `size` bytes.
    Symlink {
        /// Length of the target in bytes.
        size: u64,
        /// SHA-256 of the target.
        hash: Hash,
    },
    /// A directory.
    Directory,
}

impl Content {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Content::File { .. } => Kind::File,
            Content::Symlink { .. } => Kind::Symlink,
            Content::Directory => Kind::Directory,
        }
    }

    /// Length in bytes of what a transfer would carry.
    pub fn size(&self) -> u64 {
        match self {
            Content::File { size, .. } | Content::Symlink { size, .. } => *size,
            Content::Directory => 0,
        }
    }

    /// The hash of what a transfer would carry, if there is any.
    pub fn hash(&self) -> Option<Hash> {
        match self {
            Content::File { hash, .. } | Content::Symlink { hash, .. } => Some(*hash),
            Content::Directory => None,
        }
    }

    /// The entity tag, without its quotes.
    pub fn tag(&self) -> String {
        Tag::from(*self).to_string()
    }

    /// The entity tag as it stands in `ETag` and `If-Match`, quotes included.
    pub fn etag(&self) -> String {
        format!("\"{}\"", Tag::from(*self))
    }
}

/// Identity without a length: what an entity tag alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// A file with this hash.
    File(Hash),
    /// A symbolic link whose target has this hash.
    Symlink(Hash),
    /// A directory.
    Directory,
}

/// The text is not the entity tag of any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagError;

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an entity tag of a version (64 hex digits, link- and 64 hex digits, or dir)")
    }
}

impl std::error::Error for TagError {}

impl Tag {
    /// Reads an entity tag without its quotes.
    ///
    /// # Errors
    /// [`TagError`] if it is not exactly what [`Content::tag`] writes.
    pub fn parse(text: &str) -> Result<Tag, TagError> {
        if text == ETAG_DIRECTORY {
            return Ok(Tag::Directory);
        }
        match text.strip_prefix(ETAG_LINK_PREFIX) {
            Some(hash) => Hash::parse(hash).map(Tag::Symlink).ok_or(TagError),
            None => Hash::parse(text).map(Tag::File).ok_or(TagError),
        }
    }
}

/// As it stands in an entity tag, without quotes.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::File(hash) => hash.fmt(f),
            Tag::Symlink(hash) => write!(f, "{ETAG_LINK_PREFIX}{hash}"),
            Tag::Directory => f.write_str(ETAG_DIRECTORY),
        }
    }
}

impl From<Content> for Tag {
    fn from(content: Content) -> Tag {
        match content {
            Content::File { hash, .. } => Tag::File(hash),
            Content::Symlink { hash, .. } => Tag::Symlink(hash),
            Content::Directory => Tag::Directory,
        }
    }
}

/// A time of last modification, carried from machine to machine and never compared with any clock: nanoseconds since 1970-01-01 00:00
/// UTC, negative before. What 64 bits can't hold (before 1677, after 2262) becomes the nearest end, once, where it is read from disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime(pub i64);

impl Mtime {
    /// From the form of a file system: seconds, negative before 1970, and the nanoseconds after them.
    pub fn from_parts(secs: i64, nanos: u32) -> Mtime {
        let exact = i128::from(secs) * NANOS_PER_SECOND as i128 + i128::from(nanos);
        Mtime(exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Seconds, negative before 1970, and the nanoseconds after them (below 1,000,000,000).
    pub fn parts(self) -> (i64, u32) {
        (self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND) as u32)
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Metadata that syncs but never makes a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Time of last modification.
    pub mtime: Mtime,
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
}

/// A version of what is at a path: content and metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is there.
    pub content: Content,
    /// How it is labelled.
    pub meta: Meta,
}

impl Entry {
    /// Whether the metadata that syncs for this kind agrees: both of a file, the permission bits of a directory (its time changes with
    /// every child), none of a symbolic link (Linux gives it no permissions, and few tools set its time).
    pub fn same_meta(&self, other: &Entry) -> bool {
        match (self.content.kind(), other.content.kind()) {
            (Kind::File, Kind::File) => self.meta == other.meta,
            (Kind::Directory, Kind::Directory) => self.meta.mode == other.meta.mode,
            (mine, theirs) => mine == theirs,
        }
    }

    /// Whether nothing that syncs differs.
    pub fn agrees(&self, other: &Entry) -> bool {
        self.content == other.content && self.same_meta(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip() {
        let hash = Hash([0xab; 32]);
        for content in
            [Content::File { size: 1, hash }, Content::Symlink { size: 1, hash }, Content::Directory]
        {
            assert_eq!(Tag::parse(&content.tag()), Ok(Tag::from(content)));
            assert_eq!(Kind::from_word(content.kind().word()), Some(content.kind()));
        }
    }

    #[test]
    fn attacks_on_tags() {
        let upper = "AB".repeat(32);
        let short = "ab".repeat(31);
        let long = "ab".repeat(33);
        for text in ["", "DIR", "dir ", "link-", "link-dir", &upper, &short, &long, "*", "W/\"dir\""] {
            assert_eq!(Tag::parse(text), Err(TagError), "{text:?}");
        }
    }

    #[test]
    fn mtimes_before_1970_and_at_the_ends() {
        for (nanos, secs, rest) in [
            (0, 0, 0),
            (-1, -1, 999_999_999),
            (1_500_000_000, 1, 500_000_000),
            (-1_500_000_000, -2, 500_000_000),
            (i64::MAX, 9_223_372_036, 854_775_807),
            (i64::MIN, -9_223_372_037, 145_224_192),
        ] {
            assert_eq!(Mtime(nanos).parts(), (secs, rest));
            assert_eq!(Mtime::from_parts(secs, rest), Mtime(nanos));
        }
        assert_eq!(Mtime::from_parts(i64::MAX, 0), Mtime(i64::MAX));
        assert_eq!(Mtime::from_parts(i64::MIN, 0), Mtime(i64::MIN));
    }
}
