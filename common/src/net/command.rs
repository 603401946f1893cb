//! A command whose standard input and output carry a connection: `ssh -W localhost:8080 HOST`.
//!
//! ```text
//!     this process  <== one pair of sockets ==>  0, 1  command  ...  server
//!          ^------------- a pipe --------------  2
//! ```
//!
//! Both ends of the pair are sockets, so everything that a connection needs (deadlines, half a shutdown, a look without waiting) is there,
//! and nothing above has to know. What the command says on standard error is read by a thread and kept, its end at least; when the
//! connection ends and the command has failed, that is the reason.
//!
//! No shell is involved: a command line is split into words here, by a few rules and no others.
//!
//! Traps:
//! - Ctrl-C goes to everybody in the foreground. Connections have to outlive it, to finish what is under way; so a command has a process
//!   group of its own. By that also those are ended that it has started. The price is that it can't ask anybody at the terminal.
//! - A command may leave others behind that hold its standard error open (ssh's master does). So that is not read to its end, but
//!   until the command is gone.
//! - Our keys are in the environment. They are none of its business.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use super::deadline::Deadline;
use crate::limits::{COMMAND_END, COMMAND_LINE_BYTES, COMMAND_WORDS_BYTES};
use crate::sys::poll::{PollFd, wait};
use crate::sys::process::kill_group;
use crate::sys::wake::Wake;
use crate::threads::{lock, spawn};

/// The environment variables that may hold the key, in the order in which they are looked at.
pub const KEY_VARIABLES: [&str; 2] = ["FILESYNC_TOKEN", "API_KEY"];

/// Between two looks at whether a command has ended.
const END_STEP: Duration = Duration::from_millis(2);

/// How long the thread that listens to a command waits when nothing is said; both the command and the bell wake it.
const UNDISTURBED: Duration = Duration::from_secs(3600);

/// Most reads of what a command has left behind in the pipe: that holds 64 KiB.
const LAST_READS: u32 = 16;

// ---- Command lines ---------------------------------------------------------------------------------------------------------------

/// A program and its arguments.
///
/// Written as text it is words with blanks between them. Within `'...'` everything stands for itself; within `"..."` too, but that a
/// backslash takes what is special from `"` and `\`; outside of quotes it does so from any character. Nothing else means anything: no
/// variable, pattern or `~` is expanded, and `;`, `|` and `>` are letters.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

/// Why a text is no command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandLineError {
    /// There is no word in it.
    Empty,
    /// A quotation is not closed, or the text ends with a backslash.
    Unfinished,
    /// It is longer than [`COMMAND_LINE_BYTES`].
    TooLong,
    /// It has a NUL, which no argument can have.
    Nul,
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandLineError::Empty => "there is no command",
            CommandLineError::Unfinished => {
                "a quotation mark or a backslash at the end is left without its other half"
            }
            CommandLineError::TooLong => "the command is too long",
            CommandLineError::Nul => "the command has a NUL in it",
        })
    }
}

impl std::error::Error for CommandLineError {}

impl CommandLine {
    /// This program with these arguments.
    pub fn new(program: &str, arguments: &[&str]) -> CommandLine {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        CommandLine { program: program.to_owned(), arguments }
    }
}

impl FromStr for CommandLine {
    type Err = CommandLineError;

    fn from_str(text: &str) -> Result<CommandLine, CommandLineError> {
        if COMMAND_LINE_BYTES < text.len() {
            return Err(CommandLineError::TooLong);
        }
        if text.contains('\0') {
            return Err(CommandLineError::Nul);
        }
        let mut words = split(text)?.into_iter();
        let program = words.next().filter(|word| !word.is_empty()).ok_or(CommandLineError::Empty)?;
        Ok(CommandLine { program, arguments: words.collect() })
    }
}

fn split(text: &str) -> Result<Vec<String>, CommandLineError> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None, '\\') => {
                let literal = characters.next().ok_or(CommandLineError::Unfinished)?;
                word.get_or_insert_default().push(literal);
            }
            (Some('"'), '\\') => {
                let next = characters.next().ok_or(CommandLineError::Unfinished)?;
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(CommandLineError::Unfinished);
    }
    words.extend(word);
    Ok(words)
}

/// The program alone: arguments may be long, and are no help in a message.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entry(&self.program).entries(&self.arguments).finish()
    }
}

// ---- Running commands ------------------------------------------------------------------------------------------------------------

/// A command that carries a connection. When this is dropped it ends, with all of its group; what it has left behind when it ended by
/// itself is its own business.
#[derive(Debug)]
pub struct Running {
    program: String,
    /// The server's address, for messages.
    destination: String,
    child: Arc<Mutex<Child>>,
    /// Whether the connection was ended from here, so that it means nothing how the command ends.
    dismissed: AtomicBool,
    listener: Mutex<Option<JoinHandle<Vec<u8>>>>,
    /// What it has said in the end, once the listener was asked.
    words: OnceLock<String>,
    /// Tells the listener that nothing more is going to be said.
    bell: Arc<Wake>,
}

