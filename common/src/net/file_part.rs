//! Part of a file on its way into a connection, by sendfile: it does not pass through this process. Where that is not to be had it is copied.
//!
//! One call goes through the kernel for at most [`COPY_BUFFER_BYTES`], so that whoever sends can look up in between: at the peer's answer, at
//! a wish to stop, at whether the peer may still have the rest.

use super::conn::Conn;
use super::transport::is_timeout;
use crate::limits::COPY_BUFFER_BYTES;
use crate::sys::errno;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::FileExt;

/// What is still to be sent of a file.
#[derive(Debug)]
pub struct FilePart<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
    /// Through which content is copied, if the kernel can't send it.
    buffer: Option<Vec<u8>>,
}

/// Why no more can be sent.
#[derive(Debug)]
pub enum Unsent {
    /// The file ends too early (`UnexpectedEof`), or can't be read.
    Source(io::Error),
    /// The connection broke, or took nothing for as long as a write may wait (`TimedOut`).
    Connection(io::Error),
}

impl<'a> FilePart<'a> {
    /// `length` bytes of a file, from `start` on. Its position plays no part.
    pub fn new(file: &'a File, start: u64, length: u64) -> FilePart<'a> {
        FilePart { file, offset: start, left: length, buffer: None }
    }

    /// How many bytes are still to be sent.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Sends some of them, and says how many: none only if nothing is left.
    ///
    /// # Errors
    /// Why none could be sent. After a timeout it may be tried again.
    pub fn send_some(&mut self, conn: &Conn) -> Result<u64, Unsent> {
        let wanted = self.left.min(COPY_BUFFER_BYTES as u64);
        if wanted == 0 {
            return Ok(0);
        }
        let sent = loop {
            let sent = match &mut self.buffer {
                None => conn.transport().send_file(self.file, self.offset, wanted),
                Some(buffer) => {
                    self.file.read_at(&mut buffer[..wanted as usize], self.offset).and_then(|count| {
                        conn.transport()
                            .write_vectored(&[IoSlice::new(&buffer[..count])])
                            .map(|sent| sent as u64)
                    })
                }
            };
            match sent {
                Ok(sent) => break sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.buffer.is_none() && is_no_sendfile(&error) => {
                    self.buffer = Some(vec![0; COPY_BUFFER_BYTES]);
                }
                Err(error) if is_timeout(&error) => {
                    return Err(Unsent::Connection(ErrorKind::TimedOut.into()));
                }
                Err(error) => return Err(self.blame(error)),
            }
        };
        if sent == 0 {
            return Err(Unsent::Source(ErrorKind::UnexpectedEof.into()));
        }
        self.offset += sent;
        self.left -= sent;
        Ok(sent)
    }

    /// One call reads and writes. What it could not do is found out by reading alone.
    fn blame(&self, error: io::Error) -> Unsent {
        match self.file.read_at(&mut [0], self.offset) {
            Ok(_) => Unsent::Connection(error),
            Err(unreadable) => Unsent::Source(unreadable),
        }
    }
}

impl From<Unsent> for io::Error {
    fn from(unsent: Unsent) -> io::Error {
        match unsent {
            Unsent::Source(error) | Unsent::Connection(error) => error,
        }
    }
}

/// Whether the file system, or a sandbox, has no sendfile for this file.
fn is_no_sendfile(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::EINVAL | errno::ENOSYS | errno::EOPNOTSUPP))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::conn::tests::pair;
    use super::*;
    use crate::disk::scratch::Scratch;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// A file with this content.
    pub(in crate::net) fn file_of(content: &[u8]) -> File {
        let file = hole_of(0);
        file.write_all_at(content, 0).unwrap();
        file
    }

    /// A file of this length that takes no room.
    pub(in crate::net) fn hole_of(length: u64) -> File {
        let scratch = Scratch::new();
        let options = File::options().read(true).write(true).create_new(true).clone();
        let file = options.open(scratch.path().join("f")).unwrap();
        file.set_len(length).unwrap();
        file
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|number| (number / 7) as u8).collect()
    }

    fn received(mut part: FilePart<'_>) -> Vec<u8> {
        let (conn, mut peer) = pair();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        while part.left() != 0 {
            assert!((1..=COPY_BUFFER_BYTES as u64).contains(&part.send_some(&conn).unwrap()));
        }
        assert_eq!(part.send_some(&conn).unwrap(), 0);
        drop(conn);
        reader.join().unwrap()
    }

    #[test]
    fn what_is_sent_is_what_is_copied() {
        let all = content(3 * COPY_BUFFER_BYTES + 100);
        let file = file_of(&all);
        for (start, end) in [(0, all.len()), (0, 1), (1, COPY_BUFFER_BYTES), (100, all.len()), (7, 7)] {
            let part = || FilePart::new(&file, start as u64, (end - start) as u64);
            let copied = FilePart { buffer: Some(vec![0; COPY_BUFFER_BYTES]), ..part() };
            assert!(received(part()) == all[start..end], "{start}..{end}");
            assert!(received(copied) == all[start..end], "{start}..{end}, copied");
        }
    }

    #[test]
    fn a_file_that_ends_too_early_is_not_blamed_on_the_peer() {
        let (conn, _peer) = pair();
        let file = file_of(b"12345");
        for buffer in [None, Some(vec![0; COPY_BUFFER_BYTES])] {
            let mut part = FilePart { buffer, ..FilePart::new(&file, 0, 6) };
            assert_eq!(part.send_some(&conn).unwrap(), 5);
            let unsent = part.send_some(&conn).unwrap_err();
            assert!(matches!(&unsent, Unsent::Source(error) if error.kind() == ErrorKind::UnexpectedEof));
        }
        let unreadable = File::open("/").unwrap();
        let unsent = FilePart::new(&unreadable, 0, 1).send_some(&conn).unwrap_err();
        assert!(matches!(unsent, Unsent::Source(_)), "{unsent:?}");
    }

    #[test]
    fn a_peer_that_left_or_takes_nothing_is_not_blamed_on_the_file() {
        let (here, there) = UnixStream::pair().unwrap();
        let conn = Conn::new(here).unwrap();
        conn.transport().set_write_timeout(Duration::from_millis(10)).unwrap();
        let file = hole_of(1 << 30);
        let mut part = FilePart::new(&file, 0, 1 << 30);
        let stalled = loop {
            if let Err(unsent) = part.send_some(&conn) {
                break unsent;
            }
        };
        assert!(matches!(&stalled, Unsent::Connection(error) if error.kind() == ErrorKind::TimedOut));
        drop(there);
        let gone = part.send_some(&conn).unwrap_err();
        assert!(
            matches!(&gone, Unsent::Connection(error) if error.kind() == ErrorKind::BrokenPipe),
            "{gone:?}"
        );
    }
}
