//! The history of the box, told to one client as it happens: an event stream that stays open.
//!
//! ```text
//!     catch up from the index  ->  live from the hub  ->  (the queue overflowed)  ->  catch up from the index  ->  ...
//! ```
//!
//! The subscription begins under the index lock, at a known seq, before anything is read from the index. So between what is read there
//! and what is heard here nothing is missing; what comes both ways is recognised by its seq and told once.
//!
//! The index is read in batches, and its lock is never held while something is written to a client.
//!
//! A client that sees a part of the box is not told what happens elsewhere. So that its cursor does not stay behind for ever, an event
//! without content (`passed`) takes the place of a heartbeat now and then. A stream that rests on a token ends when the token does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::time::Duration;

use common::limits::{HEARTBEAT, INDEX_BATCH, STREAM_LOOK};
use common::protocol::{Cursor, Epoch, Event, RemoteEntry, Synced};
use common::tree::Path;
use common::wire::http::fields::Fields;

use crate::answer::{Refusal, Reply};
use crate::auth::Denied;
use crate::hub::{Encoded, Frame, News, Next, Subscription};
use crate::outlet::Outlet;
use crate::request::Request;
use crate::store::Step;
use crate::view::{NO_ROOT, View};
use crate::vigil::Vigil;

/// One event to be told: a change, or one part of it.
#[derive(Debug)]
struct Part {
    step: Step,
    /// `None`: it happened where the client does not see it.
    change: Option<RemoteEntry>,
    /// Whether its change is told as a whole with it: then its event carries the id.
    is_last: bool,
}

/// Tells one client what happens.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    view: View<'a>,
    client: String,
    subscription: Subscription,
    vigil: Vigil,
    epoch: Epoch,
    /// Everything up to this seq is told, as a whole.
    told: u64,
    /// The client's cursor, as far as the ids that were sent to it have moved it.
    announced: u64,
    /// Whether something was told that no id came after.
    is_open: bool,
    /// Paths that were answered out of turn, as they stood at this later seq. Not more than there are changes yet to be told.
    answered: HashMap<Path, u64>,
}

/// Why a stream ends that nobody left.
#[derive(Debug)]
pub(crate) enum End {
    /// The connection is broken.
    Connection(io::Error),
    /// The history does not reach back to where the client stands: it has to send a complete list.
    Lost,
    /// For this reason.
    Reason(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Connection(error)
    }
}

impl From<Denied> for End {
    fn from(denied: Denied) -> End {
        End::Reason(denied.to_string())
    }
}

/// Ends a stream, with the last thing that the client has to know. The status is long sent, so a reason is told as a comment: what
/// follows from it the client hears when it connects again.
pub(crate) fn end(told: Result<(), End>, out: &mut Outlet<'_>) -> io::Result<()> {
    match told {
        Ok(()) => Ok(()),
        Err(End::Connection(error)) => Err(error),
        Err(End::Lost) => out.push(&Event::Reset.encode(None)),
        Err(End::Reason(reason)) => {
            let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            out.push(format!(": {reason}\n\n").as_bytes())
        }
    }
}

/// The fields of every event stream.
pub(crate) fn stream_fields() -> Fields {
    Fields::new()
        .with("content-type", "text/event-stream")
        .with("cache-control", "no-store")
        // Asks a proxy in front not to collect events before it passes them on.
        .with("x-accel-buffering", "no")
}

/// `GET /sync`: the stream alone.
pub(crate) fn follow<'a>(
    view: &View<'a>,
    request: &Request<'_>,
    cursor: Option<&str>,
) -> Result<Reply<'a>, Refusal> {
    // A browser's `EventSource` repeats the URL it was given; where it has got to since stands in the field.
    let last_event = request.field("Last-Event-ID")?.filter(|id| !id.is_empty());
    let since = match last_event.or(cursor.filter(|cursor| !cursor.is_empty())) {
        Some(text) => Some(Cursor::parse(text).map_err(|error| Refusal::bad(format!("cursor: {error}")))?),
        None => None,
    };
    let (view, client) = (view.clone(), request.client.clone().unwrap_or_default());
    let stream = move |out: &mut Outlet| end(tell_since(view, &client, since, out), out);
    Ok(Reply::Stream(stream_fields(), Box::new(stream)))
}

fn tell_since(view: View<'_>, client: &str, since: Option<Cursor>, out: &mut Outlet<'_>) -> Result<(), End> {
    let mut teller = Teller::begin(view, client, "", since, out)?;
    teller.catch_up(out)?;
    teller.synced(Synced::default(), out)?;
    teller.tell_live(out)
}

