//! Times and permission bits that are changed in several places at once: each field is merged for itself, and an edit takes no mode back.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Client, World, eventually, shell};

/// A mode that no umask makes.
const MODE: u32 = 0o711;
const OTHER_MODE: u32 = 0o700;
/// Times that are not now, in seconds since 1970.
const TIME: i64 = 1_000_000_000;
const OTHER_TIME: i64 = 1_100_000_000;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn touch(path: &Path, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Gives a file in the box a mode by hand.
fn chmod_in_box(world: &World, name: &str, mode: u32) {
    chmod(&world.server.folder.join(name), mode);
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn time_of(path: &Path) -> i64 {
    fs::metadata(path).unwrap().mtime()
}

/// Both clients have a file of each of these names, with the content "base".
#[track_caller]
fn world_with(names: &[&str]) -> World {
    World::live_with(|folder| {
        for name in names {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), "base").unwrap();
        }
    })
}

/// Starts one client after the other is done.
#[track_caller]
fn come_back(world: &mut World, a_first: bool) {
    let start = |world: &mut World, a: bool| if a { world.a.start() } else { world.b.start() };
    start(world, a_first);
    world.settle();
    start(world, !a_first);
    world.settle();
}

/// What one file is everywhere, after everything has come to agree.
#[track_caller]
fn check(world: &World, name: &str, content: &str, mode: u32, time: Option<i64>) {
    let path = world.b.at(name);
    assert_eq!(fs::read_to_string(&path).unwrap(), content, "{name}");
    assert_eq!(format!("{:o}", mode_of(&path)), format!("{mode:o}"), "{name}");
    if let Some(time) = time {
        assert_eq!(time_of(&path), time, "{name}");
    }
}

#[test]
fn a_mode_and_a_time_that_cross_both_survive() {
    for a_first in [true, false] {
        let mut world = world_with(&["one", "two", "both"]);
        world.stop_clients();
        chmod(&world.a.at("one"), MODE);
        touch(&world.b.at("one"), TIME);
        touch(&world.a.at("two"), TIME);
        chmod(&world.b.at("two"), MODE);
        for (client, mode, time) in [(&world.a, MODE, TIME), (&world.b, OTHER_MODE, OTHER_TIME)] {
            chmod(&client.at("both"), mode);
            touch(&client.at("both"), time);
        }
        come_back(&mut world, a_first);
        check(&world, "one", "base", MODE, Some(TIME));
        check(&world, "two", "base", MODE, Some(TIME));
        let (mode, time) = if a_first { (OTHER_MODE, OTHER_TIME) } else { (MODE, TIME) };
        check(&world, "both", "base", mode, Some(time));
    }
}

/// Neither has a moment to hear of the other before it has made its own change.
#[test]
fn a_mode_and_a_time_set_at_the_same_moment_both_survive() {
    let mut world = world_with(&["one", "two", "edited here", "edited there"]);
    let signal = |world: &mut World, name: &str| {
        world.a.process().signal(name);
        world.b.process().signal(name);
    };
    signal(&mut world, "STOP");
    chmod(&world.a.at("one"), MODE);
    touch(&world.b.at("one"), TIME);
    touch(&world.a.at("two"), TIME);
    chmod(&world.b.at("two"), MODE);
    fs::write(world.a.at("edited here"), "edited").unwrap();
    chmod(&world.b.at("edited here"), MODE);
    chmod(&world.a.at("edited there"), MODE);
    fs::write(world.b.at("edited there"), "edited").unwrap();
    signal(&mut world, "CONT");
    world.settle();
    check(&world, "one", "base", MODE, Some(TIME));
    check(&world, "two", "base", MODE, Some(TIME));
    check(&world, "edited here", "edited", MODE, None);
    check(&world, "edited there", "edited", MODE, None);
}

