//! Boxes as a crash at each point leaves them, and damaged ones: built by hand from a journal, staging and files.

use std::fs;
use std::time::UNIX_EPOCH;

use common::disk::{Fingerprint, Journal};
use common::limits::JOURNAL_COMPACT_BYTES;

use super::super::records::{JournalRecord, MAGIC};
use super::*;

/// A box with `old` (content "old"), `dir`, `dir/x` (content "x") in it, at rest at seq 3.
struct Crashed {
    scratch: Scratch,
    epoch: String,
}

const STAGED: &str = "00000000000000aa-1";
const TAKEN: &str = "00000000000000aa-2-taken";

impl Crashed {
    fn new() -> Crashed {
        let scratch = Scratch::new();
        let store = scratch.open();
        put(&store, "old", "old", Require::Nothing).unwrap();
        make_dir(&store, "dir", 0o755).unwrap();
        put(&store, "dir/x", "x", Require::Nothing).unwrap();
        let epoch = store.index().cursor().epoch.to_string();
        drop(store);
        Crashed { scratch, epoch }
    }

    fn journal(&self, records: &[JournalRecord]) {
        let private = Root::open(&self.scratch.at(".filesync")).unwrap();
        let (mut journal, _) = Journal::open(private, path("journal"), MAGIC, |_| Ok(())).unwrap();
        for record in records {
            journal.append(record.encode().as_bytes()).unwrap();
        }
        journal.flush().unwrap();
    }

    fn put(&self, name: &str, entry: Entry) {
        let staged = Some(STAGED.as_bytes().to_vec());
        self.journal(&[JournalRecord::Put {
            step: STEP,
            origin: Origin::BOX,
            path: path(name),
            entry,
            staged,
        }]);
    }

    fn stage(&self, name: &str, content: &str) {
        fs::write(self.scratch.at(".filesync/staging").join(name), content).unwrap();
    }

    /// What a path looks like on disk now.
    fn print(&self, name: &str) -> Fingerprint {
        let root = Root::open(&self.scratch.at("")).unwrap();
        root.stat(&path(name)).unwrap().unwrap().print
    }

    fn delete(&self, step: Step, name: &str) {
        let print = Some(self.print(name));
        self.journal(&[JournalRecord::Delete { step, origin: Origin::BOX, path: path(name), print }]);
    }

    /// Opens it twice: what the first start repaired the second one finds at rest.
    #[track_caller]
    fn recovered(&self) -> Vec<String> {
        let first = listing(&self.scratch.open());
        let store = self.scratch.open();
        assert_eq!(listing(&store), first);
        assert_eq!((store.reads(), self.scratch.staged()), (0, 0));
        assert_eq!(store.index().cursor().epoch.to_string(), self.epoch);
        first
    }

    fn seq_of(&self, name: &str) -> u64 {
        self.scratch.open().index().get(&path(name)).unwrap().step.seq
    }
}

const STEP: Step = Step { seq: 4, part: 0 };

#[test]
fn published_but_not_seen() {
    let crashed = Crashed::new();
    crashed.put("new", file("new"));
    crashed.scratch.write("new", "new");
    crashed.recovered();
    // What the disk says of the metadata is newer than the record: it came by hand.
    assert_eq!(crashed.scratch.read("new"), "new");
    assert!(crashed.scratch.versions().is_empty());
}

#[test]
fn written_down_but_not_published() {
    for (name, kept) in [("new", 0), ("old", 0), ("dir/new", 0)] {
        let crashed = Crashed::new();
        crashed.put(name, file("new"));
        crashed.stage(STAGED, "new");
        crashed.recovered();
        assert_eq!((crashed.scratch.read(name).as_str(), crashed.scratch.versions().len()), ("new", kept));
    }
}

#[test]
fn written_down_and_then_changed_by_hand() {
    for name in ["new", "old", "gone/new"] {
        let crashed = Crashed::new();
        crashed.put(name, file("new"));
        crashed.stage(STAGED, "new");
        if name != "gone/new" {
            crashed.scratch.write(name, "by hand");
        }
        crashed.recovered();
        assert_eq!(crashed.scratch.versions(), ["new"], "{name}");
        if name != "gone/new" {
            assert_eq!((crashed.scratch.read(name).as_str(), crashed.seq_of(name)), ("by hand", 5));
        }
    }
}

