//! Who takes part, and how each is told to do a step: the command of its server, if it has one, and that of its client. Peers run as they
//! come, with no option that makes them faster or slower.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::Process;
use crate::transfer::Step;

/// Someone who keeps or makes two folders equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// This project, as it comes: what is done is on the disk.
    Filesync,
    /// This project with `--no-fsync`.
    FilesyncNoFsync,
    /// rsync and its daemon. It does not wait for the disk.
    Rsync,
    /// Unison over a socket.
    Unison,
    /// `cp -r`, and then `sync`: a limit for whoever waits for the disk.
    Cp,
    /// The bare copy of `loopback`: a limit for whoever does not.
    Loopback,
}

/// A server that is ready.
pub(crate) struct Service {
    /// The process that serves.
    pub(crate) process: Process,
    /// As a client of it is told.
    pub(crate) address: String,
}

/// Where a contestant works: its programs, if they are this project's, its box, and what it keeps beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    /// Where server and clients of this project are.
    pub(crate) programs: &'a Path,
    /// An own directory, empty at first.
    pub(crate) work: &'a Path,
}

impl Ground<'_> {
    /// What the server holds.
    pub(crate) fn held(&self) -> PathBuf {
        self.work.join("box")
    }

    /// The key of a server of this project.
    pub(crate) fn key(&self) -> PathBuf {
        self.held().join(".filesync/key")
    }
}

impl Contestant {
    /// In the order of tables.
    pub(crate) const ALL: [Self; 6] =
        [Self::Filesync, Self::FilesyncNoFsync, Self::Rsync, Self::Unison, Self::Cp, Self::Loopback];

    /// Whether it can take part on this machine.
    pub(crate) fn is_installed(&self) -> bool {
        self.program().is_none_or(is_installed)
    }

    /// A sentence if it can't take part, with what to do about it.
    pub(crate) fn lack(self) -> Option<String> {
        let program = self.program().filter(|program| !is_installed(program))?;
        Some(format!("{program} is not installed. Debian and its kin: apt-get install {program}"))
    }

