//! Folders on disk: confined access, journals, staging, scanning, and word of what changes.

mod content;
mod dirty;
mod fidelity;
mod halves;
mod hashing;
mod journal;
mod listing;
mod lock;
mod observe;
mod partial;
mod records;
mod retained;
mod root;
#[cfg(test)]
pub(crate) mod scratch;
mod stage;
mod stat;
pub mod unflushed;
mod versions;
mod watch;

pub use content::NewContent;
pub use fidelity::Fidelity;
pub use hashing::{Hashing, Piece, Snapshot, hash_up_to};
pub use journal::{Broken, Found, Journal};
pub use lock::{Holder, Lock, LockError};
pub use observe::{Looker, Mode, Observation, Observer, Passed};
pub use partial::{Complete, Found as FoundPartial, Key as PartialKey, Partial, Partials};
pub use records::{pack_entry, pack_print, unpack_entry, unpack_path, unpack_print};
pub use retained::{Retained, RetainedFile};
pub use root::{Above, DirEntry, DirEntryKind, RenameMode, Root};
pub use stage::{Expect, Outcome, STAGING, Stage, Staged, VERSIONS};
pub use stat::{Fingerprint, Stat, StatKind};
pub use watch::{Added, Event, Watch};

/// Name of the private directory at the root of a box or folder: journal or state, staging, versions, lock, status. Never synced.
pub const PRIVATE_DIRECTORY: &[u8] = crate::tree::RESERVED_NAME;
