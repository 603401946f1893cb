//! What workers and the rest of the engine share without a message: counters for the progress line, and the wish to stop.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// Bytes of content since the start.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sent to the server.
    pub sent: AtomicU64,
    /// Received from the server.
    pub received: AtomicU64,
    /// Transfers are to break off.
    pub(super) stopping: AtomicBool,
}
