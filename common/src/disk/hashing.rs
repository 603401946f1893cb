//! Content that is hashed while it is read or written: the small in passing, the large on a thread of its own.
//!
//! ```text
//!     reads, writes ──full buffer──> "hash" thread ──> digest up to some point, when asked for; state at the end
//!                   <──empty one────
//! ```
//!
//! Hashing takes nearly as long as all else that is done for content, and two processors can do both at the same time. A thread is started
//! once [`HASHED_ASIDE_BYTES`] have come: of what is small it would cost more than it saves, and who announces much and sends little gets
//! none. At most [`HASHING_THREADS`] are at work in one process; whoever finds all places taken, or gets no thread, hashes in passing.
//!
//! Nothing is copied. The caller hands over the buffer that it has filled, and finds an empty one in its place. There are at most
//! [`HASHING_BUFFERS`], so whoever is faster waits for the other. The thread waits for its queue and for nothing else; it ends when that
//! does, and is joined whenever the content is done with, however that comes about.

use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use crate::limits::{
    COPY_BUFFER_BYTES, HASHED_ASIDE_BYTES, HASHING_BUFFER_BYTES, HASHING_BUFFERS, HASHING_THREADS,
};
use crate::threads::spawn;
use crate::wire::sha256::{Hash, Sha256};

/// The beginning of a buffer: some content, which whoever hashes it may keep the buffer of.
#[derive(Debug)]
pub struct Piece<'a> {
    buffer: &'a mut Vec<u8>,
    length: usize,
}

impl<'a> Piece<'a> {
    /// The first `length` bytes of a buffer.
    pub fn of(buffer: &'a mut Vec<u8>, length: usize) -> Piece<'a> {
        assert!(length <= buffer.len(), "a piece of more than there is");
        Piece { buffer, length }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// The hash of content that comes in pieces.
pub struct Hashing {
    way: Way,
    /// How many more bytes have to come before a thread is worth it.
    until_aside: u64,
    places: &'static Places,
}

enum Way {
    InPassing(Sha256),
    Aside(Aside),
    /// The thread ended before its time.
    Lost,
}

/// The digest up to some point, if need be as soon as the thread has got there.
#[derive(Debug)]
pub struct Snapshot(Known);

#[derive(Debug)]
enum Known {
    Already(Hash),
    Soon(Receiver<Hash>),
}

impl Hashing {
    /// Nothing hashed yet.
    pub fn new() -> Hashing {
        Hashing::after(Sha256::new())
    }

    /// Goes on from a state.
    pub fn after(state: Sha256) -> Hashing {
        Hashing::within(&PLACES, state)
    }

    fn within(places: &'static Places, state: Sha256) -> Hashing {
        Hashing { way: Way::InPassing(state), until_aside: HASHED_ASIDE_BYTES, places }
    }

    /// Appends to what is hashed. Afterwards the buffer of the piece may be another one, of another size, with anything in it.
    ///
    /// # Errors
    /// The thread ended before its time.
    pub fn update(&mut self, piece: Piece<'_>) -> io::Result<()> {
        match &mut self.way {
            Way::InPassing(state) => state.update(&piece),
            Way::Aside(aside) => return aside.update(piece),
            Way::Lost => return Err(lost()),
        }
        self.until_aside = self.until_aside.saturating_sub(piece.length as u64);
        if self.until_aside == 0 {
            self.step_aside(piece.buffer);
        }
        Ok(())
    }

    /// The digest of all that has come so far, without waiting for it.
    ///
    /// # Errors
    /// As [`Hashing::update`].
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        match &self.way {
            Way::InPassing(state) => Ok(Snapshot(Known::Already(state.clone().finish()))),
            Way::Aside(aside) => aside.snapshot(),
            Way::Lost => Err(lost()),
        }
    }

    /// Waits until all that has come is hashed, and ends the thread, if there is one.
    ///
    /// # Errors
    /// As [`Hashing::update`].
    pub fn settle(&mut self) -> io::Result<&Sha256> {
        if let Way::Aside(_) = self.way
            && let Way::Aside(aside) = mem::replace(&mut self.way, Way::Lost)
        {
            self.way = Way::InPassing(aside.end()?);
        }
        match &self.way {
            Way::InPassing(state) => Ok(state),
            Way::Aside(_) | Way::Lost => Err(lost()),
        }
    }

    /// The digest of all that has come.
    ///
    /// # Errors
    /// As [`Hashing::update`].
    pub fn finish(mut self) -> io::Result<Hash> {
        self.settle().map(|state| state.clone().finish())
    }

    /// From now on a thread hashes, if one is to be had, and buffers are large. If not, it is asked for again after as many bytes.
    fn step_aside(&mut self, buffer: &mut Vec<u8>) {
        self.until_aside = HASHED_ASIDE_BYTES;
        if let (Way::InPassing(state), Some(place)) = (&self.way, self.places.take())
            && let Ok(aside) = Aside::begin(state.clone(), place)
        {
            self.way = Way::Aside(aside);
            *buffer = vec![0; HASHING_BUFFER_BYTES];
        }
    }
}

impl Default for Hashing {
    fn default() -> Hashing {
        Hashing::new()
    }
}

/// Without what was hashed: it may be a secret.
impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::InPassing(_) => "in passing",
            Way::Aside(_) => "aside",
            Way::Lost => "lost",
        };
        f.debug_struct("Hashing").field("way", &way).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The digest at that point.
    ///
    /// # Errors
    /// The thread ended before it got there.
    pub fn digest(self) -> io::Result<Hash> {
        match self.0 {
            Known::Already(digest) => Ok(digest),
            Known::Soon(coming) => coming.recv().map_err(|_| lost()),
        }
    }
}

