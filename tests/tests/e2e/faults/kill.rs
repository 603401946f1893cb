//! A kill immediately before any call that changes something on disk.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::scenarios::{CHANGES, Change, UNIONS};
use super::scene::{Scene, Subject};
use super::sweep::{Job, Tried, sweep};

/// What the program is at when it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// It runs, and learns of the change.
    Live,
    /// The change was made while it did not run; it starts.
    Start,
    /// The change was made while it did not run, and it knows nothing of a former life.
    FirstStart,
    /// It is told to stop while it deals with the change.
    Stop,
    /// Its journal has grown so much that the change makes it write it anew.
    Compaction,
    /// It was killed while it dealt with the change, and starts again.
    Recovery,
}

impl When {
    /// The changes that are tried then; none: all.
    fn changes(self) -> &'static [&'static str] {
        match self {
            When::Live => &[],
            When::Start => &["group", "overwrite", "delete", "rename-directory", "conflict"],
            // Besides those of `UNIONS`.
            When::FirstStart => &["group", "new-tree", "new-in-the-box"],
            When::Stop => &["group", "overwrite", "delete-tree"],
            When::Compaction => &["new-file"],
            When::Recovery => &["overwrite", "delete", "rename-directory", "file-to-directory"],
        }
    }
}

#[test]
fn a_kill_before_any_call_loses_nothing() {
    use When::{Compaction, FirstStart, Live, Recovery, Start, Stop};
    let mut jobs = Vec::new();
    for when in [Live, Start, FirstStart, Stop, Compaction, Recovery] {
        let changes = CHANGES.iter().filter(|change| {
            let named = when.changes();
            named.is_empty() || named.contains(&change.name)
        });
        let unions = if when == FirstStart { UNIONS } else { &[] };
        let changes = changes.chain(unions);
        for (change, subject) in changes.flat_map(|change| Subject::ALL.map(|subject| (change, subject))) {
            jobs.push(Job {
                name: format!("{} {when:?} {subject:?}", change.name),
                trial: Box::new(move || {
                    let scene = Scene::start(None);
                    let mut scene = if when == FirstStart { scene.one_at_a_time() } else { scene };
                    Box::new(move |call| {
                        scene.try_point(|scene| try_point(scene, change, when, subject, call))
                    })
                }),
            });
        }
    }
    sweep("kill", 12, jobs);
}

fn try_point(scene: &mut Scene, change: &Change, when: When, subject: Subject, call: u64) -> Tried {
    let directory = scene.prepare(change);
    match when {
        When::Live => {
            scene.arm_kill(subject, call);
            scene.act(change, &directory);
        }
        When::Start | When::FirstStart => {
            scene.stop(subject);
            scene.act(change, &directory);
            if when == When::FirstStart {
                fs::remove_dir_all(scene.tree(subject).join(".filesync")).expect("forget a former life");
            }
            scene.arm_kill(subject, call);
            scene.launch(subject);
        }
        When::Stop => {
            scene.arm_kill(subject, call);
            scene.act(change, &directory);
            scene.process(subject).signal("TERM");
            return stopped(scene, change, &directory, subject);
        }
        When::Compaction => {
            scene.stop(subject);
            grow(scene, subject);
            scene.launch(subject);
            scene.settle();
            scene.arm_kill(subject, call);
            scene.act(change, &directory);
        }
        When::Recovery => {
            // Somewhere in the middle, each time somewhere else.
            scene.arm_kill(subject, 1 + call % 13);
            scene.act(change, &directory);
            let _ = scene.settle_or_end(subject);
            scene.injector(subject).disarm();
            if scene.process(subject).exit_code().is_none() {
                scene.stop(subject);
            }
            scene.arm_kill(subject, call);
            scene.launch(subject);
        }
    }
    let struck = scene.outlive(subject);
    scene.judge(change, &directory);
    Tried { struck, calls: scene.injector(subject).count() }
}

/// A program that was told to stop ends in any case.
fn stopped(scene: &mut Scene, change: &Change, directory: &std::path::Path, subject: Subject) -> Tried {
    let code = scene.process(subject).wait();
    let injector = scene.injector(subject);
    let (struck, calls) = (0 < injector.struck(), injector.count());
    injector.disarm();
    assert_eq!(code, if struck { 137 } else { 143 }, "exit code of {subject:?}");
    scene.launch(subject);
    scene.judge(change, directory);
    Tried { struck, calls }
}

/// Repeats the last record of a journal until it is so long that it is written anew at the next opportunity.
fn grow(scene: &Scene, subject: Subject) {
    const ENOUGH: usize = 5 << 20;
    let name = if subject == Subject::Server { "journal" } else { "state" };
    let path = scene.tree(subject).join(".filesync").join(name);
    let journal = fs::read(&path).expect("read a journal");
    let mut records = &journal[8..];
    let mut last = records;
    while let Some(length) = records.first_chunk() {
        (last, records) = records.split_at(8 + u32::from_le_bytes(*length) as usize);
    }
    let many = last.repeat(ENOUGH / last.len());
    let mut file = OpenOptions::new().append(true).open(&path).expect("open a journal");
    file.write_all(&many).expect("write a journal");
}
