//! Folders and boxes that are not what they were: emptied, unmounted, moved away, replaced, copied. Nothing that is missing because of
//! that is taken for deleted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Client, Node, Request, Server, Tree, World, agreement, eventually, run, snapshot};

/// Few enough that no guard minds if all of them go, so that what keeps them is that they are not taken for deleted.
const FEW: usize = 15;
/// So many that a guard minds.
const MANY: usize = 40;

fn files(count: usize) -> impl Fn(&Path) {
    move |folder| {
        for number in 0..count {
            fs::write(folder.join(format!("{number}")), number.to_string()).unwrap();
        }
    }
}

/// The name of a folder that was moved away.
fn away(folder: &Path) -> PathBuf {
    folder.with_extension("away")
}

#[track_caller]
fn wait_for_log(what: &str, log: impl Fn() -> String, words: &str) {
    eventually(what, || if log().contains(words) { Ok(()) } else { Err(log()) });
}

#[track_caller]
fn expect_files(folder: &Path, count: usize) {
    let tree = snapshot(folder).unwrap();
    assert_eq!(tree.len(), count, "{}: {:?}", folder.display(), tree.keys());
}

// ---- The folder ------------------------------------------------------------------------------------------------------------------------

const GONE: &str = "the folder is not in its place, or its .filesync is missing";

/// Moved away while its client runs, and something else in its place or nothing; what is deleted over there is no business of ours until
/// it is back, and then it is.
#[test]
fn a_folder_that_is_moved_away_and_comes_back() {
    for replaced in [false, true] {
        let mut world = World::live_with(files(FEW));
        let (here, there) = (world.a.folder.clone(), away(&world.a.folder));
        fs::rename(&here, &there).unwrap();
        if replaced {
            fs::create_dir(&here).unwrap();
            fs::write(here.join("another folder"), "x").unwrap();
        }
        fs::remove_file(there.join("0")).unwrap();
        fs::write(there.join("1"), "edited over there").unwrap();
        wait_for_log("the client to say so", || world.a.log(), GONE);
        // That b and the server go on shows that there was time to do harm.
        fs::write(world.b.at("by b"), "b").unwrap();
        eventually("b's file to be in the box", || {
            fs::read(world.server.folder.join("by b")).map_err(|error| error.to_string())
        });
        expect_files(&world.server.folder, FEW + 1);
        if replaced {
            assert_eq!(snapshot(&here).unwrap().len(), 1, "nothing is put into what is not the folder");
            fs::remove_dir_all(&here).unwrap();
        }
        fs::rename(&there, &here).unwrap();
        world.b.wait_for_absence("0");
        world.b.wait_for_content("1", b"edited over there");
        world.a.wait_for_content("by b", b"b");
        world.settle();
    }
}

/// All of it, with the private directory, as `rm -r` does it.
#[test]
fn a_folder_that_is_emptied() {
    let mut world = World::live_with(files(MANY));
    fs::remove_dir_all(world.a.at(".filesync")).unwrap();
    for number in 0..MANY {
        fs::remove_file(world.a.at(number.to_string())).unwrap();
    }
    wait_for_log("the client to say so", || world.a.log(), GONE);
    fs::write(world.b.at("by b"), "b").unwrap();
    eventually("b's file to be in the box", || {
        fs::read(world.server.folder.join("by b")).map_err(|error| error.to_string())
    });
    expect_files(&world.server.folder, MANY + 1);
    expect_files(&world.b.folder, MANY + 1);
    // Whoever starts a client anew gets everything back.
    world.a.stop();
    world.a.start();
    assert_eq!(world.settle().len(), MANY + 1);
}

/// Everything but the private directory: what looks like a mass deletion is one, and held; `--once` says so with its code.
#[test]
fn a_folder_whose_files_are_gone() {
    let mut world = World::live_with(files(MANY));
    for number in 0..MANY {
        fs::remove_file(world.a.at(number.to_string())).unwrap();
    }
    world.a.wait_for_state("held");
    expect_files(&world.server.folder, MANY);
    world.a.stop();
    world.a.once(&[]).expect_code(4).expect_words(&["--force"]);
    expect_files(&world.server.folder, MANY);
    expect_files(&world.b.folder, MANY);
    // Put back, they are what they were.
    files(MANY)(&world.a.folder);
    world.a.start();
    assert_eq!(world.settle().len(), MANY);
}

