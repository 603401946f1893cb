//! The operations, and how they are done.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::pairs::ALONE;

/// What a client does in the directory of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Makes `new.txt`, with the same content on both clients.
    CreateSame,
    /// Makes `new.txt`, with its own content.
    Create,
    /// Makes a directory `new.txt` and a file in it.
    CreateDirectory,
    /// Renames `other.txt` to `new.txt`.
    RenameOther,
    /// Renames `file.txt` to `new.txt`.
    Rename,
    /// Renames `file.txt` to the client's own name.
    RenameAway,
    /// Writes `file.txt`.
    Edit,
    /// Deletes `file.txt`.
    Delete,
    /// Gives `file.txt` other permissions.
    Chmod,
    /// Gives `file.txt` another time.
    Touch,
    /// Puts a directory with a file in it in the place of `file.txt`.
    ToDirectory,
    /// Puts a symlink in the place of `file.txt`.
    ToSymlink,
    /// Deletes `directory` and what is in it.
    DeleteDirectory,
    /// Makes `directory/added.txt`.
    AddInside,
    /// Writes `directory/old.txt`.
    EditInside,
    /// Renames `directory` to the client's own name.
    RenameDirectory,
    /// Puts a file in the place of `directory`.
    DirectoryToFile,
    /// Puts a symlink in the place of `directory`.
    DirectoryToSymlink,
    /// Lets `link` point elsewhere.
    Relink,
    /// Deletes `link`.
    DeleteLink,
    /// Puts a file in the place of `link`.
    LinkToFile,
    /// Puts a directory with a file in it in the place of `link`.
    LinkToDirectory,
    /// Deletes `empty`.
    DeleteEmpty,
    /// Makes `empty/added.txt`.
    AddToEmpty,
    /// Renames `empty` to the client's own name.
    RenameEmpty,
    /// Deletes `empty` and makes it again.
    RecreateEmpty,
    /// Puts a file in the place of `empty`.
    EmptyToFile,
}

use Operation::*;

/// The things that operations are about, and what is there of each in the beginning.
pub const SUBJECTS: [(&str, &str); 6] = [
    ("new.txt", ""),
    ("file.txt", "file.txt=base"),
    ("other.txt", "other.txt=other"),
    ("directory", "directory/, directory/old.txt=old"),
    ("link", "link->base"),
    ("empty", "empty/"),
];

