//! Named threads, and locks that outlive a panic.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Starts a thread with a name, which a debugger and `top -H` show. Linux keeps 15 bytes of it.
///
/// # Errors
/// The system has no room for another thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(body)
}

/// Waits for a thread to end, at most until `deadline`. One that is still at work then, stuck in the network, is left to the end of the
/// process. One that panicked has said so on stderr.
pub fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) {
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(JOIN_STEP);
    }
    if thread.is_finished() {
        let _ = thread.join();
    }
}

/// Between two looks at whether a thread has ended.
const JOIN_STEP: Duration = Duration::from_millis(2);

/// Locks. A thread that panicked while it held the lock left the value as it was between two statements; every holder of a lock in this
/// project keeps its value whole between statements that can panic, so the others go on.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading; see [`lock`].
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing; see [`lock`].
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
