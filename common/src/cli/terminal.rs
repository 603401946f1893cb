//! What there is to know of the terminal on stderr, where progress is shown.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use crate::sys::terminal::columns;

/// Columns of a terminal that does not say.
const COLUMNS: u16 = 80;

/// How wide the terminal is; `None` if stderr is no terminal.
pub fn width() -> Option<usize> {
    let stderr = io::stderr();
    stderr.is_terminal().then(|| usize::from(columns(stderr.as_fd()).unwrap_or(COLUMNS)))
}
