//! What there is to do: the workloads, their sizes, and the figures that come of them.

use std::fmt;

use crate::contestant::Contestant;
use crate::transfer::Step;
use crate::tree::Shape;

/// What a workload is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Small files, pushed and pulled.
    Small,
    /// One large file, pushed and pulled.
    Large,
    /// Files from small to large, pushed and pulled.
    Mixed,
    /// Files on both sides, and nothing to do.
    Unchanged,
    /// Changes between two live folders, one after the other.
    Latency,
    /// Two live folders in which nothing happens.
    Idle,
    /// Clients who are told of an upload.
    Fanout,
    /// What so many files take: time, and memory of those who know them.
    Entries,
}

impl Kind {
    /// In the order in which they are done.
    pub(crate) const ALL: [Self; 8] = [
        Self::Small,
        Self::Large,
        Self::Mixed,
        Self::Unchanged,
        Self::Latency,
        Self::Idle,
        Self::Fanout,
        Self::Entries,
    ];

    /// As it is called on the command line and among the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Mixed => "mixed",
            Self::Unchanged => "unchanged",
            Self::Latency => "latency",
            Self::Idle => "idle",
            Self::Fanout => "fanout",
            Self::Entries => "entries",
        }
    }

    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How large it is unless something else is said. Several sizes show how it grows.
    pub(crate) fn sizes(self) -> &'static [usize] {
        match self {
            Self::Small => &[10_000],
            Self::Large => &[2048],
            Self::Mixed => &[1000],
            Self::Unchanged => &[100_000],
            Self::Latency => &[500],
            Self::Idle => &[30],
            Self::Fanout => &[10, 100, 1000, 2000, 5000],
            Self::Entries => &[1000, 10_000, 100_000, 1_000_000],
        }
    }

    /// The steps of a transfer that are measured.
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Self::Small | Self::Large | Self::Mixed => &[Step::Push, Step::Pull],
            Self::Unchanged => &[Step::Again],
            Self::Entries => &Step::ALL,
            Self::Latency | Self::Idle | Self::Fanout => &[],
        }
    }

    /// Whether anybody else does it too.
    pub(crate) fn is_compared(self) -> bool {
        matches!(self, Self::Small | Self::Large | Self::Mixed | Self::Unchanged)
    }

    /// Whether the contestant can do it, and there is something to learn from that.
    pub(crate) fn is_for(self, contestant: Contestant) -> bool {
        match self {
            Self::Small | Self::Large | Self::Mixed => true,
            Self::Unchanged => contestant.compares(),
            Self::Latency | Self::Fanout => contestant.is_live(),
            Self::Idle | Self::Entries => contestant == Contestant::Filesync,
        }
    }

    /// How often it is done if the others are done so often. What takes very long, and is held against nothing but a number, is done once.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        if matches!(self, Self::Idle | Self::Entries) { 1 } else { rounds }
    }
}

/// A workload of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// What it is about.
    pub(crate) kind: Kind,
    /// How many there are of what it is about: files, MiB, changes, seconds or clients.
    pub(crate) size: usize,
}

impl Workload {
    /// The tree that it needs, if any.
    pub(crate) fn shape(&self) -> Option<Shape> {
        let files = self.size;
        match self.kind {
            Kind::Small => Some(Shape::Equal { files, bytes: 4 << 10 }),
            Kind::Large => Some(Shape::Equal { files: 1, bytes: (self.size as u64) << 20 }),
            Kind::Mixed => Some(Shape::Mixed { files }),
            Kind::Unchanged => Some(Shape::Equal { files, bytes: 1 << 10 }),
            Kind::Entries => Some(Shape::Equal { files, bytes: 16 }),
            Kind::Latency | Kind::Idle | Kind::Fanout => None,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, size } = self;
        match kind {
            Kind::Small => write!(formatter, "{size} files of 4 KiB"),
            Kind::Large => write!(formatter, "one file of {size} MiB"),
            Kind::Mixed => {
                write!(formatter, "{size} files from 4 KiB to {} MiB", Shape::largest(*size) >> 20)
            }
            Kind::Unchanged => write!(formatter, "{size} files of 1 KiB"),
            Kind::Latency => write!(formatter, "from folder to folder, {size} times"),
            Kind::Idle => write!(formatter, "two live folders at rest for {size} s"),
            Kind::Fanout => write!(formatter, "an upload told to {size} clients"),
            Kind::Entries => write!(formatter, "{size} tiny files"),
        }
    }
}

/// What is measured of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// A step of a transfer.
    Step(Step),
    /// The time that half of all events need at most.
    Median,
    /// The time that all but one of a hundred events need at most.
    Percentile99,
    /// A server that was started again and accepts connections.
    Ready,
    /// What is at work, and has nothing to do.
    Rest,
}

impl Figure {
    const ALL: [Self; 7] = [
        Self::Step(Step::Push),
        Self::Step(Step::Pull),
        Self::Step(Step::Again),
        Self::Median,
        Self::Percentile99,
        Self::Ready,
        Self::Rest,
    ];

    /// As it is called among the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step(Step::Push) => "push",
            Self::Step(Step::Pull) => "pull",
            Self::Step(Step::Again) => "again",
            Self::Median => "p50",
            Self::Percentile99 => "p99",
            Self::Ready => "ready",
            Self::Rest => "rest",
        }
    }

    /// The figure of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.name() == name)
    }
}

/// As people read it.
impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Step(Step::Again) => "a pass with nothing to do",
            Self::Ready => "start of the server",
            Self::Rest => "at rest",
            Self::Step(_) | Self::Median | Self::Percentile99 => self.name(),
        })
    }
}
