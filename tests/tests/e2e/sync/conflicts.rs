//! Edits on both sides that did not know of each other, and deletes against edits. Nothing that anybody wrote may be lost.

use std::fs;
use std::path::Path;

use crate::harness::{Tree, World};

/// Every file's content, in order; what the names are does not matter here.
fn contents(folder: &Path, tree: &Tree) -> Vec<String> {
    let paths = tree.keys().map(|path| folder.join(String::from_utf8_lossy(path).as_ref()));
    let mut contents: Vec<String> = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
    contents.sort();
    contents
}

fn conflict_names(tree: &Tree) -> Vec<String> {
    let names = tree.keys().map(|path| String::from_utf8_lossy(path).into_owned());
    names.filter(|name| name.contains(" (conflict ")).collect()
}

/// Both clients are stopped after they have agreed on `file.txt`, changed apart, and started again.
#[track_caller]
fn meet_again(change: impl FnOnce(&World)) -> (World, Tree) {
    let mut world = World::live_with(|folder| fs::write(folder.join("file.txt"), "base").unwrap());
    world.stop_clients();
    change(&world);
    // One after the other, so that it is certain whose version the server has.
    world.a.start();
    world.settle();
    world.b.start();
    let tree = world.settle();
    (world, tree)
}

#[test]
fn both_edits_survive_everywhere() {
    let (mut world, tree) = meet_again(|world| {
        fs::write(world.a.at("file.txt"), "by a").unwrap();
        fs::write(world.b.at("file.txt"), "by b, and longer").unwrap();
    });
    assert_eq!(contents(&world.server.folder, &tree), ["by a", "by b, and longer"]);
    assert_eq!(
        fs::read_to_string(world.b.at("file.txt")).unwrap(),
        "by a",
        "the server's version keeps the name"
    );
    let names = conflict_names(&tree);
    assert!(
        matches!(names.as_slice(), [name] if name.starts_with("file (conflict beta ") && name.ends_with(").txt")),
        "{names:?}"
    );

    // It is an ordinary file from now on, and edits of it on both sides don't make names grow.
    world.stop_clients();
    fs::write(world.a.at(&names[0]), "copy by a").unwrap();
    fs::write(world.b.at(&names[0]), "copy by b").unwrap();
    world.a.start();
    world.settle();
    world.b.start();
    let tree = world.settle();
    assert_eq!(contents(&world.server.folder, &tree), ["by a", "copy by a", "copy by b"]);
    assert!(conflict_names(&tree).iter().all(|name| name.matches("(conflict").count() == 1), "{tree:?}");
}

#[test]
fn live_edits_on_both_sides_at_once_lose_nothing() {
    let mut world = World::live_with(|folder| fs::write(folder.join("file.txt"), "base").unwrap());
    for round in 0..5 {
        fs::write(world.a.at("file.txt"), format!("a in round {round}")).unwrap();
        fs::write(world.b.at("file.txt"), format!("b in round {round}")).unwrap();
        let tree = world.settle();
        let found = contents(&world.server.folder, &tree);
        // What a wrote may have arrived before b wrote, and then b has replaced it knowingly. What b wrote nobody has replaced.
        assert!(found.contains(&format!("b in round {round}")), "{found:?}");
    }
}

#[test]
fn equal_edits_are_no_conflict() {
    let (world, tree) = meet_again(|world| {
        fs::write(world.a.at("file.txt"), "the same").unwrap();
        fs::write(world.b.at("file.txt"), "the same").unwrap();
        fs::write(world.a.at("new.txt"), "new").unwrap();
        fs::write(world.b.at("new.txt"), "new").unwrap();
        fs::create_dir(world.a.at("directory")).unwrap();
        fs::create_dir(world.b.at("directory")).unwrap();
    });
    assert_eq!(tree.len(), 3, "{tree:?}");
    assert_eq!(contents(&world.server.folder, &tree), ["new", "the same"]);
}

#[test]
fn first_contact_of_two_full_folders_is_their_union() {
    let mut world = World::new();
    for client in [&world.a, &world.b] {
        fs::write(client.at(format!("only {}.txt", client.name)), client.name).unwrap();
        fs::write(client.at("equal.txt"), "equal").unwrap();
        fs::write(client.at("different.txt"), format!("by {}", client.name)).unwrap();
        fs::create_dir(client.at("shared")).unwrap();
        fs::write(client.at(format!("shared/{}", client.name)), "").unwrap();
    }
    fs::write(world.server.folder.join("in the box.txt"), "box").unwrap();
    world.start_clients();
    let tree = world.settle();
    assert_eq!(
        contents(&world.server.folder, &tree),
        ["", "", "alpha", "beta", "box", "by alpha", "by beta", "equal"]
    );
    assert_eq!(conflict_names(&tree).len(), 1);
}

