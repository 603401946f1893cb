//! A server and two clients of this project that follow their folders.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contestant::{Contestant, Ground, Service};
use crate::process::Process;
use crate::usage::Usage;

/// How long a client may take to find that there is nothing to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often a client is asked whether it has.
const ASKING: Duration = Duration::from_millis(20);

/// All three are at work.
pub(crate) struct Live {
    service: Service,
    clients: Vec<Process>,
}

impl Live {
    /// Starts them, and waits until both clients are idle.
    pub(crate) fn start(contestant: Contestant, ground: Ground<'_>, folders: [&Path; 2]) -> Result<Self> {
        for directory in folders.into_iter().chain([ground.held().as_path()]) {
            fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let service = contestant.serve(ground)?.ok_or("a contestant without a server can't be live")?;
        let mut clients = Vec::new();
        for (name, folder) in ["client_a", "client_b"].into_iter().zip(folders) {
            let mut client = contestant.follower(ground, &service, name, folder);
            let log = ground.work.join(name).with_extension("log");
            clients.push(Process::start_alone(&mut client, &log)?);
            wait_until_idle(ground, folder)?;
        }
        Ok(Self { service, clients })
    }

    /// What they have taken so far.
    pub(crate) fn usage(&self) -> Usage {
        let largest = |of: fn(&Process) -> u64| self.clients.iter().map(of).max().unwrap_or(0);
        Usage {
            server_cpu: self.service.process.cpu(),
            client_cpu: self.clients.iter().map(Process::cpu).sum(),
            server_rest: self.service.process.resident(),
            server_peak: self.service.process.peak(),
            client_rest: largest(Process::resident),
            client_peak: largest(Process::peak),
            ..Usage::default()
        }
    }

    /// Stops them.
    pub(crate) fn stop(self) -> Result<()> {
        self.clients.into_iter().chain([self.service.process]).try_for_each(Process::stop)
    }
}

fn wait_until_idle(ground: Ground<'_>, folder: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let status =
            Command::new(ground.programs.join("client_b")).args(["status", "--json"]).arg(folder).output()?;
        if String::from_utf8_lossy(&status.stdout).contains("\"state\":\"idle\"") {
            return Ok(());
        }
        thread::sleep(ASKING);
    }
    Err(format!("the client of {} does not become idle", folder.display()).into())
}
