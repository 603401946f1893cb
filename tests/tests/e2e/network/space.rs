//! No room, here or there. What was there stays as it was, what has no room waits and says so, everything else goes on, and it all
//! catches up by itself when there is room again.
//!
//! A small file system is a tmpfs in a mount namespace that the process under test has for itself. Where the system forbids that, a limit
//! on the length of files takes its place, which fails writes just as well, and the test says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fill;
use crate::harness::{Json, Process, World, eventually, program, repr_digest, run, write_secret};

const MIB: usize = 1 << 20;

/// Whether a process may have a mount namespace of its own here.
fn may_mount() -> bool {
    let script = "mount -t tmpfs -o size=1m none /mnt";
    let unshared = Command::new("unshare").args(["-Urm", "sh", "-c", script]).output();
    let may = unshared.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("no mount namespaces here: a limit on the length of files takes their place");
    }
    may
}

/// `command` where `folder` is a file system of its own with so many bytes, at the same path. It can be reached from outside through the
/// process: see [`inside`].
fn in_small(folder: &Path, bytes: usize, command: &Command) -> Command {
    let mut small = Command::new("unshare");
    let script = "mount -t tmpfs -o size=$0 none \"$1\"; shift; exec \"$@\"";
    small.args(["-Urm", "sh", "-c", script]).arg(bytes.to_string()).arg(folder);
    complete(small, command)
}

/// The rest of a command line, and the environment of `command`.
fn complete(mut around: Command, command: &Command) -> Command {
    around.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => around.env(name, value),
            None => around.env_remove(name),
        };
    }
    around
}

/// A path as a process sees it that has mounts of its own.
fn inside(process: &Process, path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").expect("it is absolute");
    Path::new("/proc").join(process.pid().to_string()).join("root").join(path)
}

/// `command` where no file may become longer than so many bytes.
fn with_short_files(bytes: usize, command: &Command) -> Command {
    let mut short = Command::new("sh");
    // In blocks of 512 bytes in every shell that keeps to POSIX; a few have 1024, which is as good.
    short.args(["-c", "ulimit -f $0; exec \"$@\""]).arg((bytes / 512).to_string());
    complete(short, command)
}

/// The error that a client tells about a path.
#[track_caller]
fn wait_for_problem(look: impl Fn() -> Json, path: &str) -> String {
    eventually(&format!("a word about {path}"), || {
        let status = look();
        let problem =
            status.get("problems").list().iter().find(|one| one.get("path") == &Json::Text(path.into()));
        problem.map(|one| one.get("error").text().to_owned()).ok_or(format!("{status:?}"))
    })
}

#[test]
fn a_folder_without_room() {
    if !may_mount() {
        return a_file_too_long_for_the_client();
    }
    let mut world = World::new();
    world.server.put_new("old", "old").expect(201);
    let mut command = world.a.command();
    command.arg(&world.a.folder);
    let mut process =
        Process::spawn("alpha", world.directory(), &mut in_small(&world.a.folder, 2 * MIB, &command));
    let folder = world.a.folder.clone();
    let there = |name: &str| inside(&process, &folder.join(name));
    let content = |name: &str| fs::read(there(name)).unwrap_or_default();
    let arrives = |name: &str, wanted: &[u8]| {
        eventually(&format!("{name} to arrive"), || {
            if content(name) == wanted { Ok(()) } else { Err("not yet".into()) }
        });
    };
    arrives("old", b"old");
    let look = || {
        let text = fs::read_to_string(there(".filesync/status")).unwrap_or_default();
        Json::parse(&text).unwrap_or(Json::Object([("problems".to_owned(), Json::List(Vec::new()))].into()))
    };
    // More than there is as a whole: refused before a byte is fetched. And a new version of what is there.
    let large = vec![b'x'; 3 * MIB];
    world.server.put_new("large", &large).expect(201);
    assert!(wait_for_problem(look, "large").contains("room"));
    let replace = world.server.request("PUT", "/upload/old").field("If-Match", "*").body(&large);
    world.server.ask(&replace).expect(204);
    assert!(wait_for_problem(look, "old").contains("room"));
    assert_eq!(content("old"), b"old", "the old version stays");
    // Small ones go on, either way.
    world.server.put_new("small", "small").expect(201);
    arrives("small", b"small");
    fs::write(there("up"), "up").unwrap();
    let up = world.server.folder.join("up");
    eventually("an upload", || if up.exists() { Ok(()) } else { Err("not there".into()) });
    // The last byte is taken while the client runs: its state and its status have no room either.
    let _ = fs::write(there("filler"), vec![b'f'; 4 * MIB]);
    world.server.put_new("later", vec![b'l'; MIB / 2]).expect(201);
    fs::remove_file(there("filler")).unwrap();
    arrives("later", &vec![b'l'; MIB / 2]);
    world.server.ask(&world.server.request("DELETE", "/upload/large").field("If-Match", "*")).expect(204);
    let replace = world.server.request("PUT", "/upload/old").field("If-Match", "*").body("new");
    world.server.ask(&replace).expect(204);
    arrives("old", b"new");
    eventually("agreement", || {
        let status = look();
        if status.get("state") == &Json::Text("idle".into()) { Ok(()) } else { Err(format!("{status:?}")) }
    });
    let staged = fs::read_dir(there(".filesync/staging")).unwrap().count();
    assert_eq!(staged, 0, "nothing is left of what had no room");
    assert_eq!(process.terminate(), 143);
    world.server.stop();
}

