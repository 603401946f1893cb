//! What workers do with the server: send, fetch, delete, set metadata. One connection a worker.
//!
//! Every change carries the version it was decided on as `If-Match` or `If-None-Match`, so a decision based on old news changes nothing:
//! the server answers 412 with what it holds, and the path is decided anew. Content that was fetched is checked against the hash it was
//! promised with before the publisher gets it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use super::folder::Folder;
use super::job::{Failure, FailureKind, Job, Outcome, Sent, There};
use super::local::copy_names;
use super::message::Message;
use super::progress::Progress;
use super::publish::{Ready, Worked, put_in_place};
use super::state::Base;
use crate::disk::{
    Above, Expect, Fingerprint, Hashing, NewContent, Outcome as DiskOutcome, Partials, Piece, RetainedFile,
    Staged, Stat, StatKind,
};
use crate::limits::{COPY_BUFFER_BYTES, EXPECT_CONTINUE_BYTES, LINK_BYTES, SMALL_BODY_BYTES};
use crate::net::client::{HttpClient, Response};
use crate::net::error::NetError;
use crate::net::exchange::RequestBody;
use crate::net::file_part::FilePart;
use crate::protocol::{
    BASE_FIELD, CLIENT_FIELD, CURSOR_FIELD, Cursor, Epoch, KIND_FIELD, MODE_FIELD, MTIME_FIELD, Problem,
    ProblemKind, mode_text, parse_mode, parse_mtime, path_to_wire,
};
use crate::sync::{self, MetaChange, conflict_original};
use crate::sys::errno;
use crate::tree::{Content, Entry, Kind, Meta, Path, Tag};
use crate::wire::http::digest::format_digest;
use crate::wire::http::fields::Fields;
use crate::wire::http::head::Method;
use crate::wire::http::retry::retry_after;
use crate::wire::json;
use crate::wire::sha256::Hash;

/// What a transfer needs besides the path.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    pub(super) folder: &'a Folder,
    pub(super) http: &'a mut HttpClient,
    pub(super) progress: &'a Progress,
    pub(super) client_id: &'a str,
    pub(super) client_name: &'a str,
    /// The history that seqs belong to.
    pub(super) epoch: Option<Epoch>,
    /// What came of downloads that were cut.
    pub(super) partials: &'a Arc<Partials>,
    /// Hears that a transfer goes on which was cut.
    pub(super) control: &'a SyncSender<Message>,
    /// Whether content is flushed before it is published.
    pub(super) durable: bool,
    /// What it is done for.
    pub(super) job: &'a Job,
}

/// All that an owner may do.
pub(super) const OWNERS: u16 = 0o700;

/// Either what came of a job, or why it failed.
pub(super) type Tried = Result<Outcome, Failure>;

