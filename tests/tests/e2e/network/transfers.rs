//! Trouble with single requests: the path waits and says so, all others go on, and when the trouble is over it is done, once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{check_back_off, check_kept, fill, page, wait_for_requests, world_behind_proxy};
use crate::harness::{Asked, End, Fault, Relay, Way, World, eventually, pass, snapshot};

type Row = (&'static str, fn() -> Fault);

/// What it is called, how it is done in the folder, and whether the box has it.
type Act<'a> = (&'static str, &'a dyn Fn(), &'a dyn Fn() -> bool);

/// What an upload meets, by the name of the file.
const UPLOADS: [Row; 19] = [
    ("up-portal", || page("200 OK", "")),
    ("up-portal-created", || page("201 Created", "ETag: \"x\"\r\n")),
    ("up-301", || page("301 Moved Permanently", "Location: http://127.0.0.1:9/\r\n")),
    ("up-302", || page("302 Found", "Location: /login\r\n")),
    ("up-307", || page("307 Temporary Redirect", "Location: /login\r\n")),
    ("up-403", || page("403 Forbidden", "")),
    ("up-404", || page("404 Not Found", "")),
    ("up-408", || page("408 Request Timeout", "")),
    ("up-412", || page("412 Precondition Failed", "")),
    ("up-413", || page("413 Content Too Large", "")),
    ("up-429", || page("429 Too Many Requests", "")),
    ("up-500", || page("500 Internal Server Error", "")),
    ("up-502", || page("502 Bad Gateway", "")),
    ("up-503", || page("503 Service Unavailable", "")),
    ("up-507", || page("507 Insufficient Storage", "")),
    ("up-reset", || Fault::CutRequest(5000, End::Reset)),
    ("up-closed", || Fault::CutRequest(5000, End::Close)),
    ("up-nothing", || Fault::CutRequest(0, End::Reset)),
    ("up-lost", || Fault::CutAnswer(0, End::Reset)),
];

/// What a download meets.
const DOWNLOADS: [Row; 16] = [
    ("down-portal", || page("200 OK", "")),
    ("down-302", || page("302 Found", "Location: /login\r\n")),
    ("down-403", || page("403 Forbidden", "")),
    ("down-404", || page("404 Not Found", "")),
    ("down-410", || page("410 Gone", "")),
    ("down-429", || page("429 Too Many Requests", "")),
    ("down-500", || page("500 Internal Server Error", "")),
    ("down-503", || page("503 Service Unavailable", "")),
    ("down-reset", || Fault::CutAnswer(9000, End::Reset)),
    ("down-closed", || Fault::CutAnswer(9000, End::Close)),
    ("down-short", || {
        Fault::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\nshort".to_vec(), End::Close)
    }),
    ("down-shorter", || Fault::says("200 OK", "", "short")),
    ("down-longer", || Fault::says("200 OK", "", &"long".repeat(10_000))),
    ("down-other", || Fault::says("200 OK", "", &"x".repeat(20_000))),
    ("down-endless", || Fault::Pieces(endless(), End::Close)),
    ("down-part", || Fault::says("206 Partial Content", "Content-Range: bytes 0-3/20000\r\n", "down")),
];

/// An answer that does not end.
fn endless() -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    Box::new(std::iter::once(head).chain(std::iter::repeat_with(|| vec![b'x'; 100_000])))
}

fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(20_000).collect()
}

/// The paths about which a client says that something is wrong.
#[track_caller]
fn troubled(world: &World) -> BTreeMap<String, String> {
    let status = world.a.status();
    let problems = status.get("problems").list().iter();
    let of_paths = problems.filter(|problem| problem.get("path") != &crate::harness::Json::Null);
    of_paths
        .map(|problem| (problem.get("path").text().to_owned(), problem.get("error").text().to_owned()))
        .collect()
}

