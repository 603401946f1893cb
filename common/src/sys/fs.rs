//! Files and names relative to an open directory.
//!
//! Every function takes the directory as a descriptor, so nobody can swap it between two calls, and none follows a symbolic link in the
//! last place. Only [`open_beneath`] takes paths of several names; all others are meant for a single one.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{cvt, cvt_r, errno, number, syscall};

/// Open for reading.
pub const O_RDONLY: c_int = 0;
/// Open for reading and writing.
pub const O_RDWR: c_int = 2;
/// Create the file if there is none.
pub const O_CREAT: c_int = 0o100;
/// With [`O_CREAT`]: fail if there is one.
pub const O_EXCL: c_int = 0o200;
/// Don't wait: not for a writer of a FIFO, not for a device.
pub const O_NONBLOCK: c_int = 0o4000;
/// Fail if it is not a directory.
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: c_int = 0o200_000;
/// Fail if it is not a directory.
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: c_int = 0o40_000;
/// Fail if it is a symbolic link.
#[cfg(target_arch = "x86_64")]
const O_NOFOLLOW: c_int = 0o400_000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: c_int = 0o100_000;
const O_CLOEXEC: c_int = 0o2_000_000;
/// Only find the file, don't open it: good for naming what is inside, needs no permission to read.
pub const O_PATH: c_int = 0o10_000_000;

const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
const AT_REMOVEDIR: c_int = 0x200;
const AT_NO_AUTOMOUNT: c_int = 0x800;

unsafe extern "C" {
    fn openat(dir: c_int, name: *const c_char, flags: c_int, ...) -> c_int;
    fn mkdirat(dir: c_int, name: *const c_char, mode: c_uint) -> c_int;
    fn unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int;
    fn symlinkat(target: *const c_char, dir: c_int, name: *const c_char) -> c_int;
    fn readlinkat(dir: c_int, name: *const c_char, buffer: *mut c_char, size: usize) -> isize;
    fn utimensat(dir: c_int, name: *const c_char, times: *const Timespec, flags: c_int) -> c_int;
    fn fchmodat(dir: c_int, name: *const c_char, mode: c_uint, flags: c_int) -> c_int;
    fn syncfs(fd: c_int) -> c_int;
    fn fstatfs(fd: c_int, buffer: *mut Statfs) -> c_int;
}

// ---- Opening ---------------------------------------------------------------------------------------------------------------------

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;

