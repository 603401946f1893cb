//! Power cuts: what was acknowledged is there afterwards, and what a client calls `idle` as well.

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::injector::{Fault, Injector, kinds};
use super::power::{Forgotten, cut};
use super::scenarios::{CHANGES, Change};
use super::scene::{Scene, Subject};
use super::sweep::{Job, Tried, sweep};
use crate::harness::{Connection, Request, Response, Server};

// ---- Folders and box ---------------------------------------------------------------------------------------------------------------

#[test]
fn a_power_cut_before_any_call_loses_nothing() {
    let mut jobs = Vec::new();
    for (change, subject) in CHANGES.iter().flat_map(|change| Subject::ALL.map(|subject| (change, subject))) {
        for forgotten in Forgotten::EVERY {
            jobs.push(Job {
                name: format!("{} {subject:?}, forgetting {forgotten:?}", change.name),
                trial: Box::new(move || {
                    let mut scene = Scene::start(Some(subject));
                    Box::new(move |call| try_point(&mut scene, change, subject, forgotten, call))
                }),
            });
        }
    }
    sweep("power cut", 1, jobs);
}

fn try_point(scene: &mut Scene, change: &Change, subject: Subject, forgotten: Forgotten, call: u64) -> Tried {
    let directory = scene.prepare(change);
    scene.arm_kill(subject, call);
    scene.act(change, &directory);
    let struck = scene.settle_or_end(subject).is_some();
    scene.injector(subject).disarm();
    if !struck {
        scene.process(subject).kill();
    }
    scene.cut_power(subject, forgotten);
    if !struck {
        // It had said that all is well.
        if let Err(difference) = change.judge(&scene.tree(subject).join(&directory)) {
            panic!("{}: idle, and then not durable: {difference}", change.name);
        }
    }
    scene.launch(subject);
    scene.judge(change, &directory);
    Tried { struck, calls: scene.injector(subject).count() }
}

// ---- Requests ----------------------------------------------------------------------------------------------------------------------

/// What the box holds, by path: content, or what else it is.
type Model = BTreeMap<&'static str, String>;

/// A request, and what it does to the box.
struct Step {
    method: &'static str,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    effect: fn(&mut Model),
}

fn moved(model: &mut Model, from: &'static str, to: &'static str) {
    let what = model.remove(from).expect("it is there");
    model.insert(to, what);
}

const NEW: (&str, &str) = ("If-None-Match", "*");
const ANY: (&str, &str) = ("If-Match", "*");

/// Every kind of change, some of them twice over the same path.
const STEPS: &[Step] = &[
    Step {
        method: "PUT",
        path: "a",
        fields: &[NEW],
        body: "one",
        effect: |m| drop(m.insert("a", "one".into())),
    },
    Step {
        method: "PUT",
        path: "b",
        fields: &[NEW],
        body: "two",
        effect: |m| drop(m.insert("b", "two".into())),
    },
    Step {
        method: "PUT",
        path: "a",
        fields: &[ANY],
        body: "three",
        effect: |m| drop(m.insert("a", "three".into())),
    },
    Step {
        method: "PUT",
        path: "d",
        fields: &[NEW, ("File-Kind", "dir")],
        body: "",
        effect: |m| drop(m.insert("d", "dir".into())),
    },
    Step {
        method: "PUT",
        path: "d/x",
        fields: &[NEW],
        body: "four",
        effect: |m| drop(m.insert("d/x", "four".into())),
    },
    Step {
        method: "MOVE",
        path: "a",
        fields: &[ANY, ("Destination", "/upload/c"), ("Overwrite", "F")],
        body: "",
        effect: |m| moved(m, "a", "c"),
    },
    Step {
        method: "COPY",
        path: "c",
        fields: &[ANY, ("Destination", "/upload/e"), ("Overwrite", "F")],
        body: "",
        effect: |m| drop(m.insert("e", "three".into())),
    },
    Step {
        method: "PATCH",
        path: "c",
        fields: &[ANY, ("Content-Type", "application/merge-patch+json")],
        body: "{\"mode\":\"600\"}",
        effect: |_| {},
    },
    Step { method: "DELETE", path: "b", fields: &[ANY], body: "", effect: |m| drop(m.remove("b")) },
    Step {
        method: "PUT",
        path: "l",
        fields: &[NEW, ("File-Kind", "symlink")],
        body: "nowhere",
        effect: |m| drop(m.insert("l", "link to nowhere".into())),
    },
    Step {
        method: "MOVE",
        path: "d",
        fields: &[ANY, ("Destination", "/upload/n"), ("Overwrite", "F")],
        body: "",
        effect: |m| {
            moved(m, "d", "n");
            moved(m, "d/x", "n/x");
        },
    },
    Step {
        method: "PUT",
        path: "n/x",
        fields: &[ANY],
        body: "five",
        effect: |m| drop(m.insert("n/x", "five".into())),
    },
    Step {
        method: "PUT",
        path: "b",
        fields: &[NEW],
        body: "six",
        effect: |m| drop(m.insert("b", "six".into())),
    },
    Step { method: "DELETE", path: "n/x", fields: &[ANY], body: "", effect: |m| drop(m.remove("n/x")) },
    Step { method: "DELETE", path: "n", fields: &[ANY], body: "", effect: |m| drop(m.remove("n")) },
    Step {
        method: "PUT",
        path: "l",
        fields: &[ANY],
        body: "no link any more",
        effect: |m| drop(m.insert("l", "no link any more".into())),
    },
];