impl Transfer<'_> {
    /// Sends the local version.
    pub(super) fn upload(
        &mut self,
        path: &Path,
        entry: Entry,
        print: Fingerprint,
        replacing: Option<sync::Base>,
        before: Option<u16>,
    ) -> Tried {
        let target = format!("/upload/{}", path_to_wire(path));
        let here = match self.still_here(path, &entry, print)? {
            Ok(here) => here,
            Err(now) => return Ok(Outcome::LocalIs(now)),
        };
        let offset = self.kept_there(path, &entry)?;
        let fields = self.upload_fields(&entry, replacing, before, offset);
        let response = match entry.content {
            Content::Directory => self.http.send(Method::Put, &target, &fields, RequestBody::Empty),
            Content::Symlink { .. } => {
                let link = self.folder.root.read_link(path).map_err(disk("read"))?;
                self.http.send(Method::Put, &target, &fields, RequestBody::Bytes(&link))
            }
            Content::File { size, .. } => {
                let file = self.folder.root.open_file(path).map_err(disk("open"))?;
                let progress = self.progress;
                // It may be written to meanwhile; the server then finds that it has not the digest that was announced.
                let mut passed = |count| {
                    progress.sent.fetch_add(count, Ordering::Relaxed);
                    progress.check_stopping()
                };
                let part = FilePart::new(&file, offset, size - offset);
                let body = RequestBody::File { part, passed: &mut passed };
                let method = if offset == 0 { Method::Put } else { Method::Patch };
                self.http.send(method, &target, &fields, body)
            }
        };
        let response = match response {
            // The file became shorter, or can't be read any more.
            Err(NetError::Source(error)) => {
                let now = self.folder.root.stat(path).map_err(disk("look at"))?;
                let is_same = now == Some(here);
                return if is_same { Err(disk("read")(error)) } else { Ok(Outcome::LocalIs(now)) };
            }
            other => other.map_err(network("upload"))?,
        };
        Upload { entry, print, before, here, offset }.outcome(self.folder, path, response)
    }

    /// What is at a path, if that is what is to be sent; else what is there instead.
    pub(super) fn still_here(
        &self,
        path: &Path,
        entry: &Entry,
        print: Fingerprint,
    ) -> Result<Result<Stat, Option<Stat>>, Failure> {
        let is_seen = |stat: &Stat| match entry.content.kind() {
            // What is in it moves its times; its mode is what is sent.
            Kind::Directory => stat.kind == StatKind::Directory && stat.mode == entry.meta.mode,
            _ => stat.print == print,
        };
        let here = self.folder.stat_closed(path).map_err(disk("look at"))?;
        Ok(here.filter(is_seen).ok_or(here))
    }

    /// The fields of an upload that begins at a byte: the first, or where one was cut.
    pub(super) fn upload_fields(
        &self,
        entry: &Entry,
        replacing: Option<sync::Base>,
        before: Option<u16>,
        offset: u64,
    ) -> Fields {
        let mut fields = self.change_fields(replacing);
        if 0 < offset {
            fields = Transfer::rest_fields(fields, offset);
        }
        fields.push(KIND_FIELD, entry.content.kind().word());
        if before != Some(entry.meta.mode) {
            fields.push(MODE_FIELD, mode_text(entry.meta.mode));
        }
        fields.push(MTIME_FIELD, entry.meta.mtime.0.to_string());
        if let Some(hash) = entry.content.hash() {
            fields.push("repr-digest", format_digest(&hash.0));
        }
        if EXPECT_CONTINUE_BYTES < entry.content.size() {
            fields.push("expect", "100-continue");
        }
        fields
    }

    /// The fields of every request that changes something: who asks, and what must be there, since when.
    pub(super) fn change_fields(&self, replacing: Option<sync::Base>) -> Fields {
        let fields = self.client_fields();
        let Some(sync::Base { tag, seq }) = replacing else { return fields.with("if-none-match", "*") };
        let fields = fields.with("if-match", format!("\"{tag}\""));
        match self.cursor_at(seq) {
            Some(base) => fields.with(BASE_FIELD, base),
            None => fields,
        }
    }

    /// A place in the history that is being followed, as a field's value.
    pub(super) fn cursor_at(&self, seq: Option<u64>) -> Option<String> {
        let (epoch, seq) = self.epoch.zip(seq)?;
        Some(Cursor { epoch, seq }.to_string())
    }

    /// The field that says who asks.
    pub(super) fn client_fields(&self) -> Fields {
        Fields::new().with(CLIENT_FIELD, self.client_id)
    }

    /// Deletes on the server what is still absent here.
    pub(super) fn delete_remote(&mut self, path: &Path, seen: sync::Base) -> Tried {
        if let Some(stat) = self.folder.root.stat(path).map_err(disk("look at"))? {
            return Ok(Outcome::LocalIs(Some(stat)));
        }
        let target = format!("/upload/{}", path_to_wire(path));
        let fields = self.change_fields(Some(seen));
        let response = self
            .http
            .send(Method::Delete, &target, &fields, RequestBody::Empty)
            .map_err(network("delete"))?;
        match response.head.status {
            200..=299 => {
                let seq = confirmed(&response, None, "delete on the server")?;
                Ok(Outcome::DeletedRemote { seq: Some(seq) })
            }
            _ => match refusal(response, "delete on the server")? {
                Problem { kind: ProblemKind::NotFound, .. } => Ok(Outcome::DeletedRemote { seq: None }),
                Problem { kind: ProblemKind::NotEmpty, .. } => Ok(Outcome::NotEmptyThere),
                problem => decided_elsewhere(problem, "delete on the server"),
            },
        }
    }

    /// Sets metadata on the server.
    pub(super) fn push_meta(
        &mut self,
        path: &Path,
        entry: Entry,
        print: Fingerprint,
        change: MetaChange,
    ) -> Tried {
        let is_directory = entry.content.kind() == Kind::Directory;
        let is_seen = |stat: &Stat| match is_directory {
            true => stat.kind == StatKind::Directory && stat.mode == entry.meta.mode,
            false => stat.print == print,
        };
        let here = self.folder.stat_closed(path).map_err(disk("look at"))?;
        if !here.as_ref().is_some_and(is_seen) {
            return Ok(Outcome::LocalIs(here));
        }
        let mut patch = json::Writer::new();
        patch.begin_object();
        if let Some(mode) = change.mode {
            patch.field_str("mode", &mode_text(mode));
        }
        if let Some(mtime) = change.mtime {
            patch.field_i64("mtime", mtime.0);
        }
        let body = patch.end_object().finish();
        let fields = self
            .change_fields(Some(sync::Base { tag: Tag::from(entry.content), seq: None }))
            .with("content-type", "application/merge-patch+json");
        let target = format!("/upload/{}", path_to_wire(path));
        let response = self.http.send(Method::Patch, &target, &fields, RequestBody::Bytes(&body));
        let response = response.map_err(network("set metadata of"))?;
        match response.head.status {
            200..=299 => Ok(Outcome::MetaSent(sent(entry, print, None, &response, "set metadata of")?)),
            _ => decided_elsewhere(refusal(response, "set metadata of")?, "set metadata of"),
        }
    }

    /// Fetches the server's version, to be put in the place of what is expected there.
    pub(super) fn download(
        &mut self,
        path: &Path,
        remote: &There,
        expect: Expect,
        kept: Option<u16>,
    ) -> Result<Worked, Failure> {
        let (staged, file) = self.fetch(path, &remote.entry_here(kept))?;
        let ready = Ready { staged, expect, remote: *remote, kept, from: None };
        match file {
            Some(file) => Ok(Worked::Staged(ready, file)),
            None => put_in_place(self.folder, self.job, ready, &mut Above::default()).map(Worked::Done),
        }
    }

    /// Fetches the server's version under a conflict name, unless there is such a copy already.
    pub(super) fn fetch_aside(&mut self, path: &Path, remote: Entry) -> Tried {
        if let Some(fetched) = self.earlier_copy(path, &remote).map_err(disk("look for copies of"))? {
            return Ok(fetched);
        }
        for copy in copy_names(path, self.client_name) {
            let copy = copy.map_err(disk("name a copy of"))?;
            if self.folder.root.stat(&copy).map_err(disk("look at"))?.is_some() {
                continue;
            }
            let (staged, file) = self.fetch(path, &remote)?;
            if let Some(file) = file.filter(|_| self.durable) {
                file.sync_data().map_err(disk("flush"))?;
            }
            let _open = self.folder.open_doors(&[&copy]).map_err(disk("open the directories above"))?;
            if let DiskOutcome::Done(stat) =
                staged.publish(&copy, Expect::Absent).map_err(disk("put in place"))?
            {
                return Ok(Outcome::FetchedAside { copy, entry: remote, print: stat.print });
            }
        }
        Err(disk("name a copy of")(io::ErrorKind::AlreadyExists.into()))
    }

    /// A conflict copy of `path` that holds the server's version: it may have been fetched just before a crash, and every start would
    /// leave another one otherwise.
    fn earlier_copy(&self, path: &Path, remote: &Entry) -> io::Result<Option<Outcome>> {
        let root = &self.folder.root;
        for (name, stat) in root.list(path.parent().as_ref())? {
            let Ok(copy) = Path::child(path.parent().as_ref(), &name) else { continue };
            if conflict_original(&copy).as_ref() != Some(path) || stat.size != remote.content.size() {
                continue;
            }
            if let Outcome::Hashed(found, print) = super::local::hash(root, &copy, &stat)?
                && found.content == remote.content
            {
                return Ok(Some(Outcome::FetchedAside { copy, entry: found, print }));
            }
        }
        Ok(None)
    }

    /// The server's version, complete and checked, in the staging directory; if it is a file, the descriptor to flush it by.
    fn fetch(&mut self, path: &Path, remote: &Entry) -> Result<(Staged, Option<File>), Failure> {
        match remote.content {
            // One that its owner can't change could not be put in its place; it gets its mode there.
            Content::Directory => {
                let staged = self.folder.stage.directory(remote.meta.mode | OWNERS).map_err(disk("make"))?;
                Ok((staged, None))
            }
            Content::Symlink { size, hash } => {
                let mut target = Vec::new();
                self.fetch_content(path, remote, size.min(LINK_BYTES as u64), hash, &mut target)?;
                Ok((self.folder.stage.symlink(&target).map_err(disk("make"))?, None))
            }
            Content::File { size, hash } => {
                // A moment ago the folder may have had it under another name.
                if let Some(RetainedFile { mut file, .. }) =
                    self.folder.stage.retained().find(&remote.content)
                    && let Some((staged, file)) = self.copy(&mut file, remote)?
                {
                    return Ok((staged, Some(file)));
                }
                let (mut staged, file) = match self.fetch_resumably(path, remote, size, hash)? {
                    Some(complete) => complete,
                    None => {
                        self.check_room(size)?;
                        stage_content(self.folder, |content| {
                            self.fetch_content(path, remote, size, hash, content)
                        })?
                    }
                };
                staged.label(&file, remote.meta).map_err(disk("set metadata of"))?;
                Ok((staged, Some(file)))
            }
        }
    }

    /// What can't fit is not begun.
    pub(super) fn check_room(&self, size: u64) -> Result<(), Failure> {
        let free = self.folder.root.free_space().map_err(disk("look for room for"))?;
        if size <= free {
            return Ok(());
        }
        let words = format!(
            "{size} bytes are needed here, and there is room for {free}; it comes when there is more"
        );
        Err(Failure::new("download", words, FailureKind::NoSpace))
    }

    fn fetch_content(
        &mut self,
        path: &Path,
        remote: &Entry,
        size: u64,
        hash: Hash,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let target = format!("/download/{}", path_to_wire(path));
        let fields = download_fields(remote.content);
        let response =
            self.http.send(Method::Get, &target, &fields, RequestBody::Empty).map_err(network("download"))?;
        receive_content(response, self.progress, remote.content, size, hash, out)
    }
}

