//! A buffered connection: message heads in, bytes out.
//!
//! ```text
//!     buffer  [ consumed | buffered        | room         ]
//!                         ^ start           ^ end
//! ```
//!
//! Incoming bytes wait in one buffer, in which parsers look for what they know; what they took is consumed. A parser is run again over
//! everything whenever more has come, which is cheap because heads are small. The buffer grows with what waits in it, up to a size that is
//! larger than any head, and while a connection rests there is none: thousands that say nothing shall cost next to nothing. Where several
//! messages are known to be on their way, it is that large at once, so that one read brings many of them.
//! Bodies go through it as well, but large reads of a body pass it by (see [`body`](super::body)).
//!
//! Writes aren't buffered: callers hand over in one call what belongs together.

use super::deadline::Deadline;
use super::transport::{Link, Transport, is_timeout};
use crate::limits::{
    BODY_PIECE_BYTES, CONN_BUFFER_BYTES, CONN_BUFFER_FIRST_BYTES, LINGER_BYTES, UNCONFIRMED_LONGEST,
    WRITE_STALL,
};
use crate::wire::http::head::HeadError;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::time::Duration;

/// From this many wanted bytes on, a read passes a usual buffer by.
pub(super) const DIRECT_BYTES: usize = 1024;

/// Why no head could be read.
#[derive(Debug)]
pub enum ConnError {
    /// It wasn't complete in time.
    Timeout,
    /// The peer closed the connection within it.
    Closed,
    /// It is refused.
    Head(HeadError),
    /// The connection broke.
    Io(io::Error),
}

impl ConnError {
    /// The status a server answers with; `None` when nobody is left to be answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            ConnError::Timeout => Some(408),
            ConnError::Head(error) => Some(error.status()),
            ConnError::Closed | ConnError::Io(_) => None,
        }
    }
}

impl fmt::Display for ConnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnError::Timeout => f.write_str("the head of a message did not arrive in time"),
            ConnError::Closed => f.write_str("the connection ended within the head of a message"),
            ConnError::Head(error) => error.fmt(f),
            ConnError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnError::Head(error) => Some(error),
            ConnError::Io(error) => Some(error),
            ConnError::Timeout | ConnError::Closed => None,
        }
    }
}

impl From<io::Error> for ConnError {
    fn from(error: io::Error) -> ConnError {
        if is_timeout(&error) { ConnError::Timeout } else { ConnError::Io(error) }
    }
}

/// Where the reading side of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// What comes next is a head.
    BetweenMessages,
    /// A body has been begun and not been read to its end.
    WithinBody,
}

/// A connection.
pub struct Conn {
    link: Link,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: Position,
}

/// Without the buffer: it holds what people sync.
impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buffered = self.end - self.start;
        f.debug_struct("Conn")
            .field("link", &self.link)
            .field("buffered", &buffered)
            .field("position", &self.position)
            .finish()
    }
}

impl Conn {
    /// Takes over a transport.
    pub fn new(transport: impl Into<Transport>) -> io::Result<Conn> {
        let link = Link::new(transport.into());
        link.transport.set_prompt()?;
        link.transport.set_write_timeout(WRITE_STALL)?;
        link.transport.set_unconfirmed_timeout(UNCONFIRMED_LONGEST)?;
        Ok(Conn { link, buffer: Vec::new(), start: 0, end: 0, position: Position::BetweenMessages })
    }

    /// What carries this connection.
    pub fn transport(&self) -> &Transport {
        &self.link.transport
    }

