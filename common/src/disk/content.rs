//! Content on its way into a new file: whole blocks of zeros are left out, so that a file with holes arrives with holes, and takes no more
//! of the disk than it did where it came from. What is read back is the same.
//!
//! Zeros that somebody wrote become holes as well. No program can tell but by asking for the blocks.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// The size of a hole is a multiple of this, in bytes: the block of all common file systems.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes a file from where it ends so far, at first from its beginning, to its end.
#[derive(Debug)]
pub struct NewContent<'a> {
    file: &'a File,
    length: u64,
    /// How long the file is: holes at its end are not yet part of it.
    written: u64,
}

impl<'a> NewContent<'a> {
    /// Nothing so far.
    pub fn of(file: &'a File) -> NewContent<'a> {
        NewContent::after(file, 0)
    }

    /// The file ends after so many bytes.
    pub(super) fn after(file: &'a File, length: u64) -> NewContent<'a> {
        NewContent { file, length, written: length }
    }

    /// Gives the file its length, which no write has done if it ends with a hole.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn finish(self) -> io::Result<()> {
        if self.written == self.length { Ok(()) } else { self.file.set_len(self.length) }
    }

    /// Writes what is no hole, beginning so many bytes after what came before.
    fn write_piece(&mut self, piece: &[u8], at: u64) -> io::Result<()> {
        if !piece.is_empty() {
            self.file.write_all_at(piece, self.length + at)?;
            self.written = self.length + at + piece.len() as u64;
        }
        Ok(())
    }
}

impl Write for NewContent<'_> {
    /// Takes all, or fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let into_block = ((self.length + at as u64) % BLOCK as u64) as usize;
            let end = bytes.len().min(at + BLOCK - into_block);
            if bytes[at..end] == ZEROS[..end - at] {
                self.write_piece(&bytes[from..at], from as u64)?;
                from = end;
            }
            at = end;
        }
        self.write_piece(&bytes[from..], from as u64)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        let mut content = vec![0; 20 * BLOCK + 17];
        for at in [0, BLOCK - 1, 5 * BLOCK, 5 * BLOCK + 1, 9 * BLOCK + 100, 20 * BLOCK - 1] {
            content[at] = 1;
        }
        for length in [0, 1, BLOCK, content.len() - 18, content.len()] {
            for piece in [1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 8 * BLOCK + 5, content.len()] {
                let file = File::create(&path).unwrap();
                let mut new = NewContent::of(&file);
                content[..length].chunks(piece).for_each(|bytes| new.write_all(bytes).unwrap());
                new.finish().unwrap();
                assert!(fs::read(&path).unwrap() == content[..length], "{length} bytes, {piece} at a time");
            }
        }
    }
}