/// An upload that was sent, and what was known before.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) entry: Entry,
    pub(super) print: Fingerprint,
    pub(super) before: Option<u16>,
    pub(super) here: Stat,
    pub(super) offset: u64,
}

impl Upload {
    /// What comes of it, by the server's answer.
    pub(super) fn outcome(self, folder: &Folder, path: &Path, response: Response<'_>) -> Tried {
        let Upload { entry, print, before, here, offset } = self;
        match response.head.status {
            200..=299 => Ok(Outcome::Uploaded(sent(entry, print, before, &response, "upload")?)),
            _ => match refusal(response, "upload")? {
                // What was sent is not what was announced: the file changed in between, or what the server had kept is not from it.
                Problem { kind: ProblemKind::DigestMismatch, .. } => {
                    match folder.root.stat(path).map_err(disk("look at"))? {
                        now if 0 < offset && now == Some(here) => Err(not_continued()),
                        now => Ok(Outcome::LocalIs(now)),
                    }
                }
                Problem { kind: ProblemKind::OffsetMismatch | ProblemKind::NotFound, .. } if 0 < offset => {
                    Err(not_continued())
                }
                Problem { kind: ProblemKind::ParentMissing, .. } => Ok(Outcome::ParentMissing),
                problem => decided_elsewhere(problem, "upload"),
            },
        }
    }
}

