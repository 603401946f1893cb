//! Whoever reads a file while it is replaced, again and again, sees a whole version each time.
//!
//! Each version has its number in front and is as long as that says, filled with one byte: so a reader can tell a whole one from anything
//! else without having seen the others.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::scene::{Scene, Subject};
use crate::harness::{AtEnd, eventually};

/// How often the file is replaced.
fn versions() -> u64 {
    if env::var_os("FILESYNC_FAULTS").is_some() { 10_000 } else { 300 }
}

/// Longer and shorter, within a block and over several.
fn version(number: u64) -> Vec<u8> {
    let mut content = format!("{number:08}").into_bytes();
    content.resize(
        8 + usize::try_from(number * 7919 % 70_000).expect("it is small"),
        b'a' + (number % 26) as u8,
    );
    content
}

fn number_of(content: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(content.get(..8)?).ok()?.parse().ok()?;
    (version(number) == content).then_some(number)
}

/// Reads on and on, and says how many times and how many different versions.
fn read_on(path: &Path, done: &AtomicBool) -> (u64, u64) {
    let (mut reads, mut seen, mut last) = (0, 0, u64::MAX);
    while !done.load(Ordering::Relaxed) {
        let content = fs::read(path).expect("it is there all the time");
        let number = number_of(&content);
        let number = number.unwrap_or_else(|| panic!("{}: torn, {} bytes", path.display(), content.len()));
        reads += 1;
        seen += u64::from(number != last);
        last = number;
    }
    (reads, seen)
}

#[test]
fn readers_see_whole_versions_only() {
    let mut scene = Scene::start(None);
    scene.server.put_new("f", version(0)).expect(201);
    scene.settle();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let end = AtEnd(&done);
        let places = Subject::ALL.map(|subject| scene.tree(subject).join("f"));
        let readers = places.map(|path| {
            let done = &done;
            scope.spawn(move || read_on(&path, done))
        });
        for number in 1..=versions() {
            let request =
                scene.server.request("PUT", "/upload/f").field("If-Match", "*").body(version(number));
            scene.server.ask(&request).expect(204);
            if number % 50 == 0 {
                // The clients take what they can, and overtake what they can't.
                let what = format!("version {number} at b");
                eventually(&what, || match fs::read(scene.b.at("f")).ok().as_deref().and_then(number_of) {
                    Some(found) if number <= found => Ok(()),
                    found => Err(format!("{found:?}")),
                });
            }
        }
        drop(end);
        for (reader, subject) in readers.into_iter().zip(Subject::ALL) {
            let (reads, seen) = reader.join().expect("no reader met a torn version");
            println!("readers: {subject:?}: {reads} reads of {seen} versions, each whole");
            assert!(1 < seen, "only one version was ever seen");
        }
    });
    scene.settle();
}
