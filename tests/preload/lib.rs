//! A library to be loaded into a program under test before the C library (`LD_PRELOAD`): it stands between the two, counts the system calls
//! that matter, and lets one of them go wrong.
//!
//! ```text
//!     program  ->  write(), fdatasync(), renameat2() ...  ->  here: counted, struck or let through, recorded  ->  C library  ->  kernel
//! ```
//!
//! What is to happen is said in a file of numbers that the test shares with the program (`control`): which kinds of calls count, and what
//! strikes the N-th of them. The program is killed immediately before it, or the call fails, or writes less than it was asked to. With
//! `FAULT_RECORD` every change of names and every flush is written down as well, in the order in which the kernel saw them, and nothing
//! is really removed, so that a test can take back what a power cut would have lost (`record`).
//!
//! Calls that count are made one at a time, whatever thread makes them: so the N-th is one call, and the record is in order. Without
//! `FAULT_CONTROL` in the environment the library does nothing.
//!
//! Only the functions that the programs use are here; a test reads the programs to see that there are no others.

#![allow(
    unsafe_code,
    reason = "one of two places of the tests with unsafe code: it takes the place of C functions"
)]

mod control;
mod forgotten;
mod kernel;
mod record;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use control::{Fault, Kind};
use kernel::{Iovec, Of, Statx, Timespec, real};

const O_CREAT: c_int = 0o100;
const O_TRUNC: c_int = 0o1000;
const EINTR: c_int = 4;
const ENOSYS: c_int = 38;
const AT_REMOVEDIR: c_int = 0x200;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const GETDENTS64: i64 = 217;
    pub const RENAMEAT2: i64 = 316;
    pub const STATX: i64 = 332;
    pub const FCHMODAT2: i64 = 452;
    pub const OPENAT2: i64 = 437;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const GETDENTS64: i64 = 61;
    pub const RENAMEAT2: i64 = 276;
    pub const STATX: i64 = 291;
    pub const FCHMODAT2: i64 = 452;
    pub const OPENAT2: i64 = 437;
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Runs before `main`.
extern "C" fn start() {
    // In this order: nothing counts before there is something that counts.
    forgotten::open();
    record::open();
    control::open();
}

/// Held while a call that counts is made.
fn in_order() -> MutexGuard<'static, ()> {
    static ORDER: Mutex<()> = Mutex::new(());
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a call, unless it is its turn to go wrong.
fn guard<T: From<i8>>(kind: Kind, call: impl FnOnce() -> T) -> T {
    let _order = in_order();
    match control::strike(kind) {
        None | Some(Fault::Short) => call(),
        Some(Fault::Kill) => kernel::die(),
        Some(Fault::Error(error)) => fail(error),
    }
}

/// The same for calls that may wait for somebody else, and therefore not keep others from theirs.
fn guard_waiting<T: From<i8>>(kind: Kind, call: impl FnOnce() -> T) -> T {
    let fault = {
        let _order = in_order();
        control::strike(kind)
    };
    match fault {
        None | Some(Fault::Short) => call(),
        Some(Fault::Kill) => kernel::die(),
        Some(Fault::Error(error)) => fail(error),
    }
}

fn fail<T: From<i8>>(error: c_int) -> T {
    kernel::set_errno(error);
    T::from(-1)
}

// ---- Opening ---------------------------------------------------------------------------------------------------------------------

/// # Safety
/// As open(2). The third argument is there or not; the calling convention does not mind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let real = real!(open64: unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(path, flags, mode) };
    // SAFETY: `path` ends with NUL, as the caller promises.
    let name = unsafe { CStr::from_ptr(path) };
    opening(kernel::AT_FDCWD, name, flags, call)
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let real = real!(openat: unsafe extern "C" fn(c_int, *const c_char, c_int, c_uint) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(dir, path, flags, mode) };
    // SAFETY: `path` ends with NUL, as the caller promises.
    let name = unsafe { CStr::from_ptr(path) };
    opening(dir, name, flags, call)
}

