//! Requests that are made to be misread, as tables: each gets the status that is named, one answer and no other, and where it can't be
//! said where the next request would begin, the end of the connection, by the server. So nothing that is hidden behind one is ever heard.

use std::fs;

use crate::harness::{Connection, Request, World, repr_digest, sha256, snapshot};

/// What is hidden behind each attack: a request that anybody may make.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends bytes, keeps the line open, and returns all that comes back until the server ends the connection in good order.
#[track_caller]
fn all_answers(world: &World, bytes: &[u8]) -> String {
    let mut connection = world.server.connect();
    // The server may have heard enough before everything is said.
    let _ = connection.try_send(bytes);
    let mut answers = Vec::new();
    let name = bytes[..bytes.len().min(200)].escape_ascii();
    // A reset instead of an end would take the answer from a slower client.
    connection.read_to_end(&mut answers).unwrap_or_else(|error| panic!("{name}: {error}"));
    String::from_utf8_lossy(&answers).into_owned()
}

/// The statuses of answers whose bodies hold no status line.
fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.match_indices("HTTP/1.1 ");
    lines.filter_map(|(at, line)| answers.get(at + line.len()..)?.get(..3)?.parse().ok()).collect()
}

/// Each case is answered with its status, says that the connection ends, ends it, and what is behind it is not heard.
#[track_caller]
fn check_refused<'c>(world: &World, cases: impl IntoIterator<Item = (&'c str, u16)>) {
    for (request, status) in cases {
        let answers = all_answers(world, format!("{request}{HIDDEN}").as_bytes());
        assert_eq!(statuses(&answers), [status], "{}\n{answers}", request.escape_debug());
        assert!(answers.to_lowercase().contains("\r\nconnection: close\r\n"), "{request:?}\n{answers}");
    }
    world.server.ask(&Request::new("GET", "/healthz")).expect(200);
    assert!(snapshot(&world.server.folder).unwrap().is_empty(), "the box has something in it");
}

/// The head of an upload, with these lines and the key, but without its last line.
fn upload(world: &World, lines: &str) -> String {
    let key = world.server.key();
    format!(
        "PUT /upload/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nIf-None-Match: *\r\n{lines}"
    )
}

// ---- Framing ----------------------------------------------------------------------------------------------------------------------------

