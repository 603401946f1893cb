//! The way to the commit thread: changes wait here until it takes them, a group at a time, and their accounts take turns (lanes.rs).
//!
//! Each lane is bounded, and whoever brings more waits for room in his own. There are no more changes than that for each account at work.
//! A connection brings those of requests that came together, and then goes on only when it has heard what came of them; what is found by
//! hand is brought without waiting for the outcome.
//!
//! The two ends are an [`Entrance`], which is shared, and the [`Exit`]. When the exit is dropped, be it by a panic, nobody waits any more:
//! what was in the queue is dropped with it, and what comes later is refused.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::limits::COMMIT_GROUP;
use common::threads::lock;
use common::tree::Path;

use super::change::{Change, Refused};
use super::lanes::Lanes;
use crate::realm::Account;

/// `None`: what was found in the box by hand.
type Lane = Option<Account>;

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Something came, or it is time to stop.
    arrived: Condvar,
    /// There may be room, or it is time to stop.
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lanes: Lanes<Lane, Change>,
    /// To be answered when nothing waits that was found by hand, between two groups.
    barriers: Vec<SyncSender<()>>,
    is_closed: bool,
    /// Somebody waits for what comes.
    is_awaited: bool,
}

impl Queue {
    /// Wakes who waits for it. The kernel is only asked if somebody does: of all that a group is made of, for the first.
    fn tell_arrival(&self, state: &State) {
        if state.is_awaited {
            self.arrived.notify_one();
        }
    }

    /// Waits for something to come, for so long at most or without end.
    fn await_arrival<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        patience: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.is_awaited = true;
        state = match patience {
            None => wait(&self.arrived, state),
            Some(time) => self.arrived.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.is_awaited = false;
        state
    }
}

/// Where changes go in.
#[derive(Clone, Debug)]
pub(crate) struct Entrance(Arc<Queue>);

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Exit(Arc<Queue>);

/// What came out.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Changes that can be made together, at least one.
    Group(Vec<Change>),
    /// Nothing came in time.
    Nothing,
    /// It is time to end.
    Closed,
}

/// A queue, with nothing in it.
pub(crate) fn queue() -> (Entrance, Exit) {
    let queue = Arc::new(Queue::default());
    (Entrance(queue.clone()), Exit(queue))
}

impl Entrance {
    /// Brings a change, and waits for room if there is none.
    ///
    /// # Errors
    /// [`Refused::Stopping`].
    pub(crate) fn send(&self, change: Change) -> Result<(), Refused> {
        let lane = change.asker.as_ref().map(|asker| asker.account.clone());
        let mut state = lock(&self.0.state);
        while !state.is_closed && !state.lanes.has_room(&lane) {
            state = wait(&self.0.left, state);
        }
        if state.is_closed {
            return Err(Refused::Stopping);
        }
        state.lanes.push(lane, change);
        self.0.tell_arrival(&state);
        Ok(())
    }

    /// Asks for an answer when all that was found by hand before is made or refused, and no group is being made.
    ///
    /// # Errors
    /// [`Refused::Stopping`].
    pub(crate) fn ask(&self, barrier: SyncSender<()>) -> Result<(), Refused> {
        let mut state = lock(&self.0.state);
        if state.is_closed {
            return Err(Refused::Stopping);
        }
        state.barriers.push(barrier);
        self.0.tell_arrival(&state);
        Ok(())
    }

    /// Lets nothing in any more.
    pub(crate) fn close(&self) {
        lock(&self.0.state).is_closed = true;
        self.0.arrived.notify_all();
        self.0.left.notify_all();
    }
}

impl Exit {
    /// Takes the next group, and waits for one: until then, or without end. Whoever takes one is done with the last.
    pub(crate) fn take(&self, until: Option<Instant>) -> Taken {
        let mut state = lock(&self.0.state);
        loop {
            if state.is_closed {
                return Taken::Closed;
            }
            state.answer_barriers();
            let paths = |change: &Change| change.paths().cloned().collect::<Vec<Path>>();
            let group = state.lanes.pick(COMMIT_GROUP, paths);
            if !group.is_empty() {
                drop(state);
                self.0.left.notify_all();
                return Taken::Group(group);
            }
            let patience = until.map(|until| until.saturating_duration_since(Instant::now()));
            if patience == Some(Duration::ZERO) {
                return Taken::Nothing;
            }
            state = self.0.await_arrival(state, patience);
        }
    }

