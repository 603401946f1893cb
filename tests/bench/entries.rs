//! What it takes to know so many files: the time of a first sync in either direction, of a pass with nothing to do and of a restart of the
//! server, and the memory of a server and two live clients that have been started again and have nothing to do.

use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::contestant::{Contestant, Ground};
use crate::live::Live;
use crate::transfer;
use crate::tree::Shape;
use crate::usage::Usage;
use crate::workload::{Figure, Kind};

/// Pushes `source`, pulls it into another folder, and has both followed.
pub(crate) fn run(
    contestant: Contestant,
    ground: Ground<'_>,
    source: &Path,
    shape: Shape,
) -> Result<Vec<(Figure, Usage)>> {
    let fetched = ground.work.join("fetched");
    let mut measured = transfer::run(contestant, ground, (source, &fetched), shape, Kind::Entries.steps())?;

    let begun = Instant::now();
    let service = contestant.serve(ground)?.ok_or("a contestant without a server can't be started again")?;
    let seconds = begun.elapsed().as_secs_f64();
    let process = service.process;
    let ready = Usage {
        seconds,
        server_cpu: process.cpu(),
        server_start: process.resident(),
        server_rest: process.resident(),
        server_peak: process.peak(),
        ..Usage::default()
    };
    process.stop()?;
    measured.push((Figure::Ready, ready));

    let begun = Instant::now();
    let live = Live::start(contestant, ground, [source, &fetched])?;
    let seconds = begun.elapsed().as_secs_f64();
    measured.push((Figure::Rest, Usage { seconds, ..live.usage() }));
    live.stop()?;
    Ok(measured)
}
