//! Reports of the engine as sentences: what both clients' logs say, in the same words.

use crate::cli::format::size;
use crate::cli::log::Level;
use crate::engine::{Ended, Report, Side};

/// How important a report is, and how to say it; `None` if there is nothing to say.
pub fn sentence(report: &Report<'_>) -> Option<(Level, String)> {
    Some(match report {
        Report::Connected => (Level::Debug, "connected".to_owned()),
        Report::Offline { reason, first: true } => (Level::Warn, format!("{reason}; trying again")),
        Report::Offline { reason, first: false } => (Level::Debug, format!("{reason}; trying again")),
        Report::Synced { counts } => {
            let (to_do, listed) =
                (counts.download + counts.upload + counts.delete + counts.conflict, counts.listed);
            (Level::Info, format!("the server has compared: {listed} listed, {to_do} to do"))
        }
        Report::Reset => (
            Level::Warn,
            "the server's history can't be continued from here; everything is compared anew, nothing is deleted"
                .to_owned(),
        ),
        Report::RulesChanged => (
            Level::Info,
            "the ignore rules have changed; everything is compared anew, nothing is deleted".to_owned(),
        ),
        Report::Uploaded { path, size: bytes } => {
            (Level::Info, format!("uploaded {path} ({})", size(*bytes)))
        }
        Report::Downloaded { path, size: bytes } => {
            (Level::Info, format!("downloaded {path} ({})", size(*bytes)))
        }
        Report::Resumed { path, to, offset, size: bytes } => {
            let what = if *to == Side::Here { "download" } else { "upload" };
            let (there, all) = (size(*offset), size(*bytes));
            (
                Level::Info,
                format!("the {what} of {path} goes on at byte {offset}: {there} of {all} are there"),
            )
        }
        Report::Relocated { path, from, moved, side } => {
            let verb = if *moved { "moved" } else { "copied" };
            let place = if *side == Side::Here { "" } else { " on the server" };
            (Level::Info, format!("{verb} {from} to {path}{place}"))
        }
        Report::Deleted { path, side: Side::Here } => {
            (Level::Info, format!("deleted {path}, as on the server"))
        }
        Report::Deleted { path, side: Side::Server } => {
            (Level::Info, format!("deleted {path} on the server"))
        }
        Report::Conflict { path, copy } => (
            Level::Warn,
            format!("conflict: {path} was changed on both sides; the other version is kept as {copy}"),
        ),
        Report::Recovered { version } => (
            Level::Warn,
            format!("a crash had left a version aside; it is kept as .filesync/versions/{version}"),
        ),
        Report::PassedOver { path } => {
            (Level::Warn, format!("{path} is neither a file nor a directory nor a link; it is passed over"))
        }
        Report::Problem { path: Some(path), problem } => {
            (Level::Error, format!("cannot {} {path}: {}", problem.operation, problem.error))
        }
        Report::Problem { path: None, problem } => {
            (Level::Error, format!("cannot {}: {}", problem.operation, problem.error))
        }
        Report::Held { deletes, entries } => {
            let words = format!(
                "held: {deletes} of {entries} entries would be deleted; if that is meant, run with --force"
            );
            (Level::Error, words)
        }
        Report::Polling { reason } => (Level::Warn, (*reason).to_owned()),
        Report::Would { path, action } => (Level::Info, format!("would {action} {path}")),
        Report::Ended { ended, counts } => {
            let what =
                format!("{} up, {} down, {} deleted", counts.uploaded, counts.downloaded, counts.deleted);
            match ended {
                Ended::Agreed => (Level::Info, format!("in agreement: {what}")),
                Ended::Stopped(_) => (Level::Info, format!("stopped: {what}")),
                _ => (Level::Info, format!("ended: {what}")),
            }
        }
    })
}