/// Whether calls or answers are struck.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeCall,
    AfterAnswer,
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let mut jobs = Vec::new();
    for moment in [Moment::BeforeCall, Moment::AfterAnswer] {
        for forgotten in Forgotten::EVERY {
            jobs.push(Job {
                name: format!("requests, {moment:?}, forgetting {forgotten:?}"),
                trial: Box::new(move || Box::new(move |call| try_requests(moment, forgotten, call))),
            });
        }
    }
    sweep("acknowledged", 6, jobs);
}

fn try_requests(moment: Moment, forgotten: Forgotten, call: u64) -> Tried {
    let directory = TempDir::new().expect("create a temporary directory");
    let record = directory.path().join("record");
    fs::create_dir(&record).expect("create a directory");
    let injector = Injector::new(directory.path(), "server", Some(record.clone()));
    let mut server = Server::new(directory.path());
    server.environment = injector.environment();
    server.start();
    injector.check_hello(server.process().pid());
    let kinds = match moment {
        Moment::BeforeCall => kinds::CHANGES,
        Moment::AfterAnswer => kinds::ANSWER,
    };
    injector.arm(Fault::Kill, kinds, call..=call);
    let (mut acknowledged, mut asked) = (Model::new(), Model::new());
    let mut answered = 0;
    for step in STEPS {
        (step.effect)(&mut asked);
        let Some(response) = ask(&server, step) else { break };
        assert!(matches!(response.status, 201 | 204), "{} {}: {response:?}", step.method, step.path);
        acknowledged.clone_from(&asked);
        answered += 1;
    }
    let tried = Tried { struck: 0 < injector.struck(), calls: injector.count() };
    injector.disarm();
    match tried.struck {
        true => assert_eq!(server.process().wait(), 137, "exit code of a server that was to be killed"),
        false => server.kill(),
    }
    cut(&record, &server.folder, forgotten);
    server.start();
    let found = held(&server);
    assert!(
        found == acknowledged || found == asked,
        "{answered} changes were acknowledged; the box holds {found:?} and not {acknowledged:?}, nor {asked:?}"
    );
    let left = fs::read_dir(server.folder.join(".filesync/staging")).expect("read a directory").count();
    assert_eq!(left, 0, "things left over in staging");
    tried
}

/// `None`: the server ended before it answered.
fn ask(server: &Server, step: &Step) -> Option<Response> {
    let request = server.request(step.method, &format!("/upload/{}", step.path));
    let request =
        step.fields.iter().fold(request, |request: Request, (name, value)| request.field(name, value));
    Connection::try_ask(&server.address, &request.body(step.body)).ok()
}

/// What is in the box, once by its files and once by what the server says of them.
fn held(server: &Server) -> Model {
    let mut model = Model::new();
    for path in ["a", "b", "c", "d", "d/x", "e", "l", "n", "n/x"] {
        let place = server.folder.join(path);
        let told = server.get(&format!("/download/{path}"));
        let Ok(found) = fs::symlink_metadata(&place) else {
            assert_eq!(told.status, 404, "{path} is not in the box");
            continue;
        };
        assert_eq!(told.status, 200, "{path} is in the box");
        let content = String::from_utf8_lossy(&told.body).into_owned();
        let what = if found.is_dir() {
            "dir".to_owned()
        } else if found.is_symlink() {
            format!("link to {content}")
        } else {
            assert_eq!(fs::read(&place).expect("read a file"), told.body, "{path}");
            content
        };
        model.insert(path, what);
    }
    model
}
