//! Word of what changes: that nothing stays unseen when the kernel loses or refuses it, that nothing is sent before it is complete or
//! more often than it is worth, and that agreement is silent.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{DEADLINE, Inotify, World, eventually, is_full, pass, shell};

// ---- Limits of the kernel ----------------------------------------------------------------------------------------------------------------

/// What is tested instead where tests may set no limits: unit tests of the observer have a kernel that refuses.
const INSTEAD: &str = "NOT TESTED with a real limit, since no user namespace is to be had here: `common::disk::observe` has unit tests of the \
                       refusal; what is tested here instead is that scanning alone finds everything";

/// More events than the kernel keeps happen while nobody reads them, and what happens after that is told by none.
#[test]
fn the_queue_of_events_overflows() {
    let limit: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let mut world = World::live_with(|folder| {
        fs::write(folder.join("edited"), "before").unwrap();
        fs::write(folder.join("deleted"), "before").unwrap();
        fs::write(folder.join("x"), "").unwrap();
        fs::write(folder.join("y"), "").unwrap();
    });
    // By turns, since equal events in a row are one.
    let overflow = |folder: &Path| {
        let files = ["x", "y"].map(|name| File::options().write(true).open(folder.join(name)).unwrap());
        for number in 0..limit + 100 {
            files[number % 2].set_modified(std::time::SystemTime::now()).unwrap();
        }
    };
    world.a.process().signal("STOP");
    overflow(&world.a.folder);
    change_everything(&world.a.folder);
    world.a.process().signal("CONT");
    world.b.wait_for_content("new/deep/file", b"by hand");
    world.settle();
    check_changed(&world.b.folder);

    world.server.process().signal("STOP");
    overflow(&world.server.folder);
    fs::write(world.server.folder.join("edited"), "once more").unwrap();
    fs::remove_dir_all(world.server.folder.join("new")).unwrap();
    world.server.process().signal("CONT");
    world.a.wait_for_content("edited", b"once more");
    world.b.wait_for_absence("new");
    world.settle();
}

fn change_everything(folder: &Path) {
    fs::write(folder.join("edited"), "after").unwrap();
    fs::remove_file(folder.join("deleted")).unwrap();
    fs::create_dir_all(folder.join("new/deep")).unwrap();
    fs::write(folder.join("new/deep/file"), "by hand").unwrap();
}

fn check_changed(folder: &Path) {
    assert_eq!(fs::read_to_string(folder.join("edited")).unwrap(), "after");
    assert!(!folder.join("deleted").exists());
}

/// Directories there before, and directories made afterwards: those that can't be watched are scanned, and the status says so.
#[test]
fn more_directories_than_may_be_watched() {
    let can_be_limited = Inotify::can_be_limited();
    let mut world = World::live();
    world.a.stop();
    if can_be_limited {
        world.a.start_as(|command| Inotify::Watches(8).limit(&command));
    } else {
        println!("{INSTEAD}");
        world.a.options = &["--poll", "2"];
        world.a.start();
    }
    world.settle();
    for number in 0..12 {
        fs::create_dir_all(world.a.at(format!("d{number}/e"))).unwrap();
    }
    world.settle();
    if can_be_limited {
        let reason = eventually("the limit to be told", || {
            world.a.status().get("polling").as_text().map(str::to_owned).ok_or("nothing is told".into())
        });
        assert!(reason.contains("sysctl fs.inotify.max_user_watches="), "{reason}");
        let words = world.a.status_in_words();
        assert!(words.contains("sysctl fs.inotify.max_user_watches="), "{words}");
    }
    // One of these would be seen, the other twenty-three are not.
    for number in 0..12 {
        fs::write(world.a.at(format!("d{number}/e/file")), "unseen").unwrap();
        fs::write(world.a.at(format!("d{number}/file")), "unseen").unwrap();
    }
    for number in 0..12 {
        world.b.wait_for_content(format!("d{number}/e/file"), b"unseen");
    }
    world.settle();
}

