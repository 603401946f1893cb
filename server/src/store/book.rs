//! The box's journal: what is written into it, when it is durable, and when it is written anew.

use std::io;

use common::disk::Journal;
use common::limits::JOURNAL_COMPACT_BYTES;
use common::protocol::Epoch;

use super::index::{Index, Origin, State, Step};
use super::records::JournalRecord;

/// The journal is compacted when it has grown to this many times what it would be then.
const GROWTH: u64 = 4;

/// The journal, and the seqs given out.
#[derive(Debug)]
pub(crate) struct Book {
    journal: Journal,
    /// The last seq given to any change, made or not.
    seq: u64,
    /// Length after the journal was last written anew, in bytes.
    compact_length: u64,
}

impl Book {
    /// A book that goes on in `journal` after `seq`.
    pub(crate) fn new(journal: Journal, seq: u64) -> Book {
        Book { journal, seq, compact_length: 0 }
    }

    /// The step of the next change.
    pub(crate) fn next_step(&mut self) -> Step {
        self.seq += 1;
        Step { seq: self.seq, part: 0 }
    }

    /// Adds a record to those to be written.
    ///
    /// # Errors
    /// The journal is broken; [`Book::rewrite`] mends it.
    pub(crate) fn append(&mut self, record: &JournalRecord) -> io::Result<()> {
        self.journal.append(record.encode().as_bytes())
    }

    /// Hands what was appended to the kernel.
    ///
    /// # Errors
    /// As [`Book::append`].
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.journal.write()
    }

    /// Makes what was appended survive a power cut.
    ///
    /// # Errors
    /// As [`Book::append`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.journal.flush()
    }

    /// Gives the journal up, because data that it speaks of did not become durable.
    pub(crate) fn distrust(&mut self) {
        self.journal.distrust();
    }

    /// Whether it takes no more records before it is written anew.
    pub(crate) fn is_broken(&self) -> bool {
        self.journal.is_broken()
    }

    /// Whether it has grown so much that it should be written anew.
    pub(crate) fn is_long(&self) -> bool {
        JOURNAL_COMPACT_BYTES.max(GROWTH.saturating_mul(self.compact_length)) < self.journal.length()
    }

    /// Writes it anew from the index, durably.
    ///
    /// # Errors
    /// What the file system says; the old one still stands then.
    pub(crate) fn rewrite(&mut self, index: &Index) -> io::Result<()> {
        let epoch: Epoch = index.cursor().epoch;
        let snapshot = JournalRecord::Snapshot { epoch, seq: self.seq, horizon: index.horizon() };
        let records = [snapshot].into_iter().chain(origins(index)).chain(paths(index));
        self.journal.rewrite(records.map(|record| record.encode().as_bytes().to_vec()))?;
        self.compact_length = self.journal.length();
        Ok(())
    }
}

fn origins(index: &Index) -> impl Iterator<Item = JournalRecord> {
    index.origins.iter().map(|(number, name)| JournalRecord::Origin { number, name: name.to_owned() })
}

fn paths(index: &Index) -> impl Iterator<Item = JournalRecord> {
    index.in_order().flat_map(|(path, record)| {
        let (step, origin, path): (Step, Origin, _) = (record.step, record.origin, path.clone());
        match record.state {
            State::Tombstone => [Some(JournalRecord::Delete { step, origin, path, print: None }), None, None],
            State::Live(entry, print) => {
                let since = record.since();
                let since =
                    (since < step.seq).then(|| JournalRecord::Since { step, path: path.clone(), since });
                let seen = print.map(|print| JournalRecord::Seen { step, path: path.clone(), print });
                [Some(JournalRecord::Put { step, origin, path, entry, staged: None }), since, seen]
            }
        }
        .into_iter()
        .flatten()
    })
}
