//! What users do while a program is watched, and what everybody must hold afterwards, whatever went wrong on the way.
//!
//! Every scenario acts in a directory of its own, which exists everywhere when it begins. What must come of it is written as paths and
//! descriptions; the name of a conflict copy is shortened to `NAME!conflict`. Contents bear the name of their directory, which descriptions
//! leave out: what is the same as something elsewhere would not be sent.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::harness::{Node, Process, Tree, snapshot};

/// The directory of a scenario: in both folders and in the box.
pub struct Places<'a> {
    pub a: &'a Path,
    pub b: &'a Path,
    pub box_: &'a Path,
    /// The clients that run.
    pub clients: &'a [&'a Process],
}

impl Places<'_> {
    /// Does something in both folders before either client can see any of it.
    fn in_one_moment(&self, work: impl FnOnce()) {
        self.clients.iter().for_each(|client| client.signal("STOP"));
        work();
        self.clients.iter().for_each(|client| client.signal("CONT"));
    }
}

/// What users do.
pub struct Change {
    pub name: &'static str,
    /// What is everywhere before, made in a's folder.
    pub prepare: fn(&Path),
    pub act: fn(&Places),
    /// What is everywhere afterwards: one of these.
    pub after: &'static [&'static [(&'static str, &'static str)]],
}

/// Bytes of a large file: several of the buffers through which content goes.
const LARGE: usize = 1_500_000;

fn nothing(_: &Path) {}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("it is in a directory")).expect("create directories");
    let content = [content.as_ref(), &tag(directory)].concat();
    fs::write(path, content).expect("write a file");
}

fn link(directory: &Path, name: &str, target: &str) {
    let target = [target.as_bytes(), &tag(directory)].concat();
    symlink(OsStr::from_bytes(&target), directory.join(name)).expect("make a link");
}

/// What all contents in a scenario's directory end with.
fn tag(directory: &Path) -> Vec<u8> {
    let name = directory.file_name().expect("a scenario has a directory");
    [b" of ", name.as_bytes()].concat()
}

fn rename(directory: &Path, from: &str, to: &str) {
    fs::rename(directory.join(from), directory.join(to)).expect("rename");
}

fn one_file(directory: &Path) {
    write(directory, "f", "old");
}

fn two_files(directory: &Path) {
    write(directory, "f", "first");
    write(directory, "g", "second");
}

fn a_tree(directory: &Path) {
    for name in ["d/1", "d/2", "d/e/3"] {
        write(directory, name, name);
    }
}

/// What comes of a change if a program knows nothing of its former life: it deletes nothing. It may have a new one, though, before the
/// change gets to it.
pub const UNIONS: &[Change] = &[Change {
    name: "delete",
    prepare: two_files,
    act: |places| fs::remove_file(places.a.join("f")).expect("remove a file"),
    after: &[&[("f", "first"), ("g", "second")], &[("g", "second")]],
}];

