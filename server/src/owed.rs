//! Answers that a connection owes. Requests that came together are begun before the first of them is answered, so that their changes share
//! a commit group, and their answers leave in one write.
//!
//! ```text
//!     PUT a, PUT b, PUT c     here as a whole: each body is staged, none of the changes is asked for yet
//!     nothing more is here    all are asked for -> the committer makes them as one group -> three answers, in order
//! ```
//!
//! Nobody can tell from the answers that it was not one after the other (RFC 9112, section 9.3.2). So a request only joins others of its
//! kind, and if what it does can't depend on theirs: an upload joins uploads of paths that have nothing to do with its own, a download
//! joins downloads. Everything else waits until nothing is owed. What is owed waits for nobody but the disk: it is paid before the
//! connection waits for its peer. So whatever was begun is made, or refused, also if the peer is gone by then; who comes again finds that
//! what he sends is there.
//!
//! A connection owes at most [`ANSWERS_OWED`] answers. Before the last of them they hold at most [`COPY_BUFFER_BYTES`] of memory, and no
//! descriptors: content that is small is read at once, and what is large is the last.

use std::io;
use std::time::Instant;

use common::limits::{ANSWERS_OWED, COPY_BUFFER_BYTES};
use common::net::conn::Conn;
use common::tree::Path;
use common::wire::http::head::{Method, RequestHead};

use crate::answer::{Answer, Refusal, Watch, unwatched};
use crate::route::{Route, route};
use crate::send::{Keep, Sender};
use crate::upload::Later;

/// What a request came to.
pub(crate) enum Turn<'a> {
    /// It is done with; its answer is sent as long as it may be.
    Answered(Answer, Watch<'a>),
    /// Its answer follows from a change that is yet to be asked for.
    Later(Later),
}

/// A request and what it came to.
pub(crate) struct Exchange<'a> {
    pub(crate) head: RequestHead,
    pub(crate) begun: Instant,
    pub(crate) turn: Turn<'a>,
    pub(crate) keep: Keep,
}

/// What is owed on one connection, oldest first.
#[derive(Default)]
pub(crate) struct Owed<'a>(Vec<Exchange<'a>>);

impl<'a> Owed<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one answer is owed, and nothing has to be waited for to give it.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&self.0[..], [Exchange { turn: Turn::Answered(..), .. }])
    }

    /// Adds the youngest.
    ///
    /// # Errors
    /// Content that was to be sent can't be read.
    pub(crate) fn push(&mut self, exchange: Exchange<'a>) -> io::Result<()> {
        let turn = match exchange.turn {
            Turn::Answered(answer, watch) if exchange.head.method != Method::Head => {
                Turn::Answered(answer.at_hand()?, watch)
            }
            other => other,
        };
        self.0.push(Exchange { turn, ..exchange });
        // A change that is alone is flushed by the descriptor that its content was written through. Of several most are flushed together.
        if 1 < self.0.len() {
            self.0.iter_mut().rev().take(2).for_each(Exchange::close_file);
        }
        Ok(())
    }

    /// Whether any request may be begun before what is owed is paid.
    pub(crate) fn may_grow(&self) -> bool {
        let is_last = self.0.last().is_some_and(|last| last.keep == Keep::Close);
        let is_much = COPY_BUFFER_BYTES as u64 <= self.0.iter().map(Exchange::weight).sum();
        !is_last && !is_much && self.0.len() < ANSWERS_OWED
    }

    /// Whether this request may be begun before what is owed is paid.
    pub(crate) fn lets_join(&self, head: &RequestHead) -> bool {
        let Some(last) = self.0.last() else { return true };
        // Who has the same right means the same by a path.
        let is_alike = head.method == last.head.method
            && head.fields.get("authorization") == last.head.fields.get("authorization");
        // Who wants to be asked for the body would take that for an answer.
        if !is_alike || head.fields.get("expect").is_some() {
            return false;
        }
        match route(head.method, &head.target) {
            Ok(Route::Put(path)) => {
                self.0.iter().filter_map(Exchange::changing).all(|other| !is_related(&path, other))
            }
            Ok(Route::Download(_)) => head.method == Method::Get,
            _ => false,
        }
    }

    /// Asks for all changes, waits for what comes of them, and writes the answers; `told` hears of each before that. Whether the connection
    /// carries another request.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn pay(
        &mut self,
        conn: &mut Conn,
        told: impl Fn(&RequestHead, Instant, &Answer),
    ) -> io::Result<Keep> {
        for exchange in &mut self.0 {
            if let Turn::Later(later) = &mut exchange.turn {
                later.submit();
            }
        }
        let mut answers = Vec::with_capacity(self.0.len());
        // The last first: when its outcome is there, most likely all are, and this thread was woken once.
        while let Some(Exchange { head, begun, turn, keep }) = self.0.pop() {
            let (answer, watch) = match turn {
                Turn::Answered(answer, watch) => (answer, watch),
                Turn::Later(later) => {
                    let answer = later.answer().or_else(|refusal| {
                        Refusal::into_answer(refusal).ok_or(io::ErrorKind::ConnectionAborted)
                    })?;
                    (answer, unwatched())
                }
            };
            told(&head, begun, &answer);
            answers.push((head.method, answer, keep, watch));
        }
        let mut sender = Sender::to(conn);
        let mut kept = Keep::Open;
        for (method, answer, keep, mut watch) in answers.into_iter().rev() {
            sender.push(method, answer, keep, &mut watch)?;
            kept = keep;
        }
        sender.flush()?;
        Ok(kept)
    }
}

