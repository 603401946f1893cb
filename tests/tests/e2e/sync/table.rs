//! What comes of every two operations that two clients make without knowing of each other: a table, and the programs held against it.
//!
//! Every pair gets a directory of its own, all with the same things in it, so that hundreds of pairs need only a few starts of the
//! programs. One client is called *first*, because its operation reaches the server before the other's, the other *second*.
//!
//! ```text
//!     case-017/file.txt             "base"
//!     case-017/other.txt            "other"
//!     case-017/directory/old.txt    "old"
//! ```
//!
//! The results are written as what `ls` would show: `new.txt=first` is a file with the content that the first client wrote,
//! `file.txt->second` a symlink to where the second client wants it, `directory/` a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Client, Node, Tree, World};

/// What a client does in the directory of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
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
}

use Operation::*;

/// What each operation leads to when the other client does something else: it simply happens.
const ALONE: [(Operation, &str); 17] = [
    (CreateSame, "new.txt=same"),
    (Create, "new.txt=ME"),
    (CreateDirectory, "new.txt/, new.txt/inside=ME"),
    (RenameOther, "new.txt=other"),
    (Rename, "new.txt=base"),
    (RenameAway, "ME.txt=base"),
    (Edit, "file.txt=ME"),
    (Delete, ""),
    (Chmod, "file.txt=base with the mode of ME"),
    (Touch, "file.txt=base with the time of ME"),
    (ToDirectory, "file.txt/, file.txt/inside=ME"),
    (ToSymlink, "file.txt->ME"),
    (DeleteDirectory, ""),
    (AddInside, "directory/, directory/old.txt=old, directory/added.txt=ME"),
    (EditInside, "directory/, directory/old.txt=ME"),
    (RenameDirectory, "ME/, ME/old.txt=old"),
    (DirectoryToFile, "directory=ME"),
];