pub const CHANGES: &[Change] = &[
    Change {
        name: "new-file",
        prepare: nothing,
        act: |places| write(places.a, "f", "new"),
        after: &[&[("f", "new")]],
    },
    Change {
        name: "large-file",
        prepare: nothing,
        act: |places| write(places.a, "f", vec![b'x'; LARGE]),
        after: &[&[("f", "1500000 x")]],
    },
    Change {
        name: "empty-file",
        prepare: nothing,
        act: |places| drop(File::create(places.a.join("f")).expect("create a file")),
        after: &[&[("f", "")]],
    },
    Change {
        name: "group",
        prepare: nothing,
        act: |places| {
            for number in 1..=7 {
                write(places.a, &number.to_string(), format!("file {number}"));
            }
        },
        after: &[&[
            ("1", "file 1"),
            ("2", "file 2"),
            ("3", "file 3"),
            ("4", "file 4"),
            ("5", "file 5"),
            ("6", "file 6"),
            ("7", "file 7"),
        ]],
    },
    Change {
        name: "overwrite",
        prepare: one_file,
        act: |places| write(places.a, "f", "newer"),
        after: &[&[("f", "newer")]],
    },
    Change {
        name: "overwrite-by-rename",
        prepare: one_file,
        act: |places| {
            write(places.a, "f~", "newer");
            rename(places.a, "f~", "f");
        },
        after: &[&[("f", "newer")]],
    },
    Change {
        name: "delete",
        prepare: two_files,
        act: |places| fs::remove_file(places.a.join("f")).expect("remove a file"),
        after: &[&[("g", "second")]],
    },
    Change {
        name: "conflict",
        prepare: one_file,
        act: |places| {
            write(places.a, "f", "of a");
            write(places.b, "f", "of b!");
        },
        after: &[&[("f", "of a"), ("f!conflict", "of b!")], &[("f", "of b!"), ("f!conflict", "of a")]],
    },
    Change {
        name: "edit-and-delete",
        prepare: one_file,
        act: |places| {
            write(places.a, "f", "edited");
            fs::remove_file(places.b.join("f")).expect("remove a file");
        },
        after: &[&[("f", "edited")]],
    },
    Change {
        name: "directory-and-file",
        prepare: nothing,
        act: |places| {
            // Neither client may hear of the other's before it has seen its own.
            places.in_one_moment(|| {
                write(places.a, "x/inside", "of a");
                write(places.b, "x", "of b");
            });
        },
        // If b never hears that the server has taken its file, and a has set that aside meanwhile, b does so, too.
        after: &[
            &[("x", "dir"), ("x/inside", "of a"), ("x!conflict", "of b")],
            &[("x", "dir"), ("x/inside", "of a"), ("x!conflict", "of b"), ("x!conflict", "of b")],
        ],
    },
    Change {
        name: "rename",
        prepare: one_file,
        act: |places| rename(places.a, "f", "g"),
        after: &[&[("g", "old")]],
    },
    Change {
        name: "rename-directory",
        prepare: a_tree,
        act: |places| rename(places.a, "d", "n"),
        after: &[&[("n", "dir"), ("n/1", "d/1"), ("n/2", "d/2"), ("n/e", "dir"), ("n/e/3", "d/e/3")]],
    },
    Change {
        name: "swap",
        prepare: two_files,
        act: |places| {
            rename(places.a, "f", "t");
            rename(places.a, "g", "f");
            rename(places.a, "t", "g");
        },
        after: &[&[("f", "second"), ("g", "first")]],
    },
    Change {
        name: "copy",
        prepare: one_file,
        act: |places| write(places.a, "g", "old"),
        after: &[&[("f", "old"), ("g", "old")]],
    },
    Change {
        name: "metadata",
        prepare: one_file,
        act: |places| {
            let file = File::options().write(true).open(places.a.join("f")).expect("open a file");
            let past = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
            file.set_times(FileTimes::new().set_modified(past)).expect("set the time");
            file.set_permissions(Permissions::from_mode(0o640)).expect("set the mode");
        },
        after: &[&[("f", "old, mode 640")]],
    },
    Change {
        name: "mode-of-a-directory",
        prepare: a_tree,
        act: |places| {
            let mode = Permissions::from_mode(0o700);
            fs::set_permissions(places.a.join("d/e"), mode).expect("set the mode");
        },
        after: &[&[
            ("d", "dir"),
            ("d/1", "d/1"),
            ("d/2", "d/2"),
            ("d/e", "dir, mode 700"),
            ("d/e/3", "d/e/3"),
        ]],
    },
    Change {
        name: "new-tree",
        prepare: nothing,
        act: |places| a_tree(places.a),
        after: &[&[("d", "dir"), ("d/1", "d/1"), ("d/2", "d/2"), ("d/e", "dir"), ("d/e/3", "d/e/3")]],
    },
    Change {
        name: "delete-tree",
        prepare: a_tree,
        act: |places| fs::remove_dir_all(places.a.join("d")).expect("remove a tree"),
        after: &[&[]],
    },
    Change {
        name: "new-link",
        prepare: nothing,
        act: |places| link(places.a, "l", "nowhere"),
        after: &[&[("l", "link to nowhere")]],
    },
    Change {
        name: "link-elsewhere",
        prepare: |directory| link(directory, "l", "nowhere"),
        act: |places| {
            link(places.a, "m", "elsewhere");
            rename(places.a, "m", "l");
        },
        after: &[&[("l", "link to elsewhere")]],
    },
    Change {
        name: "file-to-directory",
        prepare: one_file,
        act: |places| {
            fs::remove_file(places.a.join("f")).expect("remove a file");
            write(places.a, "f/inside", "new");
        },
        after: &[&[("f", "dir"), ("f/inside", "new")]],
    },
    Change {
        name: "directory-to-file",
        prepare: a_tree,
        act: |places| {
            fs::remove_dir_all(places.a.join("d")).expect("remove a tree");
            write(places.a, "d", "new");
        },
        after: &[&[("d", "new")]],
    },
    Change {
        name: "file-to-link",
        prepare: one_file,
        act: |places| {
            fs::remove_file(places.a.join("f")).expect("remove a file");
            link(places.a, "f", "nowhere");
        },
        after: &[&[("f", "link to nowhere")]],
    },
    Change {
        name: "new-in-the-box",
        prepare: nothing,
        act: |places| write(places.box_, "f", "by hand"),
        after: &[&[("f", "by hand")]],
    },
    Change {
        name: "edit-in-the-box",
        prepare: one_file,
        act: |places| write(places.box_, "f", "by hand"),
        after: &[&[("f", "by hand")]],
    },
    Change {
        name: "delete-in-the-box",
        prepare: two_files,
        act: |places| fs::remove_file(places.box_.join("f")).expect("remove a file"),
        after: &[&[("g", "second")]],
    },
    Change {
        name: "rename-in-the-box",
        prepare: a_tree,
        act: |places| rename(places.box_, "d", "n"),
        after: &[&[("n", "dir"), ("n/1", "d/1"), ("n/2", "d/2"), ("n/e", "dir"), ("n/e/3", "d/e/3")]],
    },
];

