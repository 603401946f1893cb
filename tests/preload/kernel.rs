//! The way to the real functions, and to the few things that the library itself wants of the system. None of it goes through a function
//! that the library stands in front of.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::fmt;

pub const AT_FDCWD: c_int = -100;
const AT_EMPTY_PATH: c_int = 0x1000;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn mmap(at: *mut c_void, size: usize, access: c_int, flags: c_int, fd: c_int, offset: i64)
    -> *mut c_void;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn readlink(path: *const c_char, buffer: *mut c_char, size: usize) -> isize;
    fn linkat(from: c_int, name: *const c_char, to: c_int, new: *const c_char, flags: c_int) -> c_int;
    fn renameat(from: c_int, name: *const c_char, to: c_int, new: *const c_char) -> c_int;
    fn abort() -> !;
    fn __errno_location() -> *mut c_int;
}

/// One part of what writev(2) writes.
#[repr(C)]
pub struct Iovec {
    start: *const u8,
    length: usize,
}

impl Iovec {
    /// # Safety
    /// The bytes are there, for as long as the slice is used.
    pub unsafe fn as_slice<'a>(&self) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// `struct timespec`, which only passes through.
#[repr(C)]
pub struct Timespec([i64; 2]);

/// `struct statx`.
#[repr(C)]
#[derive(Default)]
pub struct Statx {
    head: [u32; 7],
    mode: u16,
    pad: u16,
    pub ino: u64,
    size: u64,
    rest: [u64; 6],
    pub ctime: StatxTime,
    mtime: StatxTime,
    more: [u64; 16],
}

/// `struct statx_timestamp`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct StatxTime {
    pub secs: i64,
    pub nanos: u32,
    pad: u32,
}

const _: () = assert!(size_of::<Statx>() == 256);

