//! The stream thread: one `POST /sync` after the other. It sends the list, reads the events, and connects again when it has to.
//!
//! ```text
//!     ask control for the head of the list -> connect -> POST /sync ---- list pieces ---->  (a thread of its own, while it lasts)
//!                                                            <---- events ----------------
//!     lost: tell control, rest (longer each time, or as long as was asked for), again
//! ```
//!
//! List and events flow at the same time: the server answers items as they come, so whoever sends a long list without reading would end
//! with both sides waiting for the other.

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::backoff::pause;
use super::message::{Loss, Message, Stream};
use super::transfer::not_ours;
use crate::limits::{
    CONNECT_TIMEOUT, LIST_ANSWER_LONGEST, RECONNECT_LONGEST, SMALL_BODY_BYTES, STREAM_STALL, THREAD_PATIENCE,
};
use crate::net::body::{Body, Pace};
use crate::net::conn::Conn;
use crate::net::deadline::Deadline;
use crate::net::dial::open;
use crate::net::endpoint::Endpoint;
use crate::net::error::NetError;
use crate::net::transport::Transport;
use crate::protocol::{Cursor, Event, ListHead, Problem, VERSION_NAME, encode_list_head, encode_list_tail};
use crate::threads::{Awaited, lock, spawn_awaited};
use crate::wire::http::chunk::{CHUNK_TAIL, chunk_head, last_chunk};
use crate::wire::http::fields::Fields;
use crate::wire::http::framing::response_framing;
use crate::wire::http::head::{Method, ResponseHead, encode_request, parse_response};
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
        let mut conn = match open(&self.endpoint, CONNECT_TIMEOUT) {
            Ok(conn) => conn,
            Err(error) => return Loss::Unreachable(format!("cannot connect to {}: {error}", self.endpoint)),
        };
        let writer = match self.prepare(&mut conn) {
            Ok(writer) => writer,
            Err(error) => return Loss::Broken(error.to_string()),
        };
        let sent = OnceLock::new();
        std::thread::scope(|scope| {
            let list = std::thread::Builder::new().name("list".into());
            let list = list.spawn_scoped(scope, || self.send_list(writer, head, &sent));
            let loss = match list {
                Ok(_) => self.listen(&mut conn, &sent),
                Err(error) => Loss::Broken(format!("no thread to send the list with: {error}")),
            };
            // The list thread may be waiting for the server to read.
            let _ = conn.transport().shutdown(Shutdown::Both);
            loss
        })
    }

    /// Sends the head of the request, and makes the second handle through which the list goes.
    fn prepare(&self, conn: &mut Conn) -> io::Result<Conn> {
        *lock(&self.shared.transport) = Some(conn.transport().clone());
        let mut fields =
            Fields::new().with("host", self.endpoint.authority()).with("user-agent", VERSION_NAME);
        if let Some(token) = &self.token {
            fields.push("authorization", format!("Bearer {token}"));
        }
        let fields = fields
            .with("accept", "text/event-stream")
            .with("content-type", "application/json")
            .with("transfer-encoding", "chunked");
        let target = format!("{}/sync", self.endpoint.base());
        let head = encode_request(Method::Post, &target, &fields).map_err(io::Error::other)?;
        conn.write_all(&head)?;
        Conn::new(conn.transport().clone())
    }

    /// The "list" thread. If it can't send, the connection is broken, and reading will say so.
    fn send_list(&self, mut conn: Conn, head: &ListHead, sent: &OnceLock<Instant>) {
        let _ = self.send_pieces(&mut conn, head);
        let _ = sent.set(Instant::now());
    }

    fn send_pieces(&self, conn: &mut Conn, head: &ListHead) -> io::Result<()> {
        send_chunk(conn, &encode_list_head(head))?;
        let (mut after, mut first) = (None, true);
        loop {
            let (reply, answer) = sync_channel(1);
            let wanted = Stream::List { after: after.take(), complete: head.complete, reply };
            self.control.send(Message::Stream(wanted)).map_err(|_| io::ErrorKind::BrokenPipe)?;
            let piece = answer.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            if !piece.bytes.is_empty() {
                // Every item comes with a comma in front, and the first one must not have it.
                let bytes = if first { &piece.bytes[1..] } else { &piece.bytes[..] };
                first = false;
                send_chunk(conn, bytes)?;
            }
            match piece.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        send_chunk(conn, encode_list_tail())?;
        conn.write_all(&last_chunk(&Fields::new()).map_err(io::Error::other)?)
    }

    fn listen(&self, conn: &mut Conn, sent: &OnceLock<Instant>) -> Loss {
        let head = match conn.read_head(parse_response, Deadline::after(STREAM_STALL)) {
            Ok(Some(head)) => head,
            Ok(None) => return Loss::Broken(NetError::Closed.to_string()),
            Err(error) => return Loss::Broken(NetError::from(error).to_string()),
        };
        let framing = match response_framing(Method::Post, &head) {
            Ok(framing) => framing,
            Err(error) => return Loss::Broken(error.to_string()),
        };
        let mut body = Body::new(conn, framing, Pace::Stall(STREAM_STALL));
        if let Some(loss) = refusal(&head, &mut body) {
            return loss;
        }
        match self.read_events(body, sent) {
            Ok(()) => Loss::Broken("the server ended the stream".into()),
            Err(reason) => Loss::Broken(reason),
        }
    }

    fn read_events(&self, mut body: Body<'_>, sent: &OnceLock<Instant>) -> Result<(), String> {
        let mut reader = sse::Reader::new();
        let mut answering = Answering::default();
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
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let (used, event) = reader.feed(rest).map_err(|error| error.to_string())?;
                rest = &rest[used..];
                if let Some(event) = event {
                    self.deliver(&event)?;
                    answering.heard(&event.name, Instant::now());
                }
            }
            if answering.is_overdue(sent.get().copied(), Instant::now()) {
                return Err(format!(
                    "the server has not answered the list for {} s",
                    LIST_ANSWER_LONGEST.as_secs()
                ));
            }
        }
    }

    fn deliver(&self, raw: &sse::Event) -> Result<(), String> {
        let Some(event) = Event::parse(&raw.name, &raw.data).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let cursor = match raw.id.as_str() {
            "" => None,
            id => Some(Cursor::parse(id).map_err(|error| error.to_string())?),
        };
        let message = Message::Stream(Stream::Event { event, cursor });
        self.control.send(message).map_err(|_| "the client is stopping".to_owned())
    }
}

