//! Calls that fail, once or for a while: what was there stays as it was, whoever asked hears of it, and when the cause is gone everything
//! goes on by itself.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::injector::Fault;
use super::injector::kinds::{
    ACCEPT, CHANGES, CREATE, FLUSH, LABEL, LOCK, LOOK, MAKE, OPEN, READ, RECEIVE, REMOVE, RENAME, SEND,
    TRUNCATE, WRITE,
};
use super::power::{Forgotten, cut};
use super::requests::{Lone, Model, STEPS, Step, ask, held};
use super::scenarios::{CHANGES as SCENARIOS, Change};
use super::scene::{Scene, Subject};
use super::sweep::{Job, Tried, sweep};
use crate::harness::{Json, Response, Server, eventually};

/// What can go wrong, and with which calls.
const ERRORS: &[(&str, Fault, u64)] = &[
    ("ENOSPC", Fault::Error(28), CREATE | WRITE | TRUNCATE | FLUSH | RENAME | MAKE),
    ("EDQUOT", Fault::Error(122), CREATE | WRITE | FLUSH | RENAME | MAKE),
    ("EROFS", Fault::Error(30), CREATE | RENAME | REMOVE | MAKE | LABEL),
    ("EIO", Fault::Error(5), (CHANGES & !LOCK) | OPEN | READ | LOOK),
    ("EMFILE", Fault::Error(24), CREATE | OPEN | ACCEPT),
    ("ENFILE", Fault::Error(23), CREATE | OPEN | ACCEPT),
    ("EACCES", Fault::Error(ACCESS), CREATE | OPEN | RENAME | REMOVE | MAKE | LABEL),
    ("EINTR", Fault::Error(4), CREATE | OPEN | WRITE | TRUNCATE | FLUSH | READ | ACCEPT | SEND | RECEIVE),
    ("ECONNRESET", Fault::Error(104), ACCEPT | SEND | RECEIVE),
    ("short", Fault::Short, WRITE),
];

/// EACCES. Nobody looks again and again at what he may not open: that he may is news, as when somebody has set the permissions.
const ACCESS: i32 = 13;
/// How long after the failure they are set. A program that is not done by then gets twice the time until they are set again.
const GRANT_AFTER: Duration = Duration::from_millis(500);

// ---- One call ----------------------------------------------------------------------------------------------------------------------

#[test]
fn a_call_that_fails_disturbs_nothing() {
    let mut jobs = Vec::new();
    for (change, subject) in SCENARIOS.iter().flat_map(|change| Subject::ALL.map(|subject| (change, subject)))
    {
        for &(name, fault, kinds) in ERRORS {
            jobs.push(Job {
                name: format!("{} {subject:?} {name}", change.name),
                trial: Box::new(move || {
                    let mut scene = Scene::start(None);
                    Box::new(move |call| {
                        scene.try_point(|scene| try_point(scene, change, subject, (fault, kinds), call))
                    })
                }),
            });
        }
    }
    sweep("error", 12, jobs);
}

fn try_point(
    scene: &mut Scene,
    change: &Change,
    subject: Subject,
    (fault, kinds): (Fault, u64),
    call: u64,
) -> Tried {
    let directory = scene.prepare(change);
    scene.injector(subject).arm(fault, kinds, call..=call);
    scene.act(change, &directory);
    let end = match fault {
        Fault::Error(ACCESS) => {
            let (begun, mut after) = (Instant::now(), GRANT_AFTER);
            scene.settle_or_end_while(subject, |scene| {
                if 0 < scene.injector(subject).struck() && after < begun.elapsed() {
                    grant(&scene.tree(subject).join(&directory));
                    after = begun.elapsed() * 2;
                }
            })
        }
        _ => scene.settle_or_end(subject),
    };
    let injector = scene.injector(subject);
    let tried = Tried { struck: 0 < injector.struck(), calls: injector.count() };
    injector.disarm();
    match end {
        Ok(tree) => scene.check(change, &directory, tree),
        Err(code) => panic!("{subject:?} ended with {code}:\n{}", scene.process(subject).log()),
    }
    tried
}

/// Sets the permissions of everything beneath, as they are. What goes meanwhile needs none.
fn grant(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            grant(&entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::metadata(entry.path())
                .and_then(|found| fs::set_permissions(entry.path(), found.permissions()));
        }
    }
    let _ = fs::metadata(directory).and_then(|found| fs::set_permissions(directory, found.permissions()));
}

/// What the server answers while it happens, and holds whatever it answered.
#[test]
fn a_call_that_fails_fails_its_request_alone() {
    let mut jobs = Vec::new();
    for &(name, fault, kinds) in ERRORS {
        // Without an answer nobody knows what came of a request.
        let kinds = kinds & !(SEND | RECEIVE);
        jobs.push(Job {
            name: format!("requests, {name}"),
            trial: Box::new(move || Box::new(move |call| try_requests(fault, kinds, call))),
        });
    }
    sweep("refusal", 5, jobs);
}

