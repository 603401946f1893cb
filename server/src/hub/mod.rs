//! Tells every connected client of every change, without waiting for any of them.
//!
//! ```text
//!     commit thread:  publish  ->  feed  ->  herald: writes to the streams that rest
//!                                                    ->  words for the thread of each that does not
//! ```
//!
//! A change is encoded once and shared. A stream that has nothing to write is *at rest*, and the herald, one thread for all, writes what is
//! new to it without waking its thread. The thread is called when the socket does not take all of it, or when it is something for it alone.
//!
//! All that waits is bounded, and nobody waits for room: what finds none is read from the index, which forgets nothing. In the same way a
//! change of many paths is only announced, and read from the index by whoever hears of it: encoded, a directory of a hundred thousand files
//! moved would be megabytes for each. The hub never touches the store.

mod feed;
mod frame;
mod herald;
mod pen;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use common::limits::HERALD_QUEUE;
use common::threads::{lock, spawn};

use crate::realm::Realm;

use feed::{Inlet, feed};
pub(crate) use frame::{Encoded, Frame, News};
pub(crate) use pen::{Next, Place, Rest};
use pen::{Pen, Round};

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
    state: Arc<SubscriberState>,
}

#[derive(Debug)]
struct SubscriberState {
    client: String,
    name: String,
    realm: Realm,
    seq: AtomicU64,
    pen: Mutex<Pen>,
    /// Signalled when there is something for the stream's thread.
    called: Condvar,
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
    state: Arc<SubscriberState>,
}

impl Hub {
    /// Nobody listens yet.
    ///
    /// # Errors
    /// There is no room for the herald's thread.
    pub(crate) fn start() -> io::Result<Arc<Hub>> {
        let audience = Arc::new(Audience::empty());
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

    /// Adds a subscriber that has got to this seq. Call it under the index lock, so that no change falls between what was read there and what
    /// is heard here.
    pub(crate) fn subscribe(
        &self,
        connection: u64,
        client: &str,
        name: &str,
        realm: &Realm,
        seq: u64,
    ) -> Subscription {
        let state = Arc::new(SubscriberState {
            client: client.to_owned(),
            name: name.to_owned(),
            realm: realm.clone(),
            seq: AtomicU64::new(seq),
            pen: Mutex::new(Pen::at(seq)),
            called: Condvar::new(),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let subscriber = Arc::new(Subscriber { connection, state: state.clone() });
        if let Some(subscribers) = lock(&self.audience.subscribers).as_mut() {
            subscribers.insert(number, subscriber);
        }
        Subscription { audience: self.audience.clone(), number, state }
    }

    /// Has changes told to every subscriber, in this order. Call it under the index lock.
    pub(crate) fn publish(&self, frames: Vec<Frame>) {
        let Some(last) = frames.last() else { return };
        self.audience.latest.store(last.seq, Ordering::Release);
        if let Some(news) = lock(&self.news).as_ref() {
            news.send(frames.into_iter().map(Arc::new));
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
        self.audience.dismiss(connection);
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
    fn empty() -> Audience {
        Audience { subscribers: Mutex::new(Some(HashMap::new())), latest: AtomicU64::new(0) }
    }

    /// Who listens now.
    fn present(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.subscribers).iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Takes the subscriptions of a connection off the list.
    fn dismiss(&self, connection: u64) {
        if let Some(subscribers) = lock(&self.subscribers).as_mut() {
            subscribers.retain(|_, subscriber| subscriber.connection != connection);
        }
    }

    /// Up to where the index has news.
    fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }
}

impl Subscriber {
    /// Tells the stream itself, or has its thread do so.
    fn tell(&self, round: &Round) {
        let SubscriberState { client, realm, seq, pen, called, .. } = &*self.state;
        match lock(pen).tell(round, client, realm) {
            Some(told) => seq.store(told, Ordering::Relaxed),
            None => called.notify_one(),
        }
    }
}

/// Nothing will come any more from a subscriber that is off the list.
impl Drop for Subscriber {
    fn drop(&mut self) {
        lock(&self.state.pen).end();
        self.state.called.notify_one();
    }
}

impl Subscription {
    /// Waits for the next thing to do, at most for `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        self.wait(lock(&self.state.pen), patience).next().unwrap_or(Next::Quiet)
    }

    /// Waits as [`next`](Subscription::next) does, and meanwhile leaves the stream to the herald: nothing may be waiting to be written to it.
    /// How far it has got then, and what is next.
    pub(crate) fn rest(&self, rest: Rest, place: Place, patience: Duration) -> (Place, Next) {
        let mut pen = lock(&self.state.pen);
        if let Some(next) = pen.next() {
            return (place, next);
        }
        pen.lay_down(rest, place);
        let mut pen = self.wait(pen, patience);
        (pen.take_up(), pen.next().unwrap_or(Next::Quiet))
    }

    fn wait<'p>(&self, pen: MutexGuard<'p, Pen>, patience: Duration) -> MutexGuard<'p, Pen> {
        let waited = self.state.called.wait_timeout_while(pen, patience, |pen| !pen.is_called());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Notes up to where the client has been told.
    pub(crate) fn told(&self, seq: u64) {
        self.state.seq.store(seq, Ordering::Relaxed);
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

    use super::pen::tests::{events_of, frame, frame_at, is_at_rest};
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
        for seq in 1..=100 {
            hub.publish(vec![frame(seq)]);
        }
        for seq in 1..=100 {
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
        let rest = Rest { line: outlet.rest(), until: None };
        let state = subscription.state.clone();
        let resting = std::thread::spawn(move || (subscription.rest(rest, place, LONG), subscription));
        while !is_at_rest(&lock(&state.pen)) {
            std::thread::yield_now();
        }
        // More than fits into the socket, and less than the herald can have waiting.
        for seq in 1..=200 {
            hub.publish(vec![frame_at(&"long/".repeat(800), seq)]);
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
        hub.publish(vec![frame(1)]);
    }
}
