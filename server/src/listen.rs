//! Lets connections in: a thread each, up to a cap.
//!
//! ```text
//!     accept  ->  lobby, until the first byte comes  ->  a thread of its own
//! ```
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
use common::sys::errno;
use common::sys::poll::{self, PollFd};
use common::sys::wake::Wake;

use crate::connection::serve;
use crate::listener::{Listener, Origin};
use crate::lobby::Lobby;
use crate::registry::{NoSeat, Seat};
use crate::service::Service;

/// How long the loop sleeps when nobody connects; the bell wakes it whenever it rings.
const UNDISTURBED: Duration = Duration::from_secs(3600);

/// What a connection beyond the cap hears.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Accepts on all listeners until the bell rings.
pub(crate) fn accept_all(service: &Arc<Service>, listeners: &[Listener], stop: &Wake) -> io::Result<()> {
    let mut entrance = Entrance { service, stop, lobby: Lobby::default(), trouble: None };
    while let Some(turn) = entrance.wait(listeners)? {
        for number in turn.speakers {
            entrance.let_speak(number)?;
        }
        entrance.lobby.note_the_silent();
        entrance.lobby.send_away_the_silent(Instant::now());
        // A few from each, so that none keeps the others waiting.
        for listener in turn.listeners {
            entrance.accept_some(listener)?;
        }
    }
    Ok(())
}

/// How many come in by one listener before another is looked at, and whether those who came before have begun to speak.
const ACCEPTED_AT_ONCE: usize = 64;

/// After so much time without any, troubles are over.
const OVER: Duration = Duration::from_secs(10);

/// Where connections come in.
struct Entrance<'a> {
    service: &'a Arc<Service>,
    stop: &'a Wake,
    lobby: Lobby,
    /// When something has last kept a connection from being let in.
    trouble: Option<Instant>,
}

/// What there is to be done.
struct Turn<'l> {
    /// Who has begun to speak, by number.
    speakers: Vec<u64>,
    /// Where somebody waits.
    listeners: Vec<&'l Listener>,
}

impl Entrance<'_> {
    /// Waits for something to do. `None`: the bell rings.
    fn wait<'l>(&self, listeners: &'l [Listener]) -> io::Result<Option<Turn<'l>>> {
        let mut fds = vec![PollFd::readable(self.stop.as_fd())];
        fds.extend(listeners.iter().map(|listener| PollFd::readable(listener.as_fd())));
        let (numbers, silent): (Vec<u64>, Vec<PollFd<'_>>) = self.lobby.watched().unzip();
        fds.extend(silent);
        poll::wait(&mut fds, self.lobby.patience().unwrap_or(UNDISTURBED))?;
        let (stop, rest) = fds.split_at(1);
        if stop[0].is_ready() {
            return Ok(None);
        }
        let (waiting, speaking) = rest.split_at(listeners.len());
        Ok(Some(Turn { speakers: of_ready(numbers, speaking), listeners: of_ready(listeners, waiting) }))
    }

    /// Gives one who has begun to speak a thread.
    fn let_speak(&mut self, number: u64) -> io::Result<()> {
        let Some((seat, transport)) = self.lobby.take(number) else { return Ok(()) };
        match start(self.service.clone(), seat, transport.clone()) {
            Ok(()) => Ok(()),
            Err(error) => {
                turn_away(&transport);
                self.have_trouble("serve a connection", &error)
            }
        }
    }

    fn accept_some(&mut self, listener: &Listener) -> io::Result<()> {
        for _ in 0..ACCEPTED_AT_ONCE {
            match listener.accept() {
                Ok((transport, origin)) => self.admit(transport, origin),
                Err(error) if is_nothing(&error) => return Ok(()),
                Err(error) => return self.have_trouble("accept a connection", &error),
            }
        }
        Ok(())
    }

    fn admit(&mut self, transport: Transport, origin: Origin) {
        match self.service.registry.seat(&transport, origin) {
            Ok(seat) => {
                if let Some(leaver) = seat.leaver() {
                    self.lobby.send_away(leaver);
                }
                self.lobby.enter(seat, transport);
                self.have_none();
            }
            Err(NoSeat::Full) => turn_away(&transport),
            Err(NoSeat::Stopping) => {}
        }
    }

    /// What keeps connections from being let in is told once when it begins and once when it is over for good, and waited out in between.
    /// If descriptors or threads have run out, those who are there and say nothing have to go meanwhile; else they are not to blame.
    fn have_trouble(&mut self, what: &str, error: &io::Error) -> io::Result<()> {
        if self.trouble.is_none() {
            self.service.log.error(format!(
                "can't {what}: {error}; trying again (if there are too few file descriptors, raise ulimit -n)"
            ));
        }
        self.trouble = Some(Instant::now());
        if has_run_out(error) {
            self.service.registry.shed();
        }
        poll::wait(&mut [PollFd::readable(self.stop.as_fd())], ACCEPT_PAUSE).map(drop)
    }

    fn have_none(&mut self) {
        if self.trouble.is_some_and(|last| OVER < last.elapsed()) {
            self.service.log.info("connections are let in again");
            self.trouble = None;
        }
    }
}

