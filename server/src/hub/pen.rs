//! Who writes to a stream: its thread, or, while the stream is at rest, the herald.
//!
//! ```text
//!     thread writes  --- lays the pen down --->  herald writes what is new, without waiting
//!                    <----- takes it up -------  gives it up if not all went through, or if it is nothing for it
//! ```
//!
//! While its thread has the pen, what is new is handed over to it: a few words wait, and what is more is left out, and read from the index.
//! That is no channel, since a stream at rest has none waiting and thousands rest: a channel has its room from the beginning, and is larger
//! than all else that a stream needs.
//!
//! The pen is behind a lock, and the herald holds it while it writes or hands over. So what the two tell comes in order, and the thread knows
//! when it takes the pen up how far the stream has got.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use common::limits::SUBSCRIBER_QUEUE;

use super::frame::{Encoded, Frame};
use crate::outlet::{Delimiter, Line};
use crate::realm::Realm;

/// How far a stream has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Everything up to this seq is told, as a whole.
    pub(crate) told: u64,
    /// The client's cursor, as far as the ids that were sent to it have moved it.
    pub(crate) announced: u64,
    /// When something was last written.
    pub(crate) written: Instant,
}

/// What the herald needs to write to a stream.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) line: Line,
    /// Until when it is known that the client may be told anything; `None`: for good.
    pub(crate) until: Option<Instant>,
}

/// The right to write to a stream, and what the herald has for the thread that has it.
#[derive(Debug)]
pub(super) struct Pen {
    /// `Some`: the herald has it.
    rest: Option<Rest>,
    place: Place,
    words: VecDeque<Word>,
    /// Whether something was left out after these words.
    is_lagging: bool,
    /// Whether nothing comes any more.
    is_over: bool,
}

/// What the herald has to say to a stream's thread.
#[derive(Debug)]
enum Word {
    /// A change.
    Frame(Arc<Frame>),
    /// Finish what was begun.
    Tail(Tail),
}

/// What a subscriber gets when it waits.
#[derive(Debug)]
pub(crate) enum Next {
    /// A change.
    Frame(Arc<Frame>),
    /// The rest of a chunk that the herald has begun; it comes before all else.
    Tail(Tail),
    /// Changes were left out; the index has them.
    Lagged,
    /// Nothing for so long.
    Quiet,
    /// The server is stopping, or somebody else needs the place of this connection.
    Stopped,
}

/// What comes of the herald's telling a stream some news.
enum Told {
    /// It was told.
    All,
    /// The socket did not take all of it at once.
    Partly(Tail),
    /// Nothing was written: that is for the stream's own thread.
    NotHere,
}

/// The end of what the herald began to write.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: Arc<[u8]>,
    from: usize,
}

impl Tail {
    /// What is still to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Pen {
    /// In the hand of the thread of a stream that begins at this seq.
    pub(super) fn at(seq: u64) -> Pen {
        let place = Place { told: seq, announced: seq, written: Instant::now() };
        Pen { rest: None, place, words: VecDeque::new(), is_lagging: false, is_over: false }
    }

    /// The thread leaves it to the herald, when it has dealt with all that there was.
    pub(super) fn lay_down(&mut self, rest: Rest, place: Place) {
        debug_assert!(!self.is_called(), "what was for the thread comes first");
        (self.rest, self.place, self.words) = (Some(rest), place, VecDeque::new());
    }

    /// The thread takes it back.
    pub(super) fn take_up(&mut self) -> Place {
        self.rest = None;
        self.place
    }

    /// Whether there is something for the thread.
    pub(super) fn is_called(&self) -> bool {
        !self.words.is_empty() || self.is_lagging || self.is_over
    }

    /// What the thread is to do next, if there is something.
    pub(super) fn next(&mut self) -> Option<Next> {
        // What is queued is older than what was left out, so it comes first.
        match self.words.pop_front() {
            Some(Word::Frame(frame)) => Some(Next::Frame(frame)),
            Some(Word::Tail(tail)) => Some(Next::Tail(tail)),
            None if mem::take(&mut self.is_lagging) => Some(Next::Lagged),
            None if self.is_over => Some(Next::Stopped),
            None => None,
        }
    }

    /// Nothing will come any more.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Tells what is new. If the herald does not have the pen, or can't tell all without waiting, that is for the thread, and so is the pen.
    /// If all is told: up to where.
    pub(super) fn tell(&mut self, round: &Round, client: &str, realm: &Realm) -> Option<u64> {
        let told = match &self.rest {
            Some(rest) => rest.tell(&mut self.place, round, client, realm),
            None => Told::NotHere,
        };
        match told {
            Told::All => return Some(self.place.told),
            Told::Partly(tail) => self.hand_over(Word::Tail(tail)),
            Told::NotHere => {
                // What was published before the stream began may be told after.
                for frame in round.after(self.place.told) {
                    self.hand_over(Word::Frame(frame.clone()));
                }
            }
        }
        self.rest = None;
        None
    }

