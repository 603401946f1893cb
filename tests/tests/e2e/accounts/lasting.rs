//! Tokens at work: while something takes long, and beside other tokens.

use std::fs;

use super::revoke;
use crate::harness::{Relay, Request, Way, World, eventually, mint};

/// More than the sockets on the way take.
const LARGE: usize = 32 << 20;

/// The connection is hung up on although its peer takes nothing at the moment.
#[test]
fn a_download_ends_with_its_token() {
    let world = World::new();
    world.server.put_new("large", vec![b'x'; LARGE]).expect(201);
    let token = mint(&world.server, &["--client", "laptop", "--read-only"]);
    let mut connection = world.server.connect();
    connection.send(token.request("GET", "/download/large").encode());
    assert_eq!(connection.head().status, 200);
    revoke(&world.server, &["--id", &token.id]);
    eventually("the connection to end", || match world.server.metric("connections") {
        1 => Ok(()),
        more => Err(format!("there are {more}")),
    });
    let mut content = Vec::new();
    // Whether it ends in good order or not: it ends before the content does.
    let _ = connection.read_to_end(&mut content);
    assert!(content.len() < LARGE, "all of it was sent");
}

/// The client ends with a clear word, and with another token the download goes on.
#[test]
fn a_client_whose_token_is_revoked_goes_on_with_another() {
    let mut world = World::new();
    let content: Vec<u8> = (0..LARGE).map(|number| (number >> 10) as u8).collect();
    world.server.put_new("large", &content).expect(201);
    let relay = Relay::new(&world.server.address);
    let token = mint(&world.server, &["--client", "laptop"]);
    world.a.token_file = token.file(&world);
    world.a.url = relay.url();
    relay.hold_after(Way::Down, LARGE as u64 / 4);
    world.a.start();
    relay.wait_until_held(Way::Down);
    revoke(&world.server, &["--id", &token.id]);
    eventually("the connections to end", || match world.server.metric("connections") {
        1 => Ok(()),
        more => Err(format!("there are {more}")),
    });
    relay.open();
    assert_eq!(world.a.process().wait(), 5);
    assert!(world.a.process().log().contains("revoked"), "{}", world.a.process().log());
    assert!(!world.a.at("large").exists());
    let before = relay.passed(Way::Down);
    world.a.token_file = mint(&world.server, &["--client", "laptop"]).file(&world);
    world.a.start();
    world.settle();
    assert!(fs::read(world.a.at("large")).unwrap() == content);
    let sent = relay.passed(Way::Down) - before;
    assert!(sent < LARGE as u64, "it began anew: {sent} bytes");
}

/// The id of a client is what it says of itself. It is known beside whom its token is for, so that no token opens another's name.
#[test]
fn nobody_speaks_in_the_name_of_another() {
    let world = World::new();
    let share = |client| mint(&world.server, &["--client", client, "--root", "share"]);
    let (alice, bob) = (share("alice"), share("bob"));
    let put = |request: Request| {
        let request = request.field("Sync-Client", "9c2f").field("If-None-Match", "*").body("x");
        world.server.ask(&request).expect(201);
    };
    let mut listening = world.server.connect();
    listening.send(alice.request("GET", "/sync").field("Sync-Client", "9c2f").encode());
    assert_eq!(listening.head().status, 200);
    listening.event_named("synced");
    put(alice.request("PUT", "/upload/own"));
    let own = listening.event();
    assert_eq!((&*own.name, own.json().get("origin").text()), ("stored", "alice/9c2f"));
    put(bob.request("PUT", "/upload/from-bob"));
    let foreign = listening.event();
    assert_eq!((&*foreign.name, foreign.json().get("origin").text()), ("download", "bob/9c2f"));
    // Nor does who has the key.
    put(world.server.request("PUT", "/upload/share/by-key"));
    let foreign = listening.event();
    assert_eq!((&*foreign.name, foreign.json().get("origin").text()), ("download", "9c2f"));
    let named = world.server.request("PUT", "/upload/share/named").field("Sync-Client", "alice/9c2f");
    world.server.ask(&named.field("If-None-Match", "*").body("x")).expect(400);
    // A list tells a client's own changes by the same name.
    let list = r#"{"client":{"id":"9c2f"},"complete":true,"files":[]}"#;
    let mut listing = world.server.connect();
    listing.send(alice.request("POST", "/sync").body(list).encode());
    assert_eq!(listing.head().status, 200);
    listing.event_named("synced");
    put(bob.request("PUT", "/upload/later"));
    assert_eq!(listing.event().name, "download");
}
