//! HTTP over sockets: the blocking shell around [`wire::http`](crate::wire::http). One thread serves one connection.
//!
//! ```text
//!     client       one keep-alive connection to one server
//!       exchange   requests out, the heads of answers in
//!         file_part  content of a file, from there to the socket
//!       error      why there is no answer
//!       dial       a new connection
//!         endpoint where that server is, and which way leads there
//!         command  a connection carried by another program
//!         tls      which program that is for TLS
//!     body         the bytes of one message, as an `io::Read`
//!     conn         a buffered connection: heads in, bytes out
//!     transport    what carries it, and the one place where reads are given deadlines
//!     deadline     a moment, not a duration
//! ```
//!
//! Nothing here waits without end: a head has a deadline, a body a pace, a write a longest stall. All are in
//! [`limits`](crate::limits).

pub mod body;
pub mod client;
pub mod command;
pub mod conn;
pub mod deadline;
pub mod dial;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod file_part;
mod tls;
pub mod transport;