#[test]
fn swapped_but_not_looked_at() {
    let crashed = Crashed::new();
    crashed.put("old", file("new"));
    crashed.scratch.write("old", "new");
    crashed.stage(STAGED, "an edit nobody saw");
    crashed.recovered();
    assert_eq!(crashed.scratch.read("old"), "new");
    assert_eq!(crashed.scratch.versions(), ["an edit nobody saw"]);
}

#[test]
fn written_down_without_its_content() {
    let crashed = Crashed::new();
    crashed.put("old", file("new"));
    let recovered = crashed.recovered();
    assert!(recovered[0].ends_with("-4") && crashed.seq_of("old") == 1, "{recovered:?}");
    let store = crashed.scratch.open();
    let next = put(&store, "old", "next", tag_of("old")).unwrap();
    assert_eq!(next.cursor.seq, 5, "the seq of what was taken back is not used again");
}

/// Who was told of it is told that it is gone.
#[test]
fn published_and_then_removed_by_hand() {
    let crashed = Crashed::new();
    crashed.put("new", file("new"));
    crashed.recovered();
    assert_eq!(live(&crashed.scratch.open()), ["dir", "dir/x", "old"]);
    assert_eq!(crashed.seq_of("new"), 5);
}

/// A power cut took its name back, and not what was written into it.
#[test]
fn published_and_then_written_to_by_hand() {
    for name in ["new", "old"] {
        let crashed = Crashed::new();
        crashed.put(name, file("new"));
        crashed.stage(STAGED, "by hand");
        crashed.recovered();
        assert_eq!((crashed.scratch.read(name).as_str(), crashed.seq_of(name)), ("by hand", 5));
        assert!(crashed.scratch.versions().is_empty());
    }
}

/// Nobody wrote to it: its content did not reach the disk, as it may be with `--no-fsync`.
#[test]
fn written_down_and_torn() {
    let crashed = Crashed::new();
    crashed.put("old", file("new"));
    crashed.stage(STAGED, "ne");
    let staged = crashed.scratch.at(".filesync/staging").join(STAGED);
    let written = UNIX_EPOCH + Duration::from_nanos(file("new").meta.mtime.0.unsigned_abs());
    fs::File::options().write(true).open(staged).unwrap().set_modified(written).unwrap();
    crashed.recovered();
    assert_eq!((crashed.scratch.read("old").as_str(), crashed.seq_of("old")), ("old", 1));
    assert_eq!(crashed.scratch.versions(), ["ne"]);
}

