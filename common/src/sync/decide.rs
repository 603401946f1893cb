//! The verdict on one path, from three versions of it: base, local, remote.
//!
//! *Base* is the version that the client last had in common with the server, and the change up to which that is known; *local* is what its
//! folder holds; *remote* is what the server holds, and since which change. The server asks for each item of a list, a client for
//! everything that happens afterwards.
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
//! *Unchanged*, said of remote, means: the same version, and held without interruption since a change that the base knows of. What was
//! emptied and given the same content again is changed: somebody put it there who may have counted on its staying. So two users who move
//! one version in opposite directions at the same time do not each delete what the other has kept.
//!
//! *Gone* means seen to be absent by a complete listing of the directory above; what could not be read is not gone, and no verdict is
//! asked for it. Without a base every difference is a conflict and nothing is ever deleted: that is the union on first contact, after a
//! lost state file, and after the server's history was replaced. Seqs of another history mean nothing; a base never outlives its own.

use crate::tree::{Content, Entry, Mtime, Tag};

/// The version that a client last had in common with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Which version.
    pub tag: Tag,
    /// The seq of the server's record when they agreed. `None`: the client keeps no seqs, and is judged by the tag alone.
    pub seq: Option<u64>,
}

/// What the server holds at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing, and it does not remember that there ever was anything.
    Unknown,
    /// Nothing, because it was deleted.
    Tombstone {
        /// The seq of the change that deleted it.
        since: u64,
    },
    /// This version.
    Present {
        /// Which.
        tag: Tag,
        /// The seq of the change since which it is there without interruption.
        since: u64,
    },
}

impl Base {
    /// Whether the server still holds this version, and never held another since.
    pub fn is_held_by(&self, remote: Remote) -> bool {
        match remote {
            Remote::Present { tag, since } => tag == self.tag && self.seq.is_none_or(|known| since <= known),
            Remote::Unknown | Remote::Tombstone { .. } => false,
        }
    }

    /// Whether a deletion at this seq came after they agreed. One that is older was of another version.
    fn was_deleted(&self, seq: u64) -> bool {
        self.seq.is_none_or(|known| known < seq)
    }
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
        replacing: Option<Base>,
    },
    /// Delete on the server, if it still holds exactly this version.
    DeleteRemote {
        /// The version that was seen and deleted.
        seen: Base,
    },
    /// Both changed, differently: keep both.
    Conflict,
}

/// The verdict on one path. `local` is `None` when the path was seen to be absent.
pub fn decide(base: Option<Base>, local: Option<Tag>, remote: Remote) -> Verdict {
    let unchanged_here = base.filter(|base| local == Some(base.tag));
    let unchanged_there = base.filter(|base| base.is_held_by(remote));
    match (local, remote) {
        (Some(local), Remote::Present { tag, .. }) if local == tag => Verdict::InSync,
        (None, Remote::Unknown | Remote::Tombstone { .. }) => Verdict::Forget,

        // From here on the sides differ. Absent on the server, present here:
        (Some(_), Remote::Tombstone { since })
            if unchanged_here.is_some_and(|base| base.was_deleted(since)) =>
        {
            Verdict::DeleteLocal
        }
        (Some(_), Remote::Unknown | Remote::Tombstone { .. }) => Verdict::Upload { replacing: None },

        // Absent here, present on the server: a delete needs a base that the server still holds.
        (None, Remote::Present { .. }) => match unchanged_there {
            Some(seen) => Verdict::DeleteRemote { seen },
            None => Verdict::Download,
        },

        // Present on both sides.
        (Some(_), Remote::Present { .. }) if unchanged_here.is_some() => Verdict::Download,
        (Some(_), Remote::Present { .. }) if unchanged_there.is_some() => {
            Verdict::Upload { replacing: unchanged_there }
        }
        (Some(_), Remote::Present { .. }) => Verdict::Conflict,
    }
}

/// What to do about metadata when content agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVerdict {
    /// Nothing that syncs differs.
    Same,
    /// Take over the server's.
    Pull,
    /// Send these fields, which were changed here. What was changed there is taken over when the server has them.
    Push(MetaChange),
}

