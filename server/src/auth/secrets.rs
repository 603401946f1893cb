//! Files that only the server's own user may read: read only if that is so, and written as a whole or not at all.
//!
//! Whoever can read a key can speak for everybody, so a file that others can read is not used, whatever it holds: it may be known already.
//! The same goes for one that belongs to another user, who could read it at any time, or give it other words.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use common::disk::{RenameMode, Root};
use common::sys::user::effective_id;
use common::tree::Path;

/// Why a secret can't be had.
#[derive(Debug)]
pub(crate) enum SecretError {
    /// The group or others may do something with the file.
    Exposed { mode: u32 },
    /// It belongs to another user.
    Foreign { owner: u32 },
    /// It holds something else than it should.
    Malformed(&'static str),
    /// It can't be read or written.
    Io(io::Error),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::Exposed { mode } => write!(
                f,
                "others may read it (mode {mode:o}); if nobody has, chmod 600 it, else remove it and a new one is made"
            ),
            SecretError::Foreign { owner } => write!(
                f,
                "it belongs to the user {owner}, and this is user {}; chown it if you trust what it holds",
                effective_id()
            ),
            SecretError::Malformed(wanted) => f.write_str(wanted),
            SecretError::Io(error) => write!(f, "it can't be read or written: {error}"),
        }
    }
}

impl From<io::Error> for SecretError {
    fn from(error: io::Error) -> SecretError {
        SecretError::Io(error)
    }
}

/// The text of a file of at most so many bytes; `None` if there is none.
pub(crate) fn read(dir: &Root, name: &Path, most: u64) -> Result<Option<String>, SecretError> {
    let file = match dir.open_file(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    if found.uid() != effective_id() {
        return Err(SecretError::Foreign { owner: found.uid() });
    }
    if found.mode() & 0o077 != 0 {
        return Err(SecretError::Exposed { mode: found.mode() & 0o7777 });
    }
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    match text.len() as u64 <= most {
        true => Ok(Some(text)),
        false => Err(SecretError::Malformed("it is longer than such a file can be")),
    }
}

/// Writes a file aside, makes it durable, and gives it its name: a crash leaves the old one or the new one.
pub(crate) fn write(dir: &Root, name: &Path, text: &str, mode: RenameMode) -> io::Result<()> {
    let new = [name.as_bytes(), b".new"].concat();
    let new = Path::new(&new).map_err(io::Error::other)?;
    match dir.remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = dir.create_new(&new, 0o600)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Root::rename((dir, &new), (dir, name), mode)?;
    dir.sync_dir(name.parent().as_ref())
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The same, as 32 hexadecimal digits: a name that nobody has yet.
pub(crate) fn random_name() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn only_a_file_of_our_own_that_nobody_else_can_read_is_read() {
        let scratch = Scratch::new("secrets");
        let dir = Root::open(scratch.path()).unwrap();
        let name = Path::new(b"key").unwrap();
        assert!(matches!(read(&dir, &name, 9), Ok(None)));
        write(&dir, &name, "secret", RenameMode::NoReplace).unwrap();
        assert_eq!(read(&dir, &name, 6).unwrap().as_deref(), Some("secret"));
        assert!(matches!(read(&dir, &name, 5), Err(SecretError::Malformed(_))));
        assert!(write(&dir, &name, "other", RenameMode::NoReplace).is_err());
        write(&dir, &name, "other", RenameMode::Replace).unwrap();
        assert_eq!(read(&dir, &name, 9).unwrap().as_deref(), Some("other"));
        for mode in [0o640, 0o604, 0o601, 0o620, 0o660, 0o777] {
            dir.set_mode(&name, mode).unwrap();
            let exposed = u32::from(mode);
            assert!(
                matches!(read(&dir, &name, 9), Err(SecretError::Exposed { mode }) if mode == exposed),
                "{mode:o}"
            );
        }
        dir.set_mode(&name, 0o400).unwrap();
        assert!(read(&dir, &name, 9).is_ok());
        dir.remove_file(&name).unwrap();
        dir.make_symlink(b"elsewhere", &name).unwrap();
        assert!(matches!(read(&dir, &name, 9), Err(SecretError::Io(_))));
    }
}
