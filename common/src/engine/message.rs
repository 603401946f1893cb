//! Everything that the control thread can hear: one closed list.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::job::{Done, InHand};
use super::resume::Resumed;
use crate::disk::Observation;
use crate::protocol::{Cursor, Event, ListHead};
use crate::tree::Path;

/// One message to the control thread.
#[derive(Debug)]
pub(super) enum Message {
    /// From the stream thread.
    Stream(Stream),
    /// From the observer of the folder.
    Local(Observation),
    /// From a worker: it is done with these jobs.
    Done(Vec<Done>),
    /// From a worker: what so many jobs need is staged, and the publisher has the rest.
    Staged(InHand),
    /// From the publisher: jobs that were [`Message::Staged`] are done with.
    Published(Vec<Done>),
    /// From a worker: a transfer goes on that was cut.
    Resumed(Box<Resumed>),
    /// From whoever wants the engine to end: this signal, or none.
    Stop(Option<u8>),
}

/// An event; the cursor is its id, if it moves the cursor.
pub(super) type Told = (Event, Option<Cursor>);

/// What the stream thread says and asks.
#[derive(Debug)]
pub(super) enum Stream {
    /// It is about to connect. The answer is the head of the list, and comes when the folder is known; none if it is to end.
    Connecting { reply: SyncSender<Option<ListHead>> },
    /// It wants the next piece of the list, after this path. An empty piece is the last.
    List { after: Option<Path>, complete: bool, reply: SyncSender<ListPiece> },
    /// Events came, all that one read brought.
    Events(Vec<Told>),
    /// The connection is lost, or there was none.
    Lost(Loss),
}

/// A piece of the list: items in the form of the wire, and the last path among them.
#[derive(Debug)]
pub(super) struct ListPiece {
    pub(super) bytes: Vec<u8>,
    pub(super) last: Option<Path>,
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The server can't be reached.
    Unreachable(String),
    /// It does not accept the key or token.
    NotAuthorised(String),
    /// The connection ended, or made no sense.
    Broken(String),
    /// Something answered, and not with a stream; it may have said when to ask again.
    Refused { words: String, after: Option<Duration> },
}
