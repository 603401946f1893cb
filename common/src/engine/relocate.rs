//! What workers do with content that is already where it is needed, under another name: no content goes over the wire.
//!
//! On the server it is moved or copied there (`MOVE`, `COPY`), in the folder here. All of it is a shortcut: whenever it does not work out,
//! [`Outcome::NoSource`] says so and the content is sent or fetched.

use std::fs::File;
use std::io::{self, Read, Write};

use super::job::{Failure, Outcome, Sent, Source, There};
use super::local::{Labelled, label};
use super::publish::{Ready, Worked};
use super::state::Base;
use super::transfer::{Transfer, Tried, confirmed, decided_or, disk, meta_of, network, refusal, sent};
use crate::disk::{
    Expect, Fingerprint, Hashing, NewContent, Piece, RenameMode, Root, Staged, Stat, StatKind,
};
use crate::limits::COPY_BUFFER_BYTES;
use crate::net::client::Response;
use crate::net::exchange::RequestBody;
use crate::protocol::{
    DESTINATION_BASE_FIELD, DESTINATION_MATCH_FIELD, MODE_FIELD, MTIME_FIELD, Problem, ProblemKind,
    mode_text, path_to_wire,
};
use crate::sync;
use crate::sys::errno;
use crate::tree::{Content, Entry, Kind, Path};
use crate::wire::http::fields::Fields;
use crate::wire::http::head::Method;

