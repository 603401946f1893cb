//! Limits of the system for one program under test, without touching those of the machine.
//!
//! A user namespace has limits of its own on what inotify gives its users, and whoever makes one may set them. Some machines do not let
//! tests make one; then whoever wanted the limit has to say what it asserts instead.

use std::process::Command;

/// A limit on what inotify gives a program.
#[derive(Clone, Copy, Debug)]
pub enum Inotify {
    /// So many directories may be watched.
    Watches(u32),
    /// So many queues of events may be open.
    Instances(u32),
}

impl Inotify {
    fn setting(self) -> (&'static str, u32) {
        match self {
            Inotify::Watches(limit) => ("/proc/sys/user/max_inotify_watches", limit),
            Inotify::Instances(limit) => ("/proc/sys/user/max_inotify_instances", limit),
        }
    }

    /// Whether this machine lets tests set limits.
    pub fn can_be_limited() -> bool {
        let output = confined(&Command::new("true"), Inotify::Watches(100)).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The same command under the limit.
    pub fn limit(self, command: &Command) -> Command {
        confined(command, self)
    }
}

/// The same command with a limit on its descriptors that it can't raise.
pub fn with_descriptors(command: &Command, most: usize) -> Command {
    carried_on(
        Command::new("sh").arg("-c").arg(format!("ulimit -n {most} && exec \"$@\"")).arg("sh"),
        command,
    )
}

fn confined(command: &Command, limit: Inotify) -> Command {
    let (file, value) = limit.setting();
    let mut confined = Command::new("unshare");
    confined.args(["--user", "--map-root-user", "sh", "-c"]);
    confined.arg(format!("echo {value} > {file} && exec \"$@\"")).arg("sh");
    carried_on(&mut confined, command)
}

/// What `first` leads to: the command, with its arguments and its environment.
fn carried_on(first: &mut Command, command: &Command) -> Command {
    let mut confined = Command::new(first.get_program());
    confined.args(first.get_args()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    confined.stdin(std::process::Stdio::null());
    confined
}
