//! Partial files: what came of a transfer that was cut, kept in `.filesync/partial/` so that it can be continued, also after a restart.
//!
//! ```text
//!     partial/OWNER-CONTENT           the first bytes of what has the hash CONTENT; OWNER is a hash of its path and of who sends it
//!     partial/OWNER-CONTENT.marks     how far they are durable (marks.rs)
//! ```
//!
//! So a partial file is only ever continued with more of the same content, and before it is published all of it has to have the hash that
//! was announced. One owner has one content at a time: what it begins takes the place of what it has left, and of what is being left, be it
//! by a connection that nobody has found dead yet. Content that was received while this process runs is known by its look; anything else is
//! read again and compared with its marks before it is continued.
//!
//! What is left lying expires, the oldest first: by age, when there are too many or they take too much room, and when room is needed.
//! Nothing in here is anybody's only copy, so nothing is lost by that but time.

mod marks;
mod receive;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use super::root::Root;
use super::stage::{Stage, Staged};
use super::stat::{Fingerprint, Stat, StatKind};
use crate::limits::{PARTIAL_AGE, PARTIAL_BYTES, PARTIALS};
use crate::threads::lock;
use crate::tree::{Mtime, Path};
use crate::wire::sha256::{Hash, Sha256};
use marks::{head_line, prove};
use receive::Known;
pub use receive::{Complete, Partial};

const DIRECTORY: &[u8] = b"partial";
const MARKS: &str = ".marks";

/// The partial files of one box or folder.
#[derive(Debug)]
pub struct Partials {
    /// `.filesync/partial`.
    dir: Root,
    stage: Arc<Stage>,
    /// Whether marks wait for the disk.
    durable: bool,
    slots: Mutex<BTreeMap<Key, Slot>>,
}

/// What a partial file is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    owner: Hash,
    content: Hash,
}

/// What was found under a key.
#[derive(Debug)]
pub enum Found {
    /// Nothing that could be continued.
    Nothing,
    /// Somebody is at work with it. If that is a connection that has died, it will be noticed soon.
    Busy,
    /// This much.
    Partial(Box<Partial>),
}

#[derive(Debug)]
enum Slot {
    /// Somebody is at work with it.
    Busy,
    /// Somebody is, but its owner has begun something else since: if it is left as a part, it goes.
    Overtaken,
    Idle(Idle),
}

/// A partial file that waits to be continued.
#[derive(Debug)]
struct Idle {
    bytes: u64,
    /// When something was last added to it.
    since: Mtime,
    /// What is known without reading it, as long as it looks like this.
    known: Option<(Known, Fingerprint)>,
}

impl Key {
    /// The key of content with this hash, on its way to `path`. `sender` tells apart those who may send to the same path.
    pub fn new(path: &Path, sender: &str, content: Hash) -> Key {
        let mut owner = Sha256::new();
        owner.update(path.as_bytes());
        // Paths have no NUL.
        owner.update(&[0]);
        owner.update(sender.as_bytes());
        Key { owner: owner.finish(), content }
    }

    fn name(&self) -> Path {
        self.with_end("")
    }

    fn marks_name(&self) -> Path {
        self.with_end(MARKS)
    }

    fn with_end(&self, end: &str) -> Path {
        let name = format!("{}-{}{end}", self.owner, self.content);
        Path::new(name.as_bytes()).expect("hex digits, a hyphen and a word are a path")
    }

    fn of_name(name: &[u8]) -> Option<Key> {
        let (owner, content) = std::str::from_utf8(name).ok()?.split_once('-')?;
        Some(Key { owner: Hash::parse(owner)?, content: Hash::parse(content)? })
    }
}

// ---- For transfers ---------------------------------------------------------------------------------------------------------------

