//! What a tree of files is made of: paths that were checked once, what is known of the thing at a path, and which paths are ignored.

mod entry;
mod ignore;
mod path;

pub use entry::{Content, ETAG_DIRECTORY, Entry, Kind, Meta, Mtime, Tag, TagError};
pub use ignore::{RULES_FILE, Rule, Rules, RulesError, Verdict};
pub use path::{Descendants, Path, PathError, RESERVED_NAME};
