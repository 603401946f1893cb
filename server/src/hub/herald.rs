//! The thread that tells everybody.
//!
//! It takes what has been published, as much as makes a good piece, and goes through the listeners with it. Those at rest it writes to
//! itself, which wakes nobody: of thousands that listen nearly all are at rest, and a call of the system for each is what telling them takes.
//! The others get it into their queues. It waits for nobody, so none can hold up the rest.

use std::sync::Arc;

use common::limits::STREAM_FLUSH_BYTES;

use super::Audience;
use super::feed::{Fed, Feed};
use super::frame::Frame;
use super::pen::Round;

/// Tells what the feed brings until it ends.
pub(super) fn tell_all(news: &Feed<Arc<Frame>>, audience: &Audience) {
    while let Some(first) = news.wait() {
        let round = Round::of(gather(first, news, audience));
        for subscriber in audience.present() {
            subscriber.tell(&round);
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
        bytes += frame.encoded().map_or(0, |encoded| encoded.bytes().len());
        frames.push(frame);
        next = if bytes < STREAM_FLUSH_BYTES { news.take() } else { None };
    }
    frames
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use common::limits::HERALD_QUEUE;

    use super::super::feed::feed;
    use super::super::pen::tests::frame;
    use super::*;

    /// What came before is told as it is, in pieces, and for what found no room everybody is sent to the index.
    #[test]
    fn too_much_at_once_is_read_from_the_index() {
        let (inlet, news) = feed(HERALD_QUEUE);
        let audience = Audience::empty();
        let (room, last) = (HERALD_QUEUE as u64, HERALD_QUEUE as u64 + 9);
        for seq in 1..=last {
            audience.latest.store(seq, Ordering::Release);
            inlet.send(Arc::new(frame(seq)));
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
