//! More connections than there is room for, in the server or in the system: who makes room, who is asked to come back, and that the server
//! neither ends nor spins.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::faults::injector::{Fault, Injector, kinds};
use crate::harness::{Server, World, connect_from, eventually, pass, with_descriptors};

const EMFILE: i32 = 24;
const EAGAIN: i32 = 11;
/// With 64 descriptors there are places for so many who have shown a key.
const KNOWN: usize = 8;

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, last)
}

/// Sends a request from an address, and leaves the connection as it is.
fn begin(server: &Server, from: Ipv4Addr, target: &str) -> TcpStream {
    let mut connection = connect_from(from, server.address.parse().expect("IPv4")).expect("connect");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    connection.write_all(&server.request("GET", target).encode()).expect("send");
    connection
}

/// The beginning of what came, up to the end of the head at least; all there is if the connection ended.
fn head(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn status(connection: &mut TcpStream) -> String {
    head(connection).get(9..12).unwrap_or("none").to_owned()
}

fn is_over(connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    loop {
        match (&*connection).read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// As many as there are places for, from one address: one after the other, or as strangers they would have to make room for each other.
#[track_caller]
fn all_known(server: &Server, target: &str) -> Vec<TcpStream> {
    let known = |_| {
        let mut connection = begin(server, address(1), target);
        assert_eq!(status(&mut connection), "200");
        connection
    };
    (0..KNOWN).map(known).collect()
}

/// All who follow the box from one address, then one more, from there and from elsewhere.
#[test]
fn who_has_many_connections_makes_room_for_who_has_few() {
    let mut world = World::new();
    world.server.stop();
    world.server.start_as(|command| with_descriptors(&command, 64));
    let server = &world.server;
    let streams = all_known(server, "/sync");

    let refused = head(&mut begin(server, address(1), "/status"));
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(!streams.iter().any(is_over), "nobody lost his place for another of the same address");

    let mut elsewhere = begin(server, address(2), "/status");
    assert_eq!(status(&mut elsewhere), "200");
    eventually("one of many to make room", || {
        match streams.iter().filter(|stream| is_over(stream)).count() {
            1 => Ok(()),
            count => Err(format!("{count} did")),
        }
    });
    assert!(is_over(&streams[0]), "the one that has been there longest");
    assert!(!is_over(&elsewhere));
}

/// One who waits for a request makes room for one who has one.
#[test]
fn who_is_idle_makes_room() {
    let mut world = World::new();
    world.server.stop();
    world.server.start_as(|command| with_descriptors(&command, 64));
    let server = &world.server;
    let idle = all_known(server, "/status");
    assert_eq!(status(&mut begin(server, address(1), "/status")), "200");
    eventually("one of them to make room", || match idle.iter().filter(|one| is_over(one)).count() {
        count @ 1.. => Ok(count),
        _ => Err("all are there".to_owned()),
    });
}

#[test]
fn accepting_that_fails_is_tried_again_without_haste() {
    let mut world = World::new();
    world.server.stop();
    let injector = Injector::new(world.directory(), "server", None);
    world.server.environment.extend(injector.environment());
    world.server.start();
    let logged = world.server.log().lines().count();
    injector.arm(Fault::Error(EMFILE), kinds::ACCEPT, 1..=u64::MAX);
    let mut waiting = begin(&world.server, address(1), "/status");
    let begun = Instant::now();
    eventually("some attempts", || {
        if 5 < injector.count() { Ok(()) } else { Err(injector.count().to_string()) }
    });
    pass(Duration::from_millis(500));
    let (attempts, took) = (injector.count(), begun.elapsed());
    assert!(u128::from(attempts) <= 2 + took.as_millis() / 50, "{attempts} attempts in {took:?}");
    injector.disarm();
    assert_eq!(status(&mut waiting), "200");
    let log = world.server.log();
    let lines: Vec<&str> = log.lines().skip(logged).collect();
    assert!(lines.len() == 1 && lines[0].contains("ulimit -n"), "{lines:?}");
}

/// A stream that lasts is left to a thread that has done nothing else. Without one it ends, and its place is free again.
#[test]
fn who_listens_has_a_thread_that_did_nothing_else() {
    let mut world = World::new();
    world.server.stop();
    let injector = Injector::new(world.directory(), "server", None);
    world.server.environment.extend(injector.environment());
    world.server.start();
    let mut stream = begin(&world.server, address(1), "/sync");
    assert_eq!(status(&mut stream), "200");
    let threads = |server: &mut Server, want| {
        eventually("the connection to have become a stream", || {
            let threads = ["tell-", "conn-"].map(|name| server.process().threads_named(name));
            if threads == want { Ok(()) } else { Err(format!("{threads:?}")) }
        });
    };
    threads(&mut world.server, [1, 0]);
    // The thread of the connection is there, and that of the stream is not.
    injector.arm(Fault::Error(EAGAIN), kinds::SPAWN, 2..=2);
    let mut other = begin(&world.server, address(1), "/sync");
    let mut all = String::new();
    other.read_to_string(&mut all).expect("it ends");
    assert!(all.contains("event: synced\n") && !all.ends_with("0\r\n\r\n"), "{all}");
    threads(&mut world.server, [1, 0]);
    assert!(!is_over(&stream));
}

#[test]
fn without_a_thread_there_is_an_answer() {
    let mut world = World::new();
    world.server.stop();
    let injector = Injector::new(world.directory(), "server", None);
    world.server.environment.extend(injector.environment());
    world.server.start();
    injector.arm(Fault::Error(EAGAIN), kinds::SPAWN, 1..=3);
    for _ in 0..3 {
        let refused = head(&mut begin(&world.server, address(1), "/status"));
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"),
            "{refused}"
        );
    }
    assert_eq!(status(&mut begin(&world.server, address(1), "/status")), "200");
}