/// Fields of metadata to be set; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetaChange {
    /// Time of last modification.
    pub mtime: Option<Mtime>,
    /// Permission bits.
    pub mode: Option<u16>,
}

/// The verdict on metadata, where local and remote content agree: a merge, field by field.
///
/// ```text
///     field here     field there            verdict
///     unchanged      changed                pull
///     changed        unchanged              push
///     changed        changed differently    push
///     equal to remote                       nothing
/// ```
///
/// The later change wins, and "later" is the order in which changes reach the server: a local change not sent yet is later than anything
/// the server has. Where one field is to be pushed and the other pulled, the push comes first, and the next verdict is the pull. Without a
/// base the server's metadata is taken. A time goes with its content, so that of other content is no base for it; permission bits outlive
/// an edit.
pub fn decide_meta(base: Option<&Entry>, local: &Entry, remote: &Entry) -> MetaVerdict {
    if local.same_meta(remote) {
        return MetaVerdict::Same;
    }
    let mode = unsent(mode_before(base, local), local.meta.mode, remote.meta.mode);
    let mtime = match (base, local.content) {
        (Some(base), Content::File { .. }) if base.content == local.content => {
            unsent(Some(base.meta.mtime), local.meta.mtime, remote.meta.mtime)
        }
        _ => None,
    };
    match (mtime, mode) {
        (None, None) => MetaVerdict::Pull,
        (mtime, mode) => MetaVerdict::Push(MetaChange { mtime, mode }),
    }
}

/// The permission bits that the server's content gets here, if not those that it has there: ones that were set here and not sent yet.
pub fn mode_kept(base: Option<&Entry>, local: Option<&Entry>, remote: &Entry) -> Option<u16> {
    let local = local.filter(|local| {
        matches!((local.content, remote.content), (Content::File { .. }, Content::File { .. }))
    })?;
    unsent(mode_before(base, local), local.meta.mode, remote.meta.mode)
}

/// The permission bits that client and server last had in common, of what is still of the same kind.
pub fn mode_before(base: Option<&Entry>, local: &Entry) -> Option<u16> {
    base.filter(|base| base.content.kind() == local.content.kind()).map(|base| base.meta.mode)
}

