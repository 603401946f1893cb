//! What std's sockets leave out.

use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::cvt;

const IPPROTO_TCP: c_int = 6;
const TCP_USER_TIMEOUT: c_int = 18;

unsafe extern "C" {
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
    let length = size_of::<c_uint>() as c_uint;
    // SAFETY: the call reads `length` bytes, which is the size of `millis`, and `millis` outlives it.
    cvt(unsafe {
        setsockopt(socket.as_raw_fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, (&raw const millis).cast(), length)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

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

    unsafe extern "C" {
        fn getsockopt(
            socket: c_int,
            level: c_int,
            name: c_int,
            value: *mut c_void,
            length: *mut c_uint,
        ) -> c_int;
    }

    #[test]
    fn the_kernel_knows_how_long_to_wait_for_a_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_user_timeout(stream.as_fd(), Duration::from_secs(30)).unwrap();
        let (mut millis, mut length): (c_uint, c_uint) = (0, 4);
        // SAFETY: the call writes at most `length` bytes to `millis`, which has as many, and both are exclusively ours.
        cvt(unsafe {
            getsockopt(
                stream.as_raw_fd(),
                IPPROTO_TCP,
                TCP_USER_TIMEOUT,
                (&raw mut millis).cast(),
                &raw mut length,
            )
        })
        .unwrap();
        assert_eq!((millis, length), (30_000, 4));
        let no_socket = std::fs::File::open("/dev/null").unwrap();
        assert!(set_user_timeout(no_socket.as_fd(), Duration::from_secs(1)).is_err());
    }
}
