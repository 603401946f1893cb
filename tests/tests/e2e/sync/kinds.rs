//! Files, links and directories that take each other's names. The directory keeps the name where something unseen is in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::World;

/// Both know `d` with `old` in it. Then `a` puts something else in its place, while `b` adds to it; they meet in this order.
#[track_caller]
fn replaced_here_added_to_there(replace: impl FnOnce(&Path), first: &str) {
    let mut world = World::live_with(|folder| {
        fs::create_dir(folder.join("d")).unwrap();
        fs::write(folder.join("d/old"), "old").unwrap();
    });
    world.stop_clients();
    fs::remove_dir_all(world.a.at("d")).unwrap();
    replace(&world.a.at("d"));
    fs::write(world.b.at("d/new"), "new").unwrap();
    match first {
        "a" => world.a.start(),
        _ => world.b.start(),
    }
    world.settle();
    match first {
        "a" => world.b.start(),
        _ => world.a.start(),
    }
    let tree = world.settle();
    assert_eq!(fs::read_to_string(world.a.at("d/new")).unwrap(), "new");
    assert!(!tree.contains_key(b"d/old".as_slice()), "{:?}", tree.keys());
    let copies = tree.keys().filter(|path| path.starts_with(b"d (conflict ")).count();
    assert_eq!((tree.len(), copies), (3, 1), "{:?}", tree.keys());
}

#[test]
fn a_file_takes_the_name_of_a_directory_that_another_adds_to() {
    replaced_here_added_to_there(|path| fs::write(path, "file").unwrap(), "b");
    replaced_here_added_to_there(|path| fs::write(path, "file").unwrap(), "a");
}

#[test]
fn a_link_takes_the_name_of_a_directory_that_another_adds_to() {
    replaced_here_added_to_there(|path| symlink("elsewhere", path).unwrap(), "b");
    replaced_here_added_to_there(|path| symlink("elsewhere", path).unwrap(), "a");
}
