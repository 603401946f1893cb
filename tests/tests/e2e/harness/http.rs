//! HTTP/1.1 by hand over a socket, so that tests can also say what no library would let them say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::json::Json;
use super::wait::DEADLINE;

/// A request that knows how to write itself.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: None }
    }

    pub fn field(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = Some(body.as_ref().to_owned());
        self
    }

    /// The request as bytes: with `Host`, and with `Content-Length` if it has a body.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        [text.as_bytes(), self.body.as_deref().unwrap_or_default()].concat()
    }
}

/// An answer. Without a body as long as only its head has been read.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field; `None` unless it is there exactly once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    #[track_caller]
    pub fn json(&self) -> Json {
        Json::parse(&String::from_utf8_lossy(&self.body)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Fails with the whole answer unless the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{:?}\n{}", self.fields, String::from_utf8_lossy(&self.body));
        self
    }
}

/// One event of an event stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: String,
}

impl Event {
    #[track_caller]
    pub fn json(&self) -> Json {
        Json::parse(&self.data).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A connection on which requests are sent and answers read in any manner.
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// Bytes of an event stream that are taken out of their chunks but not yet part of a whole line.
    unread: Vec<u8>,
}

impl Connection {
    #[track_caller]
    pub fn open(address: &str) -> Connection {
        let connection = TcpStream::connect(address).and_then(Connection::over);
        connection.unwrap_or_else(|error| panic!("can't connect to {address}: {error}"))
    }

    fn over(stream: TcpStream) -> io::Result<Connection> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream), unread: Vec::new() })
    }

    /// Asks a server that may be about to end, on a connection of its own, and reads the whole answer.
    pub fn try_ask(address: &str, request: &Request) -> io::Result<Response> {
        let mut connection = Connection::over(TcpStream::connect(address)?)?;
        connection.try_send(request.encode())?;
        connection.try_response()
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("can't send: {error}"));
    }

    /// Sends to a server that may have hung up already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// The same connection once more, to send on while somebody reads.
    #[track_caller]
    pub fn another(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("clone a socket")
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        // A server that has hung up already makes this fail, and it does not matter.
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// Reads the head of an answer, be it an interim one.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        self.try_head().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_head(&mut self) -> io::Result<Response> {
        let status_line = self.try_line()?;
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let mut fields = Vec::new();
        loop {
            let line = self.try_line()?;
            if line.is_empty() {
                return Ok(Response { status, fields, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads an answer that has a body.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same of a server that may end meanwhile.
    pub fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.try_head()?;
        if matches!(response.status, 100..=199 | 204 | 304) {
            return Ok(response);
        }
        if response.field("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                response.body.extend(chunk);
            }
        } else if let Some(length) = response.field("Content-Length") {
            response.body = vec![0; length.parse().expect("Content-Length is a number")];
            self.stream.read_exact(&mut response.body)?;
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads one chunk of a chunked body; `None` after the last.
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size_line = self.line();
        let size = usize::from_str_radix(&size_line, 16)
            .unwrap_or_else(|_| panic!("not a chunk size: {size_line:?}"));
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).expect("read a chunk");
        assert_eq!(self.line(), "", "what follows a chunk");
        (size != 0).then_some(chunk)
    }

    /// Reads the next event of a chunked event stream. Comments are passed over.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let line = self.stream_line();
            match line.split_once(':').map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("id", value)) => event.id = value.to_owned(),
                Some(("event", value)) => event.name = value.to_owned(),
                Some(("data", value)) => {
                    let separator = if event.data.is_empty() { "" } else { "\n" };
                    event.data += &format!("{separator}{value}");
                }
                Some(_) => {}
                None if line.is_empty() && event != Event::default() => return event,
                None => {}
            }
        }
    }

    /// Reads events up to the next one with this name, and returns that.
    #[track_caller]
    pub fn event_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.event();
            if event.name == name {
                return event;
            }
        }
    }

    /// Reads what is left until the server hangs up.
    pub fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.read_to_end(bytes)
    }

    #[track_caller]
    fn line(&mut self) -> String {
        self.try_line().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let line = String::from_utf8(line).expect("heads are text");
        let broken_off = || io::Error::other(format!("the answer ends with {line:?}"));
        Ok(line.strip_suffix("\r\n").ok_or_else(broken_off)?.to_owned())
    }

    #[track_caller]
    fn stream_line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            }
            let chunk = self.chunk().expect("the event stream goes on");
            self.unread.extend(chunk);
        }
    }
}

#[test]
fn answers_and_events_are_read_as_sent() {
    let sent = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                5\r\n: no\n\r\n16\r\n\nid: 1-2\nevent: x\ndata\r\n8\r\n: {}\n\n: \r\n0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connection = Connection::open(&listener.local_addr().unwrap().to_string());
    listener.accept().unwrap().0.write_all(sent.as_bytes()).unwrap();
    assert_eq!(connection.head().status, 100);
    assert_eq!(connection.response().expect(201).body, b"ok");
    assert_eq!(connection.head().field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(connection.event(), Event { id: "1-2".into(), name: "x".into(), data: "{}".into() });
    assert_eq!(connection.chunk(), None);
    assert_eq!(connection.read_to_end(&mut Vec::new()).unwrap(), 0);
}
