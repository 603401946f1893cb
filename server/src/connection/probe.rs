//! Bytes to a whole server over a real connection, and what comes back: for tests and fuzz targets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use common::limits::CONNECTION_STACK;

use super::*;
use crate::listener::Origin;
use crate::testing::Workshop;

/// 128 KiB must be enough for whatever comes: a small part of what a connection's thread has. Only fuzzing instruments the code so that it
/// takes more.
const STACK: usize = if cfg!(test) { CONNECTION_STACK / 32 } else { CONNECTION_STACK };

/// All that comes back for these bytes until the connection is closed.
pub(super) fn exchange(handler: Handler, workshop: &Workshop, bytes: &[u8]) -> Vec<u8> {
    converse(handler, workshop, |client| {
        // The server hangs up early on what it does not want to read; then its answer may be lost.
        let _ = client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write));
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers);
        answers
    })
}

/// What this client gets out of a connection that is served.
pub(super) fn converse<T>(
    handler: Handler,
    workshop: &Workshop,
    client: impl FnOnce(&mut TcpStream) -> T,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let mut connected = TcpStream::connect(address).expect("somebody listens");
    let (stream, peer) = listener.accept().expect("somebody connects");
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let served = thread.spawn_scoped(scope, || {
            let transport = Transport::from(stream);
            let origin = Origin::Address(peer.ip());
            let seat = workshop.service.registry.seat(&transport, origin).expect("there is room");
            // The client may be gone by then.
            let _ = serve_with(handler, &workshop.service, &seat, "probe", transport);
        });
        served.expect("there is room for a thread");
        let got = client(&mut connected);
        drop(connected);
        got
    })
}

/// Whatever these bytes are, the server answers or hangs up, and nothing breaks in it.
///
/// # Panics
/// If something does.
pub(crate) fn check(workshop: &Workshop, bytes: &[u8]) {
    let answers = exchange(without_streams, workshop, bytes);
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1.1 "), "{}", answers.escape_ascii());
    let is_broken = answers.windows(13).any(|text| text == b"HTTP/1.1 500 ");
    assert!(!is_broken && workshop.service.panics.get() == 0, "{}", answers.escape_ascii());
    assert_eq!(workshop.service.registry.count(), 0, "connections that nobody has");
}

/// As [`dispatch`], but a stream is answered empty, because it would last.
fn without_streams<'a>(
    service: &'a Arc<Service>,
    seat: &Seat,
    head: &RequestHead,
    framing: Framing,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    match dispatch(service, seat, head, framing, body) {
        Ok(Reply::Stream(..)) => Ok(Reply::Whole(Answer::empty(200))),
        other => other,
    }
}