/// The fields of a request for this very content.
pub(super) fn download_fields(content: Content) -> Fields {
    Fields::new().with("if-match", content.etag())
}

/// A new file in the staging directory, with what `fill` writes.
pub(super) fn stage_content(
    folder: &Folder,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(Staged, File), Failure> {
    let (staged, file) = folder.stage.file().map_err(disk("make a file for"))?;
    let mut content = NewContent::of(&file);
    fill(&mut content)?;
    content.finish().map_err(disk("write"))?;
    Ok((staged, file))
}

/// Takes content out of the answer to a request for it, if it is what it should be.
pub(super) fn receive_content(
    response: Response<'_>,
    progress: &Progress,
    content: Content,
    size: u64,
    hash: Hash,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if response.head.status == 200 && !names(&response, content) {
        return Err(from_elsewhere(&response, "download"));
    }
    if response.head.status != 200 {
        let problem = refusal(response, "download")?;
        return Err(Failure::new(
            "download",
            format!("the server says: {}", problem.detail),
            FailureKind::Path,
        ));
    }
    let mut hashing = Hashing::new();
    let received = receive(response.body, progress, size, |piece| {
        out.write_all(&piece)?;
        hashing.update(piece)
    })?;
    if received != size || hashing.finish().map_err(disk("write"))? != hash {
        return Err(unexpected_content());
    }
    Ok(())
}

/// Reads a body to its end, at most so many bytes, and hands it on in large pieces: what is small comes as one. How many there were.
///
/// What came before an error is handed on, too.
pub(super) fn receive(
    body: impl Read,
    progress: &Progress,
    most: u64,
    mut take: impl FnMut(Piece<'_>) -> io::Result<()>,
) -> Result<u64, Failure> {
    let mut source = Counted { inner: body, progress };
    // One byte more, so that too much is noticed.
    let enough = usize::try_from(most.saturating_add(1)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; enough.min(COPY_BUFFER_BYTES)];
    let mut received = 0;
    loop {
        let (count, end) = fill(&mut source, &mut buffer);
        received += count as u64;
        if most < received {
            return Err(Failure::new(
                "download",
                "the server sends more than it announced",
                FailureKind::Path,
            ));
        }
        if 0 < count {
            take(Piece::of(&mut buffer, count)).map_err(disk("write"))?;
        }
        match end {
            None => {}
            Some(Ok(())) => return Ok(received),
            Some(Err(error)) => {
                let words = format!("the connection broke: {error}");
                return Err(Failure::new("download", words, FailureKind::Network));
            }
        }
    }
}

/// Reads until the buffer is full, and says how much is in it; and if that was all, whether it ended well.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

pub(super) fn unexpected_content() -> Failure {
    Failure::new(
        "download",
        "what came is not what the server announced; nothing was changed",
        FailureKind::Path,
    )
}

/// What was kept there is gone, or of no use: the next try starts over.
fn not_continued() -> Failure {
    Failure::new("upload", "the server can't continue it; it starts over", FailureKind::Moment)
}

/// Counts what is received, for the progress line, and breaks off when the client is to stop.
struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.progress.check_stopping()?;
        let count = self.inner.read(buffer)?;
        self.progress.received.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Where a change stands in the box's history, if the server says that it made it. A success that does not say so, and does not name the
/// content that is there now, is somebody else's: nothing may follow from it.
pub(super) fn confirmed(
    response: &Response<'_>,
    now: Option<Content>,
    operation: &'static str,
) -> Result<u64, Failure> {
    let cursor = response.head.fields.get(CURSOR_FIELD).and_then(|text| Cursor::parse(text).ok());
    match cursor {
        Some(cursor) if now.is_none_or(|now| names(response, now)) => Ok(cursor.seq),
        _ => Err(from_elsewhere(response, operation)),
    }
}

/// What came of sending this version. The answer tells what the server has: it may have kept a mode that somebody else set, or all of its
/// metadata, where it had the content already. Then a mode that it did not take is still to be sent: the base keeps the one from `before`.
pub(super) fn sent(
    entry: Entry,
    print: Fingerprint,
    before: Option<u16>,
    response: &Response<'_>,
    operation: &'static str,
) -> Result<Sent, Failure> {
    let seq = confirmed(response, Some(entry.content), operation)?;
    let there = Entry { meta: meta_of(response, operation)?, ..entry };
    let is_refused = !there.agrees(&entry) && there.meta.mode != entry.meta.mode;
    let mode = before.filter(|_| is_refused).unwrap_or(entry.meta.mode);
    let print = if mode == entry.meta.mode { print } else { print.of_no_file() };
    let entry = Entry { meta: Meta { mode, ..entry.meta }, ..entry };
    Ok(Sent { base: Base { entry, print, seq }, there: There { entry: there, seq } })
}

/// The metadata that the server says it has now.
pub(super) fn meta_of(response: &Response<'_>, operation: &'static str) -> Result<Meta, Failure> {
    let fields = &response.head.fields;
    let mtime = fields.get(MTIME_FIELD).and_then(|text| parse_mtime(text).ok());
    let mode = fields.get(MODE_FIELD).and_then(|text| parse_mode(text).ok());
    let meta = mtime.zip(mode).map(|(mtime, mode)| Meta { mtime, mode });
    meta.ok_or_else(|| from_elsewhere(response, operation))
}

/// Whether an answer is about this content.
pub(super) fn names(response: &Response<'_>, content: Content) -> bool {
    response.head.fields.get("etag") == Some(content.etag().as_str())
}

/// For people: an answer with this status that no filesync server gives.
pub(super) fn not_ours(status: u16) -> String {
    let what = match status {
        300..=399 => "the answer leads elsewhere",
        429 | 502..=504 => "something on the way is busy or broken",
        _ => "the answer is not that of a filesync server",
    };
    format!("{what} (status {status}); is the address right?")
}

/// A failure that says nothing about the path: a page of some proxy must not be taken for the server's word.
pub(super) fn from_elsewhere(response: &Response<'_>, operation: &'static str) -> Failure {
    let retry_after = retry_after(&response.head.fields);
    Failure { retry_after, ..Failure::new(operation, not_ours(response.head.status), FailureKind::Network) }
}

/// What the server said when it refused. Only a document of ours counts.
pub(super) fn refusal(response: Response<'_>, operation: &'static str) -> Result<Problem, Failure> {
    let status = response.head.status;
    let elsewhere = from_elsewhere(&response, operation);
    let mut body = Vec::new();
    let _ = response.body.take(SMALL_BODY_BYTES).read_to_end(&mut body);
    let Some(problem) = Problem::parse(status, &body) else {
        // Whoever guards the way with a key of its own: trying again with the same one would not help.
        let kind = if status == 401 { FailureKind::NotAuthorised } else { elsewhere.kind };
        return Err(Failure { kind, ..elsewhere });
    };
    let (kind, words) = match problem.kind {
        ProblemKind::Unauthorized => (FailureKind::NotAuthorised, "not authorised"),
        ProblemKind::NoSpace => (FailureKind::NoSpace, "the server has no room"),
        ProblemKind::QuotaExceeded => (FailureKind::NoSpace, "the quota is used up"),
        ProblemKind::Busy => (FailureKind::Moment, "the server is busy"),
        ProblemKind::Http(408) => (FailureKind::Network, "the server waited in vain"),
        ProblemKind::InsufficientScope => (FailureKind::ReadOnly, "not allowed"),
        ProblemKind::TooManyAttempts | ProblemKind::RootMissing => {
            (FailureKind::Network, "the server lets nothing be done")
        }
        _ => return Ok(problem),
    };
    let error = format!("{words}: {}", problem.detail);
    Err(Failure { error, kind, ..elsewhere })
}

/// A refusal that tells what the server holds is news; any other is a failure.
pub(super) fn decided_elsewhere(problem: Problem, operation: &'static str) -> Tried {
    match problem.kind {
        ProblemKind::PreconditionFailed => Ok(Outcome::RemoteIs(problem.current)),
        _ => Err(Failure::new(operation, format!("the server says: {}", problem.detail), FailureKind::Path)),
    }
}

/// A refusal that asks for another way.
pub(super) fn decided_or(problem: Problem, other_way: Outcome) -> Tried {
    match problem.kind {
        ProblemKind::Internal | ProblemKind::Busy => {
            Err(Failure::new("move", format!("the server says: {}", problem.detail), FailureKind::Path))
        }
        _ => Ok(other_way),
    }
}

/// For `map_err`: an error of the local disk.
pub(super) fn disk(operation: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| {
        let kind = match error.raw_os_error() {
            Some(errno::ENOSPC | errno::EDQUOT | errno::EFBIG) => FailureKind::NoSpace,
            _ => FailureKind::Path,
        };
        Failure::new(operation, error.to_string(), kind)
    }
}

pub(super) fn network(operation: &'static str) -> impl Fn(NetError) -> Failure {
    move |error| Failure::new(operation, error.to_string(), FailureKind::Network)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::thread;

    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::engine::job::Task;
    use crate::limits::{READ_STALL, RESUMABLE_BYTES};
    use crate::net::body::{Body, Pace};
    use crate::net::conn::Conn;
    use crate::tree::{Meta, Mtime};
    use crate::wire::http::framing::Framing;
    use crate::wire::http::head::parse_response;

    /// A folder with a directory `d`, and a worker. Nobody listens where it would send to, so that whatever gets so far fails.
    struct Desk {
        path: Path,
        stat: Stat,
        job: Job,
        folder: Folder,
        partials: Arc<Partials>,
        http: HttpClient,
        progress: Progress,
        control: SyncSender<Message>,
        _messages: Receiver<Message>,
        _scratch: Scratch,
    }

    impl Desk {
        fn new() -> Desk {
            let scratch = Scratch::new();
            let folder = Folder::open(scratch.path()).unwrap();
            fs::create_dir(scratch.path().join("d")).unwrap();
            let path = Path::new(b"d").unwrap();
            let stat = folder.root.stat(&path).unwrap().unwrap();
            let (control, messages) = sync_channel(1);
            let task = Task::Hash { stat };
            Desk {
                job: Job { path: path.clone(), task, epoch: None, here: None, above: Vec::new() },
                partials: Partials::open(&folder.private, folder.stage.clone(), false).unwrap(),
                http: HttpClient::new("http://127.0.0.1:1".parse().unwrap(), "test", None),
                progress: Progress::default(),
                path,
                stat,
                folder,
                control,
                _messages: messages,
                _scratch: scratch,
            }
        }

        fn transfer(&mut self) -> Transfer<'_> {
            Transfer {
                job: &self.job,
                folder: &self.folder,
                partials: &self.partials,
                control: &self.control,
                http: &mut self.http,
                progress: &self.progress,
                client_id: "me",
                client_name: "me",
                epoch: None,
                durable: false,
            }
        }
    }

    fn file(size: u64) -> Entry {
        Entry {
            content: Content::File { size, hash: Hash([7; 32]) },
            meta: Meta { mtime: Mtime(1), mode: 0o644 },
        }
    }

    #[test]
    fn a_directory_is_sent_only_with_the_mode_that_it_has() {
        let mut desk = Desk::new();
        let (path, stat) = (desk.path.clone(), desk.stat);
        let mut transfer = desk.transfer();
        let mut send = |mode| {
            let meta = Meta { mtime: stat.mtime, mode };
            transfer.upload(&path, Entry { content: Content::Directory, meta }, stat.print, None, None)
        };
        assert!(matches!(send(stat.mode ^ 0o010), Ok(Outcome::LocalIs(Some(_)))), "it has another mode now");
        assert!(matches!(send(stat.mode), Err(Failure { kind: FailureKind::Network, .. })), "it is sent");
    }

    #[test]
    fn only_what_is_large_is_asked_leave_for() {
        let mut desk = Desk::new();
        let transfer = desk.transfer();
        let asks =
            |size| transfer.upload_fields(&file(size), None, None, 0).has_token("expect", "100-continue");
        assert!(!asks(EXPECT_CONTINUE_BYTES) && asks(EXPECT_CONTINUE_BYTES + 1));
    }

    /// The server is asked for what it has kept, and content is fetched into a place where it is kept: here that fails for want of a server.
    #[test]
    fn only_what_is_large_is_continued() {
        let mut desk = Desk::new();
        let path = desk.path.clone();
        let mut transfer = desk.transfer();
        let mut kept_there = |size| transfer.kept_there(&path, &file(size));
        assert!(matches!(kept_there(RESUMABLE_BYTES - 1), Ok(0)));
        assert!(matches!(kept_there(RESUMABLE_BYTES), Err(Failure { kind: FailureKind::Network, .. })));
        let mut fetch = |size| transfer.fetch_resumably(&path, &file(size), size, Hash([7; 32]));
        assert!(matches!(fetch(RESUMABLE_BYTES - 1), Ok(None)));
        assert!(matches!(fetch(RESUMABLE_BYTES), Err(Failure { kind: FailureKind::Network, .. })));
    }

    #[test]
    fn of_a_long_refusal_a_little_is_read() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let sent = 4 * SMALL_BODY_BYTES;
        let sender = thread::spawn(move || io::copy(&mut io::repeat(b'x').take(sent), &mut there).unwrap());
        let mut rest = here.try_clone().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let head = parse_response(b"HTTP/1.1 412 No\r\n\r\n").unwrap().unwrap().0;
        let body = Body::new(&mut conn, Framing::UntilClose, Pace::Stall(READ_STALL));
        let refused = refusal(Response { head, body }, "upload");
        assert!(matches!(refused, Err(Failure { kind: FailureKind::Network, .. })), "{refused:?}");
        let left = conn.buffered().len() as u64 + io::copy(&mut rest, &mut io::sink()).unwrap();
        assert_eq!((sender.join().unwrap(), sent - left), (sent, SMALL_BODY_BYTES));
    }
}
