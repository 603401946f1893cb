//! What the system lets this process have: how many descriptors.

use std::ffi::c_int;
use std::io;

use super::cvt;

/// `struct rlimit`, with 64 bits in both C libraries.
#[repr(C)]
struct Rlimit {
    soft: u64,
    hard: u64,
}

const RLIMIT_NOFILE: c_int = 7;

unsafe extern "C" {
    fn getrlimit(resource: c_int, limit: *mut Rlimit) -> c_int;
    fn setrlimit(resource: c_int, limit: *const Rlimit) -> c_int;
}

/// Raises the number of descriptors that this process may have open to what it may raise it to, and says how many that are. The soft
/// limit is low by default only for programs that use select(2).
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2).
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = Rlimit { soft: 0, hard: 0 };
    // SAFETY: the call writes one `struct rlimit`, and `limit` is laid out as one and exclusively ours.
    cvt(unsafe { getrlimit(RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.soft < limit.hard {
        limit.soft = limit.hard;
        // SAFETY: the call reads one `struct rlimit`, and `limit` outlives it.
        cvt(unsafe { setrlimit(RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_once_it_stays() {
        let limit = raise_open_files().unwrap();
        assert!(3 < limit);
        assert_eq!(raise_open_files().unwrap(), limit);
    }
}
