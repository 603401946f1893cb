//! What carries a connection.
//!
//! ```text
//!     TCP, to anywhere            Unix, to this machine            a pair of Unix sockets, with a command at the other end
//! ```
//!
//! A [`Transport`] holds one of a closed list of sockets, rather than a trait: the protocol needs a few abilities beyond `Read` and
//! `Write` (half a shutdown, timeouts, a look without waiting, sendfile), and what can do them is known. Nobody above sees which one it
//! is. A `Link` is a transport whose reads take a deadline.
//!
//! Traps:
//! - A timeout is set on the socket, for every read from then on, by a system call of its own. `Link` remembers what it set and leaves
//!   it when it is about right; a read that wakes too early looks at its deadline and waits again.
//! - A read that times out says `WouldBlock` on Unix and `TimedOut` elsewhere. To callers both are `TimedOut`.
//! - Where a command carries the connection, its end is the connection's end, whatever the reason. A command that failed must not look
//!   like a server that has hung up: reads and writes ask how it ended.

use super::command::{CommandFailed, Running};
use super::deadline::Deadline;
use crate::sys::poll::{PollFd, wait};
use crate::sys::sendfile::send_file;
use crate::sys::socket::{send_now, set_low_water, set_user_timeout};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// A stream of bytes in both directions. A clone is the same stream, for another thread, and costs no descriptor.
#[derive(Clone, Debug)]
pub struct Transport {
    socket: Socket,
    /// What is at the other end of a pair of sockets. It ends with the last clone.
    command: Option<Arc<Running>>,
}

#[derive(Clone, Debug)]
enum Socket {
    Tcp(Arc<TcpStream>),
    Unix(Arc<UnixStream>),
}

impl Transport {
    /// A connection that a command carries.
    pub(super) fn carried_by(stream: UnixStream, command: Running) -> Transport {
        Transport { socket: Socket::Unix(Arc::new(stream)), command: Some(Arc::new(command)) }
    }

    /// Reads once.
    pub fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &self.socket {
            Socket::Tcp(stream) => (&mut &**stream).read(out),
            Socket::Unix(stream) => (&mut &**stream).read(out),
        };
        match read {
            Ok(0) if !out.is_empty() => self.failure().map_or(Ok(0), Err),
            read => read.map_err(|error| self.explained(error)),
        }
    }

    /// Writes once, from several places.
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &self.socket {
            Socket::Tcp(stream) => (&mut &**stream).write_vectored(parts),
            Socket::Unix(stream) => (&mut &**stream).write_vectored(parts),
        };
        written.map_err(|error| self.explained(error))
    }

    /// Writes once, up to `count` bytes of a file from `offset` on; 0 means that the file ends there. The kernel may still refer to the
    /// file when this has returned (see [`sendfile`](crate::sys::sendfile)).
    pub(super) fn send_file(&self, file: &File, offset: u64, count: u64) -> io::Result<u64> {
        let sent = send_file(self.as_fd(), file.as_fd(), offset, count);
        sent.map_err(|error| self.explained(error))
    }

    /// Writes as much as can be written without waiting, beside a thread that may be waiting. `WouldBlock`: nothing.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self.as_fd(), bytes)
    }

    /// The error that a read or a write has met, or the one behind it.
    fn explained(&self, error: io::Error) -> io::Error {
        if is_end(&error) { self.failure().unwrap_or(error) } else { error }
    }

    /// Why the connection ended, if that is the fault of a command.
    fn failure(&self) -> Option<io::Error> {
        self.command.as_ref()?.failure().map(CommandFailed::into)
    }

    /// Ends one direction or both, for every clone. Wakes a thread that waits in a read.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let (Some(command), Shutdown::Both) = (&self.command, how) {
            command.dismiss();
        }
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        }
    }

    /// How long a read may wait from now on; not zero.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Socket::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// How long a write may wait from now on; not zero.
    pub fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Socket::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    /// How long what was written may wait for the peer's system to confirm it, before the connection counts as broken. On one machine
    /// nothing is waited for.
    pub fn set_unconfirmed_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => set_user_timeout(stream.as_fd(), timeout),
            Socket::Unix(_) => Ok(()),
        }
    }

    /// Lets reads wait until so many bytes are there, or no more can come.
    fn set_low_water(&self, bytes: usize) -> io::Result<()> {
        set_low_water(self.as_fd(), bytes)
    }

    /// Sends what is written at once. The writers above put into one write what belongs together, so waiting for more gains nothing.
    pub fn set_prompt(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_nodelay(true),
            Socket::Unix(_) => Ok(()),
        }
    }

    /// The peer's name, for logs.
    pub fn peer(&self) -> String {
        match &self.socket {
            Socket::Tcp(stream) => match stream.peer_addr() {
                Ok(address) => address.to_string(),
                Err(_) => "unknown peer".to_owned(),
            },
            Socket::Unix(_) => "unix socket".to_owned(),
        }
    }

    /// Whether nothing can come or go any more, as after a [`shutdown`](Transport::shutdown) of both directions, by whoever. A peer that
    /// has only said all that it had to say is still there.
    pub fn is_over(&self) -> io::Result<bool> {
        wait(&mut [PollFd::ended(self.as_fd())], Duration::ZERO)
    }

    /// Whether a read would return at once, be it with bytes, with the end, or with an error.
    pub fn is_readable(&self) -> io::Result<bool> {
        wait(&mut [PollFd::readable(self.as_fd())], Duration::ZERO)
    }
}

/// For what goes past `Read` and `Write`: sendfile, poll.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Transport {
        Transport { socket: Socket::Tcp(Arc::new(stream)), command: None }
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Transport {
        Transport { socket: Socket::Unix(Arc::new(stream)), command: None }
    }
}

/// Whether the other end is gone.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

/// A transport whose reads take a deadline.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    /// The read timeout that was set last.
    timeout: Option<Duration>,
    /// For how many bytes reads wait.
    low_water: usize,
}

impl Link {
    pub(super) fn new(transport: Transport) -> Link {
        Link { transport, timeout: None, low_water: 1 }
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

    /// Waits until something can be read, be it the end.
    pub(super) fn wait_for_bytes(&self, deadline: Deadline) -> io::Result<()> {
        let remaining = deadline.remaining().ok_or(ErrorKind::TimedOut)?;
        match wait(&mut [PollFd::readable(self.transport.as_fd())], remaining)? {
            true => Ok(()),
            false => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Lets reads wait for so many bytes from now on. Before the deadline they return with less only if that is all.
    pub(super) fn set_low_water(&mut self, bytes: usize) -> io::Result<()> {
        if self.low_water != bytes {
            self.transport.set_low_water(bytes)?;
            self.low_water = bytes;
        }
        Ok(())
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
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_set_only_when_it_has_to_be() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let timeout = here.try_clone().unwrap();
        let mut link = Link::new(here.into());
        let mut read = |seconds| {
            there.write_all(b"a").unwrap();
            link.read(&mut [0], Deadline::after(Duration::from_secs(seconds))).unwrap();
            timeout.read_timeout().unwrap()
        };
        let set = read(10);
        assert_eq!(read(9), set);
        assert_ne!(read(1), set);
    }
}
