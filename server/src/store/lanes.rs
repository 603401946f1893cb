//! What waits to be committed, in lanes: one for each account, and one for what was found in the box by hand. Picks a commit group out of
//! it, in which the lanes take turns, and no change gets in another's way. Pure.
//!
//! ```text
//!     lane a    a1 a2 a3 a4 a5 ...        looked at in turns: a1 b1 c1 a2 c2 a3 a4 ...
//!     lane b    b1                        into the group, unless something that was looked at before is in the way:
//!     lane c    c1 c2                     that one keeps its place in its lane
//! ```
//!
//! So whoever brings one change is in the next group, however many others bring.
//!
//! Two changes get in each other's way when any of their paths are equal, or one lies above another: a file can't be put where its
//! directory is just being deleted or moved away. Of such changes the later one waits for the next group; and so does what gets in the way
//! of one that waits, so that the order in which the changes of a lane came is kept.

use std::collections::{HashSet, VecDeque};
use std::iter;

use common::limits::COMMIT_QUEUE;
use common::tree::Path;

/// The lanes, those whose turn comes first in front. None is empty.
#[derive(Debug)]
pub(crate) struct Lanes<L, T>(VecDeque<Lane<L, T>>);

#[derive(Debug)]
struct Lane<L, T> {
    of: L,
    waiting: VecDeque<T>,
}

impl<L, T> Default for Lanes<L, T> {
    fn default() -> Lanes<L, T> {
        Lanes(VecDeque::new())
    }
}

impl<L: PartialEq, T> Lanes<L, T> {
    /// Whether a lane has room for one more.
    pub(crate) fn has_room(&self, of: &L) -> bool {
        self.lane(of).is_none_or(|lane| lane.waiting.len() < COMMIT_QUEUE)
    }

    /// Whether nothing waits in a lane.
    pub(crate) fn is_clear(&self, of: &L) -> bool {
        self.lane(of).is_none()
    }

    fn lane(&self, of: &L) -> Option<&Lane<L, T>> {
        self.0.iter().find(|lane| lane.of == *of)
    }

    /// Puts something at the end of a lane.
    pub(crate) fn push(&mut self, of: L, item: T) {
        match self.0.iter_mut().find(|lane| lane.of == of) {
            Some(lane) => lane.waiting.push_back(item),
            None => self.0.push_back(Lane { of, waiting: VecDeque::from([item]) }),
        }
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all that waits.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.0.drain(..).flat_map(|lane| lane.waiting).collect()
    }

    /// Takes the next group, having looked at `most` changes at most. The next time, lanes of which nothing was taken come first, and then the
    /// one whose turn it would have been.
    pub(crate) fn pick<P>(&mut self, most: usize, paths: impl Fn(&T) -> P) -> Vec<T>
    where
        P: IntoIterator<Item = Path>,
    {
        let mut taken = Taken::default();
        let mut group = Vec::new();
        let mut turns: VecDeque<Turn<L, T>> = self.0.drain(..).map(Turn::new).collect();
        let mut through = Vec::new();
        for _ in 0..most {
            let Some(mut turn) = turns.pop_front() else { break };
            if let Some(item) = turn.lane.waiting.pop_front() {
                match taken.claim(paths(&item)) {
                    true => {
                        turn.was_served = true;
                        group.push(item);
                    }
                    false => turn.passed_over.push_back(item),
                }
            }
            match turn.lane.waiting.is_empty() {
                true => through.push(turn),
                false => turns.push_back(turn),
            }
        }
        let mut left: Vec<Turn<L, T>> = turns.into_iter().chain(through).collect();
        left.sort_by_key(|turn| turn.was_served);
        self.0.extend(left.into_iter().map(Turn::end).filter(|lane| !lane.waiting.is_empty()));
        group
    }
}

/// A lane while a group is picked.
struct Turn<L, T> {
    lane: Lane<L, T>,
    /// What was looked at, and has to wait.
    passed_over: VecDeque<T>,
    was_served: bool,
}

impl<L, T> Turn<L, T> {
    fn new(lane: Lane<L, T>) -> Turn<L, T> {
        Turn { lane, passed_over: VecDeque::new(), was_served: false }
    }

    fn end(self) -> Lane<L, T> {
        let Turn { lane: Lane { of, mut waiting }, passed_over: mut all, .. } = self;
        all.append(&mut waiting);
        Lane { of, waiting: all }
    }
}

/// The paths of changes seen so far, whether they go into the group or wait.
#[derive(Default)]
struct Taken {
    paths: HashSet<Path>,
    /// All that lies above any of them.
    above: HashSet<Path>,
}