/// What two operations lead to that meet, the first client's and the second's.
const TOGETHER: &[(Operation, Operation, &str)] = &[
    // Two things want the name `new.txt`: equal ones are one, the server's keeps it, a directory keeps it before a file.
    (CreateSame, CreateSame, "new.txt=same"),
    (CreateSame, Create, "new.txt=same, new (conflict second).txt=second"),
    (CreateSame, CreateDirectory, "new.txt/, new.txt/inside=second, new (conflict second).txt=same"),
    (CreateSame, RenameOther, "new.txt=same, new (conflict second).txt=other"),
    (CreateSame, Rename, "new.txt=same, new (conflict second).txt=base"),
    (Create, CreateSame, "new.txt=first, new (conflict second).txt=same"),
    (Create, Create, "new.txt=first, new (conflict second).txt=second"),
    (Create, CreateDirectory, "new.txt/, new.txt/inside=second, new (conflict second).txt=first"),
    (Create, RenameOther, "new.txt=first, new (conflict second).txt=other"),
    (Create, Rename, "new.txt=first, new (conflict second).txt=base"),
    (CreateDirectory, CreateSame, "new.txt/, new.txt/inside=first, new (conflict second).txt=same"),
    (CreateDirectory, Create, "new.txt/, new.txt/inside=first, new (conflict second).txt=second"),
    (
        CreateDirectory,
        CreateDirectory,
        "new.txt/, new.txt/inside=first, new.txt/inside (conflict second)=second",
    ),
    (CreateDirectory, RenameOther, "new.txt/, new.txt/inside=first, new (conflict second).txt=other"),
    (CreateDirectory, Rename, "new.txt/, new.txt/inside=first, new (conflict second).txt=base"),
    (RenameOther, CreateSame, "new.txt=other, new (conflict second).txt=same"),
    (RenameOther, Create, "new.txt=other, new (conflict second).txt=second"),
    (RenameOther, CreateDirectory, "new.txt/, new.txt/inside=second, new (conflict second).txt=other"),
    (RenameOther, RenameOther, "new.txt=other"),
    (RenameOther, Rename, "new.txt=other, new (conflict second).txt=base"),
    (Rename, CreateSame, "new.txt=base, new (conflict second).txt=same"),
    (Rename, Create, "new.txt=base, new (conflict second).txt=second"),
    (Rename, CreateDirectory, "new.txt/, new.txt/inside=second, new (conflict second).txt=base"),
    (Rename, RenameOther, "new.txt=base, new (conflict second).txt=other"),
    // `file.txt` was renamed. Nobody's edit of it is lost, and nobody's rename of it; a delete of the old name is no delete of the new.
    (Rename, Rename, "new.txt=base"),
    (Rename, RenameAway, "new.txt=base, second.txt=base"),
    (Rename, Edit, "new.txt=base, file.txt=second"),
    (Rename, Delete, "new.txt=base"),
    (Rename, Chmod, "new.txt=base"),
    (Rename, Touch, "new.txt=base"),
    (Rename, ToDirectory, "new.txt=base, file.txt/, file.txt/inside=second"),
    (Rename, ToSymlink, "new.txt=base, file.txt->second"),
    (RenameAway, Rename, "first.txt=base, new.txt=base"),
    (RenameAway, RenameAway, "first.txt=base, second.txt=base"),
    (RenameAway, Edit, "first.txt=base, file.txt=second"),
    (RenameAway, Delete, "first.txt=base"),
    (RenameAway, Chmod, "first.txt=base"),
    (RenameAway, Touch, "first.txt=base"),
    (RenameAway, ToDirectory, "first.txt=base, file.txt/, file.txt/inside=second"),
    (RenameAway, ToSymlink, "first.txt=base, file.txt->second"),
    // `file.txt` was edited: that beats a delete. A change of metadata is no edit, but a mode outlives one; a time goes with its content.
    (Edit, Rename, "file.txt=first, new.txt=base"),
    (Edit, RenameAway, "file.txt=first, second.txt=base"),
    (Edit, Edit, "file.txt=first, file (conflict second).txt=second"),
    (Edit, Delete, "file.txt=first"),
    (Edit, Chmod, "file.txt=first with the mode of second"),
    (Edit, Touch, "file.txt=first"),
    (Edit, ToDirectory, "file.txt/, file.txt/inside=second, file (conflict second).txt=first"),
    (Edit, ToSymlink, "file.txt=first, file (conflict second).txt->second"),
    (Delete, Rename, "new.txt=base"),
    (Delete, RenameAway, "second.txt=base"),
    (Delete, Edit, "file.txt=second"),
    (Delete, Delete, ""),
    (Delete, Chmod, ""),
    (Delete, Touch, ""),
    (Delete, ToDirectory, "file.txt/, file.txt/inside=second"),
    (Delete, ToSymlink, "file.txt->second"),
    // Only its metadata was changed: mode and time each for itself, the later change wins. It goes along with a rename.
    (Chmod, Rename, "new.txt=base with the mode of first"),
    (Chmod, RenameAway, "second.txt=base with the mode of first"),
    (Chmod, Edit, "file.txt=second with the mode of first"),
    (Chmod, Delete, ""),
    (Chmod, Chmod, "file.txt=base with the mode of second"),
    (Chmod, Touch, "file.txt=base with the mode of first with the time of second"),
    (Chmod, ToDirectory, "file.txt/, file.txt/inside=second"),
    (Chmod, ToSymlink, "file.txt->second"),
    (Touch, Rename, "new.txt=base with the time of first"),
    (Touch, RenameAway, "second.txt=base with the time of first"),
    (Touch, Edit, "file.txt=second"),
    (Touch, Delete, ""),
    (Touch, Chmod, "file.txt=base with the mode of second with the time of first"),
    (Touch, Touch, "file.txt=base with the time of second"),
    (Touch, ToDirectory, "file.txt/, file.txt/inside=second"),
    (Touch, ToSymlink, "file.txt->second"),
    // Something of another kind took its place, which is an edit like any other; but a directory keeps the name.
    (ToDirectory, Rename, "file.txt/, file.txt/inside=first, new.txt=base"),
    (ToDirectory, RenameAway, "file.txt/, file.txt/inside=first, second.txt=base"),
    (ToDirectory, Edit, "file.txt/, file.txt/inside=first, file (conflict second).txt=second"),
    (ToDirectory, Delete, "file.txt/, file.txt/inside=first"),
    (ToDirectory, Chmod, "file.txt/, file.txt/inside=first"),
    (ToDirectory, Touch, "file.txt/, file.txt/inside=first"),
    (ToDirectory, ToDirectory, "file.txt/, file.txt/inside=first, file.txt/inside (conflict second)=second"),
    (ToDirectory, ToSymlink, "file.txt/, file.txt/inside=first, file (conflict second).txt->second"),
    (ToSymlink, Rename, "file.txt->first, new.txt=base"),
    (ToSymlink, RenameAway, "file.txt->first, second.txt=base"),
    (ToSymlink, Edit, "file.txt->first, file (conflict second).txt=second"),
    (ToSymlink, Delete, "file.txt->first"),
    (ToSymlink, Chmod, "file.txt->first"),
    (ToSymlink, Touch, "file.txt->first"),
    (ToSymlink, ToDirectory, "file.txt/, file.txt/inside=second, file (conflict second).txt->first"),
    (ToSymlink, ToSymlink, "file.txt->first, file (conflict second).txt->second"),
    // A directory goes as far as everybody knew what was in it, and keeps its name as long as something new is in it; what is in it on
    // the server goes along with a rename.
    (DeleteDirectory, DeleteDirectory, ""),
    (DeleteDirectory, AddInside, "directory/, directory/added.txt=second"),
    (DeleteDirectory, EditInside, "directory/, directory/old.txt=second"),
    (DeleteDirectory, RenameDirectory, "second/, second/old.txt=old"),
    (DeleteDirectory, DirectoryToFile, "directory=second"),
    (AddInside, DeleteDirectory, "directory/, directory/added.txt=first"),
    (
        AddInside,
        AddInside,
        "directory/, directory/old.txt=old, directory/added.txt=first, directory/added (conflict second).txt=second",
    ),
    (AddInside, EditInside, "directory/, directory/old.txt=second, directory/added.txt=first"),
    (AddInside, RenameDirectory, "second/, second/old.txt=old, second/added.txt=first"),
    (AddInside, DirectoryToFile, "directory/, directory/added.txt=first, directory (conflict second)=second"),
    (EditInside, DeleteDirectory, "directory/, directory/old.txt=first"),
    (EditInside, AddInside, "directory/, directory/old.txt=first, directory/added.txt=second"),
    (
        EditInside,
        EditInside,
        "directory/, directory/old.txt=first, directory/old (conflict second).txt=second",
    ),
    (EditInside, RenameDirectory, "second/, second/old.txt=first"),
    (EditInside, DirectoryToFile, "directory/, directory/old.txt=first, directory (conflict second)=second"),
    (RenameDirectory, DeleteDirectory, "first/, first/old.txt=old"),
    (RenameDirectory, AddInside, "first/, first/old.txt=old, directory/, directory/added.txt=second"),
    (RenameDirectory, EditInside, "first/, first/old.txt=old, directory/, directory/old.txt=second"),
    (RenameDirectory, RenameDirectory, "first/, first/old.txt=old, second/, second/old.txt=old"),
    (RenameDirectory, DirectoryToFile, "first/, first/old.txt=old, directory=second"),
    (DirectoryToFile, DeleteDirectory, "directory=first"),
    (DirectoryToFile, AddInside, "directory/, directory/added.txt=second, directory (conflict second)=first"),
    (DirectoryToFile, EditInside, "directory/, directory/old.txt=second, directory (conflict second)=first"),
    (DirectoryToFile, RenameDirectory, "directory=first, second/, second/old.txt=old"),
    (DirectoryToFile, DirectoryToFile, "directory=first, directory (conflict second)=second"),
];

