//! The writing side of a stream: what is written together leaves as one chunk.
//!
//! Intermediaries and simple clients hand a chunk on as soon as they have it, so each flush is one, and none is kept back. A stream to an
//! HTTP/1.0 client is not chunked; the end of the connection ends it.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use common::limits::STREAM_FLUSH_BYTES;
use common::net::conn::Conn;
use common::wire::http::chunk::{CHUNK_TAIL, chunk_head, last_chunk};
use common::wire::http::fields::Fields;
use common::wire::sse;

/// How the end of the stream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// By a last chunk.
    Chunks,
    /// By the end of the connection.
    Close,
}

/// Writes a stream.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    conn: &'a mut Conn,
    delimiter: Delimiter,
    waiting: Vec<u8>,
    flushed: Instant,
}

impl<'a> Outlet<'a> {
    /// Writes to `conn`, after the head of the answer.
    pub(crate) fn new(conn: &'a mut Conn, delimiter: Delimiter) -> Outlet<'a> {
        Outlet { conn, delimiter, waiting: Vec::new(), flushed: Instant::now() }
    }

    /// Appends, and flushes when much is waiting.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        if STREAM_FLUSH_BYTES <= self.waiting.len() { self.flush() } else { Ok(()) }
    }

    /// Whether something was pushed and not flushed yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nothing was written for so long, for a test that can't wait.
    #[cfg(test)]
    pub(crate) fn pretend_silence(&mut self, time: Duration) {
        self.flushed = Instant::now().checked_sub(time).expect("the machine runs for longer");
    }

    /// Whether nothing was written for so long.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        time <= self.flushed.elapsed()
    }

    /// Writes what is waiting, as one chunk.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.flushed = Instant::now();
        let size = chunk_head(self.waiting.len() as u64);
        let (head, tail) = match self.delimiter {
            Delimiter::Chunks => (&size[..], CHUNK_TAIL),
            Delimiter::Close => (&[][..], &[][..]),
        };
        self.conn.write_parts(&mut [head, &self.waiting, tail].map(IoSlice::new))?;
        self.waiting.clear();
        Ok(())
    }

    /// Shows that the server is alive if nothing was written for so long.
    pub(crate) fn beat_after(&mut self, quiet: Duration) -> io::Result<()> {
        if !self.is_silent_for(quiet) {
            return Ok(());
        }
        if self.waiting.is_empty() {
            self.waiting.extend_from_slice(sse::HEARTBEAT);
        }
        self.flush()
    }

    /// Fails if the connection has ended both ways, be it that the client is gone or that it was hung up on.
    pub(crate) fn check_open(&self) -> io::Result<()> {
        match self.conn.transport().is_over()? {
            true => Err(io::ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }

    /// Whether the client has hung up, as far as can be told without writing. For streams that have no heartbeat.
    pub(crate) fn is_deserted(&self) -> bool {
        // All of the request is read. What can still come is the end, or something that nobody asked for.
        !matches!(self.conn.transport().is_readable(), Ok(false))
    }

    /// Ends the stream in good order.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self.delimiter {
            Delimiter::Chunks => {
                let last = last_chunk(&Fields::new()).expect("there are no trailers to refuse");
                self.conn.write_all(&last)
            }
            Delimiter::Close => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use common::limits::HEARTBEAT;

    use super::*;

    /// What has been written so far.
    fn written(mut peer: &UnixStream) -> Vec<u8> {
        peer.set_nonblocking(true).unwrap();
        let mut came = Vec::new();
        // It ends with the error that there is no more now.
        let _ = peer.read_to_end(&mut came);
        came
    }

    #[test]
    fn what_is_pushed_leaves_when_it_is_much() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let mut outlet = Outlet::new(&mut conn, Delimiter::Close);
        outlet.push(&vec![b'x'; STREAM_FLUSH_BYTES - 1]).unwrap();
        assert!(outlet.is_waiting() && written(&there).is_empty());
        outlet.push(b"y").unwrap();
        assert!(!outlet.is_waiting());
        assert_eq!(written(&there).len(), STREAM_FLUSH_BYTES);
    }

    #[test]
    fn a_heartbeat_comes_when_nothing_else_has() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let mut outlet = Outlet::new(&mut conn, Delimiter::Close);
        outlet.beat_after(HEARTBEAT).unwrap();
        assert!(written(&there).is_empty());
        outlet.pretend_silence(HEARTBEAT);
        outlet.beat_after(HEARTBEAT).unwrap();
        assert_eq!(written(&there), sse::HEARTBEAT);
        outlet.beat_after(HEARTBEAT).unwrap();
        assert!(written(&there).is_empty(), "it was just said");
    }
}
