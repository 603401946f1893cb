//! From the records of the journal to the index, and to what may not have reached the disk. Pure.

use std::collections::{BTreeMap, BTreeSet};

use common::disk::Fingerprint;
use common::protocol::Epoch;
use common::tree::Path;
use common::wire::pack::PackError;

use super::index::{Index, Origin, Record, State, Step};
use super::records::JournalRecord;

/// What the records read so far come to.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// `None` before the snapshot.
    index: Option<Index>,
    /// The last seq given to any change, made or not.
    seq: u64,
    open: BTreeMap<Path, Open>,
    moves: BTreeMap<u64, OpenMove>,
    origins: BTreeSet<u32>,
}

/// A change of which the journal does not say that it reached the disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open {
    pub(crate) step: Step,
    /// What the path held before.
    pub(crate) previous: Option<Record>,
    pub(crate) redo: Redo,
}

/// A move of which the journal does not say that it reached the disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenMove {
    pub(crate) from: Path,
    pub(crate) to: Path,
    /// What was moved looked like this.
    pub(crate) print: Fingerprint,
    /// What all the paths held before, old names and new ones.
    previous: Vec<(Path, Option<Record>)>,
}

/// What is there to do again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Redo {
    /// Publish what was staged under this name; `None`: the content is in place, only metadata may not be.
    Put(Option<Vec<u8>>),
    /// Remove what looks like this.
    Delete(Fingerprint),
}

/// The result.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) index: Index,
    /// The last seq given to any change, made or not.
    pub(crate) seq: u64,
    pub(crate) open: BTreeMap<Path, Open>,
    /// By their seqs.
    pub(crate) moves: BTreeMap<u64, OpenMove>,
}

impl Replay {
    /// Takes the next record.
    ///
    /// # Errors
    /// It is none of ours, or can't follow what came before: the journal is damaged.
    pub(crate) fn take(&mut self, record: &[u8]) -> Result<(), PackError> {
        let record = JournalRecord::decode(record)?;
        if let JournalRecord::Snapshot { epoch, seq, horizon } = record {
            if self.index.is_some() || seq < horizon {
                return Err(PackError);
            }
            (self.index, self.seq) = (Some(Index::resume(epoch, seq, horizon)), seq);
            return Ok(());
        }
        let index = self.index.as_mut().ok_or(PackError)?;
        match record {
            JournalRecord::Origin { number, name } => {
                if name.is_empty() || index.origins.number(&name) != number {
                    return Err(PackError);
                }
                self.origins.insert(number.0);
            }
            JournalRecord::Put { step, origin, path, entry, staged } => {
                let record = Record::new(step, origin, State::Live(entry, None));
                self.change(path, record, Some(Redo::Put(staged)))?;
            }
            JournalRecord::Delete { step, origin, path, print } => {
                let record = Record::new(step, origin, State::Tombstone);
                self.change(path, record, print.map(Redo::Delete))?;
            }
            JournalRecord::Move { seq, origin, from, to, count, print } => {
                self.relocate((seq, origin), from, to, count, print)?;
            }
            JournalRecord::Seen { step, path, print } => {
                index.set_print(&path, step, print);
                if self.moves.get(&step.seq).is_some_and(|open| open.to == path) {
                    self.moves.remove(&step.seq);
                }
                if self.open.get(&path).is_some_and(|open| open.step == step) {
                    self.open.remove(&path);
                }
            }
            JournalRecord::Since { step, since, .. } if step.seq < since => return Err(PackError),
            JournalRecord::Since { step, path, since } => index.set_since(&path, step, since),
            JournalRecord::Void { seq } => self.void(seq),
            JournalRecord::Snapshot { .. } => {}
        }
        Ok(())
    }

    fn change(&mut self, path: Path, record: Record, redo: Option<Redo>) -> Result<(), PackError> {
        let index = self.index.as_mut().ok_or(PackError)?;
        let previous = index.apply(path.clone(), record);
        let is_in_order = previous.is_none_or(|previous| previous.step < record.step);
        let is_known = record.origin == Origin::BOX || self.origins.contains(&record.origin.0);
        if !is_in_order || !is_known {
            return Err(PackError);
        }
        self.seq = self.seq.max(record.step.seq);
        self.open.remove(&path);
        if let Some(redo) = redo {
            self.open.insert(path, Open { step: record.step, previous, redo });
        }
        Ok(())
    }