fn opening<T: From<i8> + PartialEq>(dir: c_int, name: &CStr, flags: c_int, call: impl FnOnce() -> T) -> T {
    if flags & (O_CREAT | O_TRUNC) == 0 {
        return guard(Kind::Open, call);
    }
    guard(Kind::Create, || record::create(dir, name, call))
}

// ---- Calls by number -------------------------------------------------------------------------------------------------------------

/// # Safety
/// As syscall(2). Arguments that were not given are not looked at by the kernel either.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let real = real!(
        syscall: unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long
    );
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(number, a, b, c, d, e, f) };
    // SAFETY: where a call takes a name it ends with NUL, as the caller promises.
    let name = |at: usize| unsafe { CStr::from_ptr(at as *const c_char) };
    match number {
        number::OPENAT2 | number::FCHMODAT2 if control::is_old_kernel() => fail(ENOSYS),
        number::FCHMODAT2 => guard(Kind::Label, || record::label(a as c_int, name(b), call)),
        number::OPENAT2 => {
            // SAFETY: `struct open_how` begins with the flags.
            let flags = unsafe { *(c as *const u64) } as c_int;
            opening(a as c_int, name(b), flags, call)
        }
        number::RENAMEAT2 => guard(Kind::Rename, || {
            record::rename((a as c_int, name(b)), (c as c_int, name(d)), e as c_uint, call)
        }),
        number::STATX => looking(e as *mut Statx, call),
        number::GETDENTS64 => guard(Kind::Look, call),
        _ => call(),
    }
}

/// # Safety
/// As statx(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    dir: c_int,
    name: *const c_char,
    flags: c_int,
    wanted: c_uint,
    into: *mut Statx,
) -> c_int {
    let real = real!(statx: unsafe extern "C" fn(c_int, *const c_char, c_int, c_uint, *mut Statx) -> c_int);
    if into.is_null() {
        // SAFETY: the arguments are the caller's, who only asks whether there is such a function.
        return unsafe { real(dir, name, flags, wanted, into) };
    }
    // SAFETY: the arguments are the caller's.
    looking(into, || unsafe { real(dir, name, flags, wanted, into) })
}

fn looking<T: From<i8>>(into: *mut Statx, call: impl FnOnce() -> T) -> T {
    let result = guard(Kind::Look, call);
    // SAFETY: it was valid for the call, whatever came of that.
    forgotten::restore(unsafe { &mut *into });
    result
}

// ---- Content ---------------------------------------------------------------------------------------------------------------------

/// # Safety
/// As write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    let real = real!(write: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize);
    // SAFETY: the arguments are the caller's, or ask for less.
    let call = |count| unsafe { real(fd, bytes, count) };
    // SAFETY: `count` bytes are there, as the caller promises.
    let content = || unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) };
    match kernel::what_is(fd) {
        Of::File => writing(fd, count, call),
        Of::Socket => sending(content, || call(count)),
        Of::Other => call(count),
    }
}

/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    let real = real!(pwrite64: unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize);
    // SAFETY: the arguments are the caller's, or ask for less.
    writing(fd, count, |count| unsafe { real(fd, bytes, count, offset) })
}

/// # Safety
/// As writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const Iovec, count: c_int) -> isize {
    let real = real!(writev: unsafe extern "C" fn(c_int, *const Iovec, c_int) -> isize);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(fd, parts, count) };
    // SAFETY: as the caller promises there is at least one part, and its bytes are there.
    let first = || unsafe { (*parts).as_slice() };
    match kernel::what_is(fd) {
        Of::File => guard(Kind::Write, || record::write(fd, call)),
        Of::Socket => sending(first, call),
        Of::Other => call(),
    }
}

