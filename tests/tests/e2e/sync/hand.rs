//! Changes made by hand in the box: they are changes like any other.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::World;

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