impl Partials {
    /// Opens those in a private directory, and removes what has expired.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(private: &Root, stage: Arc<Stage>, durable: bool) -> io::Result<Arc<Partials>> {
        let dir = private.sub_root(DIRECTORY)?;
        let found: BTreeMap<Vec<u8>, Stat> = dir.list(None)?.into_iter().collect();
        let mut slots = BTreeMap::new();
        for (name, stat) in &found {
            let content = name.strip_suffix(MARKS.as_bytes()).unwrap_or(name);
            let is_whole =
                found.contains_key(&[content, MARKS.as_bytes()].concat()) && found.contains_key(content);
            match Key::of_name(content).filter(|_| is_whole && stat.kind == StatKind::File) {
                Some(key) if content == name => {
                    slots.insert(key, Slot::Idle(Idle { bytes: stat.size, since: stat.mtime, known: None }));
                }
                Some(_) => {}
                // Whatever it is, it is not ours to keep; a directory nobody here has made.
                None => drop(Path::new(name).map(|name| dir.remove_file(&name))),
            }
        }
        let partials = Partials { dir, stage, durable, slots: Mutex::new(slots) };
        partials.expire();
        Ok(Arc::new(partials))
    }

    /// Begins anew, in the place of all that the same owner has left. `None`: somebody is at work with it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn begin(self: &Arc<Partials>, key: Key, length: u64) -> io::Result<Option<Partial>> {
        {
            let mut slots = lock(&self.slots);
            if matches!(slots.get(&key), Some(Slot::Busy | Slot::Overtaken)) {
                return Ok(None);
            }
            self.forget_if(&mut slots, |other, _| other.owner == key.owner);
            for (_, busy) in slots.iter_mut().filter(|(other, _)| other.owner == key.owner) {
                *busy = Slot::Overtaken;
            }
            self.keep_within_bounds(&mut slots);
            slots.insert(key, Slot::Busy);
        }
        let made = self.make(&key, length);
        if made.is_err() {
            self.end(&key, false);
        }
        let (content, marks) = made?;
        let known = Known { hasher: Sha256::new(), offset: 0, length };
        Ok(Some(Partial::new(self.clone(), key, content, marks, known)))
    }

    /// Goes on with what there is, after making sure of it. That may take as long as reading it.
    ///
    /// # Errors
    /// What the file system says; it may be tried again.
    pub fn resume(self: &Arc<Partials>, key: Key) -> io::Result<Found> {
        let idle = {
            let mut slots = lock(&self.slots);
            let Some(slot) = slots.get_mut(&key) else { return Ok(Found::Nothing) };
            match mem::replace(slot, Slot::Busy) {
                Slot::Idle(idle) => idle,
                busy => {
                    *slot = busy;
                    return Ok(Found::Busy);
                }
            }
        };
        let Idle { bytes, since, known } = idle;
        match self.open_proven(&key, known) {
            Ok(Some((content, marks, known))) => {
                let partial = Partial::new(self.clone(), key, content, marks, known);
                Ok(Found::Partial(Box::new(partial)))
            }
            Ok(None) => {
                self.end(&key, false);
                Ok(Found::Nothing)
            }
            Err(error) => {
                self.leave(&key, Idle { bytes, since, known: None });
                Err(error)
            }
        }
    }

    fn make(&self, key: &Key, length: u64) -> io::Result<(File, File)> {
        let content = self.dir.create_new(&key.name(), 0o600)?;
        let mut marks = self.dir.create_new(&key.marks_name(), 0o600)?;
        marks.write_all(head_line(length).as_bytes())?;
        Ok((content, marks))
    }

    /// Both files, cut to what is proven. `None`: nothing is.
    fn open_proven(
        &self,
        key: &Key,
        known: Option<(Known, Fingerprint)>,
    ) -> io::Result<Option<(File, File, Known)>> {
        let content = self.dir.open_write(&key.name())?;
        let marks = self.dir.open_write(&key.marks_name())?;
        if let Some((known, print)) = known
            && Stat::of_file(&content)?.print == print
        {
            content.set_len(known.offset)?;
            return Ok(Some((content, marks, known)));
        }
        let Some(proven) =
            prove(&mut &content, &mut BufReader::new(&marks))?.filter(|proven| 0 < proven.offset)
        else {
            return Ok(None);
        };
        content.set_len(proven.offset)?;
        marks.set_len(proven.marks_bytes)?;
        let known = Known { hasher: proven.hasher, offset: proven.offset, length: proven.length };
        Ok(Some((content, marks, known)))
    }
}

// ---- For a partial file that is done with ----------------------------------------------------------------------------------------

impl Partials {
    fn flush(&self, file: &File) -> io::Result<()> {
        if self.durable { file.sync_data() } else { Ok(()) }
    }

    /// Makes it a staged file. The new name is durable, too: a journal may be about to speak of it.
    fn move_to_staging(&self, key: &Key) -> io::Result<Staged> {
        let staged = self.stage.take_in(&self.dir, &key.name())?;
        if self.durable {
            staged.sync_name()?;
        }
        Ok(staged)
    }

    /// Lets others have it.
    fn release(&self, key: &Key, known: Known, print: Fingerprint) {
        self.leave(key, Idle { bytes: known.offset, since: now(), known: Some((known, print)) });
    }

    /// Nobody is at work with it any more.
    fn leave(&self, key: &Key, idle: Idle) {
        let mut slots = lock(&self.slots);
        if let Some(Slot::Overtaken) = slots.get(key) {
            self.remove_files(key);
            slots.remove(key);
        } else {
            slots.insert(*key, Slot::Idle(idle));
        }
    }

