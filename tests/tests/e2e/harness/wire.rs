//! The wire between clients and server, tapped: a relay that sees every byte in both directions, and can lose an answer or
//! hold it back.
//!
//! Content made by [`labelled`] says over and over which it is, so that the relay can tell what content has passed without understanding
//! a word of what is spoken.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Around the label of a content. Neither is left as it is in a URL or in what JSON says of paths.
const OPEN: &[u8] = b"<<";
const CLOSE: &[u8] = b">>";
/// Longest label with what is around it.
const LABEL: usize = 100;

/// Some kilobytes of content that name themselves.
pub fn labelled(label: &str) -> Vec<u8> {
    format!("<<{label}>>\n").repeat(3000 / (label.len() + 5)).into_bytes()
}

/// A tapped wire. It ends with the sockets on either side.
pub struct Wire {
    pub url: String,
    tap: Arc<Tap>,
}

#[derive(Default)]
struct Tap {
    seen: Mutex<BTreeSet<String>>,
    requests: Mutex<Vec<String>>,
    /// The method of the request whose answer has a fate of its own next.
    next: Mutex<Option<(&'static str, Fate)>>,
    /// Whether what is held back may go on.
    is_released: Mutex<bool>,
    released: Condvar,
}

/// What becomes of an answer.
#[derive(Clone, Copy)]
enum Fate {
    Passed,
    Lost,
    /// It passes when it is released.
    Held,
}

impl Wire {
    /// A wire to the server that listens at `address`.
    #[track_caller]
    pub fn to(address: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (tap, address) = (Arc::new(Tap::default()), address.to_owned());
        let relay = tap.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // A server that is down is met by an end, as behind any relay.
                if let Ok(far) = TcpStream::connect(&address) {
                    relay.connect(near, far);
                }
            }
        });
        Wire { url, tap }
    }

    /// The labels of all content that has passed since this was last asked.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.tap.seen.lock().unwrap()).into_iter().collect()
    }

    /// Method and target of all requests since this was last asked, in no order.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.tap.requests.lock().unwrap())
    }

    /// The next request with this method will reach the server, and its answer nobody.
    pub fn lose_answer_to(&self, method: &'static str) {
        *self.tap.next.lock().unwrap() = Some((method, Fate::Lost));
    }

    /// The answer to the next request with this method will wait for [`Wire::release_answer`].
    pub fn hold_answer_to(&self, method: &'static str) {
        *self.tap.is_released.lock().unwrap() = false;
        *self.tap.next.lock().unwrap() = Some((method, Fate::Held));
    }

    /// Whether the request has come whose answer is lost or held back.
    pub fn has_come(&self) -> bool {
        self.tap.next.lock().unwrap().is_none()
    }

    /// Lets the answer that is held back go on.
    pub fn release_answer(&self) {
        *self.tap.is_released.lock().unwrap() = true;
        self.tap.released.notify_all();
    }
}

impl Tap {
    fn connect(self: &Arc<Tap>, near: TcpStream, far: TcpStream) {
        let fate = Arc::new(Mutex::new(Fate::Passed));
        let (up, down) = (self.clone(), self.clone());
        let (near_too, far_too) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
        let (fate_too, _) = (fate.clone(), near.set_nodelay(true).and(far.set_nodelay(true)));
        thread::spawn(move || {
            up.pass(near, far, |bytes| {
                up.note_request(bytes);
                let mut next = up.next.lock().unwrap();
                if let Some((_, chosen)) = next.take_if(|(method, _)| bytes.starts_with(method.as_bytes())) {
                    *fate.lock().unwrap() = chosen;
                }
                true
            });
        });
        thread::spawn(move || down.pass(far_too, near_too, |_| down.may_pass(&fate_too)));
    }

    fn may_pass(&self, fate: &Mutex<Fate>) -> bool {
        let fate = std::mem::replace(&mut *fate.lock().unwrap(), Fate::Passed);
        if matches!(fate, Fate::Held) {
            let is_released = self.is_released.lock().unwrap();
            drop(self.released.wait_while(is_released, |is_released| !*is_released).unwrap());
        }
        !matches!(fate, Fate::Lost)
    }

    fn note_request(&self, bytes: &[u8]) {
        let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
        if let Some(request) = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix(" HTTP/1.1"))
        {
            self.requests.lock().unwrap().push(request.to_owned());
        }
    }

    /// Passes bytes on until one side ends, or `goes_on` says no.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(&[u8]) -> bool) {
        let mut buffer = vec![0; 64 * 1024];
        // The end of what passed before: a label may come in two pieces.
        let mut tail = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..count];
            tail.extend_from_slice(bytes);
            let noted = self.note_labels(&tail);
            tail.drain(..noted.max(tail.len().saturating_sub(LABEL)));
            if !goes_on(bytes) || to.write_all(bytes).is_err() {
                break;
            }
        }
        // Either may be closed already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Returns where the last whole label ends.
    fn note_labels(&self, bytes: &[u8]) -> usize {
        let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        let (mut at, mut noted) = (0, 0);
        while let Some(open) = find(&bytes[at..], OPEN) {
            at += open + OPEN.len();
            let rest = &bytes[at..];
            if let Some(close) = find(&rest[..rest.len().min(LABEL)], CLOSE) {
                self.seen.lock().unwrap().insert(String::from_utf8_lossy(&rest[..close]).into_owned());
                at += close + CLOSE.len();
                noted = at;
            }
        }
        noted
    }
}
