//! Picks a commit group out of what waits: changes that can't get in each other's way. Pure.
//!
//! Two changes do when any of their paths are equal, or one lies above another: a file can't be put where its directory is just being
//! deleted or moved away. Of such changes the later one waits for the next group; and so does what gets in the way of one that waits, so that the
//! order in which they came is kept.

use std::collections::{HashSet, VecDeque};
use std::iter;

use common::tree::Path;

/// Takes the next group, and leaves the rest in order.
pub(crate) fn pick<T, P>(waiting: &mut VecDeque<T>, paths: impl Fn(&T) -> P) -> Vec<T>
where
    P: IntoIterator<Item = Path>,
{
    let mut taken = Taken::default();
    let mut group = Vec::new();
    for item in std::mem::take(waiting) {
        match taken.claim(paths(&item)) {
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

    /// Of changes with one path, or two with an arrow between them.
    fn groups(names: &[&str]) -> Vec<String> {
        let mut waiting: VecDeque<String> = names.iter().copied().map(str::to_owned).collect();
        let paths = |change: &String| -> Vec<Path> {
            change.split('>').map(|name| Path::new(name.as_bytes()).unwrap()).collect()
        };
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            groups.push(pick(&mut waiting, paths).join(" "));
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
        assert_eq!(groups(&["a>b", "c", "b/x", "a", "b"]), ["a>b c", "b/x a", "b"]);
        assert_eq!(groups(&["x/1", "x>y", "y/2", "z"]), ["x/1 z", "x>y", "y/2"]);
        assert_eq!(groups(&["a>b", "b>c", "c>a"]), ["a>b", "b>c", "c>a"]);
        assert_eq!(groups(&["d/1", "d/2", "d", "e/1", "e"]), ["d/1 d/2 e/1", "d e"]);
    }
}
