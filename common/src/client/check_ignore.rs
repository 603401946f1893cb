//! `check-ignore DIR PATH...`: which rule keeps a path from syncing, for whoever wonders why it does not, or why it does.
//!
//! Works without a server and beside a running client. A path that does not exist is taken for a file, or with a `/` at its end for a
//! directory.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Refused, failed};
use crate::cli::exit::Exit;
use crate::cli::format::escape_for_terminal;
use crate::disk::{Root, StatKind};
use crate::engine::read_rules;
use crate::tree::{Path, Verdict};

/// Lines like `.syncignore:3: *.o<tab>build/x.o`, one for each path that is ignored; and whether any is.
pub(super) fn check_ignore(arguments: &[OsString], patterns: &[OsString]) -> Result<(String, Exit), Refused> {
    let [directory, paths @ ..] = arguments else {
        let words = "check-ignore needs a folder and paths in it: check-ignore DIR PATH...";
        return Err(Refused::Words(Exit::Usage, words.into()));
    };
    let directory = PathBuf::from(directory);
    let root = Root::open(&directory)
        .map_err(|error| failed(format!("cannot open the folder {}: {error}", directory.display())))?;
    let rules = read_rules(&root, patterns)
        .map_err(|error| failed(format!("cannot read the ignore rules: {error}")))?;
    let mut lines = String::new();
    for given in paths {
        let shown = escape_for_terminal(given.as_bytes());
        let bytes = given.as_bytes().strip_prefix(b"./").unwrap_or(given.as_bytes());
        let bare = bytes.strip_suffix(b"/").unwrap_or(bytes);
        let path = Path::new(bare).map_err(|error| {
            Refused::Words(Exit::Usage, format!("{shown}: {error}; it has to be a path inside the folder"))
        })?;
        let stat = root.stat(&path).map_err(|error| failed(format!("cannot look at {shown}: {error}")))?;
        let is_directory = stat.map_or(bare != bytes, |stat| stat.kind == StatKind::Directory);
        if let Verdict::Ignored { rule } = rules.verdict(&path, is_directory) {
            lines.push_str(&format!("{rule}\t{shown}\n"));
        }
    }
    let exit = if lines.is_empty() { Exit::Failed } else { Exit::Agreement };
    Ok((lines, exit))
}