    /// The index is where it was when the move was judged, so the same paths get new names.
    fn relocate(
        &mut self,
        (seq, origin): (u64, Origin),
        from: Path,
        to: Path,
        count: u64,
        print: Fingerprint,
    ) -> Result<(), PackError> {
        let index = self.index.as_mut().ok_or(PackError)?;
        let renamed = index.renamed(&from, &to).map_err(|_| PackError)?;
        let is_free = index.live_entry(&to).is_none() && to != from && !to.is_below(&from);
        let is_in_order = self.seq < seq;
        let is_known = origin == Origin::BOX || self.origins.contains(&origin.0);
        if count == 0 || renamed.len() as u64 != count || !is_free || !is_in_order || !is_known {
            return Err(PackError);
        }
        let paths = || renamed.iter().flat_map(|(old, new)| [old, new]);
        let previous = paths().map(|path| (path.clone(), index.get(path).copied())).collect();
        // What was open there is settled: it was seen, or the tombstone is not to be acted on any more.
        paths().for_each(|path| drop(self.open.remove(path)));
        index.relocate(&renamed, seq, origin);
        self.seq = seq;
        self.moves.insert(seq, OpenMove { from, to, print, previous });
        Ok(())
    }

    /// The change of this seq was not made: what it replaced still stands.
    fn void(&mut self, seq: u64) {
        let Some(index) = &mut self.index else { return };
        for (path, previous) in self.moves.remove(&seq).into_iter().flat_map(|open| open.previous) {
            index.take_back(&path, previous);
        }
        self.open.retain(|path, open| {
            if open.step.seq == seq {
                index.take_back(path, open.previous);
            }
            open.step.seq != seq
        });
    }

    /// What all records came to; `None` if there was not even a snapshot.
    pub(crate) fn finish(self) -> Option<Replayed> {
        Some(Replayed { index: self.index?, seq: self.seq, open: self.open, moves: self.moves })
    }
}