/// How far the answer to the list has come. Heartbeats are no part of it.
#[derive(Debug, Default)]
struct Answering {
    /// When something was told last.
    heard: Option<Instant>,
    complete: bool,
}

impl Answering {
    fn heard(&mut self, event: &str, now: Instant) {
        self.heard = Some(now);
        self.complete |= event == "synced";
    }

    /// Whether more should have come by now; the list was sent then.
    fn is_overdue(&self, sent: Option<Instant>, now: Instant) -> bool {
        let since = sent.map(|sent| self.heard.map_or(sent, |heard| heard.max(sent)));
        !self.complete
            && since.is_some_and(|since| LIST_ANSWER_LONGEST < now.saturating_duration_since(since))
    }
}

fn send_chunk(conn: &mut Conn, bytes: &[u8]) -> io::Result<()> {
    let head = chunk_head(bytes.len() as u64);
    conn.write_parts(&mut [IoSlice::new(&head), IoSlice::new(bytes), IoSlice::new(CHUNK_TAIL)])
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
    use super::*;

    #[test]
    fn an_answer_that_is_nothing_but_heartbeats_is_overdue() {
        let begin = Instant::now();
        let later = begin + LIST_ANSWER_LONGEST + Duration::from_secs(1);
        let mut answering = Answering::default();
        assert!(!answering.is_overdue(None, later), "the list is not sent yet");
        assert!(!answering.is_overdue(Some(begin), begin + LIST_ANSWER_LONGEST));
        assert!(answering.is_overdue(Some(begin), later));
        answering.heard("stored", later);
        assert!(!answering.is_overdue(Some(begin), later + LIST_ANSWER_LONGEST));
        assert!(answering.is_overdue(Some(begin), later + LIST_ANSWER_LONGEST * 2));
        answering.heard("synced", later);
        assert!(!answering.is_overdue(Some(begin), later + LIST_ANSWER_LONGEST * 2));
    }
}
