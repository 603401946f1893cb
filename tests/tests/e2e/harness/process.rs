//! Processes under test: started with a clean environment, killed when dropped, their logs shown when a test fails.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use tempfile::TempDir;

use super::wait::eventually;

/// How much of a log is shown when a test fails, in lines.
const LOG_TAIL_LINES: usize = 60;

/// One of the programs, ready to be given arguments. None of the variables that the programs read is inherited from whoever runs the tests.
#[track_caller]
pub fn program(name: &str) -> Command {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug");
    let directory = env::var_os("FILESYNC_BIN_DIR").map_or(beside, PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is missing. Run `cargo build --offline` at the top of the repository, or say with FILESYNC_BIN_DIR where the programs are.",
        path.display()
    );
    let mut command = Command::new(path);
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("FILESYNC_") || name == "API_KEY" || name == "SERVER_ADDRESS" {
            command.env_remove(&variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Something that `cargo test` has built beside this test: an example of this package.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let built = test.ancestors().nth(2).expect("tests are built into a directory of their own");
    let path = built.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing; run `cargo build --manifest-path tests/Cargo.toml --examples`",
        path.display()
    );
    path
}

/// A process that runs beside the test.
pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. Its standard output and its log go to files in `directory`; the log of an earlier start is kept in front.
    #[track_caller]
    pub fn spawn(name: &str, directory: &Path, command: &mut Command) -> Process {
        let output = directory.join(format!("{name}.out"));
        let log = directory.join(format!("{name}.log"));
        let log_file = File::options().create(true).append(true).open(&log).expect("open a log file");
        command.stdout(File::create(&output).expect("create a file for standard output")).stderr(log_file);
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        Process { child, name: name.to_owned(), output, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// What it has written to standard error so far, in this and in earlier starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit code as a shell would show it; `None` while the process runs.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("ask for the state of a child").map(shell_code)
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let what = format!("the end of {}", self.name);
        eventually(&what, || self.exit_code().ok_or_else(|| "it runs".to_owned()))
    }

    /// SIGKILL: the end that nothing can prepare for.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill a child");
        self.child.wait().expect("wait for a child");
    }

    /// SIGTERM, and the exit code that follows.
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal, by its name.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        // Through the shell: `kill` is part of every shell, but not of every machine.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", self.pid())).status();
        assert!(status.is_ok_and(|status| status.success()), "can't send {signal} to {}", self.name);
    }

    /// The most memory that it has had so far, in bytes.
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a running process has VmHWM");
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("VmHWM is a number of kB");
        kibibytes * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let waits = thread::panicking().then(|| waits(self.pid()));
        // Either may fail because the process has already ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(waits) = waits {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            eprintln!("---- end of the log of {} ----\n{}", self.name, tail.join("\n"));
            eprintln!("---- what its threads waited for ----\n{waits}");
        }
    }
}

/// What can be counted of a process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub threads: usize,
    pub descriptors: usize,
}

impl Process {
    pub fn figures(&self) -> Figures {
        let count =
            |what: &str| fs::read_dir(format!("/proc/{}/{what}", self.pid())).map_or(0, Iterator::count);
        Figures { threads: count("task"), descriptors: count("fd") }
    }
}

impl Process {
    /// How many of its threads have a name that begins so.
    pub fn threads_named(&self, prefix: &str) -> usize {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        threads.map(name).filter(|name| name.starts_with(prefix)).count()
    }
}

/// Where in the kernel the threads of a process are: a test that failed because nothing happened any more may find out why. Threads whose
/// names differ by a number only, and that are in the same place, are counted: a server can have thousands. Empty if the process has ended.
fn waits(pid: u32) -> String {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for thread in threads {
        let word = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let name = word("comm").trim_end().trim_end_matches(|char: char| char.is_ascii_digit()).to_owned();
        *counts.entry(format!("{name} {}", word("wchan").trim_end())).or_default() += 1;
    }
    let lines =
        counts.into_iter().map(|(what, count)| if count == 1 { what } else { format!("{count} x {what}") });
    lines.collect::<Vec<_>>().join("\n")
}

/// How a process ended, and everything it said.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Fails with everything that was said unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "exit code\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the program's complaint has all of these words in it.
    #[track_caller]
    pub fn expect_words(self, words: &[&str]) -> Finished {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in:\n{}", self.stderr);
        }
        self
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    let directory = TempDir::new().expect("create a temporary directory");
    let mut process = Process::spawn("run", directory.path(), command);
    let code = process.wait();
    Finished { code, stdout: process.output(), stderr: process.log() }
}

/// Runs a line of shell in a directory.
#[track_caller]
pub fn shell(directory: &Path, line: &str) {
    let output =
        Command::new("sh").args(["-e", "-c", line]).current_dir(directory).output().expect("run a shell");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the tests are run by root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc is mounted").uid() == 0
}

fn shell_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
