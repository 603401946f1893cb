//! Moves of files and of whole directories, with edits by hand around them.

use super::*;

fn relocate(store: &Store, from: &str, to: &str, require: Require) -> Result<Committed, Refused> {
    store.submit(path(from), Action::Move { to: path(to), require }, laptop())
}

fn told_after(store: &Store, seq: u64) -> Vec<String> {
    let line = |(step, change): (Step, RemoteEntry)| {
        let sign = if change.entry.is_some() { "+" } else { "-" };
        format!("{} {sign}{}", step.seq, change.path)
    };
    store.index().changes_after(Step::end_of(seq)).map(line).collect()
}

/// `d` with a file, a link and a directory with a file in it.
fn filled(scratch: &Scratch) -> Store {
    let store = scratch.open();
    make_dir(&store, "d", 0o755).unwrap();
    put(&store, "d/f", "f", Require::Nothing).unwrap();
    make_link(&store, "d/l", "nowhere").unwrap();
    make_dir(&store, "d/sub", 0o500).unwrap();
    put(&store, "d/sub/deep", "deep", Require::Nothing).unwrap();
    store
}

#[test]
fn a_directory_moves_as_one_change() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    let subscription = store.shared.hub.subscribe(1, "desktop", "", &Realm::default(), 5);
    let done = relocate(&store, "d", "e", Require::OneOf(vec![Tag::Directory])).unwrap();
    assert!(done.created && done.cursor.seq == 6 && done.entry.is_some());
    assert_eq!((scratch.read("e/sub/deep"), scratch.at("d").exists()), ("deep".into(), false));
    let want = ["+e", "+e/f", "+e/l", "+e/sub", "+e/sub/deep", "-d/sub/deep", "-d/sub", "-d/l", "-d/f", "-d"];
    assert_eq!(told_after(&store, 5), want.map(|change| format!("6 {change}")));
    let Next::Frame(frame) = subscription.next(Duration::from_secs(5)) else { panic!("no frame") };
    assert!(frame.seq == 6 && matches!(frame.news, News::Many));
    // What stands at the new place is a version like any other.
    put(&store, "e/f", "g", tag_of("f")).unwrap();
    delete(&store, "e/l", Require::Something).unwrap();
    assert_eq!(relocate(&store, "e", "d", Require::Something).unwrap().cursor.seq, 9);
    sleep(Duration::from_millis(300));
    let before = listing(&store);
    assert_eq!(live(&store), ["d", "d/f", "d/sub", "d/sub/deep"]);
    drop(store);
    let store = scratch.open();
    assert_eq!((listing(&store), store.reads()), (before, 0));
}

#[test]
fn what_nobody_has_seen_is_not_replaced_and_not_taken_for_what_it_was() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    scratch.write("e", "by hand");
    precondition(relocate(&store, "d", "e", Require::Something));
    assert_eq!((scratch.read("e"), scratch.read("d/f")), ("by hand".into(), "f".into()));
    scratch.write("d/f", "edited");
    precondition(relocate(&store, "d/f", "n", tag_of("f")));
    assert_eq!(scratch.read("d/f"), "edited");
    eventually(&store, "edited", |index| content(index, "d/f") == Some(file("edited").content));
    relocate(&store, "d/f", "n", tag_of("edited")).unwrap();
    fs::remove_dir_all(scratch.at("d")).unwrap();
    assert!(relocate(&store, "d", "m", Require::Something).is_err());
    eventually(&store, "all seen", |index| index.live() == 2);
    assert_eq!(live(&store), ["e", "n"]);
    // Refused, it leaves nothing behind for the next start.
    let before = listing(&store);
    drop(store);
    assert_eq!(listing(&scratch.open()), before);
}

#[test]
fn edits_by_hand_go_along() {
    for round in 0..10 {
        let scratch = Scratch::new();
        let store = filled(&scratch);
        sleep(Duration::from_millis(round * 7));
        scratch.write("d/f", "edited");
        scratch.write("d/added/deep", "added");
        fs::remove_file(scratch.at("d/sub/deep")).unwrap();
        let moved = relocate(&store, "d", "e", Require::Something).unwrap().cursor.seq;
        eventually(&store, "what is on disk", |index| {
            let live: Vec<String> = index.live_below(None).map(|(path, _)| path.to_string()).collect();
            content(index, "e/f") == Some(file("edited").content)
                && live == ["e", "e/added", "e/added/deep", "e/f", "e/l", "e/sub"]
        });
        assert_eq!((scratch.read("e/f"), scratch.read("e/added/deep")), ("edited".into(), "added".into()));
        // Under its old name it was either never seen, or moved with the rest.
        let index = store.index();
        let added =
            ["d/added", "d/added/deep"].map(|name| index.get(&path(name)).map(|record| record.step.seq));
        assert!(added.into_iter().flatten().all(|seq| seq == moved), "{added:?}");
        assert!(scratch.versions().is_empty());
    }
}

