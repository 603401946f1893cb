//! What a handler hands back: an answer as a value, a refusal, or a stream that writes itself.
//!
//! Handlers get a request as a value and its body as a [`Content`]; they never see a socket. Which of the three it is decides what the
//! connection does next (`owed` has when it is answered):
//!
//! ```text
//!     Reply::Whole    the rest of the body is drained, the answer written, the connection kept if everything was read
//!     Reply::Watched  the same, but if it takes long the connection ends as soon as the client may not have it any more
//!     Reply::Later    the same, when the change is made from which the answer follows
//!     Reply::Stream   the head is written, then the closure writes; all of the body was read, and the connection ends with it
//!     Refusal         an answer too, but one that `?` can return early; or a body that broke, which has its own status or none
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use common::disk::Piece;
use common::limits::{BODY_PIECE_BYTES, COPY_BUFFER_BYTES};
use common::net::body::{Body, BodyError};
use common::protocol::{PROBLEM_MEDIA_TYPE, Problem, ProblemKind};
use common::sys::errno;
use common::wire::http::digest::DigestError;
use common::wire::http::fields::Fields;
use common::wire::http::head::HeadError;

use crate::auth::Denied;
use crate::outlet::Outlet;
use crate::service::Service;
use crate::upload::Later;

/// The body of a request as a handler sees it.
pub(crate) trait Content: Read {
    /// How many bytes are still to come, if that was said.
    fn announced(&self) -> Option<u64>;

    /// Waits until it is worth reading, without a buffer. What needs no waiting for is there.
    ///
    /// # Errors
    /// As for a read.
    fn wait_for_piece(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Fields that came after the body; known once it is read to its end.
    fn trailers(&self) -> &Fields;
}

impl Content for Body<'_> {
    fn announced(&self) -> Option<u64> {
        Body::announced(self)
    }

    fn wait_for_piece(&mut self) -> io::Result<()> {
        Body::wait_for_piece(self)
    }

    fn trailers(&self) -> &Fields {
        Body::trailers(self)
    }
}

/// A body that is read to its end, piece by piece. The buffer is small at first and grows while pieces fill it, so that of many bodies that
/// come slowly none takes much.
pub(crate) struct Pieces<'b> {
    body: &'b mut dyn Content,
    buffer: Vec<u8>,
    /// So much of the first piece has come, or all of it.
    first: usize,
}

impl<'b> Pieces<'b> {
    /// Waits for the first piece: [`BODY_PIECE_BYTES`], or all that there is. Nothing need be done for a body before.
    ///
    /// # Errors
    /// Why no more came.
    pub(crate) fn begin(body: &'b mut dyn Content) -> Result<Pieces<'b>, Refusal> {
        body.wait_for_piece().map_err(Refusal::Body)?;
        let (mut buffer, mut first) = (vec![0; BODY_PIECE_BYTES], 0);
        while first < buffer.len() {
            match body.read(&mut buffer[first..]).map_err(Refusal::Body)? {
                0 => break,
                count => first += count,
            }
        }
        Ok(Pieces { body, buffer, first })
    }

    /// Hands over what has come, and then what comes.
    ///
    /// # Errors
    /// Why no more came, and what `take` says.
    pub(crate) fn for_each(
        self,
        mut take: impl FnMut(Piece<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Pieces { body, mut buffer, first: mut count } = self;
        loop {
            if count == 0 {
                return Ok(());
            }
            let is_full = count == buffer.len();
            take(Piece::of(&mut buffer, count))?;
            if is_full && count < COPY_BUFFER_BYTES {
                buffer = vec![0; COPY_BUFFER_BYTES.min(4 * count)];
            }
            count = body.read(&mut buffer).map_err(Refusal::Body)?;
        }
    }
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it tells of something that whoever runs the server has to know.
    pub(crate) is_trouble: bool,
    pub(crate) fields: Fields,
    pub(crate) body: AnswerBody,
}

/// What follows the head of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file, from `start` on.
    File { file: File, start: u64, length: u64 },
}

/// Writes a stream, or its beginning.
pub(crate) type Streaming<'a> = Box<dyn FnOnce(&mut Outlet<'_>) -> io::Result<Option<Sequel>> + 'a>;

/// Writes the rest of a stream, for as long as its client stays. It runs on another thread than what was before.
pub(crate) type Sequel = Box<dyn FnOnce(&Service, &mut Outlet<'_>) -> io::Result<()> + Send>;

/// Whether an answer may still be sent; to be asked now and then.
pub(crate) type Watch<'a> = Box<dyn FnMut() -> Result<(), Denied> + 'a>;

/// For what takes no time, or is for everybody.
pub(crate) fn unwatched() -> Watch<'static> {
    Box::new(|| Ok(()))
}