    /// What finds no room is left out, and so is all that follows until the thread has heard of it: otherwise it would tell something later
    /// first, and the client's cursor would claim that it knows what was left out.
    fn hand_over(&mut self, word: Word) {
        self.is_lagging |= self.words.len() == SUBSCRIBER_QUEUE;
        if !self.is_lagging {
            self.words.push_back(word);
        }
    }
}

impl Rest {
    fn tell(&self, place: &mut Place, round: &Round, client: &str, realm: &Realm) -> Told {
        let news = round.after(place.told);
        let Some(last) = news.last() else { return Told::All };
        if realm.root().is_some() {
            // What is told of a part of the box is encoded for it, and looked at.
            if news.iter().any(|frame| frame.may_concern(realm)) {
                return Told::NotHere;
            }
            place.told = last.seq;
            return Told::All;
        }
        if self.until.is_some_and(|until| until <= round.begun) {
            return Told::NotHere;
        }
        let Some(bytes) = round.bytes(news, client, self.line.delimiter()) else { return Told::NotHere };
        *place = Place { told: last.seq, announced: last.seq, written: round.begun };
        match self.line.write_now(&bytes) {
            written if written == bytes.len() => Told::All,
            from => Told::Partly(Tail { bytes, from }),
        }
    }
}

/// Some changes, one after the other, to be told to everybody.
#[derive(Debug)]
pub(super) struct Round {
    frames: Vec<Arc<Frame>>,
    begun: Instant,
    /// All of them in one chunk, as most streams are told.
    chunk: Arc<[u8]>,
}

impl Round {
    pub(super) fn of(frames: Vec<Arc<Frame>>) -> Round {
        let all: Vec<&[u8]> = frames.iter().filter_map(|frame| frame.encoded()).map(Encoded::bytes).collect();
        let chunk = Delimiter::Chunks.enclose(&all.concat()).into();
        Round { frames, begun: Instant::now(), chunk }
    }

    /// What is new to a stream that has got to this seq.
    fn after(&self, told: u64) -> &[Arc<Frame>] {
        let known = self.frames.iter().take_while(|frame| frame.seq <= told).count();
        &self.frames[known..]
    }

