//! `GET` and `HEAD /download/{path}`: what the box holds at a path, whole or in part.
//!
//! What is sent is always a version that the index knows: its tag, its digest and its bytes belong together. The content of a directory is
//! nothing; that of a symbolic link is its target.

use std::io;

use common::protocol::{KIND_FIELD, MODE_FIELD, MTIME_FIELD, Problem, ProblemKind, mode_text};
use common::tree::{Content, Entry, Path};
use common::wire::http::conditional::{Precondition, evaluate, if_range};
use common::wire::http::date::format_date;
use common::wire::http::digest::format_digest;
use common::wire::http::fields::Fields;
use common::wire::http::head::Method;
use common::wire::http::range::{RangeRequest, content_range, parse_range, unsatisfied_range};
use common::wire::sha256::sha256;

use crate::answer::{Answer, AnswerBody, Refusal};
use crate::request::Request;
use crate::view::View;

/// Answers the request.
pub(crate) fn get(view: &View<'_>, request: &Request<'_>, path: &Path) -> Result<Answer, Refusal> {
    let Some(entry) = view.index().live_entry(path).copied() else { return Err(not_found(path)) };
    let (entry, body) = match entry.content {
        Content::Directory => (entry, AnswerBody::Empty),
        Content::Symlink { .. } => (entry, AnswerBody::Bytes(link_target(view, path, &entry)?)),
        Content::File { .. } => {
            let opened = view.open_file(path).map_err(|error| unreadable(path, &error))?;
            let opened = opened.ok_or_else(|| not_found(path))?;
            let length = opened.entry.content.size();
            (opened.entry, AnswerBody::File { file: opened.file, start: 0, length })
        }
    };
    select(request.method(), request.fields(), &entry, body)
}

/// Preconditions, then the range: RFC 9110, section 13.2.2.
fn select(method: Method, fields: &Fields, entry: &Entry, body: AnswerBody) -> Result<Answer, Refusal> {
    let tag = entry.content.tag();
    let (seconds, _) = entry.meta.mtime.parts();
    match evaluate(method, fields, Some(&tag), Some(seconds))? {
        Precondition::Proceed => {}
        Precondition::NotModified => {
            return Ok(Answer { fields: version_fields(entry), ..Answer::empty(304) });
        }
        Precondition::Failed => {
            let problem = Problem::new(ProblemKind::PreconditionFailed, "the box holds another version");
            return Err(Answer::problem(&problem).with("etag", entry.content.etag()).into());
        }
    }
    let whole = Answer { fields: content_fields(entry), body, ..Answer::empty(200) };
    // A range goes with GET alone, and with the version it was meant for. Dates are too coarse to tell versions apart.
    match fields.unique("range")? {
        Some(range) if method == Method::Get && if_range(fields, Some(&tag), None) => part(whole, range),
        _ => Ok(whole),
    }
}

fn part(whole: Answer, range: &str) -> Result<Answer, Refusal> {
    let length = whole.length();
    match parse_range(range, length) {
        RangeRequest::Ignore => Ok(whole),
        RangeRequest::Unsatisfiable => {
            let problem = Problem::new(ProblemKind::Http(416), format!("there are {length} bytes"));
            Err(Answer::problem(&problem).with("content-range", unsatisfied_range(length)).into())
        }
        RangeRequest::Part { start, end_exclusive } => {
            let answer = Answer { status: 206, body: cut(whole.body, start, end_exclusive), ..whole };
            Ok(answer.with("content-range", content_range(start, end_exclusive, length)))
        }
    }
}

/// The bytes from `from` up to but without `to`, which lie within the body.
fn cut(body: AnswerBody, from: u64, to: u64) -> AnswerBody {
    match body {
        AnswerBody::Empty => AnswerBody::Empty,
        AnswerBody::Bytes(bytes) => AnswerBody::Bytes(bytes[from as usize..to as usize].to_vec()),
        AnswerBody::File { file, start, .. } => {
            AnswerBody::File { file, start: start + from, length: to - from }
        }
    }
}

/// What tells one version from another.
fn version_fields(entry: &Entry) -> Fields {
    let (seconds, _) = entry.meta.mtime.parts();
    Fields::new().with("etag", entry.content.etag()).with("last-modified", format_date(seconds))
}

fn content_fields(entry: &Entry) -> Fields {
    let mut fields = version_fields(entry)
        .with(MTIME_FIELD, entry.meta.mtime.0.to_string())
        .with(MODE_FIELD, mode_text(entry.meta.mode))
        .with(KIND_FIELD, entry.content.kind().word())
        .with("accept-ranges", "bytes")
        .with("content-type", "application/octet-stream")
        // A page that somebody synced must not become a page of this server.
        .with("x-content-type-options", "nosniff");
    if let Some(hash) = entry.content.hash() {
        fields.push("repr-digest", format_digest(&hash.0));
    }
    fields
}