/// Hashes what a file, say, has from here to its end, at most `most` bytes. How many there were.
///
/// # Errors
/// What reading says; [`Hashing::update`].
pub fn hash_up_to(source: &mut impl Read, most: u64, hashing: &mut Hashing) -> io::Result<u64> {
    let mut buffer = vec![0; COPY_BUFFER_BYTES.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1)];
    let mut hashed = 0;
    while hashed < most {
        let wanted = buffer.len().min(usize::try_from(most - hashed).unwrap_or(usize::MAX));
        match source.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(count) => {
                hashing.update(Piece::of(&mut buffer, count))?;
                hashed += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hashed)
}

fn lost() -> io::Error {
    io::Error::other("the thread that hashes ended before its time")
}

// ---- The thread ------------------------------------------------------------------------------------------------------------------

/// A thread that hashes, and the way of buffers to it and back.
struct Aside {
    /// `None` only while it ends.
    queue: Option<SyncSender<Work>>,
    empty: Receiver<Vec<u8>>,
    /// How many buffers there are, that of the caller included.
    buffers: usize,
    thread: Option<JoinHandle<Sha256>>,
}

enum Work {
    Hash(Vec<u8>, usize),
    Tell(SyncSender<Hash>),
}

impl Aside {
    fn begin(state: Sha256, place: Place) -> io::Result<Aside> {
        let (queue, work) = sync_channel(HASHING_BUFFERS);
        // Has room for all of them: the thread never waits to give one back.
        let (give_back, empty) = sync_channel(HASHING_BUFFERS);
        let thread = spawn("hash", move || {
            let _place = place;
            hash_all(state, &work, &give_back)
        })?;
        Ok(Aside { queue: Some(queue), empty, buffers: 1, thread: Some(thread) })
    }

    fn update(&mut self, piece: Piece<'_>) -> io::Result<()> {
        let Piece { buffer, length } = piece;
        self.send(Work::Hash(mem::take(buffer), length))?;
        *buffer = match self.empty.try_recv() {
            Ok(empty) => empty,
            Err(TryRecvError::Empty) if self.buffers < HASHING_BUFFERS => {
                self.buffers += 1;
                vec![0; HASHING_BUFFER_BYTES]
            }
            Err(TryRecvError::Empty) => self.empty.recv().map_err(|_| lost())?,
            Err(TryRecvError::Disconnected) => return Err(lost()),
        };
        Ok(())
    }

