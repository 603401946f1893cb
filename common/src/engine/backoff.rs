//! Pauses after failures: twice as long after each in a row, up to a bound, and never all at the same instant.

use std::time::Duration;

use super::folder::random_u64;
use crate::limits::RETRY_FIRST;

/// How long to wait after so many failures in a row, the last one included; at least as long as was `asked` for.
pub(super) fn pause(failures: u32, longest: Duration, asked: Option<Duration>) -> Duration {
    let grown = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    jitter(grown, random_u64().unwrap_or(0)).max(asked.unwrap_or_default())
}

/// Between half of `time` and all of it, so that clients that lost the same server do not all come back in the same instant.
fn jitter(time: Duration, random: u64) -> Duration {
    time / 2 + (time / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RETRY_LONGEST;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_as_long_as_asked() {
        let mut longest = RETRY_FIRST;
        for failures in 1..100 {
            let got = pause(failures, RETRY_LONGEST, None);
            assert!((longest / 2..=longest).contains(&got), "{failures}: {got:?}");
            assert_eq!(
                pause(failures, RETRY_LONGEST, Some(Duration::from_secs(99))),
                Duration::from_secs(99)
            );
            longest = (longest * 2).min(RETRY_LONGEST);
        }
        assert_eq!(longest, RETRY_LONGEST);
        assert!(pause(u32::MAX, RETRY_LONGEST, None) <= RETRY_LONGEST);
        assert_eq!(jitter(RETRY_LONGEST, 0), RETRY_LONGEST / 2);
        assert!(RETRY_LONGEST.mul_f64(0.999) < jitter(RETRY_LONGEST, u64::MAX));
    }
}
