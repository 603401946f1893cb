//! `MOVE` and `COPY /upload/{path}`: new names for what the box holds already, without a body.
//!
//! ```text
//!     MOVE /upload/old HTTP/1.1                        If-Match names the version at the old path: 412 if it is another, 404 if nothing
//!     Destination: /upload/new                         there may be nothing at the new path: 412 with what is there
//!     If-Match: "dir"                                  its parent must be there: 409
//!     Overwrite: F                                     the default, and all there is: what is in the way is to be deleted first
//! ```
//!
//! A directory moves as a whole, in one rename, one record and one seq. Whoever follows the stream hears of it as `download`s of all new
//! paths and then `delete`s of all old ones, with the `id` on the last: a client that knows nothing of moves recognises the content.
//!
//! A copy is how a client stores content of which the box has another instance: it names that one, and what it needs to know is its path
//! and hash. The copy is a version of its own, with the times and permission bits that the request gives, else those of the original.

use common::protocol::{Cursor, MODE_FIELD, MTIME_FIELD, parse_mode, parse_mtime};
use common::tree::{Content as Version, Entry, Meta, Path};
use common::wire::http::head::Method;

use crate::answer::{Answer, Refusal};
use crate::download::{changing, link_target, unreadable};
use crate::request::Request;
use crate::route::upload_path;
use crate::service::Service;
use crate::store::{Action, Copied, Refused, Replaced, Require};
use crate::upload::{check_room, committed, refused, require_existing, stored};

/// `MOVE` and `COPY`.
pub(crate) fn relocate(service: &Service, request: &Request<'_>, from: &Path) -> Result<Answer, Refusal> {
    let require = require_existing(request.fields())?;
    let to = destination(request)?;
    match request.method() {
        Method::Copy => copy(service, request, from, &to, &require),
        _ => {
            let action = Action::Move { to: to.clone(), require };
            let done = service.store.submit(from.clone(), action, request.client);
            done.map(committed).map_err(|reason| refuse(reason, from, &to))
        }
    }
}

/// Says no, with that of the two paths which it is about.
fn refuse(reason: Refused, from: &Path, to: &Path) -> Refusal {
    let path = match &reason {
        Refused::Precondition(Some(current)) => current.path.clone(),
        Refused::Precondition(None) | Refused::ParentMissing => to.clone(),
        _ => from.clone(),
    };
    refused(reason, &path)
}

fn destination(request: &Request<'_>) -> Result<Path, Refusal> {
    match request.field("Overwrite")? {
        None | Some("F") => {}
        Some("T") => {
            return Err(Refusal::bad(
                "nothing is overwritten here: delete what is in the way on its own condition",
            ));
        }
        Some(_) => return Err(Refusal::bad("Overwrite is F")),
    }
    let text = request.field("Destination")?.unwrap_or("");
    upload_path(text)
        .ok_or_else(|| Refusal::bad("Destination names the new path: /upload/{path}, as a target does"))
}

fn copy(
    service: &Service,
    request: &Request<'_>,
    from: &Path,
    to: &Path,
    require: &Require,
) -> Result<Answer, Refusal> {
    let source = match check(service, from, to, require).map_err(|reason| refuse(reason, from, to))? {
        Checked::Source(entry) => entry,
        Checked::AlreadyThere(answer) => return Ok(answer),
    };
    check_room(service, Some(source.content.size()))?;
    let label = read_meta(request, source.meta)?.into();
    let (staged, file) = match source.content {
        Version::Directory => return Err(Refusal::bad("a directory is not copied: PUT makes one")),
        Version::Symlink { .. } => {
            let target = link_target(service, from, &source)?;
            (service.store.stage().symlink(&target).map_err(|error| Refusal::disk(&error))?, None)
        }
        Version::File { .. } => {
            let copied = service.store.copy_file(from).map_err(|error| unreadable(from, &error))?;
            match copied.filter(|copied| copied.content == source.content) {
                Some(Copied { staged, file, .. }) => (staged, Some(file)),
                None => return Err(changing(from)),
            }
        }
    };
    let (require, replaced) = (Require::Nothing, Replaced::Removed);
    let action = Action::Put { content: source.content, label, staged, file, require, replaced };
    let done = service.store.submit(to.clone(), action, request.client);
    done.map(committed).map_err(|reason| refuse(reason, from, to))
}