impl Transfer<'_> {
    /// Lets the server move or copy to `path` what it holds at another path, or held there until a moment ago.
    pub(super) fn relocate(
        &mut self,
        path: &Path,
        entry: Entry,
        print: Fingerprint,
        from: &Source,
        replacing: Option<sync::Base>,
        before: Option<u16>,
    ) -> Tried {
        let is_seen = |stat: &Stat| match entry.content.kind() {
            Kind::Directory => stat.kind == StatKind::Directory,
            _ => stat.print == print,
        };
        let here = self.folder.root.stat(path).map_err(disk("look at"))?;
        if !here.as_ref().is_some_and(is_seen) {
            return Ok(Outcome::LocalIs(here));
        }
        if from.moves && self.folder.root.stat(&from.path).map_err(disk("look at"))?.is_some() {
            return Ok(Outcome::NoSource);
        }
        let method = if from.moves { Method::Move } else { Method::Copy };
        let target = format!("/upload/{}", path_to_wire(&from.path));
        let fields = self.relocation_fields(path, &entry, from, replacing, before);
        let response =
            self.http.send(method, &target, &fields, RequestBody::Empty).map_err(network("move"))?;
        match response.head.status {
            200..=299 => {
                let sent = match from.moves {
                    true => moved(entry, print, from, &response)?,
                    false => sent(entry, print, before, &response, "move")?,
                };
                Ok(Outcome::Relocated { from: from.clone(), sent })
            }
            _ => match refusal(response, "move")? {
                // What is to be replaced is something else by now, and sending the content would not help.
                Problem { kind: ProblemKind::PreconditionFailed, current: Some(current), .. }
                    if current.path == *path =>
                {
                    Ok(Outcome::RemoteIs(Some(current)))
                }
                problem => decided_or(problem, Outcome::NoSource),
            },
        }
    }

    /// A move takes the version from the old path, so it says since when that was there, too. A copy takes nothing from there; what it
    /// replaces is at the new path, and there it says both. The permission bits of that stay as somebody may have set them, unless they were
    /// changed here.
    fn relocation_fields(
        &self,
        path: &Path,
        entry: &Entry,
        from: &Source,
        replacing: Option<sync::Base>,
        before: Option<u16>,
    ) -> Fields {
        let seen = from.base.seen();
        let required = if from.moves { seen } else { sync::Base { seq: None, ..seen } };
        let mut fields = self.change_fields(Some(required));
        fields.push("destination", format!("/upload/{}", path_to_wire(path)));
        match replacing {
            None => fields.push("overwrite", "F"),
            Some(sync::Base { tag, seq }) => {
                fields.push("overwrite", "T");
                fields.push(DESTINATION_MATCH_FIELD, format!("\"{tag}\""));
                if let Some(base) = self.cursor_at(seq) {
                    fields.push(DESTINATION_BASE_FIELD, base);
                }
            }
        }
        if !from.moves {
            if before != Some(entry.meta.mode) {
                fields.push(MODE_FIELD, mode_text(entry.meta.mode));
            }
            fields.push(MTIME_FIELD, entry.meta.mtime.0.to_string());
        }
        fields
    }

    /// Puts a version in its place whose content is at another path of the folder.
    pub(super) fn take_here(
        &mut self,
        path: &Path,
        remote: &There,
        expect: Expect,
        kept: Option<u16>,
        from: &Source,
    ) -> Result<Worked, Failure> {
        let way = self.folder.make_way(&[path, &from.path], path, &self.job.above);
        let _open = way.map_err(disk("make the directories above"))?;
        match from.moves && expect == Expect::Absent {
            true => self.move_here(path, remote, from).map(Worked::Done),
            false => self.copy_here(remote, expect, kept, from),
        }
    }

    fn move_here(&mut self, path: &Path, remote: &There, from: &Source) -> Tried {
        let root = &self.folder.root;
        let before = root.stat(&from.path).map_err(disk("look at"))?;
        if before.is_none_or(|stat| stat.print != from.base.print) {
            return Ok(Outcome::NoSource);
        }
        match Root::rename((root, &from.path), (root, path), RenameMode::NoReplace) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(errno::EEXIST) => {
                return Ok(Outcome::LocalIs(root.stat(path).map_err(disk("look at"))?));
            }
            Err(error) => return Err(disk("move")(error)),
        }
        let moved = match root.stat(path).map_err(disk("look at"))? {
            Some(stat) if stat.print.is_likely_same_content(&from.base.print) => stat,
            // RACE: written to between the look and the rename. It is a version of its own then, found here as new, and gone from there.
            other => return Ok(Outcome::LocalIs(other)),
        };
        match label(self.folder, path, &moved, &remote.entry.meta).map_err(disk("set metadata of"))? {
            Labelled::Alone(after) => {
                let placed = remote.placed(after.print, None);
                Ok(Outcome::TakenHere { from: from.clone(), placed })
            }
            Labelled::NotAlone(other) => Ok(Outcome::LocalIs(other)),
        }
    }

    fn copy_here(
        &mut self,
        remote: &There,
        expect: Expect,
        kept: Option<u16>,
        from: &Source,
    ) -> Result<Worked, Failure> {
        let no_source = Ok(Worked::Done(Outcome::NoSource));
        let Ok(mut source) = self.folder.root.open_file(&from.path) else { return no_source };
        if !Stat::of_file(&source).is_ok_and(|stat| stat.print == from.base.print) {
            return no_source;
        }
        let Some((staged, file)) = self.copy(&mut source, &remote.entry_here(kept))? else {
            return no_source;
        };
        let from = Some(Source { moves: false, ..from.clone() });
        Ok(Worked::Staged(Ready { staged, expect, remote: *remote, kept, from }, file))
    }

    /// Copies a file that should hold the content of `version` to staging, with the metadata of that. `None`: it can't be read to its end,
    /// or holds something else.
    pub(super) fn copy(&self, source: &mut File, version: &Entry) -> Result<Option<(Staged, File)>, Failure> {
        let (mut staged, file) = self.folder.stage.file().map_err(disk("make a file for"))?;
        let mut content = NewContent::of(&file);
        let (mut hashing, mut size) = (Hashing::new(), 0);
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(None),
            };
            let piece = Piece::of(&mut buffer, count);
            content.write_all(&piece).and_then(|()| hashing.update(piece)).map_err(disk("write"))?;
            size += count as u64;
        }
        content.finish().map_err(disk("write"))?;
        let hash = hashing.finish().map_err(disk("write"))?;
        if version.content != (Content::File { size, hash }) {
            return Ok(None);
        }
        staged.label(&file, version.meta).map_err(disk("set metadata of"))?;
        Ok(Some((staged, file)))
    }
}

/// What came of a move. The server kept the metadata that it had at the old path; what was changed here is sent as a change of metadata. For
/// that the base must not look like the file, now and after a restart.
fn moved(entry: Entry, print: Fingerprint, from: &Source, response: &Response<'_>) -> Result<Sent, Failure> {
    let seq = confirmed(response, Some(entry.content), "move")?;
    let there = There { entry: Entry { meta: meta_of(response, "move")?, ..entry }, seq };
    let is_same = from.base.entry.same_meta(&entry);
    let print = if is_same { print } else { print.of_no_file() };
    let entry = Entry { meta: from.base.entry.meta, ..entry };
    Ok(Sent { base: Base { entry, print, seq }, there })
}