#[test]
fn no_events_at_all() {
    let mut world = World::live();
    world.a.stop();
    world.server.stop();
    if Inotify::can_be_limited() {
        world.a.start_as(|command| Inotify::Instances(0).limit(&command));
        world.server.start_as(|command| Inotify::Instances(0).limit(&command));
        world.settle();
        let reason = world.a.status().get("polling").as_text().unwrap_or_default().to_owned();
        assert!(reason.contains("sysctl fs.inotify.max_user_instances="), "{reason}");
        let log = world.server.process().log();
        assert!(log.contains("sysctl fs.inotify.max_user_instances="), "{log}");
        fs::write(world.server.folder.join("in the box"), "found by scanning").unwrap();
        world.b.wait_for_content("in the box", b"found by scanning");
    } else {
        println!("{INSTEAD}");
        world.a.options = &["--poll", "2"];
        world.a.start();
        world.server.start();
    }
    fs::create_dir_all(world.a.at("one/two")).unwrap();
    fs::write(world.a.at("one/two/file"), "found by scanning").unwrap();
    world.b.wait_for_content("one/two/file", b"found by scanning");
    fs::remove_dir_all(world.a.at("one")).unwrap();
    world.b.wait_for_absence("one");
    world.settle();
}

/// As a memory map does it: the content changes and no event tells. Here through a second name of the file outside of the folder, whose
/// directory nobody watches.
#[test]
fn a_change_that_no_event_tells_of_is_found_by_scanning() {
    let mut world = World::live_with(|folder| fs::write(folder.join("mapped"), "before").unwrap());
    let outside = world.directory().join("second name");
    fs::hard_link(world.a.at("mapped"), &outside).unwrap();
    world.a.stop();
    world.a.options = &["--poll", "1"];
    world.a.start();
    world.settle();
    for content in ["silently", "changed"] {
        OpenOptions::new().write(true).open(&outside).unwrap().write_all(content.as_bytes()).unwrap();
        world.b.wait_until("mapped", "to have the new content", |path| {
            fs::read_to_string(path).is_ok_and(|found| found.starts_with(content))
        });
    }
    world.settle();
}

// ---- Directories that appear -------------------------------------------------------------------------------------------------------------

/// In the folder and in the box alike.
#[test]
fn directories_that_appear_with_content() {
    let mut world = World::live();
    let outside = world.directory().join("outside");
    let outside = |name: &str| outside.join(name);
    fs::create_dir_all(outside("tree/a/b/c/d/e/f")).unwrap();
    for number in 0..60 {
        let directory = outside(&format!("tree/{}/{}/{number}", number % 3, number % 7));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), number.to_string()).unwrap();
    }
    fs::write(outside("tree/a/b/c/d/e/f/leaf"), "leaf").unwrap();
    shell(&outside(""), "tar cf tree.tar tree");
    for place in [world.a.folder.clone(), world.server.folder.clone()] {
        let name = place.file_name().unwrap().to_str().unwrap().to_owned();
        shell(&place, &format!("mkdir {name} && cd {name} && tar xf '{}'", outside("tree.tar").display()));
        shell(&outside(""), "cp -a tree moved");
        fs::rename(outside("moved"), place.join(&name).join("moved")).unwrap();
        for round in 0..30 {
            shell(&place, &format!("mkdir -p {name}/made/{round}/x/y && echo > {name}/made/{round}/x/y/z"));
        }
        // Seen although it came between the first look at the directory and now.
        fs::write(place.join(&name).join("moved/a/b/c/d/e/f/later"), "later").unwrap();
        world.b.wait_for_content(format!("{name}/moved/a/b/c/d/e/f/later"), b"later");
        world.settle();
        shell(&place, &format!("mv {name}/moved/a '{}'", outside(&name).display()));
        world.b.wait_for_absence(format!("{name}/moved/a"));
        world.settle();
    }
}

// ---- How programs write ------------------------------------------------------------------------------------------------------------------

