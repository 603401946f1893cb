//! The stream thread: one `POST /sync` after the other. It sends the list, reads the events, and connects again when it has to.
//!
//! ```text
//!     ask control for the head of the list -> connect -> POST /sync -> the list, piece by piece -> hello -> events
//!     lost: tell control, rest (longer each time, or as long as was asked for), again
//! ```
//!
//! The server answers when it has all of the list. So one thread first writes and then reads; only a refusal comes earlier, and the client
//! of `net` looks for one while it sends.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backoff::pause;
use super::message::{Loss, Message, Stream, Told};
use super::transfer::not_ours;
use crate::limits::{
    CONNECT_TIMEOUT, LIST_ANSWER_LONGEST, RECONNECT_LONGEST, SMALL_BODY_BYTES, STREAM_STALL, THREAD_PATIENCE,
};
use crate::net::body::{Body, Pace};
use crate::net::client::{HttpClient, Response};
use crate::net::endpoint::Endpoint;
use crate::net::error::NetError;
use crate::net::exchange::{ChunkedSource, RequestBody};
use crate::net::transport::Transport;
use crate::protocol::{Cursor, Event, ListHead, Problem, VERSION_NAME, encode_list_head, encode_list_tail};
use crate::threads::{Awaited, lock, spawn_awaited};
use crate::tree::Path;
use crate::wire::http::fields::Fields;
use crate::wire::http::head::{Method, ResponseHead};
use crate::wire::http::retry::retry_after;
use crate::wire::sse;

/// The running thread; dropped, it ends.
#[derive(Debug)]
pub(super) struct StreamThread {
    shared: Arc<Shared>,
    thread: Option<Awaited>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    /// The connection there is now, so that another thread can end it.
    transport: Mutex<Option<Transport>>,
    pausing: Mutex<()>,
    woken: Condvar,
}

