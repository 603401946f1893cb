//! How much an account may hold: what would pass it is refused, by whatever request, and the clients say so and go on by themselves.

use std::fs;

use crate::harness::{
    Connection, Json, Request, Response, Server, Token, World, eventually, mint, repr_digest, run,
};

const KIB: usize = 1024;

/// A token for the folder `a`, which is there.
#[track_caller]
fn bounded(server: &Server, bytes: &str, entries: &str) -> Token {
    let options = ["--client", "a", "--root", "a", "--quota-bytes", bytes, "--quota-entries", entries];
    let token = mint(server, &options);
    token.listen(server);
    token
}

/// A request that creates something.
fn creation(token: &Token, path: &str) -> Request {
    token.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*")
}

fn replacement(token: &Token, path: &str) -> Request {
    token.request("PUT", &format!("/upload/{path}")).field("If-Match", "*")
}

/// Bytes and entries, as a problem or the status has them.
fn numbers(json: &Json) -> [u64; 2] {
    ["bytes", "entries"].map(|name| json.get(name).number())
}

/// Refused because so much is used.
#[track_caller]
fn expect_full(response: Response, used: [u64; 2]) {
    let problem = response.expect(507).json();
    assert_eq!(problem.get("type").text(), "/problems/quota-exceeded");
    assert_eq!(numbers(problem.get("quota").get("used")), used, "{problem:?}");
    assert_eq!(numbers(problem.get("quota").get("allowed")), [1000, 6], "{problem:?}");
    let detail = problem.get("detail").text();
    assert!(detail.contains("1000 B are used") && detail.contains("of 6 entries"), "{detail}");
}

fn used(token: &Token, server: &Server) -> [u64; 2] {
    numbers(&token.get(server, "/status").expect(200).json())
}

fn staged(server: &Server) -> usize {
    fs::read_dir(server.folder.join(".filesync/staging")).unwrap().count()
}

#[test]
fn what_would_pass_a_quota_is_refused_and_writes_nothing() {
    let world = World::new();
    let server = &world.server;
    let token = bounded(server, "1000", "6");
    let ask = |request: Request| server.ask(&request);
    let of = |length: usize| vec![b'x'; length];
    let directory = |path: &str| creation(&token, path).field("File-Kind", "dir").body("");

    ask(creation(&token, "f").body(of(600))).expect(201);
    expect_full(ask(creation(&token, "g").body(of(401))), [600, 1]);
    assert!(!server.folder.join("a/g").exists());
    // What replaces something takes the difference.
    ask(replacement(&token, "f").body(of(900))).expect(204);
    expect_full(ask(replacement(&token, "f").body(of(1001))), [900, 1]);
    ask(creation(&token, "g").body(of(100))).expect(201);
    expect_full(ask(creation(&token, "l").field("File-Kind", "symlink").body("t")), [1000, 2]);
    expect_full(token.relocate(server, "COPY", "g", "/upload/h"), [1000, 2]);
    ask(replacement(&token, "f").body(of(700))).expect(204);
    token.relocate(server, "COPY", "g", "/upload/h").expect(201);
    ask(creation(&token, "l").field("File-Kind", "symlink").body("target")).expect(201);

    // A length that is not known before its end.
    let chunked = |name: &str, length: usize| {
        let mut connection = server.connect();
        let head = creation(&token, name).field("Transfer-Encoding", "chunked").encode();
        let body = [format!("{length:x}\r\n").as_bytes(), &of(length), b"\r\n0\r\n\r\n"].concat();
        connection.send([head, body].concat());
        connection.response()
    };
    expect_full(chunked("c", 95), [906, 4]);
    chunked("c", 94).expect(201);

    // Entries, and what needs none.
    ask(directory("d")).expect(201);
    for request in [
        directory("e"),
        creation(&token, "empty").body(""),
        creation(&token, "d/l").field("File-Kind", "symlink").body("t"),
    ] {
        expect_full(ask(request), [1000, 6]);
    }
    expect_full(token.relocate(server, "COPY", "c", "/upload/d/c"), [1000, 6]);
    token.relocate(server, "MOVE", "c", "/upload/d/c").expect(201);
    let patch = token.request("PATCH", "/upload/f").field("If-Match", "*");
    ask(patch.field("Content-Type", "application/merge-patch+json").body("{\"mode\":\"600\"}")).expect(204);
    // What is there already takes nothing, and neither does what is no larger.
    let digest = repr_digest(&of(700));
    ask(creation(&token, "f").field("Repr-Digest", &digest).body(of(700))).expect(204);
    ask(replacement(&token, "f").body(vec![b'y'; 700])).expect(204);
    ask(token.request("DELETE", "/upload/g").field("If-Match", "*")).expect(204);
    ask(creation(&token, "g").body(of(100))).expect(201);
    assert_eq!((used(&token, server), staged(server)), ([1000, 6], 0));
}

