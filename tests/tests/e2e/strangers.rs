//! Whoever has no key learns nothing and changes nothing: each answer is the same whatever is asked for, be it there or not, well-formed
//! or not, and box and state stay as they are. What counts up is how many were refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Request, World, connect_from, eventually, sha256, signed_token, snapshot};

/// What somebody may think of asking for. The box holds `there`, `folder/inside` and the link `link`.
const TARGETS: [&str; 36] = [
    "/sync",
    "/sync?cursor=",
    "/sync?cursor=0000000000000000-0",
    "/sync?cursor=nonsense",
    "/status",
    "/status?verbose=1",
    "/metrics",
    "/upload",
    "/upload/",
    "/download",
    "/download/",
    "/download/there",
    "/download/missing",
    "/download/folder",
    "/download/folder/inside",
    "/download/folder/missing",
    "/download/link",
    "/download/there/below",
    "/download/.filesync/key",
    "/download/.filesync",
    "/download/../box/there",
    "/download/%2e%2e/server.log",
    "/download/%00",
    "/download/%zz",
    "/download//etc/passwd",
    "/upload/there",
    "/upload/missing",
    "/upload/folder",
    "/upload/folder/inside",
    "/upload/.filesync/key",
    "/upload/../x",
    "/upload/%zz",
    "/admin",
    "/healthz/",
    "/nothing",
    "*",
];

const METHODS: [&str; 12] =
    ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "MOVE", "COPY", "OPTIONS", "TRACE", "PROPFIND", "BREW"];

/// What they may show.
fn credentials() -> Vec<(&'static str, Option<String>)> {
    let claims = "{\"sub\":\"me\",\"scope\":\"write\",\"iat\":1700000000,\"exp\":4000000000,\"jti\":\"1\"}";
    let token = |header: &str| format!("Bearer {}", signed_token(&"5e".repeat(32), header, claims));
    vec![
        ("nothing", None),
        ("a wrong key", Some("Bearer 0123456789abcdef0123456789abcdef".into())),
        ("a wrong key, as the original's clients show it", Some("0123456789abcdef".into())),
        ("another scheme", Some("Basic YWRtaW46YWRtaW4=".into())),
        ("a token of somebody else", Some(token("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"))),
        ("a token that is not signed", Some(token("{\"alg\":\"none\"}"))),
    ]
}

/// All there is in a directory, filesync's own included, as it lies there.
fn everything(directory: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in
            fs::read_dir(&directory).expect("read a directory").map(|entry| entry.expect("an entry").path())
        {
            let kind = fs::symlink_metadata(&entry).expect("it is there").file_type();
            let content = match kind {
                kind if kind.is_file() => sha256(&fs::read(&entry).expect("read a file")),
                kind => format!("{kind:?}"),
            };
            if kind.is_dir() {
                directories.push(entry.clone());
            }
            all.insert(entry.to_string_lossy().into_owned(), content);
        }
    }
    all
}

/// Everybody has an address of his own: who tries one wrong key after the other is asked for patience, which is another answer.
fn nobody(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (number / 250) as u8, (1 + number % 250) as u8)
}

/// All that is said, but for the time.
fn answer(world: &World, number: usize, request: &Request) -> String {
    let to = world.server.address.parse().expect("it listens on IPv4");
    let mut connection = connect_from(nobody(number), to).expect("connect");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    connection.write_all(&request.clone().field("Connection", "close").encode()).expect("send");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer and the end");
    answer.lines().filter(|line| !line.starts_with("date: ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn they_learn_nothing_and_change_nothing() {
    let world = World::new();
    world.server.put_new("there", "secret").expect(201);
    let make = |path: &str, kind: &str| {
        world
            .server
            .request("PUT", &format!("/upload/{path}"))
            .field("If-None-Match", "*")
            .field("File-Kind", kind)
    };
    world.server.ask(&make("folder", "dir").body("")).expect(201);
    world.server.put_new("folder/inside", "secret").expect(201);
    world.server.ask(&make("link", "symlink").body("there")).expect(201);
    let whole = |world: &World| {
        (everything(&world.server.folder), snapshot(&world.server.folder).expect("it is at rest"))
    };
    let cursor = world.server.cursor();
    let before = eventually("the box to come to rest", || match whole(&world) {
        now if now == whole(&world) => Ok(now),
        _ => Err("it changes".to_owned()),
    });
    let (denials, panics) = (world.server.metric("denials_total"), world.server.metric("panics_total"));

    let mut asked = 0;
    for (what, shown) in credentials() {
        for method in METHODS {
            let answers: BTreeSet<String> = TARGETS
                .iter()
                .map(|target| {
                    asked += 1;
                    let request = Request::new(method, target)
                        .field("If-Match", "*")
                        .field("Destination", "/upload/new");
                    let request = match &shown {
                        Some(shown) => request.field("Authorization", shown),
                        None => request,
                    };
                    answer(&world, asked, &request.body("{}"))
                })
                .collect();
            assert_eq!(answers.len(), 1, "{method} with {what} is answered in different ways:\n{answers:#?}");
            let answer = answers.first().expect("there is one");
            let status = if matches!(method, "TRACE" | "PROPFIND" | "BREW") { "501" } else { "401" };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} with {what}: {answer}");
            assert!(!answer.contains("secret") && !answer.contains("box"), "{answer}");
        }
    }

    assert_eq!(whole(&world), before, "something has changed");
    assert_eq!((world.server.cursor(), world.server.metric("panics_total")), (cursor, panics));
    let unknown = credentials().len() * 3 * TARGETS.len();
    assert_eq!(world.server.metric("denials_total") - denials, (asked - unknown) as u64);
}
