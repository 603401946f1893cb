//! What is read from the disk: journals, and what their records are made of.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use common::disk::{Found, Journal, Root, pack_entry, pack_print, unpack_entry, unpack_path, unpack_print};
use common::limits::JOURNAL_RECORD_BYTES;
use common::tree::Path;
use common::wire::pack::{PackError, Packer, Unpacker};

/// A tag, a path, an entry, a fingerprint and a signed number. There is one form for each, so what is read is written as the same bytes.
pub(super) fn records(bytes: &[u8]) {
    let Ok(packed) = repack(bytes) else { return };
    assert_eq!(packed, bytes);
    for end in 0..bytes.len() {
        assert!(repack(&bytes[..end]).is_err(), "{end} bytes of {}", bytes.len());
    }
}

fn repack(bytes: &[u8]) -> Result<Vec<u8>, PackError> {
    let (tag, mut from) = Unpacker::new(bytes)?;
    let mut out = Packer::new(tag);
    out.bytes(unpack_path(&mut from)?.as_bytes());
    pack_entry(&mut out, &unpack_entry(&mut from)?);
    pack_print(&mut out, &unpack_print(&mut from)?);
    out.i64(from.i64()?);
    from.end()?;
    Ok(out.into_bytes())
}

const MAGIC: [u8; 8] = *b"FUZZ\x00\x00\x00\x01";

/// A journal's file but for its first eight bytes. It is opened, one record more is written, and it is opened again.
pub(super) fn journal(bytes: &[u8]) {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("book"), [&MAGIC, bytes].concat()).expect("a file can be written");
    let untouched = scratch.read();
    assert_eq!(scratch.read(), untouched);
    let (found, mut records) = untouched;

    let (mut journal, opened) = scratch.open(&mut Vec::new());
    assert_eq!(opened, found);
    if matches!(found, Found::Damaged(_)) {
        records.clear();
        let aside = fs::read(scratch.0.join("book.damaged")).expect("what is damaged is kept");
        assert_eq!(aside[MAGIC.len()..], *bytes);
    }
    journal
        .append(b"one more")
        .and_then(|()| journal.write())
        .expect("a journal that was opened can be written");
    records.push(b"one more".to_vec());
    assert_eq!(scratch.read(), (Found::Whole, records));
}

/// A directory of its own, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("filesync-mutations-{}-{number}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory can be made");
        Scratch(path)
    }

    fn open(&self, records: &mut Vec<Vec<u8>>) -> (Journal, Found) {
        let name = Path::new(b"book").expect("a plain name is a path");
        Journal::open(self.root(), name, MAGIC, collect(records)).expect("damage is no error")
    }

    fn read(&self) -> (Found, Vec<Vec<u8>>) {
        let (name, mut records) = (Path::new(b"book").expect("a plain name is a path"), Vec::new());
        let found =
            Journal::read(&self.root(), &name, MAGIC, collect(&mut records)).expect("damage is no error");
        assert!(records.iter().all(|record| (1..=JOURNAL_RECORD_BYTES).contains(&record.len())));
        (found, records)
    }

    fn root(&self) -> Root {
        Root::open(&self.0).expect("the directory is there")
    }
}

fn collect(records: &mut Vec<Vec<u8>>) -> impl FnMut(&[u8]) -> Result<(), PackError> {
    |record| {
        records.push(record.to_vec());
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
