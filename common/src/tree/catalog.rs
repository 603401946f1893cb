//! A map from paths to what is known of them, made for a million of them: the server's index, a client's bases, the paths in between.
//!
//! ```text
//!     slots       page of 1024: | path, value | path, value | free | ...       a slot's number is the entry's id, as long as it lives
//!     by path     ids in the order of paths (order.rs)
//! ```
//!
//! A `BTreeMap` that is filled in order leaves its nodes half empty, and pays for each value twice. Here a value takes its own size, the
//! 16 bytes of a [`Path`] and the 4 to 6 of its place in the order; the path's bytes are on the heap, shared, with 16 bytes of counters
//! and what the allocator adds. An id is 4 bytes, so that an owner can keep further orders beside this one: by age, by content.
//!
//! It is used like a `BTreeMap<Path, V>`, and behaves like one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

use super::order::{Between, Order, Place};
use super::path::Path;

/// Slots in a page. With values of a hundred bytes and more a page is so large that the allocator takes it from the system by itself,
/// and gives it back when it is empty.
const PAGE: usize = 1024;

/// A map from paths to values.
#[derive(Clone, Debug)]
pub struct Catalog<V> {
    pages: Vec<Page<V>>,
    /// The pages that have room, the one that is filled next last.
    open: Vec<u32>,
    by_path: Order,
    /// Where a path was last entered or changed: what comes in order is most often next to it.
    near: Place,
    len: usize,
}

#[derive(Clone, Debug)]
struct Page<V> {
    /// Grows up to [`PAGE`].
    slots: Vec<Option<(Path, V)>>,
    /// Slots that are free again.
    free: Vec<u16>,
}

/// Names an entry of a [`Catalog`] until it is removed; afterwards it may name another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u32);

impl Id {
    /// As a number in an [`Order`].
    pub fn number(self) -> u32 {
        self.0
    }

    /// From a number that [`Id::number`] gave.
    pub fn from_number(number: u32) -> Id {
        Id(number)
    }
}

impl<V> Default for Catalog<V> {
    fn default() -> Catalog<V> {
        Catalog {
            pages: Vec::new(),
            open: Vec::new(),
            by_path: Order::default(),
            near: Place::default(),
            len: 0,
        }
    }
}

impl<V> Catalog<V> {
    /// A catalog of nothing.
    pub fn new() -> Catalog<V> {
        Catalog::default()
    }

    /// How many paths are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a path.
    pub fn get<Q: Ord + ?Sized>(&self, path: &Q) -> Option<&V>
    where
        Path: Borrow<Q>,
    {
        self.id(path).map(|id| self.entry(id).1)
    }

    /// The value of a path, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, path: &Q) -> Option<&mut V>
    where
        Path: Borrow<Q>,
    {
        self.near = self.find(path).ok()?;
        Some(self.value_mut(self.id_at(self.near)))
    }

    /// Whether a path is in it.
    pub fn contains_key<Q: Ord + ?Sized>(&self, path: &Q) -> bool
    where
        Path: Borrow<Q>,
    {
        self.id(path).is_some()
    }

    /// Gives a path a value. Returns the one that it had.
    pub fn insert(&mut self, path: Path, value: V) -> Option<V> {
        match self.try_insert(path, value) {
            Ok(_) => None,
            Err((id, value)) => Some(std::mem::replace(self.value_mut(id), value)),
        }
    }

    /// The value of a path, made by `make` if it has none.
    pub fn get_or_insert_with(&mut self, path: &Path, make: impl FnOnce() -> V) -> &mut V {
        let id = match self.find(path) {
            Ok(place) => {
                self.near = place;
                self.id_at(place)
            }
            Err(place) => self.insert_at(place, path.clone(), make()),
        };
        self.value_mut(id)
    }

    /// Takes a path and its value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, path: &Q) -> Option<V>
    where
        Path: Borrow<Q>,
    {
        let place = self.find(path).ok()?;
        let id = self.by_path.remove(place) as usize;
        self.len -= 1;
        if self.pages[id / PAGE].is_full() {
            self.open.push((id / PAGE) as u32);
        }
        self.pages[id / PAGE].take(id % PAGE)
    }

