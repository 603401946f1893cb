//! The thread that tells everybody.
//!
//! It takes what has been published, as much as makes a good piece, and goes through the listeners with it. Those at rest it writes to
//! itself, which wakes nobody: of thousands that listen nearly all are at rest, and a call of the system for each is what telling them takes.
//! The others get it into their queues. It waits for nobody, so none can hold up the rest; and a defect costs one stream, as it costs one
//! connection in a handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::limits::STREAM_FLUSH_BYTES;

use super::feed::{Fed, Feed};
use super::frame::Frame;
use super::pen::Round;
use super::{Audience, Subscriber};

/// Tells what the feed brings until it ends.
pub(super) fn tell_all(news: &Feed<Arc<Frame>>, audience: &Audience) {
    while let Some(first) = news.wait() {
        let round = Round::of(gather(first, news, audience));
        each_present(audience, |subscriber| subscriber.tell(&round));
    }
}

/// A listener whose telling panics is taken off the list. That ends its stream, and the client comes again.
fn each_present(audience: &Audience, tell: impl Fn(&Subscriber)) {
    for subscriber in audience.present() {
        // The pen of a stream that is over is all that a panic can leave half done.
        if catch_unwind(AssertUnwindSafe(|| tell(&subscriber))).is_err() {
            audience.dismiss(subscriber.connection);
        }
    }
}

/// What is there, up to about as much as is written at once.
fn gather(first: Fed<Arc<Frame>>, news: &Feed<Arc<Frame>>, audience: &Audience) -> Vec<Arc<Frame>> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    let mut next = Some(first);
    while let Some(fed) = next {
        let frame = match fed {
            Fed::Item(frame) => frame,
            // For too many changes it is as for one of many paths: whoever hears of them reads them from the index.
            Fed::Lagged => Arc::new(Frame::many(audience.latest())),
        };
        bytes += frame.encoded().map_or(0, |encoded| encoded.weight());
        frames.push(frame);
        next = if bytes < STREAM_FLUSH_BYTES { news.take() } else { None };
    }
    frames
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use common::limits::HERALD_QUEUE;

    use super::super::feed::feed;
    use super::super::pen::tests::frame;
    use super::super::{Hub, Next};
    use super::*;
    use crate::realm::Realm;

    #[test]
    fn a_panic_costs_one_stream() {
        let hub = Hub::start().unwrap();
        let subscribe = |connection| hub.subscribe(connection, "me", "", &Realm::default(), 5);
        let (ill, well) = (subscribe(1), subscribe(2));
        let told = AtomicU64::new(0);
        each_present(&hub.audience, |subscriber| {
            assert_ne!(subscriber.connection, 1, "a panic on purpose");
            told.fetch_add(subscriber.connection, Ordering::Relaxed);
        });
        assert_eq!(told.into_inner(), 2);
        assert!(matches!(ill.next(Duration::from_secs(60)), Next::Stopped));
        assert!(matches!(well.next(Duration::ZERO), Next::Quiet));
        assert_eq!(hub.listeners().len(), 1);
    }

    /// What came before is told as it is, in pieces, and for what found no room everybody is sent to the index.
    #[test]
    fn too_much_at_once_is_read_from_the_index() {
        let (inlet, news) = feed(HERALD_QUEUE);
        let audience = Audience::empty();
        let (room, last) = (HERALD_QUEUE as u64, HERALD_QUEUE as u64 + 9);
        for seq in 1..=last {
            audience.latest.store(seq, Ordering::Release);
            inlet.send([Arc::new(frame(seq))]);
        }
        drop(inlet);
        let mut rounds = Vec::new();
        while let Some(first) = news.wait() {
            rounds.push(gather(first, &news, &audience));
        }
        let bytes = |round: &Vec<Arc<Frame>>| -> usize {
            round.iter().filter_map(|frame| frame.encoded()).map(|encoded| encoded.bytes().len()).sum()
        };
        assert!(1 < rounds.len() && rounds.iter().all(|round| bytes(round) < 2 * STREAM_FLUSH_BYTES));
        let told: Vec<(u64, bool)> =
            rounds.iter().flatten().map(|frame| (frame.seq, frame.encoded().is_some())).collect();
        let want = (1..=room).map(|seq| (seq, true)).chain([(last, false)]);
        assert_eq!(told, want.collect::<Vec<_>>());
    }
}
