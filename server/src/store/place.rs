//! Tells a box from a copy of it: `.filesync/id` names the history of the box, and its own inode.
//!
//! A box that was restored from a backup goes on from an older point of its history, while clients remember a newer one; so does a copy
//! of a box beside the original. Seqs would then mean one thing here and another there, and a client could miss changes. Restoring and
//! copying make new files, and a new file has another inode number: then a new epoch begins, and clients compare all they have.
//!
//! What this can't see: a disk restored as an image, block by block. Who does that removes `.filesync/id`.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use common::disk::{RenameMode, Root};
use common::protocol::Epoch;
use common::tree::Path;

/// Longest text of the file in bytes: sixteen hex digits, a blank, twenty digits, a line feed.
const TEXT_BYTES: u64 = 38;

/// Whether this is still the place where the history of `epoch` was begun.
///
/// # Errors
/// What the file system says.
pub(crate) fn is_same(private: &Root, epoch: Epoch) -> io::Result<bool> {
    let file = match private.open_file(&name("id")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    };
    let mut found = Vec::new();
    let ino = file.metadata()?.ino();
    file.take(TEXT_BYTES + 1).read_to_end(&mut found)?;
    Ok(found == text(epoch, ino).into_bytes())
}

/// Notes that the history of `epoch` begins here.
///
/// # Errors
/// What the file system says.
pub(crate) fn note(private: &Root, epoch: Epoch) -> io::Result<()> {
    let (id, next) = (name("id"), name("id.next"));
    match private.remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private.create_new(&next, 0o600)?;
    let ino = file.metadata()?.ino();
    file.write_all(text(epoch, ino).as_bytes())?;
    file.sync_all()?;
    Root::rename((private, &next), (private, &id), RenameMode::Replace)?;
    private.sync_dir(None)
}

fn text(epoch: Epoch, ino: u64) -> String {
    format!("{epoch} {ino}\n")
}

fn name(name: &str) -> Path {
    Path::new(name.as_bytes()).expect("a plain name is a path")
}