/// The things that operations are about, and what is there of each in the beginning.
const SUBJECTS: [(&str, &str); 4] = [
    ("new.txt", ""),
    ("file.txt", "file.txt=base"),
    ("other.txt", "other.txt=other"),
    ("directory", "directory/, directory/old.txt=old"),
];

impl Operation {
    /// What it is about.
    fn subjects(self) -> &'static [&'static str] {
        match self {
            CreateSame | Create | CreateDirectory => &["new.txt"],
            RenameOther => &["other.txt", "new.txt"],
            Rename => &["file.txt", "new.txt"],
            RenameAway | Edit | Delete | Chmod | Touch | ToDirectory | ToSymlink => &["file.txt"],
            DeleteDirectory | AddInside | EditInside | RenameDirectory | DirectoryToFile => &["directory"],
        }
    }

    fn meets(self, other: Operation) -> bool {
        self.subjects().iter().any(|subject| other.subjects().contains(subject))
    }

    /// What it leads to alone.
    fn alone(self, client: &str) -> String {
        let (_, result) = ALONE.iter().find(|row| row.0 == self).expect("every operation has a row");
        result.replace("ME", client)
    }

    /// The content that it brings into the world, which the other client can't have seen.
    fn writes(self, client: &str) -> Option<String> {
        match self {
            CreateSame => Some("same".to_owned()),
            Create | CreateDirectory | Edit | ToDirectory | AddInside | EditInside | DirectoryToFile => {
                Some(client.to_owned())
            }
            _ => None,
        }
    }

    /// Does it, in the directory of a case.
    fn apply(self, case: &Case, client: &Client) {
        let directory = client.at(case.directory());
        let at = |name: &str| directory.join(name);
        let mine = case.content(client.name);
        match self {
            CreateSame => fs::write(at("new.txt"), case.content("same")).unwrap(),
            Create => fs::write(at("new.txt"), mine).unwrap(),
            CreateDirectory => {
                fs::create_dir(at("new.txt")).unwrap();
                fs::write(at("new.txt/inside"), mine).unwrap();
            }
            RenameOther => fs::rename(at("other.txt"), at("new.txt")).unwrap(),
            Rename => fs::rename(at("file.txt"), at("new.txt")).unwrap(),
            RenameAway => fs::rename(at("file.txt"), at(&format!("{}.txt", client.name))).unwrap(),
            Edit => fs::write(at("file.txt"), mine).unwrap(),
            Delete => fs::remove_file(at("file.txt")).unwrap(),
            Chmod => {
                fs::set_permissions(at("file.txt"), Permissions::from_mode(mode_of(client.name))).unwrap();
            }
            Touch => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time_of(client.name));
                let file = File::options().write(true).open(at("file.txt")).unwrap();
                file.set_modified(time).unwrap();
            }
            ToDirectory => {
                fs::remove_file(at("file.txt")).unwrap();
                fs::create_dir(at("file.txt")).unwrap();
                fs::write(at("file.txt/inside"), mine).unwrap();
            }
            ToSymlink => {
                fs::remove_file(at("file.txt")).unwrap();
                symlink(client.name, at("file.txt")).unwrap();
            }
            DeleteDirectory => fs::remove_dir_all(at("directory")).unwrap(),
            AddInside => fs::write(at("directory/added.txt"), mine).unwrap(),
            EditInside => fs::write(at("directory/old.txt"), mine).unwrap(),
            RenameDirectory => fs::rename(at("directory"), at(client.name)).unwrap(),
            DirectoryToFile => {
                fs::remove_dir_all(at("directory")).unwrap();
                fs::write(at("directory"), mine).unwrap();
            }
        }
    }
}

