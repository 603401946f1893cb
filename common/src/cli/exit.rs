//! Exit codes: what a script can tell about a run without reading a word of it.

use std::process::ExitCode;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done; server and folder agree.
    Agreement,
    /// Some paths failed, each named on stderr; or all did, for a reason that has no code of its own.
    Failed,
    /// The command line can't be understood; nothing was done.
    Usage,
    /// A guard held a change back that would have destroyed too much.
    Held,
    /// The server does not accept the token.
    NotAuthorised,
    /// The server can't be reached.
    Unreachable,
    /// A disk is full, here or on the server.
    NoSpace,
    /// Another process is at work in the same folder.
    FolderInUse,
    /// Ended by this signal, in good order.
    Signal(u8),
}

impl Exit {
    /// The number as the shell sees it.
    pub fn code(self) -> u8 {
        match self {
            Self::Agreement => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Held => 4,
            Self::NotAuthorised => 5,
            Self::Unreachable => 6,
            Self::NoSpace => 7,
            Self::FolderInUse => 8,
            // The shell's own convention for a child that a signal has ended.
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_as_documented() {
        let exits = [
            (Exit::Agreement, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Held, 4),
            (Exit::NotAuthorised, 5),
            (Exit::Unreachable, 6),
            (Exit::NoSpace, 7),
            (Exit::FolderInUse, 8),
            (Exit::Signal(2), 130),
            (Exit::Signal(15), 143),
            (Exit::Signal(200), 255),
        ];
        for (exit, code) in exits {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
