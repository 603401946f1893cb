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

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use common::limits::{HEARTBEAT, INDEX_BATCH};
use common::protocol::{Cursor, Epoch, Event, RemoteEntry, Synced};
use common::tree::Path;
use common::wire::http::fields::Fields;

use crate::answer::{Refusal, Reply};
use crate::hub::{News, Next, Subscription};
use crate::outlet::Outlet;
use crate::request::Request;
use crate::service::Service;
use crate::store::{Index, Step};

/// One event to be told: a change, or one part of it.
#[derive(Debug)]
struct Part {
    step: Step,
    change: RemoteEntry,
    /// Whether its change is told as a whole with it: then its event carries the id.
    is_last: bool,
}

/// Tells one client what happens.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    service: &'a Service,
    client: &'a str,
    subscription: Subscription,
    epoch: Epoch,
    /// Everything up to this seq is told, as a whole.
    told: u64,
    /// Paths that were answered out of turn, as they stood at this later seq. Not more than there are changes yet to be told.
    answered: HashMap<Path, u64>,
}

/// Whether a history could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// It was.
    Told,
    /// It does not reach back that far any more.
    Lost,
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
    service: &'a Service,
    request: &Request<'a>,
    cursor: Option<&str>,
) -> Result<Reply<'a>, Refusal> {
    // A browser's `EventSource` repeats the URL it was given; where it has got to since stands in the field.
    let last_event = request.field("Last-Event-ID")?.filter(|id| !id.is_empty());
    let since = match last_event.or(cursor.filter(|cursor| !cursor.is_empty())) {
        Some(text) => Some(Cursor::parse(text).map_err(|error| Refusal::bad(format!("cursor: {error}")))?),
        None => None,
    };
    let client = request.client.unwrap_or("");
    let stream = move |out: &mut Outlet| {
        let Some(mut teller) = Teller::begin(service, client, "", since, out)? else { return Ok(()) };
        if teller.catch_up(out)? == History::Lost {
            return reset(out);
        }
        teller.synced(Synced::default(), out)?;
        teller.tell_live(out)
    };
    Ok(Reply::Stream(stream_fields(), Box::new(stream)))
}

/// Asks for a complete list. The stream ends with it.
pub(crate) fn reset(out: &mut Outlet) -> io::Result<()> {
    out.push(&Event::Reset.encode(None))
}

impl<'a> Teller<'a> {
    /// Begins a stream that goes on from a cursor, or from now. `None`: the cursor can't be continued, and the client was told.
    pub(crate) fn begin(
        service: &'a Service,
        client: &'a str,
        name: &str,
        since: Option<Cursor>,
        out: &mut Outlet,
    ) -> io::Result<Option<Teller<'a>>> {
        let begun = {
            let index = service.store.index();
            let now = index.cursor();
            let since = since.unwrap_or(now);
            index.can_continue(since).then(|| (now, since, service.hub.subscribe(client, name, since.seq)))
        };
        let Some((now, since, subscription)) = begun else {
            reset(out)?;
            return Ok(None);
        };
        out.push(&Event::Hello(now).encode(None))?;
        out.flush()?;
        let answered = HashMap::new();
        Ok(Some(Teller { service, client, subscription, epoch: now.epoch, told: since.seq, answered }))
    }

    /// Notes that the client was just told how a path stands at this seq, so that the change which made it so is not told again: after
    /// "upload this" a "download this" would have a client that merely obeys overwrite what it was to upload.
    pub(crate) fn answered(&mut self, path: &Path, seq: u64) {
        if self.told < seq {
            self.answered.insert(path.clone(), seq);
        }
    }

    /// Tells every change from where the client stands up to now.
    pub(crate) fn catch_up(&mut self, out: &mut Outlet) -> io::Result<History> {
        let mut after = Step::end_of(self.told);
        loop {
            let (batch, now) = {
                let index = self.service.store.index();
                if !index.can_continue(self.cursor()) {
                    return Ok(History::Lost);
                }
                (batch(&index, after), index.cursor().seq)
            };
            let is_last = batch.len() < INDEX_BATCH;
            after = batch.last().map_or(after, |part| part.step);
            self.tell(batch, out)?;
            if is_last {
                self.told = now;
                self.answered.retain(|_, seq| now < *seq);
                self.subscription.told(now);
                return out.flush().map(|()| History::Told);
            }
        }
    }

    /// A change of many parts may begin in one batch and end in another. Until its end the cursor stays before it, so that a client whose
    /// connection breaks meanwhile is told all of it again.
    fn tell(&mut self, batch: Vec<Part>, out: &mut Outlet) -> io::Result<()> {
        for Part { step: Step { seq, .. }, change, is_last } in batch {
            let is_answered = self.answered.get(&change.path).is_some_and(|answered| seq <= *answered);
            if !is_answered {
                let id = is_last.then_some(Cursor { epoch: self.epoch, seq });
                out.push(&event(change, self.client).encode(id))?;
            }
            if is_last {
                self.told = seq;
            }
        }
        Ok(())
    }

    /// Tells that the answer to the list is complete, which moves the client's cursor to where it has been told.
    pub(crate) fn synced(&mut self, counts: Synced, out: &mut Outlet) -> io::Result<()> {
        out.push(&Event::Synced(counts).encode(Some(self.cursor())))?;
        out.flush()
    }

    /// Tells what is yet to be told and what happens from now on, until the client leaves or the server stops.
    pub(crate) fn tell_live(mut self, out: &mut Outlet) -> io::Result<()> {
        if self.catch_up(out)? == History::Lost {
            return reset(out);
        }
        loop {
            // What is queued at once leaves at once.
            let patience = if out.is_waiting() { Duration::ZERO } else { HEARTBEAT };
            match self.subscription.next(patience) {
                Next::Frame(frame) if frame.seq <= self.told => {}
                Next::Frame(frame) => match &frame.news {
                    News::Whole(change) => {
                        out.push(change.bytes_for(self.client))?;
                        self.told = frame.seq;
                        self.subscription.told(frame.seq);
                    }
                    News::Many if self.catch_up(out)? == History::Lost => return reset(out),
                    News::Many => {}
                },
                Next::Lagged if self.catch_up(out)? == History::Lost => return reset(out),
                Next::Lagged => {}
                Next::Quiet => out.beat_after(Duration::ZERO)?,
                Next::Stopped => return Ok(()),
            }
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.told }
    }
}

/// What is to be told after a step, as much as fits under one hold of the lock.
fn batch(index: &Index, after: Step) -> Vec<Part> {
    let mut batch = Vec::new();
    let mut changes = index.changes_after(after).peekable();
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
    use super::*;
    use crate::store::{Record, State};

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
}
