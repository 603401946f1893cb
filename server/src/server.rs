//! One run of the server, from start to stop.
//!
//! ```text
//!     listen, open the box, get the key  ->  accept  ->  signal  ->  no new requests, streams end, requests under way finish
//!                                                                ->  after a while hang up  ->  stop the store  ->  exit 128 + signal
//! ```
//!
//! The address is taken first: the box may take a while to open, and that the port is in use should not be news by then. Whoever
//! connects meanwhile waits.

use std::io::{self, ErrorKind, Write};
use std::panic;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use common::cli::exit::Exit;
use common::cli::log::Log;
use common::limits::{CONNECTIONS, HANG_UP_WAIT, STOP_WAIT};
use common::sys::rlimit::raise_open_files;
use common::sys::signals::{Signal, Signals};
use common::sys::wake::Wake;
use common::threads::spawn;

use crate::auth::{Auth, Key, KeySource, Tokens};
use crate::config::{Address, Config};
use crate::headroom::Headroom;
use crate::hub::Hub;
use crate::intake::Lists;
use crate::listen::accept_all;
use crate::listener::Listener;
use crate::registry::Registry;
use crate::room::Capacity;
use crate::service::{Counter, Service};
use crate::store::{OpenError, Options, Store};

/// Why the server did not start, or did not go on.
struct Failure {
    exit: Exit,
    message: String,
}

/// Serves until a signal comes.
pub(crate) fn serve(config: &Config, signals: io::Result<Signals>) -> Exit {
    let log = Log::new(config.level, config.format);
    panic::set_hook(Box::new(move |panic| log.error(format!("a defect of the server: {panic}"))));
    match run(config, signals, log) {
        Ok(exit) => exit,
        Err(failure) => {
            log.error(failure.message);
            failure.exit
        }
    }
}

fn run(config: &Config, signals: io::Result<Signals>, log: Log) -> Result<Exit, Failure> {
    let signals = signals.map_err(|error| failed(format!("can't wait for signals: {error}")))?;
    let capacity = capacity(log);
    let stop = StopBell::hang(signals)?;
    let listeners = listen(config)?;
    let service = open(config, &listeners, capacity, log)?;
    say_ready(&listeners, &service);
    let accepted = accept_all(&service, &listeners, &stop.bell);
    drop(listeners);
    shut_down(&service);
    accepted.map_err(|error| failed(format!("can't wait for connections: {error}")))?;
    Ok(stop.exit())
}

// ---- Start -----------------------------------------------------------------------------------------------------------------------

fn listen(config: &Config) -> Result<Vec<Listener>, Failure> {
    let bind = |address: &Address| {
        Listener::bind(address, config.socket_mode).map_err(|error| {
            failed(format!("can't listen on {address}: {error}{}", advice(address, error.kind())))
        })
    };
    config.listen.iter().map(bind).collect()
}

fn advice(address: &Address, error: ErrorKind) -> &'static str {
    match (address, error) {
        (_, ErrorKind::AddrInUse) => {
            "; if another program listens there, stop it, or choose another place with --listen"
        }
        (Address::Tcp(_), ErrorKind::PermissionDenied) => {
            "; ports below 1024 are for root: choose another with --listen"
        }
        (Address::Tcp(_), ErrorKind::AddrNotAvailable) => {
            "; this machine does not have that address: see --listen"
        }
        (Address::Unix(_), ErrorKind::InvalidInput) => {
            "; the path of a socket, and what it is made as, has to be short"
        }
        _ => "",
    }
}

/// How many connections there may be, by the descriptors that the system lets this process have.
fn capacity(log: Log) -> Capacity {
    let most = raise_open_files().unwrap_or_else(|error| {
        log.debug(format!("the number of open files stays as limited as it is: {error}"));
        USUAL_OPEN_FILES
    });
    let capacity = Capacity::of_descriptors(most);
    if capacity.all() < CONNECTIONS {
        let all = capacity.all();
        log.info(format!("at most {all} connections at once: only {most} files may be open (ulimit -n)"));
    }
    capacity
}

/// What the system allows without being asked for more.
const USUAL_OPEN_FILES: u64 = 1024;

fn open(
    config: &Config,
    listeners: &[Listener],
    capacity: Capacity,
    log: Log,
) -> Result<Arc<Service>, Failure> {
    let private = listeners.iter().all(Listener::is_private);
    let hub = Hub::start().map_err(|error| failed(format!("can't tell anybody of changes: {error}")))?;
    let options = Options { fsync: config.fsync, force: config.force };
    let store = Store::open(&config.box_dir, options, log, hub.clone()).map_err(unopened)?;
    let (key, source) = Key::load(config.api_key.as_deref(), store.private(), private)
        .map_err(|error| failed(error.to_string()))?;
    let directory =
        store.private().try_clone().map_err(|error| failed(format!("can't open the box: {error}")))?;
    let tokens = Tokens::open(directory, log).map_err(|error| failed(error.to_string()))?;
    tell_key(config, source, log);
    for listener in listeners.iter().filter(|listener| !listener.is_private()) {
        log.warn(format!(
            "listening on {listener}, beyond this machine, without TLS: key and content can be read on the way; put a proxy with TLS in front"
        ));
    }
    let registry = Arc::new(Registry::new(capacity, hub.clone()));
    Ok(Arc::new(Service {
        store,
        hub,
        auth: Auth::new(key, tokens, log),
        log,
        registry,
        lists: Lists::default(),
        headroom: Headroom::default(),
        checks_names: private && listeners.iter().any(Listener::is_open_to_pages),
        started: Instant::now(),
        requests: Counter::default(),
        denials: Counter::default(),
        panics: Counter::default(),
    }))
}

