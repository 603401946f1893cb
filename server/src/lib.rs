//! The server: keeps one folder, the box, in sync with the folders of any number of clients.
//!
//! ```text
//!     run -> config -> server         the command line, and one run from start to stop
//!                    -> verify        or a look at the box while no server runs
//!                    -> account       or tokens, for clients that are not to have the key
//!     listen -> connection -> dispatch -> (sync | download | upload | relocate | status | original) -> view -> store
//!     store -> hub -> stream          what is stored is told to everybody who listens, each with a follower's thread
//! ```
//!
//! A thread a connection, blocking input and output, no shared state but the store, the hub and the registry. Handlers never touch
//! sockets, the hub never touches the store.

mod account;
mod answer;
mod auth;
mod config;
mod connection;
mod dispatch;
mod download;
mod follower;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headroom;
mod hub;
mod intake;
mod listen;
mod listener;
mod lobby;
mod original;
mod outlet;
mod owed;
mod realm;
mod registry;
mod relocate;
mod request;
mod resume;
mod room;
mod route;
mod send;
mod server;
mod service;
mod status;
mod store;
mod stream;
mod sync;
#[cfg(any(test, fuzzing))]
mod testing;
mod upload;
mod verify;
mod view;
mod vigil;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use common::cli::exit::Exit;
use common::protocol::VERSION_NAME;
use common::sys::signals::Signals;

use crate::config::{Command, HELP};

/// The program: reads the command line and does what it says, until that is done or a signal ends it.
pub fn run() -> ExitCode {
    // Before any thread starts: threads inherit it.
    let signals = Signals::block();
    let exit = match config::read(env::args_os().skip(1), |name| env::var_os(name)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(&format!("{VERSION_NAME}\n")),
        Ok(Command::Verify(dir)) => verify::run(&dir),
        Ok(Command::Token(new)) => account::token(&new),
        Ok(Command::Revoke { box_dir, what }) => account::revoke(&box_dir, &what),
        Ok(Command::Rotate(dir)) => account::rotate(&dir),
        Ok(Command::Serve(config)) => server::serve(&config, signals),
        Err(error) => {
            let _ = writeln!(io::stderr(), "server: {error}\nTry 'server --help'.");
            Exit::Usage
        }
    };
    exit.into()
}

fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Agreement,
        Err(_) => Exit::Failed,
    }
}
