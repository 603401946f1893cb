//! A network between a client and the server that counts, holds back and cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wait::{DEADLINE, eventually_within};

/// How long it may take until something is held up: before that, gigabytes may be read and sent.
const PATIENCE: Duration = DEADLINE.saturating_mul(30);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Takes connections and makes each go on to the server, as long as it lives.
pub struct Proxy {
    pub address: String,
    net: Arc<Net>,
    accepting: Option<JoinHandle<()>>,
}

struct Net {
    target: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    passed: [u64; 2],
    limits: [u64; 2],
    streams: Vec<TcpStream>,
    closed: bool,
}

impl Proxy {
    /// In front of a server at this address, which need not listen yet, nor all the time.
    #[track_caller]
    pub fn new(target: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("the address of a listener").to_string();
        let state = State { passed: [0; 2], limits: [u64::MAX; 2], streams: Vec::new(), closed: false };
        let net =
            Arc::new(Net { target: target.to_owned(), state: Mutex::new(state), changed: Condvar::new() });
        let accepting = thread::spawn({
            let net = net.clone();
            move || net.accept(&listener)
        });
        Proxy { address, net, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that went this way, in all.
    pub fn passed(&self, way: Way) -> u64 {
        self.net.state.lock().unwrap().passed[way as usize]
    }

    /// Lets so many more bytes go this way, about, and then holds back what comes.
    pub fn hold_after(&self, way: Way, bytes: u64) {
        let mut state = self.net.state.lock().unwrap();
        state.limits[way as usize] = state.passed[way as usize] + bytes;
    }

    /// Waits until it holds something back.
    #[track_caller]
    pub fn wait_until_held(&self, way: Way) {
        eventually_within(PATIENCE, "the network to be held up", || {
            let state = self.net.state.lock().unwrap();
            let (passed, limit) = (state.passed[way as usize], state.limits[way as usize]);
            if limit <= passed { Ok(()) } else { Err(format!("{passed} of {limit} bytes have passed")) }
        });
    }

    /// Lets everything through again.
    pub fn open(&self) {
        self.net.state.lock().unwrap().limits = [u64::MAX; 2];
        self.net.changed.notify_all();
    }

    /// Ends every connection, and lets through what comes over new ones.
    pub fn cut(&self) {
        let mut state = self.net.state.lock().unwrap();
        for stream in state.streams.drain(..) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.open();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.net.state.lock().unwrap().closed = true;
        self.cut();
        // So that it looks up.
        let _ = TcpStream::connect(&self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Net {
    fn accept(self: &Arc<Net>, listener: &TcpListener) {
        let mut pumps = Vec::new();
        for client in listener.incoming() {
            let mut state = self.state.lock().unwrap();
            if state.closed {
                break;
            }
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&self.target)) else { continue };
            let clone = |stream: &TcpStream| stream.try_clone().expect("one more descriptor");
            state.streams.extend([clone(&client), clone(&server)]);
            drop(state);
            for (way, from, to) in
                [(Way::Up, clone(&client), clone(&server)), (Way::Down, clone(&server), clone(&client))]
            {
                let net = self.clone();
                pumps.push(thread::spawn(move || net.pump(way, from, to)));
            }
        }
        for pump in pumps {
            let _ = pump.join();
        }
    }

    /// Carries bytes until either end is closed.
    fn pump(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || !self.admit(way, count as u64) || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits until so many bytes may go. Whether they still are to.
    fn admit(&self, way: Way, count: u64) -> bool {
        let is_held =
            |state: &mut State| !state.closed && state.limits[way as usize] <= state.passed[way as usize];
        let mut state = self.changed.wait_while(self.state.lock().unwrap(), is_held).unwrap();
        state.passed[way as usize] += count;
        !state.closed
    }
}