/// The permissions that a client gives; no umask makes them.
fn mode_of(client: &str) -> u32 {
    if client == "alpha" { 0o700 } else { 0o711 }
}

/// The time that a client gives, in seconds since 1970: neither is now.
fn time_of(client: &str) -> u64 {
    if client == "alpha" { 1_000_000_000 } else { 1_100_000_000 }
}

/// A pair of operations, in a directory of its own.
#[derive(Clone, Copy, Debug)]
struct Case {
    number: usize,
    /// What client a does.
    a: Operation,
    /// What client b does.
    b: Operation,
}

/// What is in the directory of a case, a line for each thing.
type Lines = BTreeSet<String>;

impl Case {
    fn directory(self) -> String {
        format!("case-{:03}", self.number)
    }

    /// Content that no other case has: what one case holds must not be of use to another.
    fn content(self, word: &str) -> String {
        format!("{word} in {}", self.directory())
    }

    /// Makes what is there before anybody does anything.
    fn fill(self, folder: &Path) {
        let directory = folder.join(self.directory());
        fs::create_dir_all(directory.join("directory")).unwrap();
        for (name, word) in [("file.txt", "base"), ("other.txt", "other"), ("directory/old.txt", "old")] {
            fs::write(directory.join(name), self.content(word)).unwrap();
        }
    }

