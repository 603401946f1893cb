//! The store as a whole, on a real folder: changes, edits by hand, restarts.

mod crash;
mod moves;
mod verify;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Instant;

use common::cli::log::{Format, Level};
use common::protocol::RemoteEntry;
use common::tree::{Content, Meta, Mtime, Tag};
use common::wire::sha256::sha256;

use super::*;
use crate::hub::{News, Next};
use crate::realm::Realm;

/// A directory of its own for a test, removed when the test is done with it.
pub(super) struct Scratch(PathBuf);

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Scratch {
    pub(super) fn new() -> Scratch {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("filesync-store-{}-{number}", std::process::id()));
        // What an earlier process of the same number left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.join("box").join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), content).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    fn try_open(&self, force: bool) -> Result<Store, OpenError> {
        let log = Log::new(Level::Error, Format::Text);
        Store::open(&self.at(""), Options { fsync: true, force }, log, Hub::new())
    }

    pub(super) fn open(&self) -> Store {
        self.try_open(false).unwrap()
    }

    /// The contents of all versions kept, in no order.
    pub(super) fn versions(&self) -> Vec<String> {
        let versions = fs::read_dir(self.at(".filesync/versions")).unwrap();
        versions.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    fn staged(&self) -> usize {
        fs::read_dir(self.at(".filesync/staging")).unwrap().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn path(text: &str) -> Path {
    Path::new(text.as_bytes()).unwrap()
}

pub(super) fn file(content: &str) -> Entry {
    let hash = sha256(content.as_bytes());
    let meta = Meta { mtime: Mtime(1_234_567_890_123_456_789), mode: 0o640 };
    Entry { content: Content::File { size: content.len() as u64, hash }, meta }
}

fn directory(mode: u16) -> Entry {
    Entry { content: Content::Directory, meta: Meta { mtime: Mtime(0), mode } }
}

/// A client that says who it is.
pub(super) fn laptop() -> Asker {
    Asker { client: Some("laptop".into()), ..Asker::default() }
}

fn tag_of(content: &str) -> Require {
    Require::OneOf(vec![Tag::from(file(content).content)])
}

fn put_action(store: &Store, content: &str, require: Require, replaced: Replaced) -> Action {
    let (staged, mut data) = store.stage().file().unwrap();
    data.write_all(content.as_bytes()).unwrap();
    put_of(file(content), staged, Some(data), require, replaced)
}

fn put_of(
    entry: Entry,
    staged: Staged,
    file: Option<fs::File>,
    require: Require,
    replaced: Replaced,
) -> Action {
    Action::Put { content: entry.content, label: entry.meta.into(), staged, file, require, replaced }
}

fn put(store: &Store, name: &str, content: &str, require: Require) -> Result<Committed, Refused> {
    store.submit(path(name), put_action(store, content, require, Replaced::Removed), laptop())
}

fn make_dir(store: &Store, name: &str, mode: u16) -> Result<Committed, Refused> {
    let staged = store.stage().directory(0o700).unwrap();
    let entry = directory(mode);
    let (require, replaced) = (Require::Nothing, Replaced::Removed);
    store.submit(path(name), put_of(entry, staged, None, require, replaced), laptop())
}

fn make_link(store: &Store, name: &str, target: &str) -> Result<Committed, Refused> {
    let staged = store.stage().symlink(target.as_bytes()).unwrap();
    let content = Content::Symlink { size: target.len() as u64, hash: sha256(target.as_bytes()) };
    let entry = Entry { content, meta: Meta { mtime: Mtime(0), mode: 0o777 } };
    let (require, replaced) = (Require::Nothing, Replaced::Removed);
    store.submit(path(name), put_of(entry, staged, None, require, replaced), Asker::default())
}

fn delete(store: &Store, name: &str, require: Require) -> Result<Committed, Refused> {
    store.submit(path(name), Action::Delete { require }, laptop())
}

/// Everything in the index, as text that can be compared; without fingerprints.
pub(super) fn listing(store: &Store) -> Vec<String> {
    let index = store.index();
    let mut lines = vec![index.cursor().to_string()];
    lines.extend(index.below_after(None, None).map(|(path, record)| {
        let origin = index.describe(path).and_then(|entry| entry.origin);
        format!("{path} {:?} {:?} {origin:?}", record.step, record.entry())
    }));
    lines
}

pub(super) fn live(store: &Store) -> Vec<String> {
    store.index().live_below(None).map(|(path, _)| path.to_string()).collect()
}

/// Waits until the index is as wanted; what was done by hand arrives in a moment.
#[track_caller]
fn eventually(store: &Store, what: &str, is_so: impl Fn(&Index) -> bool) {
    let start = Instant::now();
    while !is_so(&store.index()) {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        sleep(Duration::from_millis(5));
    }
}

fn content(index: &Index, name: &str) -> Option<Content> {
    index.live_entry(&path(name)).map(|entry| entry.content)
}

#[track_caller]
fn precondition(outcome: Result<Committed, Refused>) -> Option<RemoteEntry> {
    match outcome {
        Err(Refused::Precondition(current)) => current,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_life_of_a_file() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let first = put(&store, "a", "one", Require::Nothing).unwrap();
    assert!(first.created && first.cursor.seq == 1);
    assert_eq!(scratch.read("a"), "one");
    let found = fs::metadata(scratch.at("a")).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o640);
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_234_567_890, 123_456_789));

    let second = put(&store, "a", "two", tag_of("one")).unwrap();
    assert!(!second.created && second.cursor.seq == 2);
    assert_eq!(scratch.read("a"), "two");
    // The answer was lost, and it is sent again.
    assert_eq!(put(&store, "a", "two", tag_of("one")).unwrap(), second);
    let current = precondition(put(&store, "a", "three", tag_of("one"))).unwrap();
    assert_eq!((current.seq, current.origin.as_deref()), (2, Some("laptop")));
    assert_eq!(scratch.read("a"), "two");

    let gone = delete(&store, "a", tag_of("two")).unwrap();
    assert_eq!((gone.cursor.seq, gone.entry), (3, None));
    assert!(!scratch.at("a").exists());
    assert_eq!(delete(&store, "a", tag_of("two")).unwrap(), gone);
    assert!(matches!(delete(&store, "never", tag_of("two")), Err(Refused::NotFound)));
    assert_eq!(scratch.staged(), 0);
}

