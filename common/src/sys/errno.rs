//! Error numbers that callers tell apart, to compare with [`io::Error::raw_os_error`](std::io::Error::raw_os_error). They are the same
//! on all architectures that [`sys`](super) knows.

/// Not the owner; also what a sandbox says of a system call it does not let through.
pub const EPERM: i32 = 1;
/// Nothing has this name.
pub const ENOENT: i32 = 2;
/// The user may have no more threads.
pub const EAGAIN: i32 = 11;
/// The kernel has no memory left for it.
pub const ENOMEM: i32 = 12;
/// The permissions forbid it.
pub const EACCES: i32 = 13;
/// A mount point, or otherwise in use.
pub const EBUSY: i32 = 16;
/// Something has this name already.
pub const EEXIST: i32 = 17;
/// The two names lie on different file systems.
pub const EXDEV: i32 = 18;
/// A directory was needed.
pub const ENOTDIR: i32 = 20;
/// Anything but a directory was needed.
pub const EISDIR: i32 = 21;
/// An argument that does not fit; also flags that the file system does not implement.
pub const EINVAL: i32 = 22;
/// The system has no file descriptor left.
pub const ENFILE: i32 = 23;
/// The process has no file descriptor left, or the user no inotify instance.
pub const EMFILE: i32 = 24;
/// The file would be larger than the file system, or this process, may make it.
pub const EFBIG: i32 = 27;
/// The device is full; from inotify: the user may have no more watches.
pub const ENOSPC: i32 = 28;
/// The file system is mounted read-only.
pub const EROFS: i32 = 30;
/// The name or path is longer than the file system takes.
pub const ENAMETOOLONG: i32 = 36;
/// The kernel does not have this call.
pub const ENOSYS: i32 = 38;
/// The directory is not empty.
pub const ENOTEMPTY: i32 = 39;
/// A symbolic link stands where none is followed.
pub const ELOOP: i32 = 40;
/// Not possible for this kind of file, or on this file system.
pub const EOPNOTSUPP: i32 = 95;
/// A network file system no longer knows the file.
pub const ESTALE: i32 = 116;
/// The user's quota is used up.
pub const EDQUOT: i32 = 122;
