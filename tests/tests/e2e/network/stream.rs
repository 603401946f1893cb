//! Trouble with `/sync`: the client is offline, says so and why, tries again with longer and longer pauses, and is back by itself.

use std::fs;
use std::thread;
use std::time::Duration;

use super::{PORTAL, check_back_off, check_kept, fill, gaps, page, wait_for_requests, world_behind_proxy};
use crate::harness::{End, Fault, Json, Proxy, World, eventually, eventually_within, repr_digest};

/// What goes wrong, and a word that the client's status must have about it.
type Row = (&'static str, fn() -> Fault, &'static str);

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

const ROWS: [Row; 28] = [
    ("a captive portal", || page("200 OK", ""), "filesync"),
    ("moved for good", || page("301 Moved Permanently", "Location: http://127.0.0.1:9/\r\n"), "301"),
    ("moved for now", || page("302 Found", "Location: /login\r\n"), "302"),
    ("moved with its method", || page("307 Temporary Redirect", "Location: /login\r\n"), "307"),
    ("a door shut by somebody else", || page("403 Forbidden", ""), "403"),
    ("not there", || page("404 Not Found", ""), "404"),
    ("too slow", || page("408 Request Timeout", ""), "408"),
    ("too often", || page("429 Too Many Requests", ""), "429"),
    ("broken inside", || page("500 Internal Server Error", ""), "500"),
    ("a gateway without a server", || page("502 Bad Gateway", ""), "502"),
    ("busy", || page("503 Service Unavailable", ""), "503"),
    ("full", || page("507 Insufficient Storage", ""), "507"),
    ("a status of its own", || page("599 Whatever", ""), "599"),
    ("no HTTP", || Fault::Answer(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), End::Close), ""),
    ("half a head", || Fault::Answer(b"HTTP/1.1 200 OK\r\nContent-".to_vec(), End::Close), ""),
    ("a head without end", || Fault::Pieces(Box::new((0..).map(|_| b"a: b\r\n".to_vec())), End::Close), ""),
    (
        "many interim answers",
        || Fault::Answer(b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000), End::Close),
        "",
    ),
    ("hung up on at once", || Fault::Answer(Vec::new(), End::Close), ""),
    ("reset at once", || Fault::Answer(Vec::new(), End::Reset), ""),
    ("reset within the request's head", || Fault::CutRequest(10, End::Reset), ""),
    ("reset within the list", || Fault::CutRequest(400, End::Reset), ""),
    ("the first byte and a reset", || Fault::CutAnswer(1, End::Reset), ""),
    ("the head and a reset", || Fault::CutAnswer(150, End::Reset), ""),
    ("half a hello", || Fault::CutAnswer(330, End::Close), ""),
    (
        "a stream that is too short",
        || Fault::Answer(format!("{STREAM}Content-Length: 5\r\n\r\n: a\r\n").into(), End::Close),
        "",
    ),
    (
        "chunks that are none",
        || {
            Fault::Answer(
                format!("{STREAM}Transfer-Encoding: chunked\r\n\r\nfive\r\n: a\n\r\n").into(),
                End::Close,
            )
        },
        "",
    ),
    (
        "a stream without a hello",
        || Fault::Answer(format!("{STREAM}\r\n: nothing\n\n").into(), End::Close),
        "",
    ),
    (
        "an event that is none",
        || Fault::Answer(format!("{STREAM}\r\nevent: hello\ndata: {PORTAL}\n\n").into(), End::Close),
        "",
    ),
];

/// The one problem that the client shows about its connection.
#[track_caller]
fn wait_for_reason(world: &World, row: &str, word: &str) {
    eventually(&format!("a reason, {row}"), || {
        let status = world.a.status();
        let problems = status.get("problems").list();
        let is_said =
            |problem: &Json| problem.get("path") == &Json::Null && problem.get("error").text().contains(word);
        let is_offline = status.get("state").text() == "offline";
        if is_offline && problems.iter().any(is_said) { Ok(()) } else { Err(format!("{status:?}")) }
    });
}

fn go_through(rows: &[Row]) {
    let (mut world, proxy) = world_behind_proxy();
    for (name, fault, word) in rows {
        let before = proxy.asked(|asked| asked.is("POST", "/sync")).len();
        let fault = *fault;
        proxy.plan(move |asked| if asked.is("", "/sync") { fault() } else { Fault::None });
        proxy.hang_up();
        fs::write(world.a.at("made offline"), name).unwrap();
        world.server.ask(&world.server.request("DELETE", "/upload/made%20there").field("If-Match", "*"));
        world.server.put_new("made%20there", name).expect(201);
        wait_for_reason(&world, name, word);
        let asked = wait_for_requests(&proxy, before + 4, |asked| asked.is("POST", "/sync"));
        check_back_off(name, &asked[before..]);
        check_kept(&world);
        proxy.behave();
        world.a.wait_for_content("made there", name.as_bytes());
        let tree = world.settle();
        assert_eq!(tree.len(), 33, "{name}: {tree:?}");
        // The next row begins without the pauses of this one.
        world.a.stop();
        world.a.start();
        world.settle();
    }
    assert!(world.a.status().get("problems").list().is_empty());
    check_kept(&world);
}

