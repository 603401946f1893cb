//! Waking a thread that waits in [`poll`](super::poll), by eventfd(2).

use std::ffi::{c_int, c_uint};
use std::fs::File;
use std::io::{Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use super::cvt;

const EFD_CLOEXEC: c_int = 0o2_000_000;
const EFD_NONBLOCK: c_int = 0o4000;

unsafe extern "C" {
    fn eventfd(initial: c_uint, flags: c_int) -> c_int;
}

/// A bell: [`ring`](Wake::ring) makes it readable, for everyone who polls it, until [`silence`](Wake::silence).
#[derive(Debug)]
pub struct Wake(File);

impl Wake {
    /// A silent bell.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`.
    pub fn new() -> Result<Wake> {
        // SAFETY: no pointers are passed.
        let fd = cvt(unsafe { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        Ok(Wake(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Rings. The only failure there is, a counter that is full after 2^64 rings, leaves it ringing.
    pub fn ring(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Silences it. Failing means that it was silent.
    pub fn silence(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::poll::{PollFd, wait};
    use super::*;

    #[test]
    fn rings_until_silenced() {
        let wake = Wake::new().unwrap();
        let rings = || wait(&mut [PollFd::readable(wake.as_fd())], Duration::ZERO).unwrap();
        assert!(!rings());
        wake.ring();
        wake.ring();
        assert!(rings());
        wake.silence();
        assert!(!rings());
        wake.silence();
    }
}
