//! Content that was replaced or removed a moment ago, kept for a while in `.filesync/retained/`.
//!
//! When two names are swapped each needs what the other is just losing; in a cycle of names everyone does. Whoever comes first replaces
//! the only instance of what somebody else is about to ask for. So it is not removed at once, but retained for some seconds, and found
//! there by its content:
//!
//! ```text
//!     a holds A, b holds B, wanted is a: B, b: A
//!         a <- copy of b         A is retained
//!         b <- copy of A         B is retained; both are forgotten after RETAINED_FOR
//! ```
//!
//! All of it is only a help: nothing depends on it, and it goes whenever the room is needed. What an earlier run left is removed at the
//! start. Only what was looked at, and is what its name held according to whoever replaced it, is ever retained; what was written to
//! afterwards, by a program that had it open, looks different and is not given out.
//!
//! Between its name and this place content is nowhere for some system calls. Who replaces it says so before ([`Retained::expect`]), and who
//! looks for it meanwhile waits: whoever finds that it has left its name finds it here.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::root::{RenameMode, Root};
use super::stat::{Fingerprint, Stat};
use crate::limits::{RETAINED_FILES, RETAINED_FOR};
use crate::threads::lock;
use crate::tree::{Content, Path};

/// Name of the directory inside the private directory.
const RETAINED: &[u8] = b"retained";

/// What is retained for one box or folder.
#[derive(Debug)]
pub struct Retained {
    /// `.filesync/retained`.
    place: Root,
    /// The oldest first.
    items: Mutex<VecDeque<Item>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Item {
    /// Where it was.
    path: Path,
    content: Content,
    /// Its name among what is retained.
    name: Path,
    /// What it looks like there as long as nobody writes to it.
    print: Fingerprint,
    since: Instant,
}

/// A file with content that was somewhere until a moment ago.
#[derive(Debug)]
pub struct RetainedFile {
    /// What is in it.
    pub content: Content,
    /// Open for reading, from its beginning.
    pub file: File,
    /// What is known of it, as long as it stays what it is.
    pub stat: Stat,
}

impl Retained {
    /// Opens the place inside the private directory, makes it at first, and removes what an earlier run left.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open(private: &Root) -> io::Result<Retained> {
        let place = private.sub_root(RETAINED)?;
        for (name, _) in place.list(None)? {
            place.remove_file(&Path::new(&name).map_err(io::Error::other)?)?;
        }
        Ok(Retained { place, items: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Something is about to leave its name, and most likely comes here. Until that is decided nobody finds anything.
    pub(super) fn expect(&self) -> Expected<'_> {
        Expected { retained: self, items: lock(&self.items) }
    }

    /// The file with this content, wherever it was.
    pub fn find(&self, content: &Content) -> Option<RetainedFile> {
        self.find_by(|item| item.content == *content)
    }

    /// A file that was at `path` and holds a content that is wanted.
    pub fn find_at(&self, path: &Path, is_wanted: impl Fn(&Content) -> bool) -> Option<RetainedFile> {
        self.find_by(|item| item.path == *path && is_wanted(&item.content))
    }

    /// The youngest first.
    fn find_by(&self, is_wanted: impl Fn(&Item) -> bool) -> Option<RetainedFile> {
        let items = lock(&self.items);
        items.iter().rev().filter(|item| is_wanted(item)).find_map(|item| {
            let file = self.place.open_file(&item.name).ok()?;
            let stat = Stat::of_file(&file).ok().filter(|stat| stat.print == item.print)?;
            Some(RetainedFile { content: item.content, file, stat })
        })
    }

    /// When the oldest is to be forgotten; `None` if nothing is retained.
    pub(super) fn due(&self) -> Option<Instant> {
        lock(&self.items).front().map(|oldest| oldest.since + RETAINED_FOR)
    }

    /// Forgets what was retained long enough.
    pub(super) fn forget_old(&self) {
        let mut items = lock(&self.items);
        let old = items.iter().take_while(|item| RETAINED_FOR <= item.since.elapsed()).count();
        let old: Vec<Item> = items.drain(..old).collect();
        drop(items);
        self.remove(old);
    }

    /// Forgets everything: the room is needed, or the work is over.
    pub fn forget_all(&self) {
        let all = std::mem::take(&mut *lock(&self.items));
        self.remove(all);
    }

    /// Nothing to do about an error: the next start removes what is left.
    fn remove(&self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            let _ = self.place.remove_file(&item.name);
        }
    }
}

/// Room for something that is about to be replaced or removed; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    retained: &'a Retained,
    items: MutexGuard<'a, VecDeque<Item>>,
}