impl Taken {
    /// Whether nothing seen so far is in the way of these paths.
    fn claim(&mut self, paths: impl IntoIterator<Item = Path>) -> bool {
        let paths: Vec<Path> = paths.into_iter().collect();
        let above = |path: &Path| iter::successors(path.parent(), Path::parent);
        let is_free = |path: &Path| {
            !self.paths.contains(path)
                && !self.above.contains(path)
                && !above(path).any(|path| self.paths.contains(&path))
        };
        let are_free = paths.iter().all(is_free);
        self.above.extend(paths.iter().flat_map(above));
        self.paths.extend(paths);
        are_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change is its paths, with an arrow between two, behind the name of its lane: `a:x>y`.
    fn lanes(changes: &[&'static str]) -> Lanes<&'static str, &'static str> {
        let mut lanes = Lanes::default();
        for change in changes {
            let (lane, paths) = change.split_once(':').unwrap_or(("", change));
            lanes.push(lane, paths);
        }
        lanes
    }

    fn paths(change: &&str) -> Vec<Path> {
        change.split('>').map(|name| Path::new(name.as_bytes()).unwrap()).collect()
    }

    fn groups(changes: &[&'static str], most: usize) -> Vec<String> {
        let mut lanes = lanes(changes);
        let mut groups = Vec::new();
        while !lanes.is_empty() {
            groups.push(lanes.pick(most, paths).join(" "));
        }
        groups
    }

    #[test]
    fn what_is_in_the_way_waits_and_keeps_its_order() {
        let groups = |changes: &[&'static str]| groups(changes, 100);
        assert_eq!(groups(&[]).len(), 0);
        assert_eq!(groups(&["a", "b", "a/b", "c"]), ["a b c", "a/b"]);
        assert_eq!(groups(&["a/b/c", "a", "a/x", "d"]), ["a/b/c d", "a", "a/x"]);
        assert_eq!(groups(&["a", "a", "a"]), ["a", "a", "a"]);
        assert_eq!(groups(&["a", "a-b", "ab", "a0"]), ["a a-b ab a0"]);
        assert_eq!(groups(&["a>b", "c", "b/x", "a", "b"]), ["a>b c", "b/x a", "b"]);
        assert_eq!(groups(&["x/1", "x>y", "y/2", "z"]), ["x/1 z", "x>y", "y/2"]);
        assert_eq!(groups(&["a>b", "b>c", "c>a"]), ["a>b", "b>c", "c>a"]);
        assert_eq!(groups(&["d/1", "d/2", "d", "e/1", "e"]), ["d/1 d/2 e/1", "d e"]);
    }

    #[test]
    fn lanes_take_turns() {
        let flood = ["f:1", "f:2", "f:3", "f:4", "f:5", "f:6", "q:a", "r:b", "r:c"];
        assert_eq!(groups(&flood, 100), ["1 a b 2 c 3 4 5 6"]);
        // A small group is shared, and whoever had no turn in it is the first in the next one.
        assert_eq!(groups(&flood, 2), ["1 a", "b 2", "c 3", "4 5", "6"]);
        assert_eq!(groups(&flood, 4), ["1 a b 2", "c 3 4 5", "6"]);
        assert_eq!(groups(&["a:1", "b:2", "c:3", "a:4", "b:5", "c:6"], 2), ["1 2", "3 4", "5 6"]);
    }

    /// Not even by changes that all get in each other's way, so that each group takes one.
    #[test]
    fn nobody_is_kept_waiting_by_a_lane_that_is_full() {
        let mut flood = lanes(&["f:x"; 1000]);
        flood.push("q", "quiet");
        assert_eq!(flood.pick(100, paths), ["x", "quiet"]);
        flood.push("q", "x");
        assert_eq!(flood.pick(100, paths), ["x"], "the same path: it is the quiet one's turn now");
        assert_eq!(flood.pick(100, paths), ["x"]);
        assert!(flood.is_clear(&"q"), "it had to wait for one group");
        assert_eq!(flood.take_all().len(), 998);
    }

    #[test]
    fn a_lane_has_room_for_so_many() {
        let mut lanes = lanes(&["f:x"; COMMIT_QUEUE - 1]);
        assert!(lanes.has_room(&"f"));
        lanes.push("f", "x");
        assert!(!lanes.has_room(&"f") && lanes.has_room(&"q"));
        lanes.pick(1, paths);
        assert!(lanes.has_room(&"f"));
    }
}
