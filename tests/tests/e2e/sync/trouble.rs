//! Lost state, unreadable and unsteady files, deletions too many.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::harness::{Finished, World, eventually, is_root, program, run, snapshot};

/// The user `nobody`, on about every system.
const NOBODY: u32 = 65534;

// ---- State ----------------------------------------------------------------------------------------------------------------------------

/// The files in a private directory that hold what a client or the server remembers.
fn memory(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(".filesync")).unwrap().map(|entry| entry.unwrap().path());
    let is_memory = |path: &PathBuf| {
        path.is_file() && !path.ends_with("lock") && !path.ends_with("status") && !path.ends_with("key")
    };
    entries.filter(is_memory).collect()
}

/// b loses its memory in some way while a deletes, edits and adds, and b does too. What follows must be a union.
#[track_caller]
fn lose_memory(damage: impl FnOnce(&Path)) {
    let mut world = World::live_with(|folder| {
        for number in 0..10 {
            fs::write(folder.join(number.to_string()), number.to_string()).unwrap();
        }
    });
    world.b.stop();
    fs::write(world.a.at("by a"), "a").unwrap();
    fs::remove_file(world.a.at("0")).unwrap();
    world.settle();
    fs::write(world.b.at("by b"), "b").unwrap();
    fs::remove_file(world.b.at("1")).unwrap();
    damage(&world.b.folder);
    world.b.start();
    world.b.wait_for_content("by a", b"a");
    world.a.wait_for_content("by b", b"b");
    let tree = world.settle();
    // Without memory neither delete is known to b: what one side still has comes back. What must not happen is that anything goes.
    for name in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "by a", "by b"] {
        assert!(tree.contains_key(name.as_bytes()), "{name} is gone");
    }
}

#[test]
fn memory_removed() {
    lose_memory(|folder| fs::remove_dir_all(folder.join(".filesync")).unwrap());
}

#[test]
fn memory_overwritten() {
    lose_memory(|folder| {
        for path in memory(folder) {
            let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
            fs::write(&path, vec![b'?'; length]).unwrap();
        }
    });
}

#[test]
fn memory_truncated_to_nothing() {
    lose_memory(|folder| {
        for path in memory(folder) {
            File::create(&path).unwrap();
        }
    });
}

/// The server's memory goes: the box gets a new history, and clients merge with it. Nothing is deleted anywhere.
#[test]
fn the_server_loses_its_memory() {
    let mut world = World::live_with(|folder| {
        for number in 0..10 {
            fs::write(folder.join(number.to_string()), number.to_string()).unwrap();
        }
    });
    let tree = world.settle();
    let epoch = world.server.status().get("epoch").text().to_owned();
    world.server.stop();
    for path in memory(&world.server.folder) {
        fs::remove_file(path).unwrap();
    }
    world.server.start();
    assert_ne!(
        world.server.status().get("epoch").text(),
        epoch,
        "a history that can't be continued gets a new name"
    );
    assert_eq!(world.settle(), tree);
}

/// The box is emptied while the server is down, as by a restore that went wrong: that deletes nothing in the folders.
#[test]
fn an_emptied_box_is_filled_again() {
    let mut world = World::live_with(|folder| {
        for number in 0..30 {
            fs::write(folder.join(number.to_string()), number.to_string()).unwrap();
        }
    });
    let tree = world.settle();
    world.server.stop();
    let key = world.server.key();
    fs::remove_dir_all(&world.server.folder).unwrap();
    fs::create_dir_all(world.server.folder.join(".filesync")).unwrap();
    fs::write(world.server.key_file(), key + "\n").unwrap();
    fs::set_permissions(world.server.key_file(), Permissions::from_mode(0o600)).unwrap();
    world.server.start();
    assert_eq!(world.settle(), tree);
}

// ---- Files that can't be read, or not in peace ------------------------------------------------------------------------------------------

/// Whether another user can get at the programs.
fn nobody_can_run(world: &World) -> bool {
    let mut command = program(world.a.kind.program());
    command.arg("--version").uid(NOBODY).gid(NOBODY).output().is_ok_and(|output| output.status.success())
}

