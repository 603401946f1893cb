//! A process under measurement: how long it runs, its CPU time, and its peak memory, each with those of the processes that it starts.
//!
//! The kernel tells all that in `/proc`. CPU times of a process that has ended are there until it is waited for, in ticks of 10 ms; its peak
//! memory is not, so a thread looks at it every few milliseconds. Of several processes at a time the peaks are added up: what forks share is
//! counted for each. What the kernel's own threads do, such as writing to the disk, is in nobody's account.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Result;

/// The unit of CPU times in `/proc`: the same on all of today's Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// How often memory is looked at.
const SAMPLING: Duration = Duration::from_millis(10);

/// How long a server may take to listen, or to leave.
const PATIENCE: Duration = Duration::from_secs(60);

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A running process. It ends with its value, at the latest.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    begun: Instant,
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    sampler: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it; what it says on stderr goes to the file `log`. From now on its memory is looked at, and that of the processes beneath it.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let mut process = Self::start_alone(command, log)?;
        let (pid, kept, until) = (process.child.id(), Arc::clone(&process.peak), Arc::clone(&process.ended));
        process.sampler = Some(thread::Builder::new().name("memory".into()).spawn(move || {
            while !until.load(Ordering::Relaxed) {
                kept.fetch_max(tree(pid).into_iter().filter_map(peak_memory).sum(), Ordering::Relaxed);
                thread::sleep(SAMPLING);
            }
        })?);
        Ok(process)
    }

    /// Starts one that has no processes beneath it and is stopped in the end. The kernel knows its peak until then; to look at thousands of
    /// threads all the time would disturb it.
    pub(crate) fn start_alone(command: &mut Command, log: &Path) -> Result<Self> {
        let stderr = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let begun = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let stdout = BufReader::new(child.stdout.take().ok_or("a process without stdout")?);
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        Ok(Self { child, stdout, log: log.into(), begun, peak, ended, sampler: None })
    }

    /// The last word of the line in which it says where it listens.
    pub(crate) fn address(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let last = line.split_whitespace().last();
        last.map(String::from).ok_or_else(|| format!("no address: {}", self.complaint()).into())
    }

    /// Waits until somebody listens at this port of the machine.
    pub(crate) fn wait_for_port(&mut self, port: u16) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.child.try_wait()?.is_none() {
            if is_listening(port) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("nobody listens: {}", self.complaint()).into())
    }

    /// CPU seconds so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_seconds(self.child.id()).unwrap_or(0.0)
    }

    /// The most memory so far, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).max(tree(self.child.id()).into_iter().filter_map(peak_memory).sum())
    }

    /// What of its memory is in use now, in KiB: its own alone.
    pub(crate) fn resident(&self) -> u64 {
        memory(self.child.id(), "VmRSS:").unwrap_or(0)
    }

    /// Waits until it has no processes beneath it: then their CPU time is in its account.
    pub(crate) fn wait_for_children(&self) {
        let end = Instant::now() + PATIENCE;
        while tree(self.child.id()).len() > 1 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end, which must be a success: seconds, CPU seconds, and peak in KiB.
    pub(crate) fn finish(mut self) -> Result<(f64, f64, u64)> {
        // Its stdout ends with it, or with the last process that it started: no need to ask again and again.
        io::copy(&mut self.stdout, &mut io::sink())?;
        let seconds = self.begun.elapsed().as_secs_f64();
        while state(self.child.id()) != Some('Z') {
            thread::sleep(Duration::from_millis(1));
        }
        let cpu = self.cpu();
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("{status}: {}", self.complaint()).into());
        }
        Ok((seconds, cpu, self.peak.load(Ordering::Relaxed)))
    }

    /// Asks it to leave, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err(format!("it does not stop: {}", self.complaint()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it said last.
    fn complaint(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        format!("{}: {}", self.log.display(), lines[lines.len().saturating_sub(5)..].join("; "))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // It may have ended, and been waited for: then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(sampler) = self.sampler.take() {
            let _ = sampler.join();
        }
    }
}

/// The process and all those beneath it.
fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        // A child belongs to the thread that started it.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// Not found out by a connection: it would cost the server something, and some serve only one.
fn is_listening(port: u16) -> bool {
    let ending = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().any(|table| {
        fs::read_to_string(table).unwrap_or_default().lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            matches!(fields[..], [_, local, _, LISTEN, ..] if local.ends_with(&ending))
        })
    })
}

fn peak_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

/// In KiB; nothing of a process that has ended.
fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

fn state(pid: u32) -> Option<char> {
    fields_of_stat(pid)?.first()?.chars().next()
}

/// Of the process and of its children that have ended.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let fields = fields_of_stat(pid)?;
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 / TICKS_A_SECOND)
}

/// From the state on: what is before it is the process' number, and its name, which may contain anything.
fn fields_of_stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat[stat.rfind(')')? + 1..].split_whitespace().map(String::from).collect())
}
