//! Knows every version that a user made, and which of them may be gone.
//!
//! A version is a content of a file, or a target of a symbolic link. It may be gone if somebody had it before their eyes at the moment
//! they replaced or deleted it: then it is *spent*. All others have to be somewhere, when everything has come to rest: in the trees, which
//! agree by then, under whatever name, or in a directory `.filesync/versions`.
//!
//! What the oracle can't know, it does not claim. Versions with equal contents are one version, and spent once is spent. A content that a user wrote into a file
//! which a program took from its place in the same instant is *possible*: it may turn up, but need not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    File(Vec<u8>),
    Link(Vec<u8>),
}

/// Enough of it to find it in the steps, and to tell it from others.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Link(target) => write!(f, "link to {}", target.escape_ascii()),
            Version::File(content) => {
                let first = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
                write!(f, "file {:?} ({} bytes)", String::from_utf8_lossy(first), content.len())
            }
        }
    }
}

#[derive(Default)]
pub struct Oracle {
    /// With where it was made.
    made: BTreeMap<Version, String>,
    spent: BTreeSet<Version>,
    possible: BTreeSet<Version>,
}

impl Oracle {
    /// A user made it, and it is in its place.
    pub fn made(&mut self, version: Version, place: impl Into<String>) {
        self.made.entry(version).or_insert_with(|| place.into());
    }

    /// A user saw it, and replaced or deleted it.
    pub fn spent(&mut self, version: Version) {
        self.spent.insert(version);
    }

    /// A program may have seen it while it was being made.
    pub fn possible(&mut self, version: Version) {
        self.possible.insert(version);
    }

    /// What is wrong, if all trees hold the same as `tree`, and `versions` are the directories with what was kept besides.
    ///
    /// # Errors
    /// One line for each version lost, and for each that nobody made.
    pub fn judge(&self, tree: &Path, versions: &[&Path]) -> Result<(), String> {
        let mut found = BTreeSet::new();
        read_all(tree, &mut found).map_err(|error| format!("can't read {}: {error}", tree.display()))?;
        let strange = found.iter().filter(|version| !self.is_known(version));
        let mut lines: Vec<String> = strange.map(|version| format!("nobody made {version:?}")).collect();
        for directory in versions.iter().filter(|directory| directory.exists()) {
            read_all(directory, &mut found)
                .map_err(|error| format!("can't read {}: {error}", directory.display()))?;
        }
        for (version, place) in &self.made {
            if !self.spent.contains(version) && !found.contains(version) {
                lines.push(format!("lost: {version:?}, made at {place}"));
            }
        }
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }

    fn is_known(&self, version: &Version) -> bool {
        self.made.contains_key(version) || self.spent.contains(version) || self.possible.contains(version)
    }
}

/// Every version below a directory, but for filesync's private directory.
fn read_all(directory: &Path, found: &mut BTreeSet<Version>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_symlink() {
            found.insert(Version::Link(fs::read_link(&path)?.as_os_str().as_bytes().to_vec()));
        } else if kind.is_dir() && entry.file_name() != ".filesync" {
            read_all(&path, found)?;
        } else if kind.is_file() {
            found.insert(Version::File(fs::read(&path)?));
        }
    }
    Ok(())
}
