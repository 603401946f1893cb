//! Who may be connected, and who has to go when there are too many. Pure: numbers and addresses, no sockets.
//!
//! Whoever has shown no valid key yet is a *stranger*. Strangers have places of their own, so that no number of them takes one from those
//! who are *known*. Where a crowd is full, somebody makes room for the newcomer, rather than that he is turned away: those who hold places
//! and say nothing would otherwise keep everybody out.
//!
//! ```text
//!     a stranger comes      of the address that has most of them the stranger goes who has been silent longest; if none is, who has
//!                           been at its request longest
//!     one becomes known     of the address that has most, but not of one that has no more than the newcomer's, goes who waits for a
//!                           request longest; if nobody does, whose request takes longest; streams last
//!                           if that is the newcomer's own address, only one goes that waits for a request; else it is the newcomer
//! ```
//!
//! So who comes from an address with few connections always gets in, and of one address the last who came.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::limits::{
    CONNECTIONS, CONNECTIONS_PER_PEER, DESCRIPTORS_ASIDE, DESCRIPTORS_PER_CONNECTION, STRANGERS,
};

use crate::listener::Origin;

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    strangers: usize,
    known: usize,
    /// Of the known, those from one address.
    per_address: usize,
    /// Who was asked to go and has not gone yet has a place, too.
    leaving: usize,
}

impl Capacity {
    /// For a process that may have so many descriptors.
    pub(crate) fn of_descriptors(most: u64) -> Capacity {
        let affordable = most.saturating_sub(DESCRIPTORS_ASIDE) / DESCRIPTORS_PER_CONNECTION;
        let all = usize::try_from(affordable).unwrap_or(CONNECTIONS).clamp(FEWEST, CONNECTIONS);
        let strangers = STRANGERS.min(all / 4);
        let leaving = (strangers / 4).max(1);
        let known = all - strangers - leaving;
        Capacity { strangers, known, per_address: known.min(CONNECTIONS_PER_PEER), leaving }
    }

    /// All places.
    pub(crate) fn all(&self) -> usize {
        self.strangers + self.known + self.leaving
    }

    /// So many may be about to go before nobody more is let in.
    pub(crate) fn leaving(&self) -> usize {
        self.leaving
    }
}

/// With less nobody could be known, and a stranger, and about to go.
const FEWEST: usize = 8;

/// What a connection is there for, in the order in which it has to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// A stranger that says nothing.
    Silent,
    /// A stranger that has just come, or has said something. What it is worth nobody knows yet.
    Stranger,
    /// It waits for its next request.
    Idle,
    /// A request is being read or answered.
    Busy,
    /// It is told what happens.
    Stream,
}

impl Standing {
    fn is_strange(self) -> bool {
        matches!(self, Standing::Silent | Standing::Stranger)
    }
}

/// Nobody can make room for one who has just become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// All who are connected, by their numbers, but for those who were asked to go.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: Capacity,
    strangers: Crowd,
    known: Crowd,
    places: HashMap<u64, Place>,
    /// Counts what happens, to tell what was earlier.
    now: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    address: Origin,
    rank: Rank,
}

/// Who makes room first, of one address: the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    standing: Standing,
    /// As what it has been there since then.
    since: u64,
    number: u64,
}

impl Room {
    pub(crate) fn new(capacity: Capacity) -> Room {
        Room {
            capacity,
            strangers: Crowd::default(),
            known: Crowd::default(),
            places: HashMap::new(),
            now: 0,
        }
    }

    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// How many have a place.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Lets in a stranger, and says who has to go for it.
    pub(crate) fn enter(&mut self, number: u64, origin: Origin) -> Option<u64> {
        let leaver =
            if self.capacity.strangers <= self.strangers.len { self.longest_stranger() } else { None };
        self.put(number, origin.neighbourhood(), Standing::Stranger);
        leaver
    }

    /// Has the stranger go whose turn it is, if there is one: for want of something else than places.
    pub(crate) fn longest_stranger(&mut self) -> Option<u64> {
        let (_, address) = self.strangers.largest()?;
        let rank = self.strangers.first_of(address)?;
        self.leave(rank.number);
        Some(rank.number)
    }

