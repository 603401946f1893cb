//! The paths of the commit group that is being made.
//!
//! From the moment when the committer looks at the disk until the index says what it found or did, the index is behind: what the watcher
//! saw meanwhile must not be judged by it. The set is filled before that look and emptied after the index is written. So whoever saw
//! something, then finds its path not in here, and then reads the index, knows that the two belong together; a change that still waits in
//! the queue will look at the disk later than he did.

use std::sync::Mutex;

use common::threads::lock;
use common::tree::Path;

use super::change::Change;

/// The paths, no more than a commit group has.
#[derive(Debug, Default)]
pub(crate) struct Making {
    paths: Mutex<Vec<Made>>,
}

#[derive(Debug)]
struct Made {
    path: Path,
    /// All that is below it is, too: it is one end of a move.
    with_all_below: bool,
}

impl Making {
    /// The committer begins with these.
    pub(crate) fn begin(&self, group: &[Change]) {
        let made = group.iter().flat_map(|change| {
            let with_all_below = change.action.destination().is_some();
            change.paths().map(move |path| Made { path: path.clone(), with_all_below })
        });
        lock(&self.paths).extend(made);
    }

    /// The index has all of them.
    pub(crate) fn end(&self) {
        lock(&self.paths).clear();
    }

    /// Whether a path, or something below it, is being made.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        lock(&self.paths)
            .iter()
            .any(|made| made.path == *path || made.is_below(Some(path)) || made.covers(path))
    }

    /// Whether something in a directory, or anywhere below it, is being made. `None`: the box.
    pub(crate) fn concerns_what_is_in(&self, directory: Option<&Path>) -> bool {
        let covers = |made: &Made| directory.is_some_and(|directory| made.covers(directory));
        lock(&self.paths).iter().any(|made| made.is_below(directory) || covers(made))
    }
}

impl Made {
    fn is_below(&self, directory: Option<&Path>) -> bool {
        directory.is_none_or(|directory| self.path.is_below(directory))
    }

    fn covers(&self, path: &Path) -> bool {
        self.with_all_below && (self.path == *path || path.is_below(&self.path))
    }
}