#[test]
fn directories_links_and_kinds_that_change() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert!(matches!(put(&store, "d/f", "x", Require::Nothing), Err(Refused::ParentMissing)));
    make_dir(&store, "d", 0o555).unwrap();
    assert_eq!(store.index().live_entry(&path("d")).unwrap().meta.mode, 0o555);
    put(&store, "d/f", "x", Require::Nothing).unwrap();
    make_link(&store, "d/l", "/nowhere").unwrap();
    assert_eq!(fs::read_link(scratch.at("d/l")).unwrap(), PathBuf::from("/nowhere"));
    assert!(matches!(delete(&store, "d", Require::Something), Err(Refused::NotEmpty)));
    assert!(matches!(put(&store, "d", "file", Require::Something), Err(Refused::NotEmpty)));
    delete(&store, "d/f", Require::Something).unwrap();
    delete(&store, "d/l", Require::Something).unwrap();
    put(&store, "d", "file", Require::OneOf(vec![Tag::Directory])).unwrap();
    assert_eq!(scratch.read("d"), "file");
    delete(&store, "d", Require::Something).unwrap();
    make_dir(&store, "d", 0o700).unwrap();
    delete(&store, "d", Require::Something).unwrap();
    assert_eq!((live(&store).len(), fs::read_dir(scratch.at("")).unwrap().count()), (0, 1));
}