impl Change {
    /// What is wrong with what has come of it in its directory.
    pub fn judge(&self, directory: &Path) -> Result<(), String> {
        let found = snapshot(directory).map_err(|error| format!("it changes: {error}"))?;
        // What the user's umask leaves; the directory was made without more ado.
        let usual = fs::metadata(directory).map_or(0o755, |metadata| metadata.permissions().mode() & 0o7777);
        let found = describe(directory, &found, usual);
        let is_one_of = self.after.iter().any(|wanted| {
            let mut wanted = wanted.to_vec();
            wanted.sort_unstable();
            found.iter().map(|(path, what)| (path.as_str(), what.as_str())).eq(wanted)
        });
        if is_one_of { Ok(()) } else { Err(format!("found is {found:?}, and wanted {:?}", self.after)) }
    }
}

fn describe(directory: &Path, tree: &Tree, usual: u32) -> Vec<(String, String)> {
    let tag = tag(directory);
    let mut found: Vec<(String, String)> = tree
        .iter()
        .map(|(path, node)| {
            let path = String::from_utf8_lossy(path).into_owned();
            let described = match node {
                Node::Directory { mode } => with_mode("dir".into(), *mode, usual),
                Node::File { mode, .. } => {
                    let content = fs::read(directory.join(&path)).unwrap_or_default();
                    with_mode(describe_content(without(&tag, &content)), *mode, usual & 0o666)
                }
                Node::Symlink { target } => format!("link to {}", without(&tag, target).escape_ascii()),
                Node::Special => "special".into(),
            };
            (shorten(&path), described)
        })
        .collect();
    found.sort();
    found
}

/// As it was written; anything else is shown as it is.
fn without<'a>(tag: &[u8], content: &'a [u8]) -> &'a [u8] {
    content.strip_suffix(tag).unwrap_or(content)
}

fn with_mode(what: String, mode: u32, usual: u32) -> String {
    if mode == usual { what } else { format!("{what}, mode {mode:o}") }
}

fn describe_content(content: &[u8]) -> String {
    match content {
        [first, ..] if 100 < content.len() && content.iter().all(|byte| byte == first) => {
            format!("{} {}", content.len(), char::from(*first))
        }
        content => content.escape_ascii().to_string(),
    }
}

/// `f (conflict alpha 2026-01-02 030405)` becomes `f!conflict`.
fn shorten(path: &str) -> String {
    let Some((name, rest)) = path.split_once(" (conflict ") else { return path.to_owned() };
    let behind = rest.split_once(')').map_or("", |(_, behind)| behind);
    format!("{name}!conflict{behind}")
}
