//! The binary forms, in journals, of what both the server's index and a client's state record: entries, fingerprints, paths.

use super::stat::Fingerprint;
use crate::tree::{Content, Entry, Kind, Meta, Mtime, Path};
use crate::wire::pack::{PackError, Packer, Unpacker};

/// Appends an entry: kind, then size and hash unless it is a directory, then mtime and mode.
pub fn pack_entry(out: &mut Packer, entry: &Entry) {
    out.u64(match entry.content.kind() {
        Kind::File => 0,
        Kind::Symlink => 1,
        Kind::Directory => 2,
    });
    if let Some(hash) = entry.content.hash() {
        out.u64(entry.content.size()).hash(&hash);
    }
    out.i64(entry.meta.mtime.0).u64(u64::from(entry.meta.mode));
}

/// Reads what [`pack_entry`] writes.
///
/// # Errors
/// Anything else.
pub fn unpack_entry(from: &mut Unpacker<'_>) -> Result<Entry, PackError> {
    let content = match from.u64()? {
        0 => Content::File { size: from.u64()?, hash: from.hash()? },
        1 => Content::Symlink { size: from.u64()?, hash: from.hash()? },
        2 => Content::Directory,
        _ => return Err(PackError),
    };
    let mtime = Mtime(from.i64()?);
    let mode = from.small::<u16>()?;
    if 0o7777 < mode {
        return Err(PackError);
    }
    Ok(Entry { content, meta: Meta { mtime, mode } })
}

/// Appends a fingerprint.
pub fn pack_print(out: &mut Packer, print: &Fingerprint) {
    out.u64(print.ino).u64(print.size).i64(print.mtime.0).i64(print.ctime.0);
}

/// Reads what [`pack_print`] writes.
///
/// # Errors
/// Anything else.
pub fn unpack_print(from: &mut Unpacker<'_>) -> Result<Fingerprint, PackError> {
    Ok(Fingerprint {
        ino: from.u64()?,
        size: from.u64()?,
        mtime: Mtime(from.i64()?),
        ctime: Mtime(from.i64()?),
    })
}

/// Reads the bytes of a path, and checks them: a journal is no more trusted than the network.
///
/// # Errors
/// They are not a path.
pub fn unpack_path(from: &mut Unpacker<'_>) -> Result<Path, PackError> {
    Path::new(from.bytes()?).map_err(|_| PackError)
}