/// Opens a path of any number of names beneath `dir`; the kernel sees to it that no `..`, no symbolic link and no link of `/proc` leads
/// out, whoever renames what meanwhile.
///
/// # Errors
/// `ELOOP` if any name, the last included, is a symbolic link. `ENOSYS` before Linux 5.6, and `EPERM` or `ENOSYS` in some sandboxes.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: c_int, mode: u16) -> io::Result<OwnedFd> {
    let how = OpenHow {
        flags: (flags | O_CLOEXEC) as u64,
        mode: u64::from(mode),
        resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    let (dir, size) = (c_long::from(dir.as_raw_fd()), size_of::<OpenHow>());
    // SAFETY: `path` ends with NUL, `how` is laid out as the kernel's and `size` bytes long; both outlive the call, which writes nothing.
    let fd = cvt_r(|| unsafe { syscall(number::OPENAT2, dir, path.as_ptr(), &raw const how, size) })?;
    // SAFETY: the kernel just gave us this descriptor (an int, so nothing is cut off); nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// Opens `name` in `dir`.
///
/// # Errors
/// `ELOOP` if it is a symbolic link; `ENOTDIR` instead, if `flags` ask for a directory. But [`O_PATH`] alone opens the link itself.
pub fn open_at(dir: BorrowedFd<'_>, name: &CStr, flags: c_int, mode: u16) -> io::Result<OwnedFd> {
    let (dir, flags) = (dir.as_raw_fd(), flags | O_NOFOLLOW | O_CLOEXEC);
    // SAFETY: `name` ends with NUL and outlives the call, which writes nothing.
    let fd = cvt_r(|| unsafe { openat(dir, name.as_ptr(), flags, c_uint::from(mode)) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

// ---- Names -----------------------------------------------------------------------------------------------------------------------

/// Makes a directory; the process's umask takes from `mode`.
///
/// # Errors
/// Those of mkdirat(2), `EEXIST` among them.
pub fn make_dir(dir: BorrowedFd<'_>, name: &CStr, mode: u16) -> io::Result<()> {
    // SAFETY: `name` ends with NUL and outlives the call, which writes nothing.
    cvt(unsafe { mkdirat(dir.as_raw_fd(), name.as_ptr(), c_uint::from(mode)) })?;
    Ok(())
}

/// Removes the name of anything but a directory.
///
/// # Errors
/// Those of unlinkat(2), `EISDIR` among them.
pub fn remove_file(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` ends with NUL and outlives the call, which writes nothing.
    cvt(unsafe { unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) })?;
    Ok(())
}

/// Removes an empty directory.
///
/// # Errors
/// Those of unlinkat(2), `ENOTEMPTY` and `ENOTDIR` among them.
pub fn remove_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` ends with NUL and outlives the call, which writes nothing.
    cvt(unsafe { unlinkat(dir.as_raw_fd(), name.as_ptr(), AT_REMOVEDIR) })?;
    Ok(())
}

/// Makes a symbolic link with this target, whatever it means.
///
/// # Errors
/// Those of symlinkat(2), `EEXIST` among them.
pub fn make_symlink(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `target` and `name` end with NUL and outlive the call, which writes nothing.
    cvt(unsafe { symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })?;
    Ok(())
}

/// Reads the target of a symbolic link into `buffer` and says how long it is; a target that does not fit is cut off, so one as long as
/// the buffer may have been longer.
///
/// # Errors
/// Those of readlinkat(2); `EINVAL` if it is not a symbolic link.
pub fn read_link(dir: BorrowedFd<'_>, name: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, size) = (buffer.as_mut_ptr().cast::<c_char>(), buffer.len());
    // SAFETY: `name` ends with NUL; the call writes at most `size` bytes to `start`, all of them in the exclusively borrowed `buffer`.
    let length = cvt(unsafe { readlinkat(dir.as_raw_fd(), name.as_ptr(), start, size) })?;
    Ok(length.unsigned_abs())
}

/// What becomes of something that already has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It is replaced, in one step for everyone who looks.
    Replace,
    /// The call fails with `EEXIST`.
    NoReplace,
    /// It gets the old name; there has to be something.
    Exchange,
}

/// Renames within one file system.
///
/// # Errors
/// Those of renameat2(2); `EXDEV` across file systems, `EINVAL` for [`RenameMode::NoReplace`] and [`RenameMode::Exchange`] on the few
/// that can't do it (NFS).
pub fn rename(
    from: (BorrowedFd<'_>, &CStr),
    to: (BorrowedFd<'_>, &CStr),
    mode: RenameMode,
) -> io::Result<()> {
    let flags: c_long = match mode {
        RenameMode::Replace => 0,
        RenameMode::NoReplace => 1,
        RenameMode::Exchange => 2,
    };
    let (from_dir, to_dir) = (c_long::from(from.0.as_raw_fd()), c_long::from(to.0.as_raw_fd()));
    // SAFETY: both names end with NUL and outlive the call, which writes nothing.
    cvt(unsafe { syscall(number::RENAMEAT2, from_dir, from.1.as_ptr(), to_dir, to.1.as_ptr(), flags) })?;
    Ok(())
}

// ---- Metadata --------------------------------------------------------------------------------------------------------------------

/// What the kernel knows of a file: the part that anyone here asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStat {
    /// Kind (`S_IFMT`) and permission bits.
    pub mode: u32,
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last modification: seconds since 1970 and nanoseconds after them.
    pub mtime: (i64, u32),
    /// Last change of content, metadata, names or number of names.
    pub ctime: (i64, u32),
    /// When the file was made, if the file system remembers.
    pub btime: Option<(i64, u32)>,
}

/// `struct statx`: 256 bytes, the same on all architectures.
#[repr(C)]
#[derive(Default)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    pad: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: StatxTime,
    btime: StatxTime,
    ctime: StatxTime,
    mtime: StatxTime,
    devices: [u32; 4],
    rest: [u64; 14],
}

/// `struct statx_timestamp`.
#[repr(C)]
#[derive(Default)]
struct StatxTime {
    secs: i64,
    nanos: u32,
    pad: i32,
}

const _: () = assert!(size_of::<Statx>() == 256);

/// Everything that stat(2) gives.
const STATX_BASIC_STATS: u32 = 0x7ff;
/// The time of birth as well, where there is one.
const STATX_BTIME: u32 = 0x800;

/// Asks what `name` in `dir` is. A symbolic link is the link, not its target; a mount that only waits for a visitor is left alone.
///
/// # Errors
/// Those of statx(2), `ENOENT` among them.
pub fn stat(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<RawStat> {
    let mut found = Statx::default();
    let dir = c_long::from(dir.as_raw_fd());
    let flags = c_long::from(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
    let wanted = c_long::from(STATX_BASIC_STATS | STATX_BTIME);
    let into = &raw mut found;
    // SAFETY: `name` ends with NUL; the call writes one `struct statx`, and `found` is laid out as one and exclusively ours.
    cvt_r(|| unsafe { syscall(number::STATX, dir, name.as_ptr(), flags, wanted, into) })?;
    Ok(RawStat {
        mode: u32::from(found.mode),
        ino: found.ino,
        size: found.size,
        mtime: (found.mtime.secs, found.mtime.nanos),
        ctime: (found.ctime.secs, found.ctime.nanos),
        btime: (found.mask & STATX_BTIME != 0).then_some((found.btime.secs, found.btime.nanos)),
    })
}

/// `struct timespec` where `time_t` and `long` have 64 bits.
#[repr(C)]
struct Timespec {
    secs: i64,
    nanos: i64,
}

/// Leave this one of the two times alone.
const UTIME_OMIT: i64 = (1 << 30) - 2;

/// Sets the time of last modification (seconds since 1970, nanoseconds after them) of a file, directory or symbolic link.
///
/// # Errors
/// Those of utimensat(2).
pub fn set_mtime(dir: BorrowedFd<'_>, name: &CStr, (secs, nanos): (i64, u32)) -> io::Result<()> {
    let times = [Timespec { secs: 0, nanos: UTIME_OMIT }, Timespec { secs, nanos: i64::from(nanos) }];
    // SAFETY: `name` ends with NUL and `times` are the two that the call reads; both outlive it, and it writes nothing.
    cvt(unsafe { utimensat(dir.as_raw_fd(), name.as_ptr(), times.as_ptr(), AT_SYMLINK_NOFOLLOW) })?;
    Ok(())
}

/// Sets the permission bits of a file or directory.
///
/// The kernel learned to do this without following links in 6.6, which sandboxes may not know of yet; before, both C libraries do it by
/// way of `/proc`, with five calls (glibc since 2.32).
///
/// # Errors
/// Those of fchmodat(2); `EOPNOTSUPP` for a symbolic link.
pub fn set_mode(dir: BorrowedFd<'_>, name: &CStr, mode: u16) -> io::Result<()> {
    let (at, bits, flags) =
        (c_long::from(dir.as_raw_fd()), c_long::from(mode), c_long::from(AT_SYMLINK_NOFOLLOW));
    // SAFETY: `name` ends with NUL and outlives the call, which writes nothing.
    match cvt(unsafe { syscall(number::FCHMODAT2, at, name.as_ptr(), bits, flags) }) {
        Err(error) if matches!(error.raw_os_error(), Some(errno::ENOSYS | errno::EPERM)) => {}
        result => return result.map(drop),
    }
    // SAFETY: as above.
    cvt(unsafe { fchmodat(dir.as_raw_fd(), name.as_ptr(), c_uint::from(mode), AT_SYMLINK_NOFOLLOW) })?;
    Ok(())
}

// ---- File systems ----------------------------------------------------------------------------------------------------------------

/// Writes everything that the file system of `fd` still holds in memory to its device, and waits for that.
///
/// # Errors
/// Those of syncfs(2). Since Linux 5.8 a failure to write any file back is among them, once for each descriptor that was open when it
/// happened: keep `fd` open from before the writes.
pub fn sync_fs(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    cvt(unsafe { syncfs(fd.as_raw_fd()) })?;
    Ok(())
}

/// `struct statfs` of 64-bit kernels, glibc and musl.
#[repr(C)]
#[derive(Default)]
struct Statfs {
    kind: i64,
    bsize: i64,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: [i32; 2],
    namelen: i64,
    frsize: i64,
    flags: i64,
    spare: [i64; 4],
}

const _: () = assert!(size_of::<Statfs>() == 120);

/// Bytes that this user may still write to the file system of `fd`.
///
/// # Errors
/// Those of fstatfs(2).
pub fn free_space(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut found = Statfs::default();
    let into = &raw mut found;
    // SAFETY: the call writes one `struct statfs`, and `found` is laid out as one and exclusively ours.
    cvt_r(|| unsafe { fstatfs(fd.as_raw_fd(), into) })?;
    // Kernels before 2.6.36 and some file systems of today leave the first at 0.
    let unit = if found.frsize == 0 { found.bsize } else { found.frsize };
    Ok(found.bavail.saturating_mul(unit.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::errno;

    /// No path that gets here has such names; who makes a mistake above is held by the kernel.
    #[test]
    fn nothing_above_or_at_the_top_is_beneath() {
        let dir = File::open(".").unwrap();
        for path in [c"..", c"./..", c"/", c"/dev/null"] {
            let error = open_beneath(dir.as_fd(), path, O_PATH, 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno::EXDEV), "{path:?}");
        }
        assert!(open_beneath(dir.as_fd(), c"./.", O_PATH | O_DIRECTORY, 0).is_ok());
    }
}
