//! Named threads, and locks that outlive a panic.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};
use std::time::Instant;

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

/// Starts a thread as [`spawn`] does, that lasts no longer than a scope.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, body)
}

/// A thread whose end can be waited for until a deadline; std's handle waits for ever.
#[derive(Debug)]
pub struct Awaited {
    thread: JoinHandle<()>,
    /// Nothing comes through it. Its other end is dropped when the thread's body ends, however it ends.
    end: Receiver<Infallible>,
}

/// Starts a thread as [`spawn`] does, to be waited for until a deadline.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_awaited(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Awaited> {
    let (running, end) = channel();
    let thread = spawn(name, move || {
        let _running = running;
        body();
    })?;
    Ok(Awaited { thread, end })
}

impl Awaited {
    /// Waits for its end, at most until `deadline`. One that is still at work then, stuck in the network, is left to the end of the
    /// process. One that panicked has said so on stderr.
    pub fn join_until(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Err(RecvTimeoutError::Disconnected) = self.end.recv_timeout(left) {
            let _ = self.thread.join();
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_panic_keeps_nobody_from_a_lock() {
        let (mutex, rw) = (Mutex::new(1), RwLock::new(2));
        let panicked = std::thread::scope(|scope| {
            let holder = spawn_scoped(scope, "panics", || {
                let _held = (lock(&mutex), write(&rw));
                panic!("on purpose");
            });
            holder.unwrap().join().is_err()
        });
        assert!(panicked && mutex.is_poisoned() && rw.is_poisoned());
        *write(&rw) += *lock(&mutex);
        assert_eq!(*read(&rw), 3);
    }

    #[test]
    fn an_end_is_waited_for_until_the_deadline() {
        let (release, held) = channel::<()>();
        let stuck = spawn_awaited("stuck", move || assert!(held.recv().is_err())).unwrap();
        let short = Instant::now() + Duration::from_millis(20);
        stuck.join_until(short);
        assert!(short <= Instant::now());
        drop(release);

        let long = Instant::now() + Duration::from_secs(3600);
        spawn_awaited("done", || ()).unwrap().join_until(long);
        spawn_awaited("panics", || panic!("on purpose")).unwrap().join_until(long);
        assert!(Instant::now() < long);
    }
}
