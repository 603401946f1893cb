//! How long a change takes from one folder to the other: from the moment that a small file was closed in the first to the moment that all of
//! it is in the second. Server and both clients run; each change has the system to itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contestant::{Contestant, Ground};
use crate::live::Live;
use crate::usage::{Usage, quantile};
use crate::workload::Figure;

/// The size of the small file, in bytes.
const SIZE: usize = 4 << 10;

/// How often the second folder is looked at. It is part of what is measured, so it is short; looking all the time would take a processor.
const LOOKING: Duration = Duration::from_micros(100);

/// Between the arrival of a change and the next one, so that nothing of the one before is still at work.
const PAUSE: Duration = Duration::from_millis(20);

/// What has not arrived by then is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes so many changes: the median and the 99th percentile of their times. CPU and memory are those of the whole run.
pub(crate) fn run(contestant: Contestant, ground: Ground<'_>, count: usize) -> Result<Vec<(Figure, Usage)>> {
    let (from, to) = (ground.work.join("a"), ground.work.join("b"));
    let live = Live::start(contestant, ground, [&from, &to])?;
    let mut seconds = Vec::with_capacity(count);
    for number in 0..count {
        seconds.push(change(&from, &to, number)?);
        thread::sleep(PAUSE);
    }
    seconds.sort_by(f64::total_cmp);
    let usage = live.usage();
    live.stop()?;
    let quantiles = [(Figure::Median, 0.50), (Figure::Percentile99, 0.99)];
    Ok(quantiles.map(|(figure, part)| (figure, Usage { seconds: quantile(&seconds, part), ..usage })).into())
}

/// One change: seconds from its `close` to its arrival.
fn change(from: &Path, to: &Path, number: usize) -> Result<f64> {
    let name = format!("file-{number}");
    let content: Vec<u8> = name.bytes().cycle().take(SIZE).collect();
    let mut file = File::create(from.join(&name))?;
    file.write_all(&content)?;
    drop(file);
    let closed = Instant::now();
    let arrived = to.join(&name);
    // Content is compared only when the name is there: to look for a name costs least.
    while !arrived.exists() || fs::read(&arrived)? != content {
        if closed.elapsed() > PATIENCE {
            return Err(format!("{} has not arrived", arrived.display()).into());
        }
        thread::sleep(LOOKING);
    }
    Ok(closed.elapsed().as_secs_f64())
}