    /// What the table says, if the first client is the one that came first to the server.
    fn expected(self, order: Order) -> Lines {
        let ((first, first_name), (second, second_name)) = match order {
            Order::AThenB => ((self.a, "alpha"), (self.b, "beta")),
            Order::BThenA => ((self.b, "beta"), (self.a, "alpha")),
        };
        let rest = SUBJECTS
            .iter()
            .filter(|(name, _)| ![first, second].iter().any(|it| it.subjects().contains(name)));
        let mut lines: Lines = rest.flat_map(|(_, there)| split(there)).collect();
        match TOGETHER.iter().find(|row| (row.0, row.1) == (first, second)) {
            Some((_, _, result)) => {
                lines.extend(split(&result.replace("first", first_name).replace("second", second_name)));
            }
            None => {
                assert!(!first.meets(second), "{first:?} and {second:?} are not in the table");
                lines.extend(split(&first.alone(first_name)));
                lines.extend(split(&second.alone(second_name)));
            }
        }
        lines
    }

    /// What has to be true of every case, whatever the table says.
    fn check_invariants(self, lines: &Lines) -> Result<(), String> {
        let content = |line: &'_ String| Some(line.split_once('=')?.1.split(" with the ").next()?.to_owned());
        let contents: BTreeSet<String> = lines.iter().filter_map(content).collect();
        let mut written = self.a.writes("alpha").into_iter().chain(self.b.writes("beta"));
        if let Some(lost) = written.find(|content| !contents.contains(content)) {
            return Err(format!("the content {lost:?} is lost"));
        }
        for line in lines {
            if let Some((stem, rest)) = line.split_once(" (conflict ") {
                let (_, rest) = rest.split_once(')').ok_or("a conflict name without end")?;
                if lines.contains(&format!("{stem}{rest}")) {
                    return Err(format!("a conflict of equal content: {line}"));
                }
            }
        }
        Ok(())
    }
}

fn split(lines: &str) -> impl Iterator<Item = String> {
    lines.split(", ").filter(|line| !line.is_empty()).map(str::to_owned)
}

/// Whose operation reaches the server first.
#[derive(Clone, Copy, Debug)]
enum Order {
    AThenB,
    BThenA,
}

/// Every pair of these operations, either way round.
fn pairs(operations: &[Operation]) -> Vec<Case> {
    let pairs = operations.iter().flat_map(|&a| operations.iter().map(move |&b| (a, b)));
    pairs.enumerate().map(|(number, (a, b))| Case { number, a, b }).collect()
}

/// The directories of the cases, from the box, in the words of the table.
#[track_caller]
fn read_cases(folder: &Path, tree: &Tree) -> BTreeMap<String, Lines> {
    let mut cases: BTreeMap<String, Lines> = BTreeMap::new();
    for (path, node) in tree {
        let path = str::from_utf8(path).expect("all names of this test are text");
        let (case, name) = path.split_once('/').unwrap_or((path, ""));
        let lines = cases.entry(case.to_owned()).or_default();
        if !name.is_empty() {
            lines.insert(line(&folder.join(path), case, name, node));
        }
    }
    cases
}

#[track_caller]
fn line(path: &Path, case: &str, name: &str, node: &Node) -> String {
    let name = without_time(name);
    match node {
        Node::Directory { .. } => format!("{name}/"),
        Node::Symlink { target } => format!("{name}->{}", String::from_utf8_lossy(target)),
        Node::Special => panic!("{} is nothing that a case makes", path.display()),
        Node::File { mode, mtime, .. } => {
            let content = fs::read_to_string(path).unwrap();
            let word = content
                .strip_suffix(&format!(" in {case}"))
                .unwrap_or_else(|| panic!("{} has what belongs elsewhere: {content:?}", path.display()));
            let mut line = format!("{name}={word}");
            let clients = ["alpha", "beta"];
            for client in clients {
                if *mode == mode_of(client) {
                    line.push_str(&format!(" with the mode of {client}"));
                }
            }
            for client in clients {
                if *mtime == i128::from(time_of(client)) * 1_000_000_000 {
                    line.push_str(&format!(" with the time of {client}"));
                }
            }
            line
        }
    }
}