    fn snapshot(&self) -> io::Result<Snapshot> {
        let (tell, coming) = sync_channel(1);
        self.send(Work::Tell(tell))?;
        Ok(Snapshot(Known::Soon(coming)))
    }

    fn send(&self, work: Work) -> io::Result<()> {
        self.queue.as_ref().and_then(|queue| queue.send(work).ok()).ok_or_else(lost)
    }

    /// Waits until all is hashed.
    fn end(mut self) -> io::Result<Sha256> {
        self.join().ok_or_else(lost)
    }

    fn join(&mut self) -> Option<Sha256> {
        self.queue = None;
        self.thread.take()?.join().ok()
    }
}

/// What was handed over is still hashed: a few buffers.
impl Drop for Aside {
    fn drop(&mut self) {
        self.join();
    }
}

fn hash_all(mut state: Sha256, work: &Receiver<Work>, give_back: &SyncSender<Vec<u8>>) -> Sha256 {
    for work in work {
        match work {
            Work::Hash(buffer, length) => {
                state.update(&buffer[..length]);
                // Whoever needs no more buffers has all the same to hear the digest.
                let _ = give_back.try_send(buffer);
            }
            Work::Tell(who) => drop(who.try_send(state.clone().finish())),
        }
    }
    state
}

/// How many threads may hash.
struct Places {
    taken: AtomicUsize,
    most: usize,
}

static PLACES: Places = Places::new(HASHING_THREADS);

