//! The status of a folder: a small JSON document in `.filesync/status`, written by the client that syncs it, read by `status`.
//!
//! ```text
//!     {"state":"idle","cursor":"5f0c1b22a9d04e67-1042","pending":0,"conflicts":0,"problems":[],"polling":null}
//! ```
//!
//! `idle` is a promise: connected, caught up, nothing pending, everything durable. It is replaced as a whole, never written in place. A
//! client that was killed can't say that it stopped; so whoever reads looks at the lock too, which the kernel frees.

use std::io::{self, Read, Write};
use std::path::Path as OsPath;
use std::sync::Arc;

use super::track::Problem;
use crate::disk::{Lock, PRIVATE_DIRECTORY, RenameMode, Root};
use crate::limits::JSON_VALUE_BYTES;
use crate::protocol::{Cursor, path_to_wire};
use crate::tree::Path;
use crate::wire::json::{self, Value, Writer};

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connected, caught up, nothing pending, everything durable.
    Idle,
    /// At work.
    Syncing,
    /// Not connected.
    Offline,
    /// Waiting for a person: deletes are held, or the folder is not in its place.
    Held,
    /// No client runs.
    Stopped,
}

impl Phase {
    /// Its word in the document.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Syncing => "syncing",
            Phase::Offline => "offline",
            Phase::Held => "held",
            Phase::Stopped => "stopped",
        }
    }
}

/// The status file of a folder, as its client writes it.
#[derive(Debug)]
pub(super) struct StatusFile {
    private: Arc<Root>,
    shown: Vec<u8>,
}

impl StatusFile {
    pub(super) fn new(private: Arc<Root>) -> StatusFile {
        StatusFile { private, shown: Vec::new() }
    }

    /// Writes the status, if it says something else than before. That it can't be written keeps nobody from syncing; but then the old one
    /// has to go, as it may say `idle`.
    pub(super) fn show(
        &mut self,
        phase: Phase,
        cursor: Option<Cursor>,
        pending: usize,
        conflicts: usize,
        problems: &[(Option<Path>, Problem)],
        polling: Option<&str>,
    ) {
        let document = document(phase, cursor, pending, conflicts, problems, polling);
        if document == self.shown {
            return;
        }
        let written = self.write(&document).or_else(|_| {
            // On a full disk this makes room as well.
            self.private.remove_file(&file_name("status"))?;
            self.write(&document)
        });
        self.shown = if written.is_ok() { document } else { Vec::new() };
    }

    fn write(&self, document: &[u8]) -> io::Result<()> {
        let next = file_name("status.next");
        match self.private.remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.private.create_new(&next, 0o644)?.write_all(document)?;
        Root::rename((&self.private, &next), (&self.private, &file_name("status")), RenameMode::Replace)
    }
}

fn document(
    phase: Phase,
    cursor: Option<Cursor>,
    pending: usize,
    conflicts: usize,
    problems: &[(Option<Path>, Problem)],
    polling: Option<&str>,
) -> Vec<u8> {
    let mut json = Writer::new();
    json.begin_object().field_str("state", phase.word());
    match cursor {
        Some(cursor) => json.field_str("cursor", &cursor.to_string()),
        None => json.field_null("cursor"),
    };
    json.field_u64("pending", pending as u64).field_u64("conflicts", conflicts as u64);
    json.key("problems").begin_array();
    for (path, problem) in problems {
        // Paths and words may be so long that all of them would be more than a reader takes.
        if JSON_VALUE_BYTES / 2 < json.written() {
            break;
        }
        json.begin_object();
        match path {
            Some(path) => json.field_str("path", &path_to_wire(path)),
            None => json.field_null("path"),
        };
        json.field_str("operation", problem.operation).field_str("error", &problem.error).end_object();
    }
    json.end_array();
    match polling {
        Some(reason) => json.field_str("polling", reason),
        None => json.field_null("polling"),
    };
    json.end_object();
    let mut document = json.finish();
    document.push(b'\n');
    document
}

/// The status of a folder, whether a client runs or not: the document, as it is to be printed. A folder that was never synced is one
/// whose client is stopped.
///
/// # Errors
/// There is no such folder, or it can't be read.
pub fn read_status(directory: &OsPath) -> io::Result<Value> {
    let root = Root::open(directory)?;
    let (mut members, is_running) = match root.has_private_directory()? {
        true => {
            let private = root.sub_root(PRIVATE_DIRECTORY)?;
            // In this order: a client that starts in between has not written anything yet.
            let is_running = Lock::is_held(&private);
            (read_members(&private)?, is_running)
        }
        false => (never_synced(), false),
    };
    if !is_running {
        for (_, value) in members.iter_mut().filter(|(name, _)| name == "state") {
            *value = Value::String(Phase::Stopped.word().to_owned());
        }
    }
    Ok(Value::Object(members))
}

fn read_members(private: &Root) -> io::Result<Vec<(String, Value)>> {
    let file = match private.open_file(&file_name("status")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(never_synced()),
        other => other?,
    };
    let mut text = Vec::new();
    file.take(JSON_VALUE_BYTES as u64).read_to_end(&mut text)?;
    match json::parse(&text) {
        Ok(Value::Object(members)) => Ok(members),
        // It is not flushed, so a power cut may leave it empty. A client that runs makes a new one.
        _ => Ok(never_synced()),
    }
}

/// What a client that has just started would say.
fn never_synced() -> Vec<(String, Value)> {
    match json::parse(&document(Phase::Offline, None, 0, 0, &[], None)) {
        Ok(Value::Object(members)) => members,
        _ => unreachable!("our own document is an object"),
    }
}

fn file_name(name: &str) -> Path {
    Path::new(name.as_bytes()).expect("a plain name is a path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{PATH_BYTES, PROBLEMS_SHOWN};

    #[test]
    fn what_is_written_is_read_however_long_its_paths_are() {
        let problem = Problem { operation: "read", error: "it can't be".to_owned() };
        let names = "\u{fc}".repeat(120) + "/";
        let path =
            Path::new(names.repeat(PATH_BYTES / names.len()).trim_end_matches('/').as_bytes()).unwrap();
        let problems = vec![(Some(path), problem); PROBLEMS_SHOWN];
        let document = document(Phase::Idle, None, 0, 0, &problems, None);
        assert!(document.len() <= JSON_VALUE_BYTES, "{}", document.len());
        let Ok(Value::Object(members)) = json::parse(&document) else { panic!("a reader takes it") };
        let shown = members.iter().find(|(name, _)| name == "problems").unwrap();
        assert!(matches!(&shown.1, Value::Array(shown) if 20 < shown.len()));
    }
}