impl Expected<'_> {
    /// Takes a file out of the staging directory that held `content` at `path` until a moment ago.
    ///
    /// # Errors
    /// What the file system says; it is where it was then.
    pub(super) fn take(
        mut self,
        (staging, staged): (&Root, &Path),
        path: &Path,
        content: Content,
    ) -> io::Result<()> {
        let Retained { place, next, .. } = self.retained;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let name = Path::new(format!("{number:x}").as_bytes()).map_err(io::Error::other)?;
        Root::rename((staging, staged), (place, &name), RenameMode::NoReplace)?;
        match place.stat(&name) {
            Ok(Some(stat)) => {
                let (path, print, since) = (path.clone(), stat.print, Instant::now());
                self.items.push_back(Item { path, content, name, print, since });
                let surplus = self.items.len().saturating_sub(RETAINED_FILES);
                let surplus: Vec<Item> = self.items.drain(..surplus).collect();
                drop(self.items);
                self.retained.remove(surplus);
            }
            // Nobody will find it; the next start removes what is left.
            _ => drop(place.remove_file(&name)),
        }
        Ok(())
    }
}

/// Whether it is content that a transfer would cost anything for.
pub(super) fn is_worth_retaining(content: &Content) -> bool {
    matches!(content, Content::File { size, .. } if 0 < *size)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::sync::Arc;

    use super::super::root::Above;
    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::disk::{Expect, Outcome, Stage};
    use crate::wire::sha256::sha256;

    fn content(text: &str) -> Content {
        Content::File { size: text.len() as u64, hash: sha256(text.as_bytes()) }
    }

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn open(scratch: &Scratch) -> (Arc<Root>, Arc<Stage>) {
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        (root.clone(), Stage::open(root, &private, 1).unwrap())
    }

    fn text(found: Option<RetainedFile>) -> Option<String> {
        let mut text = String::new();
        found?.file.read_to_string(&mut text).unwrap();
        Some(text)
    }

    /// Names retained on disk.
    fn on_disk(scratch: &Scratch) -> usize {
        fs::read_dir(scratch.path().join(".filesync/retained")).unwrap().count()
    }

    #[test]
    fn what_is_replaced_or_removed_is_found_by_content_for_a_while() {
        let scratch = Scratch::new();
        let (root, stage) = open(&scratch);
        let print = |name: &str| Expect::Print(root.stat(&path(name)).unwrap().unwrap().print);
        fs::write(scratch.path().join("a"), "A").unwrap();
        fs::write(scratch.path().join("b"), "B").unwrap();
        let (staged, _) = stage.file().unwrap();
        let replaced = staged
            .publish_retaining(&path("a"), print("a"), Some(content("A")), &mut Above::default())
            .unwrap();
        assert!(matches!(replaced, Outcome::Done(_)));
        let removed = stage.remove_retaining(&path("b"), print("b"), Some(content("B"))).unwrap();
        assert!(matches!(removed, Outcome::Done(())) && !scratch.path().join("b").exists());
        let retained = stage.retained();
        assert_eq!(text(retained.find(&content("A"))), Some("A".into()));
        assert_eq!(text(retained.find_at(&path("b"), |_| true)), Some("B".into()));
        assert_eq!(text(retained.find_at(&path("b"), |held| *held == content("A"))), None);
        assert_eq!(text(retained.find(&content("C"))), None);
        assert!(retained.due().is_some());
        retained.forget_old();
        assert_eq!(on_disk(&scratch), 2, "it is not old yet");
        retained.forget_all();
        assert_eq!((on_disk(&scratch), retained.due()), (0, None));
    }

    #[test]
    fn what_was_written_to_meanwhile_is_not_given_out_and_nothing_outlives_a_restart() {
        let scratch = Scratch::new();
        let (root, stage) = open(&scratch);
        fs::write(scratch.path().join("a"), "A").unwrap();
        let print = root.stat(&path("a")).unwrap().unwrap().print;
        // Somebody has it open.
        let mut held = fs::OpenOptions::new().append(true).open(scratch.path().join("a")).unwrap();
        stage.remove_retaining(&path("a"), Expect::Print(print), Some(content("A"))).unwrap();
        std::io::Write::write_all(&mut held, b"nd more").unwrap();
        assert_eq!(text(stage.retained().find(&content("A"))), None);
        assert_eq!(on_disk(&scratch), 1);
        let (_, stage) = open(&scratch);
        assert_eq!((on_disk(&scratch), stage.retained().due()), (0, None));
    }

    #[test]
    fn what_has_left_its_name_is_found_at_once() {
        const ROUNDS: usize = 300;
        let scratch = Scratch::new();
        let (root, stage) = open(&scratch);
        fs::write(scratch.path().join("a"), "0").unwrap();
        let replacing = std::thread::spawn({
            let (root, stage) = (root.clone(), stage.clone());
            move || {
                for number in 0..ROUNDS {
                    let (staged, mut file) = stage.file().unwrap();
                    std::io::Write::write_all(&mut file, (number + 1).to_string().as_bytes()).unwrap();
                    let expect = Expect::Print(root.stat(&path("a")).unwrap().unwrap().print);
                    let was = Some(content(&number.to_string()));
                    let published =
                        staged.publish_retaining(&path("a"), expect, was, &mut Above::default()).unwrap();
                    assert!(matches!(published, Outcome::Done(_)));
                }
            }
        });
        for number in 0..ROUNDS {
            let number = number.to_string();
            while fs::read_to_string(scratch.path().join("a")).unwrap() == number {}
            assert_eq!(text(stage.retained().find(&content(&number))), Some(number));
        }
        replacing.join().unwrap();
    }

    #[test]
    fn there_is_a_bound() {
        let scratch = Scratch::new();
        let (root, stage) = open(&scratch);
        for number in 0..RETAINED_FILES + 3 {
            fs::write(scratch.path().join("a"), number.to_string()).unwrap();
            let print = root.stat(&path("a")).unwrap().unwrap().print;
            let was = Some(content(&number.to_string()));
            stage.remove_retaining(&path("a"), Expect::Print(print), was).unwrap();
        }
        assert_eq!(on_disk(&scratch), RETAINED_FILES);
        assert_eq!(text(stage.retained().find(&content("2"))), None);
        assert_eq!(text(stage.retained().find(&content("3"))), Some("3".into()));
    }

    #[test]
    fn what_is_retained_is_forgotten_in_time() {
        let scratch = Scratch::new();
        let (root, stage) = open(&scratch);
        let before = Instant::now();
        fs::write(scratch.path().join("a"), "1").unwrap();
        let print = root.stat(&path("a")).unwrap().unwrap().print;
        stage.remove_retaining(&path("a"), Expect::Print(print), Some(content("1"))).unwrap();
        let retained = stage.retained();
        let due = retained.due().unwrap();
        assert!((before + RETAINED_FOR..=Instant::now() + RETAINED_FOR).contains(&due));
        let grow_old = |age| lock(&retained.items)[0].since = Instant::now().checked_sub(age).unwrap();
        grow_old(RETAINED_FOR / 2);
        retained.forget_old();
        assert_eq!((on_disk(&scratch), retained.due().is_some()), (1, true));
        grow_old(RETAINED_FOR);
        retained.forget_old();
        assert_eq!((on_disk(&scratch), retained.due()), (0, None));
    }
}
