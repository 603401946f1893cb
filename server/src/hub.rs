//! Tells every connected client of every change, without waiting for any of them.
//!
//! A change is encoded once and shared. Each subscriber has a bounded queue; one that is full is not waited for: the subscriber is marked
//! as lagging, and its own thread then reads what it missed from the index, which forgets nothing. In the same way a change of many paths
//! is only announced, and read from the index by whoever hears of it: encoded, a directory of a hundred thousand files moved would be
//! megabytes in every queue. The hub never touches the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::limits::SUBSCRIBER_QUEUE;
use common::protocol::{Cursor, Event, RemoteEntry};
use common::threads::lock;

use crate::realm::Realm;

/// Word of one change.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) news: News,
}

/// What a frame says of its change.
#[derive(Debug)]
pub(crate) enum News {
    /// All of it.
    Whole(Encoded),
    /// That it happened, to many paths at once: the index has them.
    Many,
}

/// A change of one path, ready to be written to any number of streams.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) change: RemoteEntry,
    /// For everybody but the client that made the change.
    bytes: Box<[u8]>,
    /// For the client that made it.
    own: Box<[u8]>,
}

impl Frame {
    /// A change of one path.
    pub(crate) fn whole(cursor: Cursor, change: RemoteEntry) -> Frame {
        let event = match change.entry {
            Some(_) => Event::Download(change.clone()),
            None => Event::Delete(change.clone()),
        };
        let own = Event::Stored(change.clone()).encode(Some(cursor)).into();
        let encoded = Encoded { bytes: event.encode(Some(cursor)).into(), own, change };
        Frame { seq: cursor.seq, news: News::Whole(encoded) }
    }

    /// A change of many paths.
    pub(crate) fn many(seq: u64) -> Frame {
        Frame { seq, news: News::Many }
    }
}

impl Encoded {
    /// What to write to the client with this id.
    pub(crate) fn bytes_for(&self, client: &str) -> &[u8] {
        if self.change.origin.as_deref() == Some(client) { &self.own } else { &self.bytes }
    }
}

/// Who listens, as `/status` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) client: String,
    pub(crate) name: String,
    /// What it sees.
    pub(crate) realm: Realm,
    pub(crate) seq: u64,
}

#[derive(Debug)]
struct Subscriber {
    /// Its number in the registry.
    connection: u64,
    queue: SyncSender<Arc<Frame>>,
    state: Arc<SubscriberState>,
}

#[derive(Debug)]
struct SubscriberState {
    client: String,
    name: String,
    realm: Realm,
    lagging: AtomicBool,
    seq: AtomicU64,
}

/// The list of subscribers.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    /// `None` once the server is stopping.
    subscribers: Mutex<Option<HashMap<u64, Subscriber>>>,
    next: AtomicU64,
}

/// One client's end of the hub; dropped, it is off the list.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    number: u64,
    queue: Receiver<Arc<Frame>>,
    state: Arc<SubscriberState>,
}

/// What a subscriber gets when it waits.
#[derive(Debug)]
pub(crate) enum Next {
    /// A change.
    Frame(Arc<Frame>),
    /// Changes were left out; the index has them.
    Lagged,
    /// Nothing for so long.
    Quiet,
    /// The server is stopping, or somebody else needs the place of this connection.
    Stopped,
}

impl Hub {
    pub(crate) fn new() -> Arc<Hub> {
        Arc::new(Hub { subscribers: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(0) })
    }

    /// Adds a subscriber. Call it under the index lock, so that no change falls between what was read there and what is heard here.
    pub(crate) fn subscribe(
        self: &Arc<Hub>,
        connection: u64,
        client: &str,
        name: &str,
        realm: &Realm,
        seq: u64,
    ) -> Subscription {
        let (sender, queue) = sync_channel(SUBSCRIBER_QUEUE);
        let state = Arc::new(SubscriberState {
            client: client.to_owned(),
            name: name.to_owned(),
            realm: realm.clone(),
            lagging: AtomicBool::new(false),
            seq: AtomicU64::new(seq),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(subscribers) = lock(&self.subscribers).as_mut() {
            subscribers.insert(number, Subscriber { connection, queue: sender, state: state.clone() });
        }
        Subscription { hub: self.clone(), number, queue, state }
    }

    /// Hands a change to every subscriber. Call it under the index lock.
    ///
    /// One that lags gets nothing more until it has begun to read the index: otherwise it would be told of a later change before those
    /// that were left out, and its cursor would claim that it knows them.
    pub(crate) fn publish(&self, frame: Frame) {
        let frame = Arc::new(frame);
        for subscriber in lock(&self.subscribers).iter().flat_map(HashMap::values) {
            if subscriber.state.lagging.load(Ordering::Acquire) {
                continue;
            }
            if let Err(TrySendError::Full(frame)) = subscriber.queue.try_send(frame.clone()) {
                subscriber.leave_out(frame);
            }
        }
    }

    /// Who listens, and up to where each has been told.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let listener = |subscriber: &Subscriber| Listener {
            client: subscriber.state.client.clone(),
            name: subscriber.state.name.clone(),
            realm: subscriber.state.realm.clone(),
            seq: subscriber.state.seq.load(Ordering::Relaxed),
        };
        lock(&self.subscribers).iter().flat_map(HashMap::values).map(listener).collect()
    }

