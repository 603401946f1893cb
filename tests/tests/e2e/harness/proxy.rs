//! A proxy between a client and the server that misbehaves as told. Without a server behind it, it is a server that makes everything up.
//!
//! ```text
//!     client --> "proxy" thread: accepts --> "proxy-N" thread: reads the head of one request, asks the plan what is to go wrong
//!                                                  |--> forwards it, with a thread for each direction
//!                                                  `--> or answers by itself
//! ```
//!
//! Every connection carries one request: the proxy asks the server to close it. So requests can be counted, and each can have a fault of
//! its own, without any knowledge of bodies.
//!
//! std can't ask for a reset. But a socket that is closed while something is unread in it sends one, so a connection that is to end with
//! a reset always leaves the last byte of the request where it is.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wait::pass;

/// How often a thread that waits looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// Longest head of a request.
const HEAD_BYTES: usize = 64 * 1024;

/// What is known of a request before its fate is decided.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How many were asked before.
    pub number: usize,
    pub method: String,
    pub target: String,
    /// When its head had come.
    pub at: Instant,
}

impl Asked {
    /// Whether it is this method (any, if empty) on a target that begins so.
    pub fn is(&self, method: &str, prefix: &str) -> bool {
        (method.is_empty() || self.method == method) && self.target.starts_with(prefix)
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order, as far as TCP goes.
    Close,
    /// RST.
    Reset,
    /// Not at all: nothing more is said and nothing read, until the proxy lets go.
    Silence,
}

/// What goes wrong with one request.
pub enum Fault {
    /// Nothing.
    None,
    /// The server never hears of it; this is said instead.
    Answer(Vec<u8>, End),
    /// The same, piece by piece, as long as the client listens.
    Pieces(Box<dyn Iterator<Item = Vec<u8>> + Send>, End),
    /// Only so many bytes of the request reach the server.
    CutRequest(u64, End),
    /// The server hears all of it, and only so many bytes of its answer come back. The server has answered when this happens.
    CutAnswer(u64, End),
    /// So many bytes a second, either way.
    Slow(u64),
    /// The answer takes longer than usual by this.
    Late(Duration),
    /// The answer comes twice.
    Twice,
}

impl Fault {
    /// An answer with a head of its own making.
    pub fn says(status: &str, fields: &str, body: &str) -> Fault {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        Fault::Answer(text.into_bytes(), End::Close)
    }
}

type Plan = dyn Fn(&Asked) -> Fault + Send + Sync;

struct Shared {
    upstream: Option<String>,
    plan: Mutex<Arc<Plan>>,
    asked: Mutex<Vec<Asked>>,
    /// Nothing is forwarded on any connection.
    frozen: AtomicBool,
    stopped: AtomicBool,
    /// Both sides of what is open, so that it can be ended. Whoever serves a connection owns it, and by dropping it sends the reset.
    open: Mutex<Vec<Weak<TcpStream>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The running proxy; dropped, it ends with all its connections.
pub struct Proxy {
    /// Host and port.
    pub address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of the server at this address, with no faults.
    #[track_caller]
    pub fn before(upstream: &str) -> Proxy {
        Proxy::start(Some(upstream.to_owned()))
    }

    /// With no server behind: whatever the plan forwards is hung up on.
    #[track_caller]
    pub fn alone() -> Proxy {
        Proxy::start(None)
    }

