//! `conflicts DIR` and `resolve DIR PATH --keep mine|theirs|both`: what a person does about conflicts.
//!
//! A conflict leaves two files: the server's version under the name, and the local one as a conflict copy beside it. Both are ordinary
//! files, so to settle one is to rename or delete files in the folder, and that syncs like anything else; no client has to run.
//!
//! ```text
//!     mine      the copy takes the name; what had it is replaced
//!     theirs    the copy is deleted
//!     both      the copy gets an ordinary name: `plan (2).txt`
//! ```

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as OsPath;

use super::{Refused, failed};
use crate::cli::exit::Exit;
use crate::disk::{RenameMode, Root, StatKind};
use crate::sync::{conflict_original, is_conflict_name, settled_path};
use crate::sys::errno;
use crate::tree::Path;

/// How many ordinary names are tried for a copy that stays.
const NAMES: u32 = 1000;

/// Which version stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Mine,
    Theirs,
    Both,
}

/// The copies in a folder, a line each: the copy, a tab, and what it is a copy of.
pub(super) fn conflicts(arguments: &[OsString]) -> Result<String, Refused> {
    let [directory] = arguments else {
        return Err(Refused::Words(Exit::Usage, "conflicts needs one folder: conflicts DIR".into()));
    };
    let root = open(directory)?;
    let copies =
        copies(&root).map_err(|error| failed(format!("cannot read {}: {error}", directory.display())))?;
    let line = |copy: &Path| match conflict_original(copy) {
        Some(original) => format!("{copy}\t{original}\n"),
        None => format!("{copy}\n"),
    };
    Ok(copies.iter().map(line).collect())
}

/// Settles one conflict. Returns what was done, in words.
pub(super) fn resolve(arguments: &[OsString], keep: Option<&OsStr>) -> Result<String, Refused> {
    let usage = || {
        Refused::Words(
            Exit::Usage,
            "resolve needs a folder, a path in it, and --keep mine, theirs or both".into(),
        )
    };
    let [directory, path] = arguments else { return Err(usage()) };
    let keep = match keep.map(OsStr::as_bytes) {
        Some(b"mine") => Keep::Mine,
        Some(b"theirs") => Keep::Theirs,
        Some(b"both") => Keep::Both,
        _ => return Err(usage()),
    };
    let root = open(directory)?;
    let (copy, original) = find(&root, directory, path)?;
    let done = match keep {
        Keep::Mine => take_name(&root, &copy, &original),
        Keep::Theirs => {
            root.remove_file(&copy).map(|()| format!("deleted {copy}; {original} stays as it is\n"))
        }
        Keep::Both => keep_both(&root, &copy, &original),
    };
    done.map_err(|error| failed(format!("cannot settle {copy}: {error}")))
}

fn open(directory: &OsString) -> Result<Root, Refused> {
    Root::open(OsPath::new(directory))
        .map_err(|error| failed(format!("cannot open {}: {error}", directory.display())))
}

/// The copy that `path` names, itself or as the only one of an original, and its original.
fn find(root: &Root, directory: &OsString, path: &OsString) -> Result<(Path, Path), Refused> {
    let named = Path::new(path.as_bytes()).map_err(|error| {
        Refused::Words(Exit::Usage, format!("{}: {error}; it is relative to the folder", path.display()))
    })?;
    if let Some(original) = conflict_original(&named) {
        return Ok((named, original));
    }
    let copies =
        copies(root).map_err(|error| failed(format!("cannot read {}: {error}", directory.display())))?;
    let mut of_named = copies.into_iter().filter(|copy| conflict_original(copy).as_ref() == Some(&named));
    match (of_named.next(), of_named.next()) {
        (Some(copy), None) => Ok((copy, named)),
        (None, _) => Err(failed(format!("there is no conflict copy of {named}"))),
        (Some(_), Some(_)) => {
            Err(failed(format!("{named} has several conflict copies; name the one that is meant")))
        }
    }
}

/// Every conflict copy below a folder.
fn copies(root: &Root) -> io::Result<Vec<Path>> {
    let mut copies = Vec::new();
    let mut waiting = vec![None];
    while let Some(directory) = waiting.pop() {
        for (name, stat) in root.list(directory.as_ref())? {
            // The private directory, and names that don't sync.
            let Ok(path) = Path::child(directory.as_ref(), &name) else { continue };
            match stat.kind {
                StatKind::Directory => waiting.push(Some(path)),
                _ if is_conflict_name(&name) => copies.push(path),
                _ => {}
            }
        }
    }
    copies.sort_unstable();
    Ok(copies)
}

fn take_name(root: &Root, copy: &Path, original: &Path) -> io::Result<String> {
    Root::rename((root, copy), (root, original), RenameMode::Replace)?;
    Ok(format!("{original} is now what {copy} was\n"))
}

fn keep_both(root: &Root, copy: &Path, original: &Path) -> io::Result<String> {
    for number in 2..NAMES {
        let name = settled_path(original, number).map_err(io::Error::other)?;
        match Root::rename((root, copy), (root, &name), RenameMode::NoReplace) {
            Ok(()) => return Ok(format!("{copy} is now {name}; {original} stays as it is\n")),
            Err(error) if error.raw_os_error() == Some(errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of that name"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::scratch::Scratch;

    const COPY: &str = "d/plan (conflict laptop 2026-11-22 150405).txt";

    fn folder() -> (Scratch, OsString) {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path().join("d")).unwrap();
        fs::create_dir_all(scratch.path().join(".filesync/staging")).unwrap();
        fs::write(scratch.path().join("d/plan.txt"), "theirs").unwrap();
        fs::write(scratch.path().join(COPY), "mine").unwrap();
        let directory = scratch.path().as_os_str().to_owned();
        (scratch, directory)
    }

    fn settle(keep: &str, path: &str) -> (Scratch, Result<String, String>) {
        let (scratch, directory) = folder();
        let done = resolve(&[directory, path.into()], Some(OsStr::new(keep)));
        (scratch, done.map_err(|refused| format!("{refused:?}")))
    }

    #[test]
    fn copies_are_listed_with_what_they_are_copies_of() {
        let (_scratch, directory) = folder();
        assert_eq!(conflicts(&[directory]).unwrap(), format!("{COPY}\td/plan.txt\n"));
    }

    #[test]
    fn each_way_to_settle() {
        for path in ["d/plan.txt", COPY] {
            for (keep, content, second) in
                [("mine", "mine", None), ("theirs", "theirs", None), ("both", "theirs", Some("mine"))]
            {
                let (scratch, done) = settle(keep, path);
                done.unwrap();
                let read = |name: &str| fs::read_to_string(scratch.path().join(name)).ok();
                assert_eq!(read("d/plan.txt").as_deref(), Some(content), "{keep}");
                assert_eq!(read("d/plan (2).txt").as_deref(), second);
                assert_eq!(read(COPY), None);
            }
        }
    }

    #[test]
    fn what_can_not_be_settled() {
        for (keep, path) in [
            ("ours", "d/plan.txt"),
            ("mine", "d/other.txt"),
            ("mine", "../plan.txt"),
            ("mine", ".filesync/state"),
        ] {
            assert!(settle(keep, path).1.is_err(), "{keep} {path}");
        }
        let (scratch, directory) = folder();
        fs::write(scratch.path().join("d/plan (conflict desk 2026-11-22 150406).txt"), "third").unwrap();
        assert!(resolve(&[directory, "d/plan.txt".into()], Some(OsStr::new("mine"))).is_err(), "which one?");
    }
}