/// Each path has a fault of its own, all at once, and paths without a fault among them.
#[track_caller]
fn go_through(rows: &'static [Row], method: &'static str, prefix: &'static str, write: fn(&World, &str)) {
    let (mut world, proxy) = world_behind_proxy();
    proxy.plan(move |asked| {
        let row =
            rows.iter().find(|(name, _)| asked.method == method && asked.target == format!("{prefix}{name}"));
        row.map_or(Fault::None, |(_, fault)| fault())
    });
    for (number, (name, _)) in rows.iter().enumerate() {
        write(&world, name);
        write(&world, &format!("free-{number}"));
    }
    for number in 0..rows.len() {
        let name = format!("free-{number}");
        eventually(&name, || {
            match [&world.a.folder, &world.server.folder].map(|folder| folder.join(&name).exists()) {
                [true, true] => Ok(()),
                there => Err(format!("{there:?}")),
            }
        });
    }
    let lost = |name: &str| name == "up-lost";
    eventually("all that fails to be named", || {
        let troubled = troubled(&world);
        match rows.iter().find(|(name, _)| !lost(name) && !troubled.contains_key(*name)) {
            None => Ok(()),
            Some((name, _)) => Err(format!("{name} is not in {troubled:?}")),
        }
    });
    for (name, _) in rows {
        let of_row = |asked: &Asked| asked.is(method, prefix) && asked.target.ends_with(&format!("/{name}"));
        check_back_off(name, &wait_for_requests(&proxy, 1, of_row));
        let there = [&world.a.folder, &world.server.folder].map(|folder| folder.join(name).exists());
        assert!(there.contains(&true), "{name} is nowhere");
        assert!(!there.contains(&false) || !lost(name), "{name}");
        assert!(there.contains(&false) || lost(name), "{name} has arrived in spite of everything");
    }
    check_kept(&world);
    proxy.behave();
    // Pauses may have become long.
    let tree = world.settle_within(Duration::from_secs(70));
    assert_eq!(tree.len(), 31 + 2 * rows.len(), "{tree:?}");
    for (name, _) in rows {
        assert_eq!(fs::read(world.a.at(name)).unwrap(), content(name));
    }
    assert!(troubled(&world).is_empty());
    assert_eq!(world.a.status().get("conflicts").number(), 0);
    check_kept(&world);
}

#[test]
fn uploads_that_are_answered_by_somebody_else() {
    go_through(&UPLOADS, "PUT", "/upload/", |world, name| {
        fs::write(world.a.at(name), content(name)).unwrap()
    });
}

#[test]
fn downloads_that_do_not_come() {
    go_through(&DOWNLOADS, "GET", "/download/", |world, name| {
        world.server.put_new(name, content(name)).expect(201);
    });
}

/// Everybody is refused for a while: the client rests as a whole, and does not ask about each path at every turn.
#[test]
fn a_storm_is_waited_out() {
    const FILES: usize = 300;
    for field in ["", "Retry-After: 3\r\n"] {
        let (mut world, proxy) = world_behind_proxy();
        proxy.plan(move |asked| match asked.is("", "/sync") {
            true => Fault::None,
            false => page("503 Service Unavailable", field),
        });
        for number in 0..FILES {
            fs::write(world.a.at(format!("file-{number}")), format!("content {number}")).unwrap();
        }
        let is_change = |asked: &Asked| asked.is("", "/upload/file");
        wait_for_requests(&proxy, 1, is_change);
        let span = Duration::from_millis(2500);
        pass(span);
        // However late it is by now: on a slow machine the three seconds may be over.
        let mut asked = proxy.asked(is_change);
        let end = asked[0].at + span;
        asked.retain(|asked| asked.at < end);
        // Eight workers, and a pause that doubles: or, where the server says how long, one try of each.
        let most = if field.is_empty() { 6 * 8 } else { 8 };
        assert!(asked.len() <= most, "{field:?}: {} requests", asked.len());
        proxy.behave();
        assert_eq!(world.settle().len(), 31 + FILES);
        check_kept(&world);
    }
}

