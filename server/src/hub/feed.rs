//! A bounded queue that nobody waits for. What finds no room is left out, and so is everything after it, until the reader has taken what
//! came before and has been told that something is missing: the index forgets nothing, and has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// The writing end; dropped, it ends the feed.
#[derive(Debug)]
pub(super) struct Inlet<T> {
    queue: SyncSender<T>,
    lagging: Arc<AtomicBool>,
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Feed<T> {
    queue: Receiver<T>,
    lagging: Arc<AtomicBool>,
}

/// What a feed brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed<T> {
    /// The next item.
    Item(T),
    /// Items were left out here.
    Lagged,
}

/// A feed in which so many items may wait.
pub(super) fn feed<T>(room: usize) -> (Inlet<T>, Feed<T>) {
    let (sender, queue) = sync_channel(room);
    let lagging = Arc::new(AtomicBool::new(false));
    (Inlet { queue: sender, lagging: lagging.clone() }, Feed { queue, lagging })
}

impl<T> Inlet<T> {
    /// Hands over an item, or leaves it out. One thread at a time may do so.
    ///
    /// A reader that lags gets nothing more until it has been told: otherwise it would hear of something later before what was left out.
    pub(super) fn send(&self, item: T) {
        if self.lagging.load(Ordering::Acquire) {
            return;
        }
        if let Err(TrySendError::Full(item)) = self.queue.try_send(item) {
            self.leave_out(item);
        }
    }

    fn leave_out(&self, item: T) {
        self.lagging.store(true, Ordering::Release);
        // RACE: by now the queue may have been emptied, and whoever waits at an empty queue does not look at the mark. Then there is room,
        // and this wakes it. If there is none, it finds the mark once it has taken what is queued.
        let _ = self.queue.try_send(item);
    }
}

impl<T> Feed<T> {
    /// What is there without waiting.
    pub(super) fn take(&self) -> Option<Fed<T>> {
        // What is queued is older than what was left out, so it comes first.
        match self.queue.try_recv() {
            Ok(item) => Some(Fed::Item(item)),
            Err(_) if self.lagging.swap(false, Ordering::AcqRel) => Some(Fed::Lagged),
            Err(_) => None,
        }
    }

    /// Waits for what is next for as long as it takes. `None`: the other end is gone.
    pub(super) fn wait(&self) -> Option<Fed<T>> {
        self.take().or_else(|| self.queue.recv().ok().map(Fed::Item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_told_of_after_what_did() {
        let (inlet, feed) = feed(3);
        (1..=5).for_each(|item| inlet.send(item));
        for item in 1..=3 {
            assert_eq!(feed.wait(), Some(Fed::Item(item)));
            // There is room again, but what was left out has to come first.
            inlet.send(10 + item);
        }
        assert_eq!((feed.wait(), feed.take()), (Some(Fed::Lagged), None));
        inlet.send(99);
        assert_eq!(feed.take(), Some(Fed::Item(99)));
        drop(inlet);
        assert_eq!((feed.take(), feed.wait()), (None, None));
    }

    /// The queue was full, and is empty before that is marked: the reader is waiting already.
    #[test]
    fn nobody_waits_for_what_is_left_out() {
        for round in 0..200 {
            let (inlet, feed) = feed(3);
            let waiting = AtomicBool::new(false);
            let next = std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let feed = feed;
                    waiting.store(true, Ordering::SeqCst);
                    feed.wait()
                });
                // It is at the queue at some moment after this, in some rounds before and in most after the item is left out.
                while !waiting.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                (0..round * 20).for_each(|_| std::hint::spin_loop());
                inlet.leave_out(1);
                drop(inlet);
                waiter.join().unwrap()
            });
            assert!(matches!(next, Some(Fed::Item(1) | Fed::Lagged)), "{next:?} in round {round}");
        }
    }
}