enum Checked {
    Source(Entry),
    AlreadyThere(Answer),
}

/// What the store would refuse after the content is copied is refused before; and a copy that is there already needs none.
fn check(service: &Service, from: &Path, to: &Path, require: &Require) -> Result<Checked, Refused> {
    let index = service.store.index();
    let source = index.live_entry(from).ok_or(Refused::NotFound)?;
    if to == from {
        return Err(Refused::IntoItself);
    }
    if !require.is_met(&index, from) {
        return Err(Refused::Precondition(index.describe(from)));
    }
    match index.live_entry(to) {
        Some(there) if there.content == source.content => {
            let seq = index.get(to).map_or(0, |record| record.step.seq);
            let cursor = Cursor { seq, ..index.cursor() };
            Ok(Checked::AlreadyThere(stored(204, Some(there), cursor)))
        }
        Some(_) => Err(Refused::Precondition(index.describe(to))),
        None if !index.has_parent(to) => Err(Refused::ParentMissing),
        None => Ok(Checked::Source(*source)),
    }
}

fn read_meta(request: &Request<'_>, source: Meta) -> Result<Meta, Refusal> {
    let mtime = request.field(MTIME_FIELD)?.map(parse_mtime).transpose();
    let mode = request.field(MODE_FIELD)?.map(parse_mode).transpose();
    let broken = |field| move |error| Refusal::bad(format!("{field}: {error}"));
    Ok(Meta {
        mtime: mtime.map_err(broken(MTIME_FIELD))?.unwrap_or(source.mtime),
        mode: mode.map_err(broken(MODE_FIELD))?.unwrap_or(source.mode),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use common::protocol::{CURSOR_FIELD, Problem};
    use common::wire::http::fields::Fields;
    use common::wire::http::framing::request_framing;
    use common::wire::http::head::parse_request;

    use super::*;
    use crate::answer::{AnswerBody, Content, Reply};
    use crate::dispatch::dispatch;
    use crate::testing::Workshop;

    struct Body(&'static [u8], Fields);

    impl Read for Body {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(out)
        }
    }

    impl Content for Body {
        fn announced(&self) -> Option<u64> {
            None
        }

        fn trailers(&self) -> &Fields {
            &self.1
        }
    }

    /// What is answered to a request with these field lines: the status, and the ETag, or the problem and the path it is about.
    fn ask(workshop: &Workshop, line: &str, fields: &str, body: &'static str) -> (u16, String) {
        let text = format!(
            "{line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer correct-horse-battery\r\n{fields}content-length: {}\r\n\r\n",
            body.len()
        );
        let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
        let mut body = Body(body.as_bytes(), Fields::new());
        let answer = match dispatch(&workshop.service, &head, request_framing(&head).unwrap(), &mut body) {
            Ok(Reply::Whole(answer)) => answer,
            Ok(Reply::Stream(..)) => panic!("a stream"),
            Err(refusal) => refusal.into_answer().unwrap(),
        };
        let AnswerBody::Bytes(bytes) = &answer.body else {
            assert!(answer.fields.get("sync-cursor").is_some(), "{CURSOR_FIELD} is missing");
            return (answer.status, answer.fields.get("etag").unwrap_or("").to_owned());
        };
        let problem = Problem::parse(answer.status, bytes).unwrap();
        let about = problem.current.map_or(String::new(), |current| format!(" {}", current.path));
        (answer.status, format!("{:?}{about}", problem.kind))
    }

    const HELLO: &str = "\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"";

    /// `a` and `b` are files ("hello", "other"), `l` a link, `d` a directory with `d/f` ("hello") in it.
    fn workshop() -> Workshop {
        let workshop = Workshop::new();
        let create = |line: &str, fields: &str, body| {
            let fields = format!("if-none-match: *\r\n{fields}");
            assert_eq!(ask(&workshop, line, &fields, body).0, 201);
        };
        create("PUT /upload/a", "file-mtime: 5\r\nfile-mode: 600\r\n", "hello");
        create("PUT /upload/b", "", "other");
        create("PUT /upload/l", "file-kind: symlink\r\n", "nowhere");
        create("PUT /upload/d", "file-kind: dir\r\n", "");
        create("PUT /upload/d/f", "", "hello");
        workshop
    }

    #[test]
    fn moves() {
        let workshop = workshop();
        let go = |from: &str, fields: &str| ask(&workshop, &format!("MOVE /upload/{from}"), fields, "");
        let hello = format!("if-match: {HELLO}\r\n");
        let to = |to: &str| format!("destination: /upload/{to}\r\n{hello}");
        let directory = |to: &str| format!("destination: /upload/{to}\r\nif-match: \"dir\"\r\n");
        assert_eq!(go("a", "destination: /upload/c\r\n"), (428, "PreconditionRequired".into()));
        assert_eq!(go("a", &hello).0, 400);
        assert_eq!(go("a", &to("../c")).0, 400);
        assert_eq!(go("a", &format!("destination: /download/c\r\n{hello}")).0, 400);
        assert_eq!(go("a", &format!("overwrite: T\r\n{}", to("c"))).0, 400);
        assert_eq!(go("n", &to("c")), (404, "NotFound".into()));
        assert_eq!(go("a", &to("b")), (412, "PreconditionFailed b".into()));
        assert_eq!(go("b", &to("c")), (412, "PreconditionFailed b".into()));
        assert_eq!(go("a", &to("n/c")), (409, "ParentMissing".into()));
        assert_eq!(go("a", &to("a")), (409, "IntoItself".into()));
        assert_eq!(go("d", &directory("d/e")), (409, "IntoItself".into()));
        assert_eq!(go("a", &to("d/c%20%ff")), (201, HELLO.into()));
        assert_eq!(go("a", &to("d/c%20%ff")), (204, HELLO.into()), "repeated after a lost answer");
        assert_eq!(go("d", &format!("overwrite: F\r\n{}", directory("e"))), (201, "\"dir\"".into()));
        let live: Vec<String> =
            workshop.service.store.index().live_below(None).map(|(path, _)| path.to_string()).collect();
        assert_eq!(live, ["b", "e", "e/c \\xff", "e/f", "l"]);
    }

    #[test]
    fn copies() {
        let workshop = workshop();
        let go = |from: &str, to: &str, fields: &str| {
            let fields = format!("destination: /upload/{to}\r\n{fields}\r\n");
            ask(&workshop, &format!("COPY /upload/{from}"), &fields, "")
        };
        let hello = format!("if-match: {HELLO}");
        assert_eq!(go("a", "d/c", &hello), (201, HELLO.into()));
        assert_eq!(go("a", "d/c", &hello), (204, HELLO.into()), "it is there");
        assert_eq!(go("a", "b", &hello), (412, "PreconditionFailed b".into()));
        assert_eq!(go("b", "c", &hello), (412, "PreconditionFailed b".into()));
        assert_eq!(go("a", "n/c", &hello), (409, "ParentMissing".into()));
        assert_eq!(go("a", "a", &hello), (409, "IntoItself".into()));
        assert_eq!(go("n", "c", &hello), (404, "NotFound".into()));
        assert_eq!(go("d", "c", "if-match: *").0, 400);
        assert_eq!(go("l", "d/l", "if-match: *").0, 201);
        assert_eq!(fs::read_link(workshop.dir.join("d/l")).unwrap(), std::path::Path::new("nowhere"));
        assert_eq!(go("a", "e", &format!("{hello}\r\nfile-mtime: 7\r\nfile-mode: 644")).0, 201);
        assert_eq!(fs::read(workshop.dir.join("e")).unwrap(), b"hello");
        let meta =
            |name: &[u8]| workshop.service.store.index().live_entry(&Path::new(name).unwrap()).unwrap().meta;
        assert_eq!((meta(b"d/c").mtime.0, meta(b"d/c").mode), (5, 0o600), "those of the original");
        assert_eq!((meta(b"e").mtime.0, meta(b"e").mode), (7, 0o644));
    }
}
