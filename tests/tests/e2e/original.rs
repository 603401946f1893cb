//! The dialect of the clients that filesync follows, byte for byte. They are old and will not change; the server has to.
//!
//! What marks them: the key stands in `Authorization` without a scheme, and nothing accepts an event stream. Their answer to `POST /sync`
//! is one JSON object a line, and they take each chunk of the transfer coding for one line.

use std::fs;
use std::path::Path;

use crate::harness::{Connection, Request, Server, World};

/// What such a client sends, to the byte.
fn sync_request(server: &Server, list: &str) -> String {
    format!(
        "POST /sync HTTP/1.1\r\n\
         Host: {}\r\n\
         Authorization: {}\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         \r\n\
         {list}",
        server.address,
        server.key(),
        list.len()
    )
}

/// Sends a list, and reads the head of the answer that stays open.
#[track_caller]
fn start_sync(server: &Server, list: &str) -> Connection {
    let mut connection = server.connect();
    connection.send(sync_request(server, list));
    let head = connection.head().expect(200);
    assert_eq!(head.field("Transfer-Encoding"), Some("chunked"));
    connection
}

/// The next line, which must be the next chunk: all of it, and nothing else.
#[track_caller]
fn line(connection: &mut Connection) -> String {
    let chunk =
        String::from_utf8(connection.chunk().expect("the answer stays open")).expect("lines are text");
    let line = chunk.strip_suffix('\n').unwrap_or_else(|| panic!("{chunk:?} is not a line"));
    assert!(!line.contains('\n'), "{chunk:?} is more than a line");
    line.to_owned()
}

fn request(server: &Server, method: &str, target: &str) -> Request {
    Request::new(method, target).field("Authorization", &server.key())
}

#[track_caller]
fn upload(server: &Server, path: &str, content: &str) {
    let request = request(server, "POST", "/upload").field("File-Path", path).body(content);
    server.ask(&request).expect(200);
}

/// A file of known age in the box.
#[track_caller]
fn put_aged(server: &Server, path: &str, seconds: u64) {
    let request = server.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*");
    server.ask(&request.field("File-Mtime", &format!("{seconds}000000000")).body("aged")).expect(201);
}

#[test]
fn the_answer_to_a_list() {
    let world = World::new();
    let server = &world.server;
    for path in ["equal.txt", "newer with the client.txt", "not listed.txt"] {
        put_aged(server, &path.replace(' ', "%20"), 1_700_000_000);
    }
    let mut connection = start_sync(
        server,
        r#"{"files":[{"path":"equal.txt","lastUpdate":1700000000},{"path":"newer with the client.txt","lastUpdate":1700000001},{"path":"not in the box.txt","lastUpdate":1600000000}]}"#,
    );
    let mut lines = [line(&mut connection), line(&mut connection), line(&mut connection)];
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"{"Path":"newer with the client.txt","Action":2}"#,
            r#"{"Path":"not in the box.txt","Action":2}"#,
            r#"{"Path":"not listed.txt","Action":1}"#,
        ]
    );
    // Nothing was said of the file that is the same: what comes next is news.
    upload(server, "news.txt", "news");
    assert_eq!(line(&mut connection), r#"{"Path":"news.txt","Action":1}"#);
}

