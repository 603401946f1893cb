//! What a tree of files is made of: paths that were checked once, what is known of the thing at a path, and which paths are ignored.

mod catalog;
mod entry;
mod ignore;
mod order;
mod path;

pub use catalog::{Catalog, Entries, Id};
pub use entry::{Content, ETAG_DIRECTORY, Entry, Kind, Meta, Mtime, Tag, TagError};
pub use ignore::{RULES_FILE, Rule, Rules, RulesError, Verdict};
pub use order::{Order, Place};
pub use path::{Descendants, Path, PathError, RESERVED_NAME};