impl Running {
    /// Starts a command that leads to a server. What is written into the stream is its input, what is read from it its output.
    ///
    /// # Errors
    /// The command can't be started.
    pub(super) fn start(line: &CommandLine, destination: String) -> io::Result<(UnixStream, Running)> {
        let (ours, theirs) = UnixStream::pair()?;
        let bell = Arc::new(Wake::new()?);
        let mut command = Command::new(&line.program);
        command.args(&line.arguments).process_group(0).stderr(Stdio::piped());
        command.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs));
        for name in KEY_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let child = Arc::new(Mutex::new(child));
        let running = Running {
            program: line.program.clone(),
            destination,
            child: child.clone(),
            dismissed: AtomicBool::new(false),
            listener: Mutex::new(None),
            words: OnceLock::new(),
            bell: bell.clone(),
        };
        if let Some(stderr) = stderr {
            *lock(&running.listener) = Some(spawn("command", move || {
                let said = listen(stderr, &bell);
                // Usually it is about to end. Waited for here, it is gone even if nobody uses the connection any more.
                end_of(&child, COMMAND_END);
                said
            })?);
        }
        Ok((ours, running))
    }

    /// Ends the command because the connection is not wanted any more.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
        // It fails if the command is gone.
        let _ = kill_group(&mut lock(&self.child));
    }

    /// Why the connection ended, if it is the command that failed. Only to be asked when its output has ended.
    pub(super) fn failure(&self) -> Option<CommandFailed> {
        let status = end_of(&self.child, COMMAND_END)?;
        if status.success() || self.dismissed.load(Ordering::Acquire) {
            return None;
        }
        let (program, destination) = (self.program.clone(), self.destination.clone());
        Some(CommandFailed { program, destination, status, words: self.last_words().to_owned() })
    }

    /// What a command that is gone has said, as one line.
    fn last_words(&self) -> &str {
        self.words.get_or_init(|| {
            self.bell.ring();
            let listener = lock(&self.listener).take();
            let said = listener.and_then(|listener| listener.join().ok()).unwrap_or_default();
            let text = String::from_utf8_lossy(&said);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.collect::<Vec<&str>>().join("; ").replace(char::is_control, "?")
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dismiss();
        // It was killed, so this takes no longer than the kernel needs.
        let _ = lock(&self.child).wait();
        self.last_words();
    }
}

/// How a command ended, if it does so in time.
fn end_of(child: &Mutex<Child>, patience: Duration) -> Option<ExitStatus> {
    let deadline = Deadline::after(patience);
    loop {
        match lock(child).try_wait() {
            Ok(None) if deadline.remaining().is_some() => {}
            Ok(status) => return status,
            Err(_) => return None,
        }
        sleep(END_STEP);
    }
}

/// What the "command" thread does first: keeps the end of what is said.
fn listen(mut stderr: ChildStderr, bell: &Wake) -> Vec<u8> {
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    let mut last_reads = LAST_READS;
    while 0 < last_reads {
        let mut fds = [PollFd::readable(stderr.as_fd()), PollFd::readable(bell.as_fd())];
        if wait(&mut fds, UNDISTURBED).is_err() {
            break;
        }
        let [speaks, is_over] = fds.map(|fd| fd.is_ready());
        match speaks {
            true => match stderr.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => said.extend_from_slice(&piece[..count]),
            },
            false if is_over => break,
            false => {}
        }
        said.drain(..said.len().saturating_sub(COMMAND_WORDS_BYTES));
        last_reads -= u32::from(is_over);
    }
    said
}

/// A command failed, and with it the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailed {
    program: String,
    destination: String,
    status: ExitStatus,
    words: String,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandFailed { program, destination, status, words } = self;
        write!(f, "{program} failed on the way to {destination} ({status})")?;
        if words.is_empty() { Ok(()) } else { write!(f, ": {words}") }
    }
}

impl std::error::Error for CommandFailed {}

impl From<CommandFailed> for io::Error {
    fn from(failed: CommandFailed) -> io::Error {
        io::Error::other(failed)
    }
}

impl CommandFailed {
    /// Whether this is why something failed.
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<CommandFailed>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        for (text, words) in [
            ("a", &["a"][..]),
            ("  ssh\t-W localhost:8080\n box ", &["ssh", "-W", "localhost:8080", "box"]),
            ("a 'b c' \"d e\" f\\ g", &["a", "b c", "d e", "f g"]),
            ("a '' \"\"", &["a", "", ""]),
            ("a'b'\"c\"d", &["abcd"]),
            (r#"a 'b\' "c\d\"\\" e\'\\"#, &["a", "b\\", "c\\d\"\\", "e'\\"]),
            // To a shell these would mean something.
            (
                "a; rm -rf ~ $HOME `b` | c > d & *",
                &["a;", "rm", "-rf", "~", "$HOME", "`b`", "|", "c", ">", "d", "&", "*"],
            ),
            ("a # b", &["a", "#", "b"]),
        ] {
            assert_eq!(text.parse(), Ok(CommandLine::new(words[0], &words[1..])), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_line() {
        let long = "x".repeat(COMMAND_LINE_BYTES + 1);
        for (text, error) in [
            ("", CommandLineError::Empty),
            (" \t", CommandLineError::Empty),
            ("'' a", CommandLineError::Empty),
            ("a 'b", CommandLineError::Unfinished),
            ("a \"b\\\"", CommandLineError::Unfinished),
            ("a \\", CommandLineError::Unfinished),
            ("a \"\\", CommandLineError::Unfinished),
            ("a\0", CommandLineError::Nul),
            (&long, CommandLineError::TooLong),
        ] {
            assert_eq!(text.parse::<CommandLine>(), Err(error), "{text:.20}");
        }
    }
}