#[test]
fn whatever_sync_is_answered_with_the_client_comes_back() {
    thread::scope(|scope| {
        for (number, rows) in ROWS.chunks(4).enumerate() {
            let thread = thread::Builder::new().name(format!("rows-{number}"));
            thread.spawn_scoped(scope, || go_through(rows)).unwrap();
        }
    });
}

#[test]
fn retry_after_is_honoured() {
    let (mut world, proxy) = world_behind_proxy();
    for (status, field) in [
        ("429 Too Many Requests", "Retry-After: 2\r\n"),
        (
            "503 Service Unavailable",
            "Date: Mon, 02 Nov 2026 08:00:00 GMT\r\nRetry-After: Mon, 02 Nov 2026 08:00:02 GMT\r\n",
        ),
    ] {
        let before = proxy.asked(|_| true).len();
        proxy.plan(move |_| page(status, field));
        proxy.hang_up();
        let asked = wait_for_requests(&proxy, before + 3, |_| true);
        let gaps = gaps(&asked[before..]);
        assert!(gaps.iter().all(|gap| Duration::from_millis(1990) <= *gap), "{status}: {gaps:?}");
        proxy.behave();
        world.settle();
    }
}

/// With `--once` a server that can't be spoken to is one that can't be reached.
#[test]
fn one_pass_through_a_broken_network() {
    let world = World::new();
    let proxy = Proxy::before(&world.server.address);
    fill(&world.a.folder);
    let once = |code: i32, words: &[&str]| {
        let mut command = crate::harness::program("client_b");
        command.args(["--once", "--server", &proxy.url(), "--token-file"]).arg(world.server.key_file());
        crate::harness::run(command.arg(&world.a.folder)).expect_code(code).expect_words(words);
    };
    let unreachable: [Row; 4] = [
        ("a captive portal", || page("200 OK", ""), "filesync server"),
        ("a door shut by somebody else", || page("403 Forbidden", ""), "403"),
        ("busy", || page("503 Service Unavailable", ""), "503"),
        ("reset", || Fault::Answer(Vec::new(), End::Reset), "the connection"),
    ];
    for (_, fault, word) in unreachable {
        proxy.plan(move |_| fault());
        once(6, &[word]);
    }
    proxy.plan(|_| page("401 Unauthorized", ""));
    once(5, &["key"]);
    proxy.behave();
    once(0, &[]);
    check_kept(&world);
}

/// The key is changed while a client runs: it ends with a clear word, and nothing is lost.
#[test]
fn a_key_that_is_withdrawn() {
    for target in ["/sync", "/upload"] {
        let (mut world, proxy) = world_behind_proxy();
        proxy
            .plan(move |asked| if asked.is("", target) { page("401 Unauthorized", "") } else { Fault::None });
        fs::write(world.a.at("new"), "new").unwrap();
        if target == "/sync" {
            proxy.hang_up();
        }
        assert_eq!(world.a.process().wait(), 5);
        assert!(world.a.process().log().contains("not authorised"));
        check_kept(&world);
    }
}

/// A peer that accepts everything and says nothing is noticed after 45 seconds at most, wherever it falls silent.
#[test]
fn silence_is_noticed() {
    if std::env::var_os("FILESYNC_FULL").is_none() {
        eprintln!(
            "left out: it takes a minute. FILESYNC_FULL=1 waits; `common::net` tests the same deadlines with short ones."
        );
        return;
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut world, proxy) = world_behind_proxy();
            proxy.plan(|asked| {
                if asked.is("", "/sync") { Fault::Answer(Vec::new(), End::Silence) } else { Fault::None }
            });
            proxy.hang_up();
            world.a.wait_for_state("offline");
            let asked = proxy.asked(|asked| asked.is("", "/sync")).len();
            eventually_within(Duration::from_secs(50), "another try", || {
                let now = proxy.asked(|asked| asked.is("", "/sync")).len();
                if asked + 1 < now { Ok(()) } else { Err(format!("{now}")) }
            });
            proxy.behave();
            world.settle();
        });
        scope.spawn(|| {
            let (mut world, proxy) = world_behind_proxy();
            proxy.freeze();
            fs::write(world.a.at("new"), "new").unwrap();
            eventually_within(Duration::from_secs(50), "the silence to be noticed", || {
                let status = world.a.status();
                if status.get("state").text() == "offline" { Ok(()) } else { Err(format!("{status:?}")) }
            });
            proxy.thaw();
            proxy.hang_up();
            world.settle_within(Duration::from_secs(60));
        });
        scope.spawn(|| {
            // The server's side: an upload that stops in the middle.
            let world = World::new();
            let content = vec![b'x'; 1 << 20];
            let mut connection = world.server.connect();
            let request = world.server.request("PUT", "/upload/half").field("If-None-Match", "*");
            let request = request.field("Repr-Digest", &repr_digest(&content)).body(&content).encode();
            connection.send(&request[..request.len() / 2]);
            let staging = world.server.folder.join(".filesync/staging");
            eventually("the upload to begin", || match fs::read_dir(&staging).map(Iterator::count) {
                Ok(1) => Ok(()),
                other => Err(format!("{other:?}")),
            });
            eventually_within(Duration::from_secs(45), "the upload to be given up", || {
                match fs::read_dir(&staging).map(Iterator::count) {
                    Ok(0) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            });
        });
    });
}
