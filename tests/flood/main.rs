//! Opens many connections from one address and misbehaves on each in the same way, until it is killed.
//!
//! Usage: flood TO FROM COUNT silent | drip | sip
//!
//! What is on standard input is sent on each connection first. Then, in each round, one byte more is sent (`drip`), or a few bytes of what
//! came are read (`sip`), or nothing happens (`silent`). What the server has hung up on is replaced. After each round a line on standard
//! output tells how many connections there are, and how many were lost so far.

#[path = "../system/mod.rs"]
#[allow(dead_code)]
mod system;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// From the beginning of one round to that of the next.
const ROUND: Duration = Duration::from_millis(500);
/// So many lost connections are replaced in a round: a thousand a second.
const REPLACED: usize = 500;
/// At first connections are made in bursts of so many, a thousand a second: with more at once from several processes on the server's own
/// machine it would be the kernel's queue that overflows, whatever the server does.
const BURST: usize = 100;
const BETWEEN_BURSTS: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
enum Manner {
    Silent,
    Drip,
    Sip,
}

struct Flood {
    to: SocketAddrV4,
    from: Ipv4Addr,
    manner: Manner,
    opening: Vec<u8>,
    connections: Vec<TcpStream>,
    lost: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [to, from, count, manner] = &arguments[..] else { return Err("flood TO FROM COUNT MANNER".into()) };
    let manner = match manner.as_str() {
        "silent" => Manner::Silent,
        "drip" => Manner::Drip,
        "sip" => Manner::Sip,
        _ => return Err("what manner is that?".into()),
    };
    let (count, mut opening) = (count.parse::<usize>()?, Vec::new());
    io::stdin().read_to_end(&mut opening)?;
    let mut flood =
        Flood { to: to.parse()?, from: from.parse()?, manner, opening, connections: Vec::new(), lost: 0 };
    for _ in 0..count.div_ceil(BURST) {
        flood.fill(count, BURST);
        sleep(BETWEEN_BURSTS);
    }
    loop {
        let begun = Instant::now();
        flood.misbehave();
        flood.fill(count, REPLACED);
        println!("{} {}", flood.connections.len(), flood.lost);
        sleep(ROUND.saturating_sub(begun.elapsed()));
    }
}

impl Flood {
    /// Connects until there are so many, but no more than `most` times.
    fn fill(&mut self, count: usize, most: usize) {
        for _ in 0..count.saturating_sub(self.connections.len()).min(most) {
            match self.open() {
                Ok(connection) => self.connections.push(connection),
                Err(_) => self.lost += 1,
            }
        }
    }

    fn open(&self) -> io::Result<TcpStream> {
        let mut connection = system::connect_from(self.from, self.to)?;
        connection.set_nonblocking(true)?;
        connection.write_all(&self.opening)?;
        Ok(connection)
    }

    fn misbehave(&mut self) {
        let (before, manner) = (self.connections.len(), self.manner);
        self.connections.retain_mut(|connection| goes_on(connection, manner));
        self.lost += before - self.connections.len();
    }
}

/// Does to a connection what is to be done in each round. Whether it is still there.
fn goes_on(connection: &mut TcpStream, manner: Manner) -> bool {
    let done = match manner {
        Manner::Drip => connection.write(b"x"),
        Manner::Sip => connection.read(&mut [0; 16]),
        // Nothing is taken: the end shows all the same when nothing was said.
        Manner::Silent => connection.peek(&mut [0]),
    };
    match done {
        Ok(count) => 0 < count,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
