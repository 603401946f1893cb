//! `PUT`, `DELETE` and `PATCH /upload/{path}`: changes to the box, each on the condition that it replaces what its sender has seen. How an
//! upload goes on that was cut is told in resume.rs.
//!
//! ```text
//!     precondition given? -> holds, as far as the index knows? -> room? -> body: staged and hashed -> digest? -> store.submit
//!          428                       412, 409                      507     413, 408, 400, 507          422       decides for good
//!
//! Room is what the sender's account may still take, which is claimed for the change until it is made, and what the disk has.
//! ```
//!
//! Everything that can be refused is refused before the body is read; with `Expect: 100-continue` it is then not even sent. So is what the
//! box has already: a digest in the head that is the one in the index makes the answer a success right away. The condition is checked
//! again, for good, when the store commits.

use std::fs::File;
use std::io::{self, Read, Write};

use common::disk::{Hashing, NewContent, Staged};
use common::limits::{LINK_BYTES, SMALL_BODY_BYTES};
use common::protocol::{
    BASE_FIELD, CURSOR_FIELD, Cursor, KIND_FIELD, MODE_FIELD, MTIME_FIELD, PARTIAL_UPLOAD, Problem,
    ProblemKind, mode_text, parse_mode, parse_mtime,
};
use common::sys::errno;
use common::tree::{Content as Version, Entry, Kind, Meta, Mtime, Path, Tag};
use common::wire::http::conditional::{WritePrecondition, write_precondition};
use common::wire::http::digest::repr_digest;
use common::wire::http::fields::Fields;
use common::wire::json::{self, Value};
use common::wire::sha256::{Hash, Sha256};

use crate::answer::{Answer, Content, Pieces, Refusal, Reply};
use crate::auth::Denied;
use crate::request::Request;
use crate::resume;
use crate::store::{Action, Claim, Committed, Label, Refused, Replaced, Require, usual_mode};
use crate::view::{PreparedView, View};

/// The media type of a change of metadata.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What the head of a `PUT` says about the thing to store.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    label: Label,
    pub(crate) digest: Option<Hash>,
    require: Require,
}

/// An answer that follows from a change: how it is told when the change is made.
#[derive(Debug)]
pub(crate) struct Later {
    path: Path,
    prepared: PreparedView,
}

impl Later {
    /// The path that is changed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks for the change, if that was not done yet.
    pub(crate) fn submit(&mut self) {
        self.prepared.submit();
    }

    /// Closes the descriptor that content was written through.
    pub(crate) fn close_file(&mut self) {
        self.prepared.close_file();
    }

    /// Waits for what comes of it.
    pub(crate) fn answer(self) -> Result<Answer, Refusal> {
        let Later { path, prepared } = self;
        prepared.outcome().map(committed).map_err(|reason| refused(reason, &path))
    }
}

/// `PUT`: stores what the body holds.
pub(crate) fn put<'a>(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    let wanted = read_head(request)?;
    if let Some(answer) = already_there(view, request, path, &wanted)? {
        return Ok(Reply::Whole(answer));
    }
    check_index(view, request, path, &wanted)?;
    let mut claim = claim(view, path, request.length.unwrap_or(0))?;
    let partial = resume::begin(view, request, path, &wanted)?;
    check_room(view, request.length)?;
    let received = match partial {
        Some(partial) => resume::receive(view, path, partial, body)?,
        None => receive(view, wanted.kind, &mut claim, path, body)?,
    };
    store(view, request, path, &wanted, (received, claim), body.trailers()).map(Reply::Later)
}

/// Prepares what was received to be stored, if it is what was announced.
pub(crate) fn store(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    wanted: &Wanted,
    (received, claim): (Received, Claim),
    trailers: &Fields,
) -> Result<Later, Refusal> {
    // Receiving may have taken hours.
    view.check_again().map_err(Denied::answer)?;
    let Received { version, mut staged, file } = received;
    check_digest(&version, wanted.digest, trailers)?;
    // By this thread and not by the committer, who has all connections' to make; where the mode has to be the usual one, he does it.
    if let (Some(file), Some(mode)) = (&file, wanted.label.mode) {
        let meta = Meta { mtime: wanted.label.mtime, mode };
        staged.label(file, meta).map_err(|error| Refusal::disk(&error))?;
    }
    let (require, replaced) = (wanted.require.clone(), Replaced::Removed);
    let action = Action::Put { content: version, label: wanted.label, staged, file, require, replaced };
    prepare(view, request, path, action, claim)
}