#[test]
fn an_edit_and_a_mode_both_survive_whoever_is_first() {
    for a_first in [true, false] {
        let mut world = world_with(&["file", "set by both"]);
        chmod(&world.a.at("set by both"), 0o600);
        world.settle();
        world.stop_clients();
        fs::write(world.a.at("file"), "edited").unwrap();
        let edited = time_of(&world.a.at("file"));
        chmod(&world.b.at("file"), MODE);
        fs::write(world.a.at("set by both"), "edited").unwrap();
        chmod(&world.a.at("set by both"), MODE);
        chmod(&world.b.at("set by both"), OTHER_MODE);
        come_back(&mut world, a_first);
        check(&world, "file", "edited", MODE, Some(edited));
        check(&world, "set by both", "edited", if a_first { OTHER_MODE } else { MODE }, None);
    }
}

/// The download keeps the mode, and a client that was killed right after it still sends it.
#[test]
fn a_mode_kept_by_a_download_is_sent_even_after_a_kill() {
    let names: Vec<String> = (0..200).map(|number| format!("file {number}")).collect();
    let mut world = world_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.b.stop();
    for name in &names {
        fs::write(world.a.at(name), format!("edited {name}")).unwrap();
        chmod(&world.b.at(name), MODE);
    }
    world.settle();
    world.b.start();
    let is_edited = |client: &Client, name: &str| fs::read_to_string(client.at(name)).unwrap() != "base";
    eventually("some downloads", || {
        let count = names.iter().filter(|name| is_edited(&world.b, name)).count();
        if 20 < count { Ok(()) } else { Err(format!("{count} so far")) }
    });
    world.b.kill();
    world.b.start();
    world.settle();
    for name in &names {
        check(&world, name, &format!("edited {name}"), MODE, None);
    }
}

#[test]
fn a_mode_goes_along_with_a_rename() {
    let mut world = world_with(&["file", "directory/inside"]);
    world.stop_clients();
    chmod(&world.a.at("file"), MODE);
    chmod(&world.a.at("directory/inside"), MODE);
    chmod(&world.a.at("directory"), OTHER_MODE);
    fs::rename(world.b.at("file"), world.b.at("renamed")).unwrap();
    fs::rename(world.b.at("directory"), world.b.at("elsewhere")).unwrap();
    come_back(&mut world, true);
    check(&world, "renamed", "base", MODE, None);
    check(&world, "elsewhere/inside", "base", MODE, None);
    assert_eq!(mode_of(&world.b.at("elsewhere")), OTHER_MODE);
}

#[test]
fn one_user_gives_a_file_another_name_and_a_mode() {
    let mut world = world_with(&["file"]);
    fs::rename(world.a.at("file"), world.a.at("renamed")).unwrap();
    chmod(&world.a.at("renamed"), MODE);
    touch(&world.a.at("renamed"), TIME);
    world.b.wait_for_absence("file");
    world.settle();
    check(&world, "renamed", "base", MODE, Some(TIME));
}

/// A directory has a mode and no time, and what happens in it is no change of it.
#[test]
fn the_mode_of_a_directory_survives_what_is_done_in_it() {
    for a_first in [true, false] {
        let mut world = world_with(&["directory/old"]);
        world.stop_clients();
        chmod(&world.a.at("directory"), OTHER_MODE);
        fs::write(world.b.at("directory/new"), "new").unwrap();
        fs::remove_file(world.b.at("directory/old")).unwrap();
        come_back(&mut world, a_first);
        assert_eq!(mode_of(&world.b.at("directory")), OTHER_MODE);
        check(&world, "directory/new", "new", mode_of(&world.b.at("directory/new")), None);
    }
}

#[test]
fn a_mode_set_by_hand_in_the_box_and_a_time_set_by_a_client_both_survive() {
    // The client was away.
    let mut world = world_with(&["file", "edited"]);
    world.stop_clients();
    chmod_in_box(&world, "file", MODE);
    chmod_in_box(&world, "edited", MODE);
    touch(&world.a.at("file"), TIME);
    fs::write(world.a.at("edited"), "edited").unwrap();
    come_back(&mut world, true);
    check(&world, "file", "base", MODE, Some(TIME));
    check(&world, "edited", "edited", MODE, None);
}

