//! Who may be connected, and who has to go when there are too many. Pure: numbers and addresses, no sockets.
//!
//! Whoever has shown no valid key yet is a *stranger*. Strangers have places of their own, so that no number of them takes one from those
//! who are *known*. Where a crowd is full, somebody makes room for the newcomer, rather than that he is turned away: those who hold places
//! and say nothing would otherwise keep everybody out.
//!
//! ```text
//!     a stranger comes      of the address that has most of them the stranger goes who has been silent longest; if none is, who has
//!                           been at its request longest
//!     one becomes known     of the account that has most, but not of one that has no more than the newcomer's, and of the address that has
//!                           most of those goes who waits for a request longest; if nobody does, whose request takes longest; streams last
//!                           if that is the newcomer's own account, the same is asked of its addresses; and if it is his own address,
//!                           too, only one goes that waits for a request; else it is the newcomer
//! ```
//!
//! So who belongs to an account with few connections always gets in; of one account, who comes from an address with few; and of one
//! address, the last who came. Where too many come from one address, only those who do make room, by their accounts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::limits::{
    CONNECTIONS, CONNECTIONS_PER_PEER, DESCRIPTORS_ASIDE, DESCRIPTORS_PER_CONNECTION, STRANGERS,
};

use crate::listener::Origin;
use crate::realm::Account;

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

/// Nobody can make room for one who has just become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// All who are connected, by their numbers, but for those who were asked to go.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: Capacity,
    strangers: Crowd,
    known: Accounts,
    places: HashMap<u64, Place>,
    /// Counts what happens, to tell what was earlier.
    now: u64,
}

#[derive(Clone, Debug)]
struct Place {
    address: Origin,
    /// `None`: a stranger.
    account: Option<Account>,
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
            known: Accounts::default(),
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
        self.put(number, origin.neighbourhood(), None, Standing::Stranger);
        leaver
    }

    /// Has the stranger go whose turn it is, if there is one: for want of something else than places.
    pub(crate) fn longest_stranger(&mut self) -> Option<u64> {
        let (_, address) = self.strangers.largest()?;
        let rank = self.strangers.first_of(address)?;
        self.leave(rank.number);
        Some(rank.number)
    }

    /// Notes that somebody belongs to this account. If it is a stranger it becomes known, and is told who has to go for it. Whoever has no
    /// place any more stays without.
    pub(crate) fn know(&mut self, number: u64, account: &Account) -> Result<Option<u64>, Full> {
        let Some(place) = self.places.get(&number) else { return Ok(None) };
        let (known, address, standing) = (place.account.as_ref(), place.address, place.rank.standing);
        if known == Some(account) {
            return Ok(None);
        }
        // A proxy's connection carries the requests of many.
        let is_stranger = known.is_none();
        let leaver = if is_stranger { self.make_room_for(account, address)? } else { None };
        if let Some(leaver) = leaver {
            self.leave(leaver);
        }
        self.leave(number);
        let standing = if is_stranger { Standing::Busy } else { standing };
        self.put(number, address, Some(account.clone()), standing);
        Ok(leaver)
    }

    fn make_room_for(&self, account: &Account, address: Origin) -> Result<Option<u64>, Full> {
        // Whoever may connect to the socket of this machine is usually a proxy, with everybody behind it.
        let is_at_limit = self.capacity.per_address <= self.known.len_at(address) && address != Origin::Local;
        if self.known.len < self.capacity.known && !is_at_limit {
            return Ok(None);
        }
        let leaver = match is_at_limit {
            true => self.known.who_leaves_at(account, address),
            false => self.known.who_leaves(account, address),
        };
        leaver.map(|rank| Some(rank.number)).ok_or(Full)
    }

    /// Notes what somebody is there for now. A stranger stays one.
    pub(crate) fn change(&mut self, number: u64, standing: Standing) {
        let Some(place) = self.places.get(&number) else { return };
        let standing = match (&place.account, standing) {
            (Some(_), standing) => standing,
            (None, Standing::Idle) => Standing::Silent,
            (None, _) => Standing::Stranger,
        };
        if place.rank.standing != standing {
            let (address, account) = (place.address, place.account.clone());
            self.leave(number);
            self.put(number, address, account, standing);
        }
    }

    /// It is gone, or is asked to go.
    pub(crate) fn leave(&mut self, number: u64) {
        let Some(Place { address, account, rank }) = self.places.remove(&number) else { return };
        match account {
            None => self.strangers.remove(address, rank),
            Some(account) => self.known.remove(&account, address, rank),
        }
    }

    fn put(&mut self, number: u64, address: Origin, account: Option<Account>, standing: Standing) {
        self.now += 1;
        let rank = Rank { standing, since: self.now, number };
        match &account {
            None => self.strangers.insert(address, rank),
            Some(account) => self.known.insert(account, address, rank),
        }
        self.places.insert(number, Place { address, account, rank });
    }
}