/// `DELETE`: leaves a tombstone.
pub(crate) fn delete(view: &View<'_>, request: &Request<'_>, path: &Path) -> Result<Answer, Refusal> {
    let require = require_existing(request.fields())?;
    submit(view, request, path, Action::Delete { require }, Claim::default())
}

/// `PATCH`: what its media type says. Metadata alone, or the rest of an upload.
pub(crate) fn patch(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Answer, Refusal> {
    let media_type = request.field("content-type")?.unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim_ascii();
    if essence.eq_ignore_ascii_case(MERGE_PATCH) {
        return set_meta(view, request, path, body);
    }
    if essence.eq_ignore_ascii_case(PARTIAL_UPLOAD) {
        return resume::append(view, request, path, body);
    }
    let detail = format!("a change of metadata is {MERGE_PATCH}, the rest of an upload {PARTIAL_UPLOAD}");
    let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
    Err(Answer::problem(&problem).with("accept-patch", format!("{MERGE_PATCH}, {PARTIAL_UPLOAD}")).into())
}

/// Changes time and permission bits, and nothing else.
fn set_meta(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Answer, Refusal> {
    let require = require_existing(request.fields())?;
    let (mtime, mode) = meta_change(&read_small(body, SMALL_BODY_BYTES as usize)?)?;
    submit(view, request, path, Action::SetMeta { mtime, mode, require }, Claim::default())
}

// ---- The head --------------------------------------------------------------------------------------------------------------------

pub(crate) fn read_head(request: &Request<'_>) -> Result<Wanted, Refusal> {
    let fields = request.fields();
    if fields.elements("content-encoding").any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::new(
            ProblemKind::UnsupportedMediaType,
            "content is stored as it is, without coding",
        ));
    }
    if fields.get("content-range").is_some() {
        return Err(Refusal::bad("a PUT stores the whole; parts of it can't be sent"));
    }
    let kind = match request.field(KIND_FIELD)? {
        None => Kind::File,
        Some(word) => Kind::from_word(word)
            .ok_or_else(|| Refusal::bad(format!("{KIND_FIELD} is one of file, dir, symlink")))?,
    };
    let require = match write_precondition(fields)? {
        WritePrecondition::Missing => return Err(condition_needed()),
        WritePrecondition::CreateOnly => Require::Nothing,
        WritePrecondition::Match(tags) => held(fields, BASE_FIELD, known_tags(&tags))?,
        WritePrecondition::AnyExisting => Require::Something,
    };
    let digest = repr_digest(fields)?.map(Hash);
    Ok(Wanted { kind, label: read_label(request)?, digest, require })
}

fn read_label(request: &Request<'_>) -> Result<Label, Refusal> {
    let broken = |field, error: &dyn std::fmt::Display| Refusal::bad(format!("{field}: {error}"));
    let mtime = match request.field(MTIME_FIELD)? {
        Some(text) => parse_mtime(text).map_err(|error| broken(MTIME_FIELD, &error))?,
        None => Label::now(None).mtime,
    };
    let mode = request.field(MODE_FIELD)?.map(parse_mode).transpose();
    Ok(Label { mtime, mode: mode.map_err(|error| broken(MODE_FIELD, &error))? })
}

/// The precondition of a change to something that must be there.
pub(crate) fn require_existing(fields: &Fields) -> Result<Require, Refusal> {
    match write_precondition(fields)? {
        WritePrecondition::Match(tags) => held(fields, BASE_FIELD, known_tags(&tags)),
        WritePrecondition::AnyExisting => Ok(Require::Something),
        WritePrecondition::Missing => Err(condition_needed()),
        WritePrecondition::CreateOnly => Err(Refusal::bad("this changes what is there: it needs If-Match")),
    }
}

/// These versions, and if the client says in the field `base` until when it knows them to have been there: no other since.
pub(crate) fn held(fields: &Fields, base: &str, tags: Vec<Tag>) -> Result<Require, Refusal> {
    match fields.get(base) {
        None => Ok(Require::OneOf(tags)),
        Some(text) => match Cursor::parse(text) {
            Ok(since) => Ok(Require::HeldSince(tags, since)),
            Err(error) => Err(Refusal::bad(format!("{base}: {error}"))),
        },
    }
}

