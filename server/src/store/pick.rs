//! Picks a commit group out of what waits: changes that can't get in each other's way. Pure.
//!
//! Two changes do when their paths are equal, or one lies above the other: a file can't be put where its directory is just being
//! deleted. Of such changes the later one waits for the next group; and so does what gets in the way of one that waits, so that the
//! order in which they came is kept.

use std::collections::{HashSet, VecDeque};
use std::iter;

use common::tree::Path;

/// Takes the next group, and leaves the rest in order.
pub(crate) fn pick<T>(waiting: &mut VecDeque<T>, path: impl Fn(&T) -> &Path) -> Vec<T> {
    let mut taken = Taken::default();
    let mut group = Vec::new();
    for item in std::mem::take(waiting) {
        match taken.claim(path(&item)) {
            true => group.push(item),
            false => waiting.push_back(item),
        }
    }
    group
}

/// The paths of changes seen so far, whether they go into the group or wait.
#[derive(Default)]
struct Taken {
    paths: HashSet<Path>,
    /// All that lies above any of them.
    above: HashSet<Path>,
}

impl Taken {
    /// Whether nothing seen so far is in the way of this path.
    fn claim(&mut self, path: &Path) -> bool {
        let above: Vec<Path> = iter::successors(path.parent(), Path::parent).collect();
        let is_free = !self.paths.contains(path)
            && !self.above.contains(path)
            && !above.iter().any(|path| self.paths.contains(path));
        self.paths.insert(path.clone());
        self.above.extend(above);
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        let mut waiting: VecDeque<Path> =
            names.iter().map(|name| Path::new(name.as_bytes()).unwrap()).collect();
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let group = pick(&mut waiting, |path| path);
            groups.push(group.iter().map(Path::to_string).collect::<Vec<_>>().join(" "));
        }
        groups
    }

    #[test]
    fn what_is_in_the_way_waits_and_keeps_its_order() {
        assert_eq!(groups(&[]).len(), 0);
        assert_eq!(groups(&["a", "b", "a/b", "c"]), ["a b c", "a/b"]);
        assert_eq!(groups(&["a/b/c", "a", "a/x", "d"]), ["a/b/c d", "a", "a/x"]);
        assert_eq!(groups(&["a", "a", "a"]), ["a", "a", "a"]);
        assert_eq!(groups(&["a", "a-b", "ab", "a0"]), ["a a-b ab a0"]);
        assert_eq!(groups(&["d/1", "d/2", "d", "e/1", "e"]), ["d/1 d/2 e/1", "d e"]);
    }
}