    /// Ends the subscription of a connection that is hung up on: who waits for news does not look at its socket.
    pub(crate) fn dismiss(&self, connection: u64) {
        if let Some(subscribers) = lock(&self.subscribers).as_mut() {
            subscribers.retain(|_, subscriber| subscriber.connection != connection);
        }
    }

    /// Ends every subscription, now and to come.
    pub(crate) fn stop(&self) {
        *lock(&self.subscribers) = None;
    }
}

impl Subscriber {
    /// Lets the index tell what did not fit into the queue.
    fn leave_out(&self, frame: Arc<Frame>) {
        self.state.lagging.store(true, Ordering::Release);
        // RACE: by now the queue may have been emptied, and whoever waits at an empty queue does not look at the mark. Then there is room,
        // and this wakes it. If there is none, it finds the mark once it has taken what is queued.
        let _ = self.queue.try_send(frame);
    }
}

impl Subscription {
    /// Waits for the next thing to do, at most for `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        // What is queued is older than what was left out, so it comes first.
        match self.queue.try_recv() {
            Ok(frame) => return Next::Frame(frame),
            Err(_) if self.state.lagging.swap(false, Ordering::AcqRel) => return Next::Lagged,
            Err(_) => {}
        }
        match self.queue.recv_timeout(patience) {
            Ok(frame) => Next::Frame(frame),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Stopped,
        }
    }

    /// Notes up to where the client has been told.
    pub(crate) fn told(&self, seq: u64) {
        self.state.seq.store(seq, Ordering::Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = lock(&self.hub.subscribers).as_mut() {
            subscribers.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::protocol::Epoch;
    use common::tree::Path;

    fn frame(seq: u64) -> Frame {
        let change = RemoteEntry {
            path: Path::new(b"a").unwrap(),
            entry: None,
            seq,
            since: seq,
            origin: Some("me".into()),
        };
        Frame::whole(Cursor { epoch: Epoch(1), seq }, change)
    }

    #[test]
    fn a_full_queue_makes_it_lag_after_what_is_queued() {
        let hub = Hub::new();
        let subscription = hub.subscribe(1, "a", "laptop", &Realm::default(), 0);
        for seq in 1..=SUBSCRIBER_QUEUE as u64 + 5 {
            hub.publish(frame(seq));
        }
        for seq in 1..=SUBSCRIBER_QUEUE as u64 {
            assert!(matches!(subscription.next(Duration::ZERO), Next::Frame(frame) if frame.seq == seq));
            // There is room in the queue again, but what was left out has to come first.
            hub.publish(super::tests::frame(500 + seq));
        }
        assert!(matches!(subscription.next(Duration::ZERO), Next::Lagged));
        assert!(matches!(subscription.next(Duration::ZERO), Next::Quiet));
        hub.publish(frame(999));
        assert!(matches!(subscription.next(Duration::ZERO), Next::Frame(frame) if frame.seq == 999));
    }

    /// The queue was full, and is empty before that is marked: the subscriber is waiting already.
    #[test]
    fn nobody_waits_for_what_is_left_out() {
        for round in 0..200 {
            let hub = Hub::new();
            let subscription = hub.subscribe(1, "a", "laptop", &Realm::default(), 0);
            let waiting = AtomicBool::new(false);
            let (next, _) = std::thread::scope(|scope| {
                let waiter = scope.spawn({
                    let waiting = &waiting;
                    move || {
                        waiting.store(true, Ordering::SeqCst);
                        (subscription.next(Duration::from_secs(5)), subscription)
                    }
                });
                // It is at the queue at some moment after this, in some rounds before and in most after the frame is left out.
                while !waiting.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                (0..round * 20).for_each(|_| std::hint::spin_loop());
                let subscribers = lock(&hub.subscribers);
                subscribers
                    .iter()
                    .flat_map(HashMap::values)
                    .for_each(|one| one.leave_out(Arc::new(frame(1))));
                drop(subscribers);
                waiter.join().unwrap()
            });
            assert!(matches!(next, Next::Frame(_) | Next::Lagged), "{next:?} in round {round}");
        }
    }

    #[test]
    fn who_made_a_change_hears_that_it_is_stored() {
        let News::Whole(frame) = frame(1).news else { panic!("one path") };
        assert!(frame.bytes_for("me").windows(13).any(|window| window == b"event: stored"));
        assert!(frame.bytes_for("you").windows(13).any(|window| window == b"event: delete"));
    }

    #[test]
    fn who_is_hung_up_on_hears_no_more() {
        let hub = Hub::new();
        let (one, other) = (
            hub.subscribe(1, "a", "", &Realm::default(), 0),
            hub.subscribe(2, "b", "", &Realm::default(), 0),
        );
        hub.dismiss(1);
        assert!(matches!(one.next(Duration::from_secs(9)), Next::Stopped));
        assert!(matches!(other.next(Duration::ZERO), Next::Quiet));
        assert_eq!(hub.listeners().len(), 1);
    }

    #[test]
    fn stopping_ends_all() {
        let hub = Hub::new();
        let before = hub.subscribe(1, "a", "laptop", &Realm::default(), 7);
        assert_eq!(hub.listeners().len(), 1);
        hub.stop();
        assert!(matches!(before.next(Duration::from_secs(9)), Next::Stopped));
        assert!(matches!(
            hub.subscribe(2, "b", "", &Realm::default(), 0).next(Duration::from_secs(9)),
            Next::Stopped
        ));
    }
}
