//! What many accounts share: one that floods the server keeps no other waiting.

use crate::harness::{Connection, Server, Token, World, eventually, mint, with_descriptors};

/// Connections of the account that floods, and what each of them asks for in one go.
const FLOOD: usize = 700;
const ROUNDS: usize = 3;
/// What the other account asks for, one after the other.
const ASKED: usize = 15;

/// With 64 descriptors there are places for so many who have shown a key.
const KNOWN: usize = 8;

#[track_caller]
fn account(server: &Server, name: &str) -> Token {
    let token = mint(server, &["--client", name, "--root", name]);
    token.listen(server);
    token
}

/// All changes of the flood are to one path, so each waits for the one before: hundreds wait at any time, and none can share a flush with
/// another. How many are made between two requests of somebody else is told by the server's own numbers.
#[test]
fn a_flood_of_one_account_keeps_no_other_waiting() {
    let world = World::new();
    let server = &world.server;
    let (loud, quiet) = (account(server, "loud"), account(server, "quiet"));
    loud.put_new(server, "contested", "first").expect(201);
    let begun = server.seq();
    let flood: Vec<Connection> = (0..FLOOD).map(|number| begin_flood(server, &loud, number)).collect();
    eventually("the flood to have begun", || match server.seq() - begun {
        0..20 => Err("not yet".into()),
        _ => Ok(()),
    });
    let mut connection = server.connect();
    let requests: Vec<u8> = (0..ASKED)
        .flat_map(|number| {
            let request = quiet.request("PUT", &format!("/upload/{number}"));
            request.field("If-None-Match", "*").body("quiet").encode()
        })
        .collect();
    connection.send(requests);
    let seqs: Vec<u64> = (0..ASKED)
        .map(|_| {
            let answer = connection.response().expect(201);
            let cursor = answer.field("Sync-Cursor").unwrap_or("").to_owned();
            cursor.rsplit('-').next().unwrap().parse().unwrap()
        })
        .collect();
    let mut between: Vec<u64> = seqs.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
    between.sort_unstable();
    // One that is made while the next request is read, and one in the same group; more where a machine is slow to wake a thread up.
    let usual = between[between.len() / 2];
    assert!(usual < 50, "changes of the flood between two others: {between:?}");
    let made = server.seq() - begun;
    assert!(made < (FLOOD * ROUNDS) as u64, "the flood was over before the others were answered: {made}");
    drop(flood);
}

fn begin_flood(server: &Server, token: &Token, number: usize) -> Connection {
    let mut connection = server.connect();
    let requests: Vec<u8> = (0..ROUNDS)
        .flat_map(|round| {
            let request = token.request("PUT", "/upload/contested").field("If-Match", "*");
            request.body(format!("{number} {round}")).encode()
        })
        .collect();
    connection.send(requests);
    connection
}

/// All come from one address, as they do behind a proxy.
#[test]
fn an_account_with_many_connections_makes_room_for_another() {
    let mut world = World::new();
    let (loud, quiet) = (account(&world.server, "loud"), account(&world.server, "quiet"));
    world.server.stop();
    world.server.start_as(|command| with_descriptors(&command, 64));
    let server = &world.server;
    let mut streams: Vec<Connection> = (0..KNOWN).map(|_| loud.listen(server)).collect();
    let refused = loud.get(server, "/status").expect(503);
    assert_eq!(refused.field("Retry-After"), Some("1"));
    quiet.get(server, "/status").expect(200);
    // The one that has been there longest was hung up on, and no other.
    let mut rest = Vec::new();
    let _ = streams[0].read_to_end(&mut rest);
    // As soon as the server has seen that the quiet one has left.
    eventually("a place to be free", || match loud.put_new(server, "file", "to be told").status {
        201 => Ok(()),
        status => Err(format!("{status}")),
    });
    for stream in &mut streams[1..] {
        stream.event_named("download");
    }
}
