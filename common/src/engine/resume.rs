//! Transfers that go on where they were cut, when the connection broke or either program ended.
//!
//! ```text
//!     up      HEAD: how much of this content does the server have?   ->  PATCH the rest, or PUT all of it
//!     down    how much of this content is in .filesync/partial?      ->  GET with Range the rest, or all of it
//! ```
//!
//! Which content it is, is told by its hash alone, so nothing is ever continued with something else; if the server's version or the file
//! here has changed meanwhile, it is another transfer. What came is proven before it is continued, and the whole is before it is used: by
//! the server on the way up, here on the way down. Where anything is not as it should be the transfer starts over.

use super::job::{Failure, FailureKind};
use super::message::Message;
use super::report::Side;
use super::transfer::{Transfer, disk, from_elsewhere, names, network, receive, refusal, unexpected_content};
use crate::disk::{Complete, FoundPartial, Partial, PartialKey, Staged};
use crate::limits::RESUMABLE_BYTES;
use crate::net::client::Response;
use crate::net::exchange::RequestBody;
use crate::protocol::{PARTIAL_UPLOAD, UPLOAD_COMPLETE_FIELD, UPLOAD_OFFSET_FIELD, YES, path_to_wire};
use crate::tree::{Content, Entry, Path};
use crate::wire::http::digest::format_digest;
use crate::wire::http::fields::{Fields, parse_decimal};
use crate::wire::http::head::Method;
use crate::wire::http::range::{ContentRange, parse_content_range};
use crate::wire::sha256::Hash;
use std::fs::File;
use std::sync::mpsc::SyncSender;

/// A transfer goes on.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) path: Path,
    /// Where the content goes.
    pub(super) to: Side,
    /// How many bytes of it are there already.
    pub(super) offset: u64,
    pub(super) size: u64,
}

// ---- Up ------------------------------------------------------------------------------------------------------------------------------

impl Transfer<'_> {
    /// How many bytes of this version the server has kept of an upload that was cut.
    pub(super) fn kept_there(&mut self, path: &Path, entry: &Entry) -> Result<u64, Failure> {
        let Content::File { size, hash } = entry.content else { return Ok(0) };
        if size < RESUMABLE_BYTES {
            return Ok(0);
        }
        let target = format!("/upload/{}", path_to_wire(path));
        let fields = self.client_fields().with("repr-digest", format_digest(&hash.0));
        let response = self.http.send(Method::Head, &target, &fields, RequestBody::Empty);
        let head = response.map_err(network("upload"))?.head;
        match head.status {
            200..=299 => {
                let offset = head.fields.get(UPLOAD_OFFSET_FIELD).and_then(parse_decimal);
                let offset = offset.filter(|&offset| offset <= size).unwrap_or(0);
                say_resumed(self.control, Resumed { path: path.clone(), to: Side::Server, offset, size });
                Ok(offset)
            }
            503 => Err(Failure::new(
                "upload",
                "the server is still at an upload that was cut",
                FailureKind::Moment,
            )),
            // Nothing is kept, or whoever answers keeps nothing. What else there is to refuse will be said to the upload itself.
            _ => Ok(0),
        }
    }

    /// The fields that make an upload the rest of one.
    pub(super) fn rest_fields(fields: Fields, offset: u64) -> Fields {
        fields
            .with("content-type", PARTIAL_UPLOAD)
            .with(UPLOAD_OFFSET_FIELD, offset.to_string())
            .with(UPLOAD_COMPLETE_FIELD, YES)
    }
}

/// Control is told when it begins: it may take hours until there is an outcome.
fn say_resumed(control: &SyncSender<Message>, resumed: Resumed) {
    if 0 < resumed.offset {
        // If nobody listens any more, the outcome will not be heard either.
        let _ = control.send(Message::Resumed(Box::new(resumed)));
    }
}

// ---- Down ----------------------------------------------------------------------------------------------------------------------------

impl Transfer<'_> {
    /// Content of the server's, complete and checked, in the staging directory; what is kept of it is not fetched again. `None`: it can't
    /// be kept, so it is to be fetched as anything else.
    pub(super) fn fetch_resumably(
        &mut self,
        path: &Path,
        remote: &Entry,
        size: u64,
        hash: Hash,
    ) -> Result<Option<(Staged, File)>, Failure> {
        if size < RESUMABLE_BYTES {
            return Ok(None);
        }
        let key = PartialKey::new(path, "", hash);
        let mut partial = match self.partials.resume(key).map_err(disk("read what was kept of"))? {
            FoundPartial::Partial(partial) if partial.length() == size => {
                self.check_room(size - partial.offset())?;
                *partial
            }
            FoundPartial::Busy => return Ok(None),
            FoundPartial::Partial(_) | FoundPartial::Nothing => {
                self.check_room(size)?;
                match self.partials.begin(key, size).map_err(disk("make a file for"))? {
                    Some(partial) => partial,
                    None => return Ok(None),
                }
            }
        };
        if partial.offset() < size {
            self.check_room(size - partial.offset())?;
            partial = self.fetch_rest(path, remote, key, partial)?;
        }
        match partial.finish().map_err(disk("flush"))? {
            Complete::Staged(staged, file) => Ok(Some((staged, file))),
            Complete::IsOther(_) => Err(unexpected_content()),
        }
    }

    /// Fetches what is missing. If that is cut short, what came is kept.
    fn fetch_rest(
        &mut self,
        path: &Path,
        remote: &Entry,
        key: PartialKey,
        mut partial: Partial,
    ) -> Result<Partial, Failure> {
        let (offset, size) = (partial.offset(), partial.length());
        let target = format!("/download/{}", path_to_wire(path));
        let etag = remote.content.etag();
        let mut fields = Fields::new().with("if-match", etag.clone());
        if 0 < offset {
            fields = fields.with("range", format!("bytes={offset}-")).with("if-range", etag);
        }
        let response = self.http.send(Method::Get, &target, &fields, RequestBody::Empty);
        let response = response.map_err(network("download"))?;
        match response.head.status {
            200 | 206 if !names(&response, remote.content) => {
                return Err(from_elsewhere(&response, "download"));
            }
            200 if 0 < offset => {
                partial.remove();
                let begun = self.partials.begin(key, size).map_err(disk("make a file for"))?;
                partial = begun.ok_or_else(not_continued)?;
            }
            200 => {}
            206 if is_rest(&response, offset, size) => {
                say_resumed(self.control, Resumed { path: path.clone(), to: Side::Here, offset, size });
            }
            206 | 416 => {
                partial.remove();
                return Err(not_continued());
            }
            _ => {
                let problem = refusal(response, "download")?;
                let words = format!("the server says: {}", problem.detail);
                return Err(Failure::new("download", words, FailureKind::Path));
            }
        }
        let most = size - partial.offset();
        let received = receive(response.body, self.progress, most, |piece| partial.append(piece))?;
        match received == most {
            true => Ok(partial),
            false => Err(Failure::new("download", "the connection ended early", FailureKind::Network)),
        }
    }
}

/// Whether it is all of the rest, and nothing else.
fn is_rest(response: &Response<'_>, offset: u64, size: u64) -> bool {
    let range = response.head.fields.get("content-range").and_then(parse_content_range);
    range == Some(ContentRange::Part { start: offset, end_exclusive: size, length: Some(size) })
}

/// It is removed, so the next try starts over.
fn not_continued() -> Failure {
    Failure::new("download", "the server does not continue it; it starts over", FailureKind::Moment)
}
