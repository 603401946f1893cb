//! Names that Linux allows and others stumble over. A name is bytes, and comes through as it is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::harness::{World, eventually};

/// Names that mean something to a shell, a URL, a header, a terminal, a log, or a normalising file system.
fn strange_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        b"not UTF-8 \xff\xfe\x80".as_slice(),
        b"line\nbreak",
        b"carriage\r\nX-Injected: yes",
        b"tab\tand escape \x1b[31m",
        b"with  spaces  ",
        b" ",
        b"100%",
        b"%2e%2e",
        b"%2F",
        b"a#fragment",
        b"what?",
        b"a?b=c&d",
        b"one+two",
        b"semi;colon",
        b"back\\slash",
        b"quote\"quote'quote",
        b"-rf",
        b"--help",
        b"~",
        b"$HOME `id` $(id)",
        b"...",
        b".hidden",
        b"CON",
        b"*",
        b"\x01\x7f",
        "caf\u{e9}".as_bytes(),
        "cafe\u{301}".as_bytes(),
        "K\u{212a}".as_bytes(),
        "\u{1f980}".as_bytes(),
        b"Case",
        b"case",
        b".filesync.txt",
        b"filesync",
    ]
    .map(<[u8]>::to_vec)
    .into();
    names.push(vec![b'n'; 255]);
    names.push(vec![0xff; 255]);
    names
}

#[test]
fn every_name_travels_both_ways_and_as_a_directory() {
    let mut world = World::live();
    let names = strange_names();
    for name in &names {
        let path = world.a.at(OsStr::from_bytes(name));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(OsStr::from_bytes(name)), name).unwrap();
        symlink(OsStr::from_bytes(name), path.join("link")).unwrap();
    }
    assert_eq!(world.settle().len(), names.len() * 3);

    // Back again: an edit, and a delete, by the other side.
    for name in &names {
        let path = world.b.at(OsStr::from_bytes(name));
        fs::write(path.join(OsStr::from_bytes(name)), b"edited by b").unwrap();
        fs::remove_file(path.join("link")).unwrap();
    }
    world.a.wait_for_absence(Path::new(OsStr::from_bytes(&names[0])).join("link"));
    let tree = world.settle();
    assert_eq!(tree.len(), names.len() * 2);
    for name in &names {
        let path = world.a.at(OsStr::from_bytes(name)).join(OsStr::from_bytes(name));
        assert_eq!(fs::read(path).unwrap(), b"edited by b", "{}", name.escape_ascii());
    }
}

#[test]
fn a_long_way_down() {
    let mut world = World::live();
    let path = ["d"; 200].join("/");
    fs::create_dir_all(world.a.at(&path)).unwrap();
    fs::write(world.a.at(&path).join("leaf"), "deep").unwrap();
    assert_eq!(world.settle().len(), 201);
}

/// Two hundred levels of long names, down to a path of 3,950 bytes. A path that is longer than one may be is said by name, and keeps
/// nothing else from syncing. It takes a program that goes there step by step to make one: no system call takes it as a whole.
#[test]
fn as_long_as_a_path_can_be() {
    let mut world = World::live();
    let deep = ["d".repeat(18).as_str(); 200].join("/");
    let leaf = format!("{deep}/{}", "l".repeat(150));
    fs::create_dir_all(world.a.at(&deep)).unwrap();
    fs::write(world.a.at(&leaf), "by a").unwrap();
    assert_eq!(world.settle().len(), 201);

    let last = "t".repeat(240);
    let mut shell = Command::new("sh");
    shell.args(["-c", "mkdir $0 && cd $0 && echo long >$0-and-on", &last]).current_dir(world.a.at(&deep));
    assert!(shell.status().unwrap().success());
    let words = format!("the path is longer than 4095 bytes: {deep}/{last}/{last}-and-on; it is not synced");
    eventually("the path that is too long is said", || {
        let status = world.a.status();
        let said = status.get("problems").list().iter().any(|problem| problem.get("error").text() == words);
        if said { Ok(()) } else { Err(format!("{status:?}")) }
    });

    fs::write(world.b.at(&leaf), "by b").unwrap();
    world.a.wait_for_content(&leaf, b"by b");
    world.b.wait_until(format!("{deep}/{last}"), "is a directory", Path::is_dir);
    world.a.wait_for_state("idle");
}

/// A conflict copy of a name that is already as long as a name can be.
#[test]
fn the_conflict_copy_of_the_longest_name() {
    let mut world = World::new();
    let name = format!("{}.txt", "n".repeat(251));
    fs::write(world.a.at(&name), "by a").unwrap();
    fs::write(world.b.at(&name), "by b").unwrap();
    world.start_clients();
    let tree = world.settle();
    assert_eq!(tree.len(), 2, "{tree:?}");
    assert!(tree.keys().all(|path| path.len() <= 255 && path.ends_with(b".txt")));
}

/// Another synced folder inside the folder keeps its private records to itself.
#[test]
fn the_reserved_name_stays_at_home() {
    let world = World::live();
    fs::create_dir_all(world.a.at("inner/.filesync")).unwrap();
    fs::write(world.a.at("inner/.filesync/key"), "secret").unwrap();
    fs::write(world.a.at("inner/file"), "file").unwrap();
    world.b.wait_for_content("inner/file", b"file");
    assert!(!world.b.at("inner/.filesync").exists());
    assert!(!world.server.folder.join("inner/.filesync").exists());
}
