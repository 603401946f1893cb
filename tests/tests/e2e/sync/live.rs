//! Changes in one folder that appear in the other while everything runs.
//!
//! Each must arrive within about a second on an idle machine. The time is printed, and asserted with room for a busy one.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Client, World};

/// Five times what is wanted, since other tests run at the same time.
const SOON: Duration = Duration::from_secs(5);

#[track_caller]
fn expect_soon(what: &str, took: Duration) {
    println!("{what}: {} ms", took.as_millis());
    assert!(took < SOON, "{what} took {took:?}");
}

/// A file is made, edited and deleted in one folder, and each shows in the other.
#[track_caller]
fn follow_a_file(source: &Client, target: &Client) {
    let way = format!("{} to {}", source.name, target.name);
    for (what, content) in [("create", "one"), ("edit", "two, and longer"), ("empty", "")] {
        fs::write(source.at("file.txt"), content).unwrap();
        expect_soon(&format!("{what}, {way}"), target.wait_for_content("file.txt", content.as_bytes()));
    }
    fs::remove_file(source.at("file.txt")).unwrap();
    expect_soon(&format!("delete, {way}"), target.wait_for_absence("file.txt"));
}

#[test]
fn files_travel_both_ways() {
    let mut world = World::live();
    follow_a_file(&world.a, &world.b);
    follow_a_file(&world.b, &world.a);
    assert!(world.settle().is_empty());
}

#[test]
fn directories_travel_empty_or_full() {
    let mut world = World::live();
    fs::create_dir(world.a.at("empty")).unwrap();
    fs::create_dir_all(world.a.at("one/two/three")).unwrap();
    fs::write(world.a.at("one/two/three/leaf.txt"), "leaf").unwrap();
    fs::write(world.a.at("one/two/branch.txt"), "branch").unwrap();
    expect_soon("directories", world.b.wait_for_content("one/two/three/leaf.txt", b"leaf"));
    world.b.wait_until("empty", "to be a directory", Path::is_dir);
    assert_eq!(world.settle().len(), 6);

    fs::remove_dir_all(world.b.at("one")).unwrap();
    fs::remove_dir(world.b.at("empty")).unwrap();
    world.a.wait_for_absence("one");
    world.a.wait_for_absence("empty");
    assert!(world.settle().is_empty());
}

#[test]
fn a_tree_of_many_directories_made_at_once_arrives_whole() {
    let mut world = World::live();
    for number in 0..200 {
        let directory = world.a.at(format!("tree/{}/{}", number % 7, number));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), number.to_string()).unwrap();
    }
    assert_eq!(world.settle().len(), 1 + 7 + 200 + 200);
}

#[test]
fn symlinks_travel_as_links() {
    let mut world = World::live();
    fs::write(world.a.at("target.txt"), "target").unwrap();
    symlink("target.txt", world.a.at("to-file")).unwrap();
    symlink("nowhere/at/all", world.a.at("dangling")).unwrap();
    symlink("/", world.a.at("to-root")).unwrap();
    symlink(".", world.a.at("to-itself")).unwrap();
    world.b.wait_until("to-itself", "to be a link", Path::is_symlink);
    assert_eq!(world.settle().len(), 5);
    assert_eq!(fs::read_link(world.b.at("dangling")).unwrap(), Path::new("nowhere/at/all"));

    // A link is changed by making another in its place.
    fs::remove_file(world.b.at("to-file")).unwrap();
    symlink("dangling", world.b.at("to-file")).unwrap();
    world.a.wait_until("to-file", "to point elsewhere", |path| {
        fs::read_link(path).is_ok_and(|target| target == Path::new("dangling"))
    });
    fs::remove_file(world.b.at("to-root")).unwrap();
    world.a.wait_for_absence("to-root");
    assert_eq!(world.settle().len(), 4);
}

#[test]
fn renames_travel() {
    let mut world = World::live_with(|folder| {
        fs::write(folder.join("old.txt"), "content").unwrap();
        fs::create_dir_all(folder.join("here/inside")).unwrap();
        fs::write(folder.join("here/inside/file"), "inside").unwrap();
        fs::write(folder.join("x"), "was x").unwrap();
        fs::write(folder.join("y"), "was y").unwrap();
    });
    fs::rename(world.a.at("old.txt"), world.a.at("new.txt")).unwrap();
    fs::rename(world.a.at("here"), world.a.at("there")).unwrap();
    fs::rename(world.a.at("x"), world.a.at("z")).unwrap();
    fs::rename(world.a.at("y"), world.a.at("x")).unwrap();
    fs::rename(world.a.at("z"), world.a.at("y")).unwrap();
    world.b.wait_for_content("there/inside/file", b"inside");
    world.b.wait_for_content("new.txt", b"content");
    world.b.wait_for_content("x", b"was y");
    world.b.wait_for_content("y", b"was x");
    world.b.wait_for_absence("here");
    world.b.wait_for_absence("old.txt");
    assert_eq!(world.settle().len(), 6);
}

