//! A power cut before any call of a program, and when it is idle: what a client calls `idle` is durable.

mod acknowledged;

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::power::Forgotten;
use super::scenarios::{CHANGES, Change};
use super::scene::{Scene, Subject};
use super::sweep::{Job, Tried, sweep};
use crate::harness::eventually;

#[test]
fn a_power_cut_before_any_call_loses_nothing() {
    let mut jobs = Vec::new();
    for (change, subject) in CHANGES.iter().flat_map(|change| Subject::ALL.map(|subject| (change, subject))) {
        for forgotten in Forgotten::EVERY {
            jobs.push(Job {
                name: format!("{} {subject:?}, forgetting {forgotten:?}", change.name),
                trial: Box::new(move || {
                    let mut scene = Scene::start(Some(subject));
                    Box::new(move |call| {
                        scene.try_point(|scene| try_point(scene, change, subject, forgotten, call))
                    })
                }),
            });
        }
    }
    sweep("power cut", 12, jobs);
}

fn try_point(scene: &mut Scene, change: &Change, subject: Subject, forgotten: Forgotten, call: u64) -> Tried {
    let directory = scene.prepare(change);
    scene.arm_kill(subject, call);
    scene.act(change, &directory);
    let struck = scene.settle_or_end(subject).is_err();
    scene.injector(subject).disarm();
    if !struck {
        scene.process(subject).kill();
    }
    scene.cut_power(subject, forgotten);
    if !struck && subject != Subject::Server {
        // It was idle. (A server first has to read its journal.)
        if let Err(difference) = change.judge(&scene.tree(subject).join(&directory)) {
            panic!("{}: idle, and then not durable: {difference}", change.name);
        }
    }
    scene.launch(subject);
    scene.judge(change, &directory);
    Tried { struck, calls: scene.injector(subject).count() }
}

/// The server may have the copy before a power cut takes its name here. Then there would be another one.
#[test]
fn the_name_of_a_conflict_copy_is_flushed_at_once() {
    let mut scene = Scene::start(Some(Subject::A));
    fs::create_dir(scene.a.at("d")).expect("make a directory");
    fs::write(scene.a.at("d/f"), "before").expect("write a file");
    scene.settle();
    scene.stop(Subject::A);
    fs::write(scene.b.at("d/f"), "of b").expect("write a file");
    scene.b.wait_for_state("idle");
    eventually("the server to have it", || match scene.server.get("/download/d/f").body.as_slice() {
        b"of b" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    fs::write(scene.a.at("d/f"), "of a").expect("write a file");
    scene.launch(Subject::A);
    scene.settle();
    let record = scene.record();
    let behind =
        record.lines().skip_while(|line| !(line.starts_with("rename ") && line.contains("conflict")));
    let inode = fs::metadata(scene.a.at("d")).expect("look at a directory").ino();
    let flush = format!("flush {inode} 0");
    assert!(
        behind.clone().any(|line| line == flush),
        "{flush} is missing behind {:?}",
        behind.clone().next()
    );
}
