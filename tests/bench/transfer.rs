//! The steps that are measured with a whole tree: to the server, from the server, and once more with nothing to do.
//!
//! A step is one run of a client, from its start to its end, against a server that was started for it and is ready. What comes before a step
//! is done too, if it is not measured: nothing can be pulled before it was pushed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::access::Access;
use crate::contestant::{Contestant, Ground};
use crate::process::Process;
use crate::tree::Shape;
use crate::usage::Usage;
use crate::workload::Figure;

/// What a client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Bring a folder to an empty server.
    Push,
    /// Bring what the server has to an empty folder.
    Pull,
    /// Find that the folder that was pushed, and the server, are equal.
    Again,
}

impl Step {
    /// In an order in which they can be done.
    pub(crate) const ALL: [Self; 3] = [Self::Push, Self::Pull, Self::Again];
}

/// Lets a contestant do the steps, and a push before them if there is none among them. `source` is the tree, and `fetched` becomes what was
/// pulled.
pub(crate) fn run(
    contestant: Contestant,
    ground: Ground<'_>,
    (source, fetched): (&Path, &Path),
    shape: Shape,
    steps: &[Step],
) -> Result<Vec<(Figure, Usage)>> {
    for directory in [&ground.held(), fetched] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let mut measured = Vec::new();
    let first = if steps.contains(&Step::Push) { None } else { Some(Step::Push) };
    for step in first.into_iter().chain(steps.iter().copied()) {
        let folder = if step == Step::Pull { fetched } else { source };
        let checked = once(contestant, ground, step, folder).and_then(|usage| {
            shape.check(&ground.held())?;
            shape.check(folder)?;
            Ok(usage)
        });
        let usage = checked.map_err(|error| format!("{contestant}, {step:?}: {error}"))?;
        if steps.contains(&step) {
            measured.push((Figure::Step(step), usage));
        }
    }
    Ok(measured)
}

fn once(contestant: Contestant, ground: Ground<'_>, step: Step, folder: &Path) -> Result<Usage> {
    let service = contestant.serve(ground)?;
    // What was written before is on the disk, so that nobody waits for what another has done.
    Command::new("sync").arg("-f").arg(ground.work).status()?;
    let before = service.as_ref().map_or(0.0, |service| service.process.cpu());
    let server_start = service.as_ref().map_or(0, |service| service.process.resident());
    let mut client = contestant.client(ground, service.as_ref(), step, folder)?;
    let (seconds, client_cpu, client_peak) =
        Process::start(&mut client, &ground.work.join("client.log"))?.finish()?;
    let mut usage = Usage { seconds, client_cpu, client_peak, server_start, ..Usage::default() };
    if let Some(service) = service {
        service.process.wait_for_children();
        usage.server_cpu = service.process.cpu() - before;
        usage.server_rest = service.process.resident();
        usage.server_peak = service.process.peak();
        if contestant.is_live() {
            usage.files_read = Access::new(ground, &service)?.files_read()?;
        }
        service.process.stop()?;
    }
    Ok(usage)
}