    /// All entries, in the order of paths.
    pub fn iter(&self) -> Entries<'_, V> {
        Entries { catalog: self, ids: self.by_path.iter() }
    }

    /// The paths, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Path> {
        self.iter().map(|(path, _)| path)
    }

    /// The values, in no order: as they lie in memory, which is a good deal faster.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.pages.iter().flat_map(|page| &page.slots).flatten().map(|(_, value)| value)
    }

    /// All entries as values of their own, in no order.
    pub fn into_entries(self) -> impl Iterator<Item = (Path, V)> {
        self.pages.into_iter().flat_map(|page| page.slots).flatten()
    }

    /// All paths and, to be changed, their values, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Path, &mut V)> {
        self.pages.iter_mut().flat_map(|page| &mut page.slots).flatten().map(|(path, value)| (&*path, value))
    }

    /// The entries whose paths are in a range, in the order of paths.
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(&self, range: R) -> Entries<'_, V>
    where
        Path: Borrow<Q>,
    {
        let from = match range.start_bound() {
            Bound::Unbounded => self.by_path.start(),
            Bound::Included(path) => self.place(path, Ordering::Less),
            Bound::Excluded(path) => self.place(path, Ordering::Equal),
        };
        let is_beyond = |id| match (range.end_bound(), self.entry(Id(id)).0.borrow()) {
            (Bound::Unbounded, _) => false,
            (Bound::Included(end), first) => end < first,
            (Bound::Excluded(end), first) => end <= first,
        };
        // Most ranges that are asked for are empty: what is below a file.
        let to = match range.end_bound() {
            _ if self.by_path.from(from).next().is_none_or(is_beyond) => from,
            Bound::Unbounded => self.by_path.end(),
            Bound::Included(path) => self.place(path, Ordering::Equal),
            Bound::Excluded(path) => self.place(path, Ordering::Less),
        };
        Entries { catalog: self, ids: self.by_path.between(from, to) }
    }

    // ---- By ids ------------------------------------------------------------------------------------------------------------------

    /// The id of a path.
    pub fn id<Q: Ord + ?Sized>(&self, path: &Q) -> Option<Id>
    where
        Path: Borrow<Q>,
    {
        self.find(path).ok().map(|place| self.id_at(place))
    }

    /// Gives a path a value if it has none yet, and says which id it has.
    ///
    /// # Errors
    /// It has one, with this id; and the value that was to be given.
    pub fn try_insert(&mut self, path: Path, value: V) -> Result<Id, (Id, V)> {
        match self.find(&path) {
            Ok(place) => {
                self.near = place;
                Err((self.id_at(place), value))
            }
            Err(place) => Ok(self.insert_at(place, path, value)),
        }
    }

    /// The entry that an id names.
    ///
    /// # Panics
    /// It was removed: whoever keeps ids forgets them when he removes what they name.
    pub fn entry(&self, id: Id) -> (&Path, &V) {
        let slot = self.pages[id.0 as usize / PAGE].slots[id.0 as usize % PAGE].as_ref();
        let (path, value) = slot.expect("the id of an entry that is there");
        (path, value)
    }

    /// The value that an id names, to be changed.
    ///
    /// # Panics
    /// As [`Catalog::entry`].
    pub fn value_mut(&mut self, id: Id) -> &mut V {
        let slot = self.pages[id.0 as usize / PAGE].slots[id.0 as usize % PAGE].as_mut();
        &mut slot.expect("the id of an entry that is there").1
    }

    /// The ids of all entries, in the order of paths.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.by_path.iter().map(Id)
    }

    fn find<Q: Ord + ?Sized>(&self, wanted: &Q) -> Result<Place, Place>
    where
        Path: Borrow<Q>,
    {
        self.by_path.find_near(self.near, |id| self.entry(Id(id)).0.borrow().cmp(wanted))
    }

    /// The place of the first path that is not less than, or not even equal to, the one that is given.
    fn place<Q: Ord + ?Sized>(&self, wanted: &Q, passed: Ordering) -> Place
    where
        Path: Borrow<Q>,
    {
        let compare = |id| match self.entry(Id(id)).0.borrow().cmp(wanted) {
            order if order <= passed => Ordering::Less,
            _ => Ordering::Greater,
        };
        self.by_path.find_near(self.near, compare).unwrap_or_else(|place| place)
    }

    fn id_at(&self, place: Place) -> Id {
        // A place that was found has a number.
        Id(self.by_path.from(place).next().unwrap_or_default())
    }

    fn insert_at(&mut self, place: Place, path: Path, value: V) -> Id {
        let page = self.page_with_room();
        let slot = self.pages[page].put((path, value));
        if self.pages[page].is_full() {
            self.open.pop();
        }
        let id =
            u32::try_from(page * PAGE + slot).expect("four thousand million paths do not fit into memory");
        self.near = self.by_path.insert(place, id);
        self.len += 1;
        Id(id)
    }

    fn page_with_room(&mut self) -> usize {
        if let Some(&page) = self.open.last() {
            return page as usize;
        }
        let page = self.pages.len();
        self.pages.push(Page { slots: Vec::new(), free: Vec::new() });
        self.open.push(page as u32);
        page
    }
}

