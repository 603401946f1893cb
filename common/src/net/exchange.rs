//! Exchanges on one connection: requests on their way out, and the heads of their answers.
//!
//! ```text
//!     head ──> [ wait for 100 ] ──> body, piece by piece ──> an answer may be waited for
//!                    │                    │
//!                    └── final answer ────┴── refused, or the write failed: the rest isn't sent
//! ```
//!
//! A server that refuses a large upload answers in the midst of it and stops reading. If the client then only saw its write fail, it
//! would report a broken pipe where the truth is a full disk. So it looks for an answer every now and then, and whenever a write fails.

use super::conn::Conn;
use super::deadline::Deadline;
use super::error::NetError;
use super::file_part::{FilePart, Unsent};
use super::transport::is_timeout;
use crate::limits::{
    ANSWER_DEADLINE, CONTINUE_WAIT, COPY_BUFFER_BYTES, COPY_DEADLINE, DRAIN_TIME, EARLY_ANSWER_BYTES,
    FLUSH_RATE_MIN,
};
use crate::wire::http::chunk::{CHUNK_TAIL, chunk_head, last_chunk};
use crate::wire::http::fields::Fields;
use crate::wire::http::framing::{Framing, response_framing};
use crate::wire::http::head::{HeadError, Method, ResponseHead, parse_response};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::time::Duration;

/// For an answer that switches protocols.
const NOT_ASKED_FOR: HeadError = HeadError::BadField { name: "upgrade", reason: "nobody asked for one" };

/// Content of unknown length, with fields that are known when it ends.
pub trait ChunkedSource: Read {
    /// What comes after the content, asked for once it was read to its end.
    fn trailers(&mut self) -> Fields {
        Fields::new()
    }
}

/// The body of a request.
pub enum RequestBody<'a> {
    /// None.
    Empty,
    /// Bytes at hand.
    Bytes(&'a [u8]),
    /// Part of a file.
    File {
        /// It.
        part: FilePart<'a>,
        /// Hears how many bytes have just gone, and may stop the rest.
        passed: &'a mut dyn FnMut(u64) -> io::Result<()>,
    },
    /// Content of unknown length.
    Chunked(&'a mut dyn ChunkedSource),
}

impl RequestBody<'_> {
    /// Whether it can be sent a second time.
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, RequestBody::Empty | RequestBody::Bytes(_))
    }
}

/// Sources have no `Debug`.
impl fmt::Debug for RequestBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestBody::Empty => f.write_str("Empty"),
            RequestBody::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            RequestBody::File { part, .. } => write!(f, "File({} bytes)", part.left()),
            RequestBody::Chunked(_) => f.write_str("Chunked"),
        }
    }
}

/// Whether the rest of a body is worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    /// The answer is in the buffer.
    Answered,
}

/// A connection and what is going on on it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) conn: Conn,
    /// Requests written whose answers weren't read.
    in_flight: usize,
    /// Bytes written since an answer was last waited for.
    unanswered: u64,
    /// Whether nothing can be sent any more: one side has said so, or a request was left incomplete.
    closing: bool,
}

impl Live {
    pub(super) fn new(conn: Conn) -> Live {
        Live { conn, in_flight: 0, unanswered: 0, closing: false }
    }

