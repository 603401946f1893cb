//! Lets connections in: a thread each, up to a cap.
//!
//! Accepting goes on whatever happens to a single connection, and whatever the system runs out of; it ends when the stop bell rings. When
//! there are too many connections, one of them makes room (see [`room`](crate::room)). For whom there is none, because those who have to go
//! take their time, hears 503 at once, which costs no thread.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use common::limits::{ACCEPT_PAUSE, CONNECTION_STACK};
use common::net::transport::Transport;
use common::sys::poll::{self, PollFd};
use common::sys::wake::Wake;

use crate::connection::serve;
use crate::listener::{Listener, Origin};
use crate::registry::{NoSeat, Seat};
use crate::service::Service;

/// How long the loop sleeps when nobody connects; the bell wakes it whenever it rings.
const UNDISTURBED: Duration = Duration::from_secs(3600);

/// What a connection beyond the cap hears.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Accepts on all listeners until the bell rings.
pub(crate) fn accept_all(service: &Arc<Service>, listeners: &[Listener], stop: &Wake) -> io::Result<()> {
    let mut troubles = Troubles { service, last: None };
    loop {
        let mut fds = vec![PollFd::readable(stop.as_fd())];
        fds.extend(listeners.iter().map(|listener| PollFd::readable(listener.as_fd())));
        poll::wait(&mut fds, UNDISTURBED)?;
        if fds[0].is_ready() {
            return Ok(());
        }
        // A few from each, so that none keeps the others waiting.
        for (listener, fd) in listeners.iter().zip(&fds[1..]) {
            if fd.is_ready() {
                accept_some(service, listener, &mut troubles, stop)?;
            }
        }
    }
}

/// How many come in by one listener before another is looked at.
const ACCEPTED_AT_ONCE: usize = 64;

fn accept_some(
    service: &Arc<Service>,
    listener: &Listener,
    troubles: &mut Troubles<'_>,
    stop: &Wake,
) -> io::Result<()> {
    for _ in 0..ACCEPTED_AT_ONCE {
        match listener.accept() {
            Ok((transport, origin)) => match admit(service, transport, origin) {
                Ok(()) => troubles.over(),
                Err(error) => return troubles.happen("serve a connection", &error, stop),
            },
            Err(error) if is_nothing(&error) => return Ok(()),
            Err(error) => return troubles.happen("accept a connection", &error, stop),
        }
    }
    Ok(())
}

/// Nobody is waiting any more, or somebody gave up waiting.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

fn admit(service: &Arc<Service>, transport: Transport, origin: Origin) -> io::Result<()> {
    match service.registry.seat(&transport, origin) {
        Ok(seat) => start(service.clone(), seat, transport.clone()).inspect_err(|_| turn_away(&transport)),
        Err(NoSeat::Full) => {
            turn_away(&transport);
            Ok(())
        }
        Err(NoSeat::Stopping) => Ok(()),
    }
}

fn start(service: Arc<Service>, seat: Seat, transport: Transport) -> io::Result<()> {
    let name = format!("conn-{}", seat.number());
    let thread = Builder::new().name(name).stack_size(CONNECTION_STACK);
    // Not joined: the seat accounts for the thread, and it is given back as the last thing the thread does.
    thread.spawn(move || run(&service, &seat, transport)).map(drop)
}

fn run(service: &Arc<Service>, seat: &Seat, transport: Transport) {
    let peer = transport.peer();
    // Handlers are guarded already; this is for everything around them.
    match catch_unwind(AssertUnwindSafe(|| serve(service, seat, transport))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => service.log.debug(format!("{peer}: {error}")),
        Err(_) => service.panics.count(),
    }
}

/// Tells the peer to come back later. Whether that arrives is not waited for.
fn turn_away(transport: &Transport) {
    // The socket is new: its buffer takes these few bytes without waiting.
    let _ = transport.write_vectored(&[IoSlice::new(BUSY)]);
    let _ = transport.shutdown(Shutdown::Write);
}

/// What keeps connections from being let in: told once when it begins and once when it is over for good, and waited out in between. Those
/// who are there and say nothing have to go meanwhile.
struct Troubles<'a> {
    service: &'a Service,
    last: Option<Instant>,
}

/// After so much time without any, troubles are over.
const OVER: Duration = Duration::from_secs(10);

impl Troubles<'_> {
    fn happen(&mut self, what: &str, error: &io::Error, stop: &Wake) -> io::Result<()> {
        if self.last.is_none() {
            self.service.log.error(format!(
                "can't {what}: {error}; trying again (if there are too few file descriptors, raise ulimit -n)"
            ));
        }
        self.last = Some(Instant::now());
        self.service.registry.shed();
        poll::wait(&mut [PollFd::readable(stop.as_fd())], ACCEPT_PAUSE).map(drop)
    }

    fn over(&mut self) {
        if self.last.is_some_and(|last| OVER < last.elapsed()) {
            self.service.log.info("connections are let in again");
            self.last = None;
        }
    }
}