    #[track_caller]
    fn start(upstream: Option<String>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        listener.set_nonblocking(true).expect("accept without waiting");
        let shared = Arc::new(Shared {
            upstream,
            plan: Mutex::new(Arc::new(|_| Fault::None)),
            asked: Mutex::default(),
            frozen: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open: Mutex::default(),
            threads: Mutex::default(),
        });
        let accepting = shared.clone();
        shared.spawn("proxy".into(), move || accept(&accepting, &listener));
        Proxy { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong from now on. Connections that are open already stay as they are.
    pub fn plan(&self, plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) {
        *lock(&self.shared.plan) = Arc::new(plan);
    }

    /// Nothing goes wrong from now on, and what was kept silent is hung up on.
    pub fn behave(&self) {
        self.plan(|_| Fault::None);
        self.hang_up();
    }

    /// Ends all connections that are open.
    pub fn hang_up(&self) {
        for stream in lock(&self.shared.open).drain(..).filter_map(|stream| stream.upgrade()) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on nothing is forwarded any more, in either direction, on any connection; none ends.
    pub fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::SeqCst);
    }

    /// New connections work again. What was frozen has lost nothing, and goes on.
    pub fn thaw(&self) {
        self.shared.frozen.store(false, Ordering::SeqCst);
    }

    /// What was asked so far and passes a test.
    pub fn asked(&self, test: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        lock(&self.shared.asked).iter().filter(|asked| test(asked)).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.hang_up();
        loop {
            let threads = std::mem::take(&mut *lock(&self.shared.threads));
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                // A panic has been shown by the thread itself.
                let _ = thread.join();
            }
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut number = 0;
    while !shared.is_stopped() {
        match listener.accept() {
            Ok((client, _)) => {
                number += 1;
                let serving = shared.clone();
                shared.spawn(format!("proxy-{number}"), move || {
                    // Whatever goes wrong here, the client notices.
                    let _ = serving.serve(client);
                });
            }
            Err(_) => pass(Duration::from_millis(2)),
        }
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) {
        let thread = thread::Builder::new().name(name).spawn(body).expect("start a thread");
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Keeps a handle with which a connection can be ended.
    fn keep(&self, stream: TcpStream) -> io::Result<Arc<TcpStream>> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        let stream = Arc::new(stream);
        let mut open = lock(&self.open);
        open.retain(|stream| 0 < stream.strong_count());
        open.push(Arc::downgrade(&stream));
        Ok(stream)
    }

    /// Waits as long as the proxy is frozen. Whether to go on.
    fn wait_while_frozen(&self) -> bool {
        while self.frozen.load(Ordering::SeqCst) && !self.is_stopped() {
            pass(LOOK);
        }
        !self.is_stopped()
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let client = self.keep(client)?;
        let Some(length) = self.wait_for_head(&client)? else { return Ok(()) };
        // All of the head but its last byte; see the module.
        let mut head = vec![0; length];
        (&*client).read_exact(&mut head[..length - 1])?;
        head[length - 1] = b'\n';
        let asked = self.note(&head);
        let plan = lock(&self.plan).clone();
        let fault = plan(&asked);
        if !self.wait_while_frozen() {
            return Ok(());
        }
        match fault {
            Fault::Answer(bytes, end) => self.answer(&client, std::iter::once(bytes), end),
            Fault::Pieces(pieces, end) => self.answer(&client, pieces, end),
            fault => self.forward(&client, &close_after(&head), &fault),
        }
    }

    /// The length of the head at the beginning of what the client says, once all of it has come.
    fn wait_for_head(&self, client: &TcpStream) -> io::Result<Option<usize>> {
        let mut buffer = vec![0; HEAD_BYTES];
        while !self.is_stopped() {
            let count = match client.peek(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if is_early(&error) => continue,
                Err(error) => return Err(error),
            };
            if let Some(end) = buffer[..count].windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(end + 4));
            }
            pass(Duration::from_millis(1));
        }
        Ok(None)
    }

    fn note(&self, head: &[u8]) -> Asked {
        let head = String::from_utf8_lossy(head);
        let mut words = head.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let mut asked = lock(&self.asked);
        let new = Asked { number: asked.len(), method, target, at: Instant::now() };
        asked.push(new.clone());
        new
    }

    fn answer(&self, client: &TcpStream, pieces: impl Iterator<Item = Vec<u8>>, end: End) -> io::Result<()> {
        let mut client = client;
        for piece in pieces {
            if self.is_stopped() {
                return Ok(());
            }
            client.write_all(&piece)?;
        }
        self.end(client, end)
    }