#[test]
fn a_directory_is_made_from_its_record() {
    let crashed = Crashed::new();
    crashed.put("made", directory(0o750));
    crashed.recovered();
    assert_eq!(fs::metadata(crashed.scratch.at("made")).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn metadata_written_down_but_not_set() {
    let crashed = Crashed::new();
    let entry = Entry { meta: Meta { mtime: Mtime(77), mode: 0o600 }, ..file("old") };
    let (origin, path) = (Origin::BOX, path("old"));
    crashed.journal(&[JournalRecord::Put { step: STEP, origin, path, entry, staged: None }]);
    crashed.recovered();
    assert_eq!(crashed.seq_of("old"), 4);
    let found = fs::metadata(crashed.scratch.at("old")).unwrap();
    assert_eq!((found.mode() & 0o777, found.mtime_nsec()), (0o600, 77));
}

#[test]
fn deleted_but_not_removed() {
    let crashed = Crashed::new();
    crashed.delete(Step { seq: 4, part: 0 }, "old");
    crashed.delete(Step { seq: 5, part: 0 }, "dir/x");
    crashed.delete(Step { seq: 6, part: 0 }, "dir");
    crashed.recovered();
    assert!(live(&crashed.scratch.open()).is_empty());
    assert_eq!(fs::read_dir(crashed.scratch.at("")).unwrap().count(), 1);
}

#[test]
fn deleted_and_made_again_by_hand() {
    let crashed = Crashed::new();
    crashed.delete(Step { seq: 4, part: 0 }, "old");
    crashed.delete(Step { seq: 5, part: 0 }, "dir/x");
    crashed.delete(Step { seq: 6, part: 0 }, "dir");
    sleep(Duration::from_millis(30));
    fs::remove_dir_all(crashed.scratch.at("dir")).unwrap();
    fs::create_dir(crashed.scratch.at("dir")).unwrap();
    fs::remove_file(crashed.scratch.at("old")).unwrap();
    crashed.scratch.write("old", "old");
    crashed.recovered();
    assert_eq!(live(&crashed.scratch.open()), ["dir", "old"]);
}

#[test]
fn taken_away_but_not_removed() {
    let crashed = Crashed::new();
    crashed.delete(STEP, "old");
    fs::rename(crashed.scratch.at("old"), crashed.scratch.at(".filesync/staging").join(TAKEN)).unwrap();
    crashed.recovered();
    assert_eq!((crashed.scratch.versions().len(), crashed.scratch.at("old").exists()), (0, false));

    let crashed = Crashed::new();
    crashed.delete(STEP, "old");
    crashed.scratch.write("old", "an edit nobody saw");
    fs::rename(crashed.scratch.at("old"), crashed.scratch.at(".filesync/staging").join(TAKEN)).unwrap();
    crashed.recovered();
    assert_eq!(crashed.scratch.versions(), ["an edit nobody saw"]);
}

impl Crashed {
    /// `dir` was to become `new`.
    fn relocate(&self) {
        let (from, to, print) = (path("dir"), path("new"), self.print("dir"));
        self.journal(&[JournalRecord::Move { seq: 4, origin: Origin::BOX, from, to, count: 2, print }]);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.scratch.at(from), self.scratch.at(to)).unwrap();
    }
}

#[test]
fn moved_but_not_seen() {
    let crashed = Crashed::new();
    crashed.relocate();
    crashed.rename("dir", "new");
    assert!(crashed.recovered()[0].ends_with("-4"), "nothing else happened");
    let store = crashed.scratch.open();
    assert_eq!((live(&store), store.reads()), (vec!["new".into(), "new/x".into(), "old".into()], 0));
}

#[test]
fn written_down_but_not_moved() {
    let crashed = Crashed::new();
    crashed.relocate();
    assert!(crashed.recovered()[0].ends_with("-4"));
    assert_eq!(crashed.scratch.read("new/x"), "x");
    assert_eq!(live(&crashed.scratch.open()), ["new", "new/x", "old"]);
}

#[test]
fn written_down_and_something_is_in_the_way() {
    let crashed = Crashed::new();
    crashed.relocate();
    crashed.scratch.write("new", "by hand");
    crashed.recovered();
    assert_eq!((crashed.scratch.read("new"), crashed.scratch.read("dir/x")), ("by hand".into(), "x".into()));
    assert_eq!(live(&crashed.scratch.open()), ["dir", "dir/x", "new", "old"]);
    // At the next start it is not tried again.
    fs::remove_file(crashed.scratch.at("new")).unwrap();
    assert_eq!(live(&crashed.scratch.open()), ["dir", "dir/x", "old"]);
}

#[test]
fn moved_and_then_changed_by_hand() {
    let crashed = Crashed::new();
    crashed.relocate();
    crashed.rename("dir", "new");
    crashed.scratch.write("new/x", "edited");
    crashed.scratch.write("dir", "a file now");
    crashed.recovered();
    assert_eq!(live(&crashed.scratch.open()), ["dir", "new", "new/x", "old"]);
    assert_eq!(crashed.seq_of("new"), 4);
    assert!(4 < crashed.seq_of("new/x") && 4 < crashed.seq_of("dir"));

    let crashed = Crashed::new();
    crashed.relocate();
    fs::remove_dir_all(crashed.scratch.at("dir")).unwrap();
    crashed.recovered();
    assert_eq!(live(&crashed.scratch.open()), ["old"]);
    assert!(4 < crashed.seq_of("new"), "who was told of the move is told that it is gone");
}

#[test]
fn a_delete_before_a_move_and_one_after_it() {
    let crashed = Crashed::new();
    crashed.scratch.write("dir/y", "y");
    drop(crashed.scratch.open());
    crashed.delete(Step { seq: 5, part: 0 }, "dir/x");
    let (from, to, print) = (path("dir"), path("new"), crashed.print("dir"));
    crashed.journal(&[JournalRecord::Move { seq: 6, origin: Origin::BOX, from, to, count: 2, print }]);
    let print = Some(crashed.print("dir/y"));
    let (step, path) = (Step { seq: 7, part: 0 }, path("new/y"));
    crashed.journal(&[JournalRecord::Delete { step, origin: Origin::BOX, path, print }]);
    crashed.recovered();
    assert_eq!(live(&crashed.scratch.open()), ["new", "old"]);
    assert_eq!(fs::read_dir(crashed.scratch.at("new")).unwrap().count(), 0);
}

#[test]
fn unfinished_uploads_are_swept() {
    let crashed = Crashed::new();
    crashed.stage("00000000000000aa-3", "half a fi");
    fs::create_dir(crashed.scratch.at(".filesync/staging/00000000000000aa-4")).unwrap();
    crashed.recovered();
    assert!(crashed.scratch.versions().is_empty());
}

#[test]
fn a_torn_journal_goes_on() {
    let crashed = Crashed::new();
    let journal = crashed.scratch.at(".filesync/journal");
    let whole = fs::read(&journal).unwrap();
    for cut in 1..200 {
        fs::write(&journal, &whole[..whole.len() - cut]).unwrap();
        let store = crashed.scratch.open();
        assert_eq!(live(&store), ["dir", "dir/x", "old"], "cut by {cut}");
        assert_eq!(store.index().cursor().epoch.to_string(), crashed.epoch);
    }
}

/// Where each record of a journal ends: after the length, the checksum, and so many bytes.
fn ends(journal: &[u8]) -> Vec<usize> {
    let mut ends = vec![MAGIC.len()];
    while let Some(length) = journal[ends[ends.len() - 1]..].first_chunk() {
        ends.push(ends[ends.len() - 1] + 8 + u32::from_le_bytes(*length) as usize);
    }
    ends
}

/// Wherever the last three records are cut, the same history goes on with all files as they are, and so it is at the next start.
#[test]
fn a_journal_cut_at_any_byte_of_its_last_three_records_goes_on() {
    let crashed = Crashed::new();
    {
        let store = crashed.scratch.open();
        put(&store, "old", "newer", Require::Anything).unwrap();
        delete(&store, "dir/x", Require::Anything).unwrap();
        put(&store, "last", "last", Require::Nothing).unwrap();
    }
    let journal = crashed.scratch.at(".filesync/journal");
    let whole = fs::read(&journal).unwrap();
    let ends = ends(&whole);
    assert_eq!(ends.last(), Some(&whole.len()));
    for cut in ends[ends.len() - 4]..whole.len() {
        fs::write(&journal, &whole[..cut]).unwrap();
        let store = crashed.scratch.open();
        assert_eq!(live(&store), ["dir", "last", "old"], "cut to {cut} bytes");
        assert_eq!(store.index().cursor().epoch.to_string(), crashed.epoch, "cut to {cut} bytes");
        put(&store, "after", "after", Require::Anything).unwrap();
        let before = listing(&store);
        drop(store);
        let store = crashed.scratch.open();
        assert_eq!(listing(&store), before, "cut to {cut} bytes");
        assert_eq!(crashed.scratch.read("old") + &crashed.scratch.read("last"), "newerlast");
        drop(store);
        fs::remove_file(crashed.scratch.at("after")).unwrap();
    }
    assert_eq!(crashed.scratch.versions(), [""; 0]);
}

#[test]
fn a_damaged_journal_is_a_new_history_of_the_same_files() {
    let crashed = Crashed::new();
    let journal = crashed.scratch.at(".filesync/journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[30] ^= 1;
    fs::write(&journal, bytes).unwrap();
    crashed.stage(STAGED, "maybe acknowledged");
    let store = crashed.scratch.open();
    assert_eq!(live(&store), ["dir", "dir/x", "old"]);
    assert_ne!(store.index().cursor().epoch.to_string(), crashed.epoch);
    assert_eq!(crashed.scratch.versions(), ["maybe acknowledged"]);
    assert!(crashed.scratch.at(".filesync/journal.damaged").exists());
    let before = listing(&store);
    drop(store);
    assert_eq!(listing(&crashed.scratch.open()), before);
}

/// Whichever bit of the journal flips, the files are what they were, and the next change is as good as any.
#[test]
fn a_flipped_bit_anywhere_in_the_journal_loses_no_file() {
    let crashed = Crashed::new();
    let journal = crashed.scratch.at(".filesync/journal");
    let whole = fs::read(&journal).unwrap();
    // A prime step meets every bit of a byte, and every record.
    for bit in (0..whole.len() * 8).step_by(11) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&journal, bytes).unwrap();
        let store = crashed.scratch.open();
        assert_eq!(live(&store), ["dir", "dir/x", "old"], "bit {bit}");
    }
    assert_eq!(crashed.scratch.read("dir/x"), "x");
    assert_eq!(crashed.scratch.read("old"), "old");
}

