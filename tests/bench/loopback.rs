//! A bare copy over one connection of the loopback device: no list, no hash, no comparison, no flush. What remains is what the kernel takes
//! for reading, sending and writing, so it is a limit for whoever sends content through a socket.
//!
//! The client says with one byte which way it goes. Each file is the length of its path, its size, its path and its content; a path of no
//! length is the end, and the receiver confirms it with one byte.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::Result;

/// Content is read and written in pieces of so many bytes.
const PIECE: usize = 256 << 10;

const PUSH: u8 = b'>';
const PULL: u8 = b'<';

/// One end of the copy.
#[derive(Debug)]
pub(crate) enum Role {
    /// Waits for a client, which may push or pull this directory.
    Server(PathBuf),
    /// Sends the directory to the server at the address.
    Push(String, PathBuf),
    /// Fetches into the directory from the server at the address.
    Pull(String, PathBuf),
}

impl Role {
    /// Takes `server DIR`, `push ADDRESS DIR` or `pull ADDRESS DIR`.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let arguments: Vec<String> = arguments.collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["server", directory] => Ok(Self::Server(directory.into())),
            ["push", address, directory] => Ok(Self::Push(address.into(), directory.into())),
            ["pull", address, directory] => Ok(Self::Pull(address.into(), directory.into())),
            _ => Err("loopback needs server DIR, push ADDRESS DIR or pull ADDRESS DIR".into()),
        }
    }
}

/// Plays its part. A server does so for one client, and then waits to be stopped.
pub(crate) fn run(role: &Role) -> Result<()> {
    match role {
        Role::Server(directory) => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("listening on {}", listener.local_addr()?);
            for stream in listener.incoming() {
                let mut stream = stream?;
                let mut way = [0];
                stream.read_exact(&mut way)?;
                if way[0] == PUSH { receive(stream, directory)? } else { send(&mut stream, directory)? }
            }
        }
        Role::Push(address, directory) => {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&[PUSH])?;
            send(&mut stream, directory)?;
        }
        Role::Pull(address, directory) => {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&[PULL])?;
            receive(stream, directory)?;
        }
    }
    Ok(())
}

fn send(stream: &mut TcpStream, root: &Path) -> io::Result<()> {
    let mut output = io::BufWriter::with_capacity(PIECE, &*stream);
    let mut piece = vec![0; PIECE];
    send_directory(&mut output, root, Path::new(""), &mut piece)?;
    output.write_all(&[0; 12])?;
    output.flush()?;
    drop(output);
    stream.read_exact(&mut [0])
}

fn send_directory(output: &mut impl Write, root: &Path, path: &Path, piece: &mut [u8]) -> io::Result<()> {
    for entry in fs::read_dir(root.join(path))? {
        let entry = entry?;
        let path = path.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            send_directory(output, root, &path, piece)?;
            continue;
        }
        let mut file = File::open(entry.path())?;
        let size = file.metadata()?.len();
        let name = path.as_os_str().as_bytes();
        output.write_all(&(name.len() as u32).to_le_bytes())?;
        output.write_all(&size.to_le_bytes())?;
        output.write_all(name)?;
        copy(&mut file, output, size, piece)?;
    }
    Ok(())
}

fn receive(stream: TcpStream, root: &Path) -> io::Result<()> {
    let mut input = io::BufReader::with_capacity(PIECE, &stream);
    let mut piece = vec![0; PIECE];
    loop {
        let (mut length, mut size) = ([0; 4], [0; 8]);
        input.read_exact(&mut length)?;
        input.read_exact(&mut size)?;
        let mut name = vec![0; u32::from_le_bytes(length) as usize];
        if name.is_empty() {
            return (&stream).write_all(&[0]);
        }
        input.read_exact(&mut name)?;
        let path = root.join(std::ffi::OsStr::from_bytes(&name));
        let mut file = match File::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(root))?;
                File::create(&path)?
            }
            created => created?,
        };
        copy(&mut input, &mut file, u64::from_le_bytes(size), &mut piece)?;
    }
}

/// So many bytes, or an error.
fn copy(from: &mut impl Read, to: &mut impl Write, mut rest: u64, piece: &mut [u8]) -> io::Result<()> {
    while rest > 0 {
        let wanted = usize::try_from(rest).unwrap_or(PIECE).min(piece.len());
        let length = from.read(&mut piece[..wanted])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&piece[..length])?;
        rest -= length as u64;
    }
    Ok(())
}
