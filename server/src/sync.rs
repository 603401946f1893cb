//! `POST /sync`: a client says what it has, and is told what to do; then the stream stays open and tells what changes.
//!
//! ```text
//!     (the list)   hello   verdict  verdict  ...   changes since the cursor   synced        change   change ...
//!                          (no id)                 (with ids)                 (with id)     (with ids)
//! ```
//!
//! When the list has come as a whole ([`intake`](crate::intake)) it is read and answered item by item; neither it nor the answer is ever held
//! in memory. A complete list comes in the order of paths and is merged with the index, which has the same order: what the list leaves out is
//! there to be downloaded.
//!
//! A listed deletion that the server agrees with gets no event: the client goes on to send `DELETE` with the base it listed. If the path
//! changed since the client's cursor and is what it was again, or has other metadata, that is part of the history like any change.

use std::fmt;
use std::io;

use common::limits::{HEARTBEAT, INDEX_BATCH};
use common::protocol::{Epoch, Event, Known, ListError, ListHead, ListItem, RemoteEntry, Synced, read_item};
use common::sync::{Base, Remote as Held, Verdict, decide};
use common::tree::{Entry, Path, Tag};
use common::wire::json::{JsonError, JsonErrorKind, Reader};

use crate::answer::{Content, Refusal, Reply};
use crate::intake::Intake;
use crate::outlet::Outlet;
use crate::stream::{End, Live, Teller, go_on, stream_fields};
use crate::view::View;

/// The list, from its first item on.
struct Items<'a> {
    json: Reader<Intake<'a>>,
    /// Whether there is an array at all.
    any: bool,
}

/// Takes the list in and reads its beginning, which can still be refused with a status; all else happens in the stream.
pub(crate) fn list<'a>(view: &View<'a>, body: &mut dyn Content) -> Result<Reply<'a>, Refusal> {
    let mut json = Reader::new(Intake::of(view, body)?);
    let (head, any) = ListHead::read(&mut json).map_err(|error| match error {
        ListError::Json(JsonError { kind: JsonErrorKind::Io(error), .. }) => Refusal::disk(&error),
        ListError::Json(error) => Refusal::bad(error.to_string()),
        ListError::Protocol(error) => Refusal::bad(error.to_string()),
    })?;
    let items = Items { json, any };
    let view = view.clone();
    let stream = move |out: &mut Outlet<'_>| {
        let told = answer(&view, &head, items, out);
        if let Err(End::Reason(reason)) = &told {
            view.logger().warn(format!("{}: {reason}", who(&head)));
        }
        go_on(told, out)
    };
    Ok(Reply::Stream(stream_fields(), Box::new(stream)))
}

fn answer(view: &View<'_>, head: &ListHead, items: Items<'_>, out: &mut Outlet<'_>) -> Result<Live, End> {
    // Without a cursor there is nothing that "what differs" could refer to.
    let since = head.cursor.filter(|_| !head.complete);
    let mut teller =
        Teller::begin(view.clone(), &view.identity(&head.client_id), &head.client_name, since, out)?;
    let epoch = head.cursor.map(|cursor| cursor.epoch);
    let mut list = List { view, teller: &mut teller, out, epoch, counts: Synced::default(), last: None };
    let counts = list.answer(items, since.is_none())?;
    view.logger().info(format!("{}: {}", who(head), summary(&counts)));
    // With a cursor the history is part of the answer. Without one, what the list was compared with may be newer than where the stream
    // began, but only what was there then is known to be told.
    if since.is_some() {
        teller.catch_up(out)?;
    }
    teller.synced(counts, out)?;
    teller.pause(out)
}

fn who(head: &ListHead) -> String {
    match head.client_name.as_str() {
        "" => format!("client {}", head.client_id),
        name => format!("client {name} ({})", head.client_id),
    }
}

fn summary(counts: &Synced) -> String {
    let Synced { listed, download, upload, delete, conflict } = counts;
    format!(
        "{listed} listed; {download} to download, {upload} to upload, {delete} to delete, {conflict} in conflict"
    )
}

/// To ask for the list again would bring the same again. So the stream says why, and ends.
fn broken(reason: impl fmt::Display) -> End {
    End::Reason(format!("the list is broken: {reason}"))
}