    /// Whether another request may be sent. Also looks for an end that came while the connection was idle.
    pub(super) fn is_reusable(&self) -> bool {
        let idle = !self.closing && self.in_flight == 0;
        let clean = self.conn.is_between_messages() && self.conn.buffered().is_empty();
        idle && clean && matches!(self.conn.transport().is_readable(), Ok(false))
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether a request has no answer yet, and one can come: the last was read to its end, and is not the last of the connection.
    pub(super) fn awaits_answer(&self) -> bool {
        0 < self.in_flight && !self.closing && self.conn.is_between_messages()
    }

    /// Writes a request. After `Ok` an answer may be waited for, even if not all of the body was sent.
    pub(super) fn write_request(
        &mut self,
        head: &[u8],
        expects: bool,
        body: &mut RequestBody<'_>,
    ) -> Result<(), NetError> {
        if self.closing {
            return Err(NetError::Closed);
        }
        // Amid a pipeline, what arrives answers somebody else.
        let alone = self.in_flight == 0 && self.conn.is_between_messages();
        self.in_flight += 1;
        // If an error ends this function, there is an incomplete request on the connection.
        self.closing = true;
        let mut upload = Upload { live: self, watching: alone, unwatched: 0 };
        let asks = expects && alone && !matches!(body, RequestBody::Empty);
        let flow = match asks {
            false => upload.write_body(head, body)?,
            true => match upload.ask(head)? {
                Flow::GoOn => upload.write_body(&[], body)?,
                Flow::Answered => Flow::Answered,
            },
        };
        self.closing = flow == Flow::Answered;
        Ok(())
    }

    /// Writes so many requests at once.
    pub(super) fn write_together(&mut self, requests: &[u8], count: usize) -> Result<(), NetError> {
        if self.closing {
            return Err(NetError::Closed);
        }
        self.in_flight += count;
        // If an error ends this function, there is an incomplete request on the connection.
        self.closing = true;
        self.unanswered += requests.len() as u64;
        self.conn.write_all(requests)?;
        self.closing = false;
        Ok(())
    }

    /// Waits until the server asks for the body, answers without it, or has been waited for long enough.
    fn wait_for_continue(&mut self) -> Result<Flow, NetError> {
        let deadline = Deadline::after(CONTINUE_WAIT);
        loop {
            if let Some((head, used)) = self.peek()? {
                match head.status {
                    100 => {
                        self.conn.consume(used);
                        return Ok(Flow::GoOn);
                    }
                    101..=199 => self.conn.consume(used),
                    _ => return Ok(Flow::Answered),
                }
            } else {
                match self.conn.fill(deadline) {
                    Ok(0) => return Err(NetError::Closed),
                    Ok(_) => {}
                    Err(error) if is_timeout(&error) => return Ok(Flow::GoOn),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// The head that the buffered bytes start with, if it is complete.
    fn peek(&self) -> Result<Option<(ResponseHead, usize)>, NetError> {
        parse_response(self.conn.buffered()).map_err(NetError::Malformed)
    }

    /// The final answer in the buffer. Interim ones before it are dropped.
    fn peek_final(&mut self) -> Result<Option<ResponseHead>, NetError> {
        while let Some((head, used)) = self.peek()? {
            if 200 <= head.status {
                return Ok(Some(head));
            }
            self.conn.consume(used);
        }
        Ok(None)
    }

    /// Whether a final answer comes, or has come, although a write failed with `error`.
    fn answer_despite(&mut self, error: io::Error) -> Result<Flow, NetError> {
        let deadline = Deadline::after(DRAIN_TIME);
        loop {
            if self.peek_final()?.is_some() {
                return Ok(Flow::Answered);
            }
            match self.conn.fill(deadline) {
                Ok(0) | Err(_) => return Err(error.into()),
                Ok(_) => {}
            }
        }
    }

    /// Reads the next final answer's head and decides where its body ends.
    pub(super) fn read_answer(&mut self, method: Method) -> Result<(ResponseHead, Framing), NetError> {
        if !self.conn.is_between_messages() {
            return Err(NetError::Closed);
        }
        let deadline = Deadline::after(patience(method, std::mem::take(&mut self.unanswered)));
        if 1 < self.in_flight {
            self.conn.widen();
        }
        let head = loop {
            let head = self.conn.read_head(parse_response, deadline)?.ok_or(NetError::Closed)?;
            match head.status {
                101 => return Err(NetError::Malformed(NOT_ASKED_FOR)),
                100..=199 => {}
                _ => break head,
            }
        };
        let framing = response_framing(method, &head).map_err(NetError::Malformed)?;
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.conn.narrow();
        }
        self.closing |= !head.keep_alive() || framing == Framing::UntilClose;
        Ok((head, framing))
    }
}

/// One request on its way out.
struct Upload<'a> {
    live: &'a mut Live,
    /// Whether an answer would be to this request, and would matter.
    watching: bool,
    /// Bytes written since an answer was last looked for.
    unwatched: u64,
}

impl Upload<'_> {
    /// Writes a head alone, and waits for what the server says to it.
    fn ask(&mut self, head: &[u8]) -> Result<Flow, NetError> {
        match self.write(&mut [IoSlice::new(head)])? {
            Flow::GoOn => self.live.wait_for_continue(),
            Flow::Answered => Ok(Flow::Answered),
        }
    }

    /// Writes a body; `head` goes with its first piece.
    fn write_body(&mut self, head: &[u8], body: &mut RequestBody<'_>) -> Result<Flow, NetError> {
        match body {
            RequestBody::Empty => self.write(&mut [IoSlice::new(head)]),
            RequestBody::Bytes(bytes) => self.write(&mut [IoSlice::new(head), IoSlice::new(bytes)]),
            RequestBody::File { part, passed } => self.write_file(head, part, *passed),
            RequestBody::Chunked(source) => self.write_chunks(head, *source),
        }
    }

    fn write_file(
        &mut self,
        head: &[u8],
        part: &mut FilePart<'_>,
        passed: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> Result<Flow, NetError> {
        if !head.is_empty() && self.write(&mut [IoSlice::new(head)])? == Flow::Answered {
            return Ok(Flow::Answered);
        }
        while 0 < part.left() {
            if self.look_again()? == Flow::Answered {
                return Ok(Flow::Answered);
            }
            let count = match part.send_some(&self.live.conn) {
                Ok(count) => count,
                Err(Unsent::Source(error)) => return Err(NetError::Source(error)),
                Err(Unsent::Connection(error)) => return self.broken(error),
            };
            self.count(count);
            passed(count).map_err(NetError::Source)?;
        }
        Ok(Flow::GoOn)
    }

    fn write_chunks(&mut self, mut head: &[u8], source: &mut dyn ChunkedSource) -> Result<Flow, NetError> {
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            let count = read_some(source, &mut buffer)?;
            let (size, tail) = match count {
                0 => (last_chunk(&source.trailers()).map_err(NetError::BadRequest)?, &[][..]),
                _ => (chunk_head(count as u64), CHUNK_TAIL),
            };
            let flow = self.write(&mut [head, &size, &buffer[..count], tail].map(IoSlice::new))?;
            if count == 0 || flow == Flow::Answered {
                return Ok(flow);
            }
            head = &[];
        }
    }

    /// Writes, unless by now there is an answer that makes it pointless.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> Result<Flow, NetError> {
        if self.look_again()? == Flow::Answered {
            return Ok(Flow::Answered);
        }
        self.count(parts.iter().map(|part| part.len() as u64).sum());
        match self.live.conn.write_parts(parts) {
            Ok(()) => Ok(Flow::GoOn),
            Err(error) => self.broken(error),
        }
    }

    fn count(&mut self, bytes: u64) {
        self.unwatched += bytes;
        self.live.unanswered += bytes;
    }

    /// A write failed. There may be an answer all the same.
    fn broken(&mut self, error: io::Error) -> Result<Flow, NetError> {
        if self.watching { self.live.answer_despite(error) } else { Err(error.into()) }
    }

    /// Looks for an answer, if enough was sent since the last look.
    fn look_again(&mut self) -> Result<Flow, NetError> {
        if self.watching && EARLY_ANSWER_BYTES <= self.unwatched { self.look() } else { Ok(Flow::GoOn) }
    }

    /// Looks for an answer without waiting for one. Only a refusal stops the upload: a server may begin to answer with success while it
    /// is still reading.
    fn look(&mut self) -> Result<Flow, NetError> {
        self.unwatched = 0;
        if !self.live.conn.transport().is_readable()? {
            return Ok(Flow::GoOn);
        }
        if self.live.conn.fill(Deadline::after(DRAIN_TIME))? == 0 {
            return Err(NetError::Closed);
        }
        match self.live.peek_final()? {
            None => Ok(Flow::GoOn),
            Some(head) if head.status < 300 => {
                self.watching = false;
                Ok(Flow::GoOn)
            }
            Some(_) => Ok(Flow::Answered),
        }
    }
}

/// How long an answer may take: the server answers when what it was sent is on its disk.
fn patience(method: Method, sent: u64) -> Duration {
    let least = if matches!(method, Method::Copy | Method::Move) { COPY_DEADLINE } else { ANSWER_DEADLINE };
    least + Duration::from_secs(sent / FLUSH_RATE_MIN)
}

fn read_some<R: Read + ?Sized>(source: &mut R, buffer: &mut [u8]) -> Result<usize, NetError> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map_err(NetError::Source),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread::spawn;

