//! A client: one keep-alive connection to one server.
//!
//! `send` writes a request and reads the answer's head; [`exchange`](super::exchange) has the details of both.
//!
//! A connection is used again only if everything on it was read and neither side has spoken of closing; otherwise the next `send` opens
//! a new one. A server may close an idle connection at any time, also while a request is on its way. Where that can't have done harm
//! (the method is idempotent, the body at hand) the request is sent once more, once.
//!
//! For pipelining, `write_request` may be called several times before `read_response` is called as many times; or requests are appended to
//! each other, and leave together. The caller bounds how much is in flight: if neither side reads, both wait. It also asks whether another
//! answer is to be had: a server, or a proxy before it, may close the connection after any, and has not looked at what came behind
//! (RFC 9112, section 9.6). Requests that were left like that are sent one by one (section 9.3.2).

use super::body::{Body, Pace};
use super::conn::ConnError;
use super::deadline::Deadline;
use super::dial::open;
use super::endpoint::Endpoint;
use super::error::NetError;
use super::exchange::{Live, RequestBody};
use super::transport::Transport;
use crate::limits::{CONNECT_TIMEOUT, READ_STALL};
use crate::wire::http::fields::Fields;
use crate::wire::http::framing::Framing;
use crate::wire::http::head::{Method, ResponseHead, encode_request, parse_response};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Response<'a> {
    /// Status and fields.
    pub head: ResponseHead,
    /// The content. Read it to its end, or the connection can't be used again.
    pub body: Body<'a>,
}

/// A client of one server.
#[derive(Debug)]
pub struct HttpClient {
    endpoint: Endpoint,
    /// Fields of every request.
    defaults: Fields,
    connect_timeout: Duration,
    live: Option<Live>,
    /// Whether the last answer left the connection open.
    is_kept: bool,
}