/// # Safety
/// As send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, count: usize, flags: c_int) -> isize {
    let real = real!(send: unsafe extern "C" fn(c_int, *const c_void, usize, c_int) -> isize);
    // SAFETY: `count` bytes are there, as the caller promises.
    let content = || unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) };
    // SAFETY: the arguments are the caller's.
    sending(content, || unsafe { real(fd, bytes, count, flags) })
}

/// # Safety
/// As sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut i64, count: usize) -> isize {
    let real = real!(sendfile: unsafe extern "C" fn(c_int, c_int, *mut i64, usize) -> isize);
    // SAFETY: the arguments are the caller's.
    guard_waiting(Kind::Send, || unsafe { real(to, from, offset, count) })
}

/// # Safety
/// As recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, bytes: *mut c_void, count: usize, flags: c_int) -> isize {
    let real = real!(recv: unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize);
    // SAFETY: the arguments are the caller's.
    guard_waiting(Kind::Receive, || unsafe { real(fd, bytes, count, flags) })
}

/// # Safety
/// As read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, count: usize) -> isize {
    let real = real!(read: unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(fd, bytes, count) };
    match kernel::what_is(fd) {
        Of::File => guard(Kind::Read, call),
        Of::Socket | Of::Other => call(),
    }
}

/// # Safety
/// As accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut c_void,
    length: *mut c_uint,
    flags: c_int,
) -> c_int {
    let real = real!(accept4: unsafe extern "C" fn(c_int, *mut c_void, *mut c_uint, c_int) -> c_int);
    // SAFETY: the arguments are the caller's.
    guard_waiting(Kind::Accept, || unsafe { real(fd, address, length, flags) })
}

fn writing(fd: c_int, count: usize, call: impl Fn(usize) -> isize) -> isize {
    let _order = in_order();
    match control::strike(Kind::Write) {
        None => record::write(fd, || call(count)),
        Some(Fault::Short) => record::write(fd, || call(count.div_ceil(2))),
        Some(Fault::Kill) => kernel::die(),
        Some(Fault::Error(error)) => fail(error),
    }
}

/// What the server says of a change that it made counts as a kind of its own, and whoever is to be killed for it is killed afterwards: the
/// other side has heard it by then.
fn sending<'a>(content: impl FnOnce() -> &'a [u8], call: impl FnOnce() -> isize) -> isize {
    const DONE: [&[u8]; 2] = [b"HTTP/1.1 201", b"HTTP/1.1 204"];
    let content = content();
    if !DONE.iter().any(|done| content.starts_with(done)) {
        return guard_waiting(Kind::Send, call);
    }
    let sent = guard_waiting(Kind::Send, call);
    let _order = in_order();
    match control::strike(Kind::Answer) {
        Some(Fault::Kill) => kernel::die(),
        _ => sent,
    }
}

/// # Safety
/// As ftruncate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: i64) -> c_int {
    let real = real!(ftruncate64: unsafe extern "C" fn(c_int, i64) -> c_int);
    // SAFETY: no pointers are passed.
    guard(Kind::Truncate, || unsafe { real(fd, length) })
}

// ---- Threads ---------------------------------------------------------------------------------------------------------------------

/// # Safety
/// As pthread_create(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    let real =
        real!(pthread_create: unsafe extern "C" fn(*mut c_void, *const c_void, Start, *mut c_void) -> c_int);
    match control::strike(Kind::Spawn) {
        // It has no errno: the error is what it returns.
        Some(Fault::Error(error)) => error,
        Some(Fault::Kill) => kernel::die(),
        // SAFETY: the arguments are the caller's.
        None | Some(Fault::Short) => unsafe { real(thread, attributes, start, argument) },
    }
}

// ---- Flushes ---------------------------------------------------------------------------------------------------------------------

