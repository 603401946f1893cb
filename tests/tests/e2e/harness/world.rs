//! A server with its box, and a client of each kind with its folder.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::{Connection, Request, Response};
use super::json::Json;
use super::port::Port;
use super::process::{Finished, Process, program, run};
use super::token::Token;
use super::tree::{Tree, as_in_the_box, differences, outline, snapshot};
use super::wait::{eventually, eventually_by_steps, eventually_within};

/// Differences shown when folders and box don't come to agree.
const DIFFERENCES_SHOWN: usize = 10;

/// A server and two clients that share a temporary directory. Everything is stopped and removed when it is dropped: the clients first, so
/// that what they waited for when a test failed can be told.
pub struct World {
    pub a: Client,
    pub b: Client,
    pub server: Server,
    temporary: TempDir,
}

impl World {
    /// The server runs, the clients don't; box and folders are empty.
    #[track_caller]
    pub fn new() -> World {
        let temporary = TempDir::new().expect("create a temporary directory");
        let directory = temporary.path();
        let mut server = Server::new(directory);
        server.start();
        let a = Client::new(Kind::A, "alpha", &server, directory);
        let b = Client::new(Kind::B, "beta", &server, directory);
        World { a, b, server, temporary }
    }

    /// Everything runs and is in agreement; box and folders are empty.
    #[track_caller]
    pub fn live() -> World {
        let mut world = World::new();
        world.start_clients();
        world.settle();
        world
    }

    /// Everything runs, and box and folders hold what `fill` has put into a's folder.
    #[track_caller]
    pub fn live_with(fill: impl FnOnce(&Path)) -> World {
        let mut world = World::new();
        fill(&world.a.folder);
        world.start_clients();
        world.settle();
        world
    }

    /// Where folders and box are, and where tests may put things beside them.
    pub fn directory(&self) -> &Path {
        self.temporary.path()
    }

    #[track_caller]
    pub fn start_clients(&mut self) {
        self.a.start();
        self.b.start();
    }

    /// Stops the clients in good order.
    #[track_caller]
    pub fn stop_clients(&mut self) {
        self.a.stop();
        self.b.stop();
    }

    /// One more client, with an empty folder of its name. [`World::settle`] does not wait for it.
    #[track_caller]
    pub fn another_client(&self, name: &'static str) -> Client {
        Client::new(Kind::A, name, &self.server, self.directory())
    }

    /// Waits until the server and the clients that run are in agreement: every client idle at the server's cursor, folders and box equal.
    /// Returns what they hold. All three conditions are needed: a client that has not noticed a change yet still says that it is idle.
    #[track_caller]
    pub fn settle(&mut self) -> Tree {
        let World { server, a, b, .. } = self;
        eventually_by_steps("server and clients to agree", || agreement(server, [&mut *a, &mut *b]))
    }

    /// The same, but all of it within a time.
    #[track_caller]
    pub fn settle_within(&mut self, limit: Duration) -> Tree {
        let World { server, a, b, .. } = self;
        eventually_within(limit, "server and clients to agree", || agreement(server, [&mut *a, &mut *b]))
    }
}

/// What the server and the clients that run hold in agreement, or what keeps them from it.
#[track_caller]
pub fn agreement<'a>(
    server: &Server,
    clients: impl IntoIterator<Item = &'a mut Client>,
) -> Result<Tree, String> {
    let mut running: Vec<&Client> = Vec::new();
    for client in clients {
        if client.is_started() {
            running.push(client);
        }
    }
    agreement_of(server, &running)
}

/// The same for these clients, any of which may end, as the server may.
///
/// What is new in the box may have no number yet: the server makes a change first and counts it then. So it is asked where it is once more
/// when all that was begun before is counted.
pub fn agreement_of(server: &Server, running: &[&Client]) -> Result<Tree, String> {
    // First what costs little: most of the time something is still going on, and to find that out by starting programs would take more of
    // the machine than the work that is waited for.
    let mut shown = Vec::new();
    for client in running {
        shown.push(client.check_looks_idle()?);
    }
    if let Some(other) = shown.iter().find(|cursor| **cursor != shown[0]) {
        return Err(format!("one client is at {}, another at {other}", shown[0]));
    }
    equal_trees(outline, server, running)?;
    let cursor = server.try_cursor()?;
    for client in running {
        client.check_idle_at(&cursor)?;
    }
    let tree = equal_trees(snapshot, server, running)?;
    server.let_it_count()?;
    match server.try_cursor()? {
        now if now == cursor => Ok(tree),
        now => Err(format!("the server has moved on from {cursor} to {now}")),
    }
}