/// The local value, if it was changed here and the server has another.
fn unsent<T: Copy + PartialEq>(base: Option<T>, local: T, remote: T) -> Option<T> {
    base.filter(|base| *base != local && local != remote).map(|_| local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Meta;
    use crate::wire::sha256::Hash;

    const A: Tag = Tag::File(Hash([1; 32]));
    const B: Tag = Tag::File(Hash([2; 32]));
    const C: Tag = Tag::Symlink(Hash([1; 32]));
    const D: Tag = Tag::Directory;
    const TAGS: [Option<Tag>; 5] = [None, Some(A), Some(B), Some(C), Some(D)];
    /// When they agreed, if the client keeps that.
    const SEQS: [Option<u64>; 2] = [None, Some(7)];
    /// Before, with and after that.
    const SINCE: [u64; 3] = [6, 7, 8];

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
    fn table(base: Option<Base>, local: Option<Tag>, remote: Remote) -> Verdict {
        use Against::*;
        let (present, since) = match remote {
            Remote::Present { tag, since } => (Some(tag), since),
            Remote::Tombstone { since } => (None, since),
            Remote::Unknown => (None, 0),
        };
        if local.is_some() && local == present {
            return Verdict::InSync;
        }
        let tag = base.map(|base| base.tag);
        let is_later = base.and_then(|base| base.seq).is_some_and(|seq| seq < since);
        let there = match against(tag, present) {
            Unchanged if is_later => Changed,
            other => other,
        };
        // A deletion from before client and server agreed is as good as none.
        let is_old = base.and_then(|base| base.seq).is_some_and(|seq| since <= seq);
        let remote = match remote {
            Remote::Tombstone { .. } if is_old => Remote::Unknown,
            other => other,
        };
        match (against(tag, local), there, remote) {
            (Unchanged, Changed, _) => Verdict::Download,
            (Unchanged, _, Remote::Tombstone { .. }) => Verdict::DeleteLocal,
            (Unchanged, _, Remote::Unknown) => Verdict::Upload { replacing: None },
            (Changed, Unchanged, _) => Verdict::Upload { replacing: base },
            (Changed, _, Remote::Unknown | Remote::Tombstone { .. }) => Verdict::Upload { replacing: None },
            (Gone, Unchanged, _) => Verdict::DeleteRemote { seen: base.unwrap() },
            (Gone | NeverThere, Changed, _) => Verdict::Download,
            (Gone | NeverThere, _, Remote::Unknown | Remote::Tombstone { .. }) => Verdict::Forget,
            (Changed, Changed, _) => Verdict::Conflict,
            impossible => panic!("{impossible:?}"),
        }
    }

    fn everything(mut each: impl FnMut(Option<Base>, Option<Tag>, Remote)) {
        let with_seqs = |tag: Tag| SEQS.map(|seq| Some(Base { tag, seq }));
        let bases = [None].into_iter().chain(TAGS.into_iter().flatten().flat_map(with_seqs));
        for base in bases {
            for local in TAGS {
                each(base, local, Remote::Unknown);
                for since in SINCE {
                    each(base, local, Remote::Tombstone { since });
                    for tag in TAGS.into_iter().flatten() {
                        each(base, local, Remote::Present { tag, since });
                    }
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
        assert_eq!(cases, (1 + 4 * 2) * 5 * (1 + 3 * 5));
    }

    #[test]
    fn a_delete_needs_evidence_on_both_sides() {
        everything(|base, local, remote| match decide(base, local, remote) {
            Verdict::DeleteLocal => {
                let Remote::Tombstone { since } = remote else { panic!("{remote:?}") };
                let base = base.unwrap();
                assert!(local == Some(base.tag) && base.seq.is_none_or(|seq| seq < since));
            }
            Verdict::DeleteRemote { seen } => {
                let Remote::Present { tag, since } = remote else { panic!("{remote:?}") };
                assert!(base == Some(seen) && local.is_none() && tag == seen.tag);
                assert!(seen.seq.is_none_or(|seq| since <= seq));
            }
            _ => {}
        });
    }

    #[test]
    fn nothing_unseen_is_replaced() {
        everything(|base, local, remote| match decide(base, local, remote) {
            // The local version goes: the server must have had it.
            Verdict::Download => assert!(local.is_none() || local == base.map(|base| base.tag)),
            // The server's version goes: this client must have had it, and it must have been there ever since.
            Verdict::Upload { replacing } => match remote {
                Remote::Present { .. } => {
                    assert!(replacing == base && replacing.is_some_and(|seen| seen.is_held_by(remote)));
                }
                _ => assert_eq!(replacing, None),
            },
            _ => {}
        });
    }

    #[test]
    fn who_keeps_no_seqs_is_judged_by_the_tag() {
        everything(|base, local, remote| {
            let base = base.map(|base| Base { seq: None, ..base });
            let at = |since| match remote {
                Remote::Unknown => Remote::Unknown,
                Remote::Tombstone { .. } => Remote::Tombstone { since },
                Remote::Present { tag, .. } => Remote::Present { tag, since },
            };
            assert_eq!(decide(base, local, at(0)), decide(base, local, at(u64::MAX)));
        });
    }

    /// A side of a merge: which of two contents, which time, which mode.
    fn sides(kind: fn(u8) -> Content) -> Vec<Entry> {
        let mut sides = Vec::new();
        for content in [1, 2].map(kind) {
            for mtime in [1, 2, 3].map(Mtime) {
                sides.extend([0o644, 0o755, 0o600].map(|mode| Entry { content, meta: Meta { mtime, mode } }));
            }
        }
        sides
    }

    fn file(number: u8) -> Content {
        Content::File { size: 1, hash: Hash([number; 32]) }
    }

    fn link(number: u8) -> Content {
        Content::Symlink { size: 1, hash: Hash([number; 32]) }
    }

    /// What a field comes to, in the words of the table: the value on both sides in the end, and whether it is ours that is sent.
    fn merged<T: Copy + PartialEq>(base: Option<T>, local: T, remote: T) -> (T, bool) {
        match base {
            _ if local == remote => (local, false),
            None => (remote, false),
            Some(base) if base == local => (remote, false),
            Some(_) => (local, true),
        }
    }

    /// Follows verdicts as a client does, from the first to agreement, and says what both sides have then.
    fn carried_out(base: Option<Entry>, local: Entry, remote: Entry) -> (Meta, Vec<MetaVerdict>) {
        let (mut base, mut local, mut remote) = (base, local, remote);
        let mut verdicts = Vec::new();
        loop {
            let verdict = decide_meta(base.as_ref(), &local, &remote);
            verdicts.push(verdict);
            match verdict {
                MetaVerdict::Same => return (local.meta, verdicts),
                MetaVerdict::Pull => local.meta = remote.meta,
                MetaVerdict::Push(MetaChange { mtime, mode }) => {
                    remote.meta.mtime = mtime.unwrap_or(remote.meta.mtime);
                    remote.meta.mode = mode.unwrap_or(remote.meta.mode);
                    base = Some(local);
                }
            }
            assert!(verdicts.len() < 4, "it does not end: {verdicts:?}");
        }
    }

    #[test]
    fn metadata_is_merged_field_by_field() {
        let mut cases = 0;
        let all = sides(file);
        for base in all.iter().copied().map(Some).chain([None, Some(Entry { content: link(1), ..all[0] })]) {
            for local in &all {
                for remote in all.iter().filter(|remote| remote.content == local.content) {
                    let of_mode = base.filter(|base| base.content.kind() == local.content.kind());
                    let of_mtime = base.filter(|base| base.content == local.content);
                    let (mode, sends_mode) =
                        merged(of_mode.map(|base| base.meta.mode), local.meta.mode, remote.meta.mode);
                    let (mtime, sends_mtime) =
                        merged(of_mtime.map(|base| base.meta.mtime), local.meta.mtime, remote.meta.mtime);
                    let (end, verdicts) = carried_out(base, *local, *remote);
                    let case = format!("{base:?} {local:?} {remote:?} {verdicts:?}");
                    assert_eq!(end, Meta { mtime, mode }, "{case}");
                    let sent =
                        MetaChange { mtime: sends_mtime.then_some(mtime), mode: sends_mode.then_some(mode) };
                    let pushed = sent != MetaChange::default();
                    assert_eq!(verdicts[0] == MetaVerdict::Push(sent), pushed, "{case}");
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, (18 + 2) * 18 * 9);
    }

    #[test]
    fn a_directory_has_a_mode_and_a_link_has_nothing() {
        let (directories, links) = (sides(|_| Content::Directory), sides(link));
        for base in &directories {
            for local in &directories {
                for remote in &directories {
                    let (mode, sends) = merged(Some(base.meta.mode), local.meta.mode, remote.meta.mode);
                    let verdict = decide_meta(Some(base), local, remote);
                    let wanted = match sends {
                        _ if local.meta.mode == remote.meta.mode => MetaVerdict::Same,
                        true => MetaVerdict::Push(MetaChange { mtime: None, mode: Some(mode) }),
                        false => MetaVerdict::Pull,
                    };
                    assert_eq!(verdict, wanted, "{base:?} {local:?} {remote:?}");
                    assert_eq!(mode_kept(Some(base), Some(local), remote), None);
                }
            }
        }
        for local in &links {
            assert_eq!(decide_meta(Some(&links[0]), local, &links[8]), MetaVerdict::Same);
            assert_eq!(mode_kept(Some(&links[0]), Some(local), &links[8]), None);
        }
    }

    /// The server's content comes, and nobody's permission bits go.
    #[test]
    fn content_that_comes_keeps_a_mode_that_was_set_here() {
        let all = sides(file);
        for base in &all {
            for local in &all {
                for remote in &all {
                    let (mode, is_ours) = merged(Some(base.meta.mode), local.meta.mode, remote.meta.mode);
                    let kept = mode_kept(Some(base), Some(local), remote);
                    assert_eq!(kept, is_ours.then_some(mode), "{base:?} {local:?} {remote:?}");
                }
                assert_eq!(mode_kept(None, Some(local), base), None);
                assert_eq!(mode_kept(Some(&Entry { content: link(1), ..*base }), Some(local), base), None);
                assert_eq!(mode_kept(Some(base), None, local), None);
            }
        }
    }
}
