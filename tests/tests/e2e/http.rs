//! The server as any HTTP client sees it, well-meaning or not.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::harness::{Connection, Request, Response, World, repr_digest, sha256, shell, snapshot};

/// The entity tag of a file with this content.
fn etag(content: &str) -> String {
    format!("\"{}\"", sha256(content.as_bytes()))
}

/// The last part of a problem's type.
#[track_caller]
fn problem(response: &Response) -> String {
    assert_eq!(response.field("Content-Type"), Some("application/problem+json"));
    let json = response.json();
    assert_eq!(json.get("status").number(), u64::from(response.status));
    json.get("type").text().trim_start_matches("/problems/").to_owned()
}

/// Whether box and surroundings are as empty as they were at the start.
#[track_caller]
fn check_nothing_written(world: &World) {
    assert!(snapshot(&world.server.folder).unwrap().is_empty(), "the box has something in it");
    let beside: Vec<_> =
        fs::read_dir(world.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for name in &beside {
        let known = ["box", "alpha", "beta", "server.out", "server.log"];
        assert!(known.iter().any(|known| name == known), "{name:?} has appeared beside the box");
    }
}

/// `If-Match` names a version, `Sync-Base` until when it was known to be there.
#[test]
fn a_version_that_came_back_is_told_from_the_one_before() {
    let world = World::new();
    let server = &world.server;
    let create =
        || server.ask(&server.request("PUT", "/upload/a").field("If-None-Match", "*").body("a")).expect(201);
    let seen = |method: &str, base: &str| {
        server.request(method, "/upload/a").field("If-Match", &etag("a")).field("Sync-Base", base)
    };
    let first = create().field("Sync-Cursor").unwrap().to_owned();
    server.ask(&seen("DELETE", &first)).expect(204);
    let second = create().field("Sync-Cursor").unwrap().to_owned();
    let patch = server.request("PATCH", "/upload/a").field("If-Match", "*").body("{\"mode\":\"600\"}");
    server.ask(&patch.field("Content-Type", "application/merge-patch+json")).expect(204);
    let other = format!("{:016x}-{}", 7, u64::MAX);
    for base in [&first, &other] {
        for request in [
            seen("DELETE", base),
            seen("PUT", base).body("b"),
            seen("MOVE", base).field("Destination", "/upload/b"),
        ] {
            let refused = server.ask(&request);
            assert_eq!((refused.status, problem(&refused).as_str()), (412, "precondition-failed"));
            let current = refused.json().get("current").clone();
            assert_eq!((current.get("since").number(), current.get("seq").number()), (3, 4));
        }
    }
    // Whatever is known of it: what is wanted is so.
    server.ask(&seen("PUT", &first).body("a")).expect(204);
    server.ask(&seen("DELETE", "5")).expect(400);
    server.ask(&seen("DELETE", &second)).expect(204);
}

// ---- Framing ----------------------------------------------------------------------------------------------------------------------------

/// What [`say`] returns when the server hangs up without a word.
const HANGS_UP: u16 = 0;

/// Sends bytes that are no good request, then nothing more, and returns the status of the answer.
fn say(world: &World, bytes: &[u8]) -> u16 {
    let mut connection = world.server.connect();
    // The server may have heard enough before everything is said.
    let _ = connection.try_send(bytes);
    connection.finish_sending();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let answers = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
    assert!(answers <= 1, "more than one answer:\n{text}");
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(HANGS_UP)
}

#[test]
fn garbage_is_refused_and_others_are_served() {
    let world = World::new();
    let many_fields = format!("GET /status HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(101));
    let long_field = format!("GET /status HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9_000));
    let cases: [(&[u8], &[u16]); 17] = [
        (b"", &[HANGS_UP]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400, HANGS_UP]),
        (b"garbage\r\n\r\n", &[400]),
        (b"\0\0\0\0\r\n\r\n", &[400]),
        (b"GET /status\r\n\r\n", &[400]),
        (b"GET /status HTTP/2.0\r\nHost: x\r\n\r\n", &[400, 505]),
        (b"get /status http/1.1\r\nHost: x\r\n\r\n", &[400, 505]),
        (b"GET  /status HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
        (b"GET /status HTTP/1.1\r\n\r\n", &[400]),
        (b"GET /status HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", &[400]),
        (b"GET /status HTTP/1.1\r\nHost : x\r\n\r\n", &[400]),
        (b"GET /status HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", &[400]),
        (b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", &[400]),
        (b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
        (many_fields.as_bytes(), &[431]),
        (long_field.as_bytes(), &[431]),
        (long_target.as_bytes(), &[414, 431]),
    ];
    for (bytes, statuses) in cases {
        let status = say(&world, bytes);
        let start = bytes[..bytes.len().min(60)].escape_ascii();
        assert!(statuses.contains(&status), "{start}: {status}");
        world.server.ask(&Request::new("GET", "/healthz")).expect(200);
    }
    check_nothing_written(&world);
}

#[test]
fn requests_in_one_go_are_answered_in_order() {
    let world = World::new();
    let put = |path: &str| {
        world.server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*").body(path)
    };
    let get = |path: &str| world.server.request("GET", &format!("/download/{path}"));
    let requests = [put("one"), get("one"), get("missing"), put("two"), put("one"), get("two")];
    let mut connection = world.server.connect();
    connection.send(requests.iter().flat_map(Request::encode).collect::<Vec<u8>>());
    let answers = requests.map(|_| connection.response());
    // The fifth says what is so already, which is as good as done.
    assert_eq!(answers.each_ref().map(|answer| answer.status / 100), [2, 2, 4, 2, 2, 2]);
    assert_eq!(
        (answers[1].body.as_slice(), answers[5].body.as_slice()),
        (b"one".as_slice(), b"two".as_slice())
    );
}

#[test]
fn a_body_is_asked_for_before_it_is_sent() {
    let world = World::new();
    let put = |key: &str| {
        Request::new("PUT", "/upload/asked")
            .field("Authorization", &format!("Bearer {key}"))
            .field("If-None-Match", "*")
            .field("Expect", "100-continue")
            .field("Content-Length", "5")
    };
    let mut connection = world.server.connect();
    connection.send(put(&world.server.key()).encode());
    connection.head().expect(100);
    connection.send("hello");
    connection.response().expect(201);

    // What would be refused anyway is refused before the body comes.
    for (request, status) in [(put("wrong"), 401), (put(&world.server.key()).field("File-Mtime", "x"), 400)] {
        let mut connection = world.server.connect();
        connection.send(request.encode());
        connection.head().expect(status);
    }
    let other = put(&world.server.key()).field("Repr-Digest", &repr_digest(b"other"));
    let mut connection = world.server.connect();
    connection.send(other.encode());
    connection.head().expect(412);
}

// ---- Who may --------------------------------------------------------------------------------------------------------------------------------

#[test]
fn nothing_without_a_key_but_the_sign_of_life() {
    let world = World::new();
    world.server.ask(&Request::new("GET", "/healthz")).expect(200);
    let key = world.server.key();
    let almost = format!("Bearer {}", &key[1..]);
    let longer = format!("Bearer {key}0");
    // Not both wrong keys everywhere: after ten of them the server asks for patience.
    for (method, target, wrong) in [
        ("GET", "/status", &almost),
        ("GET", "/download/a", &longer),
        ("PUT", "/upload/a", &almost),
        ("DELETE", "/upload/a", &longer),
        ("POST", "/sync", &almost),
        ("GET", "/sync", &longer),
    ] {
        let bare = Request::new(method, target);
        for request in [bare.clone(), bare.field("Authorization", wrong)] {
            let answer = world.server.ask(&request).expect(401);
            assert!(answer.field("WWW-Authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
            assert_eq!(problem(&answer), "unauthorized");
        }
    }
    // Addresses are logged along the way and kept in histories, so a key in one is none.
    for name in ["access_token", "token", "api_key", "key"] {
        let target = format!("/status?{name}={key}");
        world.server.ask(&Request::new("GET", &target)).expect(401);
    }
    let finished = snapshot(&world.server.folder).unwrap();
    assert!(finished.is_empty());
}

#[test]
fn what_does_not_exist() {
    let world = World::new();
    for (method, target, status) in [
        ("GET", "/download/missing", 404),
        ("HEAD", "/download/missing", 404),
        ("GET", "/nothing/here", 404),
        ("POST", "/status", 405),
        ("PUT", "/download/x", 405),
    ] {
        let mut connection = world.server.connect();
        connection.send(world.server.request(method, target).body("").encode());
        connection.head().expect(status);
    }
}

// ---- Download -------------------------------------------------------------------------------------------------------------------------------

/// A world with one file in the box, of known age and mode.
#[track_caller]
fn world_with_file(content: &str) -> World {
    let world = World::new();
    let request = world.server.request("PUT", "/upload/file.txt").field("If-None-Match", "*");
    let request = request.field("File-Mtime", "1700000000123456789").field("File-Mode", "640");
    world.server.ask(&request.body(content)).expect(201);
    world
}

#[test]
fn a_download_says_everything_about_the_file() {
    let world = world_with_file("0123456789");
    let answer = world.server.get("/download/file.txt").expect(200);
    assert_eq!(answer.body, b"0123456789");
    for (name, value) in [
        ("Content-Length", "10"),
        ("ETag", &etag("0123456789")),
        ("Repr-Digest", &repr_digest(b"0123456789")),
        ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("File-Mtime", "1700000000123456789"),
        ("File-Mode", "640"),
        ("Accept-Ranges", "bytes"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{name}");
    }

    // HEAD says the same, and nothing more: what follows on the connection is the next answer.
    let mut connection = world.server.connect();
    connection.send(world.server.request("HEAD", "/download/file.txt").encode());
    let head = connection.head().expect(200);
    for name in ["Content-Length", "ETag", "Repr-Digest", "Last-Modified", "File-Mtime", "File-Mode"] {
        assert_eq!(head.field(name), answer.field(name), "{name}");
    }
    connection.send(world.server.request("GET", "/healthz").encode());
    connection.response().expect(200);
}

#[test]
fn ranges() {
    let world = world_with_file("0123456789");
    let range = |range: &str| world.server.request("GET", "/download/file.txt").field("Range", range);
    for (asked, body, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
        ("bytes=0-18446744073709551615", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = world.server.ask(&range(asked)).expect(206);
        assert_eq!(
            (answer.body.as_slice(), answer.field("Content-Range")),
            (body.as_bytes(), Some(content_range)),
            "{asked}"
        );
    }
    for asked in ["bytes=10-", "bytes=100-200"] {
        let answer = world.server.ask(&range(asked)).expect(416);
        assert_eq!(answer.field("Content-Range"), Some("bytes */10"), "{asked}");
    }
    for asked in ["bytes=4-2", "lines=1-2", "bytes=x-", "bytes=+1-2"] {
        assert_eq!(
            world.server.ask(&range(asked)).expect(200).body,
            b"0123456789",
            "{asked} is not understood, and so ignored"
        );
    }
    let if_range = |tag: &str| world.server.ask(&range("bytes=2-4").field("If-Range", tag));
    assert_eq!(if_range(&etag("0123456789")).expect(206).body, b"234");
    assert_eq!(if_range(&etag("another version")).expect(200).body, b"0123456789");
}

#[test]
fn conditional_downloads() {
    let world = world_with_file("0123456789");
    let (this, other) = (etag("0123456789"), etag("another version"));
    for (field, value, status) in [
        ("If-None-Match", this.clone(), 304),
        ("If-None-Match", "*".into(), 304),
        ("If-None-Match", format!("{other}, W/{this}"), 304),
        ("If-None-Match", other.clone(), 200),
        ("If-Match", this.clone(), 200),
        ("If-Match", other.clone(), 412),
    ] {
        let mut connection = world.server.connect();
        connection.send(world.server.request("GET", "/download/file.txt").field(field, &value).encode());
        let answer = connection.response().expect(status);
        if status == 304 {
            assert_eq!(answer.field("ETag"), Some(this.as_str()));
        }
        connection.send(world.server.request("GET", "/healthz").encode());
        connection.response().expect(200);
    }
}

// ---- Upload ---------------------------------------------------------------------------------------------------------------------------------

#[test]
fn create_replace_delete() {
    let world = World::new();
    let server = &world.server;
    let put = |content: &str| server.request("PUT", "/upload/file.txt").body(content);
    assert_eq!(problem(&server.ask(&put("x")).expect(428)), "precondition-required");

    let answer = server.ask(&put("one").field("If-None-Match", "*")).expect(201);
    assert_eq!(answer.field("ETag"), Some(etag("one").as_str()));
    assert_eq!(answer.field("Sync-Cursor"), Some(server.cursor().as_str()));

    let answer = server.ask(&put("two").field("If-Match", &etag("one"))).expect(204);
    assert_eq!(answer.field("ETag"), Some(etag("two").as_str()));
    assert_eq!(fs::read_to_string(server.folder.join("file.txt")).unwrap(), "two");

    // Who comes with an old version is told what is there now.
    for request in [put("three").field("If-Match", &etag("one")), put("three").field("If-None-Match", "*")] {
        let answer = server.ask(&request).expect(412);
        assert_eq!(problem(&answer), "precondition-failed");
        assert_eq!(answer.json().get("current").get("hash").text(), sha256(b"two"));
        assert_eq!(answer.json().get("current").get("size").number(), 3);
    }
    // Unless what it brings is there already: an answer was lost, or two had the same thought.
    let answer = server.ask(&put("two").field("If-Match", &etag("one")));
    assert!(matches!(answer.status, 200 | 201 | 204), "{answer:?}");

    let delete = || server.request("DELETE", "/upload/file.txt");
    server.ask(&delete()).expect(428);
    server.ask(&delete().field("If-Match", &etag("one"))).expect(412);
    server.ask(&delete().field("If-Match", &etag("two"))).expect(204);
    server.get("/download/file.txt").expect(404);
    assert!(snapshot(&server.folder).unwrap().is_empty());
}

#[test]
fn directories_and_links() {
    let world = World::new();
    let server = &world.server;
    let make = |path: &str, kind: &str| {
        server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*").field("File-Kind", kind)
    };
    let delete =
        |path: &str, tag: &str| server.request("DELETE", &format!("/upload/{path}")).field("If-Match", tag);
    assert_eq!(problem(&server.put_new("no/such/directory", "x").expect(409)), "parent-missing");
    assert_eq!(server.ask(&make("directory", "dir").body("")).expect(201).field("ETag"), Some("\"dir\""));
    server.put_new("directory/file", "x").expect(201);
    assert_eq!(problem(&server.ask(&delete("directory", "\"dir\"")).expect(409)), "not-empty");
    assert_eq!(problem(&server.put_new("directory/file/below", "x").expect(409)), "parent-missing");
    server.ask(&delete("directory/file", &etag("x"))).expect(204);
    server.ask(&delete("directory", "\"dir\"")).expect(204);

    let answer = server.ask(&make("link", "symlink").body("../outside")).expect(201);
    let tag = format!("\"link-{}\"", sha256(b"../outside"));
    assert_eq!(answer.field("ETag"), Some(tag.as_str()));
    assert_eq!(fs::read_link(server.folder.join("link")).unwrap().to_str(), Some("../outside"));
    // A link is never followed: nothing can be put beneath it.
    server.put_new("link/below", "x").expect(409);
    server.ask(&delete("link", &tag)).expect(204);
    server.ask(&make("x", "pipe").body("")).expect(400);
    check_nothing_written(&world);
}

#[test]
fn only_whole_and_true_bodies_are_published() {
    let world = World::new();
    let server = &world.server;
    let put = || server.request("PUT", "/upload/file.txt").field("If-None-Match", "*");
    let answer = server.ask(&put().field("Repr-Digest", &repr_digest(b"hello")).body("hellO")).expect(422);
    assert_eq!(problem(&answer), "digest-mismatch");

    // Cut off in the middle of a body with a length, in a chunk, and between chunks.
    let chunked = put().field("Transfer-Encoding", "chunked");
    for (request, sent) in [
        (put().field("Content-Length", "100"), "0123456789"),
        (chunked.clone(), "a\r\n01234"),
        (chunked.clone(), "5\r\n01234\r\n"),
        (chunked.clone(), "5\r\n01234\r\n0\r\n"),
    ] {
        let mut connection = server.connect();
        connection.send(request.encode());
        connection.send(sent);
        connection.finish_sending();
        // Whether it answers or just hangs up: it is over, and nothing has happened.
        let _ = connection.read_to_end(&mut Vec::new());
        server.get("/download/file.txt").expect(404);
    }
    check_nothing_written(&world);
    assert_eq!(server.status().get("seq").number(), 0, "nothing has happened");
}

#[test]
fn a_chunked_body_brings_its_digest_behind_it() {
    let world = World::new();
    let server = &world.server;
    let put = |path: &str, digest: &str| {
        let request = server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*");
        let request = request.field("Transfer-Encoding", "chunked").field("Trailer", "Repr-Digest");
        let body = format!("5\r\nhello\r\n6\r\n world\r\n0\r\nRepr-Digest: {digest}\r\n\r\n");
        let mut connection = server.connect();
        connection.send([request.encode(), body.into_bytes()].concat());
        connection.response()
    };
    put("good.txt", &repr_digest(b"hello world")).expect(201);
    put("bad.txt", &repr_digest(b"another world")).expect(422);
    assert_eq!(server.get("/download/good.txt").expect(200).body, b"hello world");
    server.get("/download/bad.txt").expect(404);
}

#[test]
fn a_path_is_decoded_once_and_stays_inside() {
    let world = World::new();
    let server = &world.server;
    let outside = world.directory().join("outside");
    fs::write(&outside, "outside").unwrap();
    for path in [
        "..",
        "../outside",
        "%2e%2e/outside",
        "%2E%2E%2Foutside",
        "a/../../outside",
        "a/%2e%2e/%2e%2e/outside",
        "./outside",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "a//b",
        "a/",
        "a%00b",
        "a%0",
        "a%zz",
        ".filesync/key",
        "%2efilesync/key",
        "a/.filesync/key",
        &"n".repeat(256),
    ] {
        let requests = [
            server.request("GET", &format!("/download/{path}")),
            server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*").body("x"),
            server.request("DELETE", &format!("/upload/{path}")).field("If-Match", "*"),
        ];
        for request in requests {
            assert_eq!(server.ask(&request).status, 400, "{request:?}");
        }
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    fs::remove_file(outside).unwrap();
    check_nothing_written(&world);

    server
        .ask(
            &server
                .request("PUT", "/upload/a")
                .field("If-None-Match", "*")
                .field("File-Kind", "dir")
                .body(""),
        )
        .expect(201);
    server.put_new("a%2Fb.txt", "separated").expect(201);
    assert_eq!(server.get("/download/a/b.txt").expect(200).body, b"separated");
    server.put_new("%252e%252e", "decoded once").expect(201);
    assert_eq!(fs::read_to_string(server.folder.join("%2e%2e")).unwrap(), "decoded once");
    server.put_new("a+b%20c%3F%23%25%FF", "bytes").expect(201);
    assert_eq!(server.get("/download/a%2bb%20c%3f%23%25%ff").expect(200).body, b"bytes");
}

// ---- Events ---------------------------------------------------------------------------------------------------------------------------------

/// Opens the stream of changes.
#[track_caller]
fn listen(world: &World, request: &Request) -> Connection {
    let mut connection = world.server.connect();
    connection.send(request.clone().field("Accept", "text/event-stream").encode());
    let head = connection.head().expect(200);
    assert!(head.field("Content-Type").is_some_and(|media_type| media_type.starts_with("text/event-stream")));
    connection
}

/// Links that somebody has put into the box lead nowhere for a client, and what is neither file nor directory nor link is not there;
/// nobody waits for a pipe that nobody writes to.
#[test]
fn what_leads_out_of_the_box_or_is_no_file_is_left_alone() {
    let mut world = World::new();
    let outside = world.directory().join("outside");
    fs::create_dir_all(outside.join("dir")).unwrap();
    fs::write(outside.join("canary"), "outside").unwrap();
    let before = snapshot(&outside).unwrap();
    world.server.stop();
    let folder = world.server.folder.clone();
    let links =
        [("dir", "../outside"), ("file", "../outside/canary"), ("none", "../missing"), ("loop", "loop")];
    for (name, target) in links {
        symlink(target, folder.join(name)).unwrap();
    }
    shell(&folder, "mkfifo pipe");
    world.server.start();
    let server = &world.server;
    server.put_new("source", "source").expect(201);
    for (name, target) in links {
        let answer = server.get(&format!("/download/{name}")).expect(200);
        assert_eq!((answer.field("File-Kind"), &*answer.body), (Some("symlink"), target.as_bytes()));
    }
    for name in ["dir", "file", "none", "loop", "pipe"] {
        for below in ["canary", "new", "dir/new"] {
            let (upload, download) = (format!("/upload/{name}/{below}"), format!("/download/{name}/{below}"));
            let onto = |method| {
                server.request(method, "/upload/source").field("If-Match", "*").field("Destination", &upload)
            };
            for request in [
                server.request("GET", &download),
                server.request("PUT", &upload).field("If-None-Match", "*").body("new"),
                server.request("PUT", &upload).field("If-Match", "*").body("new"),
                server.request("DELETE", &upload).field("If-Match", "*"),
                server.request("MOVE", &upload).field("If-Match", "*").field("Destination", "/upload/got"),
                onto("COPY"),
                onto("MOVE"),
            ] {
                let status = server.ask(&request).status;
                assert!((400..500).contains(&status), "{status}: {request:?}");
            }
        }
    }
    let begun = Instant::now();
    server.get("/download/pipe").expect(404);
    assert!(begun.elapsed() < Duration::from_secs(5), "somebody waited for the pipe");
    assert_eq!(snapshot(&outside).unwrap(), before);
    assert_eq!(server.get("/download/source").expect(200).body, b"source");
}

#[test]
fn a_listener_hears_of_every_change_and_can_resume() {
    let world = World::new();
    let server = &world.server;
    let start = server.cursor();
    let mut stream = listen(&world, &server.request("GET", "/sync"));
    let hello = stream.event_named("hello");
    assert_eq!(format!("{}-{}", hello.json().get("epoch").text(), hello.json().get("seq").number()), start);

    server.put_new("a%20b.txt", "content").expect(201);
    let first = stream.event_named("download");
    assert_eq!(first.id, server.cursor());
    assert_eq!(
        first.json().get("path").text(),
        "a%20b.txt",
        "what an event names can be put behind /download/ as it is"
    );
    assert_eq!(first.json().get("hash").text(), sha256(b"content"));
    assert_eq!(first.json().get("size").number(), 7);
    assert_eq!(first.json().get("kind").text(), "file");

    server.put_new("line%0Abreak", "").expect(201);
    assert_eq!(stream.event_named("download").json().get("path").text(), "line%0Abreak");
    server
        .ask(&server.request("DELETE", "/upload/a%20b.txt").field("If-Match", &etag("content")))
        .expect(204);
    let delete = stream.event_named("delete");
    assert_eq!(
        (delete.json().get("path").text(), delete.id.as_str()),
        ("a%20b.txt", server.cursor().as_str())
    );

    // From a cursor on; the last event's id wins over the cursor, and both leave out what came before.
    let resumed = [
        server.request("GET", &format!("/sync?cursor={}", first.id)),
        server.request("GET", &format!("/sync?cursor={start}")).field("Last-Event-ID", &first.id),
    ];
    for request in resumed {
        let mut stream = listen(&world, &request);
        assert_eq!(stream.event_named("download").json().get("path").text(), "line%0Abreak");
        assert_eq!(stream.event_named("delete").json().get("path").text(), "a%20b.txt");
    }
    let mut stream = listen(&world, &server.request("GET", "/sync?cursor=0123456789abcdef-1"));
    stream.event_named("reset");
}

/// A list is answered with what is to be done about it, and then the stream goes on.
#[test]
fn a_list_is_answered() {
    let world = World::new();
    let server = &world.server;
    server.put_new("theirs.txt", "theirs").expect(201);
    server.put_new("both.txt", "both").expect(201);
    server.put_new("contested.txt", "theirs").expect(201);
    let item = |path: &str, content: &str| {
        let (hash, size) = (sha256(content.as_bytes()), content.len());
        format!(
            r#"{{"path":"{path}","kind":"file","size":{size},"mtime":1,"mode":"644","hash":"{hash}","base":null}}"#
        )
    };
    let list = format!(
        r#"{{"client":{{"id":"0123456789abcdef","name":"by hand"}},"cursor":null,"complete":true,"files":[{},{},{}]}}"#,
        item("both.txt", "both"),
        item("contested.txt", "mine"),
        item("mine.txt", "mine")
    );
    let mut stream = listen(&world, &server.request("POST", "/sync").body(list));
    let mut events = Vec::new();
    loop {
        let event = stream.event();
        let name = event.name.clone();
        match name.as_str() {
            "synced" => break,
            "download" | "upload" | "conflict" | "delete" => {
                events.push(format!("{name} {}", event.json().get("path").text()));
            }
            _ => {}
        }
    }
    events.sort();
    assert_eq!(events, ["conflict contested.txt", "download theirs.txt", "upload mine.txt"]);

    // Own changes come back as `stored`, those of others as `download`.
    let put = |path: &str| {
        server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*").body("mine")
    };
    server.ask(&put("mine.txt").field("Sync-Client", "0123456789abcdef")).expect(201);
    assert_eq!(stream.event_named("stored").json().get("path").text(), "mine.txt");
    server.ask(&put("another.txt").field("Sync-Client", "fedcba9876543210")).expect(201);
    assert_eq!(stream.event_named("download").json().get("path").text(), "another.txt");
}

/// The names and paths of what a list is answered with, up to `synced`.
fn answer_to(world: &World, cursor: &str, item: &str) -> Vec<String> {
    let list = format!(
        r#"{{"client":{{"id":"0123456789abcdef","name":"by hand"}},"cursor":"{cursor}","complete":false,"files":[{item}]}}"#
    );
    let mut stream = listen(world, &world.server.request("POST", "/sync").body(list));
    stream.event_named("hello");
    let told = std::iter::from_fn(|| {
        let event = stream.event();
        (event.name != "synced").then(|| format!("{} {}", event.name, event.json().get("path").text()))
    });
    told.collect()
}

/// An answer to an item stands for the history of that path only if it says all that there is to know.
#[test]
fn what_the_answer_to_a_list_does_not_say_is_told_as_history() {
    let world = World::new();
    let server = &world.server;
    server.put_new("file", "same").expect(201);
    let directory =
        server.request("PUT", "/upload/dir").field("If-None-Match", "*").field("File-Kind", "dir");
    server.ask(&directory).expect(201);
    let (agreed, seq) = (server.cursor(), server.seq());
    // Metadata alone: it is no other version.
    for path in ["file", "dir"] {
        let patch = server
            .request("PATCH", &format!("/upload/{path}"))
            .field("If-Match", "*")
            .body(r#"{"mode":"700"}"#);
        server.ask(&patch.field("Content-Type", "application/merge-patch+json")).expect(204);
    }
    let (same, mine) = (sha256(b"same"), sha256(b"mine"));
    let sent = format!(r#""kind":"file","size":4,"mtime":1,"mode":"644","hash":"{mine}""#);

    // It was deleted here, and the server agrees, which is no answer.
    let deleted = format!(r#"{{"path":"file","deleted":true,"base":"{same}","base_seq":{seq}}}"#);
    assert_eq!(answer_to(&world, &agreed, &deleted), ["download file", "download dir"]);
    // Something is to take a directory's place, and may have to give way to what is in it.
    let over = format!(r#"{{"path":"dir",{sent},"base":"dir","base_seq":{seq}}}"#);
    assert_eq!(answer_to(&world, &agreed, &over), ["upload dir", "download file", "download dir"]);
    // Here all is said: who is to send it is not told to fetch what it replaces.
    let changed = format!(r#"{{"path":"file",{sent},"base":"{same}","base_seq":{seq}}}"#);
    assert_eq!(answer_to(&world, &agreed, &changed), ["upload file", "download dir"]);
}

#[test]
fn lists_that_are_refused() {
    let world = World::new();
    let deep = format!(r#"{{"client":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for list in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        deep.as_str(),
        r#"{"client":{"id":"x","name":"x"},"cursor":"nonsense","complete":true,"files":[]}"#,
    ] {
        let request = world.server.request("POST", "/sync").field("Accept", "text/event-stream").body(list);
        world.server.ask(&request).expect(400);
    }
    world.server.get("/status").expect(200);
}

// ---- State ----------------------------------------------------------------------------------------------------------------------------------

#[test]
fn status_counts() {
    let world = World::new();
    let server = &world.server;
    server.put_new("one", "12345").expect(201);
    server.put_new("two", "67890").expect(201);
    let status = server.status();
    assert_eq!(status.get("entries").number(), 2);
    assert_eq!(status.get("bytes").number(), 10);
    assert_eq!(status.get("seq").number(), 2);
    assert_eq!(status.get("epoch").text().len(), 16);
    assert!(status.get("version").text().starts_with("0."), "{status:?}");
    assert!(status.get("clients").list().is_empty());
    let mut stream = listen(&world, &server.request("GET", "/sync"));
    stream.event_named("hello");
    assert_eq!(server.status().get("clients").list().len(), 1);
}