/// Links have no descriptor to hold on to, so the target is compared with what the index says of it.
pub(crate) fn link_target(view: &View<'_>, path: &Path, entry: &Entry) -> Result<Vec<u8>, Refusal> {
    let target = view.read_link(path).map_err(|error| unreadable(path, &error))?;
    match entry.content.hash() == Some(sha256(&target)) {
        true => Ok(target),
        false => Err(changing(path)),
    }
}

fn not_found(path: &Path) -> Refusal {
    Refusal::new(ProblemKind::NotFound, format!("the box has no {path}"))
}

/// What is in the index and can't be read was changed or removed by hand a moment ago; soon the index knows. Anything else is our
/// trouble.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => changing(path),
        _ => Refusal::disk(error),
    }
}

pub(crate) fn changing(path: &Path) -> Refusal {
    let problem = Problem::new(ProblemKind::Busy, format!("{path} is being changed in the box; try again"));
    Answer::problem(&problem).with("retry-after", "1").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::{Meta, Mtime};

    const MTIME: Mtime = Mtime(784_111_777_123_456_789);

    fn link() -> (Entry, AnswerBody) {
        let target = b"0123456789";
        let content = Content::Symlink { size: 10, hash: sha256(target) };
        let entry = Entry { content, meta: Meta { mtime: MTIME, mode: 0o777 } };
        (entry, AnswerBody::Bytes(target.to_vec()))
    }

    fn ask(method: Method, fields: &Fields) -> Answer {
        let (entry, body) = link();
        match select(method, fields, &entry, body) {
            Ok(answer) => answer,
            Err(refusal) => refusal.into_answer().unwrap(),
        }
    }

    fn bytes(answer: &Answer) -> &[u8] {
        match &answer.body {
            AnswerBody::Bytes(bytes) => bytes,
            _ => b"",
        }
    }

    #[test]
    fn all_of_it() {
        let answer = ask(Method::Get, &Fields::new());
        let etag = link().0.content.etag();
        for (name, value) in [
            ("etag", etag.as_str()),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("file-mtime", "784111777123456789"),
            ("file-mode", "777"),
            ("file-kind", "symlink"),
            ("accept-ranges", "bytes"),
            ("content-type", "application/octet-stream"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.fields.get(name), Some(value), "{name}");
        }
        assert!(answer.fields.get("repr-digest").unwrap().starts_with("sha-256=:"));
        assert_eq!((answer.status, bytes(&answer)), (200, &b"0123456789"[..]));
    }

    #[test]
    fn a_directory_is_nothing_but_there() {
        let entry = Entry { content: Content::Directory, meta: Meta { mtime: MTIME, mode: 0o755 } };
        let answer = select(Method::Get, &Fields::new(), &entry, AnswerBody::Empty).unwrap();
        assert_eq!((answer.status, answer.length(), answer.fields.get("etag")), (200, 0, Some("\"dir\"")));
        assert_eq!(answer.fields.get("repr-digest"), None);
    }

    #[test]
    fn ranges() {
        let etag = link().0.content.etag();
        let get = |range: &str, if_range: &str| {
            let mut fields = Fields::new().with("range", range);
            if !if_range.is_empty() {
                fields.push("if-range", if_range);
            }
            let answer = ask(Method::Get, &fields);
            let content_range = answer.fields.get("content-range").unwrap_or("").to_owned();
            let content = if answer.status < 300 { bytes(&answer).to_vec() } else { Vec::new() };
            (answer.status, content, content_range)
        };
        let part = (206, b"23".to_vec(), "bytes 2-3/10".to_owned());
        let whole = (200, b"0123456789".to_vec(), String::new());
        assert_eq!(get("bytes=2-3", ""), part);
        assert_eq!(get("bytes=2-3", &etag), part);
        assert_eq!(get("bytes=2-3", "\"other\""), whole);
        assert_eq!(get("bytes=2-3", "Sun, 06 Nov 1994 08:49:37 GMT"), whole);
        assert_eq!(get("bytes=0-1,3-4", ""), whole);
        assert_eq!(get("bytes=0-18446744073709551615", "").0, 206);
        assert_eq!(get("bytes=10-", ""), (416, Vec::new(), "bytes */10".to_owned()));
        let head = ask(Method::Head, &Fields::new().with("range", "bytes=2-3"));
        assert_eq!((head.status, head.length()), (200, 10));
    }

    #[test]
    fn conditions() {
        let etag = link().0.content.etag();
        let status = |name: &str, value: &str| ask(Method::Get, &Fields::new().with(name, value)).status;
        assert_eq!(status("if-none-match", &etag), 304);
        assert_eq!(status("if-none-match", "\"x\""), 200);
        assert_eq!(status("if-match", "\"x\""), 412);
        assert_eq!(status("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"), 304);
        assert_eq!(status("if-match", "x"), 400);
        let both = Fields::new().with("if-none-match", &*etag).with("range", "bytes=99-");
        assert_eq!(ask(Method::Get, &both).status, 304);
    }
}
