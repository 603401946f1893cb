//! Slows down whoever tries one wrong key after the other, by the address that they come from. Pure: the time is given.
//!
//! An address may fail [`FAILURES`] times at once, and once more every [`FAILURE_PAUSE`]; what is beyond hears 429. Whoever shows a key
//! that is right is never asked how often others at the same address failed: they may all be behind one proxy.
//!
//! How it is counted: each failure costs an address one pause, in a future that may reach [`FAILURES`] pauses far.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::limits::{FAILURE_PAUSE, FAILURES, THROTTLED_ADDRESSES};

use crate::listener::network;

/// Who failed lately.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    addresses: HashMap<IpAddr, Account>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    /// Up to when the address has used up its pauses.
    until: Instant,
    /// It was throttled since it was last forgotten.
    throttled: bool,
}

/// What a failure comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is one of those that may happen.
    Counted,
    /// There are too many; the next one may come after this time.
    Throttled {
        after: Duration,
        /// It is the first of a series: worth a line in the log.
        is_first: bool,
    },
}

impl Throttle {
    /// Counts a wrong key from this address.
    pub(crate) fn fail(&mut self, address: IpAddr, now: Instant) -> Failure {
        let address = network(address);
        self.make_room(address, now);
        let account = self.addresses.entry(address).or_insert(Account { until: now, throttled: false });
        let until = account.until.max(now) + FAILURE_PAUSE;
        let longest = FAILURE_PAUSE * FAILURES;
        let ahead = until.saturating_duration_since(now);
        if ahead <= longest {
            account.until = until;
            return Failure::Counted;
        }
        let is_first = !account.throttled;
        account.throttled = true;
        Failure::Throttled { after: ahead - longest, is_first }
    }

    /// Forgets whoever has nothing more to wait for; and if that does not help, whoever has least.
    fn make_room(&mut self, address: IpAddr, now: Instant) {
        if self.addresses.len() < THROTTLED_ADDRESSES || self.addresses.contains_key(&address) {
            return;
        }
        self.addresses.retain(|_, account| now < account.until);
        if THROTTLED_ADDRESSES <= self.addresses.len() {
            let least = self.addresses.iter().min_by_key(|(_, account)| account.until);
            if let Some(least) = least.map(|(address, _)| *address) {
                self.addresses.remove(&least);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for _ in 0..FAILURES {
            assert_eq!(throttle.fail(here, now), Failure::Counted);
        }
        let throttled = |after, is_first| Failure::Throttled { after, is_first };
        assert_eq!(throttle.fail(here, now), throttled(FAILURE_PAUSE, true));
        assert_eq!(throttle.fail(here, now + FAILURE_PAUSE / 2), throttled(FAILURE_PAUSE / 2, false));
        assert_eq!(throttle.fail(there, now), Failure::Counted);
        assert_eq!(throttle.fail(here, now + FAILURE_PAUSE), Failure::Counted);
        assert_eq!(throttle.fail(here, now + FAILURE_PAUSE), throttled(FAILURE_PAUSE, false));
        let later = now + FAILURE_PAUSE * (FAILURES + 2);
        for _ in 0..FAILURES {
            assert_eq!(throttle.fail(here, later), Failure::Counted);
        }
    }

    #[test]
    fn who_can_choose_the_address_gains_nothing() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..FAILURES {
            assert_eq!(throttle.fail(ip(&format!("2001:db8:1:2::{number}")), now), Failure::Counted);
        }
        assert_ne!(throttle.fail(ip("2001:db8:1:2:ffff::1"), now), Failure::Counted);
        assert_eq!(throttle.fail(ip("2001:db8:1:3::1"), now), Failure::Counted);
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let attacker = ip("203.0.113.1");
        for _ in 0..=FAILURES {
            throttle.fail(attacker, now);
        }
        for number in 0..THROTTLED_ADDRESSES as u32 * 2 {
            throttle.fail(IpAddr::from((number + (10 << 24)).to_be_bytes()), now);
        }
        assert_eq!(throttle.addresses.len(), THROTTLED_ADDRESSES);
        assert_ne!(throttle.fail(attacker, now), Failure::Counted, "the worst is remembered longest");
        throttle.fail(ip("192.0.2.1"), now + FAILURE_PAUSE * 2);
        assert_eq!(throttle.addresses.len(), 2, "those with nothing to wait for are forgotten");
    }
}
