//! Trees that are done with, out of the way of those that come.
//!
//! When they are removed matters to who is measured next. ext4 without a journal gives out no inode that was freed in the last minute, or in
//! the last five if that is not on the disk, and looks at all of these for each file that is made: after thirty thousand files were removed,
//! making ten thousand took 7.5 s of a processor instead of 0.4 s. So trees of many files are put aside, and removed after the last run, as
//! long as there is room.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::room;
use crate::tree::Shape;

/// A tree of so many entries is worth putting aside. Of fewer the freed inodes don't show.
const MANY: usize = 5000;

/// What is done with, below one directory.
pub(crate) struct Spent<'a> {
    aside: PathBuf,
    file_system: &'a str,
    trees: usize,
}

impl<'a> Spent<'a> {
    /// For trees that are on the same file system as `scratch`, where room for them is made.
    pub(crate) fn new(scratch: &Path, file_system: &'a str) -> Self {
        Self { aside: scratch.join("spent"), file_system, trees: 0 }
    }

    /// Takes a directory away, with all that is in it, if it is there. `shape` is what it was made for, if that has files.
    ///
    /// # Errors
    /// If it can't be moved or removed.
    pub(crate) fn take(&mut self, tree: &Path, shape: Option<Shape>) -> Result<()> {
        if !tree.exists() {
            return Ok(());
        }
        let Some(shape) = shape.filter(|shape| self.is_worth_keeping(*shape)) else { return remove(tree) };
        if room::lack(tree, self.file_system, shape)?.is_some() {
            remove(&self.aside)?;
        }
        fs::create_dir_all(&self.aside).map_err(|error| format!("{}: {error}", self.aside.display()))?;
        self.trees += 1;
        fs::rename(tree, self.aside.join(self.trees.to_string()))
            .map_err(|error| format!("{}: {error}", tree.display()).into())
    }

    /// On tmpfs nothing is gained, and memory is lost.
    fn is_worth_keeping(&self, shape: Shape) -> bool {
        shape.entries() >= MANY && self.file_system != "tmpfs"
    }
}

/// A directory with all that is in it, if it is there.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_many_files_on_a_disk_is_put_aside() {
        let scratch = tempfile::tempdir().unwrap();
        let (many, one) = (Shape::Equal { files: MANY, bytes: 1 }, Shape::Equal { files: 1, bytes: 1 });
        let tree = scratch.path().join("tree");
        for (file_system, shape, kept) in [
            ("ext4", Some(many), true),
            ("tmpfs", Some(many), false),
            ("ext4", Some(one), false),
            ("ext4", None, false),
        ] {
            fs::create_dir_all(tree.join("inner")).unwrap();
            Spent::new(scratch.path(), file_system).take(&tree, shape).unwrap();
            assert!(!tree.exists());
            let aside = scratch.path().join("spent");
            assert_eq!(aside.join("1/inner").exists(), kept, "{file_system} {shape:?}");
            remove(&aside).unwrap();
        }
        Spent::new(scratch.path(), "ext4").take(&tree, Some(many)).unwrap();
    }
}