/// Of all answers to changes, three in ten never come although the change was made. What is repeated is recognised: there is no second
/// version of anything, and no conflict.
#[test]
fn answers_that_are_lost_after_the_commit() {
    let (mut world, proxy) = world_behind_proxy();
    let (seed, lost) = (AtomicU64::new(0x5eed_cafe), std::sync::Arc::new(AtomicU64::new(0)));
    let counted = lost.clone();
    let is_change = |asked: &Asked| asked.is("", "/upload/");
    proxy.plan(move |asked| {
        let random = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let random = (random ^ random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        match is_change(asked) && random % 10 < 3 {
            true => {
                counted.fetch_add(1, Ordering::SeqCst);
                Fault::CutAnswer(0, if random % 2 == 0 { End::Reset } else { End::Close })
            }
            false => Fault::None,
        }
    });
    let seq = |world: &World| world.server.status().get("seq").number();
    let begin = seq(&world);
    // One change of the box each: files, copies, modes, deletions, moves.
    for number in 0..30 {
        fs::write(world.a.at(format!("new-{number}")), format!("new {number}")).unwrap();
    }
    world.settle();
    assert_eq!(seq(&world) - begin, 30, "uploads");
    for number in 0..30 {
        fs::copy(world.a.at(format!("new-{number}")), world.a.at(format!("copy-{number}"))).unwrap();
    }
    world.settle();
    for number in 0..30 {
        let path = world.a.at(format!("copy-{number}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    world.settle();
    let before = seq(&world);
    for number in 0..30 {
        fs::remove_file(world.a.at(format!("new-{number}"))).unwrap();
    }
    world.settle();
    assert_eq!(seq(&world) - before, 30, "deletions");
    let before = seq(&world);
    for number in 0..30 {
        fs::rename(world.a.at(format!("copy-{number}")), world.a.at(format!("moved-{number}"))).unwrap();
    }
    let tree = world.settle();
    assert!(seq(&world) - before <= 60, "a move is one change, or at most an upload and a deletion");
    assert_eq!(tree.len(), 31 + 30);
    assert_eq!(world.a.status().get("conflicts").number(), 0);
    assert!(20 < lost.load(Ordering::SeqCst), "answers that were lost");
    assert_eq!(snapshot(&world.a.folder).unwrap(), tree);
    check_kept(&world);
}

/// The same over connections that are kept: what is asked for gets there on one that has served before, and its answer never comes back.
#[test]
fn answers_that_are_lost_on_a_connection_that_was_kept() {
    let mut world = World::new();
    let relay = Relay::new(&world.server.address);
    world.a.url = relay.url();
    fill(&world.a.folder);
    world.a.start();
    world.settle();
    let seq = |world: &World| world.server.status().get("seq").number();
    let (here, there) = (world.a.folder.clone(), world.server.folder.clone());
    let mode = |path: &Path| fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    let put = |content: &str| {
        // In one step: a file that is written in two may be sent in two.
        let aside = here.with_file_name("aside");
        fs::write(&aside, content).unwrap();
        fs::rename(&aside, here.join("file")).unwrap();
    };
    let acts: [Act<'_>; 5] = [
        ("new", &|| put("new"), &|| there.join("file").exists()),
        ("edited", &|| put("edited"), &|| {
            fs::read(there.join("file")).is_ok_and(|content| content == b"edited")
        }),
        (
            "made private",
            &|| fs::set_permissions(here.join("file"), fs::Permissions::from_mode(0o600)).unwrap(),
            &|| mode(&there.join("file")) == 0o600,
        ),
        ("moved", &|| fs::rename(here.join("file"), here.join("moved")).unwrap(), &|| {
            there.join("moved").exists()
        }),
        ("deleted", &|| fs::remove_file(here.join("moved")).unwrap(), &|| !there.join("moved").exists()),
    ];
    for (what, act, is_done) in acts {
        // On the connections that there are, something is asked and answered.
        let asked = seq(&world);
        fs::write(here.join("kept/0"), format!("kept 0 before it is {what}")).unwrap();
        world.settle();
        // The content is in the box a moment before its change has a number.
        eventually(
            "the change to be told",
            || if asked < seq(&world) { Ok(()) } else { Err("not yet".into()) },
        );
        world.settle();
        let before = seq(&world);
        relay.hold_after(Way::Down, 0);
        act();
        eventually(what, || if is_done() { Ok(()) } else { Err("not yet".into()) });
        relay.cut();
        world.settle();
        assert_eq!(seq(&world) - before, 1, "{what}: one change, and none to repeat it");
    }
    assert_eq!(world.a.status().get("conflicts").number(), 0);
    assert_eq!(world.settle().len(), 31);
}

/// One transfer in each direction crawls; all others pass it by.
#[test]
fn a_slow_transfer_keeps_nobody_waiting() {
    let (mut world, proxy) = world_behind_proxy();
    proxy.plan(|asked| {
        if asked.target.ends_with("/slow-up") || asked.target.ends_with("/slow-down") {
            Fault::Slow(10)
        } else {
            Fault::None
        }
    });
    fs::write(world.a.at("slow-up"), content("slow-up")).unwrap();
    world.server.put_new("slow-down", content("slow-down")).expect(201);
    wait_for_requests(&proxy, 2, |asked| asked.target.contains("slow-"));
    for number in 0..20 {
        fs::write(world.a.at(format!("up-{number}")), "up").unwrap();
        world.server.put_new(&format!("down-{number}"), "down").expect(201);
    }
    for number in 0..20 {
        world.a.wait_for_content(format!("down-{number}"), b"down");
        let there = world.server.folder.join(format!("up-{number}"));
        eventually("an upload", || if there.exists() { Ok(()) } else { Err("not there".into()) });
    }
    assert!(!world.a.at("slow-down").exists() && !world.server.folder.join("slow-up").exists());
    proxy.behave();
    assert_eq!(world.settle_within(Duration::from_secs(70)).len(), 31 + 42);
}

/// The stream is lost while a transfer crawls in each direction. It is opened again at once, and everything else goes on.
#[test]
fn a_stream_that_is_lost_during_a_slow_transfer() {
    let (mut world, proxy) = world_behind_proxy();
    let streams = AtomicU64::new(0);
    proxy.plan(move |asked| match asked.target.as_str() {
        "/upload/slow-up" | "/download/slow-down" => Fault::Slow(10),
        // Enough for the greeting, and for some news.
        "/sync" if streams.fetch_add(1, Ordering::SeqCst) == 0 => Fault::CutAnswer(4000, End::Reset),
        _ => Fault::None,
    });
    proxy.hang_up();
    wait_for_requests(&proxy, 2, |asked| asked.target == "/sync");
    world.settle();
    fs::write(world.a.at("slow-up"), content("slow-up")).unwrap();
    world.server.put_new("slow-down", content("slow-down")).expect(201);
    wait_for_requests(&proxy, 2, |asked| asked.target.contains("slow-"));
    for number in 0..40 {
        world.server.put_new(&format!("down-{number}"), "down").expect(201);
    }
    wait_for_requests(&proxy, 3, |asked| asked.target == "/sync");
    for number in 0..40 {
        world.a.wait_for_content(format!("down-{number}"), b"down");
    }
    fs::write(world.a.at("up"), "up").unwrap();
    let there = world.server.folder.join("up");
    eventually("an upload", || if there.exists() { Ok(()) } else { Err("not there".into()) });
    assert!(!world.a.at("slow-down").exists() && !world.server.folder.join("slow-up").exists());
    assert_eq!(proxy.asked(|asked| asked.target.contains("slow-")).len(), 2, "the transfers just go on");
    proxy.behave();
    assert_eq!(world.settle_within(Duration::from_secs(70)).len(), 31 + 43);
    check_kept(&world);
}

/// Answers that come late, or twice, are answers all the same.
#[test]
fn answers_that_come_late_or_twice() {
    let (mut world, proxy) = world_behind_proxy();
    proxy.plan(|asked| match asked.number % 3 {
        _ if asked.is("", "/sync") => Fault::None,
        0 => Fault::Late(Duration::from_millis(300)),
        1 => Fault::Twice,
        _ => Fault::None,
    });
    for number in 0..20 {
        fs::write(world.a.at(format!("up-{number}")), format!("up {number}")).unwrap();
        world.server.put_new(&format!("down-{number}"), format!("down {number}")).expect(201);
    }
    assert_eq!(world.settle().len(), 31 + 40);
    for number in 0..20 {
        fs::remove_file(world.a.at(format!("up-{number}"))).unwrap();
        fs::write(world.a.at(format!("down-{number}")), format!("edited {number}")).unwrap();
    }
    assert_eq!(world.settle().len(), 31 + 20);
    assert_eq!(world.a.status().get("conflicts").number(), 0);
    check_kept(&world);
}