    /// Makes a stranger known, and says who has to go for it. Whoever is known already, or has no place any more, stays what it is.
    pub(crate) fn know(&mut self, number: u64) -> Result<Option<u64>, Full> {
        let Some(place) = self.places.get(&number).copied() else { return Ok(None) };
        if !place.rank.standing.is_strange() {
            return Ok(None);
        }
        let leaver = self.make_room_for(place.address)?;
        if let Some(leaver) = leaver {
            self.leave(leaver);
        }
        self.leave(number);
        self.put(number, place.address, Standing::Busy);
        Ok(leaver)
    }

    fn make_room_for(&self, address: Origin) -> Result<Option<u64>, Full> {
        let own = self.known.len_of(address);
        // Whoever may connect to the socket of this machine is usually a proxy, with everybody behind it.
        let is_at_limit = self.capacity.per_address <= own && address != Origin::Local;
        if self.known.len < self.capacity.known && !is_at_limit {
            return Ok(None);
        }
        let (most, largest) = self.known.largest().ok_or(Full)?;
        let from = if is_at_limit || most <= own + 1 { address } else { largest };
        match self.known.first_of(from) {
            Some(rank) if from != address || rank.standing == Standing::Idle => Ok(Some(rank.number)),
            _ => Err(Full),
        }
    }

    /// Notes what somebody is there for now. A stranger stays one.
    pub(crate) fn change(&mut self, number: u64, standing: Standing) {
        let Some(place) = self.places.get(&number).copied() else { return };
        let standing = match (place.rank.standing.is_strange(), standing) {
            (true, Standing::Idle) => Standing::Silent,
            (true, _) => Standing::Stranger,
            (false, standing) => standing,
        };
        if place.rank.standing != standing {
            self.leave(number);
            self.put(number, place.address, standing);
        }
    }

    /// It is gone, or is asked to go.
    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(place) = self.places.remove(&number) {
            self.crowd(place.rank.standing).remove(place);
        }
    }

    fn put(&mut self, number: u64, address: Origin, standing: Standing) {
        self.now += 1;
        let place = Place { address, rank: Rank { standing, since: self.now, number } };
        self.crowd(standing).insert(place);
        self.places.insert(number, place);
    }

    fn crowd(&mut self, standing: Standing) -> &mut Crowd {
        match standing {
            Standing::Silent | Standing::Stranger => &mut self.strangers,
            Standing::Idle | Standing::Busy | Standing::Stream => &mut self.known,
        }
    }
}

/// Those who compete for the same places. All operations take logarithmic time: they are done while more wait to be let in.
#[derive(Debug, Default)]
struct Crowd {
    by_address: BTreeMap<Origin, BTreeSet<Rank>>,
    by_size: BTreeSet<(usize, Origin)>,
    len: usize,
}

impl Crowd {
    fn insert(&mut self, place: Place) {
        let ranks = self.by_address.entry(place.address).or_default();
        self.by_size.remove(&(ranks.len(), place.address));
        ranks.insert(place.rank);
        self.by_size.insert((ranks.len(), place.address));
        self.len += 1;
    }

    fn remove(&mut self, place: Place) {
        let Some(ranks) = self.by_address.get_mut(&place.address) else { return };
        self.by_size.remove(&(ranks.len(), place.address));
        ranks.remove(&place.rank);
        self.len -= 1;
        match ranks.len() {
            0 => drop(self.by_address.remove(&place.address)),
            left => drop(self.by_size.insert((left, place.address))),
        }
    }

    /// The address with the most, and how many those are.
    fn largest(&self) -> Option<(usize, Origin)> {
        self.by_size.last().copied()
    }

    fn len_of(&self, address: Origin) -> usize {
        self.by_address.get(&address).map_or(0, BTreeSet::len)
    }

