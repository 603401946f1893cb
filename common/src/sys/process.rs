//! Ending what a child process has started in its turn.

use std::ffi::c_int;
use std::io;
use std::process::Child;

use super::cvt;

const SIGKILL: c_int = 9;

unsafe extern "C" {
    fn kill(process: c_int, signal: c_int) -> c_int;
}

/// Kills a child that leads a process group of its own, together with all of the group. A child that was waited for has no number any
/// more that could be trusted, so the caller sees to it that it was not.
///
/// # Errors
/// `ESRCH` if the child leads no group, or nobody is left in it.
pub fn kill_group(leader: &mut Child) -> io::Result<()> {
    // Who was waited for without notice would be found here; from then on std remembers how it ended.
    if leader.try_wait()?.is_some() {
        return Ok(());
    }
    let group = c_int::try_from(leader.id()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: no pointers are passed. The number is that of a child which was not waited for, so it belongs to nobody else.
    cvt(unsafe { kill(-group, SIGKILL) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn nobody_is_left() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & sleep 1000"]).process_group(0).stdout(Stdio::piped());
        let mut leader = shell.spawn().unwrap();
        kill_group(&mut leader).unwrap();
        assert_eq!(leader.wait().unwrap().signal(), Some(SIGKILL));
        // All that could write are gone, or this would take a while.
        assert_eq!(leader.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
        kill_group(&mut leader).unwrap();
    }
}