#[test]
fn metadata_alone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "a", "one", Require::Nothing).unwrap();
    let ino = fs::metadata(scratch.at("a")).unwrap().ino();
    let action = Action::SetMeta { mtime: Some(Mtime(-1)), mode: Some(0o600), require: tag_of("one") };
    let done = store.submit(path("a"), action, Asker::default()).unwrap();
    assert_eq!((done.cursor.seq, done.entry.unwrap().meta.mode), (2, 0o600));
    let found = fs::metadata(scratch.at("a")).unwrap();
    assert_eq!((found.ino(), found.mode() & 0o777, found.mtime()), (ino, 0o600, -1));
    // The same content with yet other metadata: it succeeds in any case, and labels it for who knew what is there.
    let done = put(&store, "a", "one", Require::Nothing).unwrap();
    assert_eq!((done.cursor.seq, done.entry.unwrap().meta.mode), (2, 0o600));
    let done = put(&store, "a", "one", tag_of("one")).unwrap();
    assert_eq!((done.cursor.seq, done.entry.unwrap().meta.mode), (3, 0o640));
    assert_eq!(fs::metadata(scratch.at("a")).unwrap().ino(), ino);
}

#[test]
fn everyone_is_told_under_the_lock() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let subscription = store.shared.hub.subscribe(1, "desktop", "", &Realm::default(), 0);
    put(&store, "a", "one", Require::Nothing).unwrap();
    delete(&store, "a", Require::Something).unwrap();
    for seq in 1..=2 {
        let Next::Frame(frame) = subscription.next(Duration::from_secs(5)) else { panic!("no frame") };
        let News::Whole(encoded) = &frame.news else { panic!("one path") };
        assert_eq!((frame.seq, encoded.change.entry.is_some()), (seq, seq == 1));
    }
}

#[test]
fn an_edit_by_hand_is_never_overwritten() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "a", "one", Require::Nothing).unwrap();
    for (name, require) in [("a", tag_of("one")), ("b", Require::Nothing)] {
        scratch.write(name, "by hand");
        precondition(put(&store, name, "mine", require));
        assert_eq!(scratch.read(name), "by hand");
        eventually(&store, name, |index| content(index, name) == Some(file("by hand").content));
        put(&store, name, "mine", tag_of("by hand")).unwrap();
    }
    scratch.write("a", "again by hand");
    precondition(delete(&store, "a", tag_of("mine")));
    assert_eq!(scratch.read("a"), "again by hand");
    assert_eq!((scratch.staged(), scratch.versions().len()), (0, 0));
}

#[test]
fn replaced_content_is_kept_if_nobody_saw_it() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let long = "n".repeat(255);
    for name in ["a", &long] {
        for content in ["one", "two", "three"] {
            let action = put_action(&store, content, Require::Anything, Replaced::Kept);
            store.submit(path(name), action, Asker::default()).unwrap();
        }
    }
    let mut versions = scratch.versions();
    versions.sort_unstable();
    assert_eq!(versions, ["one", "one", "two", "two"]);
}

#[test]
fn many_at_once_and_in_order() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut asked = Vec::new();
    let mut send = |name: &str, action| {
        asked.push(store.prepare(path(name), action, Asker::default()));
        asked.last_mut().unwrap().submit();
    };
    for number in 0..600 {
        send(&format!("f{number}"), put_action(&store, "x", Require::Nothing, Replaced::Removed));
    }
    for content in ["1", "2", "3"] {
        send("same", put_action(&store, content, Require::Anything, Replaced::Removed));
    }
    send("same", Action::Delete { require: Require::Something });
    let entry = directory(0o755);
    let staged = store.stage().directory(0o700).unwrap();
    let (require, replaced) = (Require::Nothing, Replaced::Removed);
    send("same", put_of(entry, staged, None, require, replaced));
    send("same/below", put_action(&store, "deep", Require::Nothing, Replaced::Removed));
    for change in asked {
        change.outcome().unwrap();
    }
    assert_eq!(scratch.read("same/below"), "deep");
    let index = store.index();
    let steps: Vec<u64> = index.changes_after(Step::end_of(0)).map(|(step, _)| step.seq).collect();
    assert_eq!((index.live(), steps.len(), index.cursor().seq), (602, 602, 606));
}