/// What the box and all folders hold, if it is the same.
fn equal_trees(
    look: fn(&Path) -> io::Result<Tree>,
    server: &Server,
    running: &[&Client],
) -> Result<Tree, String> {
    let box_tree = look(&server.shown()).map_err(|error| format!("the box changes: {error}"))?;
    let mut first: Option<(&str, Tree)> = None;
    for client in running {
        let tree = look(&client.folder).map_err(|error| format!("the folder changes: {error}"))?;
        let mut lines = differences("the box", &as_in_the_box(&box_tree), client.name, &as_in_the_box(&tree));
        if let Some((name, other)) = &first {
            lines.extend(differences(name, other, client.name, &tree));
        }
        if !lines.is_empty() {
            let shown = &lines[..lines.len().min(DIFFERENCES_SHOWN)];
            return Err(format!("{} differences:\n{}", lines.len(), shown.join("\n")));
        }
        first.get_or_insert((client.name, tree));
    }
    Ok(box_tree)
}

/// The server, its box, and a key.
pub struct Server {
    /// The box.
    pub folder: PathBuf,
    /// Host and port, at every start the same.
    pub address: String,
    /// Given at every start, besides what is needed anyway.
    pub options: &'static [&'static str],
    /// In its environment at every start.
    pub environment: Vec<(&'static str, OsString)>,
    /// The folder of the box that all clients are confined to, and a token for it; none if they see all.
    pub account: Option<(&'static str, Token)>,
    directory: PathBuf,
    process: Option<Process>,
    /// Its own until it is dropped.
    _port: Port,
}

impl Server {
    /// With an empty box in `directory`.
    pub fn new(directory: &Path) -> Server {
        let folder = directory.join("box");
        fs::create_dir(&folder).expect("create the box");
        let port = Port::take();
        let address = format!("127.0.0.1:{}", port.number);
        let (directory, environment) = (directory.to_owned(), Vec::new());
        Server {
            folder,
            address,
            options: &[],
            environment,
            account: None,
            directory,
            process: None,
            _port: port,
        }
    }

    /// What clients see of the box.
    pub fn shown(&self) -> PathBuf {
        match &self.account {
            Some((root, _)) => self.folder.join(root),
            None => self.folder.clone(),
        }
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_as(|command| command);
    }

    /// The command that serves the box, ready for more options.
    #[track_caller]
    pub fn command(&self) -> Command {
        let mut command = program("server");
        command.arg("--listen").arg(&self.address).arg("--box").arg(&self.folder).args(self.options);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// As [`Server::start`], by another command, made from the usual one.
    #[track_caller]
    pub fn start_as(&mut self, change: impl FnOnce(Command) -> Command) {
        self.launch_as(change);
        let process = self.process.as_mut().expect("it was just launched");
        self.address = eventually("the server to listen", || {
            if let Some(code) = process.exit_code() {
                panic!("the server ended with {code}:\n{}", process.log());
            }
            let output = process.output();
            let line = output.split_once('\n').map(|(line, _)| line);
            let address = line.and_then(|line| line.strip_prefix("listening on http://"));
            address.map(str::to_owned).ok_or(output.clone())
        });
    }

    /// Starts it, however far it may get.
    #[track_caller]
    pub fn launch(&mut self) {
        self.launch_as(|command| command);
    }

    #[track_caller]
    fn launch_as(&mut self, change: impl FnOnce(Command) -> Command) {
        self.process = Some(Process::spawn("server", &self.directory, &mut change(self.command())));
    }

    /// SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        let code = self.process().terminate();
        assert_eq!(code, 143, "exit code of a server that got SIGTERM");
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
    }

    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server has been started")
    }

    /// What it has logged so far.
    #[track_caller]
    pub fn log(&self) -> String {
        self.process.as_ref().expect("the server has been started").log()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.join(".filesync/key")
    }

    #[track_caller]
    pub fn key(&self) -> String {
        if let Some((_, key)) = self.environment.iter().find(|(name, _)| *name == "API_KEY") {
            return key.to_string_lossy().into_owned();
        }
        fs::read_to_string(self.key_file()).expect("the server has made a key").trim_end().to_owned()
    }

    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(&self.address)
    }

    /// A request with the key in it.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(method, target).field("Authorization", &format!("Bearer {}", self.key()))
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Response {
        let mut connection = self.connect();
        connection.send(request.encode());
        connection.response()
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.ask(&self.request("GET", target))
    }

    /// Stores a new file.
    #[track_caller]
    pub fn put_new(&self, path: &str, content: impl AsRef<[u8]>) -> Response {
        self.ask(&self.request("PUT", &format!("/upload/{path}")).field("If-None-Match", "*").body(content))
    }

    #[track_caller]
    pub fn status(&self) -> Json {
        self.get("/status").expect(200).json()
    }

    /// One of the numbers in `/metrics`, by its name without `filesync_`.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.get("/metrics").expect(200).body).expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("filesync_{name} ")));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    }

    /// How many changes the box has seen.
    #[track_caller]
    pub fn seq(&self) -> u64 {
        self.status().get("seq").number()
    }

    /// Where the box's history is: `epoch-seq`.
    #[track_caller]
    pub fn cursor(&self) -> String {
        self.try_cursor().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until every change that the box shows has its number: a request for another one, which comes to nothing, waits for them.
    fn let_it_count(&self) -> Result<(), String> {
        let request = self
            .request("MOVE", "/upload/what-no-test-makes")
            .field("Destination", "/upload/what-is-nowhere")
            .field("If-Match", "\"dir\"");
        let answer = Connection::try_ask(&self.address, &request);
        match answer.map_err(|error| format!("the server does not answer: {error}"))?.status {
            404 => Ok(()),
            status => Err(format!("the server answers {status} to a move of nothing")),
        }
    }

    /// The same of a server that may be gone.
    pub fn try_cursor(&self) -> Result<String, String> {
        let request = match &self.account {
            Some((_, token)) => token.request("GET", "/status"),
            None => self.request("GET", "/status"),
        };
        let answer = Connection::try_ask(&self.address, &request);
        let status =
            answer.map_err(|error| format!("the server does not answer: {error}"))?.expect(200).json();
        Ok(format!("{}-{}", status.get("epoch").text(), status.get("seq").number()))
    }
}