/// The server hears of the client's change and of the one by hand in the same moment, and does not know of the latter when it is asked for
/// the former.
#[test]
fn a_mode_set_by_hand_in_the_box_is_not_overruled_before_it_was_noticed() {
    let names: Vec<String> = (0..100).map(|number| format!("file {number}")).collect();
    let mut world = world_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.server.process().signal("STOP");
    for (number, name) in names.iter().enumerate() {
        chmod_in_box(&world, name, MODE);
        match number % 2 {
            0 => touch(&world.a.at(name), TIME),
            _ => fs::write(world.a.at(name), "edited").unwrap(),
        }
    }
    world.server.process().signal("CONT");
    world.settle();
    for (number, name) in names.iter().enumerate() {
        match number % 2 {
            0 => check(&world, name, "base", MODE, Some(TIME)),
            _ => check(&world, name, "edited", MODE, None),
        }
    }
}

/// Within one tick of the clock a fingerprint does not show it.
#[test]
fn a_mode_set_right_after_a_download_is_seen() {
    let mut world = World::live();
    for number in 0..40 {
        let name = format!("file {number}");
        fs::write(world.a.at(&name), &name).unwrap();
        let there = world.b.at(&name);
        // Without a pause: as soon as it is there.
        while fs::set_permissions(&there, Permissions::from_mode(MODE)).is_err() {
            std::thread::yield_now();
        }
    }
    let tree = world.settle();
    assert_eq!(tree.len(), 40);
    for number in 0..40 {
        check(&world, &format!("file {number}"), &format!("file {number}"), MODE, None);
    }
}

/// Put by hand, and given a mode before or while it is taken in.
#[test]
fn a_mode_set_right_after_something_was_put_by_hand_is_seen() {
    let mut world = World::live();
    let mut third = world.another_client("gamma");
    third.start();
    for number in 0..40 {
        let millis = f64::from(number) / 1000.0;
        shell(
            &world.server.folder,
            &format!("echo {number} > f{number}; sleep {millis}; chmod 711 f{number}"),
        );
    }
    let tree = world.settle();
    assert_eq!(tree.len(), 40);
    for number in 0..40 {
        check(&world, &format!("f{number}"), &format!("{number}\n"), MODE, None);
        third.wait_until(format!("f{number}"), "to have the mode", |path| {
            fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o7777 == MODE)
        });
    }
}

/// Who sends no mode changes none, and every answer tells what is there then.
#[test]
fn a_put_without_a_mode_keeps_the_one_that_is_there() {
    let mut world = World::new();
    let server = &world.server;
    let put = |condition: (&str, &str), fields: &[(&str, &str)], content: &str| {
        let mut request = server.request("PUT", "/upload/file").field(condition.0, condition.1);
        for (name, value) in fields {
            request = request.field(name, value);
        }
        let response = server.ask(&request.body(content));
        let field = |name| response.field(name).unwrap_or("nothing").to_owned();
        (response.status, field("file-mode"), field("file-mtime"))
    };
    let new = ("If-None-Match", "*");
    let present = ("If-Match", "*");
    let time = ("File-Mtime", "5");
    let answer = |status: u16, mode: &str| (status, mode.to_owned(), "5".to_owned());
    assert_eq!(put(new, &[time], "one"), answer(201, "644"));
    assert_eq!(put(present, &[time, ("File-Mode", "600")], "two"), answer(204, "600"));
    assert_eq!(put(present, &[time], "three"), answer(204, "600"));
    // It is there already: no condition is needed, and nothing changes.
    assert_eq!(put(new, &[("File-Mtime", "9"), ("File-Mode", "755")], "three"), answer(204, "600"));
    let patch = server
        .request("PATCH", "/upload/file")
        .field("If-Match", "*")
        .field("Content-Type", "application/merge-patch+json")
        .body(r#"{"mode":"711"}"#);
    let response = server.ask(&patch).expect(204);
    assert_eq!(response.field("file-mode"), Some("711"));
    assert_eq!(mode_of(&server.folder.join("file")), 0o711);
    world.a.start();
    world.settle();
    assert_eq!(mode_of(&world.a.at("file")), 0o711);
}