/// Those who are known, by their accounts.
#[derive(Debug, Default)]
struct Accounts {
    crowds: BTreeMap<Account, Crowd>,
    by_size: BTreeSet<(usize, Account)>,
    at: BTreeMap<Origin, usize>,
    len: usize,
}

impl Accounts {
    fn insert(&mut self, account: &Account, address: Origin, rank: Rank) {
        let crowd = self.crowds.entry(account.clone()).or_default();
        self.by_size.remove(&(crowd.len, account.clone()));
        crowd.insert(address, rank);
        self.by_size.insert((crowd.len, account.clone()));
        *self.at.entry(address).or_default() += 1;
        self.len += 1;
    }

    fn remove(&mut self, account: &Account, address: Origin, rank: Rank) {
        let Some(crowd) = self.crowds.get_mut(account) else { return };
        self.by_size.remove(&(crowd.len, account.clone()));
        crowd.remove(address, rank);
        match crowd.len {
            0 => drop(self.crowds.remove(account)),
            left => drop(self.by_size.insert((left, account.clone()))),
        }
        match self.at.get(&address).copied().unwrap_or(0) {
            0 | 1 => self.at.remove(&address),
            more => self.at.insert(address, more - 1),
        };
        self.len -= 1;
    }

    fn len_at(&self, address: Origin) -> usize {
        self.at.get(&address).copied().unwrap_or(0)
    }

    /// Who makes room for one of this account who comes from this address, if anybody does.
    fn who_leaves(&self, account: &Account, address: Origin) -> Option<Rank> {
        let own = self.crowds.get(account);
        let (most, largest) = self.by_size.last()?;
        if own.map_or(0, |own| own.len) + 1 < *most {
            let crowd = self.crowds.get(largest)?;
            return crowd.first_of(crowd.largest()?.1);
        }
        let own = own?;
        let (most, largest) = own.largest()?;
        match own.len_of(address) + 1 < most {
            true => own.first_of(largest),
            false => own.first_of(address).filter(Rank::is_idle),
        }
    }

    /// The same, among those who come from this address. It may take a look at all accounts: so many of one address are few addresses.
    fn who_leaves_at(&self, account: &Account, address: Origin) -> Option<Rank> {
        let own = self.crowds.get(account);
        let sizes = self.crowds.values().map(|crowd| (crowd.len_of(address), crowd));
        let (most, largest) = sizes.max_by_key(|(len, _)| *len)?;
        match own.map_or(0, |own| own.len_of(address)) + 1 < most {
            true => largest.first_of(address),
            false => own?.first_of(address).filter(Rank::is_idle),
        }
    }
}