fn try_requests(fault: Fault, kinds: u64, call: u64) -> Tried {
    let mut lone = Lone::start();
    let Lone { server, injector, record, .. } = &mut lone;
    injector.arm(fault, kinds, call..=call);
    let mut model = Model::new();
    // What the step was about that was hit, be it that its answer was on its way by then.
    let (mut disturbed, mut last): (Vec<String>, Option<&Step>) = (Vec::new(), None);
    for step in STEPS {
        if let Some(last) = last {
            let is_first = disturbed.is_empty() && 0 < injector.struck();
            let (hit, followed) = (is_first.then(|| last.paths()), last.follow(&disturbed));
            disturbed.extend(hit.into_iter().flatten().map(str::to_owned).chain(followed));
        }
        last = Some(step);
        let answer = ask(server, step).or_else(|| {
            // Who has not been heard yet has to go when descriptors run out, and may come back.
            assert!(
                matches!(fault, Fault::Error(23 | 24)) && 0 < injector.struck(),
                "the server does not answer"
            );
            ask(server, step)
        });
        let answer = answer.expect("the server answers");
        if !matches!(answer.status, 201 | 204) {
            // If it can't be seen what was put in place, it has to be read once more before anybody can move it.
            match answer.status == 412 && step.is_about(&disturbed) {
                true => assert_eq!(held(server), model, "412 to {} {}", step.method, step.path),
                false => check_refusal(server, step, &answer, fault, &model),
            }
            eventually("the same request to succeed", || {
                let again = ask(server, step).expect("the server answers");
                if matches!(again.status, 201 | 204) { Ok(()) } else { Err(format!("{again:?}")) }
            });
        }
        (step.effect)(&mut model);
    }
    let tried = Tried { struck: 0 < injector.struck(), calls: injector.count() };
    injector.disarm();
    assert_eq!(held(server), model);
    // A flush that failed has not been taken for a good one later.
    server.kill();
    cut(record, &server.folder, Forgotten::All);
    server.start();
    assert_eq!(held(server), model, "after a power cut");
    tried
}

/// Nothing has changed, nothing is left over, and the answer says what was wrong.
fn check_refusal(server: &Server, step: &Step, answer: &Response, fault: Fault, model: &Model) {
    let said = String::from_utf8_lossy(&answer.body);
    let what = format!("{} {}: {} {said}", step.method, step.path, answer.status);
    let wanted = match fault {
        Fault::Error(28 | 122) => 507,
        // Descriptors have run out, which is over soon.
        Fault::Error(23 | 24) => 503,
        _ => 500,
    };
    assert_eq!(answer.status, wanted, "{what}");
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"), "{what}");
    assert_eq!(&held(server), model, "{what}");
    eventually("staging to be empty", || {
        let left = fs::read_dir(server.folder.join(".filesync/staging")).expect("read a directory").count();
        if left == 0 { Ok(()) } else { Err(format!("{left} things are left over in staging")) }
    });
}

// ---- For a while -------------------------------------------------------------------------------------------------------------------

/// Errors that stay until somebody makes room, and what they look like.
const LASTING: &[(i32, &str)] = &[
    (28, "No space left on device"),
    (122, "quota exceeded"),
    (30, "Read-only file system"),
    (5, "Input/output error"),
    (13, "Permission denied"),
];

#[test]
fn a_folder_that_takes_nothing_is_a_problem_with_a_name() {
    let mut scene = Scene::start(None);
    for &(number, words) in LASTING {
        let old = format!("old {number}");
        write(&scene.b.at(&old), "old version");
        scene.settle();
        scene.injector(Subject::B).arm(Fault::Error(number), FLUSH, 1..=u64::MAX);
        write(&scene.a.at(format!("new {number}")), "can't arrive");
        write(&scene.a.at(&old), "can't arrive either");
        for path in [format!("new%20{number}"), format!("old%20{number}")] {
            wait_for_problem(&scene, Subject::B, &path, words);
        }
        assert_eq!(fs::read_to_string(scene.b.at(&old)).expect("read a file"), "old version");
        // What goes the other way needs no room here.
        write(&scene.b.at(format!("of b {number}")), "leaves");
        scene.a.wait_for_content(format!("of b {number}"), b"leaves");
        scene.injector(Subject::B).disarm();
        scene.settle();
    }
}

/// Where nothing can be written the status can't be either; then it must not go on saying that all is well.
#[test]
fn a_folder_in_which_nothing_can_be_written_is_not_idle() {
    let mut scene = Scene::start(None);
    scene.injector(Subject::B).arm(Fault::Error(28), CREATE | WRITE | MAKE | RENAME, 1..=u64::MAX);
    write(&scene.a.at("new"), "can't arrive");
    eventually("the status not to say idle", || {
        let status = scene.b.status();
        if status.get("state").text() == "idle" { Err(format!("{status:?}")) } else { Ok(()) }
    });
    scene.injector(Subject::B).disarm();
    scene.settle();
}

