//! The verdict on one path, from three versions of it: base, local, remote.
//!
//! *Base* is the version that the client last had in common with the server; *local* is what its folder holds; *remote* is what the
//! server holds. The server asks for each item of a list, a client for everything that happens afterwards.
//!
//! ```text
//!     local against base        remote against base                verdict
//!     equal to remote, whatever base says                          in sync
//!     unchanged                 changed                            download
//!     unchanged                 tombstone                          delete locally
//!     unchanged                 unknown, no tombstone              upload (absence is not deletion)
//!     changed, or new           unchanged, unknown or tombstone    upload (an edit beats a delete)
//!     gone                      unchanged                          delete on the server
//!     gone                      changed                            download (an edit beats a delete)
//!     gone                      tombstone or unknown               forget
//!     changed                   changed differently                conflict
//! ```
//!
//! *Gone* means seen to be absent by a complete listing of the directory above; what could not be read is not gone, and no verdict is
//! asked for it. Without a base every difference is a conflict and nothing is ever deleted: that is the union on first contact, after a
//! lost state file, and after the server's history was replaced.

use crate::tree::{Entry, Tag};

/// What the server holds at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing, and it does not remember that there ever was anything.
    Unknown,
    /// Nothing, because it was deleted.
    Tombstone,
    /// This version.
    Present(Tag),
}

/// What a client is to do about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides hold the same version: remember it as the base.
    InSync,
    /// Neither side holds anything: drop the base.
    Forget,
    /// Fetch the server's version.
    Download,
    /// Delete the local version.
    DeleteLocal,
    /// Send the local version, to replace exactly this version, or to create if there is none.
    Upload {
        /// The version that the server must still hold for the upload to be accepted.
        replacing: Option<Tag>,
    },
    /// Delete on the server, if it still holds exactly this version.
    DeleteRemote {
        /// The version that was seen and deleted.
        seen: Tag,
    },
    /// Both changed, differently: keep both.
    Conflict,
}

/// The verdict on one path. `local` is `None` when the path was seen to be absent.
pub fn decide(base: Option<Tag>, local: Option<Tag>, remote: Remote) -> Verdict {
    match (local, remote) {
        (Some(local), Remote::Present(remote)) if local == remote => Verdict::InSync,
        (None, Remote::Unknown | Remote::Tombstone) => Verdict::Forget,

        // From here on the sides differ. Absent on the server, present here:
        (Some(local), Remote::Tombstone) if base == Some(local) => Verdict::DeleteLocal,
        (Some(_), Remote::Unknown | Remote::Tombstone) => Verdict::Upload { replacing: None },

        // Absent here, present on the server: a delete needs a base that the server still holds.
        (None, Remote::Present(remote)) if base == Some(remote) => Verdict::DeleteRemote { seen: remote },
        (None, Remote::Present(_)) => Verdict::Download,

        // Present on both sides.
        (Some(local), Remote::Present(_)) if base == Some(local) => Verdict::Download,
        (Some(_), Remote::Present(remote)) if base == Some(remote) => Verdict::Upload { replacing: base },
        (Some(_), Remote::Present(_)) => Verdict::Conflict,
    }
}

/// What to do about metadata when content agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVerdict {
    /// Nothing that syncs differs.
    Same,
    /// Take over the server's.
    Pull,
    /// Send ours.
    Push,
}