#[test]
fn field_names_in_any_case_and_an_empty_list() {
    let world = World::new();
    put_aged(&world.server, "a.txt", 1_700_000_000);
    let list = r#"{"Files":[{"Path":"a.txt","LastUpdate":1700000000},{"PATH":"b.txt","LASTUPDATE":1}]}"#;
    assert_eq!(line(&mut start_sync(&world.server, list)), r#"{"Path":"b.txt","Action":2}"#);
    assert_eq!(line(&mut start_sync(&world.server, r#"{"files":[]}"#)), r#"{"Path":"a.txt","Action":1}"#);
}

#[test]
fn an_upload_is_pushed_to_a_waiting_client() {
    let world = World::new();
    let mut waiting = start_sync(&world.server, r#"{"files":[]}"#);
    upload(&world.server, "a/b.txt", "content");
    assert_eq!(line(&mut waiting), r#"{"Path":"a/b.txt","Action":1}"#);
    assert_eq!(fs::read_to_string(world.server.folder.join("a/b.txt")).unwrap(), "content");
    // Names are plain text here, not in URL form.
    upload(&world.server, "with blanks & 100%.txt", "content");
    assert_eq!(line(&mut waiting), r#"{"Path":"with blanks & 100%.txt","Action":1}"#);
}

#[test]
fn downloads() {
    let world = World::new();
    upload(&world.server, "a/b.txt", "content");
    for target in ["/download/a%2Fb.txt", "/download/a/b.txt"] {
        assert_eq!(world.server.ask(&request(&world.server, "GET", target)).expect(200).body, b"content");
    }
    world.server.ask(&request(&world.server, "GET", "/download/missing.txt")).expect(404);
}

#[test]
fn what_an_upload_replaces_is_kept_as_a_version() {
    fn holds(directory: &Path, content: &str) -> bool {
        let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.into_iter().any(|path| {
            if path.is_dir() {
                holds(&path, content)
            } else {
                fs::read(&path).is_ok_and(|found| found == content.as_bytes())
            }
        })
    }
    let world = World::new();
    upload(&world.server, "a/b.txt", "the first version");
    upload(&world.server, "a/b.txt", "the second version");
    assert_eq!(fs::read_to_string(world.server.folder.join("a/b.txt")).unwrap(), "the second version");
    let versions = world.server.folder.join(".filesync/versions");
    assert!(holds(&versions, "the first version"));
    assert!(!holds(&versions, "the second version"));
}

#[test]
fn a_wrong_key_and_hostile_paths() {
    let world = World::new();
    let server = &world.server;
    let wrong = Request::new("POST", "/sync").field("Authorization", "wrong").body(r#"{"files":[]}"#);
    server.ask(&wrong).expect(401);
    for path in ["../escaped", "/escaped", "a/../../escaped", ".filesync/key", ""] {
        let request = request(server, "POST", "/upload").field("File-Path", path).body("x");
        server.ask(&request).expect(400);
    }
    server.ask(&request(server, "POST", "/upload").body("no path at all")).expect(400);
    assert!(!world.directory().join("escaped").exists());
}

/// Old and new clients share a box.
#[test]
fn beside_a_client_of_today() {
    let mut world = World::new();
    world.b.start();
    world.settle();
    upload(&world.server, "from the original.txt", "old");
    world.b.wait_for_content("from the original.txt", b"old");
    let mut waiting =
        start_sync(&world.server, r#"{"files":[{"path":"from the original.txt","lastUpdate":4000000000}]}"#);
    assert_eq!(line(&mut waiting), r#"{"Path":"from the original.txt","Action":2}"#);
    fs::write(world.b.at("from today.txt"), "new").unwrap();
    assert_eq!(line(&mut waiting), r#"{"Path":"from today.txt","Action":1}"#);
}

/// What a list names that the box lacks is held until its end, so there may be 250,000 of it and no more.
#[test]
fn a_list_may_name_so_many_new_files() {
    let world = World::new();
    let list = |count: usize| {
        let items: Vec<String> =
            (0..count).map(|number| format!("{{\"path\":\"{number}\",\"lastUpdate\":1}}")).collect();
        format!("{{\"files\":[{}]}}", items.join(","))
    };
    let mut connection = world.server.connect();
    // The answer may come before all is said.
    let _ = connection.try_send(sync_request(&world.server, &list(250_001)));
    connection.head().expect(413);
    let mut connection = start_sync(&world.server, &list(250_000));
    assert!(line(&mut connection).contains("\"Action\":2"));
}