#[test]
fn an_edit_beats_a_delete() {
    for (who_edits, who_deletes) in [("a", "b"), ("b", "a")] {
        let (_world, tree) = meet_again(|world| {
            let (editor, deleter) =
                if who_edits == "a" { (&world.a, &world.b) } else { (&world.b, &world.a) };
            fs::write(editor.at("file.txt"), "edited").unwrap();
            fs::remove_file(deleter.at("file.txt")).unwrap();
        });
        assert_eq!(tree.len(), 1, "{who_edits} edits, {who_deletes} deletes: {tree:?}");
        assert!(tree.contains_key(b"file.txt".as_slice()));
    }
}

#[test]
fn both_delete() {
    let (_world, tree) = meet_again(|world| {
        fs::remove_file(world.a.at("file.txt")).unwrap();
        fs::remove_file(world.b.at("file.txt")).unwrap();
    });
    assert!(tree.is_empty(), "{tree:?}");
}

#[test]
fn a_directory_and_a_file_of_one_name_both_survive() {
    let (world, tree) = meet_again(|world| {
        fs::write(world.a.at("it"), "the file").unwrap();
        fs::create_dir(world.b.at("it")).unwrap();
        fs::write(world.b.at("it/inside"), "inside the directory").unwrap();
    });
    assert_eq!(contents(&world.server.folder, &tree), ["base", "inside the directory", "the file"]);
    assert!(world.a.at("it").is_dir(), "the directory keeps the name");
}

#[test]
fn a_deleted_directory_keeps_what_was_added_to_it() {
    let mut world = World::live_with(|folder| {
        fs::create_dir(folder.join("directory")).unwrap();
        fs::write(folder.join("directory/old"), "old").unwrap();
    });
    world.stop_clients();
    fs::remove_dir_all(world.a.at("directory")).unwrap();
    fs::write(world.b.at("directory/new"), "new").unwrap();
    world.a.start();
    world.settle();
    world.b.start();
    let tree = world.settle();
    assert_eq!(contents(&world.server.folder, &tree), ["new"]);
    assert!(tree.contains_key(b"directory/new".as_slice()), "{tree:?}");
}

/// The same content, put back where it was, is a version of its own: whoever deleted the one before has not seen it.
#[test]
fn what_was_put_back_is_not_what_was_deleted() {
    let mut world = World::live_with(|folder| fs::write(folder.join("file.txt"), "content").unwrap());
    world.stop_clients();
    let server = &world.server;
    server.ask(&server.request("DELETE", "/upload/file.txt").field("If-Match", "*")).expect(204);
    server
        .ask(&server.request("PUT", "/upload/file.txt").field("If-None-Match", "*").body("content"))
        .expect(201);
    fs::remove_file(world.b.at("file.txt")).unwrap();
    world.b.start();
    assert_eq!(world.settle().len(), 1);
    world.a.start();
    assert_eq!(world.settle().len(), 1);
    // What was agreed on anew can be deleted.
    fs::remove_file(world.a.at("file.txt")).unwrap();
    assert_eq!(world.settle().len(), 0);
}

/// A delete that the server has made, while the client was killed before it heard so, and the user has undone it meanwhile.
#[test]
fn a_delete_of_ones_own_that_was_undone() {
    let mut world = World::live_with(|folder| fs::write(folder.join("file.txt"), "content").unwrap());
    let status = world.server.status();
    let beta = status.get("clients").list().iter().find(|client| client.get("name").text() == "beta");
    let id = beta.expect("it is connected").get("id").text().to_owned();
    world.stop_clients();
    let delete = world.server.request("DELETE", "/upload/file.txt").field("If-Match", "*");
    world.server.ask(&delete.field("Sync-Client", &id)).expect(204);
    world.b.start();
    assert_eq!(world.settle().len(), 1, "what is there now came after the delete");
    world.a.start();
    assert_eq!(world.settle().len(), 1);
}

/// A client that was killed after it had fetched the server's file aside, and before it remembered that, does not fetch it once more.
#[test]
fn a_copy_that_was_fetched_aside_already_is_not_fetched_again() {
    let mut world = World::new();
    fs::write(world.b.at("x"), "of b").unwrap();
    world.b.start();
    world.settle();
    fs::create_dir(world.a.at("x")).unwrap();
    fs::write(world.a.at("x/inside"), "of a").unwrap();
    fs::write(world.a.at("x (conflict alpha 2026-11-22 150405)"), "of b").unwrap();
    world.a.start();
    let tree = world.settle();
    assert_eq!(conflict_names(&tree), ["x (conflict alpha 2026-11-22 150405)"]);
    assert_eq!(contents(&world.server.folder, &tree), ["of a", "of b"]);
}
