//! One process at a time in a folder or box: a lock that the kernel holds, and frees when the process ends, however it ends.
//!
//! The file says who holds it, for the words of whoever comes second. That is a courtesy and decides nothing: it may be missing, and what
//! a process that is gone has left there means nothing.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::thread::sleep;
use std::time::Duration;

use super::root::Root;
use crate::tree::Path;

/// How often, and with which pause, the lock is tried for: asking whether it is held takes it for an instant.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);
/// Longest text in the file in bytes: the number of a process, and a name that Linux cuts off at 15 bytes.
const TEXT_BYTES: u64 = 32;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the kernel holds the lock as long as the file is open")] File);

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held(Holder),
    /// The file system says no.
    Io(io::Error),
}

/// Who has a lock, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(Option<String>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "process {text}"),
            None => f.write_str("another process"),
        }
    }
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Io(error)
    }
}

impl Lock {
    /// Takes the lock of a private directory, and leaves word of who has it.
    ///
    /// # Errors
    /// Another process has it, or the file system says no.
    pub fn take(private: &Root) -> Result<Lock, LockError> {
        let file = match private.create_new(&name(), 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private.open_write(&name())?,
            other => other?,
        };
        lock(&file, private)?;
        // On a full disk, say, nobody will know who it is.
        let _ = leave_word(&file);
        Ok(Lock(file))
    }

    /// The same, but writes nothing: where nothing was ever locked there is nothing to lock.
    ///
    /// # Errors
    /// Those of [`Lock::take`].
    pub fn take_existing(private: &Root) -> Result<Option<Lock>, LockError> {
        let file = match private.open_file(&name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        lock(&file, private)?;
        Ok(Some(Lock(file)))
    }

    /// Whether a process has the lock now. Asking takes it for an instant.
    pub fn is_held(private: &Root) -> bool {
        let Ok(file) = private.open_file(&name()) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

fn lock(file: &File, private: &Root) -> Result<(), LockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(LockError::Held(holder(private)))
}

/// Writes what [`holder`] reads: `1234 (client_a)`.
fn leave_word(mut file: &File) -> io::Result<()> {
    let name = fs::read_to_string("/proc/self/comm")?;
    file.set_len(0)?;
    file.write_all(format!("{} ({})\n", std::process::id(), name.trim_end()).as_bytes())
}

fn holder(private: &Root) -> Holder {
    let mut text = String::new();
    let read = private.open_file(&name()).and_then(|file| file.take(TEXT_BYTES).read_to_string(&mut text));
    let text = text.trim_end();
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    Holder((read.is_ok() && is_plain).then(|| text.to_owned()))
}

fn name() -> Path {
    Path::new(b"lock").expect("a plain name is a path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn whoever_comes_second_hears_who_came_first() {
        let scratch = Scratch::new();
        let root = Root::open(scratch.path()).unwrap();
        assert!(Lock::take_existing(&root).unwrap().is_none() && !Lock::is_held(&root));
        let first = Lock::take(&root).unwrap();
        assert!(Lock::is_held(&root));
        let Err(LockError::Held(holder)) = Lock::take(&root) else { panic!("two have it") };
        let words = holder.to_string();
        assert!(words.starts_with(&format!("process {} (", std::process::id())), "{words}");
        assert!(matches!(Lock::take_existing(&root), Err(LockError::Held(_))));
        for damage in [&b""[..], b"\x1b[2J", &[0xff; 100], "näme".as_bytes()] {
            fs::write(scratch.path().join("lock"), damage).unwrap();
            let Err(LockError::Held(holder)) = Lock::take(&root) else { panic!("two have it") };
            assert_eq!(holder.to_string(), "another process");
        }
        drop(first);
        assert!(!Lock::is_held(&root));
        assert!(Lock::take_existing(&root).unwrap().is_some());
        Lock::take(&root).unwrap();
    }
}
