//! Where the rules of a folder come from: its `.syncignore`, and what was given on the command line.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::disk::{Passed, Root};
use crate::limits::IGNORE_BYTES;
use crate::tree::{Path, RULES_FILE, Rules, RulesError};

/// Why the rules of a folder are not known.
#[derive(Debug)]
pub enum ReadRulesError {
    /// `.syncignore` can't be read.
    File(io::Error),
    /// There is too much of something.
    Rules(RulesError),
}

impl fmt::Display for ReadRulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadRulesError::File(cause) => write!(f, ".syncignore: {cause} (it has to be a regular file)"),
            ReadRulesError::Rules(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadRulesError {}

/// What an observer passes by: ignored directories, as nothing in them can be taken in again.
pub(super) fn passed_by(rules: &Rules) -> Passed {
    let rules = rules.clone();
    Arc::new(move |directory| rules.ignore(directory, true))
}

/// The rules of a folder: those in its `.syncignore`, if there is one, then `patterns`.
///
/// # Errors
/// They can't be read, or there is too much of something. That is not the same as no rules: what was to stay here would be uploaded.
pub fn read_rules(root: &Root, patterns: &[OsString]) -> Result<Rules, ReadRulesError> {
    let name = Path::new(RULES_FILE).expect("a plain name is a path");
    let mut text = Vec::new();
    match root.open_file(&name) {
        // One byte too many is enough to be told so.
        Ok(file) => {
            file.take(IGNORE_BYTES as u64 + 1).read_to_end(&mut text).map_err(ReadRulesError::File)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(ReadRulesError::File(error)),
    };
    let given: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    Rules::parse([(".syncignore", text.as_slice()), ("--ignore", &given.join(&b'\n'))])
        .map_err(ReadRulesError::Rules)
}