/// What it has done may be lost in a power cut, and `idle` says that it will not be.
#[test]
fn a_client_that_cannot_save_its_state_is_not_idle() {
    let mut scene = Scene::start(None);
    for name in ["f", "g"] {
        write(&scene.a.at(name), name);
    }
    scene.settle();
    scene.injector(Subject::B).arm(Fault::Error(28), FLUSH, 1..=u64::MAX);
    // Nothing has to be flushed for it but the state.
    fs::remove_file(scene.a.at("f")).expect("remove a file");
    eventually("only the state to be left to do", || {
        let status = scene.b.status();
        let problems = status.get("problems").list();
        let is_known = problems.iter().any(|problem| problem.get("operation").text() == "save the state");
        let is_all = status.get("pending").number() == 0 && !scene.b.at("f").exists();
        assert!(!is_known || status.get("state").text() != "idle", "{status:?}");
        if is_known && is_all { Ok(()) } else { Err(format!("{status:?}")) }
    });
    scene.injector(Subject::B).disarm();
    scene.settle();
    // A single pass does not wait for it.
    scene.stop(Subject::B);
    fs::remove_file(scene.a.at("g")).expect("remove a file");
    eventually("the box to follow", || match scene.server.get("/download/g").status {
        404 => Ok(()),
        status => Err(format!("{status}")),
    });
    scene.injector(Subject::B).arm(Fault::Error(28), FLUSH, 1..=u64::MAX);
    let pass = scene.b.once(&["--force"]).expect_code(1);
    pass.expect_words(&["save the state"]);
    scene.injector(Subject::B).disarm();
    scene.launch(Subject::B);
    scene.settle();
}

/// Nothing else happens to it that would be news.
#[test]
fn what_could_not_be_read_in_the_box_is_read_again() {
    let mut scene = Scene::start(None);
    scene.injector(Subject::Server).arm(Fault::Error(24), OPEN, 1..=u64::MAX);
    write(&scene.server.folder.join("f"), "by hand");
    eventually("the server to say that it can't be read", || {
        let log = scene.server.log();
        if log.contains("f: can't be read") { Ok(()) } else { Err(log) }
    });
    scene.injector(Subject::Server).disarm();
    scene.settle();
    assert_eq!(fs::read_to_string(scene.b.at("f")).expect("read a file"), "by hand");
}

/// Word of that comes for the directory, and not for what is in it.
#[test]
fn what_was_not_allowed_to_be_looked_at_is_looked_at_when_it_is() {
    let mut scene = Scene::start(None);
    let directory = scene.a.at("d/e");
    fs::create_dir_all(&directory).expect("make a directory");
    write(&directory.join("f"), "to be deleted");
    scene.settle();
    scene.injector(Subject::A).arm(Fault::Error(ACCESS), OPEN, 1..=u64::MAX);
    fs::remove_file(directory.join("f")).expect("remove a file");
    let is_problem = |is_wanted: bool| {
        eventually("the problem to come or go", || {
            let status = scene.a.status();
            let mut problems = status.get("problems").list().iter();
            let is_one =
                problems.any(|problem| problem.get("error").text().contains("d/e/f: Permission denied"));
            if is_one == is_wanted { Ok(()) } else { Err(format!("{status:?}")) }
        })
    };
    is_problem(true);
    scene.injector(Subject::A).disarm();
    grant(&scene.a.at("d"));
    is_problem(false);
    scene.settle();
    assert!(!scene.b.at("d/e/f").exists());
}

#[test]
fn a_box_that_takes_nothing_still_gives() {
    let mut scene = Scene::start(None);
    for &(number, words) in LASTING {
        let old = format!("old {number}");
        write(&scene.a.at(&old), "old version");
        scene.settle();
        scene.injector(Subject::Server).arm(
            Fault::Error(number),
            CREATE | WRITE | MAKE | RENAME,
            1..=u64::MAX,
        );
        write(&scene.a.at(&old), "can't arrive");
        wait_for_problem(&scene, Subject::A, &format!("old%20{number}"), words);
        let answer = scene.server.get(&format!("/download/old%20{number}")).expect(200);
        assert_eq!(answer.body, b"old version");
        scene.injector(Subject::Server).disarm();
        scene.settle();
        assert_eq!(fs::read_to_string(scene.b.at(&old)).expect("read a file"), "can't arrive");
    }
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).expect("write a file");
}

#[track_caller]
fn wait_for_problem(scene: &Scene, subject: Subject, path: &str, words: &str) {
    let client = if subject == Subject::A { &scene.a } else { &scene.b };
    eventually(&format!("{path} to be a problem"), || {
        let status = client.status();
        let is_it = status.get("problems").list().iter().any(|problem| {
            problem.get("path") == &Json::Text(path.to_owned()) && problem.get("error").text().contains(words)
        });
        if is_it { Ok(()) } else { Err(format!("{status:?}")) }
    });
}
