//! A rename is told in two halves: something left one name, something came to another. Here the first ones wait for the second. Pure.
//!
//! Most find each other in the same batch of events. Of what is moved out of the folder no second half ever comes.

use std::collections::VecDeque;

use crate::limits::MOVES_IN_FLIGHT;
use crate::tree::Path;

/// First halves, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Halves(VecDeque<(u32, Path)>);

impl Halves {
    /// Something left this name, by the rename with this cookie.
    pub(super) fn leave(&mut self, cookie: u32, path: Path) {
        self.0.push_back((cookie, path));
        if MOVES_IN_FLIGHT < self.0.len() {
            self.0.pop_front();
        }
    }

    /// Something arrived by a rename: the name that it left, if that is remembered.
    pub(super) fn arrive(&mut self, cookie: u32) -> Option<Path> {
        let at = self.0.iter().position(|(left, _)| *left == cookie)?;
        self.0.remove(at).map(|(_, path)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_find_each_other_and_lonely_ones_are_forgotten() {
        let name = |number: u32| Path::new(number.to_string().as_bytes()).unwrap();
        let most = MOVES_IN_FLIGHT as u32;
        let mut halves = Halves::default();
        (0..most).for_each(|number| halves.leave(number, name(number)));
        assert_eq!((halves.arrive(1), halves.arrive(1)), (Some(name(1)), None));
        halves.leave(most, name(most));
        assert_eq!(halves.arrive(0), Some(name(0)), "there was room for one more");
        halves.leave(most + 1, name(most + 1));
        halves.leave(most + 2, name(most + 2));
        assert_eq!((halves.arrive(2), halves.arrive(3)), (None, Some(name(3))));
    }
}
