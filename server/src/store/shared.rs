//! What the store's threads have in common.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use common::cli::log::Log;
use common::disk::{Fidelity, Looker, Partials, Root, Stage};
use common::tree::Path;

use super::claim::Promised;
use super::index::Index;
use super::look::{self, Reading};
use super::making::Making;
use crate::hub::Hub;

/// Shared by the committer, the watcher and whoever reads.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Written by the committer alone.
    pub(crate) index: RwLock<Index>,
    pub(crate) root: Arc<Root>,
    /// `.filesync`.
    pub(crate) private: Root,
    pub(crate) stage: Arc<Stage>,
    /// What the box's file system keeps of metadata.
    pub(crate) fidelity: Fidelity,
    /// What came of uploads that were cut.
    pub(crate) partials: Arc<Partials>,
    /// The room that is kept for uploads on their way.
    pub(crate) promised: Promised,
    pub(crate) hub: Arc<Hub>,
    pub(crate) log: Log,
    /// Set when observing has begun; before that everything is going to be looked at anyway.
    pub(crate) looker: OnceLock<Looker>,
    /// What the committer is at.
    pub(crate) making: Making,
    /// Files read as a whole because they looked changed.
    pub(crate) reads: AtomicU64,
}

impl Shared {
    /// Asks for a look at a path, after `delay`.
    pub(crate) fn look(&self, path: Path, delay: Duration) {
        if let Some(looker) = self.looker.get() {
            looker.look(path, delay);
        }
    }

    /// Asks for a full scan.
    pub(crate) fn scan(&self) {
        if let Some(looker) = self.looker.get() {
            looker.scan();
        }
    }

    /// Whether the box is in its place, with its private directory in it: the very one that holds the journal being written.
    pub(crate) fn stands(&self) -> bool {
        self.root.is_in_place().unwrap_or(false) && self.private.is_in_place().unwrap_or(false)
    }

    /// Reads what is at a path.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Reading> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        look::read(&self.root, path)
    }
}