/// Tags that no version can have match nothing, as RFC 9110 wants it.
pub(crate) fn known_tags(tags: &[String]) -> Vec<Tag> {
    tags.iter().filter_map(|tag| Tag::parse(tag).ok()).collect()
}

fn condition_needed() -> Refusal {
    let detail =
        "say what the change replaces: If-Match with the ETag that was seen, or If-None-Match: * to create";
    Refusal::new(ProblemKind::PreconditionRequired, detail)
}

// ---- Before the body -------------------------------------------------------------------------------------------------------------

/// Success without the body, if the box holds exactly this content already. Who sends it again may not have heard the first answer, or
/// somebody else may have had the same idea.
///
/// Metadata that differs is changed if the condition holds. If it doesn't, the box keeps its own: such a difference is never a conflict.
pub(crate) fn already_there(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    wanted: &Wanted,
) -> Result<Option<Answer>, Refusal> {
    let (current, cursor, is_met) = {
        let index = view.index();
        let Some(record) = index.get(path) else { return Ok(None) };
        let Some(entry) = record.entry() else { return Ok(None) };
        let cursor = Cursor { seq: record.step.seq, ..index.cursor() };
        (*entry, cursor, index.meets(&wanted.require, path))
    };
    let is_same = current.content.kind() == wanted.kind && current.content.hash() == wanted.digest;
    if !is_same || (wanted.kind == Kind::Directory && request.length != Some(0)) {
        return Ok(None);
    }
    let Label { mtime, mode } = wanted.label;
    if is_met
        && !current.same_meta(&Entry { meta: wanted.label.over(Some(&current), wanted.kind), ..current })
    {
        let action = Action::SetMeta { mtime: Some(mtime), mode, require: wanted.require.clone() };
        return submit(view, request, path, action, Claim::default()).map(Some);
    }
    Ok(Some(stored(204, Some(&current), cursor)))
}

/// What the store would refuse now, it will most likely refuse after the body, too. But a body of the right length that comes without a
/// digest in front may turn out to be just what the box holds, and then it is no conflict.
pub(crate) fn check_index(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    wanted: &Wanted,
) -> Result<(), Refusal> {
    let index = view.index();
    let current = index.live_entry(path);
    let holds = index.meets(&wanted.require, path);
    let may_be_the_same = current.is_some_and(|entry| {
        let same_size = request.length.is_none_or(|length| length == entry.content.size());
        wanted.digest.is_none() && entry.content.kind() == wanted.kind && same_size
    });
    if !holds && !may_be_the_same {
        return Err(refused(Refused::Precondition(index.describe(path)), path));
    }
    if !index.has_parent(path) {
        return Err(refused(Refused::ParentMissing, path));
    }
    Ok(())
}

/// Room in the account of whoever sends this, until the change is made. Nothing is written without.
pub(crate) fn claim(view: &View<'_>, path: &Path, bytes: u64) -> Result<Claim, Refusal> {
    view.claim(path, bytes).map_err(|reason| refused(reason, path))
}

/// A body that can't fit is not begun; before that, what is retained and what is kept of uploads that were cut give way. One whose length
/// is not known before its end finds out on the way.
pub(crate) fn check_room(view: &View<'_>, length: Option<u64>) -> Result<(), Refusal> {
    let Some(length) = length else { return Ok(()) };
    if view.has_ample_room(length) {
        return Ok(());
    }
    let mut free = view.free_space().map_err(|error| Refusal::disk(&error))?;
    if free < length {
        view.stage().retained().forget_all();
        free = view.free_space().map_err(|error| Refusal::disk(&error))?;
    }
    if free < length && !view.give_way(length - free) {
        let detail = format!("{length} bytes are to be stored, and there is room for {free}");
        return Err(Refusal::new(ProblemKind::NoSpace, detail));
    }
    Ok(())
}

/// What the disk said while something was staged. If it is full, what is retained goes, so that the next try may find room.
fn cannot_stage(view: &View<'_>, error: &io::Error) -> Refusal {
    if matches!(error.raw_os_error(), Some(errno::ENOSPC | errno::EDQUOT)) {
        view.stage().retained().forget_all();
    }
    Refusal::disk(error)
}

// ---- The body --------------------------------------------------------------------------------------------------------------------

/// What came, made aside and not yet published.
pub(crate) struct Received {
    pub(crate) version: Version,
    pub(crate) staged: Staged,
    /// The descriptor that a file was written through, to be flushed by the store.
    pub(crate) file: Option<File>,
}