/// A way to save: a folder, and a file beside it that holds what `text` is to be.
type Save = (&'static str, fn(&Path, &Path));

/// Not by a shell, since between two of its commands there is time for a look.
const SAVES: [Save; 9] = [
    ("truncate and write", |folder, new| {
        fs::copy(new, folder.join("text")).unwrap();
    }),
    ("write beside and rename", |folder, new| {
        fs::copy(new, folder.join(".text.tmp")).unwrap();
        fs::rename(folder.join(".text.tmp"), folder.join("text")).unwrap();
    }),
    ("rename to a backup, write, remove it", |folder, new| {
        fs::rename(folder.join("text"), folder.join("text~")).unwrap();
        fs::copy(new, folder.join("text")).unwrap();
        fs::remove_file(folder.join("text~")).unwrap();
    }),
    ("link to a backup, rename over", |folder, new| {
        fs::hard_link(folder.join("text"), folder.join("text~")).unwrap();
        fs::copy(new, folder.join("text.new")).unwrap();
        fs::rename(folder.join("text.new"), folder.join("text")).unwrap();
        fs::remove_file(folder.join("text~")).unwrap();
    }),
    ("vim", |folder, new| {
        // Whether it may make files here, and whether they can have the owner of the old one.
        File::create(folder.join("4913")).unwrap();
        fs::remove_file(folder.join("4913")).unwrap();
        fs::rename(folder.join("text"), folder.join("text~")).unwrap();
        fs::copy(new, folder.join("text")).unwrap();
        fs::set_permissions(folder.join("text"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_file(folder.join("text~")).unwrap();
    }),
    ("emacs", |folder, new| {
        symlink("user@host.1:2", folder.join(".#text")).unwrap();
        fs::copy(new, folder.join("#text#")).unwrap();
        fs::rename(folder.join("#text#"), folder.join("text")).unwrap();
        fs::remove_file(folder.join(".#text")).unwrap();
    }),
    ("remove and write", |folder, new| {
        fs::remove_file(folder.join("text")).unwrap();
        fs::copy(new, folder.join("text")).unwrap();
    }),
    ("sed -i", |folder, new| {
        let content = fs::read_to_string(new).unwrap();
        shell(folder, &format!("sed -i 's/.*/{}/' text", content.trim_end()));
    }),
    ("cp -p", |folder, new| {
        shell(folder, &format!("touch -d '2001-02-03 04:05:06' '{0}' && cp -p '{0}' text", new.display()));
    }),
];

/// Each save is one change of content, and neither the file nor what stood beside it for a moment is ever deleted or added by it.
#[test]
fn editors_save_in_one_change() {
    let mut world = World::live_with(|folder| fs::write(folder.join("text"), "first\n").unwrap());
    let new = world.directory().join("new");
    for place in [world.a.folder.clone(), world.server.folder.clone()] {
        for (number, (way, save)) in SAVES.iter().enumerate() {
            let before = world.server.seq();
            let content = format!("{number} in {}\n", place.file_name().unwrap().display());
            fs::write(&new, &content).unwrap();
            save(&place, &new);
            world.b.wait_for_content("text", content.as_bytes());
            let tree = world.settle();
            assert_eq!(tree.len(), 1, "{way}: {:?}", tree.keys());
            let changes = world.server.seq() - before;
            println!("{way}: {changes} changes");
            // One of content, and perhaps one of metadata.
            assert!(changes <= 2, "{way} made {changes} changes");
        }
    }
}

/// A program that takes its time: what it has written so far is not sent, and all of it is soon after it closes the file.
#[test]
fn a_file_that_is_being_written_is_sent_when_it_is_complete() {
    let mut world = World::live();
    let (rounds, pause) = if is_full() { (120, 500) } else { (12, 500) };
    fs::create_dir(world.a.at("with it")).unwrap();
    // In a directory that is older, and in one that appears with it.
    let mut files = ["slow", "with it/slow"].map(|name| File::create(world.a.at(name)).unwrap());
    for round in 0..rounds {
        for file in &mut files {
            writeln!(file, "line {round}").unwrap();
        }
        pass(Duration::from_millis(pause));
        for name in ["slow", "with it/slow"] {
            assert!(!world.server.folder.join(name).exists(), "{name} was sent in round {round}, incomplete");
        }
    }
    drop(files);
    let whole = fs::read(world.a.at("slow")).unwrap();
    for name in ["slow", "with it/slow"] {
        let took = world.b.wait_for_content(name, &whole);
        println!("{name}: {} ms after it was closed", took.as_millis());
    }
    world.settle();
}

/// How long a file is changed all the time.
const STORM: Duration = Duration::from_secs(3);

/// Changes `busy` in a folder, by `change`, with a pause after each; what arrives are some of its versions, and the last. Gives how many
/// arrived before the end.
#[track_caller]
fn storm(world: &mut World, place: &Path, pause: u64, mut change: impl FnMut(&Path, u32)) -> u64 {
    let (start, before, mut rounds) = (Instant::now(), world.server.seq(), 0);
    while start.elapsed() < STORM {
        rounds += 1;
        change(&place.join("busy"), rounds);
        pass(Duration::from_millis(pause));
    }
    let meanwhile = world.server.seq() - before;
    let last = fs::read(place.join("busy")).unwrap();
    world.b.wait_for_content("busy", &last);
    world.settle();
    let changes = world.server.seq() - before;
    println!("{}: {rounds} writes, {meanwhile} changes meanwhile, {changes} in all", place.display());
    // Two a second, and one at each end. In the box more, as each client that can't fetch a version makes the server look again.
    let most = if place == world.server.folder { 10 * STORM.as_secs() } else { 2 * STORM.as_secs() + 3 };
    assert!(changes <= most, "{changes} changes of {rounds} writes");
    meanwhile
}

#[test]
fn a_file_that_changes_all_the_time_is_sent_now_and_then() {
    let mut world = World::live_with(|folder| fs::write(folder.join("busy"), "0").unwrap());
    let beside = world.directory().join("beside");
    let in_place = |path: &Path, round: u32| fs::write(path, round.to_string()).unwrap();
    let renaming = |path: &Path, round: u32| {
        fs::write(&beside, format!("renamed {round}")).unwrap();
        fs::rename(&beside, path).unwrap();
    };
    let (folder, the_box) = (world.a.folder.clone(), world.server.folder.clone());
    // A hundred times a second there may be no moment in which the file could be read in peace; thirty times, there is.
    for place in [&folder, &the_box] {
        storm(&mut world, place, 10, in_place);
        storm(&mut world, place, 10, renaming);
    }
    assert!(1 <= storm(&mut world, &folder, 30, in_place), "nothing got through");
    assert!(1 <= storm(&mut world, &folder, 30, renaming), "nothing got through");
}

// ---- Silence -----------------------------------------------------------------------------------------------------------------------------

/// Everything about a file that an idle program may not touch. Access times are left out: reading for this test moves them.
type Look = (u64, i64, i64, i64, i64, u64);

fn looks(folder: &Path) -> BTreeMap<PathBuf, Look> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let seen = fs::symlink_metadata(&path).unwrap();
            if seen.is_dir() {
                waiting.push(path.clone());
            }
            let times = (seen.mtime(), seen.mtime_nsec(), seen.ctime(), seen.ctime_nsec());
            found.insert(path, (seen.ino(), times.0, times.1, times.2, times.3, seen.len()));
        }
    }
    found
}