macro_rules! flush {
    ($name:ident, $man:literal, $record:path) => {
        #[doc = concat!("# Safety\nAs ", $man, ".")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(fd: c_int) -> c_int {
            let real = real!($name: unsafe extern "C" fn(c_int) -> c_int);
            let _order = in_order();
            match control::strike(Kind::Flush) {
                // SAFETY: no pointers are passed.
                None | Some(Fault::Short) => $record(fd, || unsafe { real(fd) }),
                Some(Fault::Kill) => kernel::die(),
                // Nothing was flushed yet, and nothing is lost either.
                Some(Fault::Error(EINTR)) => fail(EINTR),
                Some(Fault::Error(error)) => $record(fd, || fail(error)),
            }
        }
    };
}

flush!(fsync, "fsync(2)", record::flush);
flush!(fdatasync, "fdatasync(2)", record::flush);
flush!(syncfs, "syncfs(2)", record::flush_all);

// ---- Names and metadata ----------------------------------------------------------------------------------------------------------

/// # Safety
/// As mkdirat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(dir: c_int, name: *const c_char, mode: c_uint) -> c_int {
    let real = real!(mkdirat: unsafe extern "C" fn(c_int, *const c_char, c_uint) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(dir, name, mode) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Make, || record::make("mkdir", dir, text, call))
}

/// # Safety
/// As mkdir(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(name: *const c_char, mode: c_uint) -> c_int {
    let real = real!(mkdir: unsafe extern "C" fn(*const c_char, c_uint) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(name, mode) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Make, || record::make("mkdir", kernel::AT_FDCWD, text, call))
}

/// # Safety
/// As symlinkat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn symlinkat(target: *const c_char, dir: c_int, name: *const c_char) -> c_int {
    let real = real!(symlinkat: unsafe extern "C" fn(*const c_char, c_int, *const c_char) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(target, dir, name) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Make, || record::make("symlink", dir, text, call))
}

/// # Safety
/// As unlinkat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int {
    let real = real!(unlinkat: unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(dir, name, flags) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Remove, || record::remove(dir, text, flags & AT_REMOVEDIR != 0, call))
}

/// # Safety
/// As fchmod(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchmod(fd: c_int, mode: c_uint) -> c_int {
    let real = real!(fchmod: unsafe extern "C" fn(c_int, c_uint) -> c_int);
    // SAFETY: no pointers are passed.
    guard(Kind::Label, || record::label(fd, c"", || unsafe { real(fd, mode) }))
}

/// # Safety
/// As fchmodat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchmodat(dir: c_int, name: *const c_char, mode: c_uint, flags: c_int) -> c_int {
    let real = real!(fchmodat: unsafe extern "C" fn(c_int, *const c_char, c_uint, c_int) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(dir, name, mode, flags) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Label, || record::label(dir, text, call))
}

/// # Safety
/// As futimens(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn futimens(fd: c_int, times: *const Timespec) -> c_int {
    let real = real!(futimens: unsafe extern "C" fn(c_int, *const Timespec) -> c_int);
    // SAFETY: the arguments are the caller's.
    guard(Kind::Label, || record::label(fd, c"", || unsafe { real(fd, times) }))
}

/// # Safety
/// As utimensat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utimensat(
    dir: c_int,
    name: *const c_char,
    times: *const Timespec,
    flags: c_int,
) -> c_int {
    let real = real!(utimensat: unsafe extern "C" fn(c_int, *const c_char, *const Timespec, c_int) -> c_int);
    // SAFETY: the arguments are the caller's.
    let call = || unsafe { real(dir, name, times, flags) };
    // SAFETY: `name` ends with NUL, as the caller promises.
    let text = unsafe { CStr::from_ptr(name) };
    guard(Kind::Label, || record::label(dir, text, call))
}

/// # Safety
/// As flock(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flock(fd: c_int, operation: c_int) -> c_int {
    let real = real!(flock: unsafe extern "C" fn(c_int, c_int) -> c_int);
    // SAFETY: no pointers are passed.
    guard(Kind::Lock, || unsafe { real(fd, operation) })
}
