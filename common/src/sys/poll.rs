//! Waiting for a few descriptors at once, by poll(2).

use std::ffi::{c_int, c_short, c_ulong};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::cvt;

const POLLIN: c_short = 0x1;
const POLLOUT: c_short = 0x4;

/// `struct pollfd`: a descriptor, what is awaited, what came.
#[repr(C)]
#[derive(Debug)]
pub struct PollFd<'fd> {
    fd: c_int,
    awaited: c_short,
    came: c_short,
    borrowed: PhantomData<BorrowedFd<'fd>>,
}

unsafe extern "C" {
    fn poll(fds: *mut PollFd<'_>, count: c_ulong, timeout: c_int) -> c_int;
}

impl<'fd> PollFd<'fd> {
    /// Wait until reading would not block.
    pub fn readable(fd: BorrowedFd<'fd>) -> PollFd<'fd> {
        PollFd { fd: fd.as_raw_fd(), awaited: POLLIN, came: 0, borrowed: PhantomData }
    }

    /// Wait until writing would not block.
    pub fn writable(fd: BorrowedFd<'fd>) -> PollFd<'fd> {
        PollFd { awaited: POLLOUT, ..PollFd::readable(fd) }
    }

    /// Wait until both directions have ended, or the connection has failed.
    pub fn ended(fd: BorrowedFd<'fd>) -> PollFd<'fd> {
        PollFd { awaited: 0, ..PollFd::readable(fd) }
    }

    /// Whether it is worth trying; that includes an error or the other end's leaving, which the attempt then tells.
    pub fn is_ready(&self) -> bool {
        self.came != 0
    }
}

/// Waits until one of `fds` is ready or `timeout` has passed (never less), and says whether one is.
///
/// # Errors
/// Those of poll(2); a signal is none, the wait goes on.
pub fn wait(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        match poll_once(fds, left) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn poll_once(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<c_int> {
    // Rounded up, or the last fraction of a millisecond would be spent spinning.
    let millis = c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX);
    // SAFETY: `fds` are laid out as `struct pollfd` (the marker has no size), exclusively borrowed, and as many as we say.
    cvt(unsafe { poll(fds.as_mut_ptr(), fds.len() as c_ulong, millis) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn ready_or_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        let short = Duration::from_millis(20);
        let mut fds = [PollFd::readable(reader.as_fd())];
        let start = Instant::now();
        assert!(!wait(&mut fds, short).unwrap());
        assert!(short <= start.elapsed() && !fds[0].is_ready());
        assert!(wait(&mut [PollFd::writable(writer.as_fd())], short).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(wait(&mut fds, Duration::from_secs(10)).unwrap() && fds[0].is_ready());
        assert!(wait(&mut fds, Duration::MAX).unwrap());
    }
}