/// A list being answered.
struct List<'a, 'b, 'c> {
    view: &'a View<'b>,
    teller: &'a mut Teller<'b>,
    out: &'a mut Outlet<'c>,
    /// The history that the list's bases belong to.
    epoch: Option<Epoch>,
    counts: Synced,
    /// The last path that was dealt with, of a complete list.
    last: Option<Path>,
}

impl List<'_, '_, '_> {
    fn answer(&mut self, mut items: Items<'_>, complete: bool) -> Result<Synced, End> {
        while items.any && items.json.next_item()? {
            let item = read_item(&items.json.value()?).map_err(broken)?;
            if complete {
                self.fill_up_to(&item.path)?;
            }
            self.item(&item)?;
            self.teller.look()?;
            self.out.beat_after(HEARTBEAT)?;
        }
        if items.any && items.json.next_key()?.is_some() {
            return Err(broken("something follows files"));
        }
        items.json.end()?;
        if complete {
            self.fill(None)?;
        }
        Ok(self.counts)
    }

    /// What the index has between the item before and this one, the client does not have.
    fn fill_up_to(&mut self, path: &Path) -> Result<(), End> {
        if self.last.as_ref().is_some_and(|last| path <= last) {
            return Err(broken(format!("{path} is not in the order of paths")));
        }
        self.fill(Some(path))?;
        self.last = Some(path.clone());
        Ok(())
    }

    fn fill(&mut self, until: Option<&Path>) -> io::Result<()> {
        loop {
            let (missing, last) = self.missing_batch(until);
            for remote in missing {
                self.counts.download += 1;
                self.out.push(&Event::Download(remote).encode(None))?;
            }
            match last {
                Some(last) => self.last = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// What is there among the next records before `until`, and the last record looked at if there may be more.
    fn missing_batch(&self, until: Option<&Path>) -> (Vec<RemoteEntry>, Option<Path>) {
        let index = self.view.index();
        let is_before = |path: &Path| until.is_none_or(|until| path < until);
        let mut missing = Vec::new();
        for (number, (path, record)) in index.after(self.last.as_ref()).enumerate() {
            if !is_before(&path) {
                break;
            }
            if record.entry().is_some() {
                missing.extend(index.describe(&path));
            }
            if number + 1 == INDEX_BATCH {
                return (missing, Some(path));
            }
        }
        (missing, None)
    }

    fn item(&mut self, item: &ListItem) -> Result<(), End> {
        let local = match &item.known {
            Known::Present(entry) => Some(entry),
            Known::Deleted => None,
        };
        let (verdict, remote) = {
            let index = self.view.index();
            let tag = local.map(|entry| Tag::from(entry.content));
            // Seqs of another history say nothing.
            let is_of_this_history = self.epoch == Some(index.cursor().epoch);
            let base = item.base.map(|base| Base { seq: base.seq.filter(|_| is_of_this_history), ..base });
            (decide(base, tag, index.remote(&item.path)), index.describe(&item.path))
        };
        self.counts.listed += 1;
        // What the server never heard of is as good as deleted before its history began.
        let remote = remote.unwrap_or_else(|| unknown(&item.path));
        let seq = remote.seq;
        match event(verdict, item, local, remote) {
            Some(event) => {
                if tells_all(verdict) {
                    self.teller.answered(&item.path, seq);
                }
                if matches!(event, Event::Delete(_)) {
                    self.teller.require_root()?;
                }
                self.count(&event);
                Ok(self.out.push(&event.encode(None))?)
            }
            None => Ok(()),
        }
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Download(_) => self.counts.download += 1,
            Event::Upload { .. } => self.counts.upload += 1,
            Event::Delete(_) => self.counts.delete += 1,
            Event::Conflict(_) => self.counts.conflict += 1,
            Event::Hello(_)
            | Event::Stored(_)
            | Event::Synced(_)
            | Event::Passed
            | Event::Reset
            | Event::Misnamed { .. } => {}
        }
    }
}

fn unknown(path: &Path) -> RemoteEntry {
    RemoteEntry { path: path.clone(), entry: None, seq: 0, since: 0, origin: None }
}

/// What a verdict says on the wire; `None` where the client has nothing to do and nothing to remember.
fn event(verdict: Verdict, item: &ListItem, local: Option<&Entry>, remote: RemoteEntry) -> Option<Event> {
    match verdict {
        Verdict::InSync => {
            // Otherwise the base is another, or older than what is there.
            let is_base = local.is_some_and(|entry| {
                let there = Held::Present { tag: Tag::from(entry.content), since: remote.since };
                item.base.is_some_and(|base| base.is_held_by(there))
            });
            let is_same =
                local.zip(remote.entry.as_ref()).is_some_and(|(local, remote)| local.same_meta(remote));
            (!is_base || !is_same).then_some(Event::Stored(remote))
        }
        Verdict::Forget => item.base.map(|_| Event::Stored(remote)),
        Verdict::Download => Some(Event::Download(remote)),
        Verdict::DeleteLocal => Some(Event::Delete(remote)),
        Verdict::Upload { replacing } => {
            let replacing = replacing.map(|base| base.tag);
            Some(Event::Upload { path: item.path.clone(), replacing })
        }
        Verdict::DeleteRemote { .. } => None,
        Verdict::Conflict => Some(Event::Conflict(remote)),
    }
}

/// Whether the answer says all that there is to know of the path. Who is to put something in the place of a directory may have to give way
/// to what is in it, and then needs the directory's metadata.
fn tells_all(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Upload { replacing: Some(Base { tag: Tag::Directory, .. }) })
}

