//! `MOVE` and `COPY /upload/{path}`: new names for what the box holds already, without a body.
//!
//! ```text
//!     MOVE /upload/old HTTP/1.1                        If-Match names the version at the old path: 412 if it is another, 404 if nothing
//!     Destination: /upload/new                         there may be nothing at the new path: 412 with what is there
//!     If-Match: "dir"                                  its parent must be there: 409
//!     Overwrite: F                                     the default
//!
//!     COPY /upload/old HTTP/1.1                        the same; but what is at the new path may be replaced, on a condition of its own:
//!     Destination: /upload/new
//!     If-Match: "2cf2…"
//!     Overwrite: T
//!     Destination-If-Match: "486e…"                    412 with what is there, if that is something else
//!     Destination-Sync-Base: …002a-7                   or was given that version after this change; may be left out
//! ```
//!
//! A directory moves as a whole, in one rename, one record and one seq. Whoever follows the stream hears of it as `download`s of all new
//! paths and then `delete`s of all old ones, with the `id` on the last: a client that knows nothing of moves recognises the content.
//!
//! A copy is how a client stores content of which the box has another instance: it names that one, and what it needs to know is its path
//! and hash. The copy is a version of its own, with the time and permission bits that the request gives, else the original's; but what it
//! replaces leaves it its permission bits, as with an upload.
//! The original may have been replaced or deleted a moment ago, by another request of the same client even: in a swap of two names both
//! copies are of what the other one replaces. For some seconds the box still has it.

use common::protocol::{
    Cursor, DESTINATION_BASE_FIELD, DESTINATION_MATCH_FIELD, MODE_FIELD, MTIME_FIELD, parse_mode, parse_mtime,
};
use common::tree::{Content as Version, Entry, Kind, Path};
use common::wire::http::conditional::listed_tags;
use common::wire::http::head::Method;

use crate::answer::{Answer, Refusal};
use crate::download::{changing, link_target, unreadable};
use crate::request::Request;
use crate::route::upload_path;
use crate::store::{Action, Claim, Copied, Label, Refused, Replaced, Require};
use crate::upload::{check_room, claim, committed, held, known_tags, refused, require_existing, stored};
use crate::view::View;