/// One pass of a, by a user whom permission bits stop.
#[track_caller]
fn once_with_less_rights(world: &World) -> Finished {
    let mut command = world.a.command();
    command.arg("--once").env("FILESYNC_TOKEN", world.server.key()).arg(&world.a.folder);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    run(&mut command)
}

#[test]
fn what_cannot_be_read_is_named_and_never_deleted() {
    let mut world = World::new();
    if is_root() && !nobody_can_run(&world) {
        println!(
            "NOT TESTED: as root everything can be read, and the programs can't be run by another user here"
        );
        return;
    }
    let open_up = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::create_dir(world.a.at("closed")).unwrap();
    fs::write(world.a.at("closed/inside.txt"), "inside").unwrap();
    fs::write(world.a.at("open.txt"), "open").unwrap();
    if is_root() {
        open_up(world.directory(), 0o755);
        open_up(&world.server.folder, 0o755);
        for path in ["", "closed", "closed/inside.txt", "open.txt"] {
            chown(world.a.at(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    // The key file is not for others to read; the environment gives the key instead.
    world.a.token_file = None;
    once_with_less_rights(&world).expect_code(0);

    open_up(&world.a.at("closed"), 0o000);
    fs::write(world.a.at("locked.txt"), "locked").unwrap();
    open_up(&world.a.at("locked.txt"), 0o000);
    fs::write(world.a.at("open.txt"), "edited").unwrap();
    if is_root() {
        chown(world.a.at("open.txt"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let finished = once_with_less_rights(&world);
    open_up(&world.a.at("closed"), 0o755);
    open_up(&world.a.at("locked.txt"), 0o644);
    finished.expect_code(1).expect_words(&["closed", "locked.txt"]);
    assert_eq!(
        fs::read_to_string(world.server.folder.join("open.txt")).unwrap(),
        "edited",
        "the others go on"
    );
    open_up(&world.server.folder.join("closed"), 0o755);
    assert_eq!(fs::read_to_string(world.server.folder.join("closed/inside.txt")).unwrap(), "inside");
}

/// What was closed to the client is listed and watched as soon as it is open, and not only with the next regular scan.
#[test]
fn a_directory_that_becomes_readable() {
    let mut world = World::new();
    if is_root() && !nobody_can_run(&world) {
        println!(
            "NOT TESTED: as root everything can be read, and the programs can't be run by another user here"
        );
        return;
    }
    let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(world.a.at("closed/inside")).unwrap();
    fs::write(world.a.at("closed/inside/file"), "inside").unwrap();
    if is_root() {
        chmod(world.directory(), 0o755);
        for path in ["", "closed", "closed/inside", "closed/inside/file"] {
            chown(world.a.at(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    chmod(&world.a.at("closed"), 0o000);
    world.a.token_file = None;
    let key = world.server.key();
    world.a.start_as(|mut command| {
        command.env("FILESYNC_TOKEN", key);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    });
    let problems = |world: &World| world.a.status().get("problems").list().len();
    eventually("the closed directory to be named", || match problems(&world) {
        1 => Ok(()),
        count => Err(format!("{count} problems")),
    });
    let in_the_box = world.server.folder.join("closed/inside/file");
    let wait_for = |content: &str| {
        eventually("what was closed to be in the box", || match fs::read_to_string(&in_the_box) {
            Ok(found) if found == content => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    chmod(&world.a.at("closed"), 0o755);
    wait_for("inside");
    fs::write(world.a.at("closed/inside/file"), "watched, too").unwrap();
    wait_for("watched, too");
    eventually("the problem to be over", || match problems(&world) {
        0 => Ok(()),
        _ => Err(format!("{:?}", world.a.status())),
    });
}

#[test]
fn pipes_and_sockets_are_left_alone() {
    let mut world = World::new();
    fs::write(world.a.at("file"), "file").unwrap();
    let made = Command::new("mkfifo").arg(world.a.at("pipe")).status();
    assert!(made.is_ok_and(|status| status.success()), "`mkfifo` is part of coreutils");
    let _socket = UnixListener::bind(world.a.at("socket")).unwrap();
    world.start_clients();
    world.b.wait_for_content("file", b"file");
    assert!(!world.b.at("pipe").exists() && !world.b.at("socket").exists());
    assert!(world.a.at("pipe").exists() && world.a.at("socket").exists());
    // The folders differ in what can't be synced, so agreement is a matter of states here.
    world.a.wait_for_state("idle");
}

/// Somebody appends to a file all the time. Whatever arrives on the other side is what the file once was, and in the end all of it is there.
#[test]
fn a_file_that_grows_while_it_is_read() {
    const BLOCKS: u32 = 400;
    let mut world = World::live();
    let path = world.a.at("growing");
    let writer = thread::spawn(move || {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        for number in 0..BLOCKS {
            file.write_all(&number.to_le_bytes().repeat(8192)).unwrap();
            file.sync_data().unwrap();
        }
    });
    let whole: Vec<u8> = (0..BLOCKS).flat_map(|number| number.to_le_bytes().repeat(8192)).collect();
    eventually("all of the file to arrive", || {
        let found = fs::read(world.b.at("growing")).unwrap_or_default();
        assert!(whole.starts_with(&found), "{} bytes that the file never was", found.len());
        if found == whole { Ok(()) } else { Err(format!("{} of {} bytes", found.len(), whole.len())) }
    });
    writer.join().unwrap();
    assert_eq!(world.settle().len(), 1);
}

/// Files come and go faster than they can be sent.
#[test]
fn files_that_vanish_while_they_are_read() {
    let mut world = World::live();
    for round in 0..300 {
        let path = world.a.at(format!("short-lived {}", round % 10));
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        fs::remove_file(&path).unwrap();
    }
    fs::write(world.a.at("last"), "last").unwrap();
    world.b.wait_for_content("last", b"last");
    assert_eq!(world.settle().len(), 1);
}

// ---- Deletions too many -----------------------------------------------------------------------------------------------------------------

fn forty_files(folder: &Path) {
    for number in 0..40 {
        fs::write(folder.join(number.to_string()), number.to_string()).unwrap();
    }
}

fn delete_thirty(folder: &Path) {
    for number in 0..30 {
        fs::remove_file(folder.join(number.to_string())).unwrap();
    }
}

#[test]
fn a_mass_deletion_is_held_back_until_forced() {
    let world = World::new();
    forty_files(&world.a.folder);
    world.a.once(&[]).expect_code(0);
    delete_thirty(&world.a.folder);
    world.a.once(&[]).expect_code(4).expect_words(&["--force"]);
    assert_eq!(snapshot(&world.server.folder).unwrap().len(), 40);
    world.a.once(&["--force"]).expect_code(0);
    assert_eq!(snapshot(&world.server.folder).unwrap().len(), 10);

    // The same from the other end: b has never seen anything, so it gets ten and deletes nothing.
    world.b.once(&[]).expect_code(0);
    assert_eq!(snapshot(&world.b.folder).unwrap().len(), 10);
}

#[test]
fn a_mass_deletion_that_comes_from_the_server_is_held_back_too() {
    let world = World::new();
    forty_files(&world.a.folder);
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    delete_thirty(&world.b.folder);
    world.b.once(&["--force"]).expect_code(0);
    world.a.once(&[]).expect_code(4).expect_words(&["--force"]);
    assert_eq!(snapshot(&world.a.folder).unwrap().len(), 40);
    world.a.once(&["--force"]).expect_code(0);
    assert_eq!(snapshot(&world.a.folder).unwrap().len(), 10);
}

#[test]
fn a_live_client_says_that_it_holds() {
    let mut world = World::live_with(forty_files);
    world.a.stop();
    delete_thirty(&world.a.folder);
    world.a.start();
    world.a.wait_for_state("held");
    assert_eq!(snapshot(&world.server.folder).unwrap().len(), 40);
    assert_eq!(snapshot(&world.b.folder).unwrap().len(), 40);
}