#[test]
fn by_hand_while_it_runs() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.write("d/e/f", "made");
    symlink("target", scratch.at("d/l")).unwrap();
    eventually(&store, "made", |index| index.live() == 4);
    scratch.write("d/e/f", "edited");
    eventually(&store, "edited", |index| content(index, "d/e/f") == Some(file("edited").content));
    fs::set_permissions(scratch.at("d/e/f"), fs::Permissions::from_mode(0o600)).unwrap();
    eventually(&store, "chmod", |index| index.live_entry(&path("d/e/f")).unwrap().meta.mode == 0o600);
    fs::rename(scratch.at("d"), scratch.at("moved")).unwrap();
    eventually(&store, "moved", |index| {
        content(index, "moved/e/f").is_some() && content(index, "d").is_none()
    });
    fs::remove_dir_all(scratch.at("moved/e")).unwrap();
    scratch.write("moved/e", "a file now");
    eventually(&store, "kind", |index| content(index, "moved/e") == Some(file("a file now").content));
    fs::remove_dir_all(scratch.at("moved")).unwrap();
    eventually(&store, "removed", |index| index.live() == 0);
}

#[test]
fn a_restart_finds_everything_without_reading_it() {
    let scratch = Scratch::new();
    let store = scratch.open();
    make_dir(&store, "d", 0o755).unwrap();
    put(&store, "d/a", "one", Require::Nothing).unwrap();
    put(&store, "b", "two", Require::Nothing).unwrap();
    make_link(&store, "l", "b").unwrap();
    delete(&store, "b", Require::Something).unwrap();
    scratch.write("by hand", "x");
    eventually(&store, "by hand", |index| index.live() == 4);
    let before = listing(&store);
    drop(store);
    for _ in 0..2 {
        let store = scratch.open();
        assert_eq!((listing(&store), store.reads()), (before.clone(), 0));
    }
}

#[test]
fn what_happened_while_it_was_down() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for name in ["same", "edited", "removed", "touched"] {
        put(&store, name, name, Require::Nothing).unwrap();
    }
    make_dir(&store, "d", 0o755).unwrap();
    put(&store, "d/f", "f", Require::Nothing).unwrap();
    drop(store);
    scratch.write("edited", "otherwise");
    scratch.write("added/deep", "new");
    fs::remove_file(scratch.at("removed")).unwrap();
    fs::remove_dir_all(scratch.at("d")).unwrap();
    scratch.write("d", "a file now");
    fs::File::open(scratch.at("touched")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let store = scratch.open();
    assert_eq!(live(&store), ["added", "added/deep", "d", "edited", "same", "touched"]);
    assert_eq!(content(&store.index(), "edited"), Some(file("otherwise").content));
    assert_eq!(content(&store.index(), "d"), Some(file("a file now").content));
    let changed: Vec<String> =
        store.index().changes_after(Step::end_of(6)).map(|(_, change)| change.path.to_string()).collect();
    assert_eq!(changed.len(), 7, "{changed:?}");
    assert!(store.index().get(&path("removed")).unwrap().entry().is_none());
}

#[test]
fn most_of_it_missing_needs_force() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for number in 0..30 {
        put(&store, &format!("f{number}"), "x", Require::Nothing).unwrap();
    }
    drop(store);
    for number in 0..25 {
        fs::remove_file(scratch.at(&format!("f{number}"))).unwrap();
    }
    let error = scratch.try_open(false).unwrap_err();
    assert!(matches!(error, OpenError::Held { lost: 25, entries: 30, .. }), "{error}");
    assert_eq!(live(&scratch.try_open(true).unwrap()).len(), 5);
}

