//! The signals that ask a program to end, taken by waiting for them.
//!
//! A handler runs between any two instructions and may call next to nothing. So there is none: the signals are blocked before the first
//! thread starts (threads inherit that), stay pending, and one thread fetches them with sigtimedwait(2) when it likes.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use super::cvt;

const SIGHUP: c_int = 1;
const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SIGXFSZ: c_int = 25;
const SIG_BLOCK: c_int = 0;
const EAGAIN: c_int = 11;

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Control-C.
    Interrupt,
    /// SIGTERM: from a service manager, or kill(1).
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

/// `sigset_t`: 128 bytes in glibc and musl.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Set([u64; 16]);

/// `struct timespec` where `time_t` and `long` have 64 bits.
#[repr(C)]
struct Timespec {
    secs: i64,
    nanos: i64,
}

unsafe extern "C" {
    fn pthread_sigmask(how: c_int, set: *const Set, old: *mut Set) -> c_int;
    fn sigtimedwait(set: *const Set, info: *mut c_void, timeout: *const Timespec) -> c_int;
}

/// The blocked signals; proof that they are.
#[derive(Debug)]
pub struct Signals(Set);

impl Signals {
    /// Blocks the three signals for this thread and those it starts from now on: call it first in `main`.
    ///
    /// A fourth is blocked and never fetched: a write beyond the largest file that this process may make is to fail, not to kill it.
    ///
    /// # Errors
    /// None that Linux documents for these arguments.
    pub fn block() -> io::Result<Signals> {
        let bits = [SIGHUP, SIGINT, SIGTERM].iter().fold(0, |bits, signal| bits | 1 << (signal - 1));
        let (mut set, mut blocked) = (Set([0; 16]), Set([0; 16]));
        set.0[0] = bits;
        blocked.0[0] = bits | 1 << (SIGXFSZ - 1);
        // SAFETY: `blocked` outlives the call, which only reads it; the old mask is not asked for.
        match unsafe { pthread_sigmask(SIG_BLOCK, &raw const blocked, ptr::null_mut()) } {
            0 => Ok(Signals(set)),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Waits for the next of them, at most as long as `timeout`.
    ///
    /// # Errors
    /// Those of sigtimedwait(2); being interrupted (a stopped process that continues) is none.
    pub fn wait(&self, timeout: Duration) -> io::Result<Option<Signal>> {
        let start = Instant::now();
        loop {
            match self.wait_once(timeout.saturating_sub(start.elapsed())) {
                Ok(SIGHUP) => return Ok(Some(Signal::HangUp)),
                Ok(SIGINT) => return Ok(Some(Signal::Interrupt)),
                Ok(_) => return Ok(Some(Signal::Terminate)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(EAGAIN) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_once(&self, timeout: Duration) -> io::Result<c_int> {
        let secs = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let timeout = Timespec { secs, nanos: i64::from(timeout.subsec_nanos()) };
        // SAFETY: the set and `timeout` outlive the call, which only reads them; no details of the signal are asked for.
        cvt(unsafe { sigtimedwait(&raw const self.0, ptr::null_mut(), &raw const timeout) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn raise(signal: c_int) -> c_int;
    }

    /// `raise` signals only its own thread, so other tests don't notice.
    #[test]
    fn fetches_what_is_pending() {
        let signals = Signals::block().unwrap();
        assert_eq!(signals.wait(Duration::ZERO).unwrap(), None);
        for (number, signal) in
            [(SIGHUP, Signal::HangUp), (SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)]
        {
            // SAFETY: no pointers are passed, and the signal is blocked.
            assert_eq!(unsafe { raise(number) }, 0);
            assert_eq!(signals.wait(Duration::from_secs(10)).unwrap(), Some(signal));
        }
        let start = Instant::now();
        assert_eq!(signals.wait(Duration::from_millis(20)).unwrap(), None);
        assert!(Duration::from_millis(20) <= start.elapsed());
    }
}
