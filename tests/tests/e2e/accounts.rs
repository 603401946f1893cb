//! Tokens: accounts that are folders of the box, readers, and tokens that end.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{
    Client, Connection, Request, Response, Server, Token, Tree, World, eventually, mint, pass, program, run,
    signed_token, snapshot,
};

/// Tokens that end while something takes long, and tokens of one folder.
mod lasting;

#[track_caller]
fn revoke(server: &Server, options: &[&str]) {
    run(program("server").arg("revoke").arg("--box").arg(&server.folder).args(options)).expect_code(0);
}

#[track_caller]
fn rotate(server: &Server) {
    run(program("server").arg("rotate").arg("--box").arg(&server.folder)).expect_code(0);
}

/// What a stream that has ended said last.
#[track_caller]
fn last_words(mut stream: Connection) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server ends the stream in good order");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[track_caller]
fn expect_challenge(response: &Response, words: &str) {
    let challenge = response.field("WWW-Authenticate").unwrap_or("");
    assert!(challenge.starts_with("Bearer ") && challenge.contains(words), "{challenge}");
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

// ---- Accounts are folders --------------------------------------------------------------------------------------------------------------

#[test]
fn accounts_are_folders_and_sharing_is_a_token() {
    let mut world = World::new();
    world.server.stop();
    world.server.options = &["-v"];
    world.server.start();
    let alice = mint(&world.server, &["--client", "alice", "--root", "alice"]);
    let bob = mint(&world.server, &["--client", "bob", "--root", "home/bob"]);
    let guest = mint(&world.server, &["--client", "a guest", "--root", "alice/shared"]);
    world.a.token_file = alice.file(&world);
    world.b.token_file = bob.file(&world);
    let mut third = world.another_client("gamma");
    third.token_file = guest.file(&world);

    fs::create_dir(world.a.at("shared")).unwrap();
    fs::write(world.a.at("shared/plan.txt"), "plan").unwrap();
    fs::write(world.a.at("same name"), "alice's").unwrap();
    fs::write(world.b.at("same name"), "bob's").unwrap();
    world.start_clients();
    let in_box = |path: &str| fs::read_to_string(world.server.folder.join(path)).unwrap_or_default();
    eventually("both accounts to be in the box", || {
        let found =
            (in_box("alice/same name"), in_box("home/bob/same name"), in_box("alice/shared/plan.txt"));
        if found == ("alice's".into(), "bob's".into(), "plan".into()) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    third.start();
    third.wait_for_content("plan.txt", b"plan");

    // Both ways between those who share, and nowhere else.
    fs::write(third.at("plan.txt"), "the guest's plan").unwrap();
    world.a.wait_for_content("shared/plan.txt", b"the guest's plan");
    fs::write(world.a.at("shared/more.txt"), "more").unwrap();
    third.wait_for_content("more.txt", b"more");

    // Over the border a move is a deletion here and a creation there.
    fs::create_dir(world.a.at("d")).unwrap();
    fs::write(world.a.at("d/f"), "moved").unwrap();
    eventually("the directory to be in the box", || {
        if in_box("alice/d/f") == "moved" { Ok(()) } else { Err("not yet".into()) }
    });
    let moved = world.server.ask(
        &world
            .server
            .request("MOVE", "/upload/alice/d")
            .field("If-Match", "\"dir\"")
            .field("Destination", "/upload/home/bob/d"),
    );
    moved.expect(201);
    world.b.wait_for_content("d/f", b"moved");
    world.a.wait_for_absence("d");

    for client in [&world.a, &world.b, &third] {
        client.wait_for_state("idle");
    }
    assert_eq!(fs::read_to_string(world.a.at("same name")).unwrap(), "alice's");
    assert_eq!(fs::read_to_string(world.b.at("same name")).unwrap(), "bob's");
    let names = |client: &Client| {
        let mut names: Vec<String> = fs::read_dir(&client.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".filesync")
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&world.a), ["same name", "shared"]);
    assert_eq!(names(&world.b), ["d", "same name"]);
    assert_eq!(names(&third), ["more.txt", "plan.txt"]);

    let log = world.server.log();
    for secret in [&alice.text, &bob.text, &guest.text, &world.server.key()] {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "half a secret is in the log");
    }
}

/// Everything that syncs with a box syncs with a folder of one.
#[test]
fn a_folder_syncs_as_a_box_does() {
    let mut world = World::new();
    let token = mint(&world.server, &["--client", "we two", "--root", "home/of both"]);
    world.a.token_file = token.file(&world);
    world.b.token_file = token.file(&world);
    for number in 0..30 {
        fs::create_dir_all(world.a.at(format!("d{}/deep", number % 5))).unwrap();
        fs::write(world.a.at(format!("d{}/deep/file {number}", number % 5)), format!("{number}")).unwrap();
    }
    fs::write(world.a.at("conflict"), "a's").unwrap();
    fs::write(world.b.at("conflict"), "b's").unwrap();
    let folder = world.server.folder.join("home/of both");
    let agree = |world: &World, what: &str| {
        eventually(what, || {
            for client in [&world.a, &world.b] {
                let status = client.status();
                if status.get("state").text() != "idle" {
                    return Err(format!("{}: {status:?}", client.name));
                }
            }
            let trees = [&world.a.folder, &world.b.folder, &folder].map(|folder| snapshot(folder));
            let [Ok(a), Ok(b), Ok(both)] = trees else { return Err("they change".into()) };
            let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
            if a == b && names(&a) == names(&both) {
                Ok(a)
            } else {
                Err(format!("{} {} {}", a.len(), b.len(), both.len()))
            }
        })
    };
    world.start_clients();
    // Thirty files, five directories with one each, and both versions of what met.
    world.b.wait_until("d4/deep/file 29", "to be there", |path| path.exists());
    eventually("both versions to be everywhere", || {
        let count = agree(&world, "agreement").len();
        if count == 42 { Ok(()) } else { Err(format!("{count}")) }
    });
    fs::rename(world.a.at("d0"), world.a.at("d1/moved")).unwrap();
    fs::remove_dir_all(world.b.at("d2")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", world.a.at("link")).unwrap();
    world.b.wait_until("d1/moved/deep/file 25", "to be there", |path| path.exists());
    world.a.wait_for_absence("d2");
    world.b.wait_until("link", "to be there", |path| path.is_symlink());
    world.stop_clients();
    fs::write(folder.join("by hand"), "by hand").unwrap();
    fs::rename(folder.join("d3"), world.server.folder.join("taken out")).unwrap();
    fs::write(world.a.at("d4/deep/file 4"), "edited").unwrap();
    world.start_clients();
    world.b.wait_for_content("by hand", b"by hand");
    world.b.wait_for_content("d4/deep/file 4", b"edited");
    for client in [&world.a, &world.b] {
        client.wait_for_absence("d3");
    }
    assert_eq!(agree(&world, "agreement").len(), 42 - 8 - 8 + 2);
    // A list of everything is answered out of the folder alone.
    world.stop_clients();
    fs::remove_file(world.b.at(".filesync/state")).unwrap();
    world.start_clients();
    assert_eq!(agree(&world, "agreement").len(), 42 - 8 - 8 + 2);
}

/// What a folder has in common with one account is no word about another.
#[test]
fn another_account_is_another_history() {
    let mut world = World::new();
    let (alice, bob) = (
        mint(&world.server, &["--client", "alice", "--root", "alice"]),
        mint(&world.server, &["--client", "bob", "--root", "bob"]),
    );
    world.a.token_file = alice.file(&world);
    fs::write(world.a.at("kept"), "alice's").unwrap();
    fs::write(world.a.at("same"), "alice's").unwrap();
    world.a.once(&[]).expect_code(0);
    bob.listen(&world.server);
    bob.put_new(&world.server, "same", "bob's").expect(201);
    world.a.token_file = bob.file(&world);
    world.a.once(&[]).expect_code(0);
    let in_box = |path: &str| fs::read_to_string(world.server.folder.join(path)).unwrap();
    assert_eq!([in_box("bob/kept"), in_box("alice/kept")], ["alice's"; 2]);
    assert_eq!([in_box("bob/same"), in_box("alice/same")], ["bob's", "alice's"]);
    let copies = snapshot(&world.a.folder).unwrap();
    assert!(copies.keys().any(|name| name.starts_with(b"same (conflict")), "{copies:?}");
}

/// An account with `mine.txt` and `d/f` in `a`, beside `b/secret.txt` of somebody else.
fn two_accounts() -> (World, Token) {
    let world = World::new();
    let server = &world.server;
    for directory in ["a", "a/d", "b"] {
        let request = server.request("PUT", &format!("/upload/{directory}")).field("If-None-Match", "*");
        server.ask(&request.field("File-Kind", "dir").body("")).expect(201);
    }
    for file in ["a/mine.txt", "a/d/f", "b/secret.txt", "secret.txt"] {
        server.put_new(file, format!("this is {file}")).expect(201);
    }
    let token = mint(server, &["--client", "a", "--root", "a"]);
    (world, token)
}

#[test]
fn nothing_leads_out_of_a_folder() {
    let (world, token) = two_accounts();
    let server = &world.server;
    assert_eq!(token.get(server, "/download/mine.txt").expect(200).body, b"this is a/mine.txt");
    for (target, status) in [
        ("/download/b/secret.txt", 404),
        ("/download/secret.txt", 404),
        ("/download/a/mine.txt", 404),
        ("/download/a", 404),
        ("/download/../b/secret.txt", 400),
        ("/download/%2e%2e/b/secret.txt", 400),
        ("/download/d/../../b/secret.txt", 400),
        ("/download/..%2Fb%2Fsecret.txt", 400),
        ("/download//b/secret.txt", 400),
        ("/download/%2Fb/secret.txt", 400),
        ("/download/.", 400),
        ("/download/", 400),
        ("/download/.filesync/key", 400),
        ("/download/d/.filesync", 400),
        ("/metrics", 403),
    ] {
        let response = token.get(server, target).expect(status);
        assert!(!text(&response).contains("this is"), "{target}");
    }
    for to in ["/upload/../b/x", "/upload/%2e%2e/x", "/upload//b/x", "/download/x", "b/x", "/upload/"] {
        for method in ["MOVE", "COPY"] {
            token.relocate(server, method, "mine.txt", to).expect(400);
        }
    }
    token.relocate(server, "COPY", "b/secret.txt", "/upload/x").expect(404);
    token.relocate(server, "COPY", "../b/secret.txt", "/upload/x").expect(400);
    // A name is one of the folder, whatever the box has of the same name.
    token.put_new(server, "secret.txt", "my own").expect(201);
    let b = server.ask(
        &token.request("PUT", "/upload/b").field("If-None-Match", "*").field("File-Kind", "dir").body(""),
    );
    b.expect(201);
    token.relocate(server, "MOVE", "d", "/upload/b/d").expect(201);
    assert_eq!(fs::read(server.folder.join("a/b/d/f")).unwrap(), b"this is a/d/f");
    assert_eq!(fs::read(server.folder.join("secret.txt")).unwrap(), b"this is secret.txt");
    // A refusal names things as the client does.
    let refused = token.relocate(server, "MOVE", "secret.txt", "/upload/mine.txt").expect(412);
    assert_eq!(refused.json().get("current").get("path").text(), "mine.txt");
    assert!(!text(&refused).contains("a/"), "{}", text(&refused));

    let status = token.get(server, "/status").expect(200).json();
    assert_eq!((status.get("entries").number(), status.get("connections").number()), (5, 0));
    let outside = "{\"client\":{\"id\":\"x\"},\"files\":[{\"path\":\"../b/secret.txt\",\"deleted\":true}]}";
    let mut stream = server.connect();
    stream.send(token.request("POST", "/sync").body(outside).encode());
    assert_eq!(stream.head().status, 200);
    assert!(last_words(stream).contains(": the list is broken"));
}

#[test]
fn a_stream_tells_of_its_folder_alone() {
    let (world, token) = two_accounts();
    let server = &world.server;
    let mut stream = token.listen(server);
    server.put_new("b/unseen", "x").expect(201);
    server.put_new("a/seen", "x").expect(201);
    let event = stream.event();
    assert_eq!((event.name.as_str(), event.json().get("path").text()), ("download", "seen"));
    // What comes in with a move is told, and as its end is out of sight, an event without content moves the cursor.
    let request = server.request("MOVE", "/upload/b").field("If-Match", "*");
    server.ask(&request.field("Destination", "/upload/a/b")).expect(201);
    for path in ["b", "b/secret.txt", "b/unseen"] {
        let event = stream.event();
        assert_eq!(
            (event.name.as_str(), event.json().get("path").text(), event.id.as_str()),
            ("download", path, "")
        );
    }
    let event = stream.event();
    let status = token.get(server, "/status").json();
    let cursor = format!("{}-{}", status.get("epoch").text(), status.get("seq").number());
    assert_eq!((event.name.as_str(), event.id), ("passed", cursor));
    assert_ne!(status.get("epoch"), server.status().get("epoch"), "another folder has another history");

    // The list of a client is held against the folder, and so is the history.
    let list =
        "{\"client\":{\"id\":\"x\"},\"files\":[{\"path\":\"secret.txt\",\"kind\":\"dir\",\"mode\":\"755\"}]}";
    let mut stream = server.connect();
    stream.send(token.request("POST", "/sync").body(list).encode());
    stream.head();
    let mut told = Vec::new();
    loop {
        let event = stream.event();
        match event.name.as_str() {
            "hello" => {}
            "synced" => break,
            name => told.push(format!("{name} {}", event.json().get("path").text())),
        }
    }
    let missing =
        ["b", "b/secret.txt", "b/unseen", "d", "d/f", "mine.txt"].map(|path| format!("download {path}"));
    assert_eq!(told, [&missing[..], &["upload secret.txt".to_owned(), "download seen".to_owned()]].concat());
}

/// A heartbeat is due after 15 seconds, however busy others are meanwhile, and brings the cursor along.
#[test]
fn a_stream_is_alive_while_everything_happens_elsewhere() {
    let (world, token) = two_accounts();
    let server = &world.server;
    let mut stream = token.listen(server);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Twice as many as are needed.
            for number in 0..300 {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                server.put_new(&format!("b/{number}"), "x").expect(201);
                pass(Duration::from_millis(100));
            }
        });
        let event = stream.event();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(event.name, "passed");
    });
}

