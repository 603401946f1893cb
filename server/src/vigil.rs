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

    /// Looks if it is time to.
    ///
    /// # Errors
    /// The client is to be sent away.
    pub(crate) fn look(&mut self, view: &View<'_>) -> Result<(), Denied> {
        self.look_at(Instant::now(), view)
    }

    fn look_at(&mut self, now: Instant, view: &View<'_>) -> Result<(), Denied> {
        if view.is_lasting() || now.saturating_duration_since(self.looked) < STREAM_LOOK {
            return Ok(());
        }
        self.looked = now;
        view.check_again()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;

    #[test]
    fn who_is_not_let_in_any_more_is_noticed_in_time() {
        let workshop = Workshop::new();
        let view = |grant| View::new(&workshop.service, grant, 0);
        let ended = view(Grant::of_a_token_that_ended(Realm::default()));
        let mut vigil = Vigil::begin();
        let due = vigil.looked + STREAM_LOOK;
        let just_before = |due: Instant| due.checked_sub(Duration::from_nanos(1)).unwrap();
        assert_eq!(vigil.look_at(just_before(due), &ended), Ok(()), "it was just looked at");
        assert_eq!(vigil.look_at(due, &ended), Err(Denied::Wrong));
        assert_eq!(vigil.look_at(just_before(due + STREAM_LOOK), &ended), Ok(()), "it was just looked at");
        assert_eq!(vigil.look_at(due + STREAM_LOOK, &ended), Err(Denied::Wrong));
        let lasting = view(Grant::of_a_test(Realm::default()));
        assert_eq!(vigil.look_at(due + STREAM_LOOK * 9, &lasting), Ok(()));
    }
}
