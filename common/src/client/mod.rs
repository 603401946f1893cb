//! What the two clients' programs have in common: their options, the token, signals, `status`, `check-ignore`, exit codes. What differs is
//! in the programs: how they show what the engine reports.

mod check_ignore;
mod conflicts;
mod help;
mod token;
pub mod words;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use crate::cli::args::{Parsed, Spec, UsageError, parse, parse_text, parse_u64_in};
use crate::cli::exit::Exit;
use crate::cli::log::{Format, Level, Log};
use crate::disk::Mode;
use crate::engine::{
    Direction, Ended, Engine, FolderError, Options, Reporter, StartError, Stopper, read_status,
};
use crate::limits::{WORKERS, WORKERS_MAX};
use crate::net::endpoint::Endpoint;
use crate::sys::signals::Signals;
use crate::sys::wake::Wake;
use crate::threads::spawn;
use crate::wire::json::{Number, Value, Writer};
use check_ignore::check_ignore;
use conflicts::{conflicts, resolve};
use help::help;
use token::token;

/// The options that both clients have.
pub const OPTIONS: [Spec; 17] = [
    Spec::value("server"),
    Spec::value("connect"),
    Spec::value("token-file"),
    Spec::value("name"),
    Spec::flag("once"),
    Spec::short_flag("dry-run", 'n'),
    Spec::flag("force"),
    Spec::value("workers"),
    Spec::value("poll"),
    Spec::values("ignore"),
    Spec::flag("no-fsync"),
    Spec::flag("json"),
    Spec::value("keep"),
    Spec::short_flag("verbose", 'v'),
    Spec::short_flag("quiet", 'q'),
    Spec::query("help", 'h'),
    Spec::query("version", 'V'),
];

const SERVER: &str = "http://127.0.0.1:8080";

/// One of the clients.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// All of its options; [`OPTIONS`] among them.
    pub options: &'static [Spec],
    /// What it is, and examples: how `--help` begins.
    pub about: &'static str,
    /// The lines of `--help` for options that only this client has.
    pub own_options: &'static str,
    /// How it shows what is going on, given its command line.
    pub reporter: fn(&Parsed, Log) -> Box<dyn Reporter>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a client ends before it begins.
#[derive(Debug)]
enum Refused {
    Usage(UsageError),
    Words(Exit, String),
}

impl From<UsageError> for Refused {
    fn from(error: UsageError) -> Refused {
        Refused::Usage(error)
    }
}

impl Program {
    /// Runs the program with the arguments and the environment of this process.
    pub fn run(&self) -> Exit {
        match self.try_run() {
            Ok(exit) => exit,
            Err(Refused::Usage(error)) => {
                say(io::stderr(), &format!("{}: {error}\nTry `{} --help`.\n", self.name, self.name));
                Exit::Usage
            }
            Err(Refused::Words(exit, words)) => {
                say(io::stderr(), &format!("{}: {words}\n", self.name));
                exit
            }
        }
    }

