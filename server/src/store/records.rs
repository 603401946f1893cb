//! The records of the box's journal, in their binary form. Pure.
//!
//! ```text
//!     snapshot   epoch, seq, horizon                       the first record of every journal
//!     origin     number, name                              a client that changes something for the first time
//!     put        step, origin, path, entry, staged         the path now holds this; redo: rename `staged` to it
//!     delete     step, origin, path, print                 the path is now deleted; redo: remove the file that looks like this
//!     move       seq, origin, from, to, count, print       so many paths, from this one down, got other names; redo: rename what looks
//!                                                          like this
//!     seen       step, path, print                         what the published file looks like on disk: done, nothing to redo
//!     since      step, path, since                         the path holds what it got at `step` since this earlier seq: only metadata was
//!                                                          changed in between; follows its `put` in a snapshot
//!     void       seq                                       the change of this seq was not made after all
//! ```
//!
//! A `put`, `delete` or `move` is durable before the file is touched; `seen` and `void` need not be, they only save work at the next start.

use common::disk::{Fingerprint, pack_entry, pack_print, unpack_entry, unpack_path, unpack_print};
use common::protocol::Epoch;
use common::tree::{Entry, Path};
use common::wire::pack::{PackError, Packer, Unpacker};

use super::index::{Origin, Step};

/// First bytes of the file: which book, and which edition of its form.
pub(crate) const MAGIC: [u8; 8] = *b"FSBOX\x00\x00\x01";

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JournalRecord {
    Snapshot { epoch: Epoch, seq: u64, horizon: u64 },
    Origin { number: Origin, name: String },
    Put { step: Step, origin: Origin, path: Path, entry: Entry, staged: Option<Vec<u8>> },
    Delete { step: Step, origin: Origin, path: Path, print: Option<Fingerprint> },
    Move { seq: u64, origin: Origin, from: Path, to: Path, count: u64, print: Fingerprint },
    Seen { step: Step, path: Path, print: Fingerprint },
    Since { step: Step, path: Path, since: u64 },
    Void { seq: u64 },
}

const SNAPSHOT: u8 = 1;
const ORIGIN: u8 = 2;
const PUT: u8 = 3;
const DELETE: u8 = 4;
const SEEN: u8 = 5;
const VOID: u8 = 6;
const MOVE: u8 = 7;
const SINCE: u8 = 8;

