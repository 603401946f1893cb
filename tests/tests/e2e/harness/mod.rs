//! What all tests stand on. Nothing here is taken from filesync itself: a fault that both sides of a test share would stay invisible.

mod digest;
mod http;
mod json;
mod process;
mod tree;
mod wait;
mod wire;
mod world;

pub use digest::{repr_digest, sha256};
pub use http::{Connection, Request, Response};
pub use json::Json;
pub use process::{Finished, Process, program, run};
pub use tree::{Node, Tree, snapshot};
pub use wait::{DEADLINE, eventually, eventually_within, pass};
pub use wire::{Wire, labelled};
pub use world::{Client, Kind, Server, World, agreement};
