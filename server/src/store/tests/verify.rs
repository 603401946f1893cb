//! `verify`: what it finds, and that it changes nothing.

use super::*;

/// Every difference as a line, how many entries there are, and how many changes are not finished.
fn verified(scratch: &Scratch) -> (Vec<String>, u64, usize) {
    let mut lines = Vec::new();
    let report = |path: Option<&Path>, difference: &Difference| {
        let path = path.map_or("/".to_owned(), Path::to_string);
        lines.push(match difference {
            Difference::Unreadable(_) => format!("Unreadable {path}"),
            other => format!("{other:?} {path}"),
        });
    };
    let Verified { entries, differences, unfinished, .. } = verify(&scratch.at(""), report).unwrap();
    assert_eq!(differences, lines.len() as u64);
    (lines, entries, unfinished)
}

fn filled() -> Scratch {
    let scratch = Scratch::new();
    let store = scratch.open();
    for directory in ["d", "d/e", "k"] {
        make_dir(&store, directory, 0o755).unwrap();
    }
    for name in ["a", "b", "c", "d/e/f", "d/g", "k/l", "m"] {
        put(&store, name, "content", Require::Nothing).unwrap();
    }
    make_link(&store, "z", "nowhere").unwrap();
    store.submit(path("m"), Action::Delete { require: Require::Something }, Asker::default()).unwrap();
    let to = path("n");
    store.submit(path("a"), Action::Move { to, require: Require::Something }, Asker::default()).unwrap();
    scratch
}

#[test]
fn a_box_at_rest_has_no_differences() {
    let scratch = filled();
    assert_eq!(verified(&scratch), (vec![], 10, 0));
}

#[test]
fn each_difference_is_told_and_nothing_is_changed() {
    let scratch = filled();
    let time = fs::metadata(scratch.at("b")).unwrap().modified().unwrap();
    // Rotten: no time tells of it.
    fs::write(scratch.at("b"), "cOntent").unwrap();
    fs::File::open(scratch.at("b")).unwrap().set_modified(time).unwrap();
    fs::set_permissions(scratch.at("c"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(scratch.at("d")).unwrap();
    fs::remove_dir_all(scratch.at("k")).unwrap();
    scratch.write("k", "a file now");
    scratch.write("new/x", "x");
    fs::remove_file(scratch.at("z")).unwrap();
    symlink("elsewhere", scratch.at("z")).unwrap();
    let journal = || fs::read(scratch.at(".filesync/journal")).unwrap();
    let torn = &journal()[..journal().len() - 3];
    fs::write(scratch.at(".filesync/journal"), torn).unwrap();
    let want = [
        "Missing d",
        "Missing d/e",
        "Missing d/e/f",
        "Missing d/g",
        "Content b",
        "Metadata c",
        "Kind k",
        "Missing k/l",
        "Unknown new",
        "Content z",
        "Unknown new/x",
    ];
    assert_eq!(verified(&scratch), (want.map(str::to_owned).to_vec(), 10, 1));
    assert_eq!(journal(), torn);
}

#[test]
fn what_is_no_box_or_is_in_use_is_refused() {
    let scratch = filled();
    let store = scratch.open();
    let go = || verify(&scratch.at(""), |_, _| ());
    assert!(matches!(go(), Err(OpenError::InUse(..))));
    drop(store);
    assert!(go().is_ok());
    fs::remove_dir_all(scratch.at(".filesync")).unwrap();
    assert!(matches!(go(), Err(OpenError::Disk { .. })));
    assert!(!scratch.at(".filesync").exists());
    assert!(matches!(verify(&scratch.at("none"), |_, _| ()), Err(OpenError::Disk { .. })));
}
