//! Answers that a connection owes. Requests that came together are begun before the first of them is answered, so that their changes share
//! a commit group, and their answers leave in one write.
//!
//! ```text
//!     PUT a, PUT b, PUT c     here as a whole: each body is staged, none of the changes is asked for yet
//!     nothing more is here    all are asked for -> the committer makes them as one group -> three answers, in order
//! ```
//!
//! Nobody can tell from the answers that it was not one after the other (RFC 9112, section 9.3.2). So a request only joins others if what
//! it does can't depend on theirs: an upload joins uploads of paths that have nothing to do with its own, and a download joins what is
//! done already. Everything else waits until nothing is owed. What is owed waits for nobody but the disk: it is paid before the connection
//! waits for its peer.

use std::io;
use std::time::Instant;

use common::limits::{ANSWERS_OWED, COPY_BUFFER_BYTES, FLUSHED_ONE_BY_ONE};
use common::net::conn::Conn;
use common::tree::Path;
use common::wire::http::head::RequestHead;

use crate::answer::{Answer, Refusal};
use crate::route::{Route, route};
use crate::send::{Keep, Sender};
use crate::upload::Later;

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It is done with.
    Answered(Answer),
    /// Its answer follows from a change that is yet to be asked for.
    Later(Later),
}

/// A request and what it came to.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) head: RequestHead,
    pub(crate) begun: Instant,
    pub(crate) turn: Turn,
    pub(crate) keep: Keep,
}

/// What is owed on one connection, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Owed(Vec<Exchange>);

impl Owed {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    pub(crate) fn push(&mut self, mut exchange: Exchange) {
        // So many are flushed together, without their descriptors.
        if let Turn::Later(later) = &mut exchange.turn
            && FLUSHED_ONE_BY_ONE <= self.0.len()
        {
            later.close_file();
        }
        self.0.push(exchange);
    }

    /// Whether any request may be begun before what is owed is paid.
    pub(crate) fn may_grow(&self) -> bool {
        let is_last = self.0.last().is_some_and(|last| last.keep == Keep::Close);
        let is_much = COPY_BUFFER_BYTES as u64 <= self.0.iter().map(Exchange::length).sum();
        !is_last && !is_much && self.0.len() < ANSWERS_OWED
    }

    /// Whether this request may be begun before what is owed is paid.
    pub(crate) fn lets_join(&self, head: &RequestHead) -> bool {
        let Some(last) = self.0.last() else { return true };
        // Who has the same right means the same by a path. Who wants to be asked for the body would take that for an answer.
        let is_alike = head.fields.get("authorization") == last.head.fields.get("authorization");
        if !is_alike || head.fields.get("expect").is_some() {
            return false;
        }
        let mut changing = self.0.iter().filter_map(Exchange::changing);
        match route(head.method, &head.target) {
            Ok(Route::Put(path)) => changing.all(|other| !is_related(&path, other)),
            Ok(Route::Download(_)) => changing.next().is_none(),
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
            let answer = match turn {
                Turn::Answered(answer) => answer,
                Turn::Later(later) => later.answer().or_else(|refusal| {
                    Refusal::into_answer(refusal).ok_or(io::ErrorKind::ConnectionAborted)
                })?,
            };
            told(&head, begun, &answer);
            answers.push((head.method, answer, keep));
        }
        let mut sender = Sender::to(conn);
        let mut kept = Keep::Open;
        for (method, answer, keep) in answers.into_iter().rev() {
            sender.push(method, answer, keep)?;
            kept = keep;
        }
        sender.flush()?;
        Ok(kept)
    }
}

impl Exchange {
    /// The path that it is about to change.
    fn changing(&self) -> Option<&Path> {
        match &self.turn {
            Turn::Later(later) => Some(later.path()),
            Turn::Answered(_) => None,
        }
    }

    /// Bytes that its answer holds besides its head.
    fn length(&self) -> u64 {
        match &self.turn {
            Turn::Later(_) => 0,
            Turn::Answered(answer) => answer.length(),
        }
    }
}

/// Whether what is at one path can depend on what is at the other.
fn is_related(one: &Path, other: &Path) -> bool {
    one == other || one.is_below(other) || other.is_below(one)
}
