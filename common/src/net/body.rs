//! The body of one message, read from its connection.
//!
//! A body borrows the connection, so nobody can read the next head before this one is done with; and a connection remembers whether it
//! was read to its end, which decides if it can be used again.
//!
//! Small reads go through the connection's buffer, large ones straight from the socket to where the caller wants the bytes. Where more
//! messages follow, even those go through it, if it is large enough to bring those along.
//!
//! A server's reads wait until it is worth waking up: for [`BODY_PIECE_BYTES`], or for what is sure to come. So many who send byte by byte
//! take little of its time.
//!
//! Errors come as `io::Error`, because that is what `Read` has. The ones that are about the message rather than the connection hold a
//! [`BodyError`]. All of them last: reading again gives the same error again, except after a timeout, where it waits again.

use super::conn::Conn;
use super::deadline::Deadline;
use crate::limits::{BODY_GRACE, BODY_PIECE_BYTES, BODY_RATE_MIN, DRAIN_TIME, READ_STALL};
use crate::wire::http::chunk::{Chunk, ChunkDecoder, ChunkError};
use crate::wire::http::fields::Fields;
use crate::wire::http::framing::Framing;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

/// What a server sends before it reads a body that the client wants to be asked for.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The connection ended first.
    Truncated,
    /// It is larger than the reader allows.
    TooLarge,
    /// The chunks are malformed.
    Malformed(ChunkError),
}

impl BodyError {
    /// The status a server answers with.
    pub fn status(&self) -> u16 {
        match self {
            BodyError::Truncated => 400,
            BodyError::TooLarge => 413,
            BodyError::Malformed(error) => error.status(),
        }
    }

