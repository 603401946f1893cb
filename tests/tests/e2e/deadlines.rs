//! Connections that are too slow for any good reason end when they are said to, and not before. What takes longer than a moment is waited for
//! only with the sizes and times that filesync is made for.

use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Connection, Server, World, eventually, is_full, pass};

/// How much later than it is due something may be noticed on a busy machine.
const SLACK: Duration = Duration::from_secs(15);

/// Sends one byte more every now and then until the server ends the connection. When that was, and what it said.
fn drip_until_it_ends(server: &Server, opening: &[u8]) -> (Duration, String) {
    let mut connection = server.connect();
    let begun = Instant::now();
    connection.send(opening);
    thread::scope(|scope| {
        let mut sender = connection.another();
        let drip = scope.spawn(move || {
            while sender.write_all(b"x").is_ok() {
                pass(Duration::from_millis(200))
            }
        });
        let mut said = Vec::new();
        // A byte that comes after the end may turn it into a reset.
        let _ = connection.read_to_end(&mut said);
        let ended = begun.elapsed();
        drop(connection);
        drip.join().expect("no panic");
        (ended, String::from_utf8_lossy(&said).into_owned())
    })
}

#[track_caller]
fn check(what: &str, due: Duration, ended: Duration) {
    let early = Duration::from_millis(500);
    assert!(due <= ended + early && ended <= due + SLACK, "{what}: ended after {ended:?} instead of {due:?}");
}

/// A head has ten seconds, however it drips, and so has a body that brings less than 1 KiB a second.
#[test]
fn what_drips_is_not_waited_for() {
    let world = World::new();
    let server = &world.server;
    let put = server
        .request("PUT", "/upload/x")
        .field("If-None-Match", "*")
        .field("Content-Length", "100000")
        .encode();
    let openings: [(&str, Vec<u8>); 3] = [
        ("a head", b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec()),
        ("a request line", b"GET /".to_vec()),
        ("a body", put),
    ];
    thread::scope(|scope| {
        for (what, opening) in openings {
            scope.spawn(move || {
                let (ended, said) = drip_until_it_ends(server, &opening);
                assert!(
                    said.starts_with("HTTP/1.1 408 ") && said.contains("connection: close"),
                    "{what}: {said}"
                );
                check(what, Duration::from_secs(10), ended);
            });
        }
    });
}

/// For who sends next to nothing nothing is done, but to wait.
#[test]
fn a_body_that_has_hardly_begun_leaves_nothing_on_the_disk() {
    let world = World::new();
    let staged = || fs::read_dir(world.server.folder.join(".filesync/staging")).expect("a directory").count();
    let put = world
        .server
        .request("PUT", "/upload/x")
        .field("If-None-Match", "*")
        .field("Content-Length", "10000")
        .field("Expect", "100-continue");
    let mut connection = world.server.connect();
    connection.send(put.encode());
    connection.head().expect(100);
    connection.send("x".repeat(1000));
    assert_eq!(staged(), 0);
    connection.send("x".repeat(8000));
    eventually("a file for the body", || match staged() {
        1 => Ok(()),
        count => Err(format!("{count} files")),
    });
    connection.send("x".repeat(1000));
    connection.response().expect(201);
}

/// Half a minute for who takes nothing, a minute for who asks for nothing.
#[test]
fn who_does_nothing_is_let_go() {
    if !is_full() {
        return;
    }
    let mut world = World::new();
    world.server.stop();
    File::create(world.server.folder.join("large"))
        .and_then(|file| file.set_len(64 << 20))
        .expect("make a file");
    world.server.start();
    let server = &world.server;
    let end = |mut connection: Connection| {
        let begun = Instant::now();
        connection.another().set_read_timeout(Some(Duration::from_secs(120))).expect("a socket");
        let _ = connection.read_to_end(&mut Vec::new());
        begun.elapsed()
    };
    thread::scope(|scope| {
        scope.spawn(move || check("silence", Duration::from_secs(60), end(server.connect())));
        scope.spawn(move || {
            let mut connection = server.connect();
            connection.send(server.request("GET", "/status").encode());
            connection.response().expect(200);
            check("a pause between requests", Duration::from_secs(60), end(connection));
        });
        scope.spawn(move || {
            let mut connection = server.connect();
            connection.send(server.request("GET", "/download/large").encode());
            pass(Duration::from_secs(30) + SLACK);
            let mut content = Vec::new();
            let _ = connection.read_to_end(&mut content);
            assert!(content.len() < 64 << 20, "it was waited for");
        });
    });
}