/// What a handler comes to.
pub(crate) enum Reply<'a> {
    /// An answer.
    Whole(Answer),
    /// An answer to a client that may be sent away meanwhile.
    Watched(Answer, Watch<'a>),
    /// What is answered when a change was made.
    Later(Later),
    /// Status 200 with these fields, and then whatever the stream writes.
    Stream(Fields, Streaming<'a>),
}

/// Why a handler did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It answers why.
    Answer(Box<Answer>),
    /// The body broke off or is malformed: its error knows the status.
    Body(io::Error),
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Whole(answer) | Reply::Watched(answer, _) => answer.fmt(f),
            Reply::Later(later) => later.fmt(f),
            Reply::Stream(fields, _) => f.debug_tuple("Stream").field(fields).finish_non_exhaustive(),
        }
    }
}

impl Answer {
    /// A status alone.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, is_trouble: false, fields: Fields::new(), body: AnswerBody::Empty }
    }

    /// Bytes of some media type.
    pub(crate) fn bytes(status: u16, media_type: &str, bytes: impl Into<Vec<u8>>) -> Answer {
        let body = AnswerBody::Bytes(bytes.into());
        Answer { fields: Fields::new().with("content-type", media_type), body, ..Answer::empty(status) }
    }

    /// A problem document.
    pub(crate) fn problem(problem: &Problem) -> Answer {
        let answer = Answer::bytes(problem.kind.status(), PROBLEM_MEDIA_TYPE, problem.encode());
        // An account that is full is so by its owner's doing, and asks again as long as it is.
        let is_trouble = 500 <= answer.status && problem.kind != ProblemKind::QuotaExceeded;
        Answer { is_trouble, ..answer }
    }

    /// The same answer with one more field.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<str>) -> Answer {
        self.fields.push(name, value);
        self
    }

    /// The same answer without a descriptor, if its content is small: then it was read.
    ///
    /// # Errors
    /// Those of pread(2); the file is shorter than it was.
    pub(crate) fn at_hand(self) -> io::Result<Answer> {
        match self.body {
            AnswerBody::File { file, start, length } if length <= COPY_BUFFER_BYTES as u64 => {
                let mut content = vec![0; length as usize];
                file.read_exact_at(&mut content, start)?;
                Ok(Answer { body: AnswerBody::Bytes(content), ..self })
            }
            body => Ok(Answer { body, ..self }),
        }
    }

    /// Length in bytes of what follows the head.
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            AnswerBody::Empty => 0,
            AnswerBody::Bytes(bytes) => bytes.len() as u64,
            AnswerBody::File { length, .. } => *length,
        }
    }
}

impl Refusal {
    /// A refusal of this kind.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Refusal {
        Problem::new(kind, detail).into()
    }

    /// A request that breaks HTTP or the protocol.
    pub(crate) fn bad(detail: impl Into<String>) -> Refusal {
        Refusal::new(ProblemKind::BadRequest, detail)
    }

    /// What the disk said. Full is the client's to know; anything else is ours to look after.
    pub(crate) fn disk(error: &io::Error) -> Refusal {
        match error.raw_os_error() {
            Some(errno::ENOSPC | errno::EDQUOT | errno::EFBIG) => {
                Refusal::new(ProblemKind::NoSpace, format!("the box can't take more: {error}"))
            }
            Some(errno::EMFILE | errno::ENFILE) => {
                let problem = Problem::new(ProblemKind::Busy, format!("too much at once: {error}"));
                Answer::problem(&problem).with("retry-after", "1").into()
            }
            _ => Refusal::new(ProblemKind::Internal, format!("the box can't be read or written: {error}")),
        }
    }

    /// The answer; `None` if the connection broke and nobody is left to be answered.
    pub(crate) fn into_answer(self) -> Option<Answer> {
        match self {
            Refusal::Answer(answer) => Some(*answer),
            Refusal::Body(error) => {
                let kind = kind_of_status(BodyError::status_of(&error)?);
                Some(Answer::problem(&Problem::new(kind, error.to_string())))
            }
        }
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        Refusal::Answer(Box::new(answer))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Answer::problem(&problem).into()
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Refusal {
        Refusal::new(kind_of_status(error.status()), error.to_string())
    }
}

impl From<DigestError> for Refusal {
    fn from(error: DigestError) -> Refusal {
        Refusal::new(kind_of_status(error.status()), error.to_string())
    }
}

