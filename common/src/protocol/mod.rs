//! The words that clients and server exchange, as values: lists, events, cursors, problems. Pure; docs/PROTOCOL.md is the prose.
//!
//! A path on the wire is in URL form (RFC 3986 percent-encoding of its bytes, `/` kept), in JSON as in request targets, so that what an
//! event names is exactly what follows `/download/`.

mod cursor;
mod event;
mod fields;
mod list;
mod problem;
mod quota;

pub use cursor::{Cursor, CursorError, Epoch};
pub use event::{Event, RemoteEntry, Synced};
pub use fields::{
    BASE_FIELD, CLIENT_FIELD, CURSOR_FIELD, DESTINATION_BASE_FIELD, DESTINATION_MATCH_FIELD, KIND_FIELD,
    MODE_FIELD, MTIME_FIELD, NO, PARTIAL_UPLOAD, UPLOAD_COMPLETE_FIELD, UPLOAD_LENGTH_FIELD,
    UPLOAD_LIMIT_FIELD, UPLOAD_OFFSET_FIELD, VERSION_NAME, YES, entry_members, mode_text, parse_mode,
    parse_mtime, path_from_wire, path_to_wire, precondition_text,
};
pub use list::{
    Known, ListError, ListHead, ListItem, encode_list_head, encode_list_item, encode_list_tail, read_item,
};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemKind};
pub use quota::{Allowance, Amount, Quota};

use std::fmt;

/// A message that breaks the protocol: what was wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProtocolError {}

fn broken<T>(what: impl Into<String>) -> Result<T, ProtocolError> {
    Err(ProtocolError(what.into()))
}