#[test]
fn a_lost_journal_is_a_new_history_too() {
    let crashed = Crashed::new();
    fs::remove_file(crashed.scratch.at(".filesync/journal")).unwrap();
    let store = crashed.scratch.open();
    assert_eq!(live(&store), ["dir", "dir/x", "old"]);
    assert_ne!(store.index().cursor().epoch.to_string(), crashed.epoch);
}

#[test]
fn a_restored_box_is_a_new_history_too() {
    let crashed = Crashed::new();
    let (here, backup) = (crashed.scratch.at(""), crashed.scratch.at("../backup"));
    copy_dir(&here, &backup);
    put(&crashed.scratch.open(), "new", "new", Require::Nothing).unwrap();
    fs::rename(&here, crashed.scratch.at("../broken")).unwrap();
    copy_dir(&backup, &here);
    let store = crashed.scratch.open();
    let epoch = store.index().cursor().epoch;
    assert_eq!(live(&store), ["dir", "dir/x", "old"]);
    assert_ne!(epoch.to_string(), crashed.epoch);
    drop(store);
    assert_eq!(crashed.scratch.open().index().cursor().epoch, epoch);
}

#[test]
fn compaction_changes_nothing() {
    let crashed = Crashed::new();
    let store = crashed.scratch.open();
    delete(&store, "old", Require::Something).unwrap();
    drop(store);
    // Many a version of one path, as if the box had been busy for long.
    let journal = crashed.scratch.at(".filesync/journal");
    let entry = file("x");
    let mut seq = 4;
    let mut records = Vec::new();
    while records.len() as u64 * 60 < JOURNAL_COMPACT_BYTES {
        seq += 1;
        let step = Step { seq, part: 0 };
        records.push(JournalRecord::Put {
            step,
            origin: Origin::BOX,
            path: path("dir/x"),
            entry,
            staged: None,
        });
    }
    let print = crashed.print("dir/x");
    let step = Step { seq, part: 0 };
    records.push(JournalRecord::Seen { step, path: path("dir/x"), print });
    crashed.journal(&records);
    assert!(JOURNAL_COMPACT_BYTES < fs::metadata(&journal).unwrap().len());
    let store = crashed.scratch.open();
    put(&store, "new", "new", Require::Nothing).unwrap();
    let before = listing(&store);
    drop(store);
    assert!(fs::metadata(&journal).unwrap().len() < 4096);
    let store = crashed.scratch.open();
    assert_eq!((listing(&store), store.reads()), (before, 0));
}