fn receive(
    view: &View<'_>,
    kind: Kind,
    claim: &mut Claim,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Received, Refusal> {
    match kind {
        Kind::File => receive_file(view, claim, path, body),
        Kind::Symlink => receive_link(view, body),
        Kind::Directory => receive_directory(view, body),
    }
}

/// Stages and hashes a file in one pass, through one buffer, or two for what is large, whatever its size. If that was not announced the claim
/// grows with what comes.
pub(crate) fn receive_file(
    view: &View<'_>,
    claim: &mut Claim,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Received, Refusal> {
    let on_disk = |error| cannot_stage(view, &error);
    let pieces = Pieces::begin(body)?;
    let (staged, file) = view.stage().file().map_err(on_disk)?;
    let mut content = NewContent::of(&file);
    let (mut hashing, mut size) = (Hashing::new(), 0);
    pieces.for_each(|piece| {
        size += piece.len() as u64;
        claim.cover(size).map_err(|exceeded| refused(Refused::Quota(exceeded), path))?;
        content.write_all(&piece).and_then(|()| hashing.update(piece)).map_err(on_disk)
    })?;
    content.finish().map_err(on_disk)?;
    let version = Version::File { size, hash: hashing.finish().map_err(on_disk)? };
    Ok(Received { version, staged, file: Some(file) })
}

fn receive_link(view: &View<'_>, body: &mut dyn Content) -> Result<Received, Refusal> {
    let target = read_small(body, LINK_BYTES)?;
    if target.is_empty() || target.contains(&0) {
        return Err(Refusal::bad("the target of a symbolic link is at least one byte, and none of them NUL"));
    }
    let staged = view.stage().symlink(&target).map_err(|error| Refusal::disk(&error))?;
    let mut hasher = Sha256::new();
    hasher.update(&target);
    let version = Version::Symlink { size: target.len() as u64, hash: hasher.finish() };
    Ok(Received { version, staged, file: None })
}

fn receive_directory(view: &View<'_>, body: &mut dyn Content) -> Result<Received, Refusal> {
    read_small(body, 0)?;
    let mode = usual_mode(Kind::Directory);
    let staged = view.stage().directory(mode).map_err(|error| Refusal::disk(&error))?;
    Ok(Received { version: Version::Directory, staged, file: None })
}

/// A body of at most so many bytes, read to its end. One that says that it is longer is not waited for.
fn read_small(body: &mut dyn Content, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    if body.announced().is_none_or(|announced| announced <= most as u64) {
        body.take(most as u64 + 1).read_to_end(&mut bytes).map_err(Refusal::Body)?;
        if bytes.len() <= most {
            return Ok(bytes);
        }
    }
    Err(Refusal::new(ProblemKind::TooLarge, format!("the body may have {most} bytes here")))
}

/// What was announced, before or after the body, must be what came.
fn check_digest(version: &Version, announced: Option<Hash>, trailers: &Fields) -> Result<(), Refusal> {
    let trailing = repr_digest(trailers)?.map(Hash);
    let came = version.hash();
    match [announced, trailing].into_iter().flatten().find(|digest| came.is_some_and(|came| came != *digest))
    {
        None => Ok(()),
        Some(digest) => Err(mismatch(digest, came)),
    }
}

/// What a client hears when something else came than was announced.
pub(crate) fn mismatch(announced: Hash, came: Option<Hash>) -> Refusal {
    let came = came.map(|came| came.to_string()).unwrap_or_default();
    let detail = format!("announced was {announced}, and {came} came; nothing is stored");
    Refusal::new(ProblemKind::DigestMismatch, detail)
}

fn meta_change(bytes: &[u8]) -> Result<(Option<Mtime>, Option<u16>), Refusal> {
    let object = json::parse(bytes).map_err(|error| Refusal::bad(error.to_string()))?;
    let Some(members) = object.as_object() else { return Err(Refusal::bad("a merge patch is an object")) };
    let (mut mtime, mut mode) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("mtime", value) => {
                let nanos =
                    value.as_i64().ok_or_else(|| Refusal::bad("mtime is a whole number of nanoseconds"))?;
                mtime = Some(Mtime(nanos));
            }
            ("mode", Value::String(text)) => {
                mode = Some(parse_mode(text).map_err(|error| Refusal::bad(error.to_string()))?);
            }
            _ => {
                return Err(Refusal::bad("what can be changed is mtime (a number) and mode (octal, a text)"));
            }
        }
    }
    Ok((mtime, mode))
}