/// What the deletes are in the way of waits with them, and keeps nobody from saying that they are held.
#[test]
fn what_waits_for_held_deletes_is_held_with_them() {
    let mut world = World::live_with(|folder| {
        files(MANY)(folder);
        fs::create_dir(folder.join("name")).unwrap();
        fs::write(folder.join("name/inside"), "x").unwrap();
    });
    world.a.stop();
    for number in 0..MANY {
        fs::remove_file(world.a.at(number.to_string())).unwrap();
    }
    fs::remove_dir_all(world.a.at("name")).unwrap();
    fs::write(world.a.at("name"), "a file").unwrap();
    world.a.once(&[]).expect_code(4).expect_words(&["--force"]);
    world.a.start();
    world.a.wait_for_state("held");
    expect_files(&world.server.folder, MANY + 2);
    world.stop_clients();
    world.a.once(&["--force"]).expect_code(0);
    expect_files(&world.server.folder, 1);
}

/// A pass of deletes may begin when there is next to nothing: what came since counts as well.
#[test]
fn deletes_after_a_first_sync_are_held_against_all_of_it() {
    let mut world = World::live();
    fs::write(world.a.at("first"), "x").unwrap();
    world.settle();
    fs::remove_file(world.b.at("first")).unwrap();
    world.settle();
    files(3 * MANY)(&world.a.folder);
    world.settle();
    for number in 0..MANY {
        fs::remove_file(world.b.at(number.to_string())).unwrap();
    }
    assert_eq!(world.settle().len(), 2 * MANY);
    assert!(!world.b.log().contains("held"), "{}", world.b.log());
}

/// A file system with the folder on it is unmounted under the client. Where tests may not mount, the same without: see
/// [`a_folder_that_is_moved_away_and_comes_back`], which always runs.
#[test]
fn a_folder_that_is_unmounted() {
    let may_mount = ["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"];
    if !Command::new("unshare").args(may_mount).status().is_ok_and(|status| status.success()) {
        println!(
            "NOT TESTED by a real unmount, since tests may not mount here; instead, by moving the folder away"
        );
        return;
    }
    let mut world = World::live();
    world.a.stop();
    world.a.start_as(|command| {
        let mut mounted = Command::new("unshare");
        mounted.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        mounted.arg("mount -t tmpfs none \"$0\" && exec \"$@\"").arg(folder_of(&command));
        mounted.arg(command.get_program()).args(command.get_args());
        mounted
    });
    let pid = world.a.process().pid().to_string();
    let inside = |script: &str, folder: &Path| {
        let arguments =
            ["--preserve-credentials", "--user", "--mount", "--target", &pid, "sh", "-ec", script];
        let status = Command::new("nsenter").args(arguments).arg(folder).status();
        assert!(status.is_ok_and(|status| status.success()), "{script}");
    };
    eventually("the file system to be mounted", || {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap_or_default();
        if mounts.contains(world.a.folder.to_str().unwrap()) { Ok(()) } else { Err(mounts) }
    });
    inside(&format!("for n in $(seq 0 {}); do printf %s $n > \"$0/$n\"; done", FEW - 1), &world.a.folder);
    world.b.wait_until((FEW - 1).to_string(), "to arrive", |path| path.exists());
    eventually("all to arrive", || match snapshot(&world.b.folder).unwrap().len() {
        FEW => Ok(()),
        count => Err(count.to_string()),
    });
    inside("umount -l \"$0\"", &world.a.folder);
    // Something has to happen for it to be noticed soon; a regular scan would notice it later.
    fs::write(world.b.at("by b"), "b").unwrap();
    wait_for_log("the client to say so", || world.a.log(), GONE);
    expect_files(&world.server.folder, FEW + 1);
    expect_files(&world.b.folder, FEW + 1);
    expect_files(&world.a.folder, 0);
}

/// The folder in a client's command line: the last argument.
fn folder_of(command: &Command) -> std::ffi::OsString {
    command.get_args().last().expect("a client is given its folder").to_owned()
}

