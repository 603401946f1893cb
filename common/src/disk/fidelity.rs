//! What a file system keeps of the metadata that it is given.
//!
//! Most keep it exactly; then what a file has now tells whether somebody else changed it. Others know no permission bits, or times to two
//! seconds. To take their rounding for a change made by a user, and send it, would set everybody else's metadata to what they can hold.

use std::sync::Arc;

use super::stage::Stage;
use super::stat::Stat;
use crate::tree::{Kind, Meta, Mtime};

/// Permission bits that a file system may clear for reasons of its own: set-user-ID and the like.
const ALL_BUT_SPECIAL: u16 = 0o777;
/// What is tried: bits that no mount option makes, and a time that no clock with coarse ticks shows.
const TRIED: Meta = Meta { mtime: Mtime(1_000_000_001_123_456_789), mode: 0o615 };

/// What the file system of a folder keeps exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fidelity {
    modes: bool,
    times: bool,
}

impl Fidelity {
    /// Tries it. Where that fails nothing is taken to be exact.
    pub fn of(stage: &Arc<Stage>) -> Fidelity {
        let tried = stage.file().and_then(|(mut staged, _)| {
            staged.set_meta(Kind::File, TRIED)?;
            staged.stat()
        });
        let keeps = |is_kept: fn(&Stat) -> bool| tried.as_ref().is_ok_and(is_kept);
        Fidelity {
            modes: keeps(|stat| stat.mode == TRIED.mode),
            times: keeps(|stat| stat.mtime == TRIED.mtime),
        }
    }

    /// Whether something that was given this mode may look like this.
    pub fn may_have_mode(self, stat: &Stat, mode: u16) -> bool {
        !self.modes || (stat.mode ^ mode) & ALL_BUT_SPECIAL == 0
    }

    /// Whether a file that was given this time shows that it was written to since. A write gives it the time of the change; a time that the
    /// file system can't hold, such as one before 1970, only becomes another one.
    pub fn shows_write(self, stat: &Stat, mtime: Mtime) -> bool {
        self.times && stat.mtime != mtime && stat.mtime == stat.print.ctime
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Fingerprint;
    use crate::disk::stat::StatKind;

    fn stat(mode: u16, mtime: i64, ctime: i64) -> Stat {
        let (mtime, ctime) = (Mtime(mtime), Mtime(ctime));
        let print = Fingerprint { ino: 1, size: 1, mtime, ctime };
        Stat { kind: StatKind::File, size: 1, mtime, mode, born: None, print }
    }

    #[test]
    fn what_can_not_be_held_is_no_change() {
        let (exact, coarse) =
            (Fidelity { modes: true, times: true }, Fidelity { modes: false, times: false });
        for (found, mode, mtime, is_mode, is_written) in [
            (stat(0o644, 5, 9), 0o644, 5, true, false),
            (stat(0o600, 5, 9), 0o644, 5, false, false),
            (stat(0o755, 5, 9), 0o4755, 5, true, false),
            (stat(0o644, 9, 9), 0o644, 5, true, true),
            (stat(0o644, 0, 9), 0o644, -5, true, false),
            (stat(0o644, 9, 9), 0o644, 9, true, false),
        ] {
            assert_eq!(exact.may_have_mode(&found, mode), is_mode, "{found:?}");
            assert_eq!(exact.shows_write(&found, Mtime(mtime)), is_written, "{found:?}");
            assert!(coarse.may_have_mode(&found, mode) && !coarse.shows_write(&found, Mtime(mtime)));
        }
    }
}
