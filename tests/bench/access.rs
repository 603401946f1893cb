//! What it takes to speak to a server of this project: address, key, and the form of a request.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Result;
use crate::contestant::{Ground, Service};

/// A server that can be spoken to.
pub(crate) struct Access {
    /// As `HOST:PORT`.
    address: String,
    key: String,
}

impl Access {
    /// To a server that works on this ground.
    pub(crate) fn new(ground: Ground<'_>, service: &Service) -> Result<Self> {
        let (address, path) = (service.address.trim_start_matches("http://").to_owned(), ground.key());
        let key = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { address, key: key.trim().to_owned() })
    }

    /// A connection, on which nothing was said.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect(&self.address).map_err(|error| format!("{}: {error}", self.address).into())
    }

    /// A request with these fields, each with its line end, and this body.
    pub(crate) fn request(&self, line: &str, fields: &str, body: &[u8]) -> Vec<u8> {
        let Self { address, key } = self;
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n{fields}\r\n"
        );
        [head.as_bytes(), body].concat()
    }

    /// How many files of its box the server has read that were not sent to it.
    pub(crate) fn files_read(&self) -> Result<u64> {
        const COUNTER: &str = "filesync_files_read_again_total ";
        let mut stream = self.connect()?;
        stream.write_all(&self.request("GET /metrics", "Connection: close\r\n", b""))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|line| line.strip_prefix(COUNTER));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {COUNTER}in {answer}").into())
    }
}
