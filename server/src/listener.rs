//! Where connections come in: TCP, or a Unix socket in the file system.
//!
//! A Unix socket is for a proxy, for ssh and for the programs of this machine. Its file decides who may connect, so it must never be
//! there with a mode other than the one that was asked for: it is made in a directory that nobody else can enter, and moved into place.
//! The path of that is longer than the path that was asked for, and may be longer than the kernel takes. Then it is named by the open
//! directory.
//!
//! ```text
//!     lock the directory -> is somebody listening there?  yes: refuse   something that is no socket: refuse   nobody: it is stale
//!                        -> make it aside, set its mode, rename it over the stale one -> unlock
//!     at the end: lock the directory -> is it still ours? -> remove it
//! ```
//!
//! The directory is locked only between two of these steps, so that of two servers that start at once the second sees the first.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use common::disk::{RenameMode, Root};
use common::limits::{LISTEN_BACKLOG, SOCKET_PROBE};
use common::net::transport::Transport;
use common::sys::socket::{UNIX_PATH_BYTES, connect_unix, set_backlog};
use common::tree;

use crate::config::Address;

/// From where somebody connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// From this address. An IPv4 peer has one, also where it comes in as IPv6.
    Address(IpAddr),
    /// Through a file of this machine.
    Local,
}

impl Origin {
    /// The same for all whom one peer is likely to be.
    pub(crate) fn neighbourhood(self) -> Origin {
        match self {
            Origin::Address(address) => Origin::Address(network(address)),
            Origin::Local => Origin::Local,
        }
    }
}

/// What one peer is likely to have to itself: an address of IPv4, and of IPv6 the first half, since the other is chosen freely.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// Something that connections come in by.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A port.
    Tcp(TcpListener, SocketAddr),
    /// A file.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens; `mode` is that of a socket's file.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2); `AddrInUse` also if somebody listens on the very file, or something else has its name.
    pub(crate) fn bind(address: &Address, mode: u16) -> io::Result<Listener> {
        let listener = match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let bound = listener.local_addr()?;
                Listener::Tcp(listener, bound)
            }
            Address::Unix(path) => {
                let (listener, file) = SocketFile::publish(path, mode)?;
                Listener::Unix(listener, file)
            }
        };
        // std lets 128 connections wait, which a restart of a busy server would overrun.
        set_backlog(listener.as_fd(), LISTEN_BACKLOG)?;
        match &listener {
            Listener::Tcp(listener, _) => listener.set_nonblocking(true)?,
            Listener::Unix(listener, _) => listener.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    /// Lets in who waits, if somebody does; `WouldBlock` otherwise.
    pub(crate) fn accept(&self) -> io::Result<(Transport, Origin)> {
        match self {
            Listener::Tcp(listener, _) => {
                let (stream, peer) = listener.accept()?;
                Ok((stream.into(), Origin::Address(peer.ip().to_canonical())))
            }
            Listener::Unix(listener, _) => Ok((listener.accept()?.0.into(), Origin::Local)),
        }
    }

    /// Whether nobody but this machine can connect.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Listener::Tcp(_, address) => address.ip().to_canonical().is_loopback(),
            Listener::Unix(..) => true,
        }
    }

    /// Whether a web page could have a browser connect, by a name of its own (DNS rebinding).
    pub(crate) fn is_open_to_pages(&self) -> bool {
        matches!(self, Listener::Tcp(..))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener, _) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// The address as a client's `--server` takes it.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(_, address) => write!(f, "http://{address}"),
            Listener::Unix(_, file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

/// The file of a Unix socket, removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: which file it is.
    identity: (u64, u64),
}

impl SocketFile {
    fn publish(path: &Path, mode: u16) -> io::Result<(UnixListener, SocketFile)> {
        let directory = Root::open(directory_of(path))?;
        let lock = lock_directory(&directory)?;
        let name = name_of(path)?;
        check_free(path)?;
        let aside = Aside::make(&directory)?;
        let listener = UnixListener::bind(bindable(&directory, &lock, &aside.socket))?;
        directory.set_mode(&aside.socket, mode)?;
        Root::rename((&directory, &aside.socket), (&directory, &name), RenameMode::Replace)?;
        Ok((listener, SocketFile { path: path.to_owned(), identity: identity(path)? }))
    }

    fn remove(&self) -> io::Result<()> {
        let directory = Root::open(directory_of(&self.path))?;
        let _lock = lock_directory(&directory)?;
        if identity(&self.path)? != self.identity {
            return Ok(());
        }
        directory.remove_file(&name_of(&self.path)?)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What stays is stale, and the next start knows that.
        let _ = self.remove();
    }
}

/// A path in this directory that the kernel takes for a socket; the descriptor is one of the same directory.
fn bindable(directory: &Root, open: &File, name: &tree::Path) -> PathBuf {
    let name = OsStr::from_bytes(name.as_bytes());
    let path = directory.path().join(name);
    match path.as_os_str().len() <= UNIX_PATH_BYTES {
        true => path,
        false => Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(name),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn name_of(path: &Path) -> io::Result<tree::Path> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    tree::Path::new(name.as_bytes())
        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))
}