impl Exchange<'_> {
    /// The path that it is about to change.
    fn changing(&self) -> Option<&Path> {
        match &self.turn {
            Turn::Later(later) => Some(later.path()),
            Turn::Answered(..) => None,
        }
    }

    fn close_file(&mut self) {
        if let Turn::Later(later) = &mut self.turn {
            later.close_file();
        }
    }

    /// Bytes that it holds, or sends: of its head, and of its answer's content.
    fn weight(&self) -> u64 {
        let fields = self.head.fields.iter().map(|(name, value)| name.len() + value.len());
        let head = self.head.target.len() + fields.sum::<usize>();
        head as u64
            + match &self.turn {
                Turn::Later(_) => 0,
                Turn::Answered(answer, _) => answer.length(),
            }
    }
}

/// Whether what is at one path can depend on what is at the other.
fn is_related(one: &Path, other: &Path) -> bool {
    one == other || one.is_below(other) || other.is_below(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::http::head::parse_request;

    /// How many requests with heads of about this size are begun before they are answered.
    fn begun(head_bytes: usize, answer: impl Fn() -> Answer) -> usize {
        let text = format!("GET /download/a HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(head_bytes));
        let mut owed = Owed::default();
        while owed.may_grow() {
            let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
            assert!(owed.lets_join(&head));
            let turn = Turn::Answered(answer(), unwatched());
            owed.push(Exchange { head, begun: Instant::now(), turn, keep: Keep::Open }).unwrap();
        }
        owed.0.len()
    }

    #[test]
    fn what_is_owed_is_bounded_however_much_comes() {
        assert_eq!(begun(100, || Answer::empty(204)), ANSWERS_OWED);
        assert_eq!(begun(15_000, || Answer::empty(204)), COPY_BUFFER_BYTES.div_ceil(15_000));
        assert_eq!(
            begun(0, || Answer::bytes(200, "text/plain", vec![b'x'; 20_000])),
            COPY_BUFFER_BYTES.div_ceil(20_000)
        );
        assert_eq!(begun(0, || Answer::bytes(200, "text/plain", vec![b'x'; 10 * COPY_BUFFER_BYTES])), 1);
    }

    #[test]
    fn only_what_can_not_depend_on_the_others_joins_them() {
        let head = |line: &str| {
            let text = format!("{line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer key\r\n\r\n");
            parse_request(text.as_bytes()).unwrap().unwrap().0
        };
        let joins = |first: &str, second: &RequestHead| {
            let mut owed = Owed::default();
            let turn = Turn::Answered(Answer::empty(204), unwatched());
            let exchange = Exchange { head: head(first), begun: Instant::now(), turn, keep: Keep::Open };
            owed.push(exchange).unwrap();
            owed.lets_join(second)
        };
        for (first, second, want) in [
            ("PUT /upload/a", "PUT /upload/b", true),
            ("GET /download/a", "GET /download/a", true),
            ("GET /status", "GET /download/a", true),
            ("PUT /upload/a", "GET /download/b", false),
            ("GET /download/a", "PUT /upload/b", false),
            ("GET /download/a", "HEAD /download/a", false),
            ("HEAD /download/a", "HEAD /download/b", false),
            ("DELETE /upload/a", "DELETE /upload/b", false),
            ("GET /download/a", "GET /status", false),
            ("POST /sync", "POST /sync", false),
        ] {
            assert_eq!(joins(first, &head(second)), want, "{first}, then {second}");
        }
        let (first, second) = ("PUT /upload/a", head("PUT /upload/b"));
        for (name, value) in [("expect", "100-continue"), ("authorization", "Bearer other")] {
            let fields = second.fields.iter().filter(|(other, _)| *other != name);
            let fields = fields
                .fold(common::wire::http::fields::Fields::new(), |all, (name, value)| all.with(name, value));
            let other = RequestHead { fields: fields.with(name, value), ..head("PUT /upload/b") };
            assert!(!joins(first, &other), "{name}");
        }
    }
}
