//! The part of the box that a client may see. Pure: paths in, paths out.
//!
//! ```text
//!     the client's path      a.txt          ../b.txt       (no path)
//!     the path in the box    photos/a.txt   refused when it was read, as from everybody
//!     in the box             photos         photos/a.txt   videos/a.txt
//!     for the client         (itself)       a.txt          (not there)
//! ```
//!
//! A client that is confined to a folder names what is in it as if there were nothing else. Inwards a path gets the folder put in front;
//! since a [`Path`] can't lead up, no result can lead out. Outwards the folder is taken off, and what is not below it does not exist.
//!
//! All who see the same part are one *account*.
//!
//! Each folder has a history of its own name: the epoch of the box, and a number made of the folder's path, bit by bit exclusive. So a
//! client that is given a token for another folder notices that what it remembers is of another world, and compares everything.

use common::protocol::{Cursor, Epoch};
use common::tree::{Path, PathError};
use common::wire::sha256::sha256;

/// The whole box, or one folder of it with all that is below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Realm {
    root: Option<Path>,
    /// What tells its epochs from those of the box.
    mask: u64,
}

/// All who see this folder, or the whole box: what they hold is counted together, and when many wait they share one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Account(pub(crate) Option<Path>);

impl Account {
    /// The folder; `None` for the whole box.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.0.as_ref()
    }
}

impl Realm {
    /// What is below this folder.
    pub(crate) fn below(root: Path) -> Realm {
        let mask =
            sha256(root.as_bytes()).0.into_iter().take(8).fold(0, |mask, byte| mask << 8 | u64::from(byte));
        Realm { root: Some(root), mask }
    }

    /// The folder; `None` for the whole box.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_ref()
    }

    /// Who all sees the same.
    pub(crate) fn account(&self) -> Account {
        Account(self.root.clone())
    }

    /// The client's cursor as one of the box, and the other way round.
    pub(crate) fn cursor(&self, Cursor { epoch, seq }: Cursor) -> Cursor {
        Cursor { epoch: Epoch(epoch.0 ^ self.mask), seq }
    }

    /// The path in the box of what the client calls so.
    ///
    /// # Errors
    /// It would be too long.
    pub(crate) fn inwards(&self, path: &Path) -> Result<Path, PathError> {
        match &self.root {
            None => Ok(path.clone()),
            Some(_) => Path::new(&self.bytes_inwards(path)),
        }
    }

    /// The same as bytes, which may be too many for a path: for its place in the order of paths.
    pub(crate) fn bytes_inwards(&self, path: &Path) -> Vec<u8> {
        match &self.root {
            None => path.as_bytes().to_vec(),
            Some(root) => [root.as_bytes(), b"/", path.as_bytes()].concat(),
        }
    }

    /// Whether the folder is at this path of the box, or below it.
    pub(crate) fn rests_on(&self, path: &Path) -> bool {
        self.root().is_some_and(|root| root == path || root.is_below(path))
    }

    /// What the client calls this path of the box, if it may see it.
    pub(crate) fn outwards(&self, path: &Path) -> Option<Path> {
        match &self.root {
            None => Some(path.clone()),
            Some(root) => path.strip(root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn there_and_back() {
        let (whole, photos) = (Realm::default(), Realm::below(path("photos/2026")));
        for name in ["a", "a/b", "photos/2026", "photos/2026/a", "..."] {
            assert_eq!(whole.inwards(&path(name)), Ok(path(name)));
            assert_eq!(whole.outwards(&path(name)), Some(path(name)));
            let inside = photos.inwards(&path(name)).unwrap();
            assert_eq!(inside, path(&format!("photos/2026/{name}")));
            assert_eq!(photos.outwards(&inside), Some(path(name)));
        }
    }

    #[test]
    fn what_is_not_below_is_not_there() {
        let photos = Realm::below(path("photos"));
        for name in ["photos", "photo", "photos2/a", "photos!/a", "a", "a/photos/b", "Photos/a"] {
            assert_eq!(photos.outwards(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn each_folder_has_a_history_of_its_own() {
        let cursor = Cursor { epoch: Epoch(7), seq: 5 };
        let (a, b) = (Realm::below(path("a")), Realm::below(path("b")));
        assert_eq!(Realm::default().cursor(cursor), cursor);
        for realm in [&a, &b] {
            assert_eq!(realm.cursor(realm.cursor(cursor)), cursor);
            assert_ne!(realm.cursor(cursor).epoch, cursor.epoch);
        }
        assert_ne!(a.cursor(cursor), b.cursor(cursor));
        assert_eq!(a.cursor(cursor), Realm::below(path("a")).cursor(cursor));
    }

    #[test]
    fn paths_have_one_longest_length_in_the_box() {
        let deep = path(&format!("{}x", "y/".repeat(2040)));
        assert_eq!(Realm::below(path("0123456789abcdef")).inwards(&deep), Err(PathError::TooLong));
        assert!(Realm::below(path("0123456789abc")).inwards(&deep).is_ok());
    }
}