    /// Takes all that waits, and lets nothing in any more.
    pub(crate) fn close(&self) -> Vec<Change> {
        Entrance(self.0.clone()).close();
        let mut state = lock(&self.0.state);
        state.barriers.clear();
        state.lanes.take_all()
    }
}

#[cfg(test)]
impl Exit {
    /// Waits until somebody brings something or asks for an answer. Whether it is the latter alone.
    pub(super) fn waits_for_barrier(&self) -> bool {
        let mut state = lock(&self.0.state);
        while state.lanes.is_empty() && state.barriers.is_empty() {
            state = self.0.await_arrival(state, None);
        }
        state.lanes.is_empty()
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn answer_barriers(&mut self) {
        if self.lanes.is_clear(&None) {
            for barrier in self.barriers.drain(..) {
                // Whoever waited for it may have given up.
                let _ = barrier.try_send(());
            }
        }
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition.wait(state).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, sync_channel};
    use std::thread;

    use common::limits::COMMIT_QUEUE;

    use super::super::change::{Action, Asker, Require};
    use super::*;

    fn change(account: Option<&str>, name: &str) -> Change {
        let path = |text: &str| Path::new(text.as_bytes()).unwrap();
        let asker = account.map(|folder| Asker { account: Account(Some(path(folder))), ..Asker::default() });
        Change {
            path: path(name),
            action: Action::Delete { require: Require::Something },
            asker,
            reply: None,
        }
    }

    fn names(taken: Taken) -> String {
        let Taken::Group(group) = taken else { panic!("{taken:?}") };
        group.into_iter().map(|change| change.path.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn accounts_take_turns() {
        let (entrance, exit) = queue();
        for (account, name) in
            [(Some("f"), "1"), (Some("f"), "2"), (Some("f"), "3"), (None, "hand"), (Some("q"), "4")]
        {
            entrance.send(change(account, name)).unwrap();
        }
        assert_eq!(names(exit.take(None)), "1 hand 4 2 3");
        assert!(matches!(exit.take(Some(Instant::now())), Taken::Nothing));
    }

    #[test]
    fn a_barrier_waits_for_what_was_found_by_hand() {
        let (entrance, exit) = queue();
        let (reached, reach) = sync_channel(1);
        for (account, name) in [(None, "a"), (None, "a"), (Some("f"), "b"), (Some("f"), "b")] {
            entrance.send(change(account, name)).unwrap();
        }
        entrance.ask(reached).unwrap();
        assert_eq!(names(exit.take(None)), "a b");
        assert_eq!(names(exit.take(None)), "a b");
        assert_eq!(reach.try_recv(), Err(TryRecvError::Empty), "the last of them is being made");
        entrance.send(change(Some("f"), "c")).unwrap();
        assert_eq!(names(exit.take(None)), "c");
        assert_eq!(reach.try_recv(), Ok(()));
    }

    #[test]
    fn a_full_lane_keeps_nobody_else_waiting() {
        let (entrance, exit) = queue();
        for _ in 0..COMMIT_QUEUE {
            entrance.send(change(Some("f"), "x")).unwrap();
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| entrance.send(change(Some("f"), "y")));
            entrance.send(change(Some("q"), "quiet")).unwrap();
            assert_eq!(names(exit.take(None)), "x quiet");
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(exit.close().len(), COMMIT_QUEUE);
    }

    #[test]
    fn nobody_waits_for_what_is_closed() {
        let (entrance, exit) = queue();
        let (reached, reach) = sync_channel(1);
        for _ in 0..COMMIT_QUEUE {
            entrance.send(change(None, "x")).unwrap();
        }
        entrance.ask(reached).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| entrance.send(change(None, "y")));
            drop(exit);
            assert!(matches!(waiting.join().unwrap(), Err(Refused::Stopping)));
        });
        assert!(reach.recv().is_err());
        assert!(matches!(entrance.send(change(Some("q"), "z")), Err(Refused::Stopping)));
        assert!(matches!(entrance.ask(sync_channel(1).0), Err(Refused::Stopping)));
        let (entrance, exit) = queue();
        entrance.close();
        assert!(matches!(exit.take(None), Taken::Closed));
    }

    #[test]
    fn so_many_share_a_flush() {
        let (entrance, exit) = queue();
        for number in 0..COMMIT_GROUP + 5 {
            entrance.send(change(Some("f"), &number.to_string())).unwrap();
        }
        let taken = || match exit.take(Some(Instant::now())) {
            Taken::Group(group) => group.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!([taken(), taken()], [COMMIT_GROUP, 5]);
    }
}