/// `cp -a` of a folder with its state: two folders that both say that they are the same client, and that what they hold is in agreement.
#[test]
fn a_copy_of_a_folder_is_another_folder() {
    let mut world = World::live_with(files(FEW));
    world.b.stop();
    let mut copy = world.another_client("gamma");
    copy_tree(&world.a.folder, &copy.folder);
    // Not all of it came along, and that was nobody's wish.
    for number in 0..5 {
        fs::remove_file(copy.at(number.to_string())).unwrap();
    }
    fs::write(copy.at("6"), "edited in the copy").unwrap();
    copy.start();
    copy.wait_for_content("0", b"0");
    // Without a base nobody knows which of the two is the newer one.
    wait_for_version(&world.a.folder, "edited in the copy");
    copy.wait_for_content("6", b"6");
    assert!(copy.process().log().contains("is a copy"), "{}", copy.process().log());
    let both = |world: &mut World, copy: &mut Client| {
        eventually("the folder and its copy to agree", || agreement(&world.server, [&mut world.a, copy]))
    };
    both(&mut world, &mut copy);
    // From now on each is what any client is.
    fs::remove_file(world.a.at("1")).unwrap();
    copy.wait_for_absence("1");
    fs::remove_file(copy.at("2")).unwrap();
    world.a.wait_for_absence("2");
    fs::write(copy.at("3"), "by the copy").unwrap();
    world.a.wait_for_content("3", b"by the copy");
    fs::write(world.a.at("1"), "made again").unwrap();
    copy.wait_for_content("1", b"made again");
    assert_eq!(both(&mut world, &mut copy).len(), FEW - 1 + 1);
    // It is the same folder after a restart, and after it was renamed: a delete meanwhile is a delete.
    copy.stop();
    fs::remove_file(copy.at("4")).unwrap();
    fs::rename(&copy.folder, away(&copy.folder)).unwrap();
    copy.folder = away(&copy.folder);
    copy.start();
    world.a.wait_for_absence("4");
    both(&mut world, &mut copy);
}

/// Waits until some file in a folder has this content.
#[track_caller]
fn wait_for_version(folder: &Path, content: &str) {
    eventually(&format!("{content:?} to be in {}", folder.display()), || {
        let files = fs::read_dir(folder).map_err(|error| error.to_string())?;
        let mut found = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        found.any(|found| found == content).then_some(()).ok_or_else(|| "it is not".to_owned())
    });
}