/// Those of `all` whose descriptors are ready.
fn of_ready<T>(all: impl IntoIterator<Item = T>, fds: &[PollFd<'_>]) -> Vec<T> {
    all.into_iter().zip(fds).filter(|(_, fd)| fd.is_ready()).map(|(one, _)| one).collect()
}

/// Nobody is waiting any more, or somebody gave up waiting.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// Whether there would be room if others went.
fn has_run_out(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::EMFILE | errno::ENFILE | errno::EAGAIN | errno::ENOMEM))
}

fn start(service: Arc<Service>, seat: Seat, transport: Transport) -> io::Result<()> {
    // Not joined: the seat accounts for the thread, and it is given back as the last thing the thread does.
    thread_of(seat.number()).spawn(move || run(&service, seat, transport)).map(drop)
}

fn thread_of(number: u64) -> Builder {
    Builder::new().name(format!("conn-{number}")).stack_size(CONNECTION_STACK)
}

fn run(service: &Arc<Service>, seat: Seat, transport: Transport) {
    let peer = transport.peer();
    // Handlers are guarded already; this is for everything around them.
    match catch_unwind(AssertUnwindSafe(|| serve(service, &seat, &peer, transport))) {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(follower))) => {
            if let Err(error) = follower.start(service.clone(), seat) {
                service.log.warn(format!("{peer}: can't go on with a stream: {error}"));
            }
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::registry::Registry;
    use crate::room::Capacity;
    use crate::testing::Workshop;

    #[test]
    fn threads_of_connections_have_the_stack_that_is_said() {
        let thread = format!("{:?}", thread_of(7));
        let stack = format!("stack_size: {:?}", Some(CONNECTION_STACK));
        assert!(thread.contains(&stack), "{thread}");
    }

    #[test]
    fn trouble_is_waited_out_unless_the_server_stops() {
        let workshop = Workshop::new();
        let stop = Wake::new().unwrap();
        let service = &workshop.service;
        let mut entrance = Entrance { service, stop: &stop, lobby: Lobby::default(), trouble: None };
        let mut have_trouble = || {
            let begun = Instant::now();
            entrance.have_trouble("accept", &io::Error::from_raw_os_error(errno::EINVAL)).unwrap();
            begun.elapsed()
        };
        assert!(ACCEPT_PAUSE <= have_trouble());
        stop.ring();
        // Of many times one is not held up by something else.
        assert!((0..100).any(|_| have_trouble() < ACCEPT_PAUSE));
    }

    /// Those who were asked to go and have not gone yet are waited for, but not for long.
    #[test]
    fn where_nobody_goes_nobody_is_let_in() {
        let workshop = Workshop::new();
        let registry = Arc::new(Registry::new(Capacity::of_descriptors(0), workshop.service.hub.clone()));
        let mut seats = Vec::new();
        let refused = loop {
            let (socket, _) = UnixStream::pair().unwrap();
            let begun = Instant::now();
            match registry.seat(&socket.into(), Origin::Local) {
                Ok(seat) => seats.push(seat),
                Err(none) => break (none, begun.elapsed()),
            }
        };
        assert_eq!(refused.0, NoSeat::Full);
        assert!(ACCEPT_PAUSE <= refused.1, "{refused:?}");
        assert_eq!(registry.count(), seats.len());
    }
}