impl From<JsonError> for End {
    fn from(error: JsonError) -> End {
        match error.kind {
            JsonErrorKind::Io(error) => End::Reason(format!("the list can't be read again: {error}")),
            _ => broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::{Content as Version, Meta, Mtime};
    use common::wire::sha256::Hash;

    fn entry(byte: u8, mode: u16) -> Entry {
        let content = Version::File { size: 1, hash: Hash([byte; 32]) };
        Entry { content, meta: Meta { mtime: Mtime(1), mode } }
    }

    /// This version, agreed on at seq 1 of the box's history.
    fn base(byte: u8) -> Option<Base> {
        Some(Base { tag: Tag::File(Hash([byte; 32])), seq: Some(1) })
    }

    /// The name of the event for a base, what the client has, and what the server has since this seq.
    fn told(base: Option<Base>, local: Option<Entry>, remote: Option<Entry>, since: u64) -> &'static str {
        let path = Path::new(b"a").unwrap();
        let known = local.map_or(Known::Deleted, Known::Present);
        let item = ListItem { path: path.clone(), known, base };
        let state = match remote {
            Some(entry) => Held::Present { tag: Tag::from(entry.content), since },
            None => Held::Tombstone { since },
        };
        let verdict = decide(base, local.map(|entry| Tag::from(entry.content)), state);
        let remote = RemoteEntry { path, entry: remote, seq: since, since, origin: None };
        event(verdict, &item, local.as_ref(), remote).map_or("nothing", |event| event.name())
    }

    #[test]
    fn what_each_verdict_says() {
        let (old, new, other) = (entry(1, 0o644), entry(2, 0o644), entry(3, 0o644));
        for (base, local, remote, since, wanted) in [
            (base(1), Some(old), Some(old), 1, "nothing"),
            (None, Some(old), Some(old), 1, "stored"),
            (base(1), Some(old), Some(entry(1, 0o600)), 1, "stored"),
            (base(1), Some(old), Some(new), 2, "download"),
            (base(1), Some(old), None, 2, "delete"),
            (base(1), Some(new), Some(old), 1, "upload"),
            (None, Some(new), None, 2, "upload"),
            (base(1), Some(new), Some(other), 2, "conflict"),
            (None, Some(new), Some(other), 2, "conflict"),
            (base(1), None, Some(old), 1, "nothing"),
            (base(1), None, Some(new), 2, "download"),
            (base(1), None, None, 2, "stored"),
            (None, None, None, 2, "nothing"),
            // The version of the base was away in between.
            (base(1), Some(old), Some(old), 2, "stored"),
            (base(1), Some(new), Some(old), 2, "conflict"),
            (base(1), None, Some(old), 2, "download"),
        ] {
            assert_eq!(told(base, local, remote, since), wanted, "{base:?} {local:?} {remote:?} {since}");
        }
    }
}
