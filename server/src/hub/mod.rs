//! Tells every connected client of every change, without waiting for any of them.
//!
//! ```text
//!     commit thread:  publish  ->  feed  ->  herald: writes to the streams that rest
//!                                                    ->  feed of each that does not  ->  its thread
//! ```
//!
//! A change is encoded once and shared. A stream that has nothing to write is *at rest*, and the herald, one thread for all, writes what is
//! new to it without waking its thread. The thread is called when the socket does not take all of it, or when it is something for it alone.
//!
//! Each feed is bounded, and nobody waits for one that is full: what it leaves out is read from the index, which forgets nothing. In the
//! same way a change of many paths is only announced, and read from the index by whoever hears of it: encoded, a directory of a hundred
//! thousand files moved would be megabytes in every feed. The hub never touches the store.

mod feed;
mod frame;
mod herald;
mod rest;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::limits::{HERALD_QUEUE, SUBSCRIBER_QUEUE};
use common::threads::{lock, spawn};

use crate::realm::Realm;

use feed::{Fed, Feed, Inlet, feed};
pub(crate) use frame::{Encoded, Frame, News};
use rest::{Pen, Round, Told};
pub(crate) use rest::{Place, Rest, Tail};

/// Who listens, as `/status` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) client: String,
    pub(crate) name: String,
    /// What it sees.
    pub(crate) realm: Realm,
    pub(crate) seq: u64,
}

/// The hub's end of one stream.
#[derive(Debug)]
struct Subscriber {
    /// Its number in the registry.
    connection: u64,
    words: Inlet<Word>,
    state: Arc<SubscriberState>,
}

/// What the herald says to a stream's thread.
#[derive(Debug)]
enum Word {
    /// A change.
    Frame(Arc<Frame>),
    /// Finish what was begun.
    Tail(Box<Tail>),
}

#[derive(Debug)]
struct SubscriberState {
    client: String,
    name: String,
    realm: Realm,
    seq: AtomicU64,
    pen: Mutex<Pen>,
}

/// Who listens.
#[derive(Debug)]
struct Audience {
    /// `None` once the server is stopping.
    subscribers: Mutex<Option<HashMap<u64, Arc<Subscriber>>>>,
    /// The seq of what was published last.
    latest: AtomicU64,
}

/// Where changes come in and listeners sign on.
#[derive(Debug)]
pub(crate) struct Hub {
    audience: Arc<Audience>,
    next: AtomicU64,
    /// `None` once the server is stopping.
    news: Mutex<Option<Inlet<Arc<Frame>>>>,
    herald: Mutex<Option<JoinHandle<()>>>,
}

/// One client's end of the hub; dropped, it is off the list.
#[derive(Debug)]
pub(crate) struct Subscription {
    audience: Arc<Audience>,
    number: u64,
    words: Feed<Word>,
    state: Arc<SubscriberState>,
}

/// What a subscriber gets when it waits.
#[derive(Debug)]
pub(crate) enum Next {
    /// A change.
    Frame(Arc<Frame>),
    /// The rest of a chunk that the herald has begun; it comes before all else.
    Tail(Box<Tail>),
    /// Changes were left out; the index has them.
    Lagged,
    /// Nothing for so long.
    Quiet,
    /// The server is stopping, or somebody else needs the place of this connection.
    Stopped,
}

impl Hub {
    /// Nobody listens yet.
    ///
    /// # Errors
    /// There is no room for the herald's thread.
    pub(crate) fn start() -> io::Result<Arc<Hub>> {
        let subscribers = Mutex::new(Some(HashMap::new()));
        let audience = Arc::new(Audience { subscribers, latest: AtomicU64::new(0) });
        let (inlet, news) = feed(HERALD_QUEUE);
        let herald = spawn("herald", {
            let audience = audience.clone();
            move || herald::tell_all(&news, &audience)
        })?;
        Ok(Arc::new(Hub {
            audience,
            next: AtomicU64::new(0),
            news: Mutex::new(Some(inlet)),
            herald: Mutex::new(Some(herald)),
        }))
    }

