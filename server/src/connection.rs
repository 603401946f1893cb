//! One connection: requests in, answers out, in order, until one of them was the last.
//!
//! ```text
//!     wait -> head -> framing -> body ---> dispatch -> answer, drained or not ---> wait | close
//!      |       |         |                    |  \
//!      | idle  | 4xx     | 4xx                |   stream: writes until it ends ---> close
//!    close   close     close               panic: 500 ---> close     that lasts ---> a thread of its own
//! ```
//!
//! Errors are answered here and nowhere else, once. After one that leaves open where the next request begins, the connection is closed,
//! and so that the answer is not overtaken by a reset, what the client still sends is read for a while. Nobody waits for that: a server
//! that stops hangs up.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use common::cli::log::Level;
use common::limits::{CONN_BUFFER_BYTES, DRAIN_BYTES, DRAIN_TIME, HEAD_DEADLINE, IDLE_TIMEOUT, LINGER_TIME};
use common::net::body::{Body, Pace};
use common::net::conn::Conn;
use common::net::deadline::Deadline;
use common::net::transport::Transport;
use common::protocol::{Problem, ProblemKind};
use common::wire::http::fields::Fields;
use common::wire::http::framing::{Framing, request_framing};
use common::wire::http::head::{
    HeadError, Method, RequestHead, Version, check_host, encode_response, parse_request,
};

use crate::answer::{
    Answer, AnswerBody, Content, Refusal, Reply, Sequel, Streaming, kind_of_status, unwatched,
};
use crate::dispatch::dispatch;
use crate::follower::Follower;
use crate::outlet::{Delimiter, Outlet};
use crate::owed::{Exchange, Owed, Turn};
use crate::registry::Seat;
use crate::send::{Keep, Sender, common_fields};
use crate::service::Service;

/// What becomes of the connection.
enum After {
    /// It waits for another request.
    Another,
    /// It is closed in good order.
    Close,
    /// It goes on as a stream.
    Follow(Delimiter, Sequel),
    /// There is nobody left.
    Gone,
}

/// What answers requests: [`dispatch`], but in tests.
type Handler = for<'a> fn(
    &'a Arc<Service>,
    &Seat,
    &RequestHead,
    Framing,
    &mut dyn Content,
) -> Result<Reply<'a>, Refusal>;

/// One connection and what it is served with.
struct Connection<'a> {
    service: &'a Arc<Service>,
    handler: Handler,
    seat: &'a Seat,
    peer: &'a str,
    conn: Conn,
    owed: Owed<'a>,
}

/// Serves a connection to its end, or until it has become a stream that lasts; `peer` is what logs call it.
pub(crate) fn serve(
    service: &Arc<Service>,
    seat: &Seat,
    peer: &str,
    transport: Transport,
) -> io::Result<Option<Follower>> {
    serve_with(dispatch, service, seat, peer, transport)
}

fn serve_with(
    handler: Handler,
    service: &Arc<Service>,
    seat: &Seat,
    peer: &str,
    transport: Transport,
) -> io::Result<Option<Follower>> {
    let (conn, owed) = (Conn::new(transport)?, Owed::default());
    let mut connection = Connection { service, handler, seat, peer, conn, owed };
    loop {
        match connection.serve_one()? {
            After::Another => {}
            After::Close => {
                close(connection.conn, seat);
                return Ok(None);
            }
            After::Follow(delimiter, sequel) => {
                return Ok(Some(Follower::new(connection.conn, delimiter, sequel)));
            }
            After::Gone => return Ok(None),
        }
    }
}

/// Closes a connection after its last answer.
pub(crate) fn close(conn: Conn, seat: &Seat) {
    conn.lingering_close(if seat.wait() { LINGER_TIME } else { DRAIN_TIME });
}