impl Rank {
    fn is_idle(&self) -> bool {
        self.standing == Standing::Idle
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
    fn insert(&mut self, address: Origin, rank: Rank) {
        let ranks = self.by_address.entry(address).or_default();
        self.by_size.remove(&(ranks.len(), address));
        ranks.insert(rank);
        self.by_size.insert((ranks.len(), address));
        self.len += 1;
    }

    fn remove(&mut self, address: Origin, rank: Rank) {
        let Some(ranks) = self.by_address.get_mut(&address) else { return };
        self.by_size.remove(&(ranks.len(), address));
        ranks.remove(&rank);
        self.len -= 1;
        match ranks.len() {
            0 => drop(self.by_address.remove(&address)),
            left => drop(self.by_size.insert((left, address))),
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

    use common::tree::Path;

    use super::*;

    fn at(last: u8) -> Origin {
        Origin::Address(IpAddr::from([192, 0, 2, last]))
    }

    /// Three strangers, four who are known, three of them from one address.
    fn room() -> Room {
        Room::new(Capacity { strangers: 3, known: 4, per_address: 3, leaving: 1 })
    }

    /// Becomes known at once, as one of the account that most tests are content with.
    fn known(room: &mut Room, number: u64, origin: Origin) -> Result<Option<u64>, Full> {
        member(room, number, "", origin)
    }

    fn member(room: &mut Room, number: u64, of: &str, origin: Origin) -> Result<Option<u64>, Full> {
        assert_eq!(room.enter(number, origin), None);
        room.know(number, &account(of))
    }

    fn account(folder: &str) -> Account {
        Account(Path::new(folder.as_bytes()).ok())
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

    /// Whoever has one address of IPv6 has as many as he likes; they are one.
    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |network: u16, host: u16| {
            Origin::Address(IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]))
        };
        let mut room = room();
        for number in 1..=3 {
            assert_eq!(room.enter(number, of(1, number as u16)), None);
        }
        assert_eq!(room.enter(4, of(2, 1)), Some(1), "the first network has most strangers");

        let mut room = self::room();
        for number in 1..=3 {
            assert_eq!(known(&mut room, number, of(1, number as u16)), Ok(None));
        }
        assert_eq!(known(&mut room, 4, of(1, 4)), Err(Full), "there is a place, but not for this network");
        room.change(2, Standing::Idle);
        assert_eq!(room.know(4, &account("")), Ok(Some(2)));
        assert_eq!(known(&mut room, 5, of(2, 1)), Ok(None));
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
        assert_eq!(room.know(99, &account("")), Ok(None));
    }

    #[test]
    fn who_has_few_gets_in_and_who_has_many_makes_room() {
        let mut room = room();
        for number in 1..=3 {
            assert_eq!(known(&mut room, number, at(1)), Ok(None));
        }
        assert_eq!(known(&mut room, 4, at(1)), Err(Full), "so many from one address");
        room.change(2, Standing::Idle);
        assert_eq!(room.know(4, &account("")), Ok(Some(2)), "the same, with one to spare");
        assert_eq!(known(&mut room, 5, at(2)), Ok(None));
        room.change(1, Standing::Stream);
        assert_eq!(known(&mut room, 6, at(2)), Ok(Some(3)), "streams go last");
        assert_eq!(known(&mut room, 7, at(2)), Err(Full), "two each");
        room.change(5, Standing::Idle);
        assert_eq!(room.know(7, &account("")), Ok(Some(5)));
        assert_eq!(known(&mut room, 8, at(3)), Ok(Some(6)), "of two that have as many, any");
        assert_eq!(known(&mut room, 9, at(4)), Ok(Some(4)));
        assert_eq!(known(&mut room, 10, at(5)), Err(Full), "one each, at work");
        room.leave(1);
        assert_eq!(room.know(10, &account("")), Ok(None));
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

    /// However many addresses an account comes from, and however many accounts from one address.
    #[test]
    fn the_account_with_most_makes_room() {
        let mut room = room();
        for number in 1..=4 {
            assert_eq!(member(&mut room, number, "loud", at(number as u8)), Ok(None));
        }
        assert_eq!(member(&mut room, 5, "quiet", at(5)), Ok(Some(4)), "of addresses that have as many, any");
        assert_eq!(member(&mut room, 6, "quiet", at(5)), Ok(Some(3)));
        assert_eq!(member(&mut room, 7, "loud", at(7)), Err(Full), "two each");
        assert_eq!(member(&mut room, 8, "other", at(8)), Ok(Some(5)), "of two that have as many, any");
        assert_eq!(room.len(), 4 + 1, "and the one that is still a stranger");

        let mut room = self::room();
        for number in 1..=3 {
            assert_eq!(member(&mut room, number, "loud", at(1)), Ok(None));
        }
        assert_eq!(member(&mut room, 4, "quiet", at(1)), Ok(Some(1)), "so many from one address");
        assert_eq!(member(&mut room, 5, "loud", at(1)), Err(Full));
        room.change(3, Standing::Idle);
        assert_eq!(room.know(5, &account("loud")), Ok(Some(3)));
        assert_eq!(member(&mut room, 6, "third", at(6)), Ok(None), "from elsewhere");
    }

    #[test]
    fn a_connection_belongs_to_whose_request_it_carries() {
        let mut room = room();
        for number in 1..=4 {
            assert_eq!(member(&mut room, number, "a", Origin::Local), Ok(None));
        }
        for number in 1..=2 {
            assert_eq!(room.know(number, &account("b")), Ok(None));
        }
        assert_eq!(member(&mut room, 5, "b", Origin::Local), Err(Full), "two each");
        room.change(2, Standing::Idle);
        assert_eq!(room.know(3, &account("b")), Ok(None));
        assert_eq!(member(&mut room, 6, "a", Origin::Local), Ok(Some(2)), "three of b's, one waits");
        assert_eq!(room.len(), 4 + 1);
    }

    #[test]
    fn who_has_gone_is_not_asked_again() {
        let mut room = room();
        assert_eq!(room.know(1, &account("")), Ok(None));
        room.change(1, Standing::Idle);
        room.leave(1);
        assert_eq!((room.len(), room.longest_stranger()), (0, None));
        assert_eq!(known(&mut room, 1, at(1)), Ok(None));
        assert_eq!((room.know(1, &account("")), room.longest_stranger()), (Ok(None), None));
        assert_eq!(room.enter(2, at(1)), None);
        assert_eq!((room.longest_stranger(), room.len()), (Some(2), 1));
    }

    #[test]
    fn as_many_as_there_are_descriptors_for() {
        let of = |most| Capacity::of_descriptors(most);
        let leaving = STRANGERS / 4;
        let known = CONNECTIONS - STRANGERS - leaving;
        let whole = Capacity { strangers: STRANGERS, known, per_address: CONNECTIONS_PER_PEER, leaving };
        assert_eq!((of(u64::MAX), of(1 << 20)), (whole, whole));
        assert_eq!(whole.all(), CONNECTIONS);
        const { assert!(CONNECTIONS_PER_PEER < CONNECTIONS - STRANGERS) };
        for most in [0, 32, 64, 100, 256, 1024, 4096, 20_000] {
            let Capacity { strangers, known, per_address, leaving } = of(most);
            assert!(0 < strangers && 0 < known && 0 < per_address && 0 < leaving, "{most}");
            assert!(per_address <= known);
            let needed = of(most).all() as u64 * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_ASIDE;
            assert!(needed <= most.max(FEWEST as u64 * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_ASIDE));
        }
    }
}
