//! Those who have connected and not said a word yet. They wait here, without a thread, until they do: so a thousand who say nothing cost
//! a socket each, and to be sent away they need not be waited for.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::limits::IDLE_TIMEOUT;
use common::net::transport::Transport;
use common::sys::poll::PollFd;

use crate::registry::Seat;

/// By number, which is the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Lobby {
    waiting: BTreeMap<u64, Waiting>,
    /// Who has come since it was last seen who speaks.
    fresh: Vec<u64>,
}

#[derive(Debug)]
struct Waiting {
    seat: Seat,
    transport: Transport,
    until: Instant,
}

impl Lobby {
    /// Somebody comes in, and may be silent for as long as between two requests.
    pub(crate) fn enter(&mut self, seat: Seat, transport: Transport) {
        let until = Instant::now() + IDLE_TIMEOUT;
        self.fresh.push(seat.number());
        self.waiting.insert(seat.number(), Waiting { seat, transport, until });
    }

    /// What to watch: whoever says something becomes ready, in this order.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (u64, PollFd<'_>)> {
        self.waiting.iter().map(|(number, waiting)| (*number, PollFd::readable(waiting.transport.as_fd())))
    }

    /// How long until somebody has been silent for too long.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let first = self.waiting.first_key_value()?.1;
        Some(first.until.saturating_duration_since(Instant::now()))
    }

    /// Takes out one who is ready; nothing of one who was hung up on meanwhile.
    pub(crate) fn take(&mut self, number: u64) -> Option<(Seat, Transport)> {
        let Waiting { seat, transport, .. } = self.waiting.remove(&number)?;
        match transport.is_over() {
            Ok(false) => Some((seat, transport)),
            Ok(true) | Err(_) => None,
        }
    }

    /// Notes who came in and did not speak at once, as whoever has a request does.
    pub(crate) fn note_the_silent(&mut self) {
        for number in self.fresh.drain(..) {
            if let Some(waiting) = self.waiting.get(&number) {
                waiting.seat.be_silent();
            }
        }
    }

    /// Sends away one who has to make room, if he is here.
    pub(crate) fn send_away(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Sends away whoever has been silent for too long.
    pub(crate) fn send_away_the_silent(&mut self, now: Instant) {
        while self.waiting.first_key_value().is_some_and(|(_, first)| first.until <= now) {
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::*;
    use crate::hub::Hub;
    use crate::listener::Origin;
    use crate::registry::Registry;
    use crate::room::Capacity;

    fn ready(lobby: &Lobby) -> Vec<u64> {
        let (numbers, mut fds): (Vec<u64>, Vec<PollFd<'_>>) = lobby.watched().unzip();
        common::sys::poll::wait(&mut fds, Duration::ZERO).unwrap();
        numbers.iter().zip(&fds).filter(|(_, fd)| fd.is_ready()).map(|(number, _)| *number).collect()
    }

    #[test]
    fn who_speaks_leaves_and_who_is_silent_has_to() {
        let registry = Arc::new(Registry::new(Capacity::of_descriptors(u64::MAX), Hub::start().unwrap()));
        let mut lobby = Lobby::default();
        assert_eq!(lobby.patience(), None);
        let mut peers: Vec<UnixStream> = Vec::new();
        for _ in 0..4 {
            let (here, there) = UnixStream::pair().unwrap();
            let transport = Transport::from(here);
            let seat = registry.seat(&transport, Origin::Local).unwrap();
            lobby.enter(seat, transport);
            peers.push(there);
        }
        assert!(ready(&lobby).is_empty());
        peers[1].write_all(b"G").unwrap();
        peers[2].shutdown(Shutdown::Both).unwrap();
        assert_eq!(ready(&lobby), [1, 2]);
        assert_eq!(lobby.take(1).map(|(seat, _)| seat.number()), Some(1));
        assert!(lobby.take(2).is_none() && lobby.take(2).is_none(), "there is nobody to be served");
        lobby.send_away(0);
        lobby.send_away(1);
        assert_eq!(registry.count(), 1);
        let later = Instant::now() + IDLE_TIMEOUT;
        lobby.send_away_the_silent(later - Duration::from_secs(1));
        assert!(lobby.patience().is_some_and(|patience| patience <= IDLE_TIMEOUT));
        lobby.send_away_the_silent(later);
        assert_eq!((registry.count(), lobby.patience()), (0, None));
    }
}