    /// Forgets it, and removes what is left of it. Errors are of no consequence: what stays is found at the next start.
    fn end(&self, key: &Key, is_elsewhere: bool) {
        let mut slots = lock(&self.slots);
        match is_elsewhere {
            true => drop(self.dir.remove_file(&key.marks_name())),
            false => self.remove_files(key),
        }
        slots.remove(key);
    }

    fn remove_files(&self, key: &Key) {
        for name in [key.marks_name(), key.name()] {
            // Errors are of no consequence: what stays is found at the next start.
            let _ = self.dir.remove_file(&name);
        }
    }
}

// ---- What is left lying ----------------------------------------------------------------------------------------------------------

impl Partials {
    /// Removes what is too old, and what is too much.
    pub fn expire(&self) {
        let mut slots = lock(&self.slots);
        let now = i128::from(now().0);
        let age = |idle: &Idle| u128::try_from(now - i128::from(idle.since.0)).unwrap_or(0);
        self.forget_if(&mut slots, |_, idle| PARTIAL_AGE.as_nanos() < age(idle));
        self.keep_within_bounds(&mut slots);
    }

    /// Removes all that nobody is at work with: nobody will ask for it any more.
    pub fn clear(&self) {
        self.forget_if(&mut lock(&self.slots), |_, _| true);
    }

    /// Removes the oldest until so many bytes are free that were not, if that can be had; otherwise nothing. Whether it can.
    pub fn give_way(&self, needed: u64) -> bool {
        let mut slots = lock(&self.slots);
        let bytes = |slots: &BTreeMap<Key, Slot>| idle(slots).map(|(_, idle)| idle.bytes).sum::<u64>();
        let all = bytes(&slots);
        if all < needed {
            return false;
        }
        while all - bytes(&slots) < needed && self.forget_oldest(&mut slots) {}
        true
    }

    fn keep_within_bounds(&self, slots: &mut BTreeMap<Key, Slot>) {
        let is_too_much = |slots: &BTreeMap<Key, Slot>| {
            let (count, bytes) =
                idle(slots).fold((0, 0), |(count, bytes), (_, idle)| (count + 1, bytes + idle.bytes));
            // A single one may be larger than all together should be.
            PARTIALS < count || 1 < count && PARTIAL_BYTES < bytes
        };
        while is_too_much(slots) && self.forget_oldest(slots) {}
    }

    fn forget_oldest(&self, slots: &mut BTreeMap<Key, Slot>) -> bool {
        let Some(oldest) = idle(slots).min_by_key(|(_, idle)| idle.since).map(|(key, _)| *key) else {
            return false;
        };
        self.remove_files(&oldest);
        slots.remove(&oldest);
        true
    }

    fn forget_if(&self, slots: &mut BTreeMap<Key, Slot>, is_unwanted: impl Fn(&Key, &Idle) -> bool) {
        slots.retain(|key, slot| match slot {
            Slot::Idle(idle) if is_unwanted(key, idle) => {
                self.remove_files(key);
                false
            }
            _ => true,
        });
    }
}

fn idle(slots: &BTreeMap<Key, Slot>) -> impl Iterator<Item = (&Key, &Idle)> {
    slots.iter().filter_map(|(key, slot)| match slot {
        Slot::Idle(idle) => Some((key, idle)),
        Slot::Busy | Slot::Overtaken => None,
    })
}