/// Two who disagree where a body ends are two who disagree what the next request is.
#[test]
fn bodies_whose_end_is_in_doubt() {
    let world = World::new();
    let lengths = [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 44\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: \u{b}5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n , identity\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: \0\r\n",
        "X\0: y\r\n",
        ": y\r\n",
        "X y: z\r\n",
        "X: a\u{7f}b\r\n",
        "nothing\r\n",
    ];
    let mut cases: Vec<(String, u16)> =
        lengths.iter().map(|lines| (upload(&world, &format!("{lines}\r\n")), 400)).collect();
    for coding in ["xchunked", "identity", "gzip, chunked", "x, chunked"] {
        cases.push((upload(&world, &format!("Transfer-Encoding: {coding}\r\n\r\n")), 501));
    }
    let old = upload(&world, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    cases.push((old, 400));
    check_refused(&world, cases.iter().map(|(request, status)| (request.as_str(), *status)));
}

#[test]
fn chunks_that_are_none() {
    let world = World::new();
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100);
    let many_trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(101));
    let long_trailer = format!("0\r\na: {}\r\n\r\n", "x".repeat(20_000));
    let cases = [
        ("0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("+5\r\nhello\r\n0\r\n\r\n", 400),
        ("-5\r\nhello\r\n0\r\n\r\n", 400),
        (" 5\r\nhello\r\n0\r\n\r\n", 400),
        ("5 \r\nhello\r\n0\r\n\r\n", 400),
        ("5_0\r\nhello\r\n0\r\n\r\n", 400),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("fffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
        ("\r\nhello\r\n0\r\n\r\n", 400),
        ("5\nhello\r\n0\r\n\r\n", 400),
        ("5\r\nhello\n0\r\n\r\n", 400),
        ("5\r\nhello0\r\n\r\n", 400),
        ("5\r\nhello!\r\n0\r\n\r\n", 400),
        ("5;\0\r\nhello\r\n0\r\n\r\n", 400),
        ("5;\n\r\nhello\r\n0\r\n\r\n", 400),
        (&long_extension, 400),
        (&extensions, 400),
        ("0\r\nContent-Length: 5\r\n\r\n", 400),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("0\r\nHost: other\r\n\r\n", 400),
        ("0\r\nAuthorization: Bearer x\r\n\r\n", 400),
        ("0\r\na : b\r\n\r\n", 400),
        ("0\r\na: b\n\r\n", 400),
        (&many_trailers, 431),
        (&long_trailer, 431),
    ];
    let requests: Vec<(String, u16)> = cases
        .iter()
        .map(|(body, status)| (upload(&world, &format!("Transfer-Encoding: chunked\r\n\r\n{body}")), *status))
        .collect();
    check_refused(&world, requests.iter().map(|(request, status)| (request.as_str(), *status)));
}

/// What is announced is neither believed nor kept room for.
#[test]
fn lengths_that_nobody_has() {
    let mut world = World::new();
    let before = world.server.process().peak_memory();
    for request in [
        upload(&world, "Content-Length: 9223372036854775807\r\n\r\n"),
        upload(&world, "Content-Length: 18446744073709551615\r\n\r\n"),
    ] {
        let answers = all_answers(&world, request.as_bytes());
        assert!(matches!(statuses(&answers)[..], [413 | 507]), "{answers}");
    }
    let small = world.server.request("PATCH", "/upload/x").field("If-Match", "*");
    let small =
        small.field("Content-Type", "application/merge-patch+json").field("Content-Length", "1000000");
    assert_eq!(statuses(&all_answers(&world, &small.encode())), [413]);
    let grown = world.server.process().peak_memory() - before;
    assert!(grown < 16 << 20, "{grown} bytes more memory");
}

// ---- Heads ------------------------------------------------------------------------------------------------------------------------------

#[test]
fn request_lines_and_hosts() {
    let world = World::new();
    let host = "\r\nHost: localhost\r\n\r\n";
    let long_target = format!("GET /{} HTTP/1.1{host}", "x".repeat(9_000));
    let long_method = format!("{} / HTTP/1.1{host}", "X".repeat(40_000));
    let long_field = format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(101));
    let lines = [
        ("GET /healthz", 400),
        ("GET /healthz ", 400),
        ("GET  /healthz HTTP/1.1", 400),
        ("GET /healthz  HTTP/1.1", 400),
        (" GET /healthz HTTP/1.1", 400),
        ("GET /healthz HTTP/1.1 ", 400),
        ("GET\t/healthz HTTP/1.1", 400),
        ("GET /healthz\tHTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /healthz http/1.1", 400),
        ("GET /healthz HTTP/11", 400),
        ("GET /healthz HTTP/1.1x", 400),
        ("GET /healthz HTTP/0.9", 505),
        ("GET /healthz HTTP/1.2", 505),
        ("GET /healthz HTTP/2.0", 505),
        ("GET /healthz HTTP/3.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("get /healthz HTTP/1.1", 501),
        ("CONNECT localhost:1 HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("\0\0\0\0", 400),
    ];
    let mut cases: Vec<(String, u16)> =
        lines.iter().map(|(line, status)| (format!("{line}{host}"), *status)).collect();
    for fields in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a, b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a b\r\n",
        "Host: a:65536\r\n",
        "Host: http://a\r\n",
        "Host: ::1\r\n",
        "Host: a\r\n b\r\n",
    ] {
        cases.push((format!("GET /healthz HTTP/1.1\r\n{fields}\r\n"), 400));
    }
    for end in ["\n\n", "\n\r\n", "\r\r\n\r\n", "\r\nHost: localhost\n\r\n", "\r\nHost: localhost\r\r\n\r\n"]
    {
        cases.push((format!("GET /healthz HTTP/1.1{end}"), 400));
    }
    cases.extend([(long_target, 414), (long_method, 414), (long_field, 431), (many_fields, 431)]);
    check_refused(&world, cases.iter().map(|(request, status)| (request.as_str(), *status)));
}

/// Whoever sends without end is stopped, and costs no memory.
#[test]
fn heads_without_end() {
    let mut world = World::new();
    let before = world.server.process().peak_memory();
    for start in ["", "GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nA: "] {
        let mut connection = world.server.connect();
        let mut sent = connection.try_send(start);
        let piece = [b'A'; 64 * 1024];
        let mut megabytes = 0;
        while sent.is_ok() && megabytes < 64 * 16 {
            sent = connection.try_send(piece);
            megabytes += 1;
        }
        assert!(sent.is_err(), "the server reads on and on");
    }
    let grown = world.server.process().peak_memory() - before;
    assert!(grown < 8 << 20, "{grown} bytes more memory");
}

// ---- One connection, several requests ---------------------------------------------------------------------------------------------------

/// What is a body stays one, whether the server wanted it or not; the next request is the one behind it.
#[test]
fn a_body_is_never_a_request() {
    let world = World::new();
    let secret = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let length = format!("Content-Length: {}\r\n\r\n{secret}", secret.len());
    let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{secret}\r\n0\r\n\r\n", secret.len());
    for body in [&length, &chunk] {
        for (line, status) in [
            ("GET /healthz", 200),
            ("HEAD /healthz", 200),
            ("GET /missing", 401),
            ("PUT /upload/x", 401),
            ("POST /sync", 401),
            ("DELETE /healthz", 401),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{body}{last}");
            let answers = all_answers(&world, request.as_bytes());
            assert_eq!(statuses(&answers), [status, 200], "{line}\n{answers}");
        }
    }
    // More than is worth reading: the connection ends instead.
    let large = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    let answers = all_answers(
        &world,
        format!("{large}{}{HIDDEN}", HIDDEN.repeat(100_000 / HIDDEN.len() + 1)).as_bytes(),
    );
    assert_eq!(statuses(&answers), [200], "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

/// Who asks whether to send is told so only if it is going to be read, and after a refusal nobody knows what comes.
#[test]
fn bodies_that_are_announced() {
    let world = World::new();
    let announced = "Expect: 100-continue\r\nContent-Length: 44\r\n\r\n";
    let unknown = upload(&world, "Expect: 200-ok\r\nContent-Length: 44\r\n\r\n");
    let both = upload(&world, "Expect: 100-continue, other\r\nContent-Length: 44\r\n\r\n");
    let nameless = format!("PUT /upload/x HTTP/1.1\r\nHost: localhost\r\n{announced}");
    let doubtful = upload(&world, "Expect: 100-continue\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    let unconditional = upload(&world, announced).replace("If-None-Match: *\r\n", "");
    check_refused(
        &world,
        [
            (unknown.as_str(), 417),
            (both.as_str(), 417),
            (nameless.as_str(), 401),
            (doubtful.as_str(), 400),
            (unconditional.as_str(), 428),
        ],
    );
}

// ---- What is said back ------------------------------------------------------------------------------------------------------------------

/// Names have any bytes, and answers, events and log lines say them in a way that ends no line.
#[test]
fn names_end_no_line() {
    let mut world = World::new();
    world.server.stop();
    world.server.options = &["-vv"];
    world.server.start();
    let name = "a%0D%0AX-Evil%3A%201%0D%0A%0D%0A%1B%5B2J";
    world.server.put_new(name, "content").expect(201);
    let answer = world.server.get(&format!("/download/{name}")).expect(200);
    assert_eq!(answer.field("X-Evil"), None);
    let moved = world.server.request("MOVE", &format!("/upload/{name}")).field("If-Match", "*");
    let moved =
        world.server.ask(&moved.field("Destination", &format!("/upload/{name}b")).field("Overwrite", "F"));
    assert!(moved.status < 300 && moved.field("X-Evil").is_none(), "{moved:?}");
    let mut connection = world.server.connect();
    let beginning = format!("{}-0", world.server.status().get("epoch").text());
    connection.send(world.server.request("GET", &format!("/sync?cursor={beginning}")).encode());
    connection.head().expect(200);
    let told = connection.event_named("download");
    assert_eq!(told.json().get("path").text(), format!("{name}b"));
    // In targets and values that are refused as well.
    for target in ["/download/a%0D%0Ab%00", "/upload/../%1B[2J"] {
        world.server.get(target).expect(400);
    }
    let key = world.server.key();
    let log = world.server.log();
    assert!(log.contains("PUT /upload/a%0D%0A"), "{log}");
    let is_plain = |character: char| character == '\n' || !character.is_control();
    assert!(log.chars().all(is_plain) && !log.contains(&key), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("X-Evil")), "{log}");
}

/// A page in somebody's browser may have it send what it likes to this machine. It learns nothing.
#[test]
fn pages_from_elsewhere() {
    let world = World::new();
    let say = |host: &str, target: &str, lines: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n");
        all_answers(&world, request.as_bytes())
    };
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
        for target in ["/healthz", "/"] {
            assert_eq!(statuses(&say(host, target, "")), [421], "{host}{target}");
        }
        assert_eq!(statuses(&say(host, "/status", "")), [401]);
    }
    let key = format!("Authorization: Bearer {}\r\n", world.server.key());
    for lines in ["Origin: http://evil.example\r\n", &format!("Origin: null\r\n{key}")] {
        let answers = say("localhost", "/healthz", lines);
        assert_eq!(statuses(&answers), [200]);
        assert!(!answers.to_lowercase().contains("access-control"), "{answers}");
    }
    // A proxy's clients call the server by the proxy's name, and show a key.
    assert_eq!(statuses(&say("box.example", "/status", &key)), [200]);
}

// ---- Conditions -------------------------------------------------------------------------------------------------------------------------

/// RFC 9110, section 13.2.2: what is asked first, and what is not asked any more; a range comes last. HEAD says what GET would, without a
/// range, which it has not.
#[test]
fn conditions_are_asked_in_order() {
    let world = World::new();
    let put = world.server.request("PUT", "/upload/f").field("If-None-Match", "*");
    world.server.ask(&put.field("File-Mtime", "1700000000123456789").body("0123456789")).expect(201);
    let (this, other) = (format!("\"{}\"", sha256(b"0123456789")), format!("\"{}\"", sha256(b"other")));
    let (then, before) = ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT");
    let (matches, none_match) = ("If-Match", "If-None-Match");
    let (unmodified, modified) = ("If-Unmodified-Since", "If-Modified-Since");
    let (range, if_range) = (("Range", "bytes=2-4"), "If-Range");
    let cases: [(&[(&str, &str)], u16); 24] = [
        (&[(matches, &this), (unmodified, before)], 200),
        (&[(matches, &other), (unmodified, then)], 412),
        (&[(matches, &other), (none_match, &this)], 412),
        (&[(matches, &this), (none_match, &this)], 304),
        (&[(matches, "*"), (none_match, &other)], 200),
        (&[(unmodified, before), (none_match, &this)], 412),
        (&[(unmodified, then), (none_match, &this)], 304),
        (&[(none_match, &other), (modified, then)], 200),
        (&[(none_match, &this), (modified, before)], 304),
        (&[(modified, then)], 304),
        (&[(modified, before)], 200),
        (&[(modified, "yesterday")], 200),
        (&[(unmodified, "yesterday")], 200),
        (&[range], 206),
        (&[range, (matches, &other)], 412),
        (&[range, (none_match, &this)], 304),
        (&[range, (if_range, &this)], 206),
        (&[range, (if_range, &other)], 200),
        // A date is too coarse to tell versions apart, and a weak tag is none.
        (&[range, (if_range, then)], 200),
        (&[range, (if_range, &format!("W/{this}"))], 200),
        (&[range, (if_range, &this), (matches, &other)], 412),
        (&[("Range", "bytes=10-"), (none_match, &this)], 304),
        (&[("Range", "bytes=10-"), (if_range, &other)], 200),
        (&[("Range", "bytes=0-1,3-4")], 200),
    ];
    for (fields, status) in cases {
        let ask = |method: &str| {
            let request = world.server.request(method, "/download/f");
            let request = fields.iter().fold(request, |request, (name, value)| request.field(name, value));
            let mut connection = Connection::open(&world.server.address);
            connection.send(request.field("Connection", "close").encode());
            let head = connection.head();
            let mut body = Vec::new();
            connection.read_to_end(&mut body).unwrap();
            (head, body)
        };
        let (got, body) = ask("GET");
        assert_eq!(got.status, status, "GET {fields:?}");
        match status {
            200 => assert_eq!(body, b"0123456789"),
            206 => assert_eq!(body, b"234"),
            304 => assert!(body.is_empty() && got.field("ETag") == Some(&this)),
            _ => {}
        }
        let (head, body) = ask("HEAD");
        let without_range = if status == 206 { 200 } else { status };
        assert_eq!((head.status, body.len()), (without_range, 0), "HEAD {fields:?}");
        if without_range == 200 {
            assert_eq!(head.field("Content-Length"), Some("10"));
            assert_eq!(head.field("Repr-Digest"), Some(repr_digest(b"0123456789").as_str()));
        }
    }
    assert_eq!(fs::read(world.server.folder.join("f")).unwrap(), b"0123456789");
}