    use super::super::conn::tests::{Waits, watched_pair};
    use super::super::file_part::tests::hole_of;
    use super::*;

    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n";

    fn live() -> (Live, Waits, UnixStream) {
        let (conn, waits, peer) = watched_pair();
        (Live::new(conn), waits, peer)
    }

    #[test]
    fn a_silent_server_is_noticed_and_a_slow_disk_is_waited_for() {
        for method in [Method::Get, Method::Put, Method::Delete, Method::Patch] {
            assert_eq!(patience(method, 1000), ANSWER_DEADLINE);
        }
        assert_eq!(patience(Method::Put, 100 * FLUSH_RATE_MIN), ANSWER_DEADLINE + Duration::from_secs(100));
        for method in [Method::Copy, Method::Move] {
            assert_eq!(patience(method, 0), COPY_DEADLINE);
        }
        const { assert!(ANSWER_DEADLINE.as_secs() < COPY_DEADLINE.as_secs()) };
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_its_request_may_take() {
        for (method, longest) in [(Method::Put, ANSWER_DEADLINE), (Method::Move, COPY_DEADLINE)] {
            let (mut live, waits, mut peer) = live();
            live.write_request(HEAD, false, &mut RequestBody::Bytes(b"x")).unwrap();
            let server = spawn(move || {
                let wait = waits.first();
                peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                wait
            });
            assert_eq!(live.read_answer(method).unwrap().0.status, 204);
            let wait = server.join().unwrap();
            assert!((longest / 2..=longest).contains(&wait), "{method}: {wait:?}");
        }
    }

    #[test]
    fn leave_to_send_is_waited_for_a_moment_only() {
        let (mut live, waits, mut peer) = live();
        let server = spawn(move || {
            let wait = waits.first();
            peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            (wait, peer)
        });
        live.write_request(HEAD, true, &mut RequestBody::Bytes(b"x")).unwrap();
        assert!(server.join().unwrap().0 <= CONTINUE_WAIT);
    }

    /// Content without end, that counts how much of it is wanted.
    #[derive(Default)]
    struct Endless {
        read: u64,
        largest: usize,
    }

    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.read += out.len() as u64;
            self.largest = self.largest.max(out.len());
            Ok(out.len())
        }
    }

    impl ChunkedSource for Endless {}

    /// Sends much to somebody who refuses it before the first byte, and reads what comes all the same. How much was sent.
    fn refused(send: impl FnOnce(&mut Live) -> u64) -> u64 {
        let (mut live, waits, mut peer) = live();
        drop(waits);
        peer.write_all(b"HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n").unwrap();
        let reader = spawn(move || io::copy(&mut peer, &mut io::sink()).unwrap());
        let sent = send(&mut live);
        assert_eq!(live.read_answer(Method::Put).unwrap().0.status, 507);
        drop(live);
        reader.join().unwrap();
        sent
    }

    #[test]
    fn a_refusal_costs_no_more_than_what_is_sent_between_two_looks() {
        let between = EARLY_ANSWER_BYTES..=EARLY_ANSWER_BYTES + COPY_BUFFER_BYTES as u64;
        let chunks = refused(|live| {
            let mut source = Endless::default();
            live.write_request(HEAD, false, &mut RequestBody::Chunked(&mut source)).unwrap();
            assert_eq!(source.largest, COPY_BUFFER_BYTES, "the size of a piece");
            source.read
        });
        assert!(between.contains(&chunks), "{chunks}");
        let file = refused(|live| {
            let (file, mut sent) = (hole_of(1 << 30), 0);
            let mut passed = |count| {
                assert!(count <= COPY_BUFFER_BYTES as u64, "the size of a piece");
                sent += count;
                Ok(())
            };
            let part = FilePart::new(&file, 0, 1 << 30);
            live.write_request(HEAD, false, &mut RequestBody::File { part, passed: &mut passed }).unwrap();
            sent
        });
        // The head counts, too.
        assert!((between.start() - HEAD.len() as u64..=*between.end()).contains(&file), "{file}");
    }

    #[test]
    fn whoever_hears_what_was_sent_may_stop_the_rest() {
        let (mut live, waits, peer) = live();
        drop(waits);
        let file = hole_of(1 << 20);
        let mut passed = |_| Err(io::Error::other("enough"));
        let body = &mut RequestBody::File { part: FilePart::new(&file, 0, 1 << 20), passed: &mut passed };
        assert!(matches!(live.write_request(HEAD, false, body), Err(NetError::Source(_))));
        assert!(live.is_closing());
        drop(peer);
    }
}