    /// As it is called in tables and among the results.
    fn name(self) -> &'static str {
        match self {
            Self::Filesync => "filesync",
            Self::FilesyncNoFsync => "filesync --no-fsync",
            Self::Rsync => "rsync",
            Self::Unison => "unison",
            Self::Cp => "cp and sync",
            Self::Loopback => "bare loopback copy",
        }
    }

    /// As it is called on the command line.
    fn word(self) -> &'static str {
        match self {
            Self::Filesync => "filesync",
            Self::FilesyncNoFsync => "no-fsync",
            Self::Rsync => "rsync",
            Self::Unison => "unison",
            Self::Cp => "cp",
            Self::Loopback => "loopback",
        }
    }

    /// The contestant that is called so on the command line.
    pub(crate) fn called(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contestant| contestant.word() == word)
    }

    /// The contestant of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contestant| contestant.name() == name)
    }

    /// The program, and package, that it needs.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Rsync => Some("rsync"),
            Self::Unison => Some("unison"),
            Self::Filesync | Self::FilesyncNoFsync | Self::Cp | Self::Loopback => None,
        }
    }

    /// Whether it looks for differences. The limits copy everything.
    pub(crate) fn compares(self) -> bool {
        !matches!(self, Self::Cp | Self::Loopback)
    }

    /// Whether it follows two folders by itself.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Filesync | Self::FilesyncNoFsync)
    }

    /// Starts its server, if it has one, and waits until it is ready.
    pub(crate) fn serve(self, ground: Ground<'_>) -> Result<Option<Service>> {
        let (held, log) = (ground.held(), ground.work.join("server.log"));
        let (process, address) = match self {
            Self::Filesync | Self::FilesyncNoFsync => {
                let mut server = own_program(ground, "server");
                server.args(["-q", "--listen", "127.0.0.1:0", "--box"]).arg(&held);
                self.choose_durability(&mut server);
                let mut process = Process::start_alone(&mut server, &log)?;
                let address = process.address()?;
                (process, address)
            }
            Self::Rsync => {
                let (port, config) = (free_port()?, ground.work.join("rsyncd.conf"));
                // A daemon of root would take another user's rights.
                let owner = fs::metadata("/proc/self")?;
                let rights = format!(
                    "uid = {}\ngid = {}\nuse chroot = no\nread only = no\n",
                    owner.uid(),
                    owner.gid()
                );
                fs::write(&config, format!("{rights}[box]\npath = {}\n", held.display()))?;
                let mut daemon = Command::new("rsync");
                daemon.args(["--daemon", "--no-detach", "--address=127.0.0.1", &format!("--port={port}")]);
                let mut process = Process::start(daemon.arg("--config").arg(&config), &log)?;
                process.wait_for_port(port)?;
                (process, format!("rsync://127.0.0.1:{port}/box/"))
            }
            Self::Unison => {
                let port = free_port()?;
                let mut server = Command::new("unison");
                server.args(["-socket", &port.to_string()]).env("UNISON", ground.work.join("archive-server"));
                let mut process = Process::start(&mut server, &log)?;
                process.wait_for_port(port)?;
                (process, format!("socket://127.0.0.1:{port}/{}", held.display()))
            }
            Self::Loopback => {
                let mut server = Command::new(std::env::current_exe()?);
                let mut process = Process::start(server.args(["loopback", "server"]).arg(&held), &log)?;
                let address = process.address()?;
                (process, address)
            }
            Self::Cp => return Ok(None),
        };
        Ok(Some(Service { process, address }))
    }

    /// The command that does a step with a folder.
    pub(crate) fn client(
        self,
        ground: Ground<'_>,
        service: Option<&Service>,
        step: Step,
        folder: &Path,
    ) -> Result<Command> {
        let address = service.map_or("", |service| service.address.as_str());
        let is_pull = step == Step::Pull;
        Ok(match self {
            Self::Filesync | Self::FilesyncNoFsync => {
                let mut client = self.live_client(ground, "client_b", address, folder);
                client.arg("--once");
                client
            }
            Self::Rsync => {
                let folder = format!("{}/", folder.display());
                let (from, to) =
                    if is_pull { (address, folder.as_str()) } else { (folder.as_str(), address) };
                let mut rsync = Command::new("rsync");
                rsync.args(["-a", from, to]);
                rsync
            }
            Self::Unison => {
                let mut unison = Command::new("unison");
                unison.arg(folder).args([
                    address,
                    "-ui",
                    "text",
                    "-batch",
                    "-silent",
                    "-times",
                    "-confirmbigdel=false",
                ]);
                unison.env("UNISON", ground.work.join("archive-client"));
                unison
            }
            Self::Cp => {
                let held = ground.held();
                let (from, to) = if is_pull { (held.as_path(), folder) } else { (folder, held.as_path()) };
                let mut shell = Command::new("sh");
                shell.args(["-c", "cp -r \"$1/.\" \"$2\" && sync -f \"$2\"", "cp"]).args([from, to]);
                shell
            }
            Self::Loopback => {
                let mut copy = Command::new(std::env::current_exe()?);
                copy.args(["loopback", if is_pull { "pull" } else { "push" }, address]).arg(folder);
                copy
            }
        })
    }

    /// A client of this project that follows a folder, of the name that is given.
    pub(crate) fn follower(
        self,
        ground: Ground<'_>,
        service: &Service,
        name: &str,
        folder: &Path,
    ) -> Command {
        self.live_client(ground, name, &service.address, folder)
    }

    fn live_client(self, ground: Ground<'_>, name: &str, address: &str, folder: &Path) -> Command {
        let mut client = own_program(ground, name);
        client.args(["-q", "--server", address, "--token-file"]).arg(ground.key()).arg(folder);
        self.choose_durability(&mut client);
        client
    }

    fn choose_durability(self, command: &mut Command) {
        if self == Self::FilesyncNoFsync {
            command.arg("--no-fsync");
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A program of this project, with none of the variables that it would read.
fn own_program(ground: Ground<'_>, name: &str) -> Command {
    let mut command = Command::new(ground.programs.join(name));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("FILESYNC_") || name == "API_KEY" || name == "SERVER_ADDRESS" {
            command.env_remove(&variable);
        }
    }
    command
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

/// A port that nobody listens at, for programs that can't choose one themselves.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