fn unopened(error: OpenError) -> Failure {
    let exit = match error {
        OpenError::InUse(..) => Exit::FolderInUse,
        OpenError::Held { .. } => Exit::Held,
        OpenError::Gone(_) | OpenError::Disk { .. } => Exit::Failed,
    };
    Failure { exit, message: error.to_string() }
}

/// Says where the key is, never what it is.
fn tell_key(config: &Config, source: KeySource, log: Log) {
    let file = config.box_dir.join(".filesync/key");
    match source {
        KeySource::Environment => log.info("the key is the one in API_KEY"),
        KeySource::File => log.info(format!("the key is in {}", file.display())),
        KeySource::NewFile => {
            log.info(format!("made a key in {}: give it to the clients with --token-file", file.display()));
        }
    }
}

/// A line on stdout for each address: scripts wait for it.
fn say_ready(listeners: &[Listener], service: &Service) {
    let lines: String = listeners.iter().map(|listener| format!("listening on {listener}\n")).collect();
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()) {
        service.log.debug(format!("nobody reads stdout: {error}"));
    }
}

// ---- Stop ------------------------------------------------------------------------------------------------------------------------

/// Rings at the first signal; at the second the process ends at once.
struct StopBell {
    bell: Arc<Wake>,
    signal: Arc<OnceLock<Signal>>,
    over: Arc<Wake>,
    thread: JoinHandle<()>,
}

impl StopBell {
    /// Starts the thread that waits for signals.
    fn hang(signals: Signals) -> Result<StopBell, Failure> {
        let no_thread = |error| failed(format!("can't wait for signals: {error}"));
        let bell = Arc::new(Wake::new().map_err(no_thread)?);
        let over = Arc::new(Wake::new().map_err(no_thread)?);
        let signal = Arc::new(OnceLock::new());
        let thread = {
            let (bell, signal, over) = (bell.clone(), signal.clone(), over.clone());
            spawn("signals", move || wait_for_signals(&signals, &bell, &signal, &over)).map_err(no_thread)?
        };
        Ok(StopBell { bell, signal, over, thread })
    }

    /// Ends the thread, when all else has ended: until then a second signal has to be heard.
    fn exit(self) -> Exit {
        self.over.ring();
        let _ = self.thread.join();
        self.signal.get().map_or(Exit::Failed, |signal| Exit::Signal(signal.number()))
    }
}

fn wait_for_signals(signals: &Signals, bell: &Wake, first: &OnceLock<Signal>, over: &Wake) {
    loop {
        match signals.wait(over) {
            Ok(None) => return,
            Ok(Some(signal)) => {
                if first.set(signal).is_err() {
                    std::process::exit(i32::from(Exit::Signal(signal.number()).code()));
                }
                bell.ring();
            }
            // Without signals the server could not be stopped in good order; so it stops.
            Err(_) => return bell.ring(),
        }
    }
}

fn shut_down(service: &Service) {
    service.log.info("stopping");
    service.registry.stop();
    service.hub.stop();
    let left = service.registry.wait_until_empty(STOP_WAIT);
    if 0 < left {
        service.log.warn(format!("hanging up on {left} connections that did not end in time"));
        service.registry.hang_up();
        service.registry.wait_until_empty(HANG_UP_WAIT);
    }
    service.store.stop();
}

fn failed(message: String) -> Failure {
    Failure { exit: Exit::Failed, message }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::listener::Origin;
    use crate::testing::Workshop;

    /// A thread that never comes to its end, as if it hung in a file system that does not answer.
    #[test]
    fn stopping_waits_for_nobody_without_end() {
        let workshop = Workshop::new();
        let (socket, peer) = UnixStream::pair().unwrap();
        let seat = workshop.service.registry.seat(&socket.into(), Origin::Local).unwrap();
        seat.work();
        let (service, (tell, stopped)) = (workshop.service.clone(), channel());
        let begun = Instant::now();
        let stopping = thread::spawn(move || {
            shut_down(&service);
            tell.send(Instant::now()).unwrap();
        });
        // Hung up on, one sees the end.
        peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
        assert!(STOP_WAIT <= begun.elapsed());
        let ended = stopped.recv_timeout(Duration::from_secs(60)).expect("it stops");
        assert!(STOP_WAIT + HANG_UP_WAIT <= ended - begun, "{:?}", ended - begun);
        stopping.join().unwrap();
        drop(seat);
    }
}
