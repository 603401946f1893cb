//! What had to make way and nobody is known to have is kept, but not for ever.
//!
//! The names begin with the time of keeping, so that their order is that of age. What is too old goes, and then the oldest while all
//! together takes too much; but never the newest, whatever its size. Names of another form are not ours to remove.

use std::io;

use super::root::Root;
use super::stat::StatKind;
use crate::limits::{VERSIONS_AGE, VERSIONS_BYTES};
use crate::tree::Path;
use crate::wire::http::date::civil_from_unix;

/// Length of what [`stamp`] makes.
const STAMP_BYTES: usize = "20261122T150405Z".len();

/// The beginning of the name of a version that is kept at this moment, in seconds since 1970.
pub(super) fn stamp(seconds: i64) -> String {
    let at = civil_from_unix(seconds);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", at.year, at.month, at.day, at.hour, at.minute, at.second)
}

/// Removes what is too old, or too much.
///
/// # Errors
/// What the file system says.
pub(super) fn prune(versions: &Root, now: i64) -> io::Result<()> {
    prune_to(versions, now, VERSIONS_BYTES)
}

fn prune_to(versions: &Root, now: i64, most: u64) -> io::Result<()> {
    let age = i64::try_from(VERSIONS_AGE.as_secs()).unwrap_or(i64::MAX);
    let oldest = stamp(now.saturating_sub(age));
    let mut kept = versions.list(None)?;
    kept.retain(|(name, stat)| stat.kind != StatKind::Directory && is_stamped(name));
    kept.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    let mut total = kept.first().map_or(0, |(_, newest)| newest.size);
    for (name, stat) in kept.iter().skip(1) {
        total = total.saturating_add(stat.size);
        if name.as_slice() < oldest.as_bytes() || most < total {
            versions.remove_file(&Path::new(name).map_err(io::Error::other)?)?;
        }
    }
    Ok(())
}

fn is_stamped(name: &[u8]) -> bool {
    let fits = |(place, byte): (usize, &u8)| match place {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    name.get(..STAMP_BYTES).is_some_and(|stamp| stamp.iter().enumerate().all(fits))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::scratch::Scratch;

    const NOW: i64 = 1_800_000_000;

    fn left(scratch: &Scratch) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A version that was kept so many seconds ago.
    fn keep(scratch: &Scratch, seconds: i64, length: u64) -> String {
        let name = format!("{}-0-name", stamp(NOW - seconds));
        // Sparse.
        fs::File::create(scratch.path().join(&name)).unwrap().set_len(length).unwrap();
        name
    }

    #[test]
    fn what_is_old_or_too_much_goes_and_never_the_newest() {
        let scratch = Scratch::new();
        let root = Root::open(scratch.path()).unwrap();
        let age = i64::try_from(VERSIONS_AGE.as_secs()).unwrap();
        let (ancient, old, recent) =
            (keep(&scratch, age + 1, 1), keep(&scratch, age, 4), keep(&scratch, 1, 4));
        fs::write(scratch.path().join("20200101-mine"), "not ours").unwrap();
        prune_to(&root, NOW, 8).unwrap();
        assert_eq!(left(&scratch), ["20200101-mine", &old, &recent], "{ancient} is gone");
        prune_to(&root, NOW, 7).unwrap();
        assert_eq!(left(&scratch), ["20200101-mine", &recent], "{old} is too much");
        prune_to(&root, NOW, 3).unwrap();
        prune_to(&root, NOW + 2 * age, 100).unwrap();
        assert_eq!(left(&scratch), ["20200101-mine", &recent]);
    }

    #[test]
    fn all_together_take_so_much() {
        let scratch = Scratch::new();
        let root = Root::open(scratch.path()).unwrap();
        let (large, _small) = (keep(&scratch, 2, VERSIONS_BYTES - 1), keep(&scratch, 1, 1));
        prune(&root, NOW).unwrap();
        assert_eq!(left(&scratch).len(), 2);
        let newest = keep(&scratch, 0, 1);
        prune(&root, NOW).unwrap();
        assert!(!left(&scratch).contains(&large) && left(&scratch).contains(&newest));
    }
}
