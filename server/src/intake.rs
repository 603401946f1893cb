//! Lists on their way in: each is taken in whole before it is answered.
//!
//! A proxy between client and server may read nothing of an answer before the request has ended, or pass nothing of a request on once its
//! answer has begun. So no answer may begin within a request, however long that is.
//!
//! ```text
//!     body -> buffer ---- ends within it --------------------> read from memory
//!                \------- longer: a file without a name -----> read from the file
//! ```
//!
//! Each account, which is all who see the same folder, may take as much of the disk for its lists as it leaves over: of a bound for all of
//! them, and of what is free. So one that takes all it can have leaves half to the next.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek, Write};
use std::sync::Mutex;

use common::limits::{BODY_PIECE_BYTES, LIST_BYTES, LIST_MEMORY_BYTES, LISTS_BYTES};
use common::protocol::{Problem, ProblemKind};
use common::threads::lock;

use crate::answer::{Answer, Content, Refusal};
use crate::auth::Denied;
use crate::realm::Account;
use crate::view::View;
use crate::vigil::Vigil;

/// What all lists take of the disk.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Bytes, by account.
    held: Mutex<HashMap<Account, u64>>,
}

/// What one list takes of it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    lists: &'a Lists,
    account: Account,
    bytes: u64,
}

/// Why there is no more room for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRoom {
    /// It is longer than any may be.
    TooLong,
    /// Others are in the way. Later it may be taken in.
    Busy,
    /// The disk has to have some left.
    Disk,
}

impl Lists {
    /// Room for a list of this account, none of it taken yet.
    pub(crate) fn room(&self, account: Account) -> Room<'_> {
        Room { lists: self, account, bytes: 0 }
    }
}

impl Room<'_> {
    /// Takes more, while the disk has so many bytes free.
    fn grow(&mut self, bytes: u64, free: u64) -> Result<(), NoRoom> {
        if LIST_BYTES < self.bytes + bytes {
            return Err(NoRoom::TooLong);
        }
        let mut held = lock(&self.lists.held);
        let all = held.values().sum::<u64>() + bytes;
        let own = held.get(&self.account).copied().unwrap_or(0) + bytes;
        if LISTS_BYTES.saturating_sub(all) < own {
            return Err(NoRoom::Busy);
        }
        if free.saturating_sub(bytes) < own {
            return Err(NoRoom::Disk);
        }
        held.insert(self.account.clone(), own);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut held = lock(&self.lists.held);
        let left = held.get(&self.account).copied().unwrap_or(0).saturating_sub(self.bytes);
        match left {
            0 => held.remove(&self.account),
            left => held.insert(self.account.clone(), left),
        };
    }
}

impl From<NoRoom> for Refusal {
    fn from(none: NoRoom) -> Refusal {
        match none {
            NoRoom::TooLong => {
                let detail = format!("a list has at most {LIST_BYTES} bytes");
                Refusal::new(ProblemKind::TooLarge, detail)
            }
            NoRoom::Busy => {
                let detail = "other long lists are being taken in, and there is no room for one more";
                let busy = Answer::problem(&Problem::new(ProblemKind::Busy, detail));
                busy.with("retry-after", "5").into()
            }
            NoRoom::Disk => Refusal::new(ProblemKind::NoSpace, "the box has no room to take the list in"),
        }
    }
}

/// A list that has come as a whole, to be read from its beginning.
#[derive(Debug)]
pub(crate) enum Intake<'a> {
    /// It was short.
    Memory(Cursor<Vec<u8>>),
    /// It was not.
    Disk(Spool<'a>),
}

/// A file that has no name, so that nothing is left of it when it is closed, whatever happens.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    file: File,
    room: Room<'a>,
}

impl<'a> Intake<'a> {
    /// Reads a body to its end. It may be as slow as any body; a token may end meanwhile.
    ///
    /// # Errors
    /// The body breaks off, there is no room for it, or the client may not be here any more.
    pub(crate) fn of(view: &View<'a>, body: &mut dyn Content) -> Result<Intake<'a>, Refusal> {
        body.wait_for_piece().map_err(Refusal::Body)?;
        let mut buffer = vec![0; BODY_PIECE_BYTES];
        let (mut filled, mut spool) = (0, None);
        let mut vigil = Vigil::begin();
        loop {
            match body.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Refusal::Body(error)),
            }
            vigil.look(view).map_err(Denied::answer)?;
            if filled < buffer.len() {
                continue;
            }
            if filled < LIST_MEMORY_BYTES {
                buffer.resize(LIST_MEMORY_BYTES.min(2 * filled), 0);
            } else {
                let mut disk = spool.map_or_else(|| Spool::new(view), Ok)?;
                disk.append(view, &buffer)?;
                (filled, spool) = (0, Some(disk));
            }
        }
        buffer.truncate(filled);
        match spool {
            None => {
                buffer.shrink_to_fit();
                Ok(Intake::Memory(Cursor::new(buffer)))
            }
            Some(mut spool) => {
                spool.append(view, &buffer)?;
                spool.file.rewind().map_err(|error| Refusal::disk(&error))?;
                Ok(Intake::Disk(spool))
            }
        }
    }
}