    /// Bytes that have come and were not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Drops the first `count` of the buffered bytes.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "consumed more than is there");
        self.start += count;
    }

    /// Reads once into the buffer. 0 is the end; waiting too long is `TimedOut`.
    ///
    /// A server waits for a further request by calling this with the deadline for idle connections while nothing is buffered.
    pub fn fill(&mut self, deadline: Deadline) -> io::Result<usize> {
        self.make_room(deadline)?;
        let count = self.link.read(&mut self.buffer[self.end..], deadline)?;
        self.end += count;
        Ok(count)
    }

    fn make_room(&mut self, deadline: Deadline) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.buffer.len() {
            0 => {
                if self.is_between_messages() {
                    self.wait_for_bytes(deadline)?;
                }
                self.buffer = vec![0; CONN_BUFFER_FIRST_BYTES];
            }
            length if self.end < length => {}
            length if length < CONN_BUFFER_BYTES => self.buffer.resize(CONN_BUFFER_BYTES.min(2 * length), 0),
            _ => {
                return Err(io::Error::new(ErrorKind::InvalidData, "a message does not fit into the buffer"));
            }
        }
        Ok(())
    }

    /// Gives up the buffer if nothing is in it: a message may be long in coming.
    pub fn rest(&mut self) {
        if self.start == self.end {
            (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }

    /// Makes the buffer as large as it may be, for several messages that are on their way: one read then brings many of them.
    pub fn widen(&mut self) {
        if !self.is_wide() {
            self.buffer.resize(CONN_BUFFER_BYTES, 0);
        }
    }

    /// Gives up a wide buffer if nothing is in it: what was on its way has come.
    pub(super) fn narrow(&mut self) {
        if self.is_wide() {
            self.rest();
        }
    }

    /// From how many wanted bytes on a read gains nothing by the buffer. In one that was made wide, more may come than is wanted.
    pub(super) fn direct_bytes(&self) -> usize {
        if self.is_wide() { CONN_BUFFER_BYTES } else { DIRECT_BYTES }
    }

    fn is_wide(&self) -> bool {
        self.buffer.len() == CONN_BUFFER_BYTES
    }

    /// Waits until something can be read, be it the end.
    pub(super) fn wait_for_bytes(&self, deadline: Deadline) -> io::Result<()> {
        self.link.wait_for_bytes(deadline)
    }

    /// Reads once, past the buffer, which must be empty.
    pub(super) fn read_directly(&mut self, out: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        debug_assert!(self.buffered().is_empty(), "buffered bytes come first");
        self.link.read(out, deadline)
    }

    /// Reads a head with `parse`. `None`: the peer closed the connection before the first byte, which is its good right.
    pub fn read_head<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, HeadError>,
        deadline: Deadline,
    ) -> Result<Option<T>, ConnError> {
        loop {
            if let Some((head, used)) = parse(self.buffered()).map_err(ConnError::Head)? {
                self.consume(used);
                return Ok(Some(head));
            }
            if self.fill(deadline)? == 0 {
                return if self.buffered().is_empty() { Ok(None) } else { Err(ConnError::Closed) };
            }
        }
    }

    /// Writes everything. It may take as long as it likes while the peer accepts a byte every [`WRITE_STALL`].
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_parts(&mut [IoSlice::new(bytes)])
    }

    /// Writes everything from several places, in one system call if the peer keeps up: a head and its body, a chunk and its margins.
    pub fn write_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.link.transport.write_vectored(parts) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut parts, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more will come.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.link.transport.shutdown(Shutdown::Write)
    }

    /// Closes the connection so that the last answer arrives (RFC 9112, section 9.6).
    ///
    /// Closing a socket with unread bytes makes the kernel send a reset, which overtakes what was written and takes it from the peer; and a
    /// proxy whose write fails may not look whether there is an answer. So the peer is told first that this was all, and what it is still
    /// sending is read until it closes as well, but no more than [`LINGER_BYTES`], and for no longer than `patience`.
    pub fn lingering_close(mut self, patience: Duration) {
        if self.shutdown_write().is_err() {
            return;
        }
        let deadline = Deadline::after(patience);
        // Nobody waits for what comes, only for the end.
        self.buffer = Vec::new();
        let (mut scratch, mut drained) = ([0; BODY_PIECE_BYTES], 0);
        if self.link.set_low_water(scratch.len()).is_err() {
            return;
        }
        while drained < LINGER_BYTES {
            match self.link.read(&mut scratch, deadline) {
                Ok(0) | Err(_) => return,
                Ok(count) => drained += count as u64,
            }
        }
    }

    /// Whether the next bytes are a head: no body is left partly unread. Only then can the connection carry another message.
    pub fn is_between_messages(&self) -> bool {
        self.position == Position::BetweenMessages
    }

    pub(super) fn begin_body(&mut self) {
        self.position = Position::WithinBody;
    }

    /// Lets the reads of a body wait until so many bytes are there, or no more can come.
    pub(super) fn set_low_water(&mut self, bytes: usize) -> io::Result<()> {
        self.link.set_low_water(bytes)
    }

    pub(super) fn end_body(&mut self) -> io::Result<()> {
        self.position = Position::BetweenMessages;
        self.narrow();
        self.link.set_low_water(1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::limits::HEAD_BYTES;
    use crate::sys::socket::user_timeout;
    use crate::wire::http::head::{parse_request, parse_response};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    /// Two ends of a connection.
    pub(in crate::net) fn pair() -> (Conn, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (Conn::new(listener.accept().unwrap().0).unwrap(), peer)
    }

    pub(in crate::net) fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    fn ms(milliseconds: u64) -> Deadline {
        Deadline::after(Duration::from_millis(milliseconds))
    }

    /// Longer than anything is waited for.
    const LONG: Duration = Duration::from_secs(3600);

    /// A connection, what tells how long it waits, and the other end, which sees its end only when both are dropped.
    pub(in crate::net) fn watched_pair() -> (Conn, Waits, UnixStream) {
        let (here, mut there) = UnixStream::pair().unwrap();
        let waits = Waits(here.try_clone().unwrap());
        let mut conn = Conn::new(here).unwrap();
        // From the first byte on it has a buffer, and waits in reads.
        there.write_all(b"a").unwrap();
        conn.fill(Deadline::after(LONG)).unwrap();
        conn.consume(1);
        (conn, waits, there)
    }

    /// How long a connection lets a read wait: the kernel knows.
    pub(in crate::net) struct Waits(UnixStream);

    impl Waits {
        /// The first wait for something, as soon as it has begun.
        pub(in crate::net) fn first(&self) -> Duration {
            let given_up = Instant::now() + Duration::from_secs(60);
            loop {
                match self.0.read_timeout().unwrap() {
                    Some(wait) if wait < LONG / 2 => return wait,
                    _ => assert!(Instant::now() < given_up, "nobody waits"),
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn a_peer_that_takes_or_confirms_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let conn = Conn::new(socket.try_clone().unwrap()).unwrap();
        assert_eq!(socket.write_timeout().unwrap(), Some(WRITE_STALL));
        assert_eq!(user_timeout(conn.transport().as_fd()).unwrap(), UNCONFIRMED_LONGEST);
        // What cannot be written in that time is an error.
        socket.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut conn = conn;
        let error = loop {
            if let Err(error) = conn.write_all(&[0; 100_000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_buffer_grows_up_to_a_bound_and_rests_without() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"a").unwrap();
        assert_eq!(conn.fill(soon()).unwrap(), 1);
        assert_eq!(conn.buffer.len(), CONN_BUFFER_FIRST_BYTES);
        let sender = std::thread::spawn(move || while peer.write_all(&[b'a'; 1000]).is_ok() {});
        // Whatever has come, it is not all of a head.
        let error = conn.read_head::<()>(|_| Ok(None), soon()).unwrap_err();
        assert!(matches!(&error, ConnError::Io(cause) if cause.kind() == ErrorKind::InvalidData), "{error}");
        assert_eq!((conn.buffered().len(), conn.buffer.len()), (CONN_BUFFER_BYTES, CONN_BUFFER_BYTES));
        conn.rest();
        assert_eq!(conn.buffer.len(), CONN_BUFFER_BYTES, "something is in it");
        conn.consume(CONN_BUFFER_BYTES);
        conn.rest();
        assert_eq!(conn.buffer.capacity(), 0);
        drop(conn);
        sender.join().unwrap();
    }

    #[test]
    fn a_peer_that_goes_on_sending_is_read_for_so_long_only() {
        let (conn, waits, mut peer) = watched_pair();
        let sent = 2 * LINGER_BYTES;
        let sender =
            std::thread::spawn(move || io::copy(&mut io::repeat(b'a').take(sent), &mut peer).unwrap());
        // So long that it is not why this ends.
        let patience = Duration::from_secs(600);
        conn.lingering_close(patience);
        assert!(waits.first() <= patience);
        let left = io::copy(&mut &waits.0, &mut io::sink()).unwrap();
        assert_eq!(sender.join().unwrap(), sent);
        let read = LINGER_BYTES..LINGER_BYTES + CONN_BUFFER_BYTES as u64;
        assert!(read.contains(&(sent - left)), "{}", sent - left);
    }

    #[test]
    fn heads_arrive_pipelined_and_in_pieces() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HT").unwrap();
        for target in ["/1", "/2"] {
            assert_eq!(conn.read_head(parse_request, soon()).unwrap().unwrap().target, target);
        }
        assert!(matches!(conn.read_head(parse_request, ms(20)), Err(ConnError::Timeout)));
        peer.write_all(b"TP/1.1\r\n\r\n").unwrap();
        assert_eq!(conn.read_head(parse_request, soon()).unwrap().unwrap().target, "/3");
        drop(peer);
        assert!(conn.read_head(parse_request, soon()).unwrap().is_none());
    }

    #[test]
    fn a_broken_head_is_not_a_clean_end() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"GET /").unwrap();
        drop(peer);
        assert!(matches!(conn.read_head(parse_request, soon()), Err(ConnError::Closed)));

        let (mut conn, mut peer) = pair();
        peer.write_all(b"HTTP/1.1 200\r\n").unwrap();
        let error = conn.read_head(parse_response, soon()).unwrap_err();
        assert_eq!(error.status(), Some(400));
    }

    #[test]
    fn a_dripping_head_meets_its_deadline() {
        let (mut conn, mut peer) = pair();
        let drip = std::thread::spawn(move || {
            for byte in b"GET / HTTP/1.1\r\nA: ".iter().chain([b'x'; 1000].iter()) {
                if peer.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let begun = Instant::now();
        assert!(matches!(conn.read_head(parse_request, ms(100)), Err(ConnError::Timeout)));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        drop(conn);
        drip.join().unwrap();
    }

    #[test]
    fn the_buffer_holds_a_largest_head_anywhere() {
        let (mut conn, mut peer) = pair();
        let filler = HEAD_BYTES - "GET / HTTP/1.1\r\na: \r\n\r\n".len();
        let head = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(filler));
        let sender = std::thread::spawn(move || {
            for _ in 0..20 {
                peer.write_all(head.as_bytes()).unwrap();
            }
        });
        for _ in 0..20 {
            assert!(conn.read_head(parse_request, soon()).unwrap().is_some());
        }
        assert!(conn.read_head(parse_request, soon()).unwrap().is_none());
        sender.join().unwrap();
    }

    #[test]
    fn a_wait_may_be_shorter_than_the_one_before() {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        conn.fill(Deadline::after(Duration::from_secs(10))).unwrap();
        peer.write_all(b"d").unwrap();
        conn.fill(Deadline::after(Duration::from_secs(9))).unwrap();
        assert_eq!(conn.fill(ms(10)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(conn.fill(ms(30)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(conn.buffered(), b"abcd");
    }

    #[test]
    fn a_wide_buffer_takes_many_messages_at_once_and_is_given_back() {
        let (mut conn, mut peer) = pair();
        let requests = "GET / HTTP/1.1\r\n\r\n".repeat(1000);
        peer.write_all(requests.as_bytes()).unwrap();
        drop(peer);
        // By then all has come.
        conn.wait_for_bytes(soon()).unwrap();
        let mut reads = 0;
        conn.widen();
        while conn.fill(soon()).unwrap() != 0 {
            reads += 1;
            while let Some((_, used)) = parse_request(conn.buffered()).unwrap() {
                conn.consume(used);
            }
        }
        assert!(reads < 10, "{reads} reads");
        conn.narrow();
        assert_eq!(conn.buffer.capacity(), 0);
    }

    #[test]
    fn parts_are_written_in_order() {
        let (mut conn, mut peer) = pair();
        let large = vec![b'x'; 4 << 20];
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        let parts = [&b"head"[..], b"", &large, b"tail"];
        conn.write_parts(&mut parts.map(IoSlice::new)).unwrap();
        conn.write_all(b"").unwrap();
        drop(conn);
        assert!(reader.join().unwrap() == parts.concat());
    }

    #[test]
    fn a_last_answer_survives_unread_bytes() {
        let (mut conn, mut peer) = pair();
        peer.write_all(&[0; 50_000]).unwrap();
        conn.write_all(b"answer").unwrap();
        let closer = std::thread::spawn(move || conn.lingering_close(Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(20));
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
        drop(peer);
        closer.join().unwrap();
    }

    #[test]
    fn readable_without_waiting() {
        let (conn, mut peer) = pair();
        assert!(!conn.transport().is_readable().unwrap());
        peer.write_all(b"a").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(conn.transport().is_readable().unwrap());

        let (conn, peer) = pair();
        drop(peer);
        std::thread::sleep(Duration::from_millis(20));
        assert!(conn.transport().is_readable().unwrap());
    }
}