/// The right to one of them, until it is dropped.
struct Place(&'static Places);

impl Places {
    const fn new(most: usize) -> Places {
        Places { taken: AtomicUsize::new(0), most }
    }

    fn take(&'static self) -> Option<Place> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sha256::sha256;

    const ASIDE: usize = HASHED_ASIDE_BYTES as usize;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|number| (number / 7) as u8).collect()
    }

    /// Places of a test of its own.
    fn places(most: usize) -> &'static Places {
        Box::leak(Box::new(Places::new(most)))
    }

    fn taken(places: &Places) -> usize {
        places.taken.load(Ordering::Relaxed)
    }

    /// Hands over content in pieces of at most some length, as whoever reads it does.
    fn feed(hashing: &mut Hashing, mut content: &[u8], piece: usize) {
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        while !content.is_empty() {
            let most = piece.min(buffer.len());
            let count = content.read(&mut buffer[..most]).unwrap();
            hashing.update(Piece::of(&mut buffer, count)).unwrap();
        }
    }

    #[test]
    fn the_digest_is_the_same_either_way() {
        let content = content(2 * ASIDE + 12_345);
        for length in [0, 1, ASIDE - 1, ASIDE, ASIDE + 1, content.len()] {
            let content = &content[..length];
            for piece in [10_007, COPY_BUFFER_BYTES, HASHING_BUFFER_BYTES + 1] {
                for most in [0, 1] {
                    let places = places(most);
                    let mut hashing = Hashing::within(places, Sha256::new());
                    feed(&mut hashing, content, piece);
                    let is_aside = ASIDE <= length && most == 1;
                    assert_eq!(
                        (matches!(hashing.way, Way::Aside(_)), taken(places)),
                        (is_aside, usize::from(is_aside))
                    );
                    assert_eq!(hashing.finish().unwrap(), sha256(content), "{length} in pieces of {piece}");
                    assert_eq!(taken(places), 0, "the thread has ended");
                }
            }
        }
    }

    #[test]
    fn files_are_hashed_up_to_a_length() {
        let content = content(ASIDE + 1000);
        for (most, length) in
            [(0, 0), (1, 1), (ASIDE, ASIDE), (content.len(), content.len()), (usize::MAX, content.len())]
        {
            let mut hashing = Hashing::new();
            assert_eq!(hash_up_to(&mut &content[..], most as u64, &mut hashing).unwrap(), length as u64);
            assert_eq!(hashing.finish().unwrap(), sha256(&content[..length]));
        }
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                out.fill(1);
                Err(io::ErrorKind::NotConnected.into())
            }
        }
        let (places, mut hashing) = (places(1), Hashing::new());
        hashing.places = places;
        let error = hash_up_to(&mut content.chain(Broken), u64::MAX, &mut hashing).unwrap_err();
        assert_eq!((error.kind(), taken(places)), (io::ErrorKind::NotConnected, 1));
        drop(hashing);
        assert_eq!(taken(places), 0, "the thread has ended");
    }

    #[test]
    fn the_state_can_be_had_on_the_way_and_gone_on_from() {
        let content = content(3 * ASIDE);
        for most in [0, 1] {
            let places = places(most);
            let mut hashing = Hashing::within(places, Sha256::new());
            let (first, rest) = content.split_at(ASIDE + 100_001);
            feed(&mut hashing, first, usize::MAX);
            let snapshot = hashing.snapshot().unwrap();
            feed(&mut hashing, rest, usize::MAX);
            assert_eq!(snapshot.digest().unwrap(), sha256(first));
            let state = hashing.settle().unwrap().clone();
            assert_eq!((state.clone().finish(), taken(places)), (sha256(&content), 0));
            // It goes on after it was settled, and elsewhere.
            let both = [&content[..], first].concat();
            let mut other = Hashing::within(places, state);
            for hashing in [&mut hashing, &mut other] {
                feed(hashing, first, usize::MAX);
                assert_eq!(hashing.settle().unwrap().clone().finish(), sha256(&both));
            }
        }
    }

    #[test]
    fn whoever_comes_when_all_places_are_taken_hashes_in_passing() {
        let (content, places) = (content(ASIDE), places(HASHING_THREADS));
        let mut all: Vec<Hashing> =
            (0..=HASHING_THREADS).map(|_| Hashing::within(places, Sha256::new())).collect();
        all.iter_mut().for_each(|hashing| feed(hashing, &content, usize::MAX));
        let is_aside = |hashing: &Hashing| matches!(hashing.way, Way::Aside(_));
        assert_eq!(
            (taken(places), all.iter().filter(|hashing| is_aside(hashing)).count()),
            (HASHING_THREADS, HASHING_THREADS)
        );
        // It gets one when it has hashed as much again, if one is free by then.
        drop(all.remove(0));
        let last = all.last_mut().unwrap();
        feed(last, &content[1..], usize::MAX);
        assert!(!is_aside(last));
        feed(last, &content[..1], usize::MAX);
        assert!(is_aside(last));
        assert_eq!(
            all.pop().unwrap().finish().unwrap(),
            sha256(&[&content[..], &content[1..], &content[..1]].concat())
        );
    }

    #[test]
    fn there_are_no_more_buffers_than_there_may_be() {
        let mut hashing = Hashing::within(places(1), Sha256::new());
        feed(&mut hashing, &content(ASIDE + 20 * HASHING_BUFFER_BYTES), usize::MAX);
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        hashing.update(Piece::of(&mut buffer, 1)).unwrap();
        assert_eq!(buffer.len(), HASHING_BUFFER_BYTES);
        let Way::Aside(aside) = &hashing.way else { panic!("it is aside") };
        assert!((2..=HASHING_BUFFERS).contains(&aside.buffers));
    }

    #[test]
    fn a_thread_that_ends_before_its_time_is_noticed() {
        let (queue, work) = sync_channel(HASHING_BUFFERS);
        let (give_back, empty) = sync_channel(HASHING_BUFFERS);
        let thread = spawn("hash", move || {
            let _ends = (work, give_back);
            panic!("on purpose");
        });
        let aside = Aside { queue: Some(queue), empty, buffers: 1, thread: Some(thread.unwrap()) };
        let mut hashing = Hashing { way: Way::Aside(aside), ..Hashing::new() };
        let mut buffer = vec![0; 1];
        while hashing.update(Piece::of(&mut buffer, 1)).is_ok() {
            buffer = vec![0; 1];
        }
        assert!(hashing.snapshot().is_err() && hashing.settle().is_err() && hashing.settle().is_err());
        assert!(hashing.snapshot().is_err() && hashing.finish().is_err());
    }
}