impl<'a> Spool<'a> {
    fn new(view: &View<'a>) -> Result<Spool<'a>, Refusal> {
        let (staged, file) = view.stage().file().map_err(|error| Refusal::disk(&error))?;
        // The name goes, the file stays as long as it is open.
        drop(staged);
        Ok(Spool { file, room: view.list_room() })
    }

    fn append(&mut self, view: &View<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        let free = view.free_space().map_err(|error| Refusal::disk(&error))?;
        self.room.grow(bytes.len() as u64, free)?;
        self.file.write_all(bytes).map_err(|error| Refusal::disk(&error))
    }
}

impl Read for Intake<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Intake::Memory(bytes) => bytes.read(out),
            Intake::Disk(spool) => spool.file.read(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use common::tree::Path;
    use common::wire::http::fields::Fields;

    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;

    const GIB: u64 = 1024 * 1024 * 1024;
    const PLENTY: u64 = 1024 * GIB;

    /// A body that comes in pieces of some length, and may break off.
    struct Sent<'a> {
        rest: &'a [u8],
        piece: usize,
        breaks: bool,
        none: Fields,
    }

    impl Read for Sent<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.rest.is_empty() && self.breaks {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let count = self.piece.min(out.len()).min(self.rest.len());
            self.rest.read(&mut out[..count])
        }
    }

    impl Content for Sent<'_> {
        fn announced(&self) -> Option<u64> {
            None
        }

        fn trailers(&self) -> &Fields {
            &self.none
        }
    }

    fn list(length: usize) -> Vec<u8> {
        (0..length).map(|number| (number / 7) as u8).collect()
    }

    fn sent(rest: &[u8], piece: usize, breaks: bool) -> Sent<'_> {
        Sent { rest, piece, breaks, none: Fields::new() }
    }

    fn held(workshop: &Workshop) -> Vec<u64> {
        lock(&workshop.service.lists.held).values().copied().collect()
    }

    fn staged(workshop: &Workshop) -> usize {
        fs::read_dir(workshop.dir.join(".filesync/staging")).unwrap().count()
    }

    #[test]
    fn what_is_read_is_what_was_sent() {
        let workshop = Workshop::new();
        let view = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        for length in [0, 1, LIST_MEMORY_BYTES - 1, LIST_MEMORY_BYTES, LIST_MEMORY_BYTES + 1, 100_000] {
            let list = list(length);
            for piece in [1000, LIST_MEMORY_BYTES, 1 << 20] {
                let mut intake = Intake::of(&view, &mut sent(&list, piece, false)).unwrap();
                let is_on_disk = LIST_MEMORY_BYTES <= length;
                assert_eq!(matches!(intake, Intake::Disk(_)), is_on_disk, "{length}");
                assert_eq!(held(&workshop), if is_on_disk { vec![length as u64] } else { Vec::new() });
                assert_eq!(staged(&workshop), 0);
                let mut read = Vec::new();
                intake.read_to_end(&mut read).unwrap();
                assert!(read == list, "{length} in pieces of {piece}");
            }
            assert!(held(&workshop).is_empty());
        }
    }

    #[test]
    fn nothing_is_left_of_a_list_that_breaks_off() {
        let workshop = Workshop::new();
        let view = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let list = list(3 * LIST_MEMORY_BYTES);
        let refusal = Intake::of(&view, &mut sent(&list, 1000, true)).unwrap_err();
        assert!(matches!(refusal, Refusal::Body(_)));
        assert!(held(&workshop).is_empty());
        assert_eq!(staged(&workshop), 0);
    }

    #[test]
    fn no_account_takes_what_it_does_not_leave_to_others() {
        let lists = Lists::default();
        let account = |name: &str| Account(Some(Path::new(name.as_bytes()).unwrap()));
        let mut first = lists.room(account("a"));
        assert_eq!(first.grow(LIST_BYTES + 1, PLENTY), Err(NoRoom::TooLong));
        assert_eq!(first.grow(GIB, 2 * GIB - 1), Err(NoRoom::Disk));
        assert_eq!(first.grow(GIB, 2 * GIB), Ok(()));
        assert_eq!(first.grow(LIST_BYTES - GIB, PLENTY), Ok(()));
        assert_eq!(first.grow(1, PLENTY), Err(NoRoom::TooLong));
        // Another list of the same account; then one of another.
        assert_eq!(lists.room(account("a")).grow(1, PLENTY), Err(NoRoom::Busy));
        let mut other = lists.room(account("b"));
        // As much has to be left for others as it takes.
        assert_eq!(other.grow((LISTS_BYTES - LIST_BYTES) / 2, PLENTY), Ok(()));
        assert_eq!(other.grow(1, PLENTY), Err(NoRoom::Busy));
        drop(first);
        assert_eq!(other.grow(1, PLENTY), Ok(()));
        let mut whole = lists.room(Account::default());
        assert_eq!(whole.grow(GIB, PLENTY), Ok(()));
        drop((other, whole));
        assert!(lock(&lists.held).is_empty());
    }
}