#[test]
fn a_folder_that_goes_takes_nothing_from_its_client() {
    let mut world = World::new();
    let token = mint(&world.server, &["--client", "alice", "--root", "people/alice"]);
    world.a.token_file = token.file(&world);
    for number in 0..5 {
        fs::write(world.a.at(format!("file {number}")), "mine").unwrap();
    }
    token.get(&world.server, "/download/x").expect(409);
    assert!(!world.server.folder.join("people").exists(), "only who syncs has the folder made");
    world.a.start();
    world.a.wait_for_state("idle");
    let folder = world.server.folder.join("people/alice");
    eventually("the files to be in the box", || {
        let count = fs::read_dir(&folder).map_or(0, Iterator::count);
        if count == 5 { Ok(()) } else { Err(format!("{count}")) }
    });

    fs::rename(&folder, world.server.folder.join("elsewhere")).unwrap();
    world.a.wait_for_problem("the folder that the token is for");
    let refused = token.put_new(&world.server, "new", "x").expect(409);
    assert_eq!(refused.json().get("type").text(), "/problems/root-missing");
    assert_eq!(fs::read(world.a.at("file 3")).unwrap(), b"mine");
    fs::write(&folder, "a file").unwrap();
    eventually("the file to be seen", || {
        let known = world.server.get("/download/people/alice").status;
        if known == 200 { Ok(()) } else { Err(format!("{known}")) }
    });
    token.get(&world.server, "/download/file%203").expect(409);
    fs::remove_file(&folder).unwrap();

    fs::rename(world.server.folder.join("elsewhere"), &folder).unwrap();
    world.a.wait_for_state("idle");
    assert_eq!(fs::read(world.a.at("file 3")).unwrap(), b"mine");
    assert_eq!(fs::read(folder.join("file 3")).unwrap(), b"mine");
    fs::write(world.a.at("file 3"), "edited").unwrap();
    eventually("the edit to be in the box", || {
        let found = fs::read(folder.join("file 3")).unwrap_or_default();
        if found == b"edited" { Ok(()) } else { Err(String::from_utf8_lossy(&found).into_owned()) }
    });
}

