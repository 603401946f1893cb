//! What a script sees: log lines on stderr, or with `--json` one object a line on stdout, and never the one among the other.
//!
//! ```text
//!     {"event":"uploaded","path":"a%20b.txt","size":5}
//!     {"event":"problem","path":"c","operation":"read","error":"Permission denied (os error 13)"}
//!     {"event":"ended","reason":"agreed","uploaded":1,"downloaded":0,"deleted":0}
//! ```
//!
//! Paths are in URL form, as everywhere in JSON: lossless for names of any bytes.

use std::io::{self, Write};

use common::cli::args::Parsed;
use common::cli::log::Log;
use common::client::words::sentence;
use common::engine::{Ended, Phase, Report, Reporter, Side, Snapshot};
use common::protocol::path_to_wire;
use common::tree::Path;
use common::wire::json::Writer;

/// The reporter of client_b.
pub(crate) fn reporter(parsed: &Parsed, log: Log) -> Box<dyn Reporter> {
    match parsed.flag("json") {
        true => Box::new(JsonLines { phase: None }),
        false => Box::new(LogLines { log }),
    }
}

struct LogLines {
    log: Log,
}

impl Reporter for LogLines {
    fn report(&mut self, report: &Report<'_>) {
        if let Some((level, words)) = sentence(report) {
            self.log.write(level, words);
        }
    }
}

struct JsonLines {
    phase: Option<Phase>,
}

impl Reporter for JsonLines {
    fn report(&mut self, report: &Report<'_>) {
        print(object(report));
    }

    /// Says when the state changes, and nothing else: a script wants no progress line.
    fn progress(&mut self, snapshot: &Snapshot<'_>) {
        if self.phase != Some(snapshot.phase) {
            self.phase = Some(snapshot.phase);
            let mut json = event("state");
            json.field_str("state", snapshot.phase.word()).field_u64("pending", snapshot.pending as u64);
            print(json);
        }
    }
}

fn event(name: &str) -> Writer {
    let mut json = Writer::new();
    json.begin_object().field_str("event", name);
    json
}

fn about(name: &str, path: &Path) -> Writer {
    let mut json = event(name);
    json.field_str("path", &path_to_wire(path));
    json
}

fn object(report: &Report<'_>) -> Writer {
    let mut json;
    match report {
        Report::Connected => json = event("connected"),
        Report::Offline { reason, .. } => {
            json = event("offline");
            json.field_str("reason", reason);
        }
        Report::Synced { counts } => {
            json = event("synced");
            json.field_u64("listed", counts.listed)
                .field_u64("download", counts.download)
                .field_u64("upload", counts.upload)
                .field_u64("delete", counts.delete)
                .field_u64("conflict", counts.conflict);
        }
        Report::Reset => json = event("reset"),
        Report::RulesChanged => json = event("rules-changed"),
        Report::Uploaded { path, size } => {
            json = about("uploaded", path);
            json.field_u64("size", *size);
        }
        Report::Downloaded { path, size } => {
            json = about("downloaded", path);
            json.field_u64("size", *size);
        }
        Report::Resumed { path, to, offset, size } => {
            json = about("resumed", path);
            json.field_str("to", side_word(*to)).field_u64("offset", *offset).field_u64("size", *size);
        }
        Report::Relocated { path, from, moved, side } => {
            json = about(if *moved { "moved" } else { "copied" }, path);
            json.field_str("from", &path_to_wire(from)).field_str("side", side_word(*side));
        }
        Report::Deleted { path, side } => {
            json = about("deleted", path);
            json.field_str("side", side_word(*side));
        }
        Report::Conflict { path, copy } => {
            json = about("conflict", path);
            json.field_str("copy", &path_to_wire(copy));
        }
        Report::Recovered { version } => {
            json = event("recovered");
            json.field_str("version", &path_to_wire(version));
        }
        Report::PassedOver { path } => json = about("passed-over", path),
        Report::Problem { path, problem } => {
            json = match path {
                Some(path) => about("problem", path),
                None => event("problem"),
            };
            json.field_str("operation", problem.operation).field_str("error", &problem.error);
        }
        Report::Held { deletes, entries } => {
            json = event("held");
            json.field_u64("deletes", *deletes as u64).field_u64("entries", *entries as u64);
        }
        Report::Polling { reason } => {
            json = event("polling");
            json.field_str("reason", reason);
        }
        Report::Would { path, action } => {
            json = about("would", path);
            json.field_str("action", action);
        }
        Report::Ended { ended, counts } => {
            json = event("ended");
            json.field_str("reason", reason(ended))
                .field_u64("uploaded", counts.uploaded)
                .field_u64("downloaded", counts.downloaded)
                .field_u64("deleted", counts.deleted);
        }
    }
    json
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Here => "folder",
        Side::Server => "server",
    }
}

fn reason(ended: &Ended) -> &'static str {
    match ended {
        Ended::Agreed => "agreed",
        Ended::SomeFailed => "some-failed",
        Ended::NoSpace => "no-space",
        Ended::Held => "held",
        Ended::NotAuthorised(_) => "not-authorised",
        Ended::Unreachable(_) => "unreachable",
        Ended::Stopped(_) => "stopped",
    }
}

/// A reader that went away is no reason to stop syncing.
fn print(mut json: Writer) {
    json.end_object();
    let mut line = json.finish();
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}