    /// Ends a connection. A request that is still being sent is read first if the end is to be a good one.
    fn end(&self, client: &TcpStream, end: End) -> io::Result<()> {
        match end {
            // The last byte of the request is unread.
            End::Reset => Ok(()),
            End::Close => {
                client.shutdown(Shutdown::Write)?;
                let (mut client, mut buffer) = (client, [0; 4096]);
                while !self.is_stopped() {
                    match client.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(error) if is_early(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
            End::Silence => {
                while !self.is_stopped() && !is_shut(client) {
                    pass(LOOK);
                }
                Ok(())
            }
        }
    }

    fn forward(&self, client: &TcpStream, head: &[u8], fault: &Fault) -> io::Result<()> {
        let Some(upstream) = &self.upstream else { return Ok(()) };
        let server = self.keep(TcpStream::connect(upstream)?)?;
        let (mut most_up, mut most_down) = (u64::MAX, u64::MAX);
        let mut last = End::Close;
        match *fault {
            Fault::CutRequest(most, end) => (most_up, last) = (most, end),
            Fault::CutAnswer(most, end) => (most_down, last) = (most, end),
            _ => {}
        }
        let rate = if let Fault::Slow(rate) = *fault { Some(rate) } else { None };
        let mut up = Pump { most: most_up, rate, leaves_one: last == End::Reset, ..Pump::default() };
        let mut down = Pump { most: most_down, rate, ..Pump::default() };
        if let Fault::Late(time) = *fault {
            down.late = Some(time);
        }
        down.twice = matches!(fault, Fault::Twice);
        // What is left of the head's last byte counts as forwarded, and so does a cut within the head.
        let cut = usize::try_from(most_up).unwrap_or(usize::MAX).min(head.len());
        (&*server).write_all(&head[..cut])?;
        up.most -= cut as u64;
        if !up.leaves_one {
            let mut client = client;
            client.read_exact(&mut [0])?;
        }
        let done = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            let upward = || {
                if matches!(up.run(self, client, &server, &done), Ok(Pumped::All)) {
                    // The client will say nothing more; the server may still answer.
                    let _ = server.shutdown(Shutdown::Write);
                } else {
                    done.store(true, Ordering::SeqCst);
                }
            };
            thread::Builder::new().name("proxy-up".into()).spawn_scoped(scope, upward)?;
            let ended = down.run(self, &server, client, &done);
            done.store(true, Ordering::SeqCst);
            ended
        });
        if last != End::Silence {
            // The server is not to wait for what will never come.
            let _ = server.shutdown(Shutdown::Both);
        }
        ended?;
        self.end(client, last)
    }
}

/// What came of pumping.
enum Pumped {
    /// Whoever was read from has ended.
    All,
    /// As much as was to be forwarded is.
    Most,
    /// The other direction ended.
    Stopped,
}

/// One direction of one connection.
struct Pump {
    /// Bytes to forward.
    most: u64,
    /// Bytes a second.
    rate: Option<u64>,
    /// How long to wait before the first byte.
    late: Option<Duration>,
    /// Whether all of it is said again at the end.
    twice: bool,
    /// Whether the last byte that came always stays unread.
    leaves_one: bool,
}

impl Default for Pump {
    fn default() -> Pump {
        Pump { most: u64::MAX, rate: None, late: None, twice: false, leaves_one: false }
    }
}

impl Pump {
    fn run(
        &mut self,
        shared: &Shared,
        from: &TcpStream,
        to: &TcpStream,
        done: &AtomicBool,
    ) -> io::Result<Pumped> {
        let (mut to, mut all) = (to, Vec::new());
        let size = self.rate.map_or(64 * 1024, |rate| usize::try_from(rate / 10).unwrap_or(1).max(1));
        loop {
            if done.load(Ordering::SeqCst) || !shared.wait_while_frozen() {
                return Ok(Pumped::Stopped);
            }
            let bytes = match self.take(from, size) {
                Ok(bytes) => bytes,
                Err(error) if is_early(&error) => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                if self.twice {
                    to.write_all(&all)?;
                }
                return Ok(Pumped::All);
            }
            if let Some(late) = self.late.take() {
                pass(late);
            }
            if !shared.wait_while_frozen() {
                return Ok(Pumped::Stopped);
            }
            let count = usize::try_from(self.most).unwrap_or(usize::MAX).min(bytes.len());
            to.write_all(&bytes[..count])?;
            self.most -= count as u64;
            if self.twice {
                all.extend(&bytes);
            }
            if self.most == 0 {
                return Ok(Pumped::Most);
            }
            if self.rate.is_some() {
                pass(Duration::from_millis(100));
            }
        }
    }

    /// What has come; nothing if nothing more will.
    fn take(&self, from: &TcpStream, size: usize) -> io::Result<Vec<u8>> {
        let (mut from, mut buffer) = (from, vec![0; size + 1]);
        if !self.leaves_one {
            let count = from.read(&mut buffer[..size])?;
            buffer.truncate(count);
            return Ok(buffer);
        }
        // The first byte was forwarded when it was the last.
        let count = from.peek(&mut buffer)?;
        if count <= 1 {
            pass(Duration::from_millis(2));
            return Err(ErrorKind::WouldBlock.into());
        }
        from.read_exact(&mut vec![0; count - 1])?;
        buffer.truncate(count);
        buffer.remove(0);
        Ok(buffer)
    }
}

/// The same head with a request to close the connection after the answer.
fn close_after(head: &[u8]) -> Vec<u8> {
    let line = head.windows(2).position(|two| two == b"\r\n").expect("a head has a first line") + 2;
    [&head[..line], b"Connection: close\r\n", &head[line..]].concat()
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Whether this end of a connection was shut down, or the other has gone.
fn is_shut(stream: &TcpStream) -> bool {
    matches!(stream.take_error(), Ok(Some(_))) || stream.peer_addr().is_err()
}