// ---- The outcome -----------------------------------------------------------------------------------------------------------------

fn submit(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    action: Action,
    claim: Claim,
) -> Result<Answer, Refusal> {
    prepare(view, request, path, action, claim)?.answer()
}

fn prepare(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    action: Action,
    claim: Claim,
) -> Result<Later, Refusal> {
    match view.prepare(path, action, request.client.as_deref(), claim) {
        Ok(prepared) => Ok(Later { path: path.clone(), prepared }),
        Err(reason) => Err(refused(reason, path)),
    }
}

/// What a client hears of a change that was made.
pub(crate) fn committed(Committed { cursor, created, entry }: Committed) -> Answer {
    stored(if created { 201 } else { 204 }, entry.as_ref(), cursor)
}

pub(crate) fn stored(status: u16, entry: Option<&Entry>, cursor: Cursor) -> Answer {
    let answer = Answer::empty(status).with(CURSOR_FIELD, cursor.to_string());
    match entry {
        Some(Entry { content, meta }) => answer
            .with("etag", content.etag())
            .with(MTIME_FIELD, meta.mtime.0.to_string())
            .with(MODE_FIELD, mode_text(meta.mode)),
        None => answer,
    }
}

/// What a client hears when the store says no.
pub(crate) fn refused(reason: Refused, path: &Path) -> Refusal {
    match reason {
        Refused::Precondition(current) => {
            let holds = match current.as_ref().map(|current| current.entry) {
                None => "nothing, and never did",
                Some(None) => "nothing any more",
                Some(Some(_)) => "another version",
            };
            let detail = format!("the box holds {holds} at {path}");
            Problem { current, ..Problem::new(ProblemKind::PreconditionFailed, detail) }.into()
        }
        Refused::ParentMissing => {
            Refusal::new(ProblemKind::ParentMissing, format!("there is no directory to hold {path}"))
        }
        Refused::NotEmpty => Refusal::new(ProblemKind::NotEmpty, format!("there is something in {path}")),
        Refused::NotFound => Refusal::new(ProblemKind::NotFound, format!("the box has no {path}")),
        Refused::IntoItself => {
            Refusal::new(ProblemKind::IntoItself, format!("{path} can't be moved into itself"))
        }
        Refused::BadName(error) => {
            Refusal::bad(format!("something in {path} can't have its new path: {error}"))
        }
        Refused::Quota(exceeded) => {
            let detail = format!("there is no room for {path} in this account: {exceeded}");
            let quota = Some(exceeded.quota);
            Problem { quota, ..Problem::new(ProblemKind::QuotaExceeded, detail) }.into()
        }
        Refused::Disk(error) => Refusal::disk(&error),
        Refused::Stopping => Refusal::new(ProblemKind::Busy, "the server is stopping"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;
    use common::wire::http::digest::format_digest;
    use common::wire::http::framing::Framing;
    use common::wire::http::head::parse_request;
    use common::wire::sha256::sha256;

    /// The head of a `PUT` with these field lines, or the status it is refused with.
    fn head(lines: &str) -> Result<Wanted, u16> {
        let text = format!("PUT /upload/a HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
        let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
        let status = |refusal: Refusal| refusal.into_answer().unwrap().status;
        let grant = Grant::of_a_test(Realm::default());
        read_head(&Request::new(&head, Framing::Length(5), &grant).map_err(status)?).map_err(status)
    }

    #[test]
    fn what_may_be_left_out() {
        let wanted = head("if-none-match: *\r\n").unwrap();
        assert_eq!((wanted.kind, wanted.label.mode, wanted.require), (Kind::File, None, Require::Nothing));
        let wanted = head("if-match: *\r\nFile-Kind: dir\r\nFile-Mtime: -5\r\n").unwrap();
        assert_eq!(
            (wanted.kind, wanted.label.mode, wanted.require),
            (Kind::Directory, None, Require::Something)
        );
        assert_eq!(wanted.label.mtime, Mtime(-5));
    }

    #[test]
    fn versions_that_can_not_be_match_nothing() {
        let wanted = head("if-match: \"dir\", \"x\", W/\"dir\"\r\n").unwrap();
        assert_eq!(wanted.require, Require::OneOf(vec![Tag::Directory]));
        assert_eq!(head("if-match: W/\"dir\"\r\n").unwrap().require, Require::OneOf(vec![]));
    }

    #[test]
    fn heads_that_are_refused() {
        for (lines, status) in [
            ("", 428),
            ("if-match: x\r\n", 400),
            ("if-match: *\r\nif-none-match: *\r\n", 400),
            ("if-match: *\r\nfile-mode: 999\r\n", 400),
            ("if-match: *\r\nfile-mode: 644\r\nfile-mode: 644\r\n", 400),
            ("if-match: *\r\nfile-mtime: 1.5\r\n", 400),
            ("if-match: *\r\nfile-kind: pipe\r\n", 400),
            ("if-match: *\r\ncontent-encoding: gzip\r\n", 415),
            ("if-match: *\r\ncontent-range: bytes 0-4/10\r\n", 400),
            ("if-match: *\r\nrepr-digest: sha-256=:AA==:\r\n", 400),
            ("if-match: *\r\nsync-client: a b\r\n", 400),
            ("if-match: \"dir\"\r\nsync-base: 5\r\n", 400),
        ] {
            assert_eq!(head(lines).err(), Some(status), "{lines:?}");
        }
    }

    #[test]
    fn every_digest_that_was_announced_counts() {
        let (right, wrong) = (sha256(b"right"), sha256(b"wrong"));
        let version = Version::File { size: 5, hash: right };
        let trailer = |hash: Hash| Fields::new().with("repr-digest", format_digest(&hash.0));
        assert!(check_digest(&version, None, &Fields::new()).is_ok());
        assert!(check_digest(&version, Some(right), &trailer(right)).is_ok());
        assert!(check_digest(&version, Some(wrong), &trailer(right)).is_err());
        assert!(check_digest(&version, Some(right), &trailer(wrong)).is_err());
    }

    #[test]
    fn metadata_patches() {
        let read = |text: &str| meta_change(text.as_bytes()).ok();
        assert_eq!(read("{\"mtime\":-5,\"mode\":\"600\"}"), Some((Some(Mtime(-5)), Some(0o600))));
        assert_eq!(read("{}"), Some((None, None)));
        for text in ["", "[]", "{\"mtime\":null}", "{\"mode\":600}", "{\"mode\":\"8\"}", "{\"size\":1}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// A body of this length, which is announced or not.
    struct Long {
        left: usize,
        announced: Option<u64>,
        none: Fields,
    }

    impl Read for Long {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = out.len().min(self.left);
            out[..count].fill(b' ');
            self.left -= count;
            Ok(count)
        }
    }

    impl Content for Long {
        fn announced(&self) -> Option<u64> {
            self.announced
        }

        fn trailers(&self) -> &Fields {
            &self.none
        }
    }

    #[test]
    fn what_is_to_be_small_is() {
        let workshop = Workshop::new();
        let grant = Grant::of_a_test(Realm::default());
        let view = View::new(&workshop.service, grant.clone(), 0);
        let text = "PATCH /upload/a HTTP/1.1\r\nhost: a\r\nif-match: *\r\n\r\n";
        let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
        let request = Request::new(&head, Framing::Chunked, &grant).unwrap();
        let path = Path::new(b"a").unwrap();
        let status = |length: usize, announced: Option<u64>| {
            let mut body = Long { left: length, announced, none: Fields::new() };
            let refusal = set_meta(&view, &request, &path, &mut body).unwrap_err();
            (refusal.into_answer().unwrap().status, body.left)
        };
        let most = SMALL_BODY_BYTES as usize;
        assert_eq!(status(most, None), (400, 0), "it is read, and no patch");
        assert_eq!(status(2 * most, None), (413, most - 1), "no more is read");
        assert_eq!(status(most + 1, Some(SMALL_BODY_BYTES + 1)), (413, most + 1), "nothing is read");
    }

    #[test]
    fn a_link_leads_only_so_far() {
        let workshop = Workshop::new();
        let view = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let receive =
            |left: usize| receive_link(&view, &mut Long { left, announced: None, none: Fields::new() });
        assert_eq!(receive(LINK_BYTES).unwrap().version.size(), LINK_BYTES as u64);
        let refusal = receive(LINK_BYTES + 1).err().unwrap();
        assert_eq!(refusal.into_answer().map(|answer| answer.status), Some(413));
    }
}
