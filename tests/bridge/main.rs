//! Carries a connection over standard input and output to a TCP address: what `ssh -W` does, without ssh.
//!
//! Usage: bridge HOST:PORT

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address is missing")?;
    let server = TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?;
    let to_server = server.try_clone()?;
    thread::spawn(move || {
        // When nobody wants to send any more, the server is told, and may still answer.
        let _ = pass_on(io::stdin().lock(), &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    pass_on(&server, io::stdout().lock())?;
    Ok(())
}

fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
        }
    }
}