fn now() -> Mtime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Mtime::from_parts(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use crate::disk::Piece;
    use crate::limits::MARK_BYTES;
    use crate::wire::sha256::sha256;
    use std::fs;
    use std::fs::FileTimes;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    fn open(scratch: &Scratch) -> Arc<Partials> {
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(super::super::PRIVATE_DIRECTORY).unwrap();
        let stage = Stage::open(root, &private, 1).unwrap();
        Partials::open(&private, stage, true).unwrap()
    }

    fn key(path: &str, sender: &str, content: &[u8]) -> Key {
        Key::new(&Path::new(path.as_bytes()).unwrap(), sender, sha256(content))
    }

    /// Content as long as three marks and a little, without repetition.
    fn content() -> Vec<u8> {
        (0..(3 * MARK_BYTES + 1000) as u32 / 4)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect()
    }

    fn append(partial: &mut Partial, bytes: &[u8]) -> io::Result<()> {
        partial.append(Piece::of(&mut bytes.to_vec(), bytes.len()))
    }

    /// How much there is to continue, after leaving it as it is.
    fn kept(partials: &Arc<Partials>, key: Key) -> Option<u64> {
        match partials.resume(key).unwrap() {
            Found::Nothing => None,
            Found::Partial(partial) => Some(partial.offset()),
            Found::Busy => panic!("busy"),
        }
    }

    fn names(scratch: &Scratch) -> usize {
        fs::read_dir(scratch.path().join(".filesync/partial")).unwrap().count()
    }

    fn leave(partials: &Arc<Partials>, key: Key, whole: u64, bytes: &[u8]) {
        let mut partial = partials.begin(key, whole).unwrap().unwrap();
        bytes.chunks(100_000).for_each(|bytes| append(&mut partial, bytes).unwrap());
    }

    #[test]
    fn what_was_cut_goes_on() {
        let (scratch, content) = (Scratch::new(), content());
        let (key, whole) = (key("a", "", &content), content.len() as u64);
        let partials = open(&scratch);
        assert_eq!(kept(&partials, key), None);
        let (first, rest) = content.split_at(1_234_567);
        leave(&partials, key, whole, first);
        // In the same process, in another one, and in a third that had more.
        assert_eq!(kept(&partials, key), Some(1_234_567));
        let partials = open(&scratch);
        assert_eq!(kept(&partials, key), Some(1_234_567));
        let Found::Partial(mut partial) = partials.resume(key).unwrap() else { panic!() };
        assert!(matches!(partials.resume(key).unwrap(), Found::Busy));
        assert!(partials.begin(key, whole).unwrap().is_none(), "somebody is at work with it");
        append(&mut partial, rest).unwrap();
        let Complete::Staged(staged, _) = partial.finish().unwrap() else { panic!() };
        assert_eq!(fs::read(scratch.path().join(".filesync/staging").join(name(&staged))).unwrap(), content);
        assert_eq!((kept(&partials, key), names(&scratch)), (None, 0));
    }

    fn name(staged: &Staged) -> String {
        String::from_utf8(staged.name().to_vec()).unwrap()
    }

    /// A process that is killed leaves no last mark, and content beyond the last one.
    #[test]
    fn a_kill_costs_what_has_no_mark() {
        let (scratch, content) = (Scratch::new(), content());
        let (key, whole) = (key("a", "", &content), content.len() as u64);
        let partials = open(&scratch);
        let mut partial = partials.begin(key, whole).unwrap().unwrap();
        append(&mut partial, &content[..(2 * MARK_BYTES + 5) as usize]).unwrap();
        let durable = (2 * MARK_BYTES + 5) as usize;
        append(&mut partial, &content[durable..durable + 1000]).unwrap();
        // The first piece has a mark; it is on its way.
        let marks = scratch.path().join(".filesync/partial").join(format!("{}", key.marks_name()));
        while fs::read(&marks).unwrap().iter().filter(|&&byte| byte == b'\n').count() < 2 {
            std::thread::yield_now();
        }
        std::mem::forget(partial);
        let partials = open(&scratch);
        assert_eq!(kept(&partials, key), Some(2 * MARK_BYTES + 5));
    }

    #[test]
    fn content_that_has_changed_is_not_continued() {
        let (scratch, content) = (Scratch::new(), content());
        let (key, whole) = (key("a", "", &content), content.len() as u64);
        let partials = open(&scratch);
        leave(&partials, key, whole, &content[..5_000_000]);
        let Found::Partial(mut partial) = partials.resume(key).unwrap() else { panic!() };
        append(&mut partial, &content[5_000_000..6_000_000]).unwrap();
        drop(partial);
        let path = scratch.path().join(".filesync/partial").join(format!("{}", key.name()));
        let flip = |at: u64| {
            let file = fs::File::options().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[!byte[0]], at).unwrap();
        };
        // Behind the first mark: what is before it stands. While the process runs, too.
        flip(5_500_000);
        assert_eq!(kept(&partials, key), Some(5_000_000));
        assert_eq!(kept(&open(&scratch), key), Some(5_000_000));
        flip(100);
        assert_eq!(kept(&open(&scratch), key), None);
        assert_eq!(names(&scratch), 0, "what nothing can be made of is removed");
    }

    #[test]
    fn other_content_is_refused() {
        let scratch = Scratch::new();
        let (partials, key) = (open(&scratch), key("a", "", b"0123456789"));
        leave(&partials, key, 10, b"01234");
        let Found::Partial(mut partial) = partials.resume(key).unwrap() else { panic!() };
        append(&mut partial, b"x6789").unwrap();
        assert!(
            matches!(partial.finish().unwrap(), Complete::IsOther(hash) if hash == sha256(b"01234x6789"))
        );
        assert_eq!((kept(&partials, key), names(&scratch)), (None, 0));
        let mut partial = partials.begin(key, 10).unwrap().unwrap();
        assert!(append(&mut partial, b"0123456789a").is_err(), "more than was announced");
        drop(partial);
        assert_eq!(names(&scratch), 0);
    }

    #[test]
    fn an_owner_has_one_content_at_a_time() {
        let scratch = Scratch::new();
        let partials = open(&scratch);
        let (first, second) = (key("a", "x", b"0123"), key("a", "x", b"4567"));
        let (other_sender, other_path) = (key("a", "y", b"0123"), key("b", "x", b"0123"));
        for key in [first, other_sender, other_path] {
            leave(&partials, key, 4, b"01");
        }
        leave(&partials, second, 4, b"45");
        assert_eq!(
            [first, second, other_sender, other_path].map(|key| kept(&partials, key)),
            [None, Some(2), Some(2), Some(2)]
        );
        leave(&partials, second, 4, b"4");
        assert_eq!(kept(&partials, second), Some(1), "it began anew");
        partials.clear();
        assert_eq!(names(&scratch), 0);
    }

    /// As when a connection has died, the content was edited and is sent anew, and only then the server notices that the first is dead.
    #[test]
    fn what_is_begun_while_the_last_is_at_work_takes_its_place() {
        let scratch = Scratch::new();
        let partials = open(&scratch);
        let (first, second) = (key("a", "x", b"0123"), key("a", "x", b"4567"));
        let begin = |key, bytes: &[u8]| {
            let mut partial = partials.begin(key, 4).unwrap().unwrap();
            append(&mut partial, bytes).unwrap();
            partial
        };
        let (dead, alive) = (begin(first, b"01"), begin(second, b"4567"));
        assert!(matches!(partials.resume(first).unwrap(), Found::Busy));
        assert!(partials.begin(first, 4).unwrap().is_none());
        let Complete::Staged(..) = alive.finish().unwrap() else { panic!() };
        drop(dead);
        assert_eq!(kept(&partials, first), None);
        assert_eq!(names(&scratch), 0);
        // Whoever was overtaken and is not dead gets to the end of it.
        let (alive, dead) = (begin(first, b"0123"), begin(second, b"45"));
        let Complete::Staged(..) = alive.finish().unwrap() else { panic!() };
        drop(dead);
        assert_eq!([first, second].map(|key| kept(&partials, key)), [None, Some(2)]);
    }

    #[test]
    fn what_is_left_lying_expires() {
        let scratch = Scratch::new();
        let directory = scratch.path().join(".filesync/partial");
        let partials = open(&scratch);
        let (old, new) = (key("old", "", b"01"), key("new", "", b"01"));
        for key in [old, new] {
            leave(&partials, key, 2, b"0");
        }
        let long_ago = SystemTime::now() - PARTIAL_AGE - Duration::from_secs(1);
        let file = fs::File::options().write(true).open(directory.join(format!("{}", old.name()))).unwrap();
        file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        for stray in [
            "stray",
            &format!("{}", key("c", "", b"").name()),
            &format!("{}", key("d", "", b"").marks_name()),
        ] {
            fs::write(directory.join(stray), b"").unwrap();
        }
        let partials = open(&scratch);
        assert_eq!((kept(&partials, old), kept(&partials, new), names(&scratch)), (None, Some(1), 2));
        assert!(!partials.give_way(2) && partials.give_way(1));
        assert_eq!(names(&scratch), 0);
        for number in 0..PARTIALS + 3 {
            leave(&partials, key(&number.to_string(), "", b"01"), 2, b"0");
        }
        partials.expire();
        assert_eq!(names(&scratch), 2 * PARTIALS);
        assert_eq!(kept(&partials, key("0", "", b"01")), None, "the oldest go first");
    }

    #[test]
    fn all_together_take_so_much() {
        let scratch = Scratch::new();
        let partials = open(&scratch);
        let idle = |name: &str, bytes, since| {
            (key(name, "", b""), Slot::Idle(Idle { bytes, since: Mtime(since), known: None }))
        };
        let left = |slots: [(Key, Slot); 3]| {
            let mut slots = BTreeMap::from(slots);
            partials.keep_within_bounds(&mut slots);
            slots.len()
        };
        let half = PARTIAL_BYTES / 2;
        assert_eq!(left([idle("1", half, 1), idle("2", half - 1, 2), idle("3", 1, 3)]), 3);
        assert_eq!(left([idle("1", 1, 1), idle("2", half, 2), idle("3", half, 3)]), 2);
        assert_eq!(left([idle("1", 1, 1), idle("2", 1, 2), idle("3", 2 * PARTIAL_BYTES, 3)]), 1);
    }
}
