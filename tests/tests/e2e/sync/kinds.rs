//! Files, links and directories that take each other's names; the directory keeps the name where something unseen is in it. And files and
//! links that are special in other ways.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use crate::harness::{World, is_full};

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

/// Links that lead in a circle or out of the folder are links like any other: they arrive as they are, and nobody follows them.
#[test]
fn links_that_loop_or_lead_out() {
    let mut world = World::live();
    let outside = world.directory().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "not ours").unwrap();
    for place in [world.a.folder.clone(), world.server.folder.clone()] {
        let name = place.file_name().unwrap().to_str().unwrap().to_owned();
        fs::create_dir(place.join(&name)).unwrap();
        let at = |link: &str| place.join(&name).join(link);
        symlink("two", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        symlink("self", at("self")).unwrap();
        symlink("..", at("up")).unwrap();
        symlink(&outside, at("out")).unwrap();
        symlink("../../outside", at("relative")).unwrap();
        world.b.wait_until(format!("{name}/relative"), "to be a link", Path::is_symlink);
        assert_eq!(world.settle().len() % 7, 0);
        assert_eq!(fs::read_link(world.b.at(&name).join("out")).unwrap(), outside);
    }
    // A directory that becomes a link to somewhere else is that link, and what was in it is gone on the other side: not what is there.
    fs::create_dir(world.a.at("d")).unwrap();
    fs::write(world.a.at("d/secret"), "ours").unwrap();
    world.b.wait_for_content("d/secret", b"ours");
    world.settle();
    fs::remove_dir_all(world.a.at("d")).unwrap();
    symlink(&outside, world.a.at("d")).unwrap();
    world.b.wait_until("d", "to be a link", Path::is_symlink);
    fs::write(outside.join("new"), "not ours either").unwrap();
    world.settle();
    let mut names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["new", "secret"]);
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "not ours");
}

/// A file that is mostly a hole arrives equal, and costs no more of the disk than it did; an empty one arrives, too.
#[test]
fn a_file_with_a_hole_and_an_empty_one() {
    let size: u64 = if is_full() { 10 << 30 } else { 64 << 20 };
    let mut world = World::live();
    fs::write(world.a.at("empty"), "").unwrap();
    let file = File::create(world.a.at("sparse")).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"at the beginning", 0).unwrap();
    file.write_all_at(b"in the middle", size / 2 + 4321).unwrap();
    file.write_all_at(b"at the end", size - 10).unwrap();
    drop(file);
    world.b.wait_until("sparse", "to have its size", |path| {
        fs::metadata(path).is_ok_and(|found| found.len() == size)
    });
    assert_eq!(world.settle_within(crate::harness::DEADLINE * 20).len(), 2);
    for place in [&world.a.folder, &world.server.folder, &world.b.folder] {
        let found = fs::metadata(place.join("sparse")).unwrap();
        println!("{}: {} MiB long, {} KiB on disk", place.display(), found.len() >> 20, found.blocks() / 2);
        assert!(found.blocks() * 512 < size / 8, "the hole was filled in {}", place.display());
    }
    assert_eq!(fs::metadata(world.b.at("empty")).unwrap().len(), 0);
}
