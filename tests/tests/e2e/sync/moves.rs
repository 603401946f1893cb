//! Renames, moves, swaps and copies: whatever one does with names, no content goes over the wire that the other side has already.
//!
//! Clients and server speak through a tapped wire, and every file says which it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{Wire, World, eventually, labelled, snapshot};

/// Makes a file that names itself by its path.
fn write(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let label = format!("{}/{name}", folder.file_name().unwrap().to_str().unwrap());
    fs::write(path, labelled(&label)).unwrap();
}

/// Something that is done with names, in a directory of its own: what is there before, and what is done.
struct Case {
    name: &'static str,
    files: &'static [&'static str],
    act: fn(&Path),
}

fn rename(folder: &Path, names: &[(&str, &str)]) {
    for (from, to) in names {
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    }
}

fn copy(folder: &Path, from: &str, to: &str) {
    fs::copy(folder.join(from), folder.join(to)).unwrap();
}

const CASES: &[Case] = &[
    Case { name: "rename", files: &["a"], act: |at| rename(at, &[("a", "b")]) },
    Case { name: "chain", files: &["a"], act: |at| rename(at, &[("a", "b"), ("b", "c")]) },
    Case {
        name: "shift",
        files: &["a", "b", "c"],
        act: |at| rename(at, &[("c", "d"), ("b", "c"), ("a", "b")]),
    },
    Case { name: "swap", files: &["a", "b"], act: |at| rename(at, &[("a", "x"), ("b", "a"), ("x", "b")]) },
    Case {
        name: "cycle",
        files: &["a", "b", "c"],
        act: |at| rename(at, &[("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")]),
    },
    Case { name: "over", files: &["a", "b"], act: |at| rename(at, &[("a", "b")]) },
    Case { name: "copy", files: &["a"], act: |at| copy(at, "a", "b") },
    Case { name: "copy over", files: &["a", "b"], act: |at| copy(at, "a", "b") },
    Case {
        name: "copy beside a rename",
        files: &["a"],
        act: |at| {
            rename(at, &[("a", "b")]);
            copy(at, "b", "c");
            copy(at, "b", "d");
        },
    },
    Case {
        name: "swap and copy",
        files: &["a", "b"],
        act: |at| {
            copy(at, "a", "c");
            rename(at, &[("a", "x"), ("b", "a"), ("x", "b")]);
            copy(at, "a", "d");
        },
    },
    Case { name: "directory", files: &["d/a", "d/b", "d/e/f"], act: |at| rename(at, &[("d", "g")]) },
    Case {
        name: "directory into another",
        files: &["d/a", "d/e/f", "g/a"],
        act: |at| rename(at, &[("d", "g/d")]),
    },
    Case {
        name: "inverted",
        files: &["p/f", "p/c/f"],
        act: |at| rename(at, &[("p/c", "x"), ("p", "x/p"), ("x", "c")]),
    },
    Case {
        name: "inverted under the same names",
        files: &["p/f", "p/p/f"],
        act: |at| rename(at, &[("p/p", "x"), ("p", "x/p"), ("x", "p")]),
    },
    Case {
        name: "directories swapped",
        files: &["d/a", "d/b", "e/a", "e/b", "e/c"],
        act: |at| rename(at, &[("d", "x"), ("e", "d"), ("x", "e")]),
    },
    Case {
        name: "directory and what is in it",
        files: &["d/a", "d/b", "d/c"],
        act: |at| rename(at, &[("d", "e"), ("e/a", "e/x"), ("e/b", "e/a"), ("e/c", "c")]),
    },
    Case {
        name: "directory copied",
        files: &["d/a", "d/b"],
        act: |at| {
            fs::create_dir(at.join("e")).unwrap();
            copy(at, "d/a", "e/a");
            copy(at, "d/b", "e/b");
        },
    },
    Case {
        name: "one of two equal ones",
        files: &["a", "b"],
        act: |at| {
            copy(at, "a", "b");
            fs::remove_file(at.join("a")).unwrap();
            copy(at, "b", "c");
        },
    },
    Case {
        name: "everything",
        files: &["d/1", "d/2", "g", "p", "q"],
        act: |at| {
            rename(at, &[("d", "e"), ("g", "h")]);
            copy(at, "h", "k");
            rename(at, &[("p", "x"), ("q", "p"), ("x", "q")]);
        },
    },
];

/// A world whose clients are not started and speak over a tapped wire, with the files of all cases in a's folder, and others, so that
/// nothing that happens to them looks like a mass deletion.
fn world() -> (World, Wire) {
    let mut world = World::new();
    let wire = Wire::to(&world.server.address);
    (world.a.url, world.b.url) = (wire.url.clone(), wire.url.clone());
    for number in 0..200 {
        write(&world.a.at("other"), &number.to_string());
    }
    for case in CASES {
        case.files.iter().for_each(|file| write(&world.a.at(case.name), file));
    }
    (world, wire)
}

