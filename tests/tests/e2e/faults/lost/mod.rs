//! A power cut before any call of a program, and when it is idle: what a client calls `idle` is durable.

mod acknowledged;

use super::power::Forgotten;
use super::scenarios::{CHANGES, Change};
use super::scene::{Scene, Subject};
use super::sweep::{Job, Tried, sweep};

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
