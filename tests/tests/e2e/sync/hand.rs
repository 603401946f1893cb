//! Changes made by hand in the box: they are changes like any other.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Server, World, eventually, is_root, pass, sha256, shell};

/// Five times what is wanted, since other tests run at the same time.
const SOON: Duration = Duration::from_secs(5);

/// What people do in a box, as lines of shell. `../old` is a folder beside it with an older version of `restored`.
const BY_HAND: [(&str, &str); 10] = [
    ("add", "echo new > added"),
    ("edit", "echo more >> edited"),
    ("rename", "mv renamed 'another name'"),
    ("delete", "rm deleted"),
    ("restore with its time", "cp -p ../old/restored restored"),
    ("move to another directory", "mv moved d/moved"),
    ("rename a directory", "mv d e"),
    ("delete a directory", "rm -r full"),
    ("unpack", "tar xf ../old/tree.tar"),
    ("edit in place", "sed -i 's/one/two/' sed"),
];

/// What there is before, and beside the box, to do all that with.
fn before_by_hand(world: &World) {
    for name in ["edited", "renamed", "deleted", "restored", "moved", "sed"] {
        fs::write(world.a.at(name), format!("one, {name}\n")).unwrap();
    }
    for directory in ["d/in", "full/of/things"] {
        fs::create_dir_all(world.a.at(directory)).unwrap();
        fs::write(world.a.at(directory).join("file"), directory).unwrap();
    }
    let old = world.directory().join("old");
    fs::create_dir(&old).unwrap();
    shell(&old, "echo old > restored && touch -d '2001-02-03 04:05:06' restored");
    shell(&old, "mkdir -p tree/a/b && echo leaf > tree/a/b/leaf && tar cf tree.tar tree");
}

/// Checks that box and history hold what [`BY_HAND`] comes to.
#[track_caller]
fn check_by_hand(world: &mut World) {
    let tree = world.settle();
    let paths: Vec<String> = tree.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let want = [
        "added",
        "another name",
        "e",
        "e/in",
        "e/in/file",
        "e/moved",
        "edited",
        "restored",
        "sed",
        "tree",
        "tree/a",
        "tree/a/b",
        "tree/a/b/leaf",
    ];
    assert_eq!(paths, want);
    let read = |name: &str| fs::read_to_string(world.b.at(name)).unwrap();
    assert_eq!((read("edited"), read("sed")), ("one, edited\nmore\n".into(), "two, sed\n".into()));
    assert_eq!(read("restored"), "old\n");
}

#[test]
fn each_thing_done_is_a_change_within_a_second() {
    let mut world = World::new();
    before_by_hand(&world);
    world.start_clients();
    world.settle();
    for (what, line) in BY_HAND {
        let (before, start) = (world.server.seq(), Instant::now());
        shell(&world.server.folder, line);
        eventually("a change", || match world.server.seq() {
            now if before < now => Ok(()),
            _ => Err("none".to_owned()),
        });
        println!("{what}: a change after {} ms", start.elapsed().as_millis());
        assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
        world.settle();
    }
    check_by_hand(&mut world);
}

#[test]
fn everything_done_while_the_server_is_down_is_there_when_it_listens() {
    let mut world = World::new();
    before_by_hand(&world);
    world.start_clients();
    world.settle();
    let before = world.server.seq();
    world.server.stop();
    for (_, line) in BY_HAND {
        shell(&world.server.folder, line);
    }
    world.server.start();
    assert!(before + BY_HAND.len() as u64 <= world.server.seq(), "known before anybody asks");
    check_by_hand(&mut world);
}

fn etag(content: &str) -> String {
    format!("\"{}\"", sha256(content.as_bytes()))
}

/// Replaces a file as an editor does, at one moment.
fn replace(beside: &Path, path: &Path, content: &str) {
    fs::write(beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

/// The server finds both in front of it at the same moment, the edit in the box and the request that knows nothing of it.
#[test]
fn a_request_never_overwrites_an_edit_that_nobody_has_seen() {
    let mut world = World::new();
    let path = world.server.folder.join("file");
    for round in 0..40 {
        world.server.put_new("file", "known").expect(201);
        let mut connection = world.server.connect();
        let request = match round % 4 {
            0 | 1 => world
                .server
                .request("PUT", "/upload/file")
                .field("If-Match", &etag("known"))
                .body("by request"),
            2 => world.server.request("DELETE", "/upload/file").field("If-Match", &etag("known")),
            _ => world
                .server
                .request("MOVE", "/upload/file")
                .field("If-Match", &etag("known"))
                .field("Destination", "/upload/moved"),
        };
        world.server.process().signal("STOP");
        match round % 2 {
            0 => replace(&world.directory().join("beside"), &path, "by hand"),
            _ => fs::write(&path, "by hand").unwrap(),
        }
        connection.send(request.encode());
        world.server.process().signal("CONT");
        connection.response().expect(412);
        assert_eq!(fs::read_to_string(&path).unwrap(), "by hand");
        wait_for_version(&world.server, "file", "by hand");
        let delete = world.server.request("DELETE", "/upload/file").field("If-Match", &etag("by hand"));
        world.server.ask(&delete).expect(204);
    }
}

/// As fast as both can: whoever comes second and does not know of the first is refused, if it is a request, and replaces it, if it is a
/// person. So what the person wrote is there in the end, whatever the server answered.
#[test]
fn a_race_between_a_person_and_requests() {
    const ROUNDS: u32 = 300;
    let world = World::new();
    let (path, beside) = (world.server.folder.join("file"), world.directory().join("beside"));
    let mut known = "first".to_owned();
    world.server.put_new("file", &known).expect(201);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let by_hand = format!("by hand {round}");
        let request = world.server.request("PUT", "/upload/file").field("If-Match", &etag(&known));
        let mut connection = world.server.connect();
        let answer = thread::scope(|scope| {
            scope.spawn(|| {
                // From before the request to after it.
                pass(Duration::from_micros(u64::from(round) * 20));
                replace(&beside, &path, &by_hand);
            });
            connection.send(request.body(format!("by request {round}")).encode());
            connection.response()
        });
        match answer.status {
            204 => accepted += 1,
            412 => refused += 1,
            _ => panic!("{answer:?}"),
        }
        wait_for_version(&world.server, "file", &by_hand);
        assert_eq!(fs::read_to_string(&path).unwrap(), by_hand);
        known = by_hand;
    }
    println!("{accepted} accepted and replaced by hand, {refused} refused");
}

/// Waits until the server's version of a file is this.
#[track_caller]
fn wait_for_version(server: &Server, path: &str, content: &str) {
    eventually("the edit to be a version", || {
        let answer = server.ask(&server.request("GET", &format!("/download/{path}")));
        match answer.status {
            200 if answer.body == content.as_bytes() => Ok(()),
            _ => Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))),
        }
    });
}

