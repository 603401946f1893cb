//! End-to-end tests of filesync: real processes, real sockets, real folders.
//!
//! One binary with a module for each concern. Try not to add more binaries: each would be linked, and would start its own set of threads.
//!
//! The programs are looked for in `FILESYNC_BIN_DIR`, or else where `cargo build --offline` at the top of the repository puts them.
//! With `FILESYNC_FULL=1` the tests work with the sizes and the times that filesync is made for instead of modest ones.

/// What all tests stand on: processes, folders, raw HTTP, and waiting.
mod harness;

/// Tokens: who may do what, where and how long.
mod accounts;
/// Which module may use which: the arrows of the architecture, read from the sources.
mod architecture;
/// Requests that are made to be misread.
mod attacks;
/// The bench that `scripts/bench` runs.
mod bench;
/// A file larger than memory should be, and many files.
mod big;
/// A directory that turns into a link that leads outside, and back.
mod canary;
/// More connections than the server, or the system, has room for.
mod crowds;
/// Connections that are too slow for any good reason.
mod deadlines;
/// Clients that go without a word.
mod departures;
/// Exit codes, and what is said when something is wrong from the start.
mod exits;
/// Programs that are killed at any system call, or whose calls fail, and power cuts.
mod faults;
/// Connections without number that mean no good.
mod floods;
/// Random histories: users, faults, and an oracle that knows what may not be lost.
mod histories;
/// The server as any HTTP client sees it, well-meaning or not.
mod http;
/// Networks and servers that misbehave, between a real client and what it talks to.
mod network;
/// The dialect of the clients that filesync follows, byte for byte.
mod original;
/// The transcript in `docs/PROTOCOL.md`, executed.
mod protocol_doc;
/// How much an account may hold.
mod quotas;
/// Transfers that are cut, and go on.
mod resume;
/// What many accounts share.
mod shares;
/// Who has no key.
mod strangers;
/// Folders and box, through everything that can happen to them.
mod sync;
/// All ways that lead to a server.
mod transports;
