//! Why there is no answer, in words for people.

use super::command::CommandFailed;
use super::conn::ConnError;
use super::transport::is_timeout;
use crate::wire::http::head::HeadError;
use std::fmt;
use std::io::{self, ErrorKind};

/// Why there is no answer.
#[derive(Debug)]
pub enum NetError {
    /// The server can't be reached.
    Connect {
        /// The server.
        endpoint: String,
        /// Why.
        cause: io::Error,
    },
    /// It took too long.
    Timeout,
    /// The server closed the connection instead of answering.
    Closed,
    /// The connection ended within the head of an answer.
    Truncated,
    /// The answer is not HTTP as it should be.
    Malformed(HeadError),
    /// The request can't be written.
    BadRequest(HeadError),
    /// What was to be sent can't be read, or ended too early.
    Source(io::Error),
    /// The connection broke.
    Io(io::Error),
}

impl NetError {
    /// What kind of error it is, in the terms of the standard library.
    pub fn kind(&self) -> ErrorKind {
        match self {
            NetError::Connect { cause, .. } | NetError::Source(cause) | NetError::Io(cause) => cause.kind(),
            NetError::Timeout => ErrorKind::TimedOut,
            NetError::Closed => ErrorKind::ConnectionReset,
            NetError::Truncated => ErrorKind::UnexpectedEof,
            NetError::Malformed(_) => ErrorKind::InvalidData,
            NetError::BadRequest(_) => ErrorKind::InvalidInput,
        }
    }
}

impl NetError {
    /// Whether the connection was ended instead of an answer, by the server or on the way, which an idle one may be at any time.
    pub fn is_hanging_up(&self) -> bool {
        match self {
            NetError::Closed => true,
            NetError::Io(error) => CommandFailed::is_cause_of(error),
            _ => false,
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Connect { endpoint, cause } => write!(f, "can't connect to {endpoint}: {cause}"),
            NetError::Timeout => f.write_str("the server did not answer in time"),
            NetError::Closed => f.write_str("the server closed the connection without an answer"),
            NetError::Truncated => f.write_str("the server closed the connection within its answer"),
            NetError::Malformed(error) => write!(f, "the server's answer makes no sense: {error}"),
            NetError::BadRequest(error) => write!(f, "the request can't be sent: {error}"),
            NetError::Source(error) => write!(f, "can't read what is to be sent: {error}"),
            NetError::Io(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NetError::Connect { cause, .. } | NetError::Source(cause) | NetError::Io(cause) => Some(cause),
            NetError::Malformed(error) | NetError::BadRequest(error) => Some(error),
            NetError::Timeout | NetError::Closed | NetError::Truncated => None,
        }
    }
}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> NetError {
        match error.kind() {
            _ if is_timeout(&error) => NetError::Timeout,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                NetError::Closed
            }
            _ => NetError::Io(error),
        }
    }
}

impl From<ConnError> for NetError {
    fn from(error: ConnError) -> NetError {
        match error {
            ConnError::Timeout => NetError::Timeout,
            ConnError::Closed => NetError::Truncated,
            ConnError::Head(error) => NetError::Malformed(error),
            ConnError::Io(error) => error.into(),
        }
    }
}
