//! Word of a change, encoded once for everybody, when somebody is to hear it: by the herald, and not under the index lock.

use std::sync::OnceLock;

use common::protocol::{Cursor, Event, RemoteEntry};

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

/// A change of one path, to be written to any number of streams.
#[derive(Debug)]
pub(crate) struct Encoded {
    cursor: Cursor,
    pub(crate) change: RemoteEntry,
    /// For everybody but the client that made the change.
    bytes: OnceLock<Box<[u8]>>,
    /// For the client that made it.
    own: OnceLock<Box<[u8]>>,
}

impl Frame {
    /// A change of one path.
    pub(crate) fn whole(cursor: Cursor, change: RemoteEntry) -> Frame {
        let encoded = Encoded { cursor, change, bytes: OnceLock::new(), own: OnceLock::new() };
        Frame { seq: cursor.seq, news: News::Whole(encoded) }
    }

    /// A change of many paths.
    pub(crate) fn many(seq: u64) -> Frame {
        Frame { seq, news: News::Many }
    }

    /// All that it says of its change, if it does.
    pub(super) fn encoded(&self) -> Option<&Encoded> {
        match &self.news {
            News::Whole(encoded) => Some(encoded),
            News::Many => None,
        }
    }

    /// Whether it may be of interest to who sees this.
    pub(super) fn may_concern(&self, realm: &Realm) -> bool {
        self.encoded().is_none_or(|encoded| {
            let path = &encoded.change.path;
            realm.outwards(path).is_some() || realm.rests_on(path)
        })
    }
}

impl Encoded {
    /// What to write to who did not make the change.
    pub(super) fn bytes(&self) -> &[u8] {
        let event = || match self.change.entry {
            Some(_) => Event::Download(self.change.clone()),
            None => Event::Delete(self.change.clone()),
        };
        self.bytes.get_or_init(|| event().encode(Some(self.cursor)).into())
    }

    /// About as many bytes as it is to be written, and not fewer, but for a name of a client that is very long.
    pub(super) fn weight(&self) -> usize {
        const ALL_BUT_THE_PATH: usize = 512;
        // In URL form a byte becomes three at most.
        3 * self.change.path.as_bytes().len() + ALL_BUT_THE_PATH
    }

    /// Whether the client with this id made the change.
    pub(super) fn is_by(&self, client: &str) -> bool {
        self.change.origin.as_deref() == Some(client)
    }

    /// What to write to the client with this id.
    pub(crate) fn bytes_for(&self, client: &str) -> &[u8] {
        if !self.is_by(client) {
            return self.bytes();
        }
        self.own.get_or_init(|| Event::Stored(self.change.clone()).encode(Some(self.cursor)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::protocol::Epoch;
    use common::tree::Path;

    #[test]
    fn who_made_a_change_hears_that_it_is_stored() {
        let change = RemoteEntry {
            path: Path::new(b"a").unwrap(),
            entry: None,
            seq: 1,
            since: 1,
            origin: Some("me".into()),
        };
        let frame = Frame::whole(Cursor { epoch: Epoch(1), seq: 1 }, change);
        let News::Whole(encoded) = frame.news else { panic!("one path") };
        assert!(
            encoded.bytes().len() <= encoded.weight() && encoded.bytes_for("me").len() <= encoded.weight()
        );
        assert!(encoded.bytes_for("me").windows(13).any(|window| window == b"event: stored"));
        assert!(encoded.bytes_for("you").windows(13).any(|window| window == b"event: delete"));
    }
}