/// Whom to ask, and as whom.
#[derive(Debug)]
struct Caller {
    endpoint: Endpoint,
    token: Option<String>,
    control: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl StreamThread {
    /// Starts the thread, which reports to `control`.
    pub(super) fn start(
        endpoint: Endpoint,
        token: Option<String>,
        control: SyncSender<Message>,
    ) -> io::Result<StreamThread> {
        let shared = Arc::new(Shared::default());
        let caller = Caller { endpoint, token, control, shared: shared.clone() };
        let thread = spawn_awaited("stream", move || caller.run())?;
        Ok(StreamThread { shared, thread: Some(thread) })
    }

    /// No thread, for a test that says itself what is heard, but a connection.
    #[cfg(test)]
    pub(super) fn of_a_test() -> StreamThread {
        let shared = Arc::new(Shared::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        *lock(&shared.transport) = Some(connection.into());
        StreamThread { shared, thread: None }
    }

    /// Whether its connection was not ended.
    #[cfg(test)]
    pub(super) fn is_connected(&self) -> bool {
        lock(&self.shared.transport).is_some()
    }

    /// Ends the connection that there is; a new one follows.
    pub(super) fn reconnect(&self) {
        if let Some(transport) = lock(&self.shared.transport).take() {
            // It may be gone already.
            let _ = transport.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for StreamThread {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.reconnect();
        drop(lock(&self.shared.pausing));
        self.shared.woken.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join_until(Instant::now() + THREAD_PATIENCE);
        }
    }
}

impl Caller {
    fn run(&self) {
        let mut losses = 0;
        while !self.is_stopped() {
            let Some(head) = self.ask_for_head() else { return };
            let began = Instant::now();
            let loss = self.session(&head);
            let asked = if let Loss::Refused { after, .. } = &loss { *after } else { None };
            self.forget_transport();
            if self.is_stopped() || self.control.send(Message::Stream(Stream::Lost(loss))).is_err() {
                return;
            }
            // A session that lasted was not a failure to connect.
            losses = if RECONNECT_LONGEST < began.elapsed() { 1 } else { losses + 1 };
            self.rest(pause(losses, RECONNECT_LONGEST, asked));
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    fn ask_for_head(&self) -> Option<ListHead> {
        let (reply, answer) = sync_channel(1);
        self.control.send(Message::Stream(Stream::Connecting { reply })).ok()?;
        answer.recv().ok()?
    }

    fn forget_transport(&self) {
        *lock(&self.shared.transport) = None;
    }

    fn rest(&self, time: Duration) {
        let guard = lock(&self.shared.pausing);
        let stopped = |_: &mut ()| !self.is_stopped();
        drop(
            self.shared
                .woken
                .wait_timeout_while(guard, time, stopped)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// One connection, from beginning to end; it always ends with a loss.
    fn session(&self, head: &ListHead) -> Loss {
        let mut client = HttpClient::new(self.endpoint.clone(), VERSION_NAME, self.token.as_deref());
        let answer = match self.connect(&mut client) {
            Ok(()) => self.ask(&mut client, head),
            Err(error @ NetError::Connect { .. }) => return Loss::Unreachable(error.to_string()),
            Err(error) => Err(error),
        };
        match answer {
            Ok(Response { head, body }) => self.listen(&head, body),
            Err(error) => Loss::Broken(error.to_string()),
        }
    }

    fn connect(&self, client: &mut HttpClient) -> Result<(), NetError> {
        client.connect(CONNECT_TIMEOUT)?;
        self.keep_transport(client);
        client.meet()?;
        // It may be another one by now.
        self.keep_transport(client);
        Ok(())
    }

    fn keep_transport(&self, client: &HttpClient) {
        *lock(&self.shared.transport) = client.transport().cloned();
    }

    /// Sends the list, and waits for the beginning of the answer.
    fn ask<'c>(&self, client: &'c mut HttpClient, head: &ListHead) -> Result<Response<'c>, NetError> {
        let fields =
            Fields::new().with("accept", "text/event-stream").with("content-type", "application/json");
        let mut list = List::new(&self.control, head);
        client.write_request(Method::Post, "/sync", &fields, RequestBody::Chunked(&mut list))?;
        client.read_response(Method::Post)
    }

    fn listen(&self, head: &ResponseHead, body: Body<'_>) -> Loss {
        let mut body = body.with_pace(Pace::Stall(STREAM_STALL));
        if let Some(loss) = refusal(head, &mut body) {
            return loss;
        }
        match self.read_events(body) {
            Ok(()) => Loss::Broken("the server ended the stream".into()),
            Err(reason) => Loss::Broken(reason),
        }
    }

    fn read_events(&self, mut body: Body<'_>) -> Result<(), String> {
        let mut reader = sse::Reader::new();
        let mut answering = Answering::begin(Instant::now());
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(format!("the server has been silent for {} s", STREAM_STALL.as_secs()));
                }
                Err(error) => return Err(error.to_string()),
            };
            let (events, read) = parse_events(&mut reader, &buffer[..count], &mut answering);
            self.deliver(events)?;
            read?;
            if answering.is_overdue(Instant::now()) {
                return Err(format!(
                    "the server has not answered the list for {} s",
                    LIST_ANSWER_LONGEST.as_secs()
                ));
            }
        }
    }

    /// Wakes control once for all that came together.
    fn deliver(&self, events: Vec<Told>) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        let message = Message::Stream(Stream::Events(events));
        self.control.send(message).map_err(|_| "the client is stopping".to_owned())
    }
}

/// What these bytes bring to an end, and whether they make sense; what comes before nonsense counts.
fn parse_events(
    reader: &mut sse::Reader,
    mut bytes: &[u8],
    answering: &mut Answering,
) -> (Vec<Told>, Result<(), String>) {
    let mut events = Vec::new();
    let mut parse = || -> Result<(), String> {
        while !bytes.is_empty() {
            let (used, raw) = reader.feed(bytes).map_err(|error| error.to_string())?;
            bytes = &bytes[used..];
            let Some(raw) = raw else { continue };
            if let Some(event) = Event::parse(&raw.name, &raw.data).map_err(|error| error.to_string())? {
                let cursor = match raw.id.as_str() {
                    "" => None,
                    id => Some(Cursor::parse(id).map_err(|error| error.to_string())?),
                };
                events.push((event, cursor));
            }
            answering.heard(&raw.name, Instant::now());
        }
        Ok(())
    };
    let read = parse();
    (events, read)
}

/// The list as the body of a request: control is asked for one piece after the other, and there is never more than one.
struct List<'a> {
    control: &'a SyncSender<Message>,
    complete: bool,
    piece: io::Cursor<Vec<u8>>,
    next: Next,
}