#[test]
fn a_box_without_room() {
    if !may_mount() {
        return a_file_too_long_for_the_server();
    }
    let mut world = World::new();
    world.server.stop();
    fs::create_dir_all(&world.server.folder).unwrap();
    let mut command = program("server");
    command.args(["--listen", "127.0.0.1:0", "--box"]).arg(&world.server.folder);
    let mut small = in_small(&world.server.folder, 2 * MIB, &command);
    small.env("API_KEY", "a-key-for-a-small-box");
    let mut process = Process::spawn("small", world.directory(), &mut small);
    let url = eventually("the server to listen", || {
        let output = process.output();
        output.strip_prefix("listening on ").map(|url| url.trim_end().to_owned()).ok_or(output.clone())
    });
    let there = |name: &str| inside(&process, &world.server.folder.join(name));
    let key = world.directory().join("key");
    write_secret(&key, "a-key-for-a-small-box");
    world.a.url = url;
    world.a.token_file = Some(key);
    fill(&world.a.folder);
    world.a.start();
    world.a.wait_for_state("idle");
    let large = vec![b'x'; 3 * MIB];
    fs::write(world.a.at("large"), &large).unwrap();
    fs::write(world.a.at("small"), "small").unwrap();
    let client = &world.a;
    assert!(wait_for_problem(|| client.status(), "large").contains("room"));
    eventually("an upload", || if there("small").exists() { Ok(()) } else { Err("not there".into()) });
    // Full to the last byte, as far as that goes: the journal has no room either.
    let _ = fs::write(there("by hand"), vec![b'f'; 4 * MIB]);
    fs::write(world.a.at("waits"), vec![b'w'; MIB / 4]).unwrap();
    wait_for_problem(|| client.status(), "waits");
    assert_eq!(fs::read(there("small")).unwrap(), b"small");
    fs::remove_file(there("by hand")).unwrap();
    fs::remove_file(world.a.at("large")).unwrap();
    eventually("the upload that waited", || match fs::read(there("waits")) {
        Ok(found) if found.len() == MIB / 4 => Ok(()),
        other => Err(format!("{:?}", other.map(|found| found.len()))),
    });
    world.a.wait_for_state("idle");
    assert_eq!(fs::read_dir(there(".filesync/staging")).unwrap().count(), 0);
    // With `--once` it has an exit code of its own.
    world.a.stop();
    fs::write(world.a.at("large"), &large).unwrap();
    world.a.once(&[]).expect_code(7).expect_words(&["large", "room"]);
    assert_eq!(process.terminate(), 143);
}

/// Where a file may not become long enough the write fails, and the process goes on.
#[test]
fn a_file_too_long_for_the_client() {
    let world = World::new();
    world.server.put_new("large", vec![b'x'; MIB]).expect(201);
    world.server.put_new("small", "small").expect(201);
    fill(&world.b.folder);
    let mut command = world.b.command();
    command.arg("--once").arg(&world.b.folder);
    run(&mut with_short_files(MIB / 4, &command)).expect_code(7).expect_words(&["large"]);
    assert_eq!(fs::read(world.b.at("small")).unwrap(), b"small");
    assert!(!world.b.at("large").exists() && world.server.folder.join("kept/0").exists());
    world.b.once(&[]).expect_code(0);
    assert_eq!(fs::read(world.b.at("large")).unwrap().len(), MIB);
}

#[test]
fn a_file_too_long_for_the_server() {
    let mut world = World::new();
    world.server.stop();
    let mut command = program("server");
    command.arg("--listen").arg(&world.server.address).arg("--box").arg(&world.server.folder);
    let mut process = Process::spawn("short", world.directory(), &mut with_short_files(MIB / 4, &command));
    eventually("the server to listen", || {
        if process.output().is_empty() { Err("not yet".into()) } else { Ok(()) }
    });
    fill(&world.a.folder);
    fs::write(world.a.at("large"), vec![b'x'; MIB]).unwrap();
    world.a.once(&[]).expect_code(7).expect_words(&["large"]);
    assert!(world.server.folder.join("kept/0").exists() && !world.server.folder.join("large").exists());
    assert_eq!(process.terminate(), 143);
    world.server.start();
    world.a.once(&[]).expect_code(0);
    assert_eq!(fs::read(world.server.folder.join("large")).unwrap().len(), MIB);
}

/// The server refuses what can't fit before it has read it.
#[test]
fn a_body_that_cannot_fit_is_not_read() {
    let world = World::new();
    let mut connection = world.server.connect();
    let request = world.server.request("PUT", "/upload/huge").field("If-None-Match", "*");
    connection.send(
        request.field("Expect", "100-continue").field("Content-Length", "9000000000000000000").encode(),
    );
    connection.response().expect(507);
    let request = world.server.request("PUT", "/upload/fits").field("If-None-Match", "*");
    world.server.ask(&request.field("Repr-Digest", &repr_digest(b"fits")).body("fits")).expect(201);
}