/// `MOVE` and `COPY`.
pub(crate) fn relocate(view: &View<'_>, request: &Request<'_>, from: &Path) -> Result<Answer, Refusal> {
    let require = require_existing(request.fields())?;
    let (to, replacing) = destination(request)?;
    match request.method() {
        Method::Copy => copy(view, request, &Ends { from, to: &to, require: &require, replacing }),
        _ if replacing != Require::Nothing => Err(Refusal::bad(
            "a move overwrites nothing: delete what is in the way on its own condition, or copy over it",
        )),
        _ => {
            let action = Action::Move { to: to.clone(), require };
            let done = view.submit(from, action, request.client.as_deref(), Claim::default());
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

/// The new path, and what has to be there.
fn destination(request: &Request<'_>) -> Result<(Path, Require), Refusal> {
    let tags = listed_tags(request.fields(), DESTINATION_MATCH_FIELD)?;
    if tags.is_none() && request.field(DESTINATION_BASE_FIELD)?.is_some() {
        return Err(Refusal::bad(format!(
            "{DESTINATION_BASE_FIELD} stands beside {DESTINATION_MATCH_FIELD}"
        )));
    }
    let replacing = match (request.field("Overwrite")?, tags) {
        (None | Some("F"), None) => Require::Nothing,
        (Some("T"), Some(tags)) => held(request.fields(), DESTINATION_BASE_FIELD, known_tags(&tags))?,
        (Some("T"), None) | (None | Some("F"), Some(_)) => {
            return Err(Refusal::bad(format!("Overwrite: T and {DESTINATION_MATCH_FIELD} go together")));
        }
        (Some(_), _) => return Err(Refusal::bad("Overwrite is F or T")),
    };
    let text = request.field("Destination")?.unwrap_or("");
    let to = upload_path(text)
        .ok_or_else(|| Refusal::bad("Destination names the new path: /upload/{path}, as a target does"))?;
    Ok((to, replacing))
}

/// A copy's two ends, and what has to be at each.
struct Ends<'a> {
    from: &'a Path,
    to: &'a Path,
    require: &'a Require,
    replacing: Require,
}

fn copy(view: &View<'_>, request: &Request<'_>, ends: &Ends<'_>) -> Result<Answer, Refusal> {
    let Ends { from, to, replacing, .. } = ends;
    let (source, replaced) = match check(view, ends).map_err(|reason| refuse(reason, from, to))? {
        Checked::Source { source, replaced } => (source, replaced),
        Checked::AlreadyThere(answer) => return Ok(answer),
    };
    let claim = claim(view, to, source.content.size())?;
    check_room(view, Some(source.content.size()))?;
    let label = read_label(request, &source, replaced)?;
    let (staged, file) = match source.content {
        Version::Directory => return Err(Refusal::bad("a directory is not copied: PUT makes one")),
        Version::Symlink { .. } => {
            let target = link_target(view, from, &source)?;
            (view.stage().symlink(&target).map_err(|error| Refusal::disk(&error))?, None)
        }
        Version::File { .. } => match view.copy_version(from, &source.content) {
            Ok(Some(Copied { staged, file })) => (staged, Some(file)),
            Ok(None) => return Err(changing(from)),
            Err(error) => return Err(unreadable(from, &error)),
        },
    };
    let (content, require, replaced) = (source.content, replacing.clone(), Replaced::Removed);
    let action = Action::Put { content, label, staged, file, require, replaced };
    let done = view.submit(to, action, request.client.as_deref(), claim);
    done.map(committed).map_err(|reason| refuse(reason, from, to))
}

enum Checked {
    /// What is to be copied, and the kind of what it replaces.
    Source {
        source: Entry,
        replaced: Option<Kind>,
    },
    AlreadyThere(Answer),
}

/// What the store would refuse after the content is copied is refused before. A copy that is there already needs none: neither the copying,
/// nor that the original is still there, for the answer to the same request may have been lost.
fn check(view: &View<'_>, ends: &Ends<'_>) -> Result<Checked, Refused> {
    let Ends { from, to, require, replacing } = ends;
    let index = view.index();
    if to == from {
        return Err(Refused::IntoItself);
    }
    let held = index.live_entry(from);
    let source = match held.filter(|_| index.meets(require, from)) {
        Some(entry) => Some(*entry),
        None => view.retained(from, require),
    };
    let there = index.live_entry(to);
    let is_wanted = |there: &Entry| match (require, source) {
        (_, Some(source)) => there.content == source.content,
        (Require::OneOf(_) | Require::HeldSince(..), None) => require.is_met_by(Some(there)),
        _ => false,
    };
    if there.is_some_and(is_wanted) {
        let seq = index.get(to).map_or(0, |record| record.step.seq);
        let cursor = Cursor { seq, ..index.cursor() };
        return Ok(Checked::AlreadyThere(stored(204, there, cursor)));
    }
    match (source, held) {
        (None, None) => Err(Refused::NotFound),
        (None, Some(_)) => Err(Refused::Precondition(index.describe(from))),
        _ if !index.meets(replacing, to) => Err(Refused::Precondition(index.describe(to))),
        _ if !index.has_parent(to) => Err(Refused::ParentMissing),
        (Some(source), _) => {
            Ok(Checked::Source { source, replaced: there.map(|there| there.content.kind()) })
        }
    }
}

/// The metadata that a copy gets. Permission bits of what it replaces stay, as with an upload, unless the request gives others.
fn read_label(request: &Request<'_>, source: &Entry, replaced: Option<Kind>) -> Result<Label, Refusal> {
    let mtime = request.field(MTIME_FIELD)?.map(parse_mtime).transpose();
    let mode = request.field(MODE_FIELD)?.map(parse_mode).transpose();
    let broken = |field| move |error| Refusal::bad(format!("{field}: {error}"));
    let original = Some(source.meta.mode).filter(|_| replaced != Some(source.content.kind()));
    Ok(Label {
        mtime: mtime.map_err(broken(MTIME_FIELD))?.unwrap_or(source.meta.mtime),
        mode: mode.map_err(broken(MODE_FIELD))?.or(original),
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
        let answer = match dispatch(
            &workshop.service,
            &workshop.seat(),
            &head,
            request_framing(&head).unwrap(),
            &mut body,
        ) {
            Ok(Reply::Whole(answer)) => answer,
            Ok(Reply::Later(later)) => {
                later.answer().unwrap_or_else(|refusal| refusal.into_answer().unwrap())
            }
            Ok(other) => panic!("{other:?}"),
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

    fn path(name: &str) -> Path {
        Path::new(name.as_bytes()).unwrap()
    }

    const OTHER: &str = "\"d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\"";
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
    fn copies_over_what_is_there_and_of_what_was_there_a_moment_ago() {
        let workshop = workshop();
        let go = |from: &str, to: &str, tag: &str, replacing: &str| {
            let fields = format!(
                "destination: /upload/{to}\r\nif-match: {tag}\r\noverwrite: T\r\ndestination-if-match: {replacing}\r\n"
            );
            ask(&workshop, &format!("COPY /upload/{from}"), &fields, "")
        };
        let read = |name: &str| fs::read_to_string(workshop.dir.join(name)).unwrap();
        assert_eq!(
            go("a", "b", HELLO, HELLO),
            (412, "PreconditionFailed b".into()),
            "b holds something else"
        );
        assert_eq!(go("a", "b", HELLO, "*").0, 400);
        assert_eq!(go("a", "n", HELLO, OTHER).0, 412, "there is nothing to replace");
        // A swap: what the second copy is of has just been replaced by the first.
        assert_eq!(go("b", "a", OTHER, HELLO), (204, OTHER.into()));
        assert_eq!(go("a", "b", HELLO, OTHER), (204, HELLO.into()));
        assert_eq!((read("a"), read("b")), ("other".into(), "hello".into()));
        assert_eq!(go("a", "b", HELLO, OTHER), (204, HELLO.into()), "repeated after a lost answer");
        // Deleted a moment ago, and still to be had; but only from where it was, and by its tag.
        assert_eq!(ask(&workshop, "DELETE /upload/a", &format!("if-match: {OTHER}\r\n"), "").0, 204);
        assert_eq!(go("a", "d/f", "*", HELLO), (404, "NotFound".into()));
        assert_eq!(go("d", "d/f", OTHER, HELLO).0, 412);
        assert_eq!(go("a", "d/f", OTHER, HELLO), (204, OTHER.into()));
        assert_eq!(read("d/f"), "other");
        let fields = format!("destination: /upload/m\r\nif-match: {HELLO}\r\n");
        for wrong in [
            "overwrite: T\r\n",
            "destination-if-match: \"x\"\r\n",
            "overwrite: F\r\ndestination-if-match: \"x\"\r\n",
        ] {
            assert_eq!(ask(&workshop, "COPY /upload/b", &format!("{fields}{wrong}"), "").0, 400, "{wrong}");
        }
        let over = format!("{fields}overwrite: T\r\ndestination-if-match: {HELLO}\r\n");
        assert_eq!(ask(&workshop, "MOVE /upload/b", &over, "").0, 400, "a move overwrites nothing");
    }

    /// They may have been set by somebody whom the client has not heard of.
    #[test]
    fn a_copy_leaves_the_mode_of_what_it_replaces() {
        let workshop = workshop();
        let copy = |to: &str, fields: &str| {
            let fields = format!("destination: /upload/{to}\r\nif-match: {HELLO}\r\n{fields}");
            ask(&workshop, "COPY /upload/a", &fields, "").0
        };
        let mode = |name: &str| workshop.service.store.index().live_entry(&path(name)).unwrap().meta.mode;
        let over = |tag: &str| format!("overwrite: T\r\ndestination-if-match: {tag}\r\n");
        assert_eq!((mode("a"), mode("b")), (0o600, 0o644));
        assert_eq!(copy("b", &over(OTHER)), 204);
        assert_eq!((mode("a"), mode("b")), (0o600, 0o644));
        assert_eq!(ask(&workshop, "PUT /upload/b", &format!("if-match: {HELLO}\r\n"), "other").0, 204);
        assert_eq!(copy("b", &format!("file-mode: 700\r\n{}", over(OTHER))), 204);
        assert_eq!(mode("b"), 0o700);
        // Nothing, and something of another kind, leaves it none.
        assert_eq!(copy("c", ""), 201);
        let link = workshop.service.store.index().live_entry(&path("l")).unwrap().content.etag();
        assert_eq!(copy("l", &over(&link)), 204);
        assert_eq!((mode("c"), mode("l")), (0o600, 0o600));
    }

    /// Who copies over a version that went and came back has not seen the one that is there.
    #[test]
    fn a_copy_replaces_what_was_there_without_interruption() {
        let workshop = workshop();
        let copy = |fields: &str| {
            let fields = format!("destination: /upload/b\r\nif-match: {HELLO}\r\n{fields}");
            ask(&workshop, "COPY /upload/a", &fields, "")
        };
        let over = format!("overwrite: T\r\ndestination-if-match: {OTHER}\r\n");
        let now = workshop.service.store.index().cursor();
        let seen = |cursor: Cursor| format!("{over}destination-sync-base: {cursor}\r\n");
        ask(&workshop, "DELETE /upload/b", "if-match: *\r\n", "");
        assert_eq!(ask(&workshop, "PUT /upload/b", "if-none-match: *\r\n", "other").0, 201);
        let later = workshop.service.store.index().cursor();
        assert_eq!(copy(&seen(now)), (412, "PreconditionFailed b".into()));
        assert_eq!(copy(&format!("{over}destination-sync-base: 5\r\n")).0, 400);
        assert_eq!(copy(&format!("destination-sync-base: {later}\r\n")).0, 400, "without a tag");
        assert_eq!(copy(&seen(later)), (204, HELLO.into()));
        assert_eq!(copy(&seen(now)), (204, HELLO.into()), "what is wanted is so");
        // At the old path it is as strict: what was retained has not been there since.
        assert_eq!(ask(&workshop, "DELETE /upload/a", "if-match: *\r\n", "").0, 204);
        let copy = |fields: &str| {
            let fields = format!("destination: /upload/n\r\nif-match: {HELLO}\r\n{fields}");
            ask(&workshop, "COPY /upload/a", &fields, "").0
        };
        assert_eq!(copy(&format!("sync-base: {later}\r\n")), 404);
        assert_eq!(copy(""), 201);
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