/// What comes after the piece at hand.
enum Next {
    /// The items after this path; from the beginning on if there is none.
    Items {
        after: Option<Path>,
        first: bool,
    },
    /// What closes the list.
    Tail,
    Nothing,
}

impl<'a> List<'a> {
    fn new(control: &'a SyncSender<Message>, head: &ListHead) -> List<'a> {
        let piece = io::Cursor::new(encode_list_head(head));
        List { control, complete: head.complete, piece, next: Next::Items { after: None, first: true } }
    }

    /// Gets the next piece, which may be empty. `false` if there is none.
    fn advance(&mut self) -> io::Result<bool> {
        let bytes = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => return Ok(false),
            Next::Tail => encode_list_tail().to_vec(),
            Next::Items { after, first } => self.items(after, first)?,
        };
        self.piece = io::Cursor::new(bytes);
        Ok(true)
    }

    fn items(&mut self, after: Option<Path>, first: bool) -> io::Result<Vec<u8>> {
        let (reply, answer) = sync_channel(1);
        let wanted = Stream::List { after, complete: self.complete, reply };
        self.control.send(Message::Stream(wanted)).map_err(|_| ErrorKind::BrokenPipe)?;
        let mut piece = answer.recv().map_err(|_| ErrorKind::BrokenPipe)?;
        let first = if first && !piece.bytes.is_empty() {
            // Every item comes with a comma in front, and the first one must not have it.
            piece.bytes[0] = b' ';
            false
        } else {
            first
        };
        self.next = match piece.last {
            Some(last) => Next::Items { after: Some(last), first },
            None => Next::Tail,
        };
        Ok(piece.bytes)
    }
}

impl Read for List<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(out)?;
            if 0 < count || out.is_empty() || !self.advance()? {
                return Ok(count);
            }
        }
    }
}

impl ChunkedSource for List<'_> {}

/// How far the answer to the list has come. Heartbeats are no part of it.
#[derive(Debug)]
struct Answering {
    /// When something was told last; when the answer began, if nothing was.
    heard: Instant,
    complete: bool,
}

impl Answering {
    fn begin(now: Instant) -> Answering {
        Answering { heard: now, complete: false }
    }

    fn heard(&mut self, event: &str, now: Instant) {
        self.heard = now;
        self.complete |= event == "synced";
    }

    /// Whether more should have come by now.
    fn is_overdue(&self, now: Instant) -> bool {
        !self.complete && LIST_ANSWER_LONGEST < now.saturating_duration_since(self.heard)
    }
}

