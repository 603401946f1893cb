//! The trees of the workloads: made from nothing but their shape, so that every bench has the same, and counted when they have arrived.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::Result;

/// Files in one directory.
const FILES_A_DIRECTORY: usize = 100;

/// Content is made and written in pieces of so many bytes.
const PIECE: usize = 1 << 20;

/// The smallest file of a mixed tree, in bytes.
const SMALLEST: u64 = 4 << 10;

/// What a tree consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Files that are all of the same size, in bytes.
    Equal { files: usize, bytes: u64 },
    /// Few large files and many small ones, as folders have them.
    Mixed { files: usize },
}

impl Shape {
    /// Makes the tree. No two files are the same, and none can be compressed: nobody gets away with sending less.
    pub(crate) fn make(&self, root: &Path) -> Result<()> {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let mut piece = vec![0; PIECE];
        for number in 0..self.files() {
            let path = root.join(name(number));
            if number % FILES_A_DIRECTORY == 0
                && let Some(directory) = path.parent()
            {
                fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
            }
            noise
                .write(&path, self.size(number), &mut piece)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// That all of the tree has arrived at `root`, by number and size. What the contestants keep for themselves is left out.
    pub(crate) fn check(&self, root: &Path) -> Result<()> {
        let found = count(root).map_err(|error| format!("{}: {error}", root.display()))?;
        let wanted = (self.files(), self.bytes());
        if found != wanted {
            return Err(
                format!("{} has {found:?} files and bytes instead of {wanted:?}", root.display()).into()
            );
        }
        Ok(())
    }

    /// How many files it has.
    pub(crate) fn files(&self) -> usize {
        match *self {
            Self::Equal { files, .. } | Self::Mixed { files } => files,
        }
    }

    /// Files and directories.
    pub(crate) fn entries(&self) -> usize {
        self.files() + self.files().div_ceil(FILES_A_DIRECTORY)
    }

    /// Bytes of content.
    pub(crate) fn bytes(&self) -> u64 {
        (0..self.files()).map(|number| self.size(number)).sum()
    }

    /// Bytes of the paths of all entries.
    pub(crate) fn names(&self) -> usize {
        let files = 0..self.files();
        let directories = files.clone().step_by(FILES_A_DIRECTORY);
        let length_above = |number: usize| directory(number).len();
        files.map(|number| name(number).len()).sum::<usize>() + directories.map(length_above).sum::<usize>()
    }

    /// The largest file of a mixed tree of so many files, in bytes: 2 GiB with a thousand.
    pub(crate) fn largest(files: usize) -> u64 {
        ((2 << 30) / 1000 * files as u64).max(SMALLEST)
    }

    /// Of the file of this number, in bytes. In a mixed tree the last is the largest, and all smaller ones crowd at the small end.
    fn size(&self, number: usize) -> u64 {
        match *self {
            Self::Equal { bytes, .. } => bytes,
            Self::Mixed { files } => {
                let share = (number + 1) as f64 / files as f64;
                let growth = Self::largest(files) as f64 / SMALLEST as f64;
                (SMALLEST as f64 * growth.powf(share.powi(24))) as u64
            }
        }
    }
}

fn directory(number: usize) -> String {
    format!("directory-{}", number / FILES_A_DIRECTORY)
}

/// The path of the file of this number.
fn name(number: usize) -> String {
    format!("{}/file-{number}", directory(number))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_mixed_tree_reach_from_four_kib_to_two_gib() {
        let shape = Shape::Mixed { files: 1000 };
        assert_eq!((shape.size(0), shape.size(999) >> 20), (4 << 10, 2047));
        assert!((5..20).contains(&(shape.bytes() >> 30)), "{} GiB in all", shape.bytes() >> 30);
    }

    #[test]
    fn entries_and_names_count_directories_too() {
        let shape = Shape::Equal { files: 101, bytes: 1 };
        assert_eq!(shape.entries(), 103);
        let names = 10 * "directory-0/file-0".len()
            + 90 * "directory-0/file-10".len()
            + "directory-1/file-100".len()
            + 2 * "directory-0".len();
        assert_eq!(shape.names(), names);
    }
}