/// Which of the two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    B,
}

impl Kind {
    pub fn program(self) -> &'static str {
        match self {
            Kind::A => "client_a",
            Kind::B => "client_b",
        }
    }
}

/// A client and its folder.
pub struct Client {
    pub kind: Kind,
    pub folder: PathBuf,
    /// Its own name, which conflict copies bear.
    pub name: &'static str,
    directory: PathBuf,
    /// Where it finds the server, or what stands before it.
    pub url: String,
    /// Where the key is; without one the environment has to give it.
    pub token_file: Option<PathBuf>,
    /// Given at every start, besides what is needed anyway.
    pub options: &'static [&'static str],
    /// In its environment at every start.
    pub environment: Vec<(&'static str, OsString)>,
    process: Option<Process>,
}

impl Client {
    /// With an empty folder in `directory`, of the same name as the client.
    pub fn new(kind: Kind, name: &'static str, server: &Server, directory: &Path) -> Client {
        let folder = directory.join(name);
        fs::create_dir(&folder).expect("create a folder");
        Client {
            kind,
            folder,
            name,
            directory: directory.to_owned(),
            url: server.url(),
            token_file: Some(server.key_file()),
            options: &[],
            environment: Vec::new(),
            process: None,
        }
    }

    /// The command that syncs the folder, ready for more options.
    #[track_caller]
    pub fn command(&self) -> Command {
        let mut command = program(self.kind.program());
        command.arg("--server").arg(&self.url).arg("--name").arg(self.name);
        if let Some(file) = &self.token_file {
            command.arg("--token-file").arg(file);
        }
        command.args(self.options).envs(self.environment.iter().cloned());
        command
    }