impl Connection<'_> {
    fn serve_one(&mut self) -> io::Result<After> {
        if !self.owed.is_empty() {
            return match self.next_at_hand() {
                Some((head, framing)) => self.exchange(head, framing),
                None => self.pay(),
            };
        }
        if !self.wait_for_request()? {
            return Ok(After::Gone);
        }
        let head = match self.conn.read_head(parse_request, Deadline::after(HEAD_DEADLINE)) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(After::Gone),
            Err(error) => return self.refuse_head(error.status(), &error.to_string()),
        };
        self.service.requests.count();
        match envelope(&head) {
            Ok(framing) => self.exchange(head, framing),
            Err(error) => self.refuse_head(Some(error.status()), &error.to_string()),
        }
    }

    /// The next request, if it may be begun before what is owed is paid, and nobody has to be waited for to have all of it.
    fn next_at_hand(&mut self) -> Option<(RequestHead, Framing)> {
        while self.owed.may_grow() {
            // What makes no sense is refused when it is its turn.
            let parsed = parse_request(self.conn.buffered()).ok()?;
            if let Some((head, used)) = parsed {
                let length = match envelope(&head) {
                    Ok(Framing::None) => 0,
                    Ok(Framing::Length(length)) => length,
                    _ => return None,
                };
                let whole = (used as u64).saturating_add(length);
                if (CONN_BUFFER_BYTES as u64) < whole || !self.owed.lets_join(&head) {
                    return None;
                }
                if whole <= self.conn.buffered().len() as u64 {
                    self.conn.consume(used);
                    self.service.requests.count();
                    let framing = if length == 0 { Framing::None } else { Framing::Length(length) };
                    return Some((head, framing));
                }
            }
            // What is done with is answered without a look at whether another request follows.
            let is_done = self.owed.is_done() && self.conn.buffered().is_empty();
            let is_more_here = !is_done && matches!(self.conn.transport().is_readable(), Ok(true));
            if is_more_here {
                self.conn.widen();
            }
            // Its end, or an error, is found again when nothing is owed.
            if !is_more_here || !matches!(self.conn.fill(Deadline::after(HEAD_DEADLINE)), Ok(1..)) {
                return None;
            }
        }
        None
    }

    /// Pays what is owed.
    fn pay(&mut self) -> io::Result<After> {
        let (service, peer) = (self.service, self.peer);
        let told = |head: &RequestHead, begun, answer: &Answer| log(service, peer, head, begun, answer);
        match self.owed.pay(&mut self.conn, told)? {
            Keep::Open => Ok(After::Another),
            Keep::Close => Ok(After::Close),
        }
    }

    /// `false` if none comes.
    fn wait_for_request(&mut self) -> io::Result<bool> {
        if !self.seat.wait() {
            return Ok(false);
        }
        if self.conn.buffered().is_empty() {
            self.conn.rest();
            match self.conn.fill(Deadline::after(IDLE_TIMEOUT)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.seat.work();
        Ok(true)
    }

    /// Answers a head that can't be understood; where its body would end nobody knows.
    fn refuse_head(&mut self, status: Option<u16>, detail: &str) -> io::Result<After> {
        let Some(status) = status else { return Ok(After::Gone) };
        self.service.log.debug(format!("{}: {status}: {detail}", self.peer));
        let answer = Answer::problem(&Problem::new(kind_of_status(status), detail));
        let mut sender = Sender::to(&mut self.conn);
        sender.push(Method::Get, answer, Keep::Close, &mut unwatched())?;
        sender.flush()?;
        Ok(After::Close)
    }

    /// One request whose end is known.
    fn exchange(&mut self, head: RequestHead, framing: Framing) -> io::Result<After> {
        let begun = Instant::now();
        let mut body = Body::new(&mut self.conn, framing, Pace::Minimum);
        // Whatever it expects, it does not send its body before it is answered.
        if head.version == Version::Http11 && head.fields.get("expect").is_some() {
            body = body.with_continue();
        }
        let (handler, service, seat) = (self.handler, self.service, self.seat);
        let (turn, keep) = match guarded(service, || handler(service, seat, &head, framing, &mut body)) {
            Some(Ok(Reply::Whole(answer))) => (Turn::Answered(answer, unwatched()), Keep::Open),
            Some(Ok(Reply::Watched(answer, watch))) => (Turn::Answered(answer, watch), Keep::Open),
            Some(Ok(Reply::Later(later))) => (Turn::Later(later), Keep::Open),
            Some(Ok(Reply::Stream(fields, stream))) => {
                log(self.service, self.peer, &head, begun, &Answer::empty(200));
                self.seat.stream();
                self.conn.rest();
                return stream_out(self.service, &mut self.conn, head.version, &fields, stream);
            }
            Some(Err(refusal)) => match refusal.into_answer() {
                Some(answer) => (Turn::Answered(answer, unwatched()), Keep::Open),
                None => return Ok(After::Gone),
            },
            None => (Turn::Answered(panicked(), unwatched()), Keep::Close),
        };
        let is_read = matches!(body.drain(DRAIN_BYTES), Ok(true));
        let wanted = is_read && head.keep_alive() && !self.seat.is_stopping();
        let keep = if wanted { keep } else { Keep::Close };
        self.owed.push(Exchange { head, begun, turn, keep })?;
        Ok(After::Another)
    }
}

/// Every request is a line at the level of debugging; one that the server is to blame for is a warning, with the reason.
fn log(service: &Service, peer: &str, head: &RequestHead, begun: Instant, answer: &Answer) {
    let Answer { status, is_trouble, body, .. } = answer;
    if !is_trouble && !service.log.enabled(Level::Debug) {
        return;
    }
    let line = format!("{peer} {} {} {status} {} ms", head.method, head.target, begun.elapsed().as_millis());
    match body {
        AnswerBody::Bytes(reason) if *is_trouble => {
            service.log.warn(format!("{line}: {}", String::from_utf8_lossy(reason).trim_end()));
        }
        _ => service.log.debug(line),
    }
}

/// What has to be right before anything else about a request is looked at.
fn envelope(head: &RequestHead) -> Result<Framing, HeadError> {
    check_host(head)?;
    request_framing(head)
}

/// Writes a stream, as far as this thread does.
fn stream_out(
    service: &Service,
    conn: &mut Conn,
    version: Version,
    fields: &Fields,
    stream: Streaming<'_>,
) -> io::Result<After> {
    let mut fields = common_fields(fields, Keep::Close);
    let delimiter = match version {
        Version::Http11 => {
            fields.push("transfer-encoding", "chunked");
            Delimiter::Chunks
        }
        Version::Http10 => Delimiter::Close,
    };
    conn.write_all(&encode_response(200, &fields).map_err(io::Error::other)?)?;
    let mut outlet = Outlet::new(conn, delimiter);
    match guarded(service, || stream(&mut outlet)) {
        Some(Ok(None)) => outlet.finish().map(|()| After::Close),
        Some(Ok(Some(sequel))) => outlet.flush().map(|()| After::Follow(delimiter, sequel)),
        Some(Err(error)) => Err(error),
        None => Ok(After::Gone),
    }
}

/// Runs a handler. `None` if it panicked: that costs this connection, and nobody else's. The panic hook has written the message.
pub(crate) fn guarded<T>(service: &Service, handler: impl FnOnce() -> T) -> Option<T> {
    // What a handler shares with others is behind locks, which are made to outlive a panic; the rest goes with the connection.
    let result = catch_unwind(AssertUnwindSafe(handler));
    if result.is_err() {
        service.panics.count();
    }
    result.ok()
}

fn panicked() -> Answer {
    let detail = "the server has a defect; its log tells more";
    Answer::problem(&Problem::new(ProblemKind::Internal, detail))
}

#[cfg(test)]
mod mutations;
#[cfg(any(test, fuzzing))]
pub(crate) mod probe;

#[cfg(test)]
mod together;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::listener::Origin;
    use crate::testing::Workshop;

    fn fragile<'a>(
        service: &'a Arc<Service>,
        _: &Seat,
        head: &RequestHead,
        _: Framing,
        _: &mut dyn Content,
    ) -> Result<Reply<'a>, Refusal> {
        match head.target.as_str() {
            "/defect" => panic!("a defect, for a test"),
            "/stream" => Ok(Reply::Stream(Fields::new(), Box::new(|_| panic!("a defect, for a test")))),
            target => {
                if target == "/stopping" {
                    service.registry.stop();
                }
                Ok(Reply::Whole(Answer::empty(204)))
            }
        }
    }

    /// Asks for these targets on one connection, and gives all that comes back before it is closed.
    fn ask(workshop: &Workshop, targets: &[&str]) -> String {
        let request = |target| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let requests: String = targets.iter().map(request).collect();
        String::from_utf8(probe::exchange(fragile, workshop, requests.as_bytes())).unwrap()
    }

    #[test]
    fn a_panic_costs_one_connection() {
        let workshop = Workshop::new();
        let panics = || workshop.service.panics.get();
        let answers = ask(&workshop, &["/fine", "/defect", "/fine"]);
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
        assert!(answers.contains("HTTP/1.1 500 ") && answers.contains("/problems/internal"), "{answers}");
        assert_eq!(panics(), 1);
        // Of a stream the head is out already; it must not look complete.
        let stream = ask(&workshop, &["/stream"]);
        assert!(stream.starts_with("HTTP/1.1 200 ") && !stream.ends_with("0\r\n\r\n"), "{stream}");
        assert_eq!(panics(), 2);
        let others = ask(&workshop, &["/fine", "/fine"]);
        assert_eq!(others.matches("HTTP/1.1 204 ").count(), 2, "{others}");
        assert_eq!(workshop.service.registry.count(), 0);
    }

    /// One client of a server, and how long the server lets a read from it wait, which the kernel knows.
    struct Client {
        socket: UnixStream,
        waits: UnixStream,
        /// Whether the server is done with it.
        done: Receiver<()>,
    }

    impl Client {
        /// Says this, and is served from then on.
        fn that_says(text: &str, workshop: &Workshop) -> Client {
            let (mut socket, there) = UnixStream::pair().unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            socket.write_all(text.as_bytes()).unwrap();
            let (waits, transport) = (there.try_clone().unwrap(), Transport::from(there));
            let seat = workshop.service.registry.seat(&transport, Origin::Local).unwrap();
            let (service, (tell, done)) = (workshop.service.clone(), channel());
            thread::spawn(move || {
                let _ = serve_with(fragile, &service, &seat, "probe", transport);
                drop(seat);
                let _ = tell.send(());
            });
            Client { socket, waits, done }
        }

        /// An answer without a body.
        fn answer(&mut self) -> String {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && self.socket.read(&mut byte).unwrap() == 1 {
                head.extend(byte);
            }
            String::from_utf8(head).unwrap()
        }

        /// Waits until the server waits for something no longer than this. How long it does.
        fn wait_of(&self, most: Duration) -> Duration {
            let given_up = Instant::now() + Duration::from_secs(60);
            loop {
                match self.waits.read_timeout().unwrap() {
                    Some(wait) if wait <= most => return wait,
                    wait => assert!(Instant::now() < given_up, "{wait:?} is more than {most:?}"),
                }
                thread::sleep(Duration::from_millis(1));
            }
        }

        fn end(self) {
            self.socket.shutdown(std::net::Shutdown::Both).unwrap();
            self.done.recv().unwrap();
        }
    }

    #[test]
    fn requests_and_their_heads_have_their_time() {
        let workshop = Workshop::new();
        // What comes as a whole is read while the server waits for whatever may come.
        let mut client = Client::that_says("GET /fine HTTP/1.1\r\nhost: a\r\n\r\n", &workshop);
        assert!(client.answer().starts_with("HTTP/1.1 204 "));
        let idle = client.wait_of(IDLE_TIMEOUT);
        assert!(IDLE_TIMEOUT / 2 < idle, "{idle:?}");
        client.socket.write_all(b"GET /fine HTT").unwrap();
        let head = client.wait_of(HEAD_DEADLINE);
        assert!(HEAD_DEADLINE / 2 < head, "{head:?}");
        client.end();
    }

    #[test]
    fn a_last_answer_has_its_time_but_not_while_the_server_stops() {
        let workshop = Workshop::new();
        let mut client = Client::that_says("nonsense\r\n\r\n", &workshop);
        assert!(client.answer().starts_with("HTTP/1.1 400 "));
        let lingers = client.wait_of(LINGER_TIME);
        assert!(DRAIN_TIME < lingers, "{lingers:?}");
        client.end();

        let mut client = Client::that_says("GET /stopping HTTP/1.1\r\nhost: a\r\n\r\n", &workshop);
        assert!(client.answer().contains("connection: close"));
        client.wait_of(DRAIN_TIME);
        client.end();
    }

    #[test]
    fn what_is_left_of_a_body_is_read_if_it_is_little() {
        let workshop = Workshop::new();
        let is_read = |length: u64| {
            let head = format!("PUT /fine HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
            let body = "x".repeat(usize::try_from(length).unwrap());
            let next = "GET /fine HTTP/1.1\r\nhost: a\r\n\r\n";
            let mut client = Client::that_says(&[&head, &*body, next].concat(), &workshop);
            let answer = client.answer();
            assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
            let is_last = answer.contains("connection: close");
            assert!(is_last || client.answer().starts_with("HTTP/1.1 204 "));
            client.end();
            !is_last
        };
        assert!(!is_read(DRAIN_BYTES + 1));
        // It also has to be read soon, which a machine may be too busy for.
        assert!((0..10).any(|_| is_read(DRAIN_BYTES)));
    }
}