impl Operation {
    /// What it is about.
    pub fn subjects(self) -> &'static [&'static str] {
        match self {
            CreateSame | Create | CreateDirectory => &["new.txt"],
            RenameOther => &["other.txt", "new.txt"],
            Rename => &["file.txt", "new.txt"],
            RenameAway | Edit | Delete | Chmod | Touch | ToDirectory | ToSymlink => &["file.txt"],
            DeleteDirectory | AddInside | EditInside | RenameDirectory | DirectoryToFile
            | DirectoryToSymlink => &["directory"],
            Relink | DeleteLink | LinkToFile | LinkToDirectory => &["link"],
            DeleteEmpty | AddToEmpty | RenameEmpty | RecreateEmpty | EmptyToFile => &["empty"],
        }
    }

    /// Whether another operation is about the same.
    pub fn meets(self, other: Operation) -> bool {
        self.subjects().iter().any(|subject| other.subjects().contains(subject))
    }

    /// What it leads to alone.
    pub fn alone(self, client: &str) -> String {
        let (_, result) = ALONE.iter().find(|row| row.0 == self).expect("every operation has a row");
        result.replace("ME", client)
    }

    /// What it brings into the world, which the other clients can't have seen, in the words of the table.
    pub fn writes(self, client: &str) -> Option<String> {
        match self {
            CreateSame => Some("=same".to_owned()),
            Create | CreateDirectory | Edit | ToDirectory | AddInside | EditInside | DirectoryToFile
            | LinkToFile | LinkToDirectory | AddToEmpty | EmptyToFile => Some(format!("={client}")),
            ToSymlink | DirectoryToSymlink | Relink => Some(format!("->{client}")),
            _ => None,
        }
    }

    /// The old name and the new one, if it renames something.
    pub fn renames(self, client: &str) -> Option<(&'static str, String)> {
        match self {
            RenameOther => Some(("other.txt", "new.txt".to_owned())),
            Rename => Some(("file.txt", "new.txt".to_owned())),
            RenameAway => Some(("file.txt", format!("{client}.txt"))),
            RenameDirectory => Some(("directory", client.to_owned())),
            RenameEmpty => Some(("empty", format!("{client}.empty"))),
            _ => None,
        }
    }

    /// Does it in a directory as `client` would; `content` makes the content of a file from a word.
    pub fn apply(self, directory: &Path, client: &str, content: &dyn Fn(&str) -> String) {
        let at = |name: &str| directory.join(name);
        let mine = content(client);
        let write = |name: &str| fs::write(at(name), &mine).unwrap();
        let write_inside = |name: &str| {
            fs::create_dir(at(name)).unwrap();
            write(&format!("{name}/inside"));
        };
        if let Some((old, new)) = self.renames(client) {
            return fs::rename(at(old), at(&new)).unwrap();
        }
        match self {
            CreateSame => fs::write(at("new.txt"), content("same")).unwrap(),
            Create => write("new.txt"),
            CreateDirectory => write_inside("new.txt"),
            Edit => write("file.txt"),
            Delete => fs::remove_file(at("file.txt")).unwrap(),
            Chmod => fs::set_permissions(at("file.txt"), Permissions::from_mode(mode_of(client))).unwrap(),
            Touch => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time_of(client));
                let file = File::options().write(true).open(at("file.txt")).unwrap();
                file.set_modified(time).unwrap();
            }
            ToDirectory => {
                fs::remove_file(at("file.txt")).unwrap();
                write_inside("file.txt");
            }
            ToSymlink => {
                fs::remove_file(at("file.txt")).unwrap();
                symlink(client, at("file.txt")).unwrap();
            }
            DeleteDirectory => fs::remove_dir_all(at("directory")).unwrap(),
            AddInside => write("directory/added.txt"),
            EditInside => write("directory/old.txt"),
            DirectoryToFile => {
                fs::remove_dir_all(at("directory")).unwrap();
                write("directory");
            }
            DirectoryToSymlink => {
                fs::remove_dir_all(at("directory")).unwrap();
                symlink(client, at("directory")).unwrap();
            }
            Relink => {
                fs::remove_file(at("link")).unwrap();
                symlink(client, at("link")).unwrap();
            }
            DeleteLink => fs::remove_file(at("link")).unwrap(),
            LinkToFile => {
                fs::remove_file(at("link")).unwrap();
                write("link");
            }
            LinkToDirectory => {
                fs::remove_file(at("link")).unwrap();
                write_inside("link");
            }
            DeleteEmpty => fs::remove_dir(at("empty")).unwrap(),
            AddToEmpty => write("empty/added.txt"),
            RecreateEmpty => {
                fs::remove_dir(at("empty")).unwrap();
                fs::create_dir(at("empty")).unwrap();
            }
            EmptyToFile => {
                fs::remove_dir(at("empty")).unwrap();
                write("empty");
            }
            RenameOther | Rename | RenameAway | RenameDirectory | RenameEmpty => unreachable!("it renames"),
        }
    }
}

/// The permissions that a client gives; no umask makes them.
pub fn mode_of(client: &str) -> u32 {
    match client {
        "alpha" => 0o700,
        "beta" => 0o711,
        _ => 0o750,
    }
}

/// The time that a client gives, in seconds since 1970: none is now.
pub fn time_of(client: &str) -> u64 {
    match client {
        "alpha" => 1_000_000_000,
        "beta" => 1_100_000_000,
        _ => 1_200_000_000,
    }
}