    /// Adds a subscriber. Call it under the index lock, so that no change falls between what was read there and what is heard here. What
    /// was published before may still come, and is known by its seq.
    pub(crate) fn subscribe(
        &self,
        connection: u64,
        client: &str,
        name: &str,
        realm: &Realm,
        seq: u64,
    ) -> Subscription {
        let (inlet, words) = feed(SUBSCRIBER_QUEUE);
        let state = Arc::new(SubscriberState {
            client: client.to_owned(),
            name: name.to_owned(),
            realm: realm.clone(),
            seq: AtomicU64::new(seq),
            pen: Mutex::new(Pen::at(seq)),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(subscribers) = lock(&self.audience.subscribers).as_mut() {
            let subscriber = Subscriber { connection, words: inlet, state: state.clone() };
            subscribers.insert(number, Arc::new(subscriber));
        }
        Subscription { audience: self.audience.clone(), number, words, state }
    }

    /// Has a change told to every subscriber. Call it under the index lock.
    pub(crate) fn publish(&self, frame: Frame) {
        self.audience.latest.store(frame.seq, Ordering::Release);
        if let Some(news) = lock(&self.news).as_ref() {
            news.send(Arc::new(frame));
        }
    }

    /// Who listens, and up to where each has been told.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let listener = |subscriber: Arc<Subscriber>| Listener {
            client: subscriber.state.client.clone(),
            name: subscriber.state.name.clone(),
            realm: subscriber.state.realm.clone(),
            seq: subscriber.state.seq.load(Ordering::Relaxed),
        };
        self.audience.present().into_iter().map(listener).collect()
    }

    /// Ends the subscription of a connection that is hung up on: who waits for news does not look at its socket.
    pub(crate) fn dismiss(&self, connection: u64) {
        if let Some(subscribers) = lock(&self.audience.subscribers).as_mut() {
            subscribers.retain(|_, subscriber| subscriber.connection != connection);
        }
    }

    /// Ends every subscription, now and to come.
    pub(crate) fn stop(&self) {
        *lock(&self.audience.subscribers) = None;
        *lock(&self.news) = None;
        if let Some(herald) = lock(&self.herald).take() {
            // One that panicked has said so on stderr.
            let _ = herald.join();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Audience {
    /// Who listens now.
    fn present(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.subscribers).iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Up to where the index has news.
    fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }
}

impl Subscriber {
    /// Tells the stream itself, or has its thread do so.
    fn tell(&self, round: &Round) {
        let SubscriberState { client, realm, seq, pen, .. } = &*self.state;
        // Held to the end: what is handed over comes after what was written, and before what its thread finds when it takes the pen up.
        let mut pen = lock(pen);
        match pen.tell(round, client, realm) {
            Told::All => seq.store(pen.place().told, Ordering::Relaxed),
            Told::Partly(tail) => self.words.send(Word::Tail(Box::new(tail))),
            Told::NotHere => {
                for frame in round.frames() {
                    self.words.send(Word::Frame(frame.clone()));
                }
            }
        }
    }
}

impl Subscription {
    /// Waits for the next thing to do, at most for `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        match self.words.next(patience) {
            Ok(word) => word.into(),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Stopped,
        }
    }

    /// Waits as [`next`](Subscription::next) does, and meanwhile leaves the stream to the herald: nothing must be waiting to be written to it.
    /// How far it has got then, and what is next.
    pub(crate) fn rest(&self, rest: Rest, place: Place, patience: Duration) -> (Place, Next) {
        {
            // While this is held the herald hands nothing over: what is not there now, it writes itself.
            let mut pen = lock(&self.state.pen);
            if let Some(word) = self.words.take() {
                return (place, word.into());
            }
            pen.lay_down(rest, place);
        }
        let next = self.next(patience);
        (lock(&self.state.pen).take_up(), next)
    }