    /// What to write of these, the last ones of the round. `None`: one of them says no more than that the index has news.
    fn bytes(&self, news: &[Arc<Frame>], client: &str, delimiter: Delimiter) -> Option<Arc<[u8]>> {
        let encoded: Vec<&Encoded> = news.iter().map(|frame| frame.encoded()).collect::<Option<_>>()?;
        let is_usual = news.len() == self.frames.len() && delimiter == Delimiter::Chunks;
        if is_usual && !encoded.iter().any(|change| change.is_by(client)) {
            return Some(self.chunk.clone());
        }
        let bytes: Vec<&[u8]> = encoded.iter().map(|change| change.bytes_for(client)).collect();
        Some(delimiter.enclose(&bytes.concat()).into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use common::net::conn::Conn;
    use common::protocol::{Cursor, Epoch, RemoteEntry};
    use common::tree::Path;

    use super::*;
    use crate::outlet::Outlet;

    /// A change at `a/b`, by `me`.
    pub(in crate::hub) fn frame(seq: u64) -> Frame {
        frame_at("a/b", seq)
    }

    /// A change by `me`.
    pub(in crate::hub) fn frame_at(path: &str, seq: u64) -> Frame {
        let change = RemoteEntry {
            path: Path::new(path.trim_end_matches('/').as_bytes()).unwrap(),
            entry: None,
            seq,
            since: seq,
            origin: Some("me".into()),
        };
        Frame::whole(Cursor { epoch: Epoch(1), seq }, change)
    }

    pub(in crate::hub) fn is_at_rest(pen: &Pen) -> bool {
        pen.rest.is_some()
    }

    /// The seqs of all events up to the end of the stream.
    pub(in crate::hub) fn events_of(mut stream: UnixStream) -> Vec<u64> {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let seq = |line: &str| line.strip_prefix("id: ")?.split_once('-')?.1.parse().ok();
        text.lines().filter_map(seq).collect()
    }

    fn round(seqs: std::ops::RangeInclusive<u64>) -> Round {
        Round::of(seqs.map(|seq| Arc::new(frame(seq))).collect())
    }

    /// What a stream at rest at seq 5 comes to with a round, and what is written to it.
    fn tell(
        round: &Round,
        client: &str,
        realm: &Realm,
        until: Option<Instant>,
        delimiter: Delimiter,
    ) -> (Option<u64>, Place, String) {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let mut pen = Pen::at(5);
        let line = Outlet::new(&mut conn, delimiter).rest();
        pen.lay_down(Rest { line, until }, pen.place);
        let told = pen.tell(round, client, realm);
        assert_eq!((pen.rest.is_some(), pen.is_called()), (told.is_some(), told.is_none()));
        let place = pen.take_up();
        drop((pen, conn));
        let mut text = String::new();
        there.read_to_string(&mut text).unwrap();
        (told, place, text)
    }

    fn whole(round: &Round, client: &str, delimiter: Delimiter) -> String {
        let (told, place, text) = tell(round, client, &Realm::default(), None, delimiter);
        let last = round.frames.last().unwrap().seq.max(5);
        assert_eq!((told, place.told, place.announced), (Some(last), last, last));
        text
    }

    #[test]
    fn what_finds_no_room_is_told_of_after_what_did() {
        let (mut pen, room) = (Pen::at(0), SUBSCRIBER_QUEUE as u64);
        assert_eq!(pen.tell(&round(1..=room + 5), "you", &Realm::default()), None);
        for seq in 1..=room {
            assert!(matches!(pen.next(), Some(Next::Frame(frame)) if frame.seq == seq));
            // There is room again, but what was left out has to come first.
            pen.tell(&round(500..=500), "you", &Realm::default());
        }
        assert!(matches!(pen.next(), Some(Next::Lagged)));
        assert!(!pen.is_called() && pen.next().is_none());
        pen.tell(&round(999..=999), "you", &Realm::default());
        pen.end();
        assert!(matches!(pen.next(), Some(Next::Frame(frame)) if frame.seq == 999));
        assert!(matches!(pen.next(), Some(Next::Stopped)) && pen.is_called());
    }

    #[test]
    fn everybody_is_told_what_is_new_to_him() {
        let text = |seqs: std::ops::RangeInclusive<u64>, client: &str| -> String {
            let bytes =
                |seq| String::from_utf8(frame(seq).encoded().unwrap().bytes_for(client).to_vec()).unwrap();
            seqs.map(bytes).collect()
        };
        let chunk = |text: String| format!("{:x}\r\n{text}\r\n", text.len());
        for client in ["me", "you"] {
            assert_eq!(whole(&round(6..=8), client, Delimiter::Close), text(6..=8, client));
            assert_eq!(whole(&round(6..=8), client, Delimiter::Chunks), chunk(text(6..=8, client)));
            assert_eq!(whole(&round(4..=7), client, Delimiter::Chunks), chunk(text(6..=7, client)));
            assert_eq!(whole(&round(3..=5), client, Delimiter::Chunks), "");
        }
    }

    #[test]
    fn what_takes_a_look_is_for_its_thread() {
        let is_for_thread = |round: &Round, realm: &Realm, until| {
            let (told, place, text) = tell(round, "you", realm, until, Delimiter::Chunks);
            let is_untouched = (place.told, text.as_str()) == (5, "");
            told.is_none() && is_untouched
        };
        let (all, news) = (Realm::default(), round(6..=6));
        let many = Round::of(vec![Arc::new(frame(6)), Arc::new(Frame::many(7))]);
        assert!(is_for_thread(&many, &all, None));
        // The token may have been revoked since.
        assert!(is_for_thread(&news, &all, Some(news.begun)));
        assert!(!is_for_thread(&news, &all, Some(news.begun + Duration::from_secs(1))));
        let below = |name: &str| Realm::below(Path::new(name.as_bytes()).unwrap());
        for name in ["a", "a/b", "a/b/c"] {
            assert!(is_for_thread(&news, &below(name), None), "{name}");
        }
    }

    #[test]
    fn what_was_before_a_stream_began_is_not_for_it() {
        let mut pen = Pen::at(5);
        pen.tell(&round(3..=5), "you", &Realm::default());
        assert!(!pen.is_called());
        pen.tell(&round(5..=6), "you", &Realm::default());
        assert!(matches!(pen.next(), Some(Next::Frame(frame)) if frame.seq == 6));
        assert!(!pen.is_called());
    }

    #[test]
    fn what_happens_elsewhere_wakes_nobody() {
        let elsewhere = Realm::below(Path::new(b"c").unwrap());
        let (told, place, text) = tell(&round(6..=9), "you", &elsewhere, None, Delimiter::Chunks);
        assert_eq!((told, place.told, place.announced, text.as_str()), (Some(9), 9, 5, ""));
    }
}
