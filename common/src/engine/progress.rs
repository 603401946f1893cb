//! What workers and the rest of the engine share without a message: counters for the progress line, and the wish to stop.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

impl Progress {
    /// To be asked now and then by a transfer.
    pub(super) fn check_stopping(&self) -> io::Result<()> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "the client is stopping"));
        }
        Ok(())
    }
}
