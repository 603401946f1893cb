//! The width of the terminal.

use std::ffi::{c_int, c_ulong};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cvt;

const TIOCGWINSZ: c_ulong = 0x5413;

/// `struct winsize`.
#[repr(C)]
#[derive(Default)]
struct Winsize {
    rows: u16,
    columns: u16,
    pixels: [u16; 2],
}

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
}

/// Columns of the terminal that `fd` is; `None` if it is none, or one that does not know.
pub fn columns(fd: BorrowedFd<'_>) -> Option<u16> {
    let mut size = Winsize::default();
    // SAFETY: this request writes one `struct winsize`, and `size` is laid out as one and exclusively ours.
    cvt(unsafe { ioctl(fd.as_raw_fd(), TIOCGWINSZ, &raw mut size) }).ok()?;
    (size.columns != 0).then_some(size.columns)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_has_no_width() {
        assert_eq!(columns(std::fs::File::open("/dev/null").unwrap().as_fd()), None);
    }
}
