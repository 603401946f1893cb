//! Changes made while a client or the server was down, and ends in the middle of things.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Client, World, eventually, snapshot};

/// Things to be changed by [`change`].
fn fill(folder: &Path) {
    for name in ["keep.txt", "edit.txt", "delete.txt"] {
        fs::write(folder.join(name), name).unwrap();
    }
    fs::create_dir_all(folder.join("full/inside")).unwrap();
    fs::write(folder.join("full/inside/file"), "inside").unwrap();
    fs::create_dir(folder.join("hollow")).unwrap();
}

/// One change of each kind, all of them below or beginning with `name`.
fn change(client: &Client, name: &str) {
    fs::write(client.at(format!("{name} made.txt")), name).unwrap();
    fs::create_dir(client.at(format!("{name} directory"))).unwrap();
    fs::write(client.at("edit.txt"), format!("edited by {name}")).unwrap();
    fs::remove_file(client.at("delete.txt")).unwrap();
    fs::remove_dir_all(client.at("full")).unwrap();
    fs::remove_dir(client.at("hollow")).unwrap();
}

/// What is there after `fill` and `change`.
#[track_caller]
fn check_changed(world: &mut World, name: &str) {
    let tree = world.settle();
    let paths: Vec<String> = tree.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    assert_eq!(
        paths,
        [format!("{name} directory"), format!("{name} made.txt"), "edit.txt".into(), "keep.txt".into()]
    );
    assert_eq!(
        fs::read_to_string(world.server.folder.join("edit.txt")).unwrap(),
        format!("edited by {name}")
    );
}

#[test]
fn changes_made_while_their_own_client_is_down() {
    let mut world = World::live_with(fill);
    world.a.stop();
    change(&world.a, "a");
    world.a.start();
    check_changed(&mut world, "a");
}

#[test]
fn changes_made_while_the_other_client_is_down() {
    let mut world = World::live_with(fill);
    world.b.stop();
    change(&world.a, "a");
    world.settle();
    world.b.start();
    check_changed(&mut world, "a");
}

#[test]
fn changes_made_while_the_server_is_down() {
    let mut world = World::live_with(fill);
    world.server.stop();
    world.a.wait_for_state("offline");
    change(&world.a, "a");
    fs::write(world.b.at("b made.txt"), "b").unwrap();
    world.server.start();
    world.b.wait_for_content("a made.txt", b"a");
    world.a.wait_for_content("b made.txt", b"b");
    fs::remove_file(world.a.at("b made.txt")).unwrap();
    world.b.wait_for_absence("b made.txt");
    check_changed(&mut world, "a");
}

/// A directory that was deleted here comes back for what was edited in it there, with the permissions that it has there.
#[test]
fn a_directory_that_is_made_again_keeps_its_mode() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut world = World::live_with(|folder| {
        for name in ["private", "private/deep", "private/deep/er"] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o700)).unwrap();
            fs::write(folder.join(name).join("file"), "before").unwrap();
        }
    });
    world.a.stop();
    fs::remove_dir_all(world.a.at("private")).unwrap();
    fs::write(world.b.at("private/deep/er/file"), "after").unwrap();
    world.settle();
    world.a.start();
    world.a.wait_for_content("private/deep/er/file", b"after");
    world.settle();
    for folder in [&world.server.folder, &world.a.folder, &world.b.folder] {
        for name in ["private", "private/deep", "private/deep/er"] {
            assert_eq!(mode(&folder.join(name)), 0o700, "{name} in {}", folder.display());
        }
    }
}

#[test]
fn one_pass_at_a_time_is_enough() {
    let world = World::new();
    fill(&world.a.folder);
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    change(&world.b, "b");
    world.b.once(&[]).expect_code(0);
    world.a.once(&[]).expect_code(0);
    let tree = snapshot(&world.server.folder).unwrap();
    assert_eq!(snapshot(&world.a.folder).unwrap(), tree);
    assert_eq!(snapshot(&world.b.folder).unwrap(), tree);
    assert_eq!(world.a.status().get("state").text(), "stopped");
}

/// Enough to be caught in the middle: many small files, and some that take a while.
fn fill_much(folder: &Path) {
    for number in 0..300 {
        fs::write(folder.join(format!("small {number}")), format!("content of {number}")).unwrap();
    }
    for number in 0..4_u8 {
        fs::write(folder.join(format!("large {number}")), vec![number; 24 << 20]).unwrap();
    }
}

/// Waits until some of the files have arrived in a folder, but not all.
#[track_caller]
fn wait_for_the_middle(folder: &Path) {
    eventually("the first files to arrive", || {
        let count = fs::read_dir(folder).map_err(|error| error.to_string())?.count();
        if 20 < count { Ok(()) } else { Err(format!("{count} are there")) }
    });
}

#[test]
fn the_server_is_killed_in_the_middle() {
    let mut world = World::new();
    fill_much(&world.a.folder);
    world.start_clients();
    for _ in 0..3 {
        wait_for_the_middle(&world.server.folder);
        world.server.kill();
        world.server.start();
    }
    assert_eq!(world.settle().len(), 304);
}

#[test]
fn the_clients_are_killed_in_the_middle() {
    let mut world = World::new();
    fill_much(&world.a.folder);
    world.start_clients();
    wait_for_the_middle(&world.server.folder);
    world.a.kill();
    world.a.start();
    wait_for_the_middle(&world.b.folder);
    world.b.kill();
    world.b.start();
    assert_eq!(world.settle().len(), 304);
}
