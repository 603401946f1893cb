//! The records of a folder's state, in their binary form. Pure.
//!
//! ```text
//!     client     id                                        who this folder is to the server
//!     home       birthmark                                 of the directory that the state was made in
//!     base       path, entry, print, seq                   the version that client and server have in common
//!     absent     path                                      it was seen to be gone since
//!     forget     path                                      nothing is in common any more
//!     cursor     [epoch, seq]                              up to where the box's history is known
//!     rules      digest                                    the ignore rules that all this was made under
//! ```
//!
//! Each has one form only, and later ones take the place of earlier ones.

use crate::disk::{pack_entry, pack_print, unpack_entry, unpack_path, unpack_print};
use crate::protocol::{Cursor, Epoch};
use crate::tree::Path;
use crate::wire::pack::{PackError, Packer, Unpacker};
use crate::wire::sha256::Hash;

use super::state::Base;

/// First bytes of the file: which book, and which edition of its form.
pub(super) const MAGIC: [u8; 8] = *b"FSFOLD\x00\x02";

const CLIENT: u8 = 1;
const BASE: u8 = 2;
const FORGET: u8 = 3;
const CURSOR: u8 = 4;
const RULES: u8 = 5;
const ABSENT: u8 = 6;
const HOME: u8 = 7;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    Client(String),
    Base(Path, Base),
    Forget(Path),
    Absent(Path),
    Cursor(Option<Cursor>),
    Rules(Hash),
    Home(String),
}

fn text(from: &mut Unpacker<'_>) -> Result<String, PackError> {
    String::from_utf8(from.bytes()?.to_vec()).map_err(|_| PackError)
}

impl Record {
    pub(super) fn encode(&self) -> Packer {
        match self {
            Record::Client(id) => {
                let mut out = Packer::new(CLIENT);
                out.bytes(id.as_bytes());
                out
            }
            Record::Base(path, base) => {
                let mut out = Packer::new(BASE);
                out.bytes(path.as_bytes());
                pack_entry(&mut out, &base.entry);
                pack_print(&mut out, &base.print);
                out.u64(base.seq);
                out
            }
            Record::Forget(path) => {
                let mut out = Packer::new(FORGET);
                out.bytes(path.as_bytes());
                out
            }
            Record::Absent(path) => {
                let mut out = Packer::new(ABSENT);
                out.bytes(path.as_bytes());
                out
            }
            Record::Cursor(cursor) => {
                let mut out = Packer::new(CURSOR);
                if let Some(cursor) = cursor {
                    out.u64(cursor.epoch.0).u64(cursor.seq);
                }
                out
            }
            Record::Rules(digest) => {
                let mut out = Packer::new(RULES);
                out.bytes(&digest.0);
                out
            }
            Record::Home(birthmark) => {
                let mut out = Packer::new(HOME);
                out.bytes(birthmark.as_bytes());
                out
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Record, PackError> {
        let (tag, mut from) = Unpacker::new(bytes)?;
        let record = match tag {
            CLIENT => Record::Client(text(&mut from)?),
            BASE => Record::Base(
                unpack_path(&mut from)?,
                Base { entry: unpack_entry(&mut from)?, print: unpack_print(&mut from)?, seq: from.u64()? },
            ),
            FORGET => Record::Forget(unpack_path(&mut from)?),
            ABSENT => Record::Absent(unpack_path(&mut from)?),
            CURSOR if from.is_empty() => Record::Cursor(None),
            CURSOR => Record::Cursor(Some(Cursor { epoch: Epoch(from.u64()?), seq: from.u64()? })),
            RULES => Record::Rules(Hash(from.bytes()?.try_into().map_err(|_| PackError)?)),
            HOME => Record::Home(text(&mut from)?),
            _ => return Err(PackError),
        };
        from.end()?;
        Ok(record)
    }
}

/// What these bytes say, written anew: the same bytes, or `None` if they are no record.
#[cfg(any(test, fuzzing))]
pub(super) fn repack(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Record::decode(bytes).ok()?.encode().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Fingerprint;
    use crate::mutator::{Random, mutate};
    use crate::tree::{Content, Entry, Meta, Mtime};

    /// One of each kind.
    fn samples() -> Vec<Record> {
        let path = Path::new(b"a/\xff").unwrap();
        let entry =
            Entry { content: Content::Directory, meta: Meta { mtime: Mtime(i64::MIN), mode: 0o7777 } };
        let print = Fingerprint { ino: 1, size: 2, mtime: Mtime(-3), ctime: Mtime(i64::MAX) };
        vec![
            Record::Client("9c2f".into()),
            Record::Home("7-12".into()),
            Record::Base(path.clone(), Base { entry, print, seq: 300 }),
            Record::Absent(path.clone()),
            Record::Forget(path),
            Record::Cursor(Some(Cursor { epoch: Epoch(u64::MAX), seq: 5 })),
            Record::Rules(Hash([3; 32])),
        ]
    }

    #[test]
    fn round_trip_whole_cut_and_with_trailing_bytes() {
        assert_eq!(Record::decode(Record::Cursor(None).encode().as_bytes()), Ok(Record::Cursor(None)));
        for record in samples() {
            let packed = record.encode();
            let bytes = packed.as_bytes();
            assert_eq!(Record::decode(bytes), Ok(record.clone()));
            for end in 0..bytes.len() {
                assert_ne!(Record::decode(&bytes[..end]), Ok(record.clone()), "prefix of {end} bytes");
            }
            assert!(Record::decode(&[bytes, b"\x80"].concat()).is_err());
        }
        assert!(Record::decode(b"").is_err() && Record::decode(b"\x63").is_err());
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
