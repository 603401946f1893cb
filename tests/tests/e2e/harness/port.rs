//! A port of a server for as long as it may be started again, also beside other tests, and other runs of them.

use std::net::{TcpListener, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use super::random::Random;

/// The kernel gives none of these to a connection, so a server that is started again finds its own free.
const FIRST: u16 = 10_000;
const COUNT: usize = 20_000;

/// A port on 127.0.0.1 that nobody listens on. TCP and UDP count their ports each for themselves, so whoever holds the one of UDP has reserved
/// the one of TCP, as long as all do it so.
pub struct Port {
    pub number: u16,
    _reserved: UdpSocket,
}

impl Port {
    /// One that nobody has.
    pub fn take() -> Port {
        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_nanos() as u64;
        Port::draw(Random::new(seed))
    }

    fn draw(mut random: Random) -> Port {
        loop {
            let number = FIRST + random.below(COUNT) as u16;
            let Ok(reserved) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Port { number, _reserved: reserved };
            }
        }
    }
}

#[test]
fn nobody_gets_a_port_that_somebody_has() {
    let first = Port::draw(Random::new(1));
    let second = Port::draw(Random::new(1));
    assert_ne!(first.number, second.number);
}
