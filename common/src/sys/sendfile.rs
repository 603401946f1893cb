//! From a file to a socket without a detour through this process, by sendfile(2).
//!
//! The kernel may still refer to the file's pages when the call has returned: where somebody writes into the file, the peer may get bytes that
//! were written after they were "sent". So this is only for files that are replaced as a whole, and for content whose hash the peer knows
//! and checks.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cvt_r;

/// Most bytes that Linux moves in one call.
const CALL_BYTES: u64 = 0x7fff_f000;

unsafe extern "C" {
    fn sendfile(to: c_int, from: c_int, offset: *mut i64, count: usize) -> isize;
}

/// Sends up to `count` bytes of `from`, beginning at `offset`, and says how many went; 0 means that the file ends there. The file's own
/// position stays as it is.
///
/// # Errors
/// Those of sendfile(2); `EAGAIN` if the socket took nothing in time; `EINVAL` for an offset beyond 2^63.
pub fn send_file(to: BorrowedFd<'_>, from: BorrowedFd<'_>, offset: u64, count: u64) -> io::Result<u64> {
    let mut offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (to, from, count) = (to.as_raw_fd(), from.as_raw_fd(), count.min(CALL_BYTES) as usize);
    let position = &raw mut offset;
    // SAFETY: the call reads and writes one 64-bit `off_t` at `position`, which is exclusively ours.
    let sent = cvt_r(|| unsafe { sendfile(to, from, position, count) })?;
    Ok(sent.unsigned_abs() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn a_part_of_a_file() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("f"), b"0123456789").unwrap();
        let file = File::open(scratch.path().join("f")).unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let send = |offset, count| send_file(here.as_fd(), file.as_fd(), offset, count);
        assert_eq!(send(2, 3).unwrap(), 3);
        assert_eq!(send(8, u64::MAX).unwrap(), 2);
        assert_eq!(send(10, 1).unwrap(), 0);
        assert!(send(u64::MAX, 1).is_err());
        drop(here);
        let mut got = String::new();
        there.read_to_string(&mut got).unwrap();
        assert_eq!(got, "23489");
    }

    #[test]
    fn a_peer_that_left() {
        let file = File::open("/dev/zero").unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        assert!(send_file(here.as_fd(), file.as_fd(), 0, 10).is_err());
    }
}
