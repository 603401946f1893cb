//! Thousands of clients that listen, and do nothing else, in one thread.
//!
//! They share the machine with the server that is measured, so they must take little of it. A thread for each would be thousands of wakings,
//! in the middle of the server's own; and the standard library has nothing that waits for many sockets. So none of them is waited for: those
//! that have not heard yet are asked in turn, without blocking, and then there is a pause as long as that took. At most half of one processor
//! goes into that, and only while there is something to wait for. The price: a time is never too short, but too long by at most one turn
//! and its pause, which begins with some milliseconds for thousands of clients, and becomes less with every one that has heard.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::access::Access;

/// The least pause between two turns.
const PAUSE: Duration = Duration::from_micros(100);

/// Who has not heard by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any event that is waited for has, in bytes; an event may come in two pieces.
const EVENT: usize = 4 << 10;

/// Clients with an empty folder each, that are told what happens.
pub(crate) struct Crowd {
    members: Vec<Member>,
}

struct Member {
    stream: TcpStream,
    /// What came and was not what is waited for.
    heard: Vec<u8>,
}

impl Crowd {
    /// Connects so many clients, and waits until each has been told that its list is answered.
    pub(crate) fn connect(access: &Access, count: usize) -> Result<Self> {
        let begun = Instant::now();
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            let list =
                format!(r#"{{"client":{{"id":"bench-{number}"}},"cursor":null,"complete":true,"files":[]}}"#);
            let mut stream = access.connect()?;
            stream.write_all(&access.request(
                "POST /sync",
                "Content-Type: application/json\r\n",
                list.as_bytes(),
            ))?;
            stream.set_nonblocking(true)?;
            members.push(Member { stream, heard: Vec::new() });
        }
        let mut crowd = Self { members };
        crowd.wait_for(b"event: synced\n", begun)?;
        Ok(crowd)
    }

    /// Waits until each has heard `text`: seconds since `begun`, in the order in which they did.
    pub(crate) fn wait_for(&mut self, text: &[u8], begun: Instant) -> Result<Vec<f64>> {
        let mut waiting: Vec<&mut Member> = self.members.iter_mut().collect();
        let mut arrivals = Vec::with_capacity(waiting.len());
        let mut piece = [0; EVENT];
        while !waiting.is_empty() {
            let turn = Instant::now();
            let mut still = Vec::with_capacity(waiting.len());
            for member in waiting {
                if member.has_heard(text, &mut piece)? {
                    arrivals.push(begun.elapsed().as_secs_f64());
                } else {
                    still.push(member);
                }
            }
            waiting = still;
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} clients have not heard in time", waiting.len()).into());
            }
            thread::sleep(turn.elapsed().max(PAUSE));
        }
        Ok(arrivals)
    }
}

impl Member {
    /// Takes what is there, without waiting. `piece` is room to read into.
    fn has_heard(&mut self, text: &[u8], piece: &mut [u8]) -> Result<bool> {
        match self.stream.read(piece) {
            Ok(0) => Err(format!("the server hung up: {}", String::from_utf8_lossy(&self.heard)).into()),
            Ok(length) => {
                self.heard.extend_from_slice(&piece[..length]);
                let has = self.heard.windows(text.len()).any(|window| window == text);
                let kept = if has { 0 } else { self.heard.len().min(EVENT) };
                self.heard.drain(..self.heard.len() - kept);
                Ok(has)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
