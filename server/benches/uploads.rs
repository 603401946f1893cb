//! How many uploads a second the server acknowledges, over one connection and over many, with and without `--no-fsync`. Each connection
//! sends a new file of 4 KiB, waits for the answer, and sends the next one.
//!
//! ```text
//!     cargo bench -p server --bench uploads -- [DIRECTORY]     below which to work; the directory for temporary files otherwise
//! ```

#![allow(clippy::print_stdout, reason = "what it measures is for people to read")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Connections at the same time.
const CONNECTIONS: [usize; 5] = [1, 2, 8, 32, 128];
/// How often each is measured: the median counts.
const ROUNDS: usize = 3;
/// For how long.
const TIME: Duration = Duration::from_secs(3);
/// Bytes of a file.
const SIZE: usize = 4096;
const KEY: &str = "the-key-of-a-box-that-nobody-needs";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = place.join(format!("filesync-uploads-{}", std::process::id()));
    fs::create_dir(&scratch)?;
    let done = measure(&scratch);
    fs::remove_dir_all(&scratch)?;
    done
}

fn measure(scratch: &Path) -> Result<()> {
    println!("uploads a second");
    println!("{:>12} {:>12} {:>12}", "connections", "durable", "--no-fsync");
    for count in CONNECTIONS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (options, rates) in [&[][..], &["--no-fsync"]].iter().zip(&mut rates) {
                rates.push(rate(scratch, options, count)?);
            }
        }
        let [durable, not] = rates.map(median);
        println!("{count:>12} {durable:>12.0} {not:>12.0}");
    }
    Ok(())
}

/// Uploads a second to a new server over so many connections.
fn rate(scratch: &Path, options: &[&str], connections: usize) -> Result<f64> {
    let folder = scratch.join("box");
    fs::create_dir(&folder)?;
    let server = Server::start(&folder, options)?;
    let start = Instant::now();
    let sent = thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|number| {
                let address = &server.address;
                scope.spawn(move || send_for(address, number, start + TIME))
            })
            .collect();
        let sent = senders.into_iter().map(|sender| sender.join().expect("sending does not panic"));
        sent.sum::<Result<u64>>()
    })?;
    let rate = sent as f64 / start.elapsed().as_secs_f64();
    drop(server);
    fs::remove_dir_all(&folder)?;
    Ok(rate)
}

/// Sends one file after the other; returns how many were taken.
fn send_for(address: &str, sender: usize, end: Instant) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut sent = 0;
    while Instant::now() < end {
        let mut request = format!(
            "PUT /upload/{sender}-{sent} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {KEY}\r\nIf-None-Match: *\r\n\
             Content-Length: {SIZE}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(&content(sender, sent));
        stream.write_all(&request)?;
        read_answer(&mut answers)?;
        sent += 1;
    }
    Ok(sent)
}

/// No two files are the same, or one would be copied.
fn content(sender: usize, number: u64) -> Vec<u8> {
    format!("file {number} of sender {sender} ").into_bytes().into_iter().cycle().take(SIZE).collect()
}

fn read_answer(answers: &mut impl BufRead) -> Result<()> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        if answers.read_line(&mut head)? == 0 {
            return Err("the server has closed the connection".into());
        }
        if let Some((name, value)) = head[from..].split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    match head.starts_with("HTTP/1.1 201") {
        true => Ok(()),
        false => Err(format!("{head}{}", String::from_utf8_lossy(&body)).into()),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server, until it is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, options: &[&str]) -> Result<Server> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_server"))
            .args(["--listen", "127.0.0.1:0", "--quiet", "--box"])
            .arg(folder)
            .args(options)
            .env("API_KEY", KEY)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim_end().rsplit("http://").next().unwrap_or_default().to_owned();
        Ok(Server { process, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
