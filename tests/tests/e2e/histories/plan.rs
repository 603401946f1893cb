//! What happens in a history: drawn from the seed alone, before anything runs, so that the same seed means the same steps.
//!
//! ```text
//!     round:  step, step, step, ...                     users at four places, programs that stop, die, freeze
//!             everything runs, all agree, the oracle is asked
//! ```
//!
//! Names come from a small pool, so that users get in each other's way; steps come in bursts with moments between them, so that they
//! meet the programs in the middle of their work.

use std::fmt;
use std::time::Duration;

use crate::harness::Random;

/// How many rounds a history has: the later ones begin with a past.
const ROUNDS: usize = 3;
/// How many steps a round has.
const STEPS: usize = 24;
/// Clients in a history.
pub const CLIENTS: usize = 3;

/// Steps up to an agreement.
pub type Round = Vec<Step>;

#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody does something in a folder, or by hand in the box.
    Act(Place, Act),
    /// Time in which the programs work.
    Pass(Duration),
    /// SIGKILL.
    Kill(Program),
    /// SIGTERM.
    Stop(Program),
    /// Starts it, if it does not run.
    Start(Program),
    /// SIGSTOP: it still has its files and sockets, and does nothing.
    Freeze(Program),
    /// SIGCONT.
    Thaw(Program),
    /// Its state is deleted, while it does not run.
    LoseState(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Server,
    Client(usize),
}

/// Where a user is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Box,
    Folder(usize),
}

/// What a user does. Where it can't be done (the file is not there, something is in the way), nothing is.
#[derive(Clone, Debug)]
pub enum Act {
    Write {
        path: Name,
        how: How,
        content: Content,
    },
    Delete(Name),
    MakeDirectory(Name),
    Link {
        path: Name,
        target: Content,
    },
    /// What is there goes, with all that is in it, and something of another kind comes.
    Become(Name, Kind, Content),
    Rename(Name, Name),
    Swap(Name, Name),
    Mode(Name, u32),
    /// Sets the modification time, in seconds since 1970.
    Touch(Name, u64),
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Into the file that is there, or a new one.
    InPlace,
    /// A temporary file beside it takes its name.
    Replace,
    /// A file from elsewhere takes its name.
    MoveIn,
    Append,
    /// To half its length; the content plays no part.
    Truncate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
}

/// A content that nobody else writes, or one of a few that several users may write.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    seed: u64,
    number: usize,
    lines: usize,
}

/// A path in a folder, as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(pub Vec<u8>);

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.escape_ascii().to_string();
        if 80 < text.len() { write!(f, "{}...", &text[..20]) } else { f.write_str(&text) }
    }
}

impl Content {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("seed {} version {:04}\n", self.seed, self.number).into_bytes();
        for line in 0..self.lines {
            bytes.extend_from_slice(format!("{line} of version {}\n", self.number).as_bytes());
        }
        bytes
    }

    /// For a symbolic link: a target that is never there.
    pub fn target(&self) -> Vec<u8> {
        format!("nowhere/{}-{:04}", self.seed, self.number).into_bytes()
    }
}

/// The steps of a history.
pub fn draw(seed: u64) -> Vec<Round> {
    let mut planner = Planner { seed, random: Random::new(seed), contents: 0 };
    (0..ROUNDS).map(|_| planner.round()).collect()
}

struct Planner {
    seed: u64,
    random: Random,
    contents: usize,
}

impl Planner {
    fn round(&mut self) -> Round {
        let mut round = Vec::new();
        // Some rounds are quiet, in some the programs have a hard time.
        let faults = self.random.pick(&[0, 10, 25]);
        while round.len() < STEPS {
            if self.random.percent(faults) {
                round.push(self.fault());
                continue;
            }
            let place = self.place();
            for _ in 0..=self.random.below(4) {
                let place = if self.random.percent(70) { place } else { self.place() };
                round.push(Step::Act(place, self.act()));
            }
            if self.random.percent(60) {
                let most = self.random.pick(&[4, 30, 150, 600]);
                let milliseconds = u64::try_from(self.random.below(most)).expect("it is small");
                round.push(Step::Pass(Duration::from_millis(milliseconds)));
            }
        }
        round
    }

    fn fault(&mut self) -> Step {
        let client = self.random.below(CLIENTS);
        let program = if self.random.percent(35) { Program::Server } else { Program::Client(client) };
        match self.random.below(100) {
            0..20 => Step::Kill(program),
            20..35 => Step::Stop(program),
            35..70 => Step::Start(program),
            70..82 => Step::Freeze(program),
            82..95 => Step::Thaw(program),
            _ => Step::LoseState(client),
        }
    }

    fn place(&mut self) -> Place {
        match self.random.below(4) {
            0 => Place::Box,
            client => Place::Folder(client - 1),
        }
    }

    fn act(&mut self) -> Act {
        let path = self.name();
        match self.random.below(100) {
            0..38 => {
                let ways =
                    [How::InPlace, How::InPlace, How::Replace, How::MoveIn, How::Append, How::Truncate];
                Act::Write { path, how: self.random.pick(&ways), content: self.content() }
            }
            38..52 => Act::Delete(path),
            52..60 => Act::MakeDirectory(path),
            60..65 => Act::Link { path, target: self.content() },
            65..73 => {
                let kind = self.random.pick(&[Kind::File, Kind::Directory, Kind::Link]);
                Act::Become(path, kind, self.content())
            }
            73..88 => Act::Rename(path, self.name()),
            88..92 => Act::Swap(path, self.name()),
            92..96 => Act::Mode(path, self.random.pick(&[0o644, 0o600, 0o755, 0o700, 0o664])),
            _ => Act::Touch(path, 1_000_000_000 + self.random.next() % 1_000_000_000),
        }
    }

    /// Mostly plain names, so that paths are met again.
    fn name(&mut self) -> Name {
        let plain: [&[u8]; 6] = [b"a", b"b", b"c.txt", b"d", b"e f.tar.gz", b"100%"];
        let long = [b'n'; 255];
        let nasty: [&[u8]; 5] = [b"new\nline", b"\xff\xfe.bin", &long, b"-\\\"'", b"(conflict"];
        let mut path = Vec::new();
        for _ in 0..self.random.pick(&[0, 0, 0, 1, 1, 2]) {
            let directories: [&[u8]; 4] = [b"d", b"d", b"D", b"a"];
            path.extend_from_slice(self.random.pick(&directories));
            path.push(b'/');
        }
        let last = if self.random.percent(85) { self.random.pick(&plain) } else { self.random.pick(&nasty) };
        path.extend_from_slice(last);
        Name(path)
    }

    fn content(&mut self) -> Content {
        let lines = self.random.pick(&[0, 0, 0, 1, 20, 300, 20_000]);
        let number = match self.random.percent(90) {
            true => {
                self.contents += 1;
                self.contents
            }
            // Lines would make different contents of it.
            false => return Content { seed: self.seed, number: 9000 + self.random.below(2), lines: 0 },
        };
        Content { seed: self.seed, number, lines }
    }
}
