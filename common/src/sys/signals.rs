//! The signals that ask a program to end, taken by reading them.
//!
//! A handler runs between any two instructions and may call next to nothing. So there is none: the signals are blocked before the first
//! thread starts (threads inherit that), stay pending, and one thread reads them from a signalfd(2). It waits in [`poll`], so a
//! [bell](super::wake) can end its waiting: a thread that looked up now and then instead would make every stop wait for its next look.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::cvt;
use super::poll::{self, PollFd};
use super::wake::Wake;

const SIGHUP: c_int = 1;
const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SIGXFSZ: c_int = 25;
const SIG_BLOCK: c_int = 0;
const SFD_CLOEXEC: c_int = 0o2_000_000;
const SFD_NONBLOCK: c_int = 0o4000;

/// The length of `struct signalfd_siginfo`, which begins with the signal's number in 32 bits.
const INFO_BYTES: usize = 128;

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

impl Signal {
    /// Its number, which is the same on all machines that [`sys`](super) knows.
    pub fn number(self) -> u8 {
        match self {
            Signal::HangUp => SIGHUP as u8,
            Signal::Interrupt => SIGINT as u8,
            Signal::Terminate => SIGTERM as u8,
        }
    }
}

/// `sigset_t`: 128 bytes in glibc and musl.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Set([u64; 16]);

unsafe extern "C" {
    fn pthread_sigmask(how: c_int, set: *const Set, old: *mut Set) -> c_int;
    fn signalfd(fd: c_int, set: *const Set, flags: c_int) -> c_int;
}

/// The blocked signals, to be waited for; proof that they are blocked.
#[derive(Debug)]
pub struct Signals(File);

impl Signals {
    /// Blocks the three signals for this thread and those it starts from now on: call it first in `main`.
    ///
    /// A fourth is blocked and never read: a write beyond the largest file that this process may make is to fail, not to kill it.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM`: no descriptor to read them from.
    pub fn block() -> io::Result<Signals> {
        let bits = [SIGHUP, SIGINT, SIGTERM].iter().fold(0, |bits, signal| bits | 1 << (signal - 1));
        let (mut set, mut blocked) = (Set([0; 16]), Set([0; 16]));
        set.0[0] = bits;
        blocked.0[0] = bits | 1 << (SIGXFSZ - 1);
        // SAFETY: `blocked` outlives the call, which only reads it; the old mask is not asked for.
        match unsafe { pthread_sigmask(SIG_BLOCK, &raw const blocked, ptr::null_mut()) } {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        // SAFETY: `set` outlives the call, which only reads it; -1 asks for a new descriptor.
        let fd = cvt(unsafe { signalfd(-1, &raw const set, SFD_CLOEXEC | SFD_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        Ok(Signals(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Waits for the next of them; `None` if `over` rings first.
    ///
    /// # Errors
    /// Those of poll(2) and read(2); being interrupted (a stopped process that continues) is none.
    pub fn wait(&self, over: &Wake) -> io::Result<Option<Signal>> {
        loop {
            let mut fds = [PollFd::readable(self.0.as_fd()), PollFd::readable(over.as_fd())];
            poll::wait(&mut fds, Duration::MAX)?;
            if fds[0].is_ready() {
                match self.read() {
                    Ok(signal) => return Ok(Some(signal)),
                    // Another thread was quicker.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if fds[1].is_ready() {
                return Ok(None);
            }
        }
    }

    fn read(&self) -> io::Result<Signal> {
        let mut info = [0; INFO_BYTES];
        (&self.0).read_exact(&mut info)?;
        Ok(match u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as c_int {
            SIGHUP => Signal::HangUp,
            SIGINT => Signal::Interrupt,
            _ => Signal::Terminate,
        })
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
    fn reads_what_is_pending() {
        let signals = Signals::block().unwrap();
        let over = Wake::new().unwrap();
        for signal in [Signal::HangUp, Signal::Interrupt, Signal::Terminate] {
            // SAFETY: no pointers are passed, and the signal is blocked.
            assert_eq!(unsafe { raise(signal.number().into()) }, 0);
            assert_eq!(signals.wait(&over).unwrap(), Some(signal));
        }
    }

    /// A signal that is there is not lost to a bell that rings as well.
    #[test]
    fn a_bell_ends_the_waiting() {
        let signals = Signals::block().unwrap();
        let over = Wake::new().unwrap();
        over.ring();
        // SAFETY: as above.
        assert_eq!(unsafe { raise(SIGINT) }, 0);
        assert_eq!(signals.wait(&over).unwrap(), Some(Signal::Interrupt));
        assert_eq!(signals.wait(&over).unwrap(), None);
        over.silence();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| signals.wait(&over).unwrap());
            over.ring();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
