//! A user at work in one tree: does what the plan says, and tells the oracle what was made and what was before the user's eyes when it went.
//!
//! The programs work in the same tree at the same time. So a file is read through the very descriptor that is then written to, and
//! after each step it is made sure that the step did to the file that was read. Where a program was faster, what it put there meanwhile
//! counts as seen, too: at that moment nobody can tell, and it is rare.
//!
//! A program may be so fast that nothing of the file that was read is left: it swaps in a version of its own between the look and the
//! rename or removal, and removes what it swapped out. Then the user's step does to a version that no user has seen, and no program could
//! prevent it. What a program was about to put there is in its staging directory before; so that is looked at first, and what has no
//! name any more after the step counts as seen.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::oracle::{Oracle, Version};
use super::plan::{Act, Content, How, Kind, Name};

/// A user, at one place.
pub struct User<'a> {
    pub name: &'a str,
    pub root: &'a Path,
    /// All trees: where to look for what a program may just have put here.
    pub trees: &'a [PathBuf],
    /// A directory on the same file system that does not sync.
    pub elsewhere: &'a Path,
    pub oracle: &'a mut Oracle,
}

impl User<'_> {
    /// Does it, if it can be done.
    ///
    /// # Errors
    /// It can't: then nothing is different, or it is as if somebody had stopped half-way.
    pub fn act(&mut self, act: &Act) -> io::Result<()> {
        match act {
            Act::Write { path, how, content } => self.write(path, *how, content),
            Act::Delete(path) => self.delete(&self.at(path)),
            Act::MakeDirectory(path) => fs::create_dir_all(self.at(path)),
            Act::Link { path, target } => self.link(path, target),
            Act::Become(path, kind, content) => self.become_kind(path, *kind, content),
            Act::Rename(from, to) => self.rename(&self.at(from), &self.at(to)),
            Act::Swap(one, other) => self.swap(&self.at(one), &self.at(other)),
            Act::Mode(path, mode) => {
                let path = self.at(path);
                let there = fs::symlink_metadata(&path)?;
                if there.is_symlink() {
                    return Ok(());
                }
                // The programs have to get in, unless they run as root.
                let needed = if is_root() {
                    0
                } else if there.is_dir() {
                    0o700
                } else {
                    0o600
                };
                fs::set_permissions(path, Permissions::from_mode(*mode | needed))
            }
            Act::Touch(path, seconds) => {
                let time = UNIX_EPOCH + Duration::from_secs(*seconds);
                File::open(self.at(path))?.set_times(FileTimes::new().set_modified(time))
            }
        }
    }

    fn at(&self, name: &Name) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(&name.0))
    }

    // ---- Making ---------------------------------------------------------------------------------------------------------------

    fn write(&mut self, name: &Name, how: How, content: &Content) -> io::Result<()> {
        let path = self.at(name);
        let parent = path.parent().expect("it is below the root").to_owned();
        fs::create_dir_all(&parent)?;
        match how {
            How::InPlace | How::Append | How::Truncate if path.is_file() => self.rewrite(&path, how, content),
            How::Replace => self.replace(&parent.join(".saving~"), &path, content),
            _ => self.replace(&self.elsewhere.join("new"), &path, content),
        }
    }

    /// Into the file that is there.
    fn rewrite(&mut self, path: &Path, how: How, content: &Content) -> io::Result<()> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut old = Vec::new();
        file.read_to_end(&mut old)?;
        let new = match how {
            How::Append => [old.clone(), content.bytes()].concat(),
            How::Truncate => old[..old.len() / 2].to_vec(),
            _ => content.bytes(),
        };
        // All that anybody could read meanwhile is the beginning of the new content.
        self.oracle.possible(Version::File(Vec::new()));
        self.oracle.spent(Version::File(old.clone()));
        match how {
            How::Append => file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(&new[old.len()..]))?,
            How::Truncate => file.set_len(new.len() as u64)?,
            _ => {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(&new)?;
            }
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.ino() == file.metadata()?.ino() => self.made(Version::File(new), path),
            _ => self.oracle.possible(Version::File(new)),
        }
        Ok(())
    }

    /// A new file takes the name.
    fn replace(&mut self, temporary: &Path, path: &Path, content: &Content) -> io::Result<()> {
        let bytes = content.bytes();
        // Its content is seen under the temporary name, and even a part of it.
        self.oracle.possible(Version::File(Vec::new()));
        self.oracle.possible(Version::File(bytes.clone()));
        fs::write(temporary, &bytes)?;
        let put = match fs::symlink_metadata(path) {
            // A rename would replace what a program puts here at this moment, and nobody would have seen it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::hard_link(temporary, path).and_then(|()| fs::remove_file(temporary))
            }
            _ => self.put(temporary, path),
        };
        match put {
            Ok(()) => self.made(Version::File(bytes), path),
            Err(_) => fs::remove_file(temporary)?,
        }
        put
    }

    fn link(&mut self, name: &Name, target: &Content) -> io::Result<()> {
        let path = self.at(name);
        let temporary = self.elsewhere.join("new");
        symlink(std::ffi::OsStr::from_bytes(&target.target()), &temporary)?;
        let put = self.put(&temporary, &path);
        match put {
            Ok(()) => self.made(Version::Link(target.target()), &path),
            Err(_) => fs::remove_file(&temporary)?,
        }
        put
    }

    fn become_kind(&mut self, name: &Name, kind: Kind, content: &Content) -> io::Result<()> {
        let path = self.at(name);
        // It may not be there.
        let _ = self.delete(&path);
        match kind {
            Kind::File => self.write(name, How::MoveIn, content),
            Kind::Directory => fs::create_dir(&path),
            Kind::Link => self.link(name, content),
        }
    }

    fn made(&mut self, version: Version, path: &Path) {
        let relative = path.strip_prefix(self.root).expect("it is below the root");
        let place = format!("{} in {}", relative.as_os_str().as_bytes().escape_ascii(), self.name);
        self.oracle.made(version, place);
    }

    // ---- Moving ---------------------------------------------------------------------------------------------------------------

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        fs::create_dir_all(to.parent().expect("it is below the root"))?;
        self.put(from, to)
    }

    /// Renames. What had the name was seen, and is gone.
    fn put(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (coming, there) = (self.coming()?, Seen::at(to)?);
        fs::rename(from, to)?;
        self.gone(&there, &coming, to);
        Ok(())
    }

    fn swap(&mut self, one: &Path, other: &Path) -> io::Result<()> {
        if one == other || one.starts_with(other) || other.starts_with(one) {
            return Ok(());
        }
        fs::symlink_metadata(other)?;
        let held = self.elsewhere.join("held");
        fs::rename(one, &held)?;
        let swapped = self.put(other, one).and_then(|()| self.put(&held, other));
        if swapped.is_err() && self.put(&held, one).is_err() {
            // A program was in the way; then the user gives up.
            self.delete(&held)?;
        }
        swapped
    }

    // ---- Deleting -------------------------------------------------------------------------------------------------------------

    fn delete(&mut self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                // Programs come and go here, too.
                let _ = self.delete(&entry?.path());
            }
            return fs::remove_dir(path);
        }
        let (coming, there) = (self.coming()?, Seen::at(path)?);
        fs::remove_file(path)?;
        self.gone(&there, &coming, path);
        Ok(())
    }

    /// What a program may be about to put into the tree.
    fn coming(&self) -> io::Result<Vec<Coming>> {
        let mut coming = Vec::new();
        for entry in fs::read_dir(self.root.join(".filesync/staging"))? {
            let path = entry?.path();
            // It may be in its place by now, or may never get there.
            coming.extend(Seen::at(&path).ok().map(|seen| Coming { path, seen }));
        }
        Ok(coming)
    }

    /// It was replaced or deleted just now; so may have been what came in its stead.
    fn gone(&mut self, seen: &Seen, coming: &[Coming], path: &Path) {
        let lost = coming.iter().filter(|coming| coming.is_nowhere()).map(|coming| &coming.seen);
        for version in [seen].into_iter().chain(lost).filter_map(Seen::last_version) {
            self.oracle.spent(version);
        }
        if !seen.is_unlinked() {
            let relative = path.strip_prefix(self.root).unwrap_or(path);
            for tree in self.trees {
                if let Ok(Seen { version: Some(version), .. }) = Seen::at(&tree.join(relative)) {
                    self.oracle.spent(version);
                }
            }
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// What a user sees at a path.
struct Seen {
    version: Option<Version>,
    /// The file as it was, however it is called now.
    file: Option<File>,
}

impl Seen {
    fn at(path: &Path) -> io::Result<Seen> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Seen { version: None, file: None });
            }
            other => other?,
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path)?.as_os_str().as_bytes().to_vec();
            return Ok(Seen { version: Some(Version::Link(target)), file: None });
        }
        if !metadata.is_file() {
            return Ok(Seen { version: None, file: None });
        }
        let mut file = File::open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Seen { version: Some(Version::File(content)), file: Some(file) })
    }

    /// The version; of a file what it holds by now, because a program may have been at it still.
    fn last_version(&self) -> Option<Version> {
        let Some(mut file) = self.file.as_ref() else { return self.version.clone() };
        let mut content = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut content));
        read.ok().map(|_| Version::File(content))
    }

    /// Whether the file has no name any more, as it should if it was the one that was replaced or deleted.
    fn is_unlinked(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0))
    }
}

/// What was in a staging directory.
struct Coming {
    path: PathBuf,
    seen: Seen,
}

impl Coming {
    fn is_nowhere(&self) -> bool {
        match self.seen.file {
            Some(_) => self.seen.is_unlinked(),
            None => self.seen.version.is_some() && fs::symlink_metadata(&self.path).is_err(),
        }
    }
}
