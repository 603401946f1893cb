//! What is to happen, as the test says it, and what happened, as the program counts it: a file of 64-bit numbers that both share.
//!
//! ```text
//!     0 hello     the program's process id, as soon as the library is in place
//!     1 armed     1: calls are counted and struck
//!     2 kinds     one bit for each kind of call that counts
//!     3 first     the first call to strike, from 1 ...
//!     4 last      ... and the last
//!     5 fault     0: kill; 1 to 4095: fail with this error number; 65,536: write less than asked
//!     6 count     calls that counted so far
//!     7 struck    calls that were struck so far
//! ```

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use crate::kernel;

/// What a call does, as far as faults are concerned.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Kind {
    /// Opens, and makes or empties.
    Create,
    /// Opens what is there.
    Open,
    Write,
    Truncate,
    Flush,
    Rename,
    Remove,
    /// Makes a directory or a symbolic link.
    Make,
    /// Sets permissions or times.
    Label,
    Lock,
    /// Reads a file.
    Read,
    /// Asks what a name is, or which names there are.
    Look,
    Accept,
    Send,
    Receive,
    /// Has just told a client that a change was made.
    Answer,
    /// Starts a thread.
    Spawn,
}

/// What becomes of a call.
pub enum Fault {
    Kill,
    Error(c_int),
    Short,
}

const SHORT: u64 = 1 << 16;

#[repr(C)]
struct Page {
    hello: AtomicU64,
    armed: AtomicU64,
    kinds: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
    fault: AtomicU64,
    count: AtomicU64,
    struck: AtomicU64,
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// Whether the kernel is to look older than it is.
static IS_OLD: AtomicBool = AtomicBool::new(false);

/// Whether the calls that are new to Linux are to be missing, as `FAULT_OLD_KERNEL` asks for.
pub fn is_old_kernel() -> bool {
    IS_OLD.load(Ordering::Relaxed)
}

/// Maps the file that `FAULT_CONTROL` names, and says hello in it.
pub fn open() {
    IS_OLD.store(kernel::variable(c"FAULT_OLD_KERNEL").is_some(), Ordering::Relaxed);
    let Some(path) = kernel::variable(c"FAULT_CONTROL") else { return };
    let page = kernel::map(path, size_of::<Page>()).cast::<Page>();
    // SAFETY: the file is mapped for good, as large as the page, and holds nothing but atomic numbers.
    unsafe { &*page }.hello.store(kernel::process_id(), Ordering::SeqCst);
    PAGE.store(page, Ordering::SeqCst);
}

/// Counts a call, and tells whether it is one to strike.
pub fn strike(kind: Kind) -> Option<Fault> {
    let page = PAGE.load(Ordering::Relaxed);
    if page.is_null() {
        return None;
    }
    // SAFETY: as above.
    let page = unsafe { &*page };
    let counts = page.armed.load(Ordering::SeqCst) == 1;
    if !counts || page.kinds.load(Ordering::Relaxed) & (1 << kind as u32) == 0 {
        return None;
    }
    let number = 1 + page.count.fetch_add(1, Ordering::SeqCst);
    if number < page.first.load(Ordering::Relaxed) || page.last.load(Ordering::Relaxed) < number {
        return None;
    }
    page.struck.fetch_add(1, Ordering::SeqCst);
    match page.fault.load(Ordering::Relaxed) {
        0 => Some(Fault::Kill),
        SHORT => Some(Fault::Short),
        error => Some(Fault::Error(error as c_int)),
    }
}
