//! Folders on disk: confined access, and word of what changes in them.

#[cfg(test)]
pub(crate) mod scratch;
