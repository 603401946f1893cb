//! What a system at rest takes: a server and two clients, two empty folders, and nothing that happens.

use std::thread;
use std::time::Duration;

use crate::Result;
use crate::contestant::{Contestant, Ground};
use crate::live::Live;
use crate::usage::Usage;
use crate::workload::Figure;

/// From the moment that all are idle, so that nothing of their start is still at work.
const SETTLING: Duration = Duration::from_secs(1);

/// CPU time of all within so many seconds.
pub(crate) fn run(
    contestant: Contestant,
    ground: Ground<'_>,
    seconds: usize,
) -> Result<Vec<(Figure, Usage)>> {
    let (a, b) = (ground.work.join("a"), ground.work.join("b"));
    let live = Live::start(contestant, ground, [&a, &b])?;
    thread::sleep(SETTLING);
    let before = live.usage();
    thread::sleep(Duration::from_secs(seconds as u64));
    let after = live.usage();
    live.stop()?;
    let usage = Usage {
        seconds: seconds as f64,
        server_cpu: after.server_cpu - before.server_cpu,
        client_cpu: after.client_cpu - before.client_cpu,
        ..after
    };
    Ok(vec![(Figure::Rest, usage)])
}
