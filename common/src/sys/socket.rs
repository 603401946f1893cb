//! What std's sockets leave out.

use std::ffi::{c_int, c_uint, c_ushort, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::cvt;

const SOL_SOCKET: c_int = 1;
const SO_RCVLOWAT: c_int = 18;
const IPPROTO_TCP: c_int = 6;
const TCP_USER_TIMEOUT: c_int = 18;
const AF_UNIX: c_int = 1;
const SOCK_STREAM: c_int = 1;
const SOCK_CLOEXEC: c_int = 0o2_000_000;

/// Longest path of a Unix socket in bytes: the kernel's `sun_path` has 108, one of which is NUL.
pub const UNIX_PATH_BYTES: usize = 107;

/// `struct sockaddr_un`.
#[repr(C)]
struct UnixAddress {
    family: c_ushort,
    path: [u8; UNIX_PATH_BYTES + 1],
}

unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn connect(socket: c_int, address: *const UnixAddress, length: c_uint) -> c_int;
    fn listen(socket: c_int, backlog: c_int) -> c_int;
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: c_uint) -> c_int;
}

/// Lets up to `backlog` connections wait to be accepted by a socket that listens already, or as many as the system allows.
///
/// # Errors
/// Those of listen(2).
pub fn set_backlog(socket: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed; whatever the descriptor is, the call only fails if it can't listen.
    cvt(unsafe { listen(socket.as_raw_fd(), backlog) })?;
    Ok(())
}

/// Ends a TCP connection whose peer acknowledges nothing for this long. Without it the kernel goes on sending to a machine that is gone
/// for a quarter of an hour, and a small write, a heartbeat say, never notices.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_user_timeout(socket: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let millis = c_uint::try_from(timeout.as_millis()).unwrap_or(c_uint::MAX);
    set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, millis)
}

/// Lets a read of a socket, and a poll for one, wait until so many bytes are there, or nothing more can come. A read that waits in vain
/// for all of them, until its timeout, returns those that came.
///
/// Trap: what a waiting read of a TCP socket has already taken is not counted. It wakes when so many more are there.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_low_water(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    // The kernel takes a signed number.
    let bytes = bytes.min(c_int::MAX as usize) as c_uint;
    set_option(socket, SOL_SOCKET, SO_RCVLOWAT, bytes)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_uint) -> io::Result<()> {
    let length = size_of::<c_uint>() as c_uint;
    // SAFETY: the call reads `length` bytes, which is the size of `value`, and `value` outlives it.
    cvt(unsafe { setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) })?;
    Ok(())
}

/// What [`set_user_timeout`] has set.
#[cfg(test)]
pub(crate) fn user_timeout(socket: BorrowedFd<'_>) -> io::Result<Duration> {
    unsafe extern "C" {
        fn getsockopt(
            socket: c_int,
            level: c_int,
            name: c_int,
            value: *mut c_void,
            length: *mut c_uint,
        ) -> c_int;
    }
    let (mut millis, mut length): (c_uint, c_uint) = (0, size_of::<c_uint>() as c_uint);
    // SAFETY: the call writes at most `length` bytes to `millis`, which has as many, and both are exclusively ours.
    cvt(unsafe {
        getsockopt(
            socket.as_raw_fd(),
            IPPROTO_TCP,
            TCP_USER_TIMEOUT,
            (&raw mut millis).cast(),
            &raw mut length,
        )
    })?;
    assert_eq!(length as usize, size_of::<c_uint>());
    Ok(Duration::from_millis(u64::from(millis)))
}

/// Connects to a Unix socket. std's way waits without end for a process that does not accept; this one waits for `timeout`, not zero,
/// for which writes may wait on the new connection, too.
///
/// # Errors
/// Those of connect(2), `TimedOut` among them; `InvalidInput` for a path that is empty, has a NUL or more than [`UNIX_PATH_BYTES`].
pub fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || UNIX_PATH_BYTES < bytes.len() || bytes.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut address = UnixAddress { family: AF_UNIX as c_ushort, path: [0; UNIX_PATH_BYTES + 1] };
    address.path[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: no pointers are passed.
    let fd = cvt(unsafe { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // Linux lets connect(2) wait for as long as a write may.
    stream.set_write_timeout(Some(timeout))?;
    let length = size_of::<UnixAddress>() as c_uint;
    // SAFETY: the call reads `length` bytes, which is the size of `address`, and `address` outlives it.
    match cvt(unsafe { connect(stream.as_fd().as_raw_fd(), &raw const address, length) }) {
        Ok(_) => Ok(stream),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn unix_sockets() {
        let scratch = Scratch::new();
        let path = scratch.path().join("s");
        let connect = || connect_unix(&path, Duration::from_millis(20));
        assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let (mut here, mut there) = (connect().unwrap(), listener.accept().unwrap().0);
        here.write_all(b"hello").unwrap();
        drop(here);
        let mut got = String::new();
        there.read_to_string(&mut got).unwrap();
        assert_eq!(got, "hello");
        // Nobody accepts, and nobody more may wait for it.
        set_backlog(listener.as_fd(), 0).unwrap();
        let waiting = connect().unwrap();
        assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop((waiting, listener));
        assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        for bad in ["", "a\0b", &"x".repeat(108)] {
            let error = connect_unix(Path::new(bad), Duration::from_secs(1)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    /// What does not fit into the backlog is left unanswered, so that connecting takes a second at least.
    #[test]
    fn more_wait_than_std_lets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_backlog(listener.as_fd(), 300).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        let waiting: Vec<TcpStream> = (0..250).map(|_| connect()).collect();
        for _ in &waiting {
            listener.accept().unwrap();
        }
        assert!(set_backlog(std::fs::File::open("/dev/null").unwrap().as_fd(), 1).is_err());
    }

    #[test]
    fn the_kernel_knows_how_long_to_wait_for_a_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_user_timeout(stream.as_fd(), Duration::from_secs(30)).unwrap();
        assert_eq!(user_timeout(stream.as_fd()).unwrap(), Duration::from_secs(30));
        let no_socket = std::fs::File::open("/dev/null").unwrap();
        assert!(set_user_timeout(no_socket.as_fd(), Duration::from_secs(1)).is_err());
    }
}