#[track_caller]
fn expect_nothing_seen(wire: &Wire, what: &str) {
    let (seen, requests) = (wire.take_seen(), wire.take_requests());
    let requests: Vec<_> = requests.iter().filter(|request| !request.contains("/sync")).collect();
    assert!(seen.is_empty(), "{what}: content of {seen:?} went over the wire\n{requests:#?}");
}

#[test]
fn live_one_after_the_other() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    assert!(CASES.len() < wire.take_seen().len(), "the tap works");
    for case in CASES {
        wire.take_requests();
        (case.act)(&world.a.at(case.name));
        world.settle();
        expect_nothing_seen(&wire, case.name);
    }
}

#[test]
fn live_all_at_once() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    CASES.iter().for_each(|case| (case.act)(&world.a.at(case.name)));
    world.settle();
    expect_nothing_seen(&wire, "all at once");
}

#[test]
fn while_the_client_was_down() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    world.a.stop();
    CASES.iter().for_each(|case| (case.act)(&world.a.at(case.name)));
    world.a.start();
    world.settle();
    expect_nothing_seen(&wire, "while a was down");
}

#[test]
fn while_everybody_was_down() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    world.stop_clients();
    CASES.iter().for_each(|case| (case.act)(&world.a.at(case.name)));
    world.a.start();
    world.settle();
    world.b.start();
    world.settle();
    expect_nothing_seen(&wire, "while both were down");
}

#[test]
fn in_single_passes() {
    let (world, wire) = world();
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    wire.take_seen();
    CASES.iter().for_each(|case| (case.act)(&world.a.at(case.name)));
    world.a.once(&[]).expect_code(0);
    expect_nothing_seen(&wire, "up, in a single pass");
    world.b.once(&[]).expect_code(0);
    expect_nothing_seen(&wire, "down, in a single pass");
    let tree = snapshot(&world.server.folder).unwrap();
    assert_eq!(snapshot(&world.a.folder).unwrap(), tree);
    assert_eq!(snapshot(&world.b.folder).unwrap(), tree);
}

/// What once made a single pass go on for ever: a directory and a file renamed, a copy of that, and two names swapped.
#[test]
fn a_single_pass_ends_whatever_happened_before() {
    let (world, wire) = world();
    world.a.once(&[]).expect_code(0);
    for case in CASES {
        wire.take_seen();
        (case.act)(&world.a.at(case.name));
        world.a.once(&[]).expect_code(0);
        expect_nothing_seen(&wire, case.name);
    }
    let tree = snapshot(&world.server.folder).unwrap();
    assert_eq!(snapshot(&world.a.folder).unwrap(), tree);
}

/// Its delete has gone through everywhere before the file appears under its new name: content is retained for longer than that.
#[test]
fn a_file_that_was_away_for_a_moment() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    let (old, aside) = (world.a.at("rename/a"), world.a.folder.with_extension("aside"));
    fs::rename(&old, &aside).unwrap();
    world.settle();
    fs::rename(&aside, world.a.at("rename/b")).unwrap();
    world.settle();
    expect_nothing_seen(&wire, "away for a moment");
}

/// By hand in the box, with both clients there.
#[test]
fn in_the_box() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    for case in CASES {
        wire.take_requests();
        (case.act)(&world.server.folder.join(case.name));
        world.settle();
        expect_nothing_seen(&wire, case.name);
    }
}

/// An edit on one side and a rename on the other: the edit travels, and so does what it was made from, which the other side has no more.
#[test]
fn an_edit_here_and_a_rename_there() {
    let (mut world, wire) = world();
    ["d/f", "d/g", "f", "g"].iter().for_each(|name| write(&world.a.at("both"), name));
    world.start_clients();
    world.settle();
    wire.take_seen();
    world.stop_clients();
    fs::write(world.a.at("both/d/f"), labelled("edited")).unwrap();
    fs::write(world.a.at("both/f"), labelled("edited, too")).unwrap();
    rename(&world.b.at("both"), &[("d", "e"), ("g", "h")]);
    world.b.start();
    world.settle();
    world.a.start();
    let tree = world.settle();
    let names = ["both/d/f", "both/e/f", "both/e/g", "both/f", "both/h"];
    assert!(names.iter().all(|name| tree.contains_key(name.as_bytes())), "{tree:?}");
    assert_eq!(wire.take_seen(), ["both/d/f", "edited", "edited, too"]);
}