impl Replayed {
    /// The beginning of a history.
    pub(crate) fn nothing(epoch: Epoch) -> Replayed {
        Replayed { index: Index::new(epoch), seq: 0, open: BTreeMap::new(), moves: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use common::tree::{Content, Entry, Meta, Mtime};
    use common::wire::sha256::Hash;

    use super::*;

    const PRINT: Fingerprint = Fingerprint { ino: 1, size: 2, mtime: Mtime(3), ctime: Mtime(4) };

    fn path() -> Path {
        Path::new(b"a").unwrap()
    }

    fn step(seq: u64) -> Step {
        Step { seq, part: 0 }
    }

    fn snapshot(seq: u64) -> JournalRecord {
        JournalRecord::Snapshot { epoch: Epoch(5), seq, horizon: 0 }
    }

    fn put(seq: u64, origin: u32) -> JournalRecord {
        let content = Content::File { size: 1, hash: Hash([seq as u8; 32]) };
        let entry = Entry { content, meta: Meta { mtime: Mtime(0), mode: 0o644 } };
        let staged = Some(b"staged".to_vec());
        JournalRecord::Put { step: step(seq), origin: Origin(origin), path: path(), entry, staged }
    }

    fn delete(seq: u64) -> JournalRecord {
        JournalRecord::Delete { step: step(seq), origin: Origin::BOX, path: path(), print: Some(PRINT) }
    }

    fn seen(seq: u64) -> JournalRecord {
        JournalRecord::Seen { step: step(seq), path: path(), print: PRINT }
    }

    fn replay(records: &[JournalRecord]) -> Result<Replayed, PackError> {
        let mut replay = Replay::default();
        records.iter().try_for_each(|record| replay.take(record.encode().as_bytes()))?;
        replay.finish().ok_or(PackError)
    }

    #[test]
    fn what_is_seen_is_closed() {
        let replayed = replay(&[snapshot(3), put(4, 0), seen(4)]).unwrap();
        assert_eq!((replayed.seq, replayed.open.len()), (4, 0));
        let state = replayed.index.get(&path()).unwrap().state;
        assert!(matches!(state, State::Live(_, Some(PRINT))));
    }

    #[test]
    fn what_is_not_seen_is_open_and_knows_what_was_before() {
        let replayed = replay(&[snapshot(0), put(1, 0), seen(1), put(2, 0)]).unwrap();
        let open = &replayed.open[&path()];
        assert_eq!(open.previous.unwrap().step, step(1));
        assert_eq!(open.redo, Redo::Put(Some(b"staged".to_vec())));
        let replayed = replay(&[snapshot(0), put(1, 0), seen(1), delete(2)]).unwrap();
        assert_eq!(replayed.open[&path()].redo, Redo::Delete(PRINT));
        let replayed = replay(&[snapshot(0), delete(1), put(2, 0), seen(2)]).unwrap();
        assert_eq!(replayed.open.len(), 0);
        // Of another version: it says nothing of this one.
        let replayed = replay(&[snapshot(0), put(1, 0), put(2, 0), seen(1)]).unwrap();
        assert_eq!(replayed.open.len(), 1);
    }

    #[test]
    fn void_takes_back_and_its_seq_is_not_given_again() {
        for change in [put(2, 0), delete(2)] {
            let replayed =
                replay(&[snapshot(0), put(1, 0), seen(1), change, JournalRecord::Void { seq: 2 }]).unwrap();
            assert_eq!((replayed.seq, replayed.open.len()), (2, 0));
            assert_eq!(replayed.index.get(&path()).unwrap().step, step(1));
        }
        let replayed = replay(&[snapshot(0), put(1, 0), JournalRecord::Void { seq: 1 }]).unwrap();
        assert!(replayed.index.get(&path()).is_none());
    }

    /// The same version with a later seq, as a change of metadata leaves it.
    fn label(seq: u64, mode: u16) -> JournalRecord {
        let JournalRecord::Put { origin, path, entry, .. } = put(1, 0) else { panic!("a put") };
        let entry = Entry { meta: Meta { mode, ..entry.meta }, ..entry };
        JournalRecord::Put { step: step(seq), origin, path, entry, staged: None }
    }

    #[test]
    fn since_when_a_version_is_there() {
        let since = |since| JournalRecord::Since { step: step(5), path: path(), since };
        let void = JournalRecord::Void { seq: 5 };
        for (records, wanted) in [
            (vec![put(1, 0), label(5, 0o600)], 1),
            (vec![put(1, 0), put(2, 0), label(5, 0o600)], 5),
            (vec![put(1, 0), delete(2), label(5, 0o600)], 5),
            (vec![put(1, 0), label(3, 0o600), label(5, 0o600), void], 1),
            (vec![label(5, 0o600)], 5),
            // As a snapshot has it.
            (vec![label(5, 0o600), since(2)], 2),
            (vec![label(5, 0o600), since(2), label(6, 0o640)], 2),
        ] {
            let replayed = replay(&[&[snapshot(0)], &records[..]].concat()).unwrap();
            assert_eq!(replayed.index.get(&path()).unwrap().since(), wanted, "{records:?}");
        }
        assert!(replay(&[snapshot(0), label(5, 0o600), since(6)]).is_err());
    }

    fn relocate(seq: u64, to: &str, count: u64) -> JournalRecord {
        let to = Path::new(to.as_bytes()).unwrap();
        JournalRecord::Move { seq, origin: Origin::BOX, from: path(), to, count, print: PRINT }
    }

    #[test]
    fn a_move_is_open_until_it_is_seen() {
        let b = Path::new(b"b").unwrap();
        let begun = [snapshot(0), put(1, 0), seen(1), relocate(2, "b", 1)];
        let replayed = replay(&begun).unwrap();
        assert_eq!((replayed.seq, replayed.open.len(), replayed.moves.len()), (2, 0, 1));
        assert!(replayed.index.live_entry(&path()).is_none() && replayed.index.live_entry(&b).is_some());
        let end = |record: JournalRecord| replay(&[&begun[..], &[record]].concat()).unwrap();
        let done = end(JournalRecord::Seen { step: step(2), path: b.clone(), print: PRINT });
        assert_eq!(done.moves.len(), 0);
        let void = end(JournalRecord::Void { seq: 2 });
        assert_eq!((void.moves.len(), void.index.get(&path()).unwrap().step), (0, step(1)));
        assert!(void.index.get(&b).is_none());
    }

    #[test]
    fn what_no_server_of_ours_writes_is_damage() {
        let named = JournalRecord::Origin { number: Origin(1), name: "laptop".into() };
        assert!(replay(&[snapshot(0), named.clone(), put(1, 1)]).is_ok());
        for records in [
            vec![],
            vec![put(1, 0)],
            vec![snapshot(0), snapshot(0)],
            vec![snapshot(0), put(1, 1)],
            vec![snapshot(0), put(2, 0), put(2, 0)],
            vec![snapshot(0), put(2, 0), delete(1)],
            vec![snapshot(0), named.clone(), put(1, 2)],
            vec![snapshot(0), relocate(1, "b", 1)],
            vec![snapshot(0), put(1, 0), relocate(1, "b", 1)],
            vec![snapshot(0), put(1, 0), relocate(2, "b", 2)],
            vec![snapshot(0), put(1, 0), relocate(2, "a", 1)],
            vec![snapshot(0), put(1, 0), relocate(2, "a/b", 1)],
            vec![snapshot(0), JournalRecord::Origin { number: Origin(2), name: "laptop".into() }],
        ] {
            assert!(replay(&records).is_err(), "{records:?}");
        }
    }
}
