//! The thread that tells everybody.
//!
//! It takes what has been published, as much as makes a good piece, and goes through the listeners with it. Those at rest it writes to
//! itself, which wakes nobody: of thousands that listen nearly all are at rest, and a call of the system for each is what telling them takes.
//! The others get it into their queues. It waits for nobody, so none can hold up the rest.

use std::sync::Arc;

use common::limits::STREAM_FLUSH_BYTES;

use super::Audience;
use super::feed::{Fed, Feed};
use super::frame::{Encoded, Frame};
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
        bytes += frame.encoded().map_or(0, |encoded| Encoded::bytes(encoded).len());
        frames.push(frame);
        next = if bytes < STREAM_FLUSH_BYTES { news.take() } else { None };
    }
    frames
}
