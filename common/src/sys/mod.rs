//! The fence to the system: what std does not offer, as small functions with safe types.
//!
//! This is the only module of the project with `unsafe` and `extern "C"`. Each file covers one subject, declares exactly the C
//! functions it calls, and hides them: what leaves the fence takes [`BorrowedFd`](std::os::fd::BorrowedFd) and `&CStr`, gives
//! [`OwnedFd`](std::os::fd::OwnedFd) and [`io::Result`], and upholds nothing that its caller would have to know. There is no policy
//! here: what may be opened, and what a failure means, is decided above.
//!
//! It knows 64-bit Linux on x86_64 and aarch64, with glibc and musl. What one of the two libraries lacks, or lays out in its own way,
//! goes to the kernel by number through `syscall`; there the layouts are the kernel's and the same everywhere.

#![allow(unsafe_code, reason = "the one place for it; see above")]

use std::ffi::c_long;
use std::io;

pub mod dir;
pub mod errno;
pub mod fs;
pub mod heap;
pub mod inotify;
pub mod poll;
pub mod process;
pub mod rlimit;
pub mod sendfile;
#[cfg(target_arch = "x86_64")]
pub mod sha256_x86;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod user;
pub mod wake;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("the numbers and layouts in common/src/sys are those of Linux on x86_64 and aarch64");

/// Numbers of the system calls that are made by number.
mod number {
    use std::ffi::c_long;

    pub(super) const FCHMODAT2: c_long = 452;
    pub(super) const OPENAT2: c_long = 437;

    #[cfg(target_arch = "x86_64")]
    mod arch {
        use std::ffi::c_long;

        pub(in super::super) const GETDENTS64: c_long = 217;
        pub(in super::super) const RENAMEAT2: c_long = 316;
        pub(in super::super) const STATX: c_long = 332;
    }

    #[cfg(target_arch = "aarch64")]
    mod arch {
        use std::ffi::c_long;

        pub(in super::super) const GETDENTS64: c_long = 61;
        pub(in super::super) const RENAMEAT2: c_long = 276;
        pub(in super::super) const STATX: c_long = 291;
    }

    pub(super) use arch::{GETDENTS64, RENAMEAT2, STATX};
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// What C says with -1 and `errno`, said with a [`Result`].
fn cvt<T: PartialEq + From<i8>>(result: T) -> io::Result<T> {
    match result == T::from(-1) {
        true => Err(io::Error::last_os_error()),
        false => Ok(result),
    }
}

/// As [`cvt`], and calls again when a signal interrupted the call. Not for calls with a timeout, which would begin anew.
fn cvt_r<T: PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        match cvt(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Integers as the kernel wrote them into a buffer: native byte order, no alignment. `None` beyond the end.
fn read_array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}