// ---- Readers ---------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_reader_follows_and_sends_nothing() {
    let mut world = World::new();
    world.server.put_new("theirs", "first").expect(201);
    let token = mint(&world.server, &["--client", "reader", "--read-only"]);
    world.a.token_file = token.file(&world);
    fs::write(world.a.at("mine"), "mine").unwrap();
    world.a.start();
    world.a.wait_for_content("theirs", b"first");
    world.a.wait_for_problem("only lets read");
    world.a.wait_for_state("idle");
    fs::write(world.a.at("theirs"), "edited here").unwrap();
    eventually("both to be left", || {
        let problems = world.a.status().get("problems").list().len();
        if problems == 2 { Ok(()) } else { Err(format!("{problems} problems")) }
    });
    world.a.wait_for_state("idle");
    // Nobody tries again and again.
    let before = world.server.metric("requests_total");
    pass(Duration::from_secs(2));
    assert!(world.server.metric("requests_total") <= before + 2);

    let server = &world.server;
    server.ask(&server.request("PUT", "/upload/theirs").field("If-Match", "*").body("second")).expect(204);
    world.a.wait_for_content("theirs", b"second");
    world.a.wait_for_state("idle");
    assert_eq!(fs::read(server.folder.join("theirs")).unwrap(), b"second");
    assert!(!server.folder.join("mine").exists());
    let copies: Vec<String> = fs::read_dir(&world.a.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("theirs ("))
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(fs::read(world.a.at(&copies[0])).unwrap(), b"edited here");
    world.a.stop();
    world.a.once(&[]).expect_code(1).expect_words(&["only lets read"]);

    for (method, target, fields) in [
        ("PUT", "/upload/new", [("If-None-Match", "*"), ("X", "")]),
        ("DELETE", "/upload/theirs", [("If-Match", "*"), ("X", "")]),
        ("PATCH", "/upload/theirs", [("If-Match", "*"), ("Content-Type", "application/merge-patch+json")]),
        ("MOVE", "/upload/theirs", [("If-Match", "*"), ("Destination", "/upload/new")]),
        ("COPY", "/upload/theirs", [("If-Match", "*"), ("Destination", "/upload/new")]),
        ("POST", "/upload", [("File-Path", "new"), ("X", "")]),
    ] {
        let request = fields.iter().filter(|(_, value)| !value.is_empty());
        let request =
            request.fold(token.request(method, target), |all, (name, value)| all.field(name, value));
        let refused = server.ask(&request.body("{}"));
        if method == "POST" {
            // The other dialect knows no scheme.
            refused.expect(400);
            let bare = Request::new(method, target).field("Authorization", &token.text);
            let refused = server.ask(&bare.field("File-Path", "new").body("x")).expect(403);
            expect_challenge(&refused, "insufficient_scope");
        } else {
            let refused = refused.expect(403);
            expect_challenge(&refused, "error=\"insufficient_scope\", scope=\"write\"");
            assert_eq!(refused.json().get("type").text(), "/problems/insufficient-scope");
        }
    }
    assert_eq!(token.get(server, "/download/theirs").expect(200).body, b"second");
}

