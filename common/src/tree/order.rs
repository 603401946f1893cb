//! A sorted list of numbers that stand for something else: of paths by name, of records by age, of files by content. It holds only the
//! numbers; what they stand for, and so which comes first, is known to the caller and said in a comparison with each call.
//!
//! ```text
//!     blocks      [ 4 9 1 7 ... ] [ 12 3 8 ... ] [ 5 ... ]        each up to 512 numbers, in order within and among each other
//! ```
//!
//! Finding is two binary searches: for the block, and in it. Who goes through things nearly in their order says where he was last, and
//! most often finds the next one there with two comparisons. Inserting moves what follows in one block, 2 KiB at most. A full block is
//! split in two, but for a number that belongs at its end: that one begins a new block. So what comes in rising order, all of it or in
//! runs, leaves full blocks behind, and costs the four bytes of a number; what comes in random order costs less than six.

use std::cmp::Ordering;

/// Most numbers in a block.
const BLOCK: usize = 512;

/// A sorted list. There are no two of the same number in it, and no two that compare as equal.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// None of them is empty.
    blocks: Vec<Vec<u32>>,
}

/// A place in an [`Order`], up to its end; good until the list is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    block: usize,
    index: usize,
}

impl Order {
    /// A list of numbers that are sorted already.
    pub fn from_sorted(numbers: impl IntoIterator<Item = u32>) -> Order {
        let mut numbers = numbers.into_iter();
        let blocks = std::iter::from_fn(|| {
            let block: Vec<u32> = numbers.by_ref().take(BLOCK).collect();
            (!block.is_empty()).then_some(block)
        });
        Order { blocks: blocks.collect() }
    }

    /// The place of the number that compares as equal. `compare` says how what a number stands for compares with what is looked for.
    ///
    /// # Errors
    /// There is none; the place is the one where it belongs.
    pub fn find(&self, mut compare: impl FnMut(u32) -> Ordering) -> Result<Place, Place> {
        // What is new is most often the last.
        let last = self.blocks.last().and_then(|block| block.last());
        if last.is_none_or(|&last| compare(last) == Ordering::Less) {
            return Err(self.end());
        }
        let block = self.blocks.partition_point(|block| compare(block[block.len() - 1]) == Ordering::Less);
        find_within(&self.blocks[block], block, compare)
    }

    /// As [`Order::find`], but looks first at and behind a place near which it may be, whatever is there by now.
    ///
    /// # Errors
    /// As [`Order::find`].
    pub fn find_near(&self, near: Place, mut compare: impl FnMut(u32) -> Ordering) -> Result<Place, Place> {
        let Some(block) = self.blocks.get(near.block) else { return self.find(compare) };
        if let Some(&number) = block.get(near.index) {
            let next = match near.index + 1 < block.len() {
                true => Place { index: near.index + 1, ..near },
                false => Place { block: near.block + 1, index: 0 },
            };
            match (compare(number), self.number_at(next)) {
                (Ordering::Equal, _) => return Ok(near),
                (Ordering::Less, None) => return Err(next),
                (Ordering::Less, Some(number)) => match compare(number) {
                    Ordering::Equal => return Ok(next),
                    Ordering::Greater => return Err(next),
                    Ordering::Less => {}
                },
                (Ordering::Greater, _) => {}
            }
        }
        match compare(block[0]) != Ordering::Greater && compare(block[block.len() - 1]) != Ordering::Less {
            true => find_within(block, near.block, compare),
            false => self.find(compare),
        }
    }

    /// Inserts a number at the place that [`Order::find`] gave for it. Returns the place that it has then.
    pub fn insert(&mut self, place: Place, number: u32) -> Place {
        let Place { block: mut at, mut index } = place;
        if index == 0 && 0 < at && self.blocks[at - 1].len() < BLOCK {
            // Between two blocks, the end of the first is the better place: nothing has to move.
            at -= 1;
            index = self.blocks[at].len();
        }
        match self.blocks.get_mut(at) {
            Some(block) if block.len() < BLOCK => block.insert(index, number),
            None => self.blocks.push(begin(&[number])),
            Some(_) if index == 0 => self.blocks.insert(at, begin(&[number])),
            Some(_) if index == BLOCK => {
                (at, index) = (at + 1, 0);
                self.blocks.insert(at, begin(&[number]));
            }
            Some(block) => {
                let upper = begin(&block[BLOCK / 2..]);
                block.truncate(BLOCK / 2);
                self.blocks.insert(at + 1, upper);
                (at, index) = if index <= BLOCK / 2 { (at, index) } else { (at + 1, index - BLOCK / 2) };
                self.blocks[at].insert(index, number);
            }
        }
        Place { block: at, index }
    }