    fn try_run(&self) -> Result<Exit, Refused> {
        let parsed = parse(self.options, env::args_os().skip(1), |name| env::var_os(name))?;
        if parsed.flag("help") {
            say(io::stdout(), &help(self));
            return Ok(Exit::Agreement);
        }
        if parsed.flag("version") {
            say(io::stdout(), &format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION")));
            return Ok(Exit::Agreement);
        }
        let (command, rest) = match parsed.positional() {
            [command, rest @ ..] => (command.to_str().unwrap_or(""), rest),
            [] => ("", &[][..]),
        };
        let (text, exit) = match command {
            "status" => return status(rest, parsed.flag("json")),
            "conflicts" => (conflicts(rest)?, Exit::Agreement),
            "resolve" => (resolve(rest, parsed.value("keep"))?, Exit::Agreement),
            "check-ignore" => check_ignore(rest, parsed.values("ignore"))?,
            _ => return self.sync(&parsed),
        };
        say(io::stdout(), &text);
        Ok(exit)
    }

    fn sync(&self, parsed: &Parsed) -> Result<Exit, Refused> {
        let options = options_from(parsed)?;
        // Before the first thread, so that every thread leaves signals to the one that waits for them.
        let signals = Signals::block().map_err(|error| failed(format!("cannot handle signals: {error}")))?;
        let log = Log::new(Level::chosen(parsed.count("quiet"), parsed.count("verbose")), Format::Text);
        let engine = Engine::start(options, (self.reporter)(parsed, log)).map_err(|error| {
            let exit = match &error {
                StartError::Folder(FolderError::InUse(..)) => Exit::FolderInUse,
                StartError::Folder(FolderError::Missing(_) | FolderError::NotADirectory(_)) => Exit::Usage,
                _ => Exit::Failed,
            };
            Refused::Words(exit, error.to_string())
        })?;
        let unstarted = |error| failed(format!("cannot start: {error}"));
        let over = Arc::new(Wake::new().map_err(unstarted)?);
        let waiter = wait_for_signals(signals, engine.stopper(), over.clone()).map_err(unstarted)?;
        let ended = engine.run();
        over.ring();
        let _ = waiter.join();
        Ok(self.exit(ended))
    }

    fn exit(&self, ended: Ended) -> Exit {
        let complain = |words: String| say(io::stderr(), &format!("{}: {words}\n", self.name));
        match ended {
            Ended::Agreed => Exit::Agreement,
            Ended::SomeFailed => Exit::Failed,
            Ended::NoSpace => Exit::NoSpace,
            Ended::Held => {
                complain("held: so much would be deleted that a person should look first; if it is meant, run again with --force".into());
                Exit::Held
            }
            Ended::NotAuthorised(words) => {
                complain(format!(
                    "not authorised: {words}; the key is in .filesync/key of the server's box, and `server token` makes others: give \
                     it with --token-file, FILESYNC_TOKEN or API_KEY"
                ));
                Exit::NotAuthorised
            }
            Ended::Unreachable(words) => {
                complain(format!("the server is not reachable: {words}"));
                Exit::Unreachable
            }
            Ended::Stopped(Some(signal)) => Exit::Signal(signal),
            Ended::Stopped(None) => Exit::Agreement,
        }
    }
}

fn failed(words: String) -> Refused {
    Refused::Words(Exit::Failed, words)
}

/// From what was typed to what is meant.
fn options_from(parsed: &Parsed) -> Result<Options, Refused> {
    let directory = PathBuf::from(parsed.only_argument("DIR")?);
    let has = |name: &str| parsed.flag(name);
    let direction = match (given(parsed, "push"), given(parsed, "pull")) {
        (false, false) => Direction::Both,
        (true, false) => Direction::Push,
        (false, true) => Direction::Pull,
        (true, true) => {
            return Err(Refused::Words(Exit::Usage, "--push and --pull exclude each other".into()));
        }
    };
    let mode = match parsed.value("poll") {
        Some(value) => Mode::Poll(Duration::from_secs(parse_u64_in("poll", value, 1..=86_400)?)),
        None => Mode::Events,
    };
    Ok(Options {
        directory,
        endpoint: endpoint(parsed)?,
        token: Some(token(parsed.value("token-file"))?),
        name: name(parsed)?,
        once: has("once") || has("dry-run"),
        dry_run: has("dry-run"),
        force: has("force"),
        ignore: parsed.values("ignore").to_vec(),
        direction,
        workers: workers(parsed)?,
        mode,
        durable: !has("no-fsync"),
    })
}

fn workers(parsed: &Parsed) -> Result<usize, UsageError> {
    match parsed.value("workers") {
        Some(value) => Ok(parse_u64_in("workers", value, 1..=WORKERS_MAX as u64)? as usize),
        None => Ok(WORKERS),
    }
}

/// Where the server is, and what leads there.
fn endpoint(parsed: &Parsed) -> Result<Endpoint, Refused> {
    let refuse = |option: &str, value: &str, error: &dyn std::fmt::Display| {
        Refused::Words(Exit::Usage, format!("--{option} {value}: {error}"))
    };
    let server = parsed.value("server").map_or(Ok(SERVER), |value| parse_text("server", value))?;
    let endpoint: Endpoint = server.parse().map_err(|error| refuse("server", server, &error))?;
    let Some(command) = parsed.value("connect") else { return Ok(endpoint) };
    let command = parse_text("connect", command)?;
    if server.starts_with("unix:") {
        return Err(refuse("connect", command, &"a command and a unix: address exclude each other"));
    }
    Ok(endpoint.through(command.parse().map_err(|error| refuse("connect", command, &error))?))
}

/// Whether a flag that not every client has was given.
fn given(parsed: &Parsed, name: &'static str) -> bool {
    parsed.knows(name) && parsed.flag(name)
}

/// The client's name: as given, else the machine's.
fn name(parsed: &Parsed) -> Result<String, UsageError> {
    if let Some(value) = parsed.value("name") {
        return parse_text("name", value).map(str::to_owned);
    }
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = machine.trim().chars().filter(|character| !character.is_control()).take(64).collect();
    Ok(if name.is_empty() { "client".to_owned() } else { name })
}

/// The first signal lets the engine end in good order, the second ends the process at once. The thread ends when `over` rings.
fn wait_for_signals(
    signals: Signals,
    stopper: Stopper,
    over: Arc<Wake>,
) -> io::Result<std::thread::JoinHandle<()>> {
    spawn("signals", move || {
        let mut stopping = false;
        loop {
            match signals.wait(&over) {
                Ok(None) => return,
                Ok(Some(signal)) => {
                    let number = signal.number();
                    if stopping {
                        std::process::exit(i32::from(Exit::Signal(number).code()));
                    }
                    stopping = true;
                    stopper.stop(Some(number));
                }
                // Without signals it could not be stopped in good order; so it stops.
                Err(_) => return stopper.stop(None),
            }
        }
    })
}

fn status(arguments: &[OsString], json: bool) -> Result<Exit, Refused> {
    let directory = match arguments {
        [directory] => PathBuf::from(directory),
        _ => return Err(Refused::Words(Exit::Usage, "status needs one folder: status [--json] DIR".into())),
    };
    let status = read_status(&directory)
        .map_err(|error| failed(format!("cannot read the status of {}: {error}", directory.display())))?;
    let text = if json { document(&status) } else { one_line(&status) };
    say(io::stdout(), &text);
    Ok(Exit::Agreement)
}

fn document(status: &Value) -> String {
    let mut json = Writer::new();
    write_value(&mut json, status);
    let mut text = String::from_utf8_lossy(&json.finish()).into_owned();
    text.push('\n');
    text
}

/// Values that came from our own status file: its depth is bounded by the reader.
fn write_value(json: &mut Writer, value: &Value) {
    match value {
        Value::Null => drop(json.null()),
        Value::Bool(truth) => drop(json.bool(*truth)),
        Value::Number(Number::Unsigned(number)) => drop(json.u64(*number)),
        Value::Number(Number::Negative(number)) => drop(json.i64(*number)),
        Value::String(text) => drop(json.string(text)),
        Value::Array(items) => {
            json.begin_array();
            items.iter().for_each(|item| write_value(json, item));
            json.end_array();
        }
        Value::Object(members) => {
            json.begin_object();
            for (key, value) in members {
                json.key(key);
                write_value(json, value);
            }
            json.end_object();
        }
    }
}

fn one_line(status: &Value) -> String {
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let count = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let problems = status.get("problems").and_then(Value::as_array).unwrap_or(&[]);
    let mut line = format!(
        "{}, {} pending, {} conflicts, {} problems, cursor {}\n",
        text("state"),
        count("pending"),
        count("conflicts"),
        problems.len(),
        text("cursor")
    );
    if let Some(reason) = status.get("polling").and_then(Value::as_str) {
        line.push_str(&format!("  {reason}\n"));
    }
    for problem in problems {
        let member = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("");
        let path = problem.get("path").and_then(Value::as_str).unwrap_or("the folder");
        line.push_str(&format!("  cannot {} {path}: {}\n", member("operation"), member("error")));
    }
    line
}

/// Prints. That nobody reads it is nobody's problem.
fn say(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_workers_may_be_asked_for() {
        let of = |arguments: &[&str]| {
            let arguments = arguments.iter().map(Into::into);
            workers(&parse(&OPTIONS, arguments, |_| None).unwrap()).ok()
        };
        assert_eq!(of(&[]), Some(WORKERS));
        let asked = |count: usize| of(&["--workers", &count.to_string()]);
        assert_eq!((asked(1), asked(WORKERS_MAX)), (Some(1), Some(WORKERS_MAX)));
        assert_eq!((asked(0), asked(WORKERS_MAX + 1)), (None, None));
    }
}
