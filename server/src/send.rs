//! Answers out: head and body on a connection.
//!
//! What is small leaves with its head in one write, and with the answers before and after it. Content of files goes from the file to the
//! socket without passing through here, by sendfile; where that is not to be had it is copied. Never more is sent than was announced; if a file turns out to be shorter, or the
//! client may not have the rest, the connection is closed, so that the client sees that something is missing.

use std::fs::File;
use std::io::{self, IoSlice};
use std::time::{SystemTime, UNIX_EPOCH};

use common::limits::{COPY_BUFFER_BYTES, STREAM_LOOK, WRITE_STALL};
use common::net::conn::Conn;
use common::net::deadline::Deadline;
use common::net::file_part::{FilePart, Unsent};
use common::net::transport::is_timeout;
use common::protocol::VERSION_NAME;
use common::wire::http::date::format_date;
use common::wire::http::fields::Fields;
use common::wire::http::head::{HeadError, Method, encode_response};

use crate::answer::{Answer, AnswerBody, Watch};

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It carries another request.
    Open,
    /// It is closed, and the answer says so.
    Close,
}

/// Writes answers to a connection, in order. Small ones that come one after the other leave together.
#[derive(Debug)]
pub(crate) struct Sender<'c> {
    conn: &'c mut Conn,
    waiting: Vec<u8>,
}

impl<'c> Sender<'c> {
    pub(crate) fn to(conn: &'c mut Conn) -> Sender<'c> {
        Sender { conn, waiting: Vec::new() }
    }

    /// The answer to a request with this method, as long as `watch` lets it. Nothing is sure to be written before [`Sender::flush`].
    pub(crate) fn push(
        &mut self,
        method: Method,
        answer: Answer,
        keep: Keep,
        watch: &mut Watch<'_>,
    ) -> io::Result<()> {
        self.waiting.extend(head(&answer, keep).map_err(io::Error::other)?);
        match answer.body {
            _ if method == Method::Head => Ok(()),
            AnswerBody::Empty => Ok(()),
            AnswerBody::Bytes(bytes) if self.waiting.len() + bytes.len() <= COPY_BUFFER_BYTES => {
                self.waiting.extend(bytes);
                Ok(())
            }
            AnswerBody::Bytes(bytes) => {
                self.conn.write_parts(&mut [IoSlice::new(&self.waiting), IoSlice::new(&bytes)])?;
                self.waiting.clear();
                Ok(())
            }
            AnswerBody::File { file, start, length } => {
                self.flush()?;
                // It may take hours to be read.
                self.waiting = Vec::new();
                self.conn.rest();
                send_file_content(self.conn, &file, start, length, watch)
            }
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.conn.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}

/// Fields of every head that leaves the server.
pub(crate) fn common_fields(fields: &Fields, keep: Keep) -> Fields {
    let mut fields = fields.clone().with("date", format_date(now())).with("server", VERSION_NAME);
    if keep == Keep::Close {
        fields.push("connection", "close");
    }
    fields
}

fn head(answer: &Answer, keep: Keep) -> Result<Vec<u8>, HeadError> {
    let mut fields = common_fields(&answer.fields, keep);
    // RFC 9110, section 8.6: never with 204; with 304 it would have to be the length of what is not sent.
    if !matches!(answer.status, 204 | 304) {
        fields.push("content-length", answer.length().to_string());
    }
    encode_response(answer.status, &fields)
}

/// The kernel waits for the peer for a moment at a time, so that whether to go on is asked in between; how long it may wait in all is held
/// here.
fn send_file_content(
    conn: &mut Conn,
    file: &File,
    start: u64,
    length: u64,
    watch: &mut Watch<'_>,
) -> io::Result<()> {
    conn.transport().set_write_timeout(STREAM_LOOK)?;
    let (mut part, mut stall) = (FilePart::new(file, start, length), Deadline::after(WRITE_STALL));
    while 0 < part.left() {
        watch().map_err(|denied| io::Error::other(denied.to_string()))?;
        match part.send_some(conn) {
            Ok(_) => stall = Deadline::after(WRITE_STALL),
            Err(Unsent::Connection(error)) if is_timeout(&error) && stall.remaining().is_some() => {}
            Err(unsent) => return Err(unsent.into()),
        }
    }
    conn.transport().set_write_timeout(WRITE_STALL)
}

/// A clock before 1970 is as good as 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;
    use crate::auth::Denied;
    use crate::testing::Scratch;

    fn text(answer: &Answer, keep: Keep) -> String {
        String::from_utf8(head(answer, keep).unwrap()).unwrap()
    }

    #[test]
    fn heads_tell_length_and_end() {
        let answer = Answer::bytes(200, "text/plain", "ok\n");
        assert!(text(&answer, Keep::Open).contains("\r\ncontent-length: 3\r\n"));
        assert!(!text(&answer, Keep::Open).contains("connection"));
        assert!(text(&answer, Keep::Close).contains("\r\nconnection: close\r\n"));
        assert!(text(&Answer::empty(200), Keep::Open).contains("\r\ncontent-length: 0\r\n"));
        for status in [204, 304] {
            assert!(!text(&Answer::empty(status), Keep::Open).contains("content-length"));
        }
    }

    #[test]
    fn an_answer_can_not_be_split() {
        let answer = Answer::empty(200).with("etag", "\"a\r\nx-evil: 1\"");
        assert!(head(&answer, Keep::Open).is_err());
    }

    /// Sends a file of this length to one who reads all that comes. What is noted each time it is asked whether to go on.
    fn watched<T>(length: usize, mut note: impl FnMut(&UnixStream) -> Result<T, Denied>) -> (Vec<T>, bool) {
        let scratch = Scratch::new("send");
        let path = scratch.path().join("file");
        File::create(&path).unwrap().write_all(&vec![b'x'; length]).unwrap();
        let file = File::open(&path).unwrap();
        let body = AnswerBody::File { file, start: 0, length: length as u64 };
        let answer = Answer { body, ..Answer::empty(200) };
        let (here, mut there) = UnixStream::pair().unwrap();
        let socket = here.try_clone().unwrap();
        let mut conn = Conn::new(here).unwrap();
        let reader = thread::spawn(move || {
            let mut came = Vec::new();
            there.read_to_end(&mut came).unwrap();
            came
        });
        let mut notes = Vec::new();
        let mut watch: Watch<'_> = Box::new(|| note(&socket).map(|noted| notes.push(noted)));
        let mut sender = Sender::to(&mut conn);
        let sent = sender.push(Method::Get, answer, Keep::Open, &mut watch).and_then(|()| sender.flush());
        drop(watch);
        assert_eq!(socket.write_timeout().unwrap() == Some(WRITE_STALL), sent.is_ok());
        drop((conn, socket));
        let came = reader.join().unwrap();
        assert_eq!(came.ends_with(&vec![b'x'; length]), sent.is_ok());
        (notes, sent.is_ok())
    }

    /// Where a client reads nothing, the wait in between is no longer than that.
    #[test]
    fn what_takes_long_is_looked_after_now_and_then() {
        let length = 3 * COPY_BUFFER_BYTES + 1;
        let (waits, is_sent) = watched(length, |socket| Ok(socket.write_timeout().unwrap()));
        assert!(is_sent && 4 <= waits.len(), "{}", waits.len());
        assert!(waits.iter().all(|wait| *wait == Some(STREAM_LOOK)), "{waits:?}");
        assert_eq!(watched::<()>(COPY_BUFFER_BYTES + 1, |_| Err(Denied::Revoked)), (Vec::new(), false));
    }
}