impl<'a> Teller<'a> {
    /// Begins a stream that goes on from a cursor, or from now.
    pub(crate) fn begin(
        view: View<'a>,
        client: &str,
        name: &str,
        since: Option<Cursor>,
        out: &mut Outlet<'_>,
    ) -> Result<Teller<'a>, End> {
        let (now, since, subscription) = {
            let index = view.index();
            let now = index.cursor();
            let since = since.unwrap_or(now);
            if !index.can_continue(since) {
                return Err(End::Lost);
            }
            (now, since, view.subscribe(client, name, since.seq))
        };
        out.push(&Event::Hello(now).encode(None))?;
        out.flush()?;
        Ok(Teller {
            view,
            client: client.to_owned(),
            subscription,
            vigil: Vigil::begin(),
            epoch: now.epoch,
            told: since.seq,
            announced: since.seq,
            is_open: false,
            answered: HashMap::new(),
        })
    }

    /// Notes that the client was just told how a path stands at this seq, so that the change which made it so is not told again: after
    /// "upload this" a "download this" would have a client that merely obeys overwrite what it was to upload.
    pub(crate) fn answered(&mut self, path: &Path, seq: u64) {
        if self.told < seq {
            self.answered.insert(path.clone(), seq);
        }
    }

    /// Looks now and then whether the client may still be told anything.
    pub(crate) fn look(&mut self) -> Result<(), End> {
        Ok(self.vigil.look(&self.view)?)
    }

    /// Tells every change from where the client stands up to now.
    pub(crate) fn catch_up(&mut self, out: &mut Outlet<'_>) -> Result<(), End> {
        let mut after = Step::end_of(self.told);
        loop {
            self.look()?;
            let (batch, now) = {
                let index = self.view.index();
                if !index.can_continue(self.cursor()) {
                    return Err(End::Lost);
                }
                (parts(index.changes_after(after)), index.cursor().seq)
            };
            self.require_root()?;
            let is_last = batch.len() < INDEX_BATCH;
            after = batch.last().map_or(after, |part| part.step);
            self.tell(batch, out)?;
            if is_last {
                self.told = now;
                self.answered.retain(|_, seq| now < *seq);
                self.subscription.told(now);
                if self.is_open {
                    self.pass(out)?;
                }
                return Ok(out.flush()?);
            }
        }
    }

    /// A change of many parts may begin in one batch and end in another. Until its end the cursor stays before it, so that a client whose
    /// connection breaks meanwhile is told all of it again. The end may also be where the client does not see it.
    fn tell(&mut self, batch: Vec<Part>, out: &mut Outlet<'_>) -> io::Result<()> {
        for Part { step: Step { seq, .. }, change, is_last } in batch {
            let is_answered = |change: &RemoteEntry| {
                self.answered.get(&change.path).is_some_and(|answered| seq <= *answered)
            };
            if let Some(change) = change.filter(|change| !is_answered(change)) {
                let id = is_last.then_some(Cursor { epoch: self.epoch, seq });
                out.push(&event(change, &self.client).encode(id))?;
                self.is_open = !is_last;
                self.announced = if is_last { seq } else { self.announced };
            }
            if is_last {
                self.told = seq;
            }
        }
        Ok(())
    }

    /// Tells that the answer to the list is complete, which moves the client's cursor to where it has been told.
    pub(crate) fn synced(&mut self, counts: Synced, out: &mut Outlet<'_>) -> Result<(), End> {
        self.announce(&Event::Synced(counts), out)?;
        Ok(out.flush()?)
    }

    /// Tells that what happened since the last event is none of the client's.
    fn pass(&mut self, out: &mut Outlet<'_>) -> io::Result<()> {
        self.announce(&Event::Passed, out)
    }

    fn announce(&mut self, event: &Event, out: &mut Outlet<'_>) -> io::Result<()> {
        self.announced = self.told;
        self.is_open = false;
        out.push(&event.encode(Some(self.cursor())))
    }

    /// Tells what is yet to be told and what happens from now on, until the client leaves or the server stops.
    pub(crate) fn tell_live(mut self, out: &mut Outlet<'_>) -> Result<(), End> {
        self.catch_up(out)?;
        loop {
            self.look()?;
            // What is queued at once leaves at once.
            let patience = if out.is_waiting() { Duration::ZERO } else { STREAM_LOOK };
            match self.subscription.next(patience) {
                Next::Frame(frame) if frame.seq <= self.told => {}
                Next::Frame(frame) => self.hear(&frame, out)?,
                Next::Lagged => self.catch_up(out)?,
                Next::Quiet => {
                    out.flush()?;
                    out.check_open()?;
                }
                Next::Stopped => return Ok(()),
            }
            self.beat(out)?;
        }
    }

    fn hear(&mut self, frame: &Frame, out: &mut Outlet<'_>) -> Result<(), End> {
        let News::Whole(change) = &frame.news else { return self.catch_up(out) };
        self.told = frame.seq;
        self.subscription.told(frame.seq);
        if let Some(bytes) = self.bytes(change)? {
            self.announced = frame.seq;
            out.push(&bytes)?;
        }
        Ok(())
    }

    /// What is written of a change; `None` if the client does not see it. Whoever sees everything gets what was encoded once for all.
    fn bytes<'c>(&self, change: &'c Encoded) -> Result<Option<Cow<'c, [u8]>>, End> {
        if self.view.is_whole() {
            return Ok(Some(Cow::Borrowed(change.bytes_for(&self.client))));
        }
        let seen = self.view.see(&change.change);
        if seen.as_ref().map_or(self.view.rests_on(&change.change.path), |seen| seen.entry.is_none()) {
            self.require_root()?;
        }
        Ok(seen.map(|seen| Cow::Owned(event(seen, &self.client).encode(Some(self.cursor())))))
    }

    /// Shows that the server is alive, if nothing else has for a while.
    fn beat(&mut self, out: &mut Outlet<'_>) -> io::Result<()> {
        if out.is_waiting() || !out.is_silent_for(HEARTBEAT) {
            return Ok(());
        }
        if self.announced < self.told {
            self.pass(out)?;
        }
        out.beat_after(Duration::ZERO)
    }

    /// What is gone from a folder that is gone itself was not deleted one by one, and is not told.
    pub(crate) fn require_root(&self) -> Result<(), End> {
        if self.view.has_root() { Ok(()) } else { Err(End::Reason(NO_ROOT.to_owned())) }
    }

    fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.told }
    }
}