/// The kind of problem for a status that a codec chose.
pub(crate) fn kind_of_status(status: u16) -> ProblemKind {
    match status {
        400 => ProblemKind::BadRequest,
        413 => ProblemKind::TooLarge,
        500 => ProblemKind::Internal,
        status => ProblemKind::Http(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_body_is_answered_by_its_kind_or_not_at_all() {
        for (error, status) in [
            (BodyError::Truncated.into(), Some(400)),
            (BodyError::TooLarge.into(), Some(413)),
            (io::ErrorKind::TimedOut.into(), Some(408)),
            (io::ErrorKind::ConnectionReset.into(), None),
        ] {
            assert_eq!(Refusal::Body(error).into_answer().map(|answer| answer.status), status);
        }
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let status =
            |number| Refusal::disk(&io::Error::from_raw_os_error(number)).into_answer().unwrap().status;
        assert_eq!(status(errno::ENOSPC), 507);
        assert_eq!(status(errno::EDQUOT), 507);
        assert_eq!(status(errno::EROFS), 500);
    }

    #[test]
    fn only_what_the_server_is_to_blame_for_is_trouble() {
        let is_trouble = |kind| Answer::problem(&Problem::new(kind, "")).is_trouble;
        assert!([ProblemKind::Internal, ProblemKind::Busy, ProblemKind::NoSpace].into_iter().all(is_trouble));
        assert!(![ProblemKind::NotFound, ProblemKind::QuotaExceeded].into_iter().any(is_trouble));
    }

    /// A body that comes byte by byte.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = out.len().min(1);
            self.0.read(&mut out[..most])
        }
    }

    impl Content for Drip<'_> {
        fn announced(&self) -> Option<u64> {
            None
        }

        fn trailers(&self) -> &Fields {
            unreachable!("nobody asks for them")
        }
    }

    #[test]
    fn the_first_piece_is_a_whole_one() {
        let content: Vec<u8> = (0..10_000).map(|number| (number / 7) as u8).collect();
        for length in [0, 1, BODY_PIECE_BYTES - 1, BODY_PIECE_BYTES, BODY_PIECE_BYTES + 1, 10_000] {
            let (mut body, mut pieces) = (Drip(&content[..length]), Vec::new());
            let begun = Pieces::begin(&mut body).unwrap_or_else(|_| panic!("it comes"));
            assert!(
                begun
                    .for_each(|piece| {
                        pieces.push(piece.to_vec());
                        Ok(())
                    })
                    .is_ok()
            );
            assert_eq!(pieces.first().map_or(0, Vec::len), length.min(BODY_PIECE_BYTES));
            assert!(pieces.concat() == content[..length]);
        }
    }

    #[test]
    fn answers_know_their_length() {
        let problem = Answer::problem(&Problem::new(ProblemKind::NotFound, "there is no a\r\nb"));
        assert_eq!((problem.status, problem.fields.get("content-type")), (404, Some(PROBLEM_MEDIA_TYPE)));
        let AnswerBody::Bytes(bytes) = &problem.body else { panic!("a problem has a body") };
        assert_eq!(problem.length(), bytes.len() as u64);
        assert_eq!(Answer::empty(204).length(), 0);
    }

    /// A body that comes in pieces of this length, or as fast as it is read. It notes how much is wanted.
    struct Wanted {
        left: usize,
        piece: usize,
        wanted: Vec<usize>,
        none: Fields,
    }

    impl Read for Wanted {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.wanted.push(out.len());
            let count = out.len().min(self.piece).min(self.left);
            self.left -= count;
            Ok(count)
        }
    }

    impl Content for Wanted {
        fn announced(&self) -> Option<u64> {
            None
        }

        fn trailers(&self) -> &Fields {
            &self.none
        }
    }

    #[test]
    fn the_buffer_of_a_body_grows_only_with_what_comes() {
        let wanted = |piece: usize| {
            let mut body = Wanted { left: 1 << 20, piece, wanted: Vec::new(), none: Fields::new() };
            let mut read = 0;
            let take = |piece: Piece<'_>| {
                read += piece.len();
                Ok(())
            };
            assert!(Pieces::begin(&mut body).is_ok_and(|pieces| pieces.for_each(take).is_ok()));
            assert_eq!(read, 1 << 20);
            body.wanted
        };
        let fast = wanted(usize::MAX);
        assert_eq!((fast[0], fast.iter().max()), (BODY_PIECE_BYTES, Some(&COPY_BUFFER_BYTES)));
        // The first piece is a whole one, the others are not.
        let slow = wanted(BODY_PIECE_BYTES - 1);
        assert_eq!(slow.iter().max(), Some(&(4 * BODY_PIECE_BYTES)));
    }
}