// ---- Tokens end ------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_token_ends_where_it_is_used() {
    let world = World::new();
    let server = &world.server;
    mint(server, &["--client", "a"]);
    let keys = fs::read_to_string(server.folder.join(".filesync/tokens/keys")).unwrap();
    let (name, key) = keys.trim_end().split_once(' ').unwrap();
    let header = format!("{{\"alg\":\"HS256\",\"kid\":\"{name}\"}}");
    let token = |exp: u64| {
        let claims = format!(
            "{{\"sub\":\"a\",\"scope\":\"write\",\"iat\":{},\"exp\":{exp},\"jti\":\"1\"}}",
            exp - 600
        );
        Token { text: signed_token(key, &header, &claims), id: "1".into() }
    };
    // A minute is granted to clocks that differ; this one has a few seconds of it left.
    let ending = token(now() - 52);
    let stream = ending.listen(server);
    let words = last_words(stream);
    assert!(words.contains(": the token has expired"), "{words}");
    let refused = ending.get(server, "/status").expect(401);
    expect_challenge(&refused, "error=\"invalid_token\", error_description=\"the token has expired\"");
    token(now() + 600).get(server, "/status").expect(200);
    for claims in ["{}", "{\"sub\":\"a\"}"] {
        let token = Token { text: signed_token(key, &header, claims), id: String::new() };
        token.get(server, "/status").expect(401);
    }
    let none = Token { text: signed_token(key, &header.replace("HS256", "none"), "{}"), id: String::new() };
    none.get(server, "/status").expect(401);
}

