//! Who is connected: caps, and the means to send everybody home.
//!
//! Every connection has a [`Seat`] here, which it gives back when it is dropped. A seat is *idle* while the connection waits for a
//! request. Stopping hangs up on the idle ones and lets the others finish; whoever has not finished in time is hung up on too.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use common::limits::{CONNECTIONS, CONNECTIONS_PER_PEER};
use common::net::transport::Transport;
use common::threads::lock;

use crate::listener::Origin;

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    table: Mutex<Table>,
    /// Signalled when the last seat is given back.
    empty: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Taken>,
    per_peer: HashMap<IpAddr, usize>,
    stopping: bool,
}

#[derive(Debug)]
struct Taken {
    transport: Transport,
    peer: Option<IpAddr>,
    idle: bool,
}

const THIS_MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    number: u64,
    peer: IpAddr,
}

/// Why there is no seat.
#[derive(Debug)]
pub(crate) enum NoSeat {
    /// All are taken, or all that one peer may take.
    Full,
    /// The server is stopping.
    Stopping,
    /// The system has no file descriptor for it.
    Io(io::Error),
}

impl Registry {
    /// A place for a new connection, unless there are too many.
    pub(crate) fn seat(self: &Arc<Registry>, transport: &Transport, origin: Origin) -> Result<Seat, NoSeat> {
        let mut table = lock(&self.table);
        if table.stopping {
            return Err(NoSeat::Stopping);
        }
        let peer = match origin {
            Origin::Address(peer) => Some(peer),
            // Whoever may connect to the socket is trusted with all there is.
            Origin::Local => None,
        };
        let same_peer = peer.and_then(|peer| table.per_peer.get(&peer)).copied().unwrap_or(0);
        if CONNECTIONS <= table.taken.len() || CONNECTIONS_PER_PEER <= same_peer {
            return Err(NoSeat::Full);
        }
        let transport = transport.try_clone().map_err(NoSeat::Io)?;
        let number = table.next;
        table.next += 1;
        table.taken.insert(number, Taken { transport, peer, idle: false });
        if let Some(peer) = peer {
            *table.per_peer.entry(peer).or_default() += 1;
        }
        Ok(Seat { registry: self.clone(), number, peer: peer.unwrap_or(THIS_MACHINE) })
    }

    /// How many are connected.
    pub(crate) fn count(&self) -> usize {
        lock(&self.table).taken.len()
    }

    /// Lets nobody in any more, and hangs up on those who wait for a request.
    pub(crate) fn stop(&self) {
        let mut table = lock(&self.table);
        table.stopping = true;
        for taken in table.taken.values().filter(|taken| taken.idle) {
            // Failing means that the peer was faster.
            let _ = taken.transport.shutdown(Shutdown::Both);
        }
    }

    /// Hangs up on everybody.
    pub(crate) fn hang_up(&self) {
        for taken in lock(&self.table).taken.values() {
            let _ = taken.transport.shutdown(Shutdown::Both);
        }
    }

    /// Waits until nobody is connected, at most for `patience`. How many still are.
    pub(crate) fn wait_until_empty(&self, patience: Duration) -> usize {
        let table = lock(&self.table);
        let waited = self.empty.wait_timeout_while(table, patience, |table| !table.taken.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.taken.len()
    }
}

impl Seat {
    /// The connection's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where the connection comes from. Whoever comes through a Unix socket counts as this machine.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Notes that the connection waits for a request. `false`: the server is stopping, so it should not.
    pub(crate) fn wait(&self) -> bool {
        let mut table = lock(&self.registry.table);
        let go_on = !table.stopping;
        if let Some(taken) = table.taken.get_mut(&self.number) {
            taken.idle = go_on;
        }
        go_on
    }

    /// Notes that a request has begun: it will be let finish.
    pub(crate) fn work(&self) {
        if let Some(taken) = lock(&self.registry.table).taken.get_mut(&self.number) {
            taken.idle = false;
        }
    }

    /// Whether the connection ought to end with this request.
    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.registry.table).stopping
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = lock(&self.registry.table);
        if let Some(peer) = table.taken.remove(&self.number).and_then(|taken| taken.peer) {
            match table.per_peer.get(&peer).copied().unwrap_or(0) {
                0 | 1 => table.per_peer.remove(&peer),
                more => table.per_peer.insert(peer, more - 1),
            };
        }
        if table.taken.is_empty() {
            self.registry.empty.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn connection() -> (Transport, TcpStream, Origin) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        (server.into(), client, Origin::Address(peer.ip()))
    }

    #[test]
    fn seats_are_given_back() {
        let registry = Arc::new(Registry::default());
        let (transport, _client, peer) = connection();
        let first = registry.seat(&transport, peer).unwrap();
        let second = registry.seat(&transport, Origin::Local).unwrap();
        assert_eq!(registry.count(), 2);
        assert_eq!(lock(&registry.table).per_peer.len(), 1);
        drop(first);
        assert_eq!(registry.wait_until_empty(Duration::ZERO), 1);
        drop(second);
        assert_eq!(registry.wait_until_empty(Duration::ZERO), 0);
        assert!(lock(&registry.table).per_peer.is_empty());
    }

    #[test]
    fn stopping_hangs_up_on_the_idle_only() {
        let registry = Arc::new(Registry::default());
        let (idle, _idle_client, peer) = connection();
        let (busy, _busy_client, _) = connection();
        let idle_seat = registry.seat(&idle, peer).unwrap();
        let busy_seat = registry.seat(&busy, peer).unwrap();
        assert!(idle_seat.wait() && busy_seat.wait());
        busy_seat.work();
        registry.stop();
        assert!(idle.is_readable().unwrap() && !busy.is_readable().unwrap());
        assert!(!busy_seat.wait(), "it may finish, but not begin again");
        assert!(matches!(registry.seat(&busy, peer), Err(NoSeat::Stopping)));
        registry.hang_up();
        assert!(busy.is_readable().unwrap());
    }
}
