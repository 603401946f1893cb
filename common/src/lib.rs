//! What the server and both clients of filesync have in common.
//!
//! The modules form layers, and arrows point one way only (the end-to-end package holds them with a test):
//!
//! ```text
//!     client                     the clients' programs, but for how they look
//!     cli      engine            the command line; what both clients are made of
//!         \    /    \
//!          net       disk        sockets with deadlines; journals, staging, scanning, watching
//!             \     /
//!               sys              the only `unsafe`, the only `extern "C"`
//!     protocol                   pure: what clients and server say to each other, as values
//!     wire   tree   sync         pure: bytes and values in, values out; no file, socket, clock or thread
//!            limits              every bound in the system
//! ```

pub mod cli;
pub mod client;
pub mod disk;
pub mod engine;
pub mod limits;
pub mod net;
pub mod protocol;
pub mod sync;
pub mod sys;
pub mod threads;
pub mod tree;
pub mod wire;

#[cfg(test)]
#[path = "../tests/mutations/mutator.rs"]
mod mutator;