    /// Takes the number at a place out. Blocks that have become small are joined.
    pub fn remove(&mut self, place: Place) -> u32 {
        let Place { block: at, index } = place;
        let number = self.blocks[at].remove(index);
        let together = |first: usize| match (self.blocks.get(first), self.blocks.get(first + 1)) {
            (Some(first), Some(second)) => first.len() + second.len(),
            _ => BLOCK,
        };
        if self.blocks[at].is_empty() {
            self.blocks.remove(at);
        } else if together(at) <= BLOCK / 2 {
            let second = self.blocks.remove(at + 1);
            self.blocks[at].extend(second);
        }
        number
    }

    /// The numbers from one place up to another, which is not among them.
    pub fn between(&self, from: Place, to: Place) -> Between<'_> {
        Between { blocks: &self.blocks, at: from, to }
    }

    /// All numbers from a place on.
    pub fn from(&self, place: Place) -> Between<'_> {
        self.between(place, self.end())
    }

    /// All numbers.
    pub fn iter(&self) -> Between<'_> {
        self.from(self.start())
    }

    /// The place of the first number.
    pub fn start(&self) -> Place {
        Place { block: 0, index: 0 }
    }

    /// The place after the last number.
    pub fn end(&self) -> Place {
        Place { block: self.blocks.len(), index: 0 }
    }

    fn number_at(&self, place: Place) -> Option<u32> {
        self.blocks.get(place.block)?.get(place.index).copied()
    }
}

/// Looks in one block.
fn find_within(
    numbers: &[u32],
    block: usize,
    mut compare: impl FnMut(u32) -> Ordering,
) -> Result<Place, Place> {
    let within = numbers.binary_search_by(|&number| compare(number));
    within.map(|index| Place { block, index }).map_err(|index| Place { block, index })
}

/// Numbers of an [`Order`], in its order.
#[derive(Clone, Debug)]
pub struct Between<'a> {
    blocks: &'a [Vec<u32>],
    at: Place,
    to: Place,
}

impl Iterator for Between<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.at < self.to {
            let block = self.blocks.get(self.at.block)?;
            if let Some(&number) = block.get(self.at.index) {
                self.at.index += 1;
                return Some(number);
            }
            self.at = Place { block: self.at.block + 1, index: 0 };
        }
        None
    }
}

