//! Opening connections, whichever way leads to the server.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::Duration;

use super::command::{CommandLine, Running};
use super::conn::Conn;
use super::deadline::Deadline;
use super::endpoint::{Endpoint, Way};
use super::tls;
use super::transport::Transport;
use crate::sys::socket::connect_unix;

/// Opens a connection to a server.
///
/// A command is only started here; that it can't reach anybody is told by the first read.
///
/// # Errors
/// Those of the last address that was tried; `TimedOut` if it takes longer than `timeout`.
pub fn open(endpoint: &Endpoint, timeout: Duration) -> io::Result<Conn> {
    match endpoint.way() {
        Way::Tcp => Conn::new(open_tcp(endpoint, timeout)?),
        Way::Tls => start(&tls::command(endpoint.bracketed_host(), endpoint.port()), endpoint.url()),
        Way::Unix(path) => Conn::new(connect_unix(path, timeout)?),
        Way::Command(line) => start(line, endpoint.url()),
    }
}

/// Tries every address of the endpoint, within one timeout.
fn open_tcp(endpoint: &Endpoint, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Deadline::after(timeout);
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for address in endpoint.resolve()? {
        let Some(remaining) = deadline.remaining() else { break };
        match TcpStream::connect_timeout(&address, remaining) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn start(line: &CommandLine, destination: String) -> io::Result<Conn> {
    let (stream, command) = Running::start(line, destination).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::NotFound if line.to_string() == tls::OPENSSL => {
                "; it is what speaks TLS for this program: install it, or name another with --connect"
            }
            _ => "",
        };
        io::Error::new(error.kind(), format!("can't start {line}: {error}{advice}"))
    })?;
    Conn::new(Transport::carried_by(stream, command))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::super::conn::ConnError;
    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::limits::{COMMAND_END, COMMAND_WORDS_BYTES};
    use crate::wire::http::head::parse_response;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn through(command: &str) -> Endpoint {
        let endpoint: Endpoint = "http://box.example".parse().unwrap();
        endpoint.through(command.parse().unwrap())
    }

    /// What a connection through a shell command says when it is over.
    fn end_of(script: &str) -> io::Result<usize> {
        let mut conn = open(&through(&format!("sh -c '{script}'")), PATIENCE).unwrap();
        conn.fill(Deadline::after(PATIENCE))
    }

    #[test]
    fn a_command_carries_bytes_both_ways() {
        let mut conn = open(&through("cat"), PATIENCE).unwrap();
        for text in [&b"hello"[..], &[0, 255, 10, 13]] {
            conn.write_all(text).unwrap();
            while conn.buffered().len() < text.len() {
                conn.fill(Deadline::after(PATIENCE)).unwrap();
            }
            assert_eq!(conn.buffered(), text);
            conn.consume(text.len());
        }
        let waited = conn.fill(Deadline::after(Duration::from_millis(20)));
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(!conn.transport().is_readable().unwrap());
        // Half an end goes through, too.
        conn.shutdown_write().unwrap();
        assert_eq!(conn.fill(Deadline::after(PATIENCE)).unwrap(), 0);
    }

    #[test]
    fn how_a_command_ends_is_how_the_connection_ends() {
        for (script, want) in [
            ("true", Ok(())),
            ("echo chatter >&2", Ok(())),
            ("exit 3", Err("sh failed on the way to http://box.example:80 (exit status: 3)")),
            (
                "echo one >&2; echo >&2; printf \"  two\\033[2J\\n\" >&2; exit 255",
                Err("sh failed on the way to http://box.example:80 (exit status: 255): one; two?[2J"),
            ),
            ("kill -9 $$", Err("sh failed on the way to http://box.example:80 (signal: 9 (SIGKILL))")),
            // What it leaves behind holds its standard error open, and does not matter.
            (
                "sleep 3 <&- >&- & echo gone >&2; exit 1",
                Err("sh failed on the way to http://box.example:80 (exit status: 1): gone"),
            ),
        ] {
            let begun = Instant::now();
            match (end_of(script), want) {
                (Ok(0), Ok(())) => {}
                (Err(error), Err(words)) => assert_eq!(error.to_string(), words, "{script}"),
                (got, _) => panic!("{script}: {got:?}"),
            }
            assert!(begun.elapsed() < PATIENCE, "{script}");
        }
    }

    #[test]
    fn much_is_said_and_its_end_kept() {
        let error = end_of("yes | head -c 1000000 >&2; echo the end >&2; exit 1").unwrap_err().to_string();
        assert!(error.ends_with("y; the end") && error.len() < 3 * COMMAND_WORDS_BYTES, "{error}");
    }

    #[test]
    fn a_command_that_stays_is_waited_for_a_moment_only() {
        let begun = Instant::now();
        assert_eq!(end_of("exec >&- <&-; sleep 1000").unwrap(), 0);
        let waited = begun.elapsed();
        assert!((COMMAND_END..PATIENCE).contains(&waited), "{waited:?}");
    }

    #[test]
    fn a_failed_command_is_why_there_is_no_answer() {
        let mut conn = open(&through("sh -c 'echo >&2 away; exit 255'"), PATIENCE).unwrap();
        // Whether this is noticed here or below depends on who is faster.
        let _ = conn.write_all(&[b'x'; 1_000_000]);
        match conn.read_head(parse_response, Deadline::after(PATIENCE)) {
            Err(ConnError::Io(error)) => {
                assert!(error.to_string().ends_with("(exit status: 255): away"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_can_not_be_started_is_named() {
        let error = open(&through("/no/such/program -x"), PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("can't start /no/such/program: "), "{error}");
    }

    #[test]
    fn a_unix_socket() {
        let scratch = Scratch::new();
        let path = scratch.path().join("s");
        let endpoint: Endpoint = format!("unix:{}", path.display()).parse().unwrap();
        assert_eq!(open(&endpoint, PATIENCE).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let mut conn = open(&endpoint, PATIENCE).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        there.write_all(b"hello").unwrap();
        assert_eq!(conn.fill(Deadline::after(PATIENCE)).unwrap(), 5);
        drop(there);
        assert_eq!(conn.fill(Deadline::after(PATIENCE)).unwrap(), 0);
    }
}
