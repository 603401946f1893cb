//! A connection that has become a stream that lasts, and its thread.
//!
//! ```text
//!     thread of the connection:  request, list, all that there was ---> ends, and what it took is free again
//!                                                                  \
//!     thread of the stream:                                         ---> waits, nearly all of its time
//! ```
//!
//! Thousands of streams wait at once, and what a thread has once touched of its stack, and what the allocator keeps for it, stays with it
//! until it ends. So the thread that waits is another one than the one that has read and answered a list: it has done next to nothing, and
//! holds next to nothing.

use std::io;
use std::sync::Arc;
use std::thread::Builder;

use common::limits::FOLLOWER_STACK;
use common::net::conn::Conn;

use crate::answer::Sequel;
use crate::connection::{close, guarded};
use crate::outlet::{Delimiter, Outlet};
use crate::registry::Seat;
use crate::service::Service;

/// A stream that goes on.
pub(crate) struct Follower {
    conn: Conn,
    delimiter: Delimiter,
    sequel: Sequel,
}

impl Follower {
    /// The beginning of the stream is written.
    pub(crate) fn new(conn: Conn, delimiter: Delimiter, sequel: Sequel) -> Follower {
        Follower { conn, delimiter, sequel }
    }

    /// Lets it go on, on a thread of its own. Whether it can or not, its seat is given back when it has ended.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub(crate) fn start(self, service: Arc<Service>, seat: Seat) -> io::Result<()> {
        // Not joined: the seat accounts for the thread, and it is given back as the last thing the thread does.
        thread_of(seat.number()).spawn(move || self.run(&service, &seat)).map(drop)
    }

    fn run(mut self, service: &Service, seat: &Seat) {
        let mut outlet = Outlet::new(&mut self.conn, self.delimiter);
        let sequel = self.sequel;
        let told = guarded(service, || sequel(service, &mut outlet));
        match told.map(|told| told.and_then(|()| outlet.finish())) {
            Some(Ok(())) => close(self.conn, seat),
            Some(Err(error)) => service.log.debug(format!("{}: {error}", self.conn.transport().peer())),
            None => {}
        }
    }
}

fn thread_of(number: u64) -> Builder {
    Builder::new().name(format!("tell-{number}")).stack_size(FOLLOWER_STACK)
}

#[cfg(test)]
mod tests {
    use common::limits::CONNECTION_STACK;

    use super::*;

    /// glibc gives a thread the stack of one that has ended if that is at most four times as large as what is asked for.
    #[test]
    fn the_thread_of_a_stream_gets_no_stack_of_a_connection() {
        let stack = format!("stack_size: {:?}", Some(FOLLOWER_STACK));
        let thread = format!("{:?}", thread_of(7));
        assert!(thread.contains(&stack) && thread.contains("tell-7"), "{thread}");
        const { assert!(4 * FOLLOWER_STACK < CONNECTION_STACK) };
    }
}