    /// The status for an error that reading a body gave; `None` if the connection is broken and nobody is left to be answered.
    pub fn status_of(error: &io::Error) -> Option<u16> {
        if error.kind() == ErrorKind::TimedOut {
            return Some(408);
        }
        let inner = error.get_ref()?.downcast_ref::<BodyError>()?;
        Some(inner.status())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Truncated => f.write_str("the connection ended within the body"),
            BodyError::TooLarge => f.write_str("the body is too large"),
            BodyError::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> io::Error {
        let kind = match error {
            BodyError::Truncated => ErrorKind::UnexpectedEof,
            BodyError::TooLarge => ErrorKind::FileTooLarge,
            BodyError::Malformed(_) => ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// How slow the sender of a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// What servers ask of clients: [`BODY_RATE_MIN`] on average after [`BODY_GRACE`], and no pause longer than [`READ_STALL`].
    Minimum,
    /// What clients ask of servers: no pause longer than this. An event stream has no rate.
    Stall(Duration),
}

impl Pace {
    /// How much longer a reader waits that has got `received` bytes and spent `waited` waiting for them.
    ///
    /// Only waiting counts. The time that the reader itself takes, with a slow disk say, is not held against the sender.
    fn patience(self, received: u64, waited: Duration) -> Duration {
        match self {
            Pace::Minimum => {
                let earned = Duration::from_secs(received / BODY_RATE_MIN);
                READ_STALL.min((BODY_GRACE + earned).saturating_sub(waited))
            }
            Pace::Stall(longest) => longest,
        }
    }
}

/// What is still to come.
#[derive(Debug)]
enum State {
    /// So many bytes, at least one.
    Length { left: u64 },
    /// So many bytes of a chunk, and then more margins.
    Chunked { decoder: ChunkDecoder, left: u64 },
    /// Whatever comes.
    UntilClose,
    /// Nothing.
    Done,
}

/// The body of one message.
#[derive(Debug)]
pub struct Body<'a> {
    conn: &'a mut Conn,
    state: State,
    pace: Pace,
    limit: u64,
    /// Whether the client waits to be told that it may send.
    owes_continue: bool,
    received: u64,
    waited: Duration,
    /// A deadline for the whole, on top of the pace.
    deadline: Option<Deadline>,
    trailers: Fields,
}

impl<'a> Body<'a> {
    /// The body that follows the head just read from `conn`.
    pub fn new(conn: &'a mut Conn, framing: Framing, pace: Pace) -> Body<'a> {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked { decoder: ChunkDecoder::new(), left: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        if !matches!(state, State::Done) {
            conn.begin_body();
        }
        Body {
            conn,
            state,
            pace,
            limit: u64::MAX,
            owes_continue: false,
            received: 0,
            waited: Duration::ZERO,
            deadline: None,
            trailers: Fields::new(),
        }
    }

    /// Allows at most so many bytes. What is announced to be larger is refused before its first byte is read.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Body<'a> {
        self.limit = bytes;
        self
    }

    /// The same body from a sender that may be this slow.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Body<'a> {
        self.pace = pace;
        self
    }

    /// Sends `100 (Continue)` before the first wait for the body, for a request that has `Expect: 100-continue`. A server that answers
    /// without reading the body thereby never sends it; nor does one whose client has begun to send without waiting.
    #[must_use]
    pub fn with_continue(mut self) -> Body<'a> {
        self.owes_continue = self.conn.buffered().is_empty();
        self
    }

    /// Fields that came after a chunked body; empty until it is finished.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether the body was read to its end. A chunked one ends with the read that returns 0.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads and drops what is left if it is at most `limit` bytes and comes within [`DRAIN_TIME`]. Whether it then is finished; if not,
    /// the connection can't be used again.
    pub fn drain(&mut self, limit: u64) -> io::Result<bool> {
        let hopeless = match self.state {
            State::Length { left } => limit < left,
            _ => false,
        };
        // A client that waits to be asked for its body may send it or not: what it would send next can't be known.
        if !self.is_finished() && (hopeless || self.owes_continue) {
            return Ok(false);
        }
        self.deadline = Some(Deadline::after(DRAIN_TIME));
        let mut scratch = [0; 4096];
        let mut drained = 0;
        while !self.is_finished() && drained <= limit {
            match self.read(&mut scratch) {
                Ok(count) => drained += count as u64,
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(self.is_finished())
    }

    /// Waits until it is worth reading, without a buffer for what comes: who sends nothing costs next to nothing.
    ///
    /// # Errors
    /// As for a read.
    pub fn wait_for_piece(&mut self) -> io::Result<()> {
        if self.is_finished() || !self.conn.buffered().is_empty() {
            return Ok(());
        }
        self.conn.rest();
        self.wait(|conn, deadline| conn.wait_for_bytes(deadline))
    }

    /// Content into `out`, at most `most` bytes: from the buffer if there is any, else from the socket. 0 is the connection's end.
    fn take(&mut self, out: &mut [u8], most: u64) -> io::Result<usize> {
        let wanted = out.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let out = &mut out[..wanted];
        if self.conn.buffered().is_empty() {
            if self.conn.direct_bytes() <= wanted {
                self.conn.rest();
                let count = self.wait(|conn, deadline| conn.read_directly(out, deadline))?;
                self.received += count as u64;
                return Ok(count);
            }
            self.wait(Conn::fill)?;
        }
        let buffered = self.conn.buffered();
        let count = wanted.min(buffered.len());
        out[..count].copy_from_slice(&buffered[..count]);
        self.conn.consume(count);
        self.received += count as u64;
        Ok(count)
    }

    /// Waits for bytes, as long as the pace allows.
    fn wait<T>(&mut self, read: impl FnOnce(&mut Conn, Deadline) -> io::Result<T>) -> io::Result<T> {
        if self.owes_continue {
            self.conn.write_all(CONTINUE)?;
            self.owes_continue = false;
        }
        self.conn.set_low_water(self.low_water())?;
        let begun = Instant::now();
        let paced = Deadline::after(self.pace.patience(self.received, self.waited));
        let result = read(self.conn, self.deadline.map_or(paced, |deadline| deadline.min(paced)));
        self.waited += begun.elapsed();
        result
    }

    /// For how many bytes a read waits.
    ///
    /// Half of what is sure to come: a read that took something before it had to wait wakes only when as much as this has come besides
    /// (see [`set_low_water`](crate::sys::socket::set_low_water)), and that must not be more than there will be.
    fn low_water(&self) -> usize {
        let sure = match (self.pace, &self.state) {
            (Pace::Minimum, State::Length { left } | State::Chunked { left, .. }) => *left,
            _ => 1,
        };
        usize::try_from(sure.div_ceil(2)).unwrap_or(usize::MAX).clamp(1, BODY_PIECE_BYTES)
    }

    /// How many bytes are still to come, if the message says so.
    pub fn announced(&self) -> Option<u64> {
        match self.state {
            State::Length { left } => Some(left),
            State::Done => Some(0),
            State::Chunked { .. } | State::UntilClose => None,
        }
    }

    /// Refuses what is announced to exceed the limit.
    fn check_limit(&self, announced: u64) -> io::Result<()> {
        if self.limit.saturating_sub(self.received) < announced {
            Err(BodyError::TooLarge.into())
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.state = State::Done;
        self.conn.end_body()
    }

    fn read_length(&mut self, out: &mut [u8], left: u64) -> io::Result<usize> {
        self.check_limit(left)?;
        let count = some(self.take(out, left)?)?;
        match left - count as u64 {
            0 => self.finish()?,
            left => self.state = State::Length { left },
        }
        Ok(count)
    }

    fn read_until_close(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.take(out, u64::MAX)?;
        if self.limit < self.received {
            return Err(BodyError::TooLarge.into());
        }
        if count == 0 {
            self.finish()?;
        }
        Ok(count)
    }

    fn read_chunked(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = match self.chunk_left()? {
            0 => return Ok(0),
            left => left,
        };
        self.check_limit(left)?;
        let count = some(self.take(out, left)?)?;
        if let State::Chunked { left, .. } = &mut self.state {
            *left -= count as u64;
        }
        Ok(count)
    }

    /// What is left of the current chunk, or of the next one; 0 if there is none, and the body is finished.
    fn chunk_left(&mut self) -> io::Result<u64> {
        loop {
            let State::Chunked { decoder, left } = &mut self.state else { return Ok(0) };
            if *left != 0 {
                return Ok(*left);
            }
            match decoder.step(self.conn.buffered()).map_err(BodyError::Malformed)? {
                Some((Chunk::Data(size), used)) => {
                    *left = size;
                    self.conn.consume(used);
                }
                Some((Chunk::Last(trailers), used)) => {
                    self.trailers = trailers;
                    self.conn.consume(used);
                    self.finish()?;
                }
                None => {
                    some(self.wait(Conn::fill)?)?;
                }
            }
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        match self.state {
            State::Done => Ok(0),
            State::Length { left } => self.read_length(out, left),
            State::Chunked { .. } => self.read_chunked(out),
            State::UntilClose => self.read_until_close(out),
        }
    }
}

/// Where the body tells its own end, the connection's end is too early.
fn some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(BodyError::Truncated.into()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::super::conn::DIRECT_BYTES;
    use super::super::conn::tests::{pair, soon, watched_pair};
    use super::*;
    use std::io::Write;
    use std::net::Shutdown;

    const PACE: Pace = Pace::Stall(Duration::from_secs(10));

    fn text(body: &mut Body<'_>) -> io::Result<String> {
        let mut text = String::new();
        body.read_to_string(&mut text).map(|_| text)
    }

    /// Reads a body which arrives all at once or byte by byte, with another message after it, in reads of many sizes.
    #[track_caller]
    fn check(framing: Framing, sent: &str, want: &str) {
        let sizes = [1, 2, 3, 100, DIRECT_BYTES * 2];
        for (size, is_wide) in sizes.into_iter().flat_map(|size| [(size, false), (size, true)]) {
            let (mut conn, mut peer) = pair();
            if is_wide {
                conn.widen();
            }
            peer.write_all(sent.as_bytes()).unwrap();
            peer.write_all(b"next").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut body = Body::new(&mut conn, framing, PACE);
            let (mut got, mut piece) = (Vec::new(), vec![0; size]);
            loop {
                match body.read(&mut piece).unwrap() {
                    0 => break,
                    count => got.extend_from_slice(&piece[..count]),
                }
            }
            assert!(body.is_finished());
            assert_eq!(got.escape_ascii().to_string(), want.as_bytes().escape_ascii().to_string());
            assert!(conn.is_between_messages());
            while conn.fill(soon()).unwrap() != 0 {}
            assert_eq!(conn.buffered(), b"next", "in reads of {size}");
        }
    }

    #[test]
    fn bodies_end_where_they_say() {
        check(Framing::None, "", "");
        check(Framing::Length(0), "", "");
        check(Framing::Length(5), "hello", "hello");
        check(Framing::Chunked, "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello");
        let large = "x".repeat(100_000);
        check(Framing::Length(100_000), &large, &large);
        check(Framing::Chunked, &format!("186a0\r\n{large}\r\n0\r\n\r\n"), &large);
    }

    #[test]
    fn until_close() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"hello").unwrap();
        drop(peer);
        assert_eq!(text(&mut Body::new(&mut conn, Framing::UntilClose, PACE)).unwrap(), "hello");
    }

    #[test]
    fn a_missing_rest_is_an_error() {
        for (framing, sent) in [
            (Framing::Length(6), "hello"),
            (Framing::Chunked, "5\r\nhel"),
            (Framing::Chunked, "5\r\nhello\r\n"),
            (Framing::Chunked, "5\r\nhello\r\n0\r\n"),
            (Framing::Chunked, ""),
        ] {
            let (mut conn, mut peer) = pair();
            peer.write_all(sent.as_bytes()).unwrap();
            drop(peer);
            let error = text(&mut Body::new(&mut conn, framing, PACE)).unwrap_err();
            assert_eq!(
                (error.kind(), BodyError::status_of(&error)),
                (ErrorKind::UnexpectedEof, Some(400)),
                "{sent:?}"
            );
            assert!(!conn.is_between_messages());
        }
    }

    #[test]
    fn malformed_chunks_stay_malformed() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"0x5\r\nhello\r\n").unwrap();
        let mut body = Body::new(&mut conn, Framing::Chunked, PACE);
        for _ in 0..2 {
            assert_eq!(text(&mut body).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn limits() {
        for (framing, sent) in [
            (Framing::Length(5), "hello"),
            (Framing::Chunked, "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
            (Framing::UntilClose, "hello"),
        ] {
            for (limit, fits) in [(5, true), (4, false)] {
                let (mut conn, mut peer) = pair();
                peer.write_all(sent.as_bytes()).unwrap();
                drop(peer);
                let result = text(&mut Body::new(&mut conn, framing, PACE).with_limit(limit));
                match result {
                    Ok(text) => assert!(fits && text == "hello"),
                    Err(error) => assert!(!fits && BodyError::status_of(&error) == Some(413), "{error}"),
                }
            }
        }
    }

    #[test]
    fn trailers() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"1\r\na\r\n0\r\nDigest: b\r\n\r\n").unwrap();
        let mut body = Body::new(&mut conn, Framing::Chunked, PACE);
        assert!(body.trailers().is_empty());
        assert_eq!(text(&mut body).unwrap(), "a");
        assert_eq!(body.trailers().get("digest"), Some("b"));
    }

    #[test]
    fn patience() {
        let seconds = Duration::from_secs;
        let minimum = |received, waited| Pace::Minimum.patience(received, seconds(waited));
        assert_eq!(minimum(0, 0), BODY_GRACE);
        assert_eq!(minimum(0, 10), Duration::ZERO);
        assert_eq!(minimum(BODY_RATE_MIN * 5, 10), seconds(5));
        assert_eq!(minimum(BODY_RATE_MIN * 5, 100), Duration::ZERO);
        assert_eq!(minimum(u64::MAX, 0), READ_STALL);
        assert_eq!(Pace::Stall(seconds(3)).patience(0, seconds(1000)), seconds(3));
    }

    /// Has a body come byte by byte to a server that reads it in pieces. How much came.
    #[track_caller]
    fn read_what_drips(framing: Framing, sent: &str, piece: usize) -> usize {
        let (mut conn, mut peer) = pair();
        peer.set_nodelay(true).unwrap();
        let begun = Instant::now();
        let came = std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut body = Body::new(&mut conn, framing, Pace::Minimum);
                let mut came = 0;
                body.wait_for_piece().unwrap();
                loop {
                    match body.read(&mut vec![0; piece]).unwrap() {
                        0 => return came,
                        count => came += count,
                    }
                }
            });
            for byte in sent.as_bytes() {
                peer.write_all(&[*byte]).unwrap();
            }
            // The other end stays open, so that nothing but the bytes themselves ends a wait.
            reader.join().unwrap()
        });
        assert!(begun.elapsed() < BODY_GRACE, "{framing:?} {} was waited for in vain", sent.len());
        came
    }

    #[test]
    fn no_read_waits_for_more_than_will_come() {
        for length in (1..20).chain([100, 101, 1023, 1024, 1025, 2047, 4095, 4096, 4097, 8191, 8193]) {
            let content = "x".repeat(length);
            for piece in [1, 100, BODY_PIECE_BYTES, 3 * BODY_PIECE_BYTES] {
                assert_eq!(read_what_drips(Framing::Length(length as u64), &content, piece), length);
            }
            let chunks = format!("{length:x}\r\n{content}\r\n1\r\ny\r\n0\r\n\r\n");
            assert_eq!(read_what_drips(Framing::Chunked, &chunks, BODY_PIECE_BYTES), length + 1);
        }
    }

    /// The next message may be shorter than what the last body was waited for.
    #[test]
    fn after_a_body_every_byte_counts() {
        let (mut conn, mut peer) = pair();
        peer.write_all(&[b'x'; 20_000]).unwrap();
        let mut body = Body::new(&mut conn, Framing::Length(20_000), Pace::Minimum);
        assert_eq!(text(&mut body).unwrap().len(), 20_000);
        for rested in [false, true] {
            if rested {
                conn.rest();
            }
            peer.write_all(b"n").unwrap();
            let begun = Instant::now();
            assert_eq!(conn.fill(soon()).unwrap(), 1);
            assert!(begun.elapsed() < BODY_GRACE);
            conn.consume(1);
        }
    }

    /// A few bytes end no wait, as long as there is time for more; but they count.
    #[test]
    fn what_drips_is_read_when_its_time_is_up() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"xyz").unwrap();
        let mut body = Body::new(&mut conn, Framing::Length(20_000), Pace::Minimum);
        let (begun, time) = (Instant::now(), Duration::from_millis(50));
        body.deadline = Some(Deadline::after(time));
        assert_eq!(body.read(&mut [0; BODY_PIECE_BYTES]).unwrap(), 3);
        assert!(time / 2 <= begun.elapsed(), "it was read before");
        assert_eq!(body.read(&mut [0; BODY_PIECE_BYTES]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(body.wait_for_piece().unwrap_err().kind(), ErrorKind::TimedOut);
    }

    /// A chunk for each byte takes six times as many bytes: they earn no time, and waiting for them is waiting.
    #[test]
    fn only_content_earns_time() {
        let (mut conn, mut peer) = pair();
        peer.write_all("1\r\nx\r\n".repeat(100).as_bytes()).unwrap();
        let mut body = Body::new(&mut conn, Framing::Chunked, Pace::Minimum);
        body.read_exact(&mut [0; 100]).unwrap();
        assert_eq!(body.received, 100);
        let (before, time) = (body.waited, Duration::from_millis(50));
        body.deadline = Some(Deadline::after(time));
        assert_eq!(body.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(before + time / 2 <= body.waited, "{:?} is all that counts", body.waited - before);
    }

    #[test]
    fn a_pause_is_a_timeout_and_may_be_waited_out() {
        let (mut conn, mut peer) = pair();
        let mut body = Body::new(&mut conn, Framing::Length(1), Pace::Stall(Duration::from_millis(20)));
        let error = text(&mut body).unwrap_err();
        assert_eq!((error.kind(), BodyError::status_of(&error)), (ErrorKind::TimedOut, Some(408)));
        peer.write_all(b"a").unwrap();
        assert_eq!(text(&mut body).unwrap(), "a");
    }

    #[test]
    fn the_client_is_told_to_continue_when_the_body_is_read() {
        let (mut conn, mut peer) = pair();
        let mut body = Body::new(&mut conn, Framing::Length(2), PACE).with_continue();
        assert!(!body.drain(1000).unwrap(), "nothing was asked for, so nothing can be drained");
        let client = std::thread::spawn(move || {
            let mut told = vec![0; CONTINUE.len()];
            peer.read_exact(&mut told).unwrap();
            peer.write_all(b"ok").unwrap();
            (told, peer)
        });
        assert_eq!(text(&mut body).unwrap(), "ok");
        assert_eq!(client.join().unwrap().0, CONTINUE);
    }

    #[test]
    fn nobody_is_told_to_send_what_is_too_large() {
        let (mut conn, mut peer) = pair();
        let mut body = Body::new(&mut conn, Framing::Length(2), PACE).with_continue().with_limit(1);
        assert!(text(&mut body).is_err());
        drop(conn);
        assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn draining_takes_a_moment_only() {
        let (mut conn, waits, mut peer) = watched_pair();
        let sender = std::thread::spawn(move || {
            let wait = waits.first();
            peer.write_all(b"x").unwrap();
            (wait, peer)
        });
        // Whoever reads the body for its content waits longer.
        assert_eq!(PACE.patience(0, Duration::ZERO), 10 * DRAIN_TIME);
        Body::new(&mut conn, Framing::Length(1), PACE).drain(1).unwrap();
        assert!(sender.join().unwrap().0 <= DRAIN_TIME);
    }

    #[test]
    fn draining() {
        for (framing, sent, limit, want) in [
            (Framing::Length(5), "hello", 5, true),
            (Framing::Length(5), "hello", 4, false),
            (Framing::Length(5), "hell", 5, false),
            (Framing::Chunked, "5\r\nhello\r\n0\r\n\r\n", 5, true),
            (Framing::Chunked, "5\r\nhello\r\n0\r\n\r\n", 4, false),
            (Framing::None, "", 0, true),
        ] {
            let (mut conn, mut peer) = pair();
            peer.write_all(sent.as_bytes()).unwrap();
            let mut body = Body::new(&mut conn, framing, PACE);
            assert_eq!(body.drain(limit).unwrap(), want, "{framing:?}, {limit}");
            assert_eq!(conn.is_between_messages(), want);
        }
    }
}
