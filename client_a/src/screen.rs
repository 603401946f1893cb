//! What a person sees: log lines, and below them, on a terminal, one live line that is redrawn a few times a second.
//!
//! ```text
//!     syncing   12 to go   3 up, 8 down, 0 deleted   412.0 MiB moved   98.3 MiB/s
//! ```
//!
//! Where stderr is not a terminal there are log lines only.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::cli::args::Parsed;
use common::cli::format::{duration, rate, size};
use common::cli::log::Log;
use common::cli::terminal::width;
use common::client::words::sentence;
use common::engine::{Phase, Report, Reporter, Snapshot};

/// Between two drawings of the live line.
const REDRAW: Duration = Duration::from_millis(200);
/// Over which the rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// The reporter of client_a.
pub(crate) fn reporter(_: &Parsed, log: Log) -> Box<dyn Reporter> {
    match width() {
        Some(_) => Box::new(Screen { log, line: LiveLine::new() }),
        None => Box::new(Lines { log }),
    }
}

/// Log lines.
struct Lines {
    log: Log,
}

impl Reporter for Lines {
    fn report(&mut self, report: &Report<'_>) {
        if let Some((level, words)) = sentence(report) {
            self.log.write(level, words);
        }
    }
}

/// Log lines, and the live line below them.
struct Screen {
    log: Log,
    line: LiveLine,
}

impl Reporter for Screen {
    fn report(&mut self, report: &Report<'_>) {
        if let Some((level, words)) = sentence(report)
            && self.log.enabled(level)
        {
            let line = self.line.take();
            self.log.write(level, words);
            self.line.draw(line);
        }
        if matches!(report, Report::Ended { .. }) {
            self.line.clear();
        }
    }

    fn progress(&mut self, snapshot: &Snapshot<'_>) {
        self.line.show(snapshot);
    }
}

struct LiveLine {
    drawn: String,
    drawn_at: Option<Instant>,
    /// Bytes moved, and when, over the last [`RATE_WINDOW`].
    samples: Vec<(Instant, u64)>,
    /// Paths to go, and when: for the estimate.
    began: Option<(Instant, usize)>,
}

impl LiveLine {
    fn new() -> LiveLine {
        LiveLine { drawn: String::new(), drawn_at: None, samples: Vec::new(), began: None }
    }

    fn show(&mut self, snapshot: &Snapshot<'_>) {
        let now = Instant::now();
        if self.drawn_at.is_some_and(|at| now.duration_since(at) < REDRAW) {
            return;
        }
        self.drawn_at = Some(now);
        let moved = snapshot.progress.sent.load(Ordering::Relaxed)
            + snapshot.progress.received.load(Ordering::Relaxed);
        self.samples.push((now, moved));
        self.samples.retain(|(at, _)| now.duration_since(*at) <= RATE_WINDOW);
        let text = self.text(snapshot, moved, now);
        let Some(width) = width() else { return };
        let text: String = text.chars().take(width.saturating_sub(1)).collect();
        if text != self.drawn {
            self.clear();
            self.draw(text);
        }
    }

    fn draw(&mut self, text: String) {
        write(&text);
        self.drawn = text;
    }

    /// Takes the line off the screen, to be drawn again below what is written now.
    fn take(&mut self) -> String {
        let drawn = self.drawn.clone();
        self.clear();
        drawn
    }

    fn text(&mut self, snapshot: &Snapshot<'_>, moved: u64, now: Instant) -> String {
        let counts = snapshot.counts;
        let done = format!("{} up, {} down, {} deleted", counts.uploaded, counts.downloaded, counts.deleted);
        let word = snapshot.phase.word();
        if snapshot.phase != Phase::Syncing {
            self.began = None;
            return format!("{word}   {done}   {} moved", size(moved));
        }
        let mut text = format!("{word}   {} to go   {done}   {} moved", snapshot.pending, size(moved));
        if let Some((first_at, first)) = self.samples.first().copied()
            && first < moved
        {
            text.push_str(&format!("   {}", rate(moved - first, now.duration_since(first_at))));
        }
        let (began_at, began) = *self.began.get_or_insert((now, snapshot.pending));
        let settled = began.saturating_sub(snapshot.pending);
        if 0 < settled && 0 < snapshot.pending {
            let left = now.duration_since(began_at).mul_f64(snapshot.pending as f64 / settled as f64);
            text.push_str(&format!("   about {} left", duration(left)));
        }
        text
    }

    fn clear(&mut self) {
        if !self.drawn.is_empty() {
            write("\r\x1b[K");
            self.drawn.clear();
        }
    }
}

/// A terminal that went away is no reason to stop syncing.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