#[test]
fn what_is_revoked_ends_at_once() {
    let mut world = World::new();
    let one = mint(&world.server, &["--client", "the laptop"]);
    let two = mint(&world.server, &["--client", "the laptop"]);
    let phone = mint(&world.server, &["--client", "phone"]);
    world.a.token_file = one.file(&world);
    world.a.start();
    world.a.wait_for_state("idle");
    let stream = one.listen(&world.server);
    revoke(&world.server, &["--id", &one.id]);
    let refused = one.get(&world.server, "/status").expect(401);
    expect_challenge(&refused, "error_description=\"the token was revoked\"");
    let words = last_words(stream);
    assert!(words.contains(": the token was revoked"), "{words}");
    assert_eq!(world.a.process().wait(), 5, "a client that is not let in any more ends");

    two.get(&world.server, "/status").expect(200);
    revoke(&world.server, &["--client", "the laptop"]);
    two.get(&world.server, "/status").expect(401);
    phone.get(&world.server, "/status").expect(200);
    let three = mint(&world.server, &["--client", "the laptop"]);
    three.get(&world.server, "/status").expect(200);

    world.server.stop();
    world.server.start();
    two.get(&world.server, "/status").expect(401);
    rotate(&world.server);
    three.get(&world.server, "/status").expect(200);
    let four = mint(&world.server, &["--client", "the laptop"]);
    rotate(&world.server);
    three.get(&world.server, "/status").expect(401);
    four.get(&world.server, "/status").expect(200);
    world.server.get("/status").expect(200);
}