#[track_caller]
/// What is cut or missing then was never edited or deleted: nobody else loses anything by it.
#[test]
fn a_power_cut_where_nobody_waited_for_the_disk() {
    let mut world = World::new();
    world.server.stop();
    world.server.options = &["--no-fsync"];
    world.a.options = &["--no-fsync"];
    world.server.start();
    files(FEW)(&world.a.folder);
    world.start_clients();
    let whole = world.settle();
    world.b.stop();
    world.a.kill();
    world.server.kill();
    // As they would be: some of it on the disk, some not, and the kernel another one.
    for folder in [&world.a.folder, &world.server.folder] {
        fs::write(folder.join(".filesync/unflushed"), "another kernel").unwrap();
    }
    fs::write(world.server.folder.join("0"), "").unwrap();
    fs::remove_file(world.server.folder.join("1")).unwrap();
    fs::write(world.a.at("2"), "").unwrap();
    fs::remove_file(world.a.at("3")).unwrap();
    world.server.start();
    world.start_clients();
    let tree = world.settle();
    let contents = |tree: &Tree| -> BTreeSet<u64> {
        let content = |node: &Node| if let Node::File { content, .. } = node { Some(*content) } else { None };
        tree.values().filter_map(content).collect()
    };
    assert!(contents(&tree).is_superset(&contents(&whole)), "something is lost of {whole:?}: {tree:?}");
    // Whoever stops in good order leaves nothing to be asked about.
    world.stop_clients();
    world.server.stop();
    for folder in [&world.a.folder, &world.server.folder] {
        assert!(!folder.join(".filesync/unflushed").exists(), "{}", folder.display());
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp -a");
}

// ---- The box ---------------------------------------------------------------------------------------------------------------------------

/// Moved away while the server runs: nothing counts as deleted, and nothing is accepted that would land in a box that is elsewhere.
#[test]
fn a_box_that_is_moved_away_and_comes_back() {
    for replaced in [false, true] {
        let mut world = World::live_with(files(FEW));
        let (here, there) = (world.server.folder.clone(), away(&world.server.folder));
        let key = world.server.key();
        fs::rename(&here, &there).unwrap();
        if replaced {
            fs::create_dir(&here).unwrap();
        }
        let log = || world.server.log();
        wait_for_log("the server to say so", log, "the box is not in its place any more");
        fs::remove_file(there.join("0")).unwrap();
        fs::write(world.a.at("meanwhile"), "by a").unwrap();
        let put = Request::new("PUT", "/upload/refused")
            .field("Authorization", &format!("Bearer {key}"))
            .field("If-None-Match", "*");
        let answer = world.server.ask(&put.body("x"));
        assert!(500 <= answer.status, "{answer:?}");
        assert!(!there.join("refused").exists() && !here.join("refused").exists());
        expect_files(&world.b.folder, FEW);
        if replaced {
            fs::remove_dir(&here).unwrap();
        }
        fs::rename(&there, &here).unwrap();
        world.b.wait_for_content("meanwhile", b"by a");
        world.b.wait_for_absence("0");
        assert_eq!(world.settle().len(), FEW);
    }
}

/// Most of it is missing when the server starts: it does not, unless it is told that this is meant.
#[test]
fn a_box_with_most_of_it_missing() {
    let mut world = World::live_with(files(MANY));
    world.server.stop();
    for number in 0..30 {
        fs::remove_file(world.server.folder.join(number.to_string())).unwrap();
    }
    let held = run(&mut world.server.command());
    held.expect_code(4).expect_words(&["30 of the 40", "--force"]);
    expect_files(&world.a.folder, MANY);
    world.server.options = &["--force"];
    world.server.start();
    // The server was told; the clients were not.
    for client in [&world.a, &world.b] {
        client.wait_for_state("held");
        expect_files(&client.folder, MANY);
    }
    world.stop_clients();
    for client in [&world.a, &world.b] {
        client.once(&[]).expect_code(4).expect_words(&["--force"]);
        client.once(&["--force"]).expect_code(0);
        expect_files(&client.folder, 10);
    }
}

/// By hand while the server runs: that is said, and held by each client.
#[test]
fn a_mass_deletion_in_the_running_box() {
    let mut world = World::live_with(files(MANY));
    for number in 0..30 {
        fs::remove_file(world.server.folder.join(number.to_string())).unwrap();
    }
    for client in [&world.a, &world.b] {
        client.wait_for_state("held");
        expect_files(&client.folder, MANY);
    }
    let log = || world.server.log();
    wait_for_log("the server to say so", log, "entries were deleted in the box by hand");
    world.stop_clients();
    world.a.once(&["--force"]).expect_code(0);
    expect_files(&world.a.folder, 10);
}

/// Changes of every kind after the box was copied; then the copy takes its place.
#[test]
fn a_box_replaced_by_an_older_copy_of_itself() {
    let mut world = World::live_with(files(FEW));
    let epoch = world.server.status().get("epoch").text().to_owned();
    let older = world.directory().join("older");
    fs::create_dir(&older).unwrap();
    copy_tree(&world.server.folder, &older);
    fs::remove_file(world.a.at("0")).unwrap();
    fs::write(world.a.at("1"), "edited since").unwrap();
    fs::write(world.a.at("new"), "new since").unwrap();
    world.b.wait_for_content("new", b"new since");
    world.b.wait_for_absence("0");
    world.settle();
    world.b.stop();
    fs::write(world.b.at("2"), "edited by b, offline").unwrap();
    world.server.stop();
    fs::rename(&world.server.folder, away(&world.server.folder)).unwrap();
    fs::rename(&older, &world.server.folder).unwrap();
    world.server.start();
    assert_ne!(world.server.status().get("epoch").text(), epoch);
    world.b.start();
    for content in ["1", "edited since", "new since", "edited by b, offline"] {
        wait_for_version(&world.a.folder, content);
    }
    let tree = world.settle();
    // A union: what was deleted is back, and of what differs both are there.
    for name in (0..FEW).map(|number| number.to_string()).chain(["new".into()]) {
        assert!(tree.contains_key(name.as_bytes()), "{name} is gone: {:?}", tree.keys());
    }
}

/// A copy of the box is served beside the original, and a client goes from one to the other and back.
#[test]
fn a_copy_of_a_box_is_another_box() {
    let mut world = World::live_with(files(FEW));
    world.b.stop();
    let beside = world.directory().join("beside");
    fs::create_dir(&beside).unwrap();
    let mut copy = Server::new(&beside);
    copy_tree(&world.server.folder, &copy.folder);
    copy.start();
    assert_ne!(copy.status().get("epoch").text(), world.server.status().get("epoch").text());
    // The original goes on: with as many changes as the copy will have, so that their numbers are the same.
    fs::remove_file(world.a.at("0")).unwrap();
    fs::write(world.a.at("only in the original"), "x").unwrap();
    world.settle();
    copy.put_new("only-in-the-copy", "y").expect(201);
    let url = world.b.url().to_owned();
    world.b.use_server(&copy.url(), &copy.key_file());
    world.b.start();
    world.b.wait_for_content("only-in-the-copy", b"y");
    eventually("b and the copy to agree", || agreement(&copy, [&mut world.b]));
    world.b.stop();
    expect_files(&world.b.folder, FEW + 1);
    let key_file = world.server.key_file();
    world.b.use_server(&url, &key_file);
    world.b.start();
    world.a.wait_for_content("only-in-the-copy", b"y");
    world.b.wait_for_content("only in the original", b"x");
    assert_eq!(world.settle().len(), FEW + 2, "the delete of 0 is undone, which is what a union means");
}