/// The verdict on metadata, where local and remote content agree. The later change wins, and "later" is the order in which changes reach
/// the server: a local change not sent yet is later than anything the server has. Without a base the server's metadata is taken.
pub fn decide_meta(base: Option<&Entry>, local: &Entry, remote: &Entry) -> MetaVerdict {
    if local.same_meta(remote) {
        return MetaVerdict::Same;
    }
    match base {
        Some(base) if !local.same_meta(base) => MetaVerdict::Push,
        _ => MetaVerdict::Pull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Content, Meta, Mtime};
    use crate::wire::sha256::Hash;

    const A: Tag = Tag::File(Hash([1; 32]));
    const B: Tag = Tag::File(Hash([2; 32]));
    const C: Tag = Tag::Symlink(Hash([1; 32]));
    const D: Tag = Tag::Directory;
    const TAGS: [Option<Tag>; 5] = [None, Some(A), Some(B), Some(C), Some(D)];

    /// How a side stands against the base, in the words of the table.
    #[derive(Debug, PartialEq)]
    enum Against {
        Unchanged,
        Changed,
        Gone,
        NeverThere,
    }

    fn against(base: Option<Tag>, now: Option<Tag>) -> Against {
        match (base, now) {
            (Some(base), Some(now)) if base == now => Against::Unchanged,
            (_, Some(_)) => Against::Changed,
            (Some(_), None) => Against::Gone,
            (None, None) => Against::NeverThere,
        }
    }

    /// The table of the module's head, row by row, in its own words and not in those of the code above.
    fn table(base: Option<Tag>, local: Option<Tag>, remote: Remote) -> Verdict {
        use Against::*;
        let present = match remote {
            Remote::Present(tag) => Some(tag),
            _ => None,
        };
        if local.is_some() && local == present {
            return Verdict::InSync;
        }
        let rows = (against(base, local), against(base, present), remote);
        match rows {
            (Unchanged, Changed, _) => Verdict::Download,
            (Unchanged, _, Remote::Tombstone) => Verdict::DeleteLocal,
            (Unchanged, _, Remote::Unknown) => Verdict::Upload { replacing: None },
            (Changed, Unchanged, _) => Verdict::Upload { replacing: base },
            (Changed, _, Remote::Unknown | Remote::Tombstone) => Verdict::Upload { replacing: None },
            (Gone, Unchanged, _) => Verdict::DeleteRemote { seen: base.unwrap() },
            (Gone | NeverThere, Changed, _) => Verdict::Download,
            (Gone | NeverThere, _, Remote::Unknown | Remote::Tombstone) => Verdict::Forget,
            (Changed, Changed, _) => Verdict::Conflict,
            impossible => panic!("{impossible:?}"),
        }
    }

    fn everything(mut each: impl FnMut(Option<Tag>, Option<Tag>, Remote)) {
        for base in TAGS {
            for local in TAGS {
                each(base, local, Remote::Unknown);
                each(base, local, Remote::Tombstone);
                for remote in TAGS.into_iter().flatten() {
                    each(base, local, Remote::Present(remote));
                }
            }
        }
    }

    #[test]
    fn every_case_is_the_table() {
        let mut cases = 0;
        everything(|base, local, remote| {
            assert_eq!(
                decide(base, local, remote),
                table(base, local, remote),
                "{base:?} {local:?} {remote:?}"
            );
            cases += 1;
        });
        assert_eq!(cases, 5 * 5 * 6);
    }

    #[test]
    fn a_delete_needs_evidence_on_both_sides() {
        everything(|base, local, remote| match decide(base, local, remote) {
            Verdict::DeleteLocal => assert!(base.is_some() && base == local && remote == Remote::Tombstone),
            Verdict::DeleteRemote { seen } => {
                assert!(base == Some(seen) && local.is_none() && remote == Remote::Present(seen));
            }
            _ => {}
        });
    }

    #[test]
    fn nothing_unseen_is_replaced() {
        everything(|base, local, remote| match decide(base, local, remote) {
            // The local version goes: the server must have had it.
            Verdict::Download => assert!(local.is_none() || local == base),
            // The server's version goes: this client must have had it.
            Verdict::Upload { replacing } => match remote {
                Remote::Present(tag) => assert!(replacing == Some(tag) && base == Some(tag)),
                _ => assert_eq!(replacing, None),
            },
            _ => {}
        });
    }

    #[test]
    fn metadata_the_later_change_wins() {
        let entry = |nanos, mode| Entry {
            content: Content::File { size: 1, hash: Hash([1; 32]) },
            meta: Meta { mtime: Mtime(nanos), mode },
        };
        let (a, b, c) = (entry(1, 0o644), entry(2, 0o644), entry(1, 0o755));
        for (base, local, remote, want) in [
            (Some(a), a, a, MetaVerdict::Same),
            (Some(a), b, b, MetaVerdict::Same),
            (Some(a), a, b, MetaVerdict::Pull),
            (Some(a), b, a, MetaVerdict::Push),
            (Some(a), b, c, MetaVerdict::Push),
            (None, a, a, MetaVerdict::Same),
            (None, a, b, MetaVerdict::Pull),
        ] {
            assert_eq!(decide_meta(base.as_ref(), &local, &remote), want, "{base:?} {local:?} {remote:?}");
        }
    }
}
