//! A row of requests to a server without clients, and what it must hold after each.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::injector::Injector;
use crate::harness::{Connection, Request, Response, Server};

/// A server whose calls can go wrong, with a record of them for a power cut.
pub struct Lone {
    pub server: Server,
    pub injector: Injector,
    pub record: PathBuf,
    /// What they live in.
    _directory: TempDir,
}

impl Lone {
    pub fn start() -> Lone {
        let directory = TempDir::new().expect("create a temporary directory");
        let record = directory.path().join("record");
        fs::create_dir(&record).expect("create a directory");
        let injector = Injector::new(directory.path(), "server", Some(record.clone()));
        let mut server = Server::new(directory.path());
        server.environment = injector.environment();
        server.start();
        injector.check_hello(server.process().pid());
        Lone { server, injector, record, _directory: directory }
    }
}

/// What the box holds, by path: content, or what else it is.
pub type Model = BTreeMap<&'static str, String>;

/// A request, and what it does to the box.
pub struct Step {
    pub method: &'static str,
    pub path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    pub effect: fn(&mut Model),
}

impl Step {
    /// What it is about: one path, or two.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.destination().into_iter().chain([self.path])
    }

    /// Whether it has to do with one of these, or with what is above or below it.
    pub fn is_about(&self, paths: &[String]) -> bool {
        let is_near = |one: &str, other: &str| is_at_or_below(one, other) || is_at_or_below(other, one);
        self.paths().any(|mine| paths.iter().any(|path| is_near(mine, path)))
    }

    /// The names that some of these have after it.
    pub fn follow(&self, paths: &[String]) -> Vec<String> {
        let Some(to) = self.destination().filter(|_| self.method == "MOVE") else { return Vec::new() };
        let moved = paths.iter().filter(|path| is_at_or_below(path, self.path));
        moved.map(|path| format!("{to}{}", &path[self.path.len()..])).collect()
    }

    fn destination(&self) -> Option<&'static str> {
        let (_, target) = self.fields.iter().find(|(name, _)| *name == "Destination")?;
        target.strip_prefix("/upload/")
    }
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn moved(model: &mut Model, from: &'static str, to: &'static str) {
    let what = model.remove(from).expect("it is there");
    model.insert(to, what);
}

const NEW: (&str, &str) = ("If-None-Match", "*");
const ANY: (&str, &str) = ("If-Match", "*");

/// Every kind of change, some of them twice over the same path.
pub const STEPS: &[Step] = &[
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

/// `None`: the server ended before it answered.
pub fn ask(server: &Server, step: &Step) -> Option<Response> {
    let request = server.request(step.method, &format!("/upload/{}", step.path));
    let request =
        step.fields.iter().fold(request, |request: Request, (name, value)| request.field(name, value));
    Connection::try_ask(&server.address, &request.body(step.body)).ok()
}

/// What is in the box, once by its files and once by what the server says of them.
pub fn held(server: &Server) -> Model {
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
