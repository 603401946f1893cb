//! Looks now and then whether a client may still do what it was let in for, where that takes long. A token may end, or be revoked, at any
//! time; the key lasts as long as the server runs.

use std::time::Instant;

use common::limits::STREAM_LOOK;

use crate::auth::Denied;
use crate::view::View;

/// When was looked last.
#[derive(Debug)]
pub(crate) struct Vigil {
    looked: Instant,
}

impl Vigil {
    /// It was just looked at.
    pub(crate) fn begin() -> Vigil {
        Vigil { looked: Instant::now() }
    }

    /// Until when what was seen holds; `None`: for good.
    pub(crate) fn until(&self, view: &View<'_>) -> Option<Instant> {
        (!view.is_lasting()).then(|| self.looked + STREAM_LOOK)
    }

    /// Looks if it is time to.
    ///
    /// # Errors
    /// The client is to be sent away.
    pub(crate) fn look(&mut self, view: &View<'_>) -> Result<(), Denied> {
        if view.is_lasting() || self.looked.elapsed() < STREAM_LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        view.check_again()
    }
}