/// Why this is not the beginning of a stream, if it is not.
fn refusal(head: &ResponseHead, body: &mut Body<'_>) -> Option<Loss> {
    let is_stream =
        head.fields.get("content-type").is_some_and(|value| value.starts_with("text/event-stream"));
    if head.status == 200 && is_stream {
        return None;
    }
    let mut text = Vec::new();
    let _ = body.take(SMALL_BODY_BYTES).read_to_end(&mut text);
    let problem = Problem::parse(head.status, &text);
    Some(match (head.status, problem) {
        (401, Some(problem)) => Loss::NotAuthorised(problem.detail),
        (401, None) => Loss::NotAuthorised("status 401".into()),
        (_, Some(problem)) => Loss::Refused {
            words: format!("the server refused to sync: {}", problem.detail),
            after: retry_after(&head.fields),
        },
        (_, None) => Loss::Refused { words: not_ours(head.status), after: retry_after(&head.fields) },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::net::conn::Conn;
    use crate::wire::http::framing::Framing;
    use crate::wire::http::head::parse_response;

    #[test]
    fn what_comes_before_nonsense_counts() {
        let event =
            |kind: &str, data: &str| format!("event: {kind}\nid: 0000000000000001-7\ndata: {data}\n\n");
        let whole =
            [&event("passed", "{}"), ": a comment\n", &event("passed", "{}"), &event("delete", "x")].concat();
        let (first, second) = whole.split_at(20);
        let (mut reader, mut answering) = (sse::Reader::new(), Answering::begin(Instant::now()));
        let (events, read) = parse_events(&mut reader, first.as_bytes(), &mut answering);
        assert!(events.is_empty() && read.is_ok(), "it has only begun");
        let (events, read) = parse_events(&mut reader, second.as_bytes(), &mut answering);
        assert!(read.is_err());
        let seqs: Vec<u64> = events.iter().filter_map(|(_, cursor)| Some(cursor.as_ref()?.seq)).collect();
        assert_eq!(seqs, [7, 7]);
    }

    #[test]
    fn an_answer_that_is_nothing_but_heartbeats_is_overdue() {
        let begin = Instant::now();
        let later = begin + LIST_ANSWER_LONGEST + Duration::from_secs(1);
        let mut answering = Answering::begin(begin);
        assert!(!answering.is_overdue(begin + LIST_ANSWER_LONGEST));
        assert!(answering.is_overdue(later));
        answering.heard("stored", later);
        assert!(!answering.is_overdue(later + LIST_ANSWER_LONGEST));
        assert!(answering.is_overdue(later + LIST_ANSWER_LONGEST * 2));
        answering.heard("synced", later);
        assert!(!answering.is_overdue(later + LIST_ANSWER_LONGEST * 2));
    }

    fn head(text: &str) -> ResponseHead {
        parse_response(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_stream_may_be_silent_for_so_long_only() {
        let (here, there) = UnixStream::pair().unwrap();
        let (waits, mut conn) = (here.try_clone().unwrap(), Conn::new(here).unwrap());
        let (control, _messages) = sync_channel(1);
        let endpoint = "http://127.0.0.1:1".parse().unwrap();
        let caller = Caller { endpoint, token: None, control, shared: Arc::default() };
        std::thread::scope(|scope| {
            let listening = scope.spawn(|| {
                let body = Body::new(&mut conn, Framing::UntilClose, Pace::Stall(Duration::from_secs(1)));
                caller.listen(&head("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"), body)
            });
            let given_up = Instant::now() + Duration::from_secs(60);
            let wait = loop {
                match waits.read_timeout().unwrap() {
                    Some(wait) => break wait,
                    None => assert!(Instant::now() < given_up, "nobody listens"),
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            assert!((STREAM_STALL / 2..=STREAM_STALL).contains(&wait), "{wait:?}");
            there.shutdown(Shutdown::Both).unwrap();
            assert!(matches!(listening.join().unwrap(), Loss::Broken(_)));
        });
    }

    #[test]
    fn of_a_long_refusal_a_little_is_read() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let sent = 4 * SMALL_BODY_BYTES;
        let sender =
            std::thread::spawn(move || io::copy(&mut io::repeat(b'x').take(sent), &mut there).unwrap());
        let mut rest = here.try_clone().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let mut body = Body::new(&mut conn, Framing::UntilClose, Pace::Stall(STREAM_STALL));
        let loss = refusal(&head("HTTP/1.1 500 No\r\n\r\n"), &mut body);
        assert!(matches!(loss, Some(Loss::Refused { .. })));
        let left = conn.buffered().len() as u64 + io::copy(&mut rest, &mut io::sink()).unwrap();
        assert_eq!((sender.join().unwrap(), sent - left), (sent, SMALL_BODY_BYTES));
    }
}