impl<V> Page<V> {
    fn is_full(&self) -> bool {
        self.slots.len() == PAGE && self.free.is_empty()
    }

    fn put(&mut self, entry: (Path, V)) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(entry);
            return slot as usize;
        }
        if self.slots.is_empty() {
            self.slots.reserve_exact(PAGE);
        }
        self.slots.push(Some(entry));
        self.slots.len() - 1
    }

    fn take(&mut self, slot: usize) -> Option<V> {
        let (_, value) = self.slots[slot].take()?;
        self.free.push(slot as u16);
        if self.free.len() == self.slots.len() {
            *self = Page { slots: Vec::new(), free: Vec::new() };
        }
        Some(value)
    }
}

/// Entries of a [`Catalog`], in the order of paths.
#[derive(Debug)]
pub struct Entries<'a, V> {
    catalog: &'a Catalog<V>,
    ids: Between<'a>,
}

impl<'a, V> Iterator for Entries<'a, V> {
    type Item = (&'a Path, &'a V);

    fn next(&mut self) -> Option<(&'a Path, &'a V)> {
        self.ids.next().map(|id| self.catalog.entry(Id(id)))
    }
}

impl<V> FromIterator<(Path, V)> for Catalog<V> {
    fn from_iter<I: IntoIterator<Item = (Path, V)>>(entries: I) -> Catalog<V> {
        let mut catalog = Catalog::new();
        for (path, value) in entries {
            catalog.insert(path, value);
        }
        catalog
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(catalog: &Catalog<u32>, model: &BTreeMap<Path, u32>) {
        assert!(catalog.iter().eq(model));
        assert_eq!((catalog.len(), catalog.is_empty()), (model.len(), model.is_empty()));
        assert!(catalog.ids().map(|id| catalog.entry(id)).eq(model));
        let mut values: Vec<u32> = catalog.values().copied().collect();
        values.sort_unstable();
        let mut want: Vec<u32> = model.values().copied().collect();
        want.sort_unstable();
        assert_eq!(values, want);
    }

    /// The same changes to a catalog and to a `BTreeMap`: they never differ.
    #[test]
    fn it_behaves_like_a_btree_map() {
        let (mut catalog, mut model) = (Catalog::new(), BTreeMap::new());
        let mut random = 1_u32;
        for round in 0..60_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // First it grows, then it shrinks to nothing, then it grows again.
            let grows = !(20_000..50_000).contains(&round);
            let name = path(&format!("{}/{}", random >> 30, random >> 16 & 0xfff));
            match random >> 8 & 3 {
                0 if grows => assert_eq!(catalog.remove(&name), model.remove(&name)),
                1.. if !grows => assert_eq!(catalog.remove(&name), model.remove(&name)),
                1 => {
                    let value = model.entry(name.clone()).or_insert(round);
                    assert_eq!(catalog.get_or_insert_with(&name, || round), value);
                }
                _ => assert_eq!(catalog.insert(name.clone(), round), model.insert(name.clone(), round)),
            }
            assert_eq!(catalog.get(&name), model.get(&name));
            if round % 5000 == 0 {
                check(&catalog, &model);
            }
        }
        check(&catalog, &model);
        for name in model.keys() {
            catalog.remove(name);
        }
        check(&catalog, &BTreeMap::new());
        assert!(
            catalog.pages.iter().all(|page| page.slots.capacity() == 0),
            "an empty page holds on to nothing"
        );
    }

    #[test]
    fn ranges() {
        let names = ["a", "a!", "a-b", "a/b", "a/b/c", "a0", "ab"].map(path);
        let catalog: Catalog<()> = names.iter().map(|name| (name.clone(), ())).collect();
        let model: BTreeMap<Path, ()> = names.iter().map(|name| (name.clone(), ())).collect();
        assert!(
            catalog
                .range::<[u8], _>(path("a").descendants())
                .eq(model.range::<[u8], _>(path("a").descendants()))
        );
        for from in &names {
            for bound in [Bound::Included(from), Bound::Excluded(from)] {
                let above = (bound, Bound::Unbounded);
                assert!(catalog.range::<Path, _>(above).eq(model.range::<Path, _>(above)));
                let below = (Bound::Unbounded, bound);
                assert!(catalog.range::<Path, _>(below).eq(model.range::<Path, _>(below)));
            }
        }
    }

    #[test]
    fn an_entry_takes_its_own_size() {
        assert_eq!(size_of::<Option<(Path, [u64; 12])>>(), 16 + 96);
    }
}
