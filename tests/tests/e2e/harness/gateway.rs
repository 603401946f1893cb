//! A proxy that speaks HTTP and can't pass a request and its answer on at the same time, as many can't. Each request has a connection of
//! its own to the server, and the thread that serves it does one thing after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// How much of a request goes to the server before it is looked for an answer: more than the kernel takes at once.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes it in as a whole, then passes on all of it, and only then looks for an answer.
    Whole,
    /// Passes it on as it comes, and stops when there is an answer.
    Piecewise,
}

/// The running proxy; dropped, it ends with all its connections.
pub struct Gateway {
    pub address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: String,
    manner: Manner,
    /// What is open, so that it can be ended; `None` when it has.
    open: Mutex<Option<Vec<TcpStream>>>,
}

impl Gateway {
    /// In front of the server at this address.
    #[track_caller]
    pub fn before(upstream: &str, manner: Manner) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let shared =
            Arc::new(Shared { upstream: upstream.to_owned(), manner, open: Mutex::new(Some(Vec::new())) });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || accept(&shared, &listener)
        });
        Gateway { address, shared, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for stream in self.shared.open.lock().unwrap().take().unwrap_or_default() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
        if let Some(accepting) = self.accepting.take() {
            // A panic has been shown by the thread itself.
            let _ = accepting.join();
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    thread::scope(|scope| {
        while let Ok((client, _)) = listener.accept() {
            let Ok(client) = shared.keep(client) else { return };
            // Whatever goes wrong here, the client notices.
            scope.spawn(move || shared.serve(&client));
        }
    });
}

impl Shared {
    /// Remembers a connection. It is an error if all is over.
    fn keep(&self, stream: TcpStream) -> io::Result<TcpStream> {
        stream.set_nodelay(true)?;
        let mut open = self.open.lock().unwrap();
        open.as_mut().ok_or(io::ErrorKind::NotConnected)?.push(stream.try_clone()?);
        Ok(stream)
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let Some(request) = RequestHead::read(&mut reader)? else { return Ok(()) };
        if request.expects {
            (&*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let server = self.keep(TcpStream::connect(&self.upstream)?)?;
        let passed = match self.manner {
            Manner::Whole => pass_whole(request, &mut reader, &server),
            Manner::Piecewise => pass_piecewise(request, &mut reader, &server),
        };
        match passed {
            Ok(()) => copy(&server, client)?,
            Err(error) => {
                write!(&*client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .map_err(|_| error)?
            }
        }
        // It may have ended by itself.
        let _ = server.shutdown(Shutdown::Both);
        client.shutdown(Shutdown::Write)?;
        io::copy(&mut reader, &mut io::sink()).map(drop)
    }
}

fn pass_whole(request: RequestHead, from: &mut impl BufRead, server: &TcpStream) -> io::Result<()> {
    let RequestHead { bytes: mut all, mut body, .. } = request;
    while body.read_piece(from, &mut all)? {}
    (&*server).write_all(&all)
}

fn pass_piecewise(request: RequestHead, from: &mut impl BufRead, server: &TcpStream) -> io::Result<()> {
    let RequestHead { bytes: mut piece, mut body, .. } = request;
    loop {
        let is_more = body.read_piece(from, &mut piece)?;
        if is_more && piece.len() < PIECE_BYTES {
            continue;
        }
        (&*server).write_all(&piece)?;
        piece.clear();
        if !is_more || is_answered(server)? {
            return Ok(());
        }
    }
}

fn is_answered(server: &TcpStream) -> io::Result<bool> {
    server.set_nonblocking(true)?;
    let peeked = server.peek(&mut [0]);
    server.set_nonblocking(false)?;
    match peeked {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Passes on what comes when it comes.
fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (mut from, mut to, mut buffer) = (from, to, vec![0; 64 * 1024]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// The head of a request, as it goes on.
struct RequestHead {
    bytes: Vec<u8>,
    body: Body,
    /// Whether the client waits to be told to send the body.
    expects: bool,
}

/// What is left of a body.
enum Body {
    Length(usize),
    Chunks,
    Nothing,
}

impl RequestHead {
    /// `None` if there is no request.
    fn read(from: &mut impl BufRead) -> io::Result<Option<RequestHead>> {
        let mut head = RequestHead { bytes: Vec::new(), body: Body::Nothing, expects: false };
        let mut line = String::new();
        while from.read_line(&mut line)? != 0 {
            let lower = line.trim_end().to_ascii_lowercase();
            match lower.split_once(": ") {
                _ if lower.is_empty() => {
                    head.bytes.extend(b"Connection: close\r\n\r\n");
                    return Ok(Some(head));
                }
                Some(("content-length", length)) => {
                    head.body = Body::Length(length.parse().expect("a number of bytes"));
                }
                Some(("transfer-encoding", "chunked")) => head.body = Body::Chunks,
                Some(("expect", _)) => {
                    head.expects = true;
                    line.clear();
                }
                _ => {}
            }
            head.bytes.extend(line.as_bytes());
            line.clear();
        }
        Ok(None)
    }
}

impl Body {
    /// Appends some of it, with the margins of its chunks. `false` if that was the end.
    fn read_piece(&mut self, from: &mut impl BufRead, out: &mut Vec<u8>) -> io::Result<bool> {
        match *self {
            Body::Nothing => {}
            Body::Length(left) => {
                let count = left.min(64 * 1024);
                append(from, count, out)?;
                *self = if count == left { Body::Nothing } else { Body::Length(left - count) };
            }
            Body::Chunks => {
                let mut line = String::new();
                from.read_line(&mut line)?;
                out.extend(line.as_bytes());
                let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                append(from, size + 2, out)?;
                if size == 0 {
                    *self = Body::Nothing;
                }
            }
        }
        Ok(!matches!(self, Body::Nothing))
    }
}

fn append(from: &mut impl BufRead, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let old = out.len();
    out.resize(old + count, 0);
    from.read_exact(&mut out[old..])
}
