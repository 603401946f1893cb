//! The line to the server, as the workers find it. When it fails, nothing is asked of the server for a while: what keeps one path from it
//! most likely keeps all, and thousands of paths that try again one by one would be a storm.
//!
//! The stream has a connection and pauses of its own. A line that fails while the stream lives is a proxy in trouble, or a server that has
//! too much to do.

use std::time::{Duration, Instant};

use crate::engine::backoff::pause;
use crate::limits::{JOBS_TOGETHER, RECONNECT_LONGEST};

/// How the line is.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Failures in a row.
    failures: u32,
    /// It rests until then.
    until: Option<Instant>,
}

impl Line {
    /// A request failed for reasons that lie on the line; `asked` is the pause that the answer wants.
    ///
    /// Several are on their way at a time, and one trouble fails them all: it counts once.
    pub(super) fn failed(&mut self, now: Instant, asked: Option<Duration>) {
        if self.rests_until(now).is_none() {
            self.failures = self.failures.saturating_add(1);
            self.until = Some(now + pause(self.failures, RECONNECT_LONGEST, asked));
        } else if let Some(asked) = asked {
            self.until = self.until.max(Some(now + asked));
        }
    }

    /// A request was answered by the server.
    pub(super) fn works(&mut self) {
        *self = Line::default();
    }

    /// Until when nothing is to be asked of the server, if it is so.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// How many light jobs a worker may have together. While it is not known whether the line works one is enough to find out.
    pub(super) fn together(&self) -> usize {
        if self.failures == 0 { JOBS_TOGETHER } else { 1 }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trouble_counts_once_and_pauses_grow() {
        let (mut line, mut now) = (Line::default(), Instant::now());
        assert_eq!(line.rests_until(now), None);
        let mut last = Duration::ZERO;
        for trouble in 1..=6 {
            for _ in 0..8 {
                line.failed(now, None);
            }
            assert_eq!((line.failures(), line.together()), (trouble, 1));
            let until = line.rests_until(now).unwrap();
            assert!(last <= until - now);
            (last, now) = (until - now, until);
            assert_eq!(line.rests_until(now), None);
        }
        line.works();
        assert_eq!((line.failures(), line.together()), (0, JOBS_TOGETHER));
    }

    #[test]
    fn whoever_asks_for_a_pause_gets_it() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.failed(now, None);
        line.failed(now, Some(Duration::from_secs(99)));
        assert_eq!(line.rests_until(now), Some(now + Duration::from_secs(99)));
        line.works();
        assert_eq!(line.rests_until(now), None);
    }

    #[test]
    fn a_line_that_fails_is_tried_again_now_and_then() {
        let (mut line, mut now) = (Line::default(), Instant::now());
        let mut fail = || {
            line.failed(now, None);
            let until = line.rests_until(now).unwrap();
            let pause = until - now;
            now = until;
            pause
        };
        for _ in 0..50 {
            assert!(fail() <= RECONNECT_LONGEST);
        }
        assert!(RECONNECT_LONGEST / 2 <= fail());
    }
}