    /// Notes up to where the client has been told.
    pub(crate) fn told(&self, seq: u64) {
        self.state.seq.store(seq, Ordering::Relaxed);
    }
}

impl From<Fed<Word>> for Next {
    fn from(fed: Fed<Word>) -> Next {
        match fed {
            Fed::Item(Word::Frame(frame)) => Next::Frame(frame),
            Fed::Item(Word::Tail(tail)) => Next::Tail(tail),
            Fed::Lagged => Next::Lagged,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = lock(&self.audience.subscribers).as_mut() {
            subscribers.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use common::net::conn::Conn;

    use super::rest::tests::{events_of, frame, frame_at, is_at_rest};
    use super::*;
    use crate::outlet::{Delimiter, Outlet};

    const LONG: Duration = Duration::from_secs(20);

    fn subscribe(hub: &Hub, connection: u64) -> Subscription {
        hub.subscribe(connection, "a", "laptop", &Realm::default(), 0)
    }

    #[test]
    fn who_does_not_rest_is_told_by_its_feed() {
        let hub = Hub::start().unwrap();
        let subscription = subscribe(&hub, 1);
        for seq in 1..=SUBSCRIBER_QUEUE as u64 {
            hub.publish(frame(seq));
        }
        for seq in 1..=SUBSCRIBER_QUEUE as u64 {
            assert!(matches!(subscription.next(LONG), Next::Frame(frame) if frame.seq == seq));
        }
        assert!(matches!(subscription.next(Duration::ZERO), Next::Quiet));
    }

    /// The peer does not read until the socket is full; what it then reads is everything, in order.
    #[test]
    fn what_the_herald_begins_the_thread_goes_on_with() {
        let hub = Hub::start().unwrap();
        let subscription = subscribe(&hub, 1);
        let (here, there) = UnixStream::pair().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let mut outlet = Outlet::new(&mut conn, Delimiter::Close);
        let place = Place { told: 0, announced: 0, written: outlet.written() };
        let rest = Rest { line: outlet.line(), until: None };
        let state = subscription.state.clone();
        let resting = std::thread::spawn(move || (subscription.rest(rest, place, LONG), subscription));
        while !is_at_rest(&lock(&state.pen)) {
            std::thread::yield_now();
        }
        // More than fits into the socket, and less than the herald can have waiting.
        for seq in 1..=200 {
            hub.publish(frame_at(&"long/".repeat(800), seq));
        }
        let ((Place { told, announced, .. }, next), subscription) = resting.join().unwrap();
        let Next::Tail(tail) = next else { panic!("it was called for something else") };
        assert!((1..200).contains(&told) && announced == told);
        let reader = std::thread::spawn(move || events_of(there));
        outlet.write_tail(tail.bytes()).unwrap();
        assert!(matches!(subscription.next(LONG), Next::Frame(frame) if frame.seq == told + 1));
        drop(conn);
        assert_eq!(reader.join().unwrap(), (1..=told).collect::<Vec<u64>>());
    }

    #[test]
    fn who_is_hung_up_on_hears_no_more() {
        let hub = Hub::start().unwrap();
        let (one, other) = (subscribe(&hub, 1), subscribe(&hub, 2));
        hub.dismiss(1);
        assert!(matches!(one.next(LONG), Next::Stopped));
        assert!(matches!(other.next(Duration::ZERO), Next::Quiet));
        assert_eq!(hub.listeners().len(), 1);
    }

    #[test]
    fn stopping_ends_all() {
        let hub = Hub::start().unwrap();
        let before = subscribe(&hub, 1);
        assert_eq!(hub.listeners().len(), 1);
        hub.stop();
        assert!(matches!(before.next(LONG), Next::Stopped));
        assert!(matches!(subscribe(&hub, 2).next(LONG), Next::Stopped));
        hub.publish(frame(1));
    }
}
