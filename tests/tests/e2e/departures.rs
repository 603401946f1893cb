//! Clients that go without a word, in the middle of everything: what the server held for them is given back, and nothing stays behind.
//! And those who stay, and hear that the server is there.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use crate::harness::{Connection, Server, World, eventually, is_full};

/// Length of what is downloaded, in bytes: more than the kernel takes off a server's hands.
const LARGE: u64 = 32 << 20;

/// Begins something and hands back the connection, to be dropped.
fn half_done(server: &Server, number: usize) -> Connection {
    let mut connection = server.connect();
    let put = server.request("PUT", &format!("/upload/{number}")).field("If-None-Match", "*");
    let request = match number % 5 {
        // A reset follows, because what has come is not read.
        0 => server.request("GET", "/download/large"),
        1 => put.field("Content-Length", "1000000"),
        2 => put.field("Transfer-Encoding", "chunked"),
        3 => server.request("GET", "/sync"),
        _ => server.request("POST", "/sync").field("Transfer-Encoding", "chunked"),
    };
    connection.send(request.encode());
    match number % 5 {
        0 | 3 => drop(connection.head().expect(200)),
        1 => connection.send("some of it"),
        _ => connection.send("5\r\n{\"cli"),
    }
    connection
}

#[test]
fn what_they_held_is_given_back() {
    let mut world = World::new();
    world.server.stop();
    File::create(world.server.folder.join("large"))
        .and_then(|file| file.set_len(LARGE))
        .expect("make a file");
    world.server.start();
    world.server.get("/healthz").expect(200);
    let before = eventually("no connection", || match world.server.process().figures() {
        now if now.threads <= 6 => Ok(now),
        now => Err(format!("{now:?}")),
    });
    let count = if is_full() { 1000 } else { 100 };
    for number in 0..count {
        drop(half_done(&world.server, number));
    }
    let gone = Instant::now();
    eventually("the server to be as it was", || match world.server.process().figures() {
        now if now.threads <= before.threads && now.descriptors <= before.descriptors => Ok(()),
        now => Err(format!("{now:?} instead of {before:?}")),
    });
    println!("departures: {count} clients, given back after {:?}", gone.elapsed());
    for place in ["staging", "partial"] {
        let left: Vec<_> = fs::read_dir(world.server.folder.join(".filesync").join(place))
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
    eventually("nobody to listen", || match world.server.status() {
        status if status.get("clients").list().is_empty() => Ok(()),
        status => Err(format!("{status:?}")),
    });
    assert_eq!(world.server.status().get("entries").number(), 1);
}

/// 15 seconds after whatever came last, even if it is only a comment.
#[test]
fn who_listens_hears_that_the_server_is_there() {
    let world = World::new();
    let mut stream = world.server.connect();
    stream.send(world.server.request("GET", "/sync").encode());
    stream.head().expect(200);
    let begun = Instant::now();
    let mut said = String::new();
    while !said.contains("\n: \n") && !said.contains("\n:\n") {
        said += &String::from_utf8_lossy(&stream.chunk().expect("the stream goes on"));
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "after {:?}", begun.elapsed());
}

/// Whoever reads nothing costs a bounded queue, misses nothing, and keeps nobody from hearing what is new.
#[test]
fn who_does_not_read_misses_nothing() {
    let world = World::new();
    let server = &world.server;
    let listen = || {
        let mut stream = server.connect();
        stream.send(server.request("GET", "/sync").encode());
        stream.head().expect(200);
        stream.event_named("synced");
        stream
    };
    let (mut slow, mut quick) = (listen(), listen());
    // Several times the queue, and with long names more than the socket takes.
    let name = |number: usize| format!("{number:04}-{}", "x".repeat(240));
    let mut writer = server.connect();
    for number in 0..1500 {
        let put =
            server.request("PUT", &format!("/upload/{}", name(number))).field("If-None-Match", "*").body("");
        writer.send(put.encode());
        writer.response().expect(201);
        assert_eq!(quick.event_named("download").json().get("path").text(), name(number));
    }
    for number in 0..1500 {
        assert_eq!(slow.event_named("download").json().get("path").text(), name(number));
    }
}

/// After a restart, at the same place, a client goes on where it was, and is told what it missed.
#[test]
fn who_comes_back_after_a_restart_goes_on() {
    let mut world = World::new();
    world.server.put_new("before", "x").expect(201);
    let cursor = world.server.cursor();
    world.server.kill();
    fs::write(world.server.folder.join("meanwhile"), "x").expect("write a file");
    world.server.start();
    let mut stream = world.server.connect();
    stream.send(world.server.request("GET", "/sync").field("Last-Event-ID", &cursor).encode());
    stream.head().expect(200);
    assert_eq!(stream.event_named("download").json().get("path").text(), "meanwhile");
}
