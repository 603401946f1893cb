//! A server that means harm, or has lost its mind. Whatever it says: nothing outside the folder is touched, nothing in it is lost, memory
//! stays small, the client says what is wrong, and is back at work as soon as somebody sensible answers.

use std::fs;
use std::iter;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::check_back_off;
use crate::harness::{
    Asked, End, Fault, Json, Proxy, World, eventually, eventually_within, sha256, snapshot,
};

const EPOCH: &str = "00000000000000aa";
const OTHER_EPOCH: &str = "00000000000000bb";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
/// More than a client with a small folder ever needs, in bytes.
const MEMORY: u64 = 48 << 20;

fn event(id: &str, name: &str, data: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    format!("{id}event: {name}\ndata: {data}\n\n")
}

fn hello(seq: u64) -> String {
    event("", "hello", &format!("{{\"epoch\":\"{EPOCH}\",\"seq\":{seq}}}"))
}

fn synced(seq: u64) -> String {
    let counts = "{\"listed\":0,\"download\":0,\"upload\":0,\"delete\":0,\"conflict\":0}";
    event(&format!("{EPOCH}-{seq}"), "synced", counts)
}

/// The members of a file's entry.
fn entry(path: &str, content: &str, seq: u64) -> String {
    let (size, hash) = (content.len(), sha256(content.as_bytes()));
    format!(
        "\"path\":\"{path}\",\"kind\":\"file\",\"size\":{size},\"hash\":\"{hash}\",\"mtime\":0,\"mode\":\"644\",\"seq\":{seq}"
    )
}

fn download(path: &str, content: &str, seq: u64) -> String {
    event("", "download", &format!("{{{}}}", entry(path, content, seq)))
}

/// A stream that says this and then stays open.
fn stream(text: String) -> Fault {
    Fault::Answer(format!("{HEAD}\r\n{text}").into_bytes(), End::Silence)
}

fn not_found() -> Fault {
    let problem = "{\"type\":\"/problems/not-found\",\"title\":\"\",\"status\":404,\"detail\":\"no\"}";
    Fault::says("404 Not Found", "Content-Type: application/problem+json\r\n", problem)
}

/// What a sensible server says that has one file; it takes nothing.
fn sensible(asked: &Asked) -> Fault {
    match asked.target.as_str() {
        "/sync" => stream(hello(1) + &download("good", "good", 1) + &synced(1)),
        "/download/good" => {
            let etag = format!("ETag: \"{}\"\r\n", sha256(b"good"));
            Fault::says("200 OK", &etag, "good")
        }
        _ => not_found(),
    }
}

/// A folder with a client that talks to a server of our making, and a canary beside it.
struct Scene {
    world: World,
    proxy: Proxy,
}