#[test]
fn a_quota_is_for_a_folder_whoever_fills_it() {
    let mut world = World::new();
    let token = bounded(&world.server, "1000", "6");
    let larger = bounded(&world.server, "3000", "10");
    let server = &world.server;
    server.ask(&creation(&token, "f").body([b'x'; 900])).expect(201);
    expect_full(token.put_new(server, "g", &"x".repeat(101)), [900, 1]);
    larger.put_new(server, "g", &"x".repeat(101)).expect(201);
    // The key is not bound, and neither is a hand in the box.
    server.put_new("a/h", [b'x'; 1000]).expect(201);
    larger.put_new(server, "i", &"x".repeat(1000)).expect(507);
    fs::write(server.folder.join("a/by hand"), "hand").unwrap();
    eventually("the server to see it", || match used(&token, &world.server) {
        [2005, 4] => Ok(()),
        used => Err(format!("{used:?}")),
    });
    let quota = token.get(server, "/status").json().get("quota").clone();
    assert_eq!(numbers(&quota), [1000, 6]);
    assert_eq!(*server.status().get("quota"), Json::Null, "the key has none");

    // Where there is too much already, it may become less.
    expect_full(token.put_new(server, "i", "x"), [2005, 4]);
    server.ask(&replacement(&token, "f").body([b'y'; 800])).expect(204);
    server.ask(&creation(&token, "empty").body("")).expect(201);
    server.ask(&token.request("DELETE", "/upload/h").field("If-Match", "*")).expect(204);
    expect_full(token.put_new(server, "i", &"x".repeat(96)), [905, 4]);
    // A server that was started again counts the same.
    world.server.stop();
    world.server.start();
    let server = &world.server;
    expect_full(token.put_new(server, "i", &"x".repeat(96)), [905, 4]);
    token.put_new(server, "i", &"x".repeat(95)).expect(201);
}

#[test]
fn uploads_on_their_way_count() {
    let world = World::new();
    let server = &world.server;
    let token = bounded(server, "1000", "6");
    let begin = |name: &str| {
        let mut connection = server.connect();
        let head = creation(&token, name).field("Expect", "100-continue").field("Content-Length", "400");
        connection.send(head.encode());
        let status = connection.head().status;
        (connection, status)
    };
    let (first, second) = (begin("1"), begin("2"));
    assert_eq!((first.1, second.1), (100, 100));
    // Nothing of them has come, and yet there is no room for a third one.
    let mut third = server.connect();
    let head = creation(&token, "3").field("Expect", "100-continue").field("Content-Length", "400");
    third.send(head.encode());
    let problem = third.response().expect(507).json();
    assert_eq!(numbers(problem.get("quota").get("used")), [0, 0]);
    let detail = problem.get("detail").text();
    assert!(detail.contains("800 B are on their way") && detail.contains("2 are on their way"), "{detail}");
    token.put_new(server, "small", &"x".repeat(200)).expect(201);
    // One that is cut off needs its room no longer.
    drop(first);
    eventually("room for another", || {
        let (connection, status) = begin("3");
        if status != 100 {
            return Err(format!("{status}"));
        }
        complete(connection);
        Ok(())
    });
    complete(second.0);
    assert_eq!(used(&token, server), [1000, 3]);
}

#[track_caller]
fn complete(mut connection: Connection) {
    connection.send([b'x'; 400]);
    connection.response().expect(201);
}

#[test]
fn a_client_says_what_waits_for_room_and_goes_on_when_there_is_some() {
    let mut world = World::new();
    let token = bounded(&world.server, "100K", "6");
    world.a.token_file = token.file(&world);
    fs::write(world.a.at("ballast"), [b'b'; 80 * KIB]).unwrap();
    world.a.once(&[]).expect_code(0);
    fs::write(world.a.at("waits"), [b'w'; 60 * KIB]).unwrap();
    fs::write(world.a.at("small"), "small").unwrap();
    let in_box =
        |path: &str| fs::read(world.server.folder.join("a").join(path)).map(|content| content.len()).ok();
    let words = ["waits", "quota", "80.0 KiB of 100.0 KiB are used", "takes 60.0 KiB more"];
    world.a.once(&[]).expect_code(7).expect_words(&words);
    assert_eq!((in_box("small"), in_box("waits")), (Some(5), None));

    world.a.start();
    eventually("the status to say what waits", || {
        let status = world.a.status();
        let problems = status.get("problems").list().iter();
        let problems: Vec<_> = problems.map(|problem| (problem.get("path"), problem.get("error"))).collect();
        match problems[..] {
            [(path, error)] if status.get("state").text() == "syncing" => {
                assert_eq!(path.text(), "waits");
                assert!(error.text().contains("80.0 KiB of 100.0 KiB are used"), "{error:?}");
                Ok(())
            }
            _ => Err(format!("{status:?}")),
        }
    });
    assert!(world.a.status_in_words().contains("waits"), "{}", world.a.status_in_words());
    // Somebody makes room.
    fs::remove_file(world.a.at("ballast")).unwrap();
    eventually("the upload that waited", || {
        if in_box("waits").is_some() { Ok(()) } else { Err("waits".into()) }
    });
    world.a.wait_for_state("idle");

    // Or is allowed more.
    fs::write(world.a.at("large"), [b'l'; 90 * KIB]).unwrap();
    world.a.wait_for_problem("takes 90.0 KiB more");
    world.a.stop();
    world.a.token_file = bounded(&world.server, "200K", "6").file(&world);
    world.a.start();
    world.a.wait_for_state("idle");
    assert_eq!(in_box("large"), Some(90 * KIB));
}

#[test]
fn a_tree_that_has_too_many_entries_is_synced_as_far_as_it_goes() {
    let mut world = World::new();
    let token = bounded(&world.server, "1M", "6");
    world.a.token_file = token.file(&world);
    for directory in 0..3 {
        fs::create_dir(world.a.at(format!("d{directory}"))).unwrap();
        for file in 0..2 {
            fs::write(world.a.at(format!("d{directory}/f{file}")), "content").unwrap();
        }
    }
    world.a.once(&[]).expect_code(7).expect_words(&["6 of 6 entries are used", "takes 1 more"]);
    assert_eq!(used(&token, &world.server)[1], 6);
    fs::remove_dir_all(world.a.at("d0")).unwrap();
    run(world.a.command().args(["--once", "--force"]).arg(&world.a.folder)).expect_code(0);
    assert_eq!(used(&token, &world.server)[1], 6);
    assert!(world.server.folder.join("a/d2/f1").exists() && !world.server.folder.join("a/d0").exists());
}
