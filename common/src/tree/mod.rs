//! What a tree of files is made of: paths that were checked once, and what is known of the thing at a path.

mod entry;
mod path;

pub use entry::{Content, ETAG_DIRECTORY, Entry, Kind, Meta, Mtime, Tag, TagError};
pub use path::{Descendants, Path, PathError, RESERVED_NAME};