impl HttpClient {
    /// A client that isn't connected yet.
    ///
    /// `agent` goes into `User-Agent`; `token`, if there is one, into `Authorization`.
    pub fn new(endpoint: Endpoint, agent: &str, token: Option<&str>) -> HttpClient {
        let mut defaults = Fields::new().with("host", endpoint.authority()).with("user-agent", agent);
        if let Some(token) = token {
            defaults.push("authorization", format!("Bearer {token}"));
        }
        HttpClient { endpoint, defaults, connect_timeout: CONNECT_TIMEOUT, live: None, is_kept: true }
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What carries the current connection, if there is one: a clone of it lets another thread shut it down.
    pub fn transport(&self) -> Option<&Transport> {
        self.live.as_ref().map(|live| live.conn.transport())
    }

    /// Opens a new connection and drops the one before. Later connections get the same timeout.
    pub fn connect(&mut self, timeout: Duration) -> Result<(), NetError> {
        self.live = None;
        self.connect_timeout = timeout;
        let conn = open(&self.endpoint, timeout).map_err(|cause| self.unconnected(cause))?;
        self.live = Some(Live::new(conn));
        Ok(())
    }

    /// Makes sure that somebody is at the other end of a new connection. A command that carries one is there at once, whether or not it
    /// reaches anybody; so it has connected when something small is answered, which may take twice as long as connecting in other ways.
    pub fn meet(&mut self) -> Result<(), NetError> {
        if self.endpoint.is_met_by_connecting() || self.greet()? {
            return Ok(());
        }
        // Whoever answers only once on a connection has shown that he is there.
        self.connect(self.connect_timeout)
    }

    fn unconnected(&self, cause: io::Error) -> NetError {
        NetError::Connect { endpoint: self.endpoint.to_string(), cause }
    }

    /// Waits for the answer to a request that needs no key. Whether the connection can carry another.
    fn greet(&mut self) -> Result<bool, NetError> {
        let deadline = Deadline::after(2 * self.connect_timeout);
        let keyless = self.defaults.iter().filter(|(name, _)| *name != "authorization");
        let fields = keyless.fold(Fields::new(), |fields, (name, value)| fields.with(name, value));
        let target = format!("{}/healthz", self.endpoint.base());
        let head = encode_request(Method::Head, &target, &fields).map_err(NetError::BadRequest)?;
        let conn = &mut self.live()?.conn;
        let written = conn.write_all(&head).map_err(ConnError::from);
        let answer = written.and_then(|()| {
            loop {
                match conn.read_head(parse_response, deadline)? {
                    Some(ResponseHead { status: 100..=199, .. }) => {}
                    answer => return Ok(answer),
                }
            }
        });
        match answer {
            Ok(Some(head)) => Ok(head.keep_alive()),
            Ok(None) => Err(self.unconnected(unanswered(ErrorKind::UnexpectedEof))),
            Err(ConnError::Timeout) => Err(self.unconnected(unanswered(ErrorKind::TimedOut))),
            Err(ConnError::Io(error)) if error.raw_os_error().is_some() => {
                Err(self.unconnected(unanswered(error.kind())))
            }
            Err(ConnError::Io(error)) => Err(self.unconnected(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and reads the answer's head.
    ///
    /// `target` starts with a slash and is encoded; the endpoint's base is put before it. `fields` are added to what every request has,
    /// and to what the body needs. With `Expect: 100-continue` among them, the body is sent when the server asks for it.
    pub fn send(
        &mut self,
        method: Method,
        target: &str,
        fields: &Fields,
        mut body: RequestBody<'_>,
    ) -> Result<Response<'_>, NetError> {
        let head = self.request_head(method, target, fields, &body)?;
        let reused = self.ensure_connected()?;
        let mut answer = self.exchange(method, &head, fields, &mut body);
        let lost = answer.as_ref().is_err_and(NetError::is_hanging_up) && reused;
        if lost && method.is_idempotent() && body.is_replayable() {
            self.connect(self.connect_timeout)?;
            self.meet()?;
            answer = self.exchange(method, &head, fields, &mut body);
        }
        match answer {
            Ok((head, framing)) => Ok(self.response(head, framing)?),
            Err(error) => {
                self.live = None;
                Err(error)
            }
        }
    }

    /// Writes a request on the current connection. After an error the connection is useless.
    ///
    /// After `Ok` an answer may be waited for, even if not all of the body was sent.
    pub fn write_request(
        &mut self,
        method: Method,
        target: &str,
        fields: &Fields,
        mut body: RequestBody<'_>,
    ) -> Result<(), NetError> {
        let head = self.request_head(method, target, fields, &body)?;
        self.live()?.write_request(&head, expects_continue(fields), &mut body)
    }

    /// Appends a request to others that are to leave together. Its method is idempotent, since it may be sent twice.
    pub fn append_request(
        &self,
        requests: &mut Vec<u8>,
        method: Method,
        target: &str,
        fields: &Fields,
        body: &[u8],
    ) -> Result<(), NetError> {
        debug_assert!(method.is_idempotent(), "{method} can't be repeated");
        let kind = if body.is_empty() { RequestBody::Empty } else { RequestBody::Bytes(body) };
        requests.extend(self.request_head(method, target, fields, &kind)?);
        requests.extend(body);
        Ok(())
    }

    /// Whether requests may be sent together: a server that has just closed a connection after an answer may do so each time.
    pub fn keeps_open(&self) -> bool {
        self.is_kept
    }

    /// Sends so many requests that were appended to each other. [`HttpClient::read_response`] reads their answers.
    pub fn send_together(&mut self, requests: &[u8], count: usize) -> Result<(), NetError> {
        self.ensure_connected()?;
        self.live()?.write_together(requests, count)
    }

    /// Reads the answer to the oldest request that was written with `method` and has none yet. The body of the answer before it must
    /// have been read to its end.
    pub fn read_response(&mut self, method: Method) -> Result<Response<'_>, NetError> {
        let (head, framing) = self.live()?.read_answer(method)?;
        self.response(head, framing)
    }

    /// Whether a request has no answer yet, and one can come.
    pub fn awaits_answer(&self) -> bool {
        self.live.as_ref().is_some_and(Live::awaits_answer)
    }

    fn live(&mut self) -> Result<&mut Live, NetError> {
        self.live.as_mut().ok_or(NetError::Closed)
    }

    /// Connects unless the current connection can carry another request. Whether it can.
    fn ensure_connected(&mut self) -> Result<bool, NetError> {
        if self.live.as_ref().is_some_and(Live::is_reusable) {
            return Ok(true);
        }
        self.connect(self.connect_timeout)?;
        self.meet()?;
        Ok(false)
    }

    fn exchange(
        &mut self,
        method: Method,
        head: &[u8],
        fields: &Fields,
        body: &mut RequestBody<'_>,
    ) -> Result<(ResponseHead, Framing), NetError> {
        let live = self.live()?;
        live.write_request(head, expects_continue(fields), body)?;
        live.read_answer(method)
    }

    fn response(&mut self, head: ResponseHead, framing: Framing) -> Result<Response<'_>, NetError> {
        let live = self.live.as_mut().ok_or(NetError::Closed)?;
        self.is_kept = !live.is_closing();
        let body = Body::new(&mut live.conn, framing, Pace::Stall(READ_STALL));
        Ok(Response { head, body })
    }

    fn request_head(
        &self,
        method: Method,
        target: &str,
        fields: &Fields,
        body: &RequestBody<'_>,
    ) -> Result<Vec<u8>, NetError> {
        let mut all = self.defaults.clone();
        for (name, value) in fields.iter() {
            all.push(name, value);
        }
        let length = match body {
            // A method that usually has a body says so when it has none (RFC 9110, section 8.6).
            RequestBody::Empty => matches!(method, Method::Put | Method::Post | Method::Patch).then_some(0),
            RequestBody::Bytes(bytes) => Some(bytes.len() as u64),
            RequestBody::File { part, .. } => Some(part.left()),
            RequestBody::Chunked(_) => {
                all.push("transfer-encoding", "chunked");
                None
            }
        };
        if let Some(length) = length {
            all.push("content-length", length.to_string());
        }
        let target = format!("{}{target}", self.endpoint.base());
        encode_request(method, &target, &all).map_err(NetError::BadRequest)
    }
}

/// A way that leads to nobody, as far as can be told.
fn unanswered(kind: ErrorKind) -> io::Error {
    let words = match kind {
        ErrorKind::TimedOut => "it goes on without an answer",
        _ => "it ended without an answer",
    };
    io::Error::new(kind, words)
}

fn expects_continue(fields: &Fields) -> bool {
    fields.has_token("expect", "100-continue")
}

#[cfg(test)]
mod tests {
    use super::super::conn::Conn;
    use super::super::conn::tests::soon;
    use super::super::exchange::ChunkedSource;
    use super::super::file_part::FilePart;
    use super::super::file_part::tests::{file_of, hole_of};
    use super::*;
    use crate::wire::http::framing::request_framing;
    use crate::wire::http::head::{HeadError, RequestHead, parse_request};
    use std::io::{IoSlice, Read};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    type Handler = fn(Conn);

    /// A server that handles one connection with each handler, and a client of it.
    fn serve(handlers: &'static [Handler]) -> (HttpClient, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for handler in handlers {
                handler(Conn::new(listener.accept().unwrap().0).unwrap());
            }
        });
        let endpoint = format!("http://{address}/base/").parse().unwrap();
        (HttpClient::new(endpoint, "test/1", Some("secret")), server)
    }

    fn request(conn: &mut Conn) -> RequestHead {
        conn.read_head(parse_request, soon()).unwrap().expect("a request")
    }

    /// Reads a request with its body, and the body's trailers.
    fn receive(conn: &mut Conn) -> (RequestHead, String, Fields) {
        let head = request(conn);
        let framing = request_framing(&head).unwrap();
        let mut body = Body::new(conn, framing, Pace::Minimum);
        let mut text = String::new();
        body.read_to_string(&mut text).unwrap();
        let trailers = body.trailers().clone();
        (head, text, trailers)
    }

    /// Answers every request with its target and its body, until the client is gone.
    fn echo(mut conn: Conn) {
        while conn.fill(soon()).unwrap() != 0 {
            while !conn.buffered().is_empty() {
                let (head, body, _) = receive(&mut conn);
                let text = format!("{} {body}", head.target);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                conn.write_parts(&mut [IoSlice::new(head.as_bytes()), IoSlice::new(text.as_bytes())])
                    .unwrap();
            }
        }
    }

    #[track_caller]
    fn check(response: Response<'_>, status: u16, text: &str) {
        let Response { head, mut body } = response;
        let mut got = String::new();
        body.read_to_string(&mut got).unwrap();
        assert_eq!((head.status, &*got), (status, text));
    }

    fn get<'c>(client: &'c mut HttpClient, target: &str) -> Result<Response<'c>, NetError> {
        client.send(Method::Get, target, &Fields::new(), RequestBody::Empty)
    }

    #[test]
    fn requests_say_what_they_have_to() {
        let (mut client, server) = serve(&[|mut conn| {
            let (head, body, _) = receive(&mut conn);
            let fields = Fields::new()
                .with("host", head.fields.get("host").unwrap())
                .with("user-agent", "test/1")
                .with("authorization", "Bearer secret")
                .with("x", "1")
                .with("content-length", "5");
            assert_eq!((head.method, &*head.target, &*body), (Method::Put, "/base/a", "hello"));
            assert_eq!(head.fields, fields);
            conn.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }]);
        let fields = Fields::new().with("x", "1");
        check(client.send(Method::Put, "/a", &fields, RequestBody::Bytes(b"hello")).unwrap(), 204, "");
        server.join().unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }

    /// What comes of connecting through a shell command.
    fn connect_through(script: &str) -> Result<(), NetError> {
        let endpoint: Endpoint = "http://box.example".parse().unwrap();
        let command = format!("sh -c '{script}'").parse().unwrap();
        let mut client = HttpClient::new(endpoint.through(command), "test/1", Some("secret"));
        client.connect(Duration::from_millis(500))?;
        client.meet()
    }

    #[test]
    fn a_command_has_connected_when_somebody_answers() {
        let answers = "read line; printf \"HTTP/1.1 421 No\\r\\nContent-Length: 5\\r\\n\\r\\n\"; exec cat";
        assert!(connect_through(answers).is_ok());
        for (script, kind) in [
            ("exec sleep 1000", ErrorKind::TimedOut),
            ("cat >/dev/null", ErrorKind::TimedOut),
            ("exit 0", ErrorKind::UnexpectedEof),
        ] {
            match connect_through(script) {
                Err(NetError::Connect { cause, .. }) => {
                    // It may also end before it is written to.
                    let hung_up =
                        [ErrorKind::UnexpectedEof, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                    let is_end = kind != ErrorKind::TimedOut && hung_up.contains(&cause.kind());
                    assert!(cause.kind() == kind || is_end, "{script}: {cause}");
                    assert!(cause.to_string().contains("without an answer"), "{script}: {cause}");
                }
                other => panic!("{script}: {other:?}"),
            }
        }
        let failed = connect_through("echo away >&2; exit 255").unwrap_err().to_string();
        assert!(failed.contains("away") && failed.contains("box.example"), "{failed}");
    }

    /// A command may take twice as long: it has to start, too.
    #[test]
    fn connecting_is_given_up_in_time() {
        let endpoint: Endpoint = "http://box.example".parse().unwrap();
        let command = "sh -c 'exec sleep 1000'".parse().unwrap();
        let mut client = HttpClient::new(endpoint.through(command), "test/1", None);
        assert_eq!(client.connect_timeout, CONNECT_TIMEOUT);
        client.connect_timeout = Duration::from_millis(20);
        let error = get(&mut client, "/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let (mut client, server) = serve(&[echo]);
        for index in 0..10 {
            check(get(&mut client, &format!("/{index}")).unwrap(), 200, &format!("/base/{index} "));
        }
        let file = file_of(b"a file");
        for (start, length, text) in [(2, 3, "/base/f fil"), (6, 0, "/base/f ")] {
            let body =
                RequestBody::File { part: FilePart::new(&file, start, length), passed: &mut |_| Ok(()) };
            check(client.send(Method::Put, "/f", &Fields::new(), body).unwrap(), 200, text);
        }
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn an_unread_body_costs_the_connection() {
        let (mut client, server) = serve(&[echo, echo]);
        drop(get(&mut client, "/1").unwrap());
        check(get(&mut client, "/2").unwrap(), 200, "/base/2 ");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn a_connection_that_is_to_close_is_not_used_again() {
        const CLOSE: Handler = |mut conn| {
            receive(&mut conn);
            conn.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1").unwrap();
            // Whether it really is closed is left open: the client has to close its end first.
            assert_eq!(conn.fill(soon()).unwrap(), 0);
        };
        let (mut client, server) = serve(&[CLOSE, CLOSE]);
        check(get(&mut client, "/").unwrap(), 200, "1");
        check(get(&mut client, "/").unwrap(), 200, "1");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn requests_that_leave_together_are_answered_in_order() {
        let (mut client, server) = serve(&[echo]);
        let mut requests = Vec::new();
        for body in ["one", "", "three"] {
            let body = body.as_bytes();
            client.append_request(&mut requests, Method::Put, "/p", &Fields::new(), body).unwrap();
        }
        client.send_together(&requests, 3).unwrap();
        for body in ["one", "", "three"] {
            assert!(client.awaits_answer());
            check(client.read_response(Method::Put).unwrap(), 200, &format!("/base/p {body}"));
        }
        assert!(!client.awaits_answer() && client.keeps_open());
        check(get(&mut client, "/").unwrap(), 200, "/base/ ");
        drop(client);
        server.join().unwrap();
    }

    /// It is the last answer that tells; and who left the body of one unread can't read the next.
    #[test]
    fn after_a_closing_answer_none_is_awaited() {
        let (mut client, server) = serve(&[
            |mut conn| {
                receive(&mut conn);
                conn.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1")
                    .unwrap();
                receive(&mut conn);
            },
            echo,
        ]);
        let mut requests = Vec::new();
        for _ in 0..2 {
            client.append_request(&mut requests, Method::Get, "/", &Fields::new(), &[]).unwrap();
        }
        client.send_together(&requests, 2).unwrap();
        check(client.read_response(Method::Get).unwrap(), 200, "1");
        assert!(!client.awaits_answer() && !client.keeps_open());
        client.send_together(&requests, 2).unwrap();
        assert!(!client.keeps_open(), "nobody knows yet");
        drop(client.read_response(Method::Get).unwrap());
        assert!(client.keeps_open() && !client.awaits_answer());
        drop(client);
        server.join().unwrap();
    }

    /// Answers one request, and closes in the face of the next.
    fn answer_once(mut conn: Conn) {
        receive(&mut conn);
        conn.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        request(&mut conn);
    }

    #[test]
    fn a_stale_connection_is_replaced_once() {
        let (mut client, server) = serve(&[answer_once, echo]);
        check(get(&mut client, "/1").unwrap(), 204, "");
        check(get(&mut client, "/2").unwrap(), 200, "/base/2 ");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn what_might_have_happened_is_not_repeated() {
        let (mut client, server) = serve(&[answer_once]);
        check(get(&mut client, "/1").unwrap(), 204, "");
        let error = client.send(Method::Move, "/2", &Fields::new(), RequestBody::Empty).unwrap_err();
        assert!(matches!(error, NetError::Closed), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn a_body_is_sent_when_it_is_asked_for() {
        let (mut client, server) = serve(&[|mut conn| {
            let head = request(&mut conn);
            assert!(expects_continue(&head.fields) && conn.buffered().is_empty());
            let mut body =
                Body::new(&mut conn, request_framing(&head).unwrap(), Pace::Minimum).with_continue();
            let mut text = String::new();
            body.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            conn.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
            echo(conn);
        }]);
        let expect = Fields::new().with("expect", "100-continue");
        let file = file_of(b"hello");
        let body = RequestBody::File { part: FilePart::new(&file, 0, 5), passed: &mut |_| Ok(()) };
        check(client.send(Method::Put, "/", &expect, body).unwrap(), 201, "");
        check(get(&mut client, "/same").unwrap(), 200, "/base/same ");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn a_body_that_is_refused_is_not_sent() {
        let (mut client, server) = serve(&[
            |mut conn| {
                request(&mut conn);
                conn.write_all(b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 2\r\n\r\nno").unwrap();
                assert_eq!(conn.fill(soon()).unwrap(), 0);
            },
            echo,
        ]);
        let expect = Fields::new().with("expect", "100-continue");
        check(client.send(Method::Put, "/", &expect, RequestBody::Bytes(b"hello")).unwrap(), 412, "no");
        check(get(&mut client, "/new").unwrap(), 200, "/base/new ");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn who_is_never_asked_sends_in_the_end() {
        let (mut client, server) = serve(&[echo]);
        let expect = Fields::new().with("expect", "100-continue");
        check(
            client.send(Method::Put, "/", &expect, RequestBody::Bytes(b"hello")).unwrap(),
            200,
            "/base/ hello",
        );
        drop(client);
        server.join().unwrap();
    }

    /// Whether the server closes at once, so that a write fails, or leaves the client to find out.
    #[test]
    fn an_early_refusal_stops_an_upload() {
        const FULL: &[u8] = b"HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 4\r\n\r\nfull";
        let (mut client, server) = serve(&[
            |mut conn| {
                request(&mut conn);
                conn.write_all(FULL).unwrap();
                conn.lingering_close(Duration::from_secs(10));
            },
            |mut conn| {
                request(&mut conn);
                conn.write_all(FULL).unwrap();
                while matches!(conn.fill(soon()), Ok(1..)) {
                    conn.consume(conn.buffered().len());
                }
            },
        ]);
        for _ in 0..2 {
            let (file, mut sent) = (hole_of(1 << 30), 0);
            let mut passed = |count| {
                sent += count;
                Ok(())
            };
            let body = RequestBody::File { part: FilePart::new(&file, 0, 1 << 30), passed: &mut passed };
            check(client.send(Method::Put, "/", &Fields::new(), body).unwrap(), 507, "full");
            assert!(sent < 1 << 29, "most was not even sent");
        }
        drop(client);
        server.join().unwrap();
    }

    struct List {
        text: &'static [u8],
    }

    impl Read for List {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.text.read(&mut out[..3])
        }
    }

    impl ChunkedSource for List {
        fn trailers(&mut self) -> Fields {
            assert!(self.text.is_empty());
            Fields::new().with("repr-digest", "sha-256=::")
        }
    }

    #[test]
    fn content_of_unknown_length_has_trailers() {
        let (mut client, server) = serve(&[|mut conn| {
            let (head, body, trailers) = receive(&mut conn);
            assert_eq!(head.fields.get("transfer-encoding"), Some("chunked"));
            assert_eq!((&*body, trailers.get("repr-digest")), ("a longer list", Some("sha-256=::")));
            conn.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                .unwrap();
        }]);
        let mut list = List { text: b"a longer list" };
        let body = RequestBody::Chunked(&mut list);
        check(client.send(Method::Post, "/sync", &Fields::new(), body).unwrap(), 200, "ok");
        server.join().unwrap();
    }

    #[test]
    fn answers_to_a_pipeline_come_in_order() {
        let (mut client, server) = serve(&[echo]);
        client.connect(CONNECT_TIMEOUT).unwrap();
        for index in 0..50 {
            let body = index.to_string();
            client
                .write_request(Method::Put, "/", &Fields::new(), RequestBody::Bytes(body.as_bytes()))
                .unwrap();
        }
        for index in 0..50 {
            check(client.read_response(Method::Put).unwrap(), 200, &format!("/base/ {index}"));
        }
        drop(client);
        server.join().unwrap();
    }

    /// Where a server, or somebody who speaks in its place, leaves open where an answer ends, it is no answer.
    #[test]
    fn answers_whose_end_is_in_doubt() {
        const HEADS: [&str; 16] = [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: a\r\n b\r\n",
            "X: a\nY: b\r\n",
            "X: a\rY: b\r\n",
            "X: a\0\r\n",
            "no field\r\n",
            " X: a\r\n",
        ];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = HttpClient::new(
            format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
            "test/1",
            None,
        );
        let server = std::thread::spawn(move || {
            for lines in HEADS {
                let mut conn = Conn::new(listener.accept().unwrap().0).unwrap();
                request(&mut conn);
                conn.write_all(format!("HTTP/1.1 200 OK\r\n{lines}\r\nok").as_bytes()).unwrap();
            }
        });
        for lines in HEADS {
            let error = get(&mut client, "/").unwrap_err();
            assert!(matches!(error, NetError::Malformed(_)), "{lines:?}: {error}");
        }
        server.join().unwrap();
    }

    /// Bytes that come before they were asked for are of no request.
    #[test]
    fn an_answer_that_nobody_asked_for_is_not_the_next_one() {
        const TWO: &[u8] =
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        let (mut client, server) = serve(&[
            |mut conn| {
                request(&mut conn);
                conn.write_all(TWO).unwrap();
                assert_eq!(conn.fill(soon()).unwrap(), 0);
            },
            echo,
        ]);
        check(get(&mut client, "/1").unwrap(), 200, "ok");
        check(get(&mut client, "/2").unwrap(), 200, "/base/2 ");
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn heads_without_end_are_not_read_to_it() {
        let (mut client, server) = serve(&[|mut conn| {
            request(&mut conn);
            let mut sent = conn.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while sent.is_ok() {
                sent = conn.write_all(&[b'a'; 100_000]);
            }
        }]);
        assert!(matches!(get(&mut client, "/").unwrap_err(), NetError::Malformed(HeadError::TooLarge)));
        server.join().unwrap();
    }

    #[test]
    fn interim_answers_are_skipped() {
        let (mut client, server) = serve(&[|mut conn| {
            request(&mut conn);
            conn.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }]);
        check(get(&mut client, "/").unwrap(), 204, "");
        server.join().unwrap();
    }

    #[test]
    fn errors_tell_what_happened() {
        let (mut client, server) = serve(&[
            |mut conn| {
                request(&mut conn);
            },
            |mut conn| {
                request(&mut conn);
                conn.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            },
            |mut conn| {
                request(&mut conn);
                conn.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
            },
            |mut conn| {
                request(&mut conn);
                conn.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
            },
        ]);
        for start in [
            "the server closed the connection without an answer",
            "the server closed the connection within its answer",
            "the server's answer makes no sense: expected a version",
            "the server's answer makes no sense: bad field upgrade",
        ] {
            let message = get(&mut client, "/").unwrap_err().to_string();
            assert!(message.starts_with(start), "{message}");
        }
        server.join().unwrap();
        let error = get(&mut client, "/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("can't connect to http://127.0.0.1:"), "{error}");
    }

    #[test]
    fn what_can_not_be_sent_is_not_blamed_on_the_server() {
        let (mut client, server) = serve(&[|mut conn| while matches!(conn.fill(soon()), Ok(1..)) {}]);
        let error = get(&mut client, "/a b").unwrap_err();
        assert!(matches!(error, NetError::BadRequest(_)), "{error}");
        let file = file_of(b"hello");
        let body = RequestBody::File { part: FilePart::new(&file, 0, 6), passed: &mut |_| Ok(()) };
        let error = client.send(Method::Put, "/", &Fields::new(), body).unwrap_err();
        assert!(
            matches!(&error, NetError::Source(cause) if cause.kind() == ErrorKind::UnexpectedEof),
            "{error}"
        );
        drop(client);
        server.join().unwrap();
    }
}