#[test]
fn a_box_that_is_away_loses_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "a", "one", Require::Nothing).unwrap();
    let (here, there) = (scratch.0.join("box"), scratch.0.join("away"));
    fs::rename(&here, &there).unwrap();
    fs::create_dir(&here).unwrap();
    assert!(matches!(put(&store, "b", "two", Require::Nothing), Err(Refused::Disk(_))));
    sleep(Duration::from_millis(300));
    assert_eq!(live(&store), ["a"]);
    fs::remove_dir(&here).unwrap();
    fs::rename(&there, &here).unwrap();
    put(&store, "b", "two", Require::Nothing).unwrap();
    assert_eq!(live(&store), ["a", "b"]);
}

#[test]
fn downloads_never_send_one_version_under_the_tag_of_another() {
    use std::io::Read;
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "a", "one", Require::Nothing).unwrap();
    for content in ["edited by hand", "and again", "and so on"] {
        scratch.write("a", content);
        let mut open = store.open_file(&path("a")).unwrap().unwrap();
        let mut read = String::new();
        open.file.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), open.entry.content), (content, file(content).content));
    }
    make_dir(&store, "d", 0o755).unwrap();
    assert!(store.open_file(&path("d")).unwrap().is_none() && store.open_file(&path("n")).unwrap().is_none());
}

#[test]
fn one_server_at_a_time() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert!(matches!(scratch.try_open(false), Err(OpenError::InUse(..))));
    store.stop();
    assert!(matches!(put(&store, "a", "one", Require::Nothing), Err(Refused::Stopping)));
    drop(store);
    scratch.open();
    let scratch = Scratch::new();
    fs::write(scratch.0.join("box"), "a file").unwrap();
    assert!(matches!(scratch.try_open(false), Err(OpenError::Disk { .. })));
}

/// A person replaces a file again and again while two clients compare and swap it. Whoever's version is on top, a chain of "I have seen
/// what I replaced" leads from it back to the person's last one.
#[test]
fn a_person_and_two_clients_at_the_same_file() {
    let scratch = Scratch::new();
    let store = Arc::new(scratch.open());
    put(&store, "a", "start", Require::Nothing).unwrap();
    let replaced: Arc<Mutex<Vec<(Content, Content)>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let clients = [1, 2].map(|client| {
        let (store, replaced, done) = (store.clone(), replaced.clone(), done.clone());
        std::thread::spawn(move || {
            for number in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let Some(seen) = content(&store.index(), "a") else { continue };
                let mine = format!("client {client} number {number}");
                if put(&store, "a", &mine, Require::OneOf(vec![Tag::from(seen)])).is_ok() {
                    lock(&replaced).push((file(&mine).content, seen));
                }
                sleep(Duration::from_millis(3));
            }
        })
    });
    for number in 0..10 {
        let (mine, aside) = (format!("person number {number}"), scratch.0.join("aside"));
        fs::write(&aside, &mine).unwrap();
        fs::rename(&aside, scratch.at("a")).unwrap();
        sleep(Duration::from_millis(20));
        eventually(&store, &mine, |index| {
            let history = lock(&replaced).clone();
            let mut version = content(index, "a").unwrap();
            while version != file(&mine).content {
                match history.iter().find(|(new, _)| *new == version) {
                    Some((_, old)) => version = *old,
                    None => return false,
                }
            }
            true
        });
        eventually(&store, "a client's turn", |_| number < lock(&replaced).len());
    }
    done.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(scratch.versions().is_empty(), "{:?}", scratch.versions());
}

/// Nobody is there any more who would read it again.
#[test]
fn a_file_that_stays_other_than_the_index_says_is_refused_in_the_end() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "a", "known", Require::Nothing).unwrap();
    assert!(store.open_file(&path("a")).unwrap().is_some());
    store.stop();
    scratch.write("a", "changed by hand");
    let begun = Instant::now();
    assert_eq!(store.open_file(&path("a")).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    assert!(OPEN_TRIES * OPEN_PAUSE <= begun.elapsed());
}
