//! Who is connected, and the means to send them home.
//!
//! Every connection has a [`Seat`] here, which it gives back when it is dropped. [`Room`] knows who has to go for whom; here is what that
//! takes: a socket that is shut down, so that the thread that waits at it ends. Until it has, it keeps its seat.
//!
//! Stopping hangs up on those who wait for a request and lets the others finish; whoever has not finished in time is hung up on too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use common::limits::ACCEPT_PAUSE;
use common::net::transport::Transport;
use common::threads::lock;

use crate::hub::Hub;
use crate::listener::Origin;
use crate::realm::Account;
use crate::room::{Capacity, Full, Room, Standing};

/// All connections.
#[derive(Debug)]
pub(crate) struct Registry {
    hub: Arc<Hub>,
    table: Mutex<Table>,
    /// Signalled when a seat is given back.
    left: Condvar,
}

#[derive(Debug)]
struct Table {
    next: u64,
    taken: HashMap<u64, Taken>,
    room: Room,
    stopping: bool,
}

#[derive(Debug)]
struct Taken {
    transport: Transport,
    idle: bool,
}

const THIS_MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    number: u64,
    peer: IpAddr,
    leaver: Option<u64>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// All are taken, and those who were asked to go take their time.
    Full,
    /// The server is stopping.
    Stopping,
}

impl Registry {
    /// With so many seats. Whoever listens to this hub can be sent home, too.
    pub(crate) fn new(capacity: Capacity, hub: Arc<Hub>) -> Registry {
        let table = Table { next: 0, taken: HashMap::new(), room: Room::new(capacity), stopping: false };
        Registry { hub, table: Mutex::new(table), left: Condvar::new() }
    }

    /// A seat for a new connection. Somebody else may lose his for it.
    pub(crate) fn seat(self: &Arc<Registry>, transport: &Transport, origin: Origin) -> Result<Seat, NoSeat> {
        let table = lock(&self.table);
        let capacity = table.room.capacity();
        let is_crowded =
            |table: &mut Table| !table.stopping && capacity.leaving() <= table.taken.len() - table.room.len();
        let waited = self.left.wait_timeout_while(table, ACCEPT_PAUSE, is_crowded);
        let mut table = waited.unwrap_or_else(PoisonError::into_inner).0;
        if table.stopping {
            return Err(NoSeat::Stopping);
        }
        if capacity.all() <= table.taken.len() {
            return Err(NoSeat::Full);
        }
        let number = table.next;
        table.next += 1;
        let leaver = table.room.enter(number, origin);
        if let Some(leaver) = leaver {
            table.hang_up(leaver);
        }
        table.taken.insert(number, Taken { transport: transport.clone(), idle: false });
        let peer = match origin {
            Origin::Address(peer) => peer,
            Origin::Local => THIS_MACHINE,
        };
        Ok(Seat { registry: self.clone(), number, peer, leaver })
    }

    /// Has some strangers go, for want of something that the system does not give.
    pub(crate) fn shed(&self) {
        let mut table = lock(&self.table);
        for _ in 0..table.room.capacity().leaving() {
            if let Some(leaver) = table.room.longest_stranger() {
                table.hang_up(leaver);
            }
        }
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
            taken.hang_up();
        }
    }

    /// Hangs up on everybody.
    pub(crate) fn hang_up(&self) {
        lock(&self.table).taken.values().for_each(Taken::hang_up);
    }

    /// Waits until nobody is connected, at most for `patience`. How many still are.
    pub(crate) fn wait_until_empty(&self, patience: Duration) -> usize {
        let table = lock(&self.table);
        let waited = self.left.wait_timeout_while(table, patience, |table| !table.taken.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.taken.len()
    }
}

impl Table {
    fn hang_up(&self, number: u64) {
        if let Some(taken) = self.taken.get(&number) {
            taken.hang_up();
        }
    }
}

impl Taken {
    fn hang_up(&self) {
        // Failing means that the peer was faster.
        let _ = self.transport.shutdown(Shutdown::Both);
    }
}

impl Seat {
    /// The connection's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Who was hung up on for it.
    pub(crate) fn leaver(&self) -> Option<u64> {
        self.leaver
    }

    /// Where the connection comes from. Whoever comes through a Unix socket counts as this machine.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Notes that the connection has shown the key or a token of this account. Somebody else may lose his seat for it.
    pub(crate) fn know(&self, account: &Account) -> Result<(), Full> {
        let mut table = lock(&self.registry.table);
        if let Some(leaver) = table.room.know(self.number, account)? {
            table.hang_up(leaver);
            self.registry.hub.dismiss(leaver);
        }
        Ok(())
    }

    /// Notes that the connection could have said something, and has not.
    pub(crate) fn be_silent(&self) {
        lock(&self.registry.table).room.change(self.number, Standing::Idle);
    }

    /// Notes that the connection waits for a request. `false`: the server is stopping, so it should not.
    pub(crate) fn wait(&self) -> bool {
        let mut table = lock(&self.registry.table);
        let go_on = !table.stopping;
        table.room.change(self.number, Standing::Idle);
        if let Some(taken) = table.taken.get_mut(&self.number) {
            taken.idle = go_on;
        }
        go_on
    }

    /// Notes that a request has begun: it will be let finish.
    pub(crate) fn work(&self) {
        self.begin(Standing::Busy);
    }

    /// Notes that the request has come to be a stream.
    pub(crate) fn stream(&self) {
        self.begin(Standing::Stream);
    }

    fn begin(&self, standing: Standing) {
        let mut table = lock(&self.registry.table);
        table.room.change(self.number, standing);
        if let Some(taken) = table.taken.get_mut(&self.number) {
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
        table.taken.remove(&self.number);
        table.room.leave(self.number);
        self.registry.left.notify_all();
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

    fn registry() -> Arc<Registry> {
        Arc::new(Registry::new(Capacity::of_descriptors(0), Hub::start().unwrap()))
    }

    #[test]
    fn seats_are_given_back() {
        let registry = registry();
        let (transport, _client, peer) = connection();
        let first = registry.seat(&transport, peer).unwrap();
        let second = registry.seat(&transport, Origin::Local).unwrap();
        assert_eq!(registry.count(), 2);
        drop(first);
        assert_eq!(registry.wait_until_empty(Duration::ZERO), 1);
        drop(second);
        assert_eq!(registry.wait_until_empty(Duration::ZERO), 0);
        assert_eq!(lock(&registry.table).room.len(), 0);
    }

    #[test]
    fn stopping_hangs_up_on_the_idle_only() {
        let registry = registry();
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
