//! `server verify`: tells whether the box still holds what the server put there, bit by bit, or what anybody else did since.

use std::io::{self, Write};
use std::path::Path;

use common::cli::exit::Exit;

use crate::store::{Difference, OpenError, Verified, verify};

/// Prints each difference, one a line, and what it came to.
pub(crate) fn run(dir: &Path) -> Exit {
    let mut stdout = io::stdout().lock();
    let mut printed = Ok(());
    let verified = verify(dir, |path, difference| {
        let place = path.map_or("(the box itself)".to_owned(), ToString::to_string);
        let line = match difference {
            Difference::Unreadable(error) => format!("unreadable  {place}: {error}"),
            other => format!("{:<10}  {place}", word(other)),
        };
        if printed.is_ok() {
            printed = writeln!(stdout, "{line}");
        }
    });
    match verified {
        Ok(verified) => {
            if printed.and_then(|()| writeln!(stdout, "{}", summary(&verified))).is_err() {
                return Exit::Failed;
            }
            if verified.differences == 0 { Exit::Agreement } else { Exit::Failed }
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "server: {error}");
            if matches!(error, OpenError::InUse(..)) { Exit::FolderInUse } else { Exit::Failed }
        }
    }
}

fn word(difference: &Difference) -> &'static str {
    match difference {
        Difference::Missing => "missing",
        Difference::Unknown => "unknown",
        Difference::Kind => "kind",
        Difference::Content => "content",
        Difference::Metadata => "metadata",
        Difference::Changing => "changing",
        Difference::Unreadable(_) => "unreadable",
    }
}

fn summary(verified: &Verified) -> String {
    let Verified { entries, bytes, differences, unfinished } = verified;
    let found = match differences {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        many => format!("{many} differences"),
    };
    let rest = match unfinished {
        0 => String::new(),
        _ => format!(
            "; {unfinished} changes are not known to be finished, which the next start of the server looks after"
        ),
    };
    format!("{found}: {entries} entries, {bytes} bytes in the index{rest}")
}
