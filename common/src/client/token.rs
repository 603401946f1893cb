//! The key or token: from a file, or the environment, never from an option's value, which every user of the machine can read.
//!
//! A file that others can read is refused, as the server refuses its own: whoever reads it may do all that it opens. What is no file, a pipe
//! say, is whatever the caller made of it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::Refused;
use crate::cli::exit::Exit;
use crate::cli::format::escape_for_terminal;
use crate::limits::SMALL_BODY_BYTES;
use crate::net::command::KEY_VARIABLES;
use crate::sys::user::effective_id;

/// The user who may give anybody a file to read.
const ROOT: u32 = 0;

/// The token in this file, or else in the environment.
pub(super) fn token(file: Option<&OsStr>) -> Result<String, Refused> {
    let (text, place) = match file {
        Some(file) => (read(file)?, format!("the token file {}", escape_for_terminal(file.as_bytes()))),
        None => match KEY_VARIABLES.into_iter().find_map(|name| Some((env::var_os(name)?, name))) {
            Some((text, name)) => (text, name.to_owned()),
            None => {
                let words = "no key: give one with --token-file FILE, FILESYNC_TOKEN or API_KEY; the server's is in .filesync/key of its box";
                return Err(refused(words.to_owned()));
            }
        },
    };
    let token = text.to_str().map(str::trim).unwrap_or_default().to_owned();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(refused(format!("{place} holds no key: it has to be one word of visible ASCII"))),
    }
}

fn refused(words: String) -> Refused {
    Refused::Words(Exit::NotAuthorised, words)
}

fn read(path: &OsStr) -> Result<OsString, Refused> {
    let of_file = |what: &dyn std::fmt::Display| {
        refused(format!("cannot use the token file {}: {what}", escape_for_terminal(path.as_bytes())))
    };
    let file = File::open(path).map_err(|error| of_file(&error))?;
    let found = file.metadata().map_err(|error| of_file(&error))?;
    if let Some(exposed) = exposed(&found) {
        return Err(of_file(&exposed));
    }
    let mut text = String::new();
    file.take(SMALL_BODY_BYTES + 1).read_to_string(&mut text).map_err(|error| of_file(&error))?;
    match text.len() as u64 <= SMALL_BODY_BYTES {
        true => Ok(text.into()),
        false => Err(of_file(&"it is longer than any key")),
    }
}

/// Why others than this user may know what is in a file.
fn exposed(found: &Metadata) -> Option<String> {
    exposed_to(found.is_file(), found.uid(), found.mode() & 0o7777, effective_id())
}

fn exposed_to(is_file: bool, owner: u32, mode: u32, user: u32) -> Option<String> {
    // What belongs to root and is for this user to read is so by its group, or by a list that shows as the group's bits.
    let others = if owner == user || owner != ROOT { 0o077 } else { 0o027 };
    match is_file {
        true if owner != user && owner != ROOT => {
            Some(format!("it belongs to the user {owner}, and this is user {user}"))
        }
        true if mode & others != 0 => {
            Some(format!("others may read or change it (mode {mode:o}); if nobody has, chmod 600 it"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn only_what_nobody_else_can_read_is_a_secret() {
        let is_refused = |is_file, owner, mode| exposed_to(is_file, owner, mode, 1000).is_some();
        for mode in [0o600, 0o400, 0o700] {
            assert!(!is_refused(true, 1000, mode), "{mode:o}");
            assert!(!is_refused(true, ROOT, mode | 0o040), "{mode:o}");
            assert!(is_refused(true, 1001, mode), "{mode:o}");
        }
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o601] {
            assert!(is_refused(true, 1000, mode), "{mode:o}");
            assert!(!is_refused(false, 1000, mode), "a pipe");
        }
        for mode in [0o644, 0o460, 0o404] {
            assert!(is_refused(true, ROOT, mode), "{mode:o}");
        }
        assert!(exposed_to(true, ROOT, 0o440, ROOT).is_some());
    }

    #[test]
    fn a_key_is_read_as_a_whole_or_not_at_all() {
        let scratch = Scratch::new();
        let path = scratch.path().join("key");
        let read = |bytes: u64| {
            fs::write(&path, "k".repeat(bytes as usize)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            token(Some(path.as_os_str()))
        };
        assert_eq!(read(SMALL_BODY_BYTES).unwrap().len() as u64, SMALL_BODY_BYTES);
        match read(SMALL_BODY_BYTES + 1) {
            Err(Refused::Words(Exit::NotAuthorised, words)) => {
                assert!(words.ends_with("than any key"), "{words}")
            }
            other => panic!("{other:?}"),
        }
    }
}
