//! A change on its way to the committer, in two steps: it is handed over, and its outcome is heard. Whoever has several hands over all of
//! them before the first outcome is waited for, so that they share a commit group.

use std::sync::mpsc::{Receiver, sync_channel};

use common::tree::Path;

use super::change::{Action, Asker, Change, Committed, Refused};
use super::queue::Entrance;

/// A change that is to be asked for; dropped before that, it is never made.
#[derive(Debug)]
pub(crate) struct Prepared {
    change: Option<Box<Change>>,
    queue: Entrance,
    outcome: Receiver<Result<Committed, Refused>>,
}

impl Prepared {
    pub(super) fn new(queue: Entrance, path: Path, action: Action, asker: Asker) -> Prepared {
        let (reply, outcome) = sync_channel(1);
        let change = Change { path, action, asker: Some(asker), reply: Some(reply) };
        Prepared { change: Some(Box::new(change)), queue, outcome }
    }

    /// Asks for the change, and waits only for room in the queue. Asking twice is asking once.
    pub(crate) fn submit(&mut self) {
        if let Some(change) = self.change.take() {
            // If nobody takes it, nobody holds the other end of `outcome` any more, and that says so.
            let _ = self.queue.send(*change);
        }
    }

    /// Closes the descriptor that content was written through, for whoever has many of them. A flush that needs one opens the file again.
    pub(crate) fn close_file(&mut self) {
        if let Some(change) = &mut self.change
            && let Action::Put { file, .. } = &mut change.action
        {
            *file = None;
        }
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// It was not made.
    pub(crate) fn outcome(mut self) -> Result<Committed, Refused> {
        self.submit();
        self.outcome.recv().unwrap_or(Err(Refused::Stopping))
    }
}