/// Of what is to be told after a step, as much as fits under one hold of the lock.
fn parts(changes: impl Iterator<Item = (Step, Option<RemoteEntry>)>) -> Vec<Part> {
    let mut batch = Vec::new();
    let mut changes = changes.peekable();
    while batch.len() < INDEX_BATCH
        && let Some((step, change)) = changes.next()
    {
        let is_last = changes.peek().is_none_or(|(next, _)| next.seq != step.seq);
        batch.push(Part { step, change, is_last });
    }
    batch
}

/// What a change means to a client: its own are merely in.
fn event(change: RemoteEntry, client: &str) -> Event {
    match &change {
        RemoteEntry { origin: Some(origin), .. } if origin == client => Event::Stored(change),
        RemoteEntry { entry: Some(_), .. } => Event::Download(change),
        RemoteEntry { entry: None, .. } => Event::Delete(change),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use common::net::conn::Conn;

    use super::*;
    use crate::auth::Grant;
    use crate::outlet::Delimiter;
    use crate::realm::Realm;
    use crate::store::{Index, Record, State};
    use crate::testing::Workshop;

    fn index(steps: &[(&str, u64, u32)]) -> Index {
        let mut index = Index::new(Epoch(1));
        for (name, seq, part) in steps {
            let step = Step { seq: *seq, part: *part };
            let origin = index.origins.number("somebody");
            let record = Record::new(step, origin, State::Tombstone);
            index.apply(Path::new(name.as_bytes()).unwrap(), record);
        }
        index
    }

    #[test]
    fn a_change_of_many_parts_is_whole_with_its_last() {
        let names: Vec<String> = (0..INDEX_BATCH + 10).map(|number| format!("{number:05}")).collect();
        let singles: Vec<_> = names.iter().zip(1..).map(|(name, seq)| (name.as_str(), seq, 0)).collect();
        let batch = |index: &Index, after| {
            parts(index.changes_after(after).map(|(step, change)| (step, Some(change))))
        };
        let whole = |batch: &[Part]| batch.iter().filter(|part| part.is_last).count();
        let first = batch(&index(&singles), Step::end_of(0));
        assert_eq!((first.len(), whole(&first)), (INDEX_BATCH, INDEX_BATCH));
        assert_eq!(batch(&index(&singles), Step::end_of(INDEX_BATCH as u64)).len(), 10);
        let parts: Vec<_> = names.iter().zip(0..).map(|(name, part)| (name.as_str(), 7, part)).collect();
        let index = index(&parts);
        let first = batch(&index, Step::end_of(6));
        assert_eq!((first.len(), whole(&first)), (INDEX_BATCH, 0));
        let rest = batch(&index, first.last().unwrap().step);
        assert_eq!((rest.len(), whole(&rest)), (10, 1));
        assert!(rest.last().unwrap().is_last && batch(&index, Step::end_of(7)).is_empty());
    }

    #[test]
    fn what_a_change_means_depends_on_who_made_it() {
        let change = |origin: Option<&str>| RemoteEntry {
            path: Path::new(b"a").unwrap(),
            entry: None,
            seq: 1,
            since: 1,
            origin: origin.map(str::to_owned),
        };
        assert_eq!(event(change(Some("me")), "me").name(), "stored");
        assert_eq!(event(change(Some("me")), "you").name(), "delete");
        assert_eq!(event(change(None), "").name(), "delete");
    }

    #[test]
    fn a_silent_stream_shows_that_it_lives() {
        let workshop = Workshop::new();
        let view = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let (here, mut there) = UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let mut came = || {
            let mut bytes = Vec::new();
            // It ends with the error that there is no more now.
            let _ = there.read_to_end(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        let mut conn = Conn::new(here).unwrap();
        let mut out = Outlet::new(&mut conn, Delimiter::Close);
        let mut teller = Teller::begin(view, "me", "", None, &mut out).unwrap();
        assert!(came().starts_with("event: hello"));
        teller.beat(&mut out).unwrap();
        assert_eq!(came(), "");
        out.pretend_silence(HEARTBEAT);
        teller.beat(&mut out).unwrap();
        assert!(came().starts_with(':'));
    }
}