/// Takes ` YYYY-MM-DD HHMMSS` out of a conflict name, which has to be well-formed: one mark, of one of the clients, and the extension
/// after it.
#[track_caller]
fn without_time(name: &str) -> String {
    let Some((stem, rest)) = name.split_once(" (conflict ") else { return name.to_owned() };
    let (mark, extension) = rest.split_once(')').unwrap_or_else(|| panic!("{name:?} has no end"));
    let (client, time) = mark.split_once(' ').unwrap_or_else(|| panic!("{name:?} has no time"));
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 000000", "the time in {name:?}");
    assert!(["alpha", "beta"].contains(&client), "the client in {name:?}");
    assert!(["", ".txt"].contains(&extension), "the extension of {name:?}");
    format!("{stem} (conflict {client}){extension}")
}

/// Holds every case against the table, for one of the orders, and says all that is wrong at once.
#[track_caller]
fn check(world: &World, tree: &Tree, cases: &[Case], orders: &[Order]) {
    let found = read_cases(&world.server.folder, tree);
    assert_eq!(found.len(), cases.len(), "nothing is outside the directories of the cases");
    let mut wrong = Vec::new();
    for case in cases {
        let lines = &found[&case.directory()];
        let expected: Vec<Lines> = orders.iter().map(|order| case.expected(*order)).collect();
        if let Err(error) = case.check_invariants(lines) {
            wrong.push(format!("{case:?}: {error}\n    found {lines:?}"));
        } else if !expected.contains(lines) {
            wrong.push(format!("{case:?}\n    found    {lines:?}\n    expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for folder in [&world.server.folder, &world.a.folder, &world.b.folder] {
        let staging = fs::read_dir(folder.join(".filesync/staging")).unwrap();
        assert_eq!(staging.count(), 0, "staging of {}", folder.display());
    }
}

/// Both clients have the directories of the cases.
#[track_caller]
fn prepare(cases: &[Case]) -> World {
    World::live_with(|folder| cases.iter().for_each(|case| case.fill(folder)))
}

/// Both clients are stopped when the operations are made, and come back one after the other.
#[track_caller]
fn meet_after_a_while(order: Order) {
    let cases = pairs(&ALONE.map(|(operation, _)| operation));
    let mut world = prepare(&cases);
    world.stop_clients();
    for case in &cases {
        case.a.apply(case, &world.a);
        case.b.apply(case, &world.b);
    }
    match order {
        Order::AThenB => world.a.start(),
        Order::BThenA => world.b.start(),
    }
    world.settle();
    match order {
        Order::AThenB => world.b.start(),
        Order::BThenA => world.a.start(),
    }
    let tree = world.settle();
    check(&world, &tree, &cases, &[order]);
}

/// Both clients run and are connected, but neither has a moment to notice what the other does before it has its own.
#[test]
fn every_pair_made_online_at_once() {
    let cases = pairs(&ALONE.map(|(operation, _)| operation));
    let mut world = prepare(&cases);
    world.a.process().signal("STOP");
    world.b.process().signal("STOP");
    for case in &cases {
        case.a.apply(case, &world.a);
        case.b.apply(case, &world.b);
    }
    world.a.process().signal("CONT");
    world.b.process().signal("CONT");
    let tree = world.settle();
    check(&world, &tree, &cases, &[Order::AThenB, Order::BThenA]);
}

#[test]
fn every_pair_made_offline_a_back_first() {
    meet_after_a_while(Order::AThenB);
}

#[test]
fn every_pair_made_offline_b_back_first() {
    meet_after_a_while(Order::BThenA);
}

/// File systems give the inode of a deleted directory to the next new one. That is no rename, and nothing may follow it.
#[test]
fn a_new_directory_with_the_inode_of_a_deleted_one_is_another() {
    let case = Case { number: 0, a: AddInside, b: DeleteDirectory };
    let mut world = prepare(&[case]);
    world.stop_clients();
    case.a.apply(&case, &world.a);
    case.b.apply(&case, &world.b);
    // One of them gets it.
    for number in 0..8 {
        fs::create_dir(world.b.at(format!("case-000/unrelated {number}"))).unwrap();
    }
    world.a.start();
    world.settle();
    world.b.start();
    let tree = world.settle();
    assert!(tree.contains_key(b"case-000/directory/added.txt".as_slice()), "{tree:?}");
}
