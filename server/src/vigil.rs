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
        if view.is_lasting() || self.looked.elapsed() < STREAM_LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        view.check_again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;

    #[test]
    fn who_is_not_let_in_any_more_is_noticed_in_time() {
        let workshop = Workshop::new();
        let view = |grant| View::new(&workshop.service, grant, 0);
        let long_ago = || Vigil { looked: Instant::now().checked_sub(STREAM_LOOK).unwrap() };
        let ended = view(Grant::of_a_token_that_ended(Realm::default()));
        assert_eq!(Vigil::begin().look(&ended), Ok(()), "it was just looked at");
        let mut vigil = long_ago();
        assert_eq!(vigil.look(&ended), Err(Denied::Wrong));
        assert_eq!(vigil.look(&ended), Ok(()), "it was just looked at");
        assert_eq!(long_ago().look(&view(Grant::of_a_test(Realm::default()))), Ok(()));
    }
}