#[test]
fn many_at_once_keep_their_order() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    let mut asked = Vec::new();
    let mut send = |name: &str, action| {
        asked.push(store.prepare(path(name), action, Asker::default()));
        asked.last_mut().unwrap().submit();
    };
    let move_to = |to: &str| Action::Move { to: path(to), require: Require::Something };
    let create = |content| put_action(&store, content, Require::Nothing, Replaced::Removed);
    send("d/new", create("1"));
    send("d", move_to("e"));
    send("e/newer", create("2"));
    send("d", create("a file now"));
    send("e/sub", move_to("sub"));
    send("e", move_to("sub/e"));
    send("d", move_to("e"));
    for change in asked {
        change.outcome().unwrap();
    }
    let want = ["e", "sub", "sub/deep", "sub/e", "sub/e/f", "sub/e/l", "sub/e/new", "sub/e/newer"];
    assert_eq!(live(&store), want);
    assert_eq!((scratch.read("e"), scratch.read("sub/e/newer")), ("a file now".into(), "2".into()));
}

/// Files renamed by hand are known by their inodes; directories and links are looked at, which costs nothing.
#[test]
fn by_hand_nothing_is_read_again() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    for number in 0..50 {
        put(&store, &format!("d/{number}"), &format!("content {number}"), Require::Nothing).unwrap();
    }
    // As the client wanted it; the box itself has to be able to read it.
    let mode = Action::SetMeta { mtime: None, mode: Some(0o040), require: Require::Something };
    store.submit(path("d/7"), mode, Asker::default()).unwrap();
    // What has just been made counts as new.
    sleep(Duration::from_millis(2100));
    let reads = store.reads();
    fs::create_dir(scratch.at("far")).unwrap();
    fs::rename(scratch.at("d"), scratch.at("far/away")).unwrap();
    let is_moved = |index: &Index| index.live() == 56 && index.live_entry(&path("d")).is_none();
    eventually(&store, "moved", is_moved);
    let known = *store.index().live_entry(&path("far/away/7")).unwrap();
    assert_eq!((known.content, known.meta.mode), (file("content 7").content, 0o040));
    // `far`, `away`, `sub` and the link, some of them twice.
    assert!(store.reads() - reads <= 10, "{}", store.reads() - reads);
    drop(store);
    fs::rename(scratch.at("far/away"), scratch.at("back")).unwrap();
    fs::rename(scratch.at("back/8"), scratch.at("back/aside")).unwrap();
    fs::rename(scratch.at("back/9"), scratch.at("back/8")).unwrap();
    fs::rename(scratch.at("back/aside"), scratch.at("back/9")).unwrap();
    let store = scratch.try_open(true).unwrap();
    assert!(store.reads() <= 10, "{}", store.reads());
    assert_eq!(content(&store.index(), "back/8"), Some(file("content 9").content));
    assert_eq!(content(&store.index(), "back/9"), Some(file("content 8").content));
    assert_eq!(store.index().live(), 56);
}

/// One record and one seq, live and over a restart, as if a client had asked for it; and what was changed in it meanwhile is found.
#[test]
fn a_directory_renamed_by_hand_is_one_change() {
    let scratch = Scratch::new();
    let mut store = filled(&scratch);
    fs::create_dir(scratch.at("far")).unwrap();
    // What has just been made counts as new.
    sleep(Duration::from_millis(2100));
    let mut before = store.index().cursor().seq;
    let mut from = "d".to_owned();
    for (round, to) in ["e", "far/away", "e", "far/d"].into_iter().enumerate() {
        let rename = || {
            fs::rename(scratch.at(&from), scratch.at(to)).unwrap();
            scratch.write(&format!("{to}/f"), &format!("edited {round}"));
        };
        if round < 2 {
            rename();
        } else {
            drop(store);
            rename();
            store = scratch.open();
        }
        let edited = format!("{to}/f");
        let is_known =
            |index: &Index| content(index, &edited) == Some(file(&format!("edited {round}")).content);
        eventually(&store, "the edit", is_known);
        let told = told_after(&store, before);
        let seq_of = |change: String| {
            let line = told.iter().find(|line| line.ends_with(&change));
            line.map(|line| line.split(' ').next().unwrap().to_owned())
        };
        let moved = seq_of(format!(" +{to}/sub/deep"));
        assert!(moved.is_some(), "{told:?}");
        for change in
            [format!(" +{to}"), format!(" +{to}/l"), format!(" -{from}/sub/deep"), format!(" -{from}")]
        {
            assert_eq!(seq_of(change), moved, "{told:?}");
        }
        assert_eq!(store.index().live(), 6);
        (before, from) = (store.index().cursor().seq, to.to_owned());
    }
}

