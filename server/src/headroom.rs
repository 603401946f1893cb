//! Whether the disk has plenty of room: looked at once a second, and not with every small file.
//!
//! It is about when to look, and decides nothing: near the end of the disk every upload is looked at, and whatever does not fit in spite
//! of all is refused by the disk itself, while it is staged. What others write in that second is not known; there is plenty for that.

use std::sync::Mutex;
use std::time::Instant;

use common::limits::{ROOM_LOOK_INTERVAL, ROOM_PLENTY};
use common::threads::lock;

/// What is remembered of the last look.
#[derive(Debug, Default)]
pub(crate) struct Headroom(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Bytes that were free then, without those that have been asked for since.
    left: u64,
}

impl Headroom {
    /// Whether there is plenty of room besides so many bytes, as far as is known from a look that is not old. Then they are counted.
    pub(crate) fn is_ample(&self, bytes: u64, now: Instant) -> bool {
        let mut last = lock(&self.0);
        let fresh = last.as_mut().filter(|look| now.saturating_duration_since(look.at) < ROOM_LOOK_INTERVAL);
        let Some(look) = fresh else { return false };
        match look.left.checked_sub(bytes) {
            Some(left) if ROOM_PLENTY <= left => {
                look.left = left;
                true
            }
            _ => false,
        }
    }

    /// Takes note of a look.
    pub(crate) fn note(&self, free: u64, now: Instant) {
        *lock(&self.0) = Some(Look { at: now, left: free });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plenty_is_remembered_and_not_for_long() {
        let (headroom, now) = (Headroom::default(), Instant::now());
        assert!(!headroom.is_ample(0, now), "nobody has looked");
        headroom.note(ROOM_PLENTY + 100, now);
        let asked = [60, 50, 40, 1, u64::MAX, 0].map(|bytes| headroom.is_ample(bytes, now));
        assert_eq!(asked, [true, false, true, false, false, true]);
        assert!(!headroom.is_ample(0, now + ROOM_LOOK_INTERVAL), "that was long ago");
        headroom.note(ROOM_PLENTY - 1, now);
        assert!(!headroom.is_ample(0, now), "it is not plenty");
    }
}