/// In the box and in a folder: said once each, however often they are seen, and left alone.
#[test]
fn what_is_neither_file_nor_directory_nor_link_is_said_once() {
    let mut world = World::new();
    world.a.options = &["--poll", "1"];
    let mut sockets = Vec::new();
    let mut names = vec!["pipe", "socket"];
    for place in [&world.a.folder, &world.server.folder] {
        shell(place, "mkfifo pipe");
        sockets.push(UnixListener::bind(place.join("socket")).unwrap());
        if is_root() {
            // Root in a container may not be allowed to.
            match std::process::Command::new("mknod")
                .args(["device", "c", "1", "3"])
                .current_dir(place)
                .status()
            {
                Ok(status) if status.success() => names.push("device"),
                _ => println!("NOT TESTED: devices, which can't be made here"),
            }
        }
    }
    world.server.stop();
    world.server.start();
    world.start_clients();
    world.b.wait_for_state("idle");
    for number in 0..3 {
        let name = format!("after {number}");
        fs::write(world.a.at(&name), "file").unwrap();
        world.b.wait_for_content(&name, b"file");
        fs::write(world.server.folder.join(&name), "edited").unwrap();
        world.a.wait_for_content(&name, b"edited");
    }
    shell(&world.server.folder, "touch pipe");
    names.sort_unstable();
    names.dedup();
    let logs = [world.a.process().log(), world.server.process().log()];
    for name in names {
        for log in &logs {
            let lines: Vec<&str> =
                log.lines().filter(|line| line.contains(name) && line.contains("neither")).collect();
            let starts = log.matches("made a key").count().max(1);
            assert!((1..=starts + 1).contains(&lines.len()), "{name}: {lines:?}");
        }
        assert!(!world.b.at(name).exists());
        assert!(
            world.a.at(name).symlink_metadata().is_ok()
                && world.server.folder.join(name).symlink_metadata().is_ok()
        );
    }
}

#[test]
fn while_the_server_runs() {
    let mut world = World::live();
    let folder = world.server.folder.clone();
    fs::write(folder.join("dropped.txt"), "by hand").unwrap();
    world.a.wait_for_content("dropped.txt", b"by hand");
    world.b.wait_for_content("dropped.txt", b"by hand");

    fs::write(folder.join("dropped.txt"), "edited by hand").unwrap();
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("deep/er/file"), "deep").unwrap();
    symlink("dropped.txt", folder.join("link")).unwrap();
    world.a.wait_for_content("dropped.txt", b"edited by hand");
    world.b.wait_for_content("deep/er/file", b"deep");
    assert_eq!(world.settle().len(), 5);

    fs::remove_dir_all(folder.join("deep")).unwrap();
    fs::rename(folder.join("dropped.txt"), folder.join("renamed.txt")).unwrap();
    world.a.wait_for_absence("deep");
    world.a.wait_for_content("renamed.txt", b"edited by hand");
    world.b.wait_for_absence("dropped.txt");
    assert_eq!(world.settle().len(), 2);
}

#[test]
fn while_the_server_is_down() {
    let mut world = World::live_with(|folder| {
        fs::write(folder.join("edit.txt"), "before").unwrap();
        fs::write(folder.join("delete.txt"), "before").unwrap();
        fs::write(folder.join("keep.txt"), "before").unwrap();
    });
    let seq = world.server.status().get("seq").number();
    world.server.stop();
    fs::write(world.server.folder.join("edit.txt"), "by hand").unwrap();
    fs::remove_file(world.server.folder.join("delete.txt")).unwrap();
    fs::write(world.server.folder.join("new.txt"), "by hand").unwrap();
    world.server.start();
    world.a.wait_for_content("edit.txt", b"by hand");
    world.b.wait_for_content("new.txt", b"by hand");
    world.a.wait_for_absence("delete.txt");
    assert_eq!(world.settle().len(), 3);
    assert!(seq + 3 <= world.server.status().get("seq").number(), "each change has its own seq");
}

/// By hand against by client: both survive.
#[test]
fn against_an_edit_in_a_folder() {
    let mut world = World::live_with(|folder| fs::write(folder.join("file.txt"), "base").unwrap());
    world.stop_clients();
    fs::write(world.server.folder.join("file.txt"), "by hand").unwrap();
    fs::write(world.a.at("file.txt"), "by a, meanwhile").unwrap();
    world.start_clients();
    world.b.wait_for_content("file.txt", b"by hand");
    let tree = world.settle();
    assert_eq!(tree.len(), 2, "{tree:?}");
}
