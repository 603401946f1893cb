//! Folders on disk: confined access, and word of what changes in them.

pub mod root;
#[cfg(test)]
pub(crate) mod scratch;
pub mod watch;
