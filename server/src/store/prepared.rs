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

#[cfg(test)]
mod tests {
    use super::super::change::Require;
    use super::super::queue::{Exit, Taken, queue};
    use super::*;
    use crate::realm::Account;

    fn prepare(queue: &Entrance, account: &str, name: &str) -> Prepared {
        let path = |text: &str| Path::new(text.as_bytes()).unwrap();
        let asker = Asker { account: Account(Some(path(account))), ..Asker::default() };
        Prepared::new(queue.clone(), path(name), Action::Delete { require: Require::Something }, asker)
    }

    fn taken(exit: &Exit) -> Vec<String> {
        match exit.take(Some(std::time::Instant::now())) {
            Taken::Group(group) => group.into_iter().map(|change| change.path.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn nothing_is_made_before_it_is_asked_for_and_nothing_twice() {
        let (entrance, exit) = queue();
        let (mut asked, dropped) = (prepare(&entrance, "f", "asked"), prepare(&entrance, "f", "dropped"));
        assert_eq!(taken(&exit), [""; 0]);
        asked.submit();
        asked.submit();
        drop(dropped);
        assert_eq!(taken(&exit), ["asked"]);
        assert!(matches!(asked.outcome(), Err(Refused::Stopping)), "it was taken and dropped");
        let late = prepare(&entrance, "f", "late");
        drop(exit);
        assert!(matches!(late.outcome(), Err(Refused::Stopping)));
    }

    /// However many changes one connection brings, whoever brings one is in the same group.
    #[test]
    fn many_of_one_account_keep_nobody_waiting() {
        let (entrance, exit) = queue();
        let mut many: Vec<_> = (0..200).map(|number| prepare(&entrance, "f", &number.to_string())).collect();
        many.iter_mut().for_each(Prepared::submit);
        let mut one = prepare(&entrance, "q", "quiet");
        one.submit();
        let group = taken(&exit);
        assert_eq!((group.len(), &*group[1]), (201, "quiet"));
    }
}