/// The lock is held until the file is closed.
fn lock_directory(directory: &Root) -> io::Result<File> {
    let directory = File::open(directory.path())?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => Err(in_use("another program is about to change the directory")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the name may be taken: nothing has it, or a socket on which nobody listens.
fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(in_use("something that is no socket is there"));
        }
        Ok(_) => {}
    }
    match connect_unix(path, SOCKET_PROBE) {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        // Too busy to let us in, or not for us: there is somebody.
        Ok(_) | Err(_) => Err(in_use("another program listens there")),
    }
}

fn in_use(why: &str) -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, why)
}

/// A directory of our own beside the socket, gone when this is dropped.
struct Aside<'a> {
    directory: &'a Root,
    name: tree::Path,
    /// What is made in it.
    socket: tree::Path,
}

impl<'a> Aside<'a> {
    fn make(directory: &'a Root) -> io::Result<Aside<'a>> {
        let hidden = format!(".filesync-{}", std::process::id()).into_bytes();
        let path =
            |bytes: &[u8]| tree::Path::new(bytes).map_err(|_| io::Error::from(ErrorKind::InvalidInput));
        let aside = Aside { directory, name: path(&hidden)?, socket: path(&[&hidden[..], b"/s"].concat())? };
        // What a process of the same number left behind when it was killed at a bad moment.
        aside.clear();
        directory.make_dir(&aside.name, 0o700)?;
        Ok(aside)
    }

    fn clear(&self) {
        // Usually there is nothing any more.
        let _ = self.directory.remove_file(&self.socket);
        let _ = self.directory.remove_dir(&self.name);
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    static COUNT: AtomicU32 = AtomicU32::new(0);

    /// A directory of a test, gone with it.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Place {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("filesync-socket-{}-{number}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Place(path)
        }

        fn bind(&self) -> io::Result<Listener> {
            Listener::bind(&Address::Unix(self.0.join("s")), 0o660)
        }

        fn names(&self) -> Vec<OsString> {
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_socket_has_its_mode_and_is_removed() {
        let place = Place::new();
        let listener = place.bind().unwrap();
        assert_eq!(listener.to_string(), format!("unix:{}", place.0.join("s").display()));
        assert_eq!(place.names(), ["s"]);
        assert_eq!(fs::symlink_metadata(place.0.join("s")).unwrap().mode() & 0o7777, 0o660);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = connect_unix(&place.0.join("s"), Duration::from_secs(10)).unwrap();
        assert_eq!(listener.accept().unwrap().1, Origin::Local);
        assert!(listener.is_private() && !listener.is_open_to_pages());
        drop(listener);
        assert!(place.names().is_empty());
    }

    #[test]
    fn a_path_may_be_as_long_as_the_kernel_takes() {
        let place = Place::new();
        let deep = place.0.join("d".repeat(UNIX_PATH_BYTES - place.0.as_os_str().len() - 3));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("s");
        assert_eq!(path.as_os_str().len(), UNIX_PATH_BYTES);
        let listener = Listener::bind(&Address::Unix(path.clone()), 0o600).unwrap();
        let _client = connect_unix(&path, Duration::from_secs(10)).unwrap();
        assert_eq!(listener.accept().unwrap().1, Origin::Local);
        drop(listener);
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn only_what_is_stale_is_replaced() {
        let place = Place::new();
        let path = place.0.join("s");
        // A server that was killed leaves its file, and maybe what it was made in.
        drop(UnixListener::bind(&path).unwrap());
        let aside = place.0.join(format!(".filesync-{}", std::process::id()));
        fs::create_dir(&aside).unwrap();
        drop(UnixListener::bind(aside.join("s")).unwrap());
        let first = place.bind().unwrap();
        assert_eq!(place.names(), ["s"]);
        assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::AddrInUse);
        // Somebody else's by now.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(first);
        assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        let _other = lock_directory(&Root::open(&place.0).unwrap()).unwrap();
        assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    /// Nobody is let in meanwhile.
    #[test]
    fn many_may_wait_to_be_let_in() {
        const MANY: usize = 300;
        const { assert!(MANY < LISTEN_BACKLOG as usize) };
        // The system's own bound; std asks for 128.
        let system = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        let many = system.trim_ascii().parse().unwrap_or(MANY).min(MANY);
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".to_owned()), 0).unwrap();
        let Listener::Tcp(_, address) = &listener else { panic!("{listener:?}") };
        let connect = |_| TcpStream::connect_timeout(address, Duration::from_secs(60)).unwrap();
        // Who does not fit in is left without an answer.
        let waiting: Vec<TcpStream> = (0..many).map(connect).collect();
        assert_eq!(waiting.len(), many);
    }

    #[test]
    fn who_does_not_let_anybody_in_is_there_all_the_same() {
        let place = Place::new();
        let path = place.0.join("s");
        let busy = UnixListener::bind(&path).unwrap();
        set_backlog(busy.as_fd(), 0).unwrap();
        let _waiting = connect_unix(&path, Duration::from_secs(10)).unwrap();
        let begun = Instant::now();
        assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(SOCKET_PROBE / 2 < begun.elapsed());
        assert_eq!(place.names(), ["s"]);
    }

    #[test]
    fn what_one_peer_is_likely_to_have_is_one_neighbourhood() {
        let of = |address: &str| Origin::Address(address.parse().unwrap());
        for (address, neighbourhood) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(of(address).neighbourhood(), of(neighbourhood), "{address}");
        }
        assert_eq!(Origin::Local.neighbourhood(), Origin::Local);
    }
}