    /// Starts it as a live client.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_as(|command| command);
    }

    /// The same by another command, made from the usual one.
    #[track_caller]
    pub fn start_as(&mut self, change: impl FnOnce(Command) -> Command) {
        let mut command = self.command();
        command.arg(&self.folder);
        self.process = Some(Process::spawn(self.name, &self.directory, &mut change(command)));
    }

    /// One pass with `--once` and what else is given.
    #[track_caller]
    pub fn once(&self, options: &[&str]) -> Finished {
        run(self.command().arg("--once").args(options).arg(&self.folder))
    }

    /// SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        let code = self.process().terminate();
        assert_eq!(code, 143, "exit code of {} after SIGTERM", self.name);
        self.process = None;
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Whether it has been started, and neither stopped nor killed since. One that ended by itself fails the test.
    #[track_caller]
    pub fn is_started(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        if let Some(code) = process.exit_code() {
            panic!("{} ended by itself with {code}:\n{}", self.name, process.log());
        }
        true
    }

    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the client has been started")
    }

    /// Its process, if that has not ended yet.
    pub fn running(&mut self) -> Option<&Process> {
        let process = self.process.as_mut()?;
        if process.exit_code().is_none() { Some(process) } else { None }
    }

    /// The server that it is to sync with.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From its next start on it syncs with another server.
    pub fn use_server(&mut self, url: &str, key_file: &Path) {
        self.url = url.to_owned();
        self.token_file = Some(key_file.to_owned());
    }

    /// What it has logged so far.
    #[track_caller]
    pub fn log(&self) -> String {
        self.process.as_ref().expect("the client has been started").log()
    }

    /// What `status --json` says, whether the client runs or not.
    #[track_caller]
    pub fn status(&self) -> Json {
        let finished = run(program(self.kind.program()).args(["status", "--json"]).arg(&self.folder));
        Json::parse(&finished.stdout).unwrap_or_else(|error| panic!("status: {error}\n{finished:?}"))
    }

    /// What `status` says to people.
    #[track_caller]
    pub fn status_in_words(&self) -> String {
        run(program(self.kind.program()).arg("status").arg(&self.folder)).expect_code(0).stdout
    }

    /// Whether the client itself wrote last that it is idle, and where it is then.
    fn check_looks_idle(&self) -> Result<String, String> {
        let shown = fs::read_to_string(self.folder.join(".filesync/status")).unwrap_or_default();
        match Json::parse(&shown) {
            Ok(status) if status.get("state") == &Json::Text("idle".into()) => {
                Ok(status.get("cursor").text().to_owned())
            }
            _ => Err(format!("{} says {shown:?}", self.name)),
        }
    }

    fn check_idle_at(&self, cursor: &str) -> Result<(), String> {
        let status = self.status();
        let wanted = [("state", "idle"), ("cursor", cursor)];
        if wanted.iter().all(|(member, value)| status.get(member) == &Json::Text((*value).to_owned())) {
            return Ok(());
        }
        Err(format!("{} says {status:?}; the server is at {cursor}", self.name))
    }

    /// Waits until the client says that it is in this state.
    /// Waits until the status names a problem in these words.
    #[track_caller]
    pub fn wait_for_problem(&self, words: &str) {
        eventually(&format!("{} to say {words:?}", self.name), || {
            let problems = self.status().get("problems").clone();
            let said =
                |problem: &Json| problem.get("error").as_text().is_some_and(|error| error.contains(words));
            if problems.list().iter().any(said) { Ok(()) } else { Err(format!("{problems:?}")) }
        });
    }

    #[track_caller]
    pub fn wait_for_state(&self, state: &str) {
        eventually(&format!("{} to be {state}", self.name), || {
            let status = self.status();
            if status.get("state") == &Json::Text(state.into()) { Ok(()) } else { Err(format!("{status:?}")) }
        });
    }

    /// The path of something in the folder.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// Waits until a path of the folder passes a check, and says how long that took.
    #[track_caller]
    pub fn wait_until(&self, path: impl AsRef<Path>, what: &str, check: impl Fn(&Path) -> bool) -> Duration {
        let (start, path) = (Instant::now(), self.at(path));
        eventually(&format!("{} {what}", path.display()), || {
            check(&path).then_some(()).ok_or_else(|| "not yet".into())
        });
        start.elapsed()
    }

    /// Waits until a file of the folder has this content.
    #[track_caller]
    pub fn wait_for_content(&self, path: impl AsRef<Path>, content: &[u8]) -> Duration {
        self.wait_until(path, "to have the new content", |path| {
            fs::read(path).is_ok_and(|found| found == content)
        })
    }

    /// Waits until there is nothing at a path of the folder.
    #[track_caller]
    pub fn wait_for_absence(&self, path: impl AsRef<Path>) -> Duration {
        self.wait_until(path, "to be gone", |path| fs::symlink_metadata(path).is_err())
    }
}
