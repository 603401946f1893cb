//! What std leaves out and tests need: connections from an address of one's choice, and names that are swapped in one step.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const AF_INET: c_int = 2;
const SOCK_STREAM: c_int = 1;
const SOCK_CLOEXEC: c_int = 0o2_000_000;
const IPPROTO_IP: c_int = 0;
/// The port is chosen when it is known where to: so there are as many for each address as there are ports.
const IP_BIND_ADDRESS_NO_PORT: c_int = 24;
const AT_FDCWD: c_int = -100;
const RENAME_EXCHANGE: c_uint = 2;

/// `struct sockaddr_in`, in the network's order of bytes.
#[repr(C)]
struct Address {
    family: u16,
    port: [u8; 2],
    host: [u8; 4],
    zero: [u8; 8],
}

impl Address {
    fn new(host: Ipv4Addr, port: u16) -> Address {
        Address { family: AF_INET as u16, port: port.to_be_bytes(), host: host.octets(), zero: [0; 8] }
    }
}

unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(socket: c_int, address: *const Address, length: c_uint) -> c_int;
    fn connect(socket: c_int, address: *const Address, length: c_uint) -> c_int;
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: c_uint) -> c_int;
    fn renameat2(from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_uint) -> c_int;
}

fn cvt(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Connects from one of the many addresses that a machine has for itself, 127.0.0.0/8.
pub fn connect_from(source: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    const LENGTH: c_uint = size_of::<Address>() as c_uint;
    let (one, from, to) = (1 as c_int, Address::new(source, 0), Address::new(*to.ip(), to.port()));
    // SAFETY: no pointers are passed.
    let fd = cvt(unsafe { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let fd = socket.as_raw_fd();
    // SAFETY: the call reads as many bytes as `one` has, and `one` outlives it.
    cvt(unsafe {
        setsockopt(
            fd,
            IPPROTO_IP,
            IP_BIND_ADDRESS_NO_PORT,
            (&raw const one).cast(),
            size_of::<c_int>() as c_uint,
        )
    })?;
    // SAFETY: the call reads `LENGTH` bytes, which is the size of `from`, and `from` outlives it.
    cvt(unsafe { bind(fd, &raw const from, LENGTH) })?;
    // SAFETY: the call reads `LENGTH` bytes, which is the size of `to`, and `to` outlives it.
    cvt(unsafe { connect(fd, &raw const to, LENGTH) })?;
    Ok(TcpStream::from(socket))
}

/// Swaps what two names stand for, so that neither is missing at any moment.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let (one, other) =
        (CString::new(one.as_os_str().as_bytes())?, CString::new(other.as_os_str().as_bytes())?);
    // SAFETY: both end with NUL and outlive the call.
    cvt(unsafe { renameat2(AT_FDCWD, one.as_ptr(), AT_FDCWD, other.as_ptr(), RENAME_EXCHANGE) }).map(drop)
}
