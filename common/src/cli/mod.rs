//! What the three programs have in common on the command line: arguments, exit codes, log lines, and ways to write numbers and names.

pub mod args;
pub mod exit;
pub mod format;
pub mod log;
pub mod terminal;
