//! What all tests stand on. Nothing here is taken from filesync itself: a fault that both sides of a test share would stay invisible.

mod confine;
mod content;
mod digest;
mod gateway;
mod http;
mod json;
mod port;
mod process;
mod proxy;
mod random;
mod relay;
#[path = "../../../system/mod.rs"]
mod system;
mod tls;
mod token;
mod tree;
mod wait;
mod wire;
mod world;

pub use confine::{Inotify, with_descriptors};
pub use content::{Content, write_file, write_secret};
pub use digest::{repr_digest, sha256, signed_token};
pub use gateway::{Gateway, Manner};
pub use http::{Connection, Request, Response};
pub use json::Json;
pub use process::{Finished, Process, example, is_root, program, run, shell};
pub use proxy::{Asked, End, Fault, Proxy};
pub use random::Random;
pub use relay::{Relay, Way};
pub use system::{connect_from, exchange};
pub use tls::{Authority, Term, Terminator};
pub use token::{Token, mint};
pub use tree::{Node, Tree, snapshot};
pub use wait::{AtEnd, DEADLINE, eventually, eventually_by_steps, eventually_within, pass};
pub use wire::{Wire, labelled};
pub use world::{Client, Kind, Server, World, agreement, agreement_of};

/// Whether the tests are to work with the sizes that filesync is made for.
pub fn is_full() -> bool {
    std::env::var_os("FILESYNC_FULL").is_some()
}