/// After agreement of a server and three clients nothing is asked, nothing is touched, not even in the private directories.
#[test]
fn agreement_is_silent() {
    let mut world = World::live_with(|folder| {
        fs::create_dir_all(folder.join("d/e")).unwrap();
        for number in 0..20 {
            fs::write(folder.join(format!("d/{number}")), number.to_string()).unwrap();
        }
        symlink("d", folder.join("link")).unwrap();
    });
    let mut third = world.another_client("gamma");
    third.start();
    third.wait_for_content("d/19", b"19");
    third.wait_for_state("idle");
    // Something from each side, so that each client has sent and fetched.
    fs::write(world.b.at("d/by b"), "b").unwrap();
    fs::write(world.server.folder.join("by hand"), "hand").unwrap();
    third.wait_for_content("d/by b", b"b");
    third.wait_for_content("by hand", b"hand");
    world.settle();
    third.wait_for_state("idle");
    // A second for the last status to be written; then nothing for longer than two heartbeats.
    pass(Duration::from_secs(1));
    let folders = [&world.a.folder, &world.b.folder, &third.folder, &world.server.folder].map(PathBuf::clone);
    let before = folders.each_ref().map(|folder| looks(folder));
    let (seq, requests) = (world.server.seq(), world.server.metric("requests_total"));
    pass(Duration::from_secs(31));
    // The question itself is one.
    assert_eq!(world.server.metric("requests_total"), requests + 1, "requests of clients that agree");
    assert_eq!(world.server.seq(), seq);
    assert_eq!(folders.each_ref().map(|folder| looks(folder)), before);
    assert!(DEADLINE > Duration::from_secs(31), "the server would have been gone for its clients");
}
