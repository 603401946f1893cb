//! Whether a power cut may have taken what was written without waiting for the disk.
//!
//! After a power cut such files may be empty, shorter or missing, though nobody emptied or removed them. Taken for changes made by hand,
//! that would go to all other sides, and take their good copies with it. So whoever does not flush leaves a mark first, which names the
//! running kernel; a mark of another kernel means that since then all that was not on disk is gone. Then nothing that is remembered of the
//! files may be evidence against anybody else's. As long as the same kernel runs, nothing is lost, however the program ended.

use std::fs;
use std::io::{self, Read, Write};

use super::root::Root;
use crate::tree::Path;

/// A random number for each start of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// More than it has.
const BOOT_ID_BYTES: u64 = 64;

/// Whether what was written here may be lost; `private` is the private directory.
///
/// # Errors
/// What the file system says.
pub fn may_be_lost(private: &Root) -> io::Result<bool> {
    let file = match private.open_file(&mark()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    };
    let mut noted = Vec::new();
    file.take(BOOT_ID_BYTES).read_to_end(&mut noted)?;
    // A mark that is empty, or a kernel that can't be told from another, proves nothing.
    Ok(noted.is_empty() || noted != boot_id())
}

/// Marks that from now on things are written here without a flush. Until this returns, nothing may be.
///
/// # Errors
/// What the file system says.
pub fn begin(private: &Root) -> io::Result<()> {
    remove(private)?;
    let mut file = private.create_new(&mark(), 0o600)?;
    file.write_all(&boot_id())?;
    file.sync_all()?;
    private.sync_dir(None)
}

/// Flushes what was not flushed yet, and takes the mark away. Costs nothing if there is none.
///
/// # Errors
/// What the file system says; then the mark stays.
pub fn end(private: &Root) -> io::Result<()> {
    match private.stat(&mark())? {
        None => Ok(()),
        Some(_) => private.sync_all().and_then(|()| remove(private)),
    }
}

fn remove(private: &Root) -> io::Result<()> {
    match private.remove_file(&mark()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Empty if it can't be had.
fn boot_id() -> Vec<u8> {
    fs::read(BOOT_ID).unwrap_or_default()
}

fn mark() -> Path {
    Path::new(b"unflushed").expect("a plain name is a path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn only_a_mark_of_another_kernel_means_a_loss() {
        let scratch = Scratch::new();
        let private = Root::open(scratch.path()).unwrap();
        assert!(!may_be_lost(&private).unwrap());
        end(&private).unwrap();
        begin(&private).unwrap();
        begin(&private).unwrap();
        assert!(!may_be_lost(&private).unwrap(), "this kernel has all that was written");
        for other in ["", "11111111-2222-4333-8444-555555555555\n"] {
            fs::write(scratch.path().join("unflushed"), other).unwrap();
            assert!(may_be_lost(&private).unwrap(), "{other:?}");
        }
        end(&private).unwrap();
        assert!(!may_be_lost(&private).unwrap());
    }
}