impl Scene {
    #[track_caller]
    fn new(plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Scene {
        let mut world = World::new();
        let proxy = Proxy::alone();
        proxy.plan(plan);
        world.a.url = proxy.url();
        fs::write(world.directory().join("x"), "canary").unwrap();
        fs::write(world.a.at("mine"), "mine").unwrap();
        world.a.start();
        Scene { world, proxy }
    }

    #[track_caller]
    fn wait_for_reason(&self, what: &str) -> String {
        eventually(&format!("a reason to refuse {what}"), || {
            let status = self.world.a.status();
            let reason = status.get("problems").list().iter().find(|one| one.get("path") == &Json::Null);
            match (status.get("state").text(), reason) {
                ("offline", Some(reason)) => Ok(reason.get("error").text().to_owned()),
                _ => Err(format!("{status:?}")),
            }
        })
    }

    /// Nothing was lost, nothing is beside the folder that was not, and the client is small.
    #[track_caller]
    fn check_untouched(&mut self, what: &str, names: &[&str]) {
        let world = &mut self.world;
        assert_eq!(fs::read(world.directory().join("x")).unwrap(), b"canary", "{what}");
        assert_eq!(fs::read(world.a.at("mine")).unwrap(), b"mine", "{what}");
        let tree = snapshot(&world.a.folder).unwrap();
        let found: Vec<_> = tree.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(found, names, "{what}");
        let mut beside: Vec<_> =
            fs::read_dir(world.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(
            beside,
            ["alpha", "alpha.log", "alpha.out", "beta", "box", "server.log", "server.out", "x"]
        );
        let memory = world.a.process().peak_memory();
        assert!(memory < MEMORY, "{what}: {} KiB", memory / 1024);
    }

    #[track_caller]
    fn wait_for_cursor(&self, cursor: &str) {
        eventually(&format!("the cursor {cursor}"), || {
            let status = self.world.a.status();
            if status.get("cursor") == &Json::Text(cursor.to_owned()) {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
    }

    #[track_caller]
    fn check_recovery(&mut self, what: &str) {
        self.proxy.plan(sensible);
        self.proxy.hang_up();
        self.world.a.wait_for_content("good", b"good");
        self.check_untouched(what, &["good", "mine"]);
    }
}

/// What is said, and how it is called.
type Row = (&'static str, Box<dyn Fn() -> Fault + Send + Sync>);

/// Each of these ends the stream with a reason.
fn refused() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut say = |what: &'static str, text: String| {
        let text = hello(9) + &text + &synced(9);
        rows.push((what, Box::new(move || stream(text.clone()))));
    };
    say("deep JSON", event("", "download", &"[".repeat(100_000)));
    say("deep objects", event("", "download", &"{\"a\":".repeat(20_000)));
    let with = |member: &str, value: &str| {
        let text = entry("evil", "evil", 2);
        let at = text.find(&format!("\"{member}\":")).expect("a member") + member.len() + 3;
        let end = text[at..].find(',').map_or(text.len(), |end| at + end);
        event("", "download", &format!("{{{}{value}{}}}", &text[..at], &text[end..]))
    };
    for (member, value) in [
        ("seq", "0"),
        ("seq", "-1"),
        ("seq", "1.5"),
        ("seq", "18446744073709551616"),
        ("seq", "1e400"),
        ("seq", "\"2\""),
        ("size", "-1"),
        ("size", "99999999999999999999"),
        ("size", "4e0"),
        ("mtime", "1e99"),
        ("mode", "\"99999\""),
        ("hash", "\"00\""),
        ("hash", "null"),
        ("kind", "\"device\""),
        ("path", "\"a\",\"path\":\"b\""),
        ("path", "\"\\ud800\""),
        ("path", "7"),
    ] {
        say("a member that can't be", with(member, value));
    }
    say("no JSON", event("", "download", "<html>"));
    say("an id that is none", event("now", "download", &format!("{{{}}}", entry("evil", "evil", 2))));
    say("a hello without an epoch", event("", "hello", "{\"seq\":1}"));
    let mut flood = |what: &'static str, head: &'static str, piece: &'static str| {
        let piece = piece.repeat(1000);
        rows.push((
            what,
            Box::new(move || {
                let (first, piece) = (format!("{HEAD}{head}").into_bytes(), piece.clone().into_bytes());
                Fault::Pieces(Box::new(iter::once(first).chain(iter::repeat(piece))), End::Close)
            }),
        ));
    };
    flood("a line without end", "\r\ndata: ", "endless ");
    flood("data without end", "\r\n", "data: endless\n");
    flood("a chunk's extension without end", "Transfer-Encoding: chunked\r\n\r\n5;", "endless");
    flood("a chunk's size without end", "Transfer-Encoding: chunked\r\n\r\n", "0");
    flood("trailers without end", "Transfer-Encoding: chunked\r\n\r\n0\r\n", "A: endless\r\n");
    rows
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rows = Arc::new(refused());
    thread::scope(|scope| {
        for part in 0..4 {
            let rows = rows.clone();
            let go = move || {
                let mut scene = Scene::new(sensible);
                scene.world.a.wait_for_content("good", b"good");
                for (what, _) in rows.iter().enumerate().filter(|(number, _)| number % 4 == part) {
                    let (name, asked) = (rows[what].0, scene.proxy.asked(|_| true).len());
                    let of_row = rows.clone();
                    scene.proxy.plan(move |asked| match asked.target.as_str() {
                        "/sync" => of_row[what].1(),
                        _ => not_found(),
                    });
                    // Without the pauses of the row before.
                    scene.world.a.stop();
                    scene.world.a.start();
                    let reason = scene.wait_for_reason(name);
                    assert!(!reason.is_empty(), "{name}");
                    check_back_off(
                        name,
                        &scene.proxy.asked(|one| asked <= one.number && one.target == "/sync"),
                    );
                    scene.check_untouched(name, &["good", "mine"]);
                }
                scene.check_recovery("everything");
            };
            thread::Builder::new().name(format!("hostile-{part}")).spawn_scoped(scope, go).unwrap();
        }
    });
}

/// Names that can't be here, of a server that means harm or is only newer: each is told, nothing else follows from it, and everything
/// else goes on.
#[test]
fn names_that_can_not_be_here() {
    let long = ["a/".repeat(3000), "a".repeat(256)];
    let plain = [
        "../x",
        "/x",
        "a/../../x",
        "a//b",
        ".",
        "..",
        "%2e%2e/x",
        "a%2F..%2F..%2Fx",
        "a%00b",
        ".filesync/state",
        "a/.filesync/b",
        "%zz",
        "",
        "a/",
    ];
    let names: Vec<String> = plain.into_iter().map(str::to_owned).chain(long).collect();
    let mut text = hello(9);
    for name in &names {
        text += &event("", "delete", &format!("{{\"path\":\"{name}\",\"deleted\":true,\"seq\":2}}"));
        text += &download(name, "evil", 3);
    }
    text += &(download("good", "good", 1) + &synced(9));
    let mut scene = Scene::new(move |asked| match asked.target.as_str() {
        "/sync" => stream(text.clone()),
        _ => sensible(asked),
    });
    scene.world.a.wait_for_content("good", b"good");
    eventually("every name to be told", || {
        let status = scene.world.a.status();
        let is_told =
            |one: &&Json| one.get("path") == &Json::Null && one.get("error").text().contains("can't be here");
        match status.get("problems").list().iter().filter(is_told).count() {
            count if count == names.len() => Ok(()),
            count => Err(format!("{count} of {}: {status:?}", names.len())),
        }
    });
    assert!(scene.proxy.asked(|one| one.target == "/sync").len() == 1, "one connection is enough");
    scene.check_untouched("names", &["good", "mine"]);
}

/// Ids go back, jump ahead, and belong to another history that nobody announced. What is told is obeyed, and the cursor believes none of it.
#[test]
fn ids_that_make_no_sense() {
    let text = hello(5)
        + &synced(5)
        + &event(&format!("{EPOCH}-3"), "download", &format!("{{{}}}", entry("good", "good", 3)))
        + &event(&format!("{OTHER_EPOCH}-9"), "stored", &format!("{{{}}}", entry("mine", "mine", 9)));
    let mut scene = Scene::new(move |asked| match asked.target.as_str() {
        "/sync" => stream(text.clone()),
        _ => sensible(asked),
    });
    scene.world.a.wait_for_content("good", b"good");
    scene.world.a.wait_for_state("idle");
    assert_eq!(scene.world.a.status().get("cursor").text(), format!("{EPOCH}-5"));
    scene.check_untouched("ids", &["good", "mine"]);
}

/// The history goes back under the same name: union, and no delete.
#[test]
fn a_history_that_goes_back() {
    let mut scene = Scene::new(sensible);
    scene.world.a.wait_for_content("good", b"good");
    scene.wait_for_cursor(&format!("{EPOCH}-1"));
    let deleted = event(&format!("{EPOCH}-2"), "delete", "{\"path\":\"good\",\"deleted\":true,\"seq\":2}");
    let ahead = hello(u64::MAX) + &synced(u64::MAX);
    scene.proxy.plan(move |asked| if asked.target == "/sync" { stream(ahead.clone()) } else { not_found() });
    scene.proxy.hang_up();
    let cursor = format!("{EPOCH}-{}", u64::MAX);
    scene.wait_for_cursor(&cursor);
    let back = hello(2) + &deleted + &synced(2);
    scene.proxy.plan(move |asked| if asked.target == "/sync" { stream(back.clone()) } else { not_found() });
    let asked = scene.proxy.asked(|_| true).len();
    scene.proxy.hang_up();
    eventually("a complete list", || {
        let lists = scene.proxy.asked(|one| asked <= one.number && one.target == "/sync").len();
        if 2 <= lists { Ok(()) } else { Err(format!("{lists} lists")) }
    });
    scene.check_untouched("a history that goes back", &["good", "mine"]);
}

/// Content that is not what was promised never takes its place, and keeps nothing else from coming.
#[test]
fn a_hash_that_lies() {
    let text = hello(2) + &download("liar", "truth", 2) + &download("good", "good", 1) + &synced(2);
    let mut scene = Scene::new(move |asked| match asked.target.as_str() {
        "/sync" => stream(text.clone()),
        "/download/liar" => {
            let etag = format!("ETag: \"{}\"\r\n", sha256(b"truth"));
            Fault::says("200 OK", &etag, "a lie")
        }
        _ => sensible(asked),
    });
    scene.world.a.wait_for_content("good", b"good");
    eventually("the lie to be told", || {
        let status = scene.world.a.status();
        let problems = status.get("problems").list();
        let is_it =
            |one: &Json| one.get("path").text() == "liar" && one.get("error").text().contains("announced");
        if problems.iter().any(|one| one.get("path") != &Json::Null && is_it(one)) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    check_back_off("liar", &scene.proxy.asked(|asked| asked.target.ends_with("liar")));
    scene.check_untouched("a lie", &["good", "mine"]);
}

/// Names without number: each costs a little, and not more.
#[test]
fn very_many_names() {
    let is_full = std::env::var_os("FILESYNC_FULL").is_some();
    let names: u64 = if is_full { 1_000_000 } else { 20_000 };
    let mut scene = Scene::new(move |asked| match asked.target.as_str() {
        "/sync" => {
            let head = format!("{HEAD}\r\n{}", hello(names)).into_bytes();
            let entry = entry("NAME", "evil", 1);
            let names = (1..=names).map(move |number| {
                let entry = entry.replace("NAME", &format!("name-{number}"));
                event("", "download", &format!("{{{entry}}}")).into_bytes()
            });
            Fault::Pieces(Box::new(iter::once(head).chain(names)), End::Silence)
        }
        _ => not_found(),
    });
    let limit = Duration::from_secs(if is_full { 480 } else { 60 });
    eventually_within(limit, "all names to be known", || {
        let status = scene.world.a.status();
        if names <= status.get("pending").number() {
            Ok(())
        } else {
            Err(format!("{status:?}").chars().take(200).collect())
        }
    });
    let memory = scene.world.a.process().peak_memory();
    println!("{names} names: {} KiB", memory / 1024);
    assert!(memory < MEMORY + names * 1024, "{} KiB", memory / 1024);
    assert_eq!(snapshot(&scene.world.a.folder).unwrap().len(), 1);
}
