//! Directories that their own mode keeps even their owner from changing, and a client that runs as an ordinary user, whom modes bind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{World, is_root, run};

/// Who nobody is, on every Linux.
const NOBODY: u32 = 65534;

/// A world in which `b` belongs to an ordinary user: nobody if the tests run as root, else who runs them.
fn world_of_ordinary_b() -> World {
    let mut world = World::new();
    if is_root() {
        let key = world.directory().join("key");
        fs::copy(world.server.key_file(), &key).unwrap();
        for path in [&key, &world.b.folder] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(world.directory(), Permissions::from_mode(0o711)).unwrap();
        world.b.token_file = Some(key);
    }
    world
}

/// The same command, run by the user whom `b` belongs to.
fn as_ordinary(command: &Command, directory: &Path) -> Command {
    // Nobody may not be let in where the programs were built. Another process copies: what this one has open for writing, whatever it
    // starts meanwhile has open, too, and then the copy could not be run.
    let program = directory.join("program");
    let copied = Command::new("cp").arg(command.get_program()).arg(&program).status().unwrap();
    assert!(copied.success(), "the program was not copied");
    let mut ordinary = Command::new(program);
    ordinary.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => ordinary.env(name, value),
            None => ordinary.env_remove(name),
        };
    }
    if is_root() {
        ordinary.uid(NOBODY).gid(NOBODY);
    }
    ordinary
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn close(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Modes bind neither what arrives nor what goes; and they arrive themselves, which the settling world makes sure of.
#[test]
fn what_is_in_a_directory_that_its_owner_may_not_change_syncs() {
    let mut world = world_of_ordinary_b();
    let at = |name: &str| world.a.folder.join(name);
    let (closed, deep, empty) = (at("closed"), at("closed/deep"), at("closed/empty"));
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(&empty).unwrap();
    for number in 0..20 {
        fs::write(closed.join(format!("{number}")), format!("content {number}")).unwrap();
        fs::write(deep.join(format!("{number}")), format!("deep {number}")).unwrap();
    }
    [&empty, &deep, &closed].into_iter().for_each(|directory| close(directory, 0o555));
    let directory = world.directory().to_owned();
    // Half of what there is will go at once.
    (world.a.options, world.b.options) = (&["--force"], &["--force"]);
    world.a.start();
    world.b.start_as(|command| as_ordinary(&command, &directory));
    let tree = world.settle();
    assert_eq!((tree.len(), mode_of(&world.b.at("closed/deep"))), (43, 0o555));

    // While it is open here it is open there, and closed again.
    [&closed, &deep, &empty].into_iter().for_each(|directory| close(directory, 0o755));
    fs::write(closed.join("0"), "other content").unwrap();
    fs::remove_file(closed.join("1")).unwrap();
    fs::rename(closed.join("2"), deep.join("two")).unwrap();
    [&deep, &closed, &empty].into_iter().for_each(|directory| close(directory, 0o555));
    world.settle();
    if is_root() {
        // Whom modes don't bind can go on without opening anything.
        fs::write(deep.join("3"), "other content").unwrap();
        fs::remove_file(deep.join("4")).unwrap();
        fs::rename(deep.join("5"), closed.join("five")).unwrap();
        fs::remove_dir(&empty).unwrap();
        fs::write(&empty, "a file").unwrap();
        world.settle();
        fs::remove_dir_all(&deep).unwrap();
        world.settle();
    }
    assert_eq!(mode_of(&world.b.at("closed")), 0o555);
    assert!(!world.b.at(".filesync/opened").exists());
}

/// The directory can't be made, so what is to come into it waits for ever; a single pass does not.
#[test]
fn a_single_pass_ends_although_something_waits_for_what_failed() {
    let world = world_of_ordinary_b();
    let once = |code: i32| {
        let mut command = world.b.command();
        command.arg("--once").arg(&world.b.folder);
        run(&mut as_ordinary(&command, world.directory())).expect_code(code)
    };
    once(0);
    for name in ["d", "d/e"] {
        let request = world.server.request("PUT", &format!("/upload/{name}")).field("If-None-Match", "*");
        world.server.ask(&request.field("File-Kind", "dir")).expect(201);
    }
    world.server.put_new("d/e/file", "content").expect(201);
    close(&world.b.folder, 0o555);
    let finished = once(1);
    close(&world.b.folder, 0o755);
    assert!(format!("{finished:?}").contains("d: "), "{finished:?}");
    once(0);
    assert_eq!(fs::read(world.b.at("d/e/file")).unwrap(), b"content");
}
