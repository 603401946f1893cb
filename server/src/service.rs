//! What every connection shares: the store, the hub, the key, the log, and what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use common::cli::log::Log;

use crate::auth::Auth;
use crate::headroom::Headroom;
use crate::hub::Hub;
use crate::intake::Lists;
use crate::registry::Registry;
use crate::store::Store;

/// The server, as seen from a connection.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) auth: Auth,
    pub(crate) log: Log,
    pub(crate) registry: Arc<Registry>,
    pub(crate) lists: Lists,
    pub(crate) headroom: Headroom,
    /// Whether a request that shows no key has to call the server by a local name.
    pub(crate) checks_names: bool,
    pub(crate) started: Instant,
    pub(crate) requests: Counter,
    /// Requests without a valid key or token.
    pub(crate) denials: Counter,
    pub(crate) panics: Counter,
}

/// Counts up, for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