/// What the library wants to know of a file.
pub struct Stat {
    pub mode: u32,
    pub ino: u64,
    pub size: u64,
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Stat {
    pub fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// What a descriptor stands for.
pub enum Of {
    /// A regular file, but none of the standard streams.
    File,
    Socket,
    Other,
}

/// The next function of this name behind the library: the C library's.
macro_rules! real {
    ($name:ident : $kind:ty) => {{
        static FOUND: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = concat!(stringify!($name), "\0");
        let address = $crate::kernel::find(&FOUND, name);
        // SAFETY: the C library's function of this name has this signature, or takes fewer arguments.
        unsafe { std::mem::transmute::<usize, $kind>(address) }
    }};
}
pub(crate) use real;

pub fn find(found: &std::sync::atomic::AtomicUsize, name: &str) -> usize {
    use std::sync::atomic::Ordering::Relaxed;
    if found.load(Relaxed) == 0 {
        // SAFETY: `name` ends with NUL.
        let address = unsafe { dlsym(RTLD_NEXT, name.as_ptr().cast()) };
        if address.is_null() {
            // SAFETY: it takes nothing and does not return. There is no way to go on.
            unsafe { abort() };
        }
        found.store(address as usize, Relaxed);
    }
    found.load(Relaxed)
}

pub fn set_errno(error: c_int) {
    // SAFETY: it is this thread's own number.
    unsafe { *__errno_location() = error };
}

/// Puts `errno` back where it was once its value was not this library's business.
pub fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: it is this thread's own number.
    let before = unsafe { *__errno_location() };
    let result = work();
    set_errno(before);
    result
}

/// The end, as SIGKILL brings it: nothing of the process goes on.
pub fn die() -> ! {
    const SIGKILL: c_int = 9;
    loop {
        // SAFETY: no pointers are passed.
        unsafe { kill(getpid(), SIGKILL) };
    }
}

pub fn process_id() -> u64 {
    // SAFETY: it takes nothing, and can't fail.
    u64::from(unsafe { getpid() }.unsigned_abs())
}

/// A variable of the environment. Only to be asked before `main`, when nobody changes it.
pub fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` ends with NUL.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: the environment ends its values with NUL, and this process does not change it.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Maps a file, to be shared with whoever writes into it. Without it nothing makes sense.
pub fn map(path: &CStr, size: usize) -> *mut c_void {
    const READ_AND_WRITE: c_int = 3;
    const SHARED: c_int = 1;
    const FAILED: *mut c_void = -1_isize as *mut c_void;
    // SAFETY: a new mapping is asked for, which overlaps nothing.
    let page =
        unsafe { mmap(std::ptr::null_mut(), size, READ_AND_WRITE, SHARED, open_for_writing(path, 0), 0) };
    if page == FAILED {
        // SAFETY: it takes nothing and does not return.
        unsafe { abort() };
    }
    page
}

/// Opens for reading and writing; ends the process if that can't be.
pub fn open_for_writing(path: &CStr, flags: c_int) -> c_int {
    const O_RDWR: c_int = 2;
    const O_CLOEXEC: c_int = 0o2_000_000;
    // SAFETY: `path` ends with NUL; the mode is there for the case that the flags ask for one.
    let fd = unsafe { open(path.as_ptr(), O_RDWR | O_CLOEXEC | flags, 0o600 as c_uint) };
    if fd < 0 {
        // SAFETY: it takes nothing and does not return.
        unsafe { abort() };
    }
    fd
}

/// Writes all at the end of a file that was opened to be appended to.
pub fn append(fd: c_int, text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let real = real!(pwrite64: unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize);
    // SAFETY: the bytes are there. A file that was opened for appending takes them at its end, wherever the offset is.
    let written = unsafe { real(fd, text.as_ptr().cast(), text.len(), 0) };
    if written != text.len() as isize {
        // SAFETY: it takes nothing and does not return. A record with a hole in it is worse than none.
        unsafe { abort() };
    }
}

/// What a name in a directory is, or the descriptor itself if the name is empty.
pub fn stat(dir: c_int, name: &CStr) -> Option<Stat> {
    const BASIC: c_uint = 0x7ff;
    let mut found = Statx::default();
    let flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    let real = real!(statx: unsafe extern "C" fn(c_int, *const c_char, c_int, c_uint, *mut Statx) -> c_int);
    // SAFETY: `name` ends with NUL, and `found` is laid out as what is written.
    let result = keeping_errno(|| unsafe { real(dir, name.as_ptr(), flags, BASIC, &raw mut found) });
    (result == 0).then_some(Stat {
        mode: u32::from(found.mode),
        ino: found.ino,
        size: found.size,
        mtime: (found.mtime.secs, found.mtime.nanos),
        ctime: (found.ctime.secs, found.ctime.nanos),
    })
}

pub fn what_is(fd: c_int) -> Of {
    if fd <= 2 {
        return Of::Other;
    }
    match stat(fd, c"").map(|stat| stat.mode & 0o170_000) {
        Some(0o100_000) => Of::File,
        Some(0o140_000) => Of::Socket,
        _ => Of::Other,
    }
}

/// Where a name in an open directory is in the file system at large; the directory itself if the name is empty.
pub fn path(dir: c_int, name: &CStr) -> Vec<u8> {
    let link = CString::new(match dir {
        AT_FDCWD => "/proc/self/cwd".to_owned(),
        dir => format!("/proc/self/fd/{dir}"),
    });
    let link = link.expect("no number has a NUL in it");
    let mut buffer = [0_u8; 4096];
    // SAFETY: `link` ends with NUL, and no more than the buffer's size is written to it.
    let length =
        keeping_errno(|| unsafe { readlink(link.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) });
    let directory = &buffer[..usize::try_from(length).unwrap_or(0)];
    match name.to_bytes() {
        b"" => directory.to_vec(),
        absolute if absolute.starts_with(b"/") => absolute.to_vec(),
        name => [directory, b"/", name].concat(),
    }
}

/// A second name for a file.
pub fn link(dir: c_int, name: &CStr, new: &CStr) -> bool {
    // SAFETY: both names end with NUL.
    keeping_errno(|| unsafe { linkat(dir, name.as_ptr(), AT_FDCWD, new.as_ptr(), 0) }) == 0
}

/// Gives something another name, and says what went wrong in `errno`.
pub fn rename(dir: c_int, name: &CStr, new: &CStr) -> c_int {
    // SAFETY: both names end with NUL.
    unsafe { renameat(dir, name.as_ptr(), AT_FDCWD, new.as_ptr()) }
}

/// Whether a directory has nothing in it.
pub fn is_empty_directory(dir: c_int, name: &CStr) -> bool {
    let mut path = path(dir, name);
    path.push(0);
    let Ok(path) = CString::from_vec_with_nul(path) else { return false };
    // SAFETY: `path` ends with NUL; no mode is needed without O_CREAT. The flag is O_CLOEXEC.
    let fd = keeping_errno(|| unsafe { open(path.as_ptr(), 0o2_000_000) });
    if fd < 0 {
        return false;
    }
    let mut buffer = [0_u8; 4096];
    let real = real!(syscall: unsafe extern "C" fn(c_long, c_int, *mut u8, usize) -> c_long);
    // SAFETY: no more than the buffer's size is written to it.
    let length =
        keeping_errno(|| unsafe { real(crate::number::GETDENTS64, fd, buffer.as_mut_ptr(), buffer.len()) });
    let real = real!(close: unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: the descriptor is ours.
    keeping_errno(|| unsafe { real(fd) });
    // The records of `.` and `..` have 24 bytes each.
    length == 48
}
