//! Requests that come together on one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::limits::{ANSWERS_OWED, LIGHT_BYTES};
use common::protocol::{Cursor, ProblemKind};
use common::wire::http::framing::response_framing;
use common::wire::http::head::parse_response;

use super::*;
use crate::testing::Workshop;

const NEW: &str = "if-none-match: *\r\n";

/// A request of somebody who has the key.
fn request(line: &str, fields: &str, body: &str) -> String {
    let key = "authorization: Bearer correct-horse-battery";
    format!("{line} HTTP/1.1\r\nhost: a\r\n{key}\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

fn put(name: &str, fields: &str, body: &str) -> String {
    request(&format!("PUT /upload/{name}"), fields, body)
}

/// Reads so many answers, and gives the status and seq of each.
fn answers(client: &mut TcpStream, count: usize) -> Vec<(u16, Option<u64>)> {
    let mut conn = Conn::new(client.try_clone().unwrap()).unwrap();
    let mut answer = || {
        let soon = Deadline::after(Duration::from_secs(20));
        let head = conn.read_head(parse_response, soon).unwrap().unwrap();
        let framing = response_framing(Method::Get, &head).unwrap();
        let mut body = Vec::new();
        Body::new(&mut conn, framing, Pace::Minimum).read_to_end(&mut body).unwrap();
        let cursor = head.fields.get("sync-cursor").map(|text| Cursor::parse(text).unwrap().seq);
        (head.status, cursor)
    };
    (0..count).map(|_| answer()).collect()
}

/// What comes together is made together, and answered in order, whatever becomes of each.
#[test]
fn requests_that_come_together() {
    let workshop = Workshop::new();
    let all = [
        put("a", NEW, "first"),
        put("b", NEW, "second"),
        put("c", "", "without a condition"),
        put(
            "d",
            "if-none-match: *\r\nrepr-digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\r\n",
            "other",
        ),
        put("e", "if-none-match: *\r\nfile-kind: dir\r\n", ""),
        // These depend on what was asked for just before.
        put("e/f", NEW, "below"),
        put("a", NEW, "again"),
        put("a", "if-match: *\r\n", "more"),
        request("GET /download/a", "", ""),
        request("GET /download/e/f", "", ""),
        request("DELETE /upload/a", "if-match: *\r\n", ""),
        request("GET /download/a", "", ""),
    ];
    let want = [
        (201, Some(1)),
        (201, Some(2)),
        (428, None),
        (422, None),
        (201, Some(3)),
        (201, Some(4)),
        (412, None),
        (204, Some(5)),
        (200, None),
        (200, None),
        (204, Some(6)),
        (404, None),
    ];
    let got = probe::converse(dispatch, &workshop, |client| {
        client.write_all(all.concat().as_bytes()).unwrap();
        answers(client, all.len())
    });
    assert_eq!(got, want);
}

/// The most files that were in the box when an upload was begun.
static FOUND: AtomicUsize = AtomicUsize::new(0);

fn counting<'a>(
    service: &'a Arc<Service>,
    seat: &Seat,
    head: &RequestHead,
    framing: Framing,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    FOUND.fetch_max(service.store.index().live_below(None).count(), Ordering::Relaxed);
    dispatch(service, seat, head, framing, body)
}

/// What is here as a whole is begun before any of it is made, whatever part of it the connection has read already.
#[test]
fn uploads_of_any_length_are_begun_together() {
    const COUNT: usize = 6;
    for length in [0, 100, 3000, 4096, 5000, 8192, LIGHT_BYTES as usize] {
        let workshop = Workshop::new();
        let content = "x".repeat(length);
        let all: String = (0..COUNT).map(|number| put(&number.to_string(), NEW, &content)).collect();
        let (mut client, socket) = UnixStream::pair().unwrap();
        client.write_all(all.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        FOUND.store(0, Ordering::Relaxed);
        serve_with(counting, &workshop.service, &workshop.seat(), socket.into()).unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        assert_eq!(statuses_of(&answers), [201; COUNT]);
        assert_eq!(
            FOUND.load(Ordering::Relaxed),
            0,
            "{length} bytes: some were made before the last was begun"
        );
    }
}

/// What is owed is not kept back until a request is complete that has only begun.
#[test]
fn nobody_waits_for_the_rest_of_another_request() {
    let workshop = Workshop::new();
    let (whole, half) = (put("a", NEW, "whole"), put("b", NEW, "half of this"));
    let got = probe::converse(dispatch, &workshop, |client| {
        let (begin, end) = half.split_at(half.len() - 3);
        client.write_all([&whole, begin].concat().as_bytes()).unwrap();
        let first = answers(client, 1);
        client.write_all(end.as_bytes()).unwrap();
        [first, answers(client, 1)].concat()
    });
    assert_eq!(got, [(201, Some(1)), (201, Some(2))]);
}

/// However many come at once, and however large they are.
#[test]
fn more_than_may_be_owed() {
    let workshop = Workshop::new();
    let large = "x".repeat(20_000);
    let all: Vec<String> = (0..3 * ANSWERS_OWED)
        .map(|number| {
            put(&format!("f{number}"), "if-none-match: *\r\n", if number % 7 == 0 { &large } else { "y" })
        })
        .collect();
    let got = probe::converse(dispatch, &workshop, |client| {
        thread::scope(|scope| {
            let mut writer = client.try_clone().unwrap();
            scope.spawn(move || writer.write_all(all.concat().as_bytes()).unwrap());
            answers(client, 3 * ANSWERS_OWED)
        })
    });
    let want: Vec<_> = (1..=3 * ANSWERS_OWED as u64).map(|seq| (201, Some(seq))).collect();
    assert_eq!(got, want);
}

/// Like [`dispatch`], but that with some names something happens to the server.
fn eventful<'a>(
    service: &'a Arc<Service>,
    seat: &Seat,
    head: &RequestHead,
    framing: Framing,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    match head.target.as_str() {
        "/upload/defect" => panic!("a defect, for a test"),
        "/upload/full" => return Err(Refusal::new(ProblemKind::NoSpace, "for a test")),
        "/upload/stopping" => service.registry.stop(),
        "/upload/stopped" => service.store.stop(),
        _ => {}
    }
    dispatch(service, seat, head, framing, body)
}

/// Whatever happens to one of them: those before it are made and answered, and those behind it as well, or neither.
#[test]
fn something_happens_in_the_midst() {
    let new = |name: &str| put(name, NEW, name);
    let foreign = new("foreign").replace("correct-horse", "wrong-horse");
    let last = put("last", "if-none-match: *\r\nconnection: close\r\n", "last");
    let rows: [(String, &[u16], &[&str]); 8] = [
        (foreign, &[201, 401, 201], &["a", "b"]),
        (new("full"), &[201, 507, 201], &["a", "b"]),
        (last, &[201, 201], &["a", "last"]),
        (put("defect", "", ""), &[201, 500], &["a"]),
        (new("stopping"), &[201, 201], &["a", "stopping"]),
        ("PUT /upload/x\r\n\r\n".into(), &[201, 400], &["a"]),
        (
            put("refused", "", "x").replace("content-length: 1", "content-length: 9999999999999"),
            &[201, 428],
            &["a"],
        ),
        (put("short", NEW, "x").replace("content-length: 1", "content-length: 10000"), &[201, 400], &["a"]),
    ];
    for (amid, statuses, made) in rows {
        let workshop = Workshop::new();
        let all = [new("a"), amid, new("b")].concat();
        let answers = probe::exchange(eventful, &workshop, all.as_bytes());
        assert_eq!(statuses_of(&answers), statuses, "{all}");
        assert_eq!(live(&workshop), made, "{all}");
    }
}

/// What was not asked for before the store was stopped is refused, and nobody waits.
#[test]
fn the_store_is_stopped_in_the_midst() {
    let workshop = Workshop::new();
    let all = [put("stopped", NEW, "x"), put("b", NEW, "x")].concat();
    let answers = probe::exchange(eventful, &workshop, all.as_bytes());
    assert_eq!(statuses_of(&answers), [503, 503]);
    assert!(live(&workshop).is_empty());
}

/// Whoever is gone before he is answered finds, when he comes again, that what was made is there: each of his files is one change.
#[test]
fn a_client_goes_and_comes_again() {
    let workshop = Workshop::new();
    let names: Vec<String> = (10..60).map(|number| format!("f{number}")).collect();
    let all: String = names.iter().map(|name| put(name, NEW, &name.repeat(300))).collect();
    probe::converse(dispatch, &workshop, |client| client.write_all(all.as_bytes()).unwrap());
    let made = live(&workshop);
    assert_eq!(made, names[..made.len()], "those that came first");
    let answers = probe::exchange(dispatch, &workshop, all.as_bytes());
    let want: Vec<u16> = names.iter().map(|name| if made.contains(name) { 204 } else { 201 }).collect();
    assert_eq!(statuses_of(&answers), want);
    assert_eq!((live(&workshop), workshop.service.store.index().cursor().seq), (names, 50));
}

fn statuses_of(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

fn live(workshop: &Workshop) -> Vec<String> {
    workshop.service.store.index().live_below(None).map(|(path, _)| path.to_string()).collect()
}
