//! Paths and ignore rules.

use common::limits::{NAME_BYTES, PATH_BYTES};
use common::protocol::{path_from_wire, path_to_wire};
use common::tree::{Path, RESERVED_NAME, Rules};

use super::first_line;

pub(super) fn path(bytes: &[u8]) {
    let Ok(path) = Path::new(bytes) else { return };
    assert_eq!(path.as_bytes(), bytes);
    assert!((1..=PATH_BYTES).contains(&bytes.len()));
    let mut rebuilt: Option<Path> = None;
    for name in path.names() {
        assert!((1..=NAME_BYTES).contains(&name.len()) && !name.contains(&b'/') && !name.contains(&0));
        assert!(name != b"." && name != b".." && name != RESERVED_NAME, "{}", name.escape_ascii());
        let next = Path::child(rebuilt.as_ref(), name).expect("each name of a path is one");
        assert_eq!(next.parent(), rebuilt);
        rebuilt = Some(next);
    }
    assert_eq!(rebuilt.as_ref(), Some(&path));
    if let Some(parent) = path.parent() {
        assert!(path.is_below(&parent) && !parent.is_below(&path));
        assert_eq!(
            path.strip(&parent).and_then(|rest| parent.join(rest.as_bytes()).ok()),
            Some(path.clone())
        );
    }
    assert_eq!(path_from_wire(&path_to_wire(&path)), Ok(path));
}

/// The first line is a path, the rest are rules.
pub(super) fn ignore(bytes: &[u8]) {
    let (path, text) = first_line(bytes);
    let Ok(rules) = Rules::parse([("rules", text)]) else { return };
    let commented = [text, b"\n# nothing"].concat();
    if let Ok(commented) = Rules::parse([("rules", commented.as_slice())]) {
        assert_eq!(rules.digest(), commented.digest());
    }
    let Ok(path) = Path::new(path) else { return };
    let (file, directory) = (rules.ignore(&path, false), rules.ignore(&path, true));
    let mut above = path.parent();
    while let Some(parent) = above {
        // Nothing below an ignored directory is taken in.
        assert!(
            !rules.ignore(&parent, true) || file && directory,
            "{parent:?} is ignored, and {path:?} is not"
        );
        above = parent.parent();
    }
}