/// A directory is renamed on one side after a file in it was edited on the other. The edit goes along, whether word of that comes after the
/// answer to the move, or before it.
#[test]
fn an_edit_there_goes_along_with_a_directory_renamed_here() {
    let (mut world, wire) = world();
    for name in ["late", "early"] {
        write(&world.a.at(name), "d/f");
        write(&world.a.at(name), "d/g");
    }
    world.start_clients();
    world.settle();
    for name in ["late", "early"] {
        let edit = format!("edit of {name}");
        wire.take_seen();
        world.b.stop();
        fs::write(world.a.at(name).join("d/f"), labelled(&edit)).unwrap();
        world.settle();
        rename(&world.b.at(name), &[("d", "c")]);
        if name == "early" {
            wire.hold_answer_to("MOVE");
        }
        world.b.start();
        if name == "early" {
            eventually("the move", || wire.has_come().then_some(()).ok_or("not yet".into()));
            world.a.wait_for_content("early/c/f", &labelled(&edit));
            // What is told later is told after the move.
            fs::write(world.a.at("later"), "").unwrap();
            world.b.wait_for_content("later", b"");
            wire.release_answer();
        }
        let tree = world.settle();
        let below = format!("{name}/");
        let names: Vec<_> = tree.keys().filter(|path| path.starts_with(below.as_bytes())).collect();
        let expected = ["c", "c/f", "c/g"].map(|there| format!("{name}/{there}").into_bytes());
        assert!(names.into_iter().eq(&expected), "{name}: {tree:?}");
        assert_eq!(wire.take_seen(), [edit.as_str()]);
        let edited = fs::read(world.b.at(name).join("c/f")).unwrap();
        assert_eq!(edited, labelled(&edit), "{name}");
    }
}

/// What is retained does not outlive the program, however that ends.
#[test]
fn nothing_is_retained_after_the_end() {
    let (mut world, _wire) = world();
    let mut files = world.a.at("swap");
    world.start_clients();
    world.settle();
    let folders = [world.server.folder.clone(), world.b.folder.clone()];
    let retained = || -> Vec<usize> {
        let count = |folder: &PathBuf| fs::read_dir(folder.join(".filesync/retained")).unwrap().count();
        folders.iter().map(count).collect()
    };
    rename(&files, &[("a", "x"), ("b", "a"), ("x", "b")]);
    world.settle();
    assert_eq!(retained(), [2, 2]);
    world.b.stop();
    world.server.stop();
    assert_eq!(retained(), [0, 0], "they were stopped");
    world.server.start();
    world.b.start();
    world.settle();
    files = world.b.at("swap");
    rename(&files, &[("a", "x"), ("b", "a"), ("x", "b")]);
    fs::remove_file(world.a.at("shift/a")).unwrap();
    world.settle();
    assert_eq!(retained(), [3, 1]);
    world.b.kill();
    world.server.kill();
    assert_eq!(retained(), [3, 1], "they were killed");
    world.server.start();
    world.b.start();
    world.settle();
    assert_eq!(retained(), [0, 0], "what a crash left is swept");
}

#[test]
fn the_answer_to_a_move_is_lost() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    for (name, moved) in
        [("rename", ("a", "b")), ("directory", ("d", "g")), ("directory into another", ("d", "g/d"))]
    {
        wire.take_seen();
        wire.lose_answer_to("MOVE");
        rename(&world.a.at(name), &[moved]);
        eventually("the answer to be lost", || wire.has_come().then_some(()).ok_or("not yet".into()));
        let tree = world.settle();
        let (old, new) = (format!("{name}/{}", moved.0), format!("{name}/{}", moved.1));
        assert!(!tree.contains_key(old.as_bytes()) && tree.contains_key(new.as_bytes()), "{name}: {tree:?}");
        expect_nothing_seen(&wire, name);
    }
}

#[test]
fn the_answer_to_a_copy_over_something_is_lost() {
    let (mut world, wire) = world();
    world.start_clients();
    world.settle();
    wire.take_seen();
    wire.lose_answer_to("COPY");
    rename(&world.a.at("swap"), &[("a", "x"), ("b", "a"), ("x", "b")]);
    eventually("the answer to be lost", || wire.has_come().then_some(()).ok_or("not yet".into()));
    world.settle();
    expect_nothing_seen(&wire, "swap");
}

/// A large directory is renamed in one request, and is at its new place on the other side in seconds.
#[test]
fn a_directory_of_ten_thousand_files() {
    const FILES: usize = 10_000;
    let mut world = World::new();
    let wire = Wire::to(&world.server.address);
    (world.a.url, world.b.url) = (wire.url.clone(), wire.url.clone());
    for number in 0..FILES {
        write(&world.a.at("large"), &format!("{}/{number}", number % 10));
    }
    world.start_clients();
    world.settle_within(Duration::from_secs(300));
    wire.take_seen();
    wire.take_requests();
    for (what, folder) in
        [("in a folder", world.a.folder.clone()), ("in the box", world.server.folder.clone())]
    {
        let (from, to) = if what == "in a folder" { ("large", "renamed") } else { ("renamed", "again") };
        let start = Instant::now();
        fs::rename(folder.join(from), folder.join(to)).unwrap();
        world.settle_within(Duration::from_secs(120));
        println!("{FILES} files renamed {what}: {} ms", start.elapsed().as_millis());
        let changes: Vec<String> =
            wire.take_requests().into_iter().filter(|request| request.contains("load/")).collect();
        let first: Vec<&String> = changes.iter().take(10).collect();
        assert!(changes.len() <= 1, "{what}: {} requests, {first:?}", changes.len());
        assert_eq!(wire.take_seen(), Vec::<String>::new(), "{what}");
    }
}
