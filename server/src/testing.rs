//! What several tests need: a whole server on a box of its own, without sockets.

#[cfg(test)]
#[path = "../../common/tests/mutations/mutator.rs"]
pub(crate) mod mutator;

use std::fs;
#[cfg(test)]
use std::os::unix::net::UnixStream;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use common::cli::log::{Format, Level, Log};

use crate::auth::{Auth, Key, Tokens};
use crate::headroom::Headroom;
use crate::hub::Hub;
use crate::intake::Lists;
#[cfg(test)]
use crate::listener::Origin;
use crate::registry::Registry;
#[cfg(test)]
use crate::registry::Seat;
use crate::room::Capacity;
use crate::service::{Counter, Service};
use crate::store::{Options, Store};

/// A service and its box, both gone when it is dropped.
pub(crate) struct Workshop {
    pub(crate) service: Arc<Service>,
    pub(crate) dir: PathBuf,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An empty directory, gone when it is dropped.
#[cfg(test)]
pub(crate) struct Scratch(PathBuf);

#[cfg(test)]
impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let dir = unused_dir(name);
        fs::create_dir(&dir).expect("a directory can be made");
        Scratch(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unused_dir(name: &str) -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("filesync-{name}-{}-{number}", std::process::id()));
    // What an earlier process of the same number left behind.
    let _ = fs::remove_dir_all(&dir);
    dir
}

impl Workshop {
    pub(crate) fn new() -> Workshop {
        let dir = unused_dir("server");
        let (log, hub) = (Log::new(Level::Error, Format::Text), Hub::start().expect("there are threads"));
        let store = Store::open(&dir, Options { fsync: false, force: false }, log, hub.clone())
            .expect("an empty box opens");
        let private = store.private().try_clone().expect("a descriptor is free");
        let tokens = Tokens::open(private, log).expect("nobody was given a token");
        let registry = Registry::new(Capacity::of_descriptors(u64::MAX), hub.clone());
        let service = Service {
            store,
            hub,
            auth: Auth::new(Key::new("correct-horse-battery").expect("it is long enough"), tokens, log),
            log,
            registry: Arc::new(registry),
            lists: Lists::default(),
            headroom: Headroom::default(),
            checks_names: true,
            started: Instant::now(),
            requests: Counter::default(),
            denials: Counter::default(),
            panics: Counter::default(),
        };
        Workshop { service: Arc::new(service), dir }
    }

    /// The seat of a connection that nobody is at.
    #[cfg(test)]
    pub(crate) fn seat(&self) -> Seat {
        let (socket, _) = UnixStream::pair().expect("there are descriptors");
        self.service.registry.seat(&socket.into(), Origin::Local).expect("there is room")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.service.store.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
