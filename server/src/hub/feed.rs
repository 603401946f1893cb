//! A bounded queue that nobody waits for. What finds no room is left out, and so is everything after it, until the reader has taken what
//! came before and has been told that something is missing: the index forgets nothing, and has it.
//!
//! What is handed over together wakes the reader once.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use common::threads::lock;

/// The writing end; dropped, it ends the feed.
#[derive(Debug)]
pub(super) struct Inlet<T>(Arc<Shared<T>>);

/// The reading end.
#[derive(Debug)]
pub(super) struct Feed<T>(Arc<Shared<T>>);

/// What a feed brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed<T> {
    /// The next item.
    Item(T),
    /// Items were left out here.
    Lagged,
}

#[derive(Debug)]
struct Shared<T> {
    room: usize,
    queue: Mutex<Queue<T>>,
    /// Signalled when there is something to take, or nothing will come any more, and the reader waits for that.
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    /// Whether something was left out behind the last of them.
    lagging: bool,
    /// Whether the reader waits: who wakes nobody spares the call.
    is_awaited: bool,
    is_over: bool,
}

/// A feed in which so many items may wait.
pub(super) fn feed<T>(room: usize) -> (Inlet<T>, Feed<T>) {
    let queue = Queue { items: VecDeque::new(), lagging: false, is_awaited: false, is_over: false };
    let shared = Arc::new(Shared { room, queue: Mutex::new(queue), changed: Condvar::new() });
    (Inlet(shared.clone()), Feed(shared))
}

impl<T> Shared<T> {
    fn change(&self, change: impl FnOnce(&mut Queue<T>)) {
        let mut queue = lock(&self.queue);
        change(&mut queue);
        let wakes = mem::take(&mut queue.is_awaited);
        drop(queue);
        if wakes {
            self.changed.notify_one();
        }
    }
}

impl<T> Inlet<T> {
    /// Hands over items, or leaves out what finds no room.
    ///
    /// A reader that lags gets nothing more until it has been told: otherwise it would hear of something later before what was left out.
    pub(super) fn send(&self, items: impl IntoIterator<Item = T>) {
        self.0.change(|queue| {
            for item in items {
                queue.lagging |= self.0.room <= queue.items.len();
                if !queue.lagging {
                    queue.items.push_back(item);
                }
            }
        });
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        self.0.change(|queue| queue.is_over = true);
    }
}

impl<T> Queue<T> {
    /// What is queued is older than what was left out, so it comes first.
    fn take(&mut self) -> Option<Fed<T>> {
        match self.items.pop_front() {
            Some(item) => Some(Fed::Item(item)),
            None => mem::take(&mut self.lagging).then_some(Fed::Lagged),
        }
    }
}

impl<T> Feed<T> {
    /// What is there without waiting.
    pub(super) fn take(&self) -> Option<Fed<T>> {
        lock(&self.0.queue).take()
    }

    /// Waits for what is next for as long as it takes. `None`: the other end is gone.
    pub(super) fn wait(&self) -> Option<Fed<T>> {
        let mut queue = lock(&self.0.queue);
        loop {
            let fed = queue.take();
            if fed.is_some() || queue.is_over {
                return fed;
            }
            queue.is_awaited = true;
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_told_of_after_what_did() {
        let (inlet, feed) = feed(3);
        inlet.send(1..=2);
        inlet.send(3..=5);
        for item in 1..=3 {
            assert_eq!(feed.wait(), Some(Fed::Item(item)));
            // There is room again, but what was left out has to come first.
            inlet.send([10 + item]);
        }
        assert_eq!((feed.wait(), feed.take()), (Some(Fed::Lagged), None));
        inlet.send([99]);
        assert_eq!(feed.take(), Some(Fed::Item(99)));
        drop(inlet);
        assert_eq!((feed.take(), feed.wait()), (None, None));
    }

    /// Whatever changes, the reader may be waiting already, or be about to.
    #[test]
    fn a_reader_that_waits_is_woken() {
        for round in 0..200 {
            let (inlet, feed) = feed(3);
            let reader = std::thread::spawn(move || std::iter::from_fn(|| feed.wait()).count());
            (0..round * 20).for_each(|_| std::hint::spin_loop());
            inlet.send([1]);
            inlet.send([2, 3]);
            drop(inlet);
            assert_eq!(reader.join().unwrap(), 3, "round {round}");
        }
    }
}
