//! The trees of the workloads: made from nothing but their shape, so that every bench has the same, and counted when they have arrived.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::Result;

/// Files in one directory.
const FILES_A_DIRECTORY: usize = 100;

/// Content is made and written in pieces of so many bytes.
const PIECE: usize = 1 << 20;

/// What a tree consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many files.
    pub(crate) files: usize,
    /// How many bytes in each.
    pub(crate) bytes: u64,
}

impl Shape {
    /// Makes the tree. No two files are the same, and none can be compressed: nobody gets away with sending less.
    pub(crate) fn make(&self, root: &Path) -> Result<()> {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let mut piece = vec![0; PIECE];
        for number in 0..self.files {
            let directory = root.join(format!("directory-{}", number / FILES_A_DIRECTORY));
            if number % FILES_A_DIRECTORY == 0 {
                fs::create_dir_all(&directory)
                    .map_err(|error| format!("{}: {error}", directory.display()))?;
            }
            let path = directory.join(format!("file-{number}"));
            noise
                .write(&path, self.bytes, &mut piece)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// That all of the tree has arrived at `root`, by number and size. What the contestants keep for themselves is left out.
    pub(crate) fn check(&self, root: &Path) -> Result<()> {
        let found = count(root).map_err(|error| format!("{}: {error}", root.display()))?;
        let wanted = (self.files, self.files as u64 * self.bytes);
        if found != wanted {
            return Err(
                format!("{} has {found:?} files and bytes instead of {wanted:?}", root.display()).into()
            );
        }
        Ok(())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} KiB", self.files, self.bytes >> 10)
    }
}

fn count(directory: &Path) -> std::io::Result<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() != ".filesync" {
                let (more_files, more_bytes) = count(&entry.path())?;
                files += more_files;
                bytes += more_bytes;
            }
        } else {
            files += 1;
            bytes += entry.metadata()?.len();
        }
    }
    Ok((files, bytes))
}

/// Numbers that look random, the same ones every time (xorshift64).
struct Noise(u64);

impl Noise {
    fn write(&mut self, path: &Path, bytes: u64, piece: &mut [u8]) -> std::io::Result<()> {
        let mut file = File::create(path)?;
        let mut rest = bytes;
        while rest > 0 {
            let length = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
            for word in piece[..length].chunks_mut(8) {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
            }
            file.write_all(&piece[..length])?;
            rest -= length as u64;
        }
        Ok(())
    }
}
