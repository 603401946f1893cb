//! Requests that were changed at random, over real connections to a whole server: whatever comes, it answers or hangs up, nothing panics,
//! and the next one is served. Lists and streams have targets of their own (`common/tests/mutations`); a stream is answered empty here,
//! because it would last.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::listener::Origin;
use crate::testing::Workshop;
use crate::testing::mutator::{Random, mutate};

/// Requests that are made, if `MUTATIONS_ROUNDS` says nothing else; `MUTATIONS_SEED` makes others.
const ROUNDS: u64 = 400;

/// All but the request line, the key and what is special.
const COMMON: &str = "Host: localhost\r\nAuthorization: Bearer correct-horse-battery\r\n";

/// Request line, further fields, body.
const REQUESTS: [(&str, &str, &str); 14] = [
    ("PUT /upload/a.txt", "Content-Length: 5\r\nIf-None-Match: *\r\nSync-Client: 9c\r\n", "hello"),
    ("PUT /upload/a.txt", "Transfer-Encoding: chunked\r\nIf-Match: *\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("PUT /upload/d", "File-Kind: dir\r\nContent-Length: 0\r\nIf-None-Match: *\r\n", ""),
    ("PUT /upload/d/l", "File-Kind: symlink\r\nContent-Length: 5\r\nIf-None-Match: *\r\n", "../a1"),
    (
        "PUT /upload/e",
        "Content-Length: 1\r\nIf-None-Match: *\r\nExpect: 100-continue\r\nFile-Mtime: 17\r\nFile-Mode: 600\r\n",
        "x",
    ),
    (
        "PATCH /upload/a.txt",
        "File-Mode: 640\r\nFile-Mtime: 1700000000000000000\r\nIf-Match: *\r\nContent-Length: 0\r\n",
        "",
    ),
    ("MOVE /upload/a.txt", "Destination: /upload/d/b.txt\r\nIf-Match: *\r\n", ""),
    ("COPY /upload/d/b.txt", "Destination: /upload/a.txt\r\nIf-None-Match: *\r\n", ""),
    ("DELETE /upload/a.txt", "If-Match: *\r\nSync-Base: 5f0c1b22a9d04e67-7\r\n", ""),
    ("HEAD /upload/a.txt", "", ""),
    ("GET /download/a.txt", "Range: bytes=1-3\r\nIf-None-Match: \"dir\"\r\n", ""),
    ("POST /sync", "Content-Length: 50\r\n", "{\"client\":{\"id\":\"a\"},\"complete\":true,\"files\":[]}  "),
    ("GET /status?a=b", "Accept: application/json\r\n", ""),
    ("OPTIONS /metrics", "Connection: close\r\n", ""),
];

fn without_streams<'a>(
    service: &'a Arc<Service>,
    from: IpAddr,
    head: &'a RequestHead,
    framing: Framing,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    match dispatch(service, from, head, framing, body) {
        Ok(Reply::Stream(..)) => Ok(Reply::Whole(Answer::empty(200))),
        other => other,
    }
}

/// All that comes back for these bytes until the connection is closed.
fn send_bytes(workshop: &Workshop, bytes: &[u8]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let transport = Transport::from(stream);
            let seat = workshop.service.registry.seat(&transport, Origin::Address(peer.ip())).unwrap();
            // The client may be gone by then.
            let _ = serve_with(without_streams, &workshop.service, &seat, transport);
        });
        // The server hangs up early on what it does not want to read; then its answer may be lost.
        let _ = client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write));
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers);
        answers
    })
}

#[test]
fn no_request_breaks_the_server() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let (seed, rounds) =
        (number("MUTATIONS_SEED").unwrap_or(1), number("MUTATIONS_ROUNDS").unwrap_or(ROUNDS));
    let request = |(line, fields, body): &(&str, &str, &str)| {
        format!("{line} HTTP/1.1\r\n{COMMON}{fields}\r\n{body}").into_bytes()
    };
    let mut seeds: Vec<Vec<u8>> = REQUESTS.iter().map(request).collect();
    // One after the other over one connection.
    seeds.push(seeds.concat());

    let workshop = Workshop::new();
    for round in 0..rounds {
        let input = mutate(&mut Random::new(seed ^ round << 20), &seeds);
        let answers = send_bytes(&workshop, &input);
        let shown = || format!("MUTATIONS_SEED={seed}, round {round}: {}", input.escape_ascii());
        assert!(answers.is_empty() || answers.starts_with(b"HTTP/1.1 "), "{}", shown());
        let is_broken = answers.windows(13).any(|text| text == b"HTTP/1.1 500 ");
        assert!(!is_broken && workshop.service.panics.get() == 0, "{}", shown());
        assert_eq!(workshop.service.registry.count(), 0, "{}", shown());
    }
    let answer = send_bytes(&workshop, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
}