/// What is missing or cut then was not removed or edited by anybody: who has it whole is not to be told so.
#[test]
fn a_power_cut_where_nobody_flushed_begins_another_history() {
    for (mark, begins_anew) in [(None, false), (Some(this_kernel()), false), (Some("another".into()), true)] {
        let crashed = Crashed::new();
        crashed.scratch.write("old", "");
        fs::remove_file(crashed.scratch.at("dir/x")).unwrap();
        if let Some(mark) = &mark {
            fs::write(crashed.scratch.at(".filesync/unflushed"), mark).unwrap();
        }
        let store = crashed.scratch.open();
        assert_eq!(live(&store), ["dir", "old"]);
        let epoch = store.index().cursor().epoch.to_string();
        assert_eq!(epoch != crashed.epoch, begins_anew, "{mark:?}");
        drop(store);
        assert_eq!(crashed.scratch.open().index().cursor().epoch.to_string(), epoch, "once is enough");
    }
}

fn this_kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap()
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_missing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for round in 0..8 {
        for number in 0..5 {
            let (name, content) = (format!("f{number}"), format!("{round} {number}"));
            put(&store, &name, &content, Require::Anything).unwrap();
        }
        // What a kill leaves is what the disk holds now: a copy of it has other inodes, so everything looks disturbed.
        let copy = Scratch::new();
        copy_dir(&scratch.at(""), &copy.at(""));
        let store = copy.open();
        for number in 0..5 {
            assert_eq!(copy.read(&format!("f{number}")), format!("{round} {number}"));
        }
        assert_eq!(store.index().live(), 5);
    }
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}
