//! How long a change takes from one folder to the other: from the moment that a small file was closed in the first to the moment that all of
//! it is in the second. Server and both clients run; each change has the system to itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contestant::{Contestant, Ground};
use crate::process::{Process, Usage};
use crate::report::quantile;

/// The size of the small file, in bytes.
const SIZE: usize = 4 << 10;

/// How often the second folder is looked at. It is part of what is measured, so it is short; looking all the time would take a processor.
const LOOKING: Duration = Duration::from_micros(100);

/// Between the arrival of a change and the next one, so that nothing of the one before is still at work.
const PAUSE: Duration = Duration::from_millis(20);

/// What has not arrived by then is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes so many changes: the median and the 99th percentile of their times. CPU and memory are those of the whole run.
pub(crate) fn run(
    contestant: Contestant,
    ground: Ground<'_>,
    count: usize,
) -> Result<Vec<(&'static str, Usage)>> {
    let (from, to) = (ground.work.join("a"), ground.work.join("b"));
    for directory in [&from, &to, &ground.held()] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let service = contestant.serve(ground)?.ok_or("a contestant without a server can't be live")?;
    let mut clients = Vec::new();
    for (name, folder) in [("client_a", &from), ("client_b", &to)] {
        let mut client = contestant.follower(ground, &service, name, folder);
        clients.push(Process::start(&mut client, &ground.work.join(name).with_extension("log"))?);
        wait_until_idle(ground, folder)?;
    }
    let mut seconds = Vec::with_capacity(count);
    for number in 0..count {
        seconds.push(change(&from, &to, number)?);
        thread::sleep(PAUSE);
    }
    seconds.sort_by(f64::total_cmp);
    let usage = Usage {
        seconds: 0.0,
        server_cpu: service.process.cpu(),
        client_cpu: clients.iter().map(Process::cpu).sum(),
        server_peak: service.process.peak(),
        client_peak: clients.iter().map(Process::peak).max().unwrap_or(0),
    };
    for process in clients.into_iter().chain([service.process]) {
        process.stop()?;
    }
    fs::remove_dir_all(ground.work)?;
    let quantiles = [("p50", 0.50), ("p99", 0.99)];
    Ok(quantiles.map(|(name, part)| (name, Usage { seconds: quantile(&seconds, part), ..usage })).into())
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

fn wait_until_idle(ground: Ground<'_>, folder: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let status =
            Command::new(ground.programs.join("client_b")).args(["status", "--json"]).arg(folder).output()?;
        if String::from_utf8_lossy(&status.stdout).contains("\"state\":\"idle\"") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("the client of {} does not become idle", folder.display()).into())
}
