//! What carries a connection.
//!
//! A [`Transport`] is a closed list of streams, rather than a trait: the protocol needs a few abilities beyond `Read` and `Write` (half
//! a shutdown, timeouts, a look without waiting), and what can do them is known. A `Link` is a transport whose reads take a deadline.
//!
//! Traps:
//! - A timeout is set on the socket, for every read from then on, by a system call of its own. `Link` remembers what it set and leaves
//!   it when it is about right; a read that wakes too early looks at its deadline and waits again.
//! - A read that times out says `WouldBlock` on Unix and `TimedOut` elsewhere. To callers both are `TimedOut`.

use super::deadline::Deadline;
use crate::sys::socket::set_user_timeout;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// A stream of bytes in both directions.
#[derive(Debug)]
pub enum Transport {
    /// TCP, to anywhere.
    Tcp(TcpStream),
}

impl Transport {
    /// Reads once.
    pub fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => (&mut &*stream).read(out),
        }
    }

    /// Writes once, from several places.
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => (&mut &*stream).write_vectored(parts),
        }
    }

    /// Ends one direction or both, for every clone. Wakes a thread that waits in a read.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.shutdown(how),
        }
    }

    /// How long a read may wait from now on; not zero.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// How long a write may wait from now on; not zero.
    pub fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    /// How long what was written may wait for the peer's system to confirm it, before the connection counts as broken.
    pub fn set_unconfirmed_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => set_user_timeout(stream.as_fd(), timeout),
        }
    }

    /// Sends what is written at once. The writers above put into one write what belongs together, so waiting for more gains nothing.
    pub fn set_prompt(&self) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.set_nodelay(true),
        }
    }

    /// The same stream once more, for another thread.
    pub fn try_clone(&self) -> io::Result<Transport> {
        match self {
            Transport::Tcp(stream) => stream.try_clone().map(Transport::Tcp),
        }
    }

    /// The peer's name, for logs.
    pub fn peer(&self) -> String {
        match self {
            Transport::Tcp(stream) => match stream.peer_addr() {
                Ok(address) => address.to_string(),
                Err(_) => "unknown peer".to_owned(),
            },
        }
    }

    /// Whether a read would return at once, be it with bytes, with the end, or with an error.
    ///
    /// Clones share the mode that this switches for a moment, so no other thread may be using one.
    pub fn is_readable(&self) -> io::Result<bool> {
        match self {
            Transport::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                let peeked = stream.peek(&mut [0]);
                stream.set_nonblocking(false)?;
                Ok(!matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock))
            }
        }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Transport {
        Transport::Tcp(stream)
    }
}

/// A transport whose reads take a deadline.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    /// The read timeout that was set last.
    timeout: Option<Duration>,
}

impl Link {
    pub(super) fn new(transport: Transport) -> Link {
        Link { transport, timeout: None }
    }

    /// Reads once, and waits no longer than the deadline tells, or an eighth more.
    pub(super) fn read(&mut self, out: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            let remaining = deadline.remaining().ok_or(ErrorKind::TimedOut)?;
            self.set_timeout(remaining)?;
            match self.transport.read(out) {
                Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn set_timeout(&mut self, wanted: Duration) -> io::Result<()> {
        let about_right = wanted / 2..=wanted + wanted / 8;
        if self.timeout.is_none_or(|set| !about_right.contains(&set)) {
            self.transport.set_read_timeout(wanted)?;
            self.timeout = Some(wanted);
        }
        Ok(())
    }
}

/// Whether a read or a write waited as long as it was allowed to.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
