//! A directory that turns into a symbolic link and back, as fast as anybody can swap them, in the box and in a client's folder, while
//! content is uploaded, downloaded, moved and deleted beneath it. The link leads outside, to a canary: it is never written to, and what is
//! in there is never read out.
//!
//! A minute of it, with the kernel's way to stay beneath a directory and without, is part of `scripts/floods`; here it is a moment.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::injector::{Fault, Injector, kinds};
use crate::harness::{
    AtEnd, Connection, DEADLINE, Server, World, eventually, example, exchange, is_full, pass, snapshot,
};

/// What nobody may ever get to read.
const CANARY: &str = "the canary sings";
/// Names that are there outside and that are asked for beneath the directory that is none.
const NAMES: [&str; 4] = ["canary", "deep/canary", "new", "deep/new"];

/// So many requests are to be granted, if there is time.
const ENOUGH: u64 = 500;

fn time() -> Duration {
    Duration::from_secs(if is_full() { 60 } else { 4 })
}

/// What lies outside, how it looked, and when anything last happened to each part of it: of what was put there and taken away again in
/// between two looks, the times still tell.
struct Outside {
    directory: PathBuf,
    tree: crate::harness::Tree,
    times: Vec<(i64, i64)>,
}

impl Outside {
    fn make(directory: PathBuf) -> Outside {
        fs::create_dir_all(directory.join("deep")).expect("make a directory");
        for name in ["canary", "deep/canary"] {
            fs::write(directory.join(name), CANARY).expect("write the canary");
        }
        let tree = snapshot(&directory).expect("nobody changes it");
        let times = Outside::times(&directory);
        Outside { directory, tree, times }
    }

    /// Names, content and metadata all leave their mark on the time of the last change, which nobody can set.
    fn times(directory: &Path) -> Vec<(i64, i64)> {
        let time = |name: &str| {
            let found = fs::symlink_metadata(directory.join(name)).expect("nobody takes it away");
            (found.ctime(), found.ctime_nsec())
        };
        ["", "canary", "deep", "deep/canary"].map(time).to_vec()
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(
            snapshot(&self.directory).expect("nobody changes it"),
            self.tree,
            "what lies outside has changed"
        );
        assert_eq!(
            Outside::times(&self.directory),
            self.times,
            "what lies outside was changed, and changed back"
        );
    }
}

/// Makes `name` in `tree` a directory, and beside the tree a link to the outside, to be swapped with it.
fn prepare(tree: &Path, beside: &Path, outside: &Outside) {
    fs::create_dir_all(tree.join("flip/deep")).expect("make a directory");
    symlink(&outside.directory, beside).expect("make a link");
}

/// Sees to it that one of the two is a directory and the other a link: the link syncs as well, so who follows may take it away, or put a
/// directory in its place, and then nothing would lead outside any more.
fn mend(flip: &Path, beside: &Path, outside: &Outside) -> io::Result<()> {
    let is_directory = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.is_dir());
    match (is_directory(flip), is_directory(beside)) {
        (Some(true), Some(true)) => {
            fs::remove_dir_all(beside)?;
            symlink(&outside.directory, beside)
        }
        (Some(false), Some(false)) => {
            fs::remove_file(beside)?;
            fs::create_dir_all(beside.join("deep"))
        }
        (None, Some(true)) => symlink(&outside.directory, flip),
        (None, Some(false)) => fs::create_dir(flip),
        _ => Ok(()),
    }
}

/// Swaps the two until `done`, and leaves a directory in its place. How often.
fn flip(tree: &Path, beside: &Path, outside: &Outside, done: &AtomicBool) -> u64 {
    let (flip, mut round, mut swaps) = (tree.join("flip"), 0, 0);
    while !done.load(Ordering::Relaxed) {
        // The name may be missing for a moment: what it is travels, too, and what it was makes way.
        swaps += u64::from(exchange(&flip, beside).is_ok());
        round += 1;
        // Some rounds as fast as can be, some with time for others to walk into it.
        if round % 8 == 0 {
            // What others do at the same moment may be in the way; then it is the next round's.
            let _ = mend(&flip, beside, outside);
            pass(Duration::from_micros(200 * (round % 5)));
        }
    }
    eventually("a directory in its place", || match fs::symlink_metadata(&flip) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!(
            "{:?}",
            exchange(&flip, beside).and_then(|()| Err::<(), _>(io::Error::other("swapped")))
        )),
        Err(_) => Err(format!("{:?}", fs::create_dir(&flip))),
    });
    swaps
}

/// Asks for everything that can be asked for beneath the directory, and counts how much of it is granted.
fn ask_on(server: &Server, done: &AtomicBool, granted: &AtomicU64, mut round: u64) {
    let mut connection = server.connect();
    while !done.load(Ordering::Relaxed) {
        round += 1;
        let name = NAMES[round as usize % NAMES.len()];
        let (upload, download) = (format!("/upload/flip/{name}"), format!("/download/flip/{name}"));
        let request = match round % 7 {
            0 => server.request("PUT", &upload).field("If-None-Match", "*").body("new"),
            1 => server.request("PUT", &upload).field("If-Match", "*").body(format!("{round}")),
            2 | 3 => server.request("GET", &download),
            4 => server.request("DELETE", &upload).field("If-Match", "*"),
            5 => server
                .request("MOVE", &upload)
                .field("If-Match", "*")
                .field("Destination", "/upload/flip/new"),
            _ => {
                server.request("COPY", "/upload/source").field("If-Match", "*").field("Destination", &upload)
            }
        };
        let Ok(answer) = connection.try_send(request.encode()).and_then(|()| connection.try_response())
        else {
            connection = Connection::open(&server.address);
            continue;
        };
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY), "round {round}: {answer:?}");
        granted.fetch_add(u64::from(answer.status < 300), Ordering::Relaxed);
    }
}