/// A block is made at its full size: memory that is not touched costs nothing, and it is most likely to be filled.
fn begin(numbers: &[u32]) -> Vec<u32> {
    let mut block = Vec::with_capacity(BLOCK);
    block.extend_from_slice(numbers);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(order: &mut Order, number: u32) {
        let place = order.find(|other| other.cmp(&number)).unwrap_err();
        order.insert(place, number);
    }

    fn remove(order: &mut Order, number: u32) {
        let place = order.find(|other| other.cmp(&number)).unwrap();
        assert_eq!(order.remove(place), number);
    }

    #[track_caller]
    fn check(order: &Order, want: &[u32]) {
        assert!(order.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK));
        assert!(order.iter().eq(want.iter().copied()), "{} numbers", want.len());
    }

    /// Numbers that look random, the same in each run.
    fn shuffled(count: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..count).collect();
        numbers.sort_unstable_by_key(|number| number.wrapping_mul(0x9e37_79b9));
        numbers
    }

    #[test]
    fn what_comes_in_any_order_is_sorted() {
        for count in [0, 1, 2, 511, 512, 513, 1024, 5000] {
            let sorted: Vec<u32> = (0..count).collect();
            let reversed: Vec<u32> = (0..count).rev().collect();
            let (evens, odds): (Vec<u32>, Vec<u32>) = (0..count).partition(|number| number % 2 == 0);
            for numbers in [sorted.clone(), reversed, shuffled(count), [odds, evens].concat()] {
                let mut order = Order::default();
                numbers.iter().for_each(|&number| insert(&mut order, number));
                check(&order, &sorted);
            }
            check(&Order::from_sorted(sorted.iter().copied()), &sorted);
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays() {
        let numbers = shuffled(5000);
        let mut order = Order::from_sorted(0..5000);
        let mut left: Vec<u32> = (0..5000).collect();
        for (round, number) in numbers.into_iter().enumerate() {
            remove(&mut order, number);
            assert!(order.find(|other| other.cmp(&number)).is_err());
            if round % 97 == 0 || 4990 < round {
                left.retain(|left| order.find(|other| other.cmp(left)).is_ok());
                assert_eq!(left.len(), 4999 - round);
                check(&order, &left);
            }
        }
        assert!(order.blocks.is_empty());
    }

    #[test]
    fn ranges_begin_and_end_where_they_are_told_to() {
        let order = Order::from_sorted((0..2000).map(|number| number * 2));
        let place = |wanted: u32| order.find(|other| other.cmp(&wanted)).unwrap_or_else(|place| place);
        for (from, to) in
            [(0, 0), (0, 1), (1, 4), (1022, 1024), (1023, 1027), (0, 5000), (3999, 5000), (10, 4)]
        {
            let want = (from..to).filter(|number| number % 2 == 0 && *number < 4000);
            assert!(order.between(place(from), place(to)).eq(want), "{from} to {to}");
        }
        assert_eq!(order.from(place(3998)).collect::<Vec<_>>(), [3998]);
    }

    /// Wherever it begins, also where nothing is any more.
    #[test]
    fn what_is_looked_for_near_a_place_is_found_as_without_one() {
        let mut order = Order::default();
        shuffled(3000).into_iter().for_each(|number| insert(&mut order, number * 2));
        let places: Vec<Place> = (0..order.blocks.len() + 2)
            .flat_map(|block| [0, 1, 200, 255, 256, 400, 511, 512].map(|index| Place { block, index }))
            .collect();
        for wanted in (0..6010).step_by(13) {
            let found = order.find(|other| other.cmp(&wanted));
            let begun = [found.unwrap_or_else(|place| place)].into_iter().chain(places.iter().copied());
            for near in begun {
                assert_eq!(
                    order.find_near(near, |other| other.cmp(&wanted)),
                    found,
                    "{wanted} near {near:?}"
                );
            }
        }
        assert_eq!(Order::default().find_near(Place::default(), |_| Ordering::Less), Err(Place::default()));
    }

    #[test]
    fn what_comes_in_order_is_found_with_two_comparisons() {
        let mut order = Order::from_sorted((0..5000).map(|number| number * 10));
        let mut near = order.start();
        for number in (1..50_000).filter(|number| number % 10 != 0) {
            let mut compared = 0;
            let place = order.find_near(near, |other| {
                compared += 1;
                other.cmp(&number)
            });
            near = order.insert(place.unwrap_err(), number);
            assert_eq!(order.number_at(near), Some(number));
            assert!(compared <= 2 || number % 10 == 1, "{compared} for {number}");
        }
        check(&order, &(0..50_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_number_takes_less_than_six_bytes() {
        let cost = |numbers: &[u32]| {
            let mut order = Order::default();
            numbers.iter().for_each(|&number| insert(&mut order, number));
            let block = BLOCK * size_of::<u32>() + size_of::<Vec<u32>>();
            (order.blocks.len() * block) as f64 / numbers.len() as f64
        };
        assert!(cost(&(0..100_000).collect::<Vec<_>>()) < 4.1);
        // Eight directories, one entry of each at a time.
        let runs = (0..100_000).map(|number| number % 8 * 20_000 + number / 8);
        assert!(cost(&runs.collect::<Vec<_>>()) < 4.5);
        assert!(cost(&shuffled(100_000)) < 6.1);
    }
}