    fn first_of(&self, address: Origin) -> Option<Rank> {
        self.by_address.get(&address)?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn at(last: u8) -> Origin {
        Origin::Address(IpAddr::from([192, 0, 2, last]))
    }

    /// Three strangers, four who are known, three of them from one address.
    fn room() -> Room {
        Room::new(Capacity { strangers: 3, known: 4, per_address: 3, leaving: 1 })
    }

    /// Becomes known at once.
    fn known(room: &mut Room, number: u64, origin: Origin) -> Result<Option<u64>, Full> {
        assert_eq!(room.enter(number, origin), None);
        room.know(number)
    }

    #[test]
    fn the_longest_stranger_of_the_largest_crowd_makes_room() {
        let mut room = room();
        for (number, origin, leaver) in [
            (1, at(1), None),
            (2, at(2), None),
            (3, at(2), None),
            (4, at(2), Some(2)),
            (5, at(3), Some(3)),
            (6, at(3), Some(5)),
        ] {
            assert_eq!(room.enter(number, origin), leaver, "{number}");
        }
        assert_eq!(room.len(), 3);
        room.leave(4);
        assert_eq!(room.enter(7, at(9)), None);
    }

    #[test]
    fn who_says_nothing_goes_before_who_speaks() {
        let mut room = room();
        for number in 1..=3 {
            assert_eq!(room.enter(number, at(1)), None);
        }
        room.change(2, Standing::Idle);
        room.change(3, Standing::Idle);
        room.change(3, Standing::Busy);
        assert_eq!(room.enter(4, at(1)), Some(2));
        assert_eq!(room.enter(5, at(1)), Some(1), "nobody is silent");
        room.change(4, Standing::Stream);
        assert_eq!(room.enter(6, at(1)), Some(3), "whatever a stranger is at, it stays one");
    }

    #[test]
    fn no_stranger_takes_the_place_of_one_who_is_known() {
        let mut room = room();
        for number in 0..3 {
            assert_eq!(known(&mut room, number, at(1)), Ok(None));
        }
        for number in 10..100 {
            assert!(room.enter(number, at(2)).is_none_or(|leaver| 10 <= leaver), "{number}");
        }
        assert_eq!(room.len(), 6);
        assert_eq!(room.know(99), Ok(None));
    }

    #[test]
    fn who_has_few_gets_in_and_who_has_many_makes_room() {
        let mut room = room();
        for number in 1..=3 {
            assert_eq!(known(&mut room, number, at(1)), Ok(None));
        }
        assert_eq!(known(&mut room, 4, at(1)), Err(Full), "so many from one address");
        room.change(2, Standing::Idle);
        assert_eq!(room.know(4), Ok(Some(2)), "the same, with one to spare");
        assert_eq!(known(&mut room, 5, at(2)), Ok(None));
        room.change(1, Standing::Stream);
        assert_eq!(known(&mut room, 6, at(2)), Ok(Some(3)), "streams go last");
        assert_eq!(known(&mut room, 7, at(2)), Err(Full), "two each");
        room.change(5, Standing::Idle);
        assert_eq!(room.know(7), Ok(Some(5)));
        assert_eq!(known(&mut room, 8, at(3)), Ok(Some(6)), "of two that have as many, any");
        assert_eq!(known(&mut room, 9, at(4)), Ok(Some(4)));
        assert_eq!(known(&mut room, 10, at(5)), Err(Full), "one each, at work");
        room.leave(1);
        assert_eq!(room.know(10), Ok(None));
        assert_eq!(room.len(), 4);
    }

    #[test]
    fn the_socket_of_this_machine_has_no_limit_of_its_own() {
        let mut room = room();
        for number in 1..=4 {
            assert_eq!(known(&mut room, number, Origin::Local), Ok(None));
        }
        assert_eq!(known(&mut room, 5, at(1)), Ok(Some(1)));
    }

    #[test]
    fn who_has_gone_is_not_asked_again() {
        let mut room = room();
        assert_eq!(room.know(1), Ok(None));
        room.change(1, Standing::Idle);
        room.leave(1);
        assert_eq!((room.len(), room.longest_stranger()), (0, None));
        assert_eq!(known(&mut room, 1, at(1)), Ok(None));
        assert_eq!((room.know(1), room.longest_stranger()), (Ok(None), None));
        assert_eq!(room.enter(2, at(1)), None);
        assert_eq!((room.longest_stranger(), room.len()), (Some(2), 1));
    }

    #[test]
    fn as_many_as_there_are_descriptors_for() {
        let of = |most| Capacity::of_descriptors(most);
        let whole =
            Capacity { strangers: 1024, known: 6912, per_address: CONNECTIONS_PER_PEER, leaving: 256 };
        assert_eq!((of(u64::MAX), of(1 << 20)), (whole, whole));
        assert_eq!(whole.all(), CONNECTIONS);
        for most in [0, 32, 64, 100, 256, 1024, 4096, 20_000] {
            let Capacity { strangers, known, per_address, leaving } = of(most);
            assert!(0 < strangers && 0 < known && 0 < per_address && 0 < leaving, "{most}");
            assert!(per_address <= known);
            let needed = of(most).all() as u64 * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_ASIDE;
            assert!(needed <= most.max(FEWEST as u64 * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_ASIDE));
        }
    }
}