/// Whether the canary has come to be anywhere in these trees, filesync's own files included.
#[track_caller]
fn check_not_read_out(trees: [&Path; 3]) {
    for tree in trees {
        let mut directories = vec![tree.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
                let Ok(found) = fs::symlink_metadata(&entry) else { continue };
                if found.is_dir() {
                    directories.push(entry);
                } else if found.is_file() {
                    let content = fs::read(&entry).unwrap_or_default();
                    let sings = content.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
                    assert!(!sings, "{} holds what lies outside", entry.display());
                }
            }
        }
    }
}

/// The library that stands before the system calls can have the kernel look older than it is.
fn run(is_old_kernel: bool) {
    let mut world = World::new();
    if is_old_kernel {
        let old = [("LD_PRELOAD", example("libfaults.so").into()), ("FAULT_OLD_KERNEL", "1".into())];
        world.server.stop();
        world.server.environment.extend(old.clone());
        world.server.start();
        world.a.environment.extend(old.clone());
        world.b.environment.extend(old);
    }
    let directory = world.directory().to_owned();
    let outside = Outside::make(directory.join("outside"));
    world.server.put_new("source", "source").expect(201);
    // Where a directory is a link, all that was in it is gone: more than a client deletes on the server without being told to.
    world.a.options = &["--force"];
    world.b.options = &["--force"];
    world.a.start();
    world.settle();
    let places = [(world.server.folder.clone(), "box"), (world.a.folder.clone(), "a")];
    let places = places.map(|(tree, name)| (tree, directory.join(format!("beside-{name}"))));
    for (tree, beside) in &places {
        prepare(tree, beside, &outside);
    }
    let (done, granted) = (AtomicBool::new(false), AtomicU64::new(0));
    let flips = thread::scope(|scope| {
        let done = &done;
        let end = AtEnd(done);
        let outside = &outside;
        let flippers =
            places.each_ref().map(|(tree, beside)| scope.spawn(|| flip(tree, beside, outside, done)));
        for number in 0..3 {
            let (server, granted) = (&world.server, &granted);
            scope.spawn(move || ask_on(server, done, granted, number));
        }
        let folder = &world.a.folder;
        scope.spawn(move || {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                // Beneath whatever it is just now: what comes of it for the user outside is not the client's doing, so it is not written.
                let _ = fs::write(folder.join(format!("beside-{}", number % 5)), format!("{number}"));
                pass(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        // On a machine that is busy with other things little happens in the same time.
        let is_little = || granted.load(Ordering::Relaxed) < ENOUGH && begun.elapsed() < DEADLINE;
        while begun.elapsed() < time() || is_little() {
            outside.check();
            pass(Duration::from_millis(50));
        }
        drop(end);
        flippers.map(|flipper| flipper.join().expect("it swaps"))
    });
    println!("canary: {flips:?} swaps in box and folder, {granted:?} requests granted");
    assert!(flips.iter().all(|flips| 50 < *flips) && 0 < granted.into_inner(), "{flips:?}");
    outside.check();
    check_not_read_out([&world.server.folder, &world.a.folder, &world.b.folder]);
    // With the directory in its place for good all comes to agree, and the other client gets it too.
    world.b.start();
    world.settle();
    outside.check();
    check_not_read_out([&world.server.folder, &world.a.folder, &world.b.folder]);
}

#[test]
fn a_directory_that_is_a_link_now_and_then() {
    run(false);
}

#[test]
fn the_same_without_the_help_of_the_kernel() {
    run(true);
}

/// How many calls open something while a file far below is downloaded.
fn opened_for_a_download(is_old_kernel: bool) -> u64 {
    let mut world = World::new();
    world.server.stop();
    let path = format!("{}file", "a/".repeat(50));
    fs::create_dir_all(world.server.folder.join("a/".repeat(50))).expect("make directories");
    fs::write(world.server.folder.join(&path), "content").expect("write a file");
    let injector = Injector::new(world.directory(), "server", None);
    world.server.environment.extend(injector.environment());
    if is_old_kernel {
        world.server.environment.push(("FAULT_OLD_KERNEL", "1".into()));
    }
    world.server.start();
    injector.arm(Fault::Error(1), kinds::OPEN, u64::MAX..=u64::MAX);
    assert_eq!(world.server.get(&format!("/download/{path}")).expect(200).body, b"content");
    injector.count()
}

/// Otherwise the test above would try the same as the one before.
#[test]
fn without_the_kernel_each_name_is_opened_by_itself() {
    let (with, without) = (opened_for_a_download(false), opened_for_a_download(true));
    assert!(0 < with && with < 25 && 50 < without, "{with} calls with, {without} without");
}