/// A directory that is deleted by hand is gone, and one that is made anew is not the old one.
#[test]
fn a_directory_deleted_by_hand_is_no_rename() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    let before = store.index().cursor().seq;
    fs::remove_dir_all(scratch.at("d")).unwrap();
    fs::create_dir(scratch.at("e")).unwrap();
    eventually(&store, "gone", |index| index.live() == 1 && index.live_entry(&path("e")).is_some());
    assert_eq!(told_after(&store, before).len(), 6);
    fs::create_dir_all(scratch.at("x/y")).unwrap();
    eventually(&store, "x/y", |index| index.live_entry(&path("x/y")).is_some());
    // Out of the box, and back later.
    fs::rename(scratch.at("x"), scratch.0.join("x")).unwrap();
    eventually(&store, "gone, too", |index| index.live() == 1);
    fs::rename(scratch.0.join("x"), scratch.at("x")).unwrap();
    eventually(&store, "back", |index| index.live() == 3);
}

#[test]
fn what_only_looks_like_it_is_read() {
    let scratch = Scratch::new();
    let store = filled(&scratch);
    let times =
        fs::FileTimes::new().set_modified(fs::metadata(scratch.at("d/f")).unwrap().modified().unwrap());
    let make = |name: &str, content: &str| {
        let aside = scratch.0.join("aside");
        fs::write(&aside, content).unwrap();
        fs::File::open(&aside).unwrap().set_times(times).unwrap();
        fs::rename(&aside, scratch.at(name)).unwrap();
    };
    // Another file of the same length and time, and where the file system gives them anew even of the same inode number, in the place of
    // the old one and elsewhere; old enough not to count as new.
    drop(store);
    fs::remove_file(scratch.at("d/f")).unwrap();
    make("d/g", "g");
    make("d/f", "h");
    sleep(Duration::from_millis(2100));
    let store = scratch.open();
    eventually(&store, "g", |index| content(index, "d/g") == Some(file("g").content));
    eventually(&store, "h", |index| content(index, "d/f") == Some(file("h").content));
    // A second name of the same file.
    fs::hard_link(scratch.at("d/g"), scratch.at("d/link")).unwrap();
    eventually(&store, "link", |index| content(index, "d/link") == Some(file("g").content));
    // Renamed, and then written to.
    fs::rename(scratch.at("d/link"), scratch.at("d/n")).unwrap();
    scratch.write("d/n", "longer");
    eventually(&store, "n", |index| content(index, "d/n") == Some(file("longer").content));
}

/// Random changes through the store: disk and index stay the same, and a restart finds them so without reading a file.
#[test]
fn a_random_life() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    let mut state: u32 = 42;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let names = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/b/a", "b/a/b", "b/b/b"];
    let mut made = 0;
    for number in 0..600 {
        let name = names[random(names.len() as u32) as usize];
        let outcome = match random(8) {
            0 | 1 => put(&store, name, &format!("{number}"), Require::Nothing),
            2 => delete(&store, name, Require::Something),
            3 | 4 => make_dir(&store, name, 0o755),
            _ => relocate(&store, name, names[random(names.len() as u32) as usize], Require::Something),
        };
        made += u32::from(outcome.is_ok());
        let mut found = Vec::new();
        list_below(&scratch.at(""), "", &mut found);
        assert_eq!(live(&store), found, "after {number}");
        if number % 100 == 99 {
            let before = listing(&store);
            drop(store);
            store = scratch.open();
            assert_eq!((listing(&store), store.reads()), (before, 0), "after {number}");
        }
    }
    assert!(50 < made, "only {made} were accepted");
}

fn list_below(dir: &std::path::Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if name != ".filesync" {
            if entry.file_type().unwrap().is_dir() {
                list_below(&entry.path(), &format!("{name}/"), found);
            }
            found.push(name);
        }
    }
    found.sort_unstable();
}