impl JournalRecord {
    pub(crate) fn encode(&self) -> Packer {
        match self {
            JournalRecord::Snapshot { epoch, seq, horizon } => {
                let mut out = Packer::new(SNAPSHOT);
                out.u64(epoch.0).u64(*seq).u64(*horizon);
                out
            }
            JournalRecord::Origin { number, name } => {
                let mut out = Packer::new(ORIGIN);
                out.u64(u64::from(number.0)).bytes(name.as_bytes());
                out
            }
            JournalRecord::Put { step, origin, path, entry, staged } => {
                let mut out = Packer::new(PUT);
                pack_step(&mut out, *step);
                out.u64(u64::from(origin.0)).bytes(path.as_bytes());
                pack_entry(&mut out, entry);
                out.bytes(staged.as_deref().unwrap_or(b""));
                out
            }
            JournalRecord::Delete { step, origin, path, print } => {
                let mut out = Packer::new(DELETE);
                pack_step(&mut out, *step);
                out.u64(u64::from(origin.0)).bytes(path.as_bytes());
                if let Some(print) = print {
                    pack_print(&mut out, print);
                }
                out
            }
            JournalRecord::Move { seq, origin, from, to, count, print } => {
                let mut out = Packer::new(MOVE);
                out.u64(*seq).u64(u64::from(origin.0)).bytes(from.as_bytes()).bytes(to.as_bytes());
                out.u64(*count);
                pack_print(&mut out, print);
                out
            }
            JournalRecord::Seen { step, path, print } => {
                let mut out = Packer::new(SEEN);
                pack_step(&mut out, *step);
                out.bytes(path.as_bytes());
                pack_print(&mut out, print);
                out
            }
            JournalRecord::Since { step, path, since } => {
                let mut out = Packer::new(SINCE);
                pack_step(&mut out, *step);
                out.bytes(path.as_bytes()).u64(*since);
                out
            }
            JournalRecord::Void { seq } => {
                let mut out = Packer::new(VOID);
                out.u64(*seq);
                out
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<JournalRecord, PackError> {
        let (tag, mut from) = Unpacker::new(bytes)?;
        let record = match tag {
            SNAPSHOT => {
                JournalRecord::Snapshot { epoch: Epoch(from.u64()?), seq: from.u64()?, horizon: from.u64()? }
            }
            ORIGIN => JournalRecord::Origin {
                number: Origin(from.small()?),
                name: String::from_utf8(from.bytes()?.to_vec()).map_err(|_| PackError)?,
            },
            PUT => JournalRecord::Put {
                step: unpack_step(&mut from)?,
                origin: Origin(from.small()?),
                path: unpack_path(&mut from)?,
                entry: unpack_entry(&mut from)?,
                staged: Some(from.bytes()?.to_vec()).filter(|staged| !staged.is_empty()),
            },
            DELETE => JournalRecord::Delete {
                step: unpack_step(&mut from)?,
                origin: Origin(from.small()?),
                path: unpack_path(&mut from)?,
                print: if from.is_empty() { None } else { Some(unpack_print(&mut from)?) },
            },
            MOVE => JournalRecord::Move {
                seq: from.u64()?,
                origin: Origin(from.small()?),
                from: unpack_path(&mut from)?,
                to: unpack_path(&mut from)?,
                count: from.u64()?,
                print: unpack_print(&mut from)?,
            },
            SEEN => JournalRecord::Seen {
                step: unpack_step(&mut from)?,
                path: unpack_path(&mut from)?,
                print: unpack_print(&mut from)?,
            },
            SINCE => JournalRecord::Since {
                step: unpack_step(&mut from)?,
                path: unpack_path(&mut from)?,
                since: from.u64()?,
            },
            VOID => JournalRecord::Void { seq: from.u64()? },
            _ => return Err(PackError),
        };
        from.end()?;
        Ok(record)
    }
}

fn pack_step(out: &mut Packer, step: Step) {
    out.u64(step.seq).u64(u64::from(step.part));
}

fn unpack_step(from: &mut Unpacker<'_>) -> Result<Step, PackError> {
    Ok(Step { seq: from.u64()?, part: from.small()? })
}

/// What these bytes say, written anew: the same bytes, or `None` if they are no record.
#[cfg(any(test, fuzzing))]
pub(crate) fn repack(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(JournalRecord::decode(bytes).ok()?.encode().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::{Content, Meta, Mtime};
    use common::wire::sha256::Hash;

    use crate::testing::mutator::{Random, mutate};

    /// One of each kind.
    fn samples() -> Vec<JournalRecord> {
        let step = Step { seq: 300, part: 7 };
        let path = Path::new(b"a/\xff").unwrap();
        let print = Fingerprint { ino: 1, size: 2, mtime: Mtime(-3), ctime: Mtime(i64::MAX) };
        let entry = |content| Entry { content, meta: Meta { mtime: Mtime(i64::MIN), mode: 0o7777 } };
        let file = entry(Content::File { size: u64::MAX, hash: Hash([1; 32]) });
        let origin = Origin(5);
        vec![
            JournalRecord::Snapshot { epoch: Epoch(u64::MAX), seq: 5, horizon: 4 },
            JournalRecord::Origin { number: origin, name: "9c2f".into() },
            JournalRecord::Put {
                step,
                origin,
                path: path.clone(),
                entry: file,
                staged: Some(b"x-1".to_vec()),
            },
            JournalRecord::Put {
                step,
                origin,
                path: path.clone(),
                entry: entry(Content::Directory),
                staged: None,
            },
            JournalRecord::Delete { step, origin, path: path.clone(), print: None },
            JournalRecord::Delete { step, origin, path: path.clone(), print: Some(print) },
            JournalRecord::Move {
                seq: 3,
                origin,
                from: path.clone(),
                to: path.clone(),
                count: 1 << 40,
                print,
            },
            JournalRecord::Seen { step, path: path.clone(), print },
            JournalRecord::Since { step, path, since: 299 },
            JournalRecord::Void { seq: 9 },
        ]
    }

    #[test]
    fn round_trip_whole_cut_and_with_trailing_bytes() {
        for record in samples() {
            let packed = record.encode();
            let bytes = packed.as_bytes();
            assert_eq!(JournalRecord::decode(bytes), Ok(record.clone()));
            for end in 0..bytes.len() {
                assert_ne!(JournalRecord::decode(&bytes[..end]), Ok(record.clone()), "prefix of {end} bytes");
            }
            assert!(JournalRecord::decode(&[bytes, b"\x80"].concat()).is_err());
        }
        assert!(JournalRecord::decode(b"").is_err() && JournalRecord::decode(b"\x63").is_err());
    }

    /// Each record has one form only, so whatever is read is what would be written.
    #[test]
    fn no_bytes_are_read_as_a_record_of_another_form() {
        let seeds: Vec<Vec<u8>> = samples().iter().map(|record| record.encode().into_bytes()).collect();
        for round in 0..5000 {
            let bytes = mutate(&mut Random::new(round), &seeds);
            if let Some(packed) = repack(&bytes) {
                assert_eq!(packed, bytes, "round {round}: {}", bytes.escape_ascii());
            }
        }
    }
}
