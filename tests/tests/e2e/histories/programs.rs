//! The programs of a history: one server, three clients, any of which may be down or frozen at any moment.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::plan::{CLIENTS, Place, Program};
use crate::harness::{
    Client, Json, Kind, Process, Server, Tree, agreement, eventually, eventually_within, mint, write_secret,
};

/// One history in so many is that of an account.
const OF_ACCOUNTS: u64 = 4;
/// Its folder in the box.
const ACCOUNT: &str = "people/shared";
/// The client that may only read there.
const READER: &str = "gamma";
/// How long everything may take to agree once nothing disturbs it any more.
const AGREEMENT: Duration = Duration::from_secs(40);

pub struct Programs {
    pub server: Server,
    pub clients: [Client; CLIENTS],
    server_runs: bool,
    frozen: Vec<Program>,
    pub directory: TempDir,
}

impl Programs {
    /// All of them run.
    #[track_caller]
    pub fn start(seed: u64) -> Programs {
        let directory = TempDir::new().expect("create a temporary directory");
        fs::create_dir(directory.path().join("elsewhere")).expect("create a directory");
        let mut server = Server::new(directory.path());
        // Small trees lose most of what they hold all the time; the guard has tests of its own.
        server.options = &["--force"];
        server.start();
        if seed.is_multiple_of(OF_ACCOUNTS) {
            server.account = Some((ACCOUNT, mint(&server, &["--client", "onlooker", "--root", ACCOUNT])));
        }
        let clients = [(Kind::A, "alpha"), (Kind::B, "beta"), (Kind::B, "gamma")].map(|(kind, name)| {
            let mut client = Client::new(kind, name, &server, directory.path());
            client.options = &["--force"];
            if server.account.is_some() {
                let scope: &[&str] = if name == READER { &["--read-only"] } else { &[] };
                let options = [&["--client", name, "--root", ACCOUNT], scope].concat();
                let file = directory.path().join(format!("{name}.token"));
                write_secret(&file, &mint(&server, &options).text);
                client.token_file = Some(file);
            }
            client.start();
            client
        });
        let shown = server.shown();
        eventually("the folder of the account", || if shown.is_dir() { Ok(()) } else { Err("no".into()) });
        Programs { server, clients, server_runs: true, frozen: Vec::new(), directory }
    }

    /// Whether a client's token only lets it read.
    pub fn only_reads(&self, client: usize) -> bool {
        self.server.account.is_some() && self.clients[client].name == READER
    }

    /// A directory on the same file system that does not sync.
    pub fn elsewhere(&self) -> PathBuf {
        self.directory.path().join("elsewhere")
    }

    /// Where users are at work.
    pub fn tree(&self, place: Place) -> PathBuf {
        match place {
            Place::Box => self.server.shown(),
            Place::Folder(client) => self.clients[client].folder.clone(),
        }
    }

    /// What each program has its own directory in.
    pub fn trees(&self) -> Vec<PathBuf> {
        let folders = self.clients.iter().map(|client| client.folder.clone());
        folders.chain([self.server.folder.clone()]).collect()
    }

    pub fn runs(&mut self, program: Program) -> bool {
        match program {
            Program::Server => self.server_runs,
            Program::Client(client) => self.clients[client].is_started(),
        }
    }

    #[track_caller]
    pub fn start_program(&mut self, program: Program) {
        self.thaw(program);
        match program {
            _ if self.runs(program) => {}
            Program::Server => {
                self.server.start();
                self.server_runs = true;
            }
            Program::Client(client) => self.clients[client].start(),
        }
    }

    #[track_caller]
    pub fn kill(&mut self, program: Program) {
        if !self.runs(program) {
            return;
        }
        self.frozen.retain(|frozen| *frozen != program);
        match program {
            Program::Server => {
                self.server.kill();
                self.server_runs = false;
            }
            Program::Client(client) => self.clients[client].kill(),
        }
    }

    #[track_caller]
    pub fn stop(&mut self, program: Program) {
        self.thaw(program);
        if !self.runs(program) {
            return;
        }
        match program {
            Program::Server => {
                self.server.stop();
                self.server_runs = false;
            }
            Program::Client(client) => self.clients[client].stop(),
        }
    }

    #[track_caller]
    pub fn freeze(&mut self, program: Program) {
        if self.runs(program) && !self.frozen.contains(&program) {
            self.process(program).signal("STOP");
            self.frozen.push(program);
        }
    }

    #[track_caller]
    pub fn thaw(&mut self, program: Program) {
        if self.frozen.contains(&program) {
            self.process(program).signal("CONT");
            self.frozen.retain(|frozen| *frozen != program);
        }
    }

    /// As if the file had been lost with a disk.
    pub fn lose_state(&mut self, client: usize) {
        if !self.runs(Program::Client(client)) {
            // It may never have got so far.
            let _ = fs::remove_file(self.clients[client].folder.join(".filesync/state"));
        }
    }

    /// Gives a client ignore rules, or takes them away.
    pub fn set_rules(&mut self, client: usize, rules: Option<&str>) {
        let file = self.clients[client].folder.join(".syncignore");
        match rules {
            Some(rules) => fs::write(file, rules).expect("write ignore rules"),
            None if file.exists() => fs::remove_file(file).expect("remove ignore rules"),
            None => {}
        }
    }

    fn process(&mut self, program: Program) -> &mut Process {
        match program {
            Program::Server => self.server.process(),
            Program::Client(client) => self.clients[client].process(),
        }
    }

    /// Everything runs, nothing is ignored, and all comes to agree.
    #[track_caller]
    pub fn settle(&mut self) -> Tree {
        self.start_program(Program::Server);
        for client in 0..CLIENTS {
            self.start_program(Program::Client(client));
            self.set_rules(client, None);
        }
        let Programs { server, clients, .. } = self;
        eventually_within(AGREEMENT, "server and clients to agree", || agreement(server, clients.iter_mut()))
    }

    /// All that changes when something is transferred, or written down.
    pub fn marks(&self) -> Vec<String> {
        let mut marks = vec![format!("the server is at {}", self.server.cursor())];
        let length = |file: PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
        marks.push(format!("its journal has {} bytes", length(self.server.folder.join(".filesync/journal"))));
        for client in &self.clients {
            let state = length(client.folder.join(".filesync/state"));
            let status = client.status();
            let told: Vec<&Json> =
                ["state", "cursor", "pending", "problems"].map(|member| status.get(member)).to_vec();
            marks.push(format!("{}: {told:?}, its state has {state} bytes", client.name));
        }
        marks
    }

    /// What has been left in staging.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut leftovers = Vec::new();
        for tree in self.trees() {
            let entries = fs::read_dir(tree.join(".filesync/staging")).expect("it is there since the start");
            leftovers.extend(entries.map(|entry| entry.expect("read a directory").path()));
        }
        leftovers
    }
}
