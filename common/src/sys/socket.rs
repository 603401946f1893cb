//! What std's sockets leave out.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cvt;

unsafe extern "C" {
    fn listen(socket: c_int, backlog: c_int) -> c_int;
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
}