/// The upload had begun when the token was revoked.
#[test]
fn what_was_revoked_stores_nothing_more() {
    let world = World::new();
    let server = &world.server;
    let token = mint(server, &["--client", "a"]);
    let mut upload = server.connect();
    let head = token.request("PUT", "/upload/late").field("If-None-Match", "*").field("Content-Length", "4");
    upload.send(head.field("Expect", "100-continue").encode());
    assert_eq!(upload.head().status, 100);
    revoke(server, &["--id", &token.id]);
    upload.send("late");
    upload.response().expect(401);
    server.get("/download/late").expect(404);
}

#[test]
fn keys_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    let token = mint(&world.server, &["--client", "a"]);
    let keys = world.server.folder.join(".filesync/tokens/keys");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = token.get(&world.server, "/status").expect(503);
    assert!(refused.field("Retry-After").is_some());
    world.server.get("/status").expect(200);
    assert!(world.server.log().contains("chmod 600"));
    let again = ["token", "--client", "b", "--box"];
    run(program("server").args(again).arg(&world.server.folder)).expect_code(1).expect_words(&["chmod 600"]);
    world.server.stop();
    run(&mut world.server.command()).expect_code(1).expect_words(&["tokens/keys", "chmod 600"]);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&keys).unwrap();
    fs::write(&keys, text.replacen(char::is_whitespace, " 0", 1)).unwrap();
    run(&mut world.server.command()).expect_code(1).expect_words(&["tokens/keys", "64 hexadecimal digits"]);
    fs::write(&keys, text).unwrap();
    world.server.start();
    token.get(&world.server, "/status").expect(200);
}

// ---- Guessing --------------------------------------------------------------------------------------------------------------------------

#[test]
fn whoever_guesses_is_slowed_down_and_nobody_else() {
    let world = World::new();
    let server = &world.server;
    let token = mint(server, &["--client", "a"]);
    let guess = |number: u32| {
        let request =
            Request::new("GET", "/status").field("Authorization", &format!("Bearer guess-{number}"));
        server.ask(&request)
    };
    let mut connection = server.connect();
    for number in 0..10 {
        let refused = guess(number);
        assert!([401, 429].contains(&refused.status), "{refused:?}");
    }
    let refused = (10..20).map(guess).find(|refused| refused.status == 429).expect("it is slowed down");
    assert!(refused.field("Retry-After").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert_eq!(refused.json().get("type").text(), "/problems/too-many-attempts");
    token.get(server, "/status").expect(200);
    server.get("/status").expect(200);
    connection.send(token.request("GET", "/status").encode());
    connection.response().expect(200);
    server.ask(&Request::new("GET", "/status")).expect(401);
    let log = server.log();
    assert_eq!(log.matches("one wrong key after the other").count(), 1, "{log}");
    assert!(!log.contains("guess-"));
    assert!(11 <= server.metric("denials_total"));
}
