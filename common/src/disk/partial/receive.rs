//! One partial file while it grows: content is hashed as it comes, and flushed in the background every now and then.
//!
//! ```text
//!     append ──> file, hasher ──── every few MiB, if it has nothing to do ────> "flush" thread: flush the content, then write its mark
//!     dropped    ──> a last flush and mark: everything that came can be continued
//!     finish     ──> is it what was announced? moved to staging, like any other new content : removed
//! ```
//!
//! The stream never waits for the disk because of a mark: while the flush thread is busy a mark is left out, and the next one covers it.
//! A flush that failed fails the whole: what it was about can't be trusted, so it is removed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::marks::{Mark, mark_line};
use super::{Key, Partials};
use crate::disk::{Fingerprint, Hashing, NewContent, Piece, Snapshot, Staged, Stat};
use crate::limits::MARK_BYTES;
use crate::threads::spawn;
use crate::wire::sha256::{Hash, Sha256};

/// A partial file that is being continued. Nobody else has it meanwhile; dropped, it is kept for another time.
#[derive(Debug)]
pub struct Partial {
    partials: Arc<Partials>,
    key: Key,
    length: u64,
    content: File,
    marks: File,
    hashing: Hashing,
    offset: u64,
    /// How far there are marks, or marks on their way.
    marked: u64,
    flusher: Option<Flusher>,
    end: End,
}

/// What becomes of it when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kept,
    Removed,
    /// It is somewhere else already.
    Finished,
}

/// Where complete content went.
#[derive(Debug)]
pub enum Complete {
    /// It is what was announced, and staged.
    Staged(Staged, File),
    /// It is something else with this hash, and removed.
    IsOther(Hash),
}

/// What is known of a partial file, so far and for the next time.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) hasher: Sha256,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Partial {
    /// `content` and `marks` end where `known` says; nobody else has the key.
    pub(super) fn new(
        partials: Arc<Partials>,
        key: Key,
        content: File,
        marks: File,
        known: Known,
    ) -> Partial {
        let Known { hasher, offset, length } = known;
        let (hashing, flusher, end) = (Hashing::after(hasher), None, End::Kept);
        Partial { partials, key, length, content, marks, hashing, offset, marked: offset, flusher, end }
    }

    /// How much of it there is, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How long the whole is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash that the whole is to have.
    pub fn content(&self) -> Hash {
        self.key.content
    }

    /// Appends what came; as with [`Hashing::update`], the buffer may then be another one.
    ///
    /// # Errors
    /// What the disk says, to this or to an earlier flush; `InvalidInput` if the whole would become longer than was announced.
    pub fn append(&mut self, piece: Piece<'_>) -> io::Result<()> {
        let count = piece.len() as u64;
        if self.length - self.offset < count {
            self.end = End::Removed;
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is more than was announced"));
        }
        // A disk that is full, or fails, has no use for a part.
        let taken = self.write(&piece).and_then(|()| self.hashing.update(piece));
        taken.inspect_err(|_| self.end = End::Removed)?;
        self.offset += count;
        if self.marked + MARK_BYTES <= self.offset { self.offer_mark() } else { Ok(()) }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut content = NewContent::after(&self.content, self.offset);
        content.write_all(bytes)?;
        content.finish()
    }

    /// Does away with it.
    pub fn remove(mut self) {
        self.end = End::Removed;
    }

    /// Stages it, if it is what was announced; removes it, if not.
    ///
    /// It is flushed before it is renamed: from then on a crash costs all of it, so the time until it is published is to be short.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self) -> io::Result<Complete> {
        self.end = End::Removed;
        let hash = self.hashing.settle()?.clone().finish();
        if hash != self.key.content {
            return Ok(Complete::IsOther(hash));
        }
        self.stop_flushing()?;
        self.partials.flush(&self.content)?;
        let staged = self.partials.move_to_staging(&self.key)?;
        self.end = End::Finished;
        Ok(Complete::Staged(staged, self.content.try_clone()?))
    }

    fn offer_mark(&mut self) -> io::Result<()> {
        if self.flusher.is_none() {
            self.flusher = Some(self.start_flushing()?);
        }
        let due = DueMark { offset: self.offset, hash: self.hashing.snapshot()? };
        match self.flusher.as_ref().map(|flusher| flusher.queue.try_send(due)) {
            Some(Ok(())) => self.marked = self.offset,
            Some(Err(TrySendError::Full(_))) | None => {}
            Some(Err(TrySendError::Disconnected(_))) => {
                self.end = End::Removed;
                self.stop_flushing()?;
            }
        }
        Ok(())
    }

    fn start_flushing(&self) -> io::Result<Flusher> {
        let (partials, content, marks) =
            (self.partials.clone(), self.content.try_clone()?, self.marks.try_clone()?);
        let (queue, waiting) = sync_channel(1);
        let thread = spawn("flush", move || write_marks(&partials, &content, &marks, &waiting))?;
        Ok(Flusher { queue, thread })
    }

    /// Waits until the marks that are on their way are written.
    fn stop_flushing(&mut self) -> io::Result<()> {
        let Some(Flusher { queue, thread }) = self.flusher.take() else { return Ok(()) };
        drop(queue);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes panicked")))
    }

    /// Makes everything that came durable, and says what is known of it and what the file looks like then.
    fn settle(&mut self) -> io::Result<(Known, Fingerprint)> {
        self.stop_flushing()?;
        let hasher = self.hashing.settle()?.clone();
        if self.marked < self.offset {
            let mark = Mark { offset: self.offset, hash: hasher.clone().finish() };
            write_mark(&self.partials, &self.content, &self.marks, &mark)?;
        }
        let known = Known { hasher, offset: self.offset, length: self.length };
        Ok((known, Stat::of_file(&self.content)?.print))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let is_of_use = self.end == End::Kept && 0 < self.offset;
        match if is_of_use { self.settle().ok() } else { None } {
            Some((known, print)) => self.partials.release(&self.key, known, print),
            None => {
                // The flush thread would go on writing to what is removed.
                let _ = self.stop_flushing();
                self.partials.end(&self.key, self.end == End::Finished);
            }
        }
    }
}

/// The thread that flushes one partial file.
#[derive(Debug)]
struct Flusher {
    queue: SyncSender<DueMark>,
    thread: JoinHandle<io::Result<()>>,
}

/// A mark whose hash may still be on its way.
#[derive(Debug)]
struct DueMark {
    offset: u64,
    hash: Snapshot,
}

fn write_marks(
    partials: &Partials,
    content: &File,
    marks: &File,
    queue: &Receiver<DueMark>,
) -> io::Result<()> {
    queue.iter().try_for_each(|DueMark { offset, hash }| {
        write_mark(partials, content, marks, &Mark { offset, hash: hash.digest()? })
    })
}

/// The content first: a mark that the content does not bear out is no good.
fn write_mark(partials: &Partials, content: &File, mut marks: &File, mark: &Mark) -> io::Result<()> {
    partials.flush(content)?;
    marks.seek(SeekFrom::End(0))?;
    marks.write_all(mark_line(mark).as_bytes())?;
    partials.flush(marks)
}
