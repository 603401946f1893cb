//! The brake: a pass that would delete much of what is there stops, says so, and waits for a person.
//!
//! An emptied disk, a wrong mount and a runaway script all look like a user who deletes everything. The rule is the same on every side.

/// So many deletes pass without a question, however small the tree: tidying up a folder is ordinary work.
pub const DELETES_FREE: usize = 20;

/// Whether `deletes` out of `entries` (those about to be deleted included) is more than half, and more than [`DELETES_FREE`].
pub fn is_mass_deletion(deletes: usize, entries: usize) -> bool {
    DELETES_FREE < deletes && entries / 2 < deletes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_and_more_than_twenty() {
        for (deletes, entries, held) in [
            (0, 0, false),
            (20, 20, false),
            (21, 21, true),
            (21, 42, false),
            (22, 43, true),
            (21, 1000, false),
            (501, 1000, true),
        ] {
            assert_eq!(is_mass_deletion(deletes, entries), held, "{deletes} of {entries}");
        }
    }
}