#[test]
fn time_and_permissions_travel_with_the_content_and_alone() {
    let mut world = World::live();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    fs::write(world.a.at("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(world.a.at("script"), Permissions::from_mode(0o750)).unwrap();
    File::options().write(true).open(world.a.at("script")).unwrap().set_modified(time).unwrap();
    let has_both = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| {
            metadata.modified().is_ok_and(|modified| modified == time) && metadata.mode() & 0o7777 == 0o750
        })
    };
    world.b.wait_until("script", "to have time and mode", has_both);
    world.settle();

    fs::set_permissions(world.b.at("script"), Permissions::from_mode(0o600)).unwrap();
    world.a.wait_until("script", "to have the new mode", |path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o7777 == 0o600)
    });
    let earlier = time - Duration::from_secs(86_400);
    File::options().write(true).open(world.b.at("script")).unwrap().set_modified(earlier).unwrap();
    world.a.wait_until("script", "to have the new time", |path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.modified().is_ok_and(|modified| modified == earlier))
    });
    world.settle();
}

#[test]
fn one_kind_takes_the_place_of_another() {
    let mut world = World::live_with(|folder| fs::write(folder.join("it"), "a file").unwrap());
    fs::remove_file(world.a.at("it")).unwrap();
    fs::create_dir(world.a.at("it")).unwrap();
    fs::write(world.a.at("it/inside"), "inside").unwrap();
    world.b.wait_for_content("it/inside", b"inside");
    world.settle();

    fs::remove_dir_all(world.b.at("it")).unwrap();
    symlink("elsewhere", world.b.at("it")).unwrap();
    world.a.wait_until("it", "to be a link", Path::is_symlink);
    world.settle();

    fs::remove_file(world.a.at("it")).unwrap();
    fs::write(world.a.at("it"), "a file again").unwrap();
    world.b.wait_for_content("it", b"a file again");
    assert_eq!(world.settle().len(), 1);
}

/// What editors do to save a file: write another and rename it, keep a backup, truncate and write, leave lock files for a moment.
#[test]
fn editors_save_in_many_ways() {
    let mut world = World::live_with(|folder| fs::write(folder.join("text"), "version 0").unwrap());
    for version in 1..=5 {
        let content = format!("version {version}");
        fs::write(world.a.at(".text.swp"), "lock").unwrap();
        match version % 3 {
            0 => fs::write(world.a.at("text"), &content).unwrap(),
            1 => {
                fs::write(world.a.at("text.new"), &content).unwrap();
                fs::rename(world.a.at("text.new"), world.a.at("text")).unwrap();
            }
            _ => {
                fs::rename(world.a.at("text"), world.a.at("text~")).unwrap();
                fs::write(world.a.at("text"), &content).unwrap();
                fs::remove_file(world.a.at("text~")).unwrap();
            }
        }
        fs::remove_file(world.a.at(".text.swp")).unwrap();
        world.b.wait_for_content("text", content.as_bytes());
    }
    let tree = world.settle();
    assert_eq!(tree.len(), 1, "nothing is left of how the file was saved: {tree:?}");
}

/// After agreement there is nothing more to do: no echo of own downloads, nothing new after a restart of everything.
#[test]
fn agreement_is_quiet() {
    let mut world = World::live_with(|folder| {
        for number in 0..30 {
            fs::write(folder.join(format!("{number}.txt")), number.to_string()).unwrap();
        }
    });
    let (cursor, tree) = (world.server.cursor(), world.settle());
    world.stop_clients();
    world.server.stop();
    world.server.start();
    world.start_clients();
    assert_eq!(world.settle(), tree);
    assert_eq!(world.server.cursor(), cursor, "restarting everything changes nothing");
}

/// Both new names want to take the content from the same old one, at the same moment.
#[test]
fn one_file_becomes_two() {
    let mut world = World::live_with(|folder| fs::write(folder.join("old"), "content").unwrap());
    world.b.stop();
    fs::rename(world.a.at("old"), world.a.at("new 1")).unwrap();
    fs::write(world.a.at("new 2"), "content").unwrap();
    world.settle();
    world.b.start();
    assert_eq!(world.settle().len(), 2);
    // Nothing is held back since.
    fs::remove_file(world.a.at("new 1")).unwrap();
    assert_eq!(world.settle().len(), 1);
}
