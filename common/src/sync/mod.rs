//! The rules of two-way sync, as pure functions: what to do about a path, what to call the loser of a conflict, when to stop and ask.
//!
//! Nobody's clock decides anything here. The one invariant that every rule serves: no version that a user wrote disappears, unless
//! someone who had seen it replaced or deleted it.

mod conflict;
mod decide;
mod guard;
#[cfg(test)]
mod histories;

pub use conflict::{conflict_original, conflict_path, is_conflict_name, settled_path};
pub use decide::{
    Base, MetaChange, MetaVerdict, Remote, Verdict, decide, decide_meta, mode_before, mode_kept,
};
pub use guard::{DELETES_FREE, is_mass_deletion};
